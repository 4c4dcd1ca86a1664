//! A shard without its sockets: the machine, the edges of its connections, and nothing between them but this file.
//!
//! It does with both what `engine::shard` does, less the driver, the mesh and the staging of what goes out; the store
//! answers at once, and time passes when a case says so.

use std::hint::black_box;
use std::sync::Arc;

use engine::limits::Limits;
use engine::machine::{
    Asker, ConnRef, Input, Machine, Now, Open, Output, Router, Setup, StoreReply, StoreRequest,
};
use engine::protocol::{Effects, Protocol, Want};
use gateway::conn::{Admission, Arrival, BinaryArrival, Conn, PresenceArrival};
use gateway::edges::socketio::errand::Errands;
use gateway::edges::{Settings, Shared};
use schema::command::Edge;
use schema::frame::ClientFrame;
use schema::presence::LastSeen;
use schema::{Actor, CloseReason, Command, Device, Event, Id, Key, Realm, SessionRef, ShardId};

use super::Trouble;
use super::frames::{client, user};

/// Which edge the connections speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// The binary protocol.
    Binary,
    /// The presence WebSocket.
    Presence,
}

/// Longest silence of a session here: short, so that what opens and closes often leaves few timers behind.
const SILENCE: u32 = 1_000;

/// The start of the wall clock.
const WALL: u64 = 1_790_000_000_000;

/// Calls of a turn: so often time passes where much is left to it.
const TURN: u64 = 64;

/// The place of sessions that a case opens by itself.
const NOWHERE: ConnRef = ConnRef { slot: u32::MAX, generation: 0 };

/// A machine and some connections with a session each.
pub struct Seats {
    machine: Machine,
    shared: Shared,
    conns: Vec<Conn>,
    sessions: Vec<SessionRef>,
    now: Now,
    next: usize,
    out: Vec<u8>,
    wants: Vec<Want>,
    /// The event encoded last, and its bytes.
    encoded: Option<(Arc<Event>, Vec<u8>)>,
    /// Events told to connections.
    told: u64,
    /// The session that a case has opened without a connection.
    opened: Option<SessionRef>,
}

impl std::fmt::Debug for Seats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seats").field("sessions", &self.sessions.len()).finish_non_exhaustive()
    }
}

impl Seats {
    /// So many connections, each with a session of a user of its own.
    ///
    /// # Errors
    /// When a session does not begin.
    pub fn new(count: usize, dialect: Dialect) -> Result<Self, Trouble> {
        let now = Now { mono: 1, wall: WALL };
        let limits = Limits { silence: SILENCE, watch_window: 0, ..Limits::default() };
        let setup = Setup {
            shard: ShardId(0),
            incarnation: 1,
            limits,
            router: Router::new((1, 2), 1),
            // The order of every map follows from it, so that a run does what the run before did.
            seed: 1,
        };
        let mut seats = Self {
            machine: Machine::new(setup, now),
            shared: Shared::new(Settings { silence: SILENCE, ..Settings::default() }, Errands::nowhere()),
            conns: Vec::new(),
            sessions: Vec::new(),
            now,
            next: 0,
            out: Vec::with_capacity(1 << 20),
            wants: Vec::new(),
            encoded: None,
            told: 0,
            opened: None,
        };
        seats.carry_out();
        for number in 0..count {
            seats.seat(number, dialect)?;
        }
        Ok(seats)
    }

    fn seat(&mut self, number: usize, dialect: Dialect) -> Result<(), Trouble> {
        let actor = actor(user(number)?);
        let (peer, device) = (([127, 0, 0, 1], 9).into(), Device::default());
        let arrival = match dialect {
            Dialect::Binary => Arrival::Binary(BinaryArrival {
                actor,
                expires_at: u64::MAX,
                peer,
                device,
                silence: SILENCE,
                read_ahead: Vec::new(),
            }),
            Dialect::Presence => Arrival::Presence(PresenceArrival {
                admission: Admission::Admitted { actor, expires_at: u64::MAX },
                peer,
                device,
                read_ahead: Vec::new(),
            }),
        };
        let place = ConnRef { slot: number as u32, generation: 0 };
        let mut fx = Effects::new(self.now, place, None, &mut self.out, &mut self.wants);
        self.conns.push(Conn::arrive(arrival, &mut self.shared, &mut fx));
        self.obey();
        if self.sessions.len() > number { Ok(()) } else { Err("a session did not begin".into()) }
    }

    /// The next connection receives these bytes.
    pub fn beat(&mut self, bytes: &mut [u8]) {
        self.next = if self.next + 1 == self.conns.len() { 0 } else { self.next + 1 };
        self.out.clear();
        let session = Some(self.sessions[self.next]);
        self.machine.touch(self.now, self.sessions[self.next]);
        let place = ConnRef { slot: self.next as u32, generation: 0 };
        let mut fx = Effects::new(self.now, place, session, &mut self.out, &mut self.wants);
        self.conns[self.next].received(&mut self.shared, bytes, &mut fx);
        self.obey();
    }

    /// What was last said to a connection.
    #[must_use]
    pub fn said(&self) -> &[u8] {
        &self.out
    }

    /// Time passes, and nothing comes of it yet.
    pub fn pass(&mut self, milliseconds: u64) {
        self.now.mono += milliseconds;
        self.now.wall += milliseconds;
    }

    /// What time has made due.
    pub fn advance(&mut self) {
        self.machine.advance(self.now);
        self.carry_out();
    }

    /// A session of a user begins, without a connection.
    fn open(&mut self, user: &Id) {
        let open = Open {
            conn: NOWHERE,
            actor: actor(user.clone()),
            edge: Edge::Binary,
            peer: ([127, 0, 0, 1], 9).into(),
            device: Device::default(),
            expires_at: u64::MAX,
            silence: SILENCE,
            mark: 0,
        };
        self.machine.handle(self.now, Input::Open(Box::new(open)));
        self.carry_out();
    }

    /// It ends, without grace.
    fn close(&mut self) {
        if let Some(session) = self.opened.take() {
            self.machine.handle(self.now, Input::Closed { session, reason: CloseReason::LoggedOut });
            self.carry_out();
        }
    }

    fn command(&mut self, session: usize, command: Command) {
        let asker = Asker::Session(self.sessions[session]);
        self.machine.handle(self.now, Input::Command { asker, actor: None, tag: 1, command });
        self.carry_out();
    }

    /// What the edge wants.
    fn obey(&mut self) {
        if self.wants.is_empty() {
            return;
        }
        for want in std::mem::take(&mut self.wants) {
            match want {
                Want::Open(open) => self.machine.handle(self.now, Input::Open(open)),
                Want::Command { session, tag, command } => {
                    let asker = Asker::Session(session);
                    self.machine.handle(self.now, Input::Command { asker, actor: None, tag, command });
                }
                Want::Renew { session, expires_at } => {
                    self.machine.handle(self.now, Input::Renew { session, expires_at });
                }
                // Nothing here has a socket.
                Want::CloseSession { .. }
                | Want::Deadline(_)
                | Want::TurnEnd
                | Want::CloseSocket { .. }
                | Want::Close { .. } => {}
            }
        }
        self.carry_out();
    }

    /// What the machine wants.
    fn carry_out(&mut self) {
        while let Some(output) = self.machine.poll() {
            self.carry(output);
        }
    }

    fn carry(&mut self, output: Output) {
        match output {
            Output::Opened { conn, session: Ok(address), .. } => {
                if conn == NOWHERE {
                    self.opened = Some(address.session);
                    return;
                }
                let slot = conn.slot as usize;
                let session = Some(address.session);
                let mut fx = Effects::new(self.now, conn, session, &mut self.out, &mut self.wants);
                self.conns[slot].opened(&mut self.shared, 0, Ok(address), &mut fx);
                self.sessions.push(address.session);
                self.wants.clear();
            }
            Output::Event { conn, event, .. } => {
                let dialect = self.conns.get(conn.slot as usize).map(Conn::dialect);
                let Some(dialect) = dialect else { return };
                self.told += 1;
                let known = self.encoded.as_ref().is_some_and(|(known, _)| Arc::ptr_eq(known, &event));
                if !known {
                    let mut bytes = self.encoded.take().map(|(_, bytes)| bytes).unwrap_or_default();
                    bytes.clear();
                    Conn::encode(dialect, &mut self.shared, &event, &mut bytes);
                    self.encoded = Some((event, bytes));
                }
                if let Some((_, bytes)) = &self.encoded {
                    self.out.extend_from_slice(bytes);
                }
            }
            Output::Store(request) => {
                let reply = match request {
                    StoreRequest::PutSeen { request, .. } => StoreReply::Put { request },
                    StoreRequest::GetSeen { request, users } => {
                        StoreReply::Seen { request, last_seen: vec![LastSeen::Never; users.len()] }
                    }
                    StoreRequest::Journal { request, .. } => {
                        StoreReply::Journal { request, users: Vec::new(), more: false }
                    }
                    StoreRequest::Forget { request, .. } => StoreReply::Forgotten { request, found: false },
                };
                self.machine.handle(self.now, Input::Store(reply));
            }
            Output::Opened { session: Err(_), .. }
            | Output::Close { .. }
            | Output::Message { .. }
            | Output::Front { .. }
            | Output::Erased { .. }
            | Output::Chat(_)
            | Output::Tap(_) => {}
        }
    }
}

fn actor(user: Id) -> Actor {
    Actor { key: Key::new(Realm::default(), user), service: false }
}

fn heartbeats(activity: bool) -> Result<impl FnMut(), Trouble> {
    let mut seats = Seats::new(10_000, Dialect::Binary)?;
    let mut bytes = client(&ClientFrame::Heartbeat { tag: 0, answer: true, activity });
    seats.beat(&mut bytes);
    if seats.said().len() != schema::frame::HEARTBEAT_ACK_LEN {
        return Err("no acknowledgement".into());
    }
    Ok(move || {
        seats.beat(black_box(&mut bytes));
        black_box(seats.said());
    })
}

/// What a shard does for a heartbeat, less the socket.
///
/// # Errors
/// When what is measured does not work.
pub fn heartbeat() -> Result<impl FnMut(), Trouble> {
    heartbeats(false)
}

/// The same when the user did something.
///
/// # Errors
/// When what is measured does not work.
pub fn activity() -> Result<impl FnMut(), Trouble> {
    heartbeats(true)
}

/// A user comes and goes; 10,000 of them in turn, and a turn's timers after every so many.
fn comings(watched: bool) -> Result<impl FnMut(), Trouble> {
    let mut seats = Seats::new(1, Dialect::Binary)?;
    let users = (1..=10_000).map(user).collect::<Result<Vec<Id>, _>>()?;
    let users = if watched { users[..1_000].to_vec() } else { users };
    if watched {
        seats.command(0, Command::Watch { users: users.clone() });
    }
    let mut calls = 0_u64;
    let mut come_and_go = move || {
        seats.out.clear();
        let before = seats.told;
        seats.open(&users[(calls % users.len() as u64) as usize]);
        if watched {
            seats.pass(1);
            seats.advance();
        }
        seats.close();
        calls += 1;
        if watched || calls.is_multiple_of(TURN) {
            seats.pass(1);
            // The watcher lives.
            seats.machine.touch(seats.now, seats.sessions[0]);
            seats.advance();
        }
        seats.told - before
    };
    let told = (0..3).map(|_| come_and_go()).sum::<u64>();
    if told != if watched { 6 } else { 0 } {
        return Err(format!("the watcher was told {told} times").into());
    }
    Ok(move || _ = black_box(come_and_go()))
}

/// Attach and detach.
///
/// # Errors
/// When what is measured does not work.
pub fn transition() -> Result<impl FnMut(), Trouble> {
    comings(false)
}

/// The same, and somebody hears of it.
///
/// # Errors
/// When what is measured does not work.
pub fn watch_delta() -> Result<impl FnMut(), Trouble> {
    comings(true)
}

/// A publish to a channel.
///
/// # Errors
/// When what is measured does not work.
pub fn fan_out() -> Result<impl FnMut(), Trouble> {
    const SUBSCRIBERS: usize = 1_000;
    let mut seats = Seats::new(SUBSCRIBERS, Dialect::Binary)?;
    let channel = Id::new("everybody")?;
    for session in 0..SUBSCRIBERS {
        seats.command(session, Command::Subscribe { channel: channel.clone() });
    }
    let payload: Arc<[u8]> = vec![7; 100].into();
    let mut publisher = 0;
    let mut publish = move || {
        let told = seats.told;
        // Each publishes as rarely as its limit wants it, and nobody is silent for too long.
        seats.pass(1);
        publisher = (publisher + 1) % SUBSCRIBERS;
        seats.machine.touch(seats.now, seats.sessions[publisher]);
        seats.out.clear();
        let (channel, payload) = (channel.clone(), black_box(&payload).clone());
        seats.command(publisher, Command::Publish { channel, payload, except_self: false });
        // Some of them a turn; the publisher's reply is one more.
        for _ in 0..SUBSCRIBERS {
            if seats.told - told > SUBSCRIBERS as u64 {
                break;
            }
            seats.advance();
        }
        seats.told - told - 1
    };
    let told = (0..3).map(|_| publish()).sum::<u64>();
    if told != 3 * SUBSCRIBERS as u64 {
        return Err(format!("{told} deliveries").into());
    }
    Ok(move || _ = black_box(publish()))
}

/// Sessions whose timers come up one a millisecond, and find that they were heard of.
///
/// # Errors
/// When what is measured does not work.
pub fn timer() -> Result<impl FnMut(), Trouble> {
    let mut seats = Seats::new(0, Dialect::Binary)?;
    for number in 0..SILENCE as usize {
        seats.pass(1);
        seats.seat(number, Dialect::Binary)?;
        seats.advance();
    }
    let mut tick = move || {
        seats.pass(1);
        seats.next = (seats.next + 1) % seats.sessions.len();
        seats.machine.touch(seats.now, seats.sessions[seats.next]);
        let fired = seats.machine.counters().timers;
        seats.advance();
        seats.machine.counters().timers - fired
    };
    let fired = (0..2 * SILENCE).map(|_| tick()).sum::<u64>();
    if fired < u64::from(SILENCE) {
        return Err(format!("{fired} timers fired in {} ms", 2 * SILENCE).into());
    }
    Ok(move || _ = black_box(tick()))
}
