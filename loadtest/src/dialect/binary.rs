//! Muster's binary protocol (`docs/PROTOCOL.md`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use schema::chat::{
    ChatCommand, ChatEvent, ChatReply, ConversationId, Draft, Kind, NewConversation, NewMember, Role,
};
use schema::frame::{
    ClientFrame, Connect, Encoder, HEARTBEAT_ACK_LEN, Liveness, PREFIX, SERVER_FRAME_MAX, ServerFrame,
    decode_server, split,
};
use schema::{Command, Device, Id, Reply};

use super::{Ask, Dialect, Fault, Room, Step, Word};
use crate::persona::{user_id, user_number};
use crate::stamp::Stamp;

/// Commands whose reply says that a message was taken; the tag of all others.
const TAKEN: u64 = 2;
const OTHER: u64 = 1;
/// Marks the tags that are tickets.
const TICKET: u64 = 1 << 63;

/// See [`super::Choice::Binary`].
pub struct Binary {
    encoder: Encoder,
    keep_alive: bool,
    heartbeat: Duration,
    beat: [Vec<u8>; 2],
    /// Ids are hashes, and asked for all the time.
    rooms: HashMap<u64, ConversationId>,
}

impl Binary {
    /// A client that is watched by heartbeats, or by TCP keep-alive.
    #[must_use]
    pub fn new(keep_alive: bool, heartbeat: Duration) -> Self {
        let mut encoder = Encoder::new();
        let beat = [false, true].map(|answer| {
            let mut out = Vec::new();
            encoder.client(&ClientFrame::Heartbeat { tag: 0, answer, activity: false }, &mut out);
            out
        });
        Self { encoder, keep_alive, heartbeat, beat, rooms: HashMap::new() }
    }

    fn command(&mut self, tag: u64, command: Command, out: &mut Vec<u8>) {
        self.encoder.client(&ClientFrame::Command { tag, command }, out);
    }

    fn chat(&mut self, ticket: u64, command: ChatCommand, out: &mut Vec<u8>) {
        let command = Command::Chat { acting: None, command: Box::new(command) };
        self.command(ticket | TICKET, command, out);
    }

    fn room(&mut self, room: &Room<'_>) -> ConversationId {
        *self.rooms.entry(room.number).or_insert_with(|| match kind(room) {
            Kind::Direct => {
                let names = [user_id(room.members[0]), user_id(room.members[1])];
                match names.each_ref().map(|name| Id::new(name)) {
                    [Ok(one), Ok(other)] => ConversationId::of_pair(&one, &other),
                    _ => ConversationId::from_number(room.number.into()),
                }
            }
            kind => ConversationId::natural(
                kind,
                &["load", &room.members.len().to_string(), &room.number.to_string()],
            ),
        })
    }
}

fn kind(room: &Room<'_>) -> Kind {
    if room.members.len() == 2 { Kind::Direct } else { Kind::Group }
}

/// The word for the answer to an ask with a ticket.
fn answer(ticket: u64, reply: ChatReply) -> Word {
    match reply {
        ChatReply::Made { .. } => Word::Made { ticket },
        ChatReply::Message { again, .. } => Word::Kept { ticket, again },
        ChatReply::History(history) => {
            let stamps =
                history.messages.iter().filter_map(|message| Stamp::read(message.content.as_bytes()));
            let last = history.messages.last().filter(|_| history.more);
            Word::Page { ticket, stamps: stamps.collect(), before: last.map(|message| message.id.at) }
        }
        ChatReply::Summaries { .. } => Word::Listed { ticket },
        ChatReply::Done => Word::Done,
        _ => Word::Other,
    }
}

fn id(number: u64) -> Option<Id> {
    Id::new(&user_id(number)).ok()
}

fn channel(number: u64) -> Option<Id> {
    Id::new(&format!("load-{number}")).ok()
}

impl Dialect for Binary {
    fn name(&self) -> &'static str {
        "binary"
    }

    fn can(&self, _: &Ask<'_>) -> bool {
        true
    }

    fn hello(&mut self, token: &str, out: &mut Vec<u8>) {
        let connect = Connect {
            version: 1,
            token: token.to_owned(),
            device: Device::default(),
            liveness: if self.keep_alive { Liveness::TcpKeepAlive } else { Liveness::Heartbeat },
            heartbeat_ms: u32::try_from(self.heartbeat.as_millis()).unwrap_or(0),
        };
        self.encoder.client(&ClientFrame::Connect(connect), out);
    }

    fn say(&mut self, ask: &Ask<'_>, out: &mut Vec<u8>) {
        match *ask {
            Ask::Beat { answer } => out.extend_from_slice(&self.beat[usize::from(answer)]),
            Ask::Watch(users) => {
                let users = users.iter().filter_map(|&user| id(user)).collect();
                self.command(OTHER, Command::Watch { users }, out);
            }
            Ask::Subscribe(number) => {
                let Some(channel) = channel(number) else { return };
                self.command(OTHER, Command::Subscribe { channel }, out);
            }
            Ask::Publish { channel: number, payload } => {
                let Some(channel) = channel(number) else { return };
                let payload = Arc::from(payload);
                self.command(TAKEN, Command::Publish { channel, payload, except_self: true }, out);
            }
            Ask::Send { to, payload } => {
                let Some(to) = id(to) else { return };
                self.command(
                    TAKEN,
                    Command::Send { to, payload: Arc::from(payload), except_self: false },
                    out,
                );
            }
            Ask::Follow => {
                let command = Box::new(ChatCommand::Follow { on: true });
                self.command(OTHER, Command::Chat { acting: None, command }, out);
            }
            Ask::Make { room, ticket } => {
                let member = |&user: &u64| Some(NewMember { user: id(user)?, role: Role::Member });
                let new = NewConversation {
                    id: Some(self.room(&room)).filter(|_| kind(&room) != Kind::Direct),
                    kind: kind(&room),
                    name: (kind(&room) == Kind::Group).then(|| format!("room {}", room.number).into()),
                    members: room.members.iter().filter_map(member).collect(),
                    extra: Arc::from(&[][..]),
                };
                self.chat(ticket, ChatCommand::Create(Box::new(new)), out);
            }
            Ask::Say { room, number, payload, ticket } => {
                let draft = Draft {
                    conversation: self.room(&room),
                    client_id: Some(format!("{number:016x}").into()),
                    kind: 0,
                    content: payload.into(),
                    attachment: None,
                };
                self.chat(ticket, ChatCommand::Send(Box::new(draft)), out);
            }
            Ask::Page { room, before, limit, ticket } => {
                let conversation = self.room(&room);
                let command =
                    ChatCommand::History { conversation, before, after: None, forward: false, limit };
                self.chat(ticket, command, out);
            }
            Ask::List { limit, ticket } => {
                self.chat(ticket, ChatCommand::List { kinds: 0, limit, after: None }, out)
            }
            Ask::Leave => self.encoder.client(&ClientFrame::Goodbye { logout: true }, out),
        }
    }

    fn hear(
        &mut self,
        _: &mut Step,
        bytes: &[u8],
        _: &mut Vec<u8>,
        tell: &mut dyn FnMut(Word),
    ) -> Result<usize, Fault> {
        let mut taken = 0;
        while let Some(frame) =
            split(&bytes[taken..], SERVER_FRAME_MAX).map_err(|error| Fault(error.to_string()))?
        {
            taken += PREFIX + frame.len();
            // Acknowledgements have a length of their own; the generator's time belongs to the others.
            if PREFIX + frame.len() == HEARTBEAT_ACK_LEN
                && matches!(decode_server(frame), Ok(ServerFrame::HeartbeatAck { .. }))
            {
                tell(Word::Beat);
                continue;
            }
            match decode_server(frame).map_err(|error| Fault(error.to_string()))? {
                ServerFrame::Welcome(_) => tell(Word::Welcome),
                ServerFrame::HeartbeatAck { .. } => tell(Word::Beat),
                ServerFrame::Reply { tag: TAKEN, reply: Reply::Reached(_) } => tell(Word::Taken),
                ServerFrame::Reply { reply: Reply::Done, .. } => tell(Word::Done),
                ServerFrame::Reply { tag, reply: Reply::Chat(reply) } => tell(answer(tag & !TICKET, *reply)),
                ServerFrame::Chat(event) => match *event {
                    ChatEvent::Said(message) => {
                        let stamp = Stamp::read(message.content.as_bytes());
                        tell(Word::Said { stamp, sequence: message.sequence });
                    }
                    _ => tell(Word::Other),
                },
                ServerFrame::Reply { .. } | ServerFrame::Tap(_) => tell(Word::Other),
                ServerFrame::Refused(refused) if refused.tag & TICKET != 0 => tell(Word::Denied {
                    ticket: refused.tag & !TICKET,
                    later: refused.retry_after_ms.is_some(),
                    why: refused.text.into_owned(),
                }),
                ServerFrame::Refused(refused) => tell(Word::Refused(refused.text.into_owned())),
                ServerFrame::Presence(users) => {
                    for presence in users {
                        let user = presence.user.with_str(user_number);
                        let online = presence.status.is_online();
                        tell(user.map_or(Word::Other, |user| Word::Presence { user, online }));
                    }
                }
                ServerFrame::Message { payload, .. } | ServerFrame::Published { payload, .. } => {
                    tell(Word::Message(Stamp::read(&payload)));
                }
                ServerFrame::Closing(closing) => tell(Word::Closing(closing.text.into_owned())),
            }
        }
        Ok(taken)
    }
}
