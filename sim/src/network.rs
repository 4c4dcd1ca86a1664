//! The mesh between the machines of a node: bounded inboxes, delays, and no more order than the real one promises.
//!
//! What one shard tells another arrives in order, but for answers, which have places of their own and may overtake.
//! Between different pairs of shards there is no order at all. A *twisted* mesh also lets messages of state overtake
//! and come twice, which the machines must stand.

use std::collections::{BTreeMap, VecDeque};

use engine::machine::Message;

use crate::broken::{Broken, Verdict, broken};
use crate::luck::{Concern, Luck};
use crate::profile::{Profile, TIGHT};

/// A message on its way, or in the inbox of its receiver.
#[derive(Debug)]
pub struct Parcel {
    /// Who sent it.
    pub from: u16,
    /// Who gets it.
    pub to: u16,
    /// What it says.
    pub message: Message,
    /// It takes a place of the inbox.
    counted: bool,
}

/// All inboxes of one node, and what is on the way to them.
#[derive(Debug)]
pub struct Network {
    shards: u16,
    capacity: u32,
    replies: u32,
    delay: u64,
    twisted: bool,
    luck: Luck,
    number: u64,
    parcels: BTreeMap<(u64, u64), Parcel>,
    /// Places taken in each inbox.
    used: Vec<u32>,
    /// Places for answers that each shard has taken in its own inbox.
    reserved: Vec<u32>,
    /// What found the inbox full, by sender and receiver.
    backlog: BTreeMap<(u16, u16), VecDeque<Message>>,
    /// When the last parcel of a lane arrives: sender, receiver, answers.
    lanes: BTreeMap<(u16, u16, bool), u64>,
    /// Questions without an answer: asker, asked, number.
    open: BTreeMap<(u16, u16, u64), u64>,
}

/// The number of a message that wants an answer.
fn question(message: &Message) -> Option<u64> {
    match message {
        Message::Ask { ask, .. } => Some(*ask).filter(|&ask| ask != 0),
        Message::Deliver { ask, .. } => *ask,
        Message::Answer { .. }
        | Message::State(_)
        | Message::Publish { .. }
        | Message::Chat { .. }
        | Message::Tap(_) => None,
    }
}

/// Whether a message asks about conversations.
fn is_chat(message: &Message) -> bool {
    use engine::machine::message::Question;
    let Message::Ask { question, .. } = message else { return false };
    matches!(
        question,
        Question::Chat { .. } | Question::Chats { .. } | Question::Summaries { .. } | Question::Forget { .. }
    )
}

/// Longest way of state in a twisted mesh, where other messages have this one: long enough to be overtaken. In a tight
/// one it is shorter, since there a message on its way keeps others from leaving.
#[must_use]
pub fn twisted(delay: u64, tight: bool) -> u64 {
    4 * delay.min(100) + delay + if tight { 5 } else { 60 }
}

impl Network {
    /// An empty mesh.
    #[must_use]
    pub fn new(seed: u64, profile: &Profile) -> Self {
        let shards = usize::from(profile.shards);
        Self {
            shards: profile.shards,
            capacity: profile.capacity,
            replies: profile.replies,
            delay: profile.delay,
            twisted: profile.twisted,
            luck: Luck::new(seed, Concern::Network),
            number: 0,
            parcels: BTreeMap::new(),
            used: vec![0; shards],
            reserved: vec![0; shards],
            backlog: BTreeMap::new(),
            lanes: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    /// The node has crashed: everything on the way is gone.
    pub fn clear(&mut self) {
        self.parcels.clear();
        self.backlog.clear();
        self.lanes.clear();
        self.open.clear();
        self.used.fill(0);
        self.reserved.fill(0);
    }

    /// From now on the ways are short, or as long as the profile says.
    pub fn set_delay(&mut self, delay: u64) {
        self.delay = delay;
    }

    /// The room that `from` is told of at `to`.
    #[must_use]
    pub fn room(&self, from: u16, to: u16) -> u32 {
        if self.backlog.get(&(from, to)).is_some_and(|waiting| !waiting.is_empty()) {
            return 0;
        }
        let free = self.capacity.saturating_sub(self.used[usize::from(to)]);
        let places = self.replies.saturating_sub(self.reserved[usize::from(from)]);
        free.min(places / u32::from(self.shards - 1).max(1))
    }

    /// Takes a message.
    pub fn send(&mut self, now: u64, from: u16, to: u16, message: Message) -> Verdict {
        if from == to || to >= self.shards {
            return broken(
                "what a shard says to itself never leaves it",
                format!("{from} to {to}: {message:?}"),
            );
        }
        if let Message::Answer { ask, answer } = &message {
            if self.open.remove(&(to, from, *ask)).is_none() {
                let seen = format!("shard {from} answers question {ask} of shard {to} again: {answer:?}");
                return broken("every question gets exactly one answer", seen);
            }
            self.dispatch(now, from, to, message, false);
            return Ok(());
        }
        if let Some(ask) = question(&message) {
            self.reserved[usize::from(from)] += 1;
            if self.reserved[usize::from(from)] > self.replies {
                return broken(
                    "a question is asked only with a place for its answer",
                    format!("shard {from}"),
                );
            }
            // What is asked about conversations waits for their store.
            let patience = if is_chat(&message) { 120_000 } else { 0 };
            self.open.insert((from, to, ask), now + patience);
        }
        let waiting = self.backlog.entry((from, to)).or_default();
        if !waiting.is_empty() || self.used[usize::from(to)] >= self.capacity {
            waiting.push_back(message);
        } else {
            self.dispatch(now, from, to, message, true);
        }
        Ok(())
    }

    fn dispatch(&mut self, now: u64, from: u16, to: u16, message: Message, counted: bool) {
        if counted {
            self.used[usize::from(to)] += 1;
        }
        let state = matches!(message, Message::State(_));
        if state && self.twisted {
            let copies = if self.luck.chance(200) { 2 } else { 1 };
            for copy in 0..copies {
                let at = now + self.luck.between(0, twisted(self.delay, self.capacity < TIGHT));
                self.post(at, Parcel { from, to, message: message.clone(), counted: counted && copy == 0 });
            }
            return;
        }
        let lane = self.lanes.entry((from, to, !counted)).or_default();
        *lane = (*lane).max(now + self.luck.between(0, self.delay));
        let at = *lane;
        self.post(at, Parcel { from, to, message, counted });
    }

    fn post(&mut self, at: u64, parcel: Parcel) {
        self.number += 1;
        self.parcels.insert((at, self.number), parcel);
    }

    /// When the next parcel arrives, and where.
    #[must_use]
    pub fn next(&self) -> Option<(u64, u16)> {
        self.parcels.first_key_value().map(|((at, _), parcel)| (*at, parcel.to))
    }

    /// Takes the parcels that have arrived for the receiver of the first one, at most `most`.
    pub fn arrived(&mut self, now: u64, most: usize) -> Vec<Parcel> {
        let Some((_, to)) = self.next() else { return Vec::new() };
        let keys: Vec<_> = self
            .parcels
            .range(..=(now, u64::MAX))
            .filter(|(_, parcel)| parcel.to == to)
            .map(|(key, _)| *key)
            .take(most)
            .collect();
        let parcels: Vec<Parcel> = keys.iter().filter_map(|key| self.parcels.remove(key)).collect();
        for parcel in &parcels {
            if parcel.counted {
                self.used[usize::from(to)] -= 1;
            }
            if matches!(parcel.message, Message::Answer { .. }) {
                self.reserved[usize::from(to)] -= 1;
            }
        }
        self.retry(now, to);
        parcels
    }

    /// Everything for a shard that arrives before `until` arrives then, in order: it has no turn before.
    pub fn hold(&mut self, to: u16, until: u64) {
        let held: Vec<_> = self
            .parcels
            .range(..=(until, u64::MAX))
            .filter(|(_, parcel)| parcel.to == to)
            .map(|(key, _)| *key)
            .collect();
        for key in held {
            if let Some(parcel) = self.parcels.remove(&key) {
                let lane = self.lanes.entry((parcel.from, to, !parcel.counted)).or_default();
                *lane = (*lane).max(until);
                self.post(until, parcel);
            }
        }
    }

    /// Gives places that have become free to those who wait for them.
    fn retry(&mut self, now: u64, to: u16) {
        let start = self.luck.below(u64::from(self.shards)) as u16;
        for turn in 0..self.shards {
            let from = (start + turn) % self.shards;
            while self.used[usize::from(to)] < self.capacity {
                let waiting = self.backlog.get_mut(&(from, to));
                let Some(message) = waiting.and_then(VecDeque::pop_front) else { break };
                self.dispatch(now, from, to, message, true);
            }
        }
    }

    /// True when nothing is on the way and no answer is owed.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.parcels.is_empty() && self.open.is_empty() && self.backlog.values().all(VecDeque::is_empty)
    }

    /// No question stays without its answer, or the place reserved for it would be lost.
    pub fn check_answers(&self, now: u64, longest: u64) -> Verdict {
        let owed = self.open.iter().find(|(_, asked)| *asked + longest < now);
        match owed {
            Some(((asker, asked, ask), at)) => Err(Broken {
                promised: "every question gets exactly one answer, or its reply place would leak",
                seen: format!("question {ask} of shard {asker} to shard {asked}, asked at {at}"),
            }),
            None => Ok(()),
        }
    }
}
