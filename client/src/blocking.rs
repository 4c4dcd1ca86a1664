//! A client for programs of threads: one socket, no thread of its own, and it comes back by itself.
//!
//! Everything happens inside its calls, heartbeats and reconnects too. So call [`Client::next_event`] in a loop, or at
//! least once per heartbeat interval (30 s by default); a client that nobody calls is taken for dead after three.
//!
//! After a loss the client connects again with jittered, growing pauses and as the server advised, and asks again for
//! everything it had been told about: watched users (whose states then come anew), channels, the tap, conversations.
//! What was sent to it while it was away is not made up for; what was said in conversations is history, see [`chat`].

mod calls;
pub mod chat;
mod link;
mod restore;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use schema::chat::ChatEvent;
use schema::command::Payload;
use schema::event::TapEvent;
use schema::frame::{Liveness, Refused, Welcome};
use schema::{Command, Device, Id, Reply, UserPresence};

use crate::backoff::{Backoff, Next};
use crate::connection::{self, End};
use crate::error::Error;
use crate::interest::Interest;
pub use chat::Chat;
use link::Link;
use restore::{Outcome, Restore};

/// Events that wait to be taken. With more, calls fail with [`Error::Backlog`] and nothing is read, so that the server
/// notices as well.
pub const EVENTS_MAX: usize = 16_384;

/// How to connect.
#[derive(Clone)]
pub struct Options {
    /// Host and port.
    pub address: String,
    /// The first token.
    pub token: String,
    /// What the program runs on.
    pub device: Device,
    /// How to prove life. With TCP keep-alive a dead server is noticed only by a call that is not answered.
    pub liveness: Liveness,
    /// The heartbeat interval to ask for; zero is the server's default.
    pub heartbeat: Duration,
    /// Longest time to establish a TCP connection, and to write to it.
    pub connect_time: Duration,
    /// Longest time for a call, reconnects included.
    pub call_time: Duration,
    /// Pauses between attempts to connect again.
    pub backoff: Backoff,
}

/// A token is a secret: logs show only that there is one.
impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("address", &self.address)
            .field("token", &format_args!("<{} bytes>", self.token.len()))
            .finish_non_exhaustive()
    }
}

impl Options {
    /// The defaults: heartbeats as the server likes them, 5 s to connect, 10 s for a call.
    #[must_use]
    pub fn new(address: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            address: address.into(),
            token: token.into(),
            device: Device { kind: schema::device::Kind::Service, ..Device::default() },
            liveness: Liveness::Heartbeat,
            heartbeat: Duration::ZERO,
            connect_time: Duration::from_secs(5),
            call_time: Duration::from_secs(10),
            backoff: Backoff::default(),
        }
    }
}

/// What a client is told without having asked.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// The session is established: the first time, or again.
    Connected(Welcome),
    /// The connection is lost; the next attempt is made after `retry_in`.
    Disconnected {
        /// How it ended.
        end: End,
        /// The pause before the next attempt.
        retry_in: Duration,
    },
    /// After a reconnect the server refused something that it had granted before; it is not asked for again.
    NotRestored {
        /// What.
        command: Command,
        /// Why not.
        refused: Refused,
    },
    /// How watched users are: soon after [`Client::watch`] and after a reconnect all of them, then those that changed.
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
    /// Something happened in a conversation; see [`chat::Chat::follow`] and [`chat::Chat::join`].
    Chat(ChatEvent),
}

/// Gives a new token when the old one is not accepted any more; `None`: there is none, stop.
pub type TokenSource = Box<dyn FnMut() -> Option<String> + Send>;

/// A client that blocks. See the head of this file.
pub struct Client {
    options: Options,
    new_token: Option<TokenSource>,
    state: State,
    interest: Interest,
    events: VecDeque<Event>,
    /// The call under way: its tag, and its result when it is there. At most one, since calls take `&mut self`.
    call: Option<(u64, Option<Result<Reply, Error>>)>,
    restore: Restore,
    random: u64,
}

enum State {
    Up(Box<Link>),
    Down { again: Instant },
    Stopped(End),
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("address", &self.options.address).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects, and waits for the Welcome. The first attempt is the only one: who starts a program wants to hear at
    /// once that the address or the token is wrong.
    ///
    /// # Errors
    /// [`Error::Io`] without a server, [`Error::Stopped`] when the server does not welcome us.
    pub fn connect(options: Options) -> Result<Self, Error> {
        Self::start(options, None)
    }

    /// The same with a source of new tokens, asked when the server says that the token has expired.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn connect_with(options: Options, new_token: TokenSource) -> Result<Self, Error> {
        Self::start(options, Some(new_token))
    }

    fn start(options: Options, new_token: Option<TokenSource>) -> Result<Self, Error> {
        let mut random = link::seed();
        let mut link = Link::open(&options, link::next_random(&mut random))?;
        let welcome = loop {
            link.turn(link::clock() + options.call_time)?;
            match link.connection.poll_event() {
                Some(connection::Event::Ready(welcome)) => break welcome,
                Some(connection::Event::Closed(end)) => return Err(Error::Stopped(end)),
                _ => {}
            }
        };
        link.ready_at = Some(link::clock());
        let mut client = Self {
            options,
            new_token,
            state: State::Up(Box::new(link)),
            interest: Interest::default(),
            events: VecDeque::from([Event::Connected(welcome)]),
            call: None,
            restore: Restore::default(),
            random,
        };
        // What came together with the Welcome.
        client.take_events();
        Ok(client)
    }

    /// The next event; `None` when there is none within the time.
    ///
    /// # Errors
    /// [`Error::Stopped`] when the connection has ended for good.
    pub fn next_event(&mut self, time: Duration) -> Result<Option<Event>, Error> {
        let until = link::clock() + time;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            let now = link::clock();
            if now >= until && !time.is_zero() {
                return Ok(None);
            }
            self.turn(until)?;
            if time.is_zero() {
                return Ok(self.events.pop_front());
            }
        }
    }

    /// The session is established right now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(&self.state, State::Up(link) if link.connection.is_ready())
    }

    /// Leaves in order. With `logout` the user is offline at once; else after the grace.
    pub fn goodbye(mut self, logout: bool) {
        if let State::Up(link) = &mut self.state {
            link.connection.goodbye(logout);
            link.leave();
        }
    }

    /// Waits for something to happen until the time given, and lets it happen.
    fn turn(&mut self, until: Instant) -> Result<(), Error> {
        match &mut self.state {
            State::Stopped(end) => return Err(Error::Stopped(end.clone())),
            State::Down { again } if link::clock() < *again => link::sleep_until(until.min(*again)),
            State::Down { .. } => match Link::open(&self.options, link::next_random(&mut self.random)) {
                Ok(link) => self.state = State::Up(Box::new(link)),
                Err(error) => {
                    let mut end = End::of(schema::CloseReason::Lost);
                    end.text = error.to_string();
                    self.ended(end, Duration::ZERO);
                }
            },
            State::Up(link) => {
                self.restore.ask(&mut link.connection, link::clock());
                let until = self.restore.deadline().map_or(until, |at| at.min(until));
                if let Err(error) = link.turn(until) {
                    link.connection.lost(error.to_string());
                }
                self.take_events();
            }
        }
        Ok(())
    }

    fn take_events(&mut self) {
        while let State::Up(link) = &mut self.state
            && let Some(event) = link.connection.poll_event()
        {
            let event = match event {
                connection::Event::Ready(welcome) => {
                    self.established();
                    Event::Connected(welcome)
                }
                connection::Event::Closed(end) => {
                    let ready = link.ready_at.map_or(Duration::ZERO, |at| link::clock() - at);
                    self.ended(end, ready);
                    continue;
                }
                connection::Event::Reply { tag, result } => {
                    self.replied(tag, result);
                    continue;
                }
                connection::Event::Alive { .. } => continue,
                connection::Event::Presence(users) => Event::Presence(users),
                connection::Event::Message { from, payload } => Event::Message { from, payload },
                connection::Event::Published { channel, from, payload } => {
                    Event::Published { channel, from, payload }
                }
                connection::Event::Tap(tap) => Event::Tap(tap),
                connection::Event::Chat(event) => Event::Chat(event),
            };
            self.events.push_back(event);
        }
    }

    /// A new session: asks for everything again that the last one had.
    fn established(&mut self) {
        if let State::Up(link) = &mut self.state {
            link.ready_at = Some(link::clock());
            self.restore = Restore::new(self.interest.commands(link.connection.max_frame()));
        }
    }

    fn replied(&mut self, tag: u64, result: Result<Reply, Refused>) {
        match self.restore.replied(tag, &result, link::clock()) {
            Outcome::Fine => {}
            Outcome::Refused(command, refused) => {
                self.interest.refused(&command);
                self.events.push_back(Event::NotRestored { command, refused });
            }
            // The reply to a call that has timed out meets nobody.
            Outcome::NotOurs => {
                if let Some((called, answer)) = &mut self.call
                    && *called == tag
                {
                    *answer = Some(result.map_err(Error::Refused));
                }
            }
        }
    }

    /// The connection has ended: decides what comes next, and tells whoever waits.
    fn ended(&mut self, end: End, ready: Duration) {
        self.restore = Restore::default();
        if let Some((_, answer)) = &mut self.call {
            answer.get_or_insert_with(|| Err(Error::Disconnected(end.clone())));
        }
        let next = self.options.backoff.next(&end, ready, link::next_random(&mut self.random));
        let wait = match next {
            Next::Stop => None,
            Next::After(wait) => Some(wait),
            Next::WithNewToken(wait) => self.new_token.as_mut().and_then(|ask| ask()).map(|token| {
                self.options.token = token;
                wait
            }),
        };
        self.state = match wait {
            None => State::Stopped(end),
            Some(retry_in) => {
                self.events.push_back(Event::Disconnected { end, retry_in });
                State::Down { again: link::clock() + retry_in }
            }
        };
    }
}
