//! The protocol edges of Muster: bytes to commands, events to bytes.

pub mod websocket;
