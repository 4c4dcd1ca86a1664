//! What sessions and the front door command: who may, whether it is too much, and where it goes.

use std::sync::Arc;

use schema::{
    Actor, CloseReason, Command, Event, Id, Key, Realm, Refusal, Reply, SessionAddr, SessionRef, ShardId,
};

use super::Machine;
use super::gather::{Harvest, Whom};
use super::input::Asker;
use super::message::Question;
use super::rate::Verdict;
use super::session::Told;
use super::sessions::{Owner, Session};
use crate::limits::LIST_MAX;

/// Who commands, as the machine knows it.
pub(super) struct Caller {
    pub(super) key: Key,
    pub(super) service: bool,
    pub(super) session: Option<SessionRef>,
    pub(super) whom: Whom,
}

/// How a command went: answered here, or somebody will answer.
pub(super) type Outcome = Result<Option<Reply>, Refusal>;

impl Machine {
    /// A command comes in.
    pub(super) fn command(&mut self, asker: Asker, actor: Option<Actor>, tag: u64, command: Command) {
        self.counters.commands[command.index()] += 1;
        let caller = match asker {
            Asker::Session(session) => self.calling_session(session, tag),
            Asker::Front(ticket) => self.calling_front(ticket, tag, actor, &command),
        };
        let Some(caller) = caller else { return };
        if command == Command::Activity {
            return self.command_activity(&caller);
        }
        if let Some(slot) = caller.session.filter(|_| !caller.service).map(|session| session.slot) {
            match self.rate(slot) {
                Verdict::Pass => {}
                Verdict::Refuse => return self.reply(caller.whom, Err(Refusal::RateLimited)),
                Verdict::Close => return self.end(slot, CloseReason::TooManyCommands, Told::ByUs),
            }
        }
        match self.obey(&caller, command) {
            Ok(Some(reply)) => self.reply(caller.whom, Ok(reply)),
            Ok(None) => {}
            Err(refusal) => self.reply(caller.whom, Err(refusal)),
        }
    }

    fn calling_session(&mut self, session: SessionRef, tag: u64) -> Option<Caller> {
        let slot = self.alive(session)?;
        self.heard(self.now, session);
        let owner = self.sessions.get(slot).map(Session::owner)?;
        let key = self.owner_key(owner)?;
        let service = matches!(owner, Owner::Service(_));
        Some(Caller { key, service, session: Some(session), whom: Whom::Session { session, tag } })
    }

    /// A call of the front door. One that names nobody may only count, and that in the default realm.
    fn calling_front(
        &mut self,
        ticket: u64,
        tag: u64,
        actor: Option<Actor>,
        command: &Command,
    ) -> Option<Caller> {
        let whom = Whom::Front { ticket, tag };
        match actor {
            Some(Actor { key, service }) => Some(Caller { key, service, session: None, whom }),
            None if *command == Command::Count => {
                if let Err(refusal) = self.command_count(whom, Realm::default()) {
                    self.reply(whom, Err(refusal));
                }
                None
            }
            None => {
                self.reply(whom, Err(Refusal::Forbidden));
                None
            }
        }
    }

    fn rate(&mut self, slot: u32) -> Verdict {
        self.sessions.rate(slot, self.now.mono)
    }

    fn obey(&mut self, caller: &Caller, command: Command) -> Outcome {
        match command {
            Command::Activity => Ok(None),
            Command::Watch { users } => self.watch(slot_of(caller)?, caller.key.realm, users),
            Command::Unwatch { users } => self.unwatch(slot_of(caller)?, caller.key.realm, &users),
            Command::Subscribe { channel } => {
                let slot = slot_of(caller)?;
                self.subscribe(slot, &Key::new(caller.key.realm, channel)).map(|()| Some(Reply::Done))
            }
            Command::Unsubscribe { channel } => {
                self.unsubscribe(slot_of(caller)?, &Key::new(caller.key.realm, channel));
                Ok(Some(Reply::Done))
            }
            Command::Tap { on } => {
                let slot = slot_of(caller)?;
                service_only(caller)?;
                if self.listen_to_taps(slot, on) { Ok(Some(Reply::Done)) } else { Err(Refusal::LimitReached) }
            }
            Command::Query { users } => {
                if users.len() > self.limits.query_ids as usize {
                    return Err(Refusal::TooMany);
                }
                self.query(caller.whom, caller.key.realm, users).map(|()| None)
            }
            Command::Count => self.command_count(caller.whom, caller.key.realm),
            Command::List { limit } => {
                let (realm, limit) = (caller.key.realm, limit.min(LIST_MAX));
                let harvest = Harvest::List { rows: self.list(realm, limit), limit };
                self.ask_others(caller.whom, || Question::List { realm, limit }, harvest)
            }
            Command::Sessions { user } => {
                let user = own_or_service(caller, user)?;
                self.ask_home(caller.whom, &user.clone(), Question::Sessions { user })
            }
            Command::DisconnectUser { user } => {
                let user = own_or_service(caller, user)?;
                let reason = CloseReason::Kicked;
                self.ask_home(caller.whom, &user.clone(), Question::DisconnectUser { user, reason })
            }
            Command::DisconnectSession { session } => self.command_disconnect(caller, session),
            Command::Send { to, payload, except_self } => {
                self.check_payload(&payload)?;
                let to = Key::new(caller.key.realm, to);
                let event = Arc::new(Event::Message { from: caller.key.id.clone(), payload });
                let except = caller.session.filter(|_| except_self).map(|session| self.addr(session));
                self.ask_home(caller.whom, &to.clone(), Question::Send { to, event, except })
            }
            Command::Publish { channel, payload, except_self } => {
                self.check_payload(&payload)?;
                let key = Key::new(caller.key.realm, channel.clone());
                let event = Arc::new(Event::Published { channel, from: caller.key.id.clone(), payload });
                let except = caller.session.filter(|_| except_self);
                // Only who is subscribed can be left out: the home counts on it.
                let except = except.filter(|session| self.is_subscribed(session.slot, &key));
                let except = except.map(|session| self.addr(session));
                let question = Question::Publish { channel: key.clone(), event, except };
                self.ask_home(caller.whom, &key, question)
            }
            Command::Chat { acting, command } => self.chat(caller, acting, *command),
            Command::Occupancy { channel } => {
                let channel = Key::new(caller.key.realm, channel);
                self.ask_home(caller.whom, &channel.clone(), Question::Occupancy { channel })
            }
        }
    }

    fn command_count(&mut self, whom: Whom, realm: Realm) -> Outcome {
        let harvest = Harvest::Count(self.count(realm));
        self.ask_others(whom, || Question::Count { realm }, harvest)
    }

    fn command_activity(&mut self, caller: &Caller) {
        match caller.session {
            Some(session) => self.activity(session.slot),
            None if caller.service => {}
            // A call of the front door for a user of this home who has a session.
            None => {
                let wall = self.wall();
                if let Some(slot) = self.users.find(caller.key.realm, &caller.key.id)
                    && self.users.get(slot).is_some_and(|user| user.presence.is_online())
                {
                    self.active(slot, wall);
                }
            }
        }
    }

    fn command_disconnect(&mut self, caller: &Caller, session: SessionAddr) -> Outcome {
        let SessionAddr { incarnation, shard, session } = session;
        if incarnation != self.incarnation || shard.0 >= self.router.shards() {
            return Err(Refusal::NotFound);
        }
        let (realm, reason) = (caller.key.realm, CloseReason::Kicked);
        let owner = (!caller.service).then(|| caller.key.id.clone());
        let question = Question::Disconnect { sessions: vec![session], realm, owner, reason };
        self.ask_shard(caller.whom, shard, question)
    }

    fn check_payload(&self, payload: &[u8]) -> Result<(), Refusal> {
        if payload.len() > self.limits.payload as usize { Err(Refusal::TooLarge) } else { Ok(()) }
    }

    /// Asks the home of a key, which may be here.
    pub(super) fn ask_home(&mut self, whom: Whom, key: &Key, question: Question) -> Outcome {
        self.ask_shard(whom, self.router.home(key), question)
    }

    fn ask_shard(&mut self, whom: Whom, shard: ShardId, question: Question) -> Outcome {
        if shard == self.shard {
            self.question(whom, question);
            return Ok(None);
        }
        self.ask_all(whom, vec![(shard, question)], Harvest::Relay(None)).map(|_| None)
    }

    /// Asks all other shards. Without any, all is there.
    fn ask_others(&mut self, whom: Whom, question: impl Fn() -> Question, mut harvest: Harvest) -> Outcome {
        let others = (0..self.router.shards()).map(ShardId).filter(|&shard| shard != self.shard);
        let questions: Vec<_> = others.map(|shard| (shard, question())).collect();
        if questions.is_empty() {
            self.answer(whom, harvest.answer());
            return Ok(None);
        }
        self.ask_all(whom, questions, harvest).map(|_| None)
    }
}

/// The session of a command that only sessions may give.
pub(super) fn slot_of(caller: &Caller) -> Result<u32, Refusal> {
    caller.session.map(|session| session.slot).ok_or(Refusal::Unsupported)
}

fn service_only(caller: &Caller) -> Result<(), Refusal> {
    if caller.service { Ok(()) } else { Err(Refusal::Forbidden) }
}

/// The user a command is about, if the caller may give it about that user.
fn own_or_service(caller: &Caller, user: Id) -> Result<Key, Refusal> {
    if caller.service || caller.key.id == user {
        Ok(Key::new(caller.key.realm, user))
    } else {
        Err(Refusal::Forbidden)
    }
}
