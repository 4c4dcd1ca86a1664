//! Figures of whole runs: the load-test harness with a fresh server, as anyone runs it.

use std::process::Command;

use loadtest::outcome::{Latency, Outcome};
use loadtest::report::json;

use super::{Context, Row};
use crate::micro::Trouble;
use crate::stats::Summary;

/// Runs the harness and reads its result. The arguments are those of a shell, separated by spaces.
fn run(context: &Context, arguments: &str) -> Result<(Outcome, String), Trouble> {
    let program = std::env::current_exe()?.with_file_name("muster-loadtest");
    if !program.exists() {
        return Err("first build it: cargo build --release --workspace --bins".into());
    }
    let folder = context.root.join("target/performance");
    std::fs::create_dir_all(&folder)?;
    let name = arguments.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let (result, page) = (folder.join(format!("load{name}.json")), folder.join(format!("load{name}.html")));
    // An old result must not pass for the new one.
    let _ = std::fs::remove_file(&result);
    let output = Command::new(&program)
        .args(arguments.split_whitespace())
        .arg("--json")
        .arg(&result)
        .arg("--html")
        .arg(&page)
        .output()?;
    if !result.exists() {
        return Err(format!("{arguments}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok((json::read(&result)?, format!("cargo run --release -p muster-loadtest -- {arguments}")))
}

fn once(what: impl Into<String>, unit: &str, value: f64, command: &str) -> Row {
    let summary = Summary { count: 1, min: value, median: value, max: value };
    Row { command: command.to_owned(), ..Row::new(what, unit, summary) }
}

fn latency<'a>(outcome: &'a Outcome, name: &str) -> Result<&'a Latency, Trouble> {
    let found = outcome.latencies.iter().find(|latency| latency.name == name);
    found.ok_or_else(|| format!("{}: no latency {name}; {:?}", outcome.title, outcome.errors).into())
}

fn count(outcome: &Outcome, name: &str) -> f64 {
    outcome.counts.get(name).copied().unwrap_or(0) as f64
}

/// What was verified and did not hold, in words; nothing when all held.
fn failed(outcome: &Outcome) -> String {
    let failed: Vec<String> = outcome
        .checks
        .iter()
        .filter(|check| !check.passed)
        .map(|check| format!("{}: {}", check.name, check.detail))
        .collect();
    failed.join("; ")
}

fn turns(outcome: &Outcome) -> String {
    let turn = outcome.checks.iter().find(|check| check.name.starts_with("turns"));
    turn.map_or_else(String::new, |check| check.detail.clone())
}

fn hold(
    context: &Context,
    dialect: &str,
    most: f64,
    sizes: &[(u64, &str, &str)],
) -> Result<Vec<Row>, Trouble> {
    let mut rows = Vec::new();
    for (sessions, time, every) in sizes {
        let arguments = format!("million -n {sessions} --dialect {dialect} --hold {time} --every {every}");
        let (outcome, command) = run(context, &arguments)?;
        let lost = count(&outcome, "lost");
        let words = [failed(&outcome), turns(&outcome)].into_iter().filter(|text| !text.is_empty());
        let mut held = once(
            format!("{dialect} sessions held for {time} with heartbeats every {every}"),
            "sessions",
            count(&outcome, "connected"),
            &command,
        )
        .at_least(*sessions as f64)
        .noted(format!("{lost:.0} lost; {}", words.collect::<Vec<_>>().join("; ")));
        if lost > 0.0 {
            held.met = Some(false);
        }
        rows.push(held);
        let Some(server) = &outcome.server else { continue };
        let what = format!("{dialect}, {sessions}");
        let note = format!(
            "Pss {:.1} → {:.1} → {:.1} MB",
            server.memory.before as f64 / 1e6,
            server.memory.with as f64 / 1e6,
            server.memory.after as f64 / 1e6
        );
        if let Some(bytes) = server.bytes_per_session {
            let row = once(format!("{what}: user memory a session"), "bytes", bytes, &command);
            rows.push(row.at_most(most).noted(note));
        }
        if let Some(bytes) = server.kernel_bytes_per_session {
            rows.push(once(
                format!("{what}: kernel memory a connection, both ends"),
                "bytes",
                bytes,
                &command,
            ));
        }
        let took = server.memory.with.saturating_sub(server.memory.before) as f64;
        let stayed = server.memory.after.saturating_sub(server.memory.before) as f64 / took.max(1.0) * 100.0;
        rows.push(
            once(format!("{what}: of that, still there after all have left"), "%", stayed, &command)
                .at_most(5.0),
        );
        if let Some(cpu) = server.cpu_micros_per_unit {
            rows.push(once(format!("{what}: server CPU a heartbeat"), "µs", cpu, &command));
        }
    }
    Ok(rows)
}

/// A million binary sessions, and what one costs.
///
/// # Errors
/// When a run cannot be made.
pub fn million(context: &Context) -> Result<Vec<Row>, Trouble> {
    hold(context, "binary", 256.0, &[(1_000_000, "10m", "30s")])
}

/// How many binary sessions fit.
///
/// # Errors
/// As [`million`].
pub fn density_binary(context: &Context) -> Result<Vec<Row>, Trouble> {
    hold(context, "binary", 256.0, &[(1_500_000, "1m", "60s"), (1_900_000, "1m", "60s")])
}

/// The same for presence WebSockets.
///
/// # Errors
/// As [`million`].
pub fn density_websocket(context: &Context) -> Result<Vec<Row>, Trouble> {
    hold(context, "presence", 512.0, &[(500_000, "1m", "30s"), (1_000_000, "1m", "60s")])
}

/// CPU of a heartbeat with a million sessions and with ten thousand, the same shards and rings.
///
/// # Errors
/// As [`million`].
pub fn growth(context: &Context) -> Result<Vec<Row>, Trouble> {
    let (many, many_command) = run(context, "million -n 1000000 --hold 1m")?;
    let rings = many.generator.rings;
    let arguments = format!(
        "run heartbeat -n 10000 --every 300ms --hold 30s --rings {rings} --set engine.shards={rings} \
         --set engine.receive_buffer=1KiB --set engine.receive_buffers=128"
    );
    let (few, few_command) = run(context, &arguments)?;
    let cpu = |outcome: &Outcome| {
        let cpu = outcome.server.as_ref().and_then(|server| server.cpu_micros_per_unit);
        cpu.ok_or_else(|| format!("{}: no heartbeat was answered", outcome.title))
    };
    let (many, few) = (cpu(&many)?, cpu(&few)?);
    Ok(vec![
        once("1,000,000 sessions, 33,000 heartbeats a second", "µs CPU a heartbeat", many, &many_command),
        once("10,000 sessions, 33,000 heartbeats a second", "µs CPU a heartbeat", few, &few_command),
        once("growth", "×", many / few, "").at_most(1.5),
    ])
}

/// Everybody connects, drops, and comes back.
///
/// # Errors
/// As [`million`].
pub fn storm(context: &Context) -> Result<Vec<Row>, Trouble> {
    let mut rows = Vec::new();
    for (dialect, least) in [("binary", 20_000.0), ("presence", 15_000.0)] {
        let arguments = format!(
            "run storm -n 200000 --dialect {dialect} --connect-rate 0 --opening 2048 --every 0s --hold 1s --warm-up 0s --server-cpus 0 \
             --cpus 1 --set presence.grace=30s --set engine.receive_buffers=128"
        );
        let (outcome, command) = run(context, &arguments)?;
        let back: Vec<_> = outcome.timeline.iter().filter(|tick| tick.phase == "return").collect();
        // The first and the last second are not whole.
        let whole = back.get(1..back.len().saturating_sub(1)).unwrap_or_default();
        let rates: Vec<f64> = whole.iter().map(|tick| tick.opened as f64).collect();
        let rate = Summary::of(&rates).ok_or("the storm was over within two seconds")?;
        let row =
            Row::new(format!("{dialect}: sessions that come back a second, server on one core"), "/s", rate);
        let note = [failed(&outcome), turns(&outcome)].join("; ");
        rows.push(Row { command: command.clone(), ..row }.at_least(least).noted(note));
        let told = count(&outcome, "told");
        rows.push(
            once(format!("{dialect}: watchers told anything"), "frames' rows", told, &command).at_most(0.0),
        );
        if let Some(cpu) = outcome.server.as_ref().and_then(|server| server.cpu_micros_per_unit) {
            rows.push(once(format!("{dialect}: server CPU a connection"), "µs", cpu, &command));
        }
    }
    Ok(rows)
}

/// How soon watchers are told.
///
/// # Errors
/// As [`million`].
pub fn told(context: &Context) -> Result<Vec<Row>, Trouble> {
    let mut rows = Vec::new();
    for (window, most) in [("100ms", 110.0), ("0s", 10.0)] {
        let arguments = format!(
            "run churn -n 3000 --watchers 1000 --watched 200 --churn 250 --away 3s --every 0s --hold 20s \
             --set presence.watch_window={window}"
        );
        let (outcome, command) = run(context, &arguments)?;
        let deliveries = count(&outcome, "told") / outcome.measured_seconds.max(1.0);
        for name in ["told online", "told offline"] {
            let latency = latency(&outcome, name)?;
            let note = format!(
                "p50 {:.1} ms, p99.9 {:.1} ms; about {deliveries:.0} deliveries/s; {} {}",
                latency.p50,
                latency.p999,
                failed(&outcome),
                turns(&outcome)
            );
            let row = once(format!("{name}, window {window}: p99"), "ms", latency.p99, &command);
            rows.push(row.at_most(most).noted(note));
        }
    }
    Ok(rows)
}

/// One publish to 30,000, and readers that do not read.
///
/// # Errors
/// As [`million`].
pub fn crowd(context: &Context) -> Result<Vec<Row>, Trouble> {
    let (outcome, command) = run(
        context,
        "run fanout -n 30000 --rate 1 --every 0s --hold 20s --set engine.shards=1 --set engine.connections=32000",
    )?;
    let last = latency(&outcome, "last delivery")?;
    let note = format!("p50 {:.0} ms; {} {}", last.p50, failed(&outcome), turns(&outcome));
    let row = once("one publish to 30,000: the last has it (slowest of 20)", "ms", last.max, &command);
    let mut rows = vec![row.at_most(250.0).noted(note)];
    let (mut ratios, mut notes) = (Vec::new(), Vec::new());
    let base = "run slow -n 2000 --rate 20 --every 0s --hold 12s --warm-up 1s";
    for round in 0..5 {
        let (none, _) = run(context, &format!("{base} --stalled 0"))?;
        let (some, _) = run(context, &format!("{base} --stalled 20"))?;
        let p99 = |outcome: &Outcome| latency(outcome, "delivery").map(|latency| latency.p99);
        ratios.push(p99(&some)? / p99(&none)?);
        if round == 0 {
            notes.extend([failed(&some)].into_iter().filter(|text| !text.is_empty()));
            notes.extend(
                some.checks
                    .iter()
                    .filter(|check| check.name.contains("drop"))
                    .map(|check| check.detail.clone()),
            );
        }
    }
    let summary = Summary::of(&ratios).ok_or("nothing was measured")?;
    let row = Row::new("p99 of the others with 1 % stalled readers ÷ without", "×", summary).at_most(1.1);
    let command = format!("cargo run --release -p muster-loadtest -- {base} --stalled 20");
    rows.push(Row { command, ..row }.noted(notes.join("; ")));
    Ok(rows)
}
