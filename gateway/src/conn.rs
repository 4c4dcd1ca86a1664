//! One connection of a shard: an enum over the protocols that the gateway speaks.

use std::net::SocketAddr;

use engine::io::Close;
use engine::protocol::{Dialect, Effects, Protocol};
use schema::command::Edge;
use schema::{Actor, CloseReason, Device, Event, Refusal, SessionAddr};

use crate::edges::Shared;
use crate::edges::binary::BinaryConn;
use crate::edges::echo::EchoConn;
use crate::edges::presence::{self, PresenceConn};

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

/// One connection of a shard.
#[derive(Debug)]
pub enum Conn {
    /// The binary protocol.
    Binary(BinaryConn),
    /// The presence WebSocket; boxed, so that a binary connection does not pay for it.
    Presence(Box<PresenceConn>),
    /// The echoing WebSocket.
    Echo(Box<EchoConn>),
}

const BINARY: Dialect = Dialect(0);
const PRESENCE: Dialect = Dialect(1);
const NONE: Dialect = Dialect(2);

impl Protocol for Conn {
    type Arrival = Arrival;
    type Shared = Shared;

    fn arrive(arrival: Arrival, shared: &mut Shared, fx: &mut Effects<'_>) -> Self {
        match arrival {
            Arrival::Binary(arrival) => Self::Binary(BinaryConn::arrive(arrival, fx)),
            Arrival::Presence(arrival) => Self::Presence(Box::new(PresenceConn::arrive(arrival, shared, fx))),
            Arrival::Echo(arrival) => Self::Echo(Box::new(EchoConn::arrive(arrival, shared, fx))),
        }
    }

    fn received(&mut self, shared: &mut Shared, bytes: &mut [u8], fx: &mut Effects<'_>) {
        match self {
            Self::Binary(conn) => conn.received(shared, bytes, fx),
            Self::Presence(conn) => conn.received(shared, bytes, fx),
            Self::Echo(conn) => conn.received(shared, bytes, fx),
        }
    }

    fn opened(
        &mut self,
        shared: &mut Shared,
        _mark: u32,
        session: Result<SessionAddr, Refusal>,
        fx: &mut Effects<'_>,
    ) {
        match self {
            Self::Binary(conn) => conn.opened(shared, session, fx),
            Self::Presence(conn) => conn.opened(shared, session, fx),
            Self::Echo(_) => {}
        }
    }

    fn closing(&mut self, shared: &mut Shared, _mark: u32, reason: CloseReason, fx: &mut Effects<'_>) {
        match self {
            Self::Binary(conn) => conn.closing(shared, reason, fx),
            Self::Presence(conn) => conn.closing(reason, fx),
            Self::Echo(_) => fx.close(Close::Graceful, reason),
        }
    }

    fn deadline(&mut self, shared: &mut Shared, fx: &mut Effects<'_>) {
        match self {
            Self::Binary(conn) => conn.deadline(shared, fx),
            Self::Presence(conn) => conn.deadline(shared, fx),
            Self::Echo(conn) => conn.deadline(shared, fx),
        }
    }

    fn dialect(&self) -> Dialect {
        match self {
            Self::Binary(_) => BINARY,
            Self::Presence(_) => PRESENCE,
            Self::Echo(_) => NONE,
        }
    }

    fn encode(dialect: Dialect, shared: &mut Shared, event: &Event, out: &mut Vec<u8>) {
        match dialect {
            BINARY => shared.encode_binary(event, out),
            PRESENCE => presence::encode(event, out),
            _ => {}
        }
    }

    fn edge(&self) -> Edge {
        match self {
            Self::Binary(_) => Edge::Binary,
            Self::Presence(_) => Edge::Presence,
            Self::Echo(_) => Edge::Http,
        }
    }
}
