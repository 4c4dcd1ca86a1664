//! What may be said to Muster. The same commands come from every edge.

#![allow(missing_docs, reason = "the fields of a variant are told in the variant's own text")]

use std::sync::Arc;

use crate::chat::ChatCommand;
use crate::id::{Id, Key, SessionAddr};

/// Bytes that Muster carries and does not read; shared, never copied, by all who are told.
pub type Payload = Arc<[u8]>;

/// The API a session speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
#[repr(u8)]
pub enum Edge {
    /// The binary protocol.
    #[default]
    Binary = 1,
    /// The presence WebSocket.
    Presence = 2,
    /// The HTTP front door: a call that asks once and has no session.
    Http = 3,
    /// The messaging API's Socket.IO.
    Messaging = 4,
    /// The Socket.IO of buyers and sellers.
    Trade = 5,
}

impl Edge {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Binary, Self::Presence, Self::Http, Self::Messaging, Self::Trade];

    /// The word for logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Presence => "presence",
            Self::Http => "http",
            Self::Messaging => "messaging",
            Self::Trade => "trade",
        }
    }
}

/// Who commands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Actor {
    /// The realm and id of the token.
    pub key: Key,
    /// A service may query, watch, send and publish for anyone of its realm, and may disconnect.
    pub service: bool,
}

/// One command. Ids are of the actor's realm.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// The user did something: moves last seen. (That the client lives needs no command: every frame says so.)
    Activity,
    /// Tell this session how these users are, at once and whenever it changes. Sessions only.
    Watch { users: Vec<Id> },
    /// Stop telling.
    Unwatch { users: Vec<Id> },
    /// How are these users? Answered in the order asked.
    Query { users: Vec<Id> },
    /// How many distinct users are online?
    Count,
    /// Who is online, newest activity first, at most `limit`?
    List { limit: u32 },
    /// Which sessions has this user? Services only, or one's own.
    Sessions { user: Id },
    /// Give a payload to all sessions of a user. `except_self` leaves out the sending session.
    Send { to: Id, payload: Payload, except_self: bool },
    /// Tell this session what is published on a channel. Sessions only.
    Subscribe { channel: Id },
    /// Stop telling.
    Unsubscribe { channel: Id },
    /// Give a payload to all subscribers of a channel. `except_self` leaves out the publishing session.
    Publish { channel: Id, payload: Payload, except_self: bool },
    /// How many sessions are subscribed to a channel?
    Occupancy { channel: Id },
    /// End all sessions of a user. Services only, or one's own.
    DisconnectUser { user: Id },
    /// End one session. Services only, or one of one's own.
    DisconnectSession { session: SessionAddr },
    /// Tell this session of every session that opens or closes on this node. Services only.
    Tap { on: bool },
    /// Something about conversations. `acting`: the user whom a service acts for; users act as themselves.
    Chat { acting: Option<Id>, command: Box<ChatCommand> },
}

impl Command {
    /// A stable word for metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// The words of [`Command::name`], by [`Command::index`].
    pub const NAMES: [&'static str; 16] = [
        "activity",
        "watch",
        "unwatch",
        "query",
        "count",
        "list",
        "sessions",
        "send",
        "subscribe",
        "unsubscribe",
        "publish",
        "occupancy",
        "disconnect_user",
        "disconnect_session",
        "tap",
        "chat",
    ];

    /// Position in [`Command::NAMES`].
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::Activity => 0,
            Self::Watch { .. } => 1,
            Self::Unwatch { .. } => 2,
            Self::Query { .. } => 3,
            Self::Count => 4,
            Self::List { .. } => 5,
            Self::Sessions { .. } => 6,
            Self::Send { .. } => 7,
            Self::Subscribe { .. } => 8,
            Self::Unsubscribe { .. } => 9,
            Self::Publish { .. } => 10,
            Self::Occupancy { .. } => 11,
            Self::DisconnectUser { .. } => 12,
            Self::DisconnectSession { .. } => 13,
            Self::Tap { .. } => 14,
            Self::Chat { .. } => 15,
        }
    }
}
