//! An outcome as a JSON file, and back.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;
use thiserror::Error;

use crate::outcome::Outcome;

/// A report that cannot be written or read: which file, and what to do.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be written.
    #[error("cannot write {path}: {error}; name a file in a folder that exists and that you may write to")]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// It cannot be opened.
    #[error("cannot read {path}: {error}; name a file that a run wrote with --json")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// It is not JSON, or not that of a result.
    #[error("{path} is not the result of a run: {error}; name a file that a run wrote with --json")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: String,
    },
    /// A later program wrote it.
    #[error(
        "{path} has format {found}, and this program reads up to {}: read it with the muster-loadtest that wrote it, \
         or a later one",
        Outcome::FORMAT
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
}

/// Writes an outcome for other programs, indented so that people can look into it as well.
///
/// # Errors
///
/// Where the file cannot be written.
pub fn write(path: &Path, outcome: &Outcome) -> Result<(), FileError> {
    write_text(path, &to_string(outcome))
}

/// The text that [`write()`] writes.
#[must_use]
pub fn to_string(outcome: &Outcome) -> String {
    let mut text = serde_json::to_string_pretty(outcome)
        .expect("every map of an outcome has strings as its keys, and nothing else of it can fail");
    text.push('\n');
    text
}

/// Writes any report.
///
/// # Errors
///
/// Where the file cannot be written.
pub fn write_text(path: &Path, text: &str) -> Result<(), FileError> {
    fs::write(path, text).map_err(|error| FileError::Write { path: path.into(), error })
}

/// Reads what [`write()`] wrote, by this program or an earlier one.
///
/// # Errors
///
/// Where there is no such file, or it is not a result, or a later program wrote it.
pub fn read(path: &Path) -> Result<Outcome, FileError> {
    let text = fs::read_to_string(path).map_err(|error| FileError::Read { path: path.into(), error })?;
    let foreign = |error: String| FileError::Foreign { path: path.into(), error };
    let mut value: Value = serde_json::from_str(&text).map_err(|error| foreign(error.to_string()))?;
    match value.get("format").and_then(Value::as_u64) {
        None | Some(0) => return Err(foreign("it has no `format`".into())),
        Some(found) if found > u64::from(Outcome::FORMAT) => {
            return Err(FileError::Newer { path: path.into(), found });
        }
        Some(_) => {}
    }
    drop_nulls(&mut value);
    serde_json::from_value(value).map_err(|error| foreign(error.to_string()))
}

/// JSON has no NaN, and serde writes `null` for it: a figure that could not be computed must not spoil the rest.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            // The plan is anyone's, and a null there is what was asked for.
            fields.iter_mut().filter(|(name, _)| *name != "plan").for_each(|(_, field)| drop_nulls(field));
        }
        Value::Array(items) => {
            // A point of a distribution.
            items.retain(|item| !item.as_array().is_some_and(|point| point.iter().any(Value::is_null)));
            items.iter_mut().for_each(drop_nulls);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Latency;
    use crate::report::sample::sample;

    fn read_back(text: &str) -> Result<Outcome, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        fs::write(&path, text).unwrap();
        read(&path).map_err(|error| error.to_string().replace(path.to_str().unwrap(), "run.json"))
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.json");
        let mut outcome = sample();
        outcome.plan.insert("seed".into(), Value::Null);
        write(&path, &outcome).unwrap();
        assert!(
            to_string(&read(&path).unwrap()) == to_string(&outcome),
            "it is not the same after it was read"
        );
    }

    #[test]
    fn a_figure_that_is_none_spoils_nothing() {
        let mut outcome = sample();
        outcome.seconds = f64::NAN;
        outcome.latencies[0] = Latency {
            max: f64::INFINITY,
            distribution: vec![(0.5, 1.0), (1.0, f64::NAN)],
            ..Latency::default()
        };
        let read = read_back(&to_string(&outcome)).unwrap();
        assert_eq!((read.seconds, read.latencies[0].max), (0.0, 0.0));
        assert_eq!(read.latencies[0].distribution, [(0.5, 1.0)]);
    }

    #[test]
    fn a_wrong_file_is_named_and_the_way_out_too() {
        for (text, error) in [
            (
                "{",
                "run.json is not the result of a run: EOF while parsing an object at line 1 column 1; name a file that a run wrote with --json",
            ),
            (
                "{}",
                "run.json is not the result of a run: it has no `format`; name a file that a run wrote with --json",
            ),
            (
                "[]",
                "run.json is not the result of a run: it has no `format`; name a file that a run wrote with --json",
            ),
            (
                r#"{"format": 2, "what": "is that"}"#,
                "run.json has format 2, and this program reads up to 1: read it with the muster-loadtest that wrote it, or a later one",
            ),
        ] {
            assert_eq!(read_back(text).unwrap_err(), error);
        }
        assert!(read_back(r#"{"format": 1, "seconds": "long"}"#).unwrap_err().contains("invalid type"));
        assert!(read_back(r#"{"format": 1, "a field of tomorrow": 3}"#).is_ok());
    }

    #[test]
    fn a_missing_folder_is_told() {
        let error = write(Path::new("no/such/folder/run.json"), &sample()).unwrap_err().to_string();
        assert!(
            error.starts_with("cannot write no/such/folder/run.json: ") && error.contains("exists"),
            "{error}"
        );
        let error = read(Path::new("no/such/run.json")).unwrap_err().to_string();
        assert!(error.starts_with("cannot read no/such/run.json: ") && error.contains("--json"), "{error}");
    }
}
