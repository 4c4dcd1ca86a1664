//! The figures of two runs, pair by pair, and what the difference between them means.

use std::collections::BTreeSet;

use super::figures::{self, NOTHING, maybe};
use super::{headline, summary};
use crate::outcome::{Latency, Outcome, Server};

/// Two runs differ by this share of the first even when nothing has changed; less is called neither better nor worse.
pub const NOISE: f64 = 0.05;

/// One figure of both.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// `latency`, `server`, ….
    pub section: &'static str,
    /// `heartbeat p99`.
    pub name: String,
    /// How it is written.
    pub unit: Unit,
    /// Which way is better.
    pub aim: Aim,
    /// Of the first run; `None`: it has no such figure.
    pub a: Option<f64>,
    /// Of the second.
    pub b: Option<f64>,
}

/// How a figure is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `1,000`.
    Count,
    /// `3.14`.
    Number,
    /// `1,000/s`.
    Rate,
    /// `3.42 ms`.
    Millis,
    /// `12.3 MB`.
    Bytes,
    /// `42 s`.
    Seconds,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aim {
    /// Less is better.
    Less,
    /// More is better.
    More,
    /// It is only a figure.
    Neither,
}

/// What a difference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// By more than [`NOISE`].
    Better,
    /// By more than [`NOISE`].
    Worse,
    /// Neither, or nobody can say.
    Same,
}

impl Unit {
    fn write(self, value: f64) -> String {
        match self {
            Self::Count => {
                let sign = if value < 0.0 { "−" } else { "" };
                format!("{sign}{}", figures::count(value.abs().round() as u64))
            }
            Self::Number => figures::number(value),
            Self::Rate => figures::rate(value),
            Self::Millis => figures::millis(value),
            Self::Bytes => figures::bytes(value),
            Self::Seconds => format!("{} s", figures::number(value)),
        }
    }
}

impl Row {
    /// Whether the second run is better here.
    #[must_use]
    pub fn judgement(&self) -> Judgement {
        let (Some(a), Some(b)) = (self.a, self.b) else {
            return Judgement::Same;
        };
        let more = match self.aim {
            Aim::Neither => return Judgement::Same,
            Aim::More => b > a,
            Aim::Less => a > b,
        };
        // Errors are no noise, however few.
        let noise = if self.section == "errors" { 0.0 } else { NOISE };
        match (b - a).abs() > a.abs() * noise {
            true if more => Judgement::Better,
            true => Judgement::Worse,
            false => Judgement::Same,
        }
    }

    /// Name, both figures, their difference, its percentage and what it means.
    pub(crate) fn cells(&self) -> Vec<String> {
        let write = |value| self.unit.write(value);
        let difference = self.a.zip(self.b).map(|(a, b)| b - a);
        let signed = |difference: f64| {
            if difference > 0.0 { format!("+{}", write(difference)) } else { write(difference) }
        };
        let change = self.a.zip(self.b).and_then(|(a, b)| figures::change(a, b));
        vec![
            self.name.clone(),
            maybe(self.a, write),
            maybe(self.b, write),
            maybe(difference, signed),
            change.unwrap_or_else(|| NOTHING.into()),
            match self.judgement() {
                Judgement::Better => "better".into(),
                Judgement::Worse => "worse".into(),
                Judgement::Same => String::new(),
            },
        ]
    }
}

/// One of a latency's figures.
type Figure = fn(&Latency) -> f64;

/// Every figure that one of the two has.
pub(crate) fn rows(a: &Outcome, b: &Outcome) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut add = |section, name: String, unit, aim, a: Option<f64>, b: Option<f64>| {
        let real = |value: &f64| value.is_finite();
        let (a, b) = (a.filter(real), b.filter(real));
        if a.is_some() || b.is_some() {
            rows.push(Row { section, name, unit, aim, a, b });
        }
    };
    let both = |of: &dyn Fn(&Outcome) -> Option<f64>| (of(a), of(b));

    let (one, other) = both(&|outcome| headline::sessions(outcome).map(|sessions| sessions as f64));
    add("load", "connections held".into(), Unit::Count, Aim::Neither, one, other);
    for what in ["answers", "requests", "connections"] {
        let (one, other) =
            both(&|outcome| headline::rate(outcome).filter(|rate| rate.what == what).map(|rate| rate.value));
        add("load", format!("{what} a second"), Unit::Rate, Aim::More, one, other);
    }

    let kinds = a.latencies.iter().chain(&b.latencies).map(|latency| latency.name.as_str());
    let mut seen = BTreeSet::new();
    for kind in kinds.filter(|kind| seen.insert(*kind)) {
        let of = |outcome: &Outcome, figure: Figure| {
            headline::measured(outcome).find(|latency| latency.name == kind).map(figure)
        };
        let figures: [(&str, Figure); 4] = [
            ("p50", |latency| latency.p50),
            ("p99", |latency| latency.p99),
            ("p99.9", |latency| latency.p999),
            ("max", |latency| latency.max),
        ];
        for (name, figure) in figures {
            add("latency", format!("{kind} {name}"), Unit::Millis, Aim::Less, of(a, figure), of(b, figure));
        }
    }

    let server = |of: &dyn Fn(&Server) -> Option<f64>| {
        (a.server.as_ref().and_then(of), b.server.as_ref().and_then(of))
    };
    let (one, other) = server(&|server| server.bytes_per_session);
    add("memory", "memory a session".into(), Unit::Bytes, Aim::Less, one, other);
    let (one, other) = server(&|server| server.kernel_bytes_per_session);
    add("memory", "kernel memory a session".into(), Unit::Bytes, Aim::Less, one, other);
    let units = [a, b].map(|outcome| outcome.server.as_ref().map(|server| server.unit.as_str()));
    let units: BTreeSet<_> = units.into_iter().flatten().collect();
    for unit in units {
        let name = if unit.is_empty() { "unit" } else { unit };
        let (one, other) = server(&|server| {
            server.cpu_micros_per_unit.filter(|_| server.unit == unit).map(|micros| micros / 1e3)
        });
        add("server", format!("CPU a {name}"), Unit::Millis, Aim::Less, one, other);
        let (one, other) = server(&|server| server.system_calls_per_unit.filter(|_| server.unit == unit));
        add("server", format!("system calls a {name}"), Unit::Number, Aim::Less, one, other);
    }
    let (one, other) = server(&|server| Some(server.cpu_seconds));
    add("server", "CPU while measuring".into(), Unit::Seconds, Aim::Neither, one, other);
    let (one, other) = server(&|server| Some(server.user_seconds));
    add("server", "of that in user code".into(), Unit::Seconds, Aim::Neither, one, other);

    let (one, other) = both(&|outcome| Some(outcome.generator.cpu_seconds));
    add("generator", "CPU while measuring".into(), Unit::Seconds, Aim::Neither, one, other);
    let (one, other) = both(&|outcome| {
        let late = &outcome.generator.lateness;
        (late.count > 0).then_some(late.p99)
    });
    add("generator", "sent late by, p99".into(), Unit::Millis, Aim::Neither, one, other);

    let (one, other) = both(&|outcome| Some(headline::errors(outcome) as f64));
    add("errors", "errors".into(), Unit::Count, Aim::Less, one, other);
    let causes: BTreeSet<_> = a.errors.keys().chain(b.errors.keys()).collect();
    for cause in causes {
        let (one, other) = both(&|outcome| Some(outcome.errors.get(cause).copied().unwrap_or(0) as f64));
        add("errors", summary::words(cause), Unit::Count, Aim::Less, one, other);
    }

    let names: BTreeSet<_> = a.counts.keys().chain(b.counts.keys()).collect();
    for name in names {
        let (one, other) = both(&|outcome| outcome.counts.get(name).map(|count| *count as f64));
        add("counts", summary::words(name), Unit::Count, Aim::Neither, one, other);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(aim: Aim, a: f64, b: f64) -> Row {
        Row { section: "x", name: "x".into(), unit: Unit::Millis, aim, a: Some(a), b: Some(b) }
    }

    #[test]
    fn a_difference_is_judged() {
        for (aim, a, b, judgement) in [
            (Aim::Less, 1.0, 0.5, Judgement::Better),
            (Aim::Less, 1.0, 2.0, Judgement::Worse),
            (Aim::Less, 1.0, 1.04, Judgement::Same),
            (Aim::More, 1.0, 2.0, Judgement::Better),
            (Aim::More, 1.0, 0.5, Judgement::Worse),
            (Aim::Neither, 1.0, 9.0, Judgement::Same),
            (Aim::Less, 0.0, 0.0, Judgement::Same),
            (Aim::Less, 0.0, 0.1, Judgement::Worse),
        ] {
            assert_eq!(row(aim, a, b).judgement(), judgement, "{aim:?} {a} → {b}");
        }
        let unknown = Row { b: None, ..row(Aim::Less, 1.0, 1.0) };
        assert_eq!(unknown.judgement(), Judgement::Same);
        assert_eq!(unknown.cells(), ["x", "1.00 ms", "–", "–", "–", ""]);
        assert_eq!(
            row(Aim::Less, 1.0, 1.5).cells(),
            ["x", "1.00 ms", "1.50 ms", "+500 µs", "+50.0%", "worse"]
        );
        // One error more is one too many.
        let errors = Row { section: "errors", ..row(Aim::Less, 1_000.0, 1_001.0) };
        assert_eq!(errors.judgement(), Judgement::Worse);
    }
}
