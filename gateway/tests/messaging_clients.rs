//! The messaging API in real time with clients that we did not write: four versions of the JavaScript client on polling, on a
//! WebSocket and on both, two of Python's, and two browsers that chat through a page; against the program itself on both
//! socket drivers.

#[path = "support/clients.rs"]
mod clients;
mod support;

use std::process::Output;
use std::time::Duration;

use clients::{PythonClient, passed, run_node, run_python_client};
use support::SECRET;
use support::process::Process;

/// Much more than any of the programs takes on an idle machine.
const LIMIT: Duration = Duration::from_secs(600);

#[track_caller]
fn passes(io: &str, cases: usize, program: impl FnOnce(&[&str], &[(&str, &str)]) -> Output) {
    let quick = "presence.grace = \"1s\"\nauth.leeway = \"0s\"\nmessaging_api.calls_limit = 1000000";
    let process = Process::start_on(io, quick);
    let url = format!("http://{}", process.addresses.http);
    // The grace, the second that the promise allows, and room for a busy machine.
    let env = [("SECRET", SECRET), ("OFFLINE_WITHIN", "6"), ("EXPIRY", "1")];
    let report = passed(&program(&[&url], &env));
    let ok = report.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(ok >= cases, "{ok} cases ran, fewer than {cases}:\n{report}");
}

fn node(io: &str) {
    passes(io, 160, |args, env| run_node("socketio/messaging.mjs", args, env, LIMIT));
}

fn python(io: &str, client: PythonClient) {
    passes(io, 12, |args, env| run_python_client(client, "socketio/messaging.py", args, env, LIMIT));
}

#[test]
fn javascript_clients_on_the_ring() {
    node("ring");
}

#[test]
fn javascript_clients_on_epoll() {
    node("epoll");
}

#[test]
fn python_clients_of_engine_io_4() {
    python("ring", PythonClient::SocketIo5);
}

#[test]
fn python_clients_of_engine_io_3() {
    python("epoll", PythonClient::SocketIo4);
}

#[test]
fn two_browsers_chat() {
    passes("ring", 6, |args, env| run_node("browser_chat/chat.mjs", args, env, LIMIT));
}
