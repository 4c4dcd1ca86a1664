//! Errors of the messaging API: `{"error":"Bad Request","message":"…","statusCode":400}`.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use schema::Refusal;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::drafts::Unfit;
use crate::http::auth::Denied;
use crate::http::body::BodyError;
use crate::http::json::json;
use crate::http::refusal;
use crate::media::MediaError;

/// An error of this API.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The status of the answer.
    pub status: StatusCode,
    /// For people.
    pub message: Cow<'static, str>,
    /// Seconds.
    retry_after: Option<u32>,
}

/// The body of an error.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagingFailure)]
pub struct Failure {
    /// The name of the status: `Bad Request`.
    #[schema(example = "Bad Request")]
    error: &'static str,
    /// What is wrong.
    #[schema(example = "File size exceeds 10MB")]
    message: String,
    /// The status again.
    #[schema(example = 400)]
    status_code: u16,
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
    pub fn forbidden(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// What is asked about is not there.
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    /// What is asked for is there already.
    pub fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, message)
    }

    /// It may work later.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self { retry_after: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    /// What its body says.
    #[must_use]
    pub fn failure(self) -> Failure {
        Failure {
            error: self.status.canonical_reason().unwrap_or("Error"),
            message: self.message.into_owned(),
            status_code: self.status.as_u16(),
        }
    }

    /// The token is none, or is none any more.
    #[must_use]
    pub fn invalid_token() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Invalid or expired token")
    }

    /// Something here does not work; what it is stands in the log.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Token { code: "TOKEN_MISSING", .. } => {
                Self::new(StatusCode::UNAUTHORIZED, "Authentication token is required")
            }
            Denied::Token { .. } => Self::invalid_token(),
            Denied::TooMany(verdict) => Self {
                retry_after: Some(u32::try_from(verdict.reset.div_ceil(1_000).max(1)).unwrap_or(u32::MAX)),
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests")
            },
        }
    }
}

impl From<Unfit> for Problem {
    fn from(unfit: Unfit) -> Self {
        Self::bad(unfit.0)
    }
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        Self::new(error.status(), error.message())
    }
}

impl From<Refusal> for Problem {
    fn from(cause: Refusal) -> Self {
        let retry_after = refusal::retry_after(cause);
        Self { retry_after, ..Self::new(refusal::status(cause), cause.to_string()) }
    }
}

impl From<MediaError> for Problem {
    fn from(error: MediaError) -> Self {
        match error {
            MediaError::NotFound => Self::not_found("File not found"),
            MediaError::Taken | MediaError::Failed(_) => {
                tracing::error!(%error, "the store of files failed");
                Self::internal()
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, retry_after) = (self.status, self.retry_after);
        let mut response = json(status, &self.failure());
        let headers = response.headers_mut();
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_has_three_keys_in_their_order() {
        let failure = Failure { error: "Bad Request", message: "File is empty".into(), status_code: 400 };
        assert_eq!(
            serde_json::to_string(&failure).unwrap(),
            r#"{"error":"Bad Request","message":"File is empty","statusCode":400}"#
        );
        let response = Problem::unavailable("later").into_response();
        assert_eq!(
            (response.status().as_u16(), &response.headers()[RETRY_AFTER]),
            (503, &HeaderValue::from(1))
        );
    }
}
