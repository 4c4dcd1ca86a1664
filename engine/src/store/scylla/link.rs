//! The way to the servers: it connects for as long as it takes, and every statement that writes goes through it.
//!
//! A statement that writes carries its own time, so doing it twice, or late, is doing it once. [`Link::attempt`] tells
//! what is known not to have happened from what is not known; [`Link::persist`] goes on until it knows that it has.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ahash::RandomState;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy};
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::{Consistency, SerialConsistency};
use tokio::sync::Notify;

use super::attempt::{Attempt, judge};
use super::change::Bound;
use super::lives::Lives;
use super::owner::{self, Stamps};
use super::statements::{Cell, Statements};
use super::{Settings, schema};
use crate::io::Clock;
use crate::machine::store::Place;
use crate::store::Health;
use crate::store::chat::{Failure, FailureKind, Status};

/// How often the lease is renewed; and how often, at first and at most, what fails is tried again.
const RENEW: Duration = Duration::from_secs(3);
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// After so many attempts in a row the store counts as failing.
const ATTEMPTS: u32 = 3;
/// The log hears at most once in this time that the store fails.
const QUIET: Duration = Duration::from_secs(10);
/// A read that has had no answer for this long is asked of another server as well.
const SPECULATE: Duration = Duration::from_millis(150);

/// See the module.
pub(super) struct Link {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) stamps: Stamps,
    pub(super) lives: Lives,
    /// Wakes whoever clears away.
    pub(super) sweep: Notify,
    ready: OnceLock<Ready>,
    is_ready: Notify,
    trouble: Mutex<Health>,
    fails: AtomicBool,
    /// Until then, in milliseconds of the clock, a further failure is not told to the log.
    quiet_until: AtomicU64,
    ended: AtomicBool,
    watchers: Mutex<Vec<Arc<Status>>>,
    /// All conversations in order, while those with old messages are looked for.
    pub(super) places: tokio::sync::Mutex<Vec<Place>>,
    /// Conversations that are being written to.
    busy: Mutex<HashSet<Place, RandomState>>,
    /// Statements that wrote.
    pub(super) wrote: AtomicU64,
    /// For tests: so many more statements may write, then the process is as good as dead. 0: no bound.
    pub(super) fuse: AtomicU64,
}

/// What there is once it is connected.
pub(super) struct Ready {
    pub(super) session: Session,
    pub(super) statements: Statements,
    pub(super) epoch: i64,
    /// Questions that were asked.
    pub(super) asked: AtomicU64,
}

/// The link is no more: the process ends, or another one has taken over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended;

/// How statements are run: writes once each, since trying again is decided here; reads also of a second server.
pub(super) fn profile(settings: &Settings, reading: bool) -> ExecutionProfile {
    let mut balancing = DefaultPolicy::builder().token_aware(true).permit_dc_failover(false);
    if let Some(datacenter) = &settings.datacenter {
        balancing = balancing.prefer_datacenter(datacenter.clone());
    }
    let builder = ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .serial_consistency(Some(SerialConsistency::LocalSerial))
        .request_timeout(Some(settings.timeout))
        .load_balancing_policy(balancing.build());
    if reading {
        let policy = SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: SPECULATE };
        return builder
            .retry_policy(Arc::new(DefaultRetryPolicy::new()))
            .speculative_execution_policy(Some(Arc::new(policy)))
            .build();
    }
    builder.retry_policy(Arc::new(FallthroughRetryPolicy::new())).build()
}

/// Connects, then keeps the lease until the link ends.
pub(super) async fn keep(link: Arc<Link>) {
    let mut pause = PAUSES.0;
    while !link.has_ended() {
        match link.begin().await {
            Ok(ready) => {
                tracing::info!(
                    epoch = ready.epoch,
                    keyspace = link.settings.keyspace,
                    "the store is connected"
                );
                _ = link.ready.set(ready);
                link.passed();
                link.is_ready.notify_waiters();
                break;
            }
            Err(error) => link.failed(&error),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
    let Some(ready) = link.ready.get() else { return };
    loop {
        tokio::time::sleep(if link.fails() { PAUSES.1.min(RENEW) } else { RENEW }).await;
        if link.has_ended() {
            return;
        }
        match owner::renew(&ready.session, &link.settings, ready.epoch, &link.stamps, &link.clock).await {
            Ok(true) => link.passed(),
            Ok(false) => return link.fenced(),
            Err(error) if !link.stamps.is_leased(&link.clock) => link.failed(&error),
            Err(_) => {}
        }
    }
}

impl Link {
    pub(super) fn new(settings: Settings) -> Self {
        let lives = Lives::new(settings.nonce);
        let hasher = RandomState::with_seeds(settings.nonce, 2, 2, 2);
        let clock = Clock::start();
        Self {
            settings,
            clock: clock.clone(),
            stamps: Stamps::default(),
            lives,
            sweep: Notify::new(),
            ready: OnceLock::new(),
            is_ready: Notify::new(),
            trouble: Mutex::new(Health::Failing {
                since: clock.instant(),
                error: "it is not connected yet".into(),
            }),
            fails: AtomicBool::new(true),
            quiet_until: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            watchers: Mutex::default(),
            places: tokio::sync::Mutex::default(),
            busy: Mutex::new(HashSet::with_hasher(hasher)),
            wrote: AtomicU64::new(0),
            fuse: AtomicU64::new(0),
        }
    }

    async fn begin(&self) -> Result<Ready, String> {
        let session = schema::connect(&self.settings).await?;
        if self.settings.migrate {
            schema::migrate(&session, &self.settings).await?;
        } else {
            let version = schema::version(&session, &self.settings).await?;
            if !schema::pending(version)?.is_empty() {
                return Err("tables are missing or old: run `muster migrate`, or set scylla.migrate".into());
            }
        }
        session.use_keyspace(&self.settings.keyspace, true).await.map_err(|error| error.to_string())?;
        let statements = Statements::prepare(&session, &self.settings).await?;
        let epoch = owner::take(&session, &self.settings, &self.stamps, &self.clock).await?;
        Ok(Ready { session, statements, epoch, asked: AtomicU64::new(0) })
    }

    /// What is needed to ask, if it is connected.
    pub(super) fn ready(&self) -> Result<&Ready, Failure> {
        if let Some(ready) = self.ready.get().filter(|_| !self.has_ended()) {
            return Ok(ready);
        }
        let why = match self.health() {
            Health::Failing { error, .. } => error,
            Health::Ok => "it is closed".into(),
        };
        Err(Failure::new(FailureKind::Unavailable, why))
    }

    /// Waits until it is connected for the first time.
    pub(super) async fn wait(&self) {
        while self.ready.get().is_none() {
            let told = self.is_ready.notified();
            if self.ready.get().is_none() {
                _ = tokio::time::timeout(PAUSES.0, told).await;
            }
        }
    }

    /// Waits until it is connected, or has been found not to be able to.
    pub(super) async fn settle(&self) {
        while self.ready.get().is_none() && self.quiet_until.load(Ordering::Relaxed) == 0 {
            tokio::time::sleep(PAUSES.0).await;
        }
    }

    /// What is needed to write, if that has a chance: a store that fails is not asked, it is waited for.
    pub(super) fn writable(&self) -> Result<&Ready, Failure> {
        let ready = self.ready()?;
        if self.fails()
            && let Health::Failing { error, .. } = self.health()
        {
            return Err(Failure::new(FailureKind::Unavailable, error));
        }
        if !self.stamps.is_leased(&self.clock) {
            return Err(Failure::new(FailureKind::Unavailable, "the lease of its writer has run out"));
        }
        Ok(ready)
    }

    /// A time that is higher than all before it; `None`: only after the lease has been renewed.
    pub(super) fn stamp(&self) -> Option<i64> {
        self.stamps.next(&self.clock)
    }

    /// The number of a life that begins, which no other has.
    pub(super) fn life(&self) -> i64 {
        self.stamps.unbounded(&self.clock)
    }

    /// Notes that a conversation is being written to, until what this returns is dropped.
    pub(super) fn busy(&self, place: Place) -> Busy<'_> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
        Busy { link: self, place }
    }

    pub(super) fn is_busy(&self, place: Place) -> bool {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).contains(&place)
    }

    /// The same for what cannot be refused any more.
    pub(super) async fn stamp_soon(&self) -> Result<i64, Ended> {
        loop {
            if self.has_ended() {
                return Err(Ended);
            }
            match self.stamp() {
                Some(stamp) => return Ok(stamp),
                None => tokio::time::sleep(PAUSES.0).await,
            }
        }
    }

    /// Tries to write rows of one partition, all or none.
    pub(super) async fn attempt(&self, ready: &Ready, rows: &[Bound]) -> Result<(), Attempt> {
        let Some(first) = rows.first() else { return Ok(()) };
        let statement = ready.statements.put(first.put);
        let result = if rows.len() == 1 {
            ready.session.execute_unpaged(statement, &first.cells).await
        } else {
            let mut batch = Batch::new(BatchType::Unlogged);
            batch.set_is_idempotent(true);
            for _ in rows {
                batch.append_statement(statement.clone());
            }
            let values: Vec<&Vec<Cell>> = rows.iter().map(|row| &row.cells).collect();
            ready.session.batch(&batch, values).await
        };
        result.map(|_| _ = self.wrote.fetch_add(1, Ordering::Relaxed)).map_err(judge)
    }

    /// Writes rows of one partition, however often it takes.
    pub(super) async fn persist(&self, ready: &Ready, rows: &[Bound]) -> Result<(), Ended> {
        let (mut pause, mut attempts) = (PAUSES.0, 0);
        loop {
            self.may_write().await?;
            let error = match self.attempt(ready, rows).await {
                Ok(()) => {
                    self.passed();
                    return Ok(());
                }
                Err(Attempt::NotDone(error) | Attempt::Unknown(error)) => error,
            };
            attempts += 1;
            if attempts >= ATTEMPTS {
                self.failed(&error);
            }
            // A server that has just died is not asked again: the first time, another one may answer at once.
            if attempts > 1 {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }

    /// Waits until the lease lasts.
    pub(super) async fn may_write(&self) -> Result<(), Ended> {
        loop {
            if self.has_ended() || self.burnt() {
                return Err(Ended);
            }
            if self.stamps.is_leased(&self.clock) {
                return Ok(());
            }
            tokio::time::sleep(PAUSES.0).await;
        }
    }

    /// For tests: whether the process has died before this statement.
    fn burnt(&self) -> bool {
        let spent = self.fuse.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
            if left > 1 { Some(left - 1) } else { None }
        });
        if spent == Err(1) {
            self.ended.store(true, Ordering::Release);
            return true;
        }
        false
    }

    pub(super) fn health(&self) -> Health {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells this one how the store is, from now on.
    pub(super) fn watch(&self, status: Arc<Status>) {
        status.show(self.health());
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).push(status);
    }

    pub(super) fn fails(&self) -> bool {
        self.fails.load(Ordering::Acquire)
    }

    /// It does not do what it should.
    pub(super) fn failed(&self, error: &str) {
        let mut health = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = *health == Health::Ok;
        let since = match &*health {
            Health::Ok => self.clock.instant(),
            Health::Failing { since, .. } => *since,
        };
        *health = Health::Failing { since, error: error.to_owned() };
        self.fails.store(true, Ordering::Release);
        // Where only some of the servers fail it may begin and end every other second.
        let (now, quiet) = (self.clock.now_ms(), self.quiet_until.load(Ordering::Relaxed));
        let begins = begins || quiet == 0;
        if begins && now >= quiet {
            self.quiet_until.store(now + QUIET.as_millis() as u64, Ordering::Relaxed);
            tracing::error!(
                error,
                "the store in {} fails: nothing can be said until it works, presence goes on",
                self.settings.keyspace
            );
        }
        self.show(&health, begins);
    }

    /// It has just done something.
    pub(super) fn passed(&self) {
        if !self.fails() || self.has_ended() {
            return;
        }
        let mut health = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Health::Failing { since, .. } = *health
            && self.quiet_until.load(Ordering::Relaxed) > 0
        {
            let lasted = self.clock.instant().saturating_duration_since(since);
            tracing::info!(seconds = lasted.as_secs_f64(), "the store in {} works", self.settings.keyspace);
        }
        *health = Health::Ok;
        self.fails.store(false, Ordering::Release);
        self.show(&health, false);
    }

    fn show(&self, health: &Health, begins: bool) {
        for status in &*self.watchers.lock().unwrap_or_else(PoisonError::into_inner) {
            status.show(health.clone());
            if begins {
                status.begins();
            }
        }
    }

    fn fenced(&self) {
        let what = "another Muster has taken the keyspace over: stop one of them, and restart this one if it is to stay";
        self.failed(what);
        self.ended.store(true, Ordering::Release);
        tracing::error!("{what}");
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Nothing is written from now on; the next owner need not wait.
    pub(super) async fn end(&self) {
        if self.ended.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(ready) = self.ready.get() {
            let release = owner::release(&ready.session, &self.settings, ready.epoch);
            _ = tokio::time::timeout(self.settings.timeout, release).await;
        }
    }
}

/// See [`Link::busy`].
pub(super) struct Busy<'a> {
    link: &'a Link,
    place: Place,
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.link.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.place);
    }
}
