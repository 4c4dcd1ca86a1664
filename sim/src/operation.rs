//! What can be done to a node, as plain data: the workload draws it by luck, a fuzzer writes it as bytes.
//!
//! Numbers are small and are taken modulo what there is, so that every operation means something in every world.

use crate::chatter::ChatDeed;

/// Who commands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Caller {
    /// An open session, by its place among all of them.
    Session(u16),
    /// The front door, at this shard, for this user or for a service.
    Front {
        /// Which shard's inbox the call comes to.
        shard: u8,
        /// Which user calls.
        user: u8,
        /// A service calls.
        service: bool,
    },
}

/// A command, by small numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "they are the commands of the schema")]
pub enum Deed {
    Activity,
    Watch { first: u8, count: u8 },
    Unwatch { first: u8, count: u8 },
    Query { first: u8, count: u8 },
    Count,
    List { limit: u8 },
    Sessions { user: u8 },
    Send { user: u8, size: u8, except_self: bool },
    Subscribe { channel: u8 },
    Unsubscribe { channel: u8 },
    Publish { channel: u8, size: u8, except_self: bool },
    Occupancy { channel: u8 },
    KickUser { user: u8 },
    KickSession { session: u16 },
    Tap { on: bool },
    Chat(ChatDeed),
}

impl Deed {
    /// Who has something to say often has more of it.
    pub(crate) fn in_a_row(self) -> impl Iterator<Item = Self> {
        let more = match self {
            Self::Chat(deed) if deed.is_send() => deed.acting % 6,
            _ => 0,
        };
        (0..=more).map(move |n| match self {
            Self::Chat(deed) => Self::Chat(deed.next(n)),
            other => other,
        })
    }
}

/// One thing that happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// A session begins.
    Connect {
        /// Whose.
        user: u8,
        /// In the second realm.
        other_realm: bool,
        /// As a service.
        service: bool,
        /// How many shards away from the user's home.
        away: u8,
        /// What it runs on.
        device: u8,
        /// Liveness is somebody else's.
        no_silence: bool,
        /// Hundreds of milliseconds until its token ends; 0: it does not.
        life: u8,
    },
    /// A session's connection ends.
    Disconnect {
        /// Which session.
        session: u16,
        /// Why.
        reason: u8,
    },
    /// A session's link is lost, and nobody says so.
    Vanish {
        /// Which session.
        session: u16,
    },
    /// A session is heard of.
    Beat {
        /// Which session.
        session: u16,
    },
    /// Something is said of a session that is over already: a late word of its connection.
    Stale {
        /// Which of the latest that are over.
        session: u16,
        /// A beat, an end, or a command.
        what: u8,
    },
    /// Somebody commands.
    Command {
        /// Who.
        caller: Caller,
        /// What.
        deed: Deed,
    },
    /// The wall clock is set.
    Jump {
        /// Forward or back, milliseconds.
        by: i32,
    },
    /// A shard gets no turn for a while.
    Stall {
        /// Which shard.
        shard: u8,
    },
    /// The node dies and starts again.
    Crash {
        /// Milliseconds in between.
        down: u16,
    },
    /// The node is told to end, and starts again when it has.
    Drain {
        /// Milliseconds over which it sends its sessions away.
        over: u16,
    },
    /// Nothing happens for a while.
    Pass {
        /// Milliseconds.
        ms: u16,
    },
}

/// Reads operations from bytes; what is cut off is read as zeros.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of all these bytes.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        *first
    }

    /// The next two bytes.
    pub fn word(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    fn caller(&mut self) -> Caller {
        match self.byte() {
            byte @ 0..=199 => Caller::Session(byte.into()),
            byte => Caller::Front { shard: byte, user: self.byte(), service: byte % 2 == 0 },
        }
    }

    fn deed(&mut self) -> Deed {
        match self.byte() % 20 {
            0 => Deed::Activity,
            1 => Deed::Watch { first: self.byte(), count: self.byte() },
            2 => Deed::Unwatch { first: self.byte(), count: self.byte() },
            3 => Deed::Query { first: self.byte(), count: self.byte() },
            4 => Deed::Count,
            5 => Deed::List { limit: self.byte() },
            6 => Deed::Sessions { user: self.byte() },
            7 => Deed::Send { user: self.byte(), size: self.byte(), except_self: self.flag() },
            8 => Deed::Subscribe { channel: self.byte() },
            9 => Deed::Unsubscribe { channel: self.byte() },
            10 => Deed::Publish { channel: self.byte(), size: self.byte(), except_self: self.flag() },
            11 => Deed::Occupancy { channel: self.byte() },
            12 => Deed::KickUser { user: self.byte() },
            13 => Deed::KickSession { session: self.byte().into() },
            14 => Deed::Tap { on: self.flag() },
            _ => Deed::Chat(ChatDeed {
                what: self.byte() % 23,
                room: self.byte(),
                first: self.byte(),
                second: self.byte(),
                acting: self.byte(),
            }),
        }
    }

    /// The next operation; `None` at the end.
    pub fn operation(&mut self) -> Option<Operation> {
        if self.bytes.is_empty() {
            return None;
        }
        Some(match self.byte() % 16 {
            0..=3 => {
                let (user, bits) = (self.byte(), self.byte());
                Operation::Connect {
                    user,
                    other_realm: bits & 0x81 == 0x81,
                    service: bits & 0x0e == 0x0e,
                    away: bits >> 4,
                    device: bits,
                    no_silence: bits & 0x60 == 0x60,
                    life: if bits & 0x18 == 0x18 { self.byte() } else { 0 },
                }
            }
            4 => Operation::Disconnect { session: self.byte().into(), reason: self.byte() },
            5 => Operation::Vanish { session: self.byte().into() },
            6 => Operation::Beat { session: self.byte().into() },
            7 => Operation::Stale { session: self.byte().into(), what: self.byte() },
            8..=11 => Operation::Command { caller: self.caller(), deed: self.deed() },
            12 => Operation::Pass { ms: u16::from(self.byte()) },
            13 => Operation::Pass { ms: self.word() % 8_192 },
            14 => match self.byte() % 8 {
                0 => Operation::Jump { by: i32::from(self.word()) * 200 - 6_553_600 },
                1..=3 => Operation::Jump { by: i32::from(self.word()) - 32_768 },
                _ => Operation::Stall { shard: self.byte() },
            },
            _ => match self.byte() % 8 {
                0 => Operation::Drain { over: self.word() % 2_048 },
                1 => Operation::Crash { down: self.word() % 8_192 },
                _ => Operation::Pass { ms: u16::from(self.byte()) * 4 },
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_operations_and_end() {
        let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        let mut reader = Reader::new(&bytes);
        let mut count = 0;
        while reader.operation().is_some() {
            count += 1;
        }
        assert!(count > 1_000);
    }
}
