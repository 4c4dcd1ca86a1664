//! Members are told: their homes get the event once for all of them, and give it to their sessions.
//!
//! The members of a large group are looked up some at a time. What comes later in the same conversation waits behind, so that
//! a session hears everything of it in order; what waits together is given together, so that a session gets it in one send.
//! Conversations take turns. Where another shard has no room, what is for it waits too, and while too much waits, commands are
//! refused.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use schema::chat::{ChatEvent, Kind};
use schema::{Event, Id, Realm, SessionRef, ShardId};

use super::super::Machine;
use super::super::message::Message;
use super::super::store::Place;
use super::facts::by_home;
use super::sessions;
use crate::limits::relax::Relax;

/// Events of one conversation that are given together.
const TOGETHER: usize = 32;
/// Users who are told at once. Where there are more, the conversation waits for its turn.
const FEW: usize = 64;
/// What giving one event to a user costs of a turn, in the cost of finding out that a user is not there.
const DELIVERY: usize = 16;
/// What one conversation may cost before another has its turn.
const TURN: usize = 128 * DELIVERY;
/// Conversations that are looked at to see whether one of them can go on.
const LOOK: usize = 16;

/// An event on its way to users of this home.
struct Post {
    users: Arc<[Id]>,
    event: Arc<Event>,
}

/// Those of one conversation, in order. The first `together` are for the same users, and those before `next` have them.
#[derive(Default)]
struct Queue {
    posts: VecDeque<Post>,
    together: usize,
    next: usize,
}

impl Queue {
    /// Who is next, once a round has begun.
    fn user(&self) -> Option<&Id> {
        self.posts.front()?.users.get(self.next)
    }

    /// Begins a round if none is under way.
    fn begin(&mut self) {
        if self.together == 0
            && let Some(first) = self.posts.front()
        {
            let same =
                self.posts.iter().take(TOGETHER).take_while(|post| Arc::ptr_eq(&post.users, &first.users));
            (self.together, self.next) = (same.count(), 0);
        }
    }
}

/// All that wait.
#[derive(Default)]
pub(super) struct Posts {
    queues: BTreeMap<Place, Queue>,
    turns: VecDeque<Place>,
    count: usize,
}

impl Posts {
    /// How many events wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// How a conversation's turn ended.
enum Turn {
    /// Everybody has been told everything.
    Done,
    /// There is more to tell.
    Over,
    /// Another shard has no room.
    Blocked,
}

impl Machine {
    /// Tells the members of a room (or only some users) what happened there.
    pub(super) fn tell_members(&mut self, slot: u32, event: ChatEvent, only: &[Id]) {
        let router = &self.router;
        let Some(room) = self.chats.rooms.get_mut(slot) else { return };
        let place = room.place;
        let realm = place.0;
        let Some(kind) = room.facts.as_ref().map(|facts| facts.conversation.kind) else { return };
        let home = |user: &Id| router.home_of(realm, user);
        let homes = match (&mut room.facts, only) {
            (Some(facts), []) => facts.homes(home),
            (_, only) => by_home(only.iter(), home),
        };
        let event = Arc::new(Event::Chat(kind, Box::new(event)));
        for (home, users) in homes.iter() {
            if *home == self.shard {
                self.chat_told(realm, Arc::clone(users), Arc::clone(&event));
            } else {
                let message = Message::Chat { realm, users: Arc::clone(users), event: Arc::clone(&event) };
                self.send_or_keep(*home, message);
            }
        }
        if only.is_empty() {
            self.publish_internally(sessions::service_channel(place), &event);
        }
    }

    /// Tells both of a trade that one of them types. Where there is no room it is dropped: it is soon out of date.
    pub(super) fn tell_typing(&mut self, place: Place, both: &[Id], event: ChatEvent) {
        let router = &self.router;
        let homes = by_home(both.iter(), |user| router.home_of(place.0, user));
        let event = Arc::new(Event::Chat(Kind::Trade, Box::new(event)));
        for (home, users) in homes.iter() {
            let waits = self.chats.outgoing.iter().any(|(other, _)| other == home);
            if *home == self.shard {
                self.chat_told(place.0, Arc::clone(users), Arc::clone(&event));
            } else if !waits && self.has_room(*home) {
                let (users, event) = (Arc::clone(users), Arc::clone(&event));
                self.tell_shard(*home, Message::Chat { realm: place.0, users, event });
            } else {
                self.counters.publishes_dropped += 1;
            }
        }
        self.publish_internally(sessions::service_channel(place), &event);
    }

    fn send_or_keep(&mut self, to: ShardId, message: Message) {
        let waits = self.chats.outgoing.iter().any(|(other, _)| *other == to);
        if !waits && self.has_room(to) {
            self.tell_shard(to, message);
        } else {
            self.chats.outgoing.push_back((to, message));
        }
    }

    /// Sends what had no room, each shard's in its order.
    pub(super) fn send_outgoing(&mut self) {
        for _ in 0..self.chats.outgoing.len() {
            let Some((to, message)) = self.chats.outgoing.pop_front() else { return };
            if self.has_room(to) {
                self.tell_shard(to, message);
            } else {
                self.chats.outgoing.push_back((to, message));
            }
        }
    }

    /// Users of this home are to be told.
    pub(in crate::machine) fn chat_told(&mut self, realm: Realm, users: Arc<[Id]>, event: Arc<Event>) {
        let Event::Chat(_, said) = &*event else { return };
        let place = (realm, said.conversation());
        if let Some(waiting) = self.chats.posts.queues.get_mut(&place) {
            waiting.posts.push_back(Post { users, event });
            self.chats.posts.count += 1;
            return;
        }
        let mut queue = Queue::default();
        // Most are for few, and need not wait for the next turn.
        if users.len() <= FEW {
            (queue.together, queue.next) =
                (1, self.give_users(realm, &users, &[Arc::clone(&event)], &mut { TURN }));
            if queue.next == users.len() {
                return;
            }
        }
        queue.posts.push_back(Post { users, event });
        self.chats.posts.queues.insert(place, queue);
        self.chats.posts.turns.push_back(place);
        self.chats.posts.count += 1;
    }

    /// Gives events to the sessions of those who are to be told: so many, or as many users found away as take that long.
    pub(super) fn advance_posts(&mut self, deliveries: usize) {
        let mut budget = deliveries * DELIVERY;
        let mut blocked = 0;
        while budget > 0 && blocked < self.chats.posts.turns.len() {
            let Some(place) = self.chats.posts.turns.pop_front() else { break };
            let turn = budget.min(TURN);
            match self.tell_some(place, turn) {
                Turn::Done => {}
                Turn::Over => self.chats.posts.turns.push_back(place),
                Turn::Blocked => {
                    self.chats.posts.turns.push_back(place);
                    blocked += 1;
                }
            }
            budget -= turn;
        }
        self.chats.posts.turns.relax_wholly();
    }

    /// One conversation's turn.
    fn tell_some(&mut self, place: Place, mut budget: usize) -> Turn {
        loop {
            let Some(queue) = self.chats.posts.queues.get_mut(&place) else { return Turn::Done };
            queue.begin();
            let (together, next) = (queue.together, queue.next);
            let Some(users) = queue.posts.front().map(|post| Arc::clone(&post.users)) else {
                self.chats.posts.queues.remove(&place);
                return Turn::Done;
            };
            if next >= users.len() {
                queue.posts.drain(..together);
                queue.together = 0;
                self.chats.posts.count -= together;
                continue;
            }
            if budget == 0 {
                return Turn::Over;
            }
            let events: Vec<_> =
                queue.posts.iter().take(together).map(|post| Arc::clone(&post.event)).collect();
            let told = self.give_users(place.0, &users[next..], &events, &mut budget);
            if let Some(queue) = self.chats.posts.queues.get_mut(&place) {
                queue.next += told;
            }
            if budget > 0 && next + told < users.len() {
                return Turn::Blocked;
            }
        }
    }

    /// Gives events, one after the other, to as many of these users as may be told now; how many that were. It ends before one
    /// who has a session on a shard without room.
    fn give_users(&mut self, realm: Realm, users: &[Id], events: &[Arc<Event>], budget: &mut usize) -> usize {
        // What leaves in one send costs little more than one event: the send is what takes the time.
        let each = DELIVERY * (1 + events.len() / 8);
        let mut hosts = Hosts::default();
        let mut told = 0;
        for user in users {
            if *budget == 0 {
                break;
            }
            let Some(there) = self.find_hosts(realm, user, &mut hosts) else { break };
            *budget = budget.saturating_sub(if there { each } else { 1 });
            told += 1;
        }
        for event in events {
            for (host, sessions) in &hosts.0 {
                if *host == self.shard {
                    self.deliver(sessions, event);
                } else {
                    let (sessions, event) = (sessions.clone(), Arc::clone(event));
                    self.tell_shard(*host, Message::Deliver { ask: None, sessions, event });
                }
            }
        }
        told
    }

    /// Adds where a user's sessions are; whether there are any. `None`, and nothing is added: one of those shards has no room.
    fn find_hosts(&self, realm: Realm, user: &Id, hosts: &mut Hosts) -> Option<bool> {
        let Some(found) = self.users.find(realm, user).and_then(|slot| self.users.get(slot)) else {
            return Some(false);
        };
        if !found.attachments().all(|one| self.has_room(one.place().0)) {
            return None;
        }
        let mut there = false;
        for attachment in found.attachments() {
            let (host, session) = attachment.place();
            hosts.add(host, session);
            there = true;
        }
        Some(there)
    }

    /// Whether something that waits could go at once.
    pub(in crate::machine) fn chats_can_go(&self) -> bool {
        let posts = &self.chats.posts;
        let mut next = posts.turns.iter().take(LOOK).filter_map(|place| posts.queues.get_key_value(place));
        next.any(|(place, queue)| queue.user().is_none_or(|user| self.hosts_have_room(place.0, user)))
            || self.chats.outgoing.iter().any(|&(to, _)| self.has_room(to))
    }

    fn hosts_have_room(&self, realm: Realm, user: &Id) -> bool {
        let found = self.users.find(realm, user).and_then(|slot| self.users.get(slot));
        found.is_none_or(|found| found.attachments().all(|one| self.has_room(one.place().0)))
    }
}

/// Sessions by the shards that have them.
#[derive(Default)]
struct Hosts(Vec<(ShardId, Vec<SessionRef>)>);

impl Hosts {
    fn add(&mut self, host: ShardId, session: SessionRef) {
        match self.0.iter_mut().find(|(shard, _)| *shard == host) {
            Some((_, sessions)) => sessions.push(session),
            None => self.0.push((host, vec![session])),
        }
    }
}
