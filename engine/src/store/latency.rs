//! How long the store takes: a histogram that one thread fills and any thread reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the buckets, microseconds; what is longer falls into one more.
pub const BOUNDS: [u64; 19] = [
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    1_000_000, 2_000_000, 5_000_000, 10_000_000,
];

/// Counts of durations by bucket.
#[derive(Debug, Default)]
pub struct LatencyHistogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum: AtomicU64,
}

/// What a [`LatencyHistogram`] held at one moment (give or take what was recorded meanwhile).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// How many durations were at most as long as each of [`BOUNDS`], and last, how many there were at all.
    pub at_most: [u64; BOUNDS.len() + 1],
    /// Their sum, microseconds.
    pub sum: u64,
}

impl LatencyHistogram {
    /// Counts one duration.
    pub fn record(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.buckets[BOUNDS.partition_point(|&bound| bound < micros)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// Reads it.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut so_far = 0;
        let at_most = self.buckets.each_ref().map(|bucket| {
            so_far += bucket.load(Ordering::Relaxed);
            so_far
        });
        Snapshot { at_most, sum: self.sum.load(Ordering::Relaxed) }
    }
}

impl Snapshot {
    /// How many durations there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.at_most[BOUNDS.len()]
    }

    /// The smallest bound that this share (0 to 1) of the durations kept to, microseconds; `None` when there were
    /// none or the bound is beyond the last.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let wanted = (share * self.count() as f64).ceil().max(1.0) as u64;
        let at = self.at_most.partition_point(|&count| count < wanted);
        BOUNDS.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_their_buckets() {
        let histogram = LatencyHistogram::default();
        assert_eq!(histogram.snapshot(), Snapshot::default());
        assert_eq!(histogram.snapshot().quantile(0.5), None);
        for micros in [0, 10, 11, 1_000, 9_999_999, 10_000_000, 10_000_001] {
            histogram.record(Duration::from_micros(micros));
        }
        let snapshot = histogram.snapshot();
        assert_eq!(snapshot.count(), 7);
        assert_eq!(snapshot.at_most[0], 2);
        assert_eq!(snapshot.at_most[1], 3);
        assert_eq!(snapshot.at_most[BOUNDS.len() - 1], 6);
        assert_eq!(snapshot.sum, 30_001_021);
        assert_eq!(snapshot.quantile(0.0), Some(10));
        assert_eq!(snapshot.quantile(0.5), Some(1_000));
        assert_eq!(snapshot.quantile(0.99), None);
    }
}
