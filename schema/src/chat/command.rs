//! What may be commanded about conversations.
//!
//! Users act in conversations they are members of; anything else is refused with [`Forbidden`](crate::Refusal), and a
//! conversation that does not exist with [`NotFound`](crate::Refusal). A service acts as the user it names
//! ([`Command::Chat`](crate::Command)), or as itself: then it may read, make and change every conversation of its
//! realm, but it is no member and sends nothing.

#![allow(missing_docs, reason = "the fields of a variant are told in the variant's own text")]

use std::sync::Arc;

use super::ids::{ConversationId, MessageId};
use super::model::{Attachment, Kind, ListCursor, Role};
use crate::command::Payload;
use crate::id::Id;

/// One command.
#[derive(Clone, PartialEq, Debug)]
pub enum ChatCommand {
    /// Make a conversation, or find the one that is there: a trade that is there is shown again to both who are in it,
    /// as by `SetMember`. Answered with [`ChatReply::Made`](super::ChatReply).
    Create(Box<NewConversation>),
    /// Which conversation is this? Answered with `Conversation`, all members included.
    Find { conversation: ConversationId },
    /// The acting user's conversations, the ones written to last first. Answered with `Summaries`. `kinds`: bit n for
    /// the kind with number n; 0 is all. `after`: only those that stand behind this place of the list.
    List { kinds: u8, limit: u32, after: Option<ListCursor> },
    /// In how many of the acting user's conversations are unread messages? Answered with `Count`.
    CountUnread { kinds: u8 },
    /// Change its name or what the edge keeps with it; `None` leaves as it is. Answered with `Conversation`.
    Update { conversation: ConversationId, name: Option<Arc<str>>, extra: Option<Payload> },
    /// Add somebody to a group. Answered with `Member`.
    AddMember { conversation: ConversationId, user: Id, role: Role },
    /// Take somebody out of a group: oneself, or anybody as its creator. Answered with `Done`.
    RemoveMember { conversation: ConversationId, member: Whose },
    /// Pin, hide or block a conversation for the acting user. Answered with `Member`.
    SetMember { conversation: ConversationId, change: MemberChange },
    /// Remove it with all that was said. Creator only. Answered with `Done`.
    Delete { conversation: ConversationId },
    /// Say something. Answered with `Message` when it is on stable storage.
    Send(Box<Draft>),
    /// Change what one has said. Answered with `Message`.
    Edit { message: MessageId, content: Arc<str> },
    /// Take back what one has said. Answered with `Message`; again is no error.
    Remove { message: MessageId },
    /// This message is read. Answered with `Done`.
    Read { message: MessageId },
    /// Everything created up to this time is read; `None`: all there is. Answered with `Done`.
    ReadAll { conversation: ConversationId, up_to: Option<u64> },
    /// What was said before `before` and after `after` (creation times, both exclusive), the newest of it first, at
    /// most `limit` messages. Answered with `History`. `forward`: of what fits, the oldest (still newest first).
    History {
        conversation: ConversationId,
        before: Option<u64>,
        after: Option<u64>,
        forward: bool,
        limit: u16,
    },
    /// One message. Answered with `Message`, its receipts included.
    Message { message: MessageId },
    /// How many messages has the acting user not read? Answered with `Count`.
    Unread { conversation: ConversationId },
    /// Tell this session who is typing (and a service's session everything). Sessions only. Answered with `Done`.
    Join { conversation: ConversationId },
    /// Stop that. Answered with `Done`.
    Leave { conversation: ConversationId },
    /// The acting user types, or no longer. Answered with `Done`.
    Typing { conversation: ConversationId, on: bool },
    /// Tell this session what happens in its user's conversations. Sessions only. Answered with `Done`.
    Follow { on: bool },
}

/// A conversation that is to be.
#[derive(Clone, PartialEq, Debug)]
pub struct NewConversation {
    /// Its id; `None`: a direct one gets the id of its pair, any other a random one. The same id again finds the
    /// first, if it has the same members.
    pub id: Option<ConversationId>,
    /// What sort.
    pub kind: Kind,
    /// Its name; groups need one.
    pub name: Option<Arc<str>>,
    /// Its members. The acting user is added if missing.
    pub members: Vec<NewMember>,
    /// What the edge keeps with it.
    pub extra: Payload,
}

/// A member that is to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewMember {
    /// Who.
    pub user: Id,
    /// As what.
    pub role: Role,
}

/// Which member is meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whose {
    /// The one with this row.
    Row(u32),
    /// This user.
    User(Id),
}

/// A message that is to be.
#[derive(Clone, PartialEq, Debug)]
pub struct Draft {
    /// Where it is said.
    pub conversation: ConversationId,
    /// The client's own name for it: within the retention window the same one of the same sender again is answered with the
    /// first message, which is stored once and told once. At most 255 bytes.
    pub client_id: Option<Arc<str>>,
    /// The edge's own sort of message; 0 is plain text.
    pub kind: u8,
    /// What is said; at most 10,000 characters, and empty only with an attachment.
    pub content: Arc<str>,
    /// What comes with it.
    pub attachment: Option<Attachment>,
}

/// What a member changes about its own side of a conversation; `None` leaves as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MemberChange {
    /// Pin it, or no longer.
    pub pinned: Option<bool>,
    /// Hide it with all that was said so far, or show it again (what was hidden stays hidden).
    pub hidden: Option<bool>,
    /// Block it, or no longer: while anybody blocks it, nobody can send.
    pub blocked: Option<bool>,
}

impl ChatCommand {
    /// The words of [`ChatCommand::name`], by [`ChatCommand::index`].
    pub const NAMES: [&'static str; 21] = [
        "create",
        "find",
        "list_conversations",
        "count_unread",
        "update",
        "add_member",
        "remove_member",
        "set_member",
        "delete",
        "send_message",
        "edit",
        "remove",
        "read",
        "read_all",
        "history",
        "message",
        "unread",
        "join",
        "leave",
        "typing",
        "follow",
    ];

    /// A stable word for metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        Self::NAMES[self.index()]
    }

    /// Position in [`ChatCommand::NAMES`].
    #[must_use]
    pub fn index(&self) -> usize {
        match self {
            Self::Create(_) => 0,
            Self::Find { .. } => 1,
            Self::List { .. } => 2,
            Self::CountUnread { .. } => 3,
            Self::Update { .. } => 4,
            Self::AddMember { .. } => 5,
            Self::RemoveMember { .. } => 6,
            Self::SetMember { .. } => 7,
            Self::Delete { .. } => 8,
            Self::Send(_) => 9,
            Self::Edit { .. } => 10,
            Self::Remove { .. } => 11,
            Self::Read { .. } => 12,
            Self::ReadAll { .. } => 13,
            Self::History { .. } => 14,
            Self::Message { .. } => 15,
            Self::Unread { .. } => 16,
            Self::Join { .. } => 17,
            Self::Leave { .. } => 18,
            Self::Typing { .. } => 19,
            Self::Follow { .. } => 20,
        }
    }

    /// The conversation it is about, if it is about one that has an id already.
    #[must_use]
    pub fn conversation(&self) -> Option<ConversationId> {
        match self {
            Self::Create(new) => new.id,
            Self::Find { conversation }
            | Self::Update { conversation, .. }
            | Self::AddMember { conversation, .. }
            | Self::RemoveMember { conversation, .. }
            | Self::SetMember { conversation, .. }
            | Self::Delete { conversation }
            | Self::ReadAll { conversation, .. }
            | Self::History { conversation, .. }
            | Self::Unread { conversation }
            | Self::Join { conversation }
            | Self::Leave { conversation }
            | Self::Typing { conversation, .. } => Some(*conversation),
            Self::Send(draft) => Some(draft.conversation),
            Self::Edit { message, .. }
            | Self::Remove { message }
            | Self::Read { message }
            | Self::Message { message } => Some(message.conversation),
            Self::List { .. } | Self::CountUnread { .. } | Self::Follow { .. } => None,
        }
    }
}
