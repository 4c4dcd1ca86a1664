//! The listener for operators: is it alive, does it take work, what does it do.
//!
//! | path | answer |
//! |---|---|
//! | `/health` | 200 while every shard answers; 503 is for the supervisor that restarts |
//! | `/ready` | 200 while new clients are welcome; 503 while draining, for the load balancer. A store that fails is told and is no reason to turn clients away |
//! | `/metrics` | Prometheus' text |
//! | `/turns` | the slowest turns of the shards |
//!
//! Reading only: nothing here changes anything. It goes on answering while the rest drains.

mod health;
mod memory;
mod metrics;
pub mod text;
mod turns;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use engine::store;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tokio::sync::watch;

use crate::accept::Acceptor;
use crate::auth::credentials;
use crate::http::Front;
use crate::http::json::json;
use crate::http::listener::{self, Connections, Settings};

/// What the operators' calls read.
#[derive(Debug)]
pub struct Admin {
    /// The public front door.
    pub front: Arc<Front>,
    /// The store's worker.
    pub store: Arc<store::Status>,
    /// The threads of the conversations' store.
    pub chats: Arc<store::chat::Status>,
}

/// Serves until the future is dropped: the end of a drain is of interest too.
pub async fn serve(acceptor: Acceptor, admin: Arc<Admin>) {
    let settings = Settings::of_admin(&admin.front.config);
    // Held for as long as the listener runs, so it never stops by itself.
    let (_go_on, stop) = watch::channel(false);
    listener::serve(acceptor, router(admin), settings, Arc::<Connections>::default(), stop).await;
}

fn router(admin: Arc<Admin>) -> Router {
    Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .route("/turns", get(turns::turns))
        .fallback(async || problem(StatusCode::NOT_FOUND, "there are /health, /ready, /metrics and /turns"))
        .method_not_allowed_fallback(async || problem(StatusCode::METHOD_NOT_ALLOWED, "GET and HEAD only"))
        .layer(from_fn_with_state(admin.clone(), guard))
        .with_state(admin)
}

/// The token, where one is configured.
async fn guard(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    if let Some(token) = &admin.front.config.admin.token {
        let header = request.headers().get(AUTHORIZATION).and_then(|header| header.to_str().ok());
        let offered = header.and_then(credentials::bearer).unwrap_or_default();
        if !token.matches(offered.as_bytes()) {
            let mut response =
                problem(StatusCode::UNAUTHORIZED, "send admin.token as \"Authorization: Bearer <token>\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
    }
    next.run(request).await
}

#[derive(Serialize)]
struct Problem {
    error: &'static str,
}

fn problem(status: StatusCode, error: &'static str) -> Response {
    json(status, &Problem { error }).into_response()
}
