//! What a node has kept, while it does not run: its stores without shards, for whoever carries elsewhere what is in them.
//!
//! The words are those of the ports: what is kept of conversations is [`Part`]s, whichever store keeps it.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::machine::Router;
use crate::store;

pub use crate::machine::erase::{NOBODY, wiped};
pub use crate::machine::store::{
    ChatAsk, ChatStored, Horizon, Loaded, MemberRow, Part, Place, SeenRow, Write,
};
pub use crate::store::Adapter;
pub use crate::store::chat::{Failure, FailureKind, Reads, Settings, Writes};

/// The stores, opened as a node opens them: no node can have them at the same time.
pub struct Kept {
    /// Conversations.
    pub writes: Box<dyn Writes>,
    /// The same, to be read.
    pub reads: Arc<dyn Reads>,
    /// Last seen, and who was online.
    pub seen: Box<dyn Adapter>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// Opens the stores, or begins them. `secret` is the key of the routing hash, as the node has it; `salt` a number that
/// nobody can guess.
///
/// # Errors
/// When they cannot be used; the text says why and what to do.
pub fn open(kind: &store::Kind, settings: &Settings, secret: (u64, u64), salt: u64) -> io::Result<Kept> {
    // How many shards there are has no bearing on what is kept.
    let router = Router::new(secret, 1);
    let seen = store::open(kind, &router).map_err(io::Error::other)?.adapter;
    let store::chat::Opened { writes, reads, .. } = store::chat::open(kind, settings, salt)?;
    Ok(Kept { writes, reads, seen })
}
