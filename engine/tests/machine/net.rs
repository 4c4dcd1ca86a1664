//! Several machines, a store and a virtual clock: what the outputs of one want is carried out on the others.

use std::collections::{BTreeMap, VecDeque};

use engine::limits::Limits;
use engine::machine::erase::{Erased, Step};
use engine::machine::store::SeenRow;
use engine::machine::{
    Asker, ChatRequest, ConnRef, Input, Machine, Message, Now, Open, Output, Router, Setup, StoreReply,
    StoreRequest,
};
use schema::command::Edge;
use schema::event::TapEvent;
use schema::{
    Actor, CloseReason, Command, Device, Event, Id, Key, LastSeen, Realm, Refusal, Reply, SessionAddr,
    ShardId, UserPresence,
};

use crate::shelf::Shelf;

/// The wall clock at the start of a test.
pub(crate) const WALL: u64 = 1_800_000_000_000;

pub(crate) fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

pub(crate) fn key(text: &str) -> Key {
    Key::new(Realm(0), id(text))
}

pub(crate) fn payload(text: &str) -> schema::command::Payload {
    text.as_bytes().into()
}

/// How a store of a test behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StoreMode {
    Answers,
    Fails,
    /// Keeps requests back until it answers again.
    Waits,
    /// Keeps only the online journal back.
    JournalWaits,
}

/// How messages between machines travel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mail {
    InOrder,
    /// Kept back until it is in order again.
    Held,
    /// In another order, and state sometimes twice.
    Shuffled(u64),
    /// The same, and half of it later.
    Slow(u64),
}

pub(crate) struct Net {
    pub(crate) machines: Vec<Machine>,
    /// The clocks as they are; the machines are told [`Net::clock`].
    pub(crate) now: Now,
    latest_wall: u64,
    pub(crate) limits: Limits,
    router: Router,
    pub(crate) rows: BTreeMap<Key, (u64, bool)>,
    pub(crate) written: Vec<SeenRow>,
    pub(crate) store: StoreMode,
    waiting: Vec<(usize, StoreRequest)>,
    /// The store of conversations.
    pub(crate) shelf: Shelf,
    pub(crate) mail_mode: Mail,
    mail: VecDeque<(usize, usize, Message)>,
    /// Free places of every inbox, told to every machine before each turn.
    pub(crate) room: u32,
    /// What each session was told.
    pub(crate) told: BTreeMap<SessionAddr, Vec<Event>>,
    /// What ended by the machine's own will.
    pub(crate) closed: Vec<(SessionAddr, CloseReason)>,
    pub(crate) fronts: BTreeMap<u64, Event>,
    erased: BTreeMap<u64, Result<Erased, Refusal>>,
    pub(crate) taps: Vec<TapEvent>,
    opened: Vec<Result<SessionAddr, Refusal>>,
    tag: u64,
    /// Most outputs of one call.
    pub(crate) burst: usize,
}

impl Net {
    /// What a node's one clock tells: a wall clock that is set back a little is held.
    fn clock(&mut self) -> Now {
        self.latest_wall = self.latest_wall.max(self.now.wall);
        Now { wall: self.latest_wall, ..self.now }
    }

    /// Sets the wall clock back by so much that it is not held.
    pub(crate) fn set_back(&mut self, ms: u64) {
        self.now.wall -= ms;
        self.latest_wall = self.now.wall;
    }

    pub(crate) fn new(shards: u16, limits: Limits) -> Self {
        Self::with_rows(shards, limits, BTreeMap::new())
    }

    /// Machines over a store that has rows.
    pub(crate) fn with_rows(shards: u16, limits: Limits, rows: BTreeMap<Key, (u64, bool)>) -> Self {
        let now = Now { mono: 1_000, wall: WALL };
        let router = Router::new((1, 2), shards);
        let machine = |shard| {
            let (shard, router, limits) = (ShardId(shard), router.clone(), limits.clone());
            Machine::new(Setup { shard, incarnation: 7, limits, router, seed: 42 }, now)
        };
        Self {
            machines: (0..shards).map(machine).collect(),
            now,
            latest_wall: now.wall,
            router: router.clone(),
            limits,
            rows,
            written: Vec::new(),
            store: StoreMode::Answers,
            waiting: Vec::new(),
            shelf: Shelf::default(),
            mail_mode: Mail::InOrder,
            mail: VecDeque::new(),
            room: 100,
            told: BTreeMap::new(),
            closed: Vec::new(),
            fronts: BTreeMap::new(),
            erased: BTreeMap::new(),
            taps: Vec::new(),
            opened: Vec::new(),
            tag: 0,
            burst: 0,
        }
    }

    pub(crate) fn home(&self, user: &str) -> usize {
        usize::from(self.router.home(&key(user)).0)
    }

    pub(crate) fn home_of_channel(&self, channel: &str) -> usize {
        self.home(channel)
    }

    /// A user whose home is this shard.
    pub(crate) fn user_of(&self, shard: usize, number: usize) -> String {
        let names = (0..).map(|n| format!("user-{number}-{n}"));
        let mut names = names.filter(|name| self.home(name) == shard);
        names.next().unwrap()
    }

    pub(crate) fn opening(&self, user: &str) -> Open {
        Open {
            conn: ConnRef { slot: 9, generation: 1 },
            actor: Actor { key: key(user), service: false },
            edge: Edge::Binary,
            peer: "10.0.0.1:5000".parse().unwrap(),
            device: Device::default(),
            expires_at: u64::MAX,
            silence: self.limits.silence,
            mark: 3,
        }
    }

    /// Opens a session on a shard.
    pub(crate) fn try_open(&mut self, shard: usize, open: Open) -> Result<SessionAddr, Refusal> {
        self.opened.clear();
        let now = self.clock();
        self.machines[shard].handle(now, Input::Open(Box::new(open)));
        self.run();
        self.opened.pop().expect("every open is answered in its turn")
    }

    /// The sessions that have opened since the last were asked for.
    pub(crate) fn take_opened(&mut self) -> Vec<SessionAddr> {
        std::mem::take(&mut self.opened).into_iter().map(Result::unwrap).collect()
    }

    /// A user's session on its home.
    pub(crate) fn open(&mut self, user: &str) -> SessionAddr {
        self.open_at(self.home(user), user)
    }

    pub(crate) fn open_at(&mut self, shard: usize, user: &str) -> SessionAddr {
        self.try_open(shard, self.opening(user)).unwrap()
    }

    pub(crate) fn open_service(&mut self, shard: usize) -> SessionAddr {
        let mut open = self.opening("a-service");
        open.actor.service = true;
        open.silence = 0;
        self.try_open(shard, open).unwrap()
    }

    pub(crate) fn close(&mut self, session: SessionAddr, reason: CloseReason) {
        let input = Input::Closed { session: session.session, reason };
        let now = self.clock();
        self.machines[usize::from(session.shard.0)].handle(now, input);
        self.run();
    }

    /// The session's client has shown a newer token.
    pub(crate) fn renew(&mut self, session: SessionAddr, expires_at: u64) {
        let input = Input::Renew { session: session.session, expires_at };
        let now = self.clock();
        self.machines[usize::from(session.shard.0)].handle(now, input);
        self.run();
    }

    pub(crate) fn touch(&mut self, session: SessionAddr) {
        let now = self.clock();
        self.machines[usize::from(session.shard.0)].touch(now, session.session);
    }

    /// Commands, without waiting for what comes of it; gives the tag.
    pub(crate) fn say(&mut self, session: SessionAddr, command: Command) -> u64 {
        self.tag += 1;
        let asker = Asker::Session(session.session);
        let input = Input::Command { asker, actor: None, tag: self.tag, command };
        let now = self.clock();
        self.machines[usize::from(session.shard.0)].handle(now, input);
        self.tag
    }

    /// Commands, and gives the reply if one has come in the same millisecond.
    pub(crate) fn ask(&mut self, session: SessionAddr, command: Command) -> Option<Result<Reply, Refusal>> {
        let tag = self.say(session, command);
        self.run();
        self.reply(session, tag)
    }

    pub(crate) fn reply(&self, session: SessionAddr, wanted: u64) -> Option<Result<Reply, Refusal>> {
        let events = self.told.get(&session)?.iter();
        let mut replies = events.filter_map(|event| match event {
            Event::Reply { tag, result } if *tag == wanted => Some(result.clone()),
            _ => None,
        });
        let reply = replies.next();
        assert!(replies.next().is_none(), "one reply for each command");
        reply
    }

    /// A call of the front door.
    pub(crate) fn front(
        &mut self,
        shard: usize,
        actor: Option<Actor>,
        command: Command,
    ) -> Result<Reply, Refusal> {
        self.run();
        self.tag += 1;
        let asker = Asker::Front(self.tag);
        let now = self.clock();
        self.machines[shard].handle(now, Input::Command { asker, actor, tag: 1, command });
        self.run();
        match self.fronts.remove(&self.tag) {
            Some(Event::Reply { tag: 1, result }) => result,
            other => panic!("no reply for the front door: {other:?}"),
        }
    }

    /// Takes a step in erasing somebody, and says what came of it, if anything has by now.
    pub(crate) fn step(&mut self, step: Step) -> Option<Result<Erased, Refusal>> {
        self.run();
        self.tag += 1;
        let shard = match &step {
            Step::Look { user, .. } | Step::Presence { user } => self.router.home(user),
            Step::In { place, .. } => self.router.home_of(place.0, &place.1.id()),
        };
        let now = self.clock();
        let (ticket, shard) = (self.tag, usize::from(shard.0));
        self.machines[shard].handle(now, Input::Erase { ticket, step });
        self.run();
        self.erased.remove(&ticket)
    }

    /// How a user is, asked by a service's call.
    pub(crate) fn presence(&mut self, user: &str) -> UserPresence {
        let actor = Actor { key: key("asker"), service: true };
        match self.front(0, Some(actor), Command::Query { users: vec![id(user)] }) {
            Ok(Reply::Presence(rows)) => rows.into_iter().next().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// What a session was last told of a user it watches, and how many frames it got.
    pub(crate) fn seen_by(&self, session: SessionAddr, user: &str) -> (Option<UserPresence>, usize) {
        let frames: Vec<&Vec<UserPresence>> = self.told.get(&session).map_or(Vec::new(), |events| {
            let frames = events.iter().filter_map(|event| match event {
                Event::Presence(rows) => Some(rows),
                _ => None,
            });
            frames.collect()
        });
        let rows = frames.iter().flat_map(|rows| rows.iter());
        (rows.rev().find(|row| row.user == id(user)).cloned(), frames.len())
    }

    /// Payloads a session got, as text.
    pub(crate) fn payloads(&self, session: SessionAddr) -> Vec<String> {
        let events = self.told.get(&session).into_iter().flatten();
        let payloads = events.filter_map(|event| match event {
            Event::Message { payload, .. } | Event::Published { payload, .. } => Some(payload),
            _ => None,
        });
        payloads.map(|payload| String::from_utf8(payload.to_vec()).unwrap()).collect()
    }

    /// Lets turns go by in this millisecond until nothing happens any more.
    pub(crate) fn run(&mut self) {
        for _ in 0..100_000 {
            let moved = self.turn();
            let due = |machine: &Machine| machine.next_wake().is_some_and(|at| at <= self.now.mono);
            if !moved && !self.machines.iter().any(due) {
                return;
            }
        }
        panic!("the machines never come to rest");
    }

    /// One turn of every machine; true when something went out.
    pub(crate) fn turn(&mut self) -> bool {
        self.deliver();
        let mut moved = false;
        for shard in 0..self.machines.len() {
            for to in 0..self.machines.len() as u16 {
                self.machines[shard].set_room(ShardId(to), self.room);
            }
            moved |= self.poll(shard);
            let now = self.clock();
            self.machines[shard].advance(now);
            moved |= self.poll(shard);
        }
        moved
    }

    fn deliver(&mut self) {
        let (mut luck, slow) = match self.mail_mode {
            Mail::Held => return,
            Mail::InOrder => return self.deliver_all(),
            Mail::Shuffled(luck) => (luck, false),
            Mail::Slow(luck) => (luck, true),
        };
        let mut next = |below: usize| {
            luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (luck >> 33) as usize % below
        };
        for at in 0..self.mail.len() {
            if matches!(self.mail[at].2, Message::State(_)) && next(4) == 0 {
                let twice = self.mail[at].clone();
                self.mail.push_back(twice);
            }
        }
        for at in (1..self.mail.len()).rev() {
            self.mail.swap(at, next(at + 1));
        }
        let keep = if slow { next(self.mail.len() + 1) } else { 0 };
        let kept = self.mail.split_off(self.mail.len() - keep);
        self.mail_mode = if slow { Mail::Slow(luck) } else { Mail::Shuffled(luck) };
        self.deliver_all();
        self.mail = kept;
    }

    /// Delivers what fits of the mail that is held, until there is none.
    pub(crate) fn deliver_only(&mut self, fits: impl Fn(usize, usize, &Message) -> bool) {
        assert_eq!(self.mail_mode, Mail::Held);
        loop {
            self.run();
            let Some(at) = self.mail.iter().position(|(from, to, message)| fits(*from, *to, message)) else {
                return;
            };
            let (from, to, message) = self.mail.remove(at).unwrap();
            let now = self.clock();
            self.machines[to].handle(now, Input::Message { from: ShardId(from as u16), message });
        }
    }

    fn deliver_all(&mut self) {
        for (from, to, message) in std::mem::take(&mut self.mail) {
            let now = self.clock();
            self.machines[to].handle(now, Input::Message { from: ShardId(from as u16), message });
        }
    }

    fn poll(&mut self, shard: usize) -> bool {
        let mut count = 0;
        while let Some(output) = self.machines[shard].poll() {
            count += 1;
            self.carry_out(shard, output);
        }
        self.burst = self.burst.max(count);
        count > 0
    }

    fn carry_out(&mut self, shard: usize, output: Output) {
        let addr = |session| SessionAddr { incarnation: 7, shard: ShardId(shard as u16), session };
        match output {
            Output::Opened { session, .. } => self.opened.push(session),
            Output::Event { session, event, .. } => {
                self.told.entry(addr(session)).or_default().push((*event).clone());
            }
            Output::Close { session, reason, .. } => self.closed.push((addr(session), reason)),
            Output::Message { to, message } => {
                assert_ne!(usize::from(to.0), shard, "what a shard says to itself stays in it");
                self.mail.push_back((shard, usize::from(to.0), message));
            }
            Output::Front { ticket, event } => {
                assert!(self.fronts.insert(ticket, event).is_none(), "one reply for each call");
            }
            Output::Erased { ticket, result } => {
                assert!(self.erased.insert(ticket, result).is_none(), "one answer for each step");
            }
            Output::Store(request) => self.ask_store(shard, request),
            Output::Chat(request) => self.ask_chats(shard, request),
            Output::Tap(tap) => self.taps.push((*tap).clone()),
        }
    }

    fn ask_chats(&mut self, shard: usize, request: ChatRequest) {
        if let Some(answer) = self.shelf.ask(shard, request) {
            let now = self.clock();
            self.machines[shard].handle(now, Input::Chat(answer));
        }
    }

    /// Lets the store of conversations answer what it has kept back, in another order than it was asked.
    pub(crate) fn shelf_answers(&mut self, luck: u64) {
        for (shard, answer) in self.shelf.release(luck) {
            let now = self.clock();
            self.machines[shard].handle(now, Input::Chat(answer));
        }
        self.run();
    }

    /// Lets the store of conversations give one of the answers it has kept back.
    pub(crate) fn shelf_answers_one(&mut self, at: usize) {
        let (shard, answer) = self.shelf.release_one(at).expect("it is kept back");
        let now = self.clock();
        self.machines[shard].handle(now, Input::Chat(answer));
        self.run();
    }

    /// Lets the store deal with what it has kept back.
    pub(crate) fn store_goes_on(&mut self, mode: StoreMode) {
        self.store = mode;
        for (shard, request) in std::mem::take(&mut self.waiting) {
            self.ask_store(shard, request);
        }
        self.run();
    }

    fn ask_store(&mut self, shard: usize, asked: StoreRequest) {
        let (StoreRequest::PutSeen { request, .. }
        | StoreRequest::GetSeen { request, .. }
        | StoreRequest::Journal { request, .. }
        | StoreRequest::Forget { request, .. }) = asked;
        let reply = match (self.store, asked) {
            (StoreMode::Waits, asked) | (StoreMode::JournalWaits, asked @ StoreRequest::Journal { .. }) => {
                return self.waiting.push((shard, asked));
            }
            (StoreMode::Fails, _) => StoreReply::Failed { request, error: "disk full".into() },
            (_, StoreRequest::PutSeen { rows, .. }) => {
                assert!(rows.len() <= engine::limits::STORE_BATCH);
                for row in rows {
                    let entry = self.rows.entry(row.user.clone()).or_default();
                    *entry = (entry.0.max(row.last_seen), row.online);
                    self.written.push(row);
                }
                StoreReply::Put { request }
            }
            (_, StoreRequest::GetSeen { users, .. }) => {
                assert!(users.len() <= engine::limits::STORE_BATCH);
                let seen = |user| self.rows.get(user).map_or(LastSeen::Never, |row| LastSeen::At(row.0));
                StoreReply::Seen { request, last_seen: users.iter().map(seen).collect() }
            }
            (_, StoreRequest::Forget { user, .. }) => {
                StoreReply::Forgotten { request, found: self.rows.remove(&user).is_some() }
            }
            (_, StoreRequest::Journal { after, .. }) => {
                let own = |user: &Key| usize::from(self.router.home(user).0) == shard;
                let later = |user: &Key| after.as_ref().is_none_or(|after| user > after);
                let rows = self.rows.iter().filter(|(user, row)| row.1 && own(user) && later(user));
                let mut users: Vec<(Key, u64)> = rows.map(|(user, row)| (user.clone(), row.0)).collect();
                let more = users.len() > 1_000;
                users.truncate(1_000);
                StoreReply::Journal { request, users, more }
            }
        };
        let now = self.clock();
        self.machines[shard].handle(now, Input::Store(reply));
    }

    /// Lets time pass, stopping wherever a machine wants to be woken.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.now.mono + ms;
        self.run();
        while self.now.mono < end {
            let wakes = self.machines.iter().filter_map(Machine::next_wake);
            let next = wakes.min().unwrap_or(end).clamp(self.now.mono + 1, end);
            self.now.wall += next - self.now.mono;
            self.now.mono = next;
            self.run();
        }
    }

    pub(crate) fn online(&self) -> u64 {
        self.machines.iter().map(Machine::online).sum()
    }

    /// Online and offline events so far.
    pub(crate) fn events(&self) -> (u64, u64) {
        let counters = self.machines.iter().map(Machine::counters);
        counters.fold((0, 0), |sum, c| (sum.0 + c.came_online, sum.1 + c.went_offline))
    }

    /// After everybody has left and every timer has run out, nothing is held.
    pub(crate) fn assert_idle(&mut self) {
        self.pass(engine_horizon());
        for machine in &self.machines {
            assert!(machine.is_idle(), "{:?}", machine.census());
        }
    }
}

/// Long enough for the longest timer and the longest memory.
fn engine_horizon() -> u64 {
    700_000
}
