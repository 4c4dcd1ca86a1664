//! Writes as rows.
//!
//! A message is one row, and a row under its client's id if it has one. Nothing counts messages or points to the
//! newest: that is the last row of a range. So a commit of many messages touches each of their places in the index
//! once.

use std::sync::Arc;

use schema::chat::ids::LAST_MS;

use super::forget::Forgetter;
use super::keys::{self, Incarnation, Side};
use super::places::{Known, Places, State};
use super::sweep::Sweeper;
use super::values;
use super::{Commits, Failure, FailureKind, Rows, Writes};
use crate::machine::store::{Part, Place, Write};
use crate::store::ledger::{Batch, Space};

/// Bytes of one write: thirty thousand members come to a fifth of it, and a commit takes twice as much.
const WRITE_MOST: usize = 30 << 20;

/// What a row adds to its key and value in a commit.
const ROW: usize = 8;

/// Writes conversations as rows.
pub struct RowWriter {
    pub(super) log: Box<dyn Commits>,
    pub(super) rows: Arc<dyn Rows>,
    pub(super) places: Places,
    staged: Vec<Batch>,
    pub(super) sweeper: Sweeper,
    pub(super) forgetter: Forgetter,
}

impl std::fmt::Debug for RowWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowWriter").field("staged", &self.staged.len()).finish_non_exhaustive()
    }
}

impl RowWriter {
    /// A writer to these rows; there must be no other.
    #[must_use]
    pub fn new(log: Box<dyn Commits>, rows: Arc<dyn Rows>) -> Self {
        let (places, sweeper, forgetter) = (Places::default(), Sweeper::default(), Forgetter::default());
        Self { log, rows, places, staged: Vec::new(), sweeper, forgetter }
    }

    /// What is there of a conversation, with all that is staged.
    fn known(&self, place: Place) -> Result<Known, Failure> {
        if let Some(known) = self.places.get(place) {
            return Ok(known);
        }
        let key = keys::conversation(place);
        Ok(match self.rows.get(Space::States, &key)? {
            None => Known::new(State::Never, 0),
            Some(value) => {
                let life = values::read_life(&value).map_err(|damage| damage.of_row(Space::States, &key))?;
                Known::new(if life.made.is_some() { State::Here } else { State::Gone }, life.epoch)
            }
        })
    }

    /// The conversation as it is to be from now on, since it is made or changed.
    fn make(&self, place: Place, known: Known) -> Result<Known, Failure> {
        let epoch = match known.state {
            State::Here => return Ok(known),
            State::Never => 0,
            State::Gone => known.epoch.wrapping_add(1),
        };
        if self.rows.get(Space::States, &keys::sweep(Incarnation { place, epoch }))?.is_some() {
            let what = "it was made and deleted too often: what it left is being cleared away";
            return Err(Failure::new(FailureKind::Busy, what));
        }
        Ok(Known::new(State::Here, epoch))
    }

    /// The parts that make it or end it, in their order; the others belong to what is there afterwards.
    fn turn(&self, write: &Write, mut known: Known, rows: &mut Staging) -> Result<Known, Failure> {
        let place = write.place;
        for part in &write.parts {
            match part {
                Part::Conversation(conversation) => {
                    known = self.make(place, known)?;
                    let value = values::conversation(known.epoch, conversation);
                    rows.put(Space::States, &keys::conversation(place), &value);
                }
                Part::Gone if known.state == State::Here => {
                    known = Known::new(State::Gone, known.epoch);
                    rows.put(Space::States, &keys::conversation(place), &values::gone(known.epoch));
                    rows.put(Space::States, &keys::sweep(Incarnation { place, epoch: known.epoch }), &[]);
                }
                _ => {}
            }
        }
        Ok(known)
    }
}

impl Writes for RowWriter {
    fn stage(&mut self, write: &Write) -> Result<usize, Failure> {
        let place = write.place;
        let mut rows = Staging::default();
        let before = self.known(place)?;
        let mut known = self.turn(write, before, &mut rows)?;
        if known.state != State::Here
            && known == before
            && write.parts.iter().any(|part| !matches!(part, Part::Gone))
        {
            // Its rows would be met by the next one under this id.
            let what = format!("a write to the conversation {}, which is not there", place.1);
            return Err(Failure::new(FailureKind::Refused, what));
        }
        let of = Incarnation { place, epoch: known.epoch };
        for part in &write.parts {
            rows.part(of, part, &mut known)?;
        }
        if rows.bytes > WRITE_MOST {
            let what = format!("a write of {} bytes, and {WRITE_MOST} is the most", rows.bytes);
            return Err(Failure::new(FailureKind::Refused, what));
        }
        if known.state == State::Gone || write.parts.iter().any(|part| matches!(part, Part::Forgotten(_))) {
            self.sweeper.wake();
        }
        self.places.put(place, known);
        self.staged.push(rows.batch);
        Ok(rows.bytes)
    }

    fn commit(&mut self) -> Result<(), Failure> {
        let result = self.log.commit(&self.staged);
        self.staged.clear();
        if result.is_err() {
            // It holds what was staged.
            self.places.clear();
        }
        result
    }

    fn recover(&mut self) -> Result<(), Failure> {
        self.log.recover()
    }

    fn sweep(&mut self) -> Result<bool, Failure> {
        debug_assert!(self.staged.is_empty(), "a sweep is a commit of its own");
        self.sweep_some()
    }

    fn forget(&mut self, before: u64) -> Result<bool, Failure> {
        debug_assert!(self.staged.is_empty(), "forgetting is a commit of its own");
        self.forget_some(before)
    }
}

/// The rows of one write.
#[derive(Default)]
struct Staging {
    batch: Batch,
    bytes: usize,
}

impl Staging {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.batch.put(space, key, value);
        self.bytes += ROW + key.len() + value.len();
    }

    fn delete(&mut self, space: Space, key: &[u8]) {
        self.batch.delete(space, key);
        self.bytes += ROW + key.len();
    }

    fn part(&mut self, of: Incarnation, part: &Part, known: &mut Known) -> Result<(), Failure> {
        match part {
            // Done before, see `RowWriter::turn`.
            Part::Conversation(_) | Part::Gone => {}
            Part::Member(row) => {
                let number = row.member.row;
                let key = keys::side(of, Side::Member { row: number });
                self.put(Space::States, &key, &values::member(row));
                if !known.file(number) {
                    self.put(Space::States, &keys::membership(of, number, &row.member.user), &[]);
                }
            }
            Part::MemberGone { row, user } => {
                self.put(Space::States, &keys::side(of, Side::Member { row: *row }), &values::left(user));
                self.delete(Space::States, &keys::membership(of, *row, user));
                known.unfile(*row);
            }
            Part::Message(message) => {
                let key = keys::message(of, in_time(message.id.at)?);
                self.put(Space::Messages, &key, &values::message(message));
            }
            Part::Receipt { message, row, at } => {
                let side = Side::Receipt { message: in_time(*message)?, row: *row };
                self.put(Space::States, &keys::side(of, side), &values::number(*at));
            }
            Part::Deleted { sequence, row } => {
                let side = Side::Deletion { sequence: *sequence };
                self.put(Space::States, &keys::side(of, side), &values::number((*row).into()));
            }
            Part::Forgotten(horizon) => {
                self.put(Space::States, &keys::horizon(of), &values::horizon(*horizon));
                self.put(Space::States, &keys::trim(of), &[]);
            }
            Part::Sent { row, client_id, message } => {
                self.put(Space::Sends, &keys::sent(of, *row, client_id), &values::number(*message));
            }
        }
        Ok(())
    }
}

/// A creation time that an id can carry; others would meet in one key.
fn in_time(at: u64) -> Result<u64, Failure> {
    if at <= LAST_MS {
        return Ok(at);
    }
    Err(Failure::new(FailureKind::Refused, format!("{at} is no creation time of a message")))
}
