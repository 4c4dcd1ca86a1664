//! Messages: their pages, what is seen, retries.

use serde_json::{Value, json};

use crate::people::{BUYER, OTHER, Person, SELLER, is_time, text};
use crate::support::Node;

const ROOM: &str = "42.7";

fn contents(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|message| text(&message["content"])).collect()
}

pub(crate) fn pages_of_messages(io: &str) {
    let node = Node::start_on(io, "trade_api.calls_limit = 100000\ntrade_api.messages_limit = 250");
    let [buyer, seller] = [BUYER, SELLER].map(|id| Person::new(&node, id));
    buyer.make(BUYER, SELLER);
    let said: Vec<Value> = (0..160)
        .map(|n| if n % 3 == 0 { &seller } else { &buyer }.say((BUYER, SELLER), &n.to_string()))
        .collect();
    let names = |range: std::ops::Range<usize>| range.map(|n| n.to_string()).collect::<Vec<_>>();
    let newest = |range| names(range).into_iter().rev().collect::<Vec<_>>();
    let get = |query: &str| seller.get(&format!("/messages?room_id={ROOM}{query}"));
    let time = |n: usize| text(&said[n]["created_at"]);

    let page = get("");
    assert_eq!(contents(&page), newest(145..160), "fifteen if nothing is said");
    assert_eq!((&page["room_id"], &page["filters"]["message_count"]), (&json!(ROOM), &json!(15)));
    is_time(&page["filters"]["from"]);
    assert_eq!(page["data"][0], said[159]);
    assert_eq!(contents(&get("&limit=50&created_at=-1")), newest(110..160));
    assert_eq!(contents(&get("&limit=1")), ["159"]);
    assert_eq!(contents(&get("&limit=5&created_at=1")), names(0..5), "the oldest first");
    assert_eq!(contents(&get("&limit=1000")), newest(0..160), "more than the model reads at once");
    assert_eq!(contents(&get("&limit=1000&created_at=1")), names(0..160));
    let page = get(&format!("&limit=3&from={}", time(100)));
    assert_eq!((contents(&page), &page["filters"]["from"]), (newest(97..100), &json!(time(100))));
    assert_eq!(contents(&get(&format!("&to={}", time(157)))), newest(158..160));
    assert_eq!(contents(&get(&format!("&created_at=1&limit=2&to={}", time(20)))), names(21..23));
    let between = format!("&from={}&to={}", time(30), time(20));
    assert_eq!(contents(&get(&between)), newest(21..30));
    let ms = gateway::timestamp::read(&time(30)).unwrap();
    assert_eq!(contents(&get(&format!("&from={ms}&limit=2"))), newest(28..30), "milliseconds will do, too");
    // A page that has no room yet.
    assert_eq!(seller.get("/messages?room_id=undefined"), json!({"room_id": 0, "filters": {}, "data": []}));

    let edited =
        buyer.does("PUT", &format!("/messages/{}", text(&said[1]["_id"])), &json!({"content": "changed"}));
    assert_eq!((&edited["content"], &edited["created_at"]), (&json!("changed"), &said[1]["created_at"]));
    assert_eq!(contents(&get("&created_at=1&limit=2")), ["0", "changed"]);
    let words = "You do not have the authorization";
    let path = format!("/messages/{}", text(&said[0]["_id"]));
    buyer.refused("PUT", &path, &json!({"content": "mine"}), 403, words);
}

pub(crate) fn seen_and_unseen(io: &str) {
    let node = Node::start_on(io, "");
    let [buyer, seller] = [BUYER, SELLER].map(|id| Person::new(&node, id));
    buyer.make(BUYER, SELLER);
    let said: Vec<Value> = (0..4).map(|n| buyer.say((BUYER, SELLER), &n.to_string())).collect();
    seller.say((BUYER, SELLER), "answer");
    let unseen = |person: &Person<'_>, rest: &str| {
        let page = person.get(&format!("/messages/unseen?room_id={ROOM}&user_id={}{rest}", person.id));
        assert_eq!(page["filters"]["message_count"], page["data"].as_array().unwrap().len());
        contents(&page)
    };
    assert_eq!(unseen(&seller, ""), ["0", "1", "2", "3"], "answering is not seeing");
    assert_eq!(unseen(&buyer, ""), ["answer"]);
    assert_eq!(unseen(&seller, &format!("&from={}", text(&said[1]["created_at"]))), ["0", "1"]);
    let seen = |person: &Person<'_>| {
        let page = person.get(&format!("/messages?room_id={ROOM}"));
        page["data"].as_array().unwrap().iter().map(|message| message["is_seen"] == true).collect::<Vec<_>>()
    };
    assert_eq!(seen(&buyer), [false; 5]);
    let room =
        seller.does("PUT", &format!("/rooms/{ROOM}/seen"), &json!({"user_id": SELLER, "role": "SELLER"}));
    assert_eq!(room["room"]["seller_unseen_messages"], 0);
    for person in [&buyer, &seller] {
        assert_eq!(seen(person), [false, true, true, true, true], "what one has said is seen by the other");
    }
    assert_eq!((unseen(&seller, "").len(), unseen(&buyer, "").len()), (0, 1));
    buyer.say((BUYER, SELLER), "more");
    assert_eq!((unseen(&seller, ""), seller.unseen("SELLER")), (vec!["more".to_owned()], 1));
    seller.does("DELETE", &format!("/rooms/{ROOM}"), &Value::Null);
    assert_eq!((unseen(&seller, "").len(), seen(&buyer)[0]), (0, false), "deleted is not seen");
    let words = "You do not have the authorization";
    buyer.refused("GET", &format!("/messages/unseen?room_id={ROOM}&user_id=7"), &Value::Null, 403, words);
}

pub(crate) fn retries_and_rooms_that_are_not_there(io: &str) {
    let node = Node::start_on(io, "");
    let [buyer, seller, other] = [BUYER, SELLER, OTHER].map(|id| Person::new(&node, id));
    let body = json!({
        "room_id": ROOM, "from": 42, "to": 7, "type": "IMAGE", "content": "https://h.example/i.png",
        "client_message_id": "c-1",
    });
    // The room is made with its first message.
    let sent = buyer.does("POST", "/messages", &body);
    assert_eq!((&sent["type"], &sent["client_message_id"]), (&json!("IMAGE"), &json!("c-1")));
    assert_eq!(buyer.does("POST", "/messages", &body), sent, "the same again is the same message");
    assert_eq!((seller.contents(ROOM).len(), seller.unseen("SELLER")), (1, 1));
    let room = seller.rooms("SELLER", "")[0].clone();
    assert_eq!(
        (&room["_id"], &room["creator"], &room["seller_last_message"]),
        (&json!(ROOM), &json!("42"), &sent)
    );
    let mine = json!({"room_id": ROOM, "from": 7, "to": 42, "content": "mine", "client_message_id": "c-1"});
    assert_ne!(seller.does("POST", "/messages", &mine)["_id"], sent["_id"]);
    // But only by one who is in it.
    let words = "You do not have the authorization";
    let body = json!({"room_id": "1.2", "from": "eve", "to": "2", "content": "x"});
    other.refused("POST", "/messages", &body, 403, words);
    other.refused("GET", "/rooms/1.2", &Value::Null, 400, "Room not found!");
}
