//! The facts of this machine that bound a run, and the guard that watches over its memory while one is under way.

use std::fs;
use std::io;

use engine::io::affinity;
use rustix::process::{Resource, geteuid, getrlimit};

use super::machine::{Group, Memory};
use super::words::bytes;

/// What bounds the number of sessions on this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// Processors that this process may use.
    pub cores: u32,
    /// Memory of the machine, or the limit of the group of processes (cgroup) where that is less; bytes.
    pub memory: u64,
    /// What of it can still be used, bytes.
    pub available: u64,
    /// The most open files that this process, and a server started by it, may have. It bounds each ring's table too.
    pub open_files: u64,
    /// Bytes that may be locked in memory by all processes of this user; `None`: any number.
    pub locked: Option<u64>,
    /// Open files that the whole machine can still have, sockets in rings included; `None`: no bound for this user.
    pub files: Option<u64>,
    /// First and last port that the kernel gives to connections.
    pub ports: (u16, u16),
    /// Bytes in the buffers of all TCP sockets from which the kernel makes them smaller.
    pub tcp_memory: u64,
    /// Longest queue of connections that wait to be accepted.
    pub accept_queue: u64,
}

impl Facts {
    /// Reads them. What cannot be read does not bound.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn read() -> io::Result<Self> {
        let memory = Memory::read()?;
        let group = Group::read(memory.total);
        let root = geteuid().is_root();
        let setting = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default();
        let page = rustix::param::page_size() as u64;
        let files = numbers(&setting("fs/file-max")).first().copied();
        let used = numbers(&setting("fs/file-nr")).first().copied().unwrap_or(0);
        Ok(Self {
            cores: affinity::allowed_cpus().len() as u32,
            memory: group.map_or(memory.total, |group| group.limit),
            available: group.map_or(memory.available, |group| group.left().min(memory.available)),
            open_files: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
            locked: getrlimit(Resource::Memlock).current.filter(|_| !root),
            files: files.filter(|_| !root).map(|files| files.saturating_sub(used)),
            ports: ports(&setting("net/ipv4/ip_local_port_range")),
            tcp_memory: numbers(&setting("net/ipv4/tcp_mem"))
                .get(1)
                .map_or(u64::MAX, |pages| pages.saturating_mul(page)),
            accept_queue: numbers(&setting("net/core/somaxconn")).first().copied().unwrap_or(u64::MAX),
        })
    }

    /// Memory that a run leaves to everybody else: 6 %, or 1 GiB where that is more, but never more than half.
    #[must_use]
    pub fn reserve(&self) -> u64 {
        reserve(self.memory)
    }

    /// What a run may use: [`Facts::available`] less the reserve.
    #[must_use]
    pub fn usable(&self) -> u64 {
        self.available.saturating_sub(self.reserve())
    }
}

/// Watches over the machine's memory while a crowd grows: ask it once a second, and stop growing when it says so.
#[derive(Clone, Copy, Debug)]
pub struct Guard {
    before: Memory,
    reserve: u64,
}

/// Memory is short.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("only {} of memory are left, less than the reserve of {}: no more connections", bytes(*left), bytes(*reserve))]
pub struct Shortage {
    /// Bytes left.
    pub left: u64,
    /// Bytes that should be.
    pub reserve: u64,
}

impl Guard {
    /// Made before the crowd comes: the growth of the kernel's memory is reckoned from here.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn new() -> io::Result<Self> {
        let before = Memory::read()?;
        let total = Group::read(before.total).map_or(before.total, |group| group.limit);
        Ok(Self { before, reserve: reserve(total) })
    }

    /// Looks now: how many bytes are left, or that they are too few.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn look(&self) -> io::Result<Result<u64, Shortage>> {
        let memory = Memory::read()?;
        Ok(self.check(&memory, Group::read(memory.total)))
    }

    /// The same for figures that were read by others, such as [`super::watch::Sample::memory`].
    ///
    /// # Errors
    /// The shortage.
    pub fn check(&self, memory: &Memory, group: Option<Group>) -> Result<u64, Shortage> {
        let left = memory.left(&self.before);
        let left = group.map_or(left, |group| group.left().min(left));
        if left < self.reserve { Err(Shortage { left, reserve: self.reserve }) } else { Ok(left) }
    }
}

fn reserve(memory: u64) -> u64 {
    (memory / 100 * 6).max(1 << 30).min(memory / 2)
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect()
}

/// The kernel's default where it cannot be read.
fn ports(text: &str) -> (u16, u16) {
    let port = |number: u64| u16::try_from(number).ok();
    match numbers(text)[..] {
        [first, last] if first <= last => port(first).zip(port(last)),
        _ => None,
    }
    .unwrap_or((32_768, 60_999))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_reserve_suits_small_and_large_machines() {
        assert_eq!([1, 8, 100].map(|gib| reserve(gib * GIB) / (GIB / 100)), [50, 100, 600]);
    }

    #[test]
    fn reads_ports() {
        assert_eq!(ports("10000\t65535\n"), (10_000, 65_535));
        for broken in ["", "5", "9 1", "1 70000", "x y"] {
            assert_eq!(ports(broken), (32_768, 60_999), "{broken}");
        }
    }

    #[test]
    fn the_guard_counts_what_sockets_took() {
        let before = Memory { total: 16 * GIB, available: 14 * GIB, ..Memory::default() };
        let guard = Guard { before, reserve: GIB };
        assert_eq!(guard.check(&before, None), Ok(14 * GIB));
        // The kernel says 1.5 GiB, of which one is inodes of sockets.
        let full = Memory { available: 3 * GIB / 2, slab_reclaimable: GIB, ..before };
        let shortage = guard.check(&full, None).unwrap_err();
        assert_eq!(
            shortage.to_string(),
            "only 512.0 MiB of memory are left, less than the reserve of 1.0 GiB: no more connections"
        );
        let group = Group { limit: 4 * GIB, used: 7 * GIB / 2 };
        assert_eq!(guard.check(&before, Some(group)).unwrap_err().left, GIB / 2);
    }

    #[test]
    fn this_machine_has_facts() {
        let facts = Facts::read().unwrap();
        assert!(facts.cores > 0 && facts.open_files > 0 && facts.available <= facts.memory);
        assert!(facts.usable() < facts.available && facts.ports.0 <= facts.ports.1);
        Guard::new().unwrap().look().unwrap().ok();
    }
}
