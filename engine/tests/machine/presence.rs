//! Sessions, and the presence that comes of them.

use engine::limits::Limits;
use schema::{CloseReason, Command, LastSeen, Reply, Status};

use crate::net::*;

fn net() -> Net {
    Net::new(1, Limits::default())
}

/// The same on one shard, and with the session's host and the user's home on two.
fn on_one_and_on_two(test: impl Fn(Net, usize)) {
    test(Net::new(1, Limits::default()), 0);
    let net = Net::new(2, Limits::default());
    let elsewhere = 1 - net.home("alice");
    test(net, elsewhere);
}

#[test]
fn an_open_session_makes_its_user_online() {
    on_one_and_on_two(|mut net, host| {
        assert_eq!(net.presence("alice").status, Status::Offline);
        net.open_at(host, "alice");
        let presence = net.presence("alice");
        assert_eq!((presence.status, presence.last_seen), (Status::Online, LastSeen::At(WALL)));
        assert_eq!(net.online(), 1);
    });
}

#[test]
fn after_the_last_session_the_user_is_in_grace_and_then_offline() {
    for reason in CloseReason::ALL.iter().filter(|reason| **reason != CloseReason::LoggedOut) {
        on_one_and_on_two(|mut net, host| {
            let session = net.open_at(host, "alice");
            net.pass(1_000);
            net.close(session, *reason);
            net.pass(4_999);
            assert_eq!(net.presence("alice").status, Status::Online, "{reason:?}");
            net.pass(1);
            assert_eq!(net.presence("alice").status, Status::Offline, "{reason:?}");
            assert_eq!(net.events(), (1, 1));
        });
    }
}

#[test]
fn who_logs_out_is_offline_at_once_unless_another_device_stays() {
    on_one_and_on_two(|mut net, host| {
        let (phone, laptop) = (net.open_at(host, "alice"), net.open_at(0, "alice"));
        net.close(phone, CloseReason::LoggedOut);
        net.pass(1);
        assert_eq!((net.presence("alice").status, net.events()), (Status::Online, (1, 0)));
        net.close(laptop, CloseReason::LoggedOut);
        net.pass(1);
        assert_eq!((net.presence("alice").status, net.events()), (Status::Offline, (1, 1)));
        assert_eq!(net.online(), 0);

        // The grace of a session that follows is its own, and the same as ever.
        let again = net.open_at(host, "alice");
        net.close(again, CloseReason::Lost);
        net.pass(4_999);
        assert_eq!(net.presence("alice").status, Status::Online);
        net.pass(1);
        assert_eq!((net.presence("alice").status, net.events()), (Status::Offline, (2, 2)));
    });
}

#[test]
fn a_reconnect_within_grace_emits_nothing() {
    on_one_and_on_two(|mut net, host| {
        for _ in 0..5 {
            let session = net.open_at(host, "alice");
            net.pass(10_000);
            net.close(session, CloseReason::Lost);
            net.pass(3_000);
        }
        assert_eq!(net.events(), (1, 0));
        net.pass(2_000);
        assert_eq!(net.events(), (1, 1));
    });
}

#[test]
fn any_number_of_devices_is_one_online_and_one_offline() {
    on_one_and_on_two(|mut net, host| {
        let sessions: Vec<_> =
            (0..10).map(|n| net.open_at(if n % 2 == 0 { host } else { 0 }, "alice")).collect();
        for session in sessions {
            net.close(session, CloseReason::ClientClosed);
            assert_eq!(net.presence("alice").status, Status::Online);
            net.pass(1_000);
        }
        net.pass(4_000);
        assert_eq!(net.presence("alice").status, Status::Offline);
        assert_eq!(net.events(), (1, 1));
    });
}

#[test]
fn a_silent_link_is_offline_within_timeout_and_grace_and_a_second() {
    on_one_and_on_two(|mut net, host| {
        let session = net.open_at(host, "alice");
        net.pass(60_000);
        net.touch(session);
        net.pass(90_000 - 1);
        assert_eq!(net.closed, []);
        net.pass(1);
        assert_eq!(net.closed, [(session, CloseReason::Silent)]);
        net.pass(5_000);
        assert_eq!(net.presence("alice").status, Status::Offline);
        // It was alive until it was last heard of.
        assert_eq!(net.presence("alice").last_seen, LastSeen::At(WALL + 60_000));
    });
}

#[test]
fn a_touch_sets_no_timer() {
    let mut net = net();
    let session = net.open("alice");
    for _ in 0..1_000 {
        net.pass(20);
        net.touch(session);
    }
    assert_eq!(net.machines[0].census().timers, 1);
}

#[test]
fn stale_timers_do_not_live_on() {
    let mut net = Net::new(1, Limits { away_after: 60_000, ..Limits::default() });
    for _ in 0..100 {
        let session = net.open("alice");
        net.pass(50);
        net.close(session, CloseReason::Lost);
        net.pass(50);
    }
    let session = net.open("alice");
    assert!(net.machines[0].census().timers > 100, "nothing is taken out of the wheel");
    for _ in 0..20 {
        net.ask(session, Command::Activity);
        net.pass(10_000);
    }
    assert_eq!(net.closed, []);
    assert!(net.machines[0].census().timers <= 2, "one of the session, one of the user");
}

#[test]
fn liveness_may_be_somebody_elses() {
    let mut net = net();
    let mut open = net.opening("alice");
    open.silence = 0;
    net.try_open(0, open).unwrap();
    net.pass(3_600_000);
    assert_eq!(net.presence("alice").status, Status::Online);
}

#[test]
fn a_token_ends() {
    let mut net = net();
    let mut open = net.opening("alice");
    open.expires_at = WALL + 600_000;
    open.silence = 0;
    let session = net.try_open(0, open).unwrap();
    net.pass(599_999);
    assert_eq!(net.closed, []);
    net.pass(1);
    assert_eq!(net.closed, [(session, CloseReason::TokenExpired)]);
}

#[test]
fn a_newer_token_takes_the_place_of_the_old_one() {
    let mut net = net();
    let mut open = net.opening("alice");
    open.expires_at = WALL + 600_000;
    let session = net.try_open(0, open).unwrap();
    net.touch(session);
    net.renew(session, WALL + 700_000);
    for _ in 0..69 {
        net.pass(10_000);
        net.touch(session);
    }
    assert_eq!(net.closed, []);
    net.pass(10_000);
    assert_eq!(net.closed, [(session, CloseReason::TokenExpired)]);
    // It may also end sooner, and what is over stays over.
    let session = net.open("alice");
    net.renew(session, net.now.wall + 1_000);
    net.pass(1_000);
    assert_eq!(net.closed[1..], [(session, CloseReason::TokenExpired)]);
    net.renew(session, u64::MAX);
    assert_eq!(net.closed.len(), 2);
}

#[test]
fn a_token_ends_although_the_wall_clock_was_set() {
    let mut net = net();
    let mut open = net.opening("alice");
    open.expires_at = WALL + 86_400_000;
    open.silence = 0;
    net.try_open(0, open).unwrap();
    net.now.wall += 86_400_000;
    net.pass(300_000);
    assert_eq!(net.closed.len(), 1, "the clock is looked at every five minutes");
}

#[test]
fn activity_moves_last_seen_and_a_touch_does_not() {
    on_one_and_on_two(|mut net, host| {
        let session = net.open_at(host, "alice");
        net.pass(10_000);
        net.touch(session);
        assert_eq!(net.presence("alice").last_seen, LastSeen::At(WALL));
        assert_eq!(net.ask(session, Command::Activity), None);
        assert_eq!(net.presence("alice").last_seen, LastSeen::At(WALL + 10_000));
    });
}

#[test]
fn last_seen_does_not_go_back_with_the_wall_clock() {
    on_one_and_on_two(|mut net, host| {
        let session = net.open_at(host, "alice");
        net.pass(10_000);
        net.ask(session, Command::Activity);
        net.now.wall -= 600_000;
        net.ask(session, Command::Activity);
        assert_eq!(net.presence("alice").last_seen, LastSeen::At(WALL + 10_000));
        net.close(session, CloseReason::ClientClosed);
        net.pass(20_000);
        assert_eq!(net.presence("alice").last_seen, LastSeen::At(WALL + 10_000), "now from the store");
        net.open_at(host, "alice");
        assert_eq!(net.presence("alice").last_seen, LastSeen::At(WALL + 10_000), "and online again");
    });
}

#[test]
fn an_older_device_does_not_move_last_seen_back() {
    let mut net = Net::new(2, Limits::default());
    let home = net.home("alice");
    let (near, far) = (net.open_at(home, "alice"), net.open_at(1 - home, "alice"));
    net.pass(1_000);
    net.mail_mode = Mail::Held;
    net.ask(far, Command::Activity);
    net.pass(1_000);
    net.ask(near, Command::Activity);
    net.mail_mode = Mail::InOrder;
    net.run();
    assert_eq!(net.presence("alice").last_seen, LastSeen::At(WALL + 2_000));
}

#[test]
fn away_after_a_while_if_enabled_and_back_by_activity() {
    let limits = Limits { away_after: 30_000, silence: 0, ..Limits::default() };
    for shards in [1, 2] {
        let mut net = Net::new(shards, limits.clone());
        let session = net.open_at(0, "alice");
        net.pass(20_000);
        net.ask(session, Command::Activity);
        net.pass(29_999);
        assert_eq!(net.presence("alice").status, Status::Online);
        net.pass(1);
        assert_eq!(net.presence("alice").status, Status::Away);
        assert_eq!(net.online(), 1, "who is away counts as online");
        net.ask(session, Command::Activity);
        assert_eq!(net.presence("alice").status, Status::Online);
        net.pass(30_000);
        net.close(session, CloseReason::Lost);
        net.pass(5_000);
        assert_eq!(net.presence("alice").status, Status::Offline);
    }
}

#[test]
fn an_activity_told_late_wakes_nobody() {
    let mut net = Net::new(2, Limits { away_after: 30_000, silence: 0, ..Limits::default() });
    let home = net.home("alice");
    let (near, far) = (net.open_at(home, "alice"), net.open_at(1 - home, "alice"));
    net.pass(1_000);
    net.mail_mode = Mail::Held;
    net.ask(far, Command::Activity);
    net.pass(1_000);
    net.ask(near, Command::Activity);
    net.pass(30_000);
    net.mail_mode = Mail::InOrder;
    net.pass(10);
    assert_eq!(net.presence("alice").status, Status::Away);
    net.ask(far, Command::Activity);
    net.pass(10);
    assert_eq!(net.presence("alice").status, Status::Online);
}

#[test]
fn no_grace_is_offline_at_once() {
    let mut net = Net::new(1, Limits { grace: 0, ..Limits::default() });
    let session = net.open("alice");
    net.close(session, CloseReason::Lost);
    assert_eq!(net.presence("alice").status, Status::Offline);
    assert_eq!(net.events(), (1, 1));
}

#[test]
fn a_slots_next_session_is_another_session() {
    let mut net = net();
    let first = net.open("alice");
    net.close(first, CloseReason::Lost);
    let second = net.open("bob");
    assert_eq!(first.session.slot, second.session.slot);
    assert_ne!(first, second);
    net.close(first, CloseReason::Lost);
    assert_eq!(net.ask(first, Command::Count), None, "nobody is there to be answered");
    net.pass(80_000);
    net.touch(second);
    net.pass(20_000);
    assert_eq!(net.closed, [], "the first one's timer is not the second one's");
    assert_eq!(net.presence("bob").status, Status::Online);
}

#[test]
fn too_many_devices_close_the_oldest() {
    let limits = Limits { devices_per_user: 3, ..Limits::default() };
    for shards in [1, 3] {
        let mut net = Net::new(shards, limits.clone());
        let mut sessions = Vec::new();
        for number in 0..5_usize {
            sessions.push(net.open_at(number % usize::from(shards), "alice"));
            net.pass(10);
        }
        let reason = CloseReason::TooManyDevices;
        assert_eq!(net.closed, [(sessions[0], reason), (sessions[1], reason)]);
        let asked = net.ask(sessions[4], Command::Sessions { user: id("alice") });
        let Some(Ok(Reply::Sessions(infos))) = asked else { panic!("{asked:?}") };
        assert_eq!(infos.iter().map(|info| info.session).collect::<Vec<_>>(), sessions[2..]);
    }
}

#[test]
fn a_home_without_word_hears_of_an_eviction_when_there_is_room() {
    let mut net = Net::new(2, Limits { devices_per_user: 1, ..Limits::default() });
    let home = net.home("alice");
    let far = net.open_at(1 - home, "alice");
    net.pass(10);
    net.room = 0;
    let near = net.open_at(home, "alice");
    net.pass(1_000);
    assert_eq!(net.closed, []);
    net.room = 1;
    net.pass(100);
    assert_eq!(net.closed, [(far, CloseReason::TooManyDevices)]);
    net.close(near, CloseReason::Lost);
    net.pass(6_000);
    assert_eq!(net.events(), (1, 1));
}

#[test]
fn attach_and_detach_in_any_order_and_twice() {
    for luck in 0..200 {
        let mut net = Net::new(3, Limits::default());
        let home = net.home("alice");
        net.mail_mode = Mail::Held;
        let staying = net.open_at((home + 1) % 3, "alice");
        for _ in 0..4 {
            let going = net.open_at((home + 2) % 3, "alice");
            net.ask(staying, Command::Activity);
            net.close(going, CloseReason::Lost);
        }
        net.mail_mode = Mail::Shuffled(luck);
        net.pass(20_000);
        assert_eq!(net.presence("alice").status, Status::Online);
        net.mail_mode = Mail::Held;
        net.close(staying, CloseReason::Lost);
        net.mail_mode = Mail::Shuffled(luck);
        net.pass(5_001);
        assert_eq!(net.presence("alice").status, Status::Offline, "luck {luck}");
        assert_eq!(net.events(), (1, 1));
    }
}

#[test]
fn who_came_and_went_before_the_home_heard_is_in_grace_all_the_same() {
    let mut net = Net::new(2, Limits::default());
    let host = 1 - net.home("alice");
    net.room = 0;
    let session = net.open_at(host, "alice");
    net.close(session, CloseReason::ClientClosed);
    net.room = 10;
    net.pass(10);
    assert_eq!(net.presence("alice").status, Status::Online);
    net.pass(5_000);
    assert_eq!(net.presence("alice").status, Status::Offline);
    assert_eq!(net.events(), (1, 1));
}

#[test]
fn taps_number_every_open_and_close() {
    let mut net = net();
    let alice = net.open("alice");
    let bob = net.open("bob");
    net.close(alice, CloseReason::LoggedOut);
    net.pass(90_000);
    let taps: Vec<_> = net.taps.iter().map(|tap| (tap.seq, tap.session.session, tap.closed)).collect();
    let expected = [
        (1, alice, None),
        (2, bob, None),
        (3, alice, Some(CloseReason::LoggedOut)),
        (4, bob, Some(CloseReason::Silent)),
    ];
    assert_eq!(taps, expected);
    assert_eq!(net.taps[0].user, key("alice"));
    assert_eq!(net.taps[0].session.peer, "10.0.0.1:5000".parse().unwrap());
}

#[test]
fn a_service_is_no_user() {
    let mut net = net();
    let service = net.open_service(0);
    assert_eq!(net.ask(service, Command::Count), Some(Ok(Reply::Count(0))));
    assert_eq!(net.presence("a-service").status, Status::Offline);
    net.close(service, CloseReason::Lost);
    net.assert_idle();
}

#[test]
fn everything_is_freed() {
    let limits = Limits { silence: 10_000, ..Limits::default() };
    for shards in [1, 3] {
        let mut net = Net::new(shards, limits.clone());
        let sessions: Vec<_> = (0..300_usize)
            .map(|n| net.open_at(n % usize::from(shards), &format!("user-{}", n % 100)))
            .collect();
        for (n, &session) in sessions.iter().enumerate() {
            let users = (0..20).map(|k| id(&format!("user-{}", (n + k * 7) % 150))).collect();
            net.ask(session, Command::Watch { users });
            net.ask(session, Command::Subscribe { channel: id(&format!("channel-{}", n % 10)) });
        }
        for &session in sessions.iter().step_by(2) {
            net.close(session, CloseReason::Lost);
        }
        net.assert_idle();
        assert_eq!(net.online(), 0);
        let counters = net.machines[0].counters();
        assert_eq!(counters.sessions.iter().sum::<u64>(), 0);
        assert_eq!(counters.came_online, counters.went_offline);
    }
}
