//! The few figures that a run is known by, found alike for every report.

use crate::outcome::{Latency, Outcome, Tick};

/// The phase that the figures are about; the others only lead there and back.
pub(crate) const MEASURE: &str = "measure";

/// Work a second while it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub(crate) value: f64,
    /// What was counted: `answers`, `requests`, `connections`.
    pub(crate) what: &'static str,
}

/// The most connections that were open at once.
pub(crate) fn sessions(outcome: &Outcome) -> Option<u64> {
    let seen = outcome.timeline.iter().map(|tick| tick.open).max();
    seen.or_else(|| outcome.counts.get("connected").copied())
}

/// How many were asked for, where the plan says so.
pub(crate) fn asked(outcome: &Outcome) -> Option<u64> {
    outcome.plan.get("connections")?.as_u64()
}

/// All errors, whatever their cause.
pub(crate) fn errors(outcome: &Outcome) -> u64 {
    outcome.errors.values().fold(0, |sum, errors| sum.saturating_add(*errors))
}

/// The kinds of latency that came about at all.
pub(crate) fn measured(outcome: &Outcome) -> impl Iterator<Item = &Latency> {
    outcome.latencies.iter().filter(|latency| latency.count > 0)
}

/// The kinds that a run is about: connecting only where there is nothing else.
pub(crate) fn main_latencies(outcome: &Outcome) -> Vec<&Latency> {
    let others: Vec<_> = measured(outcome).filter(|latency| latency.name != "connect").collect();
    if others.is_empty() { measured(outcome).collect() } else { others }
}

/// The first of [`main_latencies`].
pub(crate) fn main_latency(outcome: &Outcome) -> Option<&Latency> {
    main_latencies(outcome).first().copied()
}

/// What was done a second: answers and deliveries; without them requests; without them new connections.
pub(crate) fn rate(outcome: &Outcome) -> Option<Rate> {
    let in_phase = outcome.timeline.iter().any(|tick| tick.phase == MEASURE);
    let mut before = 0.0;
    let mut spans = Vec::new();
    for tick in &outcome.timeline {
        spans.push((tick, span(before, tick.at)));
        before = tick.at;
    }
    let measured: Vec<_> =
        spans.iter().filter(|(tick, _)| !in_phase || tick.phase == MEASURE).copied().collect();
    let of = |ticks: &[(&Tick, f64)], what, number: fn(&Tick) -> u64| {
        let busy: Vec<_> = if what == "connections" {
            // A ramp has an end; the time after it says nothing of its speed.
            ticks.iter().filter(|(tick, _)| number(tick) > 0).copied().collect()
        } else {
            ticks.to_vec()
        };
        let sum: f64 = busy.iter().map(|(tick, _)| number(tick) as f64).sum();
        let time: f64 = busy.iter().map(|(_, span)| span).sum();
        (sum > 0.0 && time > 0.0).then(|| Rate { value: sum / time, what })
    };
    of(&measured, "answers", |tick| tick.answers)
        .or_else(|| of(&measured, "requests", |tick| tick.requests))
        .or_else(|| of(&spans, "connections", |tick| tick.opened))
}

/// Seconds of a tick that ends `at`.
pub(crate) fn span(before: f64, at: f64) -> f64 {
    if at > before { at - before } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(at: f64, phase: &str, opened: u64, answers: u64) -> Tick {
        Tick { at, phase: phase.into(), opened, answers, open: opened, ..Tick::default() }
    }

    #[test]
    fn the_rate_is_that_of_the_measured_phase() {
        let timeline =
            vec![tick(1.0, "ramp", 100, 7), tick(2.0, "measure", 0, 10), tick(4.0, "measure", 0, 20)];
        let outcome = Outcome { timeline, ..Outcome::default() };
        assert_eq!(rate(&outcome), Some(Rate { value: 10.0, what: "answers" }));
        assert_eq!(sessions(&outcome), Some(100));
    }

    #[test]
    fn a_run_that_only_connects_has_a_rate_too() {
        let timeline = vec![tick(1.0, "ramp", 100, 0), tick(2.0, "ramp", 300, 0), tick(3.0, "measure", 0, 0)];
        let outcome = Outcome { timeline, ..Outcome::default() };
        assert_eq!(rate(&outcome), Some(Rate { value: 200.0, what: "connections" }));
    }

    #[test]
    fn nothing_has_no_figures() {
        let nothing = Outcome::default();
        assert_eq!(rate(&nothing), None);
        assert_eq!(sessions(&nothing), None);
        assert!(main_latency(&nothing).is_none());
    }
}
