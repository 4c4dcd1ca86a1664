//! The way out: all sessions are told to come back later, spread over a time, so that they do not all come at once.

use schema::CloseReason;

use super::Machine;
use super::session::Told;
use super::slab::Seek;

/// How far the way out has been gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Drain {
    /// Nobody leaves.
    Off,
    /// Sessions leave, in the order of their slots.
    On { since: u64, over: u64, sessions: u64, closed: u64, at: u32 },
    /// All have left. No new ones are let in.
    Done,
}

impl Drain {
    pub(super) fn is_on(self) -> bool {
        self != Self::Off
    }

    /// When the next session is to leave.
    pub(super) fn next(self) -> Option<u64> {
        match self {
            Self::Off | Self::Done => None,
            Self::On { since, over, sessions, closed, .. } => {
                let next = (closed + 1).saturating_mul(over).div_ceil(sessions.max(1));
                Some(since + next.min(over))
            }
        }
    }
}

impl Machine {
    /// Begins to close all sessions, and refuses new ones.
    pub(super) fn drain(&mut self, over: u32) {
        let sessions = u64::from(self.sessions.len());
        let (since, over) = (self.now.mono, u64::from(over));
        match self.drain {
            Drain::Off => self.drain = Drain::On { since, over, sessions, closed: 0, at: 0 },
            // Asked again: the remaining time counts anew.
            Drain::On { at, .. } => self.drain = Drain::On { since, over, sessions, closed: 0, at },
            Drain::Done => {}
        }
    }

    /// Closes the sessions whose turn has come.
    pub(super) fn advance_drain(&mut self, mut budget: usize) {
        while let Drain::On { since, over, sessions, closed, at } = self.drain {
            let elapsed = self.now.mono.saturating_sub(since);
            let due = if elapsed >= over { u64::MAX } else { sessions.saturating_mul(elapsed) / over };
            if closed >= due || budget == 0 {
                return;
            }
            self.drain = match self.sessions.seek(at, &mut budget) {
                Some(Seek::Found(slot)) => {
                    budget = budget.saturating_sub(self.cost_of_end(slot));
                    self.end(slot, CloseReason::Draining, Told::ByUs);
                    Drain::On { since, over, sessions, closed: closed + 1, at: slot + 1 }
                }
                Some(Seek::Later(at)) => Drain::On { since, over, sessions, closed, at },
                None => Drain::Done,
            };
        }
    }
}
