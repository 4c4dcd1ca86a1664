//! What the commands do: find or start the server, run, show, write, and judge.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::cli::{
    Command, CompareArgs, MillionArgs, OutputArgs, RunArgs, ServerArgs, Speak, What, scenario_names,
};
use crate::clock::Clock;
use crate::dialect::{Choice, SocketIoSettings};
use crate::fleet;
use crate::mix::{BUILT_IN, Mix};
use crate::outcome::{Check, Latency, Outcome, Tick};
use crate::persona::Tokens;
use crate::rehearsal::{self, MEMORY_BACK, SMALL_CROWD};
use crate::report::view::View;
use crate::report::{compare, figures, html, json, thresholds};
use crate::run::{Order, Show, run};
use crate::server::fit::{self, Costs, Facts, Guard, Wish};
use crate::server::inquiry::Inquiry;
use crate::server::metrics::Source;
use crate::server::spawn;
use crate::server::watch::{Sampler, Watcher};

/// Tokens outlive any run.
const TOKEN_TIME: Duration = Duration::from_secs(7 * 86_400);
/// How often the server is looked at.
const WATCH: Duration = Duration::from_secs(1);
/// How long a server that was started here has to stop.
const STOP: Duration = Duration::from_secs(60);
/// The grace of a server that is started for a storm: everybody is back within it, so nobody is to be told anything.
const STORM_GRACE: &str = "30s";
/// Connections of the front door that long polls leave to others, and what it has in any case.
const DOOR_SPARE: u64 = 200;
const DOOR_LEAST: u64 = 4_096;
/// How many there must have been for the memory that stays to be judged: of fewer, pools that are filled ahead and pages
/// read from disk are most; and of a small crowd ([`SMALL_CROWD`]) it is not waited for.
const SESSIONS_JUDGED: u64 = 10_000;

/// Carries out a command.
#[must_use]
pub fn main(command: Command) -> ExitCode {
    let done = match command.what {
        What::Run(arguments) => run_scenario(&arguments),
        What::Million(arguments) => million(&arguments),
        What::Compare(arguments) => compare_two(&arguments),
        What::Scenarios { name } => scenarios(name.as_deref()),
    };
    done.unwrap_or_else(|error| {
        say_error(&error);
        ExitCode::from(thresholds::USAGE)
    })
}

fn say(text: &str) {
    // Who closed the pipe has read enough.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

fn say_error(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "muster-loadtest: {text}");
}

fn scenarios(name: Option<&str>) -> Result<ExitCode, String> {
    match name {
        None => BUILT_IN.iter().for_each(|(name, what)| say(&format!("{name:10} {what}"))),
        Some(name) => {
            let mix = Mix::built_in(name, 1_000)
                .ok_or_else(|| format!("{name:?} is no scenario: there are {}", scenario_names()))?;
            say(&toml::to_string(&mix).map_err(|error| error.to_string())?);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn compare_two(arguments: &CompareArgs) -> Result<ExitCode, String> {
    let read = |path: &Path| json::read(path).map_err(|error| error.to_string());
    let (first, second) = (read(&arguments.first)?, read(&arguments.second)?);
    let names = [&arguments.first, &arguments.second].map(|path| path.display().to_string());
    let comparison = compare::Comparison::new(&names[0], &first, &names[1], &second);
    say(&comparison.text(std::io::stdout().is_terminal()));
    if let Some(path) = &arguments.html {
        comparison.write(path).map_err(|error| error.to_string())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows a run by a [`View`].
struct Live<'a> {
    view: View,
    guard: Option<(Guard, &'a AtomicBool)>,
}

impl Show for Live<'_> {
    fn phase(&mut self, name: &str) {
        self.view.phase(name);
    }

    fn tick(&mut self, tick: &Tick, latencies: &[Latency]) {
        self.view.tick(tick, latencies);
        if let Some((guard, stop)) = &self.guard
            && let Ok(Err(shortage)) = guard.look()
            && !stop.swap(true, Ordering::AcqRel)
        {
            self.view.note(&format!("stopping: {shortage}"));
        }
    }

    fn note(&mut self, text: &str) {
        self.view.note(text);
    }
}

/// The server of a run, found or started.
struct Target {
    own: Option<spawn::Server>,
    address: SocketAddr,
    binary: Option<SocketAddr>,
    /// The public and the admin listener, for who asks questions.
    asked: Option<(SocketAddr, SocketAddr)>,
    watcher: Option<Watcher>,
    tokens: Tokens,
}

fn choice(
    dialect: Speak,
    every: f64,
    keep_alive: bool,
    target: SocketAddr,
    arguments: Option<&RunArgs>,
) -> Choice {
    match dialect {
        Speak::Binary => {
            Choice::Binary { keep_alive, heartbeat: Duration::from_secs_f64(every.clamp(0.0, 600.0)) }
        }
        Speak::Presence => {
            Choice::Presence { host: target.to_string(), path: "/api/v1/presence/ws".to_owned() }
        }
        Speak::Echo => {
            let settings = arguments.map(|arguments| arguments.echo.settings(target.to_string()));
            Choice::Echo(settings.unwrap_or_default())
        }
        Speak::SocketIo | Speak::SocketIoPolling => {
            let settings = match arguments {
                Some(arguments) => arguments.socketio.settings(target.to_string()),
                None => SocketIoSettings { host: target.to_string(), ..SocketIoSettings::default() },
            };
            if dialect == Speak::SocketIo { Choice::SocketIo(settings) } else { Choice::Polling(settings) }
        }
    }
}

fn watch(pid: u32, admin: Option<SocketAddr>, clock: Clock) -> Result<Watcher, String> {
    let sampler = Sampler::new(pid, admin.map(Source::open))
        .map_err(|error| format!("process {pid} cannot be looked at: {error}; is --pid right?"))?;
    Watcher::start(sampler, WATCH, move || Duration::from_nanos(clock.now()))
        .map_err(|error| error.to_string())
}

fn running(arguments: &ServerArgs, address: SocketAddr, clock: Clock) -> Result<Target, String> {
    if !address.ip().is_loopback() && !arguments.allow_remote {
        return Err(format!("{address} is another machine: if you may load it, say so with --allow-remote"));
    }
    let tokens = match &arguments.tokens {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let tokens: Vec<String> =
                text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
            if tokens.is_empty() {
                return Err(format!("{}: there is no token in it, one a line is wanted", path.display()));
            }
            Tokens::Given(tokens)
        }
        None => match std::fs::read_to_string(&arguments.secret_file) {
            Ok(secret) => Tokens::minted(secret.trim().as_bytes(), Clock::unix_ms(), TOKEN_TIME),
            // A foreign server may want none.
            Err(_) => Tokens::None,
        },
    };
    let watcher = arguments.pid.map(|pid| watch(pid, arguments.admin, clock)).transpose()?;
    let asked = arguments.http.zip(arguments.admin);
    Ok(Target { own: None, address, binary: arguments.binary, asked, watcher, tokens })
}

fn fresh(
    settings: &spawn::Settings,
    dialect: Speak,
    clock: Clock,
    stopper: &Stopper,
) -> Result<Target, String> {
    let server = spawn::Server::start(settings).map_err(|error| error.to_string())?;
    if let Ok(reins) = server.reins() {
        let _ = stopper.child.set(reins);
    }
    let address = match dialect {
        Speak::Binary => server.binary.ok_or("the server's binary listener is switched off")?,
        Speak::Presence | Speak::SocketIo | Speak::SocketIoPolling => server.http,
        Speak::Echo => return Err("the echo dialect is for other servers: give one with --target".into()),
    };
    let watcher = watch(server.pid(), Some(server.admin), clock)?;
    let tokens = Tokens::minted(server.secret.as_bytes(), Clock::unix_ms(), TOKEN_TIME);
    let asked = Some((server.http, server.admin));
    Ok(Target { address, binary: server.binary, asked, watcher: Some(watcher), tokens, own: Some(server) })
}

/// What Ctrl-C and SIGTERM do: the first asks the run to end with a report, a second one ends this program at once, and
/// with it the server that was started here, which the signal does not reach and which would be left behind.
struct Stopper {
    stop: Arc<AtomicBool>,
    child: Arc<OnceLock<spawn::Reins>>,
}

impl Stopper {
    fn new() -> Result<Self, String> {
        let stopper = Self { stop: Arc::default(), child: Arc::default() };
        let (stop, child) = (stopper.stop.clone(), stopper.child.clone());
        let caught = [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];
        let mut signals = signal_hook::iterator::Signals::new(caught)
            .map_err(|error| format!("signals cannot be caught: {error}"))?;
        std::thread::Builder::new()
            .name("signals".into())
            .spawn(move || {
                for _ in signals.forever() {
                    if stop.swap(true, Ordering::AcqRel) {
                        child.get().inspect(|reins| reins.kill());
                        std::process::exit(i32::from(thresholds::INTERRUPTED));
                    }
                }
            })
            .map_err(|error| format!("the thread that waits for signals cannot be started: {error}"))?;
        Ok(stopper)
    }
}

fn given() -> String {
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    let name =
        Path::new(&program).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ")
}

fn costs(dialect: Speak) -> Costs {
    match dialect {
        Speak::Binary => Costs::BINARY,
        Speak::Presence | Speak::Echo => Costs::WEBSOCKET,
        Speak::SocketIo => Costs::SOCKET_IO,
        Speak::SocketIoPolling => Costs::LONG_POLL,
    }
}

/// Clients that send a heartbeat every so many seconds are not taken for dead by the server's defaults (90 s).
const LIVELY: f64 = 45.0;
/// The longest silence that a server can be told to bear, seconds.
const LONGEST_SILENCE: f64 = 1_800.0;

/// What a server has to be told for a dialect: how often it sends the heartbeats that are its own, that long polls stay at
/// its front door, and how long sessions that seldom send one are silent.
fn fitting(dialect: Speak, mix: &Mix) -> Result<Vec<(String, String)>, String> {
    let mut variables = Vec::new();
    if matches!(dialect, Speak::SocketIo | Speak::SocketIoPolling) && mix.heartbeat.every > 0.0 {
        if !(1.0..=600.0).contains(&mix.heartbeat.every) {
            return Err(
                "the server sends these heartbeats, every second to every ten minutes: change --every".into(),
            );
        }
        let every = (mix.heartbeat.every * 1e3) as u64;
        variables.push(("MUSTER_SOCKETIO__PING_INTERVAL".into(), format!("{every}ms")));
    }
    let silent = match dialect {
        Speak::Binary => Some("MUSTER_BINARY__SILENCE"),
        Speak::Presence => Some("MUSTER_PRESENCE__SILENCE"),
        _ => None,
    };
    // No heartbeats at all: as long as it can be.
    let every = if mix.heartbeat.every > 0.0 { mix.heartbeat.every } else { LONGEST_SILENCE / 2.5 };
    if let Some(name) = silent.filter(|_| every > LIVELY) {
        let silence = (every * 2.5).ceil();
        if silence > LONGEST_SILENCE {
            return Err(format!(
                "the server takes sessions for dead that say nothing for {LONGEST_SILENCE} s: --every must be 12m at most"
            ));
        }
        variables.push((name.into(), format!("{silence}s")));
    }
    if dialect == Speak::SocketIoPolling {
        let connections = (mix.connections + DOOR_SPARE).clamp(DOOR_LEAST, 1_000_000);
        variables.push(("MUSTER_HTTP__CONNECTIONS".into(), connections.to_string()));
    }
    Ok(variables)
}

fn run_scenario(arguments: &RunArgs) -> Result<ExitCode, String> {
    let mut mix = if Path::new(&arguments.scenario).extension().is_some_and(|end| end == "toml") {
        let mut mix = Mix::read(Path::new(&arguments.scenario))?;
        mix.connections = arguments.connections.unwrap_or(mix.connections);
        mix
    } else {
        Mix::built_in(&arguments.scenario, arguments.connections.unwrap_or(1_000)).ok_or_else(|| {
            format!(
                "{:?} is neither a scenario ({}) nor a file that ends in .toml",
                arguments.scenario,
                scenario_names()
            )
        })?
    };
    arguments.mix.apply(&mut mix);
    mix.check()?;
    if arguments.dialect == Speak::SocketIoPolling && !arguments.socketio.socketio_event.is_empty() {
        return Err("events go over a WebSocket: choose --dialect socketio".into());
    }
    let (clock, stopper) = (Clock::start(), Stopper::new()?);
    let target = match arguments.server.target {
        Some(address) => running(&arguments.server, address, clock)?,
        None => {
            let facts = Facts::read().map_err(|error| format!("/proc: {error}"))?;
            let plan = fit::plan(&facts, &Wish::new(mix.connections, costs(arguments.dialect)))
                .map_err(|excess| excess.to_string())?;
            let mut settings = spawn::Settings {
                program: arguments.server.program.clone(),
                cpus: (!arguments.server.server_cpus.is_empty())
                    .then(|| arguments.server.server_cpus.clone()),
                ..spawn::Settings::default()
            };
            // A crowd that two shards can hold meets the server as it is configured by default.
            if plan.shards > 2 {
                settings.variables = plan.variables();
            }
            if mix.storm.times > 0 {
                settings.variables.push(("MUSTER_PRESENCE__GRACE".into(), STORM_GRACE.into()));
            }
            settings.variables.extend(fitting(arguments.dialect, &mix)?);
            settings.variables.extend(arguments.server.settings.iter().cloned());
            fresh(&settings, arguments.dialect, clock, &stopper)?
        }
    };
    let dialect = choice(
        arguments.dialect,
        mix.heartbeat.every,
        arguments.mix.keep_alive,
        target.address,
        Some(arguments),
    );
    let plan = fleet::Plan {
        target: target.address,
        dialect,
        staff: target.binary,
        tokens: target.tokens.clone(),
        mix,
        rings: arguments.generator.rings,
        cpus: arguments.generator.cpus.clone(),
        io: arguments.generator.io.map_or_else(Default::default, Into::into),
        clock,
    };
    carry_out(plan, target, stopper.stop, None, &arguments.output)
}

fn million(arguments: &MillionArgs) -> Result<ExitCode, String> {
    let facts = Facts::read().map_err(|error| format!("/proc: {error}"))?;
    let fits = fit::plan(&facts, &Wish::new(arguments.sessions, costs(arguments.dialect)))
        .map_err(|excess| excess.to_string())?;
    say(&fits.to_string());
    if arguments.dry_run {
        return Ok(ExitCode::SUCCESS);
    }
    let mut mix = Mix::built_in("idle", arguments.sessions).ok_or("there is no scenario idle")?;
    mix.name = "million".into();
    (mix.hold, mix.heartbeat.every, mix.opening, mix.warm_up) =
        (arguments.hold, arguments.every, arguments.opening, 0.0);
    mix.questions.counts = arguments.counts;
    let (clock, stopper) = (Clock::start(), Stopper::new()?);
    let mut settings = spawn::Settings { program: arguments.program.clone(), ..spawn::Settings::default() };
    settings.variables = fits.variables();
    settings.variables.extend(fitting(arguments.dialect, &mix)?);
    settings.variables.extend(arguments.settings.iter().cloned());
    let guard = Guard::new().map_err(|error| format!("/proc: {error}"))?;
    let target = fresh(&settings, arguments.dialect, clock, &stopper)?;
    let dialect = choice(arguments.dialect, mix.heartbeat.every, false, target.address, None);
    let plan = fleet::Plan {
        target: target.address,
        dialect,
        staff: None,
        tokens: target.tokens.clone(),
        mix,
        rings: fits.rings as usize,
        cpus: Vec::new(),
        io: engine::io::Choice::Auto,
        clock,
    };
    let rehearsal = arguments.rehearsal.unwrap_or_else(|| rehearsal::fitting(arguments.sessions));
    let care = Care { guard, rehearsal: rehearsal.min(arguments.sessions) };
    carry_out(plan, target, stopper.stop, Some(care), &arguments.output)
}

/// What a crowd as large as the machine is given besides: a guard of the machine's memory, and a look at what the server
/// gives back.
struct Care {
    guard: Guard,
    rehearsal: u64,
}

fn carry_out(
    plan: fleet::Plan,
    mut target: Target,
    stop: Arc<AtomicBool>,
    care: Option<Care>,
    output: &OutputArgs,
) -> Result<ExitCode, String> {
    let mix = &plan.mix;
    let title = format!("{}, {} sessions", mix.name, figures::count(mix.connections));
    let expected = mix.connections as f64 / 10_000.0 + mix.warm_up + mix.hold + 5.0;
    let inquiry = inquiry(&plan, target.asked)?;
    let view = View::new(&title, mix.connections, expected, std::io::stderr().is_terminal());
    let (measure_after, rehearsal) = (care.is_some(), care.as_ref().map_or(0, |care| care.rehearsal));
    let mut live = Live { view, guard: care.map(|care| (care.guard, &*stop)) };
    let order = Order {
        plan,
        command: given(),
        server: target.watcher.take(),
        inquiry,
        rehearsal,
        stop: stop.clone(),
        measure_after,
    };
    let mut outcome = run(order, &mut live)?;
    if let Some(server) = target.own {
        end_server(server, &mut outcome);
    }
    if measure_after {
        memory_came_back(&mut outcome);
    }
    outcome.checks.extend(output.thresholds.evaluate(&outcome));
    live.view.finish(&outcome).map_err(|error| error.to_string())?;
    if let Some(path) = &output.json {
        json::write(path, &outcome).map_err(|error| error.to_string())?;
    }
    if let Some(path) = &output.html {
        html::write(path, &outcome).map_err(|error| error.to_string())?;
    }
    Ok(thresholds::exit_code(&outcome))
}

/// Who asks the server questions, where the scenario has some.
fn inquiry(plan: &fleet::Plan, asked: Option<(SocketAddr, SocketAddr)>) -> Result<Option<Inquiry>, String> {
    let (rate, hold) = (plan.mix.questions.counts, plan.mix.hold);
    if rate == 0.0 {
        return Ok(None);
    }
    let (http, admin) = asked
        .ok_or("a service asks over HTTP, and turns are read from the metrics: give --http and --admin")?;
    let token = plan.tokens.service("load-test");
    Ok(Some(Inquiry { http, admin, token, rate, hold, clock: plan.clock }))
}

fn end_server(server: spawn::Server, outcome: &mut Outcome) {
    match server.stop(STOP) {
        Ok(ended) if ended.killed => {
            outcome.notes.push("the server did not stop when asked to, and was killed".into())
        }
        Ok(ended) if !ended.status.success() => {
            outcome.notes.push(format!("the server ended with {}: {}", ended.status, ended.log.join("\n")));
        }
        Ok(_) => {}
        Err(error) => outcome.notes.push(format!("the server could not be stopped: {error}")),
    }
}

fn memory_came_back(outcome: &mut Outcome) {
    let Some(server) = &outcome.server else { return };
    let memory = server.memory;
    if memory.after == 0 || outcome.interrupted {
        return;
    }
    // What the crowd took, and what of it is still there.
    let (took, stayed) =
        (memory.with.saturating_sub(memory.before), memory.after.saturating_sub(memory.before));
    let mut detail = match server.rehearsal {
        0 => String::new(),
        sessions => format!(
            "{:.1} MB at first; after a rehearsal of {}: ",
            server.memory_at_first as f64 / 1e6,
            figures::count(sessions)
        ),
    };
    detail.push_str(&format!(
        "{:.1} MB before, {:.1} MB with the crowd, {:.1} MB after it had left",
        memory.before as f64 / 1e6,
        memory.with as f64 / 1e6,
        memory.after as f64 / 1e6
    ));
    let connected = outcome.counts.get("connected").copied().unwrap_or(0);
    if took < SMALL_CROWD || connected < SESSIONS_JUDGED {
        outcome.notes.push(format!(
            "the server's memory, {detail}: whether it comes back is judged of {} sessions or more that take {} MiB or more",
            figures::count(SESSIONS_JUDGED),
            SMALL_CROWD >> 20
        ));
        return;
    }
    let share = stayed as f64 / took as f64;
    detail.push_str(&format!(": {:.1} % of what it took stayed", share * 100.0));
    let passed = share <= MEMORY_BACK;
    outcome.checks.push(Check { name: "memory came back".into(), passed, detail });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_that_seldom_say_something_are_not_taken_for_dead() {
        let told = |dialect, every| {
            let mut mix = Mix::built_in("idle", 10).unwrap();
            mix.heartbeat.every = every;
            fitting(dialect, &mix)
        };
        let silence = |name: &str, time: &str| Ok(vec![(name.to_owned(), time.to_owned())]);
        assert_eq!(told(Speak::Binary, 30.0), Ok(vec![]));
        assert_eq!(told(Speak::Binary, 240.0), silence("MUSTER_BINARY__SILENCE", "600s"));
        assert_eq!(told(Speak::Presence, 60.0), silence("MUSTER_PRESENCE__SILENCE", "150s"));
        assert_eq!(told(Speak::Binary, 0.0), silence("MUSTER_BINARY__SILENCE", "1800s"));
        assert!(told(Speak::Binary, 900.0).unwrap_err().contains("12m"));
    }
}
