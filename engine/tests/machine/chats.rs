//! Conversations: who may do what, what is told to whom, and that nothing is said before it is on stable storage.

use std::sync::Arc;

use engine::limits::Limits;
use schema::chat::{
    ChatCommand, ChatEvent, ChatReply, Conversation, ConversationId, Draft, Kind, Message, NewConversation,
    NewMember, Role, Summary, Whose,
};
use schema::{CloseReason, Command, Event, Refusal, Reply, SessionAddr};

use crate::net::{Mail, Net, id};
use crate::shelf::Mood;

/// What clients of a conversation do.
pub(crate) trait Chatting {
    fn chat(&mut self, session: SessionAddr, command: ChatCommand) -> Result<ChatReply, Refusal>;
    fn begin(&mut self, session: SessionAddr, command: ChatCommand) -> u64;
    fn following(&mut self, user: &str) -> SessionAddr;
    fn make(&mut self, session: SessionAddr, kind: Kind, members: &[&str]) -> Arc<Conversation>;
    fn heard(&self, session: SessionAddr) -> Vec<ChatEvent>;
    fn said(&self, session: SessionAddr) -> Vec<String>;
    fn send(&mut self, session: SessionAddr, to: ConversationId, text: &str) -> Message;
    fn unread(&mut self, session: SessionAddr, of: ConversationId) -> u64;
    fn list(&mut self, session: SessionAddr) -> Vec<Summary>;
}

fn command(command: ChatCommand) -> Command {
    Command::Chat { acting: None, command: Box::new(command) }
}

pub(crate) fn draft(conversation: ConversationId, text: &str, client_id: Option<&str>) -> ChatCommand {
    let client_id = client_id.map(Into::into);
    ChatCommand::Send(Box::new(Draft {
        conversation,
        client_id,
        kind: 0,
        content: text.into(),
        attachment: None,
    }))
}

impl Chatting for Net {
    fn chat(&mut self, session: SessionAddr, what: ChatCommand) -> Result<ChatReply, Refusal> {
        match self.ask(session, command(what)).expect("an answer in the same millisecond") {
            Ok(Reply::Chat(reply)) => Ok(*reply),
            Ok(other) => panic!("{other:?}"),
            Err(refusal) => Err(refusal),
        }
    }

    fn begin(&mut self, session: SessionAddr, what: ChatCommand) -> u64 {
        let tag = self.say(session, command(what));
        self.run();
        tag
    }

    fn following(&mut self, user: &str) -> SessionAddr {
        let session = self.open(user);
        self.chat(session, ChatCommand::Follow { on: true }).unwrap();
        session
    }

    fn make(&mut self, session: SessionAddr, kind: Kind, members: &[&str]) -> Arc<Conversation> {
        let members = members.iter().map(|user| NewMember { user: id(user), role: Role::Member }).collect();
        let name = (kind == Kind::Group).then(|| "a group".into());
        let new = NewConversation { id: None, kind, name, members, extra: Arc::from([]) };
        match self.chat(session, ChatCommand::Create(Box::new(new))) {
            Ok(ChatReply::Made { conversation, .. }) => conversation,
            other => panic!("{other:?}"),
        }
    }

    fn heard(&self, session: SessionAddr) -> Vec<ChatEvent> {
        let events = self.told.get(&session).into_iter().flatten();
        let events = events.filter_map(|event| match event {
            Event::Chat(_, event) => Some((**event).clone()),
            _ => None,
        });
        events.collect()
    }

    fn said(&self, session: SessionAddr) -> Vec<String> {
        let texts = self.heard(session).into_iter().filter_map(|event| match event {
            ChatEvent::Said(message) => Some(message.content.to_string()),
            _ => None,
        });
        texts.collect()
    }

    fn send(&mut self, session: SessionAddr, to: ConversationId, text: &str) -> Message {
        match self.chat(session, draft(to, text, None)) {
            Ok(ChatReply::Message { message, again: false }) => message,
            other => panic!("{other:?}"),
        }
    }

    fn unread(&mut self, session: SessionAddr, conversation: ConversationId) -> u64 {
        match self.chat(session, ChatCommand::Unread { conversation }) {
            Ok(ChatReply::Count(count)) => count,
            other => panic!("{other:?}"),
        }
    }

    fn list(&mut self, session: SessionAddr) -> Vec<Summary> {
        match self.chat(session, ChatCommand::List { kinds: 0, limit: 1_000, after: None }) {
            Ok(ChatReply::Summaries { rows, more: false }) => rows,
            other => panic!("{other:?}"),
        }
    }
}

fn history(net: &mut Net, session: SessionAddr, conversation: ConversationId) -> Vec<Message> {
    let all = ChatCommand::History { conversation, before: None, after: None, forward: false, limit: 100 };
    match net.chat(session, all) {
        Ok(ChatReply::History(history)) => history.messages,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_message_reaches_everybody_once_and_stays() {
    for shards in [1, 4] {
        let mut net = Net::new(shards, Limits::default());
        let (ann, bob) = (net.following("ann"), net.following("bob"));
        let (second, deaf) = (net.following("bob"), net.open("bob"));
        let eve = net.following("eve");
        let made = net.make(ann, Kind::Direct, &["bob"]);
        assert_eq!(made.id, ConversationId::of_pair(&id("ann"), &id("bob")));
        assert_eq!(net.make(bob, Kind::Direct, &["ann"]).id, made.id, "there is one for each pair");
        let message = net.send(ann, made.id, "hello");
        for session in [ann, bob, second] {
            assert_eq!(net.said(session), ["hello"], "{shards}");
        }
        assert!(net.heard(deaf).is_empty() && net.heard(eve).is_empty());
        assert_eq!((net.unread(bob, made.id), net.unread(ann, made.id)), (1, 0));
        let answer = net.send(bob, made.id, "hi");
        assert!(answer.id.at > message.id.at && answer.sequence == 2);
        assert_eq!((net.unread(bob, made.id), net.unread(ann, made.id)), (0, 1), "sending reads");
        let texts: Vec<String> =
            history(&mut net, ann, made.id).iter().map(|m| m.content.to_string()).collect();
        assert_eq!(texts, ["hi", "hello"]);
        assert_eq!(net.chat(eve, draft(made.id, "me too", None)), Err(Refusal::Forbidden));
        assert_eq!(net.chat(eve, ChatCommand::Find { conversation: made.id }), Err(Refusal::Forbidden));
        assert_eq!(net.chat(ann, draft(ConversationId::from_number(7), "?", None)), Err(Refusal::NotFound));
    }
}

#[test]
fn nothing_is_said_before_it_is_stored_and_everything_in_order() {
    let mut net = Net::new(3, Limits::default());
    let (ann, bob) = (net.following("ann"), net.following("bob"));
    let id = net.make(ann, Kind::Group, &["bob"]).id;
    net.shelf.mood = Mood::Waits;
    let tags: Vec<u64> = (0..20)
        .map(|n| net.begin(if n % 3 == 0 { bob } else { ann }, draft(id, &n.to_string(), None)))
        .collect();
    assert!(net.said(bob).is_empty() && tags.iter().all(|&tag| net.reply(ann, tag).is_none()));
    for luck in 0..50 {
        net.shelf_answers(luck);
    }
    let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(net.said(bob), expected);
    assert_eq!(net.said(ann), expected);
    let replies = |session| tags.iter().filter(|&&tag| net.reply(session, tag).is_some()).count();
    assert_eq!(replies(ann) + replies(bob), 20);
}

#[test]
fn a_retry_is_the_same_message() {
    let mut net = Net::new(2, Limits::default());
    let (ann, bob) = (net.following("ann"), net.following("bob"));
    let id = net.make(ann, Kind::Direct, &["bob"]).id;
    // While the first is under way.
    net.shelf.mood = Mood::Waits;
    let first = net.begin(ann, draft(id, "once", Some("c1")));
    let second = net.begin(ann, draft(id, "once", Some("c1")));
    for luck in 0..9 {
        net.shelf_answers(luck);
    }
    net.shelf.mood = Mood::Answers;
    let message = |reply| match reply {
        Some(Ok(Reply::Chat(reply))) => match *reply {
            ChatReply::Message { message, again } => (message, again),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let (one, again) = message(net.reply(ann, first));
    assert!(!again);
    assert_eq!(message(net.reply(ann, second)), (one.clone(), true));
    // Long after, and when the first answer was lost.
    net.pass(60_000);
    let third = net.begin(ann, draft(id, "once", Some("c1")));
    assert_eq!(message(net.reply(ann, third)).0.id, one.id);
    assert_eq!(net.said(bob), ["once"]);
    assert_eq!(history(&mut net, bob, id).len(), 1);
    // Another's, and another one.
    let other = net.begin(bob, draft(id, "mine", Some("c1")));
    assert!(!message(net.reply(bob, other)).1);
    // The window is over.
    net.pass(25 * 3_600_000);
    let ann = net.following("ann");
    let late = net.begin(ann, draft(id, "once", Some("c1")));
    assert!(!message(net.reply(ann, late)).1);
}

#[test]
fn what_fails_has_not_happened() {
    let mut net = Net::new(1, Limits::default());
    let (ann, bob) = (net.following("ann"), net.following("bob"));
    let id = net.make(ann, Kind::Direct, &["bob"]).id;
    net.shelf.mood = Mood::Fails;
    assert_eq!(net.chat(ann, draft(id, "lost", None)), Err(Refusal::Unavailable));
    net.shelf.mood = Mood::Answers;
    assert_eq!(net.send(ann, id, "kept").sequence, 1);
    assert_eq!(net.said(bob), ["kept"]);
    // One of several under way fails: the others keep their numbers, and the counts stay right.
    net.shelf.fails_every = net.shelf.writes + 3;
    net.shelf.mood = Mood::Waits;
    for n in 0..6 {
        net.begin(ann, draft(id, &n.to_string(), None));
    }
    for luck in 0..9 {
        net.shelf_answers(luck);
    }
    (net.shelf.fails_every, net.shelf.mood) = (0, Mood::Answers);
    assert_eq!(net.said(bob), ["kept", "0", "1", "3", "4", "5"]);
    assert_eq!(net.unread(bob, id), 6);
    // And when it is read anew.
    let mut again = Net::new(1, Limits::default());
    again.shelf = std::mem::take(&mut net.shelf);
    let bob = again.following("bob");
    assert_eq!(again.unread(bob, id), 6);
}

#[test]
fn only_their_sender_changes_messages() {
    let mut net = Net::new(2, Limits::default());
    let (ann, bob) = (net.following("ann"), net.following("bob"));
    let id = net.make(ann, Kind::Direct, &["bob"]).id;
    let message = net.send(ann, id, "helo").id;
    let edit = |content: &str| ChatCommand::Edit { message, content: content.into() };
    assert_eq!(net.chat(bob, edit("mine")), Err(Refusal::Forbidden));
    assert_eq!(net.chat(bob, ChatCommand::Remove { message }), Err(Refusal::Forbidden));
    assert!(matches!(net.chat(ann, edit("hello")), Ok(ChatReply::Message { message, .. }) if message.edited));
    assert_eq!(net.list(bob)[0].last.as_ref().unwrap().content, "hello".into());
    assert!(
        matches!(net.chat(ann, ChatCommand::Remove { message }), Ok(ChatReply::Message { message, again: false }) if message.deleted)
    );
    assert!(matches!(
        net.chat(ann, ChatCommand::Remove { message }),
        Ok(ChatReply::Message { again: true, .. })
    ));
    assert_eq!(net.chat(ann, edit("again")), Err(Refusal::Gone));
    assert_eq!(net.unread(bob, id), 0);
    assert_eq!(net.list(bob)[0].last, None);
    let changes = net
        .heard(bob)
        .into_iter()
        .filter(|event| matches!(event, ChatEvent::Edited(_) | ChatEvent::Removed { .. }));
    assert_eq!(changes.count(), 2);
    let shown = history(&mut net, bob, id);
    assert!(shown[0].deleted && shown[0].content.is_empty());
}

#[test]
fn members_come_and_go() {
    let mut net = Net::new(3, Limits::default());
    let (ann, bob, eve) = (net.following("ann"), net.following("bob"), net.following("eve"));
    let id = net.make(ann, Kind::Group, &["bob"]).id;
    net.send(ann, id, "before");
    let add = |user: &str| ChatCommand::AddMember {
        conversation: id,
        user: crate::net::id(user),
        role: Role::Member,
    };
    let out = |user: &str| ChatCommand::RemoveMember {
        conversation: id,
        member: Whose::User(crate::net::id(user)),
    };
    assert_eq!(net.chat(eve, add("eve")), Err(Refusal::Forbidden));
    let row = match net.chat(bob, add("eve")) {
        Ok(ChatReply::Member { member, .. }) => member.row,
        other => panic!("{other:?}"),
    };
    assert_eq!(row, 3);
    assert_eq!(net.chat(bob, add("eve")), Err(Refusal::Conflict));
    assert!(net.heard(eve).iter().any(|event| matches!(event, ChatEvent::Created(made) if made.id == id)));
    assert_eq!(net.unread(eve, id), 0, "what was said before counts as read");
    assert_eq!(history(&mut net, eve, id).len(), 1, "and can be read");
    net.send(ann, id, "after");
    assert_eq!(net.unread(eve, id), 1);
    assert_eq!(net.chat(eve, out("bob")), Err(Refusal::Forbidden));
    assert_eq!(net.chat(ann, out("eve")), Ok(ChatReply::Done));
    assert!(
        matches!(net.heard(eve).last(), Some(ChatEvent::MemberRemoved { member, .. }) if member.row == 3)
    );
    assert_eq!(net.chat(eve, draft(id, "still here", None)), Err(Refusal::Forbidden));
    net.send(ann, id, "gone?");
    assert_eq!(net.said(eve), ["after"]);
    let again = net.chat(ann, add("eve"));
    assert!(
        matches!(again, Ok(ChatReply::Member { member, .. }) if member.row == 4),
        "a row is never used again"
    );
    assert_eq!(net.chat(bob, out("bob")), Ok(ChatReply::Done), "anybody may leave");
    assert_eq!(net.chat(eve, ChatCommand::Delete { conversation: id }), Err(Refusal::Forbidden));
    assert_eq!(net.chat(ann, ChatCommand::Delete { conversation: id }), Ok(ChatReply::Done));
    assert_eq!(net.chat(ann, ChatCommand::Find { conversation: id }), Err(Refusal::NotFound));
    assert!(net.list(eve).is_empty());
}

#[test]
fn reads_are_told_and_counted() {
    let mut net = Net::new(2, Limits::default());
    let (ann, bob) = (net.following("ann"), net.following("bob"));
    let id = net.make(ann, Kind::Direct, &["bob"]).id;
    let ids: Vec<_> = (0..5).map(|n| net.send(ann, id, &n.to_string()).id).collect();
    let read = |message| ChatCommand::Read { message };
    assert_eq!(net.chat(bob, read(ids[1])), Ok(ChatReply::Done));
    assert_eq!(net.chat(bob, read(ids[1])), Ok(ChatReply::Done));
    assert_eq!(net.chat(ann, read(ids[1])), Ok(ChatReply::Done), "one's own");
    let reads = |net: &Net, session| {
        net.heard(session).into_iter().filter(|event| matches!(event, ChatEvent::Read { .. })).count()
    };
    assert_eq!((reads(&net, ann), reads(&net, bob), net.unread(bob, id)), (1, 1, 4));
    let all = ChatCommand::ReadAll { conversation: id, up_to: None };
    assert_eq!(net.chat(bob, all.clone()), Ok(ChatReply::Done));
    let newly = net.heard(ann).into_iter().find_map(|event| match event {
        ChatEvent::ReadAll { newly, .. } => Some(newly),
        _ => None,
    });
    assert_eq!(newly.unwrap(), [ids[4], ids[3], ids[2], ids[0]]);
    assert_eq!(net.unread(bob, id), 0);
    let before = net.heard(ann).len();
    assert_eq!(net.chat(bob, all), Ok(ChatReply::Done));
    assert_eq!(net.heard(ann).len(), before, "nothing was left to read");
    assert!(history(&mut net, ann, id).iter().all(|message| message.reads.len() == 1));
}

#[test]
fn typing_is_for_those_who_look_and_ends_with_the_session() {
    let mut net = Net::new(3, Limits::default());
    let (ann, ann2, bob) = (net.following("ann"), net.following("ann"), net.following("bob"));
    let id = net.make(ann, Kind::Direct, &["bob"]).id;
    let typing = |on| ChatCommand::Typing { conversation: id, on };
    let seen = |net: &Net, session| {
        let events = net.heard(session).into_iter().filter_map(|event| match event {
            ChatEvent::Typing { on, .. } => Some(on),
            _ => None,
        });
        events.collect::<Vec<bool>>()
    };
    net.chat(ann, typing(true)).unwrap();
    assert!(seen(&net, bob).is_empty(), "bob does not look");
    for session in [bob, ann2] {
        assert_eq!(net.chat(session, ChatCommand::Join { conversation: id }), Ok(ChatReply::Done));
    }
    net.chat(ann, typing(true)).unwrap();
    net.run();
    assert_eq!((seen(&net, bob), seen(&net, ann2)), (vec![true], vec![]));
    net.close(ann, CloseReason::Lost);
    net.run();
    assert_eq!(seen(&net, bob), [true, false]);
    let eve = net.following("eve");
    assert_eq!(net.chat(eve, ChatCommand::Join { conversation: id }), Err(Refusal::Forbidden));
    assert_eq!(net.chat(eve, typing(true)), Err(Refusal::Forbidden));
    // A service hears everything of a conversation it has joined.
    let service = net.open_service(1);
    net.chat(service, ChatCommand::Join { conversation: id }).unwrap();
    net.send(bob, id, "hello");
    net.run();
    assert_eq!(net.said(service), ["hello"]);
    // And what it types for somebody ends with it.
    let typing = Command::Chat { acting: Some(crate::net::id("ann")), command: Box::new(typing(true)) };
    net.ask(service, typing).unwrap().unwrap();
    net.run();
    assert_eq!(seen(&net, bob), [true, false, true]);
    net.close(service, CloseReason::Lost);
    net.run();
    assert_eq!(seen(&net, bob), [true, false, true, false]);
}

#[test]
fn a_list_is_in_order_and_survives_forgetting() {
    let limits = Limits { chat_cache: 2_000, commands_burst: 10_000, ..Limits::default() };
    let mut net = Net::new(4, limits);
    let ann = net.following("ann");
    let mut ids = Vec::new();
    for n in 0..300 {
        let other = format!("friend-{n}");
        let id = net.make(ann, Kind::Direct, &[&other]).id;
        let friend = net.open(&other);
        net.send(friend, id, &format!("from {n}"));
        net.close(friend, CloseReason::ClientClosed);
        net.pass(10);
        ids.push(id);
    }
    let cached: u32 = net.machines.iter().map(|machine| machine.conversations().0).sum();
    assert!(cached < 50, "{cached} conversations are kept");
    let rows = net.list(ann);
    let order: Vec<_> = rows.iter().map(|row| row.conversation.id).collect();
    ids.reverse();
    assert_eq!(order, ids);
    assert!(rows.iter().all(|row| row.unread == 1 && row.last.is_some()));
    let count = net.chat(ann, ChatCommand::CountUnread { kinds: 1 << Kind::Direct as u8 });
    assert_eq!(count, Ok(ChatReply::Count(300)));
}

#[test]
fn a_list_that_waits_shows_what_changed_meanwhile() {
    let mut net = Net::new(1, Limits::default());
    let (ann, bob) = (net.following("ann"), net.following("bob"));
    let id = net.make(ann, Kind::Direct, &["bob"]).id;
    let ids: Vec<_> = (0..3).map(|n| net.send(ann, id, &n.to_string()).id).collect();
    let remove = |message| ChatCommand::Remove { message };
    net.chat(ann, remove(ids[2])).unwrap();
    // The newest message has to be asked for; before the answer comes, it is taken back.
    net.shelf.mood = Mood::Waits;
    let list = net.begin(bob, ChatCommand::List { kinds: 0, limit: 10, after: None });
    net.shelf_answers(1);
    assert!(net.reply(bob, list).is_none());
    net.shelf.mood = Mood::Answers;
    net.chat(ann, remove(ids[1])).unwrap();
    net.shelf_answers(2);
    match net.reply(bob, list) {
        Some(Ok(Reply::Chat(reply))) => match *reply {
            ChatReply::Summaries { rows, .. } => {
                assert_eq!(rows[0].last.as_ref().unwrap().content, "0".into())
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_large_group_is_told_in_turns() {
    let mut net = Net::new(4, Limits::default());
    let ann = net.following("ann");
    let members: Vec<String> = (0..3_000).map(|n| format!("member-{n}")).collect();
    let names: Vec<&str> = members.iter().map(String::as_str).collect();
    let id = net.make(ann, Kind::Group, &names).id;
    let some: Vec<SessionAddr> = members.iter().step_by(30).map(|name| net.following(name)).collect();
    net.mail_mode = Mail::Slow(3);
    net.room = 2;
    for n in 0..20 {
        net.begin(ann, draft(id, &n.to_string(), None));
    }
    net.mail_mode = Mail::InOrder;
    net.run();
    let expected: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    for session in some {
        let mut said = net.said(session);
        said.sort_by_key(|text| text.parse::<u32>().unwrap());
        assert_eq!(said, expected);
    }
}

#[test]
fn what_waits_in_a_large_group_goes_together_and_holds_nobody_else_up() {
    let mut net = Net::new(1, Limits::default());
    let ann = net.following("ann");
    let members: Vec<String> = (0..600).map(|n| format!("member-{n}")).collect();
    let names: Vec<&str> = members.iter().map(String::as_str).collect();
    let group = net.make(ann, Kind::Group, &names).id;
    let pair = net.make(ann, Kind::Direct, &["member-599"]).id;
    let sessions: Vec<SessionAddr> = names.iter().map(|name| net.following(name)).collect();
    let texts = ["one", "two", "three", "four"];
    for text in texts {
        net.say(ann, command(draft(group, text, None)));
    }
    net.say(ann, command(draft(pair, "aside", None)));
    let mut partly = 0;
    for _ in 0..20 {
        net.turn();
        let said: Vec<Vec<String>> = sessions.iter().map(|session| net.said(*session)).collect();
        let (last, others) = said.split_last().unwrap();
        assert!(others.iter().all(|said| said.is_empty() || *said == texts), "nobody has heard a part");
        let some = others.iter().any(Vec::is_empty) && !others.iter().all(Vec::is_empty);
        partly += usize::from(some && *last == ["aside"]);
    }
    assert!(partly > 0, "the pair did not wait for the group");
    net.run();
    assert!(sessions[..599].iter().all(|session| net.said(*session) == texts));
    assert_eq!(net.said(sessions[599]), ["aside", "one", "two", "three", "four"]);
}

#[test]
fn a_list_that_cannot_be_read_is_refused_and_not_cut_short() {
    for shards in [1, 3] {
        let mut net = Net::new(shards, Limits { chat_cache: 1, ..Limits::default() });
        let ann = net.following("ann");
        let id = net.make(ann, Kind::Direct, &["bob"]).id;
        net.pass(1_000);
        net.shelf.fails_loads = true;
        let all = ChatCommand::List { kinds: 0, limit: 10, after: None };
        assert_eq!(net.chat(ann, all), Err(Refusal::Unavailable));
        assert_eq!(net.chat(ann, ChatCommand::CountUnread { kinds: 0 }), Err(Refusal::Unavailable));
        net.shelf.fails_loads = false;
        assert_eq!(net.list(ann)[0].conversation.id, id);
    }
}

#[test]
fn a_newest_message_that_cannot_be_read_does_not_end_what_is_being_written() {
    let mut net = Net::new(1, Limits::default());
    let (ann, bob) = (net.following("ann"), net.following("bob"));
    let id = net.make(ann, Kind::Direct, &["bob"]).id;
    let first = net.send(ann, id, "first");
    net.chat(ann, ChatCommand::Remove { message: first.id }).unwrap();
    net.shelf.mood = Mood::Waits;
    let sent = net.begin(ann, draft(id, "second", None));
    net.begin(bob, ChatCommand::List { kinds: 0, limit: 10, after: None });
    // The memberships come first, and the load that follows them fails.
    net.shelf.fails_loads = true;
    net.shelf_answers_one(1);
    net.shelf_answers_one(1);
    assert!(net.reply(ann, sent).is_none());
    net.shelf.fails_loads = false;
    net.shelf_answers(1);
    assert!(matches!(net.reply(ann, sent), Some(Ok(_))));
    assert_eq!(net.said(bob), ["first", "second"]);
}

#[test]
fn a_send_that_failed_before_another_one_is_nobodys_unread() {
    let mut net = Net::new(1, Limits::default());
    let (ann, bob) = (net.following("ann"), net.following("bob"));
    let id = net.make(ann, Kind::Trade, &["bob"]).id;
    net.shelf.mood = Mood::Waits;
    (net.shelf.writes, net.shelf.fails_every) = (99, 100);
    let lost = net.begin(ann, draft(id, "lost", None));
    net.begin(bob, draft(id, "kept", None));
    net.shelf_answers(1);
    net.shelf.mood = Mood::Answers;
    net.shelf_answers(1);
    assert_eq!(net.reply(ann, lost), Some(Err(Refusal::Unavailable)));
    assert_eq!((net.unread(ann, id), net.unread(bob, id)), (1, 0));
    // What is given out next counts on from there, also for who loads the conversation anew.
    let next = net.send(ann, id, "next");
    assert_eq!((next.sequence, next.sent), (3, 2));
    assert_eq!((net.unread(ann, id), net.unread(bob, id)), (1, 1));
}

#[test]
fn a_clock_that_is_set_back_stops_no_conversation() {
    const HOUR: u64 = 3_600_000;
    let limits = Limits { commands_burst: 100_000, ..Limits::default() };
    let mut net = Net::new(2, limits.clone());
    let mut ann = net.following("ann");
    let group = net.make(ann, Kind::Group, &["bob"]).id;
    let mut last = net.send(ann, group, "on time").id.at;
    for round in 0..3 {
        net.set_back(5 * HOUR);
        for number in 0..1_500 {
            let at = net.send(ann, group, "after").id.at;
            assert!(at > last, "times go on: message {number} of round {round}");
            last = at;
            net.pass(1);
        }
        // The next process finds what is ahead of its clock in the store.
        let (shelf, now) = (std::mem::take(&mut net.shelf), net.now);
        net = Net::new(2, limits.clone());
        (net.shelf, net.now) = (shelf, now);
        net.set_back(0);
        ann = net.following("ann");
    }
    let all = history(&mut net, ann, group);
    assert_eq!((all[0].id.at, all.len()), (last, 100), "the newest first");
    net.pass(16 * HOUR);
    let ann = net.following("ann");
    assert_eq!(net.send(ann, group, "later").id.at, net.now.wall, "the clock has come again");
}
