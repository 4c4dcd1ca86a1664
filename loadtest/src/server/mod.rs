//! The server's side of a run: starting one, watching it, and what fits on this machine beside it.
//!
//! ```text
//! fit ── what fits, and with which settings ──► spawn ── a fresh server, its addresses and secret
//!  ▲                                              │ pid, admin address
//! machine ── memory, limits of the machine ─┐     ▼
//! procfs ─── CPU, memory of a process ──────┴► watch ── a sample a second ──► outcome::Tick
//! metrics ── what the server tells of itself ─┘
//! inquiry ── a service that asks it, and what that does to its turns
//! ```
//!
//! What is absent: nothing here knows what the crowd does, and nothing draws conclusions. Everything that is read
//! from `/proc` is parsed by pure functions, and the plan of [`fit`] is a pure function of its facts.

mod facts;
pub mod fit;
mod http;
pub mod inquiry;
pub mod machine;
pub mod metrics;
pub mod procfs;
pub mod spawn;
pub mod watch;
mod words;
