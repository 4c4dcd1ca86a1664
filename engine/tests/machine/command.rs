//! Queries, counts, lists, sends, disconnects: answers over shards, permissions, refusals.

use engine::limits::Limits;
use schema::{Actor, CloseReason, Command, Event, Realm, Refusal, Reply, SessionAddr, SessionRef, Status};

use crate::net::*;

fn send(to: &str, text: &str, except_self: bool) -> Command {
    Command::Send { to: id(to), payload: payload(text), except_self }
}

#[test]
fn a_query_is_answered_in_the_order_asked_with_duplicates() {
    for shards in [1, 2, 5] {
        let mut net = Net::new(shards, Limits::default());
        for n in (0..50).step_by(2) {
            net.open(&format!("user-{n}"));
        }
        let asker = net.open("asker");
        let names: Vec<String> = (0..50).chain(0..50).rev().map(|n| format!("user-{n}")).collect();
        let users = names.iter().map(|name| id(name)).collect();
        let Some(Ok(Reply::Presence(rows))) = net.ask(asker, Command::Query { users }) else { panic!() };
        assert_eq!(rows.len(), names.len());
        for (row, name) in rows.iter().zip(&names) {
            assert_eq!(row.user, id(name));
            let even = name.trim_start_matches("user-").parse::<u32>().unwrap() % 2 == 0;
            assert_eq!(row.status == Status::Online, even);
        }
    }
}

#[test]
fn too_many_ids_are_refused() {
    let mut net = Net::new(1, Limits { query_ids: 10, ..Limits::default() });
    let asker = net.open("asker");
    let users = |n: u32| (0..n).map(|n| id(&format!("user-{n}"))).collect::<Vec<_>>();
    assert!(net.ask(asker, Command::Query { users: users(10) }).unwrap().is_ok());
    for command in [
        Command::Query { users: users(11) },
        Command::Watch { users: users(11) },
        Command::Unwatch { users: users(11) },
    ] {
        assert_eq!(net.ask(asker, command), Some(Err(Refusal::TooMany)));
    }
    assert_eq!(net.ask(asker, Command::Query { users: vec![] }), Some(Ok(Reply::Presence(vec![]))));
}

#[test]
fn a_shard_that_does_not_answer_leaves_its_users_unknown() {
    let mut net = Net::new(2, Limits::default());
    let (near, far) = (net.user_of(0, 1), net.user_of(1, 1));
    net.open(&near);
    net.open(&far);
    let asker = net.open_at(0, "asker");
    net.pass(10);
    net.mail_mode = Mail::Held;
    let users = vec![id(&far), id(&near)];
    let tag = net.say(asker, Command::Query { users });
    let count = net.say(asker, Command::Count);
    net.pass(1_999);
    assert_eq!(net.reply(asker, tag), None);
    net.pass(1);
    let Some(Ok(Reply::Presence(rows))) = net.reply(asker, tag) else { panic!() };
    assert_eq!(rows.iter().map(|row| row.status).collect::<Vec<_>>(), [Status::Unknown, Status::Online]);
    assert_eq!(net.reply(asker, count), Some(Err(Refusal::Timeout)));
    // What comes too late is dropped.
    net.mail_mode = Mail::InOrder;
    net.pass(10);
    assert!(net.reply(asker, tag).is_some());
    assert_eq!(net.machines[0].census().gathers, 0);
}

#[test]
fn without_room_a_command_is_refused_and_without_places_too() {
    let mut net = Net::new(2, Limits { gathers: 2, ..Limits::default() });
    let asker = net.open_at(0, "asker");
    net.pass(10);
    net.room = 0;
    net.turn();
    assert_eq!(net.ask(asker, Command::Count), Some(Err(Refusal::Busy)));
    net.room = 1;
    net.turn();
    let tags = [net.say(asker, Command::Count), net.say(asker, Command::Count)];
    net.run();
    assert_eq!(net.reply(asker, tags[1]), Some(Err(Refusal::Busy)), "its own send took the room");
    net.room = 100;
    net.turn();
    let tags: Vec<u64> = (0..3).map(|_| net.say(asker, Command::Count)).collect();
    net.run();
    assert_eq!(net.reply(asker, tags[2]), Some(Err(Refusal::Busy)), "two may wait");
    assert!(net.reply(asker, tags[1]).unwrap().is_ok());
}

#[test]
fn count_and_list_over_all_shards() {
    for shards in [1, 4] {
        let mut net = Net::new(shards, Limits::default());
        for n in 0..40 {
            net.open(&format!("user-{n:02}"));
            net.pass(if n % 4 == 3 { 1_000 } else { 0 });
        }
        let asker = net.open_service(0);
        assert_eq!(net.ask(asker, Command::Count), Some(Ok(Reply::Count(40))));
        let Some(Ok(Reply::Users(rows))) = net.ask(asker, Command::List { limit: 6 }) else { panic!() };
        let names: Vec<String> = rows.iter().map(|row| row.user.to_string()).collect();
        assert_eq!(names, ["user-36", "user-37", "user-38", "user-39", "user-32", "user-33"]);
        let Some(Ok(Reply::Users(rows))) = net.ask(asker, Command::List { limit: u32::MAX }) else {
            panic!()
        };
        assert_eq!(rows.len(), 40);
    }
}

#[test]
fn activity_moves_a_user_to_the_front_of_the_list() {
    let mut net = Net::new(2, Limits::default());
    let sessions: Vec<_> = (0..5).map(|n| net.open_at(0, &format!("user-{n}"))).collect();
    for n in [3, 1, 4] {
        net.pass(1_000);
        net.ask(sessions[n], Command::Activity);
    }
    let Some(Ok(Reply::Users(rows))) = net.ask(sessions[0], Command::List { limit: 10 }) else { panic!() };
    let names: Vec<String> = rows.iter().map(|row| row.user.to_string()).collect();
    assert_eq!(names, ["user-4", "user-1", "user-3", "user-0", "user-2"]);
}

#[test]
fn a_send_reaches_all_devices_but_the_sender_if_wanted() {
    for shards in [1, 3] {
        let mut net = Net::new(shards, Limits::default());
        let devices: Vec<_> = (0..4).map(|n| net.open_at(n % usize::from(shards), "alice")).collect();
        let bob = net.open("bob");
        net.pass(10);
        assert_eq!(net.ask(bob, send("alice", "a", true)), Some(Ok(Reply::Reached(4))));
        assert_eq!(net.ask(devices[1], send("alice", "b", true)), Some(Ok(Reply::Reached(3))));
        assert_eq!(net.ask(devices[1], send("alice", "c", false)), Some(Ok(Reply::Reached(4))));
        assert_eq!(net.ask(bob, send("nobody", "d", false)), Some(Ok(Reply::Reached(0))));
        assert_eq!(net.payloads(devices[1]), ["a", "c"]);
        assert_eq!(net.payloads(devices[3]), ["a", "b", "c"]);
        let from = net.told[&devices[0]].iter().find_map(|event| match event {
            Event::Message { from, .. } => Some(from.to_string()),
            _ => None,
        });
        assert_eq!(from.as_deref(), Some("bob"));
    }
}

#[test]
fn a_send_without_room_at_one_host_is_given_to_nobody() {
    let mut net = Net::new(2, Limits::default());
    let home = net.home("alice");
    let (near, far) = (net.open_at(home, "alice"), net.open_at(1 - home, "alice"));
    let bob = net.open_at(home, "bob");
    net.pass(10);
    net.room = 0;
    net.turn();
    assert_eq!(net.ask(bob, send("alice", "a", false)), Some(Err(Refusal::Busy)));
    assert!(net.payloads(near).is_empty() && net.payloads(far).is_empty());
}

#[test]
fn payloads_are_bounded() {
    let mut net = Net::new(1, Limits { payload: 5, ..Limits::default() });
    let bob = net.open("bob");
    assert_eq!(net.ask(bob, send("bob", "12345", false)), Some(Ok(Reply::Reached(1))));
    assert_eq!(net.ask(bob, send("bob", "123456", false)), Some(Err(Refusal::TooLarge)));
    let publish = Command::Publish { channel: id("c"), payload: payload("123456"), except_self: false };
    assert_eq!(net.ask(bob, publish), Some(Err(Refusal::TooLarge)));
}

#[test]
fn what_users_may_not_services_may() {
    for shards in [1, 2] {
        let mut net = Net::new(shards, Limits::default());
        let alice = net.open("alice");
        let (mallory, service) = (net.open("mallory"), net.open_service(0));
        net.pass(10);
        let forbidden = || {
            [
                Command::Sessions { user: id("alice") },
                Command::DisconnectUser { user: id("alice") },
                Command::DisconnectSession { session: alice },
                Command::Tap { on: true },
            ]
        };
        for command in forbidden() {
            assert_eq!(net.ask(mallory, command), Some(Err(Refusal::Forbidden)));
        }
        assert_eq!(net.closed, []);
        for command in [
            Command::Query { users: vec![id("alice")] },
            Command::Count,
            Command::List { limit: 5 },
            Command::Watch { users: vec![id("alice")] },
            Command::Sessions { user: id("mallory") },
        ] {
            assert!(net.ask(mallory, command.clone()).unwrap().is_ok(), "{command:?}");
        }
        for command in [
            Command::Sessions { user: id("alice") },
            Command::Tap { on: true },
            Command::DisconnectSession { session: alice },
            Command::DisconnectUser { user: id("mallory") },
        ] {
            assert!(net.ask(service, command.clone()).unwrap().is_ok(), "{command:?}");
        }
        assert_eq!(net.closed, [(alice, CloseReason::Kicked), (mallory, CloseReason::Kicked)]);
    }
}

#[test]
fn own_sessions_may_be_ended() {
    let mut net = Net::new(2, Limits::default());
    let (first, second) = (net.open_at(0, "alice"), net.open_at(1, "alice"));
    net.pass(10);
    let disconnect = |session| Command::DisconnectSession { session };
    assert_eq!(net.ask(first, disconnect(second)), Some(Ok(Reply::Reached(1))));
    assert_eq!(net.closed, [(second, CloseReason::Kicked)]);
    assert_eq!(net.ask(first, disconnect(second)), Some(Err(Refusal::NotFound)));
    let stranger = SessionAddr { incarnation: 6, ..second };
    assert_eq!(net.ask(first, disconnect(stranger)), Some(Err(Refusal::NotFound)));
    let nowhere = SessionAddr { shard: schema::ShardId(9), ..second };
    assert_eq!(net.ask(first, disconnect(nowhere)), Some(Err(Refusal::NotFound)));
    let beyond = SessionAddr { session: SessionRef { slot: u32::MAX, generation: 1 }, ..first };
    assert_eq!(net.ask(first, disconnect(beyond)), Some(Err(Refusal::NotFound)));
}

#[test]
fn a_user_is_disconnected_everywhere() {
    let mut net = Net::new(3, Limits::default());
    let sessions: Vec<_> = (0..6).map(|n| net.open_at(n % 3, "alice")).collect();
    let service = net.open_service(1);
    net.pass(10);
    let reply = net.ask(service, Command::DisconnectUser { user: id("alice") });
    assert_eq!(reply, Some(Ok(Reply::Reached(6))));
    let mut closed: Vec<_> = net.closed.iter().map(|(session, _)| *session).collect();
    closed.sort();
    let mut expected = sessions.clone();
    expected.sort();
    assert_eq!(closed, expected);
    net.pass(5_000);
    assert_eq!(net.presence("alice").status, Status::Offline);
}

#[test]
fn realms_do_not_see_each_other() {
    let mut net = Net::new(2, Limits::default());
    let ours = net.open("alice");
    let mut open = net.opening("admin");
    open.actor = Actor { key: schema::Key::new(Realm(1), id("admin")), service: true };
    let theirs = net.try_open(usize::from(ours.shard.0), open).unwrap();
    net.pass(10);
    net.ask(theirs, Command::Tap { on: true });
    net.open("bob");
    assert_eq!(net.ask(theirs, Command::Count), Some(Ok(Reply::Count(0))));
    let Some(Ok(Reply::Presence(rows))) = net.ask(theirs, Command::Query { users: vec![id("alice")] }) else {
        panic!()
    };
    assert_eq!(rows[0].status, Status::Offline);
    assert_eq!(net.ask(theirs, send("alice", "a", false)), Some(Ok(Reply::Reached(0))));
    let kick = Command::DisconnectSession { session: ours };
    assert_eq!(net.ask(theirs, kick), Some(Err(Refusal::NotFound)));
    assert!(!net.told[&theirs].iter().any(|event| matches!(event, Event::Tap(_))));
}

#[test]
fn the_front_door_asks_once() {
    let mut net = Net::new(2, Limits::default());
    net.open("alice");
    net.pass(10);
    let user = || Some(Actor { key: key("bob"), service: false });
    assert_eq!(net.front(0, user(), Command::Count), Ok(Reply::Count(1)));
    assert_eq!(net.front(1, user(), Command::Count), Ok(Reply::Count(1)));
    assert_eq!(net.front(1, user(), send("alice", "a", true)), Ok(Reply::Reached(1)));
    // Who names nobody may count, and nothing else.
    assert_eq!(net.front(0, None, Command::Count), Ok(Reply::Count(1)));
    let query = Command::Query { users: vec![id("alice")] };
    assert_eq!(net.front(0, None, query), Err(Refusal::Forbidden));
    for command in [
        Command::Watch { users: vec![] },
        Command::Unwatch { users: vec![] },
        Command::Subscribe { channel: id("c") },
        Command::Unsubscribe { channel: id("c") },
        Command::Tap { on: true },
    ] {
        assert_eq!(net.front(0, user(), command), Err(Refusal::Unsupported));
    }
}

#[test]
fn taps_are_heard_on_every_shard() {
    let mut net = Net::new(3, Limits::default());
    let listener = net.open_service(0);
    assert_eq!(net.ask(listener, Command::Tap { on: true }), Some(Ok(Reply::Done)));
    net.pass(10);
    let sessions: Vec<_> = (0..3).map(|n| net.open_at(n, &format!("user-{n}"))).collect();
    for &session in &sessions {
        net.close(session, CloseReason::Lost);
    }
    let heard = net.told[&listener].iter().filter(|event| matches!(event, Event::Tap(_))).count();
    assert_eq!(heard, 6);
    net.ask(listener, Command::Tap { on: false });
    net.pass(10);
    net.open("late");
    let heard = net.told[&listener].iter().filter(|event| matches!(event, Event::Tap(_))).count();
    assert_eq!(heard, 6);
    net.room = 0;
    net.ask(listener, Command::Tap { on: true });
    net.room = 10;
    net.pass(10);
    net.close(listener, CloseReason::Lost);
    net.assert_idle();
}

#[test]
fn a_tap_without_room_leaves_a_gap_in_the_numbers() {
    let mut net = Net::new(2, Limits::default());
    let listener = net.open_service(0);
    net.ask(listener, Command::Tap { on: true });
    net.pass(10);
    let user = net.user_of(1, 0);
    let mut sessions = vec![net.open_at(1, &user)];
    net.room = 0;
    net.turn();
    sessions.push(net.open_at(1, &user));
    net.room = 10;
    net.turn();
    sessions.push(net.open_at(1, &user));
    let numbers: Vec<u64> = net.told[&listener]
        .iter()
        .filter_map(|event| match event {
            Event::Tap(tap) => Some(tap.seq),
            _ => None,
        })
        .collect();
    assert_eq!(numbers, [1, 3]);
    assert_eq!(net.machines[1].counters().taps_dropped, 1);
}
