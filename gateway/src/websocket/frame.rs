//! One frame of a client: its header parsed and checked, its payload unmasked (RFC 6455, 5.2 and 5.3).
//!
//! The parser is our own: tungstenite's `FrameHeader` reads through `Read` and costs 13 ns more a frame, where
//! receiving a heartbeat costs 22 in all (`examples/websocket_cost.rs`), and here a bad frame is refused at its
//! second byte. A property test holds the two against each other.

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
/// [`LONGEST_HEAD`] bytes are never incomplete.
#[inline]
pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Violation> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let kind = match first & 0x0f {
        0x0 => Kind::Continuation,
        0x1 => Kind::Text,
        0x2 => Kind::Binary,
        0x8 => Kind::Close,
        0x9 => Kind::Ping,
        0xa => Kind::Pong,
        _ => return Err(Violation::protocol("reserved opcode")),
    };
    if first & 0x70 != 0 {
        return Err(Violation::protocol("reserved bit set without an extension"));
    }
    if second & 0x80 == 0 {
        return Err(Violation::protocol("frame of a client is not masked"));
    }
    let last = first & 0x80 != 0;
    if kind.is_control() && !last {
        return Err(Violation::protocol("fragmented control frame"));
    }
    if kind.is_control() && second & 0x7f > LONGEST_CONTROL as u8 {
        return Err(Violation::protocol("control frame longer than 125 bytes"));
    }
    let (length, shortest, mask, size) = match (second & 0x7f, rest) {
        (126, [a, b, m0, m1, m2, m3, ..]) => {
            (u64::from(u16::from_be_bytes([*a, *b])), 126, [*m0, *m1, *m2, *m3], 8)
        }
        (127, [a, b, c, d, e, f, g, h, m0, m1, m2, m3, ..]) => {
            (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 0x1_0000, [*m0, *m1, *m2, *m3], 14)
        }
        (length @ 0..=125, [m0, m1, m2, m3, ..]) => (u64::from(length), 0, [*m0, *m1, *m2, *m3], 6),
        _ => return Ok(None),
    };
    if length < shortest {
        return Err(Violation::protocol("length not in its shortest form"));
    }
    if length > i64::MAX as u64 {
        return Err(Violation::protocol("length with its highest bit set"));
    }
    Ok(Some((Head { kind, last, mask, length }, size)))
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
    use std::io::Cursor;

    use proptest::prelude::*;
    use tungstenite::protocol::frame::FrameHeader;
    use tungstenite::protocol::frame::coding::OpCode;

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

    proptest! {
        /// What tungstenite reads as a header we read alike, or refuse for a rule that it leaves to its caller.
        #[test]
        fn headers_are_read_as_tungstenite_reads_them(
            first in prop_oneof![Just(0x01u8), Just(0x82), Just(0x89), any::<u8>()],
            second in prop_oneof![Just(0xfeu8), Just(0xff), any::<u8>()],
            length in prop_oneof![Just(vec![0u8; 6]), proptest::collection::vec(any::<u8>(), 0..4)],
            rest in proptest::collection::vec(any::<u8>(), 0..12),
        ) {
            let bytes = [&[first, second], &length[..], &rest[..]].concat();
            let mut cursor = Cursor::new(&bytes);
            match (parse(&bytes), FrameHeader::parse(&mut cursor)) {
                (Ok(None), Ok(None)) => {}
                (Ok(Some((head, size))), Ok(Some((theirs, length)))) => {
                    prop_assert_eq!(size as u64, cursor.position());
                    prop_assert_eq!(size, theirs.len(length));
                    prop_assert_eq!(head.length, length);
                    prop_assert_eq!(Some(head.mask), theirs.mask);
                    prop_assert_eq!(head.last, theirs.is_final);
                    prop_assert!(!theirs.rsv1 && !theirs.rsv2 && !theirs.rsv3);
                    let control = matches!(theirs.opcode, OpCode::Control(_));
                    prop_assert_eq!(head.kind.is_control(), control);
                    prop_assert!(!control || (theirs.is_final && length <= 125));
                }
                (Err(violation), Err(_)) => prop_assert_eq!(violation.reason, "reserved opcode"),
                // Our refusal may come before the header is whole.
                (Err(_), Ok(None)) => {}
                (Err(_), Ok(Some((theirs, length)))) => {
                    let reserved = theirs.rsv1 || theirs.rsv2 || theirs.rsv3;
                    let control = matches!(theirs.opcode, OpCode::Control(_));
                    prop_assert!(
                        reserved
                            || theirs.mask.is_none()
                            || (control && (!theirs.is_final || length > 125))
                            || cursor.position() != theirs.len(length) as u64
                            || length > i64::MAX as u64
                    );
                }
                (ours, theirs) => prop_assert!(false, "{:?} but {:?}", ours, theirs),
            }
        }
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
