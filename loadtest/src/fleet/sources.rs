//! Where connections come from: each has a source address and port of its own.
//!
//! A pair of addresses has at most 64,000 ports, and the kernel's own choice among them becomes slow long before that.
//! The whole of 127.0.0.0/8 is this machine, so a ring takes a network of it, and a port is used once a run.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Ports that are taken, each source address' own.
const FIRST_PORT: u16 = 10_000;
const PORTS: u64 = 28_000;
/// Source addresses of one ring before they repeat.
const ADDRESSES: u64 = 250 * 250;
/// Ports that somebody else holds are skipped; so many in a row are more than chance.
const TRIES: usize = 64;

/// The addresses of one ring.
pub(super) struct Sources {
    target: SocketAddr,
    /// The second number of the addresses, 127.N.x.y; `None`: the kernel chooses.
    network: Option<u8>,
    next: u64,
}

impl Sources {
    /// For one ring's connections to `target`. `salt` keeps runs that follow each other off the same ports.
    pub(super) fn new(target: SocketAddr, ring: usize, salt: u32) -> Self {
        let loopback = matches!(target.ip(), IpAddr::V4(ip) if ip.is_loopback());
        Self {
            target,
            network: loopback.then_some((16 + ring % 200) as u8),
            // A run begins on an address of its own.
            next: u64::from(salt) % ADDRESSES * PORTS,
        }
    }

    fn take(&mut self, network: u8) -> SocketAddr {
        let (address, port) = (self.next / PORTS % ADDRESSES, self.next % PORTS);
        self.next += 1;
        let ip = Ipv4Addr::new(127, network, (address / 250) as u8 + 1, (address % 250) as u8 + 1);
        SocketAddr::from((ip, FIRST_PORT + port as u16))
    }

    /// A socket that is connected, or about to be.
    pub(super) fn connect(&mut self) -> io::Result<OwnedFd> {
        let socket = Socket::new(
            Domain::for_address(self.target),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        let Some(network) = self.network else { return begin(socket, self.target) };
        socket.set_reuse_address(true)?;
        let mut tries = 0;
        loop {
            let source = self.take(network);
            match socket.bind(&SockAddr::from(source)) {
                Ok(()) => break,
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => tries += 1,
                Err(error) => return Err(error),
            }
        }
        begin(socket, self.target)
    }
}

fn begin(socket: Socket, target: SocketAddr) -> io::Result<OwnedFd> {
    match socket.connect(&SockAddr::from(target)) {
        Ok(()) => Ok(socket.into()),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error),
    }
}
