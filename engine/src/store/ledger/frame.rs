//! A frame of the log: everything that one commit wrote, with checksums.
//!
//! ```text
//! 0 mark (4) │ 4 length of the rows (4) │ 8 sequence (8) │ 16 sum of the rows (8) │ 24 sum of bytes 0 to 24 (8) │ rows │ zeros to the end of the page
//! a row: space (1) │ put 1, deleted 0 (1) │ length of the key (2) │ length of the value (4) │ key │ value
//! ```
//!
//! All numbers are little-endian. Frames are numbered without a gap. A frame is written only when the one before it is
//! synced: so a frame that does not read, with a later one behind it, was once whole, and is damage and no torn tail.

use lsm_tree::Slice;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::batch::{Row, Space};
use super::{Batch, Failure, KEY_MAX, Kind, VALUE_MAX};

/// Bytes before the rows.
pub(super) const HEADER: usize = 32;
/// Frames begin at multiples of this, a page: a page that holds something acknowledged is never written again, and none
/// has to be read before it can be written. The disk writes whole pages in any case.
pub(super) const ALIGN: usize = 4_096;
/// The most that one commit may write.
pub(super) const FRAME_MAX: usize = 64 << 20;

const MARK: [u8; 4] = *b"MLf1";
const ROW: usize = 8;

/// A frame that is whole.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) sequence: u64,
    rows: &'a [u8],
    /// Bytes from its beginning to the next one's.
    pub(super) size: usize,
}

/// Writes a frame with these batches into the buffer.
///
/// # Errors
/// When a row or the frame is too large.
pub(super) fn write(
    buffer: &mut Vec<u8>,
    batches: &[Batch],
    sequence: u64,
    seed: u64,
) -> Result<(), Failure> {
    buffer.clear();
    buffer.resize(HEADER, 0);
    for row in batches.iter().flat_map(|batch| &batch.rows) {
        let value = row.value.as_deref().unwrap_or_default();
        if row.key.is_empty() || row.key.len() > KEY_MAX || value.len() > VALUE_MAX {
            let what = format!("a row with a key of {} bytes and a value of {}", row.key.len(), value.len());
            return Err(Failure::new(Kind::Oversize, what));
        }
        if buffer.len() + ROW + row.key.len() + value.len() > FRAME_MAX {
            return Err(Failure::new(Kind::Oversize, format!("a commit of more than {FRAME_MAX} bytes")));
        }
        buffer.extend([row.space as u8, u8::from(row.value.is_some())]);
        buffer.extend((row.key.len() as u16).to_le_bytes());
        buffer.extend((value.len() as u32).to_le_bytes());
        buffer.extend(&*row.key);
        buffer.extend(value);
    }
    let rows = buffer.len() - HEADER;
    let sum = xxh3_64_with_seed(&buffer[HEADER..], seed);
    buffer[..4].copy_from_slice(&MARK);
    buffer[4..8].copy_from_slice(&(rows as u32).to_le_bytes());
    buffer[8..16].copy_from_slice(&sequence.to_le_bytes());
    buffer[16..24].copy_from_slice(&sum.to_le_bytes());
    let sum = xxh3_64_with_seed(&buffer[..24], seed);
    buffer[24..32].copy_from_slice(&sum.to_le_bytes());
    buffer.resize(buffer.len().next_multiple_of(ALIGN), 0);
    Ok(())
}

/// The frame at the beginning of these bytes, if there is a whole one.
pub(super) fn read(bytes: &[u8], seed: u64) -> Option<Frame<'_>> {
    if bytes.len() < HEADER
        || bytes[..4] != MARK
        || xxh3_64_with_seed(&bytes[..24], seed) != number(&bytes[24..32])
    {
        return None;
    }
    let length = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]) as usize;
    let size = (HEADER + length).next_multiple_of(ALIGN);
    let rows = bytes.get(..size)?.get(HEADER..HEADER + length)?;
    // The zeros count: a frame that ends in something else was not written by us.
    let whole = xxh3_64_with_seed(rows, seed) == number(&bytes[16..24])
        && bytes[HEADER + length..size].iter().all(|&byte| byte == 0);
    whole.then(|| Frame { sequence: number(&bytes[8..16]), rows, size })
}

/// Whether a frame with this number or a later one begins anywhere in these bytes, which begin at a multiple of
/// [`ALIGN`].
pub(super) fn is_later_within(bytes: &[u8], sequence: u64, seed: u64) -> bool {
    let mut from = 0;
    while from + HEADER <= bytes.len() {
        if bytes[from..from + 4] == MARK
            && read(&bytes[from..], seed).is_some_and(|frame| frame.sequence >= sequence)
        {
            return true;
        }
        from += ALIGN;
    }
    false
}

impl Frame<'_> {
    /// Its rows; `None` in the place of one that makes no sense, which ends them.
    pub(super) fn rows(&self) -> impl Iterator<Item = Option<Row>> {
        let mut rest = self.rows;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let row = read_row(&mut rest);
            if row.is_none() {
                rest = &[];
            }
            Some(row)
        })
    }
}

fn read_row(rest: &mut &[u8]) -> Option<Row> {
    let (head, tail) = rest.split_at_checked(ROW)?;
    let space = Space::numbered(head[0])?;
    let (key, tail) = tail.split_at_checked(usize::from(u16::from_le_bytes([head[2], head[3]])))?;
    let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    let (value, tail) = tail.split_at_checked(length)?;
    *rest = tail;
    let value = match head[1] {
        0 => None,
        1 => Some(Slice::from(value)),
        _ => return None,
    };
    Some(Row { space, key: key.into(), value })
}

/// Eight bytes as a number.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(sequence: u64) -> Vec<u8> {
        let mut batch = Batch::new();
        batch.put(Space::Messages, b"key", b"value").delete(Space::Sends, b"gone").put(
            Space::States,
            b"x",
            b"",
        );
        let mut bytes = Vec::new();
        write(&mut bytes, &[batch], sequence, 5).unwrap();
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = framed(7);
        let frame = read(&bytes, 5).unwrap();
        assert_eq!((frame.sequence, frame.size), (7, bytes.len()));
        let rows: Vec<_> = frame
            .rows()
            .map(|row| row.map(|row| (row.space, row.key.to_vec(), row.value.map(|it| it.to_vec()))).unwrap())
            .collect();
        assert_eq!(
            rows,
            [
                (Space::Messages, b"key".to_vec(), Some(b"value".to_vec())),
                (Space::Sends, b"gone".to_vec(), None),
                (Space::States, b"x".to_vec(), Some(vec![])),
            ]
        );
        assert!(read(&bytes, 6).is_none(), "another segment's");
    }

    #[test]
    fn any_flipped_bit_and_any_missing_byte_is_noticed() {
        let bytes = framed(7);
        // All of what is not zeros, and here and there one of these.
        for bit in (0..100 * 8).chain((100 * 8..bytes.len() * 8).step_by(501)) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped, 5).is_none(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length], 5).is_none(), "{length} bytes");
        }
    }

    #[test]
    fn a_later_frame_is_found_behind_rubbish() {
        let mut bytes = vec![0xab; 2 * ALIGN];
        bytes.extend(framed(9));
        assert!(is_later_within(&bytes, 9, 5));
        assert!(!is_later_within(&bytes, 10, 5));
        assert!(!is_later_within(&bytes, 9, 4));
    }

    #[test]
    fn what_is_too_large_is_refused() {
        let mut bytes = Vec::new();
        for (key, value) in [(0, 1), (KEY_MAX + 1, 1), (1, VALUE_MAX + 1)] {
            let mut batch = Batch::new();
            batch.put(Space::States, &vec![0; key], &vec![0; value]);
            assert_eq!(write(&mut bytes, &[batch], 1, 1).unwrap_err().kind, Kind::Oversize);
        }
        let mut batch = Batch::new();
        for _ in 0..5 {
            batch.put(Space::States, b"k", &vec![0; VALUE_MAX]);
        }
        assert_eq!(write(&mut bytes, &[batch], 1, 1).unwrap_err().kind, Kind::Oversize);
    }
}
