//! What a refusal of the machine is in HTTP; each API says it in its own words.

use http::StatusCode;
use schema::Refusal;

/// The status of an answer that tells of a refusal.
#[must_use]
pub fn status(refusal: Refusal) -> StatusCode {
    match refusal {
        Refusal::Busy | Refusal::Timeout | Refusal::Draining | Refusal::Unavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Refusal::Conflict => StatusCode::CONFLICT,
        Refusal::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Forbidden | Refusal::Blocked => StatusCode::FORBIDDEN,
        Refusal::NotFound | Refusal::Gone => StatusCode::NOT_FOUND,
        Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::Unsupported | Refusal::Invalid | Refusal::TooMany | Refusal::LimitReached => {
            StatusCode::BAD_REQUEST
        }
    }
}

/// After how many seconds the same call may be made again (for `Retry-After`); `None`: never.
#[must_use]
pub fn retry_after(refusal: Refusal) -> Option<u32> {
    refusal.retry_after_ms().map(|ms| ms.div_ceil(1_000).max(1))
}
