//! The front door's desk: questions go out to the shards under tickets, answers come back to whoever holds one.
//!
//! One task drains the desk; each question waits on a channel of its own, which is forgotten when the answer has
//! come, when the time is over, or when the asker has gone (its client hung up).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::front::{Answer, Desk, Door, Erased, Step};
use engine::shard::report::Report;
use schema::chat::{ChatCommand, ChatReply};
use schema::id::{Id, Realm};
use schema::{Actor, Command, Event, Key, Refusal, Reply, ShardId};
use tokio::sync::{Notify, oneshot};

use crate::conn::Arrival;

/// Longest wait for a reply. The machine answers sooner, with what it knows, so this is only met by a shard that is
/// stuck.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest wait for a report: the admin listener must say that a shard is stuck while its caller still listens.
const REPORT_PATIENCE: Duration = Duration::from_secs(1);

/// Answers taken from the desk before other tasks of the runtime have their turn.
const BATCH: usize = 256;

/// Locks that the tickets are spread over.
const DRAWERS: usize = 16;

type Drawer = Mutex<HashMap<u64, oneshot::Sender<Answer>>>;

/// Asks shards on behalf of calls that have no session.
#[derive(Clone, Debug)]
pub struct Inquirer {
    door: Door<Arrival>,
    waiting: Arc<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    drawers: [Drawer; DRAWERS],
    next_shard: AtomicU64,
    timeouts: AtomicU64,
}

impl Waiting {
    fn drawer(&self, ticket: u64) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Answer>>> {
        let drawer = &self.drawers[(ticket % DRAWERS as u64) as usize];
        // What a panicking holder left behind is still a map of tickets.
        drawer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, ticket: u64) -> Option<oneshot::Sender<Answer>> {
        self.drawer(ticket).remove(&ticket)
    }
}

/// A question under way. Dropping it forgets the ticket.
struct Pending<'a> {
    waiting: &'a Waiting,
    ticket: u64,
    answer: oneshot::Receiver<Answer>,
}

impl<'a> Pending<'a> {
    fn new(waiting: &'a Waiting, ticket: u64) -> Self {
        let (sender, answer) = oneshot::channel();
        waiting.drawer(ticket).insert(ticket, sender);
        Self { waiting, ticket, answer }
    }

    async fn wait(&mut self, patience: Duration) -> Result<Answer, Refusal> {
        match tokio::time::timeout(patience, &mut self.answer).await {
            Ok(Ok(answer)) => Ok(answer),
            // Nobody drops a sender but the desk's task when it ends.
            Ok(Err(_)) => Err(Refusal::Draining),
            Err(_) => {
                self.waiting.timeouts.fetch_add(1, Ordering::Relaxed);
                Err(Refusal::Timeout)
            }
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.waiting.take(self.ticket);
    }
}

/// Opens the desk: a handle to ask with, and the task that hands out the answers. The task must run for as long as
/// anybody asks; it never ends by itself.
pub fn open(door: Door<Arrival>, desk: Desk) -> (Inquirer, impl Future<Output = ()> + Send + 'static) {
    let waiting = Arc::new(Waiting::default());
    let inquirer = Inquirer { door, waiting: waiting.clone() };
    (inquirer, attend(desk, waiting))
}

async fn attend(mut desk: Desk, waiting: Arc<Waiting>) {
    let bell = Arc::new(Notify::new());
    let ring = bell.clone();
    desk.wake_by(move || ring.notify_one());
    loop {
        let taken = desk.drain(BATCH, |answer| {
            let ticket = match &answer {
                Answer::Event { ticket, .. }
                | Answer::Report { ticket, .. }
                | Answer::Erased { ticket, .. } => *ticket,
            };
            if let Some(asker) = waiting.take(ticket) {
                // The asker may have gone this very moment.
                let _ = asker.send(answer);
            }
        });
        if taken == BATCH {
            tokio::task::yield_now().await;
        } else if desk.prepare_sleep() {
            // A ring between the preparation and the wait is kept by the bell.
            bell.notified().await;
            desk.woke();
        }
    }
}

impl Inquirer {
    /// The handle on the shards.
    #[must_use]
    pub fn door(&self) -> &Door<Arrival> {
        &self.door
    }

    /// Any shard, each in turn.
    #[must_use]
    pub fn any_shard(&self) -> ShardId {
        let turn = self.waiting.next_shard.fetch_add(1, Ordering::Relaxed);
        ShardId((turn % u64::from(self.door.shards().max(1))) as u16)
    }

    /// Questions that were not answered in time.
    #[must_use]
    pub fn timeouts(&self) -> u64 {
        self.waiting.timeouts.load(Ordering::Relaxed)
    }

    /// Commands as `actor` (`None`: nobody in particular) at the shard where the command has the shortest way.
    ///
    /// # Errors
    /// The shard's own refusal, [`Refusal::Busy`] when a queue is full, [`Refusal::Timeout`] when no reply came.
    pub async fn ask(&self, actor: Option<Actor>, command: Command) -> Result<Reply, Refusal> {
        let realm = actor.as_ref().map_or(Realm::default(), |actor| actor.key.realm);
        let shard = self.shard_for(realm, actor.as_ref(), &command);
        let ticket = self.door.ticket();
        let mut pending = Pending::new(&self.waiting, ticket);
        self.door.ask(shard, ticket, actor, command)?;
        match pending.wait(PATIENCE).await? {
            Answer::Event { event: Event::Reply { result, .. }, .. } => result,
            answer => {
                tracing::error!(?answer, "a shard answered a question with something else than a reply");
                Err(Refusal::Unsupported)
            }
        }
    }

    /// A command about conversations; a service may name the user it acts for.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub async fn chat(
        &self,
        actor: Actor,
        acting: Option<Id>,
        command: ChatCommand,
    ) -> Result<ChatReply, Refusal> {
        match self.ask(Some(actor), Command::Chat { acting, command: Box::new(command) }).await? {
            Reply::Chat(reply) => Ok(*reply),
            reply => {
                tracing::error!(?reply, "a shard gave the wrong kind of reply: this is a bug in Muster");
                Err(Refusal::Unsupported)
            }
        }
    }

    /// Takes a step in erasing a user.
    ///
    /// # Errors
    /// As [`Self::ask`]; after [`Refusal::Timeout`] it may still be taken, which does no harm.
    pub async fn erase(&self, step: Step) -> Result<Erased, Refusal> {
        let ticket = self.door.ticket();
        let mut pending = Pending::new(&self.waiting, ticket);
        self.door.erase(ticket, step)?;
        match pending.wait(PATIENCE).await? {
            Answer::Erased { result, .. } => result,
            answer => {
                tracing::error!(?answer, "a shard answered a step with something else");
                Err(Refusal::Unsupported)
            }
        }
    }

    /// The reports of all shards that answer within a second, in the order of the shards.
    pub async fn reports(&self) -> Vec<Report> {
        let mut asked: Vec<Pending<'_>> = Vec::new();
        for shard in (0..self.door.shards()).map(ShardId) {
            let ticket = self.door.ticket();
            let pending = Pending::new(&self.waiting, ticket);
            if self.door.report(shard, ticket).is_ok() {
                asked.push(pending);
            }
        }
        let mut reports = Vec::with_capacity(asked.len());
        let gather = async {
            for pending in &mut asked {
                if let Ok(Answer::Report { report, .. }) = pending.wait(REPORT_PATIENCE).await {
                    reports.push(*report);
                }
            }
        };
        // One patience for all together, beside the one for each.
        let _ = tokio::time::timeout(REPORT_PATIENCE, gather).await;
        // Those behind a silent shard may have answered all the same.
        for pending in &mut asked {
            if let Ok(Answer::Report { report, .. }) = pending.answer.try_recv() {
                reports.push(*report);
            }
        }
        reports.sort_by_key(|report| report.shard);
        reports
    }

    fn shard_for(&self, realm: Realm, actor: Option<&Actor>, command: &Command) -> ShardId {
        let home = |id: &Id| self.door.home(&Key::new(realm, id.clone()));
        match command {
            Command::Query { users } => users.first().map_or_else(|| self.any_shard(), home),
            Command::Sessions { user } | Command::DisconnectUser { user } => home(user),
            Command::Send { to, .. } => home(to),
            Command::Publish { channel, .. } | Command::Occupancy { channel } => home(channel),
            Command::Chat { acting, command } => {
                let user = acting.as_ref().or(actor.map(|actor| &actor.key.id));
                match command.conversation() {
                    Some(conversation) => home(&conversation.id()),
                    // What is about nothing yet, or about all that a user has.
                    None => user.map_or_else(|| self.any_shard(), home),
                }
            }
            Command::DisconnectSession { session } if session.shard.0 < self.door.shards() => session.shard,
            _ => self.any_shard(),
        }
    }
}
