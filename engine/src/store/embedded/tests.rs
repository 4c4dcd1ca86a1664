//! The suite, and what only files can do: be opened again, by another version, with other shards, by two at once.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions};
use lsm_tree::AbstractTree;
use schema::LastSeen;

use super::format::{self, FORMAT};
use super::{Embedded, Tables, WORTH_A_FILE};
use crate::machine::Router;
use crate::store::suite::{journal, router, row, user};
use crate::store::{Adapter, OpenError};

crate::store::suite::store_suite!(|router| {
    let folder = tempfile::tempdir().unwrap();
    (Embedded::open(folder.path(), router).unwrap(), folder)
});

#[test]
fn opened_again_it_knows_what_it_knew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/if/missing");
    let (a, b) = (user("a"), user("b"));
    for round in 1..4 {
        let mut store = Embedded::open(&path, router(1)).unwrap();
        let before = if round == 1 { LastSeen::Never } else { LastSeen::At(round * 10 - 10) };
        assert_eq!(store.get_seen(&[a.clone(), b.clone()]).unwrap(), [before, before]);
        store.put_seen(&[row(&a, round * 10, round % 2 == 0), row(&b, round * 10, true)]).unwrap();
        let listed = journal(&mut store, 0).len();
        assert_eq!(listed, if round % 2 == 0 { 2 } else { 1 });
    }
}

fn tables_of_users(store: &Embedded) -> [&Keyspace; 2] {
    let tables = store.tables().unwrap();
    [&tables.last_seen, &tables.online]
}

#[test]
fn what_it_gathered_becomes_a_file_when_it_rests() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Embedded::open(folder.path(), router(1)).unwrap();
    let users: Vec<_> = (0..WORTH_A_FILE).map(|number| user(&format!("user-{number}"))).collect();
    let rows: Vec<_> = users.iter().map(|user| row(user, 7, true)).collect();
    let files = |store: &Embedded| tables_of_users(store).map(|table| table.table_count());
    let in_memory = |store: &Embedded| {
        tables_of_users(store).map(|table| table.tree.get_version_history_lock().memtable_size_sum())
    };

    store.put_seen(&rows[1..]).unwrap();
    assert!(!store.rest().unwrap(), "a few rows are not worth a file");
    assert_eq!(files(&store), [0, 0]);
    store.put_seen(&rows[..1]).unwrap();
    assert!(store.rest().unwrap());
    // fjall's own thread makes the files.
    while tables_of_users(&store).iter().any(|table| table.sealed_memtable_count() > 0) {
        std::thread::yield_now();
    }
    assert_eq!(files(&store), [1, 1]);
    assert!(!store.rest().unwrap());
    assert_eq!(in_memory(&store), [0, 0]);
    assert_eq!(store.get_seen(&users).unwrap(), vec![LastSeen::At(7); WORTH_A_FILE]);
    drop(store);

    let mut store = Embedded::open(folder.path(), router(1)).unwrap();
    assert_eq!(store.get_seen(&users).unwrap(), vec![LastSeen::At(7); WORTH_A_FILE]);
    assert_eq!(journal(&mut store, 0).len(), WORTH_A_FILE);
}

#[test]
fn other_shards_find_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<_> = (0..500).map(|number| row(&user(&format!("user-{number}")), 1, true)).collect();
    Embedded::open(folder.path(), router(3)).unwrap().put_seen(&rows).unwrap();
    for shards in [1, 7, 64, 1_000] {
        let mut store = Embedded::open(folder.path(), router(shards)).unwrap();
        let mut found = 0;
        for shard in 0..shards {
            let listed = journal(&mut store, shard);
            assert!(listed.iter().all(|(user, _)| router(shards).home(user).0 == shard));
            found += listed.len();
        }
        assert_eq!(found, 500, "{shards} shards");
    }
}

#[test]
fn another_secret_moves_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let users: Vec<_> = (0..2_500).map(|number| user(&format!("user-{number}"))).collect();
    let rows: Vec<_> = users.iter().map(|user| row(user, 1, true)).collect();
    Embedded::open(folder.path(), router(3)).unwrap().put_seen(&rows).unwrap();

    let other = Router::new((9, 9), 3);
    let mut store = Embedded::open(folder.path(), other.clone()).unwrap();
    let leave: Vec<_> = users.iter().skip(100).map(|user| row(user, 2, false)).collect();
    store.put_seen(&leave).unwrap();
    drop(store);
    let mut store = Embedded::open(folder.path(), other.clone()).unwrap();
    let mut left = 0;
    for shard in 0..3 {
        let listed = journal(&mut store, shard);
        assert!(listed.iter().all(|(user, _)| other.home(user).0 == shard));
        left += listed.len();
    }
    assert_eq!(left, 100, "no row has stayed behind in its old slot");
}

/// Opens it and gives back what it says when it refuses.
fn refusal(path: &Path) -> (OpenError, String) {
    let error = Embedded::open(path, router(1)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "names the folder: {text}");
    (error, text)
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(Tables::open_with(folder.path(), &router(1), FORMAT + 1, &[]).unwrap());
    for _ in 0..2 {
        let (error, text) = refusal(folder.path());
        assert!(matches!(error, OpenError::TooNew { found, known: FORMAT, .. } if found == FORMAT + 1));
        assert!(text.contains("start the newer Muster"), "{text}");
    }
}

#[test]
fn an_older_format_is_brought_forward_step_by_step() {
    let folder = tempfile::tempdir().unwrap();
    drop(Tables::open_with(folder.path(), &router(1), 1, &[]).unwrap());
    let to_2: format::Step = |db| {
        let table = db.keyspace("last_seen", KeyspaceCreateOptions::default)?;
        table.insert([0, 0, b'a'], 22_u64.to_be_bytes())
    };
    let to_3: format::Step = |db| {
        let table = db.keyspace("last_seen", KeyspaceCreateOptions::default)?;
        assert!(table.contains_key([0, 0, b'a'])?, "the steps come in order");
        table.insert([0, 0, b'a'], 33_u64.to_be_bytes())
    };
    let never: format::Step = |_| panic!("done already");
    drop(Tables::open_with(folder.path(), &router(1), 2, &[to_2]).unwrap());
    let tables = Tables::open_with(folder.path(), &router(1), 3, &[never, to_3]).unwrap();
    assert_eq!(tables.seen(&[0, 0, b'a']).unwrap(), Some(33));
    drop(tables);
    let tables = Tables::open_with(folder.path(), &router(1), 3, &[never, never]).unwrap();
    assert_eq!(format::read(&tables.meta).unwrap(), Some(Ok(3)));
}

#[test]
fn what_is_not_ours_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let db = Database::builder(folder.path()).open().unwrap();
    db.keyspace("theirs", KeyspaceCreateOptions::default).unwrap().insert("a", "b").unwrap();
    drop(db);
    assert!(matches!(refusal(folder.path()).0, OpenError::Foreign { .. }));

    for bad in [&[][..], &[1, 2, 3], &[0, 0, 0, 0]] {
        let folder = tempfile::tempdir().unwrap();
        let tables = Tables::open(folder.path(), &router(1)).unwrap();
        tables.meta.insert("format", bad).unwrap();
        drop(tables);
        assert!(matches!(refusal(folder.path()).0, OpenError::Damaged { .. }), "{bad:?}");
    }

    let folder = tempfile::tempdir().unwrap();
    let tables = Tables::open(folder.path(), &router(1)).unwrap();
    tables.meta.remove("format").unwrap();
    drop(tables);
    assert!(matches!(refusal(folder.path()).0, OpenError::Damaged { .. }));

    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert!(matches!(refusal(&file.join("store")).0, OpenError::Io { .. }));
}

#[test]
fn a_row_that_makes_no_sense_is_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Embedded::open(folder.path(), router(1)).unwrap();
    let tables = store.tables.as_ref().unwrap();
    for key in [&[0][..], &[0, 0, 0, 0], &[0, 0, 0, 0, 0xff], &[0xff; 300]] {
        tables.online.insert(key, []).unwrap();
    }
    tables.last_seen.insert([0, 0, b'x'], [1, 2, 3]).unwrap();
    store.put_seen(&[row(&user("a"), 1, true)]).unwrap();
    assert_eq!(journal(&mut store, 0), [(user("a"), 1)]);
    assert_eq!(store.get_seen(&[user("x")]).unwrap(), [LastSeen::Never]);
    store.put_seen(&[row(&user("x"), 1, false)]).unwrap();
    assert_eq!(store.get_seen(&[user("x")]).unwrap(), [LastSeen::At(1)]);
}
