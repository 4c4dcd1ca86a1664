//! Everything of a conversation, in the order in which it can be written anew: for whoever carries it elsewhere.
//!
//! It is handed over as the [`Part`]s that would make it, some rows at a time and between two reads, so that memory
//! stays small however long it is, and who is handed something may read and write meanwhile.

use std::ops::ControlFlow;
use std::sync::Arc;

use schema::Realm;
use schema::chat::ConversationId;

use super::bytes::Damage;
use super::keys::{self, Incarnation, Side};
use super::read::{first_message, read_message};
use super::rows::scan;
use super::{Failure, RowReader, values};
use crate::machine::store::{Part, Place};
use crate::store::ledger::Space;

/// Rows that are read in a go: a message has up to forty thousand bytes.
const PART: usize = 256;

/// What parts are handed to; it may say that it has enough.
pub type Each<'a> = dyn FnMut(Part) -> Result<ControlFlow<()>, Failure> + 'a;

/// The first key, and the first behind it.
type Range = (Vec<u8>, Vec<u8>);
/// Makes a part of a row.
type Read<'a> = dyn Fn(&[u8], &[u8]) -> Result<Part, Damage> + 'a;

impl RowReader {
    /// See [`Reads::places`](super::Reads).
    pub(super) fn all_places(&self, after: Option<Place>, limit: usize) -> Result<Vec<Place>, Failure> {
        let (first, end) = keys::all_conversations();
        let from = after.map_or(first, |after| keys::behind(&keys::conversation(after)));
        let mut found = Vec::new();
        scan(self.rows(), Space::States, (&from, &end), false, usize::MAX, |key, value| {
            if found.len() < limit && values::read_life(value)?.made.is_some() {
                found.push(keys::read_conversation(key)?);
            }
            Ok(found.len() < limit)
        })?;
        Ok(found)
    }

    /// See [`Reads::walk`](super::Reads).
    pub(super) fn walk_all(&self, place: Place, each: &mut Each<'_>) -> Result<bool, Failure> {
        let key = keys::conversation(place);
        let damaged = |damage: Damage| damage.of_row(Space::States, &key);
        let Some(row) = self.rows().get(Space::States, &key)? else { return Ok(false) };
        let life = values::read_life(&row).map_err(damaged)?;
        if life.made.is_none() {
            return Ok(false);
        }
        let conversation = values::read_conversation(place, &row).map_err(damaged)?;
        if each(Part::Conversation(Arc::new(conversation)))?.is_break() {
            return Ok(true);
        }
        let of = Incarnation { place, epoch: life.epoch };
        let horizon = self.horizon(of)?;
        let forgotten = horizon.unwrap_or_default();
        let each = &mut |part: Part| match part {
            // Its row may still be there.
            Part::Deleted { sequence, .. } if sequence <= forgotten.sequence => Ok(ControlFlow::Continue(())),
            part => each(part),
        };
        let side = |key: &[u8], value: &[u8]| read_side(key, value);
        let message = |key: &[u8], value: &[u8]| {
            read_message(of, key, value).map(|message| Part::Message(Arc::new(message)))
        };
        let sent = |key: &[u8], value: &[u8]| read_sent(key, value);
        let (members, all) = (keys::members_and_deletions(of), keys::messages(of));
        let oldest = keys::side(of, Side::Receipt { message: forgotten.at + 1, row: 0 });
        let ranges: [(Space, Range, &Read<'_>); 4] = [
            (Space::States, members, &side),
            (Space::Messages, (first_message(of, horizon), keys::behind(&all)), &message),
            (Space::States, (oldest, keys::receipts(of).1), &side),
            (Space::Sends, (all.clone(), keys::behind(&all)), &sent),
        ];
        for (at, (space, range, read)) in ranges.into_iter().enumerate() {
            if self.hand_over(space, range, read, each)?.is_break() {
                break;
            }
            if let (0, Some(horizon)) = (at, horizon)
                && each(Part::Forgotten(horizon))?.is_break()
            {
                break;
            }
        }
        Ok(true)
    }

    /// Hands over what a range of rows says.
    fn hand_over(
        &self,
        space: Space,
        (mut from, end): Range,
        read: &Read<'_>,
        each: &mut Each<'_>,
    ) -> Result<ControlFlow<()>, Failure> {
        loop {
            let (mut parts, mut last) = (Vec::new(), Vec::new());
            scan(self.rows(), space, (&from, &end), false, PART, |key, value| {
                parts.push(read(key, value)?);
                last.clear();
                last.extend_from_slice(key);
                Ok(true)
            })?;
            let full = parts.len() == PART;
            for part in parts {
                if each(part)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if !full {
                return Ok(ControlFlow::Continue(()));
            }
            // The next key there can be.
            last.push(0);
            from = last;
        }
    }

    /// The conversations of a realm in the order of their ids, after this one, at most `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn conversations(
        &self,
        realm: Realm,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<Vec<ConversationId>, Failure> {
        let before =
            realm.0.checked_sub(1).map(|before| (Realm(before), ConversationId::from_number(u128::MAX)));
        let after = after.map(|after| (realm, after)).or(before);
        let found = self.all_places(after, limit)?;
        Ok(found.into_iter().filter(|place| place.0 == realm).map(|place| place.1).collect())
    }
}

fn read_side(key: &[u8], value: &[u8]) -> Result<Part, Damage> {
    Ok(match keys::read_side(key)? {
        Side::Member { row } => match values::read_member(row, value)? {
            Some(member) => Part::Member(member),
            None => Part::MemberGone { row, user: values::read_user(value)?.0 },
        },
        Side::Deletion { sequence } => {
            let row = u32::try_from(values::read_number(value)?).map_err(|_| Damage::Senseless)?;
            Part::Deleted { sequence, row }
        }
        Side::Receipt { message, row } => Part::Receipt { message, row, at: values::read_number(value)? },
    })
}

fn read_sent(key: &[u8], value: &[u8]) -> Result<Part, Damage> {
    let (row, client_id) = keys::read_sent(key)?;
    Ok(Part::Sent { row, client_id: client_id.into(), message: values::read_number(value)? })
}
