//! The adapter side of the store port: what answers a machine's [`StoreRequest`](crate::machine::StoreRequest).
//!
//! ```text
//! machine ─► shard ─► inbox ─► [worker] ─► [Adapter] ─► memory, or fjall's files
//!    ▲                            │
//!    └── shard ◄── inbox ◄────────┘  exactly one reply for each request
//! ```
//!
//! An [`Adapter`] is plain blocking code that knows nothing of threads, shards' inboxes or time; the [`worker`] is the
//! thread that owns it, and the only place where a full or failing disk is dealt with. Whatever answers behind the
//! port passes the one suite of tests in `suite.rs`.
//!
//! What is kept here may be lost for some seconds and is written often: last seen, and who was online. It is handed
//! to the operating system, so it survives the death of the process, and it is never synced, so a power cut may take
//! the last of it.

pub mod chat;
mod embedded;
mod health;
mod latency;
pub mod ledger;
mod memory;
pub mod scylla;
pub mod worker;

#[cfg(test)]
mod suite;

use std::fmt;
use std::io;
use std::path::PathBuf;

use schema::{Key, LastSeen, ShardId};

use crate::machine::Router;
use crate::machine::store::SeenRow;

pub use embedded::Embedded;
pub use health::Health;
pub use latency::{BOUNDS, LatencyHistogram, Snapshot};
pub use memory::Memory;
pub use scylla::Scylla;
pub use worker::{Ask, Status, Worker};

/// What a store can do; every call blocks until it is done.
///
/// The rows of one call count as one after the other, in their order.
pub trait Adapter: Send {
    /// Writes rows. Last seen only ever grows; of `online` the latest counts.
    ///
    /// # Errors
    /// When they could not be written. Some of them may have been, and writing them again does no harm.
    fn put_seen(&mut self, rows: &[SeenRow]) -> Result<(), Failure>;

    /// Reads last seen of these users, in their order: [`LastSeen::At`] or [`LastSeen::Never`].
    ///
    /// # Errors
    /// When they could not be read.
    fn get_seen(&mut self, users: &[Key]) -> Result<Vec<LastSeen>, Failure>;

    /// Reads at most [`crate::limits::STORE_BATCH`] users of the online journal whose home is `shard`, after the last
    /// one of the page before (who need not be in it any more), in the adapter's own order.
    ///
    /// # Errors
    /// When they could not be read.
    fn journal(&mut self, shard: ShardId, after: Option<&Key>) -> Result<Page, Failure>;

    /// Reads last seen of all users in the order of realm and the text of the id, after this one, at most `limit`: for
    /// whoever goes through everything that is kept.
    ///
    /// # Errors
    /// When it could not be read, or this store cannot be gone through.
    fn all_seen(&mut self, after: Option<&Key>, limit: usize) -> Result<Vec<(Key, u64)>, Failure> {
        _ = (after, limit);
        Err(Failure("this store cannot be gone through".into()))
    }

    /// Forgets a user: last seen, and that they were online. Whether there was anything.
    ///
    /// # Errors
    /// When it could not be done, or this store cannot forget.
    fn forget(&mut self, user: &Key) -> Result<bool, Failure> {
        _ = user;
        Err(Failure("this store cannot forget a user".into()))
    }

    /// Nothing has been written for a while: what was gathered in memory may go. Whether there is more to be done after
    /// another while.
    ///
    /// # Errors
    /// When it could not be put away.
    fn rest(&mut self) -> Result<bool, Failure> {
        Ok(false)
    }

    /// After a failure: does what it takes to be able to write again, and proves it with a write.
    ///
    /// # Errors
    /// When it still cannot; what could be read before can still be read if at all possible.
    fn recover(&mut self) -> Result<(), Failure>;
}

/// Some users of the online journal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Who, and when last seen (0 if that was not written).
    pub users: Vec<(Key, u64)>,
    /// Whether there are more after the last of these.
    pub more: bool,
}

/// The store could not do what it was asked. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Which store.
#[derive(Clone, Debug)]
pub enum Kind {
    /// In memory: everything is forgotten at the end.
    Memory,
    /// In files of this folder, which is made if it is missing.
    Embedded(PathBuf),
    /// In ScyllaDB or Cassandra.
    Scylla(Scylla),
}

/// A store that is ready.
pub struct Opened {
    /// To be given to [`Worker::start`].
    pub adapter: Box<dyn Adapter>,
    /// What and where, for the log.
    pub what: String,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("what", &self.what).finish_non_exhaustive()
    }
}

/// Opens a store.
///
/// # Errors
/// When it cannot be used; the text says why and what to do.
pub fn open(kind: &Kind, router: &Router) -> Result<Opened, OpenError> {
    Ok(match kind {
        Kind::Memory => {
            Opened { adapter: Box::new(Memory::new(router.clone())), what: "memory (nothing is kept)".into() }
        }
        Kind::Embedded(path) => Opened {
            adapter: Box::new(Embedded::open(path, router.clone())?),
            what: format!("embedded in {}", path.display()),
        },
        Kind::Scylla(scylla) => Opened { adapter: scylla.presence(router.clone()), what: scylla.what() },
    })
}

/// Why a store could not be opened, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it open.
    #[error(
        "the store in {path} is in use by another process: stop the other Muster, or give this one a data directory \
         of its own (--data DIR)"
    )]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A newer Muster wrote it.
    #[error(
        "the store in {path} has format {found}, and this Muster knows formats up to {known}: start the newer Muster \
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
    #[error("the store in {path} cannot be opened: {source} (is the folder writable, and is there room?)")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// Its files make no sense.
    #[error(
        "the store in {path} is damaged: {why}. It holds last seen times and who was online: restore it from a \
         backup, or set the folder aside and begin with an empty one"
    )]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}
