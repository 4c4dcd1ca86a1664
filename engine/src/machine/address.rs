//! The other end of a session, in 18 bytes.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A socket address without flow label and scope. IPv4 is kept as a mapped IPv6 address, and a mapped one, which is
/// how a dual-stack listener sees IPv4, is given back as IPv4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Address {
    ip: [u8; 16],
    port: u16,
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Self {
        let ip = match addr.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self { ip: ip.octets(), port: addr.port() }
    }
}

impl From<Address> for SocketAddr {
    fn from(address: Address) -> Self {
        Self::new(Ipv6Addr::from(address.ip).to_canonical(), address.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back() {
        assert_eq!(size_of::<Address>(), 18);
        for text in ["1.2.3.4:5", "[::1]:80", "[2001:db8::7]:65535", "0.0.0.0:0"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(SocketAddr::from(Address::from(addr)), addr);
        }
        let mapped: SocketAddr = "[::ffff:1.2.3.4]:5".parse().unwrap();
        assert_eq!(SocketAddr::from(Address::from(mapped)), "1.2.3.4:5".parse().unwrap());
    }
}
