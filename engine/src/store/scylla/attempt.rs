//! What an error says of a statement that was to write: that it has not happened, or that nobody knows.

use scylla::errors::{DbError, ExecutionError, RequestAttemptError};

/// How an attempt to write failed.
pub(super) enum Attempt {
    /// It has not happened.
    NotDone(String),
    /// It may have happened, or happen yet.
    Unknown(String),
}

/// What an error says of the statement.
pub(super) fn judge(error: ExecutionError) -> Attempt {
    let text = error.to_string();
    match error {
        ExecutionError::BadQuery(_)
        | ExecutionError::EmptyPlan
        | ExecutionError::PrepareError(_)
        | ExecutionError::ConnectionPoolError(_) => Attempt::NotDone(text),
        ExecutionError::LastAttemptError(
            RequestAttemptError::SerializationError(_)
            | RequestAttemptError::CqlRequestSerialization(_)
            | RequestAttemptError::UnableToAllocStreamId,
        ) => Attempt::NotDone(text),
        ExecutionError::LastAttemptError(RequestAttemptError::DbError(
            DbError::Unavailable { .. }
            | DbError::IsBootstrapping
            | DbError::Invalid
            | DbError::SyntaxError
            | DbError::Unauthorized
            | DbError::ConfigError,
            _,
        )) => Attempt::NotDone(text),
        _ => Attempt::Unknown(text),
    }
}
