//! A client of the namespace, of either version.

use std::collections::VecDeque;
use std::net::TcpStream;

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use crate::support::{Answer, Node, PATIENCE, Site};

pub(crate) const PATH: &str = "/v1/conversations/sockets";
pub(crate) const NAMESPACE: &str = "/v1/conversations/events";
pub(crate) const ROOM: &str = "42.7";
pub(crate) const BUYER: &str = "42";
pub(crate) const SELLER: &str = "7";

/// One connection, of Engine.IO 3 or 4.
pub(crate) struct Member {
    socket: WebSocket<TcpStream>,
    version: u8,
    /// Events that came while something else was waited for.
    kept: VecDeque<(String, Value)>,
    acks: u64,
}

/// What a client says of itself.
pub(crate) fn query(token: &str, user: &str, role: &str) -> String {
    format!("token={token}&user_id={user}&user_role={role}")
}

impl Member {
    /// A connection that has joined nothing; `query`: what stands in its URL.
    pub(crate) fn dial(site: &Site, version: u8, query: &str) -> Self {
        let stream = TcpStream::connect(site.addresses.http).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let address = site.addresses.http;
        let url = format!("ws://{address}{PATH}/?{query}&EIO={version}&transport=websocket");
        let (socket, _) = tungstenite::client(url, stream).unwrap();
        let mut member = Self { socket, version, kept: VecDeque::new(), acks: 0 };
        assert!(member.frame().starts_with("0{"));
        if version == 3 {
            assert_eq!(member.frame(), "40", "the server speaks first");
        }
        member
    }

    /// Asks to join the namespace as old clients do, in its name, or as new ones do, in the payload.
    pub(crate) fn ask_to_join(&mut self, token: &str, user: &str, role: &str) {
        let connect = match self.version {
            3 => format!("40{NAMESPACE}?{},", query(token, user, role)),
            _ => {
                let auth = json!({"token": token, "user_id": user, "user_role": role});
                format!("40{NAMESPACE},{auth}")
            }
        };
        self.say(&connect);
    }

    /// A client that has joined, with its `active_user_list`.
    #[track_caller]
    pub(crate) fn joined_with(
        site: &Site,
        version: u8,
        token: &str,
        user: &str,
        role: &str,
    ) -> (Self, Value) {
        let mut member = Self::dial(site, version, &query(token, user, role));
        member.ask_to_join(token, user, role);
        let answer = member.frame();
        match version {
            3 => assert_eq!(answer, format!("40{NAMESPACE},")),
            _ => assert!(answer.starts_with(&format!("40{NAMESPACE},{{\"sid\":\"")), "{answer}"),
        }
        let list = member.event("active_user_list");
        assert_eq!((&list["user_id"], &list["user_role"]), (&json!(user), &json!(role)));
        (member, list["rooms"].clone())
    }

    #[track_caller]
    pub(crate) fn joined(node: &Node, version: u8, user: &str, role: &str) -> Self {
        Self::joined_with(node, version, &node.token(user), user, role).0
    }

    /// Writes a packet.
    pub(crate) fn say(&mut self, packet: &str) {
        self.socket.send(Message::text(packet)).unwrap();
    }

    /// The next packet that is no heartbeat.
    #[track_caller]
    pub(crate) fn frame(&mut self) -> String {
        loop {
            match self.socket.read().unwrap() {
                Message::Text(text) if &*text == "2" => self.say("3"),
                Message::Text(text) if &*text == "3" => {}
                Message::Text(text) => return text.to_string(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Emits an event.
    pub(crate) fn emit(&mut self, name: &str, body: &Value) {
        self.say(&format!("42{NAMESPACE},{}", json!([name, body])));
    }

    /// Emits an event that asks for an ack, and gives that.
    #[track_caller]
    pub(crate) fn ask(&mut self, name: &str, body: &Value) -> Value {
        self.acks += 1;
        let id = self.acks;
        self.say(&format!("42{NAMESPACE},{id}{}", json!([name, body])));
        let head = format!("43{NAMESPACE},{id}");
        loop {
            let frame = self.frame();
            if let Some(arguments) = frame.strip_prefix(&head) {
                let arguments: Value = serde_json::from_str(arguments).unwrap();
                assert_eq!(arguments.as_array().unwrap().len(), 1);
                return arguments[0].clone();
            }
            self.keep(&frame);
        }
    }

    #[track_caller]
    fn keep(&mut self, frame: &str) {
        let event = frame.strip_prefix(&format!("42{NAMESPACE},")).unwrap_or_else(|| panic!("{frame}"));
        let event: Value = serde_json::from_str(event).unwrap();
        assert_eq!(event.as_array().unwrap().len(), 2, "{event}");
        self.kept.push_back((event[0].as_str().unwrap().to_owned(), event[1].clone()));
    }

    /// The next event, whatever it is.
    #[track_caller]
    pub(crate) fn next(&mut self) -> (String, Value) {
        if self.kept.is_empty() {
            let frame = self.frame();
            self.keep(&frame);
        }
        self.kept.pop_front().unwrap()
    }

    /// The next event, which must have this name.
    #[track_caller]
    pub(crate) fn event(&mut self, name: &str) -> Value {
        let (came, body) = self.next();
        assert_eq!(came, name, "{body}");
        body
    }

    /// The next event, which must be this one.
    #[track_caller]
    pub(crate) fn hears(&mut self, name: &str, body: &Value) {
        let came = self.next();
        assert_eq!(came, (name.to_owned(), body.clone()));
    }

    /// Nothing has come, as far as one can know: what the server had to say before an ack came before it.
    #[track_caller]
    pub(crate) fn has_heard_nothing(&mut self) {
        self.ask("nothing", &json!({}));
        assert!(self.kept.is_empty(), "{:?}", self.kept);
    }

    /// Says something in the room, and waits for its own copy.
    #[track_caller]
    pub(crate) fn speaks(&mut self, from: &str, to: &str, content: &str) -> Value {
        let body = json!({"room_id": ROOM, "from": from, "to": to, "type": "TEXT", "content": content});
        self.emit("new_message", &body);
        let said = self.event("new_message");
        assert_eq!(said["content"], content);
        said
    }

    /// The packet by which the server ends the namespace.
    #[track_caller]
    pub(crate) fn is_sent_away(&mut self) {
        assert_eq!(self.frame(), format!("41{NAMESPACE},"));
    }

    /// The connection ends without a word.
    pub(crate) fn loses_its_server(mut self) {
        while self.socket.read().is_ok() {}
    }

    /// Closes the connection.
    pub(crate) fn leave(mut self) {
        self.socket.close(None).unwrap();
        while self.socket.read().is_ok() {}
    }
}

/// A REST call of the API.
#[track_caller]
pub(crate) fn rest(node: &Node, user: &str, method: &str, path: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer {}", node.token(user));
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = node.call(method, &format!("/v1/conversations{path}"), &headers, &body);
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.body);
    answer
}

/// Makes the room of the buyer and the seller, before anybody listens.
pub(crate) fn make_room(node: &Node) {
    rest(
        node,
        BUYER,
        "POST",
        "/rooms",
        &json!({"type": "BS", "buyer": BUYER, "seller": SELLER, "shop_id": 3}),
    );
}
