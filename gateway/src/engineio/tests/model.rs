//! A client and a session that say numbered messages while the client moves from polls to its WebSocket at a random
//! moment, over a network that delays: every message arrives once and in order. And codecs: what is written is read.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::engineio::Kind;
use crate::engineio::packet::Packet;
use crate::engineio::payload::{Payload, PayloadWriter};

/// A client that keeps the rules: one poll, one upload; before it moves it lets its poll and its upload end.
#[derive(Default)]
struct Client {
    received: Vec<String>,
    sent: u64,
    poll: Option<u64>,
    ticket: u64,
    /// 0: polls; 1: socket is there; 2: probed; 3: moved.
    step: u8,
}

struct World {
    version: Version,
    bench: Bench,
    client: Client,
    said: u64,
    /// Answers that were not taken yet.
    answers: VecDeque<(u64, Vec<u8>, bool)>,
}

impl World {
    fn new(version: Version) -> Self {
        let bench = Bench::polling_with(version, Settings::default(), false);
        Self {
            version,
            bench,
            client: Client { ticket: 1, ..Client::default() },
            said: 0,
            answers: VecDeque::new(),
        }
    }

    fn collect(&mut self) {
        for said in self.bench.said() {
            match said {
                Said::Answer(ticket, Answer::Packets { body, binary }) => {
                    self.answers.push_back((ticket, body, binary));
                }
                Said::Answer(_, Answer::Ok) => {}
                Said::Text(text) if text == "3probe" => self.client.step = 2,
                Said::Text(text) => self.read(Packet::from_text(self.version, &text).unwrap()),
                Said::Binary(bytes) => self.read(Packet::from_binary(self.version, &bytes).unwrap()),
                said => panic!("{said:?}"),
            }
        }
    }

    fn read(&mut self, packet: Packet<'_>) {
        if packet.kind == Kind::Message {
            self.client.received.push(match packet.data {
                Data::Text(text) => text.to_owned(),
                Data::Binary(bytes) => String::from_utf8(bytes.into_owned()).unwrap(),
            });
        }
    }

    /// The first answer reaches the client, or is lost on its way to the request, which then asks again.
    fn deliver(&mut self, lost: bool) {
        let Some((ticket, body, binary)) = self.answers.pop_front() else { return };
        self.client.poll = None;
        if lost {
            self.bench.turn(|session, turn| session.answer_lost(turn, Ticket(ticket)));
        } else {
            let payload = match binary {
                true => Payload::binary(&body),
                false => Payload::text(self.version, std::str::from_utf8(&body).unwrap()),
            };
            for packet in payload {
                self.read(packet.unwrap());
            }
            self.bench.turn(|session, turn| session.answer_taken(turn, Ticket(ticket)));
        }
        self.collect();
    }

    fn step(&mut self, choice: u8) {
        match choice % 10 {
            0..=2 => {
                let outgoing = match self.said % 3 {
                    0 => Outgoing::Binary(self.said.to_string().into_bytes().into()),
                    1 => Outgoing::Shared(format!("4{}", self.said).into()),
                    _ => Outgoing::Packet(format!("4{}", self.said)),
                };
                self.said += 1;
                self.bench.turn(|session, turn| assert!(session.send(turn, outgoing, Class::Durable)));
            }
            3 => self.bench.turn(|session, turn| session.flush(turn)),
            4 | 5 if self.client.step < 2 && self.client.poll.is_none() => {
                self.client.ticket += 1;
                self.client.poll = Some(self.client.ticket);
                self.bench.poll(self.client.ticket);
            }
            4 | 5 => self.deliver(false),
            6 => self.deliver(true),
            7 if self.client.step < 3 => self.upload(choice),
            7 => {
                let number = self.client.sent;
                self.client.sent += 1;
                match (number % 2, self.version) {
                    (0, _) => self.bench.text(&format!("4{number}")),
                    (_, Version::V4) => self.bench.frame(Frame::Binary(number.to_string().as_bytes())),
                    (_, Version::V3) => self.bench.frame(Frame::Binary(format!("\x04{number}").as_bytes())),
                }
            }
            8 => match self.client.step {
                0 => {
                    assert!(self.bench.turn(|session, turn| session.socket_arrived(turn)));
                    self.client.step = 1;
                }
                1 => self.bench.text("2probe"),
                // Only once its poll has ended.
                2 if self.client.poll.is_none() => {
                    self.bench.text("5");
                    self.client.step = 3;
                }
                _ => {}
            },
            _ if self.client.step == 1 && choice > 128 => {
                self.bench.turn(|session, turn| session.socket_closed(turn));
                self.client.step = 0;
            }
            _ => {}
        }
        self.collect();
    }

    /// Some messages in one body.
    fn upload(&mut self, choice: u8) {
        let mut payload = PayloadWriter::new(self.version, choice > 100);
        for _ in 0..=choice % 4 {
            let number = self.client.sent.to_string();
            match self.client.sent % 2 {
                0 => payload.push(&Packet::text(Kind::Message, &number)),
                _ => payload.push(&Packet::binary(number.as_bytes())),
            }
            self.client.sent += 1;
        }
        let (body, octets) = payload.finish();
        self.client.ticket += 1;
        assert_eq!(self.bench.post(self.client.ticket, octets, &body), 200);
    }

    /// Lets everything under way arrive.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.deliver(false);
            if self.client.step < 2 && self.client.poll.is_none() {
                self.step(4);
            }
            if self.client.step == 2 {
                self.step(8);
            }
            self.step(3);
        }
    }
}

fn numbers(count: u64) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

proptest! {
    #[test]
    fn every_message_arrives_once_and_in_order(v3: bool, choices in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut world = World::new(if v3 { Version::V3 } else { Version::V4 });
        for choice in choices {
            world.step(choice);
        }
        world.settle();
        prop_assert_eq!(world.bench.session.ended(), None);
        prop_assert_eq!(&world.client.received, &numbers(world.said));
        let heard: Vec<_> = world.bench.heard.drain(..).map(|data| match data {
            Data::Text(text) => text.to_owned(),
            Data::Binary(bytes) => String::from_utf8(bytes.into_owned()).unwrap(),
        }).collect();
        prop_assert_eq!(heard, numbers(world.client.sent));
    }

    #[test]
    fn payloads_are_read_as_written(
        v3: bool,
        binary: bool,
        packets in proptest::collection::vec((0u8..7, any::<String>(), proptest::option::of(any::<Vec<u8>>())), 1..20),
    ) {
        let version = if v3 { Version::V3 } else { Version::V4 };
        const KINDS: [Kind; 7] =
            [Kind::Open, Kind::Close, Kind::Ping, Kind::Pong, Kind::Message, Kind::Upgrade, Kind::Noop];
        // The separator of v4 cannot be escaped; JSON never holds it.
        let texts: Vec<_> = packets.iter().map(|(_, text, _)| text.replace('\x1e', "")).collect();
        let packets: Vec<_> = packets.iter().zip(&texts).map(|((kind, _, bytes), text)| match bytes {
            Some(bytes) => Packet::binary(bytes),
            None => Packet::text(KINDS[usize::from(*kind)], text),
        }).collect();
        let mut writer = PayloadWriter::new(version, binary);
        for packet in &packets {
            writer.push(packet);
        }
        let (body, octets) = writer.finish();
        prop_assert_eq!(octets, binary && v3);
        let payload = if octets { Payload::binary(&body) } else { Payload::text(version, std::str::from_utf8(&body).unwrap()) };
        let read: Result<Vec<_>, _> = payload.collect();
        prop_assert_eq!(read, Ok(packets));
    }

    #[test]
    fn no_body_panics(v3: bool, octets: bool, body: Vec<u8>) {
        let version = if v3 { Version::V3 } else { Version::V4 };
        let mut bench = Bench::polling(version);
        let status = bench.post(1, octets, &body);
        prop_assert!(status == 200 || bench.session.ended().is_some());
    }
}
