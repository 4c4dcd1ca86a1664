//! Clears away what conversations that go on have forgotten for its age.
//!
//! Buckets of which everything is forgotten go as whole partitions; of the one that the oldest kept message may lie in,
//! all up to there is deleted as one range. Reads begin behind it, so they do not meet what was deleted.

use super::link::Link;
use super::pages;
use super::read::rows;
use super::statements::Put;
use super::sweep::{Broom, Swept};
use crate::machine::store::{Horizon, Place};
use crate::store::chat::Failure;

impl Broom<'_> {
    /// Clears away one bucket of what is forgotten, which was written at that time.
    pub(super) async fn trim(&self, forgotten: Option<(Horizon, i64)>) -> Result<Swept, Failure> {
        let Some((horizon, written)) = forgotten else { return Ok(Swept::Nothing) };
        if !is_seen(self.link, (self.place, self.life), horizon) {
            // Whoever writes it says so when it is done.
            return Ok(Swept::Nothing);
        }
        let (until, whole) = (pages::bound(horizon.at), pages::bucket(horizon.sequence));
        let of = (self.place, self.life);
        let oldest = pages::buckets(self.link, self.ready, of, -1, false, 1).await?;
        let oldest = oldest.first().filter(|&&(first, _)| first <= until);
        if let Some(&(first, bucket)) = oldest {
            self.receipts(bucket, until).await?;
            if (bucket as u64) < whole {
                self.bucket(bucket, first).await?;
                return Ok(Swept::Some);
            }
            // What leads to it stays: later messages are in it, or will be.
            self.delete([self.of_life(Put::MessagesTrimmed).big(bucket).big(until).at(self.stamp)]).await?;
        }
        let deletions = self.deletions(horizon.sequence as i64).await?;
        // What was forgotten since has written its own row of `sweeps`, later than this.
        self.done(written).await?;
        Ok(if deletions || oldest.is_some() { Swept::Last } else { Swept::Nothing })
    }

    /// Deletes the receipts for a bucket's messages up to a time.
    async fn receipts(&self, bucket: i64, until: i64) -> Result<(), Failure> {
        let last = pages::span(until as u64);
        let receipts = self.spans(bucket, until).await?.into_iter().map(|span| {
            let bound = if span < last {
                self.of_life(Put::ReadsCleared).big(span)
            } else {
                self.of_life(Put::ReadsTrimmed).big(span).big(until)
            };
            bound.at(self.stamp)
        });
        self.delete(receipts.collect::<Vec<_>>()).await
    }

    /// Deletes what was noted of deleted messages up to a sequence; false: there was nothing.
    async fn deletions(&self, until: i64) -> Result<bool, Failure> {
        let (realm, number) =
            (super::change::realm(&self.link.settings, self.place), self.place.1.to_bytes());
        let values = (realm, &number[..], self.life, until);
        let found: Vec<(i64,)> = rows(self.ready, &self.ready.statements.deletions_until, values).await?;
        if found.is_empty() {
            return Ok(false);
        }
        self.delete([self.of_life(Put::DeletionsTrimmed).big(until).at(self.stamp)]).await?;
        Ok(true)
    }
}

/// Whether every reader of this process knows that this is forgotten, or will find out before it answers: one that does
/// not would show what is left of a page.
fn is_seen(link: &Link, (place, life): (Place, i64), horizon: Horizon) -> bool {
    match link.lives.get(place) {
        Some(known) => known.there() == Some((life, Some(horizon))),
        None => !link.is_busy(place),
    }
}
