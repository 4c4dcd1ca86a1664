//! What watchers are told: at once, then batched, each change once, and in the end the truth.

use std::collections::BTreeSet;

use schema::{Id, Key, LastSeen, SessionAddr, Status, UserPresence};

use super::Oracle;
use crate::broken::{Verdict, broken, check};

/// One user in a session's watch list.
#[derive(Debug)]
pub(super) struct Watch {
    since: u64,
    /// What was told last, and when.
    told: Option<(UserPresence, u64)>,
}

impl Watch {
    pub(super) fn new(since: u64) -> Self {
        Self { since, told: None }
    }
}

fn better_known(old: LastSeen, new: LastSeen) -> bool {
    old == LastSeen::Unknown && new != LastSeen::Unknown
}

impl Oracle {
    /// A watcher gets a frame.
    pub(super) fn frame(&mut self, session: SessionAddr, rows: &[UserPresence]) -> Verdict {
        let (now, realm) = (self.now, self.realm_of(session));
        let Some(found) = self.sessions.get(&session) else { return Ok(()) };
        check(!rows.is_empty(), "a frame tells something", || session.to_string())?;
        let users: BTreeSet<&Id> = rows.iter().map(|row| &row.user).collect();
        check(users.len() == rows.len(), "a frame tells each user once", || format!("{session}: {rows:?}"))?;
        let mut first = false;
        for row in rows {
            let Some(watch) = found.watches.get(&row.user) else {
                return broken("nobody is told of users it does not watch", format!("{session}: {row:?}"));
            };
            first |= watch.told.is_none();
            self.judge_told(session, watch, row)?;
        }
        let window = u64::from(self.limits.watch_window);
        let early = found.frame.is_some_and(|last| now < last + window);
        // What made a frame due at once may have been taken off the list in the same moment.
        let first = first || found.unwatched == Some(now);
        check(!early || first, "at most one frame of changes in a window", || {
            format!("{session}: frames at {:?} and {now}: {rows:?}", found.frame)
        })?;
        for row in rows {
            self.checked.presence_rows += 1;
            let since = self.sessions.get(&session).and_then(|found| found.watches.get(&row.user));
            let Some(since) = since.map(|watch| watch.since) else { continue };
            // What is told may be as old as the way from the host to here, but no older than the watch: what was
            // known here before may be told at once.
            let from = now.saturating_sub(self.sight + self.times.lag).min(since.saturating_sub(self.sight));
            let from = if self.several { from } else { now.saturating_sub(self.sight) };
            self.judge_row(realm, row, from, false)?;
        }
        let Some(found) = self.sessions.get_mut(&session) else { return Ok(()) };
        found.frame = Some(now);
        for row in rows {
            if let Some(watch) = found.watches.get_mut(&row.user) {
                watch.told = Some((row.clone(), now));
            }
        }
        Ok(())
    }

    fn judge_told(&self, session: SessionAddr, watch: &Watch, row: &UserPresence) -> Verdict {
        let Some((old, at)) = &watch.told else { return Ok(()) };
        let seen = || format!("{session}: {old:?} at {at}, then {row:?}");
        if let (Some(old), Some(new)) = (old.last_seen.at(), row.last_seen.at()) {
            let unclear = self.unsteady >= *at || self.is_forgetful();
            check(new >= old || unclear, "last seen never goes backwards", seen)?;
        }
        if old.status != row.status || better_known(old.last_seen, row.last_seen) {
            return Ok(());
        }
        // The same state again: only when something may have happened in between.
        let key = Key::new(self.realm_of(session), row.user.clone());
        let boundary = self.people.get(&key).map_or(0, |person| person.boundary);
        let again = boundary + 2 * self.times.lag + self.sight >= *at;
        // A watch that has ended and begun anew may be told twice: what was known here, and what its home says.
        let anew = *at <= watch.since + 2 * self.times.lag + self.sight;
        let rested = row.status != Status::Offline && self.limits.away_after > 0;
        // The store may know a later time than a home whose clock was set back.
        let later = self.unsteady > 0 && row.last_seen > old.last_seen;
        check(again || rested || anew || later, "one online and one offline event in a period", seen)
    }

    /// Every watcher's last word is the truth, as far as there was time to tell it.
    pub(super) fn audit_watches(&mut self) -> Verdict {
        let (now, sight, times) = (self.now, self.sight, self.times);
        let told_in = 2 * times.lag + sight;
        for (session, found) in &self.sessions {
            for (user, watch) in &found.watches {
                let key = Key::new(found.open.actor.key.realm, user.clone());
                let Some((told, at)) = &watch.told else {
                    check(watch.since + told_in >= now, "a watcher is told at once", || {
                        format!("{session} watches {user} since {}", watch.since)
                    })?;
                    continue;
                };
                if watch.since + told_in > now {
                    continue;
                }
                let Some(person) = self.people.get(&key) else {
                    check(!told.status.is_online(), "no ghosts", || format!("{session} was told {told:?}"))?;
                    continue;
                };
                let from = now - sight;
                let seen = || format!("{session} was told {told:?} at {at}, but {key:?} is {person:?}");
                if person.surely_online(&times, from, now) {
                    check(told.status.is_online(), "an online user is seen online", seen)?;
                    self.checked.watched_states += 1;
                } else if !person.maybe_online(&times, from, now) {
                    check(!told.status.is_online(), "a user who has left is seen offline in time", seen)?;
                    self.checked.watched_states += 1;
                }
            }
        }
        Ok(())
    }

    /// The same when nothing has happened for long: everything is known.
    pub(super) fn audit_settled_watches(&self) -> Verdict {
        let (now, times) = (self.now, self.times);
        let from = now.saturating_sub(self.sight + 2 * times.lag);
        for (session, found) in &self.sessions {
            for (user, watch) in found.watches.iter().filter(|(_, watch)| watch.since < from) {
                let Some((told, _)) = &watch.told else { continue };
                let key = Key::new(found.open.actor.key.realm, user.clone());
                let person = self.people.get(&key);
                let moved = person.is_some_and(|person| person.maybe_online(&times, from, now));
                let seen = || format!("{session} was told {told:?}, but {key:?} is {person:?}");
                if !moved {
                    check(told.status == Status::Offline, "in the end everything is known", seen)?;
                    let low = person.and_then(|person| person.low(now));
                    check(told.last_seen.at() >= low, "a watcher knows when a user was last seen", seen)?;
                }
                let away_after = u64::from(self.limits.away_after);
                if let Some(person) = person.filter(|_| away_after > 0) {
                    let online = person.surely_online(&times, from, now);
                    let rests = person.active(now) + away_after < from && person.moved < from;
                    let has_session = person.stays.iter().any(|stay| stay.until.is_none());
                    if online && has_session && rests {
                        check(told.status == Status::Away, "who does nothing for long is away", seen)?;
                    }
                }
            }
        }
        Ok(())
    }
}
