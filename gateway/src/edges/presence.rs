//! The presence WebSocket: `{"type":"heartbeat"}` and its kin, in JSON text frames.
//!
//! What the API's clients know: `connected`, `heartbeat` and its ack, `ping` and `pong`. What Muster adds for those
//! who ask: `subscribe` and `unsubscribe` (answered, and followed by `presence` frames), `logout`, and `message` and
//! `published` frames for payloads that services send. Errors are `{"type":"error","data":{"code","message"}}`.

use std::ops::ControlFlow;

use engine::io::Close;
use engine::machine::input::Open;
use engine::protocol::Effects;
use schema::command::Edge;
use schema::{CloseReason, Command, Id, Refusal, SessionAddr, SessionRef};
use serde::Deserialize;

use super::Shared;
use super::echo::control;
use super::pace::Pace;
use super::presence_words as words;
use crate::conn::{Admission, PresenceArrival};
use crate::websocket::{CloseCode, Event, WebSocket, encode};

/// One connection.
#[derive(Debug)]
pub enum PresenceConn {
    /// The machine has been asked for a session.
    Opening(Box<Opening>),
    /// The socket says whether it is over.
    Live(Live),
}

/// See [`PresenceConn::Live`]. Times are the low halves of monotonic milliseconds.
#[derive(Debug)]
pub struct Live {
    socket: WebSocket,
    /// When the last byte came.
    heard: u32,
    pace: Pace,
    /// Frames that were refused, less those that were good; at [`STRIKES`] the connection is closed.
    strikes: u8,
}

/// See [`PresenceConn::Opening`].
#[derive(Debug)]
pub struct Opening {
    user: Id,
    read_ahead: Vec<u8>,
}

/// Bad or hasty frames after which a connection is closed (1008).
const STRIKES: u8 = 50;

/// The mark of the one session.
const MARK: u32 = 0;

/// What a client may say. `type` alone is required.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(default)]
    activity: bool,
    #[serde(default, rename = "userIds")]
    user_ids: Vec<std::borrow::Cow<'a, str>>,
}

impl PresenceConn {
    /// Asks for a session, or tells why there is none.
    pub fn arrive(arrival: PresenceArrival, shared: &Shared, fx: &mut Effects<'_>) -> Self {
        let PresenceArrival { admission, peer, device, read_ahead } = arrival;
        match admission {
            Admission::Admitted { actor, expires_at } => {
                let user = actor.key.id.clone();
                fx.open(Open {
                    conn: fx.conn(),
                    actor,
                    edge: Edge::Presence,
                    peer,
                    device,
                    expires_at,
                    silence: shared.settings.silence,
                    mark: MARK,
                });
                Self::Opening(Box::new(Opening { user, read_ahead }))
            }
            Admission::Refused { code, message } => {
                words::error(fx.out(), code, &message);
                encode::close(fx.out(), CloseCode::UNAUTHORIZED, &message);
                fx.close(Close::Graceful, CloseReason::Unauthenticated);
                Self::Live(Live::over())
            }
        }
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
        let Self::Opening(opening) = std::mem::replace(self, Self::Live(Live::over())) else { return };
        match session {
            Ok(_) => {
                let now = fx.now().mono;
                *self = Self::Live(Live {
                    socket: WebSocket::new(),
                    heard: now as u32,
                    pace: Pace::new(now),
                    strikes: 0,
                });
                words::connected(fx.out(), &opening.user);
                // The first pings of sessions that came together are spread over a quarter of the interval.
                let ping = shared.settings.ping;
                let jitter = (u64::from(fx.conn().slot.wrapping_mul(0x9e37_79b9)) * (ping / 4)) >> 32;
                fx.deadline(fx.now().mono + ping - jitter);
                let mut read_ahead = opening.read_ahead;
                if !read_ahead.is_empty() {
                    self.received(shared, &mut read_ahead, fx);
                }
            }
            Err(refusal) => {
                words::error(fx.out(), refusal.code(), &refusal.to_string());
                let code =
                    if refusal == Refusal::Draining { CloseCode::RESTART } else { CloseCode::TRY_AGAIN };
                encode::close(fx.out(), code, &refusal.to_string());
                fx.close(Close::Graceful, CloseReason::Draining);
            }
        }
    }

    /// Bytes came.
    pub fn received(&mut self, shared: &mut Shared, bytes: &mut [u8], fx: &mut Effects<'_>) {
        match self {
            Self::Live(live) => live.received(shared, bytes, fx),
            Self::Opening(opening) => opening.read_ahead.extend_from_slice(bytes),
        }
    }

    /// A message has taken too long, or nothing has been heard for the ping interval.
    pub fn deadline(&mut self, shared: &mut Shared, fx: &mut Effects<'_>) {
        match self {
            Self::Live(live) if !live.socket.is_over() => live.deadline(shared, fx),
            Self::Live(_) | Self::Opening(_) => {}
        }
    }

    /// The machine has ended the session.
    pub fn closing(&mut self, reason: CloseReason, fx: &mut Effects<'_>) {
        if !matches!(self, Self::Live(live) if live.socket.is_over()) {
            *self = Self::Live(Live::over());
            encode::close(fx.out(), close_code(reason), reason.as_str());
        }
        fx.close(Close::Graceful, reason);
    }
}

impl Live {
    /// One that says nothing and hears nothing any more.
    fn over() -> Self {
        let mut socket = WebSocket::new();
        socket.stop();
        Self { socket, heard: 0, pace: Pace::new(0), strikes: 0 }
    }

    fn received(&mut self, shared: &mut Shared, bytes: &mut [u8], fx: &mut Effects<'_>) {
        let Self { socket, heard, pace, strikes } = self;
        let now = fx.now().mono;
        *heard = now as u32;
        // The machine says when it ends a session, and then the socket is over.
        let Some(session) = fx.session() else { return };
        let settings = &shared.settings;
        // With `Break` the socket is over.
        socket.receive(&settings.websocket, now, bytes, |event| {
            let over = match event {
                Event::Text(_) | Event::Binary(_) if !pace.takes(settings.frames, now) => {
                    words::error(fx.out(), "RATE_LIMITED", "too many frames; slow down");
                    strike(strikes, fx)
                }
                Event::Text(text) => match message(session, text, settings.user_id, fx) {
                    Said::Good => {
                        *strikes = strikes.saturating_sub(1);
                        false
                    }
                    Said::Bad => strike(strikes, fx),
                    Said::Goodbye => true,
                },
                Event::Binary(_) => {
                    words::error(fx.out(), "BAD_FRAME", "send JSON in text frames, not binary ones");
                    strike(strikes, fx)
                }
                Event::Close { .. } | Event::Fail { .. } => {
                    let _ = control(event, fx);
                    true
                }
                Event::Ping(_) | Event::Pong(_) => return control(event, fx),
            };
            if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if let Some(at) = self.socket.deadline(&settings.websocket) {
            fx.deadline(at.min(now + settings.ping));
        }
    }

    fn deadline(&mut self, shared: &mut Shared, fx: &mut Effects<'_>) {
        let (now, settings) = (fx.now().mono, &shared.settings);
        self.socket.on_deadline(&settings.websocket, now, |event| control(event, fx));
        if self.socket.is_over() {
            return;
        }
        let quiet = u64::from((now as u32).wrapping_sub(self.heard));
        let next = if quiet >= settings.ping {
            encode::ping(fx.out(), b"");
            now + settings.ping
        } else {
            now + settings.ping - quiet
        };
        fx.deadline(self.socket.deadline(&settings.websocket).map_or(next, |at| at.min(next)));
    }
}

/// Appends an event in the words of this edge.
pub fn encode(event: &schema::Event, out: &mut Vec<u8>) {
    words::event(event, out);
}

/// Why the server closes, in the codes of WebSocket. 4000 and up are private; those here follow HTTP's statuses.
fn close_code(reason: CloseReason) -> CloseCode {
    match reason {
        CloseReason::ClientClosed | CloseReason::LoggedOut | CloseReason::Lost => CloseCode::NORMAL,
        CloseReason::Silent => CloseCode(4408),
        CloseReason::TokenExpired | CloseReason::Unauthenticated => CloseCode::UNAUTHORIZED,
        CloseReason::Kicked => CloseCode(4403),
        CloseReason::TooManyDevices => CloseCode(4409),
        CloseReason::Draining => CloseCode::RESTART,
        CloseReason::SlowConsumer => CloseCode::TRY_AGAIN,
        CloseReason::ProtocolError => CloseCode::PROTOCOL_ERROR,
        CloseReason::TooManyCommands => CloseCode::POLICY,
        CloseReason::TooLarge => CloseCode::TOO_BIG,
    }
}

/// Counts a refused frame; true when it was the last one.
fn strike(strikes: &mut u8, fx: &mut Effects<'_>) -> bool {
    *strikes += 1;
    if *strikes < STRIKES {
        return false;
    }
    encode::close(fx.out(), CloseCode::POLICY, "too many bad frames");
    fx.close(Close::Graceful, CloseReason::TooManyCommands);
    true
}

enum Said {
    Good,
    Bad,
    Goodbye,
}

fn message(session: SessionRef, text: &str, longest_id: usize, fx: &mut Effects<'_>) -> Said {
    let frame: Frame<'_> = match serde_json::from_str(text) {
        Ok(frame) => frame,
        Err(_) => {
            let hint = "expected a JSON object with a text \"type\", such as {\"type\":\"heartbeat\"}";
            words::error(fx.out(), "BAD_FRAME", hint);
            return Said::Bad;
        }
    };
    match frame.kind {
        "heartbeat" => {
            if frame.activity {
                fx.command(session, 0, Command::Activity);
            }
            let wall = fx.now().wall;
            words::heartbeat_ack(fx.out(), wall);
        }
        "ping" => words::pong(fx.out()),
        "subscribe" | "unsubscribe" => {
            if frame.user_ids.iter().any(|id| id.chars().count() > longest_id) {
                let text = format!("a user id has at most {longest_id} characters");
                words::error(fx.out(), "INVALID", &text);
                return Said::Bad;
            }
            let users: Result<Vec<Id>, _> = frame.user_ids.iter().map(|id| Id::new(id)).collect();
            let users = match users {
                Ok(users) if !users.is_empty() => users,
                Ok(_) => {
                    words::error(fx.out(), "INVALID", "userIds must be a list of at least one id");
                    return Said::Bad;
                }
                Err(error) => {
                    words::error(fx.out(), "INVALID", &error.to_string());
                    return Said::Bad;
                }
            };
            if frame.kind == "subscribe" {
                fx.command(session, words::SUBSCRIBED, Command::Watch { users });
            } else {
                fx.command(session, words::UNSUBSCRIBED, Command::Unwatch { users });
            }
        }
        "logout" => {
            encode::close(fx.out(), CloseCode::NORMAL, "logged out");
            fx.close(Close::Graceful, CloseReason::LoggedOut);
            return Said::Goodbye;
        }
        other => {
            let shown: String = other.chars().take(40).collect();
            words::error(fx.out(), "UNKNOWN_TYPE", &format!("unknown type {shown:?}"));
            return Said::Bad;
        }
    }
    Said::Good
}
