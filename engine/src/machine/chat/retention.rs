//! Messages that are older than their kind of conversation keeps them.
//!
//! The first shard looks, round after round, which conversations have some (the store goes through all, a bounded number
//! at a time), and tells their homes. A home forgets as it does everything else: as a command in the room's queue, which
//! writes how far ([`Horizon`](super::super::store::Horizon)) and then takes effect. So the home and the store agree at any
//! moment, whether the room is in memory or not; the rows go later, when the store has time. People's commands come first:
//! where half of the places are taken, what is to be forgotten waits at its home; and a round goes on when every home has
//! had room to be told.

use std::collections::VecDeque;

use schema::{Actor, Key, ShardId};

use super::super::gather::Whom;
use super::super::message::{Message, Question};
use super::super::store::{ChatAsk, ChatStored, Place};
use super::super::{Machine, ROOM_RETRY};
use super::Asked;
use super::room::Deed;

/// Conversations that are looked at in a go, and milliseconds from one go to the next.
const GO: (u32, u64) = (1_000, 100);

/// Conversations that may wait at their home for a place. What finds none is told again in the next round.
const WAITING: usize = 10 * GO.0 as usize;

/// How far a round has come.
#[derive(Default)]
pub(super) struct Round {
    /// When to go on, monotonic milliseconds.
    due: u64,
    after: Option<Place>,
    asked: bool,
    /// What the store has found and its homes have not been told yet, from before what time, and when to try again.
    untold: VecDeque<(Place, u64)>,
    retry: u64,
    /// Conversations of this home that wait for a place, and from before what time messages are to go.
    waiting: VecDeque<(Place, u64)>,
}

impl Machine {
    fn keeps_for_good(&self) -> bool {
        self.shard != ShardId(0) || self.limits.retention == [0; 4] || self.drain.is_on()
    }

    /// When there is something to look for.
    pub(in crate::machine) fn retention_wake(&self) -> Option<u64> {
        let round = &self.chats.round;
        if !round.waiting.is_empty() && self.has_place_for_upkeep() {
            return Some(self.now.mono);
        }
        let due = if round.untold.is_empty() { round.due } else { round.retry };
        (!round.asked && !self.keeps_for_good()).then_some(due)
    }

    /// Goes on with what waits for a place and with a round, or begins one, if it is time.
    pub(in crate::machine) fn advance_retention(&mut self) {
        self.forget_waiting();
        let now = self.now;
        if self.keeps_for_good() || self.chats.round.asked {
            return;
        }
        if !self.chats.round.untold.is_empty() && self.chats.round.retry <= now.mono {
            self.tell_homes();
        }
        if now.mono < self.chats.round.due || !self.chats.round.untold.is_empty() {
            return;
        }
        self.chats.round.asked = true;
        let before =
            self.limits.retention.map(|kept| if kept == 0 { 0 } else { now.wall.saturating_sub(kept) });
        let after = self.chats.round.after;
        self.ask_chats(ChatAsk::Aged { after, before: Box::new(before), limit: GO.0 }, Asked::Aged);
    }

    /// The store has looked.
    pub(super) fn aged(&mut self, stored: ChatStored) {
        let now = self.now.mono;
        let round = &mut self.chats.round;
        round.asked = false;
        let ChatStored::Aged { places, next } = stored else {
            // It fails: somewhat later.
            round.due = now + u64::from(self.limits.retention_round);
            return;
        };
        round.after = next;
        round.due = now + if next.is_some() { GO.1 } else { u64::from(self.limits.retention_round) };
        round.untold = places.into();
        self.tell_homes();
    }

    /// Tells the homes that have room for it.
    fn tell_homes(&mut self) {
        for _ in 0..self.chats.round.untold.len() {
            let Some((place, before)) = self.chats.round.untold.pop_front() else { break };
            let home = self.router.home_of(place.0, &place.1.id());
            if home == self.shard {
                self.forget_at_home(place, before);
            } else if self.has_room(home) {
                self.tell_shard(home, Message::Ask { ask: 0, question: Question::Forget { place, before } });
            } else {
                self.chats.round.untold.push_back((place, before));
            }
        }
        let round = &mut self.chats.round;
        if round.untold.is_empty() {
            round.untold = VecDeque::new();
        }
        round.retry = self.now.mono + ROOM_RETRY;
    }

    /// A conversation of this home has messages from before this time.
    pub(in crate::machine) fn forget_at_home(&mut self, place: Place, before: u64) {
        let waiting = &mut self.chats.round.waiting;
        if waiting.len() < WAITING {
            waiting.push_back((place, before));
        }
        self.forget_waiting();
    }

    /// Puts what is to be forgotten into its room's queue while there are places.
    fn forget_waiting(&mut self) {
        if self.drain.is_on() {
            (self.chats.round.waiting, self.chats.round.untold) = (VecDeque::new(), VecDeque::new());
        }
        while self.has_place_for_upkeep() {
            let Some((place, before)) = self.chats.round.waiting.pop_front() else { return };
            // Where it is not known it is loaded first.
            let Some((slot, new)) = self.room(place) else { return };
            if new {
                self.load(&[slot]);
            }
            let who = Actor { key: Key::new(place.0, place.1.id()), service: true };
            let whom = Whom::Shard { shard: self.shard, ask: 0 };
            self.queue(slot, whom, (who, None), Deed::Forget { before });
        }
    }
}
