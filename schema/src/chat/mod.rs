//! Conversations: who is in them, what is said in them, and what was read.
//!
//! One model under every API: an edge translates its own names, bodies and oddities to these types and back. Read
//! [`ids`] first, then [`model`], then what may be commanded and what is told.

pub mod command;
pub mod event;
pub mod ids;
pub mod model;

pub use command::{ChatCommand, Draft, MemberChange, NewConversation, NewMember, Whose};
pub use event::{ChatEvent, ChatReply};
pub use ids::{ChatIdError, ConversationId, MemberId, MessageId};
pub use model::{
    Attachment, Conversation, History, Kind, ListCursor, Member, Message, Receipt, Role, Summary,
};
