//! Hands what comes to a store that has many requests under way at once.

use std::sync::atomic::{AtomicBool, Ordering};

use crossbeam::sync::Parker;
use schema::ShardId;

use super::{ChatOrder, Pipelined};
use crate::machine::ChatAnswer;
use crate::mesh::Inbox;

/// Takes orders until it is told to stop and there are none. Where the store has no room this waits, the inbox fills
/// up, and whoever asks is told that it is busy.
pub(super) fn run(
    store: &dyn Pipelined,
    mut inbox: Inbox<ChatOrder>,
    answer: impl Fn(ShardId, ChatAnswer) + Clone + Send + 'static,
    parker: &Parker,
    stop: &AtomicBool,
) {
    loop {
        if let Some(ChatOrder { shard, request }) = inbox.pop() {
            let (number, answer) = (request.request, answer.clone());
            store.take(
                request.ask,
                Box::new(move |stored| answer(shard, ChatAnswer { request: number, stored })),
            );
            continue;
        }
        if stop.load(Ordering::Acquire) && inbox.is_empty() {
            return;
        }
        if inbox.prepare_sleep() {
            parker.park();
            inbox.woke();
        }
    }
}
