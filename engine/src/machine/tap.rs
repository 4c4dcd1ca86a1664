//! Taps: whoever listens is told of every session that opens or closes.
//!
//! The events of a realm are numbered per shard without a gap; who misses one sees it. Nothing is kept for a listener
//! that has no room.

use std::collections::BTreeMap;
use std::sync::Arc;

use schema::event::TapEvent;
use schema::presence::SessionInfo;
use schema::{CloseReason, Event, Realm, ShardId};

use super::message::{Message, State};
use super::peers::Dirty;
use super::sessions::Session;
use super::{Machine, Output};

/// Listening sessions of one shard.
const LISTENERS: usize = 64;

/// Who listens here, and the numbers of this shard's taps.
#[derive(Default)]
pub(super) struct Taps {
    listeners: Vec<(u32, Realm)>,
    /// One for each realm, and realms are few.
    numbers: BTreeMap<Realm, u64>,
}

impl Taps {
    pub(super) fn listeners(&self) -> usize {
        self.listeners.len()
    }
}

impl Machine {
    /// A session has opened, or is about to close.
    pub(super) fn tap(&mut self, slot: u32, session: SessionInfo, closed: Option<CloseReason>) {
        let owner = self.sessions.get(slot).map(Session::owner);
        let Some(user) = owner.and_then(|owner| self.owner_key(owner)) else { return };
        let number = self.taps.numbers.entry(user.realm).or_default();
        *number += 1;
        let tap = Arc::new(TapEvent { seq: *number, user, session, at: self.wall(), closed });
        self.counters.taps += 1;
        self.tell_listeners(&tap);
        let peers = self.peers.iter().filter(|(_, peer)| peer.taps.1);
        let interested: Vec<ShardId> = peers.map(|(shard, _)| shard).collect();
        for shard in interested {
            if self.has_room(shard) {
                self.tell_shard(shard, Message::Tap(Arc::clone(&tap)));
            } else {
                self.counters.taps_dropped += 1;
            }
        }
        self.output(Output::Tap(tap));
    }

    /// Tells the listening sessions of the realm.
    pub(super) fn tell_listeners(&mut self, tap: &TapEvent) {
        let realm = tap.user.realm;
        if !self.taps.listeners.iter().any(|listener| listener.1 == realm) {
            return;
        }
        let event = Arc::new(Event::Tap(tap.clone()));
        for at in 0..self.taps.listeners.len() {
            let (slot, of) = self.taps.listeners[at];
            if of == realm {
                self.tell_session(slot, &event);
            }
        }
    }

    /// A session begins or ceases to listen; false when too many do.
    pub(super) fn listen_to_taps(&mut self, slot: u32, on: bool) -> bool {
        let listens = self.listening(slot).is_some_and(|listening| listening.taps);
        if listens == on {
            return true;
        }
        if on && self.taps.listeners.len() >= LISTENERS {
            return false;
        }
        let owner = self.sessions.get(slot).map(Session::owner);
        let Some(key) = owner.and_then(|owner| self.owner_key(owner)) else { return false };
        let before = self.taps.listeners.is_empty();
        if on {
            self.taps.listeners.push((slot, key.realm));
        } else {
            self.taps.listeners.retain(|listener| listener.0 != slot);
        }
        if let Some(listening) = self.sessions.listen(slot) {
            listening.taps = on;
        }
        self.sessions.slim(slot);
        if before != self.taps.listeners.is_empty() {
            for shard in (0..self.router.shards()).map(ShardId).filter(|&shard| shard != self.shard) {
                self.peers.push(shard, Dirty::Taps);
            }
        }
        true
    }

    /// What other shards are to be told.
    pub(super) fn taps_state(&mut self) -> State {
        State::TapInterest { revision: self.next_revision(), on: !self.taps.listeners.is_empty() }
    }
}
