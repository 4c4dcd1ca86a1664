//! What Muster says: events that nobody asked for, and replies to commands.

#![allow(missing_docs, reason = "the fields of a variant are told in the variant's own text")]

use crate::chat::{ChatEvent, ChatReply, Kind};
use crate::close::CloseReason;
use crate::command::Payload;
use crate::id::{Id, Key};
use crate::presence::{OnlineUser, SessionInfo, UserPresence};
use crate::refusal::Refusal;

/// What is told to a session (or, for replies, to a call of the front door).
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The answer to the command with this tag. The tag is the asker's own and comes back as it was.
    Reply { tag: u64, result: Result<Reply, Refusal> },
    /// Watched users changed: each user's latest state only.
    Presence(Vec<UserPresence>),
    /// A payload for this user. `from` is who sent it.
    Message { from: Id, payload: Payload },
    /// A payload published on a channel.
    Published { channel: Id, from: Id, payload: Payload },
    /// A session opened or closed somewhere on the node.
    Tap(TapEvent),
    /// Something happened in a conversation of this user, which is of this kind: edges tell the kinds of their own APIs.
    Chat(Kind, Box<ChatEvent>),
    /// The session ends now, for this reason. The last event of a session.
    Closing(CloseReason),
}

/// How important an event is to the session it goes to: decides what a slow reader loses first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub enum Class {
    /// May be dropped for a session that does not keep up (published payloads, taps).
    Volatile,
    /// Must arrive, or the session is closed.
    Required,
}

impl Event {
    /// The class.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Published { .. } | Self::Tap(_) => Class::Volatile,
            Self::Chat(_, event) => event.class(),
            Self::Reply { .. } | Self::Presence(_) | Self::Message { .. } | Self::Closing(_) => {
                Class::Required
            }
        }
    }
}

/// The answer to a command.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// It is done, and there is nothing to say about it.
    Done,
    /// The presence of the users asked for, in the order asked.
    Presence(Vec<UserPresence>),
    /// Distinct users online.
    Count(u64),
    /// Users online, newest activity first; those active in the same second by id.
    Users(Vec<OnlineUser>),
    /// Sessions of one user.
    Sessions(Vec<SessionInfo>),
    /// How many sessions took it (sends, publishes), were ended (disconnects).
    Reached(u32),
    /// Sessions subscribed to a channel.
    Occupancy(u64),
    /// To a command about conversations.
    Chat(Box<ChatReply>),
}

/// A session opened or closed. Numbered per shard and realm without a gap; a listener that sees one has missed
/// something. Listeners hear of their own realm only.
#[derive(Clone, PartialEq, Debug)]
pub struct TapEvent {
    /// Counts the taps of this shard and realm (the shard is in the session's address).
    pub seq: u64,
    /// Whose session.
    pub user: Key,
    /// The session.
    pub session: SessionInfo,
    /// When, milliseconds since the Unix epoch.
    pub at: u64,
    /// `None`: it opened; else why it closed.
    pub closed: Option<CloseReason>,
}
