//! Socket.IO 5 on Engine.IO 4 over long polls, all of them on one connection that is kept alive: a poll is parked until the
//! server pings, the pong is uploaded, and the next poll is parked. It is what an idle client that cannot upgrade costs.
//!
//! ```text
//! GET ─► 0{sid} ─ POST 40 ─► ok ─ GET ─► 40 ─┬─ GET (parked) ─► 2 ─ POST 3 ─► ok ─┐
//!                                            └──────────◄───────────────────────────┘
//! ```

use std::time::Duration;

use super::socketio::{Opened, PATIENCE, SocketIoSettings};
use super::{Ask, Dialect, Fault, Step, Word};

/// Longest answer taken.
const ANSWER_MAX: usize = 1 << 20;
/// Between the packets of one answer.
const SEPARATOR: u8 = 0x1e;

/// The poll of the handshake is under way.
const OPENING: u8 = 0;
/// A poll is.
const POLLING: u8 = 1;
/// An upload is.
const UPLOADING: u8 = 2;
/// Added to the others once the namespace is joined.
const JOINED: u8 = 4;

/// See [`super::Choice::Polling`].
pub struct Polling {
    settings: SocketIoSettings,
    patience: Duration,
}

impl Polling {
    /// A client with these settings; their event is of no use here.
    #[must_use]
    pub fn new(settings: SocketIoSettings) -> Self {
        Self { settings, patience: PATIENCE }
    }

    fn target(&self, sid: &str) -> String {
        let join = if self.settings.path.contains('?') { '&' } else { '?' };
        format!("{}{join}EIO=4&transport=polling&sid={sid}", self.settings.path)
    }

    fn get(&self, target: &str, out: &mut Vec<u8>) {
        let host = &self.settings.host;
        out.extend_from_slice(
            format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n").as_bytes(),
        );
    }

    fn poll(&self, step: &mut Step, out: &mut Vec<u8>) {
        step.at = step.at & JOINED | POLLING;
        self.get(&self.target(&step.name), out);
    }

    fn upload(&self, step: &mut Step, packet: &str, out: &mut Vec<u8>) {
        step.at = step.at & JOINED | UPLOADING;
        let (target, host) = (self.target(&step.name), &self.settings.host);
        let length = packet.len();
        out.extend_from_slice(
            format!(
                "POST {target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nContent-Type: text/plain;charset=UTF-8\r\n\
                 Content-Length: {length}\r\n\r\n{packet}"
            )
            .as_bytes(),
        );
    }

    fn answer(
        &mut self,
        step: &mut Step,
        body: &[u8],
        out: &mut Vec<u8>,
        tell: &mut dyn FnMut(Word),
    ) -> Result<(), Fault> {
        if step.at & !JOINED == UPLOADING {
            if body != b"ok" {
                return Err(Fault(format!("an upload was answered {:?}", start(body))));
            }
            self.poll(step, out);
            return Ok(());
        }
        let mut says = None;
        for packet in body.split(|byte| *byte == SEPARATOR) {
            match packet {
                [b'0', opened @ ..] if step.at == OPENING => {
                    let opened = Opened::read(opened)?;
                    self.patience = opened.patience();
                    step.name = opened.sid;
                    says = Some("40");
                }
                [b'4', b'0', ..] if step.at & JOINED == 0 => {
                    step.at |= JOINED;
                    tell(Word::Welcome);
                }
                [b'4', b'4', why @ ..] => return Err(Fault(format!("refused: {}", start(why)))),
                [b'2', ..] => {
                    says = Some("3");
                    tell(Word::Pinged);
                }
                [b'1', ..] => tell(Word::Closing("the server closes the session".into())),
                [b'4', b'1', ..] => tell(Word::Closing("disconnected from the namespace".into())),
                [b'4' | b'6', ..] => tell(Word::Other),
                other => return Err(Fault(format!("an unexpected packet: {}", start(other)))),
            }
        }
        match says {
            Some(packet) => self.upload(step, packet, out),
            None => self.poll(step, out),
        }
        Ok(())
    }
}

/// The beginning of something, for words about it.
fn start(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned()
}

/// The next whole answer: its body and its length. Every answer of these servers says how long it is.
fn answer(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, Fault> {
    let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return if bytes.len() > ANSWER_MAX { Err(Fault("an answer does not end".into())) } else { Ok(None) };
    };
    let text = String::from_utf8_lossy(&bytes[..head]);
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .filter(|length: &usize| *length <= ANSWER_MAX);
    let length = length.ok_or_else(|| Fault("an answer does not say how long it is".into()))?;
    let end = head + 4 + length;
    let Some(body) = bytes.get(head + 4..end) else { return Ok(None) };
    if text.split(' ').nth(1) != Some("200") {
        return Err(Fault(format!("{}: {}", text.lines().next().unwrap_or_default(), start(body))));
    }
    Ok(Some((body, end)))
}

impl Dialect for Polling {
    fn name(&self) -> &'static str {
        "socketio-polling"
    }

    fn can(&self, _: &Ask<'_>) -> bool {
        false
    }

    fn patience(&self) -> Option<Duration> {
        Some(self.patience)
    }

    fn hears_messages(&self) -> bool {
        false
    }

    fn hello(&mut self, token: &str, out: &mut Vec<u8>) {
        self.get(&self.settings.handshake("polling", token), out);
    }

    fn say(&mut self, _: &Ask<'_>, _: &mut Vec<u8>) {}

    fn hear(
        &mut self,
        step: &mut Step,
        bytes: &[u8],
        out: &mut Vec<u8>,
        tell: &mut dyn FnMut(Word),
    ) -> Result<usize, Fault> {
        let mut taken = 0;
        while let Some((body, length)) = answer(&bytes[taken..])? {
            self.answer(step, body, out, tell)?;
            taken += length;
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn joins_parks_a_poll_and_answers_pings() {
        let mut dialect = Polling::new(SocketIoSettings::default());
        let mut step = Step::default();
        let open = r#"0{"sid":"abc","upgrades":[],"pingInterval":2000,"pingTimeout":500,"maxPayload":9}"#;
        let rounds = [
            (open, "POST /socket.io/?EIO=4&transport=polling&sid=abc ", Some("40"), &[][..]),
            ("ok", "GET /socket.io/?EIO=4&transport=polling&sid=abc ", None, &[]),
            ("40{\"sid\":\"y\"}", "GET ", None, &[Word::Welcome]),
            ("42[\"users:online\",[]]\u{1e}2", "POST ", Some("3"), &[Word::Other, Word::Pinged]),
            ("ok", "GET ", None, &[]),
        ];
        for (body, says, uploads, told) in rounds {
            let (bytes, mut out, mut words) = (answered(body), Vec::new(), Vec::new());
            let half = bytes.len() / 2;
            assert_eq!(dialect.hear(&mut step, &bytes.as_bytes()[..half], &mut out, &mut |_| {}).unwrap(), 0);
            let taken = dialect.hear(&mut step, bytes.as_bytes(), &mut out, &mut |word| words.push(word));
            assert_eq!((taken.unwrap(), &*words), (bytes.len(), told), "{body}");
            let out = String::from_utf8(out).unwrap();
            assert!(out.starts_with(says), "{out}");
            let body = out.split_once("\r\n\r\n").map(|(_, body)| body).filter(|body| !body.is_empty());
            assert_eq!(body, uploads, "{out}");
        }
        assert_eq!(dialect.patience(), Some(Duration::from_millis(2_500)));
    }

    #[test]
    fn what_is_refused_is_told_in_the_servers_words() {
        let mut dialect = Polling::new(SocketIoSettings::default());
        let mut hear = |at: u8, bytes: &str| {
            let heard = dialect.hear(&mut Step::at(at), bytes.as_bytes(), &mut Vec::new(), &mut |_| {});
            heard.unwrap_err().to_string()
        };
        assert_eq!(hear(POLLING, &answered("44{\"message\":\"no\"}")), "refused: {\"message\":\"no\"}");
        let busy = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 3\r\n\r\nnow";
        assert_eq!(hear(POLLING, busy), "HTTP/1.1 503 Service Unavailable: now");
        assert!(hear(UPLOADING, &answered("no")).contains("answered \"no\""));
        assert!(hear(POLLING, "HTTP/1.1 200 OK\r\n\r\n").contains("how long"));
    }
}
