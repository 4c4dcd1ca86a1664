//! Reading: everything that is committed, wherever it is, and nothing else.

use std::fmt;
use std::sync::Arc;

use lsm_tree::Slice;

use super::merge::{Memory, Merged, Source};
use super::shared::Shared;
use super::{Failure, Kind, Space};

/// Reads the ledger from any thread. It never waits for the log; it may wait for the index to read from its files.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.shared.folder.path).finish_non_exhaustive()
    }
}

/// How an index stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Sorted runs that are not merged yet.
    pub runs: usize,
    /// Files.
    pub files: usize,
    /// Bytes of them.
    pub bytes: u64,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The value of a row, if it is there.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn get(&self, space: Space, key: &[u8]) -> Result<Option<Value>, Failure> {
        let view = self.shared.view();
        let tables = std::iter::once(&view.active).chain(view.frozen.iter().rev().map(|table| &table.rows));
        for table in tables {
            if let Some(known) = table.get(space, key) {
                return Ok(known.map(Value));
            }
        }
        // A table leaves the view only when the index has it, so what was in none of them is in the index or nowhere.
        let found = self.shared.index.get(space, key).map_err(|error| Failure::new(Kind::Broken, error))?;
        Ok(found.map(Value))
    }

    /// Hands rows with keys from `lower` up to `upper` (not included) to `each`, in the order of the keys, or from the
    /// last one back if `reverse`: at most `limit`, and until it returns false. Returns how many it was handed.
    ///
    /// All that was committed before the call is there. What is committed while it runs may be.
    ///
    /// # Errors
    /// When the index cannot be read; some rows may have been handed over.
    pub fn scan(
        &self,
        space: Space,
        (lower, upper): (&[u8], &[u8]),
        reverse: bool,
        limit: usize,
        mut each: impl FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<usize, Failure> {
        if lower >= upper || limit == 0 {
            return Ok(0);
        }
        let view = self.shared.view();
        let tables = std::iter::once(&view.active).chain(view.frozen.iter().rev().map(|table| &table.rows));
        let memory = |rows: &Arc<_>| {
            Source::Memory(Memory::new(Arc::clone(rows), space, (lower, upper), reverse, limit))
        };
        let mut sources: Vec<_> = tables.map(memory).collect();
        sources.push(Source::Index(self.shared.index.range(space, lower, upper, reverse)));
        let fails = |error| Failure::new(Kind::Broken, error);
        let mut rows = Merged::new(sources, reverse).map_err(fails)?;
        let mut count = 0;
        while count < limit {
            let Some((key, value)) = rows.next().map_err(fails)? else { break };
            count += 1;
            if !each(&key, &value) {
                break;
            }
        }
        Ok(count)
    }

    /// Why the index does not take what is committed, if it does not. Commits go on until too much waits for it, and
    /// nothing is lost.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble()
    }

    /// Tables in memory that wait for the index.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.view().frozen.len()
    }

    /// How the index of a space stands.
    #[must_use]
    pub fn shape(&self, space: Space) -> Shape {
        let (runs, files, bytes) = self.shared.index.shape(space);
        Shape { runs, files, bytes }
    }
}

/// The value of a row.
#[derive(Clone, PartialEq, Eq)]
pub struct Value(Slice);

impl std::ops::Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Value").field(&&*self.0).finish()
    }
}
