//! Messages that are forgotten for their age.

use super::*;
use crate::machine::store::Horizon;

fn horizon(of: Place, number: u64) -> Horizon {
    Horizon::of(&message(of, number, number * 100, 1))
}

pub(in crate::store::chat) fn what_is_forgotten_is_nowhere(store: &mut Store) {
    let of = place(5);
    let neighbours = [place(4), (Realm(1), of.1)];
    for neighbour in neighbours {
        group(store, neighbour, 5);
    }
    let mut all = group(store, of, 3_000);
    store.write(
        of,
        [
            Part::Receipt { message: 100, row: 2, at: 1 },
            Part::Receipt { message: 250_000, row: 2, at: 2 },
            Part::Deleted { sequence: 7, row: 1 },
            Part::Deleted { sequence: 2_900, row: 1 },
            Part::Sent { row: 1, client_id: "c".into(), message: 100 },
        ],
    );
    let before = [0, 200_000, 0, 0];
    assert_eq!(store.aged(before, 1), [neighbours[0], of, neighbours[1]]);
    assert_eq!(store.aged([0, 100, 0, 0], 10), [], "the oldest are just young enough");
    assert_eq!(store.aged([200_000, 0, 200_000, 200_000], 10), [], "each kind has its own time");
    store.write(of, [Part::Forgotten(horizon(of, 2_000))]);
    all.retain(|message| message.sequence > 2_000);
    let check = |store: &mut Store| {
        let loaded = store.load(of).unwrap();
        assert_eq!((loaded.members.len(), &loaded.deleted[..]), (2, &[(2_900, 1)][..]));
        assert_eq!((loaded.newest.as_ref(), loaded.forgotten), (all.last(), Some(horizon(of, 2_000))));
        let (page, more) = store.page(of, Page { limit: 5_000, ..Page::default() });
        assert_eq!((page.len(), more, page.last()), (1_000, false, all.first()));
        let oldest = Page { forward: true, limit: 2, ..Page::default() };
        assert_eq!(times(&store.page(of, oldest).0), [200_200, 200_100]);
        let until = Page { before: 150_000, receipts: true, ..Page::default() };
        assert_eq!(store.page(of, until), (Vec::new(), false));
        assert_eq!((store.message(of, 200_000), store.message(of, 200_100).is_some()), (None, true));
        assert_eq!(store.message(of, 250_000).unwrap().reads.len(), 1);
        assert_eq!(store.aged(before, 10), neighbours);
        for neighbour in neighbours {
            assert_eq!(store.page(neighbour, Page::default()).0.len(), 5);
        }
    };
    check(store);
    // At every step of the clearing away, after a restart at any of them, and while more is forgotten.
    while store.sweep_once() {
        check(store);
        store.again();
    }
    check(store);
    store.write(of, [Part::Forgotten(horizon(of, 2_500))]);
    store.sweep_once();
    store.write(of, [Part::Forgotten(horizon(of, 2_990))]);
    store.sweep();
    assert_eq!(times(&store.page(of, Page::default()).0).len(), 10);
    assert_eq!(store.load(of).unwrap().deleted, []);
    // Made again under its id it has forgotten nothing.
    store.write(of, [Part::Forgotten(horizon(of, 2_995)), Part::Gone]);
    group(store, of, 3);
    store.sweep();
    assert_eq!(store.load(of).unwrap().forgotten, None);
    assert_eq!(times(&store.page(of, Page::default()).0), [300, 200, 100]);
}

pub(in crate::store::chat) fn all_forgotten_goes_on_where_it_was(store: &mut Store) {
    let of = place(1);
    group(store, of, 10);
    store.write(of, [Part::Forgotten(horizon(of, 10))]);
    for _ in 0..2 {
        let loaded = store.load(of).unwrap();
        assert_eq!((loaded.newest, loaded.last, loaded.forgotten), (None, None, Some(horizon(of, 10))));
        assert_eq!(store.page(of, Page::default()), (Vec::new(), false));
        store.sweep();
        store.again();
    }
    let next = message(of, 11, 1_001, 1);
    store.write(of, [said(&next)]);
    assert_eq!(store.load(of).unwrap().newest, Some(next.clone()));
    assert_eq!(store.page(of, Page::default()), (vec![next], false));
}

/// While messages are forgotten and cleared away, a page is what was there before or what is there after.
pub(in crate::store::chat) fn a_page_is_never_half(store: &mut Store) {
    let of = place(1);
    group(store, of, 4_000);
    let reads = store.opened().reads.clone();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut pages = 0;
            while !done.load(std::sync::atomic::Ordering::Acquire) || pages == 0 {
                let (before, after, limit) = (u64::MAX, 0, 4_000);
                for forward in [true, false] {
                    let ask = ChatAsk::Page { place: of, before, after, forward, limit, receipts: false };
                    let Ok(ChatStored::Page { messages, .. }) = reads.answer(&ask) else { panic!("a page") };
                    let whole = messages.windows(2).all(|two| two[0].sequence == two[1].sequence + 1);
                    assert!(whole && messages.len().is_multiple_of(500), "{} messages", messages.len());
                    assert_eq!(messages.first().unwrap().sequence, 4_000);
                    pages += 1;
                }
            }
        });
        for number in (500..=3_500).step_by(500) {
            store.write(of, [Part::Forgotten(horizon(of, number))]);
            store.sweep();
        }
        done.store(true, std::sync::atomic::Ordering::Release);
        reader.join().unwrap();
    });
    assert_eq!(store.page(of, Page::default()).0.len(), 500);
}
