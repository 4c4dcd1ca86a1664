//! The buyer/seller API: REST calls about rooms of a buyer and a seller, below its base path.
//!
//! [`rooms`] and [`messages`] are the calls, behind one [`gate`]; [`input`] is what they take, [`words`] and [`replies`]
//! what they answer. A room is a conversation of the model ([`names`] says which), what it keeps beside is [`extra`].
//! Errors are [`problem`]'s: `{"status":false,"message":"…"}`.

pub mod extra;
pub mod gate;
pub mod input;
pub mod messages;
pub mod names;
pub mod problem;
pub mod replies;
pub mod rooms;
pub mod words;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use utoipa::OpenApi;

pub use problem::Problem;

use crate::config::Config;
use crate::http::Front;

/// What the paths of this API begin with, below its base: an error there is told in its words.
const BRANCHES: [&str; 2] = ["/rooms", "/messages"];

/// The routes of this API, if it is served.
pub fn routes(front: &Arc<Front>) -> Router<Arc<Front>> {
    let api = &front.config.trade_api;
    if !api.enabled {
        return Router::new();
    }
    let below = Router::new()
        .route("/rooms", get(rooms::list).post(rooms::create))
        .route("/rooms/unseen", get(rooms::unseen))
        .route("/rooms/{id}", get(rooms::find).delete(rooms::delete))
        .route("/rooms/{id}/enable", put(rooms::enable))
        .route("/rooms/{id}/pin", post(rooms::pin).delete(rooms::unpin))
        .route("/rooms/{id}/seen", put(rooms::seen))
        .route("/rooms/{id}/block", post(rooms::block))
        .route("/messages", get(messages::history).post(messages::send))
        .route("/messages/unseen", get(messages::unseen))
        .route("/messages/{id}", put(messages::edit))
        .route_layer(from_fn_with_state(front.clone(), gate::gate));
    Router::new().nest(&api.base_path, below)
}

/// The description of the routes.
#[derive(OpenApi)]
#[openapi(
    paths(
        rooms::list,
        rooms::create,
        rooms::unseen,
        rooms::find,
        rooms::enable,
        rooms::pin,
        rooms::unpin,
        rooms::seen,
        rooms::delete,
        rooms::block,
        messages::history,
        messages::unseen,
        messages::send,
        messages::edit,
    ),
    components(schemas(problem::Failure))
)]
pub struct Document;

/// Whether a path belongs to this API.
#[must_use]
pub fn is_path(config: &Config, path: &str) -> bool {
    let api = &config.trade_api;
    let is_below = |rest: &str| {
        BRANCHES.iter().any(|branch| {
            rest.strip_prefix(branch).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    api.enabled && path.strip_prefix(api.base_path.as_str()).is_some_and(is_below)
}
