//! Clients that do what they must not. Every request is answered, memory stays bounded, nothing panics.

use super::*;
use crate::engineio::payload::Payload;

#[test]
fn bytes_by_post_are_an_error_in_v4_and_answered() {
    // CVE-2026-59725: the reference left such a request without an answer.
    let mut bench = Bench::polling(Version::V4);
    bench.poll(1);
    assert_eq!(bench.post(2, true, &[1, 2, 3]), 400);
    assert_eq!(bench.answer(1), (200, "1".into()));
    assert_eq!(bench.session.ended(), Some(Reason::TransportError));
}

#[test]
fn every_malformed_upload_is_answered() {
    let bodies: [(bool, &[u8]); 12] = [
        (false, b""),
        (false, b"\xff\xfe"),
        (false, b"99999999999999999999:4"),
        (false, b"6:4hell"),
        (false, "2:4😀".as_bytes()),
        (true, b""),
        (true, &[0]),
        (true, &[0, 255, 52]),
        (true, &[2, 1, 255, 52]),
        (true, &[1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 255]),
        (true, &[0, 1, 255, 0xff]),
        (true, &[1, 2, 255, 9, 9]),
    ];
    for (octets, body) in bodies {
        let mut bench = Bench::polling(Version::V3);
        assert_eq!(bench.post(1, octets, body), 400, "{body:?}");
        assert!(bench.session.ended().is_some());
        assert_eq!(bench.heard, []);
    }
}

#[test]
fn an_upload_too_large_is_refused() {
    let settings = Settings { max_payload: 10, ..suite_settings() };
    let mut bench = Bench::polling_with(Version::V4, settings, false);
    assert_eq!(bench.post(1, false, b"4123456789"), 200);
    assert_eq!(bench.post(2, false, b"41234567890"), 413);
    assert_eq!(bench.session.ended(), Some(Reason::TooLarge));
    // By its announcement, before a byte of it is read.
    let mut bench = Bench::polling_with(Version::V4, settings, false);
    bench.turn(|session, turn| session.upload_too_large(turn, Ticket(1)));
    assert_eq!(bench.answer(1).0, 413);
}

#[test]
fn two_uploads_at_once_close() {
    let mut bench = Bench::polling(Version::V4);
    bench.turn(|session, turn| session.upload_begins(turn, Ticket(1)));
    bench.turn(|session, turn| session.upload_begins(turn, Ticket(2)));
    assert_eq!((bench.answer(2).0, bench.answer(1).0), (400, 400));
    assert_eq!(bench.session.ended(), Some(Reason::TransportError));

    let mut bench = Bench::polling(Version::V4);
    bench.turn(|session, turn| session.upload_begins(turn, Ticket(1)));
    bench.turn(|session, turn| session.request_gone(turn, Ticket(1)));
    assert_eq!(bench.session.ended(), Some(Reason::TransportError));
}

#[test]
fn a_heartbeat_in_the_wrong_direction_closes() {
    for (version, beat) in [(Version::V4, "2"), (Version::V3, "3")] {
        let mut bench = Bench::websocket(version);
        bench.text(beat);
        assert_eq!(bench.session.ended(), Some(Reason::TransportError));
    }
}

#[test]
fn a_client_that_does_not_poll_is_left() {
    let mut bench = Bench::polling(Version::V4);
    let kibibyte = format!("4{}", "x".repeat(1023));
    let sent = (0..1000).take_while(|_| bench.send(&kibibyte)).count();
    assert!((240..256).contains(&sent), "{sent}");
    assert_eq!(bench.session.ended(), Some(Reason::SlowConsumer));
    // Empty packets are no way around.
    let mut bench = Bench::polling(Version::V3);
    assert_eq!(bench.post(1, false, "1:2".repeat(20_000).as_bytes()), 200);
    assert_eq!(bench.session.ended(), Some(Reason::SlowConsumer));
}

#[test]
fn what_may_be_left_out_is_left_out_first() {
    let mut bench = Bench::polling(Version::V4);
    let packet = || Outgoing::Packet(format!("4{}", "x".repeat(1000)));
    let sent = (0..1000).take_while(|_| bench.turn(|s, t| s.send(t, packet(), Class::Volatile))).count();
    assert!((120..128).contains(&sent), "{sent}");
    assert!(bench.send("4durable"));
}

#[test]
fn a_third_poll_before_the_news_of_the_first_closes() {
    let mut bench = Bench::polling(Version::V4);
    bench.send("4one");
    bench.poll(1);
    bench.poll(2);
    bench.poll(3);
    assert_eq!(bench.answer(3).0, 400);
    assert_eq!(bench.answer(2), (200, "1".into()));
    assert_eq!(bench.session.ended(), Some(Reason::TransportError));
}

#[test]
fn nothing_of_an_upload_is_read_after_its_close() {
    let mut bench = Bench::polling(Version::V4);
    bench.poll(1);
    assert_eq!(bench.post(2, false, b"4a\x1e1\x1e4b"), 200);
    assert_eq!(bench.heard, [Data::Text("a")]);
}

#[test]
fn strange_tickets_change_nothing() {
    let mut bench = Bench::polling(Version::V4);
    for ticket in [0, 7] {
        bench.turn(|session, turn| session.answer_taken(turn, Ticket(ticket)));
        bench.turn(|session, turn| session.answer_lost(turn, Ticket(ticket)));
        bench.turn(|session, turn| session.request_gone(turn, Ticket(ticket)));
    }
    bench.text("4no socket was taken");
    bench.turn(|session, turn| session.socket_closed(turn));
    assert_eq!((bench.session.ended(), bench.heard.len()), (None, 0));
}

#[test]
fn a_body_of_digits_is_read_once() {
    // Quadratic work would take minutes.
    let digits = vec![0; 1_000_000];
    assert!(Payload::binary(&digits).next().is_some_and(|packet| packet.is_err()));
    let text = "1".repeat(1_000_000);
    assert!(Payload::text(Version::V3, &text).next().is_some_and(|packet| packet.is_err()));
    let separators = "\x1e".repeat(1_000_000);
    assert!(Payload::text(Version::V4, &separators).next().is_some_and(|packet| packet.is_err()));
}
