//! What a conversation is made of. All times are milliseconds since the Unix epoch.

use std::sync::Arc;

use super::ids::{ConversationId, MemberId, MessageId};
use crate::command::Payload;
use crate::id::Id;

/// What sort of conversation; numbers are those of the wire and of the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Two people. There is one for each pair, and its members do not change.
    Direct = 1,
    /// Some people, who may come and go, and a name.
    Group = 2,
    /// A buyer and a seller of a shop. One's own message does not count as having read what came before.
    Trade = 3,
    /// What one user is told by the operator.
    Feed = 4,
}

impl Kind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Group, Self::Trade, Self::Feed];

    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == number)
    }

    /// A stable word for configuration, logs and JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Group => "group",
            Self::Trade => "trade",
            Self::Feed => "feed",
        }
    }

    /// Whether sending a message means having read those before it.
    #[must_use]
    pub fn sending_reads(self) -> bool {
        self != Self::Trade
    }

    /// Whether members may be added and removed.
    #[must_use]
    pub fn is_open(self) -> bool {
        self == Self::Group
    }
}

/// What a member is in a conversation; numbers are those of the wire and of the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, PartialOrd, Ord)]
#[repr(u8)]
pub enum Role {
    /// One of the members.
    #[default]
    Member = 1,
    /// The one who made it.
    Creator = 2,
    /// The buyer of a trade.
    Buyer = 3,
    /// The seller of a trade.
    Seller = 4,
}

impl Role {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Member, Self::Creator, Self::Buyer, Self::Seller];

    /// The role with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|role| *role as u8 == number)
    }
}

/// A conversation, without what is said in it.
#[derive(Clone, PartialEq, Debug)]
pub struct Conversation {
    /// Its name for machines.
    pub id: ConversationId,
    /// What sort.
    pub kind: Kind,
    /// Its name for people: groups have one.
    pub name: Option<Arc<str>>,
    /// Who made it.
    pub creator: Id,
    /// What the edge that made it keeps with it; at most 16 KiB, never read by Muster.
    pub extra: Payload,
    /// When it was made.
    pub created_at: u64,
    /// When it was last changed or written to.
    pub updated_at: u64,
    /// How many members it has.
    pub members_count: u32,
    /// The members in the order of their rows; in lists only the first hundred.
    pub members: Vec<Member>,
}

/// Somebody in a conversation.
#[derive(Clone, PartialEq, Debug)]
pub struct Member {
    /// Counts those who ever joined this conversation, from 1.
    pub row: u32,
    /// Who.
    pub user: Id,
    /// As what.
    pub role: Role,
    /// Since when.
    pub joined_at: u64,
    /// When this member last read everything, by saying so or by sending.
    pub read_at: Option<u64>,
    /// Creation time of the newest message that was read then; 0: none.
    pub read_to: u64,
    /// Messages created up to this time are hidden from this member; 0: none.
    pub hidden_to: u64,
    /// When the member hid the conversation; `None`: it is not hidden, or a message has come since.
    pub hidden_at: Option<u64>,
    /// When the member pinned it.
    pub pinned_at: Option<u64>,
    /// The member does not want to hear from the others.
    pub blocked: bool,
}

impl Member {
    /// The id of the member's row.
    #[must_use]
    pub fn id(&self, conversation: ConversationId) -> MemberId {
        MemberId { conversation, row: self.row }
    }
}

/// A file that belongs to a message; it lies elsewhere.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attachment {
    /// Where; at most 2,048 bytes.
    pub url: Arc<str>,
    /// What it is, in the edge's word; at most 32 bytes.
    pub kind: Arc<str>,
}

/// One message.
#[derive(Clone, PartialEq, Debug)]
pub struct Message {
    /// Conversation and creation time.
    pub id: MessageId,
    /// Position in the conversation: 1, 2, 3, without a gap.
    pub sequence: u64,
    /// How many messages its sender had sent in this conversation by then, this one included; kept in conversations of two
    /// only, else 0. For the home; no edge tells it.
    pub sent: u64,
    /// Who sent it.
    pub sender: Id,
    /// The other member, in conversations of two. Told inside the node with what was just said, for edges that name a
    /// conversation by its pair; else `None`. Boxed, for a message lies in every reply.
    pub to: Option<Box<Id>>,
    /// The sender's row.
    pub row: u32,
    /// The client's own name for it: the same one again is the same message.
    pub client_id: Option<Arc<str>>,
    /// The edge's own sort of message; 0 is plain text.
    pub kind: u8,
    /// What is said. Empty when it was deleted.
    pub content: Arc<str>,
    /// What comes with it. `None` when it was deleted.
    pub attachment: Option<Attachment>,
    /// When it was last changed; the creation time if never.
    pub updated_at: u64,
    /// Its content was changed by its sender.
    pub edited: bool,
    /// It was taken back by its sender.
    pub deleted: bool,
    /// Who read it and when, in the order of their rows. Only where it was asked for, and only in conversations of at
    /// most a hundred members.
    pub reads: Vec<Receipt>,
}

/// Somebody has read a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Who.
    pub user: Id,
    /// When.
    pub at: u64,
}

/// One row of a user's list of conversations.
#[derive(Clone, PartialEq, Debug)]
pub struct Summary {
    /// Which, with at most its first hundred members; the asker is always among them.
    pub conversation: Conversation,
    /// The newest message that is not deleted and not hidden from the user.
    pub last: Option<Message>,
    /// Messages that the user has not read.
    pub unread: u64,
}

/// A place in a user's list of conversations: the ones written to last first, those of one time by their ids. It is
/// made from a row, and stays where it is whatever is written meanwhile: what moves to the front of the list is not
/// behind it any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListCursor {
    /// When a conversation was last written to.
    pub updated_at: u64,
    /// Which; `None`: whichever were written to at that time lie before this place.
    pub conversation: Option<ConversationId>,
}

impl ListCursor {
    /// The place of a row.
    #[must_use]
    pub fn of(row: &Summary) -> Self {
        let Conversation { updated_at, id, .. } = row.conversation;
        Self { updated_at, conversation: Some(id) }
    }

    /// Whether a conversation that was last written to then stands behind this place.
    #[must_use]
    pub fn is_before(&self, updated_at: u64, id: ConversationId) -> bool {
        updated_at < self.updated_at
            || updated_at == self.updated_at && self.conversation.is_some_and(|own| own < id)
    }
}

/// A part of what was said, newest first.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct History {
    /// The messages.
    pub messages: Vec<Message>,
    /// Whether there are more beyond the last one.
    pub more: bool,
}
