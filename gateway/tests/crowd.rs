//! A crowd that comes and goes at random, over WebSockets and the binary protocol, and in every way: in order, by a reset,
//! or by falling silent. In the end every way to ask must tell the same, and the truth.
//!
//! `MUSTER_CROWD_SECONDS` is how long the crowd lives (20 by default), `MUSTER_CROWD_SEED` what it does.

#![allow(clippy::disallowed_methods, reason = "a test waits for real time to pass")]
#![allow(clippy::print_stderr, reason = "captured, and shown when a test fails")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;
mod websocket_client;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use schema::frame::ClientFrame;
use schema::{Id, Status};
use serde_json::{Value, json};
use support::process::Process;
use support::web::Web;
use support::wire::{Binary, connect_frame, encoded};
use support::{Site, on_both, reset};
use websocket_client::{Dice, TEXT, close, frame};

on_both!(everybody_agrees_on_a_crowd);

const USERS: usize = 100;
const DEVICES: usize = 500;
const THREADS: usize = 8;

/// Silence that ends a session, and the grace: what the promises are made of.
const SILENCE: Duration = Duration::from_secs(4);
const GRACE: Duration = Duration::from_secs(1);

/// On a machine with other things to do, what is promised within a second is waited for a little longer.
const ALLOWANCE: Duration = Duration::from_secs(10);

fn user(number: usize) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// One device of the crowd.
enum Device {
    Away,
    Web(TcpStream),
    Binary(TcpStream),
    /// Its connection is there, and it says and reads nothing any more.
    Silent(TcpStream, Instant),
}

/// The devices of one thread, and whose they are.
struct Flock {
    devices: Vec<(usize, Device)>,
    dice: Dice,
    done: BTreeMap<&'static str, usize>,
    tokens: Vec<String>,
}

impl Flock {
    /// Every device has a chance to do something; those that stay beat.
    fn step(&mut self, site: &Site) {
        for at in 0..self.devices.len() {
            let roll = self.dice.roll(100);
            let (user, device) = &mut self.devices[at];
            let (next, what) = match std::mem::replace(device, Device::Away) {
                Device::Away if roll <= 4 => (come(site, &self.tokens[*user], roll), "came"),
                Device::Away => (Device::Away, "stayed away"),
                Device::Web(stream) | Device::Binary(stream) if roll <= 4 => {
                    drop(stream);
                    (Device::Away, "closed")
                }
                Device::Web(stream) | Device::Binary(stream) if roll <= 8 => {
                    reset(stream);
                    (Device::Away, "reset")
                }
                Device::Web(stream) | Device::Binary(stream) if roll <= 10 => {
                    (Device::Silent(stream, Instant::now()), "fell silent")
                }
                Device::Web(stream) if roll <= 14 => {
                    say(&stream, &close(1000, ""));
                    (Device::Away, "closed in order")
                }
                Device::Binary(stream) if roll <= 14 => {
                    say(&stream, &encoded(&ClientFrame::Goodbye { logout: roll == 14 }));
                    (Device::Away, "said goodbye")
                }
                alive @ (Device::Web(_) | Device::Binary(_)) => (alive, "beat"),
                // It is long over for the server; its end here goes too.
                Device::Silent(stream, since) if since.elapsed() > 2 * SILENCE => {
                    drop(stream);
                    (Device::Away, "was given up")
                }
                silent @ Device::Silent(..) => (silent, "is silent"),
            };
            *device = next;
            *self.done.entry(what).or_default() += 1;
            self.devices[at].1.beat();
        }
    }

    fn beat(&self) {
        self.devices.iter().for_each(|(_, device)| device.beat());
    }

    /// Who must be online for the devices of this flock.
    fn alive(&self) -> BTreeSet<usize> {
        let alive = |device: &Device| matches!(device, Device::Web(_) | Device::Binary(_));
        self.devices.iter().filter(|(_, device)| alive(device)).map(|(user, _)| *user).collect()
    }
}

impl Device {
    /// Says that it lives, and takes what there is to read.
    fn beat(&self) {
        let (stream, beat) = match self {
            Self::Web(stream) => (stream, frame(TEXT, r#"{"type":"heartbeat"}"#)),
            Self::Binary(stream) => {
                (stream, encoded(&ClientFrame::Heartbeat { tag: 1, answer: true, activity: false }))
            }
            Self::Away | Self::Silent(..) => return,
        };
        say(stream, &beat);
        let mut bytes = [0; 4_096];
        loop {
            match (&mut &*stream).read(&mut bytes) {
                Ok(0) => panic!("the server has closed a device that lives"),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) => panic!("the server has ended a device that lives: {error}"),
            }
        }
    }
}

/// A few bytes for a socket that is read at the other end.
fn say(mut stream: &TcpStream, bytes: &[u8]) {
    use std::io::Write;
    stream.write_all(bytes).unwrap();
}

fn come(site: &Site, token: &str, roll: usize) -> Device {
    let device = if roll.is_multiple_of(2) {
        Device::Web(Web::online(site, token).stream)
    } else {
        Device::Binary(Binary::welcome(site, connect_frame(token)).0.stream)
    };
    if let Device::Web(stream) | Device::Binary(stream) = &device {
        stream.set_nonblocking(true).unwrap();
    }
    device
}

/// What each way to ask says of the users, as the numbers of those online.
fn asked(site: &Site, watched: &BTreeMap<String, bool>) -> BTreeMap<&'static str, BTreeSet<usize>> {
    let online = |said: &dyn Fn(&str) -> bool| (0..USERS).filter(|n| said(&user(*n))).collect();
    let names: Vec<String> = (0..USERS).map(user).collect();

    let rest = site.post_as(
        &site.token("asker"),
        "/api/v1/presence/check-multiple",
        &json!({"userIds": names}).to_string(),
    );
    assert_eq!(rest.status, 200, "{rest:?}");
    let rest = rest.json();
    let rows = rest["users"].as_array().unwrap();
    let rest: BTreeMap<&str, bool> =
        rows.iter().map(|row| (row["userId"].as_str().unwrap(), row["online"] == true)).collect();

    let ids: Vec<Id> = names.iter().map(|name| Id::new(name).unwrap()).collect();
    let rows = site.service().query(&ids).unwrap();
    assert!(rows.iter().all(|row| row.status != Status::Unknown));
    let binary: BTreeMap<String, bool> =
        rows.into_iter().map(|row| (row.user.to_string(), row.status.is_online())).collect();

    let list = site.service().list(1_000).unwrap();
    let listed: BTreeSet<String> = list.into_iter().map(|row| row.user.to_string()).collect();
    BTreeMap::from([
        ("REST", online(&|name| rest[name])),
        ("a binary query", online(&|name| binary[name])),
        ("the list", online(&|name| listed.contains(name))),
        ("a WebSocket that watches", online(&|name| watched[name])),
    ])
}

fn everybody_agrees_on_a_crowd(io: &str) {
    let number = |name: &str, default: u64| {
        std::env::var(name)
            .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value}?")))
    };
    let time = Duration::from_secs(number("MUSTER_CROWD_SECONDS", 20));
    let seed = number("MUSTER_CROWD_SEED", 1);
    let extra = format!(
        "presence.silence = \"{0}s\"\nbinary.silence = \"{0}s\"\nbinary.heartbeat = \"2s\"\npresence.grace = \"{1}s\"\n\
         presence.ping = \"1s\"\nlimits.commands_per_second = 1000\nlimits.commands_burst = 1000\n\
         presence_api.check_multiple_limit = 1000000",
        SILENCE.as_secs(),
        GRACE.as_secs(),
    );
    let process = Process::start_on(io, &extra);
    let site = process.site();
    let before = process.figures();
    let names: Vec<String> = (0..USERS).map(user).collect();
    let tokens: Vec<String> = names.iter().map(|name| site.token(name)).collect();

    // The watcher follows all of them from the beginning; a thread of its own reads what it is told.
    let mut watcher = Web::online(&site, &site.token("watcher"));
    watcher.write(&frame(TEXT, json!({"type": "subscribe", "userIds": names}).to_string())).unwrap();
    let mut watched: BTreeMap<String, bool> = BTreeMap::new();
    let take = |frame: Value, watched: &mut BTreeMap<String, bool>| match frame["type"].as_str() {
        Some("presence") => {
            for row in frame["data"]["users"].as_array().unwrap() {
                watched.insert(row["userId"].as_str().unwrap().to_owned(), row["online"] == true);
            }
            false
        }
        Some("heartbeat_ack") => true,
        _ => false,
    };

    let begun = Instant::now();
    std::thread::scope(|scope| {
        let flocks: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (site, tokens) = (&site, &tokens);
                scope.spawn(move || {
                    let devices = (thread..DEVICES).step_by(THREADS);
                    let mut flock = Flock {
                        devices: devices.map(|device| (device % USERS, Device::Away)).collect(),
                        dice: Dice(seed * 1_000 + thread as u64),
                        done: BTreeMap::new(),
                        tokens: tokens.clone(),
                    };
                    while begun.elapsed() < time {
                        flock.step(site);
                        std::thread::sleep(Duration::from_millis(200));
                    }
                    flock
                })
            })
            .collect();
        // Meanwhile the watcher says now and then that it lives, and takes what comes.
        let beat = frame(TEXT, r#"{"type":"heartbeat"}"#);
        let mut breathe = |watched: &mut BTreeMap<String, bool>| {
            watcher.write(&beat).unwrap();
            while !take(next(&mut watcher), watched) {}
        };
        while flocks.iter().any(|flock| !flock.is_finished()) {
            breathe(&mut watched);
            std::thread::sleep(Duration::from_millis(100));
        }
        let ended = Instant::now();
        let mut truth = BTreeSet::new();
        let mut done: BTreeMap<&str, usize> = BTreeMap::new();
        let mut kept = Vec::new();
        for flock in flocks {
            let flock = flock.join().unwrap();
            truth.extend(flock.alive());
            for (what, times) in &flock.done {
                *done.entry(what).or_default() += times;
            }
            kept.push(flock);
        }
        eprintln!("{io}, seed {seed}: {done:?}; {} of {USERS} online in the end", truth.len());
        for what in ["came", "closed", "reset", "fell silent", "closed in order", "said goodbye"] {
            assert!(done.get(what).copied().unwrap_or(0) > 0, "nobody {what}");
        }

        // Whoever fell silent last is offline within silence, grace and a second; until then those who stay go on.
        let bound = SILENCE + GRACE + Duration::from_secs(1) + ALLOWANCE;
        loop {
            kept.iter().for_each(Flock::beat);
            breathe(&mut watched);
            let told = asked(&site, &watched);
            if told.values().all(|online| *online == truth) {
                break;
            }
            let wrong: Vec<String> = told
                .iter()
                .filter(|(_, online)| **online != truth)
                .map(|(who, online)| {
                    let ghosts: Vec<_> = online.difference(&truth).collect();
                    let missing: Vec<_> = truth.difference(online).collect();
                    format!("{who}: ghosts {ghosts:?}, missing {missing:?}")
                })
                .collect();
            assert!(ended.elapsed() < bound, "after {:?}: {wrong:#?}", ended.elapsed());
            std::thread::sleep(Duration::from_millis(200));
        }
        // The count has the watcher too, and whoever asked over REST has no session.
        let count = site.get("/api/v1/presence/online-count").json();
        assert_eq!(count["count"], truth.len() as u64 + 1);
    });
    // Everybody leaves, and nothing is left of them.
    drop(watcher);
    process.settles(&before);
    assert_eq!(process.metric("muster_handler_panics_total"), 0);
    assert!(!process.log().contains("panicked"), "{}", process.log());
}

/// The next text frame; pings are answered.
fn next(web: &mut Web) -> Value {
    loop {
        match web.frame() {
            Some((1, text)) => return serde_json::from_slice(&text).unwrap(),
            Some((9, payload)) => web.write(&frame(websocket_client::PONG, payload)).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}
