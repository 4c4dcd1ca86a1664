//! Messages, members and conversations as rows, written and read: structs of what has a fixed length, and one vector of
//! bytes with the texts, row after row. No row is a table, so the verifier's work does not grow with them; every text
//! is checked once, here.
//!
//! A client that reads its own copy of these rows needs nothing but the lengths in the structs; a server never reads any.

use std::sync::Arc;

use flatbuffers::{UnionWIPOffset, Vector, WIPOffset};

use super::values::{self, Bad};
use super::{Encoder, SERVER_FRAME_MAX};
use crate::chat::{Attachment, Conversation, ConversationId, History, Member, Message, Receipt, Summary};
use crate::command::Payload;
use crate::generated::wire;
use crate::id::Id;

/// Bytes of rows in a frame: what is left beside its tables and the lengths of its vectors.
const ROOM: usize = SERVER_FRAME_MAX - 1_024;

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

/// Cuts a page of history to what one frame takes, and says that there is more. `forward`, as in the command that asked
/// for it, says which end stays: the newest messages, or with it the oldest. Either way the next page begins where this
/// one ends, so whoever answers calls this before the page is encoded; an encoder cannot know which end it was.
pub fn fit_history(page: &mut History, forward: bool) {
    let count = page.messages.len();
    if forward {
        let fits = fitting(page.messages.iter().rev().map(message_bytes), ROOM);
        page.messages.drain(..count - fits);
    } else {
        page.messages.truncate(fitting(page.messages.iter().map(message_bytes), ROOM));
    }
    page.more |= page.messages.len() < count;
}

/// Times of which 0 says that there is none.
fn time_to_wire(ms: Option<u64>) -> u64 {
    ms.map_or(0, |ms| ms.max(1))
}

fn time(ms: u64) -> Option<u64> {
    (ms != 0).then_some(ms)
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

pub(super) fn member(row: &wire::MemberRow, user: Id) -> Result<Member, Bad> {
    Ok(Member {
        row: row.row(),
        user,
        role: values::role(row.role())?,
        joined_at: row.joined_at(),
        read_at: time(row.read_at()),
        read_to: row.read_to(),
        hidden_to: row.hidden_to(),
        hidden_at: time(row.hidden_at()),
        pinned_at: time(row.pinned_at()),
        blocked: row.blocked(),
    })
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

const TORN: Bad = Bad::Value("the texts of rows end in the middle of one");
const LEFT: Bad = Bad::Value("there is more than the rows account for");

/// Texts that are still to be taken.
struct Texts<'a>(&'a [u8]);

impl<'a> Texts<'a> {
    fn of(bytes: Option<Vector<'a, u8>>) -> Self {
        Self(bytes.map_or(&[], |bytes| bytes.bytes()))
    }

    fn bytes(&mut self, length: u32) -> Result<&'a [u8], Bad> {
        let length = usize::try_from(length).map_err(|_| TORN)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(TORN)?;
        self.0 = rest;
        Ok(taken)
    }

    fn text(&mut self, length: u32) -> Result<&'a str, Bad> {
        std::str::from_utf8(self.bytes(length)?).map_err(|_| Bad::Value("a text of a row is not UTF-8"))
    }

    fn id(&mut self, length: u8) -> Result<Id, Bad> {
        values::id(Some(self.text(length.into())?))
    }

    /// An id behind its length.
    fn packed_id(&mut self) -> Result<Id, Bad> {
        let (&length, rest) = self.0.split_first().ok_or(TORN)?;
        self.0 = rest;
        self.id(length)
    }

    fn end(&self) -> Result<(), Bad> {
        if self.0.is_empty() { Ok(()) } else { Err(LEFT) }
    }
}

/// The columns of messages, and how far they are read.
struct Messages<'a> {
    texts: Texts<'a>,
    readers: Texts<'a>,
    read_at: flatbuffers::VectorIter<'a, u64>,
}

impl<'a> Messages<'a> {
    fn new(
        texts: Option<Vector<'a, u8>>,
        readers: Option<Vector<'a, u8>>,
        read_at: Option<Vector<'a, u64>>,
    ) -> Self {
        let read_at = read_at.unwrap_or_default().iter();
        Self { texts: Texts::of(texts), readers: Texts::of(readers), read_at }
    }

    fn read(&mut self, row: &wire::MessageRow) -> Result<Message, Bad> {
        let sender = self.texts.id(row.sender())?;
        let client_id = self.texts.text(row.client_id())?;
        let content = Arc::from(self.texts.text(row.content())?);
        let url = self.texts.text(row.attachment_url())?;
        let kind = self.texts.text(row.attachment_kind())?;
        if !row.has_client_id() && !client_id.is_empty()
            || !row.has_attachment() && !(url.is_empty() && kind.is_empty())
        {
            return Err(LEFT);
        }
        // Bounded by the bytes that are there: without a time or an id the loop ends.
        let mut reads = Vec::new();
        for _ in 0..row.reads() {
            let at = self.read_at.next().ok_or(TORN)?;
            reads.push(Receipt { user: self.readers.packed_id()?, at });
        }
        Ok(Message {
            id: values::message(Some(row.id()))?,
            sequence: row.sequence(),
            sender,
            row: row.row(),
            client_id: row.has_client_id().then(|| Arc::from(client_id)),
            kind: row.kind(),
            content,
            attachment: row
                .has_attachment()
                .then(|| Attachment { url: Arc::from(url), kind: Arc::from(kind) }),
            updated_at: row.updated_at(),
            edited: row.edited(),
            deleted: row.deleted(),
            reads,
        })
    }

    fn end(mut self) -> Result<(), Bad> {
        self.texts.end()?;
        self.readers.end()?;
        if self.read_at.next().is_none() { Ok(()) } else { Err(LEFT) }
    }
}

/// Reads messages.
pub(super) fn messages(body: wire::MessageRows<'_>) -> Result<Vec<Message>, Bad> {
    let mut columns = Messages::new(body.texts(), body.readers(), body.read_at());
    let rows = body.rows().unwrap_or_default();
    let messages = rows.iter().map(|row| columns.read(row)).collect::<Result<_, _>>()?;
    columns.end()?;
    Ok(messages)
}

/// Reads the one message of a frame that has one.
pub(super) fn one_message(body: wire::MessageRows<'_>) -> Result<Message, Bad> {
    match <[Message; 1]>::try_from(messages(body)?) {
        Ok([message]) => Ok(message),
        Err(_) => Err(Bad::Value("here should be one message")),
    }
}

fn conversations(body: wire::ConversationRows<'_>) -> Result<Vec<Conversation>, Bad> {
    let (mut texts, mut users) = (Texts::of(body.texts()), Texts::of(body.users()));
    let mut members = body.members().unwrap_or_default().iter();
    let mut all = Vec::new();
    for row in body.rows().unwrap_or_default() {
        let creator = texts.id(row.creator())?;
        let name = texts.text(row.name())?;
        let extra = Payload::from(texts.bytes(row.extra())?);
        if !row.has_name() && !name.is_empty() {
            return Err(LEFT);
        }
        let mut own = Vec::new();
        for _ in 0..row.members() {
            let row = members.next().ok_or(TORN)?;
            own.push(member(row, users.packed_id()?)?);
        }
        all.push(Conversation {
            id: values::conversation(Some(row.id()))?,
            kind: values::conversation_kind(row.kind())?,
            name: row.has_name().then(|| Arc::from(name)),
            creator,
            extra,
            created_at: row.created_at(),
            updated_at: row.updated_at(),
            members_count: row.members_count(),
            members: own,
        });
    }
    texts.end()?;
    users.end()?;
    if members.next().is_none() { Ok(all) } else { Err(LEFT) }
}

/// Reads the one conversation of a frame that has one.
pub(super) fn one_conversation(body: wire::ConversationRows<'_>) -> Result<Arc<Conversation>, Bad> {
    match <[Conversation; 1]>::try_from(conversations(body)?) {
        Ok([conversation]) => Ok(Arc::new(conversation)),
        Err(_) => Err(Bad::Value("here should be one conversation")),
    }
}

/// Reads a list of conversations.
pub(super) fn summaries(body: wire::ConversationRows<'_>) -> Result<Vec<Summary>, Bad> {
    let all = conversations(body)?;
    let unread = super::outbound::column(body.unread(), all.len())?;
    let has_last = super::outbound::column(body.has_last(), all.len())?;
    let mut columns = Messages::new(body.message_texts(), body.readers(), body.read_at());
    let mut messages = body.messages().unwrap_or_default().iter();
    let mut rows = Vec::with_capacity(all.len());
    for ((conversation, unread), has_last) in all.into_iter().zip(unread).zip(has_last) {
        let last = has_last.then(|| messages.next().ok_or(TORN).and_then(|row| columns.read(row)));
        rows.push(Summary { conversation, last: last.transpose()?, unread });
    }
    columns.end()?;
    if messages.next().is_none() { Ok(rows) } else { Err(LEFT) }
}

/// The conversation of a frame about one of its members, and the member.
pub(super) fn one_member(body: wire::OneMember<'_>) -> Result<(ConversationId, Member), Bad> {
    let row = body.member().ok_or(Bad::Value("here should be a member"))?;
    Ok((values::conversation(body.conversation())?, member(row, values::id(body.user())?)?))
}
