//! How fast a session may command: a token bucket in twelve bytes.

/// Seconds in a row with a refusal in each, after which the session is closed.
pub(super) const OVERLOAD_SECONDS: u16 = 10;

/// One command costs this much; the bucket counts in thousandths, so that a millisecond at one command per second
/// is one.
const COMMAND: u32 = 1_000;

/// The bucket of one session. Ticks are the low 32 bits of monotonic milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    level: u32,
    filled: u32,
    refused_second: u16,
    refused_in_a_row: u16,
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
    pub(super) fn new(tick: u32, burst: u32) -> Self {
        Self {
            level: burst.saturating_mul(COMMAND),
            filled: tick,
            refused_second: (tick / 1_000) as u16,
            refused_in_a_row: 0,
        }
    }

    /// Takes one command out, if it is in.
    pub(super) fn take(&mut self, tick: u32, per_second: u32, burst: u32) -> Verdict {
        // A tick wraps every 49 days; a session silent for exactly that long finds its bucket not quite full.
        let grown = u64::from(tick.wrapping_sub(self.filled)) * u64::from(per_second);
        let full = u64::from(burst) * u64::from(COMMAND);
        self.level = u32::try_from((u64::from(self.level) + grown).min(full)).unwrap_or(u32::MAX);
        self.filled = tick;
        if self.level >= COMMAND {
            self.level -= COMMAND;
            return Verdict::Pass;
        }
        let second = (tick / 1_000) as u16;
        match second.wrapping_sub(self.refused_second) {
            0 => self.refused_in_a_row = self.refused_in_a_row.max(1),
            1 => self.refused_in_a_row = self.refused_in_a_row.saturating_add(1),
            _ => self.refused_in_a_row = 1,
        }
        self.refused_second = second;
        if self.refused_in_a_row > OVERLOAD_SECONDS { Verdict::Close } else { Verdict::Refuse }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shortly before the tick wraps; there a row of refusals begins anew, once in 49 days.
    const WRAP: u32 = u32::MAX - 500;

    /// Sends a command every `gap` ms for `ms` and says what came: passed, refused, closed at.
    fn run(start: u32, gap: u32, ms: u32) -> (u32, u32, Option<u32>) {
        let mut bucket = Bucket::new(start, 60);
        let (mut passed, mut refused) = (0, 0);
        for at in (0..ms).step_by(gap as usize) {
            match bucket.take(start.wrapping_add(at), 20, 60) {
                Verdict::Pass => passed += 1,
                Verdict::Refuse => refused += 1,
                Verdict::Close => return (passed, refused, Some(at)),
            }
        }
        (passed, refused, None)
    }

    #[test]
    fn the_rate_and_the_burst() {
        assert_eq!(run(WRAP, 50, 60_000), (1_200, 0, None), "20 a second is allowed for ever");
        let (passed, refused, closed) = run(WRAP, 1, 1_000);
        assert_eq!((passed, closed), (60 + 19, None), "60 at once and 20 a second");
        assert!(refused > 900);
    }

    #[test]
    fn steady_overload_closes_after_ten_seconds() {
        let (_, _, closed) = run(1_000_000, 10, 60_000);
        assert!((10_000..12_500).contains(&closed.unwrap()), "{closed:?}");
    }

    #[test]
    fn a_pause_forgives() {
        let mut bucket = Bucket::new(0, 60);
        for second in 0..60_u32 {
            let verdicts: Vec<Verdict> = (0..200).map(|n| bucket.take(second * 3_000 + n, 20, 60)).collect();
            assert!(!verdicts.contains(&Verdict::Close));
        }
    }
}
