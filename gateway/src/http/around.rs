//! What surrounds every call: whose it is, preflights, panics, headers that every answer has, counting, one log line.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures_util::FutureExt;
use http::header::{REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, StatusCode};

use super::client_addr::{Client, Peer, client};
use super::state::Front;
use super::tally::{NO_ROUTE, count};
use super::{cors, router};
use crate::auth::redact::redact;

/// The middleware around all routes and fallbacks.
pub async fn around(State(front): State<Arc<Front>>, mut request: Request, next: Next) -> Response {
    let begun = front.clock.unix_ms();
    let peer = request.extensions().get::<Peer>().map_or(NOBODY, |peer| peer.0);
    let client = client(peer, request.headers(), &front.config.http.trusted_proxies);
    request.extensions_mut().insert(client);
    let call = Call::of(&request, client);

    let origins = &front.config.http.origins;
    let engineio = is_engineio(&front, &call.path);
    let mut response = if cors::is_preflight(&call.method, request.headers()) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        *response.headers_mut() = cors::preflight(request.headers(), origins);
        if engineio {
            cors::with_credentials(response.headers_mut());
        }
        response
    } else {
        let origin = cors::allowed_origin(request.headers(), origins);
        let mut response = answer(&front, &call, request, next).await;
        cors::allow(response.headers_mut(), origin);
        // Clients of version 3 ask with credentials, whatever they think these are good for.
        if engineio {
            cors::with_credentials(response.headers_mut());
        }
        response
    };

    let headers = response.headers_mut();
    // An address may hold a token; it must not travel on in a Referer.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    front.tally.request(&call.route, &call.method, response.status());
    call.log(response.status(), front.clock.unix_ms().saturating_sub(begun));
    response
}

fn is_engineio(front: &Front, path: &str) -> bool {
    let path = path.strip_suffix('/').unwrap_or(path);
    front.endpoints.iter().any(|endpoint| *endpoint.path == *path)
}

const NOBODY: std::net::SocketAddr =
    std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// A handler that panics has a bug; its caller still gets an answer, and the others notice nothing.
async fn answer(front: &Front, call: &Call, request: Request, next: Next) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(_) => {
            count(&front.tally.panics);
            tracing::error!(route = call.route, "a handler panicked: this is a bug in Muster");
            router::problem(front, &call.path, StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// What is remembered of a request while it is answered.
struct Call {
    method: Method,
    path: String,
    /// The target as it may be logged; empty unless it will be.
    target: String,
    route: String,
    client: Client,
}

impl Call {
    fn of(request: &Request, client: Client) -> Self {
        let logged = tracing::enabled!(tracing::Level::DEBUG);
        let route = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str);
        Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            target: if logged { redact(&request.uri().to_string()).into_owned() } else { String::new() },
            route: route.to_owned(),
            client,
        }
    }

    fn log(&self, status: StatusCode, ms: u64) {
        tracing::debug!(
            method = %self.method,
            target = self.target,
            status = status.as_u16(),
            client = %self.client.0,
            ms,
            "answered"
        );
    }
}
