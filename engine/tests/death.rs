//! A shard that dies does not die in silence: whoever runs the node is told which one and why, and ends the process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use muster_engine::host::Host;
use muster_engine::io::{Choice, Clock, Tuning};
use muster_engine::limits::Limits;
use muster_engine::mesh::Capacity;
use muster_engine::node::{Node, NodeSetup, Settings};
use muster_engine::protocol::{Dialect, Effects, Protocol};
use muster_engine::store;
use schema::command::Edge;
use schema::{CloseReason, Event, Refusal, SessionAddr, ShardId};

/// A protocol with a bug in it.
struct Broken;

impl Protocol for Broken {
    type Arrival = ();
    type Shared = ();

    fn arrive((): (), _: &mut (), _: &mut Effects<'_>) -> Self {
        panic!("a bug of the test")
    }

    fn received(&mut self, _: &mut (), _: &mut [u8], _: &mut Effects<'_>) {}

    fn opened(&mut self, _: &mut (), _: u32, _: Result<SessionAddr, Refusal>, _: &mut Effects<'_>) {}

    fn closing(&mut self, _: &mut (), _: u32, _: CloseReason, _: &mut Effects<'_>) {}

    fn deadline(&mut self, _: &mut (), _: &mut Effects<'_>) {}

    fn dialect(&self) -> Dialect {
        Dialect(0)
    }

    fn encode(_: Dialect, _: &mut (), _: &Event, _: &mut Vec<u8>) {}

    fn edge(&self) -> Edge {
        Edge::Binary
    }
}

fn dies(io: Choice, host: Host) {
    let (died, deaths) = mpsc::channel();
    let setup = NodeSetup::<Broken> {
        settings: Settings {
            shards: 3,
            pin: false,
            io,
            host,
            limits: Limits::default(),
            tuning: Tuning { connections: 100, ..Tuning::default() },
            inbox: Capacity { commands: 64, replies: 256 },
            desk: 64,
            store_queue: 64,
            chats: store::chat::Settings::default(),
            outbox: (1 << 16, 1_000),
            secret: (1, 2),
            incarnation: 3,
            seed: 4,
            clock: Clock::start(),
        },
        store: store::Kind::Memory,
        shared: Box::new(|_| ()),
        on_death: Arc::new(move |shard, cause| died.send((shard, cause)).unwrap()),
    };
    let (node, _desk) = Node::start(setup).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    node.door().hand_over(ShardId(1), socket.into(), ()).unwrap();
    let (shard, cause) = deaths.recv_timeout(Duration::from_secs(20)).expect("the death is told");
    assert_eq!(shard, ShardId(1));
    assert!(cause.contains("panicked") && cause.contains("a bug of the test"), "{cause}");
    drop(client);
    // The others live, and nobody else has died.
    assert!(deaths.recv_timeout(Duration::from_millis(200)).is_err());
    node.drain(0);
}

#[test]
fn on_the_ring() {
    dies(Choice::Ring, Host::Thread);
}

#[test]
fn on_epoll() {
    dies(Choice::Epoll, Host::Thread);
}

#[test]
fn inside_glommio() {
    dies(Choice::Ring, Host::Glommio);
}
