//! What people and other programs get to see of a run: live, in JSON, as a page, and next to another run.
//!
//! ```text
//!                   ┌── view ─────── stderr, while it runs; then `summary` on stdout
//! Tick, Latency ────┘
//! Outcome ──► thresholds ──► checks ──┬── json ───── one file, read again by `compare`
//!                                     ├── html ───── one page: tables from here, plots by its own script
//!                                     └── compare ── two runs: a text, or a page with both curves in each plot
//! ```
//!
//! Every report says the same: what the figures are is decided in `headline`, how they are written in [`figures`].

pub mod compare;
pub mod figures;
pub mod html;
pub mod json;
pub mod summary;
pub mod thresholds;
pub mod view;

mod difference;
mod headline;
mod markup;
mod table;

#[cfg(test)]
#[path = "../../tests/support/sample.rs"]
mod sample;

// The sample is shared with `tests/`, where the same name comes from the library.
#[cfg(test)]
use crate::outcome;
