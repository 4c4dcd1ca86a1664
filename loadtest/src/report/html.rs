//! A run as one page: no network, no other file. The tables are written here; the plots are drawn by the page's own
//! script (`page.js`) from the outcome that the page carries.

use std::path::Path;

use serde_json::Value;

use super::figures::{self, NOTHING, maybe};
use super::json::{FileError, write_text};
use super::markup::{self, Run, Table, TableRow, card, escape, plot, tile};
use super::{headline, summary};
use crate::outcome::{Check, Memory3, Outcome, Server};

/// What stands in a plot whose figures only the server's side gives.
const UNSEEN: &str = "The server was not seen: it runs elsewhere, or was not looked at.";

/// Writes the page.
///
/// # Errors
///
/// Where the file cannot be written.
pub fn write(path: &Path, outcome: &Outcome) -> Result<(), FileError> {
    write_text(path, &page(outcome))
}

/// The page.
#[must_use]
pub fn page(outcome: &Outcome) -> String {
    let body = [
        top("Load test", title(outcome), &meta(outcome), &verdict(outcome), true),
        "<main>\n".into(),
        banner(outcome),
        format!("<ul class=\"tiles\">\n{}</ul>\n", tiles(outcome)),
        load(outcome),
        latency(outcome),
        cost(outcome),
        went_wrong(outcome),
        particulars(outcome),
        "</main>\n".into(),
        footer(&outcome.machine.version),
    ];
    markup::page(title(outcome), &body.concat(), &[Run { label: "", outcome }])
}

/// The head of a page; `meta` and `verdict` are markup.
pub(crate) fn top(eyebrow: &str, title: &str, meta: &str, verdict: &str, can_save: bool) -> String {
    let save = if can_save { "<button type=\"button\" id=\"save\">Save JSON</button>" } else { "" };
    format!(
        "<header class=\"top\"><div><div class=\"eyebrow\">{}</div><h1>{}</h1>{meta}</div>\
         <div class=\"tools\">{save}<button type=\"button\" id=\"theme\">Dark</button></div>\
         <div class=\"verdicts\">{verdict}</div></header>\n\
         <noscript><p class=\"banner\">The plots need scripts; the tables do not.</p></noscript>\n",
        escape(eyebrow),
        escape(title)
    )
}

pub(crate) fn footer(version: &str) -> String {
    format!(
        "<footer><span>Written by muster-loadtest {}. Latencies count from the moment a request was due.</span></footer>\n",
        escape(if version.is_empty() { "of an unknown version" } else { version })
    )
}

fn title(outcome: &Outcome) -> &str {
    if outcome.title.is_empty() { "A run without a title" } else { &outcome.title }
}

/// When, how long, against what, where.
pub(crate) fn meta(outcome: &Outcome) -> String {
    let mut parts = Vec::new();
    if !outcome.started.is_empty() {
        // `2026-03-14T09:26:53Z`, without what nobody reads.
        parts.push(match outcome.started.get(..16) {
            Some(minute) => format!("{} UTC", minute.replace('T', " ")),
            None => outcome.started.clone(),
        });
    }
    parts.push(format!(
        "{} measured, {} in all",
        figures::seconds(outcome.measured_seconds),
        figures::seconds(outcome.seconds)
    ));
    if let Some(target) = outcome.plan.get("target").and_then(Value::as_str) {
        parts.push(format!("against {target}"));
    }
    let machine = &outcome.machine;
    if !machine.processor.is_empty() {
        parts.push(format!("{}, {}", machine.processor, cores(machine.cores)));
    }
    // A line breaks between the parts where it can.
    let parts: Vec<_> = parts.iter().map(|part| format!("<span>{}</span>", escape(part))).collect();
    format!("<p class=\"meta parts\">{}</p>", parts.join(" · "))
}

fn cores(number: u32) -> String {
    if number == 1 { "1 core".into() } else { format!("{number} cores") }
}

fn verdict(outcome: &Outcome) -> String {
    let pill = |class, text: String| format!("<span class=\"verdict {class}\">{}</span>", escape(&text));
    let mut pills = match &*outcome.checks {
        [] => pill("warn", "Nothing was verified".into()),
        [_] if outcome.passed() => pill("good", "✓ The one check held".into()),
        all if outcome.passed() => pill("good", format!("✓ All {} checks held", all.len())),
        all => {
            let failed = all.iter().filter(|check| !check.passed).count();
            pill("bad", format!("✗ {failed} of {} checks failed", all.len()))
        }
    };
    if outcome.interrupted {
        pills.push_str(&pill("warn", "Interrupted: measured until then".into()));
    }
    pills
}

/// What the reader must know before any figure.
fn banner(outcome: &Outcome) -> String {
    let warnings = &outcome.generator.warnings;
    if warnings.is_empty() {
        return String::new();
    }
    format!(
        "<section class=\"banner\" role=\"note\"><h2>The generator may have been the bottleneck</h2>{}</section>\n",
        list(warnings, "")
    )
}

fn list(lines: &[String], class: &str) -> String {
    let items: String = lines.iter().map(|line| format!("<li>{}</li>", escape(line))).collect();
    format!("<ul class=\"{class}\">{items}</ul>")
}

fn tiles(outcome: &Outcome) -> String {
    let server = outcome.server.as_ref();
    let mut html = String::new();

    let asked = headline::asked(outcome).map(|asked| format!("of {} asked for", figures::count(asked)));
    let held = maybe(headline::sessions(outcome), figures::count);
    html.push_str(&tile("", "Sessions held", &held, &asked.unwrap_or_default()));

    let rate = headline::rate(outcome);
    let what = rate.map_or("", |rate| rate.what);
    html.push_str(&tile("", "Rate", &maybe(rate, |rate| figures::rate(rate.value)), what));

    if let Some(latency) = headline::main_latency(outcome) {
        let others =
            format!("p50 {} · p99.9 {}", figures::millis(latency.p50), figures::millis(latency.p999));
        html.push_str(&tile("", &format!("{} p99", latency.name), &figures::millis(latency.p99), &others));
    } else {
        html.push_str(&tile("", "p99", NOTHING, "no latency was measured"));
    }

    let kernel = server.and_then(|server| server.kernel_bytes_per_session);
    let sub = match (server, kernel) {
        (None, _) => "the server was not seen".into(),
        (Some(_), None) => "in user space".into(),
        (Some(_), Some(kernel)) => format!("and {} in the kernel, both ends", figures::bytes(kernel)),
    };
    let user = server.and_then(|server| server.bytes_per_session);
    html.push_str(&tile("", "Memory a session", &maybe(user, figures::bytes), &sub));

    if let Some((server, micros)) = server.and_then(|server| Some((server, server.cpu_micros_per_unit?))) {
        let unit = if server.unit.is_empty() { "unit" } else { &server.unit };
        let label = format!("CPU a {unit}");
        html.push_str(&tile("", &label, &figures::millis(micros / 1e3), "server, user and kernel"));
    }

    let errors = headline::errors(outcome);
    let causes = causes(outcome);
    let causes: Vec<_> = causes
        .iter()
        .filter(|(_, count)| **count > 0)
        .take(2)
        .map(|(cause, count)| format!("{} {cause}", figures::count(**count)))
        .collect();
    let class = if errors > 0 { "bad" } else { "good" };
    let sub = if errors > 0 { causes.join(" · ") } else { "of any kind".into() };
    html.push_str(&tile(class, "Errors", &figures::count(errors), &sub));

    let passed = outcome.checks.iter().filter(|check| check.passed).count();
    let first = outcome.checks.iter().find(|check| !check.passed);
    let (class, sub) = match first {
        _ if outcome.checks.is_empty() => ("", "nothing was verified".into()),
        None => ("good", "all held".into()),
        Some(failed) => ("bad", format!("failed: {}", failed.name)),
    };
    let value = match outcome.checks.len() {
        0 => NOTHING.into(),
        all => format!("{passed} of {all}"),
    };
    html.push_str(&tile(class, "Checks", &value, &sub));
    html
}

/// Errors by cause, the most frequent first.
fn causes(outcome: &Outcome) -> Vec<(&String, &u64)> {
    let mut causes: Vec<_> = outcome.errors.iter().collect();
    causes.sort_by(|one, other| other.1.cmp(one.1));
    causes
}

fn load(outcome: &Outcome) -> String {
    let none = "No second of it was recorded.";
    let mut html = format!(
        "<h2>Load</h2>\n<div class=\"grid\">{}{}</div>\n",
        plot("connections", none),
        plot("rates", none)
    );
    if !outcome.checks.is_empty() {
        html = format!("<h2>Checks</h2>\n<div class=\"card\">{}</div>\n{html}", checks(&outcome.checks));
    }
    html
}

fn checks(checks: &[Check]) -> String {
    let items: String = checks
        .iter()
        .map(|check| {
            let (class, mark, word) =
                if check.passed { ("passed", "✓", "held") } else { ("failed", "✗", "failed") };
            format!(
                "<li class=\"{class}\"><span class=\"mark\" role=\"img\" aria-label=\"{word}\">{mark}</span>\
                 <span><b>{}</b><small>{}</small></span></li>",
                escape(&check.name),
                escape(&check.detail)
            )
        })
        .collect();
    format!("<ul class=\"checks\">{items}</ul>")
}

fn latency(outcome: &Outcome) -> String {
    let none = "No latency was measured.";
    let table = if outcome.latencies.is_empty() {
        format!("<p class=\"none\">{none}</p>")
    } else {
        let rows = outcome.latencies.iter().map(|latency| {
            let of = |figure| if latency.count > 0 { figures::millis(figure) } else { NOTHING.to_owned() };
            TableRow {
                class: "",
                cells: vec![
                    latency.name.clone(),
                    of(latency.p50),
                    of(latency.p90),
                    of(latency.p99),
                    of(latency.p999),
                    of(latency.max),
                    of(latency.mean),
                    of(latency.min),
                    figures::count(latency.count),
                ],
                small: latency.what.clone(),
            }
        });
        // What matters most comes first: on a narrow screen the rest is scrolled to.
        let head = ["kind", "p50", "p90", "p99", "p99.9", "max", "mean", "min", "samples"];
        Table { class: "", head: &head, rows: rows.collect() }.html()
    };
    format!(
        "<h2>Latency</h2>\n<div class=\"card\">{table}</div>\n<div class=\"grid\">{}{}</div>\n",
        plot("latency", none),
        plot("distribution", none)
    )
}

/// The kernel's memory by kind, what takes most first.
fn kernel_kinds(server: &Server, sessions: Option<u64>) -> String {
    let grown = |memory: &Memory3| memory.with as f64 - memory.before as f64;
    let mut kinds: Vec<_> = server.kernel_kinds.iter().collect();
    if kinds.is_empty() {
        return String::new();
    }
    kinds.sort_by(|(_, one), (_, other)| grown(other).total_cmp(&grown(one)));
    let rows = kinds.into_iter().map(|(name, memory)| {
        let mut cells = self::memory(name.strip_prefix("slab:").unwrap_or(name), *memory);
        let each = sessions.filter(|sessions| *sessions > 0).map(|sessions| grown(memory) / sessions as f64);
        cells.push(maybe(each, figures::bytes));
        TableRow::from(cells)
    });
    let head = ["kernel, by kind", "before", "with the crowd", "after", "a session"];
    Table { head: &head, rows: rows.collect(), ..Table::default() }.html()
}

fn cost(outcome: &Outcome) -> String {
    let server = match &outcome.server {
        None => format!("<p class=\"none\">{UNSEEN}</p>"),
        Some(server) => {
            let mut html = Table {
                head: &["memory", "before", "with the crowd", "after"],
                rows: vec![
                    memory("user (Pss)", server.memory).into(),
                    memory("kernel, whole machine", server.kernel_memory).into(),
                ],
                ..Table::default()
            }
            .html();
            html.push_str(&kernel_kinds(server, headline::sessions(outcome)));
            let lines = summary::server_lines(server);
            let others = lines.into_iter().filter(|line| !matches!(&*line[0], "memory" | "kernel memory"));
            let mut rows: Vec<TableRow> = others.map(TableRow::from).collect();
            rows.push(vec!["process".into(), format!("{} · {}", server.pid, server.command)].into());
            html.push_str(&Table { class: "words", rows, ..Table::default() }.html());
            html
        }
    };
    let generator = Table {
        class: "words",
        rows: summary::generator_lines(outcome).into_iter().map(TableRow::from).collect(),
        ..Table::default()
    };
    format!(
        "<h2>Cost</h2>\n<div class=\"grid\">{}{}</div>\n<div class=\"grid\">{}{}</div>\n",
        plot("cpu", "No second of it was recorded."),
        plot("memory", UNSEEN),
        card("Server", &server),
        card("Generator", &generator.html()),
    )
}

fn memory(name: &str, memory: Memory3) -> Vec<String> {
    let after = if memory.after == 0 { NOTHING.into() } else { figures::bytes(memory.after as f64) };
    vec![name.into(), figures::bytes(memory.before as f64), figures::bytes(memory.with as f64), after]
}

fn went_wrong(outcome: &Outcome) -> String {
    let tally = |head, counts: Vec<(&String, &u64)>| {
        let rows =
            counts.into_iter().map(|(name, count)| vec![summary::words(name), figures::count(*count)].into());
        Table { class: "", head: &[head, "count"], rows: rows.collect() }.html()
    };
    let errors = if outcome.errors.is_empty() {
        "<p class=\"none\">None.</p>".into()
    } else {
        tally("cause", causes(outcome))
    };
    let counts = if outcome.counts.is_empty() {
        "<p class=\"none\">Nothing was counted.</p>".into()
    } else {
        tally("what", outcome.counts.iter().collect())
    };
    let over_time =
        if outcome.timeline.iter().any(|tick| tick.errors > 0) { plot("errors", "") } else { String::new() };
    format!(
        "<h2>Counts and errors</h2>\n<div class=\"grid\">{}<div class=\"stack\">{}{over_time}</div></div>\n",
        card("Counts", &counts),
        card("Errors", &errors)
    )
}

/// Where, how, and what else was told.
fn particulars(outcome: &Outcome) -> String {
    let mut html = String::new();
    if !outcome.notes.is_empty() {
        html.push_str(&format!(
            "<h2>Notes</h2>\n<div class=\"card\">{}</div>\n",
            list(&outcome.notes, "notes")
        ));
    }
    let machine = &outcome.machine;
    let known = |text: &str| if text.is_empty() { NOTHING.into() } else { text.to_owned() };
    let number = |number: u64| if number == 0 { NOTHING.into() } else { figures::count(number) };
    let rows = [
        ("system", known(&machine.kernel)),
        ("processor", known(&machine.processor)),
        ("cores", number(machine.cores.into())),
        ("memory", if machine.memory == 0 { NOTHING.into() } else { figures::bytes(machine.memory as f64) }),
        ("open files, limit", number(machine.open_files)),
        ("muster-loadtest", known(&machine.version)),
        ("started", known(&outcome.started)),
    ];
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value].into()).collect();
    let place = Table { class: "words", rows, ..Table::default() }.html();
    let asked =
        outcome.plan.iter().map(|(name, value)| vec![summary::words(name), plain(value)].into()).collect();
    let mut plan = Table { class: "words", rows: asked, ..Table::default() }.html();
    if outcome.command.is_empty() && outcome.plan.is_empty() {
        plan = "<p class=\"none\">Not told.</p>".into();
    } else if !outcome.command.is_empty() {
        plan = format!("<p><code>{}</code></p>{plan}", escape(&outcome.command));
    }
    html.push_str(&format!(
        "<h2>How it was made</h2>\n<div class=\"grid\">{}{}</div>\n",
        card("Command and plan", &plan),
        card("Machine", &place)
    ));
    if let Some(server) = outcome.server.as_ref().filter(|server| !server.metrics.is_empty()) {
        let rows = server.metrics.iter().map(|(name, (before, after))| {
            vec![
                name.clone(),
                figures::number(*before),
                figures::number(*after),
                figures::number(after - before),
            ]
            .into()
        });
        let head = ["metric", "before", "after", "difference"];
        let table = Table { class: "", head: &head, rows: rows.collect() }.html();
        let summary = format!("{} metrics of the server, before and after", server.metrics.len());
        html.push_str(&format!(
            "<div class=\"card\" style=\"margin-top:16px\"><details style=\"margin:0\"><summary>{summary}</summary>{table}</details></div>\n"
        ));
    }
    html
}

/// A value of the plan for people: text without its quotes.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), figures::count),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Latency;
    use crate::report::sample::sample;

    #[test]
    fn a_hostile_name_does_nothing() {
        let hostile = "</script><img src=x onerror=alert(1)>";
        let mut outcome = sample();
        outcome.title = hostile.into();
        outcome.command = hostile.into();
        outcome.errors.insert(hostile.into(), 1);
        outcome.counts.insert(hostile.into(), 1);
        outcome.plan.insert(hostile.into(), hostile.into());
        outcome.checks[0].detail = hostile.into();
        outcome.notes.push(hostile.into());
        outcome.generator.warnings.push(hostile.into());
        outcome.latencies.push(Latency { name: hostile.into(), what: hostile.into(), ..Latency::default() });
        if let Some(server) = &mut outcome.server {
            server.command = hostile.into();
            server.unit = hostile.into();
            server.metrics.insert(hostile.into(), (0.0, 1.0));
        }
        let page = page(&outcome);
        assert!(!page.contains("<img"), "an element of a stranger is in the page");
        assert_eq!(page.matches("</script>").count(), 3);
    }

    #[test]
    fn everything_is_told() {
        let page = page(&sample());
        for part in [
            "✗ 1 of 4 checks failed",
            "The generator may have been the bottleneck",
            "Sessions held",
            "of 10,000 asked for",
            "336 B",
            "and 4.62 kB in the kernel",
            "2026-03-14 09:26 UTC",
            "muster_sessions{shard=&quot;0&quot;}",
            "timed out",
            "AMD EPYC 9B14, 2 cores",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
    }

    #[test]
    fn nothing_has_a_page_too() {
        let page = page(&Outcome::default());
        for part in [
            "A run without a title",
            "Nothing was verified",
            "The server was not seen",
            "No latency was measured",
        ] {
            assert!(page.contains(part), "{part} is missing");
        }
        assert!(!page.contains("NaN"));
    }
}
