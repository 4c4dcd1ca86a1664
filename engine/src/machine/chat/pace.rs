//! The creation times of a conversation: each a millisecond of its own, later than all before, whatever the wall clock
//! does.
//!
//! Two things make them run ahead of the clock: more messages than milliseconds, and a clock that was set back. The first
//! is bounded. The second is nobody's fault who writes now, and may last for hours; so what is bounded is not how far
//! times are ahead of the clock, but by how much they have gained on the time that has passed since they last were not.

use super::super::Now;

/// How far creation times may gain on time that passes: a conversation has one millisecond a message.
const AHEAD: u64 = 1_000;

/// When the times of a conversation last kept up with the clock.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Pace {
    /// The creation time that was given out then.
    at: u64,
    mono: u64,
}

impl Pace {
    /// Of a conversation whose newest message was created then; it is known from now on.
    pub(super) fn from(at: u64, now: Now) -> Self {
        Self { at, mono: now.mono }
    }

    /// The creation time of the next message; `None`: too much was said in too short a time.
    pub(super) fn next(self, last: u64, now: Now) -> Option<u64> {
        let at = now.wall.max(last + 1);
        let passed = self.at.saturating_add(now.mono.saturating_sub(self.mono));
        (at <= passed.max(now.wall) + AHEAD).then_some(at)
    }

    /// A message has this time.
    pub(super) fn took(&mut self, at: u64, now: Now) {
        if at <= now.wall {
            *self = Self::from(at, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const NOON: u64 = 1_800_000_000_000;

    struct Talk {
        pace: Pace,
        last: u64,
        now: Now,
    }

    impl Talk {
        fn say(&mut self) -> Option<u64> {
            let at = self.pace.next(self.last, self.now)?;
            assert!(at > self.last, "times grow");
            self.last = at;
            self.pace.took(at, self.now);
            Some(at)
        }

        fn pass(&mut self, time: u64) {
            self.now.mono += time;
            self.now.wall += time;
        }
    }

    fn talk() -> Talk {
        Talk { pace: Pace::default(), last: 0, now: Now { mono: 5, wall: NOON } }
    }

    #[test]
    fn a_millisecond_a_message_and_a_second_to_spare() {
        let mut talk = talk();
        let burst = (0..2_000).filter_map(|_| talk.say()).count() as u64;
        assert_eq!((burst, talk.last), (AHEAD + 1, NOON + AHEAD));
        talk.pass(10);
        assert_eq!((0..20).filter_map(|_| talk.say()).count(), 10);
        talk.pass(HOUR);
        assert_eq!(talk.say(), Some(NOON + 10 + HOUR), "it has caught up");
    }

    #[test]
    fn a_clock_that_was_set_back_stops_nobody() {
        let mut talk = talk();
        talk.say();
        for _ in 0..3 {
            talk.pass(60_000);
            talk.now.wall -= 5 * HOUR;
            for second in 0..100 {
                talk.pass(1_000);
                for _ in 0..50 {
                    assert!(talk.say().is_some(), "{second}");
                }
            }
        }
        talk.pass(16 * HOUR);
        assert_eq!(talk.say(), Some(talk.now.wall), "the clock has come again");
    }

    #[test]
    fn a_conversation_that_was_stored_by_a_clock_ahead_is_written_to() {
        let now = Now { mono: 7, wall: NOON };
        let mut talk = Talk { pace: Pace::from(NOON + 99 * HOUR, now), last: NOON + 99 * HOUR, now };
        assert_eq!(talk.say(), Some(NOON + 99 * HOUR + 1));
        assert_eq!((0..2_000).filter_map(|_| talk.say()).count() as u64, AHEAD - 1, "at a pace");
    }
}
