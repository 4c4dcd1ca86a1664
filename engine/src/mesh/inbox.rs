//! One endpoint's inbox: many senders, one receiver, a fixed number of places, and no waiting on either side.
//!
//! Two classes share the queue. A *command* takes one of the command places, or is given back when there is none. A
//! *reply* cannot be refused: its asker took a place for it in its own inbox before it asked, and asks nothing when
//! it finds none. Since each class is counted exactly and the queue is as long as both together, a push never finds
//! the queue full.
//!
//! A place is a [`Place`] where the asker can keep an object; dropping it gives it back. A machine keeps plain data
//! instead: [`Inbox::reserve_raw`] takes a place, and exactly one [`Sender::send_reserved`] or
//! [`Sender::release_raw`] must follow for it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};

use crossbeam::queue::ArrayQueue;
use crossbeam::utils::CachePadded;

use super::wake::Sleep;

/// How many places an inbox has for each class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Commands that may wait to be taken; at least 1.
    pub commands: u32,
    /// Replies that may be owed, under way or waiting to be taken.
    pub replies: u32,
}

/// What an inbox has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Commands and replies that went in.
    pub sent: u64,
    /// Commands that found no place.
    pub refused: u64,
    /// How often a sleeping receiver had to be woken.
    pub wakes: u64,
}

enum Item<T> {
    Command(T),
    Reply(T),
}

struct Shared<T> {
    queue: ArrayQueue<Item<T>>,
    capacity: Capacity,
    /// Commands in the queue, or about to be.
    commands: CachePadded<AtomicU32>,
    /// Places for replies that are taken.
    replies: CachePadded<AtomicU32>,
    sleep: CachePadded<Sleep>,
    waker: OnceLock<Box<dyn Fn() + Send + Sync>>,
    closed: AtomicBool,
    sent: AtomicU64,
    refused: AtomicU64,
    wakes: AtomicU64,
}

impl<T> Shared<T> {
    /// Takes one of `most` places. The acquire meets the release in [`Shared::free`]: who gets a place sees that the
    /// item that had it has left the queue.
    fn take(count: &AtomicU32, most: u32) -> bool {
        let next = |taken| (taken < most).then_some(taken + 1);
        count.fetch_update(Ordering::Acquire, Ordering::Relaxed, next).is_ok()
    }

    fn free(count: &AtomicU32) {
        let taken = count.fetch_sub(1, Ordering::Release);
        debug_assert!(taken > 0, "a place was given back that nobody had taken");
    }

    fn reserve(&self) -> bool {
        Self::take(&self.replies, self.capacity.replies)
    }

    fn push(&self, item: Item<T>) {
        let full = self.queue.push(item).is_err();
        assert!(
            !full,
            "every item has a place of its class, and the queue is as long as both classes together"
        );
    }

    /// After a push: wakes the receiver if it sleeps, or empties the queue if there is no receiver any more.
    fn pushed(&self, items: u64) {
        self.sent.fetch_add(items, Ordering::Relaxed);
        if self.sleep.pushed() {
            self.wakes.fetch_add(1, Ordering::Relaxed);
            if let Some(wake) = self.waker.get() {
                wake();
            }
        }
        // The fence in `Sleep::pushed` stands between the push and this look, as the one in `Inbox::drop` stands
        // between its mark and its emptying: whatever races, one of the two takes the item out.
        if self.closed.load(Ordering::Relaxed) {
            self.empty();
        }
    }

    fn pop(&self) -> Option<T> {
        match self.queue.pop()? {
            Item::Command(value) => {
                Self::free(&self.commands);
                Some(value)
            }
            Item::Reply(value) => {
                Self::free(&self.replies);
                Some(value)
            }
        }
    }

    fn empty(&self) {
        while self.pop().is_some() {}
    }

    fn counters(&self) -> Counters {
        Counters {
            sent: self.sent.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            wakes: self.wakes.load(Ordering::Relaxed),
        }
    }
}

/// Makes an inbox and its first sender.
#[must_use]
pub fn inbox<T>(capacity: Capacity) -> (Inbox<T>, Sender<T>) {
    let capacity = Capacity { commands: capacity.commands.max(1), ..capacity };
    let shared = Arc::new(Shared {
        queue: ArrayQueue::new(capacity.commands as usize + capacity.replies as usize),
        capacity,
        commands: CachePadded::default(),
        replies: CachePadded::default(),
        sleep: CachePadded::default(),
        waker: OnceLock::new(),
        closed: AtomicBool::new(false),
        sent: AtomicU64::new(0),
        refused: AtomicU64::new(0),
        wakes: AtomicU64::new(0),
    });
    (Inbox { shared: shared.clone() }, Sender { shared })
}

/// The receiver's end; there is one. When it is dropped, what is in the queue is dropped with it (a socket in a
/// message is closed), commands are refused from then on, and replies vanish.
pub struct Inbox<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Inbox<T> {
    /// Another sender to this inbox.
    #[must_use]
    pub fn sender(&self) -> Sender<T> {
        Sender { shared: self.shared.clone() }
    }

    /// Says how the receiver is woken. A wake that comes before the sleep must end it. Only the first call counts;
    /// without one, [`Inbox::prepare_sleep`] never allows a sleep.
    pub fn wake_by(&self, waker: impl Fn() + Send + Sync + 'static) {
        let first = self.shared.waker.set(Box::new(waker)).is_ok();
        debug_assert!(first, "an inbox has one receiver, and that one way to be woken");
    }

    /// Takes the oldest item.
    pub fn pop(&mut self) -> Option<T> {
        self.shared.pop()
    }

    /// Hands at most `budget` items to `each`, oldest first, and says how many there were.
    pub fn drain(&mut self, budget: usize, mut each: impl FnMut(T)) -> usize {
        for taken in 0..budget {
            match self.shared.pop() {
                Some(value) => each(value),
                None => return taken,
            }
        }
        budget
    }

    /// Announces that the receiver wants to sleep, and says whether it may; then it must call [`Inbox::woke`]
    /// afterwards. It may not when something is in the queue.
    #[must_use]
    pub fn prepare_sleep(&mut self) -> bool {
        let shared = &*self.shared;
        shared.waker.get().is_some() && shared.sleep.prepare(|| shared.queue.is_empty())
    }

    /// The receiver is awake again, for whatever reason.
    pub fn woke(&mut self) {
        self.shared.sleep.woke();
    }

    /// Takes a place for a reply in this inbox, or finds none free: then do not ask.
    #[must_use]
    pub fn reserve(&self) -> Option<Place<T>> {
        self.shared.reserve().then(|| Place { shared: Some(self.shared.clone()) })
    }

    /// [`Inbox::reserve`] for an asker that keeps a count instead of an object.
    #[must_use]
    pub fn reserve_raw(&self) -> bool {
        self.shared.reserve()
    }

    /// Gives back a place of [`Inbox::reserve_raw`] for which no reply will come.
    pub fn release_raw(&self) {
        Shared::<T>::free(&self.shared.replies);
    }

    /// Items in the queue.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.queue.len()
    }

    /// Whether the queue is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.queue.is_empty()
    }

    /// What has been counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }
}

impl<T> Drop for Inbox<T> {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.shared.empty();
    }
}

/// A sender's end.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T> Sender<T> {
    /// Begins a batch: the receiver is woken at most once, when the batch is dropped.
    #[must_use]
    pub fn batch(&self) -> Batch<'_, T> {
        Batch { shared: &self.shared, pushed: 0 }
    }

    /// Sends a command.
    ///
    /// # Errors
    /// Gives the command back when all command places are taken or the receiver is gone.
    pub fn try_send_command(&self, command: T) -> Result<(), T> {
        self.batch().try_send_command(command)
    }

    /// Sends a reply into the place that was reserved for it in this inbox. Never fails.
    pub fn send_reply(&self, place: Place<T>, reply: T) {
        self.batch().send_reply(place, reply);
    }

    /// Sends a reply into a place that its asker took with `reserve_raw`. Never fails.
    ///
    /// # Panics
    /// When nobody took a place for it and the queue has no room: a bug in the asker.
    pub fn send_reserved(&self, reply: T) {
        self.batch().send_reserved(reply);
    }

    /// See [`Inbox::reserve`]; for an asker whose inbox is received by another thread.
    #[must_use]
    pub fn reserve(&self) -> Option<Place<T>> {
        self.shared.reserve().then(|| Place { shared: Some(self.shared.clone()) })
    }

    /// See [`Inbox::reserve_raw`].
    #[must_use]
    pub fn reserve_raw(&self) -> bool {
        self.shared.reserve()
    }

    /// See [`Inbox::release_raw`].
    pub fn release_raw(&self) {
        Shared::<T>::free(&self.shared.replies);
    }

    /// Free places for commands, at this moment. The only sender of an inbox can rely on it.
    #[must_use]
    pub fn room(&self) -> u32 {
        if self.is_closed() {
            return 0;
        }
        self.shared.capacity.commands.saturating_sub(self.shared.commands.load(Ordering::Relaxed))
    }

    /// Free places for replies, at this moment.
    #[must_use]
    pub fn reply_room(&self) -> u32 {
        self.shared.capacity.replies.saturating_sub(self.shared.replies.load(Ordering::Relaxed))
    }

    /// Items in the queue.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.queue.len()
    }

    /// Whether the queue is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.shared.queue.is_empty()
    }

    /// Whether the receiver is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::Relaxed)
    }

    /// What has been counted.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }
}

/// Several sends with one wake, which comes when the batch is dropped. Keep it for a stage of a turn, not longer:
/// a receiver that slept when the batch began sleeps until its end.
pub struct Batch<'sender, T> {
    shared: &'sender Shared<T>,
    pushed: u64,
}

impl<T> Batch<'_, T> {
    /// See [`Sender::try_send_command`].
    ///
    /// # Errors
    /// Gives the command back when all command places are taken or the receiver is gone.
    pub fn try_send_command(&mut self, command: T) -> Result<(), T> {
        let shared = self.shared;
        if shared.closed.load(Ordering::Relaxed)
            || !Shared::<T>::take(&shared.commands, shared.capacity.commands)
        {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            return Err(command);
        }
        self.push(Item::Command(command));
        Ok(())
    }

    /// See [`Sender::send_reply`].
    pub fn send_reply(&mut self, mut place: Place<T>, reply: T) {
        let own = place.shared.take().is_some_and(|shared| std::ptr::eq(&*shared, self.shared));
        assert!(own, "a reply goes to the inbox in which its place was reserved");
        self.push(Item::Reply(reply));
    }

    /// See [`Sender::send_reserved`].
    ///
    /// # Panics
    /// When nobody took a place for it and the queue has no room: a bug in the asker.
    pub fn send_reserved(&mut self, reply: T) {
        self.push(Item::Reply(reply));
    }

    fn push(&mut self, item: Item<T>) {
        self.shared.push(item);
        self.pushed += 1;
    }
}

impl<T> Drop for Batch<'_, T> {
    fn drop(&mut self) {
        if self.pushed > 0 {
            self.shared.pushed(self.pushed);
        }
    }
}

/// A place for one reply, taken in the asker's own inbox. Dropping it unused gives it back.
pub struct Place<T> {
    shared: Option<Arc<Shared<T>>>,
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            Shared::<T>::free(&shared.replies);
        }
    }
}

impl<T> fmt::Debug for Place<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}

impl<T> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").field("len", &self.len()).field("counters", &self.counters()).finish()
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).field("counters", &self.counters()).finish()
    }
}

#[cfg(test)]
mod tests;
