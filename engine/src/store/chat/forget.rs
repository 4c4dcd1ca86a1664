//! Forgets which messages client ids stand for, once nobody may ask any more: rows by the thousand, a bounded part at a
//! time.
//!
//! Nothing tells which of these rows is the oldest: a row for each message that said so would double what the index has to
//! do. So they are gone through in rounds, in the order of their keys, and a round is begun some times in the window that
//! they are kept for: each row is looked at a handful of times in its life, some of it while nothing else is done. How
//! far a round has come is kept here and not on the disk; after a restart it is begun again.

use super::values;
use super::{Failure, RowWriter};
use crate::store::ledger::{Batch, Space};

/// Rows that are looked at in one part.
const PART: usize = 1_000;

/// How far a round has come: the first key that is still to be looked at; empty: from the start.
#[derive(Debug, Default)]
pub(super) struct Forgetter {
    from: Vec<u8>,
}

impl RowWriter {
    /// Does one part of a round, and says whether there is more of it.
    pub(super) fn forget_some(&mut self, before: u64) -> Result<bool, Failure> {
        let mut batch = Batch::new();
        let (mut last, mut seen, mut old) = (Vec::new(), 0, 0);
        // No key is as long as this one.
        let end = [0xff; crate::store::ledger::KEY_MAX];
        self.rows.scan(Space::Sends, (&self.forgetter.from, &end), false, PART, &mut |key, value| {
            // What cannot be read is left for whoever wants to know why.
            if values::read_number(value).is_ok_and(|at| at < before) {
                batch.delete(Space::Sends, key);
                old += 1;
            }
            seen += 1;
            last.clear();
            last.extend_from_slice(key);
            true
        })?;
        if old > 0 {
            self.log.commit(&[batch])?;
        }
        if seen < PART {
            self.forgetter.from.clear();
            return Ok(false);
        }
        // The next key there can be.
        last.push(0);
        self.forgetter.from = last;
        Ok(true)
    }
}
