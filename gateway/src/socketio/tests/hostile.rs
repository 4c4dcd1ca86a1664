//! Clients that do what they must not: each costs its connection, none costs more.

use proptest::prelude::*;

use super::*;

/// What a client of both versions says after it has joined `/`; the connection must be closed for it.
fn closes(frames: &[&str]) {
    for version in [Version::V4, Version::V3] {
        let mut bench = Bench::joined(version);
        for frame in frames {
            bench.text(frame);
        }
        assert!(bench.said().last().is_some_and(|said| said.starts_with("close Some")), "{frames:?}");
        assert_eq!(bench.told().last().map(String::as_str), Some("left 0 parse error"), "{frames:?}");
        assert_eq!(bench.connection.session().heap_bytes(), 0);
    }
}

#[test]
fn what_closes_the_connection() {
    // The suite's three: packet type, payload, ack id; then the rest of the reference's.
    for packet in ["4abc", "42{}", r#"42abc["message-with-ack",1]"#] {
        closes(&[packet]);
    }
    for packet in [
        "4",
        "47",
        "42",
        "42[]",
        "42[null]",
        "42[[]]",
        r#"42["a"]x"#,
        "43{}",
        "43",
        "41[]",
        "40",
        "44",
        "44\"x\"",
    ] {
        closes(&[packet]);
    }
    for name in packet::RESERVED {
        closes(&[&format!(r#"42["{name}"]"#)]);
    }
    closes(&[r#"42["\u0063onnect"]"#]);
    closes(&[r#"42["\ud800"]"#]);
    // Not joined, joined twice, unknown.
    closes(&[r#"42/custom,["a"]"#]);
    closes(&["41/custom,"]);
    closes(&[r#"42/random,["a"]"#]);
    closes(&[r#"42["a""#]);
    closes(&[r#"499999999999999999999["a"]"#]);
}

#[test]
fn nothing_is_heard_before_a_namespace_is_joined() {
    for packet in ["42[\"a\"]", "43[]", "41", "44", r#"451-["a",{"_placeholder":true,"num":0}]"#] {
        let mut bench = Bench::websocket(Version::V4);
        bench.text(packet);
        assert_eq!(bench.said(), ["close Some(ForcedClose)"], "{packet}");
        assert_eq!(bench.told(), Vec::<String>::new());
    }
    // Asked for is not joined, and asking twice is no better.
    for packet in ["42[\"a\"]", "40"] {
        let mut bench = Bench::websocket_of(Version::V4, Echo { defers: true, ..Echo::default() });
        bench.text("40");
        bench.text(packet);
        assert_eq!(bench.told(), ["connect 0 None", "left 0 parse error"]);
    }
}

#[test]
fn attachments_are_bounded() {
    // CVE-2026-33151: more than ten. CVE-2026-69185: none, or no count.
    for packet in [
        r#"4511-["a"]"#,
        r#"45999999999-["a"]"#,
        r#"450-["a"]"#,
        r#"45-["a"]"#,
        r#"45["a"]"#,
        "460-1[]",
        "46-1[]",
        "461[]",
    ] {
        closes(&[packet]);
    }
    // A packet between a packet and its attachments.
    closes(&[r#"451-["a"]"#, r#"42["b"]"#]);
    closes(&[r#"451-["a"]"#, r#"451-["b"]"#]);
    closes(&[r#"451-["a"]"#, "41"]);

    // All together no longer than a payload.
    let mut bench = Bench::joined(Version::V4);
    bench.text(r#"4510-["a"]"#);
    for _ in 0..9 {
        bench.binary(&[0; 100_000]);
    }
    assert!((900_000..910_000).contains(&bench.connection.session().heap_bytes()));
    bench.binary(&[0; 100_000]);
    assert_eq!(bench.told(), ["left 0 parse error"]);
    assert_eq!(bench.connection.session().heap_bytes(), 0);

    // All together in time.
    let mut bench = Bench::joined(Version::V4);
    bench.text(r#"452-["a"]"#);
    bench.now = 9_000;
    bench.binary(&[1]);
    assert_eq!(bench.connection.deadline(), 10_000);
    bench.wait();
    assert_eq!((bench.told(), bench.said().len()), (vec!["left 0 parse error".into()], 1));

    // Bytes that nobody announced, and placeholders for bytes that did not come.
    let mut bench = Bench::joined(Version::V4);
    bench.binary(&[1]);
    assert_eq!(bench.told(), ["left 0 parse error"]);
    let mut bench = Bench::joined(Version::V4);
    bench.text(r#"451-["message",{"_placeholder":true,"num":1}]"#);
    bench.binary(&[1]);
    assert_eq!(bench.told(), ["left 0 parse error"]);
}

#[test]
fn deep_json_is_refused_before_it_is_parsed() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = format!(r#"42["message",{}1{}]"#, open.repeat(200_000), close.repeat(200_000));
        closes(&[&deep]);
        closes(&[&format!(r#"42["message",{}"#, open.repeat(200_000))]);
    }
    let mut bench = Bench::joined(Version::V4);
    bench.text(&format!(r#"42["message",{}1{}]"#, "[".repeat(99), "]".repeat(99)));
    assert_eq!(bench.said().len(), 1);
}

#[test]
fn events_that_come_too_fast() {
    let mut bench = Bench::joined(Version::V4);
    bench.app.over = true;
    bench.text(r#"427["message"]"#);
    bench.text(r#"42["message"]"#);
    let busy = r#""error":"Too Many Requests","message":"Too many events","statusCode":429}"#;
    assert_eq!(
        bench.said(),
        [format!(r#"437[{{"success":false,{busy}]"#), format!(r#"42["error",{{{busy}]"#)]
    );
    bench.text("40/custom,");
    assert_eq!(bench.said(), [format!(r#"44/custom,{{"message":"Too many events","data":{{{busy}}}"#)]);
    assert_eq!(bench.told(), Vec::<String>::new());
    // Ten seconds of it, with some events within the rate in between.
    while bench.now < 9_500 {
        bench.now += 500;
        bench.app.over = bench.now.is_multiple_of(1000);
        bench.text(r#"42["nothing"]"#);
    }
    assert_eq!(bench.connection.engine().ended(), None);
    bench.app.over = true;
    bench.now = 10_000;
    bench.text(r#"42["nothing"]"#);
    assert_eq!(bench.told().last().map(String::as_str), Some("left 0 overload"));

    // Calm in between ends an overload.
    let mut bench = Bench::joined(Version::V4);
    for _ in 0..50 {
        bench.app.over = true;
        bench.text(r#"42["nothing"]"#);
        bench.now += 1_500;
        bench.app.over = false;
        bench.text("3");
        bench.text(r#"42["nothing"]"#);
        assert_eq!(bench.connection.session().heap_bytes(), 0);
    }
    assert_eq!(bench.connection.engine().ended(), None);
}

proptest! {
    #[test]
    fn no_frames_panic(v3: bool, frames in proptest::collection::vec(frame(), 0..20)) {
        let mut bench = Bench::websocket(if v3 { Version::V3 } else { Version::V4 });
        for frame in frames {
            match frame {
                Ok(text) => bench.text(&text),
                Err(bytes) => bench.binary(&bytes),
            }
        }
        // Whoever was told of a namespace's beginning is told of its end.
        bench.with(|connection, settings, turn, app| connection.socket_closed(settings, turn, app));
        prop_assert_eq!(bench.connection.session().heap_bytes(), 0);
    }

    #[test]
    fn packets_are_read_as_written(
        v3: bool,
        id in proptest::option::of(0u64..1 << 53),
        name in "[^\\x00]{0,12}",
        custom: bool,
        numbers in proptest::collection::vec(any::<i32>(), 0..5),
        texts in proptest::collection::vec(any::<String>(), 0..3),
    ) {
        let version = if v3 { Version::V3 } else { Version::V4 };
        prop_assume!(!packet::RESERVED.contains(&name.as_str()));
        let mut elements: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        elements.extend(texts.iter().map(|text| serde_json::to_string(text).unwrap()));
        let namespace = if custom { "/custom" } else { "/" };
        let mut text = String::new();
        packet::write_head(&mut text, packet::Kind::Event, 0, namespace, id);
        text.push('[');
        packet::write_string(&mut text, &name);
        for element in &elements {
            text.push(',');
            text.push_str(element);
        }
        text.push(']');
        let packet = packet::Packet::decode(version, &text[1..], 10).unwrap();
        prop_assert_eq!((packet.namespace, packet.id), (namespace, id));
        let (read, arguments) = packet.event().unwrap();
        prop_assert_eq!(&*read, name.as_str());
        prop_assert_eq!(Arguments::json(arguments).iter().collect::<Vec<_>>(), elements);
    }
}

/// Frames that look like something.
fn frame() -> impl Strategy<Value = Result<String, Vec<u8>>> {
    prop_oneof![
        "4[0-6]{0,2}(1-|2-)?(/custom(\\?a=b)?,)?[0-9]{0,2}(\\[\"message\"(,1|,\\{\"_placeholder\":true,\"num\":[0-2]\\})?\\])?".prop_map(Ok),
        "[0-6b4]{1,3}[\\[\\]{}\",:a-z0-9/?-]{0,30}".prop_map(Ok),
        any::<String>().prop_map(Ok),
        proptest::collection::vec(any::<u8>(), 0..9).prop_map(Err),
    ]
}
