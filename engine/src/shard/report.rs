//! What a shard tells of itself when asked: counters, depths, and how long its turns take.

use schema::ShardId;

use crate::io;
use crate::machine::Counters;

/// Buckets of [`Report::turns`]: bucket `n` counts turns of less than 2^n microseconds, the last one all others.
pub const TURN_BUCKETS: usize = 24;

/// How many of the slowest turns are kept.
pub const SLOWEST: usize = 8;

/// One slow turn, and what it was busy with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlowTurn {
    /// Wall clock at its end, milliseconds since the Unix epoch.
    pub at: u64,
    /// Microseconds from waking to having submitted.
    pub micros: u64,
    /// Of these: in the socket driver and the edges.
    pub io_micros: u64,
    /// Of these: for the inbox.
    pub inbox_micros: u64,
    /// Envelopes taken from the inbox.
    pub envelopes: u32,
    /// Receives handled.
    pub receives: u32,
}

/// The report of one shard. All counters only grow but where it is said.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Whose.
    pub shard: ShardId,
    /// `ring` or `epoll`.
    pub driver: &'static str,
    /// `thread` or `glommio`.
    pub host: &'static str,
    /// The driver's counters.
    pub io: io::Counters,
    /// The machine's counters.
    pub machine: Counters,
    /// Sessions now.
    pub sessions: u64,
    /// Users online now.
    pub online: u64,
    /// Conversations in memory now, and roughly their bytes.
    pub conversations: (u64, u64),
    /// Connections now, by edge number.
    pub connections: [u64; 8],
    /// Sockets refused because the connection table was full or the socket could not be adopted.
    pub sockets_refused: u64,
    /// Volatile events dropped for slow readers.
    pub events_dropped: u64,
    /// Connections closed as slow consumers.
    pub slow_closed: u64,
    /// Sends and publishes refused because memory was very short.
    pub pressure_refused: u64,
    /// Envelopes in the inbox now.
    pub inbox_depth: u64,
    /// Messages to other shards that wait for room now.
    pub backlog: u64,
    /// Turns so far.
    pub turn_count: u64,
    /// Microseconds of all turns together.
    pub turn_micros: u64,
    /// Turns by duration.
    pub turns: [u64; TURN_BUCKETS],
    /// The slowest turns so far, slowest first.
    pub slowest: [SlowTurn; SLOWEST],
}

impl Report {
    pub(super) fn turn(&mut self, turn: SlowTurn) {
        self.turn_count += 1;
        self.turn_micros += turn.micros;
        let bucket = (u64::BITS - turn.micros.leading_zeros()) as usize;
        self.turns[bucket.min(TURN_BUCKETS - 1)] += 1;
        if turn.micros > self.slowest[SLOWEST - 1].micros {
            let at = self.slowest.partition_point(|slow| slow.micros >= turn.micros);
            self.slowest[at..].rotate_right(1);
            self.slowest[at] = turn;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_slowest_turns_in_order() {
        let mut report = Report::default();
        for micros in [5, 1, 9, 3, 7, 2, 8, 4, 6, 10, 0] {
            report.turn(SlowTurn { micros, ..SlowTurn::default() });
        }
        assert_eq!(report.slowest.map(|turn| turn.micros), [10, 9, 8, 7, 6, 5, 4, 3]);
        assert_eq!(report.turn_count, 11);
        assert_eq!(report.turns[0], 1, "a turn of 0 µs is under 2^0");
        assert_eq!(report.turns[4], 3, "8 to 15 µs");
    }
}
