//! The handshake of the presence API's WebSocket, and the socket's way to the home shard of its user.
//!
//! A browser's script cannot see the status of a refused handshake. So a bad token is accepted by default, and the
//! shard's edge says why on the open socket and closes it with 4401; `presence_api.refuse_upgrade` answers 401 instead.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use schema::ShardId;

use super::words::Failure;
use super::{Problem, denied, too_many};
use crate::conn::{Admission, Arrival, PresenceArrival};
use crate::device::of_headers;
use crate::http::Front;
use crate::http::auth::{Caller, Denied};
use crate::http::client_addr::Client;
use crate::http::handover::Receiver;
use crate::websocket::handshake::{self, Accepted, Policy};

/// Open the presence WebSocket
///
/// While it is open its user is online. The token is given as `?token=`, as `Authorization: Bearer`, or as the
/// sub-protocols `bearer, <token>`. The server says `{"type":"connected",…}`; the client sends
/// `{"type":"heartbeat","activity":true}` every 25 to 30 seconds, or `{"type":"ping"}`.
#[utoipa::path(get, path = "/ws", tag = "presence",
    params(("token" = Option<String>, Query, description = "A user's token; may also come in the headers")),
    responses(
        (status = 101, description = "The WebSocket is open; a bad token is told on it, and it is closed with 4401"),
        (status = 400, body = Failure, description = "Not a handshake of a WebSocket"),
        (status = 401, body = Failure, description = "A bad token, where the server is set to refuse here"),
        (status = 403, body = Failure, description = "The page's origin is not allowed"),
        (status = 426, body = Failure, description = "Not a WebSocket, or not version 13"),
        (status = 429, body = Failure, description = "Too many bad tokens or handshakes"),
        (status = 503, body = Failure, description = "No room; try again"),
))]
pub async fn upgrade(
    State(front): State<Arc<Front>>,
    Extension(client): Extension<Client>,
    mut request: Request,
) -> Response {
    let policy = Policy { origins: &front.config.http.origins, protocols: &[], bearer: true };
    let accepted = match handshake::accept(request.method(), request.version(), request.headers(), &policy) {
        Ok(accepted) => accepted,
        Err(refusal) => return refused(&refusal),
    };
    if front.is_draining() {
        return Problem::unavailable("the server is stopping; connect again").into_response();
    }
    let now = front.clock.unix_ms();
    if let Some(verdict) = front.limits.too_many_connects(client.0.ip(), now) {
        return too_many(&verdict, now);
    }
    let (admission, shard) = match admit(&front, &request, &accepted, client, now) {
        Ok(admitted) => admitted,
        Err(response) => return *response,
    };
    let Some(place) = front.handover.place() else {
        return Problem::unavailable("too many connections are on their way in; try again").into_response();
    };
    let device = of_headers(request.headers());
    front.handover.switch(&mut request, accepted.headers, place, Receiver::Shard(shard), move |read_ahead| {
        Arrival::Presence(PresenceArrival { admission, peer: client.0, device, read_ahead })
    })
}

/// What the shard is told of the token, and which shard that is.
fn admit(
    front: &Front,
    request: &Request,
    accepted: &Accepted,
    client: Client,
    now: u64,
) -> Result<(Admission, ShardId), Box<Response>> {
    let query = request.uri().query();
    match front.websocket_caller(request.headers(), accepted.token.as_deref(), query, client) {
        Ok(Caller { actor, expires_at, .. }) => {
            if let Some(verdict) = front.limits.too_many_sessions(&actor.key, now) {
                return Err(Box::new(too_many(&verdict, now)));
            }
            let shard = front.inquirer.door().home(&actor.key);
            Ok((Admission::Admitted { actor, expires_at }, shard))
        }
        Err(Denied::Token { message, .. }) if !front.config.presence_api.refuse_upgrade => {
            let message = message.into_owned();
            Ok((Admission::Refused { code: "UNAUTHORIZED", message }, front.inquirer.any_shard()))
        }
        Err(reason) => Err(Box::new(denied(reason, now))),
    }
}

fn refused(refusal: &handshake::Refusal) -> Response {
    let mut response = Problem::new(refusal.status, refusal.text).into_response();
    for (name, value) in &refusal.headers {
        response.headers_mut().insert(name, value.clone());
    }
    debug_assert_ne!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    response
}
