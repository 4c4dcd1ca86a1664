//! The configuration: one table of keys, and the way of a value into it.
//!
//! ```text
//! keys.rs ── settings! ──► Config, SECTIONS ──► print.rs: `muster config`, docs/CONFIGURATION.md
//!                             ▲
//!  default < file.rs < environment.rs < flags        then check.rs: what must hold between keys
//! ```
//!
//! Every problem is collected, with its place, before any is reported.

mod check;
mod choice;
mod environment;
mod file;
mod keys;
mod print;
mod problem;
mod table;
pub mod value;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

pub use choice::{Algorithm, GroupHistory, HostChoice, IoChoice, KeyStyle, LogFormat, MediaStore, StoreKind};
pub use keys::{
    Admin, Attachments, Auth, Binary, Config, Conversations, Engine, Http, Limits, Media, MessagingApi,
    Presence, PresenceApi, SECTIONS, ScyllaStore, Server, SocketIo, Store, TradeApi,
};
pub use print::{markdown, toml};
pub use problem::{ConfigError, Problem};
pub use table::{Key, Section};
pub use value::{Secret, Size, read_duration};

use value::Raw;

/// Where each key that is not at its default was set, by `section.key`.
pub(crate) type Origins = BTreeMap<String, String>;

/// A flag of the command line that sets a key.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The flag as typed, `--http`.
    pub name: &'static str,
    /// The section of the key it sets.
    pub section: &'static str,
    /// The key it sets.
    pub key: &'static str,
    /// The value given.
    pub value: String,
}

/// What a configuration is read from, weakest first.
#[derive(Debug, Default)]
pub struct Sources {
    /// The file, if any.
    pub file: Option<PathBuf>,
    /// The environment's variables; others than `MUSTER_…` are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// The flags.
    pub flags: Vec<Flag>,
}

impl Config {
    /// Reads the file, the environment and the flags over the defaults, and checks the whole.
    pub fn load(sources: &Sources) -> Result<Config, ConfigError> {
        let file = match &sources.file {
            None => None,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|error| {
                    Problem::at(
                        path.to_string_lossy(),
                        format!("cannot read the configuration file: {error}"),
                    )
                })?;
                Some((path.as_path(), text))
            }
        };
        Config::assemble(file.as_ref().map(|(path, text)| (*path, text.as_str())), sources)
    }

    /// Reads a configuration from the text of a file alone.
    pub fn from_toml(name: &str, text: &str) -> Result<Config, ConfigError> {
        Config::assemble(Some((Path::new(name), text)), &Sources::default())
    }

    fn assemble(file: Option<(&Path, &str)>, sources: &Sources) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        let mut problems = Vec::new();
        if let Some((path, text)) = file {
            file::apply(&mut config, path, text, &mut problems);
        }
        environment::apply(&mut config, &sources.environment, &mut problems);
        for flag in &sources.flags {
            config.put(flag.section, flag.key, &Raw::Bare(flag.value.clone()), flag.name, &mut problems);
        }
        // What holds between keys can only be judged where each key by itself is right.
        if problems.is_empty() {
            check::check(&config, &mut problems);
        }
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }

    /// Sets a key that exists, remembering where it was set.
    fn put(&mut self, section: &str, key: &str, raw: &Raw, place: &str, problems: &mut Vec<Problem>) {
        match self.set(section, key, raw) {
            Ok(()) => {
                self.origins.insert(format!("{section}.{key}"), place.to_string());
            }
            Err(allowed) if find(section, key).is_some_and(|key| key.secret) => {
                problems.push(Problem::at(place, format!("{section}.{key}: {allowed}")));
            }
            Err(allowed) => {
                problems.push(Problem::at(place, format!("{section}.{key} = {raw}: {allowed}")));
            }
        }
    }

    /// Where a key was set, for messages: empty for a key at its default.
    pub fn place(&self, path: &str) -> String {
        self.origins.get(path).cloned().unwrap_or_default()
    }

    /// The directory of uploaded files.
    pub fn media_path(&self) -> PathBuf {
        self.media.path.clone().unwrap_or_else(|| self.server.data.join("media"))
    }

    /// The directory of the embedded store.
    pub fn store_path(&self) -> PathBuf {
        self.store.path.clone().unwrap_or_else(|| self.server.data.join("store"))
    }
}

/// The description of a key.
pub fn find(section: &str, key: &str) -> Option<&'static Key> {
    SECTIONS.iter().find(|known| known.name == section)?.keys.iter().find(|known| known.name == key)
}

/// Every key of every section.
pub(crate) fn every_key() -> impl Iterator<Item = &'static Key> + Clone {
    SECTIONS.iter().flat_map(|section| section.keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_and_bound_of_the_table_parses() {
        let config = Config::default();
        for key in every_key() {
            let shown = config.show(key.section, key.name);
            assert_eq!(shown, (key.default_toml)(), "{}", key.path());
            assert!(!key.meaning.trim().is_empty());
            let bounds = key.bounds.into_iter().flat_map(|(least, most)| [least, most]);
            for text in bounds.chain((!key.default.is_empty()).then_some(key.default)) {
                let raw = Raw::Bare(text.into());
                assert_eq!(
                    Config::default().set(key.section, key.name, &raw),
                    Ok(()),
                    "{} = {text}",
                    key.path()
                );
            }
        }
    }

    #[test]
    fn flag_over_environment_over_file_over_default() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("muster.toml");
        std::fs::write(&path, "[presence]\ngrace = \"1s\"\nping = \"2s\"\nwatch_limit = 3\n").unwrap();
        let config = Config::load(&Sources {
            file: Some(path),
            environment: vec![
                ("MUSTER_PRESENCE__PING".into(), "3s".into()),
                ("MUSTER_PRESENCE__WATCH_LIMIT".into(), "4".into()),
            ],
            flags: vec![Flag { name: "--watch", section: "presence", key: "watch_limit", value: "5".into() }],
        })
        .unwrap();
        assert_eq!(config.presence.grace.as_secs(), 1);
        assert_eq!(config.presence.ping.as_secs(), 3);
        assert_eq!(config.presence.watch_limit, 5);
        assert_eq!(config.presence.silence.as_secs(), 90);
        assert!(config.place("presence.grace").ends_with("muster.toml:2"));
        assert_eq!(config.place("presence.ping"), "MUSTER_PRESENCE__PING");
        assert_eq!(config.place("presence.watch_limit"), "--watch");
        assert_eq!(config.place("presence.silence"), "");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = Config::load(&Sources { file: Some("/nonexistent/m.toml".into()), ..Sources::default() })
            .unwrap_err();
        assert!(error.to_string().starts_with("/nonexistent/m.toml: cannot read the configuration file"));
    }
}
