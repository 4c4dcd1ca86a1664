//! Last seen and the online journal.
//!
//! A last seen time is written with itself as the time of the write: whichever comes later, the larger one stands. The
//! journal is kept by hash slot, so that a shard reads what is its own however many shards there are.

use std::collections::{BTreeMap, HashMap};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use schema::{Id, Key, LastSeen, Realm, ShardId};

use super::Scylla;
use super::attempt::Attempt;
use super::change::{Bound, text};
use super::link::{Link, Ready};
use super::read::rows;
use super::statements::{Cell, Put};
use crate::limits::{HASH_SLOTS, STORE_BATCH};
use crate::machine::Router;
use crate::machine::store::SeenRow;
use crate::store::{Adapter, Failure, Page};

/// Statements that are under way at once.
const AT_ONCE: usize = 128;
/// Slots of a bucket of the journal, and buckets that are read together.
const SLOTS: u16 = 128;
const BUCKETS: usize = 8;

/// See the module.
pub(super) struct Presence {
    scylla: Scylla,
    router: Router,
    /// How many users were forgotten: whoever is seen again has a later time than what was deleted, also within the
    /// millisecond.
    forgotten: u64,
    /// Everybody, while somebody goes through them.
    everybody: Vec<(Key, u64)>,
}

impl Presence {
    pub(super) fn new(scylla: Scylla, router: Router) -> Self {
        Self { scylla, router, forgotten: 0, everybody: Vec::new() }
    }

    fn ready(&self) -> Result<&Ready, Failure> {
        self.scylla.link.ready().map_err(|failure| Failure(failure.what))
    }

    fn realm(&self, realm: Realm) -> i32 {
        self.scylla.link.settings.realm_base + i32::from(realm.0)
    }

    fn user(&self, put: Put, user: &Key) -> Bound {
        Bound { put, cells: vec![Cell::Int(self.realm(user.realm)), Cell::Text(text(&user.id))] }
    }

    /// A statement about a user's entry in the journal.
    fn entry(&self, put: Put, user: &Key) -> Bound {
        let mut entry = self.user(put, user);
        let slot = self.router.slot(user.realm, &user.id);
        entry.cells.splice(0..0, [Cell::Int((slot / SLOTS).into()), Cell::Int(slot.into())]);
        entry
    }

    /// Everybody who was ever seen, in the order of realm and the text of the id.
    async fn everybody(&self, ready: &Ready) -> Result<Vec<(Key, u64)>, Failure> {
        let found: Vec<(i32, String, Option<i64>)> =
            rows(ready, &ready.statements.all_seen, ()).await.map_err(failure)?;
        let user = |(realm, id, at): (i32, String, Option<i64>)| {
            let realm = u16::try_from(realm - self.scylla.link.settings.realm_base).ok()?;
            Some((Key::new(Realm(realm), Id::new(&id).ok()?), at? as u64))
        };
        let mut all: Vec<_> = found.into_iter().filter_map(user).collect();
        all.sort_by_cached_key(|(user, _)| (user.realm, text(&user.id)));
        Ok(all)
    }

    /// The statements that write these rows: of each user the largest time, and whether it is online at last.
    fn bound(&self, rows: &[SeenRow], stamp: i64) -> Vec<Bound> {
        let mut latest = BTreeMap::<&Key, (u64, bool)>::new();
        for SeenRow { user, last_seen, online } in rows {
            let known = latest.entry(user).or_default();
            *known = (known.0.max(*last_seen), *online);
        }
        let mut bound = Vec::with_capacity(2 * latest.len());
        for (user, (last_seen, online)) in latest {
            // In microseconds, as all times of writes are; no time of the real world is cut off.
            let at = last_seen.saturating_mul(1_000).saturating_add(self.forgotten.min(999));
            let at = i64::try_from(at).unwrap_or(i64::MAX);
            bound.push(self.user(Put::Seen, user).big(last_seen as i64).at(at));
            let put = if online { Put::Online } else { Put::Offline };
            bound.push(self.entry(put, user).at(stamp));
        }
        bound
    }

    /// Last seen of each user once, however often it is asked for.
    async fn seen(
        &self,
        ready: &Ready,
        users: &[Key],
    ) -> Result<HashMap<Key, u64, ahash::RandomState>, Failure> {
        let hasher = ahash::RandomState::with_seeds(self.scylla.link.settings.nonce, 1, 1, 1);
        let mut found = HashMap::with_hasher(hasher);
        found.extend(users.iter().map(|user| (user.clone(), 0)));
        let look = |user: Key| async move {
            let values = (self.realm(user.realm), &*text(&user.id));
            let some: Vec<(i64,)> = rows(ready, &ready.statements.seen, values).await.map_err(failure)?;
            Ok::<_, Failure>(some.first().map(|&(at,)| (user, at as u64)))
        };
        let asked = std::mem::take(&mut found);
        let some: Vec<_> =
            stream::iter(asked.into_keys()).map(look).buffer_unordered(AT_ONCE).try_collect().await?;
        let hasher = ahash::RandomState::with_seeds(self.scylla.link.settings.nonce, 1, 1, 1);
        let mut seen = HashMap::with_hasher(hasher);
        seen.extend(some.into_iter().flatten());
        Ok(seen)
    }

    /// Who is in a bucket of the journal and at home in this shard, in the order of slots and names.
    async fn bucket(&self, ready: &Ready, bucket: u16, shard: ShardId) -> Result<Vec<(u16, Key)>, Failure> {
        let slots = bucket * SLOTS..(bucket + 1) * SLOTS;
        let ours: Vec<i32> =
            slots.filter(|&slot| self.router.shard_of_slot(slot) == shard).map(i32::from).collect();
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let values = (i32::from(bucket), ours);
        let found: Vec<(i32, i32, String)> =
            rows(ready, &ready.statements.journal, values).await.map_err(failure)?;
        let entry = |(slot, realm, id): (i32, i32, String)| {
            let realm = u16::try_from(realm - self.scylla.link.settings.realm_base).ok()?;
            Some((u16::try_from(slot).ok()?, Key::new(Realm(realm), Id::new(&id).ok()?)))
        };
        let mut users: Vec<_> = found.into_iter().filter_map(entry).collect();
        users.sort();
        Ok(users)
    }

    /// A page of users of the journal, without their times.
    async fn listed(
        &self,
        ready: &Ready,
        shard: ShardId,
        after: Option<&Key>,
    ) -> Result<(Vec<Key>, bool), Failure> {
        let after = after.map(|user| (self.router.slot(user.realm, &user.id), user.clone()));
        let from = after.as_ref().map_or(0, |(slot, _)| slot / SLOTS);
        let look = |bucket| self.bucket(ready, bucket, shard);
        let mut buckets = stream::iter(from..HASH_SLOTS as u16 / SLOTS).map(look).buffered(BUCKETS);
        let mut users = Vec::new();
        while let Some(some) = buckets.try_next().await? {
            let behind = some.into_iter().filter(|entry| after.as_ref().is_none_or(|after| entry > after));
            users.extend(behind.map(|(_, user)| user));
            if users.len() > STORE_BATCH {
                users.truncate(STORE_BATCH);
                return Ok((users, true));
            }
        }
        Ok((users, false))
    }
}

impl Adapter for Presence {
    fn put_seen(&mut self, rows: &[SeenRow]) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        let (link, ready) = (&self.scylla.link, self.ready()?);
        let stamp = link.stamp().ok_or_else(|| Failure("the lease of its writer has run out".into()))?;
        let put = |row: Bound| async move { put(link, ready, row).await };
        let all = stream::iter(self.bound(rows, stamp)).map(put).buffer_unordered(AT_ONCE);
        self.scylla.block_on(all.try_collect::<()>())
    }

    fn get_seen(&mut self, users: &[Key]) -> Result<Vec<LastSeen>, Failure> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let seen = self.scylla.block_on(self.seen(self.ready()?, users))?;
        Ok(users.iter().map(|user| seen.get(user).map_or(LastSeen::Never, |&at| LastSeen::At(at))).collect())
    }

    fn journal(&mut self, shard: ShardId, after: Option<&Key>) -> Result<Page, Failure> {
        let ready = self.ready()?;
        self.scylla.block_on(async {
            let (users, more) = self.listed(ready, shard, after).await?;
            let seen = self.seen(ready, &users).await?;
            let users = users.into_iter().map(|user| {
                let at = seen.get(&user).copied().unwrap_or(0);
                (user, at)
            });
            Ok(Page { users: users.collect(), more })
        })
    }

    fn all_seen(&mut self, after: Option<&Key>, limit: usize) -> Result<Vec<(Key, u64)>, Failure> {
        if after.is_none() || self.everybody.is_empty() {
            self.everybody = self.scylla.block_on(self.everybody(self.ready()?))?;
        }
        let from = after.map_or(0, |after| {
            let after = (after.realm, text(&after.id));
            self.everybody.partition_point(|(user, _)| (user.realm, text(&user.id)) <= after)
        });
        Ok(self.everybody[from..].iter().take(limit).cloned().collect())
    }

    fn forget(&mut self, user: &Key) -> Result<bool, Failure> {
        let (link, ready) = (&self.scylla.link, self.ready()?);
        let stamp = link.stamp().ok_or_else(|| Failure("the lease of its writer has run out".into()))?;
        let slot = self.router.slot(user.realm, &user.id);
        let known = self.scylla.block_on(async {
            let values = (self.realm(user.realm), &*text(&user.id));
            let seen: Vec<(Option<i64>,)> =
                rows(ready, &ready.statements.seen_at, values).await.map_err(failure)?;
            let seen = seen.first().and_then(|&(at,)| at);
            if let Some(at) = seen {
                put(link, ready, self.user(Put::SeenGone, user).at(at)).await?;
            }
            let shard = self.router.shard_of_slot(slot);
            let listed =
                self.bucket(ready, slot / SLOTS, shard).await?.iter().any(|(_, other)| other == user);
            put(link, ready, self.entry(Put::Offline, user).at(stamp)).await?;
            Ok::<_, Failure>(seen.is_some() || listed)
        })?;
        self.forgotten += 1;
        Ok(known)
    }

    fn recover(&mut self) -> Result<(), Failure> {
        self.scylla.link.writable().map(|_| ()).map_err(|failure| Failure(failure.what))
    }
}

/// Writes a row, trying again once: it does no harm, and another server may answer at once.
async fn put(link: &Link, ready: &Ready, row: Bound) -> Result<(), Failure> {
    let row = [row];
    if link.attempt(ready, &row).await.is_ok() {
        return Ok(());
    }
    link.attempt(ready, &row).await.map_err(|attempt| match attempt {
        Attempt::NotDone(error) | Attempt::Unknown(error) => Failure(error),
    })
}

fn failure(failure: crate::store::chat::Failure) -> Failure {
    Failure(failure.what)
}
