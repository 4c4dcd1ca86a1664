//! By which right a client is there: tokens from three places, refused, missing and ended ones.

use gateway::clock::Clock;
use serde_json::{Value, json};

use crate::people::{ANN, BOB, Person};
use crate::support::socketio::Io;
use crate::support::wire::signed;
use crate::support::{Node, SECRET};

fn failure(message: &str) -> Value {
    let data = json!({"error": "Unauthorized", "message": message, "statusCode": 401});
    json!({"message": message, "data": data})
}

pub(crate) fn tokens_from_three_places(io: &str) {
    let node = Node::start_on(io, "");
    let (good, other) = (node.token(ANN), node.token(BOB));
    let bearer = |token: &str| format!("Bearer {token}");
    let invalid = failure("Invalid or expired token");
    let missing = failure("Authentication token is required");
    let who = |query: &str, header: &str, auth: &Value| {
        let headers = [("Authorization", header)];
        let mut io = Io::dial(&node, query, if header.is_empty() { &[] } else { &headers });
        io.join(auth)?;
        let sent = io.does("message:send", &json!({"recipientId": "somebody", "content": "x"}));
        Ok(sent["senderId"].clone())
    };
    let none = Value::Null;
    let auth = |token: &str| json!({"token": token});
    let query = |token: &str| format!("&token={token}");
    let ann: Result<Value, Value> = Ok(json!(ANN));
    assert_eq!(who("", "", &auth(&good)), ann);
    assert_eq!(who(&query(&good), "", &none), ann);
    assert_eq!(who("", &bearer(&good), &none), ann);
    assert_eq!(who(&query(&good), &bearer(&good), &auth(&good)), ann);
    // The first place counts, whatever is in the others.
    assert_eq!(who(&query(&other), &bearer("x"), &auth(&good)), ann);
    assert_eq!(who(&query(&good), &bearer(&other), &json!({})), ann);
    assert_eq!(who(&query(&good), "", &auth("x")), Err(invalid.clone()));
    assert_eq!(who("", "", &none), Err(missing.clone()));
    assert_eq!(who("&token=", "", &json!({"token": ""})), Err(missing.clone()));
    assert_eq!(who("", "Basic eDp5", &json!({"token": null})), Err(missing));
    assert_eq!(who("", "", &auth("a.b.c")), Err(invalid.clone()));
    assert_eq!(who("", "", &json!({"token": 7})), Err(invalid.clone()));
    let now = Clock::system().unix_ms() / 1_000;
    let expired = signed(&json!({"alg": "HS256"}), &json!({"sub": ANN, "exp": now - 3_600}), SECRET);
    assert_eq!(who("", "", &auth(&expired)), Err(invalid));
    // Who was refused may try again on the same connection.
    let mut io = Io::dial(&node, "", &[]);
    io.join(&auth("x")).unwrap_err();
    io.join(&auth(&good)).unwrap();
    // A service speaks for the user of its own id, and for nobody else.
    let mut io = Io::dial(&node, "", &[]);
    io.join(&auth(&node.service_token())).unwrap();
    let sent = io.does("message:send", &json!({"recipientId": ANN, "content": "x"}));
    assert_eq!(sent["senderId"], "service");
    assert_eq!(io.event("message:new")["id"], sent["id"]);
}

/// The clients of the second generation: the server speaks first, and refuses with the data alone.
pub(crate) fn version_four_of_the_protocol(io: &str) {
    let node = Node::start_on(io, "");
    let id = Person::new(&node, ANN).direct(BOB);
    let mut ann = Io::dial(&node, &format!("&EIO=3&token={}", node.token(ANN)), &[]);
    ann.answered().unwrap();
    assert_eq!(ann.event("users:online"), json!([]));
    let sent = ann.does("message:send", &json!({"conversationId": id, "content": "x"}));
    assert_eq!(ann.event("message:new")["id"], sent["id"]);
    let mut refused = Io::dial(&node, "&EIO=3", &[]);
    let words = "Authentication token is required";
    assert_eq!(refused.answered(), Err(failure(words)["data"].clone()));
}

pub(crate) fn a_token_ends(io: &str) {
    let node = Node::start_on(io, "auth.leeway = \"0s\"");
    let id = Person::new(&node, ANN).direct(BOB);
    let mut bob = Io::user(&node, BOB);
    bob.does("conversation:join", &json!({"conversationId": id}));
    let now = Clock::system().unix_ms() / 1_000;
    let token =
        |seconds: u64| signed(&json!({"alg": "HS256"}), &json!({"sub": ANN, "exp": now + seconds}), SECRET);
    let mut ann = Io::dial(&node, "", &[]);
    ann.join(&json!({"token": token(3)})).unwrap();
    ann.does("typing:start", &json!({"conversationId": id}));
    bob.event("user:typing");
    let error = ann.event("error");
    assert_eq!(error, failure("Invalid or expired token")["data"]);
    ann.until("being disconnected", |io| io.kicked.then_some(()));
    bob.event("user:stopped-typing");
    // The connection is still there; with a new token the client joins again.
    ann.join(&json!({"token": token(600)})).unwrap();
    assert_eq!(ann.event("users:online"), json!([BOB]));
    ann.does("message:send", &json!({"conversationId": id, "content": "back"}));
    assert_eq!(bob.event("message:new")["content"], "back");
}

pub(crate) fn kicked_and_too_many(io: &str) {
    let node = Node::start_on(io, "presence.devices_per_user = 2");
    let mut ann = Io::user(&node, ANN);
    node.service().disconnect_user(&schema::Id::new(ANN).unwrap()).unwrap();
    assert_eq!(ann.event("error")["statusCode"], 403);
    ann.until("being disconnected", |io| io.kicked.then_some(()));
    // One device more than there may be: the oldest one goes.
    let mut oldest = Io::user(&node, BOB);
    let mut others = [BOB, BOB].map(|user| Io::user(&node, user));
    assert_eq!(oldest.event("error")["statusCode"], 403);
    oldest.until("being disconnected", |io| io.kicked.then_some(()));
    let id = Person::new(&node, BOB).direct(ANN);
    for other in &mut others {
        other.does("conversation:leave", &json!({"conversationId": id}));
    }
    // A server that stops closes without making clients leave, so that they come back by themselves.
    let mut ann = Io::user(&node, ANN);
    drop(node);
    ann.ends();
    assert!(!ann.kicked);
}
