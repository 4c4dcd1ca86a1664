//! The cases: small pieces of Muster, each as a function that makes one call ready to be repeated.
//!
//! They are listed once, in [`each_case!`]; the benchmarks, the instruction counts and the page of figures all take them
//! from there. Nothing in a case reads a clock or draws luck, so a case does the same in every run.

pub mod frames;
pub mod mesh;
pub mod seats;
pub mod tokens;
pub mod websocket;

use std::error::Error;
use std::time::{Duration, Instant};

use crate::stats::Summary;

/// Why a case could not be made ready.
pub type Trouble = Box<dyn Error + Send + Sync>;

/// A call that can be repeated.
pub type Call = Box<dyn FnMut()>;

/// Hands the list of all cases to a macro: `module { function units "what"; … }` for each room. `units` is how many of
/// what is told one call does.
#[macro_export]
macro_rules! each_case {
    ($with:path) => {
        $with! {
            frames {
                heartbeat 1 "heartbeat frame in, acknowledgement out";
                heartbeat_tagged 1 "heartbeat with a tag in (verifier)";
                ack_in 1 "acknowledgement in (client)";
                connect_in 1 "Connect frame with a token in";
                presence_1_in 1 "presence of 1 user in (client)";
                presence_1_out 1 "presence of 1 user out";
                presence_100_in 1 "presence of 100 users in (client)";
                presence_100_out 1 "presence of 100 users out";
                published_out 1 "published payload of 100 bytes out: what a fan-out encodes once";
            }
            websocket {
                frame_in 1 "WebSocket text frame of 40 bytes in";
                frame_out 1 "WebSocket text frame of 40 bytes out";
                heartbeat 1 "presence WebSocket: heartbeat in, acknowledgement out";
            }
            seats {
                heartbeat 1 "binary heartbeat through edge and machine, 10,000 sessions in turn";
                activity 1 "the same with activity, which moves last seen";
                transition 1 "session attached and detached: online and offline of one user";
                watch_delta 1 "the same for a user somebody watches, with both frames to the watcher";
                fan_out 1_000 "delivery of a publish to 1,000 subscribers, encoded once";
                timer 1 "millisecond of the timer wheel: a session's timer fires and is set again";
            }
            mesh {
                inbox 1 "message through an inbox";
                inbox_batch 16 "message through an inbox in batches of 16";
            }
            tokens {
                hs256 1 "token checked, HS256";
                eddsa 1 "token checked, EdDSA";
                es256 1 "token checked, ES256";
                rs256 1 "token checked, RS256 (2,048 bits)";
            }
        }
    };
}

/// One of the cases.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// `frames/heartbeat`.
    pub name: &'static str,
    /// What one unit is, for people.
    pub what: &'static str,
    /// Units a call.
    pub units: u32,
    make: fn() -> Result<Repeat, Trouble>,
}

/// Makes the call so many times.
type Repeat = Box<dyn FnMut(u64)>;

fn repeat(call: Result<impl FnMut() + 'static, Trouble>) -> Result<Repeat, Trouble> {
    let mut call = call?;
    Ok(Box::new(move |times| (0..times).for_each(|_| call())))
}

macro_rules! table {
    ($($room:ident { $($name:ident $units:literal $what:literal;)+ })+) => {
        /// All of them.
        pub const CASES: &[Case] = &[$($(Case {
            name: concat!(stringify!($room), "/", stringify!($name)),
            what: $what,
            units: $units,
            make: || repeat($room::$name()),
        },)+)+];
    };
}

each_case!(table);

/// Time that a round takes at least, and how many rounds there are.
const ROUND: Duration = Duration::from_millis(20);
const ROUNDS: usize = 21;

impl Case {
    /// The case of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        CASES.iter().find(|case| case.name == name)
    }

    /// Makes it ready, and gives what repeats it.
    ///
    /// # Errors
    /// When the case cannot be made.
    pub fn ready(&self) -> Result<impl FnMut(u64) + use<>, Trouble> {
        (self.make)()
    }

    /// Nanoseconds a unit, over some rounds.
    ///
    /// # Errors
    /// When the case cannot be made.
    #[expect(clippy::disallowed_methods, reason = "it measures time")]
    pub fn nanoseconds(&self) -> Result<Summary, Trouble> {
        let mut repeat = self.ready()?;
        let mut calls = 1;
        loop {
            let start = Instant::now();
            repeat(calls);
            if start.elapsed() >= ROUND {
                break;
            }
            calls *= 2;
        }
        let rounds: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let start = Instant::now();
                repeat(calls);
                start.elapsed().as_secs_f64() * 1e9 / calls as f64 / f64::from(self.units)
            })
            .collect();
        Summary::of(&rounds).ok_or_else(|| "no round was measured".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every case checks, while it is made ready, that it does what it says.
    #[test]
    fn every_case_runs() {
        for case in CASES {
            case.ready().unwrap_or_else(|error| panic!("{}: {error}", case.name))(3);
        }
    }
}
