//! The servers that are compared, as children: started on one core, waited for, looked at, and stopped.
//!
//! Each says on a line where it listens. CPU time is that of all its threads, in nanoseconds, as the scheduler counts it;
//! threads that have ended are not in it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The secret that Muster's tokens are made with.
pub const SECRET: &str = "benches benches benches benches!";

/// A server starts, or ends, within this time.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subject {
    /// The floor on io_uring.
    RingEcho {
        /// Microseconds in which it gathers a batch.
        gather_us: u32,
    },
    /// The floor on epoll.
    EpollEcho,
    /// Muster with one shard.
    Muster {
        /// `ring` or `epoll`.
        io: &'static str,
        /// `thread` or `glommio`.
        host: &'static str,
        /// Microseconds in which it gathers a batch.
        gather_us: u32,
    },
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// Not built.
    #[error("{0} is not there: build it with cargo build --release --workspace --bins")]
    Missing(PathBuf),
    /// It ended, or said nothing in time.
    #[error("{subject:?} did not say that it is ready; its last words: {words}")]
    NotReady {
        /// What was started.
        subject: Subject,
        /// The end of its output.
        words: String,
    },
    /// The system refused.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl Subject {
    /// For people.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::RingEcho { gather_us: 0 } => "bare ring echo (floor)".into(),
            Self::RingEcho { gather_us } => format!("bare ring echo, batches of {gather_us} µs"),
            Self::EpollEcho => "bare epoll echo (floor)".into(),
            Self::Muster { io, host, gather_us: 0 } => format!("Muster, {io} on {host}"),
            Self::Muster { io, host, gather_us } => {
                format!("Muster, {io} on {host}, batches of {gather_us} µs")
            }
        }
    }

    fn program(self) -> &'static str {
        match self {
            Self::RingEcho { .. } => "ring_echo",
            Self::EpollEcho => "epoll_echo",
            Self::Muster { .. } => "muster",
        }
    }
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// The floors end with it.
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// Where the binary protocol is spoken.
    pub binary: SocketAddr,
    /// Where HTTP is spoken, if it is.
    pub http: Option<SocketAddr>,
    _data: tempfile::TempDir,
}

impl Server {
    /// Starts a server, on one core if one is named, and waits until it listens. Its program lies beside this one.
    ///
    /// # Errors
    /// When it is not there or does not get ready.
    pub fn start(subject: Subject, core: Option<usize>) -> Result<Self, ServerError> {
        let program = std::env::current_exe()?.with_file_name(subject.program());
        // A test's program lies one folder deeper.
        let beside = program.parent().and_then(|folder| folder.parent()).map(|it| it.join(subject.program()));
        let program = [Some(program.clone()), beside]
            .into_iter()
            .flatten()
            .find(|it| it.exists())
            .ok_or(ServerError::Missing(program))?;
        let data = tempfile::tempdir()?;
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string()]).arg(program);
                command
            }
            None => Command::new(program),
        };
        match subject {
            Subject::RingEcho { gather_us } => {
                _ = command.args(["--hello", "--gather-us", &gather_us.to_string()])
            }
            Subject::EpollEcho => _ = command.arg("--hello"),
            Subject::Muster { io, host, gather_us } => {
                command.args(["serve", "--io", io, "--shards", "1", "--data"]).arg(data.path());
                for listener in ["--http", "--binary", "--admin"] {
                    command.args([listener, "127.0.0.1:0"]);
                }
                command.env("MUSTER_ENGINE__HOST", host);
                command.env("MUSTER_ENGINE__GATHER_MICROS", gather_us.to_string());
                command.env("MUSTER_STORE__KIND", "memory");
                command.env("MUSTER_AUTH__SECRET", SECRET);
                command.env("MUSTER_SERVER__LOG", "info").env("MUSTER_SERVER__LOG_FORMAT", "json");
            }
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (sender, lines) = channel();
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|it| Box::new(it) as Box<dyn Read + Send>),
            child.stderr.take().map(|it| Box::new(it) as Box<dyn Read + Send>),
        ];
        for output in outputs.into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // Nobody listens any more, but the child must not wait for its pipe.
                    let _ = sender.send(line);
                }
            });
        }
        drop(sender);
        let stdin = child.stdin.take();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        // From here on, dropping it ends the child.
        let mut server = Self { child, stdin, lines, binary: nowhere, http: None, _data: data };
        let mut words = String::new();
        while let Ok(line) = server.lines.recv_timeout(PATIENCE) {
            if let Some((binary, http)) = ready(&line) {
                (server.binary, server.http) = (binary, http);
                return Ok(server);
            }
            words = line;
        }
        Err(ServerError::NotReady { subject, words })
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time of all its threads until now.
    ///
    /// # Errors
    /// When it is gone.
    pub fn cpu(&self) -> std::io::Result<Duration> {
        let mut nanoseconds = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            // A thread that ends meanwhile has no file any more.
            let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            nanoseconds += text.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanoseconds))
    }

    /// Ends it, and gives the last JSON that it printed: a floor's counters.
    pub fn stop(mut self) -> Option<Value> {
        self.end();
        let lines = std::iter::from_fn(|| self.lines.recv_timeout(PATIENCE).ok());
        lines.filter_map(|line| serde_json::from_str(&line).ok()).last()
    }

    fn end(&mut self) {
        self.stdin = None;
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            // It may have ended already.
            let _ = kill_process(pid, Signal::TERM);
        }
        for _ in 0..PATIENCE.as_millis() / 10 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            pause();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a child is waited for, and there is nothing to be woken by")]
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// The addresses in the line that says that a server is up: a floor's own, or Muster's log.
fn ready(line: &str) -> Option<(SocketAddr, Option<SocketAddr>)> {
    let value: Value = serde_json::from_str(line).ok()?;
    let said = match value.get("ready") {
        Some(ready) => ready == true,
        None => value["fields"]["message"] == "Muster is ready" || value["message"] == "Muster is ready",
    };
    let fields = value.get("fields").unwrap_or(&value);
    let address = |name: &str| fields[name].as_str().and_then(|text| text.parse().ok());
    address("binary").filter(|_| said).map(|binary| (binary, address("http")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_lines() {
        let check = |line: &str, binary: Option<&str>| {
            assert_eq!(ready(line).map(|(it, _)| it), binary.map(|it| it.parse().unwrap()), "{line}");
        };
        check(r#"{"ready":true,"binary":"127.0.0.1:9","pid":1}"#, Some("127.0.0.1:9"));
        check(r#"{"ready":false,"binary":"127.0.0.1:9"}"#, None);
        check(r#"{"fields":{"message":"Muster is ready","binary":"127.0.0.1:9"}}"#, Some("127.0.0.1:9"));
        check(r#"{"fields":{"message":"Muster is ready","binary":"off"}}"#, None);
        check(r#"{"fields":{"message":"something","binary":"127.0.0.1:9"}}"#, None);
        check("hello", None);
    }
}
