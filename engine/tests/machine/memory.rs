//! A crowd comes all at once and leaves all at once; the memory it took must come back.

use engine::limits::Limits;
use engine::machine::{Input, Machine, Open};
use schema::{CloseReason, Command, SessionAddr, ShardId};

use crate::net::{Net, id};

const CROWD: usize = 20_000;

/// Of what a crowd took, at most this share may stay: one in so many.
const STAYS: usize = 20;

fn bytes(net: &Net) -> usize {
    net.machines.iter().map(Machine::bytes).sum()
}

/// Opens sessions in one turn, on all shards in turn; nearly all of their users live on another one.
fn come(net: &mut Net) -> Vec<SessionAddr> {
    let openings: Vec<Open> = (0..CROWD).map(|n| net.opening(&format!("user-{n}"))).collect();
    let (shards, now) = (net.machines.len(), net.now);
    for (n, open) in openings.into_iter().enumerate() {
        net.machines[n % shards].handle(now, Input::Open(Box::new(open)));
    }
    net.run();
    net.take_opened()
}

/// Some of them watch users and subscribe to channels.
fn listen(net: &mut Net, sessions: &[SessionAddr]) {
    for &session in sessions.iter().step_by(10) {
        let users = (0..20).map(|n| id(&format!("user-{}", (session.session.slot * 31 + n) % 15_000)));
        net.say(session, Command::Watch { users: users.collect() });
        net.say(
            session,
            Command::Subscribe { channel: id(&format!("channel-{}", session.session.slot % 900)) },
        );
    }
    net.run();
}

/// Closes sessions in an order that has nothing to do with their slots.
fn leave(net: &mut Net, sessions: &[SessionAddr]) {
    let now = net.now;
    for n in 0..sessions.len() {
        let session = sessions[n * 7_919 % sessions.len()];
        let input = Input::Closed { session: session.session, reason: CloseReason::Lost };
        net.machines[usize::from(session.shard.0)].handle(now, input);
    }
}

#[test]
fn what_a_crowd_took_comes_back() {
    for shards in [1, 4] {
        let mut net = Net::new(shards, Limits::default());
        net.run();
        let before = bytes(&net);
        for _ in 0..2 {
            let sessions = come(&mut net);
            listen(&mut net, &sessions);
            assert_eq!((sessions.len(), net.online()), (CROWD, CROWD as u64));
            let crowd = bytes(&net);
            leave(&mut net, &sessions);
            let most = crowd.max(bytes(&net));
            net.run();
            net.assert_idle();
            let after = bytes(&net);
            assert!(
                after <= before + (most - before) / STAYS,
                "{before} bytes, {crowd} with the crowd, {most} at most, {after} after it, {shards} shards"
            );
        }
    }
}

#[test]
fn a_few_who_stay_keep_little() {
    let mut net = Net::new(2, Limits { silence: 0, ..Limits::default() });
    net.run();
    let mut sessions = come(&mut net);
    let crowd = bytes(&net);
    // Those who came first: their slots are the lowest.
    let rest = sessions.split_off(CROWD / 50);
    leave(&mut net, &rest);
    net.run();
    net.pass(400_000);
    assert_eq!(net.online(), sessions.len() as u64);
    let after = bytes(&net);
    assert!(after < crowd / 8, "{crowd} bytes with the crowd, {after} with one in fifty of it");
    assert!(net.machines.iter().all(|machine| machine.census().unwritten == 0));
    assert_eq!(
        net.machines[0].sessions(),
        sessions.iter().filter(|one| one.shard == ShardId(0)).count() as u32
    );
}
