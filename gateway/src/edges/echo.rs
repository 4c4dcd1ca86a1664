//! A WebSocket that gets each message back, of the same kind. No session, no authentication: for conformance suites
//! and for measuring the framing by itself.

use std::ops::ControlFlow;

use engine::io::Close;
use engine::protocol::Effects;
use schema::CloseReason;

use super::Shared;
use crate::conn::EchoArrival;
use crate::websocket::{Event, Limits, WebSocket, encode};

/// One connection.
#[derive(Debug)]
pub struct EchoConn {
    socket: WebSocket,
}

impl EchoConn {
    /// Echoes from the first byte on.
    pub fn arrive(mut arrival: EchoArrival, shared: &mut Shared, fx: &mut Effects<'_>) -> Self {
        let mut conn = Self { socket: WebSocket::new() };
        if !arrival.read_ahead.is_empty() {
            conn.received(shared, &mut arrival.read_ahead, fx);
        }
        conn
    }

    /// Bytes came.
    pub fn received(&mut self, shared: &mut Shared, bytes: &mut [u8], fx: &mut Effects<'_>) {
        let limits = &shared.settings.websocket;
        self.socket.receive(limits, fx.now().mono, bytes, |event| echo(event, fx));
        watch_assembly(&self.socket, limits, fx);
    }

    /// A message has begun and has not become whole in time.
    pub fn deadline(&mut self, shared: &mut Shared, fx: &mut Effects<'_>) {
        let limits = &shared.settings.websocket;
        self.socket.on_deadline(limits, fx.now().mono, |event| echo(event, fx));
        watch_assembly(&self.socket, limits, fx);
    }
}

fn echo(event: Event<'_>, fx: &mut Effects<'_>) -> ControlFlow<()> {
    match event {
        Event::Text(text) => encode::text(fx.out(), text),
        Event::Binary(bytes) => encode::binary(fx.out(), bytes),
        other => return control(other, fx),
    }
    ControlFlow::Continue(())
}

/// The server's part of control frames and endings, the same for every WebSocket edge (RFC 6455, 5.5 and 7.1).
pub(super) fn control(event: Event<'_>, fx: &mut Effects<'_>) -> ControlFlow<()> {
    match event {
        Event::Ping(payload) => encode::pong(fx.out(), payload),
        Event::Pong(_) | Event::Text(_) | Event::Binary(_) => {}
        Event::Close { code, .. } => {
            encode::close(fx.out(), code, "");
            fx.close(Close::Graceful, CloseReason::ClientClosed);
        }
        Event::Fail { code, reason } => {
            encode::close(fx.out(), code, reason);
            fx.close(Close::Graceful, CloseReason::ProtocolError);
        }
    }
    ControlFlow::Continue(())
}

/// Sets the deadline of a message under way.
fn watch_assembly(socket: &WebSocket, limits: &Limits, fx: &mut Effects<'_>) {
    if let Some(at) = socket.deadline(limits) {
        fx.deadline(at);
    }
}
