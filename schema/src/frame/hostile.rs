//! Bytes from peers that err or mean harm: nothing panics, nothing costs more than its length allows, and what is
//! written is read back.

use std::ops::ControlFlow;

use flatbuffers::FlatBufferBuilder;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::generated::wire;
use crate::presence::{LastSeen, Status};

fn every_sample() -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new();
    let mut all = Vec::new();
    for (_, _, frame) in samples::client() {
        let mut bytes = Vec::new();
        encoder.client(&frame, &mut bytes);
        all.push(bytes);
    }
    for (_, _, frame) in samples::server() {
        let mut bytes = Vec::new();
        encoder.server(&frame, &mut bytes);
        all.push(bytes);
    }
    all
}

/// Whatever it is, it is read or refused, and the refusal can be written.
fn check(bytes: &[u8]) {
    let mut out = Vec::new();
    for error in [decode_client(bytes).err(), decode_server(bytes).err()].into_iter().flatten() {
        Encoder::new().server(&error.answer(), &mut out);
        assert!(decode_server(&out[PREFIX..]).is_ok());
        out.clear();
    }
}

#[test]
fn every_byte_of_every_frame_may_be_anything() {
    for frame in every_sample() {
        let mut frame = frame[PREFIX..].to_vec();
        for at in 0..frame.len() {
            let was = frame[at];
            for value in
                [0, 1, 2, 3, 4, 7, 8, 0x7f, 0x80, 0xfe, 0xff, was ^ 1, was ^ 4, was ^ 0x10, was ^ 0x80]
            {
                frame[at] = value;
                let _ = decode_client(&frame);
                let _ = decode_server(&frame);
            }
            frame[at] = was;
        }
    }
}

#[test]
fn every_frame_may_end_anywhere() {
    for frame in every_sample() {
        for end in 0..frame.len() - PREFIX {
            check(&frame[PREFIX..PREFIX + end]);
        }
    }
}

/// 64 KiB of offsets to one string of 32 KiB would be half a gigabyte of UTF-8 to check.
#[test]
fn the_same_bytes_cannot_be_used_a_thousand_times() {
    let mut fbb = FlatBufferBuilder::new();
    let long = fbb.create_string(&"x".repeat(32 * 1024));
    let users = Some(fbb.create_vector(&vec![long; 8_000]));
    let body = wire::Query::create(&mut fbb, &wire::QueryArgs { users, packed: None }).as_union_value();
    let args = wire::FrameArgs { tag: 1, body_type: wire::Body::Query, body: Some(body), acting: None };
    let frame = wire::Frame::create(&mut fbb, &args);
    wire::finish_frame_buffer(&mut fbb, frame);
    let error = decode_client(fbb.finished_data());
    assert_eq!(error, Err(FrameError::Malformed("the same bytes are used too often")));
}

/// The bound on repeated bytes must never meet an honest frame: the densest there are.
#[test]
fn full_frames_of_either_form_are_read() {
    for (text, fits) in [
        ("0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55", Some(1_364)),
        ("12345678", Some(3_273)),
        ("12345", Some(4_092)),
        ("a", None),
        (&"x".repeat(255), None),
    ] {
        // Per string its offset, its length, its bytes and a zero, padded to 4.
        let each = 4 + 4 + (text.len() + 1).next_multiple_of(4);
        let count = IDS_MAX.min((FRAME_MAX - 64) / each);
        let mut fbb = FlatBufferBuilder::new();
        let ids: Vec<_> = (0..count).map(|_| fbb.create_string(text)).collect();
        let users = Some(fbb.create_vector(&ids));
        let body = wire::Query::create(&mut fbb, &wire::QueryArgs { users, packed: None }).as_union_value();
        let args = wire::FrameArgs { tag: 1, body_type: wire::Body::Query, body: Some(body), acting: None };
        let frame = wire::Frame::create(&mut fbb, &args);
        wire::finish_frame_buffer(&mut fbb, frame);
        let frame = fbb.finished_data().to_vec();
        assert!(frame.len() <= FRAME_MAX && (count == IDS_MAX || frame.len() + each > FRAME_MAX));
        // What the protocol's documentation says fits a frame.
        assert!(fits.is_none_or(|fits| fits == count), "{count} of {} bytes", text.len());
        let strings = decode_client(&frame).unwrap();
        let ClientFrame::Command { command: Command::Query { users }, .. } = &strings else {
            panic!("a query")
        };
        assert_eq!(users.len(), count);
        let mut packed = Vec::new();
        Encoder::new().client(&strings, &mut packed);
        assert!(packed.len() < PREFIX + frame.len());
        assert_eq!(decode_client(&packed[PREFIX..]), Ok(strings));
    }
}

/// What the protocol's documentation says fits a frame.
#[test]
fn as_many_ids_fit_as_documented() {
    for (text, fits) in
        [("0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55", 1_769), ("12345678", 7_275), ("12345", IDS_MAX)]
    {
        let query = |count| {
            let users = vec![Id::new(text).unwrap(); count];
            let mut bytes = Vec::new();
            Encoder::new().command(u64::MAX, &Command::Query { users }, &mut bytes);
            bytes.len() - PREFIX
        };
        assert!(query(fits) <= FRAME_MAX, "{fits} of {} bytes", text.len());
        assert!(fits == IDS_MAX || query(fits + 1) > FRAME_MAX, "more than {fits} of {} bytes", text.len());
        // Whatever can be asked in one frame can be answered in one.
        let row =
            UserPresence { user: Id::new(text).unwrap(), status: Status::Online, last_seen: LastSeen::At(1) };
        let mut bytes = Vec::new();
        Encoder::new().reply(1, &Reply::Presence(vec![row; fits]), &mut bytes);
        let reply = decode_server(&bytes[PREFIX..]).unwrap();
        assert!(
            matches!(reply, ServerFrame::Reply { reply: Reply::Presence(rows), .. } if rows.len() == fits)
        );
    }
}

#[test]
fn an_answer_that_is_too_long_is_a_refusal() {
    let user = Id::new(&"x".repeat(255)).unwrap();
    let row = UserPresence { user, status: Status::Online, last_seen: LastSeen::At(1) };
    let mut bytes = vec![1, 2, 3];
    Encoder::new().reply(9, &Reply::Presence(vec![row; 2_000]), &mut bytes);
    let Ok(ServerFrame::Refused(refused)) = decode_server(&bytes[3 + PREFIX..]) else { panic!("a refusal") };
    assert_eq!((refused.tag, refused.refusal()), (9, Some(Refusal::TooMany)));
}

fn any_id() -> impl Strategy<Value = Id> {
    let text = prop_oneof!["[a-z0-9]{1,30}", "\\PC{1,40}", "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"];
    text.prop_filter_map("an id", |text| Id::new(&text).ok())
}

fn any_command() -> impl Strategy<Value = Command> {
    let payload = || vec(any::<u8>(), 0..300).prop_map(Payload::from);
    prop_oneof![
        Just(Command::Activity),
        Just(Command::Count),
        vec(any_id(), 0..50).prop_map(|users| Command::Watch { users }),
        vec(any_id(), 0..50).prop_map(|users| Command::Query { users }),
        any::<u32>().prop_map(|limit| Command::List { limit }),
        (any_id(), payload(), any::<bool>()).prop_map(|(to, payload, except_self)| Command::Send {
            to,
            payload,
            except_self
        }),
        (any_id(), payload(), any::<bool>()).prop_map(|(channel, payload, except_self)| Command::Publish {
            channel,
            payload,
            except_self
        }),
        any::<bool>().prop_map(|on| Command::Tap { on }),
    ]
}

proptest! {
    #[test]
    fn random_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..400)) {
        check(&bytes);
    }

    #[test]
    fn random_bytes_behind_the_identifier_do_no_harm(
        mut bytes in vec(prop_oneof![3 => 0u8..40, 1 => any::<u8>()], 8..200),
        root in 0u8..40,
    ) {
        bytes[..4].copy_from_slice(&[root * 4, 0, 0, 0]);
        bytes[4..8].copy_from_slice(IDENTIFIER);
        check(&bytes);
    }

    #[test]
    fn flipped_bits_do_no_harm(which in any::<prop::sample::Index>(), flips in vec(any::<(u16, u8)>(), 1..6)) {
        let all = every_sample();
        let mut frame = which.get(&all)[PREFIX..].to_vec();
        for (at, bits) in flips {
            let at = usize::from(at) % frame.len();
            frame[at] ^= bits;
        }
        check(&frame);
    }

    #[test]
    fn a_stream_of_rubbish_ends_or_waits(chunks in vec(vec(any::<u8>(), 0..64), 0..16), small in any::<bool>()) {
        let mut splitter = Splitter::new();
        for mut chunk in chunks {
            if small && chunk.len() > 4 {
                chunk[1..4].fill(0);
            }
            let fed = splitter.feed(&chunk, FRAME_MAX, |frame| {
                check(frame);
                ControlFlow::Continue(())
            });
            prop_assert!(splitter.pending() <= PREFIX + FRAME_MAX);
            if fed.is_err() {
                break;
            }
        }
    }

    #[test]
    fn commands_read_back(tag in any::<u64>(), command in any_command()) {
        let mut bytes = Vec::new();
        Encoder::new().command(tag, &command, &mut bytes);
        let frame = split(&bytes, usize::MAX).unwrap().unwrap();
        prop_assert_eq!(decode_client(frame), Ok(ClientFrame::Command { tag, command }));
    }
}
