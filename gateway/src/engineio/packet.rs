//! One Engine.IO packet: `<type><data>` in text, bare data in a binary frame (v4), a type byte before it (v3).
//!
//! Sources: Engine.IO protocol v4 and v3, "Packet encoding".

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Version;

/// Standard alphabet; the padding may be missing, since some clients leave it out.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The type of a packet (Engine.IO protocol v4 and v3, "Packet types"); the number is what travels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// The server's first packet.
    Open = 0,
    /// The end of the session.
    Close = 1,
    /// A question whether the other side lives.
    Ping = 2,
    /// The answer to a ping.
    Pong = 3,
    /// Something for the layer above.
    Message = 4,
    /// The client has moved to the other transport.
    Upgrade = 5,
    /// Nothing: it ends a poll.
    Noop = 6,
}

impl Kind {
    /// The type as the first character of a text packet.
    #[must_use]
    pub const fn digit(self) -> u8 {
        b'0' + self as u8
    }

    /// The packet of this type without data.
    #[must_use]
    pub const fn bare(self) -> &'static str {
        match self {
            Self::Open => "0",
            Self::Close => "1",
            Self::Ping => "2",
            Self::Pong => "3",
            Self::Message => "4",
            Self::Upgrade => "5",
            Self::Noop => "6",
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Open,
            1 => Self::Close,
            2 => Self::Ping,
            3 => Self::Pong,
            4 => Self::Message,
            5 => Self::Upgrade,
            6 => Self::Noop,
            _ => return None,
        })
    }
}

/// What a packet carries. Binary data that came as base64 is owned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Data<'a> {
    /// Text, often empty.
    Text(&'a str),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
}

/// One packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet<'a> {
    /// Its type.
    pub kind: Kind,
    /// Its data.
    pub data: Data<'a>,
}

/// The bytes are no packet: the session is to be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Malformed(pub &'static str);

impl<'a> Packet<'a> {
    /// A packet with text or none.
    #[must_use]
    pub const fn text(kind: Kind, data: &'a str) -> Self {
        Self { kind, data: Data::Text(data) }
    }

    /// A message of bytes.
    #[must_use]
    pub const fn binary(data: &'a [u8]) -> Self {
        Self { kind: Kind::Message, data: Data::Binary(Cow::Borrowed(data)) }
    }

    /// Reads a text frame, or one packet of a text payload. `b<base64>` is a message of bytes in v4, and in v3 the
    /// type stands between the two: `b4<base64>`.
    pub fn from_text(version: Version, text: &'a str) -> Result<Self, Malformed> {
        let Some((&first, _)) = text.as_bytes().split_first() else {
            return Err(Malformed("empty packet"));
        };
        if first == b'b' {
            return Self::from_base64(version, &text[1..]);
        }
        let kind =
            first.checked_sub(b'0').and_then(Kind::from_number).ok_or(Malformed("unknown packet type"))?;
        // A digit is one byte long, so the text goes on at the next.
        Ok(Self::text(kind, &text[1..]))
    }

    fn from_base64(version: Version, text: &str) -> Result<Self, Malformed> {
        let (kind, base64) = match version {
            Version::V4 => (Kind::Message, text.as_bytes()),
            Version::V3 => {
                let (&digit, base64) = text.as_bytes().split_first().ok_or(Malformed("empty packet"))?;
                let kind = digit.checked_sub(b'0').and_then(Kind::from_number);
                (kind.ok_or(Malformed("unknown packet type"))?, base64)
            }
        };
        let bytes = BASE64.decode(base64).map_err(|_| Malformed("invalid base64"))?;
        Ok(Self { kind, data: Data::Binary(Cow::Owned(bytes)) })
    }

    /// Reads a binary frame: a message (v4), or whatever its first byte says (v3).
    pub fn from_binary(version: Version, bytes: &'a [u8]) -> Result<Self, Malformed> {
        if version == Version::V4 {
            return Ok(Self::binary(bytes));
        }
        let (&number, data) = bytes.split_first().ok_or(Malformed("empty packet"))?;
        let kind = Kind::from_number(number).ok_or(Malformed("unknown packet type"))?;
        Ok(Self { kind, data: Data::Binary(Cow::Borrowed(data)) })
    }

    /// Appends the packet as text, bytes in base64.
    pub fn write_text(&self, version: Version, out: &mut String) {
        match &self.data {
            Data::Text(text) => {
                out.push(char::from(self.kind.digit()));
                out.push_str(text);
            }
            Data::Binary(bytes) => {
                out.push('b');
                if version == Version::V3 {
                    out.push(char::from(self.kind.digit()));
                }
                BASE64.encode_string(bytes, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_packets() {
        let check = |version, text, expected: Option<Packet<'_>>| {
            assert_eq!(Packet::from_text(version, text).ok(), expected, "{text:?}");
        };
        for version in [Version::V3, Version::V4] {
            check(version, "4hello", Some(Packet::text(Kind::Message, "hello")));
            check(version, "4", Some(Packet::text(Kind::Message, "")));
            check(version, "2probe", Some(Packet::text(Kind::Ping, "probe")));
            check(version, "4€uro", Some(Packet::text(Kind::Message, "€uro")));
            for bad in ["", "7", "abc", "/", "é", "b!", "\u{1e}"] {
                check(version, bad, None);
            }
        }
        check(Version::V4, "bAQIDBA==", Some(Packet::binary(&[1, 2, 3, 4])));
        check(Version::V4, "bAQIDBA", Some(Packet::binary(&[1, 2, 3, 4])));
        check(Version::V4, "b", Some(Packet::binary(&[])));
        check(Version::V3, "b4AQIDBA==", Some(Packet::binary(&[1, 2, 3, 4])));
        check(Version::V3, "b", None);
        check(Version::V3, "bé", None);
    }

    #[test]
    fn binary_frames() {
        assert_eq!(Packet::from_binary(Version::V4, &[1, 2]), Ok(Packet::binary(&[1, 2])));
        assert_eq!(Packet::from_binary(Version::V3, &[4, 1, 2]), Ok(Packet::binary(&[1, 2])));
        assert!(Packet::from_binary(Version::V3, &[]).is_err());
        assert!(Packet::from_binary(Version::V3, &[7, 1]).is_err());
    }
}
