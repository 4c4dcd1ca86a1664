//! How a connection of the ring ends: flushing → half-closed → (cancelling) → closing → gone.

use super::ops::{self, Target, kind};
use super::{AWAITING_ROOM, ENDED, Ending, FINISHED, Notice, Phase, RECEIVING, Ring, SHUTTING, Token, pack};

impl Ring {
    /// The peer's FIN.
    pub(super) fn finished(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token) else { return };
        slot.set(FINISHED);
        match slot.phase() {
            Phase::Open if !slot.has(ENDED) => {
                slot.set(ENDED);
                self.notices.push(Notice::Ended(token, Ending::HalfClosed));
            }
            Phase::HalfClosed => self.release(token),
            _ => {}
        }
    }

    /// The connection failed: what it did not take is of no use any more.
    pub(super) fn lost(&mut self, token: Token, errno: i32) {
        let Some(slot) = self.slots.get(token) else { return };
        slot.set(FINISHED);
        slot.rest = None;
        match slot.phase() {
            Phase::Open if !slot.has(ENDED) => {
                slot.set(ENDED);
                self.notices.push(Notice::Ended(token, Ending::Lost(errno)));
            }
            Phase::Flushing | Phase::HalfClosed => self.release(token),
            _ => {}
        }
    }

    /// Gracefully closed, and no send of the turn is under way: FIN, or first what the socket did not take.
    pub(super) fn flush(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token) else { return };
        if slot.phase() != Phase::Flushing {
            return;
        }
        if slot.rest.is_some() {
            self.flushing.set(self.clock.now_ms(), token);
        } else {
            self.half_close(token);
        }
    }

    /// Everything is sent: say FIN, and read on until the peer says it too.
    pub(super) fn half_close(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token) else { return };
        if slot.has(FINISHED) {
            // The peer has nothing left that a close could answer with RST, so the close's own FIN does.
            return self.release(token);
        }
        slot.set_phase(Phase::HalfClosed);
        slot.set(SHUTTING);
        let target = Target::of(slot, token);
        self.push(&ops::shutdown(target, token));
        self.lingering.set(self.clock.now_ms(), token);
    }

    /// Ends every operation of the connection and closes its descriptor. The descriptor's own reference goes first;
    /// the FIN goes out when the cancelled receive has given back the last one.
    pub(super) fn release(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token) else { return };
        slot.rest = None;
        slot.set_phase(Phase::Cancelling);
        let shutting = slot.has(SHUTTING);
        self.counters.connections -= 1;
        self.cancel(token);
        if !shutting {
            self.push_close(token);
        }
    }

    /// Cancels what is armed. A cancel that finds nothing has met its operation between two states, or too late.
    pub(super) fn cancel(&mut self, token: Token) {
        for (flag, kind) in [(RECEIVING, kind::RECEIVE), (AWAITING_ROOM, kind::ROOM)] {
            if self.slots.get(token).is_some_and(|slot| slot.has(flag)) {
                self.push(&ops::cancel(pack(token, kind), token, kind::CANCEL));
            }
        }
    }

    fn push_close(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token) else { return };
        slot.set_phase(Phase::Closing);
        let target = Target::of(slot, token);
        self.push(&ops::close(target, token));
    }

    pub(super) fn shut(&mut self, token: Token, result: i32) {
        let Some(slot) = self.slots.get(token) else { return };
        slot.clear(SHUTTING);
        match slot.phase() {
            Phase::Cancelling => self.push_close(token),
            // ENOTCONN: the peer has reset meanwhile.
            Phase::HalfClosed if result < 0 => self.release(token),
            _ => {}
        }
    }

    pub(super) fn descriptor_closed(&mut self, token: Token) {
        if let Some(slot) = self.slots.get(token) {
            slot.set_phase(Phase::Gone);
            slot.descriptor = crate::io::slots::Slot::DIRECT;
            self.perhaps_gone(token);
        }
    }

    /// The last completion of a connection whose descriptor is closed.
    pub(super) fn perhaps_gone(&mut self, token: Token) {
        if let Some(slot) = self.slots.get(token)
            && slot.phase() == Phase::Gone
            && !slot.has(RECEIVING)
            && !slot.has(AWAITING_ROOM)
            && !slot.has(SHUTTING)
        {
            self.notices.push(Notice::Closed(token));
        }
    }

    /// Ends connections whose peer took too long.
    pub(super) fn expire(&mut self) {
        if self.flushing.next().is_none() && self.lingering.next().is_none() {
            return;
        }
        let now = self.clock.now_ms();
        while let Some(token) = self.flushing.expired(now, Phase::Flushing, &mut self.slots) {
            self.release(token);
        }
        while let Some(token) = self.lingering.expired(now, Phase::HalfClosed, &mut self.slots) {
            self.release(token);
        }
    }
}
