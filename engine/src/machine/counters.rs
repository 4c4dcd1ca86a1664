//! What a machine counts. Plain numbers; the driver copies them out for metrics.

use schema::chat::ChatCommand;
use schema::command::Edge;
use schema::{CloseReason, Command, Refusal};

/// Everything counted since the start, but for [`Counters::sessions`], which is of now. The arrays are indexed by
/// the number of the enum named.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Sessions now, by [`Edge`].
    pub sessions: [u64; Edge::ALL.len() + 1],
    /// Sessions opened.
    pub opened: u64,
    /// Sessions closed, by [`CloseReason`].
    pub closed: [u64; CloseReason::ALL.len() + 1],
    /// Commands, by [`Command::index`].
    pub commands: [u64; Command::NAMES.len()],
    /// Commands about conversations, by [`ChatCommand::index`].
    pub chats: [u64; ChatCommand::NAMES.len()],
    /// Requests of conversations to the store that failed.
    pub chats_failed: u64,
    /// Refusals, by [`Refusal`].
    pub refusals: [u64; Refusal::ALL.len() + 1],
    /// Online events of users whose home is here.
    pub came_online: u64,
    /// Offline events of users whose home is here.
    pub went_offline: u64,
    /// Payloads of sends given to sessions here.
    pub messages: u64,
    /// Payloads of publishes given to sessions here.
    pub published: u64,
    /// Publishes dropped because too many fan-outs were under way.
    pub publishes_dropped: u64,
    /// Presence frames given to watching sessions here.
    pub presence_frames: u64,
    /// Users in these frames.
    pub presence_rows: u64,
    /// Sessions opened and closed that listeners here and elsewhere were told of.
    pub taps: u64,
    /// The same, not told because the other shard had no room.
    pub taps_dropped: u64,
    /// Keys of state told to other shards.
    pub states: u64,
    /// Timers that fired, stale ones included.
    pub timers: u64,
    /// Answers that came without everything asked, because somebody was late.
    pub late: u64,
    /// Rows the store has written.
    pub rows_written: u64,
    /// Last seens the store has read.
    pub rows_read: u64,
    /// Store requests that failed.
    pub store_failures: u64,
}

impl Counters {
    pub(super) fn refused(&mut self, refusal: Refusal) {
        self.refusals[refusal as usize] += 1;
    }

    pub(super) fn opened(&mut self, edge: Edge) {
        self.opened += 1;
        self.sessions[edge as usize] += 1;
    }

    pub(super) fn closed(&mut self, edge: Edge, reason: CloseReason) {
        self.closed[reason as usize] += 1;
        self.sessions[edge as usize] -= 1;
    }
}
