//! The bodies of the server API's calls about conversations, in the words of the model.

use schema::chat::{Conversation, ListCursor, Member, Message, Role, Summary};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::timestamp::Millis;

/// A conversation to make.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerNewConversation)]
pub struct NewConversationBody {
    /// `direct` (two users, one such conversation for each two), `group`, `trade` or `feed`.
    #[schema(example = "group")]
    pub kind: String,
    /// Groups need one.
    #[schema(example = "Order 7")]
    pub name: Option<String>,
    /// Who is in it; the user acted for is added.
    pub members: Vec<NewMemberBody>,
    /// What is kept with it and not read: any JSON value of at most 16 KiB.
    #[schema(value_type = Option<serde_json::Value>, example = json!({"order": 7}))]
    pub extra: Option<Box<RawValue>>,
    /// A name of the caller's for what it makes: asked again with the same one, it is found. At most 255 bytes.
    pub key: Option<String>,
}

/// A member to be.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerNewMember)]
pub struct NewMemberBody {
    /// Who.
    #[schema(example = "alice")]
    pub user_id: String,
    /// `member` (if not given), `buyer` or `seller`.
    #[schema(example = "member")]
    pub role: Option<String>,
}

/// A message to send.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerNewChatMessage)]
pub struct NewMessageBody {
    /// What to say; at most 10,000 characters, and empty only with an attachment.
    #[schema(example = "Your order is on its way")]
    pub content: Option<String>,
    /// An absolute address, `http` or `https`.
    pub attachment_url: Option<String>,
    /// `image`, `video`, `audio` or `file`; `file` if not given.
    pub attachment_type: Option<String>,
    /// The caller's own name for it: sent again with the same one, it is stored and told once. At most 255 bytes. The
    /// header `Idempotency-Key` does the same.
    pub client_message_id: Option<String>,
}

/// What a message is to say.
#[derive(Deserialize, ToSchema)]
#[schema(as = ServerEdit)]
pub struct EditBody {
    /// At most 10,000 characters.
    #[schema(example = "Your order has arrived")]
    pub content: String,
}

/// A conversation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerConversation)]
pub struct ConversationBody {
    /// Its id.
    #[schema(example = "3c1f0e9a-77b2-8d41-a6c5-9e0d2b000000")]
    id: String,
    /// `direct`, `group`, `trade` or `feed`.
    #[schema(example = "group")]
    kind: &'static str,
    name: Option<String>,
    /// Who made it.
    #[schema(example = "alice")]
    creator: String,
    /// As it was given; null if nothing was, or what was is no JSON.
    #[schema(value_type = Option<serde_json::Value>)]
    extra: Option<Box<RawValue>>,
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    created_at: String,
    /// When it was last changed or written to.
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    updated_at: String,
    /// How many members there are.
    members_count: u32,
    /// The members; in lists the first hundred.
    members: Vec<MemberBody>,
}

/// A member of a conversation.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerMember)]
pub struct MemberBody {
    #[schema(example = "alice")]
    user_id: String,
    /// `member`, `creator`, `buyer` or `seller`.
    #[schema(example = "member")]
    role: &'static str,
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    joined_at: String,
    /// When they last read everything; null: never.
    read_at: Option<String>,
    pinned: bool,
    hidden: bool,
    blocked: bool,
}

/// A user's conversations.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerConversationList)]
pub struct ConversationList {
    /// The ones written to last first.
    pub conversations: Vec<ConversationRow>,
    /// Whether there are more than were asked for.
    pub more: bool,
    /// What to give for those: both are to go into the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<NextPage>,
}

/// Where a list goes on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerNextPage)]
pub struct NextPage {
    /// When the last row was written to.
    #[schema(example = "2025-11-25T15:40:00.000Z")]
    before: String,
    /// Which conversation it is.
    #[schema(example = "3c1f0e9a-77b2-8d41-a6c5-9e0d2b000000")]
    before_id: Option<String>,
}

impl NextPage {
    /// The words of a place.
    pub fn of(cursor: &ListCursor) -> Self {
        Self {
            before: Millis(cursor.updated_at).to_string(),
            before_id: cursor.conversation.map(|id| id.to_string()),
        }
    }
}

/// A conversation of a user.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerConversationRow)]
pub struct ConversationRow {
    #[serde(flatten)]
    conversation: ConversationBody,
    /// The newest message that is not deleted.
    last: Option<MessageBody>,
    /// Messages that the user has not read.
    unread: u64,
}

/// A message.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerChatMessage)]
pub struct MessageBody {
    #[schema(example = "3c1f0e9a-77b2-8d41-a6c5-9e119ab4cd01")]
    id: String,
    #[schema(example = "3c1f0e9a-77b2-8d41-a6c5-9e0d2b000000")]
    conversation_id: String,
    /// 1, 2, 3, without a gap.
    sequence: u64,
    #[schema(example = "alice")]
    sender: String,
    /// Empty when it was deleted.
    content: String,
    attachment_url: Option<String>,
    attachment_type: Option<String>,
    client_message_id: Option<String>,
    edited: bool,
    deleted: bool,
    /// Unique in the conversation.
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    created_at: String,
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    updated_at: String,
    /// Who has read it; only where messages are read, and in conversations of at most a hundred.
    reads: Vec<ReadBody>,
}

/// Somebody has read a message.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ServerRead)]
pub struct ReadBody {
    #[schema(example = "bob")]
    user_id: String,
    #[schema(example = "2026-03-30T10:31:00.000Z")]
    read_at: String,
}

/// A page of what was said.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerHistory)]
pub struct HistoryBody {
    /// The newest first.
    pub messages: Vec<MessageBody>,
    /// Whether there are more beyond the last one.
    pub more: bool,
}

/// How many messages are not read.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerUnread)]
pub struct UnreadBody {
    /// Of others, and not deleted.
    #[schema(example = 3)]
    pub unread: u64,
}

/// It is done.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerDone)]
pub struct DoneBody {
    /// Always true.
    pub done: bool,
}

fn time(ms: u64) -> String {
    Millis(ms).to_string()
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Member => "member",
        Role::Creator => "creator",
        Role::Buyer => "buyer",
        Role::Seller => "seller",
    }
}

/// The role of a word that may be given.
#[must_use]
pub fn role(word: Option<&str>) -> Option<Role> {
    match word {
        None | Some("member") => Some(Role::Member),
        Some("buyer") => Some(Role::Buyer),
        Some("seller") => Some(Role::Seller),
        Some(_) => None,
    }
}

impl From<&Conversation> for ConversationBody {
    fn from(conversation: &Conversation) -> Self {
        let extra = std::str::from_utf8(&conversation.extra).ok();
        Self {
            id: conversation.id.to_string(),
            kind: conversation.kind.as_str(),
            name: conversation.name.as_deref().map(str::to_owned),
            creator: conversation.creator.to_string(),
            extra: extra.and_then(|text| RawValue::from_string(text.to_owned()).ok()),
            created_at: time(conversation.created_at),
            updated_at: time(conversation.updated_at),
            members_count: conversation.members_count,
            members: conversation.members.iter().map(MemberBody::from).collect(),
        }
    }
}

impl From<&Member> for MemberBody {
    fn from(member: &Member) -> Self {
        Self {
            user_id: member.user.to_string(),
            role: role_word(member.role),
            joined_at: time(member.joined_at),
            read_at: member.read_at.map(time),
            pinned: member.pinned_at.is_some(),
            hidden: member.hidden_at.is_some(),
            blocked: member.blocked,
        }
    }
}

impl From<&Summary> for ConversationRow {
    fn from(summary: &Summary) -> Self {
        Self {
            conversation: (&summary.conversation).into(),
            last: summary.last.as_ref().map(MessageBody::from),
            unread: summary.unread,
        }
    }
}

impl From<&Message> for MessageBody {
    fn from(message: &Message) -> Self {
        let attachment = message.attachment.as_ref();
        let read = |receipt: &schema::chat::Receipt| ReadBody {
            user_id: receipt.user.to_string(),
            read_at: time(receipt.at),
        };
        Self {
            id: message.id.to_string(),
            conversation_id: message.id.conversation.to_string(),
            sequence: message.sequence,
            sender: message.sender.to_string(),
            content: message.content.to_string(),
            attachment_url: attachment.map(|attachment| attachment.url.to_string()),
            attachment_type: attachment.map(|attachment| attachment.kind.to_string()),
            client_message_id: message.client_id.as_deref().map(str::to_owned),
            edited: message.edited,
            deleted: message.deleted,
            created_at: time(message.id.at),
            updated_at: time(message.updated_at),
            reads: message.reads.iter().map(read).collect(),
        }
    }
}
