//! What is committed: rows of a space, put or deleted, together in a batch.

use lsm_tree::Slice;

/// A table of rows. Its number is in the files, so numbers are never used again for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Space {
    /// Mostly appended, seldom changed.
    Messages = 0,
    /// Small rows that are often overwritten.
    States = 1,
    /// What was sent under which name by whom; small.
    Sends = 2,
}

impl Space {
    /// All of them, by their number.
    pub const ALL: [Self; 3] = [Self::Messages, Self::States, Self::Sends];

    /// The space with this number.
    pub(super) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }

    /// The folder of its tree.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::States => "states",
            Self::Sends => "sends",
        }
    }
}

/// A row: put, or deleted if it has no value.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) space: Space,
    pub(super) key: Slice,
    pub(super) value: Option<Slice>,
}

/// Rows that are committed all or none, in this order.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub(super) rows: Vec<Row>,
}

impl Batch {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts a row, or overwrites it.
    pub fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> &mut Self {
        self.rows.push(Row { space, key: key.into(), value: Some(value.into()) });
        self
    }

    /// Deletes a row, if it is there.
    pub fn delete(&mut self, space: Space, key: &[u8]) -> &mut Self {
        self.rows.push(Row { space, key: key.into(), value: None });
        self
    }

    /// Its rows, in order: space, key, and value if it is not deleted.
    pub fn rows(&self) -> impl Iterator<Item = (Space, &[u8], Option<&[u8]>)> {
        self.rows.iter().map(|row| (row.space, &*row.key, row.value.as_deref()))
    }

    /// How many rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}
