//! Watching: a session is told how users are, at once and whenever that changes.
//!
//! The host keeps each watched user once, with its watchers and its latest state, and tells the user's home that
//! somebody here is interested. News only marks the watchers' links; a frame collects what is marked when it is due.
//! A first state makes a frame due at once, changes wait until the watcher's window is over.

use std::collections::HashSet;
use std::sync::Arc;

use schema::{Event, Id, Key, LastSeen, Realm, Refusal, Reply, Status, UserPresence};

use super::Machine;
use super::links::{self, Link};
use super::message::State;
use super::peers::Dirty;
use super::slab::Slotted;
use super::table::HasKey;
use super::timer::Timer;
use crate::limits::relax::Relax;

/// Watchers marked at once when a user's state changes; more are marked by a cursor.
const AT_ONCE: usize = 64;

/// A user who is watched by sessions of this shard.
pub(super) struct Watched {
    key: Key,
    watchers: Vec<Link>,
    latest: Option<(Status, LastSeen)>,
    /// Of the latest state.
    revision: u64,
    /// The home is to be told that somebody watches, or nobody any more.
    dirty: bool,
    spread: Spread,
}

/// How far the news has got among the watchers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// Everybody has been marked.
    Done,
    /// Those below this place have not. Links only move from the end to lower places, where at worst they are marked
    /// a second time.
    Below { at: u32, first: bool },
}

impl Slotted for Watched {}

impl HasKey for Watched {
    fn key(&self) -> (Realm, &Id) {
        (self.key.realm, &self.key.id)
    }
}

impl Machine {
    /// A session wants to watch users.
    pub(super) fn watch(
        &mut self,
        slot: u32,
        realm: Realm,
        users: Vec<Id>,
    ) -> Result<Option<Reply>, Refusal> {
        if users.len() > self.limits.query_ids as usize {
            return Err(Refusal::TooMany);
        }
        let mut watching: HashSet<u32, ahash::RandomState> = HashSet::with_hasher(self.hasher.clone());
        watching.extend(self.watched_by(slot).iter().map(|link| link.to));
        let have = watching.len();
        let mut fresh: HashSet<&Id, ahash::RandomState> = HashSet::with_hasher(self.hasher.clone());
        fresh.extend(
            users
                .iter()
                .filter(|id| self.watched.find(realm, id).is_none_or(|watched| !watching.contains(&watched))),
        );
        if have + fresh.len() > self.limits.watch_list as usize {
            return Err(Refusal::LimitReached);
        }
        for id in users {
            self.watch_one(slot, realm, id, &mut watching);
        }
        Ok(Some(Reply::Done))
    }

    fn watched_by(&self, slot: u32) -> &[Link] {
        self.listening(slot).map_or(&[], |listening| listening.watches.links())
    }

    fn watch_one(
        &mut self,
        slot: u32,
        realm: Realm,
        id: Id,
        watching: &mut HashSet<u32, ahash::RandomState>,
    ) {
        let new = || Watched {
            key: Key::new(realm, id.clone()),
            watchers: Vec::new(),
            latest: None,
            revision: 0,
            dirty: false,
            spread: Spread::Done,
        };
        let Some((to, _)) = self.watched.find_or_insert(realm, &id, new) else { return };
        if !watching.insert(to) {
            return;
        }
        let Some(watched) = self.watched.get_mut(to) else { return };
        let Some(listening) = self.sessions.listen(slot) else { return };
        let watches = &mut listening.watches;
        let at = watches.push(Link { to, back: watched.watchers.len() as u32 });
        watched.watchers.push(Link { to: slot, back: at });
        let (first, known) = (watched.watchers.len() == 1, watched.latest.is_some());
        if first {
            self.interest_changed(to, true);
        }
        // A home that is here has told by now, and its news has marked the link.
        if known {
            self.mark(Link { to: slot, back: at }, Due::Now);
        }
    }

    /// A session does not want to watch these users any more.
    pub(super) fn unwatch(
        &mut self,
        slot: u32,
        realm: Realm,
        users: &[Id],
    ) -> Result<Option<Reply>, Refusal> {
        if users.len() > self.limits.query_ids as usize {
            return Err(Refusal::TooMany);
        }
        let mut unwanted: HashSet<u32, ahash::RandomState> = HashSet::with_hasher(self.hasher.clone());
        unwanted.extend(users.iter().filter_map(|id| self.watched.find(realm, id)));
        let mut at = self.watched_by(slot).len() as u32;
        while at > 0 {
            at -= 1;
            // Taking a link out may move a later one here, which then is no unwanted one: those are gone already;
            // or an earlier marked one, which is looked at again.
            while self.watched_by(slot).get(at as usize).is_some_and(|link| unwanted.contains(&link.to)) {
                self.unwatch_at(slot, at);
            }
        }
        Ok(Some(Reply::Done))
    }

    /// Takes the watch at this place of a session's list out.
    pub(super) fn unwatch_at(&mut self, slot: u32, at: u32) {
        let watched = &mut self.watched;
        let watches = self.sessions.listening_mut(slot);
        let link = watches.and_then(|listening| {
            listening.watches.take(at, |moved, at| {
                if let Some(link) =
                    watched.get_mut(moved.to).and_then(|to| to.watchers.get_mut(moved.back as usize))
                {
                    link.back = at;
                }
            })
        });
        let Some(Link { to, back }) = link else { return };
        let sessions = &mut self.sessions;
        let Some(found) = self.watched.get_mut(to) else { return };
        links::take(&mut found.watchers, back, |moved, back| {
            if let Some(listening) = sessions.listening_mut(moved.to) {
                listening.watches.moved(moved.back, back);
            }
        });
        if found.watchers.is_empty() {
            self.interest_changed(to, false);
        }
        self.sessions.slim(slot);
    }

    /// Somebody here watches a user, or nobody any more: its home is to know.
    fn interest_changed(&mut self, slot: u32, on: bool) {
        let Some(watched) = self.watched.get_mut(slot) else { return };
        let home = self.router.home(&watched.key);
        if home != self.shard {
            if !std::mem::replace(&mut watched.dirty, true) {
                self.peers.push(home, Dirty::Interest(slot));
            }
            return;
        }
        let key = watched.key.clone();
        let revision = self.next_revision();
        if !on {
            self.watched.remove(slot);
        }
        self.interest(self.shard, &key, revision, on);
    }

    /// What the home of a watched user is to be told. When nobody watches any more, the user is forgotten here.
    pub(super) fn interest_state(&mut self, slot: u32) -> Option<State> {
        let revision = self.next_revision();
        let watched = self.watched.get_mut(slot)?;
        watched.dirty = false;
        let on = !watched.watchers.is_empty();
        let user = watched.key.clone();
        if !on {
            self.watched.remove(slot);
        }
        Some(State::Interest { user, revision, on })
    }

    /// A home tells how a user is.
    pub(super) fn told(&mut self, realm: Realm, id: &Id, revision: u64, status: Status, last_seen: LastSeen) {
        let Some(slot) = self.watched.find(realm, id) else { return };
        let Some(watched) = self.watched.get_mut(slot) else { return };
        if revision <= watched.revision {
            return;
        }
        watched.revision = revision;
        let news = Some((status, last_seen));
        if watched.latest == news {
            return;
        }
        let first = watched.latest.is_none();
        watched.latest = news;
        let at = watched.watchers.len() as u32;
        match watched.spread {
            Spread::Done if at as usize > AT_ONCE => self.spreads.push_back(slot),
            Spread::Done | Spread::Below { .. } => {}
        }
        let first = first || matches!(watched.spread, Spread::Below { first: true, .. });
        watched.spread = Spread::Below { at, first };
        if at as usize <= AT_ONCE {
            self.spread(slot, &mut { AT_ONCE });
        }
    }

    /// Marks watchers, up to the budget. True when all are marked.
    fn spread(&mut self, slot: u32, budget: &mut usize) -> bool {
        while let Some(watched) = self.watched.get_mut(slot) {
            let Spread::Below { at, first } = watched.spread else { return true };
            let at = at.min(watched.watchers.len() as u32);
            if at == 0 {
                watched.spread = Spread::Done;
                return true;
            }
            if *budget == 0 {
                return false;
            }
            *budget -= 1;
            watched.spread = Spread::Below { at: at - 1, first };
            let watcher = watched.watchers[at as usize - 1];
            self.mark(watcher, if first { Due::Now } else { Due::InTime });
        }
        true
    }

    /// Marks the watchers of users with many of them.
    pub(super) fn advance_spreads(&mut self, mut budget: usize) {
        while let Some(&slot) = self.spreads.front() {
            if !self.spread(slot, &mut budget) {
                break;
            }
            self.spreads.pop_front();
        }
        self.spreads.relax_wholly();
    }

    /// A session's presence frame is due.
    pub(super) fn fire_frame(&mut self, slot: u32, deadline: u64) {
        let (now, window) = (self.now.mono, u64::from(self.limits.watch_window));
        let session = self.sessions.listening_mut(slot);
        let Some(listening) = session.filter(|listening| listening.frame_at == Some(deadline)) else {
            return;
        };
        listening.frame_at = None;
        listening.quiet_until = now + window;
        let watched = &self.watched;
        let rows = listening.watches.take_marked().iter().filter_map(|link| {
            let watched = watched.get(link.to)?;
            let (status, last_seen) = watched.latest?;
            Some(UserPresence { user: watched.key.id.clone(), status, last_seen })
        });
        let rows: Vec<UserPresence> = rows.collect();
        if !rows.is_empty() {
            self.counters.presence_frames += 1;
            self.counters.presence_rows += rows.len() as u64;
            self.tell_session(slot, &Arc::new(Event::Presence(rows)));
        }
    }

    /// Marks one watcher's link and sees to it that a frame is due.
    fn mark(&mut self, watcher: Link, due: Due) {
        let watched = &mut self.watched;
        let session = self.sessions.listening_mut(watcher.to);
        let Some(listening) = session else { return };
        listening.watches.mark(watcher.back, |moved, at| {
            let other = watched.get_mut(moved.to).and_then(|to| to.watchers.get_mut(moved.back as usize));
            if let Some(link) = other {
                link.back = at;
            }
        });
        let due = match due {
            Due::Now => self.now.mono,
            Due::InTime => listening.quiet_until.max(self.now.mono),
        };
        if listening.frame_at.is_none_or(|at| at > due) {
            listening.frame_at = Some(self.wheel.set(self.now.mono, Timer::Frame(watcher.to), due));
        }
    }
}

/// When a frame with a mark is due.
#[derive(Clone, Copy)]
enum Due {
    /// At the end of this turn.
    Now,
    /// When the watcher's window is over.
    InTime,
}
