//! Members are told: their homes get the event once for all of them, and give it to their sessions.
//!
//! The members of a large group are looked up some at a time; what comes later waits behind, so that a session hears
//! everything of a conversation in order. Where another shard has no room, what is for it waits too, and while too much
//! waits, commands are refused.

use std::sync::Arc;

use schema::chat::{ChatEvent, Kind};
use schema::{Event, Id, Realm, SessionRef, ShardId};

use super::super::Machine;
use super::super::message::Message;
use super::super::store::Place;
use super::facts::by_home;
use super::sessions;

/// An event on its way to users of this home.
pub(super) struct Post {
    realm: Realm,
    users: Arc<[Id]>,
    next: usize,
    event: Arc<Event>,
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
        self.chats.posts.push_back(Post { realm, users, next: 0, event });
        // Most are for few, and need not wait for the next turn.
        if self.chats.posts.len() == 1 {
            self.advance_posts(64);
        }
    }

    /// Gives events to the sessions of those who are to be told.
    pub(super) fn advance_posts(&mut self, mut budget: usize) {
        while budget > 0 {
            let Some(post) = self.chats.posts.front_mut() else { return };
            let Some(user) = post.users.get(post.next).cloned() else {
                self.chats.posts.pop_front();
                continue;
            };
            let (realm, event) = (post.realm, Arc::clone(&post.event));
            if !self.give_to_user(realm, &user, &event) {
                return;
            }
            budget -= 1;
            if let Some(post) = self.chats.posts.front_mut() {
                post.next += 1;
            }
        }
    }

    /// Whether something that waits could go at once.
    pub(in crate::machine) fn chats_can_go(&self) -> bool {
        let post = self.chats.posts.front();
        let posts = post.is_some_and(|post| match post.users.get(post.next) {
            Some(user) => self.hosts_have_room(post.realm, user),
            None => true,
        });
        posts || self.chats.outgoing.iter().any(|&(to, _)| self.has_room(to))
    }

    fn hosts_have_room(&self, realm: Realm, user: &Id) -> bool {
        let found = self.users.find(realm, user).and_then(|slot| self.users.get(slot));
        found.is_none_or(|found| found.attachments().all(|one| self.has_room(one.place().0)))
    }

    /// Gives an event to a user's sessions, here and elsewhere; false when another shard has no room for it.
    fn give_to_user(&mut self, realm: Realm, user: &Id, event: &Arc<Event>) -> bool {
        let Some(found) = self.users.find(realm, user).and_then(|slot| self.users.get(slot)) else {
            return true;
        };
        let mut hosts: Vec<(ShardId, Vec<SessionRef>)> = Vec::new();
        for attachment in found.attachments() {
            let (host, session) = attachment.place();
            match hosts.iter_mut().find(|(shard, _)| *shard == host) {
                Some((_, sessions)) => sessions.push(session),
                None => hosts.push((host, vec![session])),
            }
        }
        if !hosts.iter().all(|&(host, _)| self.has_room(host)) {
            return false;
        }
        for (host, sessions) in hosts {
            if host == self.shard {
                self.deliver(&sessions, event);
            } else {
                self.tell_shard(host, Message::Deliver { ask: None, sessions, event: Arc::clone(event) });
            }
        }
        true
    }
}
