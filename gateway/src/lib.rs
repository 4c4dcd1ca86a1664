//! The protocol edges of Muster: bytes to commands, events to bytes.

pub mod accept;
pub mod auth;
pub mod binary;
pub mod clock;
pub mod config;
pub mod conn;
pub mod device;
pub mod edges;
pub mod logging;
pub mod realms;
pub mod serve;
pub mod timestamp;
pub mod websocket;
