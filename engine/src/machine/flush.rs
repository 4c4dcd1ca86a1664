//! The store's side of the machine: rows of last seen and the online journal go out, last seen comes in.
//!
//! A row is dirty once, however often it changes, and is written as it is when its turn comes. It is under way at
//! most once, so an older one can never overwrite a newer one; what fails is dirty again.

use std::collections::{BTreeMap, VecDeque};

use schema::{Key, LastSeen, Refusal, Status};

use super::store::{SeenRow, StoreReply, StoreRequest};
use super::user::{Presence, Reading, Row, Seen};
use super::{Machine, Output};
use crate::limits::STORE_BATCH;
use crate::limits::relax::Relax;

/// First pause after a failure, and the longest; it doubles in between.
const BACK_OFF: (u64, u64) = (100, 5_000);

/// Last seens that queries may wait for; what is asked beyond is answered as unknown.
const READS: usize = 64 * STORE_BATCH;

/// How long watchers wait for a last seen before they are told without it.
const PATIENCE: u64 = 100;

/// Who waits for a last seen.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reader {
    /// A row of a query.
    Query { ask: u64, at: u32 },
    /// A user who is watched.
    User { slot: u32, number: u64 },
}

/// A request under way.
#[derive(Debug)]
enum Request {
    /// Rows of these users.
    Put(Vec<u32>),
    /// Last seen, for these readers.
    Get(Vec<(Key, Reader)>),
    /// Users who were online at the end of the last run.
    Journal,
    /// A user is to be forgotten, for who has this ticket.
    Forget(u64),
}

/// How far the online journal has been read.
#[derive(Debug)]
enum Journal {
    /// The next batch is to be asked for at this time.
    Next { after: Option<Key>, at: u64 },
    /// A batch is under way.
    Asked { after: Option<Key> },
    /// All of it is read.
    Read,
}

/// What is between the machine and the store.
pub(super) struct StoreWork {
    last_request: u64,
    under_way: BTreeMap<u64, Request>,
    dirty: VecDeque<u32>,
    flush_at: Option<u64>,
    reads: VecDeque<(Key, Reader)>,
    last_reading: u64,
    journal: Journal,
    /// Nothing is asked before this time: the store has failed.
    not_before: u64,
    back_off: u64,
}

impl StoreWork {
    pub(super) fn new(now: u64) -> Self {
        Self {
            last_request: 0,
            under_way: BTreeMap::new(),
            dirty: VecDeque::new(),
            flush_at: None,
            reads: VecDeque::new(),
            last_reading: 0,
            journal: Journal::Next { after: None, at: now },
            not_before: now,
            back_off: BACK_OFF.0,
        }
    }

    pub(super) fn journal_is_read(&self) -> bool {
        matches!(self.journal, Journal::Read)
    }

    /// Rows that the store does not have yet.
    pub(super) fn unwritten(&self) -> usize {
        let puts = self.under_way.values().map(|request| match request {
            Request::Put(rows) => rows.len(),
            Request::Get(_) | Request::Journal | Request::Forget(_) => 0,
        });
        self.dirty.len() + puts.sum::<usize>()
    }

    /// Bytes of its queues' memory.
    pub(super) fn bytes(&self) -> usize {
        self.dirty.bytes() + self.reads.bytes()
    }

    /// Last seens waited for.
    pub(super) fn reading(&self) -> usize {
        self.reads.len()
    }

    /// Requests under way.
    pub(super) fn requests(&self) -> usize {
        self.under_way.len()
    }

    fn ask(&mut self, request: Request) -> u64 {
        self.last_request += 1;
        self.under_way.insert(self.last_request, request);
        self.last_request
    }

    /// The same request again after a pause.
    fn failed(&mut self, now: u64) {
        self.not_before = now + self.back_off;
        self.back_off = (self.back_off * 2).min(BACK_OFF.1);
    }
}

impl Machine {
    /// A user's row has changed.
    pub(super) fn dirty_row(&mut self, slot: u32) {
        let Some(user) = self.users.get_mut(slot) else { return };
        match user.row {
            Row::Clean => {
                user.row = Row::Dirty;
                self.store.dirty.push_back(slot);
                let at = self.now.mono + u64::from(self.limits.flush_interval);
                self.store.flush_at.get_or_insert(at);
            }
            Row::Written => user.row = Row::WrittenDirty,
            Row::Dirty | Row::WrittenDirty => {}
        }
    }

    /// Asks to forget a user. False: too much is under way, or the store fails.
    pub(super) fn forget_seen(&mut self, user: Key, ticket: u64) -> bool {
        let most = self.limits.store_requests.max(1) as usize;
        if self.store.under_way.len() >= most || self.now.mono < self.store.not_before {
            return false;
        }
        let request = self.store.ask(Request::Forget(ticket));
        self.output(Output::Store(StoreRequest::Forget { request, user }));
        true
    }

    /// What is to be written is written at once.
    pub(super) fn flush_now(&mut self) {
        let now = self.now.mono;
        if let Some(at) = &mut self.store.flush_at {
            *at = now;
        }
    }

    /// Asks for the last seen of a user who is watched and not known.
    pub(super) fn read_seen(&mut self, slot: u32) {
        let until = self.now.mono + PATIENCE;
        let Some(user) = self.users.get_mut(slot) else { return };
        let extra = user.extra.get_or_insert_default();
        if user.presence == Presence::Offline && user.seen == Seen::UNKNOWN && extra.reading.is_none() {
            self.store.last_reading += 1;
            let number = self.store.last_reading;
            extra.reading = Some(Reading::Patient(until));
            extra.read_number = number;
            let key = Key::new(user.realm, user.id.clone());
            self.store.reads.push_back((key, Reader::User { slot, number }));
            self.arm_user(slot);
        }
    }

    /// Asks for the last seen of a row of a query. False: too many wait already.
    pub(super) fn read_for_query(&mut self, key: Key, ask: u64, at: u32) -> bool {
        let room = self.store.reads.len() < READS;
        if room {
            self.store.reads.push_back((key, Reader::Query { ask, at }));
        }
        room
    }

    /// Sends what is due.
    pub(super) fn advance_store(&mut self) {
        let now = self.now.mono;
        if now < self.store.not_before {
            return;
        }
        let most = self.limits.store_requests.max(1) as usize;
        if let Journal::Next { after, at } = &self.store.journal
            && *at <= now
            && self.store.under_way.len() < most
        {
            let after = after.clone();
            self.store.journal = Journal::Asked { after: after.clone() };
            let request = self.store.ask(Request::Journal);
            self.output(Output::Store(StoreRequest::Journal { request, after }));
        }
        // One request stays free for writes. Before the journal is read, nobody's absence is certain.
        while self.readable(most) {
            let count = self.store.reads.len().min(STORE_BATCH);
            let readers: Vec<(Key, Reader)> = self.store.reads.drain(..count).collect();
            let users = readers.iter().map(|(key, _)| key.clone()).collect();
            let request = self.store.ask(Request::Get(readers));
            self.output(Output::Store(StoreRequest::GetSeen { request, users }));
        }
        self.store.reads.relax_wholly();
        // One batch a turn; the next turn goes on.
        if self.writable(most) {
            self.write_batch();
        }
    }

    fn readable(&self, most: usize) -> bool {
        let under_way = self.store.under_way.len();
        !self.store.reads.is_empty()
            && self.store.journal_is_read()
            && (under_way + 1 < most || under_way == 0)
    }

    /// Before the journal is read nothing is written, so that it tells of the last run only.
    fn writable(&self, most: usize) -> bool {
        let flush_at = self.store.flush_at.filter(|_| self.store.journal_is_read());
        let due = self.drain.is_on() || flush_at.is_some_and(|at| at <= self.now.mono);
        due && !self.store.dirty.is_empty() && self.store.under_way.len() < most
    }

    fn write_batch(&mut self) {
        let count = self.store.dirty.len().min(STORE_BATCH);
        let slots: Vec<u32> = self.store.dirty.drain(..count).collect();
        let mut rows = Vec::with_capacity(count);
        for &slot in &slots {
            if let Some(user) = self.users.get_mut(slot) {
                user.row = Row::Written;
                let user_key = Key::new(user.realm, user.id.clone());
                let (last_seen, online) = (user.seen.ms(), user.presence.is_online());
                rows.push(SeenRow { user: user_key, last_seen, online });
            }
        }
        if self.store.dirty.is_empty() {
            self.store.flush_at = None;
        }
        self.store.dirty.relax_wholly();
        let request = self.store.ask(Request::Put(slots));
        self.output(Output::Store(StoreRequest::PutSeen { request, rows }));
    }

    /// When there is something to send; `None` while all requests are under way.
    pub(super) fn store_wake(&self) -> Option<u64> {
        let most = self.limits.store_requests.max(1) as usize;
        if self.store.under_way.len() >= most {
            return None;
        }
        let journal = match &self.store.journal {
            Journal::Next { at, .. } => Some(*at),
            Journal::Asked { .. } | Journal::Read => None,
        };
        let reads = self.readable(most).then_some(self.now.mono);
        let writes = self.drain.is_on() || self.store.journal_is_read();
        let flush = self.store.flush_at.filter(|_| writes);
        let flush = flush.map(|at| if self.drain.is_on() { self.now.mono } else { at });
        let first = [journal, reads, flush].into_iter().flatten().min()?;
        Some(first.max(self.store.not_before))
    }

    /// The store answers.
    pub(super) fn stored(&mut self, reply: StoreReply) {
        let (StoreReply::Put { request }
        | StoreReply::Seen { request, .. }
        | StoreReply::Journal { request, .. }
        | StoreReply::Forgotten { request, .. }
        | StoreReply::Failed { request, .. }) = &reply;
        let Some(asked) = self.store.under_way.remove(request) else { return };
        match (reply, asked) {
            (StoreReply::Put { .. }, Request::Put(slots)) => {
                self.store.back_off = BACK_OFF.0;
                self.counters.rows_written += slots.len() as u64;
                for slot in slots {
                    self.written(slot);
                }
            }
            (StoreReply::Seen { last_seen, .. }, Request::Get(readers)) => {
                self.store.back_off = BACK_OFF.0;
                self.counters.rows_read += last_seen.len() as u64;
                let last_seen = last_seen.into_iter().chain(std::iter::repeat(LastSeen::Unknown));
                for ((key, reader), last_seen) in readers.into_iter().zip(last_seen) {
                    self.read(&key, reader, last_seen);
                }
            }
            // A node on its way out writes before the journal is read; what it reads now may be its own. Whom it has not
            // restored stays in the journal for the next run.
            (StoreReply::Journal { .. }, Request::Journal) if self.drain.is_on() => {}
            (StoreReply::Journal { users, more, .. }, Request::Journal) => {
                self.store.back_off = BACK_OFF.0;
                let after = users.last().map(|(key, _)| key.clone());
                for (key, last_seen) in &users {
                    self.restored(key, *last_seen);
                }
                self.store.journal = match after {
                    Some(after) if more => Journal::Next { after: Some(after), at: self.now.mono },
                    _ => Journal::Read,
                };
            }
            (StoreReply::Forgotten { found, .. }, Request::Forget(ticket)) => {
                self.store.back_off = BACK_OFF.0;
                self.erased_seen(ticket, Ok(found));
            }
            // A failure, or an answer to another question: neither is taken for an answer.
            (_, asked) => self.store_failed(asked),
        }
    }

    fn store_failed(&mut self, asked: Request) {
        self.counters.store_failures += 1;
        self.store.failed(self.now.mono);
        match asked {
            Request::Put(slots) => {
                for slot in slots {
                    if let Some(user) = self.users.get_mut(slot) {
                        user.row = Row::Dirty;
                        self.store.dirty.push_back(slot);
                    }
                }
                self.store.flush_at.get_or_insert(self.now.mono);
            }
            Request::Get(readers) => {
                for (key, reader) in readers {
                    match reader {
                        Reader::Query { ask, at } => self.query_row(ask, at, None),
                        Reader::User { .. } => self.store.reads.push_back((key, reader)),
                    }
                }
            }
            Request::Forget(ticket) => self.erased_seen(ticket, Err(Refusal::Unavailable)),
            Request::Journal => {
                if let Journal::Asked { after } = &self.store.journal {
                    self.store.journal = Journal::Next { after: after.clone(), at: self.store.not_before };
                }
            }
        }
    }

    fn written(&mut self, slot: u32) {
        let Some(user) = self.users.get_mut(slot) else { return };
        let changed = user.row == Row::WrittenDirty;
        user.row = Row::Clean;
        if changed {
            self.dirty_row(slot);
        } else {
            self.release(slot);
        }
    }

    fn read(&mut self, key: &Key, reader: Reader, last_seen: LastSeen) {
        match reader {
            Reader::Query { ask, at } => {
                // Meanwhile the user may have come.
                let stored = (last_seen != LastSeen::Unknown).then_some((Status::Offline, last_seen));
                let row = self.known(key.realm, &key.id).or(stored);
                self.query_row(ask, at, row);
            }
            Reader::User { slot, number } => {
                let Some(user) = self.users.get_mut(slot) else { return };
                if user.realm != key.realm || user.id != key.id {
                    return;
                }
                match &mut user.extra {
                    Some(extra) if extra.reading.is_some() && extra.read_number == number => {
                        extra.reading = None
                    }
                    // The record that asked was released, and this one is another, which asks for itself.
                    _ => return,
                }
                if user.presence == Presence::Offline {
                    user.seen = user.seen.max(Seen::of(last_seen));
                    self.notify(slot);
                }
                self.release(slot);
            }
        }
    }
}
