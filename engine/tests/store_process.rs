//! The embedded store across processes: two at once, one that is killed, and one whose disk is full for a while.
//!
//! The other process is this test program itself in a part of its `child`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "all of this is test, the functions beside the tests included"
)]

mod child;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use muster_engine::machine::store::SeenRow;
use muster_engine::machine::{Router, StoreReply, StoreRequest};
use muster_engine::mesh::{Capacity, Sender, inbox};
use muster_engine::store::{Adapter, Ask, Health, Kind, OpenError, Worker, open};
use schema::{Id, Key, LastSeen, Realm, ShardId};
use tracing::{Event, Level, Metadata, Subscriber, span};

use child::{limit_files, part, play, said, say};

fn router() -> Router {
    Router::new((1, 2), 1)
}

fn user(number: u64) -> Key {
    Key::new(Realm(0), Id::new(&format!("user-{number}")).unwrap())
}

fn adapter(folder: &Path) -> Box<dyn Adapter> {
    open(&Kind::Embedded(folder.into()), &router()).unwrap().adapter
}

/// Not a test of its own: the parts that the other tests have played in a second process.
#[test]
fn child() {
    let Some((part, folder)) = part() else { return };
    match part.as_str() {
        "hold" => hold(&folder),
        "write" => write_until_killed(&folder),
        "fill" => fill(&folder),
        other => panic!("no such part: {other}"),
    }
}

fn hold(folder: &Path) {
    let _store = adapter(folder);
    say("open");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn a_second_process_is_told_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, mut stdout) = play("hold", folder.path());
    assert_eq!(said(&mut stdout).unwrap(), "open");
    let error = open(&Kind::Embedded(folder.path().into()), &router()).unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&folder.path().display().to_string()) && text.contains("--data"), "{text}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
    adapter(folder.path());
}

/// A running store with a way to ask it and wait.
struct Store {
    worker: Worker,
    sender: Sender<Ask>,
    replies: mpsc::Receiver<StoreReply>,
    asked: u64,
}

impl Store {
    fn start(folder: &Path) -> Self {
        let (requests, sender) = inbox(Capacity { commands: 16, replies: 0 });
        let (replied, replies) = mpsc::channel();
        #[expect(
            clippy::disallowed_methods,
            reason = "the test is the driver that gives the worker its clock"
        )]
        let clock = Instant::now;
        let answer = move |_, reply| replied.send(reply).unwrap();
        let worker = Worker::start(adapter(folder), requests, clock, answer, |_| {}).unwrap();
        Self { worker, sender, replies, asked: 0 }
    }

    fn ask(&mut self, request: impl FnOnce(u64) -> StoreRequest) -> StoreReply {
        self.asked += 1;
        let ask = Ask { shard: ShardId(0), request: request(self.asked) };
        assert!(self.sender.try_send_command(ask).is_ok());
        self.replies.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    fn put(&mut self, rows: Vec<SeenRow>) -> Result<(), String> {
        match self.ask(|request| StoreRequest::PutSeen { request, rows }) {
            StoreReply::Put { request } if request == self.asked => Ok(()),
            StoreReply::Failed { request, error } if request == self.asked => Err(error),
            other => panic!("{other:?}"),
        }
    }

    fn seen(&mut self, users: Vec<Key>) -> Result<Vec<LastSeen>, String> {
        match self.ask(|request| StoreRequest::GetSeen { request, users }) {
            StoreReply::Seen { request, last_seen } if request == self.asked => Ok(last_seen),
            StoreReply::Failed { request, error } if request == self.asked => Err(error),
            other => panic!("{other:?}"),
        }
    }
}

/// The rows of a numbered write: five of 500 users, all seen at that number; every third number they go offline.
fn rows(number: u64) -> Vec<SeenRow> {
    let row = |of: u64| SeenRow {
        user: user((number * 7 + of * 101) % 500),
        last_seen: number,
        online: !number.is_multiple_of(3),
    };
    (0..5).map(row).collect()
}

fn write_until_killed(folder: &Path) {
    let mut store = Store::start(folder);
    let known = store.seen((0..500).map(user).collect()).unwrap();
    let latest = known.iter().filter_map(|seen| seen.at()).max().unwrap_or(0);
    for number in latest + 1.. {
        store.put(rows(number)).unwrap();
        say(&number.to_string());
    }
}

/// What a user's rows come to: last seen, and the journal's entry.
type Known = (LastSeen, Option<u64>);

fn known(row: &SeenRow) -> Known {
    (LastSeen::At(row.last_seen), row.online.then_some(row.last_seen))
}

/// Killed at ten moments, the files always hold what had been answered, and time goes only forward.
#[test]
fn killed_it_has_kept_what_it_answered() {
    let folder = tempfile::tempdir().unwrap();
    let users: Vec<_> = (0..500).map(user).collect();
    let mut before = vec![LastSeen::Never; 500];
    let mut answered = 0;
    for round in 0..10_u64 {
        let (mut child, mut stdout) = play("write", folder.path());
        for _ in 0..20 + round * round * 37 % 900 {
            answered = said(&mut stdout).expect("it goes on until it is killed").parse().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        while let Some(number) = said(&mut stdout) {
            answered = number.parse().unwrap();
        }

        let mut store = adapter(folder.path());
        let after = store.get_seen(&users).unwrap();
        let listed: HashMap<_, _> = store.journal(ShardId(0), None).unwrap().users.into_iter().collect();
        let expected: HashMap<_, _> =
            (1..=answered).flat_map(rows).map(|row| (row.user.clone(), known(&row))).collect();
        // One write more than was answered may be there, whole.
        let extra: HashMap<_, _> =
            rows(answered + 1).iter().map(|row| (row.user.clone(), known(row))).collect();
        let mut more = HashMap::new();
        for ((user, &after), before) in users.iter().zip(&after).zip(&before) {
            assert!(after >= *before, "{user:?} went back from {before:?} to {after:?}");
            let found: Known = (after, listed.get(user).copied());
            let told = expected.get(user).copied().unwrap_or((LastSeen::Never, None));
            if found != told {
                assert_eq!(extra.get(user), Some(&found), "{user:?}, answered was {told:?}");
                more.insert(user.clone(), found);
            }
        }
        assert!(more.is_empty() || more == extra, "half a write: {more:?}");
        before = after;
    }
}

/// Counts errors and other lines of the log.
#[derive(Clone, Default)]
struct Log(Arc<[AtomicUsize; 2]>);

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

/// A full disk, by way of a limit on the size of files, twice: one so small that the store is not even opened
/// again, and one under which it opens and fails again.
fn fill(folder: &Path) {
    const PAUSE: Duration = Duration::from_millis(20);
    let log = Log::default();
    tracing::subscriber::set_global_default(log.clone()).unwrap();
    let mut store = Store::start(folder);
    let status = store.worker.status();
    let batch = |number: u64| -> Vec<SeenRow> {
        let row = |of| SeenRow { user: user(number * 1_000 + of), last_seen: number + 1, online: true };
        (0..1_000).map(row).collect()
    };
    let mut number = 0;
    for (episode, most) in [(1, 512 << 10), (2, 3 << 20)] {
        limit_files(Some(most));
        let error = loop {
            match store.put(batch(number)) {
                Ok(()) => number += 1,
                Err(error) => break error,
            }
        };
        assert!(number > 0, "some of it fits");
        assert!(error.contains("File too large"), "{error}");
        let Health::Failing { since, .. } = status.health() else { panic!("it is failing") };
        // It stays so, whatever it tries; what was written can be read.
        while since.elapsed() < Duration::from_millis(2_500) {
            assert!(store.put(batch(number)).is_err());
            let known = store.seen(vec![user(0), user(number * 1_000 - 1), user(10_000_000)]).unwrap();
            assert_eq!(known, [LastSeen::At(1), LastSeen::At(number), LastSeen::Never]);
            std::thread::park_timeout(PAUSE);
        }
        assert!(matches!(status.health(), Health::Failing { since: same, .. } if same == since));
        assert_eq!(status.episodes(), episode);

        // There is room again: without a restart, it soon goes on.
        limit_files(None);
        let failed = status.failed();
        while store.put(batch(number)).is_err() {
            assert!(status.failed() - failed < 1_000, "it was to recover");
            std::thread::park_timeout(PAUSE);
        }
        number += 1;
        assert_eq!(status.health(), Health::Ok);
        let lines = log.0.each_ref().map(|count| count.load(Ordering::Relaxed) as u64);
        assert_eq!(lines, [episode; 2], "one line when it begins and one when it ends");
    }
    store.worker.stop().unwrap();
    say(&number.to_string());
}

#[test]
fn a_full_disk_is_survived_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, mut stdout) = play("fill", folder.path());
    let written = said(&mut stdout);
    assert!(child.wait().unwrap().success());
    let written: u64 = written.unwrap().parse().unwrap();
    let mut store = adapter(folder.path());
    for number in 0..written {
        let users: Vec<_> = (0..1_000).map(|of| user(number * 1_000 + of)).collect();
        assert_eq!(store.get_seen(&users).unwrap(), vec![LastSeen::At(number + 1); 1_000]);
    }
}
