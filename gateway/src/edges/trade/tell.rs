//! What a client is told of what happened in its user's rooms. Who is told depends on whose the session is, so events are
//! made for each: a room has two.
//!
//! | event | who is told |
//! |---|---|
//! | `create_room` | its maker |
//! | `new_message` | both, the session that sent it included |
//! | `typing`, `stop_typing` | both, but not the session that types (the machine leaves it out) |
//! | `seen_messages` | who was seen, not who has seen |
//! | `room_deletion` | both |

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
    /// Its user has deleted it.
    Gone(Room),
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
            match change.hidden.filter(|_| member.user == *user)? {
                false => Some(Concern::Counts { room, new: false }),
                true => Some(Concern::Gone(room)),
            }
        }
        _ => None,
    }
}
