//! What a long-polling request is answered, and the errors with their numbers.
//!
//! Sources: Engine.IO protocol v4, "HTTP long-polling"; the reference server's error codes 0 to 5.

use std::fmt::Write as _;

/// A request that waits for its answer: a poll or an upload. The number is the caller's own.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Ticket(pub u64);

/// A refusal of the handshake or of a request, with the reference server's number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Refusal {
    /// The transport is not named, unknown or not enabled.
    TransportUnknown = 0,
    /// No session has that id.
    SessionUnknown = 1,
    /// A handshake is a GET.
    BadHandshakeMethod = 2,
    /// Ill-formed, or not what the session may be asked now.
    BadRequest = 3,
    /// The server does not want this client.
    Forbidden = 4,
    /// A version that is not spoken here.
    UnsupportedVersion = 5,
}

impl Refusal {
    /// The text of the answer.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::TransportUnknown => "Transport unknown",
            Self::SessionUnknown => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedVersion => "Unsupported protocol version",
        }
    }

    /// 403 for [`Refusal::Forbidden`], else 400.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            _ => 400,
        }
    }

    /// The body: `{"code":n,"message":"…"}`. For a refused WebSocket the body is the message alone, as plain text.
    #[must_use]
    pub fn body(self) -> String {
        let mut body = String::new();
        // Writing to a string does not fail.
        let _ = write!(body, r#"{{"code":{},"message":"{}"}}"#, self as u8, self.message());
        body
    }
}

/// The answer to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Packets for a poll.
    Packets {
        /// The payload.
        body: Vec<u8>,
        /// Whether it is of type application/octet-stream (v3 only), else text.
        binary: bool,
    },
    /// An upload was taken.
    Ok,
    /// An upload was longer than `maxPayload`; the session is over.
    TooLarge,
    /// The request breaks a rule; so does the session's end tell, except for a request after an upgrade.
    Refused(Refusal),
}

impl Answer {
    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Packets { .. } | Self::Ok => 200,
            Self::TooLarge => 413,
            Self::Refused(refusal) => refusal.status(),
        }
    }

    /// The Content-Type. Every answer also has `Cache-Control: no-store`.
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        match self {
            Self::Packets { binary: true, .. } => "application/octet-stream",
            Self::Packets { binary: false, .. } => "text/plain; charset=UTF-8",
            // The reference's choice: some browsers offered a download otherwise.
            Self::Ok => "text/html",
            Self::TooLarge => "text/plain",
            Self::Refused(_) => "application/json",
        }
    }

    /// The body.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        match self {
            Self::Packets { body, .. } => body,
            Self::Ok => b"ok".to_vec(),
            Self::TooLarge => Vec::new(),
            Self::Refused(refusal) => refusal.body().into_bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bodies_of_errors() {
        let check = |refusal: Refusal, status, body| {
            let answer = Answer::Refused(refusal);
            assert_eq!((answer.status(), answer.into_body().as_slice()), (status, str::as_bytes(body)));
        };
        check(Refusal::TransportUnknown, 400, r#"{"code":0,"message":"Transport unknown"}"#);
        check(Refusal::SessionUnknown, 400, r#"{"code":1,"message":"Session ID unknown"}"#);
        check(Refusal::BadHandshakeMethod, 400, r#"{"code":2,"message":"Bad handshake method"}"#);
        check(Refusal::BadRequest, 400, r#"{"code":3,"message":"Bad request"}"#);
        check(Refusal::Forbidden, 403, r#"{"code":4,"message":"Forbidden"}"#);
        check(Refusal::UnsupportedVersion, 400, r#"{"code":5,"message":"Unsupported protocol version"}"#);
    }
}
