//! Names of conversations, of their messages and of their members: one UUID each, which carries its own place.
//!
//! ```text
//! 122 free bits of a UUID version 8 (RFC 9562):  | conversation: 78 bits | tag: 1 | place: 43 bits |
//!   the conversation itself      tag 0, place 0
//!   a message of it              tag 0, place = its creation time, milliseconds since the Unix epoch
//!   a member of it               tag 1, place = how many had joined before, plus one
//! ```
//!
//! So whoever has the id of a message knows its conversation, and where in it the message stands: no index is needed.
//! Creation times are unique in a conversation, and grow. Nothing is secret about an id; who may read what is decided
//! by who is a member.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use super::model::Kind;
use crate::id::Id;

const NUMBER_BITS: u32 = 78;
const PLACE_BITS: u32 = 43;
const TAG: u128 = 1 << PLACE_BITS;
const PLACE: u128 = TAG - 1;

/// The latest creation time that an id can carry: the year 2248.
pub const LAST_MS: u64 = PLACE as u64;

/// A conversation. Its number has 78 bits: the hash of a natural name (the pair of users of a direct conversation), or
/// random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConversationId(u128);

/// A message: its conversation and its creation time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct MessageId {
    /// Where it was said.
    pub conversation: ConversationId,
    /// When, milliseconds since the Unix epoch; unique in the conversation.
    pub at: u64,
}

/// A member's row: its conversation, and a number that nobody else in it has or had.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct MemberId {
    /// The conversation.
    pub conversation: ConversationId,
    /// Counts those who ever joined, from 1.
    pub row: u32,
}

/// The text is not the id of what was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChatIdError;

impl fmt::Display for ChatIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id of this server")
    }
}

impl std::error::Error for ChatIdError {}

impl ConversationId {
    /// The id whose number is in the low 78 bits of `number`; the others are cut off.
    #[must_use]
    pub fn from_number(number: u128) -> Self {
        Self(number & ((1 << NUMBER_BITS) - 1))
    }

    /// The id of the one conversation that these names stand for: a pair of users, a room with a name of its own. The same
    /// on every server: names are hashed (SHA-256), each with its length.
    #[must_use]
    pub fn natural(kind: Kind, names: &[&str]) -> Self {
        let mut hash = Sha256::new();
        hash.update([kind as u8]);
        for name in names {
            hash.update((name.len() as u32).to_le_bytes());
            hash.update(name.as_bytes());
        }
        let mut number = [0; 16];
        number.copy_from_slice(&hash.finalize()[..16]);
        Self::from_number(u128::from_be_bytes(number))
    }

    /// The id of the direct conversation of two users, in whichever order they are named.
    #[must_use]
    pub fn of_pair(one: &Id, other: &Id) -> Self {
        let (first, second) = if one <= other { (one, other) } else { (other, one) };
        first.with_str(|first| second.with_str(|second| Self::natural(Kind::Direct, &[first, second])))
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u128 {
        self.0
    }

    /// The number in ten bytes, most significant first: the order of the ids.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 10] {
        let [_, _, _, _, _, _, rest @ ..] = self.0.to_be_bytes();
        rest
    }

    /// Reads [`Self::to_bytes`] back.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 10]) -> Self {
        let mut wide = [0; 16];
        wide[6..].copy_from_slice(&bytes);
        Self::from_number(u128::from_be_bytes(wide))
    }

    /// The id as the sixteen bytes of its UUID.
    #[must_use]
    pub fn to_uuid(self) -> [u8; 16] {
        pack(self, 0)
    }

    /// Reads [`Self::to_uuid`] back.
    ///
    /// # Errors
    /// When it is no id of a conversation.
    pub fn from_uuid(bytes: [u8; 16]) -> Result<Self, ChatIdError> {
        match unpack(bytes)? {
            (conversation, 0) => Ok(conversation),
            _ => Err(ChatIdError),
        }
    }

    /// The id as a key of the router and of tables.
    #[must_use]
    pub fn id(self) -> Id {
        Id::from_uuid(pack(self, 0))
    }
}

impl MessageId {
    /// The id as the sixteen bytes of its UUID.
    #[must_use]
    pub fn to_uuid(self) -> [u8; 16] {
        pack(self.conversation, u128::from(self.at) & PLACE)
    }

    /// Reads [`Self::to_uuid`] back.
    ///
    /// # Errors
    /// When it is no id of a message.
    pub fn from_uuid(bytes: [u8; 16]) -> Result<Self, ChatIdError> {
        let (conversation, low) = unpack(bytes)?;
        if low == 0 || low & TAG != 0 {
            return Err(ChatIdError);
        }
        Ok(Self { conversation, at: low as u64 })
    }
}

/// Spreads the 122 bits around the version and the variant.
fn pack(conversation: ConversationId, low: u128) -> [u8; 16] {
    let value = conversation.0 << (PLACE_BITS + 1) | low;
    let (a, b, c) = (value >> 74, value >> 62 & 0xfff, value & ((1 << 62) - 1));
    (a << 80 | 8 << 76 | b << 64 | 2 << 62 | c).to_be_bytes()
}

/// The number, and what lies below it.
fn unpack(bytes: [u8; 16]) -> Result<(ConversationId, u128), ChatIdError> {
    let raw = u128::from_be_bytes(bytes);
    if raw >> 76 & 15 != 8 || raw >> 62 & 3 != 2 {
        return Err(ChatIdError);
    }
    let value = (raw >> 80) << 74 | (raw >> 64 & 0xfff) << 62 | raw & ((1 << 62) - 1);
    Ok((ConversationId(value >> (PLACE_BITS + 1)), value & (TAG | PLACE)))
}

fn uuid(text: &str) -> Result<[u8; 16], ChatIdError> {
    // UUIDs are written in lower case, and read in either.
    let id = Id::new(text).map_err(|_| ChatIdError)?;
    id.uuid_bytes().or_else(|| Id::new(&text.to_ascii_lowercase()).ok()?.uuid_bytes()).ok_or(ChatIdError)
}

macro_rules! text {
    ($type:ty, $low:expr, $read:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let (conversation, low): (ConversationId, u128) = $low(self);
                fmt::Display::fmt(&Id::from_uuid(pack(conversation, low)), f)
            }
        }

        impl FromStr for $type {
            type Err = ChatIdError;

            fn from_str(text: &str) -> Result<Self, ChatIdError> {
                let (conversation, low) = unpack(uuid(text)?)?;
                $read(conversation, low).ok_or(ChatIdError)
            }
        }
    };
}

text!(ConversationId, |id: &ConversationId| (*id, 0), |id, low| (low == 0).then_some(id));
text!(MessageId, |id: &MessageId| (id.conversation, u128::from(id.at) & PLACE), |conversation, low| (low
    != 0
    && low & TAG == 0)
    .then_some(MessageId { conversation, at: low as u64 }));
text!(MemberId, |id: &MemberId| (id.conversation, TAG | u128::from(id.row)), |conversation, low: u128| {
    let row = u32::try_from(low & PLACE).ok().filter(|&row| low & TAG != 0 && row != 0)?;
    Some(MemberId { conversation, row })
});

impl fmt::Debug for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The conversation of a key that [`ConversationId::id`] made.
impl TryFrom<&Id> for ConversationId {
    type Error = ChatIdError;

    fn try_from(id: &Id) -> Result<Self, ChatIdError> {
        Self::from_uuid(id.uuid_bytes().ok_or(ChatIdError)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_read_back_and_are_not_mistaken(number: u128, at in 1..=LAST_MS, row in 1..=u32::MAX) {
            let conversation = ConversationId::from_number(number);
            let message = MessageId { conversation, at };
            let member = MemberId { conversation, row };
            let texts = [conversation.to_string(), message.to_string(), member.to_string()];
            prop_assert_eq!(texts[0].parse(), Ok(conversation));
            prop_assert_eq!(texts[1].parse(), Ok(message));
            prop_assert_eq!(texts[1].to_uppercase().parse(), Ok(message));
            prop_assert_eq!(texts[2].parse(), Ok(member));
            prop_assert_eq!(ConversationId::from_bytes(conversation.to_bytes()), conversation);
            prop_assert_eq!(ConversationId::try_from(&conversation.id()), Ok(conversation));
            prop_assert_eq!(conversation.id().to_string(), texts[0].clone());
            prop_assert_eq!(ConversationId::from_uuid(conversation.to_uuid()), Ok(conversation));
            prop_assert_eq!(MessageId::from_uuid(message.to_uuid()), Ok(message));
            prop_assert!(ConversationId::from_uuid(message.to_uuid()).is_err());
            prop_assert!(MessageId::from_uuid(conversation.to_uuid()).is_err());
            for (at, text) in texts.iter().enumerate() {
                prop_assert_eq!(text.parse::<ConversationId>().is_ok(), at == 0);
                prop_assert_eq!(text.parse::<MessageId>().is_ok(), at == 1);
                prop_assert_eq!(text.parse::<MemberId>().is_ok(), at == 2);
            }
        }

        #[test]
        fn nothing_else_is_an_id(text in ".{0,40}") {
            prop_assert!(text.parse::<ConversationId>().is_err());
        }
    }

    #[test]
    fn natural_ids_stay_what_they_are() {
        let [ann, bob] = ["ann", "bob"].map(|name| Id::new(name).unwrap());
        let pair = ConversationId::of_pair(&ann, &bob);
        assert_eq!(pair, ConversationId::of_pair(&bob, &ann));
        assert_ne!(pair, ConversationId::natural(Kind::Trade, &["ann", "bob"]));
        assert_ne!(pair, ConversationId::natural(Kind::Direct, &["an", "nbob"]));
        assert_eq!(pair.to_string(), "6fa4f5d8-72f4-864e-a681-200000000000");
    }

    #[test]
    fn ids_of_other_kinds_are_refused() {
        for text in [
            "",
            "conv-uuid-123",
            "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55",
            "00000000-0000-8000-0000-000000000000",
        ] {
            assert!(text.parse::<ConversationId>().is_err(), "{text}");
            assert!(text.parse::<MessageId>().is_err(), "{text}");
        }
        // The greatest values have their place.
        let conversation = ConversationId::from_number(u128::MAX);
        assert_eq!(conversation.to_string(), "ffffffff-ffff-8fff-bfff-f00000000000");
    }
}
