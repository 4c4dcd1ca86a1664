//! Random conversations against a naive model: every message has the set of those who have read it.

use std::collections::{BTreeMap, BTreeSet};

use engine::limits::Limits;
use proptest::prelude::*;
use schema::SessionAddr;
use schema::chat::{
    ChatCommand, ChatReply, ConversationId, Kind, ListCursor, MemberChange, MessageId, NewConversation,
    NewMember, Role, Summary, Whose,
};

use crate::chats::{Chatting, draft};
use crate::net::{Net, id};

const USERS: [&str; 5] = ["ann", "bob", "cat", "dan", "eve"];

#[derive(Clone, Debug)]
enum Step {
    Send(usize),
    Remove(usize),
    Read(usize, usize),
    ReadAll(usize),
    ReadTo(usize, usize),
    Join(usize),
    Leave(usize),
    /// Somebody hides the conversation, or shows it again.
    Hide(usize, bool),
    /// Somebody makes it again.
    Again(usize),
    /// Everything in memory is forgotten.
    Forget,
    /// So much time passes, of which some messages grow too old.
    Age(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let user = 0..USERS.len();
    prop_oneof![
        6 => user.clone().prop_map(Step::Send),
        2 => (0usize..50).prop_map(Step::Remove),
        4 => (user.clone(), 0usize..50).prop_map(|(user, message)| Step::Read(user, message)),
        1 => user.clone().prop_map(Step::ReadAll),
        1 => (user.clone(), 0usize..50).prop_map(|(user, message)| Step::ReadTo(user, message)),
        1 => user.clone().prop_map(Step::Join),
        1 => user.clone().prop_map(Step::Leave),
        1 => (user.clone(), any::<bool>()).prop_map(|(user, hidden)| Step::Hide(user, hidden)),
        1 => user.prop_map(Step::Again),
        1 => Just(Step::Forget),
        2 => (0u64..60).prop_map(Step::Age),
    ]
}

/// What a member has hidden.
#[derive(Clone, Copy, Default)]
struct Veil {
    /// The conversation.
    hidden: bool,
    /// So many messages.
    messages: usize,
}

struct Said {
    id: MessageId,
    by: usize,
    deleted: bool,
    /// It was too old.
    gone: bool,
    read: BTreeSet<usize>,
}

fn sessions(net: &mut Net) -> Vec<SessionAddr> {
    USERS.iter().map(|user| net.following(user)).collect()
}

/// How long messages are kept, where they are not kept for good.
const KEPT: u64 = 100;

fn limits(keeps: bool) -> Limits {
    let retention = if keeps { [0; 4] } else { [KEPT; 4] };
    Limits { commands_burst: 10_000, retention, retention_round: 10, ..Limits::default() }
}

fn play(kind: Kind, steps: Vec<Step>, keeps: bool) {
    let mut net = Net::new(2, limits(keeps));
    let mut at = sessions(&mut net);
    let chat = net.make(at[0], kind, &["bob"]).id;
    let mut members: BTreeSet<usize> = [0, 1].into();
    let mut said: Vec<Said> = Vec::new();
    let mut veils = [Veil::default(); USERS.len()];
    for step in steps {
        match step {
            Step::Send(user) => {
                let reply = net.chat(at[user], draft(chat, "x", None));
                assert_eq!(reply.is_ok(), members.contains(&user));
                let Ok(ChatReply::Message { message, .. }) = reply else { continue };
                if kind.sending_reads() {
                    said.iter_mut().for_each(|said| {
                        said.read.insert(user);
                    });
                }
                let read = [user].into();
                said.push(Said { id: message.id, by: user, deleted: false, gone: false, read });
                veils.iter_mut().for_each(|veil| veil.hidden = false);
            }
            Step::Remove(n) if !said.is_empty() => {
                let n = n % said.len();
                let reply = net.chat(at[said[n].by], ChatCommand::Remove { message: said[n].id });
                assert_eq!(reply.is_ok(), members.contains(&said[n].by) && !said[n].gone);
                said[n].deleted |= reply.is_ok();
            }
            Step::Read(user, n) if !said.is_empty() && members.contains(&user) => {
                let n = n % said.len();
                let reply = net.chat(at[user], ChatCommand::Read { message: said[n].id });
                assert_eq!(reply.is_ok(), !said[n].gone);
                // What is hidden was read when it was hidden.
                said[n].read.insert(user);
            }
            Step::ReadAll(user) if members.contains(&user) => {
                net.chat(at[user], ChatCommand::ReadAll { conversation: chat, up_to: None }).unwrap();
                said.iter_mut().for_each(|said| {
                    said.read.insert(user);
                });
            }
            Step::ReadTo(user, n) if !said.is_empty() && members.contains(&user) => {
                let up_to = said[n % said.len()].id.at;
                net.chat(at[user], ChatCommand::ReadAll { conversation: chat, up_to: Some(up_to) }).unwrap();
                said.iter_mut().filter(|said| said.id.at <= up_to).for_each(|said| {
                    said.read.insert(user);
                });
            }
            Step::Join(user) if kind == Kind::Group && !members.contains(&user) => {
                let by = *members.iter().next().unwrap();
                let add =
                    ChatCommand::AddMember { conversation: chat, user: id(USERS[user]), role: Role::Member };
                net.chat(at[by], add).unwrap();
                members.insert(user);
                said.iter_mut().for_each(|said| {
                    said.read.insert(user);
                });
            }
            Step::Leave(user) if kind == Kind::Group && members.len() > 1 && members.contains(&user) => {
                let member = Whose::User(id(USERS[user]));
                net.chat(at[user], ChatCommand::RemoveMember { conversation: chat, member }).unwrap();
                members.remove(&user);
                veils[user] = Veil::default();
            }
            Step::Hide(user, hidden) if members.contains(&user) => {
                let change = MemberChange { hidden: Some(hidden), ..MemberChange::default() };
                net.chat(at[user], ChatCommand::SetMember { conversation: chat, change }).unwrap();
                veils[user].hidden = hidden;
                if hidden {
                    veils[user].messages = said.len();
                    said.iter_mut().for_each(|said| {
                        said.read.insert(user);
                    });
                }
            }
            Step::Again(user) if kind == Kind::Trade && members.contains(&user) => {
                let both = [0, 1].map(|n| NewMember { user: id(USERS[n]), role: Role::Member });
                let new = NewConversation {
                    id: Some(chat),
                    kind,
                    name: None,
                    members: both.into(),
                    extra: [].into(),
                };
                let made = net.chat(at[user], ChatCommand::Create(Box::new(new)));
                assert!(matches!(made, Ok(ChatReply::Made { new: false, .. })), "{made:?}");
                veils.iter_mut().for_each(|veil| veil.hidden = false);
            }
            Step::Forget => {
                let shelf = std::mem::take(&mut net.shelf);
                let now = net.now;
                net = Net::new(2, limits(keeps));
                (net.shelf, net.now) = (shelf, now);
                at = sessions(&mut net);
            }
            Step::Age(ms) => net.pass(ms),
            _ => {}
        }
        net.pass(7);
        if !keeps {
            // Whatever the round has not come to yet, it comes to now.
            net.pass(25);
            let kept = net.shelf.places.values().next().unwrap();
            let oldest = kept.messages.keys().next().copied().unwrap_or(u64::MAX);
            said.iter_mut().for_each(|said| said.gone |= said.id.at < oldest);
            let old = net.now.wall.saturating_sub(KEPT + 50);
            assert!(said.iter().all(|said| said.gone || said.id.at >= old), "what is too old goes");
            let young = net.now.wall.saturating_sub(KEPT);
            assert!(said.iter().all(|said| !said.gone || said.id.at <= young), "what is not, stays");
        }
        check(&mut net, &at, chat, &members, &said);
        check_veils(&mut net, &at, chat, &members, &said, &veils);
    }
}

fn check(net: &mut Net, at: &[SessionAddr], chat: ConversationId, members: &BTreeSet<usize>, said: &[Said]) {
    let expected: BTreeMap<usize, u64> = members
        .iter()
        .map(|&user| {
            let unread = said.iter().filter(|said| !said.deleted && !said.gone && !said.read.contains(&user));
            (user, unread.count() as u64)
        })
        .collect();
    let found: BTreeMap<usize, u64> =
        members.iter().map(|&user| (user, net.unread(at[user], chat))).collect();
    assert_eq!(found, expected);
}

/// Who hides the conversation, and what each sees of it.
fn check_veils(
    net: &mut Net,
    at: &[SessionAddr],
    chat: ConversationId,
    members: &BTreeSet<usize>,
    said: &[Said],
    veils: &[Veil],
) {
    for &user in members {
        let Ok(ChatReply::Conversation(shown)) = net.chat(at[user], ChatCommand::Find { conversation: chat })
        else {
            panic!("{} is in it", USERS[user]);
        };
        for member in &shown.members {
            let who = USERS.iter().position(|name| id(name) == member.user).unwrap();
            assert_eq!(member.hidden_at.is_some(), veils[who].hidden, "{}", USERS[who]);
        }
        let all = ChatCommand::History {
            conversation: chat,
            before: None,
            after: None,
            forward: false,
            limit: 100,
        };
        let Ok(ChatReply::History(history)) = net.chat(at[user], all) else { panic!("no history") };
        let found: Vec<MessageId> = history.messages.iter().map(|message| message.id).collect();
        let seen = said[veils[user].messages..].iter().rev().filter(|said| !said.gone).map(|said| said.id);
        assert_eq!(found, seen.take(100).collect::<Vec<_>>(), "{}", USERS[user]);
    }
}

/// One page of a list, and whether there is more.
fn page(
    net: &mut Net,
    at: SessionAddr,
    kinds: u8,
    limit: u32,
    last: Option<&Summary>,
) -> (Vec<Summary>, bool) {
    let after = last.map(ListCursor::of);
    match net.chat(at, ChatCommand::List { kinds, limit, after }) {
        Ok(ChatReply::Summaries { rows, more }) => (rows, more),
        other => panic!("{other:?}"),
    }
}

/// All pages; between two of them somebody writes.
fn walk(net: &mut Net, at: SessionAddr, kinds: u8, limit: u32, writes: &[ConversationId]) -> Vec<Summary> {
    let mut writes = writes.iter();
    let mut all: Vec<Summary> = Vec::new();
    loop {
        let (rows, more) = page(net, at, kinds, limit, all.last());
        assert!(rows.len() <= limit as usize && (!more || rows.len() == limit as usize));
        all.extend(rows);
        if !more {
            return all;
        }
        if let Some(&chat) = writes.next() {
            net.pass(1);
            net.send(at, chat, "between");
        }
    }
}

/// Conversations of one user, written to in some order (so many milliseconds apart: none is the same millisecond).
fn lists(kinds: u8, limit: u32, writes: &[(usize, u64)], between: &[usize]) {
    let mut net = Net::new(3, Limits { commands_burst: 10_000, ..Limits::default() });
    let ann = net.following("ann");
    let mut chats: Vec<ConversationId> = Vec::new();
    for n in 0..7 {
        let (kind, other) = ([Kind::Direct, Kind::Group, Kind::Trade][n % 3], format!("user{n}"));
        chats.push(net.make(ann, kind, &[&other]).id);
        net.pass(n as u64 % 2);
    }
    for &(chat, pause) in writes {
        net.send(ann, chats[chat % chats.len()], "x");
        net.pass(pause);
    }
    let whole = walk(&mut net, ann, 0, 1_000, &[]);
    assert_eq!(whole.len(), chats.len());
    let place = |row: &Summary| (std::cmp::Reverse(row.conversation.updated_at), row.conversation.id);
    assert!(whole.is_sorted_by_key(place));
    let wanted = |row: &&Summary| kinds == 0 || kinds & 1 << row.conversation.kind as u8 != 0;
    let expected: Vec<Summary> = whole.iter().filter(wanted).cloned().collect();
    assert_eq!(walk(&mut net, ann, kinds, limit, &[]), expected, "pages are the list, cut");
    let between: Vec<ConversationId> = between.iter().map(|&chat| chats[chat % chats.len()]).collect();
    let found: Vec<ConversationId> =
        walk(&mut net, ann, kinds, limit, &between).iter().map(|row| row.conversation.id).collect();
    let once: BTreeSet<_> = found.iter().copied().collect();
    assert_eq!(once.len(), found.len(), "none is told twice");
    for row in &expected {
        let id = row.conversation.id;
        assert!(once.contains(&id) || between.contains(&id), "what stays in its place is met");
    }
    // A time alone: what was written to before it.
    let at = expected.get(expected.len() / 2).map_or(0, |row| row.conversation.updated_at);
    let after = Some(ListCursor { updated_at: at, conversation: None });
    match net.chat(ann, ChatCommand::List { kinds, limit: 1_000, after }) {
        Ok(ChatReply::Summaries { rows, more: false }) => {
            assert!(rows.iter().all(|row| row.conversation.updated_at < at));
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn pages_of_a_list_are_the_list(
        kinds in prop_oneof![Just(0u8), Just(0b110), Just(0b1000)],
        limit in 1u32..5,
        writes in prop::collection::vec((0usize..7, 0u64..3), 0..20),
        between in prop::collection::vec(0usize..7, 0..4),
    ) {
        lists(kinds, limit, &writes, &between);
    }

    #[test]
    fn unread_counts_are_exact_in_groups(steps in prop::collection::vec(step(), 1..80)) {
        play(Kind::Group, steps, true);
    }

    #[test]
    fn unread_counts_are_exact_between_two(steps in prop::collection::vec(step(), 1..80)) {
        play(Kind::Direct, steps, true);
    }

    #[test]
    fn unread_counts_are_exact_in_trades(steps in prop::collection::vec(step(), 1..80)) {
        play(Kind::Trade, steps, true);
    }

    #[test]
    fn unread_counts_are_exact_where_messages_grow_old(
        kind in prop_oneof![Just(Kind::Group), Just(Kind::Direct), Just(Kind::Trade)],
        steps in prop::collection::vec(step(), 1..80),
    ) {
        play(kind, steps, false);
    }
}
