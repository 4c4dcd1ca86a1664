//! What has brought other servers of Engine.IO and Socket.IO down, each under the number of its report: here it costs whoever
//! does it their own connection, if that. The codecs' and sessions' own tests have the same and more, without sockets.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::{Value, json};
use support::socketio::Io;
use support::{Node, PATIENCE, on_both, raw, reset};

const PATH: &str = "/socket.io/";
/// For requests of WebSockets whose refusal is read to its end.
const CLOSE: &str = "Connection: close\r\n";
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
/// Reserved bits, of which no extension has made use: the first one would mean "compressed".
const RESERVED: [u8; 3] = [0x40, 0x20, 0x10];

/// The head of a WebSocket's request.
fn handshake(query: &str, headers: &str) -> String {
    format!(
        "GET {PATH}?EIO=4&{query} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// A frame of a client, whose mask is zero.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).ok().filter(|length| *length < 126).expect("a short frame");
    [&[first, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

/// A client that writes whatever it likes.
struct Rude {
    stream: TcpStream,
    bytes: Vec<u8>,
}

impl Rude {
    fn dial(node: &Node, head: &str) -> Self {
        let stream = TcpStream::connect(node.addresses.http).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rude = Self { stream, bytes: Vec::new() };
        rude.writes(head.as_bytes());
        rude
    }

    /// A session on a WebSocket that has not joined; and what the handshake was answered.
    fn open(node: &Node, headers: &str) -> (Self, String) {
        let query = format!("transport=websocket&token={}", node.token("rude"));
        let mut rude = Self::dial(node, &handshake(&query, headers));
        let head = rude.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(rude.text().starts_with("0{"));
        (rude, head)
    }

    fn joined(node: &Node) -> Self {
        let (mut rude, _) = Self::open(node, "");
        rude.says("40");
        while !rude.text().starts_with("40{") {}
        rude
    }

    fn writes(&mut self, bytes: &[u8]) {
        // The server may have closed already, which is what is to be shown.
        let _ = self.stream.write_all(bytes);
    }

    fn says(&mut self, packet: &str) {
        self.writes(&frame(TEXT, packet.as_bytes()));
    }

    fn more(&mut self) -> bool {
        let mut chunk = [0; 4_096];
        let read = self.stream.read(&mut chunk).unwrap_or(0);
        self.bytes.extend_from_slice(&chunk[..read]);
        read > 0
    }

    fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let head: Vec<u8> = self.bytes.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.more(), "no answer: {:?}", String::from_utf8_lossy(&self.bytes));
        }
    }

    /// The next text frame of the server.
    fn text(&mut self) -> String {
        loop {
            let (start, length) = match &self.bytes[..] {
                [TEXT, 126, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
                [TEXT, length, ..] if *length < 126 => (2, usize::from(*length)),
                _ => (2_usize, usize::MAX),
            };
            if let Some(text) = self.bytes.get(start..start.saturating_add(length)) {
                let text = String::from_utf8(text.to_vec()).unwrap();
                self.bytes.drain(..start + length);
                return text;
            }
            assert!(self.more(), "no text: {:?}", self.bytes);
        }
    }

    /// The server closes the connection. (One that it leaves open ends the test by the time a read may take.)
    #[track_caller]
    fn closed(mut self, why: &str) {
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut chunk = [0; 4_096];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
                Err(error) => panic!("{why} leaves the connection open: {error}"),
            }
        }
    }
}

/// Nobody else has noticed anything, and others are let in.
#[track_caller]
fn lives(node: &Node, other: &mut Io) {
    assert_eq!(other.ask("nothing:known", &json!({}))["statusCode"], 400);
    Io::user(node, "newcomer").leave();
}

fn crafted_packets(io: &str) {
    let node = Node::start_on(io, "");
    let mut other = Io::user(&node, "other");
    let place = |number: &str| format!(r#"451-["message:send",{{"_placeholder":true,"num":{number}}}]"#);
    let mut packets: Vec<String> = [
        // CVE-2023-32695: a name that is no text, but an object that claims to be one.
        r#"42[{"toString":"foo"}]"#,
        r#"42[{"toString":null},1]"#,
        // CVE-2026-33151, GHSA-677m: more attachments than anybody sends. CVE-2026-69185, GHSA-2m8v: none, or no number.
        r#"4511-["message:send"]"#,
        r#"45999999999999999999-["message:send"]"#,
        r#"450-["message:send"]"#,
        r#"45-["message:send"]"#,
        r#"45["message:send"]"#,
    ]
    .map(str::to_owned)
    .into();
    // CVE-2022-2421: places of attachments that are none.
    packets.extend(
        [r#""splice""#, r#""length""#, r#""__proto__""#, "-1", "1", "0.5", "1e9", "null", "[0]"].map(place),
    );
    for packet in packets {
        // GHSA-55mf: also before anybody knows who it is.
        for mut rude in [Rude::joined(&node), Rude::open(&node, "").0] {
            rude.says(&packet);
            rude.writes(&frame(BINARY, &[1]));
            rude.closed(&packet);
        }
    }
    // CVE-2024-38355: an event of this name had no listener, and ended the process.
    for argument in [json!(null), json!({"message": "x"})] {
        other.emit("error", &argument);
        assert_eq!(other.event("error")["statusCode"], 400);
    }
    lives(&node, &mut other);
}

/// CVE-2023-31125: a transport whose name every object knows.
fn names_of_the_language(io: &str) {
    let node = Node::start_on(io, "");
    let mut other = Io::user(&node, "other");
    for name in ["constructor", "__proto__", "toString", "hasOwnProperty", "prototype"] {
        let answer = node.get(&format!("{PATH}?EIO=4&transport={name}"));
        assert_eq!((answer.status, answer.json()), (400, json!({"code": 0, "message": "Transport unknown"})));
        let answer = raw(node.addresses.http, handshake(&format!("transport={name}"), CLOSE).as_bytes());
        assert_eq!((answer.status, &*answer.body), (400, "Transport unknown"));
        let answer = node.get(&format!("{PATH}?EIO=4&transport=polling&sid={name}"));
        assert_eq!((answer.status, answer.json()["code"].as_u64()), (400, Some(1)));
    }
    lives(&node, &mut other);
}

fn handshakes_that_break_off(io: &str) {
    let node = Node::start_on(io, "");
    let mut other = Io::user(&node, "other");
    let token = node.token("rude");
    // CVE-2022-41940: a reset while the server is busy with the upgrade, or refuses it.
    for query in [
        format!("transport=websocket&token={token}"),
        "transport=abc".into(),
        "transport=websocket&sid=a".into(),
    ] {
        for _ in 0..20 {
            reset(Rude::dial(&node, &handshake(&query, "")).stream);
        }
    }
    // CVE-2022-21676: a frame that is none right behind the request, on a new session and on the upgrade of one.
    for reserved in RESERVED {
        let broken = frame(TEXT | reserved, b"40");
        let mut rude = Rude::dial(&node, &handshake(&format!("transport=websocket&token={token}"), ""));
        rude.writes(&broken);
        assert!(rude.head().starts_with("HTTP/1.1 101 "));
        rude.closed("a reserved bit");

        let session = node.get(&format!("{PATH}?EIO=4&transport=polling&token={token}"));
        let open: Value = serde_json::from_str(&session.body[1..]).unwrap();
        let sid = format!("sid={}", open["sid"].as_str().unwrap());
        let mut rude = Rude::dial(&node, &handshake(&format!("transport=websocket&{sid}"), ""));
        rude.writes(&broken);
        assert!(rude.head().starts_with("HTTP/1.1 101 "));
        rude.closed("a reserved bit on trial");
        // It costs the socket only: the session goes on with its polls.
        let polls = format!("{PATH}?EIO=4&transport=polling&{sid}");
        assert_eq!(node.call("POST", &polls, &[], "40").body, "ok");
        assert!(node.get(&polls).body.starts_with("40{"));
    }
    lives(&node, &mut other);
}

/// CVE-2026-59725, GHSA-r635: an upload that could not be read was never answered, and its socket never closed.
fn every_upload_is_answered(io: &str) {
    let node = Node::start_on(io, "");
    let mut other = Io::user(&node, "other");
    let octets = ("Content-Type", "application/octet-stream");
    let gzip = ("Content-Encoding", "gzip");
    let uploads: [(&[(&str, &str)], &str); 5] = [
        (&[octets], "\u{1}\u{2}4\u{7f}"),
        (&[octets], "4hello"),
        (&[], "abc"),
        (&[], "b!!!"),
        // Nothing is inflated, so this is no packet: CVE-2026-27571.
        (&[gzip], "\u{1f}\u{8}\u{0}\u{0}"),
    ];
    for (version, headers, body) in
        uploads.iter().flat_map(|(headers, body)| [4, 3].map(|v| (v, headers, body)))
    {
        let start = format!("{PATH}?EIO={version}&transport=polling&token={}", node.token("rude"));
        let answer = node.get(&start).body;
        let open = &answer[answer.find('{').unwrap()..=answer.find('}').unwrap()];
        let open: Value = serde_json::from_str(open).unwrap();
        let polls = format!("{start}&sid={}", open["sid"].as_str().unwrap());
        // An answer that does not come ends the test by the time a read may take; so would a socket left open.
        let answer = node.call("POST", &polls, headers, body);
        assert_eq!(answer.status, 400, "{version} {headers:?} {body:?}: {answer:?}");
        assert_eq!(node.get(&polls).status, 400, "the session is over");
    }
    lives(&node, &mut other);
}

/// CVE-2026-48779, CVE-2026-62389: many tiny fragments, and a message that never ends.
fn messages_in_pieces(io: &str) {
    let node = Node::start_on(io, "limits.fragments = 16\nlimits.assembly_time = \"1s\"");
    let mut other = Io::user(&node, "other");
    let mut rude = Rude::joined(&node);
    for piece in 0..17 {
        rude.writes(&frame(if piece == 0 { 0x01 } else { 0x00 }, b""));
    }
    rude.closed("a message in too many pieces");
    let mut rude = Rude::joined(&node);
    rude.writes(&frame(0x01, b"42[\"message"));
    rude.closed("a message that does not end");
    let mut rude = Rude::joined(&node);
    rude.writes(&[TEXT, 0xfe, 0x10, 0x00, 0, 0, 0, 0, b'4']);
    rude.closed("a frame that does not end");
    lives(&node, &mut other);
}

/// CVE-2026-27571, GHSA-8r68: what is small on the wire and huge in memory, before anybody is known.
fn nothing_is_inflated(io: &str) {
    let node = Node::start_on(io, "");
    let mut other = Io::user(&node, "other");
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    for reserved in RESERVED {
        let (mut rude, head) = Rude::open(&node, offer);
        assert!(!head.to_ascii_lowercase().contains("sec-websocket-extensions"), "{head}");
        rude.writes(&frame(TEXT | reserved, &[0x4a, 0x04, 0x00]));
        rude.closed("a compressed frame");
    }
    lives(&node, &mut other);
}

/// CVE-2023-43669, CVE-2024-37890: long or many headers. CVE-2021-32640 and the like: headers that take long to read.
fn heads_of_handshakes(io: &str) {
    let node = Node::start_on(io, "");
    let mut other = Io::user(&node, "other");
    let query = format!("transport=websocket&token={}", node.token("rude"));
    let answered = |headers: &str| raw(node.addresses.http, handshake(&query, headers).as_bytes()).status;
    let many: String = (0..100).map(|number| format!("X-{number}: y\r\n")).collect();
    assert!([400, 431].contains(&answered(&many)));
    assert!([400, 431].contains(&answered(&format!("X-Long: {}\r\n", "y".repeat(20_000)))));
    for (name, value) in [
        ("Sec-WebSocket-Extensions", r#"a;b="\\"#.repeat(1_000)),
        ("Sec-WebSocket-Extensions", ",;=".repeat(2_000)),
        ("Sec-WebSocket-Protocol", format!("a{}", " ".repeat(6_000))),
        ("Sec-WebSocket-Protocol", ",".repeat(6_000)),
        ("Authorization", format!("Bearer{}", " ".repeat(6_000))),
    ] {
        let mut rude = Rude::dial(&node, &handshake(&query, &format!("{name}: {value}\r\n")));
        let head = rude.head();
        assert!(head.starts_with("HTTP/1.1 101 ") || head.starts_with("HTTP/1.1 400 "), "{name}: {head}");
    }
    lives(&node, &mut other);
}

/// CVE-2020-28481: pages of any origin could speak with the user's cookies. There are none here, and a list closes the door.
fn pages_of_other_origins(io: &str) {
    let node = Node::start_on(io, "http.origins = [\"https://chat.example\"]");
    let mut other = Io::user(&node, "other");
    let polls = format!("{PATH}?EIO=4&transport=polling&token={}", node.token("ann"));
    let own = node.call("GET", &polls, &[("Origin", "https://chat.example")], "");
    assert_eq!((own.status, own.header("access-control-allow-origin")), (200, "https://chat.example"));
    assert_eq!(own.find("set-cookie"), None);
    for origin in ["https://evil.example", "https://chat.example.evil.example", "null"] {
        let answer = node.call("GET", &polls, &[("Origin", origin)], "");
        assert_eq!((answer.status, answer.json()["code"].as_u64()), (403, Some(4)), "{origin}");
        assert_eq!(answer.find("access-control-allow-origin"), None);
        let head = handshake("transport=websocket", &format!("Origin: {origin}\r\n{CLOSE}"));
        assert_eq!(raw(node.addresses.http, head.as_bytes()).status, 403, "{origin}");
    }
    lives(&node, &mut other);
}

on_both!(
    crafted_packets,
    names_of_the_language,
    handshakes_that_break_off,
    every_upload_is_answered,
    messages_in_pieces,
    nothing_is_inflated,
    heads_of_handshakes,
    pages_of_other_origins,
);
