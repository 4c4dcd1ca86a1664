//! Echo, accept, ends of connections, and the waker.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use muster_engine::io::{Choice, Close, Ending, Token, Tuning};

use crate::rig::{PATIENCE, Rig, on_both};

#[test]
fn echo() {
    on_both(&Tuning::default(), |rig| {
        let (token, mut client) = rig.connection();
        client.write_all(b"who is there?").unwrap();
        rig.until("bytes", |rig| rig.heard(token) == b"who is there?");
        rig.driver.send(token, &[b"", b"it is ", b"me"]);
        rig.turn();
        let mut answer = [0; 8];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"it is me");
        rig.close(token, Close::Abort);
        assert_eq!(client.read(&mut answer).unwrap(), 0);
        let counters = rig.driver.counters();
        assert_eq!((counters.received_bytes, counters.sent_bytes, counters.connections), (13, 8, 0));
        assert!(counters.system_calls > 0);
    });
}

#[test]
fn a_thousand_connections_are_accepted_served_and_closed() {
    on_both(&Tuning::default(), |rig| {
        rig.listen();
        let mut clients: Vec<TcpStream> = Vec::new();
        let mut tokens: Vec<Token> = Vec::new();
        // In steps, because accept has a backlog and this thread is on both sides of it.
        for _ in 0..10 {
            clients.extend((0..100).map(|_| TcpStream::connect(rig.address).unwrap()));
            let wanted = clients.len();
            rig.until("accepted", |rig| {
                for (_, socket, peer) in std::mem::take(&mut rig.told.accepted) {
                    let client = clients.iter().find(|client| client.local_addr().unwrap() == peer);
                    assert!(client.is_some(), "the peer's address is one of ours");
                    let token = rig.token();
                    rig.driver.adopt(token, socket).unwrap();
                    tokens.push(token);
                }
                tokens.len() == wanted
            });
        }
        assert_eq!(rig.driver.counters().accepted, 1000);
        assert_eq!(rig.driver.counters().connections, 1000);
        for client in &mut clients {
            client.write_all(&client.local_addr().unwrap().port().to_be_bytes()).unwrap();
        }
        rig.until("all heard", |rig| rig.told.bytes == 2000);
        for token in &tokens {
            let bytes = rig.heard(*token).to_vec();
            rig.driver.send(*token, &[&bytes]);
        }
        rig.turn();
        for client in &mut clients {
            let mut port = [0; 2];
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.read_exact(&mut port).unwrap();
            assert_eq!(u16::from_be_bytes(port), client.local_addr().unwrap().port());
        }
        for token in &tokens {
            rig.driver.close(*token, Close::Graceful);
        }
        rig.turn();
        drop(clients);
        rig.until("all closed", |rig| rig.told.closed.len() == 1000);
        assert_eq!(rig.driver.counters().connections, 0);
    });
}

#[test]
fn the_peer_may_finish_first_and_still_read() {
    on_both(&Tuning::default(), |rig| {
        let (token, mut client) = rig.connection();
        client.write_all(b"last words").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        rig.until("half-closed", |rig| rig.told.ended.contains_key(&token));
        assert_eq!(rig.told.ended[&token], Ending::HalfClosed);
        assert_eq!(rig.heard(token), b"last words", "bytes before the FIN come first");
        rig.driver.send(token, &[b"heard"]);
        rig.driver.close(token, Close::Graceful);
        rig.until("closed", |rig| rig.told.closed.contains(&token));
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"heard");
    });
}

#[test]
fn we_may_finish_first_and_the_peer_takes_its_time() {
    on_both(&Tuning::default(), |rig| {
        let (token, mut client) = rig.connection();
        rig.driver.send(token, &[b"good bye"]);
        rig.driver.close(token, Close::Graceful);
        rig.turn();
        let mut rest = Vec::new();
        let mut piece = [0; 64];
        client.set_nonblocking(true).unwrap();
        rig.until("our FIN", |_| match client.read(&mut piece) {
            Ok(0) => true,
            Ok(length) => {
                rest.extend_from_slice(&piece[..length]);
                false
            }
            Err(_) => false,
        });
        assert_eq!(rest, b"good bye");
        // The peer speaks after our FIN: it is read and discarded, and no RST answers.
        for _ in 0..3 {
            client.write_all(b"one more thing").unwrap();
            rig.turn();
        }
        assert!(!rig.told.closed.contains(&token), "the peer has not finished");
        client.shutdown(Shutdown::Write).unwrap();
        rig.until("closed", |rig| rig.told.closed.contains(&token));
        assert_eq!(rig.told.bytes, 0);
        assert_eq!(client.take_error().unwrap().map(|error| error.to_string()), None);
    });
}

#[test]
fn a_peer_that_never_finishes_is_closed_after_the_linger_time() {
    let tuning = Tuning { linger_time: Duration::from_millis(200), ..Tuning::default() };
    on_both(&tuning, |rig| {
        let (token, client) = rig.connection();
        let start = Instant::now();
        rig.driver.close(token, Close::Graceful);
        let patience = rig.driver.patience();
        rig.until("closed", |rig| rig.told.closed.contains(&token));
        assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
        assert!(patience.is_some_and(|patience| patience <= Duration::from_millis(201)));
        drop(client);
    });
}

#[test]
fn a_reset_is_a_loss() {
    on_both(&Tuning::default(), |rig| {
        let (token, client) = rig.connection();
        rig.turn();
        reset(client);
        rig.until("lost", |rig| rig.told.ended.contains_key(&token));
        assert_eq!(rig.told.ended[&token], Ending::Lost(libc::ECONNRESET));
        rig.driver.send(token, &[b"into the void"]);
        rig.driver.close(token, Close::Graceful);
        rig.until("closed", |rig| rig.told.closed.contains(&token));
    });
}

/// Closes with RST.
pub(crate) fn reset(client: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = size_of::<libc::linger>() as libc::socklen_t;
    let (fd, linger) = (client.as_raw_fd(), &raw const linger);
    #[expect(unsafe_code, reason = "std cannot set SO_LINGER yet")]
    // SAFETY: `linger` is readable for the length given.
    let result = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, linger.cast(), length) };
    assert_eq!(result, 0);
}

#[test]
fn wakers_end_the_sleep_from_other_threads() {
    on_both(&Tuning::default(), |rig| {
        for round in 0..100 {
            let waker = rig.driver.waker();
            let thread = std::thread::spawn(move || {
                waker.wake();
                waker.wake();
            });
            let start = Instant::now();
            rig.driver.wait(Some(PATIENCE), &mut rig.told).unwrap();
            assert!(start.elapsed() < PATIENCE / 2, "round {round} slept on");
            thread.join().unwrap();
            // The second wake may end one more sleep, and no further.
            rig.driver.wait(Some(Duration::ZERO), &mut rig.told).unwrap();
        }
        let start = Instant::now();
        rig.driver.wait(Some(Duration::from_millis(50)), &mut rig.told).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(45), "a wake is gone once it was seen");
        // A wake before the sleep keeps it from happening.
        rig.driver.waker().wake();
        rig.driver.wait(None, &mut rig.told).unwrap();
    });
}

#[test]
fn stale_and_wrong_tokens_are_ignored() {
    on_both(&Tuning::default(), |rig| {
        let (token, mut client) = rig.connection();
        let (second, _client) = rig.pair();
        assert!(rig.driver.adopt(token, second).is_err(), "the slot is taken");
        let stale = Token { generation: token.generation + 1, ..token };
        rig.driver.send(stale, &[b"nobody's"]);
        rig.driver.close(stale, Close::Abort);
        rig.driver.send(token, &[b"mine"]);
        rig.turn();
        let mut answer = [0; 4];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"mine");
        rig.close(token, Close::Abort);
        rig.driver.send(token, &[b"too late"]);
        rig.driver.close(token, Close::Abort);
        rig.turn();
        assert_eq!(rig.told.closed.len(), 1);
    });
}

#[test]
fn a_turn_costs_few_system_calls() {
    on_both(&Tuning::default(), |rig| {
        let (token, mut client) = rig.connection();
        let peer = std::thread::spawn(move || {
            for _ in 0..500 {
                client.write_all(b"beat").unwrap();
                client.read_exact(&mut [0; 4]).unwrap();
            }
        });
        rig.turn();
        let before = rig.driver.counters().system_calls;
        let mut answered = 0;
        rig.until("the peer has gone", |rig| {
            if rig.heard(token).len() > answered {
                answered = rig.heard(token).len();
                rig.driver.send(token, &[b"beat"]);
            }
            rig.told.ended.contains_key(&token)
        });
        peer.join().unwrap();
        // Ring: the enter that sends one answer sleeps for the next beat. Epoll: wait, receive, send.
        let each = if rig.driver.name() == "ring" { 1 } else { 3 };
        let calls = rig.driver.counters().system_calls - before;
        assert!(calls < 500 * each + 200, "{calls} system calls for 500 beats");
    });
}

#[test]
fn generations_are_cut_to_24_bits_everywhere() {
    on_both(&Tuning::default(), |rig| {
        let (server, mut client) = rig.pair();
        let (given, told) =
            (Token { slot: 2000, generation: 0x0500_0009 }, Token { slot: 2000, generation: 9 });
        rig.driver.adopt(given, server).unwrap();
        client.write_all(b"here").unwrap();
        rig.until("bytes", |rig| rig.heard(told) == b"here");
        rig.driver.send(given, &[&vec![0; 8 << 20]]);
        rig.until("blocked", |rig| rig.told.blocked.contains(&told));
        rig.driver.close(given, Close::Abort);
        rig.until("closed", |rig| rig.told.closed.contains(&told));
    });
}

#[test]
fn a_wait_that_gathers_tells_together_what_comes_one_after_the_other() {
    let tuning = Tuning { gather: Duration::from_secs(2), ..Tuning::default() };
    let mut rig = Rig::new(Choice::Ring, &tuning);
    if !rig.driver.gathers() {
        eprintln!("the kernel is older than Linux 6.12: the host rests instead");
        return;
    }
    let ((first, mut one), (second, mut two)) = (rig.connection(), rig.connection());
    one.write_all(b"1").unwrap();
    let later = std::thread::spawn(move || {
        // After the first, and long before the end.
        std::thread::sleep(Duration::from_millis(100));
        two.write_all(b"2").unwrap();
        two
    });
    rig.driver.wait(Some(PATIENCE), &mut rig.told).unwrap();
    assert_eq!((rig.heard(first), rig.heard(second)), (&b"1"[..], &b"2"[..]));
    drop(later.join().unwrap());
}
