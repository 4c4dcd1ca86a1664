//! What must hold between the keys of a configuration.
//!
//! Pure: it reads no file and opens no socket. Each problem names the keys and the ways out.

use std::net::SocketAddr;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::problem::Problem;
use super::{Config, MediaStore, StoreKind};

/// The least number of bytes of a secret that signs.
pub(crate) const LEAST_SECRET: usize = 32;
const LEAST_ADMIN_TOKEN: usize = 16;

/// Adds what does not hold.
pub(super) fn check(config: &Config, problems: &mut Vec<Problem>) {
    let mut checks = Checks { config, problems };
    checks.server();
    checks.http();
    checks.listeners();
    checks.auth();
    checks.times();
    checks.sizes();
    checks.media();
    checks.scylla();
}

impl Config {
    /// Whether any client listener can be reached from another machine.
    pub fn is_public(&self) -> bool {
        !self.http.address.ip().is_loopback()
            || (self.binary.enabled && !self.binary.address.ip().is_loopback())
    }

    /// Whether the server has no key of its own configured and takes the generated secret.
    pub fn takes_generated_secret(&self) -> bool {
        let auth = &self.auth;
        auth.secret.is_none()
            && auth.secret_file.is_none()
            && auth.public_key_file.is_none()
            && auth.jwks_file.is_none()
    }

    /// What is allowed by this configuration and better were not: the server repeats these in its log.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.is_public() && self.takes_generated_secret() {
            warnings.push(
                "a public listener takes tokens signed with the generated secret \
                 (auth.allow_generated_secret_in_public); give auth.secret or auth.secret_file"
                    .into(),
            );
        }
        warnings
    }
}

struct Checks<'a> {
    config: &'a Config,
    problems: &'a mut Vec<Problem>,
}

impl Checks<'_> {
    /// Adds a problem unless `holds`, placed where the first of the keys that was set at all was set.
    fn require(&mut self, holds: bool, keys: &[&str], text: impl FnOnce() -> String) {
        if !holds {
            let place = keys.iter().map(|key| self.config.place(key)).find(|place| !place.is_empty());
            self.problems.push(Problem::at(place.unwrap_or_default(), text()));
        }
    }

    fn server(&mut self) {
        let server = &self.config.server;
        self.require(is_log_filter(&server.log), &["server.log"], || {
            format!(
                "server.log = {:?}: give a level (error, warn, info, debug, trace) or module=level, …",
                server.log
            )
        });
        let node = server.node.as_deref().unwrap_or("node");
        let plain =
            node.len() <= 64 && node.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
        self.require(plain, &["server.node"], || {
            format!("server.node = {node:?}: at most 64 letters, digits, \"-\", \"_\" and \".\"")
        });
        let secret = server.cluster_secret.as_ref().is_none_or(|secret| secret.size() >= LEAST_SECRET);
        self.require(secret, &["server.cluster_secret"], || {
            format!("server.cluster_secret is shorter than {LEAST_SECRET} bytes: make one with `openssl rand -hex 32`")
        });
    }

    fn http(&mut self) {
        let http = &self.config.http;
        for origin in &http.origins {
            self.require(is_origin(origin), &["http.origins"], || {
                format!("http.origins: {origin:?} is no origin: write \"https://host\" or \"http://host:port\", or \"*\"")
            });
        }
        let Config { presence_api, messaging_api, trade_api, .. } = self.config;
        for (key, base) in [
            ("presence_api.base_path", &presence_api.base_path),
            ("messaging_api.base_path", &messaging_api.base_path),
            ("trade_api.base_path", &trade_api.base_path),
            ("messaging_api.socket_path", &messaging_api.socket_path),
        ] {
            let path = base.starts_with('/')
                && !base.ends_with('/')
                && !base.contains("//")
                && base.bytes().all(|c| c.is_ascii_alphanumeric() || b"/-_.~".contains(&c));
            self.require(path, &[key], || {
                format!("{key} = {base:?}: write a path such as \"/api/v1\", without a slash at its end")
            });
        }
        let both = messaging_api.enabled && trade_api.enabled;
        let apart = !both || messaging_api.base_path != trade_api.base_path;
        self.require(apart, &["trade_api.base_path", "messaging_api.base_path"], || {
            "trade_api.base_path and messaging_api.base_path are the same, and both APIs have /messages: give one of them \
             another path"
                .into()
        });
    }

    fn listeners(&mut self) {
        let Config { http, binary, admin, auth, .. } = self.config;
        let binary_address = binary.enabled.then_some(binary.address);
        let pairs = [
            ("http.address", Some(http.address), "binary.address", binary_address),
            ("http.address", Some(http.address), "admin.address", Some(admin.address)),
            ("binary.address", binary_address, "admin.address", Some(admin.address)),
        ];
        for (one, first, other, second) in pairs {
            let clash = first.zip(second).is_some_and(|(first, second)| clash(first, second));
            self.require(!clash, &[other, one], || {
                format!("{one} and {other} want the same port: give one of them another")
            });
        }
        self.require(admin.address.ip().is_loopback() || admin.token.is_some(), &["admin.address"], || {
            format!(
                "the admin listener on {} can be reached from other machines and has no admin.token: set one, or \
                 give admin.address a loopback address such as 127.0.0.1:9400",
                admin.address
            )
        });
        let token = admin.token.as_ref().is_none_or(|token| token.size() >= LEAST_ADMIN_TOKEN);
        self.require(token, &["admin.token"], || {
            format!(
                "admin.token is shorter than {LEAST_ADMIN_TOKEN} bytes: make one with `openssl rand -hex 32`"
            )
        });
        let generated = self.config.is_public() && self.config.takes_generated_secret();
        self.require(
            !generated || auth.allow_generated_secret_in_public,
            &["http.address", "binary.address"],
            || {
                let address = if http.address.ip().is_loopback() { binary.address } else { http.address };
                format!(
                    "listening on {address} with a generated secret is refused: give the secret or key of your tokens' \
                     issuer (auth.secret, auth.secret_file, auth.public_key_file or auth.jwks_file), or set \
                     auth.allow_generated_secret_in_public = true"
                )
            },
        );
    }

    fn auth(&mut self) {
        let auth = &self.config.auth;
        let secret = auth.secret.as_ref().is_none_or(|secret| secret.size() >= LEAST_SECRET);
        self.require(secret, &["auth.secret"], || {
            format!("auth.secret is shorter than {LEAST_SECRET} bytes: make one with `openssl rand -hex 32`")
        });
        self.require(
            auth.secret.is_none() || auth.secret_file.is_none(),
            &["auth.secret_file", "auth.secret"],
            || "auth.secret and auth.secret_file are both set: keep one".into(),
        );
        self.require(!auth.algorithms.is_empty(), &["auth.algorithms"], || {
            "auth.algorithms is empty: name at least one, such as [\"HS256\"]".into()
        });
        self.require(!auth.identity_claims.is_empty(), &["auth.identity_claims"], || {
            "auth.identity_claims is empty: name the claim that holds the user's id, such as [\"sub\"]".into()
        });
    }

    fn times(&mut self) {
        let Config { binary, presence, .. } = self.config;
        self.require(binary.silence >= 2 * binary.heartbeat, &["binary.silence", "binary.heartbeat"], || {
            "binary.silence must be at least twice binary.heartbeat, or one late heartbeat ends a connection"
                .into()
        });
        self.require(presence.silence >= 2 * presence.ping, &["presence.silence", "presence.ping"], || {
            "presence.silence must be at least twice presence.ping, or one late answer ends a connection"
                .into()
        });
        let away = presence.away_after == Duration::ZERO || presence.away_after >= Duration::from_secs(1);
        self.require(away, &["presence.away_after"], || {
            "presence.away_after is 0 (off) or at least 1s".into()
        });
    }

    fn sizes(&mut self) {
        let Config { binary, limits, engine, .. } = self.config;
        self.require(
            limits.message_bytes < limits.outbox_bytes,
            &["limits.message_bytes", "limits.outbox_bytes"],
            || {
                "limits.outbox_bytes must be more than limits.message_bytes, or no long message could be sent"
                    .into()
            },
        );
        self.require(
            binary.frame_bytes < limits.outbox_bytes,
            &["binary.frame_bytes", "limits.outbox_bytes"],
            || {
                "limits.outbox_bytes must be more than binary.frame_bytes, or no long frame could be sent"
                    .into()
            },
        );
        self.require(
            binary.pre_auth_bytes <= binary.frame_bytes,
            &["binary.pre_auth_bytes", "binary.frame_bytes"],
            || "binary.pre_auth_bytes must not be more than binary.frame_bytes".into(),
        );
        self.require(
            limits.commands_burst >= limits.commands_per_second,
            &["limits.commands_burst", "limits.commands_per_second"],
            || "limits.commands_burst must be at least limits.commands_per_second".into(),
        );
        self.require(engine.receive_buffers.is_power_of_two(), &["engine.receive_buffers"], || {
            format!("engine.receive_buffers = {}: give a power of two", engine.receive_buffers)
        });
        self.require(
            limits.memory_refuse_connects <= limits.memory_refuse_publishes,
            &["limits.memory_refuse_connects", "limits.memory_refuse_publishes"],
            || "limits.memory_refuse_connects must not be more than limits.memory_refuse_publishes".into(),
        );
    }

    fn media(&mut self) {
        let media = &self.config.media;
        let base = media.public_base.as_deref();
        self.require(base.is_none_or(is_web_base), &["media.public_base"], || {
            format!(
                "media.public_base = {:?}: write what addresses begin with, such as \"https://files.example.com\", \
                 without a slash at its end",
                base.unwrap_or_default()
            )
        });
        for kind in &media.types {
            self.require(is_media_type(kind), &["media.types"], || {
                format!("media.types: {kind:?} is no type: write \"image/png\" or, for all that begin so, \"audio/*\"")
            });
        }
        self.require(!media.types.is_empty(), &["media.types"], || {
            "media.types is empty: name at least one, such as [\"image/png\"], or set messaging_api.enabled = false"
                .into()
        });
        self.require(
            media.stall_time <= media.upload_time,
            &["media.stall_time", "media.upload_time"],
            || "media.stall_time must not be more than media.upload_time".into(),
        );
        if media.store == MediaStore::S3 {
            self.bucket();
        }
    }

    fn scylla(&mut self) {
        let scylla = &self.config.scylla;
        let is_name = |name: &str| {
            name.len() <= 48
                && name.starts_with(|first: char| first.is_ascii_lowercase())
                && name.chars().all(|each| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '_')
        };
        self.require(is_name(&scylla.keyspace), &["scylla.keyspace"], || {
            format!(
                "scylla.keyspace = {:?}: give 1 to 48 of a-z, 0-9 and _, a letter first, such as \"muster\"",
                scylla.keyspace
            )
        });
        self.require(
            scylla.password.is_none() || scylla.password_file.is_none(),
            &["scylla.password_file", "scylla.password"],
            || "scylla.password and scylla.password_file are both set: keep one".into(),
        );
        let has_password = scylla.password.is_some() || scylla.password_file.is_some();
        self.require(scylla.user.is_some() == has_password, &["scylla.user", "scylla.password"], || {
            "scylla.user needs a password (scylla.password or scylla.password_file), and a password needs scylla.user"
                .into()
        });
        self.require(
            scylla.tls_cert.is_some() == scylla.tls_key.is_some(),
            &["scylla.tls_cert", "scylla.tls_key"],
            || "scylla.tls_cert and scylla.tls_key belong together: set both or neither".into(),
        );
        let asks = scylla.tls_cert.is_some() || scylla.tls_name.is_some();
        self.require(scylla.tls_ca.is_some() || !asks, &["scylla.tls_cert", "scylla.tls_name"], || {
            "scylla.tls_name and scylla.tls_cert need scylla.tls_ca: without it no TLS is spoken".into()
        });
        let map = scylla.replication.trim();
        self.require(map.starts_with('{') && map.ends_with('}'), &["scylla.replication"], || {
            "scylla.replication is a map in CQL, such as \"{'class': 'NetworkTopologyStrategy', 'replication_factor': 3}\""
                .into()
        });
        self.require(
            self.config.store.kind != StoreKind::Scylla || !scylla.nodes.is_empty(),
            &["scylla.nodes", "store.kind"],
            || "store.kind = \"scylla\" needs scylla.nodes, such as [\"10.0.0.1:9042\"]".into(),
        );
    }

    fn bucket(&mut self) {
        let media = &self.config.media;
        let Some(endpoint) = media.endpoint.as_deref() else {
            self.require(false, &["media.endpoint", "media.store"], || {
                "media.store = \"s3\" needs media.endpoint, the address of the bucket's server: \
                 \"http://127.0.0.1:9000\" or \"https://s3.eu-central-1.amazonaws.com\""
                    .into()
            });
            return;
        };
        self.require(is_web_base(endpoint), &["media.endpoint"], || {
            format!(
                "media.endpoint = {endpoint:?}: write \"http://host:port\" or \"https://host\", without a slash at its \
                 end; the bucket's name goes to media.bucket"
            )
        });
        self.require(media.allow_http || !endpoint.starts_with("http://"), &["media.endpoint"], || {
            format!(
                "media.endpoint = {endpoint:?} is without TLS: set media.allow_http = true if that network is yours, or \
                 give an address with https"
            )
        });
        self.require(media.access_key.is_some(), &["media.access_key", "media.store"], || {
            "media.store = \"s3\" needs media.access_key, the name of the bucket's key".into()
        });
        self.require(media.secret_key.is_some(), &["media.secret_key", "media.store"], || {
            "media.store = \"s3\" needs media.secret_key; outside of a file it is MUSTER_MEDIA__SECRET_KEY"
                .into()
        });
        self.require(is_bucket(&media.bucket), &["media.bucket"], || {
            format!(
                "media.bucket = {:?}: 3 to 63 small letters, digits, \"-\" and \".\", at both ends a letter or a digit",
                media.bucket
            )
        });
        let region = media.region.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        self.require(region, &["media.region"], || {
            format!("media.region = {:?}: write it as \"eu-central-1\"", media.region)
        });
    }
}

/// Whether a text is the beginning of web addresses: scheme and host, perhaps a path, no slash at its end.
fn is_web_base(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    let host = uri
        .authority()
        .is_some_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'));
    web && host && uri.query().is_none() && !text.ends_with('/') && !text.contains('#')
}

/// Whether a text can be a bucket's name.
fn is_bucket(text: &str) -> bool {
    let plain = text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-.".contains(&c));
    let ends = [text.bytes().next(), text.bytes().last()].iter().flatten().all(u8::is_ascii_alphanumeric);
    plain && ends && (3..=63).contains(&text.len()) && !text.contains("..")
}

/// Whether a text is a media type in small letters, or the beginning of one and `*`.
fn is_media_type(text: &str) -> bool {
    let Some((top, rest)) = text.split_once('/') else { return false };
    let token = |part: &str| {
        part.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b".+-_!#$&^".contains(&c))
    };
    !top.is_empty() && !rest.is_empty() && token(top) && token(rest.strip_suffix('*').unwrap_or(rest))
}

/// Whether a text says what to log. A lone word that is no level would be taken for a module, and a slip such as
/// `inof` would silence the log.
fn is_log_filter(text: &str) -> bool {
    let lone_words_are_levels = text
        .split(',')
        .filter(|part| !part.contains(['=', '[', ']', '{', '}']))
        .all(|part| part.trim().parse::<LevelFilter>().is_ok());
    lone_words_are_levels && EnvFilter::builder().parse(text).is_ok()
}

/// Whether two listeners cannot both have their address. Port 0 takes a free one each time.
fn clash(first: SocketAddr, second: SocketAddr) -> bool {
    first.port() != 0
        && first.port() == second.port()
        && (first.ip() == second.ip() || first.ip().is_unspecified() || second.ip().is_unspecified())
}

/// Whether a text is a web origin as browsers send it, or `*`.
fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else { return text == "*" };
    let scheme_fits = !scheme.is_empty()
        && scheme.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"+-.".contains(&c));
    let host_fits = !host.is_empty()
        && host.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || b"-._:[]".contains(&c));
    scheme_fits && host_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = Config::from_toml("m.toml", text).expect_err("something does not hold").to_string();
        assert!(error.contains(expected), "{error:?} does not contain {expected:?}");
    }

    #[track_caller]
    fn fine(text: &str) {
        if let Err(error) = Config::from_toml("m.toml", text) {
            panic!("{error}");
        }
    }

    const SECRET: &str = "secret = \"0123456789abcdef0123456789abcdef\"";

    #[test]
    fn the_defaults_hold() {
        fine("");
    }

    #[test]
    fn a_public_listener_needs_a_secret_of_its_own() {
        check(
            "[http]\naddress = \"0.0.0.0:8080\"",
            "m.toml:2: listening on 0.0.0.0:8080 with a generated secret",
        );
        check(
            "[binary]\naddress = \"10.0.0.1:7400\"",
            "m.toml:2: listening on 10.0.0.1:7400 with a generated",
        );
        fine("[binary]\naddress = \"10.0.0.1:7400\"\nenabled = false");
        fine(&format!("[http]\naddress = \"0.0.0.0:8080\"\n[auth]\n{SECRET}"));
        fine("[http]\naddress = \"0.0.0.0:8080\"\n[auth]\njwks_file = \"keys.json\"");
        let config = Config::from_toml(
            "m.toml",
            "[http]\naddress = \"0.0.0.0:8080\"\n[auth]\nallow_generated_secret_in_public = true",
        );
        assert_eq!(config.unwrap().warnings().len(), 1);
    }

    #[test]
    fn an_admin_listener_off_loopback_needs_a_token() {
        check("[admin]\naddress = \"0.0.0.0:9400\"", "m.toml:2: the admin listener on 0.0.0.0:9400");
        check("[admin]\ntoken = \"short\"", "admin.token is shorter than 16 bytes");
        fine("[admin]\naddress = \"0.0.0.0:9400\"\ntoken = \"0123456789abcdef\"");
    }

    #[test]
    fn listeners_do_not_share_a_port() {
        check("[admin]\naddress = \"127.0.0.1:8080\"", "http.address and admin.address want the same port");
        check("[binary]\naddress = \"127.0.0.1:8080\"", "m.toml:2: http.address and binary.address");
        fine("[http]\naddress = \"127.0.0.1:0\"\n[binary]\naddress = \"127.0.0.1:0\"");
    }

    #[test]
    fn secrets_and_lists_hold_something() {
        check("[auth]\nsecret = \"short\"", "m.toml:2: auth.secret is shorter than 32 bytes");
        check(
            &format!("[auth]\n{SECRET}\nsecret_file = \"s\""),
            "m.toml:3: auth.secret and auth.secret_file",
        );
        check("[auth]\nalgorithms = []", "auth.algorithms is empty");
        check("[auth]\nidentity_claims = []", "auth.identity_claims is empty");
        check("[server]\ncluster_secret = \"x\"", "server.cluster_secret is shorter");
    }

    #[test]
    fn media_and_its_bucket() {
        check("[media]\npublic_base = \"https://a.example/\"", "m.toml:2: media.public_base");
        check("[media]\npublic_base = \"a.example\"", "media.public_base");
        check("[media]\ntypes = []", "media.types is empty");
        check("[media]\ntypes = [\"png\"]", "\"png\" is no type");
        check("[media]\nupload_time = \"5s\"", "m.toml:2: media.stall_time must not be more");
        check("[media]\nstore = \"s3\"", "m.toml:2: media.store = \"s3\" needs media.endpoint");
        let bucket = |lines: &str| {
            format!(
                "[media]\nstore = \"s3\"\naccess_key = \"a\"\nsecret_key = \"b\"\nallow_http = true\n{lines}"
            )
        };
        fine(&bucket("endpoint = \"http://127.0.0.1:9000\""));
        check(&bucket("endpoint = \"127.0.0.1:9000\""), "m.toml:6: media.endpoint");
        check(&bucket("endpoint = \"http://h\"\nbucket = \"A b\""), "m.toml:7: media.bucket");
        check(&bucket("endpoint = \"http://h\"\nregion = \"EU\""), "m.toml:7: media.region");
        check(
            "[media]\nstore = \"s3\"\nendpoint = \"http://h\"",
            "is without TLS: set media.allow_http = true",
        );
        check("[media]\nstore = \"s3\"\nendpoint = \"https://h\"", "needs media.access_key");
        check("[media]\nstore = \"s3\"\nendpoint = \"https://h\"", "needs media.secret_key");
    }

    #[test]
    fn the_rest_holds_together() {
        check("[server]\nlog = \"info,=,\"", "m.toml:2: server.log");
        check("[server]\nlog = \"inof\"", "m.toml:2: server.log = \"inof\": give a level");
        fine("[server]\nlog = \"warn,gateway=debug,off\"");
        check("[server]\nnode = \"a b\"", "m.toml:2: server.node");
        check("[http]\norigins = [\"https://a.example/\"]", "is no origin");
        check("[http]\norigins = [\"a.example\"]", "is no origin");
        fine(
            "[http]\norigins = [\"https://a.example\", \"http://localhost:3000\", \"capacitor://localhost\"]",
        );
        check("[presence_api]\nbase_path = \"api\"", "presence_api.base_path");
        check("[presence_api]\nbase_path = \"/api/\"", "presence_api.base_path");
        check("[messaging_api]\nbase_path = \"/api/\"", "m.toml:2: messaging_api.base_path");
        check("[trade_api]\nbase_path = \"conversations\"", "m.toml:2: trade_api.base_path");
        check(
            "[trade_api]\nbase_path = \"/api/v1\"",
            "m.toml:2: trade_api.base_path and messaging_api.base_path",
        );
        fine("[trade_api]\nbase_path = \"/api/v1\"\n[messaging_api]\nenabled = false");
        check("[binary]\nheartbeat = \"1m\"", "m.toml:2: binary.silence must be at least twice");
        check("[presence]\nsilence = \"40s\"", "m.toml:2: presence.silence must be at least twice");
        check("[limits]\noutbox_bytes = \"64KiB\"", "limits.outbox_bytes must be more");
        check("[limits]\ncommands_burst = 10", "limits.commands_burst must be at least");
        check("[engine]\nreceive_buffers = 1000", "give a power of two");
        check("[limits]\nmemory_refuse_connects = 95", "must not be more");
    }
}
