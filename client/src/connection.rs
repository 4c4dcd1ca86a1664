//! One connection without I/O: bytes and commands in, events and bytes out, and a time at which it wants to be woken.
//!
//! The caller owns the socket and the clock. After every call that takes `&mut self` it writes what
//! [`Connection::outgoing`] has, takes events from [`Connection::poll_event`] until there are none, and calls
//! [`Connection::handle_timeout`] when [`Connection::deadline`] has come. A connection that has ended stays so; a new one
//! is made for the next attempt.

use std::collections::VecDeque;
use std::fmt;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use schema::chat::ChatEvent;
use schema::close::Advice;
use schema::command::Payload;
use schema::event::TapEvent;
use schema::frame::{
    ClientFrame, Closing, Connect, Encoder, FrameError, Liveness, PREFIX, Refused, SERVER_FRAME_MAX,
    ServerFrame, Splitter, Welcome, decode_server,
};
use schema::{CloseReason, Command, Id, Refusal, Reply, UserPresence};

use crate::error::Error;

/// How long a server may take to answer a Connect. It gives its own clients 5 s, and a busy one is waited for a while.
pub const CONNECT_TIME: Duration = Duration::from_secs(10);

/// What a connection tells.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The session is established. The first event, unless the connection ends before.
    Ready(Welcome),
    /// The answer to the command with this tag.
    Reply {
        /// As [`Connection::command`] gave it.
        tag: u64,
        /// What came of it.
        result: Result<Reply, Refused>,
    },
    /// A heartbeat was acknowledged.
    Alive {
        /// The server's clock, milliseconds since the Unix epoch.
        server_ms: u64,
    },
    /// Watched users changed.
    Presence(Vec<UserPresence>),
    /// A payload for this user.
    Message {
        /// Who sent it.
        from: Id,
        /// What.
        payload: Payload,
    },
    /// A payload published on a channel.
    Published {
        /// Where.
        channel: Id,
        /// Who published it.
        from: Id,
        /// What.
        payload: Payload,
    },
    /// A session opened or closed on the node.
    Tap(TapEvent),
    /// Something happened in a conversation.
    Chat(ChatEvent),
    /// The connection has ended. The last event; commands without a reply get none.
    Closed(End),
}

/// How a connection ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// Why; `None` when the server gave a reason that this code does not know.
    pub reason: Option<CloseReason>,
    /// What to do next.
    pub advice: Advice,
    /// How long to wait before that, if the server says so.
    pub retry_after: Option<Duration>,
    /// For the log.
    pub text: String,
}

impl End {
    /// An end with the reason's own advice and text.
    #[must_use]
    pub fn of(reason: CloseReason) -> Self {
        Self::from(Closing::new(reason))
    }

    fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }
}

impl From<Closing> for End {
    fn from(closing: Closing) -> Self {
        Self {
            reason: closing.reason,
            advice: closing.advice,
            retry_after: closing.retry_after_ms.map(|ms| Duration::from_millis(ms.into())),
            text: closing.text.into_owned(),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// One connection. See the head of this file for how it is driven.
#[derive(Debug)]
pub struct Connection {
    state: State,
    splitter: Splitter,
    encoder: Encoder,
    outgoing: Vec<u8>,
    events: VecDeque<Event>,
    last_tag: u64,
    /// Spreads the first heartbeat over its interval.
    random: u64,
}

#[derive(Debug)]
enum State {
    Connecting {
        give_up: Instant,
    },
    Ready {
        max_frame: usize,
        /// `None` with TCP keep-alive.
        pulse: Option<Pulse>,
    },
    Closed,
}

#[derive(Debug)]
struct Pulse {
    interval: Duration,
    silence: Duration,
    /// When the next heartbeat is due.
    beat: Instant,
    /// When the server is taken for dead.
    dead: Instant,
}

impl Connection {
    /// Begins: a Connect is ready to be written. `random` is any number from all of them; it keeps a crowd that connects
    /// together from beating together.
    #[must_use]
    pub fn new(connect: Connect, now: Instant, random: u64) -> Self {
        let mut connection = Self {
            state: State::Connecting { give_up: now + CONNECT_TIME },
            splitter: Splitter::new(),
            encoder: Encoder::new(),
            outgoing: Vec::new(),
            events: VecDeque::new(),
            last_tag: 0,
            random,
        };
        connection.encoder.client(&ClientFrame::Connect(connect), &mut connection.outgoing);
        connection
    }

    /// The session is established.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready { .. })
    }

    /// It has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Longest frame the server takes; 0 before it has said so.
    #[must_use]
    pub fn max_frame(&self) -> usize {
        match self.state {
            State::Ready { max_frame, .. } => max_frame,
            State::Connecting { .. } | State::Closed => 0,
        }
    }

    /// Bytes to write, and to remove when they are written.
    pub fn outgoing(&mut self) -> &mut Vec<u8> {
        &mut self.outgoing
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Connection::handle_timeout`] wants to be called.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Connecting { give_up } => Some(*give_up),
            State::Ready { pulse, .. } => pulse.as_ref().map(|pulse| pulse.beat.min(pulse.dead)),
            State::Closed => None,
        }
    }

    /// Says a command; the tag comes back with its reply (but for [`Command::Activity`], which has none).
    ///
    /// # Errors
    /// [`Error::NotReady`], or [`Error::TooLarge`] for one that the server would not take.
    pub fn command(&mut self, command: &Command, now: Instant) -> Result<u64, Error> {
        let State::Ready { max_frame, pulse } = &mut self.state else { return Err(Error::NotReady) };
        let start = self.outgoing.len();
        let tag = self.last_tag + 1;
        self.encoder.command(tag, command, &mut self.outgoing);
        let bytes = self.outgoing.len() - start - PREFIX;
        if bytes > *max_frame {
            self.outgoing.truncate(start);
            return Err(Error::TooLarge { bytes, max: *max_frame });
        }
        self.last_tag = tag;
        if let Some(pulse) = pulse
            && *command != Command::Activity
        {
            // Every frame is a sign of life to the server, and the answer one of the server: no heartbeat is needed
            // for a while. Activity alone has no answer.
            pulse.beat = now + pulse.interval;
        }
        Ok(tag)
    }

    /// The user did something: moves last seen. A heartbeat that is not answered; a connection that is not ready keeps
    /// it to itself.
    pub fn activity(&mut self) {
        if self.is_ready() {
            let heartbeat = ClientFrame::Heartbeat { tag: 0, answer: false, activity: true };
            self.encoder.client(&heartbeat, &mut self.outgoing);
        }
    }

    /// Leaves in order; `logout` also ends the grace in which the user still counts as online. Write what is outgoing,
    /// then close the socket.
    pub fn goodbye(&mut self, logout: bool) {
        if self.is_ready() {
            self.encoder.client(&ClientFrame::Goodbye { logout }, &mut self.outgoing);
        }
        let reason = if logout { CloseReason::LoggedOut } else { CloseReason::ClientClosed };
        self.close(End::of(reason));
    }

    /// Bytes came from the socket.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) {
        if self.is_closed() {
            return;
        }
        if let State::Ready { pulse: Some(pulse), .. } = &mut self.state {
            pulse.dead = now + pulse.silence;
        }
        let mut splitter = std::mem::take(&mut self.splitter);
        let fed = splitter.feed(bytes, SERVER_FRAME_MAX, |frame| {
            match decode_server(frame) {
                Ok(frame) => self.frame(frame, now),
                Err(error) => self.unreadable(&error),
            }
            if self.is_closed() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        self.splitter = splitter;
        if let Err(error) = fed {
            self.unreadable(&error);
        }
    }

    /// The socket has ended or failed; `text` is for the log.
    pub fn lost(&mut self, text: impl Into<String>) {
        self.close(End::of(CloseReason::Lost).with_text(text));
    }

    /// The deadline has come.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::Connecting { give_up } if now >= *give_up => {
                self.close(
                    End::of(CloseReason::Lost).with_text("the server did not answer the Connect in time"),
                );
            }
            State::Ready { pulse: Some(pulse), .. } if now >= pulse.dead => {
                self.close(End::of(CloseReason::Silent).with_text("nothing was heard of the server"));
            }
            State::Ready { pulse: Some(pulse), .. } if now >= pulse.beat => {
                pulse.beat = now + pulse.interval;
                let heartbeat = ClientFrame::Heartbeat { tag: 0, answer: true, activity: false };
                self.encoder.client(&heartbeat, &mut self.outgoing);
            }
            State::Connecting { .. } | State::Ready { .. } | State::Closed => {}
        }
    }

    fn frame(&mut self, frame: ServerFrame, now: Instant) {
        let connecting = matches!(self.state, State::Connecting { .. });
        let event = match frame {
            ServerFrame::Closing(closing) => return self.close(End::from(closing)),
            ServerFrame::Welcome(welcome) if connecting => {
                self.state = State::Ready {
                    max_frame: welcome.max_frame as usize,
                    pulse: Pulse::of(&welcome, now, self.random),
                };
                Event::Ready(welcome)
            }
            ServerFrame::Welcome(_) => return self.protocol_error("a second Welcome"),
            _ if connecting => return self.protocol_error("something else than a Welcome"),
            ServerFrame::HeartbeatAck { server_ms, .. } => Event::Alive { server_ms },
            ServerFrame::Reply { tag, reply } => Event::Reply { tag, result: Ok(reply) },
            ServerFrame::Refused(refused) => Event::Reply { tag: refused.tag, result: Err(refused) },
            ServerFrame::Presence(users) => Event::Presence(users),
            ServerFrame::Message { from, payload } => Event::Message { from, payload },
            ServerFrame::Published { channel, from, payload } => Event::Published { channel, from, payload },
            ServerFrame::Tap(tap) => Event::Tap(tap),
            ServerFrame::Chat(event) => Event::Chat(*event),
        };
        self.events.push_back(event);
    }

    /// A newer server may say what this code does not know. That costs the answer it was, if it was one, and nothing else.
    fn unreadable(&mut self, error: &FrameError) {
        let (FrameError::Unknown { tag, .. }
        | FrameError::Invalid { tag, .. }
        | FrameError::TooManyIds { tag }) = *error
        else {
            return self.protocol_error(&error.to_string());
        };
        if tag != 0 {
            let refused = Refused::new(tag, Refusal::Unsupported, error.to_string());
            self.events.push_back(Event::Reply { tag, result: Err(refused) });
        }
    }

    fn protocol_error(&mut self, what: &str) {
        self.close(End::of(CloseReason::ProtocolError).with_text(format!("the server sent {what}")));
    }

    fn close(&mut self, end: End) {
        if !self.is_closed() {
            self.state = State::Closed;
            self.events.push_back(Event::Closed(end));
        }
    }
}

impl Pulse {
    fn of(welcome: &Welcome, now: Instant, random: u64) -> Option<Self> {
        if welcome.liveness == Liveness::TcpKeepAlive || welcome.heartbeat_ms == 0 {
            return None;
        }
        let interval = Duration::from_millis(welcome.heartbeat_ms.into());
        let silence = Duration::from_millis(welcome.silence_ms.into()).max(interval * 2);
        let part = random as f64 / u64::MAX as f64;
        Some(Self { interval, silence, beat: now + interval.mul_f64(part), dead: now + silence })
    }
}

#[cfg(test)]
mod tests {
    use schema::frame::{FRAME_MAX, decode_client, split};
    use schema::{Device, Realm, SessionAddr};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    struct Pair {
        connection: Connection,
        now: Instant,
        encoder: Encoder,
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "an Instant has no other beginning; time stands still from here"
    )]
    fn pair() -> Pair {
        let connect = Connect {
            version: 1,
            token: "t".to_owned(),
            device: Device::default(),
            liveness: Liveness::Heartbeat,
            heartbeat_ms: 0,
        };
        let now = Instant::now();
        let mut pair =
            Pair { connection: Connection::new(connect, now, u64::MAX), now, encoder: Encoder::new() };
        assert!(matches!(pair.said()[..], [ClientFrame::Connect(_)]));
        pair
    }

    fn welcome(liveness: Liveness) -> ServerFrame {
        ServerFrame::Welcome(Welcome {
            version: 1,
            session: SessionAddr::default(),
            user: Id::new("u").unwrap(),
            realm: Realm(0),
            service: false,
            liveness,
            heartbeat_ms: 30_000,
            silence_ms: 90_000,
            max_frame: 1_000,
            server_ms: 1,
        })
    }

    fn ready() -> Pair {
        let mut pair = pair();
        pair.hear(&welcome(Liveness::Heartbeat));
        assert!(matches!(pair.connection.poll_event(), Some(Event::Ready(_))));
        pair
    }

    impl Pair {
        /// What the client has written since the last time.
        fn said(&mut self) -> Vec<ClientFrame> {
            let bytes = std::mem::take(self.connection.outgoing());
            let mut rest = &bytes[..];
            let mut frames = Vec::new();
            while let Some(frame) = split(rest, FRAME_MAX).unwrap() {
                frames.push(decode_client(frame).unwrap());
                rest = &rest[PREFIX + frame.len()..];
            }
            assert!(rest.is_empty());
            frames
        }

        fn hear(&mut self, frame: &ServerFrame) {
            let mut bytes = Vec::new();
            self.encoder.server(frame, &mut bytes);
            self.connection.receive(&bytes, self.now);
        }

        fn wait(&mut self, time: Duration) {
            self.now += time;
            self.connection.handle_timeout(self.now);
        }

        fn end(&mut self) -> End {
            match self.connection.poll_event() {
                Some(Event::Closed(end)) => {
                    assert_eq!(self.connection.deadline(), None);
                    end
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn commands_wait_for_the_welcome_and_replies_carry_their_tags() {
        let mut pair = pair();
        assert!(matches!(pair.connection.command(&Command::Count, pair.now), Err(Error::NotReady)));
        pair.hear(&welcome(Liveness::Heartbeat));
        assert!(matches!(pair.connection.poll_event(), Some(Event::Ready(_))));
        let first = pair.connection.command(&Command::Count, pair.now).unwrap();
        let second = pair.connection.command(&Command::Activity, pair.now).unwrap();
        assert_eq!(pair.said().len(), 2);
        pair.hear(&ServerFrame::Reply { tag: second, reply: Reply::Done });
        let refused = Refused::new(first, Refusal::Busy, "busy");
        pair.hear(&ServerFrame::Refused(refused.clone()));
        assert_eq!(pair.connection.poll_event(), Some(Event::Reply { tag: second, result: Ok(Reply::Done) }));
        assert_eq!(pair.connection.poll_event(), Some(Event::Reply { tag: first, result: Err(refused) }));
    }

    #[test]
    fn heartbeats_go_out_in_time_and_silence_ends_it() {
        let mut pair = ready();
        for _ in 0..2 {
            assert_eq!(pair.connection.deadline(), Some(pair.now + 30 * SECOND));
            pair.wait(29 * SECOND);
            assert_eq!(pair.said(), []);
            pair.wait(SECOND);
            assert_eq!(pair.said(), [ClientFrame::Heartbeat { tag: 0, answer: true, activity: false }]);
            pair.hear(&ServerFrame::HeartbeatAck { tag: 0, server_ms: 5 });
            assert_eq!(pair.connection.poll_event(), Some(Event::Alive { server_ms: 5 }));
        }
        pair.wait(20 * SECOND);
        pair.connection.command(&Command::Count, pair.now).unwrap();
        assert_eq!(pair.connection.deadline(), Some(pair.now + 30 * SECOND), "a command is a sign of life");
        pair.wait(69 * SECOND);
        assert!(pair.connection.is_ready());
        pair.wait(SECOND);
        assert_eq!(pair.end(), End::of(CloseReason::Silent).with_text("nothing was heard of the server"));
    }

    #[test]
    fn tcp_keep_alive_needs_no_heartbeats() {
        let mut pair = pair();
        pair.hear(&welcome(Liveness::TcpKeepAlive));
        assert_eq!(pair.connection.deadline(), None);
    }

    #[test]
    fn a_server_that_does_not_answer_is_given_up() {
        let mut pair = pair();
        assert_eq!(pair.connection.deadline(), Some(pair.now + CONNECT_TIME));
        pair.wait(CONNECT_TIME);
        assert_eq!(pair.end().advice, Advice::Reconnect);
    }

    #[test]
    fn a_closing_is_the_last_word() {
        let mut pair = ready();
        pair.hear(&ServerFrame::Closing(Closing::new(CloseReason::Draining).with_retry_after_ms(1_500)));
        let end = pair.end();
        assert_eq!((end.reason, end.advice), (Some(CloseReason::Draining), Advice::Reconnect));
        assert_eq!(end.retry_after, Some(Duration::from_millis(1_500)));
        pair.hear(&ServerFrame::HeartbeatAck { tag: 0, server_ms: 5 });
        pair.connection.lost("reset");
        assert_eq!(pair.connection.poll_event(), None);
    }

    #[test]
    fn a_server_that_breaks_the_protocol_is_left() {
        for frame in [ServerFrame::HeartbeatAck { tag: 0, server_ms: 1 }, ServerFrame::Presence(Vec::new())] {
            let mut pair = pair();
            pair.hear(&frame);
            assert_eq!(pair.end().reason, Some(CloseReason::ProtocolError));
        }
        let mut pair = ready();
        pair.hear(&welcome(Liveness::Heartbeat));
        assert_eq!(pair.end().advice, Advice::ReconnectLater);
        let mut pair = ready();
        pair.connection.receive(&[0xff; 10], pair.now);
        assert_eq!(pair.end().reason, Some(CloseReason::ProtocolError));
    }

    #[test]
    fn what_a_newer_server_says_is_passed_over() {
        let mut pair = ready();
        let mut bytes = Vec::new();
        // A frame for the other side is as unknown here as one of a later version.
        pair.encoder.client(&ClientFrame::Goodbye { logout: false }, &mut bytes);
        pair.connection.receive(&bytes, pair.now);
        assert_eq!(pair.connection.poll_event(), None);
        bytes.clear();
        pair.encoder.command(4, &Command::Count, &mut bytes);
        pair.connection.receive(&bytes, pair.now);
        let Some(Event::Reply { tag: 4, result: Err(refused) }) = pair.connection.poll_event() else {
            panic!()
        };
        assert_eq!(refused.refusal(), Some(Refusal::Unsupported));
        assert!(pair.connection.is_ready());
    }

    #[test]
    fn a_command_that_does_not_fit_is_not_written() {
        let mut pair = ready();
        let to = Id::new("u").unwrap();
        let send = Command::Send { to, payload: vec![0; 1_000].into(), except_self: false };
        assert!(matches!(pair.connection.command(&send, pair.now), Err(Error::TooLarge { max: 1_000, .. })));
        assert_eq!(pair.said(), []);
    }

    #[test]
    fn goodbye_is_said_once() {
        let mut pair = ready();
        pair.connection.goodbye(true);
        pair.connection.goodbye(true);
        assert_eq!(pair.said(), [ClientFrame::Goodbye { logout: true }]);
        assert_eq!(pair.end().advice, Advice::Stay);
    }
}
