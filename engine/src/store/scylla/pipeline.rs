//! Many requests under way at once: the writes of a conversation one after the other, all others beside each other.
//!
//! A conversation with something to write has a queue and a task. The task takes all that waits in one group, so the
//! busier a conversation is, the more of its writes share an intent.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ahash::RandomState;
use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::change::{Changes, Row};
use super::link::{Ended, Link};
use super::sweep::Sweeper;
use super::write::{self, Outcome};
use super::{Scylla, plan, read};
use crate::machine::store::{ChatAsk, ChatStored, Place, Write};
use crate::store::chat::{Done, Failure, FailureKind, OnPanic, Pipelined, Status};

/// Writes of a group, and their bytes, give or take one.
const GROUP: (usize, usize) = (64, 256 << 10);
/// How often it is looked for what is to be cleared away though nobody has said so.
const SWEEP_EVERY: Duration = Duration::from_secs(60);
/// How long the end waits for what is under way.
const PATIENCE: Duration = Duration::from_secs(10);

/// The store of conversations as the threads of its worker see it.
pub(super) struct Pipeline {
    scylla: Scylla,
    shared: Arc<Shared>,
}

struct Shared {
    link: Arc<Link>,
    queues: Mutex<HashMap<Place, VecDeque<Asked>, RandomState>>,
    writes: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    status: OnceLock<Arc<Status>>,
    on_panic: OnceLock<OnPanic>,
}

struct Asked {
    write: Box<Write>,
    done: Done,
    _place: OwnedSemaphorePermit,
}

impl Pipeline {
    pub(super) fn new(scylla: Scylla) -> Self {
        let link = scylla.link.clone();
        let in_flight = link.settings.in_flight.max(1);
        let shared = Arc::new(Shared {
            queues: Mutex::new(HashMap::with_hasher(RandomState::with_seeds(link.settings.nonce, 4, 5, 6))),
            writes: Arc::new(Semaphore::new(in_flight)),
            reads: Arc::new(Semaphore::new(in_flight)),
            status: OnceLock::new(),
            on_panic: OnceLock::new(),
            link,
        });
        Self { scylla, shared }
    }

    /// Runs a task, and tells of its panic: nobody waits for it.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let shared = self.shared.clone();
        self.scylla.runtime().spawn(async move {
            if let Err(panic) = AssertUnwindSafe(task).catch_unwind().await {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                if let Some(on_panic) = shared.on_panic.get() {
                    on_panic(format!("the store of conversations in tables panicked: {text}"));
                }
            }
        });
    }

    fn room(&self, places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        self.scylla.block_on(places.clone().acquire_owned()).expect("nobody closes it")
    }
}

impl Pipelined for Pipeline {
    fn watch(&self, status: Arc<Status>, on_panic: OnPanic) {
        self.shared.link.watch(status.clone());
        _ = self.shared.status.set(status);
        _ = self.shared.on_panic.set(on_panic);
        self.spawn(sweep(self.shared.link.clone()));
    }

    fn take(&self, ask: ChatAsk, done: Done) {
        let write = match ask {
            ChatAsk::Write(write) => write,
            ask => {
                let room = self.room(&self.shared.reads);
                self.spawn(self.shared.clone().answer(ask, done, room));
                return;
            }
        };
        let place = write.place;
        let asked = Asked { write, done, _place: self.room(&self.shared.writes) };
        let mut queues = self.shared.queues();
        if let Some(queue) = queues.get_mut(&place) {
            queue.push_back(asked);
            return;
        }
        queues.insert(place, VecDeque::from([asked]));
        drop(queues);
        self.spawn(self.shared.clone().run(place));
    }

    fn end(&self) {
        let all = u32::try_from(self.shared.link.settings.in_flight.max(1)).unwrap_or(u32::MAX);
        self.scylla.block_on(async {
            let under_way = self.shared.writes.acquire_many(all);
            if tokio::time::timeout(PATIENCE, under_way).await.is_err() {
                tracing::error!(
                    "some writes are still on their way: their fate is settled when they are next asked for"
                );
            }
            self.shared.link.end().await;
        });
    }
}

impl Shared {
    fn queues(&self) -> MutexGuard<'_, HashMap<Place, VecDeque<Asked>, RandomState>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(self: Arc<Self>, ask: ChatAsk, done: Done, _room: OwnedSemaphorePermit) {
        let begun = self.link.clock.instant();
        let result = read::answer(&self.link, &ask).await;
        let now = self.link.clock.instant();
        if let Some(status) = self.status.get() {
            status.reads.record(now.saturating_duration_since(begun));
            match &result {
                Ok(_) => status.read_passed(now),
                Err(failure) => {
                    status.count(failure);
                    // What is known to fail is told as that.
                    if !self.link.fails() {
                        status.read_failed(now, &failure.what);
                    }
                }
            }
        }
        done(result.unwrap_or_else(Failure::answer));
    }

    /// Writes what there is to write of a conversation, until there is nothing left.
    async fn run(self: Arc<Self>, place: Place) {
        while let Some(group) = self.next(place) {
            let begun = self.link.clock.instant();
            let writes: Vec<&Write> = group.iter().map(|asked| &*asked.write).collect();
            let status = self.status.get();
            let mut doubt = 0;
            let result = write_group(&self.link, place, &writes, || {
                doubt = writes.len();
                if let Some(status) = status {
                    status.doubts(doubt as i64);
                }
            })
            .await;
            if let Some(status) = status {
                status.doubts(-(doubt as i64));
                status.commits.record(self.link.clock.instant().saturating_duration_since(begun));
                status.batches.record(group.len() as u64);
            }
            // Of an end nobody is told: what was under way may be there or not.
            let Ok(results) = result else { continue };
            for (asked, result) in group.into_iter().zip(results) {
                let stored = match result {
                    Ok(()) => ChatStored::Written,
                    Err(failure) => {
                        if let Some(status) = status {
                            status.count(&failure);
                        }
                        failure.answer()
                    }
                };
                if let Some(status) = status
                    && stored_is_written(&stored)
                {
                    status.wrote(1);
                }
                (asked.done)(stored);
            }
        }
    }

    /// The next group of a conversation; `None`: its queue is empty and gone.
    fn next(&self, place: Place) -> Option<Vec<Asked>> {
        let mut queues = self.queues();
        let queue = queues.get_mut(&place)?;
        let (mut group, mut bytes) = (Vec::new(), 0);
        while group.len() < GROUP.0 && bytes < GROUP.1 {
            let Some(asked) = queue.pop_front() else { break };
            bytes += weight(&asked.write);
            group.push(asked);
        }
        if group.is_empty() {
            queues.remove(&place);
            return None;
        }
        Some(group)
    }
}

fn stored_is_written(stored: &ChatStored) -> bool {
    matches!(stored, ChatStored::Written)
}

/// Roughly the bytes of a write.
fn weight(write: &Write) -> usize {
    use crate::machine::store::Part;
    let part = |part: &Part| match part {
        Part::Message(message) => 128 + message.content.len(),
        Part::Conversation(conversation) => 128 + conversation.extra.len(),
        Part::Member(member) => 128 + 4 * member.singles.len(),
        _ => 64,
    };
    write.parts.iter().map(part).sum()
}

/// Writes some writes of one conversation, in their order, with one intent. What each of them has come to is told in
/// the same order.
pub(super) async fn write_group(
    link: &Link,
    place: Place,
    writes: &[&Write],
    doubt: impl FnMut(),
) -> Result<Vec<Result<(), Failure>>, Ended> {
    let fail = |failure: Failure| Ok(writes.iter().map(|_| Err(failure.clone())).collect());
    let ready = match link.writable() {
        Ok(ready) => ready,
        Err(failure) => return fail(failure),
    };
    let _busy = link.busy(place);
    let needs_newest = writes.iter().any(|write| plan::needs_newest(write));
    let mut known = match write::known(link, ready, place, needs_newest).await {
        Ok(known) => known,
        Err(failure) => {
            if failure.kind == FailureKind::Unavailable && link.writable().is_ok() {
                link.failed(&failure.what);
            }
            return fail(failure);
        }
    };
    let mut all = Changes::default();
    let mut results = Vec::with_capacity(writes.len());
    for write in writes {
        results.push(match link.stamp() {
            Some(stamp) => {
                plan::plan(write, &mut known, stamp, || link.life()).map(|changes| all.append(changes))
            }
            None => Err(Failure::new(FailureKind::Unavailable, "the lease of its writer has run out")),
        });
    }
    if !all.is_empty()
        && let Outcome::Failed(failure) = write::write(link, ready, place, &all, doubt).await?
    {
        return Ok(results.into_iter().map(|result| result.and_then(|()| Err(failure.clone()))).collect());
    }
    link.lives.put(place, known);
    if all.iter().any(|(_, row)| matches!(row, Row::Sweep { .. })) {
        link.sweep.notify_one();
    }
    Ok(results)
}

/// Clears away what there is to clear away, for as long as there is a link.
async fn sweep(link: Arc<Link>) {
    let mut sweeper = Sweeper::default();
    link.wait().await;
    while !link.has_ended() {
        match sweeper.part(&link).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(Failure { kind: FailureKind::Refused, what }) => {
                tracing::warn!(error = what, "what deleted conversations left cannot be cleared away");
            }
            // It is told elsewhere, and the next time it may do.
            Err(_) => {}
        }
        _ = tokio::time::timeout(SWEEP_EVERY, link.sweep.notified()).await;
    }
}
