//! The presence and messaging APIs as they are used: the `muster` program on both drivers, and clients that we did not write.
//!
//! Node's `ws` and its built-in WebSocket, Python's `websockets` with tokens of PyJWT, schemathesis, curl, and a browser. Each test has a program of
//! its own, with fresh data and free ports.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/clients.rs"]
mod clients;

use std::io::{BufRead, BufReader};
use std::panic::catch_unwind;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clients::{passed, run, run_curl, run_node, run_python};
use gateway::clock::Clock;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tempfile::TempDir;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// More than any script takes; one that hangs is killed.
const LIMIT: Duration = Duration::from_secs(90);

/// A running `muster serve`. It is killed when it is dropped.
struct Muster {
    program: Child,
    http: String,
    _data: TempDir,
}

impl Muster {
    fn start(io: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MUSTER_"))
        {
            command.env_remove(name);
        }
        let any = "127.0.0.1:0";
        command.args(["serve", "--io", io, "--shards", "2", "--http", any, "--binary", any, "--admin", any]);
        command.env("MUSTER_AUTH__SECRET", SECRET).env("MUSTER_PRESENCE__GRACE", "1s");
        command.env("MUSTER_MESSAGING_API__CALLS_LIMIT", "1000000");
        command.current_dir(data.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut program = command.spawn().unwrap();
        let mut log = BufReader::new(program.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        let ready = log.by_ref().map_while(Result::ok).find_map(|line| {
            let ready = serde_json::from_str(&line).ok().filter(|line: &Value| line["http"].is_string());
            seen.push(line);
            ready
        });
        let ready = ready.unwrap_or_else(|| panic!("muster did not start:\n{}", seen.join("\n")));
        // A pipe that nobody reads would stop the program at its 65,536th byte of log.
        std::thread::spawn(move || log.for_each(drop));
        assert_eq!(ready["driver"], io);
        Self { program, http: ready["http"].as_str().unwrap().into(), _data: data }
    }

    fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("TOKEN_A", token(SECRET, "client-a", 600)),
            ("TOKEN_B", token(SECRET, "client-b", 600)),
            ("TOKEN_EXPIRED", token(SECRET, "client-a", -600)),
            ("TOKEN_BAD", token("another secret, and not the server's", "client-a", 600)),
            ("SECRET", SECRET.into()),
            // The grace of a second, the second that the promise allows, and room for a busy machine.
            ("OFFLINE_WITHIN", "4".into()),
        ]
    }

    fn api(&self) -> String {
        format!("ws://{}/api/v1", self.http)
    }
}

impl Drop for Muster {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// An HS256 token that ends so many seconds from now.
fn token(secret: &str, user: &str, seconds: i64) -> String {
    token_of(secret, user, seconds, false)
}

/// The same, perhaps of a service.
fn token_of(secret: &str, user: &str, seconds: i64, service: bool) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let ends = (Clock::system().unix_ms() / 1_000).checked_add_signed(seconds).unwrap();
    let head = part(json!({"alg": "HS256", "typ": "JWT"}));
    let input = format!("{head}.{}", part(json!({"sub": user, "exp": ends, "service": service})));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

type Run = fn(&str, &[&str], &[(&str, &str)], Duration) -> std::process::Output;

fn script_passes(io: &str, run: Run, script: &str, cases: usize) {
    let muster = Muster::start(io);
    let env = muster.env();
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let report = passed(&run(script, &[&muster.api()], &env, LIMIT));
    let ok = report.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(ok >= cases, "{ok} cases ran, fewer than {cases}:\n{report}");
}

#[test]
fn node_on_the_ring() {
    script_passes("ring", run_node, "presence_ws.mjs", 22);
}

#[test]
fn node_on_epoll() {
    script_passes("epoll", run_node, "presence_ws.mjs", 22);
}

#[test]
fn python_on_the_ring() {
    script_passes("ring", run_python, "presence_ws.py", 14);
}

#[test]
fn python_on_epoll() {
    script_passes("epoll", run_python, "presence_ws.py", 14);
}

#[test]
fn curl_asks() {
    let muster = Muster::start("epoll");
    let url = |path: &str| format!("http://{}/api/v1/presence/{path}", muster.http);
    let ask = |args: &[&str]| -> Value {
        serde_json::from_str(&passed(&run_curl(&[&["--fail-with-body"], args].concat(), LIMIT))).unwrap()
    };
    assert_eq!(ask(&[&url("online-count")]), json!({"success": true, "count": 0}));
    let bearer = format!("Authorization: Bearer {}", token(SECRET, "curl", 600));
    let user = "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55";
    assert_eq!(
        ask(&["--header", &bearer, &url(&format!("check/{user}"))]),
        json!({"success": true, "userId": user, "online": false, "lastSeen": null})
    );
    let body = json!({"userIds": [user]}).to_string();
    let json_body = ["--header", "Content-Type: application/json", "--data", &body];
    let many = ask(&[&["--header", &bearer, &url("check-multiple")], &json_body[..]].concat());
    assert_eq!(
        many,
        json!({"success": true, "users": [{"userId": user, "online": false, "status": "offline", "lastSeen": null}]})
    );
    let refused = run_curl(&["--fail", &url("online-users")], LIMIT);
    assert_eq!(refused.status.code(), Some(22), "curl's code for an HTTP error");
}

/// The README's own commands, at this server and with these tokens.
#[test]
fn curl_sends_and_reads_a_message() {
    let muster = Muster::start("ring");
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let begin = readme.find("# send a message to a user").expect("the README sends a message");
    let end = begin + readme[begin..].find("\n\n").unwrap();
    let lines = readme[begin..end].replace("\\\n", " ");
    let (mut answers, alice) = (Vec::new(), "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55");
    for line in lines.lines().filter(|line| line.starts_with("curl ")) {
        let line = line.replacen("curl ", "curl --silent --show-error --fail-with-body ", 1);
        let mut command = Command::new("sh");
        command.args(["-c", &line.replace("127.0.0.1:8080", &muster.http)]);
        command.env("TOKEN", token(SECRET, alice, 600)).env("BOB", token(SECRET, "bob", 600));
        answers.push(serde_json::from_str::<Value>(&passed(&run("sh", command, LIMIT))).unwrap());
    }
    let [sent, listed] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((&sent["content"], &sent["senderId"]), (&json!("Hello"), &json!(alice)));
    let row = &listed[0];
    assert_eq!((&row["id"], &row["unreadCount"]), (&sent["conversationId"], &json!(1)));
    assert_eq!(row["lastMessage"]["content"], "Hello");
}

#[test]
fn schemathesis_finds_nothing_undescribed() {
    let muster = Muster::start("epoll");
    let env = [("TOKEN_A", token(SECRET, "client-a", 600))];
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let site = format!("http://{}", muster.http);
    let report = passed(&run_python("messaging_openapi.py", &[&site], &env, 4 * LIMIT));
    assert!(report.contains("passed") || report.contains("✅"), "{report}");
    // Every call was seen to succeed, too.
    let ok = report.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(ok >= 15, "{ok} calls succeeded:\n{report}");
}

/// A person authorises on the page of HTTP calls, and tries some out.
#[test]
fn a_browser_tries_the_calls_out() {
    let muster = Muster::start("ring");
    let env =
        [("TOKEN_A", token(SECRET, "client-a", 600)), ("SERVICE", token_of(SECRET, "a-service", 600, true))];
    let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let site = format!("http://{}", muster.http);
    let report = passed(&run_node("swagger.mjs", &[&site], &env, 2 * LIMIT));
    let ok = report.lines().filter(|line| line.starts_with("ok ")).count();
    assert_eq!(ok, 6, "{report}");
}

#[test]
fn a_late_client_is_killed_with_its_children() {
    let late = || {
        let mut command = Command::new("sh");
        command.args(["-c", "echo begun; sleep 600 & sleep 600"]);
        run("sh", command, Duration::from_millis(500))
    };
    let failed = catch_unwind(late).unwrap_err();
    let text = failed.downcast_ref::<String>().unwrap();
    assert!(text.contains("sh was killed after 500ms") && text.contains("begun"), "{text}");
}

#[test]
fn a_client_that_fails_is_heard() {
    let output = run_node("presence_ws.mjs", &[], &[], LIMIT);
    let failed = catch_unwind(|| passed(&output)).unwrap_err();
    let text = failed.downcast_ref::<String>().unwrap();
    assert!(text.contains("exit status: 2") && text.contains("usage:"), "{text}");
}
