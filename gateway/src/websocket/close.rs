//! Close codes and the payload of a close frame (RFC 6455, 5.5.1 and 7.4).

use std::fmt;

use super::Violation;

/// A close code. Any number can be held; [`CloseCode::may_be_sent`] says which may travel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The page was left, or the server goes down.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke RFC 6455.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// A kind of data that is not spoken here.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// Never on the wire: a close frame came without a code (RFC 6455, 7.1.5).
    pub const NO_STATUS: Self = Self(1005);
    /// Never on the wire: the connection ended without a close frame.
    pub const ABNORMAL: Self = Self(1006);
    /// Text that is not UTF-8.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// A rule of the server was broken for which there is no other code.
    pub const POLICY: Self = Self(1008);
    /// A message longer than the server takes.
    pub const TOO_BIG: Self = Self(1009);
    /// The server met something that it did not expect.
    pub const INTERNAL: Self = Self(1011);
    /// The server restarts: reconnect, after a random pause (IANA registry).
    pub const RESTART: Self = Self(1012);
    /// The server is overloaded: reconnect later (IANA registry).
    pub const TRY_AGAIN: Self = Self(1013);
    /// No credentials or bad ones; reconnecting with the same does not help. Private use, named after HTTP's 401.
    pub const UNAUTHORIZED: Self = Self(4401);

    /// Whether a close frame may carry the code: registered for the wire (1000–1003, 1007–1014), for libraries
    /// (3000–3999) or for private use (4000–4999) (RFC 6455, 7.4.2, and the IANA registry).
    #[must_use]
    pub const fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    /// The code's name for logs and metrics, where it has one here.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::NORMAL => "normal",
            Self::GOING_AWAY => "going away",
            Self::PROTOCOL_ERROR => "protocol error",
            Self::UNSUPPORTED_DATA => "unsupported data",
            Self::NO_STATUS => "no status",
            Self::ABNORMAL => "abnormal",
            Self::INVALID_PAYLOAD => "invalid payload",
            Self::POLICY => "policy violation",
            Self::TOO_BIG => "message too big",
            Self::INTERNAL => "internal error",
            Self::RESTART => "service restart",
            Self::TRY_AGAIN => "try again later",
            Self::UNAUTHORIZED => "unauthorized",
            _ => return None,
        })
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads the unmasked payload of a close frame: nothing, or a code and a reason in UTF-8 (RFC 6455, 5.5.1).
pub(super) fn parse(payload: &[u8]) -> Result<(CloseCode, &str), Violation> {
    let (code, reason) = match payload {
        [] => return Ok((CloseCode::NO_STATUS, "")),
        [_] => return Err(Violation::protocol("close payload of one byte")),
        [high, low, reason @ ..] => (CloseCode(u16::from_be_bytes([*high, *low])), reason),
    };
    if !code.may_be_sent() {
        return Err(Violation::protocol("invalid close code"));
    }
    let reason = std::str::from_utf8(reason).map_err(|_| Violation::encoding("close reason is not UTF-8"))?;
    Ok((code, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads() {
        let check = |payload: &[u8], expected: Result<(u16, &str), u16>| {
            let got = parse(payload).map(|(code, reason)| (code.0, reason)).map_err(|v| v.code.0);
            assert_eq!(got, expected, "{payload:?}");
        };
        check(b"", Ok((1005, "")));
        check(b"\x03", Err(1002));
        check(b"\x03\xe8", Ok((1000, "")));
        check(b"\x03\xe8bye", Ok((1000, "bye")));
        check(b"\x03\xe8\xff", Err(1007));
        check(b"\x03\xed", Err(1002));
        check(b"\x11\x31", Ok((4401, "")));
    }

    #[test]
    fn codes_for_the_wire() {
        let refused = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535];
        assert!(refused.iter().all(|&code| !CloseCode(code).may_be_sent()));
        let taken = [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4401, 4999];
        assert!(taken.iter().all(|&code| CloseCode(code).may_be_sent()));
    }
}
