//! One frame of every kind about conversations; [`super::samples`] has the others.

use std::sync::Arc;

use super::samples::Sample;
use super::{ClientFrame, ServerFrame};
use crate::chat::{
    Attachment, ChatCommand, ChatEvent, ChatReply, Conversation, ConversationId, Draft, History, Kind,
    ListCursor, Member, MemberChange, Message, MessageId, NewConversation, NewMember, Receipt, Role, Summary,
    Whose,
};
use crate::command::{Command, Payload};
use crate::event::Reply;
use crate::id::Id;

const NOW: u64 = 1_790_000_000_123;
const TAG: u64 = 7;

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

pub(super) fn conversation_id() -> ConversationId {
    ConversationId::from_number(0x1234_5678_9abc_def0_1234)
}

fn message_id() -> MessageId {
    MessageId { conversation: conversation_id(), at: NOW }
}

pub(super) fn message() -> Message {
    Message {
        id: message_id(),
        sequence: 41,
        sent: 0,
        sender: id("user-2"),
        to: None,
        row: 2,
        client_id: Some("draft-1".into()),
        kind: 0,
        content: "Grüße".into(),
        attachment: None,
        updated_at: NOW,
        edited: false,
        deleted: false,
        reads: Vec::new(),
    }
}

fn told() -> Message {
    Message {
        sequence: 42,
        id: MessageId { at: NOW + 1, ..message_id() },
        sender: id("user-1"),
        row: 1,
        client_id: None,
        kind: 3,
        content: "look".into(),
        attachment: Some(Attachment { url: "/media/cat.jpg".into(), kind: "image".into() }),
        updated_at: NOW + 5,
        edited: true,
        reads: vec![Receipt { user: id("user-2"), at: NOW + 7 }, Receipt { user: id("user-3"), at: NOW + 9 }],
        ..message()
    }
}

fn deleted() -> Message {
    Message {
        content: "".into(),
        client_id: None,
        deleted: true,
        sequence: 40,
        id: MessageId { at: NOW - 1, ..message_id() },
        ..message()
    }
}

pub(super) fn member(row: u32, user: &str, role: Role) -> Member {
    Member {
        row,
        user: id(user),
        role,
        joined_at: NOW - 1_000,
        read_at: None,
        read_to: 0,
        hidden_to: 0,
        hidden_at: None,
        pinned_at: None,
        blocked: false,
    }
}

fn busy_member() -> Member {
    Member {
        read_at: Some(NOW + 2),
        read_to: NOW,
        hidden_to: NOW - 500,
        hidden_at: Some(NOW - 400),
        pinned_at: Some(NOW - 300),
        blocked: true,
        ..member(2, "user-2", Role::Member)
    }
}

pub(super) fn conversation() -> Conversation {
    Conversation {
        id: conversation_id(),
        kind: Kind::Group,
        name: Some("Friends".into()),
        creator: id("user-1"),
        extra: Payload::from(&b"\xff\x00"[..]),
        created_at: NOW - 1_000,
        updated_at: NOW,
        members_count: 2,
        members: vec![member(1, "user-1", Role::Creator), busy_member()],
    }
}

fn direct() -> Conversation {
    Conversation {
        id: ConversationId::from_number(9),
        kind: Kind::Direct,
        name: None,
        extra: Payload::default(),
        members: vec![member(1, "user-1", Role::Member), member(2, "zoë", Role::Member)],
        ..conversation()
    }
}

fn without_members() -> Conversation {
    Conversation { members: Vec::new(), ..conversation() }
}

fn create() -> NewConversation {
    let plain = |user| NewMember { user: id(user), role: Role::Member };
    NewConversation {
        id: None,
        kind: Kind::Group,
        name: Some("Friends".into()),
        members: vec![plain("user-2"), plain("zoë")],
        extra: Payload::default(),
    }
}

fn trade() -> NewConversation {
    NewConversation {
        id: Some(conversation_id()),
        kind: Kind::Trade,
        name: None,
        members: vec![
            NewMember { user: id("user-1"), role: Role::Buyer },
            NewMember { user: id("user-2"), role: Role::Seller },
        ],
        extra: Payload::from(&b"shop 9"[..]),
    }
}

/// What clients say.
pub(super) fn client() -> Vec<Sample<ClientFrame>> {
    let acting = |acting, command| ClientFrame::Command {
        tag: TAG,
        command: Command::Chat { acting, command: Box::new(command) },
    };
    let own = |command| acting(None, command);
    let (conversation, message) = (conversation_id(), message_id());
    let draft = Draft {
        conversation,
        client_id: Some("draft-1".into()),
        kind: 0,
        content: "Grüße".into(),
        attachment: None,
    };
    let picture = Draft {
        client_id: None,
        kind: 3,
        content: "".into(),
        attachment: Some(Attachment { url: "/media/cat.jpg".into(), kind: "image".into() }),
        ..draft.clone()
    };
    let update = |name: Option<&str>, extra: Option<&[u8]>| ChatCommand::Update {
        conversation,
        name: name.map(Arc::from),
        extra: extra.map(Payload::from),
    };
    let history =
        |before, after, forward| ChatCommand::History { conversation, before, after, forward, limit: 100 };
    let cursor = ListCursor { updated_at: 1_700_000_000_123, conversation: Some(conversation) };
    let older = ListCursor { conversation: None, ..cursor };
    let pin = MemberChange { pinned: Some(true), hidden: Some(false), blocked: None };
    let out = |member| ChatCommand::RemoveMember { conversation, member };
    vec![
        ("create", "a group with two others", own(ChatCommand::Create(Box::new(create())))),
        (
            "create-trade",
            "a trade with an id, roles and something to keep with it, by a service as itself",
            own(ChatCommand::Create(Box::new(trade()))),
        ),
        ("find", "which conversation is this?", own(ChatCommand::Find { conversation })),
        (
            "list-conversations",
            "20 of user-1's direct and group conversations, asked by a service",
            acting(Some(id("user-1")), ChatCommand::List { kinds: 6, limit: 20, after: None }),
        ),
        (
            "list-conversations-after",
            "the 20 that stand behind the last row of a list",
            own(ChatCommand::List { kinds: 0, limit: 20, after: Some(cursor) }),
        ),
        (
            "list-conversations-before",
            "the 20 that were written to last before a time",
            own(ChatCommand::List { kinds: 0, limit: 20, after: Some(older) }),
        ),
        (
            "count-unread",
            "in how many conversations is something unread?",
            own(ChatCommand::CountUnread { kinds: 0 }),
        ),
        ("update", "another name, and something else to keep", own(update(Some("Foes"), Some(b"x")))),
        ("update-clear", "the same name, and nothing to keep any more", own(update(None, Some(b"")))),
        (
            "add-member",
            "zoë comes in",
            own(ChatCommand::AddMember { conversation, user: id("zoë"), role: Role::Member }),
        ),
        ("remove-member", "zoë goes out", own(out(Whose::User(id("zoë"))))),
        ("remove-member-row", "whoever was the third to come in goes out", own(out(Whose::Row(3)))),
        ("set-member", "pinned, and shown again", own(ChatCommand::SetMember { conversation, change: pin })),
        ("delete", "a conversation with all that was said", own(ChatCommand::Delete { conversation })),
        ("send-message", "a text with a name of the client's", own(ChatCommand::Send(Box::new(draft)))),
        (
            "send-message-attachment",
            "a picture and no text, said by a service for user-1",
            acting(Some(id("user-1")), ChatCommand::Send(Box::new(picture))),
        ),
        ("edit", "what was said is changed", own(ChatCommand::Edit { message, content: "Gruß".into() })),
        ("remove", "what was said is taken back", own(ChatCommand::Remove { message })),
        ("read", "a message is read", own(ChatCommand::Read { message })),
        ("read-all", "everything is read", own(ChatCommand::ReadAll { conversation, up_to: None })),
        (
            "read-all-up-to",
            "everything up to a creation time is read",
            own(ChatCommand::ReadAll { conversation, up_to: Some(NOW) }),
        ),
        ("history", "the newest hundred messages", own(history(None, None, false))),
        ("history-before", "the hundred before a creation time", own(history(Some(NOW), None, false))),
        ("history-after", "catching up: the first hundred after one", own(history(None, Some(NOW), true))),
        ("find-message", "one message", own(ChatCommand::Message { message })),
        ("unread", "how many messages are unread?", own(ChatCommand::Unread { conversation })),
        ("join", "tell me who types", own(ChatCommand::Join { conversation })),
        ("leave", "tell me no longer", own(ChatCommand::Leave { conversation })),
        ("typing", "the user types", own(ChatCommand::Typing { conversation, on: true })),
        ("follow", "tell me what happens", own(ChatCommand::Follow { on: true })),
    ]
}

/// What servers say.
pub(super) fn server() -> Vec<Sample<ServerFrame>> {
    let reply = |reply| ServerFrame::Reply { tag: TAG, reply: Reply::Chat(Box::new(reply)) };
    let event = |event| ServerFrame::Chat(Box::new(event));
    let (id_, user) = (conversation_id(), id("user-2"));
    let summary = |conversation, last, unread| Summary { conversation, last, unread };
    let rows = vec![
        summary(conversation(), Some(told()), 3),
        summary(direct(), None, 0),
        summary(without_members(), Some(message()), 1),
    ];
    let page = History { messages: vec![told(), message(), deleted()], more: true };
    let joined = || member(3, "zoë", Role::Member);
    vec![
        ("made", "a new group", reply(ChatReply::Made { conversation: Arc::new(conversation()), new: true })),
        (
            "conversation-is",
            "a direct conversation, without a name",
            reply(ChatReply::Conversation(Arc::new(direct()))),
        ),
        (
            "conversations-are",
            "three rows, of which the second has no message; there are more",
            reply(ChatReply::Summaries { rows, more: true }),
        ),
        (
            "conversations-are-none",
            "no conversation",
            reply(ChatReply::Summaries { rows: Vec::new(), more: false }),
        ),
        (
            "member-is",
            "a member who has read, hidden, pinned and blocked it",
            reply(ChatReply::Member { conversation: id_, member: busy_member() }),
        ),
        ("message-is", "a text", reply(ChatReply::Message { message: message(), again: false })),
        (
            "message-is-again",
            "an edited message with an attachment and two receipts, said before",
            reply(ChatReply::Message { message: told(), again: true }),
        ),
        ("history-is", "three messages, the last deleted; there are more", reply(ChatReply::History(page))),
        ("history-is-empty", "nothing was said", reply(ChatReply::History(History::default()))),
        ("said", "user-2 said something", event(ChatEvent::Said(message()))),
        ("edited", "user-1 changed what it had said", event(ChatEvent::Edited(told()))),
        (
            "removed",
            "a message was taken back",
            event(ChatEvent::Removed { message: message_id(), at: NOW + 3 }),
        ),
        (
            "read-by",
            "user-2 has read a message",
            event(ChatEvent::Read { message: message_id(), user: user.clone(), at: NOW + 3 }),
        ),
        (
            "all-read-by",
            "user-2 has read everything, two messages with it",
            event(ChatEvent::ReadAll {
                conversation: id_,
                user: user.clone(),
                at: NOW + 3,
                up_to: NOW,
                newly: vec![message_id(), MessageId { at: NOW - 1, ..message_id() }],
            }),
        ),
        (
            "types",
            "user-2 types",
            event(ChatEvent::Typing { conversation: id_, user, on: true, with: None, by: None }),
        ),
        ("created", "you are in a new group", event(ChatEvent::Created(Arc::new(conversation())))),
        ("updated", "its name has changed", event(ChatEvent::Updated(Arc::new(without_members())))),
        (
            "member-added",
            "zoë came in",
            event(ChatEvent::MemberAdded { conversation: id_, member: joined() }),
        ),
        (
            "member-removed",
            "zoë is out",
            event(ChatEvent::MemberRemoved { conversation: id_, member: joined() }),
        ),
        (
            "member-changed",
            "user-2 blocked it",
            event(ChatEvent::MemberChanged {
                conversation: id_,
                member: busy_member(),
                with: None,
                change: MemberChange::default(),
            }),
        ),
        ("deleted", "it is no more", event(ChatEvent::Deleted { conversation: id_, pair: None })),
    ]
}
