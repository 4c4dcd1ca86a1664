//! What goes out with the next enter: the bytes of a turn's sends, side by side in one arena.
//!
//! The sends do not wait (MSG_DONTWAIT), so the kernel has taken or refused all bytes when the enter that submits
//! them returns. Refusals are read from the completions before anything else happens; then the arena is free again.

use std::io;

use super::pages::{PAGE, Pages};
use crate::io::Token;

/// The most bytes of one connection's rest that are offered at once.
pub(super) const PIECE: usize = 64 * 1024;

struct Queued {
    token: Token,
    start: usize,
    length: usize,
}

/// The arena and the list of what lies in it.
pub(super) struct Outgoing {
    arena: Pages,
    used: usize,
    batch: Vec<Queued>,
    /// Bytes of the batch that the kernel did not take.
    refused: usize,
    /// The most bytes that lay in the arena at a time since it was new.
    touched: usize,
    /// Number of the batch: a completion of another one would be a broken assumption, and must not be believed.
    number: u32,
}

impl Outgoing {
    pub(super) fn new(length: usize) -> io::Result<Self> {
        // The bounds keep a piece useful and a length in 32 bits.
        let arena = Pages::new(length.clamp(4096, 1 << 30))?;
        Ok(Self { arena, used: 0, batch: Vec::new(), refused: 0, touched: 0, number: 0 })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The longest send that fits into an empty arena.
    pub(super) fn capacity(&self) -> usize {
        self.arena.len()
    }

    pub(super) fn room(&self) -> usize {
        self.arena.len() - self.used
    }

    /// Copies a send of the turn. Returns its number and where its bytes lie until [`Outgoing::clear`].
    pub(super) fn queue(&mut self, token: Token, parts: &[&[u8]]) -> (Token, &[u8]) {
        let start = self.used;
        let name = Token { slot: self.batch.len() as u32, generation: self.number };
        for part in parts {
            self.copy(part);
        }
        self.batch.push(Queued { token, start, length: self.used - start });
        (name, &self.arena.all()[start..self.used])
    }

    /// Copies a piece of a rest, which its connection keeps as well.
    pub(super) fn piece(&mut self, bytes: &[u8]) -> &[u8] {
        let start = self.used;
        self.copy(bytes);
        &self.arena.all()[start..self.used]
    }

    fn copy(&mut self, bytes: &[u8]) {
        self.arena.all_mut()[self.used..self.used + bytes.len()].copy_from_slice(bytes);
        self.used += bytes.len();
    }

    /// A send of this batch was taken only in part: whose it is, and the bytes left.
    pub(super) fn refused(&mut self, name: Token, taken: usize) -> Option<(Token, &[u8])> {
        if name.generation != self.number {
            return None;
        }
        let queued = self.batch.get(name.slot as usize)?;
        self.refused += queued.length - taken.min(queued.length);
        Some((
            queued.token,
            &self.arena.all()[queued.start + taken.min(queued.length)..queued.start + queued.length],
        ))
    }

    /// Forgets the batch, and says how many bytes of it the kernel took.
    pub(super) fn clear(&mut self) -> usize {
        let all: usize = self.batch.iter().map(|queued| queued.length).sum();
        let taken = all - self.refused;
        self.touched = self.touched.max(self.used);
        self.batch.clear();
        self.used = 0;
        self.refused = 0;
        self.number = (self.number + 1) & 0x00ff_ffff;
        taken
    }

    /// More than a page of the arena has been touched.
    pub(super) fn is_worn(&self) -> bool {
        self.touched > PAGE
    }

    /// Gives the arena's pages back, unless something lies in it.
    pub(super) fn relax(&mut self) {
        if self.is_empty() && self.is_worn() {
            self.arena.forget(0);
            self.touched = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_refuses_is_found_again_in_its_own_batch_only() {
        let mut outgoing = Outgoing::new(0).unwrap();
        let token = Token { slot: 9, generation: 4 };
        outgoing.piece(b"someone else's rest");
        let (name, bytes) = outgoing.queue(token, &[b"ab", b"", b"cdef"]);
        assert_eq!(bytes, b"abcdef");
        assert_eq!(outgoing.refused(name, 4), Some((token, &b"ef"[..])));
        assert_eq!(outgoing.clear(), 4);
        assert!(outgoing.is_empty() && outgoing.room() == outgoing.capacity());
        outgoing.queue(token, &[b"next"]);
        assert_eq!(outgoing.refused(name, 0), None);
        assert_eq!(outgoing.clear(), 4);
    }

    #[test]
    fn a_worn_arena_is_given_back_when_nothing_lies_in_it() {
        let mut outgoing = Outgoing::new(4 * PAGE).unwrap();
        outgoing.piece(&vec![7; PAGE]);
        outgoing.clear();
        assert!(!outgoing.is_worn());
        outgoing.piece(&vec![7; PAGE + 1]);
        outgoing.clear();
        assert!(outgoing.is_worn());
        outgoing.piece(b"still to be sent");
        outgoing.relax();
        assert!(outgoing.is_worn(), "the kernel may still read it");
        outgoing.clear();
        outgoing.relax();
        assert!(!outgoing.is_worn());
        assert_eq!((outgoing.capacity(), outgoing.piece(b"ok")), (4 * PAGE, &b"ok"[..]));
    }
}
