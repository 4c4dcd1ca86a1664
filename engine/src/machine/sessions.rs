//! The table of a shard's sessions: a small slot for each, and aside from the slots what only some sessions have.
//!
//! An idle session costs its slot and nothing else. Watch lists and channels, long addresses and the record of refused
//! commands lie aside, and go when the session goes. When it began and on what it runs is kept once, by its owner: in
//! the user's attachment, or with the guest.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schema::chat::ConversationId;
use schema::command::Edge;
use schema::{Id, SessionRef};

use super::address::{Address, Addresses};
use super::input::{ConnRef, Open};
use super::links::{Link, Marked};
use super::rate::{Bucket, Rate, Refusals, Verdict};
use super::slab::{Slab, Slotted};

/// Whose a session is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Owner {
    /// A user whose home is here: slot of the user.
    Here(u32),
    /// A user whose home is elsewhere: slot of the guest.
    There(u32),
    /// A service: slot of the guest. A service is no user: it has no presence and nothing is sent to it.
    Service(u32),
}

/// An [`Owner`] in four bytes, and whether the session follows its user's conversations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct PackedOwner(u32);

/// The highest slot that an owner may have.
pub(super) const OWNER_SLOT: u32 = (1 << 29) - 1;

/// The bit of a [`PackedOwner`] that says that the session follows conversations.
const FOLLOWS: u32 = 1 << 29;

impl From<Owner> for PackedOwner {
    fn from(owner: Owner) -> Self {
        Self(match owner {
            Owner::Here(slot) => slot,
            Owner::There(slot) => 1 << 30 | slot,
            Owner::Service(slot) => 2 << 30 | slot,
        })
    }
}

impl From<PackedOwner> for Owner {
    fn from(PackedOwner(packed): PackedOwner) -> Self {
        let slot = packed & OWNER_SLOT;
        match packed >> 30 {
            0 => Self::Here(slot),
            1 => Self::There(slot),
            _ => Self::Service(slot),
        }
    }
}

/// What some sessions have.
#[derive(Default)]
pub(super) struct Listening {
    /// Watched users; marked: there is news.
    pub(super) watches: Marked,
    /// Channels.
    pub(super) channels: Vec<Link>,
    /// When a presence frame is due, if one is.
    pub(super) frame_at: Option<u64>,
    /// Until then frames of changes wait for each other.
    pub(super) quiet_until: u64,
    /// Listens to taps.
    pub(super) taps: bool,
    /// Conversations in which its user types, or somebody a service types for.
    pub(super) typing: Vec<(ConversationId, Id)>,
}

impl Slotted for Listening {}

impl Listening {
    fn is_empty(&self) -> bool {
        self.watches.is_empty() && self.channels.is_empty() && !self.taps && self.typing.is_empty()
    }
}

/// One session.
pub(super) struct Session {
    pub(super) generation: u32,
    pub(super) conn: ConnRef,
    pub(super) mark: u32,
    owner: PackedOwner,
    /// Slot of its [`Listening`], or [`NOTHING`].
    listening: u32,
    /// Tick at which it was last heard of.
    pub(super) life: u32,
    pub(super) silence: u32,
    /// Second at which the token ends; `u32::MAX`: never.
    pub(super) expires: u32,
    bucket: Bucket,
    /// Tick of the timer that counts; 0: none.
    pub(super) armed: u32,
    peer: Address,
    pub(super) edge: Edge,
}

/// No slot has this number.
const NOTHING: u32 = u32::MAX;

impl Slotted for Session {
    fn generation(&self) -> u32 {
        self.generation
    }
}

impl Session {
    pub(super) fn owner(&self) -> Owner {
        self.owner.into()
    }

    /// Whether it hears of its user's conversations.
    pub(super) fn follows(&self) -> bool {
        self.owner.0 & FOLLOWS != 0
    }

    /// From now on it does, or no longer.
    pub(super) fn follow(&mut self, on: bool) {
        if on {
            self.owner.0 |= FOLLOWS;
        } else {
            self.owner.0 &= !FOLLOWS;
        }
    }

    /// How long nothing was heard of it.
    pub(super) fn unheard(&self, tick: u32) -> u32 {
        tick.wrapping_sub(self.life)
    }
}

/// The second at which a token is over.
pub(super) fn second(expires_at: u64) -> u32 {
    u32::try_from(expires_at.div_ceil(1_000)).unwrap_or(u32::MAX)
}

/// The table.
pub(super) struct Sessions {
    rate: Rate,
    slots: Slab<Session>,
    listening: Slab<Listening>,
    addresses: Addresses,
    /// By slot: those that had a command refused.
    refusals: BTreeMap<u32, Refusals>,
}

impl Sessions {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            slots: Slab::new(),
            listening: Slab::new(),
            addresses: Addresses::new(),
            refusals: BTreeMap::new(),
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.slots.len()
    }

    /// Entries of what lies aside.
    pub(super) fn aside(&self) -> usize {
        self.listening.len() as usize + self.addresses.len() as usize + self.refusals.len()
    }

    /// Bytes of the tables' memory.
    pub(super) fn bytes(&self) -> usize {
        self.slots.bytes() + self.listening.bytes() + self.addresses.bytes()
    }

    /// A new session, heard of now. `None`: the table is full.
    pub(super) fn insert(&mut self, open: &Open, owner: Owner, now: u64) -> Option<u32> {
        let peer = self.addresses.keep(open.peer)?;
        self.slots.insert(|generation| Session {
            generation,
            conn: open.conn,
            mark: open.mark,
            owner: owner.into(),
            listening: NOTHING,
            life: now as u32,
            silence: open.silence,
            expires: second(open.expires_at),
            bucket: Bucket::new(now, self.rate),
            armed: 0,
            peer,
            edge: open.edge,
        })
    }

    /// Takes a session out, with all it has.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Session> {
        let session = self.slots.remove(slot)?;
        if session.listening != NOTHING {
            self.listening.remove(session.listening);
        }
        self.addresses.forget(session.peer);
        if !self.refusals.is_empty() {
            self.refusals.remove(&slot);
        }
        Some(session)
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Session> {
        self.slots.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Session> {
        self.slots.get_mut(slot)
    }

    /// The slot of a session that is still there.
    pub(super) fn alive(&self, session: SessionRef) -> Option<u32> {
        let found = self.get(session.slot)?;
        (found.generation == session.generation).then_some(session.slot)
    }

    pub(super) fn seek(&self, slot: u32, budget: &mut usize) -> Option<super::slab::Seek> {
        self.slots.seek(slot, budget)
    }

    /// The other end of a session.
    pub(super) fn peer(&self, slot: u32) -> Option<SocketAddr> {
        self.addresses.read(self.get(slot)?.peer)
    }

    pub(super) fn listening(&self, slot: u32) -> Option<&Listening> {
        self.listening.get(self.get(slot)?.listening)
    }

    pub(super) fn listening_mut(&mut self, slot: u32) -> Option<&mut Listening> {
        self.listening.get_mut(self.slots.get(slot)?.listening)
    }

    /// The same for a session that begins to listen.
    pub(super) fn listen(&mut self, slot: u32) -> Option<&mut Listening> {
        let session = self.slots.get_mut(slot)?;
        if session.listening == NOTHING {
            session.listening = self.listening.insert(|_| Listening::default())?;
        }
        self.listening.get_mut(session.listening)
    }

    /// Gives a session's lists back when they are empty.
    pub(super) fn slim(&mut self, slot: u32) {
        if self.listening(slot).is_some_and(Listening::is_empty)
            && let Some(session) = self.slots.get_mut(slot)
        {
            self.listening.remove(std::mem::replace(&mut session.listening, NOTHING));
        }
    }

    /// To be called now and then: looks at what must not grow too old for a clock of 32 bits.
    pub(super) fn rest(&mut self, slot: u32, now: u64) {
        if let Some(session) = self.slots.get_mut(slot) {
            session.bucket.rest(now, self.rate);
        }
    }

    /// A session commands: is it too fast?
    pub(super) fn rate(&mut self, slot: u32, now: u64) -> Verdict {
        let Some(session) = self.slots.get_mut(slot) else { return Verdict::Pass };
        if session.bucket.take(now, self.rate) {
            return Verdict::Pass;
        }
        self.refusals.entry(slot).or_default().refused(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_small() {
        assert_eq!(size_of::<Session>(), 52);
        assert_eq!(super::super::slab::slot_bytes::<Session>(), 52);
    }

    #[test]
    fn owners_read_back() {
        for owner in [Owner::Here(0), Owner::There(OWNER_SLOT), Owner::Service(77)] {
            assert_eq!(Owner::from(PackedOwner::from(owner)), owner);
        }
    }
}
