//! Socket.IO beside Node's: events with acks, a message to a crowded room, and what a heartbeat costs.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use client::blocking::{Client, Event, Options};
use engine::io::Choice as Io;
use loadtest::clock::Clock;
use loadtest::dialect::{Choice, SocketIoSettings};
use loadtest::fleet::tally::{Count, Tally};
use loadtest::fleet::{Fleet, Phase, Plan};
use loadtest::mix::{Heartbeat, Mix};
use loadtest::persona::{Tokens, user_id};
use schema::Id;
use schema::chat::{ChatEvent, Kind, NewConversation, NewMember, Role};
use serde_json::json;
use tungstenite::{Message, WebSocket};

use super::drivers::{
    Audience, CONNECTIONS, FLOOR, LOAD_CORE, PATIENCE, Place, ROUNDS, SERVER_CORE, Samples, TOKEN_TIME, row,
    rows_of,
};
use super::{Context, Row};
use crate::micro::Trouble;
use crate::servers::{Server, Subject};
use crate::stats::Comparison;

const NODE: Subject = Subject::Node;
const ECHO: Subject = Subject::SocketIoEcho;
/// Muster itself, whose clients speak the messaging API.
const MUSTER: Subject = Subject::Muster { io: "ring", host: "thread", gather_us: 0 };

fn settings(path: &str, event: &str) -> Choice {
    Choice::SocketIo(SocketIoSettings {
        path: path.into(),
        event: event.into(),
        ..SocketIoSettings::default()
    })
}

fn crowd(target: SocketAddr, dialect: Choice, tokens: Tokens, clock: Clock) -> Result<Fleet, Trouble> {
    let heartbeat = Heartbeat { every: 0.0, answer: true, in_flight: 0 };
    let mix = Mix { connections: CONNECTIONS, heartbeat, opening: 256, ..Mix::default() };
    let (rings, cpus, io) = (1, vec![LOAD_CORE], Io::Auto);
    let fleet = Fleet::start(Plan { target, dialect, staff: None, tokens, mix, rings, cpus, io, clock })?;
    let until = clock.now() + PATIENCE;
    while fleet.open() < CONNECTIONS {
        if clock.now() > until {
            let mut tally = Tally::default();
            fleet.collect(&mut tally);
            return Err(format!("{} are open; {:?}", fleet.open(), tally.errors()).into());
        }
        Clock::rest(Duration::from_millis(20));
    }
    fleet.set(Phase::Rest);
    Ok(fleet)
}

/// An event with an ack: Muster beside Node, and beside the floor, which gets as many short requests and sends them back.
///
/// # Errors
/// When a server does not start, or loses somebody.
pub fn acks(_: &Context) -> Result<Vec<Row>, Trouble> {
    let clock = Clock::start();
    let subjects = [NODE, ECHO];
    let mut places = Vec::new();
    for subject in subjects {
        let server = Server::start(subject, Some(SERVER_CORE))?;
        let dialect = settings("/socket.io/", r#"["message-with-ack","hello",{"number":1}]"#);
        let fleet = crowd(server.binary, dialect, Tokens::None, clock)?;
        places.push(Place { server, fleet });
    }
    places.push(Place::open(FLOOR, clock)?);
    let subjects = [NODE, ECHO, FLOOR];
    let paced = Heartbeat { every: 1.0, answer: true, in_flight: 0 };
    let ways = [
        ("10,000/s", paced.clone(), 1.0 / 3.0),
        ("256 in flight", Heartbeat { in_flight: 256, ..paced }, 0.25),
    ];
    let mut rows = Vec::new();
    for (way, heartbeat, most) in ways {
        let mut samples: Vec<Samples> = subjects.iter().map(|_| Samples::default()).collect();
        for round in 0..ROUNDS {
            for turn in 0..places.len() {
                let one = (turn + round) % places.len();
                places[one].work(&heartbeat, clock, &mut samples[one])?;
            }
        }
        for (subject, samples) in subjects.iter().zip(&samples) {
            rows.push(rows_of(format!("{}, {way}", subject.name()), "µs CPU an event with ack", samples)?);
        }
        let comparison = Comparison::of(&samples[1].cpu, &samples[0].cpu)?;
        rows.push(
            Row::ratio(format!("Muster ÷ Node socket.io 4.8 with ws, {way}"), &comparison).at_most(most),
        );
        let floor = Comparison::of(&samples[2].cpu, &samples[0].cpu)?;
        rows.push(Row::ratio(format!("floor ÷ Node socket.io 4.8 with ws, {way}"), &floor));
    }
    Ok(rows)
}

/// What it costs to know that a client of Socket.IO lives, beside one of the presence API: a ping of the server's and the
/// client's pong, and a heartbeat of the client's and its answer.
///
/// # Errors
/// As [`acks`].
pub fn pings(_: &Context) -> Result<Vec<Row>, Trouble> {
    let clock = Clock::start();
    let open = |subject, dialect: fn(String) -> Choice| -> Result<Place, Trouble> {
        let server = Server::start(subject, Some(SERVER_CORE))?;
        let muster = server.muster().ok_or("no Muster")?;
        let tokens = Tokens::minted(muster.secret.as_bytes(), Clock::unix_ms(), TOKEN_TIME);
        let fleet = crowd(muster.http, dialect(muster.http.to_string()), tokens, clock)?;
        Ok(Place { server, fleet })
    };
    let presence = |host| Choice::Presence { host, path: "/api/v1/presence/ws".into() };
    let places = [
        ("presence WebSocket, heartbeat and answer", true, open(MUSTER, presence)?),
        ("Socket.IO, ping and pong", false, open(Subject::Pinging, |_| settings("/socket.io/", ""))?),
    ];
    let mut samples = [Samples::default(), Samples::default()];
    for round in 0..ROUNDS {
        for turn in 0..places.len() {
            let one = (turn + round) % places.len();
            let (_, answer, place) = &places[one];
            let heartbeat = Heartbeat { every: 1.0, answer: *answer, in_flight: 0 };
            place.work(&heartbeat, clock, &mut samples[one])?;
        }
    }
    let mut rows = Vec::new();
    for ((name, ..), samples) in places.iter().zip(&samples) {
        rows.push(rows_of(format!("{name}, 10,000/s"), "µs CPU", samples)?);
    }
    let comparison = Comparison::of(&samples[1].cpu, &samples[0].cpu)?;
    rows.push(Row::ratio("Socket.IO's ÷ the presence WebSocket's", &comparison).at_most(1.2));
    Ok(rows)
}

/// Somebody who speaks to a room.
struct Speaker {
    socket: WebSocket<TcpStream>,
    /// What is said, up to the text of a message; and what follows it.
    event: (String, String),
    said: u64,
}

impl Speaker {
    fn join(target: SocketAddr, query: &str, event: (String, String)) -> Result<Self, Trouble> {
        let stream = TcpStream::connect(target)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let url = format!("ws://{target}/socket.io/?EIO=4&transport=websocket{query}");
        let (mut socket, _) = tungstenite::client(url, stream).map_err(|error| error.to_string())?;
        socket.read()?;
        socket.send(Message::text("40"))?;
        let joined = socket.read()?;
        if !joined.to_text()?.starts_with("40") {
            return Err(format!("the speaker was not let in: {joined}").into());
        }
        Ok(Self { socket, event, said: 0 })
    }

    /// Says so many things at once, and waits for their acks. What it is told itself is forgotten.
    fn say(&mut self, burst: u32) -> Result<(), Trouble> {
        for _ in 0..burst {
            self.said += 1;
            let (head, tail) = &self.event;
            self.socket.write(Message::text(format!("42{}{head}{}{tail}", self.said, "x".repeat(64))))?;
        }
        self.socket.flush()?;
        let mut acks = 0;
        while acks < burst {
            let message = self.socket.read()?;
            let text = message.to_text()?;
            match text.as_bytes() {
                [b'2', ..] => self.socket.send(Message::text("3"))?,
                [b'4', b'3', ..] if text.contains(r#""success":true"#) => acks += 1,
                [b'4', b'3', ..] => return Err(format!("not taken: {text}").into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// A server with a crowd in one room, and somebody who speaks to it.
struct Room {
    server: Server,
    fleet: Fleet,
    speaker: Speaker,
}

impl Room {
    fn node(clock: Clock) -> Result<Self, Trouble> {
        let server = Server::start(NODE, Some(SERVER_CORE))?;
        let dialect = settings("/socket.io/?room=one", "[]");
        let fleet = crowd(server.binary, dialect, Tokens::None, clock)?;
        // As long as Muster's own messages are.
        let message = json!({
            "id": user_id(1), "conversationId": user_id(2), "senderId": user_id(0), "attachmentUrl": null,
            "attachmentType": null, "isEdited": false, "isDeleted": false, "createdAt": "2026-01-01T00:00:00.000Z",
            "updatedAt": "2026-01-01T00:00:00.000Z", "readBy": [], "content": "",
        });
        let head = message.to_string();
        let head = format!(r#"["say","one",{}"#, &head[..head.len() - 2]);
        let speaker = Speaker::join(server.binary, "", (head, "\"}]".into()))?;
        Ok(Self { server, fleet, speaker })
    }

    fn muster(clock: Clock) -> Result<Self, Trouble> {
        let server = Server::start(MUSTER, Some(SERVER_CORE))?;
        let muster = server.muster().ok_or("no Muster")?;
        let tokens = || Tokens::minted(muster.secret.as_bytes(), Clock::unix_ms(), TOKEN_TIME);
        let token = tokens().user(0);
        let mut creator = Client::connect(Options::new(server.binary.to_string(), token.clone()))?;
        let (conversation, _) = creator.chat().create(NewConversation {
            id: None,
            kind: Kind::Group,
            name: Some("a crowd".into()),
            // A group has two at least.
            members: vec![NewMember { user: Id::new(&user_id(1))?, role: Role::Member }],
            extra: Vec::new().into(),
        })?;
        let last = Id::new(&user_id(CONNECTIONS - 1))?;
        for member in 2..CONNECTIONS - 1 {
            creator.chat().add_member(conversation.id, &Id::new(&user_id(member))?, Role::Member)?;
        }
        creator.chat().follow(true)?;
        creator.chat().add_member(conversation.id, &last, Role::Member)?;
        // All are told of each: when the last one is told of, nothing is left to be told to those who come now.
        let until = clock.now() + PATIENCE;
        loop {
            match creator.next_event(Duration::from_secs(1))? {
                Some(Event::Chat(ChatEvent::MemberAdded { member, .. })) if member.user == last => break,
                _ if clock.now() > until => return Err("the members are not told of each other".into()),
                _ => {}
            }
        }
        creator.goodbye(true);
        let fleet = crowd(muster.http, settings("/socket.io/", "[]"), tokens(), clock)?;
        let event = (
            format!(r#"["message:send",{{"conversationId":"{}","content":""#, conversation.id),
            "\"}]".to_owned(),
        );
        let speaker = Speaker::join(muster.http, &format!("&token={token}"), event)?;
        Ok(Self { server, fleet, speaker })
    }

    /// Says so many things at once and waits until everybody has been told: CPU microseconds a delivery, and milliseconds
    /// until the last.
    fn tell(&mut self, burst: u32, clock: Clock) -> Result<(f64, f64), Trouble> {
        self.fleet.collect(&mut Tally::default());
        let (mut tally, cpu, begun) = (Tally::default(), self.server.cpu()?, clock.now());
        self.speaker.say(burst)?;
        let wanted = CONNECTIONS * u64::from(burst);
        while tally.get(Count::Deliveries) < wanted {
            if clock.now() - begun > PATIENCE {
                return Err(format!("{} of {wanted} deliveries", tally.get(Count::Deliveries)).into());
            }
            Clock::rest(Duration::from_millis(1));
            self.fleet.collect(&mut tally);
        }
        let last = (clock.now() - begun) as f64 / 1e6;
        let cpu = self.server.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6 / wanted as f64;
        Clock::rest(Duration::from_millis(100));
        Ok((cpu, last))
    }
}

/// A message to a room of 10,000: Muster beside Node, and beside the floor, which sends a few bytes to as many connections.
///
/// # Errors
/// As [`acks`].
pub fn room(_: &Context) -> Result<Vec<Row>, Trouble> {
    let clock = Clock::start();
    let mut rooms = [("Node socket.io 4.8 with ws", Room::node(clock)?), ("Muster", Room::muster(clock)?)];
    let mut floor = Audience::open(FLOOR, CONNECTIONS, clock)?;
    let mut bare = Vec::new();
    let mut samples = [const { [const { Vec::new() }; 3] }; 2];
    for _ in 0..ROUNDS {
        for ((_, room), samples) in rooms.iter_mut().zip(&mut samples) {
            let (cpu, last) = room.tell(1, clock)?;
            samples[0].push(cpu);
            samples[1].push(last);
            samples[2].push(room.tell(4, clock)?.0);
        }
        bare.push(floor.publish(1, clock)?.0);
    }
    let mut rows = Vec::new();
    for ((name, _), [one, last, four]) in rooms.iter().zip(&samples) {
        rows.push(row(format!("{name}, one message"), "µs CPU a delivery", one)?);
        rows.push(row(format!("{name}, four messages under way"), "µs CPU a delivery", four)?);
        rows.push(row(format!("{name}, one message: until the last of 10,000 has it"), "ms", last)?);
    }
    let ratio = |what: &str, at: usize| -> Result<Row, Trouble> {
        let comparison = Comparison::of(&samples[0][at], &samples[1][at])?;
        Ok(Row::ratio(format!("deliveries a core second, {what}: Muster ÷ Node"), &comparison))
    };
    rows.push(row("bare batched sends (floor), one message".into(), "µs CPU a delivery", &bare)?);
    rows.push(ratio("one message", 0)?.at_least(3.0));
    let comparison = Comparison::of(&samples[0][0], &bare)?;
    rows.push(Row::ratio("deliveries a core second, one message: floor ÷ Node", &comparison));
    rows.push(ratio("four under way", 2)?.at_least(6.0));
    Ok(rows)
}
