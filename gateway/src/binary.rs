//! The door of the binary protocol: reads a connection's first frame, verifies its token, and hands the socket to
//! the home shard of its user.
//!
//! Strangers wait here and not on a shard: whoever has not shown a token costs a shard nothing, signatures are
//! verified where they may take their time, and the socket reaches the right shard before its receive is armed.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use engine::front::Door;
use engine::io::sockets;
use schema::CloseReason;
use schema::frame::{
    self, ClientFrame, Closing, Connect, FrameError, Liveness, PREFIX, ServerFrame, VERSIONS, decode_client,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use crate::accept::Acceptor;
use crate::auth::LiveVerifier;
use crate::clock::Clock;
use crate::conn::{Arrival, BinaryArrival};
use crate::realms::Realms;

/// The numbers of the door.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Time a connection has to authenticate.
    pub connect_time: Duration,
    /// Longest first frame.
    pub pre_auth_bytes: usize,
    /// Silence after which a session is over, milliseconds.
    pub silence: u32,
    /// TCP keep-alive for clients that asked for it: idle time before the first probe.
    pub keepalive: Duration,
}

/// What the door needs.
#[derive(Clone)]
pub struct Context {
    /// The shards.
    pub door: Door<Arrival>,
    /// Of tokens.
    pub verifier: Arc<LiveVerifier>,
    /// Names of realms.
    pub realms: Arc<Realms>,
    /// The front door's clock.
    pub clock: Clock,
    /// The numbers.
    pub settings: Settings,
}

/// Connections that may be on their way in at a time; more wait in the kernel's queue.
const PENDING: usize = 4_096;

/// Accepts until `stop` says true.
pub async fn serve(mut acceptor: Acceptor, context: Context, mut stop: watch::Receiver<bool>) {
    let context = Arc::new(context);
    let pending = Arc::new(Semaphore::new(PENDING));
    loop {
        // The semaphore is never closed.
        let Ok(permit) = pending.clone().acquire_owned().await else { return };
        let (stream, peer) = tokio::select! {
            accepted = acceptor.accept() => accepted,
            () = stopped(&mut stop) => return,
        };
        let (context, stop) = (context.clone(), stop.clone());
        tokio::spawn(async move {
            admit(&context, stream, peer, stop).await;
            drop(permit);
        });
    }
}

/// Waits for the stop. A sender that is gone stops too.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn admit(context: &Context, mut stream: TcpStream, peer: SocketAddr, mut stop: watch::Receiver<bool>) {
    let (time, max) = (context.settings.connect_time, context.settings.pre_auth_bytes);
    let mut bytes = Vec::new();
    let read = tokio::select! {
        read = tokio::time::timeout(time, read_first(&mut stream, &mut bytes, max)) => read,
        () = stopped(&mut stop) => {
            let answer = ServerFrame::Closing(Closing::new(CloseReason::Draining));
            return refuse(stream, peer, &answer, "the server is stopping").await;
        }
    };
    let first = match read {
        Ok(Ok(Some(first))) => first,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return refuse(stream, peer, &error.answer(), &error.to_string()).await,
        Err(_) => return refuse_auth(stream, peer, "no whole Connect came in time").await,
    };
    let connect = match decode_client(&bytes[PREFIX..first]) {
        Ok(ClientFrame::Connect(connect)) => connect,
        Ok(_) => {
            let text = "the first frame must be a Connect with a token";
            return refuse_auth(stream, peer, text).await;
        }
        Err(error) => {
            // Before authentication there is nothing to go on with: a refusal ends the connection too.
            let answer = match error.answer() {
                closing @ ServerFrame::Closing(_) => closing,
                _ => ServerFrame::Closing(
                    Closing::new(CloseReason::ProtocolError).with_text(error.to_string()),
                ),
            };
            return refuse(stream, peer, &answer, &error.to_string()).await;
        }
    };
    if !VERSIONS.contains(&connect.version) {
        let error = FrameError::Version { asked: connect.version };
        return refuse(stream, peer, &error.answer(), &error.to_string()).await;
    }
    bytes.drain(..first);
    hand_over(context, stream, peer, connect, bytes).await;
}

/// Reads until the first frame is whole, and says how long it is with its prefix. `None`: the client left.
async fn read_first(
    stream: &mut TcpStream,
    bytes: &mut Vec<u8>,
    max: usize,
) -> Result<Option<usize>, FrameError> {
    let mut chunk = [0; 1_024];
    loop {
        if let Some(frame) = frame::split(bytes, max)? {
            return Ok(Some(PREFIX + frame.len()));
        }
        // What follows the connect frame is the session's and has room in its receive buffer.
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return Ok(None),
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

async fn hand_over(
    context: &Context,
    stream: TcpStream,
    peer: SocketAddr,
    connect: Connect,
    read_ahead: Vec<u8>,
) {
    let identity = match context.verifier.verify(&connect.token, context.clock.unix_ms()) {
        Ok(identity) => identity,
        Err(error) => return refuse_auth(stream, peer, error.message()).await,
    };
    let expires_at = identity.cut_off_ms;
    let actor = match context.realms.actor(&identity) {
        Ok(actor) => actor,
        Err(text) => return refuse_auth(stream, peer, &text).await,
    };
    let silence = match connect.liveness {
        Liveness::Heartbeat => context.settings.silence,
        Liveness::TcpKeepAlive => 0,
    };
    let shard = context.door.home(&actor.key);
    let socket: OwnedFd = match stream.into_std() {
        Ok(socket) => socket.into(),
        Err(error) => return tracing::warn!(%peer, %error, "a socket could not be taken from the front door"),
    };
    if silence == 0
        && let Err(error) = sockets::keep_alive(socket.as_fd(), context.settings.keepalive)
    {
        return tracing::warn!(%peer, %error, "TCP keep-alive could not be set");
    }
    let arrival = Arrival::Binary(BinaryArrival {
        actor,
        expires_at,
        peer,
        device: connect.device,
        silence,
        read_ahead,
    });
    if let Err(refusal) = context.door.hand_over(shard, socket, arrival) {
        tracing::debug!(%peer, %refusal, "a binary connection could not be handed over");
    }
}

async fn refuse_auth(stream: TcpStream, peer: SocketAddr, text: &str) {
    let closing = Closing::new(CloseReason::Unauthenticated).with_text(text.to_owned());
    refuse(stream, peer, &ServerFrame::Closing(closing), text).await;
}

/// Longest time that a refusal takes.
const LINGER: Duration = Duration::from_secs(1);

/// Says why, sends FIN, and reads what the client still sends, so that the last frame is not destroyed by a reset.
async fn refuse(mut stream: TcpStream, peer: SocketAddr, answer: &ServerFrame, why: &str) {
    tracing::debug!(%peer, why, "a binary connection was refused");
    let mut out = Vec::new();
    frame::Encoder::new().server(answer, &mut out);
    let told = async {
        if stream.write_all(&out).await.is_err() || stream.shutdown().await.is_err() {
            return;
        }
        let mut discarded = [0; 1_024];
        while matches!(stream.read(&mut discarded).await, Ok(read) if read > 0) {}
    };
    let _ = tokio::time::timeout(LINGER, told).await;
}
