//! Events that cannot be used are refused in the API's words, and change nothing.

use serde_json::{Value, json};

use crate::people::{ANN, BOB, CAT, Person, text};
use crate::support::Node;
use crate::support::socketio::Io;

pub(crate) fn bad_events_change_nothing(io: &str) {
    let node = Node::start_on(io, "limits.commands_per_second = 10000\nlimits.commands_burst = 10000");
    let ann = Person::new(&node, ANN);
    let id = ann.group(&[BOB]);
    let message = text(&ann.say(&id, "first")["id"]);
    let seen = || (ann.get("/conversations"), ann.history(&id), ann.get(&format!("/messages/{message}")));
    let before = seen();
    let mut io = Io::user(&node, ANN);
    let mut stranger = Io::user(&node, CAT);
    let mut bob = Io::user(&node, BOB);

    let deep = format!("{{\"conversationId\":\"{id}\",\"x\":{}{}}}", "[".repeat(80), "]".repeat(80));
    let names = [
        "conversation:join",
        "conversation:leave",
        "conversation:read",
        "message:send",
        "message:edit",
        "message:delete",
        "message:read",
        "typing:start",
        "typing:stop",
        "typing",
        "joinConversation",
        "leaveConversation",
        "sendMessage",
    ];
    for name in names {
        for arguments in ["", "null", "7", "[]", "{}", "true", "{},{}", &deep] {
            let ack = io.ask_raw(name, arguments);
            assert_eq!((&ack["success"], &ack["statusCode"]), (&json!(false), &json!(400)), "{name} {ack}");
            assert_eq!(ack.as_object().unwrap().len(), 4);
        }
    }
    let unknown = "3c1f0e9a-77b2-8d41-a6c5-9e0d2b000000";
    let missing = "Conversation not found";
    for place in ["conv-uuid-123", unknown, "", &message] {
        for name in ["conversation:join", "conversation:read", "typing:start"] {
            io.refused(name, &json!({"conversationId": place}), 404, missing);
        }
        io.refused("message:send", &json!({"conversationId": place, "content": "x"}), 404, missing);
    }
    for place in ["msg-uuid-456", "3c1f0e9a-77b2-8d41-a6c5-9e119ab4cd01", &id] {
        io.refused("message:read", &json!({"messageId": place}), 404, "Message not found");
        io.refused("message:delete", &json!({"messageId": place}), 404, "Message not found");
        io.refused("message:edit", &json!({"messageId": place, "content": "x"}), 404, "Message not found");
    }
    let words = "You are not a participant in this conversation";
    for name in ["conversation:join", "conversation:read", "typing:start", "typing:stop"] {
        stranger.refused(name, &json!({"conversationId": id}), 403, words);
    }
    stranger.refused("message:send", &json!({"conversationId": id, "content": "x"}), 403, words);
    stranger.refused("message:read", &json!({"messageId": message}), 403, words);
    let words = "Only the sender can edit this message";
    bob.refused("message:edit", &json!({"messageId": message, "content": "x"}), 403, words);
    bob.refused(
        "message:delete",
        &json!({"messageId": message}),
        403,
        "Only the sender can delete this message",
    );

    // Without an ack there is an event `error`, and nothing else.
    stranger.emit("conversation:join", &json!({"conversationId": id}));
    let error = json!({
        "error": "Forbidden", "message": "You are not a participant in this conversation", "statusCode": 403,
    });
    assert_eq!(stranger.event("error"), error);
    io.emit("message:send", &json!({"conversationId": id}));
    assert_eq!(io.event("error")["statusCode"], 400);
    io.emit("nothing:known", &Value::Null);
    assert_eq!(io.event("error")["statusCode"], 400);
    // Bytes where text is wanted.
    io.packet(&format!(
        r#"451-["message:send",{{"conversationId":"{id}","content":{{"_placeholder":true,"num":0}}}}]"#
    ));
    io.bytes(b"hello");
    let error = io.event("error");
    assert_eq!(error["message"], "message:send takes no binary data");

    assert_eq!(seen(), before);
    ann.say(&id, "end");
    assert_eq!(bob.before("end"), []);
    assert_eq!(io.before("end"), []);
    assert_eq!(stranger.told(), []);
}

pub(crate) fn attachments_may_be_our_own_only(io: &str) {
    let node = Node::start_on(io, "attachments.own_only = true");
    let id = Person::new(&node, ANN).direct(BOB);
    let mut io = Io::user(&node, ANN);
    let words = |url: &str| json!({"conversationId": id, "content": "x", "attachmentUrl": url});
    let refused = "attachmentUrl must be the address of a file that was uploaded here";
    io.refused("message:send", &words("https://h.example/x.jpg"), 400, refused);
    // The address by which this client has come.
    let own = format!("http://{}/messaging/messages/1732546789123-photo.jpg", node.addresses.http);
    assert_eq!(io.does("message:send", &words(&own))["attachmentUrl"], own.as_str());
}

pub(crate) fn too_many_events(io: &str) {
    let node = Node::start_on(io, "");
    let id = Person::new(&node, ANN).direct(BOB);
    let mut io = Io::user(&node, ANN);
    for n in 0..200 {
        io.packet(&format!(r#"42{n}["conversation:leave",{{"conversationId":"{id}"}}]"#));
    }
    io.packet(&format!(r#"42["conversation:leave",{{"conversationId":"{id}"}}]"#));
    let error = io.event("error");
    assert_eq!((&error["error"], &error["statusCode"]), (&json!("Too Many Requests"), &json!(429)));
    let acks: Vec<Value> = (0..200).map(|n| io.until("an ack", |io| io.ack(n))).collect();
    let done = acks.iter().filter(|ack| ack["success"] == true).count();
    assert!((50..150).contains(&done), "{done} of 200 at once");
    let refused = acks.iter().filter(|ack| ack["statusCode"] == 429 && ack["success"] == false).count();
    assert_eq!(done + refused, 200);
}
