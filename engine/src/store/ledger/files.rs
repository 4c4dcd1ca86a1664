//! The folder of a ledger: whose it is, its format, its lock, and its checkpoint.
//!
//! ```text
//! lock         held by the process that has it open
//! format       one line: what this is, its format, its salt, and whether values of messages are kept aside
//! checkpoint   the place in the log up to which the index holds everything
//! log/         segments
//! index/       a tree for each space
//! ```

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::frame::number;
use super::{OpenError, segment};

/// The format that this Muster writes.
pub(super) const FORMAT: u32 = 1;

const WHAT: &str = "muster-ledger";
const CHECKPOINT: &str = "checkpoint";

/// A place between two frames of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The segment.
    pub(super) segment: u64,
    /// The byte in it.
    pub(super) offset: u64,
    /// The number of the frame that comes next.
    pub(super) sequence: u64,
}

impl Position {
    /// Where a log begins.
    pub(super) const BEGINNING: Self = Self { segment: 1, offset: segment::BEGIN as u64, sequence: 1 };
}

/// A folder that is ours alone for as long as this lives.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) salt: u64,
    /// Whether values of messages are kept aside.
    pub(super) aside: bool,
    _lock: File,
}

impl Folder {
    /// Takes the folder, and makes it a ledger's if it is empty.
    pub(super) fn take(path: &Path, salt: u64, aside: bool) -> Result<Self, OpenError> {
        let fails = |error| OpenError::io(path, error);
        fs::create_dir_all(path).map_err(fails)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join("lock"))
            .map_err(fails)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { path: path.into() }),
            Err(TryLockError::Error(error)) => return Err(fails(error)),
        }
        let file = path.join("format");
        let (salt, aside) = match fs::read_to_string(&file) {
            Ok(line) => read_format(path, &file, &line)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                is_empty(path)?;
                let how = if aside { "aside" } else { "whole" };
                let line = format!("{WHAT} {FORMAT} {salt:016x} {how}\n");
                replace(path, "format", line.as_bytes()).map_err(fails)?;
                (salt, aside)
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(OpenError::Foreign { path: path.into(), why: "`format` is no text".into() });
            }
            Err(error) => return Err(fails(error)),
        };
        for folder in [Self::log_in(path), Self::index_in(path)] {
            fs::create_dir_all(folder).map_err(fails)?;
        }
        sync_folder(path).map_err(fails)?;
        Ok(Self { path: path.into(), salt, aside, _lock: lock })
    }

    /// Where the segments are.
    pub(super) fn log(&self) -> PathBuf {
        Self::log_in(&self.path)
    }

    /// Where the trees are.
    pub(super) fn index(&self) -> PathBuf {
        Self::index_in(&self.path)
    }

    fn log_in(path: &Path) -> PathBuf {
        path.join("log")
    }

    fn index_in(path: &Path) -> PathBuf {
        path.join("index")
    }

    /// The place up to which the index holds everything.
    pub(super) fn checkpoint(&self) -> Result<Position, OpenError> {
        let file = self.path.join(CHECKPOINT);
        let bytes = match fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Position::BEGINNING),
            Err(error) => return Err(OpenError::io(&self.path, error)),
        };
        if bytes.len() != 32 || xxh3_64_with_seed(&bytes[..24], self.salt) != number(&bytes[24..]) {
            return Err(OpenError::damaged(file, 0, "its checksum is wrong"));
        }
        Ok(Position {
            segment: number(&bytes[..8]),
            offset: number(&bytes[8..16]),
            sequence: number(&bytes[16..24]),
        })
    }

    /// Writes down, durably, that the index holds everything up to this place.
    pub(super) fn set_checkpoint(&self, at: Position) -> io::Result<()> {
        let mut bytes = [at.segment, at.offset, at.sequence].map(u64::to_le_bytes).concat();
        bytes.extend(xxh3_64_with_seed(&bytes, self.salt).to_le_bytes());
        replace(&self.path, CHECKPOINT, &bytes)
    }
}

/// Nothing but what a beginning that was cut off may have left.
fn is_empty(path: &Path) -> Result<(), OpenError> {
    let fails = |error| OpenError::io(path, error);
    for entry in fs::read_dir(path).map_err(fails)? {
        let name = entry.map_err(fails)?.file_name();
        if name != "lock" && name != "format.new" {
            let why = format!("`{}` and no `format`", name.display());
            return Err(OpenError::Foreign { path: path.into(), why });
        }
    }
    Ok(())
}

fn read_format(path: &Path, file: &Path, line: &str) -> Result<(u64, bool), OpenError> {
    let words: Vec<_> = line.split_whitespace().collect();
    if words.first() != Some(&WHAT) {
        return Err(OpenError::Foreign { path: path.into(), why: "`format` says something else".into() });
    }
    let damaged = || OpenError::damaged(file, 0, format!("it says {line:?}"));
    let found: u32 = words.get(1).and_then(|word| word.parse().ok()).ok_or_else(damaged)?;
    if found > FORMAT {
        return Err(OpenError::TooNew { path: path.into(), found, known: FORMAT });
    }
    let [_, _, salt, how] = words[..] else { return Err(damaged()) };
    let salt = u64::from_str_radix(salt, 16).map_err(|_| damaged())?;
    match how {
        "aside" if found > 0 => Ok((salt, true)),
        "whole" if found > 0 => Ok((salt, false)),
        _ => Err(damaged()),
    }
}

/// Replaces a small file of the folder, all or nothing.
fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, folder.join(name))?;
    sync_folder(folder)
}

/// Waits until the names in a folder are on the disk.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}
