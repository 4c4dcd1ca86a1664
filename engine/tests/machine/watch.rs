//! Watching users.

use engine::limits::Limits;
use schema::{CloseReason, Command, LastSeen, Refusal, Reply, Status};

use crate::net::*;

fn watch(net: &mut Net, session: schema::SessionAddr, users: &[&str]) {
    let users = users.iter().map(|user| id(user)).collect();
    assert_eq!(net.ask(session, Command::Watch { users }), Some(Ok(Reply::Done)));
}

/// One shard, or a watcher whose watched users live elsewhere.
fn on_one_and_on_two(test: impl Fn(Net, usize)) {
    test(Net::new(1, Limits::default()), 0);
    let net = Net::new(2, Limits::default());
    let elsewhere = 1 - net.home("alice");
    test(net, elsewhere);
}

#[test]
fn the_first_state_comes_at_once() {
    on_one_and_on_two(|mut net, host| {
        net.open("alice");
        let watcher = net.open_at(host, "watcher");
        watch(&mut net, watcher, &["alice"]);
        let (state, frames) = net.seen_by(watcher, "alice");
        assert_eq!(state.map(|s| (s.status, s.last_seen)), Some((Status::Online, LastSeen::At(WALL))));
        assert_eq!(frames, 1);
        // And so it does for one more user, although a frame has just gone out.
        watch(&mut net, watcher, &["bob"]);
        assert_eq!(net.seen_by(watcher, "bob").0.map(|s| s.last_seen), Some(LastSeen::Never));
    });
}

#[test]
fn changes_are_told_at_most_once_in_a_window_and_only_the_latest() {
    on_one_and_on_two(|mut net, host| {
        let watcher = net.open_at(host, "watcher");
        let names: Vec<String> = (0..20).map(|n| format!("user-{n}")).collect();
        let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
        all.push("alice");
        watch(&mut net, watcher, &all);
        net.pass(1_000);
        let before = net.seen_by(watcher, "alice").1;
        for name in &names {
            net.open(name);
            net.pass(20);
        }
        net.pass(100);
        let frames = net.seen_by(watcher, "alice").1 - before;
        assert!((4..=6).contains(&frames), "{frames} frames in 0.4 seconds");
        for name in &names {
            assert_eq!(net.seen_by(watcher, name).0.unwrap().status, Status::Online);
        }
    });
}

#[test]
fn a_state_that_comes_and_goes_within_the_window_is_told_once() {
    let mut net = Net::new(1, Limits { grace: 0, ..Limits::default() });
    let watcher = net.open("watcher");
    watch(&mut net, watcher, &["alice"]);
    for _ in 0..10 {
        let session = net.open("alice");
        net.close(session, CloseReason::Lost);
    }
    let (_, frames) = net.seen_by(watcher, "alice");
    net.pass(1_000);
    assert!(net.seen_by(watcher, "alice").1 <= frames + 1);
    assert_eq!(net.seen_by(watcher, "alice").0.unwrap().status, Status::Offline);
}

#[test]
fn online_and_offline_are_told() {
    on_one_and_on_two(|mut net, host| {
        let watcher = net.open_at(host, "watcher");
        watch(&mut net, watcher, &["alice"]);
        let alice = net.open("alice");
        net.pass(100);
        assert_eq!(net.seen_by(watcher, "alice").0.unwrap().status, Status::Online);
        net.pass(30_000);
        net.close(alice, CloseReason::ClientClosed);
        net.pass(4_999);
        assert_eq!(net.seen_by(watcher, "alice").0.unwrap().status, Status::Online);
        net.pass(101);
        let told = net.seen_by(watcher, "alice").0.unwrap();
        assert_eq!((told.status, told.last_seen), (Status::Offline, LastSeen::At(WALL + 30_100)));
    });
}

#[test]
fn grace_is_no_news() {
    let limits = Limits { away_after: 1_000, ..Limits::default() };
    let mut net = Net::new(1, limits);
    let (alice, watcher) = (net.open("alice"), net.open("watcher"));
    watch(&mut net, watcher, &["alice"]);
    net.pass(1_200);
    let (state, frames) = net.seen_by(watcher, "alice");
    assert_eq!((state.unwrap().status, frames), (Status::Away, 2));
    net.close(alice, CloseReason::Lost);
    net.pass(1_000);
    assert_eq!(net.presence("alice").status, Status::Away);
    assert_eq!(net.seen_by(watcher, "alice").1, 2);
    net.open("alice");
    net.pass(100);
    let (state, frames) = net.seen_by(watcher, "alice");
    assert_eq!((state.unwrap().status, frames), (Status::Online, 3));
}

#[test]
fn activity_alone_is_no_news() {
    let mut net = Net::new(1, Limits::default());
    let alice = net.open("alice");
    let watcher = net.open("watcher");
    watch(&mut net, watcher, &["alice"]);
    for _ in 0..10 {
        net.pass(1_000);
        net.ask(alice, Command::Activity);
    }
    assert_eq!(net.seen_by(watcher, "alice").1, 1);
}

#[test]
fn what_is_not_read_in_time_is_corrected_when_it_comes() {
    on_one_and_on_two(|mut net, host| {
        net.rows.insert(key("alice"), (77_000, false));
        net.run();
        net.store = StoreMode::Waits;
        let watcher = net.open_at(host, "watcher");
        watch(&mut net, watcher, &["alice"]);
        assert_eq!(net.seen_by(watcher, "alice").0, None);
        net.pass(100);
        let told = net.seen_by(watcher, "alice").0.unwrap();
        assert_eq!((told.status, told.last_seen), (Status::Offline, LastSeen::Unknown));
        net.store_goes_on(StoreMode::Fails);
        net.store = StoreMode::Answers;
        net.pass(1_000);
        let told = net.seen_by(watcher, "alice").0.unwrap();
        assert_eq!((told.status, told.last_seen), (Status::Offline, LastSeen::At(77_000)));
    });
}

#[test]
fn unwatched_is_untold_and_forgotten() {
    on_one_and_on_two(|mut net, host| {
        let watcher = net.open_at(host, "watcher");
        watch(&mut net, watcher, &["alice", "bob", "carol"]);
        watch(&mut net, watcher, &["alice", "alice"]);
        let users = vec![id("alice"), id("carol"), id("nobody")];
        assert_eq!(net.ask(watcher, Command::Unwatch { users }), Some(Ok(Reply::Done)));
        let before = net.seen_by(watcher, "alice").1;
        net.open("alice");
        net.open("carol");
        net.pass(1_000);
        assert_eq!(net.seen_by(watcher, "alice").1, before);
        net.open("bob");
        net.pass(1_000);
        assert_eq!(net.seen_by(watcher, "bob").0.unwrap().status, Status::Online);
        net.close(watcher, CloseReason::Lost);
        net.pass(1_000);
        assert!(net.machines.iter().all(|machine| machine.census().watched == 0));
    });
}

#[test]
fn the_list_is_bounded_and_a_refused_watch_does_nothing() {
    let mut net = Net::new(1, Limits { watch_list: 3, ..Limits::default() });
    let watcher = net.open("watcher");
    watch(&mut net, watcher, &["a", "b"]);
    let users = ["b", "c", "d"].map(id).to_vec();
    assert_eq!(net.ask(watcher, Command::Watch { users }), Some(Err(Refusal::LimitReached)));
    assert_eq!(net.machines[0].census().watched, 2);
    watch(&mut net, watcher, &["a", "b", "c", "c"]);
    assert_eq!(net.machines[0].census().watched, 3);
}

#[test]
fn a_famous_user_is_told_to_many_over_several_turns() {
    let mut net = Net::new(1, Limits { commands_burst: 10, silence: 0, ..Limits::default() });
    let watchers: Vec<_> = (0..10_000).map(|n| net.open(&format!("w-{n}"))).collect();
    for &watcher in &watchers {
        watch(&mut net, watcher, &["alice"]);
    }
    net.pass(1_000);
    net.burst = 0;
    net.open("alice");
    net.pass(1_000);
    assert!(net.burst <= 2 * 4_096, "{} outputs in one call", net.burst);
    for &watcher in &watchers {
        let (state, frames) = net.seen_by(watcher, "alice");
        assert_eq!((state.unwrap().status, frames), (Status::Online, 2));
    }
    // Watchers that leave while the news is on its way do not keep it from the others.
    let session = net.open("alice");
    net.close(session, CloseReason::Lost);
    for &watcher in watchers.iter().step_by(3) {
        let input = engine::machine::Input::Closed { session: watcher.session, reason: CloseReason::Lost };
        net.machines[0].handle(net.now, input);
    }
    net.pass(1_000);
}

#[test]
fn interest_comes_and_goes_in_any_order() {
    for luck in 0..100 {
        let mut net = Net::new(2, Limits::default());
        let host = 1 - net.home("alice");
        let watcher = net.open_at(host, "watcher");
        net.mail_mode = Mail::Shuffled(luck);
        for round in 0..6 {
            watch(&mut net, watcher, &["alice"]);
            if round < 5 {
                net.ask(watcher, Command::Unwatch { users: vec![id("alice")] });
            }
        }
        let session = net.open("alice");
        net.pass(500);
        net.close(session, CloseReason::Lost);
        net.pass(10_000);
        assert_eq!(net.seen_by(watcher, "alice").0.unwrap().status, Status::Offline, "luck {luck}");
        net.open("alice");
        net.pass(500);
        assert_eq!(net.seen_by(watcher, "alice").0.unwrap().status, Status::Online, "luck {luck}");
    }
}

#[test]
fn news_that_comes_late_is_no_news() {
    for luck in 0..50 {
        let mut net = Net::new(2, Limits { grace: 10, ..Limits::default() });
        let watcher = net.open_at(1 - net.home("alice"), "watcher");
        watch(&mut net, watcher, &["alice"]);
        net.mail_mode = Mail::Held;
        for _ in 0..3 {
            let session = net.open("alice");
            net.pass(10);
            net.close(session, CloseReason::Lost);
            net.pass(10);
        }
        net.mail_mode = Mail::Shuffled(luck);
        net.pass(1_000);
        assert_eq!(net.seen_by(watcher, "alice").0.unwrap().status, Status::Offline, "luck {luck}");
    }
}

#[test]
fn a_peer_without_room_hears_the_latest_when_it_has() {
    let mut net = Net::new(2, Limits { grace: 100, ..Limits::default() });
    let watcher = net.open_at(1 - net.home("alice"), "watcher");
    watch(&mut net, watcher, &["alice"]);
    net.room = 0;
    for _ in 0..20 {
        let session = net.open("alice");
        net.pass(50);
        net.close(session, CloseReason::Lost);
        net.pass(200);
    }
    net.open("alice");
    assert_eq!(net.machines[net.home("alice")].census().untold, 1, "one note, whatever has happened");
    let before = net.seen_by(watcher, "alice").1;
    net.room = 1;
    net.pass(200);
    assert_eq!(net.seen_by(watcher, "alice").0.unwrap().status, Status::Online);
    assert!(net.seen_by(watcher, "alice").1 <= before + 1);
}
