//! The node: starts the shards and the store's worker, connects them, drains them, and sees to it that a shard that
//! dies does not die in silence.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use schema::ShardId;

use crate::front::{Desk, Door, Envelope, Gauge};
use crate::host::{self, Host};
use crate::io::{self as driver, Choice, Clock, Tuning, affinity};
use crate::limits::Limits;
use crate::machine::{Machine, Now, Router, Setup};
use crate::mesh::{self, Capacity, Inbox, Sender};
use crate::protocol::Protocol;
use crate::shard::{Parts, Shard};
use crate::store;

/// The numbers and choices of a node.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Shards; at least 1, at most [`crate::limits::SHARDS_MAX`].
    pub shards: u16,
    /// Pin each shard to a processor (best effort).
    pub pin: bool,
    /// Which socket driver.
    pub io: Choice,
    /// What the shards run on.
    pub host: Host,
    /// The machines' numbers.
    pub limits: Limits,
    /// The drivers' numbers.
    pub tuning: Tuning,
    /// Places in each shard's inbox.
    pub inbox: Capacity,
    /// Places at the desk.
    pub desk: u32,
    /// Requests that may wait for the store.
    pub store_queue: u32,
    /// The numbers of the store of conversations.
    pub chats: store::chat::Settings,
    /// Bytes that may wait for one slow reader, and how long it may take nothing, milliseconds.
    pub outbox: (usize, u32),
    /// Keys the routing hash; must stay the same over restarts.
    pub secret: (u64, u64),
    /// Which start of which node; part of every session's address.
    pub incarnation: u32,
    /// Seeds the hash maps.
    pub seed: u64,
    /// The clock of all shards.
    pub clock: Clock,
}

/// Everything a node is told at its start.
pub struct NodeSetup<P: Protocol> {
    /// The numbers.
    pub settings: Settings,
    /// Which store.
    pub store: store::Kind,
    /// Makes what the edges of one shard share.
    pub shared: Box<dyn Fn(ShardId) -> P::Shared>,
    /// Called from a shard's thread when the shard dies; expected to end the process.
    pub on_death: Arc<dyn Fn(ShardId, String) + Send + Sync>,
}

/// The running shards.
pub struct Node<P: Protocol> {
    door: Door<P::Arrival>,
    driver: &'static str,
    threads: Vec<JoinHandle<()>>,
    store: store::Worker,
    chats: store::chat::Worker,
}

/// What a shard's thread says once it has its driver.
type Started = io::Result<&'static str>;

impl<P: Protocol> Node<P> {
    /// Starts everything, and returns when every shard is turning.
    ///
    /// # Errors
    /// When a thread cannot be started or a socket driver cannot be made.
    pub fn start(setup: NodeSetup<P>) -> io::Result<(Self, Desk)> {
        let NodeSetup { settings, store: kind, shared, on_death } = setup;
        let shards = settings.shards.clamp(1, crate::limits::SHARDS_MAX as u16);
        let router = Router::new(settings.secret, shards);
        let (desk, desk_sender) = mesh::inbox(Capacity { commands: 1, replies: settings.desk });

        let (inboxes, senders): (Vec<_>, Vec<_>) =
            (0..shards).map(|_| mesh::inbox::<Envelope<P::Arrival>>(settings.inbox)).unzip();

        let opened = store::open(&kind, &router).map_err(io::Error::other)?;
        tracing::debug!(store = opened.what, "store opened");
        let (store_inbox, store_sender) =
            mesh::inbox(Capacity { commands: settings.store_queue, replies: 0 });
        let clock = settings.clock.clone();
        let store = store::Worker::start(
            opened.adapter,
            store_inbox,
            move || clock.instant(),
            {
                let senders = senders.clone();
                move |shard: ShardId, reply| {
                    if let Some(inbox) = senders.get(usize::from(shard.0)) {
                        inbox.send_reserved(Envelope::Store(reply));
                    }
                }
            },
            {
                let on_death = on_death.clone();
                // Every shard has lost its store; the first is told in the name of all.
                move |cause| on_death(ShardId(0), cause)
            },
        )?;

        let opened = store::chat::open(&kind, &settings.chats, settings.seed).map_err(io::Error::other)?;
        tracing::debug!(store = opened.what, "store of conversations opened");
        let clock = settings.clock.clone();
        let (chats, orders) = store::chat::Worker::start(
            opened,
            &settings.chats,
            settings.store_queue,
            move || clock.instant(),
            {
                let clock = settings.clock.clone();
                move || clock.wall_ms()
            },
            {
                let senders = senders.clone();
                move |shard: ShardId, answer| {
                    if let Some(inbox) = senders.get(usize::from(shard.0)) {
                        inbox.send_reserved(Envelope::Chat(answer));
                    }
                }
            },
            {
                let on_death = on_death.clone();
                move |cause| on_death(ShardId(0), cause)
            },
        )?;

        let gauge = Gauge::default();
        let door = Door::new(router.clone(), senders.clone(), desk_sender.clone(), gauge.clone());
        let (started, starts) = mpsc::channel::<Started>();
        let cpus = affinity::allowed_cpus();
        let mut threads = Vec::new();
        for (number, inbox) in inboxes.into_iter().enumerate() {
            let shard = ShardId(number as u16);
            let wiring = Wiring::<P> {
                shard,
                cpu: settings.pin.then(|| cpus[number % cpus.len()]),
                router: router.clone(),
                inbox,
                peers: senders.clone(),
                desk: desk_sender.clone(),
                store: store_sender.clone(),
                chats: orders.clone(),
                shared: shared(shard),
                gauge: gauge.clone(),
                settings: settings.clone(),
                on_death: on_death.clone(),
            };
            let started = started.clone();
            threads.push(
                std::thread::Builder::new()
                    .name(format!("shard-{number}"))
                    .spawn(move || live(wiring, &started))?,
            );
        }
        drop(started);

        let mut name = "";
        for _ in 0..shards {
            name = starts.recv().map_err(|_| {
                io::Error::other("a shard's thread ended before its socket driver was made")
            })??;
        }
        Ok((Self { door, driver: name, threads, store, chats }, desk))
    }

    /// The front interface.
    #[must_use]
    pub fn door(&self) -> Door<P::Arrival> {
        self.door.clone()
    }

    /// The socket driver in use: `ring` or `epoll`.
    #[must_use]
    pub fn driver(&self) -> &'static str {
        self.driver
    }

    /// How the store is.
    #[must_use]
    pub fn store_status(&self) -> Arc<store::Status> {
        self.store.status()
    }

    /// How the store of conversations is.
    #[must_use]
    pub fn chats_status(&self) -> Arc<store::chat::Status> {
        self.chats.status()
    }

    /// Drains every shard over so many milliseconds and waits until all have ended, then closes the store.
    pub fn drain(self, over: u32) {
        for inbox in self.door.senders() {
            let mut envelope = Envelope::Drain { over };
            // The inbox may be full for a moment; a shard takes thousands of envelopes a turn.
            while let Err(back) = inbox.try_send_command(envelope) {
                if inbox.is_closed() {
                    break;
                }
                envelope = back;
                std::thread::yield_now();
            }
        }
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a shard's thread ended by a panic outside its guard");
            }
        }
        if self.store.stop().is_err() {
            tracing::error!("the store's worker ended by a panic");
        }
        if self.chats.stop().is_err() {
            tracing::error!("a worker of the conversations' store ended by a panic");
        }
    }
}

/// What a shard's thread starts with.
struct Wiring<P: Protocol> {
    shard: ShardId,
    cpu: Option<usize>,
    router: Router,
    inbox: Inbox<Envelope<P::Arrival>>,
    peers: Vec<Sender<Envelope<P::Arrival>>>,
    desk: Sender<crate::front::Answer>,
    store: Sender<store::Ask>,
    chats: store::chat::Orders,
    shared: P::Shared,
    gauge: Gauge,
    settings: Settings,
    on_death: Arc<dyn Fn(ShardId, String) + Send + Sync>,
}

/// A shard's whole life. Whatever ends it but a drain is told to `on_death`.
fn live<P: Protocol>(wiring: Wiring<P>, started: &mpsc::Sender<Started>) {
    let (shard, on_death) = (wiring.shard, wiring.on_death.clone());
    let end = catch_unwind(AssertUnwindSafe(|| run(wiring, started)));
    let cause = match end {
        Ok(Ok(())) => return,
        Ok(Err(error)) => format!("its socket driver failed: {error}"),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied());
            format!("it panicked: {}", text.unwrap_or("no message"))
        }
    };
    on_death(shard, cause);
}

fn run<P: Protocol>(wiring: Wiring<P>, started: &mpsc::Sender<Started>) -> io::Result<()> {
    let Wiring { shard, cpu, router, inbox, peers, desk, store, chats, shared, gauge, settings, .. } = wiring;
    if let Some(cpu) = cpu
        && let Err(error) = affinity::pin_current_thread(cpu)
    {
        tracing::warn!(shard = shard.0, cpu, %error, "the shard could not be pinned; it runs where it may");
    }
    let driver = match driver::open(settings.io, &settings.tuning) {
        Ok((driver, _)) => driver,
        Err(error) => {
            // The starter gives up with this error; the shard never lived, so it has not died.
            let _ = started.send(Err(error));
            return Ok(());
        }
    };
    if settings.host == Host::Glommio && driver.name() != "ring" {
        let _ = started.send(Err(io::Error::other(
            "engine.host = \"glommio\" needs the io_uring socket driver: set engine.io = \"ring\", or \
             engine.host = \"thread\"",
        )));
        return Ok(());
    }
    // Before the first sleep, so that no sender can find a sleeper without a waker.
    inbox.wake_by({
        let waker = driver.waker();
        move || waker.wake()
    });
    let now = Now { mono: settings.clock.now_ms(), wall: settings.clock.wall_ms() };
    let setup = Setup {
        shard,
        incarnation: settings.incarnation,
        limits: settings.limits.clone(),
        router,
        seed: settings.seed,
    };
    let mut shard_itself = Shard::<P>::new(Parts {
        machine: Machine::new(setup, now),
        clock: settings.clock,
        shared,
        gauge,
        inbox,
        peers,
        desk,
        store,
        chats,
        shard,
        connections: settings.tuning.connections,
        outbox_bytes: settings.outbox.0,
        outbox_time: settings.outbox.1,
        host: settings.host.as_str(),
        driver,
    });
    let name = shard_itself.driver_name();
    if started.send(Ok(name)).is_err() {
        return Ok(()); // The start was given up.
    }
    match settings.host {
        Host::Thread => host::thread::run(&mut shard_itself, settings.tuning.gather),
        #[cfg(feature = "glommio")]
        Host::Glommio => host::glommio::run(shard_itself),
        #[cfg(not(feature = "glommio"))]
        Host::Glommio => Err(io::Error::other(
            "this build has no glommio host: build with the feature `glommio`, or set engine.host = \"thread\"",
        )),
    }
}
