//! Who is online.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use schema::{Command, Refusal, Reply};

use super::words::{Count, Failure, OnlineEntry, OnlineList, PresenceList, PresenceRow, QueryBody};
use super::{Problem, read_most, service, user_id};
use crate::auth::credentials;
use crate::http::Front;
use crate::http::client_addr::Client;
use crate::http::json::json;

/// Rows of a list where the caller does not say.
const LIST_DEFAULT: u32 = 100;
/// Most rows of a list.
const LIST_MOST: u32 = 1_000;
/// Ids of 10,000 users take more room than other bodies may.
const QUERY_BYTES: usize = 8 << 20;

/// The presence of many users
///
/// Up to 10,000 ids a call, answered in the order asked. A user never seen is offline with `lastSeen` null.
#[utoipa::path(post, path = "/presence/query", tag = "server", security(("serviceToken" = [])),
    request_body = QueryBody,
    responses(
        (status = 200, body = PresenceList),
        (status = 400, body = Failure, description = "Not 1 to 10,000 ids (INVALID, TOO_MANY)"),
        (status = 401, body = Failure, description = "No token, or a bad one"),
        (status = 403, body = Failure, description = "Not a service's token"),
        (status = 429, body = Failure, description = "Too many bad tokens from this address"),
        (status = 408, body = Failure, description = "The body did not arrive in time"),
        (status = 413, body = Failure, description = "The body is too large"),
        (status = 503, body = Failure, description = "Try again after retryAfterMs"),
        (status = 504, body = Failure, description = "No answer in time"),
))]
pub async fn query(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let actor = service(&front, &headers, client)?;
    let most = QUERY_BYTES.max(front.config.http.body_bytes.bytes());
    let body: QueryBody = read_most(most, body).await?;
    if body.user_ids.is_empty() {
        return Err(Problem::invalid("userIds must not be empty"));
    }
    if body.user_ids.len() > front.config.presence.bulk_limit as usize {
        return Err(Refusal::TooMany.into());
    }
    let users = body.user_ids.iter().map(|text| user_id(&front, text)).collect::<Result<_, _>>()?;
    match front.inquirer.ask(Some(actor), Command::Query { users }).await? {
        Reply::Presence(found) => {
            let users = found.iter().map(PresenceRow::from).collect();
            Ok(json(StatusCode::OK, &PresenceList { users }))
        }
        other => Err(Problem::unexpected(&other)),
    }
}

/// How many users are online
#[utoipa::path(get, path = "/presence/count", tag = "server", security(("serviceToken" = [])), responses(
    (status = 200, body = Count),
    (status = 401, body = Failure, description = "No token, or a bad one"),
    (status = 403, body = Failure, description = "Not a service's token"),
    (status = 429, body = Failure, description = "Too many bad tokens from this address"),
    (status = 503, body = Failure, description = "Try again after retryAfterMs"),
    (status = 504, body = Failure, description = "No answer in time"),
))]
pub async fn count(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let actor = service(&front, &headers, client)?;
    match front.inquirer.ask(Some(actor), Command::Count).await? {
        Reply::Count(count) => Ok(json(StatusCode::OK, &Count { count })),
        other => Err(Problem::unexpected(&other)),
    }
}

/// Who is online
///
/// The latest activity first; one row a user, with the device of the newest connection.
#[utoipa::path(get, path = "/presence/online", tag = "server", security(("serviceToken" = [])),
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most rows; 100 if not given")),
    responses(
        (status = 200, body = OnlineList),
        (status = 400, body = Failure, description = "The limit is not 1 to 1,000"),
        (status = 401, body = Failure, description = "No token, or a bad one"),
        (status = 403, body = Failure, description = "Not a service's token"),
        (status = 429, body = Failure, description = "Too many bad tokens from this address"),
        (status = 503, body = Failure, description = "Try again after retryAfterMs"),
        (status = 504, body = Failure, description = "No answer in time"),
))]
pub async fn online(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let actor = service(&front, &headers, client)?;
    let limit = match query.as_deref().and_then(|query| credentials::parameter(query, "limit")) {
        None => LIST_DEFAULT,
        Some(text) => (text.parse().ok())
            .filter(|limit| (1..=LIST_MOST).contains(limit))
            .ok_or_else(|| Problem::invalid("limit must be a whole number from 1 to 1000"))?,
    };
    match front.inquirer.ask(Some(actor), Command::List { limit }).await? {
        Reply::Users(users) => {
            let users = users.iter().map(OnlineEntry::from).collect();
            Ok(json(StatusCode::OK, &OnlineList { users }))
        }
        other => Err(Problem::unexpected(&other)),
    }
}
