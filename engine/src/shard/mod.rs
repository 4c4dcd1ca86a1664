//! The shard: one thread's sockets, machine and inbox, and the turn that drives them.

mod conns;
mod floor;
mod links;
pub mod report;
mod staging;

use std::io;
use std::time::Duration;

use crate::front::{Answer, Envelope, Gauge};
use crate::io::{Clock, Driver};
use crate::limits::STAGE_BUDGET;
use crate::limits::relax::Relax;
use crate::machine::Machine;
use crate::mesh::{Inbox, Sender};
use crate::protocol::Protocol;
use crate::store;
use conns::Pipe;
use floor::Floor;
use report::SlowTurn;

/// What a turn means for the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Another turn may follow.
    Running,
    /// The shard has drained: everybody is gone and everything is written.
    Done,
}

/// What a shard is made of.
pub struct Parts<P: Protocol> {
    /// The machine, new.
    pub machine: Machine,
    /// The socket driver, made on the shard's own thread.
    pub driver: Box<dyn Driver>,
    /// The node's clock.
    pub clock: Clock,
    /// What the edges share.
    pub shared: P::Shared,
    /// How short memory is.
    pub(crate) gauge: Gauge,
    /// The shard's own inbox.
    pub inbox: Inbox<Envelope<P::Arrival>>,
    /// The inboxes of all shards, this one included.
    pub peers: Vec<Sender<Envelope<P::Arrival>>>,
    /// The front door's inbox.
    pub desk: Sender<Answer>,
    /// The store worker's inbox.
    pub store: Sender<store::Ask>,
    /// Where questions about conversations go.
    pub chats: store::chat::Orders,
    /// Which shard this is.
    pub shard: schema::ShardId,
    /// Connections it may hold.
    pub connections: u32,
    /// Bytes that may wait for one slow reader.
    pub outbox_bytes: usize,
    /// Milliseconds after which a reader that takes nothing is closed.
    pub outbox_time: u32,
    /// `thread` or `glommio`, for the report.
    pub host: &'static str,
}

/// One shard. Lives on one thread; a host ([`crate::host`]) calls [`Shard::turn`] until it is done.
pub struct Shard<P: Protocol> {
    driver: Box<dyn Driver>,
    floor: Floor<P>,
    outbox_bytes: usize,
    flushed: staging::Flushed,
    turn_micros: u64,
}

impl<P: Protocol> Shard<P> {
    /// Puts a shard together.
    #[must_use]
    pub fn new(parts: Parts<P>) -> Self {
        let outbox_bytes = parts.outbox_bytes;
        let (driver, floor) = Floor::new(parts);
        let mut shard =
            Self { driver, floor, outbox_bytes, flushed: staging::Flushed::default(), turn_micros: 0 };
        shard.floor.settle();
        shard
    }

    /// One turn: reap what the sockets have (edges turn bytes into commands), drain the inbox, advance the timers,
    /// and flush what all that has to say; the next wait submits it. Sleeps at most `patience` when idle.
    ///
    /// # Errors
    /// When the driver is broken; the shard must then be given up.
    pub fn turn(&mut self, patience: Option<Duration>) -> io::Result<Flow> {
        let patience = if self.floor.inbox.prepare_sleep() { patience } else { Some(Duration::ZERO) };
        self.floor.sleeping();
        self.driver.wait(patience, &mut self.floor)?;
        self.floor.inbox.woke();
        let begun = self.floor.awake();

        self.drain_inbox();
        let drained = self.floor.micros();
        self.floor.advance();
        self.flush();

        let turn = SlowTurn { inbox_micros: drained - begun.wait_end, ..begun.turn };
        self.turn_micros = self.floor.end_turn(begun.start, turn);
        Ok(if self.floor.is_done() { Flow::Done } else { Flow::Running })
    }

    /// How long the turn before has taken, without its sleep.
    #[must_use]
    pub fn turn_time(&self) -> Duration {
        Duration::from_micros(self.turn_micros)
    }

    /// How long the next turn may sleep: until the next timer, or for ever.
    #[must_use]
    pub fn patience(&mut self) -> Option<Duration> {
        self.floor.patience()
    }

    /// The same for a host that sleeps elsewhere, on [`Shard::notify_fd`]: the driver's own deadlines count too.
    #[must_use]
    pub fn foreign_patience(&mut self) -> Option<Duration> {
        [self.floor.patience(), self.driver.patience()].into_iter().flatten().min()
    }

    /// For a host that sleeps elsewhere: says that it is about to sleep, after which any sender to the shard makes
    /// the notify descriptor readable. It may not when something is waiting.
    #[must_use]
    pub fn prepare_sleep(&mut self) -> bool {
        self.floor.inbox.prepare_sleep()
    }

    /// A descriptor that becomes readable when a turn would find something to do (for foreign executors).
    ///
    /// # Errors
    /// When the driver cannot make one.
    pub fn notify_fd(&mut self) -> io::Result<std::os::fd::OwnedFd> {
        self.driver.notify_fd()
    }

    /// Whether the socket driver gathers what comes ([`crate::io::Tuning::gather`]).
    #[must_use]
    pub fn gathers(&self) -> bool {
        self.driver.gathers()
    }

    /// The socket driver's name.
    #[must_use]
    pub fn driver_name(&self) -> &'static str {
        self.driver.name()
    }

    fn drain_inbox(&mut self) {
        for _ in 0..STAGE_BUDGET {
            let Some(envelope) = self.floor.inbox.pop() else { break };
            match envelope {
                Envelope::Socket { socket, arrival } => {
                    if let Some(token) = self.floor.admit() {
                        match self.driver.adopt(token, socket) {
                            Ok(()) => self.floor.arrive(token, arrival, Pipe::Socket),
                            Err(error) => self.floor.reject(&error),
                        }
                    }
                }
                Envelope::Begin { arrival } => {
                    if let Some(token) = self.floor.admit() {
                        self.floor.arrive(token, arrival, Pipe::Door);
                    }
                }
                Envelope::Offer { conn, socket, arrival } => {
                    let driver = &mut *self.driver;
                    self.floor.offer(conn, arrival, |token| driver.adopt(token, socket));
                }
                Envelope::Report { ticket } => {
                    let counters = self.driver.counters();
                    self.floor.answer_report(ticket, counters);
                }
                Envelope::Drain { over } => {
                    self.driver.stop_listening();
                    self.floor.drain(over);
                }
                other => self.floor.take(other),
            }
            self.floor.settle();
        }
    }

    fn flush(&mut self) {
        self.floor.end_turns();
        while !self.floor.staging.is_empty() {
            let floor = &mut self.floor;
            floor.staging.flush(&mut floor.conns, &mut *self.driver, self.outbox_bytes, &mut self.flushed);
            // A connection closed for not reading says so in a last frame, hence the loop.
            floor.after_flush(&mut self.flushed);
        }
        for (token, how) in std::mem::take(&mut self.floor.leaving) {
            self.floor.leaves(token);
            self.driver.close(token, how);
        }
        for (token, how) in self.floor.closing.drain(..) {
            self.driver.close(token, how);
        }
        self.floor.closing.relax();
        self.floor.staging.rest();
        self.floor.links.flush();
    }
}
