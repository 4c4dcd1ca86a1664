//! Real clients for the tests: Node, Python and curl, set up by whichever test comes first.
//!
//! The packages are pinned in `tests/clients` and installed into `target/test-clients`, once, whatever the number of
//! tests and processes. Nothing is ever skipped: what cannot be set up fails the test that wanted it, and says what to
//! install.
//!
//! Scripts lie in `tests/clients`. One for Node finds its packages by
//! `createRequire(process.env.MUSTER_TEST_CLIENTS ?? import.meta.url)`, so that it also runs by hand, after an `npm ci`
//! beside it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{OnceLock, mpsc};
use std::thread;
use std::time::Duration;

/// An installation is a few packages; a registry that is this slow is not there.
const INSTALL: Duration = Duration::from_secs(300);

/// Node with the packages of `tests/clients/package-lock.json`.
#[derive(Debug)]
pub(crate) struct NodeEnv {
    folder: PathBuf,
    major: u32,
}

/// A virtual environment with the packages of `tests/clients/requirements.txt`.
#[derive(Debug)]
pub(crate) struct PythonEnv {
    folder: PathBuf,
}

/// Sets Node up, the first time.
pub(crate) fn node() -> &'static NodeEnv {
    static NODE: OnceLock<NodeEnv> = OnceLock::new();
    NODE.get_or_init(|| {
        let version = version_of("node", "Node 20.10 or later (on Debian: apt-get install nodejs npm)");
        let (major, minor) = numbers(version.trim_start_matches('v'));
        assert!((major, minor) >= (20, 10), "the tests need Node 20.10 or later, and this is {version}");
        let npm = version_of("npm", "npm, which comes with Node (on Debian: apt-get install npm)");
        let files = ["package.json", "package-lock.json", ".npmrc"];
        let wanted = stamp(&[&format!("node {version}, npm {npm}")], &files);
        let folder = installed("node", &wanted, |folder| {
            for name in files {
                fs::copy(source(name), folder.join(name))?;
            }
            let mut command = Command::new("npm");
            command.args(["ci", "--ignore-scripts", "--no-progress"]).current_dir(folder);
            install("npm ci", command);
            Ok(())
        });
        NodeEnv { folder, major }
    })
}

/// Sets Python up, the first time.
pub(crate) fn python() -> &'static PythonEnv {
    static PYTHON: OnceLock<PythonEnv> = OnceLock::new();
    PYTHON.get_or_init(|| virtual_environment("python", "requirements.txt"))
}

/// Clients for Python that cannot live in one environment.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PythonClient {
    /// python-socketio 5, which speaks Engine.IO 4.
    SocketIo5,
    /// python-socketio 4, which speaks Engine.IO 3.
    SocketIo4,
}

impl PythonClient {
    /// Its environment, set up the first time.
    fn env(self) -> &'static PythonEnv {
        static ENVS: [OnceLock<PythonEnv>; 2] = [const { OnceLock::new() }; 2];
        let (at, name) = match self {
            Self::SocketIo5 => (0, "python-socketio5"),
            Self::SocketIo4 => (1, "python-socketio4"),
        };
        ENVS[at].get_or_init(|| virtual_environment(name, &format!("socketio/{name}.txt")))
    }
}

fn virtual_environment(name: &str, requirements: &str) -> PythonEnv {
    let version = version_of("python3", "Python 3.10 or later (on Debian: apt-get install python3-venv)");
    let (major, minor) = numbers(version.trim_start_matches("Python "));
    assert!((major, minor) >= (3, 10), "the tests need Python 3.10 or later, and this is {version}");
    let wanted = stamp(&[&version], &[requirements]);
    let folder = installed(name, &wanted, |folder| {
        let mut command = Command::new("python3");
        command.args(["-m", "venv"]).arg(folder);
        install("python3 -m venv (on Debian it needs: apt-get install python3-venv)", command);
        let mut command = Command::new(folder.join("bin/python"));
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "-r"]);
        command.arg(source(requirements));
        install("pip install", command);
        Ok(())
    });
    PythonEnv { folder }
}

/// The curl of this machine.
pub(crate) fn curl() -> &'static Path {
    static CURL: OnceLock<()> = OnceLock::new();
    CURL.get_or_init(|| _ = version_of("curl", "curl (on Debian: apt-get install curl)"));
    Path::new("curl")
}

/// Runs a script of `tests/clients` in Node. A script that takes longer than `limit` is killed, and the test fails.
pub(crate) fn run_node(script: &str, args: &[&str], env: &[(&str, &str)], limit: Duration) -> Output {
    let NodeEnv { folder, major } = node();
    let mut command = Command::new("node");
    if *major < 22 {
        // It is there, and without the flag it hides.
        command.arg("--experimental-websocket");
    }
    // A file name, and not a folder's, is what `createRequire` starts from.
    command.env("MUSTER_TEST_CLIENTS", folder.join("package.json"));
    command.arg(source(script)).args(args).envs(env.iter().copied());
    run(script, command, limit)
}

/// Runs a script of `tests/clients` in Python, as [`run_node`] does.
pub(crate) fn run_python(script: &str, args: &[&str], env: &[(&str, &str)], limit: Duration) -> Output {
    let mut command = Command::new(python().folder.join("bin/python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    command.arg(source(script)).args(args).envs(env.iter().copied());
    run(script, command, limit)
}

/// Runs a script of `tests/clients` in the environment of a client for Python.
pub(crate) fn run_python_client(
    client: PythonClient,
    script: &str,
    args: &[&str],
    env: &[(&str, &str)],
    limit: Duration,
) -> Output {
    let mut command = Command::new(client.env().folder.join("bin/python"));
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUNBUFFERED", "1");
    command.arg(source(script)).args(args).envs(env.iter().copied());
    run(script, command, limit)
}

/// The path of a file of `tests/clients`.
pub(crate) fn script(name: &str) -> PathBuf {
    source(name)
}

/// Runs curl, quietly but for errors.
pub(crate) fn run_curl(args: &[&str], limit: Duration) -> Output {
    let mut command = Command::new(curl());
    command.args(["--silent", "--show-error"]).args(args);
    run("curl", command, limit)
}

/// What a script printed, when it passed.
#[track_caller]
pub(crate) fn passed(output: &Output) -> String {
    assert!(output.status.success(), "{}\n{}", output.status, printed(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs a command to its end. When that does not come in time, the command is killed with all that it started.
#[track_caller]
pub(crate) fn run(name: &str, mut command: Command, limit: Duration) -> Output {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let child = command.spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
    let group = child.id();
    let (done, ended) = mpsc::channel();
    thread::spawn(move || done.send(child.wait_with_output()));
    let (output, late) = match ended.recv_timeout(limit) {
        Ok(output) => (output, false),
        Err(_) => {
            // The shell's own `kill` is on every machine; a signal to a group is not in std.
            let killed = Command::new("sh").args(["-c", &format!("kill -9 -{group}")]).status();
            assert!(killed.is_ok_and(|status| status.success()), "{name} is late and cannot be killed");
            (ended.recv().expect("a killed command ends"), true)
        }
    };
    let output = output.unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(!late, "{name} was killed after {limit:?}; until then:\n{}", printed(&output));
    output
}

fn printed(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// A file of `tests/clients`.
fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// What a program says of its version, or a failure that says what to install.
fn version_of(program: &str, wanted: &str) -> String {
    let output = Command::new(program).arg("--version").stderr(Stdio::null()).output();
    let output = output.ok().filter(|output| output.status.success());
    let output = output.unwrap_or_else(|| panic!("`{program}` does not run here; the tests need {wanted}"));
    String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned()
}

/// The first two numbers of a version.
fn numbers(version: &str) -> (u32, u32) {
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
}

/// All that an installation depends on. It is kept as it is: a hash would save nothing and could not be read.
fn stamp(versions: &[&str], files: &[&str]) -> String {
    let mut stamp = versions.join("\n");
    for name in files {
        let text = fs::read_to_string(source(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        stamp.push_str(&format!("\n--- {name}\n{text}"));
    }
    stamp
}

/// The folder of an installation, made by `make` unless it is there with the stamp that is wanted. One process at a
/// time makes it; the others wait for its lock.
fn installed(name: &str, wanted: &str, make: impl FnOnce(&Path) -> io::Result<()>) -> PathBuf {
    let clients = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-clients");
    let folder = clients.join(name);
    let stamp = clients.join(format!("{name}.stamp"));
    let set_up = || {
        fs::create_dir_all(&clients)?;
        let lock = File::create(clients.join(format!("{name}.lock")))?;
        lock.lock()?;
        if fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(());
        }
        // Half an installation, or an old one.
        let _ = fs::remove_file(&stamp);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => fs::create_dir(&folder)?,
        }
        make(&folder)?;
        fs::write(&stamp, wanted)
    };
    set_up().unwrap_or_else(|error: io::Error| panic!("the clients in {}: {error}", folder.display()));
    folder
}

fn install(name: &str, command: Command) {
    let line: Vec<&OsStr> = std::iter::once(command.get_program()).chain(command.get_args()).collect();
    let line = line.join(OsStr::new(" "));
    let output = run(name, command, INSTALL);
    assert!(
        output.status.success(),
        "the clients of the tests could not be installed: {name} failed. It needs the package registry or a mirror of \
         it; try by hand: {}\n{}",
        line.display(),
        printed(&output)
    );
}
