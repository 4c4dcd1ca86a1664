//! What the other shards are to be told, and how much room they have.
//!
//! State is not queued event by event. What has changed is noted once, by its slot; its value is read when the peer
//! has room. So a slow peer costs no more than one note for each thing, and hears the latest.

use std::collections::VecDeque;

use schema::{CloseReason, Key, ShardId};

use super::message::{Message, Question, State};
use super::session::Tie;
use super::user::Stay;
use super::{Machine, Output};
use crate::limits::relax::Relax;

/// Keys in one [`Message::State`].
const STATE_BATCH: usize = 512;

/// What a peer is to be told of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dirty {
    /// A session here of a user there.
    Guest(u32),
    /// Whether somebody here watches a user there.
    Interest(u32),
    /// How a user here is that somebody there watches.
    Presence(u32),
    /// How many here are subscribed to a channel there.
    Subscribers(u32),
    /// Sessions there that a user here has too many of.
    Evict(u32),
    /// Whether somebody here listens to taps.
    Taps,
}

/// One other shard.
#[derive(Default)]
pub(super) struct Peer {
    room: u32,
    dirty: VecDeque<Dirty>,
    taps_noted: bool,
    /// Somebody there listens to taps, since this revision.
    pub(super) taps: (u64, bool),
}

/// All other shards.
pub(super) struct Peers {
    list: Vec<Peer>,
    /// Whose turn it is.
    turn: usize,
    /// Notes in all.
    notes: usize,
}

impl Peers {
    pub(super) fn new(shards: u16) -> Self {
        Self { list: (0..shards).map(|_| Peer::default()).collect(), turn: 0, notes: 0 }
    }

    pub(super) fn set_room(&mut self, to: ShardId, messages: u32) {
        if let Some(peer) = self.list.get_mut(usize::from(to.0)) {
            peer.room = messages;
        }
    }

    pub(super) fn has_room(&self, to: ShardId) -> bool {
        self.list.get(usize::from(to.0)).is_some_and(|peer| peer.room > 0)
    }

    fn take_room(&mut self, to: ShardId) {
        if let Some(peer) = self.list.get_mut(usize::from(to.0)) {
            peer.room = peer.room.saturating_sub(1);
        }
    }

    /// Notes that something is to be told. Who notes takes care not to do it twice: the thing has a mark of its own.
    pub(super) fn push(&mut self, to: ShardId, dirty: Dirty) {
        if let Some(peer) = self.list.get_mut(usize::from(to.0)) {
            if dirty == Dirty::Taps && std::mem::replace(&mut peer.taps_noted, true) {
                return;
            }
            peer.dirty.push_back(dirty);
            self.notes += 1;
        }
    }

    /// Notes for one peer.
    pub(super) fn backlog(&self, to: ShardId) -> usize {
        self.list.get(usize::from(to.0)).map_or(0, |peer| peer.dirty.len())
    }

    pub(super) fn notes(&self) -> usize {
        self.notes
    }

    /// Bytes of the notes' memory.
    pub(super) fn bytes(&self) -> usize {
        self.list.iter().map(|peer| peer.dirty.bytes()).sum()
    }

    /// True when some peer has both notes and room.
    pub(super) fn can_tell(&self) -> bool {
        self.notes > 0 && self.list.iter().any(|peer| peer.room > 0 && !peer.dirty.is_empty())
    }

    fn pop(&mut self, to: ShardId) -> Option<Dirty> {
        let peer = self.list.get_mut(usize::from(to.0))?;
        let dirty = peer.dirty.pop_front()?;
        self.notes -= 1;
        if dirty == Dirty::Taps {
            peer.taps_noted = false;
        }
        peer.dirty.relax_wholly();
        Some(dirty)
    }

    fn front_is_eviction(&self, to: ShardId) -> bool {
        let front = self.list.get(usize::from(to.0)).and_then(|peer| peer.dirty.front());
        matches!(front, Some(Dirty::Evict(_)))
    }

    pub(super) fn get_mut(&mut self, of: ShardId) -> Option<&mut Peer> {
        self.list.get_mut(usize::from(of.0))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ShardId, &Peer)> {
        self.list.iter().enumerate().map(|(number, peer)| (ShardId(number as u16), peer))
    }
}

impl Machine {
    /// Tells a shard; this one, too.
    pub(super) fn tell_shard(&mut self, to: ShardId, message: Message) {
        if to == self.shard {
            self.inner.push_back(message);
        } else {
            self.peers.take_room(to);
            self.output(Output::Message { to, message });
        }
    }

    /// True when a command or an event for this shard will be taken.
    pub(super) fn has_room(&self, to: ShardId) -> bool {
        to == self.shard || self.peers.has_room(to)
    }

    /// Tells the peers what has changed, each in its turn.
    pub(super) fn advance_peers(&mut self, mut budget: usize) {
        let count = self.peers.list.len();
        let mut idle = 0;
        while self.peers.notes > 0 && budget > 0 && idle < count {
            let to = ShardId((self.peers.turn % count) as u16);
            self.peers.turn = (self.peers.turn + 1) % count;
            if self.peers.has_room(to) && self.peers.backlog(to) > 0 {
                idle = 0;
                self.tell_state(to, &mut budget);
            } else {
                idle += 1;
            }
        }
    }

    fn tell_state(&mut self, to: ShardId, budget: &mut usize) {
        let mut states = Vec::new();
        while states.len() < STATE_BATCH && *budget > 0 {
            // An eviction is a message of its own.
            if !states.is_empty() && self.peers.front_is_eviction(to) {
                break;
            }
            let Some(dirty) = self.peers.pop(to) else { break };
            *budget -= 1;
            match dirty {
                Dirty::Evict(user) => {
                    if let Some(question) = self.eviction(to, user) {
                        return self.tell_shard(to, Message::Ask { ask: 0, question });
                    }
                }
                Dirty::Guest(slot) => states.extend(self.guest_state(slot)),
                Dirty::Interest(slot) => states.extend(self.interest_state(slot)),
                Dirty::Presence(slot) => states.extend(self.presence_state(to, slot)),
                Dirty::Subscribers(slot) => states.extend(self.subscribers_state(slot)),
                Dirty::Taps => states.push(self.taps_state()),
            }
        }
        if !states.is_empty() {
            self.counters.states += states.len() as u64;
            self.tell_shard(to, Message::State(states));
        }
    }

    fn guest_state(&mut self, slot: u32) -> Option<State> {
        let guest = self.guests.get_mut(slot)?;
        match &mut guest.link {
            Tie::Service => None,
            Tie::Attached { slot, active_at, dirty } => {
                *dirty = false;
                let (own, active_at, user) = (*slot, *active_at, guest.key.clone());
                let (device, since) = (guest.device, guest.since);
                let session = self.addr(self.session_ref(own)?);
                Some(State::Attached { session, user, device, since, active_at })
            }
            Tie::Detached { session, reason, at } => {
                let (session, reason, at) = (*session, *reason, *at);
                let user = self.guests.remove(slot)?.key;
                Some(State::Detached { session, user, reason, at })
            }
        }
    }

    fn eviction(&mut self, to: ShardId, slot: u32) -> Option<Question> {
        let user = self.users.get_mut(slot)?;
        let mut sessions = Vec::new();
        for attachment in user.attachments_mut() {
            let (host, session) = attachment.place();
            if attachment.stay == Stay::Unwanted && host == to {
                attachment.stay = Stay::Told;
                sessions.push(session);
            }
        }
        let (realm, owner) = (user.realm, Some(user.id.clone()));
        let reason = CloseReason::TooManyDevices;
        (!sessions.is_empty()).then_some(Question::Disconnect { sessions, realm, owner, reason })
    }

    /// A number larger than all before: of two states of one key the one with the larger number is the later.
    pub(super) fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    /// Another shard tells of some keys.
    pub(super) fn state(&mut self, from: super::ShardId, state: State) {
        match state {
            State::Attached { session, user, device, since, active_at } => {
                self.attached(from, session, &user, device, since, active_at);
            }
            State::Detached { session, user, reason, at } => {
                self.detached(from, session, &user, reason, at);
            }
            State::Interest { user, revision, on } => self.interest(from, &user, revision, on),
            State::Presence { user: Key { realm, id }, revision, status, last_seen } => {
                self.told(realm, &id, revision, status, last_seen);
            }
            State::Subscribers { channel, revision, count } => {
                self.subscribers(from, &channel, revision, count);
            }
            State::TapInterest { revision, on } => {
                if let Some(peer) = self.peers.get_mut(from)
                    && revision > peer.taps.0
                {
                    peer.taps = (revision, on);
                }
            }
        }
    }
}
