//! The system calls of the epoll driver, with `errno` as the error.
#![expect(unsafe_code, reason = "epoll, recv and sendmsg on raw descriptors go through libc")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Pieces of one send; more go out as a short send, which the caller continues.
const PIECES: usize = 64;

/// An epoll instance and room for its events.
pub(super) struct Poll {
    fd: OwnedFd,
    events: Box<[libc::epoll_event]>,
}

impl Poll {
    pub(super) fn new(events: usize) -> io::Result<Self> {
        // SAFETY: epoll_create1 takes no pointers.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor has just been made and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd, events: vec![libc::epoll_event { events: 0, u64: 0 }; events].into_boxed_slice() })
    }

    pub(super) fn add(&self, fd: RawFd, events: libc::c_int, data: u64) -> io::Result<()> {
        let mut event = libc::epoll_event { events: (events | libc::EPOLLET) as u32, u64: data };
        // SAFETY: `event` is a readable epoll_event.
        let result = unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits, and says how many events came.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        // Rounded up: waking a fraction of a millisecond early would turn the fraction into a spin.
        let ms = timeout.map_or(-1, |timeout| {
            libc::c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
        });
        let room = libc::c_int::try_from(self.events.len()).unwrap_or(libc::c_int::MAX);
        // SAFETY: `events` is writable for `room` events.
        let count = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), self.events.as_mut_ptr(), room, ms) };
        if count >= 0 {
            return Ok(count as usize);
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            error => Err(error),
        }
    }

    /// One of the events of the last wait: what happened and the data of its descriptor.
    pub(super) fn event(&self, number: usize) -> (u32, u64) {
        let event = self.events[number];
        (event.events, event.u64)
    }

    pub(super) fn try_clone(&self) -> io::Result<OwnedFd> {
        self.fd.try_clone()
    }
}

pub(super) fn receive(fd: RawFd, buffer: &mut [u8]) -> Result<usize, i32> {
    // SAFETY: `buffer` is writable for its length.
    let length = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
    if length < 0 { Err(errno()) } else { Ok(length as usize) }
}

/// Sends as much of the pieces as the socket takes now.
pub(super) fn send(fd: RawFd, pieces: &[&[u8]]) -> Result<usize, i32> {
    let mut vectors = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; PIECES];
    let count = pieces.len().min(PIECES);
    for (vector, piece) in vectors.iter_mut().zip(pieces) {
        *vector = libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() };
    }
    // SAFETY: an all-zero msghdr is valid: no address, no pieces, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = count as _;
    // SAFETY: the message names `count` readable pieces, which the kernel does not write to.
    let length = unsafe { libc::sendmsg(fd, &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    if length < 0 { Err(errno()) } else { Ok(length as usize) }
}

/// Says FIN.
pub(super) fn shutdown(fd: RawFd) -> Result<(), i32> {
    // SAFETY: shutdown takes no pointers.
    if unsafe { libc::shutdown(fd, libc::SHUT_WR) } < 0 { Err(errno()) } else { Ok(()) }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}
