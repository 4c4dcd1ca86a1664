//! A request's query parameters: what it asks for, and the checks before a session sees it, in the reference server's
//! order.
//!
//! Sources: Engine.IO protocol v4 and v3, "URL"; the reference server's `verify`. The parameters are digits and words
//! that no client escapes, so they are compared as they stand.

use super::answer::Refusal;
use super::{Settings, Version};

/// What carries a session's packets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// One GET after another, and POSTs.
    Polling,
    /// A WebSocket.
    WebSocket,
}

/// The transports an endpoint offers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offer {
    /// Whether long-polling is spoken.
    pub polling: bool,
    /// Whether WebSockets are.
    pub websocket: bool,
    /// Whether clients of version 3 are served.
    pub version3: bool,
}

/// The method of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// A poll, a handshake, a WebSocket.
    Get,
    /// An upload.
    Post,
    /// Anything else.
    Other,
}

/// The parameters Engine.IO knows; the others are the application's.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Query<'a> {
    /// `EIO`.
    pub version: Option<&'a str>,
    /// `transport`.
    pub transport: Option<&'a str>,
    /// `sid`; an empty one is none.
    pub sid: Option<&'a str>,
    /// `b64`: the client cannot take bytes.
    pub base64: bool,
    /// `j`: the client wants JSONP.
    pub jsonp: bool,
}

impl<'a> Query<'a> {
    /// Reads the part of a URL behind the question mark. The first of two values counts.
    #[must_use]
    pub fn parse(query: &'a str) -> Self {
        let mut parsed = Self::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "EIO" => parsed.version = parsed.version.or(Some(value)),
                "transport" => parsed.transport = parsed.transport.or(Some(value)),
                "sid" if !value.is_empty() => parsed.sid = parsed.sid.or(Some(value)),
                "b64" => parsed.base64 |= !value.is_empty() && value != "0",
                "j" => parsed.jsonp = true,
                _ => {}
            }
        }
        parsed
    }

    /// The version, if it is one of ours.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        match self.version {
            Some("4") => Some(Version::V4),
            Some("3") => Some(Version::V3),
            _ => None,
        }
    }
}

/// A request, as far as the checks look at it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its parameters.
    pub query: Query<'a>,
    /// Its method.
    pub method: Method,
    /// Whether it asks for a WebSocket.
    pub upgrade: bool,
    /// Whether its Origin header, if any, has only characters that a header may have.
    pub origin_is_valid: bool,
}

/// What is known of the session that a request names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Known {
    /// Its version.
    pub version: Version,
    /// Its transport now.
    pub transport: Transport,
}

/// What an accepted request is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// A new session. Whether the client may have one is yet to be asked; [`Refusal::Forbidden`] is for that.
    Handshake {
        /// Its version.
        version: Version,
        /// Its first transport.
        transport: Transport,
        /// Whether bytes are to be sent as base64 (v3).
        base64: bool,
    },
    /// A poll of a session.
    Poll,
    /// An upload to a session.
    Upload,
    /// A WebSocket for a session that polls: the session says whether it takes it.
    Upgrade,
}

/// What a request asks for, as far as it says so by itself. The checks are in the reference's order: transport, Origin,
/// session, method, WebSocket without an upgrade, version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asking {
    transport: Transport,
    version: Option<Version>,
    base64: bool,
    method: Method,
    upgrade: bool,
}

impl Request<'_> {
    /// The first two checks, which need neither a session nor a decision.
    ///
    /// # Errors
    /// [`Refusal::TransportUnknown`], [`Refusal::BadRequest`].
    pub fn asking(&self, offer: &Offer) -> Result<Asking, Refusal> {
        let query = &self.query;
        let transport = match query.transport {
            Some("polling") if offer.polling && !query.jsonp => Transport::Polling,
            Some("websocket") if offer.websocket => Transport::WebSocket,
            _ => return Err(Refusal::TransportUnknown),
        };
        if !self.origin_is_valid {
            return Err(Refusal::BadRequest);
        }
        let (version, base64, method) = (query.version(), query.base64, self.method);
        Ok(Asking { transport, version, base64, method, upgrade: self.upgrade })
    }
}

impl Asking {
    /// Of a request that names a session, of which this is known.
    ///
    /// # Errors
    /// [`Refusal::BadRequest`].
    pub fn of_session(&self, known: Known) -> Result<Asked, Refusal> {
        if !self.upgrade && known.transport != self.transport || self.version != Some(known.version) {
            return Err(Refusal::BadRequest);
        }
        match (self.transport, self.upgrade, self.method) {
            (Transport::WebSocket, true, Method::Get) => Ok(Asked::Upgrade),
            (Transport::Polling, false, Method::Get) => Ok(Asked::Poll),
            (Transport::Polling, false, Method::Post) => Ok(Asked::Upload),
            _ => Err(Refusal::BadRequest),
        }
    }

    /// Of a request that names none.
    ///
    /// Differs from the reference in the version: there, anything but 4 means 3; here a version that is neither is
    /// refused, since a client that names none is none of ours.
    ///
    /// # Errors
    /// [`Refusal::BadHandshakeMethod`], [`Refusal::BadRequest`], [`Refusal::UnsupportedVersion`].
    pub fn of_stranger(&self, offer: &Offer) -> Result<Asked, Refusal> {
        if self.method != Method::Get {
            return Err(Refusal::BadHandshakeMethod);
        }
        // A WebSocket request that names the other transport is as ill-formed as its opposite.
        if (self.transport == Transport::WebSocket) != self.upgrade {
            return Err(Refusal::BadRequest);
        }
        match self.version {
            Some(version) if version == Version::V4 || offer.version3 => {
                Ok(Asked::Handshake { version, transport: self.transport, base64: self.base64 })
            }
            _ => Err(Refusal::UnsupportedVersion),
        }
    }

    /// Whether a body may follow.
    #[must_use]
    pub fn may_upload(&self) -> bool {
        self.method == Method::Post && !self.upgrade
    }
}

/// The open packet: exactly these keys, in this order (Engine.IO protocol v4, "Handshake"; v3 knows all but the
/// last, and ignores it). The id must be of characters that need no escape in JSON.
#[must_use]
pub fn open_packet(settings: &Settings, sid: &str, transport: Transport) -> String {
    let upgrades = match transport {
        Transport::Polling if settings.upgrades => r#""websocket""#,
        _ => "",
    };
    format!(
        r#"0{{"sid":"{sid}","upgrades":[{upgrades}],"pingInterval":{},"pingTimeout":{},"maxPayload":{}}}"#,
        settings.ping_interval, settings.ping_timeout, settings.max_payload
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: Offer = Offer { polling: true, websocket: true, version3: true };

    fn request(query: &str, method: Method, upgrade: bool) -> Request<'_> {
        Request { query: Query::parse(query), method, upgrade, origin_is_valid: true }
    }

    fn known(sid: &str) -> Option<Known> {
        match sid {
            "polls" => Some(Known { version: Version::V4, transport: Transport::Polling }),
            "socket" => Some(Known { version: Version::V4, transport: Transport::WebSocket }),
            _ => None,
        }
    }

    fn check_all(
        offer: &Offer,
        request: &Request<'_>,
        session: impl FnOnce(&str) -> Option<Known>,
    ) -> Result<Asked, Refusal> {
        let asking = request.asking(offer)?;
        match request.query.sid {
            Some(sid) => asking.of_session(session(sid).ok_or(Refusal::SessionUnknown)?),
            None => asking.of_stranger(offer),
        }
    }

    #[test]
    fn checks_in_their_order() {
        let check = |query, method, upgrade, expected: Result<Asked, Refusal>| {
            assert_eq!(check_all(&OFFER, &request(query, method, upgrade), known), expected, "{query}");
        };
        use Method::{Get, Other, Post};
        let new = |version, transport| Ok(Asked::Handshake { version, transport, base64: false });
        check("EIO=4&transport=polling", Get, false, new(Version::V4, Transport::Polling));
        check("EIO=3&transport=polling&t=x", Get, false, new(Version::V3, Transport::Polling));
        check("EIO=4&transport=websocket", Get, true, new(Version::V4, Transport::WebSocket));
        check("EIO=4&transport=websocket&sid=", Get, true, new(Version::V4, Transport::WebSocket));
        // Official suite: bad EIO, bad transport, bad method.
        check("EIO=abc&transport=polling", Get, false, Err(Refusal::UnsupportedVersion));
        check("transport=polling", Get, false, Err(Refusal::UnsupportedVersion));
        check("EIO=abc&transport=websocket", Get, true, Err(Refusal::UnsupportedVersion));
        check("EIO=4&transport=abc", Get, false, Err(Refusal::TransportUnknown));
        check("EIO=4", Get, false, Err(Refusal::TransportUnknown));
        check("EIO=4&transport=abc", Get, true, Err(Refusal::TransportUnknown));
        check("EIO=4&transport=polling", Post, false, Err(Refusal::BadHandshakeMethod));
        check("EIO=4&transport=polling", Other, false, Err(Refusal::BadHandshakeMethod));
        check("EIO=4&transport=websocket", Get, false, Err(Refusal::BadRequest));
        check("EIO=3&transport=polling&j=0", Get, false, Err(Refusal::TransportUnknown));
        // Requests of a session.
        check("EIO=4&transport=polling&sid=polls", Get, false, Ok(Asked::Poll));
        check("EIO=4&transport=polling&sid=polls", Post, false, Ok(Asked::Upload));
        check("EIO=4&transport=polling&sid=polls", Other, false, Err(Refusal::BadRequest));
        check("EIO=4&transport=websocket&sid=polls", Get, true, Ok(Asked::Upgrade));
        check("EIO=4&transport=websocket&sid=polls", Get, false, Err(Refusal::BadRequest));
        check("EIO=3&transport=polling&sid=polls", Get, false, Err(Refusal::BadRequest));
        check("EIO=4&transport=polling&sid=socket", Get, false, Err(Refusal::BadRequest));
        check("EIO=4&transport=websocket&sid=socket", Get, true, Ok(Asked::Upgrade));
        check("EIO=4&transport=polling&sid=nobody", Get, false, Err(Refusal::SessionUnknown));
        check("EIO=4&transport=abc&sid=nobody", Post, false, Err(Refusal::TransportUnknown));
    }

    #[test]
    fn an_endpoint_may_offer_less() {
        let offer = Offer { polling: false, websocket: true, version3: false };
        let check = |query, upgrade| check_all(&offer, &request(query, Method::Get, upgrade), |_| None);
        assert_eq!(check("EIO=4&transport=polling", false), Err(Refusal::TransportUnknown));
        assert_eq!(check("EIO=3&transport=websocket", true), Err(Refusal::UnsupportedVersion));
    }

    #[test]
    fn an_illegal_origin_comes_after_the_transport() {
        let mut request = request("EIO=4&transport=polling&sid=nobody", Method::Get, false);
        request.origin_is_valid = false;
        assert_eq!(check_all(&OFFER, &request, known), Err(Refusal::BadRequest));
        request.query.transport = None;
        assert_eq!(check_all(&OFFER, &request, known), Err(Refusal::TransportUnknown));
    }

    #[test]
    fn the_open_packet_has_exactly_these_keys() {
        let settings = Settings::default();
        assert_eq!(
            open_packet(&settings, "lv_VI97HAXpY6yYWAAAC", Transport::Polling),
            r#"0{"sid":"lv_VI97HAXpY6yYWAAAC","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
        );
        assert!(open_packet(&settings, "x", Transport::WebSocket).contains(r#""upgrades":[],"#));
    }
}
