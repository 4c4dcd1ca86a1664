//! What the buyer/seller API says of rooms and messages: its names for the model's fields, to callers and to sockets.
//!
//! Ids are texts, times are texts in UTC with milliseconds. What is not there is left out, as its clients know it.

use std::borrow::Cow;

use schema::Id;
use schema::chat::{Conversation, Member, Message, Summary};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::extra::{BuyerInfo, Extra};
use super::names::{Room, Side};
use crate::timestamp::Millis;

/// The one type of rooms.
pub const ROOM_TYPE: &str = "BS";

/// The types of messages, by the model's `kind`.
pub const MESSAGE_TYPES: [&str; 3] = ["TEXT", "IMAGE", "EMOJI"];

/// A room.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TradeRoom)]
pub struct RoomBody {
    /// `<buyer>.<seller>`; a dot within an id is written `~1`, a tilde `~0`.
    #[schema(example = "42.7")]
    _id: String,
    /// `BS`.
    #[schema(example = "BS")]
    r#type: &'static str,
    /// Who made it.
    #[schema(example = "42")]
    creator: String,
    /// Who buys.
    #[schema(example = "42")]
    buyer: String,
    /// Who sells.
    #[schema(example = "7")]
    seller: String,
    /// The shop's id, as it was given. Not in the seller's list.
    #[serde(skip_serializing_if = "Option::is_none")]
    shop_id: Option<Value>,
    /// The shop: what was given of it, its `id` at least. Not in the seller's list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = json!({"id": 3}))]
    shop: Option<Value>,
    /// The buyer. Not in the buyer's list.
    #[serde(skip_serializing_if = "Option::is_none")]
    buyer_info: Option<BuyerInfo>,
    #[serde(flatten)]
    for_buyer: Option<BuyersSide>,
    #[serde(flatten)]
    for_seller: Option<SellersSide>,
    /// Who has blocked it: `BUYER` or `SELLER`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "SELLER")]
    blocked_by: Option<&'static str>,
    /// When it was made.
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    created_at: String,
    /// When it was last changed or written to.
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    updated_at: String,
}

/// What a room is to its buyer. Not in the seller's list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TradeBuyersSide)]
struct BuyersSide {
    /// The newest message that the buyer sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    buyer_last_message: Option<MessageBody>,
    /// When the buyer pinned it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    pinned_by_buyer: Option<String>,
    /// The seller's messages that the buyer has not seen.
    #[schema(example = 2)]
    buyer_unseen_messages: u64,
    /// When the buyer deleted it, if nothing was said since.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    buyer_deleted_at: Option<String>,
    /// Whether the buyer deleted it, and nothing was said since.
    deleted_by_buyer: bool,
}

/// What a room is to its seller. Not in the buyer's list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TradeSellersSide)]
struct SellersSide {
    /// The newest message that the seller sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    seller_last_message: Option<MessageBody>,
    /// When the seller pinned it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    pinned_by_seller: Option<String>,
    /// The buyer's messages that the seller has not seen.
    #[schema(example = 2)]
    seller_unseen_messages: u64,
    /// When the seller deleted it, if nothing was said since.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    seller_deleted_at: Option<String>,
    /// Whether the seller deleted it, and nothing was said since.
    deleted_by_seller: bool,
}

/// A message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TradeMessage)]
pub struct MessageBody {
    /// Its id.
    #[schema(example = "3c1f0e9a-77b2-8d41-a6c5-9e119ab4cd01")]
    _id: String,
    /// Where it was said.
    #[schema(example = "42.7")]
    room_id: String,
    /// By whom.
    #[schema(example = "42")]
    from: String,
    /// To whom.
    #[schema(example = "7")]
    to: String,
    /// `TEXT`, `IMAGE` or `EMOJI`.
    #[schema(example = "TEXT")]
    r#type: &'static str,
    /// What is said.
    #[schema(example = "Is it still there?")]
    content: String,
    /// The sender's own name for it, if it gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "8e03978e")]
    client_message_id: Option<String>,
    /// Whether the other one has seen it.
    is_seen: bool,
    /// When it was said; unique in the room.
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    created_at: String,
    /// When it was last changed.
    #[schema(example = "2026-03-30T10:30:00.123Z")]
    updated_at: String,
}

/// A time in the API's form.
#[must_use]
pub fn time(ms: u64) -> String {
    Millis(ms).to_string()
}

/// What a message's type is called.
#[must_use]
pub fn message_type(message: &Message) -> &'static str {
    let image = message.attachment.as_ref().is_some_and(|it| &*it.kind == "image");
    let index = if image { 1 } else { usize::from(message.kind) };
    MESSAGE_TYPES.get(index).unwrap_or(&MESSAGE_TYPES[0])
}

/// What a message says. What comes with it, which this API has no word for, is said by its address.
#[must_use]
pub fn content(message: &Message) -> Cow<'_, str> {
    match &message.attachment {
        _ if message.deleted => Cow::Borrowed(""),
        Some(attachment) if message.content.is_empty() => Cow::Borrowed(&attachment.url),
        Some(attachment) => Cow::Owned(format!("{} {}", message.content, attachment.url)),
        None => Cow::Borrowed(&message.content),
    }
}

/// The members of a room as its two sides see them.
#[derive(Clone, Debug)]
pub struct Sides {
    /// Who they are.
    pub room: Room,
    /// The buyer's row and the seller's.
    rows: [Member; 2],
}

impl Sides {
    /// Those of a conversation; `None` if it is no room.
    #[must_use]
    pub fn of(conversation: &Conversation) -> Option<Self> {
        let room = Room::of(conversation)?;
        let row = |user: &Id| conversation.members.iter().find(|member| member.user == *user).cloned();
        let rows = [row(&room.buyer)?, row(&room.seller)?];
        Some(Self { room, rows })
    }

    /// The row of a side.
    #[must_use]
    pub fn row(&self, side: Side) -> &Member {
        &self.rows[side as usize]
    }

    /// Puts a newer row in its place.
    pub fn put(&mut self, member: Member) {
        if let Some(side) = self.room.side(&member.user) {
            self.rows[side as usize] = member;
        }
    }

    /// Who has blocked the room.
    #[must_use]
    pub fn blocked_by(&self) -> Option<Side> {
        Side::BOTH.into_iter().find(|side| self.row(*side).blocked)
    }

    /// Up to which message somebody sees nothing any more.
    #[must_use]
    pub fn hidden_to(&self, side: Side) -> u64 {
        self.row(side).hidden_to
    }

    /// A message of the room.
    #[must_use]
    pub fn message(&self, message: &Message) -> MessageBody {
        let from = self.room.side(&message.sender).unwrap_or(Side::Buyer);
        let to = self.row(from.other());
        let receipt = message.reads.iter().any(|receipt| receipt.user == to.user);
        MessageBody {
            _id: message.id.to_string(),
            room_id: self.room.to_string(),
            from: message.sender.to_string(),
            to: to.user.to_string(),
            r#type: message_type(message),
            content: content(message).into_owned(),
            client_message_id: message.client_id.as_deref().map(str::to_owned),
            is_seen: receipt || message.id.at <= to.read_to,
            created_at: time(message.id.at),
            updated_at: time(message.updated_at),
        }
    }

    fn last(&self, side: Side, last: Option<&Message>) -> Option<MessageBody> {
        last.filter(|last| last.id.at > self.hidden_to(side)).map(|last| self.message(last))
    }

    fn buyers(&self, unseen: u64, last: Option<&Message>) -> BuyersSide {
        let row = self.row(Side::Buyer);
        BuyersSide {
            buyer_last_message: self.last(Side::Buyer, last),
            pinned_by_buyer: row.pinned_at.map(time),
            buyer_unseen_messages: unseen,
            buyer_deleted_at: row.hidden_at.map(time),
            deleted_by_buyer: row.hidden_at.is_some(),
        }
    }

    fn sellers(&self, unseen: u64, last: Option<&Message>) -> SellersSide {
        let row = self.row(Side::Seller);
        SellersSide {
            seller_last_message: self.last(Side::Seller, last),
            pinned_by_seller: row.pinned_at.map(time),
            seller_unseen_messages: unseen,
            seller_deleted_at: row.hidden_at.map(time),
            deleted_by_seller: row.hidden_at.is_some(),
        }
    }
}

impl RoomBody {
    fn new(sides: &Sides, conversation: &Conversation) -> Self {
        let extra = Extra::read(&conversation.extra);
        Self {
            _id: sides.room.to_string(),
            r#type: ROOM_TYPE,
            creator: conversation.creator.to_string(),
            buyer: sides.room.buyer.to_string(),
            seller: sides.room.seller.to_string(),
            shop_id: extra.shop_id,
            shop: extra.shop.map(Value::Object),
            buyer_info: extra.buyer_info,
            for_buyer: None,
            for_seller: None,
            blocked_by: sides.blocked_by().map(Side::as_str),
            created_at: time(conversation.created_at),
            updated_at: time(conversation.updated_at),
        }
    }

    /// A room with both its sides.
    #[must_use]
    pub fn whole(
        sides: &Sides,
        conversation: &Conversation,
        unseen: [u64; 2],
        last: Option<&Message>,
    ) -> Self {
        Self {
            for_buyer: Some(sides.buyers(unseen[0], last)),
            for_seller: Some(sides.sellers(unseen[1], last)),
            ..Self::new(sides, conversation)
        }
    }

    /// A room in the list of one side, without what is the other's.
    #[must_use]
    pub fn listed(sides: &Sides, summary: &Summary, side: Side) -> Self {
        let (unseen, last) = (summary.unread, summary.last.as_ref());
        let room = Self::new(sides, &summary.conversation);
        match side {
            Side::Buyer => Self { buyer_info: None, for_buyer: Some(sides.buyers(unseen, last)), ..room },
            Side::Seller => {
                Self { shop_id: None, shop: None, for_seller: Some(sides.sellers(unseen, last)), ..room }
            }
        }
    }
}
