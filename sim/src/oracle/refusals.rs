//! Refusals and ends: each has a cause that the one concerned can see.

use schema::{CloseReason, Command, Refusal, SessionAddr};

use super::Oracle;
use super::calls::{Call, Kick};
use crate::broken::{Verdict, broken, check};
use crate::profile::StoreMood;

impl Oracle {
    /// A session was not let in.
    pub(super) fn judge_refused_session(&self, shard: u16, refusal: Refusal) -> Verdict {
        let hosted = self.hosted[usize::from(shard)];
        let seen = || format!("shard {shard} with {hosted} sessions refuses one: {refusal:?}");
        match refusal {
            Refusal::Draining => check(self.draining.is_some(), "only a node that drains says so", seen),
            Refusal::Busy => {
                // Users whom a bad store does not take, and ends that others could not be told, need room too.
                let crowded = hosted >= self.limits.sessions || self.limits.sessions < 100;
                check(crowded, "a session is refused only when there is no room", seen)
            }
            _ => broken("a session is refused only when there is no room", seen()),
        }
    }

    /// A command was refused.
    pub(super) fn judge_refusal(&self, call: &Call, refusal: Refusal) -> Verdict {
        let seen = || format!("{call:?} refused {refusal:?} at {}", self.now);
        let limits = &self.limits;
        if let Command::Chat { command, .. } = &call.command
            && refusal != Refusal::RateLimited
        {
            let holds = self.chat_refusal_holds(call, command, refusal);
            return check(holds, "a refusal has a cause", seen);
        }
        let holds = match refusal {
            Refusal::Busy => {
                let crowded = self.several && (self.tight || self.stall > 0);
                crowded || (limits.gathers < 100 && self.may_gather(&call.command))
            }
            Refusal::RateLimited => {
                let burst = u64::from(limits.commands_burst);
                call.session.is_some() && !call.actor.service && call.before.1 >= burst
            }
            Refusal::Forbidden => {
                let own = match &call.command {
                    Command::Sessions { user } | Command::DisconnectUser { user } => {
                        *user == call.actor.key.id
                    }
                    Command::DisconnectSession { session } => {
                        self.sessions.get(session).is_some_and(|found| found.open.actor.key == call.actor.key)
                    }
                    Command::Tap { .. } => false,
                    _ => true,
                };
                !call.actor.service && !own
            }
            Refusal::Unsupported => {
                let of_sessions = matches!(
                    call.command,
                    Command::Watch { .. }
                        | Command::Unwatch { .. }
                        | Command::Subscribe { .. }
                        | Command::Unsubscribe { .. }
                        | Command::Tap { .. }
                );
                call.session.is_none() && of_sessions
            }
            Refusal::TooMany => match &call.command {
                Command::Watch { users } | Command::Unwatch { users } | Command::Query { users } => {
                    users.len() > limits.query_ids as usize
                }
                _ => false,
            },
            Refusal::LimitReached => self.is_full(call),
            Refusal::TooLarge => match &call.command {
                Command::Send { payload, .. } | Command::Publish { payload, .. } => {
                    payload.len() > limits.payload as usize
                }
                _ => false,
            },
            Refusal::NotFound => match &call.command {
                Command::DisconnectSession { session } => self
                    .sessions
                    .get(session)
                    .is_none_or(|found| found.open.actor.key.realm != call.actor.key.realm),
                _ => false,
            },
            Refusal::Timeout => self.slow_ways || self.stall > 0 || self.tight,
            Refusal::Invalid
            | Refusal::Draining
            | Refusal::Conflict
            | Refusal::Blocked
            | Refusal::Unavailable
            | Refusal::Gone => false,
        };
        check(holds, "a refusal has a cause", seen)
    }

    /// Whether a command waits for anybody.
    fn may_gather(&self, command: &Command) -> bool {
        self.several || matches!(command, Command::Query { .. })
    }

    fn is_full(&self, call: &Call) -> bool {
        let Some(found) = call.session.and_then(|session| self.sessions.get(&session)) else { return false };
        match &call.command {
            Command::Watch { users } => {
                let mut list: Vec<_> = found.watches.keys().chain(users).collect();
                list.sort();
                list.dedup();
                list.len() > self.limits.watch_list as usize
            }
            Command::Subscribe { channel } => {
                let joined = call.session.and_then(|session| self.chats.ears.get(&session));
                let joined = joined.map_or(0, |ear| 2 * ear.joined.len());
                !found.channels.contains_key(channel)
                    && found.channels.len() + joined >= self.limits.channels_per_session as usize
            }
            // Listeners of one shard are few.
            Command::Tap { on: true } => {
                self.sessions.values().filter(|session| session.taps.is_some()).count() >= 64
            }
            _ => false,
        }
    }

    /// The node ends a session.
    pub(super) fn judge_end(&self, session: SessionAddr, reason: CloseReason) -> Verdict {
        let Some(found) = self.sessions.get(&session) else { return Ok(()) };
        let now = self.now;
        let seen = || format!("{session} ended for {reason:?} at {now}: {found:?}");
        let limits = &self.limits;
        match reason {
            CloseReason::Silent => {
                let silence = u64::from(found.open.silence);
                let silent = silence > 0 && now >= found.heard + silence;
                check(silent, "a session that is heard of is not silent", seen)
            }
            CloseReason::TokenExpired => {
                check(self.wall >= found.open.expires_at, "a token is good until it expires", seen)
            }
            CloseReason::Kicked => {
                let key = &found.open.actor.key;
                let asked = self.kicks.iter().any(|(_, kick)| match kick {
                    Kick::User(user) => user == key,
                    Kick::Session(other) => *other == session,
                });
                check(asked, "a session is kicked by somebody", seen)
            }
            CloseReason::TooManyDevices => {
                let person = self.people.get(&found.open.actor.key);
                let stays = person.map_or(&[][..], |person| person.stays.as_slice());
                let lately = now.saturating_sub(2 * self.times.lag);
                let open = stays.iter().filter(|stay| stay.until.is_none_or(|until| until >= lately)).count();
                let many = open > limits.devices_per_user as usize && !found.open.actor.service;
                check(many, "only too many sessions are too many", seen)?;
                // While a clock that was set back is held, several sessions begin in the same moment.
                let newer = self.sessions.iter().any(|(other, one)| {
                    let same = one.open.actor.key == found.open.actor.key && *other != session;
                    same && (one.opened >= found.opened || one.since == found.since)
                });
                let newer =
                    newer || stays.iter().any(|stay| stay.from >= found.opened && stay.session != session);
                // Which is the oldest, the wall clock says.
                check(newer || self.unsteady > 0, "the oldest session goes", seen)
            }
            CloseReason::TooManyCommands => {
                let burst = u64::from(limits.commands_burst);
                check(found.commanded > burst, "only too many commands are too many", seen)
            }
            CloseReason::Draining => check(self.draining.is_some(), "only a node that drains says so", seen),
            _ => broken("the node ends sessions for reasons of its own", seen()),
        }
    }

    /// True when the store may keep the machines from being empty.
    #[must_use]
    pub fn store_is_bad(&self) -> bool {
        self.store == StoreMood::Failing
    }
}
