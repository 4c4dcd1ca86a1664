//! How a machine behaves, seen from its door: inputs, outputs and time, nothing else.
//!
//! One behaviour a test; [`oracle`] plays random operations against a naive model, also with messages that come late,
//! twice and in any order, and inboxes of one to three places.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

// The name that every other crate of the house knows it by.
extern crate muster_engine as engine;

mod channel;
mod chats;
mod chats_oracle;
mod command;
mod erase;
mod limits;
mod memory;
mod net;
mod oracle;
mod presence;
mod restart;
mod returning;
mod shelf;
mod trades;
mod watch;
