//! A virtual store: slow, failing, and honest about what it has: what was written before a crash is there after it.
//!
//! A write takes effect when it is asked for or when it is answered, as luck has it; a failed one may have taken
//! effect all the same, at the latest with its answer. What is under way in a crash is done or not done.

use std::collections::BTreeMap;
use std::ops::Bound;

use engine::machine::store::SeenRow;
use engine::machine::{Router, StoreReply, StoreRequest};
use schema::{Key, LastSeen};

use crate::luck::{Concern, Luck};
use crate::profile::{Profile, StoreMood};

/// Users in one batch of the journal: few, so that there are several.
const JOURNAL_BATCH: usize = 3;

/// A user's row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// Last seen, wall milliseconds.
    pub last_seen: u64,
    /// In the online journal.
    pub online: bool,
}

#[derive(Debug)]
struct Pending {
    shard: u16,
    request: StoreRequest,
    /// What it answers, if that is known already.
    answer: Option<StoreReply>,
    fails: bool,
    /// Whether a failing write is done all the same.
    applies: bool,
}

/// The store of the node; it outlives crashes.
#[derive(Debug)]
pub struct Store {
    router: Router,
    mood: StoreMood,
    longest: u64,
    luck: Luck,
    rows: BTreeMap<Key, Row>,
    number: u64,
    pending: BTreeMap<(u64, u64), Pending>,
    changed: Vec<Key>,
}

fn number(request: &StoreRequest) -> u64 {
    match request {
        StoreRequest::PutSeen { request, .. }
        | StoreRequest::GetSeen { request, .. }
        | StoreRequest::Journal { request, .. }
        | StoreRequest::Forget { request, .. } => *request,
    }
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new(seed: u64, profile: &Profile, router: Router) -> Self {
        Self {
            router,
            mood: profile.store,
            longest: profile.store_time(),
            luck: Luck::new(seed, Concern::Store),
            rows: BTreeMap::new(),
            number: 0,
            pending: BTreeMap::new(),
            changed: Vec::new(),
        }
    }

    /// From now on it answers quickly and well, or as the profile says.
    pub fn set_mood(&mut self, mood: StoreMood, longest: u64) {
        (self.mood, self.longest) = (mood, longest);
    }

    /// All rows.
    #[must_use]
    pub fn rows(&self) -> &BTreeMap<Key, Row> {
        &self.rows
    }

    /// Users whose rows have been written since this was asked last.
    pub fn take_changed(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.changed)
    }

    /// Takes a request of a shard.
    pub fn ask(&mut self, now: u64, shard: u16, request: StoreRequest) {
        let fails = self.mood == StoreMood::Failing && self.luck.chance(400);
        let (early, applies) = (self.luck.chance(500), self.luck.chance(500));
        let at = now + self.luck.between(0, self.longest);
        let mut pending = Pending { shard, request, answer: None, fails, applies };
        if early {
            self.carry_out(&mut pending);
        }
        self.number += 1;
        self.pending.insert((at, self.number), pending);
    }

    /// When it answers next, and whom.
    #[must_use]
    pub fn next(&self) -> Option<(u64, u16)> {
        self.pending.first_key_value().map(|((at, _), pending)| (*at, pending.shard))
    }

    /// The next answer.
    pub fn answer(&mut self) -> Option<(u16, StoreReply)> {
        let (_, mut pending) = self.pending.pop_first()?;
        self.carry_out(&mut pending);
        Some((pending.shard, pending.answer?))
    }

    /// A shard that gets no turn hears later.
    pub fn hold(&mut self, shard: u16, until: u64) {
        let keys: Vec<_> = self
            .pending
            .range(..(until, 0))
            .filter(|(_, pending)| pending.shard == shard)
            .map(|(key, _)| *key)
            .collect();
        for key in keys {
            if let Some(pending) = self.pending.remove(&key) {
                self.number += 1;
                self.pending.insert((until, self.number), pending);
            }
        }
    }

    /// The node is gone; what was under way is done or not done.
    pub fn crash(&mut self) {
        while let Some((_, mut pending)) = self.pending.pop_first() {
            if self.luck.chance(500) {
                self.carry_out(&mut pending);
            }
        }
    }

    fn carry_out(&mut self, pending: &mut Pending) {
        if pending.answer.is_some() {
            return;
        }
        let request = number(&pending.request);
        if let StoreRequest::PutSeen { rows, .. } = &pending.request
            && (!pending.fails || pending.applies)
        {
            rows.iter().for_each(|row| self.put(row));
        }
        let mut found = false;
        if let StoreRequest::Forget { user, .. } = &pending.request
            && (!pending.fails || pending.applies)
        {
            found = self.rows.remove(user).is_some();
        }
        let answer = if pending.fails {
            StoreReply::Failed { request, error: "the virtual disk is full".to_owned() }
        } else {
            match &pending.request {
                StoreRequest::Forget { .. } => StoreReply::Forgotten { request, found },
                request => self.read(pending.shard, request),
            }
        };
        pending.answer = Some(answer);
    }

    fn put(&mut self, SeenRow { user, last_seen, online }: &SeenRow) {
        let row = self.rows.entry(user.clone()).or_default();
        *row = Row { last_seen: row.last_seen.max(*last_seen), online: *online };
        self.changed.push(user.clone());
    }

    fn read(&self, shard: u16, request: &StoreRequest) -> StoreReply {
        match request {
            StoreRequest::PutSeen { request, .. } | StoreRequest::Forget { request, .. } => {
                StoreReply::Put { request: *request }
            }
            StoreRequest::GetSeen { request, users } => {
                let seen =
                    |user| self.rows.get(user).map_or(LastSeen::Never, |row| LastSeen::At(row.last_seen));
                StoreReply::Seen { request: *request, last_seen: users.iter().map(seen).collect() }
            }
            StoreRequest::Journal { request, after } => {
                let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
                let mut listed = self
                    .rows
                    .range::<Key, _>((from, Bound::Unbounded))
                    .filter(|(user, row)| row.online && self.router.home(user).0 == shard);
                let users = listed
                    .by_ref()
                    .take(JOURNAL_BATCH)
                    .map(|(user, row)| (user.clone(), row.last_seen))
                    .collect();
                StoreReply::Journal { request: *request, users, more: listed.next().is_some() }
            }
        }
    }
}
