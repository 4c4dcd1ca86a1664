//! The user home: sessions come and go, and one presence comes of it.
//!
//! The transitions are in [`super::user`]; here is what follows from them: the list of online users, the rows for the
//! store, the timers, and the word to whoever watches. A session's host and its user's home speak the same here,
//! whether they are one shard (a direct call) or two ([`State::Attached`], [`State::Detached`]).

use schema::{CloseReason, Device, Id, Key, LastSeen, Realm, SessionAddr, ShardId, Status};

use super::Machine;
use super::graves::{self, Grave};
use super::message::{Message, Question, State};
use super::peers::Dirty;
use super::table::HasKey;
use super::timer::Timer;
use super::user::{Attach, Attachment, Detach, Interest, NIL, Presence, Reading, Seen, Stay, User};

/// Users in memory for each session allowed: those in grace, those watched, those the store does not have yet.
const USERS_PER_SESSION: u32 = 4;

impl HasKey for User {
    fn key(&self) -> (Realm, &Id) {
        (self.realm, &self.id)
    }
}

impl Machine {
    /// Users kept before sessions of further ones are refused.
    pub(super) fn users_max(&self) -> u32 {
        self.limits.sessions.saturating_mul(USERS_PER_SESSION)
    }

    /// A session of another shard is attached, or has been active.
    pub(super) fn attached(
        &mut self,
        from: ShardId,
        session: SessionAddr,
        user: &Key,
        device: Device,
        since: u64,
        active_at: u64,
    ) {
        if self.is_foreign(session) || self.graves.is_over(&Grave::Session(session), 0) || from == self.shard
        {
            return;
        }
        if let Some(slot) = self.user(user.realm, &user.id) {
            self.attach(slot, Attachment::new(session, device, since), active_at);
        }
    }

    /// A session of another shard is over.
    pub(super) fn detached(
        &mut self,
        from: ShardId,
        session: SessionAddr,
        user: &Key,
        reason: CloseReason,
        at: u64,
    ) {
        let grave = Grave::Session(session);
        if self.is_foreign(session) || self.graves.is_over(&grave, 0) || from == self.shard {
            return;
        }
        self.graves.bury(self.now.mono, grave, 0);
        let Some(slot) = self.user(user.realm, &user.id) else { return };
        let attached = self.detach(slot, session, reason, at);
        let present = self.users.get(slot).is_some_and(|user| user.attachments().next().is_some());
        if !attached && !present {
            // It has come and gone before the home heard of it: the user is in grace all the same.
            self.attach(slot, Attachment::new(session, Device::default(), at), at);
            self.detach(slot, session, reason, at);
        }
    }

    /// A session of another start of the node: whatever is told of it is told too late.
    fn is_foreign(&self, session: SessionAddr) -> bool {
        session.incarnation != self.incarnation
    }

    fn user(&mut self, realm: Realm, id: &Id) -> Option<u32> {
        self.users.find_or_insert(realm, id, || User::new(realm, id.clone())).map(|(slot, _)| slot)
    }

    /// A session of this user begins, or is told again.
    pub(super) fn attach(&mut self, slot: u32, new: Attachment, active_at: u64) {
        let tick = self.tick();
        let Some(user) = self.users.get_mut(slot) else { return };
        let realm = user.realm;
        match user.attach(new) {
            Attach::CameOnline => {
                user.seen = user.seen.max(Seen::at(active_at));
                user.active = tick;
                self.rosters.entry(realm).or_default().insert(&mut self.users.slab, slot);
                self.online += 1;
                self.counters.came_online += 1;
                self.dirty_row(slot);
                self.arm_user(slot);
                self.notify(slot);
            }
            Attach::Known => self.was_active(slot, active_at),
            Attach::Returned => {
                self.see(slot, active_at);
                self.wake(slot);
            }
            Attach::Joined => {
                self.see(slot, active_at);
                self.wake(slot);
                self.evict(slot);
            }
        }
    }

    /// A session of this user ends; false when it was not attached. Who logs out is not waited for.
    pub(super) fn detach(&mut self, slot: u32, session: SessionAddr, reason: CloseReason, at: u64) -> bool {
        let grace = if reason == CloseReason::LoggedOut { 0 } else { self.limits.grace };
        let until = (self.now.mono + u64::from(grace)) as u32;
        let Some(user) = self.users.get_mut(slot) else { return false };
        let came_to = user.detach(session, until);
        self.see(slot, at);
        match came_to {
            Detach::Unknown => return false,
            Detach::Stays => {}
            Detach::Last if grace == 0 => self.go_offline(slot),
            Detach::Last => self.arm_user(slot),
        }
        true
    }

    /// The user was active at this time.
    pub(super) fn active(&mut self, slot: u32, at: u64) {
        self.see(slot, at);
        self.wake(slot);
    }

    /// The user was active at a wall time that may lie a while back: it was told late. It counts from then on, if
    /// nothing later is known. (Last seen is no measure for that: the end of a session moves it too.)
    fn was_active(&mut self, slot: u32, at: u64) {
        self.see(slot, at);
        // Nothing is told later than graves are kept: what seems to be comes from a shard whose clock was set back.
        let late = self.wall().saturating_sub(at);
        let late = if late > graves::KEEP { 0 } else { late as u32 };
        let tick = self.tick().wrapping_sub(late);
        let away_after = self.limits.away_after;
        let Some(user) = self.users.get_mut(slot) else { return };
        let newer = tick.wrapping_sub(user.active) as i32 > 0;
        if newer && (away_after == 0 || late < away_after) && user.wake(tick) {
            self.notify(slot);
        }
        self.arm_user(slot);
    }

    fn wake(&mut self, slot: u32) {
        let tick = self.tick();
        if self.users.get_mut(slot).is_some_and(|user| user.wake(tick)) {
            self.notify(slot);
        }
        self.arm_user(slot);
    }

    /// Moves last seen, if it is later than what is known. It never moves back.
    fn see(&mut self, slot: u32, at: u64) {
        let Some(user) = self.users.get_mut(slot) else { return };
        let seen = Seen::at(at);
        if seen <= user.seen {
            return;
        }
        if user.presence.is_online() && seen.second() != user.seen.second() {
            let roster = self.rosters.entry(user.realm).or_default();
            roster.remove(&mut self.users.slab, slot);
            if let Some(user) = self.users.get_mut(slot) {
                user.seen = seen;
            }
            roster.insert(&mut self.users.slab, slot);
        } else {
            user.seen = seen;
        }
        self.dirty_row(slot);
    }

    pub(super) fn go_offline(&mut self, slot: u32) {
        let Some(user) = self.users.get_mut(slot) else { return };
        user.leave();
        let realm = user.realm;
        if let Some(roster) = self.rosters.get_mut(&realm) {
            roster.remove(&mut self.users.slab, slot);
            if roster.is_empty() {
                self.rosters.remove(&realm);
            }
        }
        self.online -= 1;
        self.counters.went_offline += 1;
        self.dirty_row(slot);
        self.notify(slot);
    }

    /// A user who was online when the server went down counts as online for the restart grace.
    pub(super) fn restored(&mut self, key: &Key, last_seen: u64) {
        if self.router.home(key) != self.shard {
            return;
        }
        let Some(slot) = self.user(key.realm, &key.id) else { return };
        // Who has come and gone in this run is known better than the journal has it.
        let known = self.users.get(slot).is_some_and(|user| user.seen != Seen::UNKNOWN);
        self.see(slot, last_seen);
        let until = (self.now.mono + u64::from(self.limits.restart_grace)) as u32;
        let Some(user) = self.users.get_mut(slot) else { return };
        if user.presence == Presence::Offline && !known {
            user.presence = Presence::Grace { until, device: Device::default() };
            self.rosters.entry(key.realm).or_default().insert(&mut self.users.slab, slot);
            self.online += 1;
            self.dirty_row(slot);
            self.arm_user(slot);
            self.notify(slot);
        }
    }

    /// A user's timer has fired.
    pub(super) fn fire_user(&mut self, slot: u32, deadline: u64) {
        let (tick, mono) = (self.tick(), self.now.mono);
        let away_after = self.limits.away_after;
        let Some(user) = self.users.get_mut(slot) else { return };
        if user.armed != deadline as u32 {
            return;
        }
        user.armed = 0;
        match user.presence {
            Presence::Grace { until, .. } if reached(tick, until) => self.go_offline(slot),
            Presence::Present(_)
                if user.is_active() && away_after > 0 && tick.wrapping_sub(user.active) >= away_after =>
            {
                user.rest();
                self.notify(slot);
            }
            _ => {}
        }
        if self.users.get_mut(slot).is_some_and(|user| user.lose_patience(mono)) {
            self.notify(slot);
        }
        self.arm_user(slot);
    }

    /// Sets the user's timer, unless one that fires early enough is set.
    pub(super) fn arm_user(&mut self, slot: u32) {
        let (tick, now) = (self.tick(), self.now.mono);
        let away_after = self.limits.away_after;
        let Some(user) = self.users.get_mut(slot) else { return };
        let ahead = |until: u32| if reached(tick, until) { 0 } else { u64::from(until.wrapping_sub(tick)) };
        let state = match user.presence {
            Presence::Grace { until, .. } => now + ahead(until),
            Presence::Present(_) if away_after > 0 && user.is_active() => {
                now + ahead(user.active.wrapping_add(away_after))
            }
            Presence::Present(_) | Presence::Offline => u64::MAX,
        };
        let reading = match user.extra.as_ref().and_then(|extra| extra.reading) {
            Some(Reading::Patient(until)) => until,
            Some(Reading::Late) | None => u64::MAX,
        };
        let deadline = state.min(reading);
        if deadline != u64::MAX && (user.armed == 0 || !reached(deadline as u32, user.armed)) {
            user.armed = self.wheel.set(self.now.mono, Timer::User(slot), deadline) as u32;
        }
    }

    /// Ends the oldest sessions of a user who has too many.
    fn evict(&mut self, slot: u32) {
        let (limit, shard) = (self.limits.devices_per_user.max(1) as usize, self.shard);
        let Some(user) = self.users.get_mut(slot) else { return };
        let welcome = user.attachments().filter(|attachment| attachment.stay == Stay::Welcome).count();
        let (realm, owner) = (user.realm, user.id.clone());
        let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
        let unwanted = user.attachments_mut().filter(|attachment| attachment.stay == Stay::Welcome);
        for attachment in unwanted.take(welcome.saturating_sub(limit)) {
            let (host, session) = attachment.place();
            if host == shard {
                attachment.stay = Stay::Told;
                here.push(session);
            } else {
                attachment.stay = Stay::Unwanted;
                elsewhere.push(host);
            }
        }
        if !here.is_empty() {
            let reason = CloseReason::TooManyDevices;
            let question = Question::Disconnect { sessions: here, realm, owner: Some(owner), reason };
            self.tell_shard(shard, Message::Ask { ask: 0, question });
        }
        for host in elsewhere {
            self.peers.push(host, Dirty::Evict(slot));
        }
    }

    /// A user's status, as far as it is known: before the online journal has been read, somebody not in memory may
    /// be in restart grace.
    fn status(&self, user: &User) -> Status {
        match user.presence {
            Presence::Offline if user.seen == Seen::UNKNOWN && !self.store.journal_is_read() => {
                Status::Unknown
            }
            _ => user.status(),
        }
    }

    /// How a user of this home is, if that can be said without the store.
    pub(super) fn known(&self, realm: Realm, id: &Id) -> Option<(Status, LastSeen)> {
        let user = self.users.get(self.users.find(realm, id)?)?;
        (user.seen != Seen::UNKNOWN).then(|| (self.status(user), user.seen.told()))
    }

    /// Somebody on a shard watches a user of this home, or nobody there any more.
    pub(super) fn interest(&mut self, from: ShardId, key: &Key, revision: u64, on: bool) {
        let grave = || Grave::Interest(from, key.clone());
        if from != self.shard && self.graves.is_over(&grave(), revision) {
            return;
        }
        let slot = if on { self.user(key.realm, &key.id) } else { self.users.find(key.realm, &key.id) };
        let user = slot.and_then(|slot| self.users.get_mut(slot));
        let interest = user.map(|user| &mut user.extra.get_or_insert_default().interest);
        if let Some(interest) = interest {
            match (interest.iter().position(|entry| entry.shard == from), on) {
                (Some(at), _) if interest[at].revision >= revision => return,
                (Some(at), true) => interest[at].revision = revision,
                (None, true) => interest.push(Interest { shard: from, revision, dirty: false }),
                (Some(at), false) => {
                    interest.swap_remove(at);
                }
                (None, false) => {}
            }
        }
        if !on && from != self.shard {
            self.graves.bury(self.now.mono, grave(), revision);
        }
        let Some(slot) = slot else { return };
        if on {
            self.read_seen(slot);
            self.notify_shard(slot, from);
        } else {
            self.release(slot);
        }
    }

    /// Tells all shards that watch this user how it is now.
    pub(super) fn notify(&mut self, slot: u32) {
        let count = self.users.get(slot).map_or(0, |user| user.interest().len());
        for at in 0..count {
            let shard =
                self.users.get(slot).and_then(|user| user.interest().get(at)).map(|entry| entry.shard);
            if let Some(shard) = shard {
                self.notify_shard(slot, shard);
            }
        }
    }

    fn notify_shard(&mut self, slot: u32, shard: ShardId) {
        if shard == self.shard {
            if let Some((key, status, last_seen)) = self.telling(slot) {
                let revision = self.next_revision();
                self.told(key.realm, &key.id, revision, status, last_seen);
            }
            return;
        }
        let Some(extra) = self.users.get_mut(slot).and_then(|user| user.extra.as_mut()) else { return };
        if let Some(entry) = extra.interest.iter_mut().find(|entry| entry.shard == shard)
            && !std::mem::replace(&mut entry.dirty, true)
        {
            self.peers.push(shard, Dirty::Presence(slot));
        }
    }

    /// What watchers are told; `None` while they wait for last seen.
    fn telling(&self, slot: u32) -> Option<(Key, Status, LastSeen)> {
        let user = self.users.get(slot)?;
        let reading = user.extra.as_ref().and_then(|extra| extra.reading);
        if user.presence == Presence::Offline && matches!(reading, Some(Reading::Patient(_))) {
            return None;
        }
        Some((Key::new(user.realm, user.id.clone()), self.status(user), user.seen.told()))
    }

    /// The news of a user for a shard, if it is still to be told.
    pub(super) fn presence_state(&mut self, to: ShardId, slot: u32) -> Option<State> {
        let extra = self.users.get_mut(slot)?.extra.as_mut()?;
        let entry = extra.interest.iter_mut().find(|entry| entry.shard == to)?;
        if !std::mem::replace(&mut entry.dirty, false) {
            return None;
        }
        let (user, status, last_seen) = self.telling(slot)?;
        let revision = self.next_revision();
        Some(State::Presence { user, revision, status, last_seen })
    }

    /// Frees a user's record if nothing needs it.
    pub(super) fn release(&mut self, slot: u32) {
        let Some(user) = self.users.get_mut(slot) else { return };
        user.slim();
        if user.is_done() {
            debug_assert!(user.prev == NIL && user.next == NIL, "an offline user is in no list");
            self.users.remove(slot);
        }
    }
}

/// True when a tick is at or after another; they are never further apart than half their range.
fn reached(tick: u32, until: u32) -> bool {
    tick.wrapping_sub(until) < 1 << 31
}
