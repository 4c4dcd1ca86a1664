//! Messages, members and conversations read from their rows. The verifier has seen that structs and bytes lie in the
//! frame; what is checked here is that the lengths in the structs and the texts account for each other, to the last
//! byte, and that texts are UTF-8. Each byte is looked at once, and nothing is allocated for rows that are not there.

use std::sync::Arc;

use flatbuffers::{Vector, VectorIter};

use super::outbound::column;
use super::values::{self, Bad};
use crate::chat::{Attachment, Conversation, ConversationId, Member, Message, Receipt, Summary};
use crate::command::Payload;
use crate::generated::wire;
use crate::id::Id;

const TORN: Bad = Bad::Value("the texts of rows end in the middle of one");
const LEFT: Bad = Bad::Value("there is more than the rows account for");

/// A time of which 0 says that there is none.
fn time(ms: u64) -> Option<u64> {
    (ms != 0).then_some(ms)
}

fn member(row: &wire::MemberRow, user: Id) -> Result<Member, Bad> {
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
    read_at: VectorIter<'a, u64>,
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
            || !(row.has_attachment() || url.is_empty() && kind.is_empty())
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
            // The home counts with it and tells it to nobody.
            sent: 0,
            sender,
            to: None,
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
    let unread = column(body.unread(), all.len())?;
    let has_last = column(body.has_last(), all.len())?;
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
