//! The front door's one clock.
//!
//! Everything behind it takes the time as an argument. Tests hold a clock that stands still until told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the time of day.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Fixed(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that stands at a time in milliseconds since 1970. Its clones stand there too, and move with it.
    pub fn fixed(unix_ms: u64) -> Clock {
        Clock(Source::Fixed(Arc::new(AtomicU64::new(unix_ms))))
    }

    /// The time in milliseconds since 1970.
    #[expect(clippy::disallowed_methods, reason = "this is the front door's one clock")]
    pub fn unix_ms(&self) -> u64 {
        match &self.0 {
            Source::System => {
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
            }
            Source::Fixed(time) => time.load(Ordering::Relaxed),
        }
    }

    /// Moves a fixed clock forward; the system's clock moves by itself.
    pub fn advance(&self, millis: u64) {
        if let Source::Fixed(time) = &self.0 {
            time.fetch_add(millis, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_moves_when_told() {
        let clock = Clock::fixed(1_000);
        let other = clock.clone();
        clock.advance(5);
        assert_eq!(other.unix_ms(), 1_005);
        assert!(Clock::system().unix_ms() > 1_700_000_000_000);
    }
}
