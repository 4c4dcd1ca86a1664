//! One connection of a shard: an enum over the protocols that the gateway speaks.

use std::net::SocketAddr;

use engine::io::Close;
use engine::protocol::{Dialect, Effects, Protocol};
use schema::command::Edge;
use schema::event::Class;
use schema::{Actor, CloseReason, Device, Event, Refusal, SessionAddr};

use crate::edges::Shared;
use crate::edges::binary::BinaryConn;
use crate::edges::echo::EchoConn;
use crate::edges::presence::{self, PresenceConn};
use crate::edges::socketio::{self, SocketIoConn, Visit};

/// What a socket brings along from the front door to its shard.
#[derive(Debug)]
pub enum Arrival {
    /// A WebSocket of the presence API, its handshake done.
    Presence(PresenceArrival),
    /// A binary connection whose first frame asked for a session.
    Binary(BinaryArrival),
    /// A WebSocket that gets each message back.
    Echo(EchoArrival),
    /// A session of Engine.IO, or something for one that is there.
    SocketIo(Visit),
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

/// One connection of a shard: one pointer. By far the most connections are binary ones that rest between two frames;
/// they own nothing at all.
#[derive(Debug)]
pub struct Conn(Option<Box<Kind>>);

/// What a connection has that is not a resting binary one.
#[derive(Debug)]
enum Kind {
    /// The binary protocol, on its way in or out, or amid a frame.
    Binary(BinaryConn),
    /// The presence WebSocket.
    Presence(PresenceConn),
    /// The echoing WebSocket.
    Echo(EchoConn),
    /// Engine.IO, with a socket or without.
    SocketIo(SocketIoConn),
}

impl Conn {
    fn new(kind: Kind) -> Self {
        Self(Some(Box::new(kind)))
    }

    fn kind(&self) -> &Kind {
        const RESTING: &Kind = &Kind::Binary(BinaryConn::Resting);
        self.0.as_deref().unwrap_or(RESTING)
    }

    fn kind_mut(&mut self) -> Option<&mut Kind> {
        self.0.as_deref_mut()
    }

    /// Calls the edge. A binary connection that rests afterwards gives its memory back.
    fn with(&mut self, call: impl FnOnce(&mut Kind)) {
        let mut resting = Kind::Binary(BinaryConn::Resting);
        let kind = self.0.as_deref_mut().unwrap_or(&mut resting);
        call(kind);
        let rests = matches!(kind, Kind::Binary(BinaryConn::Resting));
        match &self.0 {
            Some(_) if rests => self.0 = None,
            None if !rests => *self = Self::new(resting),
            _ => {}
        }
    }
}

const BINARY: Dialect = Dialect(0);
const PRESENCE: Dialect = Dialect(1);
pub(crate) const NONE: Dialect = Dialect(2);
pub(crate) const MESSAGING: Dialect = Dialect(3);
pub(crate) const MESSAGING_KEPT: Dialect = Dialect(4);

impl Protocol for Conn {
    type Arrival = Arrival;
    type Shared = Shared;

    fn arrive(arrival: Arrival, shared: &mut Shared, fx: &mut Effects<'_>) -> Self {
        Self::new(match arrival {
            Arrival::Binary(arrival) => Kind::Binary(BinaryConn::arrive(arrival, fx)),
            Arrival::Presence(arrival) => Kind::Presence(PresenceConn::arrive(arrival, shared, fx)),
            Arrival::Echo(arrival) => Kind::Echo(EchoConn::arrive(arrival, shared, fx)),
            Arrival::SocketIo(visit) => match SocketIoConn::arrive(visit, shared, fx) {
                Some(conn) => Kind::SocketIo(conn),
                None => {
                    fx.close(Close::Abort, CloseReason::ProtocolError);
                    Kind::Binary(BinaryConn::Over)
                }
            },
        })
    }

    fn called(&mut self, shared: &mut Shared, arrival: Arrival, fx: &mut Effects<'_>) {
        self.with(|kind| {
            if let (Kind::SocketIo(conn), Arrival::SocketIo(visit)) = (kind, arrival) {
                conn.called(shared, visit, fx);
            }
        });
    }

    fn offered(&mut self, shared: &mut Shared, arrival: Arrival, fx: &mut Effects<'_>) -> bool {
        let mut wanted = false;
        self.with(|kind| {
            if let (Kind::SocketIo(conn), Arrival::SocketIo(visit)) = (kind, arrival) {
                wanted = conn.offered(shared, visit, fx);
            }
        });
        wanted
    }

    fn half_closed(&mut self, shared: &mut Shared, fx: &mut Effects<'_>) {
        self.with(|kind| match kind {
            Kind::SocketIo(conn) => conn.half_closed(shared, fx),
            _ => fx.close(Close::Graceful, CloseReason::ClientClosed),
        });
    }

    fn lost(&mut self, shared: &mut Shared, fx: &mut Effects<'_>) -> bool {
        match self.kind_mut() {
            Some(Kind::SocketIo(conn)) => conn.lost(shared, fx),
            _ => false,
        }
    }

    fn told(&mut self, shared: &mut Shared, event: &Event, fx: &mut Effects<'_>) -> bool {
        match self.kind_mut() {
            Some(Kind::SocketIo(conn)) => conn.told(shared, event, fx),
            _ => false,
        }
    }

    fn keeps(&self) -> bool {
        matches!(self.kind(), Kind::SocketIo(conn) if conn.polls())
    }

    fn keep(&mut self, shared: &mut Shared, class: Class, words: &[u8], fx: &mut Effects<'_>) {
        if let Some(Kind::SocketIo(conn)) = self.kind_mut() {
            conn.keep(shared, class, words, fx);
        }
    }

    fn turn_ends(&mut self, shared: &mut Shared, fx: &mut Effects<'_>) {
        if let Some(Kind::SocketIo(conn)) = self.kind_mut() {
            conn.turn_ends(shared, fx);
        }
    }

    fn received(&mut self, shared: &mut Shared, bytes: &mut [u8], fx: &mut Effects<'_>) {
        self.with(|kind| match kind {
            Kind::Binary(conn) => conn.received(shared, bytes, fx),
            Kind::Presence(conn) => conn.received(shared, bytes, fx),
            Kind::Echo(conn) => conn.received(shared, bytes, fx),
            Kind::SocketIo(conn) => conn.received(shared, bytes, fx),
        });
    }

    fn opened(
        &mut self,
        shared: &mut Shared,
        mark: u32,
        session: Result<SessionAddr, Refusal>,
        fx: &mut Effects<'_>,
    ) {
        self.with(|kind| match kind {
            Kind::Binary(conn) => conn.opened(shared, session, fx),
            Kind::Presence(conn) => conn.opened(shared, session, fx),
            Kind::Echo(_) => {}
            Kind::SocketIo(conn) => conn.opened(shared, mark, session, fx),
        });
    }

    fn closing(&mut self, shared: &mut Shared, _mark: u32, reason: CloseReason, fx: &mut Effects<'_>) {
        self.with(|kind| match kind {
            Kind::Binary(conn) => conn.closing(shared, reason, fx),
            Kind::Presence(conn) => conn.closing(reason, fx),
            Kind::Echo(_) => fx.close(Close::Graceful, reason),
            Kind::SocketIo(conn) => conn.closing(shared, reason, fx),
        });
    }

    fn deadline(&mut self, shared: &mut Shared, fx: &mut Effects<'_>) {
        self.with(|kind| match kind {
            Kind::Binary(conn) => conn.deadline(shared, fx),
            Kind::Presence(conn) => conn.deadline(shared, fx),
            Kind::Echo(conn) => conn.deadline(shared, fx),
            Kind::SocketIo(conn) => conn.deadline(shared, fx),
        });
    }

    fn dialect(&self) -> Dialect {
        match self.kind() {
            Kind::Binary(_) => BINARY,
            Kind::Presence(_) => PRESENCE,
            Kind::Echo(_) => NONE,
            Kind::SocketIo(conn) => conn.dialect(),
        }
    }

    fn encode(dialect: Dialect, shared: &mut Shared, event: &Event, out: &mut Vec<u8>) {
        match dialect {
            BINARY => shared.encode_binary(event, out),
            PRESENCE => presence::encode(event, out),
            MESSAGING => shared.encode_messaging(event, socketio::to_socket, out),
            MESSAGING_KEPT => shared.encode_messaging(event, socketio::to_keep, out),
            _ => {}
        }
    }

    fn edge(&self) -> Edge {
        match self.kind() {
            Kind::Binary(_) => Edge::Binary,
            Kind::Presence(_) => Edge::Presence,
            Kind::Echo(_) => Edge::Http,
            Kind::SocketIo(conn) => conn.edge(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resting_connection_is_small() {
        assert_eq!(size_of::<Conn>(), 8, "a binary connection is its pointer, and that is null");
        assert_eq!(size_of::<Kind>(), 32, "a WebSocket has one small box besides");
    }
}
