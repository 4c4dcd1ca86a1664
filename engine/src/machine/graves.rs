//! What is over and must stay over, although a message sent earlier may arrive later.
//!
//! Messages between shards may be late, twice, or in another order. While a thing is in the tables its revision
//! tells old from new; when it has gone, a grave tells it for [`KEEP`] milliseconds, and for at most [`GRAVES`]
//! things at a time (the oldest is forgotten first). A message that is later than that is taken for news. Things of
//! the shard itself need no grave: what a shard says to itself is never late.

use std::collections::VecDeque;

use ahash::RandomState;
use schema::{Key, SessionAddr, ShardId};

use crate::limits::relax::Relax;

/// How long a grave is kept.
pub(super) const KEEP: u64 = 60_000;
/// How many are kept: two thousand ends a second from other shards.
pub(super) const GRAVES: usize = 1 << 17;

/// What is over.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Grave {
    /// A session at its user's home. Its revision does not matter: it never comes back.
    Session(SessionAddr),
    /// A shard's interest in a user.
    Interest(ShardId, Key),
    /// A shard's subscribers of a channel.
    Subscribers(ShardId, Key),
}

/// The graves of one machine.
pub(super) struct Graves {
    // A `HashMap` would move all its rows at once when it grows.
    parts: Box<[std::collections::HashMap<Grave, u64, RandomState>]>,
    order: VecDeque<(u64, u64, Grave)>,
    hasher: RandomState,
}

const PARTS: usize = 64;

impl Graves {
    pub(super) fn new(hasher: RandomState) -> Self {
        let part = |_| std::collections::HashMap::with_hasher(hasher.clone());
        Self { parts: (0..PARTS).map(part).collect(), order: VecDeque::new(), hasher }
    }

    fn part(&self, grave: &Grave) -> usize {
        (self.hasher.hash_one(grave) >> 40) as usize % PARTS
    }

    /// Notes that something is over since this revision.
    pub(super) fn bury(&mut self, now: u64, grave: Grave, revision: u64) {
        let part = self.part(&grave);
        self.parts[part].insert(grave.clone(), revision);
        self.order.push_back((now + KEEP, revision, grave));
        if self.order.len() > GRAVES {
            self.forget_oldest();
        }
    }

    /// True when something of this revision is over already.
    pub(super) fn is_over(&self, grave: &Grave, revision: u64) -> bool {
        self.parts[self.part(grave)].get(grave).is_some_and(|&over| over >= revision)
    }

    /// Forgets what is old.
    pub(super) fn advance(&mut self, now: u64, mut budget: usize) {
        while budget > 0 && self.order.front().is_some_and(|row| row.0 <= now) {
            self.forget_oldest();
            budget -= 1;
        }
    }

    /// When `advance` has something to do.
    pub(super) fn next(&self) -> Option<u64> {
        self.order.front().map(|row| row.0)
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// Bytes of their memory.
    pub(super) fn bytes(&self) -> usize {
        self.order.bytes() + self.parts.iter().map(Relax::bytes).sum::<usize>()
    }

    fn forget_oldest(&mut self) {
        if let Some((_, revision, grave)) = self.order.pop_front() {
            let part = self.part(&grave);
            // A later burial of the same thing has its own row further back.
            if self.parts[part].get(&grave) == Some(&revision) {
                self.parts[part].remove(&grave);
                // There are many parts, and most of the time all are empty.
                if self.parts[part].is_empty() {
                    self.parts[part].shrink_to_fit();
                } else {
                    self.parts[part].relax();
                }
            }
        }
        self.order.relax_wholly();
    }
}

#[cfg(test)]
mod tests {
    use schema::SessionRef;

    use super::*;

    fn grave(slot: u32) -> Grave {
        let session = SessionRef { slot, generation: 1 };
        Grave::Session(SessionAddr { incarnation: 1, shard: ShardId(1), session })
    }

    #[test]
    fn over_until_forgotten() {
        let mut graves = Graves::new(RandomState::with_seeds(1, 2, 3, 4));
        graves.bury(0, grave(1), 5);
        graves.bury(10, grave(1), 7);
        assert!(graves.is_over(&grave(1), 7));
        assert!(!graves.is_over(&grave(1), 8));
        assert!(!graves.is_over(&grave(2), 1));
        graves.advance(KEEP, 100);
        assert!(graves.is_over(&grave(1), 7), "the second burial is younger");
        graves.advance(KEEP + 10, 100);
        assert!(!graves.is_over(&grave(1), 7));
        assert_eq!((graves.len(), graves.next()), (0, None));
    }

    #[test]
    fn the_number_is_bounded() {
        let mut graves = Graves::new(RandomState::with_seeds(1, 2, 3, 4));
        for slot in 0..GRAVES as u32 + 10 {
            graves.bury(0, grave(slot), 1);
        }
        assert_eq!(graves.len(), GRAVES);
        assert!(!graves.is_over(&grave(9), 1));
        assert!(graves.is_over(&grave(10), 1));
    }
}
