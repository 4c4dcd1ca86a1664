//! The timer wheel: one millisecond fine, hierarchical, lazy.
//!
//! Nothing is ever taken out of it. Whoever set a timer notes its deadline; when the timer fires and the note says
//! something else, it was a stale one and is forgotten; when the time has not come yet (a session was heard of
//! meanwhile), it is set again. So a heartbeat never touches the wheel.
//!
//! Each level has 64 places, a place of level n spans 64^n milliseconds. The level of a deadline is where it first
//! differs from the time that has been reached; when the time reaches a place, its timers move down or fire. A
//! place is emptied one timer at a time, so that any budget can stop it anywhere.

use std::marker::PhantomData;
use std::num::NonZeroU8;

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

/// What a timer can be of: a slot, and one of four kinds of things that it is the slot of.
pub(crate) trait Wakes: Copy {
    /// The slot, and the number of the kind, below 4.
    fn parts(self) -> (u32, u32);

    /// The reverse.
    fn of(slot: u32, kind: u32) -> Self;
}

impl Wakes for Timer {
    fn parts(self) -> (u32, u32) {
        match self {
            Self::Session(slot) => (slot, 0),
            Self::User(slot) => (slot, 1),
            Self::Frame(slot) => (slot, 2),
            Self::Gather(slot) => (slot, 3),
        }
    }

    fn of(slot: u32, kind: u32) -> Self {
        match kind {
            0 => Self::Session(slot),
            1 => Self::User(slot),
            2 => Self::Frame(slot),
            _ => Self::Gather(slot),
        }
    }
}

/// One timer: eight bytes.
#[derive(Clone, Copy)]
struct Row {
    slot: u32,
    /// The kind (2 bits) and the low bits of the deadline: none is behind the time reached, nor further ahead than
    /// [`HORIZON`].
    stamp: u32,
}

/// Bits of a deadline in a [`Row`].
const STAMP: u32 = 30;

impl Row {
    fn new(timer: impl Wakes, deadline: u64) -> Self {
        let (slot, kind) = timer.parts();
        Self { slot, stamp: kind << STAMP | deadline as u32 & ((1 << STAMP) - 1) }
    }

    fn deadline(self, elapsed: u64) -> u64 {
        elapsed + u64::from(self.stamp.wrapping_sub(elapsed as u32) & ((1 << STAMP) - 1))
    }
}

/// Some timers of one place, in a list of such: links between single timers would cost half as much as the timers.
struct Chunk {
    rows: [Row; ROWS],
    next: u32,
    /// A chunk without rows is given back.
    used: NonZeroU8,
}

/// With them a chunk has 128 bytes.
const ROWS: usize = 15;

impl Slotted for Chunk {}

/// End of a list.
const NIL: u32 = u32::MAX;

/// The wheel. `T` says what a timer wakes; the machine's are [`Timer`]s, a shard's connections have their own.
pub(crate) struct Wheel<T> {
    chunks: Slab<Chunk>,
    heads: [[u32; PLACES]; LEVELS],
    occupied: [u64; LEVELS],
    /// Timers whose place has been reached: they fire, or move down.
    reached: u32,
    /// Time up to which everything has been looked at.
    elapsed: u64,
    len: u32,
    wakes: PhantomData<T>,
}

impl<T: Wakes> Wheel<T> {
    pub(crate) fn new(now: u64) -> Self {
        Self {
            chunks: Slab::new(),
            heads: [[NIL; PLACES]; LEVELS],
            occupied: [0; LEVELS],
            reached: NIL,
            elapsed: now,
            len: 0,
            wakes: PhantomData,
        }
    }

    /// Timers in it, stale ones included.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// Bytes of its memory.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.bytes()
    }

    /// Sets a timer, at `now`, and gives the deadline it has got: the wanted one, at least the time reached, at most
    /// [`HORIZON`] ahead of it.
    pub(crate) fn set(&mut self, now: u64, timer: T, deadline: u64) -> u64 {
        self.reach(now);
        let deadline = deadline.clamp(self.elapsed, self.elapsed + HORIZON);
        self.len += 1;
        self.link(Row::new(timer, deadline), deadline);
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
                let row = self.take_reached()?;
                let deadline = row.deadline(self.elapsed);
                if deadline > self.elapsed {
                    self.link(row, deadline);
                } else {
                    self.len -= 1;
                    return Some((T::of(row.slot, row.stamp >> STAMP), deadline));
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

    /// Goes on to `now` if nothing is due until then: who has slept for long sets timers before it looks at them, and
    /// [`HORIZON`] counts from the time reached.
    fn reach(&mut self, now: u64) {
        if self.elapsed < now && self.reached == NIL && self.next_place().is_none_or(|place| place.2 > now) {
            self.elapsed = now;
        }
    }

    fn take_reached(&mut self) -> Option<Row> {
        let number = self.reached;
        let chunk = self.chunks.get_mut(number)?;
        let left = chunk.used.get() - 1;
        let row = chunk.rows[usize::from(left)];
        match NonZeroU8::new(left) {
            Some(left) => chunk.used = left,
            None => {
                self.reached = chunk.next;
                self.chunks.remove(number);
            }
        }
        Some(row)
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

    fn link(&mut self, row: Row, deadline: u64) {
        let head = if deadline <= self.elapsed {
            &mut self.reached
        } else {
            let level = ((63 - (deadline ^ self.elapsed).leading_zeros()) / BITS) as usize;
            let level = level.min(LEVELS - 1);
            let place = (deadline >> (level as u32 * BITS)) as usize % PLACES;
            self.occupied[level] |= 1 << place;
            &mut self.heads[level][place]
        };
        if let Some(chunk) = self.chunks.get_mut(*head)
            && let Some(free) = chunk.rows.get_mut(usize::from(chunk.used.get()))
        {
            *free = row;
            chunk.used = chunk.used.saturating_add(1);
            return;
        }
        let next = *head;
        // The slab is full at sixty thousand million timers; memory ends long before.
        if let Some(number) = self.chunks.insert(|_| Chunk { rows: [row; ROWS], next, used: NonZeroU8::MIN })
        {
            *head = number;
        }
    }
}

const _: () = {
    assert!(HORIZON < 1 << (BITS as usize * (LEVELS - 1)));
    assert!(HORIZON < 1 << (STAMP - 1), "a row's deadline says which turn of the clock is meant");
};

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
                        let deadline = wheel.set(now, Timer::User(number as u32), now + ahead);
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
    fn after_a_long_sleep_the_horizon_is_as_far_as_ever() {
        for slept in [HORIZON + 1, 1 << 29, 1 << 31, 1 << 40] {
            let mut wheel = Wheel::new(7);
            assert_eq!(wheel.set(slept, Timer::Gather(1), slept + 400), slept + 400);
            assert!(wheel.pop(slept + 399, &mut 10).is_none());
            assert_eq!(wheel.pop(slept + 400, &mut 10), Some((Timer::Gather(1), slept + 400)));
        }
    }

    #[test]
    fn a_small_budget_gets_there_in_the_end() {
        let mut wheel = Wheel::new(0);
        for key in 0..1_000 {
            wheel.set(0, Timer::Session(key), 70_000);
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
        assert_eq!(super::super::slab::slot_bytes::<Chunk>(), 128);
        for timer in [Timer::Session(0), Timer::User(u32::MAX), Timer::Frame(7), Timer::Gather(1 << 31)] {
            let (slot, kind) = timer.parts();
            assert_eq!((Timer::of(slot, kind), kind < 4), (timer, true));
        }
    }
}
