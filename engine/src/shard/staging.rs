//! What the connections of a shard have to say in this turn, gathered until the turn's one flush.
//!
//! Bytes that one connection is told alone lie one after the other in a buffer that lives for the turn; bytes that
//! many are told are shared. At the flush the pieces are sorted by connection, so that those of one leave in one send,
//! in order; between two turns no connection has anything here.

use schema::event::Class;

use super::conns::{Conns, Phase, Pipe, Shared};
use crate::io::{Driver, Token};
use crate::limits::relax::Relax;
use crate::outbox::Pushed;

#[derive(Debug)]
enum Bytes {
    Own { start: usize, end: usize },
    Shared(Shared),
}

#[derive(Debug)]
struct Piece {
    token: Token,
    bytes: Bytes,
    class: Class,
}

/// The staged pieces of one turn.
#[derive(Debug, Default)]
pub(super) struct Staging {
    /// Edges append here; [`Staging::own`] then says whose it is.
    pub(super) bytes: Vec<u8>,
    pieces: Vec<Piece>,
    /// Slots and numbers of pieces, for the flush.
    order: Vec<(u32, u32)>,
    /// Most bytes and pieces of one flush since the last rest.
    used: (usize, usize),
}

/// What a flush did.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    /// Volatile pieces dropped for slow readers.
    pub(super) dropped: u64,
    /// Connections whose required pieces did not fit: to be closed.
    pub(super) overflowed: Vec<Token>,
}

impl Staging {
    /// The bytes appended to [`Staging::bytes`] since `start` belong to this connection.
    pub(super) fn own(&mut self, token: Token, class: Class, start: usize) {
        let end = self.bytes.len();
        if start == end {
            return;
        }
        if let Some(last) = self.pieces.last_mut()
            && (last.token, last.class) == (token, class)
            && let Bytes::Own { end: last_end, .. } = &mut last.bytes
            && *last_end == start
        {
            *last_end = end;
            return;
        }
        self.pieces.push(Piece { token, bytes: Bytes::Own { start, end }, class });
    }

    /// These shared bytes go to this connection too.
    pub(super) fn shared(&mut self, token: Token, class: Class, bytes: Shared) {
        if !bytes.is_empty() {
            self.pieces.push(Piece { token, bytes: Bytes::Shared(bytes), class });
        }
    }

    /// This connection's socket has room again: what waits in its outbox goes out with the next flush, before
    /// anything that is staged for it.
    pub(super) fn resume(&mut self, token: Token) {
        // A piece without bytes: the flush comes by.
        self.pieces.push(Piece { token, bytes: Bytes::Own { start: 0, end: 0 }, class: Class::Required });
    }

    /// True when nothing is staged.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Hands everything to the driver, or to the outboxes of blocked connections.
    pub(super) fn flush<P>(
        &mut self,
        conns: &mut Conns<P>,
        driver: &mut dyn Driver,
        limit: usize,
        flushed: &mut Flushed,
    ) {
        let slots = self.pieces.iter().map(|piece| piece.token.slot);
        self.order.extend(slots.zip(0..));
        self.order.sort_unstable();
        let token_of = |row: &(u32, u32)| self.pieces[row.1 as usize].token;
        for rows in self.order.chunk_by(|one, next| token_of(one) == token_of(next)) {
            let token = token_of(&rows[0]);
            let takes =
                |conn: &mut super::conns::Conn<P>| conn.phase != Phase::Closing && conn.pipe == Pipe::Socket;
            if !conns.get(token).is_some_and(takes) {
                continue;
            }
            let waited = conns.unblock_drained(token);
            let mut slices: Vec<&[u8]> = Vec::new();
            if let Some(blocked) = &waited {
                slices.extend(blocked.outbox.pieces().map(|piece| &**piece));
            }
            let mut blocked = conns.blocked(token);
            for row in rows {
                let piece = &self.pieces[row.1 as usize];
                let bytes = match &piece.bytes {
                    Bytes::Own { start, end } => &self.bytes[*start..*end],
                    Bytes::Shared(bytes) => bytes,
                };
                if bytes.is_empty() {
                    continue;
                }
                let Some(blocked) = &mut blocked else {
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
        self.used = (self.used.0.max(self.bytes.len()), self.used.1.max(self.pieces.len()));
        self.order.clear();
        self.pieces.clear();
        self.bytes.clear();
    }

    /// The turn is over: what only an earlier one needed is given back.
    pub(super) fn rest(&mut self) {
        let (bytes, pieces) = std::mem::take(&mut self.used);
        self.bytes.relax_after(bytes);
        self.pieces.relax_after(pieces);
        self.order.relax_after(pieces);
    }
}
