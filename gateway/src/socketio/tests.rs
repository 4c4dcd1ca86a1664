//! Tests of both codecs against the reference's parsers, and of whole connections with an echo as application.

mod echo;
mod hostile;
mod vectors;

use super::*;
use crate::engineio::session::{Frame, Opening, Turn};
use crate::engineio::{self, Answer, Outlet, Ticket, Version};

/// What a connection said, as text: `ws …`, `bin …` in hex, `close …`, `<ticket> <status> <body>`.
#[derive(Default)]
struct Ear(Vec<String>);

impl Outlet for Ear {
    fn text(&mut self, packet: &str) {
        self.0.push(packet.to_owned());
    }

    fn binary(&mut self, head: &[u8], data: &[u8]) {
        self.0.push(format!("bin {head:?} {data:?}"));
    }

    fn close_socket(&mut self, reason: Option<engineio::Reason>) {
        self.0.push(format!("close {reason:?}"));
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        let status = answer.status();
        self.0.push(format!("{} {status} {}", ticket.0, String::from_utf8_lossy(&answer.into_body())));
    }
}

/// The official suite's server: `auth` with the CONNECT payload, `message`, `message-with-ack`; and a few more.
#[derive(Default)]
struct Echo {
    over: bool,
    told: Vec<String>,
    /// CONNECTs are answered later.
    defers: bool,
}

impl Application for Echo {
    fn admit(&mut self) -> Verdict {
        if self.over { Verdict::Over } else { Verdict::Within }
    }

    fn connect(&mut self, talk: &mut Talk<'_, '_>, namespace: Namespace, credentials: Credentials<'_>) {
        self.told.push(format!("connect {} {credentials:?}", namespace.0));
        if self.defers {
            return;
        }
        match credentials {
            Credentials::Auth(r#"{"refuse":1}"#) | Credentials::Query("refuse=1") => {
                talk.refuse(namespace, "no", None);
            }
            Credentials::Auth(r#"{"refuse":2}"#) | Credentials::Query("refuse=2") => {
                talk.refuse(namespace, "no", Some(r#"{"statusCode":401}"#));
            }
            credentials => {
                talk.accept(namespace, "id");
                let auth = if let Credentials::Auth(auth) = credentials { auth } else { "{}" };
                talk.emit(namespace, "auth", Arguments::json(auth));
            }
        }
    }

    fn event(&mut self, talk: &mut Talk<'_, '_>, namespace: Namespace, event: Event<'_>) {
        self.told.push(format!("event {} {} {:?}", event.name, event.arguments.raw(), event.ack));
        match (event.name, event.ack) {
            ("message", _) => _ = talk.emit(namespace, "message-back", event.arguments),
            ("message-with-ack", Some(id)) => _ = talk.ack(namespace, id, event.arguments),
            ("ask", _) => _ = talk.ask(namespace, "question", event.arguments),
            ("out", _) => _ = talk.disconnect(namespace),
            ("close", _) => talk.close(),
            _ => {}
        }
    }

    fn acked(&mut self, _: &mut Talk<'_, '_>, _: Namespace, id: u32, arguments: Arguments<'_>) {
        self.told.push(format!("acked {id} {} {:?}", arguments.raw(), arguments.attachments()));
    }

    fn disconnected(&mut self, namespace: Namespace, reason: Reason) {
        self.told.push(format!("left {} {}", namespace.0, reason.word()));
    }
}

struct Bench {
    connection: Connection,
    settings: Settings,
    transport: engineio::Settings,
    now: u64,
    ear: Ear,
    app: Echo,
}

impl Bench {
    fn websocket(version: Version) -> Self {
        Self::websocket_of(version, Echo::default())
    }

    fn websocket_of(version: Version, app: Echo) -> Self {
        let settings = Settings::new(Namespaces::new(&["/custom", "/v1/conversations/events"]));
        let (transport, mut ear, mut app) = (engineio::Settings::default(), Ear::default(), app);
        let opening = Opening { version, sid: "sid", base64: false, first_ping: 25_000 };
        let mut turn = Turn { settings: &transport, now: 0, outlet: &mut ear };
        let connection = Connection::websocket(&settings, &mut turn, &opening, &mut app);
        ear.0.remove(0);
        Self { connection, settings, transport, now: 0, ear, app }
    }

    /// One that has joined `/`, and has nothing to say or tell.
    fn joined(version: Version) -> Self {
        let mut bench = Self::websocket(version);
        if version == Version::V4 {
            bench.text("40");
        }
        bench.ear.0.clear();
        bench.app.told.clear();
        bench
    }

    fn with<T>(&mut self, act: impl FnOnce(&mut Connection, &Settings, &mut Turn<'_>, &mut Echo) -> T) -> T {
        let mut turn = Turn { settings: &self.transport, now: self.now, outlet: &mut self.ear };
        act(&mut self.connection, &self.settings, &mut turn, &mut self.app)
    }

    fn text(&mut self, text: &str) {
        self.with(|connection, settings, turn, app| connection.frame(settings, turn, Frame::Text(text), app));
    }

    fn binary(&mut self, bytes: &[u8]) {
        self.with(|connection, settings, turn, app| {
            connection.frame(settings, turn, Frame::Binary(bytes), app)
        });
    }

    fn wait(&mut self) {
        self.now = self.connection.deadline();
        self.with(|connection, settings, turn, app| connection.on_deadline(settings, turn, app));
    }

    fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.ear.0)
    }

    fn told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.app.told)
    }
}
