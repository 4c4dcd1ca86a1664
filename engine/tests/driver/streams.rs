//! Streams through full sockets: every byte once and in order, whatever the socket takes at a time.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use muster_engine::io::{Choice, Close, Token, Tuning};

use crate::rig::{PATIENCE, Random, Rig, on_both};

/// The byte at a place of a stream.
fn byte(stream: u64, at: usize) -> u8 {
    let mixed = (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 40) as u8
}

fn bytes(stream: u64, from: usize, length: usize) -> Vec<u8> {
    (from..from + length).map(|at| byte(stream, at)).collect()
}

/// Reads a stream to its end in small and uneven pieces, once the other end of `start` has gone. Checks every byte, and
/// says how many there were.
fn slow_reader(mut client: TcpStream, stream: u64, start: Receiver<()>) -> JoinHandle<usize> {
    std::thread::spawn(move || {
        let _ = start.recv();
        let mut random = Random(stream + 1);
        let mut buffer = vec![0; 16 * 1024];
        let mut at = 0;
        loop {
            let most = 1 + random.below(buffer.len());
            let length = client.read(&mut buffer[..most]).unwrap();
            if length == 0 {
                return at;
            }
            for (offset, value) in buffer[..length].iter().enumerate() {
                assert_eq!(*value, byte(stream, at + offset), "stream {stream} at {}", at + offset);
            }
            at += length;
            if random.below(8) == 0 {
                std::thread::yield_now();
            }
        }
    })
}

struct Stream {
    token: Token,
    number: u64,
    sent: usize,
    /// The reader waits until the socket has been full once.
    unread: Option<Sender<()>>,
    reader: JoinHandle<usize>,
}

fn streams_are_exact(tuning: &Tuning, count: u64, total: usize, largest: usize) {
    on_both(tuning, |rig| {
        let mut random = Random(42);
        let mut streams: Vec<Stream> = (0..count)
            .map(|number| {
                let (token, client) = rig.connection();
                let (unread, start) = channel();
                Stream {
                    token,
                    number,
                    sent: 0,
                    unread: Some(unread),
                    reader: slow_reader(client, number, start),
                }
            })
            .collect();
        rig.until("all is queued", |rig| {
            for stream in &mut streams {
                if rig.told.blocked.contains(&stream.token) {
                    stream.unread = None;
                    continue;
                }
                if stream.sent == total {
                    continue;
                }
                let length = (1 + random.below(largest)).min(total - stream.sent);
                let piece = bytes(stream.number, stream.sent, length);
                let (first, second) = piece.split_at(random.below(length));
                rig.driver.send(stream.token, &[first, second]);
                stream.sent += length;
                if stream.sent == total {
                    // In the same turn as the last bytes: the FIN must not overtake them.
                    rig.driver.close(stream.token, Close::Graceful);
                }
            }
            streams.iter().all(|stream| stream.sent == total)
        });
        rig.until("all closed", |rig| rig.told.closed.len() == streams.len());
        for stream in streams {
            assert_eq!(stream.reader.join().unwrap(), total, "stream {}", stream.number);
        }
        let counters = rig.driver.counters();
        assert_eq!(counters.sent_bytes, count * total as u64);
        assert!(counters.short_sends >= count, "each socket was full once");
    });
}

#[test]
fn several_megabytes_through_tiny_socket_buffers() {
    let tuning = Tuning { send_buffer: 4096, flush_time: PATIENCE, ..Tuning::default() };
    streams_are_exact(&tuning, 3, 1_200_000, 60_000);
}

#[test]
fn sends_larger_than_the_arena() {
    let tuning = Tuning { send_buffer: 4096, send_arena: 4096, flush_time: PATIENCE, ..Tuning::default() };
    streams_are_exact(&tuning, 3, 600_000, 20_000);
}

#[test]
fn no_byte_is_lost_while_pages_are_given_back() {
    // After every wait. The arena is small, so that some completions come while a turn is still sending.
    let tuning = Tuning {
        receive_buffers: 16,
        send_arena: 64 * 1024,
        flush_time: PATIENCE,
        relax_time: Duration::ZERO,
        ..Tuning::default()
    };
    on_both(&tuning, |rig| {
        let total = 2_000_000;
        let mut connections: Vec<_> = (0..4)
            .map(|number| {
                let (token, client) = rig.connection();
                let mut writer = client.try_clone().unwrap();
                let writer = std::thread::spawn(move || {
                    let mut random = Random(number + 99);
                    let mut at = 0;
                    while at < total {
                        let length = (1 + random.below(20_000)).min(total - at);
                        writer.write_all(&bytes(number, at, length)).unwrap();
                        at += length;
                    }
                });
                let (_, start) = channel();
                (token, number, 0, writer, slow_reader(client, number + 100, start))
            })
            .collect();
        let mut random = Random(5);
        rig.until("all is sent and heard", |rig| {
            for (token, number, sent, ..) in &mut connections {
                let length = (1 + random.below(40_000)).min(total - *sent);
                if length > 0 && !rig.told.blocked.contains(token) {
                    rig.driver.send(*token, &[&bytes(*number + 100, *sent, length)]);
                    *sent += length;
                }
            }
            connections.iter().all(|(token, _, sent, ..)| *sent == total && rig.heard(*token).len() == total)
        });
        for (token, number, _, writer, reader) in connections {
            assert!(rig.heard(token) == bytes(number, 0, total), "stream {number}");
            writer.join().unwrap();
            rig.close(token, Close::Graceful);
            assert_eq!(reader.join().unwrap(), total);
        }
    });
}

#[test]
fn a_driver_that_rests_gives_pages_back_by_itself() {
    let relax_time = Duration::from_millis(50);
    let mut rig = Rig::new(Choice::Ring, &Tuning { relax_time, ..Tuning::default() });
    let (token, mut client) = rig.connection();
    client.write_all(&bytes(1, 0, 200_000)).unwrap();
    rig.until("heard", |rig| rig.heard(token).len() == 200_000);
    let patience = rig.driver.patience();
    assert!(patience.is_some_and(|patience| patience <= relax_time), "{patience:?}");
    rig.until("given back", |rig| rig.driver.patience().is_none());
}

#[test]
fn a_send_of_three_megabytes_and_a_small_one_in_the_next_turn() {
    let tuning = Tuning { send_arena: 8 << 20, ..Tuning::default() };
    on_both(&tuning, |rig| {
        let (token, client) = rig.connection();
        let (unread, start) = channel();
        let reader = slow_reader(client, 7, start);
        rig.driver.send(token, &[&bytes(7, 0, 3_000_000)]);
        rig.turn();
        assert!(rig.told.blocked.contains(&token));
        drop(unread);
        rig.until("drained", |rig| !rig.told.blocked.contains(&token));
        rig.driver.send(token, &[&bytes(7, 3_000_000, 40)]);
        rig.close(token, Close::Graceful);
        assert_eq!(reader.join().unwrap(), 3_000_040);
    });
}

#[test]
fn more_sends_in_a_turn_than_the_queue_and_the_arena_hold() {
    let tuning = Tuning { send_arena: 16 * 1024, ..Tuning::default() };
    on_both(&tuning, |rig| {
        let mut connections: Vec<(Token, TcpStream)> = (0..1200).map(|_| rig.connection()).collect();
        for (token, _) in &connections {
            rig.driver.send(*token, &[&bytes(u64::from(token.slot), 0, 100)]);
        }
        rig.turn();
        for (token, client) in &mut connections {
            let mut piece = [0; 100];
            client.read_exact(&mut piece).unwrap();
            assert_eq!(piece[..], bytes(u64::from(token.slot), 0, 100));
            rig.driver.close(*token, Close::Abort);
        }
        rig.until("all closed", |rig| rig.told.closed.len() == 1200);
    });
}

/// Sends until the socket takes no more.
fn block(rig: &mut Rig, token: Token) {
    let piece = vec![7; 100_000];
    rig.until("blocked", |rig| {
        if !rig.told.blocked.contains(&token) {
            rig.driver.send(token, &[&piece]);
        }
        rig.driver.wait(Some(Duration::ZERO), &mut rig.told).unwrap();
        rig.told.blocked.contains(&token)
    });
}

#[test]
fn abort_while_blocked() {
    on_both(&Tuning::default(), |rig| {
        let (token, mut client) = rig.connection();
        block(rig, token);
        rig.turn();
        rig.close(token, Close::Abort);
        assert!(rig.told.drained.is_empty());
        let mut rest = Vec::new();
        // FIN or RST, but an end.
        let _ = client.read_to_end(&mut rest);
        assert!(rest.iter().all(|value| *value == 7));
    });
}

#[test]
fn a_peer_that_does_not_read_is_flushed_no_longer_than_allowed() {
    let tuning = Tuning { flush_time: Duration::from_millis(100), ..Tuning::default() };
    on_both(&tuning, |rig| {
        let (token, client) = rig.connection();
        block(rig, token);
        rig.close(token, Close::Graceful);
        drop(client);
    });
}

#[test]
fn a_reset_while_blocked() {
    on_both(&Tuning::default(), |rig| {
        let (token, client) = rig.connection();
        block(rig, token);
        // Unread bytes make a close a reset.
        drop(client);
        rig.until("lost", |rig| rig.told.ended.contains_key(&token));
        rig.close(token, Close::Graceful);
        assert!(rig.told.drained.is_empty());
    });
}

#[test]
fn the_last_frame_arrives_although_input_was_left_unread() {
    on_both(&Tuning::default(), |rig| {
        for round in 0..20 {
            let (token, mut client) = rig.connection();
            // Never told to the shard: it closes before the next wait, with this in the socket.
            client.write_all(&vec![1; 100_000]).unwrap();
            rig.driver.send(token, &[b"the last frame"]);
            rig.driver.close(token, Close::Graceful);
            rig.turn();
            // And more comes while we close.
            client.write_all(b"too late").unwrap();
            let reader = std::thread::spawn(move || {
                let mut rest = Vec::new();
                client.read_to_end(&mut rest).map(|_| rest)
            });
            rig.until("closed", |rig| rig.told.closed.contains(&token));
            assert_eq!(reader.join().unwrap().unwrap(), b"the last frame", "round {round}");
        }
        assert_eq!(rig.told.bytes, 0);
    });
}
