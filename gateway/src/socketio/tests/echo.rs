//! The cases of the official Socket.IO v5 suite, their like for version 4, and what the applications rely on.

use super::*;

const CLOSED: &str = "close Some(ForcedClose)";

#[test]
fn connects_v5() {
    let check = |packet: &str, expected: &[&str]| {
        let mut bench = Bench::websocket(Version::V4);
        bench.text(packet);
        assert_eq!(bench.said(), expected, "{packet}");
    };
    check("40", &[r#"40{"sid":"id"}"#, r#"42["auth",{}]"#]);
    check(r#"40{"token":"123"}"#, &[r#"40{"sid":"id"}"#, r#"42["auth",{"token":"123"}]"#]);
    check("40/custom", &[r#"40/custom,{"sid":"id"}"#, r#"42/custom,["auth",{}]"#]);
    check("40/custom,", &[r#"40/custom,{"sid":"id"}"#, r#"42/custom,["auth",{}]"#]);
    check(
        r#"40/custom,{"token":"abc"}"#,
        &[r#"40/custom,{"sid":"id"}"#, r#"42/custom,["auth",{"token":"abc"}]"#],
    );
    check("40/random", &[r#"44/random,{"message":"Invalid namespace"}"#]);
    check(r#"40{"refuse":1}"#, &[r#"44{"message":"no"}"#]);
    check(r#"40/custom,{"refuse":2}"#, &[r#"44/custom,{"message":"no","data":{"statusCode":401}}"#]);
    check("4abc", &[CLOSED]);
}

#[test]
fn connects_v4() {
    let mut bench = Bench::websocket(Version::V3);
    assert_eq!(bench.said(), ["40", r#"42["auth",{}]"#]);
    assert_eq!(bench.told(), ["connect 0 None"]);
    bench.text("40/v1/conversations/events?token=T&user_id=42&user_role=BUYER,");
    assert_eq!(bench.said(), ["40/v1/conversations/events,", r#"42/v1/conversations/events,["auth",{}]"#]);
    assert_eq!(bench.told(), [r#"connect 2 Query("token=T&user_id=42&user_role=BUYER")"#]);
    bench.text("40/custom?refuse=1");
    bench.text("40/custom?refuse=2,");
    bench.text("40/random?a=b,");
    assert_eq!(
        bench.said(),
        [r#"44/custom,"no""#, r#"44/custom,{"statusCode":401}"#, r#"44/random,"Invalid namespace""#]
    );
}

#[test]
fn the_server_speaks_first_in_the_handshakes_answer_v4() {
    let settings = Settings::new(Namespaces::new(&[]));
    let transport = engineio::Settings { upgrades: false, ..engineio::Settings::default() };
    let (mut ear, mut app) = (Ear::default(), Echo::default());
    let opening = Opening { version: Version::V3, sid: "s", base64: false, first_ping: 0 };
    let mut turn = Turn { settings: &transport, now: 0, outlet: &mut ear };
    let connection = Connection::polling(&settings, &mut turn, &opening, Ticket(1), &mut app);
    assert!(connection.session().has_joined(Namespace::ROOT));
    let open = r#"0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
    assert_eq!(ear.0, [format!(r#"1 200 {}:{open}2:4013:42["auth",{{}}]"#, open.len())]);
}

#[test]
fn nobody_connects() {
    let mut bench = Bench::websocket(Version::V4);
    bench.wait();
    assert_eq!((bench.now, bench.said()), (25_000, vec!["2".into()]));
    bench.text("3");
    bench.wait();
    assert_eq!((bench.now, bench.said()), (45_000, vec![CLOSED.into()]));
    // A refused client has joined nothing, either.
    let mut bench = Bench::websocket(Version::V4);
    bench.text(r#"40{"refuse":1}"#);
    bench.now = 45_000;
    bench.with(|connection, settings, turn, app| connection.on_deadline(settings, turn, app));
    assert!(bench.said().contains(&CLOSED.into()));
}

#[test]
fn disconnects() {
    for version in [Version::V4, Version::V3] {
        let mut bench = Bench::joined(version);
        bench.text("40/custom,");
        bench.said();
        bench.told();
        bench.text("41/custom,");
        assert_eq!(bench.told(), ["left 1 client namespace disconnect"]);
        bench.text(r#"42["message"]"#);
        assert_eq!(bench.said(), [r#"42["message-back"]"#]);
        bench.text("41");
        bench.wait();
        assert_eq!(bench.connection.engine().ended().is_some(), version == Version::V3);
        // And again.
        let mut bench = Bench::joined(version);
        bench.text(r#"42["out"]"#);
        assert_eq!(bench.said(), ["41"]);
        assert!(!bench.connection.session().has_joined(Namespace::ROOT));
        bench.text("40");
        assert!(bench.connection.session().has_joined(Namespace::ROOT));
    }
}

#[test]
fn messages() {
    for version in [Version::V4, Version::V3] {
        let mut bench = Bench::joined(version);
        bench.text(r#"42["message",1,"2",{"3":[true]}]"#);
        assert_eq!(bench.said(), [r#"42["message-back",1,"2",{"3":[true]}]"#]);
        bench.text(r#"42456["message-with-ack",1,"2",{"3":[false]}]"#);
        assert_eq!(bench.said(), [r#"43456[1,"2",{"3":[false]}]"#]);
        let head: &[u8] = if version == Version::V3 { &[4] } else { &[] };
        let frame = |bytes: &[u8]| [head, bytes].concat();
        let said = |bytes: &[u8]| format!("bin {head:?} {bytes:?}");
        let pair = r#"{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}"#;
        bench.text(&format!(r#"452-["message",{pair}]"#));
        bench.binary(&frame(&[1, 2, 3]));
        assert_eq!(bench.said(), Vec::<String>::new());
        bench.binary(&frame(&[4, 5, 6]));
        assert_eq!(
            bench.said(),
            [format!(r#"452-["message-back",{pair}]"#), said(&[1, 2, 3]), said(&[4, 5, 6])]
        );
        bench.text(&format!(r#"452-789["message-with-ack",{pair}]"#));
        bench.binary(&frame(&[1, 2, 3]));
        bench.binary(&frame(&[4, 5, 6]));
        assert_eq!(bench.said(), [format!("462-789[{pair}]"), said(&[1, 2, 3]), said(&[4, 5, 6])]);
    }
}

#[test]
fn the_server_asks() {
    let mut bench = Bench::joined(Version::V4);
    bench.text(r#"42["ask","who"]"#);
    bench.text(r#"42["ask","what"]"#);
    assert_eq!(bench.said(), [r#"420["question","who"]"#, r#"421["question","what"]"#]);
    bench.told();
    bench.text(r#"461-1[{"_placeholder":true,"num":0}]"#);
    bench.binary(&[7]);
    bench.text(r#"430["me",{"a":1}]"#);
    // Twice, never asked, without an id: ignored.
    for stray in [r#"430[]"#, "439[]", "4399999999999[]", "43[]"] {
        bench.text(stray);
    }
    assert_eq!(
        bench.told(),
        [r#"acked 1 {"_placeholder":true,"num":0} [[7]]"#, r#"acked 0 "me",{"a":1} []"#]
    );
    assert_eq!(bench.connection.session().heap_bytes(), 0);
    for _ in 0..1000 {
        bench.text(r#"42["ask"]"#);
    }
    assert!(bench.connection.session().heap_bytes() < 2000);
}

#[test]
fn an_application_may_answer_later() {
    let mut bench = Bench::websocket_of(Version::V4, Echo { defers: true, ..Echo::default() });
    bench.text("40");
    assert!(bench.connection.session().is_pending(Namespace::ROOT));
    bench.with(|connection, settings, turn, app| {
        let mut talk = connection.talk(settings, turn);
        assert!(!talk.emit(Namespace::ROOT, "early", Arguments::NONE));
        assert!(talk.accept(Namespace::ROOT, "late"));
        assert!(!talk.accept(Namespace::ROOT, "twice"));
        assert!(talk.emit(Namespace::ROOT, "hi \"you\"", Arguments::json("1,2")));
        connection.flush(settings, turn, app);
    });
    assert_eq!(bench.said(), [r#"40{"sid":"late"}"#, r#"42["hi \"you\"",1,2]"#]);
}

#[test]
fn an_event_for_many_is_encoded_once() {
    for version in [Version::V4, Version::V3] {
        let mut bench = Bench::joined(version);
        bench.text("40/custom,");
        bench.said();
        let namespaces = bench.settings.namespaces.clone();
        let custom = namespaces.find("/custom").unwrap();
        let event = Encoded::event(&namespaces, custom, "message:new", r#"{"id":"é"}"#);
        assert_eq!(event.packet(), r#"42/custom,["message:new",{"id":"é"}]"#);
        let elsewhere =
            Encoded::event(&namespaces, namespaces.find("/v1/conversations/events").unwrap(), "x", "");
        bench.with(|connection, settings, turn, app| {
            use crate::engineio::session::Class;
            assert!(connection.talk(settings, turn).emit_encoded(&event, Class::Durable));
            assert!(!connection.talk(settings, turn).emit_encoded(&elsewhere, Class::Durable));
            connection.flush(settings, turn, app);
        });
        assert_eq!(bench.said(), [event.packet()]);
    }
}

#[test]
fn a_drain_closes_without_leaving() {
    let mut bench = Bench::joined(Version::V4);
    bench.with(|connection, settings, turn, app| connection.close(settings, turn, app));
    assert_eq!(bench.said(), [CLOSED]);
    assert_eq!(bench.told(), ["left 0 forced server close"]);
    bench.text(r#"42["message"]"#);
    assert_eq!((bench.said().len(), bench.told().len(), bench.connection.deadline()), (0, 0, u64::MAX));
}

#[test]
fn the_end_of_the_transport_is_told_once() {
    let mut bench = Bench::joined(Version::V3);
    bench.with(|connection, settings, turn, app| connection.socket_closed(settings, turn, app));
    bench.with(|connection, settings, turn, app| connection.socket_closed(settings, turn, app));
    assert_eq!(bench.told(), ["left 0 transport close"]);
    let mut bench = Bench::joined(Version::V4);
    bench.wait();
    bench.wait();
    assert_eq!(bench.told(), ["left 0 ping timeout"]);
}

#[test]
fn by_polls_and_an_upgrade() {
    let settings = Settings::new(Namespaces::new(&[]));
    let transport = engineio::Settings::default();
    let (mut ear, mut app) = (Ear::default(), Echo::default());
    let opening = Opening { version: Version::V4, sid: "s", base64: false, first_ping: 25_000 };
    let mut turn = Turn { settings: &transport, now: 0, outlet: &mut ear };
    let mut it = Connection::polling(&settings, &mut turn, &opening, Ticket(1), &mut app);
    it.answered(&settings, &mut turn, Ticket(1), true, &mut app);
    it.upload(&settings, &mut turn, (Ticket(2), false, b"40\x1e42[\"message\",1]"), &mut app);
    it.poll(&settings, &mut turn, Ticket(3), &mut app);
    it.answered(&settings, &mut turn, Ticket(3), true, &mut app);
    assert!(it.socket_arrived(&turn));
    it.frame(&settings, &mut turn, Frame::Text("2probe"), &mut app);
    it.frame(&settings, &mut turn, Frame::Text("5"), &mut app);
    it.frame(&settings, &mut turn, Frame::Text(r#"42["message",2]"#), &mut app);
    let expected = [
        "2 200 ok",
        "3 200 40{\"sid\":\"id\"}\x1e42[\"auth\",{}]\x1e42[\"message-back\",1]",
        "3probe",
        r#"42["message-back",2]"#,
    ];
    assert_eq!(ear.0[1..], expected);
}

#[test]
fn a_parked_client_is_small() {
    assert_eq!((size_of::<Session>(), size_of::<Connection>()), (16, 48));
    for version in [Version::V4, Version::V3] {
        assert_eq!(Bench::joined(version).connection.session().heap_bytes(), 0);
    }
}
