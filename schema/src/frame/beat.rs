//! The two frames that make up nearly all traffic of a mostly idle fleet, without builder and verifier.
//!
//! An encoder writes the same value in the same bytes every time, so the usual heartbeats can be recognised by comparing
//! them, and an acknowledgement be written by patching two numbers into fixed bytes. A heartbeat that another library
//! wrote differently, or that has a tag, takes the long way and means the same. Tests hold these bytes against it.

use super::{ClientFrame, PREFIX};

/// Length of an acknowledgement, its prefix included.
pub const HEARTBEAT_ACK_LEN: usize = 68;

const ACK_TAG: usize = 36;
const ACK_SERVER_MS: usize = 60;

#[rustfmt::skip]
const ACK: [u8; HEARTBEAT_ACK_LEN] = [
    64, 0, 0, 0, // the length
    20, 0, 0, 0, b'M', b'S', b'T', b'R', 0, 0, // the root table is at 20; identifier; padding
    10, 0, 26, 0, 12, 0, 7, 0, 8, 0, // its fields: tag at 12, body type at 7, body at 8
    10, 0, 0, 0, 0, 0, 0, 129, 24, 0, 0, 0, // body type: HeartbeatAck; body 24 bytes on
    0, 0, 0, 0, 0, 0, 0, 0, // tag
    0, 0, 0, 0, 0, 0, 6, 0, 12, 0, 4, 0, // padding; fields of the body: server_ms at 4
    6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // server_ms
];

/// The acknowledgement of a heartbeat, its length included. Bytes for the socket; nothing is allocated.
#[must_use]
pub fn heartbeat_ack(tag: u64, server_ms: u64) -> [u8; HEARTBEAT_ACK_LEN] {
    let mut ack = ACK;
    ack[ACK_TAG..ACK_TAG + 8].copy_from_slice(&tag.to_le_bytes());
    ack[ACK_SERVER_MS..].copy_from_slice(&server_ms.to_le_bytes());
    ack
}

const _: () =
    assert!(ACK[0] as usize + PREFIX == HEARTBEAT_ACK_LEN && ACK_SERVER_MS + 8 == HEARTBEAT_ACK_LEN);

/// A heartbeat that asks for nothing (without the length).
#[rustfmt::skip]
const PLAIN: [u8; 40] = [
    20, 0, 0, 0, b'M', b'S', b'T', b'R', 0, 0, 10, 0, 12, 0, 0, 0, 7, 0, 8, 0, 10, 0, 0, 0, 0, 0, 0, 2, 8, 0, 0, 0,
    4, 0, 4, 0, 4, 0, 0, 0,
];

/// One that asks for an acknowledgement.
#[rustfmt::skip]
const ANSWER: [u8; 48] = [
    20, 0, 0, 0, b'M', b'S', b'T', b'R', 0, 0, 10, 0, 14, 0, 0, 0, 7, 0, 8, 0, 10, 0, 0, 0, 0, 0, 0, 2, 12, 0, 0, 0,
    0, 0, 6, 0, 8, 0, 7, 0, 6, 0, 0, 0, 0, 0, 0, 1,
];

/// One that tells of activity.
#[rustfmt::skip]
const ACTIVITY: [u8; 48] = [
    20, 0, 0, 0, b'M', b'S', b'T', b'R', 0, 0, 10, 0, 12, 0, 0, 0, 7, 0, 8, 0, 10, 0, 0, 0, 0, 0, 0, 2, 12, 0, 0, 0,
    8, 0, 8, 0, 0, 0, 7, 0, 8, 0, 0, 0, 0, 0, 0, 1,
];

/// One that does both.
#[rustfmt::skip]
const BOTH: [u8; 48] = [
    20, 0, 0, 0, b'M', b'S', b'T', b'R', 0, 0, 10, 0, 12, 0, 0, 0, 7, 0, 8, 0, 10, 0, 0, 0, 0, 0, 0, 2, 12, 0, 0, 0,
    8, 0, 8, 0, 6, 0, 7, 0, 8, 0, 0, 0, 0, 0, 1, 1,
];

/// The heartbeat that these bytes are, if they are one of the four usual ones.
pub(super) fn known_heartbeat(bytes: &[u8]) -> Option<ClientFrame> {
    let heartbeat = |answer, activity| Some(ClientFrame::Heartbeat { tag: 0, answer, activity });
    match bytes.len() {
        40 if bytes == PLAIN => heartbeat(false, false),
        48 if bytes == ANSWER => heartbeat(true, false),
        48 if bytes == ACTIVITY => heartbeat(false, true),
        48 if bytes == BOTH => heartbeat(true, true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Encoder, ServerFrame, decode_server};
    use crate::generated::wire;

    #[test]
    fn the_usual_heartbeats_are_recognised() {
        for (answer, activity) in [(false, false), (true, false), (false, true), (true, true)] {
            let mut out = Vec::new();
            let heartbeat = ClientFrame::Heartbeat { tag: 0, answer, activity };
            Encoder::new().client(&heartbeat, &mut out);
            assert_eq!(known_heartbeat(&out[PREFIX..]), Some(heartbeat), "now {:?}", &out[PREFIX..]);
        }
    }

    #[test]
    fn the_patched_acknowledgement_is_what_the_builder_writes() {
        let (tag, server_ms) = (0x1122_3344_5566_7788, 1_790_000_000_123);
        let mut encoder = Encoder::new();
        let args = wire::HeartbeatAckArgs { server_ms };
        let body = wire::HeartbeatAck::create(&mut encoder.builder, &args).as_union_value();
        let mut out = Vec::new();
        encoder.finish(tag, wire::Body::HeartbeatAck, body, &mut out);
        assert_eq!(out, heartbeat_ack(tag, server_ms));
        for tag in [0, tag] {
            let ack = decode_server(&heartbeat_ack(tag, server_ms)[PREFIX..]);
            assert_eq!(ack, Ok(ServerFrame::HeartbeatAck { tag, server_ms }));
        }
    }
}
