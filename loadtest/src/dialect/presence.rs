//! The presence API's WebSocket (`docs/PRESENCE.md`).

use serde_json::{Value, json};

use super::websocket::{Frame, Masks, frame, request, response};
use super::{Ask, Dialect, Fault, Step, Word};
use crate::persona::{user_id, user_number};
use crate::stamp::Stamp;

/// See [`super::Choice::Presence`].
pub struct Presence {
    host: String,
    path: String,
    masks: Masks,
}

const HANDSHAKE: u8 = 0;
const OPEN: u8 = 1;

impl Presence {
    /// A client of the server at `host`.
    #[must_use]
    pub fn new(host: &str, path: &str) -> Self {
        Self { host: host.to_owned(), path: path.to_owned(), masks: Masks::new() }
    }
}

impl Dialect for Presence {
    fn name(&self) -> &'static str {
        "presence"
    }

    fn can(&self, ask: &Ask<'_>) -> bool {
        matches!(ask, Ask::Beat { .. } | Ask::Watch(_) | Ask::Leave)
    }

    fn hello(&mut self, token: &str, out: &mut Vec<u8>) {
        request(out, &self.host, &format!("{}?token={token}", self.path), &[]);
    }

    fn say(&mut self, ask: &Ask<'_>, out: &mut Vec<u8>) {
        match ask {
            // The API knows no heartbeat without an answer; a WebSocket pong is a sign of life that asks for none.
            Ask::Beat { answer: true } => self.masks.text(br#"{"type":"heartbeat","activity":false}"#, out),
            Ask::Beat { answer: false } => self.masks.pong(b"", out),
            Ask::Watch(users) => {
                let ids: Vec<String> = users.iter().map(|&user| user_id(user)).collect();
                let text = json!({"type": "subscribe", "userIds": ids}).to_string();
                self.masks.text(text.as_bytes(), out);
            }
            Ask::Leave => self.masks.text(br#"{"type":"logout"}"#, out),
            _ => {}
        }
    }

    fn hear(
        &mut self,
        step: &mut Step,
        bytes: &[u8],
        out: &mut Vec<u8>,
        tell: &mut dyn FnMut(Word),
    ) -> Result<usize, Fault> {
        let mut taken = 0;
        if step.at == HANDSHAKE {
            let Some(length) = response(bytes)? else { return Ok(0) };
            taken = length;
            step.at = OPEN;
        }
        while let Some((frame, length)) = frame(&bytes[taken..])? {
            match frame {
                Frame::Message(text) => message(text, tell)?,
                Frame::Ping(payload) => self.masks.pong(payload, out),
                Frame::Pong => {}
                Frame::Close(code) => tell(Word::Closing(format!("close {code}"))),
            }
            taken += length;
        }
        Ok(taken)
    }
}

fn message(text: &[u8], tell: &mut dyn FnMut(Word)) -> Result<(), Fault> {
    // The one frame that comes for every request: no JSON tree for it.
    if text.starts_with(br#"{"type":"heartbeat_ack""#) {
        tell(Word::Beat);
        return Ok(());
    }
    if text.starts_with(br#"{"type":"message""#) || text.starts_with(br#"{"type":"published""#) {
        tell(Word::Message(Stamp::find(text)));
        return Ok(());
    }
    let value: Value = serde_json::from_slice(text).map_err(|error| Fault(error.to_string()))?;
    let data = &value["data"];
    match value["type"].as_str().unwrap_or_default() {
        "connected" => tell(Word::Welcome),
        "subscribed" | "unsubscribed" => tell(Word::Done),
        "presence" => {
            for user in data["users"].as_array().into_iter().flatten() {
                let number = user["userId"].as_str().and_then(user_number);
                let online = user["online"].as_bool().unwrap_or(false);
                tell(number.map_or(Word::Other, |user| Word::Presence { user, online }));
            }
        }
        "error" => tell(Word::Refused(data["code"].as_str().unwrap_or("error").to_owned())),
        _ => tell(Word::Other),
    }
    Ok(())
}
