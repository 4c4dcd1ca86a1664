//! One row to be written, and how it stands in an intent.
//!
//! An intent is a byte for the format, and changes: each its time, the bytes of its key and those of its value. Of two
//! changes with the same key the later one counts, so a list of changes is a map.

use std::collections::BTreeMap;
use std::sync::Arc;

use schema::Id;

use super::statements::{Cell, Put};
use super::{Settings, pages, sweep};
use crate::machine::store::Place;
use crate::store::chat::bytes::{Damage, Taker, put_bytes, put_id, put_number};

/// The format of intents that this Muster writes.
const FORMAT: u8 = 1;

/// What is in a row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Row {
    /// `None`: it is gone.
    Conversation {
        life: i64,
        body: Option<Vec<u8>>,
    },
    Member {
        life: i64,
        row: u32,
        body: Vec<u8>,
    },
    Membership {
        life: i64,
        user: Id,
        row: u32,
        is_in: bool,
    },
    Bucket {
        life: i64,
        first: u64,
        bucket: u64,
    },
    Message {
        life: i64,
        bucket: u64,
        at: u64,
        body: Vec<u8>,
    },
    Receipt {
        life: i64,
        message: u64,
        row: u32,
        at: u64,
    },
    Deletion {
        life: i64,
        sequence: u64,
        row: u32,
    },
    Sent {
        life: i64,
        row: u32,
        client_id: Arc<str>,
        /// 0: it stands for nothing any more.
        message: u64,
    },
    /// There is something to clear away of this life: all of it if it is over, else what was forgotten.
    Sweep {
        life: i64,
    },
    /// What was forgotten for its age.
    Horizon {
        life: i64,
        body: Vec<u8>,
    },
}

const CONVERSATION: u8 = 1;
const MEMBER: u8 = 2;
const MEMBERSHIP: u8 = 3;
const BUCKET: u8 = 4;
const MESSAGE: u8 = 5;
const RECEIPT: u8 = 6;
const DELETION: u8 = 7;
const SENT: u8 = 8;
const SWEEP: u8 = 9;
const HORIZON: u8 = 10;

/// Rows of one conversation that are written together: by the bytes of their keys, with their times.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Changes {
    rows: BTreeMap<Vec<u8>, (i64, Row)>,
    /// Bytes, more or less, replaced ones included.
    pub(super) bytes: usize,
}

impl Changes {
    pub(super) fn put(&mut self, stamp: i64, row: Row) {
        let (key, value) = row.encode();
        self.bytes += key.len() + value.len() + 12;
        self.rows.insert(key, (stamp, row));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (i64, &Row)> {
        self.rows.values().map(|(stamp, row)| (*stamp, row))
    }

    /// Adds what comes later.
    pub(super) fn append(&mut self, mut later: Self) {
        self.rows.append(&mut later.rows);
        self.bytes += later.bytes;
    }

    /// As it stands in an intent.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes + 16);
        bytes.push(FORMAT);
        put_number(self.rows.len() as u64, &mut bytes);
        for (key, (stamp, row)) in &self.rows {
            put_number(*stamp as u64, &mut bytes);
            put_bytes(key, &mut bytes);
            put_bytes(&row.encode().1, &mut bytes);
        }
        bytes
    }

    /// Reads an intent.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let mut taker = Taker::format(bytes, FORMAT)?;
        let mut changes = Self::default();
        for _ in 0..taker.number()? {
            let stamp = taker.number()? as i64;
            let (key, value) = (taker.bytes()?, taker.bytes()?);
            changes.put(stamp, Row::decode(key, value)?);
        }
        taker.end()?;
        Ok(changes)
    }
}

impl Row {
    /// Whether it is the row that readers begin with, and so has to be there last.
    pub(super) fn is_head(&self) -> bool {
        matches!(self, Self::Conversation { .. } | Self::Horizon { .. })
    }

    /// Key and value.
    fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let (mut key, mut value) = (Vec::with_capacity(24), Vec::new());
        let mut begin = |kind: u8, life: Option<i64>| {
            key.push(kind);
            if let Some(life) = life {
                put_number(life as u64, &mut key);
            }
        };
        match self {
            Self::Conversation { life, body } => {
                begin(CONVERSATION, None);
                put_number(*life as u64, &mut value);
                value.push(body.is_some().into());
                put_bytes(body.as_deref().unwrap_or_default(), &mut value);
            }
            Self::Member { life, row, body } => {
                begin(MEMBER, Some(*life));
                put_number((*row).into(), &mut key);
                value.clone_from(body);
            }
            Self::Membership { life, user, row, is_in } => {
                begin(MEMBERSHIP, Some(*life));
                put_id(user, &mut key);
                put_number((*row).into(), &mut key);
                value.push((*is_in).into());
            }
            Self::Bucket { life, first, bucket } => {
                begin(BUCKET, Some(*life));
                put_number(*first, &mut key);
                put_number(*bucket, &mut key);
            }
            Self::Message { life, bucket, at, body } => {
                begin(MESSAGE, Some(*life));
                put_number(*bucket, &mut key);
                put_number(*at, &mut key);
                value.clone_from(body);
            }
            Self::Receipt { life, message, row, at } => {
                begin(RECEIPT, Some(*life));
                put_number(*message, &mut key);
                put_number((*row).into(), &mut key);
                put_number(*at, &mut value);
            }
            Self::Deletion { life, sequence, row } => {
                begin(DELETION, Some(*life));
                put_number(*sequence, &mut key);
                put_number((*row).into(), &mut value);
            }
            Self::Sent { life, row, client_id, message } => {
                begin(SENT, Some(*life));
                put_number((*row).into(), &mut key);
                put_bytes(client_id.as_bytes(), &mut key);
                put_number(*message, &mut value);
            }
            Self::Sweep { life } => begin(SWEEP, Some(*life)),
            Self::Horizon { life, body } => {
                begin(HORIZON, Some(*life));
                value.clone_from(body);
            }
        }
        (key, value)
    }

    fn decode(key: &[u8], value: &[u8]) -> Result<Self, Damage> {
        let (mut key, mut rest) = (Taker(key), Taker(value));
        let kind = key.byte()?;
        let life = if kind == CONVERSATION { rest.number()? } else { key.number()? } as i64;
        let row = match kind {
            CONVERSATION => {
                let (is_there, body) = (rest.byte()? != 0, rest.bytes()?);
                rest.end()?;
                return Ok(Self::Conversation { life, body: is_there.then(|| body.to_vec()) });
            }
            MEMBER => return Ok(Self::Member { life, row: key.small()?, body: value.to_vec() }),
            MEMBERSHIP => {
                Self::Membership { life, user: key.id()?, row: key.small()?, is_in: rest.byte()? != 0 }
            }
            BUCKET => Self::Bucket { life, first: key.number()?, bucket: key.number()? },
            MESSAGE => {
                return Ok(Self::Message {
                    life,
                    bucket: key.number()?,
                    at: key.number()?,
                    body: value.to_vec(),
                });
            }
            RECEIPT => Self::Receipt { life, message: key.number()?, row: key.small()?, at: rest.number()? },
            DELETION => Self::Deletion { life, sequence: key.number()?, row: rest.small()? },
            SENT => {
                Self::Sent { life, row: key.small()?, client_id: key.text()?.into(), message: rest.number()? }
            }
            SWEEP => Self::Sweep { life },
            HORIZON => return Ok(Self::Horizon { life, body: value.to_vec() }),
            _ => return Err(Damage::Senseless),
        };
        key.end()?;
        rest.end()?;
        Ok(row)
    }

    /// The statement that writes it.
    pub(super) fn statement(&self, settings: &Settings, place: Place, stamp: i64) -> Bound {
        let mut bound = match self {
            Self::Conversation { life, body } => Bound::of_place(Put::Conversation, settings, place)
                .big(*life)
                .with(Cell::Bool(body.is_none()))
                .blob(body.as_deref().unwrap_or_default()),
            Self::Member { life, row, body } => {
                Bound::of_life(Put::Member, settings, place, *life).big((*row).into()).blob(body)
            }
            Self::Membership { life, user, row, is_in } => {
                let put = if *is_in { Put::Membership } else { Put::MembershipGone };
                Bound { put, cells: vec![Cell::Int(realm(settings, place))] }
                    .with(Cell::Text(text(user)))
                    .blob(&place.1.to_bytes())
                    .big(*life)
                    .big((*row).into())
            }
            Self::Bucket { life, first, bucket } => {
                Bound::of_life(Put::Bucket, settings, place, *life).big(*first as i64).big(*bucket as i64)
            }
            Self::Message { life, bucket, at, body } => Bound::of_life(Put::Message, settings, place, *life)
                .big(*bucket as i64)
                .big(*at as i64)
                .blob(body),
            Self::Receipt { life, message, row, at } => Bound::of_life(Put::Receipt, settings, place, *life)
                .big(pages::span(*message))
                .big(*message as i64)
                .big((*row).into())
                .big(*at as i64),
            Self::Deletion { life, sequence, row } => {
                Bound::of_life(Put::Deletion, settings, place, *life).big(*sequence as i64).big((*row).into())
            }
            Self::Sent { life, row, client_id, message: 0 } => {
                Bound::of_life(Put::SentGone, settings, place, *life)
                    .big((*row).into())
                    .with(Cell::Text(client_id.clone()))
            }
            Self::Sent { life, row, client_id, message } => Bound::of_life(Put::Sent, settings, place, *life)
                .big((*row).into())
                .with(Cell::Text(client_id.clone()))
                .big(*message as i64),
            Self::Horizon { life, body } => {
                Bound::of_place(Put::Horizon, settings, place).big(*life).blob(body)
            }
            Self::Sweep { life } => {
                let mut bound = Bound::of_life(Put::Sweep, settings, place, *life);
                bound.cells.insert(0, Cell::Text(sweep::scope(settings, sweep::part_of(place))));
                bound
            }
        };
        bound = bound.at(stamp);
        if bound.put == Put::Sent {
            let seconds = i32::try_from(settings.sends_kept.as_secs()).unwrap_or(i32::MAX);
            bound = bound.with(Cell::Int(seconds.clamp(1, 20 * 365 * 86_400)));
        }
        bound
    }
}

/// A statement with its values.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) put: Put,
    pub(super) cells: Vec<Cell>,
}

impl Bound {
    pub(super) fn of_place(put: Put, settings: &Settings, place: Place) -> Self {
        Self { put, cells: vec![Cell::Int(realm(settings, place))] }.blob(&place.1.to_bytes())
    }

    pub(super) fn of_life(put: Put, settings: &Settings, place: Place, life: i64) -> Self {
        Self::of_place(put, settings, place).big(life)
    }

    pub(super) fn with(mut self, cell: Cell) -> Self {
        self.cells.push(cell);
        self
    }

    pub(super) fn big(self, number: i64) -> Self {
        self.with(Cell::Big(number))
    }

    pub(super) fn blob(self, bytes: &[u8]) -> Self {
        self.with(Cell::Blob(bytes.into()))
    }

    /// Gives it its time: last, or first in a delete.
    pub(super) fn at(mut self, stamp: i64) -> Self {
        let place = if self.put.is_delete() { 0 } else { self.cells.len() };
        self.cells.insert(place, Cell::Big(stamp));
        self
    }

    /// What names its partition.
    pub(super) fn partition(&self) -> &[Cell] {
        let first = usize::from(self.put.is_delete());
        &self.cells[first..first + self.put.partition()]
    }
}

/// The number of a realm in the tables.
pub(super) fn realm(settings: &Settings, place: Place) -> i32 {
    settings.realm_base + i32::from(place.0.0)
}

/// A user's id in the tables.
pub(super) fn text(user: &Id) -> Arc<str> {
    user.with_str(|text| Arc::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Changes {
        let user = |text| Id::new(text).unwrap();
        let life = 1_700_000_000_000_000;
        let mut changes = Changes::default();
        for (row, stamp) in [
            Row::Conversation { life, body: Some(vec![1, 2]) },
            Row::Member { life, row: u32::MAX, body: vec![3] },
            Row::Membership { life, user: user("ann"), row: 1, is_in: true },
            Row::Membership {
                life,
                user: user("0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55"),
                row: 2,
                is_in: false,
            },
            Row::Bucket { life, first: 9, bucket: 0 },
            Row::Message { life, bucket: 7, at: 1 << 43, body: vec![0; 300] },
            Row::Receipt { life, message: 100, row: 2, at: u64::MAX },
            Row::Deletion { life, sequence: 9, row: 1 },
            Row::Sent { life, row: 1, client_id: "ünï".into(), message: 100 },
            Row::Sweep { life: life - 1 },
            Row::Horizon { life, body: vec![1, 2] },
        ]
        .into_iter()
        .zip(5..)
        {
            changes.put(stamp, row);
        }
        changes
    }

    #[test]
    fn an_intent_is_read_back() {
        let changes = all();
        assert_eq!(changes.iter().count(), 11);
        let back = Changes::decode(&changes.encode()).unwrap();
        assert_eq!(back.rows, changes.rows);
    }

    #[test]
    fn of_two_changes_of_a_row_the_later_counts() {
        let mut changes = all();
        let gone = Row::Conversation { life: 3, body: None };
        let mut later = Changes::default();
        later.put(99, gone.clone());
        changes.append(later);
        assert_eq!(changes.iter().count(), 11);
        let head = changes.iter().find(|(_, row)| row.is_head());
        assert_eq!(head, Some((99, &gone)));
    }

    #[test]
    fn a_damaged_intent_is_no_end() {
        let whole = all().encode();
        for end in 0..whole.len() {
            assert!(Changes::decode(&whole[..end]).is_err());
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut changed = whole.clone();
                changed[at] = byte;
                _ = Changes::decode(&changed);
            }
        }
        assert_eq!(Changes::decode(&[2, 0]).unwrap_err(), Damage::Newer { found: 2, known: 1 });
    }
}
