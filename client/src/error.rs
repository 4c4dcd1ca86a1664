//! Why a call of the client did not succeed.

use std::{fmt, io};

use schema::frame::Refused;
use schema::id::IdError;

use crate::connection::End;

/// Why a call did not succeed.
#[derive(Debug)]
pub enum Error {
    /// The server did not carry the command out; nothing of it took effect. [`Refused::fault`] says whose fault it is,
    /// [`Refused::retry_after_ms`] when to try again.
    Refused(Refused),
    /// The connection ended while the call was under way: whether it took effect is not known.
    Disconnected(End),
    /// The connection ended and the server advised against coming back, or no new token was to be had. Every further
    /// call gives the same.
    Stopped(End),
    /// No answer in time, or no connection. If the command was sent, whether it took effect is not known.
    Timeout,
    /// The command does not fit a frame.
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// What the server takes.
        max: usize,
    },
    /// Events have piled up; take them with `next_event` before the next call. If the command was sent, whether it took
    /// effect is not known.
    Backlog,
    /// The connection is not established, or has ended. Only the sans-IO connection says so; the driver waits.
    NotReady,
    /// The server answered with something else than was asked: a bug, or a much newer server.
    Unexpected(&'static str),
    /// An id that is none.
    Id(IdError),
    /// The first connection could not be made.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refused) => write!(f, "refused: {}", refused.text),
            Self::Disconnected(end) => write!(f, "the connection ended during the call: {end}"),
            Self::Stopped(end) => write!(f, "the connection ended for good: {end}"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::TooLarge { bytes, max } => {
                write!(f, "the command has {bytes} bytes; the server takes {max}")
            }
            Self::Backlog => f.write_str("events have piled up; take them first"),
            Self::NotReady => f.write_str("the connection is not established"),
            Self::Unexpected(what) => write!(f, "an answer of the wrong kind to {what}"),
            Self::Id(error) => error.fmt(f),
            Self::Io(error) => write!(f, "no connection: {error}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<IdError> for Error {
    fn from(error: IdError) -> Self {
        Self::Id(error)
    }
}
