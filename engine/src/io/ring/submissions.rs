//! What the ring submits, and what its sends leave behind.
#![expect(unsafe_code, reason = "the queue cannot know how long what an operation points to lives")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use io_uring::squeue;

use super::ops::{self, Target, kind};
use super::{
    FINISHED, Notice, Phase, RECEIVING, Rest, Ring, Slots, Token, outgoing, pack, unpack, would_block,
};

/// Enters in which the kernel may fail to take what is queued before the driver gives up.
const PATIENCE: u32 = 10_000;

impl Ring {
    /// Queues an operation, and submits first when the queue is full.
    pub(super) fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: operations point to no memory but sends, which point into the arena. That is cleared only after the
        // kernel has taken everything, and a send uses its bytes no longer than the enter that submits it.
        while self.broken.is_none() && !unsafe { self.queue.push(entry) } {
            self.submit();
        }
    }

    /// Submits in the middle of a turn, because the queue or the arena is full.
    pub(super) fn submit(&mut self) {
        if let Err(error) = self.queue.submit().and_then(|()| self.collect()) {
            self.broken.get_or_insert(error);
        }
    }

    /// Before a send: its bytes and its operation must both fit, because submitting clears the arena.
    pub(super) fn make_room(&mut self, bytes: usize) {
        if self.queue.is_full() || self.outgoing.room() < bytes {
            self.submit();
        }
    }

    /// Takes all completions there are and reads the refused sends from them, so that the arena is free.
    pub(super) fn collect(&mut self) -> io::Result<()> {
        for _ in 0..PATIENCE {
            while let Some(entry) = self.queue.next() {
                match unpack(entry.user_data()) {
                    (name, kind::SEND) => self.refused(name, entry.result())?,
                    _ => self.backlog.push(entry),
                }
            }
            if self.queue.unsubmitted() == 0 && !self.queue.overflowed() {
                self.counters.sent_bytes += self.outgoing.clear() as u64;
                return match self.queue.lost() {
                    0 => Ok(()),
                    count => Err(io::Error::other(format!("the kernel has lost {count} completions"))),
                };
            }
            self.queue.submit_and_wait(Some(Duration::ZERO), Duration::ZERO)?;
        }
        Err(io::Error::other("the kernel does not take the operations that are queued"))
    }

    /// A send of the turn that was not taken in full: keep the bytes and wait for room.
    pub(super) fn refused(&mut self, name: Token, result: i32) -> io::Result<()> {
        let taken = usize::try_from(result).unwrap_or(0);
        let Some((token, left)) = self.outgoing.refused(name, taken) else {
            return Err(io::Error::other("a send has completed after its batch"));
        };
        match -result {
            errno if errno > 0 && !would_block(errno) => self.failed.push((token, errno)),
            _ => {
                let Some(slot) = self.slots.get(token) else { return Ok(()) };
                if left.is_empty() || !matches!(slot.phase(), Phase::Open | Phase::Flushing) {
                    return Ok(());
                }
                slot.rest = Some(Box::new(Rest { bytes: left.to_vec(), sent: 0 }));
                self.counters.short_sends += 1;
                self.full.push(token);
                self.notices.push(Notice::Blocked(token));
            }
        }
        Ok(())
    }

    /// Arms a receive, if there is still something to receive.
    pub(super) fn arm(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token) else { return };
        let alive = matches!(slot.phase(), Phase::Open | Phase::Flushing | Phase::HalfClosed);
        if alive && !slot.has(RECEIVING) && !slot.has(FINISHED) {
            slot.set(RECEIVING);
            let target = Target::of(slot, token);
            self.push(&ops::receive(target, token));
        }
    }

    /// Queues the next piece of what a socket did not take.
    pub(super) fn send_rest(&mut self, token: Token) {
        let most = outgoing::PIECE.min(self.outgoing.capacity());
        let left = |slots: &mut Slots| slots.get(token)?.rest.as_ref().map(|rest| rest.left().len());
        let Some(length) = left(&mut self.slots) else { return };
        self.make_room(length.min(most));
        let Some(slot) = self.slots.get(token) else { return };
        let target = Target::of(slot, token);
        let Some(rest) = slot.rest.as_ref() else { return };
        if self.broken.is_none() {
            let piece = self.outgoing.piece(&rest.left()[..length.min(most)]);
            let entry = ops::send(target, piece, pack(token, kind::REST));
            self.push(&entry);
        }
    }

    /// Queues what earlier turns left to do.
    pub(super) fn push_deferred(&mut self) {
        let failed = std::mem::take(&mut self.failed);
        failed.into_iter().for_each(|(token, errno)| self.lost(token, errno));
        let full = std::mem::take(&mut self.full);
        full.into_iter().for_each(|token| self.await_room(token));
        let missed = std::mem::take(&mut self.missed);
        missed.into_iter().for_each(|token| self.cancel(token));
        // No more than there are buffers: the others would only starve again.
        let hungry = self.starved.hungry.len().min(self.buffers.count().saturating_sub(1).max(1));
        for number in 0..self.buffers.count() {
            match self.starved.next(number < hungry) {
                Some(token) => self.arm(token),
                None => break,
            }
        }
        if self.wake_unarmed {
            self.wake_unarmed = false;
            self.push(&ops::wake(self.waker.as_fd().as_raw_fd()));
        }
    }
}
