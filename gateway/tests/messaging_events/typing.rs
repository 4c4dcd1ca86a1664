//! Typing: told to the others who have joined, and over when its session is.

use std::time::Duration;

use serde_json::json;

use crate::people::{ANN, BOB, CAT, Person};
use crate::support::Node;
use crate::support::socketio::{Io, Told};

fn names(told: &[Told]) -> Vec<&str> {
    told.iter().map(|(name, _)| name.as_str()).collect()
}

pub(crate) fn who_sees_typing(io: &str) {
    let node = Node::start_on(io, "");
    let ann = Person::new(&node, ANN);
    let id = ann.group(&[BOB, CAT]);
    let place = json!({"conversationId": id});
    let [mut typist, mut other_device] = [ANN, ANN].map(|user| Io::user(&node, user));
    let [mut bob, mut cat] = [BOB, CAT].map(|user| Io::user(&node, user));
    for io in [&mut typist, &mut other_device, &mut bob] {
        assert_eq!(io.does("conversation:join", &place), json!({"success": true, "conversationId": id}));
        assert_eq!(io.event("conversation:joined"), place);
    }
    // Joining again is no error.
    bob.does("conversation:join", &place);
    assert_eq!(bob.event("conversation:joined"), place);

    assert_eq!(typist.does("typing:start", &place), json!({"success": true, "conversationId": id}));
    typist.does("typing:stop", &place);
    ann.say(&id, "one");
    assert_eq!(names(&bob.before("one")), ["user:typing", "user:stopped-typing"]);
    // Not the typist's own devices, and nobody who has not joined.
    for io in [&mut typist, &mut other_device, &mut cat] {
        assert_eq!(io.before("one"), []);
    }
    // Who has left the screen does not see it; nor who has left the group.
    bob.does("conversation:leave", &place);
    cat.does("conversation:join", &place);
    typist.does("typing:start", &place);
    assert_eq!(cat.event("user:typing"), json!({"userId": ANN, "conversationId": id}));
    ann.delete(&format!("/conversations/{id}/participants/{CAT}"));
    cat.event("conversation:participant-removed");
    typist.does("typing:stop", &place);
    ann.say(&id, "two");
    assert_eq!(names(&bob.before("two")), ["conversation:participant-removed"]);
    cat.listen(Duration::from_millis(200));
    assert_eq!(names(&cat.told()), ["conversation:joined"]);
}

pub(crate) fn typing_ends_with_its_session(io: &str) {
    let node = Node::start_on(io, "");
    let id = Person::new(&node, ANN).direct(BOB);
    let place = json!({"conversationId": id});
    let mut bob = Io::user(&node, BOB);
    bob.does("conversation:join", &place);
    let stopped = json!({"userId": ANN, "conversationId": id});
    for end in [Io::leave, Io::reset, |mut io: Io| io.packet("41"), |mut io: Io| io.packet("4nonsense")] {
        let mut ann = Io::user(&node, ANN);
        ann.does("typing:start", &place);
        assert_eq!(bob.event("user:typing"), stopped);
        end(ann);
        assert_eq!(bob.event("user:stopped-typing"), stopped);
    }
}
