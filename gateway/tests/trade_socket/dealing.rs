//! Every event, and exactly who is told.

use serde_json::{Value, json};

use crate::member::{BUYER, Member, ROOM, SELLER, make_room, rest};
use crate::support::Node;

/// An old client sells, a new one buys, and the other way round.
pub(crate) fn a_room_is_spoken_in(io: &str) {
    for (one, other) in [(3, 4), (4, 3)] {
        let node = Node::start_on(io, "presence.grace = \"0s\"");
        let mut buyer = Member::joined(&node, one, BUYER, "BUYER");
        let mut phone = Member::joined(&node, other, BUYER, "BUYER");
        buyer.hears("active_user_list", &json!({"user_id": "42", "user_role": "BUYER", "rooms": []}));
        let mut seller = Member::joined(&node, other, SELLER, "SELLER");

        // The maker's devices hear of a new room, the seller does not; each hears that the other one is online.
        let asked = json!({"type": "BS", "buyer": 42, "seller": "7", "shop_id": 3, "creator": "42"});
        let room = json!({
            "_id": ROOM, "room_id": ROOM, "type": "BS", "buyer": "42", "seller": "7", "shop_id": 3, "creator": "42",
        });
        buyer.emit("create_room", &asked);
        let online = |user: &str, role: &str| json!({"user_id": user, "user_role": role, "room_id": ROOM, "status": true});
        for device in [&mut buyer, &mut phone] {
            device.hears("create_room", &room);
            device.hears("user_status_change", &online(SELLER, "SELLER"));
        }
        seller.hears("user_status_change", &online(BUYER, "BUYER"));
        // Made again, it is told to the maker's devices again.
        assert_eq!(buyer.ask("create_room", &asked), json!({"status": true, "data": room}));
        buyer.hears("create_room", &room);
        phone.hears("create_room", &room);

        // A message reaches both, all devices, the sending one included.
        let say = json!({
            "room_id": ROOM, "from": "42", "to": 7, "type": "IMAGE", "content": "https://h.example/i.png",
            "client_message_id": "c-1",
        });
        buyer.emit("new_message", &say);
        let said = buyer.event("new_message");
        let at = said["created_at"].as_str().unwrap();
        assert_eq!(gateway::timestamp::Millis(gateway::timestamp::read(at).unwrap()).to_string(), at);
        assert_eq!(
            said,
            json!({
                "_id": said["_id"], "room_id": ROOM, "from": "42", "to": "7", "type": "IMAGE",
                "content": "https://h.example/i.png", "client_message_id": "c-1", "created_at": at,
            })
        );
        phone.hears("new_message", &said);
        seller.hears("new_message", &said);
        // The same again is answered to who asks again, and told to nobody else.
        buyer.emit("new_message", &say);
        buyer.hears("new_message", &said);
        assert_eq!(phone.ask("new_message", &say), json!({"status": true, "data": said}));
        phone.hears("new_message", &said);

        // Typing: the other devices of who types, and the other one.
        let toward = json!({"room_id": ROOM, "from": "42", "to": "7"});
        for name in ["typing", "stop_typing"] {
            buyer.emit(name, &toward);
            phone.hears(name, &toward);
            seller.hears(name, &toward);
        }
        // Seen: the one who was seen, and nobody else.
        let last = json!({
            "room_id": ROOM, "from": "7", "to": "42", "last_message_id": said["_id"], "last_message_created_at": at,
        });
        seller.emit("seen_messages", &last);
        buyer.hears("seen_messages", &last);
        phone.hears("seen_messages", &last);
        let answer = seller.speaks(SELLER, BUYER, "Yes");
        for device in [&mut buyer, &mut phone] {
            device.hears("new_message", &answer);
            device.has_heard_nothing();
        }
        seller.has_heard_nothing();
        // What the calls say is the same.
        let page = rest(&node, BUYER, "GET", &format!("/messages?room_id={ROOM}"), &Value::Null).json();
        let seen: Vec<&Value> = page["data"].as_array().unwrap().iter().map(|one| &one["is_seen"]).collect();
        assert_eq!(seen, [false, true]);
        let rooms = rest(&node, SELLER, "GET", "/rooms?user_id=7&role=SELLER", &Value::Null).json();
        assert_eq!(rooms["rooms"][0]["seller_unseen_messages"], 0);
        // And what calls do is told.
        let body = json!({"room_id": ROOM, "from": "7", "to": "42", "content": "by a call"});
        let sent = rest(&node, SELLER, "POST", "/messages", &body).json();
        for member in [&mut buyer, &mut phone, &mut seller] {
            assert_eq!(member.event("new_message")["_id"], sent["_id"]);
        }
        rest(&node, BUYER, "PUT", &format!("/rooms/{ROOM}/seen"), &json!({"role": "BUYER"}));
        assert_eq!(seller.event("seen_messages")["last_message_id"], sent["_id"]);
        // Who leaves types no more.
        buyer.emit("typing", &toward);
        phone.hears("typing", &toward);
        seller.hears("typing", &toward);
        buyer.leave();
        phone.hears("stop_typing", &toward);
        seller.hears("stop_typing", &toward);
    }
}

pub(crate) fn rooms_are_deleted_and_blocked(io: &str) {
    let node = Node::start_on(io, "");
    make_room(&node);
    let mut buyer = Member::joined(&node, 3, BUYER, "BUYER");
    let mut seller = Member::joined(&node, 4, SELLER, "SELLER");
    // The states that the list has are not told once more; the seller came after the buyer was told.
    let online = json!({"user_id": "7", "user_role": "SELLER", "room_id": ROOM, "status": true});
    buyer.hears("user_status_change", &online);
    rest(&node, SELLER, "DELETE", &format!("/rooms/{ROOM}"), &Value::Null);
    let deletion = json!({"room_id": ROOM, "seller": "7", "buyer": "42", "deletion_role": "SELLER"});
    buyer.hears("room_deletion", &deletion);
    seller.hears("room_deletion", &deletion);
    // Shown again, it is one whose other side's presence matters.
    rest(&node, SELLER, "PUT", &format!("/rooms/{ROOM}/enable"), &json!({"role": "SELLER"}));
    let back = json!({"user_id": "42", "user_role": "BUYER", "room_id": ROOM, "status": true});
    seller.hears("user_status_change", &back);
    buyer.hears("user_status_change", &online);
    // A message shows a deleted room again, too, and nothing from before.
    rest(&node, BUYER, "DELETE", &format!("/rooms/{ROOM}"), &Value::Null);
    for member in [&mut buyer, &mut seller] {
        assert_eq!(member.event("room_deletion")["deletion_role"], "BUYER");
    }
    let said = seller.speaks(SELLER, BUYER, "still there?");
    buyer.hears("new_message", &said);
    buyer.hears("user_status_change", &online);
    // Pins are nobody's business.
    rest(&node, BUYER, "POST", &format!("/rooms/{ROOM}/pin"), &Value::Null);
    rest(&node, SELLER, "POST", &format!("/rooms/{ROOM}/block"), &json!({"block": true, "role": "SELLER"}));
    let say = json!({"room_id": ROOM, "from": "42", "to": "7", "content": "x"});
    buyer.emit("new_message", &say);
    let blocked = json!({"status": false, "message": "Room is blocked"});
    buyer.hears("error", &blocked);
    assert_eq!(buyer.ask("new_message", &say), blocked);
    let back = json!({"room_id": ROOM, "from": "7", "to": "42", "content": "x"});
    assert_eq!(seller.ask("new_message", &back), blocked);
    for member in [&mut buyer, &mut seller] {
        member.has_heard_nothing();
    }
}

pub(crate) fn what_is_refused(io: &str) {
    let node = Node::start_on(io, "");
    make_room(&node);
    for version in [3, 4] {
        let mut buyer = Member::joined(&node, version, BUYER, "BUYER");
        let mut eve = Member::joined(&node, version, "eve", "SELLER");
        let forbidden = json!({"status": false, "message": "You do not have the authorization"});
        let toward = json!({"room_id": ROOM, "from": "7", "to": "42"});
        let mut seen = toward.clone();
        seen["last_message_created_at"] = json!("2026-03-30T10:30:00.123Z");
        let mut say = toward.clone();
        say["content"] = json!("not mine");
        let room = json!({"type": "BS", "buyer": "42", "seller": "7", "shop_id": 3, "creator": "7"});
        let calls =
            [("typing", &toward), ("seen_messages", &seen), ("new_message", &say), ("create_room", &room)];
        for (name, body) in calls {
            // In somebody else's name; and not in the room at all.
            for member in [&mut buyer, &mut eve] {
                member.emit(name, body);
                member.hears("error", &forbidden);
                assert_eq!(member.ask(name, body), forbidden, "{name}");
            }
        }
        let none = json!({"room_id": "42.8", "from": "42", "to": "8"});
        buyer.emit("typing", &none);
        buyer.hears("error", &json!({"status": false, "message": "Room not found!"}));
        for body in [json!(null), json!([]), json!("x"), json!({}), json!({"room_id": ROOM})] {
            buyer.emit("new_message", &body);
            let problem = buyer.event("error");
            assert_eq!((&problem["status"], problem.as_object().unwrap().len()), (&json!(false), 2));
        }
        // A room that is not there is made by its first message, and told with it.
        let other = format!("{version}0");
        let first = json!({"room_id": format!("42.{other}"), "from": "42", "to": other, "content": "first"});
        buyer.emit("new_message", &first);
        let said = loop {
            let (name, body) = buyer.next();
            if name == "new_message" {
                break body;
            }
            // Whether the other one is online may come first; a new room is not told.
            assert_eq!(name, "user_status_change");
        };
        assert_eq!(said["room_id"], format!("42.{other}"));
        // Nothing of all that was told or done.
        eve.has_heard_nothing();
        let page = rest(&node, BUYER, "GET", &format!("/messages?room_id={ROOM}"), &Value::Null).json();
        assert_eq!(page["data"], json!([]));
    }
}
