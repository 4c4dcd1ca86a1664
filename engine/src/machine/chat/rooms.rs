//! Rooms are entered, loaded, driven and left.

use std::sync::Arc;

use schema::chat::{
    ChatCommand, ChatEvent, ChatReply, Conversation, ConversationId, MemberChange, MessageId,
};
use schema::{Actor, Refusal, SessionAddr};

use super::super::Machine;
use super::super::gather::Whom;
use super::super::message::Answer;
use super::super::store::{ChatAsk, ChatFailure, ChatStored, Loaded, Part, Place, Write};
use super::Asked;
use super::facts::Facts;
use super::plan::{Scene, Step};
use super::room::{Deed, Effect, Op, Room, Stage};
use crate::limits::CHAT_BATCH;

/// Bytes of a room beside its facts.
const ROOM: usize = 256;

impl Machine {
    /// The slot of a conversation of this home, and whether it is new: then it counts as being loaded, and is to be.
    pub(super) fn room(&mut self, place: Place) -> Option<(u32, bool)> {
        let serial = self.chats.serial + 1;
        let id = place.1.id();
        let (slot, new) = self.chats.rooms.find_or_insert(place.0, &id, || Room::new(place, serial))?;
        let room = self.chats.rooms.get_mut(slot)?;
        room.used = true;
        if new {
            self.chats.serial = serial;
            room.loading = true;
        }
        Some((slot, new))
    }

    /// A command comes to the home of its conversation.
    pub(super) fn enter(
        &mut self,
        whom: Whom,
        (who, by): (Actor, Option<SessionAddr>),
        conversation: ConversationId,
        command: ChatCommand,
    ) -> Result<(), Refusal> {
        if self.drain.is_on() && !is_reading(&command) {
            return Err(Refusal::Draining);
        }
        if self.chats.ops >= self.limits.chat_commands as usize
            || self.chats.outgoing.len() >= self.limits.chat_commands as usize
        {
            return Err(Refusal::Busy);
        }
        let (slot, new) = self.room((who.key.realm, conversation)).ok_or(Refusal::Busy)?;
        if new {
            self.load(&[slot]);
        }
        let Some(room) = self.chats.rooms.get_mut(slot) else { return Err(Refusal::Busy) };
        if !room.loading && is_reading(&command) {
            return self.read_room(slot, whom, (&who, by), command);
        }
        if room.queue.len() >= self.limits.chat_queue as usize {
            return Err(Refusal::Busy);
        }
        if let ChatCommand::Send(draft) = &command
            && let Some(client_id) = &draft.client_id
            && let Some(first) = room.same_send(&who.key.id, client_id)
        {
            first.also.push(whom);
            return Ok(());
        }
        self.queue(slot, whom, (who, by), Deed::Command(command));
        Ok(())
    }

    /// Something is to be done in a room.
    pub(super) fn queue(
        &mut self,
        slot: u32,
        whom: Whom,
        (who, by): (Actor, Option<SessionAddr>),
        deed: Deed,
    ) {
        let Some(room) = self.chats.rooms.get_mut(slot) else { return };
        self.chats.serial += 1;
        let number = self.chats.serial;
        room.queue.push_back(Op { number, whom, also: Vec::new(), who, by, deed, stage: Stage::Waiting });
        self.chats.ops += 1;
        self.drive(slot);
    }

    /// Asks the store for rooms.
    pub(super) fn load(&mut self, slots: &[u32]) {
        for slots in slots.chunks(CHAT_BATCH) {
            let rooms = slots.iter().filter_map(|&slot| Some((slot, self.chats.rooms.get(slot)?)));
            let (rooms, places) = rooms.map(|(slot, room)| ((slot, room.serial), room.place)).unzip();
            self.ask_chats(ChatAsk::Load { places }, Asked::Load(rooms));
        }
    }

    /// The store knows these rooms, or does not.
    pub(super) fn loaded(&mut self, rooms: Vec<(u32, u64)>, stored: ChatStored) {
        let mut rows = match stored {
            ChatStored::Loaded(rows) => Some(rows.into_iter()),
            _ => None,
        };
        let (mut again, now) = (Vec::new(), self.now);
        for (slot, serial) in rooms {
            let row: Option<Option<Box<Loaded>>> = rows.as_mut().map(|rows| rows.next().flatten());
            let Some(room) = self.chats.rooms.get_mut(slot).filter(|room| room.serial == serial) else {
                continue;
            };
            room.loading = false;
            let failed = row.is_none();
            match row {
                Some(row) => match (&mut room.facts, row) {
                    // Only the newest message was to be asked for anew.
                    (Some(facts), Some(row)) => {
                        if std::mem::take(&mut room.stale) && facts.last.is_none() {
                            if !room.lists.is_empty() {
                                again.push(slot);
                            }
                            continue;
                        }
                        facts.last.get_or_insert_with(|| row.last.map(Arc::new));
                    }
                    (Some(_), None) => {}
                    (facts, row) => *facts = row.map(|row| Box::new(Facts::loaded(*row, now))),
                },
                // What is known stays known, and what is under way goes on: only the newest message was asked for.
                None if room.facts.is_some() => {}
                None => {
                    for op in std::mem::take(&mut room.queue) {
                        self.chats.ops -= 1;
                        self.answer_all(&op.whom, &op.also, Err(Refusal::Unavailable));
                    }
                }
            }
            self.weigh(slot);
            self.read_rooms(slot);
            self.drive(slot);
            self.feed_lists(slot, failed);
            self.leave_room(slot);
        }
        self.load(&again);
    }

    /// Carries out the reading commands that have waited until the room was known.
    fn read_rooms(&mut self, slot: u32) {
        let Some(room) = self.chats.rooms.get_mut(slot) else { return };
        let mut reading = Vec::new();
        for op in std::mem::take(&mut room.queue) {
            match op.deed {
                Deed::Command(command) if is_reading(&command) => {
                    reading.push((op.whom, (op.who, op.by), command))
                }
                deed => room.queue.push_back(Op { deed, ..op }),
            }
        }
        for (whom, (who, by), command) in reading {
            self.chats.ops -= 1;
            if let Err(refusal) = self.read_room(slot, whom, (&who, by), command) {
                self.answer(whom, Answer::Refused(refusal));
            }
        }
    }

    /// Moves a room's commands on as far as they go.
    pub(super) fn drive(&mut self, slot: u32) {
        loop {
            let Some(room) = self.chats.rooms.get_mut(slot).filter(|room| !room.loading) else { return };
            if room.is_through() {
                self.finish(slot);
            } else if let Some(at) = room.plannable() {
                self.plan(slot, at);
            } else if let Some(at) = room.startable() {
                self.start(slot, at);
            } else {
                return self.leave_room(slot);
            }
        }
    }

    /// A command may begin: it reads, or is to be planned.
    fn start(&mut self, slot: u32, at: usize) {
        let (now, limits) = (self.now, &self.limits);
        let Some(room) = self.chats.rooms.get_mut(slot) else { return };
        let place = room.place;
        let Some(op) = room.queue.get(at) else { return };
        let scene = Scene { place, facts: room.facts.as_deref(), limits, now };
        let reads = scene.reads(op);
        let (serial, number) = (room.serial, op.number);
        let Some(op) = room.queue.get_mut(at) else { return };
        match reads {
            Some(ask) => {
                op.stage = Stage::Asked;
                self.ask_chats(ask, Asked::Step { slot, serial, op: number });
            }
            None => op.stage = Stage::Read(None),
        }
    }

    fn plan(&mut self, slot: u32, at: usize) {
        let (now, limits) = (self.now, &self.limits);
        let Some(room) = self.chats.rooms.get_mut(slot) else { return };
        let place = room.place;
        let Some(op) = room.queue.get_mut(at) else { return };
        let read = match std::mem::replace(&mut op.stage, Stage::Asked) {
            Stage::Read(read) => read,
            stage => {
                op.stage = stage;
                return;
            }
        };
        if let (Some(ChatStored::Names { rows, names }), Some(facts)) = (&read, &mut room.facts) {
            facts.names.learn(rows, names.as_deref());
        }
        let op = &room.queue[at];
        let (serial, number) = (room.serial, op.number);
        let failed = matches!(read, Some(ChatStored::Failed { .. }));
        let scene = Scene { place, facts: room.facts.as_deref(), limits, now };
        let step = match failed {
            true => Step::Over(Err(Refusal::Unavailable)),
            false => scene.plan(op, read),
        };
        let op = &mut room.queue[at];
        match step {
            Step::Over(result) => op.stage = Stage::Over(result),
            Step::Ask(ask) => self.ask_chats(ask, Asked::Step { slot, serial, op: number }),
            Step::Skip(effect) => op.stage = Stage::Written(effect),
            Step::Write(parts, effect) => {
                if let (Effect::Said { message, .. }, Some(facts)) = (&effect, &mut room.facts) {
                    facts.issue(message, now);
                }
                op.stage = Stage::Writing(effect);
                let write = Box::new(Write { place, parts });
                self.ask_chats(ChatAsk::Write(write), Asked::Step { slot, serial, op: number });
            }
        }
    }

    /// The store has read or written for a command.
    pub(super) fn stepped(&mut self, slot: u32, serial: u64, number: u64, stored: ChatStored) {
        let Some(room) = self.chats.rooms.get_mut(slot).filter(|room| room.serial == serial) else { return };
        let Some(op) = room.op(number) else { return };
        op.stage = match (std::mem::replace(&mut op.stage, Stage::Asked), stored) {
            (Stage::Writing(effect), ChatStored::Written) => Stage::Written(effect),
            (Stage::Writing(effect), ChatStored::Failed { failure, .. }) => {
                if let Effect::Said { message, .. } = effect {
                    room.holes.push((message.sequence, message.row));
                }
                let Some(op) = room.op(number) else { return };
                op.stage = Stage::Over(Err(match failure {
                    ChatFailure::Busy => Refusal::Busy,
                    ChatFailure::Unavailable => Refusal::Unavailable,
                }));
                self.mend(slot);
                return self.drive(slot);
            }
            (Stage::Writing(effect), _) => Stage::Writing(effect),
            (_, stored) => Stage::Read(Some(stored)),
        };
        self.drive(slot);
    }

    /// Sequences that failed: if nothing later was given out they are given out again, else they are written as deleted.
    fn mend(&mut self, slot: u32) {
        let Some(room) = self.chats.rooms.get_mut(slot).filter(|room| !room.holes.is_empty()) else { return };
        let under_way = room.queue.iter().any(|op| {
            matches!(&op.stage, Stage::Writing(Effect::Said { .. }) | Stage::Written(Effect::Said { .. }))
        });
        let Some(facts) = &mut room.facts else { return };
        if !under_way {
            facts.reissue();
            let head = facts.head;
            room.holes.retain(|&(sequence, _)| sequence <= head);
        }
    }

    /// Sequences that failed and have later ones behind them will never be given out again: they count as deleted.
    fn write_holes(&mut self, slot: u32) {
        let Some(room) = self.chats.rooms.get_mut(slot).filter(|room| !room.holes.is_empty()) else { return };
        let place = room.place;
        let Some(facts) = &mut room.facts else { return };
        let head = facts.head;
        let (holes, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut room.holes).into_iter().partition(|&(sequence, _)| sequence < head);
        room.holes = rest;
        if holes.is_empty() {
            return;
        }
        for &(sequence, row) in &holes {
            facts.deleted(sequence, row);
        }
        let serial = room.serial;
        let parts = holes.iter().map(|&(sequence, row)| Part::Deleted { sequence, row }).collect();
        let write = Box::new(Write { place, parts });
        room.mending += 1;
        self.ask_chats(ChatAsk::Write(write), Asked::Holes { slot, serial, holes });
    }

    /// Holes are written, or will be tried again when something else has been.
    pub(super) fn holes_written(
        &mut self,
        slot: u32,
        serial: u64,
        holes: Vec<(u64, u32)>,
        stored: &ChatStored,
    ) {
        let Some(room) = self.chats.rooms.get_mut(slot).filter(|room| room.serial == serial) else { return };
        room.mending = room.mending.saturating_sub(1);
        if matches!(stored, ChatStored::Written) {
            return self.leave_room(slot);
        }
        room.holes.extend(holes);
    }

    /// The first command of a room is through: it takes effect, and everybody is told.
    fn finish(&mut self, slot: u32) {
        let Some(room) = self.chats.rooms.get_mut(slot) else { return };
        let Some(op) = room.queue.pop_front() else { return };
        self.chats.ops -= 1;
        let Op { whom, also, who, stage, .. } = op;
        match stage {
            Stage::Over(result) => self.answer_all(&whom, &also, result),
            // It has answers of its own.
            Stage::Written(Effect::Erased(erasure)) => self.erasure_takes_effect(slot, whom, &who, erasure),
            Stage::Written(effect) => {
                let result = self.take_effect(slot, &who, effect);
                self.answer_all(&whom, &also, result);
            }
            _ => self.answer_all(&whom, &also, Err(Refusal::Unavailable)),
        }
        self.mend(slot);
        self.write_holes(slot);
        self.weigh(slot);
    }

    fn answer_all(&mut self, whom: &Whom, also: &[Whom], result: Result<ChatReply, Refusal>) {
        for &other in also {
            let again = match &result {
                Ok(ChatReply::Message { message, .. }) => {
                    Ok(ChatReply::Message { message: message.clone(), again: true })
                }
                other => other.clone(),
            };
            self.answer(other, chat_answer(again));
        }
        self.answer(*whom, chat_answer(result));
    }

    pub(super) fn take_effect(
        &mut self,
        slot: u32,
        who: &Actor,
        effect: Effect,
    ) -> Result<ChatReply, Refusal> {
        let limit = self.limits.receipt_members as usize;
        let room = self.chats.rooms.get_mut(slot).ok_or(Refusal::Unavailable)?;
        let id = room.place.1;
        if let Effect::Made(facts) = effect {
            let conversation = Arc::new(facts.shown(usize::MAX, &who.key.id));
            room.facts = Some(facts);
            let told = told_of(&conversation);
            self.tell_members(slot, ChatEvent::Created(told), &[]);
            return Ok(ChatReply::Made { conversation, new: true });
        }
        let stale = &mut room.stale;
        let facts = room.facts.as_mut().ok_or(Refusal::NotFound)?;
        let few = facts.members().len() <= limit;
        let own = [who.key.id.clone()];
        let (reply, event, only): (_, _, &[_]) = match effect {
            Effect::Said { message, sender } => {
                facts.said(&message);
                if let Some(row) = sender {
                    facts.put_member(row);
                }
                let to = facts.other(&message.sender).cloned().map(Box::new);
                let event = ChatEvent::Said(schema::chat::Message { to, ..(*message).clone() });
                (ChatReply::Message { message: Arc::unwrap_or_clone(message), again: false }, event, &[])
            }
            Effect::Edited(message) => {
                *stale |= facts.last.is_none();
                if let Some(Some(last)) = &mut facts.last
                    && last.id == message.id
                {
                    *last = Arc::clone(&message);
                }
                let event = ChatEvent::Edited(schema::chat::Message::clone(&message));
                (ChatReply::Message { message: Arc::unwrap_or_clone(message), again: false }, event, &[])
            }
            Effect::Removed(message) => {
                *stale |= facts.last.is_none();
                facts.deleted(message.sequence, message.row);
                if facts.last.as_ref().and_then(Option::as_ref).is_some_and(|last| last.id == message.id) {
                    facts.last = None;
                }
                let event = ChatEvent::Removed { message: message.id, at: message.updated_at };
                (ChatReply::Message { message: Arc::unwrap_or_clone(message), again: false }, event, &[])
            }
            Effect::Read { row, message, user, at, told } => {
                if let Some(row) = row {
                    facts.put_member(row);
                }
                let event = ChatEvent::Read { message: message.id, user, at };
                let only = if told { &[][..] } else { &own[..] };
                (ChatReply::Done, event, only)
            }
            Effect::ReadAll { row, at, newly } => {
                let (user, up_to) = (row.member.user.clone(), row.member.read_to);
                facts.put_member(row);
                let newly = newly.into_iter().map(|at| MessageId { conversation: id, at }).collect();
                let event = ChatEvent::ReadAll { conversation: id, user, at, up_to, newly };
                (ChatReply::Done, event, if few { &[] } else { &own })
            }
            Effect::Updated(conversation) => {
                facts.conversation = Arc::clone(&conversation);
                let shown = Arc::new(facts.shown(usize::MAX, &who.key.id));
                (ChatReply::Conversation(shown), ChatEvent::Updated(conversation), &[])
            }
            Effect::Added(row) => {
                let member = row.member.clone();
                facts.put_member(row);
                let told = told_of(&Arc::new(facts.shown(super::list::MEMBERS, &member.user)));
                let user = [member.user.clone()];
                self.tell_members(slot, ChatEvent::Created(told), &user);
                let event = ChatEvent::MemberAdded { conversation: id, member: member.clone() };
                (ChatReply::Member { conversation: id, member }, event, &[])
            }
            Effect::Left(row) => {
                let gone = facts.take_member(row).ok_or(Refusal::NotFound)?;
                let event = ChatEvent::MemberRemoved { conversation: id, member: gone.member.clone() };
                self.tell_members(slot, event.clone(), &[gone.member.user]);
                (ChatReply::Done, event, &[])
            }
            Effect::Changed { row, change, to_all } => {
                let (member, with) = (facts.told(&row), facts.other(&row.member.user).cloned());
                facts.put_member(row);
                let event =
                    ChatEvent::MemberChanged { conversation: id, member: member.clone(), with, change };
                (ChatReply::Member { conversation: id, member }, event, if to_all { &[] } else { &own })
            }
            Effect::Shown(rows) => {
                let told = rows.iter().map(|row| ChatEvent::MemberChanged {
                    conversation: id,
                    member: facts.told(row),
                    with: facts.other(&row.member.user).cloned(),
                    change: MemberChange { hidden: Some(false), ..MemberChange::default() },
                });
                let told: Vec<ChatEvent> = told.collect();
                rows.into_iter().for_each(|row| facts.put_member(row));
                let conversation = Arc::new(facts.shown(usize::MAX, &who.key.id));
                for event in told {
                    self.tell_members(slot, event, &[]);
                }
                return Ok(ChatReply::Made { conversation, new: false });
            }
            // Nobody is told: what is old goes from everybody's sight alike.
            Effect::Forgotten(horizon) => {
                *stale |= facts.last.is_none();
                facts.forget(horizon);
                return Ok(ChatReply::Done);
            }
            Effect::Gone => {
                let pair = facts.pair();
                self.tell_members(slot, ChatEvent::Deleted { conversation: id, pair }, &[]);
                if let Some(room) = self.chats.rooms.get_mut(slot) {
                    room.facts = None;
                }
                return Ok(ChatReply::Done);
            }
            Effect::Made(_) | Effect::Erased(_) => return Err(Refusal::Unavailable),
        };
        self.tell_members(slot, event, only);
        Ok(reply)
    }

    /// Counts a room's bytes anew.
    fn weigh(&mut self, slot: u32) {
        let Some(room) = self.chats.rooms.get_mut(slot) else { return };
        let bytes = ROOM + room.facts.as_ref().map_or(0, |facts| facts.bytes());
        self.chats.bytes = self.chats.bytes + bytes - std::mem::replace(&mut room.bytes, bytes);
    }

    /// A room that stands for nothing goes at once.
    pub(super) fn leave_room(&mut self, slot: u32) {
        let gone = self.chats.rooms.get(slot).is_some_and(|room| room.is_idle() && room.facts.is_none());
        if gone {
            self.drop_room(slot);
        }
    }

    fn drop_room(&mut self, slot: u32) {
        if let Some(room) = self.chats.rooms.remove(slot) {
            self.chats.bytes -= room.bytes;
        }
    }

    /// Lets rooms go that were not used lately, while there are too many.
    pub(super) fn make_room(&mut self, mut budget: usize) {
        let most = self.limits.chat_cache;
        while self.chats.bytes > most && budget > 0 {
            budget -= 1;
            let slot = self.chats.hand;
            self.chats.hand = if slot + 1 < self.chats.rooms.slab.slots() { slot + 1 } else { 0 };
            let Some(room) = self.chats.rooms.get_mut(slot) else { continue };
            if room.is_idle() && !std::mem::replace(&mut room.used, false) {
                self.drop_room(slot);
            }
        }
    }
}

/// Without more members than a list shows.
fn told_of(conversation: &Arc<Conversation>) -> Arc<Conversation> {
    if conversation.members.len() <= super::list::MEMBERS {
        return Arc::clone(conversation);
    }
    let mut told = Conversation::clone(conversation);
    told.members.truncate(super::list::MEMBERS);
    Arc::new(told)
}

/// Whether a command changes nothing.
fn is_reading(command: &ChatCommand) -> bool {
    matches!(
        command,
        ChatCommand::Find { .. }
            | ChatCommand::History { .. }
            | ChatCommand::Message { .. }
            | ChatCommand::Unread { .. }
            | ChatCommand::Join { .. }
            | ChatCommand::Typing { .. }
    )
}

pub(super) fn chat_answer(result: Result<ChatReply, Refusal>) -> Answer {
    match result {
        Ok(reply) => Answer::Chat(Box::new(reply)),
        Err(refusal) => Answer::Refused(refusal),
    }
}
