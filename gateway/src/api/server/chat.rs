//! Conversations and their messages, for back ends: as the user that `as` names, or as the service itself, which may
//! read, make and change all conversations of its realm, but says nothing in them.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use schema::chat::{
    ChatCommand, ChatReply, ConversationId, Draft, Kind, ListCursor, NewConversation, NewMember,
};
use schema::{Actor, Id};

use super::chat_words::{
    ConversationBody, ConversationList, ConversationRow, DoneBody, EditBody, HistoryBody, MemberBody,
    MessageBody, NewConversationBody, NewMemberBody, NewMessageBody, NextPage, UnreadBody, role,
};
use super::words::Failure;
use super::{Problem, part, read, service, user_id};
use crate::api::drafts::{self, whose};
use crate::auth::credentials;
use crate::http::Front;
use crate::http::client_addr::Client;
use crate::http::json::json;
use crate::timestamp;

/// Rows of a list and messages of a page where the caller does not say.
const LIMIT: u32 = 100;
/// Most rows of a list.
const LIST_MOST: u32 = 1_000;
/// Most messages of a page.
const PAGE_MOST: u32 = 100;
/// Bytes of what is kept with a conversation.
const EXTRA: usize = 16 * 1024;

/// A service that calls, and the user it acts for.
struct Caller<'a> {
    front: &'a Front,
    actor: Actor,
    acting: Option<Id>,
}

impl<'a> Caller<'a> {
    fn of(
        front: &'a Front,
        headers: &HeaderMap,
        client: Client,
        query: Option<&str>,
    ) -> Result<Self, Problem> {
        let actor = service(front, headers, client)?;
        let named = query.and_then(|query| credentials::parameter(query, "as"));
        let acting = named.map(|text| user_id(front, &text)).transpose()?;
        Ok(Self { front, actor, acting })
    }

    async fn chat(self, command: ChatCommand) -> Result<ChatReply, Problem> {
        Ok(self.front.inquirer.chat(self.actor, self.acting, command).await?)
    }

    /// What only a user can do.
    fn user(&self) -> Result<&Id, Problem> {
        self.acting.as_ref().ok_or_else(|| Problem::invalid("as: name the user to act for"))
    }
}

fn unexpected(reply: &ChatReply) -> Problem {
    tracing::error!(?reply, "a shard gave the wrong kind of reply: this is a bug in Muster");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "internal error")
}

/// A conversation or a message of the path.
fn id<T: std::str::FromStr>(path: Result<Path<String>, PathRejection>) -> Result<T, Problem> {
    part(path)?.parse().map_err(|_| schema::Refusal::NotFound.into())
}

fn time(query: Option<&str>, name: &str) -> Result<Option<u64>, Problem> {
    let Some(text) = query.and_then(|query| credentials::parameter(query, name)) else { return Ok(None) };
    let bad = || Problem::invalid(format!("{name} must be a time such as 2026-03-30T10:30:00.123Z"));
    timestamp::read(&text).map(Some).ok_or_else(bad)
}

/// The place of a list to go on from.
fn cursor(query: Option<&str>) -> Result<Option<ListCursor>, Problem> {
    let id = query.and_then(|query| credentials::parameter(query, "beforeId"));
    let bad = || Problem::invalid("beforeId must be the id of a conversation");
    let conversation = id.map(|id| id.parse().map_err(|_| bad())).transpose()?;
    match time(query, "before")? {
        Some(updated_at) => Ok(Some(ListCursor { updated_at, conversation })),
        None if conversation.is_some() => Err(Problem::invalid("beforeId needs before")),
        None => Ok(None),
    }
}

fn limit(query: Option<&str>, most: u32) -> Result<u32, Problem> {
    match query.and_then(|query| credentials::parameter(query, "limit")) {
        None => Ok(LIMIT),
        Some(text) => (text.parse().ok())
            .filter(|limit| (1..=most).contains(limit))
            .ok_or_else(|| Problem::invalid(format!("limit must be a whole number from 1 to {most}"))),
    }
}

fn member(front: &Front, body: &NewMemberBody) -> Result<NewMember, Problem> {
    let user = user_id(front, &body.user_id)?;
    let role = role(body.role.as_deref())
        .ok_or_else(|| Problem::invalid("role must be \"member\", \"buyer\" or \"seller\""))?;
    Ok(NewMember { user, role })
}

fn done(reply: ChatReply) -> Result<Response, Problem> {
    match reply {
        ChatReply::Done | ChatReply::Message { .. } => Ok(json(StatusCode::OK, &DoneBody { done: true })),
        other => Err(unexpected(&other)),
    }
}

fn said(reply: ChatReply, status: StatusCode) -> Result<Response, Problem> {
    match reply {
        ChatReply::Message { message, .. } => Ok(json(status, &MessageBody::from(&message))),
        other => Err(unexpected(&other)),
    }
}

/// Make a conversation
///
/// Or find the one that is there: the direct one of two users, or one that was made with the same `key`.
#[utoipa::path(post, path = "/conversations", tag = "server", security(("serviceToken" = [])),
    params(("as" = Option<String>, Query, description = "The user who makes it, and is in it")),
    request_body = NewConversationBody,
    responses((status = 200, body = ConversationBody, description = "It was there"),
        (status = 201, body = ConversationBody, description = "It is new"),
        (status = 409, body = Failure, description = "The key was used for a conversation of others"),
        super::Refused, super::RefusedBody))]
pub async fn create(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Problem> {
    let caller = Caller::of(&front, &headers, client, query.as_deref())?;
    let asked: NewConversationBody = read(&front, body).await?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == asked.kind);
    let kind = kind.ok_or_else(|| Problem::invalid("kind must be direct, group, trade or feed"))?;
    let members =
        asked.members.iter().map(|body| member(&front, body)).collect::<Result<Vec<NewMember>, _>>()?;
    let extra = asked.extra.as_ref().map_or("", |extra| extra.get());
    if extra.len() > EXTRA {
        return Err(Problem::invalid("extra must have at most 16 KiB"));
    }
    if asked.key.as_ref().is_some_and(|key| key.is_empty() || key.len() > drafts::CLIENT_ID) {
        return Err(Problem::invalid("key must have 1 to 255 bytes"));
    }
    let key = asked.key.as_deref().filter(|_| kind != Kind::Direct);
    let new = NewConversation {
        id: key.map(|key| ConversationId::natural(kind, &["key", key])),
        kind,
        name: asked.name.as_deref().map(Into::into),
        members,
        extra: extra.as_bytes().into(),
    };
    match caller.chat(ChatCommand::Create(Box::new(new))).await? {
        ChatReply::Made { conversation, new } => {
            let status = if new { StatusCode::CREATED } else { StatusCode::OK };
            Ok(json(status, &ConversationBody::from(&*conversation)))
        }
        other => Err(unexpected(&other)),
    }
}

/// One conversation
#[utoipa::path(get, path = "/conversations/{id}", tag = "server", security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The conversation's id"),
        ("as" = Option<String>, Query, description = "The user who asks; the service itself if not given")),
    responses((status = 200, body = ConversationBody), super::Refused, super::RefusedMissing))]
pub async fn find(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let caller = Caller::of(&front, &headers, client, query.as_deref())?;
    match caller.chat(ChatCommand::Find { conversation: id(path)? }).await? {
        ChatReply::Conversation(conversation) => {
            Ok(json(StatusCode::OK, &ConversationBody::from(&*conversation)))
        }
        other => Err(unexpected(&other)),
    }
}

/// A user's conversations
#[utoipa::path(get, path = "/users/{id}/conversations", tag = "server", security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The user's id"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most rows; 100 if not given"),
        ("before" = Option<String>, Query, description = "The `before` of the `next` of the page that came before"),
        ("beforeId" = Option<String>, Query, description = "Its `beforeId`")),
    responses((status = 200, body = ConversationList), super::Refused))]
pub async fn list(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let actor = service(&front, &headers, client)?;
    let acting = Some(user_id(&front, &part(path)?)?);
    let limit = limit(query.as_deref(), LIST_MOST)?;
    let caller = Caller { front: &front, actor, acting };
    let after = cursor(query.as_deref())?;
    match caller.chat(ChatCommand::List { kinds: 0, limit, after }).await? {
        ChatReply::Summaries { rows, more } => {
            let next = rows.last().filter(|_| more).map(|last| NextPage::of(&ListCursor::of(last)));
            let conversations = rows.iter().map(ConversationRow::from).collect();
            Ok(json(StatusCode::OK, &ConversationList { conversations, more, next }))
        }
        other => Err(unexpected(&other)),
    }
}

/// Delete a conversation
///
/// With all that was said in it.
#[utoipa::path(delete, path = "/conversations/{id}", tag = "server", security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The conversation's id"),
        ("as" = Option<String>, Query, description = "The user who deletes it; the service itself if not given")),
    responses((status = 200, body = DoneBody), super::Refused, super::RefusedMissing))]
pub async fn delete(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let caller = Caller::of(&front, &headers, client, query.as_deref())?;
    done(caller.chat(ChatCommand::Delete { conversation: id(path)? }).await?)
}

/// Add a member to a group
#[utoipa::path(post, path = "/conversations/{id}/members", tag = "server", security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The conversation's id"),
        ("as" = Option<String>, Query, description = "The user who adds; the service itself if not given")),
    request_body = NewMemberBody,
    responses((status = 201, body = MemberBody),
        (status = 409, body = Failure, description = "The user is a member already"),
        super::Refused, super::RefusedMissing, super::RefusedBody))]
pub async fn add(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Problem> {
    let caller = Caller::of(&front, &headers, client, query.as_deref())?;
    let conversation = id(path)?;
    let asked: NewMemberBody = read(&front, body).await?;
    let NewMember { user, role } = member(&front, &asked)?;
    match caller.chat(ChatCommand::AddMember { conversation, user, role }).await? {
        ChatReply::Member { member, .. } => Ok(json(StatusCode::CREATED, &MemberBody::from(&member))),
        other => Err(unexpected(&other)),
    }
}

/// Take a member out of a group
#[utoipa::path(delete, path = "/conversations/{id}/members/{userId}", tag = "server",
    security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The conversation's id"),
        ("userId" = String, Path, description = "The member's user id"),
        ("as" = Option<String>, Query, description = "The user who does it; the service itself if not given")),
    responses((status = 200, body = DoneBody), super::Refused, super::RefusedMissing))]
pub async fn remove_member(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    path: Result<Path<(String, String)>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let caller = Caller::of(&front, &headers, client, query.as_deref())?;
    let missing = || Problem::from(schema::Refusal::NotFound);
    let Path((conversation, user)) = path.map_err(|_| missing())?;
    let conversation = conversation.parse().map_err(|_| missing())?;
    let member = whose(conversation, &user).ok_or_else(missing)?;
    done(caller.chat(ChatCommand::RemoveMember { conversation, member }).await?)
}

/// Say something as a user
///
/// It is answered when it is on stable storage. Sent again with the same `clientMessageId` (or `Idempotency-Key`), it is
/// stored and told once, and answered 200 with the first.
#[utoipa::path(post, path = "/conversations/{id}/messages", tag = "server", security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The conversation's id"),
        ("as" = String, Query, description = "The user who says it"),
        ("Idempotency-Key" = Option<String>, Header, description = "The caller's own name for it; 1 to 255 bytes")),
    request_body = NewMessageBody,
    responses((status = 200, body = MessageBody, description = "It was sent before"),
        (status = 201, body = MessageBody),
        super::Refused, super::RefusedMissing, super::RefusedBody))]
pub async fn send(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Problem> {
    let caller = Caller::of(&front, &headers, client, query.as_deref())?;
    caller.user()?;
    let conversation = id(path)?;
    let asked: NewMessageBody = read(&front, body).await?;
    let (url, kind) = (asked.attachment_url.as_deref(), asked.attachment_type.as_deref());
    let attachment = drafts::attachment(url, kind, None)?;
    let text = asked.content.as_deref().unwrap_or_default();
    let content = drafts::content(text, attachment.is_some())?;
    let client_id = drafts::client_id(&headers, asked.client_message_id.as_deref())?;
    let draft = Draft { conversation, client_id, kind: 0, content, attachment };
    match caller.chat(ChatCommand::Send(Box::new(draft))).await? {
        reply @ ChatReply::Message { again: true, .. } => said(reply, StatusCode::OK),
        reply => said(reply, StatusCode::CREATED),
    }
}

/// What was said
///
/// The newest first. To catch up, give `after` and `order=forward`, and go on from the newest that came.
#[utoipa::path(get, path = "/conversations/{id}/messages", tag = "server", security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The conversation's id"),
        ("as" = Option<String>, Query, description = "The user who asks; the service itself if not given"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "Most messages; 100 if not given"),
        ("before" = Option<String>, Query, description = "Only what was created before this time"),
        ("after" = Option<String>, Query, description = "Only what was created after this time"),
        ("order" = Option<String>, Query, description = "`forward`: of what fits, the oldest (still newest first)")),
    responses((status = 200, body = HistoryBody), super::Refused, super::RefusedMissing))]
pub async fn history(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.as_deref();
    let caller = Caller::of(&front, &headers, client, query)?;
    let conversation = id(path)?;
    let forward = match query.and_then(|query| credentials::parameter(query, "order")).as_deref() {
        None | Some("backward") => false,
        Some("forward") => true,
        Some(_) => return Err(Problem::invalid("order must be \"forward\" or \"backward\"")),
    };
    let (before, after) = (time(query, "before")?, time(query, "after")?);
    let limit = limit(query, PAGE_MOST)? as u16;
    match caller.chat(ChatCommand::History { conversation, before, after, forward, limit }).await? {
        ChatReply::History(history) => {
            let messages = history.messages.iter().map(MessageBody::from).collect();
            Ok(json(StatusCode::OK, &HistoryBody { messages, more: history.more }))
        }
        other => Err(unexpected(&other)),
    }
}

/// Change a message
#[utoipa::path(put, path = "/messages/{id}", tag = "server", security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The message's id"),
        ("as" = Option<String>, Query, description = "Its sender; the service itself if not given")),
    request_body = EditBody,
    responses((status = 200, body = MessageBody), super::Refused, super::RefusedMissing, super::RefusedBody))]
pub async fn edit(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
    body: Body,
) -> Result<Response, Problem> {
    let caller = Caller::of(&front, &headers, client, query.as_deref())?;
    let message = id(path)?;
    let asked: EditBody = read(&front, body).await?;
    let content = drafts::content(&asked.content, false)?;
    said(caller.chat(ChatCommand::Edit { message, content }).await?, StatusCode::OK)
}

/// Take a message back
#[utoipa::path(delete, path = "/messages/{id}", tag = "server", security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The message's id"),
        ("as" = Option<String>, Query, description = "Its sender; the service itself if not given")),
    responses((status = 200, body = DoneBody), super::Refused, super::RefusedMissing))]
pub async fn remove(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let caller = Caller::of(&front, &headers, client, query.as_deref())?;
    done(caller.chat(ChatCommand::Remove { message: id(path)? }).await?)
}

/// A user has read everything
#[utoipa::path(post, path = "/conversations/{id}/read", tag = "server", security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The conversation's id"),
        ("as" = String, Query, description = "The user who has read it")),
    responses((status = 200, body = DoneBody), super::Refused, super::RefusedMissing))]
pub async fn read_all(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let caller = Caller::of(&front, &headers, client, query.as_deref())?;
    caller.user()?;
    done(caller.chat(ChatCommand::ReadAll { conversation: id(path)?, up_to: None }).await?)
}

/// How much a user has not read
#[utoipa::path(get, path = "/conversations/{id}/unread", tag = "server", security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The conversation's id"),
        ("as" = String, Query, description = "The user")),
    responses((status = 200, body = UnreadBody), super::Refused, super::RefusedMissing))]
pub async fn unread(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let caller = Caller::of(&front, &headers, client, query.as_deref())?;
    caller.user()?;
    match caller.chat(ChatCommand::Unread { conversation: id(path)? }).await? {
        ChatReply::Count(unread) => Ok(json(StatusCode::OK, &UnreadBody { unread })),
        other => Err(unexpected(&other)),
    }
}
