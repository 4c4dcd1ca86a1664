//! What a client is told of what happened in its user's rooms. Who is told depends on whose the session is, so events are
//! made for each: a room has two.
//!
//! | event | who is told |
//! |---|---|
//! | `create_room` | its maker, and who makes it again |
//! | `new_message` | both, the session that sent it included |
//! | `typing`, `stop_typing` | both, but not the session that types (the machine leaves it out) |
//! | `seen_messages` | who was seen, not who has seen |
//! | `room_deletion` | both |
//! | `user_status_change` | the other one, when who had deleted a room shows it again |

use schema::Id;
use schema::chat::{ChatEvent, MessageId};

use super::words::{NewMessage, RoomDeletion, RoomMade, Seen, Toward, json};
use crate::api::trade::extra::Extra;
use crate::api::trade::names::Room;

/// What an event means to a session beside what it is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Concern {
    /// The room counts (again). `new`: it was not there before.
    #[allow(missing_docs, reason = "told above")]
    Counts { room: Room, new: bool },
    /// Its user has deleted it, or it is no more.
    Gone(Room),
    /// The other one, who had deleted it, shows it again.
    Back(Room),
}

/// Calls `emit` with the name and the argument of each event that a session of `user` is told.
pub fn tell(event: &ChatEvent, user: &Id, emit: &mut dyn FnMut(&str, &str)) -> Option<Concern> {
    match event {
        ChatEvent::Said(message) => {
            let other = if message.sender == *user { message.to.as_deref()? } else { &message.sender };
            let room = Room::of_two(message.id.conversation, user, other)?;
            emit("new_message", &json(&NewMessage::new(&room, message)?));
            Some(Concern::Counts { room, new: false })
        }
        ChatEvent::Created(conversation) => {
            let room = Room::of(conversation)?;
            let silent = Extra::read(&conversation.extra).silent;
            if conversation.creator == *user && !silent {
                emit("create_room", &json(&RoomMade::new(&room, conversation, user)));
            }
            Some(Concern::Counts { room, new: true })
        }
        ChatEvent::Typing { conversation, user: from, on, with: Some(with), .. } => {
            let room = Room::of_two(*conversation, from, with)?;
            emit(if *on { "typing" } else { "stop_typing" }, &json(&Toward::new(&room, from)?));
            None
        }
        ChatEvent::ReadAll { conversation, user: from, up_to, .. } if from != user && *up_to > 0 => {
            let room = Room::of_two(*conversation, from, user)?;
            let last = MessageId { conversation: *conversation, at: *up_to };
            emit("seen_messages", &json(&Seen::new(&room, from, last)?));
            None
        }
        ChatEvent::MemberChanged { conversation, member, with: Some(with), change } => {
            let room = Room::of_two(*conversation, &member.user, with)?;
            if change.hidden == Some(true) {
                emit("room_deletion", &json(&RoomDeletion::new(&room, room.side(&member.user)?)));
            }
            match (change.hidden?, member.user == *user) {
                (false, true) => Some(Concern::Counts { room, new: false }),
                (true, true) => Some(Concern::Gone(room)),
                (false, false) => Some(Concern::Back(room)),
                (true, false) => None,
            }
        }
        // By a back end: no event of the API says so, but the other one is none of the user's any more.
        ChatEvent::Deleted { conversation, pair: Some([one, other]) } => {
            Room::of_two(*conversation, one, other).map(Concern::Gone)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use schema::chat::{Conversation, ConversationId, Kind, Member, MemberChange, Message, MessageId, Role};
    use serde_json::{Value, json};

    use super::*;

    const AT: u64 = 1_764_085_500_007;
    const TIME: &str = "2025-11-25T15:45:00.007Z";

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    fn room() -> Room {
        Room { buyer: id("42"), seller: id("7") }
    }

    fn message(from: &str, to: &str) -> Message {
        Message {
            id: MessageId { conversation: room().id(), at: AT },
            sequence: 1,
            sent: 1,
            sender: id(from),
            to: Some(Box::new(id(to))),
            row: 1,
            client_id: Some("c-1".into()),
            kind: 2,
            content: "👋".into(),
            attachment: None,
            updated_at: AT,
            edited: false,
            deleted: false,
            reads: Vec::new(),
        }
    }

    fn member(user: &str, role: Role, hidden_at: Option<u64>) -> Member {
        Member {
            row: 1,
            user: id(user),
            role,
            joined_at: AT,
            read_at: None,
            read_to: 0,
            hidden_to: 0,
            hidden_at,
            pinned_at: None,
            blocked: false,
        }
    }

    fn conversation(creator: &str, extra: &str) -> Arc<Conversation> {
        Arc::new(Conversation {
            id: room().id(),
            kind: Kind::Trade,
            name: None,
            creator: id(creator),
            extra: extra.as_bytes().into(),
            created_at: AT,
            updated_at: AT,
            members_count: 2,
            members: vec![member("42", Role::Buyer, None), member("7", Role::Seller, None)],
        })
    }

    /// What the session of a user is told, and what it means to it.
    fn told(event: &ChatEvent, user: &str) -> (Vec<(String, Value)>, Option<Concern>) {
        let mut told = Vec::new();
        let concern = tell(event, &id(user), &mut |name, json| {
            told.push((name.to_owned(), serde_json::from_str(json).unwrap()));
        });
        (told, concern)
    }

    fn one(name: &str, body: &Value) -> Vec<(String, Value)> {
        vec![(name.to_owned(), body.clone())]
    }

    #[test]
    fn messages_are_told_to_both() {
        let said = ChatEvent::Said(message("42", "7"));
        let body = json!({
            "_id": message("42", "7").id.to_string(), "room_id": "42.7", "from": "42", "to": "7", "type": "EMOJI",
            "content": "👋", "client_message_id": "c-1", "created_at": TIME,
        });
        let counts = Some(Concern::Counts { room: room(), new: false });
        for user in ["42", "7"] {
            assert_eq!(told(&said, user), (one("new_message", &body), counts.clone()), "{user}");
        }
        let direct = ConversationId::of_pair(&id("42"), &id("7"));
        let elsewhere = Message { id: MessageId { conversation: direct, at: AT }, ..message("42", "7") };
        assert_eq!(told(&ChatEvent::Said(elsewhere), "7"), (vec![], None));
    }

    #[test]
    fn a_room_is_told_to_its_maker() {
        let body = json!({
            "_id": "42.7", "room_id": "42.7", "type": "BS", "buyer": "42", "seller": "7", "shop_id": 3, "creator": "7",
        });
        let counts = Some(Concern::Counts { room: room(), new: true });
        let made = ChatEvent::Created(conversation("7", r#"{"shop_id":3,"shop":{"id":3}}"#));
        assert_eq!(told(&made, "7"), (one("create_room", &body), counts.clone()));
        assert_eq!(told(&made, "42"), (vec![], counts.clone()));
        let silent = ChatEvent::Created(conversation("7", r#"{"silent":true}"#));
        assert_eq!(told(&silent, "7"), (vec![], counts));
        let direct = Conversation { kind: Kind::Direct, ..Conversation::clone(&conversation("7", "")) };
        assert_eq!(told(&ChatEvent::Created(Arc::new(direct)), "7"), (vec![], None));
    }

    #[test]
    fn typing_is_told_to_both_and_seen_to_who_was_seen() {
        let typing = |on| ChatEvent::Typing {
            conversation: room().id(),
            user: id("7"),
            on,
            with: Some(id("42")),
            by: None,
        };
        let body = json!({"room_id": "42.7", "from": "7", "to": "42"});
        for user in ["42", "7"] {
            assert_eq!(told(&typing(true), user).0, one("typing", &body));
            assert_eq!(told(&typing(false), user).0, one("stop_typing", &body));
        }
        let last = MessageId { conversation: room().id(), at: AT };
        let seen = |up_to| ChatEvent::ReadAll {
            conversation: room().id(),
            user: id("7"),
            at: AT + 9,
            up_to,
            newly: vec![last],
        };
        let body = json!({
            "room_id": "42.7", "from": "7", "to": "42", "last_message_id": last.to_string(),
            "last_message_created_at": TIME,
        });
        assert_eq!(told(&seen(AT), "42").0, one("seen_messages", &body));
        assert_eq!(told(&seen(AT), "7").0, []);
        assert_eq!(told(&seen(0), "42").0, []);
    }

    #[test]
    fn a_deleted_room_is_told_to_both_and_is_gone_for_one() {
        let changed = |change: MemberChange| ChatEvent::MemberChanged {
            conversation: room().id(),
            member: member("7", Role::Seller, change.hidden.filter(|hidden| *hidden).map(|_| AT)),
            with: Some(id("42")),
            change,
        };
        let hidden = |hidden| changed(MemberChange { hidden: Some(hidden), ..MemberChange::default() });
        let body = json!({"room_id": "42.7", "seller": "7", "buyer": "42", "deletion_role": "SELLER"});
        let deletion = one("room_deletion", &body);
        assert_eq!(told(&hidden(true), "7"), (deletion.clone(), Some(Concern::Gone(room()))));
        assert_eq!(told(&hidden(true), "42"), (deletion, None));
        assert_eq!(told(&hidden(false), "7"), (vec![], Some(Concern::Counts { room: room(), new: false })));
        assert_eq!(told(&hidden(false), "42"), (vec![], Some(Concern::Back(room()))));
        let pair = Some([id("7"), id("42")]);
        let deleted = ChatEvent::Deleted { conversation: room().id(), pair };
        assert_eq!(told(&deleted, "42"), (vec![], Some(Concern::Gone(room()))));
        let blocked = changed(MemberChange { blocked: Some(true), ..MemberChange::default() });
        assert_eq!(told(&blocked, "42"), (vec![], None));
    }
}
