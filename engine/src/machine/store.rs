//! The store port: what a machine asks of the store and what it hears back. Adapters answer it ([`crate::store`]).

#![allow(missing_docs, reason = "the fields of a variant are told in the variant's own text")]

use schema::{Key, LastSeen};

/// One user's row in `last_seen` and `online_journal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenRow {
    /// Whose.
    pub user: Key,
    /// Milliseconds since the Unix epoch. An adapter keeps the larger of this and what it has.
    pub last_seen: u64,
    /// Whether the user is (still) to be in the online journal.
    pub online: bool,
}

/// What a machine asks. `request` numbers it at the asker; each gets exactly one reply.
#[derive(Clone, Debug)]
pub enum StoreRequest {
    /// Write these rows; at most [`crate::limits::STORE_BATCH`].
    PutSeen { request: u64, rows: Vec<SeenRow> },
    /// Read last seen of these users; at most [`crate::limits::STORE_BATCH`].
    GetSeen { request: u64, users: Vec<Key> },
    /// Read the online journal of this shard's users, from the start or after the last user of the batch before.
    /// Asked at the start, batch by batch.
    Journal { request: u64, after: Option<Key> },
}

/// What comes back.
#[derive(Clone, Debug)]
pub enum StoreReply {
    /// All rows are written.
    Put { request: u64 },
    /// Last seen in the order asked: [`LastSeen::At`] or [`LastSeen::Never`].
    Seen { request: u64, last_seen: Vec<LastSeen> },
    /// Some users who were online when the server went down, with their last seen, and whether there are more.
    Journal { request: u64, users: Vec<(Key, u64)>, more: bool },
    /// It could not be done; the text is for the log. The machine tries writes again.
    Failed { request: u64, error: String },
}
