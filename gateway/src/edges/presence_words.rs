//! What the presence WebSocket says, as bytes: JSON in text frames.

use schema::event::TapEvent;
use schema::{Event, Id, LastSeen, Reply, Status, UserPresence};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::timestamp::Seconds;
use crate::websocket::encode::{self, Opcode};

/// Tag of a `subscribe`.
pub(super) const SUBSCRIBED: u64 = 1;
/// Tag of an `unsubscribe`.
pub(super) const UNSUBSCRIBED: u64 = 2;

fn say(out: &mut Vec<u8>, value: &Value) {
    encode::message_with(out, Opcode::Text, |out| {
        // Writing a `Value` into a `Vec` has nothing that can fail.
        let _ = serde_json::to_writer(out, value);
    });
}

pub(super) fn error(out: &mut Vec<u8>, code: &str, message: &str) {
    say(out, &json!({"type": "error", "data": {"code": code, "message": message}}));
}

pub(super) fn connected(out: &mut Vec<u8>, user: &Id) {
    say(out, &json!({"type": "connected", "data": {"userId": user.to_string(), "status": "online"}}));
}

pub(super) fn heartbeat_ack(out: &mut Vec<u8>, wall: u64) {
    use std::io::Write;
    // The one frame that every idle client gets twice a minute: no JSON tree for it.
    encode::message_with(out, Opcode::Text, |out| {
        let at = Seconds(wall);
        let _ = write!(out, r#"{{"type":"heartbeat_ack","data":{{"timestamp":"{at}"}}}}"#);
    });
}

pub(super) fn pong(out: &mut Vec<u8>) {
    encode::text(out, r#"{"type":"pong"}"#);
}

fn user(presence: &UserPresence) -> Value {
    let online = (presence.status != Status::Unknown).then(|| presence.status.is_online());
    let last_seen = match presence.last_seen {
        LastSeen::At(ms) => Some(Seconds(ms).to_string()),
        LastSeen::Never | LastSeen::Unknown => None,
    };
    json!({
        "userId": presence.user.to_string(),
        "online": online,
        "status": presence.status.as_str(),
        "lastSeen": last_seen,
    })
}

/// A payload is bytes to Muster. JSON goes out as it is; anything else as base64.
fn with_payload(out: &mut Vec<u8>, kind: &str, mut data: Value, payload: &[u8]) {
    let raw = std::str::from_utf8(payload).ok().and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    let value = raw.and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    if let Value::Object(fields) = &mut data {
        match value {
            Some(value) => fields.insert("payload".into(), value),
            None => {
                use base64::Engine;
                let text = base64::engine::general_purpose::STANDARD.encode(payload);
                fields.insert("payloadBase64".into(), text.into())
            }
        };
    }
    say(out, &json!({"type": kind, "data": data}));
}

/// Appends an event for presence clients; nothing for those they have no words for.
pub(super) fn event(event: &Event, out: &mut Vec<u8>) {
    match event {
        Event::Presence(users) => {
            let users: Vec<Value> = users.iter().map(user).collect();
            say(out, &json!({"type": "presence", "data": {"users": users}}));
        }
        Event::Message { from, payload } => {
            with_payload(out, "message", json!({"from": from.to_string()}), payload);
        }
        Event::Published { channel, from, payload } => {
            let data = json!({"channel": channel.to_string(), "from": from.to_string()});
            with_payload(out, "published", data, payload);
        }
        Event::Reply { tag: SUBSCRIBED, result: Ok(Reply::Done) } => say(out, &json!({"type": "subscribed"})),
        Event::Reply { tag: UNSUBSCRIBED, result: Ok(Reply::Done) } => {
            say(out, &json!({"type": "unsubscribed"}))
        }
        Event::Reply { result: Err(refusal), .. } => error(out, refusal.code(), &refusal.to_string()),
        Event::Reply { .. } | Event::Chat(..) | Event::Tap(TapEvent { .. }) | Event::Closing(_) => {}
    }
}
