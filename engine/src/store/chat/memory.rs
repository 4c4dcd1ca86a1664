//! Rows in memory: everything is forgotten at the end, and until then it behaves as the ledger does.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Commits, Failure, Rows};
use crate::store::ledger::{Batch, Space};

type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// A table of rows that all its copies share.
#[derive(Clone, Debug, Default)]
pub struct MemoryRows(Arc<RwLock<[Map; Space::ALL.len()]>>);

impl Rows for MemoryRows {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        let maps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Ok(maps[space as usize].get(key).cloned())
    }

    fn scan(
        &self,
        space: Space,
        (lower, upper): (&[u8], &[u8]),
        reverse: bool,
        limit: usize,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Failure> {
        if lower >= upper {
            return Ok(());
        }
        let maps = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let bounds = (Bound::Included(lower), Bound::Excluded(upper));
        let range = maps[space as usize].range::<[u8], _>(bounds);
        let mut each = |(key, value): (&Vec<u8>, &Vec<u8>)| each(key, value);
        // `all` ends where `each` wants no more.
        if reverse {
            range.rev().take(limit).all(&mut each);
        } else {
            range.take(limit).all(&mut each);
        }
        Ok(())
    }
}

impl Commits for MemoryRows {
    fn commit(&mut self, batches: &[Batch]) -> Result<(), Failure> {
        for batch in batches {
            let mut maps = self.0.write().unwrap_or_else(PoisonError::into_inner);
            for (space, key, value) in batch.rows() {
                let map = &mut maps[space as usize];
                match value {
                    Some(value) => _ = map.insert(key.to_vec(), value.to_vec()),
                    None => _ = map.remove(key),
                }
            }
        }
        Ok(())
    }

    fn recover(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}
