//! What stands before every call about conversations and messages: the token, and the caller's limit.
//!
//! The order: the token is verified, the call is counted, the rest is looked at. So a bad token costs the user nothing,
//! and a bad request costs one call. Paths and methods that there are not need no token.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use schema::chat::{ChatCommand, ChatReply, ConversationId, MessageId};
use schema::{Actor, Refusal};

use super::Problem;
use crate::http::client_addr::Client;
use crate::http::{Front, limited};

/// The middleware of these calls; their handlers find the [`Actor`] in the request's extensions.
pub async fn gate(State(front): State<Arc<Front>>, mut request: Request, next: Next) -> Response {
    let Some(client) = request.extensions().get::<Client>().copied() else {
        // What surrounds every call puts it there.
        return Problem::internal().into_response();
    };
    let caller = match front.caller(request.headers(), client) {
        Ok(caller) => caller,
        Err(denied) => return Problem::from(denied).into_response(),
    };
    let now = front.clock.unix_ms();
    let verdict = front.limits.messaging.hit(&caller.actor.key, now);
    let mut response = if verdict.allowed {
        request.extensions_mut().insert(caller.actor);
        next.run(request).await
    } else {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests").into_response()
    };
    limited::tell(response.headers_mut(), &verdict, now);
    response
}

/// What a call says of the refusals that mean something of its own.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// To someone who may not.
    pub forbidden: &'static str,
    /// Where there is no such thing.
    pub missing: &'static str,
    /// Where it is there already.
    pub conflict: &'static str,
    /// Where it cannot be done here.
    pub invalid: &'static str,
    /// Where there is no room for more.
    pub full: &'static str,
}

impl Told {
    /// Of a call about a conversation.
    pub const CONVERSATION: Self = Self {
        forbidden: "You are not a participant in this conversation",
        missing: "Conversation not found",
        conflict: "It is there already",
        invalid: "This cannot be done in this conversation",
        full: "This conversation has no room for more participants",
    };

    /// Of a call about a message.
    pub const MESSAGE: Self = Self { missing: "Message not found", ..Self::CONVERSATION };

    /// Of an edit.
    pub const EDIT: Self = Self { forbidden: "Only the sender can edit this message", ..Self::MESSAGE };

    /// Of taking back.
    pub const REMOVE: Self = Self { forbidden: "Only the sender can delete this message", ..Self::MESSAGE };

    /// Of having read one.
    pub const READ: Self = Self {
        full: "Too many messages were read one by one; mark all of the conversation as read",
        ..Self::MESSAGE
    };

    /// A refusal in the words of this API.
    #[must_use]
    pub fn of(&self, refusal: Refusal) -> Problem {
        match refusal {
            Refusal::Forbidden => Problem::forbidden(self.forbidden),
            Refusal::Blocked => Problem::forbidden("A participant has blocked this conversation"),
            Refusal::NotFound => Problem::not_found(self.missing),
            Refusal::Gone => Problem::not_found("This message was deleted"),
            Refusal::Conflict => Problem::conflict(self.conflict),
            Refusal::Invalid => Problem::bad(self.invalid),
            Refusal::LimitReached => Problem::bad(self.full),
            other => other.into(),
        }
    }
}

/// Carries out a command as its caller.
pub(super) async fn chat(
    front: &Front,
    actor: Actor,
    command: ChatCommand,
    told: &Told,
) -> Result<ChatReply, Problem> {
    // A service that speaks this API is a user like the others, by its own id.
    let acting = actor.service.then(|| actor.key.id.clone());
    front.inquirer.chat(actor, acting, command).await.map_err(|refusal| told.of(refusal))
}

/// A shard gave a reply that does not fit the command.
pub fn unexpected(reply: &ChatReply) -> Problem {
    tracing::error!(?reply, "a shard gave the wrong kind of reply: this is a bug in Muster");
    Problem::internal()
}

/// The conversation of a path. Clients have ids that were never ours, and are told what is true: there is no such
/// conversation.
pub(super) fn conversation(path: Result<Path<String>, PathRejection>) -> Result<ConversationId, Problem> {
    let found = path.ok().and_then(|Path(text)| text.parse().ok());
    found.ok_or_else(|| Problem::not_found(Told::CONVERSATION.missing))
}

/// The message of a path.
pub(super) fn message(path: Result<Path<String>, PathRejection>) -> Result<MessageId, Problem> {
    let found = path.ok().and_then(|Path(text)| text.parse().ok());
    found.ok_or_else(|| Problem::not_found(Told::MESSAGE.missing))
}
