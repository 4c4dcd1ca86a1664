//! The program itself, as a child: its descriptors can be counted, it can be killed, and it ends with an exit code.

#![allow(clippy::print_stderr, reason = "what the program logged is told beside a failure")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use gateway::clock::Clock;
use gateway::config::Config;
use gateway::serve::Addresses;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::{PATIENCE, Site, configuration_text, eventually, within};

/// A running server. Dropping it kills it.
pub(crate) struct Process {
    site: Site,
    child: Child,
    log: Arc<Log>,
    _folder: Option<TempDir>,
}

impl Deref for Process {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.site
    }
}

/// What a child has written to standard error so far.
#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Log {
    fn follow(child: &mut Child) -> Arc<Self> {
        let log = Arc::<Self>::default();
        let stderr = child.stderr.take().expect("piped");
        let filling = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                filling.lines.lock().unwrap().0.push(line);
                filling.more.notify_all();
            }
            filling.lines.lock().unwrap().1 = true;
            filling.more.notify_all();
        });
        log
    }

    /// The first line that fits; `None` when the log ends before.
    fn find<T>(&self, time: Duration, fits: impl Fn(&str) -> Option<T>) -> Option<T> {
        let until = Instant::now() + time;
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(found) = lines.0.iter().find_map(|line| fits(line)) {
                return Some(found);
            }
            let left = until.saturating_duration_since(Instant::now());
            if lines.1 || left.is_zero() {
                return None;
            }
            lines = self.more.wait_timeout(lines, left).unwrap().0;
        }
    }

    fn text(&self) -> String {
        self.lines.lock().unwrap().0.join("\n")
    }
}

/// A server that did not start, or was ended: how, and what it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
}

/// The program with a configuration in a folder. `wrapper`: a program and its arguments that starts it.
pub(crate) fn command(folder: &Path, io: &str, extra: &str, wrapper: &[&str]) -> Command {
    let file = folder.join("muster.toml");
    let data = format!("server.data = {:?}\n", folder.join("data"));
    std::fs::write(&file, configuration_text(io, &format!("{data}{extra}"))).unwrap();
    let program = env!("CARGO_BIN_EXE_muster");
    let mut command = match wrapper {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MUSTER_")) {
        command.env_remove(name);
    }
    command.arg("serve").arg("--config").arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

impl Process {
    /// Starts a server without a store in a folder of its own.
    pub(crate) fn start_on(io: &str, extra: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut process = Self::start_in(folder.path(), io, extra);
        process._folder = Some(folder);
        process
    }

    /// Starts a server in a folder that outlives it.
    pub(crate) fn start_in(folder: &Path, io: &str, extra: &str) -> Self {
        Self::try_start(command(folder, io, extra, &[]), io, extra)
            .unwrap_or_else(|ended| panic!("{}\n{}", ended.status, ended.log))
    }

    /// Starts a command of [`command`], or says how it ended.
    ///
    /// # Errors
    /// When it ends, or is not ready in time.
    pub(crate) fn try_start(mut command: Command, io: &str, extra: &str) -> Result<Self, Ended> {
        let mut child = command.spawn().unwrap();
        let log = Log::follow(&mut child);
        let ready = log.find(PATIENCE, |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["message"] == "Muster is ready").then_some(line)
        });
        let Some(ready) = ready else {
            let ended =
                within(PATIENCE, "the end of a server that is not ready", || child.try_wait().unwrap());
            return Err(Ended { status: ended, log: log.text() });
        };
        let address = |name: &str| -> SocketAddr { ready[name].as_str().unwrap().parse().unwrap() };
        let addresses =
            Addresses { http: address("http"), binary: Some(address("binary")), admin: address("admin") };
        let config = Config::from_toml("test.toml", &configuration_text(io, extra)).unwrap();
        let site = Site { addresses, clock: Clock::system(), config };
        Ok(Self { site, child, log, _folder: None })
    }

    /// Where it is; outlives the server, so that threads may have it.
    pub(crate) fn site(&self) -> Site {
        self.site.clone()
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        self.log.text()
    }

    /// Open descriptors: the fewest of some readings, since the server closes the connection over which it has just
    /// answered a moment after the client has seen its end.
    pub(crate) fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        let readings = (0..10).map(|_| {
            std::thread::sleep(Duration::from_millis(2));
            std::fs::read_dir(&path).unwrap().count()
        });
        readings.min().unwrap()
    }

    /// Memory that it has in use, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line of memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Tells it to drain.
    pub(crate) fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Kills it as a crash would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn ended(mut self) -> Ended {
        let status = eventually("the end of the server", || self.child.try_wait().unwrap());
        // The log ends with the process.
        let _ = self.log.find(PATIENCE, |_| None::<()>);
        Ended { status, log: self.log.text() }
    }

    /// What must be the same again after a test: descriptors, connections, sessions.
    pub(crate) fn figures(&self) -> BTreeMap<&'static str, u64> {
        let (presence, binary) = self.connections();
        let sessions = |edge: &str| self.metric(&format!("muster_sessions{{edge=\"{edge}\"}}"));
        BTreeMap::from([
            ("WebSockets", presence),
            ("binary connections", binary),
            ("WebSocket sessions", sessions("presence")),
            ("binary sessions", sessions("binary")),
            ("HTTP connections", self.metric("muster_http_connections")),
            ("descriptors", self.descriptors() as u64),
        ])
    }

    /// Waits until the figures are as they were, and fails with the difference. Fewer descriptors will do: one of
    /// those before may have been on its way out.
    #[track_caller]
    pub(crate) fn settles(&self, before: &BTreeMap<&'static str, u64>) {
        let until = Instant::now() + PATIENCE;
        loop {
            let now = self.figures();
            if before
                .iter()
                .all(|(what, was)| now[what] == *was || *what == "descriptors" && now[what] < *was)
            {
                return;
            }
            assert!(Instant::now() < until, "not as before: {now:?}, and it was {before:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server wrote:\n{}", self.log.text());
        }
    }
}
