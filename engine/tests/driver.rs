//! Every behaviour of the socket drivers, on both of them, over loopback sockets.
//!
//! Nothing here sleeps and hopes: a test turns the driver until what it waits for has happened, and fails at a
//! deadline.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test fails by panicking and says where")]
#![expect(clippy::disallowed_methods, reason = "tests bound their waiting by the clock")]

#[path = "driver/rig.rs"]
mod rig;

#[path = "driver/basics.rs"]
mod basics;
#[path = "driver/limits.rs"]
mod limits;
#[path = "driver/process.rs"]
mod process;
#[path = "driver/reuse.rs"]
mod reuse;
#[path = "driver/streams.rs"]
mod streams;
