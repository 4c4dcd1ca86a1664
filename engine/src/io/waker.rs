//! Ending a driver's sleep from another thread.
//!
//! An eventfd whose counter nobody reads: both drivers watch it for edges, and every write is one. So a wake costs
//! the sleeper no system call beyond the wait it was in.
#![expect(unsafe_code, reason = "eventfd has no safe wrapper in std")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::{Arc, OnceLock};

/// Ends the sleep of one driver from any thread. Waking twice before the sleeper looks is one wake.
#[derive(Clone, Debug)]
pub struct Waker(Arc<Ends>);

#[derive(Debug)]
struct Ends {
    driver: OwnedFd,
    host: OnceLock<OwnedFd>,
}

impl Waker {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Ends { driver: eventfd(libc::EFD_NONBLOCK)?, host: OnceLock::new() })))
    }

    /// From now on the sleeper is a host, on an eventfd of its own. It is woken there and not by way of the driver's ring:
    /// a host that reads its eventfd through an io_uring of its own (glommio does, on Linux 6.18) was woken by the first
    /// of our writes that the ring signalled on, and by none after it.
    pub(super) fn wake_host(&self, eventfd: OwnedFd) {
        // Only the first host counts, as its descriptor is shared by all that follow.
        let _ = self.0.host.set(eventfd);
    }

    /// Ends the driver's sleep, or keeps it from falling asleep next. Never blocks.
    pub fn wake(&self) {
        signal(self.0.host.get().unwrap_or(&self.0.driver).as_fd());
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.driver.as_fd()
    }
}

/// A new close-on-exec eventfd at zero.
pub(super) fn eventfd(flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: eventfd takes no pointers.
    let fd = unsafe { libc::eventfd(0, flags | libc::EFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor has just been made and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Adds one to an eventfd.
pub(super) fn signal(eventfd: BorrowedFd<'_>) {
    let one = 1u64.to_ne_bytes();
    // The write fails only when the counter is at its end, after 2^64 - 2 unread wakes, and is readable then anyway.
    // SAFETY: `one` is readable for the eight bytes given, and the descriptor is open while it is borrowed.
    let _ = unsafe { libc::write(eventfd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
}
