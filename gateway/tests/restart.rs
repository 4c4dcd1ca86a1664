//! The program as a process: killed, told to stop, started again, and started where it cannot.

#![allow(clippy::disallowed_methods, reason = "a test waits for real time to pass")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use client::blocking::Client;
use gateway::clock::Clock;
use schema::close::Advice;
use schema::{CloseReason, Id, LastSeen, Status};
use serde_json::Value;
use support::process::{Process, command};
use support::wire::Binary;
use support::{Site, eventually, on_both, within};

on_both!(
    a_crash_leaves_its_users_in_restart_grace,
    last_seen_survives_a_crash_and_never_moves_back,
    a_drain_tells_the_clients_and_keeps_the_users,
    an_address_in_use_is_named,
    a_data_directory_has_one_owner,
);

/// A store, and times that a test can wait for.
const STORE: &str = "store.kind = \"embedded\"\nstore.flush_interval = \"300ms\"\npresence.grace = \"1s\"\n\
                     presence.restart_grace = \"4s\"\n";

const FLUSH: u64 = 300;

fn start(folder: &Path, io: &str) -> Process {
    Process::start_in(folder, io, STORE)
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

/// Everything that was there to write has been written: the rows stand still over two flushes.
fn flushed(site: &Site) {
    let rows = || site.metric("muster_store_rows_written_total");
    let (mut last, mut since) = (0, Instant::now());
    eventually("the rows are written", || {
        let now = rows();
        if now != last || now == 0 {
            (last, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_millis(3 * FLUSH)).then_some(())
    });
}

fn status(client: &mut Client, user: &str) -> Status {
    client.query(&[id(user)]).unwrap()[0].status
}

fn last_seen(client: &mut Client, user: &str) -> u64 {
    match client.query(&[id(user)]).unwrap()[0].last_seen {
        LastSeen::At(ms) => ms,
        other => panic!("{user} was last seen {other:?}"),
    }
}

fn a_crash_leaves_its_users_in_restart_grace(io: &str) {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), io);
    let users: Vec<String> = (0..30).map(|n| format!("user-{n}")).collect();
    let sockets: Vec<_> = users.iter().map(|user| server.online(user)).collect();
    let gone = server.online("gone");
    gone.leave();
    eventually("whoever left is offline", || {
        (status(&mut server.service(), "gone") == Status::Offline).then_some(())
    });
    flushed(&server);
    server.kill();
    drop(sockets);

    let server = start(folder.path(), io);
    let started = Instant::now();
    let mut service = server.service();
    // They count as online, although none of them is here; and only they.
    within(Duration::from_secs(2), "the journal is read", || {
        (service.count().unwrap() == users.len() as u64).then_some(())
    });
    assert_eq!(status(&mut service, "user-7"), Status::Online);
    assert_eq!(status(&mut service, "gone"), Status::Offline);
    let mut watcher = server.online("watcher");
    let names: Vec<&str> = users.iter().map(String::as_str).collect();
    let states = watcher.subscribe(&names);
    assert!(states.values().all(|online| *online), "{states:?}");

    // Ten come back, which is no news; the others go offline when the grace is over, each of them once.
    let _back: Vec<_> = users[..10].iter().map(|user| server.online(user)).collect();
    let mut left: Vec<String> = Vec::new();
    while left.len() < 20 {
        for (user, online) in watcher.presence() {
            assert!(!online, "{user} had been online all the time");
            left.push(user);
        }
    }
    // Four seconds from when the journal was read, which was before the first query's answer.
    assert!(started.elapsed() > Duration::from_millis(2_500), "after {:?}", started.elapsed());
    left.sort();
    let mut expected = users[10..].to_vec();
    expected.sort();
    assert_eq!(left, expected);
    assert_eq!(service.count().unwrap(), 11);
    watcher.alive();
}

fn last_seen_survives_a_crash_and_never_moves_back(io: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut known = 0;
    for round in 0..3 {
        let server = start(folder.path(), io);
        let mut service = server.service();
        if round > 0 {
            let kept = last_seen(&mut service, "alice");
            assert!(kept >= known, "round {round}: {kept} after {known} was told");
            assert!(kept <= Clock::system().unix_ms() + 1_000);
            known = kept;
        }
        let mut alice = server.online("alice");
        alice.say(r#"{"type":"heartbeat","activity":true}"#);
        assert_eq!(alice.json()["type"], "heartbeat_ack");
        let now = last_seen(&mut service, "alice");
        assert!(now >= known);
        assert!(now.abs_diff(Clock::system().unix_ms()) < 5_000);
        if round == 1 {
            // Killed at once: what was told a flush interval ago is kept, and nothing older comes back.
            let told = now;
            server.kill();
            let server = start(folder.path(), io);
            let kept = last_seen(&mut server.service(), "alice");
            assert!(kept >= known && kept <= told.max(kept), "{kept} after {known}");
            known = kept;
            server.kill();
            continue;
        }
        known = now;
        flushed(&server);
        server.kill();
    }
    let server = start(folder.path(), io);
    assert!(last_seen(&mut server.service(), "alice") >= known);
}

fn a_drain_tells_the_clients_and_keeps_the_users(io: &str) {
    let folder = tempfile::tempdir().unwrap();
    // A grace that outlasts the drain, as it does by default: who was sent away is still online at the end of it.
    let longer = STORE.replace("grace = \"1s\"", "grace = \"4s\"");
    let start = |folder: &Path, io: &str| Process::start_in(folder, io, &longer);
    let server = start(folder.path(), io);
    let mut alice = server.online("alice");
    let mut bob = Binary::connect(&server, &server.token("bob"));
    let leaver = server.online("carol");
    leaver.leave();
    eventually("carol is offline", || {
        (status(&mut server.service(), "carol") == Status::Offline).then_some(())
    });
    let seen = last_seen(&mut server.service(), "alice");
    server.terminate();
    assert_eq!(alice.closed(), 1012);
    let closing = bob.end().expect("a last frame");
    assert_eq!((closing.reason, closing.advice), (Some(CloseReason::Draining), Advice::Reconnect));
    let ended = server.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert!(ended.log.contains("draining") && ended.log.contains("bye"), "{}", ended.log);
    assert!(!ended.log.contains("\"ERROR\""), "{}", ended.log);

    // Nothing was waited for, and everything was written.
    let server = start(folder.path(), io);
    let mut service = server.service();
    within(Duration::from_secs(2), "the journal is read", || (service.count().unwrap() == 2).then_some(()));
    assert_eq!(status(&mut service, "alice"), Status::Online);
    assert_eq!(status(&mut service, "bob"), Status::Online);
    assert_eq!(status(&mut service, "carol"), Status::Offline);
    assert!(last_seen(&mut service, "alice") >= seen);
    let _alice = server.online("alice");
    within(Duration::from_secs(10), "bob does not come back", || {
        (status(&mut service, "bob") == Status::Offline).then_some(())
    });
    assert_eq!(status(&mut service, "alice"), Status::Online);
}

fn an_address_in_use_is_named(io: &str) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for name in ["http", "binary", "admin"] {
        let folder = tempfile::tempdir().unwrap();
        let extra = format!("{name}.address = \"{address}\"");
        let Err(ended) = Process::try_start(command(folder.path(), io, &extra, &[]), io, &extra) else {
            panic!("{name}: it started")
        };
        assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
        for word in [format!("--{name}"), format!("{name}.address"), address.to_string()] {
            assert!(ended.log.contains(&word), "{name}: {}", ended.log);
        }
    }
}

fn a_data_directory_has_one_owner(io: &str) {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), io);
    let mut alice = server.online("alice");
    let Err(ended) = Process::try_start(command(folder.path(), io, STORE, &[]), io, STORE) else {
        panic!("a second server started on the same data")
    };
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    let last = ended.log.lines().last().unwrap_or_default();
    assert!(last.contains(folder.path().to_str().unwrap()), "it names the folder: {last}");
    assert!(last.contains("another") || last.contains("in use"), "it says who has it: {last}");
    alice.alive();
    // When the first one is gone, however it went, the next may start.
    server.kill();
    start(folder.path(), io).online("alice").alive();
}

/// A command in a sandbox that refuses io_uring.
fn sandboxed(folder: &Path, io: &str) -> std::process::Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/refuse_io_uring.py");
    command(folder, io, "", &["python3", script])
}

#[test]
fn without_io_uring_the_ring_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let Err(ended) = Process::try_start(sandboxed(folder.path(), "ring"), "ring", "") else {
        panic!("the sandbox refuses nothing")
    };
    assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
    let last = ended.log.lines().last().unwrap_or_default();
    for word in ["io_uring", "seccomp", "EPERM"] {
        assert!(last.contains(word), "{last}");
    }
}

#[test]
fn without_io_uring_epoll_takes_over_with_one_warning() {
    let folder = tempfile::tempdir().unwrap();
    let server = Process::try_start(sandboxed(folder.path(), "auto"), "auto", "")
        .unwrap_or_else(|ended| panic!("{}", ended.log));
    let log = server.log();
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let ready = lines.iter().find(|line| line["message"] == "Muster is ready").unwrap();
    assert_eq!(ready["driver"], "epoll");
    let warnings: Vec<&Value> = lines.iter().filter(|line| line["level"] == "WARN").collect();
    let [warning] = warnings[..] else { panic!("{log}") };
    let text = warning["message"].as_str().unwrap();
    for word in ["io_uring", "seccomp", "epoll", "io_uring_setup"] {
        assert!(text.contains(word), "{text}");
    }
    let second = |line: &Value| -> f64 {
        let time = line["timestamp"].as_str().unwrap().trim_end_matches('Z');
        let (_, clock) = time.split_once('T').unwrap();
        clock.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
    };
    let took = (second(ready) - second(warning)).rem_euclid(86_400.0);
    assert!(took < 1.0, "the fallback took {took} s");
    server.online("alice").alive();
    Binary::connect(&server, &server.token("bob")).alive();
    assert_eq!(server.metric("muster_users_online"), 2);
}
