//! The threads with a table of rows that fails on demand, a clock that goes when it is told to; and then as threads.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::{Condvar, Mutex, mpsc};

use schema::Realm;
use schema::chat::ConversationId;

use super::*;
use crate::machine::ChatRequest;
use crate::machine::store::{ChatFailure, Part, Place};
use crate::mesh::{Capacity, Sender, inbox};
use crate::store::Health;
use crate::store::chat::suite::{group_of, one_more};
use crate::store::chat::{Commits, MemoryRows, Rows};
use crate::store::ledger::{Batch, Space};

/// What a commit, or a read, of the rows does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    Fails(FailureKind),
    Panics,
}

/// What the test can turn on, and what it can look at.
#[derive(Default)]
struct Disk {
    commits: Mutex<Fault>,
    reads: Mutex<Fault>,
    recovers: Mutex<Fault>,
    committed: AtomicUsize,
    recoveries: AtomicUsize,
    /// Commits wait while it is set.
    stuck: Mutex<bool>,
    freed: Condvar,
}

impl Disk {
    fn set(&self, fault: Fault) {
        *self.commits.lock().unwrap() = fault;
    }

    fn stick(&self, is: bool) {
        *self.stuck.lock().unwrap() = is;
        self.freed.notify_all();
    }

    fn check(fault: &Mutex<Fault>) -> Result<(), Failure> {
        let fault = *fault.lock().unwrap();
        match fault {
            Fault::None => Ok(()),
            Fault::Fails(kind) => Err(Failure::new(kind, "planted")),
            Fault::Panics => panic!("planted"),
        }
    }
}

struct Faulty {
    rows: MemoryRows,
    disk: Arc<Disk>,
}

impl Commits for Faulty {
    fn commit(&mut self, batches: &[Batch]) -> Result<(), Failure> {
        let mut stuck = self.disk.stuck.lock().unwrap();
        while *stuck {
            stuck = self.disk.freed.wait(stuck).unwrap();
        }
        drop(stuck);
        Disk::check(&self.disk.commits)?;
        self.disk.committed.fetch_add(1, Ordering::Relaxed);
        self.rows.commit(batches)
    }

    fn recover(&mut self) -> Result<(), Failure> {
        self.disk.recoveries.fetch_add(1, Ordering::Relaxed);
        Disk::check(&self.disk.recovers)
    }
}

impl Rows for Faulty {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        Disk::check(&self.disk.reads)?;
        self.rows.get(space, key)
    }

    fn scan(
        &self,
        space: Space,
        range: (&[u8], &[u8]),
        reverse: bool,
        limit: usize,
        each: &mut dyn FnMut(&[u8], &[u8]) -> bool,
    ) -> Result<(), Failure> {
        Disk::check(&self.disk.reads)?;
        self.rows.scan(space, range, reverse, limit, each)
    }
}

fn faulty() -> (Opened, Arc<Disk>) {
    let (rows, disk) = (MemoryRows::default(), Arc::new(Disk::default()));
    let log = Faulty { rows: rows.clone(), disk: disk.clone() };
    let opened = Opened::over(log, Arc::new(Faulty { rows, disk: disk.clone() }), "faulty".into());
    (opened, disk)
}

fn place() -> Place {
    (Realm(0), ConversationId::from_number(1))
}

fn order(shard: u16, request: u64, ask: ChatAsk) -> ChatOrder {
    ChatOrder { shard: ShardId(shard), request: ChatRequest { request, ask } }
}

fn write(shard: u16, request: u64, parts: Vec<Part>) -> ChatOrder {
    order(shard, request, ChatAsk::Write(Box::new(Write { place: place(), parts })))
}

/// A message that was said at this time.
fn say(shard: u16, request: u64, at: u64) -> ChatOrder {
    write(shard, request, vec![one_more(place(), at)])
}

fn all() -> ChatAsk {
    let (before, after, limit) = (u64::MAX, 0, 50_000);
    ChatAsk::Page { place: place(), before, after, forward: false, limit, receipts: false }
}

#[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
fn now() -> Instant {
    Instant::now()
}

type BenchClock = Box<dyn Fn() -> Instant>;
type BenchWall = Box<dyn Fn() -> u64>;
type BenchAnswer = Box<dyn Fn(ShardId, ChatAnswer)>;

/// The writer without a thread.
struct Bench {
    turn: Turn<BenchClock, BenchWall, BenchAnswer>,
    inbox: Inbox<ChatOrder>,
    sender: Sender<ChatOrder>,
    time: Rc<Cell<Instant>>,
    answers: Rc<RefCell<Vec<(u64, ChatStored)>>>,
    disk: Arc<Disk>,
    reads: Arc<dyn Reads>,
}

impl Bench {
    fn new(settings: &Settings) -> Self {
        let (opened, disk) = faulty();
        let (inbox, sender) = inbox(Capacity { commands: 1_000, replies: 0 });
        let (time, answers) = (Rc::new(Cell::new(now())), Rc::new(RefCell::new(Vec::new())));
        let clock = Box::new({
            let time = time.clone();
            move || time.get()
        });
        let answer = Box::new({
            let answers = answers.clone();
            move |_, ChatAnswer { request, stored }: ChatAnswer| answers.borrow_mut().push((request, stored))
        });
        let (begun, wall_time) = (time.get(), time.clone());
        // The wall clock shows a million at the start.
        let wall = Box::new(move || 1_000_000 + (wall_time.get() - begun).as_millis() as u64);
        let clocks = (clock as BenchClock, wall as BenchWall);
        let turn = Turn::new(opened.writes, settings, clocks, answer as Box<_>, Arc::default());
        let mut bench = Self { turn, inbox, sender, time, answers, disk, reads: opened.reads };
        bench.send(write(0, 0, group_of(place())));
        assert_eq!(bench.go(), ["0 written"]);
        bench
    }

    fn send(&self, order: ChatOrder) {
        self.sender.try_send_command(order).unwrap();
    }

    /// One turn, and what was answered in it.
    fn go(&mut self) -> Vec<String> {
        self.turn.turn(&mut self.inbox);
        self.answers
            .take()
            .into_iter()
            .map(|(request, stored)| format!("{request} {}", word(&stored)))
            .collect()
    }

    fn wait(&self, ms: u64) {
        self.time.set(self.time.get() + Duration::from_millis(ms));
    }

    fn times(&self) -> Vec<u64> {
        match self.reads.answer(&all()).unwrap() {
            ChatStored::Page { messages, .. } => messages.iter().map(|message| message.id.at).collect(),
            other => panic!("{other:?}"),
        }
    }
}

fn word(stored: &ChatStored) -> &'static str {
    match stored {
        ChatStored::Written => "written",
        ChatStored::Failed { failure: ChatFailure::Busy, .. } => "busy",
        ChatStored::Failed { failure: ChatFailure::Unavailable, .. } => "unavailable",
        _ => "read",
    }
}

#[test]
fn what_waits_goes_together() {
    let mut bench = Bench::new(&Settings { together: 5, together_bytes: 400, ..Settings::default() });
    let before = bench.disk.committed.load(Ordering::Relaxed);
    for request in 1..=7 {
        bench.send(say(0, request, request));
    }
    assert_eq!(bench.go(), ["1 written", "2 written", "3 written", "4 written", "5 written"]);
    assert_eq!(bench.go(), ["6 written", "7 written"]);
    assert_eq!(bench.disk.committed.load(Ordering::Relaxed) - before, 2);
    // The bytes are a bound as well, passed by at most one write.
    let mut parts = group_of(place());
    parts.extend((10..100).map(|at| one_more(place(), at)));
    bench.send(write(0, 8, parts));
    bench.send(say(0, 9, 200));
    assert_eq!(bench.go(), ["8 written"]);
    assert_eq!(bench.go(), ["9 written"]);
    let status = &bench.turn.status;
    assert_eq!((status.writes(), status.batches.snapshot().sum), (10, 10));
    assert_eq!(status.commits.snapshot().count(), 5);
}

#[test]
fn a_commit_waits_for_company_where_the_latest_one_had_some() {
    let ms = Duration::from_millis;
    let mut bench = Bench::new(&Settings { window: ms(16), ..Settings::default() });
    assert_eq!(bench.turn.rest(), ms(1), "the latest commit had one write");
    bench.wait(1);
    assert_eq!(bench.turn.rest(), ms(0));
    for (first, count, rest) in [(1, 5, 5), (10, 16, 16), (30, 100, 16)] {
        (first..first + count).for_each(|request| bench.send(say(0, request, request)));
        assert_eq!(bench.go().len(), count as usize);
        assert_eq!(bench.turn.rest(), ms(rest), "{count} writes");
        bench.wait(rest - 1);
        assert_eq!(bench.go(), [""; 0], "what writes nothing is no commit");
        assert_eq!(bench.turn.rest(), ms(1));
        bench.wait(1_000);
        assert_eq!(bench.turn.rest(), ms(0), "after a rest nobody waits");
    }
}

#[test]
fn busy_is_no_failure_of_the_store() {
    let mut bench = Bench::new(&Settings::default());
    bench.disk.set(Fault::Fails(FailureKind::Busy));
    bench.send(say(0, 1, 1));
    bench.send(say(0, 2, 2));
    assert_eq!(bench.go(), ["1 busy", "2 busy"]);
    bench.disk.set(Fault::None);
    bench.send(say(0, 3, 3));
    assert_eq!(bench.go(), ["3 written"]);
    let status = &bench.turn.status;
    assert_eq!((status.busy(), status.failed(), status.episodes(), status.health()), (2, 0, 0, Health::Ok));
    assert_eq!(bench.times(), [3]);
}

#[test]
fn a_write_that_cannot_be_is_refused_alone() {
    let mut bench = Bench::new(&Settings::default());
    let nowhere = Write { place: (Realm(9), place().1), parts: vec![one_more(place(), 1)] };
    bench.send(say(0, 1, 1));
    bench.send(order(0, 2, ChatAsk::Write(Box::new(nowhere))));
    bench.send(order(0, 3, all()));
    bench.send(say(0, 4, 2));
    assert_eq!(bench.go(), ["2 unavailable", "3 unavailable", "1 written", "4 written"]);
    assert_eq!((bench.turn.status.failed(), bench.turn.status.health()), (2, Health::Ok));
}

#[test]
fn a_full_disk_is_one_episode_and_ends_by_itself() {
    let mut bench = Bench::new(&Settings::default());
    bench.disk.set(Fault::Fails(FailureKind::Unavailable));
    for request in 1..5 {
        bench.send(say(0, request, request));
        assert_eq!(bench.go(), [format!("{request} unavailable")]);
        bench.wait(10);
    }
    assert!(matches!(bench.turn.status.health(), Health::Failing { error, .. } if error == "planted"));
    // Readers go on.
    assert!(bench.times().is_empty());
    bench.disk.set(Fault::None);
    bench.send(say(0, 5, 5));
    assert_eq!(bench.go(), ["5 written"]);
    assert_eq!((bench.turn.status.health(), bench.turn.status.episodes()), (Health::Ok, 1));
    assert_eq!(bench.times(), [5]);
}

#[test]
fn what_is_in_doubt_is_answered_when_it_is_known() {
    let mut bench = Bench::new(&Settings::default());
    bench.disk.set(Fault::Fails(FailureKind::InDoubt));
    *bench.disk.recovers.lock().unwrap() = Fault::Fails(FailureKind::InDoubt);
    bench.send(say(0, 1, 1));
    bench.send(say(1, 2, 2));
    assert_eq!(bench.go(), [""; 0], "nobody knows");
    assert_eq!(bench.turn.status.in_doubt(), 2);
    // Further ones are not tried.
    bench.send(say(0, 3, 3));
    assert_eq!(bench.go(), ["3 unavailable"]);
    for _ in 0..5 {
        bench.wait(60_000);
        assert_eq!(bench.go(), [""; 0]);
    }
    assert_eq!(bench.disk.recoveries.load(Ordering::Relaxed), 5);
    // It recovers, and is in doubt again at once.
    *bench.disk.recovers.lock().unwrap() = Fault::None;
    bench.wait(60_000);
    assert_eq!(bench.go(), [""; 0]);
    assert_eq!(bench.turn.status.in_doubt(), 2);
    // It recovers, and the disk is full: that is known.
    bench.disk.set(Fault::None);
    bench.wait(60_000);
    assert_eq!(bench.go(), ["1 written", "2 written"]);
    bench.send(say(0, 4, 4));
    assert_eq!(bench.go(), ["4 written"]);
    assert_eq!(bench.times(), [4, 2, 1]);
    let status = &bench.turn.status;
    assert_eq!((status.health(), status.episodes(), status.in_doubt()), (Health::Ok, 1, 0));

    bench.disk.set(Fault::Fails(FailureKind::InDoubt));
    bench.send(say(0, 5, 5));
    assert_eq!(bench.go(), [""; 0]);
    bench.disk.set(Fault::Fails(FailureKind::Unavailable));
    bench.wait(60_000);
    assert_eq!(bench.go(), ["5 unavailable"]);
    assert_eq!(bench.times(), [4, 2, 1]);
}

#[test]
fn clearing_away_goes_on_beside_writes_and_rests_when_it_fails() {
    let mut bench = Bench::new(&Settings::default());
    let mut parts: Vec<_> = (1..5_000).map(|at| one_more(place(), at)).collect();
    parts.push(Part::Gone);
    bench.send(write(0, 1, parts));
    assert_eq!(bench.go(), ["1 written"]);
    bench.disk.set(Fault::Fails(FailureKind::Busy));
    assert!(!bench.turn.sweep());
    bench.disk.set(Fault::None);
    assert!(!bench.turn.sweep(), "it rests");
    bench.wait(1_000);
    bench.send(write(0, 2, group_of(place())));
    assert_eq!(bench.go(), ["2 written"]);
    for request in 3..200 {
        bench.send(say(0, request, request));
        assert_eq!(bench.go(), [format!("{request} written")]);
    }
    assert!(!bench.turn.sweep(), "it was done between the writes");
    assert_eq!(bench.times().len(), 197);
}

struct Threads {
    worker: Worker,
    orders: Orders,
    answers: mpsc::Receiver<(ShardId, ChatAnswer)>,
    panics: mpsc::Receiver<String>,
    disk: Arc<Disk>,
}

const WAIT: Duration = Duration::from_secs(20);

impl Threads {
    fn new() -> Self {
        let (opened, disk) = faulty();
        let (answer, answers) = mpsc::channel();
        let (told, panics) = mpsc::channel();
        let answer = move |shard, reply| _ = answer.send((shard, reply));
        let on_panic = move |text| _ = told.send(text);
        let (worker, orders) =
            Worker::start(opened, &Settings::default(), 64, now, || 1_000_000, answer, on_panic).unwrap();
        let threads = Self { worker, orders, answers, panics, disk };
        threads.send(write(0, 0, group_of(place())));
        assert_eq!(threads.next(), "0 written");
        threads
    }

    fn send(&self, mut order: ChatOrder) {
        while let Err(refused) = self.orders.try_send(order) {
            order = refused;
            thread::yield_now();
        }
    }

    fn next(&self) -> String {
        let (_, ChatAnswer { request, stored }) = self.answers.recv_timeout(WAIT).unwrap();
        format!("{request} {}", word(&stored))
    }
}

/// While a sync takes long, pages are read; what was written before is in them.
#[test]
fn a_read_waits_for_no_commit() {
    let threads = Threads::new();
    threads.send(say(0, 1, 1));
    assert_eq!(threads.next(), "1 written");
    threads.disk.stick(true);
    threads.send(say(0, 2, 2));
    for request in 3..50 {
        threads.send(order(0, request, all()));
        let (_, answer) = threads.answers.recv_timeout(WAIT).unwrap();
        let ChatStored::Page { messages, .. } = answer.stored else { panic!("{answer:?}") };
        assert_eq!((answer.request, messages.len()), (request, 1));
    }
    threads.disk.stick(false);
    assert_eq!(threads.next(), "2 written");
    threads.worker.stop().unwrap();
    assert!(threads.orders.try_send(order(0, 1, all())).is_err(), "nobody is there any more");
    assert!(threads.orders.try_send(say(0, 1, 1)).is_err());
}

#[test]
fn each_request_has_one_answer_and_sees_what_was_answered() {
    const EACH: u64 = 600;
    let threads = Threads::new();
    let senders: Vec<_> = (0..3_u16)
        .map(|shard| {
            let orders = threads.orders.clone();
            thread::spawn(move || {
                for request in 1..=EACH {
                    let mut order = if request % 2 == 0 {
                        say(shard, request, u64::from(shard) * EACH + request)
                    } else {
                        let at = u64::from(shard) * EACH + request - 1;
                        order(shard, request, ChatAsk::Message { place: place(), at })
                    };
                    while let Err(refused) = orders.try_send(order) {
                        order = refused;
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        sender.join().unwrap();
    }
    let status = threads.worker.status();
    threads.worker.stop().unwrap();
    let mut counts = [[0_u8; EACH as usize]; 3];
    for (ShardId(shard), ChatAnswer { request, stored }) in threads.answers {
        counts[usize::from(shard)][request as usize - 1] += 1;
        assert_eq!(word(&stored), if request % 2 == 0 { "written" } else { "read" });
    }
    assert!(counts.as_flattened().iter().all(|&count| count == 1));
    assert_eq!(status.reads.snapshot().count(), 3 * EACH / 2);
    assert_eq!((status.writes(), status.failed() + status.busy()), (1 + 3 * EACH / 2, 0));
}

#[test]
fn reads_that_fail_are_told_and_are_one_episode() {
    let threads = Threads::new();
    *threads.disk.reads.lock().unwrap() = Fault::Fails(FailureKind::Unavailable);
    for request in 1..10 {
        threads.send(order(0, request, all()));
        assert_eq!(threads.next(), format!("{request} unavailable"));
    }
    let status = threads.worker.status();
    assert_eq!(status.failed(), 9);
    // The writer, who looks for what is to be cleared away, may have met the fault too: an episode of its own.
    assert!((1..=2).contains(&status.episodes()), "{}", status.episodes());
    assert!(matches!(status.health(), Health::Failing { error, .. } if error == "planted"));
    *threads.disk.reads.lock().unwrap() = Fault::None;
    threads.send(order(0, 10, all()));
    assert_eq!(threads.next(), "10 read");
    assert!(matches!(status.health(), Health::Failing { .. }), "one good read proves nothing yet");
    status.read_passed(now() + Duration::from_secs(60));
    // The writer, if it has met it, knows better when it has written.
    threads.send(say(0, 11, 1));
    assert_eq!(threads.next(), "11 written");
    assert_eq!(status.health(), Health::Ok);
    threads.worker.stop().unwrap();
}

#[test]
fn asleep_they_recover_and_wake_to_stop() {
    let threads = Threads::new();
    threads.disk.set(Fault::Fails(FailureKind::InDoubt));
    threads.send(say(0, 1, 1));
    let begun = now();
    while threads.disk.recoveries.load(Ordering::Relaxed) == 0 {
        assert!(begun.elapsed() < WAIT, "it was to recover on its own");
        thread::yield_now();
    }
    threads.disk.set(Fault::None);
    assert_eq!(threads.next(), "1 written");
    threads.worker.stop().unwrap();
}

#[test]
fn a_panic_of_any_thread_is_told() {
    for is_write in [false, true] {
        let threads = Threads::new();
        if is_write {
            threads.disk.set(Fault::Panics);
            threads.send(say(0, 1, 1));
        } else {
            *threads.disk.reads.lock().unwrap() = Fault::Panics;
            threads.send(order(0, 1, all()));
        }
        let text = threads.panics.recv_timeout(WAIT).unwrap();
        assert!(text.contains("planted"), "{text}");
        let begun = now();
        while !threads.worker.is_dead() {
            assert!(begun.elapsed() < WAIT);
            thread::yield_now();
        }
        assert!(threads.worker.stop().is_err());
    }
}

#[test]
fn client_ids_are_forgotten_after_their_time() {
    let mut bench = Bench::new(&Settings { sends_kept: Duration::from_secs(60), ..Settings::default() });
    let sent = |at: u64| Part::Sent { row: 1, client_id: format!("c{at}").into(), message: at };
    // The first 2,500 were sent long ago; the others a moment ago.
    let parts: Vec<_> = (1..=2_500).chain(999_000..999_100).map(sent).collect();
    bench.send(write(0, 1, parts));
    assert_eq!(bench.go(), ["1 written"]);
    let left = |bench: &Bench| {
        let of = place();
        let ask = |at: u64| ChatAsk::Sent {
            place: of,
            rows: [1].into(),
            client_id: format!("c{at}").into(),
            since: 0,
        };
        let found = |at: &u64| matches!(bench.reads.answer(&ask(*at)).unwrap(), ChatStored::Sent(Some(found)) if found == *at);
        ((1..=2_500).filter(found).count(), (999_000..999_100).filter(found).count())
    };
    bench.turn.forget();
    bench.turn.forget();
    assert_eq!(left(&bench).1, 100);
    assert!((1_400..=1_600).contains(&left(&bench).0), "one part, and then a rest: {:?}", left(&bench));
    bench.disk.set(Fault::Fails(FailureKind::Busy));
    bench.wait(1_000);
    bench.turn.forget();
    bench.disk.set(Fault::None);
    for _ in 0..3 {
        bench.wait(1_000);
        bench.turn.forget();
    }
    assert_eq!(left(&bench), (0, 100));
    // The next rounds find the others when their time has come.
    bench.wait(60_000);
    bench.turn.forget();
    assert_eq!(left(&bench), (0, 100), "somewhat more is kept than is asked for");
    for _ in 0..10 {
        bench.wait(60_000);
        bench.turn.forget();
    }
    assert_eq!(left(&bench), (0, 0));
}
