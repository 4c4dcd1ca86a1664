//! A run that never was: the same figures each time, and something to see in every part of a report.

use std::collections::BTreeMap;

use serde_json::json;

use super::outcome::{Check, Generator, Latency, Machine, Memory3, Outcome, Server, Tick, Turns};

const CONNECTIONS: u64 = 10_000;
const RAMP: u64 = 12;
const WARM_UP: u64 = 5;
const MEASURE: u64 = 60;
const TEAR_DOWN: u64 = 4;

/// A run of 10,000 connections with a hiccup in its middle.
pub(crate) fn sample() -> Outcome {
    let timeline = timeline();
    let seconds = timeline.last().map_or(0.0, |tick| tick.at);
    Outcome {
        format: Outcome::FORMAT,
        title: "heartbeat · binary · 10,000 connections".into(),
        command: "muster-loadtest heartbeat --connections 10000 --rate 20000 --for 60s --server-pid 4711"
            .into(),
        started: "2026-03-14T09:26:53Z".into(),
        seconds,
        measured_seconds: MEASURE as f64,
        interrupted: false,
        plan: BTreeMap::from([
            ("scenario".into(), json!("heartbeat")),
            ("dialect".into(), json!("binary")),
            ("target".into(), json!("127.0.0.1:9000")),
            ("connections".into(), json!(CONNECTIONS)),
            ("rate".into(), json!(20_000)),
            ("ramp_seconds".into(), json!(RAMP)),
        ]),
        machine: Machine {
            kernel: "Linux 6.18.0".into(),
            processor: "AMD EPYC 9B14".into(),
            cores: 2,
            memory: 25_769_803_776,
            open_files: 1_048_576,
            version: "0.1.0".into(),
        },
        counts: counted(&timeline),
        errors: BTreeMap::from([("reset by peer".into(), 3), ("timed out".into(), 11)]),
        latencies: vec![
            latency("connect", "from SYN to the server's Welcome", CONNECTIONS, 0.62, 1.0),
            latency("heartbeat", "from the time it was due to its answer", 1_198_442, 0.18, 1.0),
            latency("delivery", "from a change of presence to each watcher", 86_211, 0.31, 1.6),
        ],
        timeline,
        generator: Generator {
            rings: 1,
            cpu_seconds: 21.4,
            bytes_per_connection: 212.0,
            lateness: latency("lateness", "how late it was sent", 1_198_456, 0.004, 0.7),
            warnings: vec![
                "41 heartbeats were sent more than 1 ms late: give the generator a core of its own".into(),
            ],
        },
        server: Some(server()),
        checks: vec![
            check("every connection was accepted", true, "10,000 of 10,000"),
            check("no session lost", true, "online as the server tells it: 10,000"),
            check("each request answered once", false, "11 of 1,198,453 heartbeats were not answered"),
            check("memory given back", true, "94% of it within 4 s"),
        ],
        notes: vec!["Both ends ran on this machine and shared its cores.".into()],
    }
}

fn check(name: &str, passed: bool, detail: &str) -> Check {
    Check { name: name.into(), passed, detail: detail.into() }
}

fn counted(timeline: &[Tick]) -> BTreeMap<String, u64> {
    let sum = |of: fn(&Tick) -> u64| timeline.iter().map(of).sum();
    BTreeMap::from([
        ("connected".into(), CONNECTIONS),
        ("requests".into(), sum(|tick| tick.requests)),
        ("answers".into(), sum(|tick| tick.answers)),
        ("deliveries".into(), 86_211),
        ("bytes_sent".into(), 21_571_956),
        ("bytes_received".into(), 28_411_220),
    ])
}

fn server() -> Server {
    Server {
        pid: 4_711,
        command: "muster serve --config muster.toml".into(),
        cpu_seconds: 14.2,
        user_seconds: 4.9,
        cpu_micros_per_unit: Some(11.85),
        unit: "heartbeat".into(),
        system_calls_per_unit: Some(0.41),
        memory: Memory3 { before: 11_204_000, with: 14_560_000, after: 11_402_000 },
        rehearsal: 1_000,
        memory_at_first: 8_300_000,
        kernel_memory: Memory3 { before: 0, with: 46_200_000, after: 1_200_000 },
        bytes_per_session: Some(335.6),
        kernel_bytes_per_session: Some(4_620.0),
        turns: vec![Turns {
            when: "all".into(),
            count: 410_233,
            mean: 0.031,
            p99: 0.256,
            p999: 0.512,
            max: 4.096,
        }],
        kernel_kinds: BTreeMap::from([
            ("slab:TCP".into(), Memory3 { before: 0, with: 24_100_000, after: 600_000 }),
            ("slab:sock_inode_cache".into(), Memory3 { before: 0, with: 9_800_000, after: 400_000 }),
            ("others".into(), Memory3 { before: 0, with: 12_300_000, after: 200_000 }),
        ]),
        metrics: BTreeMap::from([
            ("muster_sessions{shard=\"0\"}".into(), (0.0, 10_000.0)),
            ("muster_heartbeats_total{shard=\"0\"}".into(), (0.0, 1_198_442.0)),
            ("muster_ring_enters_total{shard=\"0\"}".into(), (1_204.0, 493_004.0)),
        ]),
    }
}

fn timeline() -> Vec<Tick> {
    let end = RAMP + WARM_UP + MEASURE;
    (1..=end + TEAR_DOWN).map(tick).collect()
}

fn tick(second: u64) -> Tick {
    let ramped = (second.min(RAMP) * CONNECTIONS) / RAMP;
    let end = RAMP + WARM_UP + MEASURE;
    let gone = second.saturating_sub(end) * CONNECTIONS / TEAR_DOWN;
    let open = ramped - gone.min(ramped);
    let phase = match second {
        0..=RAMP => "ramp",
        _ if second <= RAMP + WARM_UP => "warm-up",
        _ if second <= end => "measure",
        _ => "tear-down",
    };
    let wave = noise(second);
    let hiccup = matches!(second, 46..=48);
    let requests = if second > RAMP && second <= end { 19_700 + (wave * 600.0) as u64 } else { 0 };
    let errors = if hiccup { [5, 6, 3][(second - 46) as usize] } else { 0 };
    let busy = requests > 0;
    let slow = if hiccup { 14.0 } else { 1.0 };
    Tick {
        at: second as f64,
        phase: phase.into(),
        open,
        opened: if second <= RAMP { CONNECTIONS / RAMP } else { 0 },
        closed: if second > end { CONNECTIONS / TEAR_DOWN } else { 0 },
        requests,
        answers: requests.saturating_sub(errors) + if busy { 1_400 + (wave * 90.0) as u64 } else { 0 },
        errors,
        p50: busy.then_some(short(0.18 + wave * 0.03)),
        p99: busy.then_some(short((0.9 + wave * 0.4) * slow)),
        max: busy.then_some(short((3.0 + wave * wave * 5.0) * slow)),
        generator_cpu: short(if busy { 0.34 + wave * 0.05 } else { 0.12 }),
        server_cpu: Some(short(if busy { 0.23 + wave * 0.04 } else { 0.08 })),
        server_memory: second.is_multiple_of(5).then_some(11_204_000 + open * 336),
        kernel_memory: second.is_multiple_of(5).then_some(open * 4_620),
        server_online: Some(open.saturating_sub((wave * 20.0) as u64 * u64::from(second < RAMP))),
        server_turn: Some(0.512),
    }
}

/// To four places: a figure with so few digits is the same after it was written and read.
fn short(figure: f64) -> f64 {
    (figure * 1e4).round() / 1e4
}

/// From 0 to 1, the same for the same second.
fn noise(second: u64) -> f64 {
    let mixed =
        second.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed >> 40) as f64 / (1_u64 << 24) as f64
}

/// A distribution with a long tail: it grows with the number of nines.
fn latency(name: &str, what: &str, count: u64, median: f64, tail: f64) -> Latency {
    let at = |quantile: f64| {
        let nines = -(1.0 - quantile).max(1.0 / count as f64).log10();
        short(median * (0.55 + 0.45 * nines / 0.301).max(0.2) * (1.0 + (nines / 2.6).powf(3.0) * tail))
    };
    let steps = [
        0.0, 0.1, 0.25, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 0.998,
        0.999, 0.9995, 0.9998, 0.9999, 0.99995, 0.99999, 1.0,
    ];
    Latency {
        name: name.into(),
        what: what.into(),
        count,
        min: at(0.0),
        mean: at(0.6),
        p50: at(0.5),
        p90: at(0.9),
        p99: at(0.99),
        p999: at(0.999),
        max: at(1.0),
        distribution: steps.iter().map(|quantile| (*quantile, at(*quantile))).collect(),
    }
}
