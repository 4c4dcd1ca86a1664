//! The client ids that a conversation remembers, well enough to know a new one: of what is certainly new, the store need
//! not be asked.
//!
//! Only fingerprints are kept, of which two may be the same: what looks known is asked of the store, what looks new is new.
//! Nothing is taken out, since who is wrong about an old one only asks in vain.

use std::collections::{BTreeMap, HashSet};
use std::hash::BuildHasherDefault;

use ahash::{AHasher, RandomState};

/// Client ids that are read of a member whose are not known; where there are more, each is asked for.
pub(super) const READ: u32 = 256;
/// Client ids of one conversation in memory, at most: five bytes each and as many again while the table grows.
const MOST: usize = 1 << 16;

/// What is known of a conversation's client ids.
#[derive(Default)]
pub(super) struct Names {
    /// Who is not in `rows` has sent nothing but what is in `known`.
    new: bool,
    /// Members' rows that were looked at: whether all their ids are in `known`, or too many to be.
    rows: BTreeMap<u32, bool>,
    known: HashSet<u32, BuildHasherDefault<AHasher>>,
    /// Too many for all of them.
    many: bool,
}

/// What is known of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Look {
    /// Nobody has sent anything under it.
    New,
    /// Perhaps somebody has.
    Perhaps,
    /// The ids of these rows are to be read first.
    Unknown(Box<[u32]>),
}

impl Names {
    /// Of a conversation that is new.
    pub(super) fn none() -> Self {
        Self { new: true, ..Self::default() }
    }

    /// Whether a member with these rows may have sent something under this id.
    pub(super) fn look(&self, rows: &[u32], client_id: &str) -> Look {
        if self.many {
            return Look::Perhaps;
        }
        if !self.new {
            let unknown: Box<[u32]> =
                rows.iter().copied().filter(|row| !self.rows.contains_key(row)).collect();
            if !unknown.is_empty() {
                return Look::Unknown(unknown);
            }
        }
        let perhaps = rows.iter().any(|&row| {
            self.rows.get(&row) == Some(&false) || self.known.contains(&fingerprint(row, client_id))
        });
        if perhaps { Look::Perhaps } else { Look::New }
    }

    /// A row is given out: nothing was sent by it.
    pub(super) fn begin(&mut self, row: u32) {
        if !self.new && !self.many {
            self.rows.insert(row, true);
        }
    }

    /// Something is sent under this id. It need not succeed.
    pub(super) fn note(&mut self, row: u32, client_id: &str) {
        if !self.many && (self.new || self.rows.get(&row) == Some(&true)) {
            self.known.insert(fingerprint(row, client_id));
            self.measure();
        }
    }

    /// What was read of these rows; `None`: too many. Of rows that are known it is no news: what was sent since is not in it.
    pub(super) fn learn(&mut self, rows: &[u32], read: Option<&[(u32, Box<str>)]>) {
        if self.many || self.new {
            return;
        }
        for &row in rows {
            if self.rows.contains_key(&row) {
                continue;
            }
            let of_row = read.into_iter().flatten().filter(|(other, _)| *other == row);
            self.known.extend(of_row.map(|(row, client_id)| fingerprint(*row, client_id)));
            self.rows.insert(row, read.is_some());
        }
        self.measure();
    }

    fn measure(&mut self) {
        if self.known.len() > MOST {
            *self = Self { many: true, ..Self::default() };
        }
    }

    /// Bytes of its memory beside its own.
    pub(super) fn bytes(&self) -> usize {
        self.known.capacity() * 6 + self.rows.len() * 8
    }
}

/// Who chooses ids that meet in one fingerprint only makes their own sends slower.
fn fingerprint(row: u32, client_id: &str) -> u32 {
    RandomState::with_seeds(1, 2, 3, 4).hash_one((row, client_id)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(names: &[(u32, &str)]) -> Vec<(u32, Box<str>)> {
        names.iter().map(|&(row, name)| (row, name.into())).collect()
    }

    #[test]
    fn what_was_sent_never_looks_new() {
        let mut names = Names::default();
        assert_eq!(names.look(&[1], "a"), Look::Unknown([1].into()));
        names.note(1, "lost");
        names.learn(&[1, 2], Some(&read(&[(1, "a"), (2, "b")])));
        assert_eq!([1, 2].map(|row| names.look(&[row], "a")), [Look::Perhaps, Look::New]);
        assert_eq!(names.look(&[2, 1], "a"), Look::Perhaps, "an earlier row of theirs");
        assert_eq!(names.look(&[2, 3, 4], "b"), Look::Unknown([3, 4].into()));
        names.begin(3);
        names.learn(&[4], None);
        assert_eq!([3, 4].map(|row| names.look(&[row], "b")), [Look::New, Look::Perhaps]);

        // An answer that was read before this was sent comes after it.
        names.note(1, "c");
        names.learn(&[1], Some(&[]));
        assert_eq!(names.look(&[1], "c"), Look::Perhaps);
    }

    #[test]
    fn of_what_is_new_nothing_is_read_and_of_what_is_too_much_everything() {
        let mut names = Names::none();
        assert_eq!(names.look(&[1, 7], "a"), Look::New);
        names.note(7, "a");
        assert_eq!([1, 7].map(|row| names.look(&[row], "a")), [Look::New, Look::Perhaps]);
        for number in 0..2 * MOST as u32 {
            names.note(number, "many");
        }
        assert_eq!((names.look(&[9], "new"), names.bytes()), (Look::Perhaps, 0));
        names.learn(&[9], Some(&[]));
        names.begin(10);
        assert_eq!(names.look(&[9, 10], "new"), Look::Perhaps);
    }
}
