//! A store of conversations for tests, as plain as can be: every row in a map, every question a scan.

use std::collections::BTreeMap;

use engine::machine::store::{
    ChatAsk, ChatFailure, ChatStored, ClientIds, Horizon, Loaded, MemberRow, Part, Place, Trace,
};
use engine::machine::{ChatAnswer, ChatRequest};
use schema::chat::{Conversation, ConversationId, Message, Receipt};
use schema::{Id, Key};

/// What it does with what it is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Mood {
    #[default]
    Answers,
    /// Answers later.
    Waits,
    /// Does not do what it is asked.
    Fails,
}

#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) conversation: Option<Conversation>,
    pub(crate) members: BTreeMap<u32, MemberRow>,
    last_row: u32,
    /// Who has left.
    left: BTreeMap<u32, Id>,
    pub(crate) messages: BTreeMap<u64, Message>,
    receipts: BTreeMap<(u64, u32), (Id, u64)>,
    deleted: BTreeMap<u64, u32>,
    sent: BTreeMap<(u32, String), u64>,
    forgotten: Option<Horizon>,
}

#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) mood: Mood,
    /// Of so many writes, one fails.
    pub(crate) fails_every: usize,
    /// Rooms cannot be loaded.
    pub(crate) fails_loads: bool,
    pub(crate) writes: usize,
    /// Readings about client ids.
    pub(crate) looks: usize,
    pub(crate) places: BTreeMap<Place, Kept>,
    waiting: Vec<(usize, ChatAnswer)>,
}

impl Shelf {
    /// The answer, or `None` when it is kept back.
    pub(crate) fn ask(&mut self, shard: usize, request: ChatRequest) -> Option<ChatAnswer> {
        let ChatRequest { request, ask } = request;
        let failed = || ChatStored::Failed { failure: ChatFailure::Unavailable, error: "on purpose".into() };
        let is_write = matches!(ask, ChatAsk::Write(_));
        self.writes += usize::from(is_write);
        self.looks += usize::from(matches!(ask, ChatAsk::Names { .. } | ChatAsk::Sent { .. }));
        let unlucky = is_write && self.fails_every > 0 && self.writes.is_multiple_of(self.fails_every);
        let unlucky = unlucky || (self.fails_loads && matches!(ask, ChatAsk::Load { .. }));
        // What is asked is done in the order it was asked, whenever it is answered.
        let stored = if self.mood == Mood::Fails || unlucky { failed() } else { self.answer(ask) };
        let answer = ChatAnswer { request, stored };
        if self.mood == Mood::Waits {
            self.waiting.push((shard, answer));
            return None;
        }
        Some(answer)
    }

    /// What was kept back, in some other order.
    pub(crate) fn release(&mut self, mut luck: u64) -> Vec<(usize, ChatAnswer)> {
        let mut answers = std::mem::take(&mut self.waiting);
        for at in (1..answers.len()).rev() {
            luck = luck.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            answers.swap(at, (luck >> 33) as usize % (at + 1));
        }
        answers
    }

    /// One of the answers that were kept back, by its place among them.
    pub(crate) fn release_one(&mut self, at: usize) -> Option<(usize, ChatAnswer)> {
        (at < self.waiting.len()).then(|| self.waiting.remove(at))
    }

    fn answer(&mut self, ask: ChatAsk) -> ChatStored {
        match ask {
            ChatAsk::Write(write) => {
                let kept = self.places.entry(write.place).or_default();
                for part in write.parts {
                    kept.put(part);
                }
                ChatStored::Written
            }
            ChatAsk::Load { places } => {
                assert!(places.len() <= engine::limits::CHAT_BATCH);
                let load = |place| self.places.get(place).and_then(Kept::load).map(Box::new);
                ChatStored::Loaded(places.iter().map(load).collect())
            }
            ChatAsk::Page { place, before, after, forward, limit, receipts } => {
                let mut found: Vec<Message> = match self.places.get(&place) {
                    Some(kept) => {
                        kept.messages.values().map(|message| kept.with_reads(message, receipts)).collect()
                    }
                    None => Vec::new(),
                };
                found.retain(|message| message.id.at > after && message.id.at < before);
                if !forward {
                    found.reverse();
                }
                let more = found.len() > usize::from(limit);
                found.truncate(usize::from(limit));
                if forward {
                    found.reverse();
                }
                ChatStored::Page { messages: found, more }
            }
            ChatAsk::Message { place, at } => {
                let kept = self.places.get(&place);
                let found = kept.and_then(|kept| Some(kept.with_reads(kept.messages.get(&at)?, true)));
                ChatStored::Message(found.map(Box::new))
            }
            ChatAsk::Sent { place, rows, client_id, since } => {
                let kept = self.places.get(&place);
                let at = |row| kept.and_then(|kept| kept.sent.get(&(row, client_id.to_string()))).copied();
                ChatStored::Sent(rows.into_iter().filter_map(at).find(|&at| at > since))
            }
            ChatAsk::Names { place, rows, limit } => {
                let sent = self.places.get(&place).map(|kept| &kept.sent);
                let names: ClientIds = sent
                    .into_iter()
                    .flat_map(BTreeMap::keys)
                    .filter(|(row, _)| rows.contains(row))
                    .map(|(row, client_id)| (*row, client_id.as_str().into()))
                    .collect();
                let count = |row: &u32| names.iter().filter(|(other, _)| other == row).count();
                let fits = rows.iter().all(|row| count(row) <= limit as usize);
                ChatStored::Names { rows, names: fits.then_some(names) }
            }
            ChatAsk::Memberships { user, after, limit } => {
                let is_in = |kept: &Kept, user: &Key| {
                    kept.conversation.is_some() && kept.members.values().any(|row| row.member.user == user.id)
                };
                let mut found: Vec<_> = self
                    .places
                    .iter()
                    .filter(|((realm, id), kept)| {
                        *realm == user.realm && after.is_none_or(|after| *id > after) && is_in(kept, &user)
                    })
                    .map(|((_, id), _)| *id)
                    .collect();
                let more = found.len() > limit as usize;
                found.truncate(limit as usize);
                ChatStored::Memberships { conversations: found, more }
            }
            ChatAsk::Aged { after, before, limit } => {
                let rest = self.places.iter().filter(|(place, _)| after.is_none_or(|after| **place > after));
                let some: Vec<_> = rest.take(limit as usize).collect();
                let next = some.last().filter(|_| some.len() == limit as usize).map(|(place, _)| **place);
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
                let some: Vec<_> = ours.take(limit as usize).collect();
                let next = some.last().filter(|_| some.len() == limit as usize).map(|(place, _)| place.1);
                let trace = |(place, kept): (&Place, &Kept)| kept.trace(place.1, &user.id);
                ChatStored::Traces { found: some.into_iter().filter_map(trace).collect(), next }
            }
        }
    }
}

impl Kept {
    fn put(&mut self, part: Part) {
        match part {
            Part::Conversation(conversation) => self.conversation = Some(Conversation::clone(&conversation)),
            Part::Gone => *self = Self::default(),
            Part::Member(row) => {
                self.last_row = self.last_row.max(row.member.row);
                self.members.insert(row.member.row, row);
            }
            Part::MemberGone { row, user } => {
                let gone = self.members.remove(&row).map(|gone| gone.member.user);
                let before = gone.clone().or(self.left.insert(row, user.clone()));
                assert!(before.is_some(), "who leaves was there");
                assert!(gone.is_none_or(|gone| gone == user), "only who has left gets another name");
            }
            Part::Message(message) => {
                let before = self.messages.insert(message.id.at, Message::clone(&message));
                if let Some(before) = before {
                    assert_eq!((before.sequence, before.row), (message.sequence, message.row));
                } else {
                    let last = self.messages.values().map(|other| other.sequence).max();
                    assert_eq!(last, Some(message.sequence), "a new message is the newest");
                }
            }
            Part::Receipt { message, row, at } => {
                let user = self.members.get(&row).map(|row| row.member.user.clone());
                self.receipts.entry((message, row)).or_insert((user.unwrap(), at));
            }
            Part::Deleted { sequence, row } => {
                self.deleted.insert(sequence, row);
            }
            Part::Forgotten(horizon) => {
                assert!(self.forgotten.is_none_or(|before| before.sequence < horizon.sequence));
                self.forgotten = Some(horizon);
                self.messages.retain(|&at, _| at > horizon.at);
                self.receipts.retain(|&(at, _), _| at > horizon.at);
                self.deleted.retain(|&sequence, _| sequence > horizon.sequence);
            }
            Part::Sent { row, client_id, message } => {
                self.sent.insert((row, client_id.to_string()), message);
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
        let last = self.messages.values().rev().find(|message| !message.deleted);
        Some(Loaded {
            conversation: self.conversation.clone()?,
            members: self.members.values().cloned().collect(),
            last_row: self.last_row,
            left: self.left.iter().map(|(&row, user)| (row, user.clone())).collect(),
            deleted: self.deleted.iter().map(|(&sequence, &row)| (sequence, row)).collect(),
            newest: self.messages.values().next_back().cloned(),
            last: last.cloned(),
            forgotten: self.forgotten,
        })
    }
}
