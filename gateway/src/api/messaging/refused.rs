//! The errors that calls about conversations and messages may answer, for the description: those of every call, and
//! those of calls with a body, about a conversation, about a message.

use utoipa::IntoResponses;

use super::problem::Failure;

/// What every call may answer.
#[derive(IntoResponses)]
pub enum Always {
    /// No token (`Authentication token is required`), or a bad one (`Invalid or expired token`)
    #[response(status = 401)]
    NoToken(Failure),
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

/// What a call with a body of JSON may answer.
#[derive(IntoResponses)]
pub enum OfBody {
    /// The body cannot be used; `message` says why
    #[response(status = 400)]
    Bad(Failure),
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

/// What a call about something may answer.
#[derive(IntoResponses)]
pub enum OfThing {
    /// The caller may not: not a participant, not the sender, not the creator
    #[response(status = 403)]
    Forbidden(Failure),
    /// There is no such conversation, participant or message
    #[response(status = 404)]
    Missing(Failure),
}
