//! A whole node on loopback ports of its own, and plain sockets to speak to it.
//!
//! [`Node`] runs inside the test, [`process::Process`] is the program itself; a test speaks to both through [`Site`].

#![allow(dead_code, reason = "each test takes what it needs")]
#![allow(clippy::print_stderr, reason = "captured, and shown when a test fails")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]
#![allow(clippy::disallowed_methods, reason = "a test waits for real time to pass")]

pub(crate) mod forms;
pub(crate) mod process;
pub(crate) mod socketio;
pub(crate) mod web;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Deref;
use std::time::{Duration, Instant};

use client::blocking::{Client, Options};
use gateway::auth::mint::{Order, mint};
use gateway::auth::{KeyRing, MissingSecret, Verifier};
use gateway::clock::Clock;
use gateway::config::Config;
use gateway::serve::{Addresses, Listeners, Server};
use serde_json::Value;
use tokio::runtime::Runtime;
use tungstenite::{Message, WebSocket};

/// The tests' secret.
pub(crate) const SECRET: &str = "a secret of the tests, of 32 bytes or more";

/// Longest wait for anything that is to happen at once, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Makes each function a test on the ring and a test on epoll, `name::ring` and `name::epoll`.
#[allow(unused_macros, reason = "each test takes what it needs")]
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn ring() {
                super::$name("ring");
            }

            #[test]
            fn epoll() {
                super::$name("epoll");
            }
        }
    )+};
}
#[allow(unused_imports, reason = "each test takes what it needs")]
pub(crate) use on_both;

/// The configuration of a node on free ports of the loopback, with these lines on top of what a test needs, or in
/// place of it. Sections that stand here are given by their keys: `http.origins = […]`.
pub(crate) fn configuration(io: &str, extra: &str) -> Config {
    let text = configuration_text(io, extra);
    Config::from_toml("test.toml", &text).unwrap_or_else(|error| panic!("{error}"))
}

fn configuration_text(io: &str, extra: &str) -> String {
    let address = || vec!["address = \"127.0.0.1:0\"".to_owned()];
    let mut sections = vec![
        ("server", vec!["log = \"info\"".to_owned(), "log_format = \"json\"".into()]),
        ("http", address()),
        ("admin", address()),
        ("binary", address()),
        ("store", vec!["kind = \"memory\"".to_owned()]),
        ("auth", vec![format!("secret = \"{SECRET}\"")]),
        ("engine", vec![format!("io = \"{io}\""), "shards = 2".into(), "pin = false".into()]),
        ("presence", vec![]),
        ("presence_api", vec![]),
        ("messaging_api", vec![]),
        ("trade_api", vec![]),
        ("attachments", vec![]),
        ("media", vec![]),
        ("conversations", vec![]),
        ("limits", vec![]),
        ("scylla", vec![]),
    ];
    for line in extra.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (section, line) = line.split_once('.').expect("section.key = value");
        let lines = sections.iter_mut().find(|(name, _)| *name == section).expect("a known section");
        let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
        lines.1.retain(|old| key(old) != key(line));
        lines.1.push(line.to_owned());
    }
    sections.iter().map(|(name, lines)| format!("[{name}]\n{}\n", lines.join("\n"))).collect()
}

/// Asks until the answer is there, and fails with what was asked for when it does not come in time.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, &mut ask)
}

/// The same with a time of its own.
#[track_caller]
pub(crate) fn within<T>(time: Duration, what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + time;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < until, "not within {time:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Closes a socket by a reset.
pub(crate) fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Where a server is, and how to speak to it.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) addresses: Addresses,
    /// Stands still at the time of the start until it is moved. The shards have a clock of their own.
    pub(crate) clock: Clock,
    config: Config,
}

impl Site {
    fn order(&self, user: &str, service: bool) -> String {
        self.mint(Order {
            user: user.into(),
            service,
            role: None,
            ttl: Duration::from_secs(3_600),
            claims: vec![],
            id: "test".into(),
        })
    }

    fn mint(&self, order: Order) -> String {
        let ring = KeyRing::load(&self.config, MissingSecret::Leave).unwrap();
        mint(&self.config, &Verifier::new(&self.config, ring), &order, self.clock.unix_ms()).unwrap()
    }

    /// A user's token that lives so many seconds, with a role.
    pub(crate) fn short_token(&self, user: &str, seconds: u64, role: Option<&str>) -> String {
        self.mint(Order {
            user: user.into(),
            service: false,
            role: role.map(Into::into),
            ttl: Duration::from_secs(seconds),
            claims: vec![],
            id: "test".into(),
        })
    }

    /// A user's token.
    pub(crate) fn token(&self, user: &str) -> String {
        self.order(user, false)
    }

    /// A service's token.
    pub(crate) fn service_token(&self) -> String {
        self.order("service", true)
    }

    /// The address of the binary listener.
    pub(crate) fn binary(&self) -> SocketAddr {
        self.addresses.binary.expect("the tests leave the binary listener on")
    }

    /// The Rust client of the binary protocol.
    pub(crate) fn client(&self, token: String) -> Client {
        Client::connect(Options::new(self.binary().to_string(), token)).unwrap()
    }

    /// A service on the binary protocol.
    pub(crate) fn service(&self) -> Client {
        self.client(self.service_token())
    }

    /// A call of the public listener.
    pub(crate) fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        call(self.addresses.http, method, path, headers, body)
    }

    /// A GET without anything.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], "")
    }

    /// A GET with a token.
    pub(crate) fn get_as(&self, token: &str, path: &str) -> Answer {
        self.call("GET", path, &[("Authorization", &format!("Bearer {token}"))], "")
    }

    /// A POST with a token.
    pub(crate) fn post_as(&self, token: &str, path: &str, body: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        self.call("POST", path, &[("Authorization", &bearer), ("Content-Type", "application/json")], body)
    }

    /// A presence WebSocket, with further headers for its handshake.
    pub(crate) fn connect(&self, query: &str, headers: &[(&str, &str)]) -> Socket {
        let stream = TcpStream::connect(self.addresses.http).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
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
    pub(crate) fn online(&self, user: &str) -> Socket {
        let mut socket = self.connect(&format!("?token={}", self.token(user)), &[]);
        let first = socket.json();
        assert_eq!(first["type"], "connected", "{first}");
        assert_eq!(first["data"]["userId"], user);
        socket
    }

    /// A metric as `/metrics` prints it, labels included.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = call(self.addresses.admin, "GET", "/metrics", &[], "").body;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value: f64 = line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap();
        value as u64
    }

    /// Connections of the shards: WebSocket and binary.
    pub(crate) fn connections(&self) -> (u64, u64) {
        let of = |edge| self.metric(&format!("muster_connections{{edge=\"{edge}\"}}"));
        (of("presence"), of("binary"))
    }
}

/// A running node. Dropping it drains it.
pub(crate) struct Node {
    site: Site,
    server: Option<Server>,
    runtime: Option<Runtime>,
}

impl Deref for Node {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

impl Node {
    /// Starts a node on the ring, with these lines of configuration; see [`configuration`].
    pub(crate) fn start(extra: &str) -> Self {
        Self::start_on("ring", extra)
    }

    /// Starts a node on a socket driver.
    pub(crate) fn start_on(io: &str, extra: &str) -> Self {
        let config = configuration(io, extra);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listeners = Listeners::bind(&config).unwrap();
        let addresses = listeners.addresses().unwrap();
        let clock = Clock::fixed(Clock::system().unix_ms());
        let server = Server::start(&config, listeners, clock.clone(), &runtime).unwrap();
        assert_eq!(server.driver(), io);
        Self { site: Site { addresses, clock, config }, server: Some(server), runtime: Some(runtime) }
    }

    /// Says the node is on its way out, and goes on answering.
    pub(crate) fn drain_front(&self) {
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
pub(crate) struct Socket(pub(crate) WebSocket<TcpStream>);

impl Socket {
    /// The next text frame, as JSON.
    pub(crate) fn json(&mut self) -> Value {
        loop {
            match self.0.read().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Says a text frame.
    pub(crate) fn say(&mut self, text: impl Into<String>) {
        self.0.send(Message::text(text.into())).unwrap();
    }

    /// A ping of the API is answered by a pong, and nothing came before it.
    #[track_caller]
    pub(crate) fn alive(&mut self) {
        self.say(r#"{"type":"ping"}"#);
        assert_eq!(self.json(), serde_json::json!({"type": "pong"}));
    }

    /// Watches users, and says who of them is online. The answer and the states may come in any order.
    pub(crate) fn subscribe(&mut self, users: &[&str]) -> BTreeMap<String, bool> {
        self.say(serde_json::json!({"type": "subscribe", "userIds": users}).to_string());
        let (mut states, mut answered) = (BTreeMap::new(), false);
        while !answered || states.len() < users.len() {
            let frame = self.json();
            match frame["type"].as_str() {
                Some("subscribed") => answered = true,
                Some("presence") => states.extend(presence_rows(&frame)),
                _ => panic!("{frame}"),
            }
        }
        states
    }

    /// The next change of presence: who, and whether online.
    #[track_caller]
    pub(crate) fn presence(&mut self) -> Vec<(String, bool)> {
        let frame = self.json();
        assert_eq!(frame["type"], "presence", "{frame}");
        presence_rows(&frame)
    }

    /// Closes in order, and waits for the server's answer.
    pub(crate) fn leave(mut self) {
        self.0.close(None).unwrap();
        // Whatever was on its way, and then the end.
        while self.0.read().is_ok() {}
    }

    /// Closes by a reset.
    pub(crate) fn reset(self) {
        reset(self.0.get_ref().try_clone().unwrap());
        drop(self);
    }

    /// The code of the close frame that comes next.
    pub(crate) fn closed(&mut self) -> u16 {
        loop {
            match self.0.read().unwrap() {
                Message::Close(frame) => return frame.expect("a code").code.into(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Who, and whether online.
fn presence_rows(frame: &Value) -> Vec<(String, bool)> {
    let rows = frame["data"]["users"].as_array().expect("rows");
    rows.iter().map(|row| (row["userId"].as_str().unwrap().to_owned(), row["online"] == true)).collect()
}

/// An answer over HTTP.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// A header that must be there.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.find(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
    }

    /// A header that may be there.
    pub(crate) fn find(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// One request on a connection of its own.
pub(crate) fn call(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Answer {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head =
        format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{headers}{length}\r\n");
    raw(address, format!("{head}{body}").as_bytes())
}

/// Bytes on a connection of its own, and what comes back until its end.
pub(crate) fn raw(address: SocketAddr, bytes: &[u8]) -> Answer {
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
