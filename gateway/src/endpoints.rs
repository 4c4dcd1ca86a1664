//! The Engine.IO endpoints that a configuration asks for.

use std::sync::Arc;

use crate::config::Config;
use crate::edges::socketio::{Endpoint, Speaker};
use crate::edges::{messaging, trade};
use crate::engineio::handshake::Offer;
use crate::serve::millis;
use crate::socketio::Namespaces;
use crate::{engineio, socketio, websocket};

/// All of them.
#[must_use]
pub fn of_config(config: &Config) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    let api = &config.messaging_api;
    if api.enabled {
        let settings = messaging::Settings {
            user_id: config.limits.user_id,
            partners: api.partners.min(config.presence.watch_limit),
        };
        let speaker = Speaker::Messaging(Arc::new(settings));
        endpoints.push(endpoint(config, &api.socket_path, speaker, Namespaces::new(&[])));
    }
    if config.trade_api.enabled {
        endpoints.push(trade(config));
    }
    endpoints
}

/// The buyer/seller API speaks on WebSockets only.
fn trade(config: &Config) -> Endpoint {
    let base = &config.trade_api.base_path;
    let bounds = trade::Bounds { user_id: config.limits.user_id, watch: config.presence.watch_limit };
    let namespaces = Namespaces::new(&[&format!("{base}{}", trade::NAMESPACE)]);
    let path = format!("{base}{}", trade::PATH);
    let mut endpoint = endpoint(config, &path, Speaker::Trade(bounds), namespaces);
    endpoint.offer.polling = false;
    (endpoint.io.busy_ack, endpoint.io.busy_event) = (trade::BUSY.into(), trade::BUSY.into());
    endpoint
}

/// An endpoint with the numbers of the configuration.
fn endpoint(config: &Config, path: &str, speaker: Speaker, namespaces: Namespaces) -> Endpoint {
    let (settings, limits) = (&config.socketio, &config.limits);
    let longest = settings.max_payload.bytes();
    Endpoint {
        path: path.into(),
        speaker,
        offer: Offer { polling: settings.polling, websocket: true, version3: settings.version3 },
        engine: engineio::Settings {
            ping_interval: millis(settings.ping_interval),
            ping_timeout: millis(settings.ping_timeout),
            max_payload: u32::try_from(longest).unwrap_or(u32::MAX),
            outbox: limits.outbox_bytes.bytes(),
            ..engineio::Settings::default()
        },
        io: socketio::Settings {
            connect_timeout: millis(settings.connect_time),
            attachments: settings.attachments,
            packet_bytes: longest,
            ..socketio::Settings::new(namespaces)
        },
        websocket: websocket::Limits {
            message_bytes: longest,
            fragments: limits.fragments,
            assembly_ms: u64::from(millis(limits.assembly_time)),
        },
        events_per_second: limits.commands_per_second,
        events_burst: limits.commands_burst,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buyers_and_sellers_find_their_endpoint() {
        let mut config = Config::default();
        let found =
            of_config(&config).into_iter().find(|one| matches!(one.speaker, Speaker::Trade(_))).unwrap();
        assert_eq!(&*found.path, "/v1/conversations/sockets");
        assert!(found.io.namespaces.find("/v1/conversations/events").is_some());
        assert!(!found.offer.polling && found.offer.version3);
        config.trade_api.enabled = false;
        assert!(!of_config(&config).iter().any(|one| matches!(one.speaker, Speaker::Trade(_))));
    }
}
