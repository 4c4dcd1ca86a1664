//! Client to server, about conversations: what a client writes, and how a server reads it.
//!
//! Whom a service acts for lies in the frame and not in each of its bodies; `inbound` reads and writes it.

use std::sync::Arc;

use flatbuffers::{UnionWIPOffset, Vector, WIPOffset};

use super::Encoder;
use super::inbound::payload;
use super::outbound::column;
use super::values::{self, Bad};
use crate::chat::{
    Attachment, ChatCommand, ConversationId, Draft, ListCursor, MemberChange, MessageId, NewConversation,
    NewMember, Role, Whose,
};
use crate::command::Payload;
use crate::generated::wire::{self, Body, Frame};

/// Longest content of a message, bytes: ten thousand characters of the longest kind.
pub const CONTENT_MAX: usize = 40_000;

/// Longest name of a conversation, bytes.
pub const NAME_MAX: usize = 1_024;

/// Most that is kept with a conversation, bytes.
pub const EXTRA_MAX: usize = 16 * 1024;

/// Longest name that a client gives its message, bytes.
pub const CLIENT_ID_MAX: usize = 255;

/// Longest address of an attachment, bytes.
pub const ATTACHMENT_URL_MAX: usize = 2_048;

/// Longest word for what an attachment is, bytes.
pub const ATTACHMENT_KIND_MAX: usize = 32;

/// Most members that a conversation is made with. More are added later.
pub const MEMBERS_MAX: usize = 1_000;

/// `before` and `up_to` without a bound: later than every time.
const NO_END: u64 = u64::MAX;

/// `None`: a body that is not known, or not about conversations.
pub(super) fn read(frame: &Frame<'_>) -> Option<Result<ChatCommand, Bad>> {
    Some(match frame.body_type() {
        Body::CreateConversation => read_create(frame.body_as_create_conversation()?),
        Body::FindConversation => conversation(frame.body_as_find_conversation()?)
            .map(|conversation| ChatCommand::Find { conversation }),
        Body::ListConversations => read_list(frame.body_as_list_conversations()?),
        Body::CountUnread => Ok(ChatCommand::CountUnread { kinds: frame.body_as_count_unread()?.kinds() }),
        Body::UpdateConversation => read_update(frame.body_as_update_conversation()?),
        Body::AddMember => read_add(frame.body_as_add_member()?),
        Body::RemoveMember => read_remove_member(frame.body_as_remove_member()?),
        Body::SetMember => read_set(frame.body_as_set_member()?),
        Body::DeleteConversation => conversation(frame.body_as_delete_conversation()?)
            .map(|conversation| ChatCommand::Delete { conversation }),
        Body::SendMessage => read_send(frame.body_as_send_message()?),
        Body::EditMessage => read_edit(frame.body_as_edit_message()?),
        Body::RemoveMessage => {
            message(frame.body_as_remove_message()?).map(|message| ChatCommand::Remove { message })
        }
        Body::ReadMessage => {
            message(frame.body_as_read_message()?).map(|message| ChatCommand::Read { message })
        }
        Body::ReadAll => {
            let body = frame.body_as_read_all()?;
            let up_to = end(body.up_to());
            values::conversation(body.conversation())
                .map(|conversation| ChatCommand::ReadAll { conversation, up_to })
        }
        Body::History => read_history(frame.body_as_history()?),
        Body::FindMessage => {
            message(frame.body_as_find_message()?).map(|message| ChatCommand::Message { message })
        }
        Body::CountUnreadMessages => conversation(frame.body_as_count_unread_messages()?)
            .map(|conversation| ChatCommand::Unread { conversation }),
        Body::JoinConversation => conversation(frame.body_as_join_conversation()?)
            .map(|conversation| ChatCommand::Join { conversation }),
        Body::LeaveConversation => conversation(frame.body_as_leave_conversation()?)
            .map(|conversation| ChatCommand::Leave { conversation }),
        Body::Typing => {
            let body = frame.body_as_typing()?;
            let on = body.on();
            values::conversation(body.conversation())
                .map(|conversation| ChatCommand::Typing { conversation, on })
        }
        Body::Follow => Ok(ChatCommand::Follow { on: frame.body_as_follow()?.on() }),
        _ => return None,
    })
}

fn conversation(body: wire::OneConversation<'_>) -> Result<ConversationId, Bad> {
    values::conversation(body.conversation())
}

fn message(body: wire::OneMessage<'_>) -> Result<MessageId, Bad> {
    values::message(body.message())
}

fn end(ms: u64) -> Option<u64> {
    (ms != NO_END).then_some(ms)
}

/// A text of at most `max` bytes.
fn text(text: &str, max: usize, what: &'static str) -> Result<Arc<str>, Bad> {
    if text.len() > max { Err(Bad::Value(what)) } else { Ok(Arc::from(text)) }
}

fn content(content: Option<&str>) -> Result<Arc<str>, Bad> {
    text(content.unwrap_or_default(), CONTENT_MAX, "the content of a message has at most 40,000 bytes")
}

fn name(name: Option<&str>) -> Result<Option<Arc<str>>, Bad> {
    name.map(|name| text(name, NAME_MAX, "the name of a conversation has at most 1,024 bytes")).transpose()
}

fn extra(extra: Option<Vector<'_, u8>>) -> Result<Payload, Bad> {
    if extra.is_some_and(|extra| extra.len() > EXTRA_MAX) {
        return Err(Bad::Value("what is kept with a conversation has at most 16 KiB"));
    }
    Ok(payload(extra))
}

fn read_create(body: wire::CreateConversation<'_>) -> Result<ChatCommand, Bad> {
    let users = values::ids(body.users(), body.packed())?;
    let count = users.len();
    if count > MEMBERS_MAX {
        return Err(Bad::TooManyIds);
    }
    let plain = |user| NewMember { user, role: Role::Member };
    let mut members: Vec<_> = users.into_iter().map(plain).collect();
    if let Some(roles) = body.roles().filter(|roles| !roles.is_empty()) {
        for (member, number) in members.iter_mut().zip(column(Some(roles), count)?) {
            member.role = values::role(number.0)?;
        }
    }
    Ok(ChatCommand::Create(Box::new(NewConversation {
        id: body.id().map(|id| values::conversation(Some(id))).transpose()?,
        kind: values::conversation_kind(body.kind().0)?,
        name: name(body.name())?,
        members,
        extra: extra(body.extra())?,
    })))
}

fn read_update(body: wire::UpdateConversation<'_>) -> Result<ChatCommand, Bad> {
    // Some libraries write an empty vector where nothing was set: that must not take away what is kept.
    let extra = Some(extra(body.extra())?).filter(|extra| !extra.is_empty());
    let extra = match (extra, body.clear_extra()) {
        (Some(_), true) => return Err(Bad::Value("something to keep and clear_extra exclude each other")),
        (None, true) => Some(Payload::default()),
        (extra, false) => extra,
    };
    let conversation = values::conversation(body.conversation())?;
    Ok(ChatCommand::Update { conversation, name: name(body.name())?, extra })
}

fn read_add(body: wire::AddMember<'_>) -> Result<ChatCommand, Bad> {
    let conversation = values::conversation(body.conversation())?;
    let (user, role) = (values::id(body.user())?, values::role(body.role().0)?);
    Ok(ChatCommand::AddMember { conversation, user, role })
}

fn read_remove_member(body: wire::RemoveMember<'_>) -> Result<ChatCommand, Bad> {
    let conversation = values::conversation(body.conversation())?;
    let member = match (body.user(), body.row()) {
        (Some(user), 0) => Whose::User(values::id(Some(user))?),
        (None, 0) => return Err(Bad::Value("a member is named by its user or its row; both are missing")),
        (None, row) => Whose::Row(row),
        (Some(_), _) => return Err(Bad::Value("a member is named by its user or its row, not both")),
    };
    Ok(ChatCommand::RemoveMember { conversation, member })
}

fn read_set(body: wire::SetMember<'_>) -> Result<ChatCommand, Bad> {
    let change = MemberChange {
        pinned: change(body.pinned())?,
        hidden: change(body.hidden())?,
        blocked: change(body.blocked())?,
    };
    Ok(ChatCommand::SetMember { conversation: values::conversation(body.conversation())?, change })
}

fn change(change: wire::Change) -> Result<Option<bool>, Bad> {
    match change {
        wire::Change::Leave => Ok(None),
        wire::Change::On => Ok(Some(true)),
        wire::Change::Off => Ok(Some(false)),
        _ => Err(Bad::Value("a change is 0 (as it is), 1 (on) or 2 (off)")),
    }
}

fn change_to_wire(change: Option<bool>) -> wire::Change {
    match change {
        None => wire::Change::Leave,
        Some(true) => wire::Change::On,
        Some(false) => wire::Change::Off,
    }
}

fn read_send(body: wire::SendMessage<'_>) -> Result<ChatCommand, Bad> {
    // An empty name would make one message of all that a careless client ever says.
    let client_id = body.client_id().filter(|name| !name.is_empty());
    let client_id = client_id.map(|name| text(name, CLIENT_ID_MAX, "a client id has at most 255 bytes"));
    let url = body.attachment_url().filter(|url| !url.is_empty());
    let kind = body.attachment_kind().unwrap_or_default();
    let attachment = match url {
        None if kind.is_empty() => None,
        None => return Err(Bad::Value("an attachment without its address")),
        Some(url) => Some(Attachment {
            url: text(url, ATTACHMENT_URL_MAX, "the address of an attachment has at most 2,048 bytes")?,
            kind: text(kind, ATTACHMENT_KIND_MAX, "the kind of an attachment has at most 32 bytes")?,
        }),
    };
    Ok(ChatCommand::Send(Box::new(Draft {
        conversation: values::conversation(body.conversation())?,
        client_id: client_id.transpose()?,
        kind: body.kind(),
        content: content(body.content())?,
        attachment,
    })))
}

fn read_list(body: wire::ListConversations<'_>) -> Result<ChatCommand, Bad> {
    let conversation = body.after().map(|id| values::conversation(Some(id))).transpose()?;
    let after = match (end(body.before()), conversation) {
        (None, Some(_)) => return Err(Bad::Value("after needs a before: both are of the last row")),
        (None, None) => None,
        (Some(updated_at), conversation) => Some(ListCursor { updated_at, conversation }),
    };
    Ok(ChatCommand::List { kinds: body.kinds(), limit: body.limit(), after })
}

fn read_edit(body: wire::EditMessage<'_>) -> Result<ChatCommand, Bad> {
    Ok(ChatCommand::Edit { message: values::message(body.message())?, content: content(body.content())? })
}

fn read_history(body: wire::History<'_>) -> Result<ChatCommand, Bad> {
    Ok(ChatCommand::History {
        conversation: values::conversation(body.conversation())?,
        before: end(body.before()),
        // Nothing was created at 0.
        after: Some(body.after()).filter(|&ms| ms != 0),
        forward: body.forward(),
        limit: body.limit(),
    })
}

type Written = (Body, WIPOffset<UnionWIPOffset>);

impl Encoder {
    /// Writes the body of a command.
    pub(super) fn chat_command(&mut self, command: &ChatCommand) -> Written {
        match command {
            ChatCommand::Create(new) => self.create(new),
            ChatCommand::Find { conversation } => self.of(Body::FindConversation, *conversation),
            ChatCommand::List { kinds, limit, after } => {
                let after = after.as_ref();
                let beyond = after.and_then(|after| after.conversation).map(values::conversation_to_wire);
                let args = wire::ListConversationsArgs {
                    kinds: *kinds,
                    limit: *limit,
                    before: after.map_or(NO_END, |after| after.updated_at),
                    after: beyond.as_ref(),
                };
                let body = wire::ListConversations::create(&mut self.builder, &args);
                (Body::ListConversations, body.as_union_value())
            }
            ChatCommand::CountUnread { kinds } => {
                let args = wire::CountUnreadArgs { kinds: *kinds };
                (Body::CountUnread, wire::CountUnread::create(&mut self.builder, &args).as_union_value())
            }
            ChatCommand::Update { conversation, name, extra } => {
                self.update(*conversation, name.as_deref(), extra.as_deref())
            }
            ChatCommand::AddMember { conversation, user, role } => {
                let args = wire::AddMemberArgs {
                    conversation: Some(&values::conversation_to_wire(*conversation)),
                    user: Some(self.id(user)),
                    role: wire::Role(*role as u8),
                };
                (Body::AddMember, wire::AddMember::create(&mut self.builder, &args).as_union_value())
            }
            ChatCommand::RemoveMember { conversation, member } => {
                let (user, row) = match member {
                    Whose::User(user) => (Some(self.id(user)), 0),
                    Whose::Row(row) => (None, *row),
                };
                let conversation = values::conversation_to_wire(*conversation);
                let args = wire::RemoveMemberArgs { conversation: Some(&conversation), user, row };
                (Body::RemoveMember, wire::RemoveMember::create(&mut self.builder, &args).as_union_value())
            }
            ChatCommand::SetMember { conversation, change } => {
                let args = wire::SetMemberArgs {
                    conversation: Some(&values::conversation_to_wire(*conversation)),
                    pinned: change_to_wire(change.pinned),
                    hidden: change_to_wire(change.hidden),
                    blocked: change_to_wire(change.blocked),
                };
                (Body::SetMember, wire::SetMember::create(&mut self.builder, &args).as_union_value())
            }
            ChatCommand::Delete { conversation } => self.of(Body::DeleteConversation, *conversation),
            ChatCommand::Send(draft) => self.draft(draft),
            ChatCommand::Edit { message, content } => {
                let content = Some(self.builder.create_string(content));
                let message = values::message_to_wire(*message);
                let args = wire::EditMessageArgs { message: Some(&message), content };
                (Body::EditMessage, wire::EditMessage::create(&mut self.builder, &args).as_union_value())
            }
            ChatCommand::Remove { message } => self.of_message(Body::RemoveMessage, *message),
            ChatCommand::Read { message } => self.of_message(Body::ReadMessage, *message),
            ChatCommand::ReadAll { conversation, up_to } => {
                let conversation = values::conversation_to_wire(*conversation);
                let args =
                    wire::ReadAllArgs { conversation: Some(&conversation), up_to: up_to.unwrap_or(NO_END) };
                (Body::ReadAll, wire::ReadAll::create(&mut self.builder, &args).as_union_value())
            }
            ChatCommand::History { conversation, before, after, forward, limit } => {
                let args = wire::HistoryArgs {
                    conversation: Some(&values::conversation_to_wire(*conversation)),
                    before: before.unwrap_or(NO_END),
                    after: after.unwrap_or(0),
                    forward: *forward,
                    limit: *limit,
                };
                (Body::History, wire::History::create(&mut self.builder, &args).as_union_value())
            }
            ChatCommand::Message { message } => self.of_message(Body::FindMessage, *message),
            ChatCommand::Unread { conversation } => self.of(Body::CountUnreadMessages, *conversation),
            ChatCommand::Join { conversation } => self.of(Body::JoinConversation, *conversation),
            ChatCommand::Leave { conversation } => self.of(Body::LeaveConversation, *conversation),
            ChatCommand::Typing { conversation, on } => {
                let conversation = values::conversation_to_wire(*conversation);
                let args = wire::TypingArgs { conversation: Some(&conversation), on: *on };
                (Body::Typing, wire::Typing::create(&mut self.builder, &args).as_union_value())
            }
            ChatCommand::Follow { on } => {
                let args = wire::FollowArgs { on: *on };
                (Body::Follow, wire::Follow::create(&mut self.builder, &args).as_union_value())
            }
        }
    }

    /// Writes a body that names a conversation and nothing else.
    pub(super) fn of(&mut self, kind: Body, conversation: ConversationId) -> Written {
        let conversation = values::conversation_to_wire(conversation);
        let args = wire::OneConversationArgs { conversation: Some(&conversation) };
        (kind, wire::OneConversation::create(&mut self.builder, &args).as_union_value())
    }

    fn of_message(&mut self, kind: Body, message: MessageId) -> Written {
        let message = values::message_to_wire(message);
        let args = wire::OneMessageArgs { message: Some(&message) };
        (kind, wire::OneMessage::create(&mut self.builder, &args).as_union_value())
    }

    fn create(&mut self, new: &NewConversation) -> Written {
        let id = new.id.map(values::conversation_to_wire);
        let plain = new.members.iter().all(|member| member.role == Role::Member);
        let roles = (!plain).then(|| {
            let roles = new.members.iter().map(|member| wire::Role(member.role as u8));
            self.builder.create_vector_from_iter(roles)
        });
        let args = wire::CreateConversationArgs {
            id: id.as_ref(),
            kind: wire::ConversationKind(new.kind as u8),
            name: new.name.as_deref().map(|name| self.builder.create_string(name)),
            users: None,
            packed: Some(self.packed(new.members.iter().map(|member| &member.user))),
            roles,
            extra: (!new.extra.is_empty()).then(|| self.builder.create_vector(&new.extra)),
        };
        let body = wire::CreateConversation::create(&mut self.builder, &args);
        (Body::CreateConversation, body.as_union_value())
    }

    fn update(&mut self, id: ConversationId, name: Option<&str>, extra: Option<&[u8]>) -> Written {
        let args = wire::UpdateConversationArgs {
            conversation: Some(&values::conversation_to_wire(id)),
            name: name.map(|name| self.builder.create_string(name)),
            extra: extra.filter(|extra| !extra.is_empty()).map(|extra| self.builder.create_vector(extra)),
            clear_extra: extra.is_some_and(<[u8]>::is_empty),
        };
        let body = wire::UpdateConversation::create(&mut self.builder, &args);
        (Body::UpdateConversation, body.as_union_value())
    }

    fn draft(&mut self, draft: &Draft) -> Written {
        let fbb = &mut self.builder;
        let client_id = draft.client_id.as_deref().filter(|name| !name.is_empty());
        let attachment = draft.attachment.as_ref();
        let args = wire::SendMessageArgs {
            conversation: Some(&values::conversation_to_wire(draft.conversation)),
            client_id: client_id.map(|name| fbb.create_string(name)),
            kind: draft.kind,
            content: Some(fbb.create_string(&draft.content)),
            attachment_url: attachment.map(|it| fbb.create_string(&it.url)),
            attachment_kind: attachment.map(|it| fbb.create_string(&it.kind)),
        };
        (Body::SendMessage, wire::SendMessage::create(fbb, &args).as_union_value())
    }
}
