//! The sections of the page, in its order. To add one, add an entry.

use super::{Context, Row, Run, Section};
use crate::counted;
use crate::micro::{CASES, Trouble};
use crate::stats::Summary;

/// All of them.
#[must_use]
pub fn sections() -> &'static [Section] {
    &[
        Section {
            name: "micro",
            title: "The small pieces",
            about: "Time of one call on one core, without sockets; `cargo bench -p muster-benches` measures the same cases \
                    at a desk.",
            run: Run::Here(micro),
        },
        Section {
            name: "drivers",
            title: "Heartbeats, side by side",
            about: "10,000 connections; each server on core 0, the generator on core 1. The servers take turns, a second each, at \
                    least 20 rounds: first with 10,000 heartbeats a second, evenly spaced, then with 256 under way at any time. CPU \
                    is the server process', all threads. The floors read and write as many bytes and do nothing else. Only the last server \
                    gathers what comes for 200 µs before it turns again, as is the default: its ratio to the floor, which does not, would not be one \
                    of equals.",
            run: Run::Here(super::drivers::heartbeats),
        },
        Section {
            name: "fanout",
            title: "One message to many",
            about: "15,000 subscribers of one channel on one shard on core 0, the generator on core 1, a payload of 64 bytes; by turns \
                    with the bare ring, which sends as many bytes to as many connections in batches and does nothing else.",
            run: Run::Here(super::drivers::fanout),
        },
        Section {
            name: "liveness",
            title: "What it costs to know that a session lives",
            about: "10,000 sessions on one shard, 10,000 signs of life a second, evenly spaced; the servers take turns. CPU per session \
                    and minute is for two signs of life a minute. TCP keep-alive is the kernel's: what the server's process does \
                    meanwhile is counted, the kernel's own probes are not.",
            run: Run::Here(super::drivers::liveness),
        },
        Section {
            name: "events",
            title: "Socket.IO beside Node's",
            about: "10,000 clients over WebSockets, an event with two arguments that is acked with the same; Node's socket.io 4.8.4 with ws, \
                    without compression, and the example `socketio_echo`, each on core 0, the generator on core 1, by turns. The floor is a bare \
                    ring that sends as many short requests back and knows no protocol, at once; the example gathers for 200 µs, as is the default.",
            run: Run::Here(super::events::acks),
        },
        Section {
            name: "pings",
            title: "A ping of Socket.IO's beside a heartbeat of the presence API's",
            about: "10,000 clients over WebSockets, each heard of once a second, evenly spaced; the server on core 0 with one shard, the generator \
                    on core 1, by turns.",
            run: Run::Here(super::events::pings),
        },
        Section {
            name: "room",
            title: "A message to a room of 10,000",
            about: "The messaging API's `message:send` in a group of 10,000 members who are all there (store in memory), and `io.to(room).emit` of as \
                    long a message in Node; one at a time and four at once, until everybody has been told. The floor is a bare ring that \
                    sends a few bytes to as many connections.",
            run: Run::Here(super::events::room),
        },
        Section {
            name: "million",
            title: "A million sessions",
            about: "A fresh server and the harness on this machine; authenticated, each its own user with an id of 36 characters, \
                    heartbeats every 30 s for ten minutes. User memory is the growth of the server's Pss; the kernel's is that of \
                    both ends of a connection.",
            run: Run::Here(super::load::million),
        },
        Section {
            name: "density-binary",
            title: "How many binary sessions",
            about: "As above, with more of them, for a minute. Answered heartbeats of 1,500,000 sessions every 30 s are 50,000 a second, which at \
                    25 µs on either side is more than two cores: these sessions send one a minute.",
            run: Run::Here(super::load::density_binary),
        },
        Section {
            name: "density-most",
            title: "As many binary sessions as fit",
            about: "As above, as near to 2,000,000 as this machine's memory allows, with one heartbeat in four minutes. While they are held, a service asks ten times a second how \
                    many are online, in every other five seconds: the shards' turns beside that and without it.",
            run: Run::Here(super::load::density_most),
        },
        Section {
            name: "memory",
            title: "What a session takes, by kind",
            about: "200,000 sessions on a fresh server, both ends on this machine. The server's own memory is itemised in \
                    [ARCHITECTURE.md](ARCHITECTURE.md#what-an-idle-session-costs), and tests hold its slots to their sizes; the kernel's is the growth \
                    of its caches of objects (`/proc/slabinfo`) and of what `/proc/meminfo` tells apart, both ends together: a socket of \
                    each end is one `TCP`, with its inode (`sock_inode_cache`), its name (`dentry`) and its open file (`filp`). Rings and tables of \
                    direct descriptors are in `others`.",
            run: Run::Here(super::load::memory),
        },
        Section {
            name: "density-websocket",
            title: "How many presence WebSockets",
            about: "As above.",
            run: Run::Here(super::load::density_websocket),
        },
        Section {
            name: "density-socketio",
            title: "Clients of Socket.IO that do nothing",
            about: "As above: 100,000 over WebSockets for five minutes and 300,000 for half a minute, and 10,000 over long polls, one of which is always parked at the server.",
            run: Run::Here(super::load::density_socketio),
        },
        Section {
            name: "growth",
            title: "A heartbeat among many",
            about: "As many shards and rings, as many heartbeats a second, with few sessions and with a million.",
            run: Run::Here(super::load::growth),
        },
        Section {
            name: "storm",
            title: "All drop, all come back",
            about: "200,000 sessions with a grace of 30 s; the server on core 0, the generator on core 1.",
            run: Run::Here(super::load::storm),
        },
        Section {
            name: "told",
            title: "How soon watchers are told",
            about: "1,000 watchers of 200 users each; 250 of 2,000 users log out a second and come back after 3 s.",
            run: Run::Here(super::load::told),
        },
        Section {
            name: "crowd",
            title: "One message to 30,000; readers that do not read",
            about: "Two shards by default, one for the 30,000.",
            run: Run::Here(super::load::crowd),
        },
        Section {
            name: "store",
            title: "The store of messages by itself",
            about: "The embedded store without a server: 100,000 conversations, the popular ones as popular as Zipf's law has it, an fsync before each \
                    acknowledgement, its index keeping up, 200 pages of history read a second. Open: 15,000 a second for a minute; \
                    closed: 1,024 under way for five. The floor, a bare append and fdatasync of the same bytes, takes turns with it.",
            run: Run::Program(&[
                "bash",
                "-c",
                // The one that writes little first: 14 GB that are deleted keep the disk busy.
                "for turn in 'open --seconds 60' 'closed --seconds 300'; do \
                 cargo run --release -q -p muster-engine --example commits -- --rows --loops $turn || exit; done",
            ]),
        },
        Section {
            name: "messages",
            title: "Messages",
            about: "A fresh server with the embedded store, an fsync before each acknowledgement, and the harness on this machine: 500 users, each in \
                    400 conversations of two; every message is told to both, 200 pages of history are read a second, and at the end \
                    everything is read back and compared.",
            run: Run::Here(super::load::messages),
        },
        Section {
            name: "instructions",
            title: "Instructions on the hottest paths",
            about: "Instructions a call under callgrind: the same on any machine, however busy, so CI holds them against \
                    `benches/instructions.json`. Renew them with `cargo run --release -p muster-benches --bin instructions -- --write`.",
            run: Run::Here(instructions),
        },
    ]
}

fn micro(_: &Context) -> Result<Vec<Row>, Trouble> {
    CASES.iter().map(|case| Ok(Row::new(case.what, "ns", case.nanoseconds()?))).collect()
}

fn instructions(context: &Context) -> Result<Vec<Row>, Trouble> {
    let program = std::env::current_exe()?.with_file_name("instructions");
    if !program.exists() {
        return Err("first build it: cargo build --release -p muster-benches --bin instructions".into());
    }
    let committed = std::fs::read(context.root.join("benches/instructions.json")).unwrap_or_default();
    let changes = counted::compare(
        &counted::count_guarded(&program)?,
        &serde_json::from_slice(&committed).unwrap_or_default(),
    );
    let rows = changes.into_iter().map(|(name, change)| {
        let what = CASES.iter().find(|case| case.name == name).map_or(&*name, |case| case.what).to_owned();
        let once = Summary { count: 1, min: change.now, median: change.now, max: change.now };
        let note = change.percent().map(|percent| format!("{percent:+.1} % against the committed count"));
        Row::new(what, "instructions", once).noted(note.unwrap_or_default())
    });
    Ok(rows.collect())
}
