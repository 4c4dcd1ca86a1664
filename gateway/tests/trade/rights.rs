//! Who may what: every call by everybody.

use serde_json::{Value, json};

use crate::people::{BASE, BUYER, OTHER, Person, SELLER, failure, text};
use crate::support::Node;

const ROOM: &str = "42.7";

pub(crate) fn who_may_what(io: &str) {
    let node = Node::start_on(io, "trade_api.calls_limit = 100000\npresence_api.failed_auth_limit = 100000");
    let expired = node.token(SELLER);
    node.clock.advance(3_700_000);
    let [buyer, seller, other] = [BUYER, SELLER, OTHER].map(|id| Person::new(&node, id));
    buyer.make(BUYER, SELLER);
    let message = text(&buyer.say((BUYER, SELLER), "said by the buyer")["_id"]);
    let (none, edit) = (Value::Null, json!({"content": "said by the buyer"}));
    let new = json!({"type": "BS", "buyer": "42", "seller": "7", "shop_id": 3});
    let as_seller = json!({"user_id": "7", "role": "SELLER"});
    let say = json!({"room_id": ROOM, "from": "42", "to": "7", "content": "x", "client_message_id": "once"});
    // By the buyer, the seller, somebody else.
    let calls: Vec<(&str, String, Value, [u16; 3])> = vec![
        ("GET", "/rooms?user_id=7&role=SELLER".into(), none.clone(), [403, 200, 403]),
        ("GET", "/rooms?user_id=42&role=BUYER&name=x&pinned=1".into(), none.clone(), [200, 403, 403]),
        ("POST", "/rooms".into(), new, [200, 200, 403]),
        ("POST", "/rooms".into(), json!({"buyer": "42", "seller": "7", "creator": "7"}), [403, 200, 403]),
        ("GET", "/rooms/unseen?user_id=7&role=SELLER".into(), none.clone(), [403, 200, 403]),
        ("GET", format!("/rooms/{ROOM}"), none.clone(), [200, 200, 403]),
        ("PUT", format!("/rooms/{ROOM}/enable"), json!({"role": "SELLER"}), [403, 200, 403]),
        ("POST", format!("/rooms/{ROOM}/pin"), as_seller.clone(), [403, 200, 403]),
        ("POST", format!("/rooms/{ROOM}/pin"), none.clone(), [200, 200, 403]),
        ("DELETE", format!("/rooms/{ROOM}/pin"), as_seller.clone(), [403, 200, 403]),
        ("PUT", format!("/rooms/{ROOM}/seen"), as_seller, [403, 200, 403]),
        ("PUT", format!("/rooms/{ROOM}/seen"), json!({"role": "BUYER"}), [200, 403, 403]),
        ("POST", format!("/rooms/{ROOM}/block"), json!({"block": false, "role": "SELLER"}), [403, 200, 403]),
        ("GET", format!("/messages?room_id={ROOM}"), none.clone(), [200, 200, 403]),
        ("GET", format!("/messages/unseen?room_id={ROOM}"), none.clone(), [200, 200, 403]),
        ("GET", format!("/messages/unseen?room_id={ROOM}&user_id=42"), none.clone(), [200, 403, 403]),
        ("POST", "/messages".into(), say, [200, 403, 403]),
        ("PUT", format!("/messages/{message}"), edit, [200, 403, 403]),
        ("DELETE", format!("/rooms/{ROOM}?role=SELLER"), none.clone(), [403, 200, 403]),
        ("DELETE", format!("/rooms/{ROOM}"), none, [200, 200, 403]),
    ];
    for (method, path, body, expected) in &calls {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        for (person, expected) in [&other, &seller, &buyer].into_iter().zip(expected.iter().rev()) {
            let room = buyer.get(&format!("/rooms/{ROOM}"));
            let answer = person.call(method, path, &[], &body);
            assert_eq!(answer.status, *expected, "{method} {path} {body} by {}: {}", person.id, answer.body);
            assert!(answer.find("RateLimit-Remaining").is_some());
            if answer.status == 403 {
                assert_eq!(failure(&answer), "You do not have the authorization");
                assert_eq!(buyer.get(&format!("/rooms/{ROOM}")), room, "{method} {path} by {}", person.id);
            }
        }
        for (token, words) in [
            (None, "Authentication token is required"),
            (Some(expired.as_str()), "Invalid or expired token"),
            (Some("nonsense"), "Invalid or expired token"),
        ] {
            let mark = if path.contains('?') { '&' } else { '?' };
            let in_query = token.map_or_else(String::new, |token| format!("{mark}token={token}"));
            let bearer = format!("Bearer {}", token.unwrap_or_default());
            let mut headers = vec![("Content-Type", "application/json")];
            let answer = node.call(method, &format!("{BASE}{path}{in_query}"), &headers, &body);
            assert_eq!((answer.status, failure(&answer).as_str()), (401, words), "{method} {path}");
            assert_eq!(answer.header("WWW-Authenticate"), "Bearer");
            headers.extend(token.map(|_| ("Authorization", bearer.as_str())));
            let answer = node.call(method, &format!("{BASE}{path}"), &headers, &body);
            assert_eq!((answer.status, failure(&answer).as_str()), (401, words), "{method} {path}");
        }
    }
}

pub(crate) fn limits_and_tokens(io: &str) {
    let node = Node::start_on(io, "trade_api.calls_limit = 5");
    let [buyer, seller] = [BUYER, SELLER].map(|id| Person::new(&node, id));
    // The token may stand in the query.
    let path = format!("{BASE}/rooms?user_id=42&role=BUYER&token={}", buyer.token);
    let answer = node.call("GET", &path, &[], "");
    assert_eq!((answer.status, answer.json()), (200, json!({"user_id": "42", "role": "BUYER", "rooms": []})));
    for left in (0..4).rev() {
        // A bad call counts like a good one.
        let answer = buyer.call("GET", "/rooms", &[], "");
        assert_eq!((answer.status, answer.header("RateLimit-Limit")), (400, "5"));
        assert_eq!(answer.header("RateLimit-Remaining"), left.to_string());
    }
    let answer = buyer.call("GET", "/rooms", &[], "");
    assert_eq!((answer.status, failure(&answer).as_str()), (429, "Too many requests"));
    assert_eq!(answer.header("Retry-After"), "60");
    assert_eq!(seller.rooms("SELLER", "").len(), 0);
    let asked = [("Origin", "https://app.example"), ("Access-Control-Request-Method", "DELETE")];
    let answer = node.call("OPTIONS", &format!("{BASE}/rooms/42.7"), &asked, "");
    assert_eq!(answer.status, 204);
    assert!(answer.header("Access-Control-Allow-Methods").contains("DELETE"));
}
