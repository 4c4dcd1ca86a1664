//! What the front door brings to a session, and what it takes back: openings, polls, uploads, sockets, verdicts about
//! tokens.
//!
//! A request's answer goes the way of a one-shot channel. Whether its packets have been said is known when the front door takes
//! the answer out ([`Parcel::open`]); an answer that nobody took is lost, and what was in it is said again.

#![allow(missing_docs, reason = "the fields of a variant are told in the variant's own text")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use schema::{Device, ShardId};
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
    /// At which endpoint.
    pub endpoint: EndpointId,
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

/// What is known of a client from its handshake.
#[derive(Debug)]
pub struct Origin {
    /// The client's address, as the trusted proxies tell it.
    pub peer: SocketAddr,
    /// From the User-Agent.
    pub device: Device,
    /// `user_id` and `user_role` of the query, where the endpoint's API looks at them.
    pub query: Box<str>,
    /// The token of the query or of the headers, and what the front door found out about it.
    pub found: Option<Box<Found>>,
    /// What addresses of attachments must begin with, where that is demanded.
    pub own: Option<Arc<str>>,
    /// Between the verdict on a token and the machine's answer: whom it speaks for.
    pub(super) caller: Option<Box<Caller>>,
}

impl Origin {
    /// A client at this address.
    #[must_use]
    pub fn new(peer: SocketAddr, device: Device, found: Option<Box<Found>>) -> Self {
        Self { peer, device, query: "".into(), found, own: None, caller: None }
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
