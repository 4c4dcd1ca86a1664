//! One user as the promises have it: from when to when it is surely online, from when to when it may be.
//!
//! A home hears of its users' sessions up to a *lag* after their hosts, so there are times at which both answers are
//! right. In a node of one shard the lag is nothing, and every millisecond is certain.

use std::collections::VecDeque;

use schema::SessionAddr;

/// The numbers that presence depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Until the home knows.
    pub(super) lag: u64,
    /// Without sessions, and still online.
    pub(super) grace: u64,
    /// The same after a restart.
    pub(super) restart_grace: u64,
}

/// A session of the user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stay {
    pub(super) session: SessionAddr,
    pub(super) from: u64,
    pub(super) until: Option<u64>,
    /// The user has logged out: it is not waited for.
    logged_out: bool,
}

/// The user was online when the node went down.
#[derive(Clone, Copy, Debug)]
struct Carried {
    since: u64,
    /// When its home has heard of it.
    restored: Option<u64>,
    /// When the restart grace, or what came instead of it, is over.
    over: Option<u64>,
}

/// What is known of a user.
#[derive(Debug, Default)]
pub(super) struct Person {
    pub(super) stays: Vec<Stay>,
    carried: Option<Carried>,
    /// Last seen is at least this, since when.
    lows: VecDeque<(u64, u64)>,
    /// Last seen is at most this.
    pub(super) high: Option<u64>,
    /// Latest activities.
    active: VecDeque<u64>,
    /// Online periods that have begun, at least and at most.
    pub(super) periods: (u64, u64),
    /// When the latest period may have begun.
    pub(super) boundary: u64,
    /// Last time that presence may have changed.
    pub(super) moved: u64,
}

impl Person {
    /// A session begins.
    pub(super) fn open(&mut self, now: u64, session: SessionAddr, times: &Times) {
        let (sure, maybe) = self.begins_period(now, times);
        self.periods = (self.periods.0 + u64::from(sure), self.periods.1 + u64::from(maybe));
        if maybe {
            self.boundary = now;
        }
        if let Some(carried) = &mut self.carried {
            match carried.over {
                Some(over) => carried.over = Some(over.min(now)),
                // What the user does now counts more than what it did before the node went down.
                None => self.carried = None,
            }
        }
        self.stays.push(Stay { session, from: now, until: None, logged_out: false });
        self.act(now);
    }

    /// The user does something.
    pub(super) fn act(&mut self, now: u64) {
        self.moved = now;
        if self.active.back() != Some(&now) {
            self.active.push_back(now);
            if self.active.len() > 32 {
                self.active.pop_front();
            }
        }
    }

    /// When the user did something last, as somebody knows it who knows what happened until `at`.
    pub(super) fn active(&self, at: u64) -> u64 {
        self.active.iter().rev().find(|active| **active <= at).copied().unwrap_or(0)
    }

    /// Whether a session that begins now begins an online period: surely, and perhaps.
    fn begins_period(&self, now: u64, times: &Times) -> (bool, bool) {
        let lag = times.lag;
        let narrow = lag > 0 && times.grace < 2 * lag + 2;
        if self.stays.iter().any(|stay| stay.until.is_none()) {
            return (false, narrow);
        }
        let sure = self.stays.iter().map(|stay| self.sure_end(stay, times)).max();
        let maybe = self.stays.iter().map(|stay| self.maybe_end(stay, times)).max();
        let carried = self.carried.map(|carried| carried.over.unwrap_or(u64::MAX));
        if carried == Some(u64::MAX) {
            return (false, true);
        }
        match (sure.max(carried), maybe.max(carried.map(|over| over + lag))) {
            (Some(sure), _) if now < sure => (false, narrow || now + lag >= sure),
            (_, Some(maybe)) => (now > maybe, true),
            (_, None) => (true, true),
        }
    }

    /// The user is surely online until then, if only for this stay. Who logs out ends the grace of stays before.
    fn sure_end(&self, stay: &Stay, times: &Times) -> u64 {
        let Some(until) = stay.until else { return u64::MAX };
        if stay.logged_out {
            return until;
        }
        let logouts = self.logouts(stay).filter(|logout| logout + times.lag >= until);
        logouts.map(|logout| logout.max(until)).fold(until + times.grace, u64::min)
    }

    /// The user may be online until then for this stay.
    fn maybe_end(&self, stay: &Stay, times: &Times) -> u64 {
        let Some(until) = stay.until else { return u64::MAX };
        if stay.logged_out {
            return until + times.lag;
        }
        let logouts = self.logouts(stay).filter(|&logout| logout > until + times.lag);
        logouts.map(|logout| logout + times.lag).fold(until + times.grace + times.lag, u64::min)
    }

    fn logouts(&self, but: &Stay) -> impl Iterator<Item = u64> {
        let others = self.stays.iter().filter(|stay| stay.logged_out);
        let but = but.session;
        others.filter(move |stay| stay.session != but).filter_map(|stay| stay.until)
    }

    /// A session is over.
    pub(super) fn close(&mut self, now: u64, session: SessionAddr, logged_out: bool, times: &Times) {
        if let Some(stay) = self.stays.iter_mut().find(|stay| stay.session == session) {
            (stay.until, stay.logged_out) = (Some(now), logged_out);
        }
        // Of a session that is over before its home has heard of an activity it may hear of nothing but the end.
        if times.lag > 0 {
            self.active.retain(|active| active + times.lag < now);
        }
        // The home may hear of this end before it hears of a session that is there already.
        let mut others =
            self.stays.iter().filter(|stay| stay.until.is_none_or(|until| until + times.lag >= now));
        if logged_out && times.lag > 0 && others.any(|stay| stay.session != session) {
            (self.periods.1, self.boundary) = (self.periods.1 + 1, now);
        }
        self.moved = now;
    }

    /// The node starts again: the sessions are gone, and the store says what it knew.
    pub(super) fn restart(&mut self, now: u64, online: bool, last_seen: Option<u64>) {
        self.stays.clear();
        self.carried = online.then_some(Carried { since: now, restored: None, over: None });
        self.lows = last_seen.into_iter().map(|at| (0, at)).collect();
        self.high = self.high.max(last_seen);
        (self.periods, self.boundary, self.moved) = ((0, 0), now, now);
    }

    /// The home has read the journal's row.
    pub(super) fn restored(&mut self, now: u64, times: &Times) {
        if let Some(carried) = self.carried.as_mut().filter(|carried| carried.restored.is_none()) {
            carried.restored = Some(now);
            carried.over = Some(now + times.restart_grace);
            self.moved = now;
        }
    }

    /// What is told from now on may be older: the wall clock was set back too far.
    pub(super) fn forget_seen(&mut self) {
        self.lows.clear();
    }

    /// Forgets what cannot matter any more.
    pub(super) fn prune(&mut self, now: u64, times: &Times) {
        let keep = now.saturating_sub(times.grace + 4 * times.lag + 10_000);
        // The latest end tells whether the next session begins a period.
        let latest = self.stays.iter().filter_map(|stay| stay.until).max();
        self.stays.retain(|stay| stay.until.is_none_or(|until| until >= keep || Some(until) == latest));
    }

    /// Last seen moves, surely.
    pub(super) fn see(&mut self, now: u64, wall: u64) {
        if self.lows.back().is_none_or(|low| low.1 < wall) {
            self.lows.push_back((now, wall));
            if self.lows.len() > 64 {
                self.lows.pop_front();
            }
        }
        self.may_see(wall);
    }

    /// Last seen may move.
    pub(super) fn may_see(&mut self, wall: u64) {
        self.high = self.high.max(Some(wall));
    }

    /// What last seen is at least, for somebody who knows what happened until `at`.
    pub(super) fn low(&self, at: u64) -> Option<u64> {
        self.lows.iter().rev().find(|low| low.0 <= at).map(|low| low.1)
    }

    /// Since when the store's value is too old.
    pub(super) fn newer_than(&self, stored: u64) -> Option<u64> {
        self.lows.iter().find(|low| low.1 > stored).map(|low| low.0)
    }

    fn sure<'a>(&'a self, times: &'a Times, home_knows: bool) -> impl Iterator<Item = (u64, u64)> + 'a {
        let lag = times.lag;
        let stays = self.stays.iter().map(move |stay| (stay.from + lag, self.sure_end(stay, times)));
        let carried = self.carried.and_then(move |carried| match (carried.restored, carried.over) {
            (Some(restored), Some(over)) if home_knows => Some((restored, over)),
            (Some(_), Some(over)) => Some((carried.since, over)),
            (_, _) if home_knows => None,
            (_, _) => Some((carried.since, u64::MAX)),
        });
        stays.chain(carried)
    }

    fn covered(spans: &[(u64, u64)], from: u64, to: u64) -> bool {
        // Where one span only touches the next, there may have been a moment in between.
        let first = spans.iter().filter(|span| span.0 <= from && from < span.1);
        let mut at = first.map(|span| span.1).max();
        while let Some(end) = at {
            if end > to {
                return true;
            }
            let inside = spans.iter().filter(|span| span.0 < end && span.1 > end);
            at = inside.map(|span| span.1).max();
        }
        false
    }

    /// Online all the time from `from` to `to`, and its home knows.
    pub(super) fn surely_online(&self, times: &Times, from: u64, to: u64) -> bool {
        let spans: Vec<_> = self.sure(times, true).collect();
        Self::covered(&spans, from, to)
    }

    /// Never to be called offline from `from` to `to`: online, or known to the journal only.
    pub(super) fn never_offline(&self, times: &Times, from: u64, to: u64) -> bool {
        let spans: Vec<_> = self.sure(times, false).collect();
        Self::covered(&spans, from, to)
    }

    /// Perhaps online at some time from `from` to `to`.
    pub(super) fn maybe_online(&self, times: &Times, from: u64, to: u64) -> bool {
        let stays = self.stays.iter().any(|stay| stay.from <= to && self.maybe_end(stay, times) >= from);
        // The home of a user in restart grace may hear late that it has come and gone.
        let carried = self.carried.is_some_and(|carried| {
            carried.since <= to && carried.over.is_none_or(|over| over + times.lag >= from)
        });
        stays || carried
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times { lag: 10, grace: 100, restart_grace: 1_000 };

    fn session(slot: u32) -> SessionAddr {
        SessionAddr { session: schema::SessionRef { slot, generation: 0 }, ..SessionAddr::default() }
    }

    #[test]
    fn a_stay_and_its_grace() {
        let mut person = Person::default();
        person.open(1_000, session(1), &TIMES);
        person.close(2_000, session(1), false, &TIMES);
        assert!(person.surely_online(&TIMES, 1_010, 2_099));
        assert!(!person.surely_online(&TIMES, 1_009, 1_500));
        assert!(!person.surely_online(&TIMES, 1_500, 2_100));
        assert!(person.maybe_online(&TIMES, 2_110, 3_000) && !person.maybe_online(&TIMES, 2_111, 3_000));
        person.open(2_050, session(2), &TIMES);
        assert_eq!(person.periods, (1, 1), "it came back within its grace");
        assert!(person.surely_online(&TIMES, 1_010, 9_000));
        person.close(3_000, session(2), false, &TIMES);
        person.open(3_105, session(3), &TIMES);
        assert_eq!(person.periods, (1, 2), "perhaps too late");
        person.close(4_000, session(3), false, &TIMES);
        person.open(5_000, session(4), &TIMES);
        assert_eq!(person.periods, (2, 3));
    }

    #[test]
    fn who_logs_out_is_not_waited_for() {
        let mut person = Person::default();
        person.open(1_000, session(1), &TIMES);
        person.open(1_000, session(2), &TIMES);
        person.close(2_000, session(1), false, &TIMES);
        person.close(2_050, session(2), true, &TIMES);
        assert!(person.surely_online(&TIMES, 1_010, 2_049) && !person.surely_online(&TIMES, 1_010, 2_050));
        assert!(person.maybe_online(&TIMES, 2_060, 9_000) && !person.maybe_online(&TIMES, 2_061, 9_000));
        person.open(2_062, session(3), &TIMES);
        assert_eq!(person.periods.0, 2);
    }

    #[test]
    fn the_journal_keeps_a_user_online_for_a_while() {
        let mut person = Person::default();
        person.restart(1_000, true, Some(5));
        assert!(person.never_offline(&TIMES, 1_000, 50_000) && !person.surely_online(&TIMES, 1_000, 1_001));
        person.restored(1_200, &TIMES);
        assert!(person.surely_online(&TIMES, 1_200, 2_199) && !person.maybe_online(&TIMES, 2_211, 9_000));
        person.open(1_500, session(1), &TIMES);
        person.close(1_600, session(1), false, &TIMES);
        assert!(person.surely_online(&TIMES, 1_200, 1_499) && person.surely_online(&TIMES, 1_510, 1_699));
        assert!(!person.maybe_online(&TIMES, 1_711, 9_000));
        assert_eq!(person.periods, (0, 0));
    }
}
