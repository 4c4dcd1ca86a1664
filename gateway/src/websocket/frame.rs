//! One frame of a client: its header parsed and checked, its payload unmasked (RFC 6455, 5.2 and 5.3).

use std::io::Cursor;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use super::Violation;

/// The longest header a frame can have: two bytes, a 64-bit length, a mask.
pub(super) const LONGEST_HEAD: usize = 14;

/// The longest payload of a control frame (RFC 6455, 5.5).
pub(super) const LONGEST_CONTROL: usize = 125;

/// What a frame is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// The next fragment of the message under way.
    Continuation,
    /// A text message or its first fragment.
    Text,
    /// A binary message or its first fragment.
    Binary,
    /// See [`super::Event::Close`].
    Close,
    /// See [`super::Event::Ping`].
    Ping,
    /// See [`super::Event::Pong`].
    Pong,
}

impl Kind {
    pub(super) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame header that broke no rule which a header alone can break.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) kind: Kind,
    /// The last frame of its message.
    pub(super) last: bool,
    pub(super) mask: [u8; 4],
    pub(super) length: u64,
}

/// Reads one header from the front of `bytes`: the header and its size, or `None` while it is incomplete.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Violation> {
    let mut cursor = Cursor::new(bytes);
    // A slice in memory cannot fail to be read: the one error left is an opcode that RFC 6455, 5.2 reserves.
    let parsed = FrameHeader::parse(&mut cursor).map_err(|_| Violation::protocol("reserved opcode"))?;
    let Some((header, length)) = parsed else { return Ok(None) };
    if header.rsv1 || header.rsv2 || header.rsv3 {
        return Err(Violation::protocol("reserved bit set without an extension"));
    }
    let kind = match header.opcode {
        OpCode::Data(Data::Continue) => Kind::Continuation,
        OpCode::Data(Data::Text) => Kind::Text,
        OpCode::Data(Data::Binary) => Kind::Binary,
        OpCode::Control(Control::Close) => Kind::Close,
        OpCode::Control(Control::Ping) => Kind::Ping,
        OpCode::Control(Control::Pong) => Kind::Pong,
        OpCode::Data(Data::Reserved(_)) | OpCode::Control(Control::Reserved(_)) => {
            return Err(Violation::protocol("reserved opcode"));
        }
    };
    let Some(mask) = header.mask else {
        return Err(Violation::protocol("frame of a client is not masked"));
    };
    if kind.is_control() && !header.is_final {
        return Err(Violation::protocol("fragmented control frame"));
    }
    if kind.is_control() && length > LONGEST_CONTROL as u64 {
        return Err(Violation::protocol("control frame longer than 125 bytes"));
    }
    if length > i64::MAX as u64 {
        return Err(Violation::protocol("length with its highest bit set"));
    }
    let size = header.len(length);
    // `size` is what the shortest form of the length takes; the cursor tells what the client took.
    if cursor.position() != size as u64 {
        return Err(Violation::protocol("length not in its shortest form"));
    }
    Ok(Some((Head { kind, last: header.is_final, mask, length }, size)))
}

/// Removes the mask from a part of a payload that begins `offset` bytes into it (RFC 6455, 5.3).
pub(super) fn unmask(bytes: &mut [u8], mut mask: [u8; 4], offset: usize) {
    mask.rotate_left(offset % 4);
    let [a, b, c, d] = mask;
    let word = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for chunk in words {
        *chunk = (u64::from_ne_bytes(*chunk) ^ word).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip([a, b, c, d, a, b, c, d]) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let check = |bytes: &[u8], expected: Result<Option<(Kind, u64, usize)>, &str>| {
            let got = parse(bytes)
                .map(|head| head.map(|(head, size)| (head.kind, head.length, size)))
                .map_err(|violation| {
                    assert_eq!(violation.code.0, 1002);
                    violation.reason
                });
            assert_eq!(got, expected, "{bytes:02x?}");
        };
        check(&[], Ok(None));
        check(&[0x81], Ok(None));
        check(&[0x81, 0x85, 1, 2, 3], Ok(None));
        check(&[0x81, 0x85, 1, 2, 3, 4], Ok(Some((Kind::Text, 5, 6))));
        check(&[0x82, 0xfe, 0, 126, 1, 2, 3, 4], Ok(Some((Kind::Binary, 126, 8))));
        check(&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4], Ok(Some((Kind::Binary, 65_536, 14))));
        check(&[0x81, 0x05], Err("frame of a client is not masked"));
        check(&[0xc1, 0x85, 1, 2, 3, 4], Err("reserved bit set without an extension"));
        check(&[0x83, 0x85, 1, 2, 3, 4], Err("reserved opcode"));
        check(&[0x8b, 0x85, 1, 2, 3, 4], Err("reserved opcode"));
        check(&[0x09, 0x80, 1, 2, 3, 4], Err("fragmented control frame"));
        check(&[0x89, 0xfe, 0, 126, 1, 2, 3, 4], Err("control frame longer than 125 bytes"));
        check(&[0x82, 0xfe, 0, 125, 1, 2, 3, 4], Err("length not in its shortest form"));
        check(
            &[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 1, 2, 3, 4],
            Err("length not in its shortest form"),
        );
        check(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], Err("length with its highest bit set"));
    }

    #[test]
    fn unmasking_by_words_is_unmasking_by_bytes() {
        let mask = [0x12, 0x34, 0x56, 0x78];
        for length in 0..40 {
            for offset in 0..9 {
                let plain: Vec<u8> = (0..length).collect();
                let mut masked: Vec<u8> =
                    plain.iter().enumerate().map(|(i, byte)| byte ^ mask[(offset + i) % 4]).collect();
                unmask(&mut masked, mask, offset);
                assert_eq!(masked, plain);
            }
        }
    }
}
