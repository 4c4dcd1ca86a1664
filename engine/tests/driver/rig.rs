//! A driver with a sink that notes everything, and the plain blocking sockets of its peers.

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use muster_engine::io::{self as driver_io, Choice, Close, Driver, Ending, Listener, Sink, Token, Tuning};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a case on both drivers.
pub(crate) fn on_both(tuning: &Tuning, case: impl Fn(&mut Rig)) {
    for choice in [Choice::Epoll, Choice::Ring] {
        eprintln!("on {choice:?}");
        let mut rig = Rig::new(choice, tuning);
        case(&mut rig);
    }
}

/// What the driver has told.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) accepted: Vec<(Listener, OwnedFd, SocketAddr)>,
    pub(crate) received: HashMap<Token, Vec<u8>>,
    pub(crate) ended: HashMap<Token, Ending>,
    pub(crate) blocked: HashSet<Token>,
    pub(crate) drained: HashSet<Token>,
    pub(crate) closed: HashSet<Token>,
    /// Bytes received in all; `received` is not kept when `forget` is set.
    pub(crate) bytes: u64,
    pub(crate) forget: bool,
}

impl Sink for Told {
    fn accepted(&mut self, listener: Listener, socket: OwnedFd, peer: SocketAddr) {
        self.accepted.push((listener, socket, peer));
    }

    fn received(&mut self, token: Token, bytes: &mut [u8]) {
        assert!(!bytes.is_empty(), "nothing is no news");
        assert!(!self.closed.contains(&token), "bytes after closed");
        assert!(!self.ended.contains_key(&token), "bytes after the end");
        self.bytes += bytes.len() as u64;
        if !self.forget {
            self.received.entry(token).or_default().extend_from_slice(bytes);
        }
    }

    fn ended(&mut self, token: Token, ending: Ending) {
        assert!(self.ended.insert(token, ending).is_none(), "ended is said once");
    }

    fn blocked(&mut self, token: Token) {
        assert!(self.blocked.insert(token), "blocked is said once until drained");
    }

    fn drained(&mut self, token: Token) {
        assert!(self.blocked.remove(&token), "drained follows blocked");
        self.drained.insert(token);
    }

    fn closed(&mut self, token: Token) {
        self.blocked.remove(&token);
        assert!(self.closed.insert(token), "closed is said once");
    }
}

pub(crate) struct Rig {
    pub(crate) driver: Box<dyn Driver>,
    pub(crate) told: Told,
    pub(crate) address: SocketAddr,
    listener: Option<OwnedFd>,
    next_slot: u32,
}

impl Rig {
    pub(crate) fn new(choice: Choice, tuning: &Tuning) -> Self {
        let (driver, fallback) = driver_io::open(choice, tuning).unwrap();
        assert!(fallback.is_none());
        let listener = driver_io::sockets::listener("127.0.0.1:0".parse().unwrap(), false).unwrap();
        let address = driver_io::sockets::local_address(listener.as_fd()).unwrap();
        Self { driver, told: Told::default(), address, listener: Some(listener), next_slot: 0 }
    }

    /// Lets the driver accept at `address`.
    pub(crate) fn listen(&mut self) {
        let listener = self.listener.take().expect("listened before");
        self.driver.listen(Listener(0), listener).unwrap();
    }

    /// One turn: waits a little at most.
    pub(crate) fn turn(&mut self) {
        self.driver.wait(Some(Duration::from_millis(20)), &mut self.told).unwrap();
    }

    /// Turns until `done`, or fails.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "waited too long on {}: {what}", self.driver.name());
            self.turn();
        }
    }

    /// A connected pair outside the driver's listener: the server's end and the client's.
    pub(crate) fn pair(&mut self) -> (OwnedFd, TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        server.set_nonblocking(true).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_nodelay(true).unwrap();
        (server.into(), client)
    }

    /// A token of a new slot.
    pub(crate) fn token(&mut self) -> Token {
        self.next_slot += 1;
        Token { slot: self.next_slot - 1, generation: 1 }
    }

    /// An adopted connection and its client.
    pub(crate) fn connection(&mut self) -> (Token, TcpStream) {
        let (server, client) = self.pair();
        let token = self.token();
        self.driver.adopt(token, server).unwrap();
        (token, client)
    }

    /// Bytes received for a token so far.
    pub(crate) fn heard(&self, token: Token) -> &[u8] {
        self.told.received.get(&token).map_or(&[], Vec::as_slice)
    }

    /// Closes and waits until it is closed.
    pub(crate) fn close(&mut self, token: Token, how: Close) {
        self.driver.close(token, how);
        self.until("closed", |rig| rig.told.closed.contains(&token));
    }
}

/// Open descriptors of this process.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A small generator: tests that fail can be repeated.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}
