//! How often something may happen: exactly N times in any window.
//!
//! A sliding log: for each key the times of what was allowed, at most N of them. What was refused leaves no trace, so
//! a client that keeps asking is let in again as early as one that waits. No token bucket: that would allow an
//! eleventh call before the minute of the first is over, and a user of "10 a minute" counts.
//!
//! Memory is bounded by the number of times kept, over all keys. They leave in the order they came, so a key is
//! dropped the moment its last time is over; when there is no room, the oldest time of all goes early (its key gets
//! one place back too soon, which beats refusing strangers). Nothing here reads a clock.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The window of every limit of the front door, milliseconds.
pub const MINUTE: u64 = 60_000;

/// Times kept by one limiter unless said otherwise.
pub const CAPACITY: usize = 1 << 20;

/// Locks that the keys are spread over.
const DRAWERS: usize = 16;

/// What a limiter says to one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Whether it may happen. It then has been counted.
    pub allowed: bool,
    /// Calls allowed in a window.
    pub limit: u32,
    /// Calls that are left now.
    pub remaining: u32,
    /// Milliseconds until the next place is free that is taken now; at most the window.
    pub reset: u64,
}

impl Verdict {
    /// [`Verdict::reset`] in whole seconds, rounded up, at least 1.
    #[must_use]
    pub fn reset_seconds(&self) -> u64 {
        self.reset.div_ceil(1_000).max(1)
    }
}

/// One limit over many keys.
#[derive(Debug)]
pub struct Limiter<K> {
    limit: u32,
    window: u64,
    capacity: usize,
    drawers: Box<[Mutex<Drawer<K>>]>,
    /// Keyed at random, so that nobody chooses keys that all share a lock.
    hasher: RandomState,
    refused: AtomicU64,
    evicted: AtomicU64,
}

#[derive(Debug)]
struct Drawer<K> {
    /// The times of each key, oldest first.
    keys: HashMap<K, VecDeque<u64>>,
    /// All times of all keys, oldest first.
    order: VecDeque<(u64, K)>,
    /// The latest time seen: a clock that is set back must not put times out of order.
    now: u64,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// At most `limit` in any `window` milliseconds, with room for `capacity` times.
    #[must_use]
    pub fn new(limit: u32, window: u64, capacity: usize) -> Self {
        let drawer = || Mutex::new(Drawer { keys: HashMap::new(), order: VecDeque::new(), now: 0 });
        Self {
            limit: limit.max(1),
            window: window.max(1),
            capacity: (capacity / DRAWERS).max(1),
            drawers: (0..DRAWERS).map(|_| drawer()).collect(),
            hasher: RandomState::new(),
            refused: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
        }
    }

    /// At most `limit` a minute.
    #[must_use]
    pub fn per_minute(limit: u32) -> Self {
        Self::new(limit, MINUTE, CAPACITY)
    }

    /// Counts one call of `key` at `now` (milliseconds of any clock), if it may happen.
    pub fn hit(&self, key: &K, now: u64) -> Verdict {
        let at = (self.hasher.hash_one(key) % DRAWERS as u64) as usize;
        let mut drawer = self.drawers[at].lock().unwrap_or_else(PoisonError::into_inner);
        let now = drawer.turn(now, self.window);
        let taken = drawer.keys.get(key).map_or(0, VecDeque::len) as u64;
        if taken >= u64::from(self.limit) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return self.verdict(false, taken, drawer.oldest(key, now), now);
        }
        if drawer.order.len() >= self.capacity && drawer.forget_oldest() {
            self.evicted.fetch_add(1, Ordering::Relaxed);
        }
        drawer.keys.entry(key.clone()).or_default().push_back(now);
        drawer.order.push_back((now, key.clone()));
        // Forgetting may have hit this key, so it is counted anew.
        let taken = drawer.keys.get(key).map_or(0, VecDeque::len) as u64;
        self.verdict(true, taken, drawer.oldest(key, now), now)
    }

    fn verdict(&self, allowed: bool, taken: u64, oldest: u64, now: u64) -> Verdict {
        Verdict {
            allowed,
            limit: self.limit,
            remaining: u64::from(self.limit).saturating_sub(taken) as u32,
            reset: (oldest + self.window).saturating_sub(now),
        }
    }

    /// Calls refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Times that had to go early for want of room.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Times kept now. Those that are over stay until their lock is next used.
    #[must_use]
    pub fn kept(&self) -> usize {
        let length =
            |drawer: &Mutex<Drawer<K>>| drawer.lock().unwrap_or_else(PoisonError::into_inner).order.len();
        self.drawers.iter().map(length).sum()
    }
}

impl<K: Hash + Eq + Clone> Drawer<K> {
    /// Moves on to `now` and drops what is over. Returns the time to use.
    fn turn(&mut self, now: u64, window: u64) -> u64 {
        self.now = self.now.max(now);
        while self.order.front().is_some_and(|(at, _)| at + window <= self.now) {
            self.forget_oldest();
        }
        self.now
    }

    fn forget_oldest(&mut self) -> bool {
        let Some((_, key)) = self.order.pop_front() else { return false };
        if let Some(times) = self.keys.get_mut(&key) {
            times.pop_front();
            if times.is_empty() {
                self.keys.remove(&key);
            }
        }
        // Memory comes back when a rush is over.
        if self.order.capacity() > 64 && self.order.len() * 4 < self.order.capacity() {
            self.order.shrink_to(self.order.len() * 2);
            self.keys.shrink_to(self.keys.len() * 2);
        }
        true
    }

    fn oldest(&self, key: &K, now: u64) -> u64 {
        self.keys.get(key).and_then(VecDeque::front).copied().unwrap_or(now)
    }
}

/// A client's address for counting: all of IPv4, the first 64 bits of IPv6 (one customer has at least those).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Origin {
    /// An IPv4 address, also one mapped into IPv6.
    V4([u8; 4]),
    /// A /64 of IPv6.
    V6([u8; 8]),
}

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let [a, b, c, d, e, f, g, h, ..] = address.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn exactly_n_in_any_window() {
        let limiter = Limiter::per_minute(3);
        let hit = |at| {
            let verdict = limiter.hit(&"a", at);
            (verdict.allowed, verdict.remaining, verdict.reset)
        };
        assert_eq!(hit(1_000), (true, 2, 60_000));
        assert_eq!(hit(2_000), (true, 1, 59_000));
        assert_eq!(hit(3_000), (true, 0, 58_000));
        assert_eq!(hit(60_999), (false, 0, 1));
        assert_eq!(hit(61_000), (true, 0, 1_000), "the first has left the window");
        assert_eq!(hit(61_999), (false, 0, 1));
        assert_eq!(hit(62_000), (true, 0, 1_000));
        assert_eq!(hit(200_000), (true, 2, 60_000));
        assert_eq!(limiter.refused(), 2);
        assert_eq!(limiter.hit(&"b", 200_000).remaining, 2);
    }

    #[test]
    fn a_clock_set_back_gives_nothing_away() {
        let limiter = Limiter::per_minute(1);
        assert!(limiter.hit(&1, 100_000).allowed);
        let verdict = limiter.hit(&1, 10_000);
        assert!(!verdict.allowed);
        assert_eq!(verdict.reset, 60_000);
        assert_eq!(verdict.reset_seconds(), 60);
    }

    #[test]
    fn memory_is_bounded_and_comes_back() {
        let limiter = Limiter::new(5, 1_000, 160);
        for key in 0..100_000_u32 {
            assert!(limiter.hit(&key, 5).allowed);
        }
        assert!(limiter.kept() <= 160, "{}", limiter.kept());
        assert!(limiter.evicted() >= 99_840);
        for key in 0..200 {
            limiter.hit(&key, 5_000);
        }
        assert!(limiter.drawers.iter().all(|drawer| {
            let drawer = drawer.lock().unwrap();
            drawer.order.capacity() <= 64 && drawer.keys.len() <= drawer.order.len()
        }));
    }

    #[test]
    fn addresses_are_counted_by_network() {
        let origin = |text: &str| Origin::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(origin("2001:db8:1:2:3::4"), origin("2001:db8:1:2:ffff::1"));
        assert_ne!(origin("2001:db8:1:2::1"), origin("2001:db8:1:3::1"));
        assert_eq!(origin("::ffff:10.0.0.1"), origin("10.0.0.1"));
        assert_ne!(origin("10.0.0.2"), origin("10.0.0.1"));
    }

    proptest! {
        /// Against the obvious: keep every allowed time for ever, and count.
        #[test]
        fn agrees_with_a_naive_model(
            limit in 1..6_u32,
            calls in prop::collection::vec((0..4_u8, 0..400_u64), 1..300),
        ) {
            let limiter = Limiter::new(limit, 1_000, 1 << 16);
            let mut allowed: Vec<(u8, u64)> = Vec::new();
            let mut now = 0;
            for (key, pause) in calls {
                now += pause;
                let recent: Vec<u64> =
                    allowed.iter().filter(|(k, at)| *k == key && at + 1_000 > now).map(|(_, at)| *at).collect();
                let expected = (recent.len() as u32) < limit;
                let verdict = limiter.hit(&key, now);
                prop_assert_eq!(verdict.allowed, expected);
                let oldest = recent.first().copied().unwrap_or(now);
                prop_assert_eq!(verdict.reset, oldest + 1_000 - now);
                prop_assert_eq!(verdict.remaining, limit - recent.len() as u32 - u32::from(expected));
                if expected {
                    allowed.push((key, now));
                }
            }
        }
    }
}
