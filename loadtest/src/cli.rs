//! The command line: which scenario, against which server, and what is shown of it.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::dialect::{EchoSettings, SocketIoSettings};
use crate::mix::{BUILT_IN, Mix};
use crate::report::thresholds::Thresholds;

/// Load for Muster and for servers like it: how many, how fast, how much memory, on this machine.
///
/// Without --target it starts a fresh Muster of its own, measures it, and ends it.
#[derive(Debug, Parser)]
#[command(name = "muster-loadtest", version, max_term_width = 110)]
pub struct Command {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// See [`Command`].
#[derive(Debug, Subcommand)]
pub enum What {
    /// Run a built-in scenario.
    Run(Box<RunArgs>),
    /// Hold a million sessions (or as many as you say) on a fresh server, with heartbeats; count on both sides.
    Million(Box<MillionArgs>),
    /// Say how two results differ.
    Compare(CompareArgs),
    /// List the built-in scenarios, or print one as a file to start your own from.
    Scenarios {
        /// The one to print.
        name: Option<String>,
    },
}

/// A protocol to speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Speak {
    /// Muster's binary protocol.
    Binary,
    /// The presence API's WebSocket.
    Presence,
    /// Any WebSocket server that answers a text with a text (--ws-…).
    Echo,
    /// Socket.IO 5 over a WebSocket, as the messaging API has it.
    #[value(name = "socketio")]
    SocketIo,
    /// The same over long polls.
    #[value(name = "socketio-polling")]
    SocketIoPolling,
}

/// A socket driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Io {
    /// io_uring if it can be had.
    Auto,
    /// io_uring.
    Ring,
    /// epoll.
    Epoll,
}

impl From<Io> for engine::io::Choice {
    fn from(io: Io) -> Self {
        match io {
            Io::Auto => Self::Auto,
            Io::Ring => Self::Ring,
            Io::Epoll => Self::Epoll,
        }
    }
}

/// See [`What::Run`].
#[derive(Debug, Args)]
pub struct RunArgs {
    /// A built-in scenario, or a scenario file (TOML).
    pub scenario: String,
    /// Sessions, one user each.
    #[arg(long, short = 'n')]
    pub connections: Option<u64>,
    /// The protocol.
    #[arg(long, value_enum, default_value = "binary")]
    pub dialect: Speak,
    /// Changes to the scenario.
    #[command(flatten)]
    pub mix: MixArgs,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
    /// What the echo dialect says.
    #[command(flatten)]
    pub echo: EchoArgs,
    /// What the Socket.IO dialects say.
    #[command(flatten)]
    pub socketio: SocketIoArgs,
    /// The generator.
    #[command(flatten)]
    pub generator: GeneratorArgs,
    /// What comes out.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Changes to a scenario. Times take units: 500ms, 10s, 5m.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Scenario")]
pub struct MixArgs {
    /// Time that is measured.
    #[arg(long, value_parser = seconds)]
    pub hold: Option<f64>,
    /// Time before it, with everything going.
    #[arg(long, value_parser = seconds)]
    pub warm_up: Option<f64>,
    /// Connects a second; 0: as fast as the server takes them.
    #[arg(long)]
    pub connect_rate: Option<f64>,
    /// Most connects under way.
    #[arg(long)]
    pub opening: Option<u32>,
    /// Each session's heartbeat interval; 0s: none.
    #[arg(long, value_parser = seconds)]
    pub every: Option<f64>,
    /// Heartbeats ask for no answer.
    #[arg(long)]
    pub one_way: bool,
    /// Closed loop: so many heartbeats (messages, where there are conversations) under way at any time.
    #[arg(long)]
    pub in_flight: Option<u32>,
    /// Leave liveness to TCP keep-alive (binary); no heartbeats then.
    #[arg(long)]
    pub keep_alive: bool,
    /// Publishes or sends a second.
    #[arg(long)]
    pub rate: Option<f64>,
    /// Length of a payload, bytes.
    #[arg(long)]
    pub bytes: Option<usize>,
    /// Messages published at a time.
    #[arg(long)]
    pub burst: Option<u32>,
    /// Sessions that log out, a second.
    #[arg(long)]
    pub churn: Option<f64>,
    /// Time until they are back.
    #[arg(long, value_parser = seconds)]
    pub away: Option<f64>,
    /// Sessions that watch.
    #[arg(long)]
    pub watchers: Option<u64>,
    /// Users that each of them watches.
    #[arg(long)]
    pub watched: Option<u32>,
    /// Subscribers that read nothing.
    #[arg(long)]
    pub stalled: Option<u32>,
    /// How often all drop at once.
    #[arg(long)]
    pub storms: Option<u32>,
    /// Conversations.
    #[arg(long)]
    pub conversations: Option<u64>,
    /// Members of each.
    #[arg(long)]
    pub members: Option<u64>,
    /// Share of the messages (0 to 1) that are sent twice under the same name.
    #[arg(long)]
    pub twice: Option<f64>,
    /// Pages of history that are read, a second.
    #[arg(long)]
    pub pages: Option<f64>,
    /// Lists of conversations that are read, a second.
    #[arg(long)]
    pub lists: Option<f64>,
    /// Conversations of a list.
    #[arg(long)]
    pub list: Option<u32>,
    /// Do not read everything back at the end.
    #[arg(long)]
    pub no_read_back: bool,
    /// Times a second that a service asks how many are online, in every other slice of the time that is measured.
    #[arg(long)]
    pub counts: Option<f64>,
}

impl MixArgs {
    /// Changes the scenario.
    pub fn apply(&self, mix: &mut Mix) {
        fn set<T: Copy>(to: &mut T, from: Option<T>) {
            *to = from.unwrap_or(*to);
        }
        set(&mut mix.hold, self.hold);
        set(&mut mix.warm_up, self.warm_up);
        set(&mut mix.connect_rate, self.connect_rate);
        set(&mut mix.opening, self.opening);
        set(&mut mix.heartbeat.every, self.every);
        let messages = &mut mix.messages;
        set(&mut messages.conversations, self.conversations);
        set(&mut messages.members, self.members);
        set(&mut messages.twice, self.twice);
        set(&mut messages.pages, self.pages);
        set(&mut messages.lists, self.lists);
        set(&mut messages.list, self.list);
        messages.read_back &= !self.no_read_back;
        let talks = messages.conversations > 0;
        set(if talks { &mut messages.in_flight } else { &mut mix.heartbeat.in_flight }, self.in_flight);
        if self.one_way {
            mix.heartbeat.answer = false;
        }
        if self.keep_alive {
            mix.heartbeat.every = 0.0;
        }
        if mix.channel.rate > 0.0 {
            set(&mut mix.channel.rate, self.rate);
        } else if talks {
            set(&mut mix.messages.rate, self.rate);
        } else {
            set(&mut mix.send.rate, self.rate);
        }
        set(&mut mix.channel.bytes, self.bytes);
        set(&mut mix.send.bytes, self.bytes);
        set(&mut mix.messages.bytes, self.bytes);
        set(&mut mix.channel.burst, self.burst);
        set(&mut mix.churn.rate, self.churn);
        set(&mut mix.churn.away, self.away);
        set(&mut mix.watch.watchers, self.watchers);
        set(&mut mix.watch.users, self.watched);
        set(&mut mix.stalled, self.stalled);
        set(&mut mix.storm.times, self.storms);
        set(&mut mix.questions.counts, self.counts);
    }
}

/// Which server.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Server")]
pub struct ServerArgs {
    /// A server that runs already: the address of the listener that speaks the dialect. Without it, a fresh Muster is
    /// started for the run.
    #[arg(long, value_parser = address)]
    pub target: Option<SocketAddr>,
    /// Its binary listener, for the service that publishes and sends.
    #[arg(long, value_parser = address, requires = "target")]
    pub binary: Option<SocketAddr>,
    /// Its public listener, for the service that asks questions, where the dialect is another.
    #[arg(long, value_parser = address, requires = "target")]
    pub http: Option<SocketAddr>,
    /// Its admin listener, for the metrics.
    #[arg(long, value_parser = address, requires = "target")]
    pub admin: Option<SocketAddr>,
    /// Its process, for CPU and memory.
    #[arg(long, requires = "target")]
    pub pid: Option<u32>,
    /// File with the secret that its tokens are signed with (HS256).
    #[arg(long, default_value = "muster-data/secret")]
    pub secret_file: PathBuf,
    /// File with tokens, one a line, in place of signing them here.
    #[arg(long)]
    pub tokens: Option<PathBuf>,
    /// Load a server that is not on this machine.
    #[arg(long)]
    pub allow_remote: bool,
    /// The program to start; `muster` beside this one, or on the PATH.
    #[arg(long, conflicts_with = "target")]
    pub program: Option<PathBuf>,
    /// A setting of the server that is started: section.key=value.
    #[arg(long = "set", value_parser = variable, conflicts_with = "target")]
    pub settings: Vec<(String, String)>,
    /// Cores of the server that is started, such as 0 or 0,1.
    #[arg(long, value_delimiter = ',', conflicts_with = "target")]
    pub server_cpus: Vec<usize>,
}

/// The echo dialect.
#[derive(Debug, Args)]
#[command(next_help_heading = "Echo dialect")]
pub struct EchoArgs {
    /// Request target of the handshake; {token} is replaced.
    #[arg(long, default_value = "/")]
    pub ws_path: String,
    /// A header of the handshake, `Name: value`.
    #[arg(long, value_parser = header)]
    pub ws_header: Vec<(String, String)>,
    /// Text to send after the handshake.
    #[arg(long)]
    pub ws_first: Option<String>,
    /// Text that must come before the connection counts as open.
    #[arg(long)]
    pub ws_welcome: Option<String>,
    /// The request.
    #[arg(long, default_value = r#"{"type":"heartbeat","activity":true}"#)]
    pub ws_request: String,
    /// Text that its answer contains; empty: any message is the answer.
    #[arg(long, default_value = "")]
    pub ws_expect: String,
}

impl EchoArgs {
    /// As the dialect takes it.
    #[must_use]
    pub fn settings(&self, host: String) -> EchoSettings {
        EchoSettings {
            host,
            path: self.ws_path.clone(),
            headers: self.ws_header.clone(),
            first: self.ws_first.clone(),
            welcome: self.ws_welcome.clone(),
            request: self.ws_request.clone(),
            expect: self.ws_expect.clone(),
        }
    }
}

/// The Socket.IO dialects.
#[derive(Debug, Args)]
#[command(next_help_heading = "Socket.IO dialects")]
pub struct SocketIoArgs {
    /// Path of the endpoint.
    #[arg(long, default_value = "/socket.io/")]
    pub socketio_path: String,
    /// An event, such as '["name",{"key":1}]', that is emitted as the heartbeat and wants an ack (over a WebSocket); empty:
    /// the heartbeats are the server's pings, which are answered.
    #[arg(long, default_value = "")]
    pub socketio_event: String,
}

impl SocketIoArgs {
    /// As the dialect takes it.
    #[must_use]
    pub fn settings(&self, host: String) -> SocketIoSettings {
        SocketIoSettings { host, path: self.socketio_path.clone(), event: self.socketio_event.clone() }
    }
}

/// The generator.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Generator")]
pub struct GeneratorArgs {
    /// Threads, each with a ring; 0: as few as hold the crowd.
    #[arg(long, default_value_t = 0)]
    pub rings: usize,
    /// Cores that they are pinned to.
    #[arg(long, value_delimiter = ',')]
    pub cpus: Vec<usize>,
    /// The socket driver; auto takes io_uring if it can be had.
    #[arg(long, value_enum)]
    pub io: Option<Io>,
}

/// What comes out.
#[derive(Debug, Args)]
#[command(next_help_heading = "Results")]
pub struct OutputArgs {
    /// Write the result here.
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// Write the report, one page that needs nothing else, here.
    #[arg(long)]
    pub html: Option<PathBuf>,
    /// What must be kept.
    #[command(flatten)]
    pub thresholds: Thresholds,
}

/// See [`What::Million`].
#[derive(Debug, Args)]
pub struct MillionArgs {
    /// Sessions.
    #[arg(long, short = 'n', default_value_t = 1_000_000)]
    pub sessions: u64,
    /// The protocol.
    #[arg(long, value_enum, default_value = "binary")]
    pub dialect: Speak,
    /// How long to hold them.
    #[arg(long, value_parser = seconds, default_value = "10m")]
    pub hold: f64,
    /// Each session's heartbeat interval.
    #[arg(long, value_parser = seconds, default_value = "30s")]
    pub every: f64,
    /// Times a second that a service asks how many are online, in every other slice of that time; 0: never.
    #[arg(long, default_value_t = 10.0)]
    pub counts: f64,
    /// Connects under way at a time.
    #[arg(long, default_value_t = 1_024)]
    pub opening: u32,
    /// Sessions that come and go first, so that what a server's first crowd costs it, of whatever size, is not reckoned to
    /// this one; a tenth, at most 10,000, if not given; 0: none.
    #[arg(long)]
    pub rehearsal: Option<u64>,
    /// Only say what fits.
    #[arg(long)]
    pub dry_run: bool,
    /// The program to start; `muster` beside this one, or on the PATH.
    #[arg(long)]
    pub program: Option<PathBuf>,
    /// A setting of the server: section.key=value.
    #[arg(long = "set", value_parser = variable)]
    pub settings: Vec<(String, String)>,
    /// What comes out.
    #[command(flatten)]
    pub output: OutputArgs,
}

/// See [`What::Compare`].
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The result to compare with.
    pub first: PathBuf,
    /// The result compared.
    pub second: PathBuf,
    /// Draw the difference here.
    #[arg(long)]
    pub html: Option<PathBuf>,
}

/// `500ms`, `10s`, `5m`, `1h`; a bare number is seconds.
fn seconds(text: &str) -> Result<f64, String> {
    let split = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: f64 =
        number.trim().parse().map_err(|_| format!("{text:?} is no time: write 10s or 500ms"))?;
    let factor = match unit {
        "" | "s" => 1.0,
        "ms" => 1e-3,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err(format!("{unit:?} is no unit of time: write ms, s, m or h")),
    };
    if !(0.0..=1e9).contains(&number) {
        return Err(format!("{text:?} is out of range"));
    }
    Ok(number * factor)
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let mut found = text.to_socket_addrs().map_err(|error| format!("{text:?}: {error}; write HOST:PORT"))?;
    found.next().ok_or_else(|| format!("{text:?} has no address"))
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or_else(|| format!("{text:?}: write Name: value"))?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// `section.key=value` as the server's environment has it.
fn variable(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').and_then(|(name, value)| Some((name.split_once('.')?, value)));
    let ((section, key), value) = pair.ok_or_else(|| format!("{text:?}: write section.key=value"))?;
    Ok((format!("MUSTER_{}__{}", section.to_uppercase(), key.to_uppercase()), value.to_owned()))
}

/// The names of the scenarios, for messages.
#[must_use]
pub fn scenario_names() -> String {
    BUILT_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Command::command().debug_assert();
    }

    #[test]
    fn times_and_settings() {
        assert_eq!(seconds("10m"), Ok(600.0));
        assert_eq!(seconds("1.5"), Ok(1.5));
        assert_eq!(seconds("250ms"), Ok(0.25));
        assert!(seconds("ten").is_err() && seconds("10x").is_err() && seconds("-1s").is_err());
        assert_eq!(variable("store.kind=memory"), Ok(("MUSTER_STORE__KIND".to_owned(), "memory".to_owned())));
        assert!(variable("store=memory").is_err());
        assert_eq!(header("X-A: b: c"), Ok(("X-A".into(), "b: c".into())));
    }
}
