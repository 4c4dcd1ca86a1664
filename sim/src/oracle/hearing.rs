//! What sessions hear of conversations: their own users' only, what is stored only, in order, nothing twice and nothing
//! left out.

use std::collections::{BTreeMap, BTreeSet};

use engine::machine::store::{Part, Place, Write};
use schema::chat::{ChatEvent, ConversationId};
use schema::{Id, Key, Realm, SessionAddr};

use super::Oracle;
use super::rooms::{Kept, Rooms};
use crate::broken::{Verdict, broken, check};
use crate::shelf::News;

/// What one session has heard, and is to hear.
#[derive(Clone, Debug, Default)]
pub(super) struct Ear {
    /// Follows since then.
    pub(super) follows: Option<u64>,
    /// The latest message of each conversation.
    heard: BTreeMap<Place, u64>,
    /// Messages it has still to hear.
    owed: BTreeMap<Place, BTreeSet<u64>>,
    /// Conversations that it was told its user is out of.
    out: BTreeSet<Place>,
    /// Conversations that it has joined, or may have.
    pub(super) joined: BTreeMap<ConversationId, bool>,
    /// Who types, as far as it knows.
    types: BTreeSet<(Place, Id)>,
}

/// Everything about conversations.
#[derive(Debug, Default)]
pub(super) struct Chats {
    pub(super) rooms: Rooms,
    pub(super) ears: BTreeMap<SessionAddr, Ear>,
    /// Where each session's user types, as last said.
    pub(super) typing: BTreeMap<(SessionAddr, ConversationId), bool>,
    /// Users who type without a session of their own: nothing ends it.
    pub(super) endless: BTreeSet<(Place, Id)>,
}

impl Chats {
    /// A session is over.
    pub(super) fn gone(&mut self, session: SessionAddr) {
        self.ears.remove(&session);
        self.typing.retain(|(typist, _), _| *typist != session);
    }

    /// The node has gone, and all sessions with it.
    pub(super) fn restart(&mut self, now: u64) {
        self.ears.clear();
        self.typing.clear();
        self.endless.clear();
        self.rooms.restart(now);
    }
}

impl Ear {
    /// Nothing more is to be heard.
    pub(super) fn forgive(&mut self) {
        self.owed.clear();
    }
}

impl Oracle {
    /// Something happens at the store of conversations.
    ///
    /// # Errors
    /// When what is written breaks a promise.
    pub fn shelf(&mut self, news: &News) -> Verdict {
        let kept = Kept {
            sends: self.limits.sends_kept.into(),
            retention: self.limits.retention,
            latest: self.latest_wall,
        };
        self.chats.rooms.hear(news, self.now, &kept)?;
        if let News::Told(write) = news {
            self.owe(write);
        }
        Ok(())
    }

    /// A message is on stable storage, and its home knows: who follows it is to hear it.
    fn owe(&mut self, write: &Write) {
        let (place, lag, now) = (write.place, self.times.lag, self.now);
        let Some(room) = self.chats.rooms.get(place) else { return };
        for part in &write.parts {
            let Part::Message(message) = part else { continue };
            let stored = room.messages.get(&message.id.at).and_then(|all| all.last());
            let Some(stored) = stored.filter(|stored| *stored.first() == **message) else { continue };
            for (session, found) in &self.sessions {
                let key = &found.open.actor.key;
                let inside = key.realm == place.0 && !found.open.actor.service;
                if !inside || found.opened + lag >= now || !stored.audience.contains(&key.id) {
                    continue;
                }
                if let Some(ear) = self.chats.ears.get_mut(session).filter(|ear| ear.follows.is_some())
                    && ear.heard.get(&place).is_none_or(|heard| *heard < stored.moment())
                {
                    ear.owed.entry(place).or_default().insert(stored.moment());
                }
            }
        }
    }

    /// A session hears of a conversation.
    pub(super) fn chat_told(&mut self, session: SessionAddr, event: &ChatEvent) -> Verdict {
        self.checked.chat_events += 1;
        let Some(found) = self.sessions.get(&session) else { return Ok(()) };
        let (key, service) = (found.open.actor.key.clone(), found.open.actor.service);
        let id = event.conversation();
        let place = (key.realm, id);
        let seen = || format!("{session} of {key:?} hears {event:?}");
        let ear = self.chats.ears.entry(session).or_default();
        if let ChatEvent::Typing { user, on, with, by, .. } = event {
            if with.is_some() && !service {
                check(ear.follows.is_some(), "only who follows hears of conversations", seen)?;
                check(*by != Some(session), "no session is told of its own typing", seen)?;
            } else {
                check(ear.joined.contains_key(&id), "typing is for those who look", seen)?;
                check(*user != key.id, "nobody is told of their own typing", seen)?;
            }
            if *on {
                ear.types.insert((place, user.clone()));
            } else {
                ear.types.remove(&(place, user.clone()));
            }
        } else if service {
            check(ear.joined.contains_key(&id), "a service hears of what it has joined", seen)?;
        } else {
            check(ear.follows.is_some(), "only who follows hears of conversations", seen)?;
            if matches!(event, ChatEvent::Created(_)) {
                ear.out.remove(&place);
            }
            check(!ear.out.contains(&place), "who is out hears nothing more", seen)?;
        }
        let Some(room) = self.chats.rooms.get(place) else {
            return broken("nothing is told before it is stored", seen());
        };
        if !service {
            let ever = room.members.iter().filter(|one| one.row.member.user == key.id);
            let late = 4 * self.times.lag + 4 * self.stall + 1_000;
            let is_typing = matches!(event, ChatEvent::Typing { .. });
            let mut times = ever.map(|one| one.over_at);
            let lately = times.any(|over| over.is_none_or(|over| !is_typing || over + late >= self.now));
            check(lately, "only members hear of a conversation", seen)?;
        }
        match event {
            ChatEvent::Said(message) => {
                let all = room.messages.get(&message.id.at);
                let kept = schema::chat::Message { to: None, ..message.clone() };
                let stored = all.and_then(|all| all.iter().find(|stored| *stored.first() == kept));
                let Some(stored) = stored else {
                    return broken("nothing is told before it is stored", seen());
                };
                check(service || stored.audience.contains(&key.id), "only members hear a message", seen)?;
                let moment = stored.moment();
                let before = ear.heard.insert(place, moment);
                check(
                    before.is_none_or(|before| before < moment),
                    "messages are told in order, each once",
                    || format!("{before:?} {moment}: {}", seen()),
                )?;
                if let Some(owed) = ear.owed.get_mut(&place) {
                    let missed = owed.first().is_some_and(|next| *next < moment);
                    check(!missed, "nobody misses a message", || {
                        format!("{owed:?} before {moment}: {}", seen())
                    })?;
                    owed.remove(&moment);
                    if owed.is_empty() {
                        ear.owed.remove(&place);
                    }
                }
            }
            ChatEvent::Edited(message) => {
                let stored = room.messages.get(&message.id.at).into_iter().flatten();
                let mut versions = stored.flat_map(|stored| stored.versions.iter().skip(1));
                check(
                    versions.any(|version| version.message == *message),
                    "nothing is told before it is stored",
                    seen,
                )?;
            }
            ChatEvent::Removed { message, at } => {
                let stored = room.messages.get(&message.at).into_iter().flatten();
                let mut versions = stored.flat_map(|stored| &stored.versions);
                let deleted =
                    versions.any(|version| version.message.deleted && version.message.updated_at == *at);
                check(deleted, "nothing is told before it is stored", seen)?;
            }
            ChatEvent::MemberRemoved { member, .. } if member.user == key.id => {
                ear.out.insert(place);
                ear.owed.remove(&place);
            }
            ChatEvent::Deleted { .. } => {
                ear.out.insert(place);
                ear.owed.remove(&place);
            }
            _ => {}
        }
        Ok(())
    }

    /// Nothing has happened for long: everything was heard, and nobody types who has gone.
    pub(super) fn audit_settled_hearing(&self) -> Verdict {
        for (session, ear) in &self.chats.ears {
            let owed = ear.owed.iter().next();
            check(owed.is_none(), "nobody misses a message", || format!("{session} is owed {owed:?}"))?;
            if !self.typing_is_sure() {
                continue;
            }
            let realm = self.realm_of(*session);
            for (place, user) in &ear.types {
                let still = self.chats.typing.iter().any(|((typist, id), on)| {
                    let key = self.sessions.get(typist).map(|found| &found.open.actor.key);
                    *on && *id == place.1 && key == Some(&Key::new(place.0, user.clone()))
                });
                let still = still || self.chats.endless.contains(&(*place, user.clone()));
                let room = self.chats.rooms.get(*place);
                let inside = room
                    .is_some_and(|room| room.own(user).is_some() && self.listens(*session, *place, realm));
                check(still || !inside, "typing ends with the session", || {
                    format!("{session} believes that {user} types in {place:?}")
                })?;
            }
        }
        Ok(())
    }

    /// Nothing has happened for long: what is too old is forgotten.
    pub(super) fn audit_forgetting(&self) -> Verdict {
        let lately = self.now.saturating_sub(self.forgetting_time);
        if self.jumps || self.booted > lately || self.draining.is_some() {
            return Ok(());
        }
        let wall = self.wall.saturating_sub(self.forgetting_time);
        for (place, room) in self.chats.rooms.all() {
            let overdue = room.overdue(&self.limits.retention, wall);
            check(overdue.is_none(), "what is too old is forgotten", || format!("{place:?}: {overdue:?}"))?;
        }
        Ok(())
    }

    /// Whether a session that has joined still hears who types.
    fn listens(&self, session: SessionAddr, place: Place, realm: Realm) -> bool {
        let Some(found) = self.sessions.get(&session) else { return false };
        let joined = self.chats.ears.get(&session).and_then(|ear| ear.joined.get(&place.1)) == Some(&true);
        let inside =
            self.chats.rooms.get(place).is_some_and(|room| room.own(&found.open.actor.key.id).is_some());
        joined && realm == place.0 && (inside || found.open.actor.service)
    }

    /// Whether nothing may keep a word about typing from coming: it may be dropped where there is no room.
    fn typing_is_sure(&self) -> bool {
        let crowded = self.several && (self.tight || self.stall > 0 || self.slow_ways);
        !crowded
            && self.limits.chat_commands > 100
            && self.limits.chat_queue > 100
            && !self.shelf_fails
            && self.limits.receipt_members >= 100
    }

    /// Conversations that this user is in.
    #[must_use]
    pub fn rooms_of(&self, user: &Key) -> Vec<ConversationId> {
        self.chats.rooms.of(user)
    }

    /// All that there are or were.
    #[must_use]
    pub fn rooms_in(&self, realm: Realm) -> Vec<ConversationId> {
        self.chats.rooms.all().filter(|((other, _), _)| *other == realm).map(|((_, id), _)| *id).collect()
    }

    /// Creation times of all that was said and is there.
    #[must_use]
    pub fn messages_of(&self, place: Place) -> Vec<u64> {
        let room = self.chats.rooms.get(place);
        room.into_iter().flat_map(|room| room.there()).map(|stored| stored.latest().id.at).collect()
    }
}
