//! The one upward trait: what a protocol edge is to a shard.
//!
//! An edge is sans-IO. In come bytes, events, deadlines and endings; out go bytes, commands, a deadline and a close,
//! all through [`Effects`]. It owns no socket and reads no clock, so the simulator and the fuzzers drive the same code
//! as the shard. The gateway implements the trait once, as an enum over the protocols it speaks.

#![allow(missing_docs, reason = "the fields of a variant are told in the variant's own text")]

use schema::{CloseReason, Command, Event, Refusal, SessionAddr, SessionRef};

use crate::io::Close;
use crate::machine::input::{ConnRef, Now, Open};

/// A family of connections that are told an event in the same bytes. What is said to many is encoded once a dialect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dialect(pub u8);

/// More dialects than any gateway has; sizes the encoding cache of a shard.
pub const DIALECTS: usize = 8;

/// A protocol on one connection.
pub trait Protocol: Sized + 'static {
    /// What a socket brings along when it is handed to its shard: who it is, and the bytes already read from it.
    type Arrival: Send + 'static;
    /// What all connections of a shard share: settings and encoders.
    type Shared: Send + 'static;

    /// The connection is now the shard's. Bytes in the arrival that were read ahead are to be processed here.
    fn arrive(arrival: Self::Arrival, shared: &mut Self::Shared, fx: &mut Effects<'_>) -> Self;

    /// Bytes came. The slice is the receive buffer itself and may be changed (unmasking).
    fn received(&mut self, shared: &mut Self::Shared, bytes: &mut [u8], fx: &mut Effects<'_>);

    /// The answer to an [`Effects::open`] with this mark.
    fn opened(
        &mut self,
        shared: &mut Self::Shared,
        mark: u32,
        session: Result<SessionAddr, Refusal>,
        fx: &mut Effects<'_>,
    );

    /// The machine has ended a session of this connection: say so in the protocol's own words, and close the
    /// connection unless it has other sessions to live for.
    fn closing(&mut self, shared: &mut Self::Shared, mark: u32, reason: CloseReason, fx: &mut Effects<'_>);

    /// The peer has sent its last byte. The default closes, saying nothing more.
    fn half_closed(&mut self, _shared: &mut Self::Shared, fx: &mut Effects<'_>) {
        fx.close(Close::Graceful, CloseReason::ClientClosed);
    }

    /// The time given to [`Effects::deadline`] has come.
    fn deadline(&mut self, shared: &mut Self::Shared, fx: &mut Effects<'_>);

    /// How this connection is told events.
    fn dialect(&self) -> Dialect;

    /// Appends the bytes by which connections of a dialect are told an event; nothing if the dialect has no words
    /// for it. Must depend on nothing but its arguments: the bytes go to everybody who is told.
    fn encode(dialect: Dialect, shared: &mut Self::Shared, event: &Event, out: &mut Vec<u8>);

    /// The word for metrics.
    fn edge(&self) -> schema::command::Edge;
}

/// What an edge wants done, noted while it runs and carried out by the shard afterwards.
#[derive(Debug)]
pub struct Effects<'a> {
    now: Now,
    conn: ConnRef,
    session: Option<SessionRef>,
    out: &'a mut Vec<u8>,
    wants: &'a mut Vec<Want>,
}

/// One entry of [`Effects`], in order.
#[derive(Debug)]
pub enum Want {
    /// Begin a session.
    Open(Box<Open>),
    /// Command as a session.
    Command { session: SessionRef, tag: u64, command: Command },
    /// End a session; its client knows.
    CloseSession { session: SessionRef, reason: CloseReason },
    /// Call [`Protocol::deadline`] then (monotonic milliseconds), and forget the deadline set before.
    Deadline(u64),
    /// End the connection and with it all its sessions.
    Close { how: Close, reason: CloseReason },
}

impl<'a> Effects<'a> {
    /// Effects of one call into an edge. `session` is the connection's session, if it has exactly one.
    pub fn new(
        now: Now,
        conn: ConnRef,
        session: Option<SessionRef>,
        out: &'a mut Vec<u8>,
        wants: &'a mut Vec<Want>,
    ) -> Self {
        Self { now, conn, session, out, wants }
    }

    /// The two clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        self.now
    }

    /// The connection the edge runs on; goes into [`Open::conn`].
    #[must_use]
    pub fn conn(&self) -> ConnRef {
        self.conn
    }

    /// The connection's session: `None` before it is opened, after its end, and on a connection with several (whose
    /// edge knows them by their marks). An edge with one session needs no copy of its name.
    #[must_use]
    pub fn session(&self) -> Option<SessionRef> {
        self.session
    }

    /// Where to append bytes for the peer; whole frames only. They leave with all else that this turn has to say to
    /// the peer.
    pub fn out(&mut self) -> &mut Vec<u8> {
        self.out
    }

    /// Begins a session; [`Protocol::opened`] follows in the same turn.
    pub fn open(&mut self, open: Open) {
        self.wants.push(Want::Open(Box::new(open)));
    }

    /// Commands as a session of this connection; the reply comes as an event with this tag.
    pub fn command(&mut self, session: SessionRef, tag: u64, command: Command) {
        self.wants.push(Want::Command { session, tag, command });
    }

    /// Ends a session whose client already knows.
    pub fn close_session(&mut self, session: SessionRef, reason: CloseReason) {
        self.wants.push(Want::CloseSession { session, reason });
    }

    /// Sets the connection's one deadline (monotonic milliseconds; `u64::MAX`: none).
    pub fn deadline(&mut self, at: u64) {
        self.wants.push(Want::Deadline(at));
    }

    /// Ends the connection. Its sessions end with `reason`; nothing is said to them any more.
    pub fn close(&mut self, how: Close, reason: CloseReason) {
        self.wants.push(Want::Close { how, reason });
    }
}
