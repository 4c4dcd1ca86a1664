//! Commands that wait for other shards or the store: who asked, what has come, what is missing, and until when.
//!
//! A gather ends when everything has come or its time is up. Then a query is answered with what is known, anything
//! else with [`Refusal::Timeout`]. What comes later finds no gather and is dropped.

use std::sync::Arc;

use schema::chat::{ConversationId, Summary};
use schema::presence::{OnlineUser, SessionInfo};
use schema::{Event, Id, Key, LastSeen, Realm, Refusal, Reply, SessionRef, ShardId, Status, UserPresence};

use super::message::{Answer, Listing, Message, Question};
use super::roster::newest_first;
use super::slab::Slotted;
use super::timer::Timer;
use super::{Machine, Output};
use crate::limits::relax::Relax;

/// Users of one query that are looked up in a turn; each may be anywhere in memory.
const LOOKUPS: usize = 1_024;

/// Who is to get an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whom {
    /// A session here, with its tag.
    Session { session: SessionRef, tag: u64 },
    /// A call of the front door, with its tag.
    Front { ticket: u64, tag: u64 },
    /// Another shard, or this one, with its number.
    Shard { shard: ShardId, ask: u64 },
    /// A step of the front door's in erasing a user, by its ticket.
    Eraser { ticket: u64 },
}

/// What is gathered.
pub(super) enum Harvest {
    /// One answer of one shard, handed on.
    Relay(Option<Answer>),
    /// How users are: the rows in the order asked, which of them each shard is to fill, which of this home's have not
    /// been looked up yet, and how many the store is to fill.
    Query { rows: Vec<UserPresence>, parts: Vec<(ShardId, Vec<u32>)>, here: Vec<u32>, reads: u32 },
    /// A sum over shards.
    Count(u64),
    /// The newest of all shards.
    List { rows: Vec<OnlineUser>, limit: u32 },
    /// Sessions that took it, or were ended.
    Reached(u32),
    /// Sessions of one user.
    Sessions(Vec<SessionInfo>),
    /// Conversations of one user, of all their homes.
    Summaries { rows: Vec<Summary>, listing: Listing },
    /// Whether a session may join a conversation, which it then does.
    Join {
        session: SessionRef,
        conversation: ConversationId,
        service: bool,
        answer: Option<Answer>,
        /// The latest row with which its user has left the conversation meanwhile; 0: none.
        left: u32,
    },
}

/// A session that its conversation's home lets join.
pub(super) struct Joining {
    pub(super) session: SessionRef,
    pub(super) conversation: ConversationId,
    pub(super) service: bool,
    pub(super) left: u32,
}

/// One command that waits.
pub(super) struct Gather {
    generation: u32,
    whom: Whom,
    waiting: Vec<ShardId>,
    deadline: u64,
    harvest: Harvest,
}

impl Slotted for Gather {
    fn generation(&self) -> u32 {
        self.generation
    }
}

fn ask_number(slot: u32, generation: u32) -> u64 {
    u64::from(generation) << 32 | u64::from(slot)
}

impl Machine {
    /// Begins to wait for these shards. `None`: too many commands wait already.
    pub(super) fn gather(&mut self, whom: Whom, waiting: Vec<ShardId>, harvest: Harvest) -> Option<u64> {
        if self.gathers.len() >= self.limits.gathers {
            return None;
        }
        // Who is asked by another shard answers before the asker gives up.
        let time = u64::from(self.limits.gather_time);
        let time = if matches!(whom, Whom::Shard { .. }) { time - time / 4 } else { time };
        let deadline = self.now.mono + time;
        let slot =
            self.gathers.insert(|generation| Gather { generation, whom, waiting, deadline, harvest })?;
        let generation = self.gathers.get(slot)?.generation;
        let deadline = self.wheel.set(self.now.mono, Timer::Gather(slot), deadline);
        self.gathers.get_mut(slot)?.deadline = deadline;
        Some(ask_number(slot, generation))
    }

    /// Asks shards, of which all must have room, and waits for their answers.
    pub(super) fn ask_all(
        &mut self,
        whom: Whom,
        questions: Vec<(ShardId, Question)>,
        harvest: Harvest,
    ) -> Result<u64, Refusal> {
        let shards: Vec<ShardId> = questions.iter().map(|(shard, _)| *shard).collect();
        if !shards.iter().all(|&shard| self.has_room(shard)) {
            return Err(Refusal::Busy);
        }
        let ask = self.gather(whom, shards, harvest).ok_or(Refusal::Busy)?;
        for (shard, question) in questions {
            self.tell_shard(shard, Message::Ask { ask, question });
        }
        Ok(ask)
    }

    fn gather_slot(&self, ask: u64) -> Option<u32> {
        let slot = ask as u32;
        self.gathers.get(slot).filter(|gather| ask_number(slot, gather.generation) == ask)?;
        Some(slot)
    }

    /// A shard answers.
    pub(super) fn answered(&mut self, from: ShardId, ask: u64, answer: Answer) {
        let Some(slot) = self.gather_slot(ask) else { return };
        let Some(gather) = self.gathers.get_mut(slot) else { return };
        let Some(at) = gather.waiting.iter().position(|&shard| shard == from) else { return };
        gather.waiting.swap_remove(at);
        match (&mut gather.harvest, answer) {
            (Harvest::Query { rows, parts, .. }, Answer::Presence(told)) => {
                let places = parts.iter().find(|part| part.0 == from).map_or(&[][..], |part| &part.1);
                for (&at, presence) in places.iter().zip(told) {
                    if let Some(row) = rows.get_mut(at as usize).filter(|row| row.user == presence.user) {
                        *row = presence;
                    }
                }
            }
            // What one shard cannot say stays unknown; the others' users are told.
            (Harvest::Query { .. }, Answer::Refused(_)) => {}
            (Harvest::Reached(_), Answer::Refused(Refusal::NotFound)) => {}
            (Harvest::Relay(relay) | Harvest::Join { answer: relay, .. }, answer) => *relay = Some(answer),
            (_, Answer::Refused(refusal)) => return self.end_gather(slot, Answer::Refused(refusal)),
            (Harvest::Count(sum), Answer::Count(count)) => *sum += count,
            (Harvest::List { rows, limit }, Answer::Users(more)) => {
                rows.extend(more);
                newest_first(rows, *limit as usize);
            }
            (Harvest::Reached(sum), Answer::Reached(count)) => *sum = sum.saturating_add(count),
            (Harvest::Sessions(rows), Answer::Sessions(more)) => rows.extend(more),
            (Harvest::Summaries { rows, .. }, Answer::Summaries(more)) => rows.extend(more),
            // A shard that answers something else does not answer.
            (_, _) => {}
        }
        self.end_if_complete(slot);
    }

    /// The store has read a row of a query, or could not (`None`).
    pub(super) fn query_row(&mut self, ask: u64, at: u32, found: Option<(Status, LastSeen)>) {
        let Some(slot) = self.gather_slot(ask) else { return };
        let Some(gather) = self.gathers.get_mut(slot) else { return };
        if let Harvest::Query { rows, reads, .. } = &mut gather.harvest {
            *reads = reads.saturating_sub(1);
            if let (Some(row), Some((status, last_seen))) = (rows.get_mut(at as usize), found) {
                (row.status, row.last_seen) = (status, last_seen);
            }
        }
        self.end_if_complete(slot);
    }

    /// Ends a gather to which nothing is missing.
    fn end_if_complete(&mut self, slot: u32) {
        let Some(gather) = self.gathers.get_mut(slot) else { return };
        let incomplete = match &gather.harvest {
            Harvest::Query { here, reads, .. } => *reads > 0 || !here.is_empty(),
            _ => false,
        };
        if incomplete || !gather.waiting.is_empty() {
            return;
        }
        let join = match gather.harvest {
            Harvest::Join { session, conversation, service, left, .. } => {
                Some(Joining { session, conversation, service, left })
            }
            _ => None,
        };
        let (whom, answer) = (gather.whom, gather.harvest.answer());
        match (join, answer) {
            (Some(join), Answer::Chat(agreed)) => {
                self.gathers.remove(slot);
                self.joined(whom, join, &agreed);
            }
            (_, answer) => self.end_gather(slot, answer),
        }
    }

    /// Somebody has left a conversation, which a session of theirs may be about to join: what its home says of that may
    /// be older.
    pub(super) fn joins_no_more(&mut self, session: SessionRef, from: ConversationId, row: u32) {
        for slot in 0..self.gathers.slots() {
            let harvest = self.gathers.get_mut(slot).map(|gather| &mut gather.harvest);
            if let Some(Harvest::Join { session: joining, conversation, left, .. }) = harvest
                && (*joining, *conversation) == (session, from)
            {
                *left = (*left).max(row);
            }
        }
    }

    /// A gather's time is up.
    pub(super) fn fire_gather(&mut self, slot: u32, deadline: u64) {
        let Some(gather) = self.gathers.get_mut(slot).filter(|gather| gather.deadline == deadline) else {
            return;
        };
        let answer = match gather.harvest {
            Harvest::Query { .. } => gather.harvest.answer(),
            _ => Answer::Refused(Refusal::Timeout),
        };
        self.counters.late += 1;
        self.end_gather(slot, answer);
    }

    fn end_gather(&mut self, slot: u32, answer: Answer) {
        if let Some(gather) = self.gathers.remove(slot) {
            self.answer(gather.whom, answer);
        }
    }

    /// Gives an answer to whoever asked.
    pub(super) fn answer(&mut self, whom: Whom, answer: Answer) {
        match whom {
            Whom::Shard { ask: 0, .. } => {}
            Whom::Shard { shard, ask } => self.tell_shard(shard, Message::Answer { ask, answer }),
            Whom::Session { .. } | Whom::Front { .. } => self.reply(whom, result(answer)),
            Whom::Eraser { ticket } => self.erase_answer(ticket, answer),
        }
    }

    /// Tells a caller how its command went.
    pub(super) fn reply(&mut self, whom: Whom, result: Result<Reply, Refusal>) {
        if let Err(refusal) = result {
            self.counters.refused(refusal);
        }
        match whom {
            Whom::Session { session, tag } => {
                if let Some(slot) = self.alive(session) {
                    self.tell_session(slot, &Arc::new(Event::Reply { tag, result }));
                }
            }
            Whom::Front { ticket, tag } => {
                self.output(Output::Front { ticket, event: Event::Reply { tag, result } });
            }
            // Shards are answered, not replied to, and so is who erases.
            Whom::Shard { .. } | Whom::Eraser { .. } => {}
        }
    }

    /// How are these users? Each is asked of its home; those of this home that are not in memory, of the store.
    pub(super) fn query(&mut self, whom: Whom, realm: Realm, users: Vec<Id>) -> Result<(), Refusal> {
        let unknown = |user| UserPresence { user, status: Status::Unknown, last_seen: LastSeen::Unknown };
        let mut rows: Vec<UserPresence> = users.into_iter().map(unknown).collect();
        let (mut here, parts) = self.by_home(realm, &rows);
        let mut stored = Vec::new();
        if here.len() <= LOOKUPS {
            for at in std::mem::take(&mut here) {
                let row = &mut rows[at as usize];
                match self.known(realm, &row.user) {
                    Some((status, last_seen)) => (row.status, row.last_seen) = (status, last_seen),
                    None => stored.push((at, Key::new(realm, row.user.clone()))),
                }
            }
        }
        if parts.is_empty() && stored.is_empty() && here.is_empty() {
            self.answer(whom, Answer::Presence(rows));
            return Ok(());
        }
        let mut questions = Vec::with_capacity(parts.len());
        for (shard, places) in &parts {
            let users = places.iter().map(|&at| rows[at as usize].user.clone()).collect();
            questions.push((*shard, Question::Query { realm, users }));
        }
        let (later, reads) = (!here.is_empty(), stored.len() as u32);
        let ask = self.ask_all(whom, questions, Harvest::Query { rows, parts, here, reads })?;
        if later {
            self.lookups.push_back((ask, realm));
        }
        for (at, key) in stored {
            self.read_row(ask, at, key);
        }
        Ok(())
    }

    /// Places of the rows that are this home's, and of those of other homes.
    fn by_home(&self, realm: Realm, rows: &[UserPresence]) -> (Vec<u32>, Vec<(ShardId, Vec<u32>)>) {
        let mut here = Vec::new();
        let mut parts: Vec<(ShardId, Vec<u32>)> = Vec::new();
        let mut part_of = vec![usize::MAX; usize::from(self.router.shards())];
        for (at, row) in (0..).zip(rows) {
            let home = self.router.home_of(realm, &row.user);
            if home == self.shard {
                here.push(at);
                continue;
            }
            let part = &mut part_of[usize::from(home.0)];
            if *part == usize::MAX {
                *part = parts.len();
                parts.push((home, Vec::new()));
            }
            parts[*part].1.push(at);
        }
        (here, parts)
    }

    fn read_row(&mut self, ask: u64, at: u32, key: Key) {
        if !self.read_for_query(key, ask, at) {
            self.query_row(ask, at, None);
        }
    }

    /// Goes on with large queries, [`LOOKUPS`] users a turn.
    pub(super) fn advance_lookups(&mut self) {
        let Some(&(ask, realm)) = self.lookups.front() else { return };
        for _ in 0..LOOKUPS {
            let slot = self.gather_slot(ask).and_then(|slot| self.gathers.get_mut(slot));
            let Some(Harvest::Query { rows, here, reads, .. }) = slot.map(|gather| &mut gather.harvest)
            else {
                break;
            };
            let Some(at) = here.pop() else { break };
            let Some(row) = rows.get(at as usize) else { continue };
            let key = Key::new(realm, row.user.clone());
            // As if the store had been asked: `query_row` takes it back.
            *reads += 1;
            match self.known(realm, &key.id) {
                Some(found) => self.query_row(ask, at, Some(found)),
                None => self.read_row(ask, at, key),
            }
        }
        let slot = self.gather_slot(ask).and_then(|slot| self.gathers.get(slot));
        match slot.map(|gather| &gather.harvest) {
            Some(Harvest::Query { here, .. }) if !here.is_empty() => self.lookups.rotate_left(1),
            _ => {
                self.lookups.pop_front();
                self.lookups.relax_wholly();
            }
        }
    }
}

impl Harvest {
    /// What has come, as the answer.
    pub(super) fn answer(&mut self) -> Answer {
        match self {
            Self::Relay(answer) | Self::Join { answer, .. } => {
                answer.take().unwrap_or(Answer::Refused(Refusal::Timeout))
            }
            Self::Query { rows, .. } => Answer::Presence(std::mem::take(rows)),
            Self::Count(sum) => Answer::Count(*sum),
            Self::List { rows, .. } => Answer::Users(std::mem::take(rows)),
            Self::Reached(sum) => Answer::Reached(*sum),
            Self::Summaries { rows, listing } => {
                Answer::Chat(Box::new(super::chat::listed(std::mem::take(rows), listing)))
            }
            Self::Sessions(rows) => {
                rows.sort_by_key(|row| (row.since, row.session));
                Answer::Sessions(std::mem::take(rows))
            }
        }
    }
}

/// What clients are told.
fn result(answer: Answer) -> Result<Reply, Refusal> {
    match answer {
        Answer::Presence(rows) => Ok(Reply::Presence(rows)),
        Answer::Count(count) => Ok(Reply::Count(count)),
        Answer::Occupancy(count) => Ok(Reply::Occupancy(count)),
        Answer::Users(rows) => Ok(Reply::Users(rows)),
        Answer::Reached(count) => Ok(Reply::Reached(count)),
        Answer::Sessions(rows) => Ok(Reply::Sessions(rows)),
        Answer::Chat(reply) => Ok(Reply::Chat(reply)),
        // Only asked by homes, never by clients.
        Answer::Summaries(_) => Err(Refusal::Unsupported),
        Answer::Refused(refusal) => Err(refusal),
    }
}
