//! The buyer/seller API as it is used: the `muster` program on both drivers, and the Socket.IO clients of its time and of
//! today, 2.3.1, 2.5.0 and 4.8.4, every event.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/clients.rs"]
mod clients;

use std::time::Duration;

use clients::{passed, run_node};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Much more than the program takes on an idle machine; one that hangs is killed.
const LIMIT: Duration = Duration::from_secs(300);

#[track_caller]
fn rooms(io: &str) {
    let data = tempfile::tempdir().unwrap();
    let muster = env!("CARGO_BIN_EXE_muster");
    let (any, data) = ("127.0.0.1:0", data.path().to_str().unwrap());
    let args = [
        "--",
        muster,
        "serve",
        "--io",
        io,
        "--shards",
        "2",
        "--http",
        "127.0.0.1:{port}",
        "--binary",
        any,
        "--admin",
        any,
        "--data",
        data,
    ];
    let env = [
        ("SECRET", SECRET),
        ("EXPIRY", "1"),
        ("MUSTER_AUTH__SECRET", SECRET),
        ("MUSTER_AUTH__LEEWAY", "0s"),
        ("MUSTER_PRESENCE__GRACE", "1s"),
        ("MUSTER_SERVER__LOG", "warn"),
    ];
    let report = passed(&run_node("socketio/rooms.mjs", &args, &env, LIMIT));
    let ok = report.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(ok >= 48, "{ok} cases ran:\n{report}");
}

#[test]
fn rooms_on_the_ring() {
    rooms("ring");
}

#[test]
fn rooms_on_epoll() {
    rooms("epoll");
}
