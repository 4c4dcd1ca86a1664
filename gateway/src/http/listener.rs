//! Connections of the front door: accepted, bounded, timed, and ended in order.
//!
//! `axum::serve` is not used: it wraps the stream so that it cannot be taken back for a hand-over, and it sets no
//! timer and no bound.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tower::Service;

use super::client_addr::Peer;
use super::stall::Stream;
use crate::accept::Acceptor;
use crate::config::Config;

/// The least buffer that hyper reads into.
const LEAST_BUFFER: usize = 8 * 1024;

/// What is said to a connection for which there is no room.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
    Content-Type: text/plain\r\nContent-Length: 36\r\n\r\ntoo many connections, come back soon";

/// What is said to a client that has begun a head and does not end it.
const LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\
    Content-Type: text/plain\r\nContent-Length: 33\r\n\r\nthe request took too long to come";

/// Connections that are told at a time that there is no room, and how long any last words may take.
const FAREWELLS: usize = 64;
const FAREWELL: Duration = Duration::from_secs(1);

/// The numbers of a listener.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Most connections open at a time.
    pub connections: u32,
    /// Longest request head.
    pub head_bytes: usize,
    /// Most headers.
    pub head_fields: usize,
    /// Time to send a head, or to begin the next one.
    pub head_time: Duration,
    /// Time that calls under way have to finish after the stop.
    pub drain: Duration,
}

impl Settings {
    /// Of the public listener.
    #[must_use]
    pub fn of_http(config: &Config) -> Self {
        Self {
            connections: config.http.connections,
            head_bytes: config.http.head_bytes.bytes(),
            head_fields: config.http.head_fields.into(),
            head_time: config.http.head_time,
            drain: config.server.drain,
        }
    }

    /// Of the admin listener: few callers, and always room for them.
    #[must_use]
    pub fn of_admin(config: &Config) -> Self {
        Self { connections: 64, drain: Duration::from_secs(1), ..Self::of_http(config) }
    }
}

/// What the connections of a listener have come to.
#[derive(Debug, Default)]
pub struct Connections {
    /// Open now; upgraded ones do not count.
    pub open: AtomicU64,
    /// Accepted so far.
    pub accepted: AtomicU64,
    /// Turned away because there were too many.
    pub refused: AtomicU64,
}

/// Serves a router until `stop` says true, then lets what is under way finish.
pub async fn serve(
    mut acceptor: Acceptor,
    router: Router,
    settings: Settings,
    tally: Arc<Connections>,
    mut stop: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(settings.connections as usize));
    let farewells = Arc::new(Semaphore::new(FAREWELLS));
    let builder = builder(&settings);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = acceptor.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        let Ok(place) = room.clone().try_acquire_owned() else {
            tally.refused.fetch_add(1, Ordering::Relaxed);
            // Beyond these few the door is shut without a word.
            if let Ok(place) = farewells.clone().try_acquire_owned() {
                tokio::spawn(async move {
                    farewell(stream, FULL).await;
                    drop(place);
                });
            }
            continue;
        };
        tally.accepted.fetch_add(1, Ordering::Relaxed);
        let connection = Connection { router: router.clone(), peer, _open: Open::new(tally.clone(), place) };
        tokio::spawn(connection.run(builder.clone(), stream, stop.clone()));
    }
    drop(acceptor);
    // Every connection holds a place, so all places together are the end of the last connection.
    let _ = tokio::time::timeout(settings.drain, room.acquire_many(settings.connections)).await;
}

/// Waits for the stop. A sender that is gone stops too.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

fn builder(settings: &Settings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Who has said all it wants to say, and says so by a FIN, is answered all the same.
        .half_close(true)
        .header_read_timeout(settings.head_time)
        .max_header_size(settings.head_bytes)
        .max_buf_size(settings.head_bytes.max(LEAST_BUFFER))
        .max_headers(settings.head_fields);
    builder
}

/// Says the last words, if any, and reads what the client still sends: a close with unread input is a reset, which
/// destroys the answer on its way.
async fn farewell(mut stream: TcpStream, words: &[u8]) {
    let said = async {
        if stream.write_all(words).await.is_err() || stream.shutdown().await.is_err() {
            return;
        }
        let mut discarded = [0; 1024];
        while matches!(stream.read(&mut discarded).await, Ok(read) if read > 0) {}
    };
    let _ = tokio::time::timeout(FAREWELL, said).await;
}

/// Counts a connection while it is open, and gives its place back.
struct Open {
    tally: Arc<Connections>,
    _place: OwnedSemaphorePermit,
}

impl Open {
    fn new(tally: Arc<Connections>, place: OwnedSemaphorePermit) -> Self {
        tally.open.fetch_add(1, Ordering::Relaxed);
        Self { tally, _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.tally.open.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Connection {
    router: Router,
    peer: SocketAddr,
    _open: Open,
}

impl Connection {
    async fn run(self, builder: http1::Builder, stream: TcpStream, mut stop: watch::Receiver<bool>) {
        let peer = self.peer;
        let router = self.router.clone();
        let stream = Stream::new(stream);
        let line = stream.line();
        let service = service_fn(move |mut request: Request<Incoming>| {
            let mut router = router.clone();
            request.extensions_mut().insert(Peer(peer));
            request.extensions_mut().insert(line.clone());
            async move {
                // A router is always ready; the call is there for services that are not.
                poll_fn(|context| Service::<Request<Body>>::poll_ready(&mut router, context)).await?;
                router.call(request.map(Body::new)).await.map_err(|error: Infallible| error)
            }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        let mut connection = connection.with_upgrades();
        let result = tokio::select! {
            result = &mut connection => result,
            () = stopped(&mut stop) => {
                Pin::new(&mut connection).graceful_shutdown();
                (&mut connection).await
            }
        };
        let Err(error) = result else { return };
        tracing::debug!(%peer, %error, "an HTTP connection ended early");
        // Malformed heads have been answered. A head that did not come in time has not; who sent none at all expects
        // no answer.
        if let Some(parts) = connection.into_parts() {
            let late = error.is_timeout() && !parts.read_buf.is_empty();
            if let Some(socket) = parts.io.into_inner().into_inner() {
                farewell(socket, if late { LATE } else { b"" }).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_well_formed() {
        for words in [FULL, LATE] {
            let text = std::str::from_utf8(words).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.lines().any(|line| line == format!("Content-Length: {}", body.len())), "{head}");
        }
    }
}
