//! One connection of the buyer/seller API.
//!
//! On joining, its session follows the user's conversations, and reads which rooms the user has on this side: the others of
//! them are watched, and `active_user_list` says who of them is online.
//!
//! What comes of one connection and is all of its user's devices' to hear goes to the others on a channel of the user.

use std::borrow::Cow;

use schema::chat::{ChatCommand, ChatReply, Kind};
use schema::{CloseReason, Command, Event as Told, Id, Refusal, Reply};
use serde::Deserialize;

use super::answer::{Outcome, failure, outcome};
use super::hear::{Heard, Verify, Wanted, What, hear};
use super::said;
use super::tell::{Concern, tell};
use super::who::{Others, Own};
use super::words::{Verified, json};
use crate::api::trade::Problem;
use crate::api::trade::input::Text;
use crate::api::trade::names::Side;
use crate::api::trade::rooms::{KINDS, LIST_MOST};
use crate::edges::socketio::api::{Api, Call, Claim, Refused};
use crate::edges::socketio::pending::Pending;
use crate::edges::socketio::visit::Origin;
use crate::http::auth::{Caller, Denied};
use crate::socketio::{Arguments, Credentials, Event, Namespace, Namespaces};

/// What bounds a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Characters of a user's id.
    pub user_id: u16,
    /// Users that a connection may watch.
    pub watch: u32,
}

/// See the file's header.
#[derive(Debug)]
pub struct Trade {
    namespace: Namespace,
    bounds: Bounds,
    /// Who the client says it is, until a token has shown it.
    claimed: Option<Claimed>,
    /// Who it is.
    own: Option<Own>,
    others: Others,
    pending: Pending<Asked>,
    /// The client has shown another token: the ack it wants, if any.
    verifying: Option<Option<u64>>,
}

#[derive(Debug)]
struct Claimed {
    user: Option<Box<str>>,
    side: Side,
}

/// The event that says who is online, once after joining.
const LIST: &str = "active_user_list";

/// What a command was for.
#[derive(Debug)]
enum Asked {
    /// Nothing that its reply says matters.
    Nothing,
    /// To know the user's rooms.
    Rooms,
    /// To hear of those with whom the user has rooms.
    Watch,
    /// An event of the client: what it asked for, and the ack it wants.
    Event(What, Option<u64>),
}

/// The payload of CONNECT, in version 5.
#[derive(Deserialize)]
struct Auth<'a> {
    #[serde(borrow, default)]
    token: Option<Cow<'a, str>>,
    user_id: Option<Text>,
    user_role: Option<String>,
}

fn not_admitted() -> Refused {
    Refused { message: "Authentication Error".into(), data: None }
}

/// The channel of a user's devices on this API.
fn devices(user: &Id) -> Id {
    user.internal(Id::INTERNAL[2])
}

fn chat(command: ChatCommand) -> Command {
    Command::Chat { acting: None, command: Box::new(command) }
}

impl Trade {
    /// A connection that has joined nothing yet.
    #[must_use]
    pub fn new(namespaces: &Namespaces, bounds: Bounds) -> Self {
        Self {
            // The one beside the root.
            namespace: namespaces.at(1).unwrap_or(Namespace::ROOT),
            bounds,
            claimed: None,
            own: None,
            others: Others::default(),
            pending: Pending::default(),
            verifying: None,
        }
    }

    fn ask(&mut self, call: &mut Call<'_, '_>, asked: Asked, command: Command) {
        let tag = self.pending.put(asked);
        if !call.command(tag, command) {
            self.pending.take(tag);
        }
    }

    fn fail(&self, call: &mut Call<'_, '_>, ack: Option<u64>, problem: &Problem) {
        let body = failure(problem);
        let arguments = Arguments::json(&body);
        match ack {
            Some(ack) => call.talk.ack(self.namespace, ack, arguments),
            None => call.talk.emit(self.namespace, "error", arguments),
        };
    }

    fn wanted(&mut self, call: &mut Call<'_, '_>, ack: Option<u64>, wanted: Wanted) {
        let Wanted { command, what } = wanted;
        self.ask(call, Asked::Event(what, ack), chat(command));
    }

    /// The client shows another token. Whoever it is for, the answer is an event.
    fn verify(&mut self, call: &mut Call<'_, '_>, verify: &Verify, ack: Option<u64>) {
        let Some(own) = &self.own else { return };
        let token = verify.token.as_deref().filter(|token| !token.is_empty());
        let is_own = |id: &Text| own.user.with_str(|user| user == id.0);
        let same = verify.user_id.as_ref().is_none_or(is_own)
            && verify.user_role.as_deref().is_none_or(|role| role == own.side.as_str());
        match token.filter(|_| same && self.verifying.is_none()) {
            Some(token) => {
                if call.verify(self.namespace, token) {
                    self.verifying = Some(ack);
                } else {
                    self.fail(call, ack, &Problem::of(Refusal::Busy));
                }
            }
            // The verdict on the first is the answer to both.
            None if same && token.is_some() => {}
            None => self.verdict(call, ack, false),
        }
    }

    fn verdict(&mut self, call: &mut Call<'_, '_>, ack: Option<u64>, status: bool) {
        let body = json(&Verified { status });
        if let Some(ack) = ack {
            call.talk.ack(self.namespace, ack, Arguments::json(&body));
        }
        call.talk.emit(self.namespace, "verify_user", Arguments::json(&body));
        if !status {
            call.leave(self.namespace, CloseReason::Unauthenticated);
            self.own = None;
        }
    }

    /// Whom a token speaks for: the one who has joined, on the side that has?
    fn is_own(&self, caller: &Caller) -> bool {
        let own = self.own.as_ref();
        own.is_some_and(|own| own.user == caller.actor.key.id && speaks_for(caller, own.side))
    }

    fn concern(&mut self, call: &mut Call<'_, '_>, own: &Own, concern: &Concern) {
        let command = match concern {
            Concern::Counts { room, new } => {
                self.others.counts(room, own, *new).map(|other| Command::Watch { users: vec![other] })
            }
            Concern::Gone(room) => {
                self.others.gone(room, own).map(|other| Command::Unwatch { users: vec![other] })
            }
            Concern::Back(room) => {
                self.others.back(room, own, &mut emitter(call, self.namespace));
                None
            }
        };
        if let Some(command) = command {
            self.ask(call, Asked::Nothing, command);
        }
    }

    /// Emits what is to be said of the others. The list is for all of the user's devices.
    fn say_others(
        &mut self,
        call: &mut Call<'_, '_>,
        own: &Own,
        say: impl FnOnce(&mut Others, &mut dyn FnMut(&str, &str)),
    ) {
        let mut list = None;
        {
            let mut emit = emitter(call, self.namespace);
            say(&mut self.others, &mut |name, body| {
                emit(name, body);
                if name == LIST {
                    list = Some(body.to_owned());
                }
            });
        }
        if let Some(list) = list {
            self.share(call, &own.user, LIST, &list);
        }
    }

    /// Tells the user's other devices, too.
    fn share(&mut self, call: &mut Call<'_, '_>, user: &Id, name: &str, body: &str) {
        let (channel, payload) = (devices(user), format!("{name}\n{body}").into_bytes().into());
        self.ask(call, Asked::Nothing, Command::Publish { channel, payload, except_self: true });
    }

    /// Another device of the user shares an event.
    fn shared(&self, call: &mut Call<'_, '_>, payload: &[u8]) {
        let event = std::str::from_utf8(payload).ok().and_then(|text| text.split_once('\n'));
        if let Some((name, body)) = event {
            emitter(call, self.namespace)(name, body);
        }
    }

    fn rooms(&mut self, call: &mut Call<'_, '_>, own: &Own, result: &Result<Reply, Refusal>) {
        let Ok(Reply::Chat(reply)) = result else { return };
        let ChatReply::Summaries { rows, .. } = &**reply else { return };
        let (others, watched) = Others::of_list(rows, own, self.bounds.watch as usize);
        self.others = others;
        if !watched.is_empty() {
            self.ask(call, Asked::Watch, Command::Watch { users: watched });
        }
        self.say_others(call, own, |others, emit| others.list_if_whole(own, emit));
    }
}

/// Whether a token that says a side says this one. A service is on none.
fn speaks_for(caller: &Caller, side: Side) -> bool {
    let said = caller.role.as_deref().and_then(|role| Side::from_word(&role.to_ascii_uppercase()));
    !caller.actor.service && said.is_none_or(|said| said == side)
}

/// Emits events; those of the moment may be left out for a client that is slow.
fn emitter<'e>(call: &'e mut Call<'_, '_>, namespace: Namespace) -> impl FnMut(&str, &str) + 'e {
    move |name, body| {
        let arguments = Arguments::json(body);
        let _ = match name {
            "typing" | "stop_typing" => call.talk.emit_volatile(namespace, name, arguments),
            _ => call.talk.emit(namespace, name, arguments),
        };
    }
}

impl Api for Trade {
    fn seat(&self) -> Namespace {
        self.namespace
    }

    fn claim<'c>(
        &mut self,
        namespace: Namespace,
        credentials: Credentials<'c>,
        origin: &Origin,
    ) -> Claim<'c> {
        if namespace != self.namespace {
            // Old clients are let into the root before they say anything.
            return Claim::Open;
        }
        let (token, user, role) = match credentials {
            Credentials::None => (None, None, None),
            Credentials::Query(text) => {
                let user = said(text, "user_id").map(|user| Text(user.into_owned()));
                (said(text, "token"), user, said(text, "user_role").map(Cow::into_owned))
            }
            Credentials::Auth(text) => match serde_json::from_str::<Auth<'_>>(text) {
                Ok(Auth { token, user_id, user_role }) => {
                    (token.filter(|token| !token.is_empty()), user_id, user_role)
                }
                Err(_) => return Claim::Refused(not_admitted()),
            },
        };
        let user = user.map(|user| user.0).or_else(|| said(origin.query(), "user_id").map(Cow::into_owned));
        let role = role.or_else(|| said(origin.query(), "user_role").map(Cow::into_owned));
        match role.as_deref().and_then(Side::from_word) {
            Some(side) => {
                self.claimed = Some(Claimed { user: user.map(Into::into), side });
                Claim::Token(token)
            }
            None => Claim::Refused(not_admitted()),
        }
    }

    fn denied(&self, _: &Denied) -> Refused {
        not_admitted()
    }

    fn admits(&mut self, _: Namespace, caller: &Caller) -> Result<(), Refused> {
        let claimed = self.claimed.as_ref().ok_or_else(not_admitted)?;
        let is_claimed = |user: &str| caller.actor.key.id.with_str(|id| id == user);
        let same = claimed.user.as_deref().is_none_or(is_claimed);
        if same && speaks_for(caller, claimed.side) { Ok(()) } else { Err(not_admitted()) }
    }

    fn looks_at_roles(&self) -> bool {
        true
    }

    fn refused(&self, refusal: Refusal) -> Refused {
        Refused { message: refusal.to_string().into(), data: None }
    }

    fn joined(&mut self, call: &mut Call<'_, '_>, namespace: Namespace) {
        if namespace != self.namespace {
            return;
        }
        let (Some(user), Some(claimed)) = (call.origin.user(), self.claimed.take()) else { return };
        self.own = Some(Own { user: user.clone(), side: claimed.side });
        (self.others, self.verifying) = (Others::default(), None);
        self.ask(call, Asked::Nothing, chat(ChatCommand::Follow { on: true }));
        self.ask(call, Asked::Nothing, Command::Subscribe { channel: devices(user) });
        self.ask(call, Asked::Rooms, chat(ChatCommand::List { kinds: KINDS, limit: LIST_MOST, after: None }));
    }

    fn verified(&mut self, call: &mut Call<'_, '_>, verdict: Result<Caller, Denied>) {
        let Some(ack) = self.verifying.take() else { return };
        match verdict {
            Ok(caller) if self.is_own(&caller) => {
                call.renew(caller.expires_at);
                self.verdict(call, ack, true);
            }
            _ => self.verdict(call, ack, false),
        }
    }

    fn event(&mut self, call: &mut Call<'_, '_>, namespace: Namespace, event: Event<'_>) {
        let own = self.own.as_ref().filter(|_| namespace == self.namespace);
        let Some(user) = own.map(|own| own.user.clone()) else { return };
        match hear(&event, &user, self.bounds.user_id) {
            Ok(Heard::Command(wanted)) => self.wanted(call, event.ack, wanted),
            Ok(Heard::Verify(verify)) => self.verify(call, &verify, event.ack),
            Err(problem) => self.fail(call, event.ack, &problem),
        }
    }

    fn reply(&mut self, call: &mut Call<'_, '_>, tag: u64, result: &Result<Reply, Refusal>) {
        let (Some(asked), Some(own)) = (self.pending.take(tag), self.own.clone()) else { return };
        match asked {
            Asked::Nothing => {}
            Asked::Rooms => self.rooms(call, &own, result),
            Asked::Watch if result.is_err() => {
                self.say_others(call, &own, |others, emit| others.give_up_waiting(&own, emit));
            }
            Asked::Watch => {}
            Asked::Event(what, ack) => match outcome(what, &own.user, result) {
                Outcome::Done { ack: body, again } => {
                    if let Some((name, body)) = again {
                        call.talk.emit(self.namespace, name, Arguments::json(&body));
                        if name == "create_room" {
                            self.share(call, &own.user, name, &body);
                        }
                    }
                    if let Some(ack) = ack {
                        call.talk.ack(self.namespace, ack, Arguments::json(&body));
                    }
                }
                Outcome::Next(wanted) => self.wanted(call, ack, wanted),
                Outcome::Failed(problem) => self.fail(call, ack, &problem),
            },
        }
    }

    fn notice(&mut self, call: &mut Call<'_, '_>, event: &Told) -> bool {
        let Some(own) = self.own.clone() else { return true };
        match event {
            Told::Presence(rows) => {
                self.say_others(call, &own, |others, emit| others.came(rows, &own, emit));
            }
            Told::Published { channel, payload, .. } if *channel == devices(&own.user) => {
                self.shared(call, payload);
            }
            Told::Chat(Kind::Trade, event) => {
                let concern = tell(event, &own.user, &mut emitter(call, self.namespace));
                if let Some(concern) = concern {
                    self.concern(call, &own, &concern);
                }
            }
            // The payloads and other channels of services have no words in this API, nor have conversations of other kinds.
            _ => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<Trade>() <= 200, "{}", size_of::<Trade>());
    }
}
