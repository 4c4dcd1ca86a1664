//! What is known of the conversations that were used lately: whether they are there, and what a write need not write.
//!
//! This process is the only one that writes, so what it knows is so. A bounded memory in two generations, as the
//! embedded store has it: forgetting costs a read, never a mistake. Readers put in what they have read only if no conversation was made or
//! ended meanwhile.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ahash::RandomState;

use crate::machine::store::{Horizon, Place};

/// Conversations of a generation.
const GENERATION: usize = 65_536;

/// A life, and what was forgotten of it.
pub(super) type There = (i64, Option<Horizon>);

/// What is known of a conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    /// The life that is there; `None`: there is none.
    pub(super) life: Option<i64>,
    /// What was forgotten of it.
    pub(super) horizon: Option<Horizon>,
    /// What an earlier process had begun is done.
    pub(super) touched: bool,
    /// The newest bucket of messages and the time at which it begins, if there is one; `None`: not looked up.
    pub(super) newest: Option<Option<(u64, u64)>>,
    /// The members (bit n: row n + 1) whose memberships are known to be written.
    filed: u64,
}

impl Known {
    /// Of a conversation that was made this moment.
    pub(super) fn made(life: i64) -> Self {
        Self { life: Some(life), horizon: None, touched: true, newest: Some(None), filed: 0 }
    }

    /// Of one that is not there.
    pub(super) fn gone() -> Self {
        Self { life: None, horizon: None, touched: true, newest: Some(None), filed: 0 }
    }

    /// Of one that was read.
    pub(super) fn read(there: Option<There>, touched: bool) -> Self {
        let (life, horizon) = there.unzip();
        Self { life, horizon: horizon.flatten(), touched, newest: None, filed: 0 }
    }

    /// What is there.
    pub(super) fn there(&self) -> Option<There> {
        self.life.map(|life| (life, self.horizon))
    }

    /// Notes that a member's membership is written, and says whether that was known.
    pub(super) fn file(&mut self, row: u32) -> bool {
        let bit = Self::bit(row);
        let known = self.filed & bit != 0;
        self.filed |= bit;
        known
    }

    /// Notes that it is written no more.
    pub(super) fn unfile(&mut self, row: u32) {
        self.filed &= !Self::bit(row);
    }

    /// Rows beyond the 64th have no bit.
    fn bit(row: u32) -> u64 {
        1_u64.checked_shl(row.wrapping_sub(1)).unwrap_or(0)
    }
}

type Map = HashMap<Place, Known, RandomState>;

/// The memory; used from all threads.
#[derive(Debug)]
pub(super) struct Lives(Mutex<Generations>);

#[derive(Debug)]
struct Generations {
    young: Map,
    old: Map,
    /// How often a conversation was made or ended.
    turns: u64,
}

impl Lives {
    pub(super) fn new(seed: u64) -> Self {
        let map = || Map::with_hasher(RandomState::with_seeds(seed, 1, 2, 3));
        Self(Mutex::new(Generations { young: map(), old: map(), turns: 0 }))
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, place: Place) -> Option<Known> {
        let mut lives = self.lock();
        if let Some(known) = lives.young.get(&place) {
            return Some(*known);
        }
        let known = lives.old.remove(&place)?;
        lives.insert(place, known);
        Some(known)
    }

    /// What the writer of the conversation knows now.
    pub(super) fn put(&self, place: Place, known: Known) {
        let mut lives = self.lock();
        let before = lives.young.get(&place).or_else(|| lives.old.get(&place)).map(Known::there);
        if before != Some(known.there()) {
            lives.turns += 1;
        }
        lives.old.remove(&place);
        lives.insert(place, known);
    }

    /// To be handed back to [`put_read`](Self::put_read) with what is read from now on.
    pub(super) fn turns(&self) -> u64 {
        self.lock().turns
    }

    /// What a reader has found, unless it may be outdated or more is known.
    pub(super) fn put_read(&self, place: Place, known: Known, turns: u64) {
        let mut lives = self.lock();
        if lives.turns == turns && !lives.young.contains_key(&place) && !lives.old.contains_key(&place) {
            lives.insert(place, known);
        }
    }

    /// What was read of it is not so any more.
    pub(super) fn forget(&self, place: Place) {
        let mut lives = self.lock();
        lives.young.remove(&place);
        lives.old.remove(&place);
        lives.turns += 1;
    }
}

impl Generations {
    fn insert(&mut self, place: Place, known: Known) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&place) {
            self.old.clear();
            std::mem::swap(&mut self.young, &mut self.old);
        }
        self.young.insert(place, known);
    }
}

#[cfg(test)]
mod tests {
    use schema::Realm;
    use schema::chat::ConversationId;

    use super::*;

    fn place(number: u128) -> Place {
        (Realm(0), ConversationId::from_number(number))
    }

    #[test]
    fn what_is_used_is_remembered_and_the_rest_is_bounded() {
        let lives = Lives::new(7);
        for number in 0..3 * GENERATION as u128 {
            lives.put(place(number), Known::made(1));
            assert!(lives.get(place(0)).is_some());
        }
        let inside = lives.lock();
        assert!(inside.young.len() <= GENERATION && inside.old.len() <= GENERATION);
        drop(inside);
        assert_eq!(lives.get(place(1)), None);
    }

    #[test]
    fn a_reader_that_was_overtaken_changes_nothing() {
        let lives = Lives::new(7);
        let turns = lives.turns();
        lives.put(place(1), Known::made(5));
        lives.put_read(place(1), Known::gone(), turns);
        lives.put_read(place(2), Known::gone(), turns);
        assert_eq!((lives.get(place(1)), lives.get(place(2))), (Some(Known::made(5)), None));
        lives.put_read(place(2), Known::gone(), lives.turns());
        assert_eq!(lives.get(place(2)), Some(Known::gone()));
    }

    #[test]
    fn the_memberships_of_the_first_64_are_remembered() {
        let mut known = Known::made(1);
        assert!(!known.file(64) && known.file(64) && !known.file(65) && !known.file(65));
        known.unfile(64);
        assert!(!known.file(64) && !known.file(0));
    }
}
