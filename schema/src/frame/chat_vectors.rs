//! Golden vectors about conversations that our encoder would not write; [`super::chat_samples`] has the others.

use flatbuffers::FlatBufferBuilder;

use super::vectors::{Golden, Read, Union, build, with_length};
use super::{CLIENT_ID_MAX, ClientFrame, Encoder, FrameError, chat_samples, values};
use crate::chat::{ChatCommand, Draft, Kind, NewConversation, NewMember, Role};
use crate::command::{Command, Payload};
use crate::generated::wire;
use crate::id::Id;

/// A group as a library writes it that knows nothing of packed ids: strings, and roles for all.
fn create_of_strings(fbb: &mut FlatBufferBuilder<'static>) -> Union {
    let users: Vec<_> = ["user-1", "zoë"].iter().map(|id| fbb.create_string(id)).collect();
    let args = wire::CreateConversationArgs {
        kind: wire::ConversationKind::Group,
        name: Some(fbb.create_string("Friends")),
        users: Some(fbb.create_vector(&users)),
        roles: Some(fbb.create_vector(&[wire::Role::Creator, wire::Role::None])),
        extra: Some(fbb.create_vector::<u8>(&[])),
        ..Default::default()
    };
    wire::CreateConversation::create(fbb, &args).as_union_value()
}

fn created_of_strings() -> Read {
    let member = |user, role| NewMember { user: Id::new(user).unwrap(), role };
    let new = NewConversation {
        id: None,
        kind: Kind::Group,
        name: Some("Friends".into()),
        members: vec![member("user-1", Role::Creator), member("zoë", Role::Member)],
        extra: Payload::default(),
    };
    let command = Box::new(ChatCommand::Create(Box::new(new)));
    Read::Client(Ok(ClientFrame::Command { tag: 7, command: Command::Chat { acting: None, command } }))
}

/// A frame as another library may write it.
pub(super) fn foreign() -> Golden {
    Golden {
        name: "client-create-strings".to_owned(),
        meaning: "a group of two, ids as a vector of strings, the second without a role".to_owned(),
        bytes: build(7, wire::Body::CreateConversation, false, create_of_strings),
        read: created_of_strings(),
        ours: false,
    }
}

/// What is refused of what is said about conversations.
pub(super) fn bad() -> Vec<Golden> {
    let command = |command| Command::Chat { acting: None, command: Box::new(command) };
    let encoded = |command: &Command| {
        let mut bytes = Vec::new();
        Encoder::new().command(7, command, &mut bytes);
        bytes
    };
    let conversation = chat_samples::conversation_id();
    let of = |conversation| {
        build(7, wire::Body::FindConversation, false, move |fbb| {
            wire::OneConversation::create(fbb, &wire::OneConversationArgs { conversation }).as_union_value()
        })
    };
    let draft = Draft {
        conversation,
        client_id: Some("x".repeat(CLIENT_ID_MAX + 1).into()),
        kind: 0,
        content: "hello".into(),
        attachment: None,
    };
    let nobody = build(7, wire::Body::RemoveMember, false, |fbb| {
        let conversation = values::conversation_to_wire(chat_samples::conversation_id());
        let args = wire::RemoveMemberArgs { conversation: Some(&conversation), user: None, row: 0 };
        wire::RemoveMember::create(fbb, &args).as_union_value()
    });
    let mut fbb = FlatBufferBuilder::new();
    let body = Some(wire::Count::create(&mut fbb, &wire::CountArgs {}).as_union_value());
    let acting = Some(fbb.create_string("user-1"));
    let args = wire::FrameArgs { tag: 7, body_type: wire::Body::Count, body, acting };
    let frame = wire::Frame::create(&mut fbb, &args);
    wire::finish_frame_buffer(&mut fbb, frame);
    let kindless = build(7, wire::Body::CreateConversation, false, |fbb| {
        wire::CreateConversation::create(fbb, &wire::CreateConversationArgs::default()).as_union_value()
    });
    let refused = |name: &str, meaning: &str, bytes, what| Golden {
        name: format!("bad-{name}"),
        meaning: format!("{meaning}: refused (INVALID), with the tag"),
        bytes,
        read: Read::Client(Err(FrameError::Invalid { tag: 7, what })),
        ours: false,
    };
    vec![
        refused(
            "conversation-missing",
            "FindConversation without a conversation",
            of(None),
            "the conversation's id is missing",
        ),
        refused(
            "conversation-foreign",
            "a UUID that is no id of a conversation",
            of(Some(&wire::Uuid::new(0x0190_a0b4_7c1e_7cc0, 0x98f2_6a1f_0e3b_9d55))),
            "this is no id of a conversation",
        ),
        refused(
            "client-id-long",
            "a client id of 256 bytes",
            encoded(&command(ChatCommand::Send(Box::new(draft)))),
            "a client id has at most 255 bytes",
        ),
        refused(
            "member-missing",
            "RemoveMember without a user and a row",
            nobody,
            "a member is named by its user or its row; both are missing",
        ),
        refused(
            "kind-missing",
            "CreateConversation without a kind",
            kindless,
            "a kind of conversation that this code does not know",
        ),
        refused(
            "acting-elsewhere",
            "Count with somebody to act for",
            with_length(fbb.finished_data()),
            "only a command about conversations is given for another user",
        ),
    ]
}
