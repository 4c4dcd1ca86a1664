//! Which web pages may read the answers (the Fetch standard's CORS protocol).
//!
//! Any origin is echoed by default, and a configured list closes it. Never with credentials: identity is a token that
//! a page must have, never a cookie that a browser adds.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, DELETE, OPTIONS");
const HEADERS: HeaderValue = HeaderValue::from_static("Authorization, Content-Type, Idempotency-Key");
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, X-RateLimit-Limit, X-RateLimit-Remaining, \
     X-RateLimit-Reset, Retry-After, Link",
);
/// Two hours: the longest that every browser honours.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const PREFLIGHT_VARY: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

/// Whether a request is a browser's question ahead of the real one.
#[must_use]
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(ORIGIN)
        && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The headers of the answer to a preflight. For an origin that is not allowed there are none that allow.
#[must_use]
pub fn preflight(request: &HeaderMap, allowed: &[String]) -> HeaderMap {
    let mut answer = HeaderMap::new();
    answer.insert(VARY, PREFLIGHT_VARY);
    if let Some(origin) = allowed_origin(request, allowed) {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(HEADERS));
        answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    }
    answer
}

/// What an answer says to the page that asked: its origin, taken from the request before the call.
pub fn allow(answer: &mut HeaderMap, origin: Option<HeaderValue>) {
    // Also where no origin came: a cache must not give that answer to a page.
    answer.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}

/// The page may send credentials with its request, where its origin may ask at all. Only for clients that insist on it
/// and that are answered the same without: identity is never one of them.
pub fn with_credentials(answer: &mut HeaderMap) {
    if answer.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
}

/// The request's origin, if it may read the answer.
#[must_use]
pub fn allowed_origin(request: &HeaderMap, allowed: &[String]) -> Option<HeaderValue> {
    let origin = request.get(ORIGIN)?;
    let listed =
        allowed.iter().any(|one| one == "*" || one.as_bytes().eq_ignore_ascii_case(origin.as_bytes()));
    listed.then(|| origin.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn any_origin_or_those_listed() {
        let from = |origin| request(&[("origin", origin)]);
        let any = ["*".to_owned()];
        let list = ["https://a.example".to_owned()];
        assert_eq!(allowed_origin(&from("https://x.example"), &any).unwrap(), "https://x.example");
        assert_eq!(allowed_origin(&from("null"), &any).unwrap(), "null");
        assert!(allowed_origin(&from("https://x.example"), &list).is_none());
        assert_eq!(allowed_origin(&from("https://A.example"), &list).unwrap(), "https://A.example");
        assert!(allowed_origin(&from("https://a.example.evil"), &list).is_none());
        assert!(allowed_origin(&request(&[]), &any).is_none());
        assert!(allowed_origin(&from("https://a.example"), &[]).is_none());
    }

    #[test]
    fn preflights() {
        let asked = request(&[
            ("origin", "https://a.example"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "authorization,x-own"),
        ]);
        assert!(is_preflight(&Method::OPTIONS, &asked));
        assert!(!is_preflight(&Method::GET, &asked));
        assert!(!is_preflight(&Method::OPTIONS, &request(&[("origin", "https://a.example")])));
        let answer = preflight(&asked, &["*".into()]);
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example");
        assert_eq!(answer[ACCESS_CONTROL_ALLOW_HEADERS], "authorization,x-own");
        assert!(!answer.contains_key("access-control-allow-credentials"));
        let refused = preflight(&asked, &["https://b.example".into()]);
        assert_eq!(refused.len(), 1, "only Vary");
    }
}
