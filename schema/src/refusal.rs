//! Why a command was not carried out: whose fault it is, and what to do about it.

use std::fmt;

/// Whose fault a refusal is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The caller's: the same command will be refused again.
    Caller,
    /// Nobody's: the server has no room right now, or something behind it is slow; try again later.
    Server,
}

/// A command that was not carried out. Nothing of it took effect.
///
/// The numbers are those of the wire; a retired number is never used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum Refusal {
    /// A queue on the way is full.
    Busy = 1,
    /// The caller sends more commands than it may.
    RateLimited = 2,
    /// The identity may not do this; services may do more than users.
    Forbidden = 3,
    /// The frame is well formed, but this server does not know the command.
    Unsupported = 4,
    /// An argument is empty, too long or otherwise not acceptable.
    Invalid = 5,
    /// More ids in one call than allowed.
    TooMany = 6,
    /// The watch list or the channel subscriptions of the session are full.
    LimitReached = 7,
    /// The payload is larger than allowed.
    TooLarge = 8,
    /// There is no such session, conversation, member or message.
    NotFound = 9,
    /// An answer from another shard or the store did not come in time.
    Timeout = 10,
    /// The server is stopping.
    Draining = 11,
    /// It is there already: the user is a member, the id is taken by another conversation.
    Conflict = 12,
    /// A member has blocked the conversation.
    Blocked = 13,
    /// The store cannot take writes now: its disk is full, or it fails. Whatever was acknowledged is safe.
    Unavailable = 14,
    /// The message was deleted.
    Gone = 15,
}

impl Refusal {
    /// All refusals, in the order of their numbers.
    pub const ALL: &'static [Self] = &[
        Self::Busy,
        Self::RateLimited,
        Self::Forbidden,
        Self::Unsupported,
        Self::Invalid,
        Self::TooMany,
        Self::LimitReached,
        Self::TooLarge,
        Self::NotFound,
        Self::Timeout,
        Self::Draining,
        Self::Conflict,
        Self::Blocked,
        Self::Unavailable,
        Self::Gone,
    ];

    /// Whose fault it is.
    #[must_use]
    pub fn fault(self) -> Fault {
        match self {
            Self::Busy | Self::Timeout | Self::Draining | Self::Unavailable => Fault::Server,
            _ => Fault::Caller,
        }
    }

    /// After how many milliseconds the same command may be tried again; `None`: never.
    #[must_use]
    pub fn retry_after_ms(self) -> Option<u32> {
        match self {
            Self::Busy => Some(100),
            Self::RateLimited | Self::Timeout => Some(1_000),
            Self::Draining | Self::Unavailable => Some(2_000),
            _ => None,
        }
    }

    /// A stable word for logs, metrics and JSON.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Busy => "BUSY",
            Self::RateLimited => "RATE_LIMITED",
            Self::Forbidden => "FORBIDDEN",
            Self::Unsupported => "UNSUPPORTED",
            Self::Invalid => "INVALID",
            Self::TooMany => "TOO_MANY",
            Self::LimitReached => "LIMIT_REACHED",
            Self::TooLarge => "TOO_LARGE",
            Self::NotFound => "NOT_FOUND",
            Self::Timeout => "TIMEOUT",
            Self::Draining => "DRAINING",
            Self::Conflict => "CONFLICT",
            Self::Blocked => "BLOCKED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Gone => "GONE",
        }
    }

    /// A sentence for logs and for whoever reads an answer.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Busy => "the server is busy; try again in a moment",
            Self::RateLimited => "too many commands; slow down",
            Self::Forbidden => "not allowed for this identity; a service token may be needed",
            Self::Unsupported => "this server does not know the command; update the server or the client",
            Self::Invalid => "an argument is not acceptable",
            Self::TooMany => "too many ids in one call; split it",
            Self::LimitReached => "the session's limit is reached; remove some first",
            Self::TooLarge => "the payload is too large",
            Self::NotFound => "there is no such thing",
            Self::Timeout => "no answer in time; try again",
            Self::Draining => "the server is stopping; connect again",
            Self::Conflict => "it is there already",
            Self::Blocked => "a member has blocked the conversation",
            Self::Unavailable => "the store cannot take writes now; try again later",
            Self::Gone => "the message was deleted",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl std::error::Error for Refusal {}
