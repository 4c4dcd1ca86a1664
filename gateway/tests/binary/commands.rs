//! What services and users say to a node over the binary protocol, beside WebSockets that see the same presence.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use client::Error;
use client::blocking::{Client, Event};
use schema::frame::ServerFrame;
use schema::{CloseReason, Command, Id, LastSeen, Refusal, Reply, SessionAddr, SessionRef, ShardId, Status};
use serde_json::json;

use crate::support::wire::{Binary, connect_frame};
use crate::support::{Node, PATIENCE, eventually, on_both};

on_both!(
    a_service_sees_a_user_come_and_go_once,
    a_return_within_the_grace_is_no_news,
    queries_answer_in_the_order_asked,
    sessions_say_where_from_and_on_what,
    payloads_reach_every_session_of_a_user,
    channels_reach_their_subscribers,
    services_and_owners_disconnect,
    taps_tell_of_every_session,
    users_may_do_less_than_services,
    a_client_that_was_kicked_stays_away,
);

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn ids(texts: &[&str]) -> Vec<Id> {
    texts.iter().map(|text| id(text)).collect()
}

/// The next presence event of a client: who, and how.
#[track_caller]
fn presence(client: &mut Client) -> Vec<(String, Status)> {
    loop {
        match client.next_event(PATIENCE).unwrap() {
            Some(Event::Presence(rows)) => {
                return rows.into_iter().map(|row| (row.user.to_string(), row.status)).collect();
            }
            Some(Event::Connected(_)) => {}
            other => panic!("no presence but {other:?}"),
        }
    }
}

/// Frames until so many users have been told of; those of other shards come in a frame of their own.
fn states(client: &mut Client, users: usize) -> BTreeMap<String, Status> {
    let mut seen = BTreeMap::new();
    while seen.len() < users {
        seen.extend(presence(client));
    }
    seen
}

fn a_service_sees_a_user_come_and_go_once(io: &str) {
    let node = Node::start_on(io, "presence.grace = \"1s\"");
    let mut service = node.service();
    service.watch(&ids(&["alice", "bob"])).unwrap();
    states(&mut service, 2);

    let phone = node.online("alice");
    assert_eq!(presence(&mut service), [("alice".into(), Status::Online)]);
    // A second device, over the other listener, is no news; nor is that the first one leaves.
    let laptop = Binary::connect(&node, &node.token("alice"));
    phone.leave();
    let mut bob = node.online("bob");
    assert_eq!(presence(&mut service), [("bob".into(), Status::Online)]);
    bob.alive();

    let left = Instant::now();
    drop(laptop);
    // While the grace runs alice is online to whoever asks. The service itself is no user.
    assert_eq!(service.count().unwrap(), 2);
    assert_eq!(service.query(&ids(&["alice"])).unwrap()[0].status, Status::Online);
    assert_eq!(presence(&mut service), [("alice".into(), Status::Offline)]);
    assert!(left.elapsed() >= Duration::from_millis(900), "the grace was {:?}", left.elapsed());
    assert_eq!(service.query(&ids(&["alice"])).unwrap()[0].status, Status::Offline);
    assert_eq!(service.count().unwrap(), 1);

    service.unwatch(&ids(&["alice"])).unwrap();
    let _again = node.online("alice");
    bob.leave();
    assert_eq!(presence(&mut service), [("bob".into(), Status::Offline)], "alice is not watched any more");
}

fn a_return_within_the_grace_is_no_news(io: &str) {
    let node = Node::start_on(io, "presence.grace = \"2s\"");
    let mut service = node.service();
    service.watch(&ids(&["alice", "bob"])).unwrap();
    states(&mut service, 2);
    let (alice, bob) = (node.online("alice"), node.online("bob"));
    let seen = states(&mut service, 2);
    assert!(seen.values().all(|status| *status == Status::Online));
    // Alice goes first and comes back. Bob's grace ends after alice's would have.
    for _ in 0..5 {
        node.online("alice").leave();
    }
    alice.reset();
    let _back = Binary::connect(&node, &node.token("alice"));
    bob.leave();
    assert_eq!(presence(&mut service), [("bob".into(), Status::Offline)]);
}

fn queries_answer_in_the_order_asked(io: &str) {
    let node = Node::start_on(io, "");
    let mut service = node.service();
    let mut sockets: Vec<_> = (0..40).map(|n| node.online(&format!("user-{n:02}"))).collect();
    let asked: Vec<Id> = (0..80).rev().chain([3, 3]).map(|n| id(&format!("user-{n:02}"))).collect();
    let rows = service.query(&asked).unwrap();
    assert_eq!(rows.iter().map(|row| row.user.clone()).collect::<Vec<_>>(), asked);
    for (row, n) in rows.iter().zip((0..80).rev().chain([3, 3])) {
        let expected = if n < 40 { Status::Online } else { Status::Offline };
        assert_eq!(row.status, expected, "user-{n:02}");
        assert_eq!(row.last_seen == LastSeen::Never, n >= 40, "user-{n:02}: {:?}", row.last_seen);
    }
    assert_eq!(service.query(&[]).unwrap(), []);
    assert_eq!(service.count().unwrap(), 40);

    // A list of many, cut to what was asked for; the latest activity first.
    std::thread::sleep(Duration::from_millis(1_100));
    sockets[17].say(r#"{"type":"heartbeat","activity":true}"#);
    assert_eq!(sockets[17].json()["type"], "heartbeat_ack");
    let list = eventually("user-17 at the head of the list", || {
        Some(service.list(10).unwrap()).filter(|list| list[0].user == id("user-17"))
    });
    assert_eq!(list.len(), 10);
    assert!(list.windows(2).all(|pair| pair[0].last_seen / 1_000 >= pair[1].last_seen / 1_000));
    assert_eq!(service.list(1_000).unwrap().len(), 40);

    // 10,000 in one call of the client, which cuts them to fit; all shards answer.
    let many: Vec<Id> = (0..10_000).map(|n| id(&format!("user-{n:02}"))).collect();
    let rows = service.query(&many).unwrap();
    assert_eq!(rows.len(), 10_000);
    assert_eq!(rows.iter().filter(|row| row.status == Status::Online).count(), 40);
    assert!(rows.iter().all(|row| row.status != Status::Unknown));
}

fn sessions_say_where_from_and_on_what(io: &str) {
    let node = Node::start_on(io, "");
    let mut service = node.service();
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0";
    let mut socket = node.connect(&format!("?token={}", node.token("alice")), &[("User-Agent", agent)]);
    socket.json();
    let (binary, welcome) = Binary::welcome(&node, connect_frame(&node.token("alice")));
    let rows = service.sessions(&id("alice")).unwrap();
    assert_eq!(rows.len(), 2);
    let by_edge = |edge| rows.iter().find(|row| row.edge == edge).unwrap();
    let web = by_edge(schema::command::Edge::Presence);
    assert_eq!(web.peer, socket.0.get_ref().local_addr().unwrap());
    let words = (web.device.browser.as_str(), web.device.os.as_str(), web.device.kind.as_str());
    assert_eq!(words, ("Firefox", "Linux", "desktop"));
    let native = by_edge(schema::command::Edge::Binary);
    assert_eq!((native.session, native.peer), (welcome.session, binary.stream.local_addr().unwrap()));
    assert!(native.since.abs_diff(welcome.server_ms) < 5_000);
    assert_eq!(service.sessions(&id("nobody")).unwrap(), []);
}

fn payloads_reach_every_session_of_a_user(io: &str) {
    let node = Node::start_on(io, "");
    let mut service = node.service();
    let mut socket = node.online("alice");
    let mut binary = Binary::connect(&node, &node.token("alice"));
    assert_eq!(service.send(&id("alice"), &br#"{"n":[1,"two"]}"#[..], false).unwrap(), 2);
    let json = socket.json();
    assert_eq!(json, json!({"type": "message", "data": {"from": "service", "payload": {"n": [1, "two"]}}}));
    match binary.event() {
        ServerFrame::Message { from, payload } => {
            assert_eq!((from, &payload[..]), (id("service"), &br#"{"n":[1,"two"]}"#[..]));
        }
        other => panic!("{other:?}"),
    }
    // What is no JSON is told in base64 where the protocol is text.
    assert_eq!(service.send(&id("alice"), &[0xff, 0, 1][..], false).unwrap(), 2);
    assert_eq!(socket.json()["data"]["payloadBase64"], "/wAB");
    assert!(matches!(binary.event(), ServerFrame::Message { payload, .. } if payload[..] == [0xff, 0, 1]));

    // A user to itself, without the session that sends.
    let send = Command::Send { to: id("alice"), payload: b"1"[..].into(), except_self: true };
    assert_eq!(binary.call(send), Ok(Reply::Reached(1)));
    assert_eq!(socket.json()["data"]["payload"], 1);
    binary.alive();
    assert_eq!(service.send(&id("nobody"), &b"x"[..], false).unwrap(), 0);

    // The largest payload that fits a frame, and one byte more than may be.
    let mut wide = Binary::connect(&node, &node.service_token());
    let payload: Vec<u8> = (0..65_000).map(|n| n as u8).collect();
    let send = Command::Send { to: id("alice"), payload: payload.clone().into(), except_self: false };
    assert_eq!(wide.call(send), Ok(Reply::Reached(2)));
    assert!(matches!(binary.event(), ServerFrame::Message { payload: got, .. } if got[..] == payload));
    assert!(socket.json()["data"]["payloadBase64"].as_str().unwrap().len() > 80_000);
}

fn channels_reach_their_subscribers(io: &str) {
    let node = Node::start_on(io, "limits.channels_per_session = 3");
    let news = id("news");
    let mut service = node.service();
    let mut subscribers: Vec<Binary> =
        (0..20).map(|n| Binary::connect(&node, &node.token(&format!("reader-{n}")))).collect();
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.call(Command::Subscribe { channel: news.clone() }), Ok(Reply::Done));
        // Twice is once.
        assert_eq!(subscriber.call(Command::Subscribe { channel: news.clone() }), Ok(Reply::Done));
    }
    // A channel's home is told a moment after the subscriber's own shard has answered.
    eventually("the home counts them", || (service.occupancy(&news).unwrap() == 20).then_some(()));
    assert_eq!(service.publish(&news, &b"hello"[..], false).unwrap(), 20);
    for subscriber in &mut subscribers {
        match subscriber.event() {
            ServerFrame::Published { channel, from, payload } => {
                assert_eq!((channel, from, &payload[..]), (news.clone(), id("service"), &b"hello"[..]));
            }
            other => panic!("{other:?}"),
        }
    }
    // Order is kept, and who publishes may leave itself out.
    for n in 0..50u8 {
        let publish = Command::Publish { channel: news.clone(), payload: [n][..].into(), except_self: true };
        let (first, others) = subscribers.split_first_mut().unwrap();
        let reply = first.call(publish);
        if n < 40 {
            assert_eq!(reply, Ok(Reply::Reached(19)));
            for other in others {
                assert!(
                    matches!(other.event(), ServerFrame::Published { payload, .. } if payload[..] == [n])
                );
            }
        }
    }
    let mut last = subscribers.pop().unwrap();
    assert_eq!(last.call(Command::Unsubscribe { channel: news.clone() }), Ok(Reply::Done));
    eventually("the home counts one less", || (service.occupancy(&news).unwrap() == 19).then_some(()));
    for name in ["a", "b", "c"] {
        assert_eq!(last.call(Command::Subscribe { channel: id(name) }), Ok(Reply::Done));
    }
    let refused = last.call(Command::Subscribe { channel: id("d") }).unwrap_err();
    assert_eq!((refused.refusal(), refused.retry_after_ms), (Some(Refusal::LimitReached), None));
    drop(subscribers);
    eventually("nobody subscribed", || (service.occupancy(&news).unwrap() == 0).then_some(()));
    assert_eq!(service.publish(&news, &b"hello"[..], false).unwrap(), 0);
}

fn services_and_owners_disconnect(io: &str) {
    let node = Node::start_on(io, "");
    let mut service = node.service();
    let mut socket = node.online("alice");
    let mut binary = Binary::connect(&node, &node.token("alice"));
    let (mut other, welcome) = Binary::welcome(&node, connect_frame(&node.token("bob")));
    assert_eq!(service.disconnect_user(&id("alice")).unwrap(), 2);
    assert_eq!(socket.closed(), 4403);
    assert_eq!(binary.end().unwrap().reason, Some(CloseReason::Kicked));
    assert_eq!(service.disconnect_user(&id("alice")).unwrap(), 0);
    other.alive();
    assert_eq!(service.disconnect_session(welcome.session).unwrap(), 1);
    assert_eq!(other.end().unwrap().reason, Some(CloseReason::Kicked));
    let nowhere = SessionAddr {
        incarnation: welcome.session.incarnation,
        shard: ShardId(900),
        session: SessionRef { slot: 1, generation: 1 },
    };
    for session in [welcome.session, nowhere, SessionAddr { incarnation: 0, ..welcome.session }] {
        match service.disconnect_session(session) {
            Err(Error::Refused(refused)) => assert_eq!(refused.refusal(), Some(Refusal::NotFound)),
            other => panic!("{session:?}: {other:?}"),
        }
    }

    // A user may end its own sessions, this one included.
    let (mut first, _) = Binary::welcome(&node, connect_frame(&node.token("carol")));
    let (mut second, welcome) = Binary::welcome(&node, connect_frame(&node.token("carol")));
    assert_eq!(first.call(Command::DisconnectSession { session: welcome.session }), Ok(Reply::Reached(1)));
    assert_eq!(second.end().unwrap().reason, Some(CloseReason::Kicked));
    first.say(&schema::frame::ClientFrame::Command {
        tag: 1,
        command: Command::DisconnectUser { user: id("carol") },
    });
    assert_eq!(first.end().unwrap().reason, Some(CloseReason::Kicked));
}

fn taps_tell_of_every_session(io: &str) {
    let node = Node::start_on(io, "presence.grace = \"0s\"");
    let mut listener = node.service();
    listener.tap(true).unwrap();
    let users: Vec<String> = (0..20).map(|n| format!("user-{n}")).collect();
    for user in &users {
        node.online(user).leave();
        Binary::connect(&node, &node.token(user)).say(&schema::frame::ClientFrame::Goodbye { logout: true });
    }
    let mut open: BTreeMap<SessionAddr, String> = BTreeMap::new();
    let mut seqs: BTreeMap<u16, u64> = BTreeMap::new();
    let (mut opened, mut closed) = (0, BTreeMap::<&str, usize>::new());
    while closed.values().sum::<usize>() < 40 {
        let event = listener.next_event(PATIENCE).unwrap().expect("all are told");
        let Event::Tap(tap) = event else { continue };
        let last = seqs.entry(tap.session.session.shard.0).or_insert(tap.seq - 1);
        assert_eq!(tap.seq, *last + 1, "no gap");
        *last = tap.seq;
        if tap.user.id == id("service") {
            continue;
        }
        assert_eq!(tap.session.peer.ip().to_string(), "127.0.0.1");
        match tap.closed {
            None => {
                opened += 1;
                assert_eq!(open.insert(tap.session.session, tap.user.id.to_string()), None);
            }
            Some(reason) => {
                *closed.entry(reason.as_str()).or_default() += 1;
                assert_eq!(open.remove(&tap.session.session), Some(tap.user.id.to_string()));
            }
        }
    }
    assert_eq!((opened, open.len()), (40, 0));
    let expected =
        BTreeMap::from([(CloseReason::ClientClosed.as_str(), 20), (CloseReason::LoggedOut.as_str(), 20)]);
    assert_eq!(closed, expected);
    listener.tap(false).unwrap();
    node.online("user-0").leave();
    assert_eq!(listener.next_event(Duration::from_millis(300)).unwrap(), None);
}

fn users_may_do_less_than_services(io: &str) {
    let node = Node::start_on(io, "presence.watch_limit = 5");
    let _bob = node.online("bob");
    let (mut alice, welcome) = Binary::welcome(&node, connect_frame(&node.token("alice")));
    let (_other, others) = Binary::welcome(&node, connect_frame(&node.token("bob")));
    let forbidden = [
        Command::Sessions { user: id("bob") },
        Command::DisconnectUser { user: id("bob") },
        Command::DisconnectSession { session: others.session },
        Command::Tap { on: true },
    ];
    for command in forbidden {
        let refused = alice.call(command.clone()).unwrap_err();
        // Whether another's session exists is nobody's business either.
        let expected = match command {
            Command::DisconnectSession { .. } => vec![Refusal::Forbidden, Refusal::NotFound],
            _ => vec![Refusal::Forbidden],
        };
        assert!(expected.contains(&refused.refusal().unwrap()), "{command:?}: {refused:?}");
        assert_eq!(refused.retry_after_ms, None);
    }
    assert_eq!(alice.call(Command::Count), Ok(Reply::Count(2)));
    match alice.call(Command::Sessions { user: id("alice") }) {
        Ok(Reply::Sessions(rows)) => assert_eq!(rows[0].session, welcome.session),
        other => panic!("{other:?}"),
    }
    let watch = |names: &[&str]| Command::Watch { users: ids(names) };
    assert_eq!(alice.call(watch(&["a", "b", "c", "d"])), Ok(Reply::Done));
    let refused = alice.call(watch(&["e", "f"])).unwrap_err();
    assert_eq!(refused.refusal(), Some(Refusal::LimitReached));
    assert_eq!(alice.call(watch(&["a", "e"])), Ok(Reply::Done), "one of them is watched already");
}

fn a_client_that_was_kicked_stays_away(io: &str) {
    let node = Node::start_on(io, "");
    let mut service = node.service();
    let mut watcher = node.client(node.token("watcher"));
    watcher.watch(&ids(&["alice"])).unwrap();
    assert_eq!(presence(&mut watcher), [("alice".into(), Status::Offline)]);
    assert_eq!(service.disconnect_user(&id("watcher")).unwrap(), 1);
    let stopped = loop {
        match watcher.next_event(PATIENCE) {
            Ok(Some(_)) => {}
            Ok(None) => panic!("neither an event nor the end"),
            Err(error) => break error,
        }
    };
    assert!(matches!(stopped, Error::Stopped(end) if end.reason == Some(CloseReason::Kicked)));
    assert_eq!(service.sessions(&id("watcher")).unwrap(), []);
}
