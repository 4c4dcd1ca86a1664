//! A node of the database is killed and started again while people write: what was acknowledged is there afterwards, once,
//! in order.
//!
//! One node, which all wait for, in the tests; three, of which one dies, for the table of `docs/RELIABILITY.md`:
//! `MUSTER_CQL_NODES=3 cargo test -p muster --test cql_nodes -- --nocapture`

#![allow(clippy::disallowed_methods, reason = "a test waits for real time to pass")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

#[path = "support/clients.rs"]
mod clients;
#[path = "support/servers.rs"]
mod servers;
mod support;
#[path = "support/writers.rs"]
mod writers;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use servers::Cql;
use support::process::Process;
use support::within;
use writers::{Acked, WRITERS, check, make_groups, write};

/// Messages that are acknowledged before and after each thing that happens.
const BETWEEN: u64 = 300;
const LONG: Duration = Duration::from_secs(240);

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_the_death_of_a_node() {
    let nodes: u32 = std::env::var("MUSTER_CQL_NODES").map_or(1, |text| text.parse().unwrap());
    let cql = Cql::new(nodes);
    cql.start();
    let folder = tempfile::tempdir().unwrap();
    let settings = format!(
        "{}limits.commands_per_second = 1000000\nlimits.commands_burst = 1000000\n",
        cql.settings("nodes")
    );
    let server = Process::start_in(folder.path(), "ring", &settings);
    within(LONG, "the tables are made", || server.log().contains("the store is connected").then_some(()));
    make_groups(&server);
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let site = Mutex::new(server.site());
    let more = |what: &str| {
        let before = count.load(Ordering::Acquire);
        within(LONG, what, || (count.load(Ordering::Acquire) >= before + BETWEEN).then_some(()));
    };
    let (acked, longest) = std::thread::scope(|scope| {
        let (site, stop, count) = (&site, &stop, &count);
        let writers: Vec<_> =
            (0..WRITERS).map(|number| scope.spawn(move || write(number, site, stop, count))).collect();
        // The longest time in which nothing was acknowledged.
        let watch = scope.spawn(move || {
            let (mut last, mut since, mut longest) = (0, Instant::now(), Duration::ZERO);
            while !stop.load(Ordering::Acquire) {
                let now = count.load(Ordering::Acquire);
                longest = longest.max(since.elapsed());
                if now != last {
                    (last, since) = (now, Instant::now());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            longest
        });
        more("messages are acknowledged");
        for node in 0..cql.nodes.len() {
            cql.signal(node, Signal::KILL);
            if nodes >= 3 {
                more("messages are acknowledged though a node is dead");
            }
            cql.start();
            more("messages are acknowledged when it is back");
        }
        stop.store(true, Ordering::Release);
        let acked: Vec<Acked> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        (acked, watch.join().unwrap())
    });
    let stored = check(&server, &acked);
    println!(
        "{nodes} nodes, each killed and started again: {} messages acknowledged, {stored} stored, none lost, none twice; \
         longest time without an acknowledgement {longest:?}",
        acked.len()
    );
}
