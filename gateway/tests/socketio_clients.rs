//! Socket.IO and Engine.IO against the cases of their documents, through the example that echoes. The program passes on
//! the reference, too: see `socketio_reference.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/clients.rs"]
mod clients;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use clients::{passed, run, run_node};

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

/// How the programs start the example.
fn command(io: &str) -> [String; 5] {
    let example = example().to_str().unwrap();
    ["--", example, "--io", io, "--shards=2"].map(str::to_owned)
}

/// One program at a time: heartbeats of half a second want the machine to themselves.
static ALONE: Mutex<()> = Mutex::new(());

#[track_caller]
fn the_documents_cases(io: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let command = command(io);
    let args: Vec<&str> = command.iter().map(String::as_str).collect();
    let report = passed(&run_node("socketio/conformance.mjs", &args, &[], LIMIT));
    let ok = report.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(ok >= 228, "{ok} cases ran, fewer than 228:\n{report}");
}

#[test]
fn the_documents_cases_on_the_ring() {
    the_documents_cases("ring");
}

#[test]
fn the_documents_cases_on_epoll() {
    the_documents_cases("epoll");
}
