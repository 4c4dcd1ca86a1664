//! The way in for a fuzzer: bytes are a small world and a list of operations.

use crate::operation::Reader;
use crate::profile::{Profile, StoreMood};
use crate::world::World;

/// Operations of one list; more say nothing new.
const OPERATIONS: usize = 2_000;

/// Carries out the operations that these bytes stand for, on the world that the first of them stand for, and checks
/// every promise.
///
/// # Panics
/// When a promise is broken.
pub fn run_operations(bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    let seed = u64::from(reader.word());
    let mut profile = Profile::of(seed, Some([1, 2, 3, 7][usize::from(reader.byte() % 4)]));
    profile.store = [StoreMood::Good, StoreMood::Slow, StoreMood::Failing][usize::from(reader.byte() % 3)];
    profile.users = profile.users.min(8);
    let mut world = World::new(seed, profile);
    let mut went = world.run_until(world.time + 1);
    for _ in 0..OPERATIONS {
        let Some(operation) = reader.operation() else { break };
        went = went.and_then(|()| world.apply(operation));
    }
    went = went.and_then(|()| world.settle()).and_then(|()| world.everybody_leaves());
    if let Err(broken) = went {
        panic!("promised: {}\nseen: {}\nseed {seed}, at {} ms", broken.promised, broken.seen, world.time);
    }
}

#[cfg(test)]
mod tests {
    use super::run_operations;
    use crate::luck::{Concern, Luck};

    #[test]
    fn random_bytes_are_worlds_in_which_the_promises_hold() {
        for seed in 0..40 {
            let mut luck = Luck::new(seed, Concern::Workload);
            let bytes: Vec<u8> = (0..luck.between(0, 1_200)).map(|_| luck.byte()).collect();
            run_operations(&bytes);
        }
    }
}
