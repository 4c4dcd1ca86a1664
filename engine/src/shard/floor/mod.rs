//! Everything of a shard but its driver: the connection table, the edges, the machine, and what they want.
//!
//! It is the sink of the socket driver. While it is told what happened it cannot reach the driver, so what is to be
//! sent or closed is noted ([`Staging`], `closing`) and carried out at the end of the turn.

mod carry;
mod sink;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use schema::chat::ChatCommand;
use schema::event::Class;
use schema::{CloseReason, Command, Event, Refusal, ShardId};

use super::Parts;
use super::conns::{Conns, NONE, Phase, Pipe, Shared, TICK, conn_ref, token};
use super::links::Links;
use super::report::{Report, SlowTurn};
use super::staging::{Flushed, Staging};
use crate::front::{Answer, Envelope, Gauge, Pressure};
use crate::io::{Clock, Close, Driver, Token};
use crate::limits::STAGE_BUDGET;
use crate::limits::relax::Relax;
use crate::machine::timer::{Wakes, Wheel};
use crate::machine::{Asker, ConnRef, Input, Machine, Now};
use crate::mesh::{Inbox, Sender};
use crate::protocol::{DIALECTS, Effects, Protocol, Want};
use crate::store;

/// Retry time while messages to other shards wait for room.
const BACKLOG_PATIENCE: Duration = Duration::from_millis(1);

/// The times of one turn, microseconds on the driver's clock.
pub(super) struct Begun {
    pub(super) start: u64,
    pub(super) wait_end: u64,
    pub(super) turn: SlowTurn,
}

/// The bytes of the event that was encoded last, by dialect: a fan-out is many outputs with one `Arc`.
struct Encoded {
    event: Arc<Event>,
    bytes: [Option<Shared>; DIALECTS],
}

pub(super) struct Floor<P: Protocol> {
    pub(super) conns: Conns<P>,
    pub(super) staging: Staging,
    pub(super) closing: Vec<(Token, Close)>,
    /// Sockets to be closed whose connections stay.
    pub(super) leaving: Vec<(Token, Close)>,
    /// Connections that have more to say when the turn ends.
    ending: Vec<Token>,
    pub(super) links: Links<P::Arrival>,
    pub(super) inbox: Inbox<Envelope<P::Arrival>>,
    machine: Machine,
    wheel: Wheel<Look>,
    clock: Clock,
    now: Now,
    /// When the sink was first called after the last sleep, microseconds; `None` while it has not been.
    woken_at: Option<u64>,
    receives: u32,
    envelopes: u32,
    shared: P::Shared,
    gauge: Gauge,
    wants: Vec<Want>,
    encoded: Option<Encoded>,
    desk: Sender<Answer>,
    store: Sender<store::Ask>,
    chats: store::chat::Orders,
    shard: ShardId,
    outbox_time: u64,
    report: Report,
    /// Monotonic milliseconds at which a drain ends whatever is left.
    drain_until: Option<u64>,
}

/// What a timer of the connections looks at; the slot may be another connection's by then, which the slot tells.
#[derive(Clone, Copy)]
enum Look {
    /// The edge's deadline.
    Deadline(u32),
    /// A socket that takes nothing.
    Stuck(u32),
}

impl Wakes for Look {
    fn parts(self) -> (u32, u32) {
        match self {
            Self::Deadline(slot) => (slot, 0),
            Self::Stuck(slot) => (slot, 1),
        }
    }

    fn of(slot: u32, kind: u32) -> Self {
        if kind == 0 { Self::Deadline(slot) } else { Self::Stuck(slot) }
    }
}

/// A deadline never comes early: ticks are rounded up.
fn ticks(at: u64) -> u32 {
    u32::try_from(at.div_ceil(TICK)).unwrap_or(NONE)
}

fn read(clock: &Clock) -> Now {
    Now { mono: clock.now_ms(), wall: clock.wall_ms() }
}

impl<P: Protocol> Floor<P> {
    pub(super) fn new(parts: Parts<P>) -> (Box<dyn Driver>, Self) {
        let now = read(&parts.clock);
        let report =
            Report { shard: parts.shard, driver: parts.driver.name(), host: parts.host, ..Report::default() };
        let floor = Self {
            conns: Conns::new(parts.connections),
            staging: Staging::default(),
            closing: Vec::new(),
            leaving: Vec::new(),
            ending: Vec::new(),
            links: Links::new(parts.shard, parts.peers),
            inbox: parts.inbox,
            machine: parts.machine,
            wheel: Wheel::new(now.mono),
            clock: parts.clock,
            now,
            woken_at: None,
            receives: 0,
            envelopes: 0,
            shared: parts.shared,
            gauge: parts.gauge,
            wants: Vec::new(),
            encoded: None,
            desk: parts.desk,
            store: parts.store,
            chats: parts.chats,
            shard: parts.shard,
            outbox_time: u64::from(parts.outbox_time),
            report,
            drain_until: None,
        };
        (parts.driver, floor)
    }

    // -- the turn ---------------------------------------------------------------------------------------------

    pub(super) fn sleeping(&mut self) {
        self.woken_at = None;
        self.receives = 0;
        self.envelopes = 0;
    }

    /// The clock is read when the first thing happens after a sleep, or at the latest when the wait is over.
    fn wake(&mut self) {
        if self.woken_at.is_none() {
            self.now = read(&self.clock);
            self.woken_at = Some(self.micros());
        }
    }

    pub(super) fn awake(&mut self) -> Begun {
        self.wake();
        self.links.announce(self.now.mono, &mut self.machine);
        let wait_end = self.micros();
        let start = self.woken_at.unwrap_or(wait_end);
        let turn = SlowTurn { io_micros: wait_end - start, receives: self.receives, ..SlowTurn::default() };
        Begun { start, wait_end, turn }
    }

    pub(super) fn micros(&self) -> u64 {
        self.clock.elapsed().as_micros() as u64
    }

    /// How long it has taken, microseconds.
    pub(super) fn end_turn(&mut self, start: u64, turn: SlowTurn) -> u64 {
        let micros = self.micros() - start;
        self.report.turn(SlowTurn { at: self.now.wall, micros, envelopes: self.envelopes, ..turn });
        micros
    }

    /// Timers of the machine and of the connections.
    pub(super) fn advance(&mut self) {
        let mut budget = STAGE_BUDGET;
        while let Some((look, _)) = self.wheel.pop(self.now.mono, &mut budget) {
            match look {
                Look::Deadline(slot) => self.deadline(slot),
                Look::Stuck(slot) => self.stuck(slot),
            }
        }
        self.machine.advance(self.now);
        self.settle();
    }

    pub(super) fn patience(&mut self) -> Option<Duration> {
        let next =
            [self.machine.next_wake(), self.wheel.next(), self.drain_until].into_iter().flatten().min();
        // `now` is as old as the last wake; a turn that took long must not sleep that much longer.
        let patience = next.map(|at| Duration::from_millis(at.saturating_sub(self.clock.now_ms())));
        if self.links.waiting() > 0 {
            return Some(patience.map_or(BACKLOG_PATIENCE, |patience| patience.min(BACKLOG_PATIENCE)));
        }
        patience
    }

    // -- connections ------------------------------------------------------------------------------------------

    /// A slot for a socket that was handed over; the caller adopts it and says [`Self::arrive`] or [`Self::reject`].
    pub(super) fn admit(&mut self) -> Option<Token> {
        if self.drain_until.is_some() {
            return None;
        }
        let token = self.conns.vacancy();
        if token.is_none() {
            self.report.sockets_refused += 1;
        }
        token
    }

    pub(super) fn reject(&mut self, error: &io::Error) {
        tracing::debug!(shard = self.shard.0, %error, "a socket could not be adopted");
        self.report.sockets_refused += 1;
    }

    pub(super) fn arrive(&mut self, token: Token, arrival: P::Arrival, pipe: Pipe) {
        let start = self.staging.bytes.len();
        let mut fx = Effects::new(self.now, conn_ref(token), None, &mut self.staging.bytes, &mut self.wants);
        let edge = P::arrive(arrival, &mut self.shared, &mut fx);
        self.report.connections[edge.edge() as usize % 8] += 1;
        let claimed = self.conns.claim(edge, pipe);
        debug_assert_eq!(claimed, Some(token), "nothing else takes slots between the admission and here");
        self.staging.own(token, Class::Required, start);
        self.carry_wants(token);
    }

    /// A socket for a connection that has none.
    pub(super) fn offer(
        &mut self,
        conn: ConnRef,
        arrival: P::Arrival,
        adopt: impl FnOnce(Token) -> io::Result<()>,
    ) {
        self.envelopes += 1;
        let token = token(conn);
        let vacant = self.conns.get(token).is_some_and(|conn| conn.pipe == Pipe::Door);
        let wanted = vacant
            && self.with_edge(token, |edge, shared, fx| edge.offered(shared, arrival, fx)) == Some(true);
        if !wanted {
            return;
        }
        match adopt(token) {
            Ok(()) => {
                if let Some(conn) = self.conns.get(token) {
                    conn.pipe = Pipe::Socket;
                }
            }
            Err(error) => {
                self.reject(&error);
                self.lose(token);
            }
        }
    }

    /// A connection's socket is gone: it lives on without one, or is over.
    fn lose(&mut self, token: Token) {
        match self.with_edge(token, |edge, shared, fx| edge.lost(shared, fx)) {
            Some(true) => self.close_socket(token, Close::Abort),
            _ => self.close(token, Close::Abort, CloseReason::Lost),
        }
    }

    /// What is staged for the socket still goes out; with the end of the turn the connection has none.
    fn close_socket(&mut self, token: Token, how: Close) {
        if self.conns.get(token).is_some_and(|conn| conn.pipe == Pipe::Socket && conn.phase == Phase::Open) {
            self.leaving.push((token, how));
        }
    }

    /// The driver is about to be told to close this connection's socket.
    pub(super) fn leaves(&mut self, token: Token) {
        if let Some(conn) = self.conns.get(token) {
            conn.pipe = Pipe::Leaving;
            self.conns.forget_blocked(token);
        }
    }

    /// Calls the edges that asked for it, before what all have to say leaves.
    pub(super) fn end_turns(&mut self) {
        // What one of them brings about can make others ask again.
        while !self.ending.is_empty() {
            for token in std::mem::take(&mut self.ending) {
                self.with_edge(token, |edge, shared, fx| edge.turn_ends(shared, fx));
            }
            self.settle();
        }
        // Before anything of this turn leaves for a client.
        if self.machine.tell_peers() {
            self.settle();
        }
    }

    /// Calls the edge of an open connection, and takes down what it wants.
    fn with_edge<T>(
        &mut self,
        token: Token,
        call: impl FnOnce(&mut P, &mut P::Shared, &mut Effects<'_>) -> T,
    ) -> Option<T> {
        self.with_edge_saying(token, Class::Required, call)
    }

    /// The same, for what may be dropped for a slow reader.
    fn with_edge_saying<T>(
        &mut self,
        token: Token,
        class: Class,
        call: impl FnOnce(&mut P, &mut P::Shared, &mut Effects<'_>) -> T,
    ) -> Option<T> {
        let conn = self.conns.get(token)?;
        if conn.phase != Phase::Open {
            return None;
        }
        let (start, session) = (self.staging.bytes.len(), conn.session());
        let mut fx =
            Effects::new(self.now, conn_ref(token), session, &mut self.staging.bytes, &mut self.wants);
        let result = call(&mut conn.edge, &mut self.shared, &mut fx);
        self.staging.own(token, class, start);
        if !self.wants.is_empty() {
            self.carry_wants(token);
        }
        Some(result)
    }

    fn carry_wants(&mut self, token: Token) {
        // Nothing below calls an edge, so the list cannot grow while it is read.
        let mut wants = std::mem::take(&mut self.wants);
        for want in wants.drain(..) {
            match want {
                Want::Open(open) => self.machine.handle(self.now, Input::Open(open)),
                Want::Command { tag, command, .. } if self.is_too_much(&command) => {
                    let result = Err(Refusal::Busy);
                    self.tell(token, Arc::new(Event::Reply { tag, result }));
                }
                Want::Command { session, tag, command } => {
                    let asker = Asker::Session(session);
                    self.machine.handle(self.now, Input::Command { asker, actor: None, tag, command });
                }
                Want::Renew { session, expires_at } => {
                    self.machine.handle(self.now, Input::Renew { session, expires_at });
                }
                Want::CloseSession { session, reason } => {
                    self.conns.unseat(token, session);
                    self.machine.handle(self.now, Input::Closed { session, reason });
                }
                Want::Deadline(at) => self.set_deadline(token, at),
                Want::TurnEnd => self.ending.push(token),
                Want::CloseSocket { how } => self.close_socket(token, how),
                Want::Close { how, reason } => self.close(token, how, reason),
            }
        }
        wants.relax();
        self.wants = wants;
    }

    /// Payloads are refused when memory is very short: each may have to wait for many slow readers.
    fn is_too_much(&mut self, command: &Command) -> bool {
        let bulky = match command {
            Command::Send { .. } | Command::Publish { .. } => true,
            Command::Chat { command, .. } => {
                matches!(**command, ChatCommand::Send(_) | ChatCommand::Create(_))
            }
            _ => false,
        };
        let refused = bulky && self.gauge.refuses(Pressure::Publishes);
        self.report.pressure_refused += u64::from(refused);
        refused
    }

    fn set_deadline(&mut self, token: Token, at: u64) {
        let Some(conn) = self.conns.get(token) else { return };
        conn.deadline = ticks(at);
        if conn.deadline != NONE && conn.deadline < conn.wheel_at {
            // The wheel looks no further ahead than its horizon, and may give an earlier time than asked for.
            let at =
                self.wheel.set(self.now.mono, Look::Deadline(token.slot), u64::from(conn.deadline) * TICK);
            conn.wheel_at = (at / TICK) as u32;
        }
    }

    /// An entry of the wheel has come up: the deadline may have moved on since.
    fn deadline(&mut self, slot: u32) {
        let now = self.now.mono;
        let Some((token, conn)) = self.conns.at(slot) else { return };
        if u64::from(conn.wheel_at) * TICK > now {
            return; // A later entry is still to come, and stands for this one.
        }
        conn.wheel_at = NONE;
        if conn.deadline == NONE {
            return;
        }
        if u64::from(conn.deadline) * TICK > now {
            let at = u64::from(conn.deadline) * TICK;
            self.set_deadline(token, at);
            return;
        }
        conn.deadline = NONE;
        self.with_edge(token, |edge, shared, fx| edge.deadline(shared, fx));
    }

    /// A connection has been blocked for the outbox time, or has taken too long to flush.
    fn stuck(&mut self, slot: u32) {
        let (now, time) = (self.now.mono, self.outbox_time);
        let Some((token, _)) = self.conns.at(slot) else { return };
        let Some(blocked) = self.conns.blocked(token) else { return };
        if !blocked.drained && now >= blocked.since + time {
            self.report.slow_closed += 1;
            self.close(token, Close::Abort, CloseReason::SlowConsumer);
        }
    }

    /// Ends a connection: its sessions end, and it is closed when what is staged for it has been sent.
    fn close(&mut self, token: Token, how: Close, reason: CloseReason) {
        let now = self.now;
        for session in self.conns.unseat_all(token) {
            self.machine.handle(now, Input::Closed { session, reason });
        }
        match self.conns.get(token).map(|conn| conn.pipe) {
            Some(Pipe::Door) => return self.release(token),
            // The driver is at it.
            Some(Pipe::Leaving) => {
                if let Some(conn) = self.conns.get(token) {
                    conn.phase = Phase::Closing;
                }
                return;
            }
            Some(Pipe::Socket) | None => {}
        }
        // Once drained, what waits goes out with this turn's flush, and nothing will call for the close again.
        let blocked = self.conns.blocked(token).is_some_and(|blocked| !blocked.drained);
        let waits = how == Close::Graceful && blocked;
        let Some(conn) = self.conns.get(token) else { return };
        match (conn.phase, waits) {
            (Phase::Open, true) => conn.phase = Phase::Flushing,
            (Phase::Open | Phase::Flushing, false) => {
                // Pieces already staged still go out before the driver is told to close, unless it is an abort.
                if how == Close::Abort {
                    conn.phase = Phase::Closing;
                } else {
                    conn.phase = Phase::Flushing;
                }
                self.closing.push((token, how));
            }
            (Phase::Closing, _) | (Phase::Flushing, true) => {}
        }
    }

    /// A connection is over in every respect.
    fn release(&mut self, token: Token) {
        let Some(conn) = self.conns.get(token) else { return };
        let count = &mut self.report.connections[conn.edge.edge() as usize % 8];
        *count = count.saturating_sub(1);
        self.conns.release(token);
    }

    pub(super) fn after_flush(&mut self, flushed: &mut Flushed) {
        self.report.events_dropped += std::mem::take(&mut flushed.dropped);
        for token in flushed.overflowed.drain(..) {
            self.report.slow_closed += 1;
            self.close(token, Close::Abort, CloseReason::SlowConsumer);
        }
        flushed.overflowed.relax_wholly();
        self.settle();
    }
}
