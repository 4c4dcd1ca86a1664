//! Rows about conversations as a server would write them that means harm: lengths and bytes that do not account for each
//! other. The verifier lets them pass, since they lie in the frame.

use flatbuffers::FlatBufferBuilder;

use super::chat_samples::conversation_id;
use super::*;
use crate::chat::MessageId;
use crate::generated::wire;

const TORN: &str = "the texts of rows end in the middle of one";
const LEFT: &str = "there is more than the rows account for";
const UTF8: &str = "a text of a row is not UTF-8";

/// A page as a server would write it that means harm.
fn page(
    row: &wire::MessageRow,
    texts: &[u8],
    readers: &[u8],
    read_at: &[u64],
) -> Result<ServerFrame, FrameError> {
    let mut fbb = FlatBufferBuilder::new();
    let args = wire::MessageRowsArgs {
        rows: Some(fbb.create_vector(&[*row])),
        texts: Some(fbb.create_vector(texts)),
        readers: Some(fbb.create_vector(readers)),
        read_at: Some(fbb.create_vector(read_at)),
        ..Default::default()
    };
    let body = Some(wire::MessageRows::create(&mut fbb, &args).as_union_value());
    let args = wire::FrameArgs { tag: 7, body_type: wire::Body::HistoryIs, body, acting: None };
    let frame = wire::Frame::create(&mut fbb, &args);
    wire::finish_frame_buffer(&mut fbb, frame);
    decode_server(fbb.finished_data())
}

#[test]
fn messages_and_their_texts_account_for_each_other() {
    let id = values::message_to_wire(MessageId { conversation: conversation_id(), at: 1 });
    let row = |content, reads| {
        wire::MessageRow::new(&id, 1, 1, 1, 0, content, 0, 0, reads, 1, 0, false, false, false, false)
    };
    assert!(page(&row(2, 1), b"uhi", b"\x01a", &[5]).is_ok());
    let mut named = row(2, 0);
    named.set_client_id(1);
    let mut attached = row(1, 0);
    attached.set_attachment_kind(1);
    let mut nameless = row(2, 0);
    nameless.set_id(&values::conversation_to_wire(conversation_id()));
    for (row, texts, readers, read_at, expected) in [
        (row(3, 0), &b"uhi"[..], &b""[..], &[][..], TORN),
        (row(u32::MAX, 0), b"uhi", b"", &[], TORN),
        (row(2, u32::MAX), b"uhi", b"\x01a", &[5], TORN),
        (row(2, 1), b"uhi", b"\x02a", &[5], TORN),
        (row(2, 1), b"uhi", b"", &[5], TORN),
        (row(2, 1), b"uhi", b"\x01a", &[], TORN),
        (row(1, 0), b"uhi", b"", &[], LEFT),
        (row(2, 0), b"uhi", b"\x01a", &[], LEFT),
        (row(2, 0), b"uhi", b"", &[5], LEFT),
        (named, b"unhi", b"", &[], LEFT),
        (attached, b"uhi", b"", &[], LEFT),
        (row(2, 0), b"u\xc3x", b"", &[], UTF8),
        // Two halves of one character.
        (row(1, 0), b"\xc3\xa9", b"", &[], UTF8),
        (nameless, b"uhi", b"", &[], "this is no id of a message"),
    ] {
        let what = match page(&row, texts, readers, read_at) {
            Err(FrameError::Invalid { tag: 7, what }) => what,
            other => panic!("{other:?} instead of {expected}"),
        };
        assert_eq!(what, expected);
    }
}

/// One conversation as a list, and how far its columns go.
#[derive(Clone)]
struct List {
    row: wire::ConversationRow,
    texts: &'static [u8],
    members: usize,
    users: &'static [u8],
    unread: usize,
    has_last: &'static [bool],
    messages: usize,
    message_texts: &'static [u8],
}

fn list(list: &List) -> Result<ServerFrame, FrameError> {
    let member = wire::MemberRow::new(1, 0, 0, 0, 0, 0, 1, 1, false);
    let id = values::message_to_wire(MessageId { conversation: conversation_id(), at: 1 });
    let message = wire::MessageRow::new(&id, 1, 1, 1, 0, 2, 0, 0, 0, 1, 0, false, false, false, false);
    let mut fbb = FlatBufferBuilder::new();
    let args = wire::ConversationRowsArgs {
        rows: Some(fbb.create_vector(&[list.row])),
        texts: Some(fbb.create_vector(list.texts)),
        members: Some(fbb.create_vector(&vec![member; list.members])),
        users: Some(fbb.create_vector(list.users)),
        unread: Some(fbb.create_vector(&vec![3_u64; list.unread])),
        has_last: Some(fbb.create_vector(list.has_last)),
        messages: Some(fbb.create_vector(&vec![message; list.messages])),
        message_texts: Some(fbb.create_vector(list.message_texts)),
        ..Default::default()
    };
    let body = Some(wire::ConversationRows::create(&mut fbb, &args).as_union_value());
    let args = wire::FrameArgs { tag: 7, body_type: wire::Body::ConversationsAre, body, acting: None };
    let frame = wire::Frame::create(&mut fbb, &args);
    wire::finish_frame_buffer(&mut fbb, frame);
    decode_server(fbb.finished_data())
}

#[test]
fn conversations_and_their_columns_account_for_each_other() {
    let id = values::conversation_to_wire(conversation_id());
    let row = wire::ConversationRow::new(&id, 1, 2, 2, 2, 2, 1, 1, 2, true);
    let good = List {
        row,
        texts: b"ahi\xff",
        members: 2,
        users: b"\x01a\x01b",
        unread: 1,
        has_last: &[true],
        messages: 1,
        message_texts: b"uhi",
    };
    assert!(list(&good).is_ok());
    type Change<'a> = &'a dyn Fn(&mut List);
    let with = |change: Change<'_>| {
        let mut bad = good.clone();
        change(&mut bad);
        match list(&bad) {
            Err(FrameError::Invalid { tag: 7, what }) => what,
            other => panic!("{other:?}"),
        }
    };
    let columns = "the columns of a table have different lengths";
    let kind = "a kind of conversation that this code does not know";
    let cases: [(Change<'_>, &str); 16] = [
        (&|list| list.texts = b"ahi", TORN),
        (&|list| list.texts = b"ahi\xff\xff", LEFT),
        (&|list| list.texts = b"a\xffi\xff", UTF8),
        (&|list| list.row.set_has_name(false), LEFT),
        (&|list| list.row.set_members(3), TORN),
        (&|list| list.row.set_members(u32::MAX), TORN),
        (&|list| list.row.set_members(1), LEFT),
        (&|list| list.members = 3, LEFT),
        (&|list| list.users = b"\x01a\x02b", TORN),
        (&|list| list.users = b"\x01a\x01b\x01c", LEFT),
        (&|list| list.unread = 2, columns),
        (&|list| list.has_last = &[true, false], columns),
        (&|list| list.has_last = &[false], LEFT),
        (&|list| list.messages = 0, TORN),
        (&|list| list.messages = 2, LEFT),
        (&|list| list.row.set_kind(9), kind),
    ];
    for (at, (change, expected)) in cases.into_iter().enumerate() {
        assert_eq!(with(change), expected, "case {at}");
    }
}

/// A frame that says one message, but has none or two.
#[test]
fn one_is_one() {
    let id = values::message_to_wire(MessageId { conversation: conversation_id(), at: 1 });
    let row = wire::MessageRow::new(&id, 1, 1, 1, 0, 0, 0, 0, 0, 1, 0, false, false, false, false);
    for (count, good) in [(0, false), (1, true), (2, false)] {
        let mut fbb = FlatBufferBuilder::new();
        let args = wire::MessageRowsArgs {
            rows: Some(fbb.create_vector(&vec![row; count])),
            texts: Some(fbb.create_vector(&vec![b'u'; count])),
            ..Default::default()
        };
        let body = Some(wire::MessageRows::create(&mut fbb, &args).as_union_value());
        let args = wire::FrameArgs { tag: 0, body_type: wire::Body::Said, body, acting: None };
        let frame = wire::Frame::create(&mut fbb, &args);
        wire::finish_frame_buffer(&mut fbb, frame);
        assert_eq!(decode_server(fbb.finished_data()).is_ok(), good, "{count} messages");
    }
}
