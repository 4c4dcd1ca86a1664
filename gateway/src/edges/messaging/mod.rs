//! The messaging API in real time, over Socket.IO: what happens in a user's conversations, and what the user does there.
//!
//! ```text
//! hear.rs      event and argument ──► command, or a failure in the API's words
//! answer.rs    reply ──► ack, or the event `error`
//! tell.rs      what happened ──► events, the same for everybody
//! session.rs   one client: what it asks, what comes of it
//! partners.rs  who of the user's partners is online; a connection's own
//! words.rs     the bodies of events
//! ```

pub mod answer;
pub mod hear;
pub mod partners;
pub mod session;
pub mod tell;
pub mod words;

pub use session::{Messaging, Settings};
