//! What the ledger asks of the disk where a failure must be tried: a test stands in for a disk that is full or breaks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The disk under the log, and what is free on it.
pub(super) trait Disk: Send + Sync {
    /// Writes all of these bytes at this place of the file.
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Waits until what was written is on the disk.
    fn sync(&self, file: &File) -> io::Result<()>;

    /// Cuts the file, for good.
    fn cut(&self, file: &File, length: u64) -> io::Result<()>;

    /// Bytes that are free for us.
    fn free(&self, folder: &Path) -> io::Result<u64>;

    /// Asked before a table is written into the index.
    fn may_flush(&self) -> io::Result<()>;
}

/// The one there is.
#[derive(Debug)]
pub(super) struct Real;

impl Disk for Real {
    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn cut(&self, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)?;
        file.sync_all()
    }

    fn free(&self, folder: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn may_flush(&self) -> io::Result<()> {
        Ok(())
    }
}
