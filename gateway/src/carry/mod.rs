//! Everything that a stopped server has kept, carried elsewhere and back: `muster export`, `import` and `erase`.
//!
//! ```text
//! store ─► walk ─► parts ─► lines.rs ─► JSON lines        export.rs
//! JSON lines ─► lines.rs ─► block.rs ─► parts ─► store    import.rs
//! ```
//!
//! The store is asked through its own traits, in the machine's words ([`Part`](engine::kept::Part)), so all of
//! this is the same for every store. [`lines`] is the format, told to users in `docs/EXPORT.md`; [`block`] fills in what
//! another system did not know. Nothing here holds more than one conversation's members and some hundred lines.

pub mod block;
pub mod erase;
pub mod export;
pub mod import;
pub mod lines;
pub mod run;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use engine::kept::{self, Adapter, Failure, FailureKind, Reads, Write, Writes};
use schema::Realm;

use crate::auth::DEFAULT_REALM;
use crate::config::{Config, StoreKind};
use crate::realms::Realms;
use crate::{serve, tables};

/// Parts that are committed together, and bytes, give or take one write.
const TOGETHER: (usize, usize) = (1_024, 1 << 20);
/// How long a store that has too much to do is left alone, and how many times.
const BUSY: (Duration, u32) = (Duration::from_millis(20), 1_500);

/// The stores of a data directory, opened as the server opens them: no server can have them at the same time.
pub struct Kept {
    /// Conversations.
    pub writes: Box<dyn Writes>,
    /// The same, to be read.
    pub reads: Arc<dyn Reads>,
    /// Last seen, and who was online.
    pub seen: Box<dyn Adapter>,
    /// Names of realms.
    pub realms: Realms,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").field("realms", &self.realms).finish_non_exhaustive()
    }
}

impl Kept {
    /// Opens what this configuration keeps. With `begin` a store that is not there is begun.
    ///
    /// # Errors
    /// When there is nothing, or it cannot be opened; the text says what to do.
    pub fn open(config: &Config, begin: bool) -> Result<Self, String> {
        let path = config.store_path();
        match config.store.kind {
            StoreKind::Memory => {
                let why = "store.kind is \"memory\", which keeps nothing once the server has ended";
                return Err(why.into());
            }
            StoreKind::Embedded if !begin && !path.exists() => {
                return Err(format!(
                    "there is no store in {}: name the server's data directory (--data DIR) or its configuration \
                     (--config FILE)",
                    path.display()
                ));
            }
            StoreKind::Embedded | StoreKind::Scylla => {}
        }
        let secret = serve::routing_key(config).map_err(|error| error.to_string())?;
        let salt = serve::seed().map_err(|error| error.to_string())?;
        let kind = match config.store.kind {
            StoreKind::Scylla => tables::open_alone(config, salt),
            StoreKind::Memory | StoreKind::Embedded => serve::store_kind(config, salt),
        };
        let kind = kind.map_err(|error| error.to_string())?;
        let opened = kept::open(&kind, &serve::chat_settings(config), secret, salt);
        let kept::Kept { writes, reads, seen } = opened.map_err(|error| error.to_string())?;
        Ok(Self { writes, reads, seen, realms: Realms::new(&config.auth.realms) })
    }

    /// The name of a realm.
    ///
    /// # Errors
    /// When the configuration has none for it.
    pub fn realm_name(&self, realm: Realm) -> Result<&str, String> {
        self.realms.name(realm).ok_or_else(|| {
            format!(
                "realm number {} has rows in the store and no name: auth.realms must list at least {} realms, as the \
                 server's own configuration does",
                realm.0, realm.0
            )
        })
    }

    /// The realm of a name; absent: the default one.
    ///
    /// # Errors
    /// When it is not configured.
    pub fn realm(&self, name: Option<&str>) -> Result<Realm, String> {
        let name = name.unwrap_or(DEFAULT_REALM);
        self.realms
            .number(name)
            .ok_or_else(|| format!("realm {name:?} is not configured: add it at the end of auth.realms"))
    }
}

/// Writes that go into one commit.
#[derive(Debug, Default)]
pub struct Together {
    writes: Vec<Write>,
    parts: usize,
    bytes: usize,
}

impl Together {
    /// One more; commits when there are enough.
    ///
    /// # Errors
    /// When the store does not take it.
    pub fn add(&mut self, store: &mut dyn Writes, write: Write, bytes: usize) -> Result<(), String> {
        self.parts += write.parts.len();
        self.bytes += bytes;
        match self.writes.last_mut().filter(|last| last.place == write.place && last.parts.len() < 64) {
            Some(last) => last.parts.extend(write.parts),
            None => self.writes.push(write),
        }
        if self.parts >= TOGETHER.0 || self.bytes >= TOGETHER.1 { self.commit(store) } else { Ok(()) }
    }

    /// Commits what there is.
    ///
    /// # Errors
    /// When the store does not take it; then nothing of this commit has happened, or nobody knows.
    pub fn commit(&mut self, store: &mut dyn Writes) -> Result<(), String> {
        if self.writes.is_empty() {
            return Ok(());
        }
        patiently(store, |store| {
            for write in &self.writes {
                store.stage(write)?;
            }
            store.commit()
        })?;
        *self = Self::default();
        Ok(())
    }
}

/// Does it until the store has room for it.
fn patiently<T>(
    store: &mut dyn Writes,
    mut what: impl FnMut(&mut dyn Writes) -> Result<T, Failure>,
) -> Result<T, String> {
    let (pause, times) = BUSY;
    for _ in 0..times {
        match what(store) {
            Ok(done) => return Ok(done),
            Err(failure) if failure.kind == FailureKind::Busy => thread::park_timeout(pause),
            Err(failure) if failure.kind == FailureKind::InDoubt => {
                store.recover().map_err(|again| format!("the store fails: {failure}; {again}"))?;
            }
            Err(failure) => return Err(format!("the store fails: {failure}")),
        }
    }
    Err("the store does not catch up with what is written: is the disk slow, or failing?".into())
}
