//! Clears away what conversations that are gone have left, and what others have forgotten, a bounded part at a time.
//!
//! What is to be done stands in `sweeps`, written with the end of each conversation and with what each forgets: by some
//! parts of the table, so that no partition grows with all of them, and gone through in laps, so that what was cleared
//! away before is not met again and again. Every part deletes what it has read, in an order in which what leads to rows
//! goes after them, so a restart goes on where the last part ended.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use schema::Realm;
use schema::chat::ConversationId;

use super::change::{Bound, Row, realm};
use super::link::{Ended, Link, Ready};
use super::read::{self, Head, rows};
use super::statements::{Cell, Put};
use super::write::{ended, persist_all, touch};
use super::{Settings, pages};
use crate::machine::store::Place;
use crate::store::chat::{Failure, values};

/// Members of one part.
const MEMBERS: i32 = 1_000;
/// Rows of `sweeps` that are read together.
const TOGETHER: usize = 256;
/// The parts of `sweeps`.
pub(super) const PARTS: u8 = 16;

/// The part of `sweeps` that a conversation's rows are in.
pub(super) fn part_of(place: Place) -> u8 {
    (place.1.number() % u128::from(PARTS)) as u8
}

/// The name of a part of `sweeps`.
pub(super) fn scope(settings: &Settings, part: u8) -> Arc<str> {
    format!("{}#{part}", settings.scope).into()
}

/// A life with something to clear away.
pub(super) type Course = (Place, i64);

/// What is being cleared away.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    course: Option<Course>,
    /// What comes next, and where it goes on behind that.
    found: VecDeque<Course>,
    part: u8,
    after: Option<Course>,
    /// Something was cleared away in this lap.
    busy: bool,
}

/// What came of a part of the work.
pub(super) enum Swept {
    /// There is more of this life.
    Some,
    /// There is no more.
    Last,
    /// There was nothing to clear away, or it has to wait.
    Nothing,
}

/// One part of the work with its means.
pub(super) struct Broom<'a> {
    pub(super) link: &'a Link,
    pub(super) ready: &'a Ready,
    pub(super) place: Place,
    pub(super) life: i64,
    pub(super) stamp: i64,
}

impl Sweeper {
    /// Does one part of what there is to do, and says whether there may be more.
    pub(super) async fn part(&mut self, link: &Link) -> Result<bool, Failure> {
        let ready = link.writable()?;
        while let Some((place, life)) = self.next(link, ready).await? {
            // One that fails is met again in the next lap.
            let begun = self.course.take().is_some();
            if !begun && !link.lives.get(place).is_some_and(|known| known.touched) {
                // Whatever was begun with it is done first.
                touch(link, ready, place).await?;
            }
            let stamp = link.stamp_soon().await.map_err(|Ended| ended())?;
            let swept = Broom { link, ready, place, life, stamp }.part().await?;
            if matches!(swept, Swept::Some) {
                self.course = Some((place, life));
            }
            if !matches!(swept, Swept::Nothing) {
                self.busy = true;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The next life; `None`: there was nothing to do for a whole lap.
    async fn next(&mut self, link: &Link, ready: &Ready) -> Result<Option<Course>, Failure> {
        if let Some(course) = self.course {
            return Ok(Some(course));
        }
        loop {
            if let Some(course) = self.found.pop_front() {
                return Ok(Some(course));
            }
            if self.part == PARTS {
                self.part = 0;
                if !std::mem::take(&mut self.busy) {
                    return Ok(None);
                }
            }
            let some = listed(link, ready, self.part, self.after).await?;
            self.after = some.last().copied().filter(|_| some.len() == TOGETHER);
            self.part += u8::from(self.after.is_none());
            self.found = some.into();
        }
    }
}

/// Rows of a part of `sweeps`, after this one.
pub(super) async fn listed(
    link: &Link,
    ready: &Ready,
    part: u8,
    after: Option<Course>,
) -> Result<Vec<Course>, Failure> {
    let settings = &link.settings;
    let (from, number, life) = match after {
        Some((place, life)) => (realm(settings, place), place.1.to_bytes().to_vec(), life),
        None => (i32::MIN, Vec::new(), i64::MIN),
    };
    let values = (&*scope(settings, part), from, number, life, TOGETHER as i32);
    let found: Vec<(i32, Vec<u8>, i64)> = rows(ready, &ready.statements.sweeps, values).await?;
    let course = |(number, conversation, life): (i32, Vec<u8>, i64)| {
        let realm = u16::try_from(number - settings.realm_base).ok()?;
        let conversation = ConversationId::from_bytes(conversation.try_into().ok()?);
        Some(((Realm(realm), conversation), life))
    };
    let some: Option<_> = found.into_iter().map(course).collect();
    some.ok_or_else(|| read::unavailable("a row of sweeps makes no sense"))
}

impl Broom<'_> {
    async fn part(&self) -> Result<Swept, Failure> {
        match read::head(self.link, self.ready, self.place).await? {
            Head::Here { life, horizon, forgot, .. } if life == self.life => {
                self.trim(horizon.map(|horizon| (horizon, forgot))).await
            }
            _ if self.members().await? || self.messages().await? => Ok(Swept::Some),
            _ => self.rest().await,
        }
    }

    pub(super) fn of_life(&self, put: Put) -> Bound {
        Bound::of_life(put, &self.link.settings, self.place, self.life)
    }

    pub(super) async fn delete(&self, rows: impl Into<Vec<Bound>>) -> Result<(), Failure> {
        persist_all(self.link, self.ready, rows.into()).await.map_err(|Ended| ended())
    }

    /// Some members and their memberships; false: there are none.
    async fn members(&self) -> Result<bool, Failure> {
        let (realm, number) = (realm(&self.link.settings, self.place), self.place.1.to_bytes());
        let values = (realm, &number[..], self.life, 0_i64, i64::from(u32::MAX), MEMBERS);
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
        let spans = self.spans(bucket, i64::MAX).await?;
        let reads: Vec<_> =
            spans.into_iter().map(|span| self.of_life(Put::ReadsCleared).big(span).at(self.stamp)).collect();
        self.delete(reads).await?;
        self.bucket(bucket, first).await?;
        Ok(true)
    }

    /// The spans of the receipts for a bucket's messages up to a time.
    pub(super) async fn spans(&self, bucket: i64, until: i64) -> Result<BTreeSet<i64>, Failure> {
        let (realm, number) = (realm(&self.link.settings, self.place), self.place.1.to_bytes());
        let values = (realm, &number[..], self.life, bucket, until);
        let times: Vec<(i64,)> = rows(self.ready, &self.ready.statements.times, values).await?;
        Ok(times.iter().map(|&(at,)| pages::span(at as u64)).collect())
    }

    /// Deletes a bucket of messages, and then what leads to it.
    pub(super) async fn bucket(&self, bucket: i64, first: i64) -> Result<(), Failure> {
        self.delete([self.of_life(Put::MessagesCleared).big(bucket).at(self.stamp)]).await?;
        self.delete([self.of_life(Put::BucketCleared).big(first).big(bucket).at(self.stamp)]).await
    }

    /// What is left; the conversation's own rows if no other life has begun.
    async fn rest(&self) -> Result<Swept, Failure> {
        let (link, ready, place) = (self.link, self.ready, self.place);
        let intent = read::intent(link, ready, place).await?;
        if let Head::Gone { life, written } = read::head(link, ready, place).await?
            && life == self.life
        {
            if link.is_busy(place) {
                return Ok(Swept::Nothing);
            }
            // With the times of what they were read at: whatever is written meanwhile is later.
            let of_place = |put| Bound::of_place(put, &link.settings, place);
            if let Some((_, stamp, _)) = intent {
                self.delete([of_place(Put::IntentCleared).at(stamp)]).await?;
            }
            self.delete([of_place(Put::ConversationCleared).at(written)]).await?;
        }
        self.delete([self.of_life(Put::DeletionsCleared).at(self.stamp)]).await?;
        self.done(self.stamp).await?;
        Ok(Swept::Last)
    }

    /// There is nothing more to do for what was written to `sweeps` until then.
    pub(super) async fn done(&self, stamp: i64) -> Result<(), Failure> {
        let mut done = self.of_life(Put::SweepCleared);
        done.cells.insert(0, Cell::Text(scope(&self.link.settings, part_of(self.place))));
        self.delete([done.at(stamp)]).await
    }
}
