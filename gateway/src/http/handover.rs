//! From the front door to a shard: the socket of a finished handshake leaves tokio for good.
//!
//! ```text
//! handshake checked ─► place taken ─► 101 written ─► hyper gives the socket and what it read ahead ─► door
//! ```
//!
//! Places are bounded: a handshake that finds none is answered 503, so that sockets cannot pile up here while a
//! shard is behind. A shard that has no room closes the socket.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use engine::front::Door;
use http::{HeaderMap, Request, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use schema::ShardId;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::stall::Stream;
use super::tally::{Tally, count};
use crate::conn::Arrival;
use crate::edges::socketio::sid::Place;

/// Longest time from the answer 101 until the socket is free.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way of sockets to their shards.
#[derive(Clone, Debug)]
pub struct Handover {
    door: Door<Arrival>,
    places: Arc<Semaphore>,
    tally: Arc<Tally>,
}

/// Whom a socket is for.
#[derive(Clone, Copy, Debug)]
pub enum Receiver {
    /// A new connection of this shard.
    Shard(ShardId),
    /// A connection that has no socket.
    Connection(Place),
}

/// A seat among the sockets on their way.
#[derive(Debug)]
pub struct Seat(OwnedSemaphorePermit);

impl Handover {
    /// With room for so many sockets on their way.
    #[must_use]
    pub fn new(door: Door<Arrival>, places: usize, tally: Arc<Tally>) -> Self {
        Self { door, places: Arc::new(Semaphore::new(places)), tally }
    }

    /// A place, before the handshake is answered; `None` (too many are on their way, or memory is short): answer 503.
    #[must_use]
    pub fn place(&self) -> Option<Seat> {
        let place = match self.door.refuses_connects() {
            true => None,
            false => self.places.clone().try_acquire_owned().ok().map(Seat),
        };
        if place.is_none() {
            count(&self.tally.handover_refused);
        }
        place
    }

    /// Places that are free.
    #[must_use]
    pub fn free(&self) -> usize {
        self.places.available_permits()
    }

    /// The answer 101 with the handshake's headers. Once it is written, the socket goes to its receiver with what `arrive`
    /// makes of the bytes that were read ahead.
    pub fn switch(
        &self,
        request: &mut Request<Body>,
        headers: HeaderMap,
        place: Seat,
        receiver: Receiver,
        arrive: impl FnOnce(Vec<u8>) -> Arrival + Send + 'static,
    ) -> Response {
        let upgrade = hyper::upgrade::on(request);
        tokio::spawn(self.clone().carry(upgrade, place, receiver, arrive));
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = headers;
        response
    }

    async fn carry(
        self,
        upgrade: OnUpgrade,
        place: Seat,
        receiver: Receiver,
        arrive: impl FnOnce(Vec<u8>) -> Arrival + Send,
    ) {
        let upgraded = match tokio::time::timeout(PATIENCE, upgrade).await {
            Ok(Ok(upgraded)) => upgraded,
            // The client left before the answer was written.
            Ok(Err(error)) => return tracing::debug!(%error, "a WebSocket handshake was not finished"),
            Err(_) => return tracing::debug!("a WebSocket handshake was not finished in time"),
        };
        let (socket, read_ahead) = match take(upgraded) {
            Ok(taken) => taken,
            Err(error) => return tracing::warn!(%error, "a socket could not be taken from the front door"),
        };
        let (shard, handed) = match receiver {
            Receiver::Shard(shard) => (shard, self.door.hand_over(shard, socket, arrive(read_ahead))),
            Receiver::Connection(Place { shard, conn }) => {
                (shard, self.door.offer(shard, conn, socket, arrive(read_ahead)))
            }
        };
        match handed {
            Ok(()) => count(&self.tally.handed_over),
            Err(refusal) => {
                count(&self.tally.handover_refused);
                tracing::debug!(shard = shard.0, %refusal, "a shard did not take a socket; it is closed");
            }
        }
        drop(place.0);
    }
}

/// The plain socket, and the bytes that came right behind the handshake.
fn take(upgraded: Upgraded) -> std::io::Result<(OwnedFd, Vec<u8>)> {
    let parts = upgraded
        .downcast::<TokioIo<Stream>>()
        .map_err(|_| std::io::Error::other("the connection is not of the front door's own listener"))?;
    let socket = parts.io.into_inner().into_inner();
    let socket =
        socket.ok_or_else(|| std::io::Error::other("a handler still watches the socket"))?.into_std()?;
    Ok((socket.into(), parts.read_buf.to_vec()))
}
