//! What the files may look like after a crash, and what they may not.

use std::fs;
use std::path::PathBuf;

use super::super::files::Position;
use super::super::replay::replay;
use super::super::segment::{BEGIN, HEADER, Segment, path, seed};
use super::super::{OpenError, frame};
use super::*;

const SALT: u64 = 42;

/// A log of some segments with as many frames of one row each.
struct Log {
    folder: tempfile::TempDir,
    /// Where each frame is: its segment, its first byte, its end.
    frames: Vec<(u64, u64, u64)>,
}

impl Log {
    fn new(segments: &[usize]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut frames = Vec::new();
        let mut bytes = Vec::new();
        for (number, &count) in (1..).zip(segments) {
            let segment = Segment::make(folder.path(), number, SALT, None, &Real).unwrap();
            let mut offset = BEGIN as u64;
            for _ in 0..count {
                let sequence = frames.len() as u64 + 1;
                let batch = put(&format!("{sequence:05}"), "some value");
                frame::write(&mut bytes, &[batch], sequence, seed(SALT, number)).unwrap();
                Real.write(&segment.file, &bytes, offset).unwrap();
                frames.push((number, offset, offset + bytes.len() as u64));
                offset += bytes.len() as u64;
            }
        }
        Self { folder, frames }
    }

    fn file(&self, segment: u64) -> PathBuf {
        path(self.folder.path(), segment)
    }

    /// How many frames are read, and where the log ends.
    fn read(&self) -> Result<(usize, Position), OpenError> {
        let mut count = 0;
        let (end, _) = replay(self.folder.path(), SALT, Position::BEGINNING, |rows, _| {
            assert_eq!(rows.len(), 1);
            count += 1;
            Ok(())
        })?;
        Ok((count, end))
    }

    fn assert_damaged(&self, (segment, offset, _): (u64, u64, u64), what: &str) {
        match self.read() {
            Err(OpenError::Damaged { file, offset: found, .. }) => {
                assert_eq!((file, found), (self.file(segment), offset), "{what}");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn a_tail_torn_at_any_byte_is_cut() {
    // With nothing behind it, with a segment that was made ready, and with what an earlier use has left.
    for (segments, rest) in [(&[3, 4][..], 0), (&[3, 4, 0], 0), (&[3, 4], 100)] {
        let log = Log::new(segments);
        assert_eq!(log.read().unwrap().0, 7);
        let (segment, begin, end) = log.frames[6];
        let whole = fs::read(log.file(segment)).unwrap();
        for torn in begin..end {
            let mut bytes = whole[..torn as usize].to_vec();
            bytes.extend(std::iter::repeat_n(0xa5, rest));
            fs::write(log.file(segment), bytes).unwrap();
            let (count, found) = log.read().unwrap();
            assert_eq!(
                (count, found),
                (6, Position { segment, offset: begin, sequence: 7 }),
                "torn at {torn}"
            );
        }
    }
}

#[test]
fn a_flipped_bit_before_the_last_frame_is_damage() {
    let log = Log::new(&[2, 3, 2]);
    for &frame in &log.frames[..6] {
        let (segment, begin, end) = frame;
        let whole = fs::read(log.file(segment)).unwrap();
        // All of what is not zeros, and here and there one of these.
        for at in (begin..begin + 100).chain((begin + 100..end).step_by(101)) {
            let mut bytes = whole.clone();
            bytes[at as usize] ^= 1 << (at % 8);
            fs::write(log.file(segment), bytes).unwrap();
            log.assert_damaged(frame, &format!("byte {at} of segment {segment}"));
        }
        fs::write(log.file(segment), whole).unwrap();
    }
    for segment in 1..=3 {
        let whole = fs::read(log.file(segment)).unwrap();
        for at in 0..HEADER {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            fs::write(log.file(segment), bytes).unwrap();
            log.assert_damaged((segment, 0, 0), &format!("byte {at} of the header of segment {segment}"));
        }
        fs::write(log.file(segment), whole).unwrap();
    }
    assert_eq!(log.read().unwrap().0, 7);
}

#[test]
fn a_missing_segment_is_damage() {
    for missing in [1, 2] {
        let log = Log::new(&[2, 3, 2]);
        fs::remove_file(log.file(missing)).unwrap();
        log.assert_damaged((missing, 0, 0), "missing");
    }
    // One that ends early, before others.
    let log = Log::new(&[2, 3, 2]);
    let (segment, begin, _) = log.frames[4];
    let file = File::options().write(true).open(log.file(segment)).unwrap();
    file.set_len(begin).unwrap();
    log.assert_damaged(log.frames[4], "cut");
}

#[test]
fn a_segment_cut_off_while_it_was_made_ready_does_no_harm() {
    for length in (0..=HEADER).chain([BEGIN - 1]) {
        let log = Log::new(&[2, 0]);
        let file = File::options().write(true).open(log.file(2)).unwrap();
        file.set_len(length as u64).unwrap();
        assert_eq!(log.read().unwrap().0, 2);
    }
}

#[test]
fn what_an_earlier_use_left_is_no_frame() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(folder.path());
    // Segments go round several times.
    for number in 0..400 {
        let batch = put(&format!("{number:05}"), &"v".repeat(90));
        commit(&mut writer, &[batch]);
        if number % 100 == 99 {
            writer.flush().unwrap();
        }
    }
    let segments = fs::read_dir(folder.path().join("log")).unwrap().count();
    assert!(segments < 30, "{segments} segments: they are used again");
    drop((writer, reader));
    let (_writer, reader) = open(folder.path());
    for number in 0..400 {
        assert!(get(&reader, &format!("{number:05}")).is_some(), "{number}");
    }
    assert_eq!(get(&reader, "00400"), None);
}

#[test]
fn damage_says_which_file_and_where_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(folder.path());
    for key in ["a", "b", "c"] {
        writer.commit(&[put(key, "1")]).unwrap();
    }
    drop((writer, reader));
    let file = path(&folder.path().join("log"), 1);
    let mut bytes = fs::read(&file).unwrap();
    let second = BEGIN + (bytes.len() - BEGIN) / 3;
    bytes[second + 40] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let error = super::super::open(folder.path(), small()).unwrap_err();
    let OpenError::Damaged { file: named, offset, .. } = &error else { panic!("{error}") };
    assert_eq!((named, *offset), (&file, second as u64));
    let text = error.to_string();
    assert!(text.contains(&*file.to_string_lossy()) && text.contains("backup"), "{text}");
    assert_eq!(fs::read(&file).unwrap(), bytes, "nothing was changed");
}

#[test]
fn a_damaged_checkpoint_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = open(folder.path());
    writer.commit(&[put("a", "1")]).unwrap();
    writer.flush().unwrap();
    drop((writer, reader));
    let file = folder.path().join("checkpoint");
    let mut bytes = fs::read(&file).unwrap();
    bytes[8] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = super::super::open(folder.path(), small()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { file: named, .. } if named == file));
}

#[test]
fn a_folder_of_others_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let refused = || super::super::open(folder.path(), small()).unwrap_err();
    fs::write(folder.path().join("letter.txt"), "hello").unwrap();
    assert!(matches!(refused(), OpenError::Foreign { .. }));
    fs::remove_file(folder.path().join("letter.txt")).unwrap();
    fs::write(folder.path().join("format"), "something else\n").unwrap();
    assert!(matches!(refused(), OpenError::Foreign { .. }));
    fs::write(folder.path().join("format"), "muster-ledger 2 000000000000002a aside\n").unwrap();
    assert!(matches!(refused(), OpenError::TooNew { found: 2, known: 1, .. }));
    fs::write(folder.path().join("format"), "muster-ledger 1 no\n").unwrap();
    assert!(matches!(refused(), OpenError::Damaged { .. }));
    fs::remove_file(folder.path().join("format")).unwrap();
    let held = open(folder.path());
    assert!(matches!(refused(), OpenError::Locked { .. }));
    drop(held);
    open(folder.path());
}
