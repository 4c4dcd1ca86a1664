//! A client's two sessions together: the inputs of [`engineio::Session`], and what they mean to an application.

use super::session::Session;
use super::{Application, Credentials, Namespace, Reason, Settings, Talk};
use crate::engineio::session::{Class, Frame, Opening, Turn};
use crate::engineio::{self, Ticket, Version};

/// One client. Parked on a WebSocket it is 48 bytes and owns nothing.
#[derive(Debug)]
pub struct Connection {
    engine: engineio::Session,
    io: Session,
}

impl Connection {
    /// A client whose handshake was a GET: it is answered with the open packet, and, in version 4, with what the
    /// application has to say on `/`.
    pub fn polling(
        settings: &Settings,
        turn: &mut Turn<'_>,
        opening: &Opening<'_>,
        ticket: Ticket,
        app: &mut dyn Application,
    ) -> Self {
        let engine = engineio::Session::polling(turn.settings, turn.now, opening);
        let mut connection = Self { engine, io: Session::new(settings, turn.now) };
        connection.begin(settings, turn, app);
        connection.engine.poll(turn, ticket);
        connection.after(settings, turn, app);
        connection
    }

    /// A client whose handshake was a WebSocket.
    pub fn websocket(
        settings: &Settings,
        turn: &mut Turn<'_>,
        opening: &Opening<'_>,
        app: &mut dyn Application,
    ) -> Self {
        let engine = engineio::Session::websocket(turn, opening);
        let mut connection = Self { engine, io: Session::new(settings, turn.now) };
        connection.begin(settings, turn, app);
        connection.after(settings, turn, app);
        connection
    }

    /// Version 4: the server speaks first, `/` is joined without having been asked for.
    fn begin(&mut self, settings: &Settings, turn: &mut Turn<'_>, app: &mut dyn Application) {
        if self.engine.version() == Version::V3 {
            self.io.ask_to_join(Namespace::ROOT);
            app.connect(&mut self.talk(settings, turn), Namespace::ROOT, Credentials::None);
        }
    }

    /// The transport's session: what requests may come, whether it is over.
    #[must_use]
    pub const fn engine(&self) -> &engineio::Session {
        &self.engine
    }

    /// Which namespaces are joined.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.io
    }

    /// To say things that are no answer to an input. [`Connection::flush`] must follow in the same turn.
    pub fn talk<'a, 'b>(&'a mut self, settings: &'a Settings, turn: &'a mut Turn<'b>) -> Talk<'a, 'b> {
        Talk { settings, engine: &mut self.engine, io: &mut self.io, turn }
    }

    /// Says a packet that was encoded for many; [`Connection::flush`] must follow in the same turn. False: the client is
    /// too slow, or gone.
    pub fn relay(&mut self, turn: &mut Turn<'_>, packet: &str, class: Class) -> bool {
        self.engine.send(turn, engineio::Outgoing::Packet(packet.to_owned()), class)
    }

    /// All has been said that this turn has to say.
    pub fn flush(&mut self, settings: &Settings, turn: &mut Turn<'_>, app: &mut dyn Application) {
        self.after(settings, turn, app);
    }

    /// See [`engineio::Session::poll`].
    pub fn poll(
        &mut self,
        settings: &Settings,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        app: &mut dyn Application,
    ) {
        self.engine.poll(turn, ticket);
        self.after(settings, turn, app);
    }

    /// See [`engineio::Session::answer_taken`] and [`engineio::Session::answer_lost`].
    pub fn answered(
        &mut self,
        settings: &Settings,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        taken: bool,
        app: &mut dyn Application,
    ) {
        match taken {
            true => self.engine.answer_taken(turn, ticket),
            false => self.engine.answer_lost(turn, ticket),
        }
        self.after(settings, turn, app);
    }

    /// See [`engineio::Session::request_gone`].
    pub fn request_gone(
        &mut self,
        settings: &Settings,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        app: &mut dyn Application,
    ) {
        self.engine.request_gone(turn, ticket);
        self.after(settings, turn, app);
    }

    /// See [`engineio::Session::upload_begins`].
    pub fn upload_begins(
        &mut self,
        settings: &Settings,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        app: &mut dyn Application,
    ) {
        self.engine.upload_begins(turn, ticket);
        self.after(settings, turn, app);
    }

    /// See [`engineio::Session::upload_too_large`].
    pub fn upload_too_large(
        &mut self,
        settings: &Settings,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        app: &mut dyn Application,
    ) {
        self.engine.upload_too_large(turn, ticket);
        self.after(settings, turn, app);
    }

    /// See [`engineio::Session::upload`].
    pub fn upload(
        &mut self,
        settings: &Settings,
        turn: &mut Turn<'_>,
        (ticket, octets, body): (Ticket, bool, &[u8]),
        app: &mut dyn Application,
    ) {
        if let Some(mut upload) = self.engine.upload(turn, ticket, octets, body) {
            while let Some(message) = self.engine.next(turn, &mut upload) {
                self.talk(settings, turn).hear(&message, app);
            }
        }
        self.after(settings, turn, app);
    }

    /// See [`engineio::Session::socket_arrived`].
    #[must_use]
    pub fn socket_arrived(&mut self, turn: &Turn<'_>) -> bool {
        self.engine.socket_arrived(turn)
    }

    /// See [`engineio::Session::frame`].
    pub fn frame(
        &mut self,
        settings: &Settings,
        turn: &mut Turn<'_>,
        frame: Frame<'_>,
        app: &mut dyn Application,
    ) {
        if let Some(message) = self.engine.frame(turn, frame) {
            self.talk(settings, turn).hear(&message, app);
        }
        self.after(settings, turn, app);
    }

    /// See [`engineio::Session::socket_closed`].
    pub fn socket_closed(&mut self, settings: &Settings, turn: &mut Turn<'_>, app: &mut dyn Application) {
        self.engine.socket_closed(turn);
        self.after(settings, turn, app);
    }

    /// When [`Connection::on_deadline`] is to be called, monotonic milliseconds; `u64::MAX`: never.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        let (connect, attachments) = self.io.deadline();
        self.engine.deadline().min(connect.unwrap_or(u64::MAX)).min(attachments.unwrap_or(u64::MAX))
    }

    /// Does what is due.
    pub fn on_deadline(&mut self, settings: &Settings, turn: &mut Turn<'_>, app: &mut dyn Application) {
        let now = turn.now;
        let is_due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        match self.io.deadline() {
            (connect, _) if is_due(connect) => self.talk(settings, turn).end(Reason::ConnectTimeout),
            (_, attachments) if is_due(attachments) => self.talk(settings, turn).end(Reason::ParseError),
            _ => {}
        }
        self.engine.on_deadline(turn);
        self.after(settings, turn, app);
    }

    /// Closes the connection; polling clients are told with their next poll. They come back by themselves.
    pub fn close(&mut self, settings: &Settings, turn: &mut Turn<'_>, app: &mut dyn Application) {
        self.talk(settings, turn).close();
        self.after(settings, turn, app);
    }

    /// Says what waits, and tells the application of an end, once.
    fn after(&mut self, settings: &Settings, turn: &mut Turn<'_>, app: &mut dyn Application) {
        self.engine.flush(turn);
        if self.engine.is_open() || self.io.told {
            return;
        }
        self.io.told = true;
        let transport = self.engine.ending().unwrap_or(engineio::Reason::ForcedClose);
        let reason = *self.io.ending.get_or_insert(Reason::Transport(transport));
        for namespace in self.io.leave_all(&settings.namespaces) {
            app.disconnected(namespace, reason);
        }
    }
}
