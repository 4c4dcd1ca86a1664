//! The log's end, where it is written.

use std::io;
use std::sync::Arc;

use super::disk::Disk;
use super::files::Position;
use super::segment::{self, Segment};

/// The log, open at its end.
pub(super) struct Log {
    disk: Arc<dyn Disk>,
    segment: Segment,
    salt: u64,
    offset: u64,
    sequence: u64,
}

impl Log {
    /// Goes on at this place, which is in this segment.
    pub(super) fn at(disk: Arc<dyn Disk>, segment: Segment, salt: u64, at: Position) -> Self {
        Self { disk, segment, salt, offset: at.offset, sequence: at.sequence }
    }

    /// Where the next frame goes, and its number. Everything before it is acknowledged.
    pub(super) fn position(&self) -> Position {
        Position { segment: self.segment.number, offset: self.offset, sequence: self.sequence }
    }

    /// What the checksums of the next frame are to be seeded with.
    pub(super) fn seed(&self) -> u64 {
        segment::seed(self.salt, self.segment.number)
    }

    /// Whether as many more bytes keep the segment below its size. A frame that is larger than a segment has one to
    /// itself.
    pub(super) fn fits(&self, bytes: usize, most: u64) -> bool {
        self.offset + bytes as u64 <= most || self.offset == segment::BEGIN as u64
    }

    /// Writes a frame and waits until it is on the disk.
    pub(super) fn append(&mut self, frame: &[u8]) -> io::Result<()> {
        self.disk.write(&self.segment.file, frame, self.offset)?;
        self.disk.sync(&self.segment.file)?;
        self.offset += frame.len() as u64;
        self.sequence += 1;
        Ok(())
    }

    /// Goes on in this segment.
    pub(super) fn turn_to(&mut self, segment: Segment) {
        self.segment = segment;
        self.offset = segment::BEGIN as u64;
    }

    /// Takes back what was written and is not acknowledged.
    pub(super) fn cut(&self) -> io::Result<()> {
        self.disk.cut(&self.segment.file, self.offset)
    }
}
