//! Events of the messaging API: whatever a client emits is a command that keeps to the API's bounds, or a failure in its words,
//! short and with a status of the client's fault.

#![no_main]

use std::sync::LazyLock;

use gateway::api::messaging::input::Bounds;
use gateway::edges::messaging::answer;
use gateway::edges::messaging::hear::{What, hear};
use gateway::engineio::Version;
use gateway::socketio::packet::{Kind, Packet};
use gateway::socketio::{Arguments, Event};
use libfuzzer_sys::fuzz_target;
use schema::Id;
use schema::chat::{ChatCommand, Draft};

static CALLER: LazyLock<Id> = LazyLock::new(|| Id::new("ann").expect("a short word is an id"));

fn check_draft(draft: &Draft, own: Option<&str>) {
    assert!(draft.content.chars().count() <= 10_000);
    assert!(!draft.content.is_empty() || draft.attachment.is_some());
    if let Some(attachment) = &draft.attachment {
        assert!(attachment.url.len() <= 2_048 && attachment.kind.len() <= 32);
        // A scheme is the same in capitals (RFC 3986, section 3.1).
        assert!(attachment.url.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("http")));
        assert!(own.is_none_or(|own| attachment.url.starts_with(own)));
    }
    assert!(draft.client_id.as_ref().is_none_or(|id| (1..=255).contains(&id.len())));
}

fuzz_target!(|text: &str| {
    let Ok(packet) = Packet::decode(Version::V4, text, 10) else { return };
    if packet.kind != Kind::Event {
        return;
    }
    let Ok((name, elements)) = packet.event() else { return };
    for own in [None, Some("http://files.example/")] {
        let event = Event { name: &name, arguments: Arguments::json(elements), ack: None };
        let bounds = Bounds { user_id: 128, own };
        match hear(&event, &CALLER, &bounds) {
            Ok(wanted) => {
                match &wanted.command {
                    ChatCommand::Send(draft) => check_draft(draft, own),
                    ChatCommand::Edit { content, .. } => {
                        assert!((1..=10_000).contains(&content.chars().count()))
                    }
                    _ => {}
                }
                if let What::Send(Some(somebody)) = &wanted.what {
                    assert!(somebody.from == *CALLER && somebody.to != *CALLER);
                    check_draft(&somebody.draft, own);
                }
            }
            Err(problem) => {
                assert!((400..=404).contains(&problem.status.as_u16()) && problem.message.len() < 400);
                for body in [answer::failed(problem.clone()), answer::error(problem)] {
                    serde_json::from_str::<serde_json::Value>(&body).expect("it is JSON");
                }
            }
        }
    }
});
