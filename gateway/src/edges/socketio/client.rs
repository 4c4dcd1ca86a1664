//! The sans-IO half of a connection: Socket.IO on Engine.IO, or Engine.IO alone.

use super::endpoint::Endpoint;
use crate::engineio::session::{Class, Frame, Opening, Turn};
use crate::engineio::{Data, Outgoing, Session, Ticket};
use crate::socketio::{Application, Connection};

/// See the file's header.
#[derive(Debug)]
pub(super) enum Client {
    SocketIo(Connection),
    /// What it says comes back.
    EngineEcho(Session),
}

/// What an input is handled with.
pub(super) struct Scene<'a, 'b> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) turn: Turn<'b>,
    pub(super) app: &'a mut dyn Application,
}

fn echo(session: &mut Session, turn: &mut Turn<'_>, message: &Data<'_>) {
    let outgoing = match message {
        Data::Text(text) => Outgoing::Packet(format!("4{text}")),
        Data::Binary(bytes) => Outgoing::Binary((&**bytes).into()),
    };
    session.send(turn, outgoing, Class::Durable);
}

impl Client {
    /// A client whose handshake was a GET.
    pub(super) fn polling(
        scene: &mut Scene<'_, '_>,
        opening: &Opening<'_>,
        ticket: Ticket,
        raw: bool,
    ) -> Self {
        let Scene { endpoint, turn, app } = scene;
        if raw {
            let mut session = Session::polling(turn.settings, turn.now, opening);
            session.poll(turn, ticket);
            return Self::EngineEcho(session);
        }
        Self::SocketIo(Connection::polling(&endpoint.io, turn, opening, ticket, *app))
    }

    /// A client whose handshake was a WebSocket.
    pub(super) fn websocket(scene: &mut Scene<'_, '_>, opening: &Opening<'_>, raw: bool) -> Self {
        let Scene { endpoint, turn, app } = scene;
        match raw {
            true => Self::EngineEcho(Session::websocket(turn, opening)),
            false => Self::SocketIo(Connection::websocket(&endpoint.io, turn, opening, *app)),
        }
    }

    /// The transport's session.
    pub(super) fn engine(&self) -> &Session {
        match self {
            Self::SocketIo(connection) => connection.engine(),
            Self::EngineEcho(session) => session,
        }
    }

    pub(super) fn poll(&mut self, scene: &mut Scene<'_, '_>, ticket: Ticket) {
        let Scene { endpoint, turn, app } = scene;
        match self {
            Self::SocketIo(connection) => connection.poll(&endpoint.io, turn, ticket, *app),
            Self::EngineEcho(session) => session.poll(turn, ticket),
        }
    }

    pub(super) fn answered(&mut self, scene: &mut Scene<'_, '_>, ticket: Ticket, taken: bool) {
        let Scene { endpoint, turn, app } = scene;
        match self {
            Self::SocketIo(connection) => connection.answered(&endpoint.io, turn, ticket, taken, *app),
            Self::EngineEcho(session) if taken => session.answer_taken(turn, ticket),
            Self::EngineEcho(session) => session.answer_lost(turn, ticket),
        }
    }

    pub(super) fn gone(&mut self, scene: &mut Scene<'_, '_>, ticket: Ticket) {
        let Scene { endpoint, turn, app } = scene;
        match self {
            Self::SocketIo(connection) => connection.request_gone(&endpoint.io, turn, ticket, *app),
            Self::EngineEcho(session) => session.request_gone(turn, ticket),
        }
    }

    pub(super) fn upload_begins(&mut self, scene: &mut Scene<'_, '_>, ticket: Ticket) {
        let Scene { endpoint, turn, app } = scene;
        match self {
            Self::SocketIo(connection) => connection.upload_begins(&endpoint.io, turn, ticket, *app),
            Self::EngineEcho(session) => session.upload_begins(turn, ticket),
        }
    }

    pub(super) fn upload_too_large(&mut self, scene: &mut Scene<'_, '_>, ticket: Ticket) {
        let Scene { endpoint, turn, app } = scene;
        match self {
            Self::SocketIo(connection) => connection.upload_too_large(&endpoint.io, turn, ticket, *app),
            Self::EngineEcho(session) => session.upload_too_large(turn, ticket),
        }
    }

    pub(super) fn upload(&mut self, scene: &mut Scene<'_, '_>, ticket: Ticket, octets: bool, body: &[u8]) {
        let Scene { endpoint, turn, app } = scene;
        match self {
            Self::SocketIo(connection) => {
                connection.upload(&endpoint.io, turn, (ticket, octets, body), *app);
            }
            Self::EngineEcho(session) => {
                if let Some(mut upload) = session.upload(turn, ticket, octets, body) {
                    while let Some(message) = session.next(turn, &mut upload) {
                        echo(session, turn, &message);
                    }
                }
                session.flush(turn);
            }
        }
    }

    pub(super) fn socket_arrived(&mut self, turn: &Turn<'_>) -> bool {
        match self {
            Self::SocketIo(connection) => connection.socket_arrived(turn),
            Self::EngineEcho(session) => session.socket_arrived(turn),
        }
    }

    pub(super) fn frame(&mut self, scene: &mut Scene<'_, '_>, frame: Frame<'_>) {
        let Scene { endpoint, turn, app } = scene;
        match self {
            Self::SocketIo(connection) => connection.frame(&endpoint.io, turn, frame, *app),
            Self::EngineEcho(session) => {
                if let Some(message) = session.frame(turn, frame) {
                    echo(session, turn, &message);
                }
            }
        }
    }

    pub(super) fn socket_closed(&mut self, scene: &mut Scene<'_, '_>) {
        let Scene { endpoint, turn, app } = scene;
        match self {
            Self::SocketIo(connection) => connection.socket_closed(&endpoint.io, turn, *app),
            Self::EngineEcho(session) => session.socket_closed(turn),
        }
    }

    pub(super) fn deadline(&self) -> u64 {
        match self {
            Self::SocketIo(connection) => connection.deadline(),
            Self::EngineEcho(session) => session.deadline(),
        }
    }

    pub(super) fn on_deadline(&mut self, scene: &mut Scene<'_, '_>) {
        let Scene { endpoint, turn, app } = scene;
        match self {
            Self::SocketIo(connection) => connection.on_deadline(&endpoint.io, turn, *app),
            Self::EngineEcho(session) => session.on_deadline(turn),
        }
    }

    pub(super) fn relay(&mut self, turn: &mut Turn<'_>, packet: &str, class: Class) {
        if let Self::SocketIo(connection) = self {
            connection.relay(turn, packet, class);
        }
    }

    pub(super) fn flush(&mut self, scene: &mut Scene<'_, '_>) {
        let Scene { endpoint, turn, app } = scene;
        match self {
            Self::SocketIo(connection) => connection.flush(&endpoint.io, turn, *app),
            Self::EngineEcho(session) => session.flush(turn),
        }
    }
}
