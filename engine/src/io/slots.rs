//! The drivers' own record of a connection: 16 bytes a slot, in pages.
//!
//! The table grows by pages of 1,024 slots, so it never moves a million entries in one turn, and a page goes back to
//! the allocator when its last connection has gone.

use std::collections::VecDeque;
use std::io;

use super::{Ending, Sink, Token};
use crate::limits::relax::Relax;

/// Slots of one page.
const PAGE: usize = 1024;
/// Slot numbers end here: a shard that counts further is broken, and the table would follow it into the desert.
const MOST_SLOTS: u32 = 1 << 26;
/// Generations are 24 bits; they share a word with the phase and the flags.
const GENERATION: u32 = 0x00ff_ffff;

/// How far a connection's end has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Phase {
    /// Nobody's.
    Free,
    /// Established; the shard has not closed it.
    Open,
    /// Closed gracefully with bytes still to be sent.
    Flushing,
    /// Our FIN is on its way; what the peer still sends is discarded.
    HalfClosed,
    /// To be closed as soon as the operation that still names the descriptor has completed.
    Cancelling,
    /// The descriptor's close is queued.
    Closing,
    /// The descriptor is closed; the last completions may still be on their way.
    Gone,
}

impl Phase {
    fn from_bits(bits: u32) -> Self {
        match bits & 7 {
            1 => Self::Open,
            2 => Self::Flushing,
            3 => Self::HalfClosed,
            4 => Self::Cancelling,
            5 => Self::Closing,
            6 => Self::Gone,
            _ => Self::Free,
        }
    }
}

/// One of the five flags a driver keeps in a slot.
#[derive(Clone, Copy)]
pub(super) struct Flag(u32);

impl Flag {
    /// The flag of this number, 0 to 4.
    pub(super) const fn new(number: u32) -> Self {
        assert!(number < 5, "five bits lie between the phase and the generation");
        Self(8 << number)
    }
}

/// [`Sink::ended`] has been said, or is noted to be.
pub(super) const ENDED: Flag = Flag::new(0);
/// Nothing more can be received: the peer's FIN has come, or the connection is lost.
pub(super) const FINISHED: Flag = Flag::new(1);

/// What a socket did not take.
#[derive(Default)]
pub(super) struct Rest {
    pub(super) bytes: Vec<u8>,
    pub(super) sent: usize,
}

impl Rest {
    pub(super) fn left(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }
}

/// A driver's record of one connection.
pub(super) struct Slot {
    /// Boxed, and there only while the socket is full: an idle connection has no heap of its own.
    pub(super) rest: Option<Box<Rest>>,
    /// The plain descriptor, or [`Slot::DIRECT`].
    pub(super) descriptor: i32,
    /// Generation (24 bits), flags (5), phase (3).
    stamp: u32,
}

const _: () = assert!(size_of::<Slot>() == 16, "the driver's share of an idle connection");

impl Slot {
    /// The descriptor of a connection that lives in the ring's table under its slot number.
    pub(super) const DIRECT: i32 = -1;

    fn free() -> Self {
        Self { rest: None, descriptor: Self::DIRECT, stamp: Phase::Free as u32 }
    }

    fn generation(&self) -> u32 {
        self.stamp >> 8
    }

    pub(super) fn phase(&self) -> Phase {
        Phase::from_bits(self.stamp)
    }

    pub(super) fn set_phase(&mut self, phase: Phase) {
        self.stamp = self.stamp & !7 | phase as u32;
    }

    pub(super) fn has(&self, flag: Flag) -> bool {
        self.stamp & flag.0 != 0
    }

    pub(super) fn set(&mut self, flag: Flag) {
        self.stamp |= flag.0;
    }

    pub(super) fn clear(&mut self, flag: Flag) {
        self.stamp &= !flag.0;
    }
}

struct Page {
    used: usize,
    slots: Box<[Slot]>,
}

/// The table. It is asked by token, and a token of an older generation finds nothing.
#[derive(Default)]
pub(super) struct Slots {
    pages: Vec<Option<Page>>,
}

impl Slots {
    /// Takes a free slot for a new connection.
    pub(super) fn take(&mut self, token: Token, descriptor: i32) -> io::Result<&mut Slot> {
        if token.slot >= MOST_SLOTS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let (number, index) = place(token.slot);
        if self.pages.len() <= number {
            self.pages.resize_with(number + 1, || None);
        }
        let page = self.pages[number].get_or_insert_with(|| Page {
            used: 0,
            slots: std::iter::repeat_with(Slot::free).take(PAGE).collect(),
        });
        let slot = &mut page.slots[index];
        if slot.phase() != Phase::Free {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        page.used += 1;
        slot.descriptor = descriptor;
        slot.stamp = (token.generation & GENERATION) << 8 | Phase::Open as u32;
        Ok(slot)
    }

    /// The connection of this token, unless it has gone.
    pub(super) fn get(&mut self, token: Token) -> Option<&mut Slot> {
        let (number, index) = place(token.slot);
        let slot = &mut self.pages.get_mut(number)?.as_mut()?.slots[index];
        (slot.phase() != Phase::Free && slot.generation() == token.generation & GENERATION).then_some(slot)
    }

    /// Gives the slot back.
    pub(super) fn free(&mut self, token: Token) {
        let Some(slot) = self.get(token) else { return };
        *slot = Slot::free();
        let (number, _) = place(token.slot);
        if let Some(Some(page)) = self.pages.get_mut(number) {
            page.used -= 1;
            // The first page stays: a shard with a handful of connections must not allocate at every one.
            if page.used == 0 && number > 0 {
                self.pages[number] = None;
            }
        }
    }

    /// The plain descriptors of all connections, to be closed when the driver is dropped.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = i32> {
        let slots = self.pages.iter().flatten().flat_map(|page| page.slots.iter());
        slots.filter(|slot| slot.phase() != Phase::Free && slot.descriptor >= 0).map(|slot| slot.descriptor)
    }
}

fn place(slot: u32) -> (usize, usize) {
    (slot as usize / PAGE, slot as usize % PAGE)
}

/// Packs a token and a small number into what the kernel hands back with an event.
pub(super) fn pack(token: Token, kind: u8) -> u64 {
    u64::from(token.slot) << 32 | u64::from(token.generation & GENERATION) << 8 | u64::from(kind)
}

/// The reverse of [`pack`].
pub(super) fn unpack(data: u64) -> (Token, u8) {
    let token = Token { slot: (data >> 32) as u32, generation: (data >> 8) as u32 & GENERATION };
    (token, data as u8)
}

/// What the sink is to be told at the end of the wait, noted where no sink is at hand.
pub(super) enum Notice {
    Blocked(Token),
    Drained(Token),
    Ended(Token, Ending),
    Closed(Token),
}

impl Notice {
    /// Tells it, unless the shard has closed the connection meanwhile and wants to hear of `closed` only.
    pub(super) fn tell(self, slots: &mut Slots, sink: &mut dyn Sink) {
        // As the kernel's events have it: the shard sees the same token, whichever way it comes.
        let cut = |token: Token| Token { generation: token.generation & GENERATION, ..token };
        let mut open = |token| slots.get(token).is_some_and(|slot| slot.phase() == Phase::Open);
        match self {
            Self::Blocked(token) if open(token) => sink.blocked(cut(token)),
            Self::Drained(token) if open(token) => sink.drained(cut(token)),
            Self::Ended(token, ending) if open(token) => sink.ended(cut(token), ending),
            Self::Closed(token) => {
                slots.free(token);
                sink.closed(cut(token));
            }
            _ => {}
        }
    }
}

/// Deadlines that all lie equally far ahead when they are set, so that a queue keeps them in order. A connection that
/// has gone before its deadline stays in the queue; its token finds nothing then.
pub(super) struct Deadlines {
    after_ms: u64,
    queue: VecDeque<(u64, Token)>,
}

impl Deadlines {
    pub(super) fn new(after: std::time::Duration) -> Self {
        // One more, because the clock cuts the part of a millisecond that has passed when a deadline is set.
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        Self { after_ms, queue: VecDeque::new() }
    }

    pub(super) fn set(&mut self, now_ms: u64, token: Token) {
        self.queue.push_back((now_ms.saturating_add(self.after_ms), token));
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.queue.front().map(|(due, _)| *due)
    }

    /// Takes one that is due and whose connection is still in the phase that the deadline ends.
    pub(super) fn expired(&mut self, now_ms: u64, phase: Phase, slots: &mut Slots) -> Option<Token> {
        while self.next()? <= now_ms {
            let (_, token) = self.queue.pop_front()?;
            self.queue.relax_wholly();
            if slots.get(token).is_some_and(|slot| slot.phase() == phase) {
                return Some(token);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(slot: u32, generation: u32) -> Token {
        Token { slot, generation }
    }

    #[test]
    fn an_old_token_finds_nothing() {
        let mut slots = Slots::default();
        slots.take(token(5000, 1), 7).unwrap();
        assert!(slots.take(token(5000, 2), 8).is_err(), "the slot is taken");
        assert!(slots.get(token(5000, 0)).is_none());
        assert_eq!(slots.get(token(5000, 1)).unwrap().descriptor, 7);
        // Only 24 bits of the generation are kept.
        assert!(slots.get(token(5000, 1 | 1 << 24)).is_some());
        slots.free(token(5000, 1));
        assert!(slots.get(token(5000, 1)).is_none());
        slots.take(token(5000, 2), 8).unwrap();
        assert!(slots.get(token(5000, 1)).is_none());
        assert_eq!(slots.descriptors().collect::<Vec<_>>(), [8]);
        assert!(slots.take(token(u32::MAX, 0), 9).is_err());
    }

    #[test]
    fn phase_flags_and_generation_do_not_touch_each_other() {
        let mut slots = Slots::default();
        let slot = slots.take(token(0, GENERATION), 3).unwrap();
        for phase in
            [Phase::Open, Phase::Flushing, Phase::HalfClosed, Phase::Cancelling, Phase::Closing, Phase::Gone]
        {
            slot.set_phase(phase);
            slot.set(ENDED);
            slot.set(Flag::new(4));
            slot.clear(ENDED);
            assert_eq!((slot.phase(), slot.has(ENDED), slot.has(Flag::new(4))), (phase, false, true));
            assert_eq!(slot.generation(), GENERATION);
        }
    }

    #[test]
    fn what_is_packed_comes_out_again() {
        for (slot, generation, kind) in [(0, 0, 0), (u32::MAX, GENERATION, 255), (7, 1, 2)] {
            assert_eq!(unpack(pack(token(slot, generation), kind)), (token(slot, generation), kind));
        }
    }

    #[test]
    fn deadlines_come_due_in_order_and_only_in_their_phase() {
        let mut slots = Slots::default();
        let mut deadlines = Deadlines::new(std::time::Duration::from_millis(99));
        for number in 0..4 {
            slots.take(token(number, 0), 3).unwrap().set_phase(Phase::Flushing);
            deadlines.set(u64::from(number) * 10, token(number, 0));
        }
        slots.free(token(1, 0));
        slots.get(token(2, 0)).unwrap().set_phase(Phase::HalfClosed);
        assert_eq!(deadlines.next(), Some(100));
        assert_eq!(deadlines.expired(99, Phase::Flushing, &mut slots), None);
        assert_eq!(deadlines.expired(125, Phase::Flushing, &mut slots), Some(token(0, 0)));
        assert_eq!(deadlines.expired(125, Phase::Flushing, &mut slots), None, "gone, and in another phase");
        assert_eq!(deadlines.expired(130, Phase::Flushing, &mut slots), Some(token(3, 0)));
        assert_eq!(deadlines.next(), None);
    }
}
