//! Where a request carries its token.
//!
//! `Authorization: Bearer` is the right place. Browsers cannot set headers on a WebSocket, so there are two
//! more: the sub-protocol list `bearer, <token>`, and the query's `token`, which the published APIs use and
//! which leaks into logs and histories.

use std::borrow::Cow;

use super::error::{AuthError, AuthErrorKind};

/// The sub-protocol that announces a token. A server that took the token from there must echo it.
pub const SUB_PROTOCOL: &str = "bearer";

/// Where a token was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the `Authorization` header.
    Header,
    /// In `Sec-WebSocket-Protocol`: the answer must echo [`SUB_PROTOCOL`].
    SubProtocol,
    /// In the query.
    Query,
}

/// A token as it came, not verified.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The token.
    pub token: Cow<'a, str>,
    /// Where it was found.
    pub place: Place,
}

impl std::fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("place", &self.place).finish_non_exhaustive()
    }
}

impl<'a> Credentials<'a> {
    /// Finds the token of a request: in its `Authorization`, else in its `Sec-WebSocket-Protocol`, else in its
    /// query (without the question mark).
    pub fn find(
        authorization: Option<&'a str>,
        sub_protocols: Option<&'a str>,
        query: Option<&'a str>,
    ) -> Result<Credentials<'a>, AuthError> {
        let found = authorization
            .and_then(bearer)
            .map(|token| Credentials { token: token.into(), place: Place::Header })
            .or_else(|| {
                let token = sub_protocols.and_then(sub_protocol)?;
                Some(Credentials { token: token.into(), place: Place::SubProtocol })
            })
            .or_else(|| {
                let token = parameter(query?, "token").filter(|token| !token.is_empty())?;
                Some(Credentials { token, place: Place::Query })
            });
        found.ok_or_else(|| {
            AuthError::new(
                AuthErrorKind::Missing,
                "an access token is required: send it as \"Authorization: Bearer <token>\"",
            )
        })
    }
}

/// The token of an `Authorization` header of the Bearer scheme.
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The token in a list of sub-protocols: the one after `bearer`.
pub fn sub_protocol(list: &str) -> Option<&str> {
    let mut names = list.split(',').map(str::trim);
    names.find(|name| *name == SUB_PROTOCOL)?;
    names.next().filter(|token| !token.is_empty())
}

/// A parameter of a query, the first of its name, with its percent escapes resolved. What is not UTF-8 then is
/// as good as missing.
pub fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let value = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find_map(|(key, value)| (key == name).then_some(value))?;
    if !value.contains('%') {
        return Some(value.into());
    }
    let bytes = value.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let escaped = (*byte == b'%').then(|| hex(bytes.get(at + 1)?, bytes.get(at + 2)?)).flatten();
        out.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

fn hex(high: &u8, low: &u8) -> Option<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_place_comes_first() {
        let find = |header, list, query| {
            Credentials::find(header, list, query).map(|c| (c.token.into_owned(), c.place))
        };
        for (header, list, query, expected) in [
            (Some("Bearer a.b.c"), Some("bearer, x"), Some("token=q"), Some(("a.b.c", Place::Header))),
            (Some("bearer   a"), None, None, Some(("a", Place::Header))),
            (Some("Basic a"), Some("chat, bearer, x.y"), Some("token=q"), Some(("x.y", Place::SubProtocol))),
            (None, Some("bearer"), Some("x=1&token=q%2Er&token=z"), Some(("q.r", Place::Query))),
            (None, None, Some("token=a%zz%2"), Some(("a%zz%2", Place::Query))),
            (Some("Bearer "), None, Some("token="), None),
            (Some("Bearer"), Some(""), Some("atoken=x&token"), None),
            (None, None, Some("token=%ff"), None),
            (None, None, None, None),
        ] {
            let found = find(header, list, query);
            match expected {
                Some((token, place)) => assert_eq!(found, Ok((token.to_string(), place))),
                None => assert_eq!(found.unwrap_err().kind(), AuthErrorKind::Missing),
            }
        }
    }

    #[test]
    fn credentials_do_not_print_their_token() {
        let found = Credentials::find(Some("Bearer abc"), None, None).unwrap();
        assert!(!format!("{found:?}").contains("abc"));
    }
}
