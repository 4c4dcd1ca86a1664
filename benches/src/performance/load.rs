//! Figures of whole runs: the load-test harness with a fresh server, as anyone runs it.

use std::process::Command;

use loadtest::outcome::{Latency, Memory3, Outcome, Turns};
use loadtest::report::json;

use super::{Context, Row};
use crate::micro::Trouble;
use crate::stats::Summary;

/// Sessions that fit the machine of the figures, which has 24 GiB: see `muster-loadtest million --dry-run`.
const MOST: u64 = 1_900_000;

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
        rows.extend(counts(&what, &outcome, &command));
    }
    Ok(rows)
}

/// What counting them all does to the shards' turns.
fn counts(what: &str, outcome: &Outcome, command: &str) -> Option<Row> {
    let part = |when: &str| -> Option<&Turns> {
        outcome.server.as_ref()?.turns.iter().find(|turns| turns.when == when)
    };
    let (without, beside) = (part("without counts")?, part("beside counts")?);
    let count = outcome.latencies.iter().find(|latency| latency.name == "count");
    let answered = count.map_or_else(String::new, |count| {
        format!("; a count is answered in {:.1} ms (p50), {:.1} ms (p99)", count.p50, count.p99)
    });
    let note = format!(
        "without counts at most {:.2} ms; mean {:.0} µs beside, {:.0} µs without{answered}",
        without.p999,
        beside.mean * 1e3,
        without.mean * 1e3
    );
    let name = format!("{what}: p99.9 of a shard's turn beside ten counts a second, at most");
    Some(once(name, "ms", beside.p999, command).at_most(2.048).noted(note))
}

/// A million binary sessions, and what one costs.
///
/// # Errors
/// When a run cannot be made.
pub fn million(context: &Context) -> Result<Vec<Row>, Trouble> {
    hold(context, "binary", 256.0, &[(1_000_000, "10m", "30s")])
}

/// A million and a half.
///
/// # Errors
/// As [`million`].
pub fn density_binary(context: &Context) -> Result<Vec<Row>, Trouble> {
    hold(context, "binary", 256.0, &[(1_500_000, "1m", "60s")])
}

/// As many binary sessions as fit.
///
/// # Errors
/// As [`million`].
pub fn density_most(context: &Context) -> Result<Vec<Row>, Trouble> {
    hold(context, "binary", 256.0, &[(MOST, "1m", "240s")])
}

/// What a session takes in the server and in the kernel, by kind.
///
/// # Errors
/// As [`million`].
pub fn memory(context: &Context) -> Result<Vec<Row>, Trouble> {
    let mut rows = Vec::new();
    for dialect in ["binary", "presence"] {
        let arguments = format!("million -n 200000 --dialect {dialect} --hold 10s --counts 0");
        let (outcome, command) = run(context, &arguments)?;
        let server = outcome.server.as_ref().ok_or("the server was not seen")?;
        let sessions = count(&outcome, "connected").max(1.0);
        let each = |memory: &Memory3| (memory.with as f64 - memory.before as f64) / sessions;
        let mut add = |what: &str, bytes: f64| {
            rows.push(once(format!("{dialect}: {what}"), "bytes a session", bytes, &command));
        };
        add("the server's own memory (Pss)", each(&server.memory));
        add("the kernel's, both ends of the connection", each(&server.kernel_memory));
        let mut kinds: Vec<_> =
            server.kernel_kinds.iter().map(|(name, memory)| (name, each(memory))).collect();
        kinds.sort_by(|one, other| other.1.total_cmp(&one.1));
        for (name, bytes) in kinds {
            let name = match name.strip_prefix("slab:") {
                Some(cache) => format!("of that, the cache `{cache}`"),
                None => format!("of that, {name}"),
            };
            add(&name, bytes);
        }
    }
    Ok(rows)
}

/// The same for presence WebSockets.
///
/// # Errors
/// As [`million`].
pub fn density_websocket(context: &Context) -> Result<Vec<Row>, Trouble> {
    hold(context, "presence", 512.0, &[(500_000, "1m", "30s"), (1_000_000, "1m", "60s")])
}

/// The same for the messaging API's clients.
///
/// # Errors
/// As [`million`].
pub fn density_socketio(context: &Context) -> Result<Vec<Row>, Trouble> {
    let mut rows = hold(context, "socketio", 512.0, &[(100_000, "5m", "25s"), (300_000, "30s", "25s")])?;
    rows.extend(hold(context, "socketio-polling", f64::from(24 << 10), &[(10_000, "1m", "25s")])?);
    Ok(rows)
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
    let note = format!("{} {}", failed(&outcome), turns(&outcome));
    let summary = Summary { count: last.count as usize, min: last.min, median: last.p50, max: last.max };
    let row = Row::new("one publish to 30,000: the last has it", "ms", summary);
    let row = Row { command, ..row };
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

/// Users that talk, and conversations: each user is in four hundred.
const TALK: &str = "run messages -n 500 --conversations 100000 --twice 0 --every 0s --lists 0 \
                    --set limits.commands_per_second=1000000 --set limits.commands_burst=1000000";

/// Messages through the server, with the embedded store.
///
/// # Errors
/// As [`million`].
pub fn messages(context: &Context) -> Result<Vec<Row>, Trouble> {
    let mut rows = flat_out(context)?;
    rows.extend(at_a_rate(context)?);
    rows.extend(one_at_a_time(context)?);
    rows.extend(lists(context)?);
    Ok(rows)
}

/// Messages acknowledged a second while it was measured.
fn kept_rate(outcome: &Outcome) -> Result<f64, Trouble> {
    Ok(latency(outcome, "kept")?.count as f64 / outcome.measured_seconds.max(1.0))
}

fn shares(outcome: &Outcome) -> String {
    let seconds = outcome.measured_seconds.max(1.0);
    let server = outcome.server.as_ref().map_or(0.0, |server| server.cpu_seconds / seconds);
    let generator = outcome.generator.cpu_seconds / seconds;
    format!("the server used {server:.2} cores, the generator {generator:.2}")
}

fn page_row(outcome: &Outcome, when: &str, command: &str) -> Result<Row, Trouble> {
    let page = latency(outcome, "page")?;
    let row = once(format!("page of 50 messages, {when}: p99"), "ms", page.p99, command).at_most(20.0);
    Ok(row.noted(format!("p50 {:.2} ms, p99.9 {:.1} ms", page.p50, page.p999)))
}

fn flat_out(context: &Context) -> Result<Vec<Row>, Trouble> {
    let before = heartbeats(context)?;
    let (outcome, command) =
        run(context, &format!("{TALK} --pages 200 --in-flight 1024 --warm-up 5s --hold 5m"))?;
    let after = heartbeats(context)?;
    let kept = latency(&outcome, "kept")?;
    let note = format!(
        "each told to both members; acknowledged after {:.1} ms (p50), {:.1} ms (p99), {:.0} ms at most; {}; {}",
        kept.p50,
        kept.p99,
        kept.max,
        shares(&outcome),
        failed(&outcome)
    );
    let what = "messages on stable storage a second, 1,024 under way, 100,000 conversations, five minutes";
    let plain = Summary::of(&[before.rate, after.rate]).ok_or("nothing was measured")?;
    // The sender is answered, and each member is told.
    let frames =
        (kept.count + latency(&outcome, "delivery")?.count) as f64 / outcome.measured_seconds.max(1.0);
    Ok(vec![
        Row { command: before.command, ..Row::new(PLAIN, "/s", plain) }.noted(before.note),
        once(what, "/s", kept_rate(&outcome)?, &command).at_least(60_000.0).noted(note),
        once(
            "frames that messages bring ÷ those that plain heartbeats bring",
            "×",
            frames / plain.median,
            "",
        ),
        page_row(&outcome, "meanwhile", &command)?,
    ])
}

/// What the machine does at most when nothing is stored: the server's answers are as many as its generator can ask for.
const PLAIN: &str =
    "plain heartbeats a second, 1,024 under way, right before and after: no store, one frame each";

/// Heartbeats of as many sessions, with as many under way.
struct Heartbeats {
    rate: f64,
    command: String,
    note: String,
}

fn heartbeats(context: &Context) -> Result<Heartbeats, Trouble> {
    let (outcome, command) = run(context, "run heartbeat -n 500 --in-flight 1024 --every 0s --hold 10s")?;
    let rate = latency(&outcome, "heartbeat")?.count as f64 / outcome.measured_seconds.max(1.0);
    Ok(Heartbeats { rate, command, note: shares(&outcome) })
}

fn at_a_rate(context: &Context) -> Result<Vec<Row>, Trouble> {
    let (outcome, command) =
        run(context, &format!("{TALK} --pages 200 --rate 15000 --warm-up 5s --hold 60s"))?;
    let (kept, told) = (latency(&outcome, "kept")?, latency(&outcome, "delivery")?);
    let what = |quantile: &str| format!("message on stable storage, 15,000 a second: {quantile}");
    let note = format!(
        "{:.0} a second were acknowledged; p50 {:.2} ms, at most {:.0} ms; {}; {}",
        kept_rate(&outcome)?,
        kept.p50,
        kept.max,
        shares(&outcome),
        failed(&outcome)
    );
    Ok(vec![
        once(what("p99"), "ms", kept.p99, &command).at_most(10.0).noted(note),
        once(what("p99.9"), "ms", kept.p999, &command).at_most(40.0),
        once("message told to a member, 15,000 a second: p99", "ms", told.p99, &command),
        page_row(&outcome, "15,000 messages a second", &command)?,
    ])
}

/// One after the other, beside an append and a sync of as many bytes by themselves.
fn one_at_a_time(context: &Context) -> Result<Vec<Row>, Trouble> {
    let before = syncs()?;
    let (outcome, command) = run(context, &format!("{TALK} --in-flight 1 --pages 0 --hold 20s"))?;
    let after = syncs()?;
    let kept = latency(&outcome, "kept")?;
    let all: Vec<f64> = before.into_iter().chain(after).collect();
    let floor = Summary::of(&all).ok_or("nothing was measured")?;
    let note = format!("p99 {:.2} ms, {:.0}/s; {}", kept.p99, kept_rate(&outcome)?, failed(&outcome));
    let row = once("one message at a time: p50", "ms", kept.p50, &command);
    Ok(vec![
        Row::new("append of 512 bytes and fdatasync, right before and after", "ms", floor),
        row.at_most(floor.median + 1.0).noted(note),
    ])
}

/// Milliseconds of appends with a sync.
#[expect(clippy::disallowed_methods, reason = "it measures time")]
fn syncs() -> Result<Vec<f64>, Trouble> {
    let mut file = tempfile::tempfile()?;
    let bytes = [7_u8; 512];
    (0..500)
        .map(|_| {
            let begun = std::time::Instant::now();
            std::io::Write::write_all(&mut file, &bytes)?;
            file.sync_data()?;
            Ok(begun.elapsed().as_secs_f64() * 1e3)
        })
        .collect()
}

fn lists(context: &Context) -> Result<Vec<Row>, Trouble> {
    let arguments = "run messages -n 60 --conversations 10000 --members 3 --twice 0 --every 0s --rate 500 --pages 0 \
                     --lists 5 --list 500 --hold 30s --set limits.commands_per_second=1000000 --set limits.commands_burst=1000000";
    let (outcome, command) = run(context, arguments)?;
    let list = latency(&outcome, "list")?;
    let row =
        once("list of a user's 500 of 10,000 conversations: p50", "ms", list.p50, &command).at_most(20.0);
    Ok(vec![row.noted(format!(
        "p99 {:.1} ms; 500 messages a second meanwhile; {}",
        list.p99,
        failed(&outcome)
    ))])
}
