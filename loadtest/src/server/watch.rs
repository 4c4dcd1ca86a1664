//! Watching a server: one sample a second of its CPU, its memory and what it tells of itself.
//!
//! [`Sampler`] reads when it is asked to. [`Watcher`] does it on a thread of its own, so that whoever drives the load
//! is never held up by a slow read: the proportional set size of 20 GiB takes the kernel some 300 ms, and a scrape
//! waits for the server. Both take the time as an argument.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use engine::io::Clock;

use super::machine::{self, Memory, Sockets};
use super::metrics::{Metrics, Source};
use super::procfs::{CpuMeter, Process, Switches, Times};
use crate::outcome::Tick;

/// Reading the proportional set size may take this share of the time at most: the server cannot map memory meanwhile.
const SHARE_OF_PSS: u32 = 20;
/// How long a scrape may take.
const SCRAPE: Duration = Duration::from_secs(2);

/// What was seen at one moment.
#[derive(Clone, Default, Debug)]
pub struct Sample {
    /// When the CPU was read.
    pub at: Duration,
    /// The process runs. If not, only the machine's figures are of this moment.
    pub alive: bool,
    /// CPU time since the sampler was made, in nanosecond steps.
    pub cpu: Duration,
    /// The same in user code and in the kernel, in steps of 10 ms.
    pub times: Times,
    /// CPU since the sample before, 1.0 is one core wholly busy; `None` in the first.
    pub share: Option<f64>,
    /// Proportional set size, bytes, and when it was read: not in every sample anew. `None`: it cannot be read.
    pub pss: Option<(Duration, u64)>,
    /// Resident set size, bytes.
    pub rss: u64,
    /// Threads.
    pub threads: u64,
    /// Context switches of its threads so far.
    pub switches: Switches,
    /// Open files; `None`: they cannot be read.
    pub open_files: Option<u64>,
    /// Memory of the machine.
    pub memory: Memory,
    /// Kernel memory of the machine above what it was when the sampler was made, bytes; 0 when it fell.
    pub kernel: u64,
    /// Kernel memory of the machine by kind ([`machine::kinds`]); only whole samples have it.
    pub kinds: Arc<BTreeMap<String, u64>>,
    /// Sockets of the machine.
    pub sockets: Sockets,
    /// What the server told of itself in this sample; `None`: nobody asked, or no answer.
    pub metrics: Option<Arc<Metrics>>,
    /// Users online, as the server tells it.
    pub online: Option<u64>,
}

impl Sample {
    /// Puts the server's figures into the line of a second.
    pub fn fill(&self, tick: &mut Tick) {
        tick.server_cpu = self.share.filter(|_| self.alive);
        // Older figures were in an earlier tick.
        tick.server_memory = self.pss.filter(|(read, _)| self.alive && *read == self.at).map(|(_, pss)| pss);
        tick.kernel_memory = Some(self.kernel);
        tick.server_online = self.online;
    }
}

/// Reads what can be seen of a server.
#[derive(Debug)]
pub struct Sampler {
    process: Process,
    source: Option<Source>,
    clock: Clock,
    meter: CpuMeter,
    /// What the meter and the times showed in the beginning.
    zero: (Duration, Times),
    /// The machine's memory in the beginning.
    before: Memory,
    rest: Duration,
    /// When the proportional set size is due again.
    due: Duration,
    last: Option<Sample>,
}

impl Sampler {
    /// Watches this process from now on, and its metrics if there is a source of them.
    ///
    /// # Errors
    /// When there is no such process, or `/proc` is not mounted.
    pub fn new(pid: u32, source: Option<Source>) -> io::Result<Self> {
        let process = Process::open(pid)?;
        let mut meter = CpuMeter::default();
        let zero = (meter.add(process.thread_times()?), process.stat()?.times);
        Ok(Self {
            process,
            source,
            clock: Clock::start(),
            meter,
            zero,
            before: Memory::read()?,
            rest: Duration::from_secs(1),
            due: Duration::ZERO,
            last: None,
        })
    }

    /// Reads the proportional set size no more often than this, and less often where reading it is slow: it takes at
    /// most a twentieth of the time.
    #[must_use]
    pub fn pss_every(mut self, rest: Duration) -> Self {
        self.rest = rest;
        self
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The machine's memory when the sampler was made.
    #[must_use]
    pub fn before(&self) -> &Memory {
        &self.before
    }

    /// Takes a sample. `now` comes from the caller's clock; it must not go back.
    ///
    /// # Errors
    /// When `/proc` is not mounted. That the server has ended is no error: the sample says so.
    pub fn sample(&mut self, now: Duration) -> io::Result<Sample> {
        self.take(now, false)
    }

    /// Takes a sample with the proportional set size as it is now, however long that takes.
    ///
    /// # Errors
    /// As [`Sampler::sample`].
    pub fn whole_sample(&mut self, now: Duration) -> io::Result<Sample> {
        self.take(now, true)
    }

    fn take(&mut self, now: Duration, whole: bool) -> io::Result<Sample> {
        let last = self.last.take().unwrap_or_default();
        let first = last.threads == 0;
        let mut sample = Sample { at: now, metrics: None, online: None, share: None, ..last.clone() };
        sample.alive = self.process.is_alive();
        if sample.alive {
            // It may end at any moment: what cannot be read then stays as it was.
            if let Ok(threads) = self.process.thread_times() {
                sample.cpu = self.meter.add(threads).saturating_sub(self.zero.0);
            }
            if let Ok(stat) = self.process.stat() {
                let since = |now: Duration, zero: Duration| now.saturating_sub(zero);
                let zero = self.zero.1;
                sample.times = Times {
                    user: since(stat.times.user, zero.user),
                    kernel: since(stat.times.kernel, zero.kernel),
                };
                (sample.rss, sample.threads) = (stat.rss, stat.threads);
            }
            sample.switches = self.process.switches().unwrap_or(last.switches);
            sample.open_files = self.process.open_files().ok();
            let passed = now.saturating_sub(last.at);
            if !first && !passed.is_zero() {
                sample.share =
                    Some((sample.cpu.saturating_sub(last.cpu)).as_secs_f64() / passed.as_secs_f64());
            }
            if whole || now >= self.due {
                let begun = self.clock.elapsed();
                sample.pss = self.process.pss().ok().map(|pss| (now, pss));
                let took = self.clock.elapsed().saturating_sub(begun);
                self.due = now + self.rest.max(took * SHARE_OF_PSS);
            }
        }
        sample.memory = Memory::read()?;
        sample.kernel = sample.memory.kernel().saturating_sub(self.before.kernel());
        sample.kinds = if whole { Arc::new(machine::kinds()) } else { Arc::default() };
        sample.sockets = Sockets::read()?;
        if let Some(source) = self.source.as_ref().filter(|_| sample.alive) {
            sample.metrics = source.scrape(SCRAPE).ok().map(Arc::new);
            sample.online = sample.metrics.as_ref().and_then(|metrics| metrics.online());
        }
        self.last = Some(sample.clone());
        Ok(sample)
    }
}

/// A sampler on a thread of its own.
#[derive(Debug)]
pub struct Watcher {
    latest: Arc<Mutex<Option<Sample>>>,
    ask: Option<Sender<Sender<Sample>>>,
    thread: Option<JoinHandle<Sampler>>,
}

impl Watcher {
    /// Takes a sample now and every `interval` from then on. `now` is the clock of the run.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        sampler: Sampler,
        interval: Duration,
        now: impl Fn() -> Duration + Send + 'static,
    ) -> io::Result<Self> {
        let latest = Arc::<Mutex<Option<Sample>>>::default();
        let (ask, asked) = mpsc::channel();
        let publish = latest.clone();
        let thread = thread::Builder::new()
            .name("watch".into())
            .spawn(move || watch(sampler, interval, &now, &asked, &publish))?;
        Ok(Self { latest, ask: Some(ask), thread: Some(thread) })
    }

    /// The latest sample; never waits for one. `None` before the first.
    #[must_use]
    pub fn latest(&self) -> Option<Sample> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A whole sample as of now, for the beginning and the end of a measurement; `None` when it takes longer than
    /// `patience`.
    #[must_use]
    pub fn measure(&self, patience: Duration) -> Option<Sample> {
        let (answer, answered) = mpsc::channel();
        self.ask.as_ref()?.send(answer).ok()?;
        answered.recv_timeout(patience).ok()
    }

    /// Ends the thread, and gives its sampler back; `None` when the thread panicked.
    #[must_use]
    pub fn stop(mut self) -> Option<Sampler> {
        self.ask = None;
        self.thread.take()?.join().ok()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.ask = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(
    mut sampler: Sampler,
    interval: Duration,
    now: &dyn Fn() -> Duration,
    asked: &Receiver<Sender<Sample>>,
    publish: &Mutex<Option<Sample>>,
) -> Sampler {
    let mut due = now();
    loop {
        // Each waits for its turn after `due`, not after the sample before: a slow one shifts none but itself.
        let answer = match asked.recv_timeout(due.saturating_sub(now())) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return sampler,
        };
        let time = now();
        let sample = if answer.is_some() { sampler.whole_sample(time) } else { sampler.sample(time) };
        if answer.is_none() {
            let missed = time.saturating_sub(due).as_nanos() / interval.as_nanos().max(1);
            due += interval * (u32::try_from(missed).unwrap_or(u32::MAX).saturating_add(1));
        }
        // Without /proc there is nothing to publish, and the caller sees the old time in the latest sample.
        if let Ok(sample) = sample {
            *publish.lock().unwrap_or_else(PoisonError::into_inner) = Some(sample.clone());
            if let Some(answer) = answer {
                let _ = answer.send(sample);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    fn burn(time: Duration) {
        let clock = Clock::start();
        while clock.elapsed() < time {
            black_box(0);
        }
    }

    #[test]
    fn sees_itself_work() {
        let mut sampler = Sampler::new(std::process::id(), None).unwrap();
        let clock = Clock::start();
        let first = sampler.sample(clock.elapsed()).unwrap();
        assert!(first.alive && first.threads >= 1 && first.rss > 0 && first.pss.unwrap().1 > 0);
        assert_eq!((first.share, first.online, first.metrics.is_none()), (None, None, true));
        burn(Duration::from_millis(150));
        let second = sampler.sample(clock.elapsed()).unwrap();
        assert!(second.cpu > first.cpu && second.share.unwrap() > 0.05, "{second:?}");
        // Not due yet: the old figure is kept, and belongs to no new tick.
        assert_eq!(second.pss, first.pss);
        let mut tick = Tick::default();
        second.fill(&mut tick);
        assert_eq!((tick.server_cpu, tick.server_memory, tick.server_online), (second.share, None, None));
        let whole = sampler.whole_sample(clock.elapsed()).unwrap();
        whole.fill(&mut tick);
        assert_eq!(tick.server_memory, Some(whole.pss.unwrap().1));
    }

    #[test]
    fn says_that_the_server_has_ended() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut sampler = Sampler::new(child.id(), None).unwrap();
        assert!(sampler.sample(Duration::ZERO).unwrap().alive);
        child.kill().unwrap();
        child.wait().unwrap();
        let after = sampler.sample(Duration::from_secs(1)).unwrap();
        assert!(!after.alive && after.memory.total > 0 && after.share.is_none());
        assert!(Sampler::new(child.id(), None).is_err());
    }

    #[test]
    fn a_thread_of_its_own_keeps_the_latest() {
        let clock = Clock::start();
        let now = clock.clone();
        let sampler = Sampler::new(std::process::id(), None).unwrap();
        let watcher = Watcher::start(sampler, Duration::from_secs(60), move || now.elapsed()).unwrap();
        let one = watcher.measure(Duration::from_secs(20)).unwrap();
        let two = watcher.measure(Duration::from_secs(20)).unwrap();
        assert!(two.at > one.at && two.pss.unwrap().0 == two.at);
        assert!(watcher.latest().unwrap().at >= two.at);
        assert!(watcher.stop().is_some());
    }
}
