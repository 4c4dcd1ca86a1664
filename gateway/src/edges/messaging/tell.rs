//! What clients are told of what happened in conversations, in the same bytes for everybody.
//!
//! Presence is not told here: who a user's partners are is a matter of each connection ([`super::partners`]). The payloads
//! and channels of services have no words in this API, nor have pins, hiding and blocking; nor conversations of the kinds
//! that other APIs have, trades and feeds.

use schema::Event;
use schema::chat::{ChatEvent, Kind};
use serde::Serialize;

use super::words::{Edited, OfConversation, OfMessage, Read, Typist, json};
use crate::api::messaging::conversations::KINDS;
use crate::api::messaging::words::{AboutConversation, ConversationBody, MessageBody, ParticipantBody};

/// Calls `emit` with the name and the argument of each event that a client is told, in order.
pub fn tell(event: &Event, emit: &mut dyn FnMut(&str, &str)) {
    let Event::Chat(kind, event) = event else { return };
    if !is_shown(*kind) {
        return;
    }
    let mut say = Say(emit);
    match &**event {
        ChatEvent::Said(message) => say.event("message:new", &MessageBody::sent(message)),
        ChatEvent::Edited(message) => say.event("message:edited", &Edited::from(message)),
        ChatEvent::Removed { message, .. } => say.event("message:deleted", &OfMessage::from(*message)),
        ChatEvent::Read { message, user, at } => {
            say.event("message:read", &Read::<OfMessage>::new(*message, user, *at));
        }
        ChatEvent::ReadAll { conversation, user, at, newly, .. } => {
            // In the order in which they were said.
            for message in newly.iter().rev() {
                say.event("message:read", &Read::<OfMessage>::new(*message, user, *at));
            }
            say.event("conversation:read", &Read::<OfConversation>::new(*conversation, user, *at));
        }
        ChatEvent::Typing { conversation, user, on, .. } => {
            let name = if *on { "user:typing" } else { "user:stopped-typing" };
            say.event(name, &Typist::new(user, *conversation));
        }
        ChatEvent::Created(conversation) => {
            say.event("conversation:created", &ConversationBody::from(&**conversation));
        }
        ChatEvent::Updated(conversation) => {
            say.event("conversation:updated", &AboutConversation::from(&**conversation));
        }
        ChatEvent::MemberAdded { conversation, member } => {
            say.event("conversation:participant-added", &ParticipantBody::new(*conversation, member));
        }
        ChatEvent::MemberRemoved { conversation, member } => {
            say.event("conversation:participant-removed", &ParticipantBody::new(*conversation, member));
        }
        ChatEvent::Deleted { conversation, .. } => {
            say.event("conversation:deleted", &OfConversation::from(*conversation));
        }
        ChatEvent::MemberChanged { .. } => {}
    }
}

/// Whether conversations of a kind are this API's.
pub(super) fn is_shown(kind: Kind) -> bool {
    KINDS & 1 << kind as u8 != 0
}

struct Say<'a>(&'a mut dyn FnMut(&str, &str));

impl Say<'_> {
    fn event(&mut self, name: &str, body: &impl Serialize) {
        (self.0)(name, &json(body));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use schema::chat::{
        Attachment, Conversation, ConversationId, Member, MemberChange, Message, MessageId, Receipt, Role,
    };
    use schema::{Id, Status, UserPresence};
    use serde_json::{Value, json};

    use super::*;

    const AT: u64 = 1_764_085_500_007;
    const TIME: &str = "2025-11-25T15:45:00.007Z";

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    pub(in super::super) fn message() -> Message {
        Message {
            id: MessageId { conversation: ConversationId::of_pair(&id("ann"), &id("bob")), at: AT },
            sequence: 1,
            sent: 1,
            sender: id("ann"),
            to: None,
            row: 1,
            client_id: Some("m-1".into()),
            kind: 0,
            content: "Hello!".into(),
            attachment: Some(Attachment { url: "http://h/x".into(), kind: "image".into() }),
            updated_at: AT,
            edited: false,
            deleted: false,
            reads: vec![Receipt { user: id("bob"), at: AT }],
        }
    }

    fn member() -> Member {
        Member {
            row: 2,
            user: id("bob"),
            role: Role::Member,
            joined_at: AT,
            read_at: None,
            read_to: 0,
            hidden_to: 0,
            hidden_at: None,
            pinned_at: None,
            blocked: false,
        }
    }

    pub(in super::super) fn conversation() -> Arc<Conversation> {
        Arc::new(Conversation {
            id: message().id.conversation,
            kind: Kind::Group,
            name: Some("Team".into()),
            creator: id("ann"),
            extra: [].into(),
            created_at: AT,
            updated_at: AT,
            members_count: 1,
            members: vec![member()],
        })
    }

    fn told(event: ChatEvent) -> Vec<(String, Value)> {
        told_in(Kind::Group, event)
    }

    fn told_in(kind: Kind, event: ChatEvent) -> Vec<(String, Value)> {
        let mut told = Vec::new();
        tell(&Event::Chat(kind, Box::new(event)), &mut |name, json| {
            told.push((name.to_owned(), serde_json::from_str(json).unwrap()));
        });
        told
    }

    #[test]
    fn what_happened_to_messages() {
        let message = message();
        let (id_of, place) = (message.id.to_string(), message.id.conversation.to_string());
        let one = |name: &str, body: Value| vec![(name.to_owned(), body)];
        let new = json!({
            "id": id_of, "conversationId": place, "senderId": "ann", "content": "Hello!",
            "attachmentUrl": "http://h/x", "attachmentType": "image", "isEdited": false, "isDeleted": false,
            "createdAt": TIME, "updatedAt": TIME, "clientMessageId": "m-1",
        });
        assert_eq!(told(ChatEvent::Said(message.clone())), one("message:new", new));
        let edited = Message { edited: true, content: "New".into(), updated_at: AT + 1, ..message.clone() };
        let body = json!({
            "messageId": id_of, "conversationId": place, "content": "New", "isEdited": true,
            "updatedAt": "2025-11-25T15:45:00.008Z",
        });
        assert_eq!(told(ChatEvent::Edited(edited)), one("message:edited", body));
        let body = json!({"messageId": id_of, "conversationId": place});
        let removed = ChatEvent::Removed { message: message.id, at: AT };
        assert_eq!(told(removed), one("message:deleted", body));
        let body = json!({"messageId": id_of, "conversationId": place, "userId": "bob", "readAt": TIME});
        let read = ChatEvent::Read { message: message.id, user: id("bob"), at: AT };
        assert_eq!(told(read), one("message:read", body));
    }

    #[test]
    fn reading_all_is_told_of_each_and_of_all() {
        let conversation = message().id.conversation;
        let newly = vec![MessageId { conversation, at: 2 }, MessageId { conversation, at: 1 }];
        let ids: Vec<String> = newly.iter().map(ToString::to_string).collect();
        let told = told(ChatEvent::ReadAll { conversation, user: id("bob"), at: AT, up_to: AT, newly });
        let names: Vec<&str> = told.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["message:read", "message:read", "conversation:read"]);
        assert_eq!((&told[0].1["messageId"], &told[1].1["messageId"]), (&json!(ids[1]), &json!(ids[0])));
        let all = json!({"conversationId": conversation.to_string(), "userId": "bob", "readAt": TIME});
        assert_eq!(told[2].1, all);
    }

    #[test]
    fn typing_and_conversations() {
        let place = message().id.conversation;
        let typing =
            |on| told(ChatEvent::Typing { conversation: place, user: id("bob"), on, with: None, by: None });
        let body = json!({"userId": "bob", "conversationId": place.to_string()});
        assert_eq!(typing(true), [("user:typing".to_owned(), body.clone())]);
        assert_eq!(typing(false), [("user:stopped-typing".to_owned(), body)]);

        let row = json!({
            "id": member().id(place).to_string(), "userId": "bob", "conversationId": place.to_string(),
            "lastReadAt": null, "joinedAt": TIME,
        });
        let mut about = json!({
            "id": place.to_string(), "conversationType": "group", "conversationName": "Team",
            "createdBy": "ann", "createdAt": TIME, "updatedAt": TIME,
        });
        assert_eq!(
            told(ChatEvent::Updated(conversation())),
            [("conversation:updated".to_owned(), about.clone())]
        );
        about["participants"] = json!([row]);
        assert_eq!(told(ChatEvent::Created(conversation())), [("conversation:created".to_owned(), about)]);
        let added = ChatEvent::MemberAdded { conversation: place, member: member() };
        assert_eq!(told(added), [("conversation:participant-added".to_owned(), row.clone())]);
        let removed = ChatEvent::MemberRemoved { conversation: place, member: member() };
        assert_eq!(told(removed), [("conversation:participant-removed".to_owned(), row)]);
        let deleted = told(ChatEvent::Deleted { conversation: place, pair: None });
        let body = json!({"conversationId": place.to_string()});
        assert_eq!(deleted, [("conversation:deleted".to_owned(), body)]);
    }

    #[test]
    fn what_has_no_words() {
        let place = message().id.conversation;
        let (with, change) = (Some(id("ann")), MemberChange::default());
        let changed = ChatEvent::MemberChanged { conversation: place, member: member(), with, change };
        assert_eq!(told(changed), []);
        let row = UserPresence { user: id("bob"), status: Status::Online, last_seen: Default::default() };
        tell(&Event::Presence(vec![row]), &mut |name, _| panic!("{name}"));
    }

    #[test]
    fn conversations_of_other_apis_are_not_told() {
        let (place, message, user) = (message().id.conversation, message(), || id("bob"));
        let events = [
            ChatEvent::Said(message.clone()),
            ChatEvent::Edited(message.clone()),
            ChatEvent::Removed { message: message.id, at: AT },
            ChatEvent::Read { message: message.id, user: user(), at: AT },
            ChatEvent::ReadAll {
                conversation: place,
                user: user(),
                at: AT,
                up_to: AT,
                newly: vec![message.id],
            },
            ChatEvent::Typing { conversation: place, user: user(), on: true, with: None, by: None },
            ChatEvent::Created(conversation()),
            ChatEvent::Updated(conversation()),
            ChatEvent::MemberAdded { conversation: place, member: member() },
            ChatEvent::MemberRemoved { conversation: place, member: member() },
            ChatEvent::Deleted { conversation: place, pair: None },
        ];
        for event in events {
            for (kind, shown) in Kind::ALL.into_iter().zip([true, true, false, false]) {
                assert_eq!(!told_in(kind, event.clone()).is_empty(), shown, "{kind:?} {event:?}");
            }
        }
    }
}
