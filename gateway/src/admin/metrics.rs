//! `/metrics`: all counters of the node, in Prometheus' text.
//!
//! To add one: count it where it happens (the machine's `Counters`, the shard's `Report`, the front door's `Tally`),
//! and print it in the function of its part below. Names end in `_total` for what only grows; every label has few
//! values, never a user's id or a client's address.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use engine::shard::report::{Report, TURN_BUCKETS};
use engine::store;
use http::header::CONTENT_TYPE;
use schema::chat::ChatCommand;
use schema::command::Edge;
use schema::{CloseReason, Command, Refusal};

use super::Admin;
use super::memory::memory;
use super::text::{self, Kind, Text};
use crate::http::Front;

pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let reports = admin.front.inquirer.reports().await;
    let mut text = Text::default();
    build(&mut text, &admin.front, &reports);
    sessions(&mut text, &reports);
    commands(&mut text, &reports);
    shards(&mut text, &reports);
    sockets(&mut text, &reports);
    store(&mut text, &admin.store, &reports);
    chats(&mut text, &admin.chats);
    front_door(&mut text, &admin.front);
    memory(&mut text);
    ([(CONTENT_TYPE, text::CONTENT_TYPE)], text.finish()).into_response()
}

/// The sum over all shards.
fn sum(reports: &[Report], of: impl Fn(&Report) -> u64) -> u64 {
    reports.iter().map(of).sum()
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn build(text: &mut Text, front: &Front, reports: &[Report]) {
    let (driver, host) = reports.first().map_or(("none", "none"), |report| (report.driver, report.host));
    let node = front.config.server.node.as_deref().unwrap_or_default();
    let labels = [("version", env!("CARGO_PKG_VERSION")), ("driver", driver), ("host", host), ("node", node)];
    text.metric("muster_build_info", Kind::Gauge, "What runs here; always 1.").value(&labels, 1);
    let shards = u64::from(front.inquirer.door().shards());
    text.gauge("muster_shards", "Shards of the node.", shards);
    text.gauge("muster_shards_answering", "Shards that answered this scrape.", reports.len() as u64);
    text.gauge("muster_draining", "1 while the node is on its way out.", front.is_draining().into());
}

fn sessions(text: &mut Text, reports: &[Report]) {
    let mut metric = text.metric("muster_connections", Kind::Gauge, "Connections of the shards, by API.");
    for edge in Edge::ALL {
        metric.value(&[("edge", edge.as_str())], sum(reports, |report| report.connections[edge as usize]));
    }
    let mut metric = text.metric("muster_sessions", Kind::Gauge, "Sessions, by API.");
    for edge in Edge::ALL {
        let sessions = sum(reports, |report| report.machine.sessions[edge as usize]);
        metric.value(&[("edge", edge.as_str())], sessions);
    }
    text.gauge("muster_users_online", "Distinct users online.", sum(reports, |report| report.online));
    let opened = sum(reports, |report| report.machine.opened);
    text.counter("muster_sessions_opened_total", "Sessions opened.", opened);
    let mut metric =
        text.metric("muster_sessions_closed_total", Kind::Counter, "Sessions closed, by reason.");
    for reason in CloseReason::ALL {
        let closed = sum(reports, |report| report.machine.closed[*reason as usize]);
        metric.value(&[("reason", reason.as_str())], closed);
    }
    let came = sum(reports, |report| report.machine.came_online);
    text.counter("muster_users_came_online_total", "Online events.", came);
    let went = sum(reports, |report| report.machine.went_offline);
    text.counter("muster_users_went_offline_total", "Offline events.", went);
}

fn commands(text: &mut Text, reports: &[Report]) {
    let mut metric = text.metric("muster_commands_total", Kind::Counter, "Commands, by name.");
    for (at, name) in Command::NAMES.iter().enumerate() {
        metric.value(&[("command", name)], sum(reports, |report| report.machine.commands[at]));
    }
    let mut metric =
        text.metric("muster_chat_commands_total", Kind::Counter, "Commands about conversations, by name.");
    for (at, name) in ChatCommand::NAMES.iter().enumerate() {
        metric.value(&[("command", name)], sum(reports, |report| report.machine.chats[at]));
    }
    let failed = sum(reports, |report| report.machine.chats_failed);
    text.counter(
        "muster_chat_questions_failed_total",
        "Questions about conversations that the store did not answer.",
        failed,
    );
    let cached = sum(reports, |report| report.conversations.0);
    text.gauge("muster_conversations_cached", "Conversations in memory.", cached);
    let bytes = sum(reports, |report| report.conversations.1);
    text.gauge("muster_conversations_cached_bytes", "Roughly the memory they take.", bytes);
    let mut metric = text.metric("muster_refusals_total", Kind::Counter, "Commands refused, by cause.");
    for refusal in Refusal::ALL {
        let refused = sum(reports, |report| report.machine.refusals[*refusal as usize]);
        metric.value(&[("cause", refusal.code())], refused);
    }
    let mut metric =
        text.metric("muster_payloads_delivered_total", Kind::Counter, "Payloads given to sessions.");
    metric.value(&[("kind", "message")], sum(reports, |report| report.machine.messages));
    metric.value(&[("kind", "published")], sum(reports, |report| report.machine.published));
    let frames = sum(reports, |report| report.machine.presence_frames);
    text.counter("muster_presence_frames_total", "Presence frames given to watching sessions.", frames);
    let rows = sum(reports, |report| report.machine.presence_rows);
    text.counter("muster_presence_rows_total", "Users in these frames.", rows);
    let mut metric = text.metric("muster_dropped_total", Kind::Counter, "What had no room and was dropped.");
    metric.value(&[("what", "volatile_event")], sum(reports, |report| report.events_dropped));
    metric.value(&[("what", "publish")], sum(reports, |report| report.machine.publishes_dropped));
    metric.value(&[("what", "tap")], sum(reports, |report| report.machine.taps_dropped));
    let slow = sum(reports, |report| report.slow_closed);
    text.counter("muster_slow_consumers_total", "Connections closed because they did not read.", slow);
    let late = sum(reports, |report| report.machine.late);
    text.counter("muster_late_answers_total", "Answers given without everything asked.", late);
}

fn shards(text: &mut Text, reports: &[Report]) {
    let mut per_shard = |name, help, of: &dyn Fn(&Report) -> u64| {
        let mut metric = text.metric(name, Kind::Gauge, help);
        for report in reports {
            metric.value(&[("shard", &report.shard.0.to_string())], of(report));
        }
    };
    per_shard("muster_inbox_depth", "Envelopes in a shard's inbox.", &|report| report.inbox_depth);
    per_shard("muster_backlog", "Messages to other shards that wait for room.", &|report| report.backlog);

    // Bucket n holds turns of less than 2^n whole microseconds; the last one has no bound.
    let mut so_far = 0;
    let at_most: Vec<(u64, u64)> = (0..TURN_BUCKETS - 1)
        .map(|at| {
            so_far += sum(reports, |report| report.turns[at]);
            (1 << at, so_far)
        })
        .collect();
    let (count, micros) =
        (sum(reports, |report| report.turn_count), sum(reports, |report| report.turn_micros));
    text.metric(
        "muster_turn_duration_seconds",
        Kind::Histogram,
        "Turns of the shards, from waking to submitting.",
    )
    .durations(at_most, count, micros);
}

fn sockets(text: &mut Text, reports: &[Report]) {
    let mut counter = |name, help, of: &dyn Fn(&Report) -> u64| text.counter(name, help, sum(reports, of));
    counter("muster_received_bytes_total", "Bytes received by the shards.", &|report| {
        report.io.received_bytes
    });
    counter("muster_sent_bytes_total", "Bytes sent by the shards.", &|report| report.io.sent_bytes);
    counter("muster_short_sends_total", "Sends that a socket took only in part.", &|report| {
        report.io.short_sends
    });
    counter("muster_buffers_empty_total", "Receives that found no buffer.", &|report| {
        report.io.buffers_empty
    });
    counter("muster_system_calls_total", "System calls of the socket drivers.", &|report| {
        report.io.system_calls
    });
    counter("muster_plain_fallbacks_total", "Sockets without a direct descriptor.", &|report| {
        report.io.plain_fallbacks
    });
    counter("muster_sockets_refused_total", "Sockets that a shard could not take.", &|report| {
        report.sockets_refused
    });
}

fn store(text: &mut Text, status: &store::Status, reports: &[Report]) {
    let failing = status.health() != store::Health::Ok;
    text.gauge("muster_store_failing", "1 while the store does not work.", failing.into());
    text.counter("muster_store_failures_total", "Requests that the store failed.", status.failed());
    text.counter("muster_store_episodes_total", "How often the store began to fail.", status.episodes());
    text.counter("muster_store_rows_written_total", "Rows written.", status.rows());
    let read = sum(reports, |report| report.machine.rows_read);
    text.counter("muster_store_rows_read_total", "Rows read.", read);
    for (name, help, latency) in [
        ("muster_store_write_seconds", "Batches of writes.", status.writes.snapshot()),
        ("muster_store_read_seconds", "Batches of reads.", status.reads.snapshot()),
    ] {
        let at_most = store::BOUNDS.into_iter().zip(latency.at_most);
        text.metric(name, Kind::Histogram, help).durations(at_most, latency.count(), latency.sum);
    }
}

fn chats(text: &mut Text, status: &store::chat::Status) {
    let failing = status.health() != store::Health::Ok;
    text.gauge(
        "muster_chat_store_failing",
        "1 while the conversations' store does not work.",
        failing.into(),
    );
    let mut failures =
        text.metric("muster_chat_store_failures_total", Kind::Counter, "Requests that it failed, by reason.");
    failures.value(&[("reason", "busy")], status.busy());
    failures.value(&[("reason", "unavailable")], status.failed());
    text.counter("muster_chat_store_episodes_total", "How often it began to fail.", status.episodes());
    text.counter("muster_chat_store_writes_total", "Writes on stable storage.", status.writes());
    text.gauge("muster_chat_store_in_doubt", "Writes whose fate is not known yet.", status.in_doubt());
    let batches = status.batches.snapshot();
    text.metric("muster_chat_store_commit_writes", Kind::Histogram, "Writes of a commit.").sizes(
        store::chat::SIZES.into_iter().zip(batches.at_most),
        batches.count(),
        batches.sum,
    );
    for (name, help, latency) in [
        ("muster_chat_store_commit_seconds", "Commits, each with one sync.", status.commits.snapshot()),
        ("muster_chat_store_read_seconds", "Reads.", status.reads.snapshot()),
    ] {
        let at_most = store::BOUNDS.into_iter().zip(latency.at_most);
        text.metric(name, Kind::Histogram, help).durations(at_most, latency.count(), latency.sum);
    }
}

fn front_door(text: &mut Text, front: &Front) {
    let tally = &front.tally;
    let mut metric = text.metric("muster_http_requests_total", Kind::Counter, "Requests answered.");
    for (route, method, status, count) in tally.requests() {
        let status = status.to_string();
        metric.value(&[("route", &route), ("method", method), ("status", &status)], count);
    }
    let connections = &tally.connections;
    text.gauge("muster_http_connections", "HTTP connections open.", load(&connections.open));
    text.counter("muster_http_accepted_total", "HTTP connections accepted.", load(&connections.accepted));
    text.counter(
        "muster_http_refused_total",
        "HTTP connections turned away: too many.",
        load(&connections.refused),
    );
    let mut metric =
        text.metric("muster_handovers_total", Kind::Counter, "Sockets on their way to shards, by end.");
    metric.value(&[("result", "taken")], load(&tally.handed_over));
    metric.value(&[("result", "refused")], load(&tally.handover_refused));
    let free = front.handover.free() as u64;
    text.gauge("muster_handover_places", "Free places for sockets on their way.", free);
    if let Some(media) = &front.media {
        text.gauge("muster_upload_places", "Free places for uploads.", media.free_places() as u64);
    }
    text.counter("muster_bad_tokens_total", "Tokens refused over HTTP.", load(&tally.bad_tokens));
    text.counter("muster_handler_panics_total", "Handlers that panicked: bugs.", load(&tally.panics));
    text.counter(
        "muster_desk_timeouts_total",
        "Questions to shards that were never answered.",
        front.inquirer.timeouts(),
    );
    let figures = front.limits.figures();
    let mut metric = text.metric("muster_rate_limited_total", Kind::Counter, "Calls beyond a limit.");
    for (limit, refused, ..) in &figures {
        metric.value(&[("limit", limit)], *refused);
    }
    let mut metric = text.metric("muster_rate_times", Kind::Gauge, "Times kept by a limit.");
    for (limit, _, kept, _) in &figures {
        metric.value(&[("limit", limit)], *kept as u64);
    }
    let mut metric = text.metric(
        "muster_rate_evicted_total",
        Kind::Counter,
        "Times a limit forgot early for want of room.",
    );
    for (limit, .., evicted) in &figures {
        metric.value(&[("limit", limit)], *evicted);
    }
}
