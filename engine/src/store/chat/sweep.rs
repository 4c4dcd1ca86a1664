//! Clears away what conversations that are gone have left: rows by the thousand, a bounded part at a time.
//!
//! What is to be done stands in rows of its own ([`keys::sweep`]), written with the end of each conversation, so a
//! restart changes nothing but that the one under way is begun again. How far that one has come is kept here and
//! not on the disk: rows that were deleted a moment ago still cost a scan their time, so each part begins where the
//! last has ended.

use super::keys::{self, Incarnation, Side};
use super::{Failure, RowWriter, rows, values};
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
}

/// After a start there may be something left to do.
impl Default for Sweeper {
    fn default() -> Self {
        Self { awake: true, course: None }
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
                None => {
                    self.sweeper.awake = false;
                    return Ok(false);
                }
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
}
