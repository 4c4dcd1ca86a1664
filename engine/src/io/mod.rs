//! The socket driver: one small interface, and the two drivers behind it.
//!
//! A driver belongs to one shard and is used from that shard's thread only. It owns the sockets; the shard names
//! them by [`Token`]. Nothing here knows a protocol: bytes come in through [`Sink::received`] and go out through
//! [`Driver::send`].
//!
//! A turn of the shard is one [`Driver::wait`]: it submits what was queued since the last one, sleeps if nothing is
//! ready, and reports what happened to the [`Sink`]. The sink cannot reach the driver while it is being told, so the
//! shard notes what it wants to say and queues it after `wait` has returned. That is what makes the batches.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

pub mod affinity;
pub mod clock;
mod epoll;
mod listeners;
mod probe;
mod ring;
mod slots;
pub mod sockets;
mod waker;

pub use clock::Clock;
pub use probe::{Choice, Fallback, open, probe};
pub use waker::Waker;

/// Names one established connection of a shard: a slot of the shard's connection table and its generation.
///
/// The slot is reused, the pair is not (within 2^24 reuses of one slot): a completion that is still on its way when
/// the slot gets its next connection carries the old generation and is dropped.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Token {
    /// Index into the shard's connection table.
    pub slot: u32,
    /// Reuse count of the slot; only the low 24 bits are kept, and a [`Sink`] is told no more than those.
    pub generation: u32,
}

/// Names one listening socket of a shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Listener(pub u8);

/// Why the peer's half of a connection is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The peer sent FIN: nothing more will come; it may still read.
    HalfClosed,
    /// The connection is gone: reset, timed out (TCP_USER_TIMEOUT), or failed otherwise (the `errno`).
    Lost(i32),
}

/// How the shard wants a connection to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Close {
    /// Everything queued is sent (for at most [`Tuning::flush_time`]), then FIN, then what the peer still sends is
    /// read and discarded until its FIN, at most [`Tuning::linger_time`]: closing a socket with unread input sends
    /// a RST that would destroy the last frame on its way.
    Graceful,
    /// At once; unsent bytes are dropped.
    Abort,
}

/// Numbers of a driver, all bounded, set from the configuration.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Connections a shard may hold; the direct-descriptor table is this long where the kernel allows it.
    pub connections: u32,
    /// Length of one provided receive buffer, bytes.
    pub receive_buffer: u32,
    /// Provided receive buffers of the shard; a power of two.
    pub receive_buffers: u16,
    /// SO_SNDBUF of adopted sockets, bytes; 0 leaves the kernel's default.
    pub send_buffer: u32,
    /// TCP_USER_TIMEOUT of adopted sockets: how long sent bytes may stay unacknowledged.
    pub user_timeout: Duration,
    /// Longest time a graceful close waits for a peer that does not read.
    pub flush_time: Duration,
    /// Longest time a graceful close waits for the peer's FIN.
    pub linger_time: Duration,
    /// Bytes of a turn's queued sends after which a driver submits before the turn is over.
    pub send_arena: usize,
    /// After so long in use, pages of the receive buffers and the arena are given back; they come again where they are
    /// needed.
    pub relax_time: Duration,
    /// Plain descriptors kept back, so that EMFILE can be answered in order.
    pub reserve_descriptors: u8,
    /// How long a wait gathers what comes before it ends, unless much comes: a busy shard turns less often, and answers in
    /// batches. What comes after a longer rest than this is never kept waiting. See [`Driver::gathers`].
    pub gather: Duration,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            connections: 1 << 20,
            receive_buffer: 4096,
            receive_buffers: 256,
            send_buffer: 64 * 1024,
            user_timeout: Duration::from_secs(30),
            flush_time: Duration::from_secs(10),
            linger_time: Duration::from_secs(1),
            send_arena: 1 << 20,
            relax_time: Duration::from_secs(10),
            reserve_descriptors: 4,
            gather: Duration::ZERO,
        }
    }
}

/// What a driver counts; read once a turn for the metrics. All only grow but `connections`.
#[derive(Clone, Copy, Default, Debug)]
pub struct Counters {
    /// Adopted and not yet closed.
    pub connections: u64,
    /// Accepted by this driver's own listeners.
    pub accepted: u64,
    /// Accepts that failed for want of descriptors or memory.
    pub accept_refused: u64,
    /// Bytes received.
    pub received_bytes: u64,
    /// Bytes taken by the kernel.
    pub sent_bytes: u64,
    /// Sends that the socket took only in part or not at all, and that went on when it had room.
    pub short_sends: u64,
    /// Receives that found no provided buffer and were armed again.
    pub buffers_empty: u64,
    /// System calls made (`io_uring_enter`, `epoll_wait`, `recv`, `send`, ...), where the driver can count them.
    pub system_calls: u64,
    /// Connections on a plain descriptor because the direct-descriptor table was full or refused them.
    pub plain_fallbacks: u64,
}

/// What the shard is told during [`Driver::wait`].
pub trait Sink {
    /// A listener took a connection. The socket is plain, non-blocking, and not yet adopted.
    fn accepted(&mut self, listener: Listener, socket: OwnedFd, peer: SocketAddr);
    /// Bytes came. They are the driver's own buffer, handed out in place (a WebSocket edge unmasks there), and are
    /// gone after the call.
    fn received(&mut self, token: Token, bytes: &mut [u8]);
    /// The peer's half is over. Said at most once a connection; the shard answers with [`Driver::close`].
    fn ended(&mut self, token: Token, ending: Ending);
    /// The last [`Driver::send`] did not fit into the socket. The driver keeps the rest and goes on by itself; the
    /// shard holds back further sends until [`Sink::drained`].
    fn blocked(&mut self, token: Token);
    /// The rest of a blocked send has been taken.
    fn drained(&mut self, token: Token);
    /// The connection is over in every respect: no completion is on its way and the slot may be used again.
    /// Said exactly once for each adopted connection, always after [`Driver::close`].
    fn closed(&mut self, token: Token);
}

/// A socket driver. See the module documentation for the order of calls.
pub trait Driver {
    /// `ring` or `epoll`, for logs and metrics.
    fn name(&self) -> &'static str;

    /// Starts accepting from a bound, listening, non-blocking socket.
    ///
    /// # Errors
    /// When the socket cannot be registered.
    fn listen(&mut self, listener: Listener, socket: OwnedFd) -> io::Result<()>;

    /// Stops accepting from all listeners and closes them.
    fn stop_listening(&mut self);

    /// Takes over an established socket under a token whose slot is free, and arms its receive.
    ///
    /// # Errors
    /// When the socket cannot be registered; it is closed. No [`Sink::closed`] follows.
    fn adopt(&mut self, token: Token, socket: OwnedFd) -> io::Result<()>;

    /// Queues bytes (copied) to go out with the next [`Driver::wait`]. The shard calls it at most once a connection
    /// between two waits, never between [`Sink::blocked`] and [`Sink::drained`], and never after [`Driver::close`].
    /// A stale token is ignored.
    fn send(&mut self, token: Token, bytes: &[&[u8]]);

    /// Ends a connection; [`Sink::closed`] follows in this or a later wait. A second call may turn a graceful end
    /// into an abort; otherwise it is ignored, and so is a stale token.
    fn close(&mut self, token: Token, how: Close);

    /// Submits what is queued, waits until something happened, a waker was called or `timeout` is over (`None`: for
    /// ever), and tells the sink. `Some(Duration::ZERO)` never sleeps.
    ///
    /// # Errors
    /// Only when the driver itself is broken; the shard then dies and the process ends.
    fn wait(&mut self, timeout: Option<Duration>, sink: &mut dyn Sink) -> io::Result<()>;

    /// Whether [`Driver::wait`] gathers by itself, for [`Tuning::gather`]; else the host has to.
    fn gathers(&self) -> bool {
        false
    }

    /// A handle by which other threads end the driver's sleep.
    fn waker(&self) -> Waker;

    /// The counters so far.
    fn counters(&self) -> Counters;

    /// For a host that sleeps elsewhere than in [`Driver::wait`]: a descriptor that becomes readable when `wait` has
    /// something to do. Ring: a blocking eventfd, to be read (8 bytes) before `wait(Some(ZERO))` is called. Epoll: the
    /// epoll descriptor itself, to be polled and never read.
    ///
    /// # Errors
    /// When the descriptor cannot be made.
    fn notify_fd(&mut self) -> io::Result<OwnedFd> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// How long a host may sleep on [`Driver::notify_fd`] before it must call [`Driver::wait`] again. Zero when
    /// something is queued or left over; the time to the next deadline of a closing connection or a paused listener
    /// otherwise; `None` when only the outside can give the driver work.
    fn patience(&self) -> Option<Duration> {
        None
    }
}
