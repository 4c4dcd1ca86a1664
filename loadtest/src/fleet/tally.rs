//! What one ring counts and measures. Its own while it works; now and then added to what the main thread reads.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::outcome::Latency;

/// Kinds of latency.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Kind {
    /// From when a connect was due to the welcome.
    Connect,
    /// From when a heartbeat was due to its answer.
    Beat,
    /// From when a message was due to a recipient.
    Delivery,
    /// From when a message was due to its last recipient.
    Last,
    /// From when a message was due to the server's word that it has taken it.
    Taken,
    /// From when a user's coming was due to a watcher that was told.
    ToldOnline,
    /// From when a user logged out to a watcher that was told.
    ToldOffline,
    /// From when a message was due to the server's word that it is on stable storage.
    Kept,
    /// From when a page of history was to be asked for to the page.
    Page,
    /// From when a list of conversations was to be asked for to the list.
    List,
    /// From when a service's question was due to the count it asked for.
    Count,
    /// How late the generator sent what was due.
    Late,
}

/// All of them, with their names in reports.
pub const KINDS: [(Kind, &str, &str); 12] = [
    (Kind::Connect, "connect", "from when the connect was due to the welcome"),
    (Kind::Beat, "heartbeat", "from when the heartbeat was due to its answer"),
    (Kind::Delivery, "delivery", "from when a message was due to each of its recipients"),
    (Kind::Last, "last delivery", "from when a published message was due to the last of its subscribers"),
    (Kind::Taken, "taken", "from when a message was due to the server's word that it took it"),
    (Kind::ToldOnline, "told online", "from when a user's connect was due to a watcher that was told"),
    (Kind::ToldOffline, "told offline", "from when a user logged out to a watcher that was told"),
    (Kind::Kept, "kept", "from when a message was due to the server's word that it is on stable storage"),
    (Kind::Page, "page", "from when a page of history was to be read to the page"),
    (Kind::List, "list", "from when a list of conversations was to be read to the list"),
    (Kind::Count, "count", "from when a service asked how many are online to the answer"),
    (Kind::Late, "lateness", "from when something was due to when the generator sent it"),
];

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Count {
    /// Connects begun.
    Connects,
    /// Sessions welcomed.
    Connected,
    /// Connections over, for whatever reason.
    Closed,
    /// Heartbeats sent; the server's, where they are.
    Beats,
    /// Heartbeats answered.
    Answers,
    /// Heartbeats without an answer when their connection was over.
    Unanswered,
    /// Sessions that had heard no heartbeat of the server for too long at the end.
    Silent,
    /// Watches and subscriptions that stand.
    Settled,
    /// Messages published and sent.
    Messages,
    /// Those that the server took.
    Taken,
    /// Messages that came.
    Deliveries,
    /// Messages that came a second time, or after a later one of their channel.
    Repeated,
    /// Comings and goings of watched users.
    Changes,
    /// What watchers should have been told of them.
    ToldExpected,
    /// What watchers were told after their lists' first state.
    Told,
    /// Of which nothing had happened.
    ToldFalse,
    /// What watchers were told at first.
    ToldFirst,
    /// Conversations made, or found.
    Made,
    /// Messages that were sent a second time under the same name.
    Copies,
    /// Times that the server knew such a message.
    Again,
    /// Pages of history read beside the messages.
    Pages,
    /// Lists of conversations read beside them.
    Lists,
    /// Messages found when everything was read back.
    ReadBack,
    /// Those found a second time.
    KeptTwice,
    /// Times that a service asked how many are online.
    Questions,
    /// Times that it was told.
    Counted,
    /// Sessions that were over without their own doing.
    Lost,
    /// Things that went wrong.
    Errors,
}

/// All of them, with their names in reports.
pub const COUNTS: [(Count, &str); 28] = [
    (Count::Connects, "connects"),
    (Count::Connected, "connected"),
    (Count::Closed, "closed"),
    (Count::Beats, "heartbeats"),
    (Count::Answers, "answers"),
    (Count::Unanswered, "unanswered"),
    (Count::Silent, "silent"),
    (Count::Settled, "settled"),
    (Count::Messages, "messages"),
    (Count::Taken, "taken"),
    (Count::Deliveries, "deliveries"),
    (Count::Repeated, "repeated"),
    (Count::Changes, "changes"),
    (Count::ToldExpected, "told_expected"),
    (Count::Told, "told"),
    (Count::ToldFalse, "told_false"),
    (Count::ToldFirst, "told_first"),
    (Count::Made, "made"),
    (Count::Copies, "copies"),
    (Count::Again, "again"),
    (Count::Pages, "pages"),
    (Count::Lists, "lists"),
    (Count::ReadBack, "read_back"),
    (Count::KeptTwice, "kept_twice"),
    (Count::Questions, "questions"),
    (Count::Counted, "counted"),
    (Count::Lost, "lost"),
    (Count::Errors, "errors"),
];

/// Causes of errors told apart; the rest is one cause.
const CAUSES: usize = 64;

/// Microsecond histogram up to ten minutes, half a percent fine: 20 KB, and there are many.
fn histogram() -> Histogram<u64> {
    #[expect(clippy::expect_used, reason = "the bounds are constants that hdrhistogram accepts")]
    Histogram::new_with_bounds(1, 600_000_000, 2).expect("1 < 2 × 600 s, and 2 digits are allowed")
}

/// The numbers of one ring, or of all.
#[derive(Default)]
pub struct Tally {
    counts: [u64; COUNTS.len()],
    latencies: [Option<Box<Histogram<u64>>>; KINDS.len()],
    errors: BTreeMap<String, u64>,
    touched: bool,
}

impl Tally {
    /// Counts.
    pub fn count(&mut self, what: Count, by: u64) {
        self.counts[what as usize] += by;
        self.touched = true;
    }

    /// Counts so far.
    #[must_use]
    pub fn get(&self, what: Count) -> u64 {
        self.counts[what as usize]
    }

    /// Notes a latency, nanoseconds.
    pub fn note(&mut self, kind: Kind, ns: u64) {
        let latency = self.latencies[kind as usize].get_or_insert_with(|| Box::new(histogram()));
        latency.saturating_record((ns / 1_000).max(1));
        self.touched = true;
    }

    /// Notes an error by its cause.
    pub fn error(&mut self, cause: impl Into<String>) {
        let mut cause = cause.into();
        self.count(Count::Errors, 1);
        if self.errors.len() >= CAUSES && !self.errors.contains_key(&cause) {
            cause = "others".into();
        }
        *self.errors.entry(cause).or_default() += 1;
    }

    /// Errors by cause.
    #[must_use]
    pub fn errors(&self) -> &BTreeMap<String, u64> {
        &self.errors
    }

    /// Adds another's numbers.
    pub fn add(&mut self, other: &Self) {
        if !other.touched {
            return;
        }
        self.touched = true;
        for (mine, other) in self.counts.iter_mut().zip(&other.counts) {
            *mine += other;
        }
        for (mine, other) in self.latencies.iter_mut().zip(&other.latencies) {
            if let Some(other) = other.as_ref().filter(|other| !other.is_empty()) {
                // Same bounds, so nothing can fail.
                let _ = mine.get_or_insert_with(|| Box::new(histogram())).add(&**other);
            }
        }
        for (cause, times) in &other.errors {
            *self.errors.entry(cause.clone()).or_default() += times;
        }
    }

    /// Adds another's numbers and empties it.
    pub fn absorb(&mut self, other: &mut Self) {
        self.add(other);
        if !std::mem::take(&mut other.touched) {
            return;
        }
        other.counts = Default::default();
        other.latencies.iter_mut().flatten().for_each(|latency| latency.reset());
        other.errors.clear();
    }

    /// A quantile of all kinds but the lateness, milliseconds.
    #[must_use]
    pub fn quantiles(&self, quantiles: &[f64]) -> Option<Vec<f64>> {
        let mut all = histogram();
        for (kind, latency) in self.latencies.iter().enumerate() {
            if let Some(latency) = latency.as_ref().filter(|_| kind != Kind::Late as usize) {
                let _ = all.add(&**latency);
            }
        }
        (!all.is_empty()).then(|| quantiles.iter().map(|&q| all.value_at_quantile(q) as f64 / 1e3).collect())
    }

    /// The distribution of one kind, if anything was noted.
    #[must_use]
    pub fn latency(&self, kind: Kind) -> Option<Latency> {
        let latency = self.latencies[kind as usize].as_ref().filter(|latency| !latency.is_empty())?;
        let at = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1e3;
        let mut distribution: Vec<(f64, f64)> = Vec::new();
        for value in latency.iter_quantiles(5) {
            distribution.push((value.quantile(), value.value_iterated_to() as f64 / 1e3));
        }
        let (_, name, what) = KINDS[kind as usize];
        Some(Latency {
            name: name.into(),
            what: what.into(),
            count: latency.len(),
            min: latency.min() as f64 / 1e3,
            mean: latency.mean() / 1e3,
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: latency.max() as f64 / 1e3,
            distribution,
        })
    }

    /// The distributions of all kinds but the lateness.
    #[must_use]
    pub fn latencies(&self) -> Vec<Latency> {
        let kinds = KINDS.iter().filter(|(kind, ..)| *kind != Kind::Late);
        kinds.filter_map(|(kind, ..)| self.latency(*kind)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_stand_at_their_numbers() {
        assert!(KINDS.iter().enumerate().all(|(place, (kind, ..))| *kind as usize == place));
        assert!(COUNTS.iter().enumerate().all(|(place, (count, _))| *count as usize == place));
    }

    #[test]
    fn absorbing_moves_everything_once() {
        let (mut all, mut one) = (Tally::default(), Tally::default());
        one.count(Count::Beats, 3);
        one.note(Kind::Beat, 2_000_000);
        one.note(Kind::Beat, 4_000_000);
        one.error("refused");
        all.absorb(&mut one);
        all.absorb(&mut one);
        assert_eq!((all.get(Count::Beats), all.get(Count::Errors), all.errors()["refused"]), (3, 1, 1));
        let beat = all.latency(Kind::Beat).unwrap();
        assert_eq!(beat.count, 2);
        assert!((beat.p50 - 2.0).abs() < 0.02 && (beat.max - 4.0).abs() < 0.04, "{beat:?}");
        assert!(all.latency(Kind::Late).is_none());
        assert!(one.latencies().is_empty());
    }

    #[test]
    fn causes_are_bounded() {
        let mut tally = Tally::default();
        (0..1_000).for_each(|n| tally.error(format!("cause {n}")));
        assert_eq!(tally.errors().len(), CAUSES + 1);
        assert_eq!(tally.get(Count::Errors), 1_000);
    }
}
