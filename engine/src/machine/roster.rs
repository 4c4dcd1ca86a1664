//! The online users of one realm, newest activity first, and how many they are.
//!
//! A doubly linked list through the users' own slots, cut into groups of one second; only the head of each group is
//! known by its second. So an active user moves to the front in constant time, one that is told late (by another
//! shard, or after the wall clock was set back) finds its place without a walk, and the first k are read in O(k).

use std::collections::BTreeMap;

use schema::presence::OnlineUser;

use super::slab::Slab;
use super::user::{NIL, User};

/// Rows looked at beyond the wanted ones, so that the cut between users of the same second is made by their ids.
const EXTRA: usize = 1_000;

/// The list.
pub(super) struct Roster {
    groups: BTreeMap<u32, u32>,
    last: u32,
    count: u64,
}

impl Default for Roster {
    fn default() -> Self {
        Self { groups: BTreeMap::new(), last: NIL, count: 0 }
    }
}

fn second(users: &Slab<User>, slot: u32) -> Option<u32> {
    users.get(slot).map(|user| user.seen.second())
}

impl Roster {
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a user, by its last seen.
    pub(super) fn insert(&mut self, users: &mut Slab<User>, slot: u32) {
        let Some(second) = second(users, slot) else { return };
        let below = self.groups.range(..=second).next_back().map(|(_, &head)| head);
        let above = match below {
            Some(below) => users.get(below).map_or(NIL, |user| user.prev),
            None => std::mem::replace(&mut self.last, slot),
        };
        if let Some(user) = users.get_mut(slot) {
            (user.prev, user.next) = (above, below.unwrap_or(NIL));
        }
        if let Some(user) = users.get_mut(above) {
            user.next = slot;
        }
        if let Some(user) = below.and_then(|below| users.get_mut(below)) {
            user.prev = slot;
        }
        self.groups.insert(second, slot);
        self.count += 1;
    }

    /// Takes a user out, by the last seen it was added with.
    pub(super) fn remove(&mut self, users: &mut Slab<User>, slot: u32) {
        let Some(user) = users.get_mut(slot) else { return };
        let (prev, next, own) = (user.prev, user.next, user.seen.second());
        (user.prev, user.next) = (NIL, NIL);
        if second(users, prev) != Some(own) {
            // It was the head of its group.
            if second(users, next) == Some(own) {
                self.groups.insert(own, next);
            } else {
                self.groups.remove(&own);
            }
        }
        if let Some(user) = users.get_mut(prev) {
            user.next = next;
        }
        match users.get_mut(next) {
            Some(user) => user.prev = prev,
            None => self.last = prev,
        }
        self.count -= 1;
    }

    /// The first `limit` users; those of the same second by id. When more than a thousand users share the second in
    /// which the list is cut, some of them are taken as they come.
    pub(super) fn newest(&self, users: &Slab<User>, limit: usize) -> Vec<OnlineUser> {
        let mut rows = Vec::with_capacity(limit.min(self.count as usize));
        let mut slot = self.groups.last_key_value().map_or(NIL, |(_, &head)| head);
        let mut cut = None;
        while let Some(user) = users.get(slot) {
            let second = user.seen.second();
            if rows.len() >= limit && (cut != Some(second) || rows.len() >= limit + EXTRA) {
                break;
            }
            cut = Some(second);
            rows.push(OnlineUser {
                user: user.id.clone(),
                status: user.status(),
                last_seen: user.seen.ms(),
                device: user.device(),
            });
            slot = user.next;
        }
        newest_first(&mut rows, limit);
        rows
    }
}

/// The order of lists: newest second first, ids within it; cut to `limit`.
pub(super) fn newest_first(rows: &mut Vec<OnlineUser>, limit: usize) {
    let second = |row: &OnlineUser| std::cmp::Reverse(row.last_seen / 1_000);
    // A stable sort makes use of what is in order already: lists of shards are merged by it.
    rows.sort_by(|a, b| second(a).cmp(&second(b)).then_with(|| a.user.cmp(&b.user)));
    rows.truncate(limit);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schema::{Id, Realm};

    use super::super::user::Seen;
    use super::*;

    fn add(users: &mut Slab<User>, number: usize, ms: u64) -> u32 {
        let mut user = User::new(Realm(0), Id::new(&format!("u{number:03}")).unwrap());
        user.seen = Seen::at(ms);
        users.insert(|_| user).unwrap()
    }

    proptest! {
        #[test]
        fn always_in_order(ops in prop::collection::vec((0..20_usize, 0..12_u64), 1..200), limit in 0..25_usize) {
            let mut users = Slab::new();
            let mut roster = Roster::default();
            let mut slots: Vec<Option<u32>> = vec![None; 20];
            for (number, time) in ops {
                if let Some(slot) = slots[number].take() {
                    roster.remove(&mut users, slot);
                    users.remove(slot);
                } else {
                    let slot = add(&mut users, number, 10_000 + time * 500);
                    roster.insert(&mut users, slot);
                    slots[number] = Some(slot);
                }
                let mut naive: Vec<(std::cmp::Reverse<u64>, String)> = slots.iter().flatten()
                    .map(|&slot| users.get(slot).unwrap())
                    .map(|user| (std::cmp::Reverse(user.seen.ms() / 1_000), user.id.to_string()))
                    .collect();
                naive.sort();
                naive.truncate(limit);
                let rows = roster.newest(&users, limit);
                let rows: Vec<_> =
                    rows.iter().map(|row| (std::cmp::Reverse(row.last_seen / 1_000), row.user.to_string())).collect();
                prop_assert_eq!(rows, naive);
                prop_assert_eq!(roster.count() as usize, slots.iter().flatten().count());
            }
            for slot in slots.into_iter().flatten() {
                roster.remove(&mut users, slot);
            }
            prop_assert!(roster.is_empty() && roster.groups.is_empty() && roster.last == NIL);
        }
    }

    #[test]
    fn a_crowd_in_one_second_is_read_with_a_bound() {
        let mut users = Slab::new();
        let mut roster = Roster::default();
        for number in 0..5_000 {
            let slot = add(&mut users, number, 10_000);
            roster.insert(&mut users, slot);
        }
        assert_eq!(roster.newest(&users, 10).len(), 10);
    }
}
