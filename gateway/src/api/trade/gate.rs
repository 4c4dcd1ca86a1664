//! What stands before every call of this API: the token, and the caller's limit; and how calls ask the shards.
//!
//! A caller acts as itself: a `user_id` that somebody else has, or a `role` that is not the caller's, is refused and
//! not overlooked.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use schema::chat::{ChatCommand, ChatReply, Conversation, Message};
use schema::{Actor, Id, Key, Refusal};

use super::Problem;
use super::names::{Room, Side};
use super::words::{RoomBody, Sides};
use crate::http::client_addr::Client;
use crate::http::{Front, limited};

/// Messages that are looked at for the newest that was not taken back.
const NEWEST: u16 = 5;

/// Who calls.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Whom the token speaks for.
    pub actor: Actor,
    /// The side that the token is for, if it says one.
    pub side: Option<Side>,
}

impl Caller {
    /// The caller's id.
    #[must_use]
    pub fn id(&self) -> &Id {
        &self.actor.key.id
    }

    /// That `user_id`, where it is said, is the caller's.
    ///
    /// # Errors
    /// When it is somebody else's.
    pub fn is(&self, user: Option<&str>) -> Result<(), Problem> {
        match user {
            Some(user) if !self.id().with_str(|own| own == user) => Err(Problem::forbidden()),
            _ => Ok(()),
        }
    }

    /// The side that `role` says, if the token agrees; `None`: neither says one.
    ///
    /// # Errors
    /// When it is no role, or not the token's.
    pub fn role(&self, role: Option<&str>) -> Result<Option<Side>, Problem> {
        let said = match role {
            Some(word) => {
                let bad = || Problem::bad("role must be BUYER or SELLER");
                Some(Side::from_word(word).ok_or_else(bad)?)
            }
            None => None,
        };
        match (said, self.side) {
            (Some(said), Some(side)) if said != side => Err(Problem::forbidden()),
            (said, side) => Ok(said.or(side)),
        }
    }

    /// The caller's side of a room, which `role` must agree with where it is said.
    ///
    /// # Errors
    /// When the caller is not in the room, or on the other side.
    pub fn side_of(&self, room: &Room, role: Option<&str>) -> Result<Side, Problem> {
        let said = self.role(role)?;
        let side = room.side(self.id()).ok_or_else(Problem::forbidden)?;
        if said.is_some_and(|said| said != side) { Err(Problem::forbidden()) } else { Ok(side) }
    }
}

/// The middleware of these calls; their handlers find the [`Caller`] in the request's extensions.
pub async fn gate(State(front): State<Arc<Front>>, mut request: Request, next: Next) -> Response {
    let Some(client) = request.extensions().get::<Client>().copied() else {
        // What surrounds every call puts it there.
        return Problem::internal().into_response();
    };
    let caller = match front.caller_with_query(request.headers(), request.uri().query(), client) {
        Ok(caller) => caller,
        Err(denied) => return Problem::from(denied).into_response(),
    };
    let now = front.clock.unix_ms();
    let verdict = front.limits.trade.hit(&caller.actor.key, now);
    let mut response = if verdict.allowed {
        let side = caller.role.as_deref().and_then(|role| Side::from_word(&role.to_ascii_uppercase()));
        request.extensions_mut().insert(Caller { actor: caller.actor, side });
        next.run(request).await
    } else {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests").into_response()
    };
    limited::tell(response.headers_mut(), &verdict, now);
    response
}

/// Carries out a command as its caller.
pub(super) async fn chat(front: &Front, caller: &Caller, command: ChatCommand) -> Result<ChatReply, Refusal> {
    // A service that speaks this API is a user like the others, by its own id.
    let acting = caller.actor.service.then(|| caller.id().clone());
    front.inquirer.chat(caller.actor.clone(), acting, command).await
}

/// Reads as somebody in the caller's room.
async fn read_as(
    front: &Front,
    caller: &Caller,
    user: &Id,
    command: ChatCommand,
) -> Result<ChatReply, Refusal> {
    let key = Key::new(caller.actor.key.realm, user.clone());
    front.inquirer.chat(Actor { key, service: false }, None, command).await
}

/// A shard gave a reply that does not fit the command.
pub(super) fn unexpected(reply: &ChatReply) -> Problem {
    tracing::error!(?reply, "a shard gave the wrong kind of reply: this is a bug in Muster");
    Problem::internal()
}

/// The room of a path.
pub(super) fn room(path: Result<Path<String>, PathRejection>, caller: &Caller) -> Result<Room, Problem> {
    let found = path.ok().and_then(|Path(text)| Room::read(&text, caller.id()));
    found.ok_or_else(Problem::no_room)
}

/// A room as it is now.
#[derive(Debug)]
pub struct Found {
    /// The conversation.
    pub conversation: Arc<Conversation>,
    /// Its members.
    pub sides: Sides,
}

impl Found {
    /// Of a conversation.
    ///
    /// # Errors
    /// When it is no room.
    pub fn of(conversation: Arc<Conversation>) -> Result<Self, Problem> {
        let sides = Sides::of(&conversation).ok_or_else(Problem::no_room)?;
        Ok(Self { conversation, sides })
    }

    /// The caller's room of this name; `None`: there is none.
    pub(super) async fn look(front: &Front, caller: &Caller, room: &Room) -> Result<Option<Self>, Problem> {
        match chat(front, caller, ChatCommand::Find { conversation: room.id() }).await {
            Ok(ChatReply::Conversation(conversation)) => Self::of(conversation).map(Some),
            Ok(other) => Err(unexpected(&other)),
            Err(Refusal::NotFound) => Ok(None),
            Err(refusal) => Err(Problem::of(refusal)),
        }
    }

    /// The same, which must be there.
    pub(super) async fn find(front: &Front, caller: &Caller, room: &Room) -> Result<Self, Problem> {
        Self::look(front, caller, room).await?.ok_or_else(Problem::no_room)
    }

    /// Everything of it: what each side has not seen, and the newest message.
    pub(super) async fn whole(&self, front: &Front, caller: &Caller) -> Result<RoomBody, Problem> {
        let (buyer, seller, last) = tokio::try_join!(
            self.unseen(front, caller, Side::Buyer),
            self.unseen(front, caller, Side::Seller),
            self.last(front, caller)
        )?;
        Ok(RoomBody::whole(&self.sides, &self.conversation, [buyer, seller], last.as_ref()))
    }

    async fn unseen(&self, front: &Front, caller: &Caller, side: Side) -> Result<u64, Problem> {
        let command = ChatCommand::Unread { conversation: self.conversation.id };
        match read_as(front, caller, self.sides.room.on(side), command).await {
            Ok(ChatReply::Count(count)) => Ok(count),
            Ok(other) => Err(unexpected(&other)),
            Err(refusal) => Err(Problem::of(refusal)),
        }
    }

    /// The newest message that anybody sees.
    async fn last(&self, front: &Front, caller: &Caller) -> Result<Option<Message>, Problem> {
        let sees_more = Side::BOTH.into_iter().min_by_key(|side| self.sides.hidden_to(*side));
        let user = self.sides.room.on(sees_more.unwrap_or(Side::Buyer));
        let command = ChatCommand::History {
            conversation: self.conversation.id,
            before: None,
            after: None,
            forward: false,
            limit: NEWEST,
        };
        match read_as(front, caller, user, command).await {
            Ok(ChatReply::History(history)) => {
                Ok(history.messages.into_iter().find(|message| !message.deleted))
            }
            Ok(other) => Err(unexpected(&other)),
            Err(refusal) => Err(Problem::of(refusal)),
        }
    }
}
