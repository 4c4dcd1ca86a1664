//! The format: one JSON object a line. `docs/EXPORT.md` tells it to users; what is written here is what they read there.
//!
//! A line `conversation` opens a block; the lines after it belong to it, until the next one. Fields that are absent in
//! what `muster export` writes have the value that their absence means; [`block`](super::block) says what an absent one
//! of another system stands for.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use engine::kept::{Horizon, MemberRow, Part};
use schema::Id;
use schema::chat::{Attachment, Conversation, Kind, Member, Message, Role};
use serde::{Deserialize, Serialize};

use crate::timestamp::{self, Millis};

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// One line.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Line {
    /// The first: which format.
    MusterExport(Header),
    /// Opens a block.
    Conversation(ConversationLine),
    /// Somebody who is, or was, in it.
    Member(MemberLine),
    /// A message.
    Message(MessageLine),
    /// Somebody has read a message.
    Receipt(ReceiptLine),
    /// A message is deleted, or was never stored.
    Deleted(DeletedLine),
    /// What was forgotten for its age.
    Forgotten(ForgottenLine),
    /// What a client's own name for a message stands for.
    Send(SendLine),
    /// When a user was last seen.
    Seen(SeenLine),
    /// The last: how many there were.
    End(EndLine),
}

/// The first line.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// Of the format.
    pub version: u32,
}

/// A conversation.
#[derive(Serialize, Deserialize, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConversationLine {
    /// Muster's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The other system's.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The default one if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// `direct`, `group`, `trade` or `feed`.
    pub kind: String,
    /// Of a group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Who made it.
    pub creator: String,
    /// The two of a direct conversation without an id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<String>>,
    /// What an edge keeps with it, Base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra: Option<String>,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed, other than by what was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
}

/// A member.
#[derive(Serialize, Deserialize, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberLine {
    /// Who.
    pub user: String,
    /// Counts those who ever joined, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u32>,
    /// Has left. Then nothing else is told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub left: bool,
    /// `member`, `creator`, `buyer` or `seller`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub joined_at: Option<Time>,
    /// When everything was last read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Time>,
    /// Creation time of the newest message that was read then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_to: Option<Time>,
    /// What was created up to then is hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_to: Option<Time>,
    /// When it was hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden_at: Option<Time>,
    /// When it was pinned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_at: Option<Time>,
    /// Blocks the others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocked: bool,
    /// Everything up to this sequence is read. Absent: found out from `readTo`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floor: Option<u64>,
    /// Own messages up to there.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sent_at_floor: u64,
    /// Ranges of sequences beyond it that are read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub singles: Vec<(u64, u64)>,
}

/// A message.
#[derive(Serialize, Deserialize, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MessageLine {
    /// When it was created; no two of a conversation are of the same millisecond.
    pub at: Time,
    /// The other system's id.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Position in the conversation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Who sent it.
    pub sender: String,
    /// The sender's row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u32>,
    /// Messages of the sender up to this one, between two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
    /// The sender's own name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The edge's own sort; 0 is plain text.
    #[serde(default, skip_serializing_if = "is_plain")]
    pub kind: u8,
    /// What is said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
    /// What comes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment: Option<AttachmentLine>,
    /// When it was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
    /// Was changed by its sender.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub edited: bool,
    /// Was taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
    /// Who has read it, where that is not told by lines of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<ReadLine>,
}

/// A file that belongs to a message.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct AttachmentLine {
    /// Where.
    pub url: String,
    /// What.
    pub kind: String,
}

/// A receipt within a message.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ReadLine {
    /// Who.
    pub user: String,
    /// When.
    pub at: Time,
}

/// A receipt.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ReceiptLine {
    /// The message's creation time.
    pub message: Time,
    /// The reader's row.
    pub row: u32,
    /// When.
    pub at: Time,
}

/// A sequence that counts for nobody.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct DeletedLine {
    /// Which.
    pub sequence: u64,
    /// Its sender's row.
    pub row: u32,
}

/// The newest message that was forgotten for its age.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct ForgottenLine {
    /// Its creation time.
    pub at: Time,
    /// Its sequence.
    pub sequence: u64,
    /// Its sender's row.
    pub row: u32,
    /// How many it was of theirs, between two.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sent: u64,
}

/// What a client's own name stands for.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SendLine {
    /// The sender's row.
    pub row: u32,
    /// The name.
    pub client_id: String,
    /// The message's creation time.
    pub message: Time,
}

/// When a user was last seen.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct SeenLine {
    /// The default one if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// Who.
    pub user: String,
    /// When.
    pub at: Time,
}

/// How many there were: a file that was cut short is seen.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct EndLine {
    /// Lines `conversation`.
    pub conversations: u64,
    /// Lines `message`.
    pub messages: u64,
    /// Lines `seen`.
    pub seen: u64,
}

/// Milliseconds since the Unix epoch: written as ISO 8601 in UTC, read as that or as the number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

/// The end of the year 9999: what is later is written as a number.
const LAST_DATE: u64 = 253_402_300_799_999;

impl Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0..=LAST_DATE => serializer.collect_str(&Millis(self.0)),
            ms => serializer.serialize_u64(ms),
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Time;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a time such as \"2025-11-25T15:00:00.000Z\", or milliseconds since 1970")
            }

            fn visit_u64<E>(self, ms: u64) -> Result<Time, E> {
                Ok(Time(ms))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Time, E> {
                let bad = || E::invalid_value(serde::de::Unexpected::Str(text), &self);
                timestamp::read(text).map(Time).ok_or_else(bad)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn is_plain(kind: &u8) -> bool {
    *kind == 0
}

/// The word for a role.
#[must_use]
pub fn role_word(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Creator => "creator",
        Role::Buyer => "buyer",
        Role::Seller => "seller",
    }
}

/// The role of a word.
#[must_use]
pub fn role_of(word: &str) -> Option<Role> {
    Role::ALL.into_iter().find(|role| role_word(*role) == word)
}

impl Line {
    /// What a part of a conversation of this kind says.
    #[must_use]
    pub fn of(part: &Part, kind: Kind, realm: Option<&str>) -> Option<Self> {
        Some(match part {
            Part::Conversation(conversation) => Self::Conversation(ConversationLine::of(conversation, realm)),
            Part::Member(row) => Self::Member(MemberLine::of(row)),
            Part::MemberGone { row, user } => Self::Member(MemberLine {
                user: user.to_string(),
                row: Some(*row),
                left: true,
                ..MemberLine::default()
            }),
            Part::Message(message) => Self::Message(MessageLine::of(message, kind)),
            Part::Receipt { message, row, at } => {
                Self::Receipt(ReceiptLine { message: Time(*message), row: *row, at: Time(*at) })
            }
            Part::Deleted { sequence, row } => Self::Deleted(DeletedLine { sequence: *sequence, row: *row }),
            Part::Forgotten(Horizon { at, sequence, row, sent }) => {
                Self::Forgotten(ForgottenLine { at: Time(*at), sequence: *sequence, row: *row, sent: *sent })
            }
            Part::Sent { row, client_id, message } => {
                Self::Send(SendLine { row: *row, client_id: client_id.to_string(), message: Time(*message) })
            }
            Part::Gone => return None,
        })
    }
}

impl ConversationLine {
    fn of(conversation: &Conversation, realm: Option<&str>) -> Self {
        let Conversation { id, kind, name, creator, extra, created_at, updated_at, .. } = conversation;
        Self {
            id: Some(id.to_string()),
            reference: None,
            realm: realm.map(str::to_owned),
            kind: kind.as_str().into(),
            name: name.as_ref().map(ToString::to_string),
            creator: creator.to_string(),
            users: None,
            extra: (!extra.is_empty()).then(|| STANDARD.encode(extra)),
            created_at: Time(*created_at),
            updated_at: (updated_at != created_at).then_some(Time(*updated_at)),
        }
    }

    /// What an edge keeps with it.
    ///
    /// # Errors
    /// When it is no Base64.
    pub fn extra(&self) -> Result<Arc<[u8]>, String> {
        let Some(text) = &self.extra else { return Ok(Arc::from([])) };
        STANDARD.decode(text).map(Arc::from).map_err(|error| format!("extra must be Base64: {error}"))
    }
}

impl MemberLine {
    fn of(row: &MemberRow) -> Self {
        let Member {
            row: number,
            user,
            role,
            joined_at,
            read_at,
            read_to,
            hidden_to,
            hidden_at,
            pinned_at,
            blocked,
        } = &row.member;
        let some = |ms: u64| (ms != 0).then_some(Time(ms));
        Self {
            user: user.to_string(),
            row: Some(*number),
            left: false,
            role: Some(role_word(*role).into()),
            joined_at: Some(Time(*joined_at)),
            read_at: read_at.map(Time),
            read_to: some(*read_to),
            hidden_to: some(*hidden_to),
            hidden_at: hidden_at.map(Time),
            pinned_at: pinned_at.map(Time),
            blocked: *blocked,
            floor: Some(row.floor),
            sent_at_floor: row.sent_at_floor,
            singles: row.singles.clone(),
        }
    }

    /// The row that it tells, with this number and these defaults.
    #[must_use]
    pub fn row(&self, number: u32, user: Id, role: Role, joined_at: u64) -> MemberRow {
        let ms = |time: Option<Time>| time.map(|time| time.0);
        let member = Member {
            row: number,
            user,
            role,
            joined_at: ms(self.joined_at).unwrap_or(joined_at),
            read_at: ms(self.read_at),
            read_to: ms(self.read_to).unwrap_or(0),
            hidden_to: ms(self.hidden_to).unwrap_or(0),
            hidden_at: ms(self.hidden_at),
            pinned_at: ms(self.pinned_at),
            blocked: self.blocked,
        };
        let floor = self.floor.unwrap_or(0);
        MemberRow { member, floor, sent_at_floor: self.sent_at_floor, singles: self.singles.clone() }
    }
}

impl MessageLine {
    fn of(message: &Message, kind: Kind) -> Self {
        let pair = matches!(kind, Kind::Direct | Kind::Trade);
        let attachment = message.attachment.as_ref();
        Self {
            at: Time(message.id.at),
            reference: None,
            sequence: Some(message.sequence),
            sender: message.sender.to_string(),
            row: Some(message.row),
            sent: (pair || message.sent != 0).then_some(message.sent),
            client_id: message.client_id.as_ref().map(ToString::to_string),
            kind: message.kind,
            content: message.content.to_string(),
            attachment: attachment.map(|Attachment { url, kind }| AttachmentLine {
                url: url.to_string(),
                kind: kind.to_string(),
            }),
            updated_at: (message.updated_at != message.id.at).then_some(Time(message.updated_at)),
            edited: message.edited,
            deleted: message.deleted,
            reads: Vec::new(),
        }
    }
}
