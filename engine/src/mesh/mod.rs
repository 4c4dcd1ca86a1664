//! The mesh: the bounded inboxes by which shards, the front door and the workers speak.
//!
//! Every endpoint has one [`Inbox`], whoever speaks to it, so memory grows with the number of endpoints and not with
//! its square. Nothing in here ever waits: a command that finds no room comes back to its sender, a reply always has
//! the place that its asker reserved, and state that must not be lost is kept by its sender in a dirty set until
//! [`Sender::room`] says that there is room.
//!
//! - [`mod@inbox`]: the queue, its two classes, the batches;
//! - [`mod@wake`]: how a receiver goes to sleep and how a sender knows that it must wake it.

pub mod inbox;
pub mod wake;

pub use inbox::{Batch, Capacity, Counters, Inbox, Place, Sender, inbox};
pub use wake::{Flag, Sleep};
