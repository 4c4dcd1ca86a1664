//! Where a user is named: conversations are gone through, as for their age ([`aged`](super::aged)).

use futures_util::stream::{self, StreamExt, TryStreamExt};
use schema::Key;
use schema::chat::ConversationId;

use super::read::{AT_ONCE, Asked, Head, damaged, head, row_number};
use super::{walk, write};
use crate::machine::store::{ChatStored, Place, Trace};
use crate::store::chat::{Failure, values};

impl Asked<'_> {
    /// Looks into the next conversations after this one; see `ChatAsk::Traces`.
    pub(super) async fn traces(
        self,
        user: &Key,
        after: Option<ConversationId>,
        limit: usize,
    ) -> Result<ChatStored, Failure> {
        let mut all = self.link.places.lock().await;
        if after.is_none() || all.is_empty() {
            *all = walk::places(self.link, self.ready).await?;
        }
        let from = match after {
            Some(after) => all.partition_point(|place| *place <= (user.realm, after)),
            None => all.partition_point(|place| place.0 < user.realm),
        };
        let ours = all[from..].iter().take_while(|place| place.0 == user.realm);
        let mut some: Vec<Place> = ours.take(limit.max(1) + 1).copied().collect();
        drop(all);
        let more = some.len() > limit.max(1);
        some.truncate(limit.max(1));
        let next = some.last().map(|place| place.1).filter(|_| more);
        let look = |place| self.trace(user, place);
        let found: Vec<Option<Trace>> = stream::iter(some).map(look).buffered(AT_ONCE).try_collect().await?;
        Ok(ChatStored::Traces { found: found.into_iter().flatten().collect(), next })
    }

    async fn trace(self, user: &Key, place: Place) -> Result<Option<Trace>, Failure> {
        // What an earlier process had begun to write names them, too.
        if !self.link.lives.get(place).is_some_and(|known| known.touched) {
            write::touch(self.link, self.ready, place).await?;
        }
        let Head::Here { life, body, .. } = head(self.link, self.ready, place).await? else {
            return Ok(None);
        };
        let conversation = values::read_conversation(place, &body)
            .map_err(|damage| damaged(damage, "conversations", place))?;
        let made = conversation.creator == user.id;
        let found: Vec<(i64, Vec<u8>)> = self.of_life(&self.ready.statements.members, place, life).await?;
        let mut rows = Vec::new();
        for (row, body) in found {
            let (who, left) = values::read_user(&body).map_err(|damage| damaged(damage, "members", place))?;
            if who == user.id {
                rows.push((row_number(row, place)?, !left));
            }
        }
        let trace = Trace { conversation: place.1, rows, made };
        Ok((trace.made || !trace.rows.is_empty()).then_some(trace))
    }
}
