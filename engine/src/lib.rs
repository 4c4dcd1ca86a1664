//! The engine of Muster: shards, their machines, the mesh between them, and the socket drivers under them.
//!
//! ```text
//!  front door ── front::Door ──► inbox ─► shard ─► machine ─► Output ─┬─► edge ─► socket driver
//!                                  ▲        ▲                         ├─► links ─► another shard's inbox
//!  socket driver ── bytes ─► edge ─┼────────┘                         ├─► store worker
//!  store worker ───── replies ─────┘                                  └─► the front door's desk
//! ```
//!
//! Reading order: [`machine`] (what is true), [`protocol`] (what an edge is), [`shard`] (the turn), [`mesh`] and
//! [`front`] (how threads speak), [`io`] (the sockets), [`node`] (how it all starts and stops).

pub mod front;
pub mod host;
pub mod io;
pub mod kept;
pub mod limits;
pub mod machine;
pub mod mesh;
pub mod node;
mod outbox;
pub mod protocol;
pub mod shard;
pub mod store;
