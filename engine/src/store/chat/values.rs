//! Values of rows: a byte for the format, flags for what is there, then the fields.
//!
//! A reader knows every format up to its own and refuses newer ones. A change of a row is a new number and one more
//! arm here; rows of the old one stay as they are until they are written again.

use std::sync::Arc;

use schema::Id;
use schema::chat::{Attachment, Conversation, Kind, Member, Message, MessageId, Role};

use super::bytes::{Damage, Taker, put_bytes, put_id, put_number};
use crate::machine::store::{Horizon, MemberRow, Place};

/// The format that this Muster writes, of every sort of row.
pub(in crate::store) const FORMAT: u8 = 1;

/// What is known of a conversation without reading all of its row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::store) struct Life {
    /// See [`super::keys`].
    pub(in crate::store) epoch: u8,
    /// When it was made; `None`: it is gone.
    pub(in crate::store) made: Option<u64>,
}

const GONE: u8 = 1;
const NAMED: u8 = 2;

/// A conversation's row.
pub(in crate::store) fn conversation(epoch: u8, conversation: &Conversation) -> Vec<u8> {
    let mut value = Vec::with_capacity(64 + conversation.extra.len());
    let flags = if conversation.name.is_some() { NAMED } else { 0 };
    value.extend([FORMAT, flags, epoch]);
    put_number(conversation.created_at, &mut value);
    value.push(conversation.kind as u8);
    put_id(&conversation.creator, &mut value);
    put_number(conversation.updated_at, &mut value);
    if let Some(name) = &conversation.name {
        put_bytes(name.as_bytes(), &mut value);
    }
    put_bytes(&conversation.extra, &mut value);
    value
}

/// The row of a conversation that is gone.
pub(in crate::store) fn gone(epoch: u8) -> [u8; 3] {
    [FORMAT, GONE, epoch]
}

/// Reads the beginning of a conversation's row.
pub(in crate::store) fn read_life(value: &[u8]) -> Result<Life, Damage> {
    let mut taker = Taker::format(value, FORMAT)?;
    let (flags, epoch) = (taker.byte()?, taker.byte()?);
    let made = if flags & GONE == 0 { Some(taker.number()?) } else { None };
    Ok(Life { epoch, made })
}

/// Reads the row of a conversation that is not gone.
pub(in crate::store) fn read_conversation((_, id): Place, value: &[u8]) -> Result<Conversation, Damage> {
    let mut taker = Taker::format(value, FORMAT)?;
    let (flags, _epoch) = (taker.byte()?, taker.byte()?);
    if flags & !NAMED != 0 {
        return Err(Damage::Senseless);
    }
    let created_at = taker.number()?;
    let kind = Kind::from_number(taker.byte()?).ok_or(Damage::Senseless)?;
    let creator = taker.id()?;
    let updated_at = taker.number()?;
    let name = if flags & NAMED == 0 { None } else { Some(Arc::from(taker.text()?)) };
    let extra = Arc::from(taker.bytes()?);
    taker.end()?;
    let (members_count, members) = (0, Vec::new());
    Ok(Conversation { id, kind, name, creator, extra, created_at, updated_at, members_count, members })
}

const LEFT: u8 = 1;
const READ: u8 = 2;
const HIDDEN: u8 = 4;
const PINNED: u8 = 8;
const BLOCKED: u8 = 16;

/// A member's row. The user comes first, so that whoever wants the name of a reader reads no more.
pub(in crate::store) fn member(row: &MemberRow) -> Vec<u8> {
    let member = &row.member;
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let flags = flag(member.read_at.is_some(), READ)
        | flag(member.hidden_at.is_some(), HIDDEN)
        | flag(member.pinned_at.is_some(), PINNED)
        | flag(member.blocked, BLOCKED);
    let mut value = Vec::with_capacity(96);
    value.extend([FORMAT, flags]);
    put_id(&member.user, &mut value);
    value.push(member.role as u8);
    put_number(member.joined_at, &mut value);
    put_number(member.read_to, &mut value);
    put_number(member.hidden_to, &mut value);
    for at in [member.read_at, member.hidden_at, member.pinned_at].into_iter().flatten() {
        put_number(at, &mut value);
    }
    put_number(row.floor, &mut value);
    put_number(row.sent_at_floor, &mut value);
    put_number(row.singles.len() as u64, &mut value);
    // The ranges are in order, so each is told by its distance from the last. Any numbers would read back.
    let mut before = row.floor;
    for &(first, last) in &row.singles {
        put_number(first.wrapping_sub(before), &mut value);
        put_number(last.wrapping_sub(first), &mut value);
        before = last;
    }
    value
}

/// What stays of a member that has left: its row's number is taken, and its receipts keep their name.
pub(in crate::store) fn left(user: &Id) -> Vec<u8> {
    let mut value = vec![FORMAT, LEFT];
    put_id(user, &mut value);
    value
}

/// Reads whose row it is, and whether they have left.
pub(in crate::store) fn read_user(value: &[u8]) -> Result<(Id, bool), Damage> {
    let mut taker = Taker::format(value, FORMAT)?;
    let flags = taker.byte()?;
    Ok((taker.id()?, flags & LEFT != 0))
}

/// Reads a member's row; `None`: the member has left.
pub(in crate::store) fn read_member(row: u32, value: &[u8]) -> Result<Option<MemberRow>, Damage> {
    let mut taker = Taker::format(value, FORMAT)?;
    let flags = taker.byte()?;
    let user = taker.id()?;
    if flags & LEFT != 0 {
        return Ok(None);
    }
    let role = Role::from_number(taker.byte()?).ok_or(Damage::Senseless)?;
    let joined_at = taker.number()?;
    let read_to = taker.number()?;
    let hidden_to = taker.number()?;
    let mut time = |flag| if flags & flag == 0 { Ok(None) } else { taker.number().map(Some) };
    let (read_at, hidden_at, pinned_at) = (time(READ)?, time(HIDDEN)?, time(PINNED)?);
    let blocked = flags & BLOCKED != 0;
    let floor = taker.number()?;
    let sent_at_floor = taker.number()?;
    let mut before = floor;
    let mut singles = Vec::new();
    for _ in 0..taker.number()? {
        let first = before.wrapping_add(taker.number()?);
        let last = first.wrapping_add(taker.number()?);
        singles.push((first, last));
        before = last;
    }
    taker.end()?;
    let member =
        Member { row, user, role, joined_at, read_at, read_to, hidden_to, hidden_at, pinned_at, blocked };
    Ok(Some(MemberRow { member, floor, sent_at_floor, singles }))
}

const EDITED: u8 = 1;
const DELETED: u8 = 2;
const CLIENT: u8 = 4;
const ATTACHED: u8 = 8;
const CHANGED: u8 = 16;
const SPECIAL: u8 = 32;

/// A message's row.
pub(in crate::store) fn message(message: &Message) -> Vec<u8> {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    let flags = flag(message.edited, EDITED)
        | flag(message.deleted, DELETED)
        | flag(message.client_id.is_some(), CLIENT)
        | flag(message.attachment.is_some(), ATTACHED)
        | flag(message.updated_at != message.id.at, CHANGED)
        | flag(message.kind != 0, SPECIAL);
    let mut value = Vec::with_capacity(96 + message.content.len());
    value.extend([FORMAT, flags]);
    put_number(message.sequence, &mut value);
    put_number(message.sent, &mut value);
    put_number(message.row.into(), &mut value);
    put_id(&message.sender, &mut value);
    if flags & SPECIAL != 0 {
        value.push(message.kind);
    }
    if flags & CHANGED != 0 {
        put_number(message.updated_at, &mut value);
    }
    if let Some(client_id) = &message.client_id {
        put_bytes(client_id.as_bytes(), &mut value);
    }
    if let Some(Attachment { url, kind }) = &message.attachment {
        put_bytes(url.as_bytes(), &mut value);
        put_bytes(kind.as_bytes(), &mut value);
    }
    put_bytes(message.content.as_bytes(), &mut value);
    value
}

/// Whether a message's row says that it was deleted.
pub(in crate::store) fn is_deleted(value: &[u8]) -> Result<bool, Damage> {
    Ok(Taker::format(value, FORMAT)?.byte()? & DELETED != 0)
}

/// Reads a message's row.
pub(in crate::store) fn read_message(id: MessageId, value: &[u8]) -> Result<Message, Damage> {
    let mut taker = Taker::format(value, FORMAT)?;
    let flags = taker.byte()?;
    let sequence = taker.number()?;
    let sent = taker.number()?;
    let row = taker.small()?;
    let sender = taker.id()?;
    let kind = if flags & SPECIAL == 0 { 0 } else { taker.byte()? };
    let updated_at = if flags & CHANGED == 0 { id.at } else { taker.number()? };
    let client_id = if flags & CLIENT == 0 { None } else { Some(Arc::from(taker.text()?)) };
    let attachment = if flags & ATTACHED == 0 {
        None
    } else {
        Some(Attachment { url: taker.text()?.into(), kind: taker.text()?.into() })
    };
    let content = Arc::from(taker.text()?);
    taker.end()?;
    let (edited, deleted) = (flags & EDITED != 0, flags & DELETED != 0);
    Ok(Message {
        id,
        sequence,
        sent,
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
        reads: Vec::new(),
    })
}

/// A row that is one number: a receipt's time, a deleted message's row, what a client's id stands for.
pub(in crate::store) fn number(number: u64) -> Vec<u8> {
    let mut value = vec![FORMAT];
    put_number(number, &mut value);
    value
}

/// Reads [`number`].
pub(in crate::store) fn read_number(value: &[u8]) -> Result<u64, Damage> {
    let mut taker = Taker::format(value, FORMAT)?;
    let number = taker.number()?;
    taker.end()?;
    Ok(number)
}

/// What was forgotten.
pub(in crate::store) fn horizon(horizon: Horizon) -> Vec<u8> {
    let mut value = vec![FORMAT];
    put_number(horizon.at, &mut value);
    put_number(horizon.sequence, &mut value);
    put_number(horizon.row.into(), &mut value);
    put_number(horizon.sent, &mut value);
    value
}

/// Reads [`horizon`].
pub(in crate::store) fn read_horizon(value: &[u8]) -> Result<Horizon, Damage> {
    let mut taker = Taker::format(value, FORMAT)?;
    let (at, sequence) = (taker.number()?, taker.number()?);
    let (row, sent) = (taker.small()?, taker.number()?);
    taker.end()?;
    Ok(Horizon { at, sequence, row, sent })
}

#[cfg(test)]
mod tests {
    use schema::Realm;
    use schema::chat::ConversationId;

    use super::*;

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    fn place() -> Place {
        (Realm(0), ConversationId::from_number(1))
    }

    fn some_message() -> Message {
        Message {
            id: MessageId { conversation: place().1, at: 300 },
            sequence: 2,
            sent: 4,
            sender: id("ann"),
            to: None,
            row: 1,
            client_id: Some("c1".into()),
            kind: 3,
            content: "hi".into(),
            attachment: Some(Attachment { url: "u".into(), kind: "k".into() }),
            updated_at: 301,
            edited: true,
            deleted: false,
            reads: Vec::new(),
        }
    }

    fn some_member() -> MemberRow {
        let member = Member {
            row: 1,
            user: id("ann"),
            role: Role::Creator,
            joined_at: 1,
            read_at: Some(2),
            read_to: 3,
            hidden_to: 4,
            hidden_at: Some(5),
            pinned_at: Some(6),
            blocked: true,
        };
        MemberRow { member, floor: 7, sent_at_floor: 8, singles: vec![(9, 9), (11, 14)] }
    }

    /// Rows of format 1 as they are on disk. These lines never change; a new format gets lines of its own.
    #[test]
    fn rows_of_format_1_stay_readable() {
        let bytes =
            [&[1, 0b11_1101, 2, 4, 1, 3][..], b"ann", &[3, 0xad, 2, 2], b"c1", &[1, b'u', 1, b'k', 2], b"hi"];
        let message_row = bytes.concat();
        assert_eq!(message(&some_message()), message_row);
        assert_eq!(read_message(some_message().id, &message_row), Ok(some_message()));

        let member_row =
            [&[1, 0b1_1110, 3][..], b"ann", &[2, 1, 3, 4, 2, 5, 6, 7, 8, 2, 2, 0, 2, 3]].concat();
        assert_eq!(member(&some_member()), member_row);
        assert_eq!(read_member(1, &member_row), Ok(Some(some_member())));
        assert_eq!(read_user(&member_row), Ok((id("ann"), false)));

        let left_row = [&[1, 1, 3][..], b"ann"].concat();
        assert_eq!(left(&id("ann")), left_row);
        assert_eq!((read_member(1, &left_row), read_user(&left_row)), (Ok(None), Ok((id("ann"), true))));

        let made = Conversation {
            id: place().1,
            kind: Kind::Group,
            name: Some("n".into()),
            creator: id("ann"),
            extra: Arc::from([7, 8]),
            created_at: 5,
            updated_at: 6,
            members_count: 0,
            members: Vec::new(),
        };
        let row = [&[1, 2, 9, 5, 2, 3][..], b"ann", &[6, 1, b'n', 2, 7, 8]].concat();
        assert_eq!(conversation(9, &made), row);
        assert_eq!(read_conversation(place(), &row), Ok(made));
        assert_eq!(read_life(&row), Ok(Life { epoch: 9, made: Some(5) }));
        assert_eq!(read_life(&[1, 1, 9]), Ok(Life { epoch: 9, made: None }));
        assert_eq!(gone(9), [1, 1, 9]);
        assert_eq!((number(300), read_number(&[1, 0xac, 2])), (vec![1, 0xac, 2], Ok(300)));
        let old = Horizon { at: 300, sequence: 4, row: 5, sent: 6 };
        assert_eq!(
            (horizon(old), read_horizon(&[1, 0xac, 2, 4, 5, 6])),
            (vec![1, 0xac, 2, 4, 5, 6], Ok(old))
        );
    }

    /// Whatever is on the disk, reading it is no panic; and a row that was cut off is no row.
    #[test]
    fn a_row_that_was_cut_or_changed_is_no_end() {
        let id = some_message().id;
        for whole in [message(&some_message()), member(&some_member()), left(&self::id("ann"))] {
            for end in 0..whole.len() {
                let cut = &whole[..end];
                assert!(read_message(id, cut).is_err() && read_member(1, cut).is_err());
                assert!(read_conversation(place(), cut).is_err());
            }
            for at in 0..whole.len() {
                for byte in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut changed = whole.clone();
                    changed[at] = byte;
                    _ = (read_message(id, &changed), read_member(1, &changed), read_number(&changed));
                    _ = (read_conversation(place(), &changed), read_life(&changed), is_deleted(&changed));
                }
            }
        }
    }

    #[test]
    fn a_newer_format_is_refused_by_all() {
        let newer = Damage::Newer { found: 2, known: FORMAT };
        let row = [2, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(read_message(some_message().id, &row).unwrap_err(), newer);
        assert_eq!(read_member(1, &row).unwrap_err(), newer);
        assert_eq!(read_user(&row).unwrap_err(), newer);
        assert_eq!(read_conversation(place(), &row).unwrap_err(), newer);
        assert_eq!(read_life(&row).unwrap_err(), newer);
        assert_eq!(read_number(&row).unwrap_err(), newer);
        assert_eq!(read_horizon(&row).unwrap_err(), newer);
        assert_eq!(is_deleted(&row).unwrap_err(), newer);
    }
}
