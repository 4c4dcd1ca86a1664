//! People who call the buyer/seller API.

use serde_json::{Value, json};

use crate::support::{Answer, Node};

/// Where the API is.
pub(crate) const BASE: &str = "/v1/conversations";

/// A buyer, a seller, and one who is neither.
pub(crate) const BUYER: &str = "42";
pub(crate) const SELLER: &str = "7";
pub(crate) const OTHER: &str = "eve";

/// Somebody with a token.
pub(crate) struct Person<'a> {
    node: &'a Node,
    pub(crate) id: String,
    pub(crate) token: String,
}

impl<'a> Person<'a> {
    pub(crate) fn new(node: &'a Node, id: &str) -> Self {
        Self { node, id: id.into(), token: node.token(id) }
    }

    /// A call with whatever body.
    pub(crate) fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("Authorization", bearer.as_str())];
        if !headers.iter().any(|(name, _)| *name == "Content-Type") && !body.is_empty() {
            all.push(("Content-Type", "application/json"));
        }
        all.extend(headers);
        self.node.call(method, &format!("{BASE}{path}"), &all, body)
    }

    /// A call that is answered 200.
    #[track_caller]
    pub(crate) fn does(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.call(method, path, &[], &body);
        assert_eq!(answer.status, 200, "{method} {path} {body}: {}", answer.body);
        assert_eq!(answer.header("Content-Type"), "application/json");
        answer.json()
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.does("GET", path, &Value::Null)
    }

    /// A call that is refused with this status and these words.
    #[track_caller]
    pub(crate) fn refused(&self, method: &str, path: &str, body: &Value, status: u16, words: &str) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.call(method, path, &[], &body);
        assert_eq!((answer.status, failure(&answer).as_str()), (status, words), "{method} {path} {body}");
    }

    /// Makes a room of a buyer and a seller; the answer.
    #[track_caller]
    pub(crate) fn make(&self, buyer: &str, seller: &str) -> Value {
        let body = json!({"type": "BS", "buyer": buyer, "seller": seller, "shop_id": 3, "creator": self.id});
        self.does("POST", "/rooms", &body)
    }

    /// The caller's rooms.
    #[track_caller]
    pub(crate) fn rooms(&self, role: &str, rest: &str) -> Vec<Value> {
        let body = self.get(&format!("/rooms?user_id={}&role={role}{rest}", self.id));
        assert_eq!((&body["user_id"], &body["role"]), (&json!(self.id), &json!(role)));
        body["rooms"].as_array().unwrap().clone()
    }

    /// The names of the caller's rooms.
    #[track_caller]
    pub(crate) fn names(&self, role: &str, rest: &str) -> Vec<String> {
        self.rooms(role, rest).iter().map(|room| text(&room["_id"])).collect()
    }

    /// Says something in the room of a buyer and a seller; the message.
    #[track_caller]
    pub(crate) fn say(&self, (buyer, seller): (&str, &str), content: &str) -> Value {
        let to = if self.id == buyer { seller } else { buyer };
        let body = json!({
            "room_id": format!("{buyer}.{seller}"), "from": self.id, "to": to, "type": "TEXT", "content": content,
        });
        self.does("POST", "/messages", &body)
    }

    /// What was said, newest first.
    #[track_caller]
    pub(crate) fn contents(&self, room: &str) -> Vec<String> {
        let page = self.get(&format!("/messages?room_id={room}&limit=100"));
        page["data"].as_array().unwrap().iter().map(|message| text(&message["content"])).collect()
    }

    /// Rooms with something unseen.
    #[track_caller]
    pub(crate) fn unseen(&self, role: &str) -> u64 {
        let body = self.get(&format!("/rooms/unseen?user_id={}&role={role}", self.id));
        assert_eq!(body["filters"], json!({"user_id": self.id, "role": role}));
        body["unseen_rooms"].as_u64().unwrap()
    }
}

/// What an error says; its body has the two keys and no more.
#[track_caller]
pub(crate) fn failure(answer: &Answer) -> String {
    let body = answer.json();
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    assert_eq!(body["status"], false);
    assert_eq!(answer.header("Content-Type"), "application/json");
    text(&body["message"])
}

#[track_caller]
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// Whether it is a time in UTC with milliseconds.
#[track_caller]
pub(crate) fn is_time(value: &Value) {
    let text = text(value);
    let back = gateway::timestamp::read(&text).map(|ms| gateway::timestamp::Millis(ms).to_string());
    assert_eq!(back.as_deref(), Some(text.as_str()));
}
