//! What it costs to receive a WebSocket frame: `cargo run --release -p muster --example websocket_cost`.
//!
//! Text of 40 bytes is the size of a heartbeat. The mask and the text are ASCII, so the buffer that has been
//! unmasked in place is again a valid masked frame, and a round measures nothing but the receiving.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement reads a clock and prints")]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::time::Instant;

use gateway::websocket::{Event, Limits, WebSocket};

const FRAMES: usize = 20_000_000;
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

fn frame(payload: usize) -> Vec<u8> {
    let mut frame = vec![0x81];
    match payload {
        0..=125 => frame.push(0x80 | payload as u8),
        _ => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(payload as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend((0..payload).map(|at| (b'a' + (at % 26) as u8) ^ MASK[at % 4]));
    frame
}

/// Receives `frames` frames, `per_buffer` in each call, cut into `pieces` calls if more than one.
fn measure(name: &str, payload: usize, per_buffer: usize, pieces: usize) {
    let limits = Limits::default();
    let mut socket = WebSocket::new();
    let mut buffer = frame(payload).repeat(per_buffer);
    let piece = buffer.len().div_ceil(pieces);
    let rounds = FRAMES / per_buffer / pieces / payload.div_ceil(40);
    let mut told = 0usize;
    let start = Instant::now();
    for round in 0..rounds {
        for bytes in buffer.chunks_mut(piece) {
            socket.receive(&limits, round as u64, black_box(bytes), |event| {
                if let Event::Text(text) = event {
                    told += black_box(text).len();
                }
                ControlFlow::Continue(())
            });
        }
    }
    let spent = start.elapsed();
    assert_eq!(told, rounds * per_buffer * payload);
    println!("{name:<44} {:>8.1} ns a frame", spent.as_nanos() as f64 / (rounds * per_buffer) as f64);
}

fn main() {
    measure("40 bytes of text, one frame a buffer", 40, 1, 1);
    measure("40 bytes of text, 64 frames a buffer", 40, 64, 1);
    measure("40 bytes of text, cut in two buffers", 40, 1, 2);
    measure("1,000 bytes of text, one frame a buffer", 1000, 1, 1);
    measure("4,000 bytes of text, one frame a buffer", 4000, 1, 1);
    measure("4,000 bytes of text, cut in two buffers", 4000, 1, 2);
}
