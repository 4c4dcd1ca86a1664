//! The conversations of a user.

use futures_util::stream::{self, StreamExt, TryStreamExt};
use schema::Key;
use schema::chat::ConversationId;

use super::change::{realm, text};
use super::read::{AT_ONCE, Asked, damaged, rows};
use crate::store::chat::Failure;
use crate::store::chat::bytes::Damage;

/// Conversation, life and member's row.
type Membership = (ConversationId, i64, i64);

/// Where a list of memberships goes on.
enum From {
    Start,
    After(ConversationId),
    Behind(Membership),
}

impl Asked<'_> {
    /// Memberships are cleared away after their conversation, so each is looked up whether it is still there.
    pub(super) async fn memberships(
        &self,
        user: &Key,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<(Vec<ConversationId>, bool), Failure> {
        let mut found: Vec<ConversationId> = Vec::new();
        let mut from = after.map_or(From::Start, From::After);
        loop {
            let together = (limit + 1 - found.len()).clamp(16, 1_000);
            let some = self.membership_rows(user, &from, together).await?;
            let (asked, realm, last) = (*self, user.realm, some.last().copied());
            let is_end = some.len() < together;
            let look = move |(conversation, life, _): Membership| async move {
                let there = asked.there((realm, conversation)).await?;
                Ok::<_, Failure>(there.is_some_and(|(now, _)| now == life).then_some(conversation))
            };
            let there: Vec<_> = stream::iter(some).map(look).buffered(AT_ONCE).try_collect().await?;
            for conversation in there.into_iter().flatten() {
                // A user who left and came back between two looks has two rows.
                if found.last() != Some(&conversation) {
                    found.push(conversation);
                }
                if found.len() > limit {
                    found.truncate(limit);
                    return Ok((found, true));
                }
            }
            match last {
                Some(last) if !is_end => from = From::Behind(last),
                _ => return Ok((found, false)),
            }
        }
    }

    async fn membership_rows(
        &self,
        user: &Key,
        from: &From,
        limit: usize,
    ) -> Result<Vec<Membership>, Failure> {
        let place = (user.realm, ConversationId::from_number(0));
        let (realm, name, limit) = (realm(&self.link.settings, place), text(&user.id), limit as i32);
        let statements = &self.ready.statements;
        let found: Vec<(Vec<u8>, i64, i64)> = match from {
            From::Start => rows(self.ready, &statements.memberships, (realm, &*name, limit)).await?,
            From::After(after) => {
                let number = after.to_bytes();
                let values = (realm, &*name, &number[..], limit);
                rows(self.ready, &statements.memberships_after, values).await?
            }
            From::Behind((conversation, life, row)) => {
                let number = conversation.to_bytes();
                let values = (realm, &*name, &number[..], life, row, limit);
                rows(self.ready, &statements.memberships_behind, values).await?
            }
        };
        found
            .into_iter()
            .map(|(number, life, row)| {
                let number =
                    number.try_into().map_err(|_| damaged(Damage::Senseless, "memberships", place))?;
                Ok((ConversationId::from_bytes(number), life, row))
            })
            .collect()
    }
}
