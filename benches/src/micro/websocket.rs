//! WebSocket frames, and the presence API's heartbeat in one.

use std::hint::black_box;
use std::ops::ControlFlow;

use gateway::websocket::{Event, Limits, WebSocket, encode};

use super::Trouble;
use super::seats::{Dialect, Seats};

/// The bytes are ASCII and so is the mask: a buffer that was unmasked in place is again a valid masked frame.
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

/// A client's text frame of at most 125 bytes.
pub(super) fn masked(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | text.len() as u8];
    frame.extend_from_slice(&MASK);
    frame.extend(text.bytes().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Header, unmasking, UTF-8.
///
/// # Errors
/// When what is measured does not work.
pub fn frame_in() -> Result<impl FnMut(), Trouble> {
    let mut bytes = masked(&"a".repeat(40));
    let (limits, mut socket) = (Limits::default(), WebSocket::new());
    let mut told = 0_usize;
    let mut receive = move || {
        socket.receive(&limits, 0, black_box(&mut bytes), |event| {
            if let Event::Text(text) = event {
                told += black_box(text).len();
            }
            ControlFlow::Continue(())
        });
        told
    };
    if (receive(), receive()) != (40, 80) {
        return Err("the frame is not read twice".into());
    }
    Ok(move || _ = receive())
}

/// Header and copy.
///
/// # Errors
/// Never.
pub fn frame_out() -> Result<impl FnMut(), Trouble> {
    let (text, mut out) = ("a".repeat(40), Vec::with_capacity(4096));
    Ok(move || {
        out.clear();
        encode::text(&mut out, black_box(&text));
        black_box(&out);
    })
}

/// `{"type":"heartbeat"}` through the edge of the presence API and the machine.
///
/// # Errors
/// When what is measured does not work.
pub fn heartbeat() -> Result<impl FnMut(), Trouble> {
    let mut seats = Seats::new(1_000, Dialect::Presence)?;
    let frame = masked(r#"{"type":"heartbeat"}"#);
    let mut bytes = frame.clone();
    seats.beat(&mut bytes);
    if !seats.said().ends_with(b"\"}}") {
        return Err(format!("the answer is {:?}", String::from_utf8_lossy(seats.said())).into());
    }
    Ok(move || {
        // The edge unmasks in the buffer, as it does in the socket driver's.
        bytes.copy_from_slice(&frame);
        // Slowly enough for the limit of frames.
        seats.pass(1);
        seats.beat(black_box(&mut bytes));
        black_box(seats.said());
    })
}
