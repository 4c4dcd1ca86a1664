//! What the front door brings to a session, and what it takes back: openings, polls, uploads, sockets, verdicts about
//! tokens.
//!
//! A request's answer goes the way of a one-shot channel. Whether its packets have been said is known when the front door takes
//! the answer out ([`Parcel::open`]); an answer that nobody took is lost, and what was in it is said again.

#![allow(missing_docs, reason = "the fields of a variant are told in the variant's own text")]

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use schema::{Actor, Device, Id, Key, Realm, ShardId};
use tokio::sync::oneshot;

use super::endpoint::EndpointId;
use super::sid::SECRET;
use crate::engineio::handshake::Asking;
use crate::engineio::{Answer, Ticket, Version};
use crate::http::auth::{Caller, Denied};
use crate::socketio::Namespace;

/// How a session begins.
#[derive(Debug)]
pub struct Opening {
    /// The client's version.
    pub version: Version,
    /// The client cannot take bytes (v3).
    pub base64: bool,
    /// On which shard.
    pub shard: ShardId,
    /// The secret part of the session's id.
    pub secret: [u8; SECRET],
    /// What is known of the client.
    pub origin: Origin,
}

/// What is known of a client. Once it has joined, only what is still of use is kept.
#[derive(Debug)]
pub struct Origin {
    v4: Option<SocketAddrV4>,
    /// From the User-Agent.
    pub device: Device,
    /// At which endpoint.
    pub endpoint: EndpointId,
    /// Whom the client speaks for, since the verdict on its token.
    user: Option<Id>,
    realm: Realm,
    service: bool,
    /// The user was found by the token of the handshake, so it may join again without another.
    shown: bool,
    expires_at: u64,
    rest: Option<Box<Rest>>,
}

/// What few have to be known of for long.
#[derive(Debug)]
struct Rest {
    v6: Option<SocketAddrV6>,
    handshake: Handshake,
}

impl Rest {
    fn boxed(self) -> Option<Box<Self>> {
        let Handshake { query, found, own } = &self.handshake;
        let any = self.v6.is_some() || !query.is_empty() || found.is_some() || own.is_some();
        any.then(|| Box::new(self))
    }
}

/// What a client's handshake said, beside where it comes from.
#[derive(Debug, Default)]
pub struct Handshake {
    /// `user_id` and `user_role` of the query, where the endpoint's API looks at them.
    pub query: Box<str>,
    /// The token of the query or of the headers, and what the front door found out about it.
    pub found: Option<Found>,
    /// What addresses of attachments must begin with, where that is demanded.
    pub own: Option<Box<str>>,
}

impl Origin {
    /// A client at this address.
    #[must_use]
    pub fn new(endpoint: EndpointId, peer: SocketAddr, device: Device, handshake: Handshake) -> Self {
        let (v4, v6) = match peer {
            SocketAddr::V4(addr) => (Some(addr), None),
            SocketAddr::V6(addr) => (None, Some(addr)),
        };
        Self {
            v4,
            device,
            endpoint,
            user: None,
            realm: Realm::default(),
            service: false,
            shown: false,
            expires_at: 0,
            rest: Rest { v6, handshake }.boxed(),
        }
    }

    /// The client's address, as the trusted proxies tell it.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        const NOWHERE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let v6 = self.rest.as_ref().and_then(|rest| rest.v6).map(SocketAddr::V6);
        v6.unwrap_or(SocketAddr::V4(self.v4.unwrap_or(NOWHERE)))
    }

    fn handshake(&self) -> Option<&Handshake> {
        self.rest.as_ref().map(|rest| &rest.handshake)
    }

    /// See [`Handshake::query`].
    #[must_use]
    pub fn query(&self) -> &str {
        self.handshake().map_or("", |handshake| &handshake.query)
    }

    /// See [`Handshake::own`].
    #[must_use]
    pub fn own(&self) -> Option<&str> {
        self.handshake()?.own.as_deref()
    }

    /// Whom the client speaks for, once it has joined.
    #[must_use]
    pub fn user(&self) -> Option<&Id> {
        self.user.as_ref()
    }

    pub(super) fn found(&self) -> Option<&Found> {
        self.handshake()?.found.as_ref()
    }

    /// What the token of the handshake is worth. `None`: there was no token.
    pub(super) fn verdict(&self) -> Option<Result<Caller, Denied>> {
        if let Some(found) = self.found() {
            return Some(found.verdict.clone());
        }
        let user = self.user.clone().filter(|_| self.shown)?;
        let actor = Actor { key: Key::new(self.realm, user), service: self.service };
        Some(Ok(Caller { actor, expires_at: self.expires_at, role: None }))
    }

    /// The machine is asked for a session for this caller. `shown`: found by the token of the handshake.
    pub(super) fn joins(&mut self, caller: Caller, shown: bool) {
        let Caller { actor: Actor { key, service }, expires_at, .. } = caller;
        (self.user, self.realm, self.service) = (Some(key.id), key.realm, service);
        (self.shown, self.expires_at) = (shown, expires_at);
    }

    /// The client has joined by the token of its handshake: whom that speaks for is enough to know from now on.
    pub(super) fn forget_token(&mut self) {
        if self.shown
            && let Some(mut rest) = self.rest.take()
        {
            rest.handshake.found = None;
            self.rest = rest.boxed();
        }
    }
}

/// A token of a handshake.
#[derive(Debug)]
pub struct Found {
    /// The token; empty: there was none, or none is kept.
    pub token: Box<str>,
    /// Whom it speaks for.
    pub verdict: Result<Caller, Denied>,
}

/// What the front door brings.
#[derive(Debug)]
pub enum Visit {
    /// A new session by GET: the request is its first poll.
    Polls(Box<Opening>, Waiting),
    /// A new session by WebSocket, with the bytes that came right behind the handshake.
    Socket(Box<Opening>, Vec<u8>),
    /// A request with a session's id. An upload's body follows.
    Request { sid: Box<str>, asking: Asking, waiting: Waiting },
    /// The body of an upload whose request has been accepted. `octets`: its type is application/octet-stream.
    Body { ticket: Ticket, octets: bool, body: Vec<u8> },
    /// The body of an upload is longer than may be.
    TooLong { ticket: Ticket },
    /// The client has given up a request.
    Gone { ticket: Ticket },
    /// The WebSocket of an upgrade that was welcomed, with the bytes that came right behind the handshake.
    Upgrade { sid: Box<str>, read_ahead: Vec<u8> },
    /// The verdict about a token that a client brought to a namespace.
    Verdict { namespace: Namespace, verdict: Result<Caller, Denied> },
}

/// A request and the way of its answer. Dropping it says that there is no such session.
#[derive(Debug)]
pub struct Waiting {
    /// Its number, the front door's own.
    pub ticket: Ticket,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Reply>,
}

/// What a request is told.
#[derive(Debug)]
pub enum Reply {
    /// The answer.
    Answer(Parcel),
    /// The upgrade is welcome: answer 101 and bring the socket.
    Welcome,
}

/// What has become of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Fate {
    /// It is on its way.
    Open = 0,
    /// The front door has it.
    Taken = 1,
    /// Nobody will have it.
    Lost = 2,
}

/// The fate of one answer, as both sides see it.
#[derive(Clone, Debug, Default)]
pub(super) struct Delivery(Arc<AtomicU8>);

impl Delivery {
    pub(super) fn fate(&self) -> Fate {
        match self.0.load(Ordering::Acquire) {
            1 => Fate::Taken,
            2 => Fate::Lost,
            _ => Fate::Open,
        }
    }
}

/// An answer on its way.
#[derive(Debug)]
pub struct Parcel {
    answer: Option<Answer>,
    delivery: Delivery,
}

impl Parcel {
    pub(super) fn new(answer: Answer) -> (Self, Delivery) {
        let delivery = Delivery::default();
        (Self { answer: Some(answer), delivery: delivery.clone() }, delivery)
    }

    /// Takes the answer, which from now on counts as said.
    #[must_use]
    pub fn open(mut self) -> Answer {
        self.delivery.0.store(Fate::Taken as u8, Ordering::Release);
        self.answer.take().unwrap_or(Answer::Ok)
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if self.answer.is_some() {
            self.delivery.0.store(Fate::Lost as u8, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_resting_client_is_small() {
        assert_eq!(size_of::<Origin>(), 56);
    }

    #[test]
    fn who_has_joined_by_the_handshake_may_join_again_without_its_token() {
        let actor = Actor { key: Key::new(Realm(3), Id::new("ann").unwrap()), service: false };
        let caller = Caller { actor, expires_at: 7, role: None };
        let found = Found { token: "a.b.c".into(), verdict: Ok(caller.clone()) };
        for (peer, own) in [("127.0.0.1:1", None), ("[2001:db8::1]:2", Some("https://own.example/"))] {
            let peer: SocketAddr = peer.parse().unwrap();
            let found = Some(Found { token: found.token.clone(), verdict: found.verdict.clone() });
            let handshake = Handshake { found, own: own.map(Into::into), ..Handshake::default() };
            let mut origin = Origin::new(EndpointId(0), peer, Device::default(), handshake);
            // By another token: the one of the handshake is still of use.
            origin.joins(caller.clone(), false);
            origin.forget_token();
            assert!(origin.found().is_some());
            origin.joins(caller.clone(), true);
            origin.forget_token();
            assert!(origin.found().is_none());
            let again = origin.verdict().unwrap().unwrap();
            assert_eq!((again.actor, again.expires_at), (caller.actor.clone(), 7));
            assert_eq!((origin.peer(), origin.own()), (peer, own));
        }
        let mut stranger =
            Origin::new(EndpointId(0), ([127, 0, 0, 1], 7).into(), Device::default(), Handshake::default());
        stranger.joins(caller, false);
        assert!(stranger.verdict().is_none());
    }

    #[test]
    fn an_answer_is_taken_or_lost() {
        let (parcel, delivery) = Parcel::new(Answer::Ok);
        assert_eq!(delivery.fate(), Fate::Open);
        assert_eq!(parcel.open(), Answer::Ok);
        assert_eq!(delivery.fate(), Fate::Taken);
        let (parcel, delivery) = Parcel::new(Answer::Ok);
        let (sender, receiver) = oneshot::channel();
        sender.send(parcel).unwrap();
        assert_eq!(delivery.fate(), Fate::Open);
        drop(receiver);
        assert_eq!(delivery.fate(), Fate::Lost);
    }
}
