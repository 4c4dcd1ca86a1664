//! One frame of every kind, for the tests: the golden vectors are these, and what is hostile is made of these.

use std::borrow::Cow;
use std::sync::Arc;

use super::{ClientFrame, Closing, Connect, Liveness, Refused, ServerFrame, Welcome, chat_samples};
use crate::close::{Advice, CloseReason};
use crate::command::{Command, Edge};
use crate::device::{Browser, Device, Kind, Os};
use crate::event::{Reply, TapEvent};
use crate::id::{Id, Key, Realm, SessionAddr, SessionRef, ShardId};
use crate::presence::{LastSeen, OnlineUser, SessionInfo, Status, UserPresence};
use crate::refusal::Refusal;

/// A name, what it means, and the frame.
pub(super) type Sample<T> = (&'static str, &'static str, T);

const UUID: &str = "0190a0b4-7c1e-7cc0-98f2-6a1f0e3b9d55";
const NOW: u64 = 1_790_000_000_123;
const TAG: u64 = 7;

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

fn addr() -> SessionAddr {
    let session = SessionRef { slot: 0x2f, generation: 1 };
    SessionAddr { incarnation: 0x1a2b_3c4d, shard: ShardId(3), session }
}

fn device() -> Device {
    Device { browser: Browser::Firefox, os: Os::Linux, kind: Kind::Desktop }
}

fn info(peer: &str) -> SessionInfo {
    SessionInfo {
        session: addr(),
        peer: peer.parse().unwrap(),
        device: device(),
        edge: Edge::Presence,
        since: NOW,
    }
}

fn rows() -> Vec<UserPresence> {
    let row = |user, status, last_seen| UserPresence { user: id(user), status, last_seen };
    vec![
        row("user-1", Status::Online, LastSeen::At(NOW)),
        row(UUID, Status::Away, LastSeen::At(NOW - 60_000)),
        row("zoë", Status::Offline, LastSeen::Never),
        row("user-4", Status::Unknown, LastSeen::Unknown),
    ]
}

/// What clients say.
pub(super) fn client() -> Vec<Sample<ClientFrame>> {
    let heartbeat = |tag, answer, activity| ClientFrame::Heartbeat { tag, answer, activity };
    let command = |command| ClientFrame::Command { tag: TAG, command };
    let connect = Connect {
        version: 1,
        token: "header.claims.signature".to_owned(),
        device: Device::default(),
        liveness: Liveness::Heartbeat,
        heartbeat_ms: 0,
    };
    let keep_alive = Connect {
        device: Device { browser: Browser::Unknown, os: Os::Linux, kind: Kind::Service },
        liveness: Liveness::TcpKeepAlive,
        heartbeat_ms: 60_000,
        ..connect.clone()
    };
    let users = vec![id("user-1"), id(UUID), id("zoë")];
    let payload: Arc<[u8]> = Arc::from(&b"hello"[..]);
    let send = Command::Send { to: id("user-1"), payload: payload.clone(), except_self: false };
    let publish = Command::Publish { channel: id("news"), payload, except_self: true };
    let mut all = vec![
        ("connect", "version 1, a token, everything else by default", ClientFrame::Connect(connect)),
        (
            "connect-keep-alive",
            "a Linux service that proves life by TCP keep-alive",
            ClientFrame::Connect(keep_alive),
        ),
        ("heartbeat", "a heartbeat that asks for nothing", heartbeat(0, false, false)),
        ("heartbeat-answer", "a heartbeat that asks for an acknowledgement", heartbeat(0, true, false)),
        ("heartbeat-activity", "a heartbeat that moves last seen", heartbeat(0, false, true)),
        (
            "heartbeat-both",
            "a heartbeat with activity that asks for an acknowledgement",
            heartbeat(0, true, true),
        ),
        ("heartbeat-tagged", "a heartbeat whose acknowledgement carries tag 9", heartbeat(9, true, false)),
        ("goodbye", "the client leaves; the grace begins", ClientFrame::Goodbye { logout: false }),
        ("goodbye-logout", "the user logs out; there is no grace", ClientFrame::Goodbye { logout: true }),
        ("activity", "the user did something", command(Command::Activity)),
        ("watch", "tell me of three users", command(Command::Watch { users: users.clone() })),
        ("unwatch", "no longer of the first", command(Command::Unwatch { users: users[..1].to_vec() })),
        ("query", "how are these three?", command(Command::Query { users })),
        ("query-nobody", "a query without ids", command(Command::Query { users: Vec::new() })),
        ("count", "how many are online?", command(Command::Count)),
        ("list", "the ten that were active last", command(Command::List { limit: 10 })),
        ("sessions", "the sessions of user-1", command(Command::Sessions { user: id("user-1") })),
        ("send", "\"hello\" to all sessions of user-1", command(send)),
        ("subscribe", "to channel news", command(Command::Subscribe { channel: id("news") })),
        ("unsubscribe", "from channel news", command(Command::Unsubscribe { channel: id("news") })),
        ("publish", "\"hello\" to all on channel news but this session", command(publish)),
        (
            "occupancy",
            "how many are subscribed to news?",
            command(Command::Occupancy { channel: id("news") }),
        ),
        (
            "disconnect-user",
            "end all sessions of user-1",
            command(Command::DisconnectUser { user: id("user-1") }),
        ),
        (
            "disconnect-session",
            "end session 1a2b3c4d-3-2f-1",
            command(Command::DisconnectSession { session: addr() }),
        ),
        ("tap", "tell me of every session", command(Command::Tap { on: true })),
    ];
    all.extend(chat_samples::client());
    all
}

/// What servers say.
pub(super) fn server() -> Vec<Sample<ServerFrame>> {
    let reply = |reply| ServerFrame::Reply { tag: TAG, reply };
    let payload: Arc<[u8]> = Arc::from(&b"hello"[..]);
    let welcome = Welcome {
        version: 1,
        session: addr(),
        user: id("user-1"),
        realm: Realm(0),
        service: false,
        liveness: Liveness::Heartbeat,
        heartbeat_ms: 30_000,
        silence_ms: 90_000,
        max_frame: 65_536,
        server_ms: NOW,
    };
    let keep_alive = Welcome {
        user: id("backend"),
        realm: Realm(2),
        service: true,
        liveness: Liveness::TcpKeepAlive,
        heartbeat_ms: 0,
        silence_ms: 0,
        ..welcome.clone()
    };
    let online = |user, status, device| OnlineUser { user: id(user), status, last_seen: NOW, device };
    let users =
        vec![online("user-1", Status::Online, device()), online(UUID, Status::Away, Device::default())];
    let sessions = vec![info("203.0.113.7:50000"), info("[2001:db8::7]:50001")];
    let tap = |closed| {
        let user = Key::new(Realm(0), id("user-1"));
        ServerFrame::Tap(TapEvent { seq: 5, user, session: info("203.0.113.7:50000"), at: NOW, closed })
    };
    let version = Closing {
        advice: Advice::Stay,
        text: Cow::Borrowed("version 9 of the protocol is not spoken here, only 1 to 1"),
        versions: Some(1..=1),
        ..Closing::new(CloseReason::ProtocolError)
    };
    let draining = Closing::new(CloseReason::Draining).with_retry_after_ms(1_500);
    let refused = |refusal: Refusal| ServerFrame::Refused(Refused::new(TAG, refusal, refusal.text()));
    let mut all = vec![
        ("welcome", "a user's session with heartbeats", ServerFrame::Welcome(welcome)),
        (
            "welcome-keep-alive",
            "a service's session in realm 2, without heartbeats",
            ServerFrame::Welcome(keep_alive),
        ),
        ("heartbeat-ack", "with tag 9", ServerFrame::HeartbeatAck { tag: 9, server_ms: NOW }),
        ("done", "it is done", reply(Reply::Done)),
        ("presence-is", "online, away, offline and never seen, not known", reply(Reply::Presence(rows()))),
        ("count-is", "1,000,000 users online", reply(Reply::Count(1_000_000))),
        ("users-are", "two users online", reply(Reply::Users(users))),
        ("sessions-are", "one session over IPv4, one over IPv6", reply(Reply::Sessions(sessions))),
        ("reached", "three sessions took it", reply(Reply::Reached(3))),
        ("occupancy-is", "42 subscribers", reply(Reply::Occupancy(42))),
        ("refused", "never: this identity may not", refused(Refusal::Forbidden)),
        ("refused-busy", "not now: try again in 100 ms", refused(Refusal::Busy)),
        ("presence", "watched users changed", ServerFrame::Presence(rows())),
        (
            "message",
            "\"hello\" from user-2",
            ServerFrame::Message { from: id("user-2"), payload: payload.clone() },
        ),
        (
            "published",
            "\"hello\" on channel news from user-2",
            ServerFrame::Published { channel: id("news"), from: id("user-2"), payload },
        ),
        ("tapped-opened", "a session opened", tap(None)),
        ("tapped-closed", "the same session closed: nothing was heard of it", tap(Some(CloseReason::Silent))),
        ("closing", "the token has expired", ServerFrame::Closing(Closing::new(CloseReason::TokenExpired))),
        ("closing-draining", "the server stops; come back after 1.5 s", ServerFrame::Closing(draining)),
        ("closing-version", "the server speaks only versions 1 to 1", ServerFrame::Closing(version)),
    ];
    all.extend(chat_samples::server());
    all
}
