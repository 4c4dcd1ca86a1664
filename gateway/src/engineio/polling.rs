//! What only a session on long-polling has: a poll that waits, an upload that arrives, packets that wait, and perhaps
//! a WebSocket on trial. One box, freed when the session has moved to its WebSocket.
//!
//! A packet leaves the queue when the answer that carries it has been taken, not when it was written: an answer goes
//! to the request through other hands, which may come too late.

use super::Version;
use super::answer::{Answer, Ticket};
use super::packet::Kind;
use super::payload::PayloadWriter;
use super::queue::{Outgoing, Queue};
use super::{Reason, Settings};

/// See the file's header.
#[derive(Debug)]
pub(super) struct Polling {
    /// The id of the session: who knows it speaks for the session.
    pub(super) sid: Box<str>,
    /// Whether bytes may be sent as bytes (v3).
    pub(super) binary: bool,
    pub(super) queue: Queue,
    pub(super) poll: Poll,
    pub(super) upload: Arriving,
    pub(super) upgrade: Upgrade,
    /// The server has closed the session and waits until then for a poll to say so.
    pub(super) closing: Option<u64>,
    /// It was the client that has closed it, and a poll of its may be on the way.
    pub(super) gone: bool,
}

/// The one GET a session may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Poll {
    /// There is none.
    None,
    /// It waits for packets.
    Waiting(Ticket),
    /// It was answered with the first packets of the queue, and nobody has said whether the answer was taken. A
    /// client that has read it may be back already; its next poll waits for that word.
    Answered { ticket: Ticket, packets: usize, next: Option<Ticket> },
}

/// The one POST a session may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arriving {
    /// There is none.
    None,
    /// Its head has come.
    Begun(Ticket),
    /// It has come, and its packets are being handled.
    Whole(Ticket),
}

impl Arriving {
    pub(super) fn ticket(self) -> Option<Ticket> {
        match self {
            Self::None => None,
            Self::Begun(ticket) | Self::Whole(ticket) => Some(ticket),
        }
    }
}

/// The way to a WebSocket (Engine.IO protocol v4, "Upgrade"). Times say how long the step may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Upgrade {
    /// Nobody has asked.
    None,
    /// The socket is there and has not been probed.
    Opened { until: u64 },
    /// The probe was answered; polls are released so that the client can leave off.
    Probed { until: u64 },
    /// The client has moved, but an answer is still under way: what it carries must not be said twice, so nothing
    /// is said on the socket before its fate is known.
    Moved { until: u64 },
}

impl Upgrade {
    pub(super) fn until(self) -> Option<u64> {
        match self {
            Self::None => None,
            Self::Opened { until } | Self::Probed { until } | Self::Moved { until } => Some(until),
        }
    }
}

impl Polling {
    pub(super) fn new(sid: &str, binary: bool, open: String) -> Self {
        let mut queue = Queue::default();
        queue.push(Outgoing::Packet(open));
        Self {
            sid: sid.into(),
            binary,
            queue,
            poll: Poll::None,
            upload: Arriving::None,
            upgrade: Upgrade::None,
            closing: None,
            gone: false,
        }
    }

    /// The body for a waiting poll, if there is reason to answer it: packets, the end of the session, or an upgrade.
    /// The flag says that it carried the end.
    pub(super) fn answer(&mut self, settings: &Settings, version: Version) -> Option<(Ticket, Answer, bool)> {
        let Poll::Waiting(ticket) = self.poll else { return None };
        let release = matches!(self.upgrade, Upgrade::Probed { .. });
        if self.queue.is_empty() && self.closing.is_none() && !release {
            return None;
        }
        let most = settings.answer_packets.max(1);
        let mut payload = PayloadWriter::new(version, self.binary && self.queue.has_binary(most));
        let packets = self.queue.write(&mut payload, most, settings.answer_bytes);
        let last = self.closing.is_some() && packets == self.queue.len() && packets < most;
        if last {
            payload.push_encoded(Kind::Close.bare());
        } else if packets == 0 {
            payload.push_encoded(Kind::Noop.bare());
        }
        self.poll = match packets {
            0 => Poll::None,
            packets => Poll::Answered { ticket, packets, next: None },
        };
        let (body, binary) = payload.finish();
        Some((ticket, Answer::Packets { body, binary }, last))
    }

    /// The polls that wait for an answer now.
    pub(super) fn waiting(&self) -> Option<Ticket> {
        match self.poll {
            Poll::None => None,
            Poll::Waiting(ticket) => Some(ticket),
            Poll::Answered { next, .. } => next,
        }
    }

    /// What the upload under way is answered when the session ends.
    pub(super) fn last_word_to_upload(&self, reason: Reason) -> Option<(Ticket, Answer)> {
        let refused = Answer::Refused(super::answer::Refusal::BadRequest);
        Some(match (self.upload, reason) {
            (Arriving::None, _) => return None,
            (Arriving::Begun(ticket) | Arriving::Whole(ticket), Reason::TooLarge) => {
                (ticket, Answer::TooLarge)
            }
            (Arriving::Whole(ticket), Reason::ParseError | Reason::TransportError) => (ticket, refused),
            // It was read as far as the session went.
            (Arriving::Whole(ticket), _) => (ticket, Answer::Ok),
            (Arriving::Begun(ticket), _) => (ticket, refused),
        })
    }
}

/// A body of one packet without data.
pub(super) fn only(version: Version, kind: Kind) -> Answer {
    let mut payload = PayloadWriter::new(version, false);
    payload.push_encoded(kind.bare());
    let (body, binary) = payload.finish();
    Answer::Packets { body, binary }
}
