//! The connection table of a shard: one small slot a connection, in pages, so that growing never moves a million.

use std::rc::Rc;

use schema::SessionRef;

use crate::io::Token;
use crate::limits::PAGE;
use crate::machine::ConnRef;
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
    /// The slot is not in use.
    Free,
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

/// The table.
#[derive(Debug)]
pub(super) struct Conns<P> {
    pages: Vec<Vec<Conn<P>>>,
    free: Vec<u32>,
    used: u32,
    max: u32,
}

impl<P> Conns<P> {
    pub(super) fn new(max: u32) -> Self {
        Self { pages: Vec::new(), free: Vec::new(), used: 0, max }
    }

    /// Connections in use.
    pub(super) fn len(&self) -> u32 {
        self.used
    }

    /// A free slot, opened; `None` when the table is full.
    pub(super) fn claim(&mut self) -> Option<Token> {
        if self.free.is_empty() {
            let first = (self.pages.len() * PAGE) as u32;
            if first >= self.max {
                return None;
            }
            let len = PAGE.min((self.max - first) as usize);
            self.pages.push(
                (0..len)
                    .map(|_| Conn {
                        edge: None,
                        sessions: Sessions::None,
                        blocked: None,
                        generation: 0,
                        heard: 0,
                        deadline: NONE,
                        wheel_at: NONE,
                        head: NONE,
                        tail: NONE,
                        phase: Phase::Free,
                    })
                    .collect(),
            );
            // Lowest number first: low slots have a direct descriptor, and a small server stays in few pages.
            self.free.extend((first..first + len as u32).rev());
        }
        let slot = self.free.pop()?;
        self.used += 1;
        let conn = self.slot(slot)?;
        conn.phase = Phase::Open;
        Some(Token { slot, generation: conn.generation })
    }

    /// Gives a slot back; its next user gets another generation.
    pub(super) fn release(&mut self, token: Token) {
        let Some(conn) = self.get(token) else { return };
        conn.edge = None;
        conn.sessions = Sessions::None;
        conn.blocked = None;
        conn.generation = (conn.generation + 1) & 0xff_ffff;
        conn.deadline = NONE;
        conn.wheel_at = NONE;
        conn.phase = Phase::Free;
        self.used -= 1;
        self.free.push(token.slot);
    }

    fn slot(&mut self, slot: u32) -> Option<&mut Conn<P>> {
        self.pages.get_mut(slot as usize / PAGE)?.get_mut(slot as usize % PAGE)
    }

    /// The connection a token names, unless the slot is free or has another generation.
    pub(super) fn get(&mut self, token: Token) -> Option<&mut Conn<P>> {
        self.slot(token.slot).filter(|conn| conn.generation == token.generation && conn.phase != Phase::Free)
    }

    /// The connection in a slot, whichever it is.
    pub(super) fn at(&mut self, slot: u32) -> Option<(Token, &mut Conn<P>)> {
        let conn = self.slot(slot).filter(|conn| conn.phase != Phase::Free)?;
        Some((Token { slot, generation: conn.generation }, conn))
    }

    /// All connections that are open or flushing.
    pub(super) fn open(&self) -> impl Iterator<Item = Token> + '_ {
        self.pages.iter().flatten().enumerate().filter_map(|(slot, conn)| {
            matches!(conn.phase, Phase::Open | Phase::Flushing)
                .then_some(Token { slot: slot as u32, generation: conn.generation })
        })
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
        let mut conns = Conns::<()>::new(PAGE as u32 + 1);
        let tokens: Vec<_> = std::iter::from_fn(|| conns.claim()).collect();
        assert_eq!(tokens.len(), PAGE + 1);
        assert_eq!(tokens[0].slot, 0);
        conns.release(tokens[7]);
        conns.release(tokens[7]);
        assert_eq!(conns.len(), PAGE as u32);
        let again = conns.claim().unwrap();
        assert_eq!((again.slot, again.generation), (7, 1));
        assert!(conns.get(tokens[7]).is_none());
        assert!(conns.claim().is_none());
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
