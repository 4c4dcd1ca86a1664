//! The WebSocket framing against a conformance suite, through the example that echoes: the handshake, the hand-over,
//! the shard and both socket drivers are the server's own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "support/clients.rs"]
mod clients;
#[path = "../examples/websocket_echo.rs"]
#[allow(dead_code, reason = "its main is not called here")]
mod echo;
mod support;

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use echo::{Arguments, Echo};
use support::{PATIENCE, on_both};
use tungstenite::{Message, WebSocket};

on_both!(passes_the_conformance_suite, takes_a_thousand_messages_without_a_pause);

/// What the suite needs.
fn start(io: &str) -> Echo {
    let arguments = Arguments { port: 0, max_message: 16 << 20, max_fragments: 65_536, io: io.into() };
    Echo::start(&arguments).unwrap()
}

fn connect(echo: &Echo) -> WebSocket<TcpStream> {
    let stream = TcpStream::connect(echo.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    tungstenite::client(format!("ws://{}/any/path?at=all", echo.address), stream).unwrap().0
}

fn passes_the_conformance_suite(io: &str) {
    let echo = start(io);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/websocket_conformance.py");
    let mut suite = Command::new("python3");
    suite.args([script, "127.0.0.1", &echo.address.port().to_string(), "/", "--timeout", "60"]);
    let output = clients::run("websocket_conformance.py", suite, Duration::from_secs(400));
    let told = clients::passed(&output);
    let sum = told.lines().last().unwrap_or_default();
    let passed: u32 = sum.split(' ').next().unwrap().parse().unwrap();
    assert!(passed > 250 && sum.ends_with(" 0 failed"), "{sum}");
}

fn takes_a_thousand_messages_without_a_pause(io: &str) {
    let echo = start(io);
    let mut socket = connect(&echo);
    let text = |n: usize| format!("{n}:{}", "x".repeat(n * 37 % 5_000));
    let binary = |n: usize| vec![n as u8; n * 91 % 7_000];
    let mut writer = WebSocket::from_raw_socket(
        socket.get_ref().try_clone().unwrap(),
        tungstenite::protocol::Role::Client,
        None,
    );
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for n in 0..1_000 {
                let message = if n % 2 == 0 { Message::text(text(n)) } else { Message::binary(binary(n)) };
                writer.write(message).unwrap();
            }
            writer.flush().unwrap();
            writer.get_mut().flush().unwrap();
        });
        for n in 0..1_000 {
            match socket.read().unwrap() {
                Message::Text(got) => assert!(n % 2 == 0 && got.as_str() == text(n), "message {n}"),
                Message::Binary(got) => assert!(n % 2 == 1 && got[..] == binary(n), "message {n}"),
                other => panic!("message {n}: {other:?}"),
            }
        }
    });
}

#[test]
#[allow(clippy::disallowed_methods, reason = "the silence is the test")]
fn bears_ten_seconds_of_silence() {
    let echo = start("ring");
    let mut socket = connect(&echo);
    socket.send(Message::text("before")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("before"));
    std::thread::sleep(Duration::from_millis(10_500));
    socket.send(Message::text("after")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("after"));
    socket.close(None).unwrap();
    assert!(matches!(socket.read(), Ok(Message::Close(_))));
}
