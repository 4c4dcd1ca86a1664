//! A Socket.IO connection and an echo: whatever frames come, what the application is told is in order (connect, events,
//! end, each once), memory is bounded, nothing panics.

#![no_main]

use std::collections::BTreeMap;

use gateway::engineio::session::{Frame, Opening, Turn};
use gateway::engineio::{self, Answer, Outlet, Ticket, Version};
use gateway::socketio::{
    Application, Arguments, Connection, Credentials, Event, Namespace, Namespaces, Reason, Settings, Talk,
    Verdict,
};
use libfuzzer_sys::fuzz_target;

struct Ear;

impl Outlet for Ear {
    fn text(&mut self, _: &str) {}
    fn binary(&mut self, _: &[u8], _: &[u8]) {}
    fn close_socket(&mut self, _: Option<engineio::Reason>) {}
    fn answer(&mut self, _: Ticket, _: Answer) {}
}

#[derive(Default)]
struct Echo {
    /// Which namespaces are joined (or asked for).
    joined: BTreeMap<Namespace, bool>,
    calls: u32,
}

impl Application for Echo {
    fn admit(&mut self) -> Verdict {
        self.calls += 1;
        if self.calls.is_multiple_of(7) { Verdict::Over } else { Verdict::Within }
    }

    fn connect(&mut self, talk: &mut Talk<'_, '_>, namespace: Namespace, _: Credentials<'_>) {
        assert_eq!(self.joined.get(&namespace), None);
        if self.calls % 5 == 4 {
            assert!(talk.refuse(namespace, "no", None));
        } else {
            talk.accept(namespace, "id");
            self.joined.insert(namespace, true);
        }
    }

    fn event(&mut self, talk: &mut Talk<'_, '_>, namespace: Namespace, event: Event<'_>) {
        assert!(self.joined.contains_key(&namespace));
        event.arguments.placeholders().expect("they were checked");
        match event.ack {
            Some(id) => assert!(talk.ack(namespace, id, event.arguments)),
            None if event.name == "out" => {
                assert!(talk.disconnect(namespace));
                self.joined.remove(&namespace);
            }
            None => drop(talk.ask(namespace, event.name, event.arguments)),
        }
    }

    fn acked(&mut self, _: &mut Talk<'_, '_>, namespace: Namespace, _: u32, _: Arguments<'_>) {
        assert!(self.joined.contains_key(&namespace));
    }

    fn disconnected(&mut self, namespace: Namespace, _: Reason) {
        assert!(self.joined.remove(&namespace).is_some());
    }
}

// One frame a line; a line that begins with `~` is binary.
fuzz_target!(|input: &[u8]| {
    let Some((&first, rest)) = input.split_first() else { return };
    let version = if first & 1 == 0 { Version::V4 } else { Version::V3 };
    let settings = Settings { packet_bytes: 500, ..Settings::new(Namespaces::new(&["/custom"])) };
    let (transport, mut app, mut ear) = (engineio::Settings::default(), Echo::default(), Ear);
    let opening = Opening { version, sid: "sid", base64: false, first_ping: 25_000 };
    let mut turn = Turn { settings: &transport, now: 0, outlet: &mut ear };
    let mut connection = Connection::websocket(&settings, &mut turn, &opening, &mut app);
    for line in rest.split(|byte| *byte == b'\n') {
        turn.now += u64::from(line.first().copied().unwrap_or(0));
        let text = String::from_utf8_lossy(line);
        let frame = match line.strip_prefix(b"~") {
            Some(bytes) => Frame::Binary(bytes),
            None => Frame::Text(&text),
        };
        connection.frame(&settings, &mut turn, frame, &mut app);
        connection.on_deadline(&settings, &mut turn, &mut app);
        assert!(connection.session().heap_bytes() < 500 + 64 * 16 + 400);
    }
    connection.socket_closed(&settings, &mut turn, &mut app);
    assert!(app.joined.is_empty() && connection.session().heap_bytes() == 0);
});
