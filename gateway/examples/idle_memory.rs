//! How much memory an idle session costs the server: starts a server of its own, holds N sessions, and compares.
//!
//! ```sh
//! cargo build --release && cargo run --release -p muster --example idle_memory -- --sessions 15000
//! ```
//!
//! Each session has a user of its own with a 36-character id. Memory is the proportional set size (Pss) of the server
//! process, as the kernel tells it; the kernel's own memory for the sockets is not in it. Loopback only, and it ends
//! by itself.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program: it prints, and gives up on errors"
)]
#![allow(clippy::disallowed_methods, reason = "it waits for real time to pass")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use schema::Device;
use schema::frame::{self, ClientFrame, Connect, Encoder, Liveness, PREFIX};

struct Server {
    child: Child,
    http: SocketAddr,
    binary: SocketAddr,
    data: PathBuf,
    program: PathBuf,
}

impl Server {
    fn start(io: &str) -> Self {
        let program = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("muster");
        assert!(program.exists(), "{} is missing: run `cargo build --release` first", program.display());
        let data = std::env::temp_dir().join(format!("muster-idle-{}", std::process::id()));
        let mut child = Command::new(&program)
            .args([
                "serve",
                "--io",
                io,
                "--http",
                "127.0.0.1:0",
                "--binary",
                "127.0.0.1:0",
                "--admin",
                "127.0.0.1:0",
            ])
            .arg("--data")
            .arg(&data)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let ready = lines.find_map(|line| line.ok().filter(|line| line.contains("Muster is ready"))).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        let address = |key: &str| ready[key].as_str().unwrap().parse().unwrap();
        println!("server: {} driver, {} shards", ready["driver"], ready["shards"]);
        Self { http: address("http"), binary: address("binary"), child, data, program }
    }

    fn pss(&self) -> u64 {
        let path = format!("/proc/{}/smaps_rollup", self.child.id());
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1_024
    }

    fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count()
    }

    fn online(&self) -> u64 {
        let mut socket = TcpStream::connect(self.http).unwrap();
        let request = "GET /api/v1/presence/online-count HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let body: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
        body["count"].as_u64().unwrap_or_else(|| panic!("{text}"))
    }

    fn secret(&self) -> String {
        std::fs::read_to_string(self.data.join("secret")).unwrap().trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.data);
    }
}

/// A token of HS256 that ends in a day.
fn token(secret: &str, user: &str, now: u64) -> String {
    use base64::Engine;
    use hmac::{KeyInit, Mac};
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let header = encode(br#"{"alg":"HS256","typ":"JWT"}"#);
    let body = encode(format!(r#"{{"sub":"{user}","exp":{}}}"#, now + 86_400).as_bytes());
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{header}.{body}").as_bytes());
    format!("{header}.{body}.{}", encode(&mac.finalize().into_bytes()))
}

fn websocket(server: &Server, token: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.http).unwrap();
    let request = format!(
        "GET /api/v1/presence/ws?token={token} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).unwrap();
    let mut seen = Vec::new();
    let mut chunk = [0; 1_024];
    while !seen.ends_with(b"}}") {
        let read = socket.read(&mut chunk).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&chunk[..read]);
    }
    socket
}

fn binary(server: &Server, token: &str) -> TcpStream {
    let mut socket = TcpStream::connect(server.binary).unwrap();
    let connect = Connect {
        version: 1,
        token: token.to_owned(),
        device: Device::default(),
        liveness: Liveness::Heartbeat,
        heartbeat_ms: 0,
    };
    let mut out = Vec::new();
    Encoder::new().client(&ClientFrame::Connect(connect), &mut out);
    socket.write_all(&out).unwrap();
    let mut prefix = [0; PREFIX];
    socket.read_exact(&mut prefix).unwrap();
    let mut welcome = vec![0; u32::from_le_bytes(prefix) as usize];
    socket.read_exact(&mut welcome).unwrap();
    let welcome = frame::decode_server(&welcome).unwrap();
    assert!(matches!(welcome, frame::ServerFrame::Welcome(_)), "{welcome:?}");
    socket
}

fn wait_for(what: &str, patience: Duration, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + patience;
    while !done() {
        assert!(Instant::now() < end, "{what} has not come");
        // The count is limited to 30 calls a minute.
        std::thread::sleep(Duration::from_millis(2_100));
    }
}

fn measure(edge: &str, io: &str, crowds: u32, sessions: u64, connect: fn(&Server, &str) -> TcpStream) {
    let server = Server::start(io);
    assert!(Path::new(&server.program).exists());
    let secret = server.secret();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    // The first sessions make pools and pages that do not grow with the number of sessions.
    drop(
        (0..8)
            .map(|one| connect(&server, &token(&secret, &format!("warm-up-{one}"), now)))
            .collect::<Vec<_>>(),
    );
    wait_for("an empty server", Duration::from_secs(30), || server.online() == 0);
    let (start, files_before) = (server.pss(), server.open_files());
    // Several times, since the store's write buffers fill and are written out: what grows with each crowd is a leak.
    for round in 1..=crowds {
        let before = server.pss();
        let begun = Instant::now();
        let held: Vec<TcpStream> = (0..sessions)
            .map(|one| {
                let user = format!("0190a0b4-7c1e-7cc0-98f2-{:012x}", one * 0x1_0001);
                connect(&server, &token(&secret, &user, now))
            })
            .collect();
        let rate = sessions as f64 / begun.elapsed().as_secs_f64();
        wait_for("everybody", Duration::from_secs(30), || server.online() == sessions);
        // Writes of last seen and the journal have gone out by then.
        std::thread::sleep(Duration::from_secs(7));
        let (with, files_with) = (server.pss(), server.open_files());
        drop(held);
        wait_for("an empty server", Duration::from_secs(60), || server.online() == 0);
        std::thread::sleep(Duration::from_secs(7));
        let (after, files_after) = (server.pss(), server.open_files());
        println!(
            "{edge:9} crowd {round}: {sessions} sessions, {:.0} bytes each (from the start {:.0}); Pss {start}: {before} -> {with} -> {after}; \
             open files {files_before} -> {files_with} -> {files_after}; {rate:.0} connections/s one after another",
            (with as f64 - before as f64) / sessions as f64,
            (with as f64 - start as f64) / sessions as f64,
        );
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let after =
        |flag: &str| arguments.iter().position(|one| one == flag).and_then(|at| arguments.get(at + 1));
    let sessions = after("--sessions").map_or(15_000, |text| text.parse().unwrap());
    let io = after("--io").map_or("ring", String::as_str);
    let crowds = after("--crowds").map_or(4, |text| text.parse().unwrap());
    measure("binary", io, crowds, sessions, binary);
    measure("websocket", io, crowds, sessions, websocket);
}
