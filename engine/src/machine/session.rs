//! The session host: sessions begin, live, and end.
//!
//! Hearing of a session is one store into its slot; the timer looks at the slot when it fires.

use schema::presence::SessionInfo;
use schema::{CloseReason, Device, Key, Refusal, SessionAddr, SessionRef};

use super::input::{Now, Open};
use super::peers::Dirty;
use super::sessions::{Listening, OWNER_SLOT, Owner, Session, second};
use super::slab::Slotted;
use super::timer::Timer;
use super::user::{Attachment, User};
use super::{Machine, Output};

/// A session's end costs as much as some deliveries: a tap, a close, a detach.
const END_COST: usize = 8;

/// A session's owner who does not live here.
pub(super) struct Guest {
    pub(super) key: Key,
    pub(super) device: Device,
    pub(super) since: u64,
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
        self.sessions.alive(session)
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
        let found = self.sessions.get(slot)?;
        let session = self.addr(SessionRef { slot, generation: found.generation });
        let (device, since) = match found.owner() {
            Owner::Here(user) => {
                let attachment = self.users.get(user)?.attachment(session)?;
                (attachment.device, attachment.since())
            }
            Owner::There(guest) | Owner::Service(guest) => {
                self.guests.get(guest).map(|guest| (guest.device, guest.since))?
            }
        };
        Some(SessionInfo { session, peer: self.sessions.peer(slot)?, device, edge: found.edge, since })
    }

    /// A session wants to begin.
    pub(super) fn open(&mut self, open: Open) {
        let (conn, mark) = (open.conn, open.mark);
        match self.admit(&open) {
            Ok(slot) => {
                let session = self.session_ref(slot).map(|session| self.addr(session));
                self.counters.opened(open.edge);
                self.output(Output::Opened { conn, mark, session: session.ok_or(Refusal::Busy) });
                self.arm_session(slot);
                let (device, since) = (open.device, self.wall());
                if let (Some(session), Some(peer)) = (session, self.sessions.peer(slot)) {
                    self.tap(slot, SessionInfo { session, peer, device, edge: open.edge, since }, None);
                }
                self.attach_session(slot, device, since);
            }
            Err(refusal) => {
                self.counters.refused(refusal);
                self.output(Output::Opened { conn, mark, session: Err(refusal) });
            }
        }
    }

    fn admit(&mut self, open: &Open) -> Result<u32, Refusal> {
        if self.drain.is_on() {
            return Err(Refusal::Draining);
        }
        if self.sessions.len() >= self.limits.sessions.min(OWNER_SLOT) {
            return Err(Refusal::Busy);
        }
        let owner = self.admit_owner(open)?;
        self.sessions.insert(open, owner, self.now.mono).ok_or(Refusal::Busy)
    }

    fn admit_owner(&mut self, open: &Open) -> Result<Owner, Refusal> {
        let key = &open.actor.key;
        let (device, since) = (open.device, self.wall());
        let guest = |link| Guest { key: key.clone(), device, since, link };
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

    fn attach_session(&mut self, slot: u32, device: Device, since: u64) {
        let Some(session) = self.sessions.get(slot) else { return };
        let addr = self.addr(SessionRef { slot, generation: session.generation });
        match session.owner() {
            Owner::Here(user) => {
                let attachment = Attachment::new(addr, device, since);
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

    /// A session lives on under a newer token.
    pub(super) fn renew(&mut self, session: SessionRef, expires_at: u64) {
        let Some(slot) = self.alive(session) else { return };
        if let Some(found) = self.sessions.get_mut(slot) {
            found.expires = second(expires_at);
        }
        self.arm_session(slot);
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
                self.sessions.rest(slot, self.now.mono);
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
            session.armed = self.wheel.set(self.now.mono, Timer::Session(slot), deadline) as u32;
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
        self.stop_typing(slot);
        self.unlisten(slot);
        if let Some(info) = self.session_info(slot) {
            self.tap(slot, info, Some(reason));
        }
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
        self.sessions.listening(slot)
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
