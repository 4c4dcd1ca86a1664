//! The machine as the kernel tells of it: memory, sockets, what it is called.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use engine::io::affinity;

use super::procfs::kib;
use crate::outcome;

/// Memory of the machine, bytes: `/proc/meminfo`, and the cores' free lists from `/proc/zoneinfo`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Memory {
    /// All that the kernel manages.
    pub total: u64,
    /// Used by nobody.
    pub free: u64,
    /// Used by nobody either, but kept back for one core each: in no other figure here. They grow when much is given
    /// back at once, to hundreds of MB.
    pub core_lists: u64,
    /// The kernel's estimate of what programs can still get. It takes half of the reclaimable slabs for free, among
    /// them the inodes of sockets, which are not: see [`Memory::left`].
    pub available: u64,
    /// Cached blocks of devices.
    pub buffers: u64,
    /// Cached files, shared memory included.
    pub cached: u64,
    /// Cached pages of the swap.
    pub swap_cached: u64,
    /// Programs' own memory.
    pub anonymous: u64,
    /// Set aside for huge pages.
    pub huge: u64,
    /// The kernel's objects.
    pub slab: u64,
    /// Those it could give up if nobody used them: inodes and directory entries, of sockets too.
    pub slab_reclaimable: u64,
    /// Those it cannot.
    pub slab_unreclaimable: u64,
}

impl Memory {
    /// The memory now.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn read() -> io::Result<Self> {
        let zones = fs::read_to_string("/proc/zoneinfo").unwrap_or_default();
        parse_memory(&fs::read_to_string("/proc/meminfo")?, &zones, rustix::param::page_size() as u64)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo is not as expected"))
    }

    /// Memory that the kernel itself holds: all that is neither free, nor a program's, nor a cache of files.
    ///
    /// Total less free, the cores' free lists, buffers, cached files, swap cache, anonymous and huge pages. What is left
    /// is the slabs, both kinds (sockets, inodes, directory entries, files, ring requests), data of TCP, kernel stacks,
    /// page tables, per-CPU memory. Rings and tables of descriptors are in it.
    ///
    /// Only its growth means something: 9,500 connections with both ends here, four times over, were 3.69 to 3.86 KiB
    /// an end by it, and -0.65 to 3.47 where the cores' free lists were taken for used. The growth of the caches of
    /// directory entries and inodes of files on disk is in it too: a machine that builds or searches meanwhile adds to
    /// it. [`slabs`] tells them apart.
    #[must_use]
    pub fn kernel(&self) -> u64 {
        let caches = [self.buffers, self.cached, self.swap_cached];
        let others = [self.free, self.core_lists, self.anonymous, self.huge];
        caches.into_iter().chain(others).fold(self.total, u64::saturating_sub)
    }

    /// What programs and sockets can still get. `before` is the memory before the crowd came: by what the reclaimable
    /// slabs have grown since then, the kernel's own estimate is too high, since they hold the inodes of sockets.
    #[must_use]
    pub fn left(&self, before: &Self) -> u64 {
        self.available.saturating_sub(self.slab_reclaimable.saturating_sub(before.slab_reclaimable))
    }
}

/// Bytes in the kernel's caches of objects, by name, the whole slabs counted. Empty where it may not be read (only
/// root may).
#[must_use]
pub fn slabs() -> BTreeMap<String, u64> {
    parse_slabs(&fs::read_to_string("/proc/slabinfo").unwrap_or_default(), rustix::param::page_size() as u64)
}

/// What the kernel holds, by kind, bytes: its caches of objects (`slab:TCP`, where they may be read), and what else
/// `/proc/meminfo` and `/proc/net/sockstat` tell apart. Kinds do not overlap; what is in none of them is the difference
/// to [`Memory::kernel`].
#[must_use]
pub fn kinds() -> BTreeMap<String, u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let data = Sockets::read().map_or(0, |sockets| sockets.pages * rustix::param::page_size() as u64);
    let mut kinds: BTreeMap<String, u64> =
        slabs().into_iter().map(|(name, bytes)| (format!("slab:{name}"), bytes)).collect();
    if kinds.is_empty() {
        kinds.extend(kib(&meminfo, "Slab:").map(|bytes| ("slabs".to_owned(), bytes)));
    }
    let others = [("page tables", "PageTables:"), ("kernel stacks", "KernelStack:"), ("per core", "Percpu:")];
    kinds.extend(others.iter().filter_map(|(name, field)| Some(((*name).to_owned(), kib(&meminfo, field)?))));
    kinds.extend([("data in sockets".to_owned(), data)]);
    kinds
}

/// Sockets of the machine, or rather of its network name space.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sockets {
    /// All kinds.
    pub used: u64,
    /// TCP sockets that are bound or connected.
    pub tcp: u64,
    /// Those that belong to no process any more.
    pub orphans: u64,
    /// Those that wait out the end of their connection.
    pub time_wait: u64,
    /// TCP sockets in memory.
    pub allocated: u64,
    /// Pages of data in TCP's buffers.
    pub pages: u64,
}

impl Sockets {
    /// The sockets now.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn read() -> io::Result<Self> {
        let v6 = fs::read_to_string("/proc/net/sockstat6").unwrap_or_default();
        Ok(parse_sockets(&fs::read_to_string("/proc/net/sockstat")?, &v6))
    }
}

/// The memory of a group of processes (cgroup), bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// What it may use.
    pub limit: u64,
    /// What it uses, without files that are cached and could be dropped.
    pub used: u64,
}

impl Group {
    /// The tightest limit over this process, of its own group or of one above it; `None` without any below the
    /// machine's memory.
    #[must_use]
    pub fn read(total: u64) -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        tightest(&groups, total, |path| fs::read_to_string(path).ok())
    }

    /// What it may still use.
    #[must_use]
    pub fn left(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// Where this runs, for the result. `version` is that of the harness.
#[must_use]
pub fn describe(version: &str) -> outcome::Machine {
    let line = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
    let total = Memory::read().map_or(0, |memory| memory.total);
    outcome::Machine {
        kernel: format!("Linux {}", line("/proc/sys/kernel/osrelease")),
        processor: processor(&line("/proc/cpuinfo")),
        cores: affinity::allowed_cpus().len() as u32,
        memory: Group::read(total).map_or(total, |group| group.limit.min(total)),
        open_files: rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX),
        version: version.to_owned(),
    }
}

fn parse_memory(text: &str, zones: &str, page: u64) -> Option<Memory> {
    // `count: 123`, once for each zone and core.
    let counts = zones.lines().filter_map(|line| line.trim_start().strip_prefix("count:"));
    let pages: u64 = counts.filter_map(|count| count.trim().parse::<u64>().ok()).sum();
    let or_none = |name: &str| kib(text, name).unwrap_or(0);
    Some(Memory {
        total: kib(text, "MemTotal:")?,
        free: kib(text, "MemFree:")?,
        core_lists: pages.saturating_mul(page),
        available: kib(text, "MemAvailable:")?,
        buffers: or_none("Buffers:"),
        cached: or_none("Cached:"),
        swap_cached: or_none("SwapCached:"),
        anonymous: or_none("AnonPages:"),
        huge: or_none("Hugetlb:"),
        slab: or_none("Slab:"),
        slab_reclaimable: or_none("SReclaimable:"),
        slab_unreclaimable: or_none("SUnreclaim:"),
    })
}

/// `name active objects size per-slab pages-per-slab : tunables … : slabdata active slabs shared`.
fn parse_slabs(text: &str, page: u64) -> BTreeMap<String, u64> {
    let cache = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        let slabs = fields.iter().position(|field| *field == "slabdata")? + 2;
        let bytes = number(slabs)?.checked_mul(number(5)?)?.checked_mul(page)?;
        (bytes > 0).then(|| (fields[0].to_owned(), bytes))
    };
    text.lines().filter_map(cache).collect()
}

fn parse_sockets(v4: &str, v6: &str) -> Sockets {
    let count = |text: &str, line: &str, name: &str| {
        let line = text.lines().find_map(|text| text.strip_prefix(line)).unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        words.by_ref().find(|word| *word == name).and(words.next()).and_then(|word| word.parse().ok())
    };
    let tcp = |name: &str| count(v4, "TCP:", name).unwrap_or(0u64);
    Sockets {
        used: count(v4, "sockets:", "used").unwrap_or(0),
        tcp: tcp("inuse") + count(v6, "TCP6:", "inuse").unwrap_or(0),
        orphans: tcp("orphan"),
        time_wait: tcp("tw"),
        allocated: tcp("alloc"),
        pages: tcp("mem"),
    }
}

/// The name of the first processor, or the kind of processor where it has none.
fn processor(text: &str) -> String {
    let named = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    named("model name").or_else(|| named("Model")).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// Looks through both versions of cgroups: the group of each, and all above it.
fn tightest(groups: &str, total: u64, read: impl Fn(&Path) -> Option<String>) -> Option<Group> {
    let number = |path: PathBuf| read(&path)?.trim().parse::<u64>().ok();
    let of = |folder: &Path, limit: &str, used: &str, cache: &str| {
        let limit = number(folder.join(limit)).filter(|limit| *limit < total)?;
        let stat = read(&folder.join("memory.stat")).unwrap_or_default();
        let dropped = stat.lines().find_map(|line| line.strip_prefix(cache)?.trim().parse::<u64>().ok());
        let used = number(folder.join(used))?.saturating_sub(dropped.unwrap_or(0));
        Some(Group { limit, used })
    };
    let line = |line: &str| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        let path = Path::new(path.trim_start_matches('/'));
        let above = path.ancestors();
        match controllers {
            "" => above
                .filter_map(|path| {
                    let folder = Path::new("/sys/fs/cgroup").join(path);
                    of(&folder, "memory.max", "memory.current", "inactive_file ")
                })
                .min_by_key(|group| group.left()),
            "memory" => above
                .filter_map(|path| {
                    let folder = Path::new("/sys/fs/cgroup/memory").join(path);
                    of(&folder, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file ")
                })
                .min_by_key(|group| group.left()),
            _ => None,
        }
    };
    groups.lines().filter_map(line).min_by_key(|group| group.left())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       24684084 kB\nMemFree:        22722824 kB\n\
        MemAvailable:   23732716 kB\nBuffers:           18968 kB\nCached:          1064880 kB\n\
        SwapCached:            0 kB\nAnonPages:        265100 kB\nMapped:           134360 kB\n\
        Shmem:              8872 kB\nKReclaimable:     277488 kB\nSlab:             319216 kB\n\
        SReclaimable:     277488 kB\nSUnreclaim:        41728 kB\nHugetlb:               0 kB\n";

    #[test]
    fn kernel_memory_is_what_nobody_else_has() {
        let memory = parse_memory(MEMINFO, "", 4_096).unwrap();
        assert_eq!(memory.total, 24_684_084 * 1_024);
        assert_eq!(memory.kernel(), 612_312 * 1_024);
        assert!(memory.kernel() > memory.slab);
        assert_eq!(memory.slab, memory.slab_reclaimable + memory.slab_unreclaimable);
        let zones = "Node 0, zone   Normal\n  pages free     3\n        high     4569\n  pagesets\n    cpu: 0\n\
            \u{20}             count:    100\n              high:     1898\n    cpu: 1\n              count:    28\n";
        let with_lists = parse_memory(MEMINFO, zones, 4_096).unwrap();
        assert_eq!(with_lists.kernel(), memory.kernel() - 128 * 4_096);
        assert_eq!(parse_memory("MemTotal: x", "", 4_096), None);
    }

    #[test]
    fn inodes_of_sockets_are_not_left() {
        let before = parse_memory(MEMINFO, "", 4_096).unwrap();
        assert_eq!(before.left(&before), before.available);
        let grown = Memory { slab_reclaimable: before.slab_reclaimable + 1_000, ..before };
        assert_eq!(grown.left(&before), before.available - 1_000);
        assert_eq!(before.left(&grown), before.available);
    }

    #[test]
    fn reads_slabs() {
        let text = "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize> <objperslab>\n\
            bio-312   0  0    312   12    1 : tunables    0    0    0 : slabdata      0      0      0\n\
            TCP      78 130   2368   13    8 : tunables    0    0    0 : slabdata     10     10      0\n";
        assert_eq!(parse_slabs(text, 4_096), BTreeMap::from([("TCP".to_owned(), 10 * 8 * 4_096)]));
    }

    #[test]
    fn reads_sockets() {
        let v4 = "sockets: used 17\nTCP: inuse 11 orphan 2 tw 3 alloc 14 mem 5\nUDP: inuse 9 mem 1\n";
        let sockets = parse_sockets(v4, "TCP6: inuse 4\n");
        let expected = Sockets { used: 17, tcp: 15, orphans: 2, time_wait: 3, allocated: 14, pages: 5 };
        assert_eq!(sockets, expected);
        assert_eq!(parse_sockets("", ""), Sockets::default());
    }

    #[test]
    fn finds_the_tightest_limit_of_both_kinds() {
        let files = BTreeMap::from([
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "4000\n"),
            ("/sys/fs/cgroup/a/memory.current", "1000\n"),
            ("/sys/fs/cgroup/a/memory.stat", "anon 1\ninactive_file 300\n"),
            ("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "5000\n"),
            ("/sys/fs/cgroup/memory/x/memory.usage_in_bytes", "4900\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        let read = |path: &Path| files.get(path.to_str()?).map(|text| (*text).to_owned());
        let find = |groups: &str| tightest(groups, 1_000_000, read);
        assert_eq!(find("1:cpu:/\n0::/a/b\n"), Some(Group { limit: 4_000, used: 700 }));
        assert_eq!(find("4:memory:/x\n0::/a/b\n"), Some(Group { limit: 5_000, used: 4_900 }));
        assert_eq!(find("4:memory:/\n0::/\n"), None);
    }

    #[test]
    fn names_the_processor() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: AMD EPYC\nmodel name\t: x\n"), "AMD EPYC");
        assert_eq!(processor(""), std::env::consts::ARCH);
    }

    #[test]
    fn this_machine_can_be_read() {
        let memory = Memory::read().unwrap();
        assert!(memory.kernel() > 0 && memory.kernel() < memory.total);
        assert!(memory.core_lists < memory.total);
        let machine = describe("0");
        assert!(machine.cores >= 1 && machine.memory > 0 && machine.open_files > 0);
        assert!(!machine.kernel.ends_with(' ') && !machine.processor.is_empty());
        Sockets::read().unwrap();
    }
}
