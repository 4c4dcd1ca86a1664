//! A user's conversations: the user's home reads which they are, asks the home of each, and puts the answers in order.

use std::collections::BTreeMap;

use schema::chat::{ChatReply, ConversationId, Summary};
use schema::{Key, Refusal, ShardId};

use super::super::Machine;
use super::super::gather::{Harvest, Whom};
use super::super::message::{Answer, Question};
use super::super::store::{ChatAsk, ChatStored};
use super::{Asked, ask};

/// Members that a list shows of each conversation.
pub(super) const MEMBERS: usize = 100;
/// Conversations that are read of one user in a go.
const GO: u32 = 1_000;

/// A list that is wanted.
pub(super) struct Wanted {
    whom: Whom,
    user: Key,
    kinds: u8,
    limit: u32,
    count: bool,
    found: Vec<ConversationId>,
}

/// A home's part of a list, while some of its conversations are being loaded.
pub(super) struct Collect {
    whom: Whom,
    user: Key,
    rows: Vec<Summary>,
    missing: usize,
    /// Some of it could not be read.
    failed: bool,
}

impl Machine {
    /// A user of this home wants a list.
    pub(in crate::machine) fn list_chats(
        &mut self,
        whom: Whom,
        user: Key,
        kinds: u8,
        limit: u32,
        count: bool,
    ) -> Result<(), Refusal> {
        if self.chats.under_way.len() >= self.limits.chat_commands as usize {
            return Err(Refusal::Busy);
        }
        let limit = limit.clamp(1, self.limits.chat_list);
        self.more_memberships(Wanted { whom, user, kinds, limit, count, found: Vec::new() });
        Ok(())
    }

    fn more_memberships(&mut self, wanted: Wanted) {
        let (user, after) = (wanted.user.clone(), wanted.found.last().copied());
        self.ask_chats(ChatAsk::Memberships { user, after, limit: GO }, Asked::Memberships(wanted));
    }

    /// The store knows some of the user's conversations.
    pub(super) fn memberships(&mut self, mut wanted: Wanted, stored: ChatStored) {
        let ChatStored::Memberships { conversations, more } = stored else {
            return self.answer(wanted.whom, Answer::Refused(Refusal::Unavailable));
        };
        let more = more && !conversations.is_empty();
        wanted.found.extend(conversations);
        if more && wanted.found.len() < self.limits.chat_memberships as usize {
            return self.more_memberships(wanted);
        }
        let mut homes: BTreeMap<ShardId, Vec<ConversationId>> = BTreeMap::new();
        for conversation in wanted.found {
            let home = self.router.home_of(wanted.user.realm, &conversation.id());
            homes.entry(home).or_default().push(conversation);
        }
        let user = &wanted.user;
        let questions: Vec<_> = homes
            .into_iter()
            .map(|(home, conversations)| (home, Question::Summaries { user: user.clone(), conversations }))
            .collect();
        let harvest = Harvest::Summaries {
            rows: Vec::new(),
            kinds: wanted.kinds,
            limit: wanted.limit,
            count: wanted.count,
        };
        if questions.is_empty() {
            let mut harvest = harvest;
            return self.answer(wanted.whom, harvest.answer());
        }
        if let Err(refusal) = self.ask_all(wanted.whom, questions, harvest) {
            self.answer(wanted.whom, Answer::Refused(refusal));
        }
    }

    /// What do you know of these conversations of yours?
    pub(in crate::machine) fn summaries(
        &mut self,
        whom: Whom,
        user: Key,
        conversations: Vec<ConversationId>,
    ) -> Result<(), Refusal> {
        self.chats.serial += 1;
        let number = self.chats.serial;
        let mut collect =
            Collect { whom, user, rows: Vec::with_capacity(conversations.len()), missing: 0, failed: false };
        let mut unknown = Vec::new();
        for conversation in conversations {
            let place = (collect.user.realm, conversation);
            let Some((slot, new)) = self.room(place) else { return Err(Refusal::Busy) };
            let Some(room) = self.chats.rooms.get_mut(slot) else { continue };
            let stale = room.facts.as_ref().is_some_and(|facts| facts.last.is_none());
            if room.loading || stale {
                if new || (stale && room.lists.is_empty()) {
                    unknown.push(slot);
                }
                room.lists.push(number);
                collect.missing += 1;
            } else if let Some(facts) = &room.facts {
                collect.rows.extend(ask::summary(facts, &collect.user.id));
            }
        }
        if collect.missing == 0 {
            self.answer(whom, Answer::Summaries(collect.rows));
            return Ok(());
        }
        self.chats.lists.insert(number, collect);
        self.load(&unknown);
        Ok(())
    }

    /// A room that lists wait for is known, or could not be read: then there is no list, rather than one without it.
    pub(super) fn feed_lists(&mut self, slot: u32, failed: bool) {
        let Some(room) = self.chats.rooms.get_mut(slot) else { return };
        let mut done = Vec::new();
        for number in std::mem::take(&mut room.lists) {
            let Some(collect) = self.chats.lists.get_mut(&number) else { continue };
            collect.failed |= failed;
            if let Some(facts) = &room.facts {
                collect.rows.extend(ask::summary(facts, &collect.user.id));
            }
            collect.missing -= 1;
            if collect.missing == 0 {
                done.extend(self.chats.lists.remove(&number));
            }
        }
        for Collect { whom, rows, failed, .. } in done {
            let answer = if failed { Answer::Refused(Refusal::Unavailable) } else { Answer::Summaries(rows) };
            self.answer(whom, answer);
        }
    }
}

/// What comes of all homes' parts.
pub(in crate::machine) fn listed(mut rows: Vec<Summary>, kinds: u8, limit: u32, count: bool) -> ChatReply {
    rows.retain(|row| kinds == 0 || kinds & 1 << row.conversation.kind as u8 != 0);
    if count {
        return ChatReply::Count(rows.iter().filter(|row| row.unread > 0).count() as u64);
    }
    rows.sort_by_key(|row| (std::cmp::Reverse(row.conversation.updated_at), row.conversation.id));
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    ChatReply::Summaries { rows, more }
}
