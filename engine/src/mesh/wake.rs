//! Sleep and wake: a receiver sleeps only when its queue is empty, and no sender makes a system call for a receiver
//! that is awake.
//!
//! The receiver *says that it sleeps and then looks* at the queue once more; the sender *pushes and then looks*
//! whether the receiver has said so. A full fence stands between the two halves on each side, so at least one of
//! them sees what the other has done:
//!
//! ```text
//!   receiver                         sender
//!   flag = true                      push
//!   ── fence ──                      ── fence ──
//!   queue empty? ── yes ─► sleep     flag? ── yes ─► swap(false) was true ─► wake
//! ```
//!
//! Of several senders only the one whose swap finds the flag up wakes. What "wake" means is the endpoint's own
//! affair (an eventfd, a thread's parker, a `tokio` notify), with one demand: a wake before the sleep ends the sleep.
//!
//! The protocol is generic over its flag, so that the tests below run this very code under loom, through every
//! interleaving and every reordering that the memory model allows.

use std::sync::atomic::{AtomicBool, Ordering, fence};

/// The flag of [`Sleep`]: an atomic bool whose operations need not order anything by themselves, and a fence that
/// does. It is only ever written by swaps: they have one order that loom follows exactly (it does not know that no
/// plain store comes between a swap and what the swap has read), and a full store costs the same.
pub trait Flag {
    /// Lowered.
    fn new() -> Self;
    /// Reads the flag, perhaps an old value of it.
    fn load(&self) -> bool;
    /// Sets it and says what it was.
    fn swap(&self, up: bool) -> bool;
    /// A full (sequentially consistent) fence.
    fn fence();
}

impl Flag for AtomicBool {
    fn new() -> Self {
        Self::new(false)
    }

    fn load(&self) -> bool {
        self.load(Ordering::Relaxed)
    }

    fn swap(&self, up: bool) -> bool {
        self.swap(up, Ordering::SeqCst)
    }

    fn fence() {
        fence(Ordering::SeqCst);
    }
}

/// Whether one receiver sleeps.
#[derive(Debug)]
pub struct Sleep<F: Flag = AtomicBool> {
    sleeping: F,
}

impl<F: Flag> Default for Sleep<F> {
    fn default() -> Self {
        Self { sleeping: F::new() }
    }
}

impl<F: Flag> Sleep<F> {
    /// Receiver: says that it is about to sleep, and only then asks `is_empty`. Returns whether it may; then
    /// somebody will wake it after the next push. When it may not, the flag is down again.
    pub fn prepare(&self, is_empty: impl FnOnce() -> bool) -> bool {
        self.sleeping.swap(true);
        F::fence();
        let empty = is_empty();
        if !empty {
            self.sleeping.swap(false);
        }
        empty
    }

    /// Receiver: is awake, whatever the reason (a wake, a timer, a socket). Spares the senders a wake.
    pub fn woke(&self) {
        self.sleeping.swap(false);
    }

    /// Sender, after it has pushed: whether it is the one that has to wake the receiver.
    #[must_use]
    pub fn pushed(&self) -> bool {
        F::fence();
        self.sleeping.load() && self.sleeping.swap(false)
    }
}

#[cfg(test)]
mod tests {
    //! The queue is stood in for by a counter with release and acquire: the weakest queue there can be. (A mutex
    //! would order the two sides by itself and hide a missing fence.)

    use std::sync::atomic::{AtomicUsize as Tally, Ordering::SeqCst};

    use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    use super::{Flag, Sleep};

    /// A loom flag; with `FENCED` false the fences are missing.
    struct Modeled<const FENCED: bool>(AtomicBool);

    impl<const FENCED: bool> Flag for Modeled<FENCED> {
        fn new() -> Self {
            Self(AtomicBool::new(false))
        }

        fn load(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }

        fn swap(&self, up: bool) -> bool {
            self.0.swap(up, Ordering::SeqCst)
        }

        fn fence() {
            if FENCED {
                fence(Ordering::SeqCst);
            }
        }
    }

    /// How the protocol is used: rightly, or with a planted fault.
    #[derive(Clone, Copy, PartialEq)]
    enum Order {
        Right,
        LooksBeforeItSaysSo,
        LooksBeforeItPushes,
    }

    /// One receiver that looks once and one sender that pushes once, through all interleavings: how many there were,
    /// and in how many the receiver slept on a queued item with nobody to wake it.
    fn lost_wakes<const FENCED: bool>(order: Order) -> (usize, usize) {
        static RUNS: [Tally; 6] = [const { Tally::new(0) }; 6];
        static LOST: [Tally; 6] = [const { Tally::new(0) }; 6];
        let cell = order as usize * 2 + usize::from(FENCED);
        loom::model(move || {
            let sleep = Arc::new(Sleep::<Modeled<FENCED>>::default());
            let queued = Arc::new(AtomicUsize::new(0));
            let sender = thread::spawn({
                let (sleep, queued) = (sleep.clone(), queued.clone());
                move || {
                    if order == Order::LooksBeforeItPushes {
                        let wake = sleep.pushed();
                        queued.fetch_add(1, Ordering::Release);
                        return wake;
                    }
                    queued.fetch_add(1, Ordering::Release);
                    sleep.pushed()
                }
            });
            let look = || queued.load(Ordering::Acquire) == 0;
            let sleeps = if order == Order::LooksBeforeItSaysSo {
                let empty = look();
                sleep.prepare(|| empty)
            } else {
                sleep.prepare(look)
            };
            let woken = sender.join().expect("the sender does not panic");
            RUNS[cell].fetch_add(1, SeqCst);
            LOST[cell].fetch_add(usize::from(sleeps && !woken), SeqCst);
        });
        (RUNS[cell].load(SeqCst), LOST[cell].load(SeqCst))
    }

    #[test]
    fn no_wake_is_lost() {
        let (runs, lost) = lost_wakes::<true>(Order::Right);
        assert!(runs > 5, "only {runs} interleavings: the model explores nothing");
        assert_eq!(lost, 0, "of {runs}");
    }

    /// The model is worth something only if it sees these.
    #[test]
    fn the_model_sees_each_planted_fault() {
        for (fault, (runs, lost)) in [
            ("no fences", lost_wakes::<false>(Order::Right)),
            ("emptiness checked before the flag is up", lost_wakes::<true>(Order::LooksBeforeItSaysSo)),
            ("flag checked before the push", lost_wakes::<true>(Order::LooksBeforeItPushes)),
        ] {
            assert!(lost > 0, "{fault}: not seen in {runs} interleavings");
        }
    }

    /// Two senders with a waker that is a permit under a condition variable, and a receiver that really blocks: a
    /// lost wake is a deadlock, which loom reports; and no push is paid for with more than one wake.
    #[test]
    fn two_senders_and_a_receiver_that_blocks() {
        struct Endpoint {
            sleep: Sleep<Modeled<true>>,
            queued: AtomicUsize,
            permit: Mutex<bool>,
            called: Condvar,
            wakes: AtomicUsize,
        }
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let endpoint = Arc::new(Endpoint {
                sleep: Sleep::default(),
                queued: AtomicUsize::new(0),
                permit: Mutex::new(false),
                called: Condvar::new(),
                wakes: AtomicUsize::new(0),
            });
            for _ in 0..2 {
                let endpoint = endpoint.clone();
                thread::spawn(move || {
                    endpoint.queued.fetch_add(1, Ordering::Release);
                    if endpoint.sleep.pushed() {
                        endpoint.wakes.fetch_add(1, Ordering::Relaxed);
                        *endpoint.permit.lock().expect("nobody panics") = true;
                        endpoint.called.notify_one();
                    }
                });
            }
            let mut taken = 0;
            while taken < 2 {
                let queued = endpoint.queued.load(Ordering::Acquire);
                if queued > taken {
                    taken = queued;
                    continue;
                }
                if endpoint.sleep.prepare(|| endpoint.queued.load(Ordering::Acquire) == taken) {
                    let mut permit = endpoint.permit.lock().expect("nobody panics");
                    while !*permit {
                        permit = endpoint.called.wait(permit).expect("nobody panics");
                    }
                    *permit = false;
                    drop(permit);
                    endpoint.sleep.woke();
                } else {
                    // Loom may show old values for ever to who does not yield.
                    thread::yield_now();
                }
            }
            assert!(endpoint.wakes.load(Ordering::Relaxed) <= 2);
        });
    }
}
