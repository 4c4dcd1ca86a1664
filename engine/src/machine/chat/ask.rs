//! Commands that change nothing: who may ask, and what the store is asked for.

use std::sync::Arc;

use schema::chat::{ChatCommand, ChatEvent, ChatReply, History, Kind};
use schema::{Actor, Event, Id, Refusal, SessionAddr};

use super::super::Machine;
use super::super::gather::Whom;
use super::super::message::Answer;
use super::super::store::{ChatAsk, ChatFailure, ChatStored};
use super::facts::Facts;
use super::rooms::chat_answer;
use super::{Asked, sessions};

/// Messages of one page.
pub(super) const PAGE_MAX: u16 = 100;

/// A read under way, and what becomes of it.
pub(super) struct Reading {
    pub(super) whom: Whom,
    what: What,
}

enum What {
    History { forward: bool },
    Message { hidden_to: u64 },
}

impl Machine {
    /// A command that changes nothing, at a room that is known.
    pub(super) fn read_room(
        &mut self,
        slot: u32,
        whom: Whom,
        (who, by): (&Actor, Option<SessionAddr>),
        command: ChatCommand,
    ) -> Result<(), Refusal> {
        let room = self.chats.rooms.get_mut(slot).ok_or(Refusal::Busy)?;
        room.used = true;
        let Some(facts) = &room.facts else {
            self.leave_room(slot);
            return Err(Refusal::NotFound);
        };
        let place = room.place;
        let row = facts.member(&who.key.id).filter(|_| !who.service);
        if row.is_none() && !who.service {
            return Err(Refusal::Forbidden);
        }
        let hidden_to = row.map_or(0, |row| row.member.hidden_to);
        let receipts = facts.members().len() <= self.limits.receipt_members as usize;
        let reply = match command {
            ChatCommand::Find { .. } => {
                ChatReply::Conversation(Arc::new(facts.shown(usize::MAX, &who.key.id)))
            }
            ChatCommand::Unread { .. } => ChatReply::Count(row.map_or(0, |row| facts.unread(row))),
            // With which row, its session's host is told: the user may have left before this comes there.
            ChatCommand::Join { .. } => match row {
                Some(row) => ChatReply::Member { conversation: place.1, member: row.member.clone() },
                None => ChatReply::Done,
            },
            ChatCommand::Typing { on, .. } => {
                if row.is_none() {
                    return Err(Refusal::Forbidden);
                }
                if receipts {
                    let user = who.key.id.clone();
                    let with = facts.other(&user).filter(|_| facts.conversation.kind == Kind::Trade).cloned();
                    let both = with.clone().map(|with| [user.clone(), with]);
                    let typing = ChatEvent::Typing { conversation: place.1, user, on, with, by };
                    match both {
                        Some(both) => self.tell_typing(place, &both, typing),
                        None => {
                            let event = Arc::new(Event::Chat(facts.conversation.kind, Box::new(typing)));
                            self.publish_internally(sessions::typing_channel(place), &event);
                        }
                    }
                }
                ChatReply::Done
            }
            ChatCommand::History { before, after, forward, limit, .. } => {
                let before = before.unwrap_or(u64::MAX);
                let after = after.unwrap_or(0).max(hidden_to);
                let limit = limit.clamp(1, PAGE_MAX);
                let ask = ChatAsk::Page { place, before, after, forward, limit, receipts };
                return self.read_for(whom, ask, What::History { forward });
            }
            ChatCommand::Message { message } => {
                let ask = ChatAsk::Message { place, at: message.at };
                return self.read_for(whom, ask, What::Message { hidden_to });
            }
            _ => return Err(Refusal::Unsupported),
        };
        self.answer(whom, Answer::Chat(Box::new(reply)));
        Ok(())
    }

    fn read_for(&mut self, whom: Whom, ask: ChatAsk, what: What) -> Result<(), Refusal> {
        if self.chats.under_way.len() >= self.limits.chat_commands as usize {
            return Err(Refusal::Busy);
        }
        self.ask_chats(ask, Asked::Read(Reading { whom, what }));
        Ok(())
    }

    /// The store has read.
    pub(super) fn have_read(&mut self, reading: Reading, stored: ChatStored) {
        let Reading { whom, what } = reading;
        let result = match (what, stored) {
            (What::History { forward }, ChatStored::Page { messages, more }) => {
                let mut page = History { messages, more };
                // Long messages make a page that no session's outbox would take.
                schema::frame::fit_history(&mut page, forward);
                Ok(ChatReply::History(page))
            }
            (What::Message { hidden_to }, ChatStored::Message(message)) => message
                .filter(|message| message.id.at > hidden_to)
                .map(|message| ChatReply::Message { message: *message, again: false })
                .ok_or(Refusal::NotFound),
            (_, ChatStored::Failed { failure: ChatFailure::Busy, .. }) => Err(Refusal::Busy),
            _ => Err(Refusal::Unavailable),
        };
        self.answer(whom, chat_answer(result));
    }
}

/// What a user's list says of a conversation; `None`: the user is no member, or has hidden it.
pub(super) fn summary(facts: &Facts, user: &Id) -> Option<schema::chat::Summary> {
    let row = facts.member(user)?;
    let last = facts.last.as_ref().and_then(Option::as_ref).filter(|last| last.id.at > row.member.hidden_to);
    Some(schema::chat::Summary {
        conversation: facts.shown(super::list::MEMBERS, user),
        last: last.map(|last| schema::chat::Message::clone(last)),
        unread: facts.unread(row),
    })
}
