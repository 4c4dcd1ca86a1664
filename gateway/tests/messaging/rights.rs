//! Who may what: every call by everybody.

use serde_json::{Value, json};

use crate::people::{ANN, BASE, BOB, CAT, Person, failure, text};
use crate::support::Node;

const FORMER: &str = "former";
const STRANGER: &str = "stranger";

/// A fresh group of its creator, a member, another member and one who has left, with a message of the creator's.
struct Scene {
    conversation: String,
    message: String,
}

fn scene(ann: &Person<'_>, former: &Person<'_>) -> Scene {
    let conversation = ann.group(&[BOB, CAT, FORMER]);
    former.delete(&format!("/conversations/{conversation}/participants/{FORMER}"));
    let message = text(&ann.say(&conversation, "said by the creator")["id"]);
    Scene { conversation, message }
}

/// What the creator sees of a scene.
fn seen(ann: &Person<'_>, scene: &Scene) -> (Value, Vec<Value>) {
    (ann.get(&format!("/conversations/{}", scene.conversation)), ann.history(&scene.conversation))
}

pub(crate) fn who_may_what(io: &str) {
    let node =
        Node::start_on(io, "messaging_api.calls_limit = 100000\npresence_api.failed_auth_limit = 100000");
    let expired = node.token(BOB);
    node.clock.advance(3_700_000);
    let [ann, bob, former, stranger] = [ANN, BOB, FORMER, STRANGER].map(|id| Person::new(&node, id));
    let new = json!({"participantIds": [CAT], "conversationType": "group", "conversationName": "New"});
    let rename = json!({"conversationName": "Renamed"});
    let edit = json!({"content": "changed"});
    // By a member, one who has left, a stranger, the creator.
    let calls: [(&str, &str, Value, [u16; 4]); 16] = [
        ("GET", "/conversations", Value::Null, [200; 4]),
        ("POST", "/conversations", new, [201; 4]),
        ("GET", "/conversations/CONVERSATION", Value::Null, [200, 403, 403, 200]),
        ("PUT", "/conversations/CONVERSATION", rename, [200, 403, 403, 200]),
        ("POST", "/conversations/CONVERSATION/participants", json!({"userId": "new"}), [201, 403, 403, 201]),
        ("DELETE", "/conversations/CONVERSATION/participants/cat", Value::Null, [403, 403, 403, 200]),
        ("DELETE", "/conversations/CONVERSATION/participants/SELF", Value::Null, [200, 403, 403, 200]),
        ("DELETE", "/conversations/CONVERSATION", Value::Null, [403, 403, 403, 200]),
        (
            "POST",
            "/messages",
            json!({"conversationId": "CONVERSATION", "content": "said"}),
            [201, 403, 403, 201],
        ),
        ("GET", "/messages/conversation/CONVERSATION", Value::Null, [200, 403, 403, 200]),
        ("GET", "/messages/MESSAGE", Value::Null, [200, 403, 403, 200]),
        ("PUT", "/messages/MESSAGE", edit, [403, 403, 403, 200]),
        ("POST", "/messages/MESSAGE/read", Value::Null, [200, 403, 403, 200]),
        ("POST", "/messages/conversation/CONVERSATION/read", Value::Null, [200, 403, 403, 200]),
        ("GET", "/messages/conversation/CONVERSATION/unread-count", Value::Null, [200, 403, 403, 200]),
        ("DELETE", "/messages/MESSAGE", Value::Null, [403, 403, 403, 200]),
    ];
    for (method, pattern, body, expected) in &calls {
        for (person, expected) in [&bob, &former, &stranger, &ann].into_iter().zip(expected) {
            let scene = scene(&ann, &former);
            let fill = |text: &str| {
                text.replace("CONVERSATION", &scene.conversation)
                    .replace("MESSAGE", &scene.message)
                    .replace("SELF", &person.id)
            };
            let path = fill(pattern);
            let body = if body.is_null() { String::new() } else { fill(&body.to_string()) };
            let before = seen(&ann, &scene);
            let answer = person.call(method, &path, &[], &body);
            assert_eq!(answer.status, *expected, "{method} {pattern} by {}: {}", person.id, answer.body);
            assert!(answer.find("RateLimit-Remaining").is_some());
            if answer.status == 403 {
                failure(&answer);
                assert_eq!(seen(&ann, &scene), before, "{method} {pattern} by {}", person.id);
            }
            for (token, words) in [
                (None, "Authentication token is required"),
                (Some(expired.as_str()), "Invalid or expired token"),
                (Some("nonsense"), "Invalid or expired token"),
            ] {
                let bearer = format!("Bearer {}", token.unwrap_or_default());
                let mut headers = vec![("Content-Type", "application/json")];
                headers.extend(token.map(|_| ("Authorization", bearer.as_str())));
                let answer = node.call(method, &format!("{BASE}{path}"), &headers, &body);
                assert_eq!((answer.status, failure(&answer).as_str()), (401, words), "{method} {pattern}");
                assert_eq!(answer.header("WWW-Authenticate"), "Bearer");
            }
        }
    }
}

pub(crate) fn limits_and_origins(io: &str) {
    let node = Node::start_on(io, "messaging_api.calls_limit = 5");
    let [ann, bob] = [ANN, BOB].map(|id| Person::new(&node, id));
    for left in (0..5).rev() {
        // A bad call counts like a good one.
        let path = if left % 2 == 0 { "/conversations" } else { "/conversations/nothing" };
        let answer = ann.call("GET", path, &[], "");
        assert_eq!(answer.status, if left % 2 == 0 { 200 } else { 404 });
        assert_eq!(answer.header("RateLimit-Limit"), "5");
        assert_eq!(answer.header("RateLimit-Remaining"), left.to_string());
    }
    let answer = ann.call("GET", "/conversations", &[], "");
    assert_eq!((answer.status, failure(&answer).as_str()), (429, "Too many requests"));
    assert_eq!(answer.header("Retry-After"), "60");
    assert_eq!(bob.call("GET", "/conversations", &[], "").status, 200);
    node.clock.advance(60_000);
    let origin = ("Origin", "https://app.example");
    let answer = ann.call("GET", "/conversations", &[origin], "");
    assert_eq!(answer.header("Access-Control-Allow-Origin"), origin.1);
    let asked = [
        origin,
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "authorization,content-type,idempotency-key,x-user-id"),
    ];
    let answer = node.call("OPTIONS", &format!("{BASE}/messages/x"), &asked, "");
    assert_eq!(answer.status, 204);
    assert!(answer.header("Access-Control-Allow-Methods").contains("PUT"));
    assert!(answer.header("Access-Control-Allow-Headers").contains("idempotency-key"));
}
