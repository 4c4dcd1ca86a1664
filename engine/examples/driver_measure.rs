//! Measures the choices the ring driver had to make: how a plain descriptor is handed into the ring's table, and how
//! connections are closed when many go at once.
//!
//! `cargo run --release -p muster-engine --example driver_measure [connections]`
//!
//! CPU is that of the whole process, kernel and io-wq threads included.
#![expect(unsafe_code, reason = "io_uring submissions and getrusage")]
#![expect(clippy::print_stdout, reason = "an example that reports figures")]
#![expect(clippy::disallowed_methods, reason = "it measures time")]

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use io_uring::{IoUring, cqueue, opcode, squeue, types};

const BUFFERS: u16 = 16;
const LENGTH: usize = 4096;

fn main() -> io::Result<()> {
    let count = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10_000);
    println!("{count} connections, three interleaved rounds, CPU µs per connection (wall µs)");
    for _ in 0..3 {
        println!("hand-over:");
        for way in [HandOver::None, HandOver::Calls, HandOver::Operations] {
            // Plain descriptors of both ends must fit under the limit of open files.
            let count = if matches!(way, HandOver::None) { count.min(9_000) } else { count };
            let (mut bench, took) = Bench::new(count, way)?;
            println!("  {:<52} {took}", way.name());
            bench.arm_all()?;
        }
        println!("close:");
        for way in [End::Close, End::Shutdown, End::Install] {
            let (mut bench, _) = Bench::new(count, HandOver::Calls)?;
            bench.arm_all()?;
            let took = bench.end_all(way)?;
            let rest = match way {
                End::Close => Took(0.0, 0.0),
                End::Shutdown | End::Install => bench.peers_close()?,
            };
            println!("  {:<52} {took} until FIN is out, {rest} to end after the peer's", way.name());
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
enum HandOver {
    None,
    Calls,
    Operations,
}

impl HandOver {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none: stays a plain descriptor",
            Self::Calls => "io_uring_register + close, a system call each",
            Self::Operations => "FILES_UPDATE + CLOSE operations, 256 a batch",
        }
    }
}

#[derive(Clone, Copy)]
enum End {
    Close,
    Shutdown,
    Install,
}

impl End {
    fn name(self) -> &'static str {
        match self {
            Self::Close => "cancel + CLOSE (no half-close)",
            Self::Shutdown => "SHUTDOWN, then CLOSE",
            Self::Install => "FIXED_FD_INSTALL + shutdown(2), then CLOSE",
        }
    }
}

/// CPU and wall time per connection.
struct Took(f64, f64);

impl std::fmt::Display for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:6.2} ({:6.2})", self.0, self.1)
    }
}

fn measured(count: usize, work: impl FnOnce() -> io::Result<()>) -> io::Result<Took> {
    let (cpu, wall) = (cpu(), Instant::now());
    work()?;
    let per = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    Ok(Took(per(self::cpu() - cpu), per(wall.elapsed())))
}

fn cpu() -> Duration {
    // SAFETY: an all-zero rusage is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a writable rusage.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let time = |value: libc::timeval| Duration::new(value.tv_sec as u64, value.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

struct Bench {
    ring: IoUring,
    clients: Vec<TcpStream>,
    plain: Vec<OwnedFd>,
    /// Kept for the kernel, which may read it until an operation is submitted.
    numbers: Box<[RawFd]>,
    _buffers: Vec<u8>,
}

impl Bench {
    fn new(count: usize, way: HandOver) -> io::Result<(Self, Took)> {
        let ring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_submit_all()
            .setup_cqsize(32768)
            .build(512)?;
        ring.submitter().register_files_sparse(count as u32)?;
        let mut bench = Self {
            ring,
            clients: Vec::new(),
            plain: Vec::new(),
            numbers: vec![-1; count].into_boxed_slice(),
            _buffers: vec![0; usize::from(BUFFERS) * LENGTH],
        };
        let provide = opcode::ProvideBuffers::new(bench._buffers.as_mut_ptr(), LENGTH as i32, BUFFERS, 0, 0);
        bench.push(provide.build().flags(squeue::Flags::SKIP_SUCCESS))?;
        bench.enter(0)?;

        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        // In steps, so that both ends fit under the limit of open files; only the hand-over is measured.
        let mut took = Took(0.0, 0.0);
        for step in (0..count).step_by(256) {
            let mut sockets = Vec::new();
            for _ in step..count.min(step + 256) {
                bench.clients.push(TcpStream::connect(address)?);
                sockets.push(OwnedFd::from(listener.accept()?.0));
            }
            let this = measured(count, || bench.hand_over(step, sockets, way))?;
            took = Took(took.0 + this.0, took.1 + this.1);
        }
        Ok((bench, took))
    }

    fn hand_over(&mut self, first: usize, sockets: Vec<OwnedFd>, way: HandOver) -> io::Result<()> {
        match way {
            HandOver::None => self.plain.extend(sockets),
            HandOver::Calls => {
                for (place, socket) in sockets.into_iter().enumerate() {
                    self.ring
                        .submitter()
                        .register_files_update((first + place) as u32, &[socket.as_raw_fd()])?;
                }
            }
            HandOver::Operations => {
                for (place, socket) in sockets.iter().enumerate() {
                    self.numbers[first + place] = socket.as_raw_fd();
                    let number = &raw const self.numbers[first + place];
                    let update = opcode::FilesUpdate::new(number, 1).offset((first + place) as i32);
                    self.push(update.build().flags(squeue::Flags::SKIP_SUCCESS))?;
                    let close = opcode::Close::new(types::Fd(socket.as_raw_fd()));
                    self.push(close.build().flags(squeue::Flags::SKIP_SUCCESS))?;
                }
                self.enter(0)?;
                sockets.into_iter().for_each(|socket| {
                    use std::os::fd::IntoRawFd;
                    let _ = socket.into_raw_fd();
                });
            }
        }
        Ok(())
    }

    /// A multishot receive on each, as an established connection has.
    fn arm_all(&mut self) -> io::Result<()> {
        for place in 0..self.clients.len() {
            let receive = match self.plain.get(place) {
                Some(socket) => opcode::RecvMulti::new(types::Fd(socket.as_raw_fd()), 0).build(),
                None => opcode::RecvMulti::new(types::Fixed(place as u32), 0).build(),
            };
            self.push(receive.user_data(place as u64))?;
        }
        self.enter(0)
    }

    fn end_all(&mut self, way: End) -> io::Result<Took> {
        let count = self.clients.len();
        measured(count, || match way {
            End::Close => {
                for place in 0..count as u32 {
                    let cancel = opcode::AsyncCancel::new(u64::from(place)).build();
                    self.push(cancel.flags(squeue::Flags::SKIP_SUCCESS).user_data(u64::MAX))?;
                    let close = opcode::Close::new(types::Fixed(place)).build();
                    self.push(close.flags(squeue::Flags::SKIP_SUCCESS).user_data(u64::MAX))?;
                }
                self.reap(count, |entry| entry.user_data() != u64::MAX)
            }
            End::Shutdown => {
                for place in 0..count as u32 {
                    let shutdown = opcode::Shutdown::new(types::Fixed(place), libc::SHUT_WR).build();
                    self.push(shutdown.user_data(u64::MAX))?;
                }
                self.reap(count, |entry| entry.user_data() == u64::MAX)
            }
            End::Install => {
                for first in (0..count).step_by(256) {
                    let last = count.min(first + 256);
                    for place in first as u32..last as u32 {
                        let install = opcode::FixedFdInstall::new(types::Fixed(place), 0).build();
                        self.push(install.user_data(u64::MAX))?;
                    }
                    let mut failed = None;
                    self.reap(last - first, |entry| {
                        if entry.user_data() != u64::MAX {
                            return false;
                        }
                        let fd = entry.result();
                        if fd < 0 {
                            failed = Some(io::Error::from_raw_os_error(-fd));
                        } else {
                            // SAFETY: the descriptor has just been installed and is used here only.
                            unsafe {
                                libc::shutdown(fd, libc::SHUT_WR);
                                libc::close(fd);
                            }
                        }
                        true
                    })?;
                    if let Some(error) = failed {
                        return Err(error);
                    }
                }
                Ok(())
            }
        })
    }

    /// The peers' FINs end the receives; then the slots are closed. Only the latter is counted: the peers' part is
    /// the other machine's.
    fn peers_close(&mut self) -> io::Result<Took> {
        let count = self.clients.len();
        self.clients.clear();
        measured(count, || {
            self.reap(count, |entry| entry.user_data() != u64::MAX)?;
            for place in 0..count as u32 {
                let close = opcode::Close::new(types::Fixed(place)).build();
                self.push(close.flags(squeue::Flags::SKIP_SUCCESS).user_data(u64::MAX))?;
            }
            self.enter(0)
        })
    }

    fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        // SAFETY: what the entries point to lives in the bench, which outlives the ring's use of it.
        while unsafe { self.ring.submission().push(&entry) }.is_err() {
            self.enter(0)?;
        }
        Ok(())
    }

    fn enter(&mut self, want: usize) -> io::Result<()> {
        self.ring.submit_and_wait(want).map(|_| ())
    }

    /// Reaps until so many completions have matched.
    fn reap(&mut self, count: usize, mut matches: impl FnMut(&cqueue::Entry) -> bool) -> io::Result<()> {
        let mut seen = 0;
        while seen < count {
            self.enter(1)?;
            seen += self.ring.completion().filter(|entry| matches(entry)).count();
        }
        Ok(())
    }
}
