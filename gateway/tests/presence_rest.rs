//! The presence API over real sockets: bodies, errors, limits, and the WebSocket's handshake.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use serde_json::json;
use support::{Node, on_both};

const ALICE: &str = "7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5f";
const BOB: &str = "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55";
const BASE: &str = "/api/v1/presence";

on_both!(
    who_is_online,
    bad_requests,
    any_id_where_uuids_are_not_required,
    limits_are_exact_and_say_so,
    online_count_is_limited_by_address,
    bad_tokens_are_counted_by_address,
    a_websocket_with_a_bad_token_is_told_why,
    a_websocket_takes_its_token_from_three_places,
    a_websocket_may_be_refused_before_the_upgrade,
    connects_may_be_limited,
);

fn is_timestamp(value: &serde_json::Value) -> bool {
    let text = value.as_str().unwrap_or_default().as_bytes();
    text.len() == 20 && text[10] == b'T' && text[19] == b'Z'
}

fn who_is_online(io: &str) {
    let node = Node::start_on(io, "");
    let token = node.token(BOB);
    let count = node.get(&format!("{BASE}/online-count"));
    assert_eq!((count.status, count.body.as_str()), (200, r#"{"success":true,"count":0}"#));

    let agent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/124.0.0.0 Safari/537.36";
    let mut alice = node.connect(&format!("?token={}", node.token(ALICE)), &[("User-Agent", agent)]);
    assert_eq!(alice.json(), json!({"type": "connected", "data": {"userId": ALICE, "status": "online"}}));
    let count = node.get(&format!("{BASE}/online-count"));
    assert_eq!(count.body, r#"{"success":true,"count":1}"#);

    let users = node.get_as(&token, &format!("{BASE}/online-users?limit=5")).json();
    assert!(is_timestamp(&users["users"][0]["lastSeen"]), "{users}");
    let seen = users["users"][0]["lastSeen"].clone();
    assert_eq!(
        users,
        json!({"success": true, "users": [{
            "userId": ALICE, "status": "online", "lastSeen": seen,
            "deviceInfo": {"browser": "Chrome", "os": "Windows", "deviceType": "desktop"}
        }]})
    );

    let check = node.get_as(&token, &format!("{BASE}/check/{ALICE}"));
    let seen = check.json()["lastSeen"].clone();
    assert!(is_timestamp(&seen));
    assert_eq!(check.json(), json!({"success": true, "userId": ALICE, "online": true, "lastSeen": seen}));
    let never = node.get_as(&token, &format!("{BASE}/check/{BOB}"));
    assert_eq!(never.status, 200);
    assert_eq!(never.body, format!(r#"{{"success":true,"userId":"{BOB}","online":false,"lastSeen":null}}"#));

    let body = json!({"userIds": [BOB, ALICE, BOB]}).to_string();
    let many = node.post_as(&token, &format!("{BASE}/check-multiple"), &body).json();
    let bob = json!({"userId": BOB, "online": false, "status": "offline", "lastSeen": null});
    assert_eq!(many["users"][0], bob);
    assert_eq!(many["users"][2], bob);
    assert_eq!(many["users"][1]["userId"], ALICE);
    assert_eq!(many["users"][1]["online"], true);
    assert_eq!(many["users"][1]["status"], "online");
    assert_eq!(many["success"], true);
}

fn bad_requests(io: &str) {
    let node =
        Node::start_on(io, "presence_api.check_limit = 1000\npresence_api.check_multiple_limit = 1000");
    let token = node.token(ALICE);
    let failure = |answer: support::Answer, status: u16| {
        assert_eq!(answer.status, status, "{answer:?}");
        let body = answer.json();
        assert_eq!(body["success"], false);
        assert!(!body["message"].as_str().unwrap().is_empty());
        assert_eq!(body.as_object().unwrap().len(), 2);
    };
    failure(node.get_as(&token, &format!("{BASE}/check/alice")), 400);
    failure(node.get_as(&token, &format!("{BASE}/check/%ff")), 400);
    failure(node.get_as(&token, &format!("{BASE}/online-users?limit=many")), 400);
    let post = |body: &str| node.post_as(&token, &format!("{BASE}/check-multiple"), body);
    for body in ["", "{", "[]", "{}", r#"{"userIds":null}"#, r#"{"userIds":[1]}"#, r#"{"userIds":["x"]}"#] {
        failure(post(body), 400);
    }
    failure(post(r#"{"userIds":[]}"#), 400);
    failure(post(&json!({"userIds": vec![ALICE; 101]}).to_string()), 400);
    assert_eq!(post(&json!({"userIds": vec![ALICE; 100]}).to_string()).status, 200);
    failure(post(&" ".repeat(2 << 20)), 413);

    failure(node.get(&format!("{BASE}/online-users")), 401);
    failure(node.get_as("nonsense", &format!("{BASE}/check/{ALICE}")), 401);
    assert_eq!(node.get(&format!("{BASE}/online-users")).header("WWW-Authenticate"), "Bearer");
    // The query is no place for a REST call's token.
    failure(node.get(&format!("{BASE}/online-users?token={token}")), 401);
}

fn any_id_where_uuids_are_not_required(io: &str) {
    let node = Node::start_on(io, "presence_api.require_uuid = false");
    let token = node.token("alice");
    let _alice = node.online("alice");
    let check = node.get_as(&token, &format!("{BASE}/check/alice")).json();
    assert_eq!((&check["userId"], &check["online"]), (&json!("alice"), &json!(true)));
    assert_eq!(node.get_as(&token, &format!("{BASE}/check/{}", "x".repeat(129))).status, 400);
}

fn limits_are_exact_and_say_so(io: &str) {
    let node = Node::start_on(io, "");
    let token = node.token(ALICE);
    let other = node.token(BOB);
    let list = |token: &str| node.get_as(token, &format!("{BASE}/online-users"));
    for left in (0..10).rev() {
        let answer = list(&token);
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("RateLimit-Limit"), "10");
        assert_eq!(answer.header("RateLimit-Remaining"), left.to_string());
        assert_eq!(answer.header("X-RateLimit-Remaining"), left.to_string());
        assert_eq!(answer.header("RateLimit-Reset"), "60");
    }
    node.clock.advance(30_500);
    for _ in 0..5 {
        let refused = list(&token);
        assert_eq!(refused.status, 429);
        assert_eq!(refused.body, r#"{"success":false,"message":"Too many requests"}"#);
        assert_eq!(refused.header("Retry-After"), "30");
        assert_eq!(refused.header("RateLimit-Remaining"), "0");
        let at = (node.clock.unix_ms() + 29_500).div_ceil(1_000);
        assert_eq!(refused.header("X-RateLimit-Reset"), at.to_string());
    }
    assert_eq!(list(&other).status, 200, "each user has a limit of its own");
    // Each route has its own, 400 counts, 401 does not.
    let check = |id: &str| node.get_as(&token, &format!("{BASE}/check/{id}")).status;
    for _ in 0..5 {
        assert_eq!(node.get(&format!("{BASE}/check/{ALICE}")).status, 401);
    }
    for n in 0..30 {
        assert_eq!(check(if n % 2 == 0 { "x" } else { ALICE }), if n % 2 == 0 { 400 } else { 200 });
    }
    assert_eq!(check(ALICE), 429);
    node.clock.advance(29_499);
    assert_eq!(list(&token).status, 429);
    node.clock.advance(1);
    assert_eq!(list(&token).status, 200, "refused calls did not extend the window");
}

fn online_count_is_limited_by_address(io: &str) {
    let node = Node::start_on(io, "http.trusted_proxies = [\"127.0.0.1\"]");
    let count = |client: &str| {
        node.call("GET", &format!("{BASE}/online-count"), &[("X-Forwarded-For", client)], "").status
    };
    for _ in 0..30 {
        assert_eq!(count("203.0.113.7"), 200);
    }
    assert_eq!(count("203.0.113.7"), 429);
    assert_eq!(count("1.1.1.1, 203.0.113.7"), 429, "the left is hearsay");
    assert_eq!(count("203.0.113.8"), 200);
    for n in 0..30 {
        assert_eq!(count(&format!("2001:db8:1:2::{n}")), 200);
    }
    assert_eq!(count("2001:db8:1:2:ffff::1"), 429, "one /64 is one client");
    assert_eq!(count("2001:db8:1:3::1"), 200);
}

fn bad_tokens_are_counted_by_address(io: &str) {
    let node = Node::start_on(io, "presence_api.failed_auth_limit = 5");
    let list = |token: &str| node.get_as(token, &format!("{BASE}/online-users"));
    for _ in 0..5 {
        assert_eq!(list("bad").status, 401);
    }
    let refused = list("bad");
    assert_eq!(refused.status, 429);
    assert!(refused.header("Retry-After").parse::<u64>().unwrap() >= 1);
    assert_eq!(list(&node.token(ALICE)).status, 200, "a good token is still good");
    node.clock.advance(60_000);
    assert_eq!(list("bad").status, 401);
}

fn a_websocket_with_a_bad_token_is_told_why(io: &str) {
    let node = Node::start_on(io, "");
    for query in ["", "?token=", "?token=nonsense"] {
        let mut socket = node.connect(query, &[]);
        let frame = socket.json();
        assert_eq!((&frame["type"], &frame["data"]["code"]), (&json!("error"), &json!("UNAUTHORIZED")));
        assert_eq!(socket.closed(), 4401);
    }
}

fn a_websocket_takes_its_token_from_three_places(io: &str) {
    let node = Node::start_on(io, "");
    let token = node.token(ALICE);
    let bearer = format!("Bearer {token}");
    let protocols = format!("bearer, {token}");
    for (query, headers) in [
        (format!("?token={token}"), vec![]),
        (String::new(), vec![("Authorization", bearer.as_str())]),
        (String::new(), vec![("Sec-WebSocket-Protocol", protocols.as_str())]),
    ] {
        if headers.first().is_some_and(|(name, _)| *name == "Sec-WebSocket-Protocol") {
            // tungstenite wants to know the sub-protocol that it asked for, so the answer is read as text.
            let asked = [
                ("Upgrade", "websocket"),
                ("Sec-WebSocket-Version", "13"),
                ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                headers[0],
            ];
            let head: String = asked.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            use std::io::{Read, Write};
            let mut stream = std::net::TcpStream::connect(node.addresses.http).unwrap();
            write!(stream, "GET {BASE}/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n{head}\r\n").unwrap();
            let mut bytes = [0; 4096];
            let mut text = String::new();
            while !text.contains("connected") {
                let read = stream.read(&mut bytes).unwrap();
                assert!(read > 0, "{text}");
                text.push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
            assert!(text.to_ascii_lowercase().contains("sec-websocket-protocol: bearer\r\n"), "{text}");
            continue;
        }
        let mut socket = node.connect(&query, &headers);
        assert_eq!(socket.json()["type"], "connected");
    }
}

fn a_websocket_may_be_refused_before_the_upgrade(io: &str) {
    let node = Node::start_on(io, "presence_api.refuse_upgrade = true");
    let asked = [
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let head: String = asked.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let bytes = format!(
        "GET {BASE}/ws?token=bad HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n{head}\r\n\
         GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    );
    let answer = support::raw(node.addresses.http, bytes.as_bytes());
    assert_eq!(answer.status, 401);
    let mut good = node.online(ALICE);
    good.0.close(None).unwrap();
    // A plain call of the WebSocket's path.
    let answer = node.get(&format!("{BASE}/ws"));
    assert_eq!((answer.status, answer.header("Upgrade")), (426, "websocket"));
    assert_eq!(answer.json()["success"], false);
    node.drain_front();
    let answer = support::raw(node.addresses.http, bytes.as_bytes());
    assert_eq!(answer.status, 503);
}

fn connects_may_be_limited(io: &str) {
    let node = Node::start_on(io, "limits.connects_per_user = 2");
    let _first = node.online(ALICE);
    let _second = node.online(ALICE);
    let token = node.token(ALICE);
    let stream = std::net::TcpStream::connect(node.addresses.http).unwrap();
    let url = format!("ws://{}{BASE}/ws?token={token}", node.addresses.http);
    let Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(answer))) =
        tungstenite::client(url, stream)
    else {
        panic!("the third is refused")
    };
    assert_eq!(answer.status(), 429);
    assert!(answer.headers().contains_key("retry-after"));
}
