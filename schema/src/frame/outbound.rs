//! Server to client: what a server writes, and how a client reads it.

use std::borrow::Cow;

use flatbuffers::{UnionWIPOffset, Vector, WIPOffset};

use super::values::{self, Bad};
use super::{
    Closing, Encoder, FrameError, Refused, SERVER_FRAME_MAX, ServerFrame, Welcome, beat, chat_outbound,
    decode, inbound,
};
use crate::event::{Event, Reply, TapEvent};
use crate::generated::wire::{self, Body, Frame};
use crate::id::{Id, Key, Realm};
use crate::presence::{OnlineUser, UserPresence};
use crate::refusal::Refusal;

/// Reads a server's frame (without its length).
///
/// # Errors
/// What is wrong with it. A client passes over [`FrameError::Unknown`] and [`FrameError::Invalid`] (a newer server
/// says something that it cannot understand; their tag tells whether a request of its own hangs on it) and closes on
/// all others.
pub fn decode_server(bytes: &[u8]) -> Result<ServerFrame, FrameError> {
    decode::verified(bytes, |frame| {
        let tag = frame.tag();
        match read_body(&frame, tag) {
            Some(Ok(read)) => Ok(read),
            Some(Err(bad)) => Err(bad.of_frame(tag)),
            None => Err(FrameError::Unknown { tag, body: frame.body_type().0 }),
        }
    })
}

/// `None`: a body that is not known, or not for a client.
fn read_body(frame: &Frame<'_>, tag: u64) -> Option<Result<ServerFrame, Bad>> {
    let reply = match frame.body_type() {
        Body::Done => Ok(Reply::Done),
        Body::PresenceIs => read_presence(frame.body_as_presence_is()?).map(Reply::Presence),
        Body::CountIs => Ok(Reply::Count(frame.body_as_count_is()?.value())),
        Body::UsersAre => read_users(frame.body_as_users_are()?).map(Reply::Users),
        Body::SessionsAre => {
            let rows = frame.body_as_sessions_are()?.sessions();
            rows.into_iter().flatten().map(values::row).collect::<Result<_, _>>().map(Reply::Sessions)
        }
        Body::Reached => Ok(Reply::Reached(frame.body_as_reached()?.sessions())),
        Body::OccupancyIs => Ok(Reply::Occupancy(frame.body_as_occupancy_is()?.value())),

        Body::Welcome => return Some(read_welcome(frame.body_as_welcome()?)),
        Body::HeartbeatAck => {
            let server_ms = frame.body_as_heartbeat_ack()?.server_ms();
            return Some(Ok(ServerFrame::HeartbeatAck { tag, server_ms }));
        }
        Body::Refused => {
            let body = frame.body_as_refused()?;
            return Some(Ok(ServerFrame::Refused(Refused {
                tag,
                code: body.code().0,
                fault: values::fault(body.fault()),
                retry_after_ms: values::retry(body.retry_after_ms()),
                text: Cow::Owned(body.text().unwrap_or_default().to_owned()),
            })));
        }
        Body::Presence => {
            return Some(read_presence(frame.body_as_presence()?).map(ServerFrame::Presence));
        }
        Body::Message => {
            let body = frame.body_as_message()?;
            let payload = inbound::payload(body.payload());
            return Some(values::id(body.from()).map(|from| ServerFrame::Message { from, payload }));
        }
        Body::Published => return Some(read_published(frame.body_as_published()?)),
        Body::Tapped => return Some(read_tap(frame.body_as_tapped()?).map(ServerFrame::Tap)),
        Body::Closing => {
            let body = frame.body_as_closing()?;
            return Some(Ok(ServerFrame::Closing(Closing {
                reason: values::close(body.reason()),
                advice: values::advice(body.advice()),
                retry_after_ms: values::retry(body.retry_after_ms()),
                text: Cow::Owned(body.text().unwrap_or_default().to_owned()),
                versions: body.versions().map(|versions| versions.first()..=versions.last()),
            })));
        }
        _ => return chat_outbound::read(frame, tag),
    };
    Some(reply.map(|reply| ServerFrame::Reply { tag, reply }))
}

fn read_welcome(body: wire::Welcome<'_>) -> Result<ServerFrame, Bad> {
    let session = body.session().ok_or(Bad::Value("a Welcome without a session"))?;
    Ok(ServerFrame::Welcome(Welcome {
        version: body.version(),
        session: values::session(session),
        user: values::id(body.user())?,
        realm: Realm(body.realm()),
        service: body.service(),
        liveness: values::liveness(body.liveness()),
        heartbeat_ms: body.heartbeat_ms(),
        silence_ms: body.silence_ms(),
        max_frame: body.max_frame(),
        server_ms: body.server_ms(),
    }))
}

fn read_published(body: wire::Published<'_>) -> Result<ServerFrame, Bad> {
    let (channel, from) = (values::id(body.channel())?, values::id(body.from())?);
    Ok(ServerFrame::Published { channel, from, payload: inbound::payload(body.payload()) })
}

fn read_tap(body: wire::Tapped<'_>) -> Result<TapEvent, Bad> {
    let closed = body.closed();
    if closed != wire::CloseCode::None && values::close(closed).is_none() {
        return Err(Bad::Value("a session closed for a reason that this code does not know"));
    }
    Ok(TapEvent {
        seq: body.seq(),
        user: Key::new(Realm(body.realm()), values::id(body.user())?),
        session: values::row(body.session().ok_or(Bad::Value("a tap without a session"))?)?,
        at: body.at(),
        closed: values::close(closed),
    })
}

pub(super) const UNEQUAL: Bad = Bad::Value("the columns of a table have different lengths");

/// A column of `rows` values.
pub(super) fn column<'a, T: flatbuffers::Follow<'a> + 'a>(
    column: Option<Vector<'a, T>>,
    rows: usize,
) -> Result<impl Iterator<Item = T::Inner>, Bad> {
    match column {
        Some(column) if column.len() != rows => Err(UNEQUAL),
        None if rows > 0 => Err(UNEQUAL),
        column => Ok(column.into_iter().flatten()),
    }
}

fn read_presence(body: wire::PresenceRows<'_>) -> Result<Vec<UserPresence>, Bad> {
    let users = values::unpack_ids(body.users().map_or(&[], |users| users.bytes()))?;
    let status = column(body.status(), users.len())?;
    let last_seen = column(body.last_seen(), users.len())?;
    let rows = users.into_iter().zip(status).zip(last_seen);
    Ok(rows
        .map(|((user, status), last_seen)| UserPresence {
            user,
            status: values::status(status),
            last_seen: values::last_seen(last_seen),
        })
        .collect())
}

fn read_users(body: wire::Users<'_>) -> Result<Vec<OnlineUser>, Bad> {
    let users = values::unpack_ids(body.users().map_or(&[], |users| users.bytes()))?;
    let status = column(body.status(), users.len())?;
    let last_seen = column(body.last_seen(), users.len())?;
    let device = column(body.device(), users.len())?;
    let rows = users.into_iter().zip(status).zip(last_seen).zip(device);
    Ok(rows
        .map(|(((user, status), last_seen), device)| OnlineUser {
            user,
            status: values::status(status),
            last_seen,
            device: values::device(device),
        })
        .collect())
}

impl Encoder {
    /// Appends a server's frame.
    pub fn server(&mut self, frame: &ServerFrame, out: &mut Vec<u8>) {
        match frame {
            ServerFrame::Welcome(welcome) => self.welcome(welcome, out),
            ServerFrame::HeartbeatAck { tag, server_ms } => {
                out.extend_from_slice(&beat::heartbeat_ack(*tag, *server_ms));
            }
            ServerFrame::Reply { tag, reply } => self.reply(*tag, reply, out),
            ServerFrame::Refused(refused) => self.refused(refused, out),
            ServerFrame::Presence(users) => {
                let body = self.presence(users);
                self.finish(0, Body::Presence, body, out);
            }
            ServerFrame::Message { from, payload } => self.message(from, payload, out),
            ServerFrame::Published { channel, from, payload } => self.published(channel, from, payload, out),
            ServerFrame::Tap(tap) => self.tap(tap, out),
            ServerFrame::Chat(event) => self.chat_event(event, out),
            ServerFrame::Closing(closing) => self.closing(closing, out),
        }
    }

    /// Appends what an event says. The same bytes go to every session that is told the same event.
    pub fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Reply { tag, result: Ok(reply) } => self.reply(*tag, reply, out),
            Event::Reply { tag, result: Err(refusal) } => {
                self.refused(&Refused::new(*tag, *refusal, refusal.text()), out);
            }
            Event::Presence(users) => {
                let body = self.presence(users);
                self.finish(0, Body::Presence, body, out);
            }
            Event::Message { from, payload } => self.message(from, payload, out),
            Event::Published { channel, from, payload } => self.published(channel, from, payload, out),
            Event::Tap(tap) => self.tap(tap, out),
            Event::Chat(_, event) => self.chat_event(event, out),
            Event::Closing(reason) => self.closing(&Closing::new(*reason), out),
        }
    }

    /// Appends a reply; one that no client would take is replaced by a refusal.
    pub fn reply(&mut self, tag: u64, reply: &Reply, out: &mut Vec<u8>) {
        let start = out.len();
        let (kind, body) = self.reply_body(reply);
        if self.finish(tag, kind, body, out) > SERVER_FRAME_MAX {
            out.truncate(start);
            self.refused(&Refused::new(tag, Refusal::TooMany, "the answer is too long; ask for less"), out);
        }
    }

    fn reply_body(&mut self, reply: &Reply) -> (Body, WIPOffset<UnionWIPOffset>) {
        match reply {
            Reply::Done => {
                let args = wire::DoneArgs {};
                (Body::Done, wire::Done::create(&mut self.builder, &args).as_union_value())
            }
            Reply::Presence(users) => (Body::PresenceIs, self.presence(users)),
            Reply::Count(value) => (Body::CountIs, self.number(*value)),
            Reply::Users(users) => (Body::UsersAre, self.users(users)),
            Reply::Sessions(sessions) => {
                let rows = sessions.iter().map(values::row_to_wire);
                let sessions = Some(self.builder.create_vector_from_iter(rows));
                let body = wire::SessionRows::create(&mut self.builder, &wire::SessionRowsArgs { sessions });
                (Body::SessionsAre, body.as_union_value())
            }
            Reply::Reached(sessions) => {
                let args = wire::ReachedArgs { sessions: *sessions };
                (Body::Reached, wire::Reached::create(&mut self.builder, &args).as_union_value())
            }
            Reply::Occupancy(value) => (Body::OccupancyIs, self.number(*value)),
            Reply::Chat(reply) => self.chat_reply(reply),
        }
    }

    fn welcome(&mut self, welcome: &Welcome, out: &mut Vec<u8>) {
        let args = wire::WelcomeArgs {
            version: welcome.version,
            session: Some(&values::session_to_wire(welcome.session)),
            user: Some(self.id(&welcome.user)),
            realm: welcome.realm.0,
            service: welcome.service,
            liveness: values::liveness_to_wire(welcome.liveness),
            heartbeat_ms: welcome.heartbeat_ms,
            silence_ms: welcome.silence_ms,
            max_frame: welcome.max_frame,
            server_ms: welcome.server_ms,
        };
        let body = wire::Welcome::create(&mut self.builder, &args).as_union_value();
        self.finish(0, Body::Welcome, body, out);
    }

    fn refused(&mut self, refused: &Refused, out: &mut Vec<u8>) {
        let args = wire::RefusedArgs {
            code: wire::RefusalCode(refused.code),
            fault: values::fault_to_wire(refused.fault),
            retry_after_ms: values::retry_to_wire(refused.retry_after_ms),
            text: Some(self.builder.create_string(&refused.text)),
        };
        let body = wire::Refused::create(&mut self.builder, &args).as_union_value();
        self.finish(refused.tag, Body::Refused, body, out);
    }

    fn presence(&mut self, users: &[UserPresence]) -> WIPOffset<UnionWIPOffset> {
        let last_seen = users.iter().map(|row| values::last_seen_to_wire(row.last_seen));
        let last_seen = Some(self.builder.create_vector_from_iter(last_seen));
        let status = users.iter().map(|row| values::status_to_wire(row.status));
        let status = Some(self.builder.create_vector_from_iter(status));
        let users = Some(self.packed(users.iter().map(|row| &row.user)));
        let args = wire::PresenceRowsArgs { users, status, last_seen };
        wire::PresenceRows::create(&mut self.builder, &args).as_union_value()
    }

    fn users(&mut self, users: &[OnlineUser]) -> WIPOffset<UnionWIPOffset> {
        let last_seen = Some(self.builder.create_vector_from_iter(users.iter().map(|row| row.last_seen)));
        let status = users.iter().map(|row| values::status_to_wire(row.status));
        let status = Some(self.builder.create_vector_from_iter(status));
        let device = users.iter().map(|row| values::device_to_wire(row.device));
        let device = Some(self.builder.create_vector_from_iter(device));
        let users = Some(self.packed(users.iter().map(|row| &row.user)));
        let args = wire::UsersArgs { users, status, last_seen, device };
        wire::Users::create(&mut self.builder, &args).as_union_value()
    }

    pub(super) fn number(&mut self, value: u64) -> WIPOffset<UnionWIPOffset> {
        wire::Number::create(&mut self.builder, &wire::NumberArgs { value }).as_union_value()
    }

    fn message(&mut self, from: &Id, payload: &[u8], out: &mut Vec<u8>) {
        let payload = Some(self.builder.create_vector(payload));
        let args = wire::MessageArgs { from: Some(self.id(from)), payload };
        let body = wire::Message::create(&mut self.builder, &args).as_union_value();
        self.finish(0, Body::Message, body, out);
    }

    fn published(&mut self, channel: &Id, from: &Id, payload: &[u8], out: &mut Vec<u8>) {
        let payload = Some(self.builder.create_vector(payload));
        let args =
            wire::PublishedArgs { channel: Some(self.id(channel)), from: Some(self.id(from)), payload };
        let body = wire::Published::create(&mut self.builder, &args).as_union_value();
        self.finish(0, Body::Published, body, out);
    }

    fn tap(&mut self, tap: &TapEvent, out: &mut Vec<u8>) {
        let args = wire::TappedArgs {
            seq: tap.seq,
            realm: tap.user.realm.0,
            user: Some(self.id(&tap.user.id)),
            session: Some(&values::row_to_wire(&tap.session)),
            at: tap.at,
            closed: values::close_to_wire(tap.closed),
        };
        let body = wire::Tapped::create(&mut self.builder, &args).as_union_value();
        self.finish(0, Body::Tapped, body, out);
    }

    fn closing(&mut self, closing: &Closing, out: &mut Vec<u8>) {
        let versions =
            closing.versions.as_ref().map(|range| wire::Versions::new(*range.start(), *range.end()));
        let args = wire::ClosingArgs {
            reason: values::close_to_wire(closing.reason),
            advice: values::advice_to_wire(closing.advice),
            retry_after_ms: values::retry_to_wire(closing.retry_after_ms),
            text: Some(self.builder.create_string(&closing.text)),
            versions: versions.as_ref(),
        };
        let body = wire::Closing::create(&mut self.builder, &args).as_union_value();
        self.finish(0, Body::Closing, body, out);
    }
}
