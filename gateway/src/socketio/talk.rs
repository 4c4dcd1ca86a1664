//! What an application says to a client.
//!
//! Sources: Socket.IO protocol v5 and v4. The versions differ where a namespace is joined or refused, nowhere else.

use std::sync::Arc;

use super::packet::{self, Kind};
use super::session::Session;
use super::{Arguments, Namespace, Namespaces, Reason, Settings};
use crate::engineio::session::{Class, Turn};
use crate::engineio::{self, Outgoing, Version};

/// An event encoded once for everybody who is told it: the Engine.IO text packet, namespace included. Its bytes are
/// the same in both versions, on long-polling and in a WebSocket's text frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Encoded {
    namespace: Namespace,
    packet: Arc<str>,
}

impl Encoded {
    /// Encodes an event without attachments (bytes travel differently in each version, and go by [`Talk::emit`]).
    #[must_use]
    pub fn event(namespaces: &Namespaces, namespace: Namespace, name: &str, elements: &str) -> Self {
        let mut packet = String::new();
        packet::write_head(&mut packet, Kind::Event, 0, namespaces.name(namespace), None);
        write_event(&mut packet, name, elements);
        Self { namespace, packet: packet.into() }
    }

    /// The packet, its Engine.IO type first: the payload of a text frame.
    #[must_use]
    pub fn packet(&self) -> &str {
        &self.packet
    }

    /// The namespace whose members are told.
    #[must_use]
    pub const fn namespace(&self) -> Namespace {
        self.namespace
    }
}

fn write_event(out: &mut String, name: &str, elements: &str) {
    out.push('[');
    packet::write_string(out, name);
    if !elements.is_empty() {
        out.push(',');
        out.push_str(elements);
    }
    out.push(']');
}

/// A client, for as long as an input is handled or [`super::Connection::talk`] is borrowed. Commands for a namespace
/// that the client has not joined do nothing and return `false`.
#[derive(Debug)]
pub struct Talk<'a, 'b> {
    pub(super) settings: &'a Settings,
    pub(super) engine: &'a mut engineio::Session,
    pub(super) io: &'a mut Session,
    pub(super) turn: &'a mut Turn<'b>,
}

impl<'b> Talk<'_, 'b> {
    /// The same for a shorter time.
    #[must_use]
    pub fn again(&mut self) -> Talk<'_, 'b> {
        Talk { settings: self.settings, engine: self.engine, io: self.io, turn: self.turn }
    }

    /// The client's version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.engine.version()
    }

    /// Whether a namespace was asked for, and not yet answered.
    #[must_use]
    pub const fn is_pending(&self, namespace: Namespace) -> bool {
        self.io.is_pending(namespace)
    }

    /// The clock of the input, monotonic milliseconds.
    #[must_use]
    pub const fn now(&self) -> u64 {
        self.turn.now
    }

    /// Whether the client has joined a namespace.
    #[must_use]
    pub fn has_joined(&self, namespace: Namespace) -> bool {
        self.io.has_joined(namespace)
    }

    /// Lets the client join a namespace it has asked for. `sid` becomes its id there (version 5; of characters that
    /// need no escape in JSON): not the Engine.IO session's, which is a secret.
    pub fn accept(&mut self, namespace: Namespace, sid: &str) -> bool {
        if !self.io.answer(namespace, true) {
            return false;
        }
        let mut packet = self.head(Kind::Connect, 0, namespace, None);
        if self.engine.version() == Version::V4 {
            packet.push_str(r#"{"sid":"#);
            packet::write_string(&mut packet, sid);
            packet.push('}');
        }
        self.say(packet)
    }

    /// Does not let the client join. `data`: JSON for the program beside the text for people. Version 5 sends both;
    /// version 4 the data, or else the text as a bare string.
    pub fn refuse(&mut self, namespace: Namespace, message: &str, data: Option<&str>) -> bool {
        if !self.io.answer(namespace, false) {
            return false;
        }
        let name = self.settings.namespaces.name(namespace).to_owned();
        self.connect_error(&name, message, data)
    }

    pub(super) fn connect_error(&mut self, namespace: &str, message: &str, data: Option<&str>) -> bool {
        let mut packet = String::new();
        packet::write_head(&mut packet, Kind::ConnectError, 0, namespace, None);
        match (self.engine.version(), data) {
            (Version::V4, data) => {
                packet.push_str(r#"{"message":"#);
                packet::write_string(&mut packet, message);
                if let Some(data) = data {
                    packet.push_str(r#","data":"#);
                    packet.push_str(data);
                }
                packet.push('}');
            }
            (Version::V3, Some(data)) => packet.push_str(data),
            (Version::V3, None) => packet::write_string(&mut packet, message),
        }
        self.say(packet)
    }

    /// Emits an event.
    pub fn emit(&mut self, namespace: Namespace, name: &str, arguments: Arguments<'_>) -> bool {
        self.event(namespace, name, arguments, None, Class::Durable)
    }

    /// Emits an event that may be left out when the client is slow.
    pub fn emit_volatile(&mut self, namespace: Namespace, name: &str, arguments: Arguments<'_>) -> bool {
        self.event(namespace, name, arguments, None, Class::Volatile)
    }

    /// Emits an event that others are told, too.
    pub fn emit_encoded(&mut self, event: &Encoded, class: Class) -> bool {
        self.io.has_joined(event.namespace)
            && self.engine.send(self.turn, Outgoing::Shared(Arc::clone(&event.packet)), class)
    }

    /// Emits an event and asks for its ack, which [`super::Application::acked`] tells with the id returned here.
    pub fn ask(&mut self, namespace: Namespace, name: &str, arguments: Arguments<'_>) -> Option<u32> {
        if !self.io.has_joined(namespace) || !self.engine.is_open() {
            return None;
        }
        let id = self.io.ask(namespace, self.settings.asked);
        self.event(namespace, name, arguments, Some(u64::from(id)), Class::Durable).then_some(id)
    }

    /// Answers an event that asked for it; once each.
    pub fn ack(&mut self, namespace: Namespace, id: u64, arguments: Arguments<'_>) -> bool {
        if !self.io.has_joined(namespace) {
            return false;
        }
        let kind = if arguments.attachments().is_empty() { Kind::Ack } else { Kind::BinaryAck };
        let mut packet = self.head(kind, arguments.attachments().len(), namespace, Some(id));
        packet.push('[');
        packet.push_str(arguments.raw());
        packet.push(']');
        self.say_with(packet, arguments, Class::Durable)
    }

    /// Makes the client leave a namespace. It does not come back by itself (Socket.IO protocol v5, "Disconnection").
    pub fn disconnect(&mut self, namespace: Namespace) -> bool {
        if !self.io.leave(namespace) {
            return false;
        }
        let packet = self.head(Kind::Disconnect, 0, namespace, None);
        self.say(packet)
    }

    /// Closes the connection without leaving namespaces, so that the client comes back by itself (draining).
    pub fn close(&mut self) {
        self.end(Reason::Transport(engineio::Reason::ForcedClose));
    }

    pub(super) fn end(&mut self, reason: Reason) {
        self.io.ending.get_or_insert(reason);
        self.engine.close(self.turn);
    }

    fn event(
        &mut self,
        namespace: Namespace,
        name: &str,
        arguments: Arguments<'_>,
        id: Option<u64>,
        class: Class,
    ) -> bool {
        if !self.io.has_joined(namespace) {
            return false;
        }
        let kind = if arguments.attachments().is_empty() { Kind::Event } else { Kind::BinaryEvent };
        let mut packet = self.head(kind, arguments.attachments().len(), namespace, id);
        write_event(&mut packet, name, arguments.raw());
        self.say_with(packet, arguments, class)
    }

    fn head(&self, kind: Kind, attachments: usize, namespace: Namespace, id: Option<u64>) -> String {
        let mut packet = String::new();
        packet::write_head(&mut packet, kind, attachments, self.settings.namespaces.name(namespace), id);
        packet
    }

    fn say(&mut self, packet: String) -> bool {
        self.engine.send(self.turn, Outgoing::Packet(packet), Class::Durable)
    }

    /// A packet and its attachments, or nothing of them: what is said by halves would be read as something else.
    fn say_with(&mut self, packet: String, arguments: Arguments<'_>, class: Class) -> bool {
        if !self.engine.send(self.turn, Outgoing::Packet(packet), class) {
            return false;
        }
        arguments
            .attachments()
            .iter()
            .all(|bytes| self.engine.send(self.turn, Outgoing::Binary(Arc::clone(bytes)), Class::Durable))
    }
}
