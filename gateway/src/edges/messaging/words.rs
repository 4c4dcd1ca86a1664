//! What the messaging API tells in events beside conversations, their people and messages, whose words are those of its
//! calls ([`crate::api::messaging::words`]).
//!
//! Where the API's own text shows fewer keys, clients get the conversation as well: they read keys by name.

use schema::Id;
use schema::chat::{ConversationId, Message, MessageId};
use serde::Serialize;

use crate::api::messaging::words::time;

/// A conversation that something is about.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfConversation {
    conversation_id: String,
}

/// A message that something is about.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfMessage {
    message_id: String,
    conversation_id: String,
}

/// What a message says now.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Edited<'a> {
    #[serde(flatten)]
    of: OfMessage,
    content: &'a str,
    is_edited: bool,
    updated_at: String,
}

/// Somebody has read a message, or all of a conversation.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Read<T> {
    #[serde(flatten)]
    of: T,
    user_id: String,
    read_at: String,
}

/// Somebody types, or no longer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Typist {
    user_id: String,
    conversation_id: String,
}

impl From<ConversationId> for OfConversation {
    fn from(id: ConversationId) -> Self {
        Self { conversation_id: id.to_string() }
    }
}

impl From<MessageId> for OfMessage {
    fn from(id: MessageId) -> Self {
        Self { message_id: id.to_string(), conversation_id: id.conversation.to_string() }
    }
}

impl<'a> From<&'a Message> for Edited<'a> {
    fn from(message: &'a Message) -> Self {
        Self {
            of: message.id.into(),
            content: if message.deleted { "" } else { &message.content },
            is_edited: message.edited,
            updated_at: time(message.updated_at),
        }
    }
}

impl<T> Read<T> {
    /// By this user, then.
    pub fn new(of: impl Into<T>, user: &Id, at: u64) -> Self {
        Self { of: of.into(), user_id: user.to_string(), read_at: time(at) }
    }
}

impl Typist {
    /// In this conversation.
    #[must_use]
    pub fn new(user: &Id, conversation: ConversationId) -> Self {
        Self { user_id: user.to_string(), conversation_id: conversation.to_string() }
    }
}

/// As one argument of an event or an ack.
#[must_use]
pub fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body)
        .expect("these are structs of texts, numbers and lists, which always have a JSON form")
}
