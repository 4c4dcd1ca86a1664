//! Any WebSocket server that answers a text with a text: so that others can be measured with the same generator, in
//! the same run.

use serde::{Deserialize, Serialize};

use super::websocket::{Frame, Masks, frame, request, response};
use super::{Ask, Dialect, Fault, Step, Word};

/// What is said, and what is waited for. `{token}` in the path or a header is the user's token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EchoSettings {
    /// Host header.
    pub host: String,
    /// Request target of the handshake.
    pub path: String,
    /// Further headers of the handshake.
    pub headers: Vec<(String, String)>,
    /// Text sent after the handshake, if any.
    pub first: Option<String>,
    /// Text that must come (anywhere in a message) before the connection counts as open, if any.
    pub welcome: Option<String>,
    /// The request, sent for every heartbeat.
    pub request: String,
    /// Text that the answer to a request contains; empty: any message is the answer.
    pub expect: String,
}

impl Default for EchoSettings {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            path: "/".into(),
            headers: Vec::new(),
            first: None,
            welcome: None,
            request: r#"{"type":"heartbeat","activity":true}"#.into(),
            expect: String::new(),
        }
    }
}

/// The close code of who leaves on purpose.
const NORMAL: u16 = 1000;
const HANDSHAKE: u8 = 0;
const WAITING: u8 = 1;
const OPEN: u8 = 2;

/// See [`super::Choice::Echo`].
pub struct Echo {
    settings: EchoSettings,
    masks: Masks,
}

impl Echo {
    /// A client with these settings.
    #[must_use]
    pub fn new(settings: EchoSettings) -> Self {
        Self { settings, masks: Masks::new() }
    }
}

fn contains(text: &[u8], wanted: &str) -> bool {
    wanted.is_empty() || text.windows(wanted.len()).any(|window| window == wanted.as_bytes())
}

impl Dialect for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn can(&self, ask: &Ask<'_>) -> bool {
        matches!(ask, Ask::Beat { answer: true } | Ask::Leave)
    }

    fn hears_messages(&self) -> bool {
        false
    }

    fn hello(&mut self, token: &str, out: &mut Vec<u8>) {
        let with_token = |text: &str| text.replace("{token}", token);
        let headers: Vec<_> =
            self.settings.headers.iter().map(|(name, value)| (name.clone(), with_token(value))).collect();
        request(out, &self.settings.host, &with_token(&self.settings.path), &headers);
    }

    fn say(&mut self, ask: &Ask<'_>, out: &mut Vec<u8>) {
        match ask {
            Ask::Beat { .. } => self.masks.text(self.settings.request.as_bytes(), out),
            Ask::Leave => self.masks.close(NORMAL, out),
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
            if let Some(first) = &self.settings.first {
                self.masks.text(first.as_bytes(), out);
            }
            step.at = WAITING;
            if self.settings.welcome.is_none() {
                step.at = OPEN;
                tell(Word::Welcome);
            }
        }
        while let Some((frame, length)) = frame(&bytes[taken..])? {
            match frame {
                Frame::Message(text) if step.at == WAITING => {
                    if self.settings.welcome.as_deref().is_some_and(|welcome| contains(text, welcome)) {
                        step.at = OPEN;
                        tell(Word::Welcome);
                    }
                }
                Frame::Message(text) if contains(text, &self.settings.expect) => tell(Word::Beat),
                Frame::Message(_) => tell(Word::Other),
                Frame::Ping(payload) => self.masks.pong(payload, out),
                Frame::Pong => {}
                Frame::Close(code) => tell(Word::Closing(format!("close {code}"))),
            }
            taken += length;
        }
        Ok(taken)
    }
}
