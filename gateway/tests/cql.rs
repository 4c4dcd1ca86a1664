//! The program with its store in a real CQL server: what was said survives, and so does the program when the server does not.

#![allow(clippy::disallowed_methods, reason = "a test waits for real time to pass")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "support/clients.rs"]
mod clients;
#[path = "support/servers.rs"]
mod servers;
mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use servers::Cql;
use support::process::{Process, command};
use support::{Answer, Site, within};

const BASE: &str = "/api/v1";
const BOB: &str = "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55";
/// Making the tables, on a machine that does much else.
const LONG: Duration = Duration::from_secs(180);

fn call(site: &Site, method: &str, path: &str, key: Option<&str>, body: &Value) -> Answer {
    let bearer = format!("Bearer {}", site.token("ann"));
    let mut headers = vec![("Authorization", &*bearer), ("Content-Type", "application/json")];
    headers.extend(key.map(|key| ("Idempotency-Key", key)));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    site.call(method, &format!("{BASE}{path}"), &headers, &body)
}

/// Sends until it is taken.
fn say(site: &Site, conversation: &str, key: &str) -> Value {
    let body = json!({"conversationId": conversation, "content": key});
    within(LONG, "a message is taken", || {
        let answer = call(site, "POST", "/messages", Some(key), &body);
        assert!([201, 503, 504].contains(&answer.status), "{} {}", answer.status, answer.body);
        (answer.status == 201).then(|| answer.json())
    })
}

fn direct(site: &Site) -> String {
    let body = json!({"participantIds": [BOB], "conversationType": "direct"});
    within(LONG, "a conversation is made", || {
        let answer = call(site, "POST", "/conversations", None, &body);
        assert!([201, 503, 504].contains(&answer.status), "{} {}", answer.status, answer.body);
        (answer.status == 201).then(|| answer.json()["id"].as_str().unwrap().to_owned())
    })
}

/// What was said, the oldest first.
fn history(site: &Site, conversation: &str) -> Vec<String> {
    let path = format!("/messages/conversation/{conversation}?limit=100");
    let answer = within(LONG, "the history is read", || {
        let answer = call(site, "GET", &path, None, &Value::Null);
        (answer.status == 200).then_some(answer)
    });
    let page = answer.json();
    let messages = page["messages"].as_array().unwrap();
    messages.iter().rev().map(|message| message["content"].as_str().unwrap().to_owned()).collect()
}

fn ready(site: &Site) -> Value {
    support::call(site.addresses.admin, "GET", "/ready", &[], "").json()
}

/// The program with the configuration of this folder: what it printed, with what it said of its progress where that is
/// asked for.
fn muster(folder: &Path, what: &str, more: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.arg(what).arg("--config").arg(folder.join("muster.toml")).args(more);
    clients::passed(&clients::run(&format!("muster {what}"), command, LONG))
}

fn migrate(folder: &Path, more: &[&str]) -> String {
    muster(folder, "migrate", more)
}

fn stop(server: Process) {
    server.terminate();
    let ended = server.ended();
    assert!(ended.status.success(), "{}", ended.log);
}

#[test]
fn what_was_said_survives_in_tables() {
    let cql = Cql::new(1);
    cql.start();
    let folder = tempfile::tempdir().unwrap();
    let settings = cql.settings("tables");
    // Writes the configuration.
    _ = command(folder.path(), "ring", &settings, &[]);
    let plan = migrate(folder.path(), &["--dry-run"]);
    assert!(
        plan.contains("CREATE KEYSPACE IF NOT EXISTS tables") && plan.contains("0001_tables.cql"),
        "{plan}"
    );
    assert_eq!(migrate(folder.path(), &["--dry-run"]), plan, "nothing was changed");
    assert!(migrate(folder.path(), &[]).ends_with("-- done\n"));
    let plan = migrate(folder.path(), &["--dry-run"]);
    assert_eq!(plan, "-- the tables in tables are as they should be\n");

    let server = Process::start_in(folder.path(), "ring", &settings);
    let conversation = direct(&server);
    let first = say(&server, &conversation, "one");
    assert_eq!(say(&server, &conversation, "two")["content"], "two");
    assert_eq!(history(&server, &conversation), ["one", "two"]);
    let state = ready(&server);
    assert_eq!((&state["store"]["state"], &state["conversations"]["state"]), (&json!("ok"), &json!("ok")));
    assert!(server.metric("muster_chat_store_writes_total") >= 3);
    server.kill();

    let server = Process::start_in(folder.path(), "ring", &settings);
    assert_eq!(history(&server, &conversation), ["one", "two"]);
    // The same again is the same.
    assert_eq!(say(&server, &conversation, "one")["id"], first["id"]);
    say(&server, &conversation, "three");
    assert_eq!(history(&server, &conversation), ["one", "two", "three"]);
    stop(server);

    // Whoever is erased is nowhere in the tables, and not after a crash in the middle either.
    let server = Process::start_in(folder.path(), "ring", &settings);
    let service = format!("Bearer {}", server.service_token());
    let erase = |server: &Process| {
        let answer = server.call("DELETE", "/server/v1/users/dan", &[("Authorization", &*service)], "");
        assert!([200, 202].contains(&answer.status), "{answer:?}");
        answer
    };
    let dan = server.token("dan");
    for n in 0..30 {
        let body = json!({"recipientId": if n % 2 == 0 { BOB.to_owned() } else { format!("user-{n}") }, "content": "dan's"});
        let sent = server.post_as(&dan, &format!("{BASE}/messages"), &body.to_string());
        assert_eq!(sent.status, 201, "{}", sent.body);
    }
    let body = json!({"recipientId": "ann", "content": "dan's to ann"});
    let sent = server.post_as(&dan, &format!("{BASE}/messages"), &body.to_string()).json();
    let with_ann = sent["conversationId"].as_str().unwrap().to_owned();
    let online = server.online("dan");
    std::thread::scope(|scope| {
        scope.spawn(|| _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| erase(&server))));
        let folder = folder.path().join("data/erasing");
        within(LONG, "it has begun", || {
            std::fs::read_dir(&folder).is_ok_and(|mut notes| notes.next().is_some()).then_some(())
        });
        server.terminate();
    });
    drop((server, online));
    let server = Process::start_in(folder.path(), "ring", &settings);
    let removed = within(LONG, "dan is erased", || {
        let answer = erase(&server);
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!(removed["done"], true);
    let answer = within(LONG, "again", || Some(erase(&server)).filter(|answer| answer.status == 200));
    assert_eq!((&answer.json()["conversations"], &answer.json()["lastSeen"]), (&json!(0), &json!(false)));
    let page = call(&server, "GET", &format!("/messages/conversation/{with_ann}"), None, &Value::Null).json();
    assert_eq!(
        (&page["messages"][0]["isDeleted"], &page["messages"][0]["content"]),
        (&json!(true), &json!(""))
    );
    assert!(!call(&server, "GET", "/conversations", None, &Value::Null).body.contains("\"dan\""));
    assert_eq!(history(&server, &conversation), ["one", "two", "three"]);
    stop(server);

    // The tables are another's as long as that one lives: this one waits, and takes them when it has stopped.
    let server = Process::start_in(folder.path(), "ring", &format!("{settings}server.node = \"another\"\n"));
    assert_eq!(history(&server, &conversation), ["one", "two", "three"]);
}

#[test]
fn a_person_is_erased_from_tables() {
    let cql = Cql::new(1);
    cql.start();
    let folder = tempfile::tempdir().unwrap();
    let settings = cql.settings("erased");
    let server = Process::start_in(folder.path(), "ring", &settings);
    let conversation = direct(&server);
    let words = ["the first words", "the last words"];
    for text in words {
        say(&server, &conversation, text);
    }
    drop(server.online("ann"));
    stop(server);
    let export = || muster(folder.path(), "export", &[]);
    let before = export();
    assert!(words.iter().all(|text| before.contains(text)) && before.contains("\"ann\""), "{before}");
    muster(folder.path(), "erase", &["--user", "ann", "--dry-run"]);
    assert_eq!(export(), before, "nothing was changed");
    muster(folder.path(), "erase", &["--user", "ann"]);
    let after = export();
    assert!(!words.iter().any(|text| after.contains(text)) && !after.contains("ann"), "{after}");
    muster(folder.path(), "erase", &["--user", "ann"]);
    assert_eq!(export(), after, "again it finds nothing");

    let server = Process::start_in(folder.path(), "ring", &settings);
    let bearer = format!("Bearer {}", server.token(BOB));
    let path = format!("{BASE}/messages/conversation/{conversation}?limit=10");
    let page = within(LONG, "the other one reads", || {
        let answer = server.call("GET", &path, &[("Authorization", &*bearer)], "");
        (answer.status == 200).then(|| answer.json())
    });
    let messages = page["messages"].as_array().unwrap();
    assert!(messages.iter().all(|message| !message.to_string().contains("words")), "{page}");
    stop(server);
}

#[test]
fn tls_to_the_tables() {
    let cql = Cql::with_tls();
    cql.start();
    let folder = tempfile::tempdir().unwrap();
    let ca = format!("scylla.tls_ca = {:?}\n", cql.certificate("ca.pem"));
    let own = ["cert", "key"].map(|what| {
        let file = cql.certificate(if what == "cert" { "client.pem" } else { "client.key" });
        format!("scylla.tls_{what} = {file:?}\n")
    });
    let own = own.concat();
    let plan = |tls: &str| {
        _ = command(folder.path(), "ring", &format!("{}{tls}", cql.settings("secret")), &[]);
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(["migrate", "--dry-run", "--config"]).arg(folder.path().join("muster.toml"));
        let output = clients::run("muster migrate", command, LONG);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.success().then_some(()).ok_or(said)
    };
    // Who the servers are is asked by address, by a name that all have, or only by whom it was said.
    for name in ["", "scylla.tls_name = \"server.test\"\n", "scylla.tls_name = \"*\"\n"] {
        assert_eq!(plan(&format!("{ca}{own}{name}")), Ok(()));
    }
    let refused = |tls: &str, why: &str| {
        let said = plan(tls).unwrap_err();
        assert!(said.contains(why), "{said:?} does not say {why:?}");
    };
    refused(&format!("{ca}{own}scylla.tls_name = \"another.test\"\n"), "not valid for name");
    // Another authority, which happens to be the client itself.
    let other = format!("scylla.tls_ca = {:?}\n", cql.certificate("client.pem"));
    refused(&format!("{other}{own}"), "invalid peer certificate");
    refused(&format!("{other}{own}scylla.tls_name = \"*\"\n"), "invalid peer certificate");
    refused(&ca, "");
    refused("", "");
    refused(&format!("scylla.tls_ca = {:?}\n", folder.path().join("nothing.pem")), "nothing.pem");
    refused(
        &format!("scylla.tls_ca = {:?}\n{own}", cql.certificate("client.key")),
        "no certificate is in it",
    );
    refused(&own, "need scylla.tls_ca");

    let server = Process::start_in(folder.path(), "ring", &format!("{}{ca}{own}", cql.settings("secret")));
    let conversation = direct(&server);
    say(&server, &conversation, "one");
    assert_eq!(history(&server, &conversation), ["one"]);
    stop(server);
}

#[test]
fn the_program_goes_on_without_its_tables() {
    let cql = Cql::new(1);
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("{}scylla.timeout = \"1s\"\n", cql.settings("without"));
    let server = Process::start_in(folder.path(), "ring", &settings);
    // Nobody is there: nothing can be said, and who is online is known all the same.
    let body = json!({"participantIds": [BOB], "conversationType": "direct"});
    let answer = call(&server, "POST", "/conversations", None, &body);
    assert_eq!(answer.status, 503, "{}", answer.body);
    let bob = server.online("bob");
    assert_eq!(server.get(&format!("{BASE}/presence/online-count")).status, 200);
    let state = ready(&server);
    assert_eq!(
        (&state["ready"], &state["conversations"]["state"]),
        (&json!(true), &json!("failing")),
        "{state}"
    );
    assert!(server.log().contains("nothing can be said until it works"), "{}", server.log());

    cql.start();
    let conversation = direct(&server);
    say(&server, &conversation, "one");
    within(LONG, "it is well again", || (ready(&server)["conversations"]["state"] == "ok").then_some(()));

    // The server stands still: what is sent may have been written or not. Whoever sends gets no wrong answer.
    cql.signal(0, Signal::STOP);
    let body = json!({"conversationId": conversation, "content": "two"});
    let sent = std::thread::scope(|scope| {
        let (server, body) = (&server, &body);
        let send = scope.spawn(move || call(server, "POST", "/messages", Some("two"), body).status);
        within(LONG, "it is seen that it fails", || {
            (ready(server)["conversations"]["state"] == "failing").then_some(())
        });
        assert_eq!(server.get(&format!("{BASE}/presence/online-count")).status, 200);
        cql.signal(0, Signal::CONT);
        send.join().unwrap()
    });
    assert!([201, 503, 504].contains(&sent), "{sent}");
    say(&server, &conversation, "two");
    say(&server, &conversation, "three");
    assert_eq!(history(&server, &conversation), ["one", "two", "three"], "each of them once");

    // Killed, and started again: the same.
    cql.signal(0, Signal::KILL);
    cql.start();
    say(&server, &conversation, "four");
    assert_eq!(history(&server, &conversation), ["one", "two", "three", "four"]);
    drop(bob);
}
