//! Socket.IO 5 on Engine.IO 4 over a WebSocket: joins the main namespace with the user's token, answers the server's pings,
//! and emits an event that wants an ack as its heartbeat. Any Socket.IO server can be measured with it.
//!
//! Sources: "Socket.IO protocol", revision 5; "Engine.IO protocol", revision 4.

use serde::{Deserialize, Serialize};

use super::websocket::{Frame, Masks, frame, request, response};
use super::{Ask, Dialect, Fault, Step, Word};
use crate::stamp::Stamp;

/// Where to connect, and which event is a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocketIoSettings {
    /// Host header.
    pub host: String,
    /// Path of the endpoint.
    pub path: String,
    /// Name and arguments of the event that is emitted for every heartbeat, as a JSON array.
    pub event: String,
}

impl Default for SocketIoSettings {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            path: "/socket.io/".into(),
            event: r#"["typing:stop",{"conversationId":"none"}]"#.into(),
        }
    }
}

const HANDSHAKE: Step = 0;
const OPENING: Step = 1;
const JOINING: Step = 2;
const OPEN: Step = 3;

/// See [`super::Choice::SocketIo`].
pub struct SocketIo {
    settings: SocketIoSettings,
    masks: Masks,
    ack: u32,
}

impl SocketIo {
    /// A client with these settings.
    #[must_use]
    pub fn new(settings: SocketIoSettings) -> Self {
        Self { settings, masks: Masks::new(), ack: 0 }
    }

    fn packet(
        &mut self,
        step: &mut Step,
        packet: &[u8],
        out: &mut Vec<u8>,
        tell: &mut dyn FnMut(Word),
    ) -> Result<(), Fault> {
        match (*step, packet) {
            (OPENING, [b'0', ..]) => {
                self.masks.text(b"40", out);
                *step = JOINING;
            }
            (JOINING, [b'4', b'0', ..]) => {
                *step = OPEN;
                tell(Word::Welcome);
            }
            (JOINING, [b'4', b'4', why @ ..]) => {
                return Err(Fault(format!("refused: {}", String::from_utf8_lossy(why))));
            }
            (_, [b'2', ..]) => {
                self.masks.text(b"3", out);
                tell(Word::Other);
            }
            (OPEN, [b'4', b'3', ..]) => tell(Word::Beat),
            (OPEN, [b'4', b'1', ..]) => tell(Word::Closing("disconnected from the namespace".into())),
            (_, [b'1', ..]) => tell(Word::Closing("the server closes the session".into())),
            (OPEN, [b'4', b'2', event @ ..]) if event.starts_with(br#"["message:new""#) => {
                tell(Word::Message(Stamp::find(event)));
            }
            (OPEN, [b'4', ..]) => tell(Word::Other),
            (_, other) => {
                let text = String::from_utf8_lossy(&other[..other.len().min(80)]).into_owned();
                return Err(Fault(format!("an unexpected packet: {text}")));
            }
        }
        Ok(())
    }
}

impl Dialect for SocketIo {
    fn name(&self) -> &'static str {
        "socketio"
    }

    fn can(&self, ask: &Ask<'_>) -> bool {
        matches!(ask, Ask::Beat { .. } | Ask::Leave)
    }

    fn hello(&mut self, token: &str, out: &mut Vec<u8>) {
        let SocketIoSettings { host, path, .. } = &self.settings;
        let join = if path.contains('?') { '&' } else { '?' };
        request(out, host, &format!("{path}{join}EIO=4&transport=websocket&token={token}"), &[]);
    }

    fn say(&mut self, ask: &Ask<'_>, out: &mut Vec<u8>) {
        match ask {
            Ask::Beat { answer: true } => {
                self.ack = self.ack.wrapping_add(1);
                let packet = format!("42{}{}", self.ack, self.settings.event);
                self.masks.text(packet.as_bytes(), out);
            }
            // A pong that nobody asked for is a sign of life that asks for nothing.
            Ask::Beat { answer: false } => self.masks.text(b"3", out),
            Ask::Leave => self.masks.text(b"41", out),
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
        if *step == HANDSHAKE {
            let Some(length) = response(bytes)? else { return Ok(0) };
            taken = length;
            *step = OPENING;
        }
        while let Some((frame, length)) = frame(&bytes[taken..])? {
            match frame {
                Frame::Message(text) => self.packet(step, text, out, tell)?,
                Frame::Ping(payload) => self.masks.pong(payload, out),
                Frame::Pong => {}
                Frame::Close(code) => tell(Word::Closing(format!("close {code}"))),
            }
            taken += length;
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(texts: &[&str]) -> Vec<u8> {
        texts.iter().flat_map(|text| [&[0x81, text.len() as u8], text.as_bytes()].concat()).collect()
    }

    #[test]
    fn joins_answers_pings_and_counts_acks() {
        let mut dialect = SocketIo::new(SocketIoSettings::default());
        let (mut step, mut out, mut words) = (OPENING, Vec::new(), Vec::new());
        let bytes =
            frames(&[r#"0{"sid":"x"}"#, r#"40{"sid":"y"}"#, "2", "431[{}]", r#"42["message:new",{}]"#]);
        let taken = dialect.hear(&mut step, &bytes, &mut out, &mut |word| words.push(word)).unwrap();
        assert_eq!((taken, step), (bytes.len(), OPEN));
        assert_eq!(words, [Word::Welcome, Word::Other, Word::Beat, Word::Message(None)]);
        let refused = frames(&[r#"44{"message":"no"}"#]);
        let fault = dialect.hear(&mut { JOINING }, &refused, &mut out, &mut |_| {}).unwrap_err();
        assert_eq!(fault.to_string(), r#"refused: {"message":"no"}"#);
    }
}
