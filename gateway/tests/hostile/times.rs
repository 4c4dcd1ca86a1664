//! Clients that begin something and do not end it: heads, frames, messages, and no word of who they are. The times are
//! short here; what they are by default the configuration's own tests say.

use std::time::{Duration, Instant};

use schema::CloseReason;
use schema::close::Advice;
use schema::frame::{ClientFrame, PREFIX};

use crate::Rig;
use crate::support::web::{Web, handshake};
use crate::support::wire::{Binary, connect_frame, encoded};
use crate::support::{PATIENCE, on_both};
use crate::websocket_client::{CONTINUATION, TEXT, fragment, frame};

on_both!(
    half_a_head_and_silence,
    no_authentication_in_time,
    half_a_frame_and_silence,
    half_a_message_and_silence,
    a_stranger_may_send_little,
    strangers_do_not_keep_others_out,
);

/// Writes one byte after the other, with pauses, until the server has had enough.
fn drip(bytes: &[u8], mut write: impl FnMut(&[u8]) -> std::io::Result<()>) {
    let until = Instant::now() + PATIENCE;
    for byte in bytes.iter().cycle() {
        std::thread::sleep(Duration::from_millis(100));
        if Instant::now() > until || write(&[*byte]).is_err() {
            return;
        }
    }
}

fn half_a_head_and_silence(io: &str) {
    let mut rig = Rig::start(io, "http.head_time = \"1s\"");
    let head = handshake(&rig.token("alice"));
    let begun = Instant::now();
    let mut waiting: Vec<Web> = [0, 1, 16, head.len() - 2]
        .into_iter()
        .map(|cut| {
            let mut web = Web::dial(rig.addresses.http);
            web.write(&head.as_bytes()[..cut]).unwrap();
            web
        })
        .collect();
    // An answered connection that does not begin its next request.
    let mut kept = Web::dial(rig.addresses.http);
    kept.write(b"GET /api/v1/presence/online-count HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(kept.status(), Some(200));
    kept.ends();
    rig.alive();
    for (n, web) in waiting.iter_mut().enumerate() {
        match web.status() {
            // Nothing was asked, so nothing is answered.
            None => assert_eq!(n, 0, "a request that has begun gets an answer"),
            status => assert_eq!(status, Some(408)),
        }
        web.ends();
    }
    assert!(begun.elapsed() >= Duration::from_secs(1) && begun.elapsed() < PATIENCE / 2);
    // A byte now and then makes the time no longer.
    let begun = Instant::now();
    let mut web = Web::dial(rig.addresses.http);
    drip(b"GET / HTTP/1.1\r\nX: ", |byte| web.write(byte));
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    drop(web);
    rig.undisturbed();
}

fn no_authentication_in_time(io: &str) {
    let mut rig = Rig::start(io, "binary.connect_time = \"500ms\"");
    let connect = encoded(&ClientFrame::Connect(connect_frame(&rig.token("alice"))));
    let begun = Instant::now();
    let mut waiting: Vec<Binary> = [0, 1, PREFIX, connect.len() - 1]
        .into_iter()
        .map(|cut| {
            let mut binary = Binary::dial(rig.binary());
            binary.write(&connect[..cut]).unwrap();
            binary
        })
        .collect();
    rig.alive();
    for binary in &mut waiting {
        let closing = binary.end().expect("a last frame");
        assert_eq!(closing.reason, Some(CloseReason::Unauthenticated));
        assert_eq!(closing.advice, Advice::Reauthenticate);
        assert!(closing.text.contains("in time"), "{closing:?}");
        assert!(begun.elapsed() >= Duration::from_millis(500));
    }
    let begun = Instant::now();
    let mut binary = Binary::dial(rig.binary());
    // Fewer bytes than the Connect has, so it never becomes whole.
    for byte in connect.iter().take(30) {
        std::thread::sleep(Duration::from_millis(50));
        if binary.write(&[*byte]).is_err() {
            break;
        }
    }
    assert_eq!(binary.end().map(|closing| closing.reason), Some(Some(CloseReason::Unauthenticated)));
    assert!(begun.elapsed() < PATIENCE / 2);
    // In time, but nobody.
    let mut binary = Binary::dial(rig.binary());
    binary.say(&ClientFrame::Heartbeat { tag: 1, answer: true, activity: false });
    assert_eq!(binary.end().unwrap().reason, Some(CloseReason::Unauthenticated));
    rig.undisturbed();
}

fn half_a_frame_and_silence(io: &str) {
    let mut rig = Rig::start(io, "limits.assembly_time = \"1s\"");
    let beat = encoded(&ClientFrame::Heartbeat { tag: 1, answer: true, activity: false });
    let begun = Instant::now();
    let mut waiting: Vec<Binary> = [1, PREFIX, beat.len() - 1]
        .into_iter()
        .map(|cut| {
            let mut binary = Binary::connect(&rig, &rig.token("alice"));
            binary.write(&beat[..cut]).unwrap();
            binary
        })
        .collect();
    // Between two frames a connection may be silent for longer than that.
    let mut resting = Binary::connect(&rig, &rig.token("bob"));
    resting.write(&beat[..9]).unwrap();
    resting.write(&beat[9..]).unwrap();
    assert!(resting.read().is_some());
    rig.alive();
    for binary in &mut waiting {
        let closing = binary.end().expect("a last frame");
        assert_eq!(closing.reason, Some(CloseReason::ProtocolError), "{closing:?}");
        assert!(closing.text.contains("too long"), "{closing:?}");
        assert!(begun.elapsed() >= Duration::from_millis(950), "{:?}", begun.elapsed());
    }
    // A byte now and then makes the time no longer.
    let begun = Instant::now();
    let mut binary = Binary::connect(&rig, &rig.token("alice"));
    let mut long = 60_000_u32.to_le_bytes().to_vec();
    long.resize(1_000, 0);
    drip(&long, |byte| binary.write(byte));
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    drop(binary);
    resting.alive();
    drop(resting);
    rig.undisturbed();
}

fn half_a_message_and_silence(io: &str) {
    let mut rig = Rig::start(io, "limits.assembly_time = \"1s\"\npresence.ping = \"1s\"");
    let token = rig.token("alice");
    let whole = frame(TEXT, r#"{"type":"ping"}"#);
    let begun = Instant::now();
    let mut waiting: Vec<Web> = [whole[..1].to_vec(), whole[..whole.len() - 1].to_vec(), fragment(TEXT, "{")]
        .into_iter()
        .map(|bytes| {
            let mut web = Web::online(&rig, &token);
            web.write(&bytes).unwrap();
            web
        })
        .collect();
    rig.alive();
    for (n, web) in waiting.iter_mut().enumerate() {
        assert_eq!(web.end(), (vec![], Some(1008)), "case {n}");
        assert!(begun.elapsed() >= Duration::from_millis(950), "{:?}", begun.elapsed());
    }
    // Small fragments for ever are one message that takes too long.
    let begun = Instant::now();
    let mut web = Web::online(&rig, &token);
    web.write(&fragment(TEXT, "{")).unwrap();
    while web.write(&fragment(CONTINUATION, " ")).is_ok() && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    drop(web);
    rig.undisturbed();
}

fn a_stranger_may_send_little(io: &str) {
    let rig = Rig::start(io, "binary.pre_auth_bytes = \"1KiB\"");
    let (token, long) = (rig.token("alice"), "x".repeat(1_200));
    let mut binary = Binary::dial(rig.binary());
    binary.say(&ClientFrame::Connect(connect_frame(&format!("{token}{long}"))));
    assert_eq!(binary.end().unwrap().reason, Some(CloseReason::TooLarge));
    // What follows a Connect is its session's, and counts against the session's limits.
    let mut bytes = encoded(&ClientFrame::Connect(connect_frame(&token)));
    let beat = encoded(&ClientFrame::Heartbeat { tag: 3, answer: true, activity: false });
    bytes.extend(beat.repeat(2_000));
    let mut binary = Binary::dial(rig.binary());
    binary.write(&bytes).unwrap();
    binary.shut();
    assert_eq!(std::iter::from_fn(|| binary.read()).count(), 2_001);
    rig.undisturbed();
}

fn strangers_do_not_keep_others_out(io: &str) {
    let mut rig = Rig::start(io, "");
    let strangers: Vec<Binary> = (0..500).map(|_| Binary::dial(rig.binary())).collect();
    let silent: Vec<Web> = (0..500).map(|_| Web::dial(rig.addresses.http)).collect();
    Web::online(&rig, &rig.token("alice"));
    Binary::connect(&rig, &rig.token("bob")).alive();
    rig.alive();
    drop((strangers, silent));
    rig.undisturbed();
}
