//! What a frame costs, measured on a quiet machine: `cargo run --release -p muster-schema --example frame_cost`

#![allow(clippy::print_stdout, reason = "an example that reports figures")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on has nothing to report")]

use std::hint::black_box;
use std::time::Instant;

use muster_schema::chat::{ChatReply, ConversationId, History, Message, MessageId};
use muster_schema::command::Command;
use muster_schema::event::{Event, Reply};
use muster_schema::frame::{ClientFrame, Encoder, PREFIX, decode_client, decode_server, heartbeat_ack};
use muster_schema::presence::{LastSeen, Status, UserPresence};
use muster_schema::{Id, Refusal};

/// Prints the fastest of several rounds, in nanoseconds a call.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement reads the clock and shows it"
)]
fn measure(what: &str, calls: u32, mut call: impl FnMut()) {
    let rounds = (0..15).map(|_| {
        let start = Instant::now();
        for _ in 0..calls {
            call();
        }
        start.elapsed().as_nanos() as f64 / f64::from(calls)
    });
    println!("{what:<48} {:>10.1} ns", rounds.fold(f64::INFINITY, f64::min));
}

fn main() {
    let mut encoder = Encoder::new();
    let mut out = Vec::with_capacity(1 << 20);
    let client = |frame: &ClientFrame| {
        let mut bytes = Vec::new();
        Encoder::new().client(frame, &mut bytes);
        bytes
    };
    let id = |n: usize| Id::new(&format!("0190a0b4-7c1e-7cc0-98f2-{n:012x}")).unwrap();
    let command = |command| ClientFrame::Command { tag: 7, command };

    let heartbeat = client(&ClientFrame::Heartbeat { tag: 0, answer: true, activity: false });
    measure("heartbeat in", 2_000_000, || {
        black_box(decode_client(black_box(&heartbeat[PREFIX..]))).unwrap();
    });
    let tagged = client(&ClientFrame::Heartbeat { tag: 9, answer: true, activity: false });
    measure("heartbeat in, with a tag (verifier)", 1_000_000, || {
        black_box(decode_client(black_box(&tagged[PREFIX..]))).unwrap();
    });
    measure("acknowledgement out", 2_000_000, || {
        out.clear();
        out.extend_from_slice(&heartbeat_ack(black_box(9), black_box(1_790_000_000_123)));
        black_box(&out);
    });
    let ack = heartbeat_ack(9, 1_790_000_000_123);
    measure("acknowledgement in (client)", 1_000_000, || {
        black_box(decode_server(black_box(&ack[PREFIX..]))).unwrap();
    });
    let send =
        client(&command(Command::Send { to: id(1), payload: vec![7; 100].into(), except_self: false }));
    measure("send of 100 bytes in", 1_000_000, || {
        black_box(decode_client(black_box(&send[PREFIX..]))).unwrap();
    });
    let message = Event::Message { from: id(1), payload: vec![7; 100].into() };
    measure("message of 100 bytes out", 1_000_000, || {
        out.clear();
        encoder.event(black_box(&message), &mut out);
    });
    let done = Event::Reply { tag: 7, result: Ok(Reply::Done) };
    measure("done out", 1_000_000, || {
        out.clear();
        encoder.event(black_box(&done), &mut out);
    });
    let busy = Event::Reply { tag: 7, result: Err(Refusal::Busy) };
    measure("refusal out", 1_000_000, || {
        out.clear();
        encoder.event(black_box(&busy), &mut out);
    });
    for count in [1, 100, 1_000] {
        let query = client(&command(Command::Query { users: (0..count).map(id).collect() }));
        measure(&format!("query of {count} UUIDs in"), 200_000 / count as u32, || {
            black_box(decode_client(black_box(&query[PREFIX..]))).unwrap();
        });
        let row = |n| UserPresence { user: id(n), status: Status::Online, last_seen: LastSeen::At(1) };
        let rows = Event::Presence((0..count).map(row).collect());
        measure(&format!("presence of {count} UUIDs out"), 200_000 / count as u32, || {
            out.clear();
            encoder.event(black_box(&rows), &mut out);
        });
    }
    for count in [1, 100] {
        let page =
            History { messages: (0..count).map(|n| message_of(id(n), n as u64)).collect(), more: true };
        let reply = Reply::Chat(Box::new(ChatReply::History(page)));
        measure(&format!("history of {count} messages out"), 100_000 / count as u32, || {
            out.clear();
            encoder.reply(7, black_box(&reply), &mut out);
        });
        let frame = out.clone();
        measure(&format!("history of {count} messages in (client)"), 100_000 / count as u32, || {
            black_box(decode_server(black_box(&frame[PREFIX..]))).unwrap();
        });
    }
}

/// A text of a hundred bytes with a name of the client's.
fn message_of(sender: Id, n: u64) -> Message {
    let conversation = ConversationId::from_number(7);
    Message {
        id: MessageId { conversation, at: 1_790_000_000_000 + n },
        sequence: n,
        sent: 0,
        client_id: Some(sender.to_string().into()),
        sender,
        to: None,
        row: 1,
        kind: 0,
        content: "x".repeat(100).into(),
        attachment: None,
        updated_at: 1_790_000_000_000 + n,
        edited: false,
        deleted: false,
        reads: Vec::new(),
    }
}
