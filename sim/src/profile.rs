//! Which world a seed stands for: how many shards, how tight the inboxes, how bad the store, how small the limits;
//! and how long news may take in it.

use engine::limits::Limits;

use crate::luck::{Concern, Luck};
use crate::network::twisted;

/// Inboxes with fewer places are tight: now and then there is no room.
pub(crate) const TIGHT: u32 = 100;

/// How the store behaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StoreMood {
    /// It answers within a few milliseconds.
    Good,
    /// It takes up to some seconds.
    Slow,
    /// It fails often; what it answered as failed may have been done all the same.
    Failing,
}

/// How the store of conversations behaves. What it answers as failed has not happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShelfMood {
    /// It answers within a few milliseconds.
    Good,
    /// It takes up to some seconds.
    Slow,
    /// It fails often.
    Failing,
    /// It is well, and then fails altogether for a while.
    Outages,
}

/// Everything a seed decides at the start.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Machines of the node.
    pub shards: u16,
    /// Places for commands, events and state in each inbox.
    pub capacity: u32,
    /// Places for replies in each inbox.
    pub replies: u32,
    /// Longest way of a message, milliseconds.
    pub delay: u64,
    /// Longest time in which a shard gets no turn; 0: it never waits.
    pub stall: u64,
    /// State messages may come twice and overtake each other.
    pub twisted: bool,
    /// The store.
    pub store: StoreMood,
    /// The node crashes now and then.
    pub crashes: bool,
    /// The node is drained now and then.
    pub drains: bool,
    /// The wall clock jumps now and then.
    pub jumps: bool,
    /// What the node's monotonic clock shows at its start.
    pub mono: u64,
    /// Limits of the machines.
    pub limits: Limits,
    /// Different users of a realm.
    pub users: u8,
    /// Different channels of a realm.
    pub channels: u8,
    /// Mean time between two things that people do, milliseconds.
    pub pace: u64,
    /// Sessions that people try to have.
    pub sessions: usize,
    /// People have conversations.
    pub chats: bool,
    /// The store of conversations.
    pub shelf: ShelfMood,
    /// A crash may lose any of what was being written, and not only the latest of a conversation.
    pub torn: bool,
}

impl Profile {
    /// The world of a seed, with this many shards if they are given.
    #[must_use]
    pub fn of(seed: u64, shards: Option<u16>) -> Self {
        let mut luck = Luck::new(seed, Concern::Profile);
        let shards = shards.unwrap_or([1, 2, 3, 7][(seed % 4) as usize]).max(1);
        let several = shards > 1;
        let capacity = if several { luck.pick(&[1, 1, 2, 8, 1_000, 1_000, 1_000]) } else { 1_000 };
        let tight = capacity < TIGHT;
        let delay = match (several, tight) {
            (false, _) => 0,
            (true, true) => luck.pick(&[0, 1, 3]),
            (true, false) => luck.pick(&[0, 5, 20, 60, 1_500]),
        };
        let stall = if several && !tight && luck.chance(250) { 80 } else { 0 };
        let store = luck.pick(&[StoreMood::Good, StoreMood::Good, StoreMood::Slow, StoreMood::Failing]);
        let mut limits = Self::limits(&mut luck);
        let mut own = Luck::new(seed, Concern::Chats);
        let chats = own.chance(500);
        let shelf = own.pick(&[
            ShelfMood::Good,
            ShelfMood::Good,
            ShelfMood::Slow,
            ShelfMood::Failing,
            ShelfMood::Outages,
        ]);
        let torn = own.chance(300);
        if chats {
            Self::chat_limits(&mut own, &mut limits);
        }
        Self {
            shards,
            capacity,
            replies: 10_000,
            delay,
            stall,
            twisted: several && luck.chance(300),
            store,
            crashes: luck.chance(400),
            drains: luck.chance(200),
            jumps: luck.chance(250),
            mono: luck.pick(&[0, 1_000, (1 << 31) - 40_000, (1 << 32) - 40_000, (1 << 32) - 100_000]),
            limits,
            users: luck.pick(&[3, 8, 20, 40]),
            channels: luck.pick(&[1, 3, 6]),
            pace: luck.pick(&[2, 10, 40, 200]),
            sessions: luck.pick(&[6, 25, 60]),
            chats,
            shelf,
            torn,
        }
    }

    fn chat_limits(luck: &mut Luck, limits: &mut Limits) {
        limits.members = luck.pick(&[3, 30_000, 30_000]);
        limits.receipt_members = luck.pick(&[2, 100, 100]);
        limits.singles = luck.pick(&[2, 4_096, 4_096]);
        limits.history_since_join = luck.chance(300);
        limits.content = luck.pick(&[40, 10_000]);
        limits.sends_kept = luck.pick(&[20_000, 24 * 3_600_000, 24 * 3_600_000]);
        limits.chat_list = luck.pick(&[3, 1_000, 1_000]);
        limits.chat_cache = luck.pick(&[1, 3_000, 64 << 20]);
        limits.chat_commands = luck.pick(&[4, 8_192, 8_192]);
        limits.chat_queue = luck.pick(&[2, 1_024, 1_024]);
        // Who has much to say may say it.
        limits.commands_per_second = luck.pick(&[20, 1_000, 1_000]);
        limits.commands_burst = luck.pick(&[60, 1_000, 1_000]);
        if luck.chance(400) {
            limits.retention = [0; 4].map(|_| luck.pick(&[0, 3_000, 20_000]));
            limits.retention_round = luck.pick(&[1_000, 4_000]);
        }
    }

    /// How much older than it is to be a message may become in a quiet time: the store is asked, and answers, and homes
    /// are told.
    #[must_use]
    pub fn forgetting_time(&self) -> u64 {
        2 * u64::from(self.limits.retention_round) + 2_000
    }

    /// Longest time until the store of conversations has answered.
    #[must_use]
    pub fn shelf_time(&self) -> u64 {
        match self.shelf {
            ShelfMood::Good | ShelfMood::Failing | ShelfMood::Outages => 20,
            ShelfMood::Slow => 1_500,
        }
    }

    fn limits(luck: &mut Luck) -> Limits {
        Limits {
            sessions: luck.pick(&[30, 1_000, 1_000]),
            devices_per_user: luck.pick(&[2, 4, 100, 100]),
            silence: luck.pick(&[1_500, 5_000, 20_000]),
            grace: luck.pick(&[0, 400, 2_000, 5_000, 5_000]),
            restart_grace: luck.pick(&[2_000, 10_000, 60_000]),
            away_after: luck.pick(&[0, 0, 0, 1_500, 6_000]),
            watch_list: luck.pick(&[4, 1_000]),
            watch_window: luck.pick(&[0, 100, 100, 100, 500]),
            channels_per_session: luck.pick(&[2, 128]),
            query_ids: luck.pick(&[12, 10_000]),
            payload: luck.pick(&[64, 65_536]),
            commands_per_second: luck.pick(&[3, 20, 1_000]),
            commands_burst: luck.pick(&[5, 60, 1_000]),
            gather_time: luck.pick(&[400, 2_000]),
            gathers: luck.pick(&[3, 4_096, 4_096]),
            flush_interval: luck.pick(&[200, 1_000, 5_000]),
            store_requests: luck.pick(&[1, 2, 8]),
            ..Limits::default()
        }
    }

    /// How long it may take until the home of a user or a channel knows what its hosts know.
    #[must_use]
    pub fn lag(&self) -> u64 {
        if self.shards == 1 {
            return self.stall;
        }
        // A sender without room looks again after some milliseconds, and may find the place taken again.
        let crowd = if self.capacity < TIGHT { 300 } else { 10 };
        let way = if self.twisted { twisted(self.delay, self.capacity < TIGHT) } else { self.delay };
        way + 2 * self.stall + crowd
    }

    /// How long it may then take until a watcher is told: the way, its window, and the patience for a last seen.
    #[must_use]
    pub fn sight(&self) -> u64 {
        self.lag() + u64::from(self.limits.watch_window) + 110
    }

    /// Longest time until the store has answered, when it does not fail.
    #[must_use]
    pub fn store_time(&self) -> u64 {
        match self.store {
            StoreMood::Good => 20,
            StoreMood::Slow | StoreMood::Failing => 3_000,
        }
    }

    /// True when the ways are as short and wide as in a node that is well: then the promises hold to the letter.
    #[must_use]
    pub fn is_brisk(&self) -> bool {
        self.delay <= 60 && self.stall <= 100
    }
}
