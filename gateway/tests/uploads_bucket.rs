//! Uploads into a bucket: a real S3 server that checks every signature, and boto3 to look at what came.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "support/clients.rs"]
mod clients;
#[path = "support/servers.rs"]
mod servers;
mod support;

use std::io::Write;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use servers::S3;
use support::forms::{begin, delete, file, form, gif, send, status, url};
use support::process::{Process, command};
use support::{Answer, eventually};

const MOST: usize = 10 * 1024 * 1024;

fn settings(s3: &S3) -> String {
    format!(
        "media.store = \"s3\"\nmedia.endpoint = {:?}\nmedia.region = {:?}\nmedia.access_key = {:?}\n\
         media.secret_key = {:?}\nmedia.allow_http = true\n",
        s3.endpoint, s3.region, s3.access_key, s3.secret_key
    )
}

/// An object by its address, as boto3 sees it.
#[track_caller]
fn look(s3: &S3, address: &str) -> Value {
    let key = address.strip_prefix(&format!("{}/messaging/", s3.endpoint)).expect("in the bucket");
    s3.look("messaging", Some(key))
}

#[test]
fn files_go_to_a_bucket() {
    let s3 = S3::start();
    let folder = tempfile::tempdir().unwrap();
    let incoming = folder.path().join("data/media/incoming");
    let left = || std::fs::read_dir(&incoming).map_or(0, Iterator::count);
    let process = Process::start_in(folder.path(), "ring", &settings(&s3));
    assert!(process.log().contains("made the bucket"), "{}", process.log());
    assert!(!process.log().contains("does not take a policy"), "{}", process.log());

    let (alice, bob) = (process.token("alice"), process.token("bob"));
    let address = url(&send(&process, &alice, &form("photo.gif", "image/gif", b"GIF89a hello")));
    assert!(address.starts_with(&format!("{}/messaging/messages/", s3.endpoint)), "{address}");
    assert!(address.ends_with("-photo.gif"), "{address}");
    let seen = look(&s3, &address);
    assert_eq!((&seen["begins"], &seen["type"]), (&json!("GIF89a hello"), &json!("image/gif")), "{seen}");
    assert_eq!(
        (&seen["cache"], &seen["disposition"]),
        (&json!("public, max-age=31536000, immutable"), &json!(null))
    );
    assert!(seen["owner"].as_str().is_some_and(|owner| !owner.contains("alice")), "{seen}");
    let pdf = url(&send(&process, &alice, &form("a.pdf", "application/pdf", b"%PDF-1.7")));
    assert_eq!(look(&s3, &pdf)["disposition"], "attachment");
    let large = url(&send(&process, &alice, &form("large.gif", "image/gif", &gif(MOST))));
    assert_eq!(look(&s3, &large)["length"], MOST);
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
    let seen = s3.look("messaging", None);
    assert_eq!(seen["keys"].as_array().map(Vec::len), Some(3), "{seen}");
    assert!(
        seen["policy"].as_str().is_some_and(|policy| policy.contains("arn:aws:s3:::messaging/messages/*"))
    );

    // Whoever uploaded it still may after a restart, and the bucket is found as it is.
    process.terminate();
    assert_eq!(process.ended().status.code(), Some(0));
    let process = Process::start_in(folder.path(), "ring", &settings(&s3));
    assert!(!process.log().contains("made the bucket"));
    assert_eq!(delete(&process, &bob, &address).status, 403);
    assert_eq!(delete(&process, &alice, &address).status, 200);
    assert_eq!(look(&s3, &address)["status"], 404);

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

/// `muster` with the configuration of this folder.
fn muster(folder: &Path, args: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MUSTER_")) {
        command.env_remove(name);
    }
    let output = command.args(args).arg("--config").arg(folder.join("muster.toml")).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn the_files_of_who_is_erased_leave_the_bucket() {
    let s3 = S3::start();
    let folder = tempfile::tempdir().unwrap();
    let kept = format!("store.kind = \"embedded\"\n{}", settings(&s3));
    let process = Process::start_in(folder.path(), "ring", &kept);
    let upload = |user: &str, n: usize| {
        let token = process.token(user);
        url(&send(&process, &token, &form(&format!("{user}-{n}.gif"), "image/gif", b"GIF89a")))
    };
    let [alice, bob, cat] =
        ["alice", "bob", "cat"].map(|user| (0..20).map(|n| upload(user, n)).collect::<Vec<_>>());
    let say = json!({"recipientId": "bob", "content": "look", "attachmentUrl": alice[0], "attachmentType": "image"});
    let sent = process.post_as(&process.token("alice"), "/api/v1/messages", &say.to_string());
    assert_eq!(sent.status, 201, "{}", sent.body);

    assert_eq!(look(&s3, &cat[0])["status"], 200);
    // While it runs: hers go, and nobody else's.
    let bearer = format!("Bearer {}", process.service_token());
    let removed = eventually("cat is erased", || {
        let answer = process.call("DELETE", "/server/v1/users/cat", &[("Authorization", &bearer)], "");
        assert!([200, 202].contains(&answer.status), "{answer:?}");
        (answer.status == 200).then(|| answer.json())
    });
    assert_eq!(removed["files"], 20);
    assert_eq!(look(&s3, &cat[0])["status"], 404);
    assert_eq!(s3.look("messaging", None)["keys"].as_array().map(Vec::len), Some(40));

    // Stopped: the export names the addresses, which go on leading to the files; files are not in it.
    process.terminate();
    assert!(process.ended().status.success());
    let (done, exported) = muster(folder.path(), &["export"]);
    assert!(done && exported.contains(&alice[0]), "{exported}");
    assert_eq!(look(&s3, &alice[0])["begins"], "GIF89a");
    let (done, text) = muster(folder.path(), &["erase", "--user", "alice", "--dry-run"]);
    assert!(done && text.contains("20 files"), "{text}");
    assert_eq!(look(&s3, &alice[19])["status"], 200);
    let (done, text) = muster(folder.path(), &["erase", "--user", "alice"]);
    assert!(done && text.contains("1 messages") && text.contains("20 files"), "{text}");
    for address in &alice {
        assert_eq!(look(&s3, address)["status"], 404, "{address}");
    }
    assert_eq!(look(&s3, &bob[0])["status"], 200);
    assert_eq!(s3.look("messaging", None)["keys"].as_array().map(Vec::len), Some(20));
    let (done, text) = muster(folder.path(), &["erase", "--user", "alice"]);
    assert!(done && text.contains("0 files"), "{text}");

    // A bucket that does not answer is an error, and no erasure.
    drop(s3);
    let (done, text) = muster(folder.path(), &["erase", "--user", "bob"]);
    assert!(!done && text.contains("cannot be reached"), "{text}");
}

#[test]
fn a_bucket_behind_tls_shows_a_certificate_that_is_trusted() {
    let s3 = S3::start_tls();
    assert!(s3.endpoint.starts_with("https://"), "{}", s3.endpoint);
    let plain = settings(&s3).replace("media.allow_http = true\n", "");
    let trusting = format!("{plain}media.tls_ca = {:?}\n", s3.authority());
    let process = Process::start_on("ring", &trusting);
    let token = process.token("alice");
    let address = url(&send(&process, &token, &form("a.gif", "image/gif", &gif(1_000_000))));
    assert!(address.starts_with(&format!("{}/messaging/messages/", s3.endpoint)), "{address}");
    assert_eq!(look(&s3, &address)["length"], 1_000_000);
    assert_eq!(delete(&process, &token, &address).status, 200);
    assert_eq!(look(&s3, &address)["status"], 404);

    // The machine does not know who signed it; and these are no certificates.
    let file = |name: &str| format!("{plain}media.tls_ca = {:?}\n", s3.authority().with_file_name(name));
    for (extra, told) in [
        (plain.clone(), "certificate"),
        (file("nothing.pem"), "nothing.pem"),
        (file("ca.key"), "no certificate is in it"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let command = command(folder.path(), "ring", &extra, &[]);
        let Err(ended) = Process::try_start(command, "ring", &extra) else { panic!("it started: {extra}") };
        assert_eq!(ended.status.code(), Some(1), "{}", ended.log);
        assert!(ended.log.contains(told), "{told}: {}", ended.log);
    }
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
    assert_eq!((answer.status, &answer.json()["error"]), (500, &json!("Internal Server Error")));
    assert!(
        !answer.body.contains("127.0.0.1"),
        "what is behind Muster is nobody's business: {}",
        answer.body
    );
}
