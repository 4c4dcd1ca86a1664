//! The store that forgets: for tests, and for services that need no last seen after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use schema::{Key, LastSeen, ShardId};

use super::{Adapter, Failure, Page};
use crate::limits::STORE_BATCH;
use crate::machine::Router;
use crate::machine::store::SeenRow;

/// Two ordered tables.
#[derive(Debug)]
pub struct Memory {
    router: Router,
    last_seen: BTreeMap<Key, u64>,
    online: BTreeMap<ShardId, BTreeSet<Key>>,
}

impl Memory {
    /// An empty one.
    #[must_use]
    pub fn new(router: Router) -> Self {
        Self { router, last_seen: BTreeMap::new(), online: BTreeMap::new() }
    }
}

impl Adapter for Memory {
    fn put_seen(&mut self, rows: &[SeenRow]) -> Result<(), Failure> {
        for SeenRow { user, last_seen, online } in rows {
            let stored = self.last_seen.entry(user.clone()).or_insert(0);
            *stored = (*stored).max(*last_seen);
            let listed = self.online.entry(self.router.home(user)).or_default();
            if *online {
                listed.insert(user.clone());
            } else {
                listed.remove(user);
            }
        }
        Ok(())
    }

    fn get_seen(&mut self, users: &[Key]) -> Result<Vec<LastSeen>, Failure> {
        let seen = |user| self.last_seen.get(user).map_or(LastSeen::Never, |&at| LastSeen::At(at));
        Ok(users.iter().map(seen).collect())
    }

    fn journal(&mut self, shard: ShardId, after: Option<&Key>) -> Result<Page, Failure> {
        let Some(listed) = self.online.get(&shard) else {
            return Ok(Page::default());
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rows = listed.range((from, Bound::Unbounded));
        let users = rows
            .by_ref()
            .take(STORE_BATCH)
            .map(|user| (user.clone(), self.last_seen.get(user).copied().unwrap_or(0)))
            .collect();
        Ok(Page { users, more: rows.next().is_some() })
    }

    fn all_seen(&mut self, after: Option<&Key>, limit: usize) -> Result<Vec<(Key, u64)>, Failure> {
        let mut all: Vec<_> = self.last_seen.iter().map(|(user, &at)| (user.clone(), at)).collect();
        let place = |user: &Key| (user.realm, user.id.to_string());
        all.sort_by_key(|(user, _)| place(user));
        all.retain(|(user, _)| after.is_none_or(|after| place(user) > place(after)));
        all.truncate(limit);
        Ok(all)
    }

    fn forget(&mut self, user: &Key) -> Result<bool, Failure> {
        let listed = self.online.get_mut(&self.router.home(user)).is_some_and(|listed| listed.remove(user));
        Ok(self.last_seen.remove(user).is_some() || listed)
    }

    fn recover(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;

    crate::store::suite::store_suite!(|router| (Memory::new(router), ()));
}
