//! The epoll driver: plain system calls, for kernels and containers that refuse io_uring.
//!
//! Every socket is registered once, edge-triggered for both directions, and never touched in epoll again: no
//! `epoll_ctl` while it lives. Sends go out at once. What the socket does not take is kept, boxed, and goes on at the
//! next EPOLLOUT; what a connection has to say beyond its share of a turn is read in the next turn.

mod calls;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use self::calls::Poll;
use super::listeners::{Failure, Listening, Reserve};
use super::slots::{Deadlines, ENDED, FINISHED, Flag, Notice, Phase, Rest, Slots, pack, unpack};
use super::{Clock, Close, Counters, Driver, Ending, Listener, Sink, Token, Tuning, Waker, sockets};
use crate::limits::relax::Relax;

/// Length of the one receive buffer: a connection with little to say is read by one system call.
const BUFFER: usize = 64 * 1024;
/// Full buffers read from one connection in a turn.
const READS: u32 = 4;
/// Connections accepted from one listener in a turn.
const ACCEPTS: u32 = 256;
/// Events taken from the kernel in a turn.
const EVENTS: usize = 1024;

/// The connection is in the list of those with more to read.
const LEFT_OVER: Flag = Flag::new(2);

/// What an event is about, the low byte of its data.
const CONNECTION: u8 = 0;
const LISTENER: u8 = 1;
const WAKER: u8 = 2;

pub(super) struct Epoll {
    poll: Poll,
    waker: Waker,
    tuning: Tuning,
    clock: Clock,
    slots: Slots,
    listeners: Vec<Listening>,
    /// Listeners that may have more connections than their share of the last turn.
    unfinished_listeners: Vec<Listener>,
    reserve: Reserve,
    buffer: Box<[u8]>,
    left_over: VecDeque<Token>,
    notices: Vec<Notice>,
    flushing: Deadlines,
    lingering: Deadlines,
    counters: Counters,
}

impl Epoll {
    pub(super) fn new(tuning: &Tuning) -> io::Result<Self> {
        let poll = Poll::new(EVENTS)?;
        let waker = Waker::new()?;
        poll.add(waker.as_fd().as_raw_fd(), libc::EPOLLIN, u64::from(WAKER))?;
        Ok(Self {
            poll,
            waker,
            clock: Clock::start(),
            slots: Slots::default(),
            listeners: Vec::new(),
            unfinished_listeners: Vec::new(),
            reserve: Reserve::new(tuning.reserve_descriptors),
            buffer: vec![0; BUFFER].into_boxed_slice(),
            left_over: VecDeque::new(),
            notices: Vec::new(),
            flushing: Deadlines::new(tuning.flush_time),
            lingering: Deadlines::new(tuning.linger_time),
            counters: Counters::default(),
            tuning: tuning.clone(),
        })
    }

    /// Reads a connection's share of the turn. `to_the_end`: a FIN or an error may lie behind the data, so a short
    /// read is not yet the end.
    fn read(&mut self, token: Token, to_the_end: bool, sink: &mut dyn Sink) {
        for _ in 0..READS {
            let Some(slot) = self.slots.get(token) else { return };
            let (phase, descriptor) = (slot.phase(), slot.descriptor);
            if slot.has(FINISHED) || phase == Phase::Gone {
                return;
            }
            self.counters.system_calls += 1;
            match calls::receive(descriptor, &mut self.buffer) {
                Ok(0) => return self.finished(token),
                Ok(length) => {
                    self.counters.received_bytes += length as u64;
                    if phase == Phase::Open {
                        sink.received(token, &mut self.buffer[..length]);
                    }
                    // The edge-triggered promise: whatever comes after a short read raises a new event.
                    if length < self.buffer.len() && !to_the_end {
                        return;
                    }
                }
                Err(libc::EAGAIN) => return,
                Err(libc::EINTR) => {}
                Err(errno) => return self.lost(token, errno),
            }
        }
        if let Some(slot) = self.slots.get(token)
            && !slot.has(LEFT_OVER)
        {
            slot.set(LEFT_OVER);
            self.left_over.push_back(token);
        }
    }

    /// The peer's FIN.
    fn finished(&mut self, token: Token) {
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
    fn lost(&mut self, token: Token, errno: i32) {
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

    /// Goes on with what a full socket did not take.
    fn write(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token) else { return };
        let descriptor = slot.descriptor;
        let Some(rest) = slot.rest.as_mut() else { return };
        loop {
            self.counters.system_calls += 1;
            match calls::send(descriptor, &[rest.left()]) {
                Ok(length) => {
                    self.counters.sent_bytes += length as u64;
                    rest.sent += length;
                    if rest.left().is_empty() {
                        break;
                    }
                }
                Err(libc::EAGAIN) => return,
                Err(libc::EINTR) => {}
                Err(errno) => return self.lost(token, errno),
            }
        }
        slot.rest = None;
        match slot.phase() {
            Phase::Flushing => self.half_close(token),
            _ => self.notices.push(Notice::Drained(token)),
        }
    }

    /// Everything is sent: say FIN, and read on until the peer says it too.
    fn half_close(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token) else { return };
        if slot.has(FINISHED) {
            // The peer has nothing left that a close could answer with RST, so the close's own FIN does.
            return self.release(token);
        }
        self.counters.system_calls += 1;
        if calls::shutdown(slot.descriptor).is_err() {
            return self.release(token);
        }
        slot.set_phase(Phase::HalfClosed);
        self.lingering.set(self.clock.now_ms(), token);
    }

    /// Closes the descriptor; with that epoll forgets it.
    fn release(&mut self, token: Token) {
        let Some(slot) = self.slots.get(token) else { return };
        sockets::close(slot.descriptor);
        slot.descriptor = -1;
        slot.rest = None;
        slot.set_phase(Phase::Gone);
        self.counters.system_calls += 1;
        self.counters.connections -= 1;
        self.notices.push(Notice::Closed(token));
    }

    fn accept(&mut self, id: Listener, sink: &mut dyn Sink) {
        let Some(place) = self.listeners.iter().position(|listening| listening.id == id) else { return };
        let listening = &mut self.listeners[place];
        if listening.paused_until.is_some() {
            return;
        }
        for _ in 0..ACCEPTS {
            self.counters.system_calls += 1;
            match sockets::accept(listening.socket.as_fd()) {
                Ok((socket, peer)) => {
                    listening.succeeded();
                    self.counters.accepted += 1;
                    sink.accepted(id, socket, peer);
                }
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(0);
                    match Failure::of(errno) {
                        Failure::Empty => return,
                        Failure::Passing => {}
                        Failure::Shortage => {
                            let now = self.clock.now_ms();
                            return listening.shortage(errno, now, &mut self.reserve, &mut self.counters);
                        }
                        Failure::Broken => {
                            tracing::error!(listener = id.0, %error, "a listener is broken and was closed");
                            self.listeners.remove(place);
                            return;
                        }
                    }
                }
            }
        }
        self.unfinished_listeners.push(id);
    }

    /// Resumes listeners whose pause is over. Their edge is long past, so they are asked without an event.
    fn resume_listeners(&mut self, sink: &mut dyn Sink) {
        if self.listeners.iter().any(|listening| listening.paused_until.is_some()) {
            let now = self.clock.now_ms();
            let resumed = self
                .listeners
                .iter_mut()
                .filter_map(|listening| listening.resumes(now).then_some(listening.id));
            for id in resumed.collect::<Vec<_>>() {
                self.accept(id, sink);
            }
        }
    }

    /// Ends connections whose peer took too long.
    fn expire(&mut self) {
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

    fn has_leftovers(&self) -> bool {
        !self.notices.is_empty() || !self.left_over.is_empty() || !self.unfinished_listeners.is_empty()
    }

    /// Milliseconds until the first deadline.
    fn until_deadline(&self) -> Option<u64> {
        let pauses = self.listeners.iter().filter_map(|listening| listening.paused_until);
        let first = pauses.chain(self.flushing.next()).chain(self.lingering.next()).min()?;
        Some(first.saturating_sub(self.clock.now_ms()))
    }

    fn event(&mut self, events: u32, data: u64, sink: &mut dyn Sink) {
        let (token, kind) = unpack(data);
        match kind {
            CONNECTION => {
                let hangup = events & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0;
                if hangup || events & libc::EPOLLIN as u32 != 0 {
                    self.read(token, hangup, sink);
                }
                if events & libc::EPOLLOUT as u32 != 0 {
                    self.write(token);
                }
            }
            LISTENER => self.accept(Listener(token.slot as u8), sink),
            // The wake's whole effect is that the wait has ended.
            _ => {}
        }
    }
}

impl Driver for Epoll {
    fn name(&self) -> &'static str {
        "epoll"
    }

    fn listen(&mut self, listener: Listener, socket: OwnedFd) -> io::Result<()> {
        let listening = Listening::new(listener, 0, socket);
        self.counters.system_calls += 1;
        self.poll.add(listening.socket.as_raw_fd(), libc::EPOLLIN, pack(listening.name(), LISTENER))?;
        self.listeners.push(listening);
        Ok(())
    }

    fn stop_listening(&mut self) {
        self.listeners.clear();
        self.unfinished_listeners.clear();
    }

    fn adopt(&mut self, token: Token, socket: OwnedFd) -> io::Result<()> {
        self.counters.system_calls += 1 + sockets::prepare(socket.as_fd(), &self.tuning);
        self.slots.take(token, socket.as_raw_fd())?;
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        if let Err(error) = self.poll.add(socket.as_raw_fd(), events, pack(token, CONNECTION)) {
            self.slots.free(token);
            return Err(error);
        }
        // From here the slot owns the descriptor.
        let _ = socket.into_raw_fd();
        self.counters.connections += 1;
        Ok(())
    }

    fn send(&mut self, token: Token, bytes: &[&[u8]]) {
        let Some(slot) = self.slots.get(token) else { return };
        if slot.phase() != Phase::Open {
            return;
        }
        if let Some(rest) = slot.rest.as_mut() {
            // Against the contract, but an order kept is better than a stream corrupted.
            bytes.iter().for_each(|part| rest.bytes.extend_from_slice(part));
            return;
        }
        let descriptor = slot.descriptor;
        let total: usize = bytes.iter().map(|part| part.len()).sum();
        if total == 0 {
            return;
        }
        let sent = loop {
            self.counters.system_calls += 1;
            match calls::send(descriptor, bytes) {
                Ok(sent) => break sent,
                Err(libc::EAGAIN) => break 0,
                Err(libc::EINTR) => {}
                Err(errno) => return self.lost(token, errno),
            }
        };
        self.counters.sent_bytes += sent as u64;
        if sent < total {
            let mut rest = Vec::with_capacity(total - sent);
            let mut skip = sent;
            for part in bytes {
                let from = skip.min(part.len());
                rest.extend_from_slice(&part[from..]);
                skip -= from;
            }
            slot.rest = Some(Box::new(Rest { bytes: rest, sent: 0 }));
            self.counters.short_sends += 1;
            self.notices.push(Notice::Blocked(token));
        }
    }

    fn close(&mut self, token: Token, how: Close) {
        let Some(slot) = self.slots.get(token) else { return };
        match (how, slot.phase()) {
            (Close::Graceful, Phase::Open) if slot.rest.is_some() => {
                slot.set_phase(Phase::Flushing);
                self.flushing.set(self.clock.now_ms(), token);
            }
            (Close::Graceful, Phase::Open) => self.half_close(token),
            (Close::Abort, Phase::Open | Phase::Flushing | Phase::HalfClosed) => self.release(token),
            _ => {}
        }
    }

    fn wait(&mut self, timeout: Option<Duration>, sink: &mut dyn Sink) -> io::Result<()> {
        let timeout = if self.has_leftovers() {
            Some(Duration::ZERO)
        } else {
            let deadline = self.until_deadline().map(Duration::from_millis);
            [timeout, deadline].into_iter().flatten().min()
        };
        self.counters.system_calls += 1;
        let events = self.poll.wait(timeout)?;

        let left_over = self.left_over.len();
        let unfinished = std::mem::take(&mut self.unfinished_listeners);
        for number in 0..events {
            let (events, data) = self.poll.event(number);
            self.event(events, data, sink);
        }
        for _ in 0..left_over {
            let Some(token) = self.left_over.pop_front() else { break };
            if let Some(slot) = self.slots.get(token) {
                slot.clear(LEFT_OVER);
                self.read(token, true, sink);
            }
        }
        for id in unfinished {
            self.accept(id, sink);
        }
        self.resume_listeners(sink);
        self.expire();

        let mut notices = std::mem::take(&mut self.notices);
        for notice in notices.drain(..) {
            notice.tell(&mut self.slots, sink);
        }
        notices.relax();
        self.notices = notices;
        self.left_over.relax_wholly();
        Ok(())
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn counters(&self) -> Counters {
        self.counters
    }

    fn notify_fd(&mut self) -> io::Result<OwnedFd> {
        self.poll.try_clone()
    }

    fn patience(&self) -> Option<Duration> {
        if self.has_leftovers() {
            return Some(Duration::ZERO);
        }
        self.until_deadline().map(Duration::from_millis)
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        for descriptor in self.slots.descriptors() {
            sockets::close(descriptor);
        }
    }
}
