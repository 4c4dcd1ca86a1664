//! What people say to each other: sends reach who they were said to reach, publishes reach the subscribers, in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use schema::{Id, Key, Refusal, SessionAddr};

use super::{Oracle, Session};
use crate::broken::{Verdict, broken, check};

/// How long what was said is remembered, milliseconds.
const MEMORY: u64 = 60_000;

/// How a command was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Answered {
    Not,
    Reached,
    Refused,
    /// Nobody knows whether it was carried out.
    Late,
}

/// Who says something, and to whom.
pub(super) struct Words {
    pub(super) from: Option<SessionAddr>,
    pub(super) by: Id,
    pub(super) to: Key,
    pub(super) published: bool,
    pub(super) except_self: bool,
}

/// One payload, sent or published.
#[derive(Debug)]
struct Said {
    from: Option<SessionAddr>,
    by: Id,
    to: Key,
    published: bool,
    except: Option<SessionAddr>,
    at: u64,
    answered: Answered,
    got: BTreeSet<SessionAddr>,
    /// Who must get it until `due`.
    must: Vec<SessionAddr>,
    due: Option<u64>,
}

/// A subscription, now or before.
#[derive(Clone, Copy, Debug)]
struct Subscription {
    session: SessionAddr,
    since: u64,
    until: Option<u64>,
}

/// All that is said.
#[derive(Debug, Default)]
pub(super) struct Talk {
    said: BTreeMap<u64, Said>,
    order: VecDeque<u64>,
    /// Latest payload of a sender (and channel) that a receiver has got.
    latest: BTreeMap<(SessionAddr, SessionAddr, Option<Id>), u64>,
    subscriptions: BTreeMap<Key, Vec<Subscription>>,
    /// What each subscriber has got of a channel since the last audit.
    logs: BTreeMap<Key, BTreeMap<SessionAddr, Vec<u64>>>,
}

/// The number in a payload.
fn number(payload: &[u8]) -> Option<u64> {
    payload.first_chunk().map(|number| u64::from_le_bytes(*number))
}

impl Talk {
    /// Somebody says something; gives its number, by which its answer is known.
    pub(super) fn says(&mut self, now: u64, payload: &[u8], words: Words) -> Option<u64> {
        let number = number(payload)?;
        let Words { from, by, to, published, except_self } = words;
        let except = from.filter(|_| except_self);
        let (answered, got, must, due) = (Answered::Not, BTreeSet::new(), Vec::new(), None);
        let said = Said { from, by, to, published, except, at: now, answered, got, must, due };
        self.said.insert(number, said);
        self.order.push_back(number);
        while let Some(&oldest) = self.order.front() {
            if self.said.get(&oldest).is_some_and(|said| said.at + MEMORY > now) {
                break;
            }
            self.said.remove(&oldest);
            self.order.pop_front();
        }
        Some(number)
    }

    pub(super) fn subscribe(&mut self, now: u64, channel: Key, session: SessionAddr) {
        self.subscriptions.entry(channel).or_default().push(Subscription {
            session,
            since: now,
            until: None,
        });
    }

    pub(super) fn unsubscribe(&mut self, now: u64, channel: &Key, session: SessionAddr) {
        let all = self.subscriptions.get_mut(channel).into_iter().flatten();
        for subscription in all.filter(|one| one.session == session && one.until.is_none()) {
            subscription.until = Some(now);
        }
    }

    /// A session is over.
    pub(super) fn gone(&mut self, session: SessionAddr, found: &Session, now: u64) {
        for channel in found.channels.keys() {
            self.unsubscribe(now, &Key::new(found.open.actor.key.realm, channel.clone()), session);
        }
        for said in self.said.values_mut() {
            said.must.retain(|other| *other != session);
        }
        self.latest.retain(|(receiver, sender, _), _| *receiver != session && *sender != session);
    }

    /// Subscribers of a channel that its home surely knew from `from` to `to`, and those that it may have known.
    pub(super) fn subscribers(
        &self,
        channel: &Key,
        lag: u64,
        (from, to): (u64, u64),
    ) -> (Vec<SessionAddr>, usize) {
        let all = self.subscriptions.get(channel).map_or(&[][..], Vec::as_slice);
        let sure =
            all.iter().filter(|one| one.since + lag <= from && one.until.is_none_or(|until| until > to));
        let maybe = all.iter().filter(|one| one.since <= to && one.until.is_none_or(|u| u + lag >= from));
        (sure.map(|one| one.session).collect(), maybe.count())
    }
}

impl Oracle {
    /// A session gets a payload that was sent to its user.
    pub(super) fn message(&mut self, session: SessionAddr, from: &Id, payload: &[u8]) -> Verdict {
        let Some(found) = self.sessions.get(&session) else { return Ok(()) };
        let key = found.open.actor.key.clone();
        let service = found.open.actor.service;
        let seen = || format!("{session} of {key:?} got {:?} of {from}", number(payload));
        let Some((number, said)) = number(payload).and_then(|n| Some((n, self.talk.said.get_mut(&n)?)))
        else {
            return broken("nobody gets what nobody said", seen());
        };
        check(
            !said.published && said.to == key && said.by == *from && !service,
            "a send reaches its user",
            seen,
        )?;
        check(said.except != Some(session), "the sender may leave itself out", seen)?;
        check(said.answered != Answered::Refused, "what is refused is not carried out", seen)?;
        check(said.answered != Answered::Reached, "a send says to how many it came", seen)?;
        check(said.got.insert(session), "a payload comes once", seen)?;
        let Some(sender) = said.from else { return Ok(()) };
        let latest = self.talk.latest.insert((session, sender, None), number);
        check(latest.is_none_or(|latest| latest < number), "sends of a session stay in order", seen)
    }

    /// A session gets a payload that was published.
    pub(super) fn published(
        &mut self,
        session: SessionAddr,
        channel: &Id,
        from: &Id,
        payload: &[u8],
    ) -> Verdict {
        let Some(found) = self.sessions.get(&session) else { return Ok(()) };
        let key = Key::new(found.open.actor.key.realm, channel.clone());
        let seen = || format!("{session} got {:?} of {from} on {key:?}", number(payload));
        check(found.channels.contains_key(channel), "only subscribers get what is published", seen)?;
        let Some((number, said)) = number(payload).and_then(|n| Some((n, self.talk.said.get_mut(&n)?)))
        else {
            return broken("nobody gets what nobody said", seen());
        };
        check(said.published && said.to == key && said.by == *from, "a publish reaches its channel", seen)?;
        check(said.except != Some(session), "the publisher may leave itself out", seen)?;
        check(said.answered != Answered::Refused, "what is refused is not carried out", seen)?;
        check(said.got.insert(session), "a payload comes once", seen)?;
        if let Some(sender) = said.from {
            let latest = self.talk.latest.insert((session, sender, Some(channel.clone())), number);
            check(latest.is_none_or(|latest| latest < number), "publishes of a session stay in order", seen)?;
        }
        self.talk.logs.entry(key).or_default().entry(session).or_default().push(number);
        Ok(())
    }

    /// A send or publish is answered.
    pub(super) fn said_is_answered(&mut self, number: u64, result: Result<u32, Refusal>) -> Verdict {
        let (now, lag) = (self.now, self.times.lag);
        let Some(said) = self.talk.said.get(&number) else { return Ok(()) };
        let seen = |what: &str| format!("{number}: {said:?} answered {result:?}: {what}");
        let mut must = Vec::new();
        let answered = match result {
            Err(Refusal::Timeout) => Answered::Late,
            Err(_) => {
                check(said.got.is_empty(), "what is refused is not carried out", || seen("came"))?;
                Answered::Refused
            }
            Ok(reached) if said.published => {
                self.checked.publishes += 1;
                let (sure, maybe) = self.talk.subscribers(&said.to, lag, (said.at - 1, now));
                must.extend(sure.iter().copied().filter(|session| said.except != Some(*session)));
                let least = must.len().saturating_sub(usize::from(said.except.is_some() && lag > 0));
                check(
                    (least..=maybe).contains(&(reached as usize)),
                    "a publish says to how many it comes",
                    || seen(&format!("{least} to {maybe} expected")),
                )?;
                must.retain(|session| !said.got.contains(session));
                Answered::Reached
            }
            Ok(reached) => {
                self.checked.sends += 1;
                check(said.got.len() == reached as usize, "a send says to how many it came", || seen("?"))?;
                let stays = self.people.get(&said.to).map_or(&[][..], |person| person.stays.as_slice());
                let sure = stays.iter().filter(|stay| stay.from + lag < said.at && stay.until.is_none());
                let missed = sure
                    .map(|stay| stay.session)
                    .find(|session| said.except != Some(*session) && !said.got.contains(session));
                check(missed.is_none(), "a send reaches all sessions", || {
                    seen(&format!("{missed:?} missed"))
                })?;
                Answered::Reached
            }
        };
        if let Some(said) = self.talk.said.get_mut(&number) {
            said.answered = answered;
            if !must.is_empty() {
                (said.must, said.due) = (must, Some(now + lag));
            }
        }
        Ok(())
    }

    /// Every publish has come to its subscribers in time.
    pub(super) fn audit_talk(&mut self) -> Verdict {
        let now = self.now;
        for (number, said) in &mut self.talk.said {
            if said.due.is_none_or(|due| due >= now) {
                continue;
            }
            said.due = None;
            let missed = said.must.iter().find(|session| !said.got.contains(session));
            // Who has left the channel meanwhile need not get it.
            let subscribed = missed.is_some_and(|session| {
                self.talk.subscriptions.get(&said.to).is_some_and(|all| {
                    all.iter()
                        .any(|one| one.session == *session && one.until.is_none() && one.since < said.at)
                })
            });
            check(!subscribed, "a publish reaches all subscribers", || {
                format!("{number}: {said:?} {missed:?}")
            })?;
        }
        Ok(())
    }

    /// All subscribers of a channel have got the same order.
    pub(super) fn audit_order(&mut self) -> Verdict {
        let keep = self.now.saturating_sub(MEMORY);
        for subscriptions in self.talk.subscriptions.values_mut() {
            subscriptions.retain(|one| one.until.is_none_or(|until| until > keep));
        }
        for (channel, logs) in std::mem::take(&mut self.talk.logs) {
            let mut after: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
            let mut before: BTreeMap<u64, u32> = BTreeMap::new();
            for log in logs.values() {
                for pair in log.windows(2) {
                    if after.entry(pair[0]).or_default().insert(pair[1]) {
                        *before.entry(pair[1]).or_default() += 1;
                    }
                    before.entry(pair[0]).or_default();
                }
            }
            let mut free: Vec<u64> =
                before.iter().filter(|(_, count)| **count == 0).map(|(number, _)| *number).collect();
            let mut placed = 0;
            while let Some(number) = free.pop() {
                placed += 1;
                for next in after.remove(&number).unwrap_or_default() {
                    if let Some(count) = before.get_mut(&next) {
                        *count -= 1;
                        if *count == 0 {
                            free.push(next);
                        }
                    }
                }
            }
            check(placed == before.len(), "all subscribers of a channel get one order", || {
                format!("{channel:?}: {logs:?}")
            })?;
        }
        Ok(())
    }
}
