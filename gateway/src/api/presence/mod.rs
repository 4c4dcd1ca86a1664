//! The presence API: four REST calls and the handshake of its WebSocket.
//!
//! [`rest`] are the calls, [`words`] their bodies, [`upgrade`] the handshake; what is said on the WebSocket is
//! [`crate::edges::presence`]'s. Errors are `{"success":false,"message":"…"}` with the right status.

pub mod rest;
pub mod upgrade;
pub mod words;

use std::borrow::Cow;
use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use schema::Refusal;
use utoipa::OpenApi;

use crate::http::auth::Denied;
use crate::http::body::BodyError;
use crate::http::json::json;
use crate::http::{Front, limited, refusal};

/// The name of the description's security scheme.
pub const USER_TOKEN: &str = "userToken";

/// The routes below `{base}/presence`.
pub fn routes() -> Router<Arc<Front>> {
    Router::new()
        .route("/online-count", get(rest::online_count))
        .route("/online-users", get(rest::online_users))
        .route("/check/{userId}", get(rest::check))
        .route("/check-multiple", post(rest::check_multiple))
        .route("/ws", get(upgrade::upgrade))
}

/// The description of the routes.
#[derive(OpenApi)]
#[openapi(paths(
    rest::online_count,
    rest::online_users,
    rest::check,
    rest::check_multiple,
    upgrade::upgrade
))]
pub struct Document;

/// An error of this API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    status: StatusCode,
    message: Cow<'static, str>,
    /// Seconds.
    retry_after: Option<u32>,
}

impl Problem {
    /// An error that stays one however often it is tried.
    pub fn new(status: StatusCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, message: message.into(), retry_after: None }
    }

    /// The request is wrong.
    pub fn bad(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// It may work later.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, message: message.into(), retry_after: Some(1) }
    }
}

impl From<Refusal> for Problem {
    fn from(cause: Refusal) -> Self {
        let (status, retry_after) = (refusal::status(cause), refusal::retry_after(cause));
        Self { status, message: cause.to_string().into(), retry_after }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        Self::new(error.status(), error.message())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = words::Failure { success: false, message: self.message.into_owned() };
        let mut response = json(self.status, &body);
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The answer to a caller without a good token.
pub fn denied(denied: Denied, now: u64) -> Response {
    match denied {
        Denied::Token { message, .. } => Problem::new(StatusCode::UNAUTHORIZED, message).into_response(),
        Denied::TooMany(verdict) => too_many(&verdict, now),
    }
}

/// The answer to a call beyond a limit.
pub fn too_many(verdict: &crate::rate::Verdict, now: u64) -> Response {
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests");
    let mut response = problem.into_response();
    limited::tell(response.headers_mut(), verdict, now);
    response
}

/// An error that the router found.
pub fn problem(status: StatusCode) -> Response {
    let message = match status {
        StatusCode::NOT_FOUND => "no such path; the calls are listed at /swagger",
        StatusCode::METHOD_NOT_ALLOWED => "this path does not take that method; see Allow",
        _ => "internal error",
    };
    Problem::new(status, message).into_response()
}
