//! One client of the messaging API on Socket.IO: what it asks, what comes of it, and whose presence it is told.

use schema::chat::{ChatCommand, ChatEvent, ChatReply, Kind};
use schema::{CloseReason, Command, Event as Told, Id, Refusal, Reply};
use serde::Deserialize;

use super::answer::{self, Outcome};
use super::hear::{Wanted, What, hear};
use super::partners::{self, Partners};
use crate::api::messaging::Problem;
use crate::api::messaging::input::Bounds;
use crate::edges::socketio::Speaker;
use crate::edges::socketio::api::{Api, Call, Claim, Parting, Refused, parting};
use crate::edges::socketio::pending::Pending;
use crate::edges::socketio::visit::Origin;
use crate::http::auth::Denied;
use crate::socketio::{Arguments, Credentials, Event, Namespace, Talk};

/// What all clients of this API share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// Characters of a user's id.
    pub user_id: u16,
    /// Most partners of direct conversations whose presence a client is told; 0: it is told nobody's.
    pub partners: u32,
}

/// One client.
#[derive(Debug, Default)]
pub struct Messaging {
    pending: Pending<For>,
    known: Known,
}

/// How far it is known who the client's partners are.
#[derive(Debug, Default)]
enum Known {
    /// It has not been asked, or nobody could say.
    #[default]
    Not,
    /// It is being asked.
    Asked(Box<Late>),
    /// They are watched. `None`: nobody of them is online, and the client has been told so.
    Watched(Option<Box<Partners>>),
}

/// Of whom one has heard, while it is asked, that they are partners, or no longer.
#[derive(Debug, Default)]
struct Late {
    partners: Vec<(Id, bool)>,
}

/// What a reply is for.
#[derive(Debug)]
enum For {
    /// An event of the client, to be acked with this id if it asked for that.
    Event { ack: Option<u64>, what: What },
    /// The list of conversations, whose partners are to be watched.
    Partners,
    /// Watching all of them.
    Watch,
    /// What nobody waits for.
    Nothing,
}

/// What a client brings to the namespace.
#[derive(Deserialize)]
struct Auth<'a> {
    #[serde(borrow, default)]
    token: Option<std::borrow::Cow<'a, str>>,
}

impl Messaging {
    fn command(&mut self, call: &mut Call<'_, '_>, what: For, command: Command) {
        let tag = self.pending.put(what);
        if !call.command(tag, command) {
            // The session is over, and the client about to be told.
            self.pending.take(tag);
        }
    }

    fn chat(&mut self, call: &mut Call<'_, '_>, what: For, command: ChatCommand) {
        self.command(call, what, Command::Chat { acting: None, command: Box::new(command) });
    }

    fn carry_out(&mut self, call: &mut Call<'_, '_>, ack: Option<u64>, wanted: Wanted) {
        self.chat(call, For::Event { ack, what: wanted.what }, wanted.command);
    }

    /// Asks for the conversations whose partners are to be watched.
    fn ask_partners(&mut self, call: &mut Call<'_, '_>) {
        let limit = settings(call).partners;
        if limit == 0 || !matches!(self.known, Known::Not) {
            return;
        }
        self.known = Known::Asked(Box::default());
        let list = ChatCommand::List { kinds: 1 << Kind::Direct as u8, limit, after: None };
        self.chat(call, For::Partners, list);
    }

    fn watch(&mut self, call: &mut Call<'_, '_>, listed: &Result<Reply, Refusal>) {
        let Known::Asked(late) = std::mem::take(&mut self.known) else { return };
        // Who cannot be told now is told when the client says something: then it is tried again.
        let (Some(user), Ok(Reply::Chat(reply))) = (call.origin.user(), listed) else { return };
        let ChatReply::Summaries { rows, .. } = &**reply else { return };
        let mut users = partners::of_list(rows, user);
        for (partner, is_one) in late.partners {
            users.retain(|user| *user != partner);
            users.extend(is_one.then_some(partner));
        }
        users.sort();
        users.dedup();
        users.truncate(settings(call).partners as usize);
        self.known = Known::Watched(Some(Box::new(Partners::new(&users))));
        self.partners(call, |partners, emit| partners.list_if_whole(emit));
        if !users.is_empty() {
            // Of those who are watched already nothing would be told at once.
            self.command(call, For::Nothing, Command::Unwatch { users: users.clone() });
            self.command(call, For::Watch, Command::Watch { users });
        }
    }

    /// Something is news of partners who are watched. Who has none online needs no memory for them.
    fn partners(
        &mut self,
        call: &mut Call<'_, '_>,
        news: impl FnOnce(&mut Partners, &mut dyn FnMut(&str, &str)),
    ) {
        let Known::Watched(partners) = &mut self.known else { return };
        let known = partners.get_or_insert_default();
        news(known, &mut emit(&mut call.talk));
        if known.rest() {
            *partners = None;
        }
    }

    /// A conversation was made: its other side may be a new partner.
    fn met(&mut self, call: &mut Call<'_, '_>, partner: &Id) {
        match &mut self.known {
            Known::Asked(late) => late.partners.push((partner.clone(), true)),
            Known::Watched(_) => {
                self.command(call, For::Nothing, Command::Watch { users: vec![partner.clone()] });
            }
            Known::Not => {}
        }
    }

    /// A conversation was deleted: its other side is no partner any more, for there is only one between two.
    fn parted(&mut self, call: &mut Call<'_, '_>, partner: &Id) {
        match &mut self.known {
            Known::Asked(late) => late.partners.push((partner.clone(), false)),
            Known::Watched(_) => {
                self.partners(call, |partners, emit| partners.gone(partner, emit));
                self.command(call, For::Nothing, Command::Unwatch { users: vec![partner.clone()] });
            }
            Known::Not => {}
        }
    }
}

/// What its endpoint says of all of its clients.
fn settings<'a>(call: &Call<'a, '_>) -> &'a Settings {
    match &call.endpoint.speaker {
        Speaker::Messaging(settings) => settings,
        // It speaks on no other.
        _ => &Settings { user_id: 0, partners: 0 },
    }
}

/// Says an event with one argument.
fn emit<'t>(talk: &'t mut Talk<'_, '_>) -> impl FnMut(&str, &str) + 't {
    |name, json| {
        talk.emit(Namespace::ROOT, name, Arguments::json(json));
    }
}

fn done(call: &mut Call<'_, '_>, ack: Option<u64>, json: &str) {
    if let Some(ack) = ack {
        call.talk.ack(Namespace::ROOT, ack, Arguments::json(json));
    }
}

fn failed(call: &mut Call<'_, '_>, ack: Option<u64>, problem: Problem) {
    match ack {
        Some(ack) => {
            call.talk.ack(Namespace::ROOT, ack, Arguments::json(&answer::failed(problem)));
        }
        None => emit(&mut call.talk)("error", &answer::error(problem)),
    }
}

fn refused(problem: Problem) -> Refused {
    Refused { message: problem.message.clone(), data: Some(answer::error(problem)) }
}

impl Api for Messaging {
    fn claim<'c>(&mut self, _: Namespace, credentials: Credentials<'c>, _: &Origin) -> Claim<'c> {
        let Credentials::Auth(auth) = credentials else { return Claim::Token(None) };
        match serde_json::from_str::<Auth<'c>>(auth) {
            // A token that is not there may be in the query or the headers.
            Ok(Auth { token }) => Claim::Token(token.filter(|token| !token.is_empty())),
            Err(_) => Claim::Refused(refused(Problem::invalid_token())),
        }
    }

    fn denied(&self, denied: &Denied) -> Refused {
        refused(denied.clone().into())
    }

    fn refused(&self, refusal: Refusal) -> Refused {
        refused(refusal.into())
    }

    fn joined(&mut self, call: &mut Call<'_, '_>, _: Namespace) {
        // What was asked before it left and came back is of no use any more.
        *self = Self::default();
        self.chat(call, For::Nothing, ChatCommand::Follow { on: true });
        self.ask_partners(call);
    }

    fn event(&mut self, call: &mut Call<'_, '_>, _: Namespace, event: Event<'_>) {
        let Some(user) = call.origin.user() else { return };
        let bounds = Bounds { user_id: settings(call).user_id, own: call.origin.own() };
        match hear(&event, user, &bounds) {
            Ok(wanted) => self.carry_out(call, event.ack, wanted),
            Err(problem) => failed(call, event.ack, problem),
        }
        self.ask_partners(call);
    }

    fn reply(&mut self, call: &mut Call<'_, '_>, tag: u64, result: &Result<Reply, Refusal>) {
        match self.pending.take(tag) {
            Some(For::Event { ack, what }) => {
                if let (What::Join(conversation), Ok(_)) = (&what, result) {
                    emit(&mut call.talk)("conversation:joined", &answer::joined(*conversation));
                }
                match answer::outcome(what, result) {
                    Outcome::Done(json) => done(call, ack, &json),
                    Outcome::Next(wanted) => self.carry_out(call, ack, wanted),
                    Outcome::Failed(problem) => failed(call, ack, problem),
                }
            }
            Some(For::Partners) => self.watch(call, result),
            Some(For::Watch) if result.is_err() => self.known = Known::Not,
            Some(For::Watch | For::Nothing) | None => {}
        }
    }

    fn notices(&self, event: &Told) -> bool {
        match event {
            Told::Presence(_) => true,
            Told::Chat(Kind::Direct, event) => {
                matches!(**event, ChatEvent::Created(_) | ChatEvent::Deleted { .. })
            }
            _ => false,
        }
    }

    fn notice(&mut self, call: &mut Call<'_, '_>, event: &Told) -> bool {
        match event {
            Told::Presence(rows) => {
                self.partners(call, |partners, emit| partners.came(rows, emit));
                true
            }
            Told::Chat(_, event) => {
                let Some(user) = call.origin.user() else { return false };
                match &**event {
                    ChatEvent::Created(conversation) => {
                        if let Some(partner) = partners::partner(conversation, user) {
                            self.met(call, partner);
                        }
                    }
                    ChatEvent::Deleted { pair: Some(pair), .. } => {
                        if let Some(partner) = partners::other(pair, user) {
                            self.parted(call, partner);
                        }
                    }
                    _ => {}
                }
                false
            }
            _ => false,
        }
    }

    fn closing(&mut self, call: &mut Call<'_, '_>, reason: CloseReason) -> Parting {
        let problem = match reason {
            CloseReason::TokenExpired | CloseReason::Unauthenticated => Some(Problem::invalid_token()),
            CloseReason::Kicked => Some(Problem::forbidden("This session was ended by the server")),
            CloseReason::TooManyDevices => {
                Some(Problem::forbidden("Too many devices; the oldest one has to go"))
            }
            CloseReason::TooManyCommands => Some(Refusal::RateLimited.into()),
            _ => None,
        };
        if let Some(problem) = problem {
            failed(call, None, problem);
        }
        parting(reason)
    }
}

#[cfg(test)]
mod tests {
    use schema::Device;

    use super::*;
    use crate::edges::socketio::EndpointId;
    use crate::edges::socketio::visit::Handshake;

    #[test]
    fn a_resting_client_is_small() {
        assert_eq!(size_of::<Messaging>(), 32);
    }

    #[test]
    fn where_a_token_may_be() {
        let mut messaging = Messaging::default();
        let origin =
            Origin::new(EndpointId(0), ([127, 0, 0, 1], 7).into(), Device::default(), Handshake::default());
        let mut claim = |credentials| match messaging.claim(Namespace::ROOT, credentials, &origin) {
            Claim::Token(token) => Ok(token.map(String::from)),
            Claim::Refused(refused) => Err((refused.message, refused.data)),
            Claim::Open => panic!("anybody may come in"),
        };
        for (auth, token) in [
            (r#"{"token":"a.b.c"}"#, Some("a.b.c")),
            (r#"{"token":"a\u002eb","other":[1]}"#, Some("a.b")),
            (r#"{"token":""}"#, None),
            (r#"{"token":null}"#, None),
            ("{}", None),
        ] {
            assert_eq!(claim(Credentials::Auth(auth)), Ok(token.map(str::to_owned)), "{auth}");
        }
        assert_eq!(claim(Credentials::None), Ok(None));
        let data = r#"{"error":"Unauthorized","message":"Invalid or expired token","statusCode":401}"#;
        for auth in [r#"{"token":7}"#, r#"{"token":{"a":1}}"#, r#"{"token":"\ud800"}"#] {
            let refused = Err(("Invalid or expired token".into(), Some(data.to_owned())));
            assert_eq!(claim(Credentials::Auth(auth)), refused, "{auth}");
        }
    }
}
