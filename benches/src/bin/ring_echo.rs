//! The floor on io_uring: an echo with the best known settings and no presence server around it.
//!
//! SINGLE_ISSUER, DEFER_TASKRUN, SUBMIT_ALL; multishot accept into the ring's own table; multishot receive from one
//! pool of buffers; all sends of a turn in the enter that also waits. Sends do not wait and post nothing when all went
//! well; whoever does not read is dropped. A place in the table is closed when its receive has ended, so none is
//! reused too early.
#![expect(
    unsafe_code,
    reason = "the floor must be free of our driver, and the ring is shared with the kernel"
)]
#![expect(clippy::disallowed_methods, reason = "gathering a batch is a sleep between two turns")]

use std::error::Error;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use benches::floor::{Arguments, Counters, Heard, Progress, Ready, Wire, open_files, say};
use clap::Parser;
use io_uring::types::{BufRingEntry, Fd, Fixed};
use io_uring::{EnterFlags, IoUring, cqueue, opcode, squeue};

const SUBMISSIONS: u32 = 1024;
const COMPLETIONS: u32 = 16 * 1024;
/// A power of two.
const BUFFERS: u16 = 1024;
const BUFFER: usize = 1024;
const GROUP: u16 = 0;

/// The low byte of an operation's user data; the place in the table is above it.
const RECEIVE: u64 = 0;
const SEND: u64 = 1;
const ACCEPT: u64 = 2;
const END: u64 = 3;
const INPUT: u64 = 4;
const NOTHING: u64 = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = Arguments::parse();
    // The kernel bounds the table by the limit of open files, although its descriptors do not count as such.
    arguments.connections = arguments.connections.min(open_files());
    let signals = signals()?;
    let listener = TcpListener::bind(arguments.listen)?;
    prepare(&listener)?;
    let mut floor = Floor::new(&arguments)?;
    floor.push(accept(&listener))?;
    floor.push(opcode::PollAdd::new(Fd(signals.as_raw_fd()), libc::POLLIN as u32).build().user_data(END))?;
    floor.push(opcode::PollAdd::new(Fd(0), libc::POLLIN as u32).build().user_data(INPUT))?;
    say(&Ready { ready: true, binary: listener.local_addr()?, pid: std::process::id() })?;
    while floor.turn(&listener)? {}
    say(&floor.counters)?;
    Ok(())
}

fn accept(listener: &TcpListener) -> squeue::Entry {
    opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).allocate_file_index(true).build().user_data(ACCEPT)
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
        let descriptor = libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC);
        if descriptor < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(descriptor)) }
    }
}

/// TCP_NODELAY, which accepted sockets inherit, and a backlog for a crowd.
fn prepare(listener: &TcpListener) -> io::Result<()> {
    let (descriptor, one) = (listener.as_raw_fd(), 1_i32);
    // SAFETY: the option is an i32 that outlives the call, and listening again only changes the backlog.
    let done = unsafe {
        libc::setsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_NODELAY, (&raw const one).cast(), 4) == 0
            && libc::listen(descriptor, 4096) == 0
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

struct Floor {
    // First, so that it is dropped first: after it the kernel uses none of the memory below.
    ring: IoUring,
    /// The ring of free buffers, page-aligned.
    free: Pages,
    buffers: Box<[u8]>,
    tail: u16,
    wire: Wire,
    /// By place in the table; `None`: not open.
    connections: Vec<Option<Progress>>,
    gather: Duration,
    /// The completions of a turn.
    arrived: Vec<cqueue::Entry>,
    counters: Counters,
}

impl Floor {
    fn new(arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)?;
        ring.submitter().register_files_sparse(arguments.connections)?;
        let free = Pages::new(usize::from(BUFFERS) * size_of::<BufRingEntry>())?;
        // SAFETY: the pages hold `BUFFERS` entries and are dropped after the ring.
        unsafe { ring.submitter().register_buf_ring_with_flags(free.0 as u64, BUFFERS, GROUP, 0) }?;
        let mut floor = Self {
            ring,
            free,
            buffers: vec![0; usize::from(BUFFERS) * BUFFER].into(),
            tail: 0,
            wire: Wire::new(arguments, BUFFER)?,
            connections: vec![None; arguments.connections as usize],
            gather: Duration::from_micros(arguments.gather_us),
            arrived: Vec::new(),
            counters: Counters::default(),
        };
        (0..BUFFERS).for_each(|number| floor.give(number));
        Ok(floor)
    }

    /// Sends what the last turn had to say, waits, and looks at everything that has come. False: it is time to end.
    fn turn(&mut self, listener: &TcpListener) -> io::Result<bool> {
        self.counters.turns += 1;
        self.counters.system_calls += 1;
        match self.ring.submit_and_wait(1) {
            Err(error) if !matches!(error.raw_os_error(), Some(libc::EINTR | libc::EBUSY)) => {
                return Err(error);
            }
            _ => {}
        }
        if !self.gather.is_zero() {
            std::thread::sleep(self.gather);
            self.counters.system_calls += 2;
            // SAFETY: the call has no argument, and asks only for the completions that have come meanwhile.
            unsafe { self.ring.submitter().enter::<()>(0, 0, EnterFlags::GETEVENTS.bits(), None) }?;
        }
        let mut goes_on = true;
        let mut arrived = std::mem::take(&mut self.arrived);
        arrived.extend(self.ring.completion());
        for entry in arrived.drain(..) {
            let (place, kind) = ((entry.user_data() >> 8) as u32, entry.user_data() & 0xff);
            match kind {
                RECEIVE => self.received(place, &entry)?,
                ACCEPT => self.accepted(listener, &entry)?,
                // Only a send that failed or was short posts anything.
                SEND if self.connections[place as usize].is_some() => {
                    self.counters.dropped += 1;
                    self.end_receive(place)?;
                }
                INPUT => goes_on &= self.read_input()?,
                END => goes_on = false,
                _ => {}
            }
        }
        self.arrived = arrived;
        Ok(goes_on)
    }

    fn accepted(&mut self, listener: &TcpListener, entry: &cqueue::Entry) -> io::Result<()> {
        if let Ok(place) = u32::try_from(entry.result()) {
            self.counters.accepted += 1;
            self.connections[place as usize] = Some(self.wire.begin());
            self.arm(place)?;
        } else {
            self.counters.refused += 1;
        }
        if cqueue::more(entry.flags()) { Ok(()) } else { self.push(accept(listener)) }
    }

    fn received(&mut self, place: u32, entry: &cqueue::Entry) -> io::Result<()> {
        let mut heard = Heard::default();
        if let Some(number) = cqueue::buffer_select(entry.flags()) {
            let start = usize::from(number) * BUFFER;
            let bytes = &self.buffers[start..start + entry.result().max(0) as usize];
            if let Some(progress) = &mut self.connections[place as usize] {
                heard = progress.take(&self.wire, bytes);
            }
            self.counters.receives += 1;
            self.give(number);
        }
        if heard.hello {
            let bytes: *const [u8] = &raw const *self.wire.welcome;
            self.send(place, bytes)?;
        }
        if heard.requests > 0 {
            self.counters.requests += u64::from(heard.requests);
            let bytes: *const [u8] = self.wire.answers(heard.requests);
            self.send(place, bytes)?;
        }
        for _ in 0..heard.publishes {
            self.publish()?;
        }
        if heard.bad {
            self.end_receive(place)?;
        }
        if cqueue::more(entry.flags()) {
            return Ok(());
        }
        let ran_dry = entry.result() == -libc::ENOBUFS;
        self.counters.starved += u64::from(ran_dry);
        if entry.result() > 0 || ran_dry {
            return self.arm(place);
        }
        self.counters.closed += 1;
        self.connections[place as usize] = None;
        let close = opcode::Close::new(Fixed(place)).build().flags(squeue::Flags::SKIP_SUCCESS);
        self.push(close.user_data(NOTHING))
    }

    fn publish(&mut self) -> io::Result<()> {
        self.counters.publishes += 1;
        let bytes: *const [u8] = &raw const *self.wire.message;
        for place in 0..self.connections.len() {
            if self.connections[place].is_some() {
                self.counters.deliveries += 1;
                self.send(place as u32, bytes)?;
            }
        }
        Ok(())
    }

    fn arm(&mut self, place: u32) -> io::Result<()> {
        self.push(
            opcode::RecvMulti::new(Fixed(place), GROUP).build().user_data(u64::from(place) << 8 | RECEIVE),
        )
    }

    fn end_receive(&mut self, place: u32) -> io::Result<()> {
        let cancel = opcode::AsyncCancel::new(u64::from(place) << 8 | RECEIVE).build();
        self.push(cancel.flags(squeue::Flags::SKIP_SUCCESS).user_data(NOTHING))
    }

    /// Queues bytes that are the wire's own, and so never move or change.
    fn send(&mut self, place: u32, bytes: *const [u8]) -> io::Result<()> {
        let send = opcode::Send::new(Fixed(place), bytes.cast(), bytes.len() as u32);
        let send = send.flags(libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL).build();
        self.push(send.flags(squeue::Flags::SKIP_SUCCESS).user_data(u64::from(place) << 8 | SEND))
    }

    fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        // SAFETY: what entries point to is the wire's or the pool's, which live as long as the ring.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.counters.system_calls += 1;
            self.ring.submit()?;
        }
        Ok(())
    }

    /// Gives a buffer to the kernel.
    fn give(&mut self, number: u16) {
        let ring = self.free.0.cast::<BufRingEntry>();
        let start = self.buffers[usize::from(number) * BUFFER..].as_mut_ptr();
        // SAFETY: the entry lies in the pages. The kernel reads it only after the tail, whose place is the unused last
        // field of the first entry, has passed it.
        unsafe {
            let entry = &mut *ring.add(usize::from(self.tail & (BUFFERS - 1)));
            entry.set_addr(start as u64);
            entry.set_len(BUFFER as u32);
            entry.set_bid(number);
            self.tail = self.tail.wrapping_add(1);
            (*BufRingEntry::tail(ring).cast::<AtomicU16>()).store(self.tail, Ordering::Release);
        }
    }

    /// Something came from standard input, or its end.
    fn read_input(&mut self) -> io::Result<bool> {
        if io::Read::read(&mut io::stdin(), &mut [0; 64])? == 0 {
            return Ok(false);
        }
        self.push(opcode::PollAdd::new(Fd(0), libc::POLLIN as u32).build().user_data(INPUT))?;
        Ok(true)
    }
}

/// Whole pages, zeroed. They stay until the process ends, as the ring does.
struct Pages(*mut libc::c_void);

impl Pages {
    fn new(bytes: usize) -> io::Result<Self> {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping touches no existing memory.
        let pages = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if pages == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self(pages)) }
    }
}
