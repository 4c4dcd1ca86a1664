//! Clients that go away, in every state and in every way: an orderly end, a reset, or the end of one direction only.

use std::net::Shutdown;
use std::time::Duration;

use schema::frame::{ClientFrame, PREFIX};
use schema::{CloseReason, Command, Id};

use crate::Rig;
use crate::support::process::Process;
use crate::support::web::{Web, handshake};
use crate::support::wire::{Binary, connect_frame, encoded};
use crate::support::{eventually, on_both, reset};
use crate::websocket_client::{TEXT, close, fragment, frame};

on_both!(
    binary_connections_end_in_every_state,
    websockets_end_in_every_state,
    with_the_last_frame_unread,
    at_the_same_moment_as_the_server,
    a_drain_in_every_state,
);

/// How a client goes.
#[derive(Clone, Copy, Debug)]
enum Way {
    Close,
    Reset,
    /// It says that it is done, and waits for the server's end.
    Half,
}

const WAYS: [Way; 3] = [Way::Close, Way::Reset, Way::Half];

/// How often each way is gone in each state.
const TIMES: usize = 15;

fn binary_connections_end_in_every_state(io: &str) {
    let mut rig = Rig::start(io, "presence.grace = \"0s\"");
    let token = rig.token("alice");
    let connect = encoded(&ClientFrame::Connect(connect_frame(&token)));
    let beat = encoded(&ClientFrame::Heartbeat { tag: 1, answer: true, activity: false });
    let count = encoded(&ClientFrame::Command { tag: 1, command: Command::Count });
    let goodbye = encoded(&ClientFrame::Goodbye { logout: false });
    // What was written, and whether the Welcome was waited for first.
    let states: [(&str, bool, Vec<u8>); 10] = [
        ("before a byte", false, vec![]),
        ("within a length", false, connect[..2].to_vec()),
        ("within a Connect", false, connect[..PREFIX + 20].to_vec()),
        ("right after the Connect", false, connect.clone()),
        ("right after a Connect and commands", false, [connect.clone(), count.repeat(20)].concat()),
        ("after the Welcome", true, vec![]),
        ("within a frame", true, beat[..beat.len() / 2].to_vec()),
        ("with answers on their way", true, count.repeat(20)),
        ("with a good many answers on their way", true, beat.repeat(2_000)),
        ("after a Goodbye", true, goodbye),
    ];
    for (state, welcomed, bytes) in &states {
        for way in WAYS {
            for _ in 0..TIMES {
                let mut binary = match welcomed {
                    true => Binary::connect(&rig, &token),
                    false => Binary::dial(rig.binary()),
                };
                binary.write(bytes).unwrap();
                match way {
                    Way::Close => drop(binary),
                    Way::Reset => reset(binary.stream),
                    Way::Half => {
                        binary.shut();
                        while binary.read().is_some() {}
                    }
                }
            }
            rig.alive();
            eprintln!("{state}, {way:?}: done");
        }
    }
    rig.alive();
    rig.undisturbed();
}

fn websockets_end_in_every_state(io: &str) {
    let mut rig = Rig::start(io, "presence.grace = \"0s\"\nlimits.commands_burst = 1000000");
    let token = rig.token("alice");
    let head = handshake(&token).into_bytes();
    let ping = frame(TEXT, r#"{"type":"ping"}"#);
    let states: [(&str, bool, Vec<u8>); 10] = [
        ("before a byte", false, vec![]),
        ("within the head", false, head[..30].to_vec()),
        ("right after the head", false, head.clone()),
        ("right after the head and frames", false, [head.clone(), ping.repeat(20)].concat()),
        ("after the handshake", true, vec![]),
        ("within a frame's head", true, ping[..1].to_vec()),
        ("within a frame", true, ping[..9].to_vec()),
        ("within a message", true, fragment(TEXT, "{")),
        ("with a good many answers on their way", true, ping.repeat(500)),
        ("after a close frame", true, close(1000, "")),
    ];
    for (state, open, bytes) in &states {
        for way in WAYS {
            for _ in 0..TIMES {
                let mut web = match open {
                    true => Web::online(&rig, &token),
                    false => Web::dial(rig.addresses.http),
                };
                web.write(bytes).unwrap();
                match way {
                    Way::Close => drop(web),
                    Way::Reset => reset(web.stream),
                    Way::Half => {
                        web.shut();
                        web.ends();
                    }
                }
            }
            rig.alive();
            eprintln!("{state}, {way:?}: done");
        }
    }
    rig.alive();
    rig.undisturbed();
}

fn with_the_last_frame_unread(io: &str) {
    let rig = Rig::start(io, "presence.grace = \"0s\"");
    let mut service = rig.service();
    let alice = Id::new("alice").unwrap();
    for _ in 0..TIMES {
        let binary = Binary::connect(&rig, &rig.token("alice"));
        let web = Web::online(&rig, &rig.token("alice"));
        assert_eq!(service.send(&alice, vec![b'1'; 50_000], false).unwrap(), 2);
        // A close with unread input is a reset on the wire.
        drop((binary, web));
    }
    drop(service);
    rig.undisturbed();
}

fn at_the_same_moment_as_the_server(io: &str) {
    let rig = Rig::start(io, "presence.grace = \"0s\"");
    let mut service = rig.service();
    let alice = Id::new("alice").unwrap();
    for round in 0..40 {
        let mut crowd: Vec<Binary> = (0..5).map(|_| Binary::connect(&rig, &rig.token("alice"))).collect();
        let mut webs: Vec<Web> = (0..5).map(|_| Web::online(&rig, &rig.token("alice"))).collect();
        std::thread::scope(|scope| {
            let going = scope.spawn(move || {
                for (n, binary) in crowd.drain(..).enumerate() {
                    if (n + round) % 2 == 0 { drop(binary) } else { reset(binary.stream) }
                }
                for (n, web) in webs.drain(..).enumerate() {
                    if (n + round) % 2 == 0 { drop(web) } else { reset(web.stream) }
                }
            });
            let ended = service.disconnect_user(&alice).unwrap();
            assert!(ended <= 10);
            going.join().unwrap();
        });
    }
    drop(service);
    rig.undisturbed();
}

fn a_drain_in_every_state(io: &str) {
    let process = Process::start_on(io, "");
    let (token, service) = (process.token("alice"), process.service_token());
    let connect = encoded(&ClientFrame::Connect(connect_frame(&token)));
    let beat = encoded(&ClientFrame::Heartbeat { tag: 1, answer: true, activity: false });
    let mut strangers: Vec<Binary> = Vec::new();
    for cut in [0, 2, 30] {
        let mut binary = Binary::dial(process.binary());
        binary.write(&connect[..cut]).unwrap();
        strangers.push(binary);
    }
    let mut heads: Vec<Web> = Vec::new();
    for cut in [0, 20] {
        let mut web = Web::dial(process.addresses.http);
        web.write(&handshake(&token).as_bytes()[..cut]).unwrap();
        heads.push(web);
    }
    let mut idle = Binary::connect(&process, &token);
    let mut halfway = Binary::connect(&process, &token);
    halfway.write(&beat[..beat.len() / 2]).unwrap();
    let mut shut = Binary::connect(&process, &token);
    shut.stream.shutdown(Shutdown::Write).unwrap();
    let mut web = Web::online(&process, &token);
    let mut within = Web::online(&process, &token);
    within.write(&fragment(TEXT, "{")).unwrap();
    // Two that read nothing, with their sockets full.
    let (deaf, deaf_too) =
        (Binary::connect(&process, &process.token("deaf")), Web::online(&process, &process.token("deaf")));
    let mut sender = process.client(service);
    let name = Id::new("deaf").unwrap();
    for _ in 0..40 {
        let _ = sender.send(&name, vec![b'1'; 60_000], false);
    }
    process.terminate();

    for binary in [&mut idle, &mut halfway] {
        assert_eq!(binary.end().expect("a last frame").reason, Some(CloseReason::Draining));
    }
    for binary in &mut strangers {
        assert_eq!(binary.end().expect("a last frame").reason, Some(CloseReason::Draining));
    }
    shut.end();
    assert_eq!((web.end().1, within.end().1), (Some(1012), Some(1012)));
    for head in &mut heads {
        head.ends();
    }
    let (http, binary) = (process.addresses.http, process.binary());
    let begun = std::time::Instant::now();
    let ended = process.ended();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.log);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
    eventually("nobody listens any more", || {
        let refused = |address| std::net::TcpStream::connect(address).is_err();
        (refused(http) && refused(binary)).then_some(())
    });
    drop((deaf, deaf_too));
}
