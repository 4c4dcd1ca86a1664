//! A Socket.IO client of the tests, on a WebSocket: what is said goes out as it is, what comes is kept in its order.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::client::ClientRequestBuilder;
use tungstenite::{Error, Message, WebSocket};

use super::{PATIENCE, Site};

/// What was told: an event's name and its first argument.
pub(crate) type Told = (String, Value);

/// One client on the namespace `/`.
pub(crate) struct Io {
    socket: WebSocket<TcpStream>,
    told: VecDeque<Told>,
    acked: BTreeMap<u64, Value>,
    asked: u64,
    /// The server's answer to CONNECT: the client's id, or why not.
    joined: Option<Result<Value, Value>>,
    /// The server has made it leave the namespace.
    pub(crate) kicked: bool,
    /// The connection is over.
    pub(crate) over: bool,
}

impl Io {
    /// A connection whose handshake is done. `query`: `&name=value` pairs.
    #[track_caller]
    pub(crate) fn dial(site: &Site, query: &str, headers: &[(&str, &str)]) -> Self {
        let stream = TcpStream::connect(site.addresses.http).unwrap();
        stream.set_nodelay(true).unwrap();
        let version = if query.contains("EIO=") { "" } else { "&EIO=4" };
        let uri = format!("ws://{}/socket.io/?transport=websocket{version}{query}", site.addresses.http);
        let mut request = ClientRequestBuilder::new(uri.parse().unwrap());
        for (name, value) in headers {
            request = request.with_header(*name, *value);
        }
        let (socket, _) = tungstenite::client(request, stream).unwrap_or_else(|error| panic!("{error}"));
        Self {
            socket,
            told: VecDeque::new(),
            acked: BTreeMap::new(),
            asked: 0,
            joined: None,
            kicked: false,
            over: false,
        }
    }

    /// Wants to join with these credentials. The answer is the client's id, or what it was refused with.
    #[track_caller]
    pub(crate) fn join(&mut self, auth: &Value) -> Result<Value, Value> {
        let auth = if auth.is_null() { String::new() } else { auth.to_string() };
        self.packet(&format!("40{auth}"));
        self.answered()
    }

    /// The server's answer to CONNECT.
    #[track_caller]
    pub(crate) fn answered(&mut self) -> Result<Value, Value> {
        self.until("an answer to CONNECT", |io| io.joined.take())
    }

    /// A user, who knows which partners are online.
    #[track_caller]
    pub(crate) fn online(site: &Site, user: &str) -> (Self, Value) {
        let mut io = Self::dial(site, "", &[]);
        io.join(&json!({"token": site.token(user)})).unwrap();
        let partners = io.event("users:online");
        (io, partners)
    }

    /// A user.
    #[track_caller]
    pub(crate) fn user(site: &Site, user: &str) -> Self {
        Self::online(site, user).0
    }

    /// Says a packet of Socket.IO, with the type of Engine.IO before it.
    pub(crate) fn packet(&mut self, packet: &str) {
        self.socket.send(Message::text(packet)).unwrap();
    }

    /// Says a packet of bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.socket.send(Message::binary(bytes.to_vec())).unwrap();
    }

    /// Emits an event.
    pub(crate) fn emit(&mut self, name: &str, argument: &Value) {
        self.packet(&format!("42{}", json!([name, argument])));
    }

    /// Emits an event with whatever arguments, and gives the ack.
    #[track_caller]
    pub(crate) fn ask_raw(&mut self, name: &str, arguments: &str) -> Value {
        let id = self.asked;
        self.asked += 1;
        let comma = if arguments.is_empty() { "" } else { "," };
        self.packet(&format!("42{id}[{}{comma}{arguments}]", json!(name)));
        self.until(&format!("an ack of {name} {arguments:.100}"), |io| io.acked.remove(&id))
    }

    /// Emits an event, and gives the ack.
    #[track_caller]
    pub(crate) fn ask(&mut self, name: &str, argument: &Value) -> Value {
        self.ask_raw(name, &argument.to_string())
    }

    /// Emits an event that does what it should, and gives the ack.
    #[track_caller]
    pub(crate) fn does(&mut self, name: &str, argument: &Value) -> Value {
        let ack = self.ask(name, argument);
        assert_eq!(ack["success"], true, "{name} {argument}: {ack}");
        ack
    }

    /// Emits an event that is refused with this status and these words.
    #[track_caller]
    pub(crate) fn refused(&mut self, name: &str, argument: &Value, status: u16, words: &str) {
        let ack = self.ask(name, argument);
        let expected =
            json!({"success": false, "error": ack["error"], "message": words, "statusCode": status});
        assert_eq!(ack, expected, "{name} {argument}");
    }

    /// The ack with this id, if it has come.
    pub(crate) fn ack(&mut self, id: u64) -> Option<Value> {
        self.acked.remove(&id)
    }

    /// The next event of this name; others before it stay for later.
    #[track_caller]
    pub(crate) fn event(&mut self, name: &str) -> Value {
        self.until(name, |io| {
            let at = io.told.iter().position(|(told, _)| told == name)?;
            io.told.remove(at).map(|(_, argument)| argument)
        })
    }

    /// Everything told up to the message with this content, without that message and without presence.
    #[track_caller]
    pub(crate) fn before(&mut self, content: &str) -> Vec<Told> {
        let mut told = Vec::new();
        loop {
            let next = self.until(content, |io| io.told.pop_front());
            match next.0.as_str() {
                "message:new" if next.1["content"] == content => return told,
                "user:online" | "user:offline" | "users:online" => {}
                _ => told.push(next),
            }
        }
    }

    /// All that has been told by now.
    pub(crate) fn told(&mut self) -> Vec<Told> {
        self.told.drain(..).collect()
    }

    /// Reads for a while; what comes is told later.
    pub(crate) fn listen(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until && !self.over {
            self.read_until(until);
        }
    }

    /// Waits for the end of the connection.
    #[track_caller]
    pub(crate) fn ends(&mut self) {
        self.until("the end", |io| io.over.then_some(()));
    }

    /// Closes in order.
    pub(crate) fn leave(mut self) {
        self.socket.close(None).unwrap();
        while self.socket.read().is_ok() {}
    }

    /// Closes by a reset.
    pub(crate) fn reset(self) {
        super::reset(self.socket.get_ref().try_clone().unwrap());
    }

    /// Reads until there is what is looked for.
    #[track_caller]
    pub(crate) fn until<T>(&mut self, what: &str, mut found: impl FnMut(&mut Self) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            assert!(!self.over, "the connection ended before {what}; told were {:?}", self.told);
            assert!(Instant::now() < until, "not in time: {what}; told were {:?}", self.told);
            self.read_until(until);
        }
    }

    fn read_until(&mut self, until: Instant) {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        self.socket.get_ref().set_read_timeout(Some(left)).unwrap();
        match self.socket.read() {
            Ok(Message::Text(text)) => self.hear(&text),
            Ok(Message::Close(_)) => self.over = true,
            Ok(_) => {}
            Err(Error::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => self.over = true,
        }
    }

    fn hear(&mut self, text: &str) {
        let (kind, rest) = text.split_at(text.len().min(2));
        let (id, body) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        match kind {
            "2" => self.packet("3"),
            "40" => self.joined = Some(Ok(body["sid"].clone())),
            "44" => self.joined = Some(Err(body)),
            "41" => self.kicked = true,
            "42" => self.told.push_back((body[0].as_str().unwrap().to_owned(), body[1].clone())),
            "43" => _ = self.acked.insert(id.parse().unwrap(), body[0].clone()),
            _ => assert!(text.starts_with('0'), "{text}"),
        }
    }
}
