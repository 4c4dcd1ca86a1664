//! What holds for every stream of frames: it means the same in any delivery, it never panics, and what it makes the
//! server hold stays within the limits.

mod websocket_client;

use gateway::websocket::{Limits, encode};
use proptest::collection::vec;
use proptest::prelude::*;
use websocket_client::*;

/// More than the box, a control frame and a spilled header can cost.
const BOX: usize = 512;

#[derive(Clone, Debug)]
enum Sent {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn control() -> impl Strategy<Value = Sent> {
    prop_oneof![
        vec(any::<u8>(), 0..=125).prop_map(Sent::Ping),
        vec(any::<u8>(), 0..=125).prop_map(Sent::Pong)
    ]
}

fn message() -> impl Strategy<Value = Sent> {
    prop_oneof![
        any::<String>().prop_map(Sent::Text),
        ".{0,400}".prop_map(Sent::Text),
        vec(any::<u8>(), 0..300).prop_map(Sent::Binary),
        control()
    ]
}

/// A message in fragments that end at the given places, with a control frame after each but the last.
fn encode_sent(
    sent: &Sent,
    cuts: &[prop::sample::Index],
    between: &[Sent],
    bytes: &mut Vec<u8>,
    told: &mut Vec<Told>,
) {
    let (opcode, payload, whole) = match sent {
        Sent::Text(text) => (TEXT, text.as_bytes(), Told::Text(text.clone())),
        Sent::Binary(payload) => (BINARY, &payload[..], Told::Binary(payload.clone())),
        Sent::Ping(payload) => (PING, &payload[..], Told::Ping(payload.clone())),
        Sent::Pong(payload) => (PONG, &payload[..], Told::Pong(payload.clone())),
    };
    let mut ends: Vec<usize> = match sent {
        Sent::Ping(_) | Sent::Pong(_) => Vec::new(),
        _ => cuts.iter().map(|cut| cut.index(payload.len() + 1)).collect(),
    };
    ends.sort_unstable();
    let mut from = 0;
    let mut opcode_now = opcode;
    for (at, end) in ends.into_iter().enumerate() {
        bytes.extend(fragment(opcode_now, &payload[from..end]));
        (from, opcode_now) = (end, CONTINUATION);
        if let Some(control) = between.get(at) {
            encode_sent(control, &[], &[], bytes, told);
        }
    }
    bytes.extend(frame(opcode_now, &payload[from..]));
    told.push(whole);
}

fn limits() -> impl Strategy<Value = Limits> {
    (1..300_usize, 1..6_u32).prop_map(|(message_bytes, fragments)| Limits {
        message_bytes,
        fragments,
        ..Limits::default()
    })
}

/// Frames that are mostly right, so that the wrong ones are met in the middle of something.
fn nearly_frames() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        8 => prop::sample::select(vec![0x00_u8, 0x01, 0x02, 0x80, 0x81, 0x82, 0x89, 0x8a]),
        1 => Just(0x88),
        1 => any::<u8>()
    ];
    let payload = prop_oneof![
        3 => ".{0,60}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..200)
    ];
    vec((first, payload).prop_map(|(first, payload)| raw_frame(first, &payload)), 0..12)
        .prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn what_was_sent_is_what_is_told(
        sent in vec((message(), vec(any::<prop::sample::Index>(), 0..5), vec(control(), 0..3)), 0..8),
        pieces in vec(1..64_usize, 1..20),
    ) {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for (message, cuts, between) in &sent {
            encode_sent(message, cuts, between, &mut bytes, &mut expected);
        }
        let limits = Limits::default();
        let (whole, heap) = receive(&limits, &bytes, || usize::MAX);
        prop_assert_eq!(&whole, &expected);
        prop_assert_eq!(heap, 0, "nothing is unfinished at the end of a buffer");
        let mut pieces = pieces.iter().cycle();
        let (in_pieces, _) = receive(&limits, &bytes, || *pieces.next().unwrap());
        prop_assert_eq!(&in_pieces, &expected);
    }

    #[test]
    fn any_bytes_mean_the_same_in_any_delivery_and_hold_no_more_than_the_limits(
        bytes in prop_oneof![1 => vec(any::<u8>(), 0..400), 4 => nearly_frames()],
        limits in limits(),
        pieces in vec(1..40_usize, 1..20),
    ) {
        let (whole, heap) = receive(&limits, &bytes, || usize::MAX);
        prop_assert!(heap <= limits.message_bytes.min(2 * bytes.len()) + BOX, "{} bytes held", heap);
        let (one_by_one, heap) = receive(&limits, &bytes, || 1);
        prop_assert!(heap <= limits.message_bytes.min(2 * bytes.len()) + BOX, "{} bytes held", heap);
        prop_assert_eq!(&one_by_one, &whole);
        let mut pieces = pieces.iter().cycle();
        let (in_pieces, _) = receive(&limits, &bytes, || *pieces.next().unwrap());
        prop_assert_eq!(&in_pieces, &whole);
        for told in &whole {
            let length = match told {
                Told::Text(text) => text.len(),
                Told::Binary(bytes) => bytes.len(),
                _ => 0,
            };
            prop_assert!(length <= limits.message_bytes);
        }
    }

    /// A server's frame with a mask put on is a client's frame: what is encoded is what is read.
    #[test]
    fn what_is_encoded_can_be_read(text in any::<String>(), length in 0..70_000_usize) {
        let mut out = Vec::new();
        encode::text(&mut out, &text);
        encode::ping(&mut out, &text.as_bytes()[..text.len().min(125)]);
        encode::binary(&mut out, &vec![7; length]);
        let mut expected = frame(TEXT, &text);
        expected.extend(frame(PING, &text.as_bytes()[..text.len().min(125)]));
        expected.extend(frame(BINARY, vec![7; length]));
        let read = |bytes: &[u8]| receive(&WIDE, bytes, || usize::MAX).0;
        prop_assert_eq!(read(&masked(&out)), read(&expected));
    }
}

/// The frames of a server, each with a mask of zeros.
fn masked(mut frames: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let [first, second, rest @ ..] = frames {
        let extra = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let (extended, rest) = rest.split_at(extra);
        let length = match extra {
            0 => usize::from(*second),
            _ => extended.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)),
        };
        let (payload, rest) = rest.split_at(length);
        out.extend([*first, second | 0x80]);
        out.extend([extended, &[0; 4], payload].concat());
        frames = rest;
    }
    out
}

/// Tiny fragments cost what their bytes cost (CVE-2026-48779, CVE-2026-62389), and no header makes the server
/// reserve what it announces.
#[test]
fn tiny_fragments_and_large_announcements_cost_nothing_extra() {
    let limits = Limits { message_bytes: 1 << 20, fragments: 100_000, assembly_ms: 10_000 };
    let bytes: Vec<u8> =
        (0..50_000).flat_map(|at| fragment(if at == 0 { BINARY } else { CONTINUATION }, "x")).collect();
    let (told, heap) = receive(&limits, &bytes, || 4096);
    assert!(told.is_empty());
    assert!(heap <= 2 * 50_000 + BOX, "{heap} bytes held for 50,000");

    let empty: Vec<u8> =
        (0..50_000).flat_map(|at| fragment(if at == 0 { TEXT } else { CONTINUATION }, "")).collect();
    let (told, heap) = receive(&limits, &empty, || 4096);
    assert!(told.is_empty());
    assert!(heap <= BOX, "{heap} bytes held for none");

    let announced = frame(BINARY, vec![0; 1 << 20]);
    let (told, heap) = receive(&limits, &announced[..100], || 10);
    assert!(told.is_empty());
    assert!(heap <= 2 * 100 + BOX, "{heap} bytes held for 100");
}
