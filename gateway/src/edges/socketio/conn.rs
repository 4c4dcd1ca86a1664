//! One connection of a shard that speaks Engine.IO: it has a socket, or requests that come through the front door, or both
//! while it moves from the one to the other.

use std::ops::ControlFlow;

use engine::io::Close;
use engine::protocol::{Dialect, Effects};
use schema::command::Edge;
use schema::event::Class as EventClass;
use schema::{CloseReason, Refusal, SessionAddr};

use super::SEPARATOR;
use super::api::{Api, Parting};
use super::client::{Client, Scene};
use super::endpoint::{Endpoint, EndpointId, Speaker};
use super::hearing::{Hearing, close_reason};
use super::link::{Link, Requests};
use super::outlet::{ShardOutlet, Shut};
use super::sid::{self, Place};
use super::speaker::Speech;
use super::visit::{Opening, Origin, Parcel, Reply, Visit, Waiting};
use crate::edges::Shared;
use crate::edges::pace::Pace;
use crate::engineio::answer::Refusal as Refused;
use crate::engineio::handshake::{Asked, Asking, Known, Transport};
use crate::engineio::session::{self, Class, Frame, Turn};
use crate::engineio::{Answer, Ticket};
use crate::socketio::Talk;
use crate::websocket::{Event, WebSocket, encode};

/// After which time, ms, it is looked at again what has become of an answer for which others wait.
const LOOK_AGAIN: u64 = 20;

/// One connection.
#[derive(Debug)]
pub struct SocketIoConn {
    own: Box<Own>,
    side: Box<Side>,
}

/// The client's sessions, and what it is reached by.
#[derive(Debug)]
struct Own {
    client: Client,
    link: Link,
}

/// What an input meets beside the client's sessions.
#[derive(Debug)]
struct Side {
    speech: Speech,
    origin: Origin,
    pace: Pace,
    /// See [`sid::trace`].
    trace: u32,
}

impl Side {
    /// Sets the stage for one input.
    fn stage<T>(
        &mut self,
        link: &mut Link,
        shared: &Shared,
        endpoint: &Endpoint,
        fx: &mut Effects<'_>,
        act: impl FnOnce(Turn<'_>, &mut Hearing<'_>) -> T,
    ) -> (T, Shut) {
        let mut shut = Shut::No;
        let (out, wishes) = fx.halves();
        let now = wishes.now().mono;
        let mut outlet = ShardOutlet { out, link, shut: &mut shut };
        let mut hearing = Hearing {
            speech: &mut self.speech,
            pace: &mut self.pace,
            origin: &mut self.origin,
            endpoint,
            errands: &shared.errands,
            wishes,
        };
        let acted = act(Turn { settings: &endpoint.engine, now, outlet: &mut outlet }, &mut hearing);
        (acted, shut)
    }
}

fn endpoint(shared: &Shared, id: EndpointId) -> &Endpoint {
    let endpoints = &shared.settings.endpoints;
    // The front door has its ids from the same list, so the first is never taken for another.
    endpoints.get(usize::from(id.0)).unwrap_or(&endpoints[0])
}

impl SocketIoConn {
    /// A new session. `None`: what came was for a session that is there.
    pub fn arrive(visit: Visit, shared: &Shared, fx: &mut Effects<'_>) -> Option<Self> {
        match visit {
            Visit::Polls(opening, waiting) => Some(Self::begin(*opening, Some(waiting), shared, fx)),
            Visit::Socket(opening, mut read_ahead) => {
                let mut conn = Self::begin(*opening, None, shared, fx);
                if !read_ahead.is_empty() {
                    conn.received(shared, &mut read_ahead, fx);
                }
                Some(conn)
            }
            _ => None,
        }
    }

    fn begin(opening: Opening, poll: Option<Waiting>, shared: &Shared, fx: &mut Effects<'_>) -> Self {
        let Opening { version, base64, shard, secret, origin } = opening;
        let endpoint = endpoint(shared, origin.endpoint);
        let sid = sid::write(Place { shard, conn: fx.conn() }, &secret);
        let interval = endpoint.engine.ping_interval;
        // The first pings of sessions that came together are spread over a quarter of the interval.
        let spread = u64::from(fx.conn().slot.wrapping_mul(0x9e37_79b9)) * u64::from(interval / 4);
        let first_ping = interval - (spread >> 32) as u32;
        let first = session::Opening { version, sid: &sid, base64, first_ping };
        let raw = endpoint.speaker == Speaker::EngineEcho;
        let (mut link, ticket) = match poll {
            None => (Link::Socket(WebSocket::new()), None),
            Some(poll) => {
                let mut link = Link::Nothing;
                let ticket = link.wait(poll);
                (link, Some(ticket))
            }
        };
        let mut side = Box::new(Side {
            speech: Speech::new(endpoint),
            origin,
            pace: Pace::new(fx.now().mono),
            trace: sid::trace(&sid),
        });
        let (client, shut) = side.stage(&mut link, shared, endpoint, fx, |turn, hearing| {
            let mut scene = Scene { endpoint, turn, app: hearing };
            match ticket {
                Some(ticket) => Client::polling(&mut scene, &first, ticket, raw),
                None => Client::websocket(&mut scene, &first, raw),
            }
        });
        let mut conn = Self { own: Box::new(Own { client, link }), side };
        conn.after(endpoint, shut, fx);
        conn
    }

    /// Handles one input of the session; false: its socket is no more to be read.
    fn with(
        &mut self,
        shared: &Shared,
        fx: &mut Effects<'_>,
        input: impl FnOnce(&mut Client, &mut Scene<'_, '_>),
    ) -> bool {
        let endpoint = endpoint(shared, self.side.origin.endpoint);
        let Own { client, link } = &mut *self.own;
        let ((), shut) = self.side.stage(link, shared, endpoint, fx, |turn, hearing| {
            input(client, &mut Scene { endpoint, turn, app: hearing });
        });
        self.after(endpoint, shut, fx)
    }

    /// The same for what is no input of the session, but the API's own.
    fn talk<T>(
        &mut self,
        shared: &Shared,
        fx: &mut Effects<'_>,
        say: impl FnOnce(&mut Hearing<'_>, &mut Talk<'_, '_>) -> T,
    ) -> Option<T> {
        let endpoint = endpoint(shared, self.side.origin.endpoint);
        let Own { client, link } = &mut *self.own;
        let Client::SocketIo(connection) = client else { return None };
        let (said, shut) = self.side.stage(link, shared, endpoint, fx, |mut turn, hearing| {
            let said = say(hearing, &mut connection.talk(&endpoint.io, &mut turn));
            // A poll is answered once, at the end of the turn; a socket has been told.
            if connection.engine().sid().is_none() {
                connection.flush(&endpoint.io, &mut turn, hearing);
            }
            said
        });
        if self.polls() {
            fx.turn_end();
        }
        self.after(endpoint, shut, fx);
        Some(said)
    }

    /// Carries out what an input has left to do; false: the socket is no more to be read.
    fn after(&mut self, endpoint: &Endpoint, shut: Shut, fx: &mut Effects<'_>) -> bool {
        match shut {
            Shut::No => {}
            Shut::Socket => {
                self.own.link.take_socket();
                fx.close_socket(Close::Graceful);
            }
            Shut::Session => drop(self.own.link.take_socket()),
        }
        self.own.link.tidy();
        if let Some(reason) = self.own.client.engine().ended() {
            fx.close(Close::Graceful, close_reason(reason));
            return false;
        }
        let mut at = self.own.client.deadline();
        if let Some(assembly) = self.own.link.socket().and_then(|socket| socket.deadline(&endpoint.websocket))
        {
            at = at.min(assembly);
        }
        let requests = self.own.link.requests();
        let moving = self.polls() && self.own.client.engine().transport() == Some(Transport::WebSocket);
        if requests.is_some_and(|requests| moving || requests.is_undecided()) {
            at = at.min(fx.now().mono + LOOK_AGAIN);
        }
        fx.deadline(at);
        shut == Shut::No
    }

    /// Whether the session keeps what it says until a poll comes.
    #[must_use]
    pub fn polls(&self) -> bool {
        self.own.client.engine().sid().is_some()
    }

    /// How it is told events.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.side.speech.dialect(self.polls())
    }

    /// The word for metrics.
    #[must_use]
    pub fn edge(&self) -> Edge {
        self.side.speech.edge()
    }

    // -- the socket -------------------------------------------------------------------------------------------

    /// Bytes came.
    pub fn received(&mut self, shared: &Shared, bytes: &mut [u8], fx: &mut Effects<'_>) {
        let Some(mut socket) = self.own.link.take_socket() else { return };
        let (limits, now) = (endpoint(shared, self.side.origin.endpoint).websocket, fx.now().mono);
        let mut open = true;
        socket.receive(&limits, now, bytes, |event| {
            open = self.hear(shared, event, fx);
            if open { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        self.put_back(socket, open, &limits, fx);
    }

    fn put_back(
        &mut self,
        socket: WebSocket,
        open: bool,
        limits: &crate::websocket::Limits,
        fx: &mut Effects<'_>,
    ) {
        if !open || socket.is_over() {
            return;
        }
        if let Some(at) = socket.deadline(limits) {
            fx.deadline(at.min(self.own.client.deadline()));
        }
        self.own.link.connect(socket);
    }

    /// One event of the socket; false: it is no more to be read.
    fn hear(&mut self, shared: &Shared, event: Event<'_>, fx: &mut Effects<'_>) -> bool {
        let (code, reason) = match event {
            Event::Text(text) => return self.frame(shared, Frame::Text(text), fx),
            Event::Binary(bytes) => return self.frame(shared, Frame::Binary(bytes), fx),
            Event::Ping(payload) => {
                encode::pong(fx.out(), payload);
                return true;
            }
            Event::Pong(_) => return true,
            Event::Close { code, .. } => (code, ""),
            Event::Fail { code, reason } => (code, reason),
        };
        encode::close(fx.out(), code, reason);
        self.socket_over(shared, fx);
        false
    }

    fn frame(&mut self, shared: &Shared, frame: Frame<'_>, fx: &mut Effects<'_>) -> bool {
        self.settle(shared, fx);
        self.with(shared, fx, |client, scene| client.frame(scene, frame))
    }

    /// The socket has ended by itself; the session may live on.
    fn socket_over(&mut self, shared: &Shared, fx: &mut Effects<'_>) {
        self.own.link.take_socket();
        // What the session says to a socket that is gone is said to nobody.
        let said = fx.out().len();
        self.with(shared, fx, |client, scene| client.socket_closed(scene));
        fx.out().truncate(said);
        if self.own.client.engine().ended().is_none() {
            fx.close_socket(Close::Graceful);
        }
    }

    /// The peer has sent its last byte.
    pub fn half_closed(&mut self, shared: &Shared, fx: &mut Effects<'_>) {
        self.socket_over(shared, fx);
    }

    /// The socket is gone; whether the session lives on.
    pub fn lost(&mut self, shared: &Shared, fx: &mut Effects<'_>) -> bool {
        self.socket_over(shared, fx);
        self.own.client.engine().ended().is_none()
    }

    // -- the front door ---------------------------------------------------------------------------------------

    /// The front door brings something.
    pub fn called(&mut self, shared: &Shared, visit: Visit, fx: &mut Effects<'_>) {
        match visit {
            Visit::Request { sid, asking, waiting } => self.request(shared, &sid, asking, waiting, fx),
            Visit::Body { ticket, octets, body } => {
                self.with(shared, fx, |client, scene| client.upload(scene, ticket, octets, &body));
            }
            Visit::TooLong { ticket } => {
                self.with(shared, fx, |client, scene| client.upload_too_large(scene, ticket));
            }
            Visit::Gone { ticket } => self.gone(shared, ticket, fx),
            Visit::Verdict { namespace, verdict } => {
                self.talk(shared, fx, |hearing, talk| hearing.judged(talk, namespace, verdict));
            }
            // A session that is there does not begin.
            Visit::Polls(..) | Visit::Socket(..) | Visit::Upgrade { .. } => {}
        }
    }

    /// A request with a session's id. Dropping it says that there is no such session.
    fn request(
        &mut self,
        shared: &Shared,
        sid: &str,
        asking: Asking,
        waiting: Waiting,
        fx: &mut Effects<'_>,
    ) {
        let engine = self.own.client.engine();
        let known = match engine.sid() {
            Some(own) => sid::same(own, sid),
            None => sid::trace(sid) == self.side.trace,
        };
        let (true, Some(transport)) = (known, engine.transport()) else { return };
        match asking.of_session(Known { version: engine.version(), transport }) {
            Err(refused) => refuse(waiting, refused),
            // One that is not wanted is closed when it is there, as the reference does.
            Ok(Asked::Upgrade) => drop(waiting.reply.send(Reply::Welcome)),
            Ok(Asked::Poll) => {
                self.settle(shared, fx);
                let ticket = self.own.link.wait(waiting);
                self.with(shared, fx, |client, scene| client.poll(scene, ticket));
            }
            Ok(Asked::Upload) => {
                let ticket = self.own.link.wait(waiting);
                self.with(shared, fx, |client, scene| client.upload_begins(scene, ticket));
            }
            Ok(Asked::Handshake { .. }) => refuse(waiting, Refused::BadRequest),
        }
    }

    fn gone(&mut self, shared: &Shared, ticket: Ticket, fx: &mut Effects<'_>) {
        self.settle(shared, fx);
        let waited = self.own.link.requests_mut().is_some_and(|requests| requests.take(ticket).is_some());
        if waited {
            self.with(shared, fx, |client, scene| client.gone(scene, ticket));
        }
    }

    /// A socket that was welcomed: whether it is still wanted.
    pub fn offered(&mut self, shared: &Shared, visit: Visit, fx: &mut Effects<'_>) -> bool {
        let Visit::Upgrade { sid, mut read_ahead } = visit else { return false };
        if !self.own.client.engine().sid().is_some_and(|own| sid::same(own, &sid)) {
            return false;
        }
        let said = fx.out().len();
        let mut taken = false;
        self.with(shared, fx, |client, scene| taken = client.socket_arrived(&scene.turn));
        if taken {
            self.own.link.connect(WebSocket::new());
            if !read_ahead.is_empty() {
                self.received(shared, &mut read_ahead, fx);
            }
        }
        // What came with the handshake may have cost the client the socket already: then it is closed without a word.
        let wanted = self.own.link.socket().is_some();
        if !wanted {
            fx.out().truncate(said);
        }
        wanted
    }

    /// Tells the session what has become of its last answer, if that is known by now.
    fn settle(&mut self, shared: &Shared, fx: &mut Effects<'_>) {
        while let Some((ticket, taken)) = self.own.link.requests_mut().and_then(Requests::decided) {
            self.with(shared, fx, |client, scene| client.answered(scene, ticket, taken));
        }
    }

    // -- the shard --------------------------------------------------------------------------------------------

    /// The time has come for a ping, the end of something that took too long, or a second look.
    pub fn deadline(&mut self, shared: &Shared, fx: &mut Effects<'_>) {
        self.settle(shared, fx);
        if let Some(mut socket) = self.own.link.take_socket() {
            let (limits, now) = (endpoint(shared, self.side.origin.endpoint).websocket, fx.now().mono);
            let mut open = true;
            socket.on_deadline(&limits, now, |event| {
                open = self.hear(shared, event, fx);
                if open { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            self.put_back(socket, open, &limits, fx);
        }
        self.with(shared, fx, |client, scene| client.on_deadline(scene));
    }

    /// The machine's answer to a client that wants to join.
    pub fn opened(
        &mut self,
        shared: &Shared,
        mark: u32,
        session: Result<SessionAddr, Refusal>,
        fx: &mut Effects<'_>,
    ) {
        let namespaces = &endpoint(shared, self.side.origin.endpoint).io.namespaces;
        let Some(namespace) = u8::try_from(mark).ok().and_then(|mark| namespaces.at(mark)) else { return };
        self.talk(shared, fx, |hearing, talk| hearing.opened(talk, namespace, session));
    }

    /// The machine has ended the session.
    pub fn closing(&mut self, shared: &Shared, reason: CloseReason, fx: &mut Effects<'_>) {
        self.talk(shared, fx, |hearing, talk| {
            let seat = hearing.speech.seat();
            match hearing.tell(talk, |speech, call| speech.closing(call, reason)) {
                Parting::Disconnect => drop(talk.disconnect(seat)),
                Parting::Close => talk.close(),
            }
        });
        if reason == CloseReason::Draining && self.own.client.engine().ended().is_none() {
            // Who has no poll waiting now will not be told any more; its next request finds another server.
            self.turn_ends(shared, fx);
            fx.close(Close::Graceful, reason);
        }
    }

    /// The session is told an event; true: it has been dealt with.
    pub fn told(&mut self, shared: &Shared, event: &schema::Event, fx: &mut Effects<'_>) -> bool {
        // Most events are told in everybody's words, and cost nothing here.
        if !matches!(event, schema::Event::Reply { .. }) && !self.side.speech.notices(event) {
            return false;
        }
        let dealt_with = self.talk(shared, fx, |hearing, talk| {
            hearing.tell(talk, |speech, call| match event {
                schema::Event::Reply { tag, result } => {
                    speech.reply(call, *tag, result);
                    true
                }
                event => speech.notice(call, event),
            })
        });
        dealt_with.unwrap_or(true)
    }

    /// Packets that everybody of the dialect is told; they wait for a poll.
    pub fn keep(&mut self, shared: &Shared, class: EventClass, words: &[u8], fx: &mut Effects<'_>) {
        let class = match class {
            EventClass::Required => Class::Durable,
            EventClass::Volatile => Class::Volatile,
        };
        self.with(shared, fx, |client, scene| {
            for packet in words.split(|&byte| byte == SEPARATOR) {
                // What we have encoded ourselves is text.
                if let Ok(packet) = std::str::from_utf8(packet)
                    && !packet.is_empty()
                {
                    client.relay(&mut scene.turn, packet, class);
                }
            }
        });
        fx.turn_end();
    }

    /// All has been said that this turn has to say: a poll that waits gets it all at once.
    pub fn turn_ends(&mut self, shared: &Shared, fx: &mut Effects<'_>) {
        self.settle(shared, fx);
        self.with(shared, fx, |client, scene| client.flush(scene));
    }
}

fn refuse(waiting: Waiting, refused: Refused) {
    let (parcel, _) = Parcel::new(Answer::Refused(refused));
    // Whoever asked may have left.
    let _ = waiting.reply.send(Reply::Answer(parcel));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resting_connection_is_small() {
        assert_eq!((size_of::<SocketIoConn>(), size_of::<Own>(), size_of::<Side>()), (16, 64, 96));
    }
}
