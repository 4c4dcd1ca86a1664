//! What the writer remembers of the conversations that were written to lately, so that a write reads nothing.
//!
//! A bounded memory in two generations: what is used moves to the young one, and when that is full the old one is
//! forgotten. Forgetting costs a read, never a mistake.

use std::collections::HashMap;

use ahash::RandomState;

use crate::machine::store::Place;

/// Conversations of a generation: as many as a table of 2^18 places takes, 8 MiB. Where as many as that are written to, each
/// by turns, a read for each would cost more than all else that the writer does.
const GENERATION: usize = 7 << 15;

/// What is known of a conversation, writes included that are staged and not committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    /// Whether it is there.
    pub(super) state: State,
    /// The epoch of what is, or was, there.
    pub(super) epoch: u8,
    /// The members (bit n: row n + 1) whose memberships are known to be written. Others may be: writing one again does
    /// no harm.
    filed: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// There is no row of it at all.
    Never,
    /// It is there.
    Here,
    /// It is gone, and what it left is not cleared away.
    Gone,
}

impl Known {
    pub(super) fn new(state: State, epoch: u8) -> Self {
        Self { state, epoch, filed: 0 }
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

#[derive(Debug, Default)]
pub(super) struct Places {
    young: HashMap<Place, Known, RandomState>,
    old: HashMap<Place, Known, RandomState>,
}

impl Places {
    pub(super) fn get(&self, place: Place) -> Option<Known> {
        self.young.get(&place).or_else(|| self.old.get(&place)).copied()
    }

    pub(super) fn put(&mut self, place: Place, known: Known) {
        if self.young.len() >= GENERATION && !self.young.contains_key(&place) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(place, known);
    }

    pub(super) fn forget(&mut self, place: Place) {
        self.young.remove(&place);
        self.old.remove(&place);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use schema::Realm;
    use schema::chat::ConversationId;

    use super::*;

    #[test]
    fn what_is_used_is_remembered_and_the_rest_is_bounded() {
        let place = |number| (Realm(0), ConversationId::from_number(number));
        let known = Known::new(State::Here, 3);
        let mut places = Places::default();
        for number in 0..3 * GENERATION as u128 {
            places.put(place(number), known);
            places.put(place(0), known);
            assert!(places.young.len() <= GENERATION && places.old.len() <= GENERATION);
        }
        assert_eq!(places.get(place(0)), Some(known));
        assert_eq!(places.get(place(1)), None);
        places.forget(place(0));
        assert_eq!(places.get(place(0)), None);
    }

    #[test]
    fn the_memberships_of_the_first_64_are_remembered() {
        let mut known = Known::new(State::Here, 0);
        for row in [1, 2, 64] {
            assert!(!known.file(row) && known.file(row), "{row}");
        }
        known.unfile(2);
        assert!(known.file(1) && !known.file(2));
        for row in [0, 65, 66, 129, u32::MAX] {
            assert!(!known.file(row) && !known.file(row), "{row}");
        }
    }
}
