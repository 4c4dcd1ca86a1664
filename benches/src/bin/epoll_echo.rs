//! The floor on epoll: the same echo with edge-triggered epoll and plain system calls.
//!
//! One wait a turn; each socket is read until it is empty, and answered at once. Whoever does not read is dropped.
#![expect(unsafe_code, reason = "the floor must be free of our driver, so its system calls are its own")]
#![expect(clippy::disallowed_methods, reason = "gathering a batch is a sleep between two turns")]

use std::error::Error;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use benches::floor::{Arguments, Counters, Progress, Ready, Wire, open_files, say};
use clap::Parser;

const EVENTS: usize = 1024;
const BUFFER: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = Arguments::parse();
    arguments.connections = arguments.connections.min(open_files().saturating_sub(16));
    let signals = signals()?;
    let listener = TcpListener::bind(arguments.listen)?;
    listener.set_nonblocking(true)?;
    prepare(&listener)?;
    let mut floor = Floor::new(&arguments, listener.as_raw_fd(), signals.as_raw_fd())?;
    say(&Ready { ready: true, binary: listener.local_addr()?, pid: std::process::id() })?;
    while floor.turn()? {}
    say(&floor.counters)?;
    Ok(())
}

/// SIGTERM and SIGINT, as a descriptor.
fn signals() -> io::Result<OwnedFd> {
    // SAFETY: the set is initialised by sigemptyset before its other uses, and signalfd gives a new descriptor.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::sigaddset(&raw mut set, libc::SIGINT);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        checked(libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC)).map(|it| OwnedFd::from_raw_fd(it))
    }
}

/// TCP_NODELAY, which accepted sockets inherit, and a backlog for a crowd.
fn prepare(listener: &TcpListener) -> io::Result<()> {
    let (descriptor, one) = (listener.as_raw_fd(), 1_i32);
    // SAFETY: the option is an i32 that outlives the call, and listening again only changes the backlog.
    unsafe {
        checked(libc::setsockopt(
            descriptor,
            libc::IPPROTO_TCP,
            libc::TCP_NODELAY,
            (&raw const one).cast(),
            4,
        ))?;
        checked(libc::listen(descriptor, 4096))?;
    }
    Ok(())
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

struct Floor {
    epoll: OwnedFd,
    listener: RawFd,
    signals: RawFd,
    wire: Wire,
    /// By descriptor; `None`: not open.
    connections: Vec<Option<Progress>>,
    most: usize,
    gather: Duration,
    counters: Counters,
}

impl Floor {
    fn new(arguments: &Arguments, listener: RawFd, signals: RawFd) -> Result<Self, Box<dyn Error>> {
        // SAFETY: the call takes no pointer, and gives a new descriptor.
        let epoll =
            unsafe { checked(libc::epoll_create1(libc::EPOLL_CLOEXEC)).map(|it| OwnedFd::from_raw_fd(it)) }?;
        let floor = Self {
            epoll,
            listener,
            signals,
            wire: Wire::new(arguments, BUFFER)?,
            connections: Vec::new(),
            most: arguments.connections as usize,
            gather: Duration::from_micros(arguments.gather_us),
            counters: Counters::default(),
        };
        floor.watch(listener, libc::EPOLLIN)?;
        floor.watch(signals, libc::EPOLLIN)?;
        // A file cannot be waited for; its end is there already.
        floor
            .watch(0, libc::EPOLLIN)
            .map_err(|error| format!("standard input is no pipe or terminal: {error}"))?;
        Ok(floor)
    }

    fn watch(&self, descriptor: RawFd, events: i32) -> io::Result<()> {
        let mut event = libc::epoll_event { events: events as u32, u64: descriptor as u64 };
        // SAFETY: the event outlives the call.
        unsafe {
            checked(libc::epoll_ctl(
                self.epoll.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                descriptor,
                &raw mut event,
            ))?;
        }
        Ok(())
    }

    /// Waits, and serves whoever has something. False: it is time to end.
    fn turn(&mut self) -> io::Result<bool> {
        if !self.gather.is_zero() {
            self.counters.system_calls += 1;
            std::thread::sleep(self.gather);
        }
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        self.counters.turns += 1;
        self.counters.system_calls += 1;
        // SAFETY: the kernel writes at most so many events as there is room for.
        let count =
            unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), events.as_mut_ptr(), EVENTS as i32, -1) };
        let count = match checked(count) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            other => other? as usize,
        };
        let mut goes_on = true;
        for event in &events[..count] {
            match event.u64 as RawFd {
                0 => goes_on &= io::Read::read(&mut io::stdin(), &mut [0; 64])? > 0,
                ready if ready == self.listener => self.accept()?,
                ready if ready == self.signals => goes_on = false,
                ready => self.serve(ready),
            }
        }
        Ok(goes_on)
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let (none, flags) = (std::ptr::null_mut(), libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC);
            self.counters.system_calls += 1;
            // SAFETY: without room for an address, none is written.
            let accepted = unsafe { libc::accept4(self.listener, none, std::ptr::null_mut(), flags) };
            let descriptor = match checked(accepted) {
                Ok(descriptor) => descriptor,
                Err(error) => {
                    self.counters.refused += u64::from(error.kind() != io::ErrorKind::WouldBlock);
                    return Ok(());
                }
            };
            let place = descriptor as usize;
            if self.counters.accepted - self.counters.closed >= self.most as u64 {
                self.counters.refused += 1;
                // SAFETY: the descriptor is ours and known to nobody.
                unsafe { libc::close(descriptor) };
                continue;
            }
            self.counters.accepted += 1;
            if self.connections.len() <= place {
                self.connections.resize(place + 1, None);
            }
            self.connections[place] = Some(self.wire.begin());
            self.counters.system_calls += 1;
            self.watch(descriptor, libc::EPOLLIN | libc::EPOLLET)?;
        }
    }

    fn serve(&mut self, descriptor: RawFd) {
        let mut buffer = [0_u8; BUFFER];
        loop {
            let Some(Some(progress)) = self.connections.get_mut(descriptor as usize) else { return };
            self.counters.system_calls += 1;
            // SAFETY: the kernel writes at most as much as the buffer is long.
            let got = unsafe { libc::recv(descriptor, buffer.as_mut_ptr().cast(), BUFFER, 0) };
            if got < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
                return;
            }
            if got <= 0 {
                return self.close(descriptor);
            }
            self.counters.receives += 1;
            let heard = progress.take(&self.wire, &buffer[..got as usize]);
            let mut fits = !heard.bad;
            if heard.hello {
                fits &= send(descriptor, &self.wire.welcome);
                self.counters.system_calls += 1;
            }
            if heard.requests > 0 {
                self.counters.requests += u64::from(heard.requests);
                fits &= send(descriptor, self.wire.answers(heard.requests));
                self.counters.system_calls += 1;
            }
            for _ in 0..heard.publishes {
                self.publish();
            }
            if !fits {
                self.counters.dropped += 1;
                return self.close(descriptor);
            }
            // Less than there was room for: the socket is empty, and what comes next is an event of its own.
            if (got as usize) < BUFFER {
                return;
            }
        }
    }

    fn publish(&mut self) {
        self.counters.publishes += 1;
        for descriptor in 0..self.connections.len() {
            if self.connections[descriptor].is_some() {
                self.counters.deliveries += 1;
                self.counters.system_calls += 1;
                if !send(descriptor as RawFd, &self.wire.message) {
                    self.counters.dropped += 1;
                    self.close(descriptor as RawFd);
                }
            }
        }
    }

    fn close(&mut self, descriptor: RawFd) {
        if self.connections[descriptor as usize].take().is_some() {
            self.counters.closed += 1;
            self.counters.system_calls += 1;
            // SAFETY: the descriptor was ours, and is no longer in the table.
            unsafe { libc::close(descriptor) };
        }
    }
}

/// False when not everything fits.
fn send(descriptor: RawFd, bytes: &[u8]) -> bool {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads as many bytes as there are.
    let sent = unsafe { libc::send(descriptor, bytes.as_ptr().cast(), bytes.len(), flags) };
    sent == bytes.len() as isize
}
