//! Pages: nothing is lost and nothing repeated, whatever is said meanwhile and however fast.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::people::{ANN, BOB, Person, contents, text};
use crate::support::Node;

/// Reads from the newest to the oldest; `between` is called after each page.
fn read(person: &Person<'_>, id: &str, limit: usize, mut between: impl FnMut()) -> Vec<Value> {
    let mut all = Vec::new();
    let mut before = String::new();
    loop {
        let page = person.get(&format!("/messages/conversation/{id}?limit={limit}{before}"));
        let messages = page["messages"].as_array().unwrap();
        assert!(messages.len() <= limit);
        all.extend(messages.iter().cloned());
        if page["hasMore"] == false {
            assert_eq!(page["nextBefore"], Value::Null);
            return all;
        }
        assert_eq!(messages.len(), limit);
        assert_eq!(page["nextBefore"], messages[limit - 1]["createdAt"]);
        before = format!("&before={}", text(&page["nextBefore"]));
        between();
    }
}

pub(crate) fn pages_lose_and_repeat_nothing(io: &str) {
    let node = Node::start_on(io, "");
    let [ann, bob] = [ANN, BOB].map(|id| Person::new(&node, id));
    let id = ann.direct(BOB);
    for n in 0..60 {
        ann.say(&id, &n.to_string());
    }
    let mut later = 60;
    let all = read(&bob, &id, 7, || {
        for _ in 0..3 {
            ann.say(&id, &later.to_string());
            later += 1;
        }
    });
    let expected: Vec<String> = (0..60).rev().map(|n| n.to_string()).collect();
    assert_eq!(contents(&all), expected);
    assert_eq!(contents(&read(&bob, &id, 100, || ())).len(), later);
}

pub(crate) fn lists_go_on(io: &str) {
    let node = Node::start_on(io, "");
    let ann = Person::new(&node, ANN);
    let made: Vec<String> = (0..7).map(|n| ann.direct(&format!("user-{n}"))).collect();
    ann.say(&made[2], "to the front");
    let whole = ann.get("/conversations");
    let ids = |rows: &Value| rows.as_array().unwrap().iter().map(|row| text(&row["id"])).collect::<Vec<_>>();
    assert_eq!((ids(&whole).len(), &ids(&whole)[0]), (7, &made[2]));
    let plain = ann.call("GET", "/conversations", &[], "");
    assert!(plain.find("Link").is_none(), "there is no more");

    // As the header says.
    let mut path = "/conversations?limit=3".to_owned();
    let mut found = Vec::new();
    for expected in [3, 3, 1] {
        let answer = ann.call("GET", &path, &[("Origin", "http://page.example")], "");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let page = answer.json();
        assert_eq!(ids(&page).len(), expected);
        found.extend(ids(&page));
        let exposed = answer.header("Access-Control-Expose-Headers");
        assert!(exposed.contains("Link"), "{exposed}");
        let Some(link) = answer.find("Link") else { break };
        let (address, rest) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
        assert_eq!(rest, "; rel=\"next\"");
        address.strip_prefix("/api/v1").unwrap().clone_into(&mut path);
    }
    assert_eq!(found, ids(&whole));
    // As one makes it of the last row.
    let last = &whole[3];
    let path = format!("/conversations?before={}&beforeId={}", text(&last["updatedAt"]), text(&last["id"]));
    assert_eq!(ids(&ann.get(&path)), ids(&whole)[4..]);
    let older = ids(&ann.get(&format!("/conversations?before={}", text(&last["updatedAt"]))));
    assert!(ids(&whole).ends_with(&older) && older.len() < 4);

    let bad = |query: &str, words: &str| {
        ann.refused("GET", &format!("/conversations?{query}"), &Value::Null, 400, words);
    };
    bad("before=yesterday", "before must be a time such as 2025-11-25T15:00:00.000Z");
    bad("before=2025-11-25T15:00:00Z&beforeId=5", "beforeId must be the id of a conversation");
    bad(&format!("beforeId={}", made[0]), "beforeId needs before: the updatedAt of that row");
}

pub(crate) fn same_millisecond(io: &str) {
    let node = Node::start_on(io, "");
    let ann = Person::new(&node, ANN);
    let id = ann.direct(BOB);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (node, id) = (&node, &id);
            scope.spawn(move || {
                let person = Person::new(node, if thread % 2 == 0 { ANN } else { BOB });
                for n in 0..20 {
                    person.say(id, &format!("{thread}-{n}"));
                }
            });
        }
    });
    let all = read(&ann, &id, 3, || ());
    let times: Vec<String> = all.iter().map(|message| text(&message["createdAt"])).collect();
    assert!(times.is_sorted_by(|one, next| one > next), "newest first, no two at the same time");
    let said: BTreeSet<String> = contents(&all).into_iter().collect();
    assert_eq!((all.len(), said.len()), (160, 160));
}

pub(crate) fn where_a_page_begins(io: &str) {
    let node = Node::start_on(io, "");
    let ann = Person::new(&node, ANN);
    let id = ann.direct(BOB);
    let sent: Vec<Value> = (0..120).map(|n| ann.say(&id, &n.to_string())).collect();
    let page = |query: &str| {
        let page = ann.get(&format!("/messages/conversation/{id}{query}"));
        contents(page["messages"].as_array().unwrap())
    };
    assert_eq!((page("").len(), page("?limit=100").len(), page("?limit=5000").len()), (50, 100, 100));
    let at = text(&sent[7]["createdAt"]);
    assert_eq!(page(&format!("?before={at}&limit=1")), ["6"], "the time itself is not before it");
    let escaped = at.replace(':', "%3A");
    assert_eq!(page(&format!("?limit=1&before={escaped}")), ["6"]);
    let east = format!("{}+00:00", at.trim_end_matches('Z'));
    assert_eq!(page(&format!("?limit=1&before={}", east.replace('+', "%2B"))), ["6"]);
    assert_eq!(page("?before=1999-12-31T00:00:00Z"), [""; 0]);
    assert_eq!(page("?before=2999-12-31T00:00:00Z&limit=1"), ["119"]);
    for query in
        ["limit=0", "limit=-1", "limit=x", "limit=1.5", "limit=", "before=", "before=yesterday", "before=17"]
    {
        let path = format!("/messages/conversation/{id}?{query}");
        let answer = ann.call("GET", &path, &[], "");
        assert_eq!(answer.status, 400, "{query}: {}", answer.body);
        crate::people::failure(&answer);
    }
    assert_eq!(ann.get("/conversations?limit=1").as_array().unwrap().len(), 1);
    assert_eq!(ann.call("GET", "/conversations?limit=no", &[], "").status, 400);
    // What nobody asked for is not looked at.
    assert_eq!(
        ann.get(&format!("/messages/conversation/{id}?page=2&limit=1"))["messages"][0]["content"],
        json!("119")
    );
}
