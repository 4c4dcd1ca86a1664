//! What is told about conversations: events to the sessions of their members, and replies.

#![allow(missing_docs, reason = "the fields of a variant are told in the variant's own text")]

use std::sync::Arc;

use super::command::MemberChange;
use super::ids::{ConversationId, MessageId};
use super::model::{Conversation, History, Member, Message, Summary};
use crate::event::Class;
use crate::id::{Id, SessionAddr};

/// What happened in a conversation. Told to every session that follows its user's conversations, of every member, the
/// acting session included. Typing is told only to sessions that have joined, and not to the typist's; in a trade to every
/// session of both that follows, but for the acting one.
///
/// `with`: the other member, in conversations of two; `change`: what of a member has changed. They and `pair` are told inside
/// the node, for edges that name a conversation by its pair; the binary protocol leaves them out.
#[derive(Clone, PartialEq, Debug)]
pub enum ChatEvent {
    /// Somebody said something.
    Said(Message),
    /// Somebody changed what they had said.
    Edited(Message),
    /// Somebody took back what they had said.
    Removed { message: MessageId, at: u64 },
    /// Somebody has read a message.
    Read { message: MessageId, user: Id, at: u64 },
    /// Somebody has read everything up to a creation time. `newly`: the newest messages (at most 50, newest first) that
    /// became read with it; none in conversations of more than a hundred members.
    ReadAll { conversation: ConversationId, user: Id, at: u64, up_to: u64, newly: Vec<MessageId> },
    /// Somebody types, or no longer. `with` is there in trades only; `by`: the session that is not told there.
    Typing { conversation: ConversationId, user: Id, on: bool, with: Option<Id>, by: Option<SessionAddr> },
    /// A conversation was made with this user in it, or this user was added to it.
    Created(Arc<Conversation>),
    /// Its name, or what the edge keeps with it, has changed. Without its members.
    Updated(Arc<Conversation>),
    /// Somebody was added.
    MemberAdded { conversation: ConversationId, member: Member },
    /// Somebody left or was taken out; told to them too.
    MemberRemoved { conversation: ConversationId, member: Member },
    /// A member has pinned, hidden or blocked it (or no longer). Told to that member's sessions; blocking, and hiding a
    /// trade, to all.
    MemberChanged { conversation: ConversationId, member: Member, with: Option<Id>, change: MemberChange },
    /// It is no more. `pair`: whose it was, in conversations of two.
    Deleted { conversation: ConversationId, pair: Option<[Id; 2]> },
}

impl ChatEvent {
    /// How important it is to the session it goes to.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Typing { .. } => Class::Volatile,
            _ => Class::Required,
        }
    }

    /// Where it happened.
    #[must_use]
    pub fn conversation(&self) -> ConversationId {
        match self {
            Self::Said(message) | Self::Edited(message) => message.id.conversation,
            Self::Removed { message, .. } | Self::Read { message, .. } => message.conversation,
            Self::Created(conversation) | Self::Updated(conversation) => conversation.id,
            Self::ReadAll { conversation, .. }
            | Self::Typing { conversation, .. }
            | Self::MemberAdded { conversation, .. }
            | Self::MemberRemoved { conversation, .. }
            | Self::MemberChanged { conversation, .. }
            | Self::Deleted { conversation, .. } => *conversation,
        }
    }
}

/// The answer to a command.
#[derive(Clone, PartialEq, Debug)]
pub enum ChatReply {
    /// To `Create`: the conversation, and whether it is new.
    Made { conversation: Arc<Conversation>, new: bool },
    /// To `Find` and `Update`.
    Conversation(Arc<Conversation>),
    /// To `List`, the ones written to last first, and whether there are more.
    Summaries { rows: Vec<Summary>, more: bool },
    /// To `AddMember` and `SetMember`.
    Member { conversation: ConversationId, member: Member },
    /// To `Send`, `Edit`, `Remove` and `Message`. `again`: the command was carried out before, and nobody was told
    /// anything.
    Message { message: Message, again: bool },
    /// To `History`.
    History(History),
    /// To `Unread` and `CountUnread`.
    Count(u64),
    /// It is done.
    Done,
}
