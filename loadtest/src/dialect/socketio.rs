//! Socket.IO 5 on Engine.IO 4 over a WebSocket: joins the main namespace with the user's token and answers the server's
//! pings, which are its heartbeats; or its heartbeats are events that want an ack. Any Socket.IO server can be measured with it.
//!
//! Sources: "Socket.IO protocol", revision 5; "Engine.IO protocol", revision 4.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::websocket::{Frame, Masks, frame, request, response};
use super::{Ask, Dialect, Fault, Step, Word};
use crate::stamp::Stamp;

/// Where to connect, and what a heartbeat is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SocketIoSettings {
    /// Host header.
    pub host: String,
    /// Path of the endpoint.
    pub path: String,
    /// Name and arguments of the event that is emitted for every heartbeat, as a JSON array. Empty: the heartbeats are the
    /// server's pings.
    pub event: String,
}

impl Default for SocketIoSettings {
    fn default() -> Self {
        Self { host: "127.0.0.1".into(), path: "/socket.io/".into(), event: String::new() }
    }
}

impl SocketIoSettings {
    /// The request target of a handshake.
    pub(super) fn handshake(&self, transport: &str, token: &str) -> String {
        let join = if self.path.contains('?') { '&' } else { '?' };
        format!("{}{join}EIO=4&transport={transport}&token={token}", self.path)
    }
}

/// What the server says of itself in the packet that opens a session.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Opened {
    pub(super) sid: Box<str>,
    ping_interval: u64,
    ping_timeout: u64,
}

/// Engine.IO's own numbers, until the server has said others.
pub(super) const PATIENCE: Duration = Duration::from_secs(25 + 20);

impl Opened {
    pub(super) fn read(packet: &[u8]) -> Result<Self, Fault> {
        serde_json::from_slice(packet).map_err(|error| Fault(format!("the packet that opens: {error}")))
    }

    /// How long a client waits for a ping.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_millis(self.ping_interval.saturating_add(self.ping_timeout))
    }
}

/// The close code of who leaves on purpose.
const NORMAL: u16 = 1000;
const HANDSHAKE: u8 = 0;
const OPENING: u8 = 1;
const JOINING: u8 = 2;
const OPEN: u8 = 3;

/// See [`super::Choice::SocketIo`].
pub struct SocketIo {
    settings: SocketIoSettings,
    masks: Masks,
    ack: u32,
    patience: Duration,
}

impl SocketIo {
    /// A client with these settings.
    #[must_use]
    pub fn new(settings: SocketIoSettings) -> Self {
        Self { settings, masks: Masks::new(), ack: 0, patience: PATIENCE }
    }

    fn packet(
        &mut self,
        step: &mut Step,
        packet: &[u8],
        out: &mut Vec<u8>,
        tell: &mut dyn FnMut(Word),
    ) -> Result<(), Fault> {
        match (step.at, packet) {
            (OPENING, [b'0', opened @ ..]) => {
                self.patience = Opened::read(opened)?.patience();
                self.masks.text(b"40", out);
                step.at = JOINING;
            }
            (JOINING, [b'4', b'0', ..]) => {
                step.at = OPEN;
                tell(Word::Welcome);
            }
            (JOINING, [b'4', b'4', why @ ..]) => {
                return Err(Fault(format!("refused: {}", String::from_utf8_lossy(why))));
            }
            (_, [b'2', ..]) => {
                self.masks.text(b"3", out);
                tell(if self.settings.event.is_empty() { Word::Pinged } else { Word::Other });
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
        match ask {
            Ask::Beat { .. } => !self.settings.event.is_empty(),
            Ask::Leave => true,
            _ => false,
        }
    }

    fn patience(&self) -> Option<Duration> {
        self.settings.event.is_empty().then_some(self.patience)
    }

    fn hears_messages(&self) -> bool {
        false
    }

    fn hello(&mut self, token: &str, out: &mut Vec<u8>) {
        request(out, &self.settings.host, &self.settings.handshake("websocket", token), &[]);
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
            Ask::Leave => {
                self.masks.text(b"41", out);
                self.masks.close(NORMAL, out);
            }
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
            step.at = OPENING;
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
        for (event, ping) in [("", Word::Pinged), (r#"["typing:stop",{}]"#, Word::Other)] {
            let settings = SocketIoSettings { event: event.into(), ..SocketIoSettings::default() };
            let mut dialect = SocketIo::new(settings);
            let (mut step, mut out, mut words) = (Step::at(OPENING), Vec::new(), Vec::new());
            let open = r#"0{"sid":"x","upgrades":[],"pingInterval":2000,"pingTimeout":500,"maxPayload":9}"#;
            let bytes = frames(&[open, r#"40{"sid":"y"}"#, "2", "431[{}]", r#"42["message:new",{}]"#]);
            let taken = dialect.hear(&mut step, &bytes, &mut out, &mut |word| words.push(word)).unwrap();
            assert_eq!((taken, step.at), (bytes.len(), OPEN));
            assert_eq!(words, [Word::Welcome, ping, Word::Beat, Word::Message(None)]);
            let patience = event.is_empty().then_some(Duration::from_millis(2_500));
            assert_eq!(dialect.patience(), patience);
            let refused = frames(&[r#"44{"message":"no"}"#]);
            let fault = dialect.hear(&mut Step::at(JOINING), &refused, &mut out, &mut |_| {}).unwrap_err();
            assert_eq!(fault.to_string(), r#"refused: {"message":"no"}"#);
        }
    }
}
