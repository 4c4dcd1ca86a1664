//! What a machine holds, counted: for tests that want everything freed, and for metrics.

use super::Machine;
use crate::limits::relax::Relax;

/// Entries of every table and queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Sessions.
    pub sessions: u32,
    /// What only some of them have: lists, long addresses, refused commands.
    pub aside: usize,
    /// Owners of sessions who live on other shards, and services.
    pub guests: u32,
    /// Users whose home is here: online, watched, or not yet written.
    pub users: u32,
    /// Realms with somebody online.
    pub realms: usize,
    /// Users watched from here.
    pub watched: u32,
    /// Channels with subscribers here, or whose home is here.
    pub channels: u32,
    /// Commands that wait.
    pub gathers: u32,
    /// Timers, stale ones included.
    pub timers: u32,
    /// Ends of things of other shards that are remembered for a while.
    pub graves: usize,
    /// Things other shards are still to be told of.
    pub untold: usize,
    /// Rows the store does not have yet.
    pub unwritten: usize,
    /// Store requests under way, and last seens that wait for one.
    pub asked: usize,
    /// Sessions that listen to taps.
    pub taps: usize,
    /// Fan-outs and news under way.
    pub fanouts: usize,
    /// Conversations that are more than remembered: commands wait, or the store is asked.
    pub chats: usize,
    /// Outputs not polled.
    pub outputs: usize,
}

impl Machine {
    /// Counts what is held.
    #[must_use]
    pub fn census(&self) -> Census {
        Census {
            sessions: self.sessions.len(),
            aside: self.sessions.aside(),
            guests: self.guests.len(),
            users: self.users.len(),
            realms: self.rosters.len(),
            watched: self.watched.len(),
            channels: self.channels.len(),
            gathers: self.gathers.len(),
            timers: self.wheel.len(),
            graves: self.graves.len(),
            untold: self.peers.notes(),
            unwritten: self.store.unwritten(),
            asked: self.store.requests() + self.store.reading(),
            taps: self.taps.listeners(),
            fanouts: usize::from(!self.fanouts.is_empty()) + self.spreads.len(),
            chats: self.chats.busy(),
            outputs: self.outputs.len(),
        }
    }

    /// Bytes of the tables' and queues' memory, used or kept for later. What lies in a heap of its own beside an entry
    /// (a watch list, a channel's subscribers) is not in it: it goes with the entry.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let tables = self.sessions.bytes()
            + self.guests.bytes()
            + self.users.bytes()
            + self.watched.bytes()
            + self.channels.bytes()
            + self.gathers.bytes()
            + self.wheel.bytes();
        let queues = self.outputs.bytes()
            + self.inner.bytes()
            + self.spreads.bytes()
            + self.lookups.bytes()
            + self.fanouts.bytes()
            + self.peers.bytes();
        tables + queues + self.graves.bytes() + self.store.bytes()
    }

    /// True when nothing is held at all.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.census() == Census::default()
    }

    /// Rows the store does not have yet: a drained node may go when there are none.
    #[must_use]
    pub fn unwritten(&self) -> usize {
        self.store.unwritten()
    }
}
