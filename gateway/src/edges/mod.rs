//! The protocols on established connections: each an [`engine::protocol::Protocol`] without I/O, driven by a shard.
//!
//! What comes before (handshake, token, choice of the shard) is the front door's; see [`crate::http`] and
//! [`crate::binary`].

pub mod binary;
pub mod echo;
mod known;
pub mod messaging;
pub mod pace;
pub mod presence;
mod presence_words;
pub mod socketio;
pub mod trade;

use std::sync::Arc;

use schema::frame;

use self::pace::Rate;
use self::socketio::Endpoint;
use self::socketio::errand::Errands;
use crate::socketio::{Encoded, Namespace, Namespaces};
use crate::websocket;

/// The numbers of the edges, from the configuration; all times in milliseconds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Longest binary frame taken, bytes.
    pub frame_bytes: usize,
    /// How long a frame may take to arrive whole.
    pub assembly: u64,
    /// How often binary clients are to send a frame.
    pub heartbeat: u32,
    /// Limits of WebSocket messages.
    pub websocket: websocket::Limits,
    /// Silence after which a presence session is over.
    pub silence: u32,
    /// Silence after which a presence WebSocket is sent a ping.
    pub ping: u64,
    /// Frames of a presence WebSocket.
    pub frames: Rate,
    /// Longest user id that a presence client may name, characters.
    pub user_id: usize,
    /// The Engine.IO endpoints.
    pub endpoints: Arc<[Endpoint]>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            frame_bytes: frame::FRAME_MAX,
            assembly: 10_000,
            heartbeat: 30_000,
            websocket: websocket::Limits::default(),
            silence: 90_000,
            ping: 30_000,
            frames: Rate { per_second: 20, burst: 60 },
            user_id: 128,
            endpoints: Arc::new([]),
        }
    }
}

/// What the edges of one shard share.
#[derive(Debug)]
pub struct Shared {
    settings: Settings,
    encoder: frame::Encoder,
    /// The namespaces of an endpoint that has `/` only.
    root: Namespaces,
    errands: Errands,
}

impl Shared {
    /// For one shard.
    #[must_use]
    pub fn new(settings: Settings, errands: Errands) -> Self {
        Self { settings, encoder: frame::Encoder::new(), root: Namespaces::new(&[]), errands }
    }

    /// Appends an event in frames of the binary protocol.
    pub fn encode_binary(&mut self, event: &schema::Event, out: &mut Vec<u8>) {
        self.encoder.event(event, out);
    }

    /// Appends an event in the words of the messaging API, each of its packets by `append`.
    pub fn encode_messaging(
        &self,
        event: &schema::Event,
        append: fn(&Encoded, &mut Vec<u8>),
        out: &mut Vec<u8>,
    ) {
        messaging::tell::tell(event, &mut |name, json| {
            append(&Encoded::event(&self.root, Namespace::ROOT, name, json), out);
        });
    }
}
