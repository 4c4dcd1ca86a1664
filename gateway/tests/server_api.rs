//! The server API and the admin listener over real sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use serde_json::json;
use support::{Node, call, on_both};

on_both!(needs_a_service_token, presence_sessions_and_their_end, messages, operators_see_what_goes_on,);

fn needs_a_service_token(io: &str) {
    let node = Node::start_on(io, "");
    let count = |token: &str| node.get_as(token, "/server/v1/presence/count");
    let answer = node.get("/server/v1/presence/count");
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (401, Some("TOKEN_MISSING")));
    let answer = count("bad");
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (401, Some("TOKEN_MALFORMED")));
    let answer = count(&node.token("alice"));
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (403, Some("FORBIDDEN")));
    let answer = count(&node.service_token());
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"count":0}"#));
}

fn presence_sessions_and_their_end(io: &str) {
    let node = Node::start_on(io, "");
    let service = node.service_token();
    let mut alice = node.online("alice");
    let mut again = node.online("alice");

    let body = json!({"userIds": ["alice", "bob", "alice"]}).to_string();
    let users = node.post_as(&service, "/server/v1/presence/query", &body).json();
    assert_eq!(users["users"][0]["status"], "online");
    assert_eq!(
        users["users"][1],
        json!({"userId": "bob", "status": "offline", "online": false, "lastSeen": null})
    );
    assert_eq!(users["users"][2]["userId"], "alice");
    let many: Vec<String> = (0..10_000).map(|n| format!("user-{n}")).collect();
    let answer = node.post_as(&service, "/server/v1/presence/query", &json!({"userIds": many}).to_string());
    assert_eq!(answer.json()["users"].as_array().unwrap().len(), 10_000);
    let many: Vec<String> = (0..10_001).map(|n| format!("user-{n}")).collect();
    let answer = node.post_as(&service, "/server/v1/presence/query", &json!({"userIds": many}).to_string());
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (400, Some("TOO_MANY")));

    let online = node.get_as(&service, "/server/v1/presence/online?limit=10").json();
    assert_eq!(online["users"].as_array().unwrap().len(), 1);
    assert_eq!(online["users"][0]["userId"], "alice");
    assert_eq!(node.get_as(&service, "/server/v1/presence/online?limit=0").status, 400);

    let sessions = node.get_as(&service, "/server/v1/users/alice/sessions").json();
    let rows = sessions["sessions"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["api"], &rows[0]["address"]), (&json!("presence"), &json!("127.0.0.1")));
    let id = rows[0]["sessionId"].as_str().unwrap();
    let bearer = format!("Bearer {service}");
    let delete = |path: &str| node.call("DELETE", path, &[("Authorization", &bearer)], "");
    assert_eq!(delete(&format!("/server/v1/sessions/{id}")).body, r#"{"ended":1}"#);
    let answer = delete(&format!("/server/v1/sessions/{id}"));
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (404, Some("NOT_FOUND")));
    assert_eq!(delete("/server/v1/sessions/nonsense").status, 400);
    assert_eq!(delete("/server/v1/users/alice/sessions").body, r#"{"ended":1}"#);
    assert!(alice.closed() >= 4_000);
    assert!(again.closed() >= 4_000);
    assert_eq!(delete("/server/v1/users/alice/sessions").body, r#"{"ended":0}"#);
}

fn messages(io: &str) {
    let node = Node::start_on(io, "");
    let service = node.service_token();
    let _alice = node.online("alice");
    let send = |path: &str, body: &str| node.post_as(&service, path, body);
    let path = "/server/v1/users/alice/messages";
    assert_eq!(send(path, r#"{"payload":{"b":1.50,"a":[null]}}"#).body, r#"{"sessions":1}"#);
    assert_eq!(send("/server/v1/users/bob/messages", r#"{"payload":"x"}"#).body, r#"{"sessions":0}"#);
    assert_eq!(send("/server/v1/channels/news/messages", r#"{"payload":1}"#).body, r#"{"sessions":0}"#);
    let channel = node.get_as(&service, "/server/v1/channels/news");
    assert_eq!(channel.body, r#"{"channel":"news","subscribers":0}"#);
    for body in ["", "{}", "{\"payload\":}", "7"] {
        let answer = send(path, body);
        assert_eq!(
            (answer.status, answer.json()["error"]["code"].as_str()),
            (400, Some("INVALID")),
            "{body}"
        );
    }
    let large = json!({"payload": "x".repeat(70_000)}).to_string();
    let answer = send(path, &large);
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (413, Some("TOO_LARGE")));
    let answer = send(&format!("/server/v1/channels/{}/messages", "x".repeat(201)), r#"{"payload":1}"#);
    assert_eq!(answer.status, 400);
}

fn operators_see_what_goes_on(io: &str) {
    let node = Node::start_on(io, "admin.token = \"an operators' token\"");
    let admin = |method: &str, path: &str, token: &str| {
        let bearer = format!("Bearer {token}");
        call(node.addresses.admin, method, path, &[("Authorization", &bearer)], "")
    };
    let get = |path: &str| admin("GET", path, "an operators' token");
    assert_eq!(admin("GET", "/metrics", "another token, wrong").status, 401);
    assert_eq!(call(node.addresses.admin, "GET", "/health", &[], "").status, 401);
    assert_eq!(admin("POST", "/health", "an operators' token").status, 405);
    assert_eq!(get("/nothing").status, 404);

    let health = get("/health");
    assert_eq!((health.status, health.body.as_str()), (200, r#"{"healthy":true,"shards":2,"answering":2}"#));
    let _alice = node.online("alice");
    node.get("/api/v1/presence/online-count");
    node.get("/nothing");
    let metrics = get("/metrics");
    assert!(metrics.header("Content-Type").starts_with("text/plain; version=0.0.4"));
    for line in [
        "muster_connections{edge=\"presence\"} 1",
        "muster_users_online 1",
        "muster_commands_total{command=\"count\"} 1",
        "muster_http_requests_total{route=\"/api/v1/presence/online-count\",method=\"GET\",status=\"200\"} 1",
        "muster_http_requests_total{route=\"none\",method=\"GET\",status=\"404\"} 1",
        "muster_http_requests_total{route=\"/api/v1/presence/ws\",method=\"GET\",status=\"101\"} 1",
        "muster_handovers_total{result=\"taken\"} 1",
        "muster_store_failing 0",
        "muster_chat_store_failing 0",
        "muster_rate_limited_total{limit=\"online_count\"} 0",
    ] {
        assert!(metrics.body.lines().any(|found| found == line), "{line}\n{}", metrics.body);
    }
    for line in metrics.body.lines().filter(|line| !line.starts_with('#')) {
        let value = line.rsplit_once(' ').unwrap().1;
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    assert!(get("/turns").json()["turns"].as_array().is_some_and(|turns| !turns.is_empty()));

    let ready = get("/ready");
    assert_eq!(ready.status, 200);
    assert_eq!(
        ready.json(),
        json!({"ready": true, "draining": false, "shards": 2, "answering": 2,
               "store": {"state": "ok", "degraded": false},
               "conversations": {"state": "ok", "degraded": false}})
    );
    node.drain_front();
    let ready = get("/ready");
    assert_eq!((ready.status, &ready.json()["draining"]), (503, &json!(true)));
}
