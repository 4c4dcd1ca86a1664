//! WebSocket framing, server side, without I/O: bytes in, events out; messages in, bytes out (RFC 6455).
//!
//! ```text
//! handshake.rs   request head ──► 101 headers, or a refusal          (front door, once a connection)
//! stream.rs      socket bytes ──► Event: text, binary, ping, close   (shard, every read)
//!   frame.rs       one frame header: parsed, checked, payload unmasked
//!   assembly.rs    one message under way: fragments joined, UTF-8 checked as it arrives
//! encode.rs      text, binary, ping, pong, close ──► bytes           (shard, every write)
//! close.rs       the close codes
//! ```
//!
//! What is here on purpose: a frame that lies whole in the receive buffer is unmasked there and handed out as a
//! slice of it; an idle socket keeps no buffer. What is absent on purpose: extensions (no compression is ever
//! negotiated, so no bomb can be sent), a clock (time is an argument), a write queue (the outbox is the session's)
//! and automatic replies (an edge answers a ping or a close itself, in the batch of its turn).

mod assembly;
pub mod close;
pub mod encode;
mod frame;
pub mod handshake;
mod stream;

pub use close::CloseCode;
pub use stream::WebSocket;

/// What one socket may make the server hold, and for how long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longest message, bytes, all its fragments together. A longer one is refused at the header that announces it
    /// (close code 1009), before a byte of that frame is kept.
    pub message_bytes: usize,
    /// Most frames one message may come in (close code 1008): a fragment costs its sender six bytes and us a turn
    /// of the parser.
    pub fragments: u32,
    /// Longest time from the first byte of an unfinished frame or message to its last, ms (close code 1008).
    pub assembly_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes: 64 * 1024, fragments: 1024, assembly_ms: 10_000 }
    }
}

/// What the bytes of a client meant. Slices are valid for the call only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event<'a> {
    /// A whole text message (RFC 6455, 5.6).
    Text(&'a str),
    /// A whole binary message (RFC 6455, 5.6).
    Binary(&'a [u8]),
    /// To be answered with a pong of the same payload, at once, even inside a fragmented message (RFC 6455, 5.5.2).
    Ping(&'a [u8]),
    /// Life, and nothing to answer (RFC 6455, 5.5.3).
    Pong(&'a [u8]),
    /// The client closes: echo the code ([`encode::close`]), then close the connection (RFC 6455, 5.5.1).
    /// A close without a code is [`CloseCode::NO_STATUS`]. The last event of a socket.
    Close {
        /// The client's code, one that may be sent on the wire, or `NO_STATUS`.
        code: CloseCode,
        /// The client's reason, often empty.
        reason: &'a str,
    },
    /// The client broke the protocol or a limit: send a close frame with this code, then close the connection
    /// (RFC 6455, 7.1.7). The last event of a socket.
    Fail {
        /// The code to close with.
        code: CloseCode,
        /// What was wrong, fit for the close frame and the log.
        reason: &'static str,
    },
}

/// A rule the client broke; becomes [`Event::Fail`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Violation {
    code: CloseCode,
    reason: &'static str,
}

impl Violation {
    const fn protocol(reason: &'static str) -> Self {
        Self { code: CloseCode::PROTOCOL_ERROR, reason }
    }

    const fn encoding(reason: &'static str) -> Self {
        Self { code: CloseCode::INVALID_PAYLOAD, reason }
    }

    const fn policy(reason: &'static str) -> Self {
        Self { code: CloseCode::POLICY, reason }
    }

    const fn size(reason: &'static str) -> Self {
        Self { code: CloseCode::TOO_BIG, reason }
    }
}

impl From<Violation> for Event<'_> {
    fn from(Violation { code, reason }: Violation) -> Self {
        Self::Fail { code, reason }
    }
}
