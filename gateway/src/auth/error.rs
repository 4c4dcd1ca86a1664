//! Why a token was refused.

use std::borrow::Cow;
use std::fmt;

/// The kinds of refusal. Each API maps them to its own words once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuthErrorKind {
    /// There is no token.
    Missing,
    /// What came is not a token.
    Malformed,
    /// Its algorithm is not one this server accepts.
    WrongAlgorithm,
    /// It names a key this server does not have, or names none where it must.
    UnknownKey,
    /// Its signature is not by the key of this server.
    BadSignature,
    /// A claim is missing its due type, or is missing where it is required.
    WrongType,
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It is by another issuer.
    WrongIssuer,
    /// It is for another audience.
    WrongAudience,
    /// It names no user, or none that this server allows.
    NoIdentity,
    /// It names no realm where realms are used.
    NoRealm,
}

impl AuthErrorKind {
    /// A stable code for programs.
    pub const fn code(self) -> &'static str {
        match self {
            AuthErrorKind::Missing => "TOKEN_MISSING",
            AuthErrorKind::Malformed => "TOKEN_MALFORMED",
            AuthErrorKind::WrongAlgorithm => "TOKEN_ALGORITHM",
            AuthErrorKind::UnknownKey => "TOKEN_UNKNOWN_KEY",
            AuthErrorKind::BadSignature => "TOKEN_SIGNATURE",
            AuthErrorKind::WrongType => "TOKEN_CLAIM",
            AuthErrorKind::Expired => "TOKEN_EXPIRED",
            AuthErrorKind::NotYetValid => "TOKEN_NOT_YET_VALID",
            AuthErrorKind::WrongIssuer => "TOKEN_ISSUER",
            AuthErrorKind::WrongAudience => "TOKEN_AUDIENCE",
            AuthErrorKind::NoIdentity => "TOKEN_NO_USER",
            AuthErrorKind::NoRealm => "TOKEN_NO_REALM",
        }
    }

    /// Whether a new token from the same issuer is likely to help.
    pub const fn wants_new_token(self) -> bool {
        matches!(self, AuthErrorKind::Missing | AuthErrorKind::Expired)
    }
}

/// A refused token: the kind for programs, a text for people. The text names the fix and repeats nothing of
/// the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthError {
    kind: AuthErrorKind,
    message: Cow<'static, str>,
}

impl AuthError {
    pub(super) fn new(kind: AuthErrorKind, message: impl Into<Cow<'static, str>>) -> AuthError {
        AuthError { kind, message: message.into() }
    }

    /// What kind of refusal it is.
    pub fn kind(&self) -> AuthErrorKind {
        self.kind
    }

    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// A text for people.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for AuthError {}
