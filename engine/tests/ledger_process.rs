//! The ledger across processes: two at once, one that is killed, and one whose disk takes no large files for a while.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "all of this is test, the functions beside the tests included"
)]

mod child;

use std::path::Path;
use std::time::Instant;

use child::{limit_files, part, play, said, say};
use muster_engine::store::ledger::{self, Batch, Kind, OpenError, Options, Reader, Space, Writer};

/// Commits hold as many batches.
const TOGETHER: u64 = 8;
/// As many states are overwritten in turn.
const STATES: u64 = 100;

fn open(folder: &Path) -> Result<(Writer, Reader), OpenError> {
    #[expect(clippy::disallowed_methods, reason = "the test is the driver that gives the ledger its clock")]
    let clock = Instant::now;
    let options = Options {
        segment_bytes: 64 << 10,
        table_bytes: 256 << 10,
        merged_bytes: 256 << 10,
        reserve_bytes: 0,
        ..Options::new(clock, 7)
    };
    ledger::open(folder, options)
}

/// Not a test of its own: the parts that the other tests have played in a second process.
#[test]
fn child() {
    let Some((part, folder)) = part() else { return };
    match part.as_str() {
        "hold" => hold(&folder),
        "write" => write_until_killed(&folder),
        "fill" => fill(&folder),
        other => panic!("no such part: {other}"),
    }
}

fn hold(folder: &Path) {
    let _ledger = open(folder).unwrap();
    say("open");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn a_second_process_is_told_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, mut stdout) = play("hold", folder.path());
    assert_eq!(said(&mut stdout).unwrap(), "open");
    let error = open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&folder.path().display().to_string()) && text.contains("--data"), "{text}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    open(folder.path()).unwrap();
}

/// Bytes that cannot be compressed and follow from the number.
fn value(number: u64) -> Vec<u8> {
    let mut luck = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut value = Vec::new();
    while value.len() < 200 {
        luck ^= luck << 13;
        luck ^= luck >> 7;
        luck ^= luck << 17;
        value.extend(luck.to_le_bytes());
    }
    value
}

fn batch(number: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put(Space::Messages, &number.to_be_bytes(), &value(number));
    batch.put(Space::States, &(number % STATES).to_be_bytes(), &number.to_be_bytes());
    if number > 50 && number.is_multiple_of(10) {
        batch.delete(Space::Messages, &(number - 50).to_be_bytes());
    }
    batch
}

/// What batches 1 to `last` come to, row by row.
fn check(reader: &Reader, last: u64) {
    for number in 1..=last {
        let deleted = number.is_multiple_of(10) && number + 50 <= last;
        let found = reader.get(Space::Messages, &number.to_be_bytes()).unwrap().map(|found| found.to_vec());
        assert_eq!(found, (!deleted).then(|| value(number)), "message {number} of {last}");
    }
    for state in 0..STATES.min(last) {
        let latest = last - (last + STATES - state) % STATES;
        let found = reader.get(Space::States, &state.to_be_bytes()).unwrap().map(|found| found.to_vec());
        let expected = (latest > 0).then(|| latest.to_be_bytes().to_vec());
        assert_eq!(found, expected, "state {state} after {last}");
    }
}

fn last_in(reader: &Reader) -> u64 {
    let mut last = 0;
    let rows = (&[][..], &[0xff; 9][..]);
    reader
        .scan(Space::Messages, rows, true, 1, |key, _| {
            last = u64::from_be_bytes(key.try_into().unwrap());
            true
        })
        .unwrap();
    last
}

fn write_until_killed(folder: &Path) {
    let (mut writer, reader) = open(folder).unwrap();
    let mut number = last_in(&reader);
    loop {
        let batches: Vec<_> = (1..=TOGETHER).map(|more| batch(number + more)).collect();
        while let Err(failure) = writer.commit(&batches) {
            assert_eq!(failure.kind, Kind::Busy, "{failure}");
            writer.wait_for_index().unwrap();
        }
        number += TOGETHER;
        say(&number.to_string());
    }
}

/// Killed at any moment, it has what it acknowledged, and no half of anything.
#[test]
fn killed_it_has_kept_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    for round in 0..8_u64 {
        let (mut child, mut stdout) = play("write", folder.path());
        for _ in 0..10 + round * round * 37 % 300 {
            acknowledged = said(&mut stdout).expect("it goes on until it is killed").parse().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        while let Some(number) = said(&mut stdout) {
            acknowledged = number.parse().unwrap();
        }
        let (_writer, reader) = open(folder.path()).unwrap();
        let last = last_in(&reader);
        assert!(
            last == acknowledged || last == acknowledged + TOGETHER,
            "{last} is there, {acknowledged} was acknowledged"
        );
        check(&reader, last);
    }
}

/// The index takes no table, since its files would be too large; then it does.
fn fill(folder: &Path) {
    let (mut writer, reader) = open(folder).unwrap();
    for number in 1..=100 {
        writer.commit(&[batch(number)]).unwrap();
    }
    writer.flush().unwrap();
    limit_files(Some(80 << 10));
    let mut number = 100;
    let refused = loop {
        let batches: Vec<_> = (1..=TOGETHER).map(|more| batch(number + more)).collect();
        match writer.commit(&batches) {
            Ok(()) => number += TOGETHER,
            Err(failure) => break failure,
        }
    };
    assert_eq!(refused.kind, Kind::Busy, "{refused}");
    let trouble = writer.wait_for_index().unwrap_err();
    assert!(trouble.what.contains("File too large"), "{trouble}");
    check(&reader, number);
    limit_files(None);
    while writer.flush().is_err() {}
    assert_eq!(reader.trouble(), None);
    check(&reader, number);
    writer.commit(&[batch(number + 1)]).unwrap();
    say(&(number + 1).to_string());
}

#[test]
fn an_index_without_room_is_survived_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, mut stdout) = play("fill", folder.path());
    let written = said(&mut stdout);
    assert!(child.wait().unwrap().success());
    let (_writer, reader) = open(folder.path()).unwrap();
    check(&reader, written.unwrap().parse().unwrap());
}
