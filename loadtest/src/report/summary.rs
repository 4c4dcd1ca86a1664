//! The end of a run, for a terminal: what was held, how fast, what went wrong.

use std::fmt::{self, Display};

use super::table::{aligned, pairs, row};
use super::{figures, headline};
use crate::outcome::{Latency, Memory3, Outcome, Server};

/// An outcome as text, with or without colours.
#[derive(Clone, Copy, Debug)]
pub struct Summary<'a> {
    /// What came out.
    pub outcome: &'a Outcome,
    /// Whether ticks are green and crosses red.
    pub colours: bool,
}

impl Display for Summary<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = self.outcome;
        writeln!(to, "{}", self.paint("1", &outcome.title))?;
        writeln!(to, "{}", self.head())?;

        Self::section(to, "latency", &latencies(&outcome.latencies))?;
        Self::section(to, "counts", &tallies(&outcome.counts))?;
        if outcome.errors.is_empty() {
            writeln!(to, "\nerrors  none")?;
        } else {
            Self::section(to, "errors", &tallies(&outcome.errors))?;
        }
        match &outcome.server {
            Some(server) => write!(to, "\nserver\n{}", pairs("  ", &server_lines(server)))?,
            None => writeln!(to, "\nserver  not seen")?,
        }
        write!(to, "\ngenerator\n{}", pairs("  ", &generator_lines(outcome)))?;
        if !outcome.checks.is_empty() {
            writeln!(to, "\nchecks")?;
        }
        for check in &outcome.checks {
            let mark = if check.passed { self.paint("32", "✓") } else { self.paint("1;31", "✗") };
            let detail = if check.detail.is_empty() { "" } else { " · " };
            writeln!(to, "  {mark} {}{detail}{}", check.name, check.detail)?;
        }
        for warning in &outcome.generator.warnings {
            writeln!(to, "\n{} {warning}", self.paint("1;33", "warning:"))?;
        }
        for note in &outcome.notes {
            writeln!(to, "\nnote: {note}")?;
        }
        Ok(())
    }
}

impl Summary<'_> {
    /// The second line: what the run is known by.
    fn head(&self) -> String {
        let outcome = self.outcome;
        let mut parts = Vec::new();
        if let Some(sessions) = headline::sessions(outcome) {
            parts.push(format!("{} connections held", figures::count(sessions)));
        }
        if let Some(rate) = headline::rate(outcome) {
            parts.push(format!("{} {}", figures::rate(rate.value), rate.what));
        }
        parts.push(format!(
            "{} measured, {} in all",
            figures::seconds(outcome.measured_seconds),
            figures::seconds(outcome.seconds)
        ));
        if outcome.interrupted {
            parts.push(self.paint("1;33", "interrupted"));
        }
        parts.join(" · ")
    }

    fn section(to: &mut fmt::Formatter<'_>, name: &str, rows: &[Vec<String>]) -> fmt::Result {
        if rows.is_empty() {
            return Ok(());
        }
        let mut lines = rows.to_vec();
        let headed = lines[0][0].is_empty();
        if headed {
            lines[0][0] = name.into();
            for line in &mut lines[1..] {
                line[0].insert_str(0, "  ");
            }
            return write!(to, "\n{}", aligned("", &lines));
        }
        write!(to, "\n{name}\n{}", aligned("  ", &lines))
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.into() }
    }
}

/// Head and one row a kind; nothing if there is none.
pub(crate) fn latencies(latencies: &[Latency]) -> Vec<Vec<String>> {
    if latencies.is_empty() {
        return Vec::new();
    }
    let mut rows = vec![row(["", "count", "p50", "p90", "p99", "p99.9", "max"])];
    rows.extend(latencies.iter().map(|latency| {
        let of = |figure| if latency.count > 0 { figures::millis(figure) } else { figures::NOTHING.into() };
        vec![
            latency.name.clone(),
            figures::count(latency.count),
            of(latency.p50),
            of(latency.p90),
            of(latency.p99),
            of(latency.p999),
            of(latency.max),
        ]
    }));
    rows
}

fn tallies<'a>(counts: impl IntoIterator<Item = (&'a String, &'a u64)>) -> Vec<Vec<String>> {
    counts.into_iter().map(|(name, count)| vec![words(name), figures::count(*count)]).collect()
}

/// A stable name for people: `bytes_sent` is `bytes sent`.
pub(crate) fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// The server's side, a name and a value a line.
pub(crate) fn server_lines(server: &Server) -> Vec<Vec<String>> {
    let mut rows = vec![vec![
        "CPU".into(),
        format!(
            "{} s ({} s in user code)",
            figures::number(server.cpu_seconds),
            figures::number(server.user_seconds)
        ),
    ]];
    if let Some(micros) = server.cpu_micros_per_unit {
        let unit = if server.unit.is_empty() { "unit" } else { &server.unit };
        rows.push(vec![format!("CPU a {unit}"), figures::millis(micros / 1e3)]);
    }
    if let Some(calls) = server.system_calls_per_unit {
        let unit = if server.unit.is_empty() { "unit" } else { &server.unit };
        rows.push(vec![format!("system calls a {unit}"), figures::number(calls)]);
    }
    for turns in &server.turns {
        let name = if turns.when == "all" { "turns".to_owned() } else { format!("turns {}", turns.when) };
        let text = format!(
            "mean {} · p99 ≤ {} · p99.9 ≤ {} · max ≤ {} · {} of them",
            figures::millis(turns.mean),
            figures::millis(turns.p99),
            figures::millis(turns.p999),
            figures::millis(turns.max),
            figures::count(turns.count)
        );
        rows.push(vec![name, text]);
    }
    if server.rehearsal > 0 {
        let (memory, sessions) = (server.memory_at_first as f64, figures::count(server.rehearsal));
        let text = format!("{} before {sessions} sessions came and left", figures::bytes(memory));
        rows.push(vec!["rehearsal".into(), text]);
    }
    rows.push(vec!["memory".into(), three(server.memory)]);
    rows.push(vec!["kernel memory".into(), three(server.kernel_memory)]);
    if let Some(bytes) = server.bytes_per_session {
        rows.push(vec!["memory a session".into(), figures::bytes(bytes)]);
    }
    if let Some(bytes) = server.kernel_bytes_per_session {
        rows.push(vec!["kernel memory a session".into(), figures::bytes(bytes)]);
    }
    rows
}

fn three(memory: Memory3) -> String {
    let after = if memory.after == 0 { "not measured".into() } else { figures::bytes(memory.after as f64) };
    format!(
        "{} before · {} with the crowd · {after} after",
        figures::bytes(memory.before as f64),
        figures::bytes(memory.with as f64),
    )
}

/// The generator's side, a name and a value a line.
pub(crate) fn generator_lines(outcome: &Outcome) -> Vec<Vec<String>> {
    let generator = &outcome.generator;
    let mut rows = vec![vec!["CPU".into(), format!("{} s", figures::number(generator.cpu_seconds))]];
    if generator.rings > 0 {
        rows.push(vec!["rings".into(), generator.rings.to_string()]);
    }
    if generator.bytes_per_connection > 0.0 {
        rows.push(vec!["memory a connection".into(), figures::bytes(generator.bytes_per_connection)]);
    }
    if generator.lateness.count > 0 {
        let late = &generator.lateness;
        rows.push(vec![
            "sent late by".into(),
            format!(
                "p50 {} · p99 {} · max {}",
                figures::millis(late.p50),
                figures::millis(late.p99),
                figures::millis(late.max)
            ),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::sample;

    #[test]
    fn a_run_is_told() {
        let outcome = sample();
        let text = Summary { outcome: &outcome, colours: false }.to_string();
        for part in [
            "heartbeat · binary · 10,000 connections\n10,000 connections held · ",
            "1 min 00 s measured, 1 min 21 s in all",
            "latency",
            "1,198,442",
            "timed out",
            "memory a session",
            "336 B",
            "  ✓ no session lost · online",
            "  ✗ each request answered once",
            "warning: 41 heartbeats",
            "note: Both ends",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(!text.contains('\x1b'));
        assert!(Summary { outcome: &outcome, colours: true }.to_string().contains("\x1b[1;31m✗"));
    }

    #[test]
    fn nothing_is_told_too() {
        let text = Summary { outcome: &Outcome::default(), colours: false }.to_string();
        assert!(text.contains("errors  none") && text.contains("server  not seen"), "{text}");
    }
}
