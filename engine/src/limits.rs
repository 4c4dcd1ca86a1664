//! Every maximum of the engine, in one place, checked together.
//!
//! The numbers that an operator may change come from the configuration and live in [`Limits`]; the constants are
//! what the code itself is built for.

pub(crate) mod relax;

/// Hash slots that all keys of a cluster fall into; the table slot → (node, shard) is the only thing that changes
/// when shards or nodes do.
pub const HASH_SLOTS: usize = 4_096;

/// Entries a paged table grows by: small enough that no turn pays for a million.
pub const PAGE: usize = 1_024;

/// Shards of one node: a shard's number has 16 bits, and its interest sets are vectors of them.
pub const SHARDS_MAX: usize = 1_024;

/// Rows of one list of online users.
pub const LIST_MAX: u32 = 1_000;

/// Users in one write to, or one read from, the store.
pub const STORE_BATCH: usize = 1_000;

/// Conversations in one read from the store.
pub const CHAT_BATCH: usize = 256;

/// What one stage of a turn may do before the next stage has its turn: timers, deliveries, journal rows.
pub const STAGE_BUDGET: usize = 4_096;

/// Deliveries of publishes, or of messages to members, in one turn. Each is a send of its own to the kernel, 7 µs over
/// loopback: so many are 2 ms, in which everybody else of the shard waits.
pub const DELIVERY_BUDGET: usize = 256;

/// The numbers of a machine; all times in milliseconds.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions of one shard.
    pub sessions: u32,
    /// Sessions of one user; one more closes the oldest.
    pub devices_per_user: u32,
    /// Silence after which a session is closed, by edge default; an edge may set its own per session.
    pub silence: u32,
    /// How long a user without sessions still counts as online.
    pub grace: u32,
    /// The same for users who were online when the server went down.
    pub restart_grace: u32,
    /// Online users without activity for this long are away; 0 is never.
    pub away_after: u32,
    /// Users in one session's watch list.
    pub watch_list: u32,
    /// Presence deltas go to a watcher at most once in this time; 0 sends each at once.
    pub watch_window: u32,
    /// Channels of one session.
    pub channels_per_session: u32,
    /// Ids in one query.
    pub query_ids: u32,
    /// Bytes of one payload.
    pub payload: u32,
    /// Commands per second and session, and how many may come at once. Services are not limited.
    pub commands_per_second: u32,
    /// See `commands_per_second`.
    pub commands_burst: u32,
    /// Longest time a command waits for other shards and the store before it is answered with what is known.
    pub gather_time: u32,
    /// Commands of one shard that wait for other shards or the store.
    pub gathers: u32,
    /// Time between two writes of last seen and the online journal.
    pub flush_interval: u32,
    /// Store requests of one shard under way.
    pub store_requests: u32,
    /// Members of one conversation.
    pub members: u32,
    /// Members up to which a conversation tells who has read what and who types.
    pub receipt_members: u32,
    /// Gaps between what one member has read one by one before everything has to be read at once.
    pub singles: u32,
    /// A new member of a group sees only what is said from then on.
    pub history_since_join: bool,
    /// Characters of a message.
    pub content: u32,
    /// Bytes of a conversation's name.
    pub name: u32,
    /// Bytes that an edge keeps with a conversation.
    pub extra: u32,
    /// How long the same client id of the same sender stands for the same message.
    pub sends_kept: u32,
    /// How long messages are kept, by the number of their conversation's kind less one; 0: for good.
    pub retention: [u64; 4],
    /// Time from one look for messages that are older to the next.
    pub retention_round: u32,
    /// Conversations of one list, and of one user that are looked at for it.
    pub chat_list: u32,
    /// See `chat_list`.
    pub chat_memberships: u32,
    /// Bytes of conversations that one shard keeps in memory.
    pub chat_cache: usize,
    /// Commands about conversations of one shard that wait for the store, and of one conversation.
    pub chat_commands: u32,
    /// See `chat_commands`.
    pub chat_queue: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions: 1 << 20,
            devices_per_user: 100,
            silence: 90_000,
            grace: 5_000,
            restart_grace: 60_000,
            away_after: 0,
            watch_list: 1_000,
            watch_window: 100,
            channels_per_session: 128,
            query_ids: 10_000,
            payload: 64 * 1024,
            commands_per_second: 20,
            commands_burst: 60,
            gather_time: 2_000,
            gathers: 4_096,
            flush_interval: 5_000,
            store_requests: 8,
            members: 30_000,
            receipt_members: 100,
            singles: 4_096,
            history_since_join: false,
            content: 10_000,
            name: 1_024,
            extra: 16 * 1024,
            sends_kept: 24 * 3_600_000,
            retention: [0; 4],
            retention_round: 600_000,
            chat_list: 1_000,
            chat_memberships: 10_000,
            chat_cache: 64 << 20,
            chat_commands: 8_192,
            chat_queue: 1_024,
        }
    }
}

const _: () = {
    assert!(HASH_SLOTS.is_power_of_two());
    assert!(PAGE.is_power_of_two());
    assert!(SHARDS_MAX <= HASH_SLOTS);
    assert!(SHARDS_MAX <= u16::MAX as usize);
    assert!(STORE_BATCH <= STAGE_BUDGET);
    assert!(LIST_MAX as usize <= STAGE_BUDGET);
};
