//! A WebSocket server that sends each message back as the same kind, for conformance suites:
//! `cargo run --release -p muster --example websocket_echo -- --port 9001 --max-message 16777216 --max-fragments 65536`.
//!
//! Any path, no authentication. The handshake, the hand-over, the shard and the framing are those of the server.

#![allow(clippy::print_stdout, reason = "an example says where it listens")]

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use clap::Parser;
use engine::io::sockets;
use gateway::accept::Acceptor;
use gateway::clock::Clock;
use gateway::config::Config;
use gateway::conn::{Arrival, EchoArrival};
use gateway::http::Front;
use gateway::http::handover::Receiver;
use gateway::http::listener::{self, Settings};
use gateway::serve::{Listeners, Server};
use gateway::websocket::handshake::{self, Policy};
use http::StatusCode;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Sends each WebSocket message back.
#[derive(Parser)]
pub(crate) struct Arguments {
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 9001)]
    pub(crate) port: u16,
    /// Longest message, bytes, 1 KiB to 16 MiB.
    #[arg(long, default_value_t = 65_536)]
    pub(crate) max_message: usize,
    /// Most fragments of a message, 1 to 65,536.
    #[arg(long, default_value_t = 1_024)]
    pub(crate) max_fragments: u32,
    /// Socket driver: ring, epoll or auto.
    #[arg(long, default_value = "auto")]
    pub(crate) io: String,
}

/// A server that echoes, until it is dropped.
pub(crate) struct Echo {
    pub(crate) address: SocketAddr,
    _server: Server,
    _runtime: Runtime,
    _go_on: watch::Sender<bool>,
}

impl Echo {
    pub(crate) fn start(arguments: &Arguments) -> Result<Self, Box<dyn Error>> {
        // A whole server with its other doors on ports of their own; a peer may read as late as it likes.
        let config = Config::from_toml(
            "the arguments",
            &format!(
                "[http]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n[binary]\nenabled = false\n\
                 [store]\nkind = \"memory\"\n[auth]\nsecret = \"only here to start the server with\"\n\
                 [engine]\nio = \"{}\"\nshards = 1\n\
                 [limits]\nmessage_bytes = \"{}B\"\nfragments = {}\noutbox_bytes = \"64MiB\"\noutbox_time = \"5m\"\n",
                arguments.io, arguments.max_message, arguments.max_fragments,
            ),
        )?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let server = Server::start(&config, Listeners::bind(&config)?, Clock::system(), &runtime)?;

        let socket = sockets::listener((Ipv4Addr::LOCALHOST, arguments.port).into(), false)?;
        let socket = std::net::TcpListener::from(socket);
        let address = socket.local_addr()?;
        let router = Router::new().fallback(echo).with_state(server.front().clone());
        let (go_on, stop) = watch::channel(false);
        let acceptor = {
            let _in_runtime = runtime.enter();
            Acceptor::new("echo", socket)?
        };
        runtime.spawn(listener::serve(acceptor, router, Settings::of_http(&config), Arc::default(), stop));
        Ok(Self { address, _server: server, _runtime: runtime, _go_on: go_on })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let echo = Echo::start(&Arguments::parse())?;
    println!("echoing at ws://{}", echo.address);
    loop {
        std::thread::park();
    }
}

/// Any request that is a handshake becomes a WebSocket.
async fn echo(State(front): State<Arc<Front>>, mut request: Request<Body>) -> Response {
    let any = ["*".to_owned()];
    let policy = Policy { origins: &any, protocols: &[], bearer: false };
    match handshake::accept(request.method(), request.version(), request.headers(), &policy) {
        Ok(accepted) => {
            let Some(place) = front.handover.place() else {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            };
            let shard = front.inquirer.any_shard();
            front.handover.switch(
                &mut request,
                accepted.headers,
                place,
                Receiver::Shard(shard),
                |read_ahead| Arrival::Echo(EchoArrival { read_ahead }),
            )
        }
        Err(refusal) => (refusal.status, refusal.headers, refusal.text).into_response(),
    }
}
