//! The programs that try a Socket.IO server, tried on Node's socket.io: what they ask for is what it does. So a test that
//! Muster fails is Muster's mistake.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/clients.rs"]
mod clients;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use clients::{PythonClient, passed, run_node, run_python_client, script};

/// Much more than any of the programs takes on an idle machine.
const LIMIT: Duration = Duration::from_secs(600);

/// How the programs start the reference.
fn reference() -> [String; 3] {
    ["--".into(), "node".into(), script("socketio/reference.mjs").to_str().unwrap().into()]
}

/// One program at a time: heartbeats of half a second want the machine to themselves.
static ALONE: Mutex<()> = Mutex::new(());

#[track_caller]
fn node_passes(program: &str, env: &[(&str, &str)], cases: usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let reference = reference();
    let args: Vec<&str> = reference.iter().map(String::as_str).collect();
    let report = passed(&run_node(program, &args, env, LIMIT));
    let ok = report.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(ok >= cases, "{ok} cases ran, fewer than {cases}:\n{report}");
}

#[test]
fn the_documents_cases() {
    node_passes("socketio/conformance.mjs", &[], 228);
}

#[test]
fn every_client_on_every_transport() {
    node_passes("socketio/matrix.mjs", &[("UPGRADES", "50")], 214);
}

#[test]
fn python_clients_of_both_generations() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let reference = reference();
    let args: Vec<&str> = reference.iter().map(String::as_str).collect();
    for client in [PythonClient::SocketIo5, PythonClient::SocketIo4] {
        // It writes more packets at once than these clients take.
        let report =
            passed(&run_python_client(client, "socketio/matrix.py", &args, &[("BURST", "8")], LIMIT));
        let ok = report.lines().filter(|line| line.starts_with("ok ")).count();
        assert_eq!(ok, 33, "{report}");
    }
}
