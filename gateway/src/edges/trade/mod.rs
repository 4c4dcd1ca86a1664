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

use super::socketio::{Endpoint, Speaker};
use crate::config::Config;
use crate::engineio::handshake::Offer;
use crate::socketio::{Namespaces, query};
use crate::{engineio, socketio, websocket};

/// What the API's path and its namespace are below its base path.
const PATH: &str = "/sockets";
const NAMESPACE: &str = "/events";

/// The endpoint of this API, if it is served. It speaks on WebSockets only.
#[must_use]
pub fn endpoint(config: &Config) -> Option<Endpoint> {
    let (api, limits) = (&config.trade_api, &config.limits);
    let engine = engineio::Settings { outbox: limits.outbox_bytes.bytes(), ..engineio::Settings::default() };
    let longest = engine.max_payload as usize;
    let namespaces = Namespaces::new(&[&format!("{}{NAMESPACE}", api.base_path)]);
    let busy = r#"{"status":false,"message":"Too many events"}"#;
    let bounds = Bounds { user_id: limits.user_id, watch: config.presence.watch_limit };
    api.enabled.then(|| Endpoint {
        path: format!("{}{PATH}", api.base_path).into(),
        speaker: Speaker::Trade(bounds),
        offer: Offer { polling: false, websocket: true, version3: true },
        engine,
        io: socketio::Settings {
            packet_bytes: longest,
            busy_ack: busy.into(),
            busy_event: busy.into(),
            ..socketio::Settings::new(namespaces)
        },
        websocket: websocket::Limits {
            message_bytes: longest,
            fragments: limits.fragments,
            assembly_ms: limits.assembly_time.as_millis() as u64,
        },
        events_per_second: limits.commands_per_second,
        events_burst: limits.commands_burst,
    })
}

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

    #[test]
    fn the_endpoint_is_where_clients_look_for_it() {
        let mut config = Config::default();
        let endpoint = endpoint(&config).unwrap();
        assert_eq!(&*endpoint.path, "/v1/conversations/sockets");
        assert!(endpoint.io.namespaces.find("/v1/conversations/events").is_some());
        assert!(!endpoint.offer.polling && endpoint.offer.version3);
        config.trade_api.enabled = false;
        assert!(super::endpoint(&config).is_none());
    }
}
