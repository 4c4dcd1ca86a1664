//! Behaviour that belongs to a whole process: its limits, its seccomp profile, its open descriptors. Each case runs
//! this binary again and lets it execute one of the ignored tests below.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use muster_engine::io::{self as driver_io, Choice, Close, Token, Tuning};

use crate::rig::{PATIENCE, Rig, on_both, open_descriptors};

fn alone(case: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("process::{case}"), "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{errors}");
}

/// Keeps the log lines of a piece of work.
fn logged(work: impl FnOnce()) -> Vec<String> {
    struct Lines(Arc<Mutex<Vec<String>>>);
    struct Line(String);
    impl tracing::field::Visit for Line {
        fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
            let _ = write!(self.0, "{}={value:?} ", field.name());
        }
    }
    impl tracing::Subscriber for Lines {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            *metadata.level() <= tracing::Level::WARN
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, event: &tracing::Event<'_>) {
            let mut line = Line(String::new());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }
    let lines = Arc::new(Mutex::new(Vec::new()));
    tracing::subscriber::with_default(Lines(Arc::clone(&lines)), work);
    lines.lock().unwrap().clone()
}

#[expect(unsafe_code, reason = "std cannot set a limit")]
fn limit(resource: libc::__rlimit_resource_t, soft: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a writable rlimit.
    assert_eq!(unsafe { libc::getrlimit(resource, &raw mut limit) }, 0);
    limit.rlim_cur = soft;
    // SAFETY: `limit` is a readable rlimit.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const limit) }, 0);
}

/// The next free descriptor number: with the limit there, no other can be made.
fn next_descriptor() -> u64 {
    std::fs::File::open("/dev/null").unwrap().as_raw_fd() as u64
}

#[test]
fn out_of_descriptors() {
    alone("out_of_descriptors_alone");
}

#[test]
#[ignore = "changes the limits of its process; run by out_of_descriptors"]
fn out_of_descriptors_alone() {
    on_both(&Tuning::default(), |rig| {
        let mut clients: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(rig.address).unwrap()).collect();
        limit(libc::RLIMIT_NOFILE, next_descriptor() + 10);
        let lines = logged(|| {
            rig.listen();
            let before = rig.driver.counters().system_calls;
            let start = Instant::now();
            rig.until("half a second", |_| start.elapsed() > Duration::from_millis(500));
            let calls = rig.driver.counters().system_calls - before;
            assert!(calls < 300, "{calls} system calls in half a second are a spin");
        });
        assert_eq!(lines.len(), 1, "one line an episode: {lines:?}");
        assert!(lines[0].contains("ulimit -n"), "{lines:?}");
        let counters = rig.driver.counters();
        assert_eq!((counters.accepted, counters.accept_refused), (10, 30));
        // In order: the first ten were taken, the others closed.
        let taken: Vec<_> = rig.told.accepted.iter().map(|(_, _, peer)| *peer).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            if number < 10 {
                assert_eq!(taken[number], client.local_addr().unwrap());
            } else {
                assert_eq!(client.read(&mut [0]).unwrap(), 0);
            }
        }
        // With descriptors free again, accepting goes on by itself.
        rig.told.accepted.clear();
        drop(clients);
        let _client = TcpStream::connect(rig.address).unwrap();
        rig.until("accepted again", |rig| !rig.told.accepted.is_empty());
        limit(libc::RLIMIT_NOFILE, 1024);
    });
}

#[test]
fn out_of_descriptors_without_a_reserve() {
    alone("out_of_descriptors_without_a_reserve_alone");
}

#[test]
#[ignore = "changes the limits of its process; run by out_of_descriptors_without_a_reserve"]
fn out_of_descriptors_without_a_reserve_alone() {
    on_both(&Tuning { reserve_descriptors: 0, ..Tuning::default() }, |rig| {
        let clients: Vec<TcpStream> = (0..20).map(|_| TcpStream::connect(rig.address).unwrap()).collect();
        limit(libc::RLIMIT_NOFILE, next_descriptor());
        rig.listen();
        // Nobody can be refused, so the backlog stays and every attempt fails.
        let before = rig.driver.counters().system_calls;
        let start = Instant::now();
        rig.until("a second", |_| start.elapsed() > Duration::from_secs(1));
        let counters = rig.driver.counters();
        let calls = counters.system_calls - before;
        assert!(calls < 300, "{calls} system calls in a second are a spin");
        assert!((3..20).contains(&counters.accept_refused), "{} attempts", counters.accept_refused);
        limit(libc::RLIMIT_NOFILE, 1024);
        rig.until("accepted after all", |rig| rig.told.accepted.len() == clients.len());
    });
}

#[test]
fn a_table_cut_by_the_limit_of_open_files() {
    alone("a_table_cut_by_the_limit_of_open_files_alone");
}

#[test]
#[ignore = "changes the limits of its process; run by a_table_cut_by_the_limit_of_open_files"]
fn a_table_cut_by_the_limit_of_open_files_alone() {
    limit(libc::RLIMIT_NOFILE, 64);
    on_both(&Tuning::default(), |rig| {
        let mut connections = Vec::new();
        for slot in [0, 63, 64, 5000] {
            let (server, client) = rig.pair();
            let token = Token { slot, generation: 1 };
            rig.driver.adopt(token, server).unwrap();
            connections.push((token, client));
        }
        let plain = if rig.driver.name() == "ring" { 2 } else { 0 };
        assert_eq!(rig.driver.counters().plain_fallbacks, plain);
        crate::limits::echo_all(rig, &mut connections);
    });
}

#[test]
fn descriptors_return_to_where_they_were() {
    alone("descriptors_return_to_where_they_were_alone");
}

#[test]
#[ignore = "counts the descriptors of its process; run by descriptors_return_to_where_they_were"]
fn descriptors_return_to_where_they_were_alone() {
    for (choice, connections) in [(Choice::Epoll, 100), (Choice::Ring, 100), (Choice::Ring, 10)] {
        let start = open_descriptors();
        let tuning = Tuning { connections, ..Tuning::default() };
        let mut rig = Rig::new(choice, &tuning);
        rig.listen();
        let notify = rig.driver.notify_fd().unwrap();
        let idle = open_descriptors();
        // Half of them are closed before the driver goes, in every way; half stay open with it.
        let clients: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(rig.address).unwrap()).collect();
        rig.until("accepted", |rig| rig.told.accepted.len() == 50);
        for (number, (_, socket, _)) in std::mem::take(&mut rig.told.accepted).into_iter().enumerate() {
            let token = rig.token();
            rig.driver.adopt(token, socket).unwrap();
            match number % 4 {
                0 => rig.driver.close(token, Close::Abort),
                1 => rig.driver.close(token, Close::Graceful),
                _ => {}
            }
        }
        rig.turn();
        drop(clients);
        rig.until("the others ended", |rig| rig.told.closed.len() + rig.told.ended.len() == 50);
        if (choice, connections) == (Choice::Ring, 100) {
            assert_eq!(open_descriptors(), idle, "direct descriptors are no open files");
        }
        rig.driver.stop_listening();
        rig.turn();
        drop((rig, notify));
        assert_eq!(open_descriptors(), start, "{choice:?} with {connections}");
    }
}

/// The kernel accepts as soon as it is asked to, and the driver goes before it has told anyone.
#[test]
fn connections_nobody_heard_of_are_closed() {
    alone("connections_nobody_heard_of_are_closed_alone");
}

#[test]
#[ignore = "counts the descriptors of its process; run by connections_nobody_heard_of_are_closed"]
fn connections_nobody_heard_of_are_closed_alone() {
    for choice in [Choice::Epoll, Choice::Ring] {
        let start = open_descriptors();
        let mut rig = Rig::new(choice, &Tuning { connections: 0, ..Tuning::default() });
        let mut clients: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(rig.address).unwrap()).collect();
        // A plain descriptor whose close is done but not heard of either.
        let (token, mut client) = rig.connection();
        rig.turn();
        rig.driver.close(token, Close::Abort);
        rig.listen();
        rig.driver.stop_listening();
        drop(rig);
        for client in clients.iter_mut().chain([&mut client]) {
            // FIN or RST, but an end: a leaked socket would keep its peer waiting.
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            // The kernel takes the ring apart in this thread's name, which may interrupt its reads.
            let end = loop {
                match client.read(&mut [0]).map_err(|error| error.kind()) {
                    Err(std::io::ErrorKind::Interrupted) => {}
                    end => break end,
                }
            };
            assert!(matches!(end, Ok(0) | Err(std::io::ErrorKind::ConnectionReset)), "{end:?}");
        }
        drop((clients, client));
        assert_eq!(open_descriptors(), start, "{choice:?}");
    }
}

#[test]
fn a_sandbox_without_io_uring() {
    alone("a_sandbox_without_io_uring_alone");
}

#[test]
#[ignore = "restricts its process for good; run by a_sandbox_without_io_uring"]
fn a_sandbox_without_io_uring_alone() {
    refuse_io_uring_setup(libc::EPERM as u32);
    let refused = driver_io::probe().unwrap_err();
    assert_eq!(refused.errno, libc::EPERM);

    let lines = logged(|| {
        let start = Instant::now();
        for _ in 0..3 {
            let (driver, fallback) = driver_io::open(Choice::Auto, &Tuning::default()).unwrap();
            assert_eq!(driver.name(), "epoll");
            assert_eq!(fallback.unwrap().to_string(), refused.to_string());
        }
        assert!(start.elapsed() < Duration::from_secs(1));
    });
    assert_eq!(lines.len(), 1, "one warning a process: {lines:?}");
    for word in ["seccomp", "EPERM", "io_uring_setup", "epoll"] {
        assert!(lines[0].contains(word), "{lines:?}");
    }
    let error = driver_io::open(Choice::Ring, &Tuning::default()).err().unwrap();
    assert_eq!(error.to_string(), refused.to_string(), "the error says what the warning says");

    // A kernel without the call at all.
    refuse_io_uring_setup(libc::ENOSYS as u32);
    let text = driver_io::probe().unwrap_err().to_string();
    assert!(text.contains("ENOSYS") && text.contains("6.1"), "{text}");
}

/// Installs a seccomp filter that answers io_uring_setup with an `errno`. The latest filter's answer wins among those
/// of one kind.
#[expect(unsafe_code, reason = "prctl and the filter it points to")]
fn refuse_io_uring_setup(errno: u32) {
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut filter = [
        // The system call's number is the first word of what the filter sees.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: libc::SYS_io_uring_setup as u32,
        },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | errno),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the flag takes no pointers.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    // SAFETY: `program` names a valid filter for the length of the call.
    let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(result, 0);
}

/// A host that sleeps on the driver's descriptor and only looks in when it is readable or patience is over.
#[test]
fn a_host_that_sleeps_elsewhere_misses_nothing() {
    on_both(&Tuning::default(), |rig| {
        let notify = rig.driver.notify_fd().unwrap();
        let eventfd = rig.driver.name() == "ring";
        let (token, mut client) = rig.connection();
        let peer = std::thread::spawn(move || {
            for round in 0..500u32 {
                client.write_all(&round.to_be_bytes()).unwrap();
                let mut answer = [0; 4];
                client.read_exact(&mut answer).unwrap();
                assert_eq!(u32::from_be_bytes(answer), round);
            }
        });
        let mut answered = 0;
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < PATIENCE);
            rig.driver.wait(Some(Duration::ZERO), &mut rig.told).unwrap();
            let heard = rig.heard(token).len();
            if heard == answered + 4 {
                let bytes = rig.heard(token)[answered..].to_vec();
                rig.driver.send(token, &[&bytes]);
                answered = heard;
            }
            if rig.told.ended.contains_key(&token) {
                break;
            }
            sleep_on(notify.as_raw_fd(), eventfd, rig.driver.patience());
        }
        peer.join().unwrap();
        assert_eq!(answered, 2000);
    });
}

/// Each wake is a wake, not the first one only.
#[test]
fn a_host_that_sleeps_elsewhere_is_woken_each_time() {
    on_both(&Tuning::default(), |rig| {
        let notify = rig.driver.notify_fd().unwrap();
        let eventfd = rig.driver.name() == "ring";
        rig.driver.wait(Some(Duration::ZERO), &mut rig.told).unwrap();
        for _ in 0..20 {
            let waker = rig.driver.waker();
            let other = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(5));
                waker.wake();
            });
            sleep_on(notify.as_raw_fd(), eventfd, None);
            other.join().unwrap();
            rig.driver.wait(Some(Duration::ZERO), &mut rig.told).unwrap();
        }
    });
}

#[expect(unsafe_code, reason = "poll and read on the driver's descriptor")]
fn sleep_on(fd: i32, eventfd: bool, patience: Option<Duration>) {
    let ms = patience.map_or(PATIENCE.as_millis() as i32, |patience| patience.as_millis() as i32);
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one writable pollfd.
    let ready = unsafe { libc::poll(&raw mut poll, 1, ms) };
    assert!(ready > 0 || patience.is_some(), "slept too long: a completion was not announced");
    if ready > 0 && eventfd {
        let mut count = [0u8; 8];
        // SAFETY: `count` is writable for its length.
        assert_eq!(unsafe { libc::read(fd, count.as_mut_ptr().cast(), 8) }, 8);
    }
}
