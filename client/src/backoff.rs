//! When to connect again: exponential and jittered, and as the server advises.

use std::time::Duration;

use schema::close::Advice;

use crate::connection::End;

/// What to do after a connection has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// Nothing: the server advises against coming back.
    Stop,
    /// Connect again after this time.
    After(Duration),
    /// Get a new token, and connect with it after this time.
    WithNewToken(Duration),
}

/// Counts failures and turns each into a time to wait.
///
/// The window doubles with every failure from `shortest` to `longest`. After a plain loss the wait is a random part of
/// the whole window, so that a crowd which lost its server together does not come back together.
#[derive(Clone, Debug)]
pub struct Backoff {
    shortest: Duration,
    longest: Duration,
    failures: u32,
}

/// A connection that lasted this long was a success: the next loss starts from the shortest window again. A server
/// that welcomes everybody and then falls over is met with growing pauses.
pub const STABLE: Duration = Duration::from_secs(10);

/// The window after the advice to come back later is at least this many times the shortest.
const LATER: u32 = 8;

impl Default for Backoff {
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(30))
    }
}

impl Backoff {
    /// Between these two windows.
    #[must_use]
    pub fn new(shortest: Duration, longest: Duration) -> Self {
        Self { shortest, longest: longest.max(shortest), failures: 0 }
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// What to do after this end of a connection that was established for `ready` (zero: not at all).
    /// `random` is any number from all of them.
    pub fn next(&mut self, end: &End, ready: Duration, random: u64) -> Next {
        if ready >= STABLE {
            self.failures = 0;
        }
        let window = self.window();
        self.failures = self.failures.saturating_add(1);
        let part = random as f64 / (u64::MAX as f64);
        let jittered = window.mul_f64(part);
        let wait = match (end.retry_after, end.advice) {
            // The server has spread its clients over this time already.
            (Some(time), _) => time.max(if self.failures > 1 { jittered } else { Duration::ZERO }),
            (None, Advice::ReconnectLater) => {
                let window = window.max(self.shortest.saturating_mul(LATER)).min(self.longest);
                window.mul_f64(0.5 + part / 2.0)
            }
            (None, Advice::Stay | Advice::Reconnect | Advice::Reauthenticate) => jittered,
        };
        match end.advice {
            Advice::Stay => Next::Stop,
            Advice::Reconnect | Advice::ReconnectLater => Next::After(wait),
            Advice::Reauthenticate => Next::WithNewToken(wait),
        }
    }

    fn window(&self) -> Duration {
        // 2^20 times half a second is six days: longer than any `longest`, and no overflow.
        self.shortest.saturating_mul(1 << self.failures.min(20)).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use schema::CloseReason;

    use super::*;

    fn end(reason: CloseReason) -> End {
        End::of(reason)
    }

    fn seconds(next: Next) -> f64 {
        match next {
            Next::After(wait) | Next::WithNewToken(wait) => wait.as_secs_f64(),
            Next::Stop => f64::NAN,
        }
    }

    #[test]
    fn windows_double_up_to_the_longest() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..9)
            .map(|_| seconds(backoff.next(&end(CloseReason::Lost), Duration::ZERO, u64::MAX)))
            .collect();
        assert_eq!(waits, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]);
        assert_eq!(seconds(backoff.next(&end(CloseReason::Lost), Duration::ZERO, 0)), 0.0);
        for _ in 0..100 {
            backoff.next(&end(CloseReason::Lost), Duration::ZERO, 0);
        }
        assert_eq!(seconds(backoff.next(&end(CloseReason::Lost), Duration::ZERO, u64::MAX)), 30.0);
    }

    #[test]
    fn only_a_connection_that_lasted_starts_over() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.next(&end(CloseReason::Lost), Duration::from_secs(1), 0);
        }
        assert_eq!(backoff.failures(), 5);
        assert_eq!(seconds(backoff.next(&end(CloseReason::Lost), STABLE, u64::MAX)), 0.5);
    }

    #[test]
    fn the_servers_advice_is_followed() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.next(&end(CloseReason::Kicked), STABLE, 0), Next::Stop);
        assert!(matches!(backoff.next(&end(CloseReason::TokenExpired), STABLE, 0), Next::WithNewToken(_)));
        assert_eq!(seconds(backoff.next(&end(CloseReason::TooManyCommands), STABLE, 0)), 2.0);
        assert_eq!(seconds(backoff.next(&end(CloseReason::TooManyCommands), STABLE, u64::MAX)), 4.0);
        let mut spread = end(CloseReason::Draining);
        spread.retry_after = Some(Duration::from_secs(7));
        assert_eq!(backoff.next(&spread, STABLE, u64::MAX), Next::After(Duration::from_secs(7)));
    }
}
