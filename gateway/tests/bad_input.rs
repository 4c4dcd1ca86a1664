//! Every call that takes a body, with everything that can be wrong with one: refused with a status that is described, in the
//! words of its API, and without any effect.
//!
//! The tables of each API's own file say which value means what; here a body that would be taken is spoilt in every way there
//! is, field by field, so that a new call only needs a row.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use serde_json::{Map, Value, json};
use support::{Answer, Node, on_both, raw};

on_both!(every_call_refuses_every_bad_body);

const ANN: &str = "7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5f";
const BOB: &str = "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55";
const BUYER: &str = "42";
const SELLER: &str = "7";

/// Which API it is: how it tells errors, and whose token it takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Api {
    Presence,
    Messaging,
    Trade,
    Server,
}

/// One call.
struct Call {
    api: Api,
    user: &'static str,
    method: &'static str,
    /// As the description names it.
    template: &'static str,
    path: String,
    /// One that would be taken.
    body: Value,
    /// What must be in it.
    required: &'static [&'static str],
    /// Values that have any type, so that no type is wrong.
    free: &'static [&'static str],
}

impl Call {
    /// Whether a call without a body means something.
    fn needs_a_body(&self) -> bool {
        !self.required.is_empty()
    }

    /// Whether it must be called JSON. The others read JSON, whatever it is called.
    fn wants_its_type(&self) -> bool {
        match self.api {
            Api::Messaging => !self.path.contains("/storage/"),
            Api::Trade => true,
            Api::Presence | Api::Server => false,
        }
    }

    fn send(&self, node: &Node, kind: &str, body: &[u8]) -> Answer {
        let token = if self.api == Api::Server { node.service_token() } else { node.token(self.user) };
        let head = format!(
            "{} {} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
            self.method,
            self.path,
            body.len()
        );
        raw(node.addresses.http, &[head.as_bytes(), body].concat())
    }

    /// It is refused as it is described, in the words of the API.
    #[track_caller]
    fn is_refused(&self, answer: &Answer, document: &Value, what: &str) {
        let Self { api, method, template, .. } = self;
        let seen =
            format!("{method} {template}: {what:.120} is answered {} {:.300}", answer.status, answer.body);
        assert!((400..500).contains(&answer.status), "{seen}");
        let paths = document["paths"].as_object().unwrap();
        let described = paths.iter().find(|(path, _)| is_same(path, template)).expect("it is described").1;
        let described = &described[method.to_lowercase()]["responses"];
        assert!(!described[answer.status.to_string()].is_null(), "not described: {seen}");
        assert_eq!(answer.header("Content-Type"), "application/json", "{seen}");
        let body = answer.json();
        let said = match api {
            Api::Messaging => {
                assert_eq!(body["statusCode"], answer.status, "{seen}");
                &body["message"]
            }
            Api::Presence => {
                assert_eq!(body["success"], false, "{seen}");
                &body["message"]
            }
            Api::Trade => {
                assert_eq!(body["status"], false, "{seen}");
                &body["message"]
            }
            Api::Server => {
                assert!(body["error"]["code"].is_string(), "{seen}");
                &body["error"]["message"]
            }
        };
        assert!(said.as_str().is_some_and(|said| !said.is_empty()), "{seen}");
    }
}

/// Whether two paths are one, whatever their parameters are called.
fn is_same(one: &str, other: &str) -> bool {
    let is_parameter = |part: &str| part.starts_with('{');
    let mut parts = one.split('/').zip(other.split('/'));
    one.matches('/').count() == other.matches('/').count()
        && parts.all(|(one, other)| one == other || is_parameter(one) && is_parameter(other))
}

/// All of them, about things that are there.
fn calls(group: &str, message: &str, trade: &str, file: &str) -> Vec<Call> {
    let call = |api, method, template: &'static str, path: &str, body: Value, required| Call {
        api,
        user: if api == Api::Trade { BUYER } else { ANN },
        method,
        template,
        path: path.to_owned(),
        body,
        required,
        free: &[],
    };
    use Api::{Messaging, Presence, Server, Trade};
    let (m, t, s) = ("/api/v1", "/v1/conversations", "/server/v1");
    let mut all = vec![
        call(
            Presence,
            "POST",
            "/api/v1/presence/check-multiple",
            "/api/v1/presence/check-multiple",
            json!({"userIds": [BOB]}),
            &["userIds"],
        ),
        call(
            Messaging,
            "POST",
            "/api/v1/conversations",
            &format!("{m}/conversations"),
            json!({"participantIds": ["new"], "conversationType": "group", "conversationName": "New"}),
            &["participantIds", "conversationName"],
        ),
        call(
            Messaging,
            "PUT",
            "/api/v1/conversations/{id}",
            &format!("{m}/conversations/{group}"),
            json!({"conversationName": "Another"}),
            &["conversationName"],
        ),
        call(
            Messaging,
            "POST",
            "/api/v1/conversations/{id}/participants",
            &format!("{m}/conversations/{group}/participants"),
            json!({"userId": "new"}),
            &["userId"],
        ),
        call(
            Messaging,
            "POST",
            "/api/v1/messages",
            &format!("{m}/messages"),
            json!({"conversationId": group, "content": "new", "clientMessageId": "n-1"}),
            &["conversationId", "content"],
        ),
        call(
            Messaging,
            "PUT",
            "/api/v1/messages/{id}",
            &format!("{m}/messages/{message}"),
            json!({"content": "another"}),
            &["content"],
        ),
        call(
            Messaging,
            "DELETE",
            "/api/v1/storage/delete",
            &format!("{m}/storage/delete"),
            json!({"url": file}),
            &["url"],
        ),
        call(
            Trade,
            "POST",
            "/v1/conversations/rooms",
            &format!("{t}/rooms"),
            json!({"type": "BS", "buyer": BUYER, "seller": "8", "shop_id": 3, "creator": BUYER}),
            &["buyer", "seller"],
        ),
        call(
            Trade,
            "POST",
            "/v1/conversations/rooms/{roomId}/block",
            &format!("{t}/rooms/42.7/block"),
            json!({"block": false, "role": "BUYER"}),
            &["block"],
        ),
        call(
            Trade,
            "PUT",
            "/v1/conversations/rooms/{roomId}/enable",
            &format!("{t}/rooms/42.7/enable"),
            json!({"role": "BUYER"}),
            &["role"],
        ),
        call(
            Trade,
            "POST",
            "/v1/conversations/rooms/{roomId}/pin",
            &format!("{t}/rooms/42.7/pin"),
            json!({"role": "BUYER"}),
            &[],
        ),
        call(
            Trade,
            "DELETE",
            "/v1/conversations/rooms/{roomId}/pin",
            &format!("{t}/rooms/42.7/pin"),
            json!({"role": "BUYER"}),
            &[],
        ),
        call(
            Trade,
            "PUT",
            "/v1/conversations/rooms/{roomId}/seen",
            &format!("{t}/rooms/42.7/seen"),
            json!({"role": "BUYER"}),
            &[],
        ),
        call(
            Trade,
            "POST",
            "/v1/conversations/messages",
            &format!("{t}/messages"),
            json!({"room_id": "42.7", "from": BUYER, "to": SELLER, "type": "TEXT", "content": "new"}),
            &["room_id", "from", "to", "content"],
        ),
        call(
            Trade,
            "PUT",
            "/v1/conversations/messages/{id}",
            &format!("{t}/messages/{trade}"),
            json!({"content": "another"}),
            &["content"],
        ),
        call(
            Server,
            "POST",
            "/server/v1/presence/query",
            &format!("{s}/presence/query"),
            json!({"userIds": [BOB]}),
            &["userIds"],
        ),
        call(
            Server,
            "POST",
            "/server/v1/conversations",
            &format!("{s}/conversations"),
            json!({"kind": "group", "name": "New", "members": [{"userId": ANN}, {"userId": BOB}]}),
            &["kind", "members"],
        ),
        call(
            Server,
            "POST",
            "/server/v1/conversations/{id}/members",
            &format!("{s}/conversations/{group}/members"),
            json!({"userId": "newer", "role": "member"}),
            &["userId"],
        ),
        call(
            Server,
            "POST",
            "/server/v1/conversations/{id}/messages",
            &format!("{s}/conversations/{group}/messages?as={ANN}"),
            json!({"content": "new", "clientMessageId": "n-2"}),
            &["content"],
        ),
        call(
            Server,
            "PUT",
            "/server/v1/messages/{id}",
            &format!("{s}/messages/{message}?as={ANN}"),
            json!({"content": "another"}),
            &["content"],
        ),
    ];
    for (template, path) in [
        ("/server/v1/users/{id}/messages", "/server/v1/users/ann/messages"),
        ("/server/v1/channels/{name}/messages", "/server/v1/channels/news/messages"),
    ] {
        let payload = call(Server, "POST", template, path, json!({"payload": 1}), &["payload"]);
        all.push(Call { free: &["payload"], ..payload });
    }
    all
}

/// The body with one field replaced, or without it.
fn with(body: &Value, field: &str, value: Option<Value>) -> Vec<u8> {
    let mut fields: Map<String, Value> = body.as_object().unwrap().clone();
    match value {
        Some(value) => _ = fields.insert(field.to_owned(), value),
        None => _ = fields.remove(field),
    }
    Value::Object(fields).to_string().into_bytes()
}

/// What is wrong with a body, and the body.
fn spoilt(call: &Call) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let mut bad = |what: &str, bytes: Vec<u8>| all.push((what.to_owned(), bytes));
    for text in [
        "{",
        "[]",
        "null",
        "1",
        "true",
        "\"x\"",
        "{}x",
        "{} {}",
        "{\"a\":}",
        "{'a':1}",
        "{\"a\" 1}",
        "\u{feff}{}",
    ] {
        bad(text, text.as_bytes().to_vec());
    }
    if call.needs_a_body() {
        for text in ["", " ", "{}", "{\"unknown\":1}"] {
            bad(text, text.as_bytes().to_vec());
        }
    }
    let text = call.body.to_string();
    let inside = |more: &[u8]| [&text.as_bytes()[..text.len() - 1], more, b"}"].concat();
    let nested = |depth: usize| format!(",\"deep\":{}1{}", "[".repeat(depth), "]".repeat(depth));
    bad("deep JSON", inside(nested(50_000).as_bytes()));
    bad(
        "deep objects",
        inside(format!(",\"deep\":{}1{}", "{\"a\":".repeat(20_000), "}".repeat(20_000)).as_bytes()),
    );
    bad("invalid UTF-8 in a key", inside(b",\"\xff\":1"));
    bad("invalid UTF-8 in a value", inside(b",\"x\":\"\xc3\x28\""));
    bad("a control character in a text", inside(b",\"x\":\"a\x01b\""));
    bad("cut off", text.as_bytes()[..text.len() - 1].to_vec());
    // Ten thousand users may be asked for.
    let most = if call.path.ends_with("/presence/query") { 9 << 20 } else { 2 << 20 };
    bad("more than a body may have", inside(format!(",\"x\":\"{}\"", "x".repeat(most)).as_bytes()));
    for (field, value) in call.body.as_object().unwrap() {
        let twice = format!(",{}:{value}", json!(field));
        bad(&format!("{field} twice"), inside(twice.as_bytes()));
        if call.free.contains(&field.as_str()) {
            bad(&format!("{field} too long"), with(&call.body, field, Some(json!("x".repeat(300_000)))));
            continue;
        }
        let mut values = vec![json!({"a": 1}), json!([[1]])];
        // Of numbers, each API takes what it likes.
        values.extend((!value.is_number()).then(|| json!(1.5e300)));
        match value {
            Value::String(_) => {
                values.extend([json!(true), json!("x".repeat(300_000)), json!(["x"])]);
                let surrogate = text.replacen(&value.to_string(), "\"\\ud800\"", 1);
                bad(&format!("{field} with half a character"), surrogate.into_bytes());
                let bytes = text.replacen(&value.to_string(), "\"~\"", 1).into_bytes();
                let bytes = bytes.into_iter().map(|byte| if byte == b'~' { 0xff } else { byte }).collect();
                bad(&format!("{field} with invalid UTF-8"), bytes);
            }
            Value::Array(_) => values.extend([
                json!("x"),
                json!([null]),
                json!([]),
                json!(vec!["x"; 20_000]),
                json!(["x".repeat(300_000)]),
            ]),
            Value::Bool(_) => values.extend([json!("yes"), json!(1)]),
            _ => values.push(json!(true)),
        }
        for value in values {
            bad(&format!("{field} = {value}"), with(&call.body, field, Some(value)));
        }
    }
    for field in call.required {
        bad(&format!("no {field}"), with(&call.body, field, None));
        if !call.free.contains(field) {
            bad(&format!("{field} = null"), with(&call.body, field, Some(Value::Null)));
        }
    }
    all
}

/// All that is kept of these people's conversations.
fn everything(node: &Node) -> Vec<String> {
    let service = node.service_token();
    let get = |path: &str| {
        let answer = node.get_as(&service, &format!("/server/v1{path}"));
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    };
    let mut seen = Vec::new();
    for user in [ANN, BOB, BUYER, SELLER] {
        let listed = get(&format!("/users/{user}/conversations?limit=1000"));
        for row in listed["conversations"].as_array().unwrap() {
            let id = row["id"].as_str().unwrap();
            seen.push(format!("{row} {}", get(&format!("/conversations/{id}/messages?limit=100"))));
        }
    }
    seen
}

fn every_call_refuses_every_bad_body(io: &str) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start_on(
        io,
        &format!(
            "media.path = {:?}\npresence_api.check_multiple_limit = 100000\nmessaging_api.calls_limit = 100000\n\
             trade_api.calls_limit = 100000\n",
            folder.path()
        ),
    );
    let document = node.get("/openapi.json").json();
    let make = |user: &str, path: &str, body: Value| {
        let answer = node.post_as(&node.token(user), path, &body.to_string());
        assert!([200, 201].contains(&answer.status), "{path}: {}", answer.body);
        answer.json()
    };
    let id = |value: &Value, field: &str| value[field].as_str().unwrap().to_owned();
    let group = json!({"participantIds": [BOB], "conversationType": "group", "conversationName": "Team"});
    let group = id(&make(ANN, "/api/v1/conversations", group), "id");
    let message =
        id(&make(ANN, "/api/v1/messages", json!({"conversationId": group, "content": "first"})), "id");
    make(
        BUYER,
        "/v1/conversations/rooms",
        json!({"type": "BS", "buyer": BUYER, "seller": SELLER, "shop_id": 3, "creator": BUYER}),
    );
    let said = json!({"room_id": "42.7", "from": BUYER, "to": SELLER, "type": "TEXT", "content": "first"});
    let trade = id(&make(BUYER, "/v1/conversations/messages", said), "_id");
    let file = support::forms::form("photo.gif", "image/gif", b"GIF89a");
    let file = support::forms::url(&support::forms::send(&node, &node.token(ANN), &file));
    let shown = support::forms::path(&file).to_owned();

    let before = everything(&node);
    let all = calls(&group, &message, &trade, &file);
    let mut tried = 0;
    for call in &all {
        for (what, body) in spoilt(call) {
            let answer = call.send(&node, "application/json", &body);
            call.is_refused(&answer, &document, &what);
            tried += 1;
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
            if call.wants_its_type() {
                let answer = call.send(&node, kind, call.body.to_string().as_bytes());
                assert_eq!(answer.status, 415, "{} {} as {kind:?}", call.method, call.template);
                call.is_refused(&answer, &document, kind);
            }
        }
    }
    assert!(tried > 500, "{tried} bodies");
    assert_eq!(everything(&node), before, "no call had an effect");
    assert_eq!(node.get(&shown).status, 200);
    // The bodies that were spoilt would have been taken.
    for call in all {
        let answer = call.send(&node, "application/json", call.body.to_string().as_bytes());
        assert!([200, 201].contains(&answer.status), "{} {}: {}", call.method, call.template, answer.body);
    }
}
