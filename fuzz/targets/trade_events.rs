//! Events of the buyer/seller API: whatever a client emits is a command about a room that the client is in, in its own name, or
//! a failure in the API's words, short and with a status of the client's fault.

#![no_main]

use std::sync::LazyLock;

use gateway::edges::trade::answer::failure;
use gateway::edges::trade::hear::{Heard, What, hear};
use gateway::engineio::Version;
use gateway::socketio::packet::{Kind, Packet};
use gateway::socketio::{Arguments, Event};
use libfuzzer_sys::fuzz_target;
use schema::Id;
use schema::chat::ChatCommand;

static CALLER: LazyLock<Id> = LazyLock::new(|| Id::new("42").expect("a short word is an id"));

fuzz_target!(|text: &str| {
    for version in [Version::V3, Version::V4] {
        let Ok(packet) = Packet::decode(version, text, 10) else { continue };
        if packet.kind != Kind::Event {
            continue;
        }
        let Ok((name, elements)) = packet.event() else { continue };
        let event = Event { name: &name, arguments: Arguments::json(elements), ack: None };
        match hear(&event, &CALLER, 128) {
            Ok(Heard::Command(wanted)) => {
                let room = match &wanted.what {
                    What::Make(room) => Some(&**room),
                    What::Send(letter) | What::MakeFor(letter) => Some(&letter.room),
                    What::Typing | What::Seen => None,
                };
                if let Some(room) = room {
                    assert!(room.side(&CALLER).is_some() && room.buyer != room.seller);
                }
                match (&wanted.command, room) {
                    (ChatCommand::Send(draft), Some(room)) => {
                        assert!(draft.conversation == room.id() && draft.kind <= 2);
                        assert!((1..=10_000).contains(&draft.content.chars().count()));
                        assert!(draft.client_id.as_ref().is_none_or(|id| (1..=255).contains(&id.len())));
                    }
                    (ChatCommand::Create(new), Some(room)) => {
                        assert!(new.id == Some(room.id()) && new.members.len() == 2);
                        assert!(new.extra.len() <= 16 * 1024);
                    }
                    (ChatCommand::Typing { .. } | ChatCommand::ReadAll { up_to: Some(_), .. }, None) => {}
                    other => panic!("{other:?}"),
                }
            }
            Ok(Heard::Verify(_)) => {}
            Err(problem) => {
                // Some of the API's refusals are answered 200.
                assert!(matches!(problem.status.as_u16(), 200 | 400..=404) && problem.message.len() < 400);
                serde_json::from_str::<serde_json::Value>(&failure(&problem)).expect("it is JSON");
            }
        }
    }
});
