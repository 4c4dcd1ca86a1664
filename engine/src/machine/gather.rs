//! Commands that wait for other shards or the store: who asked, what has come, what is missing, and until when.
//!
//! A gather ends when everything has come or its time is up. Then a query is answered with what is known, anything
//! else with [`Refusal::Timeout`]. What comes later finds no gather and is dropped.

use std::sync::Arc;

use schema::presence::{OnlineUser, SessionInfo};
use schema::{Event, Id, LastSeen, Realm, Refusal, Reply, SessionRef, ShardId, Status, UserPresence};

use super::message::{Answer, Message, Question};
use super::roster::newest_first;
use super::slab::Slotted;
use super::timer::Timer;
use super::{Machine, Output};

/// Who is to get an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whom {
    /// A session here, with its tag.
    Session { session: SessionRef, tag: u64 },
    /// A call of the front door, with its tag.
    Front { ticket: u64, tag: u64 },
    /// Another shard, or this one, with its number.
    Shard { shard: ShardId, ask: u64 },
}

/// What is gathered.
pub(super) enum Harvest {
    /// One answer of one shard, handed on.
    Relay(Option<Answer>),
    /// How users are: the rows in the order asked, which of them each shard is to fill, and how many the store is.
    Query { rows: Vec<UserPresence>, parts: Vec<(ShardId, Vec<u32>)>, reads: u32 },
    /// A sum over shards.
    Count(u64),
    /// The newest of all shards.
    List { rows: Vec<OnlineUser>, limit: u32 },
    /// Sessions that took it, or were ended.
    Reached(u32),
    /// Sessions of one user.
    Sessions(Vec<SessionInfo>),
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
        let deadline = self.wheel.set(Timer::Gather(slot), deadline);
        self.gathers.get_mut(slot)?.deadline = deadline;
        Some(ask_number(slot, generation))
    }

    /// Asks shards, of which all must have room, and waits for their answers.
    pub(super) fn ask_all(
        &mut self,
        whom: Whom,
        questions: Vec<(ShardId, Question)>,
        harvest: Harvest,
    ) -> Result<(), Refusal> {
        let shards: Vec<ShardId> = questions.iter().map(|(shard, _)| *shard).collect();
        if !shards.iter().all(|&shard| self.has_room(shard)) {
            return Err(Refusal::Busy);
        }
        let ask = self.gather(whom, shards, harvest).ok_or(Refusal::Busy)?;
        for (shard, question) in questions {
            self.tell_shard(shard, Message::Ask { ask, question });
        }
        Ok(())
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
            (Harvest::Relay(relay), answer) => *relay = Some(answer),
            (_, Answer::Refused(refusal)) => return self.end_gather(slot, Answer::Refused(refusal)),
            (Harvest::Count(sum), Answer::Count(count)) => *sum += count,
            (Harvest::List { rows, .. }, Answer::Users(more)) => rows.extend(more),
            (Harvest::Reached(sum), Answer::Reached(count)) => *sum = sum.saturating_add(count),
            (Harvest::Sessions(rows), Answer::Sessions(more)) => rows.extend(more),
            // A shard that answers something else does not answer.
            (_, _) => {}
        }
        self.end_if_complete(slot);
    }

    /// The store has read a row of a query, or could not (`None`).
    pub(super) fn query_row(&mut self, ask: u64, at: u32, presence: Option<UserPresence>) {
        let Some(slot) = self.gather_slot(ask) else { return };
        let Some(gather) = self.gathers.get_mut(slot) else { return };
        if let Harvest::Query { rows, reads, .. } = &mut gather.harvest {
            *reads = reads.saturating_sub(1);
            if let (Some(row), Some(presence)) = (rows.get_mut(at as usize), presence) {
                *row = presence;
            }
        }
        self.end_if_complete(slot);
    }

    /// Ends a gather to which nothing is missing.
    fn end_if_complete(&mut self, slot: u32) {
        let Some(gather) = self.gathers.get_mut(slot) else { return };
        let reads = if let Harvest::Query { reads, .. } = gather.harvest { reads } else { 0 };
        if !gather.waiting.is_empty() || reads > 0 {
            return;
        }
        let answer = gather.harvest.answer();
        self.end_gather(slot, answer);
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
            // Shards are answered, not replied to.
            Whom::Shard { .. } => {}
        }
    }

    /// How are these users? Each is asked of its home; those of this home that are not in memory, of the store.
    pub(super) fn query(&mut self, whom: Whom, realm: Realm, users: Vec<Id>) -> Result<(), Refusal> {
        let mut rows = Vec::with_capacity(users.len());
        let mut stored = Vec::new();
        let mut part_of = vec![usize::MAX; usize::from(self.router.shards())];
        let mut parts: Vec<(ShardId, Vec<u32>)> = Vec::new();
        for (at, user) in users.into_iter().enumerate() {
            let home = self.router.shard_of_slot(self.router.slot(realm, &user));
            if home == self.shard {
                if let Some(row) = self.known(realm, &user) {
                    rows.push(row);
                    continue;
                }
                stored.push(at as u32);
            } else {
                let part = &mut part_of[usize::from(home.0)];
                if *part == usize::MAX {
                    *part = parts.len();
                    parts.push((home, Vec::new()));
                }
                parts[*part].1.push(at as u32);
            }
            rows.push(UserPresence { user, status: Status::Unknown, last_seen: LastSeen::Unknown });
        }
        if parts.is_empty() && stored.is_empty() {
            self.answer(whom, Answer::Presence(rows));
            return Ok(());
        }
        let questions: Vec<(ShardId, Question)> = parts
            .iter()
            .map(|(shard, places)| {
                let users = places.iter().map(|&at| rows[at as usize].user.clone()).collect();
                (*shard, Question::Query { realm, users })
            })
            .collect();
        let to_read: Vec<(u32, schema::Key)> = stored
            .into_iter()
            .map(|at| (at, schema::Key::new(realm, rows[at as usize].user.clone())))
            .collect();
        let reads = to_read.len() as u32;
        let shards: Vec<ShardId> = questions.iter().map(|(shard, _)| *shard).collect();
        if !shards.iter().all(|&shard| self.has_room(shard)) {
            return Err(Refusal::Busy);
        }
        let harvest = Harvest::Query { rows, parts, reads };
        let ask = self.gather(whom, shards, harvest).ok_or(Refusal::Busy)?;
        for (shard, question) in questions {
            self.tell_shard(shard, Message::Ask { ask, question });
        }
        for (at, key) in to_read {
            if !self.read_for_query(key, ask, at) {
                self.query_row(ask, at, None);
            }
        }
        Ok(())
    }
}

impl Harvest {
    /// What has come, as the answer.
    pub(super) fn answer(&mut self) -> Answer {
        match self {
            Self::Relay(answer) => answer.take().unwrap_or(Answer::Refused(Refusal::Timeout)),
            Self::Query { rows, .. } => Answer::Presence(std::mem::take(rows)),
            Self::Count(sum) => Answer::Count(*sum),
            Self::List { rows, limit } => {
                newest_first(rows, *limit as usize);
                Answer::Users(std::mem::take(rows))
            }
            Self::Reached(sum) => Answer::Reached(*sum),
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
        Answer::Refused(refusal) => Err(refusal),
    }
}
