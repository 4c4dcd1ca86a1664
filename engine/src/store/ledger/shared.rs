//! What the writer, the readers and the threads behind them share.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};

use super::disk::Disk;
use super::files::{Folder, Position};
use super::index::Index;
use super::rows::Rows;
use super::segment::Segment;
use super::{Options, segment};

/// Everything that is shared. The folder's lock goes with the last who holds it.
pub(super) struct Shared {
    pub(super) options: Options,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) index: Index,
    view: RwLock<Arc<View>>,
    shelf: Mutex<Shelf>,
    /// A segment was taken, or the end has come.
    shelf_moved: Condvar,
    work: Mutex<Work>,
    /// There is a table to flush, or the end has come.
    work_came: Condvar,
    /// A flush has succeeded or failed.
    work_done: Condvar,
    merging: Mutex<Merging>,
    merging_moved: Condvar,
    pub(super) folder: Folder,
}

/// The tables in memory, as a reader finds them.
#[derive(Debug)]
pub(super) struct View {
    /// Where commits go.
    pub(super) active: Arc<Rows>,
    /// Those that wait for the flusher, the oldest first.
    pub(super) frozen: Vec<Frozen>,
}

/// A table that does not change any more.
#[derive(Clone, Debug)]
pub(super) struct Frozen {
    pub(super) rows: Arc<Rows>,
    /// The end of the last frame that has rows in it.
    pub(super) end: Position,
}

/// Segments that are ready, and those that may be used again.
#[derive(Debug)]
struct Shelf {
    ready: Option<Segment>,
    next: u64,
    spares: Vec<u64>,
    /// Whether it is known where the log ends, and so which segment is next.
    open: bool,
    stop: bool,
    /// What the last attempt to make one ready failed with.
    trouble: bool,
}

/// What the flusher is about.
#[derive(Debug, Default)]
struct Work {
    stop: bool,
    trouble: Option<String>,
    attempts: u64,
    /// Nobody will flush any more.
    ended: bool,
}

#[derive(Debug, Default)]
struct Merging {
    stop: bool,
    wanted: bool,
    busy: bool,
}

/// How long a thread waits before it tries again what has failed.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here is half done while a lock is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wait<'a, T>(moved: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    moved.wait(guard).unwrap_or_else(PoisonError::into_inner)
}

fn wait_a_while<'a, T>(moved: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    moved.wait_timeout(guard, AGAIN).unwrap_or_else(PoisonError::into_inner).0
}

impl Shared {
    pub(super) fn new(options: Options, disk: Arc<dyn Disk>, folder: Folder, index: Index) -> Self {
        let view = View { active: Arc::default(), frozen: Vec::new() };
        let shelf =
            Shelf { ready: None, next: 0, spares: Vec::new(), open: false, stop: false, trouble: false };
        Self {
            options,
            disk,
            index,
            view: RwLock::new(Arc::new(view)),
            shelf: Mutex::new(shelf),
            shelf_moved: Condvar::new(),
            work: Mutex::default(),
            work_came: Condvar::new(),
            work_done: Condvar::new(),
            merging: Mutex::default(),
            merging_moved: Condvar::new(),
            folder,
        }
    }

    /// The tables as they are now.
    pub(super) fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Freezes the active table, which ends here, and begins another.
    pub(super) fn freeze(&self, end: Position) {
        {
            let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
            let mut frozen = view.frozen.clone();
            frozen.push(Frozen { rows: view.active.clone(), end });
            *view = Arc::new(View { active: Arc::default(), frozen });
        }
        // Under the lock, so that the flusher is not just about to sleep.
        let _work = lock(&self.work);
        self.work_came.notify_all();
    }

    /// The oldest table is in the index.
    pub(super) fn flushed(&self) {
        {
            let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
            let frozen = view.frozen[1..].to_vec();
            *view = Arc::new(View { active: view.active.clone(), frozen });
        }
        let mut work = lock(&self.work);
        work.trouble = None;
        work.attempts += 1;
        self.work_done.notify_all();
    }

    /// The oldest table is not in the index yet, for this reason.
    pub(super) fn not_flushed(&self, why: String) {
        let mut work = lock(&self.work);
        work.trouble = Some(why);
        work.attempts += 1;
        self.work_done.notify_all();
    }

    /// A thread is dead. What waits for it is told so.
    pub(super) fn died(&self, name: &str) {
        let mut work = lock(&self.work);
        work.trouble = Some(format!("{name} has panicked"));
        work.ended = true;
        self.work_done.notify_all();
    }

    /// What the flusher fails with, if it does.
    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.work).trouble.clone()
    }

    /// Waits for a table to flush; `None` is the end. After a failure it waits a while first.
    pub(super) fn next_table(&self) -> Option<Frozen> {
        let mut work = lock(&self.work);
        if work.trouble.is_some() && !work.stop {
            work = wait_a_while(&self.work_came, work);
        }
        loop {
            if work.stop {
                return None;
            }
            if let Some(table) = self.view().frozen.first() {
                return Some(table.clone());
            }
            work = wait(&self.work_came, work);
        }
    }

    /// How full the table is that the flusher gets next: 1 when it waits.
    pub(super) fn fill_of_next(&self) -> f64 {
        let view = self.view();
        let waits = view.frozen.len() > 1;
        if waits { 1.0 } else { view.active.bytes() as f64 / self.options.table_bytes as f64 }
    }

    /// Waits until no more than `most` tables wait for the flusher, or it fails.
    pub(super) fn wait_for_flusher(&self, most: usize) -> Result<(), String> {
        let _hurry = self.index.pace.hurry();
        let mut work = lock(&self.work);
        let begun = work.attempts;
        loop {
            if self.view().frozen.len() <= most {
                return Ok(());
            }
            match &work.trouble {
                Some(trouble) if work.attempts > begun || work.ended => return Err(trouble.clone()),
                _ => work = wait(&self.work_done, work),
            }
        }
    }

    /// Begins to keep segments ready, the first one with the number `next`; those before `until` may be used for it.
    pub(super) fn stock(&self, next: u64, until: u64) -> std::io::Result<()> {
        let mut shelf = lock(&self.shelf);
        // Under the lock, under which alone segments are put away.
        let mut spares = segment::list(&self.folder.log())?;
        spares.retain(|&number| number < until);
        *shelf = Shelf { ready: None, next, spares, open: true, stop: false, trouble: false };
        self.shelf_moved.notify_all();
        Ok(())
    }

    /// Takes the next segment. If none is ready, it is made now.
    pub(super) fn take_segment(&self) -> std::io::Result<Segment> {
        let mut shelf = lock(&self.shelf);
        let segment = match shelf.ready.take() {
            Some(segment) => segment,
            None => {
                tracing::debug!(number = shelf.next, "no segment of the ledger's log was ready");
                self.make(&mut shelf)?
            }
        };
        self.shelf_moved.notify_all();
        Ok(segment)
    }

    /// Keeps a segment ready, until the end.
    pub(super) fn keep_shelf(&self) {
        let mut shelf = lock(&self.shelf);
        while !shelf.stop {
            if shelf.ready.is_some() || !shelf.open {
                shelf = wait(&self.shelf_moved, shelf);
                continue;
            }
            match self.make(&mut shelf) {
                Ok(segment) => {
                    shelf.ready = Some(segment);
                    shelf.trouble = false;
                }
                Err(error) => {
                    if !std::mem::replace(&mut shelf.trouble, true) {
                        tracing::error!(%error, "no segment of the ledger's log can be made ready; it is tried again");
                    }
                    shelf = wait_a_while(&self.shelf_moved, shelf);
                }
            }
        }
    }

    fn make(&self, shelf: &mut Shelf) -> std::io::Result<Segment> {
        let (log, number) = (self.folder.log(), shelf.next);
        let spare = shelf.spares.pop();
        let segment = Segment::make(&log, number, self.folder.salt, spare, &*self.disk);
        match &segment {
            Ok(_) => shelf.next += 1,
            Err(_) => shelf.spares.extend(spare),
        }
        segment
    }

    /// Segments before this place hold nothing that is needed.
    pub(super) fn retire(&self, until: Position) -> std::io::Result<()> {
        let log = self.folder.log();
        let mut shelf = lock(&self.shelf);
        for number in segment::list(&log)? {
            if number >= until.segment || shelf.spares.contains(&number) {
                continue;
            }
            let path = segment::path(&log, number);
            if shelf.spares.len() < self.options.spare_segments
                && path.metadata()?.len() <= 2 * self.options.segment_bytes
            {
                shelf.spares.push(number);
            } else {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Says that there may be something to merge.
    pub(super) fn want_merging(&self) {
        lock(&self.merging).wanted = true;
        self.merging_moved.notify_all();
    }

    /// Waits until there may be something to merge; false is the end.
    pub(super) fn wait_for_merging(&self) -> bool {
        let mut merging = lock(&self.merging);
        merging.busy = false;
        self.merging_moved.notify_all();
        while !merging.wanted && !merging.stop {
            merging = wait(&self.merging_moved, merging);
        }
        merging.wanted = false;
        merging.busy = true;
        !merging.stop
    }

    /// Whether the threads are to end.
    pub(super) fn is_stopping(&self) -> bool {
        lock(&self.merging).stop
    }

    /// Waits until there is nothing to merge.
    pub(super) fn wait_until_merged(&self) {
        let _hurry = self.index.pace.hurry();
        let mut merging = lock(&self.merging);
        while (merging.wanted || merging.busy) && !merging.stop {
            merging = wait(&self.merging_moved, merging);
        }
    }

    /// Tells the threads to end.
    pub(super) fn stop(&self) {
        self.index.pace.hurry_for_good();
        lock(&self.shelf).stop = true;
        self.shelf_moved.notify_all();
        lock(&self.work).stop = true;
        self.work_came.notify_all();
        self.work_done.notify_all();
        lock(&self.merging).stop = true;
        self.merging_moved.notify_all();
    }
}
