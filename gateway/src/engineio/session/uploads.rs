//! The uploads of a session: one arrives at a time, and each is answered, whatever is in it.

use super::super::answer::{Answer, Refusal, Ticket};
use super::super::packet::Kind;
use super::super::payload::Payload;
use super::super::polling::{Arriving, Upgrade};
use super::super::{Reason, Session, Version};
use super::{Message, State, Turn, refuse};

/// The packets of an upload that are yet to be handled; see [`Session::next`].
#[derive(Debug)]
pub struct Upload<'a>(Payload<'a>);

impl Session {
    /// The head of a POST arrived, its body follows with [`Session::upload`]. A second one meanwhile is a mistake
    /// that ends the session. Callers that read a body before they tell may leave this out.
    pub fn upload_begins(&mut self, turn: &mut Turn<'_>, ticket: Ticket) {
        self.catch_up(turn);
        let polling = match &mut self.state {
            State::Over(_) => return refuse(turn, ticket, Refusal::SessionUnknown),
            State::Polling(polling) if !matches!(polling.upgrade, Upgrade::Moved { .. }) => polling,
            _ => return refuse(turn, ticket, Refusal::BadRequest),
        };
        match polling.upload.ticket() {
            None => polling.upload = Arriving::Begun(ticket),
            Some(other) if other == ticket => {}
            Some(_) => {
                refuse(turn, ticket, Refusal::BadRequest);
                self.end(turn, Reason::TransportError, Kind::Close);
            }
        }
    }

    /// A POST announces or has more than `maxPayload`: it is refused, and the session ends.
    pub fn upload_too_large(&mut self, turn: &mut Turn<'_>, ticket: Ticket) {
        self.upload_begins(turn, ticket);
        if self.is_uploading(ticket) {
            self.end(turn, Reason::TooLarge, Kind::Close);
        }
    }

    /// A POST arrived. `octets`: its type is application/octet-stream, which only v3 has; any other is text. Call
    /// [`Session::next`] until it returns `None`; the request is answered by then, whatever was in it.
    pub fn upload<'a>(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        octets: bool,
        body: &'a [u8],
    ) -> Option<Upload<'a>> {
        if body.len() > turn.settings.max_payload as usize {
            self.upload_too_large(turn, ticket);
            return None;
        }
        self.upload_begins(turn, ticket);
        if !self.is_uploading(ticket) {
            return None;
        }
        let State::Polling(polling) = &mut self.state else { return None };
        polling.upload = Arriving::Whole(ticket);
        let payload = match (octets, self.version) {
            (true, Version::V3) => Payload::binary(body),
            (true, Version::V4) => {
                self.end(turn, Reason::TransportError, Kind::Close);
                return None;
            }
            (false, version) => match std::str::from_utf8(body) {
                Ok(text) => Payload::text(version, text),
                Err(_) => {
                    self.end(turn, Reason::ParseError, Kind::Close);
                    return None;
                }
            },
        };
        Some(Upload(payload))
    }

    fn is_uploading(&self, ticket: Ticket) -> bool {
        matches!(&self.state, State::Polling(polling) if polling.upload.ticket() == Some(ticket))
    }

    /// The next message of an upload. At its end, or the session's, the upload is answered.
    pub fn next<'a>(&mut self, turn: &mut Turn<'_>, upload: &mut Upload<'a>) -> Option<Message<'a>> {
        while self.is_open() {
            let packet = match upload.0.next() {
                None => break,
                Some(Ok(packet)) => packet,
                Some(Err(_)) => {
                    self.end(turn, Reason::ParseError, Kind::Close);
                    return None;
                }
            };
            let message = self.packet(turn, packet);
            if message.is_some() {
                return message;
            }
        }
        if let State::Polling(polling) = &mut self.state
            && let Arriving::Whole(ticket) = polling.upload
            && !polling.gone
        {
            polling.upload = Arriving::None;
            turn.outlet.answer(ticket, Answer::Ok);
        }
        self.flush(turn);
        None
    }
}
