//! What clients say in events: a name and its argument become a command.
//!
//! The names are those of the API, and those of its front end: `joinConversation` and `leaveConversation` with the bare
//! id, `sendMessage`, `typing` with `isTyping`. Bodies are read as those of the calls are, by the same rules.

use http::HeaderMap;
use schema::Id;
use schema::chat::{ChatCommand, ConversationId, Draft, MessageId};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::api::messaging::Problem;
use crate::api::messaging::gate::Told;
use crate::api::messaging::input::{Bounds, NewContent, NewMessage, Place, conversation};
use crate::http::strict;
use crate::socketio::Event;

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
    /// To see who types in a conversation.
    Join(ConversationId),
    /// To see that no more.
    Leave(ConversationId),
    /// To let others see that one types, or no longer.
    Typing(ConversationId),
    /// To say something; to somebody, with whom there may not be a conversation yet.
    Send(Option<Box<ToSomebody>>),
    /// To make the conversation that was not there.
    Make(Box<ToSomebody>),
    /// To change what one has said.
    Edit,
    /// To take it back.
    Remove,
    /// To have read a message.
    Read(MessageId),
    /// To have read all of a conversation.
    ReadAll(ConversationId),
}

/// A message to a user.
#[derive(Debug, PartialEq)]
pub struct ToSomebody {
    /// Who says it.
    pub from: Id,
    /// To whom.
    pub to: Id,
    /// What is said, in the direct conversation of the two.
    pub draft: Draft,
}

/// The events that are known.
#[derive(Clone, Copy)]
enum Name {
    Join,
    Leave,
    Send,
    Edit,
    Remove,
    Read,
    ReadAll,
    TypingStart,
    TypingStop,
    Typing,
}

impl Name {
    fn read(name: &str) -> Option<Self> {
        Some(match name {
            "conversation:join" | "joinConversation" => Self::Join,
            "conversation:leave" | "leaveConversation" => Self::Leave,
            "message:send" | "sendMessage" => Self::Send,
            "message:edit" => Self::Edit,
            "message:delete" => Self::Remove,
            "message:read" => Self::Read,
            "conversation:read" => Self::ReadAll,
            "typing:start" => Self::TypingStart,
            "typing:stop" => Self::TypingStop,
            "typing" => Self::Typing,
            _ => return None,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AboutConversation {
    conversation_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AboutMessage {
    message_id: Option<String>,
}

#[derive(Deserialize)]
struct Edit {
    #[serde(flatten)]
    about: AboutMessage,
    #[serde(flatten)]
    new: NewContent,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typing {
    conversation_id: Option<String>,
    is_typing: Option<bool>,
}

/// What an event of `caller` asks for.
///
/// # Errors
/// When it asks for nothing that there is.
pub fn hear(event: &Event<'_>, caller: &Id, bounds: &Bounds<'_>) -> Result<Wanted, Problem> {
    let Some(name) = Name::read(event.name) else {
        let shown: String = event.name.chars().take(40).collect();
        return Err(Problem::bad(format!(
            "There is no event {shown:?}; the events are in the documentation"
        )));
    };
    if !event.arguments.attachments().is_empty() {
        return Err(Problem::bad(format!("{} takes no binary data", event.name)));
    }
    let wants = |command, what| Wanted { command, what };
    Ok(match name {
        Name::Join => {
            let conversation = place(event)?;
            wants(ChatCommand::Join { conversation }, What::Join(conversation))
        }
        Name::Leave => {
            let conversation = place(event)?;
            wants(ChatCommand::Leave { conversation }, What::Leave(conversation))
        }
        Name::Send => send(&object(event)?, caller, bounds)?,
        Name::Edit => {
            let Edit { about, new } = object(event)?;
            let (message, content) = (about.message()?, new.content()?);
            wants(ChatCommand::Edit { message, content }, What::Edit)
        }
        Name::Remove => {
            let message = object::<AboutMessage>(event)?.message()?;
            wants(ChatCommand::Remove { message }, What::Remove)
        }
        Name::Read => {
            let message = object::<AboutMessage>(event)?.message()?;
            wants(ChatCommand::Read { message }, What::Read(message))
        }
        Name::ReadAll => {
            let conversation = place(event)?;
            wants(ChatCommand::ReadAll { conversation, up_to: None }, What::ReadAll(conversation))
        }
        Name::TypingStart | Name::TypingStop => {
            let (conversation, on) = (place(event)?, matches!(name, Name::TypingStart));
            wants(ChatCommand::Typing { conversation, on }, What::Typing(conversation))
        }
        Name::Typing => {
            let Typing { conversation_id, is_typing } = object(event)?;
            let on = is_typing.ok_or_else(|| Problem::bad("isTyping is required"))?;
            let conversation = conversation(conversation_id.as_deref())?;
            wants(ChatCommand::Typing { conversation, on }, What::Typing(conversation))
        }
    })
}

/// A message. The direct conversation with somebody has an id before it is there: it is made when it proves to be missing.
fn send(asked: &NewMessage, caller: &Id, bounds: &Bounds<'_>) -> Result<Wanted, Problem> {
    let (place, letter) = asked.letter(caller, &HeaderMap::new(), bounds)?;
    let (draft, what) = match place {
        Place::Conversation(conversation) => (letter.draft(conversation), What::Send(None)),
        Place::User(to) => {
            let draft = letter.draft(ConversationId::of_pair(caller, &to));
            let somebody = ToSomebody { from: caller.clone(), to, draft: draft.clone() };
            (draft, What::Send(Some(Box::new(somebody))))
        }
    };
    Ok(Wanted { command: ChatCommand::Send(Box::new(draft)), what })
}

impl AboutMessage {
    fn message(&self) -> Result<MessageId, Problem> {
        let text = self.message_id.as_deref().ok_or_else(|| Problem::bad("messageId is required"))?;
        text.parse().map_err(|_| Problem::not_found(Told::MESSAGE.missing))
    }
}

/// A conversation, as `{"conversationId":"…"}` or as its bare id.
fn place(event: &Event<'_>) -> Result<ConversationId, Problem> {
    match event.arguments.get(0).filter(|text| text.starts_with('"')) {
        Some(text) => {
            let id: String =
                serde_json::from_str(text).map_err(|error| unusable(event, &error.to_string()))?;
            conversation(Some(&id))
        }
        None => conversation(object::<AboutConversation>(event)?.conversation_id.as_deref()),
    }
}

/// The one argument. What a client sends behind it is left alone.
fn object<T: DeserializeOwned>(event: &Event<'_>) -> Result<T, Problem> {
    let text = event.arguments.get(0).unwrap_or_default();
    strict::object(text.as_bytes()).map_err(|error| unusable(event, &error))
}

fn unusable(event: &Event<'_>, why: &str) -> Problem {
    Problem::bad(format!("The argument of {} cannot be used: {why}", event.name))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::socketio::{Arguments, Attachment};

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    fn pair() -> ConversationId {
        ConversationId::of_pair(&id("ann"), &id("bob"))
    }

    fn said(name: &str, arguments: Arguments<'_>) -> Result<Wanted, Problem> {
        let bounds = Bounds { user_id: 128, own: None };
        hear(&Event { name, arguments, ack: None }, &id("ann"), &bounds)
    }

    /// Event, argument (`$C` and `$M` stand for ids), and its command in short.
    #[test]
    fn events_and_their_commands() {
        let conversation = pair();
        let message = MessageId { conversation, at: 1_764_085_500_007 };
        let join = || ChatCommand::Join { conversation };
        let leave = || ChatCommand::Leave { conversation };
        let typing = |on| ChatCommand::Typing { conversation, on };
        let table = [
            ("conversation:join", r#"{"conversationId":"$C"}"#, join()),
            ("conversation:join", r#" {"conversationId":"$C","x":[1]},"behind""#, join()),
            ("conversation:join", r#""$C""#, join()),
            ("joinConversation", r#""$C""#, join()),
            ("conversation:leave", r#"{"conversationId":"$C"}"#, leave()),
            ("leaveConversation", r#""$C""#, leave()),
            ("typing:start", r#"{"conversationId":"$C"}"#, typing(true)),
            ("typing:stop", r#"{"conversationId":"$C"}"#, typing(false)),
            ("typing", r#"{"conversationId":"$C","isTyping":true}"#, typing(true)),
            ("typing", r#"{"conversationId":"$C","isTyping":false}"#, typing(false)),
            ("message:delete", r#"{"messageId":"$M"}"#, ChatCommand::Remove { message }),
            ("message:read", r#"{"messageId":"$M"}"#, ChatCommand::Read { message }),
            ("conversation:read", r#""$C""#, ChatCommand::ReadAll { conversation, up_to: None }),
            (
                "message:edit",
                r#"{"messageId":"$M","content":"new"}"#,
                ChatCommand::Edit { message, content: "new".into() },
            ),
        ];
        for (name, argument, command) in table {
            let argument =
                argument.replace("$C", &conversation.to_string()).replace("$M", &message.to_string());
            let wanted = said(name, Arguments::json(&argument));
            assert_eq!(wanted.map(|wanted| wanted.command), Ok(command), "{name} {argument}");
        }
    }

    #[test]
    fn messages_and_where_they_go() {
        let argument = format!(
            r#"{{"conversationId":"{}","content":"hi","attachmentUrl":"http://h/x","attachmentType":"image",
                "clientMessageId":"m-1"}}"#,
            pair()
        );
        let draft = |attachment: bool| Draft {
            conversation: pair(),
            client_id: attachment.then(|| "m-1".into()),
            kind: 0,
            content: "hi".into(),
            attachment: attachment
                .then(|| schema::chat::Attachment { url: "http://h/x".into(), kind: "image".into() }),
        };
        let wanted = |draft, what| Ok(Wanted { command: ChatCommand::Send(Box::new(draft)), what });
        assert_eq!(said("message:send", Arguments::json(&argument)), wanted(draft(true), What::Send(None)));
        let nulls = format!(
            r#"{{"conversationId":"{}","content":"hi","attachmentUrl":null,"attachmentType":null}}"#,
            pair()
        );
        assert_eq!(said("sendMessage", Arguments::json(&nulls)), wanted(draft(false), What::Send(None)));
        let to = r#"{"recipientId":"bob","content":"hi"}"#;
        let somebody = ToSomebody { from: id("ann"), to: id("bob"), draft: draft(false) };
        assert_eq!(
            said("sendMessage", Arguments::json(to)),
            wanted(draft(false), What::Send(Some(Box::new(somebody))))
        );
    }

    #[test]
    fn what_cannot_be_used() {
        let (conversation, long) = (pair(), "x".repeat(300));
        let message = MessageId { conversation, at: 7 };
        let deep = format!(r#"{{"conversationId":"$C","x":{}{}}}"#, "[".repeat(90), "]".repeat(90));
        let content = format!(r#"{{"conversationId":"$C","content":"{}"}}"#, "ả".repeat(10_001));
        let user = format!(r#"{{"recipientId":"{long}","content":"x"}}"#);
        let client = format!(r#"{{"conversationId":"$C","content":"x","clientMessageId":"{long}"}}"#);
        let everywhere = ["", "null", "7", "true", "[]", r#"["$C"]"#, "{}", &deep];
        let names = [
            "conversation:join",
            "leaveConversation",
            "message:send",
            "message:edit",
            "message:delete",
            "message:read",
            "conversation:read",
            "typing:start",
            "typing:stop",
            "typing",
        ];
        let mut table: Vec<(&str, &str, u16)> =
            names.iter().flat_map(|name| everywhere.map(|argument| (*name, argument, 400))).collect();
        table.extend([
            ("conversation:join", r#"{"conversationId":null}"#, 400),
            ("conversation:join", r#"{"conversationId":7}"#, 400),
            ("conversation:join", r#"{"conversationId":{"$ne":null}}"#, 400),
            ("conversation:join", r#"{"conversationId":"$C","conversationId":"$C"}"#, 400),
            ("conversation:join", r#"{"conversationId":"conv-uuid-123"}"#, 404),
            ("conversation:join", r#"{"conversationId":""}"#, 404),
            ("conversation:join", r#"{"conversationId":"$M"}"#, 404),
            ("joinConversation", r#""conv-uuid-123""#, 404),
            ("joinConversation", r#""\ud800""#, 400),
            ("typing", r#"{"conversationId":"$C"}"#, 400),
            ("typing", r#"{"conversationId":"$C","isTyping":"yes"}"#, 400),
            ("message:read", r#"{"messageId":"msg-uuid-456"}"#, 404),
            ("message:read", r#"{"messageId":"$C"}"#, 404),
            ("message:read", r#"{"messageId":["$M"]}"#, 400),
            ("message:read", r#""$M""#, 400),
            ("message:edit", r#"{"messageId":"$M"}"#, 400),
            ("message:edit", r#"{"messageId":"$M","content":""}"#, 400),
            ("message:edit", r#"{"messageId":"$M","content":null}"#, 400),
            ("message:edit", r#"{"messageId":"$M","content":7}"#, 400),
            ("message:edit", r#"{"messageId":"x","content":"new"}"#, 404),
            ("message:send", r#"{"conversationId":"$C"}"#, 400),
            ("message:send", r#"{"conversationId":"$C","content":""}"#, 400),
            ("message:send", r#"{"conversationId":"$C","content":7}"#, 400),
            ("message:send", r#"{"conversationId":"$C","content":"\ud800"}"#, 400),
            ("message:send", r#"{"conversationId":"x","content":"x"}"#, 404),
            ("message:send", r#"{"content":"x"}"#, 400),
            ("message:send", r#"{"conversationId":"$C","recipientId":"bob","content":"x"}"#, 400),
            ("message:send", r#"{"recipientId":"ann","content":"x"}"#, 400),
            ("message:send", r#"{"recipientId":"","content":"x"}"#, 400),
            ("message:send", r#"{"conversationId":"$C","content":"x","attachmentUrl":"x.jpg"}"#, 400),
            ("message:send", r#"{"conversationId":"$C","content":"x","attachmentType":"image"}"#, 400),
            ("message:send", &content, 400),
            ("message:send", &user, 400),
            ("message:send", &client, 400),
            ("message:new", r#"{"conversationId":"$C"}"#, 400),
            ("7", "", 400),
            (&long, "", 400),
        ]);
        for (name, argument, status) in table {
            let argument =
                argument.replace("$C", &conversation.to_string()).replace("$M", &message.to_string());
            let problem = said(name, Arguments::json(&argument)).unwrap_err();
            assert_eq!(problem.status.as_u16(), status, "{name} {argument:.80}: {problem:?}");
            assert!(problem.message.len() < 200, "{problem:?}");
        }
    }

    #[test]
    fn bytes_are_wanted_nowhere() {
        let bytes: [Attachment; 1] = [[1, 2, 3].into()];
        let argument =
            format!(r#"{{"conversationId":"{}","content":{{"_placeholder":true,"num":0}}}}"#, pair());
        for name in ["message:send", "conversation:join", "typing"] {
            let problem = said(name, Arguments::with_attachments(&argument, &bytes)).unwrap_err();
            assert_eq!(problem.status, StatusCode::BAD_REQUEST);
        }
    }

    #[test]
    fn attachments_may_be_our_own_only() {
        let bounds = Bounds { user_id: 128, own: Some("http://own/messaging/messages/") };
        let send = |url: &str| {
            let argument =
                format!(r#"{{"conversationId":"{}","content":"x","attachmentUrl":"{url}"}}"#, pair());
            let event = Event { name: "message:send", arguments: Arguments::json(&argument), ack: None };
            hear(&event, &id("ann"), &bounds).is_ok()
        };
        assert!(send("http://own/messaging/messages/1-x.jpg"));
        assert!(!send("http://other/messaging/messages/1-x.jpg"));
    }
}
