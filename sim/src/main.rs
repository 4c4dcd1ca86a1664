//! `sim`: runs seeds, says how fast, and tells what was promised and what was seen when one fails.

use std::fmt;
use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;

use sim::{Failure, Outcome, Plan};

const USAGE: &str = "\
usage: sim [SEED] [--steps N] [--seeds A..B] [--shards N] [--trace]

  SEED         replay this seed (default 1)
  --steps N    steps of each seed (default 20000)
  --seeds A..B run the seeds from A to before B
  --shards N   so many shards instead of the seed's choice
  --trace      print everything that happens";

struct Arguments {
    seeds: Range<u64>,
    plan: Plan,
    trace: bool,
}

fn parse(mut words: impl Iterator<Item = String>) -> Option<Arguments> {
    let mut arguments = Arguments { seeds: 1..2, plan: Plan { steps: 20_000, shards: None }, trace: false };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--steps" => arguments.plan.steps = words.next()?.parse().ok()?,
            "--shards" => {
                arguments.plan.shards = Some(words.next()?.parse().ok().filter(|&n| n > 0 && n <= 64)?)
            }
            "--trace" => arguments.trace = true,
            "--seeds" => {
                let range = words.next()?;
                let (from, to) = range.split_once("..")?;
                arguments.seeds = from.parse().ok()?..to.parse().ok()?;
            }
            seed => {
                let seed = seed.parse().ok()?;
                arguments.seeds = seed..seed + 1;
            }
        }
    }
    Some(arguments)
}

/// A failed run, for a reader.
struct Report<'a>(&'a Failure);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { seed, step, time, broken, trail, profile } = self.0;
        writeln!(f, "what happened last:")?;
        for line in trail {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "\nthe world:   {profile:?}")?;
        writeln!(f, "seed {seed} failed at step {step}, {time} ms")?;
        writeln!(f, "promised:    {}", broken.promised)?;
        writeln!(f, "seen:        {}", broken.seen)
    }
}

#[expect(clippy::disallowed_methods, reason = "only to say how many steps a second were made")]
fn clock() -> std::time::Instant {
    std::time::Instant::now()
}

fn main() -> ExitCode {
    let mut out = std::io::stdout().lock();
    // Nobody is left to be told when writing to them fails.
    let mut say = |text: &dyn fmt::Display| drop(writeln!(out, "{text}"));
    let Some(arguments) = parse(std::env::args().skip(1)) else {
        say(&USAGE);
        return ExitCode::from(2);
    };
    let (start, mut steps, mut failed) = (clock(), 0, 0);
    for seed in arguments.seeds.clone() {
        let outcome: Outcome = if arguments.trace {
            sim::trace(seed, arguments.plan, |line| say(&line))
        } else {
            sim::run(seed, arguments.plan)
        };
        steps += outcome.steps;
        if arguments.seeds.end - arguments.seeds.start == 1 {
            say(&format_args!("seed {seed}: digest {:016x}, {:?}", outcome.digest, outcome.checked));
        }
        if let Some(failure) = &outcome.failure {
            failed += 1;
            say(&Report(failure));
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    let rate = steps as f64 / seconds.max(1e-9);
    say(&format_args!("{steps} steps in {seconds:.1} s: {rate:.0} steps per second; {failed} seeds failed"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
