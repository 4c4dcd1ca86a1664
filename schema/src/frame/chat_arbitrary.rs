//! Anything that may be said about conversations, for the property tests of [`super::chat_hostile`].

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::chat::ids::LAST_MS;
use crate::chat::{
    Attachment, ChatCommand, ChatEvent, ChatReply, Conversation, ConversationId, Draft, History, Kind,
    ListCursor, Member, MemberChange, Message, MessageId, NewConversation, NewMember, Receipt, Role, Summary,
    Whose,
};
use crate::command::Payload;
use crate::id::Id;

pub(super) fn any_id() -> impl Strategy<Value = Id> {
    let text = prop_oneof!["[a-z0-9]{1,30}", "\\PC{1,40}", "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"];
    text.prop_filter_map("an id", |text| Id::new(&text).ok())
}

fn any_text() -> impl Strategy<Value = Arc<str>> {
    "\\PC{0,40}".prop_map(Arc::from)
}

/// Where an empty one is none.
fn full_text() -> impl Strategy<Value = Arc<str>> {
    "\\PC{1,8}".prop_map(Arc::from)
}

fn any_payload() -> impl Strategy<Value = Payload> {
    vec(any::<u8>(), 0..60).prop_map(Payload::from)
}

fn any_conversation_id() -> impl Strategy<Value = ConversationId> {
    any::<u128>().prop_map(ConversationId::from_number)
}

fn any_message_id() -> impl Strategy<Value = MessageId> {
    (any_conversation_id(), 1..=LAST_MS).prop_map(|(conversation, at)| MessageId { conversation, at })
}

fn any_role() -> impl Strategy<Value = Role> {
    prop::sample::select(&Role::ALL[..])
}

fn any_kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(&Kind::ALL[..])
}

fn any_attachment() -> impl Strategy<Value = Option<Attachment>> {
    option::of(
        (full_text(), any::<[char; 2]>())
            .prop_map(|(url, kind)| Attachment { url, kind: String::from_iter(kind).into() }),
    )
}

/// `None` or a time that says something.
fn any_time() -> impl Strategy<Value = Option<u64>> {
    option::of(1..u64::MAX)
}

fn any_new() -> impl Strategy<Value = NewConversation> {
    let member = (any_id(), any_role()).prop_map(|(user, role)| NewMember { user, role });
    let fields = (
        option::of(any_conversation_id()),
        any_kind(),
        option::of(any_text()),
        vec(member, 0..9),
        any_payload(),
    );
    fields.prop_map(|(id, kind, name, members, extra)| NewConversation { id, kind, name, members, extra })
}

fn any_draft() -> impl Strategy<Value = Draft> {
    let fields = (any_conversation_id(), option::of(full_text()), any::<u8>(), any_text(), any_attachment());
    fields.prop_map(|(conversation, client_id, kind, content, attachment)| Draft {
        conversation,
        client_id,
        kind,
        content,
        attachment,
    })
}

fn any_cursor() -> impl Strategy<Value = ListCursor> {
    (0..u64::MAX, option::of(any_conversation_id()))
        .prop_map(|(updated_at, conversation)| ListCursor { updated_at, conversation })
}

pub(super) fn any_command() -> impl Strategy<Value = ChatCommand> {
    use ChatCommand as C;
    let id = any_conversation_id;
    let whose = prop_oneof![any_id().prop_map(Whose::User), (1..=u32::MAX).prop_map(Whose::Row)];
    let change = any::<[Option<bool>; 3]>().prop_map(|[pinned, hidden, blocked]| MemberChange {
        pinned,
        hidden,
        blocked,
    });
    prop_oneof![
        any_new().prop_map(|new| C::Create(Box::new(new))),
        any_draft().prop_map(|draft| C::Send(Box::new(draft))),
        id().prop_map(|conversation| C::Find { conversation }),
        id().prop_map(|conversation| C::Delete { conversation }),
        id().prop_map(|conversation| C::Unread { conversation }),
        id().prop_map(|conversation| C::Join { conversation }),
        id().prop_map(|conversation| C::Leave { conversation }),
        (any::<u8>(), any::<u32>(), option::of(any_cursor())).prop_map(|(kinds, limit, after)| C::List {
            kinds,
            limit,
            after
        }),
        any::<u8>().prop_map(|kinds| C::CountUnread { kinds }),
        (id(), option::of(any_text()), option::of(any_payload()))
            .prop_map(|(conversation, name, extra)| C::Update { conversation, name, extra }),
        (id(), any_id(), any_role()).prop_map(|(conversation, user, role)| C::AddMember {
            conversation,
            user,
            role
        }),
        (id(), whose).prop_map(|(conversation, member)| C::RemoveMember { conversation, member }),
        (id(), change).prop_map(|(conversation, change)| C::SetMember { conversation, change }),
        (any_message_id(), any_text()).prop_map(|(message, content)| C::Edit { message, content }),
        any_message_id().prop_map(|message| C::Remove { message }),
        any_message_id().prop_map(|message| C::Read { message }),
        any_message_id().prop_map(|message| C::Message { message }),
        (id(), any_time()).prop_map(|(conversation, up_to)| C::ReadAll { conversation, up_to }),
        (id(), any_time(), any_time(), any::<bool>(), any::<u16>()).prop_map(
            |(conversation, before, after, forward, limit)| C::History {
                conversation,
                before,
                after,
                forward,
                limit
            }
        ),
        (id(), any::<bool>()).prop_map(|(conversation, on)| C::Typing { conversation, on }),
        any::<bool>().prop_map(|on| C::Follow { on }),
    ]
}

fn any_receipt() -> impl Strategy<Value = Receipt> {
    (any_id(), any::<u64>()).prop_map(|(user, at)| Receipt { user, at })
}

fn any_message() -> impl Strategy<Value = Message> {
    let numbers =
        (any_message_id(), any::<u64>(), any::<u64>(), any::<u32>(), any::<u8>(), any::<[bool; 2]>());
    let texts = (any_id(), option::of(any_text()), any_text(), any_attachment(), vec(any_receipt(), 0..4));
    (numbers, texts).prop_map(
        |(
            (id, sequence, updated_at, row, kind, [edited, deleted]),
            (sender, client_id, content, attachment, reads),
        )| {
            Message {
                id,
                sequence,
                sent: 0,
                sender,
                to: None,
                row,
                client_id,
                kind,
                content,
                attachment,
                updated_at,
                edited,
                deleted,
                reads,
            }
        },
    )
}

fn any_member() -> impl Strategy<Value = Member> {
    let times = (any::<[u64; 3]>(), any_time(), any_time(), any_time());
    (any::<u32>(), any_id(), any_role(), times, any::<bool>()).prop_map(
        |(row, user, role, ([joined_at, read_to, hidden_to], read_at, hidden_at, pinned_at), blocked)| {
            Member { row, user, role, joined_at, read_at, read_to, hidden_to, hidden_at, pinned_at, blocked }
        },
    )
}

fn any_conversation() -> impl Strategy<Value = Conversation> {
    let fields = (any_conversation_id(), any_kind(), option::of(any_text()), any_id(), any_payload());
    (fields, any::<[u64; 2]>(), any::<u32>(), vec(any_member(), 0..4)).prop_map(
        |((id, kind, name, creator, extra), [created_at, updated_at], members_count, members)| Conversation {
            id,
            kind,
            name,
            creator,
            extra,
            created_at,
            updated_at,
            members_count,
            members,
        },
    )
}

pub(super) fn any_reply() -> impl Strategy<Value = ChatReply> {
    let summary = (any_conversation(), option::of(any_message()), any::<u64>())
        .prop_map(|(conversation, last, unread)| Summary { conversation, last, unread });
    prop_oneof![
        (any_conversation(), any::<bool>())
            .prop_map(|(it, new)| ChatReply::Made { conversation: Arc::new(it), new }),
        any_conversation().prop_map(|it| ChatReply::Conversation(Arc::new(it))),
        (vec(summary, 0..5), any::<bool>()).prop_map(|(rows, more)| ChatReply::Summaries { rows, more }),
        (any_conversation_id(), any_member())
            .prop_map(|(conversation, member)| ChatReply::Member { conversation, member }),
        (any_message(), any::<bool>()).prop_map(|(message, again)| ChatReply::Message { message, again }),
        (vec(any_message(), 0..6), any::<bool>())
            .prop_map(|(messages, more)| ChatReply::History(History { messages, more })),
    ]
}

pub(super) fn any_event() -> impl Strategy<Value = ChatEvent> {
    use ChatEvent as E;
    let id = any_conversation_id;
    prop_oneof![
        any_message().prop_map(E::Said),
        any_message().prop_map(E::Edited),
        (any_message_id(), any::<u64>()).prop_map(|(message, at)| E::Removed { message, at }),
        (any_message_id(), any_id(), any::<u64>()).prop_map(|(message, user, at)| E::Read {
            message,
            user,
            at
        }),
        (id(), any_id(), any::<[u64; 2]>(), vec(1..=LAST_MS, 0..6)).prop_map(
            |(conversation, user, [at, up_to], newly)| E::ReadAll {
                conversation,
                user,
                at,
                up_to,
                newly: newly.into_iter().map(|at| MessageId { conversation, at }).collect(),
            }
        ),
        (id(), any_id(), any::<bool>()).prop_map(|(conversation, user, on)| E::Typing {
            conversation,
            user,
            on,
            with: None,
            by: None,
        }),
        any_conversation().prop_map(|it| E::Created(Arc::new(it))),
        any_conversation().prop_map(|it| E::Updated(Arc::new(it))),
        (id(), any_member()).prop_map(|(conversation, member)| E::MemberAdded { conversation, member }),
        (id(), any_member()).prop_map(|(conversation, member)| E::MemberRemoved { conversation, member }),
        (id(), any_member()).prop_map(|(conversation, member)| E::MemberChanged {
            conversation,
            member,
            with: None,
            change: MemberChange::default()
        }),
        id().prop_map(|conversation| E::Deleted { conversation, pair: None }),
    ]
}
