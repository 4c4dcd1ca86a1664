//! The Engine.IO endpoints of a server: a path, its numbers, and which API speaks on it.

use std::sync::Arc;

use crate::edges::{messaging, trade};
use crate::engineio::handshake::Offer;
use crate::{engineio, socketio, websocket};

/// One of a server's endpoints, by its place among them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct EndpointId(pub u8);

/// Who speaks on an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Speaker {
    /// Socket.IO: events come back, for conformance suites and benchmarks.
    Echo,
    /// Engine.IO alone: each message comes back as the same kind.
    EngineEcho,
    /// The messaging API.
    Messaging(Arc<messaging::Settings>),
    /// The buyer/seller API.
    Trade(trade::Bounds),
}

/// An endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its path, without a slash at the end; served with and without one.
    pub path: Box<str>,
    /// Who speaks on it.
    pub speaker: Speaker,
    /// Which transports and versions it offers.
    pub offer: Offer,
    /// The numbers of Engine.IO.
    pub engine: engineio::Settings,
    /// The numbers and words of Socket.IO.
    pub io: socketio::Settings,
    /// Limits of WebSocket messages: at least as long as an upload may be.
    pub websocket: websocket::Limits,
    /// Events and CONNECTs per second and connection, and how many may come at once; 0: any number.
    pub events_per_second: u32,
    /// See `events_per_second`.
    pub events_burst: u32,
}
