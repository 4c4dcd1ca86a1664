//! Frames of the server: never masked, never fragmented (RFC 6455, 5.1 and 5.2).
//!
//! An unmasked frame has the same bytes for every client, so a fan-out encodes it once into a buffer that all
//! sockets share; where only the payload is shared, [`Head`] is the part that goes before it.

use super::CloseCode;
use super::frame::LONGEST_CONTROL;

/// What a frame of the server carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Opcode {
    /// A text message.
    Text = 0x1,
    /// A binary message.
    Binary = 0x2,
    /// The end of the conversation.
    Close = 0x8,
    /// A question whether the client lives.
    Ping = 0x9,
    /// The answer to a ping.
    Pong = 0xa,
}

/// The header of an unmasked, unfragmented frame: two, four or ten bytes (RFC 6455, 5.2).
#[derive(Clone, Copy, Debug)]
pub struct Head {
    bytes: [u8; 10],
    len: u8,
}

impl Head {
    /// The header before a payload of this length.
    #[must_use]
    pub const fn new(opcode: Opcode, payload: usize) -> Self {
        let mut bytes = [0; 10];
        bytes[0] = 0x80 | opcode as u8;
        let [.., b2, b3, b4, b5, b6, b7, b8, b9] = (payload as u64).to_be_bytes();
        let len = match payload {
            0..=125 => {
                bytes[1] = b9;
                2
            }
            126..=0xffff => {
                [bytes[1], bytes[2], bytes[3]] = [126, b8, b9];
                4
            }
            _ => {
                bytes = [bytes[0], 127, b2, b3, b4, b5, b6, b7, b8, b9];
                10
            }
        };
        Self { bytes, len }
    }

    /// The bytes to send before the payload.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// Appends a text message.
pub fn text(out: &mut Vec<u8>, payload: &str) {
    frame(out, Opcode::Text, payload.as_bytes());
}

/// Appends a binary message.
pub fn binary(out: &mut Vec<u8>, payload: &[u8]) {
    frame(out, Opcode::Binary, payload);
}

/// Appends a message whose payload `write` appends, without a buffer in between; for payloads that are serialised.
/// The payload of a text message must be UTF-8.
pub fn message_with(out: &mut Vec<u8>, opcode: Opcode, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    // Most messages are short: room for the shortest header, moved up if the payload proves longer.
    out.extend_from_slice(&[0; 2]);
    write(out);
    let head = Head::new(opcode, out.len().saturating_sub(start + 2));
    out.splice(start..start + 2, head.as_bytes().iter().copied());
}

/// Appends a ping. A control frame has room for 125 bytes; what is beyond is cut off.
pub fn ping(out: &mut Vec<u8>, payload: &[u8]) {
    frame(out, Opcode::Ping, &payload[..payload.len().min(LONGEST_CONTROL)]);
}

/// Appends a pong, the answer to [`super::Event::Ping`] with the same payload; cut off like a ping's.
pub fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    frame(out, Opcode::Pong, &payload[..payload.len().min(LONGEST_CONTROL)]);
}

/// Appends a close frame. A code that may not be sent ([`CloseCode::NO_STATUS`] above all) makes the frame empty,
/// so that echoing [`super::Event::Close`] is always right. A reason has room for 123 bytes of whole characters.
pub fn close(out: &mut Vec<u8>, code: CloseCode, reason: &str) {
    if !code.may_be_sent() {
        return frame(out, Opcode::Close, &[]);
    }
    let reason = &reason.as_bytes()[..reason.floor_char_boundary(LONGEST_CONTROL - 2)];
    out.extend_from_slice(Head::new(Opcode::Close, 2 + reason.len()).as_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
    out.extend_from_slice(reason);
}

fn frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let head = Head::new(opcode, payload.len());
    out.reserve(head.as_bytes().len() + payload.len());
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        encode(&mut out);
        out
    }

    #[test]
    fn heads() {
        let check = |length, expected: &[u8]| {
            assert_eq!(Head::new(Opcode::Binary, length).as_bytes(), expected);
        };
        check(0, &[0x82, 0]);
        check(125, &[0x82, 125]);
        check(126, &[0x82, 126, 0, 126]);
        check(65_535, &[0x82, 126, 0xff, 0xff]);
        check(65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn frames() {
        assert_eq!(encoded(|out| text(out, "hi")), b"\x81\x02hi");
        assert_eq!(encoded(|out| binary(out, &[7])), b"\x82\x01\x07");
        assert_eq!(encoded(|out| ping(out, b"")), b"\x89\x00");
        assert_eq!(encoded(|out| pong(out, b"x")), b"\x8a\x01x");
        assert_eq!(encoded(|out| ping(out, &[0; 200])).len(), 127);
        assert_eq!(encoded(|out| close(out, CloseCode::NORMAL, "")), b"\x88\x02\x03\xe8");
        assert_eq!(encoded(|out| close(out, CloseCode::UNAUTHORIZED, "no")), b"\x88\x04\x11\x31no");
        assert_eq!(encoded(|out| close(out, CloseCode::NO_STATUS, "lost")), b"\x88\x00");
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let frame = encoded(|out| close(out, CloseCode::NORMAL, &"ä".repeat(100)));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
    }

    #[test]
    fn a_payload_written_in_place_makes_the_same_frame() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![b'x'; length];
            let mut expected = b"before".to_vec();
            binary(&mut expected, &payload);
            let mut got = b"before".to_vec();
            message_with(&mut got, Opcode::Binary, |out| out.extend_from_slice(&payload));
            assert!(got == expected, "{length}");
        }
    }
}
