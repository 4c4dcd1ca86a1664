//! What the embedded store costs: memory, files, and time, with as many users as asked for.
//!
//! ```text
//! cargo run --release -p muster-engine --example store -- FOLDER [USERS]
//! ```

#![expect(clippy::print_stdout, reason = "printing is what it is for")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs, io, thread};

use muster_engine::limits::STORE_BATCH;
use muster_engine::machine::Router;
use muster_engine::machine::store::SeenRow;
use muster_engine::store::{Adapter, Kind, LatencyHistogram, open};
use schema::{Id, Key, Realm, ShardId};

const SHARDS: u16 = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let users: u64 = arguments.next().map_or(Ok(1_000_000), |users| users.parse())?;
    let kind = Kind::Embedded(folder.clone());
    let router = Router::new((1, 2), SHARDS);

    report("before", &folder)?;
    let begun = Instant::now();
    let mut store = open(&kind, &router)?.adapter;
    println!("opened empty in {:?}", begun.elapsed());
    report("empty", &folder)?;

    for (what, at, online) in [("all come", 1, true), ("all are seen", 2, true), ("all leave", 3, false)] {
        let stage = Stage::begin()?;
        for first in (0..users).step_by(STORE_BATCH) {
            let rows: Vec<_> = (first..users.min(first + STORE_BATCH as u64))
                .map(|number| Ok(SeenRow { user: user(number)?, last_seen: at, online }))
                .collect::<Result<_, Box<dyn Error>>>()?;
            timed(&stage.calls, || store.put_seen(&rows))?;
        }
        stage.end(what, users)?;
        report(what, &folder)?;
        if online {
            journal(&mut *store)?;
        }
    }

    let stage = Stage::begin()?;
    for round in 0..100 {
        let asked: Vec<_> = (0..STORE_BATCH as u64)
            .map(|of| user(scatter(round * 1_000 + of) % users))
            .collect::<Result<_, _>>()?;
        timed(&stage.calls, || store.get_seen(&asked))?;
    }
    stage.end("reads at random", 100 * STORE_BATCH as u64)?;

    drop(store);
    let begun = Instant::now();
    let store = open(&kind, &router)?;
    println!("opened again in {:?}", begun.elapsed());
    thread::park_timeout(Duration::from_secs(3));
    report("opened again, after 3 s", &folder)?;
    drop(store);
    Ok(())
}

/// The whole journal of every shard.
fn journal(store: &mut dyn Adapter) -> Result<(), Box<dyn Error>> {
    let stage = Stage::begin()?;
    let mut rows = 0;
    for shard in 0..SHARDS {
        let mut after = None;
        loop {
            let page = timed(&stage.calls, || store.journal(ShardId(shard), after.as_ref()))?;
            rows += page.users.len() as u64;
            after = page.users.last().map(|(user, _)| user.clone());
            if !page.more {
                break;
            }
        }
    }
    stage.end("the journal read", rows)?;
    Ok(())
}

/// A user with an id like those of most applications: a UUID.
fn user(number: u64) -> Result<Key, Box<dyn Error>> {
    let (a, b) = (scatter(number), scatter(number ^ 0x5555));
    let id = format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        a >> 32,
        a >> 16 & 0xffff,
        a & 0xffff,
        b >> 48,
        b & 0xffff_ffff_ffff
    );
    Ok(Key::new(Realm(0), Id::new(&id)?))
}

/// Spreads numbers over all numbers, each to its own.
fn scatter(number: u64) -> u64 {
    let mixed = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

fn timed<T>(histogram: &LatencyHistogram, call: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = call();
    histogram.record(begun.elapsed());
    result
}

/// Measures one stage: its time, and the processor's (all threads), which a busy machine does not spoil.
struct Stage {
    begun: Instant,
    cpu: f64,
    calls: LatencyHistogram,
}

impl Stage {
    fn begin() -> io::Result<Self> {
        Ok(Self { begun: Instant::now(), cpu: cpu_seconds()?, calls: LatencyHistogram::default() })
    }

    fn end(self, what: &str, rows: u64) -> io::Result<()> {
        let (took, cpu) = (self.begun.elapsed(), cpu_seconds()? - self.cpu);
        let snapshot = self.calls.snapshot();
        let [p50, p99, all] =
            [0.5, 0.99, 1.0].map(|share| snapshot.quantile(share).unwrap_or(u64::MAX) as f64 / 1e3);
        println!(
            "{what}: {rows} rows in {took:.1?}, {:.0}/s, {:.1} µs of processor each; \
             a call of {STORE_BATCH}: p50 ≤ {p50} ms, p99 ≤ {p99} ms, all ≤ {all} ms",
            rows as f64 / took.as_secs_f64(),
            cpu * 1e6 / rows as f64,
        );
        Ok(())
    }
}

/// Processor time of the process so far.
fn cpu_seconds() -> io::Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(") ").next().unwrap_or("");
    let ticks: f64 =
        after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / 100.0)
}

fn report(what: &str, folder: &Path) -> io::Result<()> {
    let status = fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
        line.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or(0)
    };
    println!(
        "  {what}: {:.1} MiB resident, {:.1} of it anonymous; {} MiB of disk",
        field("VmRSS:") as f64 / 1024.0,
        field("RssAnon:") as f64 / 1024.0,
        blocks(folder)? >> 20
    );
    Ok(())
}

/// Bytes on disk under a folder.
fn blocks(folder: &Path) -> io::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    if !folder.exists() {
        return Ok(0);
    }
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        sum += if entry.file_type()?.is_dir() {
            blocks(&entry.path())?
        } else {
            entry.metadata()?.blocks() * 512
        };
    }
    Ok(sum)
}
