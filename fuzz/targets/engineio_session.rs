//! Lists of operations on an Engine.IO session: every request gets exactly one answer by the session's end, what waits
//! is bounded, nothing panics.

#![no_main]

use std::collections::BTreeMap;

use gateway::engineio::session::{Class, Frame, Opening, Turn};
use gateway::engineio::{Answer, Outgoing, Outlet, Reason, Session, Settings, Ticket, Version};
use libfuzzer_sys::fuzz_target;

const SETTINGS: Settings = Settings {
    ping_interval: 50,
    ping_timeout: 40,
    max_payload: 100,
    upgrade_timeout: 30,
    close_timeout: 60,
    outbox: 2000,
    answer_packets: 4,
    answer_bytes: 200,
    upgrades: true,
};

#[derive(Default)]
struct Ear {
    answers: BTreeMap<u64, u32>,
    unsettled: Vec<u64>,
    open_sockets: i32,
}

impl Outlet for Ear {
    fn text(&mut self, packet: &str) {
        assert!(self.open_sockets > 0 && !packet.is_empty());
    }

    fn binary(&mut self, _: &[u8], _: &[u8]) {
        assert!(self.open_sockets > 0);
    }

    fn close_socket(&mut self, _: Option<Reason>) {
        self.open_sockets -= 1;
        assert!(self.open_sockets >= 0, "a socket closed twice");
    }

    fn answer(&mut self, ticket: Ticket, answer: Answer) {
        *self.answers.entry(ticket.0).or_default() += 1;
        if let Answer::Packets { body, .. } = answer {
            assert!(body.len() < 2000);
            self.unsettled.push(ticket.0);
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&first, mut rest)) = input.split_first() else { return };
    let version = if first & 1 == 0 { Version::V4 } else { Version::V3 };
    let opening = Opening { version, sid: "sid", base64: first & 2 != 0, first_ping: 50 };
    let (mut ear, mut now, mut tickets, mut begun) = (Ear::default(), 0, 0u64, None);
    let mut session = if first & 4 == 0 {
        Session::polling(&SETTINGS, now, &opening)
    } else {
        ear.open_sockets = 1;
        Session::websocket(&mut Turn { settings: &SETTINGS, now, outlet: &mut ear }, &opening)
    };
    let mut gone = Vec::new();
    while let Some((&operation, after)) = rest.split_first() {
        let length = usize::from(after.first().copied().unwrap_or(0) % 32).min(after.len());
        let (argument, after) = after.split_at(length);
        rest = after;
        let argument = argument.get(1..).unwrap_or_default();
        let text = String::from_utf8_lossy(argument);
        let settled = ear.unsettled.pop();
        let answered_before = ear.answers.clone();
        let mut turn = Turn { settings: &SETTINGS, now, outlet: &mut ear };
        match operation % 16 {
            0 | 1 => {
                tickets += 1;
                session.poll(&mut turn, Ticket(tickets));
            }
            2..=4 => {
                // One whose session has ended meanwhile has its answer.
                let waits = |ticket: &u64| !answered_before.contains_key(ticket);
                let ticket = begun.take().filter(waits).unwrap_or_else(|| {
                    tickets += 1;
                    tickets
                });
                let upload = session.upload(&mut turn, Ticket(ticket), operation & 128 != 0, argument);
                if let Some(mut upload) = upload {
                    while let Some(message) = session.next(&mut turn, &mut upload) {
                        drop(message);
                        session.send(&mut turn, Outgoing::Packet("4echo".into()), Class::Durable);
                    }
                }
            }
            5 if begun.is_none() => {
                tickets += 1;
                session.upload_begins(&mut turn, Ticket(tickets));
                begun = (!ear.answers.contains_key(&tickets)).then_some(tickets);
            }
            6 => ear.open_sockets += i32::from(session.socket_arrived(&turn)),
            7 | 8 if turn_has_socket(&session, operation) => {
                let _ = session.frame(&mut turn, Frame::Text(&text));
            }
            9 => drop(session.frame(&mut turn, Frame::Binary(argument))),
            10 => {
                drop(session.frame(&mut turn, Frame::Text(if operation & 16 == 0 { "2probe" } else { "5" })))
            }
            11 => {
                now += u64::from(operation);
                turn.now = now;
                session.on_deadline(&mut turn);
                assert!(session.deadline() > now);
            }
            12 => drop(session.send(&mut turn, Outgoing::Binary(argument.into()), Class::Volatile)),
            13 => session.flush(&mut turn),
            14 if operation > 200 => session.close(&mut turn),
            15 => {
                let ticket = u64::from(operation) % (tickets + 1);
                let answered = ear.answers.contains_key(&ticket);
                session
                    .request_gone(&mut Turn { settings: &SETTINGS, now, outlet: &mut ear }, Ticket(ticket));
                if !answered && !ear.answers.contains_key(&ticket) {
                    gone.push(ticket);
                }
            }
            _ => {}
        }
        if let Some(ticket) = settled {
            let mut turn = Turn { settings: &SETTINGS, now, outlet: &mut ear };
            match operation & 64 == 0 {
                true => session.answer_taken(&mut turn, Ticket(ticket)),
                false => session.answer_lost(&mut turn, Ticket(ticket)),
            }
        }
    }
    // Time runs out for whoever is left.
    for _ in 0..10 {
        now = now.max(session.deadline().min(now + 1_000));
        session.on_deadline(&mut Turn { settings: &SETTINGS, now, outlet: &mut ear });
    }
    assert!(session.ended().is_some());
    assert_eq!(ear.open_sockets, 0, "a socket left open");
    for ticket in 1..=tickets {
        let answers = ear.answers.get(&ticket).copied().unwrap_or(0);
        assert!(answers == 1 || answers == 0 && gone.contains(&ticket), "{answers} answers for {ticket}");
    }
});

/// Whether frames can come at all; a session whose socket is not there ignores them, which is tried as well.
fn turn_has_socket(session: &Session, operation: u8) -> bool {
    session.ended().is_none() || operation & 32 != 0
}
