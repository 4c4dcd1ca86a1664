//! One Engine.IO session: polls, uploads, frames and deadlines in; answers, frames and messages out.
//!
//! An input returns what it meant to the layer above, or ends the session ([`Session::ended`]); what goes out is told
//! to the [`Outlet`] of the [`Turn`]. [`Session::send`] makes packets wait on long-polling until [`Session::flush`]: the
//! caller calls it once it has nothing more to say in its turn, so that one answer carries all of it.
//!
//! Sources: Engine.IO protocol v4 and v3; where they are silent, the reference server.

mod polls;
mod upgrade;
mod uploads;

use super::answer::{Answer, Refusal, Ticket};
use super::handshake::{self, Transport};
use super::packet::{Data, Kind, Packet};
use super::polling::{Arriving, Polling, Upgrade, only};
use super::queue::Outgoing;
use super::{Reason, Settings, Version};

pub use uploads::Upload;

/// How long an upload that closes a session may have overtaken a poll, milliseconds.
const OVERTAKEN: u64 = 50;

/// Where a session says things.
pub trait Outlet {
    /// A text frame on the session's WebSocket.
    fn text(&mut self, packet: &str);
    /// A binary frame: `head`, then `data`.
    fn binary(&mut self, head: &[u8], data: &[u8]);
    /// Closes the WebSocket: with the session and its reason, or alone, because an upgrade failed.
    fn close_socket(&mut self, reason: Option<Reason>);
    /// Answers a request. If it carries packets, [`Session::answer_taken`] or [`Session::answer_lost`] must follow.
    fn answer(&mut self, ticket: Ticket, answer: Answer);
}

/// What an input comes with.
pub struct Turn<'a> {
    /// The numbers of the edge.
    pub settings: &'a Settings,
    /// The clock, monotonic milliseconds.
    pub now: u64,
    /// Where to say things.
    pub outlet: &'a mut dyn Outlet,
}

impl std::fmt::Debug for Turn<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("now", &self.now).finish_non_exhaustive()
    }
}

/// How a session begins.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Its version.
    pub version: Version,
    /// Its id: unguessable, of characters that need no escape in a URL. It is a secret of the client's.
    pub sid: &'a str,
    /// The client cannot take bytes.
    pub base64: bool,
    /// When the first ping is due (v4), milliseconds from now: the interval, or less for some, so that those who came
    /// together are not pinged together for ever.
    pub first_ping: u32,
}

/// A message on a WebSocket, as its framing delivers it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame<'a> {
    /// Text.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

/// What a message of the client carries.
pub type Message<'a> = Data<'a>;

/// What may happen to a packet when a client is slow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// It is said, or the session ends.
    Durable,
    /// It is left out when half of the outbox is full (typing).
    Volatile,
}

/// One session. On a WebSocket it owns nothing on the heap.
#[derive(Debug)]
pub struct Session {
    /// When the client must have been heard, or is to be pinged.
    beat_at: u64,
    beat: Beat,
    version: Version,
    base64: bool,
    state: State,
}

/// Where the heartbeat stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Beat {
    /// v3: the client pings.
    Client,
    /// v4: no ping is under way.
    Rest,
    /// v4: a ping was sent.
    Pinged,
    /// v4: another packet came instead of the pong and has bought time, which only the first one does.
    Heard,
}

#[derive(Debug)]
enum State {
    Socket,
    Polling(Box<Polling>),
    Over(Reason),
}

impl Session {
    /// A session whose handshake was a GET. The open packet waits for [`Session::poll`] with the ticket of that GET;
    /// what the layer above has to say at once comes in the same answer.
    #[must_use]
    pub fn polling(settings: &Settings, now: u64, opening: &Opening<'_>) -> Self {
        let open = handshake::open_packet(settings, opening.sid, Transport::Polling);
        let polling = Polling::new(opening.sid, !opening.base64, open);
        Self::new(settings, now, opening, State::Polling(Box::new(polling)))
    }

    /// A session whose handshake was a WebSocket; says the open packet.
    pub fn websocket(turn: &mut Turn<'_>, opening: &Opening<'_>) -> Self {
        let open = handshake::open_packet(turn.settings, opening.sid, Transport::WebSocket);
        turn.outlet.text(&open);
        Self::new(turn.settings, turn.now, opening, State::Socket)
    }

    fn new(settings: &Settings, now: u64, opening: &Opening<'_>, state: State) -> Self {
        let (beat, beat_at) = match opening.version {
            Version::V3 => (Beat::Client, now.saturating_add(silence(settings))),
            Version::V4 => (Beat::Rest, now.saturating_add(u64::from(opening.first_ping))),
        };
        Self { beat_at, beat, version: opening.version, base64: opening.base64, state }
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Its transport now; `None` after its end.
    #[must_use]
    pub fn transport(&self) -> Option<Transport> {
        match &self.state {
            State::Socket => Some(Transport::WebSocket),
            State::Polling(polling) if matches!(polling.upgrade, Upgrade::Moved { .. }) => {
                Some(Transport::WebSocket)
            }
            State::Polling(_) => Some(Transport::Polling),
            State::Over(_) => None,
        }
    }

    /// Its id, as long as requests may come with it; to be compared in constant time. A session that has moved to its
    /// WebSocket has forgotten it.
    #[must_use]
    pub fn sid(&self) -> Option<&str> {
        match &self.state {
            State::Polling(polling) => Some(&polling.sid),
            _ => None,
        }
    }

    /// Why it is over, once it is.
    #[must_use]
    pub const fn ended(&self) -> Option<Reason> {
        match self.state {
            State::Over(reason) => Some(reason),
            _ => None,
        }
    }

    /// Why it is over, or is about to be: it only waits to say so.
    #[must_use]
    pub fn ending(&self) -> Option<Reason> {
        match &self.state {
            State::Socket => None,
            State::Polling(polling) if polling.gone => Some(Reason::TransportClose),
            State::Polling(polling) => polling.closing.map(|_| Reason::ForcedClose),
            State::Over(reason) => Some(*reason),
        }
    }

    /// Whether messages still come and go: not over, and not waiting to say that it is.
    #[must_use]
    pub fn is_open(&self) -> bool {
        match &self.state {
            State::Socket => true,
            State::Polling(polling) => polling.closing.is_none(),
            State::Over(_) => false,
        }
    }

    /// When [`Session::on_deadline`] is to be called, monotonic milliseconds; `u64::MAX`: never.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        match &self.state {
            State::Socket => self.beat_at,
            State::Polling(polling) => {
                let beat_or_end = polling.closing.unwrap_or(self.beat_at);
                polling.upgrade.until().map_or(beat_or_end, |until| until.min(beat_or_end))
            }
            State::Over(_) => u64::MAX,
        }
    }

    /// Does what is due: a ping, the end of an upgrade, the end of the session. Too early it does nothing.
    pub fn on_deadline(&mut self, turn: &mut Turn<'_>) {
        if let State::Polling(polling) = &mut self.state {
            if polling.upgrade.until().is_some_and(|until| until <= turn.now) {
                if matches!(polling.upgrade, Upgrade::Moved { .. }) {
                    return self.end(turn, Reason::TransportError, Kind::Close);
                }
                polling.upgrade = Upgrade::None;
                turn.outlet.close_socket(None);
            }
            match polling.closing {
                Some(until) if until <= turn.now => {
                    let reason = if polling.gone { Reason::TransportClose } else { Reason::ForcedClose };
                    return self.end(turn, reason, Kind::Close);
                }
                Some(_) => return,
                None => {}
            }
        }
        if self.ended().is_some() || self.beat_at > turn.now {
            return;
        }
        if self.beat != Beat::Rest {
            return self.end(turn, Reason::PingTimeout, Kind::Close);
        }
        self.beat = Beat::Pinged;
        // A timer that fires a little late does not make the client's time longer; one that fires very late does.
        let timeout = u64::from(turn.settings.ping_timeout);
        let late = (turn.now - self.beat_at).min(timeout / 4);
        self.beat_at = turn.now.saturating_add(timeout - late);
        self.send(turn, Outgoing::Bare(Kind::Ping), Class::Durable);
        self.flush(turn);
    }

    /// Timers are coarse and a request may be quicker: one that comes behind the session's end finds it over.
    fn catch_up(&mut self, turn: &mut Turn<'_>) {
        if self.deadline() <= turn.now {
            self.on_deadline(turn);
        }
    }

    /// A message came on the session's WebSocket, be it on trial or for good.
    pub fn frame<'a>(&mut self, turn: &mut Turn<'_>, frame: Frame<'a>) -> Option<Message<'a>> {
        let packet = match frame {
            Frame::Text(text) => Packet::from_text(self.version, text),
            Frame::Binary(bytes) => Packet::from_binary(self.version, bytes),
        };
        let upgrade = match &self.state {
            State::Over(_) => return None,
            State::Socket => None,
            State::Polling(polling) => match polling.upgrade {
                // No socket was taken, so none can speak.
                Upgrade::None => return None,
                Upgrade::Moved { .. } => None,
                upgrade => Some(upgrade),
            },
        };
        match (packet, upgrade) {
            (Ok(packet), None) => self.packet(turn, packet),
            (Err(_), None) => {
                self.end(turn, Reason::ParseError, Kind::Close);
                None
            }
            (packet, Some(upgrade)) => {
                self.trial(turn, upgrade, packet.ok().as_ref());
                None
            }
        }
    }

    /// A packet on the session's transport.
    fn packet<'a>(&mut self, turn: &mut Turn<'_>, packet: Packet<'a>) -> Option<Message<'a>> {
        match self.beat {
            Beat::Client => self.beat_at = turn.now.saturating_add(silence(turn.settings)),
            Beat::Pinged if packet.kind != Kind::Pong => {
                self.beat = Beat::Heard;
                self.beat_at = turn.now.saturating_add(u64::from(turn.settings.ping_timeout));
            }
            _ => {}
        }
        match (packet.kind, self.version) {
            (Kind::Message, _) => return self.is_open().then_some(packet.data),
            (Kind::Ping, Version::V3) => {
                // A client's ping has no data, or `probe`; what is bytes or long is no heartbeat to echo.
                let data = match packet.data {
                    Data::Text(text) if text.len() <= 125 => text,
                    _ => "",
                };
                self.send(turn, Outgoing::Packet(format!("3{data}")), Class::Durable);
                self.flush(turn);
            }
            (Kind::Pong, Version::V4) => {
                self.beat = Beat::Rest;
                self.beat_at = turn.now.saturating_add(u64::from(turn.settings.ping_interval));
            }
            // The wrong direction.
            (Kind::Ping, Version::V4) | (Kind::Pong, Version::V3) => {
                self.end(turn, Reason::TransportError, Kind::Close);
            }
            (Kind::Close, _) => self.leave(turn),
            // Without meaning from a client; the reference ignores them, too.
            (Kind::Open | Kind::Upgrade | Kind::Noop, _) => {}
        }
        None
    }

    /// The client closes. Its poll may be on the way on another connection, sent before the upload that has overtaken
    /// it: the upload is not answered before that poll has come to be released, or has not come.
    fn leave(&mut self, turn: &mut Turn<'_>) {
        match &mut self.state {
            State::Polling(polling)
                if polling.waiting().is_none() && matches!(polling.upload, Arriving::Whole(_)) =>
            {
                polling.gone = true;
                polling.closing = Some(turn.now.saturating_add(OVERTAKEN));
                if polling.upgrade != Upgrade::None {
                    polling.upgrade = Upgrade::None;
                    turn.outlet.close_socket(None);
                }
            }
            _ => self.end(turn, Reason::TransportClose, Kind::Noop),
        }
    }

    /// Says a packet; whether it will be said. On long-polling it waits for [`Session::flush`], and the session ends
    /// when more waits than the outbox holds.
    pub fn send(&mut self, turn: &mut Turn<'_>, outgoing: Outgoing, class: Class) -> bool {
        match &mut self.state {
            State::Over(_) => false,
            State::Socket => {
                self.write(turn, &outgoing);
                true
            }
            State::Polling(polling) => {
                if polling.closing.is_some()
                    || class == Class::Volatile
                        && polling.queue.cost() + outgoing.len() > turn.settings.outbox / 2
                {
                    return false;
                }
                polling.queue.push(outgoing);
                if polling.queue.cost() > turn.settings.outbox {
                    self.end(turn, Reason::SlowConsumer, Kind::Close);
                    return false;
                }
                true
            }
        }
    }

    /// Answers the poll that waits, if there is something to answer it with.
    pub fn flush(&mut self, turn: &mut Turn<'_>) {
        let State::Polling(polling) = &mut self.state else { return };
        let Some((ticket, answer, last)) = polling.answer(turn.settings, self.version) else { return };
        turn.outlet.answer(ticket, answer);
        if last {
            self.end(turn, Reason::ForcedClose, Kind::Close);
        }
    }

    fn write(&self, turn: &mut Turn<'_>, outgoing: &Outgoing) {
        match (outgoing, self.version) {
            (Outgoing::Binary(bytes), version) if self.base64 => {
                let mut text = String::new();
                Packet::binary(bytes).write_text(version, &mut text);
                turn.outlet.text(&text);
            }
            (Outgoing::Binary(bytes), Version::V3) => turn.outlet.binary(&[Kind::Message as u8], bytes),
            (Outgoing::Binary(bytes), Version::V4) => turn.outlet.binary(&[], bytes),
            (text, _) => turn.outlet.text(text.as_text().unwrap_or_default()),
        }
    }

    /// The server closes: a socket at once, a polling client with the answer after what waits for it.
    pub fn close(&mut self, turn: &mut Turn<'_>) {
        match &mut self.state {
            State::Over(_) => {}
            State::Socket => self.end(turn, Reason::ForcedClose, Kind::Close),
            State::Polling(polling) => {
                if polling.closing.is_some() {
                    return;
                }
                polling.closing = Some(turn.now.saturating_add(u64::from(turn.settings.close_timeout)));
                // A client whose probe was answered may have left off polling for good, and one that loses its socket then
                // neither polls nor moves: it hears of the close on the socket, once it has moved.
                if matches!(polling.upgrade, Upgrade::Opened { .. }) {
                    polling.upgrade = Upgrade::None;
                    turn.outlet.close_socket(None);
                }
                self.flush(turn);
            }
        }
    }

    /// The session is over: nobody who waits is left without an answer (CVE-2026-59725). `release` is the packet that a
    /// waiting poll gets.
    fn end(&mut self, turn: &mut Turn<'_>, reason: Reason, release: Kind) {
        match std::mem::replace(&mut self.state, State::Over(reason)) {
            State::Over(before) => self.state = State::Over(before),
            State::Socket => turn.outlet.close_socket(Some(reason)),
            State::Polling(polling) => {
                if let Some((ticket, answer)) = polling.last_word_to_upload(reason) {
                    turn.outlet.answer(ticket, answer);
                }
                if let Some(ticket) = polling.waiting() {
                    turn.outlet.answer(ticket, only(self.version, release));
                }
                if polling.upgrade != Upgrade::None {
                    turn.outlet.close_socket(Some(reason));
                }
            }
        }
    }
}

fn refuse(turn: &mut Turn<'_>, ticket: Ticket, refusal: Refusal) {
    turn.outlet.answer(ticket, Answer::Refused(refusal));
}

/// How long a v3 client may be silent.
fn silence(settings: &Settings) -> u64 {
    u64::from(settings.ping_interval) + u64::from(settings.ping_timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parked_session_is_small() {
        assert_eq!(size_of::<Session>(), 32);
    }
}
