//! Server to client, about conversations: what a server writes, and how a client reads it.
//!
//! Two replies have no frame of their own, since there is nothing else to say than what other commands are answered
//! with: [`ChatReply::Done`] is a `Done`, [`ChatReply::Count`] a `CountIs`. They are read as [`Reply::Done`] and
//! [`Reply::Count`].

use flatbuffers::{UnionWIPOffset, WIPOffset};

use super::values::{self, Bad};
use super::{Encoder, ServerFrame, chat_columns, chat_rows};
use crate::chat::ids::LAST_MS;
use crate::chat::{ChatEvent, ChatReply, ConversationId, History, Member, MemberChange, Message, MessageId};
use crate::event::Reply;
use crate::generated::wire::{self, Body, Frame};

/// `None`: a body that is not known, or not about conversations.
pub(super) fn read(frame: &Frame<'_>, tag: u64) -> Option<Result<ServerFrame, Bad>> {
    if let Some(reply) = read_reply(frame) {
        return Some(reply.map(|reply| ServerFrame::Reply { tag, reply: Reply::Chat(Box::new(reply)) }));
    }
    read_event(frame).map(|event| event.map(|event| ServerFrame::Chat(Box::new(event))))
}

fn read_reply(frame: &Frame<'_>) -> Option<Result<ChatReply, Bad>> {
    Some(match frame.body_type() {
        Body::Made => {
            let body = frame.body_as_made()?;
            let new = body.fresh();
            chat_columns::one_conversation(body).map(|conversation| ChatReply::Made { conversation, new })
        }
        Body::ConversationIs => {
            chat_columns::one_conversation(frame.body_as_conversation_is()?).map(ChatReply::Conversation)
        }
        Body::ConversationsAre => {
            let body = frame.body_as_conversations_are()?;
            let more = body.more();
            chat_columns::summaries(body).map(|rows| ChatReply::Summaries { rows, more })
        }
        Body::MemberIs => chat_columns::one_member(frame.body_as_member_is()?)
            .map(|(conversation, member)| ChatReply::Member { conversation, member }),
        Body::MessageIs => {
            let body = frame.body_as_message_is()?;
            let again = body.again();
            chat_columns::one_message(body).map(|message| ChatReply::Message { message, again })
        }
        Body::HistoryIs => {
            let body = frame.body_as_history_is()?;
            let more = body.more();
            chat_columns::messages(body).map(|messages| ChatReply::History(History { messages, more }))
        }
        _ => return None,
    })
}

fn read_event(frame: &Frame<'_>) -> Option<Result<ChatEvent, Bad>> {
    Some(match frame.body_type() {
        Body::Said => chat_columns::one_message(frame.body_as_said()?).map(ChatEvent::Said),
        Body::Edited => chat_columns::one_message(frame.body_as_edited()?).map(ChatEvent::Edited),
        Body::Removed => {
            let body = frame.body_as_removed()?;
            let at = body.at();
            values::message(body.message()).map(|message| ChatEvent::Removed { message, at })
        }
        Body::ReadBy => read_read(frame.body_as_read_by()?),
        Body::AllReadBy => read_read_all(frame.body_as_all_read_by()?),
        Body::Types => read_types(frame.body_as_types()?),
        Body::Created => chat_columns::one_conversation(frame.body_as_created()?).map(ChatEvent::Created),
        Body::Updated => chat_columns::one_conversation(frame.body_as_updated()?).map(ChatEvent::Updated),
        Body::MemberAdded => chat_columns::one_member(frame.body_as_member_added()?)
            .map(|(conversation, member)| ChatEvent::MemberAdded { conversation, member }),
        Body::MemberRemoved => chat_columns::one_member(frame.body_as_member_removed()?)
            .map(|(conversation, member)| ChatEvent::MemberRemoved { conversation, member }),
        Body::MemberChanged => {
            chat_columns::one_member(frame.body_as_member_changed()?).map(|(conversation, member)| {
                let change = MemberChange::default();
                ChatEvent::MemberChanged { conversation, member, with: None, change }
            })
        }
        Body::Deleted => values::conversation(frame.body_as_deleted()?.conversation())
            .map(|conversation| ChatEvent::Deleted { conversation, pair: None }),
        _ => return None,
    })
}

fn read_read(body: wire::ReadBy<'_>) -> Result<ChatEvent, Bad> {
    let message = values::message(body.message())?;
    Ok(ChatEvent::Read { message, user: values::id(body.user())?, at: body.at() })
}

fn read_read_all(body: wire::AllReadBy<'_>) -> Result<ChatEvent, Bad> {
    let conversation = values::conversation(body.conversation())?;
    let newly = body.newly().into_iter().flatten().map(|at| match at {
        1..=LAST_MS => Ok(MessageId { conversation, at }),
        _ => Err(Bad::Value("no message is created at such a time")),
    });
    Ok(ChatEvent::ReadAll {
        conversation,
        user: values::id(body.user())?,
        at: body.at(),
        up_to: body.up_to(),
        newly: newly.collect::<Result<_, _>>()?,
    })
}

fn read_types(body: wire::Types<'_>) -> Result<ChatEvent, Bad> {
    let conversation = values::conversation(body.conversation())?;
    let user = values::id(body.user())?;
    Ok(ChatEvent::Typing { conversation, user, on: body.on(), with: None, by: None })
}

type Written = (Body, WIPOffset<UnionWIPOffset>);

impl Encoder {
    /// Appends an event.
    pub(super) fn chat_event(&mut self, event: &ChatEvent, out: &mut Vec<u8>) {
        let (kind, body) = self.chat_event_body(event);
        self.finish(0, kind, body, out);
    }

    fn chat_event_body(&mut self, event: &ChatEvent) -> Written {
        match event {
            ChatEvent::Said(message) => (Body::Said, self.one_message(message, false)),
            ChatEvent::Edited(message) => (Body::Edited, self.one_message(message, false)),
            ChatEvent::Removed { message, at } => {
                let message = values::message_to_wire(*message);
                let args = wire::RemovedArgs { message: Some(&message), at: *at };
                (Body::Removed, wire::Removed::create(&mut self.builder, &args).as_union_value())
            }
            ChatEvent::Read { message, user, at } => {
                let message = values::message_to_wire(*message);
                let args = wire::ReadByArgs { message: Some(&message), user: Some(self.id(user)), at: *at };
                (Body::ReadBy, wire::ReadBy::create(&mut self.builder, &args).as_union_value())
            }
            ChatEvent::ReadAll { conversation, user, at, up_to, newly } => {
                let newly = (!newly.is_empty())
                    .then(|| self.builder.create_vector_from_iter(newly.iter().map(|message| message.at)));
                let args = wire::AllReadByArgs {
                    conversation: Some(&values::conversation_to_wire(*conversation)),
                    user: Some(self.id(user)),
                    at: *at,
                    up_to: *up_to,
                    newly,
                };
                (Body::AllReadBy, wire::AllReadBy::create(&mut self.builder, &args).as_union_value())
            }
            ChatEvent::Typing { conversation, user, on, .. } => {
                let args = wire::TypesArgs {
                    conversation: Some(&values::conversation_to_wire(*conversation)),
                    user: Some(self.id(user)),
                    on: *on,
                };
                (Body::Types, wire::Types::create(&mut self.builder, &args).as_union_value())
            }
            ChatEvent::Created(conversation) => (Body::Created, self.conversation(conversation, false)),
            ChatEvent::Updated(conversation) => (Body::Updated, self.conversation(conversation, false)),
            ChatEvent::MemberAdded { conversation, member } => {
                (Body::MemberAdded, self.one_member(*conversation, member))
            }
            ChatEvent::MemberRemoved { conversation, member } => {
                (Body::MemberRemoved, self.one_member(*conversation, member))
            }
            ChatEvent::MemberChanged { conversation, member, .. } => {
                (Body::MemberChanged, self.one_member(*conversation, member))
            }
            ChatEvent::Deleted { conversation, .. } => self.of(Body::Deleted, *conversation),
        }
    }

    /// Writes the body of a reply.
    pub(super) fn chat_reply(&mut self, reply: &ChatReply) -> Written {
        match reply {
            ChatReply::Made { conversation, new } => (Body::Made, self.conversation(conversation, *new)),
            ChatReply::Conversation(conversation) => {
                (Body::ConversationIs, self.conversation(conversation, false))
            }
            ChatReply::Summaries { rows, more } => (Body::ConversationsAre, self.summaries(rows, *more)),
            ChatReply::Member { conversation, member } => {
                (Body::MemberIs, self.one_member(*conversation, member))
            }
            ChatReply::Message { message, again } => (Body::MessageIs, self.one_message(message, *again)),
            ChatReply::History(page) => (Body::HistoryIs, self.messages(&page.messages, page.more, false)),
            ChatReply::Count(value) => (Body::CountIs, self.number(*value)),
            ChatReply::Done => {
                let args = wire::DoneArgs {};
                (Body::Done, wire::Done::create(&mut self.builder, &args).as_union_value())
            }
        }
    }

    fn one_message(&mut self, message: &Message, again: bool) -> WIPOffset<UnionWIPOffset> {
        self.messages(std::slice::from_ref(message), false, again)
    }

    fn one_member(&mut self, conversation: ConversationId, member: &Member) -> WIPOffset<UnionWIPOffset> {
        let args = wire::OneMemberArgs {
            conversation: Some(&values::conversation_to_wire(conversation)),
            member: Some(&chat_rows::member_to_wire(member)),
            user: Some(self.id(&member.user)),
        };
        wire::OneMember::create(&mut self.builder, &args).as_union_value()
    }
}
