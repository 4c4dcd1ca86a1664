//! A user's conversations: the user's home reads which they are, asks the home of each, and puts the answers in order.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use schema::chat::{ChatReply, ConversationId, Summary};
use schema::{Key, Refusal, ShardId};

use super::super::Machine;
use super::super::gather::{Harvest, Whom};
use super::super::message::{Answer, Listing, Question};
use super::super::store::{ChatAsk, ChatStored};
use super::facts::Facts;
use super::{Asked, ask};

/// Members that a list shows of each conversation.
pub(super) const MEMBERS: usize = 100;
/// Conversations that are read of one user in a go.
const GO: u32 = 1_000;

/// A list that is wanted.
pub(super) struct Wanted {
    whom: Whom,
    user: Key,
    listing: Listing,
    found: Vec<ConversationId>,
}

/// A home's part of a list, while some of its conversations are being loaded.
pub(super) struct Collect {
    whom: Whom,
    user: Key,
    listing: Listing,
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
        mut listing: Listing,
    ) -> Result<(), Refusal> {
        if self.chats.under_way.len() >= self.limits.chat_commands as usize {
            return Err(Refusal::Busy);
        }
        listing.limit = listing.limit.clamp(1, self.limits.chat_list);
        self.more_memberships(Wanted { whom, user, listing, found: Vec::new() });
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
        let (user, listing) = (&wanted.user, wanted.listing);
        let ask = |conversations| Question::Summaries { user: user.clone(), conversations, listing };
        let questions: Vec<_> =
            homes.into_iter().map(|(home, conversations)| (home, ask(conversations))).collect();
        let harvest = Harvest::Summaries { rows: Vec::new(), listing };
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
        listing: Listing,
    ) -> Result<(), Refusal> {
        self.chats.serial += 1;
        let number = self.chats.serial;
        let mut collect = Collect { whom, user, listing, rows: Vec::new(), missing: 0, failed: false };
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
                collect.add(facts);
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
                collect.add(facts);
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

impl Collect {
    /// One more conversation, if the list is to have it.
    fn add(&mut self, facts: &Facts) {
        let Listing { kinds, after, count, limit } = self.listing;
        let of_kind = kinds == 0 || kinds & 1 << facts.conversation.kind as u8 != 0;
        let (updated_at, id) = (facts.updated_at(), facts.conversation.id);
        if !of_kind || after.is_some_and(|after| !after.is_before(updated_at, id)) {
            return;
        }
        self.rows.extend(ask::summary(facts, &self.user.id).filter(|row| !count || row.unread > 0));
        // A row shows up to a hundred members, so that what comes to nothing is not kept for long.
        if !count && self.rows.len() >= 2 * (limit as usize + 1) {
            first(&mut self.rows, limit as usize + 1);
        }
    }
}

/// The first rows of a list, in their order.
fn first(rows: &mut Vec<Summary>, most: usize) {
    rows.sort_by_key(|row| (Reverse(row.conversation.updated_at), row.conversation.id));
    rows.truncate(most);
}

/// What comes of all homes' parts.
pub(in crate::machine) fn listed(mut rows: Vec<Summary>, listing: &Listing) -> ChatReply {
    if listing.count {
        return ChatReply::Count(rows.len() as u64);
    }
    let limit = listing.limit as usize;
    let more = rows.len() > limit;
    first(&mut rows, limit);
    ChatReply::Summaries { rows, more }
}
