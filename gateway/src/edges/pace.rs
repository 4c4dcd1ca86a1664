//! A rate with bursts in four bytes (GCRA): when the next one would be due if its sender kept to the rate.

/// What a sender may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// So many a second; at least one.
    pub per_second: u32,
    /// So many at once; at least one.
    pub burst: u32,
}

/// How far a sender has used its rate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace(u32);

impl Pace {
    /// Of a sender that has done nothing yet; the time is in monotonic milliseconds.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self(now as u32)
    }

    /// Counts one; whether it is within the rate.
    pub fn takes(&mut self, rate: Rate, now: u64) -> bool {
        let interval = 1_000 / u64::from(rate.per_second.max(1));
        let burst = u64::from(rate.burst.max(1));
        // What is further ahead than a burst lies in truth half a turn of the clock back, three weeks.
        let ahead = u64::from(self.0.wrapping_sub(now as u32));
        let ahead = if ahead > interval * burst { 0 } else { ahead };
        if ahead > interval * (burst - 1) {
            return false;
        }
        self.0 = (now + ahead + interval) as u32;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_and_then_the_rate() {
        let rate = Rate { per_second: 20, burst: 60 };
        let mut pace = Pace(0);
        let taken = (0..100).filter(|_| pace.takes(rate, 1_000)).count();
        assert_eq!(taken, 60);
        assert!(!pace.takes(rate, 1_049));
        assert!(pace.takes(rate, 1_050));
        // The low half of the clock wraps after seven weeks.
        let (wrap, mut pace) = (1_u64 << 32, Pace(u32::MAX - 99));
        let taken = (0..100).filter(|_| pace.takes(rate, wrap - 100)).count();
        assert_eq!(taken, 60);
        assert!(!pace.takes(rate, wrap - 51));
        assert!(pace.takes(rate, wrap + 1_000));
    }
}
