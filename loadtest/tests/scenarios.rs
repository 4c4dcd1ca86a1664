//! Every built-in scenario, small, against a real server: what is counted must be right to the last one. Never a time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use engine::io::Choice as Io;
use loadtest::clock::Clock;
use loadtest::dialect::{Choice, EchoSettings, SocketIoSettings};
use loadtest::fleet::Plan;
use loadtest::mix::{Messages, Mix};
use loadtest::outcome::Outcome;
use loadtest::persona::Tokens;
use loadtest::run::{Nobody, Order, run};
use loadtest::server::inquiry::Inquiry;
use loadtest::server::metrics::Source;
use loadtest::server::spawn::Server;
use loadtest::server::watch::{Sampler, Watcher};

#[path = "support/server.rs"]
mod support;

const PATH: &str = "/api/v1/presence/ws";
const SESSIONS: u64 = 300;

/// What the crowd of a test speaks.
#[derive(Clone, Copy)]
enum Speak {
    Binary,
    Presence,
    Echo,
    SocketIo,
    /// With an event as its heartbeat.
    Events,
    Polling,
}

use Speak::{Binary, Echo, Events, Polling, Presence, SocketIo};

/// A built-in scenario that takes seconds.
fn short(name: &str) -> Mix {
    let mix = Mix::built_in(name, SESSIONS).expect("a built-in scenario");
    Mix { warm_up: 0.5, hold: 2.0, ..mix }
}

fn plan(server: &Server, speak: Speak, mix: Mix) -> Plan {
    let (host, binary) = (server.http.to_string(), server.binary.expect("it is switched on"));
    let (target, dialect) = match speak {
        Binary => (
            binary,
            Choice::Binary { keep_alive: false, heartbeat: Duration::from_secs_f64(mix.heartbeat.every) },
        ),
        Presence => (server.http, Choice::Presence { host, path: PATH.into() }),
        Echo => {
            let settings = EchoSettings {
                host,
                path: format!("{PATH}?token={{token}}"),
                welcome: Some("connected".into()),
                request: r#"{"type":"heartbeat","activity":true}"#.into(),
                expect: "heartbeat_ack".into(),
                ..EchoSettings::default()
            };
            (server.http, Choice::Echo(settings))
        }
        SocketIo | Events | Polling => {
            let event =
                if matches!(speak, Events) { r#"["typing:stop",{"conversationId":"none"}]"# } else { "" };
            let settings = SocketIoSettings { host, event: event.into(), ..SocketIoSettings::default() };
            let polls = matches!(speak, Polling);
            (server.http, if polls { Choice::Polling(settings) } else { Choice::SocketIo(settings) })
        }
    };
    Plan {
        target,
        dialect,
        staff: Some(binary),
        tokens: Tokens::minted(server.secret.as_bytes(), Clock::unix_ms(), Duration::from_secs(3_600)),
        mix,
        rings: 1,
        cpus: Vec::new(),
        io: Io::Auto,
        clock: Clock::start(),
    }
}

fn order(server: &Server, plan: Plan) -> Order {
    let sampler = Sampler::new(server.pid(), Some(Source::open(server.admin))).unwrap();
    let clock = plan.clock;
    let now = move || Duration::from_nanos(clock.now());
    let watcher = Watcher::start(sampler, Duration::from_secs(1), now).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let inquiry = (plan.mix.questions.counts > 0.0).then(|| Inquiry {
        http: server.http,
        admin: server.admin,
        token: plan.tokens.service("harness"),
        rate: plan.mix.questions.counts,
        hold: plan.mix.hold,
        clock,
    });
    Order {
        plan,
        command: "a test".into(),
        server: Some(watcher),
        inquiry,
        rehearsal: 0,
        stop,
        measure_after: false,
    }
}

/// An outcome with its counts at hand.
struct Done(Outcome);

impl Deref for Done {
    type Target = Outcome;

    fn deref(&self) -> &Outcome {
        &self.0
    }
}

impl Done {
    #[track_caller]
    fn count(&self, name: &str) -> u64 {
        *self.counts.get(name).unwrap_or_else(|| panic!("nothing is counted as {name}"))
    }

    #[track_caller]
    fn latency(&self, name: &str) -> u64 {
        let found = self.latencies.iter().find(|latency| latency.name == name);
        found.unwrap_or_else(|| panic!("no latency {name} was measured")).count
    }

    /// Whether a check of this name was made; all that were made have held.
    fn checked(&self, name: &str) -> bool {
        self.checks.iter().any(|check| check.name == name)
    }
}

/// Runs it; whatever the scenario, nothing may be wrong.
#[track_caller]
fn carry_out(server: &Server, plan: Plan) -> Done {
    let outcome = run(order(server, plan), &mut Nobody).unwrap_or_else(|error| panic!("{error}"));
    let failed: Vec<_> = outcome.checks.iter().filter(|check| !check.passed).collect();
    assert!(
        outcome.passed() && outcome.errors.is_empty(),
        "{failed:#?}\n{:?}\n{:?}\n{:?}\n{}",
        outcome.errors,
        outcome.counts,
        outcome.notes,
        server.log().join("\n")
    );
    let done = Done(outcome);
    for name in ["lost", "repeated", "told_false", "errors"] {
        assert_eq!(done.count(name), 0, "{name}");
    }
    assert!(done.checked("every session was opened") && done.checked("both sides count alike"));
    assert!(done.checked("all sessions are still open") && done.checked("turns of the shards were seen"));
    assert!(!done.interrupted && !done.timeline.is_empty() && done.server.is_some());
    done
}

#[track_caller]
fn on_fresh(settings: &[(&str, &str)], speak: Speak, mix: Mix) -> Done {
    let server = support::fresh(settings);
    let plan = plan(&server, speak, mix);
    carry_out(&server, plan)
}

/// Heartbeats alone: all are answered, and nobody goes.
#[track_caller]
fn beats(done: &Done) {
    assert_eq!(done.count("connected"), SESSIONS);
    assert!(done.count("heartbeats") > 0 && done.checked("every heartbeat was answered"));
    assert_eq!(done.count("answers"), done.count("heartbeats"));
    assert!(done.latency("heartbeat") > 0 && done.latency("heartbeat") <= done.count("answers"));
    assert_eq!(done.count("unanswered"), 0);
    assert_eq!(done.server.as_ref().map(|server| &*server.unit), Some("heartbeat"));
}

#[test]
fn idle() {
    for speak in [Binary, Presence] {
        beats(&on_fresh(&[], speak, short("idle")));
    }
}

#[test]
fn counts_are_asked_while_a_crowd_is_held() {
    let mut mix = short("idle");
    mix.questions.counts = 20.0;
    let done = on_fresh(&[], Presence, mix);
    assert!(done.count("questions") > 0 && done.count("counted") == done.count("questions"));
    assert!(done.latency("count") > 0 && done.checked("every count was right"));
    let turns = &done.server.as_ref().expect("it was watched").turns;
    let parts: Vec<_> = turns.iter().map(|turns| &*turns.when).collect();
    assert_eq!(parts, ["all", "without counts", "beside counts"]);
    assert!(turns.iter().all(|turns| turns.count > 0));
}

#[test]
fn heartbeat() {
    for speak in [Binary, Presence, Echo, Events] {
        beats(&on_fresh(&[], speak, short("heartbeat")));
    }
}

#[test]
fn heartbeats_of_the_server() {
    for speak in [SocketIo, Polling] {
        let mix = Mix { hold: 3.0, ..short("heartbeat") };
        let done = on_fresh(&[("SOCKETIO__PING_INTERVAL", "1s")], speak, mix);
        assert_eq!((done.count("connected"), done.count("silent")), (SESSIONS, 0));
        assert!(done.count("heartbeats") >= SESSIONS && done.checked("heartbeats came to every session"));
        assert_eq!((done.count("answers"), done.count("unanswered")), (done.count("heartbeats"), 0));
        assert_eq!(done.server.as_ref().map(|server| &*server.unit), Some("heartbeat"));
    }
}

#[test]
fn a_server_whose_heartbeats_stay_away_is_found_out() {
    // It lets one session in, says that it pings ten times a second, and never does.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut socket = tungstenite::accept(stream).unwrap();
        let open = r#"0{"sid":"a","upgrades":[],"pingInterval":100,"pingTimeout":100,"maxPayload":1000}"#;
        socket.send(tungstenite::Message::text(open)).unwrap();
        assert_eq!(socket.read().unwrap().to_text().unwrap(), "40");
        socket.send(tungstenite::Message::text(r#"40{"sid":"b"}"#)).unwrap();
        while socket.read().is_ok() {}
    });
    let settings = SocketIoSettings { host: target.to_string(), ..SocketIoSettings::default() };
    let mix = Mix { connections: 1, ..short("heartbeat") };
    let clock = Clock::start();
    let plan = Plan {
        target,
        dialect: Choice::SocketIo(settings),
        staff: None,
        tokens: Tokens::None,
        mix,
        rings: 1,
        cpus: Vec::new(),
        io: Io::Auto,
        clock,
    };
    let (command, stop) = ("a test".to_owned(), Arc::default());
    let order =
        Order { plan, command, server: None, inquiry: None, rehearsal: 0, stop, measure_after: false };
    let outcome = run(order, &mut Nobody).unwrap_or_else(|error| panic!("{error}"));
    let failed: Vec<_> =
        outcome.checks.iter().filter(|check| !check.passed).map(|check| &*check.name).collect();
    assert_eq!((outcome.counts["silent"], &*failed), (1, &["heartbeats came to every session"][..]));
    server.join().unwrap();
}

#[test]
fn heartbeat_on_epoll_and_on_two_rings() {
    let server = support::fresh(&[("ENGINE__IO", "epoll")]);
    let plan = plan(&server, Binary, short("heartbeat"));
    let done = carry_out(&server, Plan { io: Io::Epoll, rings: 2, ..plan });
    assert_eq!(done.generator.rings, 2);
    beats(&done);
}

#[test]
fn heartbeat_in_a_closed_loop() {
    let mut mix = short("heartbeat");
    mix.heartbeat.in_flight = 16;
    beats(&on_fresh(&[], Binary, mix));
}

#[test]
fn heartbeat_without_an_answer() {
    for speak in [Binary, Presence] {
        let mut mix = short("heartbeat");
        mix.heartbeat.answer = false;
        let done = on_fresh(&[], speak, mix);
        assert!(done.count("heartbeats") >= SESSIONS);
        assert_eq!(done.count("answers"), 0);
        assert!(!done.checked("every heartbeat was answered"));
    }
}

#[test]
fn storm() {
    for speak in [Binary, Presence] {
        let mix = Mix { storm: loadtest::mix::Storm { times: 2 }, ..short("storm") };
        let watchers = mix.watch.watchers;
        let first = watchers * mix.list_length();
        let done = on_fresh(&[("PRESENCE__GRACE", "30s")], speak, mix);
        assert_eq!(done.count("connected"), SESSIONS + 2 * (SESSIONS - watchers));
        assert_eq!(done.latency("connect"), 2 * (SESSIONS - watchers));
        assert!(done.count("told_first") >= first && done.checked("no watcher was told of the storm"));
        assert_eq!(done.count("told"), 0);
        assert_eq!(done.server.as_ref().map(|server| &*server.unit), Some("connection"));
    }
}

/// Everybody who left came back, and every watcher was told of both.
#[track_caller]
fn came_and_went(done: &Done) {
    let changes = done.count("changes");
    assert!(changes > 0 && changes.is_multiple_of(2), "{changes} changes");
    assert_eq!(done.count("connected"), SESSIONS + changes / 2);
    assert!(done.count("told_expected") > 0 && done.checked("watchers were told of every change"));
    assert_eq!(done.count("told"), done.count("told_expected"));
}

#[test]
fn churn() {
    for speak in [Binary, Presence] {
        let done = on_fresh(&[], speak, short("churn"));
        came_and_went(&done);
        assert_eq!(done.count("answers") + done.count("unanswered"), done.count("heartbeats"));
        assert!(done.latency("told online") > 0 && done.latency("told offline") > 0);
    }
}

#[test]
fn churn_on_two_rings() {
    let server = support::fresh(&[]);
    let plan = plan(&server, Binary, short("churn"));
    came_and_went(&carry_out(&server, Plan { rings: 2, ..plan }));
}

#[test]
fn churn_of_sessions_that_nobody_watches() {
    let mut mix = short("churn");
    mix.watch = Default::default();
    let done = on_fresh(&[], SocketIo, mix);
    assert_eq!(done.count("connected"), SESSIONS + done.count("changes") / 2);
    assert!(done.count("changes") > 0);
}

#[test]
fn churn_of_a_server_that_only_echoes() {
    // A close frame is no logout: the user stays for the grace, and is back before it is over.
    let mut mix = short("churn");
    mix.watch = Default::default();
    let done = on_fresh(&[("PRESENCE__GRACE", "30s")], Echo, mix);
    assert_eq!(done.count("connected"), SESSIONS + done.count("changes") / 2);
    assert!(done.count("changes") > 0);
}

/// Each message came to each subscriber, once.
#[track_caller]
fn came_to_all(done: &Done, subscribers: u64) {
    let messages = done.count("messages");
    assert!(messages > 0 && done.checked("every message came"));
    assert_eq!(done.count("taken"), messages);
    assert_eq!(done.count("deliveries"), messages * subscribers);
    assert_eq!(done.count("settled"), subscribers);
    assert!(done.latency("last delivery") <= messages && done.latency("delivery") > 0);
}

#[test]
fn fanout() {
    let mut mix = short("fanout");
    (mix.channel.rate, mix.channel.burst) = (10.0, 3);
    came_to_all(&on_fresh(&[], Binary, mix), SESSIONS);
}

#[test]
fn fanout_on_two_rings() {
    let mut mix = short("fanout");
    mix.channel.rate = 20.0;
    let server = support::fresh(&[]);
    let plan = plan(&server, Binary, mix);
    came_to_all(&carry_out(&server, Plan { rings: 2, ..plan }), SESSIONS);
}

#[test]
fn fanout_to_watchers() {
    let mut mix = short("fanout");
    mix.channel.rate = 10.0;
    mix.watch = loadtest::mix::Watch { watchers: 20, users: 50 };
    let done = on_fresh(&[], Binary, mix);
    // The watchers subscribe, too: two answers for each of them.
    assert_eq!(done.count("settled"), SESSIONS + 20);
    assert_eq!(done.count("deliveries"), done.count("messages") * SESSIONS);
    assert_eq!(done.count("told"), 0);
}

#[test]
fn send() {
    for speak in [Binary, Presence] {
        let done = on_fresh(&[], speak, short("send"));
        assert!(done.count("messages") > SESSIONS && done.checked("every message came"));
        assert_eq!(done.count("taken"), done.count("messages"));
        assert_eq!(done.count("deliveries"), done.count("messages"));
        assert!(done.latency("taken") > 0 && done.latency("delivery") > 0);
    }
}

/// Each message is kept once, was told to each member once, and a second send of it changed nothing.
#[track_caller]
fn kept_and_told(done: &Done, members: u64) {
    let messages = done.count("messages");
    assert!(messages > 0 && done.checked("every message came"));
    assert_eq!(done.count("taken"), messages);
    assert_eq!(done.count("deliveries"), messages * members);
    assert_eq!(done.count("read_back"), messages);
    assert_eq!((done.count("kept_twice"), done.count("again")), (0, done.count("copies")));
    assert!(done.checked("no acknowledged message is missing") && done.checked("every conversation stands"));
    assert!(done.latency("kept") > 0 && done.latency("delivery") > 0);
    assert_eq!(done.server.as_ref().map(|server| &*server.unit), Some("message"));
}

#[test]
fn messages() {
    let mut mix = short("messages");
    (mix.messages.twice, mix.warm_up) = (0.1, 0.0);
    let done = on_fresh(&[], Binary, mix);
    kept_and_told(&done, 2);
    assert_eq!(done.count("made"), SESSIONS);
    assert!(done.count("copies") > 0 && done.count("pages") > 0 && done.count("lists") > 0);
    assert!(done.latency("page") > 0 && done.latency("list") > 0);
}

#[test]
fn messages_in_groups_on_two_rings() {
    let mut mix = short("messages");
    (mix.messages.members, mix.messages.conversations, mix.messages.rate) = (7, 40, 100.0);
    let server = support::fresh(&[("STORE__KIND", "memory")]);
    let plan = plan(&server, Binary, mix);
    kept_and_told(&carry_out(&server, Plan { rings: 2, ..plan }), 7);
}

#[test]
fn messages_in_a_closed_loop() {
    let mut mix = short("messages");
    (mix.messages.in_flight, mix.messages.conversations) = (16, 1_000);
    // More than one page to read back.
    (mix.warm_up, mix.messages.pages) = (0.0, 0.0);
    let limits = [("LIMITS__COMMANDS_PER_SECOND", "100000"), ("LIMITS__COMMANDS_BURST", "100000")];
    kept_and_told(&on_fresh(&limits, Binary, mix), 2);
}

#[test]
fn messages_that_are_refused_are_told_by_their_cause() {
    let mut mix = short("messages");
    mix.messages = Messages { rate: 900.0, pages: 0.0, lists: 0.0, twice: 0.0, ..mix.messages };
    let server = support::fresh(&[("LIMITS__COMMANDS_PER_SECOND", "1"), ("LIMITS__COMMANDS_BURST", "5")]);
    let plan = plan(&server, Binary, mix);
    let outcome = run(order(&server, plan), &mut Nobody).unwrap_or_else(|error| panic!("{error}"));
    let failed: Vec<_> =
        outcome.checks.iter().filter(|check| !check.passed).map(|check| &*check.name).collect();
    assert_eq!(failed, ["every message was taken"], "{:?}", outcome.errors);
    let refused: u64 = outcome.errors.values().sum();
    assert_eq!(outcome.counts["messages"], outcome.counts["taken"] + refused, "{:?}", outcome.errors);
    assert!(outcome.errors.keys().all(|cause| cause.starts_with("refused: ")), "{:?}", outcome.errors);
}

#[test]
fn slow() {
    // Little waits for a reader here, and not for long: all that read nothing are dropped, and nobody else.
    let settings = [("ENGINE__SEND_BUFFER", "4KiB"), ("LIMITS__OUTBOX_TIME", "2s")];
    let mut mix = short("slow");
    (mix.channel.rate, mix.channel.bytes, mix.hold) = (20.0, 2_048, 5.0);
    assert_eq!(mix.stalled, 3);
    let done = on_fresh(&settings, Binary, mix);
    came_to_all(&done, SESSIONS);
    let drops =
        done.checks.iter().find(|check| check.name == "every drop was counted").expect("it was checked");
    assert!(drops.detail.starts_with("3 of 3 stalled readers were dropped"), "{}", drops.detail);
}

#[test]
fn mixed() {
    let mut mix = short("mixed");
    (mix.churn.rate, mix.churn.away) = (10.0, 1.0);
    let done = on_fresh(&[], Binary, mix);
    came_and_went(&done);
    assert!(done.count("messages") > 0 && done.count("deliveries") > 0);
    assert!(done.checked("no message came twice"));
}

#[test]
fn what_a_dialect_cannot_say_is_refused_before_a_connect() {
    let server = support::fresh(&[]);
    let refused = |plan: Plan| run(order(&server, plan), &mut Nobody).map(|_| ()).unwrap_err();
    let fanout = refused(plan(&server, Presence, short("fanout")));
    assert!(
        fanout.contains("subscribe to channels") && fanout.contains("choose another dialect"),
        "{fanout}"
    );
    let talk = refused(plan(&server, Presence, short("messages")));
    assert!(talk.contains("talk in conversations"), "{talk}");
    let watch = refused(plan(&server, Echo, short("churn")));
    assert!(watch.contains("watch users"), "{watch}");
    let hear = refused(plan(&server, SocketIo, short("send")));
    assert!(hear.contains("hear what is sent"), "{hear}");
    let mut closed = short("heartbeat");
    closed.heartbeat.in_flight = 8;
    let closed = refused(plan(&server, SocketIo, closed));
    assert!(closed.contains("--socketio-event"), "{closed}");
    let mut churn = short("churn");
    churn.watch = Default::default();
    let leave = refused(plan(&server, Polling, churn));
    assert!(leave.contains("log out"), "{leave}");
    let send = refused(Plan { staff: None, ..plan(&server, Presence, short("send")) });
    assert!(send.contains("--binary"), "{send}");
    let metrics = Source::open(server.admin).scrape(support::PATIENCE).unwrap();
    assert_eq!(metrics.sessions(), Some(0));
}
