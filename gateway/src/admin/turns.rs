//! `/turns`: the slowest turns of all shards. A turn is one round of a shard's loop; whatever takes long in it keeps
//! all its clients waiting.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use super::Admin;
use crate::http::json::json;
use crate::timestamp::Millis;

/// Rows of the answer.
const MOST: usize = 50;

#[derive(Serialize)]
struct Turns {
    turns: Vec<Turn>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Turn {
    shard: u16,
    at: String,
    micros: u64,
    /// Of these, in the socket driver and the edges.
    io_micros: u64,
    /// Of these, for the inbox.
    inbox_micros: u64,
    envelopes: u32,
    receives: u32,
}

pub(super) async fn turns(State(admin): State<Arc<Admin>>) -> Response {
    let mut turns = Vec::new();
    for report in admin.front.inquirer.reports().await {
        let slow = report.slowest.iter().filter(|turn| turn.micros > 0);
        turns.extend(slow.map(|turn| Turn {
            shard: report.shard.0,
            at: Millis(turn.at).to_string(),
            micros: turn.micros,
            io_micros: turn.io_micros,
            inbox_micros: turn.inbox_micros,
            envelopes: turn.envelopes,
            receives: turn.receives,
        }));
    }
    turns.sort_by_key(|turn| Reverse(turn.micros));
    turns.truncate(MOST);
    json(StatusCode::OK, &Turns { turns })
}
