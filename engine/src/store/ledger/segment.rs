//! A file of the log.
//!
//! ```text
//! 0 mark (8) │ 8 format (4) │ 12 zeros (4) │ 16 number (8) │ 24 sum of bytes 0 to 24 (8) │ anything to the end of the page │ frames
//! ```
//!
//! Its name is its number. A file that was used before keeps its length and what was in it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::disk::Disk;
use super::files::{FORMAT, sync_folder};
use super::frame::number;

/// Where the first frame begins.
pub(super) const BEGIN: usize = super::frame::ALIGN;
/// Bytes of the header.
pub(super) const HEADER: usize = 32;

const MARK: [u8; 8] = *b"MUSTERLG";

/// A segment that is open for writing.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) file: File,
}

impl Segment {
    /// Makes a segment, of an old one if there is a spare one; when this returns its name is on the disk, too.
    pub(super) fn make(
        log: &Path,
        number: u64,
        salt: u64,
        spare: Option<u64>,
        disk: &dyn Disk,
    ) -> io::Result<Self> {
        let path = path(log, number);
        let file = match spare {
            // It gets its new header under its old name: whatever happens in between, a name that counts stands for a
            // whole header.
            Some(spare) => File::options().write(true).open(self::path(log, spare))?,
            None => File::create(&path)?,
        };
        let mut page = header(number, salt).to_vec();
        page.resize(BEGIN, 0);
        disk.write(&file, &page, 0)?;
        disk.sync(&file)?;
        if let Some(spare) = spare {
            fs::rename(self::path(log, spare), &path)?;
        }
        sync_folder(log)?;
        Ok(Self { number, file })
    }

    /// Opens one that exists.
    pub(super) fn open(log: &Path, number: u64) -> io::Result<Self> {
        Ok(Self { number, file: File::options().write(true).open(path(log, number))? })
    }
}

/// The file of a segment.
pub(super) fn path(log: &Path, number: u64) -> PathBuf {
    log.join(format!("{number:020}"))
}

/// The numbers of the segments that are there, in order.
pub(super) fn list(log: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(log)? {
        numbers.extend(entry?.file_name().to_str().and_then(|name| name.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What the checksums of a segment's frames are seeded with.
pub(super) fn seed(salt: u64, number: u64) -> u64 {
    xxh3_64_with_seed(&number.to_le_bytes(), salt)
}

fn header(number: u64, salt: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..8].copy_from_slice(&MARK);
    bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[16..24].copy_from_slice(&number.to_le_bytes());
    let sum = xxh3_64_with_seed(&bytes[..24], salt);
    bytes[24..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Whether these bytes begin as the segment with this number does.
pub(super) fn has_header(bytes: &[u8], number: u64, salt: u64) -> bool {
    bytes.len() >= HEADER && bytes[..HEADER] == header(number, salt)
}

/// The number that the bytes of a segment give themselves.
pub(super) fn calls_itself(bytes: &[u8]) -> Option<u64> {
    (bytes.len() >= HEADER && bytes[..8] == MARK).then(|| number(&bytes[16..24]))
}
