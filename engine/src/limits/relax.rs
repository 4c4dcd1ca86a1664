//! Memory that a rush has taken is given back when the rush is over.
//!
//! A queue or list that is filled and emptied over and over keeps its memory, so that a busy turn allocates nothing;
//! but not what only the busiest turn of its life needed. Whoever empties it calls [`Relax::relax`] at the end. What is
//! moved then is at most an eighth of what was allocated. Where a rush fills and empties the same list turn by turn, the
//! most that the latest turn used counts ([`Relax::relax_after`]): while the rush lasts nothing is given back.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

/// Bytes that a collection may keep although they are not used.
pub(crate) const KEEP: usize = 8 << 10;

/// Of so many parts of the capacity at least one must be used.
const SHARE: usize = 8;

/// What grows with a rush.
pub(crate) trait Relax {
    /// Entries in use.
    fn used(&self) -> usize;

    /// Gives memory back, if there is much of it and no more than so many entries are, or were lately, in use.
    fn relax_after(&mut self, used: usize);

    /// Bytes of its memory, used or not.
    fn bytes(&self) -> usize;

    /// Gives memory back, if there is much of it and little is in use.
    fn relax(&mut self) {
        self.relax_after(self.used());
    }

    /// The same for what is empty most of the time: then it keeps nothing.
    fn relax_wholly(&mut self)
    where
        Self: Default,
    {
        if self.used() == 0 {
            *self = Self::default();
        } else {
            self.relax();
        }
    }
}

/// The capacity to shrink to; `None` when it is well used, or small, or entries take no memory at all.
fn kept(len: usize, capacity: usize, entry: usize) -> Option<usize> {
    let least = KEEP.checked_div(entry)?;
    (capacity > least && len <= capacity / SHARE).then(|| least.max(len * 2)).filter(|&kept| kept < capacity)
}

impl<T> Relax for Vec<T> {
    fn bytes(&self) -> usize {
        self.capacity() * size_of::<T>()
    }

    fn used(&self) -> usize {
        self.len()
    }

    fn relax_after(&mut self, used: usize) {
        if let Some(kept) = kept(used.max(self.len()), self.capacity(), size_of::<T>()) {
            self.shrink_to(kept);
        }
    }
}

impl<T> Relax for VecDeque<T> {
    fn bytes(&self) -> usize {
        self.capacity() * size_of::<T>()
    }

    fn used(&self) -> usize {
        self.len()
    }

    fn relax_after(&mut self, used: usize) {
        if let Some(kept) = kept(used.max(self.len()), self.capacity(), size_of::<T>()) {
            self.shrink_to(kept);
        }
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> Relax for HashMap<K, V, S> {
    fn bytes(&self) -> usize {
        self.capacity() * size_of::<(K, V)>()
    }

    fn used(&self) -> usize {
        self.len()
    }

    fn relax_after(&mut self, used: usize) {
        if let Some(kept) = kept(used.max(self.len()), self.capacity(), size_of::<(K, V)>()) {
            self.shrink_to(kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rush_took_comes_back() {
        let mut list: Vec<u64> = (0..100_000).collect();
        let mut queue: VecDeque<u64> = (0..100_000).collect();
        for _ in 0..100_000 {
            list.pop();
            queue.pop_front();
            list.relax();
            queue.relax();
        }
        assert!(list.bytes() <= KEEP && queue.bytes() <= KEEP);
        queue.relax_wholly();
        assert_eq!(queue.bytes(), 0);
        let mut map: HashMap<u64, u64> = (0..100_000).map(|n| (n, n)).collect();
        map.retain(|&key, _| key < 100);
        map.relax();
        assert!(map.len() == 100 && map.bytes() <= 2 * KEEP);
    }

    #[test]
    fn what_is_used_or_small_is_left_alone() {
        assert_eq!(kept(0, KEEP / 8, 8), None, "small");
        assert_eq!(kept(10_001, 80_000, 8), None, "used");
        assert_eq!(kept(10_000, 80_000, 8), Some(20_000));
        assert_eq!(kept(0, 80_000, 8), Some(KEEP / 8));
        assert_eq!(kept(0, usize::MAX, 0), None, "entries of no size take no memory");
        assert_eq!(kept(0, 4, KEEP * 2), Some(0), "a single entry may be too much to keep");
    }

    #[test]
    fn what_stays_is_what_was_in() {
        let mut queue: VecDeque<u32> = (0..50_000).collect();
        queue.rotate_left(30_000);
        queue.drain(..49_000);
        let before: Vec<u32> = queue.iter().copied().collect();
        queue.relax();
        assert!(queue.capacity() < 50_000);
        assert!(queue.iter().copied().eq(before));
    }
}
