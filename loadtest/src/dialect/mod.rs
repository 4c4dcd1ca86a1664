//! A dialect turns what a scenario wants said into a server's bytes, and a server's bytes into words a scenario
//! understands. Sans-IO; a new protocol is one more implementation, and no scenario changes.

mod binary;
mod echo;
mod polling;
mod presence;
mod socketio;
mod websocket;

use std::time::Duration;

pub use binary::Binary;
pub use echo::{Echo, EchoSettings};
pub use polling::Polling;
pub use presence::Presence;
pub use socketio::{SocketIo, SocketIoSettings};

/// How far a connection is, for dialects that have steps before the welcome.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Step {
    /// 0 is the first.
    pub at: u8,
    /// What the server calls the session, where a client has to say it again with each request.
    pub name: Box<str>,
}

impl Step {
    /// So far, under no name.
    #[must_use]
    pub fn at(at: u8) -> Self {
        Self { at, name: Box::default() }
    }
}

/// A conversation of the crowd.
#[derive(Clone, Copy, Debug)]
pub struct Room<'a> {
    /// Counts the conversations of a run.
    pub number: u64,
    /// The numbers of its members; the first one makes it.
    pub members: &'a [u64],
}

/// What a scenario wants said on one connection. A `ticket` comes back with the answer.
#[derive(Clone, Debug)]
pub enum Ask<'a> {
    /// I live. With `answer`, the server is to say that it does too.
    Beat {
        /// Whether an answer is wanted.
        answer: bool,
    },
    /// Tell me how these users are, at once and at every change.
    Watch(&'a [u64]),
    /// Tell me what is published on the channel of this number.
    Subscribe(u64),
    /// Give this payload to the subscribers of a channel.
    Publish {
        /// Number of the channel.
        channel: u64,
        /// What.
        payload: &'a [u8],
    },
    /// Give this payload to a user.
    Send {
        /// Number of the user.
        to: u64,
        /// What.
        payload: &'a [u8],
    },
    /// Tell me what is said in my conversations.
    Follow,
    /// Make this conversation, or find the one that is there.
    Make {
        /// Which.
        room: Room<'a>,
        /// For the answer.
        ticket: u64,
    },
    /// Say this, and tell me when it is on stable storage.
    Say {
        /// Where.
        room: Room<'a>,
        /// The client's own name for it: said again under the same one, it is the same message.
        number: u64,
        /// What; text.
        payload: &'a str,
        /// For the answer.
        ticket: u64,
    },
    /// What was said here, the newest of it?
    Page {
        /// Where.
        room: Room<'a>,
        /// Said before this, a [`Word::Page`]'s `oldest`; `None`: until now.
        before: Option<u64>,
        /// At most so many messages.
        limit: u16,
        /// For the answer.
        ticket: u64,
    },
    /// Which are my conversations, the newest message of each?
    List {
        /// At most so many.
        limit: u32,
        /// For the answer.
        ticket: u64,
    },
    /// I leave on purpose.
    Leave,
}

/// What a server said.
#[derive(Clone, PartialEq, Debug)]
pub enum Word {
    /// The connection is established and authenticated.
    Welcome,
    /// A heartbeat was answered.
    Beat,
    /// The server has sent a heartbeat, and is answered.
    Pinged,
    /// A watch or subscription stands.
    Done,
    /// A send or publish was taken.
    Taken,
    /// A message came; its stamp, if it is one of ours.
    Message(Option<crate::stamp::Stamp>),
    /// A user (by number) is online, or not.
    Presence {
        /// Number of the user.
        user: u64,
        /// Whether online.
        online: bool,
    },
    /// The conversation is there.
    Made {
        /// The ask's.
        ticket: u64,
    },
    /// What was said is on stable storage.
    Kept {
        /// The ask's.
        ticket: u64,
        /// It had been said before, and nobody was told anything.
        again: bool,
    },
    /// Somebody has said something in a conversation.
    Said {
        /// Its stamp, if it is one of ours.
        stamp: Option<crate::stamp::Stamp>,
        /// Its place in the conversation.
        sequence: u64,
    },
    /// A part of what was said in a conversation.
    Page {
        /// The ask's.
        ticket: u64,
        /// The messages that are ours.
        stamps: Vec<crate::stamp::Stamp>,
        /// Where the part before it ends; `None`: there is none.
        before: Option<u64>,
    },
    /// The conversations of the asker.
    Listed {
        /// The ask's.
        ticket: u64,
    },
    /// Something with a ticket was refused.
    Denied {
        /// The ask's.
        ticket: u64,
        /// The server's own word for it.
        why: String,
        /// The same may be asked again later.
        later: bool,
    },
    /// Something asked for was refused; the server's own word for it.
    Refused(String),
    /// The server ends the connection; its own word for it.
    Closing(String),
    /// Said by the server, and of no interest.
    Other,
}

/// Bytes that are not the dialect's.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Fault(pub String);

/// A server's protocol, from the client's side.
pub trait Dialect: Send {
    /// The word for reports.
    fn name(&self) -> &'static str;

    /// Whether it has words for this.
    fn can(&self, ask: &Ask<'_>) -> bool;

    /// What a client says first.
    fn hello(&mut self, token: &str, out: &mut Vec<u8>);

    /// Where the heartbeats are the server's, which a client answers: the longest time between two of them before a client
    /// gives the connection up, as the server says. `None`: they are the client's.
    fn patience(&self) -> Option<Duration> {
        None
    }

    /// Whether its clients are told what is sent to a user.
    fn hears_messages(&self) -> bool {
        true
    }

    /// Appends what says this; nothing where the dialect has no words for it.
    fn say(&mut self, ask: &Ask<'_>, out: &mut Vec<u8>);

    /// Reads what came, from the first byte that has not been taken yet; says what it means, appends what the
    /// protocol itself wants answered, and returns how many bytes it has taken. What is left comes again, with more
    /// behind it.
    ///
    /// # Errors
    /// When the bytes are not the dialect's: the connection is of no use any more.
    fn hear(
        &mut self,
        step: &mut Step,
        bytes: &[u8],
        out: &mut Vec<u8>,
        tell: &mut dyn FnMut(Word),
    ) -> Result<usize, Fault>;
}

/// Which dialect, with its settings; each ring makes its own from it.
#[derive(Clone, Debug)]
pub enum Choice {
    /// Muster's binary protocol. With `keep_alive`, liveness is left to TCP.
    Binary {
        /// Whether TCP keep-alive watches in place of heartbeats.
        keep_alive: bool,
        /// The interval asked for.
        heartbeat: Duration,
    },
    /// The presence API's WebSocket, at this path.
    Presence {
        /// Host header.
        host: String,
        /// `/api/v1/presence/ws`
        path: String,
    },
    /// A WebSocket server that answers a text with a text.
    Echo(EchoSettings),
    /// Socket.IO 5 over a WebSocket.
    SocketIo(SocketIoSettings),
    /// Socket.IO 5 over long polls.
    Polling(SocketIoSettings),
}

impl Choice {
    /// The dialect itself.
    #[must_use]
    pub fn make(&self) -> Box<dyn Dialect> {
        match self {
            Self::Binary { keep_alive, heartbeat } => Box::new(Binary::new(*keep_alive, *heartbeat)),
            Self::Presence { host, path } => Box::new(Presence::new(host, path)),
            Self::Echo(settings) => Box::new(Echo::new(settings.clone())),
            Self::SocketIo(settings) => Box::new(SocketIo::new(settings.clone())),
            Self::Polling(settings) => Box::new(Polling::new(settings.clone())),
        }
    }
}
