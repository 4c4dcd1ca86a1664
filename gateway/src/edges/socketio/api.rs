//! What an API on Socket.IO is to its edge: one small trait, and what its calls may use.
//!
//! ```text
//! CONNECT ─► claim ─► verdict on the token (front door) ─► session (machine) ─► joined
//! event   ─► event ─► call.command(tag) … reply(tag)
//! told    ─► notice, or encode: the same bytes for everybody of the dialect
//! ```

use std::borrow::Cow;
use std::fmt;

use engine::machine::Now;
use engine::protocol::Wishes;
use schema::{CloseReason, Command, Refusal, Reply};

use super::endpoint::Endpoint;
use super::errand::Errands;
use super::visit::Origin;
use crate::http::auth::{Caller, Denied};
use crate::socketio::{Arguments, Credentials, Event, Namespace, Talk};

/// What a client that wants to join a namespace is asked for.
#[derive(Debug)]
pub enum Claim<'a> {
    /// Nothing: it joins, and is nobody.
    Open,
    /// A token. `None`: the one of its handshake, if it brought one.
    Token(Option<Cow<'a, str>>),
    /// It may not, whoever it is.
    Refused(Refused),
}

/// What a client is told that may not join. Version 5 sends both parts; version 4 the data, or else the message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// For people.
    pub message: Cow<'static, str>,
    /// For the program, as JSON.
    pub data: Option<String>,
}

/// How a client is told that its session is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parting {
    /// It is made to leave the namespace, and does not come back by itself.
    Disconnect,
    /// The connection is closed, and it comes back by itself.
    Close,
}

/// How the end of a session is told, unless an API knows better: who is to stay away is disconnected.
#[must_use]
pub fn parting(reason: CloseReason) -> Parting {
    match reason {
        CloseReason::TokenExpired
        | CloseReason::Unauthenticated
        | CloseReason::Kicked
        | CloseReason::LoggedOut
        | CloseReason::TooManyDevices => Parting::Disconnect,
        _ => Parting::Close,
    }
}

/// What a call may use: the client, and the machine behind it.
pub struct Call<'a, 'b> {
    /// The client.
    pub talk: Talk<'a, 'b>,
    pub(super) wishes: Wishes<'a>,
    /// Where the client is connected.
    pub endpoint: &'a Endpoint,
    pub(super) errands: &'a Errands,
    /// What is known of the client.
    pub origin: &'a Origin,
}

impl fmt::Debug for Call<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("talk", &self.talk).finish_non_exhaustive()
    }
}

impl Call<'_, '_> {
    /// The two clocks.
    #[must_use]
    pub fn now(&self) -> Now {
        self.wishes.now()
    }

    /// Commands as the client's session; the reply comes with this tag. False: it has no session.
    pub fn command(&mut self, tag: u64, command: Command) -> bool {
        let session = self.wishes.session();
        if let Some(session) = session {
            self.wishes.command(session, tag, command);
        }
        session.is_some()
    }

    /// Asks the front door for a verdict on a token that the client shows although it has joined;
    /// [`Api::verified`] follows. False: too many are under way.
    pub fn verify(&mut self, namespace: Namespace, token: &str) -> bool {
        self.errands.send(self.wishes.conn(), namespace, token, self.origin.peer())
    }

    /// Makes the client leave the namespace in which it has its session, which ends for this reason. It does not come back by
    /// itself.
    pub fn leave(&mut self, namespace: Namespace, reason: CloseReason) {
        self.talk.disconnect(namespace);
        if let Some(session) = self.wishes.session() {
            self.wishes.close_session(session, reason);
        }
    }

    /// The client's session lives on until then, milliseconds since the Unix epoch.
    pub fn renew(&mut self, expires_at: u64) {
        if let Some(session) = self.wishes.session() {
            self.wishes.renew(session, expires_at);
        }
    }
}

/// An API that is spoken over Socket.IO; one value a connection.
pub trait Api: fmt::Debug {
    /// The namespace whose members have a session.
    fn seat(&self) -> Namespace {
        Namespace::ROOT
    }

    /// A client wants to join. Answered `Token`, it is let in when the token is good.
    fn claim<'c>(&mut self, namespace: Namespace, credentials: Credentials<'c>, origin: &Origin)
    -> Claim<'c>;

    /// Why a token let nobody in.
    fn denied(&self, denied: &Denied) -> Refused;

    /// Whether the one whom a good token speaks for is who the client says it is.
    ///
    /// # Errors
    /// What the client is told otherwise.
    fn admits(&mut self, _namespace: Namespace, _caller: &Caller) -> Result<(), Refused> {
        Ok(())
    }

    /// Whether [`Api::admits`] looks at the caller's role. The token of the handshake is kept as long as the connection then.
    fn looks_at_roles(&self) -> bool {
        false
    }

    /// The verdict on a token that was shown later ([`Call::verify`]).
    fn verified(&mut self, _call: &mut Call<'_, '_>, _verdict: Result<Caller, Denied>) {}

    /// Why the machine has no session for this client.
    fn refused(&self, refusal: Refusal) -> Refused;

    /// The client has joined, where a token was asked for as [`Origin::user`].
    fn joined(&mut self, _call: &mut Call<'_, '_>, _namespace: Namespace) {}

    /// An event of the client.
    fn event(&mut self, call: &mut Call<'_, '_>, namespace: Namespace, event: Event<'_>);

    /// The client's answer to [`Talk::ask`].
    fn acked(
        &mut self,
        _call: &mut Call<'_, '_>,
        _namespace: Namespace,
        _id: u32,
        _arguments: Arguments<'_>,
    ) {
    }

    /// The reply to a command.
    fn reply(&mut self, _call: &mut Call<'_, '_>, _tag: u64, _result: &Result<Reply, Refusal>) {}

    /// Whether [`Api::notice`] is to be called with this event. Asked for each, so that what everybody is told in the
    /// same words costs a connection nothing.
    fn notices(&self, _event: &schema::Event) -> bool {
        true
    }

    /// The client's session is told an event. True: it is dealt with; else it is told in the words of the dialect.
    fn notice(&mut self, _call: &mut Call<'_, '_>, _event: &schema::Event) -> bool {
        false
    }

    /// The session is over: the last words, if any, and how the client is told.
    fn closing(&mut self, _call: &mut Call<'_, '_>, reason: CloseReason) -> Parting {
        parting(reason)
    }
}
