//! Uploads of the messaging API over real sockets: what is taken, shown and deleted, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "support/clients.rs"]
mod clients;
mod support;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use clients::{passed, run_curl};
use serde_json::json;
use support::forms::{
    BOUNDARY, UPLOAD, begin, delete, end, file, form, gif, head, part, path, send, status, url,
};
use support::process::Process;
use support::{Node, eventually, raw};
use tempfile::TempDir;

const MOST: usize = 10 * 1024 * 1024;

/// A node that keeps files in a folder of its own.
fn node(extra: &str) -> (Node, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let node = Node::start(&format!("media.path = {:?}\n{extra}", folder.path()));
    (node, folder)
}

/// Files in a folder of the store.
fn files(media: &Path, folder: &str) -> usize {
    std::fs::read_dir(media.join(folder)).map_or(0, Iterator::count)
}

#[test]
fn a_file_is_taken_and_shown() {
    let (node, folder) = node("");
    let token = node.token("alice");
    let answer = send(&node, &token, &form("photo.gif", "image/gif", b"GIF89a hello world"));
    let first = url(&answer);
    let now = node.clock.unix_ms();
    assert_eq!(
        answer.body,
        format!(
            r#"{{"url":"http://test/messaging/messages/{now}-photo.gif","filename":"photo.gif","mimetype":"image/gif","size":18}}"#
        )
    );
    let second = url(&send(&node, &token, &form("photo.gif", "image/gif", &gif(100))));
    assert_eq!(second, format!("http://test/messaging/messages/{}-photo.gif", now + 1), "a name of its own");

    let shown = node.call("GET", path(&first), &[("Origin", "https://app.example")], "");
    assert_eq!((shown.status, shown.body.as_str()), (200, "GIF89a hello world"));
    assert_eq!(shown.header("Content-Type"), "image/gif");
    assert_eq!(shown.header("X-Content-Type-Options"), "nosniff");
    assert_eq!(shown.header("Cache-Control"), "public, max-age=31536000, immutable");
    assert_eq!(shown.header("Access-Control-Allow-Origin"), "https://app.example");
    assert_eq!(shown.find("Content-Disposition"), None);
    let etag = shown.header("ETag").to_owned();
    let call = |method: &str, headers: &[(&str, &str)]| node.call(method, path(&first), headers, "");
    let head = call("HEAD", &[]);
    assert_eq!((head.status, head.body.as_str(), head.header("Content-Length")), (200, "", "18"));
    let range = call("GET", &[("Range", "bytes=7-11")]);
    assert_eq!((range.status, range.body.as_str()), (206, "hello"));
    assert_eq!(range.header("Content-Range"), "bytes 7-11/18");
    assert_eq!(call("GET", &[("Range", "bytes=-5")]).body, "world");
    let beyond = call("GET", &[("Range", "bytes=18-")]);
    assert_eq!((beyond.status, beyond.header("Content-Range")), (416, "bytes */18"));
    assert_eq!(call("GET", &[("If-None-Match", &etag)]).status, 304);
    assert_eq!(call("GET", &[("If-None-Match", "\"other\"")]).status, 200);
    let modified = shown.header("Last-Modified");
    assert_eq!(call("GET", &[("If-Modified-Since", modified)]).status, 304);
    assert_eq!(call("GET", &[("Range", "bytes=0-5"), ("If-Range", &etag)]).status, 206);
    assert_eq!(call("GET", &[("Range", "bytes=0-5"), ("If-Range", "\"other\"")]).status, 200);
    assert_eq!(call("POST", &[]).status, 405);

    let pdf = url(&send(&node, &token, &form("a.pdf", "application/pdf", b"%PDF-1.7 text")));
    let shown = node.get(path(&pdf));
    assert_eq!(shown.header("Content-Disposition"), "attachment");
    assert!(shown.header("Content-Security-Policy").contains("sandbox"));
    assert_eq!((files(folder.path(), "incoming"), files(folder.path(), "messages")), (0, 3));
}

#[test]
fn what_is_not_taken() {
    let (node, folder) = node("");
    let token = node.token("alice");
    let wrong_type = "Invalid file type. Only images, videos, audio, and documents are allowed";
    let text = part("Content-Disposition: form-data; name=\"folder\"", b"messages");
    let as_text = part("Content-Disposition: form-data; name=\"file\"", b"GIF89a");
    let unnamed = file("", "application/octet-stream", b"");
    let good = file("a.gif", "image/gif", b"GIF89a");
    let twice = [&good[..], &good, &end()].concat();
    let many: Vec<u8> = std::iter::repeat_n(&text[..], 20).flatten().copied().chain(end()).collect();
    let bomb = format!(
        "Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\nX: {}",
        "x".repeat(300_000)
    );
    let heads = format!("Content-Disposition: form-data; name=\"x\"{}", "\r\nX: 1".repeat(100));
    let preamble = [vec![b'x'; 300_000], form("a.gif", "image/gif", b"GIF89a")].concat();
    let malformed = "Malformed multipart form";
    for (what, bytes, message) in [
        ("no part", end(), "File is required"),
        ("no file", [&text[..], &end()].concat(), "File is required"),
        ("a file that is a text", [&as_text[..], &end()].concat(), "File is required"),
        ("a file that was not chosen", [&unnamed[..], &end()].concat(), "File is required"),
        ("nothing in it", form("a.gif", "image/gif", b""), "File is empty"),
        ("nothing in it, nothing said of it", form("a", "", b""), "File is empty"),
        ("two", twice, "Only one file can be uploaded at a time"),
        ("a page", form("a.html", "text/html", b"<html>"), wrong_type),
        ("a page as a picture", form("a.jpg", "image/jpeg", b"<html><script>alert(1)</script>"), wrong_type),
        ("a drawing", form("a.svg", "image/svg+xml", b"<svg onload=alert(1)>"), wrong_type),
        ("a drawing as a picture", form("a.png", "image/png", b"<svg onload=alert(1)>"), wrong_type),
        ("a program as a document", form("a.pdf", "application/pdf", b"MZ\x90\0"), wrong_type),
        ("a program as a sheet", form("a.xls", "application/vnd.ms-excel", b"MZ\x90\0"), wrong_type),
        ("a script", form("a.doc", "application/msword", b"#!/bin/sh\nrm"), wrong_type),
        ("a PNG as a PDF", form("a.pdf", "application/pdf", b"\x89PNG\r\n\x1a\n"), wrong_type),
        ("a text nobody knows", form("a", "application/octet-stream", b"hello"), wrong_type),
        ("a type that is none", form("a", "no type", b"GIF89a"), wrong_type),
        ("an empty body", Vec::new(), malformed),
        ("no end", good.clone(), malformed),
        ("half a part", good[..good.len() - 5].to_vec(), malformed),
        ("half a head", format!("--{BOUNDARY}\r\nContent-Dispo").into_bytes(), malformed),
        ("another boundary", b"--other\r\n\r\nx\r\n--other--\r\n".to_vec(), malformed),
        ("too many parts", many, malformed),
        ("a head without end", [part(&bomb, b"GIF89a"), end()].concat(), malformed),
        ("too many heads", [part(&heads, b"GIF89a"), end()].concat(), malformed),
        ("much before the first part", preamble, malformed),
    ] {
        let answer = send(&node, &token, &bytes);
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        let body = answer.json();
        assert!(body["message"].as_str().unwrap().starts_with(message), "{what}: {body}");
        assert_eq!((&body["error"], &body["statusCode"]), (&json!("Bad Request"), &json!(400)), "{what}");
    }
    for kind in ["application/json", "multipart/form-data", "multipart/mixed; boundary=x", ""] {
        let bearer = format!("Bearer {token}");
        let answer = node.call("POST", UPLOAD, &[("Authorization", &bearer), ("Content-Type", kind)], "{}");
        assert_eq!(answer.status, 400, "{kind}");
        assert!(answer.json()["message"].as_str().unwrap().contains("multipart/form-data"), "{kind}");
    }
    let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
    let bearer = format!("Bearer {token}");
    let answer = node.call("POST", UPLOAD, &[("Authorization", &bearer), ("Content-Type", &long)], "x");
    assert_eq!(answer.status, 400);
    eventually("nothing left behind", || (files(folder.path(), "incoming") == 0).then_some(()));
    assert_eq!((files(folder.path(), "messages"), files(folder.path(), "about")), (0, 0));
}

#[test]
fn tricks_with_boundaries_names_and_files() {
    let (node, folder) = node("");
    let token = node.token("alice");
    let upload = |kind: &str, bytes: &[u8]| {
        let head = head(&token, bytes.len());
        let own = format!("multipart/form-data; boundary={BOUNDARY}");
        raw(node.addresses.http, &[head.replace(&own, kind).as_bytes(), bytes].concat())
    };
    let own = format!("multipart/form-data; boundary={BOUNDARY}");
    let good = form("a.gif", "image/gif", b"GIF89a");
    // What only looks like a boundary is of the file.
    let looks = [
        format!("GIF89a --{BOUNDARY}"),
        format!("GIF89a\r\n-{BOUNDARY}"),
        format!("GIF89a\n--{BOUNDARY}--"),
        format!("GIF89a\r\n--{}", &BOUNDARY[..BOUNDARY.len() - 1]),
        "GIF89a\r\n\r\n--\r\n--".to_owned(),
    ];
    for bytes in &looks {
        let answer = upload(&own, &form("a.gif", "image/gif", bytes.as_bytes()));
        let shown = node.get(path(&url(&answer)));
        assert_eq!(shown.body, *bytes, "{bytes:?}");
    }
    assert_eq!(upload(&format!("multipart/form-data; boundary=\"{BOUNDARY}\""), &good).status, 201);
    assert_eq!(
        upload(&format!("Multipart/Form-Data; charset=utf-8; BOUNDARY={BOUNDARY}"), &good).status,
        201
    );
    let taken = files(folder.path(), "messages");
    for kind in [
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=other",
        "multipart/form-data; boundary",
        "multipart/form-data; boundary=a\u{1}b",
    ] {
        assert_eq!(upload(kind, &good).status, 400, "{kind:?}");
    }
    let lf: Vec<u8> = String::from_utf8_lossy(&good).replace("\r\n", "\n").into_bytes();
    let nested = part(
        "Content-Disposition: form-data; name=\"file\"; filename=\"a.gif\"\r\nContent-Type: multipart/mixed; boundary=in",
        b"--in\r\nContent-Disposition: file; filename=\"b.gif\"\r\n\r\nGIF89a\r\n--in--",
    );
    let no_disposition = part("Content-Type: image/gif", b"GIF89a");
    let no_name = part("Content-Disposition: form-data; filename=\"a.gif\"", b"GIF89a");
    let bad_name =
        [b"Content-Disposition: form-data; name=\"file\"; filename=\"".as_slice(), b"a\0b", b".gif\""]
            .concat();
    let bad_name = String::from_utf8(bad_name).unwrap();
    for (what, bytes) in [
        ("lines that end in LF only", lf),
        ("a form within the form", [nested, end()].concat()),
        ("a part without a disposition", [no_disposition, end()].concat()),
        ("a part without a name", [no_name, end()].concat()),
        ("a name with a zero byte", [part(&bad_name, b"GIF89a"), end()].concat()),
    ] {
        let answer = upload(&own, &bytes);
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        assert_eq!(answer.json()["statusCode"], 400, "{what}");
    }
    eventually("nothing left behind", || (files(folder.path(), "incoming") == 0).then_some(()));
    assert_eq!(files(folder.path(), "messages"), taken, "what is refused leaves nothing");

    // Ways out of the folder are names like any other.
    for given in [
        "....//....//etc/passwd.gif",
        "..\\\\..\\\\windows\\\\system.gif",
        "/etc/passwd.gif",
        "%2e%2e%2f%2e%2e%2fpasswd.gif",
        "a/../../../b.gif",
        "con.gif",
        "..gif",
    ] {
        let address = url(&upload(&own, &form(given, "image/gif", b"GIF89a")));
        let name = path(&address).strip_prefix("/messaging/messages/").expect("in its folder");
        assert!(!name.contains('/') && !name.contains(".."), "{given}: {address}");
        assert_eq!(node.get(path(&address)).status, 200, "{given}");
    }
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        names.iter().all(|name| ["about", "incoming", "messages"].contains(&name.to_str().unwrap())),
        "{names:?}"
    );

    // Files that are two things at once are taken as the one they begin with, and shown as nothing else.
    for (kind, bytes) in [
        ("image/gif", &b"GIF89a/*\0*/=1;alert(document.domain)//"[..]),
        ("image/jpeg", b"\xff\xd8\xff\xe0<svg onload=alert(1)>"),
        ("application/pdf", b"%PDF-1.7\nPK\x03\x04<script>alert(1)</script>"),
    ] {
        let shown = node.get(path(&url(&upload(&own, &form("a.html", kind, bytes)))));
        assert_eq!((shown.header("Content-Type"), shown.header("X-Content-Type-Options")), (kind, "nosniff"));
        let downloaded = shown.find("Content-Disposition") == Some("attachment");
        assert!(downloaded || kind.starts_with("image/"), "{kind}");
    }
    // What begins otherwise than it says is not.
    for (kind, bytes) in [
        ("image/gif", &b" GIF89a<script>"[..]),
        ("image/png", b"GIF89a"),
        ("application/pdf", b"<html>%PDF-1.7"),
        ("application/pdf", b"\x7fELF%PDF-1.7"),
    ] {
        let answer = upload(&own, &form("a.pdf", kind, bytes));
        let png_is_gif = kind == "image/png";
        assert_eq!(answer.status, if png_is_gif { 201 } else { 400 }, "{kind} {bytes:?}: {answer:?}");
        assert!(!png_is_gif || answer.json()["mimetype"] == "image/gif");
    }
}

#[test]
fn a_token_is_needed() {
    let (node, _folder) = node("");
    let good = form("a.gif", "image/gif", b"GIF89a");
    assert_eq!(node.call("POST", UPLOAD, &[], "").status, 401);
    let answer = node.call("POST", UPLOAD, &[], "x");
    assert_eq!(
        answer.body,
        r#"{"error":"Unauthorized","message":"Authentication token is required","statusCode":401}"#
    );
    // Also behind a long body, which is read so that the answer is.
    let answer = send(&node, "bad", &form("a.gif", "image/gif", &gif(MOST)));
    assert_eq!((answer.status, &answer.json()["message"]), (401, &json!("Invalid or expired token")));
    assert_eq!(answer.header("Connection"), "close");
    node.clock.advance(2 * 3_600 * 1_000);
    let late = node.token("alice");
    node.clock.advance(2 * 3_600 * 1_000);
    assert_eq!(send(&node, &late, &good).status, 401);
    let answer = node.get("/api/v1/storage/nothing");
    assert_eq!((answer.status, &answer.json()["statusCode"]), (404, &json!(404)));
    assert_eq!(node.get(UPLOAD).json()["error"], "Method Not Allowed");
}

#[test]
fn the_limit_is_exact() {
    let (node, folder) = node("");
    let token = node.token("alice");
    for (size, taken) in [(MOST - 1, true), (MOST, true), (MOST + 1, false), (MOST + 200_000, false)] {
        let answer = send(&node, &token, &form("a.gif", "image/gif", &gif(size)));
        if taken {
            assert_eq!(answer.json()["size"], size);
        } else {
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (400, r#"{"error":"Bad Request","message":"File size exceeds 10MB","statusCode":400}"#)
            );
        }
    }
    assert_eq!(files(folder.path(), "messages"), 2);
}

#[test]
fn names_and_types_are_as_they_should_be() {
    let (node, _folder) = node("");
    let token = node.token("alice");
    for (given, name) in [
        ("../../etc/passwd.gif", "passwd.gif"),
        ("C:\\\\fake\\\\photo.gif", "photo.gif"),
        ("ảnh đẹp (1).gif", "ảnh đẹp (1).gif"),
        ("a?b#c%2f.gif", "a?b#c%2f.gif"),
        ("..", "file"),
    ] {
        let answer = send(&node, &token, &form(given, "image/gif", b"GIF89a"));
        let address = url(&answer);
        assert_eq!(answer.json()["filename"], name, "{address}");
        let shown = node.get(path(&address));
        assert_eq!((shown.status, shown.body.as_str()), (200, "GIF89a"), "{address}");
        assert_eq!(delete(&node, &token, &address).status, 200, "{address}");
    }
    let long = format!("{}.gif", "x".repeat(400));
    let answer = send(&node, &token, &form(&long, "image/gif", b"GIF89a"));
    let name = answer.json()["filename"].as_str().unwrap().to_owned();
    assert!(name.len() == 255 && name.ends_with(".gif"), "{name}");
    assert_eq!(node.get(path(&url(&answer))).status, 200);
    // The bytes decide where nothing is said, and where what is said is another picture.
    for kind in ["application/octet-stream", "", "image/png", "IMAGE/JPG"] {
        let answer = send(&node, &token, &form("a", kind, b"GIF89a"));
        assert_eq!(answer.json()["mimetype"], "image/gif", "{kind}");
    }
    // A picture with a page in it is a picture, and never shown as anything else.
    let answer =
        send(&node, &token, &form("a.html", "image/jpeg", b"\xff\xd8\xff\xe0<html><script>x</script>"));
    let shown = node.get(path(&url(&answer)));
    assert_eq!(
        (shown.header("Content-Type"), shown.header("X-Content-Type-Options")),
        ("image/jpeg", "nosniff")
    );
    // The front end's field, in any order.
    let folder = part("Content-Disposition: form-data; name=\"folder\"", b"../avatars");
    for parts in [[&folder[..], &file("a.gif", "", b"GIF89a")], [&file("a.gif", "", b"GIF89a"), &folder]] {
        let answer = send(&node, &token, &[parts.concat(), end()].concat());
        assert!(url(&answer).contains("/messaging/messages/"));
    }
    for way_out in ["..%2f..%2fabout%2fx", "%2e%2e", "17-..%2fx", "17-a%00", "17-none.gif", "."] {
        assert_eq!(node.get(&format!("/messaging/messages/{way_out}")).status, 404, "{way_out}");
    }
}

#[test]
fn only_its_owner_deletes_a_file_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start_in(folder.path(), "ring", "");
    let (alice, bob) = (process.token("alice"), process.token("bob"));
    let address = url(&send(&process, &alice, &form("a.gif", "image/gif", b"GIF89a")));
    process.terminate();
    assert_eq!(process.ended().status.code(), Some(0));

    let process = Process::start_in(folder.path(), "ring", "");
    let answer = delete(&process, &bob, &address);
    assert_eq!((answer.status, &answer.json()["error"]), (403, &json!("Forbidden")));
    assert_eq!(delete(&process, &process.service_token(), &address).status, 403);
    assert_eq!(delete(&process, "bad", &address).status, 401);
    let other = address.replace("a.gif", "b.gif");
    let about = address.replace("/messages/", "/about/");
    let out = address.replace("/messages/", "/messages/../about/");
    for unknown in [other.as_str(), &about, &out, "http://test/", "", "/etc/passwd", "file:///etc/passwd"] {
        assert_eq!(delete(&process, &alice, unknown).status, 404, "{unknown}");
    }
    let bearer = format!("Bearer {alice}");
    for body in ["", "{}", "[]", "{\"url\":7}"] {
        let answer = process.call("DELETE", "/api/v1/storage/delete", &[("Authorization", &bearer)], body);
        assert_eq!(answer.status, 400, "{body}");
    }
    assert_eq!(process.get(path(&address)).status, 200);
    assert_eq!(delete(&process, &alice, &address).body, r#"{"message":"File deleted successfully"}"#);
    assert_eq!(process.get(path(&address)).status, 404);
    assert_eq!(delete(&process, &alice, &address).status, 404);
    let media = folder.path().join("data/media");
    assert_eq!((files(&media, "messages"), files(&media, "about"), files(&media, "incoming")), (0, 0, 0));
}

#[test]
fn an_upload_that_is_given_up_leaves_nothing() {
    let (node, folder) = node("media.uploads = 1\nmedia.stall_time = \"1s\"");
    let token = node.token("alice");
    let some = file("a.gif", "image/gif", &gif(100_000));
    let stream = begin(&node, &token, MOST, &some);
    eventually("a temporary file", || (files(folder.path(), "incoming") == 1).then_some(()));
    // There is one place.
    let answer = send(&node, &token, &form("b.gif", "image/gif", b"GIF89a"));
    assert_eq!((answer.status, answer.header("Retry-After")), (503, "1"));
    drop(stream);
    eventually("nothing left behind", || (files(folder.path(), "incoming") == 0).then_some(()));
    let good = || send(&node, &token, &form("b.gif", "image/gif", b"GIF89a")).status == 201;
    eventually("the place again", || good().then_some(()));

    assert_eq!(node.metric("muster_upload_places"), 1);

    // Who stands still is told, and leaves nothing either.
    let mut stream = begin(&node, &token, MOST, &some);
    assert_eq!(status(&mut stream), 408);
    eventually("nothing left behind", || (files(folder.path(), "incoming") == 0).then_some(()));
    assert_eq!(files(folder.path(), "messages"), 1);
}

#[test]
fn a_crash_in_an_upload_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let media = folder.path().join("data/media");
    let process = Process::start_in(folder.path(), "ring", "");
    let token = process.token("alice");
    let address = url(&send(&process, &token, &form("a.gif", "image/gif", b"GIF89a")));
    let _stream = begin(&process, &token, MOST, &file("b.gif", "image/gif", &gif(100_000)));
    eventually("a temporary file", || (files(&media, "incoming") == 1).then_some(()));
    process.kill();
    assert_eq!(files(&media, "incoming"), 1);
    let process = Process::start_in(folder.path(), "ring", "");
    assert_eq!((files(&media, "incoming"), files(&media, "messages")), (0, 1));
    assert_eq!(process.get(path(&address)).status, 200);
}

#[test]
fn memory_does_not_grow_with_the_files() {
    const UPLOADS: usize = 16;
    let process = Process::start_on("ring", "");
    let token = process.token("alice");
    let whole = form("a.gif", "image/gif", &gif(MOST));
    // What the first one warms up is not counted.
    url(&send(&process, &token, &whole));
    let before = process.resident();
    let most = whole.len() - 1_000;
    let mut streams: Vec<_> =
        (0..UPLOADS).map(|_| begin(&process, &token, whole.len(), &whole[..most])).collect();
    let grown = process.resident().saturating_sub(before);
    assert!(grown < (UPLOADS as u64) * 256 * 1024 + (4 << 20), "{UPLOADS} uploads took {grown} bytes");
    for stream in &mut streams {
        stream.write_all(&whole[most..]).unwrap();
        assert_eq!(status(stream), 201);
    }
    let grown = process.resident().saturating_sub(before);
    assert!(grown < (UPLOADS as u64) * 256 * 1024 + (4 << 20), "{UPLOADS} uploads left {grown} bytes");
    eprintln!("{UPLOADS} uploads of 10 MiB at once: {} KiB each", grown / 1024 / UPLOADS as u64);
}

#[test]
fn curl_uploads_and_reads_its_refusal() {
    let (node, folder) = node("");
    let bearer = format!("Authorization: Bearer {}", node.token("alice"));
    let url = format!("http://{}{UPLOAD}", node.addresses.http);
    let limit = Duration::from_secs(60);
    let curl = |name: &str, size: usize, more: &[&str]| {
        let file = folder.path().join(name);
        std::fs::write(&file, gif(size)).unwrap();
        let form = format!("file=@{};type=image/gif", file.display());
        let mut args = vec!["-w", "\n%{http_code}", "-H", &bearer, "-F", &form];
        args.extend_from_slice(more);
        args.push(&url);
        passed(&run_curl(&args, limit))
    };
    assert!(curl("photo.gif", 5_000_000, &[]).ends_with("\n201"));
    let refused =
        "{\"error\":\"Bad Request\",\"message\":\"File size exceeds 10MB\",\"statusCode\":400}\n400";
    assert_eq!(curl("over.gif", MOST + 1, &[]), refused);
    assert_eq!(curl("far-over.gif", 3 * MOST, &[]), refused);
    // Without asking for leave first.
    assert_eq!(curl("far-over.gif", 3 * MOST, &["-H", "Expect:"]), refused);
    // Without a length.
    let chunked = ["-H", "Transfer-Encoding: chunked"];
    assert!(curl("photo.gif", 5_000_000, &chunked).ends_with("\n201"));
    assert_eq!(curl("over.gif", MOST + 1, &chunked), refused);
    assert_eq!(curl("far-over.gif", 3 * MOST, &chunked), refused);
}

#[test]
fn it_can_be_switched_off_and_moved() {
    let (off, _folder) = node("messaging_api.enabled = false");
    assert_eq!(off.call("POST", UPLOAD, &[], "x").status, 404);
    let (moved, _folder) = node(
        "messaging_api.base_path = \"/chat\"\nmedia.public_base = \"https://files.example\"\nmedia.key_style = \"random\"",
    );
    let token = moved.token("alice");
    let form = form("a.gif", "image/gif", b"GIF89a");
    let request = head(&token, form.len()).replace("/api/v1/storage", "/chat/storage");
    let address = url(&raw(moved.addresses.http, &[request.as_bytes(), &form].concat()));
    let name = address.strip_prefix("https://files.example/messaging/messages/").expect("the base");
    assert_eq!(name.len(), "1732546789123-0123456789abcdefghijkl-a.gif".len(), "{name}");
    assert_eq!(moved.get(path(&address)).status, 200);
}
