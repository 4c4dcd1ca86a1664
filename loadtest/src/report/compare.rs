//! Two runs next to each other: what differs, by how much, and whether that is good.

use std::collections::BTreeSet;
use std::path::Path;

use super::figures::{self, NOTHING, maybe};
use super::html::{footer, meta, plain, top};
use super::json::{FileError, write_text};
use super::markup::{self, Run, Table, TableRow, card, escape, plot, tile};
use super::table::aligned;
use super::{headline, summary};
use crate::outcome::{Latency, Outcome, Server};

/// Two runs differ by this share of the first even when nothing has changed; less is called neither better nor worse.
pub const NOISE: f64 = 0.05;

/// Two runs, the older one first.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    a: (&'a str, &'a Outcome),
    b: (&'a str, &'a Outcome),
    rows: Vec<Row>,
}

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
    fn cells(&self) -> Vec<String> {
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

impl<'a> Comparison<'a> {
    /// Compares `b` with `a`; the names are those of the files.
    #[must_use]
    pub fn new(a_name: &'a str, a: &'a Outcome, b_name: &'a str, b: &'a Outcome) -> Self {
        Self { a: (a_name, a), b: (b_name, b), rows: rows(a, b) }
    }

    /// Every figure that one of the two has.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// What was asked for, or given, differently: the name, and both values.
    #[must_use]
    pub fn conditions(&self) -> Vec<[String; 3]> {
        let (a, b) = (self.a.1, self.b.1);
        let names: BTreeSet<_> = a.plan.keys().chain(b.plan.keys()).collect();
        let of = |outcome: &Outcome, name: &str| outcome.plan.get(name).map_or(NOTHING.into(), plain);
        let mut pairs: Vec<_> =
            names.into_iter().map(|name| [summary::words(name), of(a, name), of(b, name)]).collect();
        let (here, there) = (&a.machine, &b.machine);
        for (name, one, other) in [
            ("system", here.kernel.clone(), there.kernel.clone()),
            ("processor", here.processor.clone(), there.processor.clone()),
            ("cores", here.cores.to_string(), there.cores.to_string()),
            ("muster-loadtest", here.version.clone(), there.version.clone()),
            ("measured", figures::seconds(a.measured_seconds), figures::seconds(b.measured_seconds)),
        ] {
            pairs.push([name.into(), one, other]);
        }
        pairs.retain(|[_, one, other]| one != other);
        pairs
    }

    /// Checks that did not come out alike: the name, and what became of it in both.
    #[must_use]
    pub fn checks(&self) -> Vec<[String; 3]> {
        let of = |outcome: &Outcome, name: &str| {
            let check = outcome.checks.iter().find(|check| check.name == name);
            check.map_or(NOTHING, |check| if check.passed { "✓ held" } else { "✗ failed" }).to_owned()
        };
        let (a, b) = (self.a.1, self.b.1);
        let names: BTreeSet<_> = a.checks.iter().chain(&b.checks).map(|check| &check.name).collect();
        let pairs = names.into_iter().map(|name| [name.clone(), of(a, name), of(b, name)]);
        pairs.filter(|[_, one, other]| one != other).collect()
    }

    /// The differences for a terminal.
    #[must_use]
    pub fn text(&self, colours: bool) -> String {
        let line = |label, (name, outcome): (&str, &Outcome)| {
            vec![format!("{label}  {name}"), outcome.title.clone(), outcome.started.clone()]
        };
        let mut text = aligned("", &[line("A", self.a), line("B", self.b)]);
        for (heading, pairs) in [("differs in what was asked", self.conditions()), ("checks", self.checks())]
        {
            if !pairs.is_empty() {
                let mut lines = vec![["", "A", "B"].map(String::from).to_vec()];
                lines.extend(pairs.into_iter().map(Vec::from));
                text.push_str(&format!("\n{heading}\n{}", aligned("  ", &lines)));
            }
        }
        let mut lines = vec![["", "A", "B", "B − A", "", ""].map(String::from).to_vec()];
        let mut section = "";
        let mut headings = Vec::new();
        for row in &self.rows {
            if row.section != section {
                section = row.section;
                headings.push(lines.len());
                lines.push(vec![section.into()]);
            }
            let mut cells = row.cells();
            cells[0].insert_str(0, "  ");
            lines.push(cells);
        }
        text.push('\n');
        for (index, line) in aligned("", &lines).lines().enumerate() {
            if headings.contains(&index) && index > 1 {
                text.push('\n');
            }
            text.push_str(&painted(line, colours));
            text.push('\n');
        }
        text.push_str(&format!("\nWithin {:.0}% is called neither better nor worse.\n", NOISE * 100.0));
        text
    }

    /// The page with both runs' curves in each plot.
    #[must_use]
    pub fn page(&self) -> String {
        let title = format!("{} compared with {}", self.b.0, self.a.0);
        let body = [
            top("Load test · comparison", &title, &self.runs(), "", false),
            "<main>\n".into(),
            self.warnings(),
            format!("<ul class=\"tiles\">\n{}</ul>\n", self.tiles()),
            self.plots(),
            self.tables(),
            "</main>\n".into(),
            footer(&self.b.1.machine.version),
        ];
        let runs = [Run { label: "A", outcome: self.a.1 }, Run { label: "B", outcome: self.b.1 }];
        markup::page(&title, &body.concat(), &runs)
    }

    /// Writes the page.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        write_text(path, &self.page())
    }

    fn runs(&self) -> String {
        let run = |class, label, (name, outcome): (&str, &Outcome)| {
            format!(
                "<p class=\"meta\"><b class=\"{class}\">{label} {}</b> · {}</p>{}",
                escape(name),
                escape(&outcome.title),
                meta(outcome)
            )
        };
        format!("{}{}", run("run-a", "A", self.a), run("run-b", "B", self.b))
    }

    /// Warnings of both generators.
    fn warnings(&self) -> String {
        let of = |label, outcome: &Outcome| -> String {
            let warnings = outcome.generator.warnings.iter();
            warnings.map(|warning| format!("<li>{label}: {}</li>", escape(warning))).collect()
        };
        let items = of("A", self.a.1) + &of("B", self.b.1);
        if items.is_empty() {
            return items;
        }
        format!(
            "<section class=\"banner\" role=\"note\"><h2>A generator may have been the bottleneck</h2><ul>{items}</ul></section>\n"
        )
    }

    fn tiles(&self) -> String {
        let latency = headline::main_latency(self.b.1).or_else(|| headline::main_latency(self.a.1));
        let p99 = latency.map_or_else(String::new, |latency| format!("{} p99", latency.name));
        let wanted = |row: &&Row| {
            matches!(row.section, "load" | "memory") || row.name == p99 || row.name.starts_with("CPU a ")
        };
        let total = self.rows.iter().find(|row| row.section == "errors");
        let rows = self.rows.iter().filter(wanted).chain(total);
        rows.map(|row| {
            let cells = row.cells();
            let class = match row.judgement() {
                Judgement::Better => "pair good",
                Judgement::Worse => "pair bad",
                Judgement::Same => "pair",
            };
            let sub = format!("{} {}", cells[4], cells[5]);
            tile(class, &row.name, &format!("{} → {}", cells[1], cells[2]), sub.trim())
        })
        .collect()
    }

    fn plots(&self) -> String {
        let none = "Neither run has recorded it.";
        let pair =
            |one, other| format!("<div class=\"grid\">{}{}</div>\n", plot(one, none), plot(other, none));
        let mut html = format!(
            "<h2>Latency</h2>\n{}<h2>Load</h2>\n{}<h2>Cost</h2>\n{}",
            pair("distribution", "latency"),
            pair("connections", "rates"),
            pair("cpu", "memory")
        );
        if [self.a.1, self.b.1].iter().any(|outcome| outcome.timeline.iter().any(|tick| tick.errors > 0)) {
            html.push_str(&format!("<h2>Errors</h2>\n{}", plot("errors", none)));
        }
        html
    }

    fn tables(&self) -> String {
        let mut html = String::new();
        for (heading, pairs) in [("What was asked differently", self.conditions()), ("Checks", self.checks())]
        {
            if !pairs.is_empty() {
                let rows = pairs.into_iter().map(|pair| Vec::from(pair).into()).collect();
                let table = Table { class: "words", head: &["", "A", "B"], rows }.html();
                html.push_str(&card(heading, &table));
            }
        }
        let mut rows: Vec<TableRow> = Vec::new();
        let mut section = "";
        for row in &self.rows {
            if row.section != section {
                section = row.section;
                rows.push(TableRow { class: "group", cells: vec![section.into()], small: String::new() });
            }
            let class = match row.judgement() {
                Judgement::Better => "better",
                Judgement::Worse => "worse",
                Judgement::Same => "",
            };
            rows.push(TableRow { class, cells: row.cells(), small: String::new() });
        }
        let table = Table { class: "", head: &["", "A", "B", "B − A", "change", ""], rows }.html();
        let about =
            format!("<p class=\"none\">Within {:.0}% is called neither better nor worse.</p>", NOISE * 100.0);
        html.push_str(&card("Every figure", &format!("{table}{about}")));
        format!("<h2>Differences</h2>\n<div class=\"tables\">{html}</div>\n")
    }
}

fn painted(line: &str, colours: bool) -> String {
    let code = match () {
        () if !colours => return line.into(),
        () if line.ends_with("  better") => "32",
        () if line.ends_with("  worse") => "31",
        () => return line.into(),
    };
    format!("\x1b[{code}m{line}\x1b[0m")
}

fn rows(a: &Outcome, b: &Outcome) -> Vec<Row> {
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
        let of = |outcome: &Outcome, figure: fn(&Latency) -> f64| {
            headline::measured(outcome).find(|latency| latency.name == kind).map(figure)
        };
        let figures: [(&str, fn(&Latency) -> f64); 4] = [
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
    use crate::report::sample::sample;

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

    #[test]
    fn two_runs_are_told_apart() {
        let a = sample();
        let mut b = a.clone();
        b.latencies[1].p99 *= 2.0;
        b.plan.insert("rate".into(), 40_000.into());
        b.checks[2].passed = true;
        b.errors.clear();
        b.server = None;
        let text = Comparison::new("a.json", &a, "b.json", &b).text(false);
        for part in [
            "A  a.json",
            "differs in what was asked",
            "20,000  40,000",
            "✗ failed  ✓ held",
            "+100%   worse",
            "memory a session",
            "−11",
            "Within 5%",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }

    #[test]
    fn a_run_does_not_differ_from_itself() {
        let outcome = sample();
        let comparison = Comparison::new("a", &outcome, "b", &outcome);
        assert!(comparison.conditions().is_empty() && comparison.checks().is_empty());
        assert!(comparison.rows().iter().all(|row| row.judgement() == Judgement::Same));
        let nothing = Outcome::default();
        let text = Comparison::new("a", &nothing, "b", &nothing).text(true);
        assert!(text.contains("errors"), "{text}");
    }

    #[test]
    fn a_hostile_file_name_does_nothing() {
        let outcome = sample();
        let page = Comparison::new("</script><img src=x>", &outcome, "b", &outcome).page();
        assert!(!page.contains("<img") && page.matches("</script>").count() == 3);
    }
}
