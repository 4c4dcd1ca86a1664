//! What comes out of a machine.

#![allow(missing_docs, reason = "the fields of a variant are told in the variant's own text")]

use std::sync::Arc;

use schema::event::TapEvent;
use schema::{CloseReason, Event, Refusal, SessionAddr, SessionRef, ShardId};

use super::erase::Erased;
use super::input::ConnRef;
use super::message::Message;
use super::store::{ChatRequest, StoreRequest};

/// Everything a machine can want. The driver carries each out in order.
#[derive(Debug)]
pub enum Output {
    /// The answer to [`super::Input::Open`].
    Opened { conn: ConnRef, mark: u32, session: Result<SessionAddr, Refusal> },
    /// Tell a session of this shard. A fan-out is many of these with the same `Arc`, so that the driver can encode
    /// once per dialect.
    Event { conn: ConnRef, mark: u32, session: SessionRef, event: Arc<Event> },
    /// End a session of this shard: tell its client why in its own dialect, then let it go. The session is already
    /// out of the tables; no [`super::Input::Closed`] is owed for it.
    Close { conn: ConnRef, mark: u32, session: SessionRef, reason: CloseReason },
    /// Tell another shard. Never this one: what a shard says to itself never leaves the machine.
    Message { to: ShardId, message: Message },
    /// Answer a call of the front door.
    Front { ticket: u64, event: Event },
    /// What came of a step in erasing a user.
    Erased { ticket: u64, result: Result<Erased, Refusal> },
    /// Ask the store.
    Store(StoreRequest),
    /// Ask the store about conversations.
    Chat(ChatRequest),
    /// A session opened or closed here; for hooks, logs and dashboards.
    Tap(Arc<TapEvent>),
}
