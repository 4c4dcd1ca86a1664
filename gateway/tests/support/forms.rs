//! Forms with files, as browsers write them and as nobody should.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{Answer, PATIENCE, Site, raw};

/// Where files are uploaded.
pub(crate) const UPLOAD: &str = "/api/v1/storage/upload";

/// The boundary of the tests' forms.
pub(crate) const BOUNDARY: &str = "----tests0123456789";

/// One part of a form, with its boundary before it.
pub(crate) fn part(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("--{BOUNDARY}\r\n{head}\r\n\r\n").as_bytes(), body, b"\r\n"].concat()
}

/// A part with a file.
pub(crate) fn file(name: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let kind = if kind.is_empty() { String::new() } else { format!("\r\nContent-Type: {kind}") };
    part(&format!("Content-Disposition: form-data; name=\"file\"; filename=\"{name}\"{kind}"), body)
}

/// The end of a form.
pub(crate) fn end() -> Vec<u8> {
    format!("--{BOUNDARY}--\r\n").into_bytes()
}

/// A form with one file.
pub(crate) fn form(name: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    [file(name, kind, body), end()].concat()
}

/// A file of this many bytes that is a GIF, as far as anyone looks.
pub(crate) fn gif(size: usize) -> Vec<u8> {
    let mut bytes = b"GIF89a".to_vec();
    bytes.resize(size, b'.');
    bytes
}

/// The head of an upload of so many bytes.
pub(crate) fn head(token: &str, length: usize) -> String {
    format!(
        "POST {UPLOAD} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {length}\r\n\r\n"
    )
}

/// Sends a form.
pub(crate) fn send(site: &Site, token: &str, form: &[u8]) -> Answer {
    raw(site.addresses.http, &[head(token, form.len()).as_bytes(), form].concat())
}

/// An upload that was begun: the head of a form that will be `length` bytes, and some of it.
pub(crate) fn begin(site: &Site, token: &str, length: usize, some: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(site.addresses.http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(head(token, length).as_bytes()).unwrap();
    stream.write_all(some).unwrap();
    stream
}

/// The status of an answer on a stream.
#[track_caller]
pub(crate) fn status(stream: &mut TcpStream) -> u16 {
    let mut start = [0; 12];
    stream.read_exact(&mut start).expect("an answer");
    std::str::from_utf8(&start[9..]).unwrap().parse().unwrap()
}

/// The path of an address.
#[track_caller]
pub(crate) fn path(url: &str) -> &str {
    let rest = url.split_once("://").expect("an address").1;
    &rest[rest.find('/').expect("a path")..]
}

/// The address in the answer to an upload.
#[track_caller]
pub(crate) fn url(answer: &Answer) -> String {
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["url"].as_str().expect("an address").to_owned()
}

/// Deletes a file.
pub(crate) fn delete(site: &Site, token: &str, url: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let body = serde_json::json!({"url": url}).to_string();
    site.call("DELETE", "/api/v1/storage/delete", &[("Authorization", &bearer)], &body)
}
