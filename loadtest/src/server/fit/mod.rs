//! What fits: how many sessions this machine can hold, by which shards, rings and source addresses, and why not more.
//!
//! A pure function of [`Facts`] and a [`Wish`]. The costs of a connection were measured (Linux 6.18, TCP over loopback):
//! 3.83 KiB of socket, inode, directory entry and file, and in a ring 0.86 KiB for the receive that waits and 0.03 for
//! the place in the table; 2,018,800 connections with both their ends on one machine took 18.3 GiB.
//!
//! ```
//! use loadtest::server::fit::{Costs, Facts, Wish, plan};
//!
//! let facts = Facts::read()?;
//! match plan(&facts, &Wish::new(1_000, Costs::BINARY)) {
//!     Ok(plan) => assert_eq!(plan.sessions, 1_000),
//!     Err(excess) => assert!(excess.to_string().contains("do not fit")),
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

mod excess;

use std::fmt;

use engine::limits::SHARDS_MAX;

pub use self::excess::{Bound, Excess, Limit};
pub use super::facts::{Facts, Guard, Shortage};
use super::words::{bytes, thousands};

/// Connections from one source address to one destination, where the generator chooses the ports.
pub const PORTS_A_SOURCE: u64 = 28_000;
/// Places of a ring's table that a plan leaves free, since connections are not spread evenly.
const SPARE_PLACES: u64 = 500;
/// The kernel's bound on a ring's table.
const LARGEST_TABLE: u64 = 1 << 20;
/// The most rings of the generator.
const RINGS_MAX: u64 = SHARDS_MAX as u64;
/// Memory that a ring locks, where its user may not lock any amount: 32 rings in 8 MiB.
const LOCKED_A_RING: u64 = 256 << 10;
/// Memory of a shard without its receive buffers: stack, queues, arena, store requests.
const SHARD: u64 = 2 << 20;
/// Memory of a ring of the generator with its buffers.
const RING: u64 = 2 << 20;
/// Server and generator without shards and sessions: code, pools, write buffers of the store, histograms.
const BASE: u64 = 96 << 20;
/// Length of a receive buffer: a crowd that mostly rests sends small frames, and a shard's buffers are used in turn, so
/// that all of them are touched in time.
const BUFFER: u64 = 1 << 10;
/// Receive buffers of all shards together do not take more than this, while each shard has some.
const BUFFERS_MEMORY: u64 = 8 << 20;
/// Microseconds that a shard with a core to itself gathers what comes, as is the server's default, and the most that it
/// may be told to.
const GATHER: (u64, u64) = (200, 10_000);
/// A small message that waits in a socket's buffer.
const MESSAGE: u64 = 1_280;

/// Bytes a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Costs {
    /// In the server's process.
    pub server: u64,
    /// In the kernel, for one end of a connection.
    pub kernel: u64,
    /// In the generator's process.
    pub generator: u64,
    /// The server keeps its socket at the front door, as one of the open files of its process, and not in a ring's table.
    pub at_the_door: bool,
}

impl Costs {
    /// A session of the binary protocol in a fresh server, the embedded store's share included.
    pub const BINARY: Self = Self { server: 610, kernel: 4_833, generator: 128, at_the_door: false };
    /// A presence WebSocket.
    pub const WEBSOCKET: Self = Self { server: 680, ..Self::BINARY };
    /// Socket.IO over a WebSocket.
    pub const SOCKET_IO: Self = Self { server: 1_000, ..Self::BINARY };
    /// Socket.IO with a parked long poll, the HTTP server's buffers included.
    pub const LONG_POLL: Self = Self { server: 24 << 10, generator: 512, at_the_door: true, ..Self::BINARY };
}

/// What is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wish {
    /// Sessions at a time.
    pub sessions: u64,
    /// What each costs.
    pub costs: Costs,
    /// The server runs on this machine, so both ends of each connection do. Otherwise only the generator is planned.
    pub own_server: bool,
    /// Shards of the server; `None`: as many as are needed, at least one a core.
    pub shards: Option<u32>,
    /// Rings of the generator; `None`: as many as are needed.
    pub rings: Option<u32>,
    /// Source addresses that there are. Loopback has as many as anybody needs.
    pub sources: u64,
    /// The generator chooses the port of each connection, as it does on loopback; otherwise the kernel does, from its
    /// range.
    pub own_ports: bool,
}

impl Wish {
    /// Sessions over loopback, with a server of one's own.
    #[must_use]
    pub fn new(sessions: u64, costs: Costs) -> Self {
        Self {
            sessions,
            costs,
            own_server: true,
            shards: None,
            rings: None,
            sources: 1 << 16,
            own_ports: true,
        }
    }

    /// Connections to a server elsewhere, all from one address.
    #[must_use]
    pub fn elsewhere(sessions: u64, costs: Costs) -> Self {
        Self { own_server: false, sources: 1, own_ports: false, ..Self::new(sessions, costs) }
    }
}

/// What fits, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Sessions.
    pub sessions: u64,
    /// Shards of the server; 0 where it does not run on this machine.
    pub shards: u32,
    /// The most connections of one shard, for the server's configuration.
    pub shard_connections: u64,
    /// Receive buffers of one shard, of 1 KiB.
    pub receive_buffers: u32,
    /// Microseconds that a shard gathers what comes before it turns: as many times longer as shards share a core, so
    /// that a core turns as often as with one.
    pub gather_micros: u64,
    /// Rings of the generator.
    pub rings: u32,
    /// Connections of one ring of the generator, at most.
    pub connections_per_ring: u64,
    /// Source addresses that the generator binds to.
    pub sources: u64,
    /// Connections from each of them, at most.
    pub connections_per_source: u64,
    /// What it will take.
    pub estimate: Estimate,
    /// The server would refuse connections before the crowd is complete: its watermarks are below what this plan uses.
    pub above_watermarks: bool,
    /// What bounds the figures of this run though it fits, in words.
    pub warnings: Vec<String>,
}

/// Memory that a run takes, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Estimate {
    /// The server's process.
    pub server: u64,
    /// The kernel, for all ends of connections on this machine.
    pub kernel: u64,
    /// The generator's process.
    pub generator: u64,
}

impl Estimate {
    /// All together.
    #[must_use]
    pub fn total(self) -> u64 {
        self.server.saturating_add(self.kernel).saturating_add(self.generator)
    }
}

impl Plan {
    /// The configuration of the server as environment variables.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut variables = vec![
            ("MUSTER_ENGINE__SHARDS".to_owned(), self.shards.to_string()),
            ("MUSTER_ENGINE__CONNECTIONS".to_owned(), self.shard_connections.to_string()),
            ("MUSTER_ENGINE__RECEIVE_BUFFER".to_owned(), format!("{BUFFER}B")),
            ("MUSTER_ENGINE__RECEIVE_BUFFERS".to_owned(), self.receive_buffers.to_string()),
        ];
        if self.gather_micros > GATHER.0 {
            variables.push(("MUSTER_ENGINE__GATHER_MICROS".to_owned(), self.gather_micros.to_string()));
        }
        if self.above_watermarks {
            // The guard of the harness watches in their place.
            for mark in ["CONNECTS", "PUBLISHES"] {
                variables.push((format!("MUSTER_LIMITS__MEMORY_REFUSE_{mark}"), "100".to_owned()));
            }
        }
        variables
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} sessions fit: {} shards, {} rings of the generator with at most {} connections each, {} source addresses;\n\
             about {} for the server, {} for the generator and {} for the kernel",
            thousands(self.sessions),
            self.shards,
            self.rings,
            thousands(self.connections_per_ring),
            self.sources,
            bytes(self.estimate.server),
            bytes(self.estimate.generator),
            bytes(self.estimate.kernel)
        )?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

/// Plans a run.
///
/// # Errors
/// When it does not fit: what would, and why not more.
pub fn plan(facts: &Facts, wish: &Wish) -> Result<Plan, Excess> {
    let fits = |limit: Limit, sessions: u64| Layout::of(facts, wish, sessions).keeps(facts, wish, limit);
    let mut bounds: Vec<Bound> = Limit::ALL
        .into_iter()
        .filter(|limit| !fits(*limit, wish.sessions))
        .map(|limit| {
            let fits = largest(wish.sessions, |sessions| fits(limit, sessions));
            Bound { limit, fits, words: excess::words(facts, wish, limit, fits) }
        })
        .collect();
    if bounds.is_empty() {
        return Ok(Layout::of(facts, wish, wish.sessions).plan(facts, wish));
    }
    bounds.sort_by_key(|bound| bound.fits);
    let fits = bounds[0].fits;
    // Nobody types 1,234,567, and the costs are not known to that digit.
    let fits = if fits > 10_000 { fits / 1_000 * 1_000 } else { fits };
    Err(Excess { wanted: wish.sessions, fits, bounds })
}

/// The largest number up to `most` for which `holds`, which holds for all smaller ones.
fn largest(most: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut below, mut above) = (0, most);
    while below < above {
        let middle = below + (above - below).div_ceil(2);
        if holds(middle) { below = middle } else { above = middle - 1 }
    }
    below
}

/// How many connections a plan gives to a ring.
fn places(facts: &Facts) -> u64 {
    let table = facts.open_files.min(LARGEST_TABLE);
    (table - SPARE_PLACES.min(table / 2)).max(1)
}

fn ports_a_source(facts: &Facts, wish: &Wish) -> u64 {
    if wish.own_ports { PORTS_A_SOURCE } else { u64::from(facts.ports.1 - facts.ports.0) + 1 }
}

/// Who holds which part of a number of sessions.
struct Layout {
    sessions: u64,
    shards: u64,
    rings: u64,
    sources: u64,
    receive_buffers: u64,
    estimate: Estimate,
}

impl Layout {
    fn of(facts: &Facts, wish: &Wish, sessions: u64) -> Self {
        let needed = sessions.div_ceil(places(facts)).max(1);
        let shards = match wish.shards.map(u64::from) {
            _ if !wish.own_server => 0,
            Some(shards) => shards.max(1),
            None => needed.max(facts.cores.into()).min(SHARDS_MAX as u64),
        };
        let rings = wish.rings.map_or(needed.min(RINGS_MAX), |rings| u64::from(rings).max(1));
        let buffers = (BUFFERS_MEMORY / BUFFER / shards.max(1)).clamp(64, 1_024);
        let receive_buffers = 1 << buffers.ilog2();
        let ends = if wish.own_server { 2 } else { 1 };
        let each = |cost: u64| sessions.saturating_mul(cost);
        let shard = SHARD + receive_buffers * BUFFER;
        let server = each(wish.costs.server).saturating_add(shards * shard + BASE);
        let estimate = Estimate {
            server: if wish.own_server { server } else { 0 },
            kernel: each(wish.costs.kernel.saturating_mul(ends)),
            generator: each(wish.costs.generator).saturating_add(rings * RING + BASE),
        };
        let sources = sessions.div_ceil(ports_a_source(facts, wish)).max(1);
        Self { sessions, shards, rings, sources, receive_buffers, estimate }
    }

    fn keeps(&self, facts: &Facts, wish: &Wish, limit: Limit) -> bool {
        let ends = if wish.own_server { 2 } else { 1 };
        match limit {
            Limit::Memory => self.estimate.total() <= facts.usable(),
            Limit::ShardTables => !wish.own_server || self.sessions <= self.shards * places(facts),
            Limit::DoorFiles => {
                let door = wish.own_server && wish.costs.at_the_door;
                !door || self.sessions <= facts.open_files.saturating_sub(SPARE_PLACES)
            }
            Limit::RingTables => self.sessions <= self.rings * places(facts),
            Limit::Ports => self.sources <= wish.sources,
            Limit::LockedMemory => {
                facts.locked.is_none_or(|locked| (self.shards + self.rings) * LOCKED_A_RING <= locked)
            }
            Limit::MachineFiles => facts.files.is_none_or(|files| self.sessions <= files / ends),
        }
    }

    fn plan(self, facts: &Facts, wish: &Wish) -> Plan {
        // Shards get what the kernel's hash gives them; those beyond the table take an open file each.
        let even = self.sessions.div_ceil(self.shards.max(1));
        // The server's own figure, and its default watermark of 80 %, with room for errors of the estimate.
        let used = facts.memory.saturating_sub(facts.available).saturating_add(self.estimate.total());
        Plan {
            sessions: self.sessions,
            shards: self.shards as u32,
            shard_connections: (even + even / 4 + 1_000).min(1 << 24),
            receive_buffers: self.receive_buffers as u32,
            gather_micros: (GATHER.0 * self.shards / u64::from(facts.cores).max(1)).clamp(GATHER.0, GATHER.1),
            rings: self.rings as u32,
            connections_per_ring: self.sessions.div_ceil(self.rings),
            sources: self.sources,
            connections_per_source: self.sessions.div_ceil(self.sources),
            estimate: self.estimate,
            above_watermarks: wish.own_server && used > facts.memory / 100 * 70,
            warnings: self.warnings(facts, wish),
        }
    }

    fn warnings(&self, facts: &Facts, wish: &Wish) -> Vec<String> {
        let mut warnings = Vec::new();
        let cores = u64::from(facts.cores);
        if self.shards > cores && wish.shards.is_none() {
            warnings.push(format!(
                "{} shards share {} cores, since a ring holds {} connections: with a higher limit on open files \
                 (ulimit -n, now {}) fewer would do, and a request would cost less CPU",
                thousands(self.shards),
                cores,
                thousands(places(facts)),
                thousands(facts.open_files)
            ));
        }
        if facts.accept_queue < 1_024 {
            warnings.push(format!(
                "only {} connections can wait to be accepted (net.core.somaxconn): fast ramps meet refusals and \
                 retries of a second",
                thousands(facts.accept_queue)
            ));
        }
        let ends = if wish.own_server { 2 } else { 1 };
        if facts.tcp_memory < self.sessions.saturating_mul(MESSAGE) {
            warnings.push(format!(
                "the kernel keeps the buffers of all TCP sockets within {} (net.ipv4.tcp_mem), {} a socket: a message \
                 to everybody at once is held back by it",
                bytes(facts.tcp_memory),
                bytes(facts.tcp_memory / (self.sessions * ends).max(1))
            ));
        }
        let ports = ports_a_source(facts, wish);
        if !wish.own_ports && self.sessions.div_ceil(self.sources) > ports / 2 {
            warnings.push(format!(
                "the kernel chooses the ports, from {} to {} (net.ipv4.ip_local_port_range): with more than half of \
                 them taken, connecting becomes slow, some 3,000 a second",
                facts.ports.0, facts.ports.1
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    /// Two cores and 24 GiB, 20,000 open files.
    fn machine() -> Facts {
        Facts {
            cores: 2,
            memory: 24 * GIB,
            available: 23 * GIB,
            open_files: 20_000,
            locked: None,
            files: None,
            ports: (32_768, 60_999),
            tcp_memory: 383_867 * 4_096,
            accept_queue: 4_096,
        }
    }

    fn wish(sessions: u64) -> Wish {
        Wish::new(sessions, Costs::BINARY)
    }

    #[test]
    fn a_small_run_takes_the_defaults() {
        let plan = plan(&machine(), &wish(10_000)).unwrap();
        assert_eq!((plan.shards, plan.rings, plan.sources), (2, 1, 1));
        assert_eq!((plan.receive_buffers, plan.connections_per_ring), (1_024, 10_000));
        assert!(plan.shard_connections > 5_000 && !plan.above_watermarks);
        assert!(plan.variables().iter().all(|(name, _)| name != "MUSTER_ENGINE__GATHER_MICROS"));
        assert_eq!(plan.warnings, [""; 0]);
        assert!(plan.estimate.total() < GIB / 2, "{:?}", plan.estimate);
    }

    #[test]
    fn many_sessions_take_many_rings() {
        let plan = plan(&machine(), &wish(1_500_000)).unwrap();
        assert_eq!((plan.shards, plan.rings, plan.sources), (77, 77, 54));
        assert!(plan.connections_per_ring <= 19_500 && plan.connections_per_source <= 28_000);
        assert_eq!(plan.receive_buffers, 64);
        // 18.3 GiB held two million without a server's memory in them.
        let gib = plan.estimate.total() as f64 / GIB as f64;
        assert!((14.5..16.0).contains(&gib), "{gib}");
        assert!(plan.warnings[0].contains("77 shards share 2 cores"), "{:?}", plan.warnings);
        assert!(plan.warnings[1].contains("tcp_mem"), "{:?}", plan.warnings);
        let variables = plan.variables();
        let value = |name: &str| variables.iter().find(|(one, _)| one == name).map(|(_, value)| &**value);
        assert_eq!(value("MUSTER_ENGINE__SHARDS"), Some("77"));
        assert_eq!(value("MUSTER_ENGINE__RECEIVE_BUFFERS"), Some("64"));
        // 77 shards on two cores.
        assert_eq!(value("MUSTER_ENGINE__GATHER_MICROS"), Some("7700"));
        assert_eq!(value("MUSTER_LIMITS__MEMORY_REFUSE_CONNECTS"), None);
    }

    #[test]
    fn says_what_fits_when_it_does_not() {
        let excess = plan(&machine(), &wish(5_000_000)).unwrap_err();
        assert_eq!((excess.bounds.len(), excess.bounds[0].limit), (1, Limit::Memory));
        assert!((1_900_000..2_300_000).contains(&excess.fits), "{}", excess.fits);
        let text = excess.to_string();
        assert!(text.starts_with("5,000,000 sessions do not fit on this machine; 2,"), "{text}");
        assert!(
            text.contains("23.0 GiB are available") && text.contains("1.4 GiB stay in reserve"),
            "{text}"
        );
        // What is said to fit does, and takes so much that the server's own watermarks are in the way.
        let fitting = plan(&machine(), &wish(excess.fits)).unwrap();
        assert!(fitting.above_watermarks);
        assert!(
            fitting.variables().contains(&("MUSTER_LIMITS__MEMORY_REFUSE_CONNECTS".into(), "100".into()))
        );
    }

    #[test]
    fn each_limit_bounds() {
        type Change = fn(&mut Facts, &mut Wish);
        let cases: [(Change, Limit, u64, &str); 9] = [
            (
                |_, wish| wish.costs = Costs::LONG_POLL,
                Limit::DoorFiles,
                19_500,
                "Each long poll is one, and the limit is 20,000",
            ),
            (
                |_, wish| wish.shards = Some(4),
                Limit::ShardTables,
                78_000,
                "4 shards hold 19,500 connections each",
            ),
            (|_, wish| wish.rings = Some(1), Limit::RingTables, 19_500, "1 rings hold 19,500"),
            (|_, wish| wish.sources = 3, Limit::Ports, 84_000, "there are 3 of the 15 addresses needed"),
            (
                |_, wish| *wish = Wish::elsewhere(wish.sessions, wish.costs),
                Limit::Ports,
                28_232,
                "or widen net.ipv4",
            ),
            (
                |facts, _| facts.locked = Some(8 << 20),
                Limit::LockedMemory,
                312_000,
                "this user may lock 8.0 MiB",
            ),
            (|facts, _| facts.files = Some(300_000), Limit::MachineFiles, 150_000, "raise fs.file-max"),
            (|facts, _| facts.open_files = 300, Limit::ShardTables, 153_600, "1,024 shards hold 150"),
            (|facts, _| facts.available = 2 * GIB, Limit::Memory, 0, "of which 1.4 GiB stay in reserve"),
        ];
        for (change, limit, fits, words) in cases {
            let (mut facts, mut wish) = (machine(), wish(400_000));
            change(&mut facts, &mut wish);
            let excess = plan(&facts, &wish).unwrap_err();
            let first = &excess.bounds[0];
            assert_eq!(first.limit, limit, "{excess}");
            assert!(first.words.contains(words), "{excess}");
            if fits > 0 {
                assert_eq!(excess.fits, fits / 1_000 * 1_000, "{excess}");
            }
            assert!(plan(&facts, &Wish { sessions: excess.fits, ..wish }).is_ok(), "{excess}");
        }
    }

    #[test]
    fn a_server_elsewhere_costs_nothing_here() {
        let here = plan(&machine(), &wish(300_000)).unwrap();
        let elsewhere = Wish { own_server: false, ..wish(300_000) };
        let elsewhere = plan(&machine(), &elsewhere).unwrap();
        assert_eq!((elsewhere.shards, elsewhere.estimate.server), (0, 0));
        assert_eq!(elsewhere.estimate.kernel * 2, here.estimate.kernel);
        assert!(!elsewhere.above_watermarks);
        let warnings =
            |sessions: u64| plan(&machine(), &Wish::elsewhere(sessions, Costs::BINARY)).unwrap().warnings;
        assert_eq!(warnings(14_000), [""; 0]);
        assert!(warnings(15_000)[0].contains("ip_local_port_range"));
    }

    #[test]
    fn nothing_at_all_is_an_answer_too() {
        let facts = Facts { available: 0, ..machine() };
        let excess = plan(&facts, &wish(10)).unwrap_err();
        assert!(excess.to_string().contains("not even one does"), "{excess}");
        assert!(plan(&machine(), &wish(0)).is_ok());
        assert!(plan(&machine(), &wish(u64::MAX)).is_err());
    }
}
