//! Every section and key of the configuration: name, type, default, bounds, meaning.
//!
//! This table is the one place that lists them. `docs/CONFIGURATION.md` and `muster config` are printed from
//! it, the structs are made from it. To add a key, add a row, and run `muster config --markdown >
//! docs/CONFIGURATION.md`.
//!
//! Defaults and bounds are written as in the environment (`20s`, `64KiB`, `a,b`); an empty default of an
//! optional key means that it is not set.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::choice::{
    Algorithm, GroupHistory, HostChoice, IoChoice, KeyStyle, LogFormat, MediaStore, StoreKind,
};
use super::table::settings;
use super::value::{Secret, Size};

settings! {
    /// The process as a whole.
    [server] Server {
        /// Directory for everything Muster keeps: the store, the journal of who was online, the generated
        /// secret. Made with mode 0700 where it does not exist. Relative paths, here and elsewhere, start at the
        /// working directory.
        data: PathBuf = "./muster-data";
        /// Name of this node in logs and metrics. Without it, the host name.
        node: Option<String> = "";
        /// Time a SIGTERM leaves to close the connections politely before the process exits.
        drain: Duration = "20s" in "0s"..="10m";
        /// What to log: a level (`error`, `warn`, `info`, `debug`, `trace`), or levels by module such as
        /// `info,gateway=debug`.
        log: String = "info";
        /// How log lines look: `human`, `json`, or `auto`, which is human on a terminal and JSON elsewhere.
        log_format: LogFormat = "auto";
        /// Secret that the nodes of one cluster share; it decides which shard owns which key, so it must be the
        /// same on every node. At least 32 bytes. A single node needs none.
        cluster_secret: Option<Secret> = "";
    }

    /// The public listener: REST calls, WebSocket handshakes, long polls.
    [http] Http {
        /// Address and port of the listener.
        address: SocketAddr = "127.0.0.1:8080";
        /// Proxies in front of Muster. Only a request from one of these networks has its client address taken
        /// from `X-Forwarded-For`.
        trusted_proxies: Vec<IpNet> = "";
        /// Web origins that browsers may call from, such as `https://app.example.com`. `*` allows any.
        origins: Vec<String> = "*";
        /// Longest request head (request line and headers).
        head_bytes: Size = "8KiB" in "1KiB"..="64KiB";
        /// Most headers in a request.
        head_fields: u16 = "64" in "16"..="256";
        /// Time a client has to send its request head, and an idle keep-alive connection to send the next.
        head_time: Duration = "10s" in "1s"..="2m";
        /// Longest request body, uploads apart.
        body_bytes: Size = "1MiB" in "4KiB"..="64MiB";
        /// Most HTTP connections open at a time. An upgraded WebSocket belongs to its shard and no longer counts.
        connections: u32 = "4096" in "16"..="1000000";
        /// Upgraded sockets that may wait for their shard. A handshake beyond it is answered 503.
        handover_queue: usize = "1024" in "16"..="65536";
        /// Threads of the HTTP server; 0 takes one.
        threads: u16 = "0" in "0"..="256";
    }

    /// The listener of the binary protocol, for internal services and native clients.
    [binary] Binary {
        /// Whether to listen at all.
        enabled: bool = "true";
        /// Address and port of the listener.
        address: SocketAddr = "127.0.0.1:7400";
        /// How often clients are told to send a heartbeat.
        heartbeat: Duration = "30s" in "1s"..="10m";
        /// A connection without a frame for this long is dead.
        silence: Duration = "90s" in "2s"..="30m";
        /// Time a new connection has to authenticate.
        connect_time: Duration = "5s" in "100ms"..="1m";
        /// Most bytes a connection may send before it is authenticated.
        pre_auth_bytes: Size = "4KiB" in "1KiB"..="64KiB";
        /// Longest frame of an authenticated connection.
        frame_bytes: Size = "64KiB" in "1KiB"..="16MiB";
    }

    /// The listener for operators: health, readiness, metrics.
    [admin] Admin {
        /// Address and port of the listener.
        address: SocketAddr = "127.0.0.1:9400";
        /// Bearer token that its requests must carry; at least 16 bytes. Required where the address is not a
        /// loopback one.
        token: Option<Secret> = "";
    }

    /// Whose tokens are believed, and what is read from them.
    [auth] Auth {
        /// Secret that HS256, HS384 and HS512 tokens are signed with, at least 32 bytes. With no secret and no
        /// key at all, the first start makes a secret in the data directory.
        secret: Option<Secret> = "";
        /// File that holds the secret, in place of `secret`. White space at its ends does not count.
        secret_file: Option<PathBuf> = "";
        /// PEM file with the public key of an issuer: RSA (RS256, PS256), P-256 (ES256) or Ed25519 (EdDSA).
        public_key_file: Option<PathBuf> = "";
        /// JWKS file with the keys of an issuer, chosen by the token's `kid` and `alg`.
        jwks_file: Option<PathBuf> = "";
        /// Algorithms accepted. Each is only ever tried with a key of its own type, whatever the token says.
        algorithms: Vec<Algorithm> = "HS256,HS384,HS512,RS256,PS256,ES256,EdDSA";
        /// Claims that may hold the user's id, the first present one counts.
        identity_claims: Vec<String> = "sub,userId,user_id,id,uid";
        /// Claim that marks an internal service when it is exactly `true`. Empty: no token is a service's.
        service_claim: Option<String> = "service";
        /// Claim that holds the user's role.
        role_claim: Option<String> = "role";
        /// Claim that holds the realm, the name space of users and conversations. Where it is set, a token without
        /// it is refused; where it is not, everyone is in one realm.
        realm_claim: Option<String> = "";
        /// Names of the realms, when tokens name one. Stored data is kept under their numbers, so the list may only
        /// grow at its end.
        realms: Vec<String> = "";
        /// Required value of the `iss` claim.
        issuer: Option<String> = "";
        /// Accepted values of the `aud` claim; empty accepts any token.
        audience: Vec<String> = "";
        /// Tolerance for clocks that differ, when `exp`, `nbf` and `iat` are checked.
        leeway: Duration = "30s" in "0s"..="60s";
        /// Whether a public listener may start with the generated secret.
        allow_generated_secret_in_public: bool = "false";
    }

    /// The shards and their sockets.
    [engine] Engine {
        /// Number of shards; 0 takes one per core.
        shards: u16 = "0" in "0"..="1024";
        /// Socket driver: `ring` is io_uring, `epoll` works everywhere, `auto` takes the first that the kernel
        /// allows.
        io: IoChoice = "auto";
        /// What runs a shard: a plain thread, or a glommio executor.
        host: HostChoice = "thread";
        /// Whether each shard is pinned to a core.
        pin: bool = "true";
        /// Microseconds that a shard on a plain thread gathers what comes before it goes on, unless much comes: fewer turns,
        /// answers in batches, a fifth less CPU at ten thousand requests a second, and up to that much more latency where
        /// requests are so dense. What comes after a longer rest is not kept waiting. 0: each wakes the shard. (The kernel does
        /// it for `ring` on Linux 6.12 or later; elsewhere the shard rests that long after a short turn.)
        gather_micros: u32 = "200" in "0"..="10000";
        /// Most connections of one shard; 0 takes what the limit of open files allows.
        connections: u32 = "0" in "0"..="16777216";
        /// Size of one receive buffer. All connections of a shard share its buffers.
        receive_buffer: Size = "4KiB" in "512B"..="64KiB";
        /// Number of receive buffers of one shard, a power of two.
        receive_buffers: u16 = "1024" in "16"..="32768";
        /// Send buffer the kernel may keep for a socket (SO_SNDBUF).
        send_buffer: Size = "64KiB" in "4KiB"..="4MiB";
        /// Time sent data may stay unacknowledged before the kernel gives a connection up (TCP_USER_TIMEOUT).
        user_timeout: Duration = "30s" in "1s"..="10m";
        /// Commands that may wait for one shard; beyond it they are refused as busy.
        commands: usize = "8192" in "64"..="1048576";
        /// Replies that may wait for one endpoint. A request reserves the place of its reply.
        replies: usize = "8192" in "64"..="1048576";
    }

    /// Who is online, and when that changes.
    [presence] Presence {
        /// Time between a user's last connection closing and the user going offline. Coming back within it is
        /// not noticed by others.
        grace: Duration = "5s" in "0s"..="120s";
        /// Time that users who were online before a restart have to come back before they go offline.
        restart_grace: Duration = "60s" in "0s"..="30m";
        /// Time without activity after which an online user is away; 0 turns the away status off.
        away_after: Duration = "0s" in "0s"..="24h";
        /// A WebSocket of the presence API without a frame for this long is dead.
        silence: Duration = "90s" in "2s"..="30m";
        /// How often the server pings such a WebSocket; browsers answer by themselves.
        ping: Duration = "30s" in "1s"..="10m";
        /// Most users one connection may watch.
        watch_limit: u32 = "1000" in "1"..="1000000";
        /// Changes of watched users are gathered this long before a watcher is told.
        watch_window: Duration = "100ms" in "0s"..="10s";
        /// Most users in one bulk query of the binary protocol.
        bulk_limit: u32 = "10000" in "1"..="1000000";
        /// Most connections of one user; 0 sets no bound.
        devices_per_user: u32 = "100" in "0"..="100000";
    }

    /// The presence API: its WebSocket and its REST calls.
    [presence_api] PresenceApi {
        /// Whether to serve it.
        enabled: bool = "true";
        /// Path that its routes start with.
        base_path: String = "/api/v1";
        /// Whether the user ids asked about must be UUIDs; others are then answered 400.
        require_uuid: bool = "true";
        /// How a WebSocket with a bad token is refused: `true` answers 401 in place of the upgrade, `false` accepts,
        /// sends an error frame and closes with 4401, which browser code can read.
        refuse_upgrade: bool = "false";
        /// Calls of `online-count` per minute and client address.
        online_count_limit: u32 = "30" in "1"..="1000000";
        /// Calls of `online-users` per minute and user.
        online_users_limit: u32 = "10" in "1"..="1000000";
        /// Calls of `check` per minute and user.
        check_limit: u32 = "30" in "1"..="1000000";
        /// Calls of `check-multiple` per minute and user.
        check_multiple_limit: u32 = "10" in "1"..="1000000";
        /// Failed authentications per minute and client address.
        failed_auth_limit: u32 = "100" in "1"..="1000000";
    }

    /// The messaging API: its REST calls.
    [messaging_api] MessagingApi {
        /// Whether to serve it.
        enabled: bool = "true";
        /// Path that its routes start with.
        base_path: String = "/api/v1";
        /// Calls about conversations and messages per minute and user.
        calls_limit: u32 = "1200" in "1"..="1000000";
        /// Path of its Socket.IO endpoint. Events are bounded by `limits.commands_per_second` and `limits.commands_burst`.
        socket_path: String = "/socket.io";
        /// Most partners of direct conversations whose presence a Socket.IO client is told, and no more than
        /// `presence.watch_limit`; 0: it is told nobody's.
        partners: u32 = "1000" in "0"..="1000";
    }

    /// Socket.IO, whichever API is spoken over it.
    [socketio] SocketIo {
        /// How often a client is sent a ping, or in version 3 of Engine.IO is to send one.
        ping_interval: Duration = "25s" in "1s"..="10m";
        /// How long its answer may take.
        ping_timeout: Duration = "20s" in "1s"..="10m";
        /// How long a client may stay without a namespace.
        connect_time: Duration = "45s" in "1s"..="10m";
        /// Longest message and upload; clients are told.
        max_payload: Size = "1000000B" in "1KiB"..="16MiB";
        /// Most attachments of one event.
        attachments: u8 = "10" in "0"..="100";
        /// Whether clients may poll; without it they must begin with a WebSocket.
        polling: bool = "true";
        /// Whether clients of the first two generations (Engine.IO 3) are served.
        version3: bool = "true";
    }

    /// The buyer/seller API: its REST calls, and its Socket.IO.
    [trade_api] TradeApi {
        /// Whether to serve it.
        enabled: bool = "true";
        /// Path that its routes start with; below it `/sockets` is the path of its Socket.IO, and `/events` the namespace.
        base_path: String = "/v1/conversations";
        /// Calls about rooms and messages per minute and user.
        calls_limit: u32 = "1200" in "1"..="1000000";
        /// Most messages of one answer.
        messages_limit: u32 = "100" in "1"..="1000";
    }

    /// What may be attached to messages.
    [attachments] Attachments {
        /// Whether an attachment's address must be one that an upload was answered with; else any `http` or `https` address
        /// will do. Set `media.public_base` with it, or clients that come by another host name are refused.
        own_only: bool = "false";
    }

    /// The files that the messaging API takes.
    [media] Media {
        /// Where files are kept: `folder` is a directory of this machine, which Muster serves; `s3` is a bucket of S3, MinIO
        /// or the like, which serves them itself.
        store: MediaStore = "folder";
        /// Directory of the files, and of uploads on their way. Without it, `media` in the data directory.
        path: Option<PathBuf> = "";
        /// What public addresses of files begin with, such as `https://files.example.com`. Without it, the address that
        /// the upload was sent to (the `Host` of the request), or with a bucket its endpoint.
        public_base: Option<String> = "";
        /// `plain` makes addresses of the time and the file's name, as clients know them, which can be guessed; `random`
        /// puts 128 random bits in between.
        key_style: KeyStyle = "plain";
        /// Longest file.
        max_bytes: Size = "10MiB" in "1KiB"..="1GiB";
        /// Types of files that are taken; `*` at the end stands for all that begin so. What could run or be shown as a
        /// page (programs, scripts, HTML, SVG) is refused whatever stands here.
        types: Vec<String> = "image/jpeg,image/png,image/gif,image/webp,video/mp4,video/mpeg,video/quicktime,audio/mpeg,audio/wav,audio/ogg,application/pdf,application/msword,application/vnd.*";
        /// Uploads at the same time; beyond it they are answered 503.
        uploads: usize = "64" in "1"..="65536";
        /// Time that one upload may take.
        upload_time: Duration = "2m" in "1s"..="1h";
        /// Time that an upload may stand still.
        stall_time: Duration = "10s" in "1s"..="5m";
        /// Address of the bucket's server: `http://127.0.0.1:9000`, `https://s3.eu-central-1.amazonaws.com`.
        endpoint: Option<String> = "";
        /// Name of the bucket.
        bucket: String = "messaging";
        /// Region of the bucket.
        region: String = "us-east-1";
        /// Name of the key that requests to the bucket are signed with.
        access_key: Option<Secret> = "";
        /// The key itself.
        secret_key: Option<Secret> = "";
        /// Whether the endpoint may be spoken to without TLS.
        allow_http: bool = "false";
        /// File with the certificates (PEM) of those who may have signed the endpoint's. Without it, those that this machine
        /// trusts.
        tls_ca: Option<PathBuf> = "";
        /// Whether a bucket that is not there is made at the start, readable by everyone who has a file's address.
        create_bucket: bool = "true";
    }

    /// What one connection may use, and when the server as a whole says no.
    [limits] Limits {
        /// Bytes that may wait to be sent to one connection. Volatile events are dropped first; what then does not
        /// fit closes the connection.
        outbox_bytes: Size = "256KiB" in "16KiB"..="64MiB";
        /// Time a connection may take nothing of what waits for it before it is closed.
        outbox_time: Duration = "10s" in "1s"..="5m";
        /// Commands per second of one connection, over time.
        commands_per_second: u32 = "20" in "1"..="1000000";
        /// Commands one connection may send at once.
        commands_burst: u32 = "60" in "1"..="1000000";
        /// Most channels one session may subscribe to.
        channels_per_session: u32 = "128" in "1"..="100000";
        /// Longest channel name, in characters.
        channel_name: u16 = "200" in "16"..="1000";
        /// Longest message of a WebSocket.
        message_bytes: Size = "64KiB" in "1KiB"..="16MiB";
        /// Most fragments of one WebSocket message.
        fragments: u32 = "1024" in "1"..="65536";
        /// Time a client has to finish a message it began.
        assembly_time: Duration = "10s" in "1s"..="5m";
        /// Longest user id, in characters.
        user_id: u16 = "128" in "16"..="128";
        /// Connects per minute and client address; 0 sets no bound. Many users can share one address.
        connects_per_address: u32 = "0" in "0"..="1000000";
        /// Connects per minute and user; 0 sets no bound.
        connects_per_user: u32 = "0" in "0"..="1000000";
        /// Memory in use, in percent of the container's limit or else of the machine's, from which new connections
        /// are refused.
        memory_refuse_connects: u8 = "80" in "10"..="100";
        /// Memory in use, in percent, from which messages are refused too.
        memory_refuse_publishes: u8 = "90" in "10"..="100";
    }

    /// Conversations, whichever API they are spoken in.
    [conversations] Conversations {
        /// Most members of one conversation.
        members: u32 = "30000" in "2"..="1000000";
        /// Members up to which a conversation tells who has read what and who types.
        receipt_members: u32 = "100" in "2"..="1000";
        /// What a new member of a group sees of what was said before: `all`, or nothing (`since_join`).
        history: GroupHistory = "all";
        /// Longest message, in characters.
        content: u32 = "10000" in "1"..="15000";
        /// How long a message that is sent again under the same name (`Idempotency-Key`, `clientMessageId`) is known to
        /// be the same.
        retry_window: Duration = "24h" in "1m"..="30d";
        /// How long messages of conversations of two are kept; `0s`: for good. What is older is forgotten, not told
        /// to anybody any more, and removed.
        retention_direct: Duration = "0s" in "0s"..="36500d";
        /// How long messages of groups are kept; `0s`: for good.
        retention_group: Duration = "0s" in "0s"..="36500d";
        /// How long messages between a buyer and a seller are kept; `0s`: for good.
        retention_trade: Duration = "0s" in "0s"..="36500d";
        /// How long what a user was told by the operator is kept; `0s`: for good.
        retention_feed: Duration = "0s" in "0s"..="36500d";
        /// Most conversations in one list.
        list: u32 = "1000" in "1"..="10000";
        /// Memory for conversations in use, in all; those not used for the longest time are loaded again when needed.
        cache: Size = "256MiB" in "1MiB"..="1024GiB";
        /// Commands about conversations that may wait for the store, on each shard.
        commands: u32 = "8192" in "64"..="1048576";
    }

    /// Where last-seen times, the journal of who was online, and conversations are kept.
    [store] Store {
        /// `embedded` keeps them in files; `scylla` in ScyllaDB or Cassandra, see the section of that name; `memory` forgets
        /// them when the process ends.
        kind: StoreKind = "embedded";
        /// Directory of the embedded store. Without it, `store` in the data directory.
        path: Option<PathBuf> = "";
        /// How often changed last-seen times are written; after a crash they may be behind by this much.
        flush_interval: Duration = "5s" in "100ms"..="5m";
        /// Requests that may wait for the store; beyond it commands are refused as busy.
        queue: usize = "8192" in "64"..="1048576";
        /// Directory of the conversations. Without it, beside that of the embedded store, with `-chat` after its
        /// name.
        chat_path: Option<PathBuf> = "";
        /// Where many messages come to be stored, those of this time share a sync of the disk: it costs the same for one
        /// as for many. Where few come it is shorter in proportion, and a lone one is not kept waiting. `0s`: only what waits
        /// already goes together.
        commit_window: Duration = "2ms" in "0s"..="2ms";
        /// Most messages and other changes that share a sync.
        commit_writes: usize = "1024" in "1"..="65536";
        /// Most bytes that share a sync, give or take one change.
        commit_bytes: Size = "1MiB" in "4KiB"..="16MiB";
        /// Threads that read conversations.
        readers: u16 = "2" in "1"..="64";
        /// Size of the segments of the conversations' log.
        segment_bytes: Size = "16MiB" in "1MiB"..="1GiB";
        /// Memory for what was written last. When it is full it is written to the index behind the log, and up to four
        /// more such tables may wait for that.
        table_bytes: Size = "32MiB" in "1MiB"..="1GiB";
        /// Memory for what was read last.
        cache_bytes: Size = "64MiB" in "1MiB"..="64GiB";
        /// Free space of the disk below which nothing is stored: the disk is never filled to the brim.
        reserve_bytes: Size = "256MiB" in "0"..="1024GiB";
    }

    /// ScyllaDB, or Apache Cassandra, where `store.kind` says so. `docs/STORES.md` tells what is kept there.
    [scylla] ScyllaStore {
        /// Some of the servers, `host:port`. The others are learnt from them.
        nodes: Vec<String> = "127.0.0.1:9042";
        /// Keyspace of the tables. Made if it is missing.
        keyspace: String = "muster";
        /// Data centre whose servers are asked, and a majority of whose replicas makes a write last. Needed where there is
        /// more than one.
        datacenter: Option<String> = "";
        /// Name to log in with, where the servers want one.
        user: Option<String> = "";
        /// Password to log in with.
        password: Option<Secret> = "";
        /// File that holds the password, in place of `password`. White space at its ends does not count.
        password_file: Option<PathBuf> = "";
        /// File with the certificates (PEM) of those who may have signed the servers'. With it, TLS is spoken to them.
        tls_ca: Option<PathBuf> = "";
        /// The name that all servers' certificates are for; `*` takes any that `tls_ca` has signed. Without it, each is to
        /// be for the address of its server.
        tls_name: Option<String> = "";
        /// File with the certificate (PEM) that is shown to servers which ask for one.
        tls_cert: Option<PathBuf> = "";
        /// File with the key of that certificate (PEM).
        tls_key: Option<PathBuf> = "";
        /// How a keyspace that is made here is replicated, in CQL. Three replicas survive the loss of one server.
        replication: String = "{'class': 'NetworkTopologyStrategy', 'replication_factor': 3}";
        /// Whether tables that are missing or old are made and migrated at the start; else that is for `muster migrate`.
        migrate: bool = "true";
        /// Time that a statement may take before it is tried again, perhaps at another server.
        timeout: Duration = "2s" in "100ms"..="1m";
        /// Changes of conversations that are under way at once, and as many reads beside them.
        in_flight: usize = "1024" in "1"..="65536";
    }
}
