//! The connection table of a shard: one small slot a connection, in pages, so that growing never moves a million and
//! a crowd that has left gives its pages back.

use std::collections::BTreeMap;
use std::rc::Rc;

use schema::SessionRef;

use crate::io::Token;
use crate::machine::ConnRef;
use crate::machine::slab::{Seek, Slab, Slotted};
use crate::outbox::Outbox;

/// Milliseconds in one tick of [`Conn::deadline`]: coarse, so that a time fits in 32 bits for the life of a process
/// (four years).
pub(super) const TICK: u64 = 32;

/// "No deadline".
pub(super) const NONE: u32 = u32::MAX;

/// The session of a connection in eight bytes: no session has generation 0, so two of those stand for "none" and for
/// "several", which lie aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sole(SessionRef);

impl Sole {
    const NOBODY: Self = Self(SessionRef { slot: 0, generation: 0 });
    const SEVERAL: Self = Self(SessionRef { slot: 1, generation: 0 });

    fn one(&self) -> Option<SessionRef> {
        (self.0.generation != 0).then_some(self.0)
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

/// How a connection reaches its client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pipe {
    /// By its socket.
    Socket,
    /// Through the front door: it has no socket.
    Door,
    /// Through the front door: the driver has been told to close its socket, and has not yet said that it is done.
    Leaving,
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

/// One slot. What few connections have lies aside, in [`Conns`].
#[derive(Debug)]
pub(super) struct Conn<P> {
    pub(super) edge: P,
    sole: Sole,
    generation: u32,
    /// The edge's deadline, in ticks.
    pub(super) deadline: u32,
    /// The earliest entry of the wheel for this connection, in ticks; a later deadline needs no entry of its own.
    pub(super) wheel_at: u32,
    pub(super) phase: Phase,
    pub(super) pipe: Pipe,
    /// There is a [`Blocked`] for it.
    blocked: bool,
}

impl<P> Conn<P> {
    /// Its session; `None` when it has none or several.
    pub(super) fn session(&self) -> Option<SessionRef> {
        self.sole.one()
    }
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
    // Maps of trees, by slot: they grow by single nodes, however many sockets block at once.
    several: BTreeMap<u32, Vec<SessionRef>>,
    blocked: BTreeMap<u32, Blocked>,
}

impl<P> Conns<P> {
    pub(super) fn new(max: u32) -> Self {
        Self { slots: Slab::new(), max, several: BTreeMap::new(), blocked: BTreeMap::new() }
    }

    /// Connections in use.
    pub(super) fn len(&self) -> u32 {
        self.slots.len()
    }

    /// The name that the next connection will have: of the lowest free slot (low slots have a direct descriptor);
    /// `None` when the table is full.
    pub(super) fn vacancy(&mut self) -> Option<Token> {
        if self.slots.len() >= self.max {
            return None;
        }
        let (slot, generation) = self.slots.vacancy()?;
        Some(Token { slot, generation: generation & GENERATION })
    }

    /// Opens the connection whose name was told by [`Conns::vacancy`].
    pub(super) fn claim(&mut self, edge: P, pipe: Pipe) -> Option<Token> {
        let slot = self.slots.insert(|generation| Conn {
            edge,
            sole: Sole::NOBODY,
            generation: generation & GENERATION,
            deadline: NONE,
            wheel_at: NONE,
            phase: Phase::Open,
            pipe,
            blocked: false,
        })?;
        let generation = self.slots.get(slot)?.generation;
        Some(Token { slot, generation })
    }

    /// Gives a slot back; its next user gets another generation.
    pub(super) fn release(&mut self, token: Token) {
        if self.get(token).is_some() {
            self.slots.remove(token.slot);
            self.several.remove(&token.slot);
            self.blocked.remove(&token.slot);
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
    pub(super) fn next(&mut self, from: u32) -> Option<Token> {
        let mut budget = usize::MAX;
        match self.slots.seek(from, &mut budget)? {
            Seek::Found(slot) | Seek::Later(slot) => self.at(slot).map(|(token, _)| token),
        }
    }

    /// The sessions on a connection; nearly always one.
    pub(super) fn sessions(&self, token: Token) -> &[SessionRef] {
        match self.slots.get(token.slot).filter(|conn| conn.generation == token.generation) {
            Some(Conn { sole: Sole::SEVERAL, .. }) => {
                self.several.get(&token.slot).map_or(&[], Vec::as_slice)
            }
            Some(Conn { sole: sole @ Sole(session), .. }) if sole.one().is_some() => {
                std::slice::from_ref(session)
            }
            _ => &[],
        }
    }

    /// One session more on a connection.
    pub(super) fn seat(&mut self, token: Token, session: SessionRef) {
        let Some(conn) = self.get(token) else { return };
        match (conn.sole, conn.sole.one()) {
            (Sole::SEVERAL, _) => self.several.entry(token.slot).or_default().push(session),
            (_, Some(first)) => {
                conn.sole = Sole::SEVERAL;
                self.several.insert(token.slot, vec![first, session]);
            }
            (_, None) => conn.sole = Sole(session),
        }
    }

    /// One session less.
    pub(super) fn unseat(&mut self, token: Token, session: SessionRef) {
        let Some(conn) = self.get(token) else { return };
        if conn.sole == Sole(session) {
            conn.sole = Sole::NOBODY;
        } else if conn.sole == Sole::SEVERAL
            && let Some(all) = self.several.get_mut(&token.slot)
        {
            all.retain(|one| *one != session);
        }
    }

    /// Takes all sessions of a connection away from it.
    pub(super) fn unseat_all(&mut self, token: Token) -> Vec<SessionRef> {
        let all = self.sessions(token).to_vec();
        if let Some(conn) = self.get(token) {
            conn.sole = Sole::NOBODY;
            self.several.remove(&token.slot);
        }
        all
    }

    /// Notes that a connection's socket takes nothing more; false when that is noted already.
    pub(super) fn block(&mut self, token: Token, since: u64) -> bool {
        let Some(conn) = self.get(token) else { return false };
        let fresh = !std::mem::replace(&mut conn.blocked, true);
        if fresh {
            self.blocked.insert(token.slot, Blocked { since, drained: false, outbox: Outbox::default() });
        }
        fresh
    }

    /// The socket is gone: what waited for it is gone, too.
    pub(super) fn forget_blocked(&mut self, token: Token) {
        if let Some(conn) = self.get(token) {
            conn.blocked = false;
            self.blocked.remove(&token.slot);
        }
    }

    /// What a blocked connection has.
    pub(super) fn blocked(&mut self, token: Token) -> Option<&mut Blocked> {
        let conn = self.get(token)?;
        if conn.blocked { self.blocked.get_mut(&token.slot) } else { None }
    }

    /// A blocked connection whose socket has room again is blocked no more; what it had.
    pub(super) fn unblock_drained(&mut self, token: Token) -> Option<Blocked> {
        self.blocked(token).filter(|blocked| blocked.drained)?;
        self.get(token)?.blocked = false;
        self.blocked.remove(&token.slot)
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

    fn claim(conns: &mut Conns<()>) -> Option<Token> {
        let told = conns.vacancy()?;
        let token = conns.claim((), Pipe::Socket)?;
        assert_eq!(token, told);
        Some(token)
    }

    #[test]
    fn slots_are_reused_under_another_generation_and_bounded() {
        let mut conns = Conns::<()>::new(2_000);
        let tokens: Vec<_> = std::iter::from_fn(|| claim(&mut conns)).collect();
        assert_eq!(tokens.len(), 2_000);
        assert_eq!(tokens[0].slot, 0);
        conns.release(tokens[7]);
        conns.release(tokens[7]);
        assert_eq!(conns.len(), 1_999);
        let again = claim(&mut conns).unwrap();
        assert_eq!(again.slot, 7);
        assert_ne!(again.generation, tokens[7].generation);
        assert!(conns.get(tokens[7]).is_none());
        assert!(claim(&mut conns).is_none());
        assert_eq!(conns.next(7), Some(again));
        assert_eq!(conns.next(2_000), None);
    }

    #[test]
    fn generations_stay_within_a_token() {
        let mut conns = Conns::<()>::new(1);
        let token = claim(&mut conns).unwrap();
        conns.get(token).unwrap().generation = GENERATION;
        conns.release(Token { generation: GENERATION, ..token });
        let token = claim(&mut conns).unwrap();
        assert_eq!(token.generation, 0);
        conns.release(token);
        assert_eq!(claim(&mut conns).unwrap().generation, 1);
    }

    #[test]
    fn a_slot_is_small() {
        // With an edge of one pointer, as the gateway's.
        assert_eq!(crate::machine::slab::slot_bytes::<Conn<Option<Box<u64>>>>(), 32);
    }

    #[test]
    fn sessions_of_a_connection() {
        let at = |slot| SessionRef { slot, generation: 1 };
        let mut conns = Conns::<()>::new(2);
        let token = claim(&mut conns).unwrap();
        assert!(conns.sessions(token).is_empty());
        conns.seat(token, at(1));
        assert_eq!(conns.sessions(token), [at(1)]);
        assert_eq!(conns.get(token).unwrap().session(), Some(at(1)));
        conns.seat(token, at(2));
        conns.seat(token, at(3));
        assert_eq!(conns.get(token).unwrap().session(), None);
        conns.unseat(token, at(1));
        conns.unseat(token, at(9));
        assert_eq!(conns.sessions(token), [at(2), at(3)]);
        assert_eq!(conns.unseat_all(token), [at(2), at(3)]);
        assert!(conns.sessions(token).is_empty() && conns.several.is_empty());
        conns.seat(token, at(4));
        conns.unseat(token, at(4));
        assert!(conns.sessions(token).is_empty());
    }

    #[test]
    fn a_blocked_connection_waits_until_it_is_drained() {
        let mut conns = Conns::<()>::new(2);
        let token = claim(&mut conns).unwrap();
        assert!(conns.blocked(token).is_none());
        assert!(conns.block(token, 5) && !conns.block(token, 6));
        assert!(conns.unblock_drained(token).is_none());
        conns.blocked(token).unwrap().drained = true;
        assert_eq!(conns.unblock_drained(token).unwrap().since, 5);
        assert!(conns.blocked(token).is_none());
        conns.block(token, 7);
        conns.release(token);
        assert!(conns.blocked.is_empty(), "nothing is left behind");
    }
}
