//! What people do to a node: operations become inputs, and clients live on until they leave, vanish or are sent away.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use engine::machine::{Asker, ConnRef, Input, Now, Open};
use schema::chat::ChatCommand;
use schema::command::Edge;
use schema::{Actor, CloseReason, Command, Id, Key, Realm, Refusal, SessionAddr, SessionRef, ShardId};

use crate::broken::{Verdict, broken, check};
use crate::names;
use crate::operation::{Caller, Deed, Operation};
use crate::world::World;

/// Sessions that are over and still spoken of.
const GONE: usize = 64;

/// A client with an open session.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) actor: Actor,
    silence: u32,
    vanished: bool,
}

impl World {
    /// Does one thing to the node. While it is down, only time passes.
    ///
    /// # Errors
    /// When a promise is broken.
    pub fn apply(&mut self, operation: Operation) -> Verdict {
        self.note(|| format!("{operation:?}"));
        if let Operation::Pass { ms } = operation {
            return self.run_until(self.time + u64::from(ms));
        }
        if let Operation::Jump { by } = operation {
            self.wall_ahead += i64::from(by);
            self.jumped = true;
            self.oracle.clock(self.time, self.wall(), true);
            return Ok(());
        }
        if self.node.is_none() {
            return Ok(());
        }
        match operation {
            Operation::Connect { user, other_realm, service, away, device, no_silence, life } => {
                let realm = Realm(u16::from(other_realm));
                let id = if service { self.names.service() } else { self.names.user(user) };
                let actor = Actor { key: Key::new(realm, id), service };
                self.connect(actor, away, device, no_silence, life)
            }
            Operation::Disconnect { session, reason } => match self.pick(session) {
                Some(session) => self.disconnect(session, names::reason(reason)),
                None => Ok(()),
            },
            Operation::Vanish { session } => {
                if let Some(client) = self.pick(session).and_then(|session| self.clients.get_mut(&session)) {
                    client.vanished = true;
                }
                Ok(())
            }
            Operation::Beat { session } => match self.pick(session) {
                Some(session) => self.touch(session),
                None => Ok(()),
            },
            Operation::Stale { session, what } => self.stale(session, what),
            Operation::Command { caller, deed } => self.command(caller, deed),
            Operation::Stall { shard } => {
                let shard = usize::from(shard) % usize::from(self.profile.shards);
                let (now, stall) = (self.time, self.profile.stall);
                // One stall after the other would be a longer one.
                if let Some(until) = self.node.as_mut().and_then(|node| node.stalled.get_mut(shard))
                    && !self.calm
                    && *until + 4 * stall < now
                {
                    *until = now + stall;
                }
                Ok(())
            }
            Operation::Crash { down } => {
                self.crash(down.into());
                Ok(())
            }
            Operation::Drain { over } => self.drain(over),
            Operation::Jump { .. } | Operation::Pass { .. } => Ok(()),
        }
    }

    /// An open session whose shard gets turns.
    fn pick(&self, number: u16) -> Option<SessionAddr> {
        let session = *self.order.get(usize::from(number) % self.order.len().max(1))?;
        self.is_stalled(session.shard.0).is_none().then_some(session)
    }

    fn clock(&self) -> Option<Now> {
        self.node.as_ref().map(|_| self.now())
    }

    fn connect(&mut self, actor: Actor, away: u8, device: u8, no_silence: bool, life: u8) -> Verdict {
        let home = self.router.home(&actor.key).0;
        let shard = (home + u16::from(away)) % self.profile.shards;
        if self.is_stalled(shard).is_some() {
            return Ok(());
        }
        self.number += 1;
        let number = self.number as u32;
        let ip = if number.is_multiple_of(2) {
            IpAddr::V4(Ipv4Addr::from(number))
        } else {
            IpAddr::V6(Ipv6Addr::from(1 << 96 | u128::from(number)))
        };
        let open = Open {
            conn: ConnRef { slot: number, generation: number ^ 0x5555 },
            actor,
            edge: if device.is_multiple_of(2) { Edge::Binary } else { Edge::Presence },
            peer: SocketAddr::new(ip, number as u16),
            device: names::device(device),
            expires_at: if life == 0 { u64::MAX } else { self.wall() + u64::from(life) * 100 },
            silence: if no_silence { 0 } else { self.profile.limits.silence },
            mark: number.rotate_left(7),
        };
        self.opening = Some(open.clone());
        self.turn(shard, vec![Input::Open(Box::new(open))])?;
        // Most want to hear of their conversations at once.
        let follower = self.order.last().copied().filter(|_| self.profile.chats && !number.is_multiple_of(4));
        match follower.filter(|follower| follower.shard.0 == shard) {
            Some(session) => {
                let command = Box::new(ChatCommand::Follow { on: true });
                self.tell(session, Command::Chat { acting: None, command })
            }
            None => Ok(()),
        }
    }

    /// The machine has let a session in, or not.
    pub(crate) fn opened(
        &mut self,
        shard: u16,
        conn: ConnRef,
        mark: u32,
        session: Result<SessionAddr, Refusal>,
    ) -> Verdict {
        let Some(open) = self.opening.take() else {
            return broken("only an opening is answered", format!("shard {shard}: {session:?}"));
        };
        check(
            conn == open.conn && mark == open.mark,
            "an output names the session's own connection",
            || format!("shard {shard}: {conn:?} {mark}, {open:?}"),
        )?;
        if let Ok(session) = session {
            let (actor, silence) = (open.actor.clone(), open.silence);
            self.clients.insert(session, Client { actor, silence, vanished: false });
            self.order.push(session);
            self.plan_beat(session, silence);
        }
        self.oracle.opened(shard, open, session, self.incarnation)
    }

    /// A session is over; it is not forgotten at once.
    pub(crate) fn forget(&mut self, session: SessionAddr) {
        if self.clients.remove(&session).is_none() {
            return;
        }
        if let Some(at) = self.order.iter().position(|other| *other == session) {
            self.order.swap_remove(at);
        }
        self.gone.push_back(session);
        if self.gone.len() > GONE {
            self.gone.pop_front();
        }
    }

    pub(crate) fn disconnect(&mut self, session: SessionAddr, reason: CloseReason) -> Verdict {
        self.forget(session);
        self.oracle.left(session, reason);
        self.turn(session.shard.0, vec![Input::Closed { session: session.session, reason }])
    }

    fn plan_beat(&mut self, session: SessionAddr, silence: u32) {
        if silence > 0 {
            let silence = u64::from(silence);
            let at = self.time + self.turns.between(silence / 4, silence.saturating_sub(1));
            self.beats.insert((at, session));
        }
    }

    /// A client's heartbeat is due.
    pub(crate) fn beat(&mut self, session: SessionAddr) -> Verdict {
        self.beats.pop_first();
        let Some(client) = self.clients.get(&session) else { return Ok(()) };
        if client.vanished {
            return Ok(());
        }
        if let Some(until) = self.is_stalled(session.shard.0) {
            self.beats.insert((until, session));
            return Ok(());
        }
        let silence = client.silence;
        self.plan_beat(session, silence);
        if !self.calm && self.turns.chance(250) {
            return self.tell(session, Command::Activity);
        }
        self.touch(session)
    }

    fn touch(&mut self, session: SessionAddr) -> Verdict {
        if let Some(now) = self.clock() {
            if let Some(machine) = self.machine(session.shard.0) {
                machine.touch(now, session.session);
            }
            self.oracle.touched(session);
        }
        Ok(())
    }

    /// A late word of a connection whose session is over.
    fn stale(&mut self, number: u16, what: u8) -> Verdict {
        let Some(&session) = self.gone.get(usize::from(number) % self.gone.len().max(1)) else {
            return Ok(());
        };
        let shard = session.shard.0;
        if self.is_stalled(shard).is_some() {
            return Ok(());
        }
        match what % 3 {
            0 => self.touch(session),
            1 => {
                self.turn(shard, vec![Input::Closed { session: session.session, reason: CloseReason::Lost }])
            }
            _ => {
                self.number += 1;
                let asker = Asker::Session(session.session);
                let command = Command::Count;
                self.turn(shard, vec![Input::Command { asker, actor: None, tag: self.number, command }])
            }
        }
    }

    fn tell(&mut self, session: SessionAddr, command: Command) -> Verdict {
        let Some(client) = self.clients.get(&session) else { return Ok(()) };
        let actor = client.actor.clone();
        self.number += 1;
        let (tag, asker) = (self.number, Asker::Session(session.session));
        self.oracle.commanded(Some(session), &actor, tag, &command);
        self.turn(session.shard.0, vec![Input::Command { asker, actor: None, tag, command }])
    }

    /// A call of the front door.
    pub(crate) fn call(&mut self, shard: u16, actor: Actor, command: Command) -> Verdict {
        self.number += 1;
        let (tag, asker) = (self.number, Asker::Front(self.number));
        self.oracle.commanded(None, &actor, tag, &command);
        self.turn(shard, vec![Input::Command { asker, actor: Some(actor), tag, command }])
    }

    fn command(&mut self, caller: Caller, deed: Deed) -> Verdict {
        match caller {
            Caller::Session(number) => {
                let Some(session) = self.pick(number) else { return Ok(()) };
                let Some(actor) = self.clients.get(&session).map(|client| client.actor.clone()) else {
                    return Ok(());
                };
                for deed in deed.in_a_row() {
                    let command = self.command_of(&actor, deed);
                    self.tell(session, command)?;
                }
                Ok(())
            }
            Caller::Front { shard, user, service } => {
                let shard = u16::from(shard) % self.profile.shards;
                if self.is_stalled(shard).is_some() {
                    return Ok(());
                }
                let realm = Realm(u16::from(user.is_multiple_of(8)));
                let id: Id = if service { self.names.service() } else { self.names.user(user) };
                let actor = Actor { key: Key::new(realm, id), service };
                let command = self.command_of(&actor, deed);
                self.call(shard, actor, command)
            }
        }
    }

    fn payload(&mut self, size: u8) -> schema::command::Payload {
        self.number += 1;
        let size = if size == 255 { self.profile.limits.payload as usize + 1 } else { usize::from(size) };
        let mut payload = self.number.to_le_bytes().to_vec();
        payload.resize(size.max(8), 7);
        payload.into()
    }

    fn command_of(&mut self, actor: &Actor, deed: Deed) -> Command {
        match deed {
            Deed::Activity => Command::Activity,
            Deed::Watch { first, count } => Command::Watch { users: self.names.some(first, count) },
            Deed::Unwatch { first, count } => Command::Unwatch { users: self.names.some(first, count) },
            Deed::Query { first, count } => Command::Query { users: self.names.some(first, count) },
            Deed::Count => Command::Count,
            Deed::List { limit } => Command::List { limit: limit.into() },
            Deed::Sessions { user } => Command::Sessions { user: self.names.user(user) },
            Deed::Send { user, size, except_self } => {
                Command::Send { to: self.names.user(user), payload: self.payload(size), except_self }
            }
            Deed::Subscribe { channel } => Command::Subscribe { channel: self.names.channel(channel) },
            Deed::Unsubscribe { channel } => Command::Unsubscribe { channel: self.names.channel(channel) },
            Deed::Publish { channel, size, except_self } => {
                let channel = self.names.channel(channel);
                Command::Publish { channel, payload: self.payload(size), except_self }
            }
            Deed::Occupancy { channel } => Command::Occupancy { channel: self.names.channel(channel) },
            Deed::KickUser { user } => Command::DisconnectUser { user: self.names.user(user) },
            Deed::KickSession { session } => {
                // Mostly one that is there, or has been; sometimes one that never was.
                let there = self.order.get(usize::from(session) % (self.order.len() + 2)).copied();
                let never = SessionAddr {
                    incarnation: self.incarnation + u32::from(session % 2),
                    shard: ShardId(session % 9),
                    session: SessionRef { slot: session.into(), generation: 77 },
                };
                let session = there.or(self.gone.back().copied()).unwrap_or(never);
                Command::DisconnectSession { session }
            }
            Deed::Tap { on } => Command::Tap { on },
            Deed::Chat(deed) => self.chat_command(actor, deed),
        }
    }

    fn drain(&mut self, over: u16) -> Verdict {
        if self.stopping.is_some() {
            return Ok(());
        }
        if let Some(node) = &mut self.node {
            node.stalled.fill(0);
        }
        self.stopping = Some(self.drain_deadline(over.into()));
        self.oracle.drain(over.into());
        (0..self.profile.shards)
            .try_for_each(|shard| self.turn(shard, vec![Input::Drain { over: over.into() }]))
    }
}
