//! One connection of a shard: an enum over the protocols that the gateway speaks.

use std::net::SocketAddr;

use schema::{Actor, Device};

/// What a socket brings along from the front door to its shard.
#[derive(Debug)]
pub enum Arrival {
    /// A WebSocket of the presence API, its handshake done.
    Presence(PresenceArrival),
    /// A binary connection whose first frame asked for a session.
    Binary(BinaryArrival),
    /// A WebSocket that gets each message back.
    Echo(EchoArrival),
}

/// See [`Arrival::Presence`].
#[derive(Debug)]
pub struct PresenceArrival {
    /// Whom the token speaks for, or why nobody: browsers cannot read the status of a refused handshake, so the
    /// refusal is told on the open socket.
    pub admission: Admission,
    /// The client's address, as the trusted proxies tell it.
    pub peer: SocketAddr,
    /// From the User-Agent.
    pub device: Device,
    /// Bytes that the client sent after its handshake request and that the front door has read already.
    pub read_ahead: Vec<u8>,
}

/// Who may come in.
#[derive(Debug)]
pub enum Admission {
    /// A good token.
    Admitted {
        /// Whom it speaks for.
        actor: Actor,
        /// When it ends, leeway included, milliseconds since the Unix epoch.
        expires_at: u64,
    },
    /// A bad one.
    Refused {
        /// A stable word, such as `UNAUTHORIZED`.
        code: &'static str,
        /// For people.
        message: String,
    },
}

/// See [`Arrival::Binary`].
#[derive(Debug)]
pub struct BinaryArrival {
    /// Whom the token speaks for.
    pub actor: Actor,
    /// When it ends, leeway included, milliseconds since the Unix epoch.
    pub expires_at: u64,
    /// The peer of the socket.
    pub peer: SocketAddr,
    /// As the client told.
    pub device: Device,
    /// The tag of the connect frame; the welcome carries it back.
    pub tag: u64,
    /// Silence after which the session is over, milliseconds; 0: TCP keep-alive watches instead.
    pub silence: u32,
    /// Bytes that came after the connect frame.
    pub read_ahead: Vec<u8>,
}

/// See [`Arrival::Echo`].
#[derive(Debug)]
pub struct EchoArrival {
    /// Bytes that came after the handshake request.
    pub read_ahead: Vec<u8>,
}
