//! A process that dies between any two statements, and the one that comes after it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use schema::chat::{Conversation, ConversationId, Kind, Member, Message, MessageId, Role};
use schema::{Id, Key, Realm};

use super::{Scylla, Tables};
use crate::machine::store::{ChatAsk, ChatStored, Loaded, MemberRow, Part, Place, Write};
use crate::store::chat::{FailureKind, Opened};

/// More statements than any of these writes has.
const MOST: u64 = 40;

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn place(number: u128) -> Place {
    (Realm(0), ConversationId::from_number(number))
}

fn made(place: Place) -> Part {
    Part::Conversation(Arc::new(Conversation {
        id: place.1,
        kind: Kind::Group,
        name: Some("group".into()),
        creator: id("ann"),
        extra: Arc::from([]),
        created_at: 10,
        updated_at: 11,
        members_count: 0,
        members: Vec::new(),
    }))
}

fn member(row: u32, user: &str) -> Part {
    let member = Member {
        row,
        user: id(user),
        role: Role::Member,
        joined_at: 10,
        read_at: None,
        read_to: 0,
        hidden_to: 0,
        hidden_at: None,
        pinned_at: None,
        blocked: false,
    };
    Part::Member(MemberRow { member, floor: 0, sent_at_floor: 0, singles: Vec::new() })
}

fn said(place: Place, sequence: u64, content: &str) -> Part {
    let at = sequence * 100;
    Part::Message(Arc::new(Message {
        id: MessageId { conversation: place.1, at },
        sequence,
        sent: sequence,
        sender: id("ann"),
        to: None,
        row: 1,
        client_id: Some("c".into()),
        kind: 0,
        content: content.into(),
        attachment: None,
        updated_at: at,
        edited: false,
        deleted: false,
        reads: Vec::new(),
    }))
}

fn write(chats: &mut Opened, place: Place, parts: Vec<Part>) -> Result<(), FailureKind> {
    chats.writes.stage(&Write { place, parts }).map_err(|failure| failure.kind)?;
    chats.writes.commit().map_err(|failure| failure.kind)
}

/// All that can be seen of a conversation; loaded first, as a home does.
#[derive(Clone, PartialEq, Debug)]
struct Seen {
    loaded: Option<Loaded>,
    page: ChatStoredPage,
    sent: Option<u64>,
    ann: Vec<ConversationId>,
    bob: Vec<ConversationId>,
}

type ChatStoredPage = (Vec<Message>, bool);

fn see(chats: &Opened, place: Place) -> Seen {
    let answer = |ask| chats.reads.answer(&ask).unwrap();
    let ChatStored::Loaded(mut loaded) = answer(ChatAsk::Load { places: vec![place] }) else { panic!() };
    let page = ChatAsk::Page { place, before: u64::MAX, after: 0, forward: false, limit: 50, receipts: true };
    let ChatStored::Page { messages, more } = answer(page) else { panic!() };
    let ChatStored::Sent(sent) =
        answer(ChatAsk::Sent { place, rows: [1].into(), client_id: "c".into(), since: 0 })
    else {
        panic!()
    };
    let of = |user: &str| {
        let user = Key::new(Realm(0), id(user));
        match answer(ChatAsk::Memberships { user, after: None, limit: 10 }) {
            ChatStored::Memberships { conversations, .. } => conversations,
            other => panic!("{other:?}"),
        }
    };
    let loaded = loaded.remove(0).map(|loaded| *loaded);
    Seen { loaded, page: (messages, more), sent, ann: of("ann"), bob: of("bob") }
}

/// Does a write in a process that dies before its `n`th statement, for every n, each time in tables of its own:
/// whoever comes then sees what was before, or all of it, and it stays so.
fn dies_everywhere(before: impl Fn(Place) -> Vec<Part>, parts: impl Fn(Place) -> Vec<Part>) {
    let of = place(1);
    let expect = |parts: Option<Vec<Part>>| {
        let mut chats = Tables::new().open().chats();
        for parts in [Some(before(of)), parts].into_iter().flatten().filter(|parts| !parts.is_empty()) {
            write(&mut chats, of, parts).unwrap();
        }
        see(&chats, of)
    };
    let (nothing, all) = (expect(None), expect(Some(parts(of))));
    let (mut old, mut new, mut whole) = (0, 0, false);
    for statement in 1..=MOST {
        let tables = Tables::new();
        let scylla = tables.open();
        let mut chats = scylla.chats();
        if !before(of).is_empty() {
            write(&mut chats, of, before(of)).unwrap();
        }
        scylla.link.fuse.store(statement, Ordering::Release);
        let result = write(&mut chats, of, parts(of));
        assert!(result.is_ok() || result == Err(FailureKind::InDoubt), "{result:?}");
        drop((chats, scylla));

        let mut chats = tables.open().chats();
        let seen = see(&chats, of);
        let is_new = seen == all;
        assert!(is_new || seen == nothing, "dead before statement {statement}: {seen:?}");
        assert!(is_new || result.is_err(), "what was acknowledged is there");
        if is_new {
            new += 1
        } else {
            old += 1
        }
        // It is written to again, and that is all that changes; and so the third finds it.
        if seen.loaded.is_some() {
            write(&mut chats, of, vec![said(of, 9, "later")]).unwrap();
        }
        let after = see(&chats, of);
        drop(chats);
        assert_eq!(see(&tables.open().chats(), of), after);
        if result.is_ok() {
            whole = true;
            break;
        }
    }
    assert!(whole && old > 0 && new > 1, "{old} times nothing, {new} times all");
}

#[test]
fn a_conversation_that_is_made() {
    dies_everywhere(
        |_| Vec::new(),
        |of| vec![made(of), member(1, "ann"), member(2, "bob"), said(of, 1, "first")],
    );
}

#[test]
fn a_message_and_all_that_comes_with_it() {
    dies_everywhere(
        |of| vec![made(of), member(1, "ann")],
        |of| {
            vec![
                said(of, 1, "hello"),
                Part::Sent { row: 1, client_id: "c".into(), message: 100 },
                member(2, "bob"),
                Part::Receipt { message: 100, row: 2, at: 7 },
                Part::Deleted { sequence: 3, row: 1 },
            ]
        },
    );
}

#[test]
fn a_conversation_that_ends_and_begins_again() {
    dies_everywhere(
        |of| vec![made(of), member(1, "ann"), said(of, 1, "old")],
        |of| vec![Part::Gone, made(of), member(1, "bob"), said(of, 1, "new")],
    );
}

/// Statements of an owner that is no more change nothing that its successor wrote.
#[test]
fn an_owner_that_was_overtaken_writes_nothing() {
    let tables = Tables::new();
    let of = place(1);
    let first = tables.open();
    let mut late = first.chats();
    write(&mut late, of, vec![made(of), member(1, "ann")]).unwrap();
    let second = tables.open();
    let mut chats = second.chats();
    assert!(see(&chats, of).loaded.is_some());
    write(&mut chats, of, vec![said(of, 1, "of the second")]).unwrap();
    let seen = see(&chats, of);
    // Before it notices: its times are too early.
    _ = write(&mut late, of, vec![said(of, 1, "of the first")]);
    assert_eq!(see(&chats, of), seen);
    // And it does notice.
    let noticed = first.block_on(async {
        let until = tokio::time::Duration::from_secs(60);
        tokio::time::timeout(until, async {
            while !first.link.has_ended() {
                tokio::time::sleep(tokio::time::Duration::from_millis(20)).await;
            }
        })
        .await
    });
    assert!(noticed.is_ok());
    assert!(write(&mut late, of, vec![said(of, 2, "never")]).is_err());
    assert_eq!(see(&chats, of), seen);
}

/// A thousand equal questions are one.
#[test]
fn equal_questions_are_asked_once() {
    let scylla: Scylla = Tables::new().open();
    let mut presence = scylla.presence(crate::store::suite::router(1));
    let user = crate::store::suite::user("ann");
    presence.put_seen(&[crate::store::suite::row(&user, 7, true)]).unwrap();
    let asked = || scylla.link.ready().unwrap().asked.load(Ordering::Relaxed);
    let before = asked();
    let answers = presence.get_seen(&vec![user; 1_000]).unwrap();
    assert_eq!(answers, vec![schema::LastSeen::At(7); 1_000]);
    assert_eq!(asked() - before, 1);
}
