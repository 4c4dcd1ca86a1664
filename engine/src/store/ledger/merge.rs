//! Several sorted sources of rows as one: of rows with the same key, that of the first source counts.

use std::ops::Bound;
use std::sync::Arc;

use lsm_tree::Slice;

use super::batch::Space;
use super::index::Found;
use super::rows::{Entry, Rows};

/// Rows that are fetched from memory under one hold of its lock.
const PAGE: usize = 64;

/// A table in memory, from which rows are fetched a page at a time.
pub(super) struct Memory {
    rows: Arc<Rows>,
    space: Space,
    lower: Bound<Slice>,
    upper: Bound<Slice>,
    reverse: bool,
    page: usize,
    fetched: std::vec::IntoIter<Entry>,
    ended: bool,
}

impl Memory {
    /// The rows between two keys, the lower one included. At least one of them at a time, at most as many as are
    /// `likely` to be needed.
    pub(super) fn new(
        rows: Arc<Rows>,
        space: Space,
        (lower, upper): (&[u8], &[u8]),
        reverse: bool,
        likely: usize,
    ) -> Self {
        Self {
            rows,
            space,
            lower: Bound::Included(lower.into()),
            upper: Bound::Excluded(upper.into()),
            reverse,
            page: likely.clamp(1, PAGE),
            fetched: Vec::new().into_iter(),
            ended: lower >= upper,
        }
    }

    fn fetch(&mut self) {
        let mut page = Vec::with_capacity(self.page);
        let bounds = (self.lower.as_ref().map(|key| &**key), self.upper.as_ref().map(|key| &**key));
        self.rows.page(self.space, bounds, self.reverse, self.page, &mut page);
        self.ended = page.len() < self.page;
        if let Some((last, _)) = page.last() {
            let rest = Bound::Excluded(last.clone());
            if self.reverse {
                self.upper = rest
            } else {
                self.lower = rest
            }
            // Two excluded bounds of the same key are none that a map takes.
            self.ended |= match (&self.lower, &self.upper) {
                (Bound::Included(lower) | Bound::Excluded(lower), Bound::Excluded(upper)) => lower >= upper,
                _ => false,
            };
        }
        self.fetched = page.into_iter();
    }
}

impl Iterator for Memory {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            if let Some(entry) = self.fetched.next() {
                return Some(entry);
            }
            if self.ended {
                return None;
            }
            self.fetch();
        }
    }
}

/// One of the sources.
pub(super) enum Source {
    /// A table in memory.
    Memory(Memory),
    /// The index.
    Index(Found),
}

impl Source {
    fn next(&mut self) -> Result<Option<Entry>, String> {
        match self {
            Self::Memory(memory) => Ok(memory.next()),
            Self::Index(found) => found.next().transpose(),
        }
    }
}

/// All of them.
pub(super) struct Merged {
    sources: Vec<(Source, Option<Entry>)>,
    reverse: bool,
}

impl Merged {
    /// The sources, the one that counts first.
    pub(super) fn new(sources: Vec<Source>, reverse: bool) -> Result<Self, String> {
        let mut heads = Vec::with_capacity(sources.len());
        for mut source in sources {
            let head = source.next()?;
            if head.is_some() {
                heads.push((source, head));
            }
        }
        Ok(Self { sources: heads, reverse })
    }

    /// The next row that is not deleted.
    pub(super) fn next(&mut self) -> Result<Option<(Slice, Slice)>, String> {
        loop {
            let mut best: Option<(usize, &Slice)> = None;
            for (at, (_, head)) in self.sources.iter().enumerate() {
                let Some((key, _)) = head else { continue };
                if best.is_none_or(|(_, first)| if self.reverse { key > first } else { key < first }) {
                    best = Some((at, key));
                }
            }
            let Some((at, _)) = best else { return Ok(None) };
            let (source, head) = &mut self.sources[at];
            let Some((key, value)) = std::mem::replace(head, source.next()?) else { return Ok(None) };
            for (source, head) in &mut self.sources[at + 1..] {
                if head.as_ref().is_some_and(|(other, _)| *other == key) {
                    *head = source.next()?;
                }
            }
            if let Some(value) = value {
                return Ok(Some((key, value)));
            }
        }
    }
}
