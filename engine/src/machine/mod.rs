//! One shard's state, and nothing else: inputs in, outputs out.

pub mod input;
pub mod message;
pub mod output;
pub mod router;
pub mod store;

pub use input::{Asker, ConnRef, Input, Now, Open};
pub use message::Message;
pub use output::Output;
pub use router::Router;
pub use store::{StoreReply, StoreRequest};
