//! How a store that fails is treated: one episode from the first failure to the proof that it works again, with one
//! line in the log for each end, and attempts to recover in between, further and further apart.
//!
//! ```text
//!            failure                     recovered
//!   Well ──────────────► Waiting ──────────────────────► Trial
//!     ▲                  ▲  └─ not recovered: wait twice as long
//!     │                  └────────── failure: wait twice as long ──┘
//!     └──────────────────────────── a write, or quiet for long ────┘
//! ```
//!
//! A disk that is nearly full lets a small write pass and refuses the next large one; the trial keeps that one
//! episode.

use std::time::{Duration, Instant};

/// The first wait before an attempt to recover.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
/// The longest.
const PAUSE_MOST: Duration = Duration::from_secs(10);
/// A trial without any write is passed after this long.
const TRIAL: Duration = Duration::from_secs(30);

/// What readiness shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It works.
    #[default]
    Ok,
    /// It does not; presence goes on without it, and it is tried again.
    Failing {
        /// Since when.
        since: Instant,
        /// Why, in the latest attempt.
        error: String,
    },
}

/// Where the store is between well and failing.
#[derive(Debug)]
pub(super) struct Recovery(State);

#[derive(Debug)]
enum State {
    Well,
    Waiting { episode: Episode, until: Instant },
    Trial { episode: Episode, until: Instant },
}

#[derive(Clone, Debug)]
struct Episode {
    since: Instant,
    error: String,
    pause: Duration,
}

impl Recovery {
    pub(super) fn new() -> Self {
        Self(State::Well)
    }

    pub(super) fn health(&self) -> Health {
        match &self.0 {
            State::Well => Health::Ok,
            State::Waiting { episode, .. } | State::Trial { episode, .. } => {
                Health::Failing { since: episode.since, error: episode.error.clone() }
            }
        }
    }

    /// The error for which writes are not even tried now.
    pub(super) fn barred(&self) -> Option<&str> {
        match &self.0 {
            State::Waiting { episode, .. } => Some(&episode.error),
            State::Well | State::Trial { .. } => None,
        }
    }

    /// When something is to be done though nobody asks.
    pub(super) fn next(&self) -> Option<Instant> {
        match self.0 {
            State::Well => None,
            State::Waiting { until, .. } | State::Trial { until, .. } => Some(until),
        }
    }

    /// Whether it is time to try to recover.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        matches!(self.0, State::Waiting { until, .. } if now >= until)
    }

    /// A call has failed, or an attempt to recover. Returns whether an episode begins.
    pub(super) fn failed(&mut self, now: Instant, error: String) -> bool {
        let (episode, begins) = match &self.0 {
            State::Well => (Episode { since: now, error, pause: PAUSE_FIRST }, true),
            // A read may fail beside the writes that wait; that hastens and delays nothing.
            State::Waiting { until, .. } if now < *until => return false,
            State::Waiting { episode, .. } | State::Trial { episode, .. } => {
                let pause = (episode.pause * 2).min(PAUSE_MOST);
                (Episode { since: episode.since, error, pause }, false)
            }
        };
        let until = now + episode.pause;
        self.0 = State::Waiting { episode, until };
        begins
    }

    /// An attempt to recover has succeeded.
    pub(super) fn recovered(&mut self, now: Instant) {
        if let State::Waiting { episode, .. } = &self.0 {
            self.0 = State::Trial { episode: episode.clone(), until: now + TRIAL };
        }
    }

    /// A write has succeeded, or nothing was written and a trial may be over. Returns how long the episode was that
    /// ends with it.
    pub(super) fn passed(&mut self, now: Instant, wrote: bool) -> Option<Duration> {
        match &self.0 {
            State::Trial { episode, until } if wrote || now >= *until => {
                let lasted = now.saturating_duration_since(episode.since);
                self.0 = State::Well;
                Some(lasted)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "any instant will do, and there is no other way to have one"
    )]
    fn an_episode_from_end_to_end() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut recovery = Recovery::new();
        assert_eq!((recovery.health(), recovery.next(), recovery.barred()), (Health::Ok, None, None));
        assert_eq!(recovery.passed(at(0), true), None);

        assert!(recovery.failed(at(100), "full".into()));
        assert_eq!(recovery.health(), Health::Failing { since: at(100), error: "full".into() });
        assert_eq!((recovery.barred(), recovery.next()), (Some("full"), Some(at(350))));
        assert!(!recovery.failed(at(200), "a read".into()), "the same episode");
        assert_eq!(recovery.next(), Some(at(350)));
        assert_eq!((recovery.is_due(at(349)), recovery.is_due(at(350))), (false, true));

        // Not recovered: twice as long, up to the most.
        let mut now = 350;
        for pause in [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
            assert!(!recovery.failed(at(now), "still full".into()));
            now += pause;
            assert_eq!(recovery.next(), Some(at(now)));
        }

        // On trial it is still failing, and a failure is no new episode.
        recovery.recovered(at(now));
        assert_eq!(recovery.barred(), None);
        assert!(!recovery.is_due(at(now)));
        assert!(matches!(recovery.health(), Health::Failing { since, .. } if since == at(100)));
        assert!(!recovery.failed(at(now + 1), "full again".into()));
        assert_eq!(recovery.next(), Some(at(now + 1 + 10_000)));

        // A write ends it.
        recovery.recovered(at(50_000));
        assert_eq!(recovery.passed(at(50_001), false), None);
        assert_eq!(recovery.passed(at(50_001), true), Some(Duration::from_millis(49_901)));
        assert_eq!(recovery.health(), Health::Ok);

        // And so does quiet.
        assert!(recovery.failed(at(60_000), "again".into()));
        recovery.recovered(at(61_000));
        assert_eq!(recovery.next(), Some(at(91_000)));
        assert_eq!(recovery.passed(at(91_000), false), Some(Duration::from_millis(31_000)));
        assert_eq!(recovery.next(), None);
    }
}
