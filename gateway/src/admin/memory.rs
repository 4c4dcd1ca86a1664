//! What the process takes, as the system and as the allocator count it.

use std::fs;

#[cfg(feature = "jemalloc")]
use tikv_jemalloc_ctl::{epoch, stats};

use super::text::{Kind, Text};

/// Prometheus' own names for what every process has, and what the allocator tells of it.
pub(super) fn memory(text: &mut Text) {
    if let Some(resident) = resident() {
        text.gauge("process_resident_memory_bytes", "Memory in use, as the system counts it.", resident);
    }
    if let Some(open) = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as u64) {
        // The folder that is being read is one of them.
        text.gauge(
            "process_open_fds",
            "Open descriptors; those of rings' tables are not among them.",
            open - 1,
        );
    }
    #[cfg(feature = "jemalloc")]
    allocator(text);
}

/// Second number of the line: resident pages.
fn resident() -> Option<u64> {
    let line = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// What is in use by the program and what is kept for it are told apart: memory that does not come back after a crowd
/// has left is either held by somebody or scattered.
#[cfg(feature = "jemalloc")]
fn allocator(text: &mut Text) {
    // Figures are of the latest epoch.
    if epoch::advance().is_err() {
        return;
    }
    let mut metric = text.metric(
        "muster_allocator_bytes",
        Kind::Gauge,
        "Memory by the allocator's count: what the program has asked for, the pages that it lies on, the pages that are in memory.",
    );
    for (kind, bytes) in [
        ("allocated", stats::allocated::read()),
        ("active", stats::active::read()),
        ("resident", stats::resident::read()),
    ] {
        if let Ok(bytes) = bytes {
            metric.value(&[("kind", kind)], bytes as u64);
        }
    }
}
