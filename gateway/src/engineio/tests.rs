//! Tests of the session machine: the official suites' cases, hostile clients, and a model of two peers.

mod hostile;
mod model;
mod suite;

use super::session::{Class, Frame, Opening, Turn};
use super::{Answer, Data, Outgoing, Outlet, Reason, Session, Settings, Ticket, Version};

/// What a session said.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Close(Option<Reason>),
    Answer(u64, Answer),
}

#[derive(Default)]
struct Ear(Vec<Said>);

impl Outlet for Ear {
    fn text(&mut self, packet: &str) {
        self.0.push(Said::Text(packet.to_owned()));
    }

    fn binary(&mut self, head: &[u8], data: &[u8]) {
        self.0.push(Said::Binary([head, data].concat()));
    }

    fn close_socket(&mut self, reason: Option<Reason>) {
        self.0.push(Said::Close(reason));
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.0.push(Said::Answer(ticket.0, answer));
    }
}

/// A session and what it has said.
struct Bench {
    session: Session,
    settings: Settings,
    now: u64,
    ear: Ear,
    /// What came from the client.
    heard: Vec<Data<'static>>,
}

/// The numbers the official suites run with.
fn suite_settings() -> Settings {
    Settings { ping_interval: 300, ping_timeout: 200, ..Settings::default() }
}

impl Bench {
    fn polling(version: Version) -> Self {
        Self::polling_with(version, suite_settings(), false)
    }

    fn polling_with(version: Version, settings: Settings, base64: bool) -> Self {
        let opening = Opening { version, sid: "sid", base64, first_ping: settings.ping_interval };
        let session = Session::polling(&settings, 0, &opening);
        let mut bench = Self { session, settings, now: 0, ear: Ear::default(), heard: Vec::new() };
        bench.turn(|session, turn| session.poll(turn, Ticket(0)));
        assert!(matches!(bench.said().as_slice(), [Said::Answer(0, Answer::Packets { .. })]));
        bench.turn(|session, turn| session.answer_taken(turn, Ticket(0)));
        bench
    }

    fn websocket(version: Version) -> Self {
        let (settings, mut ear) = (suite_settings(), Ear::default());
        let opening = Opening { version, sid: "sid", base64: false, first_ping: settings.ping_interval };
        let mut turn = Turn { settings: &settings, now: 0, outlet: &mut ear };
        let session = Session::websocket(&mut turn, &opening);
        Self { session, settings, now: 0, ear, heard: Vec::new() }
    }

    fn turn<T>(&mut self, act: impl FnOnce(&mut Session, &mut Turn<'_>) -> T) -> T {
        let mut turn = Turn { settings: &self.settings, now: self.now, outlet: &mut self.ear };
        act(&mut self.session, &mut turn)
    }

    fn said(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.ear.0)
    }

    fn poll(&mut self, ticket: u64) {
        self.turn(|session, turn| session.poll(turn, Ticket(ticket)));
    }

    /// A poll whose answer is there and arrives: status and body.
    fn polled(&mut self, ticket: u64) -> (u16, String) {
        self.poll(ticket);
        self.answer(ticket)
    }

    fn answer(&mut self, ticket: u64) -> (u16, String) {
        let (status, body) = self.answer_bytes(ticket);
        (status, String::from_utf8(body).unwrap())
    }

    fn answer_bytes(&mut self, ticket: u64) -> (u16, Vec<u8>) {
        let at = self.ear.0.iter().position(|said| matches!(said, Said::Answer(it, _) if *it == ticket));
        let Said::Answer(_, answer) = self.ear.0.remove(at.expect("no answer")) else { unreachable!() };
        self.turn(|session, turn| session.answer_taken(turn, Ticket(ticket)));
        (answer.status(), answer.into_body())
    }

    fn post(&mut self, ticket: u64, octets: bool, body: &[u8]) -> u16 {
        self.posted(ticket, octets, body);
        self.answer_bytes(ticket).0
    }

    /// An upload whose answer may not be there yet.
    fn posted(&mut self, ticket: u64, octets: bool, body: &[u8]) {
        let mut turn = Turn { settings: &self.settings, now: self.now, outlet: &mut self.ear };
        if let Some(mut upload) = self.session.upload(&mut turn, Ticket(ticket), octets, body) {
            while let Some(message) = self.session.next(&mut turn, &mut upload) {
                self.heard.push(owned(message));
            }
        }
    }

    fn frame(&mut self, frame: Frame<'_>) {
        let mut turn = Turn { settings: &self.settings, now: self.now, outlet: &mut self.ear };
        let message = self.session.frame(&mut turn, frame);
        self.heard.extend(message.map(owned));
    }

    fn text(&mut self, text: &str) {
        self.frame(Frame::Text(text));
    }

    /// Echoes what was heard.
    fn echo(&mut self) {
        for message in std::mem::take(&mut self.heard) {
            let outgoing = match message {
                Data::Text(text) => Outgoing::Packet(format!("4{text}")),
                Data::Binary(bytes) => Outgoing::Binary((&*bytes).into()),
            };
            self.turn(|session, turn| session.send(turn, outgoing, Class::Durable));
        }
        self.turn(|session, turn| session.flush(turn));
    }

    fn send(&mut self, text: &str) -> bool {
        let sent =
            self.turn(|session, turn| session.send(turn, Outgoing::Packet(text.to_owned()), Class::Durable));
        self.turn(|session, turn| session.flush(turn));
        sent
    }

    /// Lets time pass until the next deadline, which it serves.
    fn wait(&mut self) {
        self.now = self.session.deadline();
        self.turn(|session, turn| session.on_deadline(turn));
    }

    fn upgrade(&mut self) {
        assert!(self.turn(|session, turn| session.socket_arrived(turn)));
        self.text("2probe");
        assert_eq!(self.said(), [Said::Text("3probe".into())]);
        self.text("5");
    }
}

fn owned(data: Data<'_>) -> Data<'static> {
    match data {
        // A few strings of a test may stay.
        Data::Text(text) => Data::Text(Box::leak(text.to_owned().into_boxed_str())),
        Data::Binary(bytes) => Data::Binary(bytes.into_owned().into()),
    }
}
