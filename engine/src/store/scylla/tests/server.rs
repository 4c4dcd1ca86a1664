//! A server for the tests of this process, and tables for each test.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::super::{Scylla, Settings};

/// How long a store may take to connect: the first of all makes the tables.
const CONNECT: Duration = Duration::from_secs(120);

/// Starts the server with the first call, and says where it listens. It ends with this process.
pub(super) fn address() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(|| {
        if let Ok(given) = std::env::var("MUSTER_TEST_CQL") {
            return given;
        }
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let pid = std::process::id();
        let folder = std::env::temp_dir().join(format!("muster-cql-{pid}"));
        // Another address for each process, so that their ports do not meet.
        let prefix = format!("127.{}.{}", 1 + pid / 250 % 250, pid % 250);
        let mut command = Command::new("bash");
        command.arg(here.join("../gateway/tests/servers/cql.sh")).args(["start", "--prefix", &prefix]);
        command.args(["--owner", &pid.to_string()]).arg(&folder).stderr(Stdio::inherit());
        if std::env::var_os("MUSTER_TEST_SERVERS").is_none() {
            let tests = std::env::current_exe().expect("a test has a file");
            let target = tests.ancestors().find(|path| path.join("CACHEDIR.TAG").exists()).unwrap_or(&tests);
            command.env("MUSTER_TEST_SERVERS", target.join("test-servers"));
        }
        let output = command.output().expect("bash is there");
        assert!(output.status.success(), "cql.sh start failed: what it said is above");
        let text = String::from_utf8(output.stdout).unwrap();
        let address = text.lines().find_map(|line| line.strip_prefix("CQL_ADDR="));
        address.expect("cql.sh prints it").to_owned()
    })
}

/// A part of the tables that no other test uses.
#[derive(Clone, Debug)]
pub(in crate::store) struct Tables {
    pub(super) settings: Settings,
}

impl Tables {
    pub(in crate::store) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let settings = Settings {
            nodes: vec![address().to_owned()],
            keyspace: format!("muster_{}", std::process::id()),
            replication: "{'class': 'SimpleStrategy', 'replication_factor': 1}".into(),
            // A tired machine is no error.
            timeout: Duration::from_secs(20),
            scope: format!("test-{number}"),
            realm_base: i32::try_from(number).unwrap() << 16,
            ..Settings::default()
        };
        Self { settings }
    }

    /// Opens them, as an owner that has the place of any earlier one.
    pub(in crate::store) fn open(&self) -> Scylla {
        self.open_in(self.settings.timeout)
    }

    /// The same with another time for each statement.
    pub(super) fn open_in(&self, timeout: Duration) -> Scylla {
        static NONCE: AtomicU64 = AtomicU64::new(1);
        let nonce = NONCE.fetch_add(1, Ordering::Relaxed);
        let scylla = Scylla::open(Settings { nonce, timeout, ..self.settings.clone() }).unwrap();
        let connected =
            scylla.block_on(async { tokio::time::timeout(CONNECT, scylla.link.wait()).await.is_ok() });
        assert!(connected, "{:?}", scylla.link.health());
        scylla
    }
}
