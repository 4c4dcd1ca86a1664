//! What the threads of the store tell the metrics and the readiness; read from any thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Failure, FailureKind};
use crate::store::{Health, LatencyHistogram};

/// Upper ends of the buckets of a [`SizeHistogram`]; what is greater falls into one more.
pub const SIZES: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000];

/// After this long without a failed read, reading counts as well again.
const QUIET: Duration = Duration::from_secs(30);

/// Counts of sizes by bucket.
#[derive(Debug, Default)]
pub struct SizeHistogram {
    buckets: [AtomicU64; SIZES.len() + 1],
    sum: AtomicU64,
}

/// What a [`SizeHistogram`] held at one moment (give or take what was recorded meanwhile).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeSnapshot {
    /// How many were at most as great as each of [`SIZES`], and last, how many there were at all.
    pub at_most: [u64; SIZES.len() + 1],
    /// Their sum.
    pub sum: u64,
}

impl SizeHistogram {
    /// Counts one.
    pub fn record(&self, size: u64) {
        self.buckets[SIZES.partition_point(|&bound| bound < size)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(size, Ordering::Relaxed);
    }

    /// Reads it.
    #[must_use]
    pub fn snapshot(&self) -> SizeSnapshot {
        let mut so_far = 0;
        let at_most = self.buckets.each_ref().map(|bucket| {
            so_far += bucket.load(Ordering::Relaxed);
            so_far
        });
        SizeSnapshot { at_most, sum: self.sum.load(Ordering::Relaxed) }
    }
}

impl SizeSnapshot {
    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.at_most[SIZES.len()]
    }
}

/// How the store of conversations is.
#[derive(Debug, Default)]
pub struct Status {
    /// Time of each commit.
    pub commits: LatencyHistogram,
    /// Writes of each commit.
    pub batches: SizeHistogram,
    /// Time of each read.
    pub reads: LatencyHistogram,
    pub(super) writes: AtomicU64,
    busy: AtomicU64,
    failed: AtomicU64,
    pub(super) episodes: AtomicU64,
    pub(super) in_doubt: AtomicU64,
    writing: Mutex<Health>,
    reading: Mutex<Reading>,
    /// Whether `reading` has anything to tell.
    reads_fail: AtomicBool,
}

/// Reads that fail.
#[derive(Debug, Default)]
struct Reading {
    health: Health,
    latest: Option<Instant>,
}

impl Status {
    /// Whether the store works: writing first.
    #[must_use]
    pub fn health(&self) -> Health {
        match lock(&self.writing).clone() {
            Health::Ok => lock(&self.reading).health.clone(),
            failing => failing,
        }
    }

    /// Writes that are on stable storage.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Requests that were answered busy.
    #[must_use]
    pub fn busy(&self) -> u64 {
        self.busy.load(Ordering::Relaxed)
    }

    /// Requests that were answered unavailable.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// How often the store began to fail.
    #[must_use]
    pub fn episodes(&self) -> u64 {
        self.episodes.load(Ordering::Relaxed)
    }

    /// Writes whose fate is not known at the moment; they are answered when it is.
    #[must_use]
    pub fn in_doubt(&self) -> u64 {
        self.in_doubt.load(Ordering::Relaxed)
    }

    /// So many more writes are on stable storage.
    pub(in crate::store) fn wrote(&self, writes: u64) {
        self.writes.fetch_add(writes, Ordering::Relaxed);
    }

    /// So many more writes are in doubt, or so many fewer.
    pub(in crate::store) fn doubts(&self, more: i64) {
        self.in_doubt.fetch_add(more as u64, Ordering::Relaxed);
    }

    /// It begins to fail.
    pub(in crate::store) fn begins(&self) {
        self.episodes.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::store) fn count(&self, failure: &Failure) {
        let count = if failure.kind == FailureKind::Busy { &self.busy } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub(in crate::store) fn show(&self, health: Health) {
        *lock(&self.writing) = health;
    }

    /// A read has failed: one line in the log, until reading has been well for a while.
    pub(in crate::store) fn read_failed(&self, now: Instant, error: &str) {
        let mut reading = lock(&self.reading);
        reading.latest = Some(now);
        let since = match reading.health {
            Health::Failing { since, .. } => since,
            Health::Ok => {
                self.episodes.fetch_add(1, Ordering::Relaxed);
                tracing::error!(error, "the conversations' store cannot read");
                now
            }
        };
        reading.health = Health::Failing { since, error: error.to_owned() };
        self.reads_fail.store(true, Ordering::Relaxed);
    }

    /// A read has succeeded.
    pub(in crate::store) fn read_passed(&self, now: Instant) {
        if !self.reads_fail.load(Ordering::Relaxed) {
            return;
        }
        let mut reading = lock(&self.reading);
        let is_quiet = reading.latest.is_none_or(|latest| now.saturating_duration_since(latest) >= QUIET);
        if is_quiet && reading.health != Health::Ok {
            tracing::info!("the conversations' store can read again");
            *reading = Reading::default();
            self.reads_fail.store(false, Ordering::Relaxed);
        }
    }
}

/// Nothing panics while it holds one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_fall_into_their_buckets() {
        let histogram = SizeHistogram::default();
        for size in [1, 1, 2, 3, 1_024, 9_999] {
            histogram.record(size);
        }
        let snapshot = histogram.snapshot();
        assert_eq!((snapshot.at_most[0], snapshot.at_most[1], snapshot.at_most[2]), (2, 3, 4));
        assert_eq!((snapshot.at_most[SIZES.len() - 1], snapshot.at_most[SIZES.len()]), (5, 6));
        assert_eq!(snapshot.sum, 11_030);
    }
}
