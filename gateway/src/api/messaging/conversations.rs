//! Calls about conversations: made, found, listed, renamed, joined, left, deleted.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::header::LINK;
use http::{HeaderMap, HeaderValue, StatusCode};
use schema::chat::{ChatCommand, ChatReply, ConversationId, Kind, ListCursor, NewMember, Role, Summary};
use schema::{Actor, Id};

use super::Problem;
use super::gate::{Told, chat, conversation, unexpected};
use super::input::{self, NewConversation, NewParticipants, Rename};
use super::messages::time;
use super::problem::Failure;
use super::refused::{Always, OfBody, OfThing};
use super::words::{Added, ConversationBody, ConversationRow, DoneBody, ParticipantBody};
use crate::api::drafts::{client_id, whose};
use crate::auth::credentials;
use crate::http::Front;
use crate::http::json::json;
use crate::timestamp::Millis;

/// Most rows of a list; so many there are if not asked for fewer.
const LIST_MOST: u32 = 1_000;

/// The kinds that this API shows.
pub const KINDS: u8 = 1 << Kind::Direct as u8 | 1 << Kind::Group as u8;

/// Make a conversation
///
/// Direct ones there are one for each two people: where it is there already, it is the answer. With an `Idempotency-Key` a
/// group is made once, however often it is asked for.
#[utoipa::path(post, path = "/conversations", tag = "messaging: conversations", security(("userToken" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "The client's own name for a group; 1 to 255 bytes")),
    request_body = NewConversation,
    responses((status = 201, body = ConversationBody),
        (status = 403, body = Failure, description = "The same key made a group that the caller has left"),
        (status = 409, body = Failure, description = "The same key made something else"),
        Always, OfBody))]
pub async fn create(
    State(front): State<Arc<Front>>,
    Extension(actor): Extension<Actor>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked: NewConversation = input::read(&front, &headers, body).await?;
    let plan = asked.plan(front.config.limits.user_id, &actor.key.id)?;
    let key = client_id(&headers, None)?;
    let caller = actor.key.id.clone();
    let new = match plan.name {
        None => direct(&caller, &plan.others),
        Some(name) => schema::chat::NewConversation {
            // The same caller, the same key, the same id: the home of it sees that it was made before.
            id: key
                .map(|key| caller.with_str(|caller| ConversationId::natural(Kind::Group, &[caller, &key]))),
            kind: Kind::Group,
            name: Some(name),
            members: members(&plan.others),
            extra: [].into(),
        },
    };
    let told = Told { conflict: "This key was used for another conversation", ..Told::CONVERSATION };
    match chat(&front, actor, ChatCommand::Create(Box::new(new)), &told).await? {
        ChatReply::Made { conversation, .. } => {
            Ok(json(StatusCode::CREATED, &ConversationBody::from(&*conversation)))
        }
        other => Err(unexpected(&other)),
    }
}

/// The direct conversation of the caller and one more.
#[must_use]
pub fn direct(caller: &Id, others: &[Id]) -> schema::chat::NewConversation {
    schema::chat::NewConversation {
        id: others.first().map(|other| ConversationId::of_pair(caller, other)),
        kind: Kind::Direct,
        name: None,
        members: members(others),
        extra: [].into(),
    }
}

fn members(users: &[Id]) -> Vec<NewMember> {
    users.iter().map(|user| NewMember { user: user.clone(), role: Role::Member }).collect()
}

/// The caller's conversations
///
/// The ones written to last first, at most 1,000. For what stands behind the last of them, give its `updatedAt` as
/// `before` and its `id` as `beforeId`: where there is more, the answer's `Link` header has that address
/// (`rel="next"`). What is written to meanwhile moves to the front: it is in the first page, asked for anew.
#[utoipa::path(get, path = "/conversations", tag = "messaging: conversations", security(("userToken" = [])),
    params(("limit" = Option<u32>, Query, minimum = 1, description = "Most rows; 1,000 if not given, and no more than that"),
        ("before" = Option<String>, Query, description = "Only what was last written to before this time (ISO 8601)",
            example = "2025-11-25T15:40:00.000Z"),
        ("beforeId" = Option<String>, Query, description = "With `before`: of what was last written to at just that \
            time, what stands behind this conversation, too")),
    responses((status = 200, body = Vec<ConversationRow>,
            headers(("Link" = Option<String>, description = "The address of the next page, where there is one: `<…>; rel=\"next\"`"))),
        (status = 400, body = Failure, description = "The limit is no number, `before` is no time, or `beforeId` is no conversation's id"),
        Always))]
pub async fn list(
    State(front): State<Arc<Front>>,
    Extension(actor): Extension<Actor>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let limit = limit(query.as_deref(), LIST_MOST, LIST_MOST)?;
    let after = cursor(query.as_deref())?;
    let command = ChatCommand::List { kinds: KINDS, limit, after };
    match chat(&front, actor, command, &Told::CONVERSATION).await? {
        ChatReply::Summaries { rows, more } => {
            let next = rows.last().filter(|_| more).map(|last| next_page(&front, last, limit));
            let rows: Vec<_> = rows.iter().map(ConversationRow::from).collect();
            let mut answer = json(StatusCode::OK, &rows);
            if let Some(Ok(next)) = next.map(HeaderValue::try_from) {
                answer.headers_mut().insert(LINK, next);
            }
            Ok(answer)
        }
        other => Err(unexpected(&other)),
    }
}

/// The place of a list that a query asks to go on from.
fn cursor(query: Option<&str>) -> Result<Option<ListCursor>, Problem> {
    let id = query.and_then(|query| credentials::parameter(query, "beforeId"));
    let bad = || Problem::bad("beforeId must be the id of a conversation");
    let conversation = id.map(|id| id.parse().map_err(|_| bad())).transpose()?;
    match time(query, "before")? {
        Some(updated_at) => Ok(Some(ListCursor { updated_at, conversation })),
        None if conversation.is_some() => {
            Err(Problem::bad("beforeId needs before: the updatedAt of that row"))
        }
        None => Ok(None),
    }
}

/// Where the rows behind this one are (RFC 8288).
fn next_page(front: &Front, last: &Summary, limit: u32) -> String {
    let base = &front.config.messaging_api.base_path;
    let (at, id) = (Millis(last.conversation.updated_at), last.conversation.id);
    format!("<{base}/conversations?limit={limit}&before={at}&beforeId={id}>; rel=\"next\"")
}

/// A limit of a query: more than `most` is as good as `most`.
pub(super) fn limit(query: Option<&str>, default: u32, most: u32) -> Result<u32, Problem> {
    let Some(text) = query.and_then(|query| credentials::parameter(query, "limit")) else {
        return Ok(default);
    };
    let number = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    // Of digits alone, only one that is too great does not fit.
    let limit = if number { text.parse().unwrap_or(u32::MAX) } else { 0 };
    if limit == 0 {
        return Err(Problem::bad("limit must be a whole number from 1"));
    }
    Ok(limit.min(most))
}

/// One conversation
#[utoipa::path(get, path = "/conversations/{id}", tag = "messaging: conversations", security(("userToken" = [])),
    params(("id" = String, Path, description = "The conversation's id")),
    responses((status = 200, body = ConversationBody), Always, OfThing))]
pub async fn find(
    State(front): State<Arc<Front>>,
    Extension(actor): Extension<Actor>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let conversation = conversation(id)?;
    found(chat(&front, actor, ChatCommand::Find { conversation }, &Told::CONVERSATION).await?)
}

fn found(reply: ChatReply) -> Result<Response, Problem> {
    match reply {
        ChatReply::Conversation(conversation) => {
            Ok(json(StatusCode::OK, &ConversationBody::from(&*conversation)))
        }
        other => Err(unexpected(&other)),
    }
}

/// Rename a group
///
/// Any participant may.
#[utoipa::path(put, path = "/conversations/{id}", tag = "messaging: conversations", security(("userToken" = [])),
    params(("id" = String, Path, description = "The conversation's id")),
    request_body = Rename,
    responses((status = 200, body = ConversationBody), Always, OfBody, OfThing))]
pub async fn rename(
    State(front): State<Arc<Front>>,
    Extension(actor): Extension<Actor>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let conversation = conversation(id)?;
    let asked: Rename = input::read(&front, &headers, body).await?;
    let command = ChatCommand::Update { conversation, name: Some(asked.name()?), extra: None };
    let told = Told { invalid: "Only a group can be renamed", ..Told::CONVERSATION };
    found(chat(&front, actor, command, &told).await?)
}

/// Add somebody to a group
///
/// Any participant may. With `participantIds` several are added, one after the other; who is there already is passed
/// over, unless all are.
#[utoipa::path(post, path = "/conversations/{id}/participants", tag = "messaging: conversations",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "The conversation's id")),
    request_body = NewParticipants,
    responses((status = 201, body = Added),
        (status = 409, body = Failure, description = "The user is a participant already"),
        Always, OfBody, OfThing))]
pub async fn add(
    State(front): State<Arc<Front>>,
    Extension(actor): Extension<Actor>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let conversation = conversation(id)?;
    let asked: NewParticipants = input::read(&front, &headers, body).await?;
    let (users, several) = asked.users(front.config.limits.user_id)?;
    let told = Told {
        conflict: "User is already a participant",
        invalid: "Participants can only be added to a group",
        ..Told::CONVERSATION
    };
    let mut added = Vec::new();
    let mut there_already = None;
    for user in users {
        let command = ChatCommand::AddMember { conversation, user, role: Role::Member };
        match chat(&front, actor.clone(), command, &told).await {
            Ok(ChatReply::Member { conversation, member }) => {
                added.push(ParticipantBody::new(conversation, &member));
            }
            Ok(other) => return Err(unexpected(&other)),
            Err(problem) if problem.status == StatusCode::CONFLICT => there_already = Some(problem),
            // Asked again, those who were added meanwhile are passed over.
            Err(problem) => return Err(problem),
        }
    }
    let mut rest = added.into_iter();
    let Some(first) = rest.next() else { return Err(there_already.unwrap_or_else(Problem::internal)) };
    let participants = several.then(|| std::iter::once(first.clone()).chain(rest).collect());
    Ok(json(StatusCode::CREATED, &Added { first, participants }))
}

/// Take somebody out of a group
///
/// Anybody may leave; the creator may take out others.
#[utoipa::path(delete, path = "/conversations/{id}/participants/{participantId}", tag = "messaging: conversations",
    security(("userToken" = [])),
    params(("id" = String, Path, description = "The conversation's id"),
        ("participantId" = String, Path, description = "The `id` of the participant's row, or the user's id")),
    responses((status = 200, body = DoneBody),
        (status = 400, body = Failure, description = "It is no group"),
        Always, OfThing))]
pub async fn remove(
    State(front): State<Arc<Front>>,
    Extension(actor): Extension<Actor>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found(Told::CONVERSATION.missing);
    let Path((id, member)) = path.map_err(|_| missing())?;
    let conversation = id.parse().map_err(|_| missing())?;
    let told = Told {
        forbidden: "Only the creator can remove other participants",
        missing: "Conversation or participant not found",
        invalid: "Participants can only be removed from a group",
        ..Told::CONVERSATION
    };
    let member = whose(conversation, &member).ok_or_else(|| Problem::not_found("Participant not found"))?;
    done(
        chat(&front, actor, ChatCommand::RemoveMember { conversation, member }, &told).await?,
        "Participant removed successfully",
    )
}

/// Delete a conversation
///
/// With all that was said in it. Only who made it may.
#[utoipa::path(delete, path = "/conversations/{id}", tag = "messaging: conversations", security(("userToken" = [])),
    params(("id" = String, Path, description = "The conversation's id")),
    responses((status = 200, body = DoneBody), Always, OfThing))]
pub async fn delete(
    State(front): State<Arc<Front>>,
    Extension(actor): Extension<Actor>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let conversation = conversation(id)?;
    let told = Told { forbidden: "Only the creator can delete this conversation", ..Told::CONVERSATION };
    done(
        chat(&front, actor, ChatCommand::Delete { conversation }, &told).await?,
        "Conversation deleted successfully",
    )
}

pub(super) fn done(reply: ChatReply, message: &'static str) -> Result<Response, Problem> {
    match reply {
        ChatReply::Done => Ok(json(StatusCode::OK, &DoneBody { message })),
        other => Err(unexpected(&other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_whole_numbers() {
        let check = |query, expected: Option<u32>| {
            assert_eq!(limit(query, 50, 100).ok(), expected, "{query:?}");
        };
        check(None, Some(50));
        check(Some(""), Some(50));
        check(Some("limit=20"), Some(20));
        check(Some("limit=100"), Some(100));
        check(Some("limit=101"), Some(100));
        check(Some("limit=99999999999999999999999"), Some(100));
        for bad in
            ["limit=", "limit=0", "limit=-1", "limit=2.5", "limit=1e2", "limit=many", "limit=%20", "limit=+5"]
        {
            check(Some(bad), None);
        }
    }
}
