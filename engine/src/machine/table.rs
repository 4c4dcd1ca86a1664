//! From a key to a slot. The key itself lies in the slot, once; the table holds four bytes and a tag of its hash.
//!
//! The table is many small ones, chosen by high bits of the hash: each grows on its own, so that no insert ever
//! rehashes more than a thousandth of the whole.

use ahash::RandomState;
use hashbrown::HashTable;
use schema::{Id, Realm};

use super::slab::{Slab, Slotted};

/// Bits of the hash that choose the part; hashbrown itself uses the lowest and the highest seven.
const SHIFT: u32 = 40;
/// A part with room for so few stays as it is until it is empty.
const SMALL: usize = 28;

/// The table.
struct KeyTable {
    parts: Box<[HashTable<u32>]>,
    hasher: RandomState,
}

/// A key with its hash, to be computed once and used for lookup and insert.
#[derive(Clone, Copy)]
struct Hashed<'a> {
    realm: Realm,
    id: &'a Id,
    hash: u64,
}

impl KeyTable {
    /// A table of `parts` (a power of two) parts.
    fn new(parts: usize, hasher: RandomState) -> Self {
        debug_assert!(parts.is_power_of_two());
        Self { parts: (0..parts).map(|_| HashTable::new()).collect(), hasher }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.parts.iter().map(HashTable::len).sum()
    }

    fn hash<'a>(&self, realm: Realm, id: &'a Id) -> Hashed<'a> {
        Hashed { realm, id, hash: self.hasher.hash_one((realm, id)) }
    }

    fn part(&self, hash: u64) -> usize {
        (hash >> SHIFT) as usize & (self.parts.len() - 1)
    }

    /// The slot for which `is` says yes; it compares the slot's key with the wanted one.
    fn find(&self, key: Hashed<'_>, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        self.parts[self.part(key.hash)].find(key.hash, |&slot| is(slot)).copied()
    }

    /// Adds a slot. The key must not be in yet; `hash_of` gives the realm and id that lie in a slot.
    fn insert<'a>(&mut self, key: Hashed<'_>, slot: u32, key_of: impl Fn(u32) -> Option<(Realm, &'a Id)>) {
        let part = self.part(key.hash);
        let hasher = &self.hasher;
        // A slot in the table always has a key, so the 0 is never used.
        let rehash = |slot: &u32| key_of(*slot).map_or(0, |(realm, id)| hasher.hash_one((realm, id)));
        self.parts[part].insert_unique(key.hash, slot, rehash);
    }

    /// Takes a slot out; `key_of` is the one of [`KeyTable::insert`].
    fn remove<'a>(&mut self, key: Hashed<'_>, slot: u32, key_of: impl Fn(u32) -> Option<(Realm, &'a Id)>) {
        let part = self.part(key.hash);
        let hasher = &self.hasher;
        let table = &mut self.parts[part];
        if let Ok(entry) = table.find_entry(key.hash, |&other| other == slot) {
            entry.remove();
            if table.is_empty() {
                *table = HashTable::new();
            } else if table.capacity() > SMALL && table.len() * 8 <= table.capacity() {
                let rehash = |slot: &u32| key_of(*slot).map_or(0, |(realm, id)| hasher.hash_one((realm, id)));
                table.shrink_to(table.len() * 2, rehash);
            }
        }
    }
}

/// What lies in a slot and is found by its key.
pub(super) trait HasKey {
    fn key(&self) -> (Realm, &Id);
}

/// A slab whose entries are found by their keys.
pub(super) struct Keyed<T> {
    /// The entries. Taken out only by [`Keyed::remove`].
    pub(super) slab: Slab<T>,
    table: KeyTable,
}

impl<T: HasKey + Slotted> Keyed<T> {
    pub(super) fn new(parts: usize, hasher: RandomState) -> Self {
        Self { slab: Slab::new(), table: KeyTable::new(parts, hasher) }
    }

    pub(super) fn find(&self, realm: Realm, id: &Id) -> Option<u32> {
        self.seek(self.table.hash(realm, id))
    }

    fn seek(&self, key: Hashed<'_>) -> Option<u32> {
        self.table
            .find(key, |slot| self.slab.get(slot).is_some_and(|entry| entry.key() == (key.realm, key.id)))
    }

    /// The slot of a key; `make` makes its entry if there is none. True: it is new. `None`: the slab is full.
    pub(super) fn find_or_insert(
        &mut self,
        realm: Realm,
        id: &Id,
        make: impl FnOnce() -> T,
    ) -> Option<(u32, bool)> {
        let key = self.table.hash(realm, id);
        if let Some(slot) = self.seek(key) {
            return Some((slot, false));
        }
        let slot = self.slab.insert(|_| make())?;
        let slab = &self.slab;
        self.table.insert(key, slot, |slot| slab.get(slot).map(HasKey::key));
        Some((slot, true))
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<T> {
        let entry = self.slab.remove(slot)?;
        let (realm, id) = entry.key();
        let slab = &self.slab;
        self.table.remove(self.table.hash(realm, id), slot, |slot| slab.get(slot).map(HasKey::key));
        Some(entry)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&T> {
        self.slab.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slab.get_mut(slot)
    }

    pub(super) fn len(&self) -> u32 {
        self.slab.len()
    }

    /// Bytes of its memory.
    pub(super) fn bytes(&self) -> usize {
        self.slab.bytes() + self.table.parts.iter().map(HashTable::allocation_size).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_in_and_gives_memory_back() {
        let ids: Vec<Id> = (0..10_000).map(|n| Id::new(&format!("user-{n}")).unwrap()).collect();
        let mut table = KeyTable::new(16, RandomState::with_seeds(1, 2, 3, 4));
        let realm = |slot: u32| Realm((slot % 3) as u16);
        for (slot, id) in ids.iter().enumerate() {
            let slot = slot as u32;
            let key = table.hash(realm(slot), id);
            assert_eq!(table.find(key, |other| &ids[other as usize] == id), None);
            table.insert(key, slot, |slot| Some((realm(slot), &ids[slot as usize])));
        }
        assert_eq!(table.len(), 10_000);
        let largest = table.parts.iter().map(HashTable::len).max().unwrap();
        assert!(largest < 1_000, "an even spread: {largest}");
        for (slot, id) in ids.iter().enumerate() {
            let slot = slot as u32;
            let key = table.hash(realm(slot), id);
            assert_eq!(table.find(key, |other| &ids[other as usize] == id), Some(slot));
            let other = table.hash(Realm(9), id);
            assert_eq!(table.find(other, |at| realm(at) == Realm(9)), None);
            table.remove(key, slot, |slot| Some((realm(slot), &ids[slot as usize])));
            let room: usize = table.parts.iter().map(HashTable::capacity).sum();
            assert!(room <= 16 * SMALL.max(table.len()), "{room} for {}", table.len());
        }
        assert_eq!(table.len(), 0);
        assert!(table.parts.iter().all(|part| part.capacity() == 0));
    }
}
