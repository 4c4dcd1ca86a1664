//! Keys and values as they are on disk. Changing any of it is a new format version.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `last_seen` | realm (u16), id | milliseconds since the Unix epoch (u64) |
//! | `online_journal` | hash slot (u16), realm (u16), id | nothing |
//! | `meta` | a name | see [`super::format`] |
//!
//! Numbers are big-endian; ids are their text. The journal's keys begin with the slot, so that a shard reads its own
//! slots and no others, however many shards there are now and were before.

use schema::{Id, Key, Realm};

/// Writes the key of `last_seen` into `into`.
pub(super) fn seen_key(user: &Key, into: &mut Vec<u8>) {
    into.clear();
    push_user(user, into);
}

/// Writes the key of `online_journal` into `into`.
pub(super) fn journal_key(slot: u16, user: &Key, into: &mut Vec<u8>) {
    into.clear();
    into.extend(slot.to_be_bytes());
    push_user(user, into);
}

fn push_user(user: &Key, into: &mut Vec<u8>) {
    into.extend(user.realm.0.to_be_bytes());
    user.id.with_str(|id| into.extend(id.as_bytes()));
}

/// Reads a key of `online_journal`; `None` when it is none.
pub(super) fn read_journal_key(key: &[u8]) -> Option<(u16, Key)> {
    let (slot, user) = key.split_first_chunk()?;
    Some((u16::from_be_bytes(*slot), read_seen_key(user)?))
}

/// Reads a key of `last_seen`; `None` when it is none.
pub(super) fn read_seen_key(key: &[u8]) -> Option<Key> {
    let (realm, id) = key.split_first_chunk()?;
    let id = Id::new(std::str::from_utf8(id).ok()?).ok()?;
    Some(Key::new(Realm(u16::from_be_bytes(*realm)), id))
}

/// Reads a value of `last_seen`; `None` when it is none.
pub(super) fn read_seen(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_as_they_always_were() {
        let user = Key::new(Realm(0x0102), Id::new("ü1").unwrap());
        let mut key = vec![9];
        seen_key(&user, &mut key);
        assert_eq!(key, [1, 2, 0xc3, 0xbc, b'1']);
        journal_key(0x0304, &user, &mut key);
        assert_eq!(key, [3, 4, 1, 2, 0xc3, 0xbc, b'1']);
        assert_eq!(read_journal_key(&key), Some((0x0304, user)));
        assert_eq!(read_seen(&258_u64.to_be_bytes()), Some(258));
        for bad in [&[][..], &[1], &[1, 2, 3], &[1, 2, 3, 4], &[1, 2, 3, 4, 0xff], &[1, 2, 3, 4, 7]] {
            assert_eq!(read_journal_key(bad), None, "{bad:?}");
        }
        assert_eq!(read_seen(&[1]), None);
    }
}
