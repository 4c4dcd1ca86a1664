//! The body of an upload: a form that comes in pieces, bounded in bytes, in memory and in time, and a proper end for one
//! that is refused on the way.
//!
//! multer reads the form. What it may gather without giving anything out is bounded here ([`LEASH`]): the head of a
//! part that never ends, or what stands before the first one, would else be kept whole.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, StatusCode};
use hyper::body::Body as _;
use tokio::time::{Sleep, sleep};

use super::Problem;

/// What the form may have beside its file: other fields, heads of parts, boundaries.
pub const BESIDE: u64 = 128 * 1024;

/// Bytes that the reader of the form may take without giving anything out.
const LEASH: usize = 64 * 1024;

/// Longest boundary (RFC 2046).
const BOUNDARY: usize = 70;

/// What is read and thrown away behind a refusal, so that the client comes to read it: a close with unread input is a
/// reset, which destroys the answer on its way.
const REST: u64 = 64 * 1024 * 1024;
/// For how long.
const REST_TIME: Duration = Duration::from_secs(10);

/// Why a form could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FormError {
    /// It is longer than its file may be, and all that may stand beside it.
    TooLarge,
    /// It stood still, or took too long.
    TooSlow,
    /// It broke off.
    Broken,
    /// A head of a part, or what stands before the first, is too long.
    Bloated,
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the form is too large",
            Self::TooSlow => "the upload did not arrive in time",
            Self::Broken => "the upload broke off",
            Self::Bloated => "a part of the form has too long a head",
        })
    }
}

impl std::error::Error for FormError {}

/// The times of an upload.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// For the whole.
    pub whole: Duration,
    /// For standing still.
    pub stall: Duration,
}

/// The boundary of a form, by its head.
///
/// # Errors
/// When it is no form.
pub fn boundary(headers: &HeaderMap) -> Result<String, Problem> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let boundary = multer::parse_boundary(kind)
        .map_err(|_| Problem::bad("Content-Type must be multipart/form-data with a boundary"))?;
    if boundary.is_empty() || boundary.len() > BOUNDARY {
        return Err(Problem::bad(format!("the boundary must have 1 to {BOUNDARY} characters")));
    }
    Ok(boundary)
}

/// The length that a body announces.
#[must_use]
pub fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body on its way.
pub struct Intake {
    body: BodyDataStream,
    /// Bytes since the form's reader last gave something out.
    taken: Arc<AtomicUsize>,
    left: u64,
    stall: Duration,
    stalled: Pin<Box<Sleep>>,
    late: Pin<Box<Sleep>>,
    /// The next poll says "not yet": multer gathers all it can get before it looks at any of it.
    rest: bool,
    waits_for_leave: bool,
    ended: bool,
    failure: Option<FormError>,
}

impl Intake {
    /// Of a request, with at most so many bytes.
    #[must_use]
    pub fn new(body: Body, headers: &HeaderMap, most: u64, times: Times) -> Self {
        let waits =
            headers.get(EXPECT).is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
        let ended = body.is_end_stream();
        Self {
            body: body.into_data_stream(),
            taken: Arc::default(),
            left: most,
            stall: times.stall,
            stalled: Box::pin(sleep(times.stall)),
            late: Box::pin(sleep(times.whole)),
            rest: false,
            waits_for_leave: waits,
            ended,
            failure: None,
        }
    }

    /// Loosens the leash: the form's reader has given something out.
    #[must_use]
    pub fn leash(&self) -> Leash {
        Leash(self.taken.clone())
    }

    /// What ended the body early, if anything did.
    #[must_use]
    pub fn failure(&self) -> Option<FormError> {
        self.failure
    }

    /// Reads what stands behind the form; true when that was all.
    pub async fn finish(&mut self) -> bool {
        self.taken.store(0, Ordering::Relaxed);
        while let Some(Ok(_)) = self.next().await {}
        self.ended
    }

    /// Whether the whole body was read, so that the connection can go on.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Reads and throws away what still comes, on its own, while the answer is written.
    pub fn discard(mut self) {
        if self.ended || self.waits_for_leave || self.failure == Some(FormError::Broken) {
            return;
        }
        let discarded = async move {
            let mut read = 0;
            while let Some(Ok(bytes)) = self.body.next().await {
                read += bytes.len() as u64;
                if read > REST {
                    break;
                }
            }
        };
        tokio::spawn(tokio::time::timeout(REST_TIME, discarded));
    }

    fn fail(&mut self, failure: FormError) -> Poll<Option<Result<Bytes, FormError>>> {
        self.failure = Some(failure);
        Poll::Ready(Some(Err(failure)))
    }
}

impl Stream for Intake {
    type Item = Result<Bytes, FormError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.ended || this.failure.is_some() {
            return Poll::Ready(None);
        }
        if std::mem::take(&mut this.rest) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.late.as_mut().poll(context).is_ready() {
            return this.fail(FormError::TooSlow);
        }
        // The client may send now, whatever it waited for.
        this.waits_for_leave = false;
        let Poll::Ready(next) = this.body.poll_next_unpin(context) else {
            ready!(this.stalled.as_mut().poll(context));
            return this.fail(FormError::TooSlow);
        };
        let bytes = match next {
            Some(Ok(bytes)) => bytes,
            Some(Err(_)) => return this.fail(FormError::Broken),
            None => {
                this.ended = true;
                return Poll::Ready(None);
            }
        };
        let stall = this.stall;
        this.stalled.set(sleep(stall));
        let Some(left) = this.left.checked_sub(bytes.len() as u64) else {
            return this.fail(FormError::TooLarge);
        };
        this.left = left;
        if this.taken.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len() > LEASH {
            return this.fail(FormError::Bloated);
        }
        this.rest = true;
        Poll::Ready(Some(Ok(bytes)))
    }
}

/// The bound on what is gathered.
#[derive(Debug)]
pub struct Leash(Arc<AtomicUsize>);

impl Leash {
    /// Something was given out.
    pub fn loosen(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// What to answer for an error of the form's reader.
#[must_use]
pub fn problem(failure: Option<FormError>, error: &multer::Error) -> Problem {
    match failure {
        Some(FormError::TooSlow) => Problem::new(StatusCode::REQUEST_TIMEOUT, FormError::TooSlow.to_string()),
        Some(failure) => Problem::bad(format!("Malformed multipart form: {failure}")),
        None => Problem::bad(match error {
            multer::Error::IncompleteFieldData { .. }
            | multer::Error::IncompleteHeaders
            | multer::Error::IncompleteStream => "Malformed multipart form: it ends too early",
            _ => "Malformed multipart form",
        }),
    }
}
