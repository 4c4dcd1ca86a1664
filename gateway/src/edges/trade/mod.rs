//! The buyer/seller API in real time, over Socket.IO: what happens in a user's rooms, and what the user does there.
//!
//! ```text
//! hear.rs      event and argument ──► command, or a failure in the API's words
//! answer.rs    reply ──► ack, an event to this session only, or the event `error`
//! tell.rs      what happened ──► events, for each session what is its
//! who.rs       who of those the user deals with is online; a connection's own
//! member.rs    one connection: who it is, what it waits for
//! words.rs     the bodies of events
//! ```

pub mod answer;
pub mod hear;
pub mod member;
pub mod tell;
pub mod who;
pub mod words;

pub use member::{Bounds, Trade};

use crate::socketio::query;

/// The API's path for sockets, below its base path.
pub const PATH: &str = "/sockets";
/// Its namespace, below its base path.
pub const NAMESPACE: &str = "/events";

/// What an event that came too fast is told, in its ack or in the event `error`.
pub const BUSY: &str = r#"{"status":false,"message":"Too many events"}"#;

/// Of a handshake's query, who the client says it is: clients of version 4 say it there, or in the payload of CONNECT.
#[must_use]
pub fn who_says(text: &str) -> Box<str> {
    let pairs = text.split('&').filter(|pair| pair.starts_with("user_id=") || pair.starts_with("user_role="));
    pairs.collect::<Vec<_>>().join("&").into()
}

/// One of what [`who_says`] has found.
fn said<'a>(text: &'a str, name: &str) -> Option<std::borrow::Cow<'a, str>> {
    query::get(text, name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_a_client_says_it_is() {
        let found = who_says("EIO=4&token=secret&user_id=a%20b&transport=websocket&user_role=BUYER&user_id=");
        assert_eq!(&*found, "user_id=a%20b&user_role=BUYER&user_id=");
        assert_eq!(said(&found, "user_id").as_deref(), Some("a b"));
        assert_eq!(said(&who_says("user_id="), "user_id"), None);
    }
}
