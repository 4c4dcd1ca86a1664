//! The server is killed while people deal: what was told is there afterwards, and said once.

use serde_json::{Value, json};

use crate::member::{BUYER, Member, ROOM, SELLER};
use crate::support::process::Process;

pub(crate) fn a_crash_loses_nothing(io: &str) {
    let folder = tempfile::tempdir().unwrap();
    let start =
        || Process::start_in(folder.path(), io, "store.kind = \"embedded\"\npresence.restart_grace = \"1s\"");
    let node = start();
    let (mut buyer, _) = Member::joined_with(&node, 3, &node.token(BUYER), BUYER, "BUYER");
    let say = |content: &str, name: &str| {
        json!({
            "room_id": ROOM, "from": "42", "to": "7", "type": "TEXT", "content": content, "client_message_id": name,
        })
    };
    buyer.emit("new_message", &say("told", "c-1"));
    let told = buyer.event("new_message");
    // This one may be stored or not: nobody was told.
    buyer.emit("new_message", &say("on its way", "c-2"));
    node.kill();
    buyer.loses_its_server();

    let node = start();
    let (mut seller, rooms) = Member::joined_with(&node, 4, &node.token(SELLER), SELLER, "SELLER");
    assert_eq!(rooms.as_array().unwrap().len(), 1);
    let (mut buyer, _) = Member::joined_with(&node, 3, &node.token(BUYER), BUYER, "BUYER");
    // Whoever has no answer says it again.
    assert_eq!(buyer.ask("new_message", &say("told", "c-1"))["data"], told);
    let second = buyer.ask("new_message", &say("on its way", "c-2"))["data"].clone();
    let bearer = format!("Bearer {}", node.token(SELLER));
    let path = format!("/v1/conversations/messages?room_id={ROOM}&created_at=1");
    let page = node.call("GET", &path, &[("Authorization", bearer.as_str())], "").json();
    let ids: Vec<&Value> = page["data"].as_array().unwrap().iter().map(|message| &message["_id"]).collect();
    assert_eq!(ids, [&told["_id"], &second["_id"]]);
    seller.emit("typing", &json!({"room_id": ROOM, "from": "7", "to": "42"}));
    loop {
        if buyer.next().0 == "typing" {
            break;
        }
    }
}
