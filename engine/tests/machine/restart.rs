//! The store: what is written, what is read, and who was online when the server went down.

use std::collections::BTreeMap;

use engine::limits::Limits;
use schema::{CloseReason, Command, LastSeen, Reply, Status};

use crate::net::*;

fn rows(users: &[(&str, u64, bool)]) -> BTreeMap<schema::Key, (u64, bool)> {
    users.iter().map(|&(user, seen, online)| (key(user), (seen, online))).collect()
}

#[test]
fn the_first_output_asks_for_the_journal() {
    let mut net = Net::new(1, Limits::default());
    assert!(!net.machines[0].is_restored());
    let first = net.machines[0].poll();
    let asked = engine::machine::StoreRequest::Journal { request: 1, after: None };
    assert_eq!(format!("{first:?}"), format!("Some(Store({asked:?}))"));
}

#[test]
fn who_was_online_is_in_restart_grace() {
    let stored = rows(&[("alice", WALL - 9_000, true), ("bob", WALL - 8_000, true), ("carol", 5, false)]);
    let mut net = Net::with_rows(2, Limits::default(), stored);
    net.run();
    assert_eq!(net.online(), 2);
    assert_eq!(net.presence("alice").last_seen, LastSeen::At(WALL - 9_000));
    net.pass(59_000);
    net.open("bob");
    net.pass(1_000);
    assert_eq!(net.presence("alice").status, Status::Offline);
    assert_eq!(net.presence("bob").status, Status::Online);
    assert_eq!(net.presence("carol").status, Status::Offline);
    // Nobody came online: both were all the time.
    assert_eq!(net.events(), (0, 1));
    net.pass(10_000);
    assert_eq!(net.rows[&key("alice")], (WALL - 9_000, false));
    assert!(net.rows[&key("bob")].1);
}

#[test]
fn a_large_journal_is_read_and_expires_in_parts() {
    let stored = (0..20_000).map(|n| (key(&format!("user-{n}")), (WALL, true))).collect();
    let mut net = Net::with_rows(1, Limits::default(), stored);
    net.run();
    assert_eq!(net.online(), 20_000);
    net.burst = 0;
    net.pass(60_000);
    assert_eq!(net.online(), 0);
    net.pass(6_000);
    assert!(net.rows.values().all(|row| !row.1));
    assert!(net.burst <= 10);
    net.assert_idle();
}

#[test]
fn a_failed_journal_is_read_again() {
    let mut net = Net::with_rows(1, Limits::default(), rows(&[("alice", WALL, true)]));
    net.store = StoreMode::Fails;
    net.run();
    net.pass(10_000);
    assert!(!net.machines[0].is_restored());
    net.store = StoreMode::Answers;
    net.pass(5_000);
    assert!(net.machines[0].is_restored());
    assert_eq!(net.online(), 1);
}

#[test]
fn before_the_journal_is_read_nobody_is_said_to_be_offline() {
    for mode in [StoreMode::Waits, StoreMode::JournalWaits] {
        nobody_is_said_to_be_offline(mode);
    }
}

fn nobody_is_said_to_be_offline(mode: StoreMode) {
    let mut net = Net::with_rows(1, Limits::default(), rows(&[("alice", WALL, true)]));
    net.store = mode;
    net.run();
    let asker = net.open("asker");
    net.ask(asker, Command::Watch { users: vec![id("alice")] });
    let tag = net.say(asker, Command::Query { users: vec![id("alice"), id("asker")] });
    net.pass(1_999);
    assert_eq!(net.reply(asker, tag), None);
    net.pass(1);
    let Some(Ok(Reply::Presence(rows))) = net.reply(asker, tag) else { panic!() };
    assert_eq!((rows[0].status, rows[1].status), (Status::Unknown, Status::Online));
    assert_eq!(net.seen_by(asker, "alice").0.unwrap().status, Status::Unknown);
    net.store_goes_on(StoreMode::Answers);
    net.pass(1_000);
    assert_eq!(net.seen_by(asker, "alice").0.unwrap().status, Status::Online);
}

#[test]
fn rows_are_written_once_an_interval() {
    let mut net = Net::new(1, Limits::default());
    let session = net.open("alice");
    for _ in 0..50 {
        net.pass(100);
        net.ask(session, Command::Activity);
    }
    let written: Vec<_> = net.written.iter().map(|row| (row.last_seen, row.online)).collect();
    assert_eq!(written, [(WALL + 4_900, true)], "one row, five seconds after the first change");
    net.close(session, CloseReason::Lost);
    net.pass(15_000);
    assert!(!net.written.last().unwrap().online);
    assert_eq!(net.machines[0].unwritten(), 0);
}

#[test]
fn many_rows_go_in_batches() {
    let mut net = Net::new(1, Limits { store_requests: 2, ..Limits::default() });
    net.run();
    net.store = StoreMode::Waits;
    for n in 0..3_500 {
        let input = engine::machine::Input::Open(Box::new(net.opening(&format!("user-{n}"))));
        net.machines[0].handle(net.now, input);
    }
    net.run();
    net.pass(5_000);
    assert_eq!(net.machines[0].census().asked, 2, "no more than allowed");
    net.store_goes_on(StoreMode::Answers);
    assert_eq!(net.written.len(), 3_500);
}

#[test]
fn what_changes_while_it_is_under_way_is_written_again() {
    let mut net = Net::new(1, Limits::default());
    net.run();
    net.store = StoreMode::Waits;
    let session = net.open("alice");
    net.pass(5_000);
    net.close(session, CloseReason::Lost);
    net.pass(6_000);
    net.store_goes_on(StoreMode::Answers);
    assert_eq!(net.rows[&key("alice")], (WALL, true));
    net.pass(5_000);
    assert_eq!(net.rows[&key("alice")], (WALL + 5_000, false));
}

#[test]
fn what_fails_is_written_later_and_a_newer_row_wins() {
    let mut net = Net::new(1, Limits::default());
    net.run();
    net.store = StoreMode::Waits;
    let session = net.open("alice");
    net.pass(5_000);
    assert_eq!(net.machines[0].unwritten(), 1);
    // It changes while it is under way, and the write fails.
    net.close(session, CloseReason::Lost);
    net.pass(5_000);
    assert_eq!(net.machines[0].census().asked, 1, "one row is under way at most once");
    net.store_goes_on(StoreMode::Fails);
    net.store = StoreMode::Answers;
    net.pass(20_000);
    assert_eq!(net.rows[&key("alice")], (WALL + 5_000, false));
    net.assert_idle();
}

#[test]
fn a_store_that_fails_for_long_stops_nothing() {
    let mut net = Net::new(1, Limits::default());
    net.run();
    net.store = StoreMode::Fails;
    for n in 0..100 {
        let session = net.open(&format!("user-{n}"));
        net.close(session, CloseReason::Lost);
    }
    net.pass(60_000);
    assert_eq!(net.machines[0].unwritten(), 100);
    assert!(net.machines[0].counters().store_failures < 30, "it is asked less and less often");
    assert_eq!(net.online(), 0);
    net.store = StoreMode::Answers;
    net.pass(6_000);
    assert_eq!(net.rows.len(), 100);
    assert!(net.rows.values().all(|row| *row == (WALL, false)));
    net.assert_idle();
}

#[test]
fn last_seen_of_the_absent_comes_from_the_store_in_batches() {
    let stored = (0..5_000).map(|n| (key(&format!("user-{n}")), (1_000 + n, false))).collect();
    let mut net = Net::with_rows(2, Limits::default(), stored);
    net.run();
    let asker = net.open("asker");
    net.pass(10);
    let names = (0..5_000).map(|n| id(&format!("user-{n}"))).chain([id("stranger"), id("user-7")]);
    let asked = net.ask(asker, Command::Query { users: names.clone().collect() });
    let Some(Ok(Reply::Presence(rows))) = asked else { panic!("{asked:?}") };
    assert!(rows.iter().map(|row| &row.user).eq(names.collect::<Vec<_>>().iter()), "in the order asked");
    for (n, row) in rows[..5_000].iter().enumerate() {
        assert_eq!((row.status, row.last_seen), (Status::Offline, LastSeen::At(1_000 + n as u64)));
    }
    assert_eq!(rows[5_000].last_seen, LastSeen::Never);
    assert_eq!(rows[5_001].last_seen, LastSeen::At(1_007));
}

#[test]
fn what_is_not_read_in_time_is_unknown_not_offline() {
    for mode in [StoreMode::Waits, StoreMode::Fails] {
        let mut net = Net::new(2, Limits::default());
        net.run();
        net.store = mode;
        let asker = net.open_at(0, "asker");
        let users = (0..10).map(|n| id(&format!("user-{n}"))).chain([id("asker")]).collect();
        let tag = net.say(asker, Command::Query { users });
        net.pass(2_000);
        let Some(Ok(Reply::Presence(rows))) = net.reply(asker, tag) else { panic!("{mode:?}") };
        assert!(rows[..10].iter().all(|row| row.status == Status::Unknown));
        assert_eq!(rows[10].status, Status::Online, "who is known is told");
        net.store_goes_on(StoreMode::Answers);
    }
}
