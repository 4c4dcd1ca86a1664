//! A node of the database is killed and started again while people write: what was acknowledged is there afterwards, once,
//! in order.
//!
//! One node, which all wait for, in the tests; three, each of which dies and one of which falls silent, for the table of
//! `docs/RELIABILITY.md`:
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
    // Milliseconds of the longest time in which nothing was acknowledged.
    let longest = AtomicU64::new(0);
    let (acked, killed) = std::thread::scope(|scope| {
        let (site, stop, count, longest) = (&site, &stop, &count, &longest);
        let writers: Vec<_> =
            (0..WRITERS).map(|number| scope.spawn(move || write(number, site, stop, count))).collect();
        scope.spawn(move || {
            let (mut last, mut since) = (0, Instant::now());
            while !stop.load(Ordering::Acquire) {
                let now = count.load(Ordering::Acquire);
                longest.fetch_max(since.elapsed().as_millis() as u64, Ordering::AcqRel);
                if now != last {
                    (last, since) = (now, Instant::now());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
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
        let killed = longest.swap(0, Ordering::AcqRel);
        if nodes >= 3 {
            // Nothing closes its connections: nobody is told that it does not answer.
            cql.signal(0, Signal::STOP);
            more("messages are acknowledged though a node is silent");
            cql.signal(0, Signal::CONT);
            more("messages are acknowledged when it speaks again");
        }
        stop.store(true, Ordering::Release);
        let acked: Vec<Acked> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        (acked, killed)
    });
    let stored = check(&server, &acked);
    println!(
        "{nodes} nodes, each killed and started again: {} messages acknowledged, {stored} stored, none lost, none twice; \
         longest time without an acknowledgement {killed} ms, and {} ms when one of several fell silent",
        acked.len(),
        longest.into_inner()
    );
}
