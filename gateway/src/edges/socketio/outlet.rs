//! Where a session says things: on its socket, or to the requests that wait at the front door.

use crate::engineio::session::Outlet;
use crate::engineio::{Answer, Reason, Ticket};
use crate::websocket::{CloseCode, encode};

use super::visit::{Delivery, Fate, Parcel, Reply, Waiting};

/// The requests of a session that wait, and the answer whose fate is open.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// A poll and an upload at most, and one more of each for the moment in which it is refused.
    waiting: Vec<Waiting>,
    open: Option<(Ticket, Delivery)>,
}

impl Requests {
    pub(super) fn wait(&mut self, request: Waiting) -> Ticket {
        let ticket = request.ticket;
        self.waiting.push(request);
        ticket
    }

    /// The answer whose fate has been decided: its ticket, and whether it was taken.
    pub(super) fn decided(&mut self) -> Option<(Ticket, bool)> {
        let (_, delivery) = self.open.as_ref()?;
        let taken = match delivery.fate() {
            Fate::Open => return None,
            Fate::Taken => true,
            Fate::Lost => false,
        };
        self.open.take().map(|(ticket, _)| (ticket, taken))
    }

    /// Whether somebody waits for the fate of an answer to be decided.
    pub(super) fn is_undecided(&self) -> bool {
        self.open.is_some() && !self.waiting.is_empty()
    }

    /// Nobody waits, and nothing is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.open.is_none()
    }

    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Waiting> {
        let at = self.waiting.iter().position(|request| request.ticket == ticket)?;
        Some(self.waiting.swap_remove(at))
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let Some(request) = self.take(ticket) else { return };
        let is_packets = matches!(answer, Answer::Packets { .. });
        let (parcel, delivery) = Parcel::new(answer);
        // Whoever asked may have left this very moment: then the parcel is lost with the channel.
        let _ = request.reply.send(Reply::Answer(parcel));
        if is_packets {
            self.open = Some((ticket, delivery));
        }
    }
}

/// What a session wants of its socket beside bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Shut {
    /// It stays.
    #[default]
    No,
    /// The upgrade has failed; the session goes on without it.
    Socket,
    /// It goes with the session.
    Session,
}

pub(super) struct ShardOutlet<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) requests: &'a mut Option<Box<Requests>>,
    pub(super) shut: &'a mut Shut,
}

impl Outlet for ShardOutlet<'_> {
    fn text(&mut self, packet: &str) {
        encode::text(self.out, packet);
    }

    fn binary(&mut self, head: &[u8], data: &[u8]) {
        encode::message_with(self.out, encode::Opcode::Binary, |out| {
            out.extend_from_slice(head);
            out.extend_from_slice(data);
        });
    }

    fn close_socket(&mut self, reason: Option<Reason>) {
        if *self.shut != Shut::No {
            return;
        }
        let code = match reason {
            Some(Reason::TooLarge) => CloseCode::TOO_BIG,
            Some(Reason::SlowConsumer) => CloseCode::TRY_AGAIN,
            // As the reference closes: without a code.
            _ => CloseCode::NO_STATUS,
        };
        encode::close(self.out, code, "");
        *self.shut = if reason.is_some() { Shut::Session } else { Shut::Socket };
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        if let Some(requests) = self.requests {
            requests.answer(ticket, answer);
        }
    }
}
