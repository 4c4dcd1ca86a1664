//! Calls about messages: read, unseen, sent, changed.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use schema::Refusal;
use schema::chat::{ChatCommand, ChatReply, ConversationId, Draft, Message, MessageId};

use super::Problem;
use super::gate::{Caller, Found, chat, unexpected};
use super::input::{self, NewContent, NewMessage, parameter};
use super::names::Room;
use super::problem::{Always, OfBody};
use super::replies::{Filters, Messages};
use super::words::{MessageBody, time};
use crate::http::Front;
use crate::http::json::json;
use crate::timestamp;

/// Messages of an answer where the caller does not say.
const PAGE: u32 = 15;
/// Messages that the model reads at once.
const GO: u32 = 100;

/// Which messages, and in which order.
#[derive(Clone, Copy, Debug)]
struct Span {
    before: Option<u64>,
    after: Option<u64>,
    /// The oldest of them, the oldest first; else the newest, the newest first.
    forward: bool,
    limit: u32,
}

/// Reads some messages of a room, as many as there are up to the limit: an answer of this API does not say that there
/// are more.
async fn read(
    front: &Front,
    caller: &Caller,
    conversation: ConversationId,
    span: Span,
    wanted: impl Fn(&Message) -> bool,
) -> Result<Vec<Message>, Problem> {
    let Span { mut before, mut after, forward, limit } = span;
    let mut found = Vec::new();
    loop {
        let left = (limit as usize).saturating_sub(found.len()).min(GO as usize);
        let command =
            ChatCommand::History { conversation, before, after, forward, limit: left.max(1) as u16 };
        let mut page = match chat(front, caller, command).await.map_err(Problem::of)? {
            ChatReply::History(page) => page,
            other => return Err(unexpected(&other)),
        };
        if forward {
            page.messages.reverse();
        }
        let Some(last) = page.messages.last().map(|last| last.id.at) else { return Ok(found) };
        match forward {
            true => after = Some(last),
            false => before = Some(last),
        }
        found.extend(page.messages.into_iter().filter(&wanted));
        if !page.more || found.len() >= limit as usize {
            return Ok(found);
        }
    }
}

/// A time of a query: a text, or milliseconds since the Unix epoch.
fn at(query: Option<&str>, name: &str) -> Result<Option<u64>, Problem> {
    let Some(text) = parameter(query, name) else { return Ok(None) };
    let digits = text.bytes().all(|c| c.is_ascii_digit());
    let ms = if digits { text.parse().ok() } else { timestamp::read(&text) };
    let bad = || Problem::bad(format!("{name} must be a time such as 2026-03-30T10:30:00.123Z"));
    ms.map(Some).ok_or_else(bad)
}

/// A limit of a query: more than `most` is as good as `most`.
fn limit(query: Option<&str>, most: u32) -> Result<u32, Problem> {
    let Some(text) = parameter(query, "limit") else { return Ok(PAGE.min(most)) };
    let number = text.bytes().all(|c| c.is_ascii_digit());
    // Of digits alone, only one that is too great does not fit.
    match if number { text.parse().unwrap_or(u32::MAX) } else { 0 } {
        0 => Err(Problem::bad("limit must be a whole number from 1")),
        limit => Ok(limit.min(most)),
    }
}

/// The room of a query.
fn room(caller: &Caller, query: Option<&str>) -> Result<Room, Problem> {
    let name = parameter(query, "room_id").ok_or_else(|| Problem::bad("Missing 'room_id' field"))?;
    Room::read(&name, caller.id()).ok_or_else(Problem::no_room)
}

fn answer(front: &Front, found: &Found, query: Option<&str>, messages: &[Message]) -> Response {
    let from = parameter(query, "from").map_or_else(|| time(front.clock.unix_ms()), |from| from.into_owned());
    let data: Vec<MessageBody> = messages.iter().map(|message| found.sides.message(message)).collect();
    let filters = Filters { message_count: data.len(), from };
    json(StatusCode::OK, &Messages { room_id: found.sides.room.to_string(), filters, data })
}

/// Messages of a room
///
/// Without those from before the caller deleted the room. For what is older, give the `created_at` of the last one as
/// `from`: nothing is lost or repeated, whatever is said meanwhile.
#[utoipa::path(get, path = "/messages", tag = "trade: messages", security(("userToken" = [])),
    params(("room_id" = String, Query, description = "`<buyer>.<seller>`"),
        ("created_at" = Option<String>, Query, description = "`-1` (if not given): the newest first; `1`: the oldest first"),
        ("limit" = Option<u32>, Query, minimum = 1, description = "Most messages; 15 if not given, and no more than `trade_api.messages_limit`"),
        ("from" = Option<String>, Query, description = "Only what was said before this time"),
        ("to" = Option<String>, Query, description = "Only what was said after this time")),
    responses((status = 200, body = Messages), Always))]
pub async fn history(
    State(front): State<Arc<Front>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.as_deref();
    if parameter(query, "room_id").as_deref() == Some("undefined") {
        // A page that has no room yet asks all the same.
        return Ok(json(StatusCode::OK, &serde_json::json!({"room_id": 0, "filters": {}, "data": []})));
    }
    let room = room(&caller, query)?;
    let forward = match parameter(query, "created_at").as_deref() {
        None | Some("-1") => false,
        Some("1") => true,
        Some(_) => return Err(Problem::bad("created_at must be 1 or -1")),
    };
    let span = Span {
        before: at(query, "from")?,
        after: at(query, "to")?,
        forward,
        limit: limit(query, front.config.trade_api.messages_limit)?,
    };
    let found = Found::find(&front, &caller, &room).await?;
    let messages = read(&front, &caller, room.id(), span, |_| true).await?;
    Ok(answer(&front, &found, query, &messages))
}

/// Messages to the caller that it has not seen
///
/// The oldest first, at most `trade_api.messages_limit`.
#[utoipa::path(get, path = "/messages/unseen", tag = "trade: messages", security(("userToken" = [])),
    params(("room_id" = String, Query, description = "`<buyer>.<seller>`"),
        ("user_id" = Option<String>, Query, description = "The caller's id"),
        ("from" = Option<String>, Query, description = "Only what was said up to this time")),
    responses((status = 200, body = Messages), Always))]
pub async fn unseen(
    State(front): State<Arc<Front>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.as_deref();
    caller.is(parameter(query, "user_id").as_deref())?;
    let room = room(&caller, query)?;
    let up_to = at(query, "from")?;
    let found = Found::find(&front, &caller, &room).await?;
    let side = caller.side_of(&found.sides.room, None)?;
    let own = found.sides.row(side);
    let span = Span {
        before: up_to.map(|at| at.saturating_add(1)),
        after: Some(own.read_to.max(own.hidden_to)).filter(|at| *at > 0),
        forward: true,
        limit: front.config.trade_api.messages_limit,
    };
    let is_unseen = |message: &Message| {
        let seen = message.reads.iter().any(|receipt| receipt.user == own.user);
        message.sender != own.user && !message.deleted && !seen
    };
    let mut messages = read(&front, &caller, room.id(), span, is_unseen).await?;
    messages.truncate(front.config.trade_api.messages_limit as usize);
    Ok(answer(&front, &found, query, &messages))
}

/// Send a message
///
/// It is answered when it is on stable storage, and told to both as over a socket. Where there is no room yet it is made. A
/// client that got no answer sends again with the same `client_message_id`, and gets the message that is stored.
#[utoipa::path(post, path = "/messages", tag = "trade: messages", security(("userToken" = [])),
    request_body = NewMessage,
    responses((status = 200, body = MessageBody), Always, OfBody))]
pub async fn send(
    State(front): State<Arc<Front>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked: NewMessage = input::read(&front, &headers, body, false).await?;
    let (room, draft) = asked.letter(caller.id())?;
    let message = say(&front, &caller, &room, draft).await?;
    let found = Found::find(&front, &caller, &room).await?;
    Ok(json(StatusCode::OK, &found.sides.message(&message)))
}

async fn say(front: &Front, caller: &Caller, room: &Room, draft: Draft) -> Result<Message, Problem> {
    let send = ChatCommand::Send(Box::new(draft));
    let mut reply = chat(front, caller, send.clone()).await;
    if reply == Err(Refusal::NotFound) {
        let new = input::silent_conversation(room);
        match chat(front, caller, ChatCommand::Create(Box::new(new))).await.map_err(Problem::of)? {
            ChatReply::Made { .. } => reply = chat(front, caller, send).await,
            other => return Err(unexpected(&other)),
        }
    }
    match reply.map_err(Problem::of)? {
        ChatReply::Message { message, .. } => Ok(message),
        other => Err(unexpected(&other)),
    }
}

/// Change what one has said
#[utoipa::path(put, path = "/messages/{id}", tag = "trade: messages", security(("userToken" = [])),
    params(("id" = String, Path, description = "The message's `_id`")),
    request_body = NewContent,
    responses((status = 200, body = MessageBody), Always, OfBody))]
pub async fn edit(
    State(front): State<Arc<Front>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let message: MessageId =
        id.ok().and_then(|Path(text)| text.parse().ok()).ok_or_else(Problem::no_message)?;
    let asked: NewContent = input::read(&front, &headers, body, false).await?;
    let content = asked.content()?;
    let find = ChatCommand::Find { conversation: message.conversation };
    let missing = |refusal| match refusal {
        Refusal::NotFound => Problem::no_message(),
        other => Problem::of(other),
    };
    let found = match chat(&front, &caller, find).await.map_err(missing)? {
        ChatReply::Conversation(conversation) => {
            Found::of(conversation).map_err(|_| Problem::no_message())?
        }
        other => return Err(unexpected(&other)),
    };
    match chat(&front, &caller, ChatCommand::Edit { message, content }).await.map_err(missing)? {
        ChatReply::Message { message, .. } => Ok(json(StatusCode::OK, &found.sides.message(&message))),
        other => Err(unexpected(&other)),
    }
}
