//! Users are erased while the server runs: over real sockets, on every store, and over a crash.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "messaging/people.rs"]
mod people;
mod support;

use std::path::Path;

use people::{ANN, BOB, CAT, Person};
use schema::Id;
use schema::chat::{Draft, Kind, NewConversation, NewMember, Role};
use serde_json::{Value, json};
use support::forms::{form, path, send, url};
use support::process::Process;
use support::{Answer, Site, eventually, on_both};

on_both!(
    an_erased_user_is_nowhere_in_memory,
    an_erased_user_is_nowhere_on_disk,
    a_crash_in_the_middle_does_not_end_it,
    who_may_erase_and_what,
);

/// Who is named where somebody was erased.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

fn call(site: &Site, token: &str, user: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    site.call("DELETE", &format!("/server/v1/users/{user}"), &[("Authorization", &bearer)], "")
}

/// Asks until it is done, and says what was removed.
#[track_caller]
fn erased(site: &Site, user: &str) -> Value {
    let token = site.service_token();
    eventually("a user is erased", || {
        let answer = call(site, &token, user);
        assert!([200, 202].contains(&answer.status), "{answer:?}");
        assert_eq!(answer.json()["done"], answer.status == 200);
        (answer.status == 200).then(|| answer.json())
    })
}

fn notes(folder: &Path) -> usize {
    std::fs::read_dir(folder.join("data/erasing")).map_or(0, Iterator::count)
}

fn an_erased_user_is_nowhere_in_memory(io: &str) {
    an_erased_user_is_nowhere(io, "memory");
}

fn an_erased_user_is_nowhere_on_disk(io: &str) {
    an_erased_user_is_nowhere(io, "embedded");
}

fn an_erased_user_is_nowhere(io: &str, store: &str) {
    let folder = tempfile::tempdir().unwrap();
    let settings = format!("store.kind = {store:?}\npresence.grace = \"60s\"\n");
    let server = Process::start_in(folder.path(), io, &settings);
    let site = server.site();
    let [ann, bob, cat] = [ANN, BOB, CAT].map(|id| Person::new(&site, id));
    let direct = ann.direct(BOB);
    let group = ann.group(&[BOB, CAT]);
    let left = bob.group(&[ANN, CAT]);
    let apart = bob.direct(CAT);
    let file = url(&send(&site, &ann.token, &form("photo.gif", "image/gif", b"GIF89a of ann")));
    let kept = url(&send(&site, &bob.token, &form("photo.gif", "image/gif", b"GIF89a of bob")));
    for n in 0..25 {
        ann.say(&direct, &format!("ann's words {n}"));
    }
    let body =
        json!({"conversationId": group, "content": "", "attachmentUrl": file, "attachmentType": "image"});
    ann.make("/messages", &body);
    bob.say(&group, "bob's words");
    ann.say(&left, "ann leaves");
    ann.delete(&format!("/conversations/{left}/participants/{ANN}"));
    bob.say(&apart, "of other things");

    // She is online on two devices, and another one looks.
    let mut devices = [site.online(ANN), site.online(ANN)];
    let mut watcher = site.online("watcher");
    assert!(watcher.subscribe(&[ANN])[ANN]);

    let removed = erased(&site, ANN);
    assert_eq!(
        removed,
        json!({
            "done": true, "conversations": 3, "gone": 0, "memberships": 3, "messages": 27, "files": 1, "lastSeen": true,
        })
    );
    for device in &mut devices {
        assert!(device.closed() >= 4_000, "her sessions are ended");
    }
    assert_eq!(watcher.presence(), [(ANN.to_owned(), false)], "without waiting for her grace");
    assert_eq!(site.get(path(&file)).status, 404);
    assert_eq!(site.get(path(&kept)).status, 200);

    for conversation in [&direct, &group, &left] {
        for message in bob.history(conversation) {
            if message["senderId"] == BOB {
                assert_eq!(message["isDeleted"], false, "what others wrote is theirs: {message}");
                continue;
            }
            assert_eq!(
                (&message["senderId"], &message["isDeleted"]),
                (&json!(NOBODY), &json!(true)),
                "{message}"
            );
            assert_eq!(
                (&message["content"], &message["attachmentUrl"]),
                (&json!(""), &Value::Null),
                "{message}"
            );
        }
        let all = bob.get(&format!("/conversations/{conversation}")).to_string();
        assert!(!all.contains(ANN), "{all}");
    }
    assert_eq!(
        (bob.unread(&direct), cat.unread(&group), cat.unread(&left), cat.unread(&apart)),
        (0, 1, 0, 1)
    );
    assert!(!bob.get("/conversations").to_string().contains(ANN));
    // She is a stranger now, who was never seen.
    assert_eq!(ann.get("/conversations"), json!([]));
    assert_eq!(ann.call("GET", &format!("/messages/conversation/{direct}"), &[], "").status, 403);
    let query = json!({"userIds": [ANN]}).to_string();
    let rows = site.post_as(&site.service_token(), "/server/v1/presence/query", &query).json();
    assert_eq!(
        rows["users"][0],
        json!({"userId": ANN, "status": "offline", "online": false, "lastSeen": null})
    );
    // The others go on.
    bob.say(&direct, "alone");
    bob.say(&group, "without her");

    let nothing = json!({
        "done": true, "conversations": 0, "gone": 0, "memberships": 0, "messages": 0, "files": 0, "lastSeen": false,
    });
    assert_eq!(erased(&site, ANN), nothing, "again finds nothing");
    assert_eq!(notes(folder.path()), 0, "nothing is left to do");

    server.terminate();
    assert!(server.ended().status.success());
    if store == "memory" {
        return;
    }
    // Nothing comes back with the next start.
    let server = Process::start_in(folder.path(), io, &settings);
    let site = server.site();
    let bob = Person::new(&site, BOB);
    let history = bob.history(&direct);
    assert_eq!((history.len(), &history[0]["content"]), (26, &json!("alone")));
    assert!(!bob.get("/conversations").to_string().contains(ANN));
    assert_eq!(erased(&site, ANN), nothing);
}

fn a_crash_in_the_middle_does_not_end_it(io: &str) {
    const CONVERSATIONS: usize = 400;
    let folder = tempfile::tempdir().unwrap();
    let settings = "store.kind = \"embedded\"\nlimits.commands_per_second = 1000000\n\
                    limits.commands_burst = 1000000\nmessaging_api.calls_limit = 1000000\n";
    let server = Process::start_in(folder.path(), io, settings);
    let site = server.site();
    let mut ann = site.client(site.token(ANN));
    let mut all: Vec<String> = (0..CONVERSATIONS)
        .map(|_| {
            let members =
                [BOB, CAT].map(|user| NewMember { user: Id::new(user).unwrap(), role: Role::Member });
            let new = NewConversation {
                id: None,
                kind: Kind::Group,
                name: Some("Team".into()),
                members: members.into(),
                extra: [][..].into(),
            };
            let conversation = ann.chat().create(new).unwrap().0.id;
            let draft = Draft {
                conversation,
                client_id: None,
                kind: 0,
                content: "ann's words".into(),
                attachment: None,
            };
            ann.chat().send(draft).unwrap();
            conversation.to_string()
        })
        .collect();
    drop(ann);
    // They are gone through in the order of their ids.
    all.sort();
    let wiped = |site: &Site, conversation: &str| {
        Person::new(site, BOB).history(conversation)[0]["senderId"] == NOBODY
    };
    std::thread::scope(|scope| {
        let (site, token) = (&site, site.service_token());
        let waiting = scope.spawn(move || std::panic::catch_unwind(|| call(site, &token, ANN)));
        eventually("it has begun", || wiped(site, &all[0]).then_some(()));
        server.kill();
        // Whoever asked does not hear the end.
        _ = waiting.join();
    });
    assert_eq!(notes(folder.path()), 1);

    let server = Process::start_in(folder.path(), io, settings);
    assert!(server.log().contains("going on with erasing users"), "{}", server.log());
    let site = server.site();
    // Nobody has to ask again.
    eventually("it goes on by itself", || (notes(folder.path()) == 0).then_some(()));
    for conversation in &all {
        assert!(wiped(&site, conversation), "{conversation}");
    }
    let listed = Person::new(&site, BOB).get("/conversations").to_string();
    assert!(!listed.contains(ANN));
    // Who asks is told what was left to be done, and then that there is nothing.
    let rest = erased(&site, ANN);
    // The first words were gone when it was cut off; whether their conversation was through then is luck.
    let count = rest["messages"].as_u64().unwrap() as usize;
    assert!((1..CONVERSATIONS).contains(&count), "it was cut off in the middle, and went on there: {rest}");
    assert_eq!(erased(&site, ANN)["conversations"], 0);
}

fn who_may_erase_and_what(io: &str) {
    let server = Process::start_on(io, "limits.user_id = 64\n");
    let code = |answer: &Answer| answer.json()["error"]["code"].as_str().unwrap().to_owned();
    let answer = server.call("DELETE", "/server/v1/users/ann", &[], "");
    assert_eq!((answer.status, code(&answer).as_str()), (401, "TOKEN_MISSING"));
    let answer = call(&server, &server.token("ann"), "ann");
    assert_eq!((answer.status, code(&answer).as_str()), (403, "FORBIDDEN"), "not even oneself");
    let service = server.service_token();
    for bad in ["%00", "%ff", &"x".repeat(65)] {
        let answer = call(&server, &service, bad);
        assert_eq!((answer.status, code(&answer).as_str()), (400, "INVALID"), "{bad}");
    }
    assert_eq!(server.call("GET", "/server/v1/users/ann", &[], "").status, 405);
    // Nobody of that name was ever here.
    assert_eq!(erased(&server, "nobody")["lastSeen"], false);
    // Several at once, and the same one twice.
    std::thread::scope(|scope| {
        for user in ["ann", "bob", "ann", "cat", "ann"] {
            let site = server.site();
            scope.spawn(move || assert_eq!(erased(&site, user)["done"], true));
        }
    });
}
