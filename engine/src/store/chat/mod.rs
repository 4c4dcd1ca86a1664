//! What is kept of conversations: members, messages, receipts, and who is where.
//!
//! ```text
//! machine ─► shard ─► orders ─┬─► [writer] ─► Writes ─► rows ─► a map in memory, or the ledger's log (one sync a commit)
//!    ▲                        └─► [readers] ─► Reads ─► rows
//!    └── shard ◄── inbox ◄────────────┘  exactly one answer for each request
//! ```
//!
//! Two layers. The upper one ([`Writes`], [`Reads`]) is the port in plain blocking code: whatever stands behind it
//! passes the one suite of tests in `suite.rs`, also a database that is no table of rows. The lower one ([`Rows`],
//! [`Commits`]) is a table of ordered rows, which memory and the ledger are; how a conversation becomes rows is told
//! in [`keys`] and [`values`], and done in [`write`], [`read`], [`sweep`] and [`forget`], once for both.
//!
//! The [`worker`] is the threads: one commits, some read, so that no read waits for a disk's sync. A database behind a
//! network is [`Pipelined`] instead: it has many requests under way, and its threads only hand them over ([`dispatch`]).

pub(in crate::store) mod bytes;
mod dispatch;
mod embedded;
mod forget;
mod keys;
mod memory;
mod orders;
mod places;
mod read;
mod rows;
mod status;
mod sweep;
mod traces;
pub(in crate::store) mod values;
mod walk;
pub mod worker;
mod write;

#[cfg(test)]
pub(in crate::store) mod suite;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Kind as Store;
use crate::machine::store::{ChatAsk, ChatFailure, ChatStored, Place, Write};

pub use memory::MemoryRows;
pub use orders::{ChatOrder, Orders};
pub use read::RowReader;
pub use rows::{Commits, Rows};
pub use status::{SIZES, SizeHistogram, SizeSnapshot, Status};
pub use walk::Each;
pub use worker::Worker;
pub use write::RowWriter;

/// Puts what is asked to be written together, and makes it last. There is one for a store; its calls block.
pub trait Writes: Send {
    /// Takes a write into the next commit, after those that were taken before, and says how many bytes it makes.
    ///
    /// # Errors
    /// When it cannot be taken; then nothing of it is.
    fn stage(&mut self, write: &Write) -> Result<usize, Failure>;

    /// Commits what was staged: all of it lasts and is seen by every read from now on, or none of it. Either way
    /// nothing is staged afterwards.
    ///
    /// # Errors
    /// See [`FailureKind`].
    fn commit(&mut self) -> Result<(), Failure>;

    /// After a failure: does what it takes to be able to commit again. Whatever was in doubt has not happened when it
    /// succeeds.
    ///
    /// # Errors
    /// When it still cannot.
    fn recover(&mut self) -> Result<(), Failure>;

    /// Clears away a bounded part of what conversations that are gone have left, and says whether there may be more.
    /// Only with nothing staged.
    ///
    /// # Errors
    /// See [`FailureKind`]; calling it again does no harm.
    fn sweep(&mut self) -> Result<bool, Failure>;

    /// Forgets the client ids of messages that were created before this time, a bounded part of a round through all of
    /// them, and says whether there is more of the round. Only with nothing staged. A store that forgets them by itself
    /// has nothing to do here.
    ///
    /// # Errors
    /// See [`FailureKind`]; calling it again does no harm.
    fn forget(&mut self, before: u64) -> Result<bool, Failure> {
        _ = before;
        Ok(false)
    }
}

/// Answers what is asked but writes, from any thread, each call by itself. It sees every commit that had returned
/// before.
pub trait Reads: Send + Sync {
    /// Answers one request; never with [`ChatStored::Written`] or [`ChatStored::Failed`].
    ///
    /// # Errors
    /// When it could not be read.
    fn answer(&self, ask: &ChatAsk) -> Result<ChatStored, Failure>;

    /// The conversations of all realms in the order of realm and id, after this one, at most `limit`: for whoever goes
    /// through everything that is kept.
    ///
    /// # Errors
    /// When they cannot be read, or this store cannot be gone through.
    fn places(&self, after: Option<Place>, limit: usize) -> Result<Vec<Place>, Failure> {
        _ = (after, limit);
        Err(Failure::new(FailureKind::Refused, "this store cannot be gone through"))
    }

    /// Hands everything of a conversation to `each`, as the parts that would write it anew, in this order: the
    /// conversation; its members by row, those who have left as [`Part::MemberGone`](crate::machine::store::Part); what
    /// was deleted, by sequence; what was forgotten for its age; messages by time, without receipts; receipts by message and row; client ids by row
    /// and text. It needs little memory however long that is, and `each` may read and write. False: there is no such
    /// conversation.
    ///
    /// # Errors
    /// When it cannot be read, or this store cannot be gone through; and what `each` fails with.
    fn walk(&self, place: Place, each: &mut Each<'_>) -> Result<bool, Failure> {
        _ = (place, each);
        Err(Failure::new(FailureKind::Refused, "this store cannot be gone through"))
    }
}

/// Called once, from any thread and without blocking, with what became of a request.
pub type Done = Box<dyn FnOnce(ChatStored) + Send>;

/// Called with what a panic said.
pub type OnPanic = Box<dyn Fn(String) + Send + Sync>;

/// A store that has many requests under way at once, on threads of its own. It gets the writes of a conversation in
/// their order, and keeps to it.
pub trait Pipelined: Send + Sync {
    /// Begins, and tells this how it goes. `on_panic` is called should a part of it die of a bug: some requests would
    /// not be answered any more.
    fn watch(&self, status: Arc<Status>, on_panic: OnPanic);

    /// Takes a request. Blocks while there is no room for it.
    fn take(&self, ask: ChatAsk, done: Done);

    /// Waits for what is under way, for some seconds, and closes the store. Nothing is taken afterwards.
    fn end(&self);
}

/// What to make of a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    /// Too much is on its way. Nothing has happened; the same again will do in a moment.
    Busy,
    /// The disk is full or fails. Nothing has happened.
    Unavailable,
    /// This request cannot be done, and the store is well. Nothing has happened.
    Refused,
    /// It is not known whether it has happened, until [`Writes::recover`] succeeds: then it has not.
    InDoubt,
}

/// The store could not do what it was asked. The text is for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// What to make of it.
    pub kind: FailureKind,
    /// What happened.
    pub what: String,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(kind: FailureKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }

    /// The answer to whoever asked.
    #[must_use]
    pub fn answer(self) -> ChatStored {
        let failure = match self.kind {
            FailureKind::Busy => ChatFailure::Busy,
            FailureKind::Unavailable | FailureKind::Refused | FailureKind::InDoubt => {
                ChatFailure::Unavailable
            }
        };
        ChatStored::Failed { failure, error: self.what }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Failure {}

/// Writes of a commit after which the whole window is given to company.
const COMPANY: usize = 16;

/// How long after a commit of so many writes began the next one may begin.
///
/// A sync of the disk costs the same for one write as for many, and at least a page: where many come, those of a
/// window share it. A lone writer, and what comes after a rest, is not kept waiting.
#[must_use]
pub fn rest_after(window: Duration, writes: usize) -> Duration {
    window * writes.min(COMPANY) as u32 / COMPANY as u32
}

/// The numbers of the store of conversations.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder; `None`: beside that of presence, see [`folder`].
    pub path: Option<PathBuf>,
    /// The most that [`rest_after`] may be; zero: only what waits already goes together.
    pub window: Duration,
    /// Writes of one commit.
    pub together: usize,
    /// Bytes of one commit, give or take a write.
    pub together_bytes: usize,
    /// Threads that read; at least one.
    pub readers: usize,
    /// Bytes of a segment of the log.
    pub segment_bytes: u64,
    /// Bytes of rows in memory at which they are written to the index.
    pub table_bytes: usize,
    /// Bytes of the index that are kept in memory.
    pub cache_bytes: u64,
    /// Free bytes of the disk below which nothing is committed.
    pub reserve_bytes: u64,
    /// How long it is remembered which message a client id stands for.
    pub sends_kept: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            path: None,
            window: Duration::from_millis(2),
            together: 1_024,
            together_bytes: 1 << 20,
            readers: 2,
            segment_bytes: 16 << 20,
            table_bytes: 32 << 20,
            cache_bytes: 64 << 20,
            reserve_bytes: 256 << 20,
            sends_kept: Duration::from_secs(24 * 3_600),
        }
    }
}

/// A store that is ready.
pub struct Opened {
    /// To be given to [`Worker::start`].
    pub writes: Box<dyn Writes>,
    /// As well.
    pub reads: Arc<dyn Reads>,
    /// If there is this, the worker uses it in place of the other two.
    pub pipelined: Option<Arc<dyn Pipelined>>,
    /// What and where, for the log.
    pub what: String,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("what", &self.what).finish_non_exhaustive()
    }
}

impl Opened {
    fn over(log: impl Commits + 'static, rows: Arc<dyn Rows>, what: String) -> Self {
        let writes = Box::new(RowWriter::new(Box::new(log), rows.clone()));
        Self { writes, reads: Arc::new(RowReader::new(rows)), pipelined: None, what }
    }
}

/// Opens the store of conversations that goes with this store of presence. `salt` is a number that nobody can guess.
///
/// # Errors
/// When it cannot be used; the text says why and what to do.
pub fn open(kind: &Store, settings: &Settings, salt: u64) -> io::Result<Opened> {
    match kind {
        Store::Memory => {
            let rows = MemoryRows::default();
            Ok(Opened::over(rows.clone(), Arc::new(rows), "memory (nothing is kept)".into()))
        }
        Store::Embedded(presence) => {
            let path = settings.path.clone().unwrap_or_else(|| folder(presence));
            embedded::open(&path, settings, salt).map_err(io::Error::other)
        }
        Store::Scylla(scylla) => Ok(scylla.chats()),
    }
}

/// Where conversations are kept if nothing else is said: beside the folder of presence and not in it, since that one
/// may be set aside when it is damaged, and these may not. `data/store` has `data/store-chat` beside it.
#[must_use]
pub fn folder(presence: &Path) -> PathBuf {
    let mut name = presence.file_name().unwrap_or_else(|| "store".as_ref()).to_owned();
    name.push("-chat");
    presence.with_file_name(name)
}
