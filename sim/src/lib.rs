//! The deterministic simulator: the same machines as in a node, driven by a virtual clock, mesh and store from one
//! seed, and compared after every step with a naive account of what was promised.
//!
//! ```text
//!  seed ─► profile (which world) ─► world ◄── workload (what people do)
//!                                    │ ▲
//!                    inputs, outputs │ │ network (mesh), store
//!                                    ▼ │
//!                                  oracle (what was promised)
//! ```
//!
//! Each concern draws its luck from a stream of its own. A run with the same seed is the same run; [`run()`] repeats a
//! failed one to tell what happened last. Read [`world`] first, then [`oracle`].
//!
//! Absent on purpose: sockets, edges and real threads; what they do to a machine is in the operations.

pub mod broken;
pub mod chatter;
pub mod luck;
mod names;
pub mod network;
pub mod operation;
pub mod operations;
pub mod oracle;
mod people;
pub mod profile;
pub mod run;
pub mod shelf;
pub mod store;
pub mod workload;
pub mod world;

pub use operations::run_operations;
pub use run::{Failure, Outcome, Plan, run, trace};
