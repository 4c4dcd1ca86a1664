//! Asking a new session for what the last one had: a few commands at a time, and again when the server has no room.
//!
//! Pure: the time is an argument, and the connection is the caller's.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use schema::frame::Refused;
use schema::{Command, Reply};

use crate::connection::Connection;

/// Commands under way at once: far below the burst that a user may send.
const WINDOW: usize = 16;

/// What is still to be asked.
#[derive(Debug, Default)]
pub(super) struct Restore {
    to_ask: VecDeque<Command>,
    asked: BTreeMap<u64, Command>,
    paused_until: Option<Instant>,
}

/// What a reply meant.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// It was the reply to something else.
    NotOurs,
    /// Granted again, or to be asked once more.
    Fine,
    /// Not granted any more.
    Refused(Command, Refused),
}

impl Restore {
    /// A new session: asks for these.
    pub(super) fn new(commands: Vec<Command>) -> Self {
        Self { to_ask: commands.into(), ..Self::default() }
    }

    /// Everything is asked and answered.
    pub(super) fn is_done(&self) -> bool {
        self.to_ask.is_empty() && self.asked.is_empty()
    }

    /// When [`Restore::ask`] wants to be called without a reply.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Asks as much as may be under way.
    pub(super) fn ask(&mut self, connection: &mut Connection, now: Instant) {
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        self.paused_until = None;
        while self.asked.len() < WINDOW
            && let Some(command) = self.to_ask.pop_front()
        {
            // The commands were cut to fit a frame. Should one not fit a new server's smaller frame, it is left out:
            // nothing else could be done about it.
            if let Ok(tag) = connection.command(&command, now) {
                self.asked.insert(tag, command);
            }
        }
    }

    /// A reply came.
    pub(super) fn replied(&mut self, tag: u64, result: &Result<Reply, Refused>, now: Instant) -> Outcome {
        let Some(command) = self.asked.remove(&tag) else { return Outcome::NotOurs };
        match result {
            Ok(_) => Outcome::Fine,
            Err(refused) => match refused.retry_after_ms {
                None => Outcome::Refused(command, refused.clone()),
                Some(ms) => {
                    let until = now + Duration::from_millis(ms.into());
                    self.paused_until = Some(self.paused_until.map_or(until, |at| at.max(until)));
                    self.to_ask.push_front(command);
                    Outcome::Fine
                }
            },
        }
    }
}
