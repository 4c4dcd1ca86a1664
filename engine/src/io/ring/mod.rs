//! The io_uring driver.
//!
//! One ring a shard. Receives are multishot and draw from one pool of buffers; established connections live in the
//! ring's own table of descriptors, under their slot number, and are no open files; what a turn has to say is gathered
//! and submitted by the enter that also sleeps.
//!
//! Invariants worth naming:
//!
//! - After an enter, no send is under way: they do not wait, and refusals are read at once ([`Ring::collect`]). So at
//!   most one send is ever under way per socket, and the arena is free.
//! - `closed` is told when the close and every other operation that names the connection have completed. Until then
//!   the slot's place in the table is taken, and an old operation cannot meet a new connection.
//! - Nothing in the queue points to memory but sends, and those point into the arena.
//!
//! The choices below were measured (`examples/driver_measure.rs`; 10,000 connections, two cores): putting a descriptor
//! into the table by two system calls costs 0.76 µs, by batched operations 0.42. The calls are used: they say at once
//! whether the table took it, which is what makes the way back to a plain descriptor simple, and accepting costs 15.
//! A FIN by the SHUTDOWN operation costs 8.3 µs although it visits a worker thread, cancelling and closing 8.3, and
//! installing a plain descriptor to shut that down 6.8 but a free descriptor. So a graceful end uses SHUTDOWN, which
//! is the only one that keeps reading, and an abort cancels and closes.

mod buffers;
mod completions;
mod ends;
mod ops;
mod outgoing;
mod pages;
mod queue;
mod submissions;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use io_uring::{cqueue, squeue};

use self::buffers::Buffers;
use self::ops::{Target, kind};
use self::outgoing::Outgoing;
use self::queue::Queue;
use super::listeners::{Listening, Reserve};
use super::slots::{Deadlines, ENDED, FINISHED, Flag, Notice, Phase, Rest, Slot, Slots, pack, unpack};
use super::waker::eventfd;
use super::{Clock, Close, Counters, Driver, Ending, Listener, Sink, Token, Tuning, Waker, sockets};
use crate::limits::relax::Relax;

/// A receive is armed.
const RECEIVING: Flag = Flag::new(2);
/// A poll for room is armed.
const AWAITING_ROOM: Flag = Flag::new(3);
/// A shutdown is under way. Worker threads look the descriptor up late, so its place must not be reused before.
const SHUTTING: Flag = Flag::new(4);

/// The kernel's bound on a table of descriptors.
const LARGEST_TABLE: u32 = 1 << 20;

pub(super) struct Ring {
    // First, so that it is dropped first: after it the kernel uses none of the memory below.
    queue: Queue,
    buffers: Buffers,
    outgoing: Outgoing,
    waker: Waker,
    notify: Option<OwnedFd>,
    tuning: Tuning,
    clock: Clock,
    slots: Slots,
    /// Slots below this have a place in the ring's table.
    table: u32,
    listeners: Vec<Listening>,
    /// Makes the user data of each accept unique.
    listens: u32,
    reserve: Reserve,
    /// Completions taken from the queue and not yet looked at.
    backlog: Vec<cqueue::Entry>,
    /// Connections whose socket is full, to be polled for room.
    full: Vec<Token>,
    /// Connections whose send failed.
    failed: Vec<(Token, i32)>,
    /// Gracefully closed while sends of the turn are queued: the FIN must not overtake them.
    ending: Vec<Token>,
    /// Receives that found no buffer.
    starved: Starved,
    /// The connection of the receive completion before this one, if that brought bytes.
    fed: Option<Token>,
    /// Cancels that found their operation between two states, to be tried again.
    missed: Vec<Token>,
    wake_unarmed: bool,
    notices: Vec<Notice>,
    flushing: Deadlines,
    lingering: Deadlines,
    /// When buffers and arena are looked at: they have been used since they were new.
    relax_at: Option<u64>,
    counters: Counters,
    broken: Option<io::Error>,
}

impl Ring {
    pub(super) fn new(tuning: &Tuning) -> io::Result<Self> {
        let queue = Queue::new()?;
        let buffers = Buffers::new(&queue.submitter(), tuning.receive_buffers, tuning.receive_buffer)?;
        let table = table(&queue, tuning.connections)?;
        Ok(Self {
            queue,
            buffers,
            outgoing: Outgoing::new(tuning.send_arena)?,
            waker: Waker::new()?,
            notify: None,
            clock: Clock::start(),
            slots: Slots::default(),
            table,
            listeners: Vec::new(),
            listens: 0,
            reserve: Reserve::new(tuning.reserve_descriptors),
            backlog: Vec::new(),
            full: Vec::new(),
            failed: Vec::new(),
            ending: Vec::new(),
            starved: Starved::default(),
            fed: None,
            missed: Vec::new(),
            wake_unarmed: true,
            notices: Vec::new(),
            flushing: Deadlines::new(tuning.flush_time),
            lingering: Deadlines::new(tuning.linger_time),
            relax_at: None,
            counters: Counters::default(),
            broken: None,
            tuning: tuning.clone(),
        })
    }

    fn resume_listeners(&mut self) {
        if self.listeners.iter().any(|listening| listening.paused_until.is_some()) {
            let now = self.clock.now_ms();
            for place in 0..self.listeners.len() {
                if self.listeners[place].resumes(now) {
                    self.arm_accept(place);
                }
            }
        }
    }

    fn arm_accept(&mut self, place: usize) {
        let listening = &self.listeners[place];
        let entry = ops::accept(listening.socket.as_raw_fd(), listening.name());
        self.push(&entry);
    }

    /// There is work that needs nothing from outside.
    fn busy(&self) -> bool {
        !self.notices.is_empty()
            || !self.backlog.is_empty()
            || !self.starved.hungry.is_empty()
            || !self.starved.fed.is_empty()
            || !self.failed.is_empty()
            || !self.full.is_empty()
            || !self.missed.is_empty()
            || self.wake_unarmed
            || self.broken.is_some()
    }

    /// Every now and then gives the pages of buffers and arena back: what a rush has touched does not stay, and to touch a
    /// page again every few seconds costs the busy nothing that they would notice.
    fn relax(&mut self) {
        if !self.buffers.is_worn() && !self.outgoing.is_worn() {
            return;
        }
        let now = self.clock.now_ms();
        let time = u64::try_from(self.tuning.relax_time.as_millis()).unwrap_or(u64::MAX);
        if now < *self.relax_at.get_or_insert(now.saturating_add(time)) {
            return;
        }
        self.relax_at = None;
        // The kernel fills buffers only inside an enter. With no completion left to be looked at, none holds anything.
        if self.backlog.is_empty() && self.queue.is_settled() {
            self.buffers.relax();
        }
        self.outgoing.relax();
    }

    fn until_deadline(&self) -> Option<Duration> {
        let pauses = self.listeners.iter().filter_map(|listening| listening.paused_until);
        let ends = self.flushing.next().into_iter().chain(self.lingering.next());
        let first = pauses.chain(ends).chain(self.relax_at).min()?;
        Some(Duration::from_millis(first.saturating_sub(self.clock.now_ms())))
    }
}

impl Driver for Ring {
    fn name(&self) -> &'static str {
        "ring"
    }

    fn listen(&mut self, listener: Listener, socket: OwnedFd) -> io::Result<()> {
        self.listens += 1;
        self.listeners.push(Listening::new(listener, self.listens, socket));
        self.arm_accept(self.listeners.len() - 1);
        Ok(())
    }

    fn stop_listening(&mut self) {
        for listening in std::mem::take(&mut self.listeners) {
            let accept = pack(listening.name(), kind::ACCEPT);
            self.push(&ops::cancel(accept, listening.name(), kind::NOTHING));
            // An accept that is not submitted yet would find the number of the closed descriptor.
            self.submit();
        }
    }

    fn adopt(&mut self, token: Token, socket: OwnedFd) -> io::Result<()> {
        self.counters.system_calls += 1 + sockets::prepare(socket.as_fd(), &self.tuning);
        let slot = self.slots.take(token, Slot::DIRECT)?;
        let direct = token.slot < self.table && {
            self.counters.system_calls += 1;
            let place = self.queue.submitter().register_files_update(token.slot, &[socket.as_raw_fd()]);
            place.is_ok_and(|places| places == 1)
        };
        if direct {
            // The table holds the file; the number is free for the next accept.
            drop(socket);
        } else {
            slot.descriptor = socket.into_raw_fd();
            self.counters.plain_fallbacks += 1;
        }
        self.counters.connections += 1;
        self.arm(token);
        Ok(())
    }

    fn send(&mut self, token: Token, bytes: &[&[u8]]) {
        let Some(slot) = self.slots.get(token) else { return };
        let total: usize = bytes.iter().map(|part| part.len()).sum();
        if slot.phase() != Phase::Open || total == 0 {
            return;
        }
        if let Some(rest) = slot.rest.as_mut() {
            // Against the contract, but an order kept is better than a stream corrupted.
            bytes.iter().for_each(|part| rest.bytes.extend_from_slice(part));
            return;
        }
        if total > self.outgoing.capacity() {
            slot.rest = Some(Box::new(Rest { bytes: bytes.concat(), sent: 0 }));
            self.counters.short_sends += 1;
            self.notices.push(Notice::Blocked(token));
            return self.send_rest(token);
        }
        let target = Target::of(slot, token);
        self.make_room(total);
        if self.broken.is_none() {
            let (name, bytes) = self.outgoing.queue(token, bytes);
            let entry = ops::send(target, bytes, pack(name, kind::SEND)).flags(squeue::Flags::SKIP_SUCCESS);
            self.push(&entry);
        }
    }

    fn close(&mut self, token: Token, how: Close) {
        let Some(slot) = self.slots.get(token) else { return };
        match (how, slot.phase()) {
            (Close::Graceful, Phase::Open) => {
                slot.set_phase(Phase::Flushing);
                if self.outgoing.is_empty() {
                    self.flush(token);
                } else {
                    self.ending.push(token);
                }
            }
            (Close::Abort, Phase::Open | Phase::Flushing | Phase::HalfClosed) => self.release(token),
            _ => {}
        }
    }

    fn wait(&mut self, timeout: Option<Duration>, sink: &mut dyn Sink) -> io::Result<()> {
        self.resume_listeners();
        self.push_deferred();
        if !self.ending.is_empty() {
            self.submit();
            // First those that failed: they have nothing to flush.
            self.push_deferred();
            for token in std::mem::take(&mut self.ending) {
                self.flush(token);
            }
        }
        if let Some(error) = self.broken.take() {
            return Err(error);
        }
        let timeout = if self.busy() {
            Some(Duration::ZERO)
        } else {
            [timeout, self.until_deadline()].into_iter().flatten().min()
        };
        // A host that only looks in does not enter the kernel for nothing.
        if timeout != Some(Duration::ZERO) || self.queue.unsubmitted() > 0 || self.queue.wants_enter() {
            let gather = if self.gathers() { self.tuning.gather } else { Duration::ZERO };
            self.queue.submit_and_wait(timeout, gather)?;
        }
        self.collect()?;

        let mut backlog = std::mem::take(&mut self.backlog);
        for entry in backlog.drain(..) {
            self.complete(&entry, sink);
        }
        backlog.relax();
        if self.backlog.is_empty() {
            self.backlog = backlog;
        }
        self.expire();

        let mut notices = std::mem::take(&mut self.notices);
        for notice in notices.drain(..) {
            notice.tell(&mut self.slots, sink);
        }
        notices.relax();
        self.notices = notices;
        self.relax();
        Ok(())
    }

    fn gathers(&self) -> bool {
        self.queue.gathers()
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn counters(&self) -> Counters {
        Counters { system_calls: self.counters.system_calls + self.queue.system_calls, ..self.counters }
    }

    fn notify_fd(&mut self) -> io::Result<OwnedFd> {
        let notify = match self.notify.take() {
            Some(notify) => notify,
            None => {
                let notify = eventfd(0)?;
                self.queue.notify(notify.as_fd())?;
                self.waker.wake_host(notify.try_clone()?);
                notify
            }
        };
        self.notify.insert(notify).try_clone()
    }

    fn patience(&self) -> Option<Duration> {
        if self.busy() || self.queue.unsubmitted() > 0 || !self.ending.is_empty() {
            return Some(Duration::ZERO);
        }
        self.until_deadline()
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // What the kernel has done and nobody has heard of: descriptors that are ours now, and some that no longer are.
        let unheard = std::mem::take(&mut self.backlog);
        for entry in unheard.into_iter().chain(std::iter::from_fn(|| self.queue.next())) {
            match unpack(entry.user_data()) {
                (_, kind::ACCEPT) if entry.result() >= 0 => sockets::close(entry.result()),
                (token, kind::CLOSE) => {
                    if let Some(slot) = self.slots.get(token) {
                        slot.descriptor = Slot::DIRECT;
                    }
                }
                _ => {}
            }
        }
        for descriptor in self.slots.descriptors() {
            sockets::close(descriptor);
        }
    }
}

/// Connections whose receive found no buffer. Those that got bytes before it did wait behind those that got none:
/// a peer that never stops would otherwise take all buffers whenever its turn comes, and whoever is next in line
/// would find none each time.
#[derive(Default)]
struct Starved {
    hungry: VecDeque<Token>,
    fed: VecDeque<Token>,
}

impl Starved {
    fn next(&mut self, hungry: bool) -> Option<Token> {
        let (first, second) =
            if hungry { (&mut self.hungry, &mut self.fed) } else { (&mut self.fed, &mut self.hungry) };
        let next = first.pop_front().or_else(|| second.pop_front());
        first.relax_wholly();
        second.relax_wholly();
        next
    }
}

/// Makes the table of direct descriptors, as long as it may be. Its length is no promise: connections that do not fit
/// keep their plain descriptor.
fn table(queue: &Queue, connections: u32) -> io::Result<u32> {
    // The kernel bounds the table by the limit of open files, although its descriptors do not count as such.
    let limit = u32::try_from(sockets::open_files()?.rlim_cur).unwrap_or(u32::MAX);
    let mut length = connections.min(limit).min(LARGEST_TABLE);
    while length > 0 {
        match queue.submitter().register_files_sparse(length) {
            Ok(()) => break,
            Err(error) => {
                tracing::debug!(length, %error, "a table of direct descriptors was refused; trying half of it");
                length /= 2;
            }
        }
    }
    Ok(length)
}

/// A pool of one small buffer, to find out whether there can be one.
pub(super) fn try_buffers(submitter: &io_uring::Submitter<'_>) -> io::Result<impl Sized + use<>> {
    Buffers::new(submitter, 1, 64)
}

/// The socket took nothing now, and will later.
fn would_block(errno: i32) -> bool {
    matches!(errno, libc::EAGAIN | libc::EINTR | libc::ENOBUFS | libc::ENOMEM)
}
