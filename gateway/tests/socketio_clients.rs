//! Socket.IO and Engine.IO against clients that we did not write, through the example that echoes: the documents' cases, five
//! versions of the JavaScript client on each of their transports, two of Python's, and the reference server beside it.
//!
//! Each program passes on the reference, too: see `socketio_reference.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/clients.rs"]
mod clients;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use clients::{PythonClient, passed, run, run_node, run_python_client};

/// Much more than any of the programs takes on an idle machine.
const LIMIT: Duration = Duration::from_secs(900);

/// The example, built if it is not there: a test that is chosen alone builds no examples.
fn example() -> &'static Path {
    static EXAMPLE: OnceLock<PathBuf> = OnceLock::new();
    EXAMPLE.get_or_init(|| {
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "--package", "muster", "--example", "socketio_echo"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        build.current_dir(env!("CARGO_MANIFEST_DIR"));
        passed(&run("cargo build", build, LIMIT));
        Path::new(env!("CARGO_BIN_EXE_muster")).with_file_name("examples").join("socketio_echo")
    })
}

/// The heartbeats that the documents' cases are written for.
const STRICT: [&str; 2] = ["--ping-interval=300", "--ping-timeout=200"];
/// Heartbeats of which no client loses one because the machine is busy with another test.
const PATIENT: [&str; 2] = ["--ping-interval=1000", "--ping-timeout=20000"];

/// How the programs start the example.
fn command(io: &str, heartbeats: [&str; 2]) -> [String; 7] {
    let example = example().to_str().unwrap();
    let [interval, timeout] = heartbeats;
    ["--", example, "--io", io, "--shards=2", interval, timeout].map(str::to_owned)
}

#[track_caller]
fn node_passes(io: &str, heartbeats: [&str; 2], program: &str, env: &[(&str, &str)], cases: usize) {
    let command = command(io, heartbeats);
    let args: Vec<&str> = command.iter().map(String::as_str).collect();
    let report = passed(&run_node(program, &args, env, LIMIT));
    let ok = report.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(ok >= cases, "{ok} cases ran, fewer than {cases}:\n{report}");
}

#[track_caller]
fn python_passes(io: &str, client: PythonClient) {
    let command = command(io, PATIENT);
    let args: Vec<&str> = command.iter().map(String::as_str).collect();
    let report = passed(&run_python_client(client, "socketio/matrix.py", &args, &[], LIMIT));
    let ok = report.lines().filter(|line| line.starts_with("ok ")).count();
    assert_eq!(ok, 33, "{report}");
}

#[test]
fn the_documents_cases_on_the_ring() {
    node_passes("ring", STRICT, "socketio/conformance.mjs", &[], 228);
}

#[test]
fn the_documents_cases_on_epoll() {
    node_passes("epoll", STRICT, "socketio/conformance.mjs", &[], 228);
}

#[test]
fn every_client_on_every_transport_on_the_ring() {
    node_passes("ring", PATIENT, "socketio/matrix.mjs", &[("UPGRADES", "1000")], 214);
}

#[test]
fn every_client_on_every_transport_on_epoll() {
    node_passes("epoll", PATIENT, "socketio/matrix.mjs", &[("UPGRADES", "100")], 214);
}

#[test]
fn nothing_differs_from_the_reference_but_what_is_meant_to() {
    node_passes("ring", STRICT, "socketio/differential.mjs", &[], 1);
}

#[test]
fn python_clients_of_engine_io_4() {
    python_passes("ring", PythonClient::SocketIo5);
}

#[test]
fn python_clients_of_engine_io_3() {
    python_passes("epoll", PythonClient::SocketIo4);
}
