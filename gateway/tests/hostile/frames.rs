//! Malformed, truncated, oversized, random and bit-flipped input, before and after authentication, on both listeners.

use schema::frame::{ClientFrame, PRE_AUTH_MAX, PREFIX, ServerFrame, decode_client, split};
use schema::{CloseReason, Command};

use crate::Rig;
use crate::support::on_both;
use crate::support::web::{PATH, Web, handshake};
use crate::support::wire::{Binary, connect_frame, encoded, vectors};
use crate::websocket_client::{BINARY, CONTINUATION, Dice, PING, TEXT, close, fragment, frame, raw_frame};

on_both!(
    random_bytes_from_strangers,
    a_connect_with_flipped_bits,
    frames_with_flipped_bits,
    frames_that_are_too_long,
    frames_cut_off_by_the_end,
    websockets_break_every_rule,
    websockets_with_flipped_bits,
    websockets_talk_nonsense,
    heads_that_are_no_heads,
    handshakes_with_flipped_bits,
);

/// A blob of bytes, the same for the same dice.
fn blob(dice: &mut Dice, most: usize) -> Vec<u8> {
    let length = dice.roll(most);
    (0..length).map(|_| dice.roll(256) as u8).collect()
}

fn random_bytes_from_strangers(io: &str) {
    let rig = Rig::start(io, "");
    let mut dice = Dice(7);
    for round in 0..200 {
        let mut bytes = blob(&mut dice, 3_000);
        if round % 2 == 0 && bytes.len() >= PREFIX {
            // Lengths that may be, so that what follows is looked at.
            let length = dice.roll(bytes.len()) as u32;
            bytes[..PREFIX].copy_from_slice(&length.to_le_bytes());
        }
        let mut binary = Binary::dial(rig.binary());
        // The server may close before it has everything.
        let _ = binary.write(&bytes);
        binary.shut();
        let told = binary.end();
        match split(&bytes, PRE_AUTH_MAX) {
            Ok(None) => assert_eq!(told, None, "half a frame, and then the client left"),
            _ => {
                let reason = told.unwrap_or_else(|| panic!("round {round}: no last frame")).reason;
                let reasons =
                    [CloseReason::ProtocolError, CloseReason::TooLarge, CloseReason::Unauthenticated];
                assert!(reasons.map(Some).contains(&reason), "round {round}: {reason:?}");
            }
        }
        let mut web = Web::dial(rig.addresses.http);
        let _ = web.write(&bytes);
        web.shut();
        if let Some(status) = web.status() {
            assert!((400..500).contains(&status), "round {round}: {status}");
        }
        web.ends();
    }
    rig.undisturbed();
}

fn a_connect_with_flipped_bits(io: &str) {
    let rig = Rig::start(io, "");
    let good = encoded(&ClientFrame::Connect(connect_frame(&rig.token("flipped"))));
    let mut dice = Dice(11);
    let (mut welcomed, mut refused) = (0, 0);
    for round in 0..300 {
        let mut bytes = good.clone();
        // The structure is at the front; the token takes most of the rest.
        let reach = if round % 3 == 0 { bytes.len() - PREFIX } else { 64 };
        bytes[PREFIX + dice.roll(reach) - 1] ^= 1 << (dice.roll(8) - 1);
        let mut binary = Binary::dial(rig.binary());
        binary.write(&bytes).unwrap();
        match binary.read() {
            Some(ServerFrame::Welcome(_)) => welcomed += 1,
            Some(ServerFrame::Closing(_)) => {
                refused += 1;
                assert_eq!(binary.read(), None, "a Closing is the last frame");
            }
            other => panic!("round {round}: {other:?}"),
        }
    }
    assert!(refused > 100 && welcomed > 0, "{refused} refused, {welcomed} welcomed");
    rig.undisturbed();
}

fn frames_with_flipped_bits(io: &str) {
    let rig = Rig::start(io, "");
    let token = rig.service_token();
    let mut good: Vec<Vec<u8>> = vectors()
        .into_iter()
        .filter(|(name, outcome, _)| outcome == "accept" && !name.starts_with("client-connect"))
        .map(|(_, _, bytes)| bytes)
        .collect();
    for channel in ["news", "a channel of another name"] {
        let (channel, payload) = (schema::Id::new(channel).unwrap(), vec![7; 200].into());
        let command = Command::Publish { channel, payload, except_self: false };
        good.push(encoded(&ClientFrame::Command { tag: 7, command }));
    }
    let mut dice = Dice(13);
    let mut binary = Binary::connect(&rig, &token);
    let (mut ended, mut refused, mut answered) = (0, 0, 0);
    for round in 0..1_500 {
        let mut bytes = good[dice.roll(good.len()) - 1].clone();
        for _ in 0..dice.roll(3) {
            let at = PREFIX + dice.roll(bytes.len() - PREFIX) - 1;
            bytes[at] ^= 1 << (dice.roll(8) - 1);
        }
        // What the codec makes of it is tested with the codec; here it says what the connection must do.
        let expected = decode_client(&bytes[PREFIX..]);
        bytes.extend(encoded(&ClientFrame::Heartbeat { tag: 4_711, answer: true, activity: false }));
        binary.write(&bytes).unwrap();
        let goes_on = loop {
            match binary.read() {
                Some(ServerFrame::HeartbeatAck { tag: 4_711, .. }) => break true,
                Some(ServerFrame::Refused(_)) => refused += 1,
                Some(ServerFrame::Closing(closing)) => {
                    let reason = match &expected {
                        Ok(ClientFrame::Connect(_)) => Some(CloseReason::ProtocolError),
                        Err(error) => error.closes(),
                        Ok(_) => None,
                    };
                    assert_eq!(closing.reason, reason, "round {round}");
                    assert_eq!(binary.read(), None);
                    break false;
                }
                Some(_) => answered += 1,
                None => {
                    assert!(
                        matches!(expected, Ok(ClientFrame::Goodbye { .. })),
                        "round {round}: {expected:?}"
                    );
                    break false;
                }
            }
        };
        if !goes_on {
            ended += 1;
            binary = Binary::connect(&rig, &token);
        }
    }
    assert!(
        ended > 100 && refused > 20 && answered > 100,
        "{ended} ended, {refused} refused, {answered} answered"
    );
    drop(binary);
    rig.undisturbed();
}

fn frames_that_are_too_long(io: &str) {
    let rig = Rig::start(io, "");
    // Known at the fourth byte, before anything else is read or kept.
    for length in [65_537_u32, 1 << 20, u32::MAX] {
        let mut binary = Binary::connect(&rig, &rig.token("alice"));
        binary.write(&length.to_le_bytes()).unwrap();
        assert_eq!(binary.end().unwrap().reason, Some(CloseReason::TooLarge), "{length}");
    }
    for length in [4_097_u32, 65_536, u32::MAX] {
        let mut binary = Binary::dial(rig.binary());
        binary.write(&length.to_le_bytes()).unwrap();
        assert_eq!(binary.end().unwrap().reason, Some(CloseReason::TooLarge), "{length}");
        // The last frame arrives although the client goes on sending.
        let mut binary = Binary::dial(rig.binary());
        binary.write(&length.to_le_bytes()).unwrap();
        let _ = binary.write(&vec![0; 100_000]);
        assert_eq!(binary.end().unwrap().reason, Some(CloseReason::TooLarge), "{length}");
    }
    // The longest that may be: 64 KiB after the Welcome, and 4 KiB before it.
    let mut binary = Binary::connect(&rig, &rig.token("alice"));
    let mut bytes = 65_536_u32.to_le_bytes().to_vec();
    bytes.resize(PREFIX + 65_536, 0);
    binary.write(&bytes).unwrap();
    assert_eq!(binary.end().unwrap().reason, Some(CloseReason::ProtocolError));
    let mut binary = Binary::dial(rig.binary());
    bytes[..PREFIX].copy_from_slice(&4_096_u32.to_le_bytes());
    binary.write(&bytes[..PREFIX + 4_096]).unwrap();
    assert_eq!(binary.end().unwrap().reason, Some(CloseReason::ProtocolError));

    for message in [vec![b'x'; 65_537], vec![b'x'; 1 << 20]] {
        for opcode in [TEXT, BINARY] {
            let mut web = Web::online(&rig, &rig.token("alice"));
            let _ = web.write(&frame(opcode, &message));
            assert_eq!(web.end(), (vec![], Some(1009)));
            let mut web = Web::online(&rig, &rig.token("alice"));
            let _ = web.write(&fragment(opcode, &message[..40_000]));
            let _ = web.write(&frame(CONTINUATION, &message[40_000..]));
            assert_eq!(web.end(), (vec![], Some(1009)));
        }
    }
    // A length that no memory could hold.
    let mut web = Web::online(&rig, &rig.token("alice"));
    web.write(&[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]).unwrap();
    assert_eq!(web.end(), (vec![], Some(1009)));
    rig.undisturbed();
}

fn frames_cut_off_by_the_end(io: &str) {
    let rig = Rig::start(io, "presence.grace = \"0s\"");
    let (token, service) = (rig.token("alice"), rig.service_token());
    let connect = encoded(&ClientFrame::Connect(connect_frame(&token)));
    let command = encoded(&ClientFrame::Command { tag: 1, command: Command::Count });
    for cut in (0..connect.len()).step_by(7) {
        let mut binary = Binary::dial(rig.binary());
        binary.write(&connect[..cut]).unwrap();
        binary.shut();
        assert_eq!(binary.end(), None, "nobody is there to be told");
    }
    for cut in 0..command.len() {
        let mut binary = Binary::connect(&rig, &service);
        binary.write(&command[..cut]).unwrap();
        binary.shut();
        assert_eq!(binary.end(), None);
    }
    let whole = frame(TEXT, r#"{"type":"ping"}"#);
    for cut in 0..whole.len() {
        let mut web = Web::online(&rig, &token);
        web.write(&whole[..cut]).unwrap();
        web.shut();
        web.ends();
    }
    // What was whole before the half-close is answered.
    let beat = encoded(&ClientFrame::Heartbeat { tag: 1, answer: true, activity: false });
    let mut binary = Binary::connect(&rig, &service);
    binary.write(&beat.repeat(50)).unwrap();
    binary.shut();
    let answers = std::iter::from_fn(|| binary.read()).count();
    assert_eq!(answers, 50);
    let mut web = Web::online(&rig, &token);
    web.write(&whole.repeat(50)).unwrap();
    web.shut();
    let pongs = std::iter::from_fn(|| web.frame()).filter(|(opcode, _)| *opcode == 1).count();
    assert_eq!(pongs, 50);
    rig.undisturbed();
}

fn websockets_break_every_rule(io: &str) {
    let rig = Rig::start(io, "limits.fragments = 16");
    let unmasked = {
        let mut bytes = vec![0x81, 15];
        bytes.extend_from_slice(br#"{"type":"ping"}"#);
        bytes
    };
    let many = fragment(TEXT, "{").into_iter().chain(fragment(CONTINUATION, "").repeat(16)).collect();
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("not masked", unmasked, 1002),
        ("a reserved bit", raw_frame(0xc0 | TEXT, b"{}"), 1002),
        ("another reserved bit", raw_frame(0x90 | TEXT, b"{}"), 1002),
        ("an unknown opcode", raw_frame(0x83, b""), 1002),
        ("an unknown control opcode", raw_frame(0x8f, b""), 1002),
        ("a ping in fragments", raw_frame(PING, b"x"), 1002),
        ("a long ping", frame(PING, [0; 126]), 1002),
        ("a continuation of nothing", frame(CONTINUATION, "x"), 1002),
        ("a message within a message", [fragment(TEXT, "a"), frame(TEXT, "b")].concat(), 1002),
        ("bytes that are no text", frame(TEXT, [0xff, 0xfe]), 1007),
        (
            "text that ends in a character",
            [fragment(TEXT, [0xe2, 0x82]), frame(CONTINUATION, "")].concat(),
            1007,
        ),
        ("a close code nobody may send", close(1005, ""), 1002),
        ("a close of one byte", frame(8, [3]), 1002),
        ("a close reason that is no text", close(1000, [0xff]), 1007),
        ("too many fragments", many, 1008),
        ("a length that is not the shortest", [0x81, 0xfe, 0, 1, 0, 0, 0, 0, b'x'].to_vec(), 1002),
    ];
    for (what, bytes, code) in cases {
        let mut web = Web::online(&rig, &rig.token("alice"));
        web.write(&bytes).unwrap();
        let (errors, got) = web.end();
        assert!(errors.is_empty(), "{what}: {errors:?}");
        assert!(got == Some(code) || (what == "too many fragments" && got == Some(1009)), "{what}: {got:?}");
    }
    // A good close is answered with its own code.
    for code in [1000, 1001, 3000, 4999] {
        let mut web = Web::online(&rig, &rig.token("alice"));
        web.write(&close(code, "so long")).unwrap();
        assert_eq!(web.end(), (vec![], Some(code)));
    }
    rig.undisturbed();
}

fn websockets_with_flipped_bits(io: &str) {
    let rig = Rig::start(io, "limits.commands_per_second = 100000\nlimits.commands_burst = 1000000");
    let token = rig.token("alice");
    let good = [
        frame(TEXT, r#"{"type":"ping"}"#),
        frame(TEXT, r#"{"type":"heartbeat","activity":true}"#),
        frame(TEXT, r#"{"type":"subscribe","userIds":["somebody"]}"#),
        frame(PING, "are you there?"),
        [fragment(TEXT, r#"{"type":"#), frame(PING, ""), frame(CONTINUATION, r#""ping"}"#)].concat(),
        close(1000, "bye"),
    ];
    let mut dice = Dice(17);
    let (mut failed, mut errors) = (0, 0);
    for round in 0..400 {
        let mut bytes = good[dice.roll(good.len()) - 1].clone();
        let at = dice.roll(bytes.len()) - 1;
        bytes[at] ^= 1 << (dice.roll(8) - 1);
        let mut web = Web::online(&rig, &token);
        web.write(&bytes).unwrap();
        // Whatever it has become: there is an end to it.
        web.shut();
        let (told, code) = web.end();
        errors += told.len();
        failed += usize::from(code.is_some_and(|code| code != 1000));
        assert!(code.is_none_or(|code| (1000..5000).contains(&code)), "round {round}: {code:?}");
    }
    assert!(failed > 50 && errors > 50, "{failed} failed, {errors} errors");
    rig.undisturbed();
}

fn websockets_talk_nonsense(io: &str) {
    let rig = Rig::start(io, "limits.commands_per_second = 100000\nlimits.commands_burst = 1000000");
    let token = rig.token("alice");
    let deep = "[".repeat(30_000);
    let nonsense = [
        "",
        "null",
        "7",
        "[]",
        "{}",
        "{\"type\":7}",
        "{\"type\":\"\"}",
        "{\"type\":\"dance\"}",
        "{\"type\":\"ping\"",
        "{\"type\":\"subscribe\"}",
        "{\"type\":\"subscribe\",\"userIds\":[]}",
        "{\"type\":\"subscribe\",\"userIds\":7}",
        "{\"type\":\"subscribe\",\"userIds\":[\"\"]}",
        "{\"type\":\"subscribe\",\"userIds\":[\"a\\u0000b\"]}",
        &deep,
        "{\"type\":\"heartbeat\",\"activity\":\"yes\"}",
    ];
    let mut web = Web::online(&rig, &token);
    for text in nonsense {
        web.write(&frame(TEXT, text)).unwrap();
        let answer = web.json();
        assert_eq!(answer["type"], "error", "{text:.40}: {answer}");
        assert!(!answer["data"]["message"].as_str().unwrap().is_empty());
        web.write(&frame(TEXT, r#"{"type":"ping"}"#)).unwrap();
        assert_eq!(web.json()["type"], "pong", "{text:.40}");
    }
    drop(web);
    // Nothing but nonsense is not put up with for ever.
    let mut web = Web::online(&rig, &token);
    web.write(&frame(TEXT, "nonsense").repeat(200)).unwrap();
    let (errors, code) = web.end();
    assert_eq!((errors.len(), code), (50, Some(1008)));
    rig.undisturbed();
}

fn heads_that_are_no_heads(io: &str) {
    let rig = Rig::start(io, "");
    let headers = |count: usize| -> String { (0..count).map(|n| format!("X-{n}: y\r\n")).collect() };
    let long = "x".repeat(9_000);
    let cases: Vec<(String, u16)> = vec![
        ("nonsense\r\n\r\n".into(), 400),
        ("GET\r\n\r\n".into(), 400),
        ("GET / HTTP/9.9\r\nHost: x\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n".into(), 400),
        // The body's length is read once, by its chunks; what follows is no second request.
        (
            "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"
                .into(),
            404,
        ),
        ("\u{16}\u{3}\u{1}\u{0}\u{2}TLS?\r\n\r\n".into(), 400),
        (format!("GET /{long} HTTP/1.1\r\nHost: x\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: x\r\nX: {long}\r\n\r\n"), 431),
        (format!("GET / HTTP/1.1\r\n{}\r\n", headers(65)), 431),
        (format!("GET {PATH} HTTP/1.1\r\n{}\r\n", headers(64)), 426),
    ];
    for (head, status) in cases {
        let mut web = Web::dial(rig.addresses.http);
        let _ = web.write(head.as_bytes());
        web.shut();
        let got = web.status();
        let shown: String = head.chars().take(60).collect();
        // The head of a request that is too long may be judged by its line alone (414).
        let others = if status == 431 { [Some(414), None] } else { [None; 2] };
        assert!(got == Some(status) || got.is_some() && others.contains(&got), "{shown:?}: {got:?}");
        web.ends();
    }
    rig.undisturbed();
}

fn handshakes_with_flipped_bits(io: &str) {
    let rig = Rig::start(io, "");
    let good = handshake(&rig.token("alice"));
    let mut dice = Dice(19);
    let (mut opened, mut refused) = (0, 0);
    for round in 0..300 {
        let mut bytes = good.clone().into_bytes();
        let at = dice.roll(bytes.len()) - 1;
        bytes[at] ^= 1 << (dice.roll(8) - 1);
        let mut web = Web::dial(rig.addresses.http);
        web.write(&bytes).unwrap();
        web.shut();
        match web.status() {
            Some(101) => opened += 1,
            Some(status) if (400..500).contains(&status) => refused += 1,
            // The flip has taken the end of the head away, and then the client left.
            None => assert!(at >= bytes.len() - 4, "round {round}: no answer to byte {at}"),
            other => panic!("round {round}: {other:?}"),
        }
        web.ends();
    }
    assert!(opened > 100 && refused > 10, "{opened} opened, {refused} refused");
    rig.undisturbed();
}
