//! Conversations that have messages older than they are to be.
//!
//! The tables have no order over all conversations: a list of them is read whole when a round begins, and kept for it.

use super::link::{Link, Ready};
use super::pages::Walk;
use super::read::{Asked, Head, damaged, head};
use super::walk;
use crate::machine::store::{ChatStored, Place};
use crate::store::chat::{Failure, values};

impl Asked<'_> {
    /// Looks at the next conversations after this one; see `ChatAsk::Aged`.
    pub(super) async fn aged(
        self,
        after: Option<Place>,
        before: &[u64],
        limit: usize,
    ) -> Result<ChatStored, Failure> {
        let mut all = self.link.places.lock().await;
        if after.is_none() || all.is_empty() {
            *all = walk::places(self.link, self.ready).await?;
        }
        let from = after.map_or(0, |after| all.partition_point(|place| *place <= after));
        let some: Vec<Place> = all[from..].iter().take(limit.max(1)).copied().collect();
        let next = if from + some.len() < all.len() { some.last().copied() } else { None };
        drop(all);
        let mut places = Vec::new();
        for place in some {
            if let Some(time) = old(self.link, self.ready, place, before).await? {
                places.push((place, time));
            }
        }
        Ok(ChatStored::Aged { places, next })
    }
}

/// The time for the kind of this conversation, if it has messages from before that.
async fn old(link: &Link, ready: &Ready, place: Place, before: &[u64]) -> Result<Option<u64>, Failure> {
    let Head::Here { life, body, horizon, .. } = head(link, ready, place).await? else { return Ok(None) };
    let conversation =
        values::read_conversation(place, &body).map_err(|damage| damaged(damage, "conversations", place))?;
    let time = before.get((conversation.kind as usize).wrapping_sub(1)).copied().unwrap_or(0);
    let from = horizon.map_or(0, |horizon| horizon.at);
    if time == 0 || time <= from {
        return Ok(None);
    }
    let mut walk = Walk::new((link, ready), (place, life), (from, time), true);
    Ok((!walk.take(1).await?.is_empty()).then_some(time))
}
