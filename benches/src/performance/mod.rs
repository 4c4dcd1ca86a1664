//! The figures of Muster: measured by one command, kept as JSON, and shown on one page.
//!
//! ```text
//! section ── run ──► rows ──► target/performance/NAME.json ──┐
//!            docs/performance/NAME.json (of before) ─────────┴─► docs/performance/*.json, docs/PERFORMANCE.md
//! ```
//!
//! A section is a function or a command that prints rows as JSON; see [`sections`](crate::performance::sections). Each
//! result says on which machine, with which versions and when it was measured, so that sections may be measured apart.

pub mod drivers;
pub mod events;
pub mod load;
pub mod page;
pub mod sections;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use gateway::timestamp::Seconds;
use serde::{Deserialize, Serialize};

use crate::micro::Trouble;
use crate::stats::{Comparison, Summary};

pub use sections::sections;

/// One figure. Fields are only ever added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// Of the three numbers: `ns`, `µs`, `bytes`, `ms`, `×`, ….
    pub unit: String,
    /// What was to be reached, for people: `≤ 256 bytes`.
    pub target: Option<String>,
    /// Smallest of the runs.
    pub min: f64,
    /// Median of the runs.
    pub median: f64,
    /// Largest of the runs.
    pub max: f64,
    /// Runs, or pairs.
    pub runs: u64,
    /// Where the true median is, with 95 % confidence, when it was a comparison.
    pub interval: Option<[f64; 2]>,
    /// Whether the target was met; `None`: there was none.
    pub met: Option<bool>,
    /// The command that measures it alone; empty: the section's.
    pub command: String,
    /// When, RFC 3339, UTC; empty: with its section.
    pub date: String,
    /// What is worth knowing about it.
    pub note: String,
}

impl Row {
    /// Of samples.
    #[must_use]
    pub fn new(what: impl Into<String>, unit: impl Into<String>, samples: Summary) -> Self {
        let Summary { count, min, median, max } = samples;
        Self { what: what.into(), unit: unit.into(), min, median, max, runs: count as u64, ..Self::default() }
    }

    /// Of a comparison: how many times as much A is as B.
    #[must_use]
    pub fn ratio(what: impl Into<String>, comparison: &Comparison) -> Self {
        let interval = Some([comparison.interval.low, comparison.interval.high]);
        Self { interval, ..Self::new(what, "×", comparison.ratio) }
    }

    /// With a target that the median must not exceed.
    #[must_use]
    pub fn at_most(mut self, most: f64) -> Self {
        self.target = Some(format!("≤ {} {}", page::number(most), self.unit));
        // A ratio is met when its interval reaches the target.
        self.met = Some(self.interval.map_or(self.median, |[low, _]| low) <= most);
        self
    }

    /// With a target that the median must reach.
    #[must_use]
    pub fn at_least(mut self, least: f64) -> Self {
        self.target = Some(format!("≥ {} {}", page::number(least), self.unit));
        self.met = Some(self.interval.map_or(self.median, |[_, high]| high) >= least);
        self
    }

    /// With something worth knowing.
    #[must_use]
    pub fn noted(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }
}

/// How a section finds its rows.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// In this process.
    Here(fn(&Context) -> Result<Vec<Row>, Trouble>),
    /// A program and its arguments, started in the root of the repository. It prints rows, or lists of rows, as JSON
    /// one after another, and nothing else.
    Program(&'static [&'static str]),
}

/// A part of the page.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// For the command line and the file's name.
    pub name: &'static str,
    /// For the page.
    pub title: &'static str,
    /// How it was measured, for the page.
    pub about: &'static str,
    /// How it is measured.
    pub run: Run,
}

/// Where sections run.
#[derive(Clone, Debug)]
pub struct Context {
    /// The root of the repository.
    pub root: PathBuf,
}

/// A section's rows, and where they are from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measured {
    /// Where and with what.
    pub origin: Origin,
    /// When it ended, RFC 3339, UTC.
    pub date: String,
    /// Seconds it took.
    pub seconds: u64,
    /// The figures.
    pub rows: Vec<Row>,
}

/// The machine and the versions of things.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Origin {
    /// The processor's name.
    pub processor: String,
    /// Cores that we may use.
    pub cores: usize,
    /// Memory, GiB.
    pub memory_gib: u64,
    /// `Linux 6.18.0`.
    pub kernel: String,
    /// `rustc 1.95.0 (…)`.
    pub rustc: String,
    /// The commit, with a `+` when the files differ from it.
    pub muster: String,
    /// How many programs wanted to run in the minute before: more than a tenth of the cores, and others were measured too.
    pub load: String,
}

impl Origin {
    /// Of this machine and this checkout.
    #[must_use]
    pub fn here(root: &Path) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let say = |program: &str, arguments: &[&str]| {
            let output =
                Command::new(program).args(arguments).current_dir(root).stderr(Stdio::null()).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
        };
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':'))
                .map(|(_, value)| value.trim().to_owned())
                .unwrap_or_default()
        };
        let kilobytes = field(&read("/proc/meminfo"), "MemTotal");
        let kilobytes =
            kilobytes.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0);
        let changed = !say("git", &["status", "--porcelain", "--", ":!docs"]).is_empty();
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: (kilobytes + (1 << 19)) >> 20,
            kernel: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
            rustc: say("rustc", &["--version"]),
            muster: say("git", &["rev-parse", "--short=12", "HEAD"]) + if changed { "+" } else { "" },
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }
}

/// Now, RFC 3339, UTC.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a figure says when it was measured")]
pub fn date() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Seconds(since.as_millis() as u64).to_string()
}

impl Context {
    /// Of the repository that this was built from.
    #[must_use]
    pub fn here() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
        Self { root: root.to_owned() }
    }

    fn fresh(&self, name: &str) -> PathBuf {
        self.root.join("target/performance").join(format!("{name}.json"))
    }

    fn committed(&self, name: &str) -> PathBuf {
        self.root.join("docs/performance").join(format!("{name}.json"))
    }

    /// Measures a section and keeps the result.
    ///
    /// # Errors
    /// When it fails, or has found nothing.
    #[expect(clippy::disallowed_methods, reason = "it says how long a section takes")]
    pub fn measure(&self, section: &Section) -> Result<Measured, Trouble> {
        let (start, origin) = (std::time::Instant::now(), Origin::here(&self.root));
        let rows = match section.run {
            Run::Here(run) => run(self)?,
            Run::Program(words) => self.program(words)?,
        };
        if rows.is_empty() {
            return Err(format!("the section {} has found nothing", section.name).into());
        }
        let seconds = start.elapsed().as_secs();
        let measured = Measured { origin, date: date(), seconds, rows };
        store(&self.fresh(section.name), &measured)?;
        Ok(measured)
    }

    fn program(&self, words: &[&str]) -> Result<Vec<Row>, Trouble> {
        let (program, arguments) = words.split_first().ok_or("a section has no command")?;
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.root).stderr(Stdio::inherit());
        let output = command.output().map_err(|error| format!("{program}: {error}"))?;
        if !output.status.success() {
            return Err(format!("{} failed: {}", words.join(" "), output.status).into());
        }
        rows(&output.stdout).map_err(|error| format!("{} printed no rows: {error}", words.join(" ")).into())
    }

    /// The newest result of each section: what was measured here, or else what is committed.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn results(&self, sections: &[Section]) -> Result<BTreeMap<&'static str, Measured>, Trouble> {
        let mut results = BTreeMap::new();
        for Section { name, .. } in sections {
            let both = [load(&self.fresh(name))?, load(&self.committed(name))?];
            // The first of equals would be the last one found: prefer what is committed.
            if let Some(newest) = both.into_iter().flatten().max_by(|a, b| a.date.cmp(&b.date)) {
                results.insert(*name, newest);
            }
        }
        Ok(results)
    }

    /// Writes the page, and the results it is made of.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn render(&self, sections: &[Section]) -> Result<PathBuf, Trouble> {
        let results = self.results(sections)?;
        for (name, measured) in &results {
            store(&self.committed(name), measured)?;
        }
        let path = self.root.join("docs/PERFORMANCE.md");
        fs::write(&path, page::page(sections, &results))?;
        Ok(path)
    }
}

/// Reads rows and lists of rows, one after another.
fn rows(bytes: &[u8]) -> Result<Vec<Row>, Trouble> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Rows {
        Many(Vec<Row>),
        One(Box<Row>),
    }
    let mut all = Vec::new();
    for value in serde_json::Deserializer::from_slice(bytes).into_iter::<Rows>() {
        match value? {
            Rows::Many(rows) => all.extend(rows),
            Rows::One(row) => all.push(*row),
        }
    }
    if all.iter().any(|row| row.what.is_empty()) {
        return Err("a row does not say what it is".into());
    }
    Ok(all)
}

fn load(path: &Path) -> Result<Option<Measured>, Trouble> {
    match fs::read(path) {
        Ok(bytes) => {
            Ok(Some(serde_json::from_slice(&bytes).map_err(|error| format!("{}: {error}", path.display()))?))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("{}: {error}", path.display()).into()),
    }
}

fn store(path: &Path, measured: &Measured) -> Result<(), Trouble> {
    fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
    fs::write(path, serde_json::to_string_pretty(measured)? + "\n")?;
    Ok(())
}

#[cfg(test)]
mod tests;
