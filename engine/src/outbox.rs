//! What a connection still has to say while its socket is full: bounded in bytes, and the rule for slow readers.
//!
//! Only a blocked connection has an outbox. Pieces are whole frames, so one can be left out without harm to the
//! others. Room is made by dropping volatile pieces, oldest first; when that is not enough, the connection must be
//! closed: a required event may not be lost in silence.

use std::collections::VecDeque;
use std::rc::Rc;

use schema::event::Class;

/// The bounded queue of one blocked connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pieces: VecDeque<(Class, Rc<[u8]>)>,
    bytes: usize,
}

/// What became of a piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It is queued; this many volatile pieces were dropped for it.
    Queued { dropped: u32 },
    /// It is volatile, there is no room, and it was dropped itself.
    Dropped,
    /// It is required and there is no room: close the connection.
    Overflow,
}

impl Outbox {
    /// Queues a piece within `limit` bytes.
    pub(crate) fn push(&mut self, class: Class, piece: Rc<[u8]>, limit: usize) -> Pushed {
        let mut dropped = 0;
        if self.bytes + piece.len() > limit {
            if class == Class::Volatile {
                return Pushed::Dropped;
            }
            let mut excess = (self.bytes + piece.len()).saturating_sub(limit);
            self.pieces.retain(|(class, bytes)| {
                let drop = excess > 0 && *class == Class::Volatile;
                if drop {
                    excess = excess.saturating_sub(bytes.len());
                    dropped += 1;
                }
                !drop
            });
            self.bytes = self.pieces.iter().map(|(_, bytes)| bytes.len()).sum();
            if self.bytes + piece.len() > limit {
                return Pushed::Overflow;
            }
        }
        self.bytes += piece.len();
        self.pieces.push_back((class, piece));
        Pushed::Queued { dropped }
    }

    /// The pieces in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Rc<[u8]>> {
        self.pieces.iter().map(|(_, bytes)| bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(byte: u8, len: usize) -> Rc<[u8]> {
        vec![byte; len].into()
    }

    fn shape(outbox: &Outbox) -> Vec<(u8, usize)> {
        outbox.pieces().map(|piece| (piece[0], piece.len())).collect()
    }

    #[test]
    fn volatile_goes_first_and_required_closes() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(Class::Volatile, piece(1, 40), 100), Pushed::Queued { dropped: 0 });
        assert_eq!(outbox.push(Class::Required, piece(2, 30), 100), Pushed::Queued { dropped: 0 });
        assert_eq!(outbox.push(Class::Volatile, piece(3, 30), 100), Pushed::Queued { dropped: 0 });
        assert_eq!(outbox.push(Class::Volatile, piece(4, 1), 100), Pushed::Dropped);
        assert_eq!(outbox.push(Class::Required, piece(5, 35), 100), Pushed::Queued { dropped: 1 });
        assert_eq!(shape(&outbox), [(2, 30), (3, 30), (5, 35)]);
        assert_eq!(outbox.push(Class::Required, piece(6, 36), 100), Pushed::Overflow);
        assert_eq!(shape(&outbox), [(2, 30), (5, 35)]);
    }

    #[test]
    fn a_piece_over_the_limit_never_fits() {
        assert_eq!(Outbox::default().push(Class::Required, piece(1, 101), 100), Pushed::Overflow);
        assert_eq!(Outbox::default().push(Class::Volatile, piece(1, 101), 100), Pushed::Dropped);
    }
}
