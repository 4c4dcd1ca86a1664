//! The servers that are compared, as children: started on one core, waited for, looked at, and stopped.
//!
//! Muster is started as the load test starts it. A floor says on its first line where it listens, and ends when its
//! standard input does.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use loadtest::server::procfs::Process;
use loadtest::server::spawn;
use serde_json::Value;

use crate::floor::Ready;

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
    /// Node's socket.io with ws.
    Node,
    /// Muster's sessions of Socket.IO, events coming back: the example `socketio_echo`, with one shard.
    SocketIoEcho,
    /// Muster with one shard, which sends every client of Socket.IO a ping a second.
    Pinging,
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
    /// A floor ended, or said nothing in time.
    #[error("{subject:?} did not say that it is ready: {words}")]
    NotReady {
        /// What was started.
        subject: Subject,
        /// What it said instead.
        words: String,
    },
    /// Node's packages could not be installed.
    #[error("npm ci in benches/socketio failed: {0}")]
    Npm(String),
    /// Muster did not start.
    #[error(transparent)]
    Muster(#[from] spawn::SpawnError),
    /// It speaks no binary protocol.
    #[error("the server does not listen for the binary protocol")]
    NoBinary,
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
            Self::Node => "Node socket.io 4.8 with ws".into(),
            Self::SocketIoEcho => "Muster, Socket.IO".into(),
            Self::Pinging => "Muster, Socket.IO, a ping a second".into(),
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
            Self::Node => "node",
            Self::SocketIoEcho => "socketio_echo",
            Self::Pinging | Self::Muster { .. } => "muster",
        }
    }
}

/// A server that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    process: Process,
    /// Where the binary protocol is spoken.
    pub binary: SocketAddr,
}

#[derive(Debug)]
enum Kind {
    Muster(Box<spawn::Server>),
    Floor(Floor),
}

impl Server {
    /// Starts a server, on one core if one is named, and waits until it listens. Its program lies beside this one.
    ///
    /// # Errors
    /// When it is not there or does not get ready.
    pub fn start(subject: Subject, core: Option<usize>) -> Result<Self, ServerError> {
        let program = match subject {
            Subject::Node => PathBuf::from(subject.program()),
            Subject::SocketIoEcho => beside(&format!("examples/{}", subject.program()))?,
            _ => beside(subject.program())?,
        };
        let (io, host, gather_us, ping) = match subject {
            Subject::Muster { io, host, gather_us } => (io, host, gather_us, "25s"),
            Subject::Pinging => ("ring", "thread", 0, "1s"),
            _ => {
                let (floor, binary) = Floor::start(subject, &program, core)?;
                let process = Process::open(floor.child.id())?;
                return Ok(Self { kind: Kind::Floor(floor), process, binary });
            }
        };
        let variables = [
            ("MUSTER_ENGINE__IO", io),
            ("MUSTER_ENGINE__HOST", host),
            ("MUSTER_ENGINE__SHARDS", "1"),
            ("MUSTER_ENGINE__GATHER_MICROS", &gather_us.to_string()),
            ("MUSTER_SOCKETIO__PING_INTERVAL", ping),
            ("MUSTER_STORE__KIND", "memory"),
            // Crowds are set up by one user.
            ("MUSTER_LIMITS__COMMANDS_PER_SECOND", "100000"),
            ("MUSTER_LIMITS__COMMANDS_BURST", "100000"),
        ];
        let settings = spawn::Settings {
            program: Some(program),
            variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            cpus: core.map(|core| vec![core]),
            ..spawn::Settings::default()
        };
        let server = spawn::Server::start(&settings)?;
        let binary = server.binary.ok_or(ServerError::NoBinary)?;
        Ok(Self { process: Process::open(server.pid())?, kind: Kind::Muster(Box::new(server)), binary })
    }

    /// Its process, to be looked at.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Muster itself; `None`: a floor.
    #[must_use]
    pub fn muster(&self) -> Option<&spawn::Server> {
        match &self.kind {
            Kind::Muster(server) => Some(server),
            Kind::Floor(_) => None,
        }
    }

    /// CPU time of all its living threads until now, by the scheduler's count.
    ///
    /// # Errors
    /// When it is gone.
    pub fn cpu(&self) -> std::io::Result<Duration> {
        Ok(Duration::from_nanos(self.process.thread_times()?.values().sum()))
    }

    /// Ends it, and gives a floor's counters.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn stop(self) -> std::io::Result<Option<Value>> {
        match self.kind {
            Kind::Muster(server) => server.stop(PATIENCE).map(|_| None),
            Kind::Floor(mut floor) => Ok(floor.end()),
        }
    }
}

/// A program of ours, in the folder of this one or, for a test's program, above it.
fn beside(name: &str) -> Result<PathBuf, ServerError> {
    let here = std::env::current_exe()?;
    let mut places = here.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    places.find(|it| it.exists()).ok_or_else(|| ServerError::Missing(here.with_file_name(name)))
}

#[derive(Debug)]
struct Floor {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// It ends with its standard input, and tells what it has counted.
    counts: bool,
}

/// The script of the Node server.
fn node_server() -> Result<PathBuf, ServerError> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("socketio");
    if !folder.join("node_modules/socket.io").exists() {
        let install =
            Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder).output()?;
        if !install.status.success() {
            return Err(ServerError::Npm(String::from_utf8_lossy(&install.stderr).into_owned()));
        }
    }
    Ok(folder.join("server.mjs"))
}

impl Floor {
    fn start(
        subject: Subject,
        program: &Path,
        core: Option<usize>,
    ) -> Result<(Self, SocketAddr), ServerError> {
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["-c", &core.to_string()]).arg(program);
                command
            }
            None => Command::new(program),
        };
        match subject {
            Subject::Node => command.arg(node_server()?).arg("0"),
            // Pings as rare as Node's are by default.
            Subject::SocketIoEcho => {
                command.args(["--port", "0", "--ping-interval", "25000", "--ping-timeout", "20000"])
            }
            _ => command.args(["--hello", "--batch-send", "64"]),
        };
        if let Subject::RingEcho { gather_us } = subject {
            command.args(["--gather-us", &gather_us.to_string()]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (sender, lines) = channel();
        if let Some(output) = child.stdout.take() {
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // Nobody listens any more, but the child must not wait for its pipe.
                    let _ = sender.send(line);
                }
            });
        }
        let stdin = child.stdin.take();
        // From here on, dropping it ends the child.
        let mut floor = Self { child, stdin, lines, counts: true };
        let words = floor.lines.recv_timeout(PATIENCE).unwrap_or_default();
        let listening = words.strip_prefix("listening on ").and_then(|address| address.parse().ok());
        match (listening, serde_json::from_str::<Ready>(&words)) {
            (Some(address), _) => {
                floor.counts = false;
                Ok((floor, address))
            }
            (None, Ok(ready)) => Ok((floor, ready.binary)),
            (None, Err(_)) => Err(ServerError::NotReady { subject, words }),
        }
    }

    /// Lets it end, and gives the last JSON that it printed: its counters.
    fn end(&mut self) -> Option<Value> {
        self.stdin = None;
        if !self.counts {
            // It may have ended already.
            let _ = self.child.kill();
        }
        // The lines end when the child does, and if it does not it is made to.
        let lines = std::iter::from_fn(|| self.lines.recv_timeout(PATIENCE).ok());
        let counters = lines.filter_map(|line| serde_json::from_str(&line).ok()).last();
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        counters
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        if self.stdin.is_some() {
            self.end();
        }
    }
}
