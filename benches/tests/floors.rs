//! The floors as processes: what a real connection gets from them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use benches::floor::PUBLISH;
use benches::servers::{Server, Subject};
use schema::frame::{ClientFrame, Connect, Encoder, Liveness, PREFIX, ServerFrame, VERSIONS, decode_server};

/// The floors that can run here: a container may refuse io_uring.
fn floors() -> Vec<(&'static str, Subject)> {
    let ring = io_uring::IoUring::new(2).is_ok();
    let floors = [
        (ring, env!("CARGO_BIN_EXE_ring_echo"), Subject::RingEcho { gather_us: 0 }),
        (ring, env!("CARGO_BIN_EXE_ring_echo"), Subject::RingEcho { gather_us: 100 }),
        (true, env!("CARGO_BIN_EXE_epoll_echo"), Subject::EpollEcho),
    ];
    floors.into_iter().filter(|(runs, ..)| *runs).map(|(_, program, subject)| (program, subject)).collect()
}

fn encoded(frame: &ClientFrame) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::new().client(frame, &mut bytes);
    bytes
}

fn frame(socket: &mut TcpStream) -> ServerFrame {
    let mut prefix = [0; PREFIX];
    socket.read_exact(&mut prefix).unwrap();
    let mut body = vec![0; u32::from_le_bytes(prefix) as usize];
    socket.read_exact(&mut body).unwrap();
    decode_server(&body).unwrap()
}

fn connect(address: impl std::net::ToSocketAddrs) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    socket
}

#[test]
fn a_client_of_the_binary_protocol_takes_a_floor_for_a_server() {
    for (_, subject) in floors() {
        let server = Server::start(subject, None).unwrap();
        let connect_frame = encoded(&ClientFrame::Connect(Connect {
            version: *VERSIONS.end(),
            token: "no matter".into(),
            device: schema::Device::default(),
            liveness: Liveness::Heartbeat,
            heartbeat_ms: 0,
        }));
        let heartbeat = encoded(&ClientFrame::Heartbeat { tag: 0, answer: true, activity: false });
        let mut sockets: Vec<TcpStream> = (0..50).map(|_| connect(server.binary)).collect();
        for socket in &mut sockets {
            // The first heartbeat comes with the first frame, the second in two pieces, and then many at once.
            socket.write_all(&[&connect_frame[..], &heartbeat, &heartbeat[..20]].concat()).unwrap();
            assert!(matches!(frame(socket), ServerFrame::Welcome(_)));
            assert!(matches!(frame(socket), ServerFrame::HeartbeatAck { .. }));
            socket.write_all(&heartbeat[20..]).unwrap();
            socket.write_all(&heartbeat.repeat(100)).unwrap();
        }
        for socket in &mut sockets {
            for _ in 0..101 {
                assert!(matches!(frame(socket), ServerFrame::HeartbeatAck { .. }));
            }
        }
        assert!(server.cpu().unwrap() > Duration::ZERO);
        let counters = server.stop().unwrap().unwrap();
        assert_eq!(
            (&counters["accepted"], &counters["requests"]),
            (&50.into(), &5_100.into()),
            "{subject:?}"
        );
        assert_eq!(counters["dropped"], 0, "{subject:?}");
    }
}

#[test]
fn a_publish_reaches_everybody() {
    for (program, subject) in floors() {
        let mut child = Command::new(program)
            .args(["--request", "8", "--answer", "4", "--batch-send", "100"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        let ready: benches::floor::Ready = serde_json::from_str(&line).unwrap();
        let mut sockets: Vec<TcpStream> = (0..20).map(|_| connect(ready.binary)).collect();
        // Whoever is answered is there.
        for socket in &mut sockets {
            socket.write_all(&[0; 8]).unwrap();
            socket.read_exact(&mut [0; 4]).unwrap();
        }
        sockets[3].write_all(&[PUBLISH; 8]).unwrap();
        for socket in &mut sockets {
            let ServerFrame::Published { payload, .. } = frame(socket) else { panic!("{subject:?}") };
            assert_eq!(payload.len(), 100);
        }
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success(), "{subject:?} ends when its input does");
        line.clear();
        std::io::BufRead::read_line(&mut out, &mut line).unwrap();
        assert!(line.contains("\"deliveries\":20"), "{line}");
    }
}
