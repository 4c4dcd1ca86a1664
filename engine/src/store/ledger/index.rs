//! The index: a log-structured merge tree for each space, written in sorted runs only.
//!
//! A tree is never told of a single row. It has no memtable to lose and no journal, and its files are on the disk when
//! [`Index::write`] returns.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use lsm_tree::compaction::Leveled;
use lsm_tree::config::PinningPolicy;
use lsm_tree::{
    AbstractTree, AnyTree, Cache, Config, DescriptorTable, Error, Guard, KvSeparationOptions, SeqNo,
    SequenceNumberCounter, Slice,
};

use super::batch::Space;
use super::pace::{Merges, Pace};
use super::rows::{Entry, Rows};
use super::{OpenError, Options};

/// Files of the trees that are kept open.
const FILES: usize = 512;

/// Merging is behind when there are so many times the runs at which it begins.
const RUNS_BEHIND: usize = 2;

/// The trees.
pub(super) struct Index {
    folder: PathBuf,
    aside: bool,
    options: Options,
    cache: Arc<Cache>,
    /// How fast tables are written and merged.
    pub(super) pace: Arc<Pace>,
    trees: RwLock<Arc<[Tree; Space::ALL.len()]>>,
    /// Shared by all who write to the trees, and held alone by who opens them anew.
    upkeep: RwLock<()>,
}

struct Tree {
    tree: AnyTree,
    /// The number that the next change of the tree gets: of what is overwritten, everything older may be forgotten.
    next: SequenceNumberCounter,
}

/// Rows of the index in the order they were asked for.
pub(super) type Found = Box<dyn Iterator<Item = Result<Entry, String>>>;

impl Index {
    /// Opens the trees in this folder, or plants them.
    pub(super) fn open(folder: PathBuf, aside: bool, options: &Options) -> Result<Self, OpenError> {
        let cache = Arc::new(Cache::with_capacity_bytes(options.cache_bytes));
        let pace = Arc::default();
        let trees = plant(&folder, aside, options, &cache, &pace)?;
        Ok(Self {
            folder,
            aside,
            options: options.clone(),
            cache,
            pace,
            trees: RwLock::new(Arc::new(trees)),
            upkeep: RwLock::default(),
        })
    }

    /// The row's value, if it is there.
    pub(super) fn get(&self, space: Space, key: &[u8]) -> Result<Option<Slice>, String> {
        self.trees()[space.index()].tree.get(key, SeqNo::MAX).map_err(describe)
    }

    /// The rows between two keys, the lower one included, the last ones first if `reverse`.
    pub(super) fn range(&self, space: Space, lower: &[u8], upper: &[u8], reverse: bool) -> Found {
        let found = self.trees()[space.index()].tree.range(lower..upper, SeqNo::MAX, None);
        let own = |row: lsm_tree::IterGuardImpl| {
            row.into_inner().map(|(key, value)| (key, Some(value))).map_err(describe)
        };
        if reverse { Box::new(found.rev().map(own)) } else { Box::new(found.map(own)) }
    }

    /// Writes a table, durably. Cut off in the middle, it is to be written again. `fill` says how full the next table is.
    pub(super) fn write(&self, rows: &Rows, fill: impl Fn() -> f64) -> Result<(), String> {
        let _upkeep = self.upkeep();
        let trees = self.trees();
        let (all, mut written) = (rows.len(), 0);
        for space in Space::ALL {
            if rows.is_empty(space) {
                continue;
            }
            let mut run = trees[space.index()].tree.ingestion().map_err(describe)?;
            rows.each(space, |key, value| {
                written += 1;
                self.pace.flushing(written, all, &fill);
                match value {
                    Some(value) => run.write(key.clone(), value.clone()),
                    None => run.write_tombstone(key.clone()),
                }
            })
            .map_err(describe)?;
            run.finish().map_err(describe)?;
        }
        self.look_behind();
        Ok(())
    }

    /// Merges what is to be merged in one tree, a step. Whether there was anything.
    pub(super) fn merge(&self, space: Space) -> Result<bool, String> {
        let _upkeep = self.upkeep();
        let trees = self.trees();
        let Tree { tree, next } = &trees[space.index()];
        let how = Leveled::default()
            .with_l0_threshold(self.options.runs)
            .with_table_target_size(self.options.merged_bytes);
        let before = tree.current_version().id();
        // Readers hold on to the files that they began with, so nothing that is overwritten need be kept for them.
        tree.compact(Arc::new(how), next.get()).map_err(describe)?;
        self.look_behind();
        Ok(tree.current_version().id() != before)
    }

    /// Finds out whether merging has to catch up.
    fn look_behind(&self) {
        let most = usize::from(self.options.runs) * RUNS_BEHIND;
        self.pace.set_behind(self.trees().iter().any(|tree| tree.tree.l0_run_count() > most));
    }

    /// After a failed write: opens the trees anew beside those that are read from, which clears away what the failure
    /// has left, and goes on with the new ones.
    pub(super) fn reopen(&self) -> Result<(), String> {
        let _upkeep = self.upkeep.write().unwrap_or_else(PoisonError::into_inner);
        let trees = plant(&self.folder, self.aside, &self.options, &self.cache, &self.pace)
            .map_err(|error| error.to_string())?;
        *self.trees.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(trees);
        Ok(())
    }

    /// Sorted runs and files of a space, for whoever watches.
    pub(super) fn shape(&self, space: Space) -> (usize, usize, u64) {
        let trees = self.trees();
        let tree = &trees[space.index()].tree;
        (tree.l0_run_count(), tree.table_count() + tree.blob_file_count(), tree.disk_space())
    }

    fn trees(&self) -> Arc<[Tree; Space::ALL.len()]> {
        self.trees.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn upkeep(&self) -> RwLockReadGuard<'_, ()> {
        self.upkeep.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn plant(
    folder: &Path,
    aside: bool,
    options: &Options,
    cache: &Arc<Cache>,
    pace: &Arc<Pace>,
) -> Result<[Tree; Space::ALL.len()], OpenError> {
    let files = Arc::new(DescriptorTable::new(FILES));
    let mut trees = Vec::new();
    for space in Space::ALL {
        let path = folder.join(space.name());
        let (next, visible) = (SequenceNumberCounter::default(), SequenceNumberCounter::default());
        let kept_aside = (aside && space == Space::Messages)
            .then(|| KvSeparationOptions::default().separation_threshold(options.separate.unwrap_or(1_024)));
        let tree = Config::new(&path, next.clone(), visible.clone())
            .use_cache(cache.clone())
            .use_descriptor_table(Some(files.clone()))
            .with_compaction_filter_factory(Some(Arc::new(Merges(pace.clone()))))
            // Fetching a filter through the cache for each row would cost more than its place in memory.
            .filter_block_pinning_policy(PinningPolicy::all(true))
            .index_block_pinning_policy(PinningPolicy::all(true))
            .filter_block_partitioning_policy(PinningPolicy::all(false))
            .index_block_partitioning_policy(PinningPolicy::all(false))
            .with_kv_separation(kept_aside)
            .open()
            .map_err(|error| explain(&path, error))?;
        let from = tree.get_highest_persisted_seqno().map_or(0, |highest| highest + 1);
        next.set(from);
        visible.set(from);
        trees.push(Tree { tree, next });
    }
    trees.try_into().map_err(|_| OpenError::damaged(folder, 0, "not as many trees as spaces"))
}

fn explain(path: &Path, error: Error) -> OpenError {
    match error {
        Error::Io(error) if error.kind() != std::io::ErrorKind::NotFound => OpenError::io(path, error),
        other => OpenError::damaged(path, 0, describe(other)),
    }
}

fn describe(error: Error) -> String {
    match error {
        Error::Io(error) => error.to_string(),
        other => format!("the index is damaged: {other:?}"),
    }
}
