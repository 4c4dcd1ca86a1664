//! Users: the erasing of one.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use schema::{Key, Refusal};

use super::words::{ErasedBody, Failure};
use super::{Problem, part, service, user_id};
use crate::erasing::Refused;
use crate::http::Front;
use crate::http::client_addr::Client;
use crate::http::json::json;

/// How long a call waits for the end. What takes longer goes on without it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Erase a user
///
/// Removes what a person wrote and was: their messages become deleted ones without words, attachments and names; they
/// leave every conversation, and where they were a user without a name has left; a conversation in which nobody else is
/// goes; last seen, and that they were online, is forgotten; the files they uploaded are deleted. Their sessions are ended.
///
/// 202 while it is under way: it goes on by itself, also after a restart. Call again to learn how far it is, until 200 says
/// what was removed. After that, once more is a new search, which finds nothing. Take the user's tokens away first:
/// whoever has a valid one can come back, and write.
#[utoipa::path(delete, path = "/users/{id}", tag = "server", security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The user's id")),
    responses(
        (status = 200, body = ErasedBody, description = "It is done"),
        (status = 202, body = ErasedBody, description = "It is under way"),
        (status = 400, body = Failure, description = "The id cannot be used"),
        (status = 401, body = Failure, description = "No token, or a bad one"),
        (status = 403, body = Failure, description = "Not a service's token"),
        (status = 429, body = Failure, description = "Too many bad tokens from this address"),
        (status = 503, body = Failure, description = "Too many are being erased, or the data directory takes no note"),
))]
pub async fn erase(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let actor = service(&front, &headers, client)?;
    let user = Key::new(actor.key.realm, user_id(&front, &part(id)?)?);
    if front.is_draining() {
        return Err(Refusal::Draining.into());
    }
    let mut job = front.erasures.begin(user.clone()).await.map_err(|refused| match refused {
        Refused::TooMany => Problem::from(Refusal::Busy),
        Refused::Note(error) => {
            tracing::error!(%error, "a user cannot be erased: it could not be noted in the data directory");
            Problem::from(Refusal::Unavailable)
        }
    })?;
    // The time may be over, or the server may end; what is known then is told.
    _ = tokio::time::timeout(PATIENCE, job.wait_for(|report| report.done)).await;
    let report = *job.borrow();
    if report.done {
        front.erasures.told(&user);
    }
    let status = if report.done { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(json(status, &ErasedBody::from(report)))
}
