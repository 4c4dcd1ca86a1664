//! A run: busy times and quiet ones in turn, and in the end everybody leaves.

use schema::chat::ChatCommand;
use schema::{Actor, Command, Key, Realm};

use crate::broken::{Broken, Verdict, check};
use crate::oracle::Checked;
use crate::profile::{Profile, ShelfMood, StoreMood};
use crate::world::World;

/// Steps of a busy time.
const BUSY: u64 = 2_000;
/// How long after the last end a machine may hold something: its timers and graves live so long.
const MEMORY: u64 = 300_000 + 60_000 + 30_000;
/// Conversations of each user that are looked at in a quiet time.
const CONVERSATIONS: usize = 4;
/// Steps kept for the report of a failure.
const TRAIL: u64 = 60;

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Steps made.
    pub steps: u64,
    /// The same for two runs that were the same.
    pub digest: u64,
    /// What was checked.
    pub checked: Checked,
    /// What went wrong, if something did.
    pub failure: Option<Failure>,
}

/// A failed run.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The step.
    pub step: u64,
    /// Virtual milliseconds.
    pub time: u64,
    /// The broken promise.
    pub broken: Broken,
    /// What happened last.
    pub trail: Vec<String>,
    /// Which world it was.
    pub profile: Profile,
}

/// What a run is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Steps, roughly: quiet times are not cut off.
    pub steps: u64,
    /// Shards, instead of the seed's choice.
    pub shards: Option<u16>,
}

/// Runs a seed; a failed one is run again, to tell what happened last.
#[must_use]
pub fn run(seed: u64, plan: Plan) -> Outcome {
    let mut outcome = attempt(seed, plan, None, |_| {});
    if let Some(failure) = &outcome.failure {
        let from = failure.step.saturating_sub(TRAIL);
        outcome = attempt(seed, plan, Some(from), |_| {});
    }
    outcome
}

/// Runs a seed and hands out every line of what happens.
#[must_use]
pub fn trace(seed: u64, plan: Plan, each: impl FnMut(&str)) -> Outcome {
    attempt(seed, plan, Some(0), each)
}

fn attempt(seed: u64, plan: Plan, watch_from: Option<u64>, mut each: impl FnMut(&str)) -> Outcome {
    let profile = Profile::of(seed, plan.shards);
    let mut world = World::new(seed, profile.clone());
    if let Some(step) = watch_from {
        world.watch_from(step);
    }
    let went = live(&mut world, plan.steps, &mut |world| {
        if watch_from == Some(0) {
            world.take_trail().iter().for_each(|line| each(line));
        }
    });
    let (steps, time, digest, checked) = (world.steps(), world.time, world.digest(), world.oracle().checked);
    let failure = went.err().map(|broken| Failure {
        seed,
        step: steps,
        time,
        broken,
        trail: world.take_trail(),
        profile,
    });
    Outcome { steps, digest, checked, failure }
}

fn live(world: &mut World, steps: u64, each: &mut impl FnMut(&mut World)) -> Verdict {
    while world.steps() < steps {
        world.set_busy(true);
        let until = (world.steps() + BUSY).min(steps);
        while world.steps() < until {
            world.step()?;
            each(world);
        }
        world.settle()?;
        each(world);
    }
    let went = world.everybody_leaves();
    each(world);
    went
}

impl World {
    /// A quiet time: nobody does anything new, the ways are short, the store is good; then everything is known.
    ///
    /// # Errors
    /// When a promise is broken.
    pub fn settle(&mut self) -> Verdict {
        let profile = self.profile.clone();
        self.set_busy(false);
        self.calm = true;
        self.network.set_delay(profile.delay.min(3));
        self.store.set_mood(StoreMood::Good, 10);
        self.shelf.set_mood(ShelfMood::Good, 10);
        let limits = &profile.limits;
        let quiet = 4 * profile.lag()
            + 2 * profile.sight()
            + u64::from(limits.gather_time)
            + 2 * profile.store_time()
            + 8 * profile.shelf_time()
            + u64::from(limits.flush_interval)
            + u64::from(limits.away_after)
            + 12_000;
        let up = self.comes_up();
        self.run_until(up + quiet)?;
        for (shard, census) in self.censuses().into_iter().enumerate() {
            let at_rest = census.gathers == 0 && census.untold == 0 && census.fanouts == 0;
            check(at_rest, "in a quiet time everything is told", || format!("shard {shard}: {census:?}"))?;
        }
        self.ask_everywhere()?;
        self.ask_of_conversations()?;
        self.run_until(self.time + 50)?;
        self.oracle.settled()?;
        self.network.set_delay(profile.delay);
        self.store.set_mood(profile.store, profile.store_time());
        self.shelf.set_mood(profile.shelf, profile.shelf_time());
        self.calm = false;
        Ok(())
    }

    /// Every shard is asked how things are.
    fn ask_everywhere(&mut self) -> Verdict {
        for shard in 0..self.profile.shards {
            for realm in [Realm(0), Realm(1)] {
                let actor = Actor { key: Key::new(realm, self.names.service()), service: true };
                self.call(shard, actor.clone(), Command::Count)?;
                self.run_until(self.time + 15)?;
                self.call(shard, actor.clone(), Command::List { limit: 1_000 })?;
                self.run_until(self.time + 15)?;
                let mut users = self.names.all();
                users.truncate(self.profile.limits.query_ids as usize);
                self.call(shard, actor, Command::Query { users })?;
                self.run_until(self.time + 40)?;
            }
        }
        Ok(())
    }

    /// Every user's conversations are listed, and their histories and counts are read.
    fn ask_of_conversations(&mut self) -> Verdict {
        if !self.profile.chats {
            return Ok(());
        }
        for realm in [Realm(0), Realm(1)] {
            let actor = Actor { key: Key::new(realm, self.names.service()), service: true };
            for user in self.names.all() {
                let rooms = self.oracle.rooms_of(&Key::new(realm, user.clone()));
                let mut commands = vec![ChatCommand::List { kinds: 0, limit: 1_000, after: None }];
                commands.push(ChatCommand::CountUnread { kinds: 0 });
                for conversation in rooms.into_iter().take(CONVERSATIONS) {
                    let limit = 100;
                    commands.push(ChatCommand::Unread { conversation });
                    let (before, after, forward) = (None, None, false);
                    commands.push(ChatCommand::History { conversation, before, after, forward, limit });
                }
                for command in commands {
                    let shard = (self.number % u64::from(self.profile.shards)) as u16;
                    let (acting, command) = (Some(user.clone()), Box::new(command));
                    self.call(shard, actor.clone(), Command::Chat { acting, command })?;
                    self.run_until(self.time + 40)?;
                }
            }
        }
        self.run_until(self.time + 200)
    }

    /// Everybody leaves; in the end nothing is left.
    ///
    /// # Errors
    /// When a promise is broken, or a machine holds on to something.
    pub fn everybody_leaves(&mut self) -> Verdict {
        self.set_busy(false);
        self.calm = true;
        self.network.set_delay(self.profile.delay.min(3));
        self.store.set_mood(StoreMood::Good, 10);
        self.shelf.set_mood(ShelfMood::Good, 10);
        let up = self.comes_up();
        self.run_until(up)?;
        while let Some(&session) = self.order.first() {
            self.disconnect(session, schema::CloseReason::ClientClosed)?;
        }
        let limits = &self.profile.limits;
        let longest = MEMORY + u64::from(limits.restart_grace) + u64::from(limits.silence);
        self.run_until(self.time + longest)?;
        // Who looks for what is too old goes on looking.
        let looks = self.profile.limits.retention != [0; 4];
        for _ in 0..50 {
            if !looks || self.censuses().iter().all(|census| census.chats == 0) {
                break;
            }
            self.run_until(self.time + 7)?;
        }
        check(self.network.is_quiet(), "in the end nothing is on its way", || "something is".to_owned())?;
        let Some(node) = &self.node else { return Ok(()) };
        for (shard, machine) in node.machines.iter().enumerate() {
            let seen = || format!("shard {shard}: {:?}", machine.census());
            check(machine.is_idle(), "when everybody has left a machine is empty", seen)?;
            let wake = machine.next_wake();
            let looks = looks && shard == 0;
            check(wake.is_none() || looks, "an empty machine sleeps", || format!("shard {shard}: {wake:?}"))?;
        }
        let ghost = self.store.rows().iter().find(|(_, row)| row.online);
        check(ghost.is_none(), "when everybody has left the journal is empty", || format!("{ghost:?}"))
    }
}
