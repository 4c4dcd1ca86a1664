//! The driver's clock: the only place in the engine that reads time.
//!
//! Everything above gets time as an argument, so that the simulator can replay a run. A shard reads its clock once a
//! turn.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Monotonic milliseconds since the clock was made, and the wall clock beside it.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts at zero now. Copies of it show the same time.
    #[expect(clippy::disallowed_methods, reason = "the driver's clock is where time enters the engine")]
    pub fn start() -> Self {
        Self { start: Instant::now() }
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

    /// Monotonic milliseconds since the start; never goes backwards.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Unix time in milliseconds; may jump when the machine's clock is set. 0 before 1970.
    #[expect(clippy::disallowed_methods, reason = "the driver's clock is where time enters the engine")]
    pub fn wall_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_goes_backwards_and_copies_agree() {
        let clock = Clock::start();
        let copy = clock;
        let first = clock.now_ms();
        let second = copy.now_ms();
        assert!(second >= first && second < first + 60_000);
        // 2020-01-01: a wall clock that shows less has not been set.
        assert!(clock.wall_ms() > 1_577_836_800_000);
    }
}
