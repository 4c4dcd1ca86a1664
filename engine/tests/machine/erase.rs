//! Somebody is erased, step by step, while others talk.

use engine::limits::Limits;
use engine::machine::erase::{Erased, NOBODY, Progress, Step};
use engine::machine::store::{Place, Trace};
use schema::chat::{ChatCommand, ChatEvent, Kind, Role, Whose};
use schema::{CloseReason, Id, LastSeen, Realm, Refusal, Status};

use crate::chats::{Chatting, draft};
use crate::net::{Net, id, key};
use crate::shelf::Mood;

/// What a whole course has come to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    conversations: usize,
    memberships: u32,
    messages: u32,
    sends: u32,
    gone: u32,
    steps: u32,
}

fn look(net: &mut Net, user: &str) -> Vec<Trace> {
    match net.step(Step::Look { user: key(user), after: None }) {
        Some(Ok(Erased::Found { traces, next: None })) => traces,
        other => panic!("{other:?}"),
    }
}

fn step_in(net: &mut Net, place: Place, user: &str, before: u64) -> Result<Progress, Refusal> {
    match net.step(Step::In { place, user: id(user), before }).expect("an answer") {
        Ok(Erased::In(progress)) => Ok(progress),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal),
    }
}

/// As the front door goes about it.
fn erase(net: &mut Net, user: &str) -> Sum {
    let mut sum = Sum::default();
    for trace in look(net, user) {
        sum.conversations += 1;
        let mut before = Some(u64::MAX);
        while let Some(next) = before {
            let done = step_in(net, (Realm(0), trace.conversation), user, next).unwrap();
            sum.memberships += done.memberships;
            sum.messages += done.messages;
            sum.sends += done.sends;
            sum.gone += u32::from(done.gone);
            sum.steps += 1;
            before = done.next;
        }
    }
    sum
}

/// Nothing on the shelf names them.
#[track_caller]
fn is_nowhere(net: &mut Net, user: &str) {
    assert_eq!(look(net, user), []);
    for kept in net.shelf.places.values() {
        assert!(kept.messages.values().all(|message| message.sender != id(user)));
        assert!(kept.members.values().all(|row| row.member.user != id(user)));
    }
}

#[test]
fn what_they_wrote_and_were_goes_and_the_others_stay() {
    for shards in [1, 4] {
        for chat_cache in [1 << 20, 1] {
            let limits = Limits { chat_cache, commands_burst: 10_000, ..Limits::default() };
            let mut net = Net::new(shards, limits);
            let (ann, bob) = (net.following("ann"), net.following("bob"));
            let pair = net.make(ann, Kind::Direct, &["bob"]).id;
            let group = net.make(ann, Kind::Group, &["bob", "cat"]).id;
            let trade = net.make(bob, Kind::Trade, &["ann"]).id;
            let left = net.make(bob, Kind::Group, &["ann", "cat"]).id;
            let feed = net.make(ann, Kind::Feed, &["ann"]).id;
            let others = net.make(bob, Kind::Direct, &["cat"]).id;
            for n in 0..45 {
                net.chat(ann, draft(pair, &format!("ann {n}"), Some(&format!("c{n}")))).unwrap();
            }
            net.send(bob, pair, "bob's");
            net.send(ann, group, "hello group");
            net.send(bob, group, "hello ann");
            net.send(ann, trade, "what does it cost?");
            net.send(bob, trade, "too much");
            net.send(ann, left, "bye");
            net.chat(ann, ChatCommand::RemoveMember { conversation: left, member: Whose::User(id("ann")) })
                .unwrap();
            net.send(bob, others, "unrelated");
            let cat = net.following("cat");
            let (unread, of_group) = (net.unread(cat, others), net.unread(cat, group));
            assert_eq!((unread, of_group, net.unread(cat, left)), (1, 2, 1));

            let sum = erase(&mut net, "ann");
            let expected =
                Sum { conversations: 5, memberships: 5, messages: 48, sends: 45, gone: 1, steps: sum.steps };
            assert_eq!(sum, expected);
            is_nowhere(&mut net, "ann");
            assert_eq!(erase(&mut net, "ann"), Sum::default(), "again finds nothing");

            // The others see their own, and that something was deleted; in the order of things nothing has changed.
            let all = |conversation| ChatCommand::History {
                conversation,
                before: None,
                after: None,
                forward: false,
                limit: 100,
            };
            let Ok(schema::chat::ChatReply::History(history)) = net.chat(bob, all(pair)) else { panic!() };
            assert_eq!(history.messages.len(), 46);
            assert_eq!(&*history.messages[0].content, "bob's");
            for message in &history.messages[1..] {
                assert!(message.deleted && message.content.is_empty() && message.client_id.is_none());
                assert_eq!(message.sender, Id::from_uuid(NOBODY));
            }
            assert_eq!((net.unread(cat, others), net.unread(cat, group), net.unread(cat, left)), (1, 1, 0));
            assert_eq!(net.unread(bob, trade), 0);
            let removed = |event: &ChatEvent| matches!(event, ChatEvent::Removed { .. });
            assert_eq!(net.heard(bob).into_iter().filter(removed).count(), 48, "{shards}");
            let rows = net.list(bob);
            assert_eq!(rows.len(), 5);
            assert!(
                rows.iter().all(|row| row.conversation.id != feed && row.conversation.creator != id("ann"))
            );

            // She is a stranger now, and they go on.
            assert_eq!(net.chat(ann, draft(pair, "me again", None)), Err(Refusal::Forbidden));
            assert_eq!(net.list(ann), []);
            let next = net.send(bob, pair, "alone");
            assert_eq!(next.sequence, 47);
            net.send(bob, trade, "cheaper");
            assert_eq!((net.unread(bob, pair), net.unread(bob, trade)), (0, 0));
            let add = ChatCommand::AddMember { conversation: group, user: id("dan"), role: Role::Member };
            assert!(net.chat(bob, add).is_ok());
        }
    }
}

#[test]
fn a_step_that_fails_or_is_taken_twice_does_no_harm() {
    let mut net = Net::new(2, Limits::default());
    let (ann, bob) = (net.following("ann"), net.following("bob"));
    let made = net.make(ann, Kind::Group, &["bob", "cat"]).id;
    let place = (Realm(0), made);
    for n in 0..30 {
        net.send(if n % 3 == 0 { bob } else { ann }, made, &n.to_string());
    }
    net.shelf.mood = Mood::Fails;
    assert_eq!(net.step(Step::Look { user: key("ann"), after: None }), Some(Err(Refusal::Unavailable)));
    assert_eq!(step_in(&mut net, place, "ann", u64::MAX), Err(Refusal::Unavailable));
    net.shelf.mood = Mood::Answers;
    assert_eq!(step_in(&mut net, place, "ann", u64::MAX).unwrap().next, Some(u64::MAX), "out of it");
    net.shelf.mood = Mood::Fails;
    assert_eq!(step_in(&mut net, place, "ann", u64::MAX), Err(Refusal::Unavailable));
    net.shelf.mood = Mood::Answers;
    let some = step_in(&mut net, place, "ann", u64::MAX).unwrap();
    assert_eq!(some.messages, 20, "a step is bounded");
    // From the start again, as after a crash: what is done is done.
    let mut again = Net::new(2, Limits::default());
    again.shelf = std::mem::take(&mut net.shelf);
    assert_eq!(
        erase(&mut again, "ann"),
        Sum { conversations: 1, memberships: 1, steps: 1, ..Sum::default() }
    );
    is_nowhere(&mut again, "ann");
    assert_eq!(step_in(&mut again, place, "ann", u64::MAX).unwrap(), Progress::default());
    let nowhere = (Realm(0), schema::chat::ConversationId::from_number(7));
    assert_eq!(step_in(&mut again, nowhere, "ann", u64::MAX), Err(Refusal::NotFound));
}

#[test]
fn sends_that_are_under_way_come_before_and_others_wait() {
    let mut net = Net::new(1, Limits::default());
    let (ann, bob) = (net.following("ann"), net.following("bob"));
    let made = net.make(ann, Kind::Group, &["bob"]).id;
    let place = (Realm(0), made);
    net.shelf.mood = Mood::Waits;
    let first = net.begin(ann, draft(made, "just in time", None));
    assert_eq!(net.step(Step::In { place, user: id("ann"), before: u64::MAX }), None);
    let second = net.begin(ann, draft(made, "too late", None));
    for luck in 0..9 {
        net.shelf_answers(luck);
    }
    net.shelf.mood = Mood::Answers;
    assert!(matches!(net.reply(ann, first), Some(Ok(_))));
    assert_eq!(net.reply(ann, second), Some(Err(Refusal::Forbidden)));
    erase(&mut net, "ann");
    is_nowhere(&mut net, "ann");
    assert_eq!(net.said(bob), ["just in time"]);
}

#[test]
fn how_they_were_is_forgotten_when_nobody_can_bring_it_back() {
    for shards in [1, 3] {
        let mut net = Net::new(shards, Limits { flush_interval: 1_000, ..Limits::default() });
        let watcher = net.open("watcher");
        net.ask(watcher, schema::Command::Watch { users: vec![id("ann")] }).unwrap().unwrap();
        let ann = net.open("ann");
        net.pass(2_000);
        let presence = Step::Presence { user: key("ann") };
        assert_eq!(net.step(presence.clone()), Some(Err(Refusal::Busy)), "she is here");
        net.close(ann, CloseReason::Lost);
        net.pass(100);
        let mut tries = 0;
        let seen = loop {
            match net.step(presence.clone()).unwrap() {
                Ok(Erased::Presence { seen }) => break seen,
                Err(Refusal::Busy) => net.pass(10),
                other => panic!("{other:?}"),
            }
            tries += 1;
            assert!(tries < 20, "her grace need not be waited for, nor the next flush");
        };
        assert!(seen && !net.rows.contains_key(&key("ann")));
        net.pass(10_000);
        assert!(!net.rows.contains_key(&key("ann")), "nothing writes it again");
        let now = net.presence("ann");
        assert_eq!((now.status, now.last_seen), (Status::Offline, LastSeen::Never));
        let told = net.seen_by(watcher, "ann").0.unwrap();
        assert_eq!((told.status, told.last_seen), (Status::Offline, LastSeen::Never));
        assert_eq!(net.step(presence), Some(Ok(Erased::Presence { seen: false })));
        // Who comes back is seen as anybody.
        net.open("ann");
        net.pass(2_000);
        assert!(net.rows.contains_key(&key("ann")));
        assert_eq!(net.online(), 2);
    }
}
