//! What the socket driver tells.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use schema::CloseReason;

use super::super::conns::{Phase, Pipe};
use super::{Floor, Look};
use crate::io::{Close, Ending, Listener, Sink, Token};
use crate::machine::Input;
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
        for session in self.conns.sessions(token) {
            self.machine.touch(now, *session);
        }
        self.with_edge(token, |edge, shared, fx| edge.received(shared, bytes, fx));
        self.settle();
    }

    fn ended(&mut self, token: Token, ending: Ending) {
        self.wake();
        match ending {
            Ending::HalfClosed => {
                self.with_edge(token, |edge, shared, fx| edge.half_closed(shared, fx));
            }
            Ending::Lost(_) => self.lose(token),
        }
        self.settle();
    }

    fn blocked(&mut self, token: Token) {
        self.wake();
        let since = self.now.mono;
        if self.conns.block(token, since) {
            self.wheel.set(self.now.mono, Look::Stuck(token.slot), since + self.outbox_time);
        }
    }

    fn drained(&mut self, token: Token) {
        self.wake();
        let Some(blocked) = self.conns.blocked(token) else { return };
        blocked.drained = true;
        self.staging.resume(token);
        if self.conns.get(token).is_some_and(|conn| conn.phase == Phase::Flushing) {
            self.closing.push((token, Close::Graceful));
        }
    }

    fn closed(&mut self, token: Token) {
        self.wake();
        let Some(conn) = self.conns.get(token) else { return };
        if (conn.pipe, conn.phase) == (Pipe::Leaving, Phase::Open) {
            conn.pipe = Pipe::Door;
            return self.conns.forget_blocked(token);
        }
        // Only a connection that the shard has closed is reported closed, so its sessions have ended; should the
        // driver ever differ, they end here.
        for session in self.conns.unseat_all(token) {
            self.machine.handle(self.now, Input::Closed { session, reason: CloseReason::Lost });
        }
        self.release(token);
        self.settle();
    }
}
