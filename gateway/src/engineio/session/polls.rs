//! The polls of a session: one waits at a time, and what an answer carried is said once somebody has taken it.

use super::super::answer::{Refusal, Ticket};
use super::super::packet::Kind;
use super::super::polling::{Arriving, Poll, Upgrade};
use super::super::{Reason, Session};
use super::{State, Turn, refuse};

impl Session {
    /// A GET arrived. A second one while the first waits is a mistake that ends the session.
    pub fn poll(&mut self, turn: &mut Turn<'_>, ticket: Ticket) {
        self.catch_up(turn);
        let polling = match &mut self.state {
            State::Over(_) => return refuse(turn, ticket, Refusal::SessionUnknown),
            State::Polling(polling) if !matches!(polling.upgrade, Upgrade::Moved { .. }) => polling,
            _ => return refuse(turn, ticket, Refusal::BadRequest),
        };
        if polling.gone {
            polling.poll = Poll::Waiting(ticket);
            return self.end(turn, Reason::TransportClose, Kind::Noop);
        }
        match &mut polling.poll {
            Poll::None => polling.poll = Poll::Waiting(ticket),
            Poll::Answered { next: next @ None, .. } => *next = Some(ticket),
            Poll::Waiting(_) | Poll::Answered { .. } => {
                refuse(turn, ticket, Refusal::BadRequest);
                return self.end(turn, Reason::TransportError, Kind::Close);
            }
        }
        self.flush(turn);
    }

    /// The client gave up a request that waits: the session is over, as in the reference.
    pub fn request_gone(&mut self, turn: &mut Turn<'_>, ticket: Ticket) {
        let State::Polling(polling) = &mut self.state else { return };
        if polling.waiting() == Some(ticket) {
            match &mut polling.poll {
                Poll::Answered { next, .. } => *next = None,
                poll => *poll = Poll::None,
            }
        } else if polling.upload.ticket() == Some(ticket) {
            polling.upload = Arriving::None;
        } else {
            return;
        }
        self.end(turn, Reason::TransportError, Kind::Close);
    }

    /// The answer with this ticket is on its way to the client: its packets are said.
    pub fn answer_taken(&mut self, turn: &mut Turn<'_>, ticket: Ticket) {
        self.settle(turn, ticket, true);
    }

    /// The answer with this ticket found nobody: its packets wait for the next poll.
    pub fn answer_lost(&mut self, turn: &mut Turn<'_>, ticket: Ticket) {
        self.settle(turn, ticket, false);
    }

    fn settle(&mut self, turn: &mut Turn<'_>, ticket: Ticket, taken: bool) {
        let State::Polling(polling) = &mut self.state else { return };
        let Poll::Answered { ticket: answered, packets, next } = polling.poll else { return };
        if answered != ticket {
            return;
        }
        if taken {
            polling.queue.forget(packets);
        }
        polling.poll = next.map_or(Poll::None, Poll::Waiting);
        if matches!(polling.upgrade, Upgrade::Moved { .. }) {
            self.settle_on_socket(turn);
        } else {
            self.flush(turn);
        }
    }
}
