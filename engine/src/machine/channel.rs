//! Channels: sessions subscribe at their host, hosts tell the channel's home how many they have, the home hands each
//! publish to the hosts that have any.
//!
//! A host gives publishes to its subscribers by a cursor, some thousands a turn. The publishes of one channel stand in
//! a queue, and those that wait together go together, so a later one never overtakes an earlier one; channels take turns.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use schema::{Event, Id, Key, Realm, Refusal, SessionAddr, SessionRef, ShardId};

use super::Machine;
use super::graves::Grave;
use super::links::{self, Link};
use super::message::{Message, State};
use super::peers::Dirty;
use super::slab::Slotted;
use super::table::HasKey;
use super::user::NIL;
use crate::limits::relax::Relax;

/// Fan-outs of one shard under way.
const FANOUTS: usize = 4_096;
/// Payload bytes they may hold.
const FANOUT_BYTES: usize = 16 << 20;
/// Publishes of one channel that go through its subscribers together.
const TOGETHER: usize = 32;
/// Deliveries of one channel before another has its turn.
const TURN: usize = 128;

/// A channel, as host and as home.
pub(super) struct Channel {
    key: Key,
    /// Subscribers here. While a fan-out is under way, who leaves leaves a hole, so that the others keep their places.
    subscribers: Vec<Link>,
    holes: Vec<u32>,
    fanouts: VecDeque<Fanout>,
    /// How many of the first fan-outs are going through the subscribers, and who is next.
    together: usize,
    next: u32,
    /// At the home: subscribers of other shards.
    elsewhere: Vec<Elsewhere>,
    /// The home is to be told how many are here.
    dirty: bool,
}

struct Elsewhere {
    shard: ShardId,
    count: u32,
    revision: u64,
}

/// A publish on its way to the subscribers here: to those before `end`, who were there when it came.
struct Fanout {
    event: Arc<Event>,
    except: Option<SessionRef>,
    bytes: usize,
    end: u32,
}

impl Slotted for Channel {}

impl HasKey for Channel {
    fn key(&self) -> (Realm, &Id) {
        (self.key.realm, &self.key.id)
    }
}

impl Channel {
    fn new(key: Key) -> Self {
        let (subscribers, holes) = (Vec::new(), Vec::new());
        let (fanouts, elsewhere) = (VecDeque::new(), Vec::new());
        Self { key, subscribers, holes, fanouts, together: 0, next: 0, elsewhere, dirty: false }
    }

    fn count(&self) -> u32 {
        (self.subscribers.len() - self.holes.len()) as u32
    }
}

/// All fan-outs of a shard.
#[derive(Default)]
pub(super) struct Fanouts {
    /// Channels that have some, by whose turn it is.
    turns: VecDeque<u32>,
    count: usize,
    bytes: usize,
}

impl Fanouts {
    /// Bytes of the queue of turns.
    pub(super) fn bytes(&self) -> usize {
        self.turns.bytes()
    }

    fn has_place(&self, bytes: usize) -> bool {
        self.count < FANOUTS && self.bytes + bytes <= FANOUT_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

fn payload_bytes(event: &Event) -> usize {
    match event {
        Event::Published { payload, .. } | Event::Message { payload, .. } => payload.len(),
        Event::Chat(..) | Event::Reply { .. } | Event::Presence(_) | Event::Tap(_) | Event::Closing(_) => 0,
    }
}

impl Machine {
    fn find_channel(&self, key: &Key) -> Option<u32> {
        self.channels.find(key.realm, &key.id)
    }

    fn subscribed(&self, slot: u32, channel: u32) -> Option<u32> {
        let channels = &self.listening(slot)?.channels;
        channels.iter().position(|link| link.to == channel).map(|at| at as u32)
    }

    /// Whether a session here is subscribed.
    pub(super) fn is_subscribed(&self, slot: u32, channel: &Key) -> bool {
        self.find_channel(channel).is_some_and(|channel| self.subscribed(slot, channel).is_some())
    }

    /// A session wants to hear what is published.
    pub(super) fn subscribe(&mut self, slot: u32, key: &Key) -> Result<(), Refusal> {
        if self.is_subscribed(slot, key) {
            return Ok(());
        }
        let have = self.listening(slot).map_or(0, |listening| listening.channels.len());
        if have >= self.limits.channels_per_session as usize {
            return Err(Refusal::LimitReached);
        }
        let channel = self.channels.find_or_insert(key.realm, &key.id, || Channel::new(key.clone()));
        let (to, _) = channel.ok_or(Refusal::Busy)?;
        let Some(channel) = self.channels.get_mut(to) else { return Err(Refusal::Busy) };
        let Some(listening) = self.sessions.listen(slot) else { return Err(Refusal::NotFound) };
        let channels = &mut listening.channels;
        let (at, back) = (channels.len() as u32, channel.subscribers.len() as u32);
        channels.push(Link { to, back });
        channel.subscribers.push(Link { to: slot, back: at });
        self.subscribers_changed(to);
        Ok(())
    }

    /// A session does not want to any more.
    pub(super) fn unsubscribe(&mut self, slot: u32, key: &Key) {
        let at = self.find_channel(key).and_then(|channel| self.subscribed(slot, channel));
        if let Some(at) = at {
            self.unsubscribe_at(slot, at);
        }
    }

    /// Takes the subscription at this place of a session's list out.
    pub(super) fn unsubscribe_at(&mut self, slot: u32, at: u32) {
        let channels = &mut self.channels;
        let listening = self.sessions.listening_mut(slot);
        let link = listening.and_then(|listening| {
            links::take(&mut listening.channels, at, |moved, at| {
                let other =
                    channels.get_mut(moved.to).and_then(|to| to.subscribers.get_mut(moved.back as usize));
                if let Some(link) = other {
                    link.back = at;
                }
            })
        });
        let Some(Link { to, back }) = link else { return };
        if let Some(channel) = self.channels.get_mut(to)
            && let Some(subscriber) = channel.subscribers.get_mut(back as usize)
        {
            subscriber.to = NIL;
            channel.holes.push(back);
        }
        self.close_holes(to);
        self.subscribers_changed(to);
        self.sessions.slim(slot);
    }

    /// Fills the places of those who have left, unless a fan-out is under way.
    fn close_holes(&mut self, slot: u32) {
        let Some(channel) = self.channels.get_mut(slot) else { return };
        if !channel.fanouts.is_empty() {
            return;
        }
        let mut holes = std::mem::take(&mut channel.holes);
        holes.sort_unstable();
        let sessions = &mut self.sessions;
        // From the last: what moves into a hole comes from behind it, where there are no holes left.
        for hole in holes.into_iter().rev() {
            links::take(&mut channel.subscribers, hole, |moved, back| {
                let listening = sessions.listening_mut(moved.to);
                if let Some(link) =
                    listening.and_then(|listening| listening.channels.get_mut(moved.back as usize))
                {
                    link.back = back;
                }
            });
        }
    }

    fn subscribers_changed(&mut self, slot: u32) {
        let Some(channel) = self.channels.get_mut(slot) else { return };
        let home = self.router.home(&channel.key);
        if home == self.shard {
            self.release_channel(slot);
        } else if !std::mem::replace(&mut channel.dirty, true) {
            self.peers.push(home, Dirty::Subscribers(slot));
        }
    }

    /// Frees a channel's record if nothing needs it.
    fn release_channel(&mut self, slot: u32) {
        let Some(channel) = self.channels.get(slot) else { return };
        let used = channel.count() > 0 || channel.dirty || !channel.fanouts.is_empty();
        if !used && channel.elsewhere.is_empty() {
            self.channels.remove(slot);
        }
    }

    /// What the home of a channel is to be told.
    pub(super) fn subscribers_state(&mut self, slot: u32) -> Option<State> {
        let state = self.subscribers_now(slot)?;
        self.channels.get_mut(slot)?.dirty = false;
        self.release_channel(slot);
        Some(state)
    }

    fn subscribers_now(&mut self, slot: u32) -> Option<State> {
        let revision = self.next_revision();
        let channel = self.channels.get(slot)?;
        Some(State::Subscribers { channel: channel.key.clone(), revision, count: channel.count() })
    }

    /// The same for channels of another home, before their turn comes.
    pub(super) fn subscribers_early(&mut self, channels: &[Key]) -> Vec<State> {
        let slots: Vec<u32> = channels.iter().filter_map(|key| self.find_channel(key)).collect();
        slots.into_iter().filter_map(|slot| self.subscribers_now(slot)).collect()
    }

    /// Another shard tells how many subscribers it has.
    pub(super) fn subscribers(&mut self, from: ShardId, key: &Key, revision: u64, count: u32) {
        let grave = || Grave::Subscribers(from, key.clone());
        if from == self.shard || self.graves.is_over(&grave(), revision) {
            return;
        }
        if count == 0 {
            let slot = self.find_channel(key);
            if let Some(channel) = slot.and_then(|slot| self.channels.get_mut(slot)) {
                if channel.elsewhere.iter().any(|other| other.shard == from && other.revision >= revision) {
                    return;
                }
                channel.elsewhere.retain(|other| other.shard != from);
            }
            self.graves.bury(self.now.mono, grave(), revision);
            if let Some(slot) = slot {
                self.release_channel(slot);
            }
            return;
        }
        let slot = self.channels.find_or_insert(key.realm, &key.id, || Channel::new(key.clone()));
        let Some(channel) = slot.and_then(|(slot, _)| self.channels.get_mut(slot)) else { return };
        match channel.elsewhere.iter_mut().find(|other| other.shard == from) {
            Some(other) if other.revision < revision => (other.count, other.revision) = (count, revision),
            Some(_) => {}
            None => channel.elsewhere.push(Elsewhere { shard: from, count, revision }),
        }
    }

    /// Subscribers of a channel of this home, on all shards.
    pub(super) fn occupancy(&self, channel: &Key) -> u64 {
        let channel = self.find_channel(channel).and_then(|slot| self.channels.get(slot));
        channel.map_or(0, |channel| {
            let elsewhere = channel.elsewhere.iter().map(|other| u64::from(other.count));
            u64::from(channel.count()) + elsewhere.sum::<u64>()
        })
    }

    /// Publishes on a channel of this home: to all its hosts, or to none.
    pub(super) fn publish(
        &mut self,
        key: &Key,
        event: Arc<Event>,
        except: Option<SessionAddr>,
    ) -> Result<u32, Refusal> {
        let Some(slot) = self.find_channel(key) else { return Ok(0) };
        let Some(channel) = self.channels.get(slot) else { return Ok(0) };
        let here = channel.count() > 0;
        if here && !self.fanouts.has_place(payload_bytes(&event)) {
            return Err(Refusal::Busy);
        }
        let hosts: Vec<ShardId> = channel.elsewhere.iter().map(|other| other.shard).collect();
        if !hosts.iter().all(|&host| self.has_room(host)) {
            return Err(Refusal::Busy);
        }
        let reached = self.occupancy(key).saturating_sub(u64::from(except.is_some()));
        for host in hosts {
            let (channel, event) = (key.clone(), Arc::clone(&event));
            self.tell_shard(host, Message::Publish { channel, event, except });
        }
        self.fan_out(slot, event, except);
        Ok(u32::try_from(reached).unwrap_or(u32::MAX))
    }

    /// The home of a channel has something for the subscribers here.
    pub(super) fn published(&mut self, key: &Key, event: Arc<Event>, except: Option<SessionAddr>) {
        let Some(slot) = self.find_channel(key) else { return };
        if self.fanouts.has_place(payload_bytes(&event)) {
            self.fan_out(slot, event, except);
        } else {
            self.counters.publishes_dropped += 1;
        }
    }

    fn fan_out(&mut self, slot: u32, event: Arc<Event>, except: Option<SessionAddr>) {
        let Some(channel) = self.channels.get_mut(slot) else { return };
        let end = channel.subscribers.len() as u32;
        if channel.count() == 0 {
            return;
        }
        let except = except.filter(|addr| addr.shard == self.shard).map(|addr| addr.session);
        let bytes = payload_bytes(&event);
        if channel.fanouts.is_empty() {
            self.fanouts.turns.push_back(slot);
        }
        channel.fanouts.push_back(Fanout { event, except, bytes, end });
        self.fanouts.count += 1;
        self.fanouts.bytes += bytes;
    }

    /// Gives publishes to their subscribers.
    pub(super) fn advance_fanouts(&mut self, mut budget: usize) {
        while budget > 0 {
            let Some(&slot) = self.fanouts.turns.front() else { break };
            self.fanouts.turns.pop_front();
            let turn = budget.min(TURN);
            if self.fan_out_turn(slot, turn) {
                self.close_holes(slot);
                self.release_channel(slot);
            } else {
                self.fanouts.turns.push_back(slot);
            }
            budget -= turn;
        }
        self.fanouts.turns.relax_wholly();
    }

    /// One channel's turn; true when nothing is left to give.
    ///
    /// What waits when a pass begins goes through the subscribers together, some of them at a time and message by
    /// message: a subscriber then has several messages in one turn, and they leave in one send.
    fn fan_out_turn(&mut self, slot: u32, mut budget: usize) -> bool {
        while let Some(channel) = self.channels.get_mut(slot) {
            if channel.together == 0 {
                channel.together = channel.fanouts.len().min(TOGETHER);
                channel.next = 0;
            }
            let together = channel.together;
            // Subscribers are only added while fan-outs are under way, so the last one goes furthest.
            let Some(last) = together.checked_sub(1).and_then(|last| channel.fanouts.get(last)) else {
                return true;
            };
            if channel.next >= last.end {
                for fanout in channel.fanouts.drain(..together) {
                    self.fanouts.count -= 1;
                    self.fanouts.bytes -= fanout.bytes;
                }
                channel.together = 0;
                continue;
            }
            if budget == 0 {
                return false;
            }
            let first = channel.next;
            // What leaves in one send costs little more than one message: the send is what takes the time.
            let each = 1 + together / 8;
            let some = u32::try_from(budget / each).unwrap_or(u32::MAX).max(1);
            channel.next = last.end.min(first.saturating_add(some));
            let next = channel.next;
            budget = budget.saturating_sub((next - first) as usize * each);
            for place in 0..together {
                self.give(slot, place, first..next);
            }
        }
        true
    }

    /// Gives one publish to some of its subscribers.
    fn give(&mut self, slot: u32, place: usize, some: Range<u32>) {
        let Some(fanout) = self.channels.get(slot).and_then(|channel| channel.fanouts.get(place)) else {
            return;
        };
        let (event, except, end) = (Arc::clone(&fanout.event), fanout.except, fanout.end);
        for at in some.start..some.end.min(end) {
            let subscribers = self.channels.get(slot).map(|channel| &channel.subscribers);
            let to = subscribers.and_then(|links| links.get(at as usize)).map_or(NIL, |link| link.to);
            let left_out = except.filter(|except| except.slot == to);
            if to == NIL || left_out.is_some_and(|except| self.alive(except).is_some()) {
                continue;
            }
            if self.hears(to, &event) {
                self.counters.published += 1;
                self.tell_session(to, &event);
            }
        }
    }
}
