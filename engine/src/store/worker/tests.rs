//! The worker with an adapter that fails on demand and a clock that goes when it is told to; and then as a thread.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;

use schema::{Key, LastSeen};
use tracing::{Event, Level, Metadata, Subscriber, span};

use super::*;
use crate::mesh::{Capacity, Sender, inbox};
use crate::store::suite::{router, row, user};
use crate::store::{Memory, Page};

/// What the test can turn on, and what it can look at.
#[derive(Debug, Default)]
struct Disk {
    full: AtomicBool,
    dead: AtomicBool,
    puts: AtomicUsize,
    recoveries: AtomicUsize,
    rests: AtomicUsize,
}

/// A store in memory that fails when its disk is full.
struct Faulty {
    memory: Memory,
    disk: Arc<Disk>,
}

impl Faulty {
    fn check(&self, reads: bool) -> Result<(), Failure> {
        assert!(!self.disk.dead.load(Ordering::Relaxed), "planted");
        let full = self.disk.full.load(Ordering::Relaxed) && !reads;
        if full { Err(Failure("no space left".into())) } else { Ok(()) }
    }
}

impl Adapter for Faulty {
    fn put_seen(&mut self, rows: &[SeenRow]) -> Result<(), Failure> {
        self.disk.puts.fetch_add(1, Ordering::Relaxed);
        self.check(false)?;
        self.memory.put_seen(rows)
    }

    fn get_seen(&mut self, users: &[Key]) -> Result<Vec<LastSeen>, Failure> {
        self.check(true)?;
        self.memory.get_seen(users)
    }

    fn journal(&mut self, shard: ShardId, after: Option<&Key>) -> Result<Page, Failure> {
        self.check(true)?;
        self.memory.journal(shard, after)
    }

    /// Twice after the first write.
    fn rest(&mut self) -> Result<bool, Failure> {
        let before = self.disk.rests.fetch_add(1, Ordering::Relaxed);
        self.check(false).map(|()| before == 0)
    }

    fn recover(&mut self) -> Result<(), Failure> {
        self.disk.recoveries.fetch_add(1, Ordering::Relaxed);
        self.check(false)
    }
}

fn faulty() -> (Box<dyn Adapter>, Arc<Disk>) {
    let disk = Arc::new(Disk::default());
    (Box::new(Faulty { memory: Memory::new(router(3)), disk: disk.clone() }), disk)
}

fn put(sender: &Sender<Ask>, shard: u16, request: u64, rows: Vec<SeenRow>) {
    let request = StoreRequest::PutSeen { request, rows };
    sender.try_send_command(Ask { shard: ShardId(shard), request }).unwrap();
}

fn get(sender: &Sender<Ask>, shard: u16, request: u64, users: Vec<Key>) {
    let request = StoreRequest::GetSeen { request, users };
    sender.try_send_command(Ask { shard: ShardId(shard), request }).unwrap();
}

/// Counts lines of the log by level.
#[derive(Clone, Default)]
struct Log(Arc<[AtomicUsize; 2]>);

impl Log {
    fn errors_and_infos(&self) -> [usize; 2] {
        self.0.each_ref().map(|count| count.load(Ordering::Relaxed))
    }
}

impl Subscriber for Log {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let at = usize::from(*event.metadata().level() != Level::ERROR);
        self.0[at].fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[expect(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn a_failing_store_from_the_first_failure_to_the_last() {
    let log = Log::default();
    let _guard = tracing::subscriber::set_default(log.clone());
    let start = now();
    let time = Rc::new(Cell::new(start));
    let at = |ms| start + Duration::from_millis(ms);
    let replies = Rc::new(Cell::new(Vec::new()));
    let (adapter, disk) = faulty();
    let (mut requests, sender) = inbox(Capacity { commands: 100, replies: 0 });
    let answer = |ShardId(shard), reply| {
        let mut all = replies.take();
        all.push((shard, reply));
        replies.set(all);
    };
    let mut turn = Turn::new(adapter, || time.get(), answer, Arc::default());
    let (status, a) = (turn.status.clone(), user("a"));

    // Well: two writes of two shards are one batch, and a read that came first sees them.
    get(&sender, 2, 1, vec![a.clone()]);
    put(&sender, 0, 1, vec![row(&a, 1, true)]);
    put(&sender, 1, 1, vec![row(&a, 2, true)]);
    assert_eq!(turn.turn(&mut requests), 3);
    let got = replies.take();
    assert!(matches!(got[..2], [(0, StoreReply::Put { request: 1 }), (1, StoreReply::Put { request: 1 })]));
    assert!(
        matches!(&got[2], (2, StoreReply::Seen { request: 1, last_seen }) if last_seen[..] == [LastSeen::At(2)])
    );
    assert_eq!((disk.puts.load(Ordering::Relaxed), status.rows(), status.health()), (1, 2, Health::Ok));
    assert_eq!((status.writes.snapshot().count(), status.reads.snapshot().count()), (1, 1));

    // Full: the write fails, is told, and further ones are not tried. Reads go on.
    disk.full.store(true, Ordering::Relaxed);
    for request in 2..5 {
        put(&sender, 0, request, vec![row(&a, request, true)]);
        get(&sender, 0, request + 100, vec![a.clone()]);
        assert_eq!(turn.turn(&mut requests), 2);
        let got = replies.take();
        assert!(
            matches!(&got[0], (0, StoreReply::Failed { request: of, error }) if *of == request && error == "no space left")
        );
        assert!(matches!(got[1..], [(0, StoreReply::Seen { .. })]));
    }
    assert_eq!(disk.puts.load(Ordering::Relaxed), 2);
    let failing = Health::Failing { since: start, error: "no space left".into() };
    assert_eq!((status.health(), status.failed(), status.episodes()), (failing.clone(), 3, 1));

    // It is tried again by and by, though nobody asks, and the log keeps silent.
    time.set(at(249));
    turn.turn(&mut requests);
    assert_eq!(disk.recoveries.load(Ordering::Relaxed), 0);
    for (tries, ms) in [(1, 250), (2, 750), (3, 1_750)] {
        time.set(at(ms));
        turn.turn(&mut requests);
        assert_eq!(disk.recoveries.load(Ordering::Relaxed), tries);
    }
    assert_eq!((status.health(), log.errors_and_infos()), (failing.clone(), [1, 0]));

    // There is room: it recovers, and with the first write it is well.
    disk.full.store(false, Ordering::Relaxed);
    time.set(at(3_750));
    turn.turn(&mut requests);
    assert_eq!((status.health(), log.errors_and_infos()), (failing, [1, 0]));
    put(&sender, 0, 9, vec![row(&a, 9, true)]);
    turn.turn(&mut requests);
    assert!(matches!(replies.take()[..], [(0, StoreReply::Put { request: 9 })]));
    assert_eq!((status.health(), log.errors_and_infos()), (Health::Ok, [1, 1]));
    assert_eq!((status.failed(), status.episodes()), (3, 1));
    assert_eq!(turn.recovery.next(), None);
}

#[test]
fn it_rests_some_time_after_the_last_write() {
    let start = now();
    let time = Rc::new(Cell::new(start));
    let (adapter, disk) = faulty();
    let (mut requests, sender) = inbox(Capacity { commands: 100, replies: 0 });
    let mut turn = Turn::new(adapter, || time.get(), |_, _| {}, Arc::default());
    let (status, a) = (turn.status.clone(), user("a"));
    let rests = || disk.rests.load(Ordering::Relaxed);

    get(&sender, 0, 1, vec![a.clone()]);
    turn.turn(&mut requests);
    assert_eq!(turn.next(), None, "who only reads gathers nothing");
    for request in 0..3 {
        time.set(start + REST / 2 * request);
        put(&sender, 0, u64::from(request), vec![row(&a, 1, true)]);
        turn.turn(&mut requests);
        assert_eq!((turn.next(), rests()), (Some(time.get() + REST), 0));
    }
    time.set(start + REST * 2);
    turn.turn(&mut requests);
    assert_eq!((turn.next(), rests()), (Some(start + REST * 3), 1), "there was more to do");
    time.set(start + REST * 3);
    turn.turn(&mut requests);
    assert_eq!((turn.next(), rests()), (None, 2));

    // A store that fails has other things to do, and one that cannot rest fails.
    put(&sender, 0, 9, vec![row(&a, 2, true)]);
    turn.turn(&mut requests);
    disk.full.store(true, Ordering::Relaxed);
    put(&sender, 0, 10, vec![row(&a, 3, true)]);
    turn.turn(&mut requests);
    time.set(time.get() + REST);
    turn.turn(&mut requests);
    assert_eq!((rests(), turn.rest), (2, None));
    disk.full.store(false, Ordering::Relaxed);
    time.set(time.get() + REST);
    turn.turn(&mut requests);
    put(&sender, 0, 11, vec![row(&a, 4, true)]);
    turn.turn(&mut requests);
    assert_eq!(status.health(), Health::Ok);
    disk.full.store(true, Ordering::Relaxed);
    time.set(time.get() + REST);
    turn.turn(&mut requests);
    assert_eq!((rests(), status.episodes()), (3, 2));
}

#[test]
fn each_request_has_one_reply() {
    const SHARDS: u16 = 3;
    const EACH: u64 = 2_000;
    let (adapter, disk) = faulty();
    let (requests, sender) = inbox(Capacity { commands: 64, replies: 0 });
    let (replied, replies) = mpsc::channel();
    let answer = move |shard, reply| replied.send((shard, reply)).unwrap();
    let worker = Worker::start(adapter, requests, now, answer, |_| {}).unwrap();
    let status = worker.status();

    let shards: Vec<_> = (0..SHARDS)
        .map(|shard| {
            let (sender, disk) = (sender.clone(), disk.clone());
            thread::spawn(move || {
                for number in 0..EACH {
                    let someone = user(&format!("user-{shard}-{}", number % 50));
                    let request = match number % 3 {
                        0 => StoreRequest::GetSeen { request: number, users: vec![someone] },
                        1 => StoreRequest::Journal { request: number, after: Some(someone) },
                        _ => {
                            StoreRequest::PutSeen { request: number, rows: vec![row(&someone, number, true)] }
                        }
                    };
                    let mut ask = Ask { shard: ShardId(shard), request };
                    while let Err(refused) = sender.try_send_command(ask) {
                        ask = refused;
                        thread::yield_now();
                    }
                    if shard == 0 && number % 500 == 250 {
                        disk.full.fetch_xor(true, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    for shard in shards {
        shard.join().unwrap();
    }
    worker.stop().unwrap();

    let mut counts = [[0_u8; EACH as usize]; SHARDS as usize];
    let mut failed = 0;
    for (ShardId(shard), reply) in replies {
        let number = match reply {
            StoreReply::Put { request } if request % 3 == 2 => request,
            StoreReply::Failed { request, .. } if request % 3 == 2 => {
                failed += 1;
                request
            }
            StoreReply::Seen { request, last_seen } if request % 3 == 0 && last_seen.len() == 1 => request,
            StoreReply::Journal { request, .. } if request % 3 == 1 => request,
            other => panic!("{other:?}"),
        };
        counts[usize::from(shard)][number as usize] += 1;
    }
    assert!(counts.as_flattened().iter().all(|&count| count == 1));
    assert_eq!(status.failed(), failed);
    assert!(failed > 0, "the disk was full for a while");
    assert!(sender.try_send_command(ask_of_nobody()).is_err(), "nobody is there any more");
}

fn ask_of_nobody() -> Ask {
    Ask { shard: ShardId(0), request: StoreRequest::GetSeen { request: 0, users: Vec::new() } }
}

/// A sleeping worker is woken by a request, tends a failing store on its own, and is woken to stop.
#[test]
fn asleep_it_wakes_for_a_request_for_a_recovery_and_to_stop() {
    let (adapter, disk) = faulty();
    let (requests, sender) = inbox(Capacity { commands: 4, replies: 0 });
    let (replied, replies) = mpsc::channel();
    let worker =
        Worker::start(adapter, requests, now, move |_, reply| replied.send(reply).unwrap(), |_| {}).unwrap();
    let wait = Duration::from_secs(20);
    for request in 0..50 {
        put(&sender, 0, request, vec![row(&user("a"), request, true)]);
        assert!(matches!(replies.recv_timeout(wait).unwrap(), StoreReply::Put { .. }));
    }
    disk.full.store(true, Ordering::Relaxed);
    put(&sender, 0, 50, vec![row(&user("a"), 50, true)]);
    assert!(matches!(replies.recv_timeout(wait).unwrap(), StoreReply::Failed { .. }));
    assert!(matches!(worker.status().health(), Health::Failing { .. }));
    let begun = now();
    while disk.recoveries.load(Ordering::Relaxed) == 0 {
        assert!(begun.elapsed() < wait, "it was to recover on its own");
        thread::yield_now();
    }
    assert!(!worker.is_dead());
    worker.stop().unwrap();
}

#[test]
fn a_dead_worker_is_seen_and_refuses() {
    let (adapter, disk) = faulty();
    let (requests, sender) = inbox(Capacity { commands: 4, replies: 0 });
    let worker = Worker::start(adapter, requests, now, |_, _| {}, |_| {}).unwrap();
    disk.dead.store(true, Ordering::Relaxed);
    get(&sender, 0, 0, vec![user("a")]);
    let begun = now();
    while !worker.is_dead() {
        assert!(begun.elapsed() < Duration::from_secs(20));
        thread::yield_now();
    }
    assert!(sender.try_send_command(ask_of_nobody()).is_err());
    assert!(worker.stop().is_err());
}

#[test]
fn a_panic_of_the_worker_is_told() {
    struct Broken;
    impl Adapter for Broken {
        fn put_seen(&mut self, _rows: &[SeenRow]) -> Result<(), Failure> {
            panic!("planted");
        }
        fn get_seen(&mut self, _users: &[Key]) -> Result<Vec<LastSeen>, Failure> {
            panic!("planted");
        }
        fn journal(&mut self, _shard: ShardId, _after: Option<&Key>) -> Result<Page, Failure> {
            panic!("planted");
        }
        fn recover(&mut self) -> Result<(), Failure> {
            Ok(())
        }
    }
    let (requests, sender) = inbox(Capacity { commands: 4, replies: 0 });
    let (told, tells) = mpsc::channel();
    let on_panic = move |text| told.send(text).unwrap();
    let worker = Worker::start(Box::new(Broken), requests, now, |_, _| {}, on_panic).unwrap();
    let request = StoreRequest::Journal { request: 1, after: None };
    sender.try_send_command(Ask { shard: ShardId(0), request }).unwrap();
    let text = tells.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(text.contains("planted"), "{text}");
    assert!(worker.stop().is_err());
}
