//! The published APIs over HTTP, each in a folder of its own: its words, its errors, its oddities.
//!
//! They do not know each other. [`drafts`] is what may be said through any of them.

pub mod drafts;
pub mod messaging;
pub mod presence;
pub mod server;
pub mod trade;
