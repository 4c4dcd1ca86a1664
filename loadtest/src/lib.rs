//! The load-test harness: who asks "how many, how fast, how much memory, on my machine?" gets the answer from here.
//!
//! ```text
//! scenario ── what the crowd does and when it is due ──► fleet ── rings, sockets, the clock ──► any server
//!                                                        dialect ── bytes ◄─► words
//!                 outcome ◄── histograms, counts, checks ──┘        server ── CPU, memory, metrics of the server
//!                 report  ── the live view, JSON, HTML, the comparison of two
//! ```
//!
//! Reading order: [`outcome`] is what comes out and what every report is made of; [`server`] starts and watches what is tested.

mod account;
pub mod app;
pub mod cli;
pub mod clock;
pub mod dialect;
pub mod fleet;
pub mod mix;
pub mod outcome;
pub mod persona;
pub mod rehearsal;
pub mod report;
pub mod run;
pub mod server;
pub mod stamp;
mod verdict;
