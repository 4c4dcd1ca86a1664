//! Limits that a run must keep, given on the command line: each becomes a check of the outcome.

use std::process::ExitCode;
use std::str::FromStr;

use clap::Args;
use thiserror::Error;

use super::{figures, headline};
use crate::outcome::{Check, Latency, Outcome};

/// All that was verified held.
pub const OK: u8 = 0;
/// A check or a threshold failed.
pub const FAILED: u8 = 1;
/// The command line was wrong (clap's own code, too).
pub const USAGE: u8 = 2;
/// Ended by Ctrl-C, as a shell tells it: 128 and the signal's number.
pub const INTERRUPTED: u8 = 130;

/// What a run may cost at most and must do at least; a command takes it in by `#[command(flatten)]`.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Thresholds (exit code 1 where one is not kept)")]
pub struct Thresholds {
    /// The 99th percentile must not be above this: `10ms`, `500us`, `1s`, or for one kind of latency `connect=2s`.
    /// Without a kind it holds for all but `connect`
    #[arg(long, value_name = "[KIND=]TIME")]
    pub max_p99: Vec<LatencyLimit>,
    /// The same for the 99.9th percentile
    #[arg(long, value_name = "[KIND=]TIME")]
    pub max_p999: Vec<LatencyLimit>,
    /// Errors, all causes together, must not be more than this
    #[arg(long, value_name = "N")]
    pub max_errors: Option<u64>,
    /// The server's user memory a session must not be above this: `400`, `2kB`
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub max_server_bytes: Option<u64>,
    /// Answers a second while it is measured (requests, or new connections, in scenarios without answers) must not
    /// be fewer than this
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    pub min_rate: Option<f64>,
}

/// A limit on a latency, for one kind or for all.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyLimit {
    /// The kind's name; `None`: all but `connect`, unless there is only that.
    pub kind: Option<String>,
    /// Milliseconds.
    pub millis: f64,
}

/// A threshold that cannot be understood.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BadThreshold {
    /// Not a time.
    #[error("`{0}` is not a time: write a number and its unit, as in 500us, 10ms or 1.5s")]
    Time(String),
    /// Not an amount of memory.
    #[error("`{0}` is not a number of bytes: write it as in 400, 2kB or 1MB")]
    Bytes(String),
    /// Not a rate.
    #[error("`{0}` is not a rate: write how many a second, as in 50000")]
    Rate(String),
}

impl FromStr for LatencyLimit {
    type Err = BadThreshold;

    fn from_str(text: &str) -> Result<Self, BadThreshold> {
        match text.split_once('=') {
            Some((kind, time)) if !kind.trim().is_empty() => {
                Ok(Self { kind: Some(kind.trim().into()), millis: parse_millis(time)? })
            }
            _ => Ok(Self { kind: None, millis: parse_millis(text)? }),
        }
    }
}

/// Milliseconds from `500us`, `10ms`, `1.5s`. A number without its unit is refused: it would be read in two ways.
///
/// # Errors
///
/// Where it is not a time.
pub fn parse_millis(text: &str) -> Result<f64, BadThreshold> {
    let bad = || BadThreshold::Time(text.into());
    let (number, unit) = with_unit(text).ok_or_else(bad)?;
    match unit {
        "ns" => Ok(number / 1e6),
        "us" | "µs" | "μs" => Ok(number / 1e3),
        "ms" => Ok(number),
        "s" => Ok(number * 1e3),
        _ => Err(bad()),
    }
}

/// Bytes from `400`, `400B`, `2kB`, `1MiB`.
///
/// # Errors
///
/// Where it is not an amount.
pub fn parse_bytes(text: &str) -> Result<u64, BadThreshold> {
    let bad = || BadThreshold::Bytes(text.into());
    let (number, unit) = with_unit(text).ok_or_else(bad)?;
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        _ => return Err(bad()),
    };
    Ok((number * unit).round() as u64)
}

fn parse_rate(text: &str) -> Result<f64, BadThreshold> {
    let plain = text.trim().trim_end_matches("/s").replace([',', '_'], "");
    let number = plain.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| BadThreshold::Rate(text.into()))
}

/// A number that is not negative, and what stands behind it.
fn with_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '_' | ',')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.replace(['_', ','], "").parse().ok()?;
    number.is_finite().then_some((number, unit.trim()))
}

impl Thresholds {
    /// One check for each threshold that was given (and for each kind of latency it holds for). What was not measured
    /// has not kept its threshold.
    #[must_use]
    pub fn evaluate(&self, outcome: &Outcome) -> Vec<Check> {
        let mut checks = Vec::new();
        for limit in &self.max_p99 {
            limit.evaluate("p99", |latency| latency.p99, outcome, &mut checks);
        }
        for limit in &self.max_p999 {
            limit.evaluate("p99.9", |latency| latency.p999, outcome, &mut checks);
        }
        if let Some(limit) = self.max_errors {
            let errors = headline::errors(outcome);
            checks.push(Check {
                name: format!("errors ≤ {}", figures::count(limit)),
                passed: errors <= limit,
                detail: figures::count(errors),
            });
        }
        if let Some(limit) = self.max_server_bytes {
            let bytes = outcome.server.as_ref().and_then(|server| server.bytes_per_session);
            checks.push(Check {
                name: format!("server memory a session ≤ {}", figures::bytes(limit as f64)),
                passed: bytes.is_some_and(|bytes| bytes <= limit as f64),
                detail: bytes.map_or_else(|| "the server's memory was not seen".into(), figures::bytes),
            });
        }
        if let Some(limit) = self.min_rate {
            let rate = headline::rate(outcome);
            checks.push(Check {
                name: format!("rate ≥ {}", figures::rate(limit)),
                passed: rate.is_some_and(|rate| rate.value >= limit),
                detail: rate.map_or_else(
                    || "nothing was done".into(),
                    |rate| format!("{} {}", figures::rate(rate.value), rate.what),
                ),
            });
        }
        checks
    }
}

impl LatencyLimit {
    fn evaluate(
        &self,
        name: &str,
        figure: impl Fn(&Latency) -> f64,
        outcome: &Outcome,
        checks: &mut Vec<Check>,
    ) {
        let kinds = match &self.kind {
            Some(kind) => headline::measured(outcome).filter(|latency| latency.name == *kind).collect(),
            None => headline::main_latencies(outcome),
        };
        let limit = figures::millis(self.millis);
        if kinds.is_empty() {
            let (of, detail) = match &self.kind {
                Some(kind) => (format!("{kind} "), format!("no latency of the kind `{kind}` was measured")),
                None => (String::new(), "no latency was measured".into()),
            };
            checks.push(Check { name: format!("{of}{name} ≤ {limit}"), passed: false, detail });
        }
        checks.extend(kinds.into_iter().map(|latency| Check {
            name: format!("{} {name} ≤ {limit}", latency.name),
            passed: figure(latency) <= self.millis,
            detail: figures::millis(figure(latency)),
        }));
    }
}

/// What the process tells its caller about this run.
#[must_use]
pub fn exit_code(outcome: &Outcome) -> ExitCode {
    ExitCode::from(exit_number(outcome))
}

/// The same as a number: [`OK`], [`FAILED`] or [`INTERRUPTED`].
#[must_use]
pub fn exit_number(outcome: &Outcome) -> u8 {
    match (outcome.interrupted, outcome.passed()) {
        (true, _) => INTERRUPTED,
        (false, false) => FAILED,
        (false, true) => OK,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::report::sample::sample;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        thresholds: Thresholds,
    }

    fn evaluated(args: &[&str], outcome: &Outcome) -> Vec<(String, bool)> {
        let line = Line::try_parse_from([&["x"], args].concat()).unwrap_or_else(|error| panic!("{error}"));
        line.thresholds.evaluate(outcome).into_iter().map(|check| (check.name, check.passed)).collect()
    }

    #[test]
    fn times_are_parsed() {
        for (text, millis) in [
            ("10ms", 10.0),
            ("500us", 0.5),
            ("500µs", 0.5),
            ("1.5s", 1_500.0),
            (" 2 s ", 2_000.0),
            ("0ms", 0.0),
            ("250ns", 0.000_25),
        ] {
            assert_eq!(parse_millis(text), Ok(millis), "{text}");
        }
        for text in ["", "10", "ms", "-1ms", "1m", "10 parsecs", "1.2.3s", "NaNms", "infs"] {
            assert_eq!(parse_millis(text), Err(BadThreshold::Time(text.into())), "{text}");
        }
    }

    #[test]
    fn bytes_are_parsed() {
        for (text, bytes) in
            [("400", 400), ("400B", 400), ("2kB", 2_000), ("1.5KiB", 1_536), ("1_000", 1_000)]
        {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        assert!(parse_bytes("many").is_err() && parse_bytes("-3").is_err() && parse_bytes("3 cows").is_err());
    }

    #[test]
    fn a_wrong_threshold_says_how_to_write_it() {
        let error = Line::try_parse_from(["x", "--max-p99", "10"]).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("as in 500us, 10ms or 1.5s")));
    }

    #[test]
    fn each_threshold_is_a_check() {
        let sample = sample();
        assert_eq!(evaluated(&[], &sample), []);
        let checks = evaluated(
            &["--max-p99", "1s", "--max-p99", "connect=1us", "--max-p999", "1us", "--max-errors", "1000"],
            &sample,
        );
        assert_eq!(
            checks,
            [
                ("heartbeat p99 ≤ 1.00 s".into(), true),
                ("delivery p99 ≤ 1.00 s".into(), true),
                ("connect p99 ≤ 1.00 µs".into(), false),
                ("heartbeat p99.9 ≤ 1.00 µs".into(), false),
                ("delivery p99.9 ≤ 1.00 µs".into(), false),
                ("errors ≤ 1,000".into(), true),
            ]
        );
        let checks = evaluated(&["--max-server-bytes", "1kB", "--min-rate", "10"], &sample);
        assert_eq!(
            checks,
            [("server memory a session ≤ 1.00 kB".into(), true), ("rate ≥ 10.0/s".into(), true)]
        );
    }

    #[test]
    fn what_was_not_measured_has_not_passed() {
        let args =
            ["--max-p99", "1s", "--max-p999", "login=1s", "--max-server-bytes", "1GB", "--min-rate", "0"];
        let nothing = Outcome::default();
        let args = args.map(|arg| if arg == "1GB" { "1000MB" } else { arg });
        assert!(evaluated(&args, &nothing).iter().all(|(_, passed)| !passed));
        assert_eq!(evaluated(&["--max-errors", "0"], &nothing), [("errors ≤ 0".into(), true)]);
    }

    #[test]
    fn the_exit_code_tells_how_it_went() {
        let mut outcome = Outcome::default();
        assert_eq!(exit_number(&outcome), OK);
        outcome.checks.push(Check::default());
        assert_eq!(exit_number(&outcome), FAILED);
        outcome.interrupted = true;
        assert_eq!(exit_number(&outcome), INTERRUPTED);
    }
}
