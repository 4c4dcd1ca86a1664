//! One GET over a plain connection: all the HTTP that reading metrics needs.
//!
//! What is absent: TLS, redirects, keep-alive. Each request has a connection of its own and a bound on time and size.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use engine::io::Clock;

/// Longest answer.
const LONGEST: usize = 16 << 20;

/// An answer: its status and its body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Asks, and waits for the whole answer for at most `patience`.
pub(super) fn get(
    address: SocketAddr,
    path: &str,
    token: Option<&str>,
    patience: Duration,
) -> io::Result<Answer> {
    let clock = Clock::start();
    let left = || {
        let left = patience.saturating_sub(clock.elapsed());
        if left.is_zero() { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(left) }
    };
    let mut socket = TcpStream::connect_timeout(&address, left()?)?;
    socket.set_write_timeout(Some(left()?))?;
    let bearer = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: text/plain\r\n{bearer}Connection: close\r\n\r\n"
    );
    socket.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 << 10];
    loop {
        socket.set_read_timeout(Some(left()?))?;
        let read = match socket.read(&mut chunk) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        };
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&chunk[..read]);
        if bytes.len() > LONGEST {
            return Err(bad("the answer is longer than 16 MiB"));
        }
    }
    parse(&bytes)
}

fn bad(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn parse(bytes: &[u8]) -> io::Result<Answer> {
    let end =
        bytes.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(|| bad("the answer has no end"))?;
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| bad("the head is no text"))?;
    let body = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let status =
        lines.next().and_then(|line| line.strip_prefix("HTTP/1.")).ok_or_else(|| bad("this is not HTTP"))?;
    let status =
        status.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(|| bad("no status"))?;
    let fields: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let field = |name: &str| {
        let mut found = fields.iter().filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.trim())
    };
    let body = if field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        dechunk(body)?
    } else if let Some(length) = field("content-length") {
        let length: usize = length.parse().map_err(|_| bad("the length is no number"))?;
        body.get(..length).ok_or_else(|| bad("the answer was cut off"))?.to_vec()
    } else {
        body.to_vec()
    };
    Ok(Answer { status, body })
}

fn dechunk(mut rest: &[u8]) -> io::Result<Vec<u8>> {
    let cut_off = || bad("the chunks were cut off");
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n").ok_or_else(cut_off)?;
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| bad("a chunk has no length"))?;
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).map_err(|_| bad("a chunk has no length"))?;
        if size == 0 {
            return Ok(body);
        }
        rest = &rest[end + 2..];
        body.extend_from_slice(rest.get(..size).ok_or_else(cut_off)?);
        rest = rest[size..].strip_prefix(b"\r\n").ok_or_else(cut_off)?;
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn reads_bodies_of_each_kind() {
        let cases = [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab more", Some((200, "ab"))),
            ("HTTP/1.0 404 No\r\n\r\nuntil the end", Some((404, "until the end"))),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n",
                Some((200, "abc0123456789")),
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", None),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab", None),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nab", None),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nab", None),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nab", None),
            ("HTTP/1.1 200 OK\r\n", None),
            ("SSH-2.0\r\n\r\n", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let answer = parse(text.as_bytes()).ok();
            let answer = answer.map(|answer| (answer.status, String::from_utf8(answer.body).unwrap()));
            assert_eq!(answer, expected.map(|(status, body)| (status, body.to_owned())), "{text}");
        }
    }

    #[test]
    fn gives_up_on_a_server_that_says_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let error = get(listener.local_addr().unwrap(), "/", None, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn sends_the_token() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut seen = Vec::new();
            while !seen.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                socket.read_exact(&mut byte).unwrap();
                seen.push(byte[0]);
            }
            socket.write_all(b"HTTP/1.1 200 OK\r\n\r\nx 1\n").unwrap();
            String::from_utf8(seen).unwrap()
        });
        let answer = get(address, "/metrics", Some("secret"), Duration::from_secs(10)).unwrap();
        assert_eq!(answer, Answer { status: 200, body: b"x 1\n".to_vec() });
        let request = server.join().unwrap();
        assert!(request.starts_with("GET /metrics HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("\r\nAuthorization: Bearer secret\r\n"), "{request}");
    }
}
