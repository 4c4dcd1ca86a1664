//! The binary protocol of Muster from Rust.
//!
//! ```text
//! bytes ──► Connection ──► Event          sans-IO: no socket, no clock, no randomness of its own
//! Command ─► Connection ──► bytes
//!
//! blocking::Client = Connection + TcpStream + Backoff + Interest
//! ```
//!
//! [`blocking::Client`] is what a program of threads wants: it connects, calls, waits for events, and comes back after a
//! loss with everything it had asked to be told. A program with an event loop of its own drives [`Connection`], and
//! decides with [`Backoff`] when to come back and from [`Interest`] what to ask for then.
//!
//! There is no async runtime in here, and none is needed.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use client::blocking::{Client, Options};
//! use schema::Id;
//!
//! # fn main() -> Result<(), client::Error> {
//! let mut client = Client::connect(Options::new("127.0.0.1:7400", "eyJhbGciOi…"))?;
//! client.watch(&[Id::new("user-1")?])?;
//! while let Some(event) = client.next_event(Duration::from_secs(60))? {
//!     println!("{event:?}");
//! }
//! # Ok(())
//! # }
//! ```

pub mod backoff;
pub mod blocking;
pub mod connection;
pub mod error;
pub mod interest;

pub use backoff::{Backoff, Next};
pub use connection::{Connection, End, Event};
pub use error::Error;
pub use interest::Interest;
pub use schema;
