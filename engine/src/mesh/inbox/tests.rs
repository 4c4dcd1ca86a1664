//! What an inbox promises, one by one, and then all at once under real threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;

use crossbeam::sync::Parker;

use super::{Capacity, Counters, inbox};

fn capacity(commands: u32, replies: u32) -> Capacity {
    Capacity { commands, replies }
}

#[test]
fn commands_are_refused_at_their_share_and_replies_never() {
    let (mut inbox, sender) = inbox::<u32>(capacity(2, 1));
    assert_eq!(sender.room(), 2);
    assert_eq!(sender.try_send_command(1), Ok(()));
    assert_eq!(sender.try_send_command(2), Ok(()));
    assert_eq!(sender.try_send_command(3), Err(3));
    assert_eq!(sender.room(), 0);

    let place = inbox.reserve().unwrap();
    assert!(inbox.reserve().is_none() && !sender.reserve_raw());
    sender.send_reply(place, 4);
    assert!(inbox.reserve().is_none(), "the place is taken until the reply is");

    assert_eq!(inbox.len(), 3);
    assert_eq!((inbox.pop(), inbox.pop(), inbox.pop(), inbox.pop()), (Some(1), Some(2), Some(4), None));
    assert_eq!(sender.room(), 2);
    assert!(inbox.reserve().is_some());
    assert_eq!(inbox.counters(), Counters { sent: 3, refused: 1, wakes: 0 });
}

#[test]
fn an_unused_place_comes_back() {
    let (mut inbox, sender) = inbox::<u32>(capacity(1, 1));
    drop(sender.reserve().unwrap());
    drop(inbox.reserve().unwrap());
    assert!(inbox.reserve_raw());
    inbox.release_raw();
    assert!(sender.reserve_raw());
    assert!(!inbox.reserve_raw());
    sender.send_reserved(7);
    assert_eq!(inbox.pop(), Some(7));
    assert!(inbox.reserve_raw());
    sender.release_raw();
}

#[test]
#[should_panic(expected = "its place was reserved")]
fn a_place_is_good_for_its_own_inbox_only() {
    let (first, _) = inbox::<u32>(capacity(1, 1));
    let (_second, sender) = inbox::<u32>(capacity(1, 1));
    sender.send_reply(first.reserve().unwrap(), 1);
}

#[test]
fn drain_keeps_to_its_budget_and_order() {
    let (mut inbox, sender) = inbox::<u32>(capacity(10, 0));
    let mut batch = sender.batch();
    for number in 0..10 {
        batch.try_send_command(number).unwrap();
    }
    drop(batch);
    let mut seen = Vec::new();
    assert_eq!(inbox.drain(4, |number| seen.push(number)), 4);
    assert_eq!(inbox.drain(100, |number| seen.push(number)), 6);
    assert_eq!(seen, (0..10).collect::<Vec<_>>());
}

#[test]
fn only_a_sleeper_is_woken_and_a_batch_wakes_once() {
    let (mut inbox, sender) = inbox::<u32>(capacity(100, 0));
    assert!(!inbox.prepare_sleep(), "nobody could wake it");
    let calls = Arc::new(AtomicU64::new(0));
    inbox.wake_by({
        let calls = calls.clone();
        move || {
            calls.fetch_add(1, Ordering::Relaxed);
        }
    });
    sender.try_send_command(1).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 0, "awake");
    assert!(!inbox.prepare_sleep(), "not empty");
    sender.try_send_command(2).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 0, "a sleep that was not allowed leaves no flag up");

    inbox.drain(10, drop);
    assert!(inbox.prepare_sleep());
    let mut batch = sender.batch();
    for number in 0..10 {
        batch.try_send_command(number).unwrap();
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    drop(batch);
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    sender.try_send_command(11).unwrap();
    assert_eq!(calls.load(Ordering::Relaxed), 1, "it was woken already");

    inbox.drain(100, drop);
    assert!(inbox.prepare_sleep());
    inbox.woke();
    sender.try_send_command(12).unwrap();
    assert_eq!((calls.load(Ordering::Relaxed), inbox.counters().wakes), (1, 1), "it woke by itself");
}

#[test]
fn what_is_queued_goes_with_the_receiver() {
    let (inbox, sender) = inbox::<Arc<()>>(capacity(2, 1));
    let items: [Arc<()>; 3] = std::array::from_fn(|_| Arc::new(()));
    let weak = items.each_ref().map(Arc::downgrade);
    let [first, second, third] = items;
    assert!(sender.reserve_raw());
    sender.try_send_command(first).unwrap();
    drop(inbox);
    assert!(sender.is_closed());
    assert_eq!(sender.room(), 0);
    assert!(sender.try_send_command(second).is_err());
    sender.send_reserved(third);
    assert!(weak.iter().all(|item: &Weak<()>| item.upgrade().is_none()));
}

/// Four senders against a receiver that sleeps whenever it may, with an inbox so small that both run into its ends.
/// A lost wake hangs; a wrong count trips an assertion; an item lost or doubled spoils the sums.
#[test]
fn four_senders_and_a_sleeper() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 50_000;
    let (mut inbox, sender) = inbox::<u64>(capacity(3, 2));
    let parker = Parker::new();
    let unparker = parker.unparker().clone();
    inbox.wake_by(move || unparker.unpark());

    let senders: Vec<_> = (0..SENDERS)
        .map(|who| {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut refused = 0;
                for number in 0..EACH {
                    let value = who * EACH + number;
                    // Every third one as a reply, with a place in one of its two forms.
                    while match number % 6 {
                        0 => sender.reserve().map(|place| sender.send_reply(place, value)).is_none(),
                        3 if sender.reserve_raw() => {
                            sender.send_reserved(value);
                            false
                        }
                        3 => true,
                        _ => {
                            let full = sender.try_send_command(value).is_err();
                            refused += u64::from(full);
                            full
                        }
                    } {
                        thread::yield_now();
                    }
                    if number % 1_000 == 0 {
                        thread::yield_now();
                    }
                }
                refused
            })
        })
        .collect();

    let (mut count, mut sum, mut last) = (0, 0, [None; SENDERS as usize]);
    while count < SENDERS * EACH {
        let taken = inbox.drain(2, |value| {
            let (who, number) = ((value / EACH) as usize, value % EACH);
            assert!(last[who] < Some(number), "each sender's items keep their order");
            last[who] = Some(number);
            sum += value;
        });
        assert!(inbox.len() <= 5);
        count += taken as u64;
        if taken == 0 && inbox.prepare_sleep() {
            parker.park();
            inbox.woke();
        }
    }
    let refused: u64 = senders.into_iter().map(|thread| thread.join().unwrap()).sum();
    let all = SENDERS * EACH;
    assert_eq!(sum, all * (all - 1) / 2);
    let counters = inbox.counters();
    assert_eq!((counters.sent, counters.refused), (all, refused));
    assert!(counters.wakes <= all);
    assert_eq!(sender.room(), 3);
    assert!(inbox.is_empty() && inbox.reserve().is_some());
}
