//! The tables and their versions: numbered files of `schema/cql`, each applied once.
//!
//! The version stands in `schema_version`. Whoever migrates holds its lock, a lightweight transaction with a time to
//! live, so that two processes that start together do not both make tables. Every file can be applied again if its
//! migration was cut off: tables are made if they are not there.

use std::sync::Arc;
use std::time::Duration;

use scylla::client::session::{Session, TlsContext};
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::{Consistency, SerialConsistency, Statement};

use super::Settings;
use super::statements::qualified;

/// A step from one version to the next.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The version it leads to.
    pub version: i32,
    /// Its file in `schema/cql`.
    pub name: &'static str,
    text: &'static str,
}

/// All of them, in order.
pub const MIGRATIONS: [Migration; 1] = [Migration {
    version: 1,
    name: "0001_tables.cql",
    text: include_str!("../../../../schema/cql/0001_tables.cql"),
}];

const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_version \
    (name text PRIMARY KEY, version int, locked_by text)";
const BEGIN: &str = "INSERT INTO schema_version (name, version) VALUES ('tables', 0) IF NOT EXISTS";
const SELECT: &str = "SELECT version FROM schema_version WHERE name = 'tables'";
const LOCK: &str =
    "UPDATE schema_version USING TTL 60 SET locked_by = ? WHERE name = 'tables' IF locked_by = null";
const UNLOCK: &str = "UPDATE schema_version SET locked_by = null WHERE name = 'tables' IF locked_by = ?";
const PASS: &str = "UPDATE schema_version SET version = ? WHERE name = 'tables' IF locked_by = ?";

/// How long between two attempts to lock, and how many of them.
const AGAIN: (Duration, u32) = (Duration::from_millis(500), 180);

impl Migration {
    /// Its statements, without comments.
    pub fn statements(&self) -> impl Iterator<Item = String> {
        let lines = self.text.lines().filter(|line| !line.trim_start().starts_with("--"));
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        let statements: Vec<_> = text
            .split(";\n")
            .map(str::trim)
            .filter(|statement| !statement.is_empty())
            .map(|statement| statement.replacen("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS ", 1))
            .collect();
        statements.into_iter()
    }
}

/// The statement that makes the keyspace.
#[must_use]
pub fn keyspace(settings: &Settings) -> String {
    format!(
        "CREATE KEYSPACE IF NOT EXISTS {} WITH replication = {} AND durable_writes = true",
        settings.keyspace, settings.replication
    )
}

/// Connects without a keyspace, for [`version`] and [`migrate`].
///
/// # Errors
/// When no server can be reached, or none lets us in.
pub async fn connect(settings: &Settings) -> Result<Session, String> {
    let mut builder = SessionBuilder::new()
        .known_nodes(&settings.nodes)
        .connection_timeout(settings.timeout.max(Duration::from_secs(2)))
        .schema_agreement_timeout(Duration::from_secs(60))
        .default_execution_profile_handle(super::link::profile(settings, false).into_handle())
        .tcp_keepalive_interval(Duration::from_secs(5))
        .keepalive_interval(Duration::from_secs(2))
        .keepalive_timeout(settings.timeout)
        .tls_context(settings.tls.as_ref().map(|tls| TlsContext::from(Arc::clone(&tls.0))));
    if let Some((user, password)) = &settings.login {
        builder = builder.user(user, password);
    }
    builder.build().await.map_err(|error| error.to_string())
}

/// The version of the tables; `None`: there is no keyspace, or nothing of ours in it.
///
/// # Errors
/// When it cannot be read.
pub async fn version(session: &Session, settings: &Settings) -> Result<Option<i32>, String> {
    let there = "SELECT table_name FROM system_schema.tables WHERE keyspace_name = ? AND table_name = 'schema_version'";
    let found =
        session.query_unpaged(there, (&settings.keyspace,)).await.map_err(|error| error.to_string())?;
    let rows = found.into_rows_result().map_err(|error| error.to_string())?;
    if rows.rows_num() == 0 {
        return Ok(None);
    }
    enter(session, settings).await?;
    let mut select = Statement::new(qualified(SELECT, &settings.keyspace));
    select.set_consistency(Consistency::LocalSerial);
    let found = session.query_unpaged(select, ()).await.map_err(|error| error.to_string())?;
    let rows = found.into_rows_result().map_err(|error| error.to_string())?;
    let row = rows.maybe_first_row::<(Option<i32>,)>().map_err(|error| error.to_string())?;
    Ok(row.and_then(|(version,)| version))
}

/// The migrations that a keyspace of this version lacks.
///
/// # Errors
/// When a newer Muster made the tables.
pub fn pending(version: Option<i32>) -> Result<&'static [Migration], String> {
    let (found, known) = (version.unwrap_or(0), MIGRATIONS.len() as i32);
    if found > known {
        return Err(format!(
            "the tables have version {found}, and this Muster knows versions up to {known}: start the newer Muster that made them"
        ));
    }
    Ok(&MIGRATIONS[found.max(0) as usize..])
}

/// Makes the keyspace and the tables as they should be, and says from which version on.
///
/// # Errors
/// When a statement fails; going on from there later does no harm.
pub async fn migrate(session: &Session, settings: &Settings) -> Result<Option<i32>, String> {
    let before = version(session, settings).await?;
    if pending(before)?.is_empty() {
        return Ok(before);
    }
    make_keyspace(session, settings).await?;
    enter(session, settings).await?;
    run(session, settings, VERSIONS, ()).await?;
    run(session, settings, BEGIN, ()).await?;
    let me = format!("{}#{:016x}", settings.holder, settings.nonce);
    let mut left = AGAIN.1;
    while !run(session, settings, LOCK, (&me,)).await? {
        left = left.checked_sub(1).ok_or("another process has been migrating the tables for too long")?;
        tokio::time::sleep(AGAIN.0).await;
    }
    let result = climb(session, settings, &me).await;
    run(session, settings, UNLOCK, (&me,)).await?;
    result?;
    Ok(before)
}

/// Applies what is missing now that the lock is ours.
async fn climb(session: &Session, settings: &Settings, me: &str) -> Result<(), String> {
    for migration in pending(version(session, settings).await?)? {
        for statement in migration.statements() {
            let failed = |error| format!("{} cannot be applied: {error} (in: {statement})", migration.name);
            run(session, settings, &statement, ()).await.map_err(failed)?;
        }
        if !run(session, settings, PASS, (migration.version, me)).await? {
            return Err("the lock of the migration was lost: it took more than a minute".into());
        }
        tracing::info!(version = migration.version, file = migration.name, "tables migrated");
    }
    Ok(())
}

/// What [`migrate`] does, or would do, in CQL, line by line; nothing if the tables are as they should be. Blocks.
///
/// # Errors
/// When the servers cannot be asked, or a statement fails.
pub fn command(settings: &Settings, dry_run: bool) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let session = connect(settings).await?;
        let found = version(&session, settings).await?;
        let mut text = String::new();
        if found.is_none() {
            text.push_str(&format!("{};\n", keyspace(settings)));
        }
        for migration in pending(found)? {
            text.push_str(&format!("-- {}\n", migration.name));
            for statement in migration.statements() {
                text.push_str(&format!("{statement};\n"));
            }
        }
        if !dry_run {
            migrate(&session, settings).await?;
        }
        Ok(text)
    })
}

/// ScyllaDB puts new keyspaces into tablets, and several of its releases refuse transactions there; other servers do not
/// know the word.
async fn make_keyspace(session: &Session, settings: &Settings) -> Result<(), String> {
    let make = keyspace(settings);
    if run(session, settings, &format!("{make} AND tablets = {{'enabled': false}}"), ()).await.is_ok() {
        return Ok(());
    }
    run(session, settings, &make, ()).await.map(|_| ())
}

async fn enter(session: &Session, settings: &Settings) -> Result<(), String> {
    session.use_keyspace(&settings.keyspace, true).await.map_err(|error| error.to_string())
}

/// Runs a statement; false: it was a transaction, and its condition did not hold.
async fn run(
    session: &Session,
    settings: &Settings,
    text: &str,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<bool, String> {
    let mut statement = Statement::new(qualified(text, &settings.keyspace));
    statement.set_request_timeout(Some(Duration::from_secs(30)));
    statement.set_serial_consistency(Some(SerialConsistency::LocalSerial));
    let result = session.query_unpaged(statement, values).await.map_err(|error| error.to_string())?;
    let Ok(rows) = result.into_rows_result() else { return Ok(true) };
    let place = rows.column_specs().get_by_name("[applied]").map(|(at, _)| at);
    let row = rows.maybe_first_row::<scylla::value::Row>().map_err(|error| error.to_string())?;
    let cell = row.zip(place).and_then(|(row, at)| row.columns.into_iter().nth(at).flatten());
    Ok(cell.and_then(|value| value.as_boolean()).unwrap_or(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_count_from_one() {
        for (migration, version) in MIGRATIONS.iter().zip(1..) {
            assert_eq!(migration.version, version);
            assert!(migration.name.starts_with(&format!("{version:04}_")));
            assert!(migration.statements().count() > 0);
        }
        assert!(
            MIGRATIONS[0].statements().all(|statement| statement.starts_with("CREATE TABLE IF NOT EXISTS "))
        );
    }

    #[test]
    fn newer_tables_are_refused() {
        assert_eq!(pending(None).unwrap().len(), MIGRATIONS.len());
        assert!(pending(Some(MIGRATIONS.len() as i32)).unwrap().is_empty());
        assert!(pending(Some(99)).unwrap_err().contains("start the newer Muster"));
    }
}
