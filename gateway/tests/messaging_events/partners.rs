//! Who of a user's partners is online: the one presence, as this API tells it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::people::{ANN, BOB, CAT, DAN, Person};
use crate::support::socketio::{Io, Told};
use crate::support::{Node, eventually};

/// What was told of presence.
fn presence(io: &mut Io) -> Vec<Told> {
    io.told().into_iter().filter(|(name, _)| name.starts_with("user")).collect()
}

fn sorted(ids: &Value) -> Vec<String> {
    let mut ids: Vec<String> =
        ids.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

pub(crate) fn partners_come_and_go(io: &str) {
    let node = Node::start_on(io, "presence.grace = \"300ms\"");
    let ann = Person::new(&node, ANN);
    for other in [BOB, CAT, DAN] {
        ann.direct(other);
    }
    // Who is only in a group with somebody is no partner, and a stranger is none at all.
    ann.group(&["eve"]);
    let _others = ["eve", "fay"].map(|user| Io::user(&node, user));
    let bob = Io::user(&node, BOB);
    let (mut io, online) = Io::online(&node, ANN);
    assert_eq!(online, json!([BOB]));
    // By whichever API.
    let cat = node.online(CAT);
    assert_eq!(io.event("user:online"), CAT);
    let dan = node.client(node.token(DAN));
    assert_eq!(io.event("user:online"), DAN);
    let (second, online) = Io::online(&node, ANN);
    let mut expected = vec![BOB, CAT, DAN];
    expected.sort_unstable();
    assert_eq!(sorted(&online), expected);
    second.leave();
    // Another device is no news, nor is one that comes back within the grace.
    let bob_again = Io::user(&node, BOB);
    bob.leave();
    bob_again.reset();
    let bob = Io::user(&node, BOB);
    cat.leave();
    assert_eq!(io.event("user:offline"), CAT);
    assert_eq!(presence(&mut io), []);
    bob.leave();
    assert_eq!(io.event("user:offline"), BOB);
    drop(dan);
    assert_eq!(io.event("user:offline"), DAN);
    assert_eq!(presence(&mut io), []);
}

pub(crate) fn new_partners(io: &str) {
    let node = Node::start_on(io, "presence.grace = \"100ms\"");
    let [mut ann, bob] = [ANN, BOB].map(|user| Io::user(&node, user));
    Person::new(&node, CAT).direct(ANN);
    let id = Person::new(&node, BOB).direct(ANN);
    // The one who is online is told of; of the other there is nothing to tell.
    assert_eq!(ann.event("user:online"), BOB);
    let cat = Io::user(&node, CAT);
    assert_eq!(ann.event("user:online"), CAT);
    cat.leave();
    assert_eq!(ann.event("user:offline"), CAT);
    bob.leave();
    assert_eq!(ann.event("user:offline"), BOB);
    Person::new(&node, BOB).say(&id, "end");
    ann.event("message:new");
    assert_eq!(presence(&mut ann), []);
}

/// A direct conversation that is deleted has no partners any more; made again, it has them at once.
pub(crate) fn partners_that_part(io: &str) {
    let node = Node::start_on(io, "presence.grace = \"100ms\"");
    let person = Person::new(&node, ANN);
    let [bobs, cats] = [BOB, CAT].map(|other| person.direct(other));
    let bob = Io::user(&node, BOB);
    let (mut ann, online) = Io::online(&node, ANN);
    assert_eq!(online, json!([BOB]));
    for id in [&bobs, &cats] {
        person.delete(&format!("/conversations/{id}"));
        assert_eq!(ann.event("conversation:deleted")["conversationId"], **id);
    }
    // The one who was online is so no longer to this client, and what becomes of the two is no news.
    assert_eq!(presence(&mut ann), [("user:offline".to_owned(), json!(BOB))]);
    let cat = Io::user(&node, CAT);
    bob.leave();
    let _bob = Io::user(&node, BOB);
    ann.listen(Duration::from_millis(500));
    assert_eq!(presence(&mut ann), []);
    for (other, id) in [(BOB, bobs), (CAT, cats)] {
        assert_eq!(person.direct(other), id);
        assert_eq!(ann.event("user:online"), other);
    }
    cat.leave();
    assert_eq!(ann.event("user:offline"), CAT);
}

pub(crate) fn presence_may_be_off(io: &str) {
    let node = Node::start_on(io, "messaging_api.partners = 0");
    let id = Person::new(&node, ANN).direct(BOB);
    let mut ann = Io::dial(&node, "", &[]);
    ann.join(&json!({"token": node.token(ANN)})).unwrap();
    let _bob = node.online(BOB);
    Person::new(&node, BOB).say(&id, "end");
    ann.event("message:new");
    ann.listen(Duration::from_millis(200));
    assert_eq!(presence(&mut ann), []);
}

/// One user on the presence WebSocket, on Socket.IO and on the binary protocol is one online user everywhere, and goes offline
/// everywhere once, after the last one leaves.
pub(crate) fn one_user_everywhere(io: &str) {
    let node = Node::start_on(io, "presence.grace = \"300ms\"\npresence_api.require_uuid = false");
    Person::new(&node, ANN).direct(BOB);
    // Those who look: one on each API.
    let mut by_socket = Io::user(&node, ANN);
    let mut by_websocket = node.online("watcher");
    assert!(!by_websocket.subscribe(&[BOB])[BOB]);
    let count = || node.get("/api/v1/presence/online-count").json()["count"].as_u64().unwrap();
    let devices = || {
        let path = format!("/server/v1/users/{BOB}/sessions");
        let answer = node.get_as(&node.service_token(), &path);
        answer.json()["sessions"].as_array().map_or(0, Vec::len)
    };
    let before = count();

    let web = node.online(BOB);
    assert_eq!(by_socket.event("user:online"), BOB);
    assert_eq!(by_websocket.presence(), [(BOB.to_owned(), true)]);
    let io = Io::user(&node, BOB);
    let binary = node.client(node.token(BOB));
    eventually("three sessions", || (devices() == 3).then_some(()));
    assert_eq!(count(), before + 1);

    // One after the other leaves; while one is there, the user is.
    web.leave();
    binary.goodbye(false);
    eventually("one session", || (devices() == 1).then_some(()));
    // Longer than the grace.
    by_socket.listen(Duration::from_millis(500));
    assert_eq!(presence(&mut by_socket), []);
    assert_eq!(count(), before + 1);
    io.leave();
    assert_eq!(by_socket.event("user:offline"), BOB);
    assert_eq!(by_websocket.presence(), [(BOB.to_owned(), false)]);
    assert_eq!(count(), before);
    by_socket.listen(Duration::from_millis(500));
    assert_eq!(presence(&mut by_socket), []);
    by_websocket.alive();
}
