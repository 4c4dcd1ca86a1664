//! Reads from rows.
//!
//! A read is some lookups and ranges, and commits may come between them. All that is of one conversation is read
//! under its epoch, which is looked up before and after: so a read never mixes two conversations of one id, nor shows
//! half of one that is being cleared away.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use schema::chat::{ConversationId, Kind, Message, MessageId, Receipt};
use schema::{Id, Key};

use super::bytes::Damage;
use super::keys::{self, Incarnation, Side};
use super::rows::scan;
use super::values::{self, Life};
use super::walk::Each;
use super::{Failure, FailureKind, Reads, Rows};
use crate::machine::store::{ChatAsk, ChatStored, ClientIds, Horizon, LEFT, Loaded, Place};
use crate::store::ledger::Space;

/// Members whose rows lie within this many numbers are read as one range, others one by one.
const NEAR: u32 = 512;
/// Memberships that are looked at together, at least and at most.
const MEMBERSHIPS: (usize, usize) = (16, 1_024);

/// Reads conversations from rows.
pub struct RowReader {
    rows: Arc<dyn Rows>,
}

impl std::fmt::Debug for RowReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RowReader")
    }
}

impl Reads for RowReader {
    fn answer(&self, ask: &ChatAsk) -> Result<ChatStored, Failure> {
        Ok(match ask {
            ChatAsk::Load { places } => {
                let load = |&place| Ok(self.load(place)?.map(Box::new));
                ChatStored::Loaded(places.iter().map(load).collect::<Result<_, Failure>>()?)
            }
            ChatAsk::Page { place, before, after, forward, limit, receipts } => {
                let page = self.under(*place, |of, _, forgotten| {
                    let after = forgotten.map_or(*after, |horizon| horizon.at.max(*after));
                    let wanted = Wanted { after, before: *before, forward: *forward, limit: (*limit).into() };
                    self.page(of, &wanted, *receipts)
                })?;
                let (messages, more) = page.unwrap_or_default();
                ChatStored::Page { messages, more }
            }
            ChatAsk::Message { place, at } => {
                let found = self.under(*place, |of, _, forgotten| match forgotten {
                    Some(horizon) if *at <= horizon.at => Ok(None),
                    _ => self.message(of, *at),
                })?;
                ChatStored::Message(found.flatten().map(Box::new))
            }
            ChatAsk::Sent { place, rows, client_id, since } => {
                let found = self.under(*place, |of, _, _| {
                    for &row in rows {
                        if let Some(at) = self.sent(of, row, client_id)?.filter(|at| at > since) {
                            return Ok(Some(at));
                        }
                    }
                    Ok(None)
                })?;
                ChatStored::Sent(found.flatten())
            }
            ChatAsk::Names { place, rows, limit } => {
                let found = self.under(*place, |of, _, _| self.names(of, rows, *limit as usize))?;
                let names = found.unwrap_or_else(|| Some(Vec::new()));
                ChatStored::Names { rows: rows.clone(), names }
            }
            ChatAsk::Memberships { user, after, limit } => {
                let (conversations, more) = self.memberships(user, *after, *limit as usize)?;
                ChatStored::Memberships { conversations, more }
            }
            ChatAsk::Aged { after, before, limit } => self.aged(*after, before, *limit as usize)?,
            ChatAsk::Traces { user, after, limit } => self.traces(user, *after, *limit as usize)?,
            ChatAsk::Write(_) => {
                return Err(Failure::new(FailureKind::Refused, "a write came to a reader"));
            }
        })
    }

    fn places(&self, after: Option<Place>, limit: usize) -> Result<Vec<Place>, Failure> {
        self.all_places(after, limit)
    }

    fn walk(&self, place: Place, each: &mut Each<'_>) -> Result<bool, Failure> {
        self.walk_all(place, each)
    }
}

/// What part of a history.
struct Wanted {
    after: u64,
    before: u64,
    forward: bool,
    limit: usize,
}

impl RowReader {
    /// A reader of these rows.
    #[must_use]
    pub fn new(rows: Arc<dyn Rows>) -> Self {
        Self { rows }
    }

    pub(super) fn rows(&self) -> &dyn Rows {
        &*self.rows
    }

    fn get<T>(
        &self,
        space: Space,
        key: &[u8],
        read: impl FnOnce(&[u8]) -> Result<T, Damage>,
    ) -> Result<Option<T>, Failure> {
        let row = self.rows.get(space, key)?;
        row.map(|value| read(&value)).transpose().map_err(|damage| damage.of_row(space, key))
    }

    /// Reads something of a conversation, given its row and what was forgotten of it, if it is there.
    fn under<T>(
        &self,
        place: Place,
        read: impl Fn(Incarnation, &[u8], Option<Horizon>) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        let key = keys::conversation(place);
        let look = || -> Result<_, Failure> {
            let row =
                self.get(Space::States, &key, |value| Ok((values::read_life(value)?, value.to_vec())))?;
            let Some((life @ Life { epoch, made: Some(_) }, row)) = row else { return Ok(None) };
            Ok(Some((life, row, self.horizon(Incarnation { place, epoch })?)))
        };
        let mut found = look()?;
        loop {
            let Some((life, row, horizon)) = found else { return Ok(None) };
            let result = read(Incarnation { place, epoch: life.epoch }, &row, horizon);
            found = look()?;
            // What is forgotten is cleared away afterwards: where the horizon has not moved, nothing of it was met.
            if found.as_ref().is_some_and(|(now, _, then)| (*now, *then) == (life, horizon)) {
                return result.map(Some);
            }
        }
    }

    /// What was forgotten of a conversation.
    pub(super) fn horizon(&self, of: Incarnation) -> Result<Option<Horizon>, Failure> {
        self.get(Space::States, &keys::horizon(of), values::read_horizon)
    }

    fn load(&self, place: Place) -> Result<Option<Loaded>, Failure> {
        self.under(place, |of, row, forgotten| {
            let conversation = values::read_conversation(place, row)
                .map_err(|damage| damage.of_row(Space::States, &keys::conversation(place)))?;
            let (mut members, mut left, mut last_row, mut deleted) =
                (Vec::new(), VecDeque::new(), 0, Vec::new());
            let (first, end) = keys::members_and_deletions(of);
            scan(&*self.rows, Space::States, (&first, &end), false, usize::MAX, |key, value| {
                match keys::read_side(key)? {
                    Side::Member { row } => {
                        last_row = row;
                        match values::read_member(row, value)? {
                            Some(member) => members.push(member),
                            None => left.push_back((row, values::read_user(value)?.0)),
                        }
                        if left.len() > LEFT {
                            left.pop_front();
                        }
                    }
                    Side::Deletion { sequence } => {
                        let row = u32::try_from(values::read_number(value)?);
                        deleted.push((sequence, row.map_err(|_| Damage::Senseless)?));
                    }
                    Side::Receipt { .. } => return Err(Damage::Senseless),
                }
                Ok(true)
            })?;
            let sequence = forgotten.map_or(0, |horizon| horizon.sequence);
            deleted.retain(|&(deleted, _)| deleted > sequence);
            let (newest, last) = self.newest(of, forgotten, deleted.len())?;
            let left = left.into();
            Ok(Loaded { conversation, members, last_row, left, deleted, newest, last, forgotten })
        })
    }

    /// The newest message, and the newest that is not deleted. So many messages are deleted, so
    /// looking at one more is enough.
    fn newest(
        &self,
        of: Incarnation,
        forgotten: Option<Horizon>,
        deleted: usize,
    ) -> Result<(Option<Message>, Option<Message>), Failure> {
        let (mut newest, mut last) = (None, None);
        let range = (&*first_message(of, forgotten), &*keys::behind(&keys::messages(of)));
        scan(&*self.rows, Space::Messages, range, true, deleted.saturating_add(1), |key, value| {
            let is_deleted = values::is_deleted(value)?;
            if newest.is_none() || !is_deleted {
                let message = read_message(of, key, value)?;
                last = (!is_deleted).then(|| message.clone());
                newest.get_or_insert(message);
            }
            Ok(is_deleted)
        })?;
        Ok((newest, last))
    }

    fn page(
        &self,
        of: Incarnation,
        wanted: &Wanted,
        receipts: bool,
    ) -> Result<(Vec<Message>, bool), Failure> {
        let lower = keys::message(of, wanted.after.saturating_add(1));
        let upper = match wanted.before {
            // No time is so late that a message could have it.
            u64::MAX => keys::behind(&keys::messages(of)),
            before => keys::message(of, before),
        };
        let mut messages = Vec::new();
        let mut more = false;
        let range = (&*lower, &*upper);
        scan(&*self.rows, Space::Messages, range, !wanted.forward, wanted.limit + 1, |key, value| {
            more = messages.len() == wanted.limit;
            if !more {
                messages.push(read_message(of, key, value)?);
            }
            Ok(!more)
        })?;
        if wanted.forward {
            messages.reverse();
        }
        if receipts {
            self.join_receipts(of, &mut messages)?;
        }
        Ok((messages, more))
    }

    /// Conversations with messages that are too old. A look at the first message of each is enough.
    fn aged(
        &self,
        after: Option<Place>,
        before: &[u64; Kind::ALL.len()],
        limit: usize,
    ) -> Result<ChatStored, Failure> {
        let (first, end) = keys::all_conversations();
        let from = after.map_or(first, |after| keys::behind(&keys::conversation(after)));
        let (mut found, mut last, mut count) = (Vec::new(), None, 0);
        scan(&*self.rows, Space::States, (&from, &end), false, limit, |key, value| {
            let (place, life) = (keys::read_conversation(key)?, values::read_life(value)?);
            (last, count) = (Some(place), count + 1);
            if life.made.is_some() {
                let kind = values::read_conversation(place, value)?.kind;
                let before = before[kind as usize - 1];
                let of = Incarnation { place, epoch: life.epoch };
                found.extend((before > 0).then_some((of, before)));
            }
            Ok(true)
        })?;
        let mut places = Vec::new();
        for (of, before) in found {
            let range = (first_message(of, self.horizon(of)?), keys::message(of, before));
            let mut is_old = false;
            self.rows.scan(Space::Messages, (&range.0, &range.1), false, 1, &mut |_, _| {
                is_old = true;
                false
            })?;
            places.extend(is_old.then_some((of.place, before)));
        }
        Ok(ChatStored::Aged { places, next: last.filter(|_| count == limit) })
    }

    fn message(&self, of: Incarnation, at: u64) -> Result<Option<Message>, Failure> {
        let key = keys::message(of, at);
        let found = self.get(Space::Messages, &key, |value| read_message(of, &key, value))?;
        let Some(message) = found else { return Ok(None) };
        let mut messages = [message];
        self.join_receipts(of, &mut messages)?;
        let [message] = messages;
        Ok(Some(message))
    }

    /// Gives messages (newest first) their receipts: one range of receipts, and the names of the members in it.
    fn join_receipts(&self, of: Incarnation, messages: &mut [Message]) -> Result<(), Failure> {
        let (Some(newest), Some(oldest)) = (messages.first(), messages.last()) else { return Ok(()) };
        let lower = keys::side(of, Side::Receipt { message: oldest.id.at, row: 0 });
        let upper = keys::side(of, Side::Receipt { message: newest.id.at + 1, row: 0 });
        let mut receipts = Vec::new();
        scan(&*self.rows, Space::States, (&lower, &upper), false, usize::MAX, |key, value| {
            if let Side::Receipt { message, row } = keys::read_side(key)? {
                receipts.push((message, row, values::read_number(value)?));
            }
            Ok(true)
        })?;
        if receipts.is_empty() {
            return Ok(());
        }
        let users = self.users(of, receipts.iter().map(|&(_, row, _)| row))?;
        // Both are in the order of time, the messages backwards.
        let mut messages = messages.iter_mut().rev().peekable();
        for (at, row, when) in receipts {
            while messages.next_if(|message| message.id.at < at).is_some() {}
            if let Some(message) = messages.peek_mut().filter(|message| message.id.at == at)
                && let Some(user) = users.get(&row)
            {
                message.reads.push(Receipt { user: user.clone(), at: when });
            }
        }
        Ok(())
    }

    /// The users of these rows, also of those who have left.
    fn users(&self, of: Incarnation, rows: impl Iterator<Item = u32>) -> Result<BTreeMap<u32, Id>, Failure> {
        let mut users: BTreeMap<u32, Option<Id>> = rows.map(|row| (row, None)).collect();
        let key = |row| keys::side(of, Side::Member { row });
        let (Some((&first, _)), Some((&last, _))) = (users.first_key_value(), users.last_key_value()) else {
            return Ok(BTreeMap::new());
        };
        if last - first < NEAR {
            let range = (&*key(first), &*keys::behind(&key(last)));
            scan(&*self.rows, Space::States, range, false, usize::MAX, |key, value| {
                if let Side::Member { row } = keys::read_side(key)?
                    && let Some(user) = users.get_mut(&row)
                {
                    *user = Some(values::read_user(value)?.0);
                }
                Ok(true)
            })?;
        } else {
            for (&row, user) in &mut users {
                *user = self.get(Space::States, &key(row), |value| Ok(values::read_user(value)?.0))?;
            }
        }
        Ok(users.into_iter().filter_map(|(row, user)| Some((row, user?))).collect())
    }

    fn sent(&self, of: Incarnation, row: u32, client_id: &str) -> Result<Option<u64>, Failure> {
        self.get(Space::Sends, &keys::sent(of, row, client_id), values::read_number)
    }

    fn names(&self, of: Incarnation, rows: &[u32], most: usize) -> Result<Option<ClientIds>, Failure> {
        let mut names = Vec::new();
        for &row in rows {
            let prefix = keys::sent(of, row, "");
            let (range, before) = ((&*prefix, &*keys::behind(&prefix)), names.len());
            scan(&*self.rows, Space::Sends, range, false, most + 1, |key, _| {
                names.push(keys::read_sent(key)?);
                Ok(true)
            })?;
            if names.len() - before > most {
                return Ok(None);
            }
        }
        Ok(Some(names))
    }

    /// Memberships are cleared away after their conversation, so each is looked up whether it is still there.
    fn memberships(
        &self,
        user: &Key,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<(Vec<ConversationId>, bool), Failure> {
        let prefix = keys::memberships(user.realm, &user.id);
        let end = keys::behind(&prefix);
        let of = |conversation: ConversationId| [&prefix[..], &conversation.to_bytes()].concat();
        let mut from = after.map_or_else(|| prefix.clone(), |after| keys::behind(&of(after)));
        let mut found: Vec<ConversationId> = Vec::new();
        let (least, most) = MEMBERSHIPS;
        loop {
            let together = (limit + 1 - found.len()).clamp(least, most);
            let mut rows = Vec::new();
            scan(&*self.rows, Space::States, (&from, &end), false, together, |key, _| {
                rows.push(keys::read_membership(&key[prefix.len()..])?);
                Ok(true)
            })?;
            for &(conversation, epoch) in &rows {
                let key = keys::conversation((user.realm, conversation));
                let life = self.get(Space::States, &key, values::read_life)?;
                let is_there = life.is_some_and(|life| life.epoch == epoch && life.made.is_some());
                // A user who left and came back between two looks has two rows.
                if is_there && found.last() != Some(&conversation) {
                    found.push(conversation);
                }
                if found.len() > limit {
                    found.truncate(limit);
                    return Ok((found, true));
                }
            }
            let Some(&(conversation, epoch)) = rows.last().filter(|_| rows.len() == together) else {
                return Ok((found, false));
            };
            // More rows of this conversation would say the same, but those of a later epoch.
            let mut next = of(conversation);
            next.push(epoch);
            from = keys::behind(&next);
        }
    }
}

/// Where messages begin that are not forgotten.
pub(super) fn first_message(of: Incarnation, forgotten: Option<Horizon>) -> Vec<u8> {
    forgotten.map_or_else(|| keys::messages(of), |horizon| keys::message(of, horizon.at + 1))
}

pub(super) fn read_message(of: Incarnation, key: &[u8], value: &[u8]) -> Result<Message, Damage> {
    values::read_message(MessageId { conversation: of.place.1, at: keys::read_message(key)? }, value)
}
