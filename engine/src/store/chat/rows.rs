//! Tables of rows in the order of their keys: the little that memory and the ledger have in common.

use super::Failure;
use super::bytes::Damage;
use crate::store::ledger::{Batch, Space};

/// Reads rows, from any thread.
pub trait Rows: Send + Sync {
    /// The value of a row, if it is there.
    ///
    /// # Errors
    /// When it cannot be read.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, Failure>;

    /// Hands rows with keys from the first of the range up to its second (not included) to `each`, in the order of
    /// the keys, or backwards if `reverse`: at most `limit`, and until it returns false. `each` must not read rows.
    ///
    /// # Errors
    /// When they cannot be read; some may have been handed over.
    fn scan(
        &self,
        space: Space,
        range: (&[u8], &[u8]),
        reverse: bool,
        limit: usize,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Failure>;
}

/// Commits rows. There is one for a table.
pub trait Commits: Send {
    /// Commits these batches, all or none; a reader sees all of a batch or nothing.
    ///
    /// # Errors
    /// See [`FailureKind`](super::FailureKind).
    fn commit(&mut self, batches: &[Batch]) -> Result<(), Failure>;

    /// After a failure: see [`Writes::recover`](super::Writes).
    ///
    /// # Errors
    /// When it still cannot.
    fn recover(&mut self) -> Result<(), Failure>;
}

/// [`Rows::scan`] for values that may make no sense: ends at the first that does not.
pub(super) fn scan(
    rows: &dyn Rows,
    space: Space,
    range: (&[u8], &[u8]),
    reverse: bool,
    limit: usize,
    mut each: impl FnMut(&[u8], &[u8]) -> Result<bool, Damage>,
) -> Result<(), Failure> {
    let mut damage = None;
    rows.scan(space, range, reverse, limit, &mut |key, value| {
        each(key, value).unwrap_or_else(|found| {
            damage = Some(found.of_row(space, key));
            false
        })
    })?;
    damage.map_or(Ok(()), Err)
}
