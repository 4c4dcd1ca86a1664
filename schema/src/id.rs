//! Names of things: realms, users and channels, shards and sessions.

use std::fmt;

/// A name space of users and channels: two applications' user 42 are two people. Realms are configured; their
/// numbers are given out in the order of the configuration, 0 being the default one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct Realm(pub u16);

/// Longest [`Id`], bytes of UTF-8.
pub const ID_MAX: usize = 255;

/// An opaque id of a user or a channel: 1 to [`ID_MAX`] bytes of UTF-8, 24 bytes in memory.
///
/// Most ids are short or are UUIDs; those need no heap: a canonical UUID (36 lower-case characters) is kept as its
/// 16 bytes. Two equal strings always have the same representation, so equality and hashing work on it directly.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Id(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Short { len: u8, bytes: [u8; 22] },
    Uuid([u8; 16]),
    Long(Box<str>),
}

/// Why a string is no [`Id`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IdError {
    /// No characters at all.
    Empty,
    /// More than [`ID_MAX`] bytes.
    TooLong,
    /// A control character (U+0000 to U+001F, U+007F).
    Control,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("an id must not be empty"),
            Self::TooLong => write!(f, "an id has at most {ID_MAX} bytes"),
            Self::Control => f.write_str("an id must not contain control characters"),
        }
    }
}

impl std::error::Error for IdError {}

const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// Where the sixteen bytes of a UUID begin in its text.
const BYTES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

/// Value of a lower-case hexadecimal digit; 16 for everything else. A table, since ids come by the thousand.
const DIGITS: [u8; 256] = {
    let mut digits = [16; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

fn parse_uuid(text: &[u8]) -> Option<[u8; 16]> {
    let text: &[u8; 36] = text.try_into().ok()?;
    if HYPHENS.iter().any(|&at| text[at] != b'-') {
        return None;
    }
    let mut seen = 0;
    let bytes = BYTES.map(|at| {
        let (high, low) = (DIGITS[usize::from(text[at])], DIGITS[usize::from(text[at + 1])]);
        seen |= high | low;
        high << 4 | low & 15
    });
    (seen < 16).then_some(bytes)
}

impl Id {
    /// Checks and packs a string.
    ///
    /// # Errors
    /// When it is empty, too long, or has control characters.
    pub fn new(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        if text.len() > ID_MAX {
            return Err(IdError::TooLong);
        }
        // Looks at all bytes and not up to the first bad one: that way the compiler takes many at once.
        if text.bytes().fold(false, |bad, byte| bad | (byte < 0x20) | (byte == 0x7f)) {
            return Err(IdError::Control);
        }
        let bytes = text.as_bytes();
        if bytes.len() <= 22 {
            let mut short = [0; 22];
            short[..bytes.len()].copy_from_slice(bytes);
            return Ok(Self(Repr::Short { len: bytes.len() as u8, bytes: short }));
        }
        Ok(Self(parse_uuid(bytes).map_or_else(|| Repr::Long(text.into()), Repr::Uuid)))
    }

    /// Calls `with` with the id as text; nothing is allocated.
    pub fn with_str<T>(&self, with: impl FnOnce(&str) -> T) -> T {
        match &self.0 {
            // The bytes were copied from a `str` in `new`, so the fallback is never taken.
            Repr::Short { len, bytes } => {
                with(std::str::from_utf8(&bytes[..usize::from(*len)]).unwrap_or(""))
            }
            Repr::Long(text) => with(text),
            Repr::Uuid(bytes) => {
                let mut text = [b'-'; 36];
                for (byte, at) in bytes.iter().zip(BYTES) {
                    text[at] = b"0123456789abcdef"[usize::from(byte >> 4)];
                    text[at + 1] = b"0123456789abcdef"[usize::from(byte & 15)];
                }
                with(std::str::from_utf8(&text).unwrap_or(""))
            }
        }
    }

    /// True when the id is a UUID in its canonical form.
    #[must_use]
    pub fn is_uuid(&self) -> bool {
        matches!(self.0, Repr::Uuid(_))
    }

    /// What the names of internal channels begin with: no client's id holds a control character. The first two are of
    /// conversations, the third of a user's devices.
    pub const INTERNAL: [char; 3] = ['\u{1}', '\u{2}', '\u{3}'];

    /// The name of an internal channel that belongs to this id.
    #[must_use]
    pub fn internal(&self, mark: char) -> Self {
        Self(Repr::Long(self.with_str(|text| format!("{mark}{text}")).into()))
    }

    /// The id that is this UUID.
    #[must_use]
    pub fn from_uuid(bytes: [u8; 16]) -> Self {
        Self(Repr::Uuid(bytes))
    }

    /// The bytes of an id that is a UUID in its canonical form.
    #[must_use]
    pub fn uuid_bytes(&self) -> Option<[u8; 16]> {
        match self.0 {
            Repr::Uuid(bytes) => Some(bytes),
            Repr::Short { .. } | Repr::Long(_) => None,
        }
    }

    /// Bytes on the heap beside the 24 of the value itself.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match &self.0 {
            Repr::Long(text) => text.len(),
            Repr::Short { .. } | Repr::Uuid(_) => 0,
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_str(|text| f.write_str(text))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_str(|text| fmt::Debug::fmt(text, f))
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Byte order of the text.
impl Ord for Id {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        match (&self.0, &other.0) {
            // Hyphens stand at the same places, and hexadecimal digits have the order of their values.
            (Repr::Uuid(mine), Repr::Uuid(theirs)) => mine.cmp(theirs),
            (Repr::Short { len, bytes }, Repr::Short { len: other_len, bytes: theirs }) => {
                bytes[..usize::from(*len)].cmp(&theirs[..usize::from(*other_len)])
            }
            _ => self.with_str(|mine| other.with_str(|theirs| mine.cmp(theirs))),
        }
    }
}

impl TryFrom<&str> for Id {
    type Error = IdError;

    fn try_from(text: &str) -> Result<Self, IdError> {
        Self::new(text)
    }
}

/// A user or a channel of one realm.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The name space.
    pub realm: Realm,
    /// The name in it.
    pub id: Id,
}

impl Key {
    /// Puts the two together.
    #[must_use]
    pub fn new(realm: Realm, id: Id) -> Self {
        Self { realm, id }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.realm.0, self.id)
    }
}

/// One shard of this node, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// A session inside its host shard: a slot of the session table and the slot's generation.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct SessionRef {
    /// Index into the session table.
    pub slot: u32,
    /// Reuse count of the slot.
    pub generation: u32,
}

/// A session, wherever it is. Never used for another session again: the node's incarnation changes with every
/// start, the generation with every reuse of the slot.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
pub struct SessionAddr {
    /// Which start of which node.
    pub incarnation: u32,
    /// The host shard.
    pub shard: ShardId,
    /// The session in it.
    pub session: SessionRef,
}

/// Printed as `incarnation-shard-slot-generation` in hexadecimal; [`std::str::FromStr`] reads it back.
impl fmt::Display for SessionAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SessionRef { slot, generation } = self.session;
        write!(f, "{:x}-{:x}-{slot:x}-{generation:x}", self.incarnation, self.shard.0)
    }
}

/// The text is no session id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionAddrError;

impl fmt::Display for SessionAddrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session id has the form 1a2b3c4d-0-2f-1, as the server printed it")
    }
}

impl std::error::Error for SessionAddrError {}

impl std::str::FromStr for SessionAddr {
    type Err = SessionAddrError;

    fn from_str(text: &str) -> Result<Self, SessionAddrError> {
        let mut parts = text.split('-').map(|part| u32::from_str_radix(part, 16));
        let mut next = || parts.next().and_then(Result::ok).ok_or(SessionAddrError);
        let (incarnation, shard, slot, generation) = (next()?, next()?, next()?, next()?);
        let shard = ShardId(u16::try_from(shard).map_err(|_| SessionAddrError)?);
        match parts.next() {
            None => Ok(Self { incarnation, shard, session: SessionRef { slot, generation } }),
            Some(_) => Err(SessionAddrError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_small_and_read_back() {
        assert_eq!(size_of::<Id>(), 24);
        assert_eq!(size_of::<Key>(), 32);
        assert_eq!(size_of::<SessionAddr>(), 16);
        let uuid = "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55";
        for text in ["a", "user-42", "1234567890123456789012", "12345678901234567890123", uuid, "ünï çødé"]
        {
            let id = Id::new(text).unwrap();
            assert_eq!(id.to_string(), text);
            assert_eq!(id, Id::new(text).unwrap());
        }
        assert!(Id::new(uuid).unwrap().is_uuid());
        assert_eq!(Id::new(uuid).unwrap().heap_bytes(), 0);
        assert!(!Id::new(&uuid.to_uppercase()).unwrap().is_uuid());
        assert_ne!(Id::new(uuid).unwrap(), Id::new(&uuid.to_uppercase()).unwrap());
        for at in 0..36 {
            let mut text = uuid.to_owned();
            text.replace_range(at..=at, "g");
            let id = Id::new(&text).unwrap();
            assert!(!id.is_uuid() && id.to_string() == text);
        }
        assert!(Id::new("b").unwrap() > Id::new("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap());
    }

    #[test]
    fn ids_have_the_order_of_their_texts() {
        let texts = [
            "a",
            "ab",
            "b",
            "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55",
            "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9dd5",
            "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d5",
            "f190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55",
            "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55-and-more",
        ];
        for a in texts {
            for b in texts {
                assert_eq!(Id::new(a).unwrap().cmp(&Id::new(b).unwrap()), a.cmp(b), "{a} {b}");
            }
        }
    }

    #[test]
    fn bad_ids_are_refused() {
        assert_eq!(Id::new(""), Err(IdError::Empty));
        assert_eq!(Id::new(&"x".repeat(256)), Err(IdError::TooLong));
        assert_eq!(Id::new("a\nb"), Err(IdError::Control));
    }

    #[test]
    fn session_ids_read_back() {
        let addr = SessionAddr {
            incarnation: 0xdead_beef,
            shard: ShardId(3),
            session: SessionRef { slot: 77, generation: 2 },
        };
        assert_eq!(addr.to_string().parse(), Ok(addr));
        for bad in ["", "1-2-3", "1-2-3-4-5", "x-1-1-1", "1-10000-1-1"] {
            assert!(bad.parse::<SessionAddr>().is_err(), "{bad}");
        }
    }
}
