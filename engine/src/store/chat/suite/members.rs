//! Members: they come, leave, come back with another row, and find what they are in.

use std::collections::BTreeMap;

use super::*;

fn left(row: u32, user: &str) -> Part {
    Part::MemberGone { row, user: id(user) }
}

pub(in crate::store::chat) fn members_come_and_go(store: &mut Store) {
    let of = place(1);
    group(store, of, 0);
    let rows = |store: &mut Store| {
        let loaded = store.load(of).unwrap();
        let rows: Vec<_> =
            loaded.members.iter().map(|row| (row.member.row, row.member.user.to_string())).collect();
        (rows, loaded.last_row)
    };
    let (ann, bob) = ((1, "ann".to_owned()), (2, "bob".to_owned()));
    let is_in = |store: &mut Store, who| store.memberships(&user(who), None, 10) == (vec![of.1], false);
    assert_eq!(rows(store), (vec![ann.clone(), bob.clone()], 2));
    assert!(is_in(store, "ann") && is_in(store, "bob"));

    // The highest row leaves, and is not given out again though nobody has it.
    store.write(of, [left(2, "bob")]);
    assert_eq!(rows(store), (vec![ann.clone()], 2));
    assert!(is_in(store, "ann") && !is_in(store, "bob"));
    store.again();
    assert_eq!(rows(store).1, 2);

    store.write(of, [Part::Member(member(3, "bob"))]);
    assert_eq!(rows(store), (vec![ann.clone(), (3, "bob".to_owned())], 3));
    assert!(is_in(store, "bob"));

    // Out and in again in one write, in either order, and in one commit.
    store.write(of, [left(3, "bob"), Part::Member(member(4, "bob"))]);
    assert!(is_in(store, "bob"));
    store.write(of, [Part::Member(member(5, "bob")), left(4, "bob")]);
    assert!(is_in(store, "bob"));
    assert_eq!(rows(store), (vec![ann.clone(), (5, "bob".to_owned())], 5));
    let write = |parts: Vec<Part>| Write { place: of, parts };
    store.commit(&[write(vec![left(5, "bob")]), write(vec![Part::Member(member(6, "bob"))])]);
    assert!(is_in(store, "bob"));
    assert_eq!(rows(store), (vec![ann.clone(), (6, "bob".to_owned())], 6));

    // A change of a member is no joining.
    let mut changed = member(6, "bob");
    (changed.floor, changed.member.blocked) = (3, true);
    store.write(of, [Part::Member(changed.clone())]);
    assert_eq!(store.load(of).unwrap().members[1], changed);

    // The last one leaves. It is still there, with nobody in it.
    store.write(of, [left(1, "ann"), left(6, "bob")]);
    assert_eq!(rows(store), (Vec::new(), 6));
    assert!(!is_in(store, "ann") && !is_in(store, "bob"));
}

pub(in crate::store::chat) fn a_member_that_left_keeps_its_receipts(store: &mut Store) {
    let of = place(1);
    group(store, of, 2);
    store.write(of, [Part::Receipt { message: 100, row: 2, at: 5 }, left(2, "bob")]);
    store.write(of, [Part::Member(member(3, "bob")), Part::Receipt { message: 200, row: 3, at: 6 }]);
    let (messages, _) = store.page(of, Page { receipts: true, ..Page::default() });
    let reads: Vec<_> = messages.iter().map(|one| (one.reads[0].user.clone(), one.reads[0].at)).collect();
    assert_eq!(reads, [(id("bob"), 6), (id("bob"), 5)]);
}

pub(in crate::store::chat) fn who_comes_back_finds_what_was_sent_before(store: &mut Store) {
    let of = place(1);
    let messages = group(store, of, 2);
    let sent = |row, at| Part::Sent { row, client_id: "c".into(), message: at };
    store.write(of, [sent(2, messages[1].id.at), left(2, "bob"), Part::Member(member(3, "bob"))]);
    assert_eq!(store.load(of).unwrap().left, [(2, id("bob"))]);
    assert_eq!(store.sent_as(of, &[3], "c", 0), None);
    assert_eq!(store.sent_as(of, &[3, 2], "c", 0), Some(messages[1].id.at));
    assert_eq!(store.sent_as(of, &[3, 2], "c", messages[1].id.at), None, "too old");
    store.write(of, [sent(3, messages[1].id.at + 1)]);
    assert_eq!(store.sent_as(of, &[3, 2], "c", 0), Some(messages[1].id.at + 1), "the latest row comes first");
    assert_eq!(store.sent_as(of, &[], "c", 0), None);
}

pub(in crate::store::chat) fn traces_of_a_user(store: &mut Store) {
    for n in 1..=7 {
        group(store, place(n), 1);
        group(store, (Realm(1), place(n).1), 1);
    }
    let trace = |n, rows: &[(u32, bool)], made| Trace { conversation: place(n).1, rows: rows.into(), made };
    // Ann has made them all, and leaves one.
    store.write(place(2), [left(1, "ann")]);
    // Bob leaves one and comes back, leaves another, and one is gone with him in it.
    store.write(place(3), [left(2, "bob"), Part::Member(member(3, "bob"))]);
    store.write(place(4), [left(2, "bob")]);
    store.write(place(5), [Part::Gone]);
    let mut ann: Vec<Trace> = (1..=7).map(|n| trace(n, &[(1, n != 2)], true)).collect();
    ann.remove(4);
    let mut bob: Vec<Trace> = (1..=7).map(|n| trace(n, &[(2, true)], false)).collect();
    bob[2].rows = vec![(2, false), (3, true)];
    bob[3].rows = vec![(2, false)];
    bob.remove(4);
    for limit in [1, 3, 100] {
        assert_eq!(store.traces(&user("ann"), limit), ann, "{limit}");
        assert_eq!(store.traces(&user("bob"), limit), bob, "{limit}");
        assert_eq!(store.traces(&user("eve"), limit), [], "{limit}");
        assert_eq!(store.traces(&Key::new(Realm(1), id("ann")), limit).len(), 7, "{limit}");
    }
    store.again();
    assert_eq!(store.traces(&user("bob"), 100), bob);
}

pub(in crate::store::chat) fn memberships_page_by_page(store: &mut Store) {
    let uuid = "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55";
    let mut expected = BTreeMap::<&str, Vec<ConversationId>>::new();
    let mut ids = Vec::new();
    for number in 0..200_u128 {
        // Spread over all the bytes of an id.
        let of = place(number * 0x0123_4567_89ab_cdef_0123);
        ids.push(of);
        let mut parts = vec![made(of, "x")];
        for (row, who) in (1..).zip(["ann", "an", "annn", uuid]) {
            if number % u128::from(row) == 0 {
                parts.push(Part::Member(member(row, who)));
                expected.entry(who).or_default().push(of.1);
            }
        }
        store.write(of, parts);
    }
    for who in ["ann", "an", "annn", uuid] {
        let mut sorted = expected[who].clone();
        sorted.sort();
        for limit in [1, 7, 50, 1_000] {
            let mut all = Vec::new();
            loop {
                let (page, more) = store.memberships(&user(who), all.last().copied(), limit);
                assert!(page.len() <= limit as usize);
                assert!(!more || page.len() == limit as usize, "a page that has more is full");
                all.extend(page);
                if !more {
                    break;
                }
            }
            assert_eq!(all, sorted, "{who} {limit}");
        }
    }
    // Exactly full: nothing is said to come.
    let count = expected["an"].len() as u32;
    assert!(!store.memberships(&user("an"), None, count).1);
    assert!(store.memberships(&user("an"), None, count - 1).1);
    assert_eq!(store.memberships(&user("an"), None, 0), (Vec::new(), true));
    // Most of them go; what is left is still found, also where long stretches are gone.
    let mut sorted = ids.clone();
    sorted.sort();
    for of in &sorted[20..180] {
        store.write(*of, [Part::Gone]);
    }
    let alive: Vec<_> = sorted[..20].iter().chain(&sorted[180..]).map(|of| of.1).collect();
    assert_eq!(store.memberships(&user("ann"), None, 1_000), (alive.clone(), false));
    assert_eq!(store.memberships(&user("ann"), Some(alive[15]), 10), (alive[16..26].to_vec(), true));
    store.sweep();
    assert_eq!(store.memberships(&user("ann"), None, 1_000), (alive, false));
}

pub(in crate::store::chat) fn thirty_thousand_members(store: &mut Store) {
    let of = place(1);
    let mut parts = vec![made(of, "all of them")];
    parts.extend((1..=30_000).map(|row| Part::Member(member(row, &format!("user-{row}")))));
    store.write(of, parts);
    store.write(of, [left(30_000, "user-30000"), left(7, "user-7")]);
    let loaded = store.load(of).unwrap();
    assert_eq!((loaded.members.len(), loaded.last_row), (29_998, 30_000));
    assert!(loaded.members.is_sorted_by_key(|row| row.member.row));
    assert_eq!(store.memberships(&user("user-29999"), None, 10), (vec![of.1], false));
    assert_eq!(store.memberships(&user("user-7"), None, 10), (Vec::new(), false));
    store.write(of, [Part::Gone]);
    assert!(store.sweep() >= 30, "in bounded parts");
    assert_eq!(store.load(of), None);
}
