//! Trades: a buyer and a seller, each with a side of its own.

use std::sync::Arc;

use engine::limits::Limits;
use schema::chat::{
    ChatCommand, ChatEvent, ChatReply, Conversation, ConversationId, Kind, MemberChange, NewConversation,
    NewMember, Role,
};
use schema::{CloseReason, Refusal, SessionAddr};

use crate::chats::Chatting;
use crate::net::{Net, id};

fn trade(net: &mut Net, by: SessionAddr) -> (Arc<Conversation>, bool) {
    let members = [("ann", Role::Buyer), ("bob", Role::Seller)];
    let new = NewConversation {
        id: Some(ConversationId::natural(Kind::Trade, &["ann", "bob"])),
        kind: Kind::Trade,
        name: None,
        members: members.map(|(user, role)| NewMember { user: id(user), role }).into(),
        extra: Arc::from([]),
    };
    match net.chat(by, ChatCommand::Create(Box::new(new))) {
        Ok(ChatReply::Made { conversation, new }) => (conversation, new),
        other => panic!("{other:?}"),
    }
}

fn hide(net: &mut Net, by: SessionAddr, conversation: ConversationId, hidden: bool) {
    let change = MemberChange { hidden: Some(hidden), ..MemberChange::default() };
    net.chat(by, ChatCommand::SetMember { conversation, change }).unwrap();
}

/// Who of the members hides it, as the conversation is shown.
fn hidden(conversation: &Conversation) -> Vec<bool> {
    conversation.members.iter().map(|member| member.hidden_at.is_some()).collect()
}

/// Whose changes a session has heard of, and whether they hide.
fn changes(net: &Net, session: SessionAddr) -> Vec<(String, bool, String)> {
    let changes = net.heard(session).into_iter().filter_map(|event| match event {
        ChatEvent::MemberChanged { member, with, change, .. } => {
            assert!(change.pinned.is_some() || change.hidden == Some(member.hidden_at.is_some()));
            Some((member.user.to_string(), member.hidden_at.is_some(), with.unwrap().to_string()))
        }
        _ => None,
    });
    changes.collect()
}

fn types(net: &Net, session: SessionAddr) -> Vec<(String, bool)> {
    let events = net.heard(session).into_iter().filter_map(|event| match event {
        ChatEvent::Typing { user, on, with, .. } => Some((format!("{user} to {}", with.unwrap()), on)),
        _ => None,
    });
    events.collect()
}

#[test]
fn whoever_hides_it_the_other_one_knows_and_making_it_again_shows_it_to_both() {
    for shards in [1, 4] {
        let mut net = Net::new(shards, Limits::default());
        let (ann, bob, bob2) = (net.following("ann"), net.following("bob"), net.following("bob"));
        let (made, new) = trade(&mut net, ann);
        assert!(new);
        let roles: Vec<Role> = made.members.iter().map(|member| member.role).collect();
        assert_eq!(roles, [Role::Buyer, Role::Seller], "whoever makes it");
        net.send(ann, made.id, "is it still there?");
        hide(&mut net, bob, made.id, true);
        hide(&mut net, ann, made.id, true);
        let expected = [("bob".into(), true, "ann".into()), ("ann".into(), true, "bob".into())];
        for session in [ann, bob, bob2] {
            assert_eq!(changes(&net, session), expected, "{shards}");
        }
        assert_eq!(net.unread(bob, made.id), 0, "what is hidden is nothing to read");
        let (again, new) = trade(&mut net, bob);
        assert_eq!((hidden(&again), new), (vec![false, false], false));
        let shown = [("ann".into(), false, "bob".into()), ("bob".into(), false, "ann".into())];
        for session in [ann, bob, bob2] {
            assert_eq!(changes(&net, session)[2..], shown, "{shards}");
        }
        // What was said before stays hidden, and once more changes nothing.
        assert!(net.list(bob)[0].last.is_none());
        assert!(!trade(&mut net, ann).1);
        assert_eq!(changes(&net, ann).len(), 4);
        // A message shows it, too, and then there is nothing to be shown again.
        hide(&mut net, bob, made.id, true);
        net.send(ann, made.id, "hello?");
        assert_eq!(hidden(&trade(&mut net, ann).0), [false, false]);
        assert_eq!((changes(&net, ann).len(), net.unread(bob, made.id)), (5, 1));
        // Strangers make nothing of it.
        let eve = net.following("eve");
        let new = NewConversation {
            id: Some(made.id),
            kind: Kind::Trade,
            name: None,
            members: vec![NewMember { user: id("bob"), role: Role::Seller }],
            extra: Arc::from([]),
        };
        assert_eq!(net.chat(eve, ChatCommand::Create(Box::new(new))), Err(Refusal::Conflict));
    }
}

#[test]
fn a_pinned_trade_is_nobody_elses_business() {
    let mut net = Net::new(2, Limits::default());
    let (ann, bob) = (net.following("ann"), net.following("bob"));
    let id = trade(&mut net, ann).0.id;
    let change = MemberChange { pinned: Some(true), ..MemberChange::default() };
    net.chat(ann, ChatCommand::SetMember { conversation: id, change }).unwrap();
    assert_eq!((changes(&net, ann).len(), changes(&net, bob).len()), (1, 0));
}

#[test]
fn what_is_said_names_both_and_typing_reaches_all_other_sessions_of_both() {
    for shards in [1, 4] {
        let mut net = Net::new(shards, Limits::default());
        let (ann, ann2, bob) = (net.following("ann"), net.following("ann"), net.following("bob"));
        let (deaf, eve) = (net.open("bob"), net.following("eve"));
        let conversation = trade(&mut net, ann).0.id;
        let sent = net.send(ann, conversation, "hello");
        assert_eq!(sent.to, None, "who asks knows");
        for session in [ann, ann2, bob] {
            let to = net.heard(session).into_iter().find_map(|event| match event {
                ChatEvent::Said(message) => Some(message.to.unwrap().to_string()),
                _ => None,
            });
            assert_eq!(to.as_deref(), Some("bob"));
        }
        let typing = |on| ChatCommand::Typing { conversation, on };
        net.chat(ann, typing(true)).unwrap();
        net.run();
        let told = [("ann to bob".to_owned(), true)];
        assert_eq!((types(&net, ann2), types(&net, bob)), (told.to_vec(), told.to_vec()), "{shards}");
        for session in [ann, deaf, eve] {
            assert!(types(&net, session).is_empty(), "{shards}");
        }
        assert_eq!(net.chat(eve, typing(true)), Err(Refusal::Forbidden));
        // It ends with the session.
        net.close(ann, CloseReason::Lost);
        net.run();
        for session in [ann2, bob] {
            assert_eq!(types(&net, session)[1..], [("ann to bob".to_owned(), false)], "{shards}");
        }
    }
}

#[test]
fn sending_is_not_reading_and_each_side_counts_for_itself() {
    let mut net = Net::new(2, Limits::default());
    let (ann, bob) = (net.following("ann"), net.following("bob"));
    let id = trade(&mut net, bob).0.id;
    net.send(ann, id, "one");
    let two = net.send(ann, id, "two");
    net.send(bob, id, "answer");
    assert_eq!((net.unread(ann, id), net.unread(bob, id)), (1, 2));
    net.chat(bob, ChatCommand::ReadAll { conversation: id, up_to: Some(two.id.at) }).unwrap();
    net.send(ann, id, "three");
    assert_eq!((net.unread(ann, id), net.unread(bob, id)), (1, 1));
    hide(&mut net, ann, id, true);
    assert_eq!((net.unread(ann, id), net.unread(bob, id)), (0, 1));
}
