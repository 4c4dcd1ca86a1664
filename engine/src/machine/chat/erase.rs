//! Erasing somebody: where they are named, and what is done in a conversation.
//!
//! First they are out of it, so that nothing is added; then what they wrote is wiped, the newest first, some messages a
//! step; their rows lose their name last, since until then it is known whose the rest is. A step is a command in the
//! room's queue like any other, so the home and the store agree at any moment.

use std::sync::Arc;

use schema::chat::{Conversation, ConversationId, Message};
use schema::{Actor, Id, Key, Refusal, SessionAddr};

use super::super::Machine;
use super::super::erase::{Erased, NOBODY, Progress, wiped as wiped_message};
use super::super::gather::Whom;
use super::super::message::Answer;
use super::super::store::{ChatAsk, ChatStored, Part, Place, Trace};
use super::Asked;
use super::facts::Facts;
use super::plan::Step;
use super::room::{Deed, Effect, Erasing, Erasure};

/// Conversations that are looked into in a go.
const GO: u32 = 500;
/// Messages that are looked at in a step, and those of them that are wiped.
const PAGE: u16 = 100;
const WIPED: usize = 20;

/// What is to be read before the step can be planned.
pub(super) fn reads(place: Place, facts: &Facts, erasing: &Erasing) -> Option<ChatAsk> {
    if facts.member(&erasing.user).is_some() || facts.members().is_empty() {
        return None;
    }
    let after = facts.forgotten.map_or(0, |horizon| horizon.at);
    let before = erasing.before;
    Some(ChatAsk::Page { place, before, after, forward: false, limit: PAGE, receipts: false })
}

/// What the step does, with what was read for it.
pub(super) fn plan(
    place: Place,
    facts: &Facts,
    erasing: &Erasing,
    read: Option<ChatStored>,
) -> Result<Step, Refusal> {
    let user = &erasing.user;
    let member = facts.member(user).map(|row| row.member.row);
    match (read, member) {
        (None, _) if facts.members().len() <= 1 => {
            Ok(Step::Write(vec![Part::Gone], Effect::Erased(Erasure::Gone)))
        }
        (None, Some(row)) => {
            let out = Part::MemberGone { row, user: user.clone() };
            Ok(Step::Write(vec![out], Effect::Erased(Erasure::Out(row))))
        }
        (Some(ChatStored::Page { messages, more }), _) => Ok(wipe(place, user, &messages, more)),
        (Some(ChatStored::Traces { found, .. }), _) => Ok(unname(place, facts, found)),
        _ => Err(Refusal::Unavailable),
    }
}

/// Some of what they wrote. After the last of it, it is asked which rows were theirs.
fn wipe(place: Place, user: &Id, messages: &[Message], more: bool) -> Step {
    let (mut parts, mut wiped, mut sends) = (Vec::new(), Vec::new(), 0);
    let mut next = None;
    for message in messages {
        if wiped.len() == WIPED {
            break;
        }
        next = Some(message.id.at);
        if message.sender != *user {
            continue;
        }
        let now = Arc::new(wiped_message(message));
        parts.push(Part::Message(Arc::clone(&now)));
        if !message.deleted {
            parts.push(Part::Deleted { sequence: message.sequence, row: message.row });
        }
        if let Some(client_id) = &message.client_id {
            sends += 1;
            parts.push(Part::Sent { row: message.row, client_id: Arc::clone(client_id), message: 0 });
        }
        wiped.push((now, !message.deleted));
    }
    match next {
        Some(next) if more || !wiped.is_empty() => {
            let nothing = parts.is_empty();
            let effect = Effect::Erased(Erasure::Wiped { messages: wiped, sends, next });
            if nothing { Step::Skip(effect) } else { Step::Write(parts, effect) }
        }
        _ => {
            // The next conversation after the one before this is this one.
            let before = place.1.number().checked_sub(1).map(ConversationId::from_number);
            let user = Key::new(place.0, user.clone());
            Step::Ask(ChatAsk::Traces { user, after: before, limit: 1 })
        }
    }
}

/// Their name goes.
fn unname(place: Place, facts: &Facts, found: Vec<Trace>) -> Step {
    let nobody = Id::from_uuid(NOBODY);
    let trace = found.into_iter().find(|trace| trace.conversation == place.1);
    let (rows, made) = trace.map_or((Vec::new(), false), |trace| (trace.rows, trace.made));
    let rows: Vec<u32> = rows.into_iter().map(|(row, _)| row).collect();
    let named = |row: &u32| Part::MemberGone { row: *row, user: nobody.clone() };
    let mut parts: Vec<Part> = rows.iter().map(named).collect();
    let conversation = made.then(|| {
        Arc::new(Conversation { creator: nobody.clone(), ..Conversation::clone(&facts.conversation) })
    });
    parts.extend(conversation.clone().map(Part::Conversation));
    let nothing = parts.is_empty();
    let effect = Effect::Erased(Erasure::Unnamed { rows, conversation });
    if nothing { Step::Skip(effect) } else { Step::Write(parts, effect) }
}

impl Machine {
    /// Looks for conversations that name somebody.
    pub(in crate::machine) fn look_for_traces(
        &mut self,
        ticket: u64,
        user: Key,
        after: Option<ConversationId>,
    ) -> Result<(), Refusal> {
        if self.chats.under_way.len() >= self.limits.chat_commands as usize / 2 {
            return Err(Refusal::Busy);
        }
        self.ask_chats(ChatAsk::Traces { user, after, limit: GO }, Asked::Traces(ticket));
        Ok(())
    }

    /// The store has looked.
    pub(super) fn traces_found(&mut self, ticket: u64, stored: ChatStored) {
        let result = match stored {
            ChatStored::Traces { found, next } => Ok(Erased::Found { traces: found, next }),
            _ => Err(Refusal::Unavailable),
        };
        self.erased(ticket, result);
    }

    /// A step in a conversation of this home. Where it is not known it is loaded first.
    pub(in crate::machine) fn erase_in(
        &mut self,
        ticket: u64,
        place: Place,
        user: Id,
        before: u64,
    ) -> Result<(), Refusal> {
        if !self.has_place_for_upkeep() {
            return Err(Refusal::Busy);
        }
        let (slot, new) = self.room(place).ok_or(Refusal::Busy)?;
        if new {
            self.load(&[slot]);
        }
        let room = self.chats.rooms.get(slot).ok_or(Refusal::Busy)?;
        if room.queue.len() >= self.limits.chat_queue as usize {
            return Err(Refusal::Busy);
        }
        let who: (Actor, Option<SessionAddr>) =
            (Actor { key: Key::new(place.0, place.1.id()), service: true }, None);
        let deed = Deed::Erase(Erasing { user, before });
        self.queue(slot, Whom::Eraser { ticket }, who, deed);
        Ok(())
    }

    /// A step is stored: it takes effect, and everybody is told what they are told of any deletion.
    pub(super) fn erasure_takes_effect(&mut self, slot: u32, whom: Whom, who: &Actor, erasure: Erasure) {
        let Whom::Eraser { ticket } = whom else { return };
        let mut progress = Progress::default();
        let done = match erasure {
            Erasure::Out(row) => {
                progress.next = Some(u64::MAX);
                self.take_effect(slot, who, Effect::Left(row)).map(|_| ())
            }
            Erasure::Gone => {
                (progress.gone, progress.memberships) = (true, 1);
                self.take_effect(slot, who, Effect::Gone).map(|_| ())
            }
            Erasure::Wiped { messages, sends, next } => {
                (progress.messages, progress.sends) = (messages.len() as u32, sends);
                progress.next = Some(next);
                let mut done = Ok(());
                for (message, _) in messages.into_iter().filter(|(_, fresh)| *fresh) {
                    done = done.and(self.take_effect(slot, who, Effect::Removed(message)).map(|_| ()));
                }
                done
            }
            Erasure::Unnamed { rows, conversation } => {
                progress.memberships = rows.len() as u32;
                if let Some(facts) = self.chats.rooms.get_mut(slot).and_then(|room| room.facts.as_mut()) {
                    facts.unname(&rows);
                }
                match conversation {
                    Some(conversation) => {
                        self.take_effect(slot, who, Effect::Updated(conversation)).map(|_| ())
                    }
                    None => Ok(()),
                }
            }
        };
        match done {
            Ok(()) => self.erased(ticket, Ok(Erased::In(progress))),
            Err(refusal) => self.answer(whom, Answer::Refused(refusal)),
        }
    }
}
