//! The program is killed again and again while people write: what was acknowledged is there afterwards, once, in order.
//!
//! Three times in the tests; for the table of `docs/RELIABILITY.md`:
//! `MUSTER_KILLS=50 cargo test --release -p muster --test kills -- --nocapture`

#![allow(clippy::disallowed_methods, reason = "a test waits for real time to pass")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod support;
#[path = "support/writers.rs"]
mod writers;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::process::Process;
use support::within;
use writers::{Acked, WRITERS, check, make_groups, write};

const SETTINGS: &str =
    "store.kind = \"embedded\"\nlimits.commands_per_second = 1000000\nlimits.commands_burst = 1000000\n";

/// Messages that are acknowledged between two kills, at least.
const BETWEEN: u64 = 200;

#[test]
fn nothing_acknowledged_is_lost_or_doubled_by_a_kill() {
    let kills: u32 = std::env::var("MUSTER_KILLS").map_or(3, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut server = Process::start_in(folder.path(), "ring", SETTINGS);
    make_groups(&server);
    let (stop, count) = (AtomicBool::new(false), AtomicU64::new(0));
    let site = Mutex::new(server.site());
    let mut slowest = Duration::ZERO;
    let (acked, server) = std::thread::scope(|scope| {
        let (site, stop, count) = (&site, &stop, &count);
        let writers: Vec<_> =
            (0..WRITERS).map(|number| scope.spawn(move || write(number, site, stop, count))).collect();
        for round in 0..kills {
            let before = count.load(Ordering::Acquire);
            within(Duration::from_secs(60), "messages are acknowledged", || {
                (count.load(Ordering::Acquire) >= before + BETWEEN).then_some(())
            });
            server.kill();
            let begun = Instant::now();
            server = Process::start_in(folder.path(), "ring", SETTINGS);
            slowest = slowest.max(begun.elapsed());
            *site.lock().unwrap() = server.site();
            println!("kill {}: {} acknowledged so far", round + 1, count.load(Ordering::Acquire));
        }
        stop.store(true, Ordering::Release);
        let acked: Vec<Acked> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        (acked, server)
    });
    let stored = check(&server, &acked);
    println!(
        "{kills} kills, {} messages acknowledged, {} stored, none lost, none twice; ready again after at most {slowest:?}",
        acked.len(),
        stored
    );
}
