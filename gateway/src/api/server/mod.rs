//! The server API: what a back end that does not speak the binary protocol may ask and say, under `/server/v1`, with
//! a service's token.
//!
//! [`presence`] are the questions, [`sessions`] the sessions of a user and their ending, [`users`] the erasing of one, [`messages`] what is sent;
//! [`chat`] are conversations; [`words`] and [`chat_words`] are the bodies. Errors are `{"error":{"code","message","retryAfterMs"}}`; the codes are those of
//! [`schema::Refusal`], of the token's check, and a few of HTTP's own.

pub mod chat;
pub mod chat_words;
pub mod messages;
pub mod presence;
pub mod sessions;
pub mod users;
pub mod words;

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use schema::{Actor, Id, Refusal, Reply};
use serde::de::DeserializeOwned;
use utoipa::OpenApi;

use crate::api::drafts::Unfit;
use crate::http::auth::Denied;
use crate::http::body::BodyError;
use crate::http::client_addr::Client;
use crate::http::json::json;
use crate::http::{Front, body, refusal, strict};

/// The name of the description's security scheme.
pub const SERVICE_TOKEN: &str = "serviceToken";

/// The routes below `/server/v1`.
pub fn routes() -> Router<Arc<Front>> {
    Router::new()
        .route("/presence/query", post(presence::query))
        .route("/presence/count", get(presence::count))
        .route("/presence/online", get(presence::online))
        .route("/users/{id}/sessions", get(sessions::list).delete(sessions::disconnect_user))
        .route("/sessions/{id}", delete(sessions::disconnect))
        .route("/users/{id}", delete(users::erase))
        .route("/users/{id}/messages", post(messages::send))
        .route("/channels/{name}/messages", post(messages::publish))
        .route("/channels/{name}", get(messages::channel))
        .route("/conversations", post(chat::create))
        .route("/conversations/{id}", get(chat::find).delete(chat::delete))
        .route("/conversations/{id}/members", post(chat::add))
        .route("/conversations/{id}/members/{userId}", delete(chat::remove_member))
        .route("/conversations/{id}/messages", get(chat::history).post(chat::send))
        .route("/conversations/{id}/read", post(chat::read_all))
        .route("/conversations/{id}/unread", get(chat::unread))
        .route("/messages/{id}", put(chat::edit).delete(chat::remove))
        .route("/users/{id}/conversations", get(chat::list))
}

/// The description of the routes.
#[derive(OpenApi)]
#[openapi(
    paths(
        presence::query,
        presence::count,
        presence::online,
        sessions::list,
        sessions::disconnect_user,
        sessions::disconnect,
        users::erase,
        messages::send,
        messages::publish,
        messages::channel,
        chat::create,
        chat::find,
        chat::list,
        chat::delete,
        chat::add,
        chat::remove_member,
        chat::send,
        chat::history,
        chat::edit,
        chat::remove,
        chat::read_all,
        chat::unread,
    ),
    components(schemas(words::Failure))
)]
pub struct Document;

/// What every call about conversations may answer.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "it describes answers that are built elsewhere")]
enum Refused {
    /// An argument cannot be used
    #[response(status = 400)]
    Invalid(words::Failure),
    /// No token, or a bad one
    #[response(status = 401)]
    NoToken(words::Failure),
    /// Not a service's token; or the user acted for may not
    #[response(status = 403)]
    Forbidden(words::Failure),
    /// Too many bad tokens from this address, or too much at once
    #[response(status = 429)]
    TooMany(words::Failure),
    /// A bug of the server
    #[response(status = 500)]
    Internal(words::Failure),
    /// Try again after retryAfterMs
    #[response(status = 503)]
    NotNow(words::Failure),
    /// No answer in time
    #[response(status = 504)]
    Late(words::Failure),
}

/// What a call about something may answer.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "it describes answers that are built elsewhere")]
enum RefusedMissing {
    /// There is no such conversation, member or message, or no longer
    #[response(status = 404)]
    Missing(words::Failure),
}

/// What a call with a body may answer.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "it describes answers that are built elsewhere")]
enum RefusedBody {
    /// The body did not arrive in time
    #[response(status = 408)]
    TooSlow(words::Failure),
    /// The body is too large
    #[response(status = 413)]
    TooLarge(words::Failure),
}

/// An error of this API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    message: Cow<'static, str>,
    retry_after_ms: Option<u64>,
}

impl Problem {
    /// An error that stays one however often it is tried.
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), retry_after_ms: None }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Refusal::Invalid.code(), message)
    }

    /// A shard gave a reply that does not fit the command.
    fn unexpected(reply: &Reply) -> Self {
        tracing::error!(?reply, "a shard gave the wrong kind of reply: this is a bug in Muster");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "internal error")
    }
}

impl From<Refusal> for Problem {
    fn from(cause: Refusal) -> Self {
        let status = match cause {
            // A back end may tell a slow answer from a server that takes nothing.
            Refusal::Timeout => StatusCode::GATEWAY_TIMEOUT,
            other => refusal::status(other),
        };
        let retry_after_ms = cause.retry_after_ms().map(u64::from);
        Self { status, code: cause.code(), message: cause.to_string().into(), retry_after_ms }
    }
}

impl From<Unfit> for Problem {
    fn from(unfit: Unfit) -> Self {
        Self::invalid(unfit.0)
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let code = match error {
            BodyError::TooLarge => Refusal::TooLarge.code(),
            BodyError::TooSlow => Refusal::Timeout.code(),
            BodyError::Broken => Refusal::Invalid.code(),
        };
        Self::new(error.status(), code, error.message())
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Token { code, message } => Self::new(StatusCode::UNAUTHORIZED, code, message),
            Denied::TooMany(verdict) => Self {
                retry_after_ms: Some(verdict.reset),
                ..Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    Refusal::RateLimited.code(),
                    "too many bad tokens from this address",
                )
            },
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let error = words::ErrorBody {
            code: self.code,
            message: self.message.into_owned(),
            retry_after_ms: self.retry_after_ms,
        };
        let mut response = json(self.status, &words::Failure { error });
        let headers = response.headers_mut();
        if let Some(ms) = self.retry_after_ms {
            headers.insert(RETRY_AFTER, HeaderValue::from(ms.div_ceil(1_000).max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// An error that the router found.
pub fn problem(status: StatusCode) -> Response {
    let (code, message) = match status {
        StatusCode::NOT_FOUND => ("NO_SUCH_PATH", "no such path; the calls are listed at /swagger"),
        StatusCode::METHOD_NOT_ALLOWED => ("WRONG_METHOD", "this path does not take that method; see Allow"),
        _ => ("INTERNAL", "internal error"),
    };
    Problem::new(status, code, message).into_response()
}

/// The service that calls.
fn service(front: &Front, headers: &HeaderMap, client: Client) -> Result<Actor, Problem> {
    let actor = front.caller(headers, client)?.actor;
    if actor.service {
        return Ok(actor);
    }
    Err(Problem::new(
        StatusCode::FORBIDDEN,
        Refusal::Forbidden.code(),
        "this call needs a service's token: make one with `muster token --service`",
    ))
}

/// A part of the path.
fn part(path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    path.map(|Path(text)| text).map_err(|_| Problem::invalid("the path is not UTF-8"))
}

/// A user's id.
fn user_id(front: &Front, text: &str) -> Result<Id, Problem> {
    if text.chars().count() > front.config.limits.user_id.into() {
        return Err(Problem::invalid("the user's id is too long"));
    }
    Id::new(text).map_err(|error| Problem::invalid(format!("the user's id: {error}")))
}

/// A channel's name.
fn channel_name(front: &Front, text: &str) -> Result<Id, Problem> {
    if text.chars().count() > front.config.limits.channel_name.into() {
        return Err(Problem::invalid("the channel's name is too long"));
    }
    Id::new(text).map_err(|error| Problem::invalid(format!("the channel's name: {error}")))
}

/// A body of JSON.
async fn read<T: DeserializeOwned>(front: &Front, body: Body) -> Result<T, Problem> {
    read_most(front.config.http.body_bytes.bytes(), body).await
}

/// One of at most so many bytes.
async fn read_most<T: DeserializeOwned>(most: usize, body: Body) -> Result<T, Problem> {
    let bytes = body::read(body, most).await?;
    strict::object(&bytes).map_err(|error| Problem::invalid(format!("the body: {error}")))
}
