//! Servers that Muster stands before: started by the scripts of `tests/servers`, and stopped when the test ends.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::clients::{passed, run};

/// Installing the packages, once, and the start.
const START: Duration = Duration::from_secs(420);
/// A question of another client.
const LOOK: Duration = Duration::from_secs(60);

/// A running S3 server with a key and no bucket.
pub(crate) struct S3 {
    /// `http://127.0.0.1:29000`.
    pub(crate) endpoint: String,
    /// The region of the key.
    pub(crate) region: String,
    /// The key's name.
    pub(crate) access_key: String,
    /// The key.
    pub(crate) secret_key: String,
    folder: TempDir,
}

impl S3 {
    /// Starts one.
    pub(crate) fn start() -> Self {
        Self::start_with("off")
    }

    /// Starts one that speaks TLS, with a certificate of [`S3::authority`].
    pub(crate) fn start_tls() -> Self {
        Self::start_with("on")
    }

    /// Who has signed its certificate.
    pub(crate) fn authority(&self) -> PathBuf {
        self.folder.path().join("tls/ca.pem")
    }

    fn start_with(tls: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Free now, and nobody else's until the server has it.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = script("s3.sh");
        command.args(["start", "--port", &port.to_string(), "--tls", tls, "--timeout", "120"]);
        command.arg(folder.path());
        let printed = passed(&run("s3.sh start", command, START));
        let mut values: BTreeMap<&str, &str> =
            printed.lines().filter_map(|line| line.split_once('=')).collect();
        let mut value = |name: &str| values.remove(name).expect("s3.sh prints it").to_owned();
        Self {
            endpoint: value("S3_ENDPOINT"),
            region: value("S3_REGION"),
            access_key: value("S3_ACCESS_KEY"),
            secret_key: value("S3_SECRET_KEY"),
            folder,
        }
    }

    /// What another client sees of an object, or of the whole bucket.
    #[track_caller]
    pub(crate) fn look(&self, bucket: &str, key: Option<&str>) -> Value {
        let mut command = script("s3.sh");
        command.arg("look").arg(self.folder.path()).arg(bucket).args(key);
        serde_json::from_str(&passed(&run("s3.sh look", command, LOOK))).unwrap()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        let mut command = script("s3.sh");
        command.arg("stop").arg(self.folder.path());
        let _ = command.status();
    }
}

/// Apache Cassandra, one node or a ring. The nodes listen on addresses that no other process of the tests has.
pub(crate) struct Cql {
    /// `127.9.8.1:29042`, one for each node.
    pub(crate) nodes: Vec<String>,
    prefix: String,
    tls: bool,
    folder: TempDir,
}

impl Cql {
    /// Addresses for so many nodes, which are not started.
    pub(crate) fn new(nodes: u32) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // A process has few of them.
        let number = std::process::id() * 4 + NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("127.{}.{}", 1 + number / 250 % 250, number % 250);
        let nodes = (1..=nodes).map(|node| format!("{prefix}.{node}:29042")).collect();
        Self { nodes, prefix, tls: false, folder: tempfile::tempdir().unwrap() }
    }

    /// One node that speaks TLS only, and to those only who have a certificate.
    pub(crate) fn with_tls() -> Self {
        let mut cql = Self::new(1);
        cql.tls = true;
        cql
    }

    /// A file of its certificates: `ca.pem` of the authority, `client.pem` and `client.key`.
    pub(crate) fn certificate(&self, name: &str) -> PathBuf {
        self.folder.path().join("tls").join(name)
    }

    /// Starts the nodes that do not run. What was acknowledged is synced, so that any of them may be killed.
    pub(crate) fn start(&self) {
        let mut command = script("cql.sh");
        command.args(["start", "--prefix", &self.prefix, "--nodes", &self.nodes.len().to_string()]);
        command.args(["--tls", if self.tls { "on" } else { "off" }]);
        command.args(["--commitlog", "batch", "--owner", &std::process::id().to_string()]);
        command.arg(self.folder.path());
        passed(&run("cql.sh start", command, START));
    }

    /// Kills a node, or stops it in its tracks, or lets it go on.
    pub(crate) fn signal(&self, node: usize, signal: Signal) {
        let pid = std::fs::read_to_string(self.folder.path().join(format!("node{}/pid", node + 1))).unwrap();
        kill_process(Pid::from_raw(pid.trim().parse().unwrap()).expect("a process has a number"), signal)
            .unwrap();
    }

    /// What a server is told of it.
    pub(crate) fn settings(&self, keyspace: &str) -> String {
        format!(
            "store.kind = \"scylla\"\nscylla.nodes = {:?}\nscylla.keyspace = {keyspace:?}\n\
             scylla.replication = \"{{'class': 'SimpleStrategy', 'replication_factor': {}}}\"\n",
            self.nodes,
            self.nodes.len().min(3)
        )
    }
}

impl Drop for Cql {
    fn drop(&mut self) {
        let mut command = script("cql.sh");
        command.arg("stop").arg(self.folder.path());
        let _ = command.status();
    }
}

fn script(name: &str) -> Command {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers").join(name);
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("test-servers");
    let mut command = Command::new("bash");
    command.arg(path).env("MUSTER_TEST_SERVERS", cache);
    command
}
