//! What a limited route says of its limit, in every answer.
//!
//! Two families of headers, for both are in use: `RateLimit-*` with the seconds that are left, and `X-RateLimit-*`
//! with the time of day; and `Retry-After` where a call was refused.

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::rate::Verdict;

const LIMIT: [HeaderName; 2] =
    [HeaderName::from_static("ratelimit-limit"), HeaderName::from_static("x-ratelimit-limit")];
const REMAINING: [HeaderName; 2] =
    [HeaderName::from_static("ratelimit-remaining"), HeaderName::from_static("x-ratelimit-remaining")];
const RESET_DELTA: HeaderName = HeaderName::from_static("ratelimit-reset");
const RESET_EPOCH: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Adds the headers; `now` is in milliseconds since the Unix epoch.
pub fn tell(headers: &mut HeaderMap, verdict: &Verdict, now: u64) {
    for name in LIMIT {
        headers.insert(name, HeaderValue::from(verdict.limit));
    }
    for name in REMAINING {
        headers.insert(name, HeaderValue::from(verdict.remaining));
    }
    headers.insert(RESET_DELTA, HeaderValue::from(verdict.reset_seconds()));
    headers.insert(RESET_EPOCH, HeaderValue::from((now + verdict.reset).div_ceil(1_000)));
    if !verdict.allowed {
        headers.insert(RETRY_AFTER, HeaderValue::from(verdict.reset_seconds()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families() {
        let mut headers = HeaderMap::new();
        let verdict = Verdict { allowed: false, limit: 10, remaining: 0, reset: 1_500 };
        tell(&mut headers, &verdict, 100_000);
        for (name, value) in [
            ("ratelimit-limit", "10"),
            ("x-ratelimit-limit", "10"),
            ("ratelimit-remaining", "0"),
            ("ratelimit-reset", "2"),
            ("x-ratelimit-reset", "102"),
            ("retry-after", "2"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
    }
}
