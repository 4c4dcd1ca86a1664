//! Uploaded files that Muster serves itself, from its folder.
//!
//! Anyone who has the address may read a file, as with a bucket: pictures in a page carry no token. tower-http sends the
//! file, in pieces, with ranges and conditions; what is added is that no browser takes it for anything but what it is.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_RANGE, LAST_MODIFIED,
    RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tower::ServiceExt;
use tower_http::services::ServeFile;

use super::Problem;
use crate::http::Front;
use crate::media::kind::is_shown;
use crate::media::name::ObjectName;

/// What the paths of files begin with.
pub const PATH: &str = "/messaging/messages/";
/// The route of a file.
pub const ROUTE: &str = "/messaging/messages/{name}";

/// What is read of a file at a time.
const PIECE: usize = 32 * 1024;

/// A name is never given to another file, so what was fetched once is good for a year.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");
/// Should a browser show it as a page all the same, nothing in it runs.
const NOTHING_RUNS: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");
/// Pages of other origins may show it, whatever they ask of what they show.
const CROSS_ORIGIN: HeaderValue = HeaderValue::from_static("cross-origin");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Shows a file.
pub async fn show(
    State(front): State<Arc<Front>>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let shown = async {
        let missing = || Problem::not_found("File not found");
        let Path(name) = name.map_err(|_| missing())?;
        let name = ObjectName::parse(&name).ok_or_else(missing)?;
        let media = front.media.as_ref().ok_or_else(missing)?;
        let folder = media.folder().ok_or_else(missing)?;
        let kind = media.about(&name).await?.kind;
        let file = ServeFile::new(folder.file(&name)).with_buf_chunk_size(PIECE);
        send(file, request, &kind).await
    };
    shown.await.unwrap_or_else(|problem: Problem| problem.into_response())
}

async fn send(file: ServeFile, mut request: Request, kind: &str) -> Result<Response, Problem> {
    let if_range = request.headers_mut().remove(IF_RANGE);
    let range = request.headers().get(RANGE).cloned();
    if range.is_some() && if_range.is_some() {
        // Whether the range is of what is here now is known only when it is looked at.
        request.headers_mut().remove(RANGE);
    }
    let (parts, _) = request.into_parts();
    let answer = call(file.clone(), parts.clone()).await?;
    let answer = match (if_range, range) {
        (Some(seen), Some(range))
            if answer.status() == StatusCode::OK && is_same(&seen, answer.headers()) =>
        {
            let mut parts = parts;
            parts.headers.insert(RANGE, range);
            call(file, parts).await?
        }
        _ => answer,
    };
    match answer.status() {
        StatusCode::NOT_FOUND => Err(Problem::not_found("File not found")),
        status if status.is_server_error() => Err(Problem::internal()),
        _ => Ok(dressed(answer, kind)),
    }
}

async fn call(file: ServeFile, parts: http::request::Parts) -> Result<Response, Problem> {
    let answer = file.oneshot(http::Request::from_parts(parts, Body::empty())).await;
    answer.map(|answer| answer.map(Body::new)).map_err(|never| match never {})
}

/// Whether a client's `If-Range` is about the file as it is.
fn is_same(seen: &HeaderValue, headers: &HeaderMap) -> bool {
    [ETAG, LAST_MODIFIED].iter().any(|name| headers.get(name) == Some(seen))
}

fn dressed(mut answer: Response, kind: &str) -> Response {
    let good = answer.status().is_success() || answer.status() == StatusCode::NOT_MODIFIED;
    let headers = answer.headers_mut();
    headers.insert(RESOURCE_POLICY, CROSS_ORIGIN);
    if good {
        headers.insert(CACHE_CONTROL, FOREVER);
    }
    if headers.contains_key(CONTENT_TYPE) {
        let kind =
            HeaderValue::from_str(kind).unwrap_or(HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_TYPE, kind);
    }
    if !is_shown(kind) {
        headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
        headers.insert(CONTENT_SECURITY_POLICY, NOTHING_RUNS);
    }
    answer
}
