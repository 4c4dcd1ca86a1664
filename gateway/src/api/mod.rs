//! The published APIs over HTTP, each in a folder of its own: its words, its errors, its oddities.

pub mod messaging;
pub mod presence;
pub mod server;
