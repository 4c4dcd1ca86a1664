//! What time must have brought about: checked whenever the clock is about to move.

use std::collections::BTreeMap;

use engine::machine::Counters;
use schema::{Key, ShardId};

use super::Oracle;
use crate::broken::{Verdict, broken, check};
use crate::profile::StoreMood;
use crate::store::Row;

/// What a machine counts of itself, to be compared.
#[derive(Clone, Copy, Debug)]
pub struct Figures<'a> {
    /// Its sessions.
    pub sessions: u32,
    /// Its users online.
    pub online: u64,
    /// Its counters.
    pub counters: &'a Counters,
}

/// How long a token's end may go unnoticed after the wall clock has jumped: the machine looks at it again then.
const LOOK_AGAIN: u64 = 301_000;

impl Oracle {
    /// The clock is about to move: everything that was due has been done.
    ///
    /// # Errors
    /// When something has not.
    pub fn audit(&mut self, figures: &[Figures<'_>], rows: &BTreeMap<Key, Row>) -> Verdict {
        self.checked.audits += 1;
        self.audit_figures(figures)?;
        self.audit_sessions()?;
        self.audit_watches()?;
        self.audit_calls()?;
        self.audit_talk()?;
        self.audit_drain()?;
        if self.checked.audits.is_multiple_of(16) {
            self.audit_store(rows)?;
            for person in self.people.values_mut() {
                person.prune(self.now, &self.times);
            }
        }
        Ok(())
    }

    fn audit_figures(&self, figures: &[Figures<'_>]) -> Verdict {
        let (now, times) = (self.now, &self.times);
        for (shard, figure) in figures.iter().enumerate() {
            let hosted = self.hosted[shard];
            check(figure.sessions == hosted, "a host has the sessions that are open", || {
                format!("shard {shard} has {}, {hosted} are open", figure.sessions)
            })?;
            let home = ShardId(shard as u16);
            let people = || self.people.iter().filter(|(key, _)| self.router.home(key) == home);
            let least = people().filter(|(_, person)| person.surely_online(times, now, now)).count() as u64;
            let most = people().filter(|(_, person)| person.maybe_online(times, now, now)).count() as u64;
            check((least..=most).contains(&figure.online), "the count is that of users online", || {
                format!("shard {shard} counts {}, {least} to {most} expected", figure.online)
            })?;
            // Words about typing, and a service's of conversations, may find no room.
            let crowded = self.several && (self.tight || self.stall > 0);
            check(figure.counters.publishes_dropped == 0 || crowded, "no publish is dropped here", || {
                shard.to_string()
            })?;
        }
        self.audit_events(figures)
    }

    /// One online and one offline event in each online period.
    fn audit_events(&self, figures: &[Figures<'_>]) -> Verdict {
        let sum = |of: fn(&Figures<'_>) -> u64| figures.iter().map(of).sum::<u64>();
        let came = sum(|figure| figure.counters.came_online);
        let went = sum(|figure| figure.counters.went_offline);
        let online = sum(|figure| figure.online);
        let (least, most) = self
            .people
            .values()
            .fold((0, 0), |sum, person| (sum.0 + person.periods.0, sum.1 + person.periods.1));
        let seen =
            || format!("{came} came, {went} went, {online} are online; {least} to {most} periods began");
        // Who carries on from before a restart has no online event.
        let carried = (online + went).checked_sub(came);
        check(carried.is_some_and(|carried| carried <= self.carried), "one event for each change", seen)?;
        let unsettled =
            self.people.values().filter(|person| person.moved + self.times.lag >= self.now).count();
        let unsettled = if self.times.lag == 0 { 0 } else { unsettled as u64 };
        let right = came <= most && came + unsettled >= least;
        check(right, "one online and one offline event in a period", seen)
    }

    fn audit_sessions(&self) -> Verdict {
        let now = self.now;
        let limit = self.limits.devices_per_user as usize;
        for (session, found) in &self.sessions {
            let silence = u64::from(found.open.silence);
            let silent = silence > 0 && found.heard + silence + self.stall < now;
            check(!silent, "a silent session is ended in time", || format!("{session} at {now}: {found:?}"))?;
            // Ends of tokens are kept in whole seconds.
            let expired = found.open.expires_at.saturating_add(2_000 + self.stall) < self.wall;
            let jumped = self.jumped.max(found.opened) == self.jumped && self.jumped + LOOK_AGAIN > now;
            check(!expired || jumped, "a session ends with its token", || format!("{session}: {found:?}"))?;
        }
        let settled = now.saturating_sub(3 * self.times.lag);
        for (key, person) in &self.people {
            let open = person.stays.iter().filter(|stay| stay.until.is_none() && stay.from < settled).count();
            check(open <= limit, "a user has no more sessions than allowed", || {
                format!("{key:?} has {open}")
            })?;
        }
        Ok(())
    }

    /// What the store has is never older than promised.
    fn audit_store(&self, rows: &BTreeMap<Key, Row>) -> Verdict {
        if self.store != StoreMood::Good || self.slow_ways {
            return Ok(());
        }
        let now = self.now;
        // A change that just misses a write waits for its answer, the interval, and the next write.
        let longest = u64::from(self.limits.flush_interval) + 4 * self.store_time + self.times.lag + 200;
        for (key, person) in &self.people {
            let row = rows.get(key).copied().unwrap_or_default();
            let older = person.newer_than(row.last_seen).is_some_and(|since| since + longest < now);
            check(!older, "last seen is written within the interval", || {
                format!("{key:?} has {row:?} at {now}: {person:?}")
            })?;
            let from = now.saturating_sub(longest);
            if person.surely_online(&self.times, from, now) {
                check(row.online, "who is online is in the journal", || format!("{key:?} {person:?}"))?;
            } else if !person.maybe_online(&self.times, from, now) {
                check(!row.online, "who has left is not in the journal", || format!("{key:?} {person:?}"))?;
            }
        }
        Ok(())
    }

    fn audit_drain(&self) -> Verdict {
        let Some(draining) = self.draining else { return Ok(()) };
        let elapsed = self.now - draining.since;
        let seen = || format!("{draining:?} at {}, {} sessions are left", self.now, self.sessions.len());
        if elapsed > draining.over + self.stall {
            return check(self.sessions.is_empty(), "a drain ends in time", seen);
        }
        // Each shard sends its own away; none of them is ahead by more than one.
        let due = draining.sessions * (elapsed + 1) / draining.over.max(1);
        let ahead = draining.closed > due + self.hosted.len() as u64;
        check(!ahead, "a drain is spread over its time", seen)
    }

    /// Nothing has happened for so long that everything is known everywhere.
    ///
    /// # Errors
    /// When it is not.
    pub fn settled(&mut self) -> Verdict {
        self.audit_settled_watches()?;
        self.audit_settled_hearing()?;
        self.audit_forgetting()?;
        self.audit_order()?;
        match self.calls.iter().next() {
            Some((tag, call)) => broken("every command is answered in time", format!("{tag}: {call:?}")),
            None => Ok(()),
        }
    }

    /// From here on the ways are short and the store is good.
    pub fn calm(&mut self, profile: &crate::profile::Profile) {
        self.times.lag = profile.lag();
        self.sight = profile.sight();
        self.slow_ways = !profile.is_brisk();
        (self.store, self.store_time) = (profile.store, profile.store_time());
        self.booted = 0;
        self.stall = profile.stall;
    }
}
