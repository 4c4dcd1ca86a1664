//! Whose request it is when proxies stand in between.
//!
//! `X-Forwarded-For` is read from the right: each trusted proxy vouches for the address it wrote, and the first
//! address that is no trusted proxy's is the client. What stands further left is hearsay of that client.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The other end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// The client, as far as the trusted proxies tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Client(pub SocketAddr);

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client of a request. The port is 0 where no proxy told it.
#[must_use]
pub fn client(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Client {
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut known = peer;
    let lines: Vec<&str> =
        headers.get_all(FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or("?")).collect();
    for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')).map(str::trim) {
        if !is_trusted(known.ip()) {
            break;
        }
        // A proxy that writes what cannot be read ("unknown", "_hidden") vouches for nobody.
        let Some(address) = parse(entry) else { break };
        known = address;
    }
    Client(known)
}

/// `10.0.0.1`, `10.0.0.1:5`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:5`.
fn parse(entry: &str) -> Option<SocketAddr> {
    let bare = entry.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(entry);
    let address = match bare.parse::<IpAddr>() {
        Ok(address) => SocketAddr::new(address, 0),
        Err(_) => entry.parse::<SocketAddr>().ok()?,
    };
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, lines: &[&str], trusted: &str, expected: &str) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        let trusted: Vec<IpNet> =
            trusted.split_whitespace().map(|network| network.parse().unwrap()).collect();
        let Client(client) = client(peer.parse().unwrap(), &headers, &trusted);
        assert_eq!(client.ip().to_string(), expected, "{lines:?}");
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        check("1.2.3.4:5", &[], "", "1.2.3.4");
        check("1.2.3.4:5", &["9.9.9.9"], "", "1.2.3.4");
        check("1.2.3.4:5", &["9.9.9.9"], "10.0.0.0/8", "1.2.3.4");
        check("10.0.0.1:5", &["9.9.9.9"], "10.0.0.0/8", "9.9.9.9");
        check("10.0.0.1:5", &["8.8.8.8, 9.9.9.9"], "10.0.0.0/8", "9.9.9.9");
        check("10.0.0.1:5", &["8.8.8.8, 9.9.9.9, 10.1.1.1"], "10.0.0.0/8", "9.9.9.9");
        check("10.0.0.1:5", &["8.8.8.8", "9.9.9.9,10.1.1.1"], "10.0.0.0/8", "9.9.9.9");
        check("10.0.0.1:5", &["10.3.3.3, 10.2.2.2"], "10.0.0.0/8", "10.3.3.3");
    }

    #[test]
    fn what_cannot_be_read_ends_the_chain() {
        check("10.0.0.1:5", &["9.9.9.9, unknown"], "10.0.0.0/8", "10.0.0.1");
        check("10.0.0.1:5", &["9.9.9.9, , 10.1.1.1"], "10.0.0.0/8", "10.1.1.1");
        check("10.0.0.1:5", &[""], "10.0.0.0/8", "10.0.0.1");
    }

    #[test]
    fn forms_of_an_address() {
        check("[::1]:5", &["[2001:db8::1]:443"], "::1/128", "2001:db8::1");
        check("[::1]:5", &["[2001:db8::1]"], "::1/128", "2001:db8::1");
        check("[::1]:5", &["2001:db8::1"], "::1/128", "2001:db8::1");
        check("[::1]:5", &["9.9.9.9:80"], "::1/128", "9.9.9.9");
        check("[::ffff:10.0.0.1]:5", &["::ffff:9.9.9.9"], "10.0.0.0/8", "9.9.9.9");
    }
}
