//! A process as the kernel tells of it: CPU, memory, threads, descriptors, from `/proc/PID`.
//!
//! CPU time is told twice. `/proc/PID/task/*/schedstat` has nanoseconds but only of threads that still live;
//! `/proc/PID/stat` counts the dead too, in ticks of 10 ms, divided into user and kernel. [`CpuMeter`] makes one figure
//! of the first that never falls; the second says how it divides.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A process, known by its number and the time it began: another one that is given the same number later is not taken
/// for it.
#[derive(Clone, Debug)]
pub struct Process {
    pid: u32,
    started: u64,
}

/// CPU time in user code and in the kernel, dead threads included, in steps of 10 ms.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Times {
    /// In user code.
    pub user: Duration,
    /// In the kernel.
    pub kernel: Duration,
}

impl Times {
    /// Both.
    #[must_use]
    pub fn total(self) -> Duration {
        self.user + self.kernel
    }
}

/// How often threads gave their core up, or lost it, summed over the threads that live.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Switches {
    /// They waited for something.
    pub voluntary: u64,
    /// Another thread was given the core.
    pub involuntary: u64,
}

/// What `/proc/PID/stat` says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stat {
    /// `R`, `S`, `D`, `Z`, ….
    pub state: char,
    /// CPU time.
    pub times: Times,
    /// Threads.
    pub threads: u64,
    /// Ticks from the machine's start to the process's.
    pub started: u64,
    /// Resident set size, bytes: it counts shared pages wholly.
    pub rss: u64,
}

impl Process {
    /// The process that has this number now.
    ///
    /// # Errors
    /// When there is none.
    pub fn open(pid: u32) -> io::Result<Self> {
        let mut process = Self { pid, started: 0 };
        process.started = process.read_stat()?.started;
        Ok(process)
    }

    /// This process.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn this() -> io::Result<Self> {
        Self::open(std::process::id())
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it runs still: not ended, not a zombie, and not another process of the same number.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.stat().is_ok_and(|stat| !matches!(stat.state, 'Z' | 'X'))
    }

    /// CPU time, threads, resident memory: one cheap read.
    ///
    /// # Errors
    /// When the process has ended and been waited for.
    pub fn stat(&self) -> io::Result<Stat> {
        let stat = self.read_stat()?;
        if stat.started == self.started { Ok(stat) } else { Err(gone(self.pid)) }
    }

    /// Nanoseconds that each living thread has run.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn thread_times(&self) -> io::Result<BTreeMap<u32, u64>> {
        let mut times = BTreeMap::new();
        self.each_thread("schedstat", |thread, text| {
            let run = text.split_ascii_whitespace().next().and_then(|field| field.parse().ok());
            times.extend(run.map(|run| (thread, run)));
        })?;
        Ok(times)
    }

    /// Context switches.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn switches(&self) -> io::Result<Switches> {
        let mut sum = Switches::default();
        self.each_thread("status", |_, text| {
            let one = parse_switches(text);
            sum.voluntary += one.voluntary;
            sum.involuntary += one.involuntary;
        })?;
        Ok(sum)
    }

    /// Proportional set size, bytes: pages shared by n processes count one n-th. The kernel walks all pages for it,
    /// about 300 ms for 20 GiB, and the process cannot map memory meanwhile: the caller decides how often.
    ///
    /// # Errors
    /// When the process has ended, or is another user's.
    pub fn pss(&self) -> io::Result<u64> {
        let text = fs::read_to_string(self.path("smaps_rollup"))?;
        kib(&text, "Pss:").ok_or_else(|| unreadable("smaps_rollup"))
    }

    /// Open descriptors; the direct descriptors of rings are not among them.
    ///
    /// # Errors
    /// When the process has ended, or is another user's.
    pub fn open_files(&self) -> io::Result<u64> {
        Ok(fs::read_dir(self.path("fd"))?.count() as u64)
    }

    /// Its command line, for people.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn command_line(&self) -> io::Result<String> {
        let bytes = fs::read(self.path("cmdline"))?;
        let words = bytes.split(|&byte| byte == 0).filter(|word| !word.is_empty());
        Ok(words.map(String::from_utf8_lossy).collect::<Vec<_>>().join(" "))
    }

    fn path(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }

    fn read_stat(&self) -> io::Result<Stat> {
        let text = fs::read_to_string(self.path("stat"))?;
        let scale =
            Scale { ticks: rustix::param::clock_ticks_per_second(), page: rustix::param::page_size() as u64 };
        parse_stat(&text, scale).ok_or_else(|| unreadable("stat"))
    }

    /// Threads that end while they are read are left out.
    fn each_thread(&self, file: &str, mut each: impl FnMut(u32, &str)) -> io::Result<()> {
        for entry in fs::read_dir(self.path("task"))? {
            let entry = entry?;
            let Some(thread) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Ok(text) = fs::read_to_string(entry.path().join(file)) {
                each(thread, &text);
            }
        }
        Ok(())
    }
}

/// Adds up the CPU time of threads so that the sum never falls: what an ended thread had run when it was last seen
/// stays in it.
#[derive(Clone, Default, Debug)]
pub struct CpuMeter {
    living: BTreeMap<u32, u64>,
    ended: u64,
}

impl CpuMeter {
    /// Takes the present times of [`Process::thread_times`], and gives the sum.
    pub fn add(&mut self, now: BTreeMap<u32, u64>) -> Duration {
        for (thread, ran) in &self.living {
            // Less than before: the number belongs to a new thread.
            if now.get(thread).is_none_or(|now| now < ran) {
                self.ended += ran;
            }
        }
        self.living = now;
        Duration::from_nanos(self.ended + self.living.values().sum::<u64>())
    }
}

/// What the kernel counts in.
#[derive(Clone, Copy, Debug)]
struct Scale {
    ticks: u64,
    page: u64,
}

fn parse_stat(text: &str, scale: Scale) -> Option<Stat> {
    // The name in brackets may hold anything, brackets too.
    let (_, behind) = text.rsplit_once(')')?;
    let fields: Vec<&str> = behind.split_ascii_whitespace().collect();
    // proc(5) counts from 1, and its third field is the first here.
    let number = |at: usize| fields.get(at - 3)?.parse::<u64>().ok();
    let time = |at: usize| {
        Some(Duration::from_nanos(number(at)?.saturating_mul(1_000_000_000 / scale.ticks.max(1))))
    };
    Some(Stat {
        state: fields.first()?.chars().next()?,
        times: Times { user: time(14)?, kernel: time(15)? },
        threads: number(20)?,
        started: number(22)?,
        rss: number(24)?.saturating_mul(scale.page),
    })
}

fn parse_switches(text: &str) -> Switches {
    let count = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name));
        rest.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
    };
    Switches {
        voluntary: count("voluntary_ctxt_switches:"),
        involuntary: count("nonvoluntary_ctxt_switches:"),
    }
}

/// The line `name   123 kB`, in bytes.
pub(super) fn kib(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.trim().trim_end_matches("kB").trim_end().parse::<u64>().ok()?.checked_mul(1_024)
}

fn gone(pid: u32) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("process {pid} has ended"))
}

fn unreadable(file: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("/proc: {file} is not as expected"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: Scale = Scale { ticks: 100, page: 4_096 };

    #[test]
    fn reads_stat_whatever_the_name() {
        let text = "29847 (a) b (c) S 29831 29831 27560 0 -1 4194304 102 0 0 0 150 7 0 0 20 0 3 0 1324386 3133440 412 \
                    18446744073709551615 94436618108928 94436618128809 140728463692064 0 0 0 0 0 0 0 0 0 17 0 0 0\n";
        let stat = parse_stat(text, SCALE).unwrap();
        assert_eq!((stat.state, stat.threads, stat.started, stat.rss), ('S', 3, 1_324_386, 412 * 4_096));
        assert_eq!(stat.times.user, Duration::from_millis(1_500));
        assert_eq!(stat.times.total(), Duration::from_millis(1_570));
        for broken in ["", "1 (x", "1 (x) S 1 2", "1 (x)", &text.replace("150", "many")] {
            assert_eq!(parse_stat(broken, SCALE), None, "{broken}");
        }
    }

    #[test]
    fn reads_switches_and_sizes() {
        let status =
            "Name:\tmuster\nThreads:\t4\nvoluntary_ctxt_switches:\t120\nnonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(parse_switches(status), Switches { voluntary: 120, involuntary: 3 });
        assert_eq!(parse_switches("nothing"), Switches::default());
        let rollup = "55d4e80ad000-7fff2f70c000 ---p 00000000 00:00 0    [rollup]\nRss:                1644 kB\n\
                      Pss:                 294 kB\nPss_Dirty:           116 kB\n";
        assert_eq!(kib(rollup, "Pss:"), Some(294 * 1_024));
        assert_eq!(kib(rollup, "Swap:"), None);
    }

    #[test]
    fn the_meter_keeps_what_ended_threads_had_run() {
        let mut meter = CpuMeter::default();
        let mut add = |times: &[(u32, u64)]| meter.add(times.iter().copied().collect()).as_nanos();
        assert_eq!(add(&[(1, 100), (2, 50)]), 150);
        assert_eq!(add(&[(1, 130)]), 180);
        assert_eq!(add(&[(1, 130), (3, 5)]), 185);
        // Another thread with the number 3.
        assert_eq!(add(&[(1, 130), (3, 2)]), 187);
        assert_eq!(add(&[]), 187);
    }
}
