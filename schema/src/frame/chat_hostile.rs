//! What is said about conversations: read back whatever it is, refused where it is too long or forged, cut where a
//! frame has no room, and never more work to verify than its bytes.

use std::sync::Arc;

use flatbuffers::{FlatBufferBuilder, VerifierOptions};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::chat_arbitrary::{any_command, any_event, any_id, any_reply};
use super::chat_samples::{conversation, conversation_id, member, message};
use super::*;
use crate::chat::{
    Attachment, ChatCommand, ChatReply, Conversation, ConversationId, Draft, History, Kind, Member, Message,
    MessageId, NewConversation, NewMember, Role, Summary,
};
use crate::generated::wire;

fn encoded(reply: ChatReply) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::new().reply(7, &Reply::Chat(Box::new(reply)), &mut bytes);
    assert!(bytes.len() <= PREFIX + SERVER_FRAME_MAX);
    bytes.split_off(PREFIX)
}

fn decoded(frame: &[u8]) -> ChatReply {
    match decode_server(frame) {
        Ok(ServerFrame::Reply { tag: 7, reply: Reply::Chat(reply) }) => *reply,
        other => panic!("{other:?} is no answer about conversations"),
    }
}

fn uuid(n: usize) -> Id {
    Id::new(&format!("0190a0b4-7c1e-7cc0-98f2-{n:012x}")).unwrap()
}

/// A message like most: UUIDs, and a hundred bytes of text.
fn usual(n: usize) -> Message {
    Message {
        id: MessageId { conversation: conversation_id(), at: 1_790_000_000_000 - n as u64 },
        sender: uuid(n),
        client_id: Some(uuid(n).to_string().into()),
        content: "x".repeat(100).into(),
        ..message()
    }
}

fn page(count: usize, content: usize) -> History {
    let long = |n| Message { content: "x".repeat(content).into(), ..usual(n) };
    History { messages: (0..count).map(long).collect(), more: false }
}

fn members(count: usize) -> Vec<Member> {
    (0..count).map(|n| Member { user: uuid(n), ..member(n as u32 + 1, "u", Role::Member) }).collect()
}

fn summaries(count: usize, members_each: usize, content: usize) -> Vec<Summary> {
    let row = |n: usize| Summary {
        conversation: Conversation {
            id: ConversationId::from_number(n as u128),
            members: members(members_each),
            ..conversation()
        },
        last: Some(Message { content: "x".repeat(content).into(), ..usual(n) }),
        unread: n as u64,
    };
    (0..count).map(row).collect()
}

/// The verifier sees two tables and passes over each byte about once, however many rows there are.
#[test]
fn full_answers_fit_and_are_verified_as_two_tables() {
    let history = page(100, 100);
    let list = summaries(500, 2, 100);
    let group = Conversation { members: members(5_000), members_count: 5_000, ..conversation() };
    let replies = [
        ChatReply::History(history),
        ChatReply::Summaries { rows: list, more: false },
        ChatReply::Conversation(Arc::new(group)),
    ];
    for reply in replies {
        let frame = encoded(reply.clone());
        let strict = VerifierOptions {
            max_depth: 3,
            max_tables: 2,
            max_apparent_size: frame.len() + 256,
            ignore_missing_null_terminator: false,
        };
        assert!(wire::root_as_frame_with_opts(&strict, &frame).is_ok());
        assert_eq!(decoded(&frame), reply);
    }
}

#[test]
fn a_list_that_is_too_long_is_cut_and_says_so() {
    for (count, members_each, content) in [(500, 100, 100), (100, 2, 40_000), (3_000, 2, 100)] {
        let all = summaries(count, members_each, content);
        let frame = encoded(ChatReply::Summaries { rows: all.clone(), more: false });
        let ChatReply::Summaries { rows, more: true } = decoded(&frame) else { panic!("no cut list") };
        assert_eq!(rows, all[..rows.len()]);
        // Not one less than has room.
        let each = frame.len() / rows.len();
        assert!(frame.len() + 2 * each + 1_024 > SERVER_FRAME_MAX, "only {} of {count}", rows.len());
    }
}

#[test]
fn a_conversation_that_is_too_long_has_fewer_members_than_it_says() {
    let group = Conversation { members: members(20_000), members_count: 20_000, ..conversation() };
    let frame = encoded(ChatReply::Conversation(Arc::new(group.clone())));
    let ChatReply::Conversation(got) = decoded(&frame) else { panic!("no conversation") };
    assert!(got.members.len() > 5_000);
    assert_eq!(got.members, group.members[..got.members.len()]);
    assert_eq!(got.members_count, 20_000);
    let mut bytes = Vec::new();
    Encoder::new().event(&Event::Chat(group.kind, Box::new(ChatEvent::Created(Arc::new(group)))), &mut bytes);
    assert_eq!(decode_server(&bytes[PREFIX..]), Ok(ServerFrame::Chat(Box::new(ChatEvent::Created(got)))));
}

/// Which end of a page may go depends on the question, which an encoder does not know.
#[test]
fn a_page_that_is_too_long_is_cut_by_whoever_knows_the_question() {
    let all = page(100, 40_000);
    let frame = encoded(ChatReply::History(all.clone()));
    let Ok(ServerFrame::Refused(refused)) = decode_server(&frame) else { panic!("a refusal") };
    assert_eq!((refused.tag, refused.refusal()), (7, Some(Refusal::TooMany)));
    for forward in [false, true] {
        let mut page = all.clone();
        fit_history(&mut page, forward);
        let kept = page.messages.len();
        assert_eq!((kept, page.more), (6, true));
        let expected = if forward { &all.messages[100 - kept..] } else { &all.messages[..kept] };
        assert_eq!(page.messages, expected);
        assert_eq!(decoded(&encoded(ChatReply::History(page.clone()))), ChatReply::History(page));
    }
    let mut long = page(2, 300_000);
    fit_history(&mut long, true);
    assert_eq!((long.messages.len(), long.messages[0].id, long.more), (1, usual(1).id, true));
    let mut short = page(3, 100);
    fit_history(&mut short, true);
    assert_eq!(short, page(3, 100));
}

/// The same bytes as the answers to other commands: who reads them cannot tell, and need not.
#[test]
fn done_and_counts_are_the_usual_ones() {
    for (chat, usual) in [(ChatReply::Done, Reply::Done), (ChatReply::Count(9), Reply::Count(9))] {
        assert_eq!(decode_server(&encoded(chat)), Ok(ServerFrame::Reply { tag: 7, reply: usual }));
    }
}

fn refused(command: ChatCommand) -> Option<FrameError> {
    let mut bytes = Vec::new();
    let command = Command::Chat { acting: None, command: Box::new(command) };
    Encoder::new().command(7, &command, &mut bytes);
    let read = decode_client(&bytes[PREFIX..]);
    if let Ok(read) = &read {
        assert_eq!(read, &ClientFrame::Command { tag: 7, command });
    }
    read.err()
}

#[test]
fn every_text_has_its_longest() {
    let conversation = conversation_id();
    let text = |length: usize| -> Arc<str> { "x".repeat(length).into() };
    let message = MessageId { conversation, at: 1 };
    let draft = || Draft { conversation, client_id: None, kind: 0, content: text(1), attachment: None };
    let new = || NewConversation {
        id: None,
        kind: Kind::Group,
        name: None,
        members: Vec::new(),
        extra: Payload::default(),
    };
    let attached = |url, kind| {
        let attachment = Some(Attachment { url: text(url), kind: text(kind) });
        ChatCommand::Send(Box::new(Draft { attachment, ..draft() }))
    };
    type With<'a> = &'a dyn Fn(usize) -> ChatCommand;
    let cases: [(usize, &str, With<'_>); 9] = [
        (CONTENT_MAX, "content", &|n| ChatCommand::Send(Box::new(Draft { content: text(n), ..draft() }))),
        (CONTENT_MAX, "content", &|n| ChatCommand::Edit { message, content: text(n) }),
        (CLIENT_ID_MAX, "client id", &|n| {
            ChatCommand::Send(Box::new(Draft { client_id: Some(text(n)), ..draft() }))
        }),
        (ATTACHMENT_URL_MAX, "address", &|n| attached(n, 1)),
        (ATTACHMENT_KIND_MAX, "kind", &|n| attached(1, n)),
        (NAME_MAX, "name", &|n| {
            ChatCommand::Create(Box::new(NewConversation { name: Some(text(n)), ..new() }))
        }),
        (NAME_MAX, "name", &|n| ChatCommand::Update { conversation, name: Some(text(n)), extra: None }),
        (EXTRA_MAX, "kept", &|n| {
            ChatCommand::Create(Box::new(NewConversation { extra: vec![0xff; n].into(), ..new() }))
        }),
        (EXTRA_MAX, "kept", &|n| ChatCommand::Update {
            conversation,
            name: None,
            extra: Some(vec![0xff; n].into()),
        }),
    ];
    for (max, word, with) in cases {
        assert_eq!(refused(with(max)), None, "{word}");
        match refused(with(max + 1)) {
            Some(FrameError::Invalid { tag: 7, what }) => assert!(what.contains(word), "{what}"),
            other => panic!("{word}: {other:?}"),
        }
    }
    let with = |count| {
        let member = |n| NewMember { user: uuid(n), role: Role::Member };
        ChatCommand::Create(Box::new(NewConversation { members: (0..count).map(member).collect(), ..new() }))
    };
    assert_eq!(refused(with(MEMBERS_MAX)), None);
    assert_eq!(refused(with(MEMBERS_MAX + 1)), Some(FrameError::TooManyIds { tag: 7 }));
}

/// The longest of everything a client may send at once still is a frame.
#[test]
fn what_is_allowed_fits_a_frame() {
    let members = (0..MEMBERS_MAX).map(|n| NewMember { user: uuid(n), role: Role::Seller }).collect();
    let new = NewConversation {
        id: Some(conversation_id()),
        kind: Kind::Group,
        name: Some("x".repeat(NAME_MAX).into()),
        members,
        extra: vec![1; EXTRA_MAX].into(),
    };
    let draft = Draft {
        conversation: conversation_id(),
        client_id: Some("x".repeat(CLIENT_ID_MAX).into()),
        kind: 1,
        content: "x".repeat(CONTENT_MAX).into(),
        attachment: Some(Attachment {
            url: "x".repeat(ATTACHMENT_URL_MAX).into(),
            kind: "x".repeat(ATTACHMENT_KIND_MAX).into(),
        }),
    };
    for command in [ChatCommand::Create(Box::new(new)), ChatCommand::Send(Box::new(draft))] {
        let acting = Some(Id::new(&"x".repeat(255)).unwrap());
        let mut bytes = Vec::new();
        let command = Command::Chat { acting, command: Box::new(command) };
        Encoder::new().command(u64::MAX, &command, &mut bytes);
        assert!(bytes.len() <= PREFIX + FRAME_MAX, "{}", bytes.len());
    }
}

/// What a careless library writes where nothing was set.
#[test]
fn empty_is_not_set() {
    let conversation = values::conversation_to_wire(conversation_id());
    let read = |body_type, body, mut fbb: FlatBufferBuilder<'_>| {
        let args = wire::FrameArgs { tag: 7, body_type, body: Some(body), acting: None };
        let frame = wire::Frame::create(&mut fbb, &args);
        wire::finish_frame_buffer(&mut fbb, frame);
        match decode_client(fbb.finished_data()) {
            Ok(ClientFrame::Command { command: Command::Chat { command, .. }, .. }) => Ok(*command),
            Err(error) => Err(error),
            other => panic!("{other:?}"),
        }
    };
    for (extra, clear_extra, expected) in [
        (&b""[..], false, Ok(None)),
        (b"", true, Ok(Some(Payload::default()))),
        (b"x", false, Ok(Some(Payload::from(&b"x"[..])))),
        (b"x", true, Err(())),
    ] {
        let mut fbb = FlatBufferBuilder::new();
        let extra = Some(fbb.create_vector(extra));
        let args = wire::UpdateConversationArgs {
            conversation: Some(&conversation),
            name: None,
            extra,
            clear_extra,
        };
        let body = wire::UpdateConversation::create(&mut fbb, &args).as_union_value();
        let got = read(wire::Body::UpdateConversation, body, fbb).map_err(|_| ());
        let id = conversation_id();
        assert_eq!(got, expected.map(|extra| ChatCommand::Update { conversation: id, name: None, extra }));
    }
    for (url, kind, good) in [("", "", true), ("", "image", false)] {
        let mut fbb = FlatBufferBuilder::new();
        let args = wire::SendMessageArgs {
            conversation: Some(&conversation),
            client_id: Some(fbb.create_string("")),
            kind: 0,
            content: None,
            attachment_url: Some(fbb.create_string(url)),
            attachment_kind: Some(fbb.create_string(kind)),
        };
        let body = wire::SendMessage::create(&mut fbb, &args).as_union_value();
        let empty = Draft {
            conversation: conversation_id(),
            client_id: None,
            kind: 0,
            content: "".into(),
            attachment: None,
        };
        let got = read(wire::Body::SendMessage, body, fbb);
        assert_eq!(got.ok(), good.then(|| ChatCommand::Send(Box::new(empty))));
    }
}

proptest! {
    #[test]
    fn commands_read_back(tag: u64, acting in option::of(any_id()), command in any_command()) {
        let command = Command::Chat { acting, command: Box::new(command) };
        let mut bytes = Vec::new();
        Encoder::new().command(tag, &command, &mut bytes);
        let frame = split(&bytes, usize::MAX).unwrap().unwrap();
        prop_assert_eq!(decode_client(frame), Ok(ClientFrame::Command { tag, command }));
    }

    #[test]
    fn replies_and_events_read_back_from_one_encoder(reply in any_reply(), event in any_event()) {
        let mut encoder = Encoder::new();
        let reply = ServerFrame::Reply { tag: 7, reply: Reply::Chat(Box::new(reply)) };
        let event = ServerFrame::Chat(Box::new(event));
        // Twice, since the rows of one frame must not come again in the next.
        for frame in [&reply, &event, &reply] {
            let mut bytes = Vec::new();
            encoder.server(frame, &mut bytes);
            prop_assert_eq!(&decode_server(&bytes[PREFIX..]).unwrap(), frame);
        }
    }

    #[test]
    fn any_change_of_rows_does_no_harm(reply in any_reply(), flips in vec(any::<(u16, u8)>(), 1..8), end: u16) {
        let mut frame = encoded(reply);
        for (at, bits) in flips {
            let at = usize::from(at) % frame.len();
            frame[at] ^= bits;
        }
        let _ = decode_server(&frame);
        frame.truncate(usize::from(end) % frame.len());
        let _ = decode_server(&frame);
    }
}
