//! From results to the page.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{Measured, Row, Section};

const HEAD: &str = "\
# Performance

Every figure here comes from `cargo run --release -p muster-benches --bin performance`, which measures, keeps the results in
`docs/performance/` and writes this page; edit neither by hand. `--list` names the sections, `--only NAME` measures some of them,
`--render` only writes the page.

Machines like these are noisy neighbours: the smallest value is what the code costs, the median is what one gets, and a comparison is
made of pairs measured in turns, with the interval that holds the true median ratio with 95 % confidence.
";

/// The page.
#[must_use]
pub fn page(sections: &[Section], results: &BTreeMap<&'static str, Measured>) -> String {
    let mut page = HEAD.to_owned();
    let rows = || results.values().flat_map(|measured| &measured.rows);
    let (met, missed) =
        (rows().filter(|row| row.met == Some(true)), rows().filter(|row| row.met == Some(false)));
    let (met, missed): (usize, Vec<&Row>) = (met.count(), missed.collect());
    if met + missed.len() > 0 {
        add(&mut page, format_args!("\nTargets met: {met} of {}.", met + missed.len()));
        for row in missed {
            let target = row.target.as_deref().unwrap_or_default();
            add(
                &mut page,
                format_args!(" Missed: {}, {} {} ({target}).", row.what, number(row.median), row.unit),
            );
        }
        page.push('\n');
    }
    for section in sections {
        add(&mut page, format_args!("\n## {}\n\n{}\n", section.title, section.about));
        match results.get(section.name) {
            Some(measured) => table(&mut page, section, measured),
            None => page.push_str("\nNot measured yet.\n"),
        }
    }
    page
}

fn table(page: &mut String, section: &Section, measured: &Measured) {
    let rows = &measured.rows;
    let compares = rows.iter().any(|row| row.interval.is_some());
    let aims = rows.iter().any(|row| row.target.is_some());
    let notes = rows.iter().any(|row| !row.note.is_empty() || !row.command.is_empty());
    let mut columns = vec!["what", "unit", "min", "median", "max", "runs"];
    columns.extend(compares.then_some("95 % of the median"));
    columns.extend(aims.then_some("target"));
    columns.extend(notes.then_some("note"));
    page.push('\n');
    line(page, columns.iter().map(ToString::to_string));
    line(page, columns.iter().map(|name| if is_figure(name) { "--:" } else { "---" }.to_owned()));
    for row in rows {
        let mut cells = vec![row.what.clone(), row.unit.clone()];
        cells.extend([row.min, row.median, row.max].map(number));
        cells.push(if row.runs == 0 { String::new() } else { row.runs.to_string() });
        if compares {
            let interval = row.interval.map(|[low, high]| format!("{} to {}", number(low), number(high)));
            cells.push(interval.unwrap_or_default());
        }
        if aims {
            let verdict = match row.met {
                Some(true) => ", met",
                Some(false) => ", **missed**",
                None => "",
            };
            cells.push(row.target.as_ref().map(|target| format!("{target}{verdict}")).unwrap_or_default());
        }
        if notes {
            let command = if row.command.is_empty() { String::new() } else { format!("`{}`", row.command) };
            cells.push([row.note.clone(), command].join(" ").trim().to_owned());
        }
        line(page, cells);
    }
    let origin = &measured.origin;
    add(
        page,
        format_args!(
            "\n{}, {} s; {}, {} cores, {} GiB, load {} before; {}; {}; Muster {}. `cargo run --release -p muster-benches --bin performance -- \
             --only {}`\n",
            measured.date,
            measured.seconds,
            origin.processor,
            origin.cores,
            origin.memory_gib,
            if origin.load.is_empty() { "unknown" } else { &origin.load },
            origin.kernel,
            origin.rustc,
            origin.muster,
            section.name
        ),
    );
}

fn is_figure(column: &str) -> bool {
    matches!(column, "min" | "median" | "max" | "runs")
}

fn line(page: &mut String, cells: impl IntoIterator<Item = String>) {
    for cell in cells {
        add(page, format_args!("| {} ", cell.replace('|', "\\|").replace('\n', " ")));
    }
    page.push_str("|\n");
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string does not fail.
    let _ = page.write_fmt(text);
}

/// A number as people read it: three digits that count, thousands apart.
#[must_use]
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        small if small < 1.0 => 3,
        small if small < 10.0 => 2,
        small if small < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    let (sign, text) = text.strip_prefix('-').map_or(("", &*text), |rest| ("-", rest));
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{rest}")
}
