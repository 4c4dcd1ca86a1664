//! Clears away what conversations that are gone have left, a bounded part at a time.
//!
//! What is to be done stands in `sweeps`, written with the end of each conversation. Every part deletes what it has
//! read, in an order in which what leads to rows goes after them, so a restart goes on where the last part ended.

use std::collections::BTreeSet;

use schema::Realm;
use schema::chat::ConversationId;

use super::change::{Bound, Row, realm};
use super::link::{Ended, Link, Ready};
use super::pages;
use super::read::{self, Head, rows};
use super::statements::{Cell, Put};
use super::write::{ended, persist_all, touch};
use crate::machine::store::Place;
use crate::store::chat::{Failure, values};

/// Members of one part.
const PART: i32 = 1_000;

/// What is being cleared away.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    course: Option<(Place, i64)>,
}

/// One part of the work with its means.
struct Broom<'a> {
    link: &'a Link,
    ready: &'a Ready,
    place: Place,
    life: i64,
    stamp: i64,
}

impl Sweeper {
    /// Does one part of what there is to do, and says whether there may be more.
    pub(super) async fn part(&mut self, link: &Link) -> Result<bool, Failure> {
        let ready = link.writable()?;
        let (place, life) = match self.course {
            Some(course) => course,
            None => match next(link, ready).await? {
                Some(course) => {
                    // Whatever was begun with it is done first.
                    touch(link, ready, course.0).await?;
                    course
                }
                None => return Ok(false),
            },
        };
        self.course = Some((place, life));
        let stamp = link.stamp_soon().await.map_err(|Ended| ended())?;
        let broom = Broom { link, ready, place, life, stamp };
        if broom.members().await? || broom.messages().await? {
            return Ok(true);
        }
        self.course = None;
        broom.rest().await
    }
}

async fn next(link: &Link, ready: &Ready) -> Result<Option<(Place, i64)>, Failure> {
    let scope = link.settings.scope.as_str();
    let found: Vec<(i32, Vec<u8>, i64)> = rows(ready, &ready.statements.sweep, (scope,)).await?;
    let Some((number, conversation, life)) = found.into_iter().next() else { return Ok(None) };
    let realm = u16::try_from(number - link.settings.realm_base).unwrap_or(u16::MAX);
    let conversation =
        conversation.try_into().map_err(|_| read::unavailable("a row of sweeps makes no sense"))?;
    Ok(Some(((Realm(realm), ConversationId::from_bytes(conversation)), life)))
}

impl Broom<'_> {
    fn of_life(&self, put: Put) -> Bound {
        Bound::of_life(put, &self.link.settings, self.place, self.life)
    }

    async fn delete(&self, rows: impl Into<Vec<Bound>>) -> Result<(), Failure> {
        persist_all(self.link, self.ready, rows.into()).await.map_err(|Ended| ended())
    }

    /// Some members and their memberships; false: there are none.
    async fn members(&self) -> Result<bool, Failure> {
        let (realm, number) = (realm(&self.link.settings, self.place), self.place.1.to_bytes());
        let values = (realm, &number[..], self.life, 0_i64, i64::from(u32::MAX), PART);
        let found: Vec<(i64, Vec<u8>)> =
            rows(self.ready, &self.ready.statements.members_between, values).await?;
        let Some(&(last, _)) = found.last() else { return Ok(false) };
        // A member that cannot be read leaves a membership that leads nowhere; readers see that.
        let mut memberships = Vec::with_capacity(found.len());
        for (row, body) in &found {
            if let (Ok(row), Ok((user, false))) = (u32::try_from(*row), values::read_user(body)) {
                let row = Row::Membership { life: self.life, user, row, is_in: false };
                memberships.push(row.statement(&self.link.settings, self.place, self.stamp));
            }
        }
        self.delete(memberships).await?;
        self.delete([self.of_life(Put::MembersCleared).big(last).at(self.stamp)]).await?;
        Ok(true)
    }

    /// A bucket of messages, and the receipts of those; false: there is none.
    async fn messages(&self) -> Result<bool, Failure> {
        let newest = pages::newest_bucket(self.link, self.ready, self.place, self.life).await?;
        let Some((bucket, first)) = newest.map(|(bucket, first)| (bucket as i64, first as i64)) else {
            return Ok(false);
        };
        let (realm, number) = (realm(&self.link.settings, self.place), self.place.1.to_bytes());
        let values = (realm, &number[..], self.life, bucket);
        let times: Vec<(i64,)> = rows(self.ready, &self.ready.statements.times, values).await?;
        let spans: BTreeSet<i64> = times.iter().map(|&(at,)| pages::span(at as u64)).collect();
        let reads: Vec<_> =
            spans.into_iter().map(|span| self.of_life(Put::ReadsCleared).big(span).at(self.stamp)).collect();
        self.delete(reads).await?;
        self.delete([self.of_life(Put::MessagesCleared).big(bucket).at(self.stamp)]).await?;
        self.delete([self.of_life(Put::BucketCleared).big(first).big(bucket).at(self.stamp)]).await?;
        Ok(true)
    }

    /// What is left; the conversation's own rows if no other life has begun. False: that has to wait.
    async fn rest(&self) -> Result<bool, Failure> {
        let (link, ready, place) = (self.link, self.ready, self.place);
        let intent = read::intent(link, ready, place).await?;
        if let Head::Gone { life, written } = read::head(link, ready, place).await?
            && life == self.life
        {
            if link.is_busy(place) {
                return Ok(false);
            }
            // With the times of what they were read at: whatever is written meanwhile is later.
            let of_place = |put| Bound::of_place(put, &link.settings, place);
            if let Some((_, stamp, _)) = intent {
                self.delete([of_place(Put::IntentCleared).at(stamp)]).await?;
            }
            self.delete([of_place(Put::ConversationCleared).at(written)]).await?;
        }
        self.delete([self.of_life(Put::DeletionsCleared).at(self.stamp)]).await?;
        let mut done = self.of_life(Put::SweepCleared);
        done.cells.insert(0, Cell::Text(link.settings.scope.as_str().into()));
        self.delete([done.at(self.stamp)]).await?;
        Ok(true)
    }
}
