//! What people do, drawn by luck: they come, stay, leave, vanish, watch, talk; operators kick, drain and pull plugs.

use crate::chatter::ChatDeed;
use crate::luck::{Concern, Luck};
use crate::operation::{Caller, Deed, Operation};
use crate::profile::Profile;

/// Draws operations for one world.
#[derive(Debug)]
pub struct Workload {
    luck: Luck,
    /// People have conversations.
    chats: Option<Luck>,
    pace: u64,
    sessions: usize,
    jumps: bool,
    crashes: bool,
    drains: bool,
    stalls: bool,
}

impl Workload {
    /// The workload of a seed.
    #[must_use]
    pub fn new(seed: u64, profile: &Profile) -> Self {
        Self {
            luck: Luck::new(seed, Concern::Workload),
            chats: profile.chats.then(|| Luck::new(!seed, Concern::Chats)),
            pace: profile.pace,
            sessions: profile.sessions,
            jumps: profile.jumps,
            crashes: profile.crashes,
            drains: profile.drains,
            stalls: profile.stall > 0,
        }
    }

    /// Milliseconds until the next operation. Often several come at once, and sometimes there is a pause.
    pub fn pause(&mut self) -> u64 {
        match self.luck.below(100) {
            0..=39 => 0,
            40..=98 => self.luck.between(0, self.pace * 2),
            _ => self.luck.between(0, 6_000),
        }
    }

    /// The next operation, while so many sessions are open.
    pub fn next(&mut self, open: usize) -> Operation {
        let luck = &mut self.luck;
        let session = luck.bits() as u16;
        let eager = if open < self.sessions { 160 } else { 20 };
        match luck.below(1_000) {
            at if at < eager => self.connect(),
            at if at < eager + 70 => Operation::Disconnect { session, reason: luck.byte() },
            at if at < eager + 90 => Operation::Vanish { session },
            at if at < eager + 120 => Operation::Stale { session, what: luck.byte() },
            at if at < eager + 123 && self.jumps => {
                let farthest = luck.pick(&[2_000, 60_000, 3_000_000, 10_000_000]);
                Operation::Jump { by: luck.below(farthest * 2) as i32 - farthest as i32 }
            }
            at if at < eager + 140 && self.stalls => Operation::Stall { shard: luck.byte() },
            at if at < eager + 141 && self.crashes => {
                Operation::Crash { down: luck.pick(&[0, 5, 500, 20_000]) }
            }
            at if at < eager + 142 && self.drains => Operation::Drain { over: luck.pick(&[0, 300, 3_000]) },
            _ => self.command(),
        }
    }

    fn connect(&mut self) -> Operation {
        let luck = &mut self.luck;
        Operation::Connect {
            user: luck.byte(),
            other_realm: luck.chance(150),
            service: luck.chance(120),
            away: if luck.chance(500) { luck.byte() } else { 0 },
            device: luck.byte(),
            no_silence: luck.chance(100),
            life: if luck.chance(100) { luck.between(1, 255) as u8 } else { 0 },
        }
    }

    fn command(&mut self) -> Operation {
        let chat = self.chats.as_mut().and_then(|luck| luck.chance(700).then(|| ChatDeed::draw(luck)));
        let luck = &mut self.luck;
        let caller = if luck.chance(150) {
            Caller::Front { shard: luck.byte(), user: luck.byte(), service: luck.chance(600) }
        } else {
            Caller::Session(luck.bits() as u16)
        };
        if let Some(deed) = chat {
            return Operation::Command { caller, deed: Deed::Chat(deed) };
        }
        let (user, channel) = (luck.byte(), luck.byte());
        let (first, count) = (luck.byte(), luck.pick(&[1, 1, 2, 3, 5, 20]));
        let size = if luck.chance(30) { 255 } else { luck.below(60) as u8 };
        let except_self = luck.chance(300);
        let deed = match luck.below(100) {
            0..=11 => Deed::Activity,
            12..=24 => Deed::Watch { first, count },
            25..=29 => Deed::Unwatch { first, count },
            30..=37 => Deed::Query { first, count },
            38..=42 => Deed::Count,
            43..=46 => Deed::List { limit: luck.pick(&[0, 1, 3, 10, 255]) },
            47..=50 => Deed::Sessions { user },
            51..=65 => Deed::Send { user, size, except_self },
            66..=74 => Deed::Subscribe { channel },
            75..=77 => Deed::Unsubscribe { channel },
            78..=90 => Deed::Publish { channel, size, except_self },
            91..=93 => Deed::Occupancy { channel },
            94..=95 => Deed::KickUser { user },
            96..=97 => Deed::KickSession { session: luck.bits() as u16 },
            _ => Deed::Tap { on: luck.chance(700) },
        };
        Operation::Command { caller, deed }
    }
}
