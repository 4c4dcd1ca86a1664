//! What the messaging API answers about conversations and messages: its names for the model's fields.
//!
//! Times are texts in UTC with milliseconds. Where the API's own text shows fewer keys than there are here, clients get
//! the whole object: they read keys by name.

use schema::chat::{Conversation, ConversationId, History, Kind, Member, Message, Summary};
use serde::Serialize;
use utoipa::ToSchema;

use crate::timestamp::Millis;

/// A conversation.
#[derive(Serialize, ToSchema)]
#[schema(as = MessagingConversation)]
pub struct ConversationBody {
    #[serde(flatten)]
    about: AboutConversation,
    /// Who is in it; in lists the first hundred.
    participants: Vec<ParticipantBody>,
}

/// A conversation without its people.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagingAboutConversation)]
pub struct AboutConversation {
    /// Its id, a UUID.
    #[schema(example = "3c1f0e9a-77b2-8d41-a6c5-9e0d2b000000")]
    id: String,
    /// `direct` or `group`.
    #[schema(example = "group")]
    conversation_type: &'static str,
    /// Of a group; null for a direct conversation.
    #[schema(example = "Team Discussion")]
    conversation_name: Option<String>,
    /// Who made it.
    #[schema(example = "7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5f")]
    created_by: String,
    /// When it was made.
    #[schema(example = "2025-11-25T15:30:00.000Z")]
    created_at: String,
    /// When it was last changed or written to.
    #[schema(example = "2025-11-25T15:30:00.000Z")]
    updated_at: String,
}

/// A conversation in a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagingConversationRow)]
pub struct ConversationRow {
    #[serde(flatten)]
    conversation: ConversationBody,
    /// The newest message that is not deleted.
    last_message: Option<LastMessage>,
    /// Messages of others that the caller has not read.
    #[schema(example = 3)]
    unread_count: u64,
}

/// The newest message of a conversation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagingLastMessage)]
pub struct LastMessage {
    /// What is said.
    #[schema(example = "Hello!")]
    content: String,
    /// When.
    #[schema(example = "2025-11-25T15:30:00.000Z")]
    created_at: String,
    /// By whom.
    #[schema(example = "7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5f")]
    sender_id: String,
}

/// Somebody in a conversation.
#[derive(Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagingParticipant)]
pub struct ParticipantBody {
    /// Names this row: this user in this conversation.
    #[schema(example = "3c1f0e9a-77b2-8d41-a6c5-9e0d2b800001")]
    id: String,
    /// Who.
    #[schema(example = "7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5f")]
    user_id: String,
    /// Where.
    #[schema(example = "3c1f0e9a-77b2-8d41-a6c5-9e0d2b000000")]
    conversation_id: String,
    /// When they last read everything, by saying so or by sending; null: never.
    #[schema(example = "2025-11-25T15:30:00.000Z")]
    last_read_at: Option<String>,
    /// Since when.
    #[schema(example = "2025-11-25T15:30:00.000Z")]
    joined_at: String,
}

/// Somebody who was added to a conversation.
#[derive(Serialize, ToSchema)]
#[schema(as = MessagingAdded)]
pub struct Added {
    /// The (first) one who was added.
    #[serde(flatten)]
    pub first: ParticipantBody,
    /// All who were added; only where several were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub participants: Option<Vec<ParticipantBody>>,
}

/// A message.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagingMessage)]
pub struct MessageBody {
    /// Its id, a UUID.
    #[schema(example = "3c1f0e9a-77b2-8d41-a6c5-9e119ab4cd01")]
    id: String,
    /// Where it was said.
    #[schema(example = "3c1f0e9a-77b2-8d41-a6c5-9e0d2b000000")]
    conversation_id: String,
    /// By whom.
    #[schema(example = "7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5f")]
    sender_id: String,
    /// What is said; empty when it was deleted.
    #[schema(example = "Hello everyone!")]
    content: String,
    /// Where the file is that comes with it.
    #[schema(example = "http://localhost:8080/messaging/messages/1732546789123-photo.jpg")]
    attachment_url: Option<String>,
    /// What it is: `image`, `video`, `audio` or `file`.
    #[schema(example = "image")]
    attachment_type: Option<String>,
    /// Its sender has changed what it says.
    is_edited: bool,
    /// Its sender has taken it back.
    is_deleted: bool,
    /// When; unique in the conversation.
    #[schema(example = "2025-11-25T15:45:00.000Z")]
    created_at: String,
    /// When it was last changed; when it was created if never.
    #[schema(example = "2025-11-25T15:45:00.000Z")]
    updated_at: String,
    /// The sender's own name for it, if it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "8e03978e-40d5-43dd-bc93-6894a57f9324")]
    client_message_id: Option<String>,
    /// Who has read it. Where messages are read, not where they are sent or changed; empty in conversations of more than
    /// a hundred.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_by: Option<Vec<ReadBy>>,
}

/// Somebody has read a message.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagingReadBy)]
pub struct ReadBy {
    /// Who.
    #[schema(example = "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55")]
    user_id: String,
    /// When.
    #[schema(example = "2025-11-25T15:46:00.000Z")]
    read_at: String,
}

/// A page of what was said.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagingPage)]
pub struct Page {
    /// The newest first.
    messages: Vec<MessageBody>,
    /// Whether there are older ones.
    has_more: bool,
    /// What to give as `before` for the next page; null at the end.
    #[schema(example = "2025-11-25T15:40:00.000Z")]
    next_before: Option<String>,
}

/// How much of a conversation the caller has not read.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagingUnread)]
pub struct UnreadBody {
    /// Which.
    #[schema(example = "3c1f0e9a-77b2-8d41-a6c5-9e0d2b000000")]
    pub conversation_id: String,
    /// Messages of others that are not read and not deleted.
    #[schema(example = 5)]
    pub unread_count: u64,
}

/// A call that did what it should.
#[derive(Serialize, ToSchema)]
#[schema(as = MessagingDone)]
pub struct DoneBody {
    /// For people.
    #[schema(example = "Message marked as read")]
    pub message: &'static str,
}

/// A time in the form of this API.
#[must_use]
pub fn time(ms: u64) -> String {
    Millis(ms).to_string()
}

impl From<&Conversation> for AboutConversation {
    fn from(conversation: &Conversation) -> Self {
        Self {
            id: conversation.id.to_string(),
            conversation_type: conversation.kind.as_str(),
            conversation_name: match conversation.kind {
                Kind::Direct => None,
                _ => conversation.name.as_deref().map(str::to_owned),
            },
            created_by: conversation.creator.to_string(),
            created_at: time(conversation.created_at),
            updated_at: time(conversation.updated_at),
        }
    }
}

impl From<&Conversation> for ConversationBody {
    fn from(conversation: &Conversation) -> Self {
        let row = |member| ParticipantBody::new(conversation.id, member);
        Self { about: conversation.into(), participants: conversation.members.iter().map(row).collect() }
    }
}

impl From<&Summary> for ConversationRow {
    fn from(summary: &Summary) -> Self {
        let last = summary.last.as_ref().map(|message| LastMessage {
            content: message.content.to_string(),
            created_at: time(message.id.at),
            sender_id: message.sender.to_string(),
        });
        Self {
            conversation: (&summary.conversation).into(),
            last_message: last,
            unread_count: summary.unread,
        }
    }
}

impl ParticipantBody {
    /// The row of a member.
    #[must_use]
    pub fn new(conversation: ConversationId, member: &Member) -> Self {
        Self {
            id: member.id(conversation).to_string(),
            user_id: member.user.to_string(),
            conversation_id: conversation.to_string(),
            last_read_at: member.read_at.map(time),
            joined_at: time(member.joined_at),
        }
    }
}

impl MessageBody {
    /// A message as it is answered to its sender.
    #[must_use]
    pub fn sent(message: &Message) -> Self {
        // What was deleted shows nothing, whatever the store still has of it.
        let attachment = message.attachment.as_ref().filter(|_| !message.deleted);
        Self {
            id: message.id.to_string(),
            conversation_id: message.id.conversation.to_string(),
            sender_id: message.sender.to_string(),
            content: if message.deleted { String::new() } else { message.content.to_string() },
            attachment_url: attachment.map(|attachment| attachment.url.to_string()),
            attachment_type: attachment.map(|attachment| attachment.kind.to_string()),
            is_edited: message.edited,
            is_deleted: message.deleted,
            created_at: time(message.id.at),
            updated_at: time(message.updated_at),
            client_message_id: message.client_id.as_deref().map(str::to_owned),
            read_by: None,
        }
    }

    /// A message as it is read, with those who have read it.
    #[must_use]
    pub fn read(message: &Message) -> Self {
        // Having written it is not having read it.
        let readers = message.reads.iter().filter(|receipt| receipt.user != message.sender);
        let read_by =
            readers.map(|receipt| ReadBy { user_id: receipt.user.to_string(), read_at: time(receipt.at) });
        Self { read_by: Some(read_by.collect()), ..Self::sent(message) }
    }
}

impl From<&History> for Page {
    fn from(history: &History) -> Self {
        let oldest = history.messages.last().filter(|_| history.more);
        Self {
            messages: history.messages.iter().map(MessageBody::read).collect(),
            has_more: history.more,
            next_before: oldest.map(|message| time(message.id.at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use schema::Id;
    use schema::chat::{Attachment, MessageId, Receipt};
    use serde_json::{json, to_value};

    use super::*;

    fn message(deleted: bool) -> Message {
        let id = |text| Id::new(text).unwrap();
        let conversation = ConversationId::of_pair(&id("ann"), &id("bob"));
        Message {
            id: MessageId { conversation, at: 1_764_085_500_007 },
            sequence: 1,
            sent: 1,
            sender: id("ann"),
            to: None,
            row: 1,
            client_id: None,
            kind: 0,
            content: "Hello!".into(),
            attachment: Some(Attachment { url: "http://h/x".into(), kind: "image".into() }),
            updated_at: 1_764_085_500_007,
            edited: false,
            deleted,
            reads: vec![
                Receipt { user: id("ann"), at: 1_764_085_500_007 },
                Receipt { user: id("bob"), at: 1_764_085_560_000 },
            ],
        }
    }

    #[test]
    fn a_message_in_the_words_of_the_api() {
        let message = message(false);
        let id = message.id;
        let mut expected = json!({
            "id": id.to_string(), "conversationId": id.conversation.to_string(), "senderId": "ann",
            "content": "Hello!", "attachmentUrl": "http://h/x", "attachmentType": "image", "isEdited": false,
            "isDeleted": false, "createdAt": "2025-11-25T15:45:00.007Z", "updatedAt": "2025-11-25T15:45:00.007Z",
        });
        assert_eq!(to_value(MessageBody::sent(&message)).unwrap(), expected);
        expected["readBy"] = json!([{"userId": "bob", "readAt": "2025-11-25T15:46:00.000Z"}]);
        assert_eq!(to_value(MessageBody::read(&message)).unwrap(), expected);
    }

    #[test]
    fn what_was_deleted_shows_nothing() {
        let body = to_value(MessageBody::sent(&message(true))).unwrap();
        assert_eq!(
            (&body["content"], &body["attachmentUrl"], &body["attachmentType"], &body["isDeleted"]),
            (&json!(""), &json!(null), &json!(null), &json!(true))
        );
    }

    #[test]
    fn a_page_says_where_the_next_begins() {
        let page = |more| Page::from(&History { messages: vec![message(false)], more });
        assert_eq!(page(true).next_before.as_deref(), Some("2025-11-25T15:45:00.007Z"));
        assert_eq!(page(false).next_before, None);
        assert_eq!(Page::from(&History { messages: vec![], more: false }).next_before, None);
    }
}
