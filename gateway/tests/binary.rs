//! The binary protocol over real sockets: how a connection begins, lives and ends. What may be said on it is in
//! `binary/commands.rs`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "a test waits for real time to pass")]

#[path = "binary/commands.rs"]
mod commands;
mod support;

use std::time::{Duration, Instant};

use schema::close::Advice;
use schema::frame::{ClientFrame, Connect, Liveness, ServerFrame};
use schema::{CloseReason, Command, Refusal, Reply};
use support::wire::{Binary, connect_frame, encoded, signed, vectors};
use support::{Node, on_both};

on_both!(
    a_connect_is_welcomed,
    commands_may_follow_a_connect_at_once,
    heartbeats_are_answered_when_they_ask,
    silence_closes_and_any_frame_is_life,
    tcp_keep_alive_takes_the_place_of_heartbeats,
    a_second_connect_ends_the_connection,
    every_vector_gets_its_outcome,
    another_version_is_told_which_are_spoken,
    goodbye_leaves_a_grace_and_logout_does_not,
    a_logout_ends_its_own_session_only,
    the_device_limit_closes_the_oldest,
    a_token_that_expires_ends_its_session,
    a_drain_tells_everybody,
);

fn a_connect_is_welcomed(io: &str) {
    let node = Node::start_on(io, "");
    let (mut alice, welcome) = Binary::welcome(&node, connect_frame(&node.token("alice")));
    assert_eq!((welcome.version, welcome.user.to_string().as_str()), (1, "alice"));
    assert!(!welcome.service);
    assert_eq!(welcome.liveness, Liveness::Heartbeat);
    assert_eq!((welcome.heartbeat_ms, welcome.silence_ms, welcome.max_frame), (30_000, 90_000, 65_536));
    assert!(welcome.server_ms.abs_diff(gateway::clock::Clock::system().unix_ms()) < 10_000);
    alice.alive();

    let (_service, other) = Binary::welcome(&node, connect_frame(&node.service_token()));
    assert!(other.service);
    assert_ne!(other.session, welcome.session);
    // The whole Connect, and a token of nearly 4 KiB.
    let padded = format!("{}{}", node.token("bob"), "x".repeat(3_500));
    let mut refused = Binary::dial(node.binary());
    refused.say(&ClientFrame::Connect(connect_frame(&padded)));
    assert_eq!(refused.end().unwrap().reason, Some(CloseReason::Unauthenticated), "read whole, and judged");
}

fn commands_may_follow_a_connect_at_once(io: &str) {
    let node = Node::start_on(io, "");
    let mut bytes = encoded(&ClientFrame::Connect(connect_frame(&node.service_token())));
    for tag in 1..=200 {
        bytes.extend(encoded(&ClientFrame::Command { tag, command: Command::Count }));
    }
    // In one piece, and byte by byte as far as that makes a difference.
    for cut in [bytes.len(), 1, 3, 91, 150] {
        let mut binary = Binary::dial(node.binary());
        let (head, tail) = bytes.split_at(cut);
        binary.write(head).unwrap();
        binary.write(tail).unwrap();
        assert!(matches!(binary.read(), Some(ServerFrame::Welcome(_))));
        let mut tags: Vec<u64> = (0..200)
            .map(|_| match binary.read() {
                Some(ServerFrame::Reply { tag, reply: Reply::Count(_) }) => tag,
                other => panic!("{other:?}"),
            })
            .collect();
        tags.sort_unstable();
        assert_eq!(tags, (1..=200).collect::<Vec<u64>>());
    }
}

fn heartbeats_are_answered_when_they_ask(io: &str) {
    let node = Node::start_on(io, "");
    let mut alice = Binary::connect(&node, &node.token("alice"));
    for tag in [0, 1, 7, u64::MAX] {
        alice.say(&ClientFrame::Heartbeat { tag: 9, answer: false, activity: true });
        alice.say(&ClientFrame::Heartbeat { tag, answer: true, activity: false });
        match alice.read() {
            Some(ServerFrame::HeartbeatAck { tag: of, server_ms }) => {
                assert_eq!(of, tag);
                assert!(server_ms.abs_diff(gateway::clock::Clock::system().unix_ms()) < 10_000);
            }
            other => panic!("{other:?}"),
        }
    }
}

fn silence_closes_and_any_frame_is_life(io: &str) {
    let node =
        Node::start_on(io, "binary.silence = \"2s\"\nbinary.heartbeat = \"1s\"\npresence.grace = \"0s\"");
    let begun = Instant::now();
    let mut silent = Binary::connect(&node, &node.token("silent"));
    let mut alive = Binary::connect(&node, &node.token("alive"));
    std::thread::scope(|scope| {
        let beating = scope.spawn(|| {
            while begun.elapsed() < Duration::from_secs(5) {
                alive.say(&ClientFrame::Command { tag: 1, command: Command::Activity });
                std::thread::sleep(Duration::from_millis(300));
            }
            alive.alive();
        });
        let closing = silent.end().unwrap();
        assert_eq!((closing.reason, closing.advice), (Some(CloseReason::Silent), Advice::Reconnect));
        assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
        beating.join().unwrap();
    });
}

fn tcp_keep_alive_takes_the_place_of_heartbeats(io: &str) {
    let node = Node::start_on(io, "binary.silence = \"2s\"\nbinary.heartbeat = \"1s\"");
    let keep = Connect { liveness: Liveness::TcpKeepAlive, ..connect_frame(&node.token("keeper")) };
    let (mut keeper, welcome) = Binary::welcome(&node, keep);
    assert_eq!(welcome.liveness, Liveness::TcpKeepAlive);
    assert_eq!((welcome.heartbeat_ms, welcome.silence_ms), (0, 0));
    // The kernel watches the server's end: its keep-alive timer runs.
    let port = keeper.stream.local_addr().unwrap().port();
    assert!(has_keep_alive(node.binary().port(), port), "no keep-alive timer");
    let mut other = Binary::connect(&node, &node.token("other"));
    let port = other.stream.local_addr().unwrap().port();
    assert!(!has_keep_alive(node.binary().port(), port));
    // The other, which had agreed to beat, goes for its silence; the keeper stays for longer than that.
    assert_eq!(other.end().unwrap().reason, Some(CloseReason::Silent));
    let mut third = Binary::connect(&node, &node.token("third"));
    assert_eq!(third.end().unwrap().reason, Some(CloseReason::Silent));
    keeper.alive();
}

/// Whether the kernel has a keep-alive timer for a connection, seen from the end with the port `local`.
fn has_keep_alive(local: u16, remote: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let row = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|row| {
        row[1].ends_with(&format!(":{local:04X}")) && row[2].ends_with(&format!(":{remote:04X}"))
    });
    row.expect("the connection is in the kernel's table")[5].starts_with("02:")
}

fn a_second_connect_ends_the_connection(io: &str) {
    let node = Node::start_on(io, "");
    let mut alice = Binary::connect(&node, &node.token("alice"));
    alice.say(&ClientFrame::Connect(connect_frame(&node.token("alice"))));
    alice.say(&ClientFrame::Heartbeat { tag: 1, answer: true, activity: false });
    let closing = alice.end().expect("a last frame");
    assert_eq!((closing.reason, closing.advice), (Some(CloseReason::ProtocolError), Advice::ReconnectLater));
    assert!(closing.text.contains("session already"), "{closing:?}");
}

fn every_vector_gets_its_outcome(io: &str) {
    let node = Node::start_on(io, "");
    let token = node.service_token();
    let mut refused = 0;
    for (name, outcome, bytes) in vectors() {
        let mut binary = Binary::connect(&node, &token);
        binary.write(&bytes).unwrap();
        match (outcome.as_str(), name.as_str()) {
            // A second one, whatever is in it.
            ("accept", "client-connect" | "client-connect-keep-alive") | ("close", _) => {
                let closing = binary.end().unwrap_or_else(|| panic!("{name}: no last frame"));
                let large = name == "bad-length-too-large";
                let reason = if large { CloseReason::TooLarge } else { CloseReason::ProtocolError };
                assert_eq!(closing.reason, Some(reason), "{name}: {closing:?}");
            }
            ("accept", name) if name.starts_with("client-goodbye") => {
                assert_eq!(binary.end(), None, "{name}")
            }
            ("accept", _) => _ = binary_goes_on(&mut binary, &name),
            ("refuse", _) => {
                let answers = binary_goes_on(&mut binary, &name);
                let [ServerFrame::Refused(refusal)] = &answers[..] else { panic!("{name}: {answers:?}") };
                let unknown = matches!(name.as_str(), "bad-unknown-body" | "bad-wrong-direction");
                let code = if unknown { Refusal::Unsupported } else { Refusal::Invalid };
                assert_eq!((refusal.refusal(), refusal.tag), (Some(code), 7), "{name}");
                refused += 1;
            }
            ("wait", _) => {
                binary.shut();
                assert_eq!(binary.end(), None, "{name}");
            }
            _ => panic!("{name}: what is {outcome}?"),
        }
    }
    assert!(refused >= 6, "{refused} vectors are refused");
    // Before the Connect, all but a Connect end the connection with a word.
    for (name, outcome, bytes) in vectors().into_iter().filter(|(_, outcome, _)| outcome != "wait") {
        let mut stranger = Binary::dial(node.binary());
        stranger.write(&bytes).unwrap();
        let closing = stranger.end().unwrap_or_else(|| panic!("{name} ({outcome}): no last frame"));
        let expected = match (outcome.as_str(), name.as_str()) {
            ("accept", _) => CloseReason::Unauthenticated,
            (_, "bad-length-too-large") => CloseReason::TooLarge,
            _ => CloseReason::ProtocolError,
        };
        assert_eq!(closing.reason, Some(expected), "{name}: {closing:?}");
    }
}

/// What came before the answer to a heartbeat that was sent behind it.
fn binary_goes_on(binary: &mut Binary, name: &str) -> Vec<ServerFrame> {
    binary.say(&ClientFrame::Heartbeat { tag: 4_711, answer: true, activity: false });
    let mut before = Vec::new();
    loop {
        match binary.read() {
            Some(ServerFrame::HeartbeatAck { tag: 4_711, .. }) => return before,
            Some(frame @ ServerFrame::Closing(_)) => panic!("{name}: {frame:?}"),
            Some(frame) => before.push(frame),
            None => panic!("{name}: ended"),
        }
    }
}

fn another_version_is_told_which_are_spoken(io: &str) {
    let node = Node::start_on(io, "");
    for version in [0, 2, 9, u16::MAX] {
        let mut stranger = Binary::dial(node.binary());
        stranger.say(&ClientFrame::Connect(Connect { version, ..connect_frame(&node.token("alice")) }));
        let closing = stranger.end().unwrap();
        assert_eq!((closing.reason, closing.advice), (Some(CloseReason::ProtocolError), Advice::Stay));
        assert_eq!(closing.versions, Some(1..=1));
    }
}

fn goodbye_leaves_a_grace_and_logout_does_not(io: &str) {
    let node = Node::start_on(io, "presence.grace = \"2s\"");
    let mut watcher = node.online("watcher");
    watcher.subscribe(&["alice", "bob"]);
    let (mut alice, mut bob) =
        (Binary::connect(&node, &node.token("alice")), Binary::connect(&node, &node.token("bob")));
    let mut online = Vec::new();
    while online.len() < 2 {
        online.extend(watcher.presence().into_iter().filter(|(_, online)| *online));
    }
    let left = Instant::now();
    alice.say(&ClientFrame::Goodbye { logout: false });
    bob.say(&ClientFrame::Goodbye { logout: true });
    // The end of the stream is the answer.
    assert_eq!((alice.end(), bob.end()), (None, None));
    assert_eq!(watcher.presence(), [("bob".to_owned(), false)]);
    assert!(
        left.elapsed() < Duration::from_millis(1_900),
        "a logout waits for no grace: {:?}",
        left.elapsed()
    );
    assert_eq!(watcher.presence(), [("alice".to_owned(), false)]);
    assert!(left.elapsed() >= Duration::from_millis(1_900), "{:?}", left.elapsed());
}

fn a_logout_ends_its_own_session_only(io: &str) {
    let node = Node::start_on(io, "presence.grace = \"2s\"");
    let mut watcher = node.online("watcher");
    watcher.subscribe(&["alice", "bob"]);
    let mut first = Binary::connect(&node, &node.token("alice"));
    let second = node.online("alice");
    assert_eq!(watcher.presence(), [("alice".to_owned(), true)]);
    first.say(&ClientFrame::Goodbye { logout: true });
    assert_eq!(first.end(), None);
    // The second device keeps alice online, and its leave has a grace of its own: bob's coming is told before
    // anything of alice.
    let left = Instant::now();
    second.leave();
    let _bob = node.online("bob");
    assert_eq!(watcher.presence(), [("bob".to_owned(), true)]);
    assert_eq!(watcher.presence(), [("alice".to_owned(), false)]);
    assert!(left.elapsed() >= Duration::from_millis(1_900), "{:?}", left.elapsed());
}

fn the_device_limit_closes_the_oldest(io: &str) {
    let node = Node::start_on(io, "presence.devices_per_user = 2");
    let mut first = node.online("alice");
    let mut second = Binary::connect(&node, &node.token("alice"));
    let mut third = Binary::connect(&node, &node.token("alice"));
    assert_eq!(first.closed(), 4409);
    let mut fourth = node.online("alice");
    let closing = second.end().unwrap();
    assert_eq!((closing.reason, closing.advice), (Some(CloseReason::TooManyDevices), Advice::Stay));
    third.alive();
    fourth.alive();
}

fn a_token_that_expires_ends_its_session(io: &str) {
    let node = Node::start_on(io, "auth.leeway = \"0s\"");
    let now = gateway::clock::Clock::system().unix_ms() / 1_000;
    let short = |user: &str| {
        let header = serde_json::json!({"alg": "HS256", "typ": "JWT"});
        signed(&header, &serde_json::json!({"sub": user, "exp": now + 3}), support::SECRET)
    };
    let mut binary = Binary::connect(&node, &short("alice"));
    let mut socket = node.connect(&format!("?token={}", short("bob")), &[]);
    assert_eq!(socket.json()["type"], "connected");
    let mut lasting = Binary::connect(&node, &node.token("carol"));
    let mut lasting_too = node.online("dave");
    let closing = binary.end().unwrap();
    assert_eq!((closing.reason, closing.advice), (Some(CloseReason::TokenExpired), Advice::Reauthenticate));
    assert_eq!(socket.closed(), 4401);
    let ended = gateway::clock::Clock::system().unix_ms();
    assert!((now + 3) * 1_000 <= ended + 50, "not before its time");
    lasting.alive();
    lasting_too.alive();
}

fn a_drain_tells_everybody(io: &str) {
    let node = Node::start_on(io, "");
    let mut clients: Vec<Binary> =
        (0..50).map(|n| Binary::connect(&node, &node.token(&format!("user-{n}")))).collect();
    let mut sockets: Vec<_> = (0..50).map(|n| node.online(&format!("user-{n}"))).collect();
    let mut strangers: Vec<Binary> = (0..5).map(|_| Binary::dial(node.binary())).collect();
    for stranger in &mut strangers {
        stranger.write(&[40, 0]).unwrap();
    }
    // Connections are accepted in their order, so the strangers are in when this one is.
    clients.push(Binary::connect(&node, &node.token("last")));
    drop(node);
    for (n, client) in clients.iter_mut().chain(&mut strangers).enumerate() {
        let closing = client.end().unwrap_or_else(|| panic!("no last frame for {n}"));
        assert_eq!((closing.reason, closing.advice), (Some(CloseReason::Draining), Advice::Reconnect));
    }
    for socket in &mut sockets {
        assert_eq!(socket.closed(), 1012);
    }
}
