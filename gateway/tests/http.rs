//! The front door over real sockets: heads, limits of connections, CORS, pages, errors.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use support::{Node, on_both, raw};

on_both!(
    paths_and_methods_that_there_are_not,
    heads_are_bounded,
    half_a_head_and_silence_is_closed,
    too_many_connections_are_turned_away,
    cors_echoes_any_origin_by_default,
    cors_is_closed_by_a_list,
    the_description_lists_all_routes_and_the_pages_are_served,
);

fn paths_and_methods_that_there_are_not(io: &str) {
    let node = Node::start_on(io, "");
    let answer = node.get("/api/v1/presence/nothing");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.json()["success"], false);
    let answer = node.get("/nothing");
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (404, Some("NO_SUCH_PATH")));
    assert_eq!(answer.header("Referrer-Policy"), "no-referrer");

    let answer = node.call("DELETE", "/api/v1/presence/online-count", &[], "");
    assert_eq!(answer.status, 405);
    assert_eq!(answer.header("Allow"), "GET,HEAD");
    assert_eq!(answer.json()["success"], false);
    let answer = node.call("GET", "/server/v1/presence/query", &[], "");
    assert_eq!((answer.status, answer.header("Allow")), (405, "POST"));
    let answer = node.call("BREW", "/", &[], "");
    assert_eq!(answer.status, 405);

    let head = node.call("HEAD", "/api/v1/presence/online-count", &[], "");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert_eq!(head.header("Content-Type"), "application/json");
}

fn heads_are_bounded(io: &str) {
    let node = Node::start_on(io, "");
    let long = "x".repeat(9_000);
    assert_eq!(node.call("GET", "/", &[("X-Long", &long)], "").status, 431);
    let fits = "x".repeat(7_000);
    assert_eq!(node.call("GET", "/", &[("X-Long", &fits)], "").status, 200);
    let many: Vec<(String, &str)> = (0..70).map(|n| (format!("X-{n}"), "1")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(node.call("GET", "/", &many, "").status, 431);
    assert_eq!(node.call("GET", "/", &many[..60], "").status, 200);
    assert_eq!(node.get(&format!("/{long}")).status / 100, 4);
    assert_eq!(raw(node.addresses.http, b"\x16\x03\x01 this is no HTTP\r\n\r\n").status, 400);
}

fn half_a_head_and_silence_is_closed(io: &str) {
    let node = Node::start_on(io, "http.head_time = \"1s\"");
    for bytes in [&b"GET / HTTP/1.1\r\nHost: te"[..], b""] {
        let mut stream = TcpStream::connect(node.addresses.http).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(bytes).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("closed, not left open");
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    }
    assert_eq!(node.get("/").status, 200);
}

fn too_many_connections_are_turned_away(io: &str) {
    let node = Node::start_on(io, "http.connections = 16");
    let idle: Vec<TcpStream> = (0..16).map(|_| TcpStream::connect(node.addresses.http).unwrap()).collect();
    // The listener takes them one after the other; what comes behind them finds no room.
    let answer = node.get("/");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("Retry-After"), "1");
    drop(idle);
    let again = (0..100).any(|_| {
        std::thread::yield_now();
        node.get("/").status == 200
    });
    assert!(again);
}

fn cors_echoes_any_origin_by_default(io: &str) {
    let node = Node::start_on(io, "");
    let origin = ("Origin", "https://app.example");
    let answer = node.call("GET", "/api/v1/presence/online-count", &[origin], "");
    assert_eq!(answer.header("Access-Control-Allow-Origin"), "https://app.example");
    assert!(answer.header("Access-Control-Expose-Headers").contains("RateLimit-Remaining"));
    assert!(answer.header("Vary").contains("Origin"));
    assert!(answer.find("Access-Control-Allow-Credentials").is_none());
    let without = node.get("/api/v1/presence/online-count");
    assert!(without.find("Access-Control-Allow-Origin").is_none());
    assert!(without.header("Vary").contains("Origin"));

    let asked = [
        origin,
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type"),
    ];
    let answer = node.call("OPTIONS", "/api/v1/presence/check-multiple", &asked, "");
    assert_eq!(answer.status, 204);
    assert_eq!(answer.header("Access-Control-Allow-Origin"), "https://app.example");
    assert!(answer.header("Access-Control-Allow-Methods").contains("POST"));
    assert_eq!(answer.header("Access-Control-Allow-Headers"), "authorization,content-type");
}

fn cors_is_closed_by_a_list(io: &str) {
    let node = Node::start_on(io, "http.origins = [\"https://app.example\"]");
    for (origin, allowed) in [("https://app.example", true), ("https://evil.example", false)] {
        let answer = node.call("GET", "/api/v1/presence/online-count", &[("Origin", origin)], "");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.find("Access-Control-Allow-Origin").is_some(), allowed);
        let handshake = [
            ("Origin", origin),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        if !allowed {
            let mut bytes =
                String::from("GET /api/v1/presence/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n");
            for (name, value) in handshake {
                bytes.push_str(&format!("{name}: {value}\r\n"));
            }
            bytes.push_str("\r\n");
            let mut stream = TcpStream::connect(node.addresses.http).unwrap();
            stream.write_all(bytes.as_bytes()).unwrap();
            let mut start = [0; 12];
            stream.read_exact(&mut start).unwrap();
            assert_eq!(&start, b"HTTP/1.1 403");
        }
    }
}

fn the_description_lists_all_routes_and_the_pages_are_served(io: &str) {
    let node = Node::start_on(io, "");
    let document = node.get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in [
        ("/api/v1/presence/online-count", &["get"][..]),
        ("/api/v1/presence/online-users", &["get"]),
        ("/api/v1/presence/check/{userId}", &["get"]),
        ("/api/v1/presence/check-multiple", &["post"]),
        ("/api/v1/presence/ws", &["get"]),
        ("/server/v1/presence/query", &["post"]),
        ("/server/v1/presence/count", &["get"]),
        ("/server/v1/presence/online", &["get"]),
        ("/server/v1/users/{id}", &["delete"]),
        ("/server/v1/users/{id}/sessions", &["get", "delete"]),
        ("/server/v1/sessions/{id}", &["delete"]),
        ("/server/v1/users/{id}/messages", &["post"]),
        ("/server/v1/channels/{name}/messages", &["post"]),
        ("/server/v1/channels/{name}", &["get"]),
        ("/server/v1/conversations", &["post"]),
        ("/server/v1/conversations/{id}", &["get", "delete"]),
        ("/server/v1/conversations/{id}/members", &["post"]),
        ("/server/v1/conversations/{id}/members/{userId}", &["delete"]),
        ("/server/v1/conversations/{id}/messages", &["get", "post"]),
        ("/server/v1/conversations/{id}/read", &["post"]),
        ("/server/v1/conversations/{id}/unread", &["get"]),
        ("/server/v1/messages/{id}", &["put", "delete"]),
        ("/server/v1/users/{id}/conversations", &["get"]),
        ("/api/v1/conversations", &["get", "post"]),
        ("/api/v1/conversations/{id}", &["get", "put", "delete"]),
        ("/api/v1/conversations/{id}/participants", &["post"]),
        ("/api/v1/conversations/{id}/participants/{participantId}", &["delete"]),
        ("/api/v1/messages", &["post"]),
        ("/api/v1/messages/{id}", &["get", "put", "delete"]),
        ("/api/v1/messages/{id}/read", &["post"]),
        ("/api/v1/messages/conversation/{conversationId}", &["get"]),
        ("/api/v1/messages/conversation/{conversationId}/read", &["post"]),
        ("/api/v1/messages/conversation/{conversationId}/unread-count", &["get"]),
        ("/api/v1/storage/upload", &["post"]),
        ("/api/v1/storage/delete", &["delete"]),
        ("/v1/conversations/rooms", &["get", "post"]),
        ("/v1/conversations/rooms/unseen", &["get"]),
        ("/v1/conversations/rooms/{id}", &["get", "delete"]),
        ("/v1/conversations/rooms/{id}/enable", &["put"]),
        ("/v1/conversations/rooms/{id}/pin", &["post", "delete"]),
        ("/v1/conversations/rooms/{id}/seen", &["put"]),
        ("/v1/conversations/rooms/{id}/block", &["post"]),
        ("/v1/conversations/messages", &["get", "post"]),
        ("/v1/conversations/messages/unseen", &["get"]),
        ("/v1/conversations/messages/{id}", &["put"]),
    ] {
        for method in methods {
            assert!(paths.get(path).is_some_and(|path| path.get(*method).is_some()), "{method} {path}");
        }
    }
    assert_eq!(paths.len(), 45);

    assert_eq!(node.get("/swagger").status / 100, 3);
    let page = node.get("/swagger/");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("swagger-ui"));
    for file in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js"] {
        assert_eq!(node.get(&format!("/swagger/{file}")).status, 200, "{file}");
    }
    let script = node.get("/swagger/swagger-initializer.js").body;
    assert!(script.contains("/openapi.json") && script.contains("\"validatorUrl\": \"none\""), "{script}");
    let start = node.get("/");
    assert!(start.body.contains("muster token") && start.body.contains("/swagger"));
    assert_eq!(start.header("Content-Type"), "text/html; charset=utf-8");
}
