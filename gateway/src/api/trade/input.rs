//! What clients may say to the buyer/seller API, in a body, a query or an event, and what is made of it.
//!
//! Ids may come as whole numbers, as the API's clients have them; they are texts here and on the way back.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use http::{HeaderMap, StatusCode};
use schema::Id;
use schema::chat::{Draft, Kind, NewMember};
use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Problem;
use super::extra::{self, BuyerInfo, Extra};
use super::names::{Room, Side};
use super::words::{MESSAGE_TYPES, ROOM_TYPE};
use crate::api::drafts::{CLIENT_ID, CONTENT};
use crate::auth::credentials;
use crate::http::json::is_json;
use crate::http::{Front, body, strict};

/// An id: a text, or a whole number, which is its digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        reader.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a whole number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Text, E> {
        Ok(Text(number.to_string()))
    }
}

/// A room to make.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TradeNewRoom)]
pub struct NewRoom {
    /// `BS`, and that if nothing is said.
    #[schema(example = "BS")]
    r#type: Option<String>,
    /// Who buys.
    #[schema(value_type = String, example = "42")]
    buyer: Text,
    /// Who sells.
    #[schema(value_type = String, example = "7")]
    seller: Text,
    /// The shop that it is about: a text or a number.
    #[schema(example = 3)]
    shop_id: Option<Value>,
    /// Who makes it: the caller, and that if nothing is said.
    #[schema(value_type = Option<String>, example = "42")]
    creator: Option<Text>,
    /// What is known of the shop beside its id, such as its `name`.
    shop: Option<Map<String, Value>>,
    /// What is known of the buyer.
    #[schema(value_type = Option<BuyerInfo>)]
    buyer_info: Option<Map<String, Value>>,
}

/// Who acts, and how.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = TradeActing)]
pub struct Acting {
    /// The caller's id.
    #[schema(value_type = Option<String>, example = "7")]
    pub user_id: Option<Text>,
    /// The caller's side: `BUYER` or `SELLER`.
    #[schema(example = "SELLER")]
    pub role: Option<String>,
}

/// Whether to block.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TradeBlock)]
pub struct Block {
    /// To block, or no longer.
    #[schema(example = true)]
    pub block: bool,
    /// The caller's side: `BUYER` or `SELLER`.
    #[schema(example = "SELLER")]
    pub role: Option<String>,
}

/// A message to send.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TradeNewMessage)]
pub struct NewMessage {
    /// Where: `<buyer>.<seller>`.
    #[schema(example = "42.7")]
    room_id: String,
    /// The sender, who is the caller.
    #[schema(value_type = String, example = "42")]
    from: Text,
    /// The other one of the room.
    #[schema(value_type = String, example = "7")]
    to: Text,
    /// `TEXT` (if nothing is said), `IMAGE` or `EMOJI`.
    #[schema(example = "TEXT")]
    r#type: Option<String>,
    /// What is said; 1 to 10,000 characters.
    #[schema(example = "Is it still there?")]
    content: String,
    /// The sender's own name for it: sent again with the same one, it is stored once. At most 255 bytes.
    #[schema(value_type = Option<String>, example = "8e03978e")]
    client_message_id: Option<Text>,
}

/// What a message is to say.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = TradeEdit)]
pub struct NewContent {
    /// 1 to 10,000 characters.
    #[schema(example = "Is it still for sale?")]
    content: String,
}

/// Where somebody is, and who is spoken to; the core of most events.
#[derive(Debug, Deserialize)]
pub struct Toward {
    /// Where.
    pub room_id: String,
    /// By whom.
    pub from: Text,
    /// To whom.
    pub to: Text,
}

/// Reads a body; one that may be left out reads as `{}`.
pub async fn read<T: serde::de::DeserializeOwned>(
    front: &Front,
    headers: &HeaderMap,
    body: Body,
    may_be_empty: bool,
) -> Result<T, Problem> {
    let bytes = body::read(body, front.config.http.body_bytes.bytes()).await?;
    let empty = may_be_empty && bytes.iter().all(u8::is_ascii_whitespace);
    if !empty && !is_json(headers) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "Content-Type must be application/json",
        ));
    }
    let bytes = if empty { &b"{}"[..] } else { &bytes[..] };
    strict::object(bytes).map_err(|error| Problem::bad(format!("The body cannot be used: {error}")))
}

/// A parameter of a query that is there and not empty.
#[must_use]
pub fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<Cow<'a, str>> {
    credentials::parameter(query?, name).filter(|value| !value.is_empty())
}

/// The id of a user of at most `longest` characters.
///
/// # Errors
/// When it can be no id.
pub fn user(longest: u16, field: &str, text: &str) -> Result<Id, Problem> {
    if text.chars().count() > usize::from(longest) {
        return Err(Problem::bad(format!("{field}: an id is too long")));
    }
    Id::new(text).map_err(|error| Problem::bad(format!("{field}: {error}")))
}

/// What a message may say.
///
/// # Errors
/// When it is empty or too long.
pub fn content(text: &str) -> Result<Arc<str>, Problem> {
    if text.is_empty() {
        return Err(Problem::bad("content must not be empty"));
    }
    if text.chars().count() > CONTENT {
        return Err(Problem::bad(format!("content must have at most {CONTENT} characters")));
    }
    Ok(text.into())
}

impl NewContent {
    /// What it says now.
    ///
    /// # Errors
    /// When it is empty or too long.
    pub fn content(&self) -> Result<Arc<str>, Problem> {
        content(&self.content)
    }
}

/// A room that may be made.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// Its two.
    pub room: Room,
    /// Who makes it.
    pub side: Side,
    /// What it keeps.
    pub extra: Extra,
}

/// Two that are one.
pub const SAME: &str = "Buyer is the same to seller";

impl NewRoom {
    /// What it is to be, made by `caller`.
    ///
    /// # Errors
    /// When it cannot be, or the caller is not in it.
    pub fn plan(self, longest: u16, caller: &Id) -> Result<Plan, Problem> {
        if self.r#type.as_deref().is_some_and(|kind| kind != ROOM_TYPE) {
            return Err(Problem::bad("type must be BS"));
        }
        let buyer = user(longest, "buyer", &self.buyer.0)?;
        let seller = user(longest, "seller", &self.seller.0)?;
        if buyer == seller {
            return Err(Problem::new(StatusCode::OK, SAME));
        }
        if self.creator.is_some_and(|creator| !caller.with_str(|caller| caller == creator.0)) {
            return Err(Problem::forbidden());
        }
        let room = Room { buyer, seller };
        let side = room.side(caller).ok_or_else(Problem::forbidden)?;
        let plain = |id: &Value| matches!(id, Value::String(_) | Value::Number(_));
        if self.shop_id.as_ref().is_some_and(|id| !plain(id)) {
            return Err(Problem::bad("shop_id must be a text or a number"));
        }
        let mut shop = self.shop.unwrap_or_default();
        if let Some(id) = &self.shop_id {
            shop.insert("id".into(), id.clone());
        }
        let shop = Some(shop).filter(|shop| !shop.is_empty());
        let info = self.buyer_info.map(|info| serde_json::from_value::<BuyerInfo>(Value::Object(info)));
        let buyer_info = info.transpose().map_err(|error| Problem::bad(format!("buyer_info: {error}")))?;
        let extra = Extra { shop_id: self.shop_id, shop, buyer_info, silent: false };
        if extra.bytes().len() > extra::MOST {
            return Err(Problem::bad("shop and buyer_info must have at most 16 KiB"));
        }
        Ok(Plan { room, side, extra })
    }
}

impl Plan {
    /// The conversation that it is to be.
    #[must_use]
    pub fn conversation(&self) -> schema::chat::NewConversation {
        conversation(&self.room, &self.extra)
    }
}

/// A room that is made by its first message.
#[must_use]
pub fn silent_conversation(room: &Room) -> schema::chat::NewConversation {
    conversation(room, &Extra { silent: true, ..Extra::default() })
}

fn conversation(room: &Room, extra: &Extra) -> schema::chat::NewConversation {
    let member = |side: Side| NewMember { user: room.on(side).clone(), role: side.role() };
    schema::chat::NewConversation {
        id: Some(room.id()),
        kind: Kind::Trade,
        name: None,
        members: Side::BOTH.map(member).into(),
        extra: extra.bytes().into(),
    }
}

impl Toward {
    /// The room, if `caller` speaks in it to the other one.
    ///
    /// # Errors
    /// When the room is none, or `from` and `to` are not its two, the caller first.
    pub fn room(&self, caller: &Id) -> Result<Room, Problem> {
        if !caller.with_str(|caller| caller == self.from.0) {
            return Err(Problem::forbidden());
        }
        let room = Room::read(&self.room_id, caller).ok_or_else(Problem::no_room)?;
        let side = room.side(caller).ok_or_else(Problem::forbidden)?;
        let to = room.on(side.other()).with_str(|other| other == self.to.0);
        if to { Ok(room) } else { Err(Problem::bad("to must be the other one of the room")) }
    }
}

impl NewMessage {
    /// The message and its room, if `caller` may say it.
    ///
    /// # Errors
    /// When it cannot be said.
    pub fn letter(self, caller: &Id) -> Result<(Room, Draft), Problem> {
        let toward = Toward { room_id: self.room_id, from: self.from, to: self.to };
        let room = toward.room(caller)?;
        let kind = match self.r#type.as_deref() {
            None => 0,
            Some(word) => MESSAGE_TYPES
                .iter()
                .position(|kind| *kind == word)
                .ok_or_else(|| Problem::bad("type must be TEXT, IMAGE or EMOJI"))?,
        };
        let client_id = self.client_message_id.map(|id| id.0);
        if client_id.as_ref().is_some_and(|id| !(1..=CLIENT_ID).contains(&id.len())) {
            return Err(Problem::bad(format!("client_message_id must have 1 to {CLIENT_ID} bytes")));
        }
        let draft = Draft {
            conversation: room.id(),
            client_id: client_id.map(Into::into),
            kind: kind as u8,
            content: content(&self.content)?,
            attachment: None,
        };
        Ok((room, draft))
    }
}
