//! Channels: subscribe, publish, fan out.

use engine::limits::Limits;
use engine::machine::Input;
use schema::{CloseReason, Command, Refusal, Reply};

use crate::net::*;

fn subscribe(net: &mut Net, session: schema::SessionAddr, channel: &str) {
    assert_eq!(net.ask(session, Command::Subscribe { channel: id(channel) }), Some(Ok(Reply::Done)));
}

fn publish(channel: &str, text: &str, except_self: bool) -> Command {
    Command::Publish { channel: id(channel), payload: payload(text), except_self }
}

fn occupancy(net: &mut Net, session: schema::SessionAddr, channel: &str) -> u64 {
    match net.ask(session, Command::Occupancy { channel: id(channel) }) {
        Some(Ok(Reply::Occupancy(count))) => count,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_publish_reaches_the_subscribers_wherever_they_are() {
    for shards in [1, 2, 3] {
        let mut net = Net::new(shards, Limits::default());
        let sessions: Vec<_> =
            (0..9_usize).map(|n| net.open_at(n % usize::from(shards), &format!("user-{n}"))).collect();
        for &session in &sessions[..6] {
            subscribe(&mut net, session, "news");
            subscribe(&mut net, session, "news");
        }
        assert_eq!(occupancy(&mut net, sessions[8], "news"), 6);
        assert_eq!(net.ask(sessions[7], publish("news", "a", true)), Some(Ok(Reply::Reached(6))));
        assert_eq!(net.ask(sessions[0], publish("news", "b", true)), Some(Ok(Reply::Reached(5))));
        assert_eq!(net.ask(sessions[0], publish("news", "c", false)), Some(Ok(Reply::Reached(6))));
        assert_eq!(net.ask(sessions[0], publish("olds", "d", false)), Some(Ok(Reply::Reached(0))));
        assert_eq!(net.payloads(sessions[0]), ["a", "c"]);
        for &session in &sessions[1..6] {
            assert_eq!(net.payloads(session), ["a", "b", "c"]);
        }
        assert!(sessions[6..].iter().all(|&session| net.payloads(session).is_empty()));
    }
}

#[test]
fn who_leaves_hears_no_more() {
    let mut net = Net::new(2, Limits::default());
    let sessions: Vec<_> = (0..4).map(|n| net.open_at(n % 2, &format!("user-{n}"))).collect();
    for &session in &sessions {
        subscribe(&mut net, session, "news");
    }
    net.ask(sessions[0], Command::Unsubscribe { channel: id("news") });
    net.close(sessions[1], CloseReason::Lost);
    assert_eq!(occupancy(&mut net, sessions[0], "news"), 2);
    net.ask(sessions[0], publish("news", "a", false));
    let got: Vec<usize> = sessions.iter().map(|&session| net.payloads(session).len()).collect();
    assert_eq!(got, [0, 0, 1, 1]);
    for &session in &[sessions[2], sessions[3]] {
        net.ask(session, Command::Unsubscribe { channel: id("news") });
    }
    net.pass(100);
    assert!(net.machines.iter().all(|machine| machine.census().channels == 0));
}

#[test]
fn a_session_has_a_bounded_number_of_channels() {
    let limits = Limits { channels_per_session: 2, ..Limits::default() };
    let mut net = Net::new(1, limits);
    let session = net.open("alice");
    subscribe(&mut net, session, "a");
    subscribe(&mut net, session, "b");
    let third = net.ask(session, Command::Subscribe { channel: id("c") });
    assert_eq!(third, Some(Err(Refusal::LimitReached)));
    subscribe(&mut net, session, "a");
    net.ask(session, Command::Unsubscribe { channel: id("a") });
    subscribe(&mut net, session, "c");
}

#[test]
fn a_large_fan_out_takes_turns_and_nothing_overtakes() {
    let mut net = Net::new(1, Limits { silence: 0, ..Limits::default() });
    let sessions: Vec<_> = (0..30_000)
        .map(|n| {
            let input = Input::Open(Box::new(net.opening(&format!("user-{n}"))));
            net.machines[0].handle(net.now, input);
            schema::SessionRef { slot: n, generation: 1 }
        })
        .map(|session| schema::SessionAddr { incarnation: 7, shard: schema::ShardId(0), session })
        .collect();
    for &session in &sessions {
        net.say(session, Command::Subscribe { channel: id("news") });
    }
    net.run();
    let small = net.open("small");
    subscribe(&mut net, small, "chat");
    net.burst = 0;
    for text in ["1", "2", "3"] {
        net.say(sessions[0], publish("news", text, false));
    }
    net.say(small, publish("chat", "hello", false));
    net.turn();
    net.turn();
    assert_eq!(net.payloads(small), ["hello"], "a small channel does not wait for a large one");
    assert!(net.payloads(sessions[29_999]).is_empty(), "the large one is not done yet");
    // Some leave in the midst of it, and one comes.
    for &session in sessions.iter().step_by(7) {
        let input = Input::Closed { session: session.session, reason: CloseReason::Lost };
        net.machines[0].handle(net.now, input);
    }
    subscribe(&mut net, small, "news");
    assert!(net.burst <= 2 * 4_096 + 10, "{} outputs in one call", net.burst);
    for (n, &session) in sessions.iter().enumerate() {
        if n % 7 != 0 {
            assert_eq!(net.payloads(session), ["1", "2", "3"], "session {n}");
        }
    }
    assert_eq!(net.payloads(small), ["hello"], "who comes later hears only what is later");
    net.ask(small, publish("news", "4", false));
    assert_eq!(net.payloads(small), ["hello", "4"]);
    assert_eq!(net.payloads(sessions[1]), ["1", "2", "3", "4"]);
    assert_eq!(occupancy(&mut net, small, "news"), 30_000 - 4_286 + 1);
}

#[test]
fn a_publish_that_cannot_reach_all_reaches_nobody() {
    let mut net = Net::new(3, Limits::default());
    let sessions: Vec<_> = (0..3).map(|n| net.open_at(n, &format!("user-{n}"))).collect();
    for &session in &sessions {
        subscribe(&mut net, session, "news");
    }
    net.pass(10);
    let home = (0..3).find(|&shard| net.home_of_channel("news") == shard).unwrap();
    net.room = 0;
    net.turn();
    let result = net.ask(sessions[home], publish("news", "a", false));
    assert_eq!(result, Some(Err(Refusal::Busy)));
    net.room = 10;
    net.pass(10);
    assert!(sessions.iter().all(|&session| net.payloads(session).is_empty()));
    assert_eq!(net.ask(sessions[home], publish("news", "b", false)), Some(Ok(Reply::Reached(3))));
}

#[test]
fn fan_outs_are_bounded_in_bytes() {
    let mut net = Net::new(1, Limits::default());
    let mut service = net.opening("service");
    service.actor.service = true;
    let service = net.try_open(0, service).unwrap();
    subscribe(&mut net, service, "news");
    let large = "x".repeat(64 * 1024);
    let tags: Vec<u64> = (0..300).map(|_| net.say(service, publish("news", &large, false))).collect();
    net.run();
    let busy = tags.iter().filter(|&&tag| net.reply(service, tag) == Some(Err(Refusal::Busy))).count();
    assert_eq!(busy, 300 - 256, "sixteen megabytes");
    assert_eq!(net.payloads(service).len(), 256);
}

#[test]
fn occupancy_is_right_after_any_order() {
    for luck in 0..100 {
        let mut net = Net::new(3, Limits::default());
        let sessions: Vec<_> = (0..6).map(|n| net.open_at(n % 3, &format!("user-{n}"))).collect();
        net.mail_mode = Mail::Slow(luck);
        for _ in 0..3 {
            for &session in &sessions {
                net.say(session, Command::Subscribe { channel: id("news") });
                net.turn();
            }
            for &session in &sessions[1..] {
                net.say(session, Command::Unsubscribe { channel: id("news") });
                net.turn();
            }
        }
        net.mail_mode = Mail::InOrder;
        net.pass(10);
        assert_eq!(occupancy(&mut net, sessions[0], "news"), 1, "luck {luck}");
        for &session in &sessions[1..4] {
            net.ask(session, Command::Subscribe { channel: id("news") });
        }
        assert_eq!(occupancy(&mut net, sessions[0], "news"), 4, "luck {luck}");
    }
}
