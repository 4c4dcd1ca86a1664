//! The front interface: all that a gateway may do with running shards.
//!
//! A [`Door`] is a cheap handle that any thread may hold. Through it the front door hands over sockets whose
//! handshake is done, asks on behalf of calls that have no session, and reads reports. Answers come to the one
//! [`Desk`], each under the ticket of its question; the place of each answer is taken before its question leaves, so
//! none is ever refused.

#![allow(missing_docs, reason = "the fields of a variant are told in the variant's own text")]

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use schema::{Actor, Command, Event, Key, Refusal, ShardId};

use crate::machine::{ChatAnswer, ConnRef, Message, Router, StoreReply};
use crate::mesh::{Inbox, Sender};
use crate::shard::report::Report;

pub use crate::machine::erase::{Erased, Progress, Step};
pub use crate::machine::store::{Place, Trace};

/// What is put into a shard's inbox. `A` is what sockets bring along.
#[derive(Debug)]
pub enum Envelope<A> {
    /// A call of the front door.
    Ask { ticket: u64, actor: Option<Actor>, command: Command },
    /// A step in erasing a user. Answered at the desk.
    Erase { ticket: u64, step: Step },
    /// A socket whose handshake is done. Dropping the envelope closes it.
    Socket { socket: OwnedFd, arrival: A },
    /// A connection that has no socket of its own (yet): its client asks through the front door.
    Begin { arrival: A },
    /// What the front door has for a connection that is there. Dropped if it is not.
    Call { conn: ConnRef, arrival: A },
    /// A socket for a connection that has none.
    Offer { conn: ConnRef, socket: OwnedFd, arrival: A },
    /// Another shard speaks.
    Message { from: ShardId, message: Message },
    /// The store answers.
    Store(StoreReply),
    /// The store answers about conversations.
    Chat(ChatAnswer),
    /// How is it going? Answered at the desk.
    Report { ticket: u64 },
    /// Take no more sockets, close the sessions over this many milliseconds, write what is dirty, and end.
    Drain { over: u32 },
}

/// What comes to the desk.
#[derive(Debug)]
pub enum Answer {
    /// The reply to a command.
    Event { ticket: u64, event: Event },
    /// The report of a shard.
    Report { ticket: u64, report: Box<Report> },
    /// What came of a step in erasing a user.
    Erased { ticket: u64, result: Result<Erased, Refusal> },
}

/// How short memory is, told by the front door to the shards.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, PartialOrd, Ord)]
#[repr(u8)]
pub enum Pressure {
    /// There is enough.
    #[default]
    None = 0,
    /// No new connections.
    Connects = 1,
    /// And no payloads: sends and publishes are refused as busy.
    Publishes = 2,
}

/// The pressure as all threads see it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gauge(Arc<AtomicU8>);

impl Gauge {
    fn set(&self, pressure: Pressure) {
        self.0.store(pressure as u8, Ordering::Relaxed);
    }

    pub(crate) fn refuses(&self, pressure: Pressure) -> bool {
        self.0.load(Ordering::Relaxed) >= pressure as u8
    }
}

/// Where the answers come in. Owned by the front door's one receiving task.
pub type Desk = Inbox<Answer>;

/// A handle on the running shards.
#[derive(Debug)]
pub struct Door<A> {
    inner: Arc<Inner<A>>,
}

#[derive(Debug)]
struct Inner<A> {
    router: Router,
    shards: Vec<Sender<Envelope<A>>>,
    desk: Sender<Answer>,
    gauge: Gauge,
    next_ticket: AtomicU64,
}

impl<A> Clone for Door<A> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<A> Door<A> {
    pub(crate) fn new(
        router: Router,
        shards: Vec<Sender<Envelope<A>>>,
        desk: Sender<Answer>,
        gauge: Gauge,
    ) -> Self {
        Self { inner: Arc::new(Inner { router, shards, desk, gauge, next_ticket: AtomicU64::new(1) }) }
    }

    /// Tells all shards how short memory is.
    pub fn set_pressure(&self, pressure: Pressure) {
        self.inner.gauge.set(pressure);
    }

    /// Whether new connections are to be refused for want of memory; ask before a handshake is answered.
    #[must_use]
    pub fn refuses_connects(&self) -> bool {
        self.inner.gauge.refuses(Pressure::Connects)
    }

    /// The shard that is home to a key.
    #[must_use]
    pub fn home(&self, key: &Key) -> ShardId {
        self.inner.router.home(key)
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.inner.router.shards()
    }

    /// A ticket that no other question has.
    #[must_use]
    pub fn ticket(&self) -> u64 {
        self.inner.next_ticket.fetch_add(1, Ordering::Relaxed)
    }

    /// Asks as `actor` (`None`: nobody in particular, which suffices for a count). The reply comes to the desk
    /// under `ticket`, exactly once, within the machine's gather time.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when the shard's inbox or the desk is full; nothing will come then.
    pub fn ask(
        &self,
        shard: ShardId,
        ticket: u64,
        actor: Option<Actor>,
        command: Command,
    ) -> Result<(), Refusal> {
        self.put_reserved(shard, Envelope::Ask { ticket, actor, command })
    }

    /// Takes a step in erasing a user, at the shard that is home to what it is about; what came of it comes to the desk
    /// under `ticket`.
    ///
    /// # Errors
    /// [`Refusal::Busy`] as with [`Door::ask`].
    pub fn erase(&self, ticket: u64, step: Step) -> Result<(), Refusal> {
        let shard = match &step {
            Step::Look { user, .. } | Step::Presence { user } => self.home(user),
            Step::In { place, .. } => self.inner.router.home_of(place.0, &place.1.id()),
        };
        self.put_reserved(shard, Envelope::Erase { ticket, step })
    }

    /// Asks a shard for its report; it comes to the desk under `ticket`.
    ///
    /// # Errors
    /// [`Refusal::Busy`] as with [`Door::ask`].
    pub fn report(&self, shard: ShardId, ticket: u64) -> Result<(), Refusal> {
        self.put_reserved(shard, Envelope::Report { ticket })
    }

    fn put_reserved(&self, shard: ShardId, envelope: Envelope<A>) -> Result<(), Refusal> {
        let inbox = self.inner.shards.get(usize::from(shard.0)).ok_or(Refusal::Invalid)?;
        if !self.inner.desk.reserve_raw() {
            return Err(Refusal::Busy);
        }
        inbox.try_send_command(envelope).map_err(|_| {
            self.inner.desk.release_raw();
            Refusal::Busy
        })
    }

    /// Hands a socket over to a shard. It must be non-blocking and belong to no reactor any more.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when the shard's inbox is full; the socket is closed.
    pub fn hand_over(&self, shard: ShardId, socket: OwnedFd, arrival: A) -> Result<(), Refusal> {
        self.put(shard, Envelope::Socket { socket, arrival })
    }

    /// Begins a connection that has no socket.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when the shard's inbox is full.
    pub fn begin(&self, shard: ShardId, arrival: A) -> Result<(), Refusal> {
        self.put(shard, Envelope::Begin { arrival })
    }

    /// Says something to a connection. One that is not there (any more) drops it.
    ///
    /// # Errors
    /// What was to be said, when the shard's inbox is full (or there is no such shard).
    pub fn call(&self, shard: ShardId, conn: ConnRef, arrival: A) -> Result<(), A> {
        let Some(inbox) = self.inner.shards.get(usize::from(shard.0)) else { return Err(arrival) };
        match inbox.try_send_command(Envelope::Call { conn, arrival }) {
            Err(Envelope::Call { arrival, .. }) => Err(arrival),
            _ => Ok(()),
        }
    }

    /// Gives a connection a socket, as [`Door::hand_over`]. One that does not want it closes it.
    ///
    /// # Errors
    /// [`Refusal::Busy`] when the shard's inbox is full; the socket is closed.
    pub fn offer(&self, shard: ShardId, conn: ConnRef, socket: OwnedFd, arrival: A) -> Result<(), Refusal> {
        self.put(shard, Envelope::Offer { conn, socket, arrival })
    }

    fn put(&self, shard: ShardId, envelope: Envelope<A>) -> Result<(), Refusal> {
        let inbox = self.inner.shards.get(usize::from(shard.0)).ok_or(Refusal::Invalid)?;
        inbox.try_send_command(envelope).map_err(|_| Refusal::Busy)
    }

    pub(crate) fn senders(&self) -> &[Sender<Envelope<A>>] {
        &self.inner.shards
    }
}
