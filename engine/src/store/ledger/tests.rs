//! Trials of the whole ledger, and the disk that fails on demand.

mod faults;
mod model;
mod readers;
mod tail;

use std::cell::Cell;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::disk::{Disk, Real};
use super::{Batch, Kind, Options, Reader, Space, Writer, open_on};

thread_local! {
    /// What this thread's clock shows.
    static CLOCK: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

fn clock() -> Instant {
    static BEGUN: OnceLock<Instant> = OnceLock::new();
    #[expect(clippy::disallowed_methods, reason = "where the tests' own clock begins")]
    let begun = *BEGUN.get_or_init(Instant::now);
    begun + CLOCK.get()
}

fn pass(time: Duration) {
    CLOCK.set(CLOCK.get() + time);
}

/// So small that everything happens: segments of some frames, tables of some rows.
fn small() -> Options {
    Options {
        segment_bytes: 20 << 10,
        table_bytes: 8 << 10,
        tables_waiting: 2,
        reserve_bytes: 1 << 20,
        separate: Some(32),
        runs: 2,
        merged_bytes: 8 << 10,
        ..Options::new(clock, 42)
    }
}

fn open(path: &Path) -> (Writer, Reader) {
    super::open(path, small()).unwrap()
}

fn put(key: &str, value: &str) -> Batch {
    let mut batch = Batch::new();
    batch.put(Space::Messages, key.as_bytes(), value.as_bytes());
    batch
}

/// Commits, and waits for the index where it lags.
fn commit(writer: &mut Writer, batches: &[Batch]) {
    while let Err(failure) = writer.commit(batches) {
        assert_eq!(failure.kind, Kind::Busy, "{failure}");
        writer.wait_for_index().unwrap();
    }
}

fn get(reader: &Reader, key: &str) -> Option<String> {
    let value = reader.get(Space::Messages, key.as_bytes()).unwrap()?;
    Some(String::from_utf8(value.to_vec()).unwrap())
}

/// A disk that fails on demand.
#[derive(Debug)]
struct Faulty {
    write: AtomicBool,
    sync: AtomicBool,
    cut: AtomicBool,
    flush: AtomicBool,
    free: AtomicU64,
    looks: AtomicU64,
}

impl Faulty {
    fn open(path: &Path, options: Options) -> (Writer, Reader, Arc<Self>) {
        let disk = Arc::new(Self {
            write: AtomicBool::new(false),
            sync: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            flush: AtomicBool::new(false),
            free: AtomicU64::new(u64::MAX),
            looks: AtomicU64::new(0),
        });
        let (writer, reader) = open_on(path, options, disk.clone()).unwrap();
        (writer, reader, disk)
    }
}

fn unless(fails: &AtomicBool) -> io::Result<()> {
    if fails.load(Ordering::SeqCst) { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
}

impl Disk for Faulty {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if let Err(error) = unless(&self.write) {
            // Half of it is there, as when a disk fills.
            Real.write(file, &bytes[..bytes.len() / 2], offset)?;
            return Err(error);
        }
        Real.write(file, bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        unless(&self.sync).and_then(|()| Real.sync(file))
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        unless(&self.cut).and_then(|()| Real.cut(file, length))
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        Ok(self.free.load(Ordering::SeqCst))
    }

    fn may_flush(&self) -> io::Result<()> {
        unless(&self.flush)
    }
}
