//! The client's end of a WebSocket (RFC 6455): handshake, masking, frames. Enough for servers that send whole, short
//! messages; a fragmented message is a fault, since none of the servers measured sends one.

use std::io::Cursor;

use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::Fault;

/// One key for all: it is a nonce against confused caches, and there are none between.
const KEY: &str = "bXVzdGVyLWxvYWR0ZXN0IQ==";
/// Longest answer to a handshake.
const HEAD_MAX: usize = 16 * 1024;
/// Longest message taken.
const MESSAGE_MAX: u64 = 1 << 20;

/// Appends the request.
pub(super) fn request(out: &mut Vec<u8>, host: &str, path: &str, headers: &[(String, String)]) {
    out.extend_from_slice(
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
        )
        .as_bytes(),
    );
    for (name, value) in headers {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Reads the answer: how long it is when it is whole and says yes.
pub(super) fn response(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        if bytes.len() > HEAD_MAX {
            return Err(Fault("the answer to the handshake does not end".into()));
        }
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "101" {
        return Err(Fault(format!("handshake: {}", head.lines().next().unwrap_or_default())));
    }
    let accept = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find_map(|(name, value)| name.eq_ignore_ascii_case("sec-websocket-accept").then_some(value.trim()));
    if accept != Some(&derive_accept_key(KEY.as_bytes())) {
        return Err(Fault("handshake: the answer's key does not fit".into()));
    }
    Ok(Some(end + 4))
}

/// A frame from the server.
pub(super) enum Frame<'a> {
    /// Text or binary.
    Message(&'a [u8]),
    Ping(&'a [u8]),
    Pong,
    /// The code, 1005 where there is none.
    Close(u16),
}

/// The next whole frame and its length.
pub(super) fn frame(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Fault> {
    let mut cursor = Cursor::new(bytes);
    let parsed = FrameHeader::parse(&mut cursor).map_err(|error| Fault(error.to_string()))?;
    let Some((header, length)) = parsed else { return Ok(None) };
    if length > MESSAGE_MAX {
        return Err(Fault(format!("a message of {length} bytes")));
    }
    let start = cursor.position() as usize;
    let end = start + length as usize;
    let Some(payload) = bytes.get(start..end) else { return Ok(None) };
    let frame = match header.opcode {
        _ if !header.is_final => return Err(Fault("a fragmented message".into())),
        OpCode::Data(Data::Text | Data::Binary) => Frame::Message(payload),
        OpCode::Control(Control::Ping) => Frame::Ping(payload),
        OpCode::Control(Control::Pong) => Frame::Pong,
        OpCode::Control(Control::Close) => {
            Frame::Close(payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)))
        }
        other => return Err(Fault(format!("an unexpected frame, {other}"))),
    };
    Ok(Some((frame, end)))
}

/// Masking keys: a fresh one a frame, as the RFC wants, from a generator that needs no luck.
#[derive(Clone, Debug)]
pub(super) struct Masks(u32);

impl Masks {
    pub(super) fn new() -> Self {
        Self(0x9e37_79b9)
    }

    fn next(&mut self) -> [u8; 4] {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0.to_ne_bytes()
    }

    pub(super) fn text(&mut self, text: &[u8], out: &mut Vec<u8>) {
        self.frame(OpCode::Data(Data::Text), text, out);
    }

    pub(super) fn pong(&mut self, payload: &[u8], out: &mut Vec<u8>) {
        self.frame(OpCode::Control(Control::Pong), payload, out);
    }

    pub(super) fn close(&mut self, code: u16, out: &mut Vec<u8>) {
        self.frame(OpCode::Control(Control::Close), &code.to_be_bytes(), out);
    }

    fn frame(&mut self, opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
        let mask = self.next();
        let header = FrameHeader { opcode, mask: Some(mask), ..FrameHeader::default() };
        // Writing to a `Vec` has nothing that can fail.
        let _ = header.format(payload.len() as u64, out);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_only_when_it_is_whole_and_right() {
        let good = format!(
            "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            derive_accept_key(KEY.as_bytes())
        );
        assert_eq!(response(good.as_bytes()).unwrap(), Some(good.len()));
        assert_eq!(response(&good.as_bytes()[..good.len() - 1]).unwrap(), None);
        assert!(response(b"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: no\r\n\r\n").is_err());
        let error = response(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").unwrap_err();
        assert_eq!(error.to_string(), "handshake: HTTP/1.1 503 Service Unavailable");
    }

    #[test]
    fn frames_of_all_kinds() {
        assert!(matches!(frame(b"\x81\x02hi").unwrap(), Some((Frame::Message(b"hi"), 4))));
        assert!(matches!(frame(b"\x89\x01p\x81").unwrap(), Some((Frame::Ping(b"p"), 3))));
        assert!(matches!(frame(b"\x88\x02\x03\xf4").unwrap(), Some((Frame::Close(1012), 4))));
        assert!(matches!(frame(b"\x88\x00").unwrap(), Some((Frame::Close(1005), 2))));
        assert!(frame(b"\x81\x02h").unwrap().is_none());
        assert!(frame(b"\x01\x02hi").is_err());
    }

    #[test]
    fn what_is_masked_can_be_read() {
        let mut out = Vec::new();
        Masks::new().text(b"hello", &mut out);
        assert_eq!(out[1], 0x85);
        let mask: [u8; 4] = out[2..6].try_into().unwrap();
        let plain: Vec<u8> =
            out[6..].iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(plain, b"hello");
    }
}
