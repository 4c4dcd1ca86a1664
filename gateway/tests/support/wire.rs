//! The binary protocol over a plain socket: right frames, wrong ones, and what comes back.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use schema::Command;
use schema::frame::{
    ClientFrame, Closing, Connect, Encoder, Liveness, PREFIX, Refused, ServerFrame, Welcome, decode_server,
    split,
};
use schema::{Device, Reply};
use serde_json::Value;
use sha2::Sha256;

use super::{PATIENCE, Site};

/// Longest frame of a server that a test takes.
const LONGEST: usize = 1 << 20;

/// One connection.
pub(crate) struct Binary {
    pub(crate) stream: TcpStream,
    bytes: Vec<u8>,
    events: VecDeque<ServerFrame>,
    tag: u64,
}

/// The bytes of a frame.
pub(crate) fn encoded(frame: &ClientFrame) -> Vec<u8> {
    let mut out = Vec::new();
    Encoder::new().client(frame, &mut out);
    out
}

/// A Connect frame with a token.
pub(crate) fn connect_frame(token: &str) -> Connect {
    let (device, liveness) = (Device::default(), Liveness::Heartbeat);
    Connect { version: 1, token: token.to_owned(), device, liveness, heartbeat_ms: 0 }
}

/// A token made by hand, signed with HMAC-SHA256 whatever its header says.
pub(crate) fn signed(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", part(header), part(claims));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length will do");
    mac.update(input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// The frames of `schema/vectors`: name, what a server does with it, and its bytes.
pub(crate) fn vectors() -> Vec<(String, String, Vec<u8>)> {
    let text = include_str!("../../../schema/vectors/index.json");
    let index: Value = serde_json::from_str(text).unwrap();
    let of_clients = index.as_array().unwrap().iter().filter(|vector| vector["from"] == "client");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let hex = |hex: String| {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    of_clients
        .map(|vector| (text(&vector["name"]), text(&vector["outcome"]), hex(text(&vector["hex"]))))
        .collect()
}

impl Binary {
    /// A connection that has said nothing yet.
    pub(crate) fn dial(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, bytes: Vec::new(), events: VecDeque::new(), tag: 1_000 }
    }

    /// A session with a token.
    #[track_caller]
    pub(crate) fn connect(site: &Site, token: &str) -> Self {
        Self::welcome(site, connect_frame(token)).0
    }

    /// A session, and how it was welcomed.
    #[track_caller]
    pub(crate) fn welcome(site: &Site, connect: Connect) -> (Self, Welcome) {
        let mut binary = Self::dial(site.binary());
        binary.say(&ClientFrame::Connect(connect));
        match binary.read() {
            Some(ServerFrame::Welcome(welcome)) => (binary, welcome),
            other => panic!("no welcome but {other:?}"),
        }
    }

    /// Writes a frame.
    pub(crate) fn say(&mut self, frame: &ClientFrame) {
        self.write(&encoded(frame)).unwrap();
    }

    /// Writes bytes, whatever they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that nothing more will be said.
    pub(crate) fn shut(&mut self) {
        // The server may have gone already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next frame; `None` at the end of the stream.
    #[track_caller]
    pub(crate) fn read(&mut self) -> Option<ServerFrame> {
        loop {
            if let Some(frame) = split(&self.bytes, LONGEST).expect("a length") {
                let length = frame.len();
                let frame = decode_server(frame).expect("a server's frame");
                self.bytes.drain(..PREFIX + length);
                return Some(frame);
            }
            let mut chunk = [0; 16 * 1024];
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    assert!(self.bytes.is_empty(), "the stream ends within a frame");
                    return None;
                }
                Ok(read) => self.bytes.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("neither a frame nor an end: {error}"),
            }
        }
    }

    /// Says a command and waits for its answer. What else comes is kept for [`Binary::event`].
    #[track_caller]
    pub(crate) fn call(&mut self, command: Command) -> Result<Reply, Refused> {
        self.tag += 1;
        let tag = self.tag;
        self.say(&ClientFrame::Command { tag, command });
        loop {
            match self.read() {
                Some(ServerFrame::Reply { tag: of, reply }) if of == tag => return Ok(reply),
                Some(ServerFrame::Refused(refused)) if refused.tag == tag => return Err(refused),
                Some(other) => self.events.push_back(other),
                None => panic!("the connection ended before the answer to {}", tag),
            }
        }
    }

    /// What the server says of its own accord.
    #[track_caller]
    pub(crate) fn event(&mut self) -> ServerFrame {
        self.events.pop_front().or_else(|| self.read()).expect("an event and not the end")
    }

    /// A heartbeat is answered, and nothing came before its answer.
    #[track_caller]
    pub(crate) fn alive(&mut self) {
        self.tag += 1;
        let tag = self.tag;
        self.say(&ClientFrame::Heartbeat { tag, answer: true, activity: false });
        match self.read() {
            Some(ServerFrame::HeartbeatAck { tag: of, .. }) => assert_eq!(of, tag),
            other => panic!("no acknowledgement but {other:?}"),
        }
    }

    /// Reads to the end, and gives the last frame if it says why.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Option<Closing> {
        let mut last = None;
        while let Some(frame) = self.read() {
            last = Some(frame);
        }
        match last {
            Some(ServerFrame::Closing(closing)) => Some(closing),
            _ => None,
        }
    }
}
