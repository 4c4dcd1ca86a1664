//! WebSocket frames: any bytes mean the same in any delivery, never panic, and never make the server hold more than the
//! limits allow.

#![no_main]

use std::ops::ControlFlow;

use gateway::websocket::{Event, Limits, WebSocket};
use libfuzzer_sys::fuzz_target;

/// Small, so that they are met.
const LIMITS: Limits = Limits { message_bytes: 300, fragments: 5, assembly_ms: 10_000 };

/// More than the box of an unfinished message and a control frame in it can cost.
const BOX: usize = 512;

// The first byte says how the rest is cut.
fuzz_target!(|input: &[u8]| {
    let Some((cut, bytes)) = input.split_first() else { return };
    let whole = told(bytes, bytes.len().max(1));
    assert_eq!(told(bytes, 1), whole);
    assert_eq!(told(bytes, 1 + usize::from(*cut)), whole);
});

/// What the bytes mean when they come in pieces.
fn told(bytes: &[u8], piece: usize) -> Vec<String> {
    let mut socket = WebSocket::new();
    let mut told = Vec::new();
    for chunk in bytes.chunks(piece) {
        let mut chunk = chunk.to_vec();
        socket.receive(&LIMITS, 0, &mut chunk, |event| {
            match event {
                Event::Text(text) => assert!(text.len() <= LIMITS.message_bytes),
                Event::Binary(payload) => assert!(payload.len() <= LIMITS.message_bytes),
                Event::Ping(payload) | Event::Pong(payload) => assert!(payload.len() <= 125),
                Event::Close { .. } | Event::Fail { .. } => {}
            }
            told.push(match event {
                // Which rule is named first may depend on where the bytes were cut; what to answer may not.
                Event::Fail { code, .. } => format!("fail {code:?}"),
                event => format!("{event:?}"),
            });
            ControlFlow::Continue(())
        });
        let held = socket.heap_bytes();
        assert!(held <= LIMITS.message_bytes.min(2 * bytes.len()) + BOX, "{held} bytes held");
    }
    told
}
