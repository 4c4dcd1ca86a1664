//! Walks through the messages of a conversation, bucket by bucket.
//!
//! Messages lie in buckets of 4,096 sequences, and are asked for by their times. `message_buckets` says at which time
//! each bucket begins; since sequences and times grow together, a bucket ends where the next begins.

use schema::chat::{Message, MessageId};

use super::change::realm;
use super::link::{Link, Ready};
use super::read::{self, rows};
use crate::machine::store::Place;
use crate::store::chat::bytes::Damage;
use crate::store::chat::{Failure, values};

/// Sequences of a bucket.
const BUCKET: u64 = 4_096;
/// The exponent of two of the milliseconds in a span of receipts.
const SPAN: u32 = 30;
/// Buckets that are looked up together.
const AHEAD: i32 = 4;

/// The bucket of a sequence.
pub(super) fn bucket(sequence: u64) -> u64 {
    sequence / BUCKET
}

/// The span of a message's receipts.
pub(super) fn span(at: u64) -> i64 {
    (at >> SPAN) as i64
}

/// A bound of a range of times as the tables have it.
pub(super) fn bound(at: u64) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

/// A walk to older messages, or to newer ones.
pub(super) struct Walk<'a> {
    link: &'a Link,
    ready: &'a Ready,
    place: Place,
    life: i64,
    forward: bool,
    /// Exclusive.
    after: i64,
    /// Exclusive.
    before: i64,
    /// Buckets that lie ahead, the next one last, and where the next ones are looked for.
    ahead: Vec<i64>,
    from: Option<i64>,
    visited: Option<i64>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        (link, ready): (&'a Link, &'a Ready),
        (place, life): (Place, i64),
        (after, before): (u64, u64),
        forward: bool,
    ) -> Self {
        let (after, before) = (bound(after), bound(before));
        let from = Some(if forward { after.saturating_add(1) } else { before });
        Self { link, ready, place, life, forward, after, before, ahead: Vec::new(), from, visited: None }
    }

    /// The next messages in the order of the walk, fewer than `limit` only at its end.
    pub(super) async fn take(&mut self, limit: usize) -> Result<Vec<Message>, Failure> {
        let mut found = Vec::new();
        while found.len() < limit && self.after < self.before {
            let Some(bucket) = self.next_bucket().await? else { break };
            let left = limit - found.len();
            let some = self.messages(bucket, left).await?;
            if let Some(last) = some.last() {
                let at = bound(last.id.at);
                if self.forward {
                    self.after = at;
                } else {
                    self.before = at;
                }
            }
            if some.len() == left {
                // There may be more in it.
                self.ahead.push(bucket);
                self.visited = None;
            }
            found.extend(some);
        }
        Ok(found)
    }

    async fn messages(&self, bucket: i64, limit: usize) -> Result<Vec<Message>, Failure> {
        let statements = &self.ready.statements;
        let statement = if self.forward { &statements.messages_forth } else { &statements.messages_back };
        let (realm, number) = (realm(&self.link.settings, self.place), self.place.1.to_bytes());
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let values = (realm, &number[..], self.life, bucket, self.after, self.before, limit);
        let found: Vec<(i64, Vec<u8>)> = rows(self.ready, statement, values).await?;
        found.iter().map(|(at, body)| read_message(self.place, *at as u64, body)).collect()
    }

    async fn next_bucket(&mut self) -> Result<Option<i64>, Failure> {
        loop {
            while let Some(bucket) = self.ahead.pop() {
                if self.visited != Some(bucket) {
                    self.visited = Some(bucket);
                    return Ok(Some(bucket));
                }
            }
            let Some(from) = self.from.take() else { return Ok(None) };
            self.look_ahead(from).await?;
            if self.ahead.is_empty() {
                return Ok(None);
            }
        }
    }

    /// Finds buckets that begin before `from`, or with `forward`: the one that `from` lies in, and those behind it.
    async fn look_ahead(&mut self, from: i64) -> Result<(), Failure> {
        let mut found = Vec::new();
        if !self.forward {
            found = buckets(self.link, self.ready, (self.place, self.life), from, true, AHEAD).await?;
            let is_end = found.len() < AHEAD as usize
                || found.last().is_some_and(|&(first, _)| first <= self.after + 1);
            // A bucket that begins at the same time twice is met twice: that is seen when it is visited.
            self.from = if is_end { None } else { found.last().map(|&(first, _)| first) };
        } else {
            if self.visited.is_none() && self.ahead.is_empty() {
                let upto = from.saturating_add(1);
                found = buckets(self.link, self.ready, (self.place, self.life), upto, true, 1).await?;
            }
            let more = buckets(self.link, self.ready, (self.place, self.life), from, false, AHEAD).await?;
            let is_end =
                more.len() < AHEAD as usize || more.last().is_some_and(|&(first, _)| first >= self.before);
            self.from = if is_end { None } else { more.last().map(|&(first, _)| first) };
            found.extend(more);
        }
        self.ahead = found.into_iter().rev().map(|(_, bucket)| bucket).collect();
        Ok(())
    }
}

/// Some buckets that begin before a time, the latest first; or after it, the earliest first.
pub(super) async fn buckets(
    link: &Link,
    ready: &Ready,
    (place, life): (Place, i64),
    from: i64,
    back: bool,
    limit: i32,
) -> Result<Vec<(i64, i64)>, Failure> {
    let statement = if back { &ready.statements.buckets_back } else { &ready.statements.buckets_forth };
    let number = place.1.to_bytes();
    rows(ready, statement, (realm(&link.settings, place), &number[..], life, from, limit)).await
}

/// The newest bucket, and the time at which it begins.
pub(super) async fn newest_bucket(
    link: &Link,
    ready: &Ready,
    place: Place,
    life: i64,
) -> Result<Option<(u64, u64)>, Failure> {
    let found = buckets(link, ready, (place, life), i64::MAX, true, 1).await?;
    Ok(found.first().map(|&(first, bucket)| (bucket as u64, first as u64)))
}

/// One message, if it is there.
pub(super) async fn message(
    link: &Link,
    ready: &Ready,
    place: Place,
    life: i64,
    at: u64,
) -> Result<Option<Message>, Failure> {
    let at = bound(at);
    let number = place.1.to_bytes();
    let found = buckets(link, ready, (place, life), at.saturating_add(1), true, 1).await?;
    let Some(&(_, bucket)) = found.first() else { return Ok(None) };
    let values = (realm(&link.settings, place), &number[..], life, bucket, at);
    let found: Vec<(Vec<u8>,)> = rows(ready, &ready.statements.message, values).await?;
    found.first().map(|(body,)| read_message(place, at as u64, body)).transpose()
}

fn read_message(place: Place, at: u64, body: &[u8]) -> Result<Message, Failure> {
    let id = MessageId { conversation: place.1, at };
    values::read_message(id, body).map_err(|damage: Damage| read::damaged(damage, "messages", place))
}
