//! What the socket driver tells.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use schema::{CloseReason, SessionRef};

use super::super::conns::{Blocked, Phase, TICK};
use super::{Floor, Look};
use crate::io::{Close, Ending, Listener, Sink, Token};
use crate::machine::Input;
use crate::outbox::Outbox;
use crate::protocol::Protocol;

impl<P: Protocol> Sink for Floor<P> {
    fn accepted(&mut self, _listener: Listener, socket: OwnedFd, _peer: SocketAddr) {
        // Strangers wait at the front door; no shard listens.
        drop(socket);
    }

    fn received(&mut self, token: Token, bytes: &mut [u8]) {
        self.wake();
        self.receives += 1;
        let now = self.now;
        let Some(conn) = self.conns.get(token) else { return };
        conn.heard = (now.mono / TICK) as u32;
        for session in conn.sessions.as_slice() {
            self.machine.touch(now, *session);
        }
        self.with_edge(token, |edge, shared, fx| edge.received(shared, bytes, fx));
        self.settle();
    }

    fn ended(&mut self, token: Token, ending: Ending) {
        self.wake();
        match ending {
            Ending::HalfClosed => self.with_edge(token, |edge, shared, fx| edge.half_closed(shared, fx)),
            Ending::Lost(_) => self.close(token, Close::Abort, CloseReason::Lost),
        }
        self.settle();
    }

    fn blocked(&mut self, token: Token) {
        self.wake();
        let since = self.now.mono;
        let Some(conn) = self.conns.get(token) else { return };
        if conn.blocked.is_none() {
            conn.blocked = Some(Box::new(Blocked { since, drained: false, outbox: Outbox::default() }));
            self.wheel.set(Look::Stuck(token.slot), since + self.outbox_time);
        }
    }

    fn drained(&mut self, token: Token) {
        self.wake();
        let Some(conn) = self.conns.get(token) else { return };
        let Some(blocked) = &mut conn.blocked else { return };
        blocked.drained = true;
        self.staging.resume(token);
        if conn.phase == Phase::Flushing {
            self.closing.push((token, Close::Graceful));
        }
    }

    fn closed(&mut self, token: Token) {
        self.wake();
        let Some(conn) = self.conns.get(token) else { return };
        if let Some(edge) = &conn.edge {
            let count = &mut self.report.connections[edge.edge() as usize % 8];
            *count = count.saturating_sub(1);
        }
        // Only a connection that the shard has closed is reported closed, so its sessions have ended; should the
        // driver ever differ, they end here.
        let sessions: Vec<SessionRef> = conn.sessions.as_slice().to_vec();
        for session in sessions {
            self.machine.handle(self.now, Input::Closed { session, reason: CloseReason::Lost });
        }
        self.conns.release(token);
        self.settle();
    }
}
