//! Whoever leaves a conversation and comes back is still who they were, and whoever has left is out.

use engine::limits::Limits;
use engine::machine::Message;
use schema::chat::{ChatCommand, ChatEvent, ChatReply, ConversationId, Kind, Role, Whose};
use schema::{Refusal, Reply, SessionAddr};

use crate::chats::{Chatting, draft};
use crate::net::{Mail, Net, id};

fn add(conversation: ConversationId, user: &str) -> ChatCommand {
    ChatCommand::AddMember { conversation, user: id(user), role: Role::Member }
}

fn out(conversation: ConversationId, user: &str) -> ChatCommand {
    ChatCommand::RemoveMember { conversation, member: Whose::User(id(user)) }
}

/// A conversation and where it is: its home is neither bob's nor that of his session, which follows; from
/// here on mail is held.
struct Apart {
    ann: SessionAddr,
    bob: SessionAddr,
    made: ConversationId,
    home: usize,
    bob_home: usize,
    host: usize,
}

fn apart(net: &mut Net) -> Apart {
    let (ann, bob_home) = (net.following("ann"), net.home("bob"));
    let (made, home) = (0..)
        .map(|n| {
            let made = net.make(ann, Kind::Group, &["bob", &format!("friend-{n}")]).id;
            (made, net.home(&made.id().to_string()))
        })
        .find(|(_, home)| *home != bob_home)
        .unwrap();
    let host = (0..8).find(|host| ![home, bob_home].contains(host)).unwrap();
    let bob = net.open_at(host, "bob");
    net.chat(bob, ChatCommand::Follow { on: true }).unwrap();
    net.mail_mode = Mail::Held;
    Apart { ann, bob, made, home, bob_home, host }
}

#[test]
fn a_retry_after_leaving_and_coming_back_is_the_same_message() {
    // With the conversation in memory, and read anew for every command.
    for chat_cache in [1 << 20, 1] {
        let mut net = Net::new(2, Limits { chat_cache, ..Limits::default() });
        let (ann, bob) = (net.following("ann"), net.following("bob"));
        let made = net.make(ann, Kind::Group, &["bob"]).id;
        let sent = net.chat(bob, draft(made, "once", Some("b1"))).unwrap();
        let ChatReply::Message { message: first, again: false } = sent else { panic!("{sent:?}") };
        for round in 0..3 {
            net.chat(bob, out(made, "bob")).unwrap();
            net.pass(100);
            assert_eq!(net.chat(bob, draft(made, "once", Some("b1"))), Err(Refusal::Forbidden));
            net.chat(ann, add(made, "bob")).unwrap();
            net.pass(100);
            let retried = net.chat(bob, draft(made, "once", Some("b1"))).unwrap();
            let ChatReply::Message { message, again: true } = retried else {
                panic!("stored twice in round {round}: {retried:?}")
            };
            assert_eq!((message.id, message.row), (first.id, first.row));
        }
        // Another one's name of that kind is another message, also where they have had each other's rows before them.
        net.chat(ann, add(made, "eve")).unwrap();
        let eve = net.following("eve");
        let other = net.chat(eve, draft(made, "mine", Some("b1"))).unwrap();
        assert!(matches!(other, ChatReply::Message { again: false, .. }), "{other:?}");
        assert_eq!(net.said(ann), ["once", "mine"]);
    }
}

#[test]
fn the_store_is_asked_about_client_ids_that_may_be_known_and_no_others() {
    let mut net = Net::new(2, Limits::default());
    let ann = net.following("ann");
    let made = net.make(ann, Kind::Group, &["bob"]).id;
    let send = |net: &mut Net, from, name: &str| {
        let before = net.shelf.looks;
        let Ok(ChatReply::Message { again, .. }) = net.chat(from, draft(made, "…", Some(name))) else {
            panic!("{name} was refused")
        };
        (again, net.shelf.looks - before)
    };
    for number in 0..300 {
        net.pass(100);
        assert_eq!(send(&mut net, ann, &format!("a{number}")), (false, 0), "the conversation is new");
    }
    assert_eq!(send(&mut net, ann, "a7"), (true, 1));
    let mut again = Net::new(2, Limits::default());
    again.shelf = std::mem::take(&mut net.shelf);
    let mut net = again;
    let [ann, bob] = ["ann", "bob"].map(|who| net.following(who));
    assert_eq!(send(&mut net, bob, "a7"), (false, 1), "all of bob's are read at once");
    assert_eq!(send(&mut net, bob, "b8"), (false, 0));
    assert_eq!(send(&mut net, bob, "a7"), (true, 1));
    assert_eq!(send(&mut net, ann, "a9"), (true, 2), "ann has too many");
    assert_eq!(send(&mut net, ann, "new"), (false, 1));
    assert_eq!(send(&mut net, ann, "new"), (true, 1));
    net.chat(ann, add(made, "eve")).unwrap();
    let eve = net.following("eve");
    assert_eq!(send(&mut net, eve, "a7"), (false, 0), "who has just come has sent nothing");
    assert_eq!(send(&mut net, eve, "a7"), (true, 1));
}

#[test]
fn who_is_put_out_while_joining_sees_nobody_typing() {
    let mut net = Net::new(8, Limits::default());
    let Apart { ann, bob, made, home, host, .. } = apart(&mut net);
    let join = net.begin(bob, ChatCommand::Join { conversation: made });
    let late = |from: usize, to: usize, message: &Message| {
        (from, to) == (home, host) && matches!(message, Message::Answer { .. })
    };
    net.deliver_only(|from, to, message| !late(from, to, message));
    assert_eq!(net.reply(bob, join), None, "the home has agreed, and its word is on the way");
    net.begin(ann, out(made, "bob"));
    net.deliver_only(|from, to, message| !late(from, to, message));
    let removed = |event: &ChatEvent| matches!(event, ChatEvent::MemberRemoved { .. });
    assert!(net.heard(bob).iter().any(removed), "which is heard of first");
    net.mail_mode = Mail::InOrder;
    net.run();
    assert_eq!(net.reply(bob, join), Some(Err(Refusal::Forbidden)));
    net.chat(ann, ChatCommand::Typing { conversation: made, on: true }).unwrap();
    net.pass(1_000);
    let typing = |event: &ChatEvent| matches!(event, ChatEvent::Typing { .. });
    assert!(!net.heard(bob).iter().any(typing), "a stranger sees who is typing");

    // Who comes back may look again.
    net.chat(ann, add(made, "bob")).unwrap();
    assert_eq!(net.chat(bob, ChatCommand::Join { conversation: made }), Ok(ChatReply::Done));
    net.chat(ann, ChatCommand::Typing { conversation: made, on: true }).unwrap();
    net.pass(1_000);
    assert!(net.heard(bob).iter().any(typing));
}

#[test]
fn an_earlier_leaving_does_not_end_a_later_joining() {
    let mut net = Net::new(8, Limits::default());
    let Apart { ann, bob, made, home, host, bob_home } = apart(&mut net);
    // Bob's own sessions hear late that he had left.
    let late = |from: usize, to: usize, message: &Message| {
        (from, to) == (home, bob_home) && matches!(message, Message::Chat { .. })
            || (from, to) == (home, host) && matches!(message, Message::Answer { .. })
    };
    net.begin(ann, out(made, "bob"));
    net.deliver_only(|from, to, message| !late(from, to, message));
    net.begin(ann, add(made, "bob"));
    net.deliver_only(|from, to, message| !late(from, to, message));
    let join = net.begin(bob, ChatCommand::Join { conversation: made });
    net.deliver_only(|from, to, message| !late(from, to, message));
    net.deliver_only(|from, to, message| {
        !((from, to) == (home, host) && matches!(message, Message::Answer { .. }))
    });
    net.mail_mode = Mail::InOrder;
    net.run();
    assert!(matches!(net.reply(bob, join), Some(Ok(Reply::Chat(reply))) if *reply == ChatReply::Done));
    net.chat(ann, ChatCommand::Typing { conversation: made, on: true }).unwrap();
    net.pass(1_000);
    assert!(net.heard(bob).iter().any(|event| matches!(event, ChatEvent::Typing { .. })));
}

#[test]
fn who_is_told_that_they_have_joined_hears_whoever_types_then() {
    let mut net = Net::new(8, Limits::default());
    let Apart { ann, bob, made, .. } = apart(&mut net);
    let join = net.begin(bob, ChatCommand::Join { conversation: made });
    // What one shard tells another of its state has no fixed time.
    let prompt = |_, _, message: &Message| !matches!(message, Message::State(_));
    net.deliver_only(prompt);
    assert!(matches!(net.reply(bob, join), Some(Ok(Reply::Chat(reply))) if *reply == ChatReply::Done));
    net.begin(ann, ChatCommand::Typing { conversation: made, on: true });
    net.deliver_only(prompt);
    net.mail_mode = Mail::InOrder;
    net.run();
    assert!(net.heard(bob).iter().any(|event| matches!(event, ChatEvent::Typing { .. })));
}
