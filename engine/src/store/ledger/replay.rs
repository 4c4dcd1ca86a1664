//! Reading the log at opening: from the checkpoint to its end.
//!
//! The end is where no frame reads and none comes after. Were there one behind it, in this segment or a later one, then
//! the frame that does not read was synced and acknowledged: that is damage. A segment that is full ends in nothing, too,
//! and the first frame of the next one has the number that was expected.

use std::fs;
use std::path::Path;

use super::batch::Row;
use super::files::Position;
use super::segment::{calls_itself, has_header, list, path, seed};
use super::{OpenError, frame, segment};

/// Reads the log from `from` on, hands the rows of each frame with its end to `apply`, and says where it ends and which
/// segments stand behind that.
pub(super) fn replay(
    log: &Path,
    salt: u64,
    from: Position,
    mut apply: impl FnMut(Vec<Row>, Position) -> Result<(), OpenError>,
) -> Result<(Position, Vec<u64>), OpenError> {
    let fails = |error| OpenError::io(log, error);
    let segments: Vec<_> = list(log).map_err(fails)?.into_iter().filter(|&it| it >= from.segment).collect();
    let mut at = from;
    let mut behind = Vec::new();
    let mut expected = from.segment;
    if segments.first() != Some(&from.segment) && (from != Position::BEGINNING || !segments.is_empty()) {
        return Err(OpenError::damaged(path(log, from.segment), 0, "this segment of the log is missing"));
    }
    for &number in &segments {
        let file = path(log, number);
        let bytes = fs::read(&file).map_err(fails)?;
        let seed = seed(salt, number);
        if number != expected {
            // What was made ready and never used may be gone, since nothing is in it; what was used may not.
            return Err(OpenError::damaged(path(log, expected), 0, "this segment of the log is missing"));
        }
        expected = number + 1;
        if !has_header(&bytes, number, salt) {
            // The last one may have been cut off while it was made ready.
            if number == *segments.last().unwrap_or(&0)
                && number > at.segment
                && !frame::is_later_within(aligned(&bytes), at.sequence, seed)
            {
                behind.push(number);
                continue;
            }
            let why = match calls_itself(&bytes) {
                Some(other) => format!("the header is wrong: it says segment {other}"),
                None => "the header is wrong".into(),
            };
            return Err(OpenError::damaged(file, 0, why));
        }
        let mut offset = if number == from.segment { from.offset as usize } else { segment::BEGIN };
        if bytes.len() < offset && offset > segment::BEGIN {
            let why = format!("it ends here, and is to reach byte {offset}");
            return Err(OpenError::damaged(file, bytes.len() as u64, why));
        }
        while let Some(frame) = bytes.get(offset..).and_then(|rest| frame::read(rest, seed)) {
            if frame.sequence != at.sequence {
                // The frame that is missing stood where the log ended, or this one stands where none belongs.
                let (file, offset) = if at.segment < number && frame.sequence > at.sequence {
                    (path(log, at.segment), at.offset)
                } else {
                    (file, offset as u64)
                };
                let why = format!("frame {} is to be here; frame {} comes next", at.sequence, frame.sequence);
                return Err(OpenError::damaged(file, offset, why));
            }
            let rows = frame.rows().collect::<Option<Vec<_>>>().ok_or_else(|| {
                let why = "a frame whose checksum is right holds a row that is none";
                OpenError::damaged(&file, offset as u64, why)
            })?;
            offset += frame.size;
            at = Position { segment: number, offset: offset as u64, sequence: at.sequence + 1 };
            apply(rows, at)?;
        }
        if bytes.get(offset..).is_some_and(|rest| frame::is_later_within(rest, at.sequence, seed)) {
            // A segment that is used begins with a frame, so the one that is missing is here.
            let why = format!("frame {} does not read, and later ones stand behind it", at.sequence);
            return Err(OpenError::damaged(file, offset as u64, why));
        }
        if number > at.segment {
            behind.push(number);
        }
    }
    // One that stands between two others is of a write that failed: it is empty, and holds their places.
    behind.retain(|&number| number > at.segment);
    Ok((at, behind))
}

/// What comes where frames begin.
fn aligned(bytes: &[u8]) -> &[u8] {
    bytes.get(segment::BEGIN..).unwrap_or_default()
}
