//! Socket.IO on the shards: sessions on long-polling, on a WebSocket, and on their way from one to the other.
//!
//! ```text
//! visit.rs      what the front door brings (polls, uploads, sockets, verdicts) and what it takes back
//! sid.rs        the id of a session: where it is, and a secret
//! endpoint.rs   a path, its numbers, and who speaks on it
//! conn.rs       one connection: inputs of the shard ──► the sans-IO sessions ──► what the shard is to do
//!   link.rs       what it is reached by: a socket, requests, or both
//!   outlet.rs     where a session says things: the socket, or the requests that wait
//!   hearing.rs    what a session's messages mean: joins, events, ends
//!   client.rs     Socket.IO on Engine.IO, or Engine.IO alone
//!   speaker.rs    which API a connection speaks
//! api.rs        what an API on Socket.IO is: one small trait
//! pending.rs    what an API remembers while the machine works
//! echo.rs       the API of the conformance suites
//! errand.rs     tokens on their way to the front door, which checks them: no shard computes a signature
//! ```
//!
//! The protocols themselves are [`crate::engineio`] and [`crate::socketio`].

pub mod api;
mod client;
pub mod conn;
pub mod echo;
pub mod endpoint;
pub mod errand;
mod hearing;
mod link;
mod outlet;
pub mod pending;
pub mod sid;
mod speaker;
pub mod visit;

pub use conn::SocketIoConn;
pub use endpoint::{Endpoint, EndpointId, Speaker};
pub use visit::Visit;

use crate::socketio::Encoded;
use crate::websocket::encode;

/// Between two packets of what a polling session keeps. No packet of text has it: JSON escapes control characters.
const SEPARATOR: u8 = 0x1e;

/// Appends an event for a WebSocket: a text frame.
pub fn to_socket(event: &Encoded, out: &mut Vec<u8>) {
    encode::text(out, event.packet());
}

/// Appends an event for a session that keeps it until a poll comes.
pub fn to_keep(event: &Encoded, out: &mut Vec<u8>) {
    if !out.is_empty() {
        out.push(SEPARATOR);
    }
    out.extend_from_slice(event.packet().as_bytes());
}
