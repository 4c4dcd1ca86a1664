//! What a run has found out: the JSON result, and all that the reports are made of.
//!
//! Times are seconds, latencies milliseconds, memory bytes, rates per second, CPU a share of one core (1.0 is one core
//! wholly busy). Fields are only ever added; [`Outcome::FORMAT`] grows when one changes its meaning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The result of one run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// [`Outcome::FORMAT`] of the program that wrote it.
    pub format: u32,
    /// A line for people: `heartbeat · binary · 10,000 connections`.
    pub title: String,
    /// The command that was given.
    pub command: String,
    /// When it began, RFC 3339, UTC.
    pub started: String,
    /// Seconds from the first connect to the last byte.
    pub seconds: f64,
    /// Seconds that were measured, warm-up and tear-down left out.
    pub measured_seconds: f64,
    /// Ended by Ctrl-C: what is here was measured until then.
    pub interrupted: bool,
    /// What was asked for: scenario, dialect, target, and every number.
    pub plan: BTreeMap<String, Value>,
    /// Where it ran.
    pub machine: Machine,
    /// What was counted, over the whole run. Names are stable: `connected`, `requests`, `answers`, `deliveries`, ….
    pub counts: BTreeMap<String, u64>,
    /// What went wrong, by cause.
    pub errors: BTreeMap<String, u64>,
    /// One entry for each kind of latency.
    pub latencies: Vec<Latency>,
    /// One entry a second, in order.
    pub timeline: Vec<Tick>,
    /// The generator itself.
    pub generator: Generator,
    /// The server, where it runs on this machine and may be looked at.
    pub server: Option<Server>,
    /// What was verified.
    pub checks: Vec<Check>,
    /// For the reader: what is worth knowing about these figures.
    pub notes: Vec<String>,
}

/// Where a run took place.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// `Linux 6.18.0`.
    pub kernel: String,
    /// The processor's name.
    pub processor: String,
    /// Cores that this process may use.
    pub cores: u32,
    /// Memory, bytes.
    pub memory: u64,
    /// Limit on open files.
    pub open_files: u64,
    /// Version of the harness.
    pub version: String,
}

/// The distribution of one kind of latency, milliseconds from the moment the request was due.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// `heartbeat`, `connect`, `delivery`, ….
    pub name: String,
    /// What is measured, for people.
    pub what: String,
    /// Samples.
    pub count: u64,
    /// Smallest.
    pub min: f64,
    /// Mean.
    pub mean: f64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// Largest.
    pub max: f64,
    /// `(quantile, milliseconds)`, rising, quantile from 0 to 1.
    pub distribution: Vec<(f64, f64)>,
}

/// What one second looked like.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tick {
    /// Seconds since the run began, at the end of this tick.
    pub at: f64,
    /// Which part of the run: `ramp`, `warm-up`, `measure`, `tear-down`, ….
    pub phase: String,
    /// Connections open.
    pub open: u64,
    /// Connections opened in this tick.
    pub opened: u64,
    /// Connections that ended in this tick.
    pub closed: u64,
    /// Requests sent in this tick.
    pub requests: u64,
    /// Answers and deliveries that came in this tick.
    pub answers: u64,
    /// Errors in this tick.
    pub errors: u64,
    /// Median latency of this tick, all kinds that the scenario measures, ms; `None`: nothing came.
    pub p50: Option<f64>,
    /// Its 99th percentile.
    pub p99: Option<f64>,
    /// Its largest.
    pub max: Option<f64>,
    /// The generator's CPU.
    pub generator_cpu: f64,
    /// The server's CPU; `None`: not seen.
    pub server_cpu: Option<f64>,
    /// The server's proportional set size, bytes; not read in every tick.
    pub server_memory: Option<u64>,
    /// Kernel memory of the machine (slabs, sockets), bytes above what it was before the run.
    pub kernel_memory: Option<u64>,
    /// Sessions online as the server's metrics tell it.
    pub server_online: Option<u64>,
    /// The 99.9th percentile of the shards' turns since the server was looked at before, ms, at most.
    pub server_turn: Option<f64>,
}

/// The generator: whether its figures can be believed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Generator {
    /// Threads, each with a ring of its own.
    pub rings: u32,
    /// CPU seconds while measuring.
    pub cpu_seconds: f64,
    /// Bytes of its own memory an idle connection.
    pub bytes_per_connection: f64,
    /// How late it sent what was due: the distribution.
    pub lateness: Latency,
    /// What was wrong with it, in words; empty: it was not the bottleneck.
    pub warnings: Vec<String>,
}

/// The server's side of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Server {
    /// Its process.
    pub pid: u32,
    /// Its command line.
    pub command: String,
    /// CPU seconds while measuring, user and kernel.
    pub cpu_seconds: f64,
    /// Those in user code.
    pub user_seconds: f64,
    /// CPU microseconds a request (or delivery, or connection: the scenario's unit of work); `None`: no work was done.
    pub cpu_micros_per_unit: Option<f64>,
    /// The unit: `heartbeat`, `connection`, `delivery`.
    pub unit: String,
    /// System calls a unit, where the server counts them.
    pub system_calls_per_unit: Option<f64>,
    /// Memory before the crowd, with it, and after it had left.
    pub memory: Memory3,
    /// Sessions of the smaller crowd that came and went before, and memory before it; 0: there was none.
    pub rehearsal: u64,
    /// See `rehearsal`; bytes.
    pub memory_at_first: u64,
    /// Kernel memory of the machine at the same three times.
    pub kernel_memory: Memory3,
    /// User memory a session: (with − before) ÷ sessions.
    pub bytes_per_session: Option<f64>,
    /// Kernel memory a session, both ends of the connection together.
    pub kernel_bytes_per_session: Option<f64>,
    /// How long the shards' turns took while it was measured; with questions also those beside them, and those without.
    pub turns: Vec<Turns>,
    /// Kernel memory of the machine by kind, at the same three times: each cache of objects (`slab:TCP`; only root may
    /// read them) and what `/proc/meminfo` tells apart. Kinds that the crowd did not change are left out.
    pub kernel_kinds: BTreeMap<String, Memory3>,
    /// Metrics scraped before and after, by their full name with labels.
    pub metrics: BTreeMap<String, (f64, f64)>,
}

/// Turns of the shards in a part of the run, milliseconds, from the server's own histogram: a quantile is the bound of the
/// bucket it falls into, so the true value is at most that.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Turns {
    /// In which part: `all`, `without counts`, `beside counts`.
    pub when: String,
    /// How many.
    pub count: u64,
    /// Mean.
    pub mean: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

/// Bytes at three times.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory3 {
    /// Before the crowd came.
    pub before: u64,
    /// With the crowd.
    pub with: u64,
    /// After it had left; 0: not measured.
    pub after: u64,
}

/// Something that was verified.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Check {
    /// `no session lost`.
    pub name: String,
    /// Whether it held.
    pub passed: bool,
    /// The figures behind it.
    pub detail: String,
}

impl Outcome {
    /// The format that this code writes.
    pub const FORMAT: u32 = 1;

    /// Whether every check held.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.passed)
    }
}
