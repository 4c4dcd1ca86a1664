//! What the machine wants, carried out; and what the inbox brings, handed to it.

use std::rc::Rc;
use std::sync::Arc;

use schema::{CloseReason, Event, Refusal};

use super::super::conns::{Phase, token};
use super::super::report::Report;
use super::{Encoded, Floor};
use crate::front::{Answer, Envelope};
use crate::io::{Close, Token};
use crate::machine::store::{ChatFailure, ChatStored};
use crate::machine::{Asker, ChatAnswer, ChatRequest, Input, Output, StoreReply, StoreRequest};
use crate::protocol::{DIALECTS, Protocol};
use crate::store;
use crate::store::chat::ChatOrder;

/// After a drain: how long dirty rows may take to reach the store before the shard ends all the same.
const STORE_PATIENCE: u64 = 5_000;

impl<P: Protocol> Floor<P> {
    /// Carries out all the machine wants by now.
    pub(in crate::shard) fn settle(&mut self) {
        while let Some(output) = self.machine.poll() {
            self.carry_out(output);
        }
        self.encoded = None;
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Event { conn, event, .. } => self.tell(token(conn), event),
            Output::Opened { conn, mark, session } => {
                let token = token(conn);
                match (self.conns.get(token), &session) {
                    (Some(conn), Ok(addr)) if conn.phase == Phase::Open => {
                        self.conns.seat(token, addr.session)
                    }
                    // The connection went away in the same turn.
                    (_, Ok(addr)) => {
                        let (session, reason) = (addr.session, CloseReason::Lost);
                        self.machine.handle(self.now, Input::Closed { session, reason });
                        return;
                    }
                    (_, Err(_)) => {}
                }
                self.with_edge(token, |edge, shared, fx| edge.opened(shared, mark, session, fx));
            }
            Output::Close { conn, mark, session, reason } => {
                let token = token(conn);
                self.conns.unseat(token, session);
                self.with_edge(token, |edge, shared, fx| edge.closing(shared, mark, reason, fx));
            }
            Output::Message { to, message } => self.links.send(to, message),
            Output::Front { ticket, event } => self.desk.send_reserved(Answer::Event { ticket, event }),
            Output::Erased { ticket, result } => self.desk.send_reserved(Answer::Erased { ticket, result }),
            Output::Store(request) => self.ask_store(request),
            Output::Chat(request) => self.ask_chats(request),
            Output::Tap(event) => {
                tracing::trace!(shard = self.shard.0, seq = event.seq, user = ?event.user, "tap");
            }
        }
    }

    /// Stages an event for a connection, encoding it once for all who are told the same.
    pub(super) fn tell(&mut self, token: Token, event: Arc<Event>) {
        let Some(conn) = self.conns.get(token) else { return };
        if conn.phase != Phase::Open {
            return;
        }
        let class = event.class();
        let dealt_with =
            self.with_edge_saying(token, class, |edge, shared, fx| edge.told(shared, &event, fx));
        // It may have closed the connection.
        let Some(conn) = self.conns.get(token) else { return };
        if dealt_with == Some(true) || conn.phase != Phase::Open {
            return;
        }
        let (dialect, keeps) = (conn.edge.dialect(), conn.edge.keeps());
        if keeps {
            let mut words = Vec::new();
            P::encode(dialect, &mut self.shared, &event, &mut words);
            self.with_edge(token, |edge, shared, fx| edge.keep(shared, class, &words, fx));
            return;
        }
        if Arc::strong_count(&event) == 1 {
            let start = self.staging.bytes.len();
            P::encode(dialect, &mut self.shared, &event, &mut self.staging.bytes);
            self.staging.own(token, class, start);
            return;
        }
        let encoded = match &mut self.encoded {
            Some(encoded) if Arc::ptr_eq(&encoded.event, &event) => encoded,
            other => other.insert(Encoded { event, bytes: Default::default() }),
        };
        let shared = &mut self.shared;
        let bytes = encoded.bytes[usize::from(dialect.0) % DIALECTS].get_or_insert_with(|| {
            let mut bytes = Vec::new();
            P::encode(dialect, shared, &encoded.event, &mut bytes);
            Rc::from(bytes)
        });
        self.staging.shared(token, class, bytes.clone());
    }

    fn ask_store(&mut self, request: StoreRequest) {
        let number = match &request {
            StoreRequest::PutSeen { request, .. }
            | StoreRequest::GetSeen { request, .. }
            | StoreRequest::Journal { request, .. }
            | StoreRequest::Forget { request, .. } => *request,
        };
        let sent = self.inbox.reserve_raw() && {
            let sent = self.store.try_send_command(store::Ask { shard: self.shard, request }).is_ok();
            if !sent {
                self.inbox.release_raw();
            }
            sent
        };
        if !sent {
            let error = "the store's queue is full".to_owned();
            let reply = StoreReply::Failed { request: number, error };
            self.machine.handle(self.now, Input::Store(reply));
        }
    }

    fn ask_chats(&mut self, request: ChatRequest) {
        let number = request.request;
        let sent = self.inbox.reserve_raw() && {
            let sent = self.chats.try_send(ChatOrder { shard: self.shard, request }).is_ok();
            if !sent {
                self.inbox.release_raw();
            }
            sent
        };
        if !sent {
            let error = "the queue of the conversations' store is full".to_owned();
            let stored = ChatStored::Failed { failure: ChatFailure::Busy, error };
            self.machine.handle(self.now, Input::Chat(ChatAnswer { request: number, stored }));
        }
    }

    /// One envelope that needs no driver.
    pub(in crate::shard) fn take(&mut self, envelope: Envelope<P::Arrival>) {
        self.envelopes += 1;
        let input = match envelope {
            Envelope::Ask { ticket, command, .. } if self.is_too_much(&command) => {
                let event = Event::Reply { tag: ticket, result: Err(Refusal::Busy) };
                return self.desk.send_reserved(Answer::Event { ticket, event });
            }
            Envelope::Ask { ticket, actor, command } => {
                Input::Command { asker: Asker::Front(ticket), actor, tag: ticket, command }
            }
            Envelope::Erase { ticket, step } => Input::Erase { ticket, step },
            Envelope::Message { from, message } => Input::Message { from, message },
            Envelope::Store(reply) => Input::Store(reply),
            Envelope::Chat(answer) => Input::Chat(answer),
            Envelope::Call { conn, arrival } => {
                let token = token(conn);
                self.with_edge(token, |edge, shared, fx| edge.called(shared, arrival, fx));
                return;
            }
            Envelope::Socket { .. }
            | Envelope::Begin { .. }
            | Envelope::Offer { .. }
            | Envelope::Report { .. }
            | Envelope::Drain { .. } => return,
        };
        self.machine.handle(self.now, input);
    }

    pub(in crate::shard) fn answer_report(&mut self, ticket: u64, io: crate::io::Counters) {
        self.envelopes += 1;
        let report = Report {
            io,
            machine: self.machine.counters().clone(),
            sessions: u64::from(self.machine.sessions()),
            online: self.machine.online(),
            conversations: {
                let (count, bytes) = self.machine.conversations();
                (u64::from(count), bytes as u64)
            },
            inbox_depth: self.inbox.len() as u64,
            backlog: self.links.waiting() as u64,
            ..self.report.clone()
        };
        self.desk.send_reserved(Answer::Report { ticket, report: Box::new(report) });
    }

    /// Begins the end: no socket is taken any more, the machine closes its sessions over the time given, and
    /// connections without a session are closed now.
    pub(in crate::shard) fn drain(&mut self, over: u32) {
        if self.drain_until.is_some() {
            return;
        }
        self.drain_until = Some(self.now.mono + u64::from(over) + STORE_PATIENCE);
        self.machine.handle(self.now, Input::Drain { over });
        let mut at = 0;
        while let Some(token) = self.conns.next(at) {
            at = token.slot + 1;
            if self.conns.sessions(token).is_empty() {
                self.close(token, Close::Graceful, CloseReason::Draining);
            }
        }
    }

    /// A drained shard is done when everybody has gone and everything is written, or when its time is over.
    pub(in crate::shard) fn is_done(&self) -> bool {
        let Some(until) = self.drain_until else { return false };
        let (connections, messages) = (self.conns.len(), self.links.waiting());
        if connections == 0 && messages == 0 && self.machine.is_drained() {
            return true;
        }
        let over = self.now.mono >= until;
        if over {
            tracing::warn!(
                shard = self.shard.0,
                connections,
                messages,
                drained = self.machine.is_drained(),
                "the time to drain is over; ending with what is left"
            );
        }
        over
    }
}
