//! What clients are answered: an ack `{"success":true,…}` with the keys of what the others are told, or
//! `{"success":false,"error":"…","message":"…","statusCode":…}`; without an ack, a failure is the event `error`.

use schema::chat::{ChatCommand, ChatReply, ConversationId, Message};
use schema::{Refusal, Reply};
use serde::Serialize;

use super::hear::{ToSomebody, Wanted, What};
use super::words::{Edited, OfConversation, OfMessage, json};
use crate::api::messaging::Problem;
use crate::api::messaging::conversations::direct;
use crate::api::messaging::gate::{Told, unexpected};
use crate::api::messaging::problem::Failure;
use crate::api::messaging::words::MessageBody;

/// What a reply comes to.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// It is done: the argument of the ack.
    Done(String),
    /// Something else comes first.
    Next(Wanted),
    /// It cannot be done.
    Failed(Problem),
}

#[derive(Serialize)]
struct Acked<T> {
    success: bool,
    #[serde(flatten)]
    body: T,
}

/// A message that was sent; by its id as in the acks of all that is done to messages, too.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    message_id: String,
    #[serde(flatten)]
    message: MessageBody,
}

impl From<&Message> for Sent {
    fn from(message: &Message) -> Self {
        Self { message_id: message.id.to_string(), message: MessageBody::sent(message) }
    }
}

/// What the reply to a command comes to.
#[must_use]
pub fn outcome(what: What, result: &Result<Reply, Refusal>) -> Outcome {
    let reply = match result {
        Ok(Reply::Chat(reply)) => &**reply,
        Ok(other) => {
            tracing::error!(?other, "a shard gave the wrong kind of reply: this is a bug in Muster");
            return Outcome::Failed(Problem::internal());
        }
        Err(refusal) => return refused(what, *refusal),
    };
    let done = match (what, reply) {
        (What::Send(_), ChatReply::Message { message, .. }) => success(Sent::from(message)),
        (What::Edit, ChatReply::Message { message, .. }) => success(Edited::from(message)),
        (What::Remove, ChatReply::Message { message, .. }) => success(OfMessage::from(message.id)),
        (What::Read(message), ChatReply::Done) => success(OfMessage::from(message)),
        (
            What::Join(conversation)
            | What::Leave(conversation)
            | What::Typing(conversation)
            | What::ReadAll(conversation),
            ChatReply::Done,
        ) => success(OfConversation::from(conversation)),
        (What::Make(somebody), ChatReply::Made { .. }) => {
            let command = ChatCommand::Send(Box::new(somebody.draft));
            return Outcome::Next(Wanted { command, what: What::Send(None) });
        }
        _ => return Outcome::Failed(unexpected(reply)),
    };
    Outcome::Done(done)
}

fn refused(what: What, refusal: Refusal) -> Outcome {
    match (what, refusal) {
        (What::Send(Some(somebody)), Refusal::NotFound) => {
            let ToSomebody { from, to, .. } = &*somebody;
            let new = direct(from, std::slice::from_ref(to));
            let command = ChatCommand::Create(Box::new(new));
            Outcome::Next(Wanted { command, what: What::Make(somebody) })
        }
        (what, refusal) => Outcome::Failed(what.told().of(refusal)),
    }
}

impl What {
    /// What is said of its refusals.
    fn told(&self) -> Told {
        match self {
            Self::Join(_) => {
                Told { full: "Too many conversations are joined; leave some first", ..Told::CONVERSATION }
            }
            Self::Leave(_) | Self::Typing(_) | Self::Send(_) | Self::Make(_) | Self::ReadAll(_) => {
                Told::CONVERSATION
            }
            Self::Edit => Told::EDIT,
            Self::Remove => Told::REMOVE,
            Self::Read(_) => Told::READ,
        }
    }
}

fn success(body: impl Serialize) -> String {
    json(&Acked { success: true, body })
}

/// The argument of `conversation:joined`.
#[must_use]
pub fn joined(conversation: ConversationId) -> String {
    json(&OfConversation::from(conversation))
}

/// The argument of the ack of a failure.
#[must_use]
pub fn failed(problem: Problem) -> String {
    json(&Acked::<Failure> { success: false, body: problem.failure() })
}

/// The argument of the event `error`.
#[must_use]
pub fn error(problem: Problem) -> String {
    json(&problem.failure())
}

#[cfg(test)]
mod tests {
    use schema::Id;
    use schema::chat::MessageId;
    use serde_json::{Value, json};

    use super::super::tell::tests::message;
    use super::*;

    fn acked(what: What, reply: ChatReply) -> Value {
        match outcome(what, &Ok(Reply::Chat(Box::new(reply)))) {
            Outcome::Done(json) => serde_json::from_str(&json).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn acks_have_the_keys_of_what_others_are_told() {
        let message = message();
        let (id, conversation) = (message.id.to_string(), message.id.conversation.to_string());
        let said = || ChatReply::Message { message: message.clone(), again: false };
        let sent = json!({
            "success": true, "messageId": id, "id": id, "conversationId": conversation, "senderId": "ann", "content": "Hello!",
            "attachmentUrl": "http://h/x", "attachmentType": "image", "isEdited": false, "isDeleted": false,
            "createdAt": "2025-11-25T15:45:00.007Z", "updatedAt": "2025-11-25T15:45:00.007Z",
            "clientMessageId": "m-1",
        });
        let edited = json!({
            "success": true, "messageId": id, "conversationId": conversation, "content": "Hello!",
            "isEdited": false, "updatedAt": "2025-11-25T15:45:00.007Z",
        });
        let of_message = json!({"success": true, "messageId": id, "conversationId": conversation});
        let of_conversation = json!({"success": true, "conversationId": conversation});
        let (at, place) = (message.id, message.id.conversation);
        for (what, reply, expected) in [
            (What::Send(None), said(), sent),
            (What::Edit, said(), edited),
            (What::Remove, said(), of_message.clone()),
            (What::Read(at), ChatReply::Done, of_message),
            (What::Join(place), ChatReply::Done, of_conversation.clone()),
            (What::Leave(place), ChatReply::Done, of_conversation.clone()),
            (What::Typing(place), ChatReply::Done, of_conversation.clone()),
            (What::ReadAll(place), ChatReply::Done, of_conversation),
        ] {
            assert_eq!(acked(what, reply), expected);
        }
    }

    #[test]
    fn failures_in_the_words_of_the_api() {
        let place = ConversationId::from_number(7);
        let at = MessageId { conversation: place, at: 7 };
        for (what, refusal, status, words) in [
            (What::Join(place), Refusal::Forbidden, 403, "You are not a participant in this conversation"),
            (What::Send(None), Refusal::NotFound, 404, "Conversation not found"),
            (What::Send(None), Refusal::Blocked, 403, "A participant has blocked this conversation"),
            (
                What::Join(place),
                Refusal::LimitReached,
                400,
                "Too many conversations are joined; leave some first",
            ),
            (What::Edit, Refusal::Forbidden, 403, "Only the sender can edit this message"),
            (What::Edit, Refusal::Gone, 404, "This message was deleted"),
            (What::Remove, Refusal::Forbidden, 403, "Only the sender can delete this message"),
            (What::Read(at), Refusal::NotFound, 404, "Message not found"),
            (What::Typing(place), Refusal::RateLimited, 429, "too many commands; slow down"),
            (
                What::ReadAll(place),
                Refusal::Unavailable,
                503,
                "the store cannot take writes now; try again later",
            ),
        ] {
            let Outcome::Failed(problem) = outcome(what, &Err(refusal)) else { panic!("{refusal:?}") };
            let names = ["Bad Request", "Forbidden", "Not Found", "Too Many Requests", "Service Unavailable"];
            let name = names[[400, 403, 404, 429, 503].iter().position(|known| *known == status).unwrap()];
            let body = json!({"error": name, "message": words, "statusCode": status});
            assert_eq!(serde_json::from_str::<Value>(&error(problem.clone())).unwrap(), body);
            let mut acked = body;
            acked["success"] = json!(false);
            assert_eq!(serde_json::from_str::<Value>(&failed(problem)).unwrap(), acked);
        }
    }

    #[test]
    fn a_conversation_that_is_missing_is_made_first() {
        let [ann, bob] = ["ann", "bob"].map(|text| Id::new(text).unwrap());
        let conversation = ConversationId::of_pair(&ann, &bob);
        let draft = || schema::chat::Draft {
            conversation,
            client_id: None,
            kind: 0,
            content: "hi".into(),
            attachment: None,
        };
        let somebody = || Box::new(ToSomebody { from: ann.clone(), to: bob.clone(), draft: draft() });
        let Outcome::Next(next) = outcome(What::Send(Some(somebody())), &Err(Refusal::NotFound)) else {
            panic!("it is not made");
        };
        assert_eq!(next.what, What::Make(somebody()));
        assert!(matches!(&next.command, ChatCommand::Create(new) if new.id == Some(conversation)));
        let made = ChatReply::Made { conversation: super::super::tell::tests::conversation(), new: true };
        let again = outcome(next.what, &Ok(Reply::Chat(Box::new(made))));
        let command = ChatCommand::Send(Box::new(draft()));
        assert_eq!(again, Outcome::Next(Wanted { command, what: What::Send(None) }));
        // Anything else is a refusal like any other.
        let refused = outcome(What::Send(Some(somebody())), &Err(Refusal::Blocked));
        assert!(matches!(refused, Outcome::Failed(problem) if problem.status.as_u16() == 403));
    }

    #[test]
    fn a_reply_that_does_not_fit_is_our_fault() {
        let Outcome::Failed(problem) = outcome(What::Edit, &Ok(Reply::Count(7))) else { panic!("it fits") };
        assert_eq!(problem.status.as_u16(), 500);
    }
}
