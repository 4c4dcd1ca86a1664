//! The bodies of the buyer/seller API's events. Their keys are those that its clients know, and no others.

use schema::Id;
use schema::chat::{Conversation, Message, MessageId};
use serde::Serialize;
use serde_json::Value;

use crate::api::trade::extra::Extra;
use crate::api::trade::names::{Room, Side};
use crate::api::trade::words::{ROOM_TYPE, content, message_type, time};

/// A room was made.
#[derive(Debug, Serialize)]
pub struct RoomMade {
    _id: String,
    room_id: String,
    r#type: &'static str,
    buyer: String,
    seller: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    shop_id: Option<Value>,
    creator: String,
}

impl RoomMade {
    /// As its maker is told. `creator`: who made it, or asked for it again.
    #[must_use]
    pub fn new(room: &Room, conversation: &Conversation, creator: &Id) -> Self {
        let name = room.to_string();
        Self {
            _id: name.clone(),
            room_id: name,
            r#type: ROOM_TYPE,
            buyer: room.buyer.to_string(),
            seller: room.seller.to_string(),
            shop_id: Extra::read(&conversation.extra).shop_id,
            creator: creator.to_string(),
        }
    }
}

/// Something was said.
#[derive(Debug, Serialize)]
pub struct NewMessage<'a> {
    _id: String,
    room_id: String,
    from: String,
    to: String,
    r#type: &'static str,
    content: std::borrow::Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_message_id: Option<&'a str>,
    created_at: String,
}

impl<'a> NewMessage<'a> {
    /// In a room. `None`: its sender is not in it.
    #[must_use]
    pub fn new(room: &Room, message: &'a Message) -> Option<Self> {
        let to = room.on(room.side(&message.sender)?.other());
        Some(Self {
            _id: message.id.to_string(),
            room_id: room.to_string(),
            from: message.sender.to_string(),
            to: to.to_string(),
            r#type: message_type(message),
            content: content(message),
            client_message_id: message.client_id.as_deref(),
            created_at: time(message.id.at),
        })
    }
}

/// Somebody types, or no longer.
#[derive(Debug, Serialize)]
pub struct Toward {
    room_id: String,
    from: String,
    to: String,
}

impl Toward {
    /// From one of a room to the other. `None`: `from` is not in it.
    #[must_use]
    pub fn new(room: &Room, from: &Id) -> Option<Self> {
        let to = room.on(room.side(from)?.other());
        Some(Self { room_id: room.to_string(), from: from.to_string(), to: to.to_string() })
    }
}

/// Somebody has seen what was said up to a message.
#[derive(Debug, Serialize)]
pub struct Seen {
    #[serde(flatten)]
    toward: Toward,
    last_message_id: String,
    last_message_created_at: String,
}

impl Seen {
    /// `None`: `from` is not in the room.
    #[must_use]
    pub fn new(room: &Room, from: &Id, last: MessageId) -> Option<Self> {
        Some(Self {
            toward: Toward::new(room, from)?,
            last_message_id: last.to_string(),
            last_message_created_at: time(last.at),
        })
    }
}

/// Somebody has deleted a room.
#[derive(Debug, Serialize)]
pub struct RoomDeletion {
    room_id: String,
    seller: String,
    buyer: String,
    deletion_role: &'static str,
}

impl RoomDeletion {
    /// By one side.
    #[must_use]
    pub fn new(room: &Room, by: Side) -> Self {
        Self {
            room_id: room.to_string(),
            seller: room.seller.to_string(),
            buyer: room.buyer.to_string(),
            deletion_role: by.as_str(),
        }
    }
}

/// Whether the other one of a room is online.
#[derive(Debug, Serialize)]
pub struct RoomStatus {
    room_id: String,
    status: bool,
}

/// The rooms of one side of a user, and whether the other one of each is online.
#[derive(Debug, Serialize)]
pub struct ActiveUsers {
    user_id: String,
    user_role: &'static str,
    rooms: Vec<RoomStatus>,
}

impl ActiveUsers {
    /// Of a user's side.
    #[must_use]
    pub fn new(user: &Id, side: Side, others: &[(Id, bool)]) -> Self {
        let status = |(other, status): &(Id, bool)| RoomStatus {
            room_id: room_with(user, side, other).to_string(),
            status: *status,
        };
        Self {
            user_id: user.to_string(),
            user_role: side.as_str(),
            rooms: others.iter().map(status).collect(),
        }
    }
}

/// Somebody came online, or went.
#[derive(Debug, Serialize)]
pub struct StatusChange {
    user_id: String,
    user_role: &'static str,
    #[serde(flatten)]
    room: RoomStatus,
}

impl StatusChange {
    /// As `user`, on its side, is told of the other one of their room.
    #[must_use]
    pub fn new(user: &Id, side: Side, other: &Id, status: bool) -> Self {
        Self {
            user_id: other.to_string(),
            user_role: side.other().as_str(),
            room: RoomStatus { room_id: room_with(user, side, other).to_string(), status },
        }
    }
}

/// Whether a token is good.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Verified {
    /// It is.
    pub status: bool,
}

/// What an event that asks for an ack is told when it is done.
#[derive(Debug, Serialize)]
pub struct Done<T> {
    status: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

impl<T> Done<T> {
    /// With what came of it.
    pub fn with(data: T) -> Self {
        Self { status: true, data: Some(data) }
    }
}

impl Done<()> {
    /// Nothing more is to be said.
    pub const PLAIN: Self = Self { status: true, data: None };
}

/// The room of somebody on one side with somebody on the other.
#[must_use]
pub fn room_with(user: &Id, side: Side, other: &Id) -> Room {
    match side {
        Side::Buyer => Room { buyer: user.clone(), seller: other.clone() },
        Side::Seller => Room { buyer: other.clone(), seller: user.clone() },
    }
}

/// A body as JSON.
#[must_use]
pub fn json(body: &impl Serialize) -> String {
    serde_json::to_string(body)
        .expect("the bodies are structs of texts and numbers, which always have a JSON form")
}
