//! Making listeners, taking connections from them, and the options a connection gets.
#![expect(
    unsafe_code,
    reason = "socket options before bind, accept4 and getpeername on raw descriptors go through libc"
)]

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::Tuning;

/// Connections the kernel completes before they are accepted; it cuts this to `net.core.somaxconn`.
const BACKLOG: libc::c_int = 4096;

/// Binds a TCP listener: non-blocking, close-on-exec, SO_REUSEADDR, TCP_NODELAY (which accepted sockets inherit).
/// With `shared`, SO_REUSEPORT: every shard binds the same address and the kernel spreads the connections.
///
/// # Errors
/// When the address cannot be bound.
pub fn listener(address: SocketAddr, shared: bool) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: socket takes no pointers.
    let fd = unsafe { libc::socket(family, kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor has just been made and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    set(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    if shared {
        set(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    let (storage, length) = encode(address);
    // SAFETY: `storage` holds a socket address of at least `length` bytes.
    if unsafe { libc::bind(fd, (&raw const storage).cast(), length) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: listen takes no pointers.
    if unsafe { libc::listen(fd, BACKLOG) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(socket)
}

/// Switches TCP keep-alive on: the first probe after `idle`, then three more a quarter of that apart. A link that
/// answers none is dead.
///
/// # Errors
/// When the kernel refuses an option.
pub fn keep_alive(socket: BorrowedFd<'_>, idle: Duration) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    let seconds = |time: Duration| libc::c_int::try_from(time.as_secs().max(1)).unwrap_or(libc::c_int::MAX);
    set(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1)?;
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, seconds(idle))?;
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, seconds(idle / 4))?;
    set(fd, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3)
}

/// The address a socket is bound to, with the port the kernel chose when 0 was asked for.
///
/// # Errors
/// When the descriptor is no internet socket.
pub fn local_address(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    address_by(|storage, length| {
        // SAFETY: both pointers are valid for writes and `length` holds the room behind `storage`.
        unsafe { libc::getsockname(socket.as_raw_fd(), storage, length) }
    })
}

/// Raises the limit of open files to the hard limit, and says what it is then.
///
/// The limit bounds the direct-descriptor table of each ring, so it is raised before the shards start.
///
/// # Errors
/// When the limit cannot be read; that it cannot be raised is no error.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = open_files()?;
    if limit.rlim_cur < limit.rlim_max {
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
        // SAFETY: `raised` is a readable rlimit.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            limit = raised;
        }
    }
    Ok(limit.rlim_cur)
}

/// The present limit of open files.
pub(super) fn open_files() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a writable rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit)
}

/// Takes the next connection of a listener; the socket is non-blocking and close-on-exec.
pub(super) fn accept(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, SocketAddr)> {
    let mut fd = -1;
    let peer = address_by(|storage, length| {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: both pointers are valid for writes and `length` holds the room behind `storage`.
        fd = unsafe { libc::accept4(listener.as_raw_fd(), storage, length, flags) };
        fd
    });
    if fd < 0 {
        return Err(peer.err().unwrap_or_else(|| io::ErrorKind::Other.into()));
    }
    // SAFETY: the descriptor has just been made and belongs to nobody else.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    Ok((socket, peer?))
}

/// The address of the other end.
pub(super) fn peer_address(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    address_by(|storage, length| {
        // SAFETY: both pointers are valid for writes and `length` holds the room behind `storage`.
        unsafe { libc::getpeername(socket.as_raw_fd(), storage, length) }
    })
}

/// Gives a connection the options of an adopted socket, and says how many system calls that took.
///
/// An option that is refused (a Unix socket has no TCP_NODELAY) makes a connection less good, not wrong.
pub(super) fn prepare(socket: BorrowedFd<'_>, tuning: &Tuning) -> u64 {
    let fd = socket.as_raw_fd();
    let mut calls = 1;
    // Sockets of our own listeners inherit this one; sockets handed to us may come from any other.
    let _ = set(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    if tuning.send_buffer > 0 {
        let bytes = libc::c_int::try_from(tuning.send_buffer).unwrap_or(libc::c_int::MAX);
        let _ = set(fd, libc::SOL_SOCKET, libc::SO_SNDBUF, bytes);
        calls += 1;
    }
    if tuning.user_timeout > Duration::ZERO {
        let ms = libc::c_int::try_from(tuning.user_timeout.as_millis()).unwrap_or(libc::c_int::MAX);
        let _ = set(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, ms);
        calls += 1;
    }
    calls
}

/// Closes a descriptor that a slot owns.
pub(super) fn close(descriptor: RawFd) {
    // SAFETY: the caller's slot owns the descriptor and forgets it.
    drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
}

fn set(fd: RawFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `value` is readable for the length given.
    if unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), length) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn address_by(
    call: impl FnOnce(*mut libc::sockaddr, *mut libc::socklen_t) -> libc::c_int,
) -> io::Result<SocketAddr> {
    // SAFETY: an all-zero sockaddr_storage is valid: an address of no family.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    if call((&raw mut storage).cast(), &raw mut length) < 0 {
        return Err(io::Error::last_os_error());
    }
    decode(&storage)
}

fn encode(address: SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: an all-zero sockaddr_storage is valid: an address of no family.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let length = match address {
        SocketAddr::V4(address) => {
            let v4 = libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: address.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                sin_zero: [0; 8],
            };
            // SAFETY: a sockaddr_storage is as large and as aligned as every socket address.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(v4) };
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(address) => {
            let v6 = libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: address.port().to_be(),
                sin6_flowinfo: address.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                sin6_scope_id: address.scope_id(),
            };
            // SAFETY: a sockaddr_storage is as large and as aligned as every socket address.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in6>().write(v6) };
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}

fn decode(storage: &libc::sockaddr_storage) -> io::Result<SocketAddr> {
    match libc::c_int::from(storage.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says what the storage holds, and it is large and aligned enough for it.
            let v4 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
            Ok(SocketAddr::new(IpAddr::V4(ip), u16::from_be(v4.sin_port)))
        }
        libc::AF_INET6 => {
            // SAFETY: the family says what the storage holds, and it is large and aligned enough for it.
            let v6 = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            // A dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d; everyone above wants a.b.c.d.
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr).to_canonical();
            Ok(match ip {
                IpAddr::V4(_) => SocketAddr::new(ip, u16::from_be(v6.sin6_port)),
                IpAddr::V6(ip) => SocketAddr::V6(std::net::SocketAddrV6::new(
                    ip,
                    u16::from_be(v6.sin6_port),
                    v6.sin6_flowinfo,
                    v6.sin6_scope_id,
                )),
            })
        }
        _ => Err(io::ErrorKind::AddrNotAvailable.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn addresses_survive_the_kernels_form() {
        for text in ["127.0.0.1:7400", "255.1.2.3:65535", "[::1]:80", "[fe80::1%3]:9"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(decode(&encode(address).0).unwrap(), address);
        }
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:5".parse().unwrap();
        assert_eq!(decode(&encode(mapped).0).unwrap(), "10.0.0.1:5".parse().unwrap());
    }

    #[test]
    fn a_shared_address_is_bound_twice_and_an_unshared_one_once() {
        let first = listener("127.0.0.1:0".parse().unwrap(), true).unwrap();
        let address = local_address(first.as_fd()).unwrap();
        listener(address, true).unwrap();
        assert!(listener(address, false).is_err());
    }

    #[test]
    fn a_peer_is_accepted_with_its_address() {
        let socket = listener("127.0.0.1:0".parse().unwrap(), false).unwrap();
        assert_eq!(accept(socket.as_fd()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let client = std::net::TcpStream::connect(local_address(socket.as_fd()).unwrap()).unwrap();
        // Loopback completes the handshake before connect returns.
        let (server, peer) = accept(socket.as_fd()).unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        assert_eq!(peer_address(server.as_fd()).unwrap(), peer);
        assert_eq!(prepare(server.as_fd(), &Tuning::default()), 3);
        let server = std::net::TcpStream::from(server);
        assert!(server.nodelay().unwrap());
    }
}
