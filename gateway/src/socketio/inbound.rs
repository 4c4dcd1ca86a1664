//! What a message of the client means. Whatever the protocol does not allow closes the connection, as in the
//! reference; memory is spent only on clients that have joined the namespace they speak in.

use super::packet::{Kind, Packet};
use super::session::Assembly;
use super::{Application, Arguments, Attachment, Credentials, Event, Namespace, Reason, Talk, Verdict, json};
use crate::engineio::{Data, Version};

impl Talk<'_, '_> {
    /// A message came.
    pub(super) fn hear(&mut self, message: &Data<'_>, app: &mut dyn Application) {
        let heard = match message {
            Data::Text(text) => self.text(text, app),
            Data::Binary(bytes) => self.binary(bytes, app),
        };
        if heard.is_none() {
            self.end(Reason::ParseError);
        }
    }

    /// `None`: the connection is to be closed; so in all of this file.
    fn text(&mut self, text: &str, app: &mut dyn Application) -> Option<()> {
        // Nothing may come between a packet and its attachments.
        if self.io.is_assembling() {
            return None;
        }
        let packet = Packet::decode(self.engine.version(), text, self.settings.attachments).ok()?;
        let namespace = self.settings.namespaces.find(packet.namespace);
        if packet.kind == Kind::Connect {
            return self.connect(&packet, namespace, app);
        }
        let namespace = namespace.filter(|namespace| self.io.has_joined(*namespace))?;
        match packet.kind {
            Kind::Disconnect => {
                self.io.leave(namespace);
                app.disconnected(namespace, Reason::ClientNamespaceDisconnect);
                Some(())
            }
            Kind::Event | Kind::Ack => self.whole(&packet, namespace, &[], app),
            Kind::BinaryEvent | Kind::BinaryAck => {
                if text.len() > self.settings.packet_bytes {
                    return None;
                }
                self.io.assemble(Assembly {
                    packet: text.into(),
                    expected: packet.attachments,
                    attachments: Vec::new(),
                    bytes: text.len(),
                    until: self.turn.now.saturating_add(u64::from(self.settings.attachments_timeout)),
                });
                Some(())
            }
            Kind::Connect | Kind::ConnectError => None,
        }
    }

    fn connect(
        &mut self,
        packet: &Packet<'_>,
        namespace: Option<Namespace>,
        app: &mut dyn Application,
    ) -> Option<()> {
        if namespace.is_some_and(|it| self.io.has_joined(it) || self.io.is_pending(it)) {
            return None;
        }
        if !self.admit(app) {
            if self.engine.is_open() {
                let data = &self.settings.busy_event;
                self.connect_error(packet.namespace, "Too many events", Some(data));
            }
            return Some(());
        }
        let Some(namespace) = namespace else {
            self.connect_error(packet.namespace, "Invalid namespace", None);
            return Some(());
        };
        self.io.ask_to_join(namespace);
        let credentials = match (self.engine.version(), packet.data, packet.query) {
            (Version::V4, Some(auth), _) => Credentials::Auth(auth),
            (Version::V3, _, Some(query)) => Credentials::Query(query),
            _ => Credentials::None,
        };
        app.connect(self, namespace, credentials);
        Some(())
    }

    fn binary(&mut self, bytes: &[u8], app: &mut dyn Application) -> Option<()> {
        let mut assembly = self.io.take_assembly()?;
        assembly.bytes = assembly.bytes.saturating_add(bytes.len());
        if assembly.bytes > self.settings.packet_bytes {
            return None;
        }
        assembly.attachments.push(bytes.into());
        if assembly.attachments.len() < usize::from(assembly.expected) {
            self.io.assemble(assembly);
            return Some(());
        }
        let packet =
            Packet::decode(self.engine.version(), &assembly.packet, self.settings.attachments).ok()?;
        let namespace = self.settings.namespaces.find(packet.namespace)?;
        // The server may have ended the membership while attachments were under way.
        if !self.io.has_joined(namespace) {
            return Some(());
        }
        self.whole(&packet, namespace, &assembly.attachments, app)
    }

    /// An event or an ack with all its attachments.
    fn whole(
        &mut self,
        packet: &Packet<'_>,
        namespace: Namespace,
        attachments: &[Attachment],
        app: &mut dyn Application,
    ) -> Option<()> {
        if matches!(packet.kind, Kind::Ack | Kind::BinaryAck) {
            let arguments = checked(packet.ack(), attachments)?;
            // An ack that nobody waits for is ignored, as in the reference.
            if let Some(id) = packet.id.and_then(|id| self.io.acked(namespace, id)) {
                app.acked(self, namespace, id, arguments);
            }
            return Some(());
        }
        let (name, elements) = packet.event().ok()?;
        let arguments = checked(elements, attachments)?;
        if self.admit(app) {
            app.event(self, namespace, Event { name: &name, arguments, ack: packet.id });
        } else if let Some(id) = packet.id {
            self.ack(namespace, id, Arguments::json(&self.settings.busy_ack));
        } else {
            self.emit(namespace, "error", Arguments::json(&self.settings.busy_event));
        }
        Some(())
    }

    /// Asks for the verdict; too many bad ones for too long close the connection.
    fn admit(&mut self, app: &mut dyn Application) -> bool {
        match app.admit() {
            Verdict::Within => {
                self.io.calm(self.settings, self.turn.now);
                true
            }
            Verdict::Over => {
                if self.io.overloaded(self.settings, self.turn.now) {
                    self.end(Reason::Overload);
                }
                false
            }
        }
    }
}

/// Arguments whose placeholders all stand for an attachment.
fn checked<'a>(elements: &'a str, attachments: &'a [Attachment]) -> Option<Arguments<'a>> {
    if !attachments.is_empty() {
        json::placeholders(elements, attachments.len()).ok()?;
    }
    Some(Arguments::with_attachments(elements, attachments))
}
