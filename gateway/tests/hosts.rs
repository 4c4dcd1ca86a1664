//! The shards inside glommio executors: the smoke set of the end-to-end tests, with one shard and with several.

#![allow(clippy::disallowed_methods, reason = "a test waits for real time to pass")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::time::{Duration, Instant};

use schema::close::Advice;
use schema::frame::{ClientFrame, ServerFrame};
use schema::{CloseReason, Command, Id, Refusal, Reply};
use serde_json::json;
use support::Node;
use support::process::Process;
use support::wire::Binary;

/// The configuration of a glommio host.
fn glommio(shards: usize, extra: &str) -> String {
    format!("engine.host = \"glommio\"\nengine.shards = {shards}\n{extra}")
}

/// Makes each function a test with one shard and a test with three.
macro_rules! on_one_and_on_three {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn one_shard() {
                super::$name(1);
            }

            #[test]
            fn three_shards() {
                super::$name(3);
            }
        }
    )+};
}

on_one_and_on_three!(
    presence_and_messages,
    an_idle_shard_is_woken_by_everybody,
    a_large_answer_and_a_slow_reader,
    a_drain_ends_the_program,
);

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn presence_and_messages(shards: usize) {
    let node = Node::start_on("ring", &glommio(shards, "presence.grace = \"500ms\""));
    assert_eq!(node.metric("muster_shards"), shards as u64);
    let build = support::call(node.addresses.admin, "GET", "/metrics", &[], "").body;
    assert!(build.contains("host=\"glommio\"") && build.contains("driver=\"ring\""));

    let mut watcher = node.online("watcher");
    let names: Vec<String> = (0..12).map(|n| format!("user-{n}")).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(watcher.subscribe(&all).values().all(|online| !online));
    let sockets: Vec<_> = names.iter().map(|name| node.online(name)).collect();
    let mut online = 0;
    while online < names.len() {
        online += watcher.presence().iter().filter(|(_, online)| *online).count();
    }
    let mut service = Binary::connect(&node, &node.service_token());
    assert_eq!(service.call(Command::Count), Ok(Reply::Count(13)));
    let left = Instant::now();
    drop(sockets);
    let mut offline = 0;
    while offline < names.len() {
        offline += watcher.presence().iter().filter(|(_, online)| !online).count();
    }
    assert!(left.elapsed() >= Duration::from_millis(450), "the timers run: {:?}", left.elapsed());
    assert_eq!(service.call(Command::Count), Ok(Reply::Count(1)));

    let send = Command::Send { to: id("watcher"), payload: br#"{"a":1}"#[..].into(), except_self: false };
    assert_eq!(service.call(send), Ok(Reply::Reached(1)));
    assert_eq!(watcher.json(), json!({"type": "message", "data": {"from": "service", "payload": {"a": 1}}}));
    let mut user = Binary::connect(&node, &node.token("user"));
    let refused = user.call(Command::Tap { on: true }).unwrap_err();
    assert_eq!(refused.refusal(), Some(Refusal::Forbidden));
}

fn an_idle_shard_is_woken_by_everybody(shards: usize) {
    let node = Node::start_on("ring", &glommio(shards, ""));
    let mut service = Binary::connect(&node, &node.service_token());
    let mut users: Vec<Binary> =
        (0..8).map(|n| Binary::connect(&node, &node.token(&format!("user-{n}")))).collect();
    for round in 0..4 {
        // Long enough for every shard to have gone to sleep in glommio's reactor.
        std::thread::sleep(Duration::from_millis(400));
        let begun = Instant::now();
        match round {
            // By a client's bytes.
            0 => users.iter_mut().for_each(Binary::alive),
            // By another shard's message: the service's own shard asks the others.
            1 => assert_eq!(service.call(Command::Count), Ok(Reply::Count(8))),
            // By the front door, with a question and with a socket.
            2 => {
                let count = node.get("/api/v1/presence/online-count").json();
                assert_eq!(count["count"], 8);
            }
            _ => node.online("late").alive(),
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "round {round}: {:?}", begun.elapsed());
        for (n, user) in users.iter_mut().enumerate() {
            let send =
                Command::Send { to: id(&format!("user-{n}")), payload: b"hi"[..].into(), except_self: false };
            assert_eq!(service.call(send), Ok(Reply::Reached(1)));
            assert!(matches!(user.event(), ServerFrame::Message { .. }));
        }
    }
}

fn a_large_answer_and_a_slow_reader(shards: usize) {
    let node = Node::start_on("ring", &glommio(shards, ""));
    let mut service = Binary::connect(&node, &node.service_token());
    let mut reader = Binary::connect(&node, &node.token("reader"));
    let payload: Vec<u8> = (0..60_000).map(|n| (n % 251) as u8).collect();
    // More than the socket takes at once, so that the shard waits for room while it sleeps elsewhere.
    for _ in 0..4 {
        let send = Command::Send { to: id("reader"), payload: payload.clone().into(), except_self: false };
        assert_eq!(service.call(send), Ok(Reply::Reached(1)));
    }
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..4 {
        assert!(matches!(reader.event(), ServerFrame::Message { payload: got, .. } if got[..] == payload));
    }
    // The end of a connection has deadlines of the driver's own.
    reader.say(&ClientFrame::Goodbye { logout: false });
    assert_eq!(reader.end(), None);
}

fn a_drain_ends_the_program(shards: usize) {
    let process = Process::start_on("ring", &glommio(shards, ""));
    let mut sockets: Vec<_> = (0..10).map(|n| process.online(&format!("user-{n}"))).collect();
    let mut binaries: Vec<Binary> =
        (0..10).map(|n| Binary::connect(&process, &process.token(&format!("user-{n}")))).collect();
    process.terminate();
    for socket in &mut sockets {
        assert_eq!(socket.closed(), 1012);
    }
    for binary in &mut binaries {
        let closing = binary.end().expect("a last frame");
        assert_eq!((closing.reason, closing.advice), (Some(CloseReason::Draining), Advice::Reconnect));
    }
    drop((sockets, binaries));
    let ended = process.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
}

#[test]
fn glommio_needs_the_ring() {
    let folder = tempfile::tempdir().unwrap();
    let extra = glommio(2, "");
    let command = support::process::command(folder.path(), "epoll", &extra, &[]);
    let Err(ended) = Process::try_start(command, "epoll", &extra) else { panic!("it started") };
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    assert!(ended.log.contains("glommio") && ended.log.contains("ring"), "{}", ended.log);
}
