//! The connections of one ring, and what is said and heard on them.

mod talk;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use engine::io::{Close, Driver, Ending, Listener, Sink, Token};

use super::tally::{Count, Kind, Tally};
use super::{ARRIVALS, Field, PUBLISHED, RECEIVED};
use crate::dialect::{Ask, Dialect, Step, Word};
use crate::stamp::Stamp;

/// Generations that a driver tells apart.
const GENERATION: u32 = 0xff_ffff;
const NONE: u32 = u32::MAX;

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// There is none.
    Free,
    /// Not yet welcomed.
    Opening,
    Open,
    /// It has said that it leaves.
    Leaving,
    /// The driver has been told to close it.
    Ending,
}

/// One connection: what a person of the crowd has, connected or not.
pub(super) struct Conn {
    /// When the oldest heartbeat without an answer was due, or the connect. Where heartbeats are the server's: when the last
    /// one came.
    due: u64,
    /// Number of the channel's last message.
    sequence: u32,
    generation: u32,
    /// First and last piece of what it says in this turn.
    head: u32,
    tail: u32,
    extra: Option<Box<Extra>>,
    /// Heartbeats without an answer.
    waiting: u16,
    pub(super) state: State,
    step: u8,
    blocked: bool,
    /// It comes back by itself.
    returns: bool,
}

/// What few have, and only for a while.
#[derive(Default)]
struct Extra {
    /// What the server calls the session, where that has to be said again.
    name: Box<str>,
    /// Bytes that are no whole frame yet.
    partial: Vec<u8>,
    /// What waits for a full socket.
    rest: Vec<u8>,
    /// When the heartbeats behind the oldest were due.
    beats: VecDeque<u64>,
    /// When the messages that the server has not taken yet were due.
    messages: VecDeque<u64>,
}

impl Extra {
    fn is_empty(&self) -> bool {
        let said = self.partial.is_empty() && self.rest.is_empty();
        said && self.name.is_empty() && self.beats.is_empty() && self.messages.is_empty()
    }
}

struct Piece {
    start: usize,
    end: usize,
    next: u32,
}

/// See the module.
pub(super) struct Crowd {
    pub(super) field: Arc<Field>,
    number: usize,
    pub(super) conns: Vec<Conn>,
    /// The crowd's, and the service's.
    dialects: [Box<dyn Dialect>; 2],
    /// Slot of the service; only the first ring has one.
    pub(super) staff: Option<u32>,
    arena: Vec<u8>,
    pieces: Vec<Piece>,
    speaking: Vec<u32>,
    ends: Vec<(u32, Close)>,
    words: Vec<Word>,
    talk: talk::Talk,
    /// Who has left for a while: when they are back.
    pub(super) back: VecDeque<(u64, u32)>,
    /// Answered heartbeats whose places in a closed loop are free.
    pub(super) idle_places: u32,
    pub(super) opening: u32,
    pub(super) open: u64,
    pub(super) tally: Tally,
    /// The time of this turn.
    pub(super) now: u64,
    /// What watchers are told from now on is news.
    pub(super) news: bool,
    clock: crate::clock::Clock,
}

impl Crowd {
    pub(super) fn new(field: Arc<Field>, number: usize) -> Self {
        let persons = usize::try_from(field.plan.mix.connections).unwrap_or(usize::MAX);
        let mine = persons.saturating_sub(number).div_ceil(field.rings);
        let needs_staff = number == 0 && field.plan.needs_staff();
        let staff = crate::dialect::Choice::Binary { keep_alive: true, heartbeat: std::time::Duration::ZERO };
        let conns = (0..mine + usize::from(needs_staff)).map(|_| Conn {
            due: 0,
            sequence: 0,
            generation: 0,
            head: NONE,
            tail: NONE,
            extra: None,
            waiting: 0,
            state: State::Free,
            step: 0,
            blocked: false,
            returns: false,
        });
        Self {
            number,
            conns: conns.collect(),
            dialects: [field.plan.dialect.make(), staff.make()],
            staff: needs_staff.then_some(mine as u32),
            arena: Vec::new(),
            pieces: Vec::new(),
            speaking: Vec::new(),
            ends: Vec::new(),
            words: Vec::new(),
            talk: talk::Talk::new(number),
            back: VecDeque::new(),
            idle_places: 0,
            opening: 0,
            open: 0,
            tally: Tally::default(),
            now: 0,
            news: false,
            clock: field.plan.clock,
            field,
        }
    }

    /// Persons of the crowd on this ring; the service is none of them.
    pub(super) fn persons(&self) -> u32 {
        (self.conns.len() - usize::from(self.staff.is_some())) as u32
    }

    /// The number of a person in the whole crowd.
    pub(super) fn person(&self, slot: u32) -> u64 {
        u64::from(slot) * self.field.rings as u64 + self.number as u64
    }

    pub(super) fn is_watcher(&self, slot: u32) -> bool {
        Some(slot) != self.staff && self.person(slot) < self.field.plan.mix.watch.watchers
    }

    pub(super) fn token(&self, slot: u32) -> Token {
        Token { slot, generation: self.conns[slot as usize].generation & GENERATION }
    }

    /// The connection's slot, unless the driver speaks of an earlier one in it.
    fn slot(&self, token: Token) -> Option<u32> {
        let conn = self.conns.get(token.slot as usize)?;
        (conn.state != State::Free && conn.generation & GENERATION == token.generation).then_some(token.slot)
    }

    /// Begins a connection that was due then, and says who it is.
    pub(super) fn connect(&mut self, driver: &mut dyn Driver, slot: u32, socket: OwnedFd, due: u64) {
        let person = self.person(slot);
        let is_staff = Some(slot) == self.staff;
        let conn = &mut self.conns[slot as usize];
        conn.generation = conn.generation.wrapping_add(1) & GENERATION;
        *conn = Conn {
            due,
            generation: conn.generation,
            // What a channel's last message was is not forgotten: none may come twice.
            sequence: conn.sequence,
            head: NONE,
            tail: NONE,
            extra: None,
            waiting: 0,
            state: State::Opening,
            step: 0,
            blocked: false,
            returns: false,
        };
        self.tally.count(Count::Connects, 1);
        if let Err(error) = driver.adopt(self.token(slot), socket) {
            self.conns[slot as usize].state = State::Free;
            self.tally.error(format!("connect: {error}"));
            return;
        }
        self.opening += 1;
        if !is_staff {
            self.moved(slot, due, true);
        }
        let tokens = &self.field.plan.tokens;
        let token = if is_staff { tokens.service("load-test") } else { tokens.user(person) };
        self.piece(slot, |dialect, out| dialect.hello(&token, out));
    }

    /// Notes that a user that may be watched has come or gone.
    fn moved(&mut self, slot: u32, due: u64, online: bool) {
        let person = self.person(slot);
        if let Some(place) = self.field.moves.get(person as usize).filter(|_| self.news) {
            place.store(due << 1 | u64::from(online), Ordering::Release);
            self.tally.count(Count::Changes, 1);
            self.tally.count(Count::ToldExpected, self.field.plan.mix.watchers_of(person));
        }
    }

    /// A heartbeat that was due then.
    pub(super) fn beat(&mut self, slot: u32, due: u64, answer: bool) {
        self.piece(slot, |dialect, out| dialect.say(&Ask::Beat { answer }, out));
        self.tally.count(Count::Beats, 1);
        if answer {
            let conn = &mut self.conns[slot as usize];
            if conn.waiting == 0 {
                conn.due = due;
            } else {
                conn.extra.get_or_insert_default().beats.push_back(due);
            }
            conn.waiting = conn.waiting.saturating_add(1);
        }
    }

    /// Whether a heartbeat is under way.
    pub(super) fn is_beating(&self, slot: u32) -> bool {
        self.conns[slot as usize].waiting > 0
    }

    /// A message to a user or a channel that was due then.
    pub(super) fn message(&mut self, slot: u32, due: u64, ask: &Ask<'_>) {
        self.piece(slot, |dialect, out| dialect.say(ask, out));
        self.conns[slot as usize].extra.get_or_insert_default().messages.push_back(due);
        self.tally.count(Count::Messages, 1);
    }

    /// A session logs out, and comes back after `away` nanoseconds.
    pub(super) fn leave(&mut self, slot: u32, due: u64, away: u64) {
        self.piece(slot, |dialect, out| dialect.say(&Ask::Leave, out));
        self.moved(slot, due, false);
        let conn = &mut self.conns[slot as usize];
        conn.state = State::Leaving;
        conn.returns = true;
        self.open -= 1;
        self.back.push_back((due + away, slot));
    }

    /// The connection is cut without a word.
    pub(super) fn cut(&mut self, slot: u32) {
        // The service is no session of the crowd, and was not counted when it came.
        let counted = u64::from(Some(slot) != self.staff);
        let conn = &mut self.conns[slot as usize];
        match conn.state {
            State::Free | State::Ending => return,
            State::Opening => self.opening -= 1,
            State::Open => self.open -= counted,
            State::Leaving => {}
        }
        conn.state = State::Ending;
        self.ends.push((slot, Close::Abort));
    }

    /// Gives up on a connection that does not come to stand.
    pub(super) fn give_up(&mut self, slot: u32) {
        self.tally.error("connect: no welcome in time");
        self.cut(slot);
    }

    fn dialect_of(&self, slot: u32) -> usize {
        usize::from(Some(slot) == self.staff)
    }

    /// Stages what one call into the dialect has to say.
    fn piece(&mut self, slot: u32, say: impl FnOnce(&mut dyn Dialect, &mut Vec<u8>)) {
        let start = self.arena.len();
        say(&mut *self.dialects[self.dialect_of(slot)], &mut self.arena);
        self.stage(slot, start);
    }

    /// Stages what lies in the arena from `start` on.
    fn stage(&mut self, slot: u32, start: usize) {
        if self.arena.len() == start {
            return;
        }
        let place = self.pieces.len() as u32;
        self.pieces.push(Piece { start, end: self.arena.len(), next: NONE });
        let conn = &mut self.conns[slot as usize];
        if conn.head == NONE {
            conn.head = place;
            self.speaking.push(slot);
        } else {
            self.pieces[conn.tail as usize].next = place;
        }
        conn.tail = place;
    }

    /// Gives the driver what this turn has to say, and which connections end.
    pub(super) fn flush(&mut self, driver: &mut dyn Driver) {
        let mut parts: Vec<&[u8]> = Vec::new();
        for slot in self.speaking.drain(..) {
            let conn = &mut self.conns[slot as usize];
            let mut place = std::mem::replace(&mut conn.head, NONE);
            parts.clear();
            while let Some(piece) = self.pieces.get(place as usize) {
                parts.push(&self.arena[piece.start..piece.end]);
                place = piece.next;
            }
            if conn.blocked {
                conn.extra.get_or_insert_default().rest.extend(parts.concat());
            } else if !matches!(conn.state, State::Free | State::Ending) {
                driver.send(Token { slot, generation: conn.generation }, &parts);
            }
        }
        self.pieces.clear();
        self.arena.clear();
        for (slot, how) in std::mem::take(&mut self.ends) {
            driver.close(self.token(slot), how);
        }
    }

    fn hear(&mut self, slot: u32, bytes: &[u8]) {
        let kind = self.dialect_of(slot);
        let conn = &mut self.conns[slot as usize];
        if matches!(conn.state, State::Free | State::Ending) {
            return;
        }
        let mut kept =
            conn.extra.as_mut().map(|extra| std::mem::take(&mut extra.partial)).unwrap_or_default();
        if !kept.is_empty() {
            kept.extend_from_slice(bytes);
        }
        let whole: &[u8] = if kept.is_empty() { bytes } else { &kept };
        let start = self.arena.len();
        let name = conn.extra.as_mut().map(|extra| std::mem::take(&mut extra.name)).unwrap_or_default();
        let (mut words, mut step) = (std::mem::take(&mut self.words), Step { at: conn.step, name });
        let heard = self.dialects[kind].hear(&mut step, whole, &mut self.arena, &mut |word| words.push(word));
        let conn = &mut self.conns[slot as usize];
        conn.step = step.at;
        if !step.name.is_empty() {
            conn.extra.get_or_insert_default().name = step.name;
        }
        self.stage(slot, start);
        for word in words.drain(..) {
            self.word(slot, word);
        }
        self.words = words;
        match heard {
            Ok(taken) if taken < whole.len() => {
                let left = whole[taken..].to_vec();
                self.conns[slot as usize].extra.get_or_insert_default().partial = left;
            }
            Ok(_) => self.slim(slot),
            Err(fault) => {
                self.tally.error(fault.0);
                self.cut(slot);
            }
        }
    }

    /// Frees what a quiet connection does not need.
    fn slim(&mut self, slot: u32) {
        let extra = &mut self.conns[slot as usize].extra;
        if extra.as_ref().is_some_and(|extra| extra.is_empty()) {
            *extra = None;
        }
    }

    fn word(&mut self, slot: u32, word: Word) {
        match word {
            Word::Welcome => self.welcome(slot),
            Word::Beat => self.answered(slot),
            Word::Pinged => self.pinged(slot),
            Word::Done => self.tally.count(Count::Settled, 1),
            Word::Taken => {
                self.tally.count(Count::Taken, 1);
                let extra = self.conns[slot as usize].extra.as_mut();
                if let Some(due) = extra.and_then(|extra| extra.messages.pop_front()) {
                    self.tally.note(Kind::Taken, self.now.saturating_sub(due));
                }
            }
            Word::Message(Some(stamp)) => self.delivered(slot, stamp),
            // Of somebody else, so nothing is known but that it came.
            Word::Message(None) => self.tally.count(Count::Deliveries, 1),
            Word::Other => {}
            Word::Presence { user, online } => self.told(user, online),
            word @ (Word::Said { .. }
            | Word::Kept { .. }
            | Word::Made { .. }
            | Word::Page { .. }
            | Word::Listed { .. }
            | Word::Denied { .. }) => self.talked(slot, word),
            Word::Refused(why) => self.tally.error(format!("refused: {why}")),
            Word::Closing(why) => {
                if self.conns[slot as usize].state != State::Leaving {
                    self.tally.error(format!("closed by the server: {why}"));
                }
            }
        }
    }

    fn welcome(&mut self, slot: u32) {
        let conn = &mut self.conns[slot as usize];
        if conn.state != State::Opening {
            return;
        }
        conn.state = State::Open;
        let due = std::mem::replace(&mut conn.due, self.now);
        self.opening -= 1;
        if Some(slot) == self.staff {
            return;
        }
        self.open += 1;
        self.tally.count(Count::Connected, 1);
        self.tally.note(Kind::Connect, self.now.saturating_sub(due));
        let (field, person) = (self.field.clone(), self.person(slot));
        let mix = &field.plan.mix;
        if person < mix.watch.watchers {
            let list: Vec<u64> = mix.watch_list(person).collect();
            self.piece(slot, |dialect, out| dialect.say(&Ask::Watch(&list), out));
        }
        if mix.messages.conversations > 0 {
            self.piece(slot, |dialect, out| dialect.say(&Ask::Follow, out));
        }
        if person < mix.channel.subscribers {
            let channel = person % mix.channel.channels;
            self.piece(slot, |dialect, out| dialect.say(&Ask::Subscribe(channel), out));
        }
    }

    fn answered(&mut self, slot: u32) {
        self.tally.count(Count::Answers, 1);
        let conn = &mut self.conns[slot as usize];
        if conn.waiting == 0 {
            return self.tally.error("an answer that nobody asked for");
        }
        conn.waiting -= 1;
        let due = conn.due;
        if conn.waiting > 0
            && let Some(next) = conn.extra.as_mut().and_then(|extra| extra.beats.pop_front())
        {
            conn.due = next;
        }
        self.idle_places += 1;
        self.tally.note(Kind::Beat, self.now.saturating_sub(due));
    }

    /// A heartbeat of the server's own, which the dialect has answered.
    fn pinged(&mut self, slot: u32) {
        self.conns[slot as usize].due = self.now;
        self.tally.count(Count::Beats, 1);
        self.tally.count(Count::Answers, 1);
    }

    /// Counts the sessions that a client would have given up, since the server's heartbeats stay away.
    pub(super) fn count_silent(&mut self) {
        let Some(patience) = self.patience() else { return };
        let since = self.now.saturating_sub(patience.as_nanos() as u64);
        let conns = &self.conns[..self.persons() as usize];
        let silent = conns.iter().filter(|conn| conn.state == State::Open && conn.due < since);
        self.tally.count(Count::Silent, silent.count() as u64);
    }

    /// See [`Dialect::patience`].
    pub(super) fn patience(&self) -> Option<std::time::Duration> {
        self.dialects[0].patience()
    }

    fn delivered(&mut self, slot: u32, stamp: Stamp) {
        self.tally.count(Count::Deliveries, 1);
        self.tally.note(Kind::Delivery, self.now.saturating_sub(stamp.due));
        if stamp.number & PUBLISHED == 0 {
            let bit = stamp.number as usize % RECEIVED;
            let place = &self.field.received[bit / 64];
            if place.fetch_or(1 << (bit % 64), Ordering::AcqRel) & 1 << (bit % 64) != 0 {
                self.tally.count(Count::Repeated, 1);
            }
            return;
        }
        let number = stamp.number & !PUBLISHED;
        let conn = &mut self.conns[slot as usize];
        // Counted from 1, so that nothing heard is 0.
        if (number as u32) < conn.sequence {
            self.tally.count(Count::Repeated, 1);
        }
        conn.sequence = number as u32 + 1;
        let channel = &self.field.plan.mix.channel;
        let wanted = self.field.plan.mix.subscribers_of(number / u64::from(channel.burst) % channel.channels);
        let arrived = self.field.arrivals[number as usize % ARRIVALS].fetch_add(1, Ordering::AcqRel) + 1;
        if u64::from(arrived) == wanted {
            // Not the turn's time: the last one counts to the moment it was read.
            self.tally.note(Kind::Last, self.clock.now().saturating_sub(stamp.due));
        }
    }

    fn told(&mut self, user: u64, online: bool) {
        if !self.news {
            return self.tally.count(Count::ToldFirst, 1);
        }
        self.tally.count(Count::Told, 1);
        let moved = self.field.moves.get(user as usize).map_or(0, |place| place.load(Ordering::Acquire));
        if moved == 0 || (moved & 1 == 1) != online {
            return self.tally.count(Count::ToldFalse, 1);
        }
        let kind = if online { Kind::ToldOnline } else { Kind::ToldOffline };
        self.tally.note(kind, self.now.saturating_sub(moved >> 1));
    }
}

impl Sink for Crowd {
    fn accepted(&mut self, _: Listener, socket: OwnedFd, _: SocketAddr) {
        drop(socket);
    }

    fn received(&mut self, token: Token, bytes: &mut [u8]) {
        // The time of a batch is the time it is looked at: what has waited in the kernel has waited.
        self.now = self.clock.now();
        if let Some(slot) = self.slot(token) {
            self.hear(slot, bytes);
        }
    }

    fn ended(&mut self, token: Token, ending: Ending) {
        let Some(slot) = self.slot(token) else { return };
        let how = match ending {
            Ending::HalfClosed => "closed by the server".to_owned(),
            Ending::Lost(errno) => std::io::Error::from_raw_os_error(errno).to_string(),
        };
        match self.conns[slot as usize].state {
            State::Opening => self.tally.error(format!("connect: {how}")),
            State::Open => {
                self.tally.count(Count::Lost, 1);
                self.tally.error(format!("lost: {how}"));
            }
            State::Free | State::Leaving | State::Ending => {}
        }
        self.cut(slot);
    }

    fn blocked(&mut self, token: Token) {
        if let Some(slot) = self.slot(token) {
            self.conns[slot as usize].blocked = true;
        }
    }

    fn drained(&mut self, token: Token) {
        let Some(slot) = self.slot(token) else { return };
        let conn = &mut self.conns[slot as usize];
        conn.blocked = false;
        if let Some(extra) = conn.extra.as_mut() {
            let start = self.arena.len();
            self.arena.append(&mut extra.rest);
            self.stage(slot, start);
        }
        self.slim(slot);
    }

    fn closed(&mut self, token: Token) {
        if let Some(slot) = self.slot(token) {
            let conn = &mut self.conns[slot as usize];
            conn.state = State::Free;
            conn.extra = None;
            let unanswered = std::mem::take(&mut conn.waiting);
            self.tally.count(Count::Unanswered, unanswered.into());
            self.tally.count(Count::Closed, 1);
        }
    }
}
