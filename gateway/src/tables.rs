//! The tables in ScyllaDB or Cassandra: where they are by the configuration, and `muster migrate`.

use std::path::Path;
use std::time::Duration;

use engine::store::scylla::{Settings, schema};
use engine::store::{Kind, Scylla};

use crate::config::{Config, StoreKind};
use crate::serve::ServeError;

/// How long a start waits for its tables.
const SETTLE: Duration = Duration::from_secs(10);

/// What the engine needs to know to connect. `nonce` tells this process from earlier ones.
///
/// # Errors
/// When the file of the password cannot be read.
pub fn settings(config: &Config, nonce: u64) -> Result<Settings, ServeError> {
    let scylla = &config.scylla;
    let password = match (&scylla.password, &scylla.password_file) {
        (Some(password), _) => Some(String::from_utf8_lossy(password.expose()).into_owned()),
        (None, Some(path)) => Some(password(path)?),
        (None, None) => None,
    };
    Ok(Settings {
        nodes: scylla.nodes.clone(),
        keyspace: scylla.keyspace.clone(),
        datacenter: scylla.datacenter.clone(),
        login: scylla.user.clone().zip(password),
        replication: scylla.replication.clone(),
        migrate: scylla.migrate,
        holder: config.server.node.clone().unwrap_or_else(|| "muster".into()),
        nonce,
        timeout: scylla.timeout,
        in_flight: scylla.in_flight,
        // A day more than it is asked for: clocks and restarts take their time.
        sends_kept: config.conversations.retry_window + Duration::from_hours(24),
        ..Settings::default()
    })
}

/// Opens the store. Servers that cannot be reached are no reason not to start; those that can be are waited for.
///
/// # Errors
/// When the file of the password cannot be read, or the system has no thread to give.
pub fn open(config: &Config, nonce: u64) -> Result<Kind, ServeError> {
    let scylla = Scylla::open(settings(config, nonce)?)
        .map_err(|error| ServeError(format!("the store's threads could not be started: {error}")))?;
    scylla.settle(SETTLE);
    Ok(Kind::Scylla(scylla))
}

fn password(path: &Path) -> Result<String, ServeError> {
    let failed = |why: String| ServeError(format!("scylla.password_file {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    match text.trim() {
        "" => Err(failed("is empty".into())),
        password => Ok(password.to_owned()),
    }
}

/// Makes or migrates the tables, or with `dry_run` only says how, in CQL.
///
/// # Errors
/// When the servers cannot be asked, or a statement fails.
pub fn migrate(config: &Config, dry_run: bool) -> Result<String, ServeError> {
    if config.store.kind != StoreKind::Scylla {
        let kind = config.store.kind.word();
        return Err(ServeError(format!(
            "store.kind is \"{kind}\", which has no tables to migrate; set store.kind = \"scylla\""
        )));
    }
    let settings = settings(config, u64::from(std::process::id()))?;
    let done = schema::command(&settings, dry_run).map_err(|error| {
        ServeError(format!("the tables in {} cannot be migrated: {error}", settings.keyspace))
    })?;
    Ok(match (done.is_empty(), dry_run) {
        (true, _) => format!("-- the tables in {} are as they should be\n", settings.keyspace),
        (false, true) => done,
        (false, false) => format!("{done}-- done\n"),
    })
}
