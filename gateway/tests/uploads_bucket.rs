//! Uploads into a bucket: a real S3 server that checks every signature, and curl's own signature to look at what came.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "support/clients.rs"]
mod clients;
#[path = "support/servers.rs"]
mod servers;
mod support;

use std::io::Write;
use std::time::Duration;

use clients::run_curl;
use servers::S3;
use support::forms::{begin, delete, file, form, gif, send, status, url};
use support::process::{Process, command};
use support::{Answer, eventually};

const MOST: usize = 10 * 1024 * 1024;
const LIMIT: Duration = Duration::from_secs(60);

fn settings(s3: &S3) -> String {
    format!(
        "media.store = \"s3\"\nmedia.endpoint = {:?}\nmedia.region = {:?}\nmedia.access_key = {:?}\n\
         media.secret_key = {:?}\nmedia.allow_http = true\n",
        s3.endpoint, s3.region, s3.access_key, s3.secret_key
    )
}

/// What the server answers to a request signed by curl: status, head and body.
fn ask(s3: &S3, method: &str, url: &str) -> (u16, String) {
    let signature = format!("aws:amz:{}:s3", s3.region);
    let user = format!("{}:{}", s3.access_key, s3.secret_key);
    let mut args = vec!["-i", "--aws-sigv4", &signature, "--user", &user];
    args.extend_from_slice(if method == "HEAD" { &["-I"] } else { &["-X", method] });
    args.push(url);
    let output = run_curl(&args, LIMIT);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (text.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("an answer"), text)
}

/// The line of a header.
fn has(text: &str, line: &str) -> bool {
    text.lines().any(|found| found.trim().eq_ignore_ascii_case(line))
}

#[test]
fn files_go_to_a_bucket() {
    let s3 = S3::start();
    let folder = tempfile::tempdir().unwrap();
    let incoming = folder.path().join("data/media/incoming");
    let left = || std::fs::read_dir(&incoming).map_or(0, Iterator::count);
    let process = Process::start_in(folder.path(), "ring", &settings(&s3));
    assert!(process.log().contains("made the bucket"), "{}", process.log());
    let (code, text) = ask(&s3, "GET", &format!("{}/messaging?policy=", s3.endpoint));
    assert!(code == 200 && text.contains("arn:aws:s3:::messaging/messages/*"), "{text}");

    let (alice, bob) = (process.token("alice"), process.token("bob"));
    let address = url(&send(&process, &alice, &form("photo.gif", "image/gif", b"GIF89a hello")));
    assert!(address.starts_with(&format!("{}/messaging/messages/", s3.endpoint)), "{address}");
    assert!(address.ends_with("-photo.gif"), "{address}");
    let (code, text) = ask(&s3, "GET", &address);
    assert!(code == 200 && text.ends_with("GIF89a hello"), "{text}");
    assert!(has(&text, "Content-Type: image/gif") && !text.contains("attachment"), "{text}");
    assert!(has(&text, "Cache-Control: public, max-age=31536000, immutable"), "{text}");
    let pdf = url(&send(&process, &alice, &form("a.pdf", "application/pdf", b"%PDF-1.7")));
    assert!(has(&ask(&s3, "HEAD", &pdf).1, "Content-Disposition: attachment"));
    let large = url(&send(&process, &alice, &form("large.gif", "image/gif", &gif(MOST))));
    assert!(has(&ask(&s3, "HEAD", &large).1, &format!("Content-Length: {MOST}")));
    // A name that needs every kind of encoding is signed as it is asked for.
    let odd = url(&send(&process, &alice, &form("ảnh đẹp (1)+&='!.gif", "image/gif", b"GIF89a")));
    assert_eq!(delete(&process, &bob, &odd).status, 403);
    assert_eq!(delete(&process, &alice, &odd).status, 200);
    assert_eq!(delete(&process, &alice, &odd).status, 404);

    // What is given up or refused never reaches the bucket.
    let stream = begin(&process, &alice, MOST, &file("b.gif", "image/gif", &gif(100_000)));
    eventually("a temporary file", || (left() == 1).then_some(()));
    drop(stream);
    assert_eq!(send(&process, &alice, &form("c.gif", "image/gif", &gif(MOST + 1))).status, 400);
    eventually("nothing left behind", || (left() == 0).then_some(()));
    let (_, list) = ask(&s3, "GET", &format!("{}/messaging", s3.endpoint));
    assert_eq!(list.matches("<Key>").count(), 3, "{list}");

    // Whoever uploaded it still may after a restart, and the bucket is found as it is.
    process.terminate();
    assert_eq!(process.ended().status.code(), Some(0));
    let process = Process::start_in(folder.path(), "ring", &settings(&s3));
    assert!(!process.log().contains("made the bucket"));
    assert_eq!(delete(&process, &bob, &address).status, 403);
    assert_eq!(delete(&process, &alice, &address).status, 200);
    assert_eq!(ask(&s3, "HEAD", &address).0, 404);

    let whole = form("a.gif", "image/gif", &gif(MOST));
    let before = process.resident();
    let most = whole.len() - 1_000;
    let mut streams: Vec<_> = (0..8).map(|_| begin(&process, &alice, whole.len(), &whole[..most])).collect();
    for stream in &mut streams {
        stream.write_all(&whole[most..]).unwrap();
    }
    for stream in &mut streams {
        assert_eq!(status(stream), 201);
    }
    let grown = process.resident().saturating_sub(before);
    assert!(grown < 8 * 256 * 1024 + (8 << 20), "8 uploads took {grown} bytes");
}

#[test]
fn a_bucket_that_cannot_be_used_is_told_at_the_start() {
    let s3 = S3::start();
    let good = settings(&s3);
    let nobody = "media.endpoint = \"http://127.0.0.1:9\"";
    for (change, told) in [
        ("media.secret_key = \"wrong\"", "check media.access_key and media.secret_key"),
        ("media.create_bucket = false", "set media.create_bucket = true"),
        (nobody, "is media.endpoint right"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let extra = format!("{good}{change}\n");
        let command = command(folder.path(), "ring", &extra, &[]);
        let Err(ended) = Process::try_start(command, "ring", &extra) else { panic!("it started: {change}") };
        assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
        assert!(ended.log.contains(told), "{change}: {}", ended.log);
    }
}

#[test]
fn a_bucket_that_is_gone_is_an_error() {
    let s3 = S3::start();
    let process = Process::start_on("ring", &settings(&s3));
    let token = process.token("alice");
    let upload = || -> Answer { send(&process, &token, &form("a.gif", "image/gif", b"GIF89a")) };
    url(&upload());
    drop(s3);
    let answer = upload();
    assert_eq!((answer.status, &answer.json()["error"]), (500, &serde_json::json!("Internal Server Error")));
    assert!(!answer.body.contains("127.0.0.1"), "what is behind Muster is nobody's business: {}", answer.body);
}
