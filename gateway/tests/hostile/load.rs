//! Clients that are too fast, too slow, or too many.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use schema::frame::{ClientFrame, ServerFrame};
use schema::{Command, Id, Refusal, Reply};

use crate::Rig;
use crate::support::web::Web;
use crate::support::wire::{Binary, encoded};
use crate::support::{eventually, on_both, within};
use crate::websocket_client::{TEXT, frame};

on_both!(
    commands_above_the_rate,
    websocket_frames_above_the_rate,
    a_reader_that_never_reads_what_is_published,
    a_reader_that_never_reads_its_messages,
    ten_thousand_at_once,
);

fn commands_above_the_rate(io: &str) {
    let mut rig = Rig::start(io, "");
    let mut alice = Binary::connect(&rig, &rig.token("alice"));
    let count = |tag| encoded(&ClientFrame::Command { tag, command: Command::Count });
    let begun = Instant::now();
    alice.write(&(0..500).flat_map(count).collect::<Vec<u8>>()).unwrap();
    let (mut answered, mut refused) = (0, 0);
    for _ in 0..500 {
        match alice.read() {
            Some(ServerFrame::Reply { reply: Reply::Count(_), .. }) => answered += 1,
            Some(ServerFrame::Refused(refusal)) => {
                assert_eq!(refusal.refusal(), Some(Refusal::RateLimited));
                assert_eq!(refusal.retry_after_ms, Some(1_000));
                refused += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let most = 60 + begun.elapsed().as_millis() as u64 * 20 / 1_000 + 1;
    assert!((60..=most).contains(&answered), "{answered} answered of {most}");
    assert_eq!(answered + refused, 500);
    // After the pause that was told the same command passes; heartbeats were never in question.
    alice.alive();
    std::thread::sleep(Duration::from_millis(1_000));
    assert_eq!(alice.call(Command::Count), Ok(Reply::Count(3)));
    rig.alive();
    // Services are not limited.
    let mut service = Binary::connect(&rig, &rig.service_token());
    service.write(&(0..3_000).flat_map(count).collect::<Vec<u8>>()).unwrap();
    for _ in 0..3_000 {
        assert!(matches!(service.read(), Some(ServerFrame::Reply { reply: Reply::Count(3), .. })));
    }
    assert_eq!(rig.metric("muster_refusals_total{cause=\"RATE_LIMITED\"}"), refused);
    drop((alice, service));
    rig.undisturbed();
}

fn websocket_frames_above_the_rate(io: &str) {
    let rig = Rig::start(io, "");
    let token = rig.token("alice");
    // 60 at once, then 20 a second; 50 refusals are too many.
    let mut web = Web::online(&rig, &token);
    web.write(&frame(TEXT, r#"{"type":"ping"}"#).repeat(90)).unwrap();
    let answers: Vec<_> = (0..90).map(|_| web.json()).collect();
    let pongs = answers.iter().filter(|answer| answer["type"] == "pong").count();
    assert!((60..70).contains(&pongs), "{pongs}");
    assert!(answers.iter().filter(|answer| answer["data"]["code"] == "RATE_LIMITED").count() == 90 - pongs);
    std::thread::sleep(Duration::from_millis(100));
    web.write(&frame(TEXT, r#"{"type":"ping"}"#)).unwrap();
    assert_eq!(web.json()["type"], "pong", "the connection goes on");
    web.write(&frame(TEXT, r#"{"type":"ping"}"#).repeat(500)).unwrap();
    let (errors, code) = web.end();
    assert!(errors.iter().all(|error| error == "RATE_LIMITED"));
    assert_eq!(code, Some(1008));
    rig.undisturbed();
}

/// Publishes until the server has closed a slow consumer, and says how often. Each time it waits until whoever reads has
/// it: what is published faster than it is read may be dropped for everybody.
fn publish_until_closed(rig: &Rig, channel: &Id, payload: usize, received: &AtomicU64) -> u64 {
    let mut service = rig.service();
    let mut published = 0;
    within(Duration::from_secs(60), "the slow consumer is closed", || {
        for _ in 0..8 {
            service.publish(channel, vec![b'1'; payload], false).unwrap();
            published += 1;
            eventually("the good reader has it", || {
                (received.load(Ordering::Relaxed) == published).then_some(())
            });
        }
        (rig.metric("muster_slow_consumers_total") > 0).then_some(())
    });
    published
}

fn a_reader_that_never_reads_what_is_published(io: &str) {
    for slow_is_binary in [true, false] {
        let mut rig = Rig::start(
            io,
            "limits.outbox_bytes = \"128KiB\"\nlimits.outbox_time = \"1s\"\npresence.grace = \"0s\"",
        );
        let news = Id::new("news").unwrap();
        let subscribe = Command::Subscribe { channel: news.clone() };
        let mut good = Binary::connect(&rig, &rig.token("reader"));
        assert_eq!(good.call(subscribe.clone()), Ok(Reply::Done));
        // The presence WebSocket has no channels: its slow reader is sent messages of its own below, and here it
        // watches nothing.
        let mut slow = Binary::connect(&rig, &rig.token("sleeper"));
        if slow_is_binary {
            assert_eq!(slow.call(subscribe), Ok(Reply::Done));
        } else {
            let mut service = rig.service();
            let stuck = Web::online(&rig, &rig.token("sleeper"));
            let me = Id::new("sleeper").unwrap();
            drop(slow);
            within(Duration::from_secs(60), "the slow WebSocket is closed", || {
                let _ = service.send(&me, vec![b'1'; 30_000], false);
                (rig.metric("muster_slow_consumers_total") > 0).then_some(())
            });
            good.alive();
            drop((stuck, good, service));
            rig.undisturbed();
            continue;
        }
        let done = AtomicBool::new(false);
        let received = AtomicU64::new(0);
        let published = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    match good.read() {
                        Some(ServerFrame::Published { payload, .. }) if payload.len() > 1 => {
                            received.fetch_add(1, Ordering::Relaxed);
                        }
                        Some(ServerFrame::Published { .. }) => return,
                        other => panic!("{other:?}"),
                    }
                }
            });
            let published = publish_until_closed(&rig, &news, 60_000, &received);
            // One more that tells the good reader to stop.
            rig.service().publish(&news, vec![b'.'], false).unwrap();
            published
        });
        assert_eq!(received.load(Ordering::Relaxed), published, "the good reader misses nothing");
        assert!(
            rig.metric("muster_dropped_total{what=\"volatile_event\"}") > 0,
            "what is volatile goes first"
        );
        assert_eq!(rig.metric("muster_slow_consumers_total"), 1);
        rig.alive();
        good.alive();
        drop((slow, good));
        rig.undisturbed();
    }
}

fn a_reader_that_never_reads_its_messages(io: &str) {
    let mut rig = Rig::start(
        io,
        "limits.outbox_bytes = \"128KiB\"\nlimits.outbox_time = \"5m\"\npresence.grace = \"0s\"",
    );
    let mut service = rig.service();
    let slow = Binary::connect(&rig, &rig.token("sleeper"));
    let me = Id::new("sleeper").unwrap();
    // A message may not be dropped in silence: the first that does not fit ends the connection, without a wait.
    within(Duration::from_secs(60), "the slow consumer is closed", || {
        let reached = service.send(&me, vec![b'1'; 30_000], false).unwrap();
        (reached == 0).then_some(())
    });
    eventually("it is counted", || (rig.metric("muster_slow_consumers_total") == 1).then_some(()));
    assert_eq!(rig.metric("muster_dropped_total{what=\"volatile_event\"}"), 0);
    rig.alive();
    drop((slow, service));
    rig.undisturbed();
}

/// Connections of the crowd, and the threads that make them.
const CROWD: usize = 10_000;
const THREADS: usize = 16;

fn ten_thousand_at_once(io: &str) {
    // One process may have 20,000 descriptors, and each of the two tests takes half of them on the client's side.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let mut rig = Rig::start(io, "presence.grace = \"0s\"\npresence.devices_per_user = 0");
    let tokens: Vec<String> = (0..100).map(|n| rig.token(&format!("user-{n}"))).collect();
    let site = rig.site();
    type Crowd = (Vec<Binary>, Vec<Web>);
    let gather = &|thread: usize| {
        let mut crowd = Crowd::default();
        for n in (thread..CROWD).step_by(THREADS) {
            let token = &tokens[n % tokens.len()];
            if n % 2 == 0 {
                crowd.0.push(Binary::connect(&site, token));
            } else {
                crowd.1.push(Web::online(&site, token));
            }
        }
        crowd
    };
    let mut crowds: Vec<Crowd> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || gather(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let all = CROWD as u64 / 2 + 1;
    assert_eq!(rig.connections(), (all, all));
    assert_eq!(rig.metric("muster_users_online"), 102);
    // On the ring an established connection is no open file of the process.
    let more = (rig.descriptors() as u64).saturating_sub(rig.before["descriptors"]);
    assert!(if io == "ring" { more < 100 } else { more > CROWD as u64 - 50 }, "{more} descriptors");
    rig.alive();
    // Whoever came first is as alive as whoever came last.
    for (binaries, webs) in &mut crowds {
        binaries.iter_mut().step_by(50).for_each(Binary::alive);
        for web in webs.iter_mut().step_by(50) {
            web.write(&frame(TEXT, r#"{"type":"ping"}"#)).unwrap();
            assert_eq!(web.json()["type"], "pong");
        }
    }
    drop(crowds);
    within(Duration::from_secs(60), "the crowd is gone", || (rig.connections() == (1, 1)).then_some(()));
    rig.undisturbed();
}
