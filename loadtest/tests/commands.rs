//! The program as a user calls it: exit codes, files, and words.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use loadtest::clock::Clock;
use loadtest::outcome::Outcome;
use loadtest::report::json;
use loadtest::server::procfs::Process;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

#[path = "support/server.rs"]
mod support;

fn command(arguments: &[&str]) -> Command {
    // It would be missing otherwise, and every test would say so in its own way.
    support::program();
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster-loadtest"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn call(arguments: &[&str]) -> Output {
    command(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Exits with this code; what it wrote, both streams.
#[track_caller]
fn exits(code: i32, arguments: &[&str]) -> String {
    let output = call(arguments);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{said}");
    said
}

fn folder() -> TempDir {
    TempDir::new().unwrap()
}

fn path(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().expect("a temporary folder's name is text").to_owned()
}

fn read(path: &str) -> Outcome {
    json::read(Path::new(path)).unwrap()
}

#[test]
fn a_run_writes_its_result_and_its_page_and_two_are_compared() {
    let folder = folder();
    let [one, page, two, difference] =
        ["one.json", "one.html", "two.json", "difference.html"].map(|name| path(&folder, name));
    let run = ["run", "heartbeat", "-n", "50", "--hold", "1s", "--warm-up", "500ms", "--json"];
    let said = exits(0, &[&run[..], &[&one, "--html", &page]].concat());
    assert!(said.contains("heartbeat") && said.contains("50"), "{said}");
    let outcome = read(&one);
    assert!(outcome.passed() && !outcome.interrupted && outcome.command.contains("-n 50"));
    assert_eq!((outcome.counts["connected"], outcome.errors.len()), (50, 0));
    assert!(outcome.server.is_some_and(|server| server.command.contains("muster")));
    let html = std::fs::read_to_string(&page).unwrap();
    assert!(html.contains("<html") && html.contains("heartbeat"));

    // A limit that cannot be kept: the result is written all the same.
    let said = exits(1, &[&run[..], &[&two, "--max-p99", "1ns"]].concat());
    assert!(said.contains("heartbeat p99"), "{said}");
    let failed: Vec<_> = read(&two).checks.into_iter().filter(|check| !check.passed).collect();
    assert!(failed.len() == 1 && failed[0].name.starts_with("heartbeat p99"), "{failed:?}");

    let said = exits(0, &["compare", &one, &two, "--html", &difference]);
    assert!(said.contains("B − A") && said.contains("p99") && said.contains("✗ failed"), "{said}");
    assert!(std::fs::read_to_string(&difference).unwrap().contains("<html"));
    let said = exits(2, &["compare", &one, &page]);
    assert!(said.contains("is not the result of a run"), "{said}");
}

#[test]
fn scenarios_are_listed_and_are_files_to_start_from() {
    let said = exits(0, &["scenarios"]);
    for name in ["idle", "heartbeat", "storm", "churn", "fanout", "send", "slow", "messages", "mixed"] {
        assert!(said.lines().any(|line| line.starts_with(name)), "{name} is missing in\n{said}");
    }
    let folder = folder();
    let own = path(&folder, "own.toml");
    std::fs::write(&own, exits(0, &["scenarios", "churn"])).unwrap();
    let json = path(&folder, "own.json");
    let run = ["run", &own, "-n", "60", "--hold", "1s", "--warm-up", "0s", "--churn", "10", "--json", &json];
    let said = exits(2, &run);
    assert!(said.contains("watch.watchers"), "{said}");
    exits(0, &[&run[..], &["--watchers", "6"]].concat());
    let outcome = read(&json);
    assert_eq!(outcome.plan["name"], "churn");
    assert_eq!(outcome.counts["told"], outcome.counts["told_expected"]);
}

#[test]
fn what_is_wrong_is_said_with_what_would_be_right() {
    let said = exits(2, &["run", "hartbeat"]);
    assert!(said.contains("idle, heartbeat, storm, churn, fanout, send, slow, messages, mixed"), "{said}");
    let said = exits(2, &["run", "missing.toml"]);
    assert!(said.contains("missing.toml"), "{said}");
    // An address for documentation, which nobody has: it is refused before anything is sent.
    let said = exits(2, &["run", "heartbeat", "--target", "192.0.2.1:1"]);
    assert!(said.contains("--allow-remote"), "{said}");
    let said = exits(2, &["run", "heartbeat", "-n", "10", "--program", "/nowhere/muster"]);
    assert!(said.contains("/nowhere/muster"), "{said}");
    let said = exits(2, &["run", "heartbeat", "--max-p99", "10"]);
    assert!(said.contains("10ms"), "{said}");
}

#[test]
fn a_crowd_that_does_not_fit_is_told_what_would_and_why_not_more() {
    let said = exits(2, &["million", "--dry-run", "-n", "100000000"]);
    assert!(said.contains("100,000,000 sessions do not fit on this machine"), "{said}");
    assert!(said.lines().any(|line| line.trim_start().starts_with("- ")), "no reason is given: {said}");
    let said = exits(0, &["million", "--dry-run", "-n", "1000"]);
    assert!(said.contains("1,000 sessions fit"), "{said}");
}

#[test]
fn a_small_million_holds_and_counts_on_both_sides() {
    let folder = folder();
    let json = path(&folder, "million.json");
    exits(0, &["million", "-n", "2000", "--hold", "3s", "--every", "1s", "--json", &json]);
    let outcome = read(&json);
    assert_eq!((outcome.counts["connected"], outcome.counts["lost"]), (2_000, 0));
    let has = |name: &str| outcome.checks.iter().any(|check| check.name == name);
    assert!(has("both sides count alike") && has("every heartbeat was answered"));
    // Judged, or said why not.
    let noted = outcome.notes.iter().any(|note| note.contains("whether it comes back"));
    assert!(has("memory came back") != noted, "{:?}", outcome.notes);
}

#[test]
fn a_small_million_of_socket_io_on_both_transports() {
    let folder = folder();
    let json = path(&folder, "million.json");
    // So few that nobody judges whether their memory comes back: it is mostly pages and pools.
    for dialect in ["socketio", "socketio-polling"] {
        let run =
            ["million", "-n", "200", "--rehearsal", "0", "--hold", "3s", "--every", "1s", "--json", &json];
        exits(0, &[&run[..], &["--dialect", dialect]].concat());
        let outcome = read(&json);
        assert_eq!((outcome.counts["connected"], outcome.counts["lost"]), (200, 0), "{dialect}");
        assert!(outcome.counts["heartbeats"] >= 200 && outcome.counts["silent"] == 0, "{dialect}");
        let has = |name: &str| outcome.checks.iter().any(|check| check.name == name);
        assert!(has("both sides count alike") && has("heartbeats came to every session"), "{dialect}");
    }
    let said =
        exits(2, &["run", "heartbeat", "--dialect", "socketio-polling", "--socketio-event", "[\"a\"]"]);
    assert!(said.contains("--dialect socketio"), "{said}");
}

/// Kills what a failed test leaves behind.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Waits until it has ended, but not for ever.
    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        let clock = Clock::start();
        while clock.now() < support::PATIENCE.as_nanos() as u64 {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status;
            }
            Clock::rest(Duration::from_millis(20));
        }
        panic!("it has not ended {:?} after the signal", support::PATIENCE);
    }
}

#[test]
fn an_interrupted_run_tells_what_it_has_and_leaves_nothing_behind() {
    let folder = folder();
    let json = path(&folder, "result.json");
    let mut command = command(&["run", "heartbeat", "-n", "50", "--hold", "1h", "--json", &json]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let mut lines =
        BufReader::new(running.0.stderr.take().expect("it is piped")).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains("measure begins")), "it has ended before it measured");
    kill_process(Pid::from_child(&running.0), Signal::INT).unwrap();
    assert_eq!(running.ended().code(), Some(130));
    let mut said = String::new();
    running.0.stdout.take().expect("it is piped").read_to_string(&mut said).unwrap();
    assert!(said.contains("heartbeat"), "{said}");
    let outcome = read(&json);
    assert!(outcome.interrupted && outcome.counts["connected"] == 50 && outcome.counts["lost"] == 0);
    let server = outcome.server.expect("it was its own");
    assert!(server.pid > 0 && Process::open(server.pid).is_err(), "the server was left behind");
}
