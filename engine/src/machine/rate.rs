//! How fast a session may command: a token bucket in four bytes.
//!
//! The bucket is kept as the time at which it will be full again: each command moves that time on, and is refused
//! when it would lie further ahead than an empty bucket takes to fill.

/// Seconds in a row with a refusal in each, after which the session is closed.
pub(super) const OVERLOAD_SECONDS: u16 = 10;

/// The rate of all sessions, in units of time that are fine enough for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// Units in a millisecond.
    units: u64,
    /// Units that one command takes to come back.
    interval: u64,
    /// Units that an empty bucket takes to fill.
    window: u64,
}

impl Rate {
    pub(super) fn new(per_second: u32, burst: u32) -> Self {
        let per_second = u64::from(per_second.max(1));
        // At least sixteen units for each command, so that rounding takes off no more than a few hundredths.
        let units = (per_second * 16).div_ceil(1_000).next_power_of_two().max(16);
        let interval = units * 1_000 / per_second;
        // Half the range of the clock: days of commands at once.
        let window = (interval * u64::from(burst)).min(1 << 31);
        Self { units, interval, window }
    }
}

/// The bucket of one session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    /// The low half of the time, in units, at which it is full.
    full_at: u32,
}

/// What the bucket says to a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// Go on.
    Pass,
    /// Too fast.
    Refuse,
    /// Too fast for too long.
    Close,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(now: u64, rate: Rate) -> Self {
        Self { full_at: (now * rate.units) as u32 }
    }

    /// Units until it is full.
    fn missing(self, now: u64, rate: Rate) -> u64 {
        let missing = u64::from(self.full_at.wrapping_sub((now * rate.units) as u32));
        // What lies further ahead than any bucket can be empty lies behind.
        if missing > rate.window { 0 } else { missing }
    }

    /// Takes one command out, if it is in.
    pub(super) fn take(&mut self, now: u64, rate: Rate) -> bool {
        let missing = self.missing(now, rate) + rate.interval;
        let there = missing <= rate.window;
        if there {
            self.full_at = (now * rate.units + missing) as u32;
        }
        there
    }

    /// A full bucket stays full, however long nobody asks: the clock of 32 bits turns round within days. (Without a
    /// timer that comes by, a session silent for exactly that long finds its bucket not quite full.)
    pub(super) fn rest(&mut self, now: u64, rate: Rate) {
        if self.missing(now, rate) == 0 {
            *self = Self::new(now, rate);
        }
    }
}

/// A session's refused commands.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Refusals {
    second: u16,
    in_a_row: u16,
}

impl Refusals {
    /// One more.
    pub(super) fn refused(&mut self, now: u64) -> Verdict {
        let second = (now / 1_000) as u16;
        match second.wrapping_sub(self.second) {
            0 => self.in_a_row = self.in_a_row.max(1),
            1 => self.in_a_row = self.in_a_row.saturating_add(1),
            _ => self.in_a_row = 1,
        }
        self.second = second;
        if self.in_a_row > OVERLOAD_SECONDS { Verdict::Close } else { Verdict::Refuse }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shortly before the low half of the units wraps.
    const WRAP: u64 = (1 << 32) / 16 - 500;

    /// Sends a command every `gap` ms for `ms` and says what came: passed, refused, closed at.
    fn run(start: u64, gap: usize, ms: u64) -> (u32, u32, Option<u64>) {
        let rate = Rate::new(20, 60);
        let (mut bucket, mut refusals) = (Bucket::new(start, rate), Refusals::default());
        let (mut passed, mut refused) = (0, 0);
        for at in (0..ms).step_by(gap) {
            if bucket.take(start + at, rate) {
                passed += 1;
            } else if refusals.refused(start + at) == Verdict::Close {
                return (passed, refused, Some(at));
            } else {
                refused += 1;
            }
        }
        (passed, refused, None)
    }

    #[test]
    fn the_rate_and_the_burst() {
        assert_eq!(size_of::<Bucket>(), 4);
        assert_eq!(run(WRAP, 50, 60_000), (1_200, 0, None), "20 a second is allowed for ever");
        let (passed, refused, closed) = run(WRAP, 1, 1_000);
        assert_eq!((passed, closed), (60 + 19, None), "60 at once and 20 a second");
        assert!(refused > 900);
    }

    #[test]
    fn any_rate_is_kept_within_hundredths() {
        for per_second in [1, 3, 7, 20, 999, 1_000, 30_001, 1_000_000] {
            for burst in [1, 60, 5_000] {
                let rate = Rate::new(per_second, burst);
                let mut bucket = Bucket::new(WRAP, rate);
                let at_once = (0..10_000).filter(|_| bucket.take(WRAP, rate)).count();
                assert_eq!(at_once, burst as usize, "{per_second} a second");
                let later = WRAP + 1 + 1_000 * u64::from(burst.div_ceil(per_second));
                let again = (0..10_000).filter(|_| bucket.take(later, rate)).count();
                assert_eq!(again, burst as usize, "{per_second} a second");
                let wanted = f64::from(per_second);
                let kept = rate.units as f64 * 1_000.0 / rate.interval as f64;
                assert!(kept >= wanted && kept < wanted * 1.07, "{kept} for {wanted}");
            }
        }
    }

    #[test]
    fn a_full_bucket_stays_full_while_somebody_comes_by() {
        let rate = Rate::new(1, 10_000);
        let mut bucket = Bucket::new(0, rate);
        for now in (0..1 << 33).step_by(1 << 22) {
            bucket.rest(now, rate);
            assert_eq!(bucket.missing(now + (1 << 22), rate), 0);
        }
        assert!(bucket.take(1 << 33, rate));
        bucket.rest(1 << 33, rate);
        assert_ne!(bucket.missing(1 << 33, rate), 0, "rest is no gift");
    }

    #[test]
    fn steady_overload_closes_after_ten_seconds() {
        let (_, _, closed) = run(1_000_000, 10, 60_000);
        assert!((10_000..12_500).contains(&closed.unwrap()), "{closed:?}");
    }

    #[test]
    fn a_pause_forgives() {
        let rate = Rate::new(20, 60);
        let (mut bucket, mut refusals) = (Bucket::new(0, rate), Refusals::default());
        for second in 0..60_u64 {
            for now in (0..200).map(|n| second * 3_000 + n) {
                assert!(bucket.take(now, rate) || refusals.refused(now) != Verdict::Close);
            }
        }
    }
}
