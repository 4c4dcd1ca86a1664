//! What cannot be used is refused in the API's words, and changes nothing.

use serde_json::{Value, json};

use crate::people::{ANN, BASE, BOB, CAT, Person, failure, text};
use crate::support::{Node, raw};

pub(crate) fn bad_requests_change_nothing(io: &str) {
    let node = Node::start_on(io, "");
    let ann = Person::new(&node, ANN);
    let id = ann.group(&[BOB]);
    let direct = ann.direct(CAT);
    let message = text(&ann.say(&id, "first")["id"]);
    let seen = || (ann.get("/conversations"), ann.history(&id), ann.get(&format!("/messages/{message}")));
    let before = seen();

    let conversations = "/conversations";
    let conversation = format!("/conversations/{id}");
    let participants = format!("/conversations/{id}/participants");
    let messages = "/messages";
    let edit = format!("/messages/{message}");
    let calls: [(&str, &str); 5] = [
        ("POST", conversations),
        ("PUT", &conversation),
        ("POST", &participants),
        ("POST", messages),
        ("PUT", &edit),
    ];
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    for (method, path) in calls {
        for body in ["", " ", "{", "[]", "null", "1", "\"x\"", "{}x", "{\"a\":}", "{'a':1}", "{}", &deep] {
            let answer = ann.call(method, path, &[("Content-Type", "application/json")], body);
            assert_eq!(answer.status, 400, "{method} {path} {body:.60}: {}", answer.body);
            failure(&answer);
        }
        let answer = ann.call(method, path, &[("Content-Type", "text/plain")], "{}");
        assert_eq!(
            (answer.status, failure(&answer).as_str()),
            (415, "Content-Type must be application/json")
        );
        let answer = ann.call(method, path, &[], &" ".repeat(2 << 20));
        assert_eq!(answer.status, 413);
        failure(&answer);
        let head = format!(
            "{method} {BASE}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: 33\r\n\r\n",
            ann.token
        );
        let bytes = [head.as_bytes(), b"{\"content\":\"\xff\xfe\",\"name\":\"\xff\", \"x\":1}"].concat();
        assert_eq!(raw(node.addresses.http, &bytes).status, 400, "{method} {path}");
    }

    let long = "x".repeat(300);
    let content = "ả".repeat(10_001);
    let url = format!("https://h.example/{}", "x".repeat(2_048));
    let many: Vec<String> = (0..1_001).map(|n| n.to_string()).collect();
    let matrix: Vec<(&str, &str, Value)> = vec![
        ("POST", conversations, json!({"participantIds": []})),
        ("POST", conversations, json!({"participantIds": BOB})),
        ("POST", conversations, json!({"participantIds": [1]})),
        ("POST", conversations, json!({"participantIds": [null]})),
        ("POST", conversations, json!({"participantIds": [""]})),
        ("POST", conversations, json!({"participantIds": ["a\u{0}b"]})),
        ("POST", conversations, json!({"participantIds": [long]})),
        ("POST", conversations, json!({"participantIds": [ANN]})),
        ("POST", conversations, json!({"participantIds": [ANN, ANN], "conversationType": "direct"})),
        ("POST", conversations, json!({"participantIds": [BOB, CAT], "conversationType": "direct"})),
        ("POST", conversations, json!({"participantIds": [BOB], "conversationType": "trade"})),
        ("POST", conversations, json!({"participantIds": [BOB], "conversationType": 1})),
        ("POST", conversations, json!({"participantIds": [BOB], "conversationType": "group"})),
        (
            "POST",
            conversations,
            json!({"participantIds": [BOB], "conversationType": "group", "conversationName": " "}),
        ),
        (
            "POST",
            conversations,
            json!({"participantIds": [BOB], "conversationType": "group", "conversationName": long}),
        ),
        (
            "POST",
            conversations,
            json!({"participantIds": [ANN], "conversationType": "group", "conversationName": "x"}),
        ),
        (
            "POST",
            conversations,
            json!({"participantIds": [BOB], "conversationType": "direct", "isGroup": true}),
        ),
        ("POST", conversations, json!({"participantIds": [BOB], "isGroup": "yes", "name": "x"})),
        (
            "POST",
            conversations,
            json!({"participantIds": many, "conversationType": "group", "conversationName": "x"}),
        ),
        ("PUT", &conversation, json!({"conversationName": ""})),
        ("PUT", &conversation, json!({"conversationName": null})),
        ("PUT", &conversation, json!({"conversationName": 7})),
        ("PUT", &conversation, json!({"conversationName": long})),
        ("POST", &participants, json!({"userId": ""})),
        ("POST", &participants, json!({"userId": 7})),
        ("POST", &participants, json!({"userId": CAT, "participantIds": [CAT]})),
        ("POST", &participants, json!({"participantIds": [CAT, ""]})),
        ("POST", messages, json!({"content": "x"})),
        ("POST", messages, json!({"conversationId": id})),
        ("POST", messages, json!({"conversationId": id, "content": ""})),
        ("POST", messages, json!({"conversationId": id, "content": null})),
        ("POST", messages, json!({"conversationId": id, "content": 7})),
        ("POST", messages, json!({"conversationId": id, "content": ["x"]})),
        ("POST", messages, json!({"conversationId": id, "content": content})),
        ("POST", messages, json!({"conversationId": id, "recipientId": BOB, "content": "x"})),
        ("POST", messages, json!({"recipientId": "", "content": "x"})),
        ("POST", messages, json!({"recipientId": "nobody yet", "content": ""})),
        ("POST", messages, json!({"conversationId": id, "content": "x", "attachmentUrl": "photo.jpg"})),
        (
            "POST",
            messages,
            json!({"conversationId": id, "content": "x", "attachmentUrl": "javascript:alert(1)"}),
        ),
        ("POST", messages, json!({"conversationId": id, "content": "x", "attachmentUrl": "//h.example/x"})),
        ("POST", messages, json!({"conversationId": id, "content": "x", "attachmentUrl": url})),
        ("POST", messages, json!({"conversationId": id, "content": "x", "attachmentUrl": ""})),
        ("POST", messages, json!({"conversationId": id, "content": "x", "attachmentType": "image"})),
        (
            "POST",
            messages,
            json!({"conversationId": id, "attachmentUrl": "http://h/x", "attachmentType": "exe"}),
        ),
        ("POST", messages, json!({"conversationId": id, "content": "x", "clientMessageId": ""})),
        ("POST", messages, json!({"conversationId": id, "content": "x", "clientMessageId": long})),
        ("POST", messages, json!({"conversationId": id, "content": "x", "clientMessageId": 7})),
        ("PUT", &edit, json!({"content": ""})),
        ("PUT", &edit, json!({"content": content})),
    ];
    for (method, path, body) in &matrix {
        let answer = ann.call(method, path, &[], &body.to_string());
        assert_eq!(answer.status, 400, "{method} {path} {body:.200}: {}", answer.body);
        failure(&answer);
    }
    for body in [
        format!(r#"{{"conversationId":"{id}","content":"a","content":"b"}}"#),
        format!(r#"{{"conversationId":"{id}","content":"a","x":{{"y":1,"y":2}}}}"#),
        format!(r#"{{"conversationId":"{id}","content":"\ud800"}}"#),
    ] {
        assert_eq!(ann.call("POST", messages, &[], &body).status, 400, "{body}");
    }
    ann.refused(
        "DELETE",
        &format!("/conversations/{direct}/participants/{CAT}"),
        &Value::Null,
        400,
        "Participants can only be removed from a group",
    );
    assert_eq!(seen(), before);

    // What is just within the bounds is taken, and what nobody asked for is left alone.
    let fits = json!({
        "conversationId": id, "content": "ả".repeat(10_000), "attachmentUrl": "https://h.example/x?y#z",
        "somethingElse": {"a": [1, 2, {"b": null}]},
    });
    let sent = ann.make("/messages", &fits);
    assert_eq!(sent["content"], fits["content"]);
    let answer = ann.call(
        "POST",
        "/messages",
        &[("Content-Type", "application/json; charset=utf-8")],
        &fits.to_string(),
    );
    assert_eq!(answer.status, 201);
}

pub(crate) fn the_dialect_of_the_front_end(io: &str) {
    let node = Node::start_on(io, "");
    let [ann, bob] = [ANN, BOB].map(|id| Person::new(&node, id));
    let group =
        ann.make("/conversations", &json!({"participantIds": [BOB], "isGroup": true, "name": "Band"}));
    assert_eq!((&group["conversationType"], &group["conversationName"]), (&json!("group"), &json!("Band")));
    let path = format!("/conversations/{}", text(&group["id"]));
    assert_eq!(ann.put(&path, &json!({"name": "Duo"}))["conversationName"], "Duo");
    let direct = ann.make("/conversations", &json!({"participantIds": [BOB], "isGroup": false}));
    assert_eq!(direct["conversationType"], "direct");
    let sent = bob.make("/messages", &json!({"recipientId": ANN, "content": "hi"}));
    assert_eq!(sent["conversationId"], direct["id"]);
    // Several at once: those who are there are passed over.
    let added = ann.make(&format!("{path}/participants"), &json!({"participantIds": [CAT, BOB, "dan"]}));
    assert_eq!((&added["userId"], &added["conversationId"]), (&json!(CAT), &group["id"]));
    let users: Vec<&Value> =
        added["participants"].as_array().unwrap().iter().map(|row| &row["userId"]).collect();
    assert_eq!(users, [CAT, "dan"]);
    let again = json!({"participantIds": [CAT, BOB]});
    ann.refused("POST", &format!("{path}/participants"), &again, 409, "User is already a participant");
    // The token says who calls, and nothing else does.
    let answer = ann.call(
        "POST",
        "/messages",
        &[("X-User-ID", BOB)],
        &json!({"recipientId": BOB, "content": "me"}).to_string(),
    );
    assert_eq!(answer.json()["senderId"], ANN);
}

pub(crate) fn attachments_may_be_our_own_only(io: &str) {
    let node =
        Node::start_on(io, "attachments.own_only = true\nmedia.public_base = \"https://files.example\"");
    let ann = Person::new(&node, ANN);
    let id = ann.direct(BOB);
    let send = |url: &str| {
        let body = json!({"conversationId": id, "content": "x", "attachmentUrl": url}).to_string();
        ann.call("POST", "/messages", &[], &body).status
    };
    assert_eq!(send("https://files.example/messaging/messages/17-photo.jpg"), 201);
    assert_eq!(send("https://files.example.evil/messaging/messages/17-photo.jpg"), 400);
    assert_eq!(send("https://files.example/other/17-photo.jpg"), 400);
    assert_eq!(send("http://h.example/x"), 400);
}

pub(crate) fn odd_paths(io: &str) {
    let node = Node::start_on(io, "");
    let ann = Person::new(&node, ANN);
    let id = ann.direct(BOB);
    let message = text(&ann.say(&id, "here")["id"]);
    let nobody = "ffffffff-ffff-8fff-bfff-f00000000000";
    for bad in ["conv-uuid-123", "1", "%00", "%ff", "..", "x%2Fy", nobody, &message, &"x".repeat(4_000)] {
        for (method, path) in [
            ("GET", format!("/conversations/{bad}")),
            ("DELETE", format!("/conversations/{bad}")),
            ("DELETE", format!("/conversations/{bad}/participants/{BOB}")),
            ("GET", format!("/messages/conversation/{bad}")),
            ("POST", format!("/messages/conversation/{bad}/read")),
            ("GET", format!("/messages/conversation/{bad}/unread-count")),
        ] {
            let answer = ann.call(method, &path, &[], "");
            assert_eq!(answer.status, 404, "{method} {path:.80}: {}", answer.body);
            failure(&answer);
        }
    }
    // The last could be the id of a message, if one had been said at that time.
    let nothing = format!("{}fff", &message[..message.len() - 3]);
    for bad in ["msg-uuid-456", "%ff", &id, nobody, &nothing] {
        for (method, path) in [
            ("GET", format!("/messages/{bad}")),
            ("DELETE", format!("/messages/{bad}")),
            ("POST", format!("/messages/{bad}/read")),
        ] {
            let answer = ann.call(method, &path, &[], "");
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.body);
            failure(&answer);
        }
    }
    ann.refused(
        "POST",
        "/messages",
        &json!({"conversationId": "conv-uuid-123", "content": "x"}),
        404,
        "Conversation not found",
    );
    // Capitals are the same UUID.
    assert_eq!(ann.get(&format!("/messages/{}", message.to_uppercase()))["content"], "here");
    for (method, path, status) in [
        ("GET", "/messages", 405),
        ("PATCH", "/conversations", 405),
        ("POST", "/messages/conversation/x", 405),
        ("GET", "/conversations/x/participants", 405),
        ("GET", "/conversations/x/y/z", 404),
        ("GET", "/messages/x/y", 404),
    ] {
        let answer = ann.call(method, path, &[], "");
        assert_eq!(answer.status, status, "{method} {path}");
        failure(&answer);
        // That there is none is no secret.
        assert_eq!(node.call(method, &format!("{BASE}{path}"), &[], "").status, status);
    }
    let answer = ann.call("HEAD", "/conversations", &[], "");
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
}
