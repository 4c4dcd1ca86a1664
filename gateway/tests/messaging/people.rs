//! People who call the messaging API.

#![allow(dead_code, reason = "each test file uses its part")]

use serde_json::{Value, json};

use crate::support::{Answer, Site};

/// Where the API is.
pub(crate) const BASE: &str = "/api/v1";

/// Ids of four people.
pub(crate) const ANN: &str = "7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5f";
pub(crate) const BOB: &str = "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55";
pub(crate) const CAT: &str = "cat";
pub(crate) const DAN: &str = "dan@example.com";

/// Somebody with a token.
pub(crate) struct Person<'a> {
    node: &'a Site,
    pub(crate) id: String,
    pub(crate) token: String,
}

impl<'a> Person<'a> {
    pub(crate) fn new(node: &'a Site, id: &str) -> Self {
        Self { node, id: id.into(), token: node.token(id) }
    }

    /// A call with whatever body, and further headers.
    pub(crate) fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("Authorization", bearer.as_str())];
        if !headers.iter().any(|(name, _)| *name == "Content-Type") && !body.is_empty() {
            all.push(("Content-Type", "application/json"));
        }
        all.extend(headers);
        self.node.call(method, &format!("{BASE}{path}"), &all, body)
    }

    /// A call that does what it should, and its answer.
    #[track_caller]
    fn does(&self, method: &str, path: &str, body: &Value, status: u16) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.call(method, path, &[], &body);
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
        answer.json()
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.does("GET", path, &Value::Null, 200)
    }

    /// A POST that makes something.
    #[track_caller]
    pub(crate) fn make(&self, path: &str, body: &Value) -> Value {
        self.does("POST", path, body, 201)
    }

    /// A POST that makes nothing.
    #[track_caller]
    pub(crate) fn post(&self, path: &str) -> Value {
        self.does("POST", path, &Value::Null, 200)
    }

    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &Value) -> Value {
        self.does("PUT", path, body, 200)
    }

    #[track_caller]
    pub(crate) fn delete(&self, path: &str) -> Value {
        self.does("DELETE", path, &Value::Null, 200)
    }

    /// A call that is refused with this status and these words.
    #[track_caller]
    pub(crate) fn refused(&self, method: &str, path: &str, body: &Value, status: u16, words: &str) {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.call(method, path, &[], &body);
        assert_eq!((answer.status, failure(&answer).as_str()), (status, words), "{method} {path}");
    }

    /// Makes a direct conversation, and says its id.
    #[track_caller]
    pub(crate) fn direct(&self, with: &str) -> String {
        text(
            &self.make("/conversations", &json!({"participantIds": [with], "conversationType": "direct"}))["id"],
        )
    }

    /// Makes a group, and says its id.
    #[track_caller]
    pub(crate) fn group(&self, others: &[&str]) -> String {
        let body = json!({"participantIds": others, "conversationType": "group", "conversationName": "Team"});
        text(&self.make("/conversations", &body)["id"])
    }

    /// Says something, and gives the message.
    #[track_caller]
    pub(crate) fn say(&self, conversation: &str, content: &str) -> Value {
        self.make("/messages", &json!({"conversationId": conversation, "content": content}))
    }

    #[track_caller]
    pub(crate) fn history(&self, conversation: &str) -> Vec<Value> {
        let page = self.get(&format!("/messages/conversation/{conversation}?limit=100"));
        page["messages"].as_array().unwrap().clone()
    }

    #[track_caller]
    pub(crate) fn unread(&self, conversation: &str) -> u64 {
        let body = self.get(&format!("/messages/conversation/{conversation}/unread-count"));
        assert_eq!(body["conversationId"], conversation);
        let count = body["unreadCount"].as_u64().unwrap();
        // The list says the same.
        let rows = self.get("/conversations");
        let row = rows.as_array().unwrap().iter().find(|row| row["id"] == conversation).unwrap();
        assert_eq!(row["unreadCount"], count);
        count
    }
}

/// What an error says; its body has the three keys and no more.
#[track_caller]
pub(crate) fn failure(answer: &Answer) -> String {
    let body = answer.json();
    assert_eq!(body.as_object().unwrap().len(), 3, "{body}");
    assert_eq!(body["statusCode"], answer.status);
    let reason = http::StatusCode::from_u16(answer.status).unwrap().canonical_reason().unwrap();
    assert_eq!(body["error"], reason);
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

/// The contents of messages, in their order.
pub(crate) fn contents(messages: &[Value]) -> Vec<String> {
    messages.iter().map(|message| text(&message["content"])).collect()
}
