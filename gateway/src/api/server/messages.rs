//! Messages to users and channels. A payload is any JSON value, and travels as the text that was sent. What nobody could
//! read in one way only (a key twice, too deep) is refused as in any body.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use schema::command::Payload;
use schema::{Command, Reply};

use super::words::{Channel, Failure, MessageBody, Reached};
use super::{Problem, channel_name, part, read, service, user_id};
use crate::http::Front;
use crate::http::client_addr::Client;
use crate::http::json::json;

/// Send to a user
///
/// To all sessions of the user, and to those only: nothing is kept for later. The payload may be as long as
/// `limits.message_bytes`.
#[utoipa::path(post, path = "/users/{id}/messages", tag = "server", security(("serviceToken" = [])),
    params(("id" = String, Path, description = "The user's id")),
    request_body = MessageBody,
    responses(
        (status = 200, body = Reached),
        (status = 400, body = Failure, description = "The id or the body cannot be used"),
        (status = 401, body = Failure, description = "No token, or a bad one"),
        (status = 403, body = Failure, description = "Not a service's token"),
        (status = 429, body = Failure, description = "Too many bad tokens from this address"),
        (status = 408, body = Failure, description = "The body did not arrive in time"),
        (status = 413, body = Failure, description = "The payload is too large"),
        (status = 503, body = Failure, description = "Try again after retryAfterMs"),
        (status = 504, body = Failure, description = "No answer in time"),
))]
pub async fn send(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    id: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Response, Problem> {
    let actor = service(&front, &headers, client)?;
    let to = user_id(&front, &part(id)?)?;
    let payload = payload(&front, body).await?;
    reached(front.inquirer.ask(Some(actor), Command::Send { to, payload, except_self: false }).await?)
}

/// Publish on a channel
///
/// To all sessions that are subscribed, and to those only: nothing is kept for later.
#[utoipa::path(post, path = "/channels/{name}/messages", tag = "server", security(("serviceToken" = [])),
    params(("name" = String, Path, description = "The channel's name")),
    request_body = MessageBody,
    responses(
        (status = 200, body = Reached),
        (status = 400, body = Failure, description = "The name or the body cannot be used"),
        (status = 401, body = Failure, description = "No token, or a bad one"),
        (status = 403, body = Failure, description = "Not a service's token"),
        (status = 429, body = Failure, description = "Too many bad tokens from this address"),
        (status = 408, body = Failure, description = "The body did not arrive in time"),
        (status = 413, body = Failure, description = "The payload is too large"),
        (status = 503, body = Failure, description = "Try again after retryAfterMs"),
        (status = 504, body = Failure, description = "No answer in time"),
))]
pub async fn publish(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
    body: Body,
) -> Result<Response, Problem> {
    let actor = service(&front, &headers, client)?;
    let channel = channel_name(&front, &part(name)?)?;
    let payload = payload(&front, body).await?;
    let command = Command::Publish { channel, payload, except_self: false };
    reached(front.inquirer.ask(Some(actor), command).await?)
}

/// How many sessions are subscribed to a channel
#[utoipa::path(get, path = "/channels/{name}", tag = "server", security(("serviceToken" = [])),
    params(("name" = String, Path, description = "The channel's name")),
    responses(
        (status = 200, body = Channel),
        (status = 400, body = Failure, description = "The name cannot be used"),
        (status = 401, body = Failure, description = "No token, or a bad one"),
        (status = 403, body = Failure, description = "Not a service's token"),
        (status = 429, body = Failure, description = "Too many bad tokens from this address"),
        (status = 503, body = Failure, description = "Try again after retryAfterMs"),
        (status = 504, body = Failure, description = "No answer in time"),
))]
pub async fn channel(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    headers: HeaderMap,
    name: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let actor = service(&front, &headers, client)?;
    let channel = channel_name(&front, &part(name)?)?;
    let name = channel.to_string();
    match front.inquirer.ask(Some(actor), Command::Occupancy { channel }).await? {
        Reply::Occupancy(subscribers) => Ok(json(StatusCode::OK, &Channel { channel: name, subscribers })),
        other => Err(Problem::unexpected(&other)),
    }
}

async fn payload(front: &Front, body: Body) -> Result<Payload, Problem> {
    let body: MessageBody = read(front, body).await?;
    Ok(body.payload.get().as_bytes().into())
}

fn reached(reply: Reply) -> Result<Response, Problem> {
    match reply {
        Reply::Reached(sessions) => Ok(json(StatusCode::OK, &Reached { sessions })),
        other => Err(Problem::unexpected(&other)),
    }
}
