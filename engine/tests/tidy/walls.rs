//! Laws about walls: who may import whom, where `unsafe` may be, and where time and luck come in.

use std::collections::BTreeSet;

use crate::code::{attributes, full_paths, paths};
use crate::tree::{Breach, File, Law, Role, Tree};

/// A list that allows something names a reason each time, and may name nothing that is not needed.
type Allowed = &'static [(&'static str, &'static str)];

const MACHINE: &str = "engine/src/machine/";

/// What else of the standard library the machine may name: values, and no sockets, clocks, threads or locks.
const MACHINE_STD: [(&str, &[&str]); 6] = [
    ("std::time", &["std::time::Duration"]),
    ("std::sync", &["std::sync::Arc", "std::sync::Weak"]),
    ("std::net", &["std::net::SocketAddr", "std::net::IpAddr", "std::net::Ipv4Addr", "std::net::Ipv6Addr"]),
    ("std::io", &[]),
    ("std::fs", &[]),
    ("std::env", &[]),
];

/// Never, whatever follows.
const MACHINE_NEVER: [(&str, &str); 4] = [
    ("std::thread", "a machine has no thread"),
    ("std::process", "a machine knows no process"),
    ("std::os", "a machine knows no system"),
    ("std::future", "a machine does not wait"),
];

/// A map that is made without the driver's hasher has another order in every run.
const UNSEEDED: [&str; 5] = ["new", "with_capacity", "default", "from", "from_iter"];

pub(crate) static THE_MACHINE_IS_PURE: Law = Law {
    name: "engine/src/machine imports only schema, limits, std, ahash, hashbrown and siphasher, and is pure.",
    remedy: "give the machine what it needs as an Input or an argument, and let it ask by an Output; the shard \
             translates (engine/src/shard).",
    find: |tree| {
        let foreign = foreign_crates(tree);
        let mut breaches = Vec::new();
        for file in tree.product().filter(|file| file.is_under(MACHINE)) {
            let depth =
                file.path[MACHINE.len()..].trim_end_matches("mod.rs").trim_end_matches('/').split('/');
            let depth = depth.filter(|part| !part.is_empty()).count();
            for path in paths(&file.code().product) {
                let breach = |what: &str| Breach::at(file, path.line, format!("{}: {what}", path.text()));
                match path.parts[0] {
                    "crate" if path.is_within("crate::limits") || path.is_within("crate::machine") => {}
                    "crate" if path.leads_somewhere() => breaches.push(breach("outside the machine's walls")),
                    "super" if path.parts.iter().take_while(|part| **part == "super").count() > depth => {
                        breaches.push(breach("leads out of the machine"));
                    }
                    name if foreign.contains(name) && path.leads_somewhere() => {
                        breaches.push(breach("a crate that is not the machine's"));
                    }
                    "std" => {
                        let never = MACHINE_NEVER.iter().find(|(wall, _)| path.is_within(wall));
                        breaches.extend(never.map(|(_, why)| breach(why)));
                        let room = MACHINE_STD.iter().find(|(room, _)| path.is_within(room));
                        if room.is_some_and(|(_, doors)| !doors.iter().any(|door| path.is_within(door))) {
                            breaches.push(breach("not a plain value"));
                        }
                    }
                    "async" | "await" | "unsafe" | "println" | "eprintln" | "dbg" | "thread_local" => {
                        breaches.push(breach("has no place in a machine"));
                    }
                    _ => {}
                }
                if let [.., "HashMap" | "HashSet", made] = path.parts[..]
                    && UNSEEDED.contains(&made)
                {
                    breaches.push(breach("its order differs from run to run: give it the driver's hasher"));
                }
            }
        }
        breaches
    },
    guilty: &[
        ("engine/src/machine/x.rs", "use crate::shard::Shard;"),
        ("engine/src/machine/x.rs", "use crate::{limits, mesh::Inbox};"),
        ("engine/src/machine/x.rs", "use super::super::io::Clock;"),
        ("engine/src/machine/mod.rs", "use super::io::Clock;"),
        ("engine/src/machine/x.rs", "fn f() { tracing::info!(\"hello\"); }"),
        ("engine/src/machine/x.rs", "use std::time::{Duration, Instant};"),
        ("engine/src/machine/x/y.rs", "use std::sync::Mutex;"),
        ("engine/src/machine/x.rs", "use std::net::TcpStream;"),
        ("engine/src/machine/x.rs", "fn f() { std::thread::yield_now() }"),
        ("engine/src/machine/x.rs", "fn f() { let map: HashMap<u8, u8> = HashMap::new(); }"),
        ("engine/src/machine/x.rs", "async fn f() {}"),
    ],
    innocent: &[
        (
            "engine/src/machine/x.rs",
            "use crate::limits::A;\nuse super::y::B;\nuse std::sync::Arc;\nuse schema::Key;",
        ),
        (
            "engine/src/machine/x.rs",
            "// crate::shard does it\n#[cfg(test)]\nmod tests { use proptest::prelude::*; }",
        ),
        ("engine/src/shard/x.rs", "use crate::mesh::Inbox; use std::time::Instant;"),
    ],
};

/// What the engine depends on and its machine must not use.
fn foreign_crates(tree: &Tree) -> BTreeSet<String> {
    let allowed = ["schema", "ahash", "hashbrown", "siphasher"];
    let manifest = tree.files.get("engine/Cargo.toml");
    let names =
        manifest.into_iter().flat_map(dependencies).map(|dependency| dependency.name.replace('-', "_"));
    names.filter(|name| !allowed.contains(&&**name)).collect()
}

/// A line of a manifest's dependency tables.
struct Dependency<'a> {
    line: usize,
    name: &'a str,
    rest: &'a str,
    only_trials: bool,
}

fn dependencies(manifest: &File) -> Vec<Dependency<'_>> {
    let mut section = "";
    let mut found = Vec::new();
    for (line, text) in manifest.lines() {
        if let Some(header) = text.trim().strip_prefix('[') {
            section = header.trim_end_matches(']');
            if let Some((table, name)) = section.rsplit_once("dependencies.") {
                let only_trials = table.ends_with("dev-");
                found.push(Dependency { line, name, rest: "", only_trials });
            }
        } else if section.ends_with("dependencies")
            && section != "workspace.dependencies"
            && let Some((name, rest)) = text.split_once('=')
        {
            let name = name.trim().trim_matches('"').split('.').next().unwrap_or_default();
            found.push(Dependency { line, name, rest, only_trials: section.ends_with("dev-dependencies") });
        }
    }
    found
}

/// Our crates, whom each may use, and whom its tests may use besides. Nothing may use what stands below `loadtest`.
const ORDER: [(&str, &[&str], &[&str]); 8] = [
    ("schema", &[], &[]),
    ("engine", &["schema"], &[]),
    ("client", &["schema"], &[]),
    // Its tests drive a real server with the real client.
    ("gateway", &["schema", "engine"], &["client"]),
    // Its connections rest in the engine's rings.
    ("loadtest", &["schema", "client", "engine"], &["gateway"]),
    ("sim", &["schema", "engine", "client", "gateway"], &[]),
    ("benches", &["schema", "engine", "client", "gateway", "sim", "loadtest"], &[]),
    ("fuzz", &["schema", "engine", "client", "gateway", "sim"], &[]),
];

/// The crate of ours behind a name in a manifest.
fn ours(name: &str) -> Option<&'static str> {
    let name = match name {
        "muster" => "gateway",
        name => name.strip_prefix("muster-").unwrap_or(name),
    };
    ORDER.iter().map(|(crate_name, ..)| *crate_name).find(|crate_name| *crate_name == name)
}

pub(crate) static DEPENDENCIES_POINT_DOWN: Law = Law {
    name: "Dependencies point one way: schema <- engine <- gateway, schema <- client <- loadtest; sim, benches and \
           fuzz see all and nothing sees them.",
    remedy: "move the word both need down to schema, or the port it needs into the lower crate and its adapter into \
             the upper one; a new crate takes its place in ORDER (engine/tests/tidy/walls.rs).",
    find: |tree| {
        let mut breaches = Vec::new();
        for manifest in tree.manifests() {
            let owner = manifest.path.trim_end_matches("/Cargo.toml");
            let Some((_, below, in_trials)) = ORDER.iter().find(|(name, ..)| *name == owner) else {
                breaches.push(Breach::at(
                    manifest,
                    1,
                    format!("{owner} has no place in the order of crates"),
                ));
                continue;
            };
            for dependency in dependencies(manifest) {
                let package =
                    dependency.rest.split_once("package").and_then(|(_, tail)| tail.split('"').nth(1));
                let path = dependency.rest.split_once("path").and_then(|(_, tail)| tail.split('"').nth(1));
                let folder = path.and_then(|path| path.rsplit('/').next());
                let Some(used) =
                    [Some(dependency.name), package, folder].into_iter().flatten().find_map(ours)
                else {
                    continue;
                };
                let by_trials = dependency.only_trials && in_trials.contains(&used);
                if used != owner && !below.contains(&used) && !by_trials {
                    breaches.push(Breach::at(
                        manifest,
                        dependency.line,
                        format!("{owner} must not know {used}"),
                    ));
                }
            }
        }
        for file in tree.rust() {
            let owner = file.path.split('/').next().unwrap_or_default();
            let Some((name, below, in_trials)) = ORDER.iter().find(|(name, ..)| *name == owner) else {
                continue;
            };
            for path in paths(&file.code().tokens).iter().filter(|path| path.leads_somewhere()) {
                // Programs have no name in code; a module may have theirs.
                let Some(used) =
                    ours(&path.parts[0].replace('_', "-")).filter(|it| !["fuzz", "benches"].contains(it))
                else {
                    continue;
                };
                let by_trials = in_trials.contains(&used) && file.role == Role::Trial;
                if used != *name && !below.contains(&used) && !by_trials {
                    breaches.push(Breach::at(
                        file,
                        path.line,
                        format!("{owner} must not know {}", path.text()),
                    ));
                }
            }
        }
        breaches
    },
    guilty: &[
        ("schema/Cargo.toml", "[dependencies]\nengine.workspace = true\n"),
        ("engine/Cargo.toml", "[dev-dependencies]\nmuster = { path = \"../gateway\" }\n"),
        ("client/Cargo.toml", "[dependencies.muster-engine]\nworkspace = true\n"),
        (
            "client/Cargo.toml",
            "[target.'cfg(unix)'.dependencies]\nx = { package = \"muster-engine\", version = \"0\" }\n",
        ),
        ("gateway/Cargo.toml", "[dependencies]\nclient.workspace = true\n"),
        ("gateway/Cargo.toml", "[build-dependencies]\nsim = { path = \"../sim\" }\n"),
        ("attic/Cargo.toml", "[package]\nname = \"attic\"\n"),
        ("client/src/x.rs", "use engine::io::Clock;"),
        ("schema/tests/x.rs", "use muster_engine::io::Clock;"),
        ("engine/src/x.rs", "fn f() { gateway::serve() }"),
        ("gateway/src/x.rs", "use client::Connection;"),
    ],
    innocent: &[
        (
            "gateway/Cargo.toml",
            "[dependencies]\nengine.workspace = true\n[dev-dependencies]\nclient.workspace = true\n",
        ),
        ("sim/Cargo.toml", "[dependencies]\nengine.workspace = true\ngateway.workspace = true\n"),
        ("gateway/tests/x.rs", "use client::Connection; use base64::engine::general_purpose;"),
        ("client/src/x.rs", "use base64::engine::general_purpose; use schema::Id;"),
    ],
};

/// The engine's front interface: all that the gateway may name of it.
const DOORS: Allowed = &[
    ("engine::front", "it is the front interface"),
    ("engine::protocol", "what an edge is: bytes to commands, events to bytes"),
    ("engine::node", "how the shards are started, drained and stopped"),
    ("engine::kept", "what a stopped node has kept, for export, import and erase"),
    ("engine::limits", "every maximum; the configuration checks against them"),
    ("engine::host::Host", "the configuration's choice of a host"),
    ("engine::io::Choice", "the configuration's choice of a driver"),
    ("engine::io::Tuning", "the configuration's numbers of a driver"),
    ("engine::io::Close", "how an edge ends its connection"),
    ("engine::io::Clock", "the one clock, so that shards and front door agree on the time"),
    ("engine::io::sockets", "listening sockets and socket options, before a socket belongs to a shard"),
    ("engine::io::affinity", "the number of cores, for the default number of shards"),
    ("engine::mesh::Capacity", "the configuration's size of the inboxes"),
    ("engine::machine::input::Open", "what an edge says to open a session"),
    ("engine::machine::input::ConnRef", "the name of a connection, for what the front door brings to it"),
    ("engine::machine::Now", "the two clocks, as an edge is handed them"),
    ("engine::store::Kind", "the configuration's choice of a store"),
    ("engine::store::Scylla", "the way to the tables is opened by the configuration, before the node is"),
    ("engine::store::scylla", "the configuration's numbers of it, and `muster migrate`"),
    ("engine::store::Status", "what the store tells of itself, for readiness and the metrics"),
    ("engine::store::chat::Settings", "the configuration's numbers of the conversations' store"),
    ("engine::store::chat::Status", "what that store tells of itself, for readiness and the metrics"),
    ("engine::store::chat::SIZES", "the steps of its histogram of sizes, for the metrics"),
    ("engine::store::Health", "what the store tells of itself, for readiness and the metrics"),
    ("engine::store::BOUNDS", "the steps of the store's latency histogram, for the metrics"),
    ("engine::shard::report", "what a shard tells of itself, for the metrics"),
];

pub(crate) static THE_GATEWAY_USES_THE_DOOR: Law = Law {
    name: "The gateway uses only the engine's front interface.",
    remedy: "ask through engine::front::Door, or speak as an engine::protocol::Protocol; if the door lacks something, \
             give it to the door. A name the gateway truly needs goes on DOORS with its reason \
             (engine/tests/tidy/walls.rs); a name it no longer needs leaves it.",
    find: |tree| {
        let mut breaches = Vec::new();
        let mut used = BTreeSet::new();
        for file in
            tree.rust().filter(|file| file.is_under("gateway/src") || file.is_under("gateway/examples"))
        {
            for path in full_paths(&file.code().product) {
                // `use engine::store;` alone opens nothing: what the file then names behind it is looked at in full.
                let is_way = path.imported
                    && DOORS.iter().any(|(door, _)| door.starts_with(&format!("{}::", path.text())));
                if !path.is_within("engine") || !path.leads_somewhere() || is_way {
                    continue;
                }
                match DOORS.iter().find(|(door, _)| path.is_within(door)) {
                    Some((door, _)) => _ = used.insert(*door),
                    None => breaches.push(Breach::at(file, path.line, format!("{} is no door", path.text()))),
                }
            }
        }
        stale(tree, "DOORS", DOORS, |door| used.contains(door), &mut breaches);
        breaches
    },
    guilty: &[
        ("gateway/src/x.rs", "use engine::shard::Shard;"),
        ("gateway/src/x.rs", "use engine::{front::Door, machine::{Machine, input::Open}};"),
        ("gateway/src/x.rs", "use engine::io; fn f() { io::ring::Ring::new() }"),
        ("gateway/src/x.rs", "use engine as other; fn f() { other::shard::Shard::new() }"),
        ("gateway/src/x.rs", "use engine::io::*;"),
        ("gateway/src/x.rs", "fn f() -> engine::machine::Output { g() }"),
        ("gateway/examples/x.rs", "use engine::io::ring::Ring;"),
    ],
    innocent: &[
        ("gateway/src/x.rs", "use engine::front::{Answer, Desk};\nuse engine::io::{Close, sockets};"),
        ("gateway/src/x.rs", "use engine::{front, store}; fn f() { front::Door::ask; store::Kind::Memory }"),
        (
            "gateway/src/x.rs",
            "use base64::engine::general_purpose::STANDARD; fn f(engine: Engine) { engine.run() }",
        ),
    ],
};

/// What a list allows and nobody uses is a door left open.
fn stale(
    tree: &Tree,
    list: &str,
    allowed: Allowed,
    needed: impl Fn(&str) -> bool,
    breaches: &mut Vec<Breach>,
) {
    for (name, _) in allowed.iter().filter(|(name, _)| !needed(name)) {
        let what = format!("{list} still allows {name}, which nothing needs: strike it out");
        let path = "engine/tests/tidy/walls.rs";
        let line = tree.files.get(path).and_then(|file| file.lines().find(|(_, text)| text.contains(name)));
        breaches.push(Breach { path: path.into(), line: line.map_or(1, |(line, _)| line), what });
    }
}

/// Where `unsafe` may be; each block has its SAFETY comment (clippy).
const UNSAFE: Allowed = &[
    ("engine/src/io/", "system calls on sockets, rings and descriptors"),
    ("engine/src/host/glommio.rs", "glommio takes a descriptor over only as a number"),
    ("schema/src/generated/", "the FlatBuffers compiler writes it; what it reads was verified"),
    ("engine/tests/driver/", "the drivers are tried with socket options that std cannot set"),
    ("engine/examples/driver_measure.rs", "it measures io_uring's calls one by one, and CPU by getrusage"),
    ("benches/src/bin/ring_echo.rs", "the floor must be free of our driver"),
    ("benches/src/bin/epoll_echo.rs", "the floor must be free of our driver"),
];

pub(crate) static UNSAFE_STAYS_IN_ITS_ROOMS: Law = Law {
    name: "unsafe lives in engine/src/io, engine/src/host/glommio.rs and the generated schema code.",
    remedy: "find the safe call in std, or give engine/src/io a safe function for it (as engine/src/io/sockets.rs has \
             for socket options). A measurement that cannot do without goes on UNSAFE with its reason \
             (engine/tests/tidy/walls.rs).",
    find: |tree| {
        let mut breaches = Vec::new();
        let mut used = BTreeSet::new();
        for file in tree.rust() {
            let tokens = &file.code().tokens;
            if let Some((room, _)) = UNSAFE.iter().find(|(room, _)| file.is_under(room)) {
                if tokens.iter().any(|token| token.is("unsafe")) {
                    used.insert(*room);
                }
                continue;
            }
            let blocks = tokens.iter().filter(|token| token.is("unsafe"));
            breaches.extend(blocks.map(|token| Breach::at(file, token.line, "unsafe")));
            let relaxed =
                attributes(tokens).into_iter().filter(|it| it.has("unsafe_code") && !it.has("forbid"));
            breaches.extend(relaxed.map(|it| Breach::at(file, it.line, "relaxes the lint unsafe_code")));
        }
        stale(tree, "UNSAFE", UNSAFE, |room| used.contains(room), &mut breaches);
        breaches
    },
    guilty: &[
        ("gateway/src/x.rs", "fn f() { unsafe { g() } }"),
        ("engine/src/shard/x.rs", "unsafe impl Send for X {}"),
        ("client/src/x.rs", "#![allow(unsafe_code, reason = \"because\")]"),
        ("gateway/tests/x.rs", "fn f() { unsafe { g() } }"),
    ],
    innocent: &[
        ("engine/src/io/ring/x.rs", "fn f() { unsafe { g() } }"),
        ("gateway/src/x.rs", "// unsafe\nconst A: &str = \"unsafe\";\n/* unsafe */"),
    ],
};

/// The product's files that read a clock or draw luck.
const DRIVERS: Allowed = &[
    ("engine/src/io/clock.rs", "the shards' clock: read once a turn, and handed down as Now"),
    ("gateway/src/clock.rs", "the front door's one clock"),
    ("loadtest/src/clock.rs", "the harness's one clock: what it measures is real time"),
    ("sim/src/main.rs", "it says how many steps it made in a second; the run itself has a clock of its own"),
    (
        "client/src/blocking/link.rs",
        "the client's socket driver; its machine takes time and seed as arguments",
    ),
    (
        "gateway/src/rate.rs",
        "who chooses addresses and tokens must not be able to choose their place in a table",
    ),
    ("sim/src/main.rs", "says how many steps a second were made; no run depends on it"),
    ("gateway/src/auth/secret.rs", "a secret that was generated must not be guessed"),
    ("gateway/src/http/engineio.rs", "the id of a session is its client's secret, and must not be guessed"),
    (
        "gateway/src/serve.rs",
        "the seeds of a start: incarnation and hash keys come from the system here, once",
    ),
];

/// Crates that draw luck.
const LUCKY: [&str; 3] = ["getrandom", "rand", "fastrand"];

/// What reads a clock or draws luck.
const TIME_AND_LUCK: [&[&str]; 12] = [
    &["Instant", "now"],
    &["SystemTime", "now"],
    &["UNIX_EPOCH", "elapsed"],
    &["Utc", "now"],
    &["Local", "now"],
    &["thread_rng"],
    &["OsRng"],
    &["RandomState", "new"],
    &["RandomState", "default"],
    &["Uuid", "new_v4"],
    &["Uuid", "now_v7"],
    &["Ulid", "new"],
];

pub(crate) static TIME_AND_LUCK_ARE_ARGUMENTS: Law = Law {
    name: "No clock and no randomness but as an argument.",
    remedy: "take the time (Now, Clock) or the seed as an argument from the driver that calls you. A new driver goes \
             on DRIVERS with its reason (engine/tests/tidy/walls.rs). Tests may read clocks, but not the simulator's.",
    find: |tree| {
        let mut breaches = Vec::new();
        let mut used = BTreeSet::new();
        // A simulator that reads a clock cannot replay a run, so its tests are under this law too.
        for file in tree.rust().filter(|file| file.role == Role::Product || file.is_under("sim/")) {
            for path in paths(&file.code().product) {
                let lucky = LUCKY.contains(&path.parts[0]) && path.leads_somewhere();
                if !lucky && !TIME_AND_LUCK.iter().any(|source| path.parts.ends_with(source)) {
                    continue;
                }
                match DRIVERS.iter().find(|(driver, _)| *driver == file.path) {
                    Some((driver, _)) => _ = used.insert(*driver),
                    None => breaches.push(Breach::at(file, path.line, path.text())),
                }
            }
        }
        stale(tree, "DRIVERS", DRIVERS, |driver| used.contains(driver), &mut breaches);
        breaches
    },
    guilty: &[
        ("engine/src/shard/x.rs", "fn f() { let now = Instant::now(); }"),
        ("gateway/src/x.rs", "fn f() { g(std::time::SystemTime::now) }"),
        ("gateway/src/x.rs", "use rand::Rng; fn f() { rand::rng(); }"),
        ("client/src/x.rs", "fn f() { getrandom::fill(&mut b); }"),
        ("engine/src/x.rs", "fn f() { ahash::RandomState::new(); }"),
        ("gateway/src/x.rs", "fn f() { uuid::Uuid::new_v4(); }"),
        ("sim/tests/x.rs", "fn f() { let now = Instant::now(); }"),
    ],
    innocent: &[
        ("engine/tests/x.rs", "fn f() { let now = Instant::now(); }"),
        (
            "engine/src/x.rs",
            "// Instant::now\nfn f(now: Instant, rand: u32) { g(rand); RandomState::with_seeds(1, 2, 3, 4); }",
        ),
        ("engine/src/x.rs", "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }"),
    ],
};
