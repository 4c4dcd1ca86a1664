//! The binary protocol on an established connection (`docs/PROTOCOL.md`). The front door has read the connect frame
//! and verified its token; from here on the connection is one session.

use std::ops::ControlFlow;

use engine::io::Close;
use engine::machine::input::Open;
use engine::protocol::Effects;
use schema::command::Edge;
use schema::frame::{
    self, ClientFrame, Closing, FrameError, Liveness, ServerFrame, Splitter, VERSIONS, Welcome, decode_client,
};
use schema::{Actor, CloseReason, Command, Refusal, SessionAddr, SessionRef};

use super::Shared;
use crate::conn::BinaryArrival;

/// One connection. Large states are boxed: [`crate::conn::Conn`] keeps them beside those of other edges.
#[derive(Debug)]
pub enum BinaryConn {
    /// The machine has been asked for a session; what its welcome will say, and what came meanwhile.
    Opening(Box<Opening>),
    /// Between two frames.
    Resting,
    /// Amid a frame.
    Partial(Box<Splitter>),
    /// The last frame has been said.
    Over,
}

/// See [`BinaryConn::Opening`].
#[derive(Debug)]
pub struct Opening {
    actor: Actor,
    silence: u32,
    read_ahead: Vec<u8>,
}

/// Where a session of a connection begins: binary connections have one, so the mark says nothing.
const MARK: u32 = 0;

impl BinaryConn {
    /// Asks for the session that the connect frame wanted.
    pub fn arrive(arrival: BinaryArrival, fx: &mut Effects<'_>) -> Self {
        let BinaryArrival { actor, expires_at, peer, device, silence, read_ahead } = arrival;
        fx.open(Open {
            conn: fx.conn(),
            actor: actor.clone(),
            edge: Edge::Binary,
            peer,
            device,
            expires_at,
            silence,
            mark: MARK,
        });
        Self::Opening(Box::new(Opening { actor, silence, read_ahead }))
    }

    /// The session is there, or was refused.
    pub fn opened(
        &mut self,
        shared: &mut Shared,
        session: Result<SessionAddr, Refusal>,
        fx: &mut Effects<'_>,
    ) {
        if !matches!(self, Self::Opening(_)) {
            return;
        }
        let Self::Opening(opening) = std::mem::replace(self, Self::Over) else { return };
        let session = match session {
            Ok(session) => session,
            Err(refusal) => return self.refuse(shared, refusal, fx),
        };
        *self = Self::Resting;
        let welcome = Welcome {
            version: *VERSIONS.end(),
            session,
            user: opening.actor.key.id,
            realm: opening.actor.key.realm,
            service: opening.actor.service,
            liveness: if opening.silence == 0 { Liveness::TcpKeepAlive } else { Liveness::Heartbeat },
            heartbeat_ms: if opening.silence == 0 { 0 } else { shared.settings.heartbeat },
            silence_ms: opening.silence,
            max_frame: shared.settings.frame_bytes as u32,
            server_ms: fx.now().wall,
        };
        shared.encoder.server(&ServerFrame::Welcome(welcome), fx.out());
        if !opening.read_ahead.is_empty() {
            self.received(shared, &opening.read_ahead, fx);
        }
    }

    fn refuse(&mut self, shared: &mut Shared, refusal: Refusal, fx: &mut Effects<'_>) {
        let reason = CloseReason::Draining;
        let mut closing = Closing::new(reason).with_text(refusal.to_string());
        if let Some(ms) = refusal.retry_after_ms() {
            closing = closing.with_retry_after_ms(ms);
        }
        shared.encoder.server(&ServerFrame::Closing(closing), fx.out());
        fx.close(Close::Graceful, reason);
    }

    /// Bytes came.
    pub fn received(&mut self, shared: &mut Shared, bytes: &[u8], fx: &mut Effects<'_>) {
        let mut splitter = match self {
            Self::Resting => Splitter::new(),
            Self::Partial(kept) => std::mem::take(&mut **kept),
            Self::Opening(opening) => return opening.read_ahead.extend_from_slice(bytes),
            Self::Over => return,
        };
        // The machine says when it ends a session, and then the connection is over.
        let Some(session) = fx.session() else { return };
        *self = Self::Resting;
        let max = shared.settings.frame_bytes;
        let was_whole = splitter.pending() == 0;
        let fed = splitter.feed(bytes, max, |frame| self.frame(shared, session, frame, fx));
        if let Err(error) = fed {
            return self.fail(shared, &error, fx);
        }
        if matches!(self, Self::Over) {
            return;
        }
        match (splitter.pending() > 0, was_whole) {
            (true, _) => {
                // The clock of an unfinished frame starts with its first byte; one that began in these bytes begins now.
                if was_whole || fed.is_ok_and(|used| used > splitter.pending()) {
                    fx.deadline(fx.now().mono + shared.settings.assembly);
                }
                *self = Self::Partial(Box::new(splitter));
            }
            (false, false) => fx.deadline(u64::MAX),
            (false, true) => {}
        }
    }

    fn frame(
        &mut self,
        shared: &mut Shared,
        session: SessionRef,
        bytes: &[u8],
        fx: &mut Effects<'_>,
    ) -> ControlFlow<()> {
        match decode_client(bytes) {
            Ok(ClientFrame::Heartbeat { tag, answer, activity }) => {
                if activity {
                    fx.command(session, tag, Command::Activity);
                }
                if answer {
                    let ack = frame::heartbeat_ack(tag, fx.now().wall);
                    fx.out().extend_from_slice(&ack);
                }
            }
            Ok(ClientFrame::Command { tag, command }) => fx.command(session, tag, command),
            Ok(ClientFrame::Goodbye { logout }) => {
                let reason = if logout { CloseReason::LoggedOut } else { CloseReason::ClientClosed };
                *self = Self::Over;
                fx.close(Close::Graceful, reason);
                return ControlFlow::Break(());
            }
            Ok(ClientFrame::Connect(_)) => {
                let text = "this connection has its session already; open another connection for another one";
                self.say_closing(shared, Closing::new(CloseReason::ProtocolError).with_text(text), fx);
                fx.close(Close::Graceful, CloseReason::ProtocolError);
                return ControlFlow::Break(());
            }
            Err(error) => {
                if error.closes().is_some() {
                    self.fail(shared, &error, fx);
                    return ControlFlow::Break(());
                }
                shared.encoder.server(&error.answer(), fx.out());
            }
        }
        ControlFlow::Continue(())
    }

    fn fail(&mut self, shared: &mut Shared, error: &FrameError, fx: &mut Effects<'_>) {
        shared.encoder.server(&error.answer(), fx.out());
        *self = Self::Over;
        fx.close(Close::Graceful, error.closes().unwrap_or(CloseReason::ProtocolError));
    }

    fn say_closing(&mut self, shared: &mut Shared, closing: Closing, fx: &mut Effects<'_>) {
        *self = Self::Over;
        shared.encoder.server(&ServerFrame::Closing(closing), fx.out());
    }

    /// The machine has ended the session.
    pub fn closing(&mut self, shared: &mut Shared, reason: CloseReason, fx: &mut Effects<'_>) {
        if !matches!(self, Self::Over) {
            self.say_closing(shared, Closing::new(reason), fx);
        }
        fx.close(Close::Graceful, reason);
    }

    /// A frame has begun and has not become whole in time.
    pub fn deadline(&mut self, shared: &mut Shared, fx: &mut Effects<'_>) {
        if matches!(self, Self::Partial(_)) {
            let closing =
                Closing::new(CloseReason::ProtocolError).with_text("a frame took too long to arrive");
            self.say_closing(shared, closing, fx);
            fx.close(Close::Graceful, CloseReason::ProtocolError);
        }
    }
}
