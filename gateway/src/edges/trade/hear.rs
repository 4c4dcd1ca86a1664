//! What clients say in events: a name and its argument become a command.

use schema::Id;
use schema::chat::{ChatCommand, Draft, MessageId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::trade::Problem;
use crate::api::trade::input::{self, NewMessage, NewRoom, Text, Toward};
use crate::api::trade::names::Room;
use crate::http::strict;
use crate::socketio::Event;
use crate::timestamp;

/// What an event asks for.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// To carry out a command.
    Command(Wanted),
    /// To go on under another token.
    Verify(Verify),
}

/// A command, and what is to be made of its reply.
#[derive(Debug, PartialEq)]
pub struct Wanted {
    /// The command.
    pub command: ChatCommand,
    /// What it is for.
    pub what: What,
}

/// What a command is for.
#[derive(Debug, PartialEq)]
pub enum What {
    /// To make a room.
    Make(Box<Room>),
    /// To say something in a room, which may not be there yet.
    Send(Box<Letter>),
    /// To make the room in which something is to be said.
    MakeFor(Box<Letter>),
    /// To let the other one see that one types, or no longer.
    Typing,
    /// To have seen what was said.
    Seen,
}

/// A message and its room.
#[derive(Clone, Debug, PartialEq)]
pub struct Letter {
    /// Where.
    pub room: Room,
    /// What.
    pub draft: Draft,
    /// Its room has been made for it.
    pub room_is_new: bool,
}

/// A client shows a token again.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Verify {
    /// The token.
    #[serde(default)]
    pub token: Option<String>,
    /// Whose it is.
    pub user_id: Option<Text>,
    /// On which side.
    pub user_role: Option<String>,
}

/// The events that are known.
#[derive(Clone, Copy)]
enum Name {
    CreateRoom,
    NewMessage,
    Typing,
    StopTyping,
    SeenMessages,
    VerifyUser,
}

impl Name {
    fn read(name: &str) -> Option<Self> {
        Some(match name {
            "create_room" => Self::CreateRoom,
            "new_message" => Self::NewMessage,
            "typing" => Self::Typing,
            "stop_typing" => Self::StopTyping,
            "seen_messages" => Self::SeenMessages,
            "verify_user" => Self::VerifyUser,
            _ => return None,
        })
    }
}

#[derive(Deserialize)]
struct Seen {
    #[serde(flatten)]
    toward: Toward,
    last_message_id: Option<Text>,
    last_message_created_at: Option<Value>,
}

/// What an event of `caller` asks for. `longest`: characters of a user's id.
///
/// # Errors
/// When it asks for nothing that there is.
pub fn hear(event: &Event<'_>, caller: &Id, longest: u16) -> Result<Heard, Problem> {
    let Some(name) = Name::read(event.name) else {
        let shown: String = event.name.chars().take(40).collect();
        return Err(Problem::bad(format!("There is no event {shown:?}")));
    };
    if !event.arguments.attachments().is_empty() {
        return Err(Problem::bad(format!("{} takes no binary data", event.name)));
    }
    let wants = |command, what| Heard::Command(Wanted { command, what });
    Ok(match name {
        Name::CreateRoom => {
            let plan = object::<NewRoom>(event)?.plan(longest, caller)?;
            let new = Box::new(plan.conversation());
            wants(ChatCommand::Create(new), What::Make(Box::new(plan.room)))
        }
        Name::NewMessage => {
            let (room, draft) = object::<NewMessage>(event)?.letter(caller)?;
            let letter = Letter { room, draft, room_is_new: false };
            Heard::Command(Wanted::send(Box::new(letter)))
        }
        Name::Typing | Name::StopTyping => {
            let conversation = object::<Toward>(event)?.room(caller)?.id();
            let on = matches!(name, Name::Typing);
            wants(ChatCommand::Typing { conversation, on }, What::Typing)
        }
        Name::SeenMessages => {
            let seen: Seen = object(event)?;
            let conversation = seen.toward.room(caller)?.id();
            let up_to = Some(seen.up_to()?);
            wants(ChatCommand::ReadAll { conversation, up_to }, What::Seen)
        }
        Name::VerifyUser => Heard::Verify(object(event)?),
    })
}

impl Wanted {
    /// To send a message.
    #[must_use]
    pub fn send(letter: Box<Letter>) -> Self {
        let command = ChatCommand::Send(Box::new(letter.draft.clone()));
        Self { command, what: What::Send(letter) }
    }

    /// To make the room of a message, which is told to nobody before the message is.
    #[must_use]
    pub fn make_for(letter: Box<Letter>) -> Self {
        let command = ChatCommand::Create(Box::new(input::silent_conversation(&letter.room)));
        Self { command, what: What::MakeFor(letter) }
    }
}

impl Seen {
    /// When the last message that was seen was said.
    fn up_to(&self) -> Result<u64, Problem> {
        let bad = || Problem::bad("last_message_created_at must be a time such as 2026-03-30T10:30:00.123Z");
        match &self.last_message_created_at {
            Some(Value::String(text)) if !text.is_empty() => timestamp::read(text).ok_or_else(bad),
            Some(Value::Number(ms)) => ms.as_u64().ok_or_else(bad),
            None | Some(Value::Null) => {
                let id = self.last_message_id.as_ref().and_then(|id| id.0.parse::<MessageId>().ok());
                id.map(|id| id.at).ok_or_else(bad)
            }
            Some(_) => Err(bad()),
        }
    }
}

/// The one argument. What a client sends behind it is left alone.
fn object<T: DeserializeOwned>(event: &Event<'_>) -> Result<T, Problem> {
    let text = event.arguments.get(0).unwrap_or_default();
    strict::object(text.as_bytes())
        .map_err(|error| Problem::bad(format!("The argument of {} cannot be used: {error}", event.name)))
}

#[cfg(test)]
mod tests {
    use schema::chat::{ConversationId, Kind, Role};

    use super::*;
    use crate::socketio::{Arguments, Attachment};

    fn said(name: &str, argument: &str) -> Result<Heard, Problem> {
        let event = Event { name, arguments: Arguments::json(argument), ack: None };
        hear(&event, &Id::new("42").unwrap(), 128)
    }

    fn command(name: &str, argument: &str) -> ChatCommand {
        match said(name, argument) {
            Ok(Heard::Command(wanted)) => wanted.command,
            other => panic!("{name} {argument}: {other:?}"),
        }
    }

    fn conversation() -> ConversationId {
        ConversationId::natural(Kind::Trade, &["42", "7"])
    }

    #[test]
    fn events_and_their_commands() {
        let conversation = conversation();
        let toward = r#"{"room_id":"42.7","from":"42","to":7,"x":[1]},"behind""#;
        for (name, on) in [("typing", true), ("stop_typing", false)] {
            assert_eq!(command(name, toward), ChatCommand::Typing { conversation, on });
        }
        let seen = |rest: &str| {
            command("seen_messages", &format!(r#"{{"room_id":"42.7","from":42,"to":"7"{rest}}}"#))
        };
        let up_to = |at| ChatCommand::ReadAll { conversation, up_to: Some(at) };
        let last = MessageId { conversation, at: 1_764_085_500_007 };
        assert_eq!(
            seen(r#","last_message_id":"x","last_message_created_at":"2025-11-25T15:45:00.007Z""#),
            up_to(last.at)
        );
        assert_eq!(seen(r#","last_message_created_at":1764085500007"#), up_to(last.at));
        assert_eq!(seen(&format!(r#","last_message_id":"{last}""#)), up_to(last.at));
        let room = r#"{"type":"BS","buyer":42,"seller":"7","shop_id":"s","creator":"42"}"#;
        match command("create_room", room) {
            ChatCommand::Create(new) => {
                let members: Vec<_> =
                    new.members.iter().map(|member| (member.user.to_string(), member.role)).collect();
                assert_eq!(members, [("42".into(), Role::Buyer), ("7".into(), Role::Seller)]);
                assert_eq!((new.id, new.kind), (Some(conversation), Kind::Trade));
                assert_eq!(&new.extra[..], br#"{"shop_id":"s","shop":{"id":"s"}}"#);
            }
            other => panic!("{other:?}"),
        }
        let message =
            r#"{"room_id":"42.7","from":"42","to":"7","type":"EMOJI","content":"x","client_message_id":17}"#;
        match command("new_message", message) {
            ChatCommand::Send(draft) => {
                assert_eq!((draft.conversation, draft.kind), (conversation, 2));
                assert_eq!((&*draft.content, draft.client_id.as_deref()), ("x", Some("17")));
            }
            other => panic!("{other:?}"),
        }
        let verify = r#"{"token":"t","user_id":42,"user_role":"BUYER"}"#;
        let expected = Verify {
            token: Some("t".into()),
            user_id: Some(Text("42".into())),
            user_role: Some("BUYER".into()),
        };
        assert_eq!(said("verify_user", verify), Ok(Heard::Verify(expected)));
    }

    #[test]
    fn what_cannot_be_used() {
        let deep =
            format!(r#"{{"room_id":"42.7","from":"42","to":"7","x":{}{}}}"#, "[".repeat(90), "]".repeat(90));
        let everywhere = ["", "null", "7", "true", "[]", r#""42.7""#, "{}", &deep];
        let names = ["create_room", "new_message", "typing", "stop_typing", "seen_messages"];
        let mut table: Vec<(&str, &str, u16)> =
            names.iter().flat_map(|name| everywhere.map(|argument| (*name, argument, 400))).collect();
        table.extend([
            ("typing", r#"{"room_id":"42.7","from":"7","to":"42"}"#, 403),
            ("typing", r#"{"room_id":"1.2","from":"42","to":"2"}"#, 403),
            ("typing", r#"{"room_id":"42.7","from":"42","to":"8"}"#, 400),
            ("typing", r#"{"room_id":"42","from":"42","to":"7"}"#, 400),
            ("typing", r#"{"room_id":"42.7","from":"42","to":"7","to":"7"}"#, 400),
            ("typing", r#"{"room_id":{"$ne":null},"from":"42","to":"7"}"#, 400),
            ("seen_messages", r#"{"room_id":"42.7","from":"42","to":"7"}"#, 400),
            (
                "seen_messages",
                r#"{"room_id":"42.7","from":"42","to":"7","last_message_created_at":"now"}"#,
                400,
            ),
            ("seen_messages", r#"{"room_id":"42.7","from":"42","to":"7","last_message_created_at":-1}"#, 400),
            ("seen_messages", r#"{"room_id":"42.7","from":"42","to":"7","last_message_id":"x"}"#, 400),
            ("new_message", r#"{"room_id":"42.7","from":"7","to":"42","content":"x"}"#, 403),
            ("new_message", r#"{"room_id":"42.7","from":"42","to":"7","content":""}"#, 400),
            ("new_message", r#"{"room_id":"42.7","from":"42","to":"7","content":7}"#, 400),
            ("new_message", r#"{"room_id":"42.7","from":"42","to":"7","content":"x","type":"VIDEO"}"#, 400),
            ("create_room", r#"{"type":"BS","buyer":"42","seller":"7","creator":"7"}"#, 403),
            ("create_room", r#"{"type":"BS","buyer":"1","seller":"2"}"#, 403),
            ("create_room", r#"{"type":"SB","buyer":"42","seller":"7"}"#, 400),
            ("create_room", r#"{"type":"BS","buyer":"42","seller":42}"#, 200),
            ("verify_user", "7", 400),
            ("verify_user", r#"{"token":7}"#, 400),
            ("reconnect", "{}", 400),
            ("7", "", 400),
        ]);
        for (name, argument, status) in table {
            let problem = said(name, argument).unwrap_err();
            assert_eq!(problem.status.as_u16(), status, "{name} {argument:.80}: {problem:?}");
            assert!(problem.message.len() < 200, "{problem:?}");
        }
        let bytes: [Attachment; 1] = [[1, 2, 3].into()];
        let argument = r#"{"room_id":"42.7","from":"42","to":"7","content":{"_placeholder":true,"num":0}}"#;
        let arguments = Arguments::with_attachments(argument, &bytes);
        let event = Event { name: "new_message", arguments, ack: None };
        assert!(hear(&event, &Id::new("42").unwrap(), 128).is_err());
    }
}
