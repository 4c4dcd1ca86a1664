//! The front door of Engine.IO: handshakes, polls, uploads and upgrades, on their way to the shard that hosts the session.
//!
//! ```text
//! GET, no sid     ─► a shard ─► session ─► open packet                     (parked until there is one)
//! GET, sid        ─► its shard ─► parked ─► packets
//! POST, sid       ─► its shard says yes ─► body ─► ok
//! WebSocket       ─► 101 ─► the socket goes to the shard, to a new session or to the one of its sid
//! ```
//!
//! A parked poll is a task that waits on a channel. Nothing of a session is kept here.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use engine::front::Door;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ORIGIN, RETRY_AFTER, UPGRADE};
use http::{HeaderMap, HeaderValue, Method as HttpMethod, StatusCode};
use schema::ShardId;
use tokio::sync::{mpsc, oneshot};

use super::auth::{Denied, authorization};
use super::body::{self, BodyError};
use super::client_addr::{Client, Peer};
use super::cors;
use super::handover::Receiver;
use super::stall::Line;
use super::state::Front;
use crate::api::messaging::storage;
use crate::auth::credentials;
use crate::conn::Arrival;
use crate::device;
use crate::edges;
use crate::edges::socketio::errand::Errand;
use crate::edges::socketio::sid::{self, Place, SECRET};
use crate::edges::socketio::visit::{Found, Handshake, Opening, Origin, Reply, Visit, Waiting};
use crate::edges::socketio::{Endpoint, EndpointId, Speaker};
use crate::engineio::answer::Refusal;
use crate::engineio::handshake::{Asked, Asking, Method, Query, Request as Asks, Transport};
use crate::engineio::{Answer, Ticket, Version};
use crate::websocket::handshake::{self, Policy};

/// How long the front door goes on offering something to a shard whose inbox is full.
const PATIENCE: Duration = Duration::from_secs(5);

/// One request to an endpoint.
pub async fn handle(front: Arc<Front>, id: EndpointId, mut request: Request) -> Response {
    let Some(endpoint) = front.endpoints.get(usize::from(id.0)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let upgrade = request.headers().get(UPGRADE).is_some_and(is_websocket);
    answer(&front, endpoint, id, &mut request, upgrade)
        .await
        .unwrap_or_else(|refusal| refused(refusal, upgrade))
}

fn is_websocket(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|value| value.trim().eq_ignore_ascii_case("websocket"))
}

/// In the reference, a refused WebSocket is told in plain text, any other request in JSON.
fn refused(refusal: Refusal, upgrade: bool) -> Response {
    if upgrade {
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
        return (status, refusal.message()).into_response();
    }
    told(Answer::Refused(refusal))
}

fn told(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = HeaderValue::from_static(answer.content_type());
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    (status, headers, answer.into_body()).into_response()
}

/// Too much at the moment: whoever asked comes back by itself.
fn busy(why: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, HeaderValue::from_static("1"))], why).into_response()
}

async fn answer(
    front: &Arc<Front>,
    endpoint: &Endpoint,
    id: EndpointId,
    request: &mut Request,
    upgrade: bool,
) -> Result<Response, Refusal> {
    let text = request.uri().query().unwrap_or_default().to_owned();
    let query = Query::parse(&text);
    let asks = Asks {
        query,
        method: match *request.method() {
            HttpMethod::GET => Method::Get,
            HttpMethod::POST => Method::Post,
            _ => Method::Other,
        },
        upgrade,
        origin_is_valid: request.headers().get(ORIGIN).is_none_or(|origin| origin.to_str().is_ok()),
    };
    let asking = asks.asking(&endpoint.offer)?;
    match query.sid {
        Some(sid) => of_session(front, endpoint, request, sid, asking).await,
        None => match asking.of_stranger(&endpoint.offer)? {
            Asked::Handshake { version, transport, base64 } => {
                open(front, endpoint, id, request, &text, (version, transport, base64)).await
            }
            _ => Err(Refusal::BadRequest),
        },
    }
}

// -- a new session ----------------------------------------------------------------------------------------------

async fn open(
    front: &Arc<Front>,
    endpoint: &Endpoint,
    id: EndpointId,
    request: &mut Request,
    query: &str,
    (version, transport, base64): (Version, Transport, bool),
) -> Result<Response, Refusal> {
    let origins = &front.config.http.origins;
    if request.headers().contains_key(ORIGIN) && cors::allowed_origin(request.headers(), origins).is_none() {
        return Err(Refusal::Forbidden);
    }
    let client = request.extensions().get::<Client>().copied().ok_or(Refusal::BadRequest)?;
    if front.is_draining() {
        return Ok(busy("the server is stopping; connect again"));
    }
    if front.limits.too_many_connects(client.0.ip(), front.clock.unix_ms()).is_some() {
        return Ok((StatusCode::TOO_MANY_REQUESTS, "too many connections from this address").into_response());
    }
    let found = found(front, request.headers(), query, client);
    let shard = match &found {
        Some(Found { verdict: Ok(caller), .. }) => front.inquirer.door().home(&caller.actor.key),
        _ => front.inquirer.any_shard(),
    };
    let mut secret = [0; SECRET];
    if getrandom::fill(&mut secret).is_err() {
        return Ok(busy("the system has no randomness"));
    }
    let query = match endpoint.speaker {
        Speaker::Trade(_) => edges::trade::who_says(query),
        _ => Box::default(),
    };
    let own = own(front, endpoint, request).map(Into::into);
    let device = device::of_headers(request.headers());
    let origin = Origin::new(id, client.0, device, Handshake { query, found, own });
    let opening = Box::new(Opening { version, base64, shard, secret, origin });
    match transport {
        Transport::Polling => begin(front, hung_up(request), shard, opening).await,
        Transport::WebSocket => Ok(switch(front, request, Receiver::Shard(shard), move |read_ahead| {
            Visit::Socket(opening, read_ahead)
        })),
    }
}

/// What addresses of attachments must begin with, for clients of an API where that is demanded.
fn own(front: &Front, endpoint: &Endpoint, request: &Request) -> Option<String> {
    let peer = request.extensions().get::<Peer>().copied()?;
    let demanded = front.config.attachments.own_only && matches!(endpoint.speaker, Speaker::Messaging(_));
    demanded.then(|| storage::own(front, request.headers(), peer)).flatten()
}

/// The token of a handshake and the verdict on it: in the query, or in the headers.
fn found(front: &Front, headers: &HeaderMap, query: &str, client: Client) -> Option<Found> {
    let in_query = credentials::parameter(query, "token").filter(|token| !token.is_empty());
    let token = in_query.as_deref().or_else(|| authorization(headers))?;
    let verdict = judge(front, token, client);
    Some(Found { token: token.into(), verdict })
}

fn judge(front: &Front, token: &str, client: Client) -> Result<super::auth::Caller, Denied> {
    let caller = front.verify(Some(token), client)?;
    match front.limits.too_many_sessions(&caller.actor.key, front.clock.unix_ms()) {
        Some(verdict) => Err(Denied::TooMany(verdict)),
        None => Ok(caller),
    }
}

async fn begin(
    front: &Front,
    hung_up: impl Future<Output = ()>,
    shard: ShardId,
    opening: Box<Opening>,
) -> Result<Response, Refusal> {
    let door = front.inquirer.door();
    if door.refuses_connects() {
        return Ok(busy("memory is short; try again"));
    }
    let (waiting, reply) = wait(door);
    if door.begin(shard, Arrival::SocketIo(Visit::Polls(opening, waiting))).is_err() {
        return Ok(busy("too much is on its way in; try again"));
    }
    tokio::select! {
        reply = reply => match reply {
            Ok(Reply::Answer(parcel)) => Ok(told(parcel.open())),
            // No room for one more connection.
            Ok(Reply::Welcome) | Err(_) => Ok(busy("too many connections; try again")),
        },
        // The session ends by itself, since nobody knows its id.
        () = hung_up => Err(Refusal::BadRequest),
    }
}

fn wait(door: &Door<Arrival>) -> (Waiting, oneshot::Receiver<Reply>) {
    let (reply, answer) = oneshot::channel();
    (Waiting { ticket: Ticket(door.ticket()), reply }, answer)
}

/// Ends when the client of a request has hung up.
fn hung_up(request: &Request) -> impl Future<Output = ()> + use<> {
    let line = request.extensions().get::<Line>().cloned();
    async move {
        match line {
            Some(line) => line.hung_up().await,
            None => std::future::pending().await,
        }
    }
}

// -- a session that is there ------------------------------------------------------------------------------------

async fn of_session(
    front: &Arc<Front>,
    endpoint: &Endpoint,
    request: &mut Request,
    sid: &str,
    asking: Asking,
) -> Result<Response, Refusal> {
    let place = sid::place(sid).ok_or(Refusal::SessionUnknown)?;
    let door = front.inquirer.door();
    let (waiting, mut reply) = wait(door);
    let ticket = waiting.ticket;
    let visit = Visit::Request { sid: sid.into(), asking, waiting };
    if door.call(place.shard, place.conn, Arrival::SocketIo(visit)).is_err() {
        return Ok(busy("too much is on its way in; try again"));
    }
    // From here on the session knows the request; should it be given up, it is told so.
    let mut asked = OnItsWay { door: Some(door.clone()), place, ticket };
    if asking.may_upload() {
        let Ok(_room) = front.bodies.try_acquire_many(length(request, endpoint).div_ceil(1024) as u32) else {
            return Ok(busy("too much is on its way in; try again"));
        };
        tokio::select! {
            biased;
            // Refused, or the session has ended meanwhile.
            early = &mut reply => return asked.settled(early),
            body = upload(request, endpoint, ticket) => {
                let Some(visit) = body else { return Err(Refusal::BadRequest) };
                if !insist(door, place, visit).await {
                    return Ok(busy("too much is on its way in; try again"));
                }
            }
        }
    }
    tokio::select! {
        reply = reply => match reply {
            Ok(Reply::Welcome) => {
                asked.door = None;
                let sid = sid.into();
                Ok(switch(front, request, Receiver::Connection(place), |read_ahead| {
                    Visit::Upgrade { sid, read_ahead }
                }))
            }
            reply => asked.settled(reply),
        },
        () = hung_up(request) => Err(Refusal::BadRequest),
    }
}

/// How long a body is, or may be.
fn length(request: &Request, endpoint: &Endpoint) -> u64 {
    let most = u64::from(endpoint.engine.max_payload);
    request.body().size_hint().upper().map_or(most, |length| length.min(most)).max(1)
}

/// The body of an upload; `None`: the client broke off.
async fn upload(request: &mut Request, endpoint: &Endpoint, ticket: Ticket) -> Option<Visit> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let octets = kind.trim_start().to_ascii_lowercase().starts_with("application/octet-stream");
    let body = std::mem::replace(request.body_mut(), Body::empty());
    match body::read(body, endpoint.engine.max_payload as usize).await {
        Ok(bytes) => Some(Visit::Body { ticket, octets, body: bytes.into() }),
        Err(BodyError::TooLarge) => Some(Visit::TooLong { ticket }),
        Err(BodyError::TooSlow | BodyError::Broken) => None,
    }
}

/// Brings something that the session waits for, also to a shard that is busy.
async fn insist(door: &Door<Arrival>, place: Place, visit: Visit) -> bool {
    let mut arrival = Arrival::SocketIo(visit);
    let mut waited = Duration::ZERO;
    let mut pause = Duration::from_millis(1);
    while let Err(refused) = door.call(place.shard, place.conn, arrival) {
        if waited >= PATIENCE {
            return false;
        }
        arrival = refused;
        tokio::time::sleep(pause).await;
        waited += pause;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    true
}

/// The handshake of a WebSocket: accepted, its socket goes to the receiver.
fn switch(
    front: &Front,
    request: &mut Request,
    receiver: Receiver,
    visit: impl FnOnce(Vec<u8>) -> Visit + Send + 'static,
) -> Response {
    let policy = Policy { origins: &front.config.http.origins, protocols: &[], bearer: false };
    let accepted = match handshake::accept(request.method(), request.version(), request.headers(), &policy) {
        Ok(accepted) => accepted,
        Err(refusal) => return (refusal.status, refusal.headers, refusal.text).into_response(),
    };
    let Some(seat) = front.handover.place() else {
        return busy("too many connections are on their way in; try again");
    };
    front
        .handover
        .switch(request, accepted.headers, seat, receiver, |read_ahead| Arrival::SocketIo(visit(read_ahead)))
}

/// A request that a session knows of. Dropped before it is settled, its client has given it up.
struct OnItsWay {
    door: Option<Door<Arrival>>,
    place: Place,
    ticket: Ticket,
}

impl OnItsWay {
    fn settled(&mut self, reply: Result<Reply, oneshot::error::RecvError>) -> Result<Response, Refusal> {
        self.door = None;
        match reply {
            Ok(Reply::Answer(parcel)) => match parcel.open() {
                Answer::Refused(refusal) => Err(refusal),
                answer => Ok(told(answer)),
            },
            Ok(Reply::Welcome) => Err(Refusal::BadRequest),
            Err(_) => Err(Refusal::SessionUnknown),
        }
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        if let Some(door) = &self.door {
            let visit = Visit::Gone { ticket: self.ticket };
            // A shard that has no room for it finds out by the heartbeat.
            let _ = door.call(self.place.shard, self.place.conn, Arrival::SocketIo(visit));
        }
    }
}

// -- tokens that the shards have got ----------------------------------------------------------------------------

/// Verifies the tokens that clients bring to the shards, until the shards are gone.
pub async fn run_errands(front: Arc<Front>, mut errands: mpsc::Receiver<Errand>) {
    while let Some(Errand { shard, conn, namespace, token, client }) = errands.recv().await {
        let verdict = judge(&front, &token, Client(client));
        let place = Place { shard, conn };
        // A client whose verdict finds no way is closed by the connect time-out, and comes back.
        insist(front.inquirer.door(), place, Visit::Verdict { namespace, verdict }).await;
    }
}
