//! What a session is reached by: a socket, requests through the front door, or both while it moves from the one to the other.

use super::visit::{Delivery, Fate, Parcel, Reply, Waiting};
use crate::engineio::{Answer, Ticket};
use crate::websocket::WebSocket;

/// See the file's header. On a socket it owns nothing.
#[derive(Debug, Default)]
pub(super) enum Link {
    #[default]
    Nothing,
    Socket(WebSocket),
    Requests(Box<Requests>),
    Both(Box<(WebSocket, Requests)>),
}

impl Link {
    pub(super) fn socket(&self) -> Option<&WebSocket> {
        match self {
            Self::Socket(socket) => Some(socket),
            Self::Both(both) => Some(&both.0),
            Self::Nothing | Self::Requests(_) => None,
        }
    }

    /// A socket has come, or back.
    pub(super) fn connect(&mut self, socket: WebSocket) {
        *self = match std::mem::take(self) {
            Self::Nothing | Self::Socket(_) => Self::Socket(socket),
            Self::Requests(requests) => Self::Both(Box::new((socket, *requests))),
            Self::Both(both) => Self::Both(Box::new((socket, both.1))),
        };
    }

    /// The socket is gone, or wanted elsewhere for a while.
    pub(super) fn take_socket(&mut self) -> Option<WebSocket> {
        let (socket, rest) = match std::mem::take(self) {
            Self::Socket(socket) => (Some(socket), Self::Nothing),
            Self::Both(both) => (Some(both.0), Self::Requests(Box::new(both.1))),
            other => (None, other),
        };
        *self = rest;
        socket
    }

    pub(super) fn requests(&self) -> Option<&Requests> {
        match self {
            Self::Requests(requests) => Some(requests),
            Self::Both(both) => Some(&both.1),
            Self::Nothing | Self::Socket(_) => None,
        }
    }

    pub(super) fn requests_mut(&mut self) -> Option<&mut Requests> {
        match self {
            Self::Requests(requests) => Some(requests),
            Self::Both(both) => Some(&mut both.1),
            Self::Nothing | Self::Socket(_) => None,
        }
    }

    /// A request has come that waits.
    pub(super) fn wait(&mut self, request: Waiting) -> Ticket {
        let ticket = request.ticket;
        match self.requests_mut() {
            Some(requests) => requests.waiting.push(request),
            None => {
                let requests = Requests { waiting: vec![request], open: None };
                *self = match self.take_socket() {
                    Some(socket) => Self::Both(Box::new((socket, requests))),
                    None => Self::Requests(Box::new(requests)),
                };
            }
        }
        ticket
    }

    /// Gives back what is of no use now.
    pub(super) fn tidy(&mut self) {
        if self.requests().is_some_and(Requests::is_idle) {
            *self = self.take_socket().map_or(Self::Nothing, Self::Socket);
        }
    }
}

/// The requests of a session that wait, and the answer whose fate is open.
#[derive(Debug)]
pub(super) struct Requests {
    /// A poll and an upload at most, and one more of each for the moment in which it is refused.
    waiting: Vec<Waiting>,
    open: Option<(Ticket, Delivery)>,
}

impl Requests {
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
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.open.is_none()
    }

    pub(super) fn take(&mut self, ticket: Ticket) -> Option<Waiting> {
        let at = self.waiting.iter().position(|request| request.ticket == ticket)?;
        Some(self.waiting.swap_remove(at))
    }

    pub(super) fn answer(&mut self, ticket: Ticket, answer: Answer) {
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
