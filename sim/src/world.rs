//! The world: the machines of one node, two clocks, a mesh, a store, and people; one step at a time.
//!
//! It is a driver like the shard's: it tells room, hands in inputs, calls `advance` when `next_wake` says so, and
//! carries out what comes out, in order. What people do is in [`crate::people`].

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engine::machine::{Census, Input, Machine, Now, Output, Router, Setup};
use schema::{SessionAddr, ShardId};

use crate::broken::{Broken, Verdict, broken, check};
use crate::luck::{Concern, Luck};
use crate::names::Names;
use crate::network::Network;
use crate::oracle::{Figures, Oracle};
use crate::people::Client;
use crate::profile::{Profile, StoreMood};
use crate::shelf::Shelf;
use crate::store::Store;
use crate::workload::Workload;

/// A wall clock set back by up to this is held.
const WALL_HOLD: u64 = 3_600_000;

/// The wall clock when a world begins.
const WALL: u64 = 1_800_000_000_000;
/// Parcels a shard takes in one turn.
const INBOX_BATCH: u64 = 4;
/// Wakes of one shard in the same millisecond that come to nothing.
const SPINS: u32 = 100;
/// How long a drained node may wait for the store.
const STORE_PATIENCE: u64 = 8_000;

/// One run of the node.
pub(crate) struct Node {
    pub(crate) machines: Vec<Machine>,
    started: u64,
    /// When each shard wants a turn.
    wakes: Vec<Option<u64>>,
    /// Until when each shard gets none.
    pub(crate) stalled: Vec<u64>,
    spins: Vec<(u64, u32)>,
}

/// What happens next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Happening {
    Operation,
    Parcel(u16),
    Store(u16),
    Shelf(u16),
    Beat(SessionAddr),
    Wake(u16),
    Restart,
}

/// Everything.
pub struct World {
    pub(crate) profile: Profile,
    pub(crate) router: Router,
    pub(crate) names: Names,
    pub(crate) time: u64,
    pub(crate) wall_ahead: i64,
    /// The latest wall time that the running node has told its shards.
    wall_told: Cell<u64>,
    pub(crate) jumped: bool,
    pub(crate) node: Option<Node>,
    pub(crate) incarnation: u32,
    pub(crate) network: Network,
    pub(crate) store: Store,
    pub(crate) shelf: Shelf,
    pub(crate) oracle: Oracle,
    pub(crate) workload: Workload,
    pub(crate) turns: Luck,
    pub(crate) clients: BTreeMap<SessionAddr, Client>,
    pub(crate) order: Vec<SessionAddr>,
    pub(crate) gone: VecDeque<SessionAddr>,
    pub(crate) beats: BTreeSet<(u64, SessionAddr)>,
    pub(crate) opening: Option<engine::machine::Open>,
    /// The latest messages with a client's own name, by who sent them.
    pub(crate) drafts: VecDeque<(schema::Key, schema::chat::Draft)>,
    pub(crate) number: u64,
    next_operation: Option<u64>,
    restart_at: Option<u64>,
    /// The node drains, and is to have ended by then.
    pub(crate) stopping: Option<u64>,
    pub(crate) calm: bool,
    steps: u64,
    digest: u64,
    watching: Option<u64>,
    trail: VecDeque<String>,
}

impl World {
    /// The world of a seed, at its beginning.
    #[must_use]
    pub fn new(seed: u64, profile: Profile) -> Self {
        let router = Router::new((seed, !seed), profile.shards);
        let time = 1_000;
        let mut world = Self {
            network: Network::new(seed, &profile),
            store: Store::new(seed, &profile, router.clone()),
            shelf: Shelf::new(seed, &profile),
            drafts: VecDeque::new(),
            oracle: Oracle::new(&profile, router.clone(), time, WALL + time),
            workload: Workload::new(seed, &profile),
            turns: Luck::new(seed, Concern::Turns),
            names: Names::new(profile.users, profile.channels),
            profile,
            router,
            time,
            wall_ahead: WALL as i64,
            wall_told: Cell::new(0),
            jumped: false,
            node: None,
            incarnation: 0,
            clients: BTreeMap::new(),
            order: Vec::new(),
            gone: VecDeque::new(),
            beats: BTreeSet::new(),
            opening: None,
            number: 0,
            next_operation: None,
            restart_at: Some(time),
            stopping: None,
            calm: false,
            steps: 0,
            digest: seed,
            watching: None,
            trail: VecDeque::new(),
        };
        world.oracle.clock(time, world.wall(), false);
        world
    }

    /// Keeps what happens from this step on, for a report.
    pub fn watch_from(&mut self, step: u64) {
        self.watching = Some(step);
    }

    /// Steps so far: turns of a machine.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// A number that is the same for two runs that were the same.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// What has been checked.
    #[must_use]
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// The latest that happened, oldest first, as far as it was kept.
    pub fn take_trail(&mut self) -> Vec<String> {
        std::mem::take(&mut self.trail).into()
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.watching.is_some_and(|from| self.steps >= from) {
            self.trail.push_back(format!("{:>8} @{} {}", self.steps, self.time, line()));
        }
    }

    /// What the node's one clock tells: set back by up to an hour it stands still (`engine/src/io/clock.rs`).
    pub(crate) fn wall(&self) -> u64 {
        let wall = self.time.saturating_add_signed(self.wall_ahead);
        let latest = self.wall_told.get().max(wall);
        let told = if latest - wall <= WALL_HOLD { latest } else { wall };
        self.wall_told.set(told);
        told
    }

    pub(crate) fn now(&self) -> Now {
        let started = self.node.as_ref().map_or(0, |node| node.started);
        Now { mono: self.profile.mono + (self.time - started), wall: self.wall() }
    }

    // -- time -------------------------------------------------------------------------------------------------

    /// One step; the clock moves to the next thing that happens.
    ///
    /// # Errors
    /// When a promise is broken.
    pub fn step(&mut self) -> Verdict {
        match self.next_happening() {
            Some((at, happening)) => self.happen(at, happening),
            None => broken("a world with people in it goes on", format!("nothing happens at {}", self.time)),
        }
    }

    /// Everything that happens until then.
    ///
    /// # Errors
    /// When a promise is broken.
    pub fn run_until(&mut self, until: u64) -> Verdict {
        while let Some((at, happening)) = self.next_happening().filter(|(at, _)| *at <= until) {
            self.happen(at, happening)?;
        }
        self.pass_to(until)
    }

    /// From now on people act on their own, or not.
    pub fn set_busy(&mut self, busy: bool) {
        self.next_operation = busy.then_some(self.time);
    }

    fn next_happening(&mut self) -> Option<(u64, Happening)> {
        let mut first: Option<(u64, Happening)> = None;
        let mut ties = 0;
        let mut offers: [Option<(u64, Happening)>; 6] = [None; 6];
        offers[0] = self.next_operation.map(|at| (at, Happening::Operation));
        offers[1] = self.restart_at.map(|at| (at, Happening::Restart));
        if let Some(node) = &self.node {
            offers[2] = self.network.next().map(|(at, to)| (at, Happening::Parcel(to)));
            offers[3] = self.store.next().map(|(at, shard)| (at, Happening::Store(shard)));
            offers[5] = self.shelf.next().map(|(at, shard)| (at, Happening::Shelf(shard)));
            offers[4] = self.beats.first().map(|(at, session)| (*at, Happening::Beat(*session)));
            for (shard, wake) in node.wakes.iter().enumerate() {
                let Some(at) = wake.map(|at| at.max(node.stalled[shard])) else { continue };
                Self::offer(
                    &mut first,
                    &mut ties,
                    &mut self.turns,
                    self.time,
                    (at, Happening::Wake(shard as u16)),
                );
            }
        }
        for offer in offers.into_iter().flatten() {
            Self::offer(&mut first, &mut ties, &mut self.turns, self.time, offer);
        }
        first
    }

    /// The earlier one, or luck's choice among those of the same time.
    fn offer(
        first: &mut Option<(u64, Happening)>,
        ties: &mut u64,
        luck: &mut Luck,
        now: u64,
        (at, what): (u64, Happening),
    ) {
        let at = at.max(now);
        match first {
            Some((other, _)) if *other < at => {}
            Some((other, _)) if *other == at => {
                *ties += 1;
                if luck.below(*ties) == 0 {
                    *first = Some((at, what));
                }
            }
            _ => (*first, *ties) = (Some((at, what)), 1),
        }
    }

    fn happen(&mut self, at: u64, happening: Happening) -> Verdict {
        self.pass_to(at)?;
        self.steps += 1;
        match happening {
            Happening::Operation => {
                let pause = self.workload.pause();
                self.next_operation = Some(self.time + pause);
                let operation = self.workload.next(self.order.len());
                self.apply(operation)?;
            }
            Happening::Parcel(to) => self.parcels(to)?,
            Happening::Store(shard) => self.store_answers(shard)?,
            Happening::Shelf(shard) => self.shelf_answers(shard)?,
            Happening::Beat(session) => self.beat(session)?,
            Happening::Wake(shard) => self.turn(shard, Vec::new())?,
            Happening::Restart => self.restart()?,
        }
        self.stop_if_drained()
    }

    /// Moves the clock, after a look at what should have happened until now.
    fn pass_to(&mut self, at: u64) -> Verdict {
        if at <= self.time {
            return Ok(());
        }
        if let Some(node) = &self.node {
            let figures: Vec<Figures<'_>> = node
                .machines
                .iter()
                .map(|machine| Figures {
                    sessions: machine.sessions(),
                    online: machine.online(),
                    counters: machine.counters(),
                })
                .collect();
            self.oracle.audit(&figures, self.store.rows())?;
            let longest = 2 * u64::from(self.profile.limits.gather_time) + 4 * self.profile.lag() + 200;
            self.network.check_answers(self.time, longest)?;
        }
        self.time = at;
        self.oracle.clock(at, self.wall(), std::mem::take(&mut self.jumped));
        Ok(())
    }

    // -- turns ------------------------------------------------------------------------------------------------

    /// A turn of one shard: room is told, inputs go in, and time is told when it is due.
    pub(crate) fn turn(&mut self, shard: u16, inputs: Vec<Input>) -> Verdict {
        let now = self.now();
        let idle = inputs.is_empty();
        self.announce(shard);
        for input in inputs {
            self.note(|| format!("shard {shard} <- {input:?}"));
            let Some(machine) = self.machine(shard) else { return Ok(()) };
            machine.handle(now, input);
            self.carry_out(shard)?;
        }
        let eager = self.turns.chance(400);
        let curious = self.turns.chance(100);
        let Some(machine) = self.machine(shard) else { return Ok(()) };
        let due = machine.next_wake().is_some_and(|at| at <= now.mono);
        if due && (idle || eager) {
            machine.advance(now);
            let said = self.carry_out(shard)?;
            self.check_spin(shard, said)?;
        } else if !due && curious {
            let (wake, before) = (machine.next_wake(), machine.census());
            machine.advance(now);
            let after = machine.census();
            let said = self.carry_out(shard)?;
            check(
                said == 0 && before == after,
                "advance has nothing to do before next_wake says so",
                || format!("shard {shard} at {}: {wake:?}, {said} outputs, {before:?}, {after:?}", now.mono),
            )?;
        }
        if self.machine(shard).is_some_and(|machine| machine.counters().taps_dropped > 0) {
            self.oracle.taps_dropped();
        }
        self.note_wake(shard);
        Ok(())
    }

    fn note_wake(&mut self, shard: u16) {
        let mono = self.profile.mono;
        let Some(node) = &mut self.node else { return };
        let started = node.started;
        let wake = node.machines[usize::from(shard)].next_wake();
        node.wakes[usize::from(shard)] = wake.map(|at| at.saturating_sub(mono) + started);
    }

    fn check_spin(&mut self, shard: u16, said: usize) -> Verdict {
        let time = self.time;
        let Some(node) = &mut self.node else { return Ok(()) };
        let spins = &mut node.spins[usize::from(shard)];
        *spins = if spins.0 == time && said == 0 { (time, spins.1 + 1) } else { (time, 0) };
        check(spins.1 < SPINS, "a shard with nothing to do sleeps", || format!("shard {shard} at {time}"))
    }

    pub(crate) fn machine(&mut self, shard: u16) -> Option<&mut Machine> {
        self.node.as_mut()?.machines.get_mut(usize::from(shard))
    }

    fn announce(&mut self, shard: u16) {
        for to in (0..self.profile.shards).filter(|&to| to != shard) {
            let room = self.network.room(shard, to);
            if let Some(machine) = self.machine(shard) {
                machine.set_room(ShardId(to), room);
            }
        }
    }

    /// Carries out what a machine wants; says how much it was.
    fn carry_out(&mut self, shard: u16) -> Result<usize, Broken> {
        let mut count = 0;
        while let Some(output) = self.machine(shard).and_then(Machine::poll) {
            count += 1;
            self.note(|| format!("shard {shard} -> {output:?}"));
            self.carry(shard, output)?;
        }
        self.oracle.turn_over()?;
        check(self.opening.is_none(), "an opening is answered in its turn", || format!("shard {shard}"))?;
        Ok(count)
    }

    fn carry(&mut self, shard: u16, output: Output) -> Verdict {
        let kind = match &output {
            Output::Opened { .. } => 1,
            Output::Event { session, .. } => 2 | u64::from(session.slot) << 8,
            Output::Close { session, reason, .. } => {
                3 | u64::from(session.slot) << 8 | (*reason as u64) << 40
            }
            Output::Message { to, .. } => 4 | u64::from(to.0) << 8,
            Output::Front { ticket, .. } => 5 | ticket << 8,
            Output::Store(_) | Output::Chat(_) => 6,
            Output::Tap(tap) => 7 | tap.seq << 8,
            Output::Erased { ticket, .. } => 8 | ticket << 8,
        };
        let mixed = (self.digest ^ kind ^ u64::from(shard) << 56 ^ self.time << 4)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.digest = mixed ^ mixed >> 29;
        let at = |session| SessionAddr { incarnation: self.incarnation, shard: ShardId(shard), session };
        match output {
            Output::Opened { conn, mark, session } => self.opened(shard, conn, mark, session),
            Output::Event { conn, mark, session, event } => {
                self.oracle.said(at(session), (conn.slot, conn.generation, mark), &event)
            }
            Output::Close { conn, mark, session, reason } => {
                let session = at(session);
                self.forget(session);
                self.oracle.ended(session, reason, (conn.slot, conn.generation, mark))
            }
            Output::Message { to, message } => self.network.send(self.time, shard, to.0, message),
            Output::Front { ticket, event } => self.oracle.answered(ticket, &event),
            Output::Store(request) => {
                self.store.ask(self.time, shard, request);
                Ok(())
            }
            Output::Chat(request) => {
                self.shelf.ask(self.time, shard, request);
                self.shelf_news()
            }
            Output::Tap(tap) => self.oracle.tapped(shard, &tap),
            // Nobody is erased here.
            Output::Erased { .. } => Ok(()),
        }
    }

    fn parcels(&mut self, to: u16) -> Verdict {
        if let Some(until) = self.is_stalled(to) {
            self.network.hold(to, until);
            return Ok(());
        }
        let most = self.turns.between(1, INBOX_BATCH) as usize;
        let parcels = self.network.arrived(self.time, most);
        let input = |parcel: crate::network::Parcel| Input::Message {
            from: ShardId(parcel.from),
            message: parcel.message,
        };
        self.turn(to, parcels.into_iter().map(input).collect())
    }

    fn store_answers(&mut self, shard: u16) -> Verdict {
        if let Some(until) = self.is_stalled(shard) {
            self.store.hold(shard, until);
            return Ok(());
        }
        let Some((shard, reply)) = self.store.answer() else { return Ok(()) };
        if let engine::machine::StoreReply::Journal { users, .. } = &reply {
            self.oracle.journal_read(users);
        }
        self.turn(shard, vec![Input::Store(reply)])
    }

    fn shelf_answers(&mut self, shard: u16) -> Verdict {
        if let Some(until) = self.is_stalled(shard) {
            self.shelf.hold(shard, until);
            return Ok(());
        }
        let Some((shard, answer)) = self.shelf.answer() else { return Ok(()) };
        self.shelf_news()?;
        self.turn(shard, vec![Input::Chat(answer)])
    }

    fn shelf_news(&mut self) -> Verdict {
        self.shelf.take_news().into_iter().try_for_each(|news| {
            self.note(|| format!("shelf: {news:?}"));
            self.oracle.shelf(&news)
        })
    }

    /// Until when a shard gets no turn, if it gets none now.
    pub(crate) fn is_stalled(&self, shard: u16) -> Option<u64> {
        let until = *self.node.as_ref()?.stalled.get(usize::from(shard))?;
        (until > self.time).then_some(until)
    }

    // -- the node ---------------------------------------------------------------------------------------------

    /// The node dies. What it had in memory is gone, and what was on its way.
    pub(crate) fn crash(&mut self, down: u64) {
        if self.node.take().is_none() {
            return;
        }
        self.note(|| "the node is gone".to_owned());
        self.network.clear();
        self.store.crash();
        self.shelf.crash();
        self.clients.clear();
        self.order.clear();
        self.gone.clear();
        self.beats.clear();
        self.stopping = None;
        self.restart_at = Some(self.time + down);
    }

    fn restart(&mut self) -> Verdict {
        self.restart_at = None;
        // A new process knows nothing of a hold, so what was held back falls due now.
        let told = self.wall_told.replace(0);
        self.jumped |= self.wall() < told;
        self.oracle.clock(self.time, self.wall(), std::mem::take(&mut self.jumped));
        self.incarnation += 1;
        self.shelf_news()?;
        self.oracle.restart(self.store.rows());
        let shards = usize::from(self.profile.shards);
        let now = Now { mono: self.profile.mono, wall: self.wall() };
        let machine = |shard| {
            let setup = Setup {
                shard: ShardId(shard),
                incarnation: self.incarnation,
                limits: self.profile.limits.clone(),
                router: self.router.clone(),
                seed: u64::from(self.incarnation),
            };
            Machine::new(setup, now)
        };
        self.node = Some(Node {
            machines: (0..self.profile.shards).map(machine).collect(),
            started: self.time,
            wakes: vec![None; shards],
            stalled: vec![0; shards],
            spins: vec![(0, 0); shards],
        });
        self.note(|| "the node starts".to_owned());
        (0..self.profile.shards).try_for_each(|shard| {
            self.carry_out(shard)?;
            self.turn(shard, Vec::new())
        })
    }

    fn stop_if_drained(&mut self) -> Verdict {
        let Some(until) = self.stopping else { return Ok(()) };
        let Some(node) = &self.node else { return Ok(()) };
        let drained = node.machines.iter().all(Machine::is_drained);
        let written = node.machines.iter().all(|machine| machine.unwritten() == 0);
        if self.time > until {
            check(drained, "a drain ends", || format!("not at {}", self.time))?;
            let good = self.profile.store == StoreMood::Good;
            check(written || !good, "a drained node has written what it knows", || {
                let left: Vec<usize> = node.machines.iter().map(Machine::unwritten).collect();
                format!("not at {}: {left:?}", self.time)
            })?;
        }
        if self.time > until || (drained && written) {
            self.crash(0);
        }
        Ok(())
    }

    /// By when a node that is down, or about to be, has come up again.
    pub(crate) fn comes_up(&self) -> u64 {
        [self.stopping.map(|at| at + 1), self.restart_at].into_iter().flatten().fold(self.time, u64::max)
    }

    /// By when a drain must have ended.
    pub(crate) fn drain_deadline(&self, over: u64) -> u64 {
        // The commands of one conversation are done one after the other, each with up to four questions to the store.
        let commands: usize = self.censuses().iter().map(|census| census.chats).sum();
        self.time + over + STORE_PATIENCE + 4 * self.profile.shelf_time() * commands as u64
    }

    /// What all machines hold.
    pub(crate) fn censuses(&self) -> Vec<Census> {
        self.node.iter().flat_map(|node| node.machines.iter().map(Machine::census)).collect()
    }
}
