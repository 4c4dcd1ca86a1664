//! The driver's clock: the only place in the engine that reads time.
//!
//! Everything above gets time as an argument, so that the simulator can replay a run. A shard reads its clock once a
//! turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic milliseconds since the clock was made, and the wall clock beside it.
#[derive(Clone, Debug)]
pub struct Clock {
    start: Instant,
    /// The latest wall time that anybody was told.
    latest: Arc<AtomicU64>,
}

/// A wall clock that is set back by up to this is held where it was, for all shards alike: what they stamp must not
/// go back, nor contradict each other.
const HOLD_MS: u64 = 3_600_000;

impl Clock {
    /// A clock that starts at zero now. Copies of it show the same time.
    #[expect(clippy::disallowed_methods, reason = "the driver's clock is where time enters the engine")]
    pub fn start() -> Self {
        Self { start: Instant::now(), latest: Arc::default() }
    }

    /// Monotonic time since the start.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The moment itself, for code that measures spans.
    #[must_use]
    pub fn instant(&self) -> Instant {
        self.start + self.start.elapsed()
    }

    /// The moment itself, for code that can keep no clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the driver's clock is where time enters the engine")]
    pub fn moment() -> Instant {
        Instant::now()
    }

    /// Monotonic milliseconds since the start; never goes backwards.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Unix time in milliseconds, the same for all copies. It may jump forward when the machine's clock is set; set
    /// back by up to an hour it stands still until the time has come again. 0 before 1970.
    #[expect(clippy::disallowed_methods, reason = "the driver's clock is where time enters the engine")]
    pub fn wall_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.hold(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn hold(&self, wall: u64) -> u64 {
        let latest = self.latest.fetch_max(wall, Ordering::Relaxed).max(wall);
        if latest - wall <= HOLD_MS {
            return latest;
        }
        // Set back by more: whoever did that meant it.
        self.latest.store(wall, Ordering::Relaxed);
        wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_that_is_set_back_a_little_is_held_for_all() {
        let clock = Clock::start();
        let copy = clock.clone();
        let told = [10_000_000, 9_000_000, 10_000_001, 1_000_000, 1_000_001].map(|wall| clock.hold(wall));
        assert_eq!(told, [10_000_000, 10_000_000, 10_000_001, 1_000_000, 1_000_001]);
        assert_eq!(copy.hold(999_000), 1_000_001);
    }

    #[test]
    fn never_goes_backwards_and_copies_agree() {
        let clock = Clock::start();
        let copy = clock.clone();
        let first = clock.now_ms();
        let second = copy.now_ms();
        assert!(second >= first && second < first + 60_000);
        // 2020-01-01: a wall clock that shows less has not been set.
        assert!(clock.wall_ms() > 1_577_836_800_000);
    }
}
