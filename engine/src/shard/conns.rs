//! The connection table of a shard: one small slot a connection, in pages, so that growing never moves a million and
//! a crowd that has left gives its pages back.

use std::rc::Rc;

use schema::SessionRef;

use crate::io::Token;
use crate::machine::ConnRef;
use crate::machine::slab::{Seek, Slab, Slotted};
use crate::outbox::Outbox;

/// Milliseconds in one tick of [`Conn::heard`] and [`Conn::deadline`]: coarse, so that a time fits in 32 bits for
/// the life of a process (four years).
pub(super) const TICK: u64 = 32;

/// "No deadline", and "no staged piece".
pub(super) const NONE: u32 = u32::MAX;

/// The sessions on one connection; nearly always one.
#[derive(Debug, Default)]
pub(super) enum Sessions {
    #[default]
    None,
    One(SessionRef),
    #[expect(clippy::box_collection, reason = "rare, and a bare `Vec` would add 8 bytes to every slot")]
    Many(Box<Vec<SessionRef>>),
}

impl Sessions {
    pub(super) fn add(&mut self, session: SessionRef) {
        match self {
            Self::None => *self = Self::One(session),
            Self::One(first) => *self = Self::Many(Box::new(vec![*first, session])),
            Self::Many(all) => all.push(session),
        }
    }

    pub(super) fn remove(&mut self, session: SessionRef) {
        match self {
            Self::One(only) if *only == session => *self = Self::None,
            Self::None | Self::One(_) => {}
            Self::Many(all) => all.retain(|one| *one != session),
        }
    }

    pub(super) fn as_slice(&self) -> &[SessionRef] {
        match self {
            Self::None => &[],
            Self::One(session) => std::slice::from_ref(session),
            Self::Many(all) => all,
        }
    }
}

/// How far a connection is on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Bytes go both ways.
    Open,
    /// To be closed gracefully as soon as the socket has taken what the outbox holds.
    Flushing,
    /// The driver has been told to close, and has not yet said that it is done.
    Closing,
}

/// What a blocked connection has beside its slot.
#[derive(Debug)]
pub(super) struct Blocked {
    /// Monotonic milliseconds.
    pub(super) since: u64,
    /// The socket has room again; the outbox goes out with the next flush.
    pub(super) drained: bool,
    pub(super) outbox: Outbox,
}

/// One slot.
#[derive(Debug)]
pub(super) struct Conn<P> {
    pub(super) edge: Option<P>,
    pub(super) sessions: Sessions,
    pub(super) blocked: Option<Box<Blocked>>,
    pub(super) generation: u32,
    /// When the last byte came, in ticks.
    pub(super) heard: u32,
    /// The edge's deadline, in ticks.
    pub(super) deadline: u32,
    /// The earliest entry of the wheel for this connection, in ticks; a later deadline needs no entry of its own.
    pub(super) wheel_at: u32,
    /// First and last staged piece of this turn.
    pub(super) head: u32,
    pub(super) tail: u32,
    pub(super) phase: Phase,
}

/// The token's part of a generation: all that the driver keeps of it.
const GENERATION: u32 = 0xff_ffff;

impl<P> Slotted for Conn<P> {
    fn generation(&self) -> u32 {
        self.generation
    }
}

/// The table.
pub(super) struct Conns<P> {
    slots: Slab<Conn<P>>,
    max: u32,
}

impl<P> Conns<P> {
    pub(super) fn new(max: u32) -> Self {
        Self { slots: Slab::new(), max }
    }

    /// Connections in use.
    pub(super) fn len(&self) -> u32 {
        self.slots.len()
    }

    /// A free slot, opened, the lowest there is (low slots have a direct descriptor); `None` when the table is full.
    pub(super) fn claim(&mut self) -> Option<Token> {
        if self.slots.len() >= self.max {
            return None;
        }
        let slot = self.slots.insert(|generation| Conn {
            edge: None,
            sessions: Sessions::None,
            blocked: None,
            generation: generation & GENERATION,
            heard: 0,
            deadline: NONE,
            wheel_at: NONE,
            head: NONE,
            tail: NONE,
            phase: Phase::Open,
        })?;
        let generation = self.slots.get(slot)?.generation;
        Some(Token { slot, generation })
    }

    /// Gives a slot back; its next user gets another generation.
    pub(super) fn release(&mut self, token: Token) {
        if self.get(token).is_some() {
            self.slots.remove(token.slot);
        }
    }

    /// The connection a token names, unless the slot is free or has another generation.
    pub(super) fn get(&mut self, token: Token) -> Option<&mut Conn<P>> {
        self.slots.get_mut(token.slot).filter(|conn| conn.generation == token.generation)
    }

    /// The connection in a slot, whichever it is.
    pub(super) fn at(&mut self, slot: u32) -> Option<(Token, &mut Conn<P>)> {
        let conn = self.slots.get_mut(slot)?;
        Some((Token { slot, generation: conn.generation }, conn))
    }

    /// The first connection at or after a slot.
    pub(super) fn next(&mut self, from: u32) -> Option<(Token, &mut Conn<P>)> {
        let mut budget = usize::MAX;
        match self.slots.seek(from, &mut budget)? {
            Seek::Found(slot) | Seek::Later(slot) => self.at(slot),
        }
    }
}

/// The same name in the machine's terms.
pub(super) fn conn_ref(token: Token) -> ConnRef {
    ConnRef { slot: token.slot, generation: token.generation }
}

/// The same name in the driver's terms.
pub(super) fn token(conn: ConnRef) -> Token {
    Token { slot: conn.slot, generation: conn.generation }
}

/// Encoded bytes shared by all who are told the same.
pub(super) type Shared = Rc<[u8]>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_reused_under_another_generation_and_bounded() {
        let mut conns = Conns::<()>::new(2_000);
        let tokens: Vec<_> = std::iter::from_fn(|| conns.claim()).collect();
        assert_eq!(tokens.len(), 2_000);
        assert_eq!(tokens[0].slot, 0);
        conns.release(tokens[7]);
        conns.release(tokens[7]);
        assert_eq!(conns.len(), 1_999);
        let again = conns.claim().unwrap();
        assert_eq!(again.slot, 7);
        assert_ne!(again.generation, tokens[7].generation);
        assert!(conns.get(tokens[7]).is_none());
        assert!(conns.claim().is_none());
        assert_eq!(conns.next(7).map(|(token, _)| token), Some(again));
        assert_eq!(conns.next(2_000).map(|(token, _)| token), None);
    }

    #[test]
    fn generations_stay_within_a_token() {
        let mut conns = Conns::<()>::new(1);
        let token = conns.claim().unwrap();
        conns.get(token).unwrap().generation = GENERATION;
        conns.release(Token { generation: GENERATION, ..token });
        let token = conns.claim().unwrap();
        assert_eq!(token.generation, 0);
        conns.release(token);
        assert_eq!(conns.claim().unwrap().generation, 1);
    }

    #[test]
    fn a_slot_is_small() {
        // Without an edge; the largest edge that is not boxed has 24 bytes.
        assert!(size_of::<Conn<[u64; 3]>>() <= 88, "{}", size_of::<Conn<[u64; 3]>>());
    }

    #[test]
    fn sessions_of_a_connection() {
        let at = |slot| SessionRef { slot, generation: 0 };
        let mut sessions = Sessions::None;
        sessions.add(at(1));
        assert_eq!(sessions.as_slice(), [at(1)]);
        sessions.add(at(2));
        sessions.remove(at(1));
        sessions.remove(at(9));
        assert_eq!(sessions.as_slice(), [at(2)]);
        assert_eq!(size_of::<Sessions>(), 16);
    }
}
