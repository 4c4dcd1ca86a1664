//! The store in ScyllaDB, or in Apache Cassandra, which speaks the same language.
//!
//! ```text
//! presence: worker ─► [presence] ───────────────┐
//! chats: threads ─► [pipeline] ─► [plan] ─► [write] ─► [link] ─► the driver's sessions, on a runtime of their own
//!                └─► [read] ────────────────────┘
//! ```
//!
//! The tables are `schema/cql`; what is in them, in which order it is written and what becomes of a crash between any
//! two statements is told in `docs/STORES.md`. In short: a write of a conversation is first put down whole, in the one
//! row that the conversation has in `intents`; then its rows are put where they belong, each with the time that the
//! intent gave it; then it is answered. Whoever loads a conversation that an earlier process wrote to does its latest
//! intent again first, which changes nothing if it had been done.
//!
//! - [`link`]: connects, migrates, and stays connected; every statement goes through it;
//! - [`attempt`]: what an error says of a statement;
//! - [`tls`]: how the servers prove who they are;
//! - [`owner`]: there is one writer: its epoch, its lease, and the times it may write with;
//! - [`schema`]: the tables and their versions;
//! - [`statements`]: what is asked of the server;
//! - [`change`]: one row to be written, and how it stands in an intent;
//! - [`plan`], [`lives`]: from what a machine wants written to rows, and what that needs to know;
//! - [`write`], [`pipeline`]: writing rows, conversation by conversation;
//! - [`sweep`], [`trim`]: clearing them away, of conversations that are gone and of those that forget;
//! - [`read`], [`pages`], [`memberships`]: reading them;
//! - [`aged`]: conversations with messages older than they are to be; [`traces`]: those that name a user;
//! - [`walk`]: everything that is kept, gone through;
//! - [`presence`]: last seen and the online journal;
//! - [`blocking`]: all of it behind the blocking traits.

mod aged;
mod attempt;
mod blocking;
mod change;
mod link;
mod lives;
mod memberships;
mod owner;
mod pages;
mod pipeline;
mod plan;
mod presence;
mod read;
pub mod schema;
mod statements;
mod sweep;
mod tls;
mod traces;
mod trim;
mod walk;
mod write;

#[cfg(test)]
pub(in crate::store) mod tests;

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::chat;
use crate::machine::Router;
use link::Link;
pub use tls::Tls;

/// Where the servers are, and how they are spoken to.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Some of the servers, `host:port`; the others are learnt from them.
    pub nodes: Vec<String>,
    /// The keyspace; made if it is missing.
    pub keyspace: String,
    /// The data centre whose servers are asked, and whose quorum counts. Needed when there is more than one.
    pub datacenter: Option<String>,
    /// Name and password, where the servers want them.
    pub login: Option<(String, String)>,
    /// TLS, where it is spoken.
    pub tls: Option<Tls>,
    /// How a keyspace that is made here is replicated: a map in CQL.
    pub replication: String,
    /// Whether missing tables are made and older ones migrated when the store is opened.
    pub migrate: bool,
    /// The name of this node. A writer under the same name is taken over from at once, another one when its lease is out.
    pub holder: String,
    /// Tells this process from an earlier one of the same name; any number that is not given out twice.
    pub nonce: u64,
    /// How long a statement may take before it is tried again.
    pub timeout: Duration,
    /// Writes that are under way at once, and reads as well.
    pub in_flight: usize,
    /// How long a client's id of a message is kept.
    pub sends_kept: Duration,
    /// Whose row of `owners` and `sweeps` this is.
    pub scope: String,
    /// Added to the number of each realm, so that several stores can share tables.
    pub realm_base: i32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            nodes: vec!["127.0.0.1:9042".into()],
            keyspace: "muster".into(),
            datacenter: None,
            login: None,
            tls: None,
            replication: "{'class': 'NetworkTopologyStrategy', 'replication_factor': 3}".into(),
            migrate: true,
            holder: "muster".into(),
            nonce: 0,
            timeout: Duration::from_secs(2),
            in_flight: 1_024,
            sends_kept: Duration::from_hours(24),
            scope: "all".into(),
            realm_base: 0,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("nodes", &self.nodes)
            .field("keyspace", &self.keyspace)
            .finish_non_exhaustive()
    }
}

/// A way to the servers; copies are the same way. It connects in the background, for as long as it takes.
#[derive(Clone)]
pub struct Scylla {
    link: Arc<Link>,
    host: Arc<Hosting>,
}

impl fmt::Debug for Scylla {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scylla").field(&self.link.settings).finish()
    }
}

/// The runtime that the driver lives on. Tasks on it hold the link and never this, so it never ends on its own threads.
struct Hosting(Option<Runtime>);

impl Drop for Hosting {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Scylla {
    /// Begins to connect.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn open(settings: Settings) -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(2).thread_name("scylla").enable_all().build()?;
        let link = Arc::new(Link::new(settings));
        runtime.spawn(link::keep(link.clone()));
        Ok(Self { link, host: Arc::new(Hosting(Some(runtime))) })
    }

    /// Waits until it is connected, or has failed to once, or so much time has passed. What is asked of it then is answered
    /// as it can be.
    ///
    /// # Errors
    /// When it is not connected, with the reason; it goes on trying.
    pub fn settle(&self, most: Duration) -> Result<(), String> {
        self.block_on(async { _ = tokio::time::timeout(most, self.link.settle()).await });
        self.link.ready().map(|_| ()).map_err(|failure| failure.what)
    }

    /// The store of presence.
    #[must_use]
    pub fn presence(&self, router: Router) -> Box<dyn super::Adapter> {
        Box::new(presence::Presence::new(self.clone(), router))
    }

    /// The store of conversations.
    #[must_use]
    pub fn chats(&self) -> chat::Opened {
        blocking::open(self.clone())
    }

    /// What and where, for the log.
    #[must_use]
    pub fn what(&self) -> String {
        let Settings { keyspace, nodes, .. } = &self.link.settings;
        format!("keyspace {keyspace} at {}", nodes.join(", "))
    }

    /// Runs something on the runtime, and waits for it. Never from one of its own threads.
    fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime().block_on(work)
    }

    fn runtime(&self) -> &Runtime {
        self.host.0.as_ref().expect("it is only taken when the last of us is dropped")
    }
}
