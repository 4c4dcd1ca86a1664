//! The way to the threads of the store: writes go to the one that commits, each read to the reader with the least to
//! do.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use schema::ShardId;

use crate::machine::ChatRequest;
use crate::machine::store::ChatAsk;
use crate::mesh::{self, Capacity, Inbox, Sender};

/// A request about conversations, and the shard that is to have the answer.
#[derive(Clone, Debug)]
pub struct ChatOrder {
    /// Who asks.
    pub shard: ShardId,
    /// What.
    pub request: ChatRequest,
}

/// A shard's end; copies lead to the same threads.
#[derive(Clone)]
pub struct Orders {
    writer: Sender<ChatOrder>,
    readers: Arc<[Reader]>,
}

impl fmt::Debug for Orders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Orders").field("writer", &self.writer).field("readers", &self.readers.len()).finish()
    }
}

struct Reader {
    orders: Sender<ChatOrder>,
    /// Orders that it has not answered.
    owed: Arc<AtomicU32>,
}

/// The threads' ends.
pub(super) struct Inboxes {
    pub(super) writer: Inbox<ChatOrder>,
    pub(super) readers: Vec<ReaderInbox>,
}

/// A reader's end.
pub(super) struct ReaderInbox {
    pub(super) orders: Inbox<ChatOrder>,
    owed: Arc<AtomicU32>,
}

impl ReaderInbox {
    /// The inbox alone, for whoever takes everything at once: where there is one reader, nobody counts what it owes.
    pub(super) fn all_at_once(self) -> Inbox<ChatOrder> {
        self.orders
    }

    /// An order was answered.
    pub(super) fn answered(&self) {
        self.owed.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes the ways to a writer and to so many readers, each with so many places.
pub(super) fn open(readers: usize, places: u32) -> (Orders, Inboxes) {
    let capacity = Capacity { commands: places, replies: 0 };
    let (inbox, writer) = mesh::inbox(capacity);
    let (ends, inboxes): (Vec<_>, Vec<_>) = (0..readers.max(1))
        .map(|_| {
            let (inbox, sender) = mesh::inbox(capacity);
            let owed = Arc::new(AtomicU32::new(0));
            (Reader { orders: sender, owed: owed.clone() }, ReaderInbox { orders: inbox, owed })
        })
        .unzip();
    (Orders { writer, readers: ends.into() }, Inboxes { writer: inbox, readers: inboxes })
}

impl Orders {
    /// Sends an order on its way.
    ///
    /// # Errors
    /// Gives it back when there is no place for it, or nobody to answer it.
    pub fn try_send(&self, order: ChatOrder) -> Result<(), ChatOrder> {
        if matches!(order.request.ask, ChatAsk::Write(_)) {
            return self.writer.try_send_command(order);
        }
        let Some(reader) = self.readers.iter().min_by_key(|reader| reader.owed.load(Ordering::Relaxed))
        else {
            return Err(order);
        };
        // Counted first, so that an answer that comes at once finds it.
        reader.owed.fetch_add(1, Ordering::Relaxed);
        reader.orders.try_send_command(order).inspect_err(|_| _ = reader.owed.fetch_sub(1, Ordering::Relaxed))
    }
}
