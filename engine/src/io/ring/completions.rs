//! What each completion means.
#![expect(unsafe_code, reason = "an accepted descriptor comes as a number")]

use std::os::fd::{AsFd, FromRawFd, OwnedFd};

use io_uring::cqueue;

use super::ops::{self, Target, kind};
use super::{
    AWAITING_ROOM, FINISHED, Listener, Notice, Phase, RECEIVING, Ring, Sink, Token, outgoing, would_block,
};
use crate::io::listeners::Failure;
use crate::io::slots::unpack;
use crate::io::sockets;

impl Ring {
    pub(super) fn complete(&mut self, entry: &cqueue::Entry, sink: &mut dyn Sink) {
        let (token, kind) = unpack(entry.user_data());
        let result = entry.result();
        let more = cqueue::more(entry.flags());
        match kind {
            kind::RECEIVE => self.received(token, result, more, cqueue::buffer_select(entry.flags()), sink),
            kind::ROOM => self.room(token),
            kind::REST => self.rest_sent(token, result),
            kind::SHUTDOWN => {
                self.shut(token, result);
                self.perhaps_gone(token);
            }
            kind::CLOSE => self.descriptor_closed(token),
            kind::CANCEL => {
                // Only failures come here. An operation that is still armed was between two states.
                let armed =
                    self.slots.get(token).is_some_and(|slot| slot.has(RECEIVING) || slot.has(AWAITING_ROOM));
                if armed {
                    self.missed.push(token);
                }
            }
            kind::ACCEPT => self.accepted(token, result, more, sink),
            kind::WAKE => self.wake_unarmed |= !more,
            _ => {}
        }
    }

    fn received(&mut self, token: Token, result: i32, more: bool, buffer: Option<u16>, sink: &mut dyn Sink) {
        let slot = self.slots.get(token);
        let phase = slot.map_or(Phase::Free, |slot| {
            if !more {
                slot.clear(RECEIVING);
            }
            // After a loss, as after a close, the shard hears no more bytes.
            if slot.has(FINISHED) && slot.phase() == Phase::Open { Phase::Flushing } else { slot.phase() }
        });
        if let Some(number) = buffer {
            if let Ok(length) = usize::try_from(result) {
                self.counters.received_bytes += length as u64;
                if phase == Phase::Open && length > 0 {
                    sink.received(token, self.buffers.filled(number, length));
                }
            }
            self.buffers.give(number);
        }
        match result {
            // The kernel may end a multishot at any time, as when the completion queue is full.
            1.. if !more => self.arm(token),
            1.. => {}
            0 => self.finished(token),
            _ => match -result {
                libc::ENOBUFS => {
                    self.counters.buffers_empty += 1;
                    let queue = match self.fed {
                        Some(fed) if fed == token => &mut self.starved.fed,
                        _ => &mut self.starved.hungry,
                    };
                    queue.push_back(token);
                }
                libc::ECANCELED | libc::EAGAIN | libc::EINTR => self.arm(token),
                errno => self.lost(token, errno),
            },
        }
        self.fed = (result > 0).then_some(token);
        self.perhaps_gone(token);
    }

    /// Waits for room in a full socket.
    pub(super) fn await_room(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token) else { return };
        if slot.rest.is_some() && !slot.has(AWAITING_ROOM) {
            slot.set(AWAITING_ROOM);
            let target = Target::of(slot, token);
            self.push(&ops::room(target, token));
        }
    }

    /// There is room, or an error that the next send will show.
    fn room(&mut self, token: Token) {
        if let Some(slot) = self.slots.get(token) {
            slot.clear(AWAITING_ROOM);
            self.send_rest(token);
            self.perhaps_gone(token);
        }
    }

    fn rest_sent(&mut self, token: Token, result: i32) {
        let most = outgoing::PIECE.min(self.outgoing.capacity());
        let Some(slot) = self.slots.get(token) else { return };
        let Some(rest) = slot.rest.as_mut() else { return };
        let Ok(taken) = usize::try_from(result) else {
            return if would_block(-result) { self.await_room(token) } else { self.lost(token, -result) };
        };
        let offered = rest.left().len().min(most);
        rest.sent += taken.min(offered);
        self.counters.sent_bytes += taken as u64;
        if !rest.left().is_empty() {
            return if taken < offered { self.await_room(token) } else { self.send_rest(token) };
        }
        slot.rest = None;
        match slot.phase() {
            Phase::Flushing => self.half_close(token),
            _ => self.notices.push(Notice::Drained(token)),
        }
    }

    fn accepted(&mut self, name: Token, result: i32, more: bool, sink: &mut dyn Sink) {
        let place = self.listeners.iter().position(|listening| listening.name() == name);
        if result >= 0 {
            // SAFETY: the kernel has just made this descriptor for us and has told nobody else.
            let socket = unsafe { OwnedFd::from_raw_fd(result) };
            self.counters.system_calls += 1;
            self.counters.accepted += 1;
            // Taken now, while the socket is a plain descriptor. A peer that has gone again has no address.
            if let Ok(peer) = sockets::peer_address(socket.as_fd()) {
                sink.accepted(Listener(name.slot as u8), socket, peer);
            }
        }
        let Some(place) = place else { return };
        let listening = &mut self.listeners[place];
        match result {
            0.. => {
                listening.succeeded();
                if !more {
                    self.arm_accept(place);
                }
            }
            _ => match Failure::of(-result) {
                Failure::Shortage => {
                    let now = self.clock.now_ms();
                    listening.shortage(-result, now, &mut self.reserve, &mut self.counters);
                }
                Failure::Broken => {
                    let error = std::io::Error::from_raw_os_error(-result);
                    tracing::error!(listener = name.slot, %error, "a listener is broken and was closed");
                    self.listeners.remove(place);
                }
                Failure::Empty | Failure::Passing if !more => self.arm_accept(place),
                Failure::Empty | Failure::Passing => {}
            },
        }
    }
}
