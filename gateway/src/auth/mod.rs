//! Who a token speaks for.
//!
//! ```text
//! credentials.rs ── token ──► verifier.rs ──► Identity
//!                               ▲    │
//!      keys.rs, secret.rs ──────┘    └─ claims.rs: exact types, exact times
//! mint.rs makes the tokens of `muster token`, redact.rs keeps tokens out of logs.
//! ```
//!
//! What is absent: no fetching of keys by a URL (a token never decides where Muster connects to), no sessions
//! in cookies, no clock (the time is an argument).

mod claims;
pub mod credentials;
mod error;
mod keys;
mod live;
pub mod mint;
pub mod redact;
pub mod secret;
mod verifier;

#[cfg(test)]
mod tests;

pub use credentials::{Credentials, Place};
pub use error::{AuthError, AuthErrorKind};
pub use keys::{KeyRing, MissingSecret};
pub use live::LiveVerifier;
pub use secret::Generated;
pub use verifier::Verifier;

/// The realm of everyone where no realm claim is configured. No token can name it.
pub const DEFAULT_REALM: &str = "";

/// Whom a good token speaks for, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The realm; [`DEFAULT_REALM`] where realms are not used.
    pub realm: String,
    /// The user's id: not empty, no control characters, at most `limits.user_id` characters.
    pub user: String,
    /// Whether this is an internal service, which may do what users may not.
    pub service: bool,
    /// The role, where the token has one.
    pub role: Option<String>,
    /// When the token expires, in seconds since 1970: its `exp`, rounded down.
    pub expires_at: u64,
    /// When a connection that came with this token ends, in milliseconds since 1970: `exp` and the leeway.
    pub cut_off_ms: u64,
    /// When the token was made, in milliseconds since 1970, where it says so.
    pub issued_at_ms: Option<u64>,
    /// The token's own id (`jti`), where it has one.
    pub token_id: Option<String>,
    /// What a list of revoked tokens keys on: derived from issuer and `jti`, else from what was signed. Two
    /// spellings of a token's signature have one key.
    pub revocation_key: [u8; 16],
}
