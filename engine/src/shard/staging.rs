//! What the connections of a shard have to say in this turn, gathered until the turn's one flush.
//!
//! Bytes that one connection is told alone lie one after the other in a buffer that lives for the turn; bytes that
//! many are told are shared. Each connection's pieces form a list, so that they leave in one send, in order.

use schema::event::Class;

use super::conns::{Conn, Conns, NONE, Phase, Shared};
use crate::io::{Driver, Token};
use crate::outbox::Pushed;

#[derive(Debug)]
enum Bytes {
    Own { start: usize, end: usize },
    Shared(Shared),
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    class: Class,
    next: u32,
}

/// The staged pieces of one turn.
#[derive(Debug, Default)]
pub(super) struct Staging {
    /// Edges append here; [`Staging::own`] then says whose it is.
    pub(super) bytes: Vec<u8>,
    pieces: Vec<Piece>,
    dirty: Vec<Token>,
}

/// What a flush did.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    /// Volatile pieces dropped for slow readers.
    pub(super) dropped: u64,
    /// Connections whose required pieces did not fit: to be closed.
    pub(super) overflowed: Vec<Token>,
}

/// A turn's buffer larger than this is given back after the turn.
const KEEP: usize = 1 << 20;

impl Staging {
    /// The bytes appended to [`Staging::bytes`] since `start` belong to this connection.
    pub(super) fn own<P>(&mut self, token: Token, conn: &mut Conn<P>, class: Class, start: usize) {
        let end = self.bytes.len();
        if start == end {
            return;
        }
        if let Some(last) = self.pieces.get_mut(conn.tail as usize)
            && last.class == class
            && let Bytes::Own { end: last_end, .. } = &mut last.bytes
            && *last_end == start
        {
            *last_end = end;
            return;
        }
        self.push(token, conn, Piece { bytes: Bytes::Own { start, end }, class, next: NONE });
    }

    /// These shared bytes go to this connection too.
    pub(super) fn shared<P>(&mut self, token: Token, conn: &mut Conn<P>, class: Class, bytes: Shared) {
        if !bytes.is_empty() {
            self.push(token, conn, Piece { bytes: Bytes::Shared(bytes), class, next: NONE });
        }
    }

    fn push<P>(&mut self, token: Token, conn: &mut Conn<P>, piece: Piece) {
        let number = self.pieces.len() as u32;
        self.pieces.push(piece);
        match self.pieces.get_mut(conn.tail as usize) {
            Some(last) => last.next = number,
            None => {
                conn.head = number;
                self.dirty.push(token);
            }
        }
        conn.tail = number;
    }

    /// This connection's socket has room again: what waits in its outbox goes out with the next flush, before
    /// anything that is staged for it.
    pub(super) fn resume(&mut self, token: Token) {
        self.dirty.push(token);
    }

    /// True when nothing is staged.
    pub(super) fn is_empty(&self) -> bool {
        self.dirty.is_empty()
    }

    /// Hands everything to the driver, or to the outboxes of blocked connections.
    pub(super) fn flush<P>(
        &mut self,
        conns: &mut Conns<P>,
        driver: &mut dyn Driver,
        limit: usize,
        flushed: &mut Flushed,
    ) {
        for token in self.dirty.drain(..) {
            let mut slices: Vec<&[u8]> = Vec::new();
            let Some(conn) = conns.get(token) else { continue };
            let mut at = conn.head;
            (conn.head, conn.tail) = (NONE, NONE);
            if conn.phase == Phase::Closing {
                continue;
            }
            let waited = conn.blocked.take_if(|blocked| blocked.drained);
            if let Some(blocked) = &waited {
                slices.extend(blocked.outbox.pieces().map(|piece| &**piece));
            }
            while let Some(piece) = self.pieces.get(at as usize) {
                at = piece.next;
                let bytes = match &piece.bytes {
                    Bytes::Own { start, end } => &self.bytes[*start..*end],
                    Bytes::Shared(bytes) => bytes,
                };
                let Some(blocked) = &mut conn.blocked else {
                    slices.push(bytes);
                    continue;
                };
                let shared = match &piece.bytes {
                    Bytes::Own { .. } => bytes.into(),
                    Bytes::Shared(bytes) => bytes.clone(),
                };
                match blocked.outbox.push(piece.class, shared, limit) {
                    Pushed::Queued { dropped } => flushed.dropped += u64::from(dropped),
                    Pushed::Dropped => flushed.dropped += 1,
                    Pushed::Overflow => {
                        flushed.overflowed.push(token);
                        break;
                    }
                }
            }
            if !slices.is_empty() {
                driver.send(token, &slices);
            }
        }
        self.pieces.clear();
        self.bytes.clear();
        if self.bytes.capacity() > KEEP {
            self.bytes = Vec::new();
        }
        if self.pieces.capacity() * size_of::<Piece>() > KEEP {
            self.pieces = Vec::new();
        }
    }
}
