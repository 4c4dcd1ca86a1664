//! Clears away what conversations that are gone have left, and messages that were forgotten for their age: rows by the
//! thousand, a bounded part at a time.
//!
//! What is to be done stands in rows of its own ([`keys::sweep`]), written with the end of each conversation, so a
//! restart changes nothing but that the one under way is begun again. How far that one has come is kept here and
//! not on the disk: rows that were deleted a moment ago still cost a scan their time, so each part begins where the
//! last has ended.

use super::keys::{self, Incarnation, Side};
use super::{Failure, RowWriter, rows, values};
use crate::machine::store::Horizon;
use crate::store::ledger::{Batch, Space};

/// Rows of one part.
const PART: usize = 1_000;

/// Where the rows of an incarnation are, in the order in which they go. Members go last but receipts: whoever is asked
/// for a user's conversations looks at the conversation too, so the order only matters to what is read twice.
const SPACES: [Space; 3] = [Space::Messages, Space::Sends, Space::States];

/// What is being cleared away.
#[derive(Debug)]
pub(super) struct Sweeper {
    /// There may be something to do.
    awake: bool,
    course: Option<Course>,
    trim: Option<Trim>,
}

/// After a start there may be something left to do.
impl Default for Sweeper {
    fn default() -> Self {
        Self { awake: true, course: None, trim: None }
    }
}

impl Sweeper {
    /// There is, or soon will be, something to do.
    pub(super) fn wake(&mut self) {
        self.awake = true;
    }
}

/// How far one incarnation is cleared away.
#[derive(Clone, Debug)]
struct Course {
    of: Incarnation,
    /// Of [`SPACES`].
    space: usize,
    /// The first key that may still be there; empty: from the start of the space.
    from: Vec<u8>,
}

/// How far what was forgotten of one incarnation is cleared away.
#[derive(Clone, Debug)]
struct Trim {
    of: Incarnation,
    /// Up to there.
    horizon: Horizon,
    /// Messages, receipts, deletions.
    range: usize,
    /// The first key that may still be there; empty: from the start of the range.
    from: Vec<u8>,
}

impl RowWriter {
    /// Does one part of what there is to do, and says whether there may be more.
    pub(super) fn sweep_some(&mut self) -> Result<bool, Failure> {
        if !self.sweeper.awake {
            return Ok(false);
        }
        let mut course = match self.sweeper.course.take() {
            Some(course) => course,
            None => match self.next_sweep()? {
                Some(of) => Course { of, space: 0, from: Vec::new() },
                None => return self.trim_some(),
            },
        };
        let result = self.go_on(&mut course);
        if !matches!(result, Ok(true)) {
            self.sweeper.course = Some(course);
        }
        result.map(|_| true)
    }

    /// Deletes something, and says whether that was the end of it.
    fn go_on(&mut self, course: &mut Course) -> Result<bool, Failure> {
        while let Some(&space) = SPACES.get(course.space) {
            if self.clear_part(course, space)? > 0 {
                return Ok(false);
            }
        }
        self.finish_sweep(course.of)?;
        Ok(true)
    }

    fn next_sweep(&self) -> Result<Option<Incarnation>, Failure> {
        let (first, end) = keys::sweeps();
        let mut next = None;
        rows::scan(&*self.rows, Space::States, (&first, &end), false, 1, |key, _| {
            next = Some(keys::read_sweep(key)?);
            Ok(false)
        })?;
        Ok(next)
    }

    /// Deletes some rows of a space, notes where it goes on, and says how many there were.
    fn clear_part(&mut self, course: &mut Course, space: Space) -> Result<usize, Failure> {
        let of = course.of;
        let prefix = if space == Space::States { keys::sides(of) } else { keys::messages(of) };
        let end = keys::behind(&prefix);
        let from = if course.from.is_empty() { &prefix } else { &course.from };
        let mut batch = Batch::new();
        let (mut last, mut count) = (Vec::new(), 0);
        self.rows.scan(space, (from, &end), false, PART, &mut |key, value| {
            batch.delete(space, key);
            // A member that cannot be read leaves a membership that leads nowhere; readers see that.
            if space == Space::States
                && let Ok(Side::Member { row }) = keys::read_side(key)
                && let Ok((user, false)) = values::read_user(value)
            {
                batch.delete(Space::States, &keys::membership(of, row, &user));
            }
            count += 1;
            last.clear();
            last.extend_from_slice(key);
            true
        })?;
        if count > 0 {
            self.log.commit(&[batch])?;
        }
        if count < PART {
            course.space += 1;
            course.from.clear();
        } else {
            // The next key there can be.
            last.push(0);
            course.from = last;
        }
        Ok(count)
    }

    /// Everything is cleared away: the sweep goes, and the conversation's row if nothing needs its epoch any more.
    fn finish_sweep(&mut self, of: Incarnation) -> Result<(), Failure> {
        let mut batch = Batch::new();
        batch.delete(Space::States, &keys::sweep(of));
        let (first, end) = keys::sweeps_of(of.place);
        let mut left = 0;
        self.rows.scan(Space::States, (&first, &end), false, 2, &mut |_, _| {
            left += 1;
            true
        })?;
        let key = keys::conversation(of.place);
        let row = self.rows.get(Space::States, &key)?;
        let life = row.map(|value| values::read_life(&value)).transpose();
        let life = life.map_err(|damage| damage.of_row(Space::States, &key))?;
        if left <= 1 && life.is_some_and(|life| life.made.is_none()) {
            batch.delete(Space::States, &key);
        }
        // Before the commit: it may have happened though it fails.
        self.places.forget(of.place);
        self.log.commit(&[batch])
    }

    /// Clears away some of what was forgotten.
    fn trim_some(&mut self) -> Result<bool, Failure> {
        let mut trim = match self.sweeper.trim.take() {
            Some(trim) => trim,
            None => match self.next_trim()? {
                Some(trim) => trim,
                None => {
                    self.sweeper.awake = false;
                    return Ok(false);
                }
            },
        };
        let result = self.trim_part(&mut trim);
        if !matches!(result, Ok(true)) {
            self.sweeper.trim = Some(trim);
        }
        result.map(|_| true)
    }

    fn next_trim(&self) -> Result<Option<Trim>, Failure> {
        let (first, end) = keys::trims();
        let mut next = None;
        rows::scan(&*self.rows, Space::States, (&first, &end), false, 1, |key, _| {
            next = Some(keys::read_sweep(key)?);
            Ok(false)
        })?;
        let Some(of) = next else { return Ok(None) };
        // A conversation that is gone takes its horizon along, and its rows go with it.
        let horizon = self.horizon(of)?.unwrap_or_default();
        Ok(Some(Trim { of, horizon, range: 0, from: Vec::new() }))
    }

    fn horizon(&self, of: Incarnation) -> Result<Option<Horizon>, Failure> {
        let key = keys::horizon(of);
        let row = self.rows.get(Space::States, &key)?;
        let horizon = row.map(|value| values::read_horizon(&value)).transpose();
        horizon.map_err(|damage| damage.of_row(Space::States, &key))
    }

    /// Deletes something, and says whether that was the end of it.
    fn trim_part(&mut self, trim: &mut Trim) -> Result<bool, Failure> {
        let Trim { of, horizon, .. } = *trim;
        let receipt = |message| keys::side(of, Side::Receipt { message, row: 0 });
        let deletion = |sequence| keys::side(of, Side::Deletion { sequence });
        let ranges = [
            (Space::Messages, keys::messages(of), keys::message(of, horizon.at + 1)),
            (Space::States, receipt(0), receipt(horizon.at + 1)),
            (Space::States, deletion(0), deletion(horizon.sequence + 1)),
        ];
        while let Some((space, first, end)) = ranges.get(trim.range) {
            let from = if trim.from.is_empty() { first } else { &trim.from };
            let mut batch = Batch::new();
            let (mut last, mut count) = (Vec::new(), 0);
            self.rows.scan(*space, (from, end), false, PART, &mut |key, _| {
                batch.delete(*space, key);
                count += 1;
                last.clear();
                last.extend_from_slice(key);
                true
            })?;
            if count > 0 {
                self.log.commit(&[batch])?;
            }
            if count < PART {
                trim.range += 1;
                trim.from.clear();
            } else {
                last.push(0);
                trim.from = last;
            }
            if count > 0 {
                return Ok(false);
            }
        }
        // More was forgotten meanwhile: from the start, of which most is not there any more.
        if self.horizon(of)?.is_some_and(|now| now.at > horizon.at) {
            return Ok(true);
        }
        let mut batch = Batch::new();
        batch.delete(Space::States, &keys::trim(of));
        self.log.commit(&[batch])?;
        Ok(true)
    }
}
