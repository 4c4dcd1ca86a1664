//! The socket under the blocking client, and the only places where it reads the clock, sleeps or is random.

use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use schema::frame::{Connect, VERSIONS};

use super::Options;
use crate::connection::Connection;

/// Bytes read at once.
const READ: usize = 64 * 1024;

/// Longest wait for the server to close after a Goodbye.
const LEAVE: Duration = Duration::from_secs(1);

/// A connection and its socket.
pub(super) struct Link {
    pub(super) connection: Connection,
    stream: TcpStream,
    buffer: Vec<u8>,
    /// When the Welcome came.
    pub(super) ready_at: Option<Instant>,
}

impl Link {
    /// Connects the socket and writes the Connect.
    pub(super) fn open(options: &Options, random: u64) -> io::Result<Self> {
        let mut last = io::Error::new(ErrorKind::NotFound, format!("{} has no address", options.address));
        for address in options.address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, options.connect_time) {
                Ok(stream) => return Self::over(stream, options, random),
                Err(error) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
            }
        }
        Err(last)
    }

    fn over(stream: TcpStream, options: &Options, random: u64) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(options.connect_time.max(Duration::from_millis(1))))?;
        let connect = Connect {
            version: *VERSIONS.end(),
            token: options.token.clone(),
            device: options.device,
            liveness: options.liveness,
            heartbeat_ms: u32::try_from(options.heartbeat.as_millis()).unwrap_or(u32::MAX),
        };
        let connection = Connection::new(connect, clock(), random);
        let buffer = vec![0; READ];
        Ok(Self { connection, stream, buffer, ready_at: None })
    }

    /// Writes what is to be written.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let outgoing = self.connection.outgoing();
        if !outgoing.is_empty() {
            self.stream.write_all(outgoing)?;
            outgoing.clear();
        }
        Ok(())
    }

    /// Writes, then waits for bytes until `until` or the connection's own deadline.
    pub(super) fn turn(&mut self, until: Instant) -> io::Result<()> {
        self.flush()?;
        let now = clock();
        let deadline = self.connection.deadline().map_or(until, |deadline| deadline.min(until));
        // A read timeout of zero would mean none at all.
        let wait = deadline.saturating_duration_since(now).max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(wait))?;
        match self.stream.read(&mut self.buffer) {
            Ok(0) => self.connection.lost("the server closed the connection"),
            Ok(read) => self.connection.receive(&self.buffer[..read], clock()),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        self.connection.handle_timeout(clock());
        self.flush()
    }

    /// Writes the last bytes and waits a moment until the server has taken them: closing a socket with unread input
    /// resets the connection, and what is on its way then may be lost. A failure is of no interest any more.
    pub(super) fn leave(&mut self) {
        let until = clock() + LEAVE;
        if self.flush().is_err() || self.stream.shutdown(std::net::Shutdown::Write).is_err() {
            return;
        }
        while clock() < until {
            let wait = until.saturating_duration_since(clock()).max(Duration::from_millis(1));
            let ready = self.stream.set_read_timeout(Some(wait));
            if ready.is_err() || !matches!(self.stream.read(&mut self.buffer), Ok(1..)) {
                return;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a socket driver reads the clock")]
pub(super) fn clock() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "without a connection there is no socket to wait on")]
pub(super) fn sleep_until(until: Instant) {
    std::thread::sleep(until.saturating_duration_since(clock()));
}

/// A number that differs from process to process and from client to client: the standard library seeds its maps from
/// the operating system.
pub(super) fn seed() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// The next number (splitmix64): enough to spread clients, and nothing is kept secret with it.
pub(super) fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
