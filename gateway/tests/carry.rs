//! `muster export`, `import` and `erase` with the real program, on what a real server has kept.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use client::blocking::{Client, Options};
use schema::Id;
use schema::chat::{
    Attachment, ConversationId, Draft, Kind, MemberChange, Message, NewConversation, NewMember, Role, Whose,
};
use serde_json::{Value, json};
use support::forms::{form, send, url};
use support::process::{Process, command};
use support::{Site, eventually};
use tempfile::TempDir;

const SETTINGS: &str = "store.kind = \"embedded\"\nlimits.commands_per_second = 1000000\n\
                        limits.commands_burst = 1000000\n";
const ANN: &str = "7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5f";
const FIRST: &str = "{\"type\":\"muster-export\",\"version\":1}\n";

/// A folder with the data of a server, and its configuration.
struct Data(TempDir, String);

/// What the program said.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    #[track_caller]
    fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    #[track_caller]
    fn failed(&self, words: &str) {
        assert_eq!(self.code, 1, "{self:?}");
        assert!(self.err.contains(words), "{:?} does not contain {words:?}", self.err);
    }
}

impl Data {
    fn new() -> Self {
        Self::with("")
    }

    fn with(extra: &str) -> Self {
        let data = Self(tempfile::tempdir().unwrap(), format!("{SETTINGS}{extra}"));
        // Writes the configuration.
        drop(command(data.path(), "epoll", &data.1, &[]));
        data
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn serve(&self) -> Process {
        Process::start_in(self.path(), "epoll", &self.1)
    }

    fn muster(&self, args: &[&str], input: &str) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MUSTER_")) {
            command.env_remove(name);
        }
        command.args(args).arg("--config").arg(self.file("muster.toml")).current_dir(self.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // It may have ended without reading.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
    }

    #[track_caller]
    fn export(&self) -> String {
        self.muster(&["export"], "").done().out
    }

    #[track_caller]
    fn import(&self, lines: &str) -> Ran {
        self.muster(&["import"], lines)
    }
}

/// Ends a server in order.
fn stop(server: Process) {
    server.terminate();
    assert!(server.ended().status.success());
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn connect(site: &Site, user: &str) -> Client {
    Client::connect(Options::new(site.binary().to_string(), site.token(user))).unwrap()
}

fn say(client: &mut Client, to: ConversationId, text: &str, name: Option<&str>) -> Message {
    let draft = Draft {
        conversation: to,
        client_id: name.map(Into::into),
        kind: 0,
        content: text.into(),
        attachment: None,
    };
    client.chat().send(draft).unwrap().0
}

fn make(client: &mut Client, kind: Kind, others: &[&str]) -> ConversationId {
    let members = others.iter().map(|user| NewMember { user: id(user), role: Role::Member }).collect();
    let name = (kind == Kind::Group).then(|| "Team".into());
    let new = NewConversation { id: None, kind, name, members, extra: b"kept"[..].into() };
    client.chat().create(new).unwrap().0.id
}

/// All that a user sees, as text.
fn seen_by(site: &Site, user: &str) -> String {
    let mut client = connect(site, user);
    let (rows, more) = client.chat().list(&[], 100).unwrap();
    assert!(!more);
    let mut seen = format!("{rows:#?}");
    for row in rows {
        let history = client.chat().history(row.conversation.id, None, None, false, 100).unwrap();
        seen.push_str(&format!("{history:#?}"));
    }
    seen
}

/// People do everything there is to do in conversations, and come online.
fn live(site: &Site) {
    let [mut ann, mut bob] = [ANN, "bob"].map(|user| connect(site, user));
    let direct = make(&mut ann, Kind::Direct, &["bob"]);
    let trade = make(&mut ann, Kind::Trade, &["bob"]);
    let group = make(&mut ann, Kind::Group, &["bob", "cat"]);
    for n in 0..30 {
        say(
            &mut ann,
            direct,
            &format!("ann's words {n} \u{1f44b} \"quoted\"\n"),
            (n % 2 == 0).then_some(&*format!("a-{n}")),
        );
        say(&mut bob, trade, &format!("bob's words {n}"), None);
        let said = say(&mut bob, group, &format!("bob's group words {n}"), Some(&format!("b-{n}")));
        match n % 5 {
            0 => ann.chat().read(said.id).unwrap(),
            1 => _ = bob.chat().edit(said.id, "bob's changed words").unwrap(),
            2 => _ = bob.chat().remove(said.id).unwrap(),
            _ => {}
        }
    }
    let attachment = Attachment { url: "http://files.example/bob.png".into(), kind: "image".into() };
    let draft = Draft {
        conversation: group,
        client_id: None,
        kind: 3,
        content: "".into(),
        attachment: Some(attachment),
    };
    bob.chat().send(draft).unwrap();
    ann.chat().read_all(direct, None).unwrap();
    ann.chat().add_member(group, &id("dan"), Role::Member).unwrap();
    ann.chat().remove_member(group, Whose::User(id("cat"))).unwrap();
    let pin = MemberChange { pinned: Some(true), hidden: None, blocked: None };
    bob.chat().set_member(group, pin).unwrap();
    let gone = make(&mut ann, Kind::Group, &["bob"]);
    say(&mut ann, gone, "of a conversation that is gone", None);
    ann.chat().delete(gone).unwrap();
    drop(site.online("bob"));
    drop(site.online(ANN));
    // Last seen is written when they are gone, at the latest at the end.
    eventually("nobody is online", || (site.connections().0 == 0).then_some(()));
}

#[test]
fn there_and_back_again() {
    let old = Data::new();
    let server = old.serve();
    live(&server);
    old.muster(&["export"], "").failed("in use by another process: stop the other Muster");
    old.import(FIRST).failed("in use by another process");
    old.muster(&["erase", "--user", "bob"], "").failed("in use by another process");
    let seen = ["bob", ANN, "cat", "dan"].map(|user| seen_by(&server, user));
    stop(server);

    let exported = old.export();
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({"type": "muster-export", "version": 1}));
    let end = lines.last().unwrap();
    assert_eq!(
        (&end["type"], &end["conversations"], &end["messages"]),
        (&json!("end"), &json!(3), &json!(91))
    );
    assert!(end["seen"].as_u64().unwrap() >= 2, "{end}");
    let kinds = |kind: &str| lines.iter().filter(|line| line["type"] == kind).count();
    assert!(kinds("receipt") > 0 && kinds("deleted") == 6 && kinds("send") == 45, "{exported}");
    assert!(!exported.contains("that is gone"));
    // A file appears when it is whole.
    let ran = old.muster(&["export", "--out", "export.jsonl"], "").done();
    assert!(ran.out.is_empty() && ran.err.contains("exported 3 conversations, 91 messages"), "{ran:?}");
    assert_eq!(fs::read_to_string(old.file("export.jsonl")).unwrap(), exported);
    assert!(!old.file("export.jsonl.part").exists());

    let new = Data::new();
    let dry = new.muster(&["import", "--dry-run"], &exported).done();
    assert!(dry.err.contains("would be written; nothing was"), "{dry:?}");
    assert_eq!(new.export().lines().count(), 2, "nothing but the first line and the last");
    let file = old.file("export.jsonl");
    let first = new.muster(&["import", file.to_str().unwrap()], "").done();
    assert!(first.err.contains("rows written, 0 were there"), "{first:?}");
    assert_eq!(new.export(), exported);
    let again = new.import(&exported).done();
    assert!(again.err.contains(": 0 rows written, "), "{again:?}");
    assert_eq!(new.export(), exported);

    let server = new.serve();
    for (user, before) in ["bob", ANN, "cat", "dan"].iter().zip(seen) {
        assert_eq!(seen_by(&server, user), before);
    }
    // What was sent before is known again.
    let mut ann = connect(&server, ANN);
    let direct = ConversationId::of_pair(&id(ANN), &id("bob"));
    assert_eq!(
        &*say(&mut ann, direct, "sent again", Some("a-2")).content,
        "ann's words 2 \u{1f44b} \"quoted\"\n"
    );
    // What people do from now on is not taken back.
    say(&mut ann, direct, "new words", None);
    ann.chat().read_all(direct, None).unwrap();
    drop(ann);
    let now = seen_by(&server, ANN);
    stop(server);
    new.import(&exported).done();
    let server = new.serve();
    assert_eq!(seen_by(&server, ANN), now);
    stop(server);
}

#[test]
fn half_an_import_goes_on() {
    let old = Data::new();
    let server = old.serve();
    live(&server);
    stop(server);
    let exported = old.export();
    let all: Vec<&str> = exported.lines().collect();
    let new = Data::new();
    for cut in [5, 40, 41, 90, all.len() - 1] {
        let part = all[..cut].join("\n");
        let ran = new.import(&part).done();
        assert!(ran.err.contains("has no line `end`"), "{ran:?}");
    }
    new.import(&exported).done();
    assert_eq!(new.export(), exported);
    let one = all.iter().rposition(|line| line.contains("\"type\":\"message\"")).unwrap();
    let missing = [&all[..one], &all[one + 1..]].concat().join("\n");
    Data::new().import(&missing).failed("the file is not whole");
}

/// What a table of another system may give, and no more.
fn foreign() -> String {
    let at = |second: u32| format!("2024-05-01T10:00:{second:02}.000Z");
    let lines = [
        json!({"type": "conversation", "ref": "65f0", "kind": "group", "name": "Old team", "creator": "ann",
               "createdAt": at(0)}),
        json!({"type": "member", "user": "ann"}),
        json!({"type": "member", "user": "bob", "readTo": at(2)}),
        json!({"type": "member", "user": "eve", "left": true}),
        json!({"type": "member", "user": "cat", "joinedAt": at(3)}),
        json!({"type": "message", "ref": "m1", "at": at(1), "sender": "ann", "content": "one",
               "reads": [{"user": "bob", "at": at(2)}]}),
        json!({"type": "message", "ref": "m2", "at": at(2), "sender": "eve", "content": "two"}),
        // Two of the same millisecond.
        json!({"type": "message", "ref": "m3", "at": at(2), "sender": "eve", "deleted": true}),
        json!({"type": "message", "ref": "m4", "at": at(4), "sender": "ann", "content": "four",
               "attachment": {"url": "http://old.example/4.png", "kind": "image"}}),
        json!({"type": "conversation", "ref": "65f1", "kind": "direct", "users": ["ann", "bob"], "creator": "bob",
               "createdAt": 1_714_557_600_000_u64}),
        json!({"type": "member", "user": "ann"}),
        json!({"type": "member", "user": "bob"}),
        json!({"type": "message", "at": 1_714_557_601_000_u64, "sender": "bob", "content": "hello ann"}),
        json!({"type": "seen", "user": "bob", "at": at(9)}),
    ];
    lines.iter().fold(FIRST.to_owned(), |text, line| format!("{text}{line}\n"))
}

#[test]
fn from_another_system() {
    let data = Data::new();
    let ran = data.muster(&["import", "--map", "ids.jsonl"], &foreign()).done();
    assert!(ran.err.contains("warning: standard input has no line `end`"), "{ran:?}");
    let exported = data.export();
    data.import(&foreign()).done();
    assert_eq!(data.export(), exported, "again it is the same");

    // Cut off anywhere, it goes on.
    let lines: Vec<String> = foreign().lines().map(|line| format!("{line}\n")).collect();
    for cut in [5, 7, 8, 9, 12] {
        let other = Data::new();
        other.import(&lines[..cut].concat()).done();
        other.import(&foreign()).done();
        assert_eq!(other.export(), exported, "cut after line {cut}");
    }

    let server = data.serve();
    let unread = |user: &str| -> Vec<(String, u64)> {
        let (rows, _) = connect(&server, user).chat().list(&[], 10).unwrap();
        let named = rows.into_iter().map(|row| {
            (row.conversation.name.map_or_else(|| "direct".to_owned(), |name| name.to_string()), row.unread)
        });
        named.collect()
    };
    let rows = |group: u64, direct: u64| vec![("Old team".to_owned(), group), ("direct".to_owned(), direct)];
    // Ann has written last, Bob has read two, Cat came before the last.
    assert_eq!((unread("ann"), unread("bob")), (rows(0, 1), rows(1, 0)));
    assert_eq!(unread("cat"), [("Old team".to_owned(), 1)]);
    assert_eq!(unread("eve"), []);
    let mut ann = connect(&server, "ann");
    let direct = ConversationId::of_pair(&id("ann"), &id("bob"));
    assert_eq!(&*ann.chat().history(direct, None, None, false, 10).unwrap().messages[0].content, "hello ann");
    let map = fs::read_to_string(data.file("ids.jsonl")).unwrap();
    let ids: Vec<Value> = map.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let new_id =
        |old: &str| ids.iter().find(|row| row["ref"] == old).unwrap()["id"].as_str().unwrap().to_owned();
    assert_eq!(new_id("65f1"), direct.to_string());
    let group: ConversationId = new_id("65f0").parse().unwrap();
    let history = ann.chat().history(group, None, None, false, 10).unwrap().messages;
    let told: Vec<_> = history.iter().map(|one| (one.sequence, &*one.content, one.deleted)).collect();
    assert_eq!(told, [(4, "four", false), (3, "", true), (2, "two", false), (1, "one", false)]);
    assert_eq!(history[0].id.to_string(), new_id("m4"));
    assert_eq!(history[1].id.at, history[2].id.at + 1, "no two have one time");
    assert_eq!(history[3].reads[0].user, id("bob"));
    // It goes on where it was.
    assert_eq!(say(&mut ann, group, "five", None).sequence, 5);
    drop(ann);
    stop(server);
    data.import(&foreign()).done();
    assert!(data.export().contains("five"));
}

#[test]
fn bad_lines_are_told_with_their_number() {
    let data = Data::new();
    let bad = |lines: &[Value], words: &str| {
        let text = lines.iter().fold(FIRST.to_owned(), |text, line| format!("{text}{line}\n"));
        let number = format!("standard input: line {}: ", lines.len() + 1);
        let ran = data.import(&text);
        ran.failed(&number);
        ran.failed(words);
    };
    let group = json!({"type": "conversation", "ref": "g", "kind": "group", "name": "n", "creator": "ann",
                       "createdAt": 1_000});
    let ann = json!({"type": "member", "user": "ann"});
    let message =
        |at: u64, sender: &str| json!({"type": "message", "at": at, "sender": sender, "content": "x"});
    let with = |line: &Value, key: &str, value: Value| {
        let mut line = line.clone();
        line[key] = value;
        line
    };
    data.import("").failed("the first line must be");
    data.import("{\"type\":\"seen\"}").failed("line 1: missing field");
    data.import("{\"type\":\"muster-export\",\"version\":2}")
        .failed("line 1: format 2, and this Muster reads");
    data.import(&format!("{FIRST}not json")).failed("line 2: expected");
    data.import(&format!("{FIRST}{FIRST}")).failed("line 2: muster-export stands in the first line only");
    bad(&[json!({"type": "nothing"})], "unknown variant `nothing`, expected");
    bad(std::slice::from_ref(&ann), "there is no conversation yet");
    bad(&[with(&group, "kind", json!("x"))], "kind must be");
    bad(&[with(&group, "extra", json!("?"))], "extra must be Base64");
    bad(&[with(&group, "colour", json!(1))], "unknown field `colour`, expected one of");
    bad(&[with(&group, "createdAt", json!("yesterday"))], "expected a time such as");
    bad(&[with(&group, "id", json!("65f0c9"))], "id is no id of Muster's: give another system's as ref");
    bad(&[with(&group, "realm", json!("other"))], "realm \"other\" is not configured: add it");
    bad(&[with(&group, "kind", json!("direct"))], "a direct conversation needs users");
    bad(&[with(&group, "name", json!(" "))], "a group needs a name");
    bad(&[group.clone(), with(&ann, "user", json!(""))], "is no user's id: an id must not be empty");
    bad(&[group.clone(), ann.clone(), ann.clone()], "\"ann\" is in this conversation already");
    bad(&[group.clone(), with(&ann, "role", json!("king"))], "role must be");
    bad(
        &[group.clone(), ann.clone(), message(2, "bob")],
        "\"bob\" is no member of this conversation: give a member line",
    );
    bad(&[group.clone(), ann.clone(), message(2, "ann"), message(1, "ann")], "sort them by at");
    bad(
        &[group.clone(), ann.clone(), message(2, "ann"), ann.clone()],
        "members of a conversation stand before",
    );
    bad(
        &[group.clone(), ann.clone(), with(&message(2, "ann"), "content", json!(""))],
        "content must not be empty",
    );
    bad(
        &[group.clone(), ann.clone(), with(&message(2, "ann"), "content", json!("x".repeat(50_000)))],
        "is the most",
    );
    bad(
        &[group.clone(), ann.clone(), with(&message(2, "ann"), "deleted", json!(true))],
        "neither content nor",
    );
    bad(&[group.clone(), group.clone()], "has no members");
    let end = json!({"type": "end", "conversations": 2, "messages": 0, "seen": 0});
    bad(&[group.clone(), ann.clone(), end], "the file is not whole");
    data.import(&format!("{FIRST}{group}")).failed("after line 2: conversation");
    // Whatever was wrong above, what came before it is there, and is there once.
    data.import(&format!("{FIRST}{group}\n{ann}\n{}\n", message(2, "ann"))).done();
    let export = data.export();
    assert_eq!(export.lines().count(), 5, "{export}");

    let elsewhere = Data(tempfile::tempdir().unwrap(), String::new());
    drop(command(elsewhere.path(), "epoll", "", &[]));
    elsewhere.muster(&["export"], "").failed("store.kind is \"memory\"");
    let empty = Data::new();
    empty.muster(&["export"], "").failed("there is no store in");
    assert!(!empty.file("data/store").exists(), "and none was begun");
    empty.muster(&["import", "nowhere.jsonl"], "").failed("nowhere.jsonl: No such file");
}

#[test]
fn an_erased_person_is_nowhere() {
    let data = Data::new();
    let server = data.serve();
    live(&server);
    let [bob_token, ann_token] = ["bob", ANN].map(|user| server.token(user));
    let file = url(&send(&server, &bob_token, &form("bob.gif", "image/gif", b"GIF89a bob's picture")));
    url(&send(&server, &ann_token, &form("ann.gif", "image/gif", b"GIF89a ann's picture")));
    let mut bob = connect(&server, "bob");
    let feed = make(&mut bob, Kind::Group, &["cat"]);
    say(&mut bob, feed, &format!("bob's file is {file}"), None);
    let only = NewConversation {
        id: None,
        kind: Kind::Feed,
        name: None,
        members: vec![NewMember { user: id("bob"), role: Role::Member }],
        extra: [].into(),
    };
    let only = bob.chat().create(only).unwrap().0.id;
    say(&mut bob, only, "bob's notes", None);
    drop(bob);
    stop(server);

    let before = data.export();
    assert!(before.contains("bob's words 3") && before.contains("\"user\":\"bob\""));
    let dry = data.muster(&["erase", "--user", "bob", "--dry-run"], "").done();
    assert!(dry.err.contains("would be removed (nothing was)"), "{dry:?}");
    assert_eq!(data.export(), before);
    data.muster(&["erase", "--user", "bob", "--realm", "other"], "")
        .failed("realm \"other\" is not configured");
    let ran = data.muster(&["erase", "--user", "bob"], "").done();
    let told = "removed: 63 messages, 30 names of messages, 5 memberships in 5 conversations (of which 1 had nobody \
                else and go as a whole), last seen, 1 files";
    assert!(ran.err.contains(told), "{ran:?}");

    let after = data.export();
    assert!(!after.contains("bob"), "{after}");
    for n in 0..30 {
        assert!(after.contains(&format!("ann's words {n} ")), "what others wrote stays");
    }
    let media = |folder: &str| fs::read_dir(data.file("data/media").join(folder)).unwrap().count();
    assert_eq!((media("messages"), media("about")), (1, 1), "ann's is still there");
    let again = data.muster(&["erase", "--user", "bob"], "").done();
    assert!(
        again.err.contains("removed: 0 messages, 0 names of messages, 0 memberships in 0 conversations"),
        "{again:?}"
    );
    assert!(again.err.contains("no last seen, 0 files"), "{again:?}");
    assert_eq!(data.export(), after);

    // The server goes on with it.
    let server = data.serve();
    let mut ann = connect(&server, ANN);
    let (rows, _) = ann.chat().list(&[], 10).unwrap();
    assert_eq!((rows.len(), rows.iter().map(|row| row.unread).sum::<u64>()), (3, 0), "{rows:?}");
    let direct = ConversationId::of_pair(&id(ANN), &id("bob"));
    say(&mut ann, direct, "are you there?", None);
    assert_eq!(connect(&server, "bob").chat().list(&[], 10).unwrap().0, []);
    assert_eq!(connect(&server, "cat").chat().list(&[], 10).unwrap().0.len(), 1);
    drop(ann);
    stop(server);
}

#[test]
fn old_messages_are_forgotten() {
    let data = Data::with("conversations.retention_group = \"8s\"\n");
    let server = data.serve();
    let [mut ann, mut bob] = [ANN, "bob"].map(|user| connect(&server, user));
    let (group, direct) = (make(&mut ann, Kind::Group, &["bob"]), make(&mut ann, Kind::Direct, &["bob"]));
    for n in 0..5 {
        say(&mut ann, group, &format!("old words {n}"), Some(&format!("old-{n}")));
        say(&mut ann, direct, &format!("kept words {n}"), None);
    }
    assert_eq!(bob.chat().unread(group).unwrap(), 5);
    let page = |client: &mut Client, of| client.chat().history(of, None, None, false, 100).unwrap().messages;
    let history = eventually("messages of the group go, all or none", || {
        let history = page(&mut bob, group);
        // They were said within a moment, and each look finds the newest that is too old.
        history.is_empty().then_some(history)
    });
    assert_eq!((history.len(), page(&mut bob, direct).len()), (0, 5));
    let rows = |client: &mut Client| -> Vec<(ConversationId, u64, bool)> {
        let rows = client.chat().list(&[], 10).unwrap().0;
        let mut rows: Vec<_> =
            rows.iter().map(|row| (row.conversation.id, row.unread, row.last.is_some())).collect();
        rows.sort_by_key(|row| row.0 != group);
        rows
    };
    assert_eq!(rows(&mut bob), [(group, 0, false), (direct, 5, true)]);
    assert_eq!(say(&mut ann, group, "young words", None).sequence, 6);
    assert_eq!(rows(&mut bob), [(group, 1, true), (direct, 5, true)]);
    drop((ann, bob));
    stop(server);
    let exported = data.export();
    assert!(!exported.contains("old words") && exported.contains("\"type\":\"forgotten\""), "{exported}");
    let other = Data::new();
    other.import(&exported).done();
    assert_eq!(other.export(), exported);

    // The next server knows where it was.
    let server = other.serve();
    let mut bob = connect(&server, "bob");
    assert_eq!((bob.chat().unread(group).unwrap(), page(&mut bob, group).len()), (1, 1));
    assert_eq!(say(&mut bob, group, "more", None).sequence, 7);
    drop(bob);
    stop(server);
}
