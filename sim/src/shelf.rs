//! A virtual store of conversations: slow, out of order, failing, and honest: what was answered `Written` is there for
//! ever, what was answered `Failed` never happened, and what a crash cut off happened as a whole or not at all.
//!
//! The writes of a conversation take effect in the order they were asked for, at some moment between question and
//! answer; answers come in any order. In a *torn* crash any of what was under way may be lost, else only the latest of
//! each conversation.

use std::collections::{BTreeMap, BTreeSet};

use engine::machine::store::{
    ChatAsk, ChatFailure, ChatStored, ClientIds, Horizon, Loaded, MemberRow, Part, Place, Trace, Write,
};
use engine::machine::{ChatAnswer, ChatRequest};
use schema::chat::{Conversation, ConversationId, Message, Receipt};
use schema::{Id, Key};

use crate::luck::{Concern, Luck};
use crate::profile::{Profile, ShelfMood};

/// What becomes of a write.
#[derive(Clone, Debug)]
pub enum News {
    /// It is asked for.
    Asked(Write),
    /// It is not done and will not be; its home is told later.
    Doomed(Write),
    /// It has taken effect.
    Applied(Write),
    /// Its home is about to be told that it is on stable storage.
    Told(Write),
    /// Its home is about to be told that it has failed.
    Failed(Write),
    /// A crash has cut it off before it took effect.
    Lost(Write),
}

#[derive(Clone, Debug, Default)]
struct Kept {
    conversation: Option<Conversation>,
    members: BTreeMap<u32, MemberRow>,
    last_row: u32,
    /// Who has left.
    left: BTreeMap<u32, Id>,
    messages: BTreeMap<u64, Message>,
    receipts: BTreeMap<(u64, u32), (Id, u64)>,
    deleted: BTreeMap<u64, u32>,
    sent: BTreeMap<(u32, String), u64>,
    forgotten: Option<Horizon>,
}

#[derive(Debug)]
struct Pending {
    shard: u16,
    number: u64,
    request: ChatRequest,
    fails: bool,
    answer: Option<ChatStored>,
}

/// The store; it outlives crashes.
#[derive(Debug)]
pub struct Shelf {
    mood: ShelfMood,
    longest: u64,
    torn: bool,
    luck: Luck,
    places: BTreeMap<Place, Kept>,
    number: u64,
    pending: BTreeMap<(u64, u64), Pending>,
    /// Until when it fails altogether.
    outage: u64,
    news: Vec<News>,
}

impl Shelf {
    /// An empty store.
    #[must_use]
    pub fn new(seed: u64, profile: &Profile) -> Self {
        Self {
            mood: profile.shelf,
            longest: profile.shelf_time(),
            torn: profile.torn,
            luck: Luck::new(seed, Concern::Shelf),
            places: BTreeMap::new(),
            number: 0,
            pending: BTreeMap::new(),
            outage: 0,
            news: Vec::new(),
        }
    }

    /// From now on it answers quickly and well, or as the profile says.
    pub fn set_mood(&mut self, mood: ShelfMood, longest: u64) {
        (self.mood, self.longest, self.outage) = (mood, longest, 0);
    }

    /// What has become of writes since this was asked last, in order.
    pub fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Takes a request of a shard.
    pub fn ask(&mut self, now: u64, shard: u16, request: ChatRequest) {
        if self.mood == ShelfMood::Outages && now >= self.outage && self.luck.chance(30) {
            self.outage = now + self.luck.between(100, 4_000);
        }
        let fails = match self.mood {
            ShelfMood::Good | ShelfMood::Slow => false,
            ShelfMood::Failing => self.luck.chance(250),
            ShelfMood::Outages => now < self.outage,
        };
        let (early, at) = (self.luck.chance(400), now + self.luck.between(0, self.longest));
        self.number += 1;
        if let ChatAsk::Write(write) = &request.ask {
            self.news.push(News::Asked(Write::clone(write)));
            if fails {
                self.news.push(News::Doomed(Write::clone(write)));
            }
        }
        let key = (at, self.number);
        self.pending.insert(key, Pending { shard, number: self.number, request, fails, answer: None });
        if early {
            self.carry_out(key);
        }
    }

    /// When it answers next, and whom.
    #[must_use]
    pub fn next(&self) -> Option<(u64, u16)> {
        self.pending.first_key_value().map(|((at, _), pending)| (*at, pending.shard))
    }

    /// The next answer.
    pub fn answer(&mut self) -> Option<(u16, ChatAnswer)> {
        let key = *self.pending.first_key_value()?.0;
        self.carry_out(key);
        let Pending { shard, request, answer, .. } = self.pending.remove(&key)?;
        let stored = answer?;
        if let ChatAsk::Write(write) = request.ask {
            let failed = matches!(stored, ChatStored::Failed { .. });
            self.news.push(if failed { News::Failed(*write) } else { News::Told(*write) });
        }
        Some((shard, ChatAnswer { request: request.request, stored }))
    }

    /// Everything for a shard that is answered before `until` is answered then: it has no turn before.
    pub fn hold(&mut self, shard: u16, until: u64) {
        let held = self.pending.range(..(until, 0)).filter(|(_, pending)| pending.shard == shard);
        let keys: Vec<_> = held.map(|(key, _)| *key).collect();
        for key in keys {
            if let Some(pending) = self.pending.remove(&key) {
                self.pending.insert((until, pending.number), pending);
            }
        }
    }

    /// The node is gone: what was under way is done or not done.
    pub fn crash(&mut self) {
        let mut asked: Vec<_> = self.pending.iter().map(|(key, pending)| (pending.number, *key)).collect();
        asked.sort_unstable();
        let mut lost: BTreeSet<Place> = BTreeSet::new();
        for (_, key) in asked {
            let Some(pending) = self.pending.get(&key) else { continue };
            let ChatAsk::Write(write) = &pending.request.ask else { continue };
            let (write, open) = (Write::clone(write), pending.answer.is_none() && !pending.fails);
            let done = self.luck.chance(500) && (self.torn || !lost.contains(&write.place));
            if open && done {
                self.put(&write);
            } else if pending_is_lost(self.pending.get(&key)) {
                lost.insert(write.place);
                self.news.push(News::Lost(write));
            }
        }
        self.pending.clear();
    }

    /// Carries out what was asked, after everything of its conversation that is to be written before it.
    fn carry_out(&mut self, key: (u64, u64)) {
        let Some(pending) = self.pending.get(&key) else { return };
        if pending.answer.is_some() {
            return;
        }
        let (number, fails) = (pending.number, pending.fails);
        let ask = pending.request.ask.clone();
        let stored = if fails {
            let failure = if self.luck.chance(300) { ChatFailure::Busy } else { ChatFailure::Unavailable };
            ChatStored::Failed { failure, error: "the virtual shelf is full".to_owned() }
        } else if let ChatAsk::Write(write) = &ask {
            self.write_up_to(write.place, number);
            ChatStored::Written
        } else {
            self.read(&ask)
        };
        if let Some(pending) = self.pending.get_mut(&key) {
            pending.answer = Some(stored);
        }
    }

    fn write_up_to(&mut self, place: Place, number: u64) {
        let mut earlier: Vec<_> = self
            .pending
            .iter()
            .filter(|(_, pending)| pending.number <= number && !pending.fails && pending.answer.is_none())
            .filter(
                |(_, pending)| matches!(&pending.request.ask, ChatAsk::Write(write) if write.place == place),
            )
            .map(|(key, pending)| (pending.number, *key))
            .collect();
        earlier.sort_unstable();
        for (_, key) in earlier {
            let Some(pending) = self.pending.get_mut(&key) else { continue };
            pending.answer = Some(ChatStored::Written);
            if let ChatAsk::Write(write) = &pending.request.ask {
                let write = Write::clone(write);
                self.put(&write);
            }
        }
    }

    fn put(&mut self, write: &Write) {
        let kept = self.places.entry(write.place).or_default();
        write.parts.iter().for_each(|part| kept.put(part));
        self.news.push(News::Applied(write.clone()));
    }

    fn read(&self, ask: &ChatAsk) -> ChatStored {
        match ask {
            ChatAsk::Write(_) => ChatStored::Written,
            ChatAsk::Load { places } => {
                let load = |place| self.places.get(place).and_then(Kept::load).map(Box::new);
                ChatStored::Loaded(places.iter().map(load).collect())
            }
            ChatAsk::Page { place, before, after, forward, limit, receipts } => {
                let kept = self.places.get(place);
                let inside = |at: u64| at > *after && at < *before;
                let all = kept.into_iter().flat_map(|kept| {
                    kept.messages.values().map(|message| kept.with_reads(message, *receipts))
                });
                let mut messages: Vec<Message> = all.filter(|message| inside(message.id.at)).collect();
                if !forward {
                    messages.reverse();
                }
                let more = messages.len() > usize::from(*limit);
                messages.truncate((*limit).into());
                if *forward {
                    messages.reverse();
                }
                ChatStored::Page { messages, more }
            }
            ChatAsk::Message { place, at } => {
                let kept = self.places.get(place);
                let found = kept.and_then(|kept| Some(kept.with_reads(kept.messages.get(at)?, true)));
                ChatStored::Message(found.map(Box::new))
            }
            ChatAsk::Sent { place, rows, client_id, since } => {
                let kept = self.places.get(place);
                let at =
                    |row: &u32| kept.and_then(|kept| kept.sent.get(&(*row, client_id.to_string()))).copied();
                ChatStored::Sent(rows.iter().filter_map(at).find(|at| at > since))
            }
            ChatAsk::Names { place, rows, limit } => {
                let sent = self.places.get(place).map(|kept| &kept.sent);
                let names: ClientIds = sent
                    .into_iter()
                    .flat_map(BTreeMap::keys)
                    .filter(|(row, _)| rows.contains(row))
                    .map(|(row, client_id)| (*row, client_id.as_str().into()))
                    .collect();
                let count = |row: &u32| names.iter().filter(|(other, _)| other == row).count();
                let fits = rows.iter().all(|row| count(row) <= *limit as usize);
                ChatStored::Names { rows: rows.clone(), names: fits.then_some(names) }
            }
            ChatAsk::Memberships { user, after, limit } => self.memberships(user, *after, *limit as usize),
            ChatAsk::Aged { after, before, limit } => {
                let rest = self.places.iter().filter(|(place, _)| after.is_none_or(|after| **place > after));
                let some: Vec<_> = rest.take(*limit as usize).collect();
                let next = some.last().filter(|_| some.len() == *limit as usize).map(|(place, _)| **place);
                let old = |(place, kept): (&Place, &Kept)| {
                    let before = before[kept.conversation.as_ref()?.kind as usize - 1];
                    (*kept.messages.first_key_value()?.0 < before).then_some((*place, before))
                };
                ChatStored::Aged { places: some.into_iter().filter_map(old).collect(), next }
            }
            ChatAsk::Traces { user, after, limit } => {
                let ours = self.places.iter().filter(|((realm, id), kept)| {
                    let there = kept.conversation.is_some();
                    there && *realm == user.realm && after.is_none_or(|after| *id > after)
                });
                let some: Vec<_> = ours.take(*limit as usize).collect();
                let next = some.last().filter(|_| some.len() == *limit as usize).map(|(place, _)| place.1);
                let trace = |(place, kept): (&Place, &Kept)| kept.trace(place.1, &user.id);
                ChatStored::Traces { found: some.into_iter().filter_map(trace).collect(), next }
            }
        }
    }

    fn memberships(
        &self,
        user: &Key,
        after: Option<schema::chat::ConversationId>,
        limit: usize,
    ) -> ChatStored {
        let is_in = |kept: &Kept| {
            kept.conversation.is_some() && kept.members.values().any(|row| row.member.user == user.id)
        };
        let own = self.places.iter().filter(|((realm, id), kept)| {
            *realm == user.realm && after.is_none_or(|after| *id > after) && is_in(kept)
        });
        let mut conversations: Vec<_> = own.map(|((_, id), _)| *id).collect();
        let more = conversations.len() > limit;
        conversations.truncate(limit);
        ChatStored::Memberships { conversations, more }
    }
}

/// Whether a crash loses a write: it was neither done nor to fail.
fn pending_is_lost(pending: Option<&Pending>) -> bool {
    pending.is_some_and(|pending| pending.answer.is_none())
}

impl Kept {
    fn put(&mut self, part: &Part) {
        match part {
            Part::Conversation(conversation) => self.conversation = Some(Conversation::clone(conversation)),
            Part::Gone => *self = Self::default(),
            Part::Member(row) => {
                self.last_row = self.last_row.max(row.member.row);
                self.members.insert(row.member.row, row.clone());
            }
            Part::MemberGone { row, user } => {
                self.members.remove(row);
                self.left.insert(*row, user.clone());
            }
            Part::Message(message) => {
                self.messages.insert(message.id.at, Message::clone(message));
            }
            Part::Receipt { message, row, at } => {
                if let Some(user) = self.members.get(row).map(|row| row.member.user.clone()) {
                    self.receipts.entry((*message, *row)).or_insert((user, *at));
                }
            }
            Part::Deleted { sequence, row } => {
                self.deleted.insert(*sequence, *row);
            }
            Part::Forgotten(horizon) => {
                self.forgotten = Some(*horizon);
                self.messages.retain(|&at, _| at > horizon.at);
                self.receipts.retain(|&(at, _), _| at > horizon.at);
                self.deleted.retain(|&sequence, _| sequence > horizon.sequence);
            }
            Part::Sent { row, client_id, message } => {
                self.sent.insert((*row, client_id.to_string()), *message);
            }
        }
    }

    fn trace(&self, conversation: ConversationId, user: &Id) -> Option<Trace> {
        let made = self.conversation.as_ref().is_some_and(|made| made.creator == *user);
        let members = self.members.iter().map(|(&row, member)| (row, &member.member.user, true));
        let all = members.chain(self.left.iter().map(|(&row, user)| (row, user, false)));
        let mut rows: Vec<_> =
            all.filter(|(_, who, _)| *who == user).map(|(row, _, is_in)| (row, is_in)).collect();
        rows.sort_unstable();
        (made || !rows.is_empty()).then_some(Trace { conversation, rows, made })
    }

    fn with_reads(&self, message: &Message, receipts: bool) -> Message {
        let mut message = message.clone();
        if receipts {
            let own = self.receipts.range((message.id.at, 0)..=(message.id.at, u32::MAX));
            message.reads = own.map(|(_, (user, at))| Receipt { user: user.clone(), at: *at }).collect();
        }
        message
    }

    fn load(&self) -> Option<Loaded> {
        Some(Loaded {
            conversation: self.conversation.clone()?,
            members: self.members.values().cloned().collect(),
            last_row: self.last_row,
            left: self.left.iter().map(|(&row, user)| (row, user.clone())).collect(),
            deleted: self.deleted.iter().map(|(&sequence, &row)| (sequence, row)).collect(),
            newest: self.messages.values().next_back().cloned(),
            last: self.messages.values().rev().find(|message| !message.deleted).cloned(),
            forgotten: self.forgotten,
        })
    }
}
