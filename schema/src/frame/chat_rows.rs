//! Messages, members and conversations written as rows: structs of what has a fixed length, and one vector of bytes
//! with the texts, row after row. No row is a table, so the verifier's work does not grow with their number.
//! `chat_columns` reads them.
//!
//! What has no room in a frame is left out where the reader is told of it: lists say that there is more, a conversation
//! says how many members it has. A page of history cannot be cut here, see [`fit_history`].

use flatbuffers::{UnionWIPOffset, WIPOffset};

use super::{Encoder, SERVER_FRAME_MAX, values};
use crate::chat::{Conversation, History, Member, Message, Summary};
use crate::generated::wire;
use crate::id::Id;

/// Bytes of rows in a frame: what is left beside its tables and the lengths of its vectors.
const ROOM: usize = SERVER_FRAME_MAX - 1_024;

/// Bytes of a page of history: less than what may wait for a slow reader (256 KiB by default), so that a page behind
/// another long answer does not cost the connection.
const PAGE: usize = 240 * 1024;

/// Rows on their way into a frame.
#[derive(Default, Debug)]
pub(super) struct Rows {
    conversations: Vec<wire::ConversationRow>,
    texts: Vec<u8>,
    members: Vec<wire::MemberRow>,
    users: Vec<u8>,
    unread: Vec<u64>,
    has_last: Vec<bool>,
    messages: Vec<wire::MessageRow>,
    message_texts: Vec<u8>,
    readers: Vec<u8>,
    read_at: Vec<u64>,
}

/// Lengths of what the model bounds far below 4 GiB.
fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// Appends an id without its length, and returns that: an id has at most 255 bytes (`id::ID_MAX`).
fn put_id(id: &Id, into: &mut Vec<u8>) -> u8 {
    id.with_str(|text| {
        into.extend_from_slice(text.as_bytes());
        text.len() as u8
    })
}

impl Rows {
    /// Forgets the rows, and keeps their memory.
    pub(super) fn clear(&mut self) {
        let Self {
            conversations,
            texts,
            members,
            users,
            unread,
            has_last,
            messages,
            message_texts,
            readers,
            read_at,
        } = self;
        conversations.clear();
        members.clear();
        messages.clear();
        has_last.clear();
        for bytes in [texts, users, message_texts, readers] {
            bytes.clear();
        }
        unread.clear();
        read_at.clear();
    }

    fn message(&mut self, message: &Message) {
        let texts = &mut self.message_texts;
        let sender = put_id(&message.sender, texts);
        let client_id = message.client_id.as_deref().unwrap_or_default().as_bytes();
        let (url, kind) = message.attachment.as_ref().map_or((&b""[..], &b""[..]), |attachment| {
            (attachment.url.as_bytes(), attachment.kind.as_bytes())
        });
        for text in [client_id, message.content.as_bytes(), url, kind] {
            texts.extend_from_slice(text);
        }
        for receipt in &message.reads {
            values::pack_ids(std::iter::once(&receipt.user), &mut self.readers);
            self.read_at.push(receipt.at);
        }
        self.messages.push(wire::MessageRow::new(
            &values::message_to_wire(message.id),
            message.sequence,
            message.updated_at,
            message.row,
            length(client_id),
            length(message.content.as_bytes()),
            length(url),
            length(kind),
            message.reads.len() as u32,
            sender,
            message.kind,
            message.edited,
            message.deleted,
            message.client_id.is_some(),
            message.attachment.is_some(),
        ));
    }

    fn conversation(&mut self, conversation: &Conversation, members: &[Member]) {
        for member in members {
            self.members.push(member_to_wire(member));
            values::pack_ids(std::iter::once(&member.user), &mut self.users);
        }
        let creator = put_id(&conversation.creator, &mut self.texts);
        let name = conversation.name.as_deref().unwrap_or_default().as_bytes();
        self.texts.extend_from_slice(name);
        self.texts.extend_from_slice(&conversation.extra);
        self.conversations.push(wire::ConversationRow::new(
            &values::conversation_to_wire(conversation.id),
            conversation.created_at,
            conversation.updated_at,
            conversation.members_count,
            members.len() as u32,
            length(name),
            length(&conversation.extra),
            creator,
            conversation.kind as u8,
            conversation.name.is_some(),
        ));
    }
}

fn message_bytes(message: &Message) -> usize {
    let attachment = message.attachment.as_ref().map_or(0, |it| it.url.len() + it.kind.len());
    let reads = message.reads.iter().map(|receipt| receipt.user.with_str(str::len) + 1 + size_of::<u64>());
    size_of::<wire::MessageRow>()
        + message.sender.with_str(str::len)
        + message.client_id.as_ref().map_or(0, |name| name.len())
        + message.content.len()
        + attachment
        + reads.sum::<usize>()
}

fn member_bytes(member: &Member) -> usize {
    size_of::<wire::MemberRow>() + 1 + member.user.with_str(str::len)
}

/// Without its members.
fn conversation_bytes(conversation: &Conversation) -> usize {
    size_of::<wire::ConversationRow>()
        + conversation.creator.with_str(str::len)
        + conversation.name.as_ref().map_or(0, |name| name.len())
        + conversation.extra.len()
}

fn summary_bytes(summary: &Summary) -> usize {
    let members = summary.conversation.members.iter().map(member_bytes).sum::<usize>();
    let last = summary.last.as_ref().map_or(0, message_bytes);
    conversation_bytes(&summary.conversation) + members + last + size_of::<u64>() + size_of::<bool>()
}

/// How many of these lengths have room together.
fn fitting(lengths: impl Iterator<Item = usize>, room: usize) -> usize {
    let mut bytes = 0_usize;
    let fits = |length: &usize| {
        bytes = bytes.saturating_add(*length);
        bytes <= room
    };
    lengths.take_while(fits).count()
}

/// Cuts a page of history to what one answer should carry (at least one message), and says that there is more. `forward`, as in the command that asked
/// for it, says which end stays: the newest messages, or with it the oldest. Either way the next page begins where this
/// one ends, so whoever answers calls this before the page is encoded; an encoder cannot know which end it was.
pub fn fit_history(page: &mut History, forward: bool) {
    let count = page.messages.len();
    if forward {
        let fits = fitting(page.messages.iter().rev().map(message_bytes), PAGE).max(1);
        page.messages.drain(..count.saturating_sub(fits));
    } else {
        page.messages.truncate(fitting(page.messages.iter().map(message_bytes), PAGE).max(1));
    }
    page.more |= page.messages.len() < count;
}

/// Times of which 0 says that there is none.
fn time_to_wire(ms: Option<u64>) -> u64 {
    ms.map_or(0, |ms| ms.max(1))
}

pub(super) fn member_to_wire(member: &Member) -> wire::MemberRow {
    wire::MemberRow::new(
        member.joined_at,
        time_to_wire(member.read_at),
        member.read_to,
        member.hidden_to,
        time_to_wire(member.hidden_at),
        time_to_wire(member.pinned_at),
        member.row,
        member.role as u8,
        member.blocked,
    )
}

impl Encoder {
    /// Messages as they are.
    pub(super) fn messages(
        &mut self,
        messages: &[Message],
        more: bool,
        again: bool,
    ) -> WIPOffset<UnionWIPOffset> {
        let Self { builder, rows, .. } = self;
        for message in messages {
            rows.message(message);
        }
        let receipts = !rows.read_at.is_empty();
        let args = wire::MessageRowsArgs {
            rows: Some(builder.create_vector(&rows.messages)),
            texts: Some(builder.create_vector(&rows.message_texts)),
            readers: receipts.then(|| builder.create_vector(&rows.readers)),
            read_at: receipts.then(|| builder.create_vector(&rows.read_at)),
            more,
            again,
        };
        wire::MessageRows::create(builder, &args).as_union_value()
    }

    /// One conversation, with as many of its members as a frame takes; its `members_count` says how many there are.
    pub(super) fn conversation(
        &mut self,
        conversation: &Conversation,
        fresh: bool,
    ) -> WIPOffset<UnionWIPOffset> {
        let room = ROOM.saturating_sub(conversation_bytes(conversation));
        let fits = fitting(conversation.members.iter().map(member_bytes), room);
        self.rows.conversation(conversation, &conversation.members[..fits]);
        self.conversation_rows(false, fresh)
    }

    /// As many rows as a frame takes, and whether there are more.
    pub(super) fn summaries(&mut self, summaries: &[Summary], more: bool) -> WIPOffset<UnionWIPOffset> {
        let fits = fitting(summaries.iter().map(summary_bytes), ROOM);
        for summary in &summaries[..fits] {
            self.rows.conversation(&summary.conversation, &summary.conversation.members);
            self.rows.unread.push(summary.unread);
            self.rows.has_last.push(summary.last.is_some());
            if let Some(last) = &summary.last {
                self.rows.message(last);
            }
        }
        self.conversation_rows(more || fits < summaries.len(), false)
    }

    fn conversation_rows(&mut self, more: bool, fresh: bool) -> WIPOffset<UnionWIPOffset> {
        let Self { builder, rows, .. } = self;
        let (list, last) = (!rows.unread.is_empty(), !rows.messages.is_empty());
        let receipts = !rows.read_at.is_empty();
        let args = wire::ConversationRowsArgs {
            rows: Some(builder.create_vector(&rows.conversations)),
            texts: Some(builder.create_vector(&rows.texts)),
            members: Some(builder.create_vector(&rows.members)),
            users: Some(builder.create_vector(&rows.users)),
            unread: list.then(|| builder.create_vector(&rows.unread)),
            has_last: list.then(|| builder.create_vector(&rows.has_last)),
            messages: last.then(|| builder.create_vector(&rows.messages)),
            message_texts: last.then(|| builder.create_vector(&rows.message_texts)),
            readers: receipts.then(|| builder.create_vector(&rows.readers)),
            read_at: receipts.then(|| builder.create_vector(&rows.read_at)),
            more,
            fresh,
        };
        wire::ConversationRows::create(builder, &args).as_union_value()
    }
}
