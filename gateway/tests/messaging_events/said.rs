//! What is told when something is said, changed, taken back or read: to every session of every participant, once.

use std::sync::Arc;
use std::time::Duration;

use client::blocking::{Client, Event};
use schema::Id;
use schema::chat::{ChatEvent, ConversationId, Draft, Kind, MessageId, NewConversation, NewMember, Role};
use serde_json::{Value, json};

use crate::people::{ANN, BOB, CAT, DAN, Person, is_time, text};
use crate::support::socketio::{Io, Told};
use crate::support::{Node, eventually};

/// The events that all of them were told, the same for each.
#[track_caller]
fn all_told(ann: &Person<'_>, id: &str, ios: &mut [Io]) -> Vec<Told> {
    let end = format!("that was all {}", ann.history(id).len());
    ann.say(id, &end);
    let mut all = ios.iter_mut().map(|io| io.before(&end));
    let told = all.next().unwrap();
    for other in all {
        assert_eq!(other, told);
    }
    told
}

/// The one event that all of them were told.
#[track_caller]
fn one_told(ann: &Person<'_>, id: &str, ios: &mut [Io], name: &str) -> Value {
    let told = all_told(ann, id, ios);
    let [(found, body)] = &told[..] else { panic!("{name}: {told:?}") };
    assert_eq!(found, name);
    body.clone()
}

fn draft(id: &str, content: &str) -> Draft {
    let conversation: ConversationId = id.parse().unwrap();
    Draft { conversation, client_id: None, kind: 0, content: content.into(), attachment: None }
}

/// The next event about conversations that a binary client is told.
#[track_caller]
fn heard(client: &mut Client) -> ChatEvent {
    eventually("an event", || match client.next_event(Duration::from_millis(100)).unwrap() {
        Some(Event::Chat(event)) => Some(event),
        _ => None,
    })
}

/// What happens in a user's trades and feeds is other APIs' to tell.
pub(crate) fn conversations_of_other_apis_are_not_told(io: &str) {
    let node = Node::start_on(io, "");
    let direct = Person::new(&node, ANN).direct(BOB);
    let mut ios = [ANN, BOB].map(|user| Io::user(&node, user));
    let [ann, bob] = [ANN, BOB].map(|user| Id::new(user).unwrap());
    let mut service = node.service();
    for (kind, others) in [(Kind::Trade, vec![&bob]), (Kind::Feed, vec![])] {
        let member = |user: &Id, role| NewMember { user: user.clone(), role };
        let mut members: Vec<NewMember> = others.iter().map(|user| member(user, Role::Seller)).collect();
        members.push(member(&ann, if others.is_empty() { Role::Member } else { Role::Buyer }));
        let (id, name) = (None, None);
        let new = NewConversation { id, kind, name, members, extra: Arc::from([]) };
        let (conversation, _) = service.chat_as(&ann).create(new).unwrap();
        let place = conversation.id.to_string();
        let sent = service.chat_as(&ann).send(draft(&place, "of another API")).unwrap().0.id;
        service.chat_as(&ann).edit(sent, "changed").unwrap();
        if let [other] = others[..] {
            service.chat_as(other).read(sent).unwrap();
            service.chat_as(other).send(draft(&place, "an answer")).unwrap();
            service.chat_as(&ann).read_all(conversation.id, None).unwrap();
            service.chat_as(other).typing(conversation.id, true).unwrap();
        }
        service.chat_as(&ann).remove(sent).unwrap();
        service.chat().delete(conversation.id).unwrap();
    }
    Person::new(&node, ANN).say(&direct, "end");
    for io in &mut ios {
        assert_eq!(io.before("end"), []);
    }
}

pub(crate) fn told_once_whichever_way_it_came(io: &str) {
    let node = Node::start_on(io, "");
    let [ann, bob] = [ANN, BOB].map(|id| Person::new(&node, id));
    let id = ann.group(&[BOB]);
    // Two devices each, and somebody who has nothing to do with it.
    let mut ios = [ANN, ANN, BOB, BOB].map(|user| Io::user(&node, user));
    let mut cat = Io::user(&node, CAT);
    let mut binary = node.client(node.token(BOB));
    binary.chat().follow(true).unwrap();
    assert!(ios.iter_mut().all(|io| io.told().is_empty()));

    // Said by REST, by a socket, by the binary protocol.
    let by_rest = ann.say(&id, "by REST");
    assert_eq!(one_told(&ann, &id, &mut ios, "message:new"), by_rest);
    let photo = "http://minio:9000/messaging/messages/1732546789123-photo.jpg";
    let words = json!({
        "conversationId": id, "content": "by a socket", "attachmentUrl": photo, "attachmentType": "image",
    });
    let mut ack = ios[0].does("message:send", &words);
    let told = one_told(&ann, &id, &mut ios, "message:new");
    assert_eq!(ack["messageId"], ack["id"]);
    ack.as_object_mut().unwrap().retain(|key, _| key != "success" && key != "messageId");
    assert_eq!(told, ack);
    assert_eq!((&told["senderId"], &told["attachmentUrl"]), (&json!(ANN), &json!(photo)));
    let mut read = bob.get(&format!("/messages/{}", text(&told["id"])));
    assert_eq!(read.as_object_mut().unwrap().remove("readBy"), Some(json!([])));
    assert_eq!(told, read);
    let (by_binary, _) = binary.chat().send(draft(&id, "by binary")).unwrap();
    let told = one_told(&ann, &id, &mut ios, "message:new");
    assert_eq!((&told["id"], &told["senderId"]), (&json!(by_binary.id.to_string()), &json!(BOB)));
    // Without an ack it is said as well.
    ios[2].emit("message:send", &json!({"conversationId": id, "content": "no ack"}));
    ios[0].until("it", |io| io.told().iter().find(|told| told.1["content"] == "no ack").map(|_| ()));
    for io in &mut ios[1..] {
        assert_eq!(io.event("message:new")["content"], "no ack");
    }
    assert_eq!(all_told(&ann, &id, &mut ios), []);

    // Changed.
    let [rest, socket] = [text(&by_rest["id"]), text(&ack["id"])];
    let edited = ann.put(&format!("/messages/{rest}"), &json!({"content": "changed"}));
    let told = one_told(&ann, &id, &mut ios, "message:edited");
    let expected = |message: &str, content: &str, updated: &Value| {
        json!({
            "messageId": message, "conversationId": id, "content": content, "isEdited": true, "updatedAt": updated,
        })
    };
    assert_eq!(told, expected(&rest, "changed", &edited["updatedAt"]));
    let ack = ios[1].does("message:edit", &json!({"messageId": socket, "content": "changed here"}));
    let told = one_told(&ann, &id, &mut ios, "message:edited");
    is_time(&told["updatedAt"]);
    assert_eq!(told, expected(&socket, "changed here", &ack["updatedAt"]));
    binary.chat().edit(by_binary.id, "changed there").unwrap();
    assert_eq!(one_told(&ann, &id, &mut ios, "message:edited")["content"], "changed there");

    // Read, once; again is no news.
    bob.post(&format!("/messages/{rest}/read"));
    bob.post(&format!("/messages/{rest}/read"));
    let told = one_told(&ann, &id, &mut ios, "message:read");
    is_time(&told["readAt"]);
    let expected = json!({"messageId": rest, "conversationId": id, "userId": BOB, "readAt": told["readAt"]});
    assert_eq!(told, expected);
    assert_eq!(ann.get(&format!("/messages/{rest}"))["readBy"][0]["readAt"], told["readAt"]);
    let ack = ios[3].does("message:read", &json!({"messageId": socket}));
    assert_eq!(ack, json!({"success": true, "messageId": socket, "conversationId": id}));
    ios[2].does("message:read", &json!({"messageId": socket}));
    assert_eq!(one_told(&ann, &id, &mut ios, "message:read")["messageId"], socket.as_str());

    // Taken back, once.
    ann.delete(&format!("/messages/{rest}"));
    ann.delete(&format!("/messages/{rest}"));
    let expected = json!({"messageId": rest, "conversationId": id});
    assert_eq!(one_told(&ann, &id, &mut ios, "message:deleted"), expected);
    let ack = ios[0].does("message:delete", &json!({"messageId": socket}));
    assert_eq!(ack, json!({"success": true, "messageId": socket, "conversationId": id}));
    ios[0].does("message:delete", &json!({"messageId": socket}));
    assert_eq!(one_told(&ann, &id, &mut ios, "message:deleted")["messageId"], socket.as_str());
    binary.chat().remove(by_binary.id).unwrap();
    let told = one_told(&ann, &id, &mut ios, "message:deleted");
    assert_eq!(told["messageId"], by_binary.id.to_string());

    // The binary session was told of the socket's message, too, and the stranger of nothing.
    let socket: MessageId = socket.parse().unwrap();
    while !matches!(heard(&mut binary), ChatEvent::Removed { message, .. } if message == socket) {}
    let other = Person::new(&node, CAT);
    let own = other.direct(DAN);
    other.say(&own, "mine");
    assert_eq!(cat.event("conversation:created")["id"], own.as_str());
    assert_eq!(cat.before("mine"), []);
}

pub(crate) fn the_same_message_again(io: &str) {
    let node = Node::start_on(io, "");
    let ann = Person::new(&node, ANN);
    let id = ann.direct(BOB);
    let mut ios = [ANN, BOB].map(|user| Io::user(&node, user));
    let words = json!({"conversationId": id, "content": "once", "clientMessageId": "m-1"});
    let first = ios[0].does("message:send", &words);
    let again = ios[0].does("message:send", &words);
    assert_eq!(again, first);
    assert_eq!(ann.make("/messages", &words)["id"], first["id"]);
    assert_eq!(one_told(&ann, &id, &mut ios, "message:new")["id"], first["id"]);
    assert_eq!(first["clientMessageId"], "m-1");
}

pub(crate) fn reading_all(io: &str) {
    let node = Node::start_on(io, "");
    let [ann, bob] = [ANN, BOB].map(|id| Person::new(&node, id));
    let id = ann.direct(BOB);
    let ids: Vec<String> = (0..60).map(|n| text(&ann.say(&id, &n.to_string())["id"])).collect();
    let mut ios = [ANN, BOB, BOB].map(|user| Io::user(&node, user));
    let check = |told: Vec<Told>, ids: &[String]| {
        let (all, each) = told.split_last().unwrap();
        let messages: Vec<String> = each.iter().map(|(_, body)| text(&body["messageId"])).collect();
        assert_eq!(messages, ids);
        let body = json!({"conversationId": id, "userId": BOB, "readAt": all.1["readAt"]});
        assert_eq!(*all, ("conversation:read".to_owned(), body));
        assert!(each.iter().all(|(name, body)| name == "message:read" && body["readAt"] == all.1["readAt"]));
    };
    bob.post(&format!("/messages/conversation/{id}/read"));
    check(all_told(&ann, &id, &mut ios), &ids[10..]);
    assert_eq!(bob.unread(&id), 1, "the one that was said after it");
    let more = text(&ann.say(&id, "more")["id"]);
    let end = text(&ann.history(&id)[1]["id"]);
    let ack = ios[1].does("conversation:read", &json!({"conversationId": id}));
    assert_eq!(ack, json!({"success": true, "conversationId": id}));
    let mut told = all_told(&ann, &id, &mut ios);
    assert_eq!(told.remove(0).1["id"], more.as_str());
    check(told, &[end, more]);
    assert_eq!(bob.unread(&id), 1);
}

pub(crate) fn conversations_and_their_people(io: &str) {
    let node = Node::start_on(io, "");
    let [ann, bob] = [ANN, BOB].map(|id| Person::new(&node, id));
    let mut ios = [ANN, BOB].map(|user| Io::user(&node, user));
    let mut cat = Io::user(&node, CAT);
    let group = ann.make(
        "/conversations",
        &json!({"participantIds": [BOB], "conversationType": "group", "conversationName": "Team"}),
    );
    let id = text(&group["id"]);
    assert_eq!(one_told(&ann, &id, &mut ios, "conversation:created"), group);

    let mut renamed = bob.put(&format!("/conversations/{id}"), &json!({"conversationName": "Band"}));
    renamed.as_object_mut().unwrap().remove("participants");
    assert_eq!(one_told(&ann, &id, &mut ios, "conversation:updated"), renamed);

    // Who is added learns of the conversation, the others of who was added.
    let people = format!("/conversations/{id}/participants");
    let row = ann.make(&people, &json!({"userId": CAT}));
    assert_eq!(one_told(&ann, &id, &mut ios, "conversation:participant-added"), row);
    let created = cat.event("conversation:created");
    assert_eq!((&created["id"], &created["conversationName"]), (&json!(id), &json!("Band")));
    assert_eq!(created["participants"].as_array().unwrap().len(), 3);

    // Who is taken out learns that, and nothing more.
    ann.delete(&format!("{people}/{CAT}"));
    let told = one_told(&ann, &id, &mut ios, "conversation:participant-removed");
    assert_eq!((&told["userId"], &told["conversationId"]), (&json!(CAT), &json!(id)));
    assert_eq!(cat.event("conversation:participant-removed"), told);
    let own = Person::new(&node, CAT).direct(DAN);
    Person::new(&node, CAT).say(&own, "mine");
    let told: Vec<Told> = cat.before("mine");
    let seen = |(name, body): &&Told| body["conversationId"] == id.as_str() && name == "message:new";
    assert_eq!(told.iter().filter(seen).count(), 1, "the one between coming and going: {told:?}");

    ann.delete(&format!("/conversations/{id}"));
    for io in &mut ios {
        assert_eq!(io.event("conversation:deleted"), json!({"conversationId": id}));
        assert!(io.told().is_empty());
    }
}

pub(crate) fn the_dialect_of_the_front_end(io: &str) {
    let node = Node::start_on(io, "");
    let mut ann = Io::user(&node, ANN);
    let mut bob = Io::user(&node, BOB);
    // To somebody with whom there is no conversation yet.
    let sent = ann.does("sendMessage", &json!({"recipientId": BOB, "content": "hi"}));
    let id = text(&sent["conversationId"]);
    for io in [&mut ann, &mut bob] {
        assert_eq!(io.event("conversation:created")["id"], id.as_str());
        assert_eq!(io.event("message:new")["content"], "hi");
    }
    let again = bob.does("sendMessage", &json!({"recipientId": ANN, "content": "hello"}));
    assert_eq!(again["conversationId"], id.as_str());
    assert_eq!(ann.event("message:new")["content"], "hello");

    bob.emit("joinConversation", &json!(id));
    assert_eq!(bob.event("conversation:joined"), json!({"conversationId": id}));
    ann.emit("typing", &json!({"conversationId": id, "isTyping": true}));
    assert_eq!(bob.event("user:typing"), json!({"userId": ANN, "conversationId": id}));
    ann.emit("typing", &json!({"conversationId": id, "isTyping": false}));
    assert_eq!(bob.event("user:stopped-typing"), json!({"userId": ANN, "conversationId": id}));
    bob.does("leaveConversation", &json!(id));
    ann.does("typing", &json!({"conversationId": id, "isTyping": true}));
    ann.does("sendMessage", &json!({"conversationId": id, "content": "end"}));
    let names: Vec<String> = bob.before("end").into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["message:new"], "its own message, and nobody typing");
}
