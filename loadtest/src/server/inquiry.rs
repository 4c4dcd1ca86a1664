//! A service that asks how many are online, while the crowd is held: whether its questions are answered, what they are
//! answered, and what they do to the shards' turns.
//!
//! The time is cut into slices, and in every other one nothing is asked. So the turns beside the questions are told
//! from those without them in one run, whatever else the machine does meanwhile.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use super::http;
use super::metrics::{Durations, Source};
use crate::clock::Clock;
use crate::fleet::tally::{Count, Kind, Tally};

/// The call.
const PATH: &str = "/server/v1/presence/count";
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest slice: the machine's moods last longer.
const SLICE: f64 = 5.0;
/// How soon it notices that it is to end.
const LOOK: Duration = Duration::from_millis(20);

/// Whom to ask, and how.
#[derive(Clone, Debug)]
pub struct Inquiry {
    /// The public listener.
    pub http: SocketAddr,
    /// The admin listener, for the histogram of turns.
    pub admin: SocketAddr,
    /// A service's token.
    pub token: String,
    /// Questions a second.
    pub rate: f64,
    /// Seconds in all, which are cut into slices.
    pub hold: f64,
    /// The run's clock.
    pub clock: Clock,
}

/// What was found out.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Turns while nothing was asked.
    pub without: Durations,
    /// Turns while questions came.
    pub beside: Durations,
    /// The smallest and the largest answer.
    pub answers: Option<(u64, u64)>,
}

/// The thread that asks.
pub struct Inquirer {
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Found>,
}

impl Inquirer {
    /// Begins with a slice without questions.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(inquiry: Inquiry) -> io::Result<Self> {
        let (tally, stop) = (Arc::<Mutex<Tally>>::default(), Arc::<AtomicBool>::default());
        let mut asker =
            Asker { inquiry, tally: tally.clone(), stop: stop.clone(), found: Found::default(), asked: 0 };
        let thread = thread::Builder::new().name("inquiry".into()).spawn(move || {
            asker.work();
            asker.found
        })?;
        Ok(Self { tally, stop, thread })
    }

    /// Moves what was counted since the last call.
    pub fn collect(&self, into: &mut Tally) {
        into.absorb(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Ends with the question that is under way.
    #[must_use]
    pub fn end(self, into: &mut Tally) -> Found {
        self.stop.store(true, Ordering::Release);
        // It has nothing that panics; without it there is nothing to tell.
        let found = self.thread.join().unwrap_or_default();
        into.absorb(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
        found
    }
}

/// An even number of slices that fill this time, and the length of one in nanoseconds.
fn slices(hold: f64) -> (u64, u64) {
    let number = ((hold / SLICE / 2.0).ceil() as u64 * 2).max(2);
    (number, (hold.max(0.0) * 1e9) as u64 / number)
}

struct Asker {
    inquiry: Inquiry,
    tally: Arc<Mutex<Tally>>,
    stop: Arc<AtomicBool>,
    found: Found,
    asked: u64,
}

impl Asker {
    fn work(&mut self) {
        let (number, length) = slices(self.inquiry.hold);
        let begun = self.inquiry.clock.now();
        let mut before = self.turns();
        for slice in 0..number {
            let from = begun + slice * length;
            let asks = slice % 2 == 1;
            if asks {
                self.ask(from, from + length)
            } else {
                self.pass(from + length)
            }
            let after = self.turns();
            if let Some((before, after)) = before.as_ref().zip(after.as_ref()) {
                let part = if asks { &mut self.found.beside } else { &mut self.found.without };
                part.add(&after.since(before));
            }
            before = after;
            if self.stopped() {
                return;
            }
        }
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn turns(&self) -> Option<Durations> {
        Source::open(self.inquiry.admin).scrape(PATIENCE).ok()?.turns()
    }

    fn pass(&self, until: u64) {
        while !self.stopped() {
            let left = until.saturating_sub(self.inquiry.clock.now());
            if left == 0 {
                return;
            }
            Clock::rest(Duration::from_nanos(left).min(LOOK));
        }
    }

    /// Asks at its pace, one question at a time: one that is due while another is under way waits, and its latency
    /// counts on.
    fn ask(&mut self, from: u64, until: u64) {
        let step = 1e9 / self.inquiry.rate.max(1e-3);
        let mut due = from;
        for one in 1u64.. {
            if due >= until || self.stopped() {
                break;
            }
            self.pass(due);
            self.question(due);
            due = from + (step * one as f64) as u64;
        }
        self.pass(until);
    }

    fn question(&mut self, due: u64) {
        let Inquiry { http, token, clock, .. } = &self.inquiry;
        let answer = http::get(*http, PATH, Some(token), PATIENCE);
        let took = clock.now().saturating_sub(due);
        self.asked += 1;
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.count(Count::Questions, 1);
        let count = answer.map_err(|error| error.to_string()).and_then(|answer| {
            let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
            let count = body.filter(|_| answer.status == 200).and_then(|body| body.get("count")?.as_u64());
            count.ok_or_else(|| format!("status {}", answer.status))
        });
        match count {
            Ok(count) => {
                tally.count(Count::Counted, 1);
                tally.note(Kind::Count, took);
                let (least, most) = self.found.answers.unwrap_or((count, count));
                self.found.answers = Some((least.min(count), most.max(count)));
            }
            Err(error) => tally.error(format!("count: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_cut_into_pairs_of_slices() {
        assert_eq!(slices(60.0), (12, 5_000_000_000));
        assert_eq!(slices(2.0), (2, 1_000_000_000));
        assert_eq!(slices(11.0), (4, 2_750_000_000));
        assert_eq!(slices(0.0), (2, 0));
    }
}
