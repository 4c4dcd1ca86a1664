//! How fast the threads behind the writer go.
//!
//! A flush or a merge takes a core for half a second and longer, and the shards want it meanwhile: on a machine with few
//! cores that alone would be the slowest hundredth of all answers. But it has time: until the next table is full. So both
//! rest after every few rows, three quarters of the time, unless more comes than they would get done so, or somebody waits
//! for them. Then they go on as fast as they can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use lsm_tree::compaction::filter::{CompactionFilter, Context, Factory, ItemAccessor, Verdict};

/// Rows from one rest to the next, about a quarter of a millisecond's work, and how long it is.
const REST: (usize, Duration) = (64, Duration::from_micros(750));

/// How much further than the next table a flush is to be.
const AHEAD: f64 = 2.0;

/// Who rests, and who may not.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Those who wait, or do not want to wait any more.
    hurried: AtomicUsize,
    /// A flush would be late if it rested.
    late: AtomicBool,
    /// More runs wait to be merged than are good for readers.
    behind: AtomicBool,
}

impl Pace {
    /// Nobody rests until what is returned is dropped.
    pub(super) fn hurry(&self) -> Hurry<'_> {
        self.hurry_for_good();
        Hurry(self)
    }

    /// Nobody rests any more.
    pub(super) fn hurry_for_good(&self) {
        self.hurried.fetch_add(1, Ordering::Relaxed);
    }

    /// A flush has written so many of a table's rows. `fill` says how full the next table is, 1 being full or more.
    pub(super) fn flushing(&self, written: usize, of: usize, fill: impl FnOnce() -> f64) {
        if !written.is_multiple_of(REST.0) {
            return;
        }
        let late = (written as f64) < fill() * AHEAD * of as f64;
        self.late.store(late, Ordering::Relaxed);
        if !late {
            self.rest();
        }
    }

    /// Whether there is more to merge than there should be.
    pub(super) fn set_behind(&self, behind: bool) {
        self.behind.store(behind, Ordering::Relaxed);
    }

    fn merging(&self) {
        if !self.late.load(Ordering::Relaxed) && !self.behind.load(Ordering::Relaxed) {
            self.rest();
        }
    }

    fn rest(&self) {
        if self.hurried.load(Ordering::Relaxed) == 0 {
            thread::park_timeout(REST.1);
        }
    }
}

/// Somebody waits.
pub(super) struct Hurry<'a>(&'a Pace);

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.hurried.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What has a merge rest: a filter that keeps every row.
pub(super) struct Merges(pub(super) Arc<Pace>);

struct Merge {
    pace: Arc<Pace>,
    rows: usize,
}

impl Factory for Merges {
    fn name(&self) -> &str {
        "pace"
    }

    fn make_filter(&self, _: &Context) -> Box<dyn CompactionFilter> {
        Box::new(Merge { pace: self.0.clone(), rows: 0 })
    }
}

impl CompactionFilter for Merge {
    fn filter_item(&mut self, _: ItemAccessor<'_>, _: &Context) -> lsm_tree::Result<Verdict> {
        self.rows += 1;
        if self.rows.is_multiple_of(REST.0) {
            self.pace.merging();
        }
        Ok(Verdict::Keep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn late(pace: &Pace, written: usize, fill: f64) -> bool {
        pace.flushing(written, 6_400, || fill);
        pace.late.load(Ordering::Relaxed)
    }

    #[test]
    fn a_flush_is_late_when_it_would_not_be_done_before_the_next_table_is_half_full() {
        let pace = Pace::default();
        assert!(!late(&pace, 64, 0.0), "nothing comes");
        assert!(!late(&pace, 640, 0.05), "as far as it is to be");
        assert!(late(&pace, 640, 0.06));
        assert!(late(&pace, 6_400, 1.0), "the next one waits");
        assert!(!late(&pace, 6_400, 0.5));
    }

    #[test]
    fn who_hurries_is_counted() {
        let pace = Pace::default();
        let (one, two) = (pace.hurry(), pace.hurry());
        drop(one);
        assert_eq!(pace.hurried.load(Ordering::Relaxed), 1);
        drop(two);
        assert_eq!(pace.hurried.load(Ordering::Relaxed), 0);
        pace.hurry_for_good();
        drop(pace.hurry());
        assert_eq!(pace.hurried.load(Ordering::Relaxed), 1);
    }
}
