//! What a send through the store in ScyllaDB or Cassandra costs, beside the same statements by the bare driver:
//! `cargo run --release -p muster-engine --example tables -- --help`.
//!
//! Conversations send one message after the other, each with a client's id: an intent, then the message and the client's
//! id side by side. The bare driver does these three, prepared and routed alike, and nothing else: no order, no queues, no
//! recovery. Both take turns.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a measurement: it reports, stops at the first error, and reads clocks"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use muster_engine::machine::store::{ChatAsk, ChatStored, Part, Place, Write};
use muster_engine::store::chat::{Pipelined, Status};
use muster_engine::store::scylla::{Scylla, Settings};
use schema::chat::{Conversation, ConversationId, Kind, Message, MessageId};
use schema::{Id, Realm};
use scylla::client::session::Session;
use scylla::statement::prepared::PreparedStatement;

const CONTENT: usize = 200;

const HELP: &str = "\
--nodes 127.0.0.1:9042   servers, by commas        --keyspace muster_measure   made if it is missing, and left
--flight 256             conversations that send   --seconds 10                of each turn
--rounds 3               turns                     --replicas 1";

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|it| it == "--help") {
        println!("{HELP}");
        return;
    }
    let text = |name: &str, or: &str| {
        let at = arguments.iter().position(|it| it.strip_prefix("--") == Some(name));
        at.and_then(|at| arguments.get(at + 1)).map_or(or.to_owned(), Clone::clone)
    };
    let number = |name: &str, or: u64| text(name, &or.to_string()).parse::<u64>().unwrap();
    let (flight, seconds) = (number("flight", 256), number("seconds", 10));
    let nodes: Vec<String> = text("nodes", "127.0.0.1:9042").split(',').map(str::to_owned).collect();
    let settings = Settings {
        nodes: nodes.clone(),
        keyspace: text("keyspace", "muster_measure"),
        replication: format!(
            "{{'class': 'SimpleStrategy', 'replication_factor': {}}}",
            number("replicas", 1)
        ),
        nonce: u64::from(std::process::id()),
        timeout: Duration::from_secs(10),
        ..Settings::default()
    };
    let keyspace = settings.keyspace.clone();
    let store = Scylla::open(settings).unwrap();
    let chats = store.chats().pipelined.unwrap();
    chats.watch(Arc::new(Status::default()), Box::new(|what| panic!("{what}")));
    make(&*chats, flight);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let bare = Arc::new(runtime.block_on(Bare::connect(&nodes, &keyspace)));
    let next = AtomicU64::new(1);
    let (mut by_driver, mut by_store) = (0.0, 0.0);
    for round in 1..=number("rounds", 3) {
        let driver = runtime.block_on(bare.run(flight, seconds));
        by_driver += report("bare driver", round, &driver, seconds);
        by_store += report("store", round, &send(&*chats, flight, seconds, &next), seconds);
    }
    println!("store ÷ driver: {:.2}", by_store / by_driver);
    chats.end();
}

fn report(what: &str, round: u64, latency: &Histogram<u64>, seconds: u64) -> f64 {
    let rate = latency.len() as f64 / seconds as f64;
    let at = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1_000.0;
    println!("{what}, turn {round}: {rate:.0} sends/s, p50 {:.1} ms, p99 {:.1} ms", at(0.5), at(0.99));
    rate
}

fn place(number: u64) -> Place {
    (Realm(0), ConversationId::from_number(u128::from(number) + 1))
}

/// Makes the conversations, once the tables are there.
fn make(chats: &dyn Pipelined, flight: u64) {
    for number in 0..flight {
        let (realm, id) = place(number);
        let conversation = Conversation {
            id,
            kind: Kind::Group,
            name: None,
            creator: Id::new("ann").unwrap(),
            extra: Arc::from([]),
            created_at: 1,
            updated_at: 1,
            members_count: 0,
            members: Vec::new(),
        };
        let parts = vec![Part::Gone, Part::Conversation(conversation.into())];
        loop {
            let (sender, answer) = mpsc::channel();
            let ask = ChatAsk::Write(Box::new(Write { place: (realm, id), parts: parts.clone() }));
            chats.take(ask, Box::new(move |stored| _ = sender.send(stored)));
            match answer.recv().unwrap() {
                ChatStored::Written => break,
                _ => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }
}

fn message(number: u64, sequence: u64) -> Write {
    let place = place(number);
    let message = Message {
        id: MessageId { conversation: place.1, at: 1_700_000_000_000 + sequence },
        sequence,
        sent: sequence,
        sender: Id::new("ann").unwrap(),
        to: None,
        row: 1,
        client_id: Some(format!("client-{sequence}").into()),
        kind: 0,
        content: "x".repeat(CONTENT).into(),
        attachment: None,
        updated_at: 1_700_000_000_000 + sequence,
        edited: false,
        deleted: false,
        reads: Vec::new(),
    };
    let sent = Part::Sent { row: 1, client_id: message.client_id.clone().unwrap(), message: message.id.at };
    Write { place, parts: vec![Part::Message(message.into()), sent] }
}

/// Sends through the store: each conversation its next message when the last was acknowledged.
fn send(chats: &dyn Pipelined, flight: u64, seconds: u64, next: &AtomicU64) -> Histogram<u64> {
    let mut latency = Histogram::new(3).unwrap();
    let (sender, answers) = mpsc::channel();
    let ask = |number: u64| {
        let (sender, begun) = (sender.clone(), Instant::now());
        let write = message(number, next.fetch_add(1, Ordering::Relaxed));
        let done = move |stored: ChatStored| _ = sender.send((number, begun, stored));
        chats.take(ChatAsk::Write(Box::new(write)), Box::new(done));
    };
    (0..flight).for_each(ask);
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut under_way = flight;
    while under_way > 0 {
        let (number, begun, stored) = answers.recv().unwrap();
        assert!(matches!(stored, ChatStored::Written), "{stored:?}");
        if Instant::now() < end {
            latency.record(begun.elapsed().as_micros() as u64).unwrap();
            ask(number);
        } else {
            under_way -= 1;
        }
    }
    latency
}

/// The same statements, by hand.
struct Bare {
    session: Session,
    intent: PreparedStatement,
    message: PreparedStatement,
    sent: PreparedStatement,
    next: AtomicU64,
}

impl Bare {
    async fn connect(nodes: &[String], keyspace: &str) -> Self {
        let session = scylla::client::session_builder::SessionBuilder::new().known_nodes(nodes);
        let session = session.use_keyspace(keyspace, false).build().await.unwrap();
        let prepare = async |text: &str| {
            let mut prepared = session.prepare(text).await.unwrap();
            prepared.set_consistency(scylla::statement::Consistency::LocalQuorum);
            prepared.set_is_idempotent(true);
            prepared
        };
        Self {
            intent: prepare(
                "INSERT INTO intents (realm, conversation, epoch, stamp, body) VALUES (?, ?, ?, ?, ?) USING TIMESTAMP ?",
            )
            .await,
            message: prepare(
                "INSERT INTO messages (realm, conversation, life, bucket, created_at, body) VALUES (?, ?, ?, ?, ?, ?) \
                 USING TIMESTAMP ?",
            )
            .await,
            sent: prepare(
                "INSERT INTO sends (realm, conversation, life, member_row, client_id, created_at) \
                 VALUES (?, ?, ?, ?, ?, ?) USING TIMESTAMP ? AND TTL ?",
            )
            .await,
            session,
            next: AtomicU64::new(1),
        }
    }

    async fn run(self: &Arc<Self>, flight: u64, seconds: u64) -> Histogram<u64> {
        let end = Instant::now() + Duration::from_secs(seconds);
        let tasks: Vec<_> = (0..flight)
            .map(|number| {
                let bare = self.clone();
                tokio::spawn(async move {
                    let mut latency = Histogram::<u64>::new(3).unwrap();
                    while Instant::now() < end {
                        let begun = Instant::now();
                        bare.send(number).await;
                        latency.record(begun.elapsed().as_micros() as u64).unwrap();
                    }
                    latency
                })
            })
            .collect();
        let mut all = Histogram::new(3).unwrap();
        for task in tasks {
            all.add(task.await.unwrap()).unwrap();
        }
        all
    }

    async fn send(&self, number: u64) {
        // Conversations that the store does not have.
        let id = place(number + (1 << 40)).1.to_bytes();
        let sequence = self.next.fetch_add(1, Ordering::Relaxed) as i64;
        let (at, stamp, client) =
            (1_700_000_000_000 + sequence, 1_700_000_000_000_000 + sequence, format!("client-{sequence}"));
        let body = vec![7_u8; CONTENT + 40];
        let both = vec![7_u8; CONTENT + 100];
        let intent = (0_i32, &id[..], 1_i64, stamp, &both[..], stamp);
        self.session.execute_unpaged(&self.intent, intent).await.unwrap();
        let message = (0_i32, &id[..], 1_i64, sequence / 4_096, at, &body[..], stamp);
        let sent = (0_i32, &id[..], 1_i64, 1_i64, &client, at, stamp, 172_800_i32);
        let message = self.session.execute_unpaged(&self.message, message);
        let sent = self.session.execute_unpaged(&self.sent, sent);
        tokio::try_join!(message, sent).unwrap();
    }
}
