//! The opening handshake: a request head checked, a 101 or a refusal answered (RFC 6455, 4.2).
//!
//! Pure: it sees a method, a version and headers, and returns headers. Extensions are never accepted, so
//! `Sec-WebSocket-Extensions` is not even read.

use std::fmt;

use http::header::{
    ALLOW, CONNECTION, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, StatusCode, Version};
use tungstenite::handshake::derive_accept_key;

/// The sub-protocol by which a browser, which cannot set headers on a WebSocket, hands over a token: it offers
/// `bearer` and the token as if they were two sub-protocols.
pub const BEARER: &str = "bearer";

/// What an edge accepts.
#[derive(Clone, Copy, Debug)]
pub struct Policy<'a> {
    /// Origins from which a browser may connect, such as `https://chat.example`; `*` is any. A request without an
    /// `Origin` header comes from no browser and is not measured by this list (RFC 6455, 10.2).
    pub origins: &'a [String],
    /// The sub-protocols that the edge speaks; the first that the client offers is chosen.
    pub protocols: &'a [&'a str],
    /// Whether a token may come by `Sec-WebSocket-Protocol: bearer, <token>`.
    pub bearer: bool,
}

/// A handshake that is good.
#[derive(Clone)]
pub struct Accepted {
    /// To be sent with `101 Switching Protocols`.
    pub headers: HeaderMap,
    /// The sub-protocol in `headers`, if any.
    pub protocol: Option<String>,
    /// The token that was offered after `bearer`. It is not verified.
    pub token: Option<String>,
}

impl fmt::Debug for Accepted {
    /// Without the token: what is printed may be kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepted").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// A handshake that is refused, to be answered as plain HTTP.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The status of the answer.
    pub status: StatusCode,
    /// Headers that the status calls for.
    pub headers: HeaderMap,
    /// What was wrong, for the body.
    pub text: &'static str,
}

impl Refusal {
    fn new(status: StatusCode, text: &'static str) -> Self {
        Self { status, headers: HeaderMap::new(), text }
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }
}

/// Checks an opening handshake (RFC 6455, 4.2.1) and prepares its answer (4.2.2).
///
/// # Errors
/// The answer to send instead of a 101.
pub fn accept(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
    policy: &Policy<'_>,
) -> Result<Accepted, Refusal> {
    let bad = |text| Refusal::new(StatusCode::BAD_REQUEST, text);
    if method != Method::GET {
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "a WebSocket is opened by GET");
        return Err(refusal.with(ALLOW, "GET"));
    }
    if version != Version::HTTP_11 {
        return Err(bad("a WebSocket is opened over HTTP/1.1"));
    }
    if !list(headers, UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket")) {
        let refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, "this is a WebSocket endpoint");
        return Err(refusal.with(UPGRADE, "websocket").with(CONNECTION, "upgrade"));
    }
    if !list(headers, CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade")) {
        return Err(bad("Connection does not name Upgrade"));
    }
    if single(headers, SEC_WEBSOCKET_VERSION) != Some(b"13") {
        let refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, "only version 13 is spoken");
        return Err(refusal
            .with(SEC_WEBSOCKET_VERSION, "13")
            .with(UPGRADE, "websocket")
            .with(CONNECTION, "upgrade"));
    }
    let Some(key) = single(headers, SEC_WEBSOCKET_KEY).filter(|key| is_key(key)) else {
        return Err(bad("Sec-WebSocket-Key is not 16 bytes in base64"));
    };
    if !origin_allowed(headers, policy.origins) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "origin not allowed"));
    }

    let mut answer = HeaderMap::with_capacity(4);
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    let accept_key =
        HeaderValue::try_from(derive_accept_key(key)).map_err(|_| bad("bad Sec-WebSocket-Key"))?;
    answer.insert(SEC_WEBSOCKET_ACCEPT, accept_key);
    let (protocol, token) = choose(headers, policy);
    if let Some(protocol) = protocol {
        let value = HeaderValue::try_from(protocol).map_err(|_| bad("bad Sec-WebSocket-Protocol"))?;
        answer.insert(SEC_WEBSOCKET_PROTOCOL, value);
    }
    Ok(Accepted { headers: answer, protocol: protocol.map(String::from), token: token.map(String::from) })
}

/// The sub-protocol to answer and the token. A sub-protocol of the edge goes before `bearer`, which is only
/// answered because a browser drops a connection on which none of its offers was chosen.
fn choose<'a>(headers: &'a HeaderMap, policy: &Policy<'_>) -> (Option<&'a str>, Option<&'a str>) {
    let mut protocol = None;
    let mut bearer = None;
    let mut token = None;
    let mut offers = list(headers, SEC_WEBSOCKET_PROTOCOL);
    while let Some(offer) = offers.next() {
        if policy.bearer && bearer.is_none() && offer.eq_ignore_ascii_case(BEARER) {
            bearer = Some(offer);
            token = offers.next();
        } else if protocol.is_none() && policy.protocols.contains(&offer) {
            protocol = Some(offer);
        }
    }
    (protocol.or(bearer), token)
}

/// The members of a comma-separated header, over all its lines (RFC 9110, 5.6.1).
fn list(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|member| !member.is_empty())
}

/// The value of a header that may be there once only.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    let mut values = headers.get_all(name).into_iter();
    match (values.next(), values.next()) {
        (Some(value), None) => Some(value.as_bytes().trim_ascii()),
        _ => None,
    }
}

/// Sixteen bytes in base64 are 22 characters of its alphabet and two of padding.
fn is_key(key: &[u8]) -> bool {
    let Some((digits, b"==")) = key.split_last_chunk::<2>() else { return false };
    digits.len() == 22
        && digits.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

fn origin_allowed(headers: &HeaderMap, allowed: &[String]) -> bool {
    let listed = |origin: &HeaderValue| {
        allowed.iter().any(|allowed| {
            allowed == "*" || allowed.trim_end_matches('/').as_bytes().eq_ignore_ascii_case(origin.as_bytes())
        })
    };
    headers.get_all(ORIGIN).into_iter().all(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: [(&str, &str); 5] = [
        ("host", "chat.example"),
        ("upgrade", "websocket"),
        ("connection", "keep-alive, Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];

    /// The good request with some headers replaced (a `None` removes one, a repeated name adds lines).
    fn request(changes: &[(&'static str, Option<&str>)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in GOOD {
            if changes.iter().all(|(changed, _)| *changed != name) {
                headers.insert(name, value.parse().unwrap());
            }
        }
        for (name, value) in changes {
            if let Some(value) = value {
                headers.append(*name, value.parse().unwrap());
            }
        }
        headers
    }

    fn try_accept(headers: &HeaderMap, origins: &[&str], protocols: &[&str]) -> Result<Accepted, Refusal> {
        let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let policy = Policy { origins: &origins, protocols, bearer: true };
        accept(&Method::GET, Version::HTTP_11, headers, &policy)
    }

    #[test]
    fn the_example_of_the_rfc_is_accepted() {
        let accepted = try_accept(&request(&[]), &["*"], &[]).unwrap();
        assert_eq!(accepted.headers[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(accepted.headers[UPGRADE], "websocket");
        assert_eq!(accepted.headers[CONNECTION], "Upgrade");
        assert_eq!(accepted.headers.len(), 3);
        let extensions = request(&[("sec-websocket-extensions", Some("permessage-deflate"))]);
        assert_eq!(try_accept(&extensions, &["*"], &[]).unwrap().headers.len(), 3);
    }

    #[test]
    fn refusals() {
        let check = |changes: &[(&'static str, Option<&str>)], status: u16| {
            let refusal = try_accept(&request(changes), &["*"], &[]).unwrap_err();
            assert_eq!(refusal.status, status, "{changes:?}");
            refusal
        };
        let refusal = check(&[("upgrade", None)], 426);
        assert_eq!(refusal.headers[UPGRADE], "websocket");
        check(&[("upgrade", Some("h2c"))], 426);
        check(&[("connection", None)], 400);
        check(&[("connection", Some("keep-alive"))], 400);
        for version in [None, Some("8"), Some("14"), Some("13, 8")] {
            let refusal = check(&[("sec-websocket-version", version)], 426);
            assert_eq!(refusal.headers[SEC_WEBSOCKET_VERSION], "13");
        }
        let keys =
            ["", "short", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZ===", "dGhlIHNhbXBsZSBub25j ===="];
        for key in keys {
            check(&[("sec-websocket-key", Some(key))], 400);
        }
        check(&[("sec-websocket-key", None)], 400);
        let key = Some("dGhlIHNhbXBsZSBub25jZQ==");
        check(&[("sec-websocket-key", key), ("sec-websocket-key", key)], 400);

        let policy = Policy { origins: &[], protocols: &[], bearer: false };
        let post = accept(&Method::POST, Version::HTTP_11, &request(&[]), &policy).unwrap_err();
        assert_eq!((post.status.as_u16(), &post.headers[ALLOW]), (405, &HeaderValue::from_static("GET")));
        for version in [Version::HTTP_10, Version::HTTP_2] {
            let refusal = accept(&Method::GET, version, &request(&[]), &policy).unwrap_err();
            assert_eq!(refusal.status, 400);
        }
    }

    #[test]
    fn tokens_of_lists_are_found_in_any_case_and_line() {
        let headers = request(&[
            ("upgrade", Some("h2c, WebSocket")),
            ("connection", Some("keep-alive")),
            ("connection", Some("UPGRADE")),
        ]);
        assert!(try_accept(&headers, &["*"], &[]).is_ok());
    }

    #[test]
    fn origins() {
        let check = |origin: Option<&str>, allowed: &[&str], expected: bool| {
            let headers = request(&[("origin", origin)]);
            let got = try_accept(&headers, allowed, &[]);
            assert_eq!(got.is_ok(), expected, "{origin:?} {allowed:?}");
            if let Err(refusal) = got {
                assert_eq!(refusal.status, 403);
            }
        };
        check(None, &[], true);
        check(Some("https://chat.example"), &[], false);
        check(Some("https://chat.example"), &["*"], true);
        check(Some("https://chat.example"), &["https://other.example", "https://Chat.example/"], true);
        check(Some("http://chat.example"), &["https://chat.example"], false);
        check(Some("https://chat.example.evil.example"), &["https://chat.example"], false);
        check(Some("null"), &["https://chat.example"], false);
    }

    #[test]
    fn sub_protocols_and_the_bearer_token() {
        let check = |offers: &[&str], expected: (Option<&str>, Option<&str>)| {
            let offers: Vec<_> =
                offers.iter().map(|offer| ("sec-websocket-protocol", Some(*offer))).collect();
            let accepted = try_accept(&request(&offers), &["*"], &["muster.v1", "muster.v2"]).unwrap();
            assert_eq!((accepted.protocol.as_deref(), accepted.token.as_deref()), expected, "{offers:?}");
            let answered = accepted.headers.get(SEC_WEBSOCKET_PROTOCOL).map(|value| value.to_str().unwrap());
            assert_eq!(answered, expected.0);
            assert!(!format!("{accepted:?}").contains("eyJ"));
        };
        check(&[], (None, None));
        check(&["soap"], (None, None));
        check(&["soap, muster.v2, muster.v1"], (Some("muster.v2"), None));
        check(&["bearer, eyJh.eyJz.c2ln"], (Some("bearer"), Some("eyJh.eyJz.c2ln")));
        check(&["bearer", "eyJh.eyJz.c2ln"], (Some("bearer"), Some("eyJh.eyJz.c2ln")));
        check(&["bearer"], (Some("bearer"), None));
        check(&["bearer, eyJh, muster.v1"], (Some("muster.v1"), Some("eyJh")));
        check(&["muster.v1, bearer, eyJh"], (Some("muster.v1"), Some("eyJh")));

        let headers = request(&[("sec-websocket-protocol", Some("bearer, eyJh"))]);
        let policy = Policy { origins: &[], protocols: &[], bearer: false };
        let accepted = accept(&Method::GET, Version::HTTP_11, &headers, &policy).unwrap();
        assert_eq!((accepted.protocol, accepted.token), (None, None));
    }
}
