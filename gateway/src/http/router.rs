//! All routes of the public listener, and what is said where there is none.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::any;
use http::StatusCode;

use super::around::around;
use super::state::Front;
use super::{engineio, openapi, pages};
use crate::api::{messaging, presence, server, trade};
use crate::edges::socketio::EndpointId;

/// The router of the public listener.
pub fn router(front: Arc<Front>) -> Router {
    let mut routes = Router::new().merge(pages::routes()).nest("/server/v1", server::routes());
    let api = &front.config.presence_api;
    if api.enabled {
        routes = routes.nest(&format!("{}/presence", api.base_path), presence::routes());
    }
    for (at, endpoint) in front.endpoints.iter().enumerate() {
        let id = EndpointId(at as u8);
        let handle = any(move |State(front): State<Arc<Front>>, request: Request| {
            engineio::handle(front, id, request)
        });
        // Clients append a slash.
        routes = routes.route(&endpoint.path, handle.clone()).route(&format!("{}/", endpoint.path), handle);
    }
    routes
        .merge(messaging::routes(&front))
        .merge(trade::routes(&front))
        .merge(openapi::routes(&front.config))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(front.clone(), around))
        .with_state(front)
}

async fn not_found(State(front): State<Arc<Front>>, request: Request) -> Response {
    problem(&front, request.uri().path(), StatusCode::NOT_FOUND)
}

/// The router adds `Allow`.
async fn wrong_method(State(front): State<Arc<Front>>, request: Request) -> Response {
    problem(&front, request.uri().path(), StatusCode::METHOD_NOT_ALLOWED)
}

/// An error in the words of the API that a path belongs to.
pub(super) fn problem(front: &Front, path: &str, status: StatusCode) -> Response {
    let api = &front.config.presence_api;
    let below = path.strip_prefix(api.base_path.as_str());
    if api.enabled && below.is_some_and(|rest| rest.starts_with("/presence")) {
        presence::problem(status)
    } else if messaging::is_path(&front.config, path) {
        messaging::problem::of_router(status)
    } else if trade::is_path(&front.config, path) {
        trade::problem::of_router(status)
    } else {
        server::problem(status)
    }
}
