//! The framing on real sockets: an echo server of std threads, tried by a raw-socket script (the cases of the
//! Autobahn suite, its limits and performance group included) and by tungstenite's client.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it is made of")]

mod websocket_client;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::process::Command;
use std::thread;

use gateway::websocket::handshake::{self, Policy};
use gateway::websocket::{Event, WebSocket, encode};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use tungstenite::Message;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;

use websocket_client::WIDE;

fn echo_server() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A client that breaks off is its own business.
            thread::spawn(move || serve(&mut stream.unwrap()).ok());
        }
    });
    address
}

fn serve(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let headers = read_head(stream)?;
    let policy = Policy { origins: &[], protocols: &["echo"], bearer: false };
    let accepted = handshake::accept(&Method::GET, Version::HTTP_11, &headers, &policy).unwrap();
    let mut out = b"HTTP/1.1 101 Switching Protocols\r\n".to_vec();
    for (name, value) in &accepted.headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
    stream.write_all(&out)?;

    let mut socket = WebSocket::new();
    let mut buffer = vec![0; 16 * 1024];
    while !socket.is_over() {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        out.clear();
        socket.receive(&WIDE, 0, &mut buffer[..count], |event| {
            match event {
                Event::Text(text) => encode::text(&mut out, text),
                Event::Binary(bytes) => encode::binary(&mut out, bytes),
                Event::Ping(payload) => encode::pong(&mut out, payload),
                Event::Pong(_) => {}
                Event::Close { code, .. } => encode::close(&mut out, code, ""),
                Event::Fail { code, reason } => encode::close(&mut out, code, reason),
            }
            ControlFlow::Continue(())
        });
        stream.write_all(&out)?;
    }
    // A close with unread input would reset the connection and could destroy our last frame on its way.
    stream.shutdown(Shutdown::Write)?;
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}

/// The headers of a request. A client sends nothing after the head until it has its answer.
fn read_head(stream: &mut TcpStream) -> std::io::Result<HeaderMap> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    let mut headers = HeaderMap::new();
    for (name, value) in String::from_utf8(head).unwrap().lines().filter_map(|line| line.split_once(':')) {
        let name: HeaderName = name.parse().unwrap();
        headers.append(name, HeaderValue::from_str(value.trim()).unwrap());
    }
    Ok(headers)
}

#[test]
fn the_conformance_script_passes() {
    let address = echo_server();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/websocket_conformance.py");
    let output = Command::new("python3")
        .args([script, &address.ip().to_string(), &address.port().to_string(), "/echo"])
        .output()
        .expect("python3 runs the clients of the tests");
    let report = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{report}{errors}");
    println!("{}", report.lines().last().unwrap_or_default());
}

#[test]
fn tungstenite_is_understood() {
    let address = echo_server();
    let (mut client, response) = tungstenite::connect(format!("ws://{address}/echo")).unwrap();
    assert_eq!(response.status(), 101);
    for length in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let text = Message::text("ä".repeat(length / 2));
        client.send(text.clone()).unwrap();
        assert_eq!(client.read().unwrap(), text);
        let binary = Message::binary(vec![0xa5; length]);
        client.send(binary.clone()).unwrap();
        assert_eq!(client.read().unwrap(), binary);
    }
    client.send(Message::Ping("still there?".into())).unwrap();
    assert_eq!(client.read().unwrap(), Message::Pong("still there?".into()));
    client.close(Some(CloseFrame { code: CloseCode::Away, reason: "bye".into() })).unwrap();
    let Message::Close(Some(echoed)) = client.read().unwrap() else { panic!("no close frame") };
    assert_eq!(echoed.code, CloseCode::Away);
    assert!(matches!(client.read(), Err(tungstenite::Error::ConnectionClosed)));
}
