//! Calls about rooms: listed, made, found, shown again, pinned, seen, deleted, blocked.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use schema::Refusal;
use schema::chat::{ChatCommand, ChatReply, Kind, ListCursor, MemberChange, Summary};

use super::Problem;
use super::extra::Extra;
use super::gate::{Caller, Found, chat, room, unexpected};
use super::input::{self, Acting, Block, NewRoom, parameter};
use super::names::Side;
use super::problem::{Always, NO_ROOM, OfBody};
use super::replies::{Changed, Deleted, Made, OneRoom, RoomList, Unseen, WhoseList};
use super::words::{RoomBody, Sides, time};
use crate::http::Front;
use crate::http::json::json;

/// The kinds that this API shows.
pub const KINDS: u8 = 1 << Kind::Trade as u8;

/// Rooms asked for at once; the model gives as many as it does, and goes on.
pub const LIST_MOST: u32 = 10_000;

/// A room, and what of it is the lister's.
struct Listed {
    summary: Summary,
    sides: Sides,
}

/// The rooms of one side of the caller, those deleted left out.
async fn listed(front: &Front, caller: &Caller, side: Side) -> Result<Vec<Listed>, Problem> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let command = ChatCommand::List { kinds: KINDS, limit: LIST_MOST, after };
        let (rows, more) = match chat(front, caller, command).await.map_err(Problem::of)? {
            ChatReply::Summaries { rows, more } => (rows, more),
            other => return Err(unexpected(&other)),
        };
        after = rows.last().map(ListCursor::of);
        all.extend(rows);
        if !more || after.is_none() {
            break;
        }
    }
    let rooms = all.into_iter().filter_map(|summary| {
        let sides = Sides::of(&summary.conversation)?;
        let own = sides.room.on(side) == caller.id() && sides.row(side).hidden_at.is_none();
        own.then_some(Listed { summary, sides })
    });
    Ok(rooms.collect())
}

/// Whose list is asked for: it can only be the caller's.
fn whose(caller: &Caller, query: Option<&str>) -> Result<Side, Problem> {
    let user = parameter(query, "user_id").ok_or_else(|| Problem::bad("Missing 'user_id' field"))?;
    caller.is(Some(&user))?;
    let role = parameter(query, "role");
    caller.role(role.as_deref())?.ok_or_else(|| Problem::bad("Missing 'role' field"))
}

/// The caller's rooms
///
/// Those of one side, without those that it has deleted and that nothing was said in since. Pinned ones first, the one
/// pinned last before the others; then by their last message, the newest first.
#[utoipa::path(get, path = "/rooms", tag = "trade: rooms", security(("userToken" = [])),
    params(("user_id" = String, Query, description = "The caller's id"),
        ("role" = String, Query, description = "`BUYER` or `SELLER`"),
        ("name" = Option<String>, Query, description = "Only where this is part of the shop's name (for the buyer) or the buyer's (for the seller), in capitals or not"),
        ("pinned" = Option<String>, Query, description = "`1`: only pinned ones; `0`: only others")),
    responses((status = 200, body = RoomList), Always))]
pub async fn list(
    State(front): State<Arc<Front>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let query = query.as_deref();
    let side = whose(&caller, query)?;
    let name = parameter(query, "name").map(|name| name.to_lowercase());
    let pinned = match parameter(query, "pinned").as_deref() {
        None => None,
        Some("1") => Some(true),
        Some("0") => Some(false),
        Some(_) => return Err(Problem::bad("pinned must be 1 or 0")),
    };
    let mut rooms = listed(&front, &caller, side).await?;
    rooms.retain(|room| {
        let is_pinned = room.sides.row(side).pinned_at.is_some();
        let extra = || Extra::read(&room.summary.conversation.extra);
        let fits = |name: &String| {
            extra().name_for(side).is_some_and(|found| found.to_lowercase().contains(name.as_str()))
        };
        pinned.is_none_or(|pinned| pinned == is_pinned) && name.as_ref().is_none_or(fits)
    });
    rooms.sort_by_key(|room| {
        let last = room.summary.last.as_ref().map(|last| last.id.at);
        Reverse((room.sides.row(side).pinned_at, last, room.summary.conversation.created_at))
    });
    let rooms = rooms.iter().map(|room| RoomBody::listed(&room.sides, &room.summary, side)).collect();
    Ok(json(StatusCode::OK, &RoomList { whose: WhoseList::new(&caller, side), rooms }))
}

/// In how many of the caller's rooms is something unseen?
#[utoipa::path(get, path = "/rooms/unseen", tag = "trade: rooms", security(("userToken" = [])),
    params(("user_id" = String, Query, description = "The caller's id"),
        ("role" = String, Query, description = "`BUYER` or `SELLER`")),
    responses((status = 200, body = Unseen), Always))]
pub async fn unseen(
    State(front): State<Arc<Front>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let side = whose(&caller, query.as_deref())?;
    let rooms = listed(&front, &caller, side).await?;
    let unseen_rooms = rooms.iter().filter(|room| room.summary.unread > 0).count();
    Ok(json(StatusCode::OK, &Unseen { unseen_rooms, filters: WhoseList::new(&caller, side) }))
}

/// Make a room
///
/// There is one for each buyer and seller. Where it is there, `status` is false (`Room exsits!`), unless its maker has
/// deleted it: then both see it again. Nothing that was deleted comes back.
#[utoipa::path(post, path = "/rooms", tag = "trade: rooms", security(("userToken" = [])),
    request_body = NewRoom,
    responses((status = 200, body = Made,
        description = "Made, shown again, or there already; `message` says which. Without a room: buyer and seller are the same"),
        Always, OfBody))]
pub async fn create(
    State(front): State<Arc<Front>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked: NewRoom = input::read(&front, &headers, body, false).await?;
    let plan = asked.plan(front.config.limits.user_id, caller.id())?;
    caller.side_of(&plan.room, Some(plan.side.as_str()))?;
    if let Some(found) = Found::look(&front, &caller, &plan.room).await?
        && found.sides.row(plan.side).hidden_at.is_none()
    {
        return made(&front, &caller, &found, Made::EXISTS).await;
    }
    // Made again, it is shown to both.
    match chat(&front, &caller, ChatCommand::Create(Box::new(plan.conversation()))).await {
        Ok(ChatReply::Made { conversation, new }) => {
            let what = if new { Made::CREATED } else { Made::SHOWN_AGAIN };
            made(&front, &caller, &Found::of(conversation)?, what).await
        }
        Ok(other) => Err(unexpected(&other)),
        Err(Refusal::Conflict | Refusal::Invalid) => Err(Problem::new(StatusCode::OK, Made::FAILED)),
        Err(refusal) => Err(Problem::of(refusal)),
    }
}

async fn made(
    front: &Front,
    caller: &Caller,
    found: &Found,
    message: &'static str,
) -> Result<Response, Problem> {
    let room = found.whole(front, caller).await?;
    Ok(json(StatusCode::OK, &Made { status: message != Made::EXISTS, message, room }))
}

/// One room
#[utoipa::path(get, path = "/rooms/{id}", tag = "trade: rooms", security(("userToken" = [])),
    params(("id" = String, Path, description = "`<buyer>.<seller>`")),
    responses((status = 200, body = OneRoom), Always))]
pub async fn find(
    State(front): State<Arc<Front>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let room = room(id, &caller)?;
    let found = Found::find(&front, &caller, &room).await?;
    Ok(json(StatusCode::OK, &OneRoom { room: found.whole(&front, &caller).await? }))
}

/// Changes the caller's side of a room.
async fn change(
    front: &Front,
    caller: &Caller,
    mut found: Found,
    change: MemberChange,
) -> Result<Found, Problem> {
    let command = ChatCommand::SetMember { conversation: found.conversation.id, change };
    match chat(front, caller, command).await.map_err(Problem::of)? {
        ChatReply::Member { member, .. } => {
            found.sides.put(member);
            Ok(found)
        }
        other => Err(unexpected(&other)),
    }
}

/// The caller's room of a path, after a look at who says so.
async fn own(
    front: &Front,
    caller: &Caller,
    id: Result<Path<String>, PathRejection>,
    acting: &Acting,
) -> Result<(Found, Side), Problem> {
    caller.is(acting.user_id.as_ref().map(|id| id.0.as_str()))?;
    let room = room(id, caller)?;
    let found = Found::find(front, caller, &room).await?;
    let side = caller.side_of(&found.sides.room, acting.role.as_deref())?;
    Ok((found, side))
}

async fn answer(
    front: &Front,
    caller: &Caller,
    found: &Found,
    message: Option<&'static str>,
) -> Result<Response, Problem> {
    let room = Some(found.whole(front, caller).await?);
    Ok(json(StatusCode::OK, &Changed { status: true, message, room }))
}

/// Show a deleted room again
///
/// To the caller's side. What was said before stays deleted.
#[utoipa::path(put, path = "/rooms/{id}/enable", tag = "trade: rooms", security(("userToken" = [])),
    params(("id" = String, Path, description = "`<buyer>.<seller>`")),
    request_body = Acting,
    responses((status = 200, body = Changed), Always, OfBody))]
pub async fn enable(
    State(front): State<Arc<Front>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let acting: Acting = input::read(&front, &headers, body, true).await?;
    if acting.role.is_none() {
        return Err(Problem::bad("Missing 'role' field"));
    }
    let (found, _) = own(&front, &caller, id, &acting).await?;
    let shown = MemberChange { hidden: Some(false), ..MemberChange::default() };
    let found = change(&front, &caller, found, shown).await?;
    answer(&front, &caller, &found, Some("Enable room successfully!")).await
}

/// Pin a room
#[utoipa::path(post, path = "/rooms/{id}/pin", tag = "trade: rooms", security(("userToken" = [])),
    params(("id" = String, Path, description = "`<buyer>.<seller>`")),
    request_body = Acting,
    responses((status = 200, body = Changed), Always, OfBody))]
pub async fn pin(
    State(front): State<Arc<Front>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let acting: Acting = input::read(&front, &headers, body, true).await?;
    let (found, _) = own(&front, &caller, id, &acting).await?;
    let pinned = MemberChange { pinned: Some(true), ..MemberChange::default() };
    change(&front, &caller, found, pinned).await?;
    Ok(json(StatusCode::OK, &Changed { status: true, message: None, room: None }))
}

/// Pin a room no longer
#[utoipa::path(delete, path = "/rooms/{id}/pin", tag = "trade: rooms", security(("userToken" = [])),
    params(("id" = String, Path, description = "`<buyer>.<seller>`")),
    request_body = Acting,
    responses((status = 200, body = Changed), Always, OfBody))]
pub async fn unpin(
    State(front): State<Arc<Front>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let acting: Acting = input::read(&front, &headers, body, true).await?;
    let (found, _) = own(&front, &caller, id, &acting).await?;
    let unpinned = MemberChange { pinned: Some(false), ..MemberChange::default() };
    let found = change(&front, &caller, found, unpinned).await?;
    answer(&front, &caller, &found, None).await
}

/// Mark all messages of a room as seen
#[utoipa::path(put, path = "/rooms/{id}/seen", tag = "trade: rooms", security(("userToken" = [])),
    params(("id" = String, Path, description = "`<buyer>.<seller>`")),
    request_body = Acting,
    responses((status = 200, body = Changed), Always, OfBody))]
pub async fn seen(
    State(front): State<Arc<Front>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let acting: Acting = input::read(&front, &headers, body, true).await?;
    let (found, _) = own(&front, &caller, id, &acting).await?;
    let command = ChatCommand::ReadAll { conversation: found.conversation.id, up_to: None };
    match chat(&front, &caller, command).await.map_err(Problem::of)? {
        ChatReply::Done => {
            let found = Found::find(&front, &caller, &found.sides.room).await?;
            answer(&front, &caller, &found, None).await
        }
        other => Err(unexpected(&other)),
    }
}

/// Delete a room
///
/// With all that was said so far, for the caller's side only. A later message shows it again, without what was before.
#[utoipa::path(delete, path = "/rooms/{id}", tag = "trade: rooms", security(("userToken" = [])),
    params(("id" = String, Path, description = "`<buyer>.<seller>`"),
        ("role" = Option<String>, Query, description = "`BUYER` or `SELLER`; the caller's side if not given")),
    responses((status = 200, body = Deleted,
        description = "Deleted; or, where `status` is false, there is no such room (`Room not found!`)"),
        Always))]
pub async fn delete(
    State(front): State<Arc<Front>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let role = parameter(query.as_deref(), "role").map(|role| role.into_owned());
    let acting = Acting { user_id: None, role };
    let (found, side) = own(&front, &caller, id, &acting).await.map_err(|problem| {
        // The API's clients look at the body, not at the status.
        if problem == Problem::no_room() { Problem::new(StatusCode::OK, NO_ROOM) } else { problem }
    })?;
    let hidden = MemberChange { hidden: Some(true), pinned: Some(false), ..MemberChange::default() };
    let found = change(&front, &caller, found, hidden).await?;
    let deleted_at = found.sides.row(side).hidden_at.map(time);
    Ok(json(StatusCode::OK, &Deleted { status: true, role: side.as_str(), deleted_at }))
}

/// Block a room, or no longer
///
/// While it is blocked nobody can send. Only who has blocked it can open it again.
#[utoipa::path(post, path = "/rooms/{id}/block", tag = "trade: rooms", security(("userToken" = [])),
    params(("id" = String, Path, description = "`<buyer>.<seller>`")),
    request_body = Block,
    responses((status = 200, body = Changed,
        description = "`message` says where it was so already: `Room closed already!`, `Room opened already!`"),
        Always, OfBody))]
pub async fn block(
    State(front): State<Arc<Front>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let asked: Block = input::read(&front, &headers, body, false).await?;
    let acting = Acting { user_id: None, role: asked.role };
    let (found, side) = own(&front, &caller, id, &acting).await?;
    match (asked.block, found.sides.blocked_by()) {
        (true, Some(_)) => answer(&front, &caller, &found, Some("Room closed already!")).await,
        (false, None) => answer(&front, &caller, &found, Some("Room opened already!")).await,
        (false, Some(by)) if by != side => Err(Problem::forbidden()),
        (blocked, _) => {
            let blocked = MemberChange { blocked: Some(blocked), ..MemberChange::default() };
            let found = change(&front, &caller, found, blocked).await?;
            answer(&front, &caller, &found, None).await
        }
    }
}
