//! The binary protocol: frames to bytes and back. A pure codec, without I/O and without a clock.
//!
//! ```text
//! bytes ── Splitter ──► one frame ── decode_client ──► ClientFrame ──► Command      (server)
//!                                    decode_server ──► ServerFrame                  (client)
//! Event, ServerFrame, ClientFrame ── Encoder ──► length + FlatBuffer
//! ```
//!
//! `muster.fbs` is the specification and `docs/PROTOCOL.md` its explanation. Reading order: this file, then
//! [`error`] (what is wrong with a frame, and what to answer), then the two directions: `inbound` (client to server)
//! and `outbound` (server to client), each with its encoding and decoding side by side. What is said about
//! conversations has files of its own: `chat_inbound`, `chat_outbound`, and for rows `chat_rows` and `chat_columns`.
//!
//! Invariants worth naming:
//! - No bytes make it panic: every buffer goes through the FlatBuffers verifier before a field is read.
//! - A frame that is refused does not close: only bytes that are no frame at all do, and those whose tag
//!   therefore cannot be known.
//! - A frame has two tables and no row is a table, so what a frame costs to verify is bounded by its bytes.

mod beat;
mod chat_columns;
mod chat_inbound;
mod chat_outbound;
mod chat_rows;
mod decode;
mod encode;
pub mod error;
mod inbound;
mod outbound;
mod split;
mod values;

#[cfg(test)]
mod chat_arbitrary;
#[cfg(test)]
mod chat_forged;
#[cfg(test)]
mod chat_hostile;
#[cfg(test)]
mod chat_samples;
#[cfg(test)]
mod chat_vectors;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod vectors;

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

pub use beat::{HEARTBEAT_ACK_LEN, heartbeat_ack};
pub use chat_inbound::{
    ATTACHMENT_KIND_MAX, ATTACHMENT_URL_MAX, CLIENT_ID_MAX, CONTENT_MAX, EXTRA_MAX, MEMBERS_MAX, NAME_MAX,
};
pub use chat_rows::fit_history;
pub use encode::Encoder;
pub use error::FrameError;
pub use inbound::decode_client;
pub use outbound::decode_server;
pub use split::{PREFIX, Splitter, split};

use crate::chat::ChatEvent;
use crate::close::{Advice, CloseReason};
use crate::command::{Command, Payload};
use crate::device::Device;
use crate::event::{Event, Reply, TapEvent};
use crate::id::{Id, Realm, SessionAddr};
use crate::presence::UserPresence;
use crate::refusal::{Fault, Refusal};

/// The versions of the protocol that this code speaks.
pub const VERSIONS: RangeInclusive<u16> = 1..=1;

/// The file identifier of every frame.
pub const IDENTIFIER: &[u8; 4] = b"MSTR";

/// Longest frame a server takes by default, without its length.
pub const FRAME_MAX: usize = 64 * 1024;

/// Longest frame a server takes before it knows who speaks: a Connect with a token of nearly 4 KiB.
pub const PRE_AUTH_MAX: usize = 4 * 1024;

/// Longest frame a client has to take, without its length: the answer to the largest question that fits
/// [`FRAME_MAX`], or a full watch list of the longest ids.
pub const SERVER_FRAME_MAX: usize = 512 * 1024;

/// Most ids in one frame; decoding refuses more, so that a frame's ids take a bounded amount of memory.
pub const IDS_MAX: usize = 10_000;

/// What a client says.
#[derive(Clone, PartialEq, Debug)]
pub enum ClientFrame {
    /// The first frame of a connection.
    Connect(Connect),
    /// The client lives. The acknowledgement, if asked for, carries the tag.
    Heartbeat {
        /// Comes back in the acknowledgement.
        tag: u64,
        /// An acknowledgement is wanted.
        answer: bool,
        /// The user did something as well.
        activity: bool,
    },
    /// The client leaves in order.
    Goodbye {
        /// The user logged out: there is no grace.
        logout: bool,
    },
    /// A command; its reply carries the tag.
    Command {
        /// Comes back in the reply.
        tag: u64,
        /// What to do.
        command: Command,
    },
}

/// The first frame of a connection: who speaks, and how it will prove that it lives.
#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// The version the client speaks.
    pub version: u16,
    /// A JSON Web Token.
    pub token: String,
    /// What the client runs on.
    pub device: Device,
    /// How the client will prove that it lives.
    pub liveness: Liveness,
    /// The heartbeat interval it would like, milliseconds; 0 is the server's default.
    pub heartbeat_ms: u32,
}

/// A token is a secret: logs show only that there is one.
impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("token", &format_args!("<{} bytes>", self.token.len()))
            .field("device", &self.device)
            .field("liveness", &self.liveness)
            .field("heartbeat_ms", &self.heartbeat_ms)
            .finish()
    }
}

/// How a connection proves that it lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Liveness {
    /// The client sends a frame at least once per heartbeat interval.
    #[default]
    Heartbeat,
    /// The client stays silent; the server probes the link with TCP keep-alive.
    TcpKeepAlive,
}

/// What a server says.
#[derive(Clone, PartialEq, Debug)]
pub enum ServerFrame {
    /// The answer to a Connect.
    Welcome(Welcome),
    /// The answer to a heartbeat that asked for one.
    HeartbeatAck {
        /// The heartbeat's.
        tag: u64,
        /// The server's clock, milliseconds since the Unix epoch.
        server_ms: u64,
    },
    /// The command with this tag was carried out.
    Reply {
        /// The command's.
        tag: u64,
        /// Its answer.
        reply: Reply,
    },
    /// The command was not carried out.
    Refused(Refused),
    /// Watched users changed.
    Presence(Vec<UserPresence>),
    /// A payload for this user.
    Message {
        /// Who sent it.
        from: Id,
        /// What.
        payload: Payload,
    },
    /// A payload published on a channel.
    Published {
        /// Where.
        channel: Id,
        /// Who published it.
        from: Id,
        /// What.
        payload: Payload,
    },
    /// A session opened or closed on the node.
    Tap(TapEvent),
    /// Something happened in a conversation.
    Chat(Box<ChatEvent>),
    /// The last frame of a connection.
    Closing(Closing),
}

/// The answer to a Connect: who you are, and what was agreed on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Welcome {
    /// The version spoken from here on.
    pub version: u16,
    /// This session.
    pub session: SessionAddr,
    /// Who the token says you are.
    pub user: Id,
    /// The name space you are in.
    pub realm: Realm,
    /// A service may do more than a user.
    pub service: bool,
    /// How the connection proves that it lives.
    pub liveness: Liveness,
    /// Send a frame at least this often; 0 with TCP keep-alive.
    pub heartbeat_ms: u32,
    /// Silence after which the server closes; 0 with TCP keep-alive.
    pub silence_ms: u32,
    /// Longest frame the server takes, without its length.
    pub max_frame: u32,
    /// The server's clock, milliseconds since the Unix epoch.
    pub server_ms: u64,
}

/// A command was not carried out; nothing of it took effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The command's tag.
    pub tag: u64,
    /// The refusal's number; a newer server may have some that [`Refused::refusal`] does not know.
    pub code: u16,
    /// Whose fault it is.
    pub fault: Fault,
    /// When the same command may be tried again; `None`: never.
    pub retry_after_ms: Option<u32>,
    /// For the log.
    pub text: Cow<'static, str>,
}

impl Refused {
    /// A refusal with a text of its own.
    #[must_use]
    pub fn new(tag: u64, refusal: Refusal, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            tag,
            code: refusal as u16,
            fault: refusal.fault(),
            retry_after_ms: refusal.retry_after_ms(),
            text: text.into(),
        }
    }

    /// The refusal, when this code knows its number.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        values::refusal(self.code)
    }
}

/// The last frame of a connection: why it ends, and what to do next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Closing {
    /// Why; `None` when a newer server has a reason that this code does not know.
    pub reason: Option<CloseReason>,
    /// What to do next.
    pub advice: Advice,
    /// When to connect again, already spread over the clients by the server; `None`: by your own backoff.
    pub retry_after_ms: Option<u32>,
    /// For the log.
    pub text: Cow<'static, str>,
    /// What the server speaks, when the version was the reason.
    pub versions: Option<RangeInclusive<u16>>,
}

impl Closing {
    /// The frame for a reason, with the reason's own advice and text.
    #[must_use]
    pub fn new(reason: CloseReason) -> Self {
        Self {
            reason: Some(reason),
            advice: reason.advice(),
            retry_after_ms: None,
            text: Cow::Borrowed(reason.as_str()),
            versions: None,
        }
    }

    /// The same with another text.
    #[must_use]
    pub fn with_text(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.text = text.into();
        self
    }

    /// The same with a time to wait before connecting again.
    #[must_use]
    pub fn with_retry_after_ms(mut self, ms: u32) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }
}

impl From<Event> for ServerFrame {
    fn from(event: Event) -> Self {
        match event {
            Event::Reply { tag, result: Ok(reply) } => Self::Reply { tag, reply },
            Event::Reply { tag, result: Err(refusal) } => {
                Self::Refused(Refused::new(tag, refusal, refusal.text()))
            }
            Event::Presence(users) => Self::Presence(users),
            Event::Message { from, payload } => Self::Message { from, payload },
            Event::Published { channel, from, payload } => Self::Published { channel, from, payload },
            Event::Tap(tap) => Self::Tap(tap),
            Event::Chat(_, event) => Self::Chat(event),
            Event::Closing(reason) => Self::Closing(Closing::new(reason)),
        }
    }
}
