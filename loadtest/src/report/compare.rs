//! Two runs next to each other: what differs, by how much, and whether that is good.

use std::collections::BTreeSet;
use std::path::Path;

use super::difference::rows;
pub use super::difference::{Aim, Judgement, NOISE, Row, Unit};
use super::figures::{self, NOTHING};
use super::html::{footer, meta, plain, top};
use super::json::{FileError, write_text};
use super::markup::{self, Run, Table, TableRow, card, escape, plot, tile};
use super::table::aligned;
use super::{headline, summary};
use crate::outcome::Outcome;

/// Two runs, the older one first.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    a: (&'a str, &'a Outcome),
    b: (&'a str, &'a Outcome),
    rows: Vec<Row>,
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
                "<div class=\"{class}\"><p class=\"meta\"><b class=\"{class}\">{label} · {}</b><br>{}</p>{}</div>",
                escape(name),
                escape(&outcome.title),
                meta(outcome)
            )
        };
        format!("<div class=\"runs\">{}{}</div>", run("run-a", "A", self.a), run("run-b", "B", self.b))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::sample;

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
