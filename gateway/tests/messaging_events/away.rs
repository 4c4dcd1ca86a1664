//! A client that was away reads what it missed by REST, without a gap and nothing twice: the recipe of the documentation.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::people::{ANN, BOB, Person, text};
use crate::support::Node;
use crate::support::socketio::Io;

/// What a client keeps of a conversation: its messages by their times, which are unique there.
#[derive(Default)]
struct Kept {
    messages: BTreeMap<String, Value>,
    new: usize,
}

impl Kept {
    /// Takes a message, from wherever it comes: of two, the one that was changed last.
    fn take(&mut self, message: &Value) {
        let at = text(&message["createdAt"]);
        let old = self.messages.get(&at);
        let known = old.is_some();
        if old.is_none_or(|old| text(&old["updatedAt"]) <= text(&message["updatedAt"])) {
            let mut message = message.clone();
            message.as_object_mut().unwrap().remove("readBy");
            self.messages.insert(at, message);
        }
        self.new += usize::from(!known);
    }

    /// Takes what the socket has told.
    fn hear(&mut self, io: &mut Io) {
        for (name, body) in io.told() {
            let found = self.messages.values_mut().find(|message| message["id"] == body["messageId"]);
            match (name.as_str(), found) {
                ("message:new", _) => self.take(&body),
                ("message:edited", Some(message)) => {
                    for key in ["content", "isEdited", "updatedAt"] {
                        message[key] = body[key].clone();
                    }
                }
                ("message:deleted", Some(message)) => {
                    (message["content"], message["isDeleted"]) = (json!(""), json!(true));
                }
                _ => {}
            }
        }
    }

    /// The time of the newest message: what to read back to when the connection is lost.
    fn mark(&self) -> Option<String> {
        self.messages.keys().next_back().cloned()
    }

    /// Reads from the newest page back to the one that reaches the mark; how many pages that were. What the new connection
    /// has told meanwhile is no reason to stop.
    fn catch_up(&mut self, person: &Person<'_>, id: &str, mark: Option<&str>) -> usize {
        let (mut before, mut pages) = (String::new(), 0);
        loop {
            let page = person.get(&format!("/messages/conversation/{id}?limit=20{before}"));
            pages += 1;
            for message in page["messages"].as_array().unwrap() {
                self.take(message);
            }
            let next = page["nextBefore"].as_str();
            match next {
                Some(next) if mark.is_none_or(|mark| next > mark) => before = format!("&before={next}"),
                _ => return pages,
            }
        }
    }

    /// What it says, the oldest first.
    fn contents(&self) -> Vec<String> {
        self.messages.values().map(|message| text(&message["content"])).collect()
    }
}

/// What the server has, the oldest first.
fn all(person: &Person<'_>, id: &str) -> Vec<String> {
    let mut kept = Kept::default();
    kept.catch_up(person, id, None);
    kept.contents()
}

pub(crate) fn who_was_away_catches_up(io: &str) {
    let node = Node::start_on(io, "messaging_api.calls_limit = 1000000");
    let [ann, bob] = [ANN, BOB].map(|id| Person::new(&node, id));
    let id = ann.direct(BOB);
    let mut kept = Kept::default();
    let mut io = Io::user(&node, BOB);
    for n in 0..5 {
        ann.say(&id, &n.to_string());
    }
    io.until("five", |io| {
        kept.hear(io);
        (kept.messages.len() == 5).then_some(())
    });
    let mark = kept.mark();
    io.reset();
    for n in 5..70 {
        let message = text(&ann.say(&id, &n.to_string())["id"]);
        if n % 10 == 0 {
            ann.put(&format!("/messages/{message}"), &json!({"content": format!("{n} changed")}));
        } else if n % 10 == 1 {
            ann.delete(&format!("/messages/{message}"));
        }
    }
    let mut io = Io::user(&node, BOB);
    ann.say(&id, "70");
    io.until("the one after coming back", |io| {
        kept.hear(io);
        (kept.messages.len() == 6).then_some(())
    });
    assert_eq!(kept.catch_up(&bob, &id, mark.as_deref()), 4, "no further back than to what is known");
    assert_eq!((kept.messages.len(), kept.new), (71, 71));
    assert_eq!(kept.contents(), all(&ann, &id));
    ann.say(&id, "end");
    io.until("the end", |io| {
        kept.hear(io);
        (kept.contents().last()? == "end").then_some(())
    });
    assert_eq!(kept.new, 72);
}

pub(crate) fn who_was_away_catches_up_while_more_is_said(io: &str) {
    let node = Node::start_on(io, "messaging_api.calls_limit = 1000000");
    let bob = Person::new(&node, BOB);
    let id = Person::new(&node, ANN).direct(BOB);
    let mut kept = Kept::default();
    let stop = AtomicBool::new(false);
    let said = std::thread::scope(|scope| {
        let speaker = scope.spawn(|| {
            let ann = Person::new(&node, ANN);
            let mut said = Vec::new();
            while !stop.load(Ordering::Relaxed) || said.len() < 100 {
                said.push(said.len().to_string());
                ann.say(&id, said.last().unwrap());
            }
            said
        });
        for _ in 0..12 {
            let mut io = Io::dial(&node, "", &[]);
            let mark = kept.mark();
            io.join(&json!({"token": node.token(BOB)})).unwrap();
            kept.catch_up(&bob, &id, mark.as_deref());
            let seen = kept.new;
            io.until("some more", |io| {
                kept.hear(io);
                (kept.new >= seen + 5).then_some(())
            });
            // What comes while it goes is missed.
            io.reset();
        }
        stop.store(true, Ordering::Relaxed);
        let mut io = Io::dial(&node, "", &[]);
        let mark = kept.mark();
        io.join(&json!({"token": node.token(BOB)})).unwrap();
        kept.catch_up(&bob, &id, mark.as_deref());
        let said = speaker.join().unwrap();
        io.until("the last one", |io| {
            kept.hear(io);
            (kept.contents().last() == said.last()).then_some(())
        });
        said
    });
    assert_eq!(kept.contents(), said);
    assert_eq!(kept.new, said.len());
}
