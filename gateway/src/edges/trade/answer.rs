//! What a session is answered. Clients of this API ask for no acks: what they asked for comes as an event, a failure as the
//! event `error`. To one that does ask, an ack says the same: `{"status":true,…}` or `{"status":false,"message":"…"}`.

use schema::chat::ChatReply;
use schema::{Id, Refusal, Reply};

use super::hear::{Letter, Wanted, What};
use super::words::{Done, NewMessage, RoomMade, json};
use crate::api::trade::Problem;
use crate::api::trade::problem::Failure;

/// What a reply comes to.
#[derive(Debug, PartialEq)]
pub enum Outcome {
    /// It is done.
    Done {
        /// The argument of the ack.
        ack: String,
        /// An event for this session only, and its argument: what others were told before.
        again: Option<(&'static str, String)>,
    },
    /// Something else comes first.
    Next(Wanted),
    /// It cannot be done.
    Failed(Problem),
}

/// What the reply to a command of `user` comes to.
#[must_use]
pub fn outcome(what: What, user: &Id, result: &Result<Reply, Refusal>) -> Outcome {
    let reply = match result {
        Ok(Reply::Chat(reply)) => &**reply,
        Ok(other) => {
            tracing::error!(?other, "a shard gave the wrong kind of reply: this is a bug in Muster");
            return Outcome::Failed(Problem::internal());
        }
        Err(refusal) => return refused(what, *refusal),
    };
    match (what, reply) {
        (What::Make(room), ChatReply::Made { conversation, new }) => {
            let made = RoomMade::new(&room, conversation, user);
            let again = (!new).then(|| ("create_room", json(&made)));
            Outcome::Done { ack: json(&Done::with(made)), again }
        }
        (What::Send(letter), ChatReply::Message { message, again }) => {
            let said = NewMessage::new(&letter.room, message);
            let again = again.then(|| ("new_message", json(&said)));
            Outcome::Done { ack: json(&Done::with(said)), again }
        }
        (What::MakeFor(letter), ChatReply::Made { .. }) => {
            Outcome::Next(Wanted::send(Box::new(Letter { room_is_new: true, ..*letter })))
        }
        (What::Typing | What::Seen, ChatReply::Done) => {
            Outcome::Done { ack: json(&Done::PLAIN), again: None }
        }
        (_, reply) => {
            tracing::error!(?reply, "a shard gave the wrong kind of reply: this is a bug in Muster");
            Outcome::Failed(Problem::internal())
        }
    }
}

fn refused(what: What, refusal: Refusal) -> Outcome {
    match (what, refusal) {
        (What::Send(letter), Refusal::NotFound) if !letter.room_is_new => {
            Outcome::Next(Wanted::make_for(letter))
        }
        (_, refusal) => Outcome::Failed(Problem::of(refusal)),
    }
}

/// The argument of a failure.
#[must_use]
pub fn failure(problem: &Problem) -> String {
    json(&Failure { status: false, message: problem.message.clone().into_owned() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schema::chat::{ChatCommand, Conversation, Draft, Kind, Message, MessageId};

    use super::*;
    use crate::api::trade::names::Room;

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    fn room() -> Room {
        Room { buyer: id("42"), seller: id("7") }
    }

    fn letter(room_is_new: bool) -> What {
        let draft = Draft {
            conversation: room().id(),
            client_id: None,
            kind: 0,
            content: "hi".into(),
            attachment: None,
        };
        What::Send(Box::new(Letter { room: room(), draft, room_is_new }))
    }

    fn replied(what: What, reply: ChatReply) -> Outcome {
        outcome(what, &id("42"), &Ok(Reply::Chat(Box::new(reply))))
    }

    #[test]
    fn a_retry_is_told_to_this_session_only() {
        let message = Message {
            id: MessageId { conversation: room().id(), at: 7 },
            sequence: 1,
            sent: 1,
            sender: id("42"),
            to: None,
            row: 1,
            client_id: None,
            kind: 0,
            content: "hi".into(),
            attachment: None,
            updated_at: 7,
            edited: false,
            deleted: false,
            reads: Vec::new(),
        };
        for again in [false, true] {
            let reply = ChatReply::Message { message: message.clone(), again };
            match replied(letter(false), reply) {
                Outcome::Done { ack, again: told } => {
                    assert!(ack.starts_with(r#"{"status":true,"data":{"_id":""#), "{ack}");
                    let told = told.map(|(name, body)| (name, ack.contains(&body)));
                    assert_eq!(told, again.then_some(("new_message", true)));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_room_that_is_not_there_is_made_once() {
        let next = match outcome(letter(false), &id("42"), &Err(Refusal::NotFound)) {
            Outcome::Next(Wanted { command: ChatCommand::Create(new), what: what @ What::MakeFor(_) }) => {
                assert_eq!((new.kind, &new.extra[..]), (Kind::Trade, &br#"{"silent":true}"#[..]));
                what
            }
            other => panic!("{other:?}"),
        };
        let conversation = Arc::new(Conversation {
            id: room().id(),
            kind: Kind::Trade,
            name: None,
            creator: id("42"),
            extra: [].into(),
            created_at: 1,
            updated_at: 1,
            members_count: 2,
            members: Vec::new(),
        });
        let made = ChatReply::Made { conversation: Arc::clone(&conversation), new: true };
        match replied(next, made) {
            Outcome::Next(Wanted { what, .. }) => {
                assert_eq!(what, letter(true));
                let failed = outcome(what, &id("42"), &Err(Refusal::NotFound));
                assert_eq!(failed, Outcome::Failed(Problem::no_room()));
            }
            other => panic!("{other:?}"),
        }
        for new in [true, false] {
            let made = ChatReply::Made { conversation: Arc::clone(&conversation), new };
            match replied(What::Make(Box::new(room())), made) {
                Outcome::Done { again, .. } => assert_eq!(again.is_some(), !new),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn refusals_are_in_the_words_of_the_api() {
        for (refusal, words) in [
            (Refusal::Blocked, r#"{"status":false,"message":"Room is blocked"}"#),
            (Refusal::Forbidden, r#"{"status":false,"message":"You do not have the authorization"}"#),
            (Refusal::NotFound, r#"{"status":false,"message":"Room not found!"}"#),
        ] {
            match outcome(What::Seen, &id("42"), &Err(refusal)) {
                Outcome::Failed(problem) => assert_eq!(failure(&problem), words),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(
            replied(What::Typing, ChatReply::Done),
            Outcome::Done { ack: r#"{"status":true}"#.into(), again: None }
        );
    }
}
