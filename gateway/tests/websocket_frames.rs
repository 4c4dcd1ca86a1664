//! The cases of the Autobahn test suite, groups 1 to 7 and 10, against the framing without sockets.
//!
//! A case is bytes of a client and what the server reads in them. Each is run whole, byte by byte and in random
//! pieces: a stream means the same however TCP delivers it.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it is made of")]

mod websocket_client;

use std::ops::ControlFlow;

use gateway::websocket::WebSocket;
use websocket_client::*;

/// Runs one case in all deliveries. A case that ends well ends with the client's close.
fn check(case: &str, frames: &[Vec<u8>], expected: &[Told]) {
    let bytes = frames.concat();
    let run = |delivery: &str, next: &mut dyn FnMut() -> usize| {
        let (told, _) = receive(&WIDE, &bytes, next);
        assert!(told == expected, "{case}, {delivery}: read {}, not {}", short(&told), short(expected));
    };
    run("whole", &mut || bytes.len());
    run("byte by byte", &mut || 1);
    run("in pieces of 997", &mut || 997);
    for seed in 0..4 {
        let mut dice = Dice(seed);
        run(&format!("in pieces by seed {seed}"), &mut || {
            let most = [3, 20, 200, 5000][seed as usize];
            dice.roll(most)
        });
    }
    let mut frames = frames.iter();
    run("frame by frame", &mut || frames.next().map_or(1, Vec::len));
}

/// A case that the server answers until the client closes with 1000.
fn ok(case: &str, frames: &[Vec<u8>], expected: &[Told]) {
    let frames = [frames, &[close(1000, "")]].concat();
    let expected = [expected, &[Told::Close(1000, String::new())]].concat();
    check(case, &frames, &expected);
}

/// A case in which the server reads `expected` and then fails the connection.
fn fails(case: &str, frames: &[Vec<u8>], expected: &[Told], code: u16) {
    check(case, frames, &[expected, &[Told::Fail(code)]].concat());
}

fn text(text: &str) -> Told {
    Told::Text(text.to_owned())
}

fn short(told: &[Told]) -> String {
    format!("{told:?}").chars().take(300).collect()
}

const HELLO: &str = "Hello, world!";

#[test]
fn group_1_messages_of_all_length_forms() {
    for (at, length) in [0, 125, 126, 127, 128, 65_535, 65_536, 65_536].into_iter().enumerate() {
        let payload = "*".repeat(length);
        ok(&format!("1.1.{}", at + 1), &[frame(TEXT, &payload)], &[text(&payload)]);
        let payload = vec![0xfe; length];
        ok(&format!("1.2.{}", at + 1), &[frame(BINARY, &payload)], &[Told::Binary(payload)]);
    }
}

#[test]
fn group_2_pings_and_pongs() {
    let payload = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff";
    ok("2.1", &[frame(PING, "")], &[Told::Ping(vec![])]);
    ok("2.2", &[frame(PING, HELLO)], &[Told::Ping(HELLO.into())]);
    ok("2.3", &[frame(PING, payload)], &[Told::Ping(payload.to_vec())]);
    // 2.6 is the same byte by byte, which every case here is.
    ok("2.4", &[frame(PING, [0xfe; 125])], &[Told::Ping(vec![0xfe; 125])]);
    fails("2.5", &[frame(PING, [0xfe; 126])], &[], 1002);
    ok("2.7", &[frame(PONG, "")], &[Told::Pong(vec![])]);
    ok("2.8", &[frame(PONG, "unsolicited")], &[Told::Pong(b"unsolicited".to_vec())]);
    let both = [frame(PONG, "unsolicited"), frame(PING, "ping")];
    ok("2.9", &both, &[Told::Pong(b"unsolicited".to_vec()), Told::Ping(b"ping".to_vec())]);
    let payloads: Vec<String> = (0..10).map(|at| format!("payload-{at}")).collect();
    let pings: Vec<_> = payloads.iter().map(|payload| frame(PING, payload)).collect();
    let expected: Vec<_> = payloads.iter().map(|payload| Told::Ping(payload.clone().into_bytes())).collect();
    ok("2.10 and 2.11", &pings, &expected);
}

#[test]
fn group_3_reserved_bits() {
    for bits in 1..=7_u8 {
        for opcode in [TEXT, BINARY, PING, PONG, CLOSE] {
            let bad = raw_frame(0x80 | bits << 4 | opcode, HELLO.as_bytes());
            let case = format!("3.{bits}, opcode {opcode}");
            fails(&case, &[bad.clone(), frame(PING, "")], &[], 1002);
            fails(&case, &[frame(TEXT, HELLO), bad, frame(PING, "")], &[text(HELLO)], 1002);
        }
    }
}

#[test]
fn group_4_reserved_opcodes() {
    for (group, first) in [(1, 3), (2, 11)] {
        for at in 0..5_u8 {
            let opcode = first + at;
            for payload in ["", HELLO] {
                let case = format!("4.{group}.{}", at + 1);
                fails(&case, &[frame(opcode, payload)], &[], 1002);
                let frames = [frame(TEXT, HELLO), frame(opcode, payload), frame(PING, "")];
                fails(&case, &frames, &[text(HELLO)], 1002);
            }
        }
    }
}

#[test]
fn group_5_fragments() {
    let (one, two, both) = ("fragment1", "fragment2", "fragment1fragment2");
    let ping = || Told::Ping(b"ping payload".to_vec());
    fails("5.1", &[fragment(PING, one), frame(CONTINUATION, two)], &[], 1002);
    fails("5.2", &[fragment(PONG, one), frame(CONTINUATION, two)], &[], 1002);
    ok("5.3 to 5.5", &[fragment(TEXT, one), frame(CONTINUATION, two)], &[text(both)]);
    let with_ping = [fragment(TEXT, one), frame(PING, "ping payload"), frame(CONTINUATION, two)];
    ok("5.6 to 5.8", &with_ping, &[ping(), text(both)]);
    let stray = "non-continuation payload";
    fails("5.9 to 5.11", &[frame(CONTINUATION, stray), frame(TEXT, HELLO)], &[], 1002);
    fails("5.12 to 5.14", &[fragment(CONTINUATION, stray), frame(TEXT, HELLO)], &[], 1002);
    let after = [
        fragment(TEXT, one),
        frame(CONTINUATION, two),
        fragment(CONTINUATION, "fragment3"),
        frame(TEXT, "fragment4"),
    ];
    fails("5.15", &after, &[text(both)], 1002);
    let twice = |stray: Vec<u8>| {
        let once = [stray, fragment(TEXT, two), frame(CONTINUATION, "fragment3")];
        [once.clone(), once].concat()
    };
    fails("5.16", &twice(fragment(CONTINUATION, one)), &[], 1002);
    fails("5.17", &twice(frame(CONTINUATION, one)), &[], 1002);
    fails("5.18", &[fragment(TEXT, one), frame(TEXT, two)], &[], 1002);
    let long = [
        fragment(TEXT, one),
        fragment(CONTINUATION, two),
        frame(PING, "pongme 1!"),
        fragment(CONTINUATION, "fragment3"),
        fragment(CONTINUATION, "fragment4"),
        frame(PING, "pongme 2!"),
        frame(CONTINUATION, "fragment5"),
    ];
    let expected = [
        Told::Ping(b"pongme 1!".to_vec()),
        Told::Ping(b"pongme 2!".to_vec()),
        text("fragment1fragment2fragment3fragment4fragment5"),
    ];
    ok("5.19 and 5.20", &long, &expected);
    let mixed = [fragment(BINARY, one), frame(PONG, ""), frame(CONTINUATION, two)];
    ok("binary", &mixed, &[Told::Pong(vec![]), Told::Binary(both.into())]);
    fails("binary in text", &[fragment(TEXT, one), frame(BINARY, two)], &[], 1002);
    fails("binary in binary", &[fragment(BINARY, one), fragment(BINARY, two)], &[], 1002);
}

/// "κόσμε", its second letter in the polytonic form of three bytes.
const KOSME: &str = "\u{3ba}\u{1f79}\u{3c3}\u{3bc}\u{3b5}";
const GREEK: &[u8] = KOSME.as_bytes();

#[test]
fn group_6_1_to_6_3_text_in_fragments() {
    let empty = || [fragment(TEXT, ""), fragment(CONTINUATION, ""), frame(CONTINUATION, "")];
    ok("6.1.1", &[frame(TEXT, "")], &[text("")]);
    ok("6.1.2", &empty(), &[text("")]);
    let middle = "middle frame payload";
    let frames = [fragment(TEXT, ""), fragment(CONTINUATION, middle), frame(CONTINUATION, "")];
    ok("6.1.3", &frames, &[text(middle)]);

    let umlauts = "Hello-µ@ßöäüàá-UTF-8!!";
    ok("6.2.1", &[frame(TEXT, umlauts)], &[text(umlauts)]);
    let halves = [fragment(TEXT, "Hello-µ@ßöä"), frame(CONTINUATION, "üàá-UTF-8!!")];
    ok("6.2.2", &halves, &[text(umlauts)]);
    ok("6.2.3", &[fragmented(TEXT, umlauts.as_bytes(), 1)], &[text(umlauts)]);
    ok("6.2.4", &[fragmented(TEXT, GREEK, 1)], &[text(KOSME)]);

    let surrogate = [GREEK, b"\xed\xa0\x80edited"].concat();
    fails("6.3.1", &[frame(TEXT, &surrogate)], &[], 1007);
    fails("6.3.2", &[fragmented(TEXT, &surrogate, 1)], &[], 1007);
    // A character that never ends is found at the end only.
    fails("text ends inside a character", &[frame(TEXT, b"\xe2\x82")], &[], 1007);
    fails("message ends inside a character", &[fragmented(TEXT, b"\xe2\x82", 1)], &[], 1007);
}

#[test]
fn group_6_4_bad_text_fails_at_once() {
    // The thirteenth byte, 0x90, makes a code point beyond the last one.
    let bad = [GREEK, b"\xf4\x90\x80\x80edited"].concat();
    let stages = |case: &str, stages: [Vec<u8>; 2]| {
        let mut socket = WebSocket::new();
        let mut told = Vec::new();
        for (at, mut bytes) in stages.into_iter().enumerate() {
            assert!(told.is_empty(), "{case}: {told:?} before stage {at}");
            socket.receive(&WIDE, 0, &mut bytes, |event| {
                told.push(Told::from(event));
                ControlFlow::Continue(())
            });
        }
        assert_eq!(told, [Told::Fail(1007)], "{case}");
        assert_eq!(socket.heap_bytes(), 0);
    };
    stages("6.4.1", [fragment(TEXT, GREEK), fragment(CONTINUATION, &bad[11..15])]);
    stages("6.4.2", [fragment(TEXT, &bad[..12]), fragment(CONTINUATION, &bad[12..13])]);
    let whole = frame(TEXT, &bad);
    let head = whole.len() - bad.len();
    stages("6.4.3", [whole[..head + 11].to_vec(), whole[head + 11..head + 15].to_vec()]);
    stages("6.4.4", [whole[..head + 12].to_vec(), whole[head + 12..head + 13].to_vec()]);
}

/// The sequences of Markus Kuhn's UTF-8 stress test as the suite groups them, 6.5 to 6.23.
fn utf8_sequences() -> Vec<(u32, Vec<Vec<u8>>)> {
    let list = |items: &[&[u8]]| items.iter().map(|item| item.to_vec()).collect::<Vec<_>>();
    let lonely = |first: u8, last: u8| (first..last).flat_map(|byte| [byte, b' ']).collect::<Vec<u8>>();
    let cut: [&[u8]; 10] = [
        b"\xc0",
        b"\xe0\x80",
        b"\xf0\x80\x80",
        b"\xf8\x80\x80\x80",
        b"\xfc\x80\x80\x80\x80",
        b"\xdf",
        b"\xef\xbf",
        b"\xf7\xbf\xbf",
        b"\xfb\xbf\xbf\xbf",
        b"\xfd\xbf\xbf\xbf\xbf",
    ];
    let continuations = b"\x80\xbf\x80\xbf\x80\xbf";
    let mut stray: Vec<_> =
        [list(&[b"\x80", b"\xbf"]), (2..=6).map(|n| continuations[..n].to_vec()).collect()].concat();
    stray.push((0x80..0xbf).collect());
    let mut non_characters = list(&[b"\xef\xbf\xbe", b"\xef\xbf\xbf"]);
    for plane in 1..=16_u32 {
        for last in [0xfffe, 0xffff] {
            let character = char::from_u32(plane << 16 | last).unwrap();
            non_characters.push(character.to_string().into_bytes());
        }
    }
    vec![
        (5, list(&[b"hello$world", "hello¢world".as_bytes(), "hello€world".as_bytes()])),
        (5, list(&["hello\u{24b62}world".as_bytes(), GREEK])),
        (6, (1..=GREEK.len()).map(|length| GREEK[..length].to_vec()).collect()),
        (7, list(&[b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80"])),
        (8, list(&[b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80"])),
        (9, list(&[b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf"])),
        (10, list(&[b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf"])),
        (11, list(&[b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf"])),
        (11, list(&[b"\xf4\x90\x80\x80"])),
        (12, stray),
        (
            13,
            [(0xc0, 0xdf), (0xe0, 0xef), (0xf0, 0xf7), (0xf8, 0xfb), (0xfc, 0xfd)]
                .map(|(a, b)| lonely(a, b))
                .into(),
        ),
        (14, list(&cut)),
        (15, vec![cut.concat()]),
        (16, list(&[b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"])),
        (17, list(&[b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf"])),
        (17, list(&[b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf"])),
        (18, list(&[b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf"])),
        (18, list(&[b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf"])),
        (19, list(&[b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80"])),
        (19, list(&[b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80"])),
        (20, list(&[b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf"])),
        (20, list(&[b"\xed\xb0\x80", b"\xed\xbe\x80", b"\xed\xbf\xbf"])),
        (21, list(&[b"\xed\xa0\x80\xed\xb0\x80", b"\xed\xa0\x80\xed\xbf\xbf"])),
        (21, list(&[b"\xed\xad\xbf\xed\xb0\x80", b"\xed\xad\xbf\xed\xbf\xbf"])),
        (21, list(&[b"\xed\xae\x80\xed\xb0\x80", b"\xed\xae\x80\xed\xbf\xbf"])),
        (21, list(&[b"\xed\xaf\xbf\xed\xb0\x80", b"\xed\xaf\xbf\xed\xbf\xbf"])),
        (22, non_characters),
        (23, (0xb9..=0xbf).map(|last| vec![0xef, 0xbf, last]).collect()),
    ]
}

#[test]
fn group_6_5_to_6_23_utf8_sequences() {
    let mut valid = 0;
    let mut invalid = 0;
    for (group, sequences) in utf8_sequences() {
        for bytes in sequences {
            let case = format!("6.{group} {bytes:02x?}");
            // Groups 8, 10 and 12 to 21 are bad throughout, and 11 in its last: `std` must agree with the suite.
            let bad = matches!(group, 8 | 10 | 12..=21) || bytes == b"\xf4\x90\x80\x80";
            let known = group == 6 || bad == std::str::from_utf8(&bytes).is_err();
            assert!(known, "{case}");
            match std::str::from_utf8(&bytes) {
                Ok(expected) => {
                    valid += 1;
                    ok(&case, &[frame(TEXT, &bytes)], &[text(expected)]);
                    ok(&case, &[fragmented(TEXT, &bytes, 1)], &[text(expected)]);
                }
                Err(_) => {
                    invalid += 1;
                    fails(&case, &[frame(TEXT, &bytes)], &[], 1007);
                    fails(&case, &[fragmented(TEXT, &bytes, 1)], &[], 1007);
                }
            }
        }
    }
    assert_eq!((valid, invalid), (63, 69), "the suite's own count of sequences");
}

#[test]
fn group_7_1_nothing_is_read_after_a_close() {
    let closed = |code, reason: &str| Told::Close(code, reason.to_owned());
    ok("7.1.1", &[frame(TEXT, HELLO)], &[text(HELLO)]);
    check("7.1.2", &[close(1000, ""), frame(CLOSE, "")], &[closed(1000, "")]);
    check("7.1.3", &[close(1000, ""), frame(PING, "")], &[closed(1000, "")]);
    check("7.1.4", &[close(1000, ""), frame(TEXT, HELLO)], &[closed(1000, "")]);
    let inside = [fragment(TEXT, "fragment1"), close(1000, ""), frame(CONTINUATION, "fragment2")];
    check("7.1.5", &inside, &[closed(1000, "")]);
    let long = "BAsd7&jh23".chars().cycle().take(256 * 1024).collect::<String>();
    let frames = [frame(TEXT, &long), frame(TEXT, HELLO), close(1000, ""), frame(PING, "")];
    check("7.1.6", &frames, &[text(&long), text(HELLO), closed(1000, "")]);
}

#[test]
fn group_7_3_to_7_13_close_payloads() {
    let closed = |code, reason: &str| Told::Close(code, reason.to_owned());
    check("7.3.1", &[frame(CLOSE, "")], &[closed(1005, "")]);
    fails("7.3.2", &[frame(CLOSE, "a")], &[], 1002);
    check("7.3.3", &[close(1000, "")], &[closed(1000, "")]);
    check("7.3.4", &[close(1000, HELLO)], &[closed(1000, HELLO)]);
    let longest = "*".repeat(123);
    check("7.3.5", &[close(1000, &longest)], &[closed(1000, &longest)]);
    fails("7.3.6", &[close(1000, "*".repeat(124))], &[], 1002);
    fails("7.5.1", &[close(1000, [GREEK, b"\xed\xa0\x80edited"].concat())], &[], 1007);
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999] {
        check(&format!("7.7, {code}"), &[close(code, "")], &[closed(code, "")]);
    }
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999] {
        fails(&format!("7.9, {code}"), &[close(code, "")], &[], 1002);
        fails(&format!("7.9, {code} with a reason"), &[close(code, HELLO)], &[], 1002);
    }
    for code in [5000, 65535] {
        fails(&format!("7.13, {code}"), &[close(code, "")], &[], 1002);
    }
}

#[test]
fn group_10_automatic_fragments() {
    let payload = "*".repeat(65_536);
    ok("10.1.1", &[fragmented(TEXT, payload.as_bytes(), 1300)], &[text(&payload)]);
}

#[test]
fn frames_that_no_client_may_send() {
    fails("not masked", &[vec![0x81, 2, b'h', b'i']], &[], 1002);
    fails("not masked, empty", &[vec![0x89, 0]], &[], 1002);
    let zeros = |head: &[u8]| [head, &[0; 4][..]].concat();
    fails("16 bits for 125", &[zeros(&[0x82, 0xfe, 0, 125])], &[], 1002);
    fails("64 bits for 65,535", &[zeros(&[0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff])], &[], 1002);
    fails("64 bits, highest set", &[zeros(&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1])], &[], 1002);
    fails("longer than the limit", &[zeros(&[0x82, 0xff, 0, 0, 0, 0, 1, 0, 0, 1])], &[], 1009);
    fails("longest there is", &[zeros(&[0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255])], &[], 1009);
}
