//! Tokens that a shard has got from its clients, on their way to the front door, which verifies them.

use std::net::SocketAddr;

use engine::machine::input::ConnRef;
use schema::ShardId;
use tokio::sync::mpsc;

use crate::socketio::Namespace;

/// A token to be verified. The verdict comes back to its connection ([`super::Visit::Verdict`]).
#[derive(Debug)]
pub struct Errand {
    /// Where it came from.
    pub shard: ShardId,
    /// The connection there.
    pub conn: ConnRef,
    /// What its client wants to join.
    pub namespace: Namespace,
    /// The token.
    pub token: Box<str>,
    /// The client's address: bad tokens are counted by it.
    pub client: SocketAddr,
}

/// Places for errands under way, of all shards together.
pub const PLACES: usize = 16 * 1024;

/// A shard's way to the front door.
#[derive(Clone, Debug)]
pub struct Errands {
    shard: ShardId,
    sender: Option<mpsc::Sender<Errand>>,
}

impl Errands {
    /// Of a shard.
    #[must_use]
    pub fn new(shard: ShardId, sender: mpsc::Sender<Errand>) -> Self {
        Self { shard, sender: Some(sender) }
    }

    /// A way that leads nowhere, for shards without such clients.
    #[must_use]
    pub fn nowhere() -> Self {
        Self { shard: ShardId(0), sender: None }
    }

    /// The shard whose way it is.
    pub(super) fn shard(&self) -> ShardId {
        self.shard
    }

    /// Sends a token; false: too many are under way.
    pub(super) fn send(&self, conn: ConnRef, namespace: Namespace, token: &str, client: SocketAddr) -> bool {
        let errand = Errand { shard: self.shard, conn, namespace, token: token.into(), client };
        self.sender.as_ref().is_some_and(|sender| sender.try_send(errand).is_ok())
    }
}
