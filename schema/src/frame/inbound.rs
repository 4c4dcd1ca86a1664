//! Client to server: what a client writes, and how a server reads it.

use flatbuffers::{UnionWIPOffset, WIPOffset};

use super::values::{self, Bad};
use super::{ClientFrame, Connect, Encoder, FrameError, VERSIONS, beat, chat_inbound, decode};
use crate::command::{Command, Payload};
use crate::device::Device;
use crate::generated::wire::{self, Body, Frame};
use crate::id::Id;

/// Reads a client's frame (without its length).
///
/// # Errors
/// What is wrong with it; [`FrameError::answer`] is what to tell the client.
pub fn decode_client(bytes: &[u8]) -> Result<ClientFrame, FrameError> {
    // Nearly every frame of nearly every connection is one of four heartbeats, always written in the same way.
    if let Some(heartbeat) = beat::known_heartbeat(bytes) {
        return Ok(heartbeat);
    }
    decode::verified(bytes, read)
}

fn read(frame: Frame<'_>) -> Result<ClientFrame, FrameError> {
    let tag = frame.tag();
    read_body(&frame, tag).unwrap_or(Err(FrameError::Unknown { tag, body: frame.body_type().0 }))
}

/// `None`: a body that is not known, or not for a server.
fn read_body(frame: &Frame<'_>, tag: u64) -> Option<Result<ClientFrame, FrameError>> {
    let command = match frame.body_type() {
        Body::Connect => return Some(read_connect(frame.body_as_connect()?)),
        Body::Heartbeat => {
            let body = frame.body_as_heartbeat()?;
            let (answer, activity) = (body.answer(), body.activity());
            return Some(Ok(ClientFrame::Heartbeat { tag, answer, activity }));
        }
        Body::Goodbye => {
            return Some(Ok(ClientFrame::Goodbye { logout: frame.body_as_goodbye()?.logout() }));
        }
        Body::Activity => Ok(Command::Activity),
        Body::Watch => {
            let body = frame.body_as_watch()?;
            values::ids(body.users(), body.packed()).map(|users| Command::Watch { users })
        }
        Body::Unwatch => {
            let body = frame.body_as_unwatch()?;
            values::ids(body.users(), body.packed()).map(|users| Command::Unwatch { users })
        }
        Body::Query => {
            let body = frame.body_as_query()?;
            values::ids(body.users(), body.packed()).map(|users| Command::Query { users })
        }
        Body::Count => Ok(Command::Count),
        Body::List => Ok(Command::List { limit: frame.body_as_list()?.limit() }),
        Body::Sessions => values::id(frame.body_as_sessions()?.user()).map(|user| Command::Sessions { user }),
        Body::Send => {
            let body = frame.body_as_send()?;
            let (payload, except_self) = (payload(body.payload()), body.except_self());
            values::id(body.to()).map(|to| Command::Send { to, payload, except_self })
        }
        Body::Subscribe => {
            values::id(frame.body_as_subscribe()?.channel()).map(|channel| Command::Subscribe { channel })
        }
        Body::Unsubscribe => {
            values::id(frame.body_as_unsubscribe()?.channel()).map(|channel| Command::Unsubscribe { channel })
        }
        Body::Publish => {
            let body = frame.body_as_publish()?;
            let (payload, except_self) = (payload(body.payload()), body.except_self());
            values::id(body.channel()).map(|channel| Command::Publish { channel, payload, except_self })
        }
        Body::Occupancy => {
            values::id(frame.body_as_occupancy()?.channel()).map(|channel| Command::Occupancy { channel })
        }
        Body::DisconnectUser => {
            values::id(frame.body_as_disconnect_user()?.user()).map(|user| Command::DisconnectUser { user })
        }
        Body::DisconnectSession => frame
            .body_as_disconnect_session()?
            .session()
            .map(|session| Command::DisconnectSession { session: values::session(session) })
            .ok_or(Bad::Value("the session's id is missing")),
        Body::Tap => Ok(Command::Tap { on: frame.body_as_tap()?.on() }),
        _ => {
            let acting = frame.acting().map(|user| values::id(Some(user))).transpose();
            chat_inbound::read(frame)?
                .and_then(|command| Ok(Command::Chat { acting: acting?, command: Box::new(command) }))
        }
    };
    let command = command.and_then(|command| match command {
        // Nobody who meant to do it for somebody else should have done it for themselves.
        _ if frame.acting().is_none() => Ok(command),
        Command::Chat { .. } => Ok(command),
        _ => Err(Bad::Value("only a command about conversations is given for another user")),
    });
    Some(match command {
        Ok(command) => Ok(ClientFrame::Command { tag, command }),
        Err(bad) => Err(bad.of_frame(tag)),
    })
}

fn read_connect(body: wire::Connect<'_>) -> Result<ClientFrame, FrameError> {
    // First of all: nothing else of another version's Connect need mean what it means in ours.
    if !VERSIONS.contains(&body.version()) {
        return Err(FrameError::Version { asked: body.version() });
    }
    Ok(ClientFrame::Connect(Connect {
        version: body.version(),
        token: body.token().unwrap_or_default().to_owned(),
        device: body.device().map_or_else(Device::default, values::device),
        liveness: values::liveness(body.liveness()),
        heartbeat_ms: body.heartbeat_ms(),
    }))
}

/// A payload that is not there is an empty one: FlatBuffers libraries differ in whether they write empty vectors.
pub(super) fn payload(bytes: Option<flatbuffers::Vector<'_, u8>>) -> Payload {
    Payload::from(bytes.map_or(&[][..], |bytes| bytes.bytes()))
}

impl Encoder {
    /// Appends a client's frame.
    pub fn client(&mut self, frame: &ClientFrame, out: &mut Vec<u8>) {
        let fbb = &mut self.builder;
        match frame {
            ClientFrame::Connect(connect) => {
                let token = fbb.create_string(&connect.token);
                let args = wire::ConnectArgs {
                    version: connect.version,
                    token: Some(token),
                    device: Some(&values::device_to_wire(connect.device)),
                    liveness: values::liveness_to_wire(connect.liveness),
                    heartbeat_ms: connect.heartbeat_ms,
                };
                let body = wire::Connect::create(fbb, &args).as_union_value();
                self.finish(0, Body::Connect, body, out);
            }
            ClientFrame::Heartbeat { tag, answer, activity } => {
                let args = wire::HeartbeatArgs { answer: *answer, activity: *activity };
                let body = wire::Heartbeat::create(fbb, &args).as_union_value();
                self.finish(*tag, Body::Heartbeat, body, out);
            }
            ClientFrame::Goodbye { logout } => {
                let args = wire::GoodbyeArgs { logout: *logout };
                let body = wire::Goodbye::create(fbb, &args).as_union_value();
                self.finish(0, Body::Goodbye, body, out);
            }
            ClientFrame::Command { tag, command } => self.command(*tag, command, out),
        }
    }

    /// Appends a command.
    pub fn command(&mut self, tag: u64, command: &Command, out: &mut Vec<u8>) {
        let (kind, body) = self.command_body(command);
        let acting = match command {
            Command::Chat { acting: Some(user), .. } => Some(self.id(user)),
            _ => None,
        };
        self.finish_acting(tag, kind, body, acting, out);
    }

    fn command_body(&mut self, command: &Command) -> (Body, WIPOffset<UnionWIPOffset>) {
        match command {
            Command::Activity => {
                let args = wire::ActivityArgs {};
                (Body::Activity, wire::Activity::create(&mut self.builder, &args).as_union_value())
            }
            Command::Watch { users } => {
                let args = wire::WatchArgs { users: None, packed: Some(self.packed(users.iter())) };
                (Body::Watch, wire::Watch::create(&mut self.builder, &args).as_union_value())
            }
            Command::Unwatch { users } => {
                let args = wire::UnwatchArgs { users: None, packed: Some(self.packed(users.iter())) };
                (Body::Unwatch, wire::Unwatch::create(&mut self.builder, &args).as_union_value())
            }
            Command::Query { users } => {
                let args = wire::QueryArgs { users: None, packed: Some(self.packed(users.iter())) };
                (Body::Query, wire::Query::create(&mut self.builder, &args).as_union_value())
            }
            Command::Count => {
                let args = wire::CountArgs {};
                (Body::Count, wire::Count::create(&mut self.builder, &args).as_union_value())
            }
            Command::List { limit } => {
                let args = wire::ListArgs { limit: *limit };
                (Body::List, wire::List::create(&mut self.builder, &args).as_union_value())
            }
            Command::Sessions { user } => {
                let args = wire::SessionsArgs { user: Some(self.id(user)) };
                (Body::Sessions, wire::Sessions::create(&mut self.builder, &args).as_union_value())
            }
            Command::Send { to, payload, except_self } => {
                let payload = Some(self.builder.create_vector(payload));
                let args = wire::SendArgs { to: Some(self.id(to)), payload, except_self: *except_self };
                (Body::Send, wire::Send::create(&mut self.builder, &args).as_union_value())
            }
            Command::Subscribe { channel } => {
                let args = wire::SubscribeArgs { channel: Some(self.id(channel)) };
                (Body::Subscribe, wire::Subscribe::create(&mut self.builder, &args).as_union_value())
            }
            Command::Unsubscribe { channel } => {
                let args = wire::UnsubscribeArgs { channel: Some(self.id(channel)) };
                (Body::Unsubscribe, wire::Unsubscribe::create(&mut self.builder, &args).as_union_value())
            }
            Command::Publish { channel, payload, except_self } => {
                let payload = Some(self.builder.create_vector(payload));
                let channel = Some(self.id(channel));
                let args = wire::PublishArgs { channel, payload, except_self: *except_self };
                (Body::Publish, wire::Publish::create(&mut self.builder, &args).as_union_value())
            }
            Command::Occupancy { channel } => {
                let args = wire::OccupancyArgs { channel: Some(self.id(channel)) };
                (Body::Occupancy, wire::Occupancy::create(&mut self.builder, &args).as_union_value())
            }
            Command::DisconnectUser { user } => {
                let args = wire::DisconnectUserArgs { user: Some(self.id(user)) };
                (
                    Body::DisconnectUser,
                    wire::DisconnectUser::create(&mut self.builder, &args).as_union_value(),
                )
            }
            Command::DisconnectSession { session } => {
                let session = values::session_to_wire(*session);
                let args = wire::DisconnectSessionArgs { session: Some(&session) };
                (
                    Body::DisconnectSession,
                    wire::DisconnectSession::create(&mut self.builder, &args).as_union_value(),
                )
            }
            Command::Tap { on } => {
                let args = wire::TapArgs { on: *on };
                (Body::Tap, wire::Tap::create(&mut self.builder, &args).as_union_value())
            }
            Command::Chat { command, .. } => self.chat_command(command),
        }
    }

    /// Writes an id as a string.
    pub(super) fn id(&mut self, id: &Id) -> WIPOffset<&'static str> {
        id.with_str(|text| self.builder.create_string(text))
    }

    /// Writes ids in their packed form.
    pub(super) fn packed<'a>(
        &mut self,
        ids: impl Iterator<Item = &'a Id>,
    ) -> WIPOffset<flatbuffers::Vector<'static, u8>> {
        self.packed.clear();
        values::pack_ids(ids, &mut self.packed);
        self.builder.create_vector(&self.packed)
    }
}
