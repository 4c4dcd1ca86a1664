//! The tables in ScyllaDB or Cassandra: where they are by the configuration, and `muster migrate`.

use std::path::Path;
use std::time::Duration;

use engine::store::scylla::{Settings, Tls, schema};
use engine::store::{Kind, Scylla};

use crate::config::{Config, StoreKind};
use crate::serve::ServeError;

/// How long a start waits for its tables.
const SETTLE: Duration = Duration::from_secs(10);
/// How long a command does; the lease of a server that was killed runs out meanwhile.
const ALONE: Duration = Duration::from_secs(40);

/// What the engine needs to know to connect. `nonce` tells this process from earlier ones.
///
/// # Errors
/// When the file of the password, or one for TLS, cannot be read.
pub fn settings(config: &Config, nonce: u64) -> Result<Settings, ServeError> {
    let scylla = &config.scylla;
    let password = match (&scylla.password, &scylla.password_file) {
        (Some(password), _) => Some(String::from_utf8_lossy(password.expose()).into_owned()),
        (None, Some(path)) => Some(password(path)?),
        (None, None) => None,
    };
    let own = scylla.tls_cert.as_deref().zip(scylla.tls_key.as_deref());
    let tls = scylla.tls_ca.as_deref().map(|ca| Tls::read(ca, own, scylla.tls_name.as_deref()));
    let tls = tls.transpose().map_err(|why| ServeError(format!("TLS to the servers of [scylla]: {why}")))?;
    Ok(Settings {
        nodes: scylla.nodes.clone(),
        keyspace: scylla.keyspace.clone(),
        datacenter: scylla.datacenter.clone(),
        tls,
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
/// When a file that is named cannot be read, or the system has no thread to give.
pub fn open(config: &Config, nonce: u64) -> Result<Kind, ServeError> {
    let scylla = Scylla::open(settings(config, nonce)?)
        .map_err(|error| ServeError(format!("the store's threads could not be started: {error}")))?;
    // Whatever keeps it from connecting is told by its readiness.
    _ = scylla.settle(SETTLE);
    Ok(Kind::Scylla(scylla))
}

/// Opens the store for a command that is to be its only writer, and waits until it is: under a name of its own, so that it never
/// takes over from a server that runs.
///
/// # Errors
/// When it is not reached, or a server that uses it does not stop.
pub fn open_alone(config: &Config, nonce: u64) -> Result<Kind, ServeError> {
    let mut settings = settings(config, nonce)?;
    settings.holder.push_str(" (a command)");
    let keyspace = settings.keyspace.clone();
    let scylla = Scylla::open(settings)
        .map_err(|error| ServeError(format!("the store's threads could not be started: {error}")))?;
    match scylla.settle(ALONE) {
        Ok(()) => Ok(Kind::Scylla(scylla)),
        Err(why) => Err(ServeError(format!(
            "the tables in {keyspace} cannot be opened: {why}; a server that uses them must be stopped first"
        ))),
    }
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
