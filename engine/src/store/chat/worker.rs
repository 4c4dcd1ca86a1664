//! The threads of the store of conversations: one commits, some read.
//!
//! The writer takes everything that waits (up to a bound), stages it, commits it with one sync, and answers each; what
//! comes meanwhile waits for the next commit. The busier it is, the more share a sync. Readers answer on their own, so
//! that a page never waits for a sync; a commit is seen by reads before anybody is told of it.
//!
//! While the store fails there is one line in the log for the beginning and one for the end ([`Recovery`]). What is
//! known not to have happened is answered [`ChatStored::Failed`] at once. What is in doubt is answered by nobody: it is
//! kept, and tried again when the store has recovered, which proves that it had not happened; until then further
//! writes are refused untried.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::sync::{Parker, Unparker};
use schema::ShardId;

use super::orders::{self, ReaderInbox};
use super::{
    ChatOrder, Failure, FailureKind, Opened, Orders, Pipelined, Reads, Settings, Status, Writes, dispatch,
    rest_after,
};
use crate::machine::ChatAnswer;
use crate::machine::store::{ChatAsk, ChatStored, Write};
use crate::mesh::Inbox;
use crate::store::health::Recovery;

/// While there are always writes: after so many commits a part of what is gone is cleared away.
const SWEEP_EVERY: u32 = 16;
/// How long clearing away rests when it could not be done: because too much is on its way, and for any other reason.
const SWEEP_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long a round of forgetting rests after each part, while nothing is written.
const FORGET_PAUSE: Duration = Duration::from_millis(10);
/// Rounds of forgetting in the time that is remembered, and the shortest and longest from one to the next.
const FORGET_ROUNDS: (u32, Duration, Duration) = (8, Duration::from_secs(10), Duration::from_secs(3 * 3_600));
/// Somewhat more is remembered than is asked for: who asks has looked at the clock some time ago.
const FORGET_SLACK: Duration = Duration::from_secs(60);

/// The running threads.
pub struct Worker {
    status: Arc<Status>,
    stop: Arc<AtomicBool>,
    threads: Vec<(Unparker, JoinHandle<()>)>,
    pipelined: Option<Arc<dyn Pipelined>>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}

impl Worker {
    /// Starts the threads; each of their inboxes has `places` places. `clock` is the monotonic clock, `wall` the one
    /// that messages are stamped by (milliseconds since the Unix epoch); `answer` brings an
    /// answer to its shard (into the place that the shard reserved for it) and must not block. `on_panic` is called
    /// from a thread that dies of a bug: some requests would not be answered any more.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(
        opened: Opened,
        settings: &Settings,
        places: u32,
        clock: impl Fn() -> Instant + Clone + Send + 'static,
        wall: impl Fn() -> u64 + Send + 'static,
        answer: impl Fn(ShardId, ChatAnswer) + Clone + Send + 'static,
        on_panic: impl Fn(String) + Clone + Send + 'static,
    ) -> io::Result<(Self, Orders)> {
        let readers = if opened.pipelined.is_some() { 1 } else { settings.readers };
        let (orders, inboxes) = orders::open(readers, places);
        let status = Arc::new(Status::default());
        let pipelined = opened.pipelined;
        let mut worker = Self {
            status: status.clone(),
            stop: Arc::default(),
            threads: Vec::new(),
            pipelined: pipelined.clone(),
        };
        if let Some(pipelined) = pipelined {
            let told = Mutex::new(on_panic.clone());
            let tell = move |what| told.lock().unwrap_or_else(PoisonError::into_inner)(what);
            pipelined.watch(status, Box::new(tell));
            let reads = inboxes.readers.into_iter().map(|inbox| ("chat-read", inbox.all_at_once()));
            for (name, inbox) in reads.chain([("chat-write", inboxes.writer)]) {
                let parker = waking(&inbox);
                let (pipelined, answer) = (pipelined.clone(), answer.clone());
                let work = move |parker: &Parker, stop: &AtomicBool| {
                    dispatch::run(&*pipelined, inbox, answer, parker, stop);
                };
                worker.begin(name.to_owned(), parker, on_panic.clone(), work)?;
            }
            return Ok((worker, orders));
        }
        for (number, inbox) in inboxes.readers.into_iter().enumerate() {
            let parker = waking(&inbox.orders);
            let look = Look {
                reads: opened.reads.clone(),
                clock: clock.clone(),
                answer: answer.clone(),
                status: status.clone(),
            };
            let work = move |parker: &Parker, stop: &AtomicBool| look.run(inbox, parker, stop);
            worker.begin(format!("chat-read-{number}"), parker, on_panic.clone(), work)?;
        }
        let inbox = inboxes.writer;
        let parker = waking(&inbox);
        let turn = Turn::new(opened.writes, settings, (clock, wall), answer, status);
        let work = move |parker: &Parker, stop: &AtomicBool| turn.run(inbox, parker, stop);
        worker.begin("chat-write".into(), parker, on_panic, work)?;
        Ok((worker, orders))
    }

    fn begin(
        &mut self,
        name: String,
        parker: Parker,
        on_panic: impl FnOnce(String) + Send + 'static,
        work: impl FnOnce(&Parker, &AtomicBool) + Send + 'static,
    ) -> io::Result<()> {
        let (unparker, stop) = (parker.unparker().clone(), self.stop.clone());
        let thread = thread::Builder::new().name(name).spawn(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| work(&parker, &stop))) {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
                on_panic(format!("a worker of the conversations' store panicked: {text}"));
                resume_unwind(panic);
            }
        })?;
        self.threads.push((unparker, thread));
        Ok(())
    }

    /// What they tell the metrics and the readiness.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// Whether a thread is over though nobody has stopped it: a bug, for which the process should end.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.threads.iter().any(|(_, thread)| thread.is_finished())
    }

    /// Answers what is in the inboxes, closes the store and ends the threads. What is sent from now on may be refused
    /// or dropped.
    ///
    /// # Errors
    /// When a thread had died.
    pub fn stop(self) -> thread::Result<()> {
        self.stop.store(true, Ordering::Release);
        let mut result = Ok(());
        for (unparker, thread) in self.threads {
            unparker.unpark();
            result = result.and(thread.join());
        }
        if let Some(pipelined) = self.pipelined {
            pipelined.end();
        }
        result
    }
}

/// A parker that is woken by what is sent to this inbox.
fn waking(inbox: &Inbox<ChatOrder>) -> Parker {
    let parker = Parker::new();
    let unparker = parker.unparker().clone();
    inbox.wake_by(move || unparker.unpark());
    parker
}

/// What a reader has.
struct Look<C, A> {
    reads: Arc<dyn Reads>,
    clock: C,
    answer: A,
    status: Arc<Status>,
}

impl<C: Fn() -> Instant, A: Fn(ShardId, ChatAnswer)> Look<C, A> {
    fn run(self, mut inbox: ReaderInbox, parker: &Parker, stop: &AtomicBool) {
        loop {
            if let Some(order) = inbox.orders.pop() {
                self.serve(order);
                inbox.answered();
                continue;
            }
            if stop.load(Ordering::Acquire) && inbox.orders.is_empty() {
                return;
            }
            if inbox.orders.prepare_sleep() {
                parker.park();
                inbox.orders.woke();
            }
        }
    }

    fn serve(&self, ChatOrder { shard, request }: ChatOrder) {
        let begun = (self.clock)();
        let result = self.reads.answer(&request.ask);
        let now = (self.clock)();
        self.status.reads.record(now.saturating_duration_since(begun));
        let stored = match result {
            Ok(stored) => {
                self.status.read_passed(now);
                stored
            }
            Err(failure) => {
                self.status.count(&failure);
                self.status.read_failed(now, &failure.what);
                failure.answer()
            }
        };
        (self.answer)(shard, ChatAnswer { request: request.request, stored });
    }
}

/// Everything the writer has.
struct Turn<C, W, A> {
    writes: Box<dyn Writes>,
    clock: C,
    wall: W,
    answer: A,
    status: Arc<Status>,
    recovery: Recovery,
    window: Duration,
    /// When the latest commit began, and how many writes it had.
    committed: Option<(Instant, usize)>,
    together: usize,
    together_bytes: usize,
    /// The store commits nothing until it has recovered.
    broken: bool,
    in_doubt: Vec<Asked>,
    /// Clearing away rests until then.
    sweep_at: Option<Instant>,
    since_sweep: u32,
    /// How long client ids are remembered, and when a part of a round is due.
    sends_kept: Duration,
    forget_at: Instant,
}

/// A write, and who asked for it.
struct Asked {
    shard: ShardId,
    request: u64,
    write: Box<Write>,
}

impl<C: Fn() -> Instant, W: Fn() -> u64, A: Fn(ShardId, ChatAnswer)> Turn<C, W, A> {
    fn new(
        writes: Box<dyn Writes>,
        settings: &Settings,
        (clock, wall): (C, W),
        answer: A,
        status: Arc<Status>,
    ) -> Self {
        Self {
            writes,
            forget_at: clock(),
            clock,
            wall,
            answer,
            status,
            recovery: Recovery::new(),
            window: settings.window,
            committed: None,
            together: settings.together.max(1),
            together_bytes: settings.together_bytes,
            broken: false,
            in_doubt: Vec::new(),
            sweep_at: None,
            since_sweep: 0,
            sends_kept: settings.sends_kept,
        }
    }

    fn run(mut self, mut inbox: Inbox<ChatOrder>, parker: &Parker, stop: &AtomicBool) {
        loop {
            let rest = self.rest();
            if !rest.is_zero() && (1..self.together).contains(&inbox.len()) {
                // No sender wakes this: the time is given to whoever comes within it.
                thread::park_timeout(rest);
            }
            if self.turn(&mut inbox) > 0 {
                continue;
            }
            if stop.load(Ordering::Acquire) && inbox.is_empty() {
                if self.broken {
                    self.recover();
                }
                return;
            }
            if self.sweep() {
                continue;
            }
            self.forget();
            if inbox.prepare_sleep() {
                let due = [self.recovery.next(), self.sweep_at, Some(self.next_forget())];
                if let Some(next) = due.into_iter().flatten().min() {
                    parker.park_timeout(next.saturating_duration_since((self.clock)()));
                }
                inbox.woke();
            }
        }
    }

    /// How long the next commit is to wait for company.
    fn rest(&self) -> Duration {
        let Some((begun, writes)) = self.committed else { return Duration::ZERO };
        rest_after(self.window, writes).saturating_sub((self.clock)().saturating_duration_since(begun))
    }

    /// Takes what goes into one commit, commits and answers it, and says how many orders there were.
    fn turn(&mut self, inbox: &mut Inbox<ChatOrder>) -> usize {
        self.tend();
        let mut asked = Vec::new();
        let (mut taken, mut bytes) = (0, 0);
        while taken < self.together && bytes < self.together_bytes {
            let Some(ChatOrder { shard, request }) = inbox.pop() else { break };
            taken += 1;
            let ChatAsk::Write(write) = request.ask else {
                let failure = Failure::new(FailureKind::Refused, "a read came to the writer");
                self.refuse(shard, request.request, failure);
                continue;
            };
            bytes += self.stage(Asked { shard, request: request.request, write }, &mut asked);
        }
        self.commit(asked);
        if taken > 0 {
            self.since_sweep += 1;
            if self.since_sweep >= SWEEP_EVERY {
                self.sweep();
                self.forget();
            }
        }
        taken
    }

    fn stage(&mut self, one: Asked, asked: &mut Vec<Asked>) -> usize {
        let staged = if self.broken {
            let error = self.recovery.barred().unwrap_or("it has not recovered yet").to_owned();
            Err(Failure::new(FailureKind::Unavailable, error))
        } else {
            let staged = self.writes.stage(&one.write);
            if let Err(Failure { kind: FailureKind::Unavailable | FailureKind::InDoubt, what }) = &staged {
                self.failed(what.clone());
            }
            staged
        };
        match staged {
            Ok(bytes) => {
                asked.push(one);
                bytes
            }
            Err(failure) => {
                self.refuse(one.shard, one.request, failure);
                0
            }
        }
    }

    fn commit(&mut self, asked: Vec<Asked>) {
        if asked.is_empty() {
            return;
        }
        // A full disk is found to have room by trying.
        self.recovery.recovered((self.clock)());
        self.status.batches.record(asked.len() as u64);
        let begun = (self.clock)();
        self.committed = Some((begun, asked.len()));
        let result = self.writes.commit();
        self.status.commits.record((self.clock)().saturating_duration_since(begun));
        match result {
            Ok(()) => {
                self.status.writes.fetch_add(asked.len() as u64, Ordering::Relaxed);
                self.passed(true);
                for Asked { shard, request, .. } in asked {
                    (self.answer)(shard, ChatAnswer { request, stored: ChatStored::Written });
                }
            }
            Err(Failure { kind: FailureKind::InDoubt, what }) => {
                self.failed(what);
                self.broken = true;
                self.doubt(asked);
            }
            Err(failure) => {
                if failure.kind == FailureKind::Unavailable {
                    self.failed(failure.what.clone());
                }
                for Asked { shard, request, .. } in asked {
                    self.refuse(shard, request, failure.clone());
                }
            }
        }
    }

    /// What is to be done about a store that fails, if it is time.
    fn tend(&mut self) {
        if self.recovery.next().is_none() {
            return;
        }
        if self.recovery.is_due((self.clock)()) {
            self.recover();
        }
        self.passed(false);
    }

    fn recover(&mut self) {
        if let Err(failure) = self.writes.recover() {
            return self.failed(failure.what);
        }
        self.recovery.recovered((self.clock)());
        self.broken = false;
        // None of it has happened, as is known now.
        let again = std::mem::take(&mut self.in_doubt);
        self.doubt(Vec::new());
        let mut asked = Vec::new();
        for one in again {
            self.stage(one, &mut asked);
        }
        self.commit(asked);
    }

    /// Clears away a part of what is gone, and says whether there is more to do at once.
    fn sweep(&mut self) -> bool {
        let now = (self.clock)();
        if self.recovery.next().is_some() || self.sweep_at.is_some_and(|at| now < at) {
            return false;
        }
        self.since_sweep = 0;
        self.sweep_at = None;
        match self.writes.sweep() {
            Ok(more) => more,
            Err(failure) => {
                self.sweep_at = Some(now + self.not_cleared(failure));
                false
            }
        }
    }

    /// Something in the background failed; says how long it rests.
    fn not_cleared(&mut self, failure: Failure) -> Duration {
        let (soon, late) = SWEEP_PAUSE;
        match failure.kind {
            FailureKind::Busy => return soon,
            FailureKind::Refused => {
                tracing::warn!(error = failure.what, "what is not needed any more cannot be cleared away");
            }
            FailureKind::Unavailable => self.failed(failure.what),
            FailureKind::InDoubt => {
                self.broken = true;
                self.failed(failure.what);
            }
        }
        late
    }

    /// When [`Turn::forget`] has something to do; while the store fails that is not looked at.
    fn next_forget(&self) -> Instant {
        self.recovery.next().map_or(self.forget_at, |next| next.max(self.forget_at))
    }

    /// Does a part of a round of forgetting, or begins one, if it is time.
    fn forget(&mut self) {
        let now = (self.clock)();
        if now < self.forget_at || self.recovery.next().is_some() {
            return;
        }
        let (rounds, shortest, longest) = FORGET_ROUNDS;
        let kept = u64::try_from((self.sends_kept + FORGET_SLACK).as_millis()).unwrap_or(u64::MAX);
        let pause = match self.writes.forget((self.wall)().saturating_sub(kept)) {
            Ok(true) => FORGET_PAUSE,
            Ok(false) => (self.sends_kept / rounds).clamp(shortest, longest),
            // Nobody waits for it: whoever writes or reads will find out, and tell.
            Err(failure) if failure.kind == FailureKind::Unavailable => SWEEP_PAUSE.1,
            Err(failure) => self.not_cleared(failure),
        };
        self.forget_at = now + pause;
    }

    fn doubt(&mut self, asked: Vec<Asked>) {
        self.status.in_doubt.store(asked.len() as u64, Ordering::Relaxed);
        self.in_doubt = asked;
    }

    fn refuse(&self, shard: ShardId, request: u64, failure: Failure) {
        self.status.count(&failure);
        (self.answer)(shard, ChatAnswer { request, stored: failure.answer() });
    }

    fn failed(&mut self, error: String) {
        if self.recovery.failed((self.clock)(), error.clone()) {
            self.status.episodes.fetch_add(1, Ordering::Relaxed);
            tracing::error!(
                error,
                "the conversations' store fails: nothing can be said until it works, what was said can be read"
            );
        }
        self.status.show(self.recovery.health());
    }

    fn passed(&mut self, wrote: bool) {
        if self.recovery.next().is_none() {
            return;
        }
        if let Some(lasted) = self.recovery.passed((self.clock)(), wrote) {
            tracing::info!(seconds = lasted.as_secs_f64(), "the conversations' store works again");
        }
        self.status.show(self.recovery.health());
    }
}

#[cfg(test)]
mod tests;
