//! The four REST calls of the presence API.
//!
//! The order of a limited call: the token is verified, the call is counted, the rest is looked at. So a bad token
//! costs the user nothing, and a bad request costs one call.
//!
//! Ids are compared as they are written: a UUID in capitals is another id than the same in small letters, as the
//! tokens of its user say it.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use schema::{Actor, Command, Id, Key, Realm, Reply};

use super::words::{
    Check, CheckMultiple, CheckMultipleBody, CheckRow, Failure, OnlineCount, OnlineRow, OnlineUsers,
};
use super::{Problem, denied, too_many};
use crate::auth::credentials;
use crate::http::auth::Caller;
use crate::http::client_addr::Client;
use crate::http::json::json;
use crate::http::{Front, body, limited, strict};
use crate::rate::{Limiter, Origin, Verdict};

/// Ids in one call of `check-multiple`.
const CHECK_MOST: usize = 100;
/// Rows of `online-users` where the caller does not say.
const LIST_DEFAULT: u32 = 100;
/// Most rows of `online-users`.
const LIST_MOST: u32 = 1_000;

/// How many users are online
///
/// Distinct users, whatever the number of their devices. Limited by client address.
#[utoipa::path(get, path = "/online-count", tag = "presence", responses(
    (status = 200, body = OnlineCount),
    (status = 429, body = Failure, description = "More than 30 calls a minute"),
    (status = 503, body = Failure, description = "It could not be found out; try again"),
))]
pub async fn online_count(State(front): State<Arc<Front>>, Extension(client): Extension<Client>) -> Response {
    let now = front.clock.unix_ms();
    let verdict = front.limits.online_count.hit(&Origin::from(client.0.ip()), now);
    if !verdict.allowed {
        return too_many(&verdict, now);
    }
    let counted = front.inquirer.ask(Some(nobody()), Command::Count).await;
    let answer = counted.map_err(Problem::from).and_then(|reply| match reply {
        Reply::Count(count) => Ok(json(StatusCode::OK, &OnlineCount { success: true, count })),
        other => Err(unexpected(&other)),
    });
    finish(answer, &verdict, now)
}

/// Who is online
///
/// One row a user, the latest activity first; the device is that of the newest connection.
#[utoipa::path(get, path = "/online-users", tag = "presence", security(("userToken" = [])),
    params(("limit" = Option<u32>, Query, minimum = 1, maximum = 1000, description = "Most rows; 100 if not given. \
            What is out of range is brought into it.")),
    responses(
        (status = 200, body = OnlineUsers),
        (status = 400, body = Failure, description = "The limit is no number"),
        (status = 401, body = Failure, description = "No token, or a bad one"),
        (status = 429, body = Failure, description = "More than 10 calls a minute"),
        (status = 503, body = Failure, description = "It could not be found out; try again"),
))]
pub async fn online_users(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    let now = front.clock.unix_ms();
    let (caller, verdict) = match admit(&front, &headers, client, &front.limits.online_users, now) {
        Ok(admitted) => admitted,
        Err(refused) => return *refused,
    };
    let answer = async {
        let limit = limit(query.as_deref())?;
        match front.inquirer.ask(Some(caller.actor), Command::List { limit }).await? {
            Reply::Users(users) => {
                let users = users.iter().map(OnlineRow::from).collect();
                Ok(json(StatusCode::OK, &OnlineUsers { success: true, users }))
            }
            other => Err(unexpected(&other)),
        }
    };
    finish(answer.await, &verdict, now)
}

/// Whether one user is online
///
/// A user who was never seen is offline, with `lastSeen` null. When it cannot be found out in time the answer is 503,
/// never "offline".
#[utoipa::path(get, path = "/check/{userId}", tag = "presence", security(("userToken" = [])),
    params(("userId" = String, Path, description = "A UUID, unless the server is set to take any id")),
    responses(
        (status = 200, body = Check),
        (status = 400, body = Failure, description = "The id is no UUID"),
        (status = 401, body = Failure, description = "No token, or a bad one"),
        (status = 429, body = Failure, description = "More than 30 calls a minute"),
        (status = 503, body = Failure, description = "It could not be found out; try again"),
))]
pub async fn check(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    user: Result<Path<String>, PathRejection>,
) -> Response {
    let now = front.clock.unix_ms();
    let (caller, verdict) = match admit(&front, &headers, client, &front.limits.check, now) {
        Ok(admitted) => admitted,
        Err(refused) => return *refused,
    };
    let answer = async {
        let Path(user) = user.map_err(|_| Problem::bad("userId is not UTF-8"))?;
        let users = vec![front.user_id(&user)?];
        match front.inquirer.ask(Some(caller.actor), Command::Query { users }).await? {
            Reply::Presence(found) => {
                found.first().and_then(Check::of).map(|check| json(StatusCode::OK, &check)).ok_or_else(|| {
                    Problem::unavailable("the status could not be found out in time; try again")
                })
            }
            other => Err(unexpected(&other)),
        }
    };
    finish(answer.await, &verdict, now)
}

/// Whether many users are online
///
/// Answered in the order asked. A user whose status could not be found out in time has `"status":"unknown"` and
/// `"online":null`.
#[utoipa::path(post, path = "/check-multiple", tag = "presence", security(("userToken" = [])),
    request_body = CheckMultipleBody,
    responses(
        (status = 200, body = CheckMultiple),
        (status = 400, body = Failure, description = "Not 1 to 100 UUIDs"),
        (status = 401, body = Failure, description = "No token, or a bad one"),
        (status = 408, body = Failure, description = "The body did not arrive in time"),
        (status = 413, body = Failure, description = "The body is too large"),
        (status = 429, body = Failure, description = "More than 10 calls a minute"),
        (status = 503, body = Failure, description = "It could not be found out; try again"),
))]
pub async fn check_multiple(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let now = front.clock.unix_ms();
    let (caller, verdict) = match admit(&front, &headers, client, &front.limits.check_multiple, now) {
        Ok(admitted) => admitted,
        Err(refused) => return *refused,
    };
    let answer = async {
        let bytes = body::read(body, front.config.http.body_bytes.bytes()).await?;
        let users = front.user_ids(&bytes)?;
        match front.inquirer.ask(Some(caller.actor), Command::Query { users }).await? {
            Reply::Presence(found) => {
                let users = found.iter().map(CheckRow::from).collect();
                Ok(json(StatusCode::OK, &CheckMultiple { success: true, users }))
            }
            other => Err(unexpected(&other)),
        }
    };
    finish(answer.await, &verdict, now)
}

/// Who asks when anybody may: the front door itself, about the default realm.
fn nobody() -> Actor {
    let id = Id::new("front door").expect("a short text without control characters is an id");
    Actor { key: Key::new(Realm::default(), id), service: true }
}

/// The caller of a route that needs a token, counted; or the answer to someone who may not.
fn admit(
    front: &Front,
    headers: &HeaderMap,
    client: Client,
    limiter: &Limiter<Key>,
    now: u64,
) -> Result<(Caller, Verdict), Box<Response>> {
    let caller = front.caller(headers, client).map_err(|reason| Box::new(denied(reason, now)))?;
    let verdict = limiter.hit(&caller.actor.key, now);
    if verdict.allowed { Ok((caller, verdict)) } else { Err(Box::new(too_many(&verdict, now))) }
}

fn finish(answer: Result<Response, Problem>, verdict: &Verdict, now: u64) -> Response {
    let mut response = answer.unwrap_or_else(Problem::into_response);
    limited::tell(response.headers_mut(), verdict, now);
    response
}

fn unexpected(reply: &Reply) -> Problem {
    tracing::error!(?reply, "a shard gave the wrong kind of reply: this is a bug in Muster");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error")
}

/// `limit` of a query, brought into its range.
fn limit(query: Option<&str>) -> Result<u32, Problem> {
    let Some(text) = query.and_then(|query| credentials::parameter(query, "limit")) else {
        return Ok(LIST_DEFAULT);
    };
    let no_number = || Problem::bad("limit must be a number");
    // What Rust takes for a number beyond those of JSON ("inf", "nan") has a letter.
    if text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return Err(no_number());
    }
    let number: f64 = text.trim().parse().map_err(|_| no_number())?;
    Ok(number.clamp(1.0, LIST_MOST.into()) as u32)
}

impl Front {
    /// An id that may be asked about.
    fn user_id(&self, text: &str) -> Result<Id, Problem> {
        if self.config.presence_api.require_uuid && !is_uuid(text) {
            return Err(Problem::bad("userId must be a UUID"));
        }
        if text.chars().count() > self.config.limits.user_id.into() {
            return Err(Problem::bad("userId is too long"));
        }
        Id::new(text).map_err(|error| Problem::bad(format!("userId: {error}")))
    }

    fn user_ids(&self, body: &[u8]) -> Result<Vec<Id>, Problem> {
        let body: CheckMultipleBody = strict::object(body).map_err(|_| {
            Problem::bad("the body must be JSON of the form {\"userIds\":[\"…\"]}, with ids as texts")
        })?;
        if body.user_ids.is_empty() {
            return Err(Problem::bad("userIds must not be empty"));
        }
        if body.user_ids.len() > CHECK_MOST {
            return Err(Problem::bad("userIds must have at most 100 ids"));
        }
        body.user_ids.iter().map(|text| self.user_id(text)).collect()
    }
}

/// 8-4-4-4-12 hexadecimal digits, of any version and in any case.
fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_numbers_brought_into_range() {
        let check = |query: Option<&str>, expected: Option<u32>| {
            assert_eq!(limit(query).ok(), expected, "{query:?}");
        };
        check(None, Some(100));
        check(Some(""), Some(100));
        check(Some("limit=5"), Some(5));
        check(Some("x=1&limit=0"), Some(1));
        check(Some("limit=-3"), Some(1));
        check(Some("limit=1001"), Some(1_000));
        check(Some("limit=99999999999999999999999"), Some(1_000));
        check(Some("limit=2.9"), Some(2));
        check(Some("limit=%35"), Some(5));
        check(Some("limit="), None);
        check(Some("limit=abc"), None);
        check(Some("limit=nan"), None);
        check(Some("limit=inf"), None);
        check(Some("limit=5x"), None);
    }

    #[test]
    fn uuids_of_any_version_and_case() {
        for good in ["00000000-0000-0000-0000-000000000000", "7B1D6C4E-2f3a-4c5b-9d8e-0a1b2c3d4e5f"] {
            assert!(is_uuid(good), "{good}");
        }
        for bad in ["", "x", "7b1d6c4e2f3a4c5b9d8e0a1b2c3d4e5f", "7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5g"] {
            assert!(!is_uuid(bad), "{bad}");
        }
    }
}
