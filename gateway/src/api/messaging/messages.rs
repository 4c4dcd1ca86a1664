//! Calls about messages: sent, read, marked as read, changed, taken back.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use schema::Actor;
use schema::chat::{ChatCommand, ChatReply};

use super::Problem;
use super::conversations::{direct, done, limit};
use super::gate::{Told, chat, conversation, message, unexpected};
use super::input::{self, Bounds, NewContent, NewMessage, Place};
use super::problem::Failure;
use super::refused::{Always, OfBody, OfThing};
use super::storage;
use super::words::{DoneBody, MessageBody, Page, UnreadBody};
use crate::auth::credentials;
use crate::http::Front;
use crate::http::client_addr::Peer;
use crate::http::json::json;
use crate::timestamp;

/// Messages of a page where the caller does not say.
const PAGE: u32 = 50;
/// Most messages of a page.
const PAGE_MOST: u32 = 100;

/// Send a message
///
/// It is answered when it is on stable storage. A client that got no answer sends again with the same `Idempotency-Key`
/// (or `clientMessageId`) and gets the message, which is stored and told once.
#[utoipa::path(post, path = "/messages", tag = "messaging: messages", security(("userToken" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "The client's own name for the message; 1 to 255 bytes")),
    request_body = NewMessage,
    responses((status = 201, body = MessageBody), Always, OfBody, OfThing))]
pub async fn send(
    State(front): State<Arc<Front>>,
    Extension(actor): Extension<Actor>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked: NewMessage = input::read(&front, &headers, body).await?;
    let own = front.config.attachments.own_only.then(|| storage::own(&front, &headers, peer)).flatten();
    let bounds = Bounds { user_id: front.config.limits.user_id, own: own.as_deref() };
    let (place, letter) = asked.letter(&actor.key.id, &headers, &bounds)?;
    let conversation = match place {
        Place::Conversation(id) => id,
        Place::User(user) => {
            let new = direct(&actor.key.id, &[user]);
            match chat(&front, actor.clone(), ChatCommand::Create(Box::new(new)), &Told::CONVERSATION).await?
            {
                ChatReply::Made { conversation, .. } => conversation.id,
                other => return Err(unexpected(&other)),
            }
        }
    };
    let command = ChatCommand::Send(Box::new(letter.draft(conversation)));
    said(chat(&front, actor, command, &Told::CONVERSATION).await?, StatusCode::CREATED)
}

fn said(reply: ChatReply, status: StatusCode) -> Result<Response, Problem> {
    match reply {
        ChatReply::Message { message, .. } => Ok(json(status, &MessageBody::sent(&message))),
        other => Err(unexpected(&other)),
    }
}

/// What was said in a conversation
///
/// The newest first. For what is older, give the `nextBefore` of one page as the `before` of the next: nothing is lost
/// or repeated, whatever is said meanwhile.
#[utoipa::path(get, path = "/messages/conversation/{conversationId}", tag = "messaging: messages",
    security(("userToken" = [])),
    params(("conversationId" = String, Path, description = "The conversation's id"),
        ("limit" = Option<u32>, Query, minimum = 1, description = "Most messages; 50 if not given, and no more than 100"),
        ("before" = Option<String>, Query, description = "Only what was created before this time (ISO 8601)",
            example = "2025-11-25T15:00:00.000Z")),
    responses((status = 200, body = Page),
        (status = 400, body = Failure, description = "The limit is no number, or `before` is no time"),
        Always, OfThing))]
pub async fn history(
    State(front): State<Arc<Front>>,
    Extension(actor): Extension<Actor>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let conversation = conversation(id)?;
    let limit = limit(query.as_deref(), PAGE, PAGE_MOST)? as u16;
    let before = time(query.as_deref(), "before")?;
    let command = ChatCommand::History { conversation, before, after: None, forward: false, limit };
    match chat(&front, actor, command, &Told::CONVERSATION).await? {
        ChatReply::History(history) => Ok(json(StatusCode::OK, &Page::from(&history))),
        other => Err(unexpected(&other)),
    }
}

pub(super) fn time(query: Option<&str>, name: &str) -> Result<Option<u64>, Problem> {
    let Some(text) = query.and_then(|query| credentials::parameter(query, name)) else { return Ok(None) };
    let bad = || Problem::bad(format!("{name} must be a time such as 2025-11-25T15:00:00.000Z"));
    timestamp::read(&text).map(Some).ok_or_else(bad)
}

/// One message
#[utoipa::path(get, path = "/messages/{id}", tag = "messaging: messages", security(("userToken" = [])),
    params(("id" = String, Path, description = "The message's id")),
    responses((status = 200, body = MessageBody), Always, OfThing))]
pub async fn find(
    State(front): State<Arc<Front>>,
    Extension(actor): Extension<Actor>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let message = message(id)?;
    match chat(&front, actor, ChatCommand::Message { message }, &Told::MESSAGE).await? {
        ChatReply::Message { message, .. } => Ok(json(StatusCode::OK, &MessageBody::read(&message))),
        other => Err(unexpected(&other)),
    }
}

/// Change what one has said
#[utoipa::path(put, path = "/messages/{id}", tag = "messaging: messages", security(("userToken" = [])),
    params(("id" = String, Path, description = "The message's id")),
    request_body = NewContent,
    responses((status = 200, body = MessageBody), Always, OfBody, OfThing))]
pub async fn edit(
    State(front): State<Arc<Front>>,
    Extension(actor): Extension<Actor>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let message = message(id)?;
    let asked: NewContent = input::read(&front, &headers, body).await?;
    let command = ChatCommand::Edit { message, content: asked.content()? };
    said(chat(&front, actor, command, &Told::EDIT).await?, StatusCode::OK)
}

/// Take back what one has said
///
/// It stays in its place, empty and with `isDeleted`. Again is no error.
#[utoipa::path(delete, path = "/messages/{id}", tag = "messaging: messages", security(("userToken" = [])),
    params(("id" = String, Path, description = "The message's id")),
    responses((status = 200, body = DoneBody), Always, OfThing))]
pub async fn remove(
    State(front): State<Arc<Front>>,
    Extension(actor): Extension<Actor>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let message = message(id)?;
    match chat(&front, actor, ChatCommand::Remove { message }, &Told::REMOVE).await? {
        ChatReply::Message { .. } => done(ChatReply::Done, "Message deleted successfully"),
        other => Err(unexpected(&other)),
    }
}

/// Mark a message as read
#[utoipa::path(post, path = "/messages/{id}/read", tag = "messaging: messages", security(("userToken" = [])),
    params(("id" = String, Path, description = "The message's id")),
    responses((status = 200, body = DoneBody),
        (status = 400, body = Failure, description = "Too many were read one by one with gaps between them: mark all as read"),
        Always, OfThing))]
pub async fn read(
    State(front): State<Arc<Front>>,
    Extension(actor): Extension<Actor>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let message = message(id)?;
    done(chat(&front, actor, ChatCommand::Read { message }, &Told::READ).await?, "Message marked as read")
}

/// Mark all messages of a conversation as read
#[utoipa::path(post, path = "/messages/conversation/{conversationId}/read", tag = "messaging: messages",
    security(("userToken" = [])),
    params(("conversationId" = String, Path, description = "The conversation's id")),
    responses((status = 200, body = DoneBody), Always, OfThing))]
pub async fn read_all(
    State(front): State<Arc<Front>>,
    Extension(actor): Extension<Actor>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let conversation = conversation(id)?;
    let command = ChatCommand::ReadAll { conversation, up_to: None };
    done(chat(&front, actor, command, &Told::CONVERSATION).await?, "All messages marked as read")
}

/// How many messages of a conversation the caller has not read
#[utoipa::path(get, path = "/messages/conversation/{conversationId}/unread-count", tag = "messaging: messages",
    security(("userToken" = [])),
    params(("conversationId" = String, Path, description = "The conversation's id")),
    responses((status = 200, body = UnreadBody), Always, OfThing))]
pub async fn unread(
    State(front): State<Arc<Front>>,
    Extension(actor): Extension<Actor>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let conversation = conversation(id)?;
    match chat(&front, actor, ChatCommand::Unread { conversation }, &Told::CONVERSATION).await? {
        ChatReply::Count(unread_count) => {
            let body = UnreadBody { conversation_id: conversation.to_string(), unread_count };
            Ok(json(StatusCode::OK, &body))
        }
        other => Err(unexpected(&other)),
    }
}
