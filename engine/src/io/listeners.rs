//! Accepting when descriptors run out, the same for both drivers.
//!
//! A listener at RLIMIT_NOFILE stays readable for ever, and asking it again at once is a spin that eats the core. So
//! a shortage pauses the listener for a delay that grows, and a reserve of descriptors is spent meanwhile to accept
//! and close some of those who wait: they learn at once that they are not wanted here, in the order they came.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::waker::eventfd;
use super::{Counters, Listener, Token, sockets};

/// First pause of a shortage, ms; it doubles up to [`LONGEST_MS`].
const SHORTEST_MS: u64 = 10;
const LONGEST_MS: u64 = 1_000;
/// A shortage is over, and the next one worth a line in the log, when none was met for so long.
const EPISODE_MS: u64 = 5_000;
/// Connections refused before each pause.
const REFUSED_AT_ONCE: u32 = 64;

/// Why there is no connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// Nobody waits.
    Empty,
    /// That connection failed before it was taken; the next may be fine.
    Passing,
    /// No descriptors or no memory.
    Shortage,
    /// The listener itself is of no use any more.
    Broken,
}

impl Failure {
    /// Reads the `errno` of an accept.
    pub(super) fn of(errno: i32) -> Self {
        match errno {
            libc::EAGAIN => Self::Empty,
            libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM => Self::Shortage,
            libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP => Self::Broken,
            // accept(2): Linux hands on network errors already pending on the new socket.
            _ => Self::Passing,
        }
    }
}

/// One listening socket.
pub(super) struct Listening {
    pub(super) id: Listener,
    /// Tells it from a listener that had the same number before.
    generation: u32,
    pub(super) socket: OwnedFd,
    /// Not to be asked before this time, ms.
    pub(super) paused_until: Option<u64>,
    delay_ms: u64,
    last_shortage: Option<u64>,
}

impl Listening {
    pub(super) fn new(id: Listener, generation: u32, socket: OwnedFd) -> Self {
        Self {
            id,
            generation: generation & 0x00ff_ffff,
            socket,
            paused_until: None,
            delay_ms: SHORTEST_MS,
            last_shortage: None,
        }
    }

    /// Its name in the kernel's events.
    pub(super) fn name(&self) -> Token {
        Token { slot: u32::from(self.id.0), generation: self.generation }
    }

    /// The pause is over: true once.
    pub(super) fn resumes(&mut self, now_ms: u64) -> bool {
        let over = self.paused_until.is_some_and(|until| until <= now_ms);
        if over {
            self.paused_until = None;
        }
        over
    }

    /// A connection was taken: the next shortage starts with the shortest pause.
    pub(super) fn succeeded(&mut self) {
        self.delay_ms = SHORTEST_MS;
    }

    /// Descriptors ran out: refuse some of those who wait, and pause.
    pub(super) fn shortage(
        &mut self,
        errno: i32,
        now_ms: u64,
        reserve: &mut Reserve,
        counters: &mut Counters,
    ) {
        if self.last_shortage.is_none_or(|last| now_ms > last + EPISODE_MS) {
            let error = io::Error::from_raw_os_error(errno);
            tracing::warn!(
                listener = self.id.0,
                %error,
                "connections are refused: raise the limit of open files (ulimit -n, LimitNOFILE) or run more nodes"
            );
        }
        self.last_shortage = Some(now_ms);
        counters.accept_refused += u64::from(reserve.refuse(&self.socket, counters));
        self.paused_until = Some(now_ms + self.delay_ms);
        self.delay_ms = (self.delay_ms * 2).min(LONGEST_MS);
    }
}

/// Descriptors kept back. Files of their own, so that they help against ENFILE as well.
pub(super) struct Reserve {
    held: Vec<OwnedFd>,
    wanted: usize,
}

impl Reserve {
    pub(super) fn new(wanted: u8) -> Self {
        let mut reserve = Self { held: Vec::new(), wanted: usize::from(wanted) };
        reserve.fill();
        reserve
    }

    fn fill(&mut self) {
        while self.held.len() < self.wanted {
            let Ok(spare) = eventfd(0) else { return };
            self.held.push(spare);
        }
    }

    /// Gives up a reserve descriptor, takes connections into its place and closes them, and takes it back. Says how
    /// many were refused; the one that still waits where nothing could be done counts as such.
    fn refuse(&mut self, listener: &OwnedFd, counters: &mut Counters) -> u32 {
        let mut refused = 0;
        // Another thread may be faster to a freed place: then the next one is tried.
        while refused < REFUSED_AT_ONCE && self.held.pop().is_some() {
            while refused < REFUSED_AT_ONCE {
                counters.system_calls += 2;
                match sockets::accept(listener.as_fd()) {
                    Ok(_closed_here) => refused += 1,
                    Err(error) if Failure::of(error.raw_os_error().unwrap_or(0)) == Failure::Passing => {
                        refused += 1
                    }
                    Err(error) if Failure::of(error.raw_os_error().unwrap_or(0)) == Failure::Shortage => {
                        break;
                    }
                    Err(_) => {
                        self.fill();
                        return refused;
                    }
                }
            }
        }
        self.fill();
        refused.max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_shortage_refuses_in_order_and_pauses_longer_each_time() {
        let socket = sockets::listener("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = sockets::local_address(socket.as_fd()).unwrap();
        let mut waiting = TcpStream::connect(address).unwrap();
        let (mut reserve, mut counters) = (Reserve::new(2), Counters::default());
        let mut listening = Listening::new(Listener(0), 1, socket);

        listening.shortage(libc::EMFILE, 1_000, &mut reserve, &mut counters);
        assert_eq!(waiting.read(&mut [0]).unwrap(), 0, "closed in order");
        assert_eq!((counters.accept_refused, reserve.held.len()), (1, 2));
        assert!(!listening.resumes(1_009));
        assert!(listening.resumes(1_010) && !listening.resumes(1_010));

        for _ in 0..10 {
            listening.shortage(libc::EMFILE, 2_000, &mut reserve, &mut counters);
        }
        assert_eq!(listening.paused_until, Some(2_000 + LONGEST_MS));
        listening.succeeded();
        listening.shortage(libc::EMFILE, 5_000, &mut reserve, &mut counters);
        assert_eq!(listening.paused_until, Some(5_000 + SHORTEST_MS));
    }
}
