//! The client's side for the WebSocket tests: masked frames, right or deliberately wrong, and what the server read.

#![allow(dead_code, reason = "each test file uses its part")]

use std::ops::ControlFlow;

use gateway::websocket::{Event, Limits, WebSocket};

pub(crate) const CONTINUATION: u8 = 0x0;
pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// Limits under which every case of the Autobahn suite fits.
pub(crate) const WIDE: Limits = Limits { message_bytes: 16 << 20, fragments: 65_536, assembly_ms: 10_000 };

/// An [`Event`] that outlives its call. Of a failure only the code counts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(u16, String),
    Fail(u16),
}

impl From<Event<'_>> for Told {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Text(text) => Self::Text(text.to_owned()),
            Event::Binary(bytes) => Self::Binary(bytes.to_owned()),
            Event::Ping(bytes) => Self::Ping(bytes.to_owned()),
            Event::Pong(bytes) => Self::Pong(bytes.to_owned()),
            Event::Close { code, reason } => Self::Close(code.0, reason.to_owned()),
            Event::Fail { code, .. } => Self::Fail(code.0),
        }
    }
}

/// A masked frame whose first byte is given in full: FIN, reserved bits, opcode.
pub(crate) fn raw_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    // Any mask will do; one that depends on the payload's length is not the same for all frames of a stream.
    let mask = [0x9d, 0x37, payload.len() as u8, 0x5a];
    frame.extend_from_slice(&mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A whole message or control frame.
pub(crate) fn frame(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    raw_frame(0x80 | opcode, payload.as_ref())
}

/// A fragment that is not the last.
pub(crate) fn fragment(opcode: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    raw_frame(opcode, payload.as_ref())
}

/// A message in fragments of so many bytes.
pub(crate) fn fragmented(opcode: u8, payload: &[u8], size: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let count = payload.len().div_ceil(size).max(1);
    for at in 0..count {
        let part = &payload[at * size..payload.len().min((at + 1) * size)];
        let opcode = if at == 0 { opcode } else { CONTINUATION };
        let last = if at + 1 == count { 0x80 } else { 0 };
        out.extend(raw_frame(last | opcode, part));
    }
    out
}

pub(crate) fn close(code: u16, reason: impl AsRef<[u8]>) -> Vec<u8> {
    frame(CLOSE, [&code.to_be_bytes(), reason.as_ref()].concat())
}

/// A stream of numbers for tests, the same for the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number from 1 to `most`.
    pub(crate) fn roll(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        1 + (self.0 >> 33) as usize % most
    }
}

/// What a fresh socket tells when the bytes come in pieces of the lengths that `next` gives; and the most heap that
/// it held between them.
pub(crate) fn receive(limits: &Limits, bytes: &[u8], mut next: impl FnMut() -> usize) -> (Vec<Told>, usize) {
    let mut socket = WebSocket::new();
    let mut told = Vec::new();
    let mut most_heap = 0;
    let mut bytes = bytes.to_vec();
    let mut rest = &mut bytes[..];
    while !rest.is_empty() {
        let (piece, later) = rest.split_at_mut(next().clamp(1, rest.len()));
        rest = later;
        socket.receive(limits, 0, piece, |event| {
            told.push(Told::from(event));
            ControlFlow::Continue(())
        });
        most_heap = most_heap.max(socket.heap_bytes());
        let ended = matches!(told.last(), Some(Told::Close(..) | Told::Fail(_)));
        assert_eq!(socket.is_over(), ended);
        assert_eq!(socket.deadline(limits).is_some(), socket.heap_bytes() > 0);
    }
    (told, most_heap)
}
