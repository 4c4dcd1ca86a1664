//! Luck from a seed: an independent stream for each concern, so that a change in one does not shift the others.

/// What a stream of luck is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Concern {
    /// Which world it is.
    Profile = 1,
    /// What people do, and when.
    Workload = 2,
    /// How messages travel.
    Network = 3,
    /// How the store behaves.
    Store = 4,
    /// In which order shards get their turns.
    Turns = 5,
    /// How the store of conversations behaves.
    Shelf = 6,
    /// What people do in conversations, and which world of them it is.
    Chats = 7,
}

/// One stream: SplitMix64.
#[derive(Clone, Debug)]
pub struct Luck(u64);

impl Luck {
    /// The stream of a concern.
    #[must_use]
    pub fn new(seed: u64, concern: Concern) -> Self {
        let mut luck = Self(seed ^ (concern as u64).wrapping_mul(0xd6e8_feb8_6659_fd93));
        luck.bits();
        luck
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`; 0 when there is none.
    pub fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(limit)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True so many times in a thousand.
    pub fn chance(&mut self, per_thousand: u32) -> bool {
        self.below(1_000) < u64::from(per_thousand)
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        self.bits() as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let numbers = |concern| -> Vec<u64> {
            let mut luck = Luck::new(7, concern);
            (0..10).map(|_| luck.below(1_000)).collect()
        };
        assert_eq!(numbers(Concern::Network), numbers(Concern::Network));
        assert_ne!(numbers(Concern::Network), numbers(Concern::Store));
        let mut luck = Luck::new(1, Concern::Profile);
        assert!((0..1_000).all(|_| (3..=5).contains(&luck.between(3, 5))));
    }
}
