//! A few hundred seeds: every shape of node, every mood of the store, crashes, drains, clocks that jump.

use std::sync::atomic::{AtomicU64, Ordering};

use sim::{Plan, run};

/// Steps of one seed: enough for a busy time, a quiet one, and the way out.
const STEPS: u64 = 1_500;

/// Runs the seeds on two threads, and says how many steps it were; a failure says which seed, and `cargo run -p sim -- SEED` replays it.
fn all_hold(seeds: std::ops::Range<u64>, shards: Option<u16>) -> u64 {
    let (next, steps) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let outcome = run(seed, Plan { steps: STEPS, shards });
            steps.fetch_add(outcome.steps, Ordering::Relaxed);
            if let Some(failure) = outcome.failure {
                let number = shards.map_or_else(String::new, |shards| format!(" --shards {shards}"));
                panic!(
                    "replay with: cargo run -p sim -- {seed} --steps {STEPS}{number}\npromised: {}\nseen: {}",
                    failure.broken.promised, failure.broken.seen
                );
            }
        }
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        work();
        if let Err(panic) = other.join() {
            std::panic::resume_unwind(panic);
        }
    });
    steps.into_inner()
}

#[test]
fn one_two_three_and_seven_shards() {
    println!("{} steps", all_hold(0..240, None));
}

#[test]
fn one_shard_is_exact_to_the_millisecond() {
    println!("{} steps", all_hold(1_000..1_060, Some(1)));
}

#[test]
fn seven_shards_on_narrow_ways() {
    println!("{} steps", all_hold(2_000..2_060, Some(7)));
}

#[test]
fn a_seed_is_one_run() {
    for seed in [5, 6, 7] {
        let plan = Plan { steps: 800, shards: None };
        let digests: Vec<u64> = (0..2).map(|_| run(seed, plan).digest).collect();
        assert_eq!(digests[0], digests[1], "seed {seed}");
    }
    assert_ne!(
        run(5, Plan { steps: 800, shards: None }).digest,
        run(6, Plan { steps: 800, shards: None }).digest
    );
}
