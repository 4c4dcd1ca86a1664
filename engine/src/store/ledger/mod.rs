//! The ledger: an embedded, durable, ordered store of rows. What it has acknowledged, it keeps.
//!
//! ```text
//! commit ─► [log]  one frame, one fdatasync ─► [rows] in memory ─► acknowledged
//!                                                 │ full: frozen
//!                                                 ▼
//!                               [flusher] ─► [index] an LSM tree for each space ─► checkpoint ─► old segments are used again
//!
//! get, scan ◄── rows in memory, the newest first ◄── index
//! ```
//!
//! **The log is the commit point.** [`Writer::commit`] appends everything that it is given as one checksummed frame,
//! syncs once, makes the rows visible, and returns: many callers' batches under one sync are the group commit, and
//! gathering them is the caller's. Nothing that is not synced is ever shown to a reader, and no reader waits for the
//! log.
//!
//! **The index is behind it.** Rows rest in sorted tables in memory. A full one is frozen and written, in the order of
//! its keys and with what was overwritten left out, as one sorted run; then the place up to which the index holds
//! everything (the checkpoint) is written down, and the segments before it are used again for new ones. After a crash
//! the log is read from the checkpoint on, into memory. To write a table twice does no harm, so no step needs to be
//! atomic with another. Writing and merging rest between rows while there is time, so that they do not take a core from
//! the shards: see `pace`.
//!
//! **Why `lsm-tree` and not fjall, which is made of it.** A sorted run goes past fjall's journal and memtable, so what
//! fjall would add is a second journal that stays empty; threads that take no orders; a mark of what may be forgotten
//! that moves only when a memtable is rotated, so that of rows overwritten by sorted runs nothing would ever be cleared
//! away; and, after a failed write, a poisoned database that must be opened again. Here a failed flush is an error, the
//! table stays in memory, the trees are opened anew beside the old ones, and it is tried again while readers read on.
//!
//! **Why old segments are used again, and frames begin at pages.** A sync of a file that grows commits the file system's
//! journal: on ext4 that is several blocks each time, and it carries with it the pages of whatever else has grown, the
//! flusher's tens of megabytes among them. Overwriting blocks that exist needs no journal. Measured on an ext4 of its
//! own in single runs, 15,000 messages a second: 2.4 times the payload at the disk with segments used again, 5.0 times with new ones,
//! index included; the bare append and sync of the same bytes came to 3.9. What the last use left in a segment is not
//! taken for a frame, because a frame's checksums are seeded with its segment's number. And a frame that begins at a
//! page never has a page read before it is written, nor one written again that holds something acknowledged.
//!
//! **Messages keep their values aside** ([`Options::separate`]): a message is written once into a file of values, and
//! the merging that a tree lives on moves keys and pointers only. Measured with two million messages: 2.7 times the
//! payload written, against 5.6 with values beside their keys, and pages of history as fast.
//!
//! What can go wrong, and where it is dealt with: a torn tail is cut at opening, and damage anywhere else is refused with
//! file and offset ([`replay`]); a failed write fails the [`Writer`] until [`Writer::recover`]; the disk is never filled
//! to the brim ([`Options::reserve_bytes`]); where the index lags, commits are refused before anything is written
//! ([`Kind::Busy`]). One case cannot be told apart: a flipped bit in the very last frame of the log looks like a torn
//! one.
//!
//! Absent on purpose: snapshots across calls, transactions that read, and expiry; whoever needs these builds them of
//! rows.

mod batch;
mod disk;
mod files;
mod flush;
mod frame;
mod index;
mod log;
mod merge;
mod pace;
mod read;
mod replay;
mod rows;
mod segment;
mod shared;
mod write;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

pub use batch::{Batch, Space};
pub use read::{Reader, Shape, Value};
pub use write::Writer;

/// The longest key.
pub const KEY_MAX: usize = 1_024;
/// The longest value: that of a message is some hundred bytes, and a frame must hold it.
pub const VALUE_MAX: usize = 16 << 20;

/// How a ledger is kept. Sizes may differ from one opening to the next.
#[derive(Clone, Debug)]
pub struct Options {
    /// The clock; it paces the looks at the free space, and nothing else.
    pub clock: fn() -> Instant,
    /// A number that nobody can guess, for a ledger that is begun: it seeds the checksums, so that no row's content can
    /// pass for a frame. A ledger that exists has its own.
    pub salt: u64,
    /// Bytes of a segment of the log.
    pub segment_bytes: u64,
    /// Old segments that are kept to be used again.
    pub spare_segments: usize,
    /// Bytes of rows, with what it takes to keep them, at which the table in memory is frozen and flushed.
    pub table_bytes: usize,
    /// Frozen tables that may wait for the flusher; one more and commits are refused as [`Kind::Busy`].
    pub tables_waiting: usize,
    /// Free bytes of the disk below which commits are refused as [`Kind::Full`].
    pub reserve_bytes: u64,
    /// Bytes of the index's blocks that are kept in memory.
    pub cache_bytes: u64,
    /// Values of messages of at least this many bytes are kept aside from their keys. Settled when a ledger is begun.
    pub separate: Option<u32>,
    /// Bytes of the files that merging makes.
    pub merged_bytes: u64,
    /// Sorted runs of an index that are merged together.
    pub runs: u8,
}

impl Options {
    /// What was measured to be good.
    #[must_use]
    pub fn new(clock: fn() -> Instant, salt: u64) -> Self {
        Self {
            clock,
            salt,
            segment_bytes: 16 << 20,
            spare_segments: 8,
            table_bytes: 32 << 20,
            tables_waiting: 4,
            reserve_bytes: 256 << 20,
            cache_bytes: 64 << 20,
            separate: Some(64),
            merged_bytes: 16 << 20,
            runs: 4,
        }
    }
}

/// Opens the ledger in this folder, or begins one, and reads what is in the log.
///
/// # Errors
/// When it is in use, of a newer format, damaged, or the file system refuses.
pub fn open(path: &Path, options: Options) -> Result<(Writer, Reader), OpenError> {
    open_on(path, options, std::sync::Arc::new(disk::Real))
}

fn open_on(
    path: &Path,
    options: Options,
    disk: std::sync::Arc<dyn disk::Disk>,
) -> Result<(Writer, Reader), OpenError> {
    let writer = Writer::open(path, options, disk)?;
    let reader = writer.reader();
    Ok((writer, reader))
}

/// What kind of failure: it says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The index lags behind. Nothing was written; try again in a moment.
    Busy,
    /// Less than the reserve is free on the disk. Nothing was written; it goes on by itself when there is room.
    Full,
    /// More than the ledger takes at once. Nothing was written, and trying again is of no use.
    Oversize,
    /// A write, a sync or a read failed. A commit that failed so is not acknowledged and never shown, and the writer
    /// refuses all others until [`Writer::recover`] succeeds.
    Broken,
}

/// The ledger could not do what it was asked. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind.
    pub kind: Kind,
    /// What happened.
    pub what: String,
}

impl Failure {
    fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for super::Failure {
    fn from(failure: Failure) -> Self {
        Self(failure.what)
    }
}

/// Why a ledger could not be opened, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it open.
    #[error(
        "the ledger in {path} is in use by another process: stop the other Muster, or give this one a data directory \
         of its own (--data DIR)"
    )]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A newer Muster wrote it.
    #[error(
        "the ledger in {path} has format {found}, and this Muster knows formats up to {known}: start the newer Muster \
         that wrote it, or set the folder aside and begin with an empty one"
    )]
    TooNew {
        /// The folder.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// It holds something else.
    #[error(
        "the folder {path} holds data that is not Muster's ({why}): give this Muster a data directory of its own \
         (--data DIR), or set the folder aside"
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The file system refused.
    #[error("the ledger in {path} cannot be opened: {source} (is the folder writable, and is there room?)")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// A file makes no sense.
    #[error(
        "the ledger is damaged: {file}, byte {offset}: {why}. It holds conversations and messages, and what comes after \
         that place would be lost or wrong, so it is not opened: restore the whole folder from a backup, or set it aside \
         and begin with an empty one; and look after the disk"
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        why: String,
    },
}

impl OpenError {
    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    fn damaged(file: impl Into<PathBuf>, offset: u64, why: impl Into<String>) -> Self {
        Self::Damaged { file: file.into(), offset, why: why.into() }
    }
}
