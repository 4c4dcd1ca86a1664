//! Servers side by side: each holds its crowd all the time, and they take turns at working.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use engine::io::Choice as Io;
use loadtest::clock::Clock;
use loadtest::dialect::{Ask, Choice};
use loadtest::fleet::tally::{Count, Kind, Tally};
use loadtest::fleet::{Fleet, Phase, Plan};
use loadtest::mix::{Channel, Heartbeat, Mix};
use loadtest::persona::Tokens;
use loadtest::server::metrics::Source;

use super::{Context, Row};
use crate::micro::Trouble;
use crate::servers::{Server, Subject};
use crate::stats::{Comparison, Summary};

/// Connections of each server.
pub(super) const CONNECTIONS: u64 = 10_000;
/// Rounds; a ratio's interval needs 20.
pub(super) const ROUNDS: usize = 24;
/// Rounds where nothing is compared by pairs.
const FEW_ROUNDS: usize = 8;
/// Time before a slice counts, and the slice.
const WARM: Duration = Duration::from_millis(150);
const SLICE: Duration = Duration::from_millis(1_000);
/// The crowds come within this time.
pub(super) const PATIENCE: u64 = 120_000_000_000;
/// Tokens outlive the run.
pub(super) const TOKEN_TIME: Duration = Duration::from_secs(86_400);
/// Where the servers run, and where the generator.
pub(super) const SERVER_CORE: usize = 0;
pub(super) const LOAD_CORE: usize = 1;

const RING: Subject = Subject::Muster { io: "ring", host: "thread", gather_us: 0 };
const EPOLL: Subject = Subject::Muster { io: "epoll", host: "thread", gather_us: 0 };
/// As it is configured by default.
const DEFAULT: Subject = Subject::Muster { io: "ring", host: "thread", gather_us: 200 };
const GLOMMIO: Subject = Subject::Muster { io: "ring", host: "glommio", gather_us: 0 };
pub(super) const FLOOR: Subject = Subject::RingEcho { gather_us: 0 };

/// A server with its crowd.
pub(super) struct Place {
    pub(super) server: Server,
    pub(super) fleet: Fleet,
}

/// What a server has shown in one way of working, a sample a round.
#[derive(Default)]
pub(super) struct Samples {
    pub(super) cpu: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    rate: Vec<f64>,
    calls: Vec<f64>,
}

/// Brings a crowd to a server, from the generator's core.
fn bring(server: &Server, mix: Mix, keep_alive: bool, clock: Clock) -> Result<Fleet, String> {
    Fleet::start(Plan {
        target: server.binary,
        dialect: Choice::Binary { keep_alive, heartbeat: Duration::ZERO },
        staff: Some(server.binary),
        tokens: match server.muster() {
            Some(muster) => Tokens::minted(muster.secret.as_bytes(), Clock::unix_ms(), TOKEN_TIME),
            None => Tokens::None,
        },
        mix,
        rings: 1,
        cpus: vec![LOAD_CORE],
        io: Io::Auto,
        clock,
    })
}

impl Place {
    pub(super) fn open(subject: Subject, clock: Clock) -> Result<Self, Trouble> {
        let server = Server::start(subject, Some(SERVER_CORE))?;
        let heartbeat = Heartbeat { every: 0.0, answer: true, in_flight: 0 };
        let mix = Mix { connections: CONNECTIONS, heartbeat, opening: 256, ..Mix::default() };
        let fleet = bring(&server, mix, false, clock)?;
        let until = clock.now() + PATIENCE;
        while fleet.open() < CONNECTIONS {
            if clock.now() > until {
                let mut tally = Tally::default();
                fleet.collect(&mut tally);
                return Err(
                    format!("{}: {} are open; {:?}", subject.name(), fleet.open(), tally.errors()).into()
                );
            }
            Clock::rest(Duration::from_millis(20));
        }
        fleet.set(Phase::Rest);
        Ok(Self { server, fleet })
    }

    /// One slice of work: CPU microseconds an answer (or, one way, a heartbeat) and its latency.
    pub(super) fn work(
        &self,
        heartbeat: &Heartbeat,
        clock: Clock,
        samples: &mut Samples,
    ) -> Result<(), Trouble> {
        self.fleet.set_heartbeat(heartbeat.clone());
        self.fleet.set(Phase::Run);
        Clock::rest(WARM);
        let mut tally = Tally::default();
        self.fleet.collect(&mut tally);
        let calls = self.calls();
        let (mut tally, cpu, begun) = (Tally::default(), self.server.cpu()?, clock.now());
        Clock::rest(SLICE);
        let (cpu, seconds) = (self.server.cpu()?.saturating_sub(cpu), (clock.now() - begun) as f64 / 1e9);
        self.fleet.collect(&mut tally);
        let calls = calls.zip(self.calls()).map(|(before, after)| after.saturating_sub(before));
        self.fleet.set(Phase::Rest);
        Clock::rest(Duration::from_millis(50));
        if tally.get(Count::Errors) > 0 {
            return Err(format!("errors in a slice: {:?}", tally.errors()).into());
        }
        let units = if heartbeat.answer { Count::Answers } else { Count::Beats };
        let units = tally.get(units) as f64;
        samples.cpu.push(cpu.as_secs_f64() * 1e6 / units.max(1.0));
        samples.rate.push(units / seconds);
        samples.calls.extend(calls.map(|calls| calls as f64 / units.max(1.0)));
        if let Some(latency) = tally.latency(Kind::Beat) {
            samples.p50.push(latency.p50 * 1e3);
            samples.p99.push(latency.p99 * 1e3);
        }
        Ok(())
    }

    /// System calls of Muster's socket driver so far; the floors tell theirs at their end only.
    fn calls(&self) -> Option<u64> {
        let source = Source::open(self.server.muster()?.admin);
        source.scrape(Duration::from_secs(2)).ok()?.system_calls()
    }

    /// The process' CPU in a slice without any work, as a share of a core.
    fn rest(&self, clock: Clock, samples: &mut Vec<f64>) -> Result<(), Trouble> {
        let (cpu, begun) = (self.server.cpu()?, clock.now());
        Clock::rest(SLICE);
        let seconds = (clock.now() - begun) as f64 / 1e9;
        samples.push(self.server.cpu()?.saturating_sub(cpu).as_secs_f64() / seconds);
        Ok(())
    }
}

pub(super) fn row(what: String, unit: &str, samples: &[f64]) -> Result<Row, Trouble> {
    let summary = Summary::of(samples).ok_or_else(|| format!("{what}: nothing was measured"))?;
    Ok(Row::new(what, unit, summary))
}

/// CPU a unit of work, with its latency beside it.
pub(super) fn rows_of(what: String, unit: &str, samples: &Samples) -> Result<Row, Trouble> {
    let cpu = row(what, unit, &samples.cpu)?;
    let summary = |samples: &[f64]| Summary::of(samples).map(|summary| summary.median);
    let latency = summary(&samples.p50).zip(summary(&samples.p99));
    let latency = latency.map(|(p50, p99)| format!("latency p50 {p50:.0} µs, p99 {p99:.0} µs"));
    let rate = summary(&samples.rate).map(|rate| format!("{rate:.0}/s"));
    let calls = summary(&samples.calls).map(|calls| format!("{calls:.2} system calls each"));
    Ok(cpu.noted([latency, rate, calls].into_iter().flatten().collect::<Vec<_>>().join("; ")))
}

/// The table of the README.
///
/// # Errors
/// When a server does not start, or loses somebody.
pub fn heartbeats(_: &Context) -> Result<Vec<Row>, Trouble> {
    let subjects = [FLOOR, RING, EPOLL, GLOMMIO, DEFAULT];
    let clock = Clock::start();
    let places =
        subjects.iter().map(|&subject| Place::open(subject, clock)).collect::<Result<Vec<_>, _>>()?;
    let paced = Heartbeat { every: 1.0, answer: true, in_flight: 0 };
    let ways = [("10,000/s", paced.clone()), ("256 in flight", Heartbeat { in_flight: 256, ..paced })];
    let mut rows = Vec::new();
    for (way, heartbeat) in ways {
        let mut samples: Vec<Samples> = subjects.iter().map(|_| Samples::default()).collect();
        for round in 0..ROUNDS {
            for turn in 0..places.len() {
                // Nobody is always first.
                let one = (turn + round) % places.len();
                places[one].work(&heartbeat, clock, &mut samples[one])?;
            }
        }
        for (subject, samples) in subjects.iter().zip(&samples) {
            rows.push(rows_of(format!("{}, {way}", subject.name()), "µs CPU a heartbeat", samples)?);
        }
        let ratio = |name: &str, a: usize, b: usize| -> Result<Row, Trouble> {
            let comparison = Comparison::of(&samples[a].cpu, &samples[b].cpu)?;
            Ok(Row::ratio(format!("{name}, {way}"), &comparison))
        };
        rows.push(ratio("Muster on the ring ÷ bare ring echo", 1, 0)?.at_most(1.15));
        let most = if way.starts_with("256") { 1.0 } else { 1.1 };
        rows.push(ratio("Muster on the ring ÷ Muster on epoll", 1, 2)?.at_most(most));
        rows.push(ratio("Muster in a glommio executor ÷ Muster on a thread", 3, 1)?);
        rows.push(ratio("Muster on the ring, batches of 200 µs (default) ÷ without", 4, 1)?);
    }
    Ok(rows)
}

/// Four ways to know that a session lives, and batches.
///
/// # Errors
/// As [`heartbeats`].
pub fn liveness(_: &Context) -> Result<Vec<Row>, Trouble> {
    let gathers = [0, 200, 500, 1_000, 2_000];
    let clock = Clock::start();
    let places = gathers
        .iter()
        .map(|&gather_us| Place::open(Subject::Muster { io: "ring", host: "thread", gather_us }, clock))
        .collect::<Result<Vec<_>, _>>()?;
    let answered = Heartbeat { every: 1.0, answer: true, in_flight: 0 };
    let one_way = Heartbeat { answer: false, ..answered.clone() };
    let mut rows = Vec::new();
    let mut resting = vec![Vec::new(); places.len()];
    for (way, heartbeat) in [("answered heartbeat", answered), ("one-way heartbeat", one_way)] {
        let mut samples: Vec<Samples> = gathers.iter().map(|_| Samples::default()).collect();
        for round in 0..FEW_ROUNDS {
            for turn in 0..places.len() {
                let one = (turn + round) % places.len();
                places[one].work(&heartbeat, clock, &mut samples[one])?;
                if round % 4 == 0 {
                    places[one].rest(clock, &mut resting[one])?;
                }
            }
        }
        for (gather, samples) in gathers.iter().zip(&samples) {
            let minute: Vec<f64> = samples.cpu.iter().map(|cpu| cpu * 2.0).collect();
            let mut row =
                row(format!("{way}, batches of {gather} µs"), "µs CPU a session and minute", &minute)?;
            if let [Some(p50), Some(p99)] = [&samples.p50, &samples.p99].map(|samples| Summary::of(samples)) {
                row = row.noted(format!("latency p50 {:.0} µs, p99 {:.0} µs", p50.median, p99.median));
            }
            rows.push(row);
        }
    }
    for (gather, samples) in gathers.iter().zip(&resting) {
        let minute: Vec<f64> = samples.iter().map(|share| share * 60.0 * 1e6 / CONNECTIONS as f64).collect();
        rows.push(row(
            format!("TCP keep-alive, batches of {gather} µs"),
            "µs CPU a session and minute",
            &minute,
        )?);
    }
    Ok(rows)
}

/// Subscribers of each server in the comparison of fan-outs: as many as one ring of the floor holds.
const SUBSCRIBERS: u64 = 15_000;
/// Length of a payload, bytes.
const PAYLOAD: usize = 64;

/// A crowd that is told what is published: Muster's by its channel, the floor's by one batch of sends.
pub(super) struct Audience {
    server: Server,
    subscribers: u64,
    fleet: Fleet,
    /// The floor publishes when this connection says so.
    floor: Option<TcpStream>,
}

impl Audience {
    pub(super) fn open(subject: Subject, subscribers: u64, clock: Clock) -> Result<Self, Trouble> {
        let server = Server::start(subject, Some(SERVER_CORE))?;
        let channels = match server.muster() {
            // The rate is set with each slice; it only says here that somebody will publish.
            Some(_) => Channel { subscribers, rate: 1.0, bytes: PAYLOAD, ..Channel::default() },
            None => Channel::default(),
        };
        let heartbeat = Heartbeat { every: 0.0, answer: true, in_flight: 0 };
        let mix =
            Mix { connections: subscribers, heartbeat, opening: 256, channel: channels, ..Mix::default() };
        let fleet = bring(&server, mix, true, clock)?;
        let (mut tally, until) = (Tally::default(), clock.now() + PATIENCE);
        let settled = |tally: &Tally| server.muster().is_none() || tally.get(Count::Settled) >= subscribers;
        while fleet.open() < subscribers || !settled(&tally) {
            if clock.now() > until {
                return Err(format!("{}: {} are open", subject.name(), fleet.open()).into());
            }
            Clock::rest(Duration::from_millis(20));
            fleet.collect(&mut tally);
        }
        fleet.set(Phase::Rest);
        let floor = match server.muster() {
            Some(_) => None,
            None => Some(publisher(server.binary)?),
        };
        Ok(Self { server, subscribers, fleet, floor })
    }

    /// Publishes `burst` messages at once and waits until everybody has all of them: CPU microseconds a delivery, and
    /// milliseconds from the publish to the last delivery as the harness sees it.
    pub(super) fn publish(&mut self, burst: u32, clock: Clock) -> Result<(f64, f64), Trouble> {
        let mut tally = Tally::default();
        self.fleet.collect(&mut tally);
        let mut tally = Tally::default();
        let (cpu, begun) = (self.server.cpu()?, clock.now());
        match &mut self.floor {
            Some(floor) => {
                for _ in 0..burst {
                    floor.write_all(&publish_request())?;
                }
            }
            None => {
                // The first tick of this rate falls into the wait below, which is over before the next.
                self.fleet.set_publishing(1.0 / PUBLISH_AFTER.as_secs_f64(), burst);
                self.fleet.set(Phase::Run);
            }
        }
        let wanted = self.subscribers * u64::from(burst);
        while tally.get(Count::Deliveries) < wanted {
            if clock.now() - begun > PATIENCE {
                return Err(format!("{} of {wanted} deliveries", tally.get(Count::Deliveries)).into());
            }
            Clock::rest(Duration::from_millis(1));
            self.fleet.collect(&mut tally);
            if tally.get(Count::Taken) > 0 || tally.get(Count::Messages) > 0 {
                self.fleet.set(Phase::Rest);
            }
        }
        self.fleet.set(Phase::Rest);
        Clock::rest(Duration::from_millis(50));
        let cpu = self.server.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6 / wanted as f64;
        let last = tally.latency(Kind::Last).map_or(0.0, |last| last.max);
        Ok((cpu, last))
    }
}

/// When the publish of a round is due.
const PUBLISH_AFTER: Duration = Duration::from_millis(500);

fn publisher(address: std::net::SocketAddr) -> Result<TcpStream, Trouble> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    let mut hello = Vec::new();
    Choice::Binary { keep_alive: true, heartbeat: Duration::ZERO }.make().hello("", &mut hello);
    socket.write_all(&hello)?;
    let mut first = [0; 1];
    socket.read_exact(&mut first)?;
    // What it is told itself is read and forgotten, so that its socket never fills.
    let mut reader = socket.try_clone()?;
    std::thread::spawn(move || {
        let mut chunk = [0; 4_096];
        while matches!(reader.read(&mut chunk), Ok(read) if read > 0) {}
    });
    Ok(socket)
}

/// A request of the floor's length that asks for a publish.
fn publish_request() -> Vec<u8> {
    let mut request = Vec::new();
    Choice::Binary { keep_alive: true, heartbeat: Duration::ZERO }
        .make()
        .say(&Ask::Beat { answer: true }, &mut request);
    request[0] = crate::floor::PUBLISH;
    request
}

/// One publish to many, against the bare batch of sends, and four at once against one.
///
/// # Errors
/// As [`heartbeats`].
pub fn fanout(_: &Context) -> Result<Vec<Row>, Trouble> {
    let clock = Clock::start();
    let mut floor = Audience::open(FLOOR, SUBSCRIBERS, clock)?;
    let mut muster = Audience::open(RING, SUBSCRIBERS, clock)?;
    let (mut bare, mut one, mut four, mut last) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(floor.publish(1, clock)?.0);
        let (cpu, ms) = muster.publish(1, clock)?;
        one.push(cpu);
        last.push(ms);
        four.push(muster.publish(4, clock)?.0);
    }
    let samples = [
        ("bare batched sends (floor), one message", "µs CPU a delivery", &bare),
        ("Muster, one message", "µs CPU a delivery", &one),
        ("Muster, four messages under way", "µs CPU a delivery", &four),
        ("Muster, one message: until the last of 15,000 has it", "ms", &last),
    ];
    let mut rows = samples
        .iter()
        .map(|(what, unit, samples)| row((*what).into(), unit, samples))
        .collect::<Result<Vec<_>, _>>()?;
    rows.push(
        Row::ratio("deliveries a core second: Muster ÷ floor", &Comparison::of(&bare, &one)?).at_least(0.8),
    );
    rows.push(Row::ratio("a delivery of four ÷ a single one", &Comparison::of(&four, &one)?).at_most(0.4));
    Ok(rows)
}
