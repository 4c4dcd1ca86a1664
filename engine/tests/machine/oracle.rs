//! Random operations against a naive model of presence: a list of sessions, and what follows from it.

use std::collections::BTreeMap;

use engine::limits::Limits;
use proptest::prelude::*;
use schema::{CloseReason, Command, LastSeen, SessionAddr, Status};

use crate::net::*;

const USERS: usize = 5;
const SILENCE: u64 = 3_000;
const GRACE: u64 = 1_000;
const AWAY: u64 = 2_000;
const DEVICES: usize = 3;

#[derive(Clone, Debug)]
enum Op {
    Open { user: usize, host: usize },
    Close(usize),
    Touch(usize),
    Activity(usize),
    Kick(usize),
    Pass(u64),
    SetWall(i64),
    Watch { session: usize, user: usize },
    Unwatch { session: usize, user: usize },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (0..USERS, 0..3_usize).prop_map(|(user, host)| Op::Open { user, host }),
        3 => (0..100_usize).prop_map(Op::Close),
        2 => (0..100_usize).prop_map(Op::Touch),
        2 => (0..100_usize).prop_map(Op::Activity),
        1 => (0..USERS).prop_map(Op::Kick),
        4 => prop_oneof![0..50_u64, 0..1_500_u64, 0..5_000_u64].prop_map(Op::Pass),
        1 => (-60_000..60_000_i64).prop_map(Op::SetWall),
        2 => (0..100_usize, 0..USERS).prop_map(|(session, user)| Op::Watch { session, user }),
        1 => (0..100_usize, 0..USERS).prop_map(|(session, user)| Op::Unwatch { session, user }),
    ]
}

fn name(user: usize) -> String {
    format!("user-{user}")
}

#[derive(Default)]
struct Person {
    /// Open sessions, oldest first, and when each was last heard of.
    sessions: Vec<(SessionAddr, u64)>,
    grace_until: Option<u64>,
    away: bool,
    active: u64,
    seen: u64,
    came_online: u64,
    went_offline: u64,
}

impl Person {
    fn status(&self) -> Status {
        match (self.sessions.is_empty(), self.grace_until) {
            (true, None) => Status::Offline,
            (_, _) if self.away => Status::Away,
            (_, _) => Status::Online,
        }
    }
}

/// The model.
struct Oracle {
    people: Vec<Person>,
    now: u64,
    wall: u64,
    latest_wall: u64,
    watches: BTreeMap<(SessionAddr, usize), ()>,
}

impl Oracle {
    fn see(&mut self, user: usize, at: u64) {
        let person = &mut self.people[user];
        person.seen = person.seen.max(at);
    }

    fn open(&mut self, user: usize, session: SessionAddr) -> Option<SessionAddr> {
        let (now, wall) = (self.now, self.latest_wall);
        self.see(user, wall);
        let person = &mut self.people[user];
        if person.sessions.is_empty() && person.grace_until.take().is_none() {
            person.came_online += 1;
        }
        person.sessions.push((session, now));
        person.away = false;
        person.active = now;
        let evicted = (person.sessions.len() > DEVICES).then(|| person.sessions[0].0);
        if let Some(evicted) = evicted {
            self.end(user, evicted, wall);
        }
        evicted
    }

    fn end(&mut self, user: usize, session: SessionAddr, at: u64) {
        let now = self.now;
        self.see(user, at);
        self.watches.retain(|(watcher, _), ()| *watcher != session);
        let person = &mut self.people[user];
        person.sessions.retain(|(other, _)| *other != session);
        if person.sessions.is_empty() {
            person.grace_until = Some(now + GRACE);
        }
    }

    /// Time passes, millisecond by millisecond.
    fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now += 1;
            self.wall += 1;
            self.latest_wall = self.latest_wall.max(self.wall);
            for user in 0..USERS {
                let silent: Vec<(SessionAddr, u64)> = self.people[user]
                    .sessions
                    .iter()
                    .copied()
                    .filter(|(_, heard)| self.now - heard >= SILENCE)
                    .collect();
                for (session, heard) in silent {
                    self.end(user, session, self.latest_wall - (self.now - heard));
                }
                let person = &mut self.people[user];
                if !person.sessions.is_empty() && self.now - person.active >= AWAY {
                    person.away = true;
                }
                if person.grace_until.is_some_and(|until| until <= self.now) {
                    person.grace_until = None;
                    person.went_offline += 1;
                }
            }
        }
    }

    fn all(&self) -> Vec<(usize, SessionAddr)> {
        let people = self.people.iter().enumerate();
        people
            .flat_map(|(user, person)| person.sessions.iter().map(move |&(session, _)| (user, session)))
            .collect()
    }
}

fn check(shards: u16, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let limits = Limits {
        silence: SILENCE as u32,
        grace: GRACE as u32,
        away_after: AWAY as u32,
        devices_per_user: DEVICES as u32,
        flush_interval: 500,
        ..Limits::default()
    };
    let mut net = Net::new(shards, limits);
    net.run();
    let mut oracle = Oracle {
        people: (0..USERS).map(|_| Person::default()).collect(),
        now: net.now.mono,
        wall: WALL,
        latest_wall: WALL,
        watches: BTreeMap::new(),
    };
    for op in ops {
        let all = oracle.all();
        let pick = |number: usize| (!all.is_empty()).then(|| all[number % all.len()]);
        match op {
            Op::Open { user, host } => {
                let session = net.open_at(host % usize::from(shards), &name(user));
                let evicted = oracle.open(user, session);
                if let Some(evicted) = evicted {
                    prop_assert_eq!(net.closed.last(), Some(&(evicted, CloseReason::TooManyDevices)));
                }
            }
            Op::Close(number) => {
                if let Some((user, session)) = pick(number) {
                    net.close(session, CloseReason::Lost);
                    oracle.end(user, session, oracle.latest_wall);
                }
            }
            Op::Touch(number) => {
                if let Some((user, session)) = pick(number) {
                    net.touch(session);
                    heard(&mut oracle, user, session);
                }
            }
            Op::Activity(number) => {
                if let Some((user, session)) = pick(number) {
                    net.ask(session, Command::Activity);
                    heard(&mut oracle, user, session);
                    oracle.see(user, oracle.latest_wall);
                    oracle.people[user].away = false;
                    oracle.people[user].active = oracle.now;
                }
            }
            Op::Kick(user) => {
                let service = schema::Actor { key: key("operator"), service: true };
                let command = Command::DisconnectUser { user: id(&name(user)) };
                let reached = oracle.people[user].sessions.len() as u32;
                let reply = net.front(0, Some(service), command);
                prop_assert_eq!(reply, Ok(schema::Reply::Reached(reached)));
                for (session, _) in oracle.people[user].sessions.clone() {
                    oracle.end(user, session, oracle.latest_wall);
                }
            }
            Op::Pass(ms) => {
                net.pass(ms);
                oracle.pass(ms);
            }
            Op::SetWall(by) => {
                net.now.wall = net.now.wall.saturating_add_signed(by);
                oracle.wall = oracle.wall.saturating_add_signed(by);
                oracle.latest_wall = oracle.latest_wall.max(oracle.wall);
                net.run();
            }
            Op::Watch { session, user } => {
                if let Some((owner, session)) = pick(session) {
                    net.ask(session, Command::Watch { users: vec![id(&name(user))] });
                    heard(&mut oracle, owner, session);
                    oracle.watches.insert((session, user), ());
                }
            }
            Op::Unwatch { session, user } => {
                if let Some((owner, session)) = pick(session) {
                    net.ask(session, Command::Unwatch { users: vec![id(&name(user))] });
                    heard(&mut oracle, owner, session);
                    oracle.watches.remove(&(session, user));
                }
            }
        }
        for user in 0..USERS {
            let person = &oracle.people[user];
            let told = net.presence(&name(user));
            prop_assert_eq!(told.status, person.status(), "user {}", user);
            let seen = if person.seen == 0 { LastSeen::Never } else { LastSeen::At(person.seen) };
            prop_assert_eq!(told.last_seen, seen, "user {}", user);
        }
        let events = oracle.people.iter().map(|person| (person.came_online, person.went_offline));
        let events = events.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        prop_assert_eq!(net.events(), events);
    }
    // What watchers were told is the truth, but for what has changed within their last window.
    net.pass(100);
    oracle.pass(100);
    let before: Vec<Status> = oracle.people.iter().map(Person::status).collect();
    net.pass(100);
    oracle.pass(100);
    for (watcher, user) in oracle.watches.keys() {
        let person = &oracle.people[*user];
        let told = net.seen_by(*watcher, &name(*user)).0;
        let told = told.ok_or_else(|| TestCaseError::fail("a watcher was told nothing"))?;
        if before[*user] == person.status() {
            prop_assert_eq!(told.status, person.status(), "watched user {}", user);
            if person.status() == Status::Offline && person.seen > 0 {
                prop_assert_eq!(told.last_seen, LastSeen::At(person.seen));
            }
        }
    }
    net.pass(SILENCE + GRACE);
    net.assert_idle();
    Ok(())
}

fn heard(oracle: &mut Oracle, user: usize, session: SessionAddr) {
    let now = oracle.now;
    let mut sessions = oracle.people[user].sessions.iter_mut();
    if let Some(entry) = sessions.find(|entry| entry.0 == session) {
        entry.1 = now;
    }
}

/// The same without the model's clock: messages are late, in any order and sometimes twice, inboxes have few places.
/// When everything has come, everybody agrees with the sessions that are there.
fn check_late(ops: Vec<Op>, luck: u64, room: u32) -> Result<(), TestCaseError> {
    // A grace so short that online and offline are under way at the same time.
    let limits = Limits { silence: 0, grace: 10, flush_interval: 500, ..Limits::default() };
    let mut net = Net::new(3, limits);
    net.run();
    net.mail_mode = Mail::Slow(luck);
    net.room = room;
    let mut open: Vec<(usize, SessionAddr)> = Vec::new();
    let mut seen = [0; USERS];
    let mut watches: BTreeMap<(SessionAddr, usize), ()> = BTreeMap::new();
    for op in ops {
        let pick = |number: usize| (!open.is_empty()).then(|| open[number % open.len()]);
        match op {
            Op::Open { user, host } => {
                open.push((user, net.open_at(host, &name(user))));
                seen[user] = net.now.wall;
            }
            Op::Close(number) => {
                if let Some((user, session)) = pick(number) {
                    net.close(session, CloseReason::Lost);
                    open.retain(|(_, other)| *other != session);
                    watches.retain(|(watcher, _), ()| *watcher != session);
                    seen[user] = net.now.wall;
                }
            }
            Op::Activity(number) => {
                if let Some((user, session)) = pick(number) {
                    net.ask(session, Command::Activity);
                    seen[user] = net.now.wall;
                }
            }
            Op::Watch { session, user } => {
                if let Some((_, session)) = pick(session) {
                    net.ask(session, Command::Watch { users: vec![id(&name(user))] });
                    watches.insert((session, user), ());
                }
            }
            Op::Unwatch { session, user } => {
                if let Some((_, session)) = pick(session) {
                    net.ask(session, Command::Unwatch { users: vec![id(&name(user))] });
                    watches.remove(&(session, user));
                }
            }
            Op::Pass(ms) => net.pass(ms / 100),
            Op::Touch(_) | Op::Kick(_) | Op::SetWall(_) => {}
        }
    }
    net.mail_mode = Mail::InOrder;
    net.pass(GRACE + 500);
    let mut online = 0;
    for (user, &seen) in seen.iter().enumerate() {
        let here = open.iter().any(|(other, _)| *other == user);
        online += u64::from(here);
        let told = net.presence(&name(user));
        prop_assert_eq!(told.status.is_online(), here, "user {}", user);
        if seen > 0 {
            prop_assert_eq!(told.last_seen, LastSeen::At(seen), "user {}", user);
        }
        for (watcher, _) in watches.keys().filter(|(_, other)| *other == user) {
            let told = net.seen_by(*watcher, &name(user)).0.map(|told| told.status);
            prop_assert_eq!(told, Some(if here { Status::Online } else { Status::Offline }), "user {}", user);
        }
    }
    prop_assert_eq!(net.online(), online);
    prop_assert_eq!(net.events().0 - net.events().1, online);
    for (_, session) in open {
        net.close(session, CloseReason::Lost);
    }
    net.assert_idle();
    Ok(())
}

proptest! {
    #[test]
    fn one_shard_is_the_model(ops in prop::collection::vec(op(), 1..60)) {
        check(1, ops)?;
    }

    #[test]
    fn three_shards_are_the_model(ops in prop::collection::vec(op(), 1..60)) {
        check(3, ops)?;
    }

    #[test]
    fn late_messages_in_any_order_come_to_the_same(
        ops in prop::collection::vec(op(), 1..80),
        luck in any::<u64>(),
        room in 1..4_u32,
    ) {
        check_late(ops, luck, room)?;
    }
}
