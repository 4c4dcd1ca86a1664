//! Muster's binary protocol (`docs/PROTOCOL.md`).

use std::sync::Arc;
use std::time::Duration;

use schema::frame::{
    ClientFrame, Connect, Encoder, HEARTBEAT_ACK_LEN, Liveness, PREFIX, SERVER_FRAME_MAX, ServerFrame,
    decode_server, split,
};
use schema::{Command, Device, Id, Reply};

use super::{Ask, Dialect, Fault, Step, Word};
use crate::persona::{user_id, user_number};
use crate::stamp::Stamp;

/// Commands whose reply says that a message was taken; the tag of all others.
const TAKEN: u64 = 2;
const OTHER: u64 = 1;

/// See [`super::Choice::Binary`].
pub struct Binary {
    encoder: Encoder,
    keep_alive: bool,
    heartbeat: Duration,
    beat: [Vec<u8>; 2],
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
        Self { encoder, keep_alive, heartbeat, beat }
    }

    fn command(&mut self, tag: u64, command: Command, out: &mut Vec<u8>) {
        self.encoder.client(&ClientFrame::Command { tag, command }, out);
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
                ServerFrame::Reply { .. } | ServerFrame::Tap(_) | ServerFrame::Chat(_) => tell(Word::Other),
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
