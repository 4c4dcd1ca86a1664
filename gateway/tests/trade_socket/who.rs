//! Who is told of whom, and when.

use serde_json::{Value, json};

use crate::member::{BUYER, Member, ROOM, SELLER, make_room, rest};
use crate::support::socketio::Io;
use crate::support::{Node, eventually};

fn change(user: &str, role: &str, room: &str, status: bool) -> Value {
    json!({"user_id": user, "user_role": role, "room_id": room, "status": status})
}

pub(crate) fn who_is_online(io: &str) {
    let node = Node::start_on(io, "presence.grace = \"0s\"");
    make_room(&node);
    // The buyer has rooms with two sellers, one of which is deleted, and sells to one.
    for (buyer, seller) in [(BUYER, "8"), (BUYER, "9"), ("5", BUYER)] {
        rest(
            &node,
            BUYER,
            "POST",
            "/rooms",
            &json!({"type": "BS", "buyer": buyer, "seller": seller, "shop_id": 1}),
        );
    }
    rest(&node, BUYER, "DELETE", "/rooms/42.9?role=BUYER", &Value::Null);
    for version in [3, 4] {
        let mut seller = Member::joined(&node, version, SELLER, "SELLER");
        let (mut buyer, rooms) = Member::joined_with(&node, version, &node.token(BUYER), BUYER, "BUYER");
        let mut rooms: Vec<Value> = rooms.as_array().unwrap().clone();
        rooms.sort_by_key(|room| room["room_id"].to_string());
        assert_eq!(
            rooms,
            [json!({"room_id": ROOM, "status": true}), json!({"room_id": "42.8", "status": false})]
        );
        // The first device is told of, the second is not, nor the end of one of them.
        seller.hears("user_status_change", &change(BUYER, "BUYER", ROOM, true));
        let second = Member::joined(&node, version, BUYER, "SELLER");
        // A device hears what the others of its user are told of who is online, also on the other side.
        let rooms = json!([{"room_id": "5.42", "status": false}]);
        buyer.hears("active_user_list", &json!({"user_id": BUYER, "user_role": "SELLER", "rooms": rooms}));
        second.leave();
        seller.has_heard_nothing();
        buyer.has_heard_nothing();
        // Nobody else is told of anybody.
        let mut other = Member::joined(&node, version, "8", "BUYER");
        other.has_heard_nothing();
        other.leave();
        buyer.leave();
        seller.hears("user_status_change", &change(BUYER, "BUYER", ROOM, false));
        seller.leave();
    }
}

pub(crate) fn one_presence_for_all(io: &str) {
    let node = Node::start_on(io, "presence.grace = \"0s\"");
    make_room(&node);
    let mut seller = Member::joined(&node, 3, SELLER, "SELLER");
    // By another API of the same user.
    let presence = node.online(BUYER);
    seller.hears("user_status_change", &change(BUYER, "BUYER", ROOM, true));
    let member = Member::joined(&node, 4, BUYER, "BUYER");
    presence.leave();
    seller.has_heard_nothing();
    member.leave();
    seller.hears("user_status_change", &change(BUYER, "BUYER", ROOM, false));
}

/// A user on every API at once is one user, who comes once and goes once.
pub(crate) fn one_user_on_every_api(io: &str) {
    let node = Node::start_on(io, "presence.grace = \"300ms\"\npresence_api.require_uuid = false");
    make_room(&node);
    let mut seller = Member::joined(&node, 3, SELLER, "SELLER");
    let mut watcher = node.online("watcher");
    assert!(!watcher.subscribe(&[BUYER])[BUYER]);
    let count = || node.get("/api/v1/presence/online-count").json()["count"].as_u64().unwrap();
    let sessions = || {
        let path = format!("/server/v1/users/{BUYER}/sessions");
        node.get_as(&node.service_token(), &path).json()["sessions"].as_array().map_or(0, Vec::len)
    };
    let before = count();

    let trade = Member::joined(&node, 3, BUYER, "BUYER");
    seller.hears("user_status_change", &change(BUYER, "BUYER", ROOM, true));
    assert_eq!(watcher.presence(), [(BUYER.to_owned(), true)]);
    let web = node.online(BUYER);
    let messaging = Io::user(&node, BUYER);
    let binary = node.client(node.token(BUYER));
    eventually("four sessions", || (sessions() == 4).then_some(()));
    assert_eq!(count(), before + 1);

    trade.leave();
    web.leave();
    binary.goodbye(false);
    eventually("one session", || (sessions() == 1).then_some(()));
    assert_eq!(count(), before + 1);
    seller.has_heard_nothing();
    messaging.leave();
    // The first thing that both hear is the end, once.
    seller.hears("user_status_change", &change(BUYER, "BUYER", ROOM, false));
    assert_eq!(watcher.presence(), [(BUYER.to_owned(), false)]);
    assert_eq!(count(), before);
    seller.has_heard_nothing();
    watcher.alive();
}
