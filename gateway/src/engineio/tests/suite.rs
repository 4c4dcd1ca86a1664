//! The cases of the official suites (Engine.IO v4 and v3), at the level of the machine. Handshakes are tested in
//! `handshake.rs`.

use super::*;

const BOTH: [Version; 2] = [Version::V3, Version::V4];

#[test]
fn messages_by_polling_v4() {
    for (body, answer) in [
        ("4hello", "4hello"),
        ("4test1\x1e4test2\x1e4test3", "4test1\x1e4test2\x1e4test3"),
        ("4hello\x1ebAQIDBA==", "4hello\x1ebAQIDBA=="),
    ] {
        let mut bench = Bench::polling(Version::V4);
        assert_eq!(bench.post(1, false, body.as_bytes()), 200);
        bench.echo();
        assert_eq!(bench.polled(2), (200, answer.into()));
    }
}

#[test]
fn messages_by_polling_v3() {
    for body in ["6:4hello", "6:4test16:4test26:4test3", "6:4hello10:b4AQIDBA=="] {
        let mut bench = Bench::polling_with(Version::V3, suite_settings(), true);
        assert_eq!(bench.post(1, false, body.as_bytes()), 200);
        bench.echo();
        assert_eq!(bench.polled(2), (200, body.into()));
    }
    let octets = [0, 6, 255, 52, 104, 101, 108, 108, 111, 1, 5, 255, 4, 1, 2, 3, 4];
    for (is_octets, body) in [(false, &b"6:4hello10:b4AQIDBA=="[..]), (true, &octets)] {
        let mut bench = Bench::polling(Version::V3);
        assert_eq!(bench.post(1, is_octets, body), 200);
        bench.echo();
        bench.poll(2);
        assert_eq!(bench.answer_bytes(2), (200, octets.to_vec()));
    }
}

/// A client that has its probe's answer and no poll left hears of nothing but its socket: one that lost it here would wait for
/// its heartbeat's end.
#[test]
fn closed_on_the_way_to_a_websocket_it_is_told_there() {
    for version in BOTH {
        let mut bench = Bench::polling(version);
        bench.poll(1);
        assert!(bench.turn(|session, turn| session.socket_arrived(turn)));
        bench.text("2probe");
        assert_eq!(bench.answer(1), (200, if version == Version::V4 { "6" } else { "1:6" }.into()));
        assert_eq!(bench.said(), [Said::Text("3probe".into())]);
        bench.turn(|session, turn| session.close(turn));
        assert_eq!((bench.said(), bench.session.ended()), (vec![], None));
        bench.text("5");
        assert_eq!(bench.said(), [Said::Close(Some(Reason::ForcedClose))]);
    }
}

/// Before the probe's answer it has not left off polling, and polls are where it is told.
#[test]
fn closed_before_its_probe_it_is_told_by_its_poll() {
    let mut bench = Bench::polling(Version::V4);
    assert!(bench.turn(|session, turn| session.socket_arrived(turn)));
    bench.turn(|session, turn| session.close(turn));
    assert_eq!(bench.said(), [Said::Close(None)]);
    assert_eq!(bench.polled(1), (200, "1".into()));
    assert_eq!(bench.session.ended(), Some(Reason::ForcedClose));
}

#[test]
fn an_invalid_upload_closes() {
    for version in BOTH {
        let mut bench = Bench::polling(version);
        bench.poll(1);
        assert_eq!(bench.post(2, false, b"abc"), 400);
        assert_eq!(bench.answer(1), (200, if version == Version::V4 { "1" } else { "1:1" }.into()));
        assert_eq!(bench.polled(3).0, 400);
        assert_eq!(bench.session.ended(), Some(Reason::ParseError));
    }
}

#[test]
fn two_polls_at_once_close() {
    for (version, close) in [(Version::V4, "1"), (Version::V3, "1:1")] {
        let mut bench = Bench::polling(version);
        bench.poll(1);
        bench.poll(2);
        assert_eq!(bench.answer(2).0, 400);
        assert_eq!(bench.answer(1), (200, close.into()));
        assert_eq!(bench.polled(3).0, 400);
    }
}

#[test]
fn a_poll_given_up_closes() {
    let mut bench = Bench::polling(Version::V4);
    bench.poll(1);
    bench.turn(|session, turn| session.request_gone(turn, Ticket(1)));
    assert_eq!(bench.polled(2).0, 400);
    assert_eq!(bench.session.ended(), Some(Reason::TransportError));
}

#[test]
fn messages_by_websocket() {
    for (version, binary) in [(Version::V4, &[1u8, 2, 3, 4][..]), (Version::V3, &[4, 1, 2, 3, 4])] {
        let mut bench = Bench::websocket(version);
        let open =
            r#"0{"sid":"sid","upgrades":[],"pingInterval":300,"pingTimeout":200,"maxPayload":1000000}"#;
        assert_eq!(bench.said(), [Said::Text(open.into())]);
        bench.text("4hello");
        bench.frame(Frame::Binary(binary));
        bench.echo();
        assert_eq!(bench.said(), [Said::Text("4hello".into()), Said::Binary(binary.to_vec())]);
        bench.text("abc");
        assert_eq!(bench.said(), [Said::Close(Some(Reason::ParseError))]);
    }
}

#[test]
fn heartbeats_of_v4() {
    for polls in [true, false] {
        let mut bench = if polls { Bench::polling(Version::V4) } else { Bench::websocket(Version::V4) };
        bench.said();
        for round in 1..=3 {
            if polls {
                bench.poll(round);
            }
            let before = bench.now;
            bench.wait();
            assert_eq!(bench.now - before, 300);
            if polls {
                assert_eq!(bench.answer(round), (200, "2".into()));
                assert_eq!(bench.post(round, false, b"3"), 200);
            } else {
                assert_eq!(bench.said(), [Said::Text("2".into())]);
                bench.text("3");
            }
        }
        bench.wait();
        bench.wait();
        assert_eq!(bench.session.ended(), Some(Reason::PingTimeout));
        assert_eq!(bench.now, 3 * 300 + 500);
        assert_eq!(bench.session.deadline(), u64::MAX);
    }
}

#[test]
fn heartbeats_of_v3() {
    for polls in [true, false] {
        let mut bench = if polls { Bench::polling(Version::V3) } else { Bench::websocket(Version::V3) };
        bench.said();
        for round in 1..=3 {
            bench.now += 300;
            if polls {
                assert_eq!(bench.post(round, false, b"1:2"), 200);
                assert_eq!(bench.polled(round), (200, "1:3".into()));
            } else {
                bench.text("2x");
                assert_eq!(bench.said(), [Said::Text("3x".into())]);
            }
        }
        bench.wait();
        assert_eq!((bench.session.ended(), bench.now), (Some(Reason::PingTimeout), 900 + 500));
    }
}

#[test]
fn life_buys_time_for_a_pong_once() {
    let mut bench = Bench::websocket(Version::V4);
    bench.wait();
    bench.now += 150;
    bench.text("4a");
    bench.now += 150;
    bench.text("4b");
    assert_eq!(bench.session.deadline(), 300 + 150 + 200);
    bench.wait();
    assert_eq!(bench.session.ended(), Some(Reason::PingTimeout));
}

#[test]
fn a_poll_that_the_close_has_overtaken_is_released() {
    let mut bench = Bench::polling(Version::V4);
    bench.posted(1, false, b"1");
    assert_eq!((bench.said(), bench.session.is_open()), (vec![], false));
    assert_eq!(bench.session.ending(), Some(Reason::TransportClose));
    bench.poll(2);
    assert_eq!(bench.answer(2), (200, "6".into()));
    assert_eq!(bench.answer(1), (200, "ok".into()));
    assert_eq!(bench.polled(3).0, 400);
    assert_eq!(bench.session.ended(), Some(Reason::TransportClose));

    // It makes no difference that the session has not heard yet what became of the answer before.
    let mut bench = Bench::polling(Version::V4);
    bench.send("4one");
    bench.poll(1);
    bench.said();
    bench.posted(2, false, b"1");
    assert_eq!(bench.said(), []);
    bench.poll(3);
    assert_eq!(bench.answer(3), (200, "6".into()));
    assert_eq!(bench.answer(2), (200, "ok".into()));

    // None was under way: the upload is answered all the same, and what comes after it finds the session over.
    let mut bench = Bench::polling(Version::V4);
    bench.posted(1, false, b"1");
    bench.wait();
    assert_eq!(bench.answer(1), (200, "ok".into()));
    assert_eq!(bench.session.ended(), Some(Reason::TransportClose));
    assert_eq!(bench.polled(2).0, 400);
}

#[test]
fn a_late_timer_does_not_lengthen_the_clients_time() {
    let mut bench = Bench::polling(Version::V4);
    // The ping was due at 300; nobody has looked until the poll that comes then.
    bench.now = 330;
    assert_eq!(bench.polled(1), (200, "2".into()));
    assert_eq!(bench.session.deadline(), 500);
    // Nor has anybody at 500.
    bench.now = 500;
    assert_eq!(bench.polled(2).0, 400);
    assert_eq!(bench.session.ended(), Some(Reason::PingTimeout));

    // Very late is the server's fault, and not the client's.
    let mut bench = Bench::polling(Version::V4);
    bench.now = 1_000;
    assert_eq!(bench.polled(1), (200, "2".into()));
    assert_eq!(bench.session.deadline(), 1_150);
}

#[test]
fn the_client_closes() {
    for (version, close, noop) in [(Version::V4, "1", "6"), (Version::V3, "1:1", "1:6")] {
        let mut bench = Bench::polling(version);
        bench.poll(1);
        assert_eq!(bench.post(2, false, close.as_bytes()), 200);
        assert_eq!(bench.answer(1), (200, noop.into()));
        assert_eq!(bench.polled(3).0, 400);
        assert_eq!(bench.session.ended(), Some(Reason::TransportClose));

        let mut bench = Bench::websocket(version);
        bench.said();
        bench.text("1");
        assert_eq!(bench.said(), [Said::Close(Some(Reason::TransportClose))]);
    }
}

#[test]
fn the_server_closes() {
    let mut bench = Bench::polling(Version::V4);
    bench.send("4last");
    bench.turn(|session, turn| session.close(turn));
    assert!(!bench.send("4too late"));
    assert_eq!(bench.session.ended(), None);
    assert_eq!(bench.polled(1), (200, "4last\x1e1".into()));
    assert_eq!(bench.session.ended(), Some(Reason::ForcedClose));

    let mut bench = Bench::polling(Version::V4);
    bench.poll(1);
    bench.turn(|session, turn| session.close(turn));
    assert_eq!(bench.answer(1), (200, "1".into()));

    let mut bench = Bench::polling(Version::V4);
    bench.turn(|session, turn| session.close(turn));
    bench.wait();
    assert_eq!((bench.session.ended(), bench.now), (Some(Reason::ForcedClose), 30_000));

    let mut bench = Bench::websocket(Version::V4);
    bench.said();
    bench.turn(|session, turn| session.close(turn));
    assert_eq!(bench.said(), [Said::Close(Some(Reason::ForcedClose))]);
}

#[test]
fn upgrades() {
    for (version, noop) in [(Version::V4, "6"), (Version::V3, "1:6")] {
        let mut bench = Bench::polling(version);
        assert!(bench.turn(|session, turn| session.socket_arrived(turn)));
        bench.text("2probe");
        assert_eq!(bench.said(), [Said::Text("3probe".into())]);
        // The noop goes to the poll, be it there already or not.
        assert_eq!(bench.polled(1), (200, noop.into()));
        bench.text("5");
        bench.text("4hello");
        bench.echo();
        assert_eq!(bench.said(), [Said::Text("4hello".into())]);
        // Requests with the id are refused, a second socket is not taken, the first goes on.
        assert_eq!(bench.polled(2).0, 400);
        assert_eq!(bench.post(3, false, b"4x"), 400);
        assert!(!bench.turn(|session, turn| session.socket_arrived(turn)));
        bench.text("4hello");
        bench.echo();
        assert_eq!(bench.said(), [Said::Text("4hello".into())]);
        assert_eq!(bench.session.ended(), None);
    }
}

#[test]
fn a_probe_releases_the_waiting_poll() {
    let mut bench = Bench::polling(Version::V4);
    bench.poll(1);
    assert!(bench.turn(|session, turn| session.socket_arrived(turn)));
    assert!(!bench.turn(|session, turn| session.socket_arrived(turn)));
    bench.text("2probe");
    assert_eq!(bench.answer(1), (200, "6".into()));
    bench.send("4meanwhile");
    assert_eq!(bench.said(), [Said::Text("3probe".into())]);
    bench.text("5");
    assert_eq!(bench.said(), [Said::Text("4meanwhile".into())]);
}

#[test]
fn an_upgrade_that_fails_costs_the_socket_only() {
    for bad in ["4hello", "2", "5", "abc", "", "2probes"] {
        let mut bench = Bench::polling(Version::V4);
        assert!(bench.turn(|session, turn| session.socket_arrived(turn)));
        bench.text(bad);
        assert_eq!(bench.said(), [Said::Close(None)], "{bad}");
        bench.send("4goes on");
        assert_eq!(bench.polled(1), (200, "4goes on".into()));
        bench.upgrade();
    }
    // Its time is up, or it is gone.
    let settings = Settings::default();
    let mut bench = Bench::polling_with(Version::V4, settings, false);
    assert!(bench.turn(|session, turn| session.socket_arrived(turn)));
    bench.text("2probe");
    bench.said();
    bench.wait();
    assert_eq!((bench.now, bench.said()), (10_000, vec![Said::Close(None)]));
    bench.text("5");
    assert!(bench.turn(|session, turn| session.socket_arrived(turn)));
    bench.turn(|session, turn| session.socket_closed(turn));
    assert_eq!((bench.session.ended(), bench.said()), (None, vec![]));
    bench.upgrade();
}

#[test]
fn an_answer_under_way_holds_the_socket_back() {
    for taken in [true, false] {
        let mut bench = Bench::polling(Version::V4);
        bench.send("4one");
        bench.poll(1);
        bench.said();
        bench.upgrade();
        bench.send("4two");
        assert_eq!(bench.said(), []);
        bench.turn(|session, turn| match taken {
            true => session.answer_taken(turn, Ticket(1)),
            false => session.answer_lost(turn, Ticket(1)),
        });
        let two = Said::Text("4two".into());
        assert_eq!(bench.said(), if taken { vec![two] } else { vec![Said::Text("4one".into()), two] });
    }
}

#[test]
fn packets_stay_until_their_answer_is_taken() {
    let mut bench = Bench::polling(Version::V4);
    bench.send("4one");
    bench.poll(1);
    bench.said();
    // The next poll is faster than the news of the first.
    bench.poll(2);
    bench.send("4two");
    assert_eq!(bench.said(), []);
    bench.turn(|session, turn| session.answer_lost(turn, Ticket(1)));
    assert_eq!(bench.answer(2), (200, "4one\x1e4two".into()));
    bench.poll(3);
    assert_eq!(bench.said(), []);
}

#[test]
fn an_answer_has_sixteen_packets_and_a_sane_size() {
    let mut bench = Bench::polling(Version::V4);
    let all: Vec<_> = (0..20).map(|number| format!("4{number}")).collect();
    for packet in &all {
        bench.send(packet);
    }
    assert_eq!(bench.polled(1).1, all[..16].join("\x1e"));
    assert_eq!(bench.polled(2).1, all[16..].join("\x1e"));
    let big = format!("4{}", "x".repeat(100_000));
    bench.send(&big);
    bench.send(&big);
    assert_eq!(bench.polled(3).1, big);
    assert_eq!(bench.polled(4).1, big);
}
