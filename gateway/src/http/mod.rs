//! The front door: everything that is asked over HTTP, and every WebSocket handshake.
//!
//! ```text
//! listener.rs ─► hyper http1 ─► router.rs ─► around.rs (log, CORS, panics) ─► api/…  ─► desk ─► shard
//!                    │                                                          │
//!                    └── upgrade ──────────────► handover.rs ─ the socket ──────┴──────────► shard
//! ```
//!
//! Reading order: [`state`] (what a handler may use), [`router`], [`listener`]. Each published API has its own folder
//! under [`crate::api`]; nothing here knows its words.
//!
//! What is absent: no HTTP/2 (proxies in front speak HTTP/1.1 to their backends, and a WebSocket needs it), no
//! cookies, no compression, no state of the roll call, and no files but those that users uploaded.

pub mod around;
pub mod auth;
pub mod body;
pub mod client_addr;
pub mod cors;
pub mod engineio;
pub mod handover;
pub mod json;
pub mod limited;
pub mod listener;
pub mod openapi;
pub mod pages;
pub mod refusal;
pub mod router;
pub mod stall;
pub mod state;
pub mod strict;
pub mod tally;

use std::sync::Arc;

use tokio::sync::watch;

pub use state::Front;

use crate::accept::Acceptor;

/// Serves the public listener until `stop` says true, then lets the calls under way finish for at most
/// `server.drain`.
pub async fn serve(acceptor: Acceptor, front: Arc<Front>, stop: watch::Receiver<bool>) {
    let settings = listener::Settings::of_http(&front.config);
    let tally = front.tally.connections.clone();
    listener::serve(acceptor, router::router(front), settings, tally, stop).await;
}
