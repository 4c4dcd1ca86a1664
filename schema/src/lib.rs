//! The words of Muster: what may be said to it, what it says, and the binary frames that carry both.
//!
//! Every other crate speaks in these types; none of them knows a socket, a thread or a clock.
//! Read [`id`] first, then [`command`] and [`event`].

pub mod chat;
pub mod close;
pub mod command;
pub mod device;
pub mod event;
pub mod frame;
mod generated;
pub mod id;
pub mod presence;
pub mod refusal;

pub use close::CloseReason;
pub use command::{Actor, Command};
pub use device::Device;
pub use event::{Event, Reply};
pub use id::{Id, Key, Realm, SessionAddr, SessionRef, ShardId};
pub use presence::{LastSeen, Status, UserPresence};
pub use refusal::Refusal;
