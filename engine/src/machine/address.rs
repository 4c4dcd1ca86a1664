//! The other ends of sessions: seven bytes each for IPv4; the addresses of IPv6 lie aside.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::slab::{Slab, Slotted};

/// A socket address without flow label and scope. A mapped IPv4 address, which is how a dual-stack listener sees IPv4,
/// is kept and given back as IPv4. Bytes throughout, so that it fits beside a single byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Address {
    V4 {
        ip: [u8; 4],
        port: [u8; 2],
    },
    /// The place of the address in [`Addresses`].
    V6 {
        place: [u8; 4],
        port: [u8; 2],
    },
}

struct Long(Ipv6Addr);

impl Slotted for Long {}

/// The addresses that are too long to lie in a slot.
pub(super) struct Addresses(Slab<Long>);

impl Addresses {
    pub(super) fn new() -> Self {
        Self(Slab::new())
    }

    pub(super) fn len(&self) -> u32 {
        self.0.len()
    }

    /// Bytes of their memory.
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes()
    }

    /// `None`: there are as many as there can be.
    pub(super) fn keep(&mut self, addr: SocketAddr) -> Option<Address> {
        let port = addr.port().to_ne_bytes();
        Some(match addr.ip().to_canonical() {
            IpAddr::V4(ip) => Address::V4 { ip: ip.octets(), port },
            IpAddr::V6(ip) => Address::V6 { place: self.0.insert(|_| Long(ip))?.to_ne_bytes(), port },
        })
    }

    pub(super) fn read(&self, address: Address) -> Option<SocketAddr> {
        Some(match address {
            Address::V4 { ip, port } => SocketAddr::new(Ipv4Addr::from(ip).into(), u16::from_ne_bytes(port)),
            Address::V6 { place, port } => {
                let Long(ip) = self.0.get(u32::from_ne_bytes(place))?;
                SocketAddr::new((*ip).into(), u16::from_ne_bytes(port))
            }
        })
    }

    /// The session of an address is over.
    pub(super) fn forget(&mut self, address: Address) {
        if let Address::V6 { place, .. } = address {
            self.0.remove(u32::from_ne_bytes(place));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back() {
        assert_eq!((size_of::<Address>(), align_of::<Address>()), (7, 1));
        let mut addresses = Addresses::new();
        let texts = ["1.2.3.4:5", "[::1]:80", "[2001:db8::7]:65535", "0.0.0.0:0", "[2001:db8::8]:1"];
        let addrs = texts.map(|text| text.parse::<SocketAddr>().unwrap());
        let kept = addrs.map(|addr| addresses.keep(addr).unwrap());
        assert_eq!(addresses.len(), 3, "IPv4 needs no place");
        for (addr, kept) in addrs.into_iter().zip(kept) {
            assert_eq!(addresses.read(kept), Some(addr));
            addresses.forget(kept);
        }
        assert_eq!(addresses.len(), 0);
        let mapped = addresses.keep("[::ffff:1.2.3.4]:5".parse().unwrap()).unwrap();
        assert_eq!(addresses.read(mapped), Some("1.2.3.4:5".parse().unwrap()));
    }
}
