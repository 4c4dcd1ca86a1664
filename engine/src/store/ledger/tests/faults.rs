//! A disk that fails or fills: nothing is acknowledged that is not kept, and it goes on when the disk does.

use super::*;
use crate::store::ledger::Failure;

fn set(fault: &AtomicBool, fails: bool) {
    fault.store(fails, Ordering::SeqCst);
}

fn kind(result: Result<(), Failure>) -> Option<Kind> {
    result.err().map(|failure| failure.kind)
}

#[test]
fn a_failed_write_or_sync_is_not_acknowledged_and_leaves_nothing() {
    for fault in [|disk: &Faulty| &disk.write, |disk: &Faulty| &disk.sync] as [fn(&Faulty) -> &AtomicBool; 2]
    {
        let folder = tempfile::tempdir().unwrap();
        let (mut writer, reader, disk) =
            Faulty::open(folder.path(), Options { segment_bytes: 1 << 20, ..small() });
        writer.commit(&[put("before", "1")]).unwrap();
        set(fault(&disk), true);
        assert_eq!(kind(writer.commit(&[put("lost", "1")])), Some(Kind::Broken));
        assert_eq!(get(&reader, "lost"), None, "what failed is not shown");
        assert_eq!(get(&reader, "before").as_deref(), Some("1"), "reads go on");
        // Well again by itself it is not: what is in the file has to be taken back first.
        set(fault(&disk), false);
        assert_eq!(kind(writer.commit(&[put("refused", "1")])), Some(Kind::Broken));
        set(&disk.cut, true);
        assert_eq!(kind(writer.recover()), Some(Kind::Broken));
        set(&disk.cut, false);
        set(fault(&disk), true);
        assert_eq!(kind(writer.recover()), Some(Kind::Broken), "recovery is proved by a write");
        assert_eq!(kind(writer.commit(&[put("refused", "2")])), Some(Kind::Broken));
        set(fault(&disk), false);
        writer.recover().unwrap();
        writer.commit(&[put("after", "1")]).unwrap();
        drop((writer, reader));

        // Twice: what the first opening clears away, the second must not miss.
        for _ in 0..2 {
            let (mut writer, reader) = super::open(folder.path());
            assert_eq!(get(&reader, "before").as_deref(), Some("1"));
            assert_eq!(get(&reader, "after").as_deref(), Some("1"));
            assert_eq!((get(&reader, "lost"), get(&reader, "refused")), (None, None));
            writer.commit(&[put("more", "1")]).unwrap();
        }
    }
}

#[test]
fn a_segment_that_cannot_be_begun_fails_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader, disk) = Faulty::open(folder.path(), small());
    let mut written = 0;
    set(&disk.sync, false);
    for number in 0.. {
        // From the tenth commit on the disk fails, wherever the segment's end is.
        set(&disk.write, number >= 10);
        match writer.commit(&[put(&format!("{number:03}"), &"x".repeat(100))]) {
            Ok(()) => written = number + 1,
            Err(failure) => {
                assert_eq!(failure.kind, Kind::Broken);
                break;
            }
        }
    }
    assert_eq!(written, 10);
    set(&disk.write, false);
    writer.recover().unwrap();
    writer.commit(&[put("999", "after")]).unwrap();
    drop((writer, reader));
    let (_writer, reader) = super::open(folder.path());
    let mut keys = Vec::new();
    reader
        .scan(Space::Messages, (b"0", b"z"), false, usize::MAX, |key, _| {
            keys.push(String::from_utf8(key.to_vec()).unwrap());
            true
        })
        .unwrap();
    let expected: Vec<_> = (0..10).chain([999]).map(|number| format!("{number:03}")).collect();
    assert_eq!(keys, expected);
}

#[test]
fn below_the_reserve_commits_are_refused_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader, disk) = Faulty::open(folder.path(), small());
    writer.commit(&[put("a", "1")]).unwrap();
    let looks = disk.looks.load(Ordering::SeqCst);
    disk.free.store(10, Ordering::SeqCst);
    writer.commit(&[put("b", "1")]).unwrap();
    assert_eq!(disk.looks.load(Ordering::SeqCst), looks, "one look counts for a while");
    pass(Duration::from_millis(100));
    for _ in 0..3 {
        assert_eq!(kind(writer.commit(&[put("c", "1")])), Some(Kind::Full));
    }
    assert_eq!(disk.looks.load(Ordering::SeqCst), looks + 1, "and is cheap while it is full, too");
    assert_eq!((get(&reader, "b").as_deref(), get(&reader, "c")), (Some("1"), None));
    disk.free.store(u64::MAX, Ordering::SeqCst);
    pass(Duration::from_millis(100));
    writer.commit(&[put("c", "2")]).unwrap();
    assert_eq!(get(&reader, "c").as_deref(), Some("2"));
}

#[test]
fn an_index_that_fails_stops_commits_in_time_and_reads_never() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader, disk) = Faulty::open(folder.path(), small());
    let value = "v".repeat(200);
    let mut number = 0;
    let key = |number: u32| format!("{number:05}");
    for _ in 0..30 {
        commit(&mut writer, &[put(&key(number), &value)]);
        number += 1;
    }
    writer.flush().unwrap();
    set(&disk.flush, true);
    let refused = loop {
        match writer.commit(&[put(&key(number), &value)]) {
            Ok(()) => number += 1,
            Err(failure) => break failure,
        }
        assert!(number < 10_000, "it was to be refused");
    };
    assert_eq!(refused.kind, Kind::Busy);
    assert!(writer.is_lagging());
    assert_eq!(reader.waiting(), small().tables_waiting);
    let check = |reader: &Reader| {
        for number in 0..number {
            assert_eq!(get(reader, &key(number)).as_ref(), Some(&value), "{number}");
        }
        assert_eq!(get(reader, &key(number)), None);
    };
    check(&reader);
    // It waits for an attempt that fails.
    assert_eq!(kind(writer.wait_for_index()), Some(Kind::Broken));
    assert!(reader.trouble().is_some());

    // The log has what the index has not.
    drop((writer, reader));
    let (mut writer, reader, disk) = Faulty::open(folder.path(), small());
    check(&reader);
    set(&disk.flush, false);
    writer.commit(&[put("z", "1")]).unwrap();
    while writer.flush().is_err() {}
    assert_eq!((reader.trouble(), reader.waiting()), (None, 0));
    check(&reader);
}

#[test]
fn what_is_too_large_is_refused_and_nothing_breaks() {
    let folder = tempfile::tempdir().unwrap();
    let (mut writer, reader) = super::open(folder.path());
    let mut batch = put("good", "1");
    batch.put(Space::States, b"", b"no key");
    assert_eq!(kind(writer.commit(&[batch])), Some(Kind::Oversize));
    assert_eq!(get(&reader, "good"), None);
    // Larger than a segment, and than a table.
    let long = "l".repeat(20_000);
    writer.commit(&[put("long", &long)]).unwrap();
    writer.commit(&[put("good", "2")]).unwrap();
    drop((writer, reader));
    let (_writer, reader) = super::open(folder.path());
    assert_eq!((get(&reader, "long"), get(&reader, "good").as_deref()), (Some(long), Some("2")));
}
