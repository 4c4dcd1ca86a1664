//! Every call as its API shows it, bodies compared.

use gateway::clock::Clock;
use serde_json::{Value, json};

use crate::people::{BUYER, OTHER, Person, SELLER, is_time, text};
use crate::support::{Node, eventually};

const ROOM: &str = "42.7";

pub(crate) fn a_room_and_its_sides(io: &str) {
    let node = Node::start_on(io, "");
    let [buyer, seller] = [BUYER, SELLER].map(|id| Person::new(&node, id));
    let asked = json!({
        "type": "BS", "buyer": 42, "seller": "7", "shop_id": 3, "creator": "42",
        "buyer_info": {"name": "Nguyễn An", "avatar": "https://h.example/a.png", "phone_number": "0901", "email": "an@h.example", "other": 1},
        "shop": {"name": "Chợ Đồ Cũ"},
    });
    let made = buyer.does("POST", "/rooms", &asked);
    let at = made["room"]["created_at"].clone();
    is_time(&at);
    let room = json!({
        "_id": ROOM, "type": "BS", "creator": "42", "buyer": "42", "seller": "7", "shop_id": 3,
        "shop": {"id": 3, "name": "Chợ Đồ Cũ"},
        "buyer_info": {"name": "Nguyễn An", "avatar": "https://h.example/a.png", "phone_number": "0901", "email": "an@h.example"},
        "buyer_unseen_messages": 0, "seller_unseen_messages": 0, "deleted_by_buyer": false, "deleted_by_seller": false,
        "created_at": at, "updated_at": at,
    });
    assert_eq!(made, json!({"status": true, "message": "Created room successfully!", "room": room}));
    for person in [&buyer, &seller] {
        assert_eq!(person.get(&format!("/rooms/{ROOM}")), json!({"room": room}));
    }
    // There is one for each buyer and seller, and what was said of it first stays.
    let again = seller.make(BUYER, SELLER);
    assert_eq!(again, json!({"status": false, "message": "Room exsits!", "room": room}));
    let same = json!({"type": "BS", "buyer": "42", "seller": 42, "creator": "42"});
    buyer.refused("POST", "/rooms", &same, 200, "Buyer is the same to seller");

    let hello = buyer.say((BUYER, SELLER), "Is it still there?");
    let said = hello["created_at"].clone();
    is_time(&said);
    assert_eq!(
        hello,
        json!({
            "_id": hello["_id"], "room_id": ROOM, "from": "42", "to": "7", "type": "TEXT", "content": "Is it still there?",
            "is_seen": false, "created_at": said, "updated_at": said,
        })
    );
    buyer.say((BUYER, SELLER), "Hello?");
    let answer = seller.say((BUYER, SELLER), "Yes");
    // Each side's list has its own, and nothing of the other's.
    let answered = answer["created_at"].clone();
    let mut mine = json!({
        "_id": ROOM, "type": "BS", "creator": "42", "buyer": "42", "seller": "7", "shop_id": 3,
        "shop": {"id": 3, "name": "Chợ Đồ Cũ"}, "buyer_last_message": answer, "buyer_unseen_messages": 1,
        "deleted_by_buyer": false, "created_at": at, "updated_at": answered,
    });
    assert_eq!(buyer.rooms("BUYER", ""), [mine.clone()]);
    let theirs = json!({
        "_id": ROOM, "type": "BS", "creator": "42", "buyer": "42", "seller": "7", "buyer_info": room["buyer_info"],
        "seller_last_message": answer, "seller_unseen_messages": 2, "deleted_by_seller": false, "created_at": at,
        "updated_at": answered,
    });
    assert_eq!(seller.rooms("SELLER", ""), [theirs]);
    assert_eq!(buyer.rooms("SELLER", ""), [] as [Value; 0]);
    assert_eq!((buyer.unseen("BUYER"), seller.unseen("SELLER"), seller.unseen("BUYER")), (1, 1, 0));

    // Pinned and seen by one is nothing to the other.
    let acting = json!({"user_id": 42, "role": "BUYER"});
    assert_eq!(buyer.does("POST", &format!("/rooms/{ROOM}/pin"), &acting), json!({"status": true}));
    let listed = &buyer.rooms("BUYER", "")[0];
    is_time(&listed["pinned_by_buyer"]);
    assert!(seller.rooms("SELLER", "")[0].get("pinned_by_seller").is_none());
    let unpinned = buyer.does("DELETE", &format!("/rooms/{ROOM}/pin"), &acting);
    assert_eq!((&unpinned["status"], unpinned["room"].get("pinned_by_buyer")), (&json!(true), None));
    let seen = buyer.does("PUT", &format!("/rooms/{ROOM}/seen"), &acting);
    assert_eq!((&seen["status"], &seen["room"]["buyer_unseen_messages"]), (&json!(true), &json!(0)));
    assert_eq!(seen["room"]["seller_unseen_messages"], 2);
    assert_eq!(seen["room"]["buyer_last_message"]["is_seen"], true);
    assert_eq!((buyer.unseen("BUYER"), seller.unseen("SELLER")), (0, 1));
    mine["buyer_unseen_messages"] = json!(0);
    mine["buyer_last_message"]["is_seen"] = json!(true);
    assert_eq!(buyer.rooms("BUYER", ""), [mine]);
}

pub(crate) fn a_deleted_room_and_its_return(io: &str) {
    let node = Node::start_on(io, "");
    let [buyer, seller] = [BUYER, SELLER].map(|id| Person::new(&node, id));
    buyer.make(BUYER, SELLER);
    buyer.say((BUYER, SELLER), "before");
    seller.does("POST", &format!("/rooms/{ROOM}/pin"), &Value::Null);
    let none = [] as [String; 0];

    // The seller's client says no role, and has an empty body.
    let deleted = seller.does("DELETE", &format!("/rooms/{ROOM}"), &json!({}));
    is_time(&deleted["deleted_at"]);
    assert_eq!(deleted, json!({"status": true, "role": "SELLER", "deleted_at": deleted["deleted_at"]}));
    assert_eq!((seller.names("SELLER", ""), seller.unseen("SELLER")), (none.to_vec(), 0));
    assert_eq!((seller.contents(ROOM), buyer.contents(ROOM)), (none.to_vec(), vec!["before".to_owned()]));
    assert_eq!(buyer.names("BUYER", ""), [ROOM]);
    let room = buyer.get(&format!("/rooms/{ROOM}"))["room"].clone();
    assert_eq!(
        (&room["deleted_by_seller"], &room["deleted_by_buyer"], &room["seller_deleted_at"]),
        (&json!(true), &json!(false), &deleted["deleted_at"])
    );
    assert!(room.get("seller_last_message").is_none() && room.get("pinned_by_seller").is_none());
    assert_eq!(room["buyer_last_message"]["content"], "before");

    // It is there for the buyer; making it again is the seller's way back.
    assert_eq!(buyer.make(BUYER, SELLER)["message"], "Room exsits!");
    assert_eq!(seller.names("SELLER", ""), none);
    let again = seller.make(BUYER, SELLER);
    assert_eq!(
        (&again["status"], &again["message"]),
        (&json!(true), &json!("Room exists and re-enable room for seller and buyer"))
    );
    assert_eq!((seller.names("SELLER", ""), seller.contents(ROOM)), (vec![ROOM.to_owned()], none.to_vec()));

    // Or to enable it.
    let deleted = seller.does("DELETE", &format!("/rooms/{ROOM}?role=SELLER"), &Value::Null);
    assert_eq!(deleted["role"], "SELLER");
    let words = "Missing 'role' field";
    seller.refused("PUT", &format!("/rooms/{ROOM}/enable"), &json!({}), 400, words);
    let enabled = seller.does("PUT", &format!("/rooms/{ROOM}/enable"), &json!({"role": "SELLER"}));
    assert_eq!(
        (&enabled["status"], &enabled["message"], &enabled["room"]["deleted_by_seller"]),
        (&json!(true), &json!("Enable room successfully!"), &json!(false))
    );
    // Or a message.
    buyer.does("DELETE", &format!("/rooms/{ROOM}?role=BUYER"), &Value::Null);
    seller.does("DELETE", &format!("/rooms/{ROOM}"), &Value::Null);
    seller.say((BUYER, SELLER), "after");
    for (person, role) in [(&buyer, "BUYER"), (&seller, "SELLER")] {
        assert_eq!(
            (person.names(role, ""), person.contents(ROOM)),
            (vec![ROOM.into()], vec!["after".into()])
        );
    }
    assert_eq!((buyer.unseen("BUYER"), seller.unseen("SELLER")), (1, 0));
}

pub(crate) fn lists_and_their_order(io: &str) {
    let node = Node::start_on(io, "");
    let [buyer, seller] = [BUYER, SELLER].map(|id| Person::new(&node, id));
    for (other, shop) in [("a", "Red Shoes"), ("b", "red hats"), ("c", "Chợ ĐỎ"), ("d", "")] {
        let new = json!({
            "type": "BS", "buyer": BUYER, "seller": other, "shop_id": other, "creator": BUYER,
            "shop": if shop.is_empty() { Value::Null } else { json!({"name": shop}) },
        });
        buyer.does("POST", "/rooms", &new);
    }
    for other in ["b", "c", "a"] {
        buyer.say((BUYER, other), "hello");
    }
    assert_eq!(buyer.names("BUYER", ""), ["42.a", "42.c", "42.b", "42.d"], "the newest message first");
    for other in ["d", "b"] {
        buyer.does("POST", &format!("/rooms/42.{other}/pin"), &json!({"user_id": BUYER, "role": "BUYER"}));
        // The next pin is of a later millisecond.
        let now = Clock::system().unix_ms();
        eventually("time goes by", || (Clock::system().unix_ms() > now + 1).then_some(()));
    }
    assert_eq!(buyer.names("BUYER", ""), ["42.b", "42.d", "42.a", "42.c"], "pinned ones before");
    assert_eq!(buyer.names("BUYER", "&pinned=1"), ["42.b", "42.d"]);
    assert_eq!(buyer.names("BUYER", "&pinned=0"), ["42.a", "42.c"]);
    assert_eq!(buyer.names("BUYER", "&name=RED"), ["42.b", "42.a"]);
    assert_eq!(buyer.names("BUYER", "&name=%C4%91%E1%BB%8F"), ["42.c"]);
    assert_eq!(buyer.names("BUYER", "&name=red&pinned=0"), ["42.a"]);
    assert_eq!(buyer.names("BUYER", "&name=.%2A"), [] as [String; 0], "it is no pattern");
    // The seller's list knows the buyers' names.
    for (other, name) in [("x", "An"), ("y", "Bình")] {
        let new = json!({
            "type": "BS", "buyer": other, "seller": SELLER, "creator": SELLER, "buyer_info": {"name": name},
        });
        seller.does("POST", "/rooms", &new);
    }
    assert_eq!(seller.names("SELLER", "&name=b%C3%8Cnh"), ["y.7"]);
    assert_eq!(seller.names("SELLER", ""), ["y.7", "x.7"], "the newest room first, where nothing was said");
    // Who buys here may sell there.
    seller.make(SELLER, BUYER);
    assert_eq!(
        (seller.names("BUYER", ""), buyer.names("SELLER", "")),
        (vec!["7.42".into()], vec!["7.42".into()])
    );
    assert_eq!(buyer.names("BUYER", "").len(), 4);
}

pub(crate) fn blocked_rooms(io: &str) {
    let node = Node::start_on(io, "");
    let [buyer, seller, other] = [BUYER, SELLER, OTHER].map(|id| Person::new(&node, id));
    buyer.make(BUYER, SELLER);
    let path = format!("/rooms/{ROOM}/block");
    let block = |on: bool, role: &str| json!({"block": on, "role": role});
    let open = buyer.does("POST", &path, &block(false, "BUYER"));
    assert_eq!((&open["status"], &open["message"]), (&json!(true), &json!("Room opened already!")));
    let blocked = seller.does("POST", &path, &block(true, "SELLER"));
    assert_eq!(blocked.get("message"), None);
    assert_eq!((&blocked["status"], &blocked["room"]["blocked_by"]), (&json!(true), &json!("SELLER")));
    let twice = buyer.does("POST", &path, &block(true, "BUYER"));
    assert_eq!(
        (&twice["message"], &twice["room"]["blocked_by"]),
        (&json!("Room closed already!"), &json!("SELLER"))
    );
    let words = "You do not have the authorization";
    buyer.refused("POST", &path, &block(false, "BUYER"), 403, words);
    buyer.refused("POST", &path, &block(false, "SELLER"), 403, words);
    other.refused("POST", &path, &block(false, "SELLER"), 403, words);
    for (person, to) in [(&buyer, SELLER), (&seller, BUYER)] {
        let body = json!({"room_id": ROOM, "from": person.id, "to": to, "type": "TEXT", "content": "x"});
        person.refused("POST", "/messages", &body, 403, "Room is blocked");
    }
    assert_eq!(buyer.rooms("BUYER", "")[0]["blocked_by"], "SELLER");
    let opened = seller.does("POST", &path, &block(false, "SELLER"));
    assert_eq!((opened.get("message"), opened["room"].get("blocked_by")), (None, None));
    buyer.say((BUYER, SELLER), "at last");
}

pub(crate) fn names_of_rooms_are_read_in_one_way(io: &str) {
    let node = Node::start_on(io, "");
    let [dan, eve] = ["dan@example.com", "eve"].map(|id| Person::new(&node, id));
    let first = dan.make("dan@example.com", "eve")["room"].clone();
    assert_eq!(first["_id"], "dan@example~1com.eve");
    assert_eq!((&first["buyer"], &first["seller"]), (&json!("dan@example.com"), &json!("eve")));
    // The same letters, another room.
    let com = Person::new(&node, "com.eve");
    let second = com.make("dan@example", "com.eve")["room"].clone();
    assert_eq!(second["_id"], "dan@example.com~1eve");
    dan.does(
        "POST",
        "/messages",
        &json!({
            "room_id": first["_id"], "from": dan.id, "to": "eve", "type": "EMOJI", "content": "👋",
        }),
    );
    // A client's own way to put it together is read as the room that the caller is in.
    for (person, content) in [(&dan, 1), (&eve, 1), (&com, 0)] {
        assert_eq!(person.contents("dan@example.com.eve").len(), content, "{}", person.id);
    }
    assert_eq!(dan.get("/messages?room_id=dan@example.com.eve")["room_id"], first["_id"]);
    let room = eve.get(&format!("/rooms/{}", text(&first["_id"])))["room"].clone();
    assert_eq!((&room["_id"], &room["seller_unseen_messages"]), (&first["_id"], &json!(1)));
    assert_eq!(room["seller_last_message"]["type"], "EMOJI");
}
