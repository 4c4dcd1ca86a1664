//! Instruction counts: what a call costs on any machine, busy or not.
//!
//! The program that counts runs itself under callgrind, once for a few calls and once for many. All that comes before
//! and after the calls is the same in both, so the difference is that of the calls alone. The counts of the hottest
//! paths are committed; more than a few percent above them is a regression, or a decision to be written down.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::micro::{Case, Trouble};

/// The hottest paths.
pub const GUARDED: [&str; 3] = ["frames/heartbeat", "websocket/heartbeat", "seats/heartbeat"];

/// Instructions a call, by the name of the case.
pub type Counts = BTreeMap<String, f64>;

/// Calls of the two runs.
const FEW: u64 = 1_000;
const MANY: u64 = 11_000;

/// Runs a case so many times: what callgrind watches.
///
/// # Errors
/// When there is no such case, or it cannot be made.
pub fn run(name: &str, times: u64) -> Result<(), Trouble> {
    let case = Case::named(name).ok_or_else(|| format!("there is no case {name}"))?;
    case.ready()?(times);
    Ok(())
}

/// Counts one case. `program` calls [`run`] when it is given `--run NAME --times N`.
///
/// # Errors
/// When valgrind is missing or fails.
pub fn count(program: &Path, name: &str) -> Result<f64, Trouble> {
    let (few, many) = (total(program, name, FEW)?, total(program, name, MANY)?);
    Ok(many.saturating_sub(few) as f64 / (MANY - FEW) as f64)
}

/// Counts all that are guarded.
///
/// # Errors
/// As [`count`].
pub fn count_guarded(program: &Path) -> Result<Counts, Trouble> {
    GUARDED.iter().map(|name| Ok(((*name).to_owned(), count(program, name)?))).collect()
}

fn total(program: &Path, name: &str, times: u64) -> Result<u64, Trouble> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("callgrind.out");
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--error-exitcode=9"])
        .arg(format!("--callgrind-out-file={}", file.display()));
    command.arg(program).args(["--run", name, "--times", &times.to_string()]);
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            "valgrind is not installed: install the package valgrind (apt-get install valgrind)".to_owned()
        }
        _ => format!("valgrind does not start: {error}"),
    })?;
    if !output.status.success() {
        return Err(format!(
            "valgrind failed ({}):\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
        .into());
    }
    instructions(&std::fs::read_to_string(file)?).ok_or_else(|| "callgrind wrote no total".into())
}

/// The total in what callgrind has written.
fn instructions(written: &str) -> Option<u64> {
    let figure = |name: &str| {
        let line = written.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    figure("totals:").or_else(|| figure("summary:"))
}

/// How one count stands to the committed one.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Change {
    /// Instructions a call.
    pub now: f64,
    /// The committed count; `None`: there is none.
    pub before: Option<f64>,
}

impl Change {
    /// Percent above the committed count.
    #[must_use]
    pub fn percent(&self) -> Option<f64> {
        self.before.filter(|before| *before > 0.0).map(|before| (self.now / before - 1.0) * 100.0)
    }

    /// Whether it is within the tolerance, in percent. What has no committed count is not.
    #[must_use]
    pub fn holds(&self, tolerance: f64) -> bool {
        self.percent().is_some_and(|percent| percent <= tolerance)
    }
}

/// Each count against the committed ones.
#[must_use]
pub fn compare(now: &Counts, committed: &Counts) -> BTreeMap<String, Change> {
    now.iter()
        .map(|(name, now)| (name.clone(), Change { now: *now, before: committed.get(name).copied() }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_guarded_exists() {
        assert!(GUARDED.iter().all(|name| Case::named(name).is_some()));
        assert!(run("frames/heartbeat", 2).is_ok());
        assert!(run("frames/nothing", 2).is_err());
    }

    #[test]
    fn the_total_is_found() {
        assert_eq!(instructions("version: 1\nevents: Ir\nfn=1\n12 3\ntotals: 4711\n"), Some(4711));
        assert_eq!(instructions("summary: 99 1\n"), Some(99));
        assert_eq!(instructions("events: Ir\n"), None);
    }

    #[test]
    fn more_is_a_regression_and_less_is_none() {
        let committed = Counts::from([("a".into(), 100.0)]);
        let change = |now| compare(&Counts::from([("a".into(), now)]), &committed)["a"];
        assert!(change(102.9).holds(3.0) && change(10.0).holds(3.0));
        assert!(!change(103.1).holds(3.0));
        let unknown = compare(&Counts::from([("b".into(), 1.0)]), &committed)["b"];
        assert!(!unknown.holds(3.0), "what nobody has written down is not guarded");
    }
}
