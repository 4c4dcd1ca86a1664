//! `/health` and `/ready`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use engine::store;
use http::StatusCode;
use serde::Serialize;

use super::Admin;
use crate::http::json::json;

#[derive(Serialize)]
struct Health {
    healthy: bool,
    shards: u16,
    answering: usize,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    draining: bool,
    shards: u16,
    answering: usize,
    store: Store,
    conversations: Store,
}

#[derive(Serialize)]
struct Store {
    /// `ok` or `failing`.
    state: &'static str,
    /// The node does its work without it: last seen may be lost, or nothing can be said.
    degraded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) async fn health(State(admin): State<Arc<Admin>>) -> Response {
    let (shards, answering) = shards(&admin).await;
    let healthy = answering == usize::from(shards);
    json(status(healthy), &Health { healthy, shards, answering })
}

pub(super) async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let (shards, answering) = shards(&admin).await;
    let draining = admin.front.is_draining();
    let ready = !draining && answering == usize::from(shards);
    let (store, conversations) = (state(admin.store.health()), state(admin.chats.health()));
    json(status(ready), &Ready { ready, draining, shards, answering, store, conversations })
}

fn state(health: store::Health) -> Store {
    match health {
        store::Health::Ok => Store { state: "ok", degraded: false, error: None },
        store::Health::Failing { error, .. } => {
            Store { state: "failing", degraded: true, error: Some(error) }
        }
    }
}

async fn shards(admin: &Admin) -> (u16, usize) {
    let inquirer = &admin.front.inquirer;
    (inquirer.door().shards(), inquirer.reports().await.len())
}

fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
