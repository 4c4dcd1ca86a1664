//! Engine.IO, server side, without I/O: the transport under Socket.IO, protocol versions 4 and 3 side by side.
//!
//! ```text
//! handshake.rs  query parameters ──► who asks for what, or error 0 to 5      (front door, every request)
//! session.rs    polls, uploads, frames, deadlines ──► answers, frames, messages   (shard)
//!   session/      one room each for its polls, its uploads, and its way to a WebSocket
//!   polling.rs    what only a session on long-polling has: its polls, its queue, its upgrade; boxed
//!   queue.rs      packets that wait for a poll, bounded in bytes
//!   answer.rs     what a request is answered
//! packet.rs     one packet: text and WebSocket frames                         (both versions)
//! payload.rs    many packets in one body: 0x1e (v4), lengths (v3), digits and 0xff (v3, binary)
//! ```
//!
//! Sources: "Engine.IO protocol", revisions 4 and 3. Time and luck are arguments; nothing here panics, whatever comes;
//! what a session holds is bounded by [`Settings`].
//!
//! What is absent on purpose: JSONP (old browsers only; its requests are answered "Transport unknown"), compression,
//! cookies, and WebTransport. Framing of the socket is [`crate::websocket`]'s, its outbox the shard's.

pub mod answer;
pub mod handshake;
pub mod packet;
pub mod payload;
mod polling;
mod queue;
pub mod session;

pub use answer::{Answer, Ticket};
pub use packet::{Data, Kind, Packet};
pub use queue::Outgoing;
pub use session::{Frame, Message, Outlet, Session, Upload};

/// A revision of the protocol, from the `EIO` parameter.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Version {
    /// `EIO=3`: the client pings; socket.io-client 1 and 2.
    V3,
    /// `EIO=4`: the server pings; socket.io-client 3 and 4.
    V4,
}

/// The numbers of all sessions of an edge; times in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How often a ping is sent (v4), or is to be sent by the client (v3).
    pub ping_interval: u32,
    /// How long the answer to a ping may take.
    pub ping_timeout: u32,
    /// Longest upload, bytes; told to the client as `maxPayload`.
    pub max_payload: u32,
    /// How long an upgrade may take from its WebSocket to its `5`.
    pub upgrade_timeout: u32,
    /// How long a closing session waits for the poll that will carry the close packet.
    pub close_timeout: u32,
    /// What may wait for polls, bytes ([`queue`] says how they are counted).
    pub outbox: usize,
    /// Most packets in the answer to a poll; python-engineio refuses more than 16.
    pub answer_packets: usize,
    /// The answer to a poll takes no further packet beyond this size, bytes.
    pub answer_bytes: usize,
    /// Whether sessions are told of the WebSocket transport and may upgrade to it.
    pub upgrades: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ping_interval: 25_000,
            ping_timeout: 20_000,
            max_payload: 1_000_000,
            upgrade_timeout: 10_000,
            close_timeout: 30_000,
            outbox: 256 * 1024,
            answer_packets: 16,
            answer_bytes: 128 * 1024,
            upgrades: true,
        }
    }
}

/// Why a session is over; the words of the reference server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reason {
    /// Nothing was heard in time.
    PingTimeout,
    /// The client closed, or its socket did.
    TransportClose,
    /// A rule of the transport was broken: two polls at once, a poll given up, a ping in the wrong direction.
    TransportError,
    /// What came could not be read.
    ParseError,
    /// An upload longer than `maxPayload`.
    TooLarge,
    /// The server wanted it.
    ForcedClose,
    /// What waited for the client's polls was more than the outbox may hold.
    SlowConsumer,
}

impl Reason {
    /// The word in logs and for applications.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::PingTimeout => "ping timeout",
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::ParseError => "parse error",
            Self::TooLarge => "payload too large",
            Self::ForcedClose => "forced close",
            Self::SlowConsumer => "slow consumer",
        }
    }
}

#[cfg(test)]
mod tests;
