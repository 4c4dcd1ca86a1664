//! Both Socket.IO APIs over a restart of the `muster` program, by SIGTERM and by SIGKILL, with clients that we did not write:
//! they come back, are told again, and catch up by the documented recipes without a gap.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/clients.rs"]
mod clients;

use std::time::Duration;

use clients::{passed, run_node};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Much more than the program takes on an idle machine; one that hangs is killed.
const LIMIT: Duration = Duration::from_secs(600);

#[track_caller]
fn restarts(io: &str) {
    let data = tempfile::tempdir().unwrap();
    let (any, data) = ("127.0.0.1:0", data.path().to_str().unwrap());
    let muster = env!("CARGO_BIN_EXE_muster");
    let serve = ["--", muster, "serve", "--io", io, "--shards", "2", "--http", "127.0.0.1:{port}"];
    let args = [&serve[..], &["--binary", any, "--admin", any, "--data", data]].concat();
    let env = [
        ("SECRET", SECRET),
        ("MUSTER_AUTH__SECRET", SECRET),
        // Whoever waits for a writer that is not answered calls often.
        ("MUSTER_MESSAGING_API__CALLS_LIMIT", "1000000"),
        ("MUSTER_TRADE_API__CALLS_LIMIT", "1000000"),
        ("MUSTER_SERVER__DRAIN", "5s"),
        ("MUSTER_SERVER__LOG", "warn"),
    ];
    let report = passed(&run_node("socketio/restarts.mjs", &args, &env, LIMIT));
    let ok = report.lines().filter(|line| line.starts_with("ok ")).count();
    assert_eq!(ok, 2 * (12 + 3), "{report}");
}

#[test]
fn restarts_on_the_ring() {
    restarts("ring");
}

#[test]
fn restarts_on_epoll() {
    restarts("epoll");
}
