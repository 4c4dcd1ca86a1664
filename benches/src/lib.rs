//! What Muster costs, and the commands that find it out.
//!
//! ```text
//!  micro (cases) ──┬──► benches/micro.rs       cargo bench: nanoseconds, at a desk
//!                  ├──► bin/instructions.rs    instructions a call, a guard that repeats
//!                  └──► section micro ─┐
//!  stats (paired intervals) ───────────┼──► performance ──► docs/performance/*.json ──► docs/PERFORMANCE.md
//!  servers (floors and Muster) ────────┘
//! ```
//!
//! The floors (`bin/ring_echo.rs`, `bin/epoll_echo.rs`) are the least a server can do for a heartbeat, on each of the
//! two interfaces; what they share is [`floor`].

pub mod counted;
pub mod floor;
pub mod micro;
pub mod performance;
pub mod servers;
pub mod stats;
