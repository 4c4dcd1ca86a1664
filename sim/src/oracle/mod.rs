//! The oracle: a second, naive account of what happens, written from the promises and not from the machine's code.
//!
//! It is told everything that is done to the node and everything the node says, with the time, and compares. It knows
//! nothing of shards but this: what one of them is told, the others may know a *lag* later. It never asks a machine
//! how things are; the world lets it compare a machine's numbers with its own.

mod audit;
mod calls;
mod chat_calls;
mod chat_refusals;
mod hearing;
mod person;
mod refusals;
mod rooms;
mod talk;
mod taps;
mod watching;

use std::collections::{BTreeMap, VecDeque};

use engine::limits::Limits;
use engine::machine::{Open, Router};
use schema::event::TapEvent;
use schema::{CloseReason, Event, Key, Realm, SessionAddr, ShardId, Status, UserPresence};

use crate::broken::{Verdict, broken, check};
use crate::profile::{Profile, ShelfMood, StoreMood, TIGHT};
pub use audit::Figures;
use calls::{Call, Kick};
use hearing::Chats;
use person::{Person, Times};
use talk::Talk;
use taps::Taps;
use watching::Watch;

/// So far the wall clock may be set back, and last seen still never goes back: the node holds it where it was.
const CLOCK_HOLD: u64 = 3_600_000;

/// A session that is open, as its client and its connection know it.
#[derive(Debug)]
struct Session {
    open: Open,
    opened: u64,
    /// Wall time at the opening.
    since: u64,
    heard: u64,
    heard_wall: u64,
    watches: BTreeMap<schema::Id, Watch>,
    frame: Option<u64>,
    /// When it last took users off its list.
    unwatched: Option<u64>,
    channels: BTreeMap<schema::Id, u64>,
    /// Listens to taps since then.
    taps: Option<u64>,
    /// Times of its latest commands.
    commands: VecDeque<u64>,
    commanded: u64,
}

/// What is compared.
#[derive(Debug)]
pub struct Oracle {
    times: Times,
    /// From the home's knowledge to a watcher's.
    sight: u64,
    stall: u64,
    several: bool,
    tight: bool,
    slow_ways: bool,
    store: StoreMood,
    store_time: u64,
    jumps: bool,
    limits: Limits,
    router: Router,
    now: u64,
    wall: u64,
    /// The latest wall time there ever was.
    latest_wall: u64,
    /// When the wall clock jumped last.
    jumped: u64,
    /// When the wall clock was last behind by more than the node makes up for.
    unsteady: u64,
    booted: u64,
    /// Users carried over the last restart.
    carried: u64,
    draining: Option<Draining>,
    people: BTreeMap<Key, Person>,
    sessions: BTreeMap<SessionAddr, Session>,
    /// Sessions of each shard.
    hosted: Vec<u32>,
    calls: BTreeMap<u64, Call>,
    /// Who has been asked to be kicked, and when.
    kicks: VecDeque<(u64, Kick)>,
    talk: Talk,
    taps: Taps,
    chats: Chats,
    /// The store of conversations fails, or did since all was well.
    shelf_fails: bool,
    shelf_time: u64,
    forgetting_time: u64,
    /// What has been checked, for the report.
    pub checked: Checked,
}

/// How often each promise had a chance to be broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Checked {
    pub replies: u64,
    pub presence_rows: u64,
    pub watched_states: u64,
    pub counts: u64,
    pub lists: u64,
    pub sends: u64,
    pub publishes: u64,
    pub taps: u64,
    pub audits: u64,
    pub restarts: u64,
    pub chat_replies: u64,
    pub chat_events: u64,
    pub acknowledged: u64,
    pub unread: u64,
}

#[derive(Clone, Copy, Debug)]
struct Draining {
    since: u64,
    over: u64,
    sessions: u64,
    closed: u64,
}

impl Oracle {
    /// An oracle for a node that has just been started.
    #[must_use]
    pub fn new(profile: &Profile, router: Router, now: u64, wall: u64) -> Self {
        let limits = profile.limits.clone();
        let times = Times {
            lag: profile.lag(),
            grace: limits.grace.into(),
            restart_grace: limits.restart_grace.into(),
        };
        Self {
            times,
            sight: profile.sight(),
            stall: profile.stall,
            several: profile.shards > 1,
            tight: profile.capacity < TIGHT,
            slow_ways: !profile.is_brisk(),
            store: profile.store,
            store_time: profile.store_time(),
            jumps: profile.jumps,
            limits,
            router,
            now,
            wall,
            latest_wall: wall,
            jumped: 0,
            unsteady: 0,
            booted: now,
            carried: 0,
            draining: None,
            people: BTreeMap::new(),
            sessions: BTreeMap::new(),
            hosted: vec![0; usize::from(profile.shards)],
            calls: BTreeMap::new(),
            kicks: VecDeque::new(),
            talk: Talk::default(),
            taps: Taps::default(),
            chats: Chats::default(),
            shelf_fails: matches!(profile.shelf, ShelfMood::Failing | ShelfMood::Outages),
            shelf_time: profile.shelf_time(),
            forgetting_time: profile.forgetting_time(),
            checked: Checked::default(),
        }
    }

    /// Time passes.
    pub fn clock(&mut self, now: u64, wall: u64, jumped: bool) {
        (self.now, self.wall) = (now, wall);
        self.latest_wall = self.latest_wall.max(wall);
        if jumped {
            (self.jumped, self.jumps) = (now, true);
        }
        if wall + CLOCK_HOLD < self.latest_wall {
            self.lose_track();
        }
    }

    /// The clock is so far back that last seen may be, too.
    fn lose_track(&mut self) {
        self.unsteady = self.now;
        self.people.values_mut().for_each(Person::forget_seen);
    }

    /// The node starts again over a store with these rows.
    pub fn restart(&mut self, rows: &BTreeMap<Key, crate::store::Row>) {
        self.checked.restarts += 1;
        self.booted = self.now;
        self.draining = None;
        let behind = self.wall < self.latest_wall;
        self.sessions.clear();
        self.calls.clear();
        self.kicks.clear();
        self.talk = Talk::default();
        self.taps = Taps::default();
        self.chats.restart(self.now);
        self.hosted.fill(0);
        self.carried = rows.values().filter(|row| row.online).count() as u64;
        for key in rows.keys() {
            self.people.entry(key.clone()).or_default();
        }
        for (key, person) in &mut self.people {
            let row = rows.get(key);
            person.restart(self.now, row.is_some_and(|row| row.online), row.map(|row| row.last_seen));
        }
        // What the clock showed before is not known to a new run.
        if behind {
            self.lose_track();
        }
    }

    /// A home reads these rows of the journal.
    pub fn journal_read(&mut self, users: &[(Key, u64)]) {
        // A node on its way out may leave them to the next run.
        if self.draining.is_some() {
            return;
        }
        for (key, _) in users {
            if let Some(person) = self.people.get_mut(key) {
                person.restored(self.now, &self.times);
            }
        }
    }

    /// The node is told to send everybody away.
    pub fn drain(&mut self, over: u64) {
        let sessions = self.sessions.len() as u64;
        self.draining.get_or_insert(Draining { since: self.now, over, sessions, closed: 0 });
    }

    /// A session has begun, or was refused.
    pub fn opened(
        &mut self,
        shard: u16,
        open: Open,
        session: Result<SessionAddr, schema::Refusal>,
        incarnation: u32,
    ) -> Verdict {
        let session = match session {
            Ok(session) => session,
            Err(refusal) => return self.judge_refused_session(shard, refusal),
        };
        if self.draining.is_some() {
            return broken("a node that drains lets nobody in", session.to_string());
        }
        check(
            session.shard == ShardId(shard) && session.incarnation == incarnation,
            "a session's address tells its host and the node's start",
            || session.to_string(),
        )?;
        let key = open.actor.key.clone();
        if !open.actor.service {
            let person = self.people.entry(key).or_default();
            person.open(self.now, session, &self.times);
            person.see(self.now, self.wall);
        }
        self.hosted[usize::from(shard)] += 1;
        self.taps.opened(session);
        let new = Session {
            open,
            opened: self.now,
            since: self.wall,
            heard: self.now,
            heard_wall: self.wall,
            watches: BTreeMap::new(),
            frame: None,
            unwatched: None,
            channels: BTreeMap::new(),
            taps: None,
            commands: VecDeque::new(),
            commanded: 0,
        };
        check(self.sessions.insert(session, new).is_none(), "a session's address is never used again", || {
            session.to_string()
        })
    }

    /// A session was heard of.
    pub fn touched(&mut self, session: SessionAddr) {
        if let Some(found) = self.sessions.get_mut(&session) {
            (found.heard, found.heard_wall) = (self.now, self.wall);
        }
    }

    /// A session's connection is over: its client has left, or the node was told so.
    pub fn left(&mut self, session: SessionAddr, reason: CloseReason) {
        if self.sessions.contains_key(&session) {
            self.end(session, reason);
        }
    }

    /// The node has ended a session.
    pub fn ended(&mut self, session: SessionAddr, reason: CloseReason, open: (u32, u32, u32)) -> Verdict {
        let Some(found) = self.sessions.get(&session) else {
            return broken(
                "nothing is said to a session that is over",
                format!("{session}: close {reason:?}"),
            );
        };
        let own = (found.open.conn.slot, found.open.conn.generation, found.open.mark);
        check(own == open, "an output names the session's own connection", || format!("{own:?} {open:?}"))?;
        self.judge_end(session, reason)?;
        self.end(session, reason);
        Ok(())
    }

    fn end(&mut self, session: SessionAddr, reason: CloseReason) {
        let Some(found) = self.sessions.remove(&session) else { return };
        self.hosted[usize::from(session.shard.0)] -= 1;
        self.taps.closed(session, reason);
        self.talk.gone(session, &found, self.now);
        self.chats.gone(session);
        if let Some(draining) = self.draining.as_mut().filter(|_| reason == CloseReason::Draining) {
            draining.closed += 1;
        }
        if found.open.actor.service {
            return;
        }
        let Some(person) = self.people.get_mut(&found.open.actor.key) else { return };
        person.close(self.now, session, reason == CloseReason::LoggedOut, &self.times);
        match reason {
            // It was alive until it was heard of last, and not until that was noticed.
            CloseReason::Silent => person.may_see(found.heard_wall),
            CloseReason::ClientClosed | CloseReason::LoggedOut | CloseReason::Lost => {
                person.see(self.now, self.wall);
            }
            _ => person.may_see(self.wall),
        }
    }

    /// The node says something to a session.
    pub fn said(&mut self, session: SessionAddr, open: (u32, u32, u32), event: &Event) -> Verdict {
        let Some(found) = self.sessions.get(&session) else {
            return broken("nothing is said to a session that is over", format!("{session}: {event:?}"));
        };
        let own = (found.open.conn.slot, found.open.conn.generation, found.open.mark);
        check(own == open, "an output names the session's own connection", || format!("{own:?} {open:?}"))?;
        match event {
            Event::Reply { tag, result } => self.replied(Some(session), *tag, result),
            Event::Presence(rows) => self.frame(session, rows),
            Event::Message { from, payload } => self.message(session, from, payload),
            Event::Published { channel, from, payload } => self.published(session, channel, from, payload),
            Event::Tap(tap) => self.tap_told(session, tap),
            Event::Chat(_, event) => self.chat_told(session, event),
            Event::Closing(reason) => {
                broken("ends are outputs of their own", format!("{session}: {reason:?}"))
            }
        }
    }

    /// The node answers a call of the front door.
    pub fn answered(&mut self, ticket: u64, event: &Event) -> Verdict {
        match event {
            Event::Reply { tag, result } if *tag == ticket => self.replied(None, ticket, result),
            _ => broken("the front door hears answers to its calls", format!("{ticket}: {event:?}")),
        }
    }

    /// A shard reports a session that has opened or closed.
    pub fn tapped(&mut self, shard: u16, tap: &TapEvent) -> Verdict {
        self.checked.taps += 1;
        self.taps.reported(shard, tap)
    }

    /// The end of a turn: every session that opened or closed in it has been reported.
    pub fn turn_over(&mut self) -> Verdict {
        self.taps.turn_over()
    }

    /// Open sessions of a shard.
    #[must_use]
    pub fn hosted(&self, shard: u16) -> u32 {
        self.hosted[usize::from(shard)]
    }

    /// All open sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// The user behind a session.
    fn realm_of(&self, session: SessionAddr) -> Realm {
        self.sessions.get(&session).map_or(Realm(0), |session| session.open.actor.key.realm)
    }

    /// Whether it may not be known yet how somebody is.
    fn may_be_unknown(&self) -> bool {
        let starting = self.now < self.booted + 20 * self.store_time + 2_000 || self.draining.is_some();
        self.store != StoreMood::Good
            || self.slow_ways
            || self.tight
            || starting
            || self.stall > 0
            || self.limits.gathers < 100
    }

    /// Whether a home may have written and forgotten what it is then told of late.
    fn is_forgetful(&self) -> bool {
        self.slow_ways || (self.several && self.times.lag >= u64::from(self.limits.flush_interval))
    }

    /// Compares what is told of a user, from what was known between `from` and now. Last seen is `fresh` in answers;
    /// watchers of an online user are told of changes, and not whenever it moves.
    fn judge_row(&self, realm: Realm, row: &UserPresence, from: u64, fresh: bool) -> Verdict {
        let key = Key::new(realm, row.user.clone());
        let nobody = Person::default();
        let person = self.people.get(&key).unwrap_or(&nobody);
        let (times, now) = (&self.times, self.now);
        let seen = || format!("{key:?} told {row:?}, from {from} to {now}, is {person:?}");
        match row.status {
            Status::Offline => {
                check(!person.never_offline(times, from, now), "nobody is wrongly offline", seen)?;
            }
            Status::Online => check(person.maybe_online(times, from, now), "no ghosts", seen)?,
            Status::Away => {
                check(person.maybe_online(times, from, now), "no ghosts", seen)?;
                let away_after = u64::from(self.limits.away_after);
                let idle =
                    away_after > 0 && person.active(from.saturating_sub(times.lag)) + away_after <= now;
                // How late an activity is told, a home can only say by the wall clock.
                let unclear = self.jumps && self.several;
                check(idle || unclear, "away is who has done nothing for a while", seen)?;
            }
            Status::Unknown => check(self.may_be_unknown(), "how a user is can be told", seen)?,
        }
        let told = row.last_seen.at();
        if row.last_seen == schema::LastSeen::Unknown {
            return Ok(());
        }
        let newest = told >= person.low(from.saturating_sub(times.lag));
        let late = self.is_forgetful();
        check(newest || late || (!fresh && row.status.is_online()), "last seen never goes backwards", seen)?;
        let highest = if self.jumps { Some(self.latest_wall + 1_000) } else { person.high };
        check(told <= highest, "last seen is never in the future", seen)
    }
}
