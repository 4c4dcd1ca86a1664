//! What goes into a machine.

#![allow(missing_docs, reason = "the fields of a variant are told in the variant's own text")]

use std::net::SocketAddr;

use schema::command::Edge;
use schema::{Actor, CloseReason, Command, Device, SessionRef, ShardId};

use super::erase::Step;
use super::message::Message;
use super::store::{ChatAnswer, StoreReply};

/// The two clocks, read once a turn by the driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// Milliseconds since the node started; never goes back. All timers run on it.
    pub mono: u64,
    /// Milliseconds since the Unix epoch; may jump. Only for what people read.
    pub wall: u64,
}

/// The connection a session sits on, in the shard's own terms; the machine only hands it back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct ConnRef {
    /// Slot of the shard's connection table.
    pub slot: u32,
    /// Its generation.
    pub generation: u32,
}

/// A session that wants to begin: who, from where, until when.
#[derive(Clone, Debug)]
pub struct Open {
    /// The connection it sits on.
    pub conn: ConnRef,
    /// The identity that the token proved.
    pub actor: Actor,
    /// The API it speaks.
    pub edge: Edge,
    /// The other end.
    pub peer: SocketAddr,
    /// What it runs on.
    pub device: Device,
    /// When the token ends (leeway included), milliseconds since the Unix epoch; `u64::MAX` is never.
    pub expires_at: u64,
    /// Silence after which the session is closed; 0: liveness is somebody else's (TCP keep-alive).
    pub silence: u32,
    /// The edge's own mark, handed back with every output for this session.
    pub mark: u32,
}

/// Who is to get the answer to a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asker {
    /// A session of this shard.
    Session(SessionRef),
    /// A call of the front door, by its ticket. Its place for the reply is reserved.
    Front(u64),
}

/// Everything that can happen to a machine.
#[derive(Debug)]
pub enum Input {
    /// A session begins. Answered by [`super::Output::Opened`] in the same turn.
    Open(Box<Open>),
    /// A session of this shard, or a call of the front door, commands. `actor` is who calls from the front door
    /// (`None`, the door itself, may only count the default realm); a session is known. The reply comes with the tag as [`super::Output::Event`] (sessions) or
    /// [`super::Output::Front`], exactly one for each command but [`Command::Activity`].
    Command { asker: Asker, actor: Option<Actor>, tag: u64, command: Command },
    /// A step in erasing a user, of the front door; answered by [`super::Output::Erased`], exactly once.
    Erase { ticket: u64, step: Step },
    /// A session's client has shown a newer token: it ends then (leeway included), milliseconds since the Unix epoch.
    Renew { session: SessionRef, expires_at: u64 },
    /// A session's connection is over, or its client has left. Nothing is said to it any more.
    Closed { session: SessionRef, reason: CloseReason },
    /// Another shard speaks.
    Message { from: ShardId, message: Message },
    /// The store answers.
    Store(StoreReply),
    /// The store answers about conversations.
    Chat(ChatAnswer),
    /// Close all sessions, spread over this many milliseconds (0: as fast as the budget allows); refuse new ones.
    Drain { over: u32 },
}
