//! One process writes, and knows when it may no longer.
//!
//! The row of `owners` is taken by a lightweight transaction that counts its epoch one up. Every write carries a time
//! that is higher than all before it, also than those of the process that had the row before: the row holds a ceiling
//! below which its owner's times lie, the next owner begins above it, and whoever is not the owner any more cannot
//! raise it. So what an earlier owner still has on its way changes nothing that a later one wrote.
//!
//! The ceiling is raised every few seconds. An owner that has not managed to for [`LEASE`] writes nothing more until it
//! has; another process takes the row when it has not changed for [`PATIENCE`], which is longer. Nobody compares
//! clocks of two machines. A process of the same name takes it at once: it has been restarted.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use scylla::client::session::Session;
use scylla::response::query_result::QueryRowsResult;
use scylla::statement::{Consistency, SerialConsistency, Statement};

use super::Settings;
use super::statements::qualified;
use crate::io::Clock;

/// How long after raising its ceiling an owner may write.
pub(super) const LEASE: Duration = Duration::from_secs(10);
/// How long another process watches the row before it takes it.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often the row is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(500);
/// The ceiling lies this far above the latest time, in microseconds.
const HEADROOM: i64 = 60_000_000;

const SELECT: &str = "SELECT epoch, holder, ceiling FROM owners WHERE scope = ?";
const INSERT: &str = "INSERT INTO owners (scope, epoch, holder, ceiling) VALUES (?, 1, ?, ?) IF NOT EXISTS";
const TAKE: &str = "UPDATE owners SET epoch = ?, holder = ?, ceiling = ? WHERE scope = ? IF epoch = ?";
const RAISE: &str = "UPDATE owners SET ceiling = ? WHERE scope = ? IF epoch = ?";
const RELEASE: &str = "UPDATE owners SET holder = '' WHERE scope = ? IF epoch = ?";

/// Times of writes, in microseconds: each higher than the last.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    latest: AtomicI64,
    ceiling: AtomicI64,
    /// Monotonic milliseconds until which the lease lasts.
    until: AtomicU64,
}

impl Stamps {
    /// The next time, whatever the ceiling.
    pub(super) fn unbounded(&self, clock: &Clock) -> i64 {
        let wall = micros(clock);
        let next = |latest: i64| Some(wall.max(latest + 1));
        let latest = self.latest.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).unwrap_or_default();
        wall.max(latest + 1)
    }

    /// The next time, if the ceiling allows for it.
    pub(super) fn next(&self, clock: &Clock) -> Option<i64> {
        let stamp = self.unbounded(clock);
        (stamp <= self.ceiling.load(Ordering::Acquire)).then_some(stamp)
    }

    /// Whether the lease lasts.
    pub(super) fn is_leased(&self, clock: &Clock) -> bool {
        clock.now_ms() < self.until.load(Ordering::Acquire)
    }

    /// A ceiling that is high enough.
    fn wanted(&self, clock: &Clock) -> i64 {
        micros(clock).max(self.latest.load(Ordering::Acquire)) + HEADROOM
    }

    fn raised(&self, ceiling: i64, asked_at: u64) {
        self.ceiling.fetch_max(ceiling, Ordering::AcqRel);
        self.until.fetch_max(asked_at + LEASE.as_millis() as u64, Ordering::AcqRel);
    }
}

fn micros(clock: &Clock) -> i64 {
    i64::try_from(clock.wall_ms().saturating_mul(1_000)).unwrap_or(i64::MAX / 2)
}

struct Row {
    epoch: i64,
    holder: String,
    ceiling: i64,
}

/// Becomes the owner, and says under which epoch.
pub(super) async fn take(
    session: &Session,
    settings: &Settings,
    stamps: &Stamps,
    clock: &Clock,
) -> Result<i64, String> {
    let me = format!("{}#{:016x}", settings.holder, settings.nonce);
    let mut watched: Option<(i64, i64, u64)> = None;
    loop {
        let asked_at = clock.now_ms();
        let Some(row) = look(session, settings).await? else {
            let ceiling = stamps.wanted(clock);
            let values = (&settings.scope, &me, ceiling);
            if applied(session, settings, INSERT, values).await? {
                stamps.raised(ceiling, asked_at);
                return Ok(1);
            }
            continue;
        };
        // A transaction of ours whose answer was lost.
        if row.holder == me {
            stamps.latest.fetch_max(row.ceiling - HEADROOM, Ordering::AcqRel);
            stamps.raised(row.ceiling, asked_at);
            return Ok(row.epoch);
        }
        let is_free = row.holder.is_empty()
            || row.holder.rsplit_once('#').is_some_and(|(name, _)| name == settings.holder);
        if !is_free {
            let since = match watched {
                Some((epoch, ceiling, since)) if (epoch, ceiling) == (row.epoch, row.ceiling) => since,
                _ => {
                    if watched.is_none() {
                        tracing::warn!(
                            holder = row.holder,
                            "another Muster writes to this keyspace: waiting until it stops"
                        );
                    }
                    watched = Some((row.epoch, row.ceiling, asked_at));
                    asked_at
                }
            };
            if clock.now_ms() - since < PATIENCE.as_millis() as u64 {
                tokio::time::sleep(LOOK).await;
                continue;
            }
        }
        stamps.latest.fetch_max(row.ceiling, Ordering::AcqRel);
        let (epoch, ceiling) = (row.epoch + 1, stamps.wanted(clock));
        if applied(session, settings, TAKE, (epoch, &me, ceiling, &settings.scope, row.epoch)).await? {
            stamps.raised(ceiling, asked_at);
            return Ok(epoch);
        }
    }
}

/// Raises the ceiling; false: somebody else is the owner now.
pub(super) async fn renew(
    session: &Session,
    settings: &Settings,
    epoch: i64,
    stamps: &Stamps,
    clock: &Clock,
) -> Result<bool, String> {
    let (asked_at, ceiling) = (clock.now_ms(), stamps.wanted(clock));
    let is_ours = applied(session, settings, RAISE, (ceiling, &settings.scope, epoch)).await?;
    if is_ours {
        stamps.raised(ceiling, asked_at);
    }
    Ok(is_ours)
}

/// Gives the row up, so that the next owner need not wait.
pub(super) async fn release(session: &Session, settings: &Settings, epoch: i64) -> Result<(), String> {
    applied(session, settings, RELEASE, (&settings.scope, epoch)).await.map(|_| ())
}

async fn look(session: &Session, settings: &Settings) -> Result<Option<Row>, String> {
    let mut statement = Statement::new(qualified(SELECT, &settings.keyspace));
    statement.set_consistency(Consistency::LocalSerial);
    statement.set_is_idempotent(true);
    let rows = rows(session, statement, (&settings.scope,)).await?;
    let row = rows.maybe_first_row::<(i64, String, i64)>().map_err(|error| error.to_string())?;
    Ok(row.map(|(epoch, holder, ceiling)| Row { epoch, holder, ceiling }))
}

/// Whether a lightweight transaction was applied. Its answer has other columns too, here and there.
async fn applied(
    session: &Session,
    settings: &Settings,
    text: &str,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<bool, String> {
    let mut statement = Statement::new(qualified(text, &settings.keyspace));
    statement.set_serial_consistency(Some(SerialConsistency::LocalSerial));
    let rows = rows(session, statement, values).await?;
    let row = rows.maybe_first_row::<scylla::value::Row>().map_err(|error| error.to_string())?;
    let place = rows.column_specs().get_by_name("[applied]").map(|(at, _)| at);
    let cell = row.zip(place).and_then(|(row, at)| row.columns.into_iter().nth(at).flatten());
    cell.and_then(|value| value.as_boolean()).ok_or_else(|| "a transaction without an answer".to_owned())
}

async fn rows(
    session: &Session,
    statement: Statement,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<QueryRowsResult, String> {
    let result = session.query_unpaged(statement, values).await.map_err(|error| error.to_string())?;
    result.into_rows_result().map_err(|error| error.to_string())
}
