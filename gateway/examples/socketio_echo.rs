//! An Engine.IO and Socket.IO server for conformance suites and benchmarks, without credentials:
//! `cargo run --release -p muster --example socketio_echo -- --port 3000`.
//!
//! Engine.IO on `/engine.io/`: each message comes back as the same kind. Socket.IO on `/socket.io/`, namespaces `/`,
//! `/custom` and `/protected` (whose token is `let-me-in`): on joining `auth` tells what the client brought; `message` comes
//! back as `message-back`, `message-with-ack` in its ack; `ask-me` is asked back as `question`, and its answer comes as
//! `answer-was`; `kick-me` leaves the namespace, `cut-me` closes the connection. The door, the shards, the sessions and the
//! codecs are those of the server.

#![allow(clippy::print_stdout, reason = "an example says where it listens")]

use std::error::Error;
use std::net::SocketAddr;

use clap::Parser;
use gateway::clock::Clock;
use gateway::config::Config;
use gateway::edges::socketio::{Endpoint, Speaker};
use gateway::engineio::handshake::Offer;
use gateway::serve::{Listeners, Server};
use gateway::socketio::Namespaces;
use gateway::{engineio, socketio, websocket};
use tokio::runtime::Runtime;

/// Sends events and messages back.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Arguments {
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 3000)]
    pub(crate) port: u16,
    /// Milliseconds between two pings.
    #[arg(long, default_value_t = 300)]
    pub(crate) ping_interval: u32,
    /// Milliseconds that the answer to a ping may take.
    #[arg(long, default_value_t = 200)]
    pub(crate) ping_timeout: u32,
    /// Milliseconds that a client may stay without a namespace.
    #[arg(long, default_value_t = 1_000)]
    pub(crate) connect_timeout: u32,
    /// Longest upload and message, bytes.
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) max_payload: u32,
    /// Shards.
    #[arg(long, default_value_t = 1)]
    pub(crate) shards: u16,
    /// Socket driver: ring, epoll or auto.
    #[arg(long, default_value = "auto")]
    pub(crate) io: String,
}

/// A server that echoes, until it is dropped.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    _server: Server,
    _runtime: Runtime,
}

impl Echo {
    pub(crate) fn start(arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        // A whole server with its other doors on ports of their own.
        let config = Config::from_toml(
            "the arguments",
            &format!(
                "[http]\naddress = \"127.0.0.1:{}\"\n[admin]\naddress = \"127.0.0.1:0\"\n[binary]\nenabled = false\n\
                 [store]\nkind = \"memory\"\n[auth]\nsecret = \"only here to start the server with\"\n\
                 [engine]\nio = \"{}\"\nshards = {}\n\
                 [limits]\noutbox_bytes = \"64MiB\"\noutbox_time = \"5m\"\n",
                arguments.port, arguments.io, arguments.shards,
            ),
        )?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listeners = Listeners::bind(&config)?;
        let address = listeners.addresses()?.http;
        let endpoints = vec![
            endpoint("/engine.io", Speaker::EngineEcho, arguments),
            endpoint("/socket.io", Speaker::Echo, arguments),
        ];
        let server = Server::start_with(&config, listeners, Clock::system(), &runtime, endpoints)?;
        Ok(Self { address, _server: server, _runtime: runtime })
    }
}

fn endpoint(path: &str, speaker: Speaker, arguments: &Arguments) -> Endpoint {
    let max = arguments.max_payload as usize;
    Endpoint {
        path: path.into(),
        speaker,
        offer: Offer { polling: true, websocket: true, version3: true },
        engine: engineio::Settings {
            ping_interval: arguments.ping_interval,
            ping_timeout: arguments.ping_timeout,
            max_payload: arguments.max_payload,
            outbox: 64 * 1024 * 1024,
            ..engineio::Settings::default()
        },
        io: socketio::Settings {
            connect_timeout: arguments.connect_timeout,
            packet_bytes: max,
            ..socketio::Settings::new(Namespaces::new(&["/custom", "/protected"]))
        },
        websocket: websocket::Limits { message_bytes: max, ..websocket::Limits::default() },
        events_per_second: 0,
        events_burst: 0,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let echo = Echo::start(&Arguments::parse())?;
    println!("listening on {}", echo.address);
    loop {
        std::thread::park();
    }
}
