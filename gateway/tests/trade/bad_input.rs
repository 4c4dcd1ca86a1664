//! What cannot be used is refused in the API's words, and changes nothing.

use serde_json::{Value, json};

use crate::people::{BASE, BUYER, Person, SELLER, failure, text};
use crate::support::{Node, raw};

const ROOM: &str = "42.7";

pub(crate) fn bad_requests_change_nothing(io: &str) {
    let node = Node::start_on(io, "trade_api.calls_limit = 100000");
    let [buyer, seller] = [BUYER, SELLER].map(|id| Person::new(&node, id));
    buyer.make(BUYER, SELLER);
    let message = text(&buyer.say((BUYER, SELLER), "first")["_id"]);
    let seen = || {
        let room = format!("/rooms/{ROOM}");
        (buyer.get(&room), buyer.rooms("BUYER", ""), seller.rooms("SELLER", ""), buyer.contents(ROOM))
    };
    let before = seen();

    let room = |rest: &str| format!("/rooms/{ROOM}{rest}");
    let edit = format!("/messages/{message}");
    let calls = [
        ("POST", "/rooms".to_owned(), true),
        ("PUT", room("/enable"), true),
        ("POST", room("/pin"), false),
        ("DELETE", room("/pin"), false),
        ("PUT", room("/seen"), false),
        ("POST", room("/block"), true),
        ("POST", "/messages".to_owned(), true),
        ("PUT", edit.clone(), true),
    ];
    let deep = format!("{{\"x\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
    for (method, path, needed) in &calls {
        let mut bodies = vec!["{", "[]", "null", "1", "\"x\"", "{}x", "{\"a\":}", "{'a':1}", &deep];
        if *needed {
            bodies.extend(["", " ", "{}"]);
        }
        for body in bodies {
            let answer = buyer.call(method, path, &[("Content-Type", "application/json")], body);
            assert_eq!(answer.status, 400, "{method} {path} {body:.60}: {}", answer.body);
            failure(&answer);
        }
        let answer = buyer.call(method, path, &[("Content-Type", "text/plain")], "{}");
        assert_eq!(
            (answer.status, failure(&answer).as_str()),
            (415, "Content-Type must be application/json")
        );
        let answer = buyer.call(method, path, &[], &" ".repeat(2 << 20));
        assert_eq!(answer.status, 413);
        failure(&answer);
        let head = format!(
            "{method} {BASE}{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: 22\r\n\r\n",
            buyer.token
        );
        let bytes = [head.as_bytes(), b"{\"x\":\"\xff\xfe\",\"role\": 123}"].concat();
        assert_eq!(raw(node.addresses.http, &bytes[..head.len() + 22]).status, 400, "{method} {path}");
    }

    let long = "x".repeat(300);
    let content = "ả".repeat(10_001);
    let large = "x".repeat(17_000);
    let new = |change: Value| {
        let mut body = json!({"type": "BS", "buyer": "42", "seller": "8", "shop_id": 3, "creator": "42"});
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        ("POST", "/rooms".to_owned(), body)
    };
    let say = |change: Value| {
        let mut body = json!({"room_id": ROOM, "from": "42", "to": "7", "type": "TEXT", "content": "x"});
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        ("POST", "/messages".to_owned(), body)
    };
    let matrix: Vec<(&str, String, Value)> = vec![
        new(json!({"type": "XX"})),
        new(json!({"type": 1})),
        new(json!({"buyer": ""})),
        new(json!({"buyer": null})),
        new(json!({"buyer": ["42"]})),
        new(json!({"buyer": 1.5})),
        new(json!({"seller": "a\u{0}b"})),
        new(json!({"seller": long})),
        new(json!({"seller": {}})),
        new(json!({"shop_id": {}})),
        new(json!({"shop_id": true})),
        new(json!({"shop": "shop"})),
        new(json!({"shop": {"name": large}})),
        new(json!({"buyer_info": []})),
        new(json!({"buyer_info": {"name": 7}})),
        new(json!({"buyer_info": {"name": large}})),
        say(json!({"room_id": null})),
        say(json!({"room_id": ""})),
        say(json!({"room_id": "42"})),
        say(json!({"room_id": "42.7.7.7."})),
        say(json!({"room_id": "42.42"})),
        say(json!({"to": "8"})),
        say(json!({"to": "42"})),
        say(json!({"to": null})),
        say(json!({"from": null})),
        say(json!({"type": "VIDEO"})),
        say(json!({"type": 0})),
        say(json!({"content": ""})),
        say(json!({"content": null})),
        say(json!({"content": 7})),
        say(json!({"content": content})),
        say(json!({"client_message_id": ""})),
        say(json!({"client_message_id": long})),
        say(json!({"client_message_id": [1]})),
        ("PUT", edit.clone(), json!({"content": ""})),
        ("PUT", edit, json!({"content": content})),
        ("POST", room("/block"), json!({"block": "yes", "role": "BUYER"})),
        ("POST", room("/block"), json!({"role": "BUYER"})),
        ("POST", room("/pin"), json!({"role": "buyer"})),
        ("POST", room("/pin"), json!({"role": 1})),
        ("POST", room("/pin"), json!({"user_id": true})),
        ("PUT", room("/seen"), json!({"role": "ADMIN"})),
        ("PUT", room("/enable"), json!({"role": ""})),
    ];
    for (method, path, body) in &matrix {
        let answer = buyer.call(method, path, &[], &body.to_string());
        assert_eq!(answer.status, 400, "{method} {path} {body:.200}: {}", answer.body);
        failure(&answer);
    }
    for body in [
        format!(r#"{{"room_id":"{ROOM}","from":"42","to":"7","content":"a","content":"b"}}"#),
        format!(r#"{{"room_id":"{ROOM}","from":"42","to":"7","content":"\ud800"}}"#),
    ] {
        assert_eq!(buyer.call("POST", "/messages", &[], &body).status, 400, "{body}");
    }
    assert_eq!(seen(), before);

    // What is just within the bounds is taken, and what nobody asked for is left alone.
    let fits = json!({
        "room_id": ROOM, "from": 42, "to": 7, "content": "ả".repeat(10_000), "client_message_id": "x".repeat(255),
        "somethingElse": {"a": [1, 2, {"b": null}]},
    });
    assert_eq!(buyer.does("POST", "/messages", &fits)["content"], fits["content"]);
}

pub(crate) fn odd_paths_and_queries(io: &str) {
    let node = Node::start_on(io, "trade_api.calls_limit = 100000");
    let buyer = Person::new(&node, BUYER);
    buyer.make(BUYER, SELLER);
    for bad in
        ["nope", "42", "42.", ".7", "42.42", "42.8", "%00", "%ff", "x%2Fy", "1.2.3", &"x".repeat(4_000)]
    {
        for (method, rest, body) in [
            ("GET", "", Value::Null),
            ("PUT", "/enable", json!({"role": "BUYER"})),
            ("POST", "/pin", json!({})),
            ("DELETE", "/pin", json!({})),
            ("PUT", "/seen", json!({})),
            ("POST", "/block", json!({"block": true})),
        ] {
            buyer.refused(method, &format!("/rooms/{bad}{rest}"), &body, 400, "Room not found!");
        }
        // The one call whose clients look at the body only.
        buyer.refused("DELETE", &format!("/rooms/{bad}"), &Value::Null, 200, "Room not found!");
        if !bad.contains("%ff") {
            buyer.refused("GET", &format!("/messages?room_id={bad}"), &Value::Null, 400, "Room not found!");
        }
    }
    for bad in ["msg", "%ff", "ffffffff-ffff-8fff-bfff-f00000000000", "ffffffff-ffff-8fff-bfff-f00000000001"]
    {
        let path = format!("/messages/{bad}");
        buyer.refused("PUT", &path, &json!({"content": "x"}), 400, "Message not found!");
    }
    for (path, words) in [
        ("/rooms", "Missing 'user_id' field"),
        ("/rooms?role=BUYER", "Missing 'user_id' field"),
        ("/rooms?user_id=42", "Missing 'role' field"),
        ("/rooms?user_id=42&role=buyer", "role must be BUYER or SELLER"),
        ("/rooms?user_id=42&role=BUYER&pinned=yes", "pinned must be 1 or 0"),
        ("/rooms/unseen?user_id=42", "Missing 'role' field"),
        ("/messages", "Missing 'room_id' field"),
        ("/messages/unseen", "Missing 'room_id' field"),
        ("/messages?room_id=42.7&limit=0", "limit must be a whole number from 1"),
        ("/messages?room_id=42.7&limit=-1", "limit must be a whole number from 1"),
        ("/messages?room_id=42.7&limit=ten", "limit must be a whole number from 1"),
        ("/messages?room_id=42.7&created_at=2", "created_at must be 1 or -1"),
        ("/messages?room_id=42.7&from=now", "from must be a time such as 2026-03-30T10:30:00.123Z"),
        ("/messages?room_id=42.7&to=2025-02-30", "to must be a time such as 2026-03-30T10:30:00.123Z"),
    ] {
        buyer.refused("GET", path, &Value::Null, 400, words);
    }
    for (method, path, status) in [
        ("PUT", "/rooms", 405),
        ("PATCH", "/rooms/42.7", 405),
        ("GET", "/rooms/42.7/pin", 405),
        ("GET", "/messages/x", 405),
        ("GET", "/rooms/42.7/x", 404),
        ("GET", "/rooms/42.7/x/y", 404),
    ] {
        let answer = buyer.call(method, path, &[], "");
        assert_eq!(answer.status, status, "{method} {path}");
        failure(&answer);
        // That there is none is no secret.
        assert_eq!(node.call(method, &format!("{BASE}{path}"), &[], "").status, status);
    }
    let answer = buyer.call("HEAD", "/rooms?user_id=42&role=BUYER", &[], "");
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
}
