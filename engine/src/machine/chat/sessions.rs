//! What a session's host does for conversations: whether the session follows them, which it has joined, and where its
//! user types.
//!
//! Who has joined a conversation is subscribed to a channel that only the conversation's home publishes on: one for
//! typing, and one, for services, of everything. Their names hold a control character, which no client's channel can.

use std::sync::Arc;

use schema::chat::{ChatCommand, ChatEvent, ChatReply, ConversationId};
use schema::{Actor, Event, Id, Key, Refusal, Reply, SessionRef};

use super::super::Machine;
use super::super::command::{Caller, Outcome, slot_of};
use super::super::gather::{Harvest, Joining, Whom};
use super::super::message::{Answer, Message, Question};
use super::super::sessions::Session;
use super::super::store::Place;

/// Conversations in which one session's user may be typing at a time.
const TYPING: usize = 16;

/// The channel of those who want to see who is typing.
pub(super) fn typing_channel((realm, conversation): Place) -> Key {
    Key::new(realm, conversation.id().internal('\u{1}'))
}

/// The channel of services that want to hear of everything.
pub(super) fn service_channel((realm, conversation): Place) -> Key {
    Key::new(realm, conversation.id().internal('\u{2}'))
}

impl Machine {
    /// A session wants to hear of its user's conversations, or no longer.
    pub(super) fn follow(&mut self, caller: &Caller, on: bool) -> Outcome {
        let slot = slot_of(caller)?;
        if let Some(session) = self.sessions.get_mut(slot) {
            session.follow(on);
        }
        Ok(Some(Reply::Chat(Box::new(ChatReply::Done))))
    }

    /// A session joins a conversation, if its home agrees.
    pub(super) fn join(&mut self, caller: &Caller, who: Actor, conversation: ConversationId) -> Outcome {
        let session = caller.session.ok_or(Refusal::Unsupported)?;
        let key = Key::new(who.key.realm, conversation.id());
        let home = self.router.home(&key);
        let service = caller.service;
        let harvest = Harvest::Join { session, conversation, service, answer: None, left: 0 };
        let command = Box::new(ChatCommand::Join { conversation });
        self.ask_all(caller.whom, vec![(home, Question::Chat { who, by: None, command })], harvest)
            .map(|_| None)
    }

    /// The home has agreed. Whoever joins is told so when the home knows whom to tell of the typing: what is typed after
    /// that is heard.
    pub(in crate::machine) fn joined(&mut self, whom: Whom, join: Joining, agreed: &ChatReply) {
        let begun = match agreed {
            // The word that they have left went another way, and was faster.
            ChatReply::Member { member, .. } if member.row <= join.left => Err(Refusal::Forbidden),
            _ => self.begin_to_hear(whom, join),
        };
        match begun {
            Ok(Some(_)) => {}
            Ok(None) => self.answer(whom, Answer::Chat(Box::new(ChatReply::Done))),
            Err(refusal) => self.answer(whom, Answer::Refused(refusal)),
        }
    }

    /// Subscribes the session. With a number: the home is asked to know of it, and answers.
    fn begin_to_hear(&mut self, whom: Whom, join: Joining) -> Result<Option<u64>, Refusal> {
        let Joining { session, conversation, service, .. } = join;
        let slot = self.alive(session).ok_or(Refusal::NotFound)?;
        let owner = self.sessions.get(slot).map(Session::owner).ok_or(Refusal::NotFound)?;
        let place = (self.owner_key(owner).ok_or(Refusal::NotFound)?.realm, conversation);
        let mut channels = vec![typing_channel(place)];
        if service {
            channels.push(service_channel(place));
        }
        for channel in &channels {
            self.subscribe(slot, channel)?;
        }
        // The channels of a conversation live where it does.
        let home = self.router.home(&channels[0]);
        if home == self.shard {
            return Ok(None);
        }
        let states = self.subscribers_early(&channels);
        self.ask_all(whom, vec![(home, Question::Know { states })], Harvest::Relay(None)).map(Some)
    }

    pub(super) fn leave(&mut self, caller: &Caller, conversation: ConversationId) -> Outcome {
        let slot = slot_of(caller)?;
        let place = (caller.key.realm, conversation);
        self.unsubscribe(slot, &typing_channel(place));
        self.unsubscribe(slot, &service_channel(place));
        Ok(Some(Reply::Chat(Box::new(ChatReply::Done))))
    }

    /// Who is no member any more sees nobody typing.
    pub(in crate::machine) fn left_if_removed(&mut self, slot: u32, event: &Event) {
        let Event::Chat(_, event) = event else { return };
        let ChatEvent::MemberRemoved { conversation, member } = &**event else { return };
        let owner = self.sessions.get(slot).map(Session::owner);
        let Some(key) = owner.and_then(|owner| self.owner_key(owner)) else { return };
        if key.id == member.user {
            self.unsubscribe(slot, &typing_channel((key.realm, *conversation)));
            if let Some(session) = self.session_ref(slot) {
                self.joins_no_more(session, *conversation, member.row);
            }
        }
    }

    /// Publishes on an internal channel of this home; what finds no place is typing, which may be dropped, or a
    /// service's, which is closed as a slow reader would be.
    pub(super) fn publish_internally(&mut self, channel: Key, event: &Arc<Event>) {
        if self.publish(&channel, Arc::clone(event), None).is_err() {
            self.counters.publishes_dropped += 1;
        }
    }

    /// Remembers where a session's user types, so that its end is the typing's end.
    pub(super) fn note_typing(&mut self, caller: &Caller, user: &Id, conversation: ConversationId, on: bool) {
        let Some(slot) = caller.session.map(|session| session.slot) else { return };
        if on {
            let Some(listening) = self.sessions.listen(slot) else { return };
            let new = !listening.typing.iter().any(|(other, who)| (*other, who) == (conversation, user));
            if new && listening.typing.len() < TYPING {
                listening.typing.push((conversation, user.clone()));
            }
        } else if let Some(listening) = self.sessions.listening_mut(slot) {
            listening.typing.retain(|(other, who)| (*other, who) != (conversation, user));
            self.sessions.slim(slot);
        }
    }

    /// A session ends: its user does not type any more.
    pub(in crate::machine) fn stop_typing(&mut self, slot: u32) {
        let Some(listening) = self.sessions.listening_mut(slot) else { return };
        let typing = std::mem::take(&mut listening.typing);
        if typing.is_empty() {
            return;
        }
        self.sessions.slim(slot);
        let owner = self.sessions.get(slot).map(Session::owner);
        let Some(key) = owner.and_then(|owner| self.owner_key(owner)) else { return };
        for (conversation, user) in typing {
            let home = self.router.home_of(key.realm, &conversation.id());
            let who = Actor { key: Key::new(key.realm, user), service: false };
            let command = Box::new(ChatCommand::Typing { conversation, on: false });
            if self.has_room(home) {
                self.tell_shard(
                    home,
                    Message::Ask { ask: 0, question: Question::Chat { who, by: None, command } },
                );
            }
        }
    }

    /// Whether a session is to hear an event about conversations.
    pub(in crate::machine) fn hears(&self, slot: u32, event: &Event) -> bool {
        let Event::Chat(_, event) = event else { return true };
        let Some(session) = self.sessions.get(slot) else { return false };
        match &**event {
            ChatEvent::Typing { user, with: None, .. } => !self.is_owner(session.owner(), user),
            ChatEvent::Typing { by: Some(by), .. } if *by == self.addr(session_ref(slot, session)) => false,
            _ => session.follows() || matches!(session.owner(), super::super::sessions::Owner::Service(_)),
        }
    }

    fn is_owner(&self, owner: super::super::sessions::Owner, user: &Id) -> bool {
        self.owner_key(owner).is_some_and(|key| key.id == *user)
    }
}

fn session_ref(slot: u32, session: &Session) -> SessionRef {
    SessionRef { slot, generation: session.generation }
}
