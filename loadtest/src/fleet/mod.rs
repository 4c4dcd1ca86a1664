//! The fleet: threads, each with a ring of its own, that hold the crowd's connections and do what the scenario says.
//!
//! The main thread sets the [`Phase`] and reads the numbers; the rings do the rest by themselves. The n-th ring of W has
//! the persons n, n + W, n + 2 W, …, so that every part of a crowd is spread over all of them.

mod crowd;
mod pace;
mod ring;
mod sources;
mod stall;
pub mod tally;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use engine::io::Waker;

use crate::clock::Clock;
use crate::dialect::{Ask, Choice};
use crate::mix::{Channel, Heartbeat, Mix};
use crate::persona::Tokens;
use tally::Tally;

/// What the rings are doing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Phase {
    /// Connecting whoever is not connected; heartbeats go on.
    Ramp,
    /// Nothing but heartbeats, so that watches and subscriptions come to stand.
    Settle,
    /// Nothing at all, not even heartbeats.
    Rest,
    /// Everything the scenario has.
    Run,
    /// Everything said in conversations is read back.
    ReadBack,
    /// All but the watchers drop at once.
    Drop,
    /// Everybody leaves, and the threads end.
    End,
}

const PHASES: [Phase; 7] =
    [Phase::Ramp, Phase::Settle, Phase::Rest, Phase::Run, Phase::ReadBack, Phase::Drop, Phase::End];

/// What a fleet is made of.
#[derive(Clone)]
pub struct Plan {
    /// The server.
    pub target: SocketAddr,
    /// What it speaks.
    pub dialect: Choice,
    /// A binary listener of the same server, for the service that publishes and sends where the dialect itself cannot.
    pub staff: Option<SocketAddr>,
    /// Tokens.
    pub tokens: Tokens,
    /// What to do.
    pub mix: Mix,
    /// Threads; 0 takes as few as hold the crowd.
    pub rings: usize,
    /// Cores that the threads are pinned to, in turn; empty: none.
    pub cpus: Vec<usize>,
    /// The socket driver.
    pub io: engine::io::Choice,
    /// The run's clock.
    pub clock: Clock,
}

/// Connections that one ring may hold, by the limit on open files.
#[must_use]
pub fn ring_capacity() -> usize {
    let limit = engine::io::sockets::raise_open_files().unwrap_or(1_024);
    // The plain descriptors of connects under way, the program's own, and those of the other rings.
    usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(500).clamp(64, 1 << 20)
}

impl Plan {
    /// Rings that this crowd takes.
    #[must_use]
    pub fn rings_needed(&self) -> usize {
        let needed = usize::try_from(self.mix.connections).unwrap_or(usize::MAX).div_ceil(ring_capacity());
        self.rings.max(needed).max(1)
    }

    /// Whether a service has to be there, to say what the crowd's dialect cannot.
    fn needs_staff(&self) -> bool {
        let sends = self.mix.send.rate > 0.0;
        self.mix.channel.rate > 0.0 || sends && !self.can(&Ask::Send { to: 0, payload: b"" })
    }

    fn can(&self, ask: &Ask<'_>) -> bool {
        self.dialect.make().can(ask)
    }

    /// Whether the dialect has words for all that the scenario wants.
    ///
    /// # Errors
    /// What it lacks.
    pub fn check(&self) -> Result<(), String> {
        let name = self.dialect.make().name();
        let lacks =
            |what: &str| Err(format!("{name} clients cannot {what}: choose another dialect or scenario"));
        let mix = &self.mix;
        let beats = mix.heartbeat.every > 0.0 || mix.heartbeat.in_flight > 0;
        if self.dialect.make().patience().is_some() && (mix.heartbeat.in_flight > 0 || !mix.heartbeat.answer)
        {
            return Err(format!(
                "{name} clients answer the server's heartbeats, which have its pace: for heartbeats of their own, give the \
                 event that they emit with --socketio-event"
            ));
        }
        if mix.send.rate > 0.0 && !self.dialect.make().hears_messages() {
            return lacks("hear what is sent to a user");
        }
        if mix.churn.rate > 0.0 && !self.can(&Ask::Leave) {
            return lacks("log out");
        }
        if mix.watch.watchers > 0 && !self.can(&Ask::Watch(&[])) {
            return lacks("watch users");
        }
        if (mix.channel.subscribers > 0 || mix.stalled > 0) && !self.can(&Ask::Subscribe(0)) {
            return lacks("subscribe to channels");
        }
        if mix.messages.conversations > 0 && !self.can(&Ask::Follow) {
            return lacks("talk in conversations");
        }
        if beats && !mix.heartbeat.answer && !self.can(&Ask::Beat { answer: false }) {
            return lacks("send heartbeats without an answer");
        }
        if self.needs_staff() && self.staff.is_none() {
            return Err(format!(
                "{name} clients cannot say what this scenario sends, a service does it over the binary protocol: \
                 give its address with --binary"
            ));
        }
        Ok(())
    }
}

/// What all rings share.
struct Field {
    plan: Plan,
    rings: usize,
    phase: AtomicU8,
    beat: Mutex<Heartbeat>,
    publishing: Mutex<Channel>,
    /// Of each user: when it last came or left (nanoseconds, shifted by one) and which; 0: neither.
    moves: Vec<AtomicU64>,
    /// Deliveries of each published message, in a circle.
    arrivals: Vec<AtomicU32>,
    /// A bit for each message sent to a user, in a circle.
    received: Vec<AtomicU64>,
    published: AtomicU64,
    /// The high bits of the numbers of this run's messages in conversations: older ones are told apart by them.
    salt: u64,
    /// Of each member of each conversation, the place of the last message that it was told.
    heard: Vec<AtomicU32>,
    /// A bit for each message in a conversation that was acknowledged, in a circle; and for each that was read back.
    kept: Vec<AtomicU64>,
    found: Vec<AtomicU64>,
}

/// Published messages whose deliveries are remembered.
const ARRIVALS: usize = 1 << 16;
/// Sent messages that are remembered, in bits; 8 MB.
const RECEIVED: usize = 1 << 26;
/// Marks the number of a published message; the others are sent to a user.
const PUBLISHED: u64 = 1 << 63;

impl Field {
    fn phase(&self) -> Phase {
        PHASES[usize::from(self.phase.load(Ordering::Acquire))]
    }

    fn publishing(&self) -> Channel {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn heartbeat(&self) -> Heartbeat {
        self.beat.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What a ring shows to the main thread.
#[derive(Default)]
struct Shown {
    tally: Mutex<Tally>,
    open: AtomicU64,
    /// Persons that are neither connected nor on their way, and shall be.
    missing: AtomicU64,
    /// Asks about conversations that are under way, or still to be made once.
    waits: AtomicU64,
    waker: Mutex<Option<Waker>>,
}

/// The threads at work.
pub struct Fleet {
    field: Arc<Field>,
    shown: Vec<Arc<Shown>>,
    threads: Vec<JoinHandle<io::Result<()>>>,
    stalled: Option<stall::Stalled>,
}

impl Fleet {
    /// Starts the threads, which begin to connect.
    ///
    /// # Errors
    /// When the scenario does not fit the dialect, or a thread cannot be made.
    pub fn start(plan: Plan) -> Result<Self, String> {
        plan.mix.check()?;
        plan.check()?;
        let rings = plan.rings_needed();
        let users = if plan.mix.churn.rate > 0.0 { plan.mix.connections } else { 0 };
        let received = if plan.mix.send.rate > 0.0 { RECEIVED / 64 } else { 0 };
        let (messages, salt) = (&plan.mix.messages, (Clock::unix_ms() / 1_000) & 0xff_ffff);
        let places = messages.conversations * messages.members;
        let said = if messages.conversations > 0 { RECEIVED / 64 } else { 0 };
        let bits = |words: usize| (0..words).map(|_| AtomicU64::new(0)).collect::<Vec<_>>();
        let arrivals = if plan.mix.channel.rate > 0.0 { ARRIVALS } else { 0 };
        let field = Arc::new(Field {
            rings,
            phase: AtomicU8::new(Phase::Ramp as u8),
            beat: Mutex::new(plan.mix.heartbeat.clone()),
            publishing: Mutex::new(plan.mix.channel.clone()),
            moves: (0..users).map(|_| AtomicU64::new(0)).collect(),
            arrivals: (0..arrivals).map(|_| AtomicU32::new(0)).collect(),
            received: bits(received),
            published: AtomicU64::new(0),
            salt,
            heard: (0..places).map(|_| AtomicU32::new(0)).collect(),
            kept: bits(said),
            found: bits(said),
            plan,
        });
        let shown: Vec<Arc<Shown>> = (0..rings).map(|_| Arc::default()).collect();
        let mut threads = Vec::new();
        for (number, shown) in shown.iter().enumerate() {
            let (field, shown) = (field.clone(), shown.clone());
            shown.missing.store(1, Ordering::Release);
            let thread = std::thread::Builder::new()
                .name(format!("ring-{number}"))
                .spawn(move || ring::work(&field, &shown, number))
                .map_err(|error| format!("ring {number}: {error}"))?;
            threads.push(thread);
        }
        Ok(Self { field, shown, threads, stalled: None })
    }

    /// Tells the rings what to do.
    pub fn set(&self, phase: Phase) {
        self.field.phase.store(phase as u8, Ordering::Release);
        for shown in &self.shown {
            if let Some(waker) = &*shown.waker.lock().unwrap_or_else(PoisonError::into_inner) {
                waker.wake();
            }
        }
    }

    /// Heartbeats of the next [`Phase::Run`].
    pub fn set_heartbeat(&self, heartbeat: Heartbeat) {
        *self.field.beat.lock().unwrap_or_else(PoisonError::into_inner) = heartbeat;
    }

    /// Publishes of the next [`Phase::Run`]: their rate and burst. With several channels the burst must stay.
    pub fn set_publishing(&self, rate: f64, burst: u32) {
        let mut publishing = self.field.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        (publishing.rate, publishing.burst) = (rate, burst);
    }

    /// Brings the subscribers that read nothing, and waits until they have subscribed.
    ///
    /// # Errors
    /// When one cannot.
    pub fn stall(&mut self) -> Result<(), String> {
        let (field, count) = (&self.field, self.field.plan.mix.stalled);
        if count > 0 && self.stalled.is_none() {
            self.stalled = Some(stall::Stalled::bring(&field.plan, count)?);
        }
        Ok(())
    }

    /// How many of the stalled readers the server has dropped, and how many there were.
    pub fn stalled_dropped(&mut self) -> Option<(usize, usize)> {
        self.stalled.as_mut().map(stall::Stalled::dropped)
    }

    /// Adds what the rings have counted since the last call.
    pub fn collect(&self, into: &mut Tally) {
        for shown in &self.shown {
            into.absorb(&mut shown.tally.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Sessions that are open.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.shown.iter().map(|shown| shown.open.load(Ordering::Acquire)).sum()
    }

    /// Sessions that are to be opened and have not been tried yet, or are on their way.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.shown.iter().map(|shown| shown.missing.load(Ordering::Acquire)).sum()
    }

    /// Asks about conversations that wait for an answer or are still to be made once: conversations to make, messages under
    /// way, pages to read back.
    #[must_use]
    pub fn waits(&self) -> u64 {
        self.shown.iter().map(|shown| shown.waits.load(Ordering::Acquire)).sum()
    }

    /// Messages in conversations that were acknowledged, and how many of them were not found when all was read back.
    #[must_use]
    pub fn kept(&self) -> (u64, u64) {
        let pairs = self.field.kept.iter().zip(&self.field.found);
        pairs.fold((0, 0), |(kept, missing), (one, other)| {
            let (one, other) = (one.load(Ordering::Acquire), other.load(Ordering::Acquire));
            (kept + u64::from(one.count_ones()), missing + u64::from((one & !other).count_ones()))
        })
    }

    /// Rings at work.
    #[must_use]
    pub fn rings(&self) -> usize {
        self.field.rings
    }

    /// Whether a ring has died, and why.
    pub fn failure(&mut self) -> Option<String> {
        let place = self.threads.iter().position(JoinHandle::is_finished)?;
        let thread = self.threads.swap_remove(place);
        match thread.join() {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("a ring of the generator failed: {error}")),
            Err(_) => Some("a ring of the generator panicked".into()),
        }
    }

    /// Ends all connections and waits for the threads.
    ///
    /// # Errors
    /// What a ring died of.
    pub fn end(mut self, into: &mut Tally) -> Result<(), String> {
        self.set(Phase::End);
        let mut failed = None;
        for thread in std::mem::take(&mut self.threads) {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failed = Some(format!("a ring of the generator failed: {error}")),
                Err(_) => failed = Some("a ring of the generator panicked".into()),
            }
        }
        self.collect(into);
        failed.map_or(Ok(()), Err)
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.set(Phase::End);
        for thread in std::mem::take(&mut self.threads) {
            let _ = thread.join();
        }
    }
}
