//! Statements whose answers are lost: a door between the driver and the server that lets questions through and no answers
//! back, and the pipeline that has to find out.

#![allow(clippy::disallowed_methods, reason = "a test waits for real time to pass")]

use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use schema::chat::Message;

use super::super::sweep;
use super::Tables;
use crate::machine::store::{ChatAsk, ChatStored, Horizon, Part, Place, Write};
use crate::store::chat::suite::{group_of, one_more};
use crate::store::chat::{Pipelined, Status};
use crate::store::{Health, Scylla};

/// Longest wait, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
struct Door {
    address: String,
    /// Answers are thrown away.
    deaf: Arc<AtomicBool>,
}

impl Door {
    fn open() -> Self {
        // The driver looks for a node at the node's own address, and at the port that it was told first.
        let server: std::net::SocketAddr = super::server::address().parse().unwrap();
        let listener = TcpListener::bind((server.ip(), 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let deaf = Arc::<AtomicBool>::default();
        let shared = deaf.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                // A server that has no time for one more is asked again by whoever comes next.
                let Ok(server) = TcpStream::connect(super::server::address()) else { continue };
                let (back, forth) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let never = Arc::<AtomicBool>::default();
                std::thread::spawn(move || pass(forth, server, &never));
                let deaf = shared.clone();
                std::thread::spawn(move || pass(back, client, &deaf));
            }
        });
        Self { address, deaf }
    }
}

/// Passes bytes on. Once some were lost the rest makes no sense: the connection ends with the first that may pass again.
fn pass(mut from: TcpStream, mut to: TcpStream, deaf: &AtomicBool) {
    let (mut buffer, mut lost) = ([0; 16 << 10], false);
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        lost |= deaf.load(Ordering::Acquire);
        if lost && !deaf.load(Ordering::Acquire) || !lost && to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    _ = from.shutdown(Shutdown::Both);
    _ = to.shutdown(Shutdown::Both);
}

fn wait(what: &str, mut is: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < until, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

struct Asker {
    pipelined: Arc<dyn Pipelined>,
    status: Arc<Status>,
}

impl Asker {
    fn of(scylla: &Scylla) -> Self {
        let (pipelined, status) = (scylla.chats().pipelined.unwrap(), Arc::<Status>::default());
        pipelined.watch(status.clone(), Box::new(|what| panic!("{what}")));
        Self { pipelined, status }
    }

    fn ask(&self, ask: ChatAsk) -> mpsc::Receiver<ChatStored> {
        let (sender, receiver) = mpsc::channel();
        self.pipelined.take(ask, Box::new(move |stored| _ = sender.send(stored)));
        receiver
    }

    fn write(&self, place: Place, parts: Vec<Part>) -> mpsc::Receiver<ChatStored> {
        self.ask(ChatAsk::Write(Box::new(Write { place, parts })))
    }

    /// All messages, the newest first.
    fn page(&self, place: Place) -> Vec<Message> {
        let ask =
            ChatAsk::Page { place, before: u64::MAX, after: 0, forward: false, limit: 100, receipts: false };
        match self.ask(ask).recv_timeout(PATIENCE).unwrap() {
            ChatStored::Page { messages, .. } => messages,
            other => panic!("{other:?}"),
        }
    }

    fn times(&self, place: Place) -> Vec<u64> {
        self.page(place).iter().map(|message| message.id.at).collect()
    }
}

fn place(number: u128) -> Place {
    (schema::Realm(0), schema::chat::ConversationId::from_number(number))
}

#[test]
fn a_write_whose_answer_is_lost_is_answered_when_it_is_known() {
    let door = Door::open();
    let mut tables = Tables::new();
    tables.settings.nodes = vec![door.address.clone()];
    let scylla = tables.open_in(Duration::from_secs(1));
    let asker = Asker::of(&scylla);
    let of = place(1);
    let done = asker.write(of, group_of(of)).recv_timeout(PATIENCE).unwrap();
    assert!(matches!(done, ChatStored::Written), "{done:?}");

    door.deaf.store(true, Ordering::Release);
    let in_doubt = asker.write(of, vec![one_more(of, 100)]);
    wait("it is in doubt", || asker.status.in_doubt() == 1);
    // Behind it in the same conversation: waits, too.
    let behind = asker.write(of, vec![one_more(of, 200)]);
    wait("the store counts as failing", || asker.status.health() != Health::Ok);
    // What is known not to have been begun is refused at once, in any other conversation.
    let other = asker.write(place(2), group_of(place(2))).recv_timeout(PATIENCE).unwrap();
    assert!(matches!(other, ChatStored::Failed { .. }), "{other:?}");
    assert!(in_doubt.try_recv().is_err(), "nobody knows yet");

    door.deaf.store(false, Ordering::Release);
    assert!(matches!(in_doubt.recv_timeout(PATIENCE).unwrap(), ChatStored::Written));
    let behind = behind.recv_timeout(PATIENCE).unwrap();
    wait("the store is well", || asker.status.health() == Health::Ok);
    let times = asker.times(of);
    match behind {
        ChatStored::Written => assert_eq!(times, [200, 100]),
        _ => assert_eq!(times, [100], "refused is not there"),
    }
    assert_eq!(asker.status.in_doubt(), 0);
    assert!(asker.status.episodes() >= 1);
    let load = asker.ask(ChatAsk::Load { places: vec![place(2)] }).recv_timeout(PATIENCE).unwrap();
    assert!(matches!(&load, ChatStored::Loaded(found) if found == &[None]), "{load:?}");
}

#[test]
fn many_conversations_at_once_each_in_its_order() {
    let scylla = Tables::new().open();
    let asker = Asker::of(&scylla);
    let (conversations, messages) = (20, 30);
    let mut under_way = Vec::new();
    for number in 0..conversations {
        under_way.push(asker.write(place(number), group_of(place(number))));
    }
    for message in 1..=messages {
        for number in 0..conversations {
            under_way.push(asker.write(place(number), vec![one_more(place(number), message * 10)]));
        }
    }
    for answer in under_way {
        assert!(matches!(answer.recv_timeout(PATIENCE).unwrap(), ChatStored::Written));
    }
    let expected: Vec<u64> = (1..=messages).rev().map(|message| message * 10).collect();
    for number in 0..conversations {
        assert_eq!(asker.times(place(number)), expected);
    }
    assert_eq!(asker.status.writes(), (messages + 1) * conversations as u64);
    // Forgotten, or made and ended: cleared away in the background.
    let horizon = Horizon::of(&asker.page(place(1))[9]);
    let done = asker.write(place(1), vec![Part::Forgotten(horizon)]).recv_timeout(PATIENCE).unwrap();
    assert!(matches!(done, ChatStored::Written));
    let done = asker.write(place(0), vec![Part::Gone]).recv_timeout(PATIENCE).unwrap();
    assert!(matches!(done, ChatStored::Written));
    wait("nothing is left to clear away", || {
        scylla.block_on(async {
            let link = &scylla.link;
            let ready = link.ready().unwrap();
            let [gone, forgetful] = [0, 1].map(|it| sweep::part_of(place(it)));
            sweep::listed(link, ready, gone, None).await.unwrap().is_empty()
                && sweep::listed(link, ready, forgetful, None).await.unwrap().is_empty()
        })
    });
    assert_eq!(asker.times(place(1)), expected[..9]);
    asker.pipelined.end();
}
