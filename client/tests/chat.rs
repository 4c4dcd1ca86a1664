//! The calls about conversations against a server that follows a script, over real loopback sockets.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use client::blocking::{Client, Event, Options};
use client::{Backoff, Error};
use schema::chat::{
    ChatCommand, ChatEvent, ChatReply, Conversation, ConversationId, Draft, History, Kind, ListCursor,
    Member, MemberChange, Message, MessageId, NewConversation, Role, Summary, Whose,
};
use schema::command::Payload;
use schema::frame::{
    ClientFrame, Encoder, FRAME_MAX, Liveness, PREFIX, Refused, ServerFrame, Welcome, decode_client,
};
use schema::{Command, Id, Realm, Refusal, Reply, SessionAddr};

const SOON: Duration = Duration::from_secs(5);

/// One connection as the server sees it.
struct Peer {
    stream: TcpStream,
    encoder: Encoder,
}

impl Peer {
    /// Takes a connection and welcomes it.
    fn welcome(listener: &TcpListener) -> Self {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut peer = Self { stream, encoder: Encoder::new() };
        assert!(matches!(peer.hear(), ClientFrame::Connect(_)));
        peer.say(&ServerFrame::Welcome(Welcome {
            version: 1,
            session: SessionAddr::default(),
            user: id("backend"),
            realm: Realm(0),
            service: true,
            liveness: Liveness::TcpKeepAlive,
            heartbeat_ms: 0,
            silence_ms: 0,
            max_frame: FRAME_MAX as u32,
            server_ms: 1,
        }));
        peer
    }

    fn hear(&mut self) -> ClientFrame {
        let mut prefix = [0; PREFIX];
        self.stream.read_exact(&mut prefix).unwrap();
        let mut frame = vec![0; u32::from_le_bytes(prefix) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        decode_client(&frame).unwrap()
    }

    /// The next command: its tag, for whom, and what.
    fn chat(&mut self) -> (u64, Option<Id>, ChatCommand) {
        match self.hear() {
            ClientFrame::Command { tag, command: Command::Chat { acting, command } } => {
                (tag, acting, *command)
            }
            other => panic!("{other:?} is not about conversations"),
        }
    }

    fn say(&mut self, frame: &ServerFrame) {
        let mut bytes = Vec::new();
        self.encoder.server(frame, &mut bytes);
        self.stream.write_all(&bytes).unwrap();
    }

    /// Expects a command, and answers it.
    fn expect(&mut self, acting: Option<&str>, expected: &ChatCommand, reply: ChatReply) {
        let (tag, by, command) = self.chat();
        assert_eq!((by, &command), (acting.map(id), expected));
        self.say(&ServerFrame::Reply { tag, reply: Reply::Chat(Box::new(reply)) });
    }

    fn refuse(&mut self, refusal: Refusal) -> ChatCommand {
        let (tag, _, command) = self.chat();
        self.say(&ServerFrame::Refused(Refused::new(tag, refusal, "no")));
        command
    }
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

/// Runs a script, and gives a client that speaks with it.
fn start(script: impl FnOnce(TcpListener) + Send + 'static) -> (Client, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = Options::new(listener.local_addr().unwrap().to_string(), "token");
    options.backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(50));
    options.call_time = SOON;
    let server = std::thread::spawn(move || script(listener));
    let mut client = Client::connect(options).unwrap();
    assert!(matches!(next(&mut client), Event::Connected(_)));
    (client, server)
}

fn next(client: &mut Client) -> Event {
    client.next_event(SOON).unwrap().expect("the script has an event now")
}

fn here() -> ConversationId {
    ConversationId::from_number(5)
}

fn member() -> Member {
    Member {
        row: 1,
        user: id("a"),
        role: Role::Creator,
        joined_at: 1,
        read_at: None,
        read_to: 0,
        hidden_to: 0,
        hidden_at: None,
        pinned_at: None,
        blocked: false,
    }
}

fn group() -> Conversation {
    Conversation {
        id: here(),
        kind: Kind::Group,
        name: Some("Friends".into()),
        creator: id("a"),
        extra: Payload::default(),
        created_at: 1,
        updated_at: 2,
        members_count: 1,
        members: vec![member()],
    }
}

fn message(at: u64) -> Message {
    Message {
        id: MessageId { conversation: here(), at },
        sequence: at,
        sent: 0,
        sender: id("a"),
        to: None,
        row: 1,
        client_id: None,
        kind: 0,
        content: "hello".into(),
        attachment: None,
        updated_at: at,
        edited: false,
        deleted: false,
        reads: Vec::new(),
    }
}

fn new() -> NewConversation {
    NewConversation {
        id: None,
        kind: Kind::Group,
        name: Some("Friends".into()),
        members: Vec::new(),
        extra: Payload::default(),
    }
}

fn draft() -> Draft {
    Draft {
        conversation: here(),
        client_id: Some("1".into()),
        kind: 0,
        content: "hello".into(),
        attachment: None,
    }
}

#[test]
fn every_call_says_its_command_and_takes_its_answer() {
    use ChatCommand as C;
    let (conversation, said) = (here(), message(9).id);
    let change = MemberChange { pinned: Some(true), ..MemberChange::default() };
    let (mut client, server) = start(move |listener| {
        let mut peer = Peer::welcome(&listener);
        let group = || Arc::new(group());
        let is_member = || ChatReply::Member { conversation, member: member() };
        let is_message = |again| ChatReply::Message { message: message(9), again };
        let row = Summary { conversation: (*group()).clone(), last: None, unread: 2 };
        for (expected, reply) in [
            (C::Create(Box::new(new())), ChatReply::Made { conversation: group(), new: true }),
            (C::Find { conversation }, ChatReply::Conversation(group())),
            (
                C::List { kinds: 0b110, limit: 5, after: None },
                ChatReply::Summaries { rows: vec![row.clone()], more: true },
            ),
            (
                C::List { kinds: 0, limit: 5, after: Some(ListCursor::of(&row)) },
                ChatReply::Summaries { rows: Vec::new(), more: false },
            ),
            (C::CountUnread { kinds: 0 }, ChatReply::Count(3)),
            (
                C::Update { conversation, name: Some("x".into()), extra: None },
                ChatReply::Conversation(group()),
            ),
            (C::AddMember { conversation, user: id("a"), role: Role::Member }, is_member()),
            (C::SetMember { conversation, change }, is_member()),
            (C::RemoveMember { conversation, member: Whose::Row(1) }, ChatReply::Done),
            (C::Send(Box::new(draft())), is_message(true)),
            (C::Edit { message: said, content: "x".into() }, is_message(false)),
            (C::Remove { message: said }, is_message(false)),
            (C::Message { message: said }, is_message(false)),
            (C::Read { message: said }, ChatReply::Done),
            (C::ReadAll { conversation, up_to: Some(4) }, ChatReply::Done),
            (C::Unread { conversation }, ChatReply::Count(4)),
            (C::Typing { conversation, on: true }, ChatReply::Done),
            (C::Delete { conversation }, ChatReply::Done),
        ] {
            peer.expect(Some("a"), &expected, reply);
        }
        // An answer to something else than was asked.
        peer.expect(None, &C::Find { conversation }, ChatReply::Done);
    });
    let user = id("a");
    let mut chat = client.chat_as(&user);
    assert_eq!(chat.create(new()).unwrap(), (Arc::new(group()), true));
    assert_eq!(*chat.find(conversation).unwrap(), group());
    let (rows, more) = chat.list(&[Kind::Direct, Kind::Group], 5).unwrap();
    let next = chat.list_after(&[], 5, rows.last().map(ListCursor::of)).unwrap();
    assert_eq!(next, (Vec::new(), false));
    assert_eq!((rows[0].unread, more), (2, true));
    assert_eq!(chat.count_unread(&[]).unwrap(), 3);
    chat.update(conversation, Some("x"), None).unwrap();
    assert_eq!(chat.add_member(conversation, &id("a"), Role::Member).unwrap(), member());
    assert_eq!(chat.set_member(conversation, change).unwrap(), member());
    chat.remove_member(conversation, Whose::Row(1)).unwrap();
    assert_eq!(chat.send(draft()).unwrap(), (message(9), true));
    assert_eq!(chat.edit(said, "x").unwrap(), message(9));
    assert_eq!(chat.remove(said).unwrap(), message(9));
    assert_eq!(chat.message(said).unwrap(), message(9));
    chat.read(said).unwrap();
    chat.read_all(conversation, Some(4)).unwrap();
    assert_eq!(chat.unread(conversation).unwrap(), 4);
    chat.typing(conversation, true).unwrap();
    chat.delete(conversation).unwrap();
    assert!(matches!(client.chat().find(conversation), Err(Error::Unexpected("find"))));
    server.join().unwrap();
}

#[test]
fn what_was_followed_and_joined_is_so_again() {
    let conversation = here();
    let follow = || ChatCommand::Follow { on: true };
    let (mut client, server) = start(move |listener| {
        let mut peer = Peer::welcome(&listener);
        peer.expect(None, &follow(), ChatReply::Done);
        peer.expect(None, &ChatCommand::Join { conversation }, ChatReply::Done);
        peer.say(&ServerFrame::Chat(Box::new(ChatEvent::Said(message(9)))));
        drop(peer);

        let mut peer = Peer::welcome(&listener);
        peer.expect(None, &follow(), ChatReply::Done);
        assert_eq!(peer.refuse(Refusal::NotFound), ChatCommand::Join { conversation });
        // What was said meanwhile.
        let missed = |after| ChatCommand::History {
            conversation,
            before: None,
            after: Some(after),
            forward: true,
            limit: 2,
        };
        let page = History { messages: vec![message(11), message(10)], more: true };
        peer.expect(None, &missed(9), ChatReply::History(page));
        let page = History { messages: vec![message(12)], more: false };
        peer.expect(None, &missed(11), ChatReply::History(page));
    });
    client.chat().follow(true).unwrap();
    client.chat().join(conversation).unwrap();
    assert_eq!(next(&mut client), Event::Chat(ChatEvent::Said(message(9))));
    assert!(matches!(next(&mut client), Event::Disconnected { .. }));
    assert!(matches!(next(&mut client), Event::Connected(_)));
    let (mut seen, mut missed) = (9, Vec::new());
    loop {
        let page = client.chat().history(conversation, None, Some(seen), true, 2).unwrap();
        seen = page.messages[0].id.at;
        missed.extend(page.messages.into_iter().rev());
        if !page.more {
            break;
        }
    }
    assert_eq!(missed, [10, 11, 12].map(message));
    let Event::NotRestored { command: Command::Chat { .. }, refused } = next(&mut client) else { panic!() };
    assert_eq!(refused.refusal(), Some(Refusal::NotFound));
    server.join().unwrap();
}

#[test]
fn a_page_that_is_too_long_is_asked_for_again_and_shorter() {
    let conversation = here();
    let ask =
        move |limit| ChatCommand::History { conversation, before: None, after: None, forward: false, limit };
    let (mut client, server) = start(move |listener| {
        let mut peer = Peer::welcome(&listener);
        assert_eq!(peer.refuse(Refusal::TooMany), ask(5));
        assert_eq!(peer.refuse(Refusal::TooMany), ask(2));
        let page = History { messages: vec![message(9)], more: true };
        peer.expect(None, &ask(1), ChatReply::History(page));
        // With one message there is nothing to halve.
        assert_eq!(peer.refuse(Refusal::TooMany), ask(1));
        assert_eq!(peer.refuse(Refusal::Forbidden), ask(5));
    });
    let mut history = |limit| client.chat().history(conversation, None, None, false, limit);
    assert_eq!(history(5).unwrap().messages, [message(9)]);
    for (limit, expected) in [(1, Refusal::TooMany), (5, Refusal::Forbidden)] {
        match history(limit) {
            Err(Error::Refused(refused)) => assert_eq!(refused.refusal(), Some(expected)),
            other => panic!("{other:?}"),
        }
    }
    server.join().unwrap();
}
