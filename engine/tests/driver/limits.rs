//! Behaviour where something runs out: receive buffers, completions, places in the table.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use muster_engine::io::{Close, Token, Tuning};

use crate::rig::{Rig, on_both};

#[test]
fn two_tiny_buffers_and_many_senders() {
    let tuning = Tuning { receive_buffers: 2, receive_buffer: 64, ..Tuning::default() };
    on_both(&tuning, |rig| {
        let mut connections: Vec<(Token, TcpStream)> = (0..50).map(|_| rig.connection()).collect();
        for (token, client) in &mut connections {
            client.write_all(&[token.slot as u8; 4096]).unwrap();
        }
        rig.until("all heard", |rig| rig.told.bytes == 50 * 4096);
        for (token, _) in &connections {
            assert_eq!(rig.heard(*token), [token.slot as u8; 4096]);
        }
        if rig.driver.name() == "ring" {
            assert!(rig.driver.counters().buffers_empty > 0, "the buffers never ran out");
        }
        // And afterwards everyone is still heard.
        for (_, client) in &mut connections {
            client.write_all(b"again").unwrap();
        }
        rig.until("all heard again", |rig| rig.told.bytes == 50 * (4096 + 5));
    });
}

#[test]
fn nobody_starves_while_one_never_stops() {
    let tuning = Tuning { receive_buffers: 2, receive_buffer: 64, ..Tuning::default() };
    on_both(&tuning, |rig| {
        let (loud, mut client) = rig.connection();
        client.set_write_timeout(Some(Duration::from_millis(1))).unwrap();
        let mut shout = || while client.write(&[0; 65536]).is_ok() {};
        let mut quiet: Vec<(Token, TcpStream)> = (0..5).map(|_| rig.connection()).collect();
        shout();
        for (_, client) in &mut quiet {
            client.write_all(b"please").unwrap();
        }
        rig.until("the quiet are heard", |rig| {
            shout();
            quiet.iter().all(|(token, _)| rig.heard(*token) == b"please")
        });
        assert!(!rig.heard(loud).is_empty());
    });
}

#[test]
fn more_completions_than_the_queue_holds() {
    let tuning = Tuning { receive_buffers: 16384, receive_buffer: 16, ..Tuning::default() };
    on_both(&tuning, |rig| {
        // All data is there before the receives are armed in one go.
        let mut pairs: Vec<_> = (0..500).map(|_| rig.pair()).collect();
        for (number, (_, client)) in pairs.iter_mut().enumerate() {
            client.write_all(&[number as u8; 800]).unwrap();
        }
        let mut clients = Vec::new();
        for (server, client) in pairs {
            let token = rig.token();
            rig.driver.adopt(token, server).unwrap();
            clients.push((token, client));
        }
        rig.until("all heard", |rig| rig.told.bytes == 500 * 800);
        for (token, _) in &clients {
            assert_eq!(rig.heard(*token), [token.slot as u8; 800]);
        }
        for (token, client) in &mut clients {
            client.write_all(b"still there?").unwrap();
            rig.driver.send(*token, &[b"yes"]);
        }
        rig.until("all heard again", |rig| rig.told.bytes == 500 * 812);
        for (_, client) in &mut clients {
            let mut answer = [0; 3];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"yes");
        }
    });
}

#[test]
fn connections_beyond_the_table_keep_a_plain_descriptor() {
    let tuning = Tuning { connections: 8, ..Tuning::default() };
    on_both(&tuning, |rig| {
        let mut connections: Vec<(Token, TcpStream)> = (0..20).map(|_| rig.connection()).collect();
        let plain = if rig.driver.name() == "ring" { 12 } else { 0 };
        assert_eq!(rig.driver.counters().plain_fallbacks, plain);
        echo_all(rig, &mut connections);
    });
}

/// Everyone is heard, answered and closed.
pub(crate) fn echo_all(rig: &mut Rig, connections: &mut [(Token, TcpStream)]) {
    for (token, client) in connections.iter_mut() {
        client.write_all(&token.slot.to_be_bytes()).unwrap();
    }
    rig.until("all heard", |rig| rig.told.bytes == 4 * connections.len() as u64);
    for (token, _) in connections.iter() {
        let bytes = rig.heard(*token).to_vec();
        rig.driver.send(*token, &[&bytes]);
        rig.driver.close(*token, if token.slot % 2 == 0 { Close::Graceful } else { Close::Abort });
    }
    rig.turn();
    for (token, client) in connections.iter_mut() {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, token.slot.to_be_bytes());
        client.shutdown(std::net::Shutdown::Write).unwrap_or_default();
    }
    rig.until("all closed", |rig| rig.told.closed.len() == connections.len());
}
