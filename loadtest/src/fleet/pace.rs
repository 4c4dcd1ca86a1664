//! When things are due: evenly, from a beginning, whatever happens meanwhile. What comes late is still counted from
//! when it was due.

/// An open loop.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    base: u64,
    step: f64,
    done: u64,
}

impl Pace {
    /// `rate` a second from `base` on (nanoseconds), the first after a `share` (0 to 1) of a step.
    pub(super) fn new(base: u64, rate: f64, share: f64) -> Self {
        let step = if rate > 0.0 { 1e9 / rate } else { f64::INFINITY };
        let base = if step.is_finite() { base + (step * share) as u64 } else { base };
        Self { base, step, done: 0 }
    }

    /// Never.
    pub(super) fn never() -> Self {
        Self::new(0, 0.0, 0.0)
    }

    /// When the next one is due, if ever.
    pub(super) fn next(&self) -> Option<u64> {
        self.step.is_finite().then(|| self.base + (self.step * self.done as f64) as u64)
    }

    /// Takes the next one if it is due, and says when it was.
    pub(super) fn take(&mut self, now: u64) -> Option<u64> {
        let due = self.next().filter(|due| *due <= now)?;
        self.done += 1;
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_keeps_its_time() {
        let mut pace = Pace::new(1_000, 1e6, 0.5);
        assert_eq!(pace.take(1_499), None);
        assert_eq!(pace.take(9_000), Some(1_500));
        assert_eq!(pace.take(9_000), Some(2_500));
        assert_eq!(pace.next(), Some(3_500));
        assert_eq!(Pace::never().take(u64::MAX), None);
    }
}
