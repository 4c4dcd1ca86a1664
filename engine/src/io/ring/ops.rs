//! The operations of the ring driver, and how a completion says which one it ends.

use std::os::fd::RawFd;

use io_uring::{opcode, squeue, types};

use super::buffers::GROUP;
use crate::io::Token;
use crate::io::slots::{Slot, pack};

/// The low byte of an operation's user data. The rest is its connection's token.
pub(super) mod kind {
    /// Multishot receive.
    pub(in super::super) const RECEIVE: u8 = 0;
    /// Waiting for room in a socket.
    pub(in super::super) const ROOM: u8 = 1;
    /// A send of the turn; slot and generation are its number and the number of its batch.
    pub(in super::super) const SEND: u8 = 2;
    /// A send of what a socket did not take before.
    pub(in super::super) const REST: u8 = 3;
    pub(in super::super) const SHUTDOWN: u8 = 4;
    pub(in super::super) const CLOSE: u8 = 5;
    pub(in super::super) const CANCEL: u8 = 6;
    /// Multishot accept; slot is the listener's number.
    pub(in super::super) const ACCEPT: u8 = 7;
    pub(in super::super) const WAKE: u8 = 8;
    /// Nobody waits for it.
    pub(in super::super) const NOTHING: u8 = 9;
}

/// How the kernel knows a connection.
#[derive(Clone, Copy)]
pub(super) enum Target {
    /// A place in the ring's table.
    Direct(u32),
    Plain(RawFd),
}

impl Target {
    pub(super) fn of(slot: &Slot, token: Token) -> Self {
        match slot.descriptor {
            Slot::DIRECT => Self::Direct(token.slot),
            descriptor => Self::Plain(descriptor),
        }
    }
}

/// Builds an operation on either kind of descriptor.
macro_rules! on {
    ($target:expr, |$fd:ident| $build:expr) => {
        match $target {
            Target::Direct(place) => {
                let $fd = types::Fixed(place);
                $build
            }
            Target::Plain(descriptor) => {
                let $fd = types::Fd(descriptor);
                $build
            }
        }
    };
}

pub(super) fn receive(target: Target, token: Token) -> squeue::Entry {
    on!(target, |fd| opcode::RecvMulti::new(fd, GROUP).build()).user_data(pack(token, kind::RECEIVE))
}

/// MSG_DONTWAIT: the kernel takes what fits now and needs the bytes no longer. MSG_WAITALL: a send taken in part is no
/// success; without it the kernel hides a short send behind CQE_SKIP_SUCCESS, and the stream is corrupt.
pub(super) fn send(target: Target, bytes: &[u8], user_data: u64) -> squeue::Entry {
    let length =
        u32::try_from(bytes.len()).expect("a send is no longer than the arena, which is below 4 GiB");
    let flags = libc::MSG_DONTWAIT | libc::MSG_WAITALL;
    on!(target, |fd| opcode::Send::new(fd, bytes.as_ptr(), length).flags(flags).build()).user_data(user_data)
}

pub(super) fn room(target: Target, token: Token) -> squeue::Entry {
    on!(target, |fd| opcode::PollAdd::new(fd, libc::POLLOUT as u32).build())
        .user_data(pack(token, kind::ROOM))
}

pub(super) fn shutdown(target: Target, token: Token) -> squeue::Entry {
    on!(target, |fd| opcode::Shutdown::new(fd, libc::SHUT_WR).build()).user_data(pack(token, kind::SHUTDOWN))
}

pub(super) fn close(target: Target, token: Token) -> squeue::Entry {
    on!(target, |fd| opcode::Close::new(fd).build()).user_data(pack(token, kind::CLOSE))
}

/// Cancels the operation of that user data; only a failure completes.
pub(super) fn cancel(user_data: u64, token: Token, kind: u8) -> squeue::Entry {
    let entry = opcode::AsyncCancel::new(user_data).build();
    entry.flags(squeue::Flags::SKIP_SUCCESS).user_data(pack(token, kind))
}

pub(super) fn accept(listener: RawFd, token: Token) -> squeue::Entry {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let entry = opcode::AcceptMulti::new(types::Fd(listener)).flags(flags).build();
    entry.user_data(pack(token, kind::ACCEPT))
}

/// A multishot poll, edge-triggered as they are by default: every write to the eventfd is a completion, and nobody has
/// to read it.
pub(super) fn wake(eventfd: RawFd) -> squeue::Entry {
    let nobody = Token { slot: 0, generation: 0 };
    let entry = opcode::PollAdd::new(types::Fd(eventfd), libc::POLLIN as u32).multi(true).build();
    entry.user_data(pack(nobody, kind::WAKE))
}
