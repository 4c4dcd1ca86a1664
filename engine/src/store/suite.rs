//! What every store must do: one suite, run unchanged against each adapter.

use std::collections::{BTreeMap, BTreeSet};

use schema::{Id, Key, LastSeen, Realm, ShardId};

use super::{Adapter, Page};
use crate::limits::STORE_BATCH;
use crate::machine::Router;
use crate::machine::store::SeenRow;

pub(super) fn router(shards: u16) -> Router {
    Router::new((7, 8), shards)
}

pub(super) fn user(id: &str) -> Key {
    Key::new(Realm(0), Id::new(id).unwrap())
}

pub(super) fn row(user: &Key, last_seen: u64, online: bool) -> SeenRow {
    SeenRow { user: user.clone(), last_seen, online }
}

/// The whole journal of one shard, page by page.
pub(super) fn journal(store: &mut dyn Adapter, shard: u16) -> Vec<(Key, u64)> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let Page { users, more } = store.journal(ShardId(shard), after.as_ref()).unwrap();
        assert!(users.len() <= STORE_BATCH);
        assert!(!more || !users.is_empty(), "a page that has more after it moves on");
        all.extend(users);
        after = all.last().map(|(user, _)| user.clone());
        if !more {
            return all;
        }
    }
}

/// A small generator of numbers, so that a failure comes again.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// The tests of the suite; the macro names each of them for each adapter.
macro_rules! store_suite {
    ($open:expr) => {
        crate::store::suite::store_suite!($open;
            what_was_seen_is_read_back_as_asked
            last_seen_never_goes_back
            realms_are_apart
            strange_ids
            the_journal_lists_who_is_online_to_each_home
            the_journal_goes_page_by_page
            the_latest_row_of_a_batch_counts
            nothing_asked_nothing_done
            everybody_is_gone_through
            who_is_forgotten_was_never_here
            as_the_model_says
        );
    };
    ($open:expr; $($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                #[allow(clippy::redundant_closure_call, reason = "the caller says how to open it")]
                let (mut adapter, _guard) = ($open)(crate::store::suite::router(3));
                crate::store::suite::$name(&mut adapter);
            }
        )+
    };
}
pub(super) use store_suite;

pub(super) fn what_was_seen_is_read_back_as_asked(store: &mut dyn Adapter) {
    let (a, b, nobody) = (user("a"), user("b"), user("nobody"));
    store.put_seen(&[row(&a, 10, true), row(&b, u64::MAX, false)]).unwrap();
    assert_eq!(
        store.get_seen(&[nobody.clone(), b.clone(), a.clone(), b, nobody]).unwrap(),
        [LastSeen::Never, LastSeen::At(u64::MAX), LastSeen::At(10), LastSeen::At(u64::MAX), LastSeen::Never]
    );
}

pub(super) fn last_seen_never_goes_back(store: &mut dyn Adapter) {
    let a = user("a");
    let seen = |store: &mut dyn Adapter| store.get_seen(std::slice::from_ref(&a)).unwrap()[0];
    store.put_seen(&[row(&a, 10, true)]).unwrap();
    store.put_seen(&[row(&a, 9, true)]).unwrap();
    assert_eq!(seen(store), LastSeen::At(10));
    store.put_seen(&[row(&a, 0, false)]).unwrap();
    assert_eq!(seen(store), LastSeen::At(10));
    store.put_seen(&[row(&a, 12, true), row(&a, 11, true)]).unwrap();
    assert_eq!(seen(store), LastSeen::At(12));
    store.put_seen(&[row(&a, 5, true), row(&a, 13, true), row(&a, 6, true)]).unwrap();
    assert_eq!(seen(store), LastSeen::At(13));
}

pub(super) fn realms_are_apart(store: &mut dyn Adapter) {
    let [first, second] = [0, 1].map(|realm| Key::new(Realm(realm), Id::new("42").unwrap()));
    store.put_seen(&[row(&first, 10, true)]).unwrap();
    assert_eq!(
        store.get_seen(&[first.clone(), second.clone()]).unwrap(),
        [LastSeen::At(10), LastSeen::Never]
    );
    store.put_seen(&[row(&second, 20, false), row(&first, 11, false)]).unwrap();
    assert_eq!(store.get_seen(&[second, first]).unwrap(), [LastSeen::At(20), LastSeen::At(11)]);
}

pub(super) fn strange_ids(store: &mut dyn Adapter) {
    let long = "x".repeat(255);
    let ids = ["a", "aa", "a ", " ", "ünï/çødé\u{10ffff}", "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55", &long];
    let users: Vec<_> = ids.iter().map(|id| user(id)).collect();
    let rows: Vec<_> = users.iter().zip(1..).map(|(user, at)| row(user, at, true)).collect();
    store.put_seen(&rows).unwrap();
    let expected: Vec<_> = (1..=users.len() as u64).map(LastSeen::At).collect();
    assert_eq!(store.get_seen(&users).unwrap(), expected);
    let mut listed: Vec<_> = (0..3).flat_map(|shard| journal(store, shard)).collect();
    listed.sort_by_key(|(_, at)| *at);
    assert_eq!(listed, users.into_iter().zip(1..).collect::<Vec<_>>());
}

pub(super) fn the_journal_lists_who_is_online_to_each_home(store: &mut dyn Adapter) {
    let users: Vec<_> = (0..100).map(|number| user(&format!("user-{number}"))).collect();
    for shard in 0..3 {
        assert_eq!(journal(store, shard), []);
    }
    let rows: Vec<_> = users.iter().map(|user| row(user, 5, true)).collect();
    store.put_seen(&rows).unwrap();
    // Every third leaves; one of them is seen again without being online.
    let leave: Vec<_> = users.iter().step_by(3).map(|user| row(user, 6, false)).collect();
    store.put_seen(&leave).unwrap();
    store.put_seen(&[row(&users[0], 7, false), row(&users[1], 8, true)]).unwrap();
    let mut expected: BTreeMap<_, _> = users.iter().map(|user| (user.clone(), 5)).collect();
    expected.retain(|user, _| !leave.iter().any(|left| left.user == *user));
    expected.insert(users[1].clone(), 8);
    let mut all = BTreeMap::new();
    for shard in 0..3 {
        for (user, at) in journal(store, shard) {
            assert_eq!(router(3).home(&user), ShardId(shard));
            assert!(all.insert(user, at).is_none());
        }
    }
    assert_eq!(all, expected);
    assert_eq!(journal(store, 3), [], "there is no such shard");
}

pub(super) fn the_journal_goes_page_by_page(store: &mut dyn Adapter) {
    let mine: Vec<_> = (0..)
        .map(|number| user(&format!("user-{number}")))
        .filter(|user| router(3).home(user) == ShardId(1))
        .take(2 * STORE_BATCH)
        .collect();
    for rows in mine.chunks(STORE_BATCH) {
        let rows: Vec<_> = rows.iter().map(|user| row(user, 1, true)).collect();
        store.put_seen(&rows).unwrap();
    }
    // Exactly two pages; nothing is said to come after the second.
    let first = store.journal(ShardId(1), None).unwrap();
    assert_eq!((first.users.len(), first.more), (STORE_BATCH, true));
    let last = &first.users[STORE_BATCH - 1].0;
    // The one after whom it goes on may have left meanwhile, and so may those who were listed.
    store.put_seen(&[row(last, 2, false), row(&first.users[0].0, 2, false)]).unwrap();
    let second = store.journal(ShardId(1), Some(last)).unwrap();
    assert_eq!((second.users.len(), second.more), (STORE_BATCH, false));
    let listed: BTreeSet<_> = first.users.into_iter().chain(second.users).map(|(user, _)| user).collect();
    assert_eq!(listed, mine.into_iter().collect());
}

pub(super) fn the_latest_row_of_a_batch_counts(store: &mut dyn Adapter) {
    let (a, b) = (user("a"), user("b"));
    store
        .put_seen(&[
            row(&a, 1, true),
            row(&b, 1, false),
            row(&a, 2, false),
            row(&b, 2, true),
            row(&a, 1, false),
        ])
        .unwrap();
    let home = router(3).home(&b).0;
    assert_eq!(journal(store, home), [(b, 2)]);
    assert_eq!(store.get_seen(&[a]).unwrap(), [LastSeen::At(2)]);
}

pub(super) fn nothing_asked_nothing_done(store: &mut dyn Adapter) {
    store.put_seen(&[]).unwrap();
    assert_eq!(store.get_seen(&[]).unwrap(), []);
    assert_eq!(store.journal(ShardId(0), Some(&user("x"))).unwrap(), Page::default());
    store.recover().unwrap();
}

pub(super) fn everybody_is_gone_through(store: &mut dyn Adapter) {
    assert_eq!(store.all_seen(None, 10).unwrap(), []);
    let ids = ["a", "b", "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55", "aa", &"x".repeat(255), "ü"];
    let mut all: Vec<Key> = (0..2)
        .flat_map(|realm| ids.iter().map(move |id| Key::new(Realm(realm), Id::new(id).unwrap())))
        .collect();
    let rows: Vec<_> = all.iter().zip(1..).map(|(user, at)| row(user, at, at % 2 == 0)).collect();
    store.put_seen(&rows).unwrap();
    let seen: BTreeMap<Key, u64> = all.iter().cloned().zip(1..).collect();
    all.sort_by_key(|user| (user.realm, user.id.to_string()));
    let expected: Vec<_> = all.iter().map(|user| (user.clone(), seen[user])).collect();
    assert_eq!(store.all_seen(None, 100).unwrap(), expected);
    let mut found = Vec::new();
    loop {
        let page = store.all_seen(found.last().map(|(user, _)| user), 5).unwrap();
        assert!(page.len() <= 5);
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found, expected);
}

pub(super) fn who_is_forgotten_was_never_here(store: &mut dyn Adapter) {
    let (a, b) = (user("a"), user("b"));
    let other = Key::new(Realm(1), a.id.clone());
    store.put_seen(&[row(&a, 1, true), row(&b, 2, true), row(&other, 3, true)]).unwrap();
    assert!(store.forget(&a).unwrap());
    assert!(!store.forget(&a).unwrap());
    let rest = [LastSeen::Never, LastSeen::At(2), LastSeen::At(3)];
    assert_eq!(store.get_seen(&[a.clone(), b.clone(), other.clone()]).unwrap(), rest);
    let mut listed: Vec<_> = (0..3).flat_map(|shard| journal(store, shard)).map(|(user, _)| user).collect();
    listed.sort();
    assert_eq!(listed, [b, other]);
    store.put_seen(&[row(&a, 1, false)]).unwrap();
    assert_eq!(store.get_seen(&[a]).unwrap(), [LastSeen::At(1)]);
}

/// Random batches against the simplest model there is.
pub(super) fn as_the_model_says(store: &mut dyn Adapter) {
    let users: Vec<_> = (0..60)
        .map(|number| Key::new(Realm(number % 2), Id::new(&format!("user-{}", number / 2)).unwrap()))
        .collect();
    let mut numbers = Numbers(42);
    let mut model = BTreeMap::<Key, (u64, bool)>::new();
    for step in 0..300 {
        let rows: Vec<_> = (0..numbers.below(20))
            .map(|_| {
                let user = &users[numbers.below(users.len() as u64) as usize];
                row(user, numbers.below(1_000), numbers.below(2) == 0)
            })
            .collect();
        for SeenRow { user, last_seen, online } in &rows {
            let known = model.entry(user.clone()).or_default();
            *known = (known.0.max(*last_seen), *online);
        }
        store.put_seen(&rows).unwrap();
        let expected: Vec<_> = users
            .iter()
            .map(|user| model.get(user).map_or(LastSeen::Never, |known| LastSeen::At(known.0)))
            .collect();
        assert_eq!(store.get_seen(&users).unwrap(), expected, "after step {step}");
        let listed: BTreeMap<_, _> = (0..3).flat_map(|shard| journal(store, shard)).collect();
        let online = model.iter().filter(|(_, known)| known.1).map(|(user, known)| (user.clone(), known.0));
        assert_eq!(listed, online.collect(), "after step {step}");
    }
}
