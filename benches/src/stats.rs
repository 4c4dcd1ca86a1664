//! Paired statistics: whether A is better than B on a machine that is never quiet.
//!
//! A and B are measured in turns, so that both see the same noise, and each pair gives one ratio. The interval of the
//! median ratio is that of order statistics: a ratio lies on either side of the true median with even odds, so how
//! many of n lie below it is binomial, whatever the ratios are distributed like. No bell curve, no resampling, no luck.

use std::fmt;

/// Fewest pairs that a comparison is made of.
pub const PAIRS_MIN: usize = 20;

/// The confidence of every interval.
pub const CONFIDENCE: f64 = 0.95;

/// Smallest, middle and largest of some samples.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Summary {
    /// Samples.
    pub count: usize,
    /// Smallest.
    pub min: f64,
    /// Half are below, half above.
    pub median: f64,
    /// Largest.
    pub max: f64,
}

/// Where the true median is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Interval {
    /// Not below.
    pub low: f64,
    /// Not above.
    pub high: f64,
    /// How sure that is: at least what was asked for.
    pub coverage: f64,
}

/// What pairs say about A ÷ B.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Comparison {
    /// The ratios.
    pub ratio: Summary,
    /// Where their true median is.
    pub interval: Interval,
}

/// What may be said of A against B.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// A is below B.
    Lower,
    /// A is above B.
    Higher,
    /// One is in the interval: these pairs do not tell them apart.
    Alike,
}

/// Why there is no comparison.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
pub enum StatsError {
    /// Not as many of one as of the other.
    #[error("{a} samples of A and {b} of B are no pairs")]
    Unpaired {
        /// Of A.
        a: usize,
        /// Of B.
        b: usize,
    },
    /// Too few.
    #[error("{0} pairs are too few: at least {PAIRS_MIN} are needed")]
    TooFew(usize),
    /// Not a positive number.
    #[error("a sample is {0}: only positive numbers have a ratio")]
    NoRatio(f64),
}

impl Summary {
    /// Of samples in any order; `None` when there are none, or one is no number.
    #[must_use]
    pub fn of(samples: &[f64]) -> Option<Self> {
        let sorted = sorted(samples)?;
        let (count, middle) = (sorted.len(), sorted.len() / 2);
        let median =
            if count % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) };
        Some(Self { count, min: *sorted.first()?, median, max: *sorted.last()? })
    }
}

impl Interval {
    /// Of the true median of what the samples are drawn from. `None`: there are too few for the confidence, or one is
    /// no number.
    #[must_use]
    pub fn of_median(samples: &[f64], confidence: f64) -> Option<Self> {
        let sorted = sorted(samples)?;
        let count = sorted.len();
        // The k-th smallest and the k-th largest enclose the median unless fewer than k lie on one of its sides. Take
        // the largest k that is sure enough.
        // By logarithms: for a thousand samples the first chances are below the smallest number.
        let (mut tail, mut term) = (0.0, count as f64 * 0.5_f64.ln());
        let mut best = None;
        for k in 1..=count / 2 {
            tail += term.exp();
            term += ((count - k + 1) as f64 / k as f64).ln();
            let coverage = 1.0 - 2.0 * tail;
            if coverage < confidence {
                break;
            }
            best = Some(Self { low: sorted[k - 1], high: sorted[count - k], coverage });
        }
        best
    }
}

impl Comparison {
    /// Of samples that were taken in turns: the first of A belongs to the first of B.
    ///
    /// # Errors
    /// When they are not pairs, are fewer than [`PAIRS_MIN`], or have no ratio.
    pub fn of(a: &[f64], b: &[f64]) -> Result<Self, StatsError> {
        if a.len() != b.len() {
            return Err(StatsError::Unpaired { a: a.len(), b: b.len() });
        }
        if let Some(bad) = a.iter().chain(b).find(|sample| !(sample.is_finite() && **sample > 0.0)) {
            return Err(StatsError::NoRatio(*bad));
        }
        let ratios: Vec<f64> = a.iter().zip(b).map(|(a, b)| a / b).collect();
        let few = StatsError::TooFew(ratios.len());
        if ratios.len() < PAIRS_MIN {
            return Err(few);
        }
        let ratio = Summary::of(&ratios).ok_or(few)?;
        let interval = Interval::of_median(&ratios, CONFIDENCE).ok_or(few)?;
        Ok(Self { ratio, interval })
    }

    /// What may be said.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.interval {
            Interval { high, .. } if high < 1.0 => Verdict::Lower,
            Interval { low, .. } if low > 1.0 => Verdict::Higher,
            _ => Verdict::Alike,
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Summary { count, median, .. }, Interval { low, high, .. }) = (self.ratio, self.interval);
        write!(f, "{median:.3} ({low:.3} to {high:.3}, {count} pairs)")
    }
}

fn sorted(samples: &[f64]) -> Option<Vec<f64>> {
    if samples.is_empty() || samples.iter().any(|sample| sample.is_nan()) {
        return None;
    }
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rising(count: u32) -> Vec<f64> {
        (1..=count).map(f64::from).collect()
    }

    #[test]
    fn medians() {
        let check = |samples: &[f64], expected: (f64, f64, f64)| {
            let summary = Summary::of(samples).unwrap();
            assert_eq!((summary.min, summary.median, summary.max), expected);
        };
        check(&[7.0], (7.0, 7.0, 7.0));
        check(&[3.0, 1.0, 2.0], (1.0, 2.0, 3.0));
        check(&[4.0, 1.0, 2.0, 3.0], (1.0, 2.5, 4.0));
        assert_eq!(Summary::of(&[]), None);
        assert_eq!(Summary::of(&[1.0, f64::NAN]), None);
    }

    /// From the tables of the sign test: n, and the ranks of the 95 % interval.
    #[test]
    fn the_ranks_are_those_of_the_tables() {
        for (count, low, high) in [
            (6, 1, 6),
            (10, 2, 9),
            (20, 6, 15),
            (25, 8, 18),
            (50, 18, 33),
            (100, 40, 61),
            (5_000, 2_431, 2_570),
        ] {
            let interval = Interval::of_median(&rising(count), CONFIDENCE).unwrap();
            assert_eq!((interval.low, interval.high), (f64::from(low), f64::from(high)), "n = {count}");
            assert!(interval.coverage >= CONFIDENCE);
        }
        assert_eq!(Interval::of_median(&rising(5), CONFIDENCE), None);
    }

    #[test]
    fn the_coverage_is_exact() {
        let interval = Interval::of_median(&rising(10), CONFIDENCE).unwrap();
        assert!((interval.coverage - (1.0 - 2.0 * 11.0 / 1024.0)).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_comparison() {
        assert_eq!(Comparison::of(&[1.0], &[]), Err(StatsError::Unpaired { a: 1, b: 0 }));
        assert_eq!(Comparison::of(&rising(19), &rising(19)), Err(StatsError::TooFew(19)));
        assert_eq!(Comparison::of(&[0.0; 20], &[1.0; 20]), Err(StatsError::NoRatio(0.0)));
    }

    #[test]
    fn verdicts() {
        let verdict = |factor: f64| {
            let a: Vec<f64> = rising(20).iter().map(|b| b * factor).collect();
            Comparison::of(&a, &rising(20)).unwrap().verdict()
        };
        assert_eq!(verdict(0.9), Verdict::Lower);
        assert_eq!(verdict(1.0), Verdict::Alike);
        assert_eq!(verdict(1.1), Verdict::Higher);
    }

    /// The promise itself, held against a skewed distribution with a known median: of many intervals, at least 95 in 100
    /// have it. Seeded, so it is always the same.
    #[test]
    fn intervals_hold_the_true_median_as_often_as_they_say() {
        let mut state = 42_u64;
        let mut uniform = move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((mixed ^ mixed >> 31) >> 11) as f64 / (1_u64 << 53) as f64
        };
        for count in [20, 33, 100] {
            let trials = 4_000;
            let held = (0..trials)
                .filter(|_| {
                    let samples: Vec<f64> = (0..count).map(|_| -(1.0 - uniform()).ln()).collect();
                    let interval = Interval::of_median(&samples, CONFIDENCE).unwrap();
                    (interval.low..=interval.high).contains(&std::f64::consts::LN_2)
                })
                .count();
            let share = held as f64 / f64::from(trials);
            assert!((0.945..0.985).contains(&share), "{share} of the intervals of {count} samples");
        }
    }

    proptest! {
        #[test]
        fn the_interval_is_around_the_median(samples in prop::collection::vec(0.001_f64..1e6, 20..200)) {
            let summary = Summary::of(&samples).unwrap();
            let interval = Interval::of_median(&samples, CONFIDENCE).unwrap();
            prop_assert!(summary.min <= interval.low && interval.low <= summary.median);
            prop_assert!(summary.median <= interval.high && interval.high <= summary.max);
            prop_assert!(interval.coverage >= CONFIDENCE && interval.coverage < 1.0);
        }

        #[test]
        fn the_order_of_the_pairs_does_not_matter(pairs in prop::collection::vec((0.1_f64..10.0, 0.1_f64..10.0), 20..60)) {
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.iter().copied().unzip();
            let (back_a, back_b): (Vec<f64>, Vec<f64>) = pairs.iter().rev().copied().unzip();
            prop_assert_eq!(Comparison::of(&a, &b), Comparison::of(&back_a, &back_b));
        }

        #[test]
        fn the_better_one_is_below_from_both_sides(pairs in prop::collection::vec((0.1_f64..10.0, 0.1_f64..10.0), 20..60)) {
            let (a, b): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
            let (there, back) = (Comparison::of(&a, &b).unwrap(), Comparison::of(&b, &a).unwrap());
            let expected = match there.verdict() {
                Verdict::Lower => Verdict::Higher,
                Verdict::Higher => Verdict::Lower,
                Verdict::Alike => Verdict::Alike,
            };
            prop_assert_eq!(back.verdict(), expected);
        }
    }
}
