//! Whole writes: what comes back of them, many at once, holes, sizes.

use schema::chat::{Attachment, Kind};

use super::*;

pub(in crate::store::chat) fn a_write_is_read_back_as_it_was(store: &mut Store) {
    let of = place(1 << 70 | 3);
    let mut ann = member(1, "ann");
    ann.member.read_at = Some(20);
    ann.member.read_to = 15;
    ann.member.hidden_to = 12;
    ann.member.hidden_at = Some(13);
    ann.member.pinned_at = Some(14);
    ann.member.blocked = true;
    (ann.floor, ann.sent_at_floor, ann.singles) = (5, 2, vec![(7, 9), (12, 12)]);
    let bob = member(2, "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55");
    let mut first = message(of, 1, 1_700_000_000_000, 1);
    first.client_id = Some("client's own".into());
    first.attachment = Some(Attachment { url: "https://x/y".into(), kind: "image".into() });
    (first.kind, first.edited, first.updated_at) = (7, true, 1_700_000_000_500);
    first.sent = 41;
    let parts = [
        // The order of parts does not matter.
        Part::Member(bob.clone()),
        said(&first),
        Part::Member(ann.clone()),
        made(of, "name"),
    ];
    store.write(of, parts);
    for _ in 0..2 {
        let loaded = store.load(of).unwrap();
        assert_eq!(loaded.conversation, conversation(of, "name"));
        assert_eq!(loaded.members, [ann.clone(), bob.clone()]);
        assert_eq!((loaded.last_row, &loaded.deleted[..]), (2, &[][..]));
        assert_eq!(loaded.newest, Some(first.clone()));
        assert_eq!(loaded.last, Some(first.clone()));
        assert_eq!(store.message(of, first.id.at), Some(first.clone()));
        assert_eq!(store.page(of, Page::default()), (vec![first.clone()], false));
        store.again();
    }

    // Every kind, and no name.
    for (kind, number) in Kind::ALL.into_iter().zip(100..) {
        let mut bare = conversation(place(number), "");
        (bare.kind, bare.name, bare.extra) = (kind, None, Arc::from([]));
        store.write(place(number), [Part::Conversation(bare.clone().into())]);
        let loaded = store.load(place(number)).unwrap();
        assert_eq!(loaded.conversation, bare);
        assert_eq!((loaded.members.len(), loaded.last_row), (0, 0));
        assert_eq!((loaded.newest, loaded.last), (None, None));
    }

    // What is changed is another, and the rest stays.
    store.write(of, [made(of, "new name")]);
    let loaded = store.load(of).unwrap();
    assert_eq!(loaded.conversation, conversation(of, "new name"));
    assert_eq!(loaded.members, [ann, bob]);
}

pub(in crate::store::chat) fn what_is_not_there(store: &mut Store) {
    let of = place(1);
    for _ in 0..2 {
        assert_eq!(store.load(of), None);
        assert_eq!(store.page(of, Page { receipts: true, ..Page::default() }), (Vec::new(), false));
        assert_eq!(store.message(of, 100), None);
        assert_eq!(store.sent(of, 1, "c", 0), None);
        assert_eq!(store.memberships(&user("nobody"), None, 10), (Vec::new(), false));
        assert_eq!(store.load_all(&[]), []);
        // Ending what is not there is no error and makes nothing.
        store.write(of, [Part::Gone]);
        store.commit(&[]);
        group(store, place(2), 1);
    }
    assert_eq!(store.message(place(2), 99), None);
    assert_eq!(store.message(place(2), u64::MAX), None);
}

pub(in crate::store::chat) fn many_writes_of_one_commit(store: &mut Store) {
    let writes: Vec<_> = (0..300)
        .map(|number| {
            let of = place(number % 3);
            let at = number as u64 + 1;
            let mut parts = vec![said(&message(of, at, at, 1))];
            if number < 3 {
                parts.push(made(of, "one of three"));
            }
            Write { place: of, parts }
        })
        .collect();
    store.commit(&writes);
    for number in 0..3 {
        let (messages, more) = store.page(place(number), Page::default());
        assert_eq!((messages.len(), more), (100, false));
        assert!(messages.iter().all(|message| message.id.conversation == place(number).1));
    }
}

pub(in crate::store::chat) fn a_load_with_holes(store: &mut Store) {
    for number in [1, 3, 5] {
        group(store, place(number), number as u64);
    }
    let asked: Vec<_> = [5, 4, 3, 3, 2, 1, 0].map(place).into();
    let found = store.load_all(&asked);
    let newest: Vec<_> = found.iter().map(|one| Some(one.as_ref()?.newest.as_ref()?.id)).collect();
    let expected = [500, 0, 300, 300, 0, 100, 0].into_iter().zip(&asked);
    let expected: Vec<_> =
        expected.map(|(at, of)| (at > 0).then_some(MessageId { conversation: of.1, at })).collect();
    assert_eq!(newest, expected);
}

pub(in crate::store::chat) fn big_values(store: &mut Store) {
    let of = place(1);
    let mut big = message(of, 1, 100, 1);
    big.content = "\u{1f600}".repeat(10_000).into();
    big.client_id = Some("c".repeat(255).into());
    big.attachment = Some(Attachment { url: "u".repeat(2_048).into(), kind: "k".repeat(32).into() });
    let mut head = conversation(of, &"ü".repeat(1_000));
    head.extra = vec![0xa5; 16 << 10].into();
    let long = "x".repeat(255);
    let ranges: Vec<_> = (1..1_000).map(|number| (number * 10, number * 10 + 3)).collect();
    let mut reader = member(u32::MAX, &long);
    (reader.floor, reader.singles) = (u64::MAX / 2, vec![(u64::MAX / 2 + 2, u64::MAX)]);
    let mut scattered = member(1, "ann");
    scattered.singles = ranges;
    store.write(
        of,
        [
            Part::Conversation(head.clone().into()),
            Part::Member(scattered.clone()),
            Part::Member(reader.clone()),
            said(&big),
            Part::Sent { row: u32::MAX, client_id: "c".repeat(255).into(), message: 100 },
        ],
    );
    store.again();
    let loaded = store.load(of).unwrap();
    assert_eq!(loaded.conversation, head);
    assert_eq!(loaded.members, [scattered, reader]);
    assert_eq!((loaded.last_row, loaded.newest), (u32::MAX, Some(big.clone())));
    assert_eq!(store.sent(of, u32::MAX, &"c".repeat(255), 0), Some(100));
    assert_eq!(store.memberships(&user(&long), None, 5), (vec![of.1], false));
    assert_eq!(store.page(of, Page { limit: 1, ..Page::default() }), (vec![big], false));
}

pub(in crate::store::chat) fn a_write_to_nothing_is_refused(store: &mut Store) {
    let of = place(1);
    let late = |store: &mut Store| {
        let write = Write { place: of, parts: vec![said(&message(of, 9, 900, 1))] };
        store.opened().writes.stage(&write).unwrap_err().kind
    };
    assert_eq!(late(store), FailureKind::Refused);
    group(store, of, 3);
    store.write(of, [Part::Gone]);
    assert_eq!(late(store), FailureKind::Refused);
    // The others of the commit go on.
    let other = Write { place: place(2), parts: vec![made(place(2), "other")] };
    store.opened().writes.stage(&other).unwrap();
    assert_eq!(late(store), FailureKind::Refused);
    store.opened().writes.commit().unwrap();
    assert!(store.load(place(2)).is_some());
    group(store, of, 1);
    assert_eq!(times(&store.page(of, Page::default()).0), [100]);

    let bad = Write { place: of, parts: vec![said(&message(of, 9, 1 << 43, 1))] };
    assert_eq!(store.opened().writes.stage(&bad).unwrap_err().kind, FailureKind::Refused);
}
