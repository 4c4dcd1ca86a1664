//! What a commit to the ledger costs, beside the bare append and sync of the same bytes:
//! `cargo run --release -p muster-engine --example commits -- --help`.
//!
//! 100,000 conversations, the popular ones as popular as Zipf's law has it; a message is 220 random bytes, and every
//! second one has a row of 24 → 6 bytes beside it. Floor and ledger take turns. Latency counts from the time at which a
//! message was to be sent, until its commit has returned.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement: it reports, stops at the first error, and reads clocks"
)]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use muster_engine::store::chat::rest_after;
use muster_engine::store::ledger::{self, Batch, Kind, Options, Reader, Space, Writer};

const CONVERSATIONS: usize = 100_000;
const VALUE: usize = 220;
const PAGE: usize = 50;
const PAGES: u64 = 200;

const HELP: &str = "\
--loops closed,open   which loops             --seconds 20     of each turn of the ledger; the floor has a quarter
--rounds 1            turns                   --rate 15000     messages a second in the open loop
--flight 1024         under way in the closed --window 2000   µs, see `store.commit_window`
--dir PATH       where (a folder of its own is made and removed)
--table 32 --segment 16 --merged 16 --cache 64   MiB   --spares 8            --runs 4  --separate 64|no
--fill 0              messages written before anything is measured
--rows                print figures and what they should be as JSON, a row a line, and the words to standard error
--reopen 0            instead: write as many messages, none of them flushed, and time the opening";

/// Whether standard output is for rows.
static ROWS: AtomicBool = AtomicBool::new(false);

/// Words for whoever watches.
macro_rules! say {
    ($($words:tt)*) => {
        if ROWS.load(Ordering::Relaxed) { eprintln!($($words)*) } else { println!($($words)*) }
    };
}

/// A figure and the bound it should keep, as a reader of rows takes it: `≤ 3` and `≥ 60000`.
fn row(what: &str, unit: &str, value: f64, bound: Option<(&str, f64)>, note: &str) {
    if !ROWS.load(Ordering::Relaxed) {
        return;
    }
    let (target, met) = match bound {
        Some((sign, bound)) => {
            let met = if sign == "≤" { value <= bound } else { value >= bound };
            (format!("\"{sign} {bound} {unit}\""), met.to_string())
        }
        None => ("null".into(), "null".into()),
    };
    println!(
        "{{\"what\":\"{what}\",\"unit\":\"{unit}\",\"min\":{value},\"median\":{value},\"max\":{value},\"runs\":1,\
         \"target\":{target},\"met\":{met},\"note\":\"{note}\"}}"
    );
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|it| it == "--help") {
        println!("{HELP}");
        return;
    }
    ROWS.store(arguments.iter().any(|it| it == "--rows"), Ordering::Relaxed);
    let text = |name: &str| {
        let at = arguments.iter().position(|it| it.strip_prefix("--") == Some(name))?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, or: u64| text(name).map_or(or, |it| it.parse().unwrap());
    let folder = tempfile::tempdir_in(text("dir").map_or_else(std::env::temp_dir, PathBuf::from)).unwrap();
    let mut options = Options::new(Instant::now, 0x5eed);
    options.table_bytes = (number("table", 32) << 20) as usize;
    options.segment_bytes = number("segment", 16) << 20;
    options.merged_bytes = number("merged", 16) << 20;
    options.spare_segments = number("spares", 8) as usize;
    options.cache_bytes = number("cache", 64) << 20;
    options.runs = number("runs", 4) as u8;
    options.separate = match text("separate").as_deref() {
        Some("no") => None,
        _ => Some(number("separate", 64) as u32),
    };
    let reopened = number("reopen", 0);
    if reopened > 0 {
        return reopen(folder.path(), options, reopened);
    }
    let path = folder.path().join("ledger");
    let (writer, reader) = ledger::open(&path, options).unwrap();
    let traffic = Traffic::new();
    let mut subject = Subject::Ledger(Box::new(writer), reader);
    let mut floor = Subject::Floor(File::create(folder.path().join("floor")).unwrap(), Vec::new());
    let fill = number("fill", 0);
    if fill > 0 {
        let run = Run {
            pace: Pace::Closed(4_096),
            window: Duration::ZERO,
            time: Duration::MAX,
            messages: fill,
            settled: true,
        };
        let traffic = measure("ledger, filled", &run, &mut subject, traffic, folder.path());
        return go_on(traffic, &arguments, &mut subject, &mut floor, folder.path());
    }
    go_on(traffic, &arguments, &mut subject, &mut floor, folder.path());
}

fn go_on(
    mut traffic: Traffic,
    arguments: &[String],
    subject: &mut Subject,
    floor: &mut Subject,
    folder: &Path,
) {
    let text = |name: &str| {
        let at = arguments.iter().position(|it| it.strip_prefix("--") == Some(name))?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, or: u64| text(name).map_or(or, |it| it.parse().unwrap());
    let loops = text("loops").unwrap_or_else(|| "closed,open".into());
    let time = Duration::from_secs(number("seconds", 20));
    let window = Duration::from_micros(number("window", 2_000));
    for _ in 0..number("rounds", 1) {
        for which in loops.split(',') {
            let pace = match which {
                "closed" => Pace::Closed(number("flight", 1_024)),
                _ => Pace::Open(number("rate", 15_000)),
            };
            if let Subject::Ledger(writer, ..) = &*subject {
                writer.wait_until_merged();
            }
            let run = Run { pace, window, time: time / 4, messages: u64::MAX, settled: true };
            traffic = measure(&format!("floor,  {which}"), &run, floor, traffic, folder);
            let run = Run { pace, window, time, messages: u64::MAX, settled: true };
            traffic = measure(&format!("ledger, {which}"), &run, subject, traffic, folder);
        }
    }
}

/// Writes and does not flush, drops everything, and opens it again.
fn reopen(folder: &Path, mut options: Options, messages: u64) {
    options.table_bytes = usize::MAX;
    let path = folder.join("ledger");
    let (writer, reader) = ledger::open(&path, options.clone()).unwrap();
    let mut subject = Subject::Ledger(Box::new(writer), reader);
    let run = Run {
        pace: Pace::Closed(1_024),
        window: Duration::ZERO,
        time: Duration::MAX,
        messages,
        settled: false,
    };
    measure("ledger, never flushed", &run, &mut subject, Traffic::new(), folder);
    drop(subject);
    let begun = Instant::now();
    let (_writer, reader) = ledger::open(&path, options).unwrap();
    say!("opened in {:.2} s", begun.elapsed().as_secs_f64());
    let mut count = 0;
    reader
        .scan(Space::Messages, (&[0], &[0xff; 16]), false, usize::MAX, |_, _| {
            count += 1;
            true
        })
        .unwrap();
    say!("{count} messages are there");
}

/// What is written to.
enum Subject {
    Ledger(Box<Writer>, Reader),
    Floor(File, Vec<u8>),
}

impl Subject {
    fn commit(&mut self, batches: &[Batch], payload: usize, busy: &mut u64) {
        match self {
            Self::Ledger(writer, ..) => loop {
                match writer.commit(batches) {
                    Ok(()) => return,
                    Err(failure) if failure.kind == Kind::Busy => {
                        *busy += 1;
                        writer.wait_for_index().unwrap();
                    }
                    Err(failure) => panic!("{failure}"),
                }
            },
            Self::Floor(file, bytes) => {
                bytes.resize(payload, 0x5a);
                file.write_all(bytes).unwrap();
                file.sync_data().unwrap();
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Pace {
    /// As many under way.
    Closed(u64),
    /// As many a second.
    Open(u64),
}

struct Run {
    pace: Pace,
    /// How long a commit gathers, at most.
    window: Duration,
    time: Duration,
    messages: u64,
    /// Whether all of it is to be in the index, and merged, before what was written is counted.
    settled: bool,
}

/// A message on its way to the writer.
struct Request {
    batch: Batch,
    payload: usize,
    due: Instant,
}

/// Makes messages.
struct Traffic {
    shares: Arc<[f64]>,
    sequences: Vec<u64>,
    luck: u64,
}

impl Traffic {
    fn new() -> Self {
        let mut sum = 0.0;
        let mut shares: Vec<_> = (1..=CONVERSATIONS)
            .map(|rank| {
                sum += 1.0 / rank as f64;
                sum
            })
            .collect();
        shares.iter_mut().for_each(|share| *share /= sum);
        Self { shares: shares.into(), sequences: vec![0; CONVERSATIONS], luck: 0x9e37_79b9_7f4a_7c15 }
    }

    fn next(&mut self) -> (Batch, usize) {
        let conversation = pick(&self.shares, &mut self.luck);
        self.sequences[conversation] += 1;
        let sequence = self.sequences[conversation];
        let mut value = [0; VALUE];
        for part in value.chunks_mut(8) {
            part.copy_from_slice(&roll(&mut self.luck).to_le_bytes()[..part.len()]);
        }
        let key = key(conversation, sequence);
        let mut batch = Batch::new();
        batch.put(Space::Messages, &key, &value);
        let mut payload = key.len() + VALUE;
        if sequence.is_multiple_of(2) {
            let name = [roll(&mut self.luck), conversation as u64, roll(&mut self.luck)]
                .map(u64::to_be_bytes)
                .concat();
            batch.put(Space::Sends, &name, &sequence.to_be_bytes()[2..]);
            payload += 30;
        }
        (batch, payload)
    }
}

fn roll(luck: &mut u64) -> u64 {
    *luck ^= *luck << 13;
    *luck ^= *luck >> 7;
    *luck ^= *luck << 17;
    *luck
}

fn pick(shares: &[f64], luck: &mut u64) -> usize {
    let at = roll(luck) as f64 / u64::MAX as f64;
    // The popular ones are spread over all keys.
    shares.partition_point(|&share| share < at).min(CONVERSATIONS - 1) * 7_919 % CONVERSATIONS
}

fn key(conversation: usize, sequence: u64) -> [u8; 16] {
    let mut key = [0; 16];
    key[2..10].copy_from_slice(&(conversation as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key[0] = 1;
    key[10..].copy_from_slice(&sequence.to_be_bytes()[2..]);
    key
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000, 3).unwrap()
}

fn measure(name: &str, run: &Run, subject: &mut Subject, mut traffic: Traffic, folder: &Path) -> Traffic {
    let (requests, taken) = mpsc::sync_channel::<Request>(1 << 20);
    let (acknowledge, acknowledged) = mpsc::channel::<u64>();
    let stop = Arc::new(AtomicBool::new(false));
    let aside = Arc::new(AtomicU64::new(0));
    let pages = match &*subject {
        Subject::Ledger(_, reader) => {
            let (reader, stop, aside, shares) =
                (reader.clone(), stop.clone(), aside.clone(), traffic.shares.clone());
            Some(thread::spawn(move || read_pages(&reader, &stop, &aside, &shares)))
        }
        Subject::Floor(..) => None,
    };
    let before = Usage::now(folder);
    let begun = Instant::now();
    let (pace, time, most) = (run.pace, run.time, run.messages);
    let generator = {
        let aside = aside.clone();
        thread::spawn(move || {
            let mut sent = 0;
            let mut credit = if let Pace::Closed(flight) = pace { flight } else { 0 };
            while begun.elapsed() < time && sent < most {
                let due = match pace {
                    Pace::Closed(_) => {
                        if credit == 0 {
                            let Ok(more) = acknowledged.recv() else { break };
                            credit += more;
                        }
                        credit += acknowledged.try_iter().sum::<u64>();
                        std::mem::take(&mut credit)
                    }
                    Pace::Open(rate) => {
                        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64 - sent;
                        if due == 0 {
                            thread::sleep(Duration::from_micros(500));
                        }
                        due
                    }
                };
                for _ in 0..due {
                    let (batch, payload) = traffic.next();
                    let due = match pace {
                        Pace::Closed(_) => Instant::now(),
                        Pace::Open(rate) => begun + Duration::from_secs_f64(sent as f64 / rate as f64),
                    };
                    requests.send(Request { batch, payload, due }).unwrap();
                    sent += 1;
                }
            }
            aside.fetch_add(processor_of_thread(), Ordering::Relaxed);
            traffic
        })
    };
    let (mut latencies, mut commits) = (histogram(), histogram());
    let (mut messages, mut payload, mut busy) = (0_u64, 0_u64, 0_u64);
    let (mut batches, mut dues) = (Vec::new(), Vec::new());
    let mut last: Option<(Instant, usize)> = None;
    while let Ok(first) = taken.recv() {
        let mut bytes = 0;
        // As the server's writer does.
        if let Some((begun, writes)) = last {
            thread::sleep(rest_after(run.window, writes).saturating_sub(begun.elapsed()));
        }
        for Request { batch, payload, due } in std::iter::once(first).chain(taken.try_iter()).take(1_024) {
            batches.push(batch);
            dues.push(due);
            bytes += payload;
        }
        let started = Instant::now();
        last = Some((started, batches.len()));
        subject.commit(&batches, bytes, &mut busy);
        let done = Instant::now();
        commits.record((done - started).as_micros().max(1) as u64).unwrap();
        for due in dues.drain(..) {
            latencies.record(done.saturating_duration_since(due).as_micros().max(1) as u64).unwrap();
        }
        messages += batches.len() as u64;
        payload += bytes as u64;
        _ = acknowledge.send(batches.len() as u64);
        batches.clear();
    }
    let took = begun.elapsed();
    let traffic = generator.join().unwrap();
    stop.store(true, Ordering::Relaxed);
    let pages = pages.map(|pages| pages.join().unwrap());
    let behind = Usage::now(folder);
    if let Subject::Ledger(writer, ..) = subject
        && run.settled
    {
        // What this run has to write is written before it is counted.
        writer.flush().unwrap();
        writer.wait_until_merged();
    }
    let after = Usage::now(folder);
    let at = |it: &Histogram<u64>, part: f64| it.value_at_quantile(part) as f64 / 1_000.0;
    let milliseconds = |it: &Histogram<u64>| {
        let at = |part: f64| at(it, part);
        format!(
            "p50 {:.2}, p99 {:.2}, p99.9 {:.2}, max {:.2} ms",
            at(0.5),
            at(0.99),
            at(0.999),
            it.max() as f64 / 1_000.0
        )
    };
    let each = |bytes: u64| bytes as f64 / payload as f64;
    say!(
        "{name}: {:.0} messages/s ({messages} in {:.1} s)",
        messages as f64 / took.as_secs_f64(),
        took.as_secs_f64()
    );
    say!("    acknowledged after  {}", milliseconds(&latencies));
    say!(
        "    a commit ({:.0} on average) {}; busy {busy} times",
        messages as f64 / commits.len() as f64,
        milliseconds(&commits)
    );
    let processor =
        behind.processor.saturating_sub(before.processor) as f64 - aside.load(Ordering::Relaxed) as f64;
    say!(
        "    {:.1} µs of processor a message, generator and reader not counted",
        processor / 1_000.0 / messages as f64
    );
    say!(
        "    written ÷ payload: {:.2} by the process (/proc/self/io), {:.2} at the whole disk (/sys/dev/block/*/stat)",
        each(after.process - before.process),
        each(after.disk - before.disk)
    );
    let ours = matches!(subject, Subject::Ledger(..));
    let bound = |sign, bound| ours.then_some((sign, bound));
    let rate = messages as f64 / took.as_secs_f64();
    let note = format!(
        "{messages} in {:.0} s; acknowledged after {}; busy {busy} times",
        took.as_secs_f64(),
        milliseconds(&latencies)
    );
    match pace {
        Pace::Closed(_) => row(&format!("{name}: messages"), "/s", rate, bound("≥", 60_000.0), &note),
        Pace::Open(_) => {
            let name = format!("{name}: acknowledged after, p99");
            row(&name, "ms", at(&latencies, 0.99), bound("≤", 10.0), &note);
            row(&format!("{name}.9"), "ms", at(&latencies, 0.999), bound("≤", 40.0), "");
        }
    }
    let longest = commits.max() as f64 / 1_000.0;
    // Flat out the writer waits for the index again and again; a server refuses what comes meanwhile.
    let most = bound("≤", 100.0).filter(|_| matches!(pace, Pace::Open(_)));
    row(&format!("{name}: longest commit"), "ms", longest, most, "the writer's waits for the index included");
    if ours {
        let written = each(after.disk - before.disk);
        row(&format!("{name}: written to the disk ÷ payload"), "×", written, bound("≤", 3.0), "");
    }
    if let Some((pages, rows)) = pages {
        let note = format!("{} pages, {PAGES} a second; {}", pages.len(), milliseconds(&pages));
        row(
            &format!("{name}: page of {PAGE} meanwhile, p99"),
            "ms",
            at(&pages, 0.99),
            bound("≤", 20.0),
            &note,
        );
        say!(
            "    {} pages of {PAGE}: {} ({:.0} rows on average)",
            pages.len(),
            milliseconds(&pages),
            rows as f64 / pages.len().max(1) as f64
        );
    }
    if let Subject::Ledger(_, reader) = subject {
        let warm = warm_pages(reader, &traffic.shares);
        row(
            &format!("{name}: page of {PAGE} after it, warm, p50"),
            "ms",
            at(&warm, 0.5),
            bound("≤", 1.0),
            "",
        );
        say!("    warm and idle: {}", milliseconds(&warm));
        for space in [Space::Messages, Space::Sends] {
            say!("    {space:?}: {:?}", reader.shape(space));
        }
        say!("    {} MiB of memory", resident() >> 20);
    }
    traffic
}

fn page(reader: &Reader, conversation: usize) -> u64 {
    let (lower, upper) = (key(conversation, 0), key(conversation, (1 << 48) - 1));
    let mut bytes = 0;
    reader
        .scan(Space::Messages, (&lower, &upper), true, PAGE, |_, value| {
            bytes += value.len();
            true
        })
        .unwrap() as u64
}

fn read_pages(
    reader: &Reader,
    stop: &AtomicBool,
    aside: &AtomicU64,
    shares: &[f64],
) -> (Histogram<u64>, u64) {
    let (mut pages, mut rows, mut luck) = (histogram(), 0, 0xb5ad_4ece_da1c_e2a9);
    let begun = Instant::now();
    for number in 0.. {
        let due = begun + Duration::from_secs(1) * number / PAGES as u32;
        if let Some(early) = due.checked_duration_since(Instant::now()) {
            thread::sleep(early);
        }
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let started = Instant::now();
        rows += page(reader, pick(shares, &mut luck));
        pages.record(started.elapsed().as_micros().max(1) as u64).unwrap();
    }
    aside.fetch_add(processor_of_thread(), Ordering::Relaxed);
    (pages, rows)
}

fn warm_pages(reader: &Reader, shares: &[f64]) -> Histogram<u64> {
    let mut pages = histogram();
    for turn in 0..2 {
        let mut luck = 77;
        for _ in 0..2_000 {
            let conversation = pick(shares, &mut luck);
            let started = Instant::now();
            page(reader, conversation);
            if turn == 1 {
                pages.record(started.elapsed().as_micros().max(1) as u64).unwrap();
            }
        }
    }
    pages
}

/// What the process and the disk have done so far.
struct Usage {
    processor: u64,
    process: u64,
    disk: u64,
}

impl Usage {
    fn now(folder: &Path) -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        let ticks: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks = ticks[11].parse::<u64>().unwrap() + ticks[12].parse::<u64>().unwrap();
        let io = fs::read_to_string("/proc/self/io").unwrap();
        let process =
            io.lines().find_map(|line| line.strip_prefix("write_bytes: ")).unwrap().parse().unwrap();
        let device = std::os::unix::fs::MetadataExt::dev(&fs::metadata(folder).unwrap());
        let (major, minor) = (device >> 8 & 0xfff, device & 0xff);
        let disk = fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/stat"))
            .map_or(0, |stat| stat.split_whitespace().nth(6).unwrap().parse::<u64>().unwrap() * 512);
        Self { processor: ticks * 10_000_000, process, disk }
    }
}

fn processor_of_thread() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split_whitespace().next().unwrap().parse().unwrap()
}

fn resident() -> u64 {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}
