//! The same thing asked for twice is done once.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::people::{ANN, BOB, CAT, Person, text};
use crate::support::Node;

pub(crate) fn a_message_is_sent_once(io: &str) {
    let node = Node::start_on(io, "");
    let [ann, bob] = [ANN, BOB].map(|id| Person::new(&node, id));
    let id = ann.direct(BOB);
    let body = json!({"conversationId": id, "content": "once"}).to_string();
    let send = |person: &Person<'_>, key: &str, body: &str| {
        let answer = person.call("POST", "/messages", &[("Idempotency-Key", key)], body);
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()
    };
    let first = send(&ann, "key-1", &body);
    assert_eq!(first["clientMessageId"], "key-1");
    assert_eq!(send(&ann, "key-1", &body), first);
    assert_eq!(
        send(&ann, "\"key-1\"", &json!({"conversationId": id, "content": "other words"}).to_string()),
        first
    );
    let in_body = json!({"conversationId": id, "content": "once", "clientMessageId": "key-1"});
    assert_eq!(ann.make("/messages", &in_body), first);
    // Another sender's, or another conversation's, is another one.
    assert_ne!(send(&bob, "key-1", &body)["id"], first["id"]);
    let elsewhere = json!({"conversationId": ann.direct(CAT), "content": "once"}).to_string();
    assert_ne!(send(&ann, "key-1", &elsewhere)["id"], first["id"]);
    assert_eq!(ann.history(&id).len(), 2);

    // Many at the same time.
    let ids: BTreeSet<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                let (node, body) = (&node, &body);
                scope.spawn(move || {
                    let headers = [("Idempotency-Key", "key-2")];
                    text(&Person::new(node, ANN).call("POST", "/messages", &headers, body).json()["id"])
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(ann.history(&id).len(), 3);
    assert_eq!(bob.unread(&id), 1, "an own message came between");

    // What was changed since is shown as it is now.
    ann.put(&format!("/messages/{}", text(&first["id"])), &json!({"content": "changed"}));
    assert_eq!(send(&ann, "key-1", &body)["content"], "changed");
    for (key, words) in [("", 400), (" ", 400), (&*"x".repeat(256), 400), (&*"x".repeat(255), 201)] {
        let answer = ann.call("POST", "/messages", &[("Idempotency-Key", key)], &body);
        assert_eq!(answer.status, words, "{key}");
    }
    let two = json!({"conversationId": id, "content": "x", "clientMessageId": "a"}).to_string();
    assert_eq!(ann.call("POST", "/messages", &[("Idempotency-Key", "b")], &two).status, 400);
    assert_eq!(ann.history(&id).len(), 4);
}

pub(crate) fn a_group_is_made_once(io: &str) {
    let node = Node::start_on(io, "");
    let [ann, bob] = [ANN, BOB].map(|id| Person::new(&node, id));
    let body =
        json!({"participantIds": [BOB], "conversationType": "group", "conversationName": "Once"}).to_string();
    let make = |person: &Person<'_>, key: &str| {
        person.call("POST", "/conversations", &[("Idempotency-Key", key)], &body).json()["id"].clone()
    };
    let first = make(&ann, "g");
    assert_eq!(make(&ann, "g"), first);
    assert_ne!(make(&ann, "h"), first);
    assert_ne!(make(&bob, "g"), first);
    assert_eq!(ann.get("/conversations").as_array().unwrap().len(), 2);
}

pub(crate) fn two_make_the_same_conversation(io: &str) {
    let node = Node::start_on(io, "");
    let ids: BTreeSet<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|n| {
                let node = &node;
                scope.spawn(move || {
                    let (me, other) = if n % 2 == 0 { (ANN, BOB) } else { (BOB, ANN) };
                    let person = Person::new(node, me);
                    let sent =
                        person.make("/messages", &json!({"recipientId": other, "content": n.to_string()}));
                    text(&sent["conversationId"])
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(ids.len(), 1, "{ids:?}");
    let ann = Person::new(&node, ANN);
    assert_eq!(ann.history(ids.first().unwrap()).len(), 16);
    assert_eq!(ann.get("/conversations").as_array().map(Vec::len), Some(1));
    let words = json!({"recipientId": ANN, "content": "to myself"});
    ann.refused("POST", "/messages", &words, 400, "recipientId must be somebody else");
    assert_eq!(ann.get("/conversations")[0]["participants"].as_array().map(Vec::len), Some(2));
    assert_ne!(ann.get("/conversations")[0]["lastMessage"], Value::Null);
}
