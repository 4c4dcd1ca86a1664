//! The sessions of a user, and their ending.

use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use schema::{Command, Refusal, Reply, SessionAddr};

use super::words::{Ended, Failure, Session, SessionList};
use super::{Problem, part, service, user_id};
use crate::http::Front;
use crate::http::client_addr::Client;
use crate::http::json::json;

/// The sessions of a user
#[utoipa::path(get, path = "/users/{id}/sessions", tag = "server", security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The user's id")),
    responses(
        (status = 200, body = SessionList),
        (status = 400, body = Failure, description = "The id cannot be used"),
        (status = 401, body = Failure, description = "No token, or a bad one"),
        (status = 403, body = Failure, description = "Not a service's token"),
        (status = 429, body = Failure, description = "Too many bad tokens from this address"),
        (status = 503, body = Failure, description = "Try again after retryAfterMs"),
        (status = 504, body = Failure, description = "No answer in time"),
))]
pub async fn list(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let actor = service(&front, &headers, client)?;
    let user = user_id(&front, &part(id)?)?;
    match front.inquirer.ask(Some(actor), Command::Sessions { user }).await? {
        Reply::Sessions(sessions) => {
            let sessions = sessions.iter().map(Session::from).collect();
            Ok(json(StatusCode::OK, &SessionList { sessions }))
        }
        other => Err(Problem::unexpected(&other)),
    }
}

/// End all sessions of a user
///
/// Its clients are told not to come back by themselves.
#[utoipa::path(delete, path = "/users/{id}/sessions", tag = "server", security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The user's id")),
    responses(
        (status = 200, body = Ended),
        (status = 400, body = Failure, description = "The id cannot be used"),
        (status = 401, body = Failure, description = "No token, or a bad one"),
        (status = 403, body = Failure, description = "Not a service's token"),
        (status = 429, body = Failure, description = "Too many bad tokens from this address"),
        (status = 503, body = Failure, description = "Try again after retryAfterMs"),
        (status = 504, body = Failure, description = "No answer in time"),
))]
pub async fn disconnect_user(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let actor = service(&front, &headers, client)?;
    let user = user_id(&front, &part(id)?)?;
    ended(front.inquirer.ask(Some(actor), Command::DisconnectUser { user }).await?)
}

/// End one session
///
/// Its client is told not to come back by itself.
#[utoipa::path(delete, path = "/sessions/{id}", tag = "server", security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The session's id, as a list of sessions gives it")),
    responses(
        (status = 200, body = Ended),
        (status = 400, body = Failure, description = "Not the id of a session"),
        (status = 401, body = Failure, description = "No token, or a bad one"),
        (status = 403, body = Failure, description = "Not a service's token"),
        (status = 429, body = Failure, description = "Too many bad tokens from this address"),
        (status = 404, body = Failure, description = "No such session, or no longer"),
        (status = 503, body = Failure, description = "Try again after retryAfterMs"),
        (status = 504, body = Failure, description = "No answer in time"),
))]
pub async fn disconnect(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let actor = service(&front, &headers, client)?;
    let session: SessionAddr = part(id)?.parse().map_err(|error| Problem::invalid(format!("{error}")))?;
    match front.inquirer.ask(Some(actor), Command::DisconnectSession { session }).await? {
        Reply::Reached(0) => Err(Refusal::NotFound.into()),
        // Done says that this one session was ended.
        Reply::Done => ended(Reply::Reached(1)),
        reply => ended(reply),
    }
}

fn ended(reply: Reply) -> Result<Response, Problem> {
    match reply {
        Reply::Reached(ended) => Ok(json(StatusCode::OK, &Ended { ended })),
        other => Err(Problem::unexpected(&other)),
    }
}
