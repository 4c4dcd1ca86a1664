//! Errors of the buyer/seller API: `{"status":false,"message":"…"}`.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use schema::Refusal;
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use crate::http::auth::Denied;
use crate::http::body::BodyError;
use crate::http::json::json;
use crate::http::refusal;

/// To someone who may not.
pub const FORBIDDEN: &str = "You do not have the authorization";
/// Where there is no such room.
pub const NO_ROOM: &str = "Room not found!";
/// Where there is no such message.
pub const NO_MESSAGE: &str = "Message not found!";
/// Where somebody has blocked the room.
pub const BLOCKED: &str = "Room is blocked";

/// An error of this API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The status of the answer.
    pub status: StatusCode,
    /// For people, and for clients that look for it.
    pub message: Cow<'static, str>,
    /// Seconds.
    retry_after: Option<u32>,
}

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TradeFailure)]
pub struct Failure {
    /// Always false.
    #[schema(example = false)]
    pub status: bool,
    /// What is wrong.
    #[schema(example = "Room not found!")]
    pub message: String,
}

/// What every call may answer.
#[derive(IntoResponses)]
pub enum Always {
    /// The request cannot be used, or there is no such room or message; `message` says which
    #[response(status = 400)]
    Bad(Failure),
    /// No token, or a bad one
    #[response(status = 401)]
    NoToken(Failure),
    /// The caller is not who `user_id` and `role` say, or not in the room
    #[response(status = 403)]
    Forbidden(Failure),
    /// Too many calls in a minute; `Retry-After` says when to come back
    #[response(status = 429)]
    TooMany(Failure),
    /// A bug of the server; the log has more
    #[response(status = 500)]
    Internal(Failure),
    /// Not now; `Retry-After` says when to try again
    #[response(status = 503)]
    NotNow(Failure),
}

/// What a call with a body may answer.
#[derive(IntoResponses)]
pub enum OfBody {
    /// The body did not arrive in time
    #[response(status = 408)]
    TooSlow(Failure),
    /// The body is too large
    #[response(status = 413)]
    TooLarge(Failure),
    /// The body is not JSON by its `Content-Type`
    #[response(status = 415)]
    WrongType(Failure),
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

    /// The caller may not do this.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, FORBIDDEN)
    }

    /// There is no such room.
    #[must_use]
    pub fn no_room() -> Self {
        Self::bad(NO_ROOM)
    }

    /// There is no such message.
    #[must_use]
    pub fn no_message() -> Self {
        Self::bad(NO_MESSAGE)
    }

    /// Something here does not work; what it is stands in the log.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
    }

    /// A refusal of what was asked of a room.
    #[must_use]
    pub fn of(cause: Refusal) -> Self {
        match cause {
            Refusal::Forbidden => Self::forbidden(),
            Refusal::NotFound => Self::no_room(),
            Refusal::Gone => Self::no_message(),
            Refusal::Blocked => Self::new(StatusCode::FORBIDDEN, BLOCKED),
            other => Self {
                retry_after: refusal::retry_after(other),
                ..Self::new(refusal::status(other), other.to_string())
            },
        }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Token { code: "TOKEN_MISSING", .. } => {
                Self::new(StatusCode::UNAUTHORIZED, "Authentication token is required")
            }
            Denied::Token { .. } => Self::new(StatusCode::UNAUTHORIZED, "Invalid or expired token"),
            Denied::TooMany(verdict) => Self {
                retry_after: Some(u32::try_from(verdict.reset.div_ceil(1_000).max(1)).unwrap_or(u32::MAX)),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests")
            },
        }
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        Self::new(error.status(), error.message())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = Failure { status: false, message: self.message.into_owned() };
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

/// An error that the router found.
pub fn of_router(status: StatusCode) -> Response {
    let message = match status {
        StatusCode::NOT_FOUND => "no such path; the calls are listed at /swagger",
        StatusCode::METHOD_NOT_ALLOWED => "this path does not take that method; see Allow",
        _ => "Internal server error",
    };
    Problem::new(status, message).into_response()
}
