//! Frames of the binary protocol, in and out.

use std::hint::black_box;

use schema::frame::{
    ClientFrame, Connect, Encoder, Liveness, PREFIX, ServerFrame, VERSIONS, decode_client, decode_server,
    heartbeat_ack,
};
use schema::presence::{LastSeen, Status, UserPresence};
use schema::{Device, Event, Id};

use super::Trouble;

/// A user's id, as most of them are: a UUID.
pub(super) fn user(number: usize) -> Result<Id, Trouble> {
    Ok(Id::new(&format!("0190a0b4-7c1e-7cc0-98f2-{number:012x}"))?)
}

/// A client's frame, length included.
pub(super) fn client(frame: &ClientFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::new().client(frame, &mut bytes);
    bytes
}

fn decodes(frame: &ClientFrame) -> Result<impl FnMut() + use<>, Trouble> {
    let bytes = client(frame);
    if decode_client(&bytes[PREFIX..])? != *frame {
        return Err("the frame is not what was encoded".into());
    }
    Ok(move || _ = black_box(decode_client(black_box(&bytes[PREFIX..]))))
}

fn server_decodes(bytes: Vec<u8>) -> Result<impl FnMut(), Trouble> {
    decode_server(&bytes[PREFIX..])?;
    Ok(move || _ = black_box(decode_server(black_box(&bytes[PREFIX..]))))
}

fn encodes(event: Event) -> impl FnMut() {
    let (mut encoder, mut out) = (Encoder::new(), Vec::with_capacity(64 * 1024));
    move || {
        out.clear();
        encoder.event(black_box(&event), &mut out);
        black_box(&out);
    }
}

fn presence(users: usize) -> Result<Event, Trouble> {
    let row = |number| {
        Ok(UserPresence {
            user: user(number)?,
            status: Status::Online,
            last_seen: LastSeen::At(1_790_000_000_123),
        })
    };
    Ok(Event::Presence((0..users).map(row).collect::<Result<_, Trouble>>()?))
}

fn encoded(event: Event) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::new().event(&event, &mut bytes);
    bytes
}

/// The hottest of all: a heartbeat is decoded and acknowledged.
///
/// # Errors
/// When what is measured does not work.
pub fn heartbeat() -> Result<impl FnMut(), Trouble> {
    let bytes = client(&ClientFrame::Heartbeat { tag: 0, answer: true, activity: false });
    let mut out = Vec::with_capacity(4096);
    let mut answer = move || {
        out.clear();
        if let Ok(ClientFrame::Heartbeat { tag, answer: true, .. }) =
            decode_client(black_box(&bytes[PREFIX..]))
        {
            out.extend_from_slice(&heartbeat_ack(tag, black_box(1_790_000_000_123)));
        }
        black_box(out.len())
    };
    if answer() == 0 {
        return Err("no acknowledgement".into());
    }
    Ok(move || _ = answer())
}

/// One that the fast path does not know.
///
/// # Errors
/// When what is measured does not work.
pub fn heartbeat_tagged() -> Result<impl FnMut(), Trouble> {
    decodes(&ClientFrame::Heartbeat { tag: 9, answer: true, activity: false })
}

/// The client's side.
///
/// # Errors
/// When what is measured does not work.
pub fn ack_in() -> Result<impl FnMut(), Trouble> {
    server_decodes(heartbeat_ack(9, 1_790_000_000_123).to_vec())
}

/// The first frame of a connection.
///
/// # Errors
/// When what is measured does not work.
pub fn connect_in() -> Result<impl FnMut(), Trouble> {
    decodes(&ClientFrame::Connect(Connect {
        version: *VERSIONS.end(),
        token: "e".repeat(240),
        device: Device::default(),
        liveness: Liveness::Heartbeat,
        heartbeat_ms: 30_000,
    }))
}

/// A change of one user.
///
/// # Errors
/// When what is measured does not work.
pub fn presence_1_in() -> Result<impl FnMut(), Trouble> {
    server_decodes(encoded(presence(1)?))
}

/// A change of one user.
///
/// # Errors
/// When what is measured does not work.
pub fn presence_1_out() -> Result<impl FnMut(), Trouble> {
    Ok(encodes(presence(1)?))
}

/// Changes of many.
///
/// # Errors
/// When what is measured does not work.
pub fn presence_100_in() -> Result<impl FnMut(), Trouble> {
    server_decodes(encoded(presence(100)?))
}

/// Changes of many.
///
/// # Errors
/// When what is measured does not work.
pub fn presence_100_out() -> Result<impl FnMut(), Trouble> {
    Ok(encodes(presence(100)?))
}

/// What a fan-out encodes once.
///
/// # Errors
/// When what is measured does not work.
pub fn published_out() -> Result<impl FnMut(), Trouble> {
    let payload = vec![7; 100].into();
    let event = Event::Published { channel: user(1)?, from: user(2)?, payload };
    match decode_server(&encoded(event.clone())[PREFIX..])? {
        ServerFrame::Published { .. } => Ok(encodes(event)),
        other => Err(format!("encoded as {other:?}").into()),
    }
}
