//! Commands about conversations: what is answered is what is stored, to members only, and counts are exact when nothing
//! is under way.

use std::collections::BTreeSet;

use engine::machine::store::Place;
use schema::chat::{
    ChatCommand, ChatReply, Conversation, ConversationId, Draft, History, ListCursor, Message, Summary,
};
use schema::{Actor, Command, Id, Key, SessionAddr};

use super::Oracle;
use super::calls::Call;
use crate::broken::{Verdict, broken, check};

/// Who acts: a user, or (`None`) a service as itself.
pub(super) fn acting(call: &Call) -> Option<Id> {
    match &call.command {
        Command::Chat { acting: Some(user), .. } => Some(user.clone()),
        _ => (!call.actor.service).then(|| call.actor.key.id.clone()),
    }
}

impl Oracle {
    /// A command about conversations is given.
    pub(super) fn chat_commanded(&mut self, session: Option<SessionAddr>, actor: &Actor, what: &Command) {
        let Command::Chat { acting, command } = what else { return };
        let own = acting.as_ref().is_none_or(|user| *user == actor.key.id) && !actor.service;
        match (&**command, session) {
            (ChatCommand::Join { conversation }, Some(session)) => {
                let ear = self.chats.ears.entry(session).or_default();
                ear.joined.entry(*conversation).or_insert(false);
            }
            (ChatCommand::Typing { conversation, on: true }, Some(session)) if own => {
                self.chats.typing.insert((session, *conversation), true);
            }
            (ChatCommand::Typing { conversation, on: true }, _) => {
                let user = acting.clone().unwrap_or_else(|| actor.key.id.clone());
                self.chats.endless.insert(((actor.key.realm, *conversation), user));
            }
            (ChatCommand::Follow { on: true }, Some(session)) => {
                self.chats.ears.entry(session).or_default();
            }
            _ => {}
        }
    }

    pub(super) fn judge_chat(&mut self, call: &Call, command: &ChatCommand, reply: &ChatReply) -> Verdict {
        self.checked.chat_replies += 1;
        let (realm, user) = (call.actor.key.realm, acting(call));
        let seen = || format!("{call:?} answered {reply:?}");
        if let (Some(id), Some(user)) = (command.conversation(), &user)
            && !matches!(command, ChatCommand::Leave { .. } | ChatCommand::Create(_))
        {
            let room = self.chats.rooms.get((realm, id));
            let inside = room.is_some_and(|room| room.maybe_member(user, call.moment));
            check(inside, "only members are answered", seen)?;
        }
        let place = command.conversation().map(|id| (realm, id));
        match (command, reply) {
            (ChatCommand::Follow { on }, ChatReply::Done) => {
                let now = self.now;
                let Some(session) = call.session else { return broken("only sessions follow", seen()) };
                let ear = self.chats.ears.entry(session).or_default();
                if *on {
                    ear.follows.get_or_insert(now);
                } else {
                    ear.follows = None;
                    ear.forgive();
                }
                Ok(())
            }
            (ChatCommand::Join { conversation }, ChatReply::Done) => {
                let Some(session) = call.session else { return broken("only sessions join", seen()) };
                if let Some(ear) = self.chats.ears.get_mut(&session) {
                    ear.joined.insert(*conversation, true);
                }
                Ok(())
            }
            (ChatCommand::Leave { conversation }, ChatReply::Done) => {
                let Some(session) = call.session else { return broken("only sessions leave", seen()) };
                let again = self
                    .calls
                    .values()
                    .any(|other| other.session == Some(session) && joins(other, *conversation));
                if let Some(ear) = self.chats.ears.get_mut(&session) {
                    if again {
                        ear.joined.insert(*conversation, false);
                    } else {
                        ear.joined.remove(conversation);
                    }
                }
                Ok(())
            }
            (ChatCommand::Typing { conversation, on }, ChatReply::Done) => {
                if let Some(session) = call.session.filter(|_| !on) {
                    self.chats.typing.remove(&(session, *conversation));
                }
                Ok(())
            }
            (ChatCommand::Send(draft), ChatReply::Message { message, again }) => {
                self.judge_sent(call, (realm, draft.conversation), user.as_ref(), draft, message, *again)
            }
            (
                ChatCommand::Edit { message: id, .. } | ChatCommand::Remove { message: id },
                ChatReply::Message { message, .. },
            ) => {
                let stored = self.chats.rooms.message((realm, id.conversation), message, call.moment);
                check(stored.is_some() && message.id == *id, "what is answered is stored", seen)?;
                let right = match command {
                    ChatCommand::Edit { content, .. } => message.content == *content && message.edited,
                    _ => message.deleted && message.content.is_empty(),
                };
                check(
                    right && user.as_ref() == Some(&message.sender),
                    "a sender changes its own messages",
                    seen,
                )
            }
            (ChatCommand::Message { message: id }, ChatReply::Message { message, .. }) => {
                let stored = self.chats.rooms.message((realm, id.conversation), message, call.moment);
                check(stored.is_some() && message.id == *id, "what is answered is stored", seen)
            }
            (ChatCommand::History { .. }, ChatReply::History(history)) => {
                self.judge_history(call, place, user.as_ref(), command, history)
            }
            (ChatCommand::Unread { .. }, ChatReply::Count(count)) => {
                let room = place.and_then(|place| self.chats.rooms.get(place));
                let Some(room) =
                    room.filter(|room| room.pending == 0 && room.changed <= call.moment && !room.torn)
                else {
                    return Ok(());
                };
                self.checked.unread += 1;
                let unread = user.as_ref().and_then(|user| room.own(user)).map_or(0, |row| room.unread(row));
                check(*count == unread, "unread counts are exact", || {
                    format!("{unread} expected: {}", seen())
                })
            }
            (ChatCommand::List { kinds, limit, after }, ChatReply::Summaries { rows, more }) => {
                let limit = (*limit).clamp(1, self.limits.chat_list) as usize;
                check(rows.len() <= limit, "a list has a limit", seen)?;
                self.judge_summaries(call, user.as_ref(), (*kinds, *after), rows, *more)
            }
            (ChatCommand::CountUnread { .. }, ChatReply::Count(count)) => {
                if self.chats.rooms.pending > 0 || self.chats.rooms.moment > call.moment {
                    return Ok(());
                }
                let Some(user) = user else { return Ok(()) };
                let key = Key::new(realm, user);
                let rooms = self.chats.rooms.of(&key).into_iter();
                let rooms: Vec<_> = rooms.filter_map(|id| self.chats.rooms.get((realm, id))).collect();
                if rooms.iter().any(|room| room.torn) {
                    return Ok(());
                }
                let unread =
                    rooms.iter().filter(|room| room.own(&key.id).is_some_and(|row| room.unread(row) > 0));
                let expected = unread.count() as u64;
                check(*count == expected, "unread counts are exact", || {
                    format!("{expected} expected: {}", seen())
                })
            }
            (ChatCommand::Create(_), ChatReply::Made { conversation, .. })
            | (
                ChatCommand::Find { .. } | ChatCommand::Update { .. },
                ChatReply::Conversation(conversation),
            ) => self.judge_conversation(call, realm, user.as_ref(), conversation),
            (ChatCommand::AddMember { conversation, user: added, .. }, ChatReply::Member { member, .. }) => {
                let room = self.chats.rooms.get((realm, *conversation));
                let inside = room.is_some_and(|room| room.maybe_member(added, call.moment));
                check(inside && member.user == *added, "who is added is a member", seen)
            }
            (
                ChatCommand::RemoveMember { .. }
                | ChatCommand::Delete { .. }
                | ChatCommand::Read { .. }
                | ChatCommand::ReadAll { .. },
                ChatReply::Done,
            )
            | (ChatCommand::SetMember { .. }, ChatReply::Member { .. }) => Ok(()),
            _ => broken("a command gets its own kind of reply", seen()),
        }
    }

    fn judge_sent(
        &mut self,
        call: &Call,
        place: Place,
        user: Option<&Id>,
        draft: &Draft,
        message: &Message,
        again: bool,
    ) -> Verdict {
        let seen = format!("{call:?} answered {message:?}, again {again}");
        let Some(room) = self.chats.rooms.get_mut(place) else {
            return broken("what is acknowledged is stored", seen);
        };
        let all = room.messages.get_mut(&message.id.at).into_iter().flatten();
        let mut all = all.into_iter();
        // Names that were used are known to the home, which answers by what it knows.
        let Some(stored) = all.find(|one| one.was_to_its_home(message, if again { call.moment } else { 0 }))
        else {
            return broken("what is acknowledged is stored", seen);
        };
        let own = user == Some(&message.sender) && message.client_id == draft.client_id;
        check(own, "a send is answered with its own message", || seen.clone())?;
        if again {
            return check(draft.client_id.is_some(), "only a client's own name is known again", || seen);
        }
        let same = message.content == draft.content && message.kind == draft.kind;
        check(same && stored.moment() > call.moment, "a send is answered with its own message", || {
            seen.clone()
        })?;
        check(!stored.acknowledged, "one client id is one message", || seen)?;
        stored.acknowledged = true;
        self.checked.acknowledged += 1;
        Ok(())
    }

    fn judge_history(
        &self,
        call: &Call,
        place: Option<Place>,
        user: Option<&Id>,
        command: &ChatCommand,
        history: &History,
    ) -> Verdict {
        let ChatCommand::History { before, after, forward, limit, .. } = command else { return Ok(()) };
        let History { messages, more } = history;
        let seen = || format!("{call:?} answered {history:?}");
        let Some(place) = place else { return Ok(()) };
        check(messages.len() <= usize::from(*limit).min(100), "a page has a limit", seen)?;
        for message in messages {
            let stored = self.chats.rooms.message(place, message, call.moment);
            check(stored.is_some(), "what is told is stored", || format!("{message:?} {}", seen()))?;
        }
        let ordered = messages
            .windows(2)
            .all(|pair| pair[0].id.at > pair[1].id.at && pair[0].sequence > pair[1].sequence);
        check(ordered, "a page is newest first", seen)?;
        let Some(room) = self.chats.rooms.get(place).filter(|room| room.surely_there(call.moment)) else {
            return Ok(());
        };
        let rows = user
            .into_iter()
            .flat_map(|user| room.members.iter().filter(move |one| one.row.member.user == *user));
        let hidden = rows.map(|one| one.row.member.hidden_to).max().unwrap_or(0);
        let (mut low, mut high) = (after.unwrap_or(0).max(hidden), before.unwrap_or(u64::MAX));
        match (more, forward) {
            (true, false) => low = messages.last().map_or(high, |last| last.id.at - 1),
            (true, true) => high = messages.first().map_or(low, |first| first.id.at + 1),
            (false, _) => {}
        }
        let missed = room.there().find(|stored| {
            let at = stored.latest().id.at;
            let inside = at > low && at < high && stored.moment() <= call.moment;
            inside && !messages.iter().any(|message| message.id.at == at)
        });
        check(missed.is_none(), "every acknowledged message is in every later history", || {
            format!("{missed:?} is missing: {}", seen())
        })
    }

    fn judge_conversation(
        &self,
        call: &Call,
        realm: schema::Realm,
        user: Option<&Id>,
        conversation: &Conversation,
    ) -> Verdict {
        let seen = || format!("{call:?} answered {conversation:?}");
        let Some(room) = self.chats.rooms.get((realm, conversation.id)) else {
            return broken("what is answered is stored", seen());
        };
        check(room.maybe_there(call.moment), "what is answered is stored", seen)?;
        let inside = user.is_none_or(|user| room.maybe_member(user, call.moment));
        check(inside, "only members are answered", seen)?;
        if room.pending > 0 || room.changed > call.moment {
            return Ok(());
        }
        let told: BTreeSet<&Id> = conversation.members.iter().map(|member| &member.user).collect();
        let stored: BTreeSet<&Id> = room.current().map(|one| &one.row.member.user).collect();
        check(told == stored, "the members told are the members", || format!("{stored:?}: {}", seen()))
    }

    fn judge_summaries(
        &self,
        call: &Call,
        user: Option<&Id>,
        (kinds, after): (u8, Option<ListCursor>),
        rows: &[Summary],
        more: bool,
    ) -> Verdict {
        let realm = call.actor.key.realm;
        let seen = || format!("{call:?} answered {rows:?} at {}", self.chats.rooms.moment);
        let Some(user) = user else { return check(rows.is_empty(), "a service has no conversations", seen) };
        let told: BTreeSet<ConversationId> = rows.iter().map(|row| row.conversation.id).collect();
        check(told.len() == rows.len(), "a list names each conversation once", seen)?;
        let ordered = rows.is_sorted_by_key(|row| std::cmp::Reverse(row.conversation.updated_at));
        check(ordered, "lists are newest first", seen)?;
        let behind = |at, id| after.is_none_or(|after| after.is_before(at, id));
        let all = rows.iter().all(|row| behind(row.conversation.updated_at, row.conversation.id));
        check(all, "a list begins behind the place that was asked for", seen)?;
        for row in rows {
            let room = self.chats.rooms.get((realm, row.conversation.id));
            let inside = room.is_some_and(|room| room.maybe_member(user, call.moment));
            check(inside, "a list names one's own conversations", seen)?;
            let Some(room) = room.filter(|room| room.pending == 0 && room.changed <= call.moment) else {
                continue;
            };
            let Some(own) = room.own(user) else { continue };
            let last = room.there().rev().map(|stored| stored.latest()).find(|message| !message.deleted);
            let last = last.filter(|last| last.id.at > own.member.hidden_to);
            let same = row.last.as_ref().map(|last| (last.id, &last.content))
                == last.map(|last| (last.id, &last.content));
            check(same, "a list tells the newest message", || {
                format!("{last:?} expected: {row:?}; {call:?}")
            })?;
            let unread = room.unread(own);
            check(row.unread == unread || room.torn, "unread counts are exact", || {
                format!("{unread} expected: {row:?}; {call:?}")
            })?;
        }
        if more || kinds != 0 {
            return Ok(());
        }
        let missed = self.chats.rooms.of(&Key::new(realm, user.clone())).into_iter().find(|id| {
            let room = self.chats.rooms.get((realm, *id));
            let Some(room) = room.filter(|room| room.surely_member(user, call.moment)) else { return false };
            let settled = after.is_none() || room.pending == 0 && room.changed <= call.moment;
            settled && room.updated_at().is_some_and(|at| behind(at, *id)) && !told.contains(id)
        });
        check(missed.is_none(), "a list misses no conversation", || format!("{missed:?} missed: {}", seen()))
    }
}

fn joins(call: &Call, id: ConversationId) -> bool {
    let Command::Chat { command, .. } = &call.command else { return false };
    matches!(&**command, ChatCommand::Join { conversation } if *conversation == id)
}
