//! One shard's state, and nothing else: inputs in, outputs out. No socket, no clock, no thread, no luck.
//!
//! A machine plays two roles, with the same code whether they are one shard or two:
//! - the *session host* owns sessions (`session`), and what they listen to (`watch`, `channel`, `tap`);
//! - the *user home* owns users (`home`, whose states are in `user`), the list of those online (`roster`), and
//!   their rows in the store (`flush`).
//!
//! ```text
//!  Input ─► handle ─┬─ Open, Closed ──► session ──┐ attach, detach
//!                   ├─ Command ──► command ──┐    ├──► home ──► user, roster, flush, watch
//!                   ├─ Message ──► question ◄┘    │
//!                   │              peers (state) ─┘
//!                   ├─ Store ────► flush
//!                   ├─ Erase ────► erase
//!                   └─ Drain ────► drain
//!  time ──► advance: timers, then everything that was too much for one turn
//! ```
//!
//! What a shard says to itself is a direct call (state) or goes through `inner` (commands and answers) before
//! `handle` returns; it is never an [`Output`]. Whatever has no bound of its own (a fan-out, a mass expiry, the way
//! out) is a cursor that [`Machine::advance`] moves on by at most [`STAGE_BUDGET`] steps.
//!
//! Absent on purpose: durable messages and conversations; a queue of bytes for each session (the driver has it); any
//! scan over all sessions or users.

pub mod erase;
pub mod input;
pub mod message;
pub mod output;
pub mod router;
pub mod store;

mod address;
mod census;
mod channel;
mod chat;
mod command;
mod counters;
mod drain;
mod flush;
mod gather;
mod graves;
mod home;
mod links;
mod peers;
mod question;
mod rate;
mod roster;
mod session;
mod sessions;
pub(crate) mod slab;
mod table;
mod tap;
pub(crate) mod timer;
mod user;
mod watch;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use schema::{Event, Realm, SessionRef, ShardId};

pub use census::Census;
pub use counters::Counters;
pub use input::{Asker, ConnRef, Input, Now, Open};
pub use message::Message;
pub use output::Output;
pub use router::Router;
pub use store::{ChatAnswer, ChatRequest, StoreReply, StoreRequest};

use crate::limits::relax::Relax;
use crate::limits::{DELIVERY_BUDGET, Limits, STAGE_BUDGET};
use gather::Whom;
use slab::Slab;
use table::Keyed;

/// How soon to look again whether a peer has room.
const ROOM_RETRY: u64 = 5;

/// Parts of the key tables: a thousandth of the users is moved when one of them grows.
const USER_PARTS: usize = 1_024;
/// The same for watched users and channels.
const OTHER_PARTS: usize = 256;

/// What a machine is made of.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Which shard it is.
    pub shard: ShardId,
    /// Which start of the node this is; part of every session's address.
    pub incarnation: u32,
    /// Its numbers.
    pub limits: Limits,
    /// The way to the other shards.
    pub router: Router,
    /// Seed of its hash tables.
    pub seed: u64,
}

/// One shard's state.
///
/// The contract: after each [`Machine::handle`] and [`Machine::advance`] the driver polls until there is nothing
/// more, and carries out what it gets in order. `advance` is due when [`Machine::next_wake`] says so, at the latest
/// once after the inputs of a turn.
pub struct Machine {
    shard: ShardId,
    incarnation: u32,
    limits: Limits,
    router: Router,
    hasher: ahash::RandomState,
    now: Now,
    revision: u64,
    online: u64,
    counters: Counters,
    outputs: VecDeque<Output>,
    /// The most of them at a time since `advance`.
    busiest: usize,
    /// What the shard says to itself.
    inner: VecDeque<Message>,
    wheel: timer::Wheel<timer::Timer>,
    sessions: sessions::Sessions,
    guests: Slab<session::Guest>,
    users: Keyed<user::User>,
    rosters: BTreeMap<Realm, roster::Roster>,
    watched: Keyed<watch::Watched>,
    /// Watched users whose news is still on its way to their many watchers.
    spreads: VecDeque<u32>,
    channels: Keyed<channel::Channel>,
    fanouts: channel::Fanouts,
    gathers: Slab<gather::Gather>,
    /// Large queries that are being looked up.
    lookups: VecDeque<(u64, Realm)>,
    peers: peers::Peers,
    graves: graves::Graves,
    store: flush::StoreWork,
    taps: tap::Taps,
    chats: chat::Chats,
    drain: drain::Drain,
}

impl Machine {
    /// An empty machine. Its first output asks the store for the online journal.
    #[must_use]
    pub fn new(setup: Setup, now: Now) -> Self {
        let Setup { shard, incarnation, limits, router, seed } = setup;
        let hasher = ahash::RandomState::with_seeds(seed, !seed, seed.rotate_left(17), seed.rotate_left(43));
        let mut machine = Self {
            shard,
            incarnation,
            now,
            revision: 0,
            online: 0,
            counters: Counters::default(),
            outputs: VecDeque::new(),
            busiest: 0,
            inner: VecDeque::new(),
            wheel: timer::Wheel::new(now.mono),
            sessions: sessions::Sessions::new(rate::Rate::new(
                limits.commands_per_second,
                limits.commands_burst,
            )),
            guests: Slab::new(),
            users: Keyed::new(USER_PARTS, hasher.clone()),
            rosters: BTreeMap::new(),
            watched: Keyed::new(OTHER_PARTS, hasher.clone()),
            spreads: VecDeque::new(),
            channels: Keyed::new(OTHER_PARTS, hasher.clone()),
            fanouts: channel::Fanouts::default(),
            gathers: Slab::new(),
            lookups: VecDeque::new(),
            peers: peers::Peers::new(router.shards()),
            graves: graves::Graves::new(hasher.clone()),
            store: flush::StoreWork::new(now.mono),
            taps: tap::Taps::default(),
            chats: chat::Chats::new(hasher.clone()),
            drain: drain::Drain::Off,
            limits,
            router,
            hasher,
        };
        machine.advance_store();
        machine
    }

    /// Takes one input.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.set_clocks(now);
        match input {
            Input::Open(open) => self.open(*open),
            Input::Command { asker, actor, tag, command } => self.command(asker, actor, tag, command),
            Input::Erase { ticket, step } => self.erase(ticket, step),
            Input::Renew { session, expires_at } => self.renew(session, expires_at),
            Input::Closed { session, reason } => self.closed(session, reason),
            Input::Message { from, message } => self.message(from, message),
            Input::Store(reply) => self.stored(reply),
            Input::Chat(answer) => self.chat_stored(answer),
            Input::Drain { over } => self.drain(over),
        }
        self.settle();
    }

    /// A session was heard of, by whatever frame: it lives.
    pub fn touch(&mut self, now: Now, session: SessionRef) {
        self.heard(now, session);
    }

    /// Does what time has made due, and goes on with what was too much before.
    pub fn advance(&mut self, now: Now) {
        self.set_clocks(now);
        self.outputs.relax_after(std::mem::take(&mut self.busiest));
        self.graves.advance(self.now.mono, STAGE_BUDGET);
        self.advance_drain(STAGE_BUDGET);
        self.settle();
        self.advance_spreads(STAGE_BUDGET);
        self.advance_timers(STAGE_BUDGET);
        self.settle();
        self.advance_lookups();
        if self.chats.is_behind() || self.chats.is_large(self.limits.chat_cache) {
            self.advance_chats(STAGE_BUDGET);
            self.settle();
        }
        self.advance_retention();
        self.advance_fanouts(DELIVERY_BUDGET);
        self.advance_peers(STAGE_BUDGET);
        self.advance_store();
    }

    /// Tells the other shards what has changed since [`Machine::advance`]. What a client is told of it, and asks then, must
    /// not be there before: who has joined a conversation is told who types. True: there are outputs.
    pub fn tell_peers(&mut self) -> bool {
        let tells = self.peers.can_tell();
        if tells {
            self.advance_peers(STAGE_BUDGET);
        }
        tells
    }

    /// The monotonic millisecond at which `advance` has something to do; one that has passed means now.
    #[must_use]
    pub fn next_wake(&self) -> Option<u64> {
        let now = self.now.mono;
        let left_over = !self.fanouts.is_empty()
            || !self.spreads.is_empty()
            || !self.lookups.is_empty()
            || self.peers.can_tell()
            || self.chats_can_go();
        let untold = (self.peers.notes() > 0 || self.chats.is_behind()).then_some(now + ROOM_RETRY);
        let wakes = [
            left_over.then_some(now),
            untold,
            self.wheel.next(),
            self.graves.next(),
            self.drain.next(),
            self.store_wake(),
            self.retention_wake(),
        ];
        wakes.into_iter().flatten().min()
    }

    /// The next output.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Tells how many messages another shard has room for. The machine counts what it sends against it until it is
    /// told anew.
    pub fn set_room(&mut self, to: ShardId, messages: u32) {
        self.peers.set_room(to, messages);
    }

    /// What has been counted.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Users of this home who count as online.
    #[must_use]
    pub fn online(&self) -> u64 {
        self.online
    }

    /// Conversations in memory, and roughly their bytes.
    #[must_use]
    pub fn conversations(&self) -> (u32, usize) {
        self.chats.cached()
    }

    /// Sessions of this shard.
    #[must_use]
    pub fn sessions(&self) -> u32 {
        self.sessions.len()
    }

    /// True when the online journal has been read: before, nobody's absence is certain.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.store.journal_is_read()
    }

    /// True when the way out has been gone to its end.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.drain == drain::Drain::Done && self.chats_are_quiet()
    }

    fn message(&mut self, from: ShardId, message: Message) {
        match message {
            Message::Ask { ask, question } => self.question(Whom::Shard { shard: from, ask }, question),
            Message::Answer { ask, answer } => self.answered(from, ask, answer),
            Message::State(states) => {
                for state in states {
                    self.state(from, state);
                }
            }
            Message::Deliver { ask, sessions, event } => {
                let reached = self.deliver(&sessions, &event);
                let whom = Whom::Shard { shard: from, ask: ask.unwrap_or(0) };
                self.answer(whom, message::Answer::Reached(reached));
            }
            Message::Publish { channel, event, except } => self.published(&channel, event, except),
            Message::Chat { realm, users, event } => self.chat_told(realm, users, event),
            Message::Tap(tap) => self.tell_listeners(&tap),
        }
    }

    /// Takes in what the shard has said to itself.
    fn settle(&mut self) {
        while let Some(message) = self.inner.pop_front() {
            self.message(self.shard, message);
        }
        self.inner.relax();
    }

    fn advance_timers(&mut self, mut budget: usize) {
        while let Some((timer, deadline)) = self.wheel.pop(self.now.mono, &mut budget) {
            self.counters.timers += 1;
            match timer {
                timer::Timer::Session(slot) => {
                    let cost = self.fire_session(slot, deadline);
                    budget = budget.saturating_sub(cost);
                }
                timer::Timer::User(slot) => self.fire_user(slot, deadline),
                timer::Timer::Frame(slot) => self.fire_frame(slot, deadline),
                timer::Timer::Gather(slot) => self.fire_gather(slot, deadline),
            }
        }
    }

    fn output(&mut self, output: Output) {
        self.outputs.push_back(output);
        self.busiest = self.busiest.max(self.outputs.len());
    }

    /// Tells a session of this shard.
    fn tell_session(&mut self, slot: u32, event: &Arc<Event>) {
        let Some(session) = self.session_ref(slot) else { return };
        let Some(found) = self.sessions.get(slot) else { return };
        let (conn, mark, event) = (found.conn, found.mark, Arc::clone(event));
        self.output(Output::Event { conn, mark, session, event });
    }

    fn set_clocks(&mut self, now: Now) {
        // The driver's monotonic clock never goes back; a machine that was told otherwise stays where it is.
        self.now = Now { mono: now.mono.max(self.now.mono), wall: now.wall };
    }

    /// The wall time that people are told. Whoever drives the machine holds it where it was when the clock is set back
    /// a little, for all shards alike.
    fn wall(&self) -> u64 {
        self.now.wall
    }

    /// The low half of the monotonic time, as slots keep it.
    fn tick(&self) -> u32 {
        self.now.mono as u32
    }
}
