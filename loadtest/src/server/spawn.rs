//! A fresh server as a child: its own data directory, ports that the system chooses, and an end that is certain.
//!
//! The server is in a process group of its own: Ctrl-C in the terminal reaches the harness alone, which measures what
//! there is to measure and then ends the server. Only this child is ever signalled; a child that has not been waited
//! for keeps its number, so no other process can be hit.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use engine::io::Clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::Value;
use tempfile::TempDir;

/// Lines of the log that are kept for error messages.
const KEPT: usize = 50;
/// The log line that says where everything is.
const READY: &str = "Muster is ready";

/// How to start a server.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program; `None`: `muster` beside this program, else on the PATH.
    pub program: Option<PathBuf>,
    /// `("MUSTER_SECTION__KEY", value)`; the later one of two counts.
    pub variables: Vec<(String, String)>,
    /// The processors it may run on; `None`: those of this process.
    pub cpus: Option<Vec<usize>>,
    /// Where the data directory is made; `None`: the system's place for temporary files.
    pub data_in: Option<PathBuf>,
    /// How long it may take to be ready.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            program: None,
            variables: Vec::new(),
            cpus: None,
            data_in: None,
            patience: Duration::from_secs(30),
        }
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// No program.
    #[error(
        "the program `muster` was found neither beside {beside} nor on the PATH: build it with \
         `cargo build --release -p muster`, or say where it is"
    )]
    NoProgram {
        /// Where this program is.
        beside: PathBuf,
    },
    /// The system did not start it.
    #[error("{program} could not be started: {source}")]
    NotStarted {
        /// The program.
        program: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// It may not run on the processors asked for.
    #[error("the server cannot run on the processors {cpus:?}: {source}")]
    Cpus {
        /// What was asked for.
        cpus: Vec<usize>,
        /// What happened.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("{program} ended at once ({status}); the end of its log:\n{log}")]
    Ended {
        /// The program.
        program: PathBuf,
        /// How.
        status: ExitStatus,
        /// Its last lines.
        log: String,
    },
    /// It was not ready in time.
    #[error("{program} was not ready after {seconds} s; the end of its log:\n{log}")]
    Slow {
        /// The program.
        program: PathBuf,
        /// How long it had.
        seconds: f64,
        /// Its last lines.
        log: String,
    },
    /// It said something else than expected.
    #[error("{program} is not a server that this harness knows: {what}")]
    Strange {
        /// The program.
        program: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// A running server. Dropping it kills it, and removes its data.
#[derive(Debug)]
pub struct Server {
    /// The public listener.
    pub http: SocketAddr,
    /// The binary protocol's listener; `None`: switched off.
    pub binary: Option<SocketAddr>,
    /// The admin listener.
    pub admin: SocketAddr,
    /// What tokens are signed with (HS256).
    pub secret: String,
    /// `ring` or `epoll`.
    pub driver: String,
    /// Its shards.
    pub shards: u32,
    /// Its version.
    pub version: String,
    /// The program.
    pub program: PathBuf,
    child: Running,
    log: Log,
    data: TempDir,
}

/// How a server ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// It did not end when it was asked to, and was killed.
    pub killed: bool,
    /// The last lines of its log.
    pub log: Vec<String>,
}

impl Server {
    /// Starts a server and waits until it is ready.
    ///
    /// `MUSTER_…` variables of this process do not reach it: only [`Settings::variables`] count.
    ///
    /// # Errors
    /// See [`SpawnError`]; no child is left behind.
    pub fn start(settings: &Settings) -> Result<Self, SpawnError> {
        let program = match &settings.program {
            Some(program) => program.clone(),
            None => find_program()?,
        };
        let not_started = |source: io::Error| SpawnError::NotStarted { program: program.clone(), source };
        let mut folder = tempfile::Builder::new();
        folder.prefix("muster-loadtest-");
        let data = match &settings.data_in {
            Some(parent) => folder.tempdir_in(parent),
            None => folder.tempdir(),
        }
        .map_err(not_started)?;
        let mut child = start_on(command(&program, data.path(), &settings.variables), settings, &program)?;
        let stderr = child.0.stderr.take().ok_or_else(|| not_started(io::ErrorKind::BrokenPipe.into()))?;
        let (log, ready) = Log::follow(stderr);
        let line = match ready.recv_timeout(settings.patience) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let (seconds, log) = (settings.patience.as_secs_f64(), log.text());
                return Err(SpawnError::Slow { program, seconds, log });
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                // Its standard error is closed: it is about to end by itself, or will be made to.
                let about_to = wait(Pid::from_child(&child.0), Duration::from_secs(1));
                let (status, _) =
                    about_to.and_then(|_| child.end(Duration::from_secs(1))).map_err(not_started)?;
                return Err(SpawnError::Ended { program, status, log: log.text() });
            }
        };
        let strange = |what: String| SpawnError::Strange { program: program.clone(), what };
        let ready = Ready::parse(&line).ok_or_else(|| strange(format!("its log says {line}")))?;
        let secret = match last(&settings.variables, "MUSTER_AUTH__SECRET") {
            Some(secret) => secret.to_owned(),
            None => {
                let path = last(&settings.variables, "MUSTER_AUTH__SECRET_FILE")
                    .map_or_else(|| data.path().join("secret"), PathBuf::from);
                let text = std::fs::read_to_string(&path)
                    .map_err(|error| strange(format!("its secret, {}: {error}", path.display())))?;
                text.trim().to_owned()
            }
        };
        Ok(Self {
            http: ready.http,
            binary: ready.binary,
            admin: ready.admin,
            secret,
            driver: ready.driver,
            shards: ready.shards,
            version: ready.version,
            program,
            child,
            log,
            data,
        })
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// What can end it from another thread, at any time.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn reins(&self) -> io::Result<Reins> {
        Ok(Reins(pidfd_open(Pid::from_child(&self.child.0), PidfdFlags::empty())?))
    }

    /// Its data directory.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// The last lines of its log, oldest first.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.0.try_wait()
    }

    /// Asks it to end (SIGTERM), waits for at most `patience`, and kills it if it is still there then.
    ///
    /// # Errors
    /// When the system does not let it be signalled or waited for.
    pub fn stop(mut self, patience: Duration) -> io::Result<Ended> {
        let (status, killed) = self.child.end(patience)?;
        Ok(Ended { status, killed, log: self.log.lines() })
    }
}

/// `muster` beside this program (or one folder up, where tests and examples lie deeper), else on the PATH.
///
/// # Errors
/// When there is none.
pub fn find_program() -> Result<PathBuf, SpawnError> {
    let here = std::env::current_exe().unwrap_or_default();
    let beside = here.ancestors().skip(1).take(2).map(|folder| folder.join("muster"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("muster"));
    let mut found = beside.chain(on_path).filter(|program| program.is_file());
    found.next().ok_or(SpawnError::NoProgram { beside: here })
}

fn command(program: &Path, data: &Path, variables: &[(String, String)]) -> Command {
    let mut command = Command::new(program);
    let foreign = |(name, _): (OsString, OsString)| {
        name.to_str().is_some_and(|name| name.starts_with("MUSTER_")).then_some(name)
    };
    for name in std::env::vars_os().filter_map(foreign) {
        command.env_remove(name);
    }
    command.arg("serve").env("MUSTER_SERVER__DATA", data).env("MUSTER_SERVER__LOG_FORMAT", "json");
    for section in ["HTTP", "BINARY", "ADMIN"] {
        command.env(format!("MUSTER_{section}__ADDRESS"), "127.0.0.1:0");
    }
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    command
}

/// Starts the child. A child has the processors of the thread that starts it, from its first instruction on.
fn start_on(mut command: Command, settings: &Settings, program: &Path) -> Result<Running, SpawnError> {
    let not_started = |source| SpawnError::NotStarted { program: program.to_owned(), source };
    let Some(cpus) = &settings.cpus else {
        return command.spawn().map(Running).map_err(not_started);
    };
    let mut set = CpuSet::new();
    let refused = |source| SpawnError::Cpus { cpus: cpus.clone(), source };
    for &cpu in cpus {
        if cpu >= CpuSet::MAX_CPU {
            return Err(refused(io::ErrorKind::InvalidInput.into()));
        }
        set.set(cpu);
    }
    let child = thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, move || {
            sched_setaffinity(None, &set).map_err(|error| refused(error.into()))?;
            command.spawn().map_err(not_started)
        });
        let panicked = |_| not_started(io::Error::other("the thread that starts it panicked"));
        thread.map_err(not_started)?.join().map_err(panicked)?
    })?;
    Ok(Running(child))
}

fn last<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
    variables.iter().rev().find(|(one, _)| one == name).map(|(_, value)| &**value)
}

/// A hold on a started server that outlives it: its number may become another's, this never does.
#[derive(Debug)]
pub struct Reins(OwnedFd);

impl Reins {
    /// Kills it, if it still runs.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&self.0, Signal::KILL);
    }
}

/// The child; dropping it kills it, if it has not ended.
#[derive(Debug)]
struct Running(Child);

impl Running {
    /// How it ended, and whether it had to be killed.
    fn end(&mut self, patience: Duration) -> io::Result<(ExitStatus, bool)> {
        if let Some(status) = self.0.try_wait()? {
            return Ok((status, false));
        }
        let pid = Pid::from_child(&self.0);
        kill_process(pid, Signal::TERM)?;
        if !wait(pid, patience)? {
            self.0.kill()?;
        }
        let status = self.0.wait()?;
        Ok((status, status.signal() == Some(Signal::KILL.as_raw())))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Does nothing to a child that has been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether it has ended within this time. It is not waited for in the sense that frees its number.
fn wait(pid: Pid, patience: Duration) -> io::Result<bool> {
    let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
    let clock = Clock::start();
    loop {
        let left = patience.saturating_sub(clock.elapsed());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The last lines that the child has written to standard error.
#[derive(Clone, Default, Debug)]
struct Log(Arc<Mutex<VecDeque<String>>>);

impl Log {
    /// Reads until the end, on a thread of its own; the line that says "ready" comes from the receiver.
    fn follow(stderr: ChildStderr) -> (Self, mpsc::Receiver<String>) {
        let log = Self::default();
        let (say, ready) = mpsc::channel();
        let kept = log.clone();
        thread::spawn(move || {
            let mut say = Some(say);
            let mut reader = BufReader::new(stderr);
            let mut bytes = Vec::new();
            while reader.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
                let line = String::from_utf8_lossy(bytes.trim_ascii_end()).into_owned();
                bytes.clear();
                if line.contains(READY)
                    && let Some(say) = say.take()
                {
                    let _ = say.send(line.clone());
                }
                kept.keep(line);
            }
        });
        (log, ready)
    }

    fn keep(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    fn text(&self) -> String {
        match self.lines() {
            lines if lines.is_empty() => "(it wrote nothing)".to_owned(),
            lines => lines.join("\n"),
        }
    }
}

/// What the log line says.
#[derive(PartialEq, Eq, Debug)]
struct Ready {
    http: SocketAddr,
    binary: Option<SocketAddr>,
    admin: SocketAddr,
    driver: String,
    shards: u32,
    version: String,
}

impl Ready {
    fn parse(line: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(line).ok()?;
        let text = |key: &str| value.get(key)?.as_str();
        let address = |key: &str| text(key)?.parse().ok();
        Some(Self {
            http: address("http")?,
            binary: if text("binary")? == "off" { None } else { Some(address("binary")?) },
            admin: address("admin")?,
            driver: text("driver")?.to_owned(),
            shards: u32::try_from(value.get("shards")?.as_u64()?).ok()?,
            version: text("version")?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::MutexGuard;

    use super::*;
    use crate::server::procfs::Process;

    const LINE: &str = r#"{"timestamp":"2026-11-24T17:12:51.275294Z","level":"INFO","message":"Muster is ready","version":"0.1.0","driver":"ring","shards":2,"http":"127.0.0.1:34661","binary":"127.0.0.1:37145","admin":"127.0.0.1:35789","target":"gateway::serve"}"#;

    #[test]
    fn reads_the_line_that_says_ready() {
        let ready = Ready::parse(LINE).unwrap();
        assert_eq!((ready.http.port(), ready.admin.port(), ready.shards), (34_661, 35_789, 2));
        assert_eq!(ready.binary.unwrap().port(), 37_145);
        let off = LINE.replace("127.0.0.1:37145", "off");
        assert_eq!(Ready::parse(&off).unwrap().binary, None);
        assert_eq!(Ready::parse("Muster is ready"), None);
        assert_eq!(Ready::parse(&LINE.replace("shards", "sherds")), None);
    }

    #[test]
    fn the_log_keeps_its_end() {
        let log = Log::default();
        assert_eq!(log.text(), "(it wrote nothing)");
        (0..60).for_each(|line| log.keep(line.to_string()));
        let lines = log.lines();
        assert_eq!((lines.len(), &*lines[0], &*lines[KEPT - 1]), (KEPT, "10", "59"));
    }

    /// A file cannot be run while it is open for writing, and a child that another test is just starting holds a copy
    /// of every descriptor for a moment: these tests run one after another.
    static STAGE: Mutex<()> = Mutex::new(());

    /// A program that plays the server: what it does is up to `script`.
    fn play(script: &str) -> ((TempDir, MutexGuard<'static, ()>), Settings) {
        let stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("server.sh");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o700)).unwrap();
        let settings = Settings {
            program: Some(program),
            variables: vec![("MUSTER_AUTH__SECRET".into(), "s".into())],
            ..Settings::default()
        };
        ((folder, stage), settings)
    }

    fn ready_then(then: &str) -> String {
        format!("echo hello >&2; echo '{LINE}' >&2; {then}")
    }

    #[test]
    fn asks_before_it_kills() {
        let (_folder, settings) =
            play(&format!("trap 'exit 7' TERM; {}", ready_then("while :; do sleep 0.05; done")));
        let server = Server::start(&settings).unwrap();
        assert!(server.data().is_dir());
        let ended = server.stop(Duration::from_secs(20)).unwrap();
        assert_eq!((ended.status.code(), ended.killed), (Some(7), false));
        assert_eq!(ended.log[0], "hello");
    }

    #[test]
    fn kills_what_does_not_listen() {
        let (_folder, settings) = play(&format!("trap '' TERM; {}", ready_then("exec sleep 60")));
        let server = Server::start(&settings).unwrap();
        let (process, data) = (Process::open(server.pid()).unwrap(), server.data().to_owned());
        let ended = server.stop(Duration::from_millis(100)).unwrap();
        assert!(ended.killed && !process.is_alive() && !data.exists());
    }

    #[test]
    fn leaves_nothing_behind() {
        let (_folder, settings) = play(&ready_then("exec sleep 60"));
        let server = Server::start(&settings).unwrap();
        let (process, data) = (Process::open(server.pid()).unwrap(), server.data().to_owned());
        assert!(process.is_alive());
        drop(server);
        assert!(!process.is_alive() && !data.exists());
    }

    #[test]
    fn says_why_it_did_not_start() {
        let fails = |script: &str, patience: u64| {
            let (_folder, mut settings) = play(script);
            settings.patience = Duration::from_millis(patience);
            Server::start(&settings).unwrap_err().to_string()
        };
        let error = fails("echo 'the port is taken' >&2; exit 3", 20_000);
        assert!(error.contains("exit status: 3") && error.contains("the port is taken"), "{error}");
        let error = fails("echo 'I think' >&2; exec sleep 60", 300);
        assert!(error.contains("not ready after 0.3 s") && error.contains("I think"), "{error}");
        let error = fails("echo 'Muster is ready, and odd' >&2; exec sleep 60", 20_000);
        assert!(error.contains("Muster is ready, and odd"), "{error}");
        let settings = Settings { program: Some("/nowhere/muster".into()), ..Settings::default() };
        let error = Server::start(&settings).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/muster could not be started"), "{error}");
    }

    #[test]
    fn runs_where_it_is_told() {
        let cpu = engine::io::affinity::allowed_cpus()[0];
        let (_folder, mut settings) = play(&ready_then("exec sleep 60"));
        settings.cpus = Some(vec![cpu]);
        let server = Server::start(&settings).unwrap();
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
        assert_eq!(list.trim(), cpu.to_string());
        settings.cpus = Some(vec![1 << 20]);
        assert!(matches!(Server::start(&settings), Err(SpawnError::Cpus { .. })));
    }
}
