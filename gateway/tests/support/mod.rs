//! A whole node on loopback ports of its own, and plain sockets to speak to it.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gateway::auth::mint::{Order, mint};
use gateway::auth::{KeyRing, MissingSecret, Verifier};
use gateway::clock::Clock;
use gateway::config::Config;
use gateway::serve::{Addresses, Listeners, Server};
use serde_json::Value;
use tokio::runtime::Runtime;
use tungstenite::{Message, WebSocket};

/// The tests' secret.
pub const SECRET: &str = "a secret of the tests, of 32 bytes or more";

/// A running node. Dropping it drains it.
pub struct Node {
    pub addresses: Addresses,
    /// Stands still at the time of the start until it is moved. The shards have a clock of their own.
    pub clock: Clock,
    config: Config,
    server: Option<Server>,
    runtime: Option<Runtime>,
}

impl Node {
    /// Starts a node with these lines of configuration on top of what a test needs. Sections that stand here already
    /// (http, admin, binary, store, auth, engine) are given by their keys: `http.origins = […]`.
    pub fn start(extra: &str) -> Self {
        let io = std::env::var("MUSTER_TEST_IO").unwrap_or_else(|_| "epoll".into());
        let mut sections = vec![
            ("http", vec!["address = \"127.0.0.1:0\"".to_owned()]),
            ("admin", vec!["address = \"127.0.0.1:0\"".to_owned()]),
            ("binary", vec!["address = \"127.0.0.1:0\"".to_owned()]),
            ("store", vec!["kind = \"memory\"".to_owned()]),
            ("auth", vec![format!("secret = \"{SECRET}\"")]),
            ("engine", vec![format!("io = \"{io}\""), "shards = 2".into(), "pin = false".into()]),
            ("presence", vec![]),
            ("presence_api", vec![]),
            ("limits", vec![]),
        ];
        for line in extra.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (section, key) = line.split_once('.').expect("section.key = value");
            let lines = sections.iter_mut().find(|(name, _)| *name == section).expect("a known section");
            lines.1.push(key.to_owned());
        }
        let text: String =
            sections.iter().map(|(name, lines)| format!("[{name}]\n{}\n", lines.join("\n"))).collect();
        let config = Config::from_toml("test.toml", &text).unwrap_or_else(|error| panic!("{error}"));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listeners = Listeners::bind(&config).unwrap();
        let addresses = listeners.addresses().unwrap();
        let clock = Clock::fixed(Clock::system().unix_ms());
        let server = Server::start(&config, listeners, clock.clone(), &runtime).unwrap();
        Self { addresses, clock, config, server: Some(server), runtime: Some(runtime) }
    }

    fn order(&self, user: &str, service: bool) -> String {
        let ring = KeyRing::load(&self.config, MissingSecret::Leave).unwrap();
        let order = Order {
            user: user.into(),
            service,
            role: None,
            ttl: Duration::from_secs(3_600),
            claims: vec![],
            id: "test".into(),
        };
        mint(&self.config, &Verifier::new(&self.config, ring), &order, self.clock.unix_ms()).unwrap()
    }

    /// A user's token.
    pub fn token(&self, user: &str) -> String {
        self.order(user, false)
    }

    /// A service's token.
    pub fn service_token(&self) -> String {
        self.order("service", true)
    }

    /// A call of the public listener.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        call(self.addresses.http, method, path, headers, body)
    }

    /// A GET without anything.
    pub fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "")
    }

    /// A GET with a token.
    pub fn get_as(&self, token: &str, path: &str) -> Answer {
        self.call("GET", path, &[("Authorization", &format!("Bearer {token}"))], "")
    }

    /// A POST with a token.
    pub fn post_as(&self, token: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        self.call("POST", path, &[("Authorization", &bearer), ("Content-Type", "application/json")], body)
    }

    /// A presence WebSocket, with further headers for its handshake.
    pub fn connect(&self, query: &str, headers: &[(&str, &str)]) -> Socket {
        let stream = TcpStream::connect(self.addresses.http).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut request = tungstenite::client::ClientRequestBuilder::new(
            format!("ws://{}/api/v1/presence/ws{query}", self.addresses.http).parse().unwrap(),
        );
        for (name, value) in headers {
            request = request.with_header(*name, *value);
        }
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Socket(socket),
            Err(error) => panic!("{error}"),
        }
    }

    /// Comes online as a user and reads the first frame.
    pub fn online(&self, user: &str) -> Socket {
        let mut socket = self.connect(&format!("?token={}", self.token(user)), &[]);
        let first = socket.json();
        assert_eq!(first["type"], "connected", "{first}");
        assert_eq!(first["data"]["userId"], user);
        socket
    }

    /// Says the node is on its way out, and goes on answering.
    pub fn drain_front(&self) {
        self.server.as_ref().unwrap().front().drain();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let (Some(server), Some(runtime)) = (self.server.take(), self.runtime.take()) {
            server.drain(&runtime);
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// A WebSocket of a test.
pub struct Socket(pub WebSocket<TcpStream>);

impl Socket {
    /// The next text frame, as JSON.
    pub fn json(&mut self) -> Value {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The code of the close frame that comes next.
    pub fn closed(&mut self) -> u16 {
        loop {
            match self.0.read().unwrap() {
                Message::Close(frame) => return frame.expect("a code").code.into(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// A header that must be there.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        self.find(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
    }

    /// A header that may be there.
    pub fn find(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One request on a connection of its own.
pub fn call(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}{length}\r\n");
    raw(address, format!("{head}{body}").as_bytes())
}

/// Bytes on a connection of its own, and what comes back until its end.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut all = Vec::new();
    // A reset behind the answer is as good as an end.
    let _ = stream.read_to_end(&mut all);
    parse(&all)
}

fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect();
    Answer { status: status.expect("a status line"), headers, body: body.to_owned() }
}
