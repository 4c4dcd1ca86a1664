//! Where a user is named: for whoever erases them.
//!
//! Nothing points from a user to the conversations that they have left, since nobody else asks. So conversations are gone
//! through, some at a time, and of each the members; how much is read in one go is bounded in both.

use schema::chat::ConversationId;
use schema::{Id, Key};

use super::keys::{self, Incarnation, Side};
use super::rows::scan;
use super::values;
use super::{Failure, RowReader};
use crate::machine::store::{ChatStored, Trace};
use crate::store::ledger::Space;

/// Members that are looked at in one go, give or take a conversation.
const MEMBERS: usize = 20_000;

/// A conversation that is to be looked into.
struct Candidate {
    of: Incarnation,
    made: bool,
}

impl RowReader {
    /// Answers [`ChatAsk::Traces`](crate::machine::store::ChatAsk::Traces).
    pub(super) fn traces(
        &self,
        user: &Key,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<ChatStored, Failure> {
        let (first, end) = keys::conversations_of(user.realm);
        let from = after.map_or(first, |after| keys::behind(&keys::conversation((user.realm, after))));
        let limit = limit.max(1);
        let (mut candidates, mut last, mut count) = (Vec::new(), None, 0);
        scan(self.rows(), Space::States, (&from, &end), false, limit, |key, value| {
            let (place, life) = (keys::read_conversation(key)?, values::read_life(value)?);
            (last, count) = (Some(place.1), count + 1);
            if life.made.is_some() {
                let made = values::read_conversation(place, value)?.creator == user.id;
                candidates.push(Candidate { of: Incarnation { place, epoch: life.epoch }, made });
            }
            Ok(true)
        })?;
        let mut next = last.filter(|_| count == limit);
        let (mut found, mut looked) = (Vec::new(), 0);
        for Candidate { of, made } in candidates {
            if looked >= MEMBERS {
                break;
            }
            let rows = self.rows_of(of, &user.id, &mut looked)?;
            if looked >= MEMBERS && last != Some(of.place.1) {
                next = Some(of.place.1);
            }
            if made || !rows.is_empty() {
                found.push(Trace { conversation: of.place.1, rows, made });
            }
        }
        Ok(ChatStored::Traces { found, next })
    }

    fn rows_of(&self, of: Incarnation, user: &Id, looked: &mut usize) -> Result<Vec<(u32, bool)>, Failure> {
        let (first, end) = keys::members(of);
        let mut rows = Vec::new();
        scan(self.rows(), Space::States, (&first, &end), false, usize::MAX, |key, value| {
            *looked += 1;
            let (who, left) = values::read_user(value)?;
            if let Side::Member { row } = keys::read_side(key)?
                && who == *user
            {
                rows.push((row, !left));
            }
            Ok(true)
        })?;
        Ok(rows)
    }
}
