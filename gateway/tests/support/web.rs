//! WebSockets and HTTP over a plain socket, for what a library would not send.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use serde_json::Value;

use super::{PATIENCE, Site};

/// The presence API's WebSocket.
pub(crate) const PATH: &str = "/api/v1/presence/ws";

/// One connection of the HTTP listener.
pub(crate) struct Web {
    pub(crate) stream: TcpStream,
    bytes: Vec<u8>,
}

/// The request of a handshake.
pub(crate) fn handshake(token: &str) -> String {
    format!(
        "GET {PATH}?token={token} HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

impl Web {
    /// A connection that has said nothing yet.
    pub(crate) fn dial(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, bytes: Vec::new() }
    }

    /// An open WebSocket, its first frame still to be read.
    #[track_caller]
    pub(crate) fn upgraded(site: &Site, token: &str) -> Self {
        let mut web = Self::dial(site.addresses.http);
        web.write(handshake(token).as_bytes()).unwrap();
        let head = web.head().expect("an answer to the handshake");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        web
    }

    /// An open WebSocket of a user, with its first frame read.
    #[track_caller]
    pub(crate) fn online(site: &Site, token: &str) -> Self {
        let mut web = Self::upgraded(site, token);
        assert_eq!(web.json()["type"], "connected");
        web
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

    /// Reads more; false at the end.
    #[track_caller]
    fn more(&mut self) -> bool {
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(read) => {
                    self.bytes.extend_from_slice(&chunk[..read]);
                    return read > 0;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
                Err(error) => panic!("neither bytes nor an end: {error}"),
            }
        }
    }

    /// The head of an HTTP answer; `None` when the stream ends without one.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                let head: Vec<u8> = self.bytes.drain(..end + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            if !self.more() {
                assert!(self.bytes.is_empty(), "the stream ends within a head");
                return None;
            }
        }
    }

    /// The status of an HTTP answer, and whether the stream then ended; `None` when it ended without an answer.
    #[track_caller]
    pub(crate) fn status(&mut self) -> Option<u16> {
        let head = self.head()?;
        Some(head.split(' ').nth(1).unwrap().parse().unwrap())
    }

    /// Reads to the end of the stream.
    #[track_caller]
    pub(crate) fn ends(&mut self) {
        while self.more() {}
    }

    /// The next frame, opcode and payload; `None` at the end of the stream.
    #[track_caller]
    pub(crate) fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            if let Some((opcode, head, length)) = self.announced()
                && self.bytes.len() >= head + length
            {
                let payload = self.bytes[head..head + length].to_vec();
                self.bytes.drain(..head + length);
                return Some((opcode, payload));
            }
            if !self.more() {
                assert!(self.bytes.is_empty(), "the stream ends within a frame");
                return None;
            }
        }
    }

    /// Opcode, length of the head, and length of the payload.
    fn announced(&self) -> Option<(u8, usize, usize)> {
        let (first, second) = (*self.bytes.first()?, *self.bytes.get(1)?);
        assert_eq!(first & 0xf0, 0x80, "a server's frames are whole and use no extension");
        let (head, length) = match second {
            126 => (4, usize::from(u16::from_be_bytes(self.bytes.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(self.bytes.get(2..10)?.try_into().ok()?) as usize),
            length => (2, usize::from(length)),
        };
        Some((first & 0x0f, head, length))
    }

    /// The next text frame, as JSON.
    #[track_caller]
    pub(crate) fn json(&mut self) -> Value {
        match self.frame() {
            Some((1, text)) => serde_json::from_slice(&text).unwrap(),
            other => panic!("no text but {other:?}"),
        }
    }

    /// Reads to the end: the codes of the errors told, and the code of the close frame, if there is one.
    #[track_caller]
    pub(crate) fn end(&mut self) -> (Vec<String>, Option<u16>) {
        let (mut errors, mut code) = (Vec::new(), None);
        while let Some((opcode, payload)) = self.frame() {
            match opcode {
                1 => {
                    let frame: Value = serde_json::from_slice(&payload).unwrap();
                    errors.extend(frame["data"]["code"].as_str().map(str::to_owned));
                }
                8 => {
                    code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    // The close is echoed, as a client should; the server then ends the stream.
                    let _ = self.write(&[0x88, 0x80, 0, 0, 0, 0]);
                }
                _ => {}
            }
        }
        (errors, code)
    }
}
