//! The buyer/seller API in real time, over Socket.IO: what happens in a user's rooms, and what the user does there.
//!
//! ```text
//! hear.rs      event and argument ──► command, or a failure in the API's words
//! answer.rs    reply ──► ack, an event to this session only, or the event `error`
//! tell.rs      what happened ──► events, for each session what is its
//! who.rs       who of those the user deals with is online; a connection's own
//! words.rs     the bodies of events
//! ```

pub mod answer;
pub mod hear;
pub mod tell;
pub mod who;
pub mod words;
