//! How full the memory is, and from when on the server says no: first to new connections, then to messages.
//!
//! What counts is the container's limit where there is one (cgroup 2), else the machine's memory. Pages that the
//! kernel can drop at any time (the file cache) are not counted as used.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::front::{Door, Pressure};

use crate::conn::Arrival;

/// How often to look.
const INTERVAL: Duration = Duration::from_secs(1);

/// From which percentages on the server refuses; 100 is never.
#[derive(Clone, Copy, Debug)]
pub struct Watermarks {
    /// New connections.
    pub connects: u8,
    /// Messages too.
    pub publishes: u8,
}

impl Watermarks {
    fn pressure(self, percent: u64) -> Pressure {
        let over = |mark: u8| mark < 100 && percent >= u64::from(mark);
        match (over(self.publishes), over(self.connects)) {
            (true, _) => Pressure::Publishes,
            (false, true) => Pressure::Connects,
            (false, false) => Pressure::None,
        }
    }
}

/// Bytes in use and the bound they run into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Usage {
    used: u64,
    bound: u64,
}

/// Watches for as long as it is polled.
pub async fn watch(door: Door<Arrival>, marks: Watermarks) {
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| group_folder(&text));
    let mut last = Pressure::None;
    loop {
        if let Some(usage) = usage(group.as_deref()) {
            let percent = usage.used.saturating_mul(100) / usage.bound.max(1);
            let pressure = marks.pressure(percent);
            if pressure != last {
                door.set_pressure(pressure);
                match pressure {
                    Pressure::None => tracing::info!(percent, "there is enough memory again"),
                    Pressure::Connects => {
                        tracing::warn!(percent, "memory is short: new connections are refused")
                    }
                    Pressure::Publishes => {
                        tracing::warn!(
                            percent,
                            "memory is very short: new connections and messages are refused"
                        );
                    }
                }
                last = pressure;
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn usage(group: Option<&Path>) -> Option<Usage> {
    let of_group = group.and_then(|folder| {
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        group_usage(&read("memory.max")?, &read("memory.current")?, &read("memory.stat")?)
    });
    of_group.or_else(|| machine_usage(&fs::read_to_string("/proc/meminfo").ok()?))
}

/// The folder of this process in cgroup 2: the line `0::/path`.
fn group_folder(text: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new("/sys/fs/cgroup").join(path))
}

/// `None` where the group has no limit (`max`).
fn group_usage(max: &str, current: &str, stat: &str) -> Option<Usage> {
    let bound = max.trim().parse().ok()?;
    let used: u64 = current.trim().parse().ok()?;
    let cache = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse::<u64>().ok());
    Some(Usage { used: used.saturating_sub(cache.unwrap_or(0)), bound })
}

fn machine_usage(text: &str) -> Option<Usage> {
    let kib = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()
    };
    let (total, available) = (kib("MemTotal:")?, kib("MemAvailable:")?);
    Some(Usage { used: total.saturating_sub(available) * 1_024, bound: total * 1_024 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_tells() {
        let stat = "anon 100\ninactive_file 300\nactive_file 7\n";
        assert_eq!(group_usage("2000\n", "1000\n", stat), Some(Usage { used: 700, bound: 2_000 }));
        assert_eq!(group_usage("max\n", "1000\n", stat), None);
        let meminfo = "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    400 kB\n";
        assert_eq!(machine_usage(meminfo), Some(Usage { used: 600 * 1_024, bound: 1_000 * 1_024 }));
        assert_eq!(machine_usage("MemTotal: x"), None);
        assert_eq!(group_folder("1:name:/x\n0::/a/b\n"), Some(PathBuf::from("/sys/fs/cgroup/a/b")));
    }

    #[test]
    fn says_no_in_two_steps() {
        let marks = Watermarks { connects: 80, publishes: 90 };
        let pressures = [79, 80, 89, 90, 100].map(|percent| marks.pressure(percent));
        use Pressure::{Connects, None, Publishes};
        assert_eq!(pressures, [None, Connects, Connects, Publishes, Publishes]);
        assert_eq!(Watermarks { connects: 100, publishes: 100 }.pressure(100), None);
    }
}
