//! Messages: pages, changes, receipts, deletions, sends.

use schema::chat::Receipt;

use super::*;

pub(in crate::store::chat) fn pages_are_bounded(store: &mut Store) {
    let of = place(1);
    let all = group(store, of, 10);
    // Neighbours, so that a bound that is off by a byte is seen.
    group(store, place(0), 10);
    group(store, place(2), 10);
    let newest_first: Vec<_> = all.into_iter().rev().collect();
    assert_eq!(store.page(of, Page::default()), (newest_first.clone(), false));
    for (before, after, limit, expected, more) in [
        (u64::MAX, 0, 10, &newest_first[..], false),
        (u64::MAX, 0, 9, &newest_first[..9], true),
        (1_000, 0, 3, &newest_first[1..4], true),
        (1_001, 0, 1, &newest_first[..1], true),
        (999, 0, 1, &newest_first[1..2], true),
        (300, 0, 2, &newest_first[8..], false),
        (300, 100, 2, &newest_first[8..9], false),
        (300, 99, 2, &newest_first[8..], false),
        (u64::MAX, 900, 5, &newest_first[..1], false),
        (u64::MAX, 899, 1, &newest_first[..1], true),
        (500, 400, 5, &[], false),
        (500, 500, 5, &[], false),
        (100, 900, 5, &[], false),
        (100, 0, 5, &[], false),
        (0, 0, 5, &[], false),
        (u64::MAX, 1_000, 5, &[], false),
        (u64::MAX, u64::MAX, 5, &[], false),
        (u64::MAX, 0, u16::MAX, &newest_first[..], false),
        (u64::MAX, 0, 0, &[], true),
    ] {
        let page = Page { before, after, limit, ..Page::default() };
        assert_eq!(store.page(of, page), (expected.to_vec(), more), "{page:?}");
    }
}

pub(in crate::store::chat) fn pages_go_forward(store: &mut Store) {
    let of = place(1);
    group(store, of, 10);
    for (before, after, limit, expected, more) in [
        (u64::MAX, 0, 3, &[300, 200, 100][..], true),
        (u64::MAX, 300, 3, &[600, 500, 400], true),
        (u64::MAX, 700, 3, &[1_000, 900, 800], false),
        (u64::MAX, 800, 3, &[1_000, 900], false),
        (900, 700, 3, &[800], false),
        (901, 700, 1, &[800], true),
        (u64::MAX, 1_000, 3, &[], false),
    ] {
        let page = Page { before, after, limit, forward: true, ..Page::default() };
        let (messages, has_more) = store.page(of, page);
        assert_eq!((&times(&messages)[..], has_more), (expected, more), "{page:?}");
    }
    // Walking all of it in either direction meets each message once.
    for limit in 1..=11 {
        let (mut back, mut forth) = (Vec::new(), Vec::new());
        loop {
            let before = back.last().copied().unwrap_or(u64::MAX);
            let (messages, more) = store.page(of, Page { before, limit, ..Page::default() });
            back.extend(times(&messages));
            if !more {
                break;
            }
        }
        loop {
            let after = forth.last().copied().unwrap_or(0);
            let (messages, more) = store.page(of, Page { after, limit, forward: true, ..Page::default() });
            forth.extend(times(&messages).into_iter().rev());
            if !more {
                break;
            }
        }
        forth.reverse();
        assert_eq!(back, forth);
        assert_eq!(back.len(), 10);
    }
}

pub(in crate::store::chat) fn a_page_of_nothing(store: &mut Store) {
    let of = place(1);
    group(store, of, 0);
    for forward in [false, true] {
        for limit in [0, 1, 50] {
            let page = Page { forward, limit, receipts: true, ..Page::default() };
            assert_eq!(store.page(of, page), (Vec::new(), false));
        }
    }
}

pub(in crate::store::chat) fn edits_replace(store: &mut Store) {
    let of = place(1);
    let mut all = group(store, of, 3);
    for (number, index) in [(1, 1), (2, 1), (3, 2)] {
        let edited = &mut all[index];
        (edited.content, edited.edited, edited.updated_at) =
            (format!("edit {number}").into(), true, 5_000 + number);
        store.write(of, [said(&all[index].clone())]);
    }
    all.reverse();
    assert_eq!(store.page(of, Page::default()), (all.clone(), false));
    assert_eq!(store.message(of, 200), Some(all[1].clone()));
    let loaded = store.load(of).unwrap();
    assert_eq!(loaded.newest, Some(all[0].clone()));
    assert_eq!(loaded.last, Some(all[0].clone()));
}

pub(in crate::store::chat) fn receipts_are_joined(store: &mut Store) {
    let of = place(1);
    let all = group(store, of, 5);
    let read = |message, row, at| Part::Receipt { message, row, at };
    store.write(
        of,
        [
            Part::Member(member(3, "cid")),
            read(100, 2, 9_000),
            read(300, 3, 9_003),
            read(300, 2, 9_002),
            // Again: the later one counts.
            read(300, 3, 9_004),
            read(500, 1, u64::MAX),
            // Nobody has this row, and nobody said anything then.
            read(500, 9, 1),
            read(450, 2, 1),
        ],
    );
    let receipts = |message: &Message| -> Vec<(String, u64)> {
        message.reads.iter().map(|Receipt { user, at }| (user.to_string(), *at)).collect()
    };
    let expected = |at| match at {
        100 => vec![("bob".to_owned(), 9_000)],
        300 => vec![("bob".to_owned(), 9_002), ("cid".to_owned(), 9_004)],
        500 => vec![("ann".to_owned(), u64::MAX)],
        _ => Vec::new(),
    };
    for forward in [false, true] {
        let (messages, _) = store.page(of, Page { receipts: true, forward, ..Page::default() });
        assert_eq!(times(&messages), [500, 400, 300, 200, 100]);
        for message in &messages {
            assert_eq!(receipts(message), expected(message.id.at));
        }
        let part = Page { receipts: true, before: 400, after: 100, forward, ..Page::default() };
        let (messages, _) = store.page(of, part);
        assert_eq!(times(&messages), [300, 200]);
        assert_eq!(receipts(&messages[0]), expected(300));
    }
    // Not asked, not told.
    let (messages, _) = store.page(of, Page::default());
    assert!(messages.iter().all(|message| message.reads.is_empty()));
    for at in [100, 200, 300, 400, 500] {
        assert_eq!(receipts(&store.message(of, at).unwrap()), expected(at));
    }
    // An edit leaves the receipts as they are.
    store.write(of, [said(&all[2])]);
    assert_eq!(receipts(&store.message(of, 300).unwrap()), expected(300));
    assert_eq!(store.load(of).unwrap().newest.unwrap().reads, []);
    // Members whose rows lie far apart.
    store.write(of, [Part::Member(member(1_000_000, "zoe")), read(300, 1_000_000, 5)]);
    let mut expected = expected(300);
    expected.push(("zoe".to_owned(), 5));
    assert_eq!(receipts(&store.message(of, 300).unwrap()), expected);
}

fn delete(store: &mut Store, of: Place, message: &Message) -> Message {
    let mut deleted = message.clone();
    (deleted.content, deleted.attachment, deleted.deleted) = ("".into(), None, true);
    deleted.updated_at += 1;
    let mark = Part::Deleted { sequence: message.sequence, row: message.row };
    store.write(of, [said(&deleted), mark]);
    deleted
}

pub(in crate::store::chat) fn deleted_messages(store: &mut Store) {
    let of = place(1);
    let mut all = group(store, of, 5);
    for index in [3, 0] {
        all[index] = delete(store, of, &all[index].clone());
    }
    let loaded = store.load(of).unwrap();
    assert_eq!(loaded.deleted, [(1, 1), (4, 1)]);
    assert_eq!(loaded.last, Some(all[4].clone()));
    assert_eq!(store.message(of, 400), Some(all[3].clone()));
    all.reverse();
    assert_eq!(store.page(of, Page::default()), (all, false));
}

pub(in crate::store::chat) fn the_last_message_behind_deleted_ones(store: &mut Store) {
    let of = place(1);
    let all = group(store, of, 50);
    for (count, message) in all.iter().rev().enumerate() {
        let loaded = store.load(of).unwrap();
        assert_eq!(loaded.last.as_ref(), Some(message));
        assert_eq!(loaded.newest.map(|newest| (newest.id.at, newest.deleted)), Some((5_000, count > 0)));
        delete(store, of, message);
    }
    let loaded = store.load(of).unwrap();
    assert_eq!((loaded.last, loaded.deleted.len()), (None, 50));
    assert_eq!(loaded.newest.unwrap().sent, 50);
}

pub(in crate::store::chat) fn sends_are_found(store: &mut Store) {
    let of = place(1);
    group(store, of, 3);
    let sent = |row, client_id: &str, message| Part::Sent { row, client_id: client_id.into(), message };
    store.write(of, [sent(1, "a", 100), sent(1, "ab", 200), sent(2, "a", 300)]);
    for (row, client_id, since, found) in [
        (1, "a", 0, Some(100)),
        (1, "a", 99, Some(100)),
        (1, "a", 100, None),
        (1, "ab", 0, Some(200)),
        (2, "a", 0, Some(300)),
        (2, "ab", 0, None),
        (1, "", 0, None),
        (1, "abc", 0, None),
        (3, "a", 0, None),
        (0x0161, "", 0, None),
    ] {
        assert_eq!(store.sent(of, row, client_id, since), found, "{row} {client_id} {since}");
    }
    for (rows, most, found) in [
        (&[1][..], 1, None),
        (&[1], 2, Some(&[(1, "a"), (1, "ab")][..])),
        (&[2, 1], 1, None),
        (&[2, 1, 3], 256, Some(&[(1, "a"), (1, "ab"), (2, "a")])),
        (&[2], 1, Some(&[(2, "a")])),
        (&[3, 0x0161], 0, Some(&[])),
        (&[], 0, Some(&[])),
    ] {
        let found = found.map(|found| found.iter().map(|&(row, id)| (row, id.into())).collect::<Vec<_>>());
        assert_eq!(store.names(of, rows, most), found, "{rows:?} {most}");
    }
    assert_eq!(store.names(place(2), &[1], 0), Some(Vec::new()));
    // After the window the same word stands for another message.
    store.write(of, [sent(1, "a", 400)]);
    assert_eq!(store.sent(of, 1, "a", 100), Some(400));
    assert_eq!(store.sent(place(2), 1, "a", 0), None);
}

/// A store may forget them later, or by itself, but never those that are to be kept.
pub(in crate::store::chat) fn old_sends_are_forgotten(store: &mut Store) {
    let places = [place(1), (Realm(1), place(1).1), place(2)];
    for of in places {
        group(store, of, 1);
        let sent = |at: u64| Part::Sent { row: 1, client_id: format!("c{at}").into(), message: at };
        store.write(of, (1..=1_500).map(sent).collect::<Vec<_>>());
    }
    store.write(places[2], [Part::Gone]);
    let known = |store: &mut Store, of, at: u64| store.sent(of, 1, &format!("c{at}"), 0) == Some(at);
    for before in [0, 1_001, 1_001] {
        store.forget(before);
        store.again();
        for of in &places[..2] {
            assert!((before.max(1)..=1_500).all(|at| known(store, *of, at)), "{before}");
        }
    }
    // It is sent anew.
    store.write(places[0], [Part::Sent { row: 1, client_id: "c7".into(), message: 2_000 }]);
    store.forget(1_501);
    assert_eq!(store.sent(places[0], 1, "c7", 0), Some(2_000));
    assert_eq!(store.page(places[0], Page::default()).0.len(), 1, "messages stay");
}
