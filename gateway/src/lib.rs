//! The protocol edges of Muster: bytes to commands, events to bytes.

pub mod auth;
pub mod clock;
pub mod config;
pub mod device;
pub mod logging;
pub mod serve;
