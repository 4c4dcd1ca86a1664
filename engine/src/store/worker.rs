//! The thread that owns the store.
//!
//! It takes what its inbox holds, writes all the rows of it in one batch, reads all last seen times in another, and answers
//! each request exactly once. Readers therefore see at least what was written before they asked.
//!
//! While the store fails ([`Health`]), writes are answered [`StoreReply::Failed`] without being tried (their askers
//! keep the rows and ask again), reads are tried all the same, and every now and then the adapter is asked to recover.
//!
//! When nothing has been written for a while, the adapter is told to rest.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::sync::{Parker, Unparker};
use schema::{Key, ShardId};

use super::health::Recovery;
use super::{Adapter, Failure, Health, LatencyHistogram};
use crate::machine::store::SeenRow;
use crate::machine::{StoreReply, StoreRequest};
use crate::mesh::Inbox;

/// Requests that are taken together: their rows are one batch.
const TOGETHER: usize = 16;
/// With no write for so long the store rests.
const REST: Duration = Duration::from_secs(10);

/// A request, and the shard that is to have the reply.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Who asks.
    pub shard: ShardId,
    /// What.
    pub request: StoreRequest,
}

/// What the worker tells the metrics and the readiness; read from any thread.
#[derive(Debug, Default)]
pub struct Status {
    health: Mutex<Health>,
    /// Time of each batch of writes.
    pub writes: LatencyHistogram,
    /// Time of each read.
    pub reads: LatencyHistogram,
    rows: AtomicU64,
    failed: AtomicU64,
    episodes: AtomicU64,
}

impl Status {
    /// Whether the store works.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Rows written.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Requests that were answered [`StoreReply::Failed`].
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// How often the store began to fail.
    #[must_use]
    pub fn episodes(&self) -> u64 {
        self.episodes.load(Ordering::Relaxed)
    }
}

/// A running worker.
#[derive(Debug)]
pub struct Worker {
    status: Arc<Status>,
    stop: Arc<AtomicBool>,
    unparker: Unparker,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts the thread. `clock` is the monotonic clock; `answer` brings a reply to its shard (into the place that
    /// the shard reserved for it) and must not block. `on_panic` is called from the thread should it die of a bug: nobody
    /// would be answered any more.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(
        adapter: Box<dyn Adapter>,
        inbox: Inbox<Ask>,
        clock: impl Fn() -> Instant + Send + 'static,
        answer: impl FnMut(ShardId, StoreReply) + Send + 'static,
        on_panic: impl FnOnce(String) + Send + 'static,
    ) -> io::Result<Self> {
        let parker = Parker::new();
        let unparker = parker.unparker().clone();
        inbox.wake_by({
            let unparker = unparker.clone();
            move || unparker.unpark()
        });
        let status = Arc::new(Status::default());
        let stop = Arc::new(AtomicBool::new(false));
        let turn = Turn::new(adapter, clock, answer, status.clone());
        let thread = thread::Builder::new().name("store".into()).spawn({
            let stop = stop.clone();
            move || {
                let end = catch_unwind(AssertUnwindSafe(|| turn.run(inbox, &parker, &stop)));
                if let Err(panic) = end {
                    let text = panic.downcast_ref::<String>().map(String::as_str);
                    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                    on_panic(format!("the store's worker panicked: {text}"));
                    resume_unwind(panic);
                }
            }
        })?;
        Ok(Self { status, stop, unparker, thread })
    }

    /// What it tells the metrics and the readiness.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// Whether the thread is over though nobody has stopped it: a bug, for which the process should end.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.thread.is_finished()
    }

    /// Answers what is in the inbox, closes the store and ends the thread. What is sent from now on may be refused
    /// or dropped.
    ///
    /// # Errors
    /// When the thread had died.
    pub fn stop(self) -> thread::Result<()> {
        self.stop.store(true, Ordering::Release);
        self.unparker.unpark();
        self.thread.join()
    }
}

/// Everything the thread has.
struct Turn<C, A> {
    adapter: Box<dyn Adapter>,
    clock: C,
    answer: A,
    status: Arc<Status>,
    recovery: Recovery,
    /// When it rests, if nothing is written until then.
    rest: Option<Instant>,
}

/// The writes of one turn: their rows, and who asked for them.
#[derive(Default)]
struct Writes {
    rows: Vec<SeenRow>,
    askers: Vec<(ShardId, u64)>,
}

impl<C: Fn() -> Instant, A: FnMut(ShardId, StoreReply)> Turn<C, A> {
    fn new(adapter: Box<dyn Adapter>, clock: C, answer: A, status: Arc<Status>) -> Self {
        Self { adapter, clock, answer, status, recovery: Recovery::new(), rest: None }
    }

    fn run(mut self, mut inbox: Inbox<Ask>, parker: &Parker, stop: &AtomicBool) {
        loop {
            if self.turn(&mut inbox) > 0 {
                continue;
            }
            if stop.load(Ordering::Acquire) && inbox.is_empty() {
                return;
            }
            if inbox.prepare_sleep() {
                match self.next() {
                    Some(next) => parker.park_timeout(next.saturating_duration_since((self.clock)())),
                    None => parker.park(),
                }
                inbox.woke();
            }
        }
    }

    /// When there is something to do, if no request comes.
    fn next(&self) -> Option<Instant> {
        self.recovery.next().into_iter().chain(self.rest).min()
    }

    /// Takes some requests, answers them, and says how many there were.
    fn turn(&mut self, inbox: &mut Inbox<Ask>) -> usize {
        let (mut writes, mut reads, mut seen) = (Writes::default(), Vec::new(), Vec::new());
        let mut asks = Vec::new();
        let taken = inbox.drain(TOGETHER, |ask| asks.push(ask));
        self.tend();
        for Ask { shard, request } in asks {
            match request {
                StoreRequest::PutSeen { request, rows } => {
                    writes.rows.extend(rows);
                    writes.askers.push((shard, request));
                }
                StoreRequest::GetSeen { request, users } => seen.push((shard, request, users)),
                StoreRequest::Journal { request, after } => reads.push((shard, request, after)),
                // Rows that were asked for before must not come back after it.
                StoreRequest::Forget { request, user } => {
                    self.write(std::mem::take(&mut writes));
                    self.forget(shard, request, &user);
                }
            }
        }
        self.write(writes);
        self.read_seen(seen);
        for (shard, request, after) in reads {
            self.read_journal(shard, request, after.as_ref());
        }
        if taken == 0 {
            self.rest();
        }
        taken
    }

    /// Lets the store rest if it is time. While it fails it has other things to do.
    fn rest(&mut self) {
        if self.rest.is_none_or(|at| at > (self.clock)()) {
            return;
        }
        self.rest = None;
        if self.recovery.barred().is_some() {
            return;
        }
        match self.adapter.rest() {
            Ok(true) => self.rest = Some((self.clock)() + REST),
            Ok(false) => {}
            Err(Failure(error)) => self.failed(&error),
        }
    }

    /// What is to be done about a store that fails, if it is time.
    fn tend(&mut self) {
        if self.recovery.next().is_none() {
            return;
        }
        if self.recovery.is_due((self.clock)()) {
            match self.adapter.recover() {
                Ok(()) => self.recovery.recovered((self.clock)()),
                Err(Failure(error)) => {
                    self.recovery.failed((self.clock)(), error);
                    self.show();
                }
            }
        }
        self.passed(false);
    }

    fn write(&mut self, writes: Writes) {
        if writes.askers.is_empty() {
            return;
        }
        let outcome = match self.recovery.barred() {
            Some(error) => Err(error.to_owned()),
            None => {
                let (result, took) = self.timed(|adapter| adapter.put_seen(&writes.rows));
                self.status.writes.record(took);
                match result {
                    Ok(()) => {
                        self.status.rows.fetch_add(writes.rows.len() as u64, Ordering::Relaxed);
                        self.rest = Some((self.clock)() + REST);
                        self.passed(true);
                        Ok(())
                    }
                    Err(Failure(error)) => {
                        self.failed(&error);
                        Err(error)
                    }
                }
            }
        };
        for (shard, request) in writes.askers {
            self.reply(
                shard,
                match &outcome {
                    Ok(()) => StoreReply::Put { request },
                    Err(error) => StoreReply::Failed { request, error: error.clone() },
                },
            );
        }
    }

    fn forget(&mut self, shard: ShardId, request: u64, user: &Key) {
        let reply = match self.recovery.barred().map(str::to_owned) {
            Some(error) => StoreReply::Failed { request, error },
            None => {
                let (result, took) = self.timed(|adapter| adapter.forget(user));
                self.status.writes.record(took);
                match result {
                    Ok(found) => {
                        self.passed(true);
                        StoreReply::Forgotten { request, found }
                    }
                    Err(Failure(error)) => {
                        self.failed(&error);
                        StoreReply::Failed { request, error }
                    }
                }
            }
        };
        self.reply(shard, reply);
    }

    /// Answers all of these with one read, so that what many ask is looked up once.
    fn read_seen(&mut self, asked: Vec<(ShardId, u64, Vec<Key>)>) {
        if asked.is_empty() {
            return;
        }
        let users: Vec<Key> = asked.iter().flat_map(|(.., users)| users).cloned().collect();
        let (result, took) = self.timed(|adapter| adapter.get_seen(&users));
        self.status.reads.record(took);
        match result {
            Ok(found) => {
                let mut found = found.into_iter();
                for (shard, request, users) in asked {
                    let last_seen = found.by_ref().take(users.len()).collect();
                    self.reply(shard, StoreReply::Seen { request, last_seen });
                }
            }
            Err(Failure(error)) => {
                self.failed(&error);
                for (shard, request, _) in asked {
                    self.reply(shard, StoreReply::Failed { request, error: error.clone() });
                }
            }
        }
    }

    fn read_journal(&mut self, shard: ShardId, request: u64, after: Option<&Key>) {
        let (result, took) = self.timed(|adapter| adapter.journal(shard, after));
        self.status.reads.record(took);
        let reply = match result {
            Ok(page) => StoreReply::Journal { request, users: page.users, more: page.more },
            Err(Failure(error)) => {
                self.failed(&error);
                StoreReply::Failed { request, error }
            }
        };
        self.reply(shard, reply);
    }

    fn timed<T>(&mut self, call: impl FnOnce(&mut dyn Adapter) -> T) -> (T, Duration) {
        let begun = (self.clock)();
        let result = call(&mut *self.adapter);
        (result, (self.clock)().saturating_duration_since(begun))
    }

    fn reply(&mut self, shard: ShardId, reply: StoreReply) {
        if matches!(reply, StoreReply::Failed { .. }) {
            self.status.failed.fetch_add(1, Ordering::Relaxed);
        }
        (self.answer)(shard, reply);
    }

    fn failed(&mut self, error: &str) {
        if self.recovery.failed((self.clock)(), error.to_owned()) {
            self.status.episodes.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                error,
                "the store fails: presence goes on, last seen times are kept in memory and written when it recovers"
            );
        }
        self.show();
    }

    fn passed(&mut self, wrote: bool) {
        if self.recovery.next().is_none() {
            return;
        }
        if let Some(lasted) = self.recovery.passed((self.clock)(), wrote) {
            tracing::info!(seconds = lasted.as_secs_f64(), "the store works again");
        }
        self.show();
    }

    fn show(&self) {
        *self.status.health.lock().unwrap_or_else(PoisonError::into_inner) = self.recovery.health();
    }
}

#[cfg(test)]
mod tests;
