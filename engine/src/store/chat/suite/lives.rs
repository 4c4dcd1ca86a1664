//! Conversations that end, and others that are made under their ids.

use super::*;

pub(in crate::store::chat) fn two_realms_with_one_id(store: &mut Store) {
    let [a, b] = [(Realm(1), place(7).1), (Realm(2), place(7).1)];
    group(store, a, 3);
    group(store, b, 1);
    let ann = |realm| Key::new(Realm(realm), id("ann"));
    assert_eq!(store.page(a, Page::default()).0.len(), 3);
    assert_eq!(store.page(b, Page::default()).0.len(), 1);
    store.write(a, [Part::Gone]);
    for _ in 0..2 {
        assert_eq!(store.load(a), None);
        assert_eq!(store.load(b).unwrap().members.len(), 2);
        assert_eq!(store.memberships(&ann(1), None, 10), (Vec::new(), false));
        assert_eq!(store.memberships(&ann(2), None, 10), (vec![b.1], false));
        assert_eq!(store.memberships(&ann(0), None, 10), (Vec::new(), false));
        store.sweep();
    }
}

/// Nothing of it is found in any way.
fn is_nowhere(store: &mut Store, of: Place) {
    assert_eq!(store.load(of), None);
    assert_eq!(store.page(of, Page { receipts: true, ..Page::default() }), (Vec::new(), false));
    assert_eq!(store.message(of, 100), None);
    assert_eq!(store.sent(of, 1, "c", 0), None);
    assert_eq!(store.memberships(&user("ann"), None, 10), (Vec::new(), false));
    assert_eq!(store.memberships(&user("bob"), None, 10), (Vec::new(), false));
}

fn sent() -> Part {
    Part::Sent { row: 1, client_id: "c".into(), message: 100 }
}

pub(in crate::store::chat) fn gone_is_gone_at_once(store: &mut Store) {
    let of = place(1);
    group(store, of, 1_500);
    store.write(of, [sent(), Part::Receipt { message: 100, row: 2, at: 1 }]);
    store.write(of, [Part::Gone]);
    is_nowhere(store, of);
    // At every step of the clearing away, and after a restart at any of them.
    while store.sweep_once() {
        is_nowhere(store, of);
        store.again();
        is_nowhere(store, of);
    }
    // Again is no error.
    store.write(of, [Part::Gone]);
    assert_eq!(store.sweep(), 0);
    is_nowhere(store, of);
}

pub(in crate::store::chat) fn made_again_it_is_another(store: &mut Store) {
    let of = place(1);
    group(store, of, 1_500);
    store.write(
        of,
        [sent(), Part::Deleted { sequence: 1, row: 1 }, Part::Receipt { message: 100, row: 2, at: 1 }],
    );
    store.write(of, [Part::Gone]);
    // Made again while all of the old rows are there, with another Ann and without Bob.
    let first = message(of, 1, 100, 1);
    store.write(of, [made(of, "again"), Part::Member(member(1, "ann")), said(&first)]);
    let check = |store: &mut Store| {
        let loaded = store.load(of).unwrap();
        assert_eq!(loaded.conversation, conversation(of, "again"));
        assert_eq!(loaded.members, [member(1, "ann")]);
        assert_eq!((loaded.last_row, &loaded.deleted[..]), (1, &[][..]));
        assert_eq!(loaded.newest, Some(first.clone()));
        assert_eq!(store.page(of, Page { receipts: true, ..Page::default() }), (vec![first.clone()], false));
        assert_eq!(store.sent(of, 1, "c", 0), None);
        assert_eq!(store.memberships(&user("ann"), None, 10), (vec![of.1], false));
        assert_eq!(store.memberships(&user("bob"), None, 10), (Vec::new(), false));
    };
    check(store);
    store.again();
    while store.sweep_once() {
        check(store);
    }
    check(store);
    store.again();
    assert_eq!(store.sweep(), 0);
    check(store);
}

pub(in crate::store::chat) fn gone_and_made_in_one_write(store: &mut Store) {
    let of = place(1);
    group(store, of, 3);
    let first = message(of, 1, 50, 1);
    store.write(of, [Part::Gone, made(of, "again"), Part::Member(member(1, "bob")), said(&first)]);
    for _ in 0..2 {
        assert_eq!(store.load(of).unwrap().members, [member(1, "bob")]);
        assert_eq!(store.page(of, Page::default()), (vec![first.clone()], false));
        assert_eq!(store.memberships(&user("ann"), None, 10), (Vec::new(), false));
        store.sweep();
    }
    // Made and ended in one write: as if it had not been.
    let other = place(2);
    store.write(other, [made(other, "short"), Part::Member(member(1, "cid")), Part::Gone]);
    assert_eq!(store.load(other), None);
    assert_eq!(store.memberships(&user("cid"), None, 10), (Vec::new(), false));
    store.sweep();
    assert_eq!(store.load(other), None);
}

pub(in crate::store::chat) fn made_and_gone_many_times(store: &mut Store) {
    let of = place(1);
    let mut refused = false;
    for round in 1..=600 {
        let write = Write {
            place: of,
            parts: vec![made(of, "x"), Part::Member(member(1, "ann")), said(&message(of, 1, round, 1))],
        };
        if let Err(failure) = store.opened().writes.stage(&write) {
            // Nobody has cleared anything away for a long time: it asks for a moment.
            assert_eq!(failure.kind, FailureKind::Busy);
            refused = true;
            store.sweep();
            store.opened().writes.stage(&write).unwrap();
        }
        store.opened().writes.commit().unwrap();
        assert_eq!(times(&store.page(of, Page::default()).0), [round]);
        store.write(of, [Part::Gone]);
        if round % 100 == 0 {
            store.again();
        }
    }
    // A store with another way to tell them apart may never refuse.
    _ = refused;
    store.sweep();
    is_nowhere(store, of);
}

pub(in crate::store::chat) fn what_is_gone_is_cleared_away(store: &mut Store) {
    assert_eq!(store.sweep(), 0);
    for number in 0..20 {
        group(store, place(number), 100);
        store.write(place(number), [sent()]);
    }
    for number in 0..10 {
        store.write(place(number), [Part::Gone]);
    }
    assert!(store.sweep() > 0);
    assert_eq!(store.sweep(), 0);
    for number in 0..20 {
        assert_eq!(store.load(place(number)).is_some(), number >= 10);
        assert_eq!(store.sent(place(number), 1, "c", 0).is_some(), number >= 10);
    }
}
