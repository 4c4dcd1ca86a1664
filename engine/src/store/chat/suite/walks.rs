//! Everything that is kept, gone through.

use std::ops::ControlFlow;

use super::*;
use crate::store::chat::MemoryRows;

fn walk(store: &mut Store, of: Place) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    let there = store.opened().reads.walk(of, &mut |part| {
        parts.push(part);
        Ok(ControlFlow::Continue(()))
    });
    there.unwrap().then_some(parts)
}

/// A conversation with everything there can be in one.
fn full(store: &mut Store, of: Place) {
    group(store, of, 600);
    let mut changed = member(2, "bob");
    (changed.floor, changed.sent_at_floor, changed.singles) = (5, 2, vec![(7, 7), (9, 12)]);
    (changed.member.pinned_at, changed.member.blocked) = (Some(77), true);
    let mut edited = message(of, 3, 300, 1);
    (edited.edited, edited.updated_at, edited.client_id) = (true, 301, Some("c".into()));
    let mut deleted = message(of, 4, 400, 1);
    (deleted.deleted, deleted.content) = (true, "".into());
    let sent = |row, id: &str, message| Part::Sent { row, client_id: id.into(), message };
    store.write(
        of,
        [
            Part::Member(changed),
            Part::Member(member(3, "cid")),
            Part::MemberGone { row: 3, user: id("cid") },
            said(&edited),
            said(&deleted),
            Part::Deleted { sequence: 4, row: 1 },
            Part::Deleted { sequence: 601, row: 2 },
            Part::Receipt { message: 300, row: 2, at: 350 },
            Part::Receipt { message: 300, row: 3, at: 360 },
            Part::Receipt { message: 500, row: 2, at: 550 },
            sent(1, "c", 300),
            sent(1, "b", 200),
            sent(2, "a \u{fc}", 400),
        ],
    );
}

pub(in crate::store::chat) fn a_walk_writes_it_anew(store: &mut Store) {
    let of = place(7);
    // Neighbours are left alone.
    group(store, place(6), 3);
    group(store, (Realm(1), of.1), 3);
    full(store, of);
    let parts = walk(store, of).unwrap();
    let kinds: Vec<u8> = parts.iter().map(rank).collect();
    assert!(kinds.is_sorted(), "in the order in which it can be written");
    assert_eq!(parts.len(), 1 + 3 + 2 + 600 + 3 + 3);

    let rows = MemoryRows::default();
    let mut other = Store::new(move || Opened::over(rows.clone(), Arc::new(rows.clone()), "memory".into()));
    for some in parts.chunks(7) {
        other.write(of, some);
    }
    assert_eq!(walk(&mut other, of), Some(parts.clone()));
    assert_eq!(other.load(of), store.load(of));
    let all = Page { receipts: true, ..Page::default() };
    assert_eq!(other.page(of, all), store.page(of, all));
    assert_eq!(other.sent(of, 2, "a \u{fc}", 0), Some(400));
    // Writing it again changes nothing.
    store.write(of, parts.clone());
    assert_eq!(walk(store, of), Some(parts));
    store.write(of, [Part::Gone]);
    assert_eq!(walk(store, of), None);
    assert_eq!(walk(store, place(99)), None);
}

fn rank(part: &Part) -> u8 {
    match part {
        Part::Conversation(_) => 0,
        Part::Member(_) | Part::MemberGone { .. } => 1,
        Part::Deleted { .. } => 2,
        Part::Forgotten(_) => 3,
        Part::Message(_) => 4,
        Part::Receipt { .. } => 5,
        Part::Sent { .. } => 6,
        Part::Gone => panic!("what is gone is not met"),
    }
}

pub(in crate::store::chat) fn a_walk_may_stop_and_write(store: &mut Store) {
    let of = place(7);
    full(store, of);
    let (mut seen, mut written) = (0, Vec::new());
    let opened = store.opened();
    let there = opened.reads.walk(of, &mut |part| {
        seen += 1;
        if let Part::Message(message) = &part {
            let changed = Message { content: "wiped".into(), ..Message::clone(message) };
            opened.writes.stage(&Write { place: of, parts: vec![said(&changed)] })?;
            while opened.writes.commit().is_err_and(|failure| failure.kind == FailureKind::Busy) {
                opened.writes.stage(&Write { place: of, parts: vec![said(&changed)] })?;
            }
            written.push(message.id.at);
        }
        Ok(if written.len() == 300 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    assert!(there.unwrap());
    assert_eq!(seen, 1 + 3 + 2 + 300);
    let wiped =
        store.page(of, Page::default()).0.iter().filter(|message| &*message.content == "wiped").count();
    assert_eq!(wiped, 300);
}

pub(in crate::store::chat) fn all_places(store: &mut Store) {
    assert_eq!(store.opened().reads.places(None, 10).unwrap(), []);
    let mut all = Vec::new();
    for number in 0..10 {
        for realm in [0, 1, u16::MAX] {
            let of = (Realm(realm), place(number).1);
            group(store, of, 1);
            all.push(of);
        }
    }
    let gone = (Realm(1), place(4).1);
    store.write(gone, [Part::Gone]);
    all.retain(|of| *of != gone);
    all.sort();
    for limit in [1, 7, 100] {
        let mut found = Vec::new();
        loop {
            let some = store.opened().reads.places(found.last().copied(), limit).unwrap();
            assert!(some.len() <= limit);
            if some.is_empty() {
                break;
            }
            found.extend(some);
        }
        assert_eq!(found, all);
    }
    assert_eq!(store.opened().reads.places(None, 0).unwrap(), []);
}
