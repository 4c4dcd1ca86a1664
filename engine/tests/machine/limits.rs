//! Limits, the rate of commands, and the way out.

use engine::limits::Limits;
use engine::machine::Input;
use schema::{CloseReason, Command, Refusal, Reply, Status};

use crate::net::*;

#[test]
fn sessions_are_bounded() {
    let mut net = Net::new(1, Limits { sessions: 3, ..Limits::default() });
    let sessions: Vec<_> = (0..3).map(|n| net.open(&format!("user-{n}"))).collect();
    assert_eq!(net.try_open(0, net.opening("four")), Err(Refusal::Busy));
    net.close(sessions[0], CloseReason::Lost);
    assert!(net.try_open(0, net.opening("four")).is_ok());
}

#[test]
fn users_the_store_does_not_take_are_bounded() {
    let mut net = Net::new(1, Limits { sessions: 10, ..Limits::default() });
    net.run();
    net.store = StoreMode::Fails;
    let mut refused = 0;
    for n in 0..100 {
        match net.try_open(0, net.opening(&format!("user-{n}"))) {
            Ok(session) => net.close(session, CloseReason::Lost),
            Err(refusal) => {
                assert_eq!(refusal, Refusal::Busy);
                refused += 1;
            }
        }
    }
    assert_eq!(refused, 60);
    assert!(net.try_open(0, net.opening("user-0")).is_ok(), "who is known may come");
}

#[test]
fn commands_have_a_rate() {
    let mut net = Net::new(1, Limits::default());
    let alice = net.open("alice");
    let tags: Vec<u64> = (0..61).map(|_| net.say(alice, Command::Count)).collect();
    for _ in 0..100 {
        net.say(alice, Command::Activity);
    }
    net.run();
    let refused = tags.iter().filter(|&&tag| net.reply(alice, tag) == Some(Err(Refusal::RateLimited)));
    assert_eq!(refused.count(), 1);
    net.pass(50);
    assert!(net.ask(alice, Command::Count).unwrap().is_ok());
    assert_eq!(net.machines[0].counters().refusals[Refusal::RateLimited as usize], 1);
}

#[test]
fn services_have_none() {
    let mut net = Net::new(1, Limits::default());
    let service = net.open_service(0);
    for _ in 0..1_000 {
        assert!(net.ask(service, Command::Count).unwrap().is_ok());
    }
}

#[test]
fn ten_seconds_of_too_many_commands_close_the_session() {
    let mut net = Net::new(1, Limits::default());
    let alice = net.open("alice");
    for _ in 0..1_500 {
        if !net.closed.is_empty() {
            break;
        }
        net.ask(alice, Command::Count);
        net.pass(10);
    }
    assert_eq!(net.closed, [(alice, CloseReason::TooManyCommands)]);
    assert!((10_000..15_000).contains(&(net.now.mono - 1_000)), "{}", net.now.mono);
}

#[test]
fn a_drain_refuses_and_closes_spread_over_its_time() {
    let mut net = Net::new(1, Limits { silence: 0, ..Limits::default() });
    for n in 0..1_000 {
        net.open(&format!("user-{n}"));
    }
    net.machines[0].handle(net.now, Input::Drain { over: 10_000 });
    net.run();
    assert_eq!(net.try_open(0, net.opening("late")), Err(Refusal::Draining));
    for second in 1..=9 {
        net.pass(1_000);
        assert_eq!(net.closed.len(), second * 100, "after {second} seconds");
    }
    assert!(!net.machines[0].is_drained());
    net.pass(1_000);
    assert_eq!(net.closed.len(), 1_000);
    assert!(net.closed.iter().all(|(_, reason)| *reason == CloseReason::Draining));
    assert!(net.machines[0].is_drained());
    assert_eq!(net.machines[0].unwritten(), 0, "a drained machine writes at once");
    assert!(net.rows.values().any(|row| row.1), "who left last is still online in the journal");
}

#[test]
fn a_drain_in_no_time_is_as_fast_as_the_budget() {
    let mut net = Net::new(1, Limits { silence: 0, ..Limits::default() });
    for n in 0..10_000 {
        let input = Input::Open(Box::new(net.opening(&format!("user-{n}"))));
        net.machines[0].handle(net.now, input);
    }
    net.run();
    net.burst = 0;
    net.machines[0].handle(net.now, Input::Drain { over: 0 });
    net.run();
    assert_eq!(net.closed.len(), 10_000);
    assert!(net.burst < 4_096 * 3, "{} outputs in one call", net.burst);
}

#[test]
fn mass_expiry_takes_turns() {
    let mut net = Net::new(1, Limits::default());
    for n in 0..20_000 {
        let input = Input::Open(Box::new(net.opening(&format!("user-{n}"))));
        net.machines[0].handle(net.now, input);
    }
    net.run();
    net.burst = 0;
    net.pass(90_000);
    assert_eq!(net.closed.len(), 20_000);
    assert!(net.burst < 4_096 * 3, "{} outputs in one call", net.burst);
    net.pass(6_000);
    assert_eq!(net.online(), 0);
}

#[test]
fn inboxes_with_one_place_get_everything_through() {
    let mut net = Net::new(4, Limits::default());
    net.room = 1;
    let sessions: Vec<_> = (0..80).map(|n| net.open_at(n % 4, &format!("user-{}", n % 40))).collect();
    net.pass(1_000);
    assert_eq!(net.online(), 40);
    for session in sessions {
        net.close(session, CloseReason::Lost);
    }
    net.pass(10_000);
    assert_eq!(net.online(), 0);
    assert_eq!(net.events(), (40, 40));
    net.assert_idle();
}

#[test]
fn nonsense_from_other_shards_harms_nobody() {
    use engine::machine::Message;
    use engine::machine::message::{Answer, State};
    use schema::{Device, LastSeen, SessionAddr, ShardId};
    let mut net = Net::new(2, Limits::default());
    let alice = net.open("alice");
    let from = ShardId(1);
    let states = vec![
        State::Presence { user: key("x"), revision: 9, status: Status::Online, last_seen: LastSeen::Never },
        State::Subscribers { channel: key("x"), revision: 1, count: 0 },
        State::Interest { user: key("x"), revision: 1, on: false },
        State::Detached {
            session: SessionAddr::default(),
            user: key("y"),
            reason: CloseReason::Lost,
            at: u64::MAX,
        },
        State::Attached {
            session: SessionAddr::default(),
            user: key("y"),
            device: Device::default(),
            since: u64::MAX,
            active_at: u64::MAX,
        },
        State::TapInterest { revision: 0, on: true },
    ];
    for message in [
        Message::State(states),
        Message::Answer { ask: u64::MAX, answer: Answer::Count(u64::MAX) },
        Message::Answer { ask: 0, answer: Answer::Reached(1) },
        Message::Deliver {
            ask: None,
            sessions: vec![schema::SessionRef { slot: u32::MAX, generation: 0 }],
            event: std::sync::Arc::new(schema::Event::Closing(CloseReason::Lost)),
        },
    ] {
        for from in [from, ShardId(77)] {
            net.machines[0].handle(net.now, Input::Message { from, message: message.clone() });
        }
    }
    net.pass(10_000);
    assert_eq!(net.ask(alice, Command::Activity), None);
    assert!(matches!(net.ask(alice, Command::Count), Some(Ok(Reply::Count(1)))));
}
