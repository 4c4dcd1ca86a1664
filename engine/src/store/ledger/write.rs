//! Writing: the one end of the log.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::files::{Folder, Position};
use super::flush::Threads;
use super::index::Index;
use super::log::Log;
use super::replay::replay;
use super::segment::{self, Segment};
use super::shared::{Shared, View};
use super::{Batch, Failure, Kind, OpenError, Options, Reader, frame};

/// How long, and for how many bytes, a look at the free space counts.
const LOOK: (Duration, u64) = (Duration::from_millis(100), 4 << 20);
/// A table stands for no more of the log than as many times its size.
const LOGGED_MOST: u64 = 4;
/// After a commit of more than this the buffer is given back.
const BUFFER_KEPT: usize = 4 << 20;

/// Commits rows. There is one; its methods block.
pub struct Writer {
    /// Dropped first: the threads end while everything else is there.
    _threads: Threads,
    shared: Arc<Shared>,
    log: Log,
    buffer: Vec<u8>,
    /// Bytes of the log that the active table stands for.
    logged: u64,
    /// Why nothing is committed until [`Writer::recover`].
    broken: Option<String>,
    room: Room,
}

/// What the last look at the free space has found.
#[derive(Debug, Default)]
struct Room {
    looked: Option<Instant>,
    written: u64,
    full: Option<u64>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("at", &self.log.position())
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

impl Writer {
    pub(super) fn open(path: &Path, options: Options, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let fails = |error| OpenError::io(path, error);
        let folder = Folder::take(path, options.salt, options.separate.is_some())?;
        let checkpoint = folder.checkpoint()?;
        let index = Index::open(folder.index(), folder.aside, &options)?;
        let (log, salt) = (folder.log(), folder.salt);
        let begun = (options.clock)();
        let shared = Arc::new(Shared::new(options, disk.clone(), folder, index));
        let threads = Threads::start(&shared).map_err(fails)?;
        let (mut frames, mut logged, mut last) = (0_u64, 0, checkpoint);
        let (end, behind) = replay(&log, salt, checkpoint, |rows, end| {
            frames += 1;
            logged += end.offset - if end.segment == last.segment { last.offset } else { 0 };
            last = end;
            let view = shared.view();
            view.active.put(rows.iter());
            if is_full(&shared, &view, logged) {
                logged = 0;
                // No more in memory than in a run of its own.
                shared
                    .wait_for_flusher(shared.options.tables_waiting)
                    .map_err(|error| fails(std::io::Error::other(error)))?;
                shared.freeze(end);
            }
            Ok(())
        })?;
        // Nothing of these was ever acknowledged.
        for number in behind {
            std::fs::remove_file(segment::path(&log, number)).map_err(fails)?;
        }
        let current = if segment::path(&log, end.segment).try_exists().map_err(fails)? {
            Segment::open(&log, end.segment).map_err(fails)?
        } else {
            Segment::make(&log, end.segment, salt, None, &*disk).map_err(fails)?
        };
        let log_end = Log::at(disk, current, salt, end);
        log_end.cut().map_err(fails)?;
        shared.stock(end.segment + 1, checkpoint.segment).map_err(fails)?;
        let seconds = (shared.options.clock)().saturating_duration_since(begun).as_secs_f64();
        tracing::debug!(frames, seconds, "the ledger's log is read");
        Ok(Self {
            _threads: threads,
            shared,
            log: log_end,
            buffer: Vec::new(),
            logged,
            broken: None,
            room: Room::default(),
        })
    }

    /// A reader of this ledger.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(self.shared.clone())
    }

    /// Commits these batches: when it returns they are on the disk and readers see them. After a failure none of them
    /// is seen; after one of kind [`Kind::Broken`] they may be there after a restart if [`Writer::recover`] has not
    /// succeeded before.
    ///
    /// # Errors
    /// See [`Kind`].
    pub fn commit(&mut self, batches: &[Batch]) -> Result<(), Failure> {
        if let Some(broken) = &self.broken {
            return Err(Failure::new(Kind::Broken, broken.clone()));
        }
        if batches.iter().all(Batch::is_empty) {
            return Ok(());
        }
        self.make_way()?;
        self.look_for_room()?;
        self.append(batches)?;
        let view = self.shared.view();
        // A batch at a time: a reader sees all of it or nothing, and waits for no more than one.
        for batch in batches {
            view.active.put(batch.rows.iter());
        }
        // If there is no way for it now, the next commit sees to it.
        _ = self.make_way();
        Ok(())
    }

    /// Whether commits would be refused because the index is behind.
    #[must_use]
    pub fn is_lagging(&self) -> bool {
        let view = self.shared.view();
        view.frozen.len() >= self.shared.options.tables_waiting && is_full(&self.shared, &view, self.logged)
    }

    /// After a failure of kind [`Kind::Broken`]: takes back what is written and not acknowledged, goes on in a new
    /// segment, and proves it with a frame.
    ///
    /// # Errors
    /// When the disk still does not let it. What could be read before still can.
    pub fn recover(&mut self) -> Result<(), Failure> {
        if self.broken.is_none() {
            return Ok(());
        }
        let fails = |error: std::io::Error| Failure::new(Kind::Broken, format!("the log: {error}"));
        // A page that failed to reach the disk may be taken for written by a later sync. So the old segment ends
        // where the last acknowledged frame does, and nothing is written to its last page again.
        self.log.cut().map_err(fails)?;
        let segment = self.shared.take_segment().map_err(fails)?;
        self.log.turn_to(segment);
        frame::write(&mut self.buffer, &[], self.log.position().sequence, self.log.seed())?;
        self.log.append(&self.buffer).map_err(fails)?;
        self.broken = None;
        self.room = Room::default();
        Ok(())
    }

    /// Brings everything that is committed into the index and waits for it, so that the next opening has nothing to
    /// read again. Nobody needs to, for safety.
    ///
    /// # Errors
    /// When the index does not take it.
    pub fn flush(&mut self) -> Result<(), Failure> {
        let view = self.shared.view();
        if super::Space::ALL.iter().any(|&space| !view.active.is_empty(space)) {
            self.freeze();
        }
        self.shared.wait_for_flusher(0).map_err(|error| Failure::new(Kind::Broken, error))
    }

    /// Waits until no more tables wait for the index than may.
    ///
    /// # Errors
    /// When the index does not take them.
    pub fn wait_for_index(&self) -> Result<(), Failure> {
        let most = self.shared.options.tables_waiting.saturating_sub(1);
        self.shared.wait_for_flusher(most).map_err(|error| Failure::new(Kind::Broken, error))
    }

    /// Waits until the index has nothing left to merge.
    pub fn wait_until_merged(&self) {
        self.shared.wait_until_merged();
    }

    /// Freezes the active table if it is full.
    fn make_way(&mut self) -> Result<(), Failure> {
        let view = self.shared.view();
        if !is_full(&self.shared, &view, self.logged) {
            return Ok(());
        }
        if view.frozen.len() >= self.shared.options.tables_waiting {
            let why = self.shared.trouble().unwrap_or_else(|| "it does not keep up".into());
            return Err(Failure::new(Kind::Busy, format!("too much waits for the index: {why}")));
        }
        self.freeze();
        Ok(())
    }

    fn freeze(&mut self) {
        self.shared.freeze(self.log.position());
        self.logged = 0;
    }

    fn look_for_room(&mut self) -> Result<(), Failure> {
        let now = (self.shared.options.clock)();
        let (time, bytes) = LOOK;
        let recent = |looked: Instant| now.saturating_duration_since(looked) < time;
        if !self.room.looked.is_some_and(recent) || self.room.written >= bytes {
            let free = self.shared.disk.free(&self.shared.folder.path).map_err(|error| {
                Failure::new(Kind::Full, format!("what is free on the disk is unknown: {error}"))
            })?;
            let full = (free < self.shared.options.reserve_bytes).then_some(free);
            self.room = Room { looked: Some(now), written: 0, full };
        }
        match self.room.full {
            Some(free) => Err(Failure::new(
                Kind::Full,
                format!(
                    "{} MiB are free on the disk, and {} MiB are kept in reserve: make room, and it goes on by itself",
                    free >> 20,
                    self.shared.options.reserve_bytes >> 20
                ),
            )),
            None => Ok(()),
        }
    }

    fn append(&mut self, batches: &[Batch]) -> Result<(), Failure> {
        let Position { sequence, .. } = self.log.position();
        frame::write(&mut self.buffer, batches, sequence, self.log.seed())?;
        let mut result = Ok(());
        if !self.log.fits(self.buffer.len(), self.shared.options.segment_bytes) {
            result = self.shared.take_segment().map(|segment| self.log.turn_to(segment));
            if result.is_ok() {
                // The sums are the new segment's.
                frame::write(&mut self.buffer, batches, sequence, self.log.seed())?;
            }
        }
        let result = result.and_then(|()| self.log.append(&self.buffer));
        self.room.written += self.buffer.len() as u64;
        self.logged += self.buffer.len() as u64;
        if self.buffer.capacity() > BUFFER_KEPT {
            self.buffer = Vec::new();
        }
        result.map_err(|error| {
            let what = format!("the log: {error}");
            self.broken = Some(what.clone());
            Failure::new(Kind::Broken, what)
        })
    }
}

/// Whether a table is to be frozen: for its rows, or for the log that an opening would have to read for them, since a
/// commit of one row takes a page.
fn is_full(shared: &Shared, view: &View, logged: u64) -> bool {
    let most = shared.options.table_bytes;
    view.active.bytes() >= most || logged >= (most as u64).saturating_mul(LOGGED_MOST)
}
