//! The one upward trait: what a protocol edge is to a shard.
//!
//! An edge is sans-IO. In come bytes, events, deadlines and endings; out go bytes, commands, a deadline and a close,
//! all through [`Effects`]. It owns no socket and reads no clock, so the simulator and the fuzzers drive the same code
//! as the shard. The gateway implements the trait once, as an enum over the protocols it speaks.

#![allow(missing_docs, reason = "the fields of a variant are told in the variant's own text")]

use schema::event::Class;
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

    /// The front door says something to this connection. Only edges that it calls know what.
    fn called(&mut self, _shared: &mut Self::Shared, _arrival: Self::Arrival, _fx: &mut Effects<'_>) {}

    /// A socket for this connection, which has none now; whether it is wanted. One that is not is closed.
    fn offered(
        &mut self,
        _shared: &mut Self::Shared,
        _arrival: Self::Arrival,
        _fx: &mut Effects<'_>,
    ) -> bool {
        false
    }

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

    /// The socket is gone. True: the connection lives on without one; else it is over.
    fn lost(&mut self, _shared: &mut Self::Shared, _fx: &mut Effects<'_>) -> bool {
        false
    }

    /// A session of this connection is told an event. True: the edge has dealt with it by itself; else it is told
    /// like everybody, in the words of its dialect.
    fn told(&mut self, _shared: &mut Self::Shared, _event: &Event, _fx: &mut Effects<'_>) -> bool {
        false
    }

    /// Whether what the dialect says is for the edge to keep ([`Protocol::keep`]), since no socket takes it.
    fn keeps(&self) -> bool {
        false
    }

    /// The words for an event, in the connection's dialect.
    fn keep(&mut self, _shared: &mut Self::Shared, _class: Class, _words: &[u8], _fx: &mut Effects<'_>) {}

    /// All has been said that this turn has to say; asked for with [`Effects::turn_end`].
    fn turn_ends(&mut self, _shared: &mut Self::Shared, _fx: &mut Effects<'_>) {}

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
    /// A session's client has shown a newer token, which ends then (leeway included), milliseconds since the Unix epoch.
    Renew { session: SessionRef, expires_at: u64 },
    /// End a session; its client knows.
    CloseSession { session: SessionRef, reason: CloseReason },
    /// Call [`Protocol::deadline`] then (monotonic milliseconds), and forget the deadline set before.
    Deadline(u64),
    /// Call [`Protocol::turn_ends`] at the end of this turn.
    TurnEnd,
    /// Close the connection's socket; the connection stays.
    CloseSocket { how: Close },
    /// End the connection and with it all its sessions.
    Close { how: Close, reason: CloseReason },
}

/// The half of [`Effects`] that commands, while the other half is written to.
#[derive(Debug)]
pub struct Wishes<'a> {
    now: Now,
    conn: ConnRef,
    session: Option<SessionRef>,
    wants: &'a mut Vec<Want>,
}

impl Wishes<'_> {
    /// The same for a shorter time.
    #[must_use]
    pub fn again(&mut self) -> Wishes<'_> {
        Wishes { now: self.now, conn: self.conn, session: self.session, wants: self.wants }
    }

    /// See [`Effects::now`].
    #[must_use]
    pub fn now(&self) -> Now {
        self.now
    }

    /// See [`Effects::conn`].
    #[must_use]
    pub fn conn(&self) -> ConnRef {
        self.conn
    }

    /// See [`Effects::session`].
    #[must_use]
    pub fn session(&self) -> Option<SessionRef> {
        self.session
    }

    /// See [`Effects::open`].
    pub fn open(&mut self, open: Open) {
        self.wants.push(Want::Open(Box::new(open)));
    }

    /// See [`Effects::command`].
    pub fn command(&mut self, session: SessionRef, tag: u64, command: Command) {
        self.wants.push(Want::Command { session, tag, command });
    }

    /// A session lives on under a newer token, until this one ends (leeway included), milliseconds since the Unix epoch.
    pub fn renew(&mut self, session: SessionRef, expires_at: u64) {
        self.wants.push(Want::Renew { session, expires_at });
    }

    /// See [`Effects::close_session`].
    pub fn close_session(&mut self, session: SessionRef, reason: CloseReason) {
        self.wants.push(Want::CloseSession { session, reason });
    }
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

    /// Both halves: where to append bytes, and the commands.
    pub fn halves(&mut self) -> (&mut Vec<u8>, Wishes<'_>) {
        let Self { now, conn, session, out, wants } = self;
        (out, Wishes { now: *now, conn: *conn, session: *session, wants })
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

    /// [`Protocol::turn_ends`] is to be called at the end of this turn, for what is better said all at once.
    pub fn turn_end(&mut self) {
        self.wants.push(Want::TurnEnd);
    }

    /// Closes the connection's socket, without its sessions: they live on, and another socket may come.
    pub fn close_socket(&mut self, how: Close) {
        self.wants.push(Want::CloseSocket { how });
    }

    /// Ends the connection. Its sessions end with `reason`; nothing is said to them any more.
    pub fn close(&mut self, how: Close, reason: CloseReason) {
        self.wants.push(Want::Close { how, reason });
    }
}
