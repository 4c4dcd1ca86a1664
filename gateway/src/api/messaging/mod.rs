//! The messaging API: REST calls below its base path, and the public addresses of uploaded files.
//!
//! [`conversations`] and [`messages`] are the calls about what is said, behind one [`gate`]; [`input`] is what they take,
//! [`words`] what they answer, [`refused`] which errors. [`storage`] takes and deletes files, reading forms with [`form`]; [`files`] shows those that Muster keeps itself.
//! Errors are [`problem`]'s: `{"error":"Bad Request","message":"…","statusCode":400}`.

pub mod conversations;
pub mod files;
pub mod form;
pub mod gate;
pub mod input;
pub mod messages;
pub mod problem;
pub mod refused;
pub mod storage;
pub mod words;

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use utoipa::OpenApi;

pub use problem::Problem;

use crate::config::{Config, MediaStore};
use crate::http::Front;

/// What the paths of this API begin with, below its base: an error there is told in its words.
const BRANCHES: [&str; 3] = ["/storage", "/conversations", "/messages"];

/// The routes of this API, as far as they are configured.
pub fn routes(front: &Arc<Front>) -> Router<Arc<Front>> {
    let config = &front.config;
    let api = &config.messaging_api;
    if !api.enabled {
        return Router::new();
    }
    let below = Router::new()
        .merge(said(front))
        .route("/storage/upload", post(storage::upload))
        .route("/storage/delete", delete(storage::remove));
    let routes = Router::new().nest(&api.base_path, below);
    match config.media.store {
        MediaStore::Folder => routes.route(files::ROUTE, get(files::show)),
        // A bucket serves its files itself.
        MediaStore::S3 => routes,
    }
}

/// The routes about conversations and messages.
fn said(front: &Arc<Front>) -> Router<Arc<Front>> {
    Router::new()
        .route("/conversations", get(conversations::list).post(conversations::create))
        .route(
            "/conversations/{id}",
            get(conversations::find).put(conversations::rename).delete(conversations::delete),
        )
        .route("/conversations/{id}/participants", post(conversations::add))
        .route("/conversations/{id}/participants/{participantId}", delete(conversations::remove))
        .route("/messages", post(messages::send))
        .route("/messages/{id}", get(messages::find).put(messages::edit).delete(messages::remove))
        .route("/messages/{id}/read", post(messages::read))
        .route("/messages/conversation/{conversationId}", get(messages::history))
        .route("/messages/conversation/{conversationId}/read", post(messages::read_all))
        .route("/messages/conversation/{conversationId}/unread-count", get(messages::unread))
        .route_layer(from_fn_with_state(front.clone(), gate::gate))
}

/// The description of the routes.
#[derive(OpenApi)]
#[openapi(
    paths(
        conversations::create,
        conversations::list,
        conversations::find,
        conversations::rename,
        conversations::add,
        conversations::remove,
        conversations::delete,
        messages::send,
        messages::history,
        messages::find,
        messages::edit,
        messages::remove,
        messages::read,
        messages::read_all,
        messages::unread,
        storage::upload,
        storage::remove,
    ),
    components(schemas(problem::Failure))
)]
pub struct Document;

/// Whether a path belongs to this API.
#[must_use]
pub fn is_path(config: &Config, path: &str) -> bool {
    let api = &config.messaging_api;
    let is_below = |rest: &str| {
        BRANCHES.iter().any(|branch| {
            rest.strip_prefix(branch).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    let file = config.media.store == MediaStore::Folder && path.starts_with(files::PATH);
    api.enabled && (file || path.strip_prefix(api.base_path.as_str()).is_some_and(is_below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_this_api() {
        let mut config = Config::default();
        for (path, ours) in [
            ("/api/v1/storage/upload", true),
            ("/api/v1/storage", true),
            ("/api/v1/messages/17", true),
            ("/api/v1/messagesX", false),
            ("/api/v1/presence/check", false),
            ("/messaging/messages/17-a", true),
            ("/messaging", false),
            ("/", false),
        ] {
            assert_eq!(is_path(&config, path), ours, "{path}");
        }
        config.messaging_api.enabled = false;
        assert!(!is_path(&config, "/api/v1/storage/upload"));
    }
}
