//! `muster serve`: starts the node and the listeners, says where they are, and ends in order.

use std::io::{self, IsTerminal};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use engine::front::Desk;
use engine::host::Host;
use engine::io::{Choice, Clock as EngineClock, Tuning, affinity, sockets};
use engine::limits;
use engine::mesh::Capacity;
use engine::node::{Node, NodeSetup, Settings as NodeSettings};
use engine::store::{self, Kind as Store};
use schema::ShardId;
use tokio::sync::{mpsc, watch};

use crate::accept::Acceptor;
use crate::admin::{self, Admin};
use crate::auth::{LiveVerifier, Verifier, secret};
use crate::clock::Clock;
use crate::config::{self, Config, ConfigError, GroupHistory, HostChoice, IoChoice, Secret, StoreKind};
use crate::conn::Conn;
use crate::edges::pace::Rate;
use crate::edges::socketio::Endpoint;
use crate::edges::socketio::errand::{self, Errand, Errands};
use crate::edges::{self, Shared};
use crate::erasing::Erasures;
use crate::http::Front;
use crate::media::Media;
use crate::realms::Realms;
use crate::{binary, desk, endpoints, http, logging, memory, tables, websocket};

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ServeError(pub String);

impl ServeError {
    fn of(what: &str) -> impl FnOnce(io::Error) -> Self + '_ {
        move |error| Self(format!("{what}: {error}"))
    }
}

/// The exit code of a process whose shard has died (`EX_SOFTWARE`).
pub const SHARD_DIED: i32 = 70;

/// Listeners that are bound and not yet served.
#[derive(Debug)]
pub struct Listeners {
    http: TcpListener,
    admin: TcpListener,
    binary: Option<TcpListener>,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// HTTP and WebSocket.
    pub http: SocketAddr,
    /// The binary protocol, where it is enabled.
    pub binary: Option<SocketAddr>,
    /// Health, readiness, metrics.
    pub admin: SocketAddr,
}

impl Listeners {
    /// Binds all of them.
    ///
    /// # Errors
    /// When an address is taken or not ours; the text names the key to change.
    pub fn bind(config: &Config) -> Result<Self, ServeError> {
        let bind = |key: &str, address: SocketAddr| {
            sockets::listener(address, false).map(TcpListener::from).map_err(|error| {
                ServeError(format!("cannot listen on {address}: {error}; choose another address with {key}"))
            })
        };
        Ok(Self {
            http: bind("--http or http.address", config.http.address)?,
            admin: bind("--admin or admin.address", config.admin.address)?,
            binary: match config.binary.enabled {
                true => Some(bind("--binary or binary.address", config.binary.address)?),
                false => None,
            },
        })
    }

    /// The addresses, with the ports the kernel chose where 0 was asked for.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn addresses(&self) -> Result<Addresses, ServeError> {
        let address = |listener: &TcpListener| {
            listener.local_addr().map_err(ServeError::of("a listener has no address"))
        };
        Ok(Addresses {
            http: address(&self.http)?,
            binary: self.binary.as_ref().map(address).transpose()?,
            admin: address(&self.admin)?,
        })
    }
}

/// Runs the server with a configuration that was checked, until a signal ends it. `reread` reads the configuration again
/// for SIGHUP.
///
/// # Errors
/// When it cannot start.
pub fn run(mut config: Config, reread: &dyn Fn() -> Result<Config, ConfigError>) -> Result<(), ServeError> {
    if config.server.node.is_none() {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        config.server.node = Some(name.trim().to_owned()).filter(|name| !name.is_empty());
    }
    let listeners = Listeners::bind(&config)?;
    let addresses = listeners.addresses()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(config.http.threads.max(1)))
        .thread_name("front-door")
        .enable_all()
        .build()
        .map_err(ServeError::of("the front door's threads could not be started"))?;
    let server = Server::start(&config, listeners, Clock::system(), &runtime)?;
    announce(&config, addresses, &server);
    let ended = runtime.block_on(signals(|| server.reload(reread)));
    tracing::info!(signal = ended, "draining");
    server.drain(&runtime);
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    tracing::info!("bye");
    Ok(())
}

/// Waits for the signal that ends the server; calls `hang_up` at each SIGHUP.
async fn signals(hang_up: impl Fn()) -> &'static str {
    use tokio::signal::unix::{SignalKind, signal};
    let watched =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut term), Ok(mut int), Ok(mut hup)) = watched else {
        return "none: signals cannot be watched";
    };
    loop {
        tokio::select! {
            _ = term.recv() => return "SIGTERM",
            _ = int.recv() => return "SIGINT",
            _ = hup.recv() => hang_up(),
        }
    }
}

/// A running server.
pub struct Server {
    node: Node<Conn>,
    front: Arc<Front>,
    stop: watch::Sender<bool>,
    drain_over: u32,
}

impl Server {
    /// Starts the shards and the front door on a runtime.
    ///
    /// # Errors
    /// When a part cannot start; the text names the fix.
    pub fn start(
        config: &Config,
        listeners: Listeners,
        clock: Clock,
        runtime: &tokio::runtime::Runtime,
    ) -> Result<Self, ServeError> {
        Self::start_with(config, listeners, clock, runtime, Vec::new())
    }

    /// The same with further Engine.IO endpoints, beside those of the configuration that have other paths.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn start_with(
        config: &Config,
        listeners: Listeners,
        clock: Clock,
        runtime: &tokio::runtime::Runtime,
        mut endpoints: Vec<Endpoint>,
    ) -> Result<Self, ServeError> {
        for endpoint in endpoints::of_config(config) {
            if !endpoints.iter().any(|further| further.path == endpoint.path) {
                endpoints.push(endpoint);
            }
        }
        let endpoints: Arc<[Endpoint]> = endpoints.into();
        let (errands, to_do) = mpsc::channel(errand::PLACES);
        let verifier = Verifier::from_config(config).map_err(|error| ServeError(error.to_string()))?;
        if let Some(generated) = verifier.keys().generated() {
            tracing::info!("{}", generated.notice());
        }
        for warning in config.warnings() {
            tracing::warn!("{warning}");
        }
        let verifier = Arc::new(LiveVerifier::new(verifier));
        let media = match config.messaging_api.enabled {
            true => Some(Arc::new(runtime.block_on(Media::open(config)).map_err(ServeError)?)),
            false => None,
        };
        let (node, desk) = start_node(config, endpoints.clone(), errands)?;
        let (stop, stopped) = watch::channel(false);
        let _in_runtime = runtime.enter();
        let realms = Arc::new(Realms::new(&config.auth.realms));
        if let Some(listener) = listeners.binary {
            let acceptor =
                Acceptor::new("binary", listener).map_err(ServeError::of("the binary listener failed"))?;
            let context = binary::Context {
                door: node.door(),
                verifier: verifier.clone(),
                realms: realms.clone(),
                clock: clock.clone(),
                settings: binary::Settings {
                    connect_time: config.binary.connect_time,
                    pre_auth_bytes: config.binary.pre_auth_bytes.bytes(),
                    silence: millis(config.binary.silence),
                    keepalive: config.binary.heartbeat,
                },
            };
            runtime.spawn(binary::serve(acceptor, context, stopped.clone()));
        }
        let marks = memory::Watermarks {
            connects: config.limits.memory_refuse_connects,
            publishes: config.limits.memory_refuse_publishes,
        };
        runtime.spawn(memory::watch(node.door(), marks));
        let (inquirer, attend) = desk::open(node.door(), desk);
        runtime.spawn(attend);
        let (erasures, course) = Erasures::open(&config.server.data);
        let kept = (media, erasures);
        let front = Front::new(Arc::new(config.clone()), verifier, realms, clock, inquirer, kept, endpoints);
        runtime.spawn(Erasures::run(front.clone(), course));
        runtime.spawn(http::engineio::run_errands(front.clone(), to_do));
        let acceptor =
            Acceptor::new("http", listeners.http).map_err(ServeError::of("the HTTP listener failed"))?;
        runtime.spawn(http::serve(acceptor, front.clone(), stopped));
        let acceptor =
            Acceptor::new("admin", listeners.admin).map_err(ServeError::of("the admin listener failed"))?;
        let admin = Admin { front: front.clone(), store: node.store_status(), chats: node.chats_status() };
        runtime.spawn(admin::serve(acceptor, Arc::new(admin)));
        Ok(Self { node, front, stop, drain_over: 0 })
    }

    /// The socket driver in use.
    #[must_use]
    pub fn driver(&self) -> &'static str {
        self.node.driver()
    }

    /// The front door, for further listeners.
    #[must_use]
    pub fn front(&self) -> &Arc<Front> {
        &self.front
    }

    /// How many shards there are.
    #[must_use]
    pub fn shards(&self) -> u16 {
        self.node.door().shards()
    }

    /// Puts in force what can change while running: the keys and rules for tokens, and what is logged. A configuration
    /// with errors changes nothing.
    pub fn reload(&self, reread: &dyn Fn() -> Result<Config, ConfigError>) {
        let config = match reread() {
            Ok(config) => config,
            Err(error) => return tracing::error!(%error, "the configuration has errors; nothing was changed"),
        };
        match Verifier::from_config(&config) {
            Ok(verifier) => self.front.verifier.replace(verifier),
            Err(error) => return tracing::error!(%error, "the keys cannot be read; nothing was changed"),
        }
        match logging::change(&config.server) {
            Ok(()) => tracing::info!("configuration read again: [auth] and server.log are in force"),
            Err(error) => tracing::error!(error, "[auth] is in force; what is logged stays as it was"),
        }
    }

    /// Takes no more, tells the clients to come back, writes what is dirty, and ends the shards.
    pub fn drain(self, runtime: &tokio::runtime::Runtime) {
        let _in_runtime = runtime.enter();
        self.front.drain();
        self.stop.send_replace(true);
        // On a single node there is nowhere else to go, so nothing is gained by spreading the reconnects.
        self.node.drain(self.drain_over);
    }
}

/// Milliseconds for the engine; the configuration's bounds keep them in range.
pub(crate) fn millis(time: std::time::Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

fn start_node(
    config: &Config,
    endpoints: Arc<[Endpoint]>,
    errands: mpsc::Sender<Errand>,
) -> Result<(Node<Conn>, Desk), ServeError> {
    let settings = node_settings(config)?;
    let store = store_kind(config, settings.seed)?;
    let edge_settings = edges::Settings { endpoints, ..edge_settings(config) };
    let setup = NodeSetup::<Conn> {
        settings,
        store,
        shared: Box::new(move |shard| {
            Shared::new(edge_settings.clone(), Errands::new(shard, errands.clone()))
        }),
        on_death: Arc::new(|shard: ShardId, cause: String| {
            tracing::error!(
                shard = shard.0,
                cause,
                "a shard has died; the process ends, since its users are gone"
            );
            std::process::exit(SHARD_DIED);
        }),
    };
    Node::start(setup).map_err(ServeError::of("the shards could not be started"))
}

/// A number that nobody can guess.
pub(crate) fn seed() -> Result<u64, ServeError> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)
        .map_err(|error| ServeError(format!("the system has no randomness: {error}")))?;
    Ok(u64::from_ne_bytes(random))
}

/// Which store, and where.
pub(crate) fn store_kind(config: &Config, nonce: u64) -> Result<Store, ServeError> {
    Ok(match config.store.kind {
        StoreKind::Memory => Store::Memory,
        StoreKind::Embedded => Store::Embedded(config.store_path()),
        StoreKind::Scylla => tables::open(config, nonce)?,
    })
}

fn node_settings(config: &Config) -> Result<NodeSettings, ServeError> {
    let (engine, presence, edge) = (&config.engine, &config.presence, &config.limits);
    let cores = affinity::allowed_cpus().len();
    let chats = &config.conversations;
    let shards = if engine.shards == 0 { cores.min(limits::SHARDS_MAX) as u16 } else { engine.shards };
    let open_files =
        sockets::raise_open_files().map_err(ServeError::of("the limit on open files is unknown"))?;
    let connections = match engine.connections {
        // One ring's table of direct descriptors is as long as the limit on open files.
        0 => u32::try_from(open_files).unwrap_or(u32::MAX).min(1 << 20),
        set => set,
    };
    let mut random = [0; 32];
    getrandom::fill(&mut random)
        .map_err(|error| ServeError(format!("the system has no randomness: {error}")))?;
    let word = |at: usize| random[at..at + 8].iter().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
    Ok(NodeSettings {
        shards,
        pin: engine.pin && cores > 1,
        io: match engine.io {
            IoChoice::Auto => Choice::Auto,
            IoChoice::Ring => Choice::Ring,
            IoChoice::Epoll => Choice::Epoll,
        },
        host: match engine.host {
            HostChoice::Thread => Host::Thread,
            HostChoice::Glommio => Host::Glommio,
        },
        limits: limits::Limits {
            sessions: connections.saturating_mul(2),
            devices_per_user: match presence.devices_per_user {
                0 => u32::MAX,
                bound => bound,
            },
            silence: millis(presence.silence),
            grace: millis(presence.grace),
            restart_grace: millis(presence.restart_grace),
            away_after: millis(presence.away_after),
            watch_list: presence.watch_limit,
            watch_window: millis(presence.watch_window),
            channels_per_session: edge.channels_per_session,
            query_ids: presence.bulk_limit,
            payload: edge.message_bytes.bytes() as u32,
            commands_per_second: edge.commands_per_second,
            commands_burst: edge.commands_burst,
            flush_interval: millis(config.store.flush_interval),
            members: chats.members,
            receipt_members: chats.receipt_members,
            history_since_join: chats.history == GroupHistory::SinceJoin,
            content: chats.content,
            sends_kept: millis(chats.retry_window),
            retention: retention(chats).map(|kept| u64::try_from(kept.as_millis()).unwrap_or(u64::MAX)),
            retention_round: retention_round(chats),
            chat_list: chats.list,
            chat_cache: chats.cache.bytes() / usize::from(shards.max(1)),
            chat_commands: chats.commands,
            ..limits::Limits::default()
        },
        tuning: Tuning {
            connections,
            receive_buffer: engine.receive_buffer.bytes() as u32,
            receive_buffers: engine.receive_buffers,
            send_buffer: engine.send_buffer.bytes() as u32,
            user_timeout: engine.user_timeout,
            gather: std::time::Duration::from_micros(engine.gather_micros.into()),
            ..Tuning::default()
        },
        inbox: Capacity { commands: engine.commands as u32, replies: engine.replies as u32 },
        desk: engine.replies as u32,
        store_queue: config.store.queue as u32,
        chats: chat_settings(config),
        outbox: (edge.outbox_bytes.bytes(), millis(edge.outbox_time)),
        secret: routing_key(config)?,
        incarnation: word(0) as u32,
        seed: word(8),
        clock: EngineClock::start(),
    })
}

/// How long messages are kept, by the number of the kind less one; zero: for good.
fn retention(chats: &config::Conversations) -> [Duration; 4] {
    [chats.retention_direct, chats.retention_group, chats.retention_trade, chats.retention_feed]
}

/// How often it is looked for older ones, milliseconds: some times in the shortest time that any are kept.
fn retention_round(chats: &config::Conversations) -> u32 {
    let shortest = retention(chats).into_iter().filter(|kept| !kept.is_zero()).min().unwrap_or_default();
    millis((shortest / 24).clamp(Duration::from_millis(200), Duration::from_secs(600)))
}

/// How conversations are kept.
pub(crate) fn chat_settings(config: &Config) -> store::chat::Settings {
    let store = &config.store;
    store::chat::Settings {
        path: store.chat_path.clone(),
        window: store.commit_window,
        together: store.commit_writes,
        together_bytes: store.commit_bytes.bytes(),
        readers: store.readers.into(),
        segment_bytes: store.segment_bytes.bytes() as u64,
        table_bytes: store.table_bytes.bytes(),
        cache_bytes: store.cache_bytes.bytes() as u64,
        reserve_bytes: store.reserve_bytes.bytes() as u64,
        sends_kept: config.conversations.retry_window,
    }
}

/// The key of the routing hash. It must not change over restarts, or a user's journal row would be read by another
/// shard; so it is derived from the cluster's secret, or kept in the data directory.
pub(crate) fn routing_key(config: &Config) -> Result<(u64, u64), ServeError> {
    let secret = match (&config.server.cluster_secret, config.store.kind) {
        (Some(secret), _) => secret.clone(),
        (None, StoreKind::Embedded | StoreKind::Scylla) => {
            secret::routing(&config.server.data).map_err(|problem| ServeError(problem.to_string()))?
        }
        // Nothing is kept, so nothing has to be found again.
        (None, StoreKind::Memory) => {
            Secret::new(secret::random_text::<32>().map_err(ServeError::of("the system has no randomness"))?)
        }
    };
    use sha2::{Digest, Sha256};
    let digest = Sha256::new().chain_update(b"muster routing key 1").chain_update(secret.expose()).finalize();
    let word = |at: usize| digest[at..at + 8].iter().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
    Ok((word(0), word(8)))
}

fn edge_settings(config: &Config) -> edges::Settings {
    edges::Settings {
        frame_bytes: config.binary.frame_bytes.bytes(),
        assembly: u64::from(millis(config.limits.assembly_time)),
        heartbeat: millis(config.binary.heartbeat),
        websocket: websocket::Limits {
            message_bytes: config.limits.message_bytes.bytes(),
            fragments: config.limits.fragments,
            assembly_ms: u64::from(millis(config.limits.assembly_time)),
        },
        silence: millis(config.presence.silence),
        ping: u64::from(millis(config.presence.ping)),
        frames: Rate { per_second: config.limits.commands_per_second, burst: config.limits.commands_burst },
        user_id: config.limits.user_id.into(),
        ..edges::Settings::default()
    }
}

/// Says where everything is, and what to try first.
fn announce(config: &Config, addresses: Addresses, server: &Server) {
    let binary = addresses.binary.map_or_else(|| "off".into(), |address| address.to_string());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        driver = server.driver(),
        shards = server.shards(),
        http = %addresses.http,
        binary,
        admin = %addresses.admin,
        "Muster is ready"
    );
    if !io::stderr().is_terminal() {
        return;
    }
    let data = config.server.data.display();
    let http = addresses.http;
    let text = format!(
        "\n  HTTP and WebSocket   http://{http}\n  API pages            http://{http}/swagger\n  \
         binary protocol      {binary}\n  health and metrics   http://{admin}/metrics\n\n  \
         Make a token:        muster token --user alice --data {data}\n  \
         Connect:             ws://{http}{base}/presence/ws?token=TOKEN\n  \
         Who is online:       curl http://{http}{base}/presence/online-count\n\n",
        admin = addresses.admin,
        base = config.presence_api.base_path,
    );
    // Whoever closed our standard error does not want to read this.
    let _ = io::Write::write_all(&mut io::stderr(), text.as_bytes());
}
