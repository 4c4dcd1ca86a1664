//! A run from the first connect to the last byte: ramp, settle, warm-up, measure, storms, tear-down; and what came out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::account::server_side;
use crate::clock::{Clock, rfc3339};
use crate::fleet::tally::{COUNTS, Count, Kind, Tally};
use crate::fleet::{Fleet, Phase, Plan};
use crate::mix::Mix;
use crate::outcome::{Generator, Latency, Outcome, Tick};
use crate::rehearsal::{self, SAMPLE};
use crate::server::inquiry::{self, Inquirer, Inquiry};
use crate::server::machine;
use crate::server::metrics::Durations;
use crate::server::procfs::{Process, Times};
use crate::server::watch::{Sample, Watcher};
use crate::verdict;

/// How often the main thread looks.
const LOOK: Duration = Duration::from_millis(50);
/// One line of the time line.
const TICK: u64 = 1_000_000_000;
/// How long watches, subscriptions and last deliveries may take to come.
const SETTLE: Duration = Duration::from_secs(60);
/// Quiet time after which nothing more is expected.
const QUIET: Duration = Duration::from_secs(1);
/// How long until every ring has seen a phase, and shown what it counted before.
const SEEN: Duration = Duration::from_millis(300);
/// Who looks on.
pub trait Show {
    /// The next part of the run begins.
    fn phase(&mut self, name: &str);
    /// A second is over. The latencies are those measured so far.
    fn tick(&mut self, tick: &Tick, latencies: &[Latency]);
    /// Something worth knowing.
    fn note(&mut self, text: &str);
}

/// Nobody looks on.
pub struct Nobody;

impl Show for Nobody {
    fn phase(&mut self, _: &str) {}
    fn tick(&mut self, _: &Tick, _: &[Latency]) {}
    fn note(&mut self, _: &str) {}
}

/// What is to be done.
pub struct Order {
    /// Who does what to which server.
    pub plan: Plan,
    /// The command as it was given.
    pub command: String,
    /// The server's process and metrics, if they may be looked at.
    pub server: Option<Watcher>,
    /// What a service asks the server meanwhile, if anything.
    pub inquiry: Option<Inquiry>,
    /// Sessions of a smaller crowd that comes and goes first, so that what any first crowd costs is not this one's; 0: none.
    pub rehearsal: u64,
    /// Set from outside: stop in order, with a report of what was measured so far.
    pub stop: Arc<AtomicBool>,
    /// Whether to wait until the server has forgotten the crowd, and to measure its memory then.
    pub measure_after: bool,
}

/// What a measured part of the run has seen.
#[derive(Default)]
pub(crate) struct Span {
    /// Before and after.
    pub(crate) server: Option<(Sample, Sample)>,
    pub(crate) seconds: f64,
    pub(crate) generator_cpu: f64,
    pub(crate) tally: Tally,
    /// What was done between the two looks at the server; the tally has the stragglers besides.
    pub(crate) units: (&'static str, u64),
}

/// Everything known at the end, from which checks and the outcome are made.
pub(crate) struct Found {
    pub(crate) plan: Plan,
    /// Counts and errors of the whole run.
    pub(crate) all: Tally,
    pub(crate) ramp: Tally,
    pub(crate) measured: Span,
    pub(crate) returned: Span,
    /// Sessions open and users online by the server's count, at the end of the measurement.
    pub(crate) open: u64,
    pub(crate) online: Option<u64>,
    pub(crate) stalled: Option<(usize, usize)>,
    /// Messages in conversations that were acknowledged, and those of them that were not found again.
    pub(crate) kept: Option<(u64, u64)>,
    /// What the questions of a service have found out.
    pub(crate) inquiry: Option<inquiry::Found>,
    /// Sessions of the crowd that came first, and the server before it.
    pub(crate) rehearsal: Option<(u64, Sample)>,
    /// Before the crowd, with it, and after it had left.
    pub(crate) before: Option<Sample>,
    pub(crate) with: Option<Sample>,
    pub(crate) after: Option<Sample>,
    pub(crate) interrupted: bool,
}

struct Run<'a> {
    clock: Clock,
    fleet: Fleet,
    watcher: Option<Watcher>,
    inquiry: Option<Inquiry>,
    inquirer: Option<Inquirer>,
    own: Option<Process>,
    stop: Arc<AtomicBool>,
    show: &'a mut dyn Show,
    phase: &'static str,
    timeline: Vec<Tick>,
    next_tick: u64,
    /// The sample that was shown last.
    last_sample: Duration,
    last_turns: Option<Durations>,
    last_cpu: f64,
    /// What has come since the last tick.
    fresh: Tally,
    found: Found,
    notes: Vec<String>,
}

/// Where a tally goes besides the whole.
#[derive(Clone, Copy, PartialEq)]
enum Into {
    Ramp,
    Measured,
    Returned,
    Nothing,
}

/// Does it.
///
/// # Errors
/// When it could not be begun, or the generator itself failed; what the server does wrong is in the outcome.
pub fn run(order: Order, show: &mut dyn Show) -> Result<Outcome, String> {
    let Order { plan, command, server, inquiry, rehearsal, stop, measure_after } = order;
    let (clock, started) = (plan.clock, Clock::unix_ms());
    let begun = clock.now();
    let fresh = server.as_ref().and_then(|watcher| watcher.measure(SAMPLE));
    if fresh.as_ref().is_some_and(|sample| !sample.alive) {
        return Err("the server is not running".into());
    }
    let mut before = fresh.clone();
    if rehearsal > 0 {
        show.phase("rehearsal");
        rehearsal::hold(&plan, rehearsal, inquiry.as_ref(), (server.as_ref(), fresh.as_ref()), &stop)?;
        before = server.as_ref().and_then(|watcher| watcher.measure(SAMPLE));
    }
    let own_before = own_memory();
    let fleet = Fleet::start(plan.clone())?;
    let mut run = Run {
        clock,
        watcher: server,
        inquiry,
        inquirer: None,
        own: Process::this().ok(),
        stop,
        show,
        phase: "ramp",
        timeline: Vec::new(),
        next_tick: clock.now() + TICK,
        last_sample: Duration::ZERO,
        last_turns: None,
        last_cpu: 0.0,
        fresh: Tally::default(),
        found: Found {
            plan,
            all: Tally::default(),
            ramp: Tally::default(),
            measured: Span::default(),
            returned: Span::default(),
            open: 0,
            online: None,
            stalled: None,
            kept: None,
            inquiry: None,
            rehearsal: fresh.filter(|_| rehearsal > 0).map(|fresh| (rehearsal, fresh)),
            before,
            with: None,
            after: None,
            interrupted: false,
        },
        notes: Vec::new(),
        fleet,
    };
    run.whole()?;
    let own_after = own_memory();
    let rings = run.fleet.rings();
    let seconds = |from: u64, to: u64| (to - from) as f64 / 1e9;
    run.begin("tear-down");
    let Run { fleet, watcher, mut found, timeline, notes, stop, fresh, .. } = run;
    // The second that was not over yet.
    found.all.add(&fresh);
    fleet.end(&mut found.all)?;
    let ended = clock.now();
    if let Some(watcher) = &watcher {
        if measure_after {
            show.note("waiting until the server has forgotten the crowd");
            let wait = rehearsal::worth(found.before.as_ref(), found.with.as_ref());
            rehearsal::forgotten(watcher, found.before.as_ref(), &wait, &stop);
        }
        found.after = watcher.measure(SAMPLE);
    }
    let sessions = found.plan.mix.connections.max(1);
    let mut outcome = Outcome {
        format: Outcome::FORMAT,
        title: title(&found),
        command,
        started: rfc3339(started),
        seconds: seconds(begun, ended),
        measured_seconds: found.measured.seconds + found.returned.seconds,
        interrupted: found.interrupted,
        plan: plan_of(&found),
        machine: machine::describe(env!("CARGO_PKG_VERSION")),
        counts: COUNTS.iter().map(|(count, name)| ((*name).to_owned(), found.all.get(*count))).collect(),
        errors: found.all.errors().clone(),
        latencies: latencies(&found),
        timeline,
        generator: Generator {
            rings: u32::try_from(rings).unwrap_or(u32::MAX),
            cpu_seconds: found.measured.generator_cpu,
            bytes_per_connection: own_after.saturating_sub(own_before) as f64 / sessions as f64,
            lateness: found.measured.tally.latency(Kind::Late).unwrap_or_default(),
            warnings: Vec::new(),
        },
        server: watcher.as_ref().map(|_| server_side(&found)),
        checks: verdict::checks(&found),
        notes,
    };
    outcome.generator.warnings = verdict::warnings(&found, &outcome);
    if let (Some(server), Some(command)) = (
        outcome.server.as_mut(),
        watcher
            .and_then(Watcher::stop)
            .map(|sampler| (sampler.process().pid(), sampler.process().command_line().unwrap_or_default())),
    ) {
        (server.pid, server.command) = command;
    }
    Ok(outcome)
}

impl Run<'_> {
    fn whole(&mut self) -> Result<(), String> {
        let mix = self.found.plan.mix.clone();
        self.ramp()?;
        self.begin("settle");
        self.fleet.set(Phase::Settle);
        self.fleet.stall()?;
        let follow = if mix.messages.conversations > 0 { mix.connections } else { 0 };
        self.settle(mix.watch.watchers + mix.channel.subscribers + follow)?;
        self.fleet.set(Phase::Run);
        if mix.warm_up > 0.0 {
            self.begin("warm-up");
            self.pass(Duration::from_secs_f64(mix.warm_up), Into::Nothing)?;
        }
        self.begin("measure");
        let span = self.span(Into::Measured, |run| run.hold(Duration::from_secs_f64(mix.hold)));
        self.found.measured = span?;
        self.fleet.set(Phase::Settle);
        self.found.open = self.fleet.open();
        self.quiet(Into::Measured)?;
        for _ in 0..mix.storm.times {
            if self.stopped() {
                break;
            }
            self.storm(&mix)?;
        }
        if mix.messages.conversations > 0 {
            self.answered()?;
            if mix.messages.read_back && !self.stopped() {
                self.read_back()?;
            }
        }
        self.rest()?;
        self.found.stalled = self.fleet.stalled_dropped();
        self.found.open = self.fleet.open();
        self.found.with = self.watcher.as_ref().and_then(|watcher| watcher.measure(SAMPLE));
        self.found.online = self.found.with.as_ref().and_then(|sample| sample.online);
        Ok(())
    }

    /// The time that is measured, with the questions of a service where there are any.
    fn hold(&mut self, time: Duration) -> Result<(), String> {
        if let Some(inquiry) = self.inquiry.take() {
            let started = Inquirer::start(inquiry);
            self.inquirer = Some(started.map_err(|error| format!("the thread that asks: {error}"))?);
        }
        self.pass(time, Into::Measured)?;
        if let Some(inquirer) = self.inquirer.take() {
            let mut last = Tally::default();
            self.found.inquiry = Some(inquirer.end(&mut last));
            self.fresh.add(&last);
            self.found.measured.tally.add(&last);
        }
        Ok(())
    }

    fn ramp(&mut self) -> Result<(), String> {
        self.begin("ramp");
        while self.fleet.missing() > 0 && !self.stopped() {
            self.look(Into::Ramp)?;
        }
        self.look(Into::Ramp)
    }

    fn storm(&mut self, mix: &Mix) -> Result<(), String> {
        self.begin("drop");
        let closed = self.counted(Count::Closed);
        let dropping = self.fleet.open() - mix.watch.watchers.min(self.fleet.open());
        self.fleet.set(Phase::Drop);
        let until = self.clock.now() + SETTLE.as_nanos() as u64;
        while self.counted(Count::Closed) < closed + dropping && self.clock.now() < until && !self.stopped() {
            self.look(Into::Nothing)?;
        }
        self.begin("return");
        let before = std::mem::take(&mut self.found.returned);
        let span = self.span(Into::Returned, |run| {
            run.fleet.set(Phase::Ramp);
            // The rings say what is missing only after they have seen the phase.
            run.pass(SEEN, Into::Returned)?;
            while run.fleet.missing() > 0 && !run.stopped() {
                run.look(Into::Returned)?;
            }
            Ok(())
        })?;
        self.found.returned = span;
        self.found.returned.tally.add(&before.tally);
        self.found.returned.seconds += before.seconds;
        self.quiet(Into::Returned)
    }

    fn begin(&mut self, phase: &'static str) {
        self.phase = phase;
        self.show.phase(phase);
    }

    fn stopped(&mut self) -> bool {
        self.found.interrupted |= self.stop.load(Ordering::Acquire);
        self.found.interrupted
    }

    /// Watches and subscriptions come to stand, and what they begin with arrives.
    fn settle(&mut self, wanted: u64) -> Result<(), String> {
        if wanted == 0 {
            return Ok(());
        }
        // Conversations take a while to make.
        let rooms = self.found.plan.mix.messages.conversations;
        let until = self.clock.now() + (SETTLE + Duration::from_millis(rooms)).as_nanos() as u64;
        // What the rings have to do there is seen only after they have seen the phase.
        self.pass(SEEN, Into::Nothing)?;
        while (self.counted(Count::Settled) < wanted || self.fleet.waits() > 0) && !self.stopped() {
            if self.clock.now() > until {
                let (settled, made) = (self.counted(Count::Settled), self.counted(Count::Made));
                self.notes.push(format!(
                    "only {settled} of {wanted} watches, subscriptions and followers stand, {made} of {rooms} conversations"
                ));
                break;
            }
            self.look(Into::Nothing)?;
        }
        self.quiet(Into::Nothing)
    }

    /// Waits until everybody who is away is back, and nothing has come for a while.
    fn quiet(&mut self, into: Into) -> Result<(), String> {
        let away = (self.found.plan.mix.churn.away * 1e9) as u64;
        let until = self.clock.now() + SETTLE.as_nanos() as u64 + away;
        // Paced heartbeats go on, and so do their answers; [`Run::rest`] waits for the last of them.
        let heard = [Count::Deliveries, Count::Told, Count::ToldFirst, Count::Taken];
        let heard = |run: &Self| heard.iter().map(|&count| run.counted(count)).sum::<u64>();
        let (mut last, mut since) = (heard(self), self.clock.now());
        while self.clock.now() < until && !self.stopped() {
            self.look(into)?;
            let (now, so_far) = (self.clock.now(), heard(self));
            if so_far != last || self.fleet.missing() > 0 {
                (last, since) = (so_far, now);
            } else if now - since > QUIET.as_nanos() as u64 {
                break;
            }
        }
        Ok(())
    }

    /// Reads all conversations from their end to their beginning, and compares what is there with what was acknowledged.
    fn read_back(&mut self) -> Result<(), String> {
        self.begin("read back");
        self.fleet.set(Phase::ReadBack);
        self.pass(SEEN, Into::Nothing)?;
        let (mut last, mut since) = (self.fleet.waits(), self.clock.now());
        while self.fleet.waits() > 0 && !self.stopped() {
            self.look(Into::Nothing)?;
            let (waits, now) = (self.fleet.waits(), self.clock.now());
            if waits != last {
                (last, since) = (waits, now);
            } else if now - since > SETTLE.as_nanos() as u64 {
                self.notes.push(format!("{waits} pages were not read back"));
                break;
            }
        }
        // Half of it proves nothing.
        if !self.stopped() && self.fleet.waits() == 0 {
            self.found.kept = Some(self.fleet.kept());
        }
        Ok(())
    }

    /// Waits until nothing about conversations is under way.
    fn answered(&mut self) -> Result<(), String> {
        let until = self.clock.now() + SETTLE.as_nanos() as u64;
        while self.fleet.waits() > 0 && self.clock.now() < until && !self.stopped() {
            self.look(Into::Measured)?;
        }
        Ok(())
    }

    /// Sends nothing more, and waits for the last answers.
    fn rest(&mut self) -> Result<(), String> {
        self.fleet.set(Phase::Rest);
        // What a ring has sent before it saw the phase is counted only then.
        self.pass(SEEN, Into::Nothing)?;
        let until = self.clock.now() + SETTLE.as_nanos() as u64;
        let over = |run: &Self| run.counted(Count::Answers) + run.counted(Count::Unanswered);
        while self.found.plan.mix.heartbeat.answer
            && over(self) < self.counted(Count::Beats)
            && self.clock.now() < until
            && !self.stopped()
        {
            self.look(Into::Nothing)?;
        }
        Ok(())
    }

    /// Counted so far, in the whole run.
    fn counted(&self, count: Count) -> u64 {
        self.found.all.get(count) + self.fresh.get(count)
    }

    fn pass(&mut self, time: Duration, into: Into) -> Result<(), String> {
        let until = self.clock.now() + time.as_nanos() as u64;
        while self.clock.now() < until && !self.stopped() {
            self.look(into)?;
        }
        Ok(())
    }

    fn span(
        &mut self,
        into: Into,
        part: impl FnOnce(&mut Self) -> Result<(), String>,
    ) -> Result<Span, String> {
        // What came before does not count.
        self.gather(Into::Nothing);
        let first = self.watcher.as_ref().and_then(|watcher| watcher.measure(SAMPLE));
        self.gather(Into::Nothing);
        let (begun, cpu) = (self.clock.now(), own_cpu(self.own.as_ref()));
        part(self)?;
        self.gather(into);
        let (seconds, generator_cpu) =
            ((self.clock.now() - begun) as f64 / 1e9, own_cpu(self.own.as_ref()) - cpu);
        let last = self.watcher.as_ref().and_then(|watcher| watcher.measure(SAMPLE));
        let tally = match into {
            Into::Measured => std::mem::take(&mut self.found.measured.tally),
            _ => std::mem::take(&mut self.found.returned.tally),
        };
        let units = unit(&self.found.plan.mix, &tally);
        Ok(Span { server: first.zip(last), seconds, generator_cpu, tally, units })
    }

    /// One look at the rings; a line of the time line when a second is over.
    fn look(&mut self, into: Into) -> Result<(), String> {
        Clock::rest(LOOK);
        if let Some(failure) = self.fleet.failure() {
            return Err(failure);
        }
        self.gather(into);
        let now = self.clock.now();
        if now >= self.next_tick {
            self.tick(now);
            self.next_tick += TICK;
        }
        Ok(())
    }

    /// Takes what the rings have counted.
    fn gather(&mut self, into: Into) {
        let mut new = Tally::default();
        self.fleet.collect(&mut new);
        if let Some(inquirer) = &self.inquirer {
            inquirer.collect(&mut new);
        }
        self.fresh.add(&new);
        match into {
            Into::Ramp => self.found.ramp.add(&new),
            Into::Measured => self.found.measured.tally.add(&new),
            Into::Returned => self.found.returned.tally.add(&new),
            Into::Nothing => {}
        }
    }

    fn tick(&mut self, now: u64) {
        let fresh = std::mem::take(&mut self.fresh);
        let quantiles = fresh.quantiles(&[0.5, 0.99, 1.0]);
        let at = |place: usize| quantiles.as_ref().map(|all| all[place]);
        let cpu = own_cpu(self.own.as_ref());
        let mut tick = Tick {
            at: now as f64 / 1e9,
            phase: self.phase.into(),
            open: self.fleet.open(),
            opened: fresh.get(Count::Connected),
            closed: fresh.get(Count::Closed),
            requests: fresh.get(Count::Beats) + fresh.get(Count::Messages),
            answers: fresh.get(Count::Answers) + fresh.get(Count::Deliveries) + fresh.get(Count::Told),
            errors: fresh.get(Count::Errors),
            p50: at(0),
            p99: at(1),
            max: at(2),
            generator_cpu: cpu - self.last_cpu,
            ..Tick::default()
        };
        self.last_cpu = cpu;
        if let Some(sample) = self.watcher.as_ref().and_then(Watcher::latest)
            && sample.at != self.last_sample
        {
            self.last_sample = sample.at;
            sample.fill(&mut tick);
            let turns = sample.metrics.as_ref().and_then(|metrics| metrics.turns());
            let since = turns.as_ref().zip(self.last_turns.as_ref()).map(|(now, before)| now.since(before));
            tick.server_turn = since.and_then(|turns| turns.quantile(0.999)).map(|seconds| seconds * 1e3);
            self.last_turns = turns;
        }
        self.found.all.add(&fresh);
        self.show.tick(&tick, &latencies(&self.found));
        self.timeline.push(tick);
    }
}

fn own_cpu(process: Option<&Process>) -> f64 {
    let times: Option<Times> = process.and_then(|process| process.stat().ok()).map(|stat| stat.times);
    times.map_or(0.0, |times| times.total().as_secs_f64())
}

fn own_memory() -> u64 {
    Process::this().and_then(|process| process.stat()).map_or(0, |stat| stat.rss)
}

fn title(found: &Found) -> String {
    let mix = &found.plan.mix;
    let dialect = found.plan.dialect.make();
    format!("{} · {} · {} sessions", mix.name, dialect.name(), crate::report::figures::count(mix.connections))
}

fn plan_of(found: &Found) -> std::collections::BTreeMap<String, serde_json::Value> {
    let mut plan: std::collections::BTreeMap<_, _> = match serde_json::to_value(&found.plan.mix) {
        Ok(serde_json::Value::Object(fields)) => fields.into_iter().collect(),
        _ => Default::default(),
    };
    plan.insert("dialect".into(), found.plan.dialect.make().name().into());
    plan.insert("target".into(), found.plan.target.to_string().into());
    plan
}

fn latencies(found: &Found) -> Vec<Latency> {
    let mut all = Tally::default();
    all.add(&found.measured.tally);
    all.add(&found.returned.tally);
    let mut latencies = all.latencies();
    if all.latency(Kind::Connect).is_none()
        && let Some(mut connect) = found.ramp.latency(Kind::Connect)
    {
        connect.what.push_str("; of the ramp");
        latencies.push(connect);
    }
    latencies
}

/// What the work is counted in, and how much of it was done.
fn unit(mix: &Mix, tally: &Tally) -> (&'static str, u64) {
    if mix.storm.times > 0 {
        return ("connection", tally.get(Count::Connected));
    }
    if mix.messages.conversations > 0 {
        return ("message", tally.get(Count::Taken));
    }
    if tally.get(Count::Deliveries) > 0 {
        return ("delivery", tally.get(Count::Deliveries));
    }
    if tally.get(Count::Told) > 0 {
        return ("delivery", tally.get(Count::Told));
    }
    ("heartbeat", tally.get(Count::Beats))
}
