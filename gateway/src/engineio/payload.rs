//! Many packets in the body of one request or answer of long-polling.
//!
//! | version | body | packets |
//! |---|---|---|
//! | 4 | text | joined by 0x1e; bytes as `b<base64>` |
//! | 3 | text | `<length>:<packet>`, the length in UTF-16 code units; bytes as `b4<base64>` |
//! | 3 | bytes | `00` text or `01` bytes, the length in bytes as digits 0 to 9, `ff`, the packet |
//!
//! Sources: Engine.IO protocol v4, "HTTP long-polling"; v3, "Payload". Reading is an iterator: a body costs no
//! memory beyond itself, and one bad packet ends it.

use super::Version;
use super::packet::{Data, Malformed, Packet};

const SEPARATOR: char = '\u{1e}';

/// More digits than the length of any body has.
const MOST_DIGITS: usize = 10;

/// The body of an upload, read packet by packet. After an error there is nothing more.
#[derive(Clone, Debug)]
pub struct Payload<'a> {
    rest: Rest<'a>,
}

#[derive(Clone, Debug)]
enum Rest<'a> {
    Separated(&'a str),
    Counted(&'a str),
    Bytes(&'a [u8]),
    Done,
}

impl<'a> Payload<'a> {
    /// A text body. An empty one is malformed, as in the reference.
    #[must_use]
    pub const fn text(version: Version, body: &'a str) -> Self {
        let rest = match version {
            Version::V4 => Rest::Separated(body),
            Version::V3 => Rest::Counted(body),
        };
        Self { rest }
    }

    /// A body of type application/octet-stream, which only version 3 has.
    #[must_use]
    pub const fn binary(body: &'a [u8]) -> Self {
        Self { rest: Rest::Bytes(body) }
    }

    fn separated(&mut self, body: &'a str) -> Result<Packet<'a>, Malformed> {
        let packet = match body.split_once(SEPARATOR) {
            Some((packet, rest)) => {
                self.rest = Rest::Separated(rest);
                packet
            }
            None => body,
        };
        Packet::from_text(Version::V4, packet)
    }

    fn counted(&mut self, body: &'a str) -> Result<Option<Packet<'a>>, Malformed> {
        let (digits, rest) = body.split_once(':').ok_or(Malformed("no length"))?;
        let units = length(digits.bytes().map(|digit| digit.wrapping_sub(b'0')))?;
        let end = utf16_prefix(rest, units).ok_or(Malformed("packet shorter than its length"))?;
        let (packet, rest) = rest.split_at(end);
        if !rest.is_empty() {
            self.rest = Rest::Counted(rest);
        }
        // `0:` is how the reference writes that there is nothing.
        if packet.is_empty() { Ok(None) } else { Packet::from_text(Version::V3, packet).map(Some) }
    }

    fn bytes(&mut self, body: &'a [u8]) -> Result<Packet<'a>, Malformed> {
        let (&kind, rest) = body.split_first().ok_or(Malformed("empty payload"))?;
        // No further than a length can reach, so that a body of digits is looked at once.
        let head = &rest[..rest.len().min(MOST_DIGITS + 1)];
        let digits = head.iter().position(|&byte| byte == 0xff).ok_or(Malformed("no length"))?;
        let length = length(rest[..digits].iter().copied())?;
        let rest = &rest[digits + 1..];
        let (packet, rest) =
            rest.split_at_checked(length).ok_or(Malformed("packet shorter than its length"))?;
        if !rest.is_empty() {
            self.rest = Rest::Bytes(rest);
        }
        match kind {
            0 => {
                let text = std::str::from_utf8(packet).map_err(|_| Malformed("text is not UTF-8"))?;
                Packet::from_text(Version::V3, text)
            }
            1 => Packet::from_binary(Version::V3, packet),
            _ => Err(Malformed("neither text nor bytes")),
        }
    }
}

impl<'a> Iterator for Payload<'a> {
    type Item = Result<Packet<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let packet = match std::mem::replace(&mut self.rest, Rest::Done) {
                Rest::Done => return None,
                Rest::Separated(body) => self.separated(body),
                Rest::Bytes(body) => self.bytes(body),
                Rest::Counted(body) => match self.counted(body) {
                    Ok(Some(packet)) => Ok(packet),
                    Ok(None) => continue,
                    Err(malformed) => Err(malformed),
                },
            };
            if packet.is_err() {
                self.rest = Rest::Done;
            }
            return Some(packet);
        }
    }
}

/// A length from its digits, which are numbers from 0 to 9.
fn length(digits: impl Iterator<Item = u8>) -> Result<usize, Malformed> {
    let mut length = None;
    for (at, digit) in digits.enumerate() {
        if digit > 9 || at == MOST_DIGITS {
            return Err(Malformed("invalid length"));
        }
        length = Some(length.unwrap_or(0u64) * 10 + u64::from(digit));
    }
    length.and_then(|length| usize::try_from(length).ok()).ok_or(Malformed("invalid length"))
}

/// How many bytes hold that many UTF-16 code units; `None` if there are fewer, or half a character.
fn utf16_prefix(text: &str, units: usize) -> Option<usize> {
    let mut left = units;
    if left == 0 {
        return Some(0);
    }
    for (at, character) in text.char_indices() {
        left = left.checked_sub(character.len_utf16())?;
        if left == 0 {
            return Some(at + character.len_utf8());
        }
    }
    None
}

/// Collects packets to the body of an answer.
#[derive(Debug)]
pub struct PayloadWriter {
    version: Version,
    body: Vec<u8>,
    binary: bool,
    packets: usize,
    scratch: String,
}

impl PayloadWriter {
    /// An empty body. `binary` asks for the third row of the table, which only version 3 has: the reference uses it
    /// for a client that takes bytes, when one of the packets has some.
    #[must_use]
    pub fn new(version: Version, binary: bool) -> Self {
        let binary = binary && version == Version::V3;
        Self { version, body: Vec::new(), binary, packets: 0, scratch: String::new() }
    }

    /// Packets so far.
    #[must_use]
    pub const fn packets(&self) -> usize {
        self.packets
    }

    /// Bytes so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.body.len()
    }

    /// Adds a text packet that is encoded already, its type first.
    pub fn push_encoded(&mut self, packet: &str) {
        match (self.version, self.binary) {
            (Version::V4, _) => {
                if self.packets > 0 {
                    self.body.push(SEPARATOR as u8);
                }
            }
            (Version::V3, false) => {
                let units: usize = packet.chars().map(char::len_utf16).sum();
                self.body.extend_from_slice(units.to_string().as_bytes());
                self.body.push(b':');
            }
            (Version::V3, true) => self.head(0, packet.len()),
        }
        self.body.extend_from_slice(packet.as_bytes());
        self.packets += 1;
    }

    /// Adds a packet.
    pub fn push(&mut self, packet: &Packet<'_>) {
        if let (true, Data::Binary(bytes)) = (self.binary, &packet.data) {
            self.head(1, bytes.len() + 1);
            self.body.push(packet.kind as u8);
            self.body.extend_from_slice(bytes);
            self.packets += 1;
            return;
        }
        let mut encoded = std::mem::take(&mut self.scratch);
        encoded.clear();
        packet.write_text(self.version, &mut encoded);
        self.push_encoded(&encoded);
        self.scratch = encoded;
    }

    fn head(&mut self, kind: u8, length: usize) {
        self.body.push(kind);
        self.body.extend(length.to_string().bytes().map(|digit| digit - b'0'));
        self.body.push(0xff);
    }

    /// The body, and whether it is of type application/octet-stream.
    #[must_use]
    pub fn finish(mut self) -> (Vec<u8>, bool) {
        if self.packets == 0 && self.version == Version::V3 && !self.binary {
            self.body.extend_from_slice(b"0:");
        }
        (self.body, self.binary)
    }
}
