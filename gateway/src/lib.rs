//! The protocol edges of Muster: bytes to commands, events to bytes.

pub mod websocket;
pub mod auth;
pub mod clock;
pub mod conn;
pub mod edges;
pub mod timestamp;
pub mod config;
