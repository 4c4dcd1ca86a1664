//! The engine of Muster: shards, their machines, the mesh between them, and the socket drivers under them.

pub mod io;
pub mod limits;
pub mod machine;
pub mod mesh;
pub mod store;
