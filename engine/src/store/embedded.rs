//! The store in files: two small tables in fjall, an LSM tree in pure Rust.
//!
//! Every write is one batch that is handed to the operating system before it counts as done. It is not synced.
//!
//! Three habits of fjall's are dealt with here. After a failed write it refuses every further one until it is opened
//! again ([`Adapter::recover`] does, once the disk takes a probe, since an attempt on a full disk could cost the
//! reads as well). And a write may wait inside fjall, for ever, for a flush whose thread has died on the full disk:
//! so no write begins while fjall is so far behind that it would have to wait. And what a crowd leaves in memory would
//! stay there until the next one comes: so it is put away when the store rests.

mod format;
mod keys;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use fjall::config::{PartitioningPolicy, PinningPolicy};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use schema::{Key, LastSeen, ShardId};

use self::format::{FORMAT, STEPS};
use super::{Adapter, Failure, OpenError, Page};
use crate::limits::{HASH_SLOTS, STORE_BATCH};
use crate::machine::Router;
use crate::machine::store::SeenRow;

/// Blocks of rows that are kept in memory. A batch goes through its users in order and needs each block once; and the
/// kernel caches the files anyway.
const CACHE: u64 = 512 << 10;
/// What is gathered in memory before it becomes a file, for each table.
const MEMTABLE: u64 = 1 << 20;
/// Rows in memory from which on they are worth a file when the store rests. They are small and lie scattered over the
/// pages of the allocator, each of which stays for what little is left on it.
const WORTH_A_FILE: usize = 1_024;
/// Bytes of write-ahead journals beside the one that is written to; the least fjall allows. Opening reads them all.
const JOURNALS: u64 = 64 << 20;
/// Open files that fjall keeps.
const FILES: usize = 64;
/// fjall's own threads: one flushes while the other merges.
const THREADS: usize = 2;

/// fjall makes a writer wait at 4 full memtables. A write adds at most one, and one that was asked for before may
/// still be on its way: with fewer than this many a write does not wait.
const SEALED_MOST: usize = 2;
/// fjall makes a writer wait at 30 runs of young files; every flush adds one.
const YOUNG_MOST: usize = 24;
/// How often it is looked whether fjall has caught up, and how many times before the write fails.
const CATCH_UP: (Duration, u32) = (Duration::from_millis(5), 1_000);

/// Bytes that must fit on the disk before a failed store is opened again.
const PROBE: usize = 1 << 20;

/// The store in the files of one folder.
pub struct Embedded {
    path: PathBuf,
    router: Router,
    /// `None` after an attempt to open it again has failed.
    tables: Option<Tables>,
    /// Rows written since they were last put away.
    fresh: usize,
    /// They were put away, and may still be in memory.
    lingers: bool,
}

impl std::fmt::Debug for Embedded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Embedded").field("path", &self.path).finish_non_exhaustive()
    }
}

struct Tables {
    db: Database,
    last_seen: Keyspace,
    online: Keyspace,
    meta: Keyspace,
}

impl Embedded {
    /// Opens the store in this folder, or begins one.
    ///
    /// # Errors
    /// When it is in use, of a newer format, damaged, or the file system refuses.
    pub fn open(path: &Path, router: Router) -> Result<Self, OpenError> {
        let tables = Tables::open(path, &router)?;
        Ok(Self { path: path.to_owned(), router, tables: Some(tables), fresh: 0, lingers: false })
    }

    fn tables(&self) -> Result<&Tables, Failure> {
        self.tables.as_ref().ok_or_else(|| Failure("the store could not be opened again yet".into()))
    }

    /// The first slot of a shard after this one.
    fn next_slot(&self, shard: ShardId, after: u16) -> Option<u16> {
        (after + 1..HASH_SLOTS as u16).find(|&slot| self.router.shard_of_slot(slot) == shard)
    }
}

impl Adapter for Embedded {
    fn put_seen(&mut self, rows: &[SeenRow]) -> Result<(), Failure> {
        let tables = self.tables()?;
        tables.catch_up()?;
        // A batch does not see its own rows, so what concerns one user is put together first; and in order, since
        // neighbours are cheaper to look up.
        let mut latest = BTreeMap::<&Key, (u64, bool)>::new();
        for SeenRow { user, last_seen, online } in rows {
            let row = latest.entry(user).or_default();
            *row = (row.0.max(*last_seen), *online);
        }
        // Every commit hands its batch to the operating system; it is fjall's default.
        let mut batch = tables.db.batch();
        let mut key = Vec::new();
        for (user, (last_seen, online)) in latest {
            keys::seen_key(user, &mut key);
            if tables.seen(&key)?.is_none_or(|stored| stored < last_seen) {
                batch.insert(&tables.last_seen, &key[..], last_seen.to_be_bytes());
            }
            keys::journal_key(self.router.slot(user.realm, &user.id), user, &mut key);
            match (tables.online.contains_key(&key)?, online) {
                (false, true) => batch.insert(&tables.online, &key[..], []),
                (true, false) => batch.remove(&tables.online, &key[..]),
                (true, true) | (false, false) => {}
            }
        }
        batch.commit()?;
        self.fresh += rows.len();
        Ok(())
    }

    fn get_seen(&mut self, users: &[Key]) -> Result<Vec<LastSeen>, Failure> {
        let tables = self.tables()?;
        let mut key = Vec::new();
        let read = |user| {
            keys::seen_key(user, &mut key);
            Ok(tables.seen(&key)?.map_or(LastSeen::Never, LastSeen::At))
        };
        users.iter().map(read).collect()
    }

    fn journal(&mut self, shard: ShardId, after: Option<&Key>) -> Result<Page, Failure> {
        let tables = self.tables()?;
        let mut page = Page::default();
        let mut key = Vec::new();
        let mut from = match after {
            Some(user) => {
                let mut from = Vec::new();
                keys::journal_key(self.router.slot(user.realm, &user.id), user, &mut from);
                // The next key there can be.
                from.push(0);
                from
            }
            None => shard.0.to_be_bytes().to_vec(),
        };
        'slots: loop {
            for row in tables.online.range(from.clone()..) {
                let Some((slot, user)) = keys::read_journal_key(&row.key()?) else {
                    continue;
                };
                if self.router.shard_of_slot(slot) != shard {
                    match self.next_slot(shard, slot) {
                        Some(slot) => from = slot.to_be_bytes().to_vec(),
                        None => return Ok(page),
                    }
                    continue 'slots;
                }
                if page.users.len() == STORE_BATCH {
                    page.more = true;
                    return Ok(page);
                }
                keys::seen_key(&user, &mut key);
                page.users.push((user, tables.seen(&key)?.unwrap_or(0)));
            }
            return Ok(page);
        }
    }

    fn all_seen(&mut self, after: Option<&Key>, limit: usize) -> Result<Vec<(Key, u64)>, Failure> {
        let tables = self.tables()?;
        let mut from = Vec::new();
        if let Some(after) = after {
            keys::seen_key(after, &mut from);
            // The next key there can be.
            from.push(0);
        }
        let mut all = Vec::new();
        for row in tables.last_seen.range(from..) {
            if all.len() == limit {
                break;
            }
            let (key, value) = row.into_inner()?;
            if let (Some(user), Some(at)) = (keys::read_seen_key(&key), keys::read_seen(&value)) {
                all.push((user, at));
            }
        }
        Ok(all)
    }

    fn forget(&mut self, user: &Key) -> Result<bool, Failure> {
        let tables = self.tables()?;
        tables.catch_up()?;
        let mut batch = tables.db.batch();
        let mut key = Vec::new();
        keys::seen_key(user, &mut key);
        let mut known = tables.last_seen.contains_key(&key)?;
        batch.remove(&tables.last_seen, &key[..]);
        keys::journal_key(self.router.slot(user.realm, &user.id), user, &mut key);
        known |= tables.online.contains_key(&key)?;
        batch.remove(&tables.online, &key[..]);
        batch.commit()?;
        // Not synced like the rest: whoever erased somebody is told that it is done.
        tables.db.persist(PersistMode::SyncAll)?;
        Ok(known)
    }

    fn rest(&mut self) -> Result<bool, Failure> {
        let puts_away = self.fresh >= WORTH_A_FILE;
        if puts_away {
            for table in self.tables()?.all() {
                table.rotate_memtable()?;
            }
            self.fresh = 0;
        } else if self.lingers {
            // fjall keeps the memory of what has become a file, and the filters of files that were merged, until a
            // table of any name is put away at a later moment than that.
            let tables = self.tables()?;
            tables.prove()?;
            tables.meta.rotate_memtable()?;
        }
        self.lingers = puts_away;
        Ok(puts_away)
    }

    fn recover(&mut self) -> Result<(), Failure> {
        if self.tables.as_ref().is_some_and(|tables| tables.prove().is_ok()) {
            return Ok(());
        }
        probe(&self.path).map_err(|error| Failure(format!("{}: {error}", self.path.display())))?;
        // fjall's lock is free only when the old one is gone.
        self.tables = None;
        let tables = Tables::open(&self.path, &self.router).map_err(|error| Failure(error.to_string()))?;
        let proof = tables.prove();
        self.tables = Some(tables);
        proof
    }
}

impl Tables {
    fn open(path: &Path, router: &Router) -> Result<Self, OpenError> {
        Self::open_with(path, router, FORMAT, STEPS)
    }

    fn open_with(
        path: &Path,
        router: &Router,
        known: u32,
        steps: &[format::Step],
    ) -> Result<Self, OpenError> {
        let fails = |error| explain(path, error);
        let db = Database::builder(path)
            .cache_size(CACHE)
            .max_cached_files(Some(FILES))
            .worker_threads(THREADS)
            .max_journaling_size(JOURNALS)
            .open()
            .map_err(fails)?;
        let is_new = db.list_keyspace_names().is_empty();
        let table = |name| db.keyspace(name, options).map_err(fails);
        if !is_new && !db.keyspace_exists("meta") {
            return Err(OpenError::Foreign { path: path.into(), why: "a database without `meta`".into() });
        }
        let meta = table("meta")?;
        match format::read(&meta).map_err(fails)? {
            // The tables are made after the format is written: with one of them there it cannot be missing.
            None if db.keyspace_exists("last_seen") => {
                let why = "it has no format version".into();
                return Err(OpenError::Damaged { path: path.into(), why });
            }
            None => {
                format::write(&meta, known).and_then(|()| db.persist(PersistMode::SyncAll)).map_err(fails)?;
            }
            Some(Ok(found)) if found > known => {
                return Err(OpenError::TooNew { path: path.into(), found, known });
            }
            Some(Ok(found)) if found > 0 => format::migrate(&db, &meta, found, steps).map_err(fails)?,
            Some(Ok(found)) => {
                let why = format!("its format version is {found}");
                return Err(OpenError::Damaged { path: path.into(), why });
            }
            Some(Err(why)) => return Err(OpenError::Damaged { path: path.into(), why }),
        }
        let (last_seen, online) = (table("last_seen")?, table("online_journal")?);
        format::settle_slots(&db, &meta, &online, router).map_err(fails)?;
        Ok(Self { db, last_seen, online, meta })
    }

    fn all(&self) -> [&Keyspace; 3] {
        [&self.last_seen, &self.online, &self.meta]
    }

    /// A value that is no time counts as none, so that the next write mends it.
    fn seen(&self, key: &[u8]) -> Result<Option<u64>, Failure> {
        Ok(self.last_seen.get(key)?.and_then(|value| keys::read_seen(&value)))
    }

    /// Waits, not for long, until fjall would let a write through without a wait of its own.
    fn catch_up(&self) -> Result<(), Failure> {
        let (pause, times) = CATCH_UP;
        for _ in 0..times {
            // Says that an earlier write, or a flush, has failed.
            self.db.persist(PersistMode::Buffer)?;
            if self.all().into_iter().all(|table| {
                table.sealed_memtable_count() < SEALED_MOST && table.l0_table_count() < YOUNG_MOST
            }) {
                return Ok(());
            }
            thread::park_timeout(pause);
        }
        Err(Failure("the disk does not keep up with the writes".into()))
    }

    /// A small write that changes nothing.
    fn prove(&self) -> Result<(), Failure> {
        self.catch_up()?;
        Ok(format::write(&self.meta, FORMAT)?)
    }
}

/// Filters and indexes stay in memory, some 2 MiB for a million rows: fjall has one filter for a whole file, and
/// fetching it through a small cache for each row costs ten times the processor.
fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default()
        .max_memtable_size(MEMTABLE)
        .filter_block_pinning_policy(PinningPolicy::all(true))
        .index_block_pinning_policy(PinningPolicy::all(true))
        .filter_block_partitioning_policy(PartitioningPolicy::all(false))
        .index_block_partitioning_policy(PartitioningPolicy::all(false))
}

/// Writes as much as a store needs to get going, and takes it back.
fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join("probe.tmp");
    let written = fs::File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0x5a; PROBE])?;
        file.sync_data()
    });
    fs::remove_file(&path).and(written)
}

/// fjall's errors in words.
fn describe(error: &fjall::Error) -> String {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => error.to_string(),
        fjall::Error::Poisoned => "a write in the background failed: is the disk full, or broken?".into(),
        other => format!("{other:?}"),
    }
}

impl From<fjall::Error> for Failure {
    fn from(error: fjall::Error) -> Self {
        Self(describe(&error))
    }
}

fn explain(path: &Path, error: fjall::Error) -> OpenError {
    let path = path.to_owned();
    match error {
        fjall::Error::Locked => OpenError::Locked { path },
        fjall::Error::Io(source) | fjall::Error::Storage(fjall::LsmError::Io(source)) => {
            OpenError::Io { path, source }
        }
        fjall::Error::InvalidVersion(version) => {
            OpenError::Foreign { path, why: format!("a database of version {version:?}") }
        }
        other => OpenError::Damaged { path, why: describe(&other) },
    }
}

#[cfg(test)]
mod tests;
