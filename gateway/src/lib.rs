//! The protocol edges of Muster: bytes to commands, events to bytes.

pub mod accept;
pub mod admin;
pub mod api;
pub mod auth;
pub mod binary;
pub mod carry;
pub mod clock;
pub mod config;
pub mod conn;
pub mod desk;
pub mod device;
pub mod edges;
pub mod endpoints;
pub mod engineio;
pub mod erasing;
pub mod http;
pub mod logging;
pub mod media;
pub mod memory;
pub mod rate;
pub mod realms;
pub mod serve;
pub mod socketio;
pub mod tables;
pub mod timestamp;
pub mod websocket;
