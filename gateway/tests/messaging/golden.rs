//! Every call as its API shows it, bodies compared.

use serde_json::{Value, json};

use crate::people::{ANN, BOB, CAT, DAN, Person, contents, is_time, text};
use crate::support::Node;

pub(crate) fn conversations_and_their_people(io: &str) {
    let node = Node::start_on(io, "");
    let [ann, bob, cat] = [ANN, BOB, CAT].map(|id| Person::new(&node, id));

    let direct = ann.make(
        "/conversations",
        &json!({"participantIds": [ANN, BOB], "conversationType": "direct", "conversationName": "not taken"}),
    );
    let (id, at) = (text(&direct["id"]), direct["createdAt"].clone());
    is_time(&at);
    let row = |n: usize| text(&direct["participants"][n]["id"]);
    assert_eq!(
        direct,
        json!({
            "id": id, "conversationType": "direct", "conversationName": null, "createdBy": ANN,
            "createdAt": at, "updatedAt": at,
            "participants": [
                {"id": row(0), "userId": ANN, "conversationId": id, "lastReadAt": at, "joinedAt": at},
                {"id": row(1), "userId": BOB, "conversationId": id, "lastReadAt": null, "joinedAt": at},
            ],
        })
    );
    assert_ne!(row(0), row(1));
    assert_eq!(ann.get(&format!("/conversations/{id}")), direct);
    assert_eq!(bob.get(&format!("/conversations/{id}")), direct);
    // There is one for each two, whoever asks and however.
    assert_eq!(bob.make("/conversations", &json!({"participantIds": [ANN]})), direct);
    assert_eq!(ann.direct(BOB), id);

    let group = ann.make(
        "/conversations",
        &json!({"participantIds": [BOB, BOB], "conversationType": "group", "conversationName": "Team Discussion"}),
    );
    let team = text(&group["id"]);
    assert_eq!(
        (&group["conversationType"], &group["conversationName"]),
        (&json!("group"), &json!("Team Discussion"))
    );
    assert_eq!(group["participants"].as_array().unwrap().len(), 2);
    assert_ne!(ann.group(&[BOB]), team, "each group is a new one");

    let renamed = bob.put(&format!("/conversations/{team}"), &json!({"conversationName": "New Team Name"}));
    is_time(&renamed["updatedAt"]);
    assert_eq!(
        (&renamed["id"], &renamed["conversationType"], &renamed["conversationName"]),
        (&json!(team), &json!("group"), &json!("New Team Name"))
    );
    assert_eq!(ann.get(&format!("/conversations/{team}"))["conversationName"], "New Team Name");
    let words = "Only a group can be renamed";
    ann.refused("PUT", &format!("/conversations/{id}"), &json!({"conversationName": "x"}), 400, words);

    let people = format!("/conversations/{team}/participants");
    let added = bob.make(&people, &json!({"userId": CAT}));
    is_time(&added["joinedAt"]);
    assert_eq!(
        added,
        json!({
            "id": added["id"], "userId": CAT, "conversationId": team, "lastReadAt": null,
            "joinedAt": added["joinedAt"],
        })
    );
    ann.refused("POST", &people, &json!({"userId": CAT}), 409, "User is already a participant");
    let words = "Participants can only be added to a group";
    ann.refused("POST", &format!("/conversations/{id}/participants"), &json!({"userId": CAT}), 400, words);
    assert_eq!(cat.get(&format!("/conversations/{team}"))["participants"].as_array().unwrap().len(), 3);

    let words = "Only the creator can remove other participants";
    bob.refused("DELETE", &format!("{people}/{CAT}"), &Value::Null, 403, words);
    let removed = ann.delete(&format!("{people}/{}", text(&added["id"])));
    assert_eq!(removed, json!({"message": "Participant removed successfully"}));
    let words = "Conversation or participant not found";
    ann.refused("DELETE", &format!("{people}/{}", text(&added["id"])), &Value::Null, 404, words);
    // One who comes again has a new row.
    let again = ann.make(&people, &json!({"userId": CAT}));
    assert_ne!(again["id"], added["id"]);
    cat.delete(&format!("{people}/{CAT}"));
    let words = "You are not a participant in this conversation";
    cat.refused("GET", &format!("/conversations/{team}"), &Value::Null, 403, words);

    let words = "Only the creator can delete this conversation";
    bob.refused("DELETE", &format!("/conversations/{team}"), &Value::Null, 403, words);
    let deleted = ann.delete(&format!("/conversations/{team}"));
    assert_eq!(deleted, json!({"message": "Conversation deleted successfully"}));
    ann.refused("GET", &format!("/conversations/{team}"), &Value::Null, 404, "Conversation not found");
    let left: Vec<String> =
        bob.get("/conversations").as_array().unwrap().iter().map(|row| text(&row["id"])).collect();
    assert_eq!(left.len(), 2);
    assert!(!left.contains(&team));
}

pub(crate) fn messages_and_their_readers(io: &str) {
    let node = Node::start_on(io, "");
    let [ann, bob] = [ANN, BOB].map(|id| Person::new(&node, id));
    let id = ann.direct(BOB);
    let photo = "http://minio:9000/messaging/messages/1732546789123-photo.jpg";
    let sent = ann.make(
        "/messages",
        &json!({"conversationId": id, "content": "Hello everyone!", "attachmentUrl": photo, "attachmentType": "image"}),
    );
    let at = sent["createdAt"].clone();
    is_time(&at);
    let message = text(&sent["id"]);
    assert_eq!(
        sent,
        json!({
            "id": message, "conversationId": id, "senderId": ANN, "content": "Hello everyone!", "attachmentUrl": photo,
            "attachmentType": "image", "isEdited": false, "isDeleted": false, "createdAt": at, "updatedAt": at,
        })
    );
    let plain = bob.make(
        "/messages",
        &json!({"conversationId": id, "content": "Chào bạn 👋", "attachmentUrl": null, "attachmentType": null}),
    );
    assert_eq!((&plain["attachmentUrl"], &plain["attachmentType"]), (&Value::Null, &Value::Null));
    let file = bob.make("/messages", &json!({"conversationId": id, "attachmentUrl": photo}));
    assert_eq!((&file["content"], &file["attachmentType"]), (&json!(""), &json!("file")));

    // The list: the newest message, and who has what to read.
    let rows = ann.get("/conversations");
    let mut expected = ann.get(&format!("/conversations/{id}"));
    expected["lastMessage"] = json!({"content": "", "createdAt": file["createdAt"], "senderId": BOB});
    expected["unreadCount"] = json!(2);
    assert_eq!(rows, json!([expected]));
    assert_eq!(expected["updatedAt"], file["createdAt"]);

    // Reading one.
    let done = ann.post(&format!("/messages/{}/read", text(&plain["id"])));
    assert_eq!(done, json!({"message": "Message marked as read"}));
    let read = ann.get(&format!("/messages/{}", text(&plain["id"])));
    is_time(&read["readBy"][0]["readAt"]);
    let mut expected = plain.clone();
    expected["readBy"] = json!([{"userId": ANN, "readAt": read["readBy"][0]["readAt"]}]);
    assert_eq!(read, expected);
    // Again keeps the first time; one's own is nothing to read.
    ann.post(&format!("/messages/{}/read", text(&plain["id"])));
    bob.post(&format!("/messages/{}/read", text(&plain["id"])));
    assert_eq!(bob.get(&format!("/messages/{}", text(&plain["id"]))), expected);

    let page = ann.get(&format!("/messages/conversation/{id}"));
    assert_eq!((&page["hasMore"], &page["nextBefore"]), (&json!(false), &Value::Null));
    assert_eq!(contents(page["messages"].as_array().unwrap()), ["", "Chào bạn 👋", "Hello everyone!"]);
    assert_eq!(page["messages"][1], expected);

    let done = ann.post(&format!("/messages/conversation/{id}/read"));
    assert_eq!(done, json!({"message": "All messages marked as read"}));
    assert_eq!(ann.history(&id)[0]["readBy"][0]["userId"], ANN);
    let participant = ann.get(&format!("/conversations/{id}"))["participants"][0].clone();
    is_time(&participant["lastReadAt"]);

    let edited = ann.put(&format!("/messages/{message}"), &json!({"content": "Updated message content"}));
    assert_eq!((&edited["content"], &edited["isEdited"]), (&json!("Updated message content"), &json!(true)));
    assert_eq!((&edited["id"], &edited["createdAt"]), (&json!(message), &at));
    assert!(text(&edited["updatedAt"]) > text(&at));
    let words = "Only the sender can edit this message";
    bob.refused("PUT", &format!("/messages/{message}"), &json!({"content": "mine"}), 403, words);
    assert_eq!(contents(&bob.history(&id))[2], "Updated message content");
}

pub(crate) fn unread_counts(io: &str) {
    let node = Node::start_on(io, "");
    let [ann, bob, cat] = [ANN, BOB, CAT].map(|id| Person::new(&node, id));
    let direct = ann.direct(BOB);
    let group = ann.group(&[BOB]);
    for id in [&direct, &group] {
        let sent: Vec<String> = (0..5).map(|n| text(&ann.say(id, &n.to_string())["id"])).collect();
        assert_eq!((ann.unread(id), bob.unread(id)), (0, 5));
        bob.post(&format!("/messages/{}/read", sent[2]));
        bob.post(&format!("/messages/{}/read", sent[2]));
        assert_eq!(bob.unread(id), 4);
        ann.delete(&format!("/messages/{}", sent[4]));
        ann.delete(&format!("/messages/{}", sent[2]));
        assert_eq!(bob.unread(id), 3, "what was deleted is not unread");
        bob.say(id, "an answer");
        assert_eq!((ann.unread(id), bob.unread(id)), (1, 0), "who answers has read what came before");
        ann.say(id, "more");
        assert_eq!((ann.unread(id), bob.unread(id)), (0, 1));
        bob.post(&format!("/messages/conversation/{id}/read"));
        assert_eq!(bob.unread(id), 0);
    }
    // One who joins later has nothing to read of what was said before, and may read it all.
    ann.make(&format!("/conversations/{group}/participants"), &json!({"userId": CAT}));
    assert_eq!(cat.unread(&group), 0);
    assert_eq!(cat.history(&group).len(), 7);
    ann.say(&group, "welcome");
    assert_eq!(cat.unread(&group), 1);
}

pub(crate) fn deleted_messages(io: &str) {
    let node = Node::start_on(io, "");
    let [ann, bob] = [ANN, BOB].map(|id| Person::new(&node, id));
    let id = ann.direct(BOB);
    ann.say(&id, "first");
    let sent = ann.make(
        "/messages",
        &json!({"conversationId": id, "content": "oh no", "attachmentUrl": "https://h.example/x", "attachmentType": "file"}),
    );
    let path = format!("/messages/{}", text(&sent["id"]));
    let words = "Only the sender can delete this message";
    bob.refused("DELETE", &path, &Value::Null, 403, words);
    assert_eq!(ann.delete(&path), json!({"message": "Message deleted successfully"}));
    let shown = bob.get(&path);
    for (key, value) in [
        ("content", json!("")),
        ("attachmentUrl", Value::Null),
        ("attachmentType", Value::Null),
        ("isDeleted", json!(true)),
        ("isEdited", json!(false)),
        ("createdAt", sent["createdAt"].clone()),
    ] {
        assert_eq!(shown[key], value, "{key}");
    }
    assert_eq!(ann.delete(&path), json!({"message": "Message deleted successfully"}), "again is no error");
    assert_eq!(bob.get(&path), shown);
    ann.refused("PUT", &path, &json!({"content": "back"}), 404, "This message was deleted");
    assert_eq!(contents(&bob.history(&id)), ["", "first"], "it stays in its place");
    assert_eq!(bob.get("/conversations")[0]["lastMessage"]["content"], "first");
    bob.post(&format!("{path}/read"));
}

pub(crate) fn large_groups(io: &str) {
    let node = Node::start_on(io, "");
    let [ann, dan] = [ANN, DAN].map(|id| Person::new(&node, id));
    let others: Vec<String> = (0..130).map(|n| format!("member-{n}")).chain([DAN.to_owned()]).collect();
    let id = ann.group(&others.iter().map(String::as_str).collect::<Vec<_>>());
    let shown = dan.get(&format!("/conversations/{id}"));
    assert_eq!(shown["participants"].as_array().unwrap().len(), 132);
    let row = dan.get("/conversations")[0].clone();
    let listed = row["participants"].as_array().unwrap();
    assert_eq!(listed.len(), 100);
    assert!(listed.iter().any(|one| one["userId"] == DAN), "who asks is always there");
    let sent: Vec<Value> = (0..3).map(|n| ann.say(&id, &n.to_string())).collect();
    assert_eq!(dan.unread(&id), 3);
    dan.post(&format!("/messages/{}/read", text(&sent[1]["id"])));
    assert_eq!(dan.unread(&id), 2);
    assert_eq!(ann.history(&id)[1]["readBy"], json!([]), "no receipts in a crowd");
    dan.post(&format!("/messages/conversation/{id}/read"));
    assert_eq!(dan.unread(&id), 0);
    let last = Person::new(&node, "member-129");
    assert_eq!(last.unread(&id), 3);
    last.delete(&format!("/conversations/{id}/participants/member-129"));
    assert_eq!(dan.get(&format!("/conversations/{id}"))["participants"].as_array().unwrap().len(), 131);
}
