//! What is said to a client: to its WebSocket at once, or waiting here for its next poll, bounded in bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::packet::{Kind, Packet};
use super::payload::PayloadWriter;

/// A packet for the client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outgoing {
    /// A packet without data.
    Bare(Kind),
    /// A text packet, its type first.
    Packet(String),
    /// A text packet, its type first, whose bytes go to many sessions.
    Shared(Arc<str>),
    /// A message of bytes, without a type.
    Binary(Arc<[u8]>),
}

impl Outgoing {
    /// The packet as a text frame; `None` for bytes.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Bare(kind) => Some(kind.bare()),
            Self::Packet(text) => Some(text),
            Self::Shared(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    /// Bytes of the packet.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Binary(bytes) => bytes.len(),
            other => other.as_text().map_or(0, str::len),
        }
    }

    fn write(&self, payload: &mut PayloadWriter) {
        match self {
            Self::Binary(bytes) => payload.push(&Packet::binary(bytes)),
            other => payload.push_encoded(other.as_text().unwrap_or_default()),
        }
    }
}

/// What one packet counts beyond its bytes, so that a crowd of empty ones is no way around the bound.
pub(super) const PACKET_COST: usize = size_of::<Outgoing>();

/// Packets in order. A packet counts its bytes and [`PACKET_COST`]; shared bytes count in full for everyone who
/// waits for them, as they would once written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    packets: VecDeque<Outgoing>,
    cost: usize,
}

impl Queue {
    /// What the packets count.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub(super) fn push(&mut self, packet: Outgoing) {
        self.cost += packet.len() + PACKET_COST;
        self.packets.push_back(packet);
    }

    /// Forgets the first packets: somebody has them.
    pub(super) fn forget(&mut self, count: usize) {
        for packet in self.packets.drain(..count.min(self.packets.len())) {
            self.cost -= packet.len() + PACKET_COST;
        }
        if self.packets.is_empty() {
            self.packets = VecDeque::new();
        }
    }

    /// All packets, which are no longer here.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Outgoing> + use<> {
        self.cost = 0;
        std::mem::take(&mut self.packets).into_iter()
    }

    /// Whether one of the first packets has bytes.
    pub(super) fn has_binary(&self, most: usize) -> bool {
        self.packets.iter().take(most).any(|packet| matches!(packet, Outgoing::Binary(_)))
    }

    /// Writes the first packets, at least one and no more than the limits say; returns how many. They stay.
    pub(super) fn write(&self, payload: &mut PayloadWriter, most: usize, bytes: usize) -> usize {
        let mut written = 0;
        for packet in self.packets.iter().take(most) {
            // Base64 makes four bytes of three.
            if written > 0 && payload.bytes() + packet.len() / 3 * 4 > bytes {
                break;
            }
            packet.write(payload);
            written += 1;
        }
        written
    }
}
