//! Whom a connection knows to be online, and the like: a set of users in eight bytes each.

use std::hash::{DefaultHasher, Hash, Hasher};

use schema::Id;

/// 64 bits that two users whom one client knows share by no chance that matters.
pub(super) fn fingerprint(user: &Id) -> u64 {
    let mut hasher = DefaultHasher::new();
    user.hash(&mut hasher);
    hasher.finish()
}

/// Puts a user's fingerprint in or takes it out; whether that changed anything.
pub(super) fn set(sorted: &mut Vec<u64>, one: u64, is_in: bool) -> bool {
    match (sorted.binary_search(&one), is_in) {
        (Err(at), true) => sorted.insert(at, one),
        (Ok(at), false) => _ = sorted.remove(at),
        _ => return false,
    }
    true
}
