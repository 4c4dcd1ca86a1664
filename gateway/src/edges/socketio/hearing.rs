//! What a session's messages mean: who joins, by what right; what an event brings about; what an end ends.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use engine::machine::input::Open;
use engine::protocol::Wishes;
use schema::{Actor, CloseReason, SessionAddr};

use super::api::{Api, Call, Claim, Refused};
use super::endpoint::Endpoint;
use super::errand::Errands;
use super::sid;
use super::speaker::Speech;
use super::visit::Origin;
use crate::edges::pace::{Pace, Rate};
use crate::engineio;
use crate::http::auth::{Caller, Denied};
use crate::socketio::{Application, Arguments, Credentials, Event, Namespace, Reason, Talk, Verdict};

/// The application of one connection, for one input.
pub(super) struct Hearing<'a> {
    pub(super) speech: &'a mut Speech,
    pub(super) pace: &'a mut Pace,
    pub(super) origin: &'a mut Origin,
    pub(super) endpoint: &'a Endpoint,
    pub(super) errands: &'a Errands,
    pub(super) wishes: Wishes<'a>,
}

/// Why a session of the machine ends, in its words.
pub(super) fn close_reason(reason: engineio::Reason) -> CloseReason {
    match reason {
        engineio::Reason::PingTimeout => CloseReason::Silent,
        engineio::Reason::TransportClose | engineio::Reason::ForcedClose => CloseReason::ClientClosed,
        engineio::Reason::TransportError => CloseReason::Lost,
        engineio::Reason::ParseError => CloseReason::ProtocolError,
        engineio::Reason::TooLarge => CloseReason::TooLarge,
        engineio::Reason::SlowConsumer => CloseReason::SlowConsumer,
    }
}

fn left(reason: Reason) -> CloseReason {
    match reason {
        Reason::ClientNamespaceDisconnect | Reason::ConnectTimeout => CloseReason::ClientClosed,
        Reason::ParseError => CloseReason::ProtocolError,
        Reason::Overload => CloseReason::TooManyCommands,
        Reason::Transport(reason) => close_reason(reason),
    }
}

impl Hearing<'_> {
    /// The API, and what its call may use.
    fn call<'c, 'b>(&'c mut self, talk: &'c mut Talk<'_, 'b>) -> (&'c mut Speech, Call<'c, 'b>) {
        let Self { speech, origin, endpoint, errands, wishes, .. } = self;
        (speech, Call { talk: talk.again(), wishes: wishes.again(), endpoint, errands, origin })
    }

    fn refuse(talk: &mut Talk<'_, '_>, namespace: Namespace, refused: &Refused) {
        talk.refuse(namespace, &refused.message, refused.data.as_deref());
    }

    /// The id of a client in a namespace. It is told to others, so it has nothing of the session's own.
    fn public_id(&self, namespace: Namespace) -> String {
        let conn = self.wishes.conn();
        let mut bytes = [0; 15];
        bytes[..2].copy_from_slice(&self.errands.shard().0.to_be_bytes());
        bytes[2..6].copy_from_slice(&conn.slot.to_be_bytes());
        bytes[6..10].copy_from_slice(&conn.generation.to_be_bytes());
        bytes[10] = namespace.index();
        bytes[11..].copy_from_slice(&(self.wishes.now().mono as u32).to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The verdict on the token with which a client wants to join.
    pub(super) fn judged(
        &mut self,
        talk: &mut Talk<'_, '_>,
        namespace: Namespace,
        verdict: Result<Caller, Denied>,
    ) {
        if !talk.is_pending(namespace) {
            if talk.has_joined(namespace) {
                let (speech, mut call) = self.call(talk);
                speech.verified(&mut call, verdict);
            }
            return;
        }
        self.admit_or_refuse(talk, namespace, verdict, false);
    }

    /// `shown`: the verdict is on the token of the handshake.
    fn admit_or_refuse(
        &mut self,
        talk: &mut Talk<'_, '_>,
        namespace: Namespace,
        verdict: Result<Caller, Denied>,
        shown: bool,
    ) {
        match verdict {
            Ok(caller) => match self.speech.admits(namespace, &caller) {
                Ok(()) => self.open(namespace, caller, shown),
                Err(refused) => Self::refuse(talk, namespace, &refused),
            },
            Err(denied) => Self::refuse(talk, namespace, &self.speech.denied(&denied)),
        }
    }

    /// What the token of the handshake is worth, which may have ended since then. `None`: there was no token.
    fn of_handshake(&self) -> Option<Result<Caller, Denied>> {
        Some(self.origin.verdict()?.and_then(|caller| {
            if caller.expires_at <= self.wishes.now().wall {
                return Err(Denied::Token { code: "TOKEN_EXPIRED", message: "the token has expired".into() });
            }
            Ok(caller)
        }))
    }

    fn open(&mut self, namespace: Namespace, caller: Caller, shown: bool) {
        self.wishes.open(Open {
            conn: self.wishes.conn(),
            // A service that comes here is a user like the others, by its own id.
            actor: Actor { service: false, ..caller.actor.clone() },
            edge: self.speech.edge(),
            peer: self.origin.peer(),
            device: self.origin.device,
            expires_at: caller.expires_at,
            // The heartbeat of the protocol watches.
            silence: 0,
            mark: u32::from(namespace.index()),
        });
        self.origin.joins(caller, shown);
    }

    /// The machine's answer.
    pub(super) fn opened(
        &mut self,
        talk: &mut Talk<'_, '_>,
        namespace: Namespace,
        session: Result<SessionAddr, schema::Refusal>,
    ) {
        match session {
            Ok(addr) => {
                if !self.speech.looks_at_roles() {
                    self.origin.forget_token();
                }
                let id = self.public_id(namespace);
                if talk.accept(namespace, &id) {
                    self.joined(talk, namespace);
                } else {
                    // It has left meanwhile.
                    self.wishes.close_session(addr.session, CloseReason::ClientClosed);
                }
            }
            // It is to come back, to another node or after the restart.
            Err(schema::Refusal::Draining) => talk.close(),
            Err(refusal) => Self::refuse(talk, namespace, &self.speech.refused(refusal)),
        }
    }

    fn joined(&mut self, talk: &mut Talk<'_, '_>, namespace: Namespace) {
        let (speech, mut call) = self.call(talk);
        speech.joined(&mut call, namespace);
    }

    /// Anything else the API is to be told.
    pub(super) fn tell<T>(
        &mut self,
        talk: &mut Talk<'_, '_>,
        call: impl FnOnce(&mut Speech, &mut Call<'_, '_>) -> T,
    ) -> T {
        let (speech, mut own) = self.call(talk);
        call(speech, &mut own)
    }
}

impl Application for Hearing<'_> {
    fn admit(&mut self) -> Verdict {
        let Endpoint { events_per_second, events_burst, .. } = *self.endpoint;
        let rate = Rate { per_second: events_per_second, burst: events_burst };
        if events_per_second == 0 || self.pace.takes(rate, self.wishes.now().mono) {
            Verdict::Within
        } else {
            Verdict::Over
        }
    }

    fn connect(&mut self, talk: &mut Talk<'_, '_>, namespace: Namespace, credentials: Credentials<'_>) {
        let token = match self.speech.claim(namespace, credentials, self.origin) {
            Claim::Open => {
                let id = self.public_id(namespace);
                talk.accept(namespace, &id);
                return self.joined(talk, namespace);
            }
            Claim::Refused(refused) => return Self::refuse(talk, namespace, &refused),
            Claim::Token(token) => token,
        };
        // Clients bring the same token in many ways; one signature is enough.
        let found = self.origin.found();
        let token = token.filter(|token| found.is_none_or(|found| !sid::same(token, &found.token)));
        let Some(token) = token else {
            let missing = || Err(Denied::Token { code: "TOKEN_MISSING", message: "".into() });
            let verdict = self.of_handshake().unwrap_or_else(missing);
            return self.admit_or_refuse(talk, namespace, verdict, true);
        };
        if !self.errands.send(self.wishes.conn(), namespace, &token, self.origin.peer()) {
            Self::refuse(talk, namespace, &self.speech.refused(schema::Refusal::Busy));
        }
    }

    fn event(&mut self, talk: &mut Talk<'_, '_>, namespace: Namespace, event: Event<'_>) {
        let (speech, mut call) = self.call(talk);
        speech.event(&mut call, namespace, event);
    }

    fn acked(&mut self, talk: &mut Talk<'_, '_>, namespace: Namespace, id: u32, arguments: Arguments<'_>) {
        let (speech, mut call) = self.call(talk);
        speech.acked(&mut call, namespace, id, arguments);
    }

    fn disconnected(&mut self, namespace: Namespace, reason: Reason) {
        if namespace == self.speech.seat()
            && let Some(session) = self.wishes.session()
        {
            self.wishes.close_session(session, left(reason));
        }
    }
}
