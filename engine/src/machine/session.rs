//! The session host: sessions begin, live, and end.
//!
//! A session's slot is all that an idle one costs here; what only some have (watch list, channels) is boxed. Hearing
//! of a session is one store into its slot; the timer looks at the slot when it fires.

use schema::command::Edge;
use schema::presence::SessionInfo;
use schema::{CloseReason, Device, Key, Refusal, SessionAddr, SessionRef};

use super::address::Address;
use super::input::{ConnRef, Now, Open};
use super::links::{Link, Marked};
use super::peers::Dirty;
use super::rate::Bucket;
use super::slab::Slotted;
use super::timer::Timer;
use super::user::{Attachment, User};
use super::{Machine, Output};

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

/// An [`Owner`] in four bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct PackedOwner(u32);

const OWNER_SLOT: u32 = (1 << 30) - 1;

/// A session's end costs as much as some deliveries: a tap, a close, a detach.
const END_COST: usize = 8;

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
}

/// One session.
pub(super) struct Session {
    generation: u32,
    pub(super) conn: ConnRef,
    pub(super) mark: u32,
    owner: PackedOwner,
    since_low: u32,
    since_high: u16,
    peer: Address,
    device: Device,
    edge: Edge,
    /// Tick at which it was last heard of.
    life: u32,
    silence: u32,
    /// Second at which the token ends; `u32::MAX`: never.
    expires: u32,
    pub(super) bucket: Bucket,
    /// Tick of the timer that counts; 0: none.
    armed: u32,
    pub(super) listening: Option<Box<Listening>>,
}

impl Slotted for Session {
    fn generation(&self) -> u32 {
        self.generation
    }
}

impl Session {
    pub(super) fn owner(&self) -> Owner {
        self.owner.into()
    }

    pub(super) fn device(&self) -> Device {
        self.device
    }

    pub(super) fn since(&self) -> u64 {
        u64::from(self.since_high) << 32 | u64::from(self.since_low)
    }

    fn info(&self, session: SessionAddr) -> SessionInfo {
        let (peer, device, edge) = (self.peer.into(), self.device, self.edge);
        SessionInfo { session, peer, device, edge, since: self.since() }
    }

    /// How long nothing was heard of it.
    fn unheard(&self, tick: u32) -> u32 {
        tick.wrapping_sub(self.life)
    }
}

/// A session's owner who does not live here.
pub(super) struct Guest {
    pub(super) key: Key,
    pub(super) link: Tie,
}

impl Slotted for Guest {}

/// How the guest's home stands with it.
pub(super) enum Tie {
    /// It has no home.
    Service,
    /// The session is attached there, or will be when `dirty` is told.
    Attached { slot: u32, active_at: u64, dirty: bool },
    /// The session is over, and the home is still to be told.
    Detached { session: SessionAddr, reason: CloseReason, at: u64 },
}

impl Machine {
    /// A session's address, as others know it.
    pub(super) fn addr(&self, session: SessionRef) -> SessionAddr {
        SessionAddr { incarnation: self.incarnation, shard: self.shard, session }
    }

    /// The slot of a session that is still there.
    pub(super) fn alive(&self, session: SessionRef) -> Option<u32> {
        let found = self.sessions.get(session.slot)?;
        (found.generation == session.generation).then_some(session.slot)
    }

    pub(super) fn session_ref(&self, slot: u32) -> Option<SessionRef> {
        self.sessions.get(slot).map(|session| SessionRef { slot, generation: session.generation })
    }

    /// The owner's key.
    pub(super) fn owner_key(&self, owner: Owner) -> Option<Key> {
        match owner {
            Owner::Here(user) => self.users.get(user).map(|user| Key::new(user.realm, user.id.clone())),
            Owner::There(guest) | Owner::Service(guest) => {
                self.guests.get(guest).map(|guest| guest.key.clone())
            }
        }
    }

    pub(super) fn session_info(&self, slot: u32) -> Option<SessionInfo> {
        let session = self.sessions.get(slot)?;
        Some(session.info(self.addr(SessionRef { slot, generation: session.generation })))
    }

    /// A session wants to begin.
    pub(super) fn open(&mut self, open: Open) {
        let (conn, mark, edge) = (open.conn, open.mark, open.edge);
        match self.admit(open) {
            Ok(slot) => {
                let session = self.session_ref(slot).map(|session| self.addr(session));
                self.counters.opened(edge);
                self.output(Output::Opened { conn, mark, session: session.ok_or(Refusal::Busy) });
                self.arm_session(slot);
                self.tap(slot, None);
                self.attach_session(slot);
            }
            Err(refusal) => {
                self.counters.refused(refusal);
                self.output(Output::Opened { conn, mark, session: Err(refusal) });
            }
        }
    }

    fn admit(&mut self, open: Open) -> Result<u32, Refusal> {
        if self.drain.is_on() {
            return Err(Refusal::Draining);
        }
        if self.sessions.len() >= self.limits.sessions.min(OWNER_SLOT) {
            return Err(Refusal::Busy);
        }
        let owner = self.admit_owner(&open)?;
        let since = self.wall();
        let tick = self.tick();
        let expires = u32::try_from(open.expires_at.div_ceil(1_000)).unwrap_or(u32::MAX);
        let burst = self.limits.commands_burst;
        let slot = self.sessions.insert(|generation| Session {
            generation,
            conn: open.conn,
            mark: open.mark,
            owner: owner.into(),
            since_low: since as u32,
            since_high: (since >> 32) as u16,
            peer: open.peer.into(),
            device: open.device,
            edge: open.edge,
            life: tick,
            silence: open.silence,
            expires,
            bucket: Bucket::new(tick, burst),
            armed: 0,
            listening: None,
        });
        slot.ok_or(Refusal::Busy)
    }

    fn admit_owner(&mut self, open: &Open) -> Result<Owner, Refusal> {
        let key = &open.actor.key;
        let guest = |link| Guest { key: key.clone(), link };
        if open.actor.service {
            let slot = self.guests.insert(|_| guest(Tie::Service));
            return slot.map(Owner::Service).ok_or(Refusal::Busy);
        }
        let home = self.router.home(key);
        if home == self.shard {
            // Users who left are kept until the store has them; when it has failed for long, room is for those
            // who are known.
            let full = self.users.len() >= self.users_max();
            if full && self.users.find(key.realm, &key.id).is_none() {
                return Err(Refusal::Busy);
            }
            let user = || User::new(key.realm, key.id.clone());
            let slot = self.users.find_or_insert(key.realm, &key.id, user);
            return slot.map(|(slot, _)| Owner::Here(slot)).ok_or(Refusal::Busy);
        }
        if self.peers.backlog(home) >= self.limits.sessions as usize {
            return Err(Refusal::Busy);
        }
        let tie = Tie::Attached { slot: u32::MAX, active_at: self.wall(), dirty: true };
        let slot = self.guests.insert(|_| guest(tie)).ok_or(Refusal::Busy)?;
        self.peers.push(home, Dirty::Guest(slot));
        Ok(Owner::There(slot))
    }

    fn attach_session(&mut self, slot: u32) {
        let Some(session) = self.sessions.get(slot) else { return };
        let addr = self.addr(SessionRef { slot, generation: session.generation });
        match session.owner() {
            Owner::Here(user) => {
                let attachment = Attachment::new(addr, session.device, session.since());
                self.attach(user, attachment, self.wall());
            }
            Owner::There(guest) => {
                if let Some(Guest { link: Tie::Attached { slot: own, .. }, .. }) = self.guests.get_mut(guest)
                {
                    *own = slot;
                }
            }
            Owner::Service(_) => {}
        }
    }

    /// Any frame is life. One store into the slot.
    pub(super) fn heard(&mut self, now: Now, session: SessionRef) {
        if let Some(found) = self.sessions.get_mut(session.slot)
            && found.generation == session.generation
        {
            found.life = now.mono as u32;
        }
    }

    /// The user of this session did something.
    pub(super) fn activity(&mut self, slot: u32) {
        let wall = self.wall();
        match self.sessions.get(slot).map(Session::owner) {
            Some(Owner::Here(user)) => self.active(user, wall),
            Some(Owner::There(guest)) => {
                let Some(found) = self.guests.get_mut(guest) else { return };
                if let Tie::Attached { active_at, dirty, .. } = &mut found.link {
                    *active_at = wall.max(*active_at);
                    if !std::mem::replace(dirty, true) {
                        let home = self.router.home(&found.key);
                        self.peers.push(home, Dirty::Guest(guest));
                    }
                }
            }
            Some(Owner::Service(_)) | None => {}
        }
    }

    /// A session's timer has fired. Says what it cost beyond the looking.
    pub(super) fn fire_session(&mut self, slot: u32, deadline: u64) -> usize {
        let (tick, wall) = (self.tick(), self.now.wall);
        let Some(session) = self.sessions.get_mut(slot) else { return 0 };
        if session.armed != deadline as u32 {
            return 0;
        }
        session.armed = 0;
        let over = if session.expires != u32::MAX && wall >= u64::from(session.expires) * 1_000 {
            Some(CloseReason::TokenExpired)
        } else if session.silence > 0 && session.unheard(tick) >= session.silence {
            Some(CloseReason::Silent)
        } else {
            None
        };
        match over {
            Some(reason) => {
                let cost = self.cost_of_end(slot);
                self.end(slot, reason, Told::ByUs);
                cost
            }
            None => {
                self.arm_session(slot);
                0
            }
        }
    }

    /// What it costs to end a session, in steps of a stage's budget.
    pub(super) fn cost_of_end(&self, slot: u32) -> usize {
        let links = |listening: &Listening| listening.watches.len() as usize + listening.channels.len();
        END_COST + self.listening(slot).map_or(0, links)
    }

    fn arm_session(&mut self, slot: u32) {
        let (tick, now) = (self.tick(), self.now);
        let Some(session) = self.sessions.get_mut(slot) else { return };
        let silent = match session.silence {
            0 => u64::MAX,
            silence => now.mono + u64::from(silence.saturating_sub(session.unheard(tick))),
        };
        let expired = match session.expires {
            u32::MAX => u64::MAX,
            second => now.mono + (u64::from(second) * 1_000).saturating_sub(now.wall),
        };
        let deadline = silent.min(expired);
        if deadline != u64::MAX {
            session.armed = self.wheel.set(Timer::Session(slot), deadline) as u32;
        }
    }

    /// A session's connection is over.
    pub(super) fn closed(&mut self, session: SessionRef, reason: CloseReason) {
        if let Some(slot) = self.alive(session) {
            self.end(slot, reason, Told::ByDriver);
        }
    }

    /// A session ends: everything it has is given back, and its user's home hears of it.
    pub(super) fn end(&mut self, slot: u32, reason: CloseReason, told: Told) {
        self.unlisten(slot);
        self.tap(slot, Some(reason));
        let Some(session) = self.sessions.remove(slot) else { return };
        let (conn, mark) = (session.conn, session.mark);
        let gone = SessionRef { slot, generation: session.generation };
        self.counters.closed(session.edge, reason);
        if told == Told::ByUs {
            self.output(Output::Close { conn, mark, session: gone, reason });
        }
        let addr = self.addr(gone);
        // A link that was lost silently was alive until it was last heard of.
        let at = match reason {
            CloseReason::Silent => self.wall().saturating_sub(u64::from(session.unheard(self.tick()))),
            _ => self.wall(),
        };
        match session.owner() {
            Owner::Here(user) => {
                self.detach(user, addr, reason, at);
            }
            Owner::There(guest) => {
                let Some(found) = self.guests.get_mut(guest) else { return };
                let (queued, active_at) = match found.link {
                    Tie::Attached { dirty, active_at, .. } => (dirty, active_at),
                    Tie::Detached { .. } | Tie::Service => (true, 0),
                };
                found.link = Tie::Detached { session: addr, reason, at: at.max(active_at) };
                if !queued {
                    let home = self.router.home(&found.key);
                    self.peers.push(home, Dirty::Guest(guest));
                }
            }
            Owner::Service(guest) => {
                self.guests.remove(guest);
            }
        }
    }

    fn unlisten(&mut self, slot: u32) {
        while let Some(watches) = self.listening(slot).map(|listening| listening.watches.len()) {
            match watches {
                0 => break,
                count => self.unwatch_at(slot, count - 1),
            }
        }
        while let Some(channels) = self.listening(slot).map(|listening| listening.channels.len() as u32) {
            match channels {
                0 => break,
                count => self.unsubscribe_at(slot, count - 1),
            }
        }
        self.listen_to_taps(slot, false);
    }

    pub(super) fn listening(&self, slot: u32) -> Option<&Listening> {
        self.sessions.get(slot)?.listening.as_deref()
    }

    /// Gives a session's lists back when they are empty.
    pub(super) fn slim_session(&mut self, slot: u32) {
        if let Some(session) = self.sessions.get_mut(slot)
            && session.listening.as_ref().is_some_and(|listening| {
                listening.watches.is_empty() && listening.channels.is_empty() && !listening.taps
            })
        {
            session.listening = None;
        }
    }
}

/// Who tells the client that its session ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// The machine, with an output.
    ByUs,
    /// Nobody: the driver has told the machine.
    ByDriver,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_small() {
        assert_eq!(size_of::<Session>(), 88);
        assert_eq!(super::super::slab::slot_bytes::<Session>(), 88);
        assert!(size_of::<Guest>() <= 72);
    }

    #[test]
    fn owners_read_back() {
        for owner in [Owner::Here(0), Owner::There(OWNER_SLOT), Owner::Service(77)] {
            assert_eq!(Owner::from(PackedOwner::from(owner)), owner);
        }
    }
}
