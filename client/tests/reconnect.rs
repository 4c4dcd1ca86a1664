//! The blocking client against a server that follows a script, over real loopback sockets.

#![allow(clippy::unwrap_used, reason = "the helpers of a test may fail it")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use client::blocking::{Client, Event, Options};
use client::{Backoff, Error};
use schema::frame::{
    ClientFrame, Closing, Connect, Encoder, FRAME_MAX, Liveness, PREFIX, Refused, ServerFrame, Welcome,
    decode_client,
};
use schema::{CloseReason, Command, Id, LastSeen, Realm, Refusal, Reply, SessionAddr, Status, UserPresence};

const SOON: Duration = Duration::from_secs(5);

/// One connection as the server sees it.
struct Peer {
    stream: TcpStream,
    encoder: Encoder,
}

impl Peer {
    /// Takes a connection and its Connect.
    fn accept(listener: &TcpListener) -> (Self, Connect) {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut peer = Self { stream, encoder: Encoder::new() };
        match peer.hear() {
            ClientFrame::Connect(connect) => (peer, connect),
            other => panic!("{other:?} before a Connect"),
        }
    }

    /// Takes a connection and welcomes it.
    fn welcome(listener: &TcpListener) -> Self {
        let (mut peer, _) = Self::accept(listener);
        peer.say(&ServerFrame::Welcome(Welcome {
            version: 1,
            session: SessionAddr::default(),
            user: id("backend"),
            realm: Realm(0),
            service: true,
            liveness: Liveness::Heartbeat,
            heartbeat_ms: 50,
            silence_ms: 200,
            max_frame: FRAME_MAX as u32,
            server_ms: 1,
        }));
        peer
    }

    /// The next frame, acknowledging heartbeats on the way.
    fn hear(&mut self) -> ClientFrame {
        loop {
            let mut prefix = [0; PREFIX];
            self.stream.read_exact(&mut prefix).unwrap();
            let mut frame = vec![0; u32::from_le_bytes(prefix) as usize];
            self.stream.read_exact(&mut frame).unwrap();
            match decode_client(&frame).unwrap() {
                ClientFrame::Heartbeat { tag, answer: true, .. } => {
                    self.say(&ServerFrame::HeartbeatAck { tag, server_ms: 1 });
                }
                frame => return frame,
            }
        }
    }

    fn command(&mut self) -> (u64, Command) {
        match self.hear() {
            ClientFrame::Command { tag, command } => (tag, command),
            other => panic!("{other:?} is no command"),
        }
    }

    fn say(&mut self, frame: &ServerFrame) {
        let mut bytes = Vec::new();
        self.encoder.server(frame, &mut bytes);
        self.stream.write_all(&bytes).unwrap();
    }

    fn reply(&mut self, tag: u64, reply: Reply) {
        self.say(&ServerFrame::Reply { tag, reply });
    }

    fn close(mut self, reason: CloseReason) {
        self.say(&ServerFrame::Closing(Closing::new(reason)));
    }
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn is(user: &str, status: Status) -> UserPresence {
    UserPresence { user: id(user), status, last_seen: LastSeen::At(1) }
}

/// Runs a script, and gives the options to reach it.
fn server(script: impl FnOnce(TcpListener) + Send + 'static) -> (Options, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = Options::new(listener.local_addr().unwrap().to_string(), "first");
    options.backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(50));
    options.call_time = SOON;
    (options, std::thread::spawn(move || script(listener)))
}

fn next(client: &mut Client) -> Event {
    client.next_event(SOON).unwrap().expect("the script has an event now")
}

#[test]
fn what_was_asked_for_is_asked_for_again() {
    let (options, server) = server(|listener| {
        let mut peer = Peer::welcome(&listener);
        let (tag, watch) = peer.command();
        assert_eq!(watch, Command::Watch { users: vec![id("a"), id("b")] });
        peer.reply(tag, Reply::Done);
        peer.say(&ServerFrame::Presence(vec![is("a", Status::Online), is("b", Status::Offline)]));
        let (tag, subscribe) = peer.command();
        peer.reply(tag, Reply::Done);
        peer.say(&ServerFrame::Presence(vec![is("b", Status::Online)]));
        drop(peer);

        let mut peer = Peer::welcome(&listener);
        let (tag, again) = peer.command();
        assert_eq!(again, watch);
        // Busy is no final word: it is asked once more.
        peer.say(&ServerFrame::Refused(Refused::new(tag, Refusal::Busy, "busy")));
        let (tag, again) = peer.command();
        assert_eq!(again, subscribe);
        peer.say(&ServerFrame::Refused(Refused::new(tag, Refusal::Forbidden, "no more")));
        let (tag, again) = peer.command();
        assert_eq!(again, watch);
        peer.reply(tag, Reply::Done);
        peer.say(&ServerFrame::Presence(vec![is("a", Status::Offline), is("b", Status::Online)]));
        // The call that came in between waited for that.
        let (tag, count) = peer.command();
        assert_eq!(count, Command::Count);
        peer.reply(tag, Reply::Count(7));
        assert_eq!(peer.hear(), ClientFrame::Goodbye { logout: false });
    });
    let mut client = Client::connect(options).unwrap();
    client.watch(&[id("a"), id("b")]).unwrap();
    client.subscribe(&id("news")).unwrap();
    assert!(matches!(next(&mut client), Event::Connected(_)));
    assert_eq!(next(&mut client), Event::Presence(vec![is("a", Status::Online), is("b", Status::Offline)]));
    assert_eq!(next(&mut client), Event::Presence(vec![is("b", Status::Online)]));
    assert!(matches!(next(&mut client), Event::Disconnected { .. }));
    assert_eq!(client.count().unwrap(), 7);
    assert!(matches!(next(&mut client), Event::Connected(_)));
    let Event::NotRestored { command: Command::Subscribe { .. }, .. } = next(&mut client) else { panic!() };
    assert_eq!(next(&mut client), Event::Presence(vec![is("a", Status::Offline), is("b", Status::Online)]));
    client.goodbye(false);
    server.join().unwrap();
}

#[test]
fn advice_to_stay_is_followed() {
    let (options, server) = server(|listener| {
        Peer::welcome(&listener).close(CloseReason::Kicked);
        listener.set_nonblocking(true).unwrap();
        std::thread::park_timeout(Duration::from_millis(200));
        assert!(listener.accept().is_err(), "it came back");
    });
    let mut client = Client::connect(options).unwrap();
    assert!(matches!(next(&mut client), Event::Connected(_)));
    for _ in 0..2 {
        match client.next_event(SOON) {
            Err(Error::Stopped(end)) => assert_eq!(end.reason, Some(CloseReason::Kicked)),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(client.count(), Err(Error::Stopped(_))));
    server.join().unwrap();
}

#[test]
fn an_expired_token_is_replaced() {
    let (options, server) = server(|listener| {
        Peer::welcome(&listener).close(CloseReason::TokenExpired);
        let (mut peer, connect) = Peer::accept(&listener);
        assert_eq!(connect.token, "second");
        peer.say(&ServerFrame::Closing(Closing::new(CloseReason::Unauthenticated)));
    });
    let mut tokens = vec!["second".to_owned()];
    let mut client = Client::connect_with(options, Box::new(move || tokens.pop())).unwrap();
    assert!(matches!(next(&mut client), Event::Connected(_)));
    assert!(matches!(next(&mut client), Event::Disconnected { .. }));
    // The second token was not good either, and there is no third.
    match client.next_event(SOON) {
        Err(Error::Stopped(end)) => assert_eq!(end.reason, Some(CloseReason::Unauthenticated)),
        other => panic!("{other:?}"),
    }
    server.join().unwrap();
}

#[test]
fn a_call_that_is_cut_off_says_so() {
    let (options, server) = server(|listener| {
        let mut peer = Peer::welcome(&listener);
        peer.command();
        drop(peer);
        let mut peer = Peer::welcome(&listener);
        let (tag, _) = peer.command();
        peer.reply(tag, Reply::Count(1));
    });
    let mut client = Client::connect(options).unwrap();
    match client.count() {
        Err(Error::Disconnected(end)) => assert_eq!(end.reason, Some(CloseReason::Lost)),
        other => panic!("{other:?}"),
    }
    assert_eq!(client.count().unwrap(), 1);
    server.join().unwrap();
}

#[test]
fn a_server_that_falls_silent_is_left() {
    let (options, server) = server(|listener| {
        let silent = Peer::welcome(&listener);
        let mut peer = Peer::welcome(&listener);
        drop(silent);
        // Heartbeats keep this one.
        let (tag, _) = peer.command();
        peer.reply(tag, Reply::Done);
    });
    let mut client = Client::connect(options).unwrap();
    assert!(matches!(next(&mut client), Event::Connected(_)));
    match next(&mut client) {
        Event::Disconnected { end, .. } => assert_eq!(end.reason, Some(CloseReason::Silent)),
        other => panic!("{other:?}"),
    }
    assert!(matches!(next(&mut client), Event::Connected(_)));
    assert_eq!(client.next_event(Duration::from_millis(500)).unwrap(), None);
    assert!(client.is_connected());
    client.tap(true).unwrap();
    server.join().unwrap();
}

#[test]
fn the_first_failure_is_told_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    assert!(matches!(Client::connect(Options::new(address, "t")), Err(Error::Io(_))));
    let (options, server) = server(|listener| {
        let (peer, _) = Peer::accept(&listener);
        peer.close(CloseReason::Unauthenticated);
    });
    match Client::connect(options) {
        Err(Error::Stopped(end)) => assert_eq!(end.reason, Some(CloseReason::Unauthenticated)),
        other => panic!("{other:?}"),
    }
    server.join().unwrap();
}

#[test]
fn what_comes_with_the_welcome_is_not_held_back() {
    let (options, server) = server(|listener| {
        let mut peer = Peer::welcome(&listener);
        peer.say(&ServerFrame::Message { from: id("a"), payload: b"hello"[..].into() });
        assert_eq!(peer.hear(), ClientFrame::Goodbye { logout: true });
    });
    let mut client = Client::connect(options).unwrap();
    assert!(matches!(next(&mut client), Event::Connected(_)));
    assert_eq!(next(&mut client), Event::Message { from: id("a"), payload: b"hello"[..].into() });
    client.goodbye(true);
    server.join().unwrap();
}

#[test]
fn a_long_list_is_cut_into_frames() {
    let (options, server) = server(|listener| {
        let mut peer = Peer::welcome(&listener);
        let mut asked = 0;
        while asked < 3_000 {
            let (tag, Command::Query { users }) = peer.command() else { panic!("no query") };
            asked += users.len();
            let rows = users.into_iter().map(|user| UserPresence {
                user,
                status: Status::Online,
                last_seen: LastSeen::Never,
            });
            peer.reply(tag, Reply::Presence(rows.collect()));
        }
    });
    let users: Vec<_> = (0..3_000).map(|n| id(&format!("0190a0b4-7c1e-7cc0-98f2-{n:012x}"))).collect();
    let rows = Client::connect(options).unwrap().query(&users).unwrap();
    assert!(rows.iter().map(|row| &row.user).eq(&users));
    server.join().unwrap();
}
