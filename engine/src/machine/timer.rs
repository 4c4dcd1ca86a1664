//! The timer wheel: one millisecond fine, hierarchical, lazy.
//!
//! Nothing is ever taken out of it. Whoever set a timer notes its deadline; when the timer fires and the note says
//! something else, it was a stale one and is forgotten; when the time has not come yet (a session was heard of
//! meanwhile), it is set again. So a heartbeat never touches the wheel.
//!
//! Each level has 64 places, a place of level n spans 64^n milliseconds. The level of a deadline is where it first
//! differs from the time that has been reached; when the time reaches a place, its timers move down or fire. A
//! place is emptied one timer at a time, so that any budget can stop it anywhere.

use super::slab::{Slab, Slotted};

const BITS: u32 = 6;
const PLACES: usize = 1 << BITS;
/// Enough for nine thousand years of uptime.
const LEVELS: usize = 8;

/// What a timer wakes. The slot may be somebody else's by then; see above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    /// A session's silence and its token's end.
    Session(u32),
    /// A user's grace, the time to away, the patience for its last seen.
    User(u32),
    /// The presence frame that a watching session is to get.
    Frame(u32),
    /// The end of waiting for other shards and the store.
    Gather(u32),
}

/// Longest time a timer can be set ahead: what is later is looked at then and set again. This also bounds how long a
/// stale timer lives.
pub(super) const HORIZON: u64 = 300_000;

/// One timer, in a list: sixteen bytes.
struct Node<T> {
    timer: T,
    /// The low half of the deadline: no deadline is behind the time reached, nor further ahead than [`HORIZON`].
    deadline: u32,
    next: u32,
}

impl<T> Slotted for Node<T> {}

/// End of a list.
const NIL: u32 = u32::MAX;

/// The wheel. `T` says what a timer wakes; the machine's are [`Timer`]s, a shard's connections have their own.
pub(crate) struct Wheel<T> {
    nodes: Slab<Node<T>>,
    heads: [[u32; PLACES]; LEVELS],
    occupied: [u64; LEVELS],
    /// Timers whose place has been reached: they fire, or move down.
    reached: u32,
    /// Time up to which everything has been looked at.
    elapsed: u64,
}

impl<T: Copy> Wheel<T> {
    pub(crate) fn new(now: u64) -> Self {
        Self {
            nodes: Slab::new(),
            heads: [[NIL; PLACES]; LEVELS],
            occupied: [0; LEVELS],
            reached: NIL,
            elapsed: now,
        }
    }

    /// Timers in it, stale ones included.
    pub(super) fn len(&self) -> u32 {
        self.nodes.len()
    }

    /// Sets a timer and gives the deadline it has got: the wanted one, at least the time reached, at most
    /// [`HORIZON`] ahead.
    pub(crate) fn set(&mut self, timer: T, deadline: u64) -> u64 {
        let deadline = deadline.clamp(self.elapsed, self.elapsed + HORIZON);
        let node = self.nodes.insert(|_| Node { timer, deadline: deadline as u32, next: NIL });
        // The slab is full at four thousand million timers; memory ends long before.
        if let Some(node) = node {
            self.link(node, deadline);
        }
        deadline
    }

    /// The next timer that is due at `now`, with its deadline; each timer looked at costs one of the budget.
    /// `None`: nothing is due any more, or the budget is used up.
    pub(crate) fn pop(&mut self, now: u64, budget: &mut usize) -> Option<(T, u64)> {
        loop {
            while self.reached != NIL {
                if *budget == 0 {
                    return None;
                }
                *budget -= 1;
                let node = self.reached;
                let (low, next) = self.nodes.get(node).map(|node| (node.deadline, node.next))?;
                let deadline = self.elapsed + u64::from(low.wrapping_sub(self.elapsed as u32));
                self.reached = next;
                if deadline > self.elapsed {
                    self.link(node, deadline);
                } else if let Some(node) = self.nodes.remove(node) {
                    return Some((node.timer, deadline));
                }
            }
            let Some((level, place, start)) = self.next_place().filter(|&(_, _, start)| start <= now) else {
                self.elapsed = self.elapsed.max(now);
                return None;
            };
            self.elapsed = start;
            self.occupied[level] &= !(1 << place);
            self.reached = std::mem::replace(&mut self.heads[level][place], NIL);
        }
    }

    /// A time by which `pop` has something to do: never later than the earliest deadline.
    pub(crate) fn next(&self) -> Option<u64> {
        if self.reached != NIL {
            return Some(self.elapsed);
        }
        self.next_place().map(|(_, _, start)| start)
    }

    /// The first place with timers in it: level, number, and the time at which it is reached.
    fn next_place(&self) -> Option<(usize, usize, u64)> {
        // A lower level is always earlier: what lies in it differs from `elapsed` only in lower digits.
        let level = self.occupied.iter().position(|&occupied| occupied != 0)?;
        let place = self.occupied[level].trailing_zeros();
        let shift = level as u32 * BITS;
        let base = self.elapsed >> (shift + BITS) << (shift + BITS);
        Some((level, place as usize, base + (u64::from(place) << shift)))
    }

    fn link(&mut self, node: u32, deadline: u64) {
        let head = if deadline <= self.elapsed {
            &mut self.reached
        } else {
            let level = ((63 - (deadline ^ self.elapsed).leading_zeros()) / BITS) as usize;
            let level = level.min(LEVELS - 1);
            let place = (deadline >> (level as u32 * BITS)) as usize % PLACES;
            self.occupied[level] |= 1 << place;
            &mut self.heads[level][place]
        };
        if let Some(entry) = self.nodes.get_mut(node) {
            entry.next = *head;
            *head = node;
        }
    }
}

const _: () = assert!(HORIZON < 1 << (BITS as usize * (LEVELS - 1)));

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Set(u64),
        Advance(u64, usize),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            prop_oneof![0..100_u64, 0..10_000_u64, 0..HORIZON + 10].prop_map(Op::Set),
            (prop_oneof![0..5_u64, 0..5_000_u64, 0..200_000_u64], prop_oneof![1..8_usize, Just(1_000)])
                .prop_map(|(by, budget)| Op::Advance(by, budget)),
        ];
        prop::collection::vec(op, 1..200)
    }

    proptest! {
        #[test]
        fn like_a_heap(start in prop_oneof![Just(0_u64), 0..u64::from(u32::MAX) * 4], ops in ops()) {
            let mut wheel = Wheel::new(start);
            let mut heap = BinaryHeap::new();
            let mut now = start;
            for (number, op) in ops.into_iter().enumerate() {
                match op {
                    Op::Set(ahead) => {
                        let deadline = wheel.set(Timer::User(number as u32), now + ahead);
                        prop_assert!(deadline <= now + ahead);
                        heap.push(Reverse((deadline, number as u32)));
                    }
                    Op::Advance(by, mut budget) => {
                        now += by;
                        let unbounded = budget == 1_000;
                        while let Some((Timer::User(key), deadline)) = wheel.pop(now, &mut budget) {
                            prop_assert!(deadline <= now);
                            prop_assert!(heap.iter().any(|entry| entry.0 == (deadline, key)));
                            // In order of deadlines, whatever the order within one millisecond.
                            prop_assert_eq!(heap.peek().map(|entry| entry.0.0), Some(deadline));
                            heap.retain(|entry| entry.0 != (deadline, key));
                        }
                        let earliest = heap.peek().map(|entry| entry.0.0);
                        if unbounded && budget > 0 {
                            prop_assert!(earliest.is_none_or(|deadline| deadline > now));
                        }
                        prop_assert_eq!(wheel.next().is_some(), earliest.is_some());
                        if let (Some(next), Some(earliest)) = (wheel.next(), earliest) {
                            prop_assert!(next <= earliest.max(now));
                        }
                    }
                }
                prop_assert_eq!(wheel.len() as usize, heap.len());
            }
        }
    }

    #[test]
    fn a_small_budget_gets_there_in_the_end() {
        let mut wheel = Wheel::new(0);
        for key in 0..1_000 {
            wheel.set(Timer::Session(key), 70_000);
        }
        let mut fired = 0;
        for _ in 0..10_000 {
            let mut budget = 7;
            while wheel.pop(70_000, &mut budget).is_some() {
                fired += 1;
            }
        }
        assert_eq!(fired, 1_000);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn a_timer_is_small() {
        assert_eq!(super::super::slab::slot_bytes::<Node<Timer>>(), 16);
    }
}
