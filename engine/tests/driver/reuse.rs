//! A slot's next connection never meets what its last one left on the way.

use std::io::{Read, Write};
use std::net::TcpStream;

use muster_engine::io::{Close, Token, Tuning};

use crate::rig::{Random, on_both};

#[test]
fn no_byte_of_the_old_connection_reaches_the_new_one() {
    // Few buffers, so that some receives are starved when their connection is closed.
    let tuning = Tuning { receive_buffers: 4, receive_buffer: 256, send_buffer: 4096, ..Tuning::default() };
    on_both(&tuning, |rig| {
        let mut random = Random(7);
        let mut old: Option<TcpStream> = None;
        for generation in 0..400u32 {
            let token = Token { slot: 3, generation };
            let (server, mut client) = rig.pair();
            client.set_nonblocking(true).unwrap();
            // Traffic in both directions when the end comes, and from the old client after it.
            let _ = client.write(&[generation as u8; 3000]);
            rig.driver.adopt(token, server).unwrap();
            rig.driver.send(token, &[&[generation as u8; 20_000]]);
            for _ in 0..random.below(4) {
                let _ = client.write(&[generation as u8; 3000]);
                if let Some(old) = &mut old {
                    let _ = old.write(&[!(generation as u8); 100]);
                }
                rig.driver.wait(Some(std::time::Duration::ZERO), &mut rig.told).unwrap();
            }
            let how = if random.below(3) == 0 { Close::Graceful } else { Close::Abort };
            rig.driver.close(token, how);
            let mut heard = Vec::new();
            let mut piece = [0; 4096];
            rig.until("closed", |rig| {
                // What the old connection's sends left must not appear here either.
                while let Ok(length @ 1..) = client.read(&mut piece) {
                    heard.extend_from_slice(&piece[..length]);
                }
                if how == Close::Graceful {
                    let _ = client.shutdown(std::net::Shutdown::Write);
                }
                rig.told.closed.contains(&token)
            });
            assert!(heard.iter().all(|value| *value == generation as u8), "sent by another connection");
            assert!(rig.heard(token).iter().all(|value| *value == generation as u8), "bytes of another");
            old = Some(client);
        }
        assert_eq!(rig.driver.counters().connections, 0);
    });
}

#[test]
fn adopted_and_closed_within_one_turn() {
    on_both(&Tuning::default(), |rig| {
        for how in [Close::Graceful, Close::Abort] {
            let (token, mut client) = rig.connection();
            rig.driver.send(token, &[b"hello"]);
            rig.driver.close(token, how);
            let (second, _client) = rig.pair();
            assert!(rig.driver.adopt(token, second).is_err(), "the slot is taken until it is closed");
            rig.turn();
            let mut all = Vec::new();
            client.read_to_end(&mut all).unwrap();
            assert_eq!(all, b"hello");
            drop(client);
            rig.until("closed", |rig| rig.told.closed.contains(&token));
        }
    });
}

#[test]
fn a_graceful_end_becomes_an_abort() {
    on_both(&Tuning::default(), |rig| {
        let (token, client) = rig.connection();
        rig.turn();
        rig.driver.close(token, Close::Graceful);
        rig.turn();
        assert!(!rig.told.closed.contains(&token));
        rig.driver.close(token, Close::Graceful);
        rig.close(token, Close::Abort);
        drop(client);
    });
}
