//! Rows in memory: what is committed and not yet in the index, in the order of the keys.
//!
//! A B-tree under a lock that is held for some dozens of rows at a time, and never while anything waits for the disk:
//! a reader or the writer waits for microseconds.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use lsm_tree::Slice;

use super::batch::{Row, Space};

/// What a row costs beside its key and value: two handles of 24 bytes in a node of a B-tree that is three quarters full,
/// and for either a block of the allocator with its count and its rounding.
const ROW_COST: usize = 120;

/// A row's key, and its value if it is not deleted.
pub(super) type Entry = (Slice, Option<Slice>);

/// A table of rows.
#[derive(Debug, Default)]
pub(super) struct Rows(RwLock<Spaces>);

#[derive(Debug, Default)]
struct Spaces {
    maps: [BTreeMap<Slice, Option<Slice>>; Space::ALL.len()],
    bytes: usize,
}

impl Rows {
    /// Puts rows in, all of them before any reader sees one.
    pub(super) fn put<'a>(&self, rows: impl Iterator<Item = &'a Row>) {
        // A panic with the lock held would have left the map whole: nothing in here calls foreign code.
        let mut spaces = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            let size = row.value.as_ref().map_or(0, |value| value.len());
            match spaces.maps[row.space.index()].insert(row.key.clone(), row.value.clone()) {
                Some(old) => {
                    let gone = old.map_or(0, |value| value.len());
                    spaces.bytes = (spaces.bytes + size).saturating_sub(gone);
                }
                None => spaces.bytes += row.key.len() + size + ROW_COST,
            }
        }
    }

    /// Bytes of memory, roughly.
    pub(super) fn bytes(&self) -> usize {
        self.spaces().bytes
    }

    /// What is known of this row here: nothing, or that it is deleted, or its value.
    pub(super) fn get(&self, space: Space, key: &[u8]) -> Option<Option<Slice>> {
        self.spaces().maps[space.index()].get(key).cloned()
    }

    /// Appends at most `most` rows between these bounds, the last ones first if `reverse`.
    pub(super) fn page(
        &self,
        space: Space,
        (lower, upper): (Bound<&[u8]>, Bound<&[u8]>),
        reverse: bool,
        most: usize,
        into: &mut Vec<Entry>,
    ) {
        let spaces = self.spaces();
        let range = spaces.maps[space.index()].range::<[u8], _>((lower, upper));
        let own = |(key, value): (&Slice, &Option<Slice>)| (key.clone(), value.clone());
        if reverse {
            into.extend(range.rev().take(most).map(own));
        } else {
            into.extend(range.take(most).map(own));
        }
    }

    /// Hands every row of a space to `each`, in order, for as long as that succeeds. For tables that are frozen: the
    /// lock is held all the while.
    pub(super) fn each<E>(
        &self,
        space: Space,
        mut each: impl FnMut(&Slice, &Option<Slice>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.spaces().maps[space.index()].iter().try_for_each(|(key, value)| each(key, value))
    }

    /// How many there are, in all spaces.
    pub(super) fn len(&self) -> usize {
        self.spaces().maps.iter().map(BTreeMap::len).sum()
    }

    /// Whether a space has none.
    pub(super) fn is_empty(&self, space: Space) -> bool {
        self.spaces().maps[space.index()].is_empty()
    }

    fn spaces(&self) -> RwLockReadGuard<'_, Spaces> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}
