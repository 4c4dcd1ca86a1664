//! What a command does to a conversation: who may, what is to be read first, what is to be written, and what comes of
//! it. Pure: the same facts, command and time give the same plan.

use std::sync::Arc;

use schema::chat::{
    ChatCommand, ChatReply, Conversation, Draft, Kind, Member, MemberChange, Message, MessageId,
    NewConversation, Role, Whose,
};
use schema::{Actor, Id, Refusal};

use super::super::Now;
use super::super::store::{ChatAsk, ChatStored, Horizon, MemberRow, Part, Place};
use super::erase;
use super::facts::Facts;
use super::names::{self, Look};
use super::room::{Deed, Effect, Op};
use crate::limits::Limits;

/// Messages of a read-all that get a receipt of their own.
const RECEIPTS: u16 = 50;

/// What is to be done next.
pub(super) enum Step {
    Over(Result<ChatReply, Refusal>),
    Ask(ChatAsk),
    Write(Vec<Part>, Effect),
    /// It takes effect, and nothing is to be written.
    Skip(Effect),
}

/// What a plan is made from.
pub(super) struct Scene<'a> {
    pub(super) place: Place,
    pub(super) facts: Option<&'a Facts>,
    pub(super) limits: &'a Limits,
    pub(super) now: Now,
}

type Planned = Result<Step, Refusal>;

impl Scene<'_> {
    /// What is to be read before the command can be planned.
    pub(super) fn reads(&self, op: &Op) -> Option<ChatAsk> {
        let place = self.place;
        let facts = self.facts?;
        let member = facts.member(&op.who.key.id).map(|row| &row.member);
        let command = match &op.deed {
            Deed::Command(command) => command,
            Deed::Forget { before } => {
                let after = facts.forgotten.map_or(0, |horizon| horizon.at);
                let (before, limit) = (*before, 1);
                return Some(ChatAsk::Page { place, before, after, forward: false, limit, receipts: false });
            }
            Deed::Erase(erasing) => return erase::reads(place, facts, erasing),
        };
        match command {
            ChatCommand::Send(draft) => {
                let client_id = draft.client_id.as_ref()?;
                self.sent(facts, member?, client_id)
            }
            ChatCommand::Edit { message, .. }
            | ChatCommand::Remove { message }
            | ChatCommand::Read { message } => member.map(|_| ChatAsk::Message { place, at: message.at }),
            ChatCommand::ReadAll { up_to, .. } => {
                member?;
                let before = up_to.map_or(u64::MAX, |at| at.saturating_add(1));
                let limit = RECEIPTS;
                Some(ChatAsk::Page { place, before, after: 0, forward: false, limit, receipts: false })
            }
            _ => None,
        }
    }

    /// What is to be asked about a client id. Of one that is new, nothing.
    fn sent(&self, facts: &Facts, member: &Member, client_id: &Arc<str>) -> Option<ChatAsk> {
        let place = self.place;
        let rows = facts.rows_of(member);
        match facts.names.look(&rows, client_id) {
            Look::New => None,
            Look::Unknown(rows) => Some(ChatAsk::Names { place, rows, limit: names::READ }),
            Look::Perhaps => {
                let since = self.now.wall.saturating_sub(u64::from(self.limits.sends_kept));
                Some(ChatAsk::Sent { place, rows, client_id: Arc::clone(client_id), since })
            }
        }
    }

    /// What the command does, with what was read for it.
    pub(super) fn plan(&self, op: &Op, read: Option<ChatStored>) -> Step {
        let planned = match (&op.deed, self.facts) {
            (Deed::Command(ChatCommand::Create(new)), _) => self.create(&op.who, new),
            (_, None) => Err(Refusal::NotFound),
            (Deed::Command(command), Some(facts)) => self.change(facts, &op.who, command, read),
            (Deed::Forget { .. }, Some(facts)) => forget(facts, read),
            (Deed::Erase(erasing), Some(facts)) => erase::plan(self.place, facts, erasing, read),
        };
        planned.unwrap_or_else(|refusal| Step::Over(Err(refusal)))
    }

    fn change(&self, facts: &Facts, who: &Actor, command: &ChatCommand, read: Option<ChatStored>) -> Planned {
        match command {
            ChatCommand::Send(draft) => self.send(facts, who, draft, read),
            ChatCommand::Edit { content, .. } => self.edit(facts, who, content, read),
            ChatCommand::Remove { .. } => self.remove(facts, who, read),
            ChatCommand::Read { .. } => self.read(facts, who, read),
            ChatCommand::ReadAll { up_to, .. } => self.read_all(facts, who, *up_to, read),
            ChatCommand::Update { name, extra, .. } => {
                may_change(facts, who)?;
                if name.is_some() && !facts.conversation.kind.is_open() {
                    return Err(Refusal::Invalid);
                }
                let mut changed = Conversation::clone(&facts.conversation);
                changed.name = name.clone().or(changed.name);
                changed.extra = extra.clone().unwrap_or(changed.extra);
                changed.updated_at = self.now.wall.max(changed.updated_at);
                let changed = Arc::new(changed);
                Ok(Step::Write(vec![Part::Conversation(Arc::clone(&changed))], Effect::Updated(changed)))
            }
            ChatCommand::AddMember { user, role, .. } => {
                may_change(facts, who)?;
                self.add(facts, user, *role)
            }
            ChatCommand::RemoveMember { member, .. } => {
                may_change(facts, who)?;
                self.take_out(facts, who, member)
            }
            ChatCommand::SetMember { change, .. } => self.set(facts, own(facts, who)?, *change),
            ChatCommand::Delete { .. } => {
                may_change(facts, who)?;
                if !who.service && facts.conversation.creator != who.key.id {
                    return Err(Refusal::Forbidden);
                }
                Ok(Step::Write(vec![Part::Gone], Effect::Gone))
            }
            _ => Err(Refusal::Unsupported),
        }
    }

    fn create(&self, who: &Actor, new: &NewConversation) -> Planned {
        let mut members = new.members.clone();
        if !who.service && !members.iter().any(|member| member.user == who.key.id) {
            members.insert(0, schema::chat::NewMember { user: who.key.id.clone(), role: Role::default() });
        }
        let mut seen = std::collections::BTreeSet::new();
        members.retain(|member| seen.insert(member.user.clone()));
        if let Some(facts) = self.facts {
            let same = facts.conversation.kind == new.kind
                && (facts.conversation.kind.is_open()
                    || members.len() == facts.members().len()
                        && members.iter().all(|member| facts.member(&member.user).is_some()));
            if !same {
                return Err(Refusal::Conflict);
            }
            may_change(facts, who)?;
            let hidden: Vec<MemberRow> = match new.kind {
                Kind::Trade => facts
                    .members()
                    .iter()
                    .filter(|row| facts.told(row).hidden_at.is_some())
                    .cloned()
                    .collect(),
                _ => Vec::new(),
            };
            if hidden.is_empty() {
                let conversation = Arc::new(facts.shown(usize::MAX, &who.key.id));
                return Ok(Step::Over(Ok(ChatReply::Made { conversation, new: false })));
            }
            let shown = hidden
                .into_iter()
                .map(|row| MemberRow { member: Member { hidden_at: None, ..row.member }, ..row });
            let shown: Vec<MemberRow> = shown.collect();
            let parts = shown.iter().cloned().map(Part::Member).collect();
            return Ok(Step::Write(parts, Effect::Shown(shown)));
        }
        let fits = match new.kind {
            Kind::Direct | Kind::Trade => members.len() == 2,
            Kind::Group => members.len() >= 2 && new.name.is_some(),
            Kind::Feed => members.len() == 1,
        };
        if !fits {
            return Err(Refusal::Invalid);
        }
        if members.len() > self.limits.members as usize {
            return Err(Refusal::LimitReached);
        }
        let conversation = Arc::new(Conversation {
            id: self.place.1,
            kind: new.kind,
            name: new.name.clone().filter(|_| new.kind.is_open()),
            creator: who.key.id.clone(),
            extra: new.extra.clone(),
            created_at: self.now.wall,
            updated_at: self.now.wall,
            members_count: 0,
            members: Vec::new(),
        });
        let rows: Vec<MemberRow> = (1..)
            .zip(members)
            .map(|(row, member)| {
                let own = member.user == who.key.id;
                let role = if own && member.role == Role::Member { Role::Creator } else { member.role };
                let mut new = fresh(row, member.user, role, self.now.wall, 0);
                new.member.read_at = own.then_some(self.now.wall);
                new
            })
            .collect();
        let mut parts = vec![Part::Conversation(Arc::clone(&conversation))];
        parts.extend(rows.iter().cloned().map(Part::Member));
        Ok(Step::Write(parts, Effect::Made(Box::new(Facts::new(conversation, rows)))))
    }

    fn send(&self, facts: &Facts, who: &Actor, draft: &Draft, read: Option<ChatStored>) -> Planned {
        let row = own(facts, who)?;
        if facts.is_blocked() {
            return Err(Refusal::Blocked);
        }
        match read {
            Some(ChatStored::Sent(Some(at))) => {
                return Ok(Step::Ask(ChatAsk::Message { place: self.place, at }));
            }
            Some(ChatStored::Message(Some(message))) => {
                return Ok(Step::Over(Ok(ChatReply::Message { message: *message, again: true })));
            }
            // The member's client ids were read, and are known now.
            Some(ChatStored::Names { .. }) => {
                let asks = draft.client_id.as_ref().and_then(|id| self.sent(facts, &row.member, id));
                if let Some(ask) = asks {
                    return Ok(Step::Ask(ask));
                }
            }
            _ => {}
        }
        let at = facts.pace.next(facts.issued_at, self.now).ok_or(Refusal::Busy)?;
        let sequence = facts.issued + 1;
        let message = Arc::new(Message {
            id: MessageId { conversation: self.place.1, at },
            sequence,
            sent: if facts.is_pair() { facts.issued_sent(row.member.row) + 1 } else { 0 },
            sender: who.key.id.clone(),
            to: None,
            row: row.member.row,
            client_id: draft.client_id.clone(),
            kind: draft.kind,
            content: Arc::clone(&draft.content),
            attachment: draft.attachment.clone(),
            updated_at: at,
            edited: false,
            deleted: false,
            reads: Vec::new(),
        });
        let mut parts = vec![Part::Message(Arc::clone(&message))];
        let sender =
            facts.conversation.kind.sending_reads().then(|| facts.with_floor(row, sequence, 0, at, at));
        parts.extend(sender.clone().map(Part::Member));
        if let Some(client_id) = &draft.client_id {
            let client_id = Arc::clone(client_id);
            parts.push(Part::Sent { row: row.member.row, client_id, message: at });
        }
        Ok(Step::Write(parts, Effect::Said { message, sender }))
    }

    fn edit(&self, facts: &Facts, who: &Actor, content: &Arc<str>, read: Option<ChatStored>) -> Planned {
        let mut message = own_message(facts, who, read)?;
        if message.deleted {
            return Err(Refusal::Gone);
        }
        if content.is_empty() && message.attachment.is_none() {
            return Err(Refusal::Invalid);
        }
        message.content = Arc::clone(content);
        message.edited = true;
        message.updated_at = self.now.wall.max(message.updated_at + 1);
        let message = Arc::new(without_reads(message));
        Ok(Step::Write(vec![Part::Message(Arc::clone(&message))], Effect::Edited(message)))
    }

    fn remove(&self, facts: &Facts, who: &Actor, read: Option<ChatStored>) -> Planned {
        let mut message = own_message(facts, who, read)?;
        if message.deleted {
            return Ok(Step::Over(Ok(ChatReply::Message { message, again: true })));
        }
        message.content = Arc::from("");
        (message.attachment, message.deleted) = (None, true);
        message.updated_at = self.now.wall.max(message.updated_at + 1);
        let message = Arc::new(without_reads(message));
        let deleted = Part::Deleted { sequence: message.sequence, row: message.row };
        Ok(Step::Write(vec![Part::Message(Arc::clone(&message)), deleted], Effect::Removed(message)))
    }

    fn read(&self, facts: &Facts, who: &Actor, read: Option<ChatStored>) -> Planned {
        let row = own(facts, who)?;
        let message = found(read)?;
        let user = &row.member.user;
        let done = || Ok(Step::Over(Ok(ChatReply::Done)));
        if message.row == row.member.row || message.deleted || message.id.at <= row.member.hidden_to {
            return done();
        }
        let receipts = facts.members().len() <= self.limits.receipt_members as usize;
        let single = facts.with_single(row, message.sequence);
        if single.as_ref().is_some_and(|single| single.singles.len() > self.limits.singles as usize) {
            return Err(Refusal::LimitReached);
        }
        let told = receipts && !message.reads.iter().any(|read| read.user == *user);
        let mut parts: Vec<Part> = single.clone().map(Part::Member).into_iter().collect();
        if told {
            parts.push(Part::Receipt { message: message.id.at, row: row.member.row, at: self.now.wall });
        }
        if parts.is_empty() {
            return done();
        }
        let (user, message) = (user.clone(), Arc::new(message));
        Ok(Step::Write(parts, Effect::Read { row: single, message, user, at: self.now.wall, told }))
    }

    fn read_all(&self, facts: &Facts, who: &Actor, up_to: Option<u64>, read: Option<ChatStored>) -> Planned {
        let row = own(facts, who)?;
        let Some(ChatStored::Page { messages, .. }) = read else { return Err(Refusal::Unavailable) };
        // What came while the page was read is not read yet; a hole at the end is.
        let newest = messages.iter().find(|message| message.sequence <= facts.head);
        let (floor, to, sent) = match (up_to, newest) {
            (Some(at), _) if at < facts.head_at => match newest {
                Some(newest) if newest.row == row.member.row => (newest.sequence, newest.id.at, newest.sent),
                Some(newest) => (newest.sequence, newest.id.at, newest.sequence.saturating_sub(newest.sent)),
                None => return Ok(Step::Over(Ok(ChatReply::Done))),
            },
            _ => (facts.head, facts.head_at, facts.sent(row.member.row)),
        };
        if facts.unread(row) == 0 && row.member.read_at.is_some() && floor <= row.floor {
            return Ok(Step::Over(Ok(ChatReply::Done)));
        }
        let sent = if facts.conversation.kind.sending_reads() { 0 } else { sent };
        let now = facts.with_floor(row, floor, sent, to, self.now.wall);
        let mut parts = vec![Part::Member(now.clone())];
        let mut newly = Vec::new();
        if facts.members().len() <= self.limits.receipt_members as usize {
            for message in &messages {
                let ours = message.row == row.member.row || message.deleted;
                if ours || message.sequence > floor || Facts::has_read(row, message.sequence) {
                    continue;
                }
                newly.push(message.id.at);
                parts.push(Part::Receipt { message: message.id.at, row: row.member.row, at: self.now.wall });
            }
        }
        Ok(Step::Write(parts, Effect::ReadAll { row: now, at: self.now.wall, newly }))
    }

    fn add(&self, facts: &Facts, user: &Id, role: Role) -> Planned {
        if !facts.conversation.kind.is_open() {
            return Err(Refusal::Invalid);
        }
        if facts.member(user).is_some() {
            return Err(Refusal::Conflict);
        }
        if facts.members().len() >= self.limits.members as usize || facts.last_row == u32::MAX {
            return Err(Refusal::LimitReached);
        }
        let mut row = fresh(facts.last_row + 1, user.clone(), role, self.now.wall, facts.head);
        if self.limits.history_since_join {
            row.member.hidden_to = facts.head_at;
        }
        Ok(Step::Write(vec![Part::Member(row.clone())], Effect::Added(row)))
    }

    fn take_out(&self, facts: &Facts, who: &Actor, member: &Whose) -> Planned {
        if !facts.conversation.kind.is_open() {
            return Err(Refusal::Invalid);
        }
        let row = match member {
            Whose::Row(row) => facts.by_row(*row),
            Whose::User(user) => facts.member(user),
        };
        let row = &row.ok_or(Refusal::NotFound)?.member;
        if !who.service && row.user != who.key.id && facts.conversation.creator != who.key.id {
            return Err(Refusal::Forbidden);
        }
        if facts.members().len() == 1 {
            return Ok(Step::Write(vec![Part::Gone], Effect::Gone));
        }
        Ok(Step::Write(
            vec![Part::MemberGone { row: row.row, user: row.user.clone() }],
            Effect::Left(row.row),
        ))
    }

    fn set(&self, facts: &Facts, row: &MemberRow, change: MemberChange) -> Planned {
        let mut now = row.clone();
        let member = &mut now.member;
        if let Some(pinned) = change.pinned {
            member.pinned_at = pinned.then(|| member.pinned_at.unwrap_or(self.now.wall));
        }
        if let Some(blocked) = change.blocked {
            member.blocked = blocked;
        }
        match change.hidden {
            Some(true) => {
                (member.hidden_at, member.hidden_to) = (Some(self.now.wall), facts.head_at);
                now = facts.with_floor(&now, facts.head, facts.sent(row.member.row), row.member.read_to, 0);
                now.member.read_at = row.member.read_at;
            }
            Some(false) => member.hidden_at = None,
            None => {}
        }
        if now == *row {
            let member = facts.told(row);
            return Ok(Step::Over(Ok(ChatReply::Member { conversation: self.place.1, member })));
        }
        // Who deals with somebody is to know that the other one has left the table.
        let hiding = change.hidden.is_some() && facts.conversation.kind == Kind::Trade;
        let to_all = change.blocked.is_some() || hiding;
        Ok(Step::Write(vec![Part::Member(now.clone())], Effect::Changed { row: now, change, to_all }))
    }
}

/// What was read is the newest of what is too old.
fn forget(facts: &Facts, read: Option<ChatStored>) -> Planned {
    let Some(ChatStored::Page { messages, .. }) = read else { return Err(Refusal::Unavailable) };
    let newest = messages.first().filter(|newest| newest.sequence <= facts.head);
    let Some(horizon) = newest.map(Horizon::of) else { return Ok(Step::Over(Ok(ChatReply::Done))) };
    Ok(Step::Write(vec![Part::Forgotten(horizon)], Effect::Forgotten(horizon)))
}

/// The row of who acts.
pub(super) fn own<'a>(facts: &'a Facts, who: &Actor) -> Result<&'a MemberRow, Refusal> {
    facts.member(&who.key.id).filter(|_| !who.service).ok_or(Refusal::Forbidden)
}

fn may_change(facts: &Facts, who: &Actor) -> Result<(), Refusal> {
    if who.service || facts.member(&who.key.id).is_some() { Ok(()) } else { Err(Refusal::Forbidden) }
}

fn found(read: Option<ChatStored>) -> Result<Message, Refusal> {
    match read {
        Some(ChatStored::Message(message)) => message.map(|message| *message).ok_or(Refusal::NotFound),
        _ => Err(Refusal::Unavailable),
    }
}

fn own_message(facts: &Facts, who: &Actor, read: Option<ChatStored>) -> Result<Message, Refusal> {
    own(facts, who)?;
    let message = found(read)?;
    if message.sender == who.key.id { Ok(message) } else { Err(Refusal::Forbidden) }
}

fn without_reads(mut message: Message) -> Message {
    message.reads.clear();
    message
}

fn fresh(row: u32, user: Id, role: Role, now: u64, head: u64) -> MemberRow {
    let member = Member {
        row,
        user,
        role,
        joined_at: now,
        read_at: None,
        read_to: 0,
        hidden_to: 0,
        hidden_at: None,
        pinned_at: None,
        blocked: false,
    };
    MemberRow { member, floor: head, sent_at_floor: 0, singles: Vec::new() }
}
