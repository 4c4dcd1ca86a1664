//! Commands: each gets exactly one reply in time, and the reply is the truth.

use std::collections::BTreeSet;

use schema::presence::{OnlineUser, SessionInfo};
use schema::{Actor, Command, Key, Refusal, Reply, SessionAddr, UserPresence};

use super::Oracle;
use super::talk::Words;
use super::watching::Watch;
use crate::broken::{Verdict, broken, check};

/// A command that waits for its reply.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) at: u64,
    pub(super) session: Option<SessionAddr>,
    pub(super) actor: Actor,
    pub(super) command: Command,
    /// Commands of this session in the last second and before, this one not counted.
    pub(super) before: (u64, u64),
    /// The number of what is said.
    said: Option<u64>,
    /// Moments of the store of conversations until then.
    pub(super) moment: u64,
}

/// Who is to be kicked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kick {
    User(Key),
    Session(SessionAddr),
}

impl Call {
    /// The millisecond before the call: what happened in the call's own may have happened after it.
    fn before_it(&self) -> u64 {
        self.at - 1
    }
}

impl Oracle {
    /// Somebody commands. `session` is over already when the command comes late.
    pub fn commanded(&mut self, session: Option<SessionAddr>, actor: &Actor, tag: u64, command: &Command) {
        let now = self.now;
        if let Some(session) = session {
            if !self.sessions.contains_key(&session) {
                return;
            }
            self.touched(session);
        }
        if *command == Command::Activity {
            self.acted(session, actor);
            return;
        }
        let mut before = (0, 0);
        if let Some(found) = session.and_then(|session| self.sessions.get_mut(&session)) {
            found.commands.retain(|&at| at + 1_000 > now);
            before = (found.commands.len() as u64, found.commanded);
            found.commands.push_back(now);
            found.commanded += 1;
        }
        let realm = actor.key.realm;
        let by = actor.key.id.clone();
        let longest = 2 * u64::from(self.limits.gather_time) + 4 * self.times.lag;
        self.kicks.retain(|(at, _)| at + longest > now);
        match command {
            Command::DisconnectUser { user } => {
                self.kicks.push_back((now, Kick::User(Key::new(realm, user.clone()))));
            }
            Command::DisconnectSession { session } => self.kicks.push_back((now, Kick::Session(*session))),
            _ => {}
        }
        let said = match command {
            Command::Send { to, payload, except_self } => {
                let (to, except_self) = (Key::new(realm, to.clone()), *except_self);
                self.talk.says(now, payload, Words { from: session, by, to, published: false, except_self })
            }
            Command::Publish { channel, payload, except_self } => {
                let inside = session.and_then(|session| self.sessions.get(&session));
                let subscribed = inside.is_some_and(|found| found.channels.contains_key(channel));
                let (to, except_self) = (Key::new(realm, channel.clone()), *except_self && subscribed);
                self.talk.says(now, payload, Words { from: session, by, to, published: true, except_self })
            }
            _ => None,
        };
        self.chat_commanded(session, actor, command);
        let moment = self.chats.rooms.moment;
        let call =
            Call { at: now, session, actor: actor.clone(), command: command.clone(), before, said, moment };
        self.calls.insert(tag, call);
    }

    fn acted(&mut self, session: Option<SessionAddr>, actor: &Actor) {
        if actor.service {
            return;
        }
        let (now, wall) = (self.now, self.wall);
        let Some(person) = self.people.get_mut(&actor.key) else { return };
        if session.is_some() {
            person.see(now, wall);
            person.act(now);
        } else if person.maybe_online(&self.times, now, now) {
            // A call at another shard than the home does not count.
            person.may_see(wall);
            person.moved = now;
        }
    }

    /// A reply has come.
    pub(super) fn replied(
        &mut self,
        session: Option<SessionAddr>,
        tag: u64,
        result: &Result<Reply, Refusal>,
    ) -> Verdict {
        let Some(call) = self.calls.remove(&tag) else {
            return broken("every command gets exactly one reply", format!("again {tag}: {result:?}"));
        };
        self.checked.replies += 1;
        let seen = || format!("{tag}: {call:?} answered {result:?} at {}", self.now);
        check(call.session == session, "a reply goes to who asked", seen)?;
        if let Some(number) = call.said {
            let reached = match result {
                Ok(Reply::Reached(reached)) => Ok(*reached),
                Ok(_) => return broken("a command gets its own kind of reply", seen()),
                Err(refusal) => Err(*refusal),
            };
            self.said_is_answered(number, reached)?;
        }
        match result {
            Err(refusal) => self.judge_refusal(&call, *refusal),
            Ok(reply) => self.judge_reply(&call, reply),
        }
    }

    fn judge_reply(&mut self, call: &Call, reply: &Reply) -> Verdict {
        let realm = call.actor.key.realm;
        let seen = || format!("{call:?} answered {reply:?}");
        match (&call.command, reply) {
            (Command::Watch { users }, Reply::Done) => {
                let now = self.now;
                let limit = self.limits.watch_list as usize;
                let Some(found) = call.session.and_then(|session| self.sessions.get_mut(&session)) else {
                    return Ok(());
                };
                for user in users {
                    found.watches.entry(user.clone()).or_insert_with(|| Watch::new(now));
                }
                check(found.watches.len() <= limit, "a watch list has a limit", seen)
            }
            (Command::Unwatch { users }, Reply::Done) => {
                if let Some(found) = call.session.and_then(|session| self.sessions.get_mut(&session)) {
                    found.watches.retain(|user, _| !users.contains(user));
                    found.unwatched = Some(self.now);
                }
                Ok(())
            }
            (Command::Subscribe { channel }, Reply::Done) => {
                let (now, limit) = (self.now, self.limits.channels_per_session as usize);
                let Some(session) = call.session else { return broken("only sessions subscribe", seen()) };
                let Some(found) = self.sessions.get_mut(&session) else { return Ok(()) };
                if found.channels.insert(channel.clone(), now).is_none() {
                    self.talk.subscribe(now, Key::new(realm, channel.clone()), session);
                }
                check(found.channels.len() <= limit, "a session's channels have a limit", seen)
            }
            (Command::Unsubscribe { channel }, Reply::Done) => {
                let now = self.now;
                let Some(session) = call.session else { return Ok(()) };
                if let Some(found) = self.sessions.get_mut(&session) {
                    found.channels.remove(channel);
                }
                self.talk.unsubscribe(now, &Key::new(realm, channel.clone()), session);
                Ok(())
            }
            (Command::Tap { on }, Reply::Done) => {
                check(call.actor.service, "only services tap", seen)?;
                let now = self.now;
                let Some(session) = call.session else { return broken("only sessions tap", seen()) };
                let Some(found) = self.sessions.get_mut(&session) else { return Ok(()) };
                if *on {
                    found.taps.get_or_insert(now);
                } else {
                    found.taps = None;
                    self.taps.ceased(session);
                }
                Ok(())
            }
            (Command::Query { users }, Reply::Presence(rows)) => {
                let asked = users.iter().eq(rows.iter().map(|row| &row.user));
                check(asked, "a query is answered in the order asked", seen)?;
                rows.iter().try_for_each(|row| self.judge_queried(call, row))
            }
            (Command::Count, Reply::Count(count)) => self.judge_count(call, *count),
            (Command::List { limit }, Reply::Users(rows)) => self.judge_list(call, *limit, rows),
            (Command::Sessions { user }, Reply::Sessions(rows)) => {
                self.judge_sessions(call, &Key::new(realm, user.clone()), rows)
            }
            (Command::Occupancy { channel }, Reply::Occupancy(count)) => {
                let key = Key::new(realm, channel.clone());
                let window = (call.before_it(), self.now);
                let (sure, maybe) = self.talk.subscribers(&key, self.times.lag, window);
                let right = (sure.len() as u64..=maybe as u64).contains(count);
                check(right, "occupancy is the number of subscribers", || {
                    format!("{} to {maybe} expected: {}", sure.len(), seen())
                })
            }
            (Command::DisconnectUser { user }, Reply::Reached(_)) => {
                let person = self.people.get(&Key::new(realm, user.clone()));
                let stays = person.map_or(&[][..], |person| person.stays.as_slice());
                let (lag, at) = (self.times.lag, call.at);
                let left = stays.iter().find(|stay| stay.until.is_none() && stay.from + lag < at);
                check(left.is_none(), "a kicked user's sessions are over", || format!("{left:?} {}", seen()))
            }
            (Command::DisconnectSession { session }, Reply::Reached(count)) => {
                let over = *count == 1 && !self.sessions.contains_key(session);
                check(over, "a kicked session is over", seen)
            }
            (Command::Send { .. } | Command::Publish { .. }, Reply::Reached(_)) => Ok(()),
            (Command::Chat { command, .. }, Reply::Chat(reply)) => self.judge_chat(call, command, reply),
            _ => broken("a command gets its own kind of reply", seen()),
        }
    }

    fn judge_queried(&mut self, call: &Call, row: &UserPresence) -> Verdict {
        self.checked.presence_rows += 1;
        self.judge_row(call.actor.key.realm, row, call.before_it(), true)
    }

    fn judge_count(&mut self, call: &Call, count: u64) -> Verdict {
        self.checked.counts += 1;
        let (from, now, realm) = (call.before_it(), self.now, call.actor.key.realm);
        let people = || self.people.iter().filter(|(key, _)| key.realm == realm);
        let least = people().filter(|(_, person)| person.surely_online(&self.times, from, now)).count();
        let most = people().filter(|(_, person)| person.maybe_online(&self.times, from, now)).count();
        check((least as u64..=most as u64).contains(&count), "the count is that of users online", || {
            format!("{least} to {most} expected, {count} told: {call:?}")
        })
    }

    fn judge_list(&mut self, call: &Call, limit: u32, rows: &[OnlineUser]) -> Verdict {
        self.checked.lists += 1;
        let (from, now, realm, times) = (call.before_it(), self.now, call.actor.key.realm, self.times);
        let seen = || format!("{call:?} answered {rows:?} at {now}");
        let users: BTreeSet<_> = rows.iter().map(|row| &row.user).collect();
        check(users.len() == rows.len(), "a list names each user once", seen)?;
        check(rows.len() <= limit as usize, "a list has a limit", seen)?;
        let order = |row: &OnlineUser| (std::cmp::Reverse(row.last_seen / 1_000), row.user.clone());
        let ordered = rows.is_sorted_by_key(order);
        check(ordered, "lists are newest first, those of one second by id", seen)?;
        for row in rows {
            let last_seen = schema::LastSeen::At(row.last_seen);
            let row = UserPresence { user: row.user.clone(), status: row.status, last_seen };
            check(row.status.is_online(), "a list names users online", seen)?;
            self.judge_row(realm, &row, from, true)?;
        }
        let people = self.people.iter().filter(|(key, _)| key.realm == realm && !users.contains(&key.id));
        for (key, person) in people.filter(|(_, person)| person.surely_online(&times, from, now)) {
            let cut = rows.last().filter(|_| rows.len() == limit as usize);
            let low = person.low(from.saturating_sub(times.lag)).unwrap_or(0) / 1_000;
            let missed = limit > 0 && cut.is_none_or(|cut| low > cut.last_seen / 1_000);
            check(!missed, "a list misses nobody", || format!("{key:?} {person:?} missed: {}", seen()))?;
        }
        Ok(())
    }

    fn judge_sessions(&self, call: &Call, user: &Key, rows: &[SessionInfo]) -> Verdict {
        let seen = || format!("{call:?} answered {rows:?} at {}", self.now);
        let nobody = super::Person::default();
        let person = self.people.get(user).unwrap_or(&nobody);
        check(rows.is_sorted_by_key(|row| (row.since, row.session)), "sessions are told oldest first", seen)?;
        for row in rows {
            let stay = person.stays.iter().find(|stay| stay.session == row.session);
            let there = stay.is_some_and(|stay| stay.until.is_none_or(|until| until >= call.at));
            check(there, "the sessions told are the user's", seen)?;
            let Some(found) = self.sessions.get(&row.session) else { continue };
            let open = &found.open;
            let since = self.jumps || row.since == found.since;
            let same = row.peer == open.peer && row.device == open.device && row.edge == open.edge && since;
            check(same, "a session is told as it is", || format!("{found:?}: {}", seen()))?;
        }
        let lag = self.times.lag;
        let sure = person.stays.iter().filter(|stay| stay.from + lag < call.at && stay.until.is_none());
        let missed =
            sure.map(|stay| stay.session).find(|session| !rows.iter().any(|row| row.session == *session));
        check(missed.is_none(), "all sessions are told", || format!("{missed:?} missed: {}", seen()))
    }

    /// No command waits for ever.
    pub(super) fn audit_calls(&mut self) -> Verdict {
        let now = self.now;
        let longest = u64::from(self.limits.gather_time) + 2 * self.stall;
        let sessions = &self.sessions;
        // A session that is over hears nothing more.
        self.calls.retain(|_, call| call.session.is_none_or(|session| sessions.contains_key(&session)));
        // What is asked about conversations waits for their store, which may be slow, and for those before it.
        let patience =
            |call: &Call| if matches!(call.command, Command::Chat { .. }) { 120_000 } else { longest };
        match self.calls.iter().find(|(_, call)| call.at + patience(call) < now) {
            Some((tag, call)) => broken("every command is answered in time", format!("{tag}: {call:?}")),
            None => Ok(()),
        }
    }
}
