//! The media port: where uploaded files go, and what is kept of each.
//!
//! ```text
//! upload ─► spool.rs (a temporary file, bounded memory) ─► kind.rs (is it what it says?) ─┬─► folder.rs  <data>/media
//!                                                                                         └─► bucket.rs  S3, MinIO
//! ```
//!
//! Every upload is written to a temporary file first, whatever the store: what a file is and how long is known before
//! anything is published, an abandoned upload leaves nothing in a bucket, and memory does not grow with the file. Only
//! then does it appear under its name, whole.
//!
//! Of each file its type and its owner are kept beside it. The owner is a digest of the object's name and the
//! user ([`Owner`]): it survives restarts and needs no table, and since a bucket shows it to anyone who may read the
//! file, it says neither who it is nor which files are of the same user.
//!
//! What is absent: presigned addresses (they end, and messages do not), image scaling, a virus scanner.

pub mod bucket;
pub mod folder;
pub mod kind;
mod link;
pub mod name;
pub mod spool;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::StreamExt;
use schema::Key;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::secret::random_text;
use crate::config::{Config, KeyStyle, MediaStore};
use bucket::Bucket;
use folder::Folder;
use name::ObjectName;
use spool::Spool;

/// The folder of every object: `messages/<time>-<name>`.
pub const PREFIX: &str = "messages";

/// The first part of an object's address where Muster serves it; with a bucket, the bucket's name.
pub const FOLDER_BUCKET: &str = "messaging";

/// Files that are looked at together, when all of one user are wanted.
const LOOKS: usize = 16;

/// Names that are tried when one is taken.
const ATTEMPTS: u32 = 16;

/// Who uploaded a file, as it is kept beside it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Owner(pub String);

impl Owner {
    /// The mark of a user on an object.
    #[must_use]
    pub fn of(user: &Key, name: &ObjectName) -> Self {
        let digest = Sha256::new()
            .chain_update(b"muster media owner 1\0")
            .chain_update(name.as_str())
            .chain_update([0])
            .chain_update(user.realm.0.to_le_bytes())
            .chain_update(user.id.to_string())
            .finalize();
        Self(URL_SAFE_NO_PAD.encode(digest))
    }
}

/// What is kept of a file beside its bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct About {
    /// Its media type, as verified.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who uploaded it.
    pub owner: Owner,
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// An object of that name is there already.
    #[error("the name is taken")]
    Taken,
    /// There is no object of that name.
    #[error("there is no such file")]
    NotFound,
    /// The disk or the bucket failed.
    #[error("{0}")]
    Failed(String),
}

impl MediaError {
    /// With what was tried, and how it ended.
    pub(crate) fn failed(what: &str, error: &dyn std::error::Error) -> Self {
        let mut text = format!("{what}: {error}");
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        Self::Failed(text)
    }
}

#[derive(Debug)]
enum Store {
    Folder(Folder),
    Bucket(Box<Bucket>),
}

/// The store of uploaded files.
#[derive(Debug)]
pub struct Media {
    store: Store,
    incoming: PathBuf,
    places: Arc<Semaphore>,
    key_style: KeyStyle,
    /// The time in the newest name: names of one process are never of the same millisecond.
    newest: AtomicU64,
}

impl Media {
    /// Opens the store that is configured, and removes what uploads that a crash cut short have left.
    ///
    /// # Errors
    /// When the bucket cannot be used; the text names the fix.
    pub async fn open(config: &Config) -> Result<Self, String> {
        let media = &config.media;
        let root = config.media_path();
        let incoming = root.join(folder::INCOMING);
        let swept = spool::sweep(&root).map_err(|error| {
            format!(
                "cannot clean up {}: {error}; give media.path a directory of Muster's own",
                incoming.display()
            )
        })?;
        if swept > 0 {
            tracing::info!(files = swept, "removed what unfinished uploads had left");
        }
        let store = match media.store {
            MediaStore::Folder => Store::Folder(Folder::new(root)),
            MediaStore::S3 => Store::Bucket(Box::new(Bucket::open(media).await?)),
        };
        Ok(Self {
            store,
            incoming,
            places: Arc::new(Semaphore::new(media.uploads)),
            key_style: media.key_style,
            newest: AtomicU64::new(0),
        })
    }

    /// A place among the uploads under way; `None` when there are too many.
    #[must_use]
    pub fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }

    /// Places that are free.
    #[must_use]
    pub fn free_places(&self) -> usize {
        self.places.available_permits()
    }

    /// The folder that Muster itself serves, where it does.
    #[must_use]
    pub fn folder(&self) -> Option<&Folder> {
        match &self.store {
            Store::Folder(folder) => Some(folder),
            Store::Bucket(_) => None,
        }
    }

    /// The first part of an object's path: the bucket.
    #[must_use]
    pub fn bucket(&self) -> &str {
        match &self.store {
            Store::Folder(_) => FOLDER_BUCKET,
            Store::Bucket(bucket) => bucket.name(),
        }
    }

    /// Begins an upload of a file with this name at this time.
    ///
    /// # Errors
    /// When the temporary file cannot be made.
    pub async fn begin(&self, now: u64, file_name: &str) -> Result<Spool, MediaError> {
        let hashed = matches!(self.store, Store::Bucket(_));
        for _ in 0..ATTEMPTS {
            let name = self.name(now, file_name)?;
            match Spool::create(self.incoming.clone(), name, hashed).await {
                Err(MediaError::Taken) => {}
                result => return result,
            }
        }
        Err(MediaError::Failed("every name that was tried is taken".into()))
    }

    /// Publishes an upload that is complete. The name may have moved on by a millisecond or more.
    ///
    /// # Errors
    /// When the store fails; nothing is left of the upload then.
    pub async fn publish(
        &self,
        mut spool: Spool,
        now: u64,
        file_name: &str,
        kind: &str,
        user: &Key,
    ) -> Result<ObjectName, MediaError> {
        spool.finish().await?;
        for _ in 0..ATTEMPTS {
            let about = About { kind: kind.into(), owner: Owner::of(user, spool.name()) };
            let published = match &self.store {
                Store::Folder(folder) => folder.publish(&mut spool, &about).await,
                Store::Bucket(bucket) => bucket.publish(&spool, &about).await,
            };
            match published {
                Ok(()) => return Ok(spool.name().clone()),
                Err(MediaError::Taken) => spool.rename(self.name(now, file_name)?).await?,
                Err(error) => return Err(error),
            }
        }
        Err(MediaError::Failed("every name that was tried is taken".into()))
    }

    /// What is kept of an object.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn about(&self, name: &ObjectName) -> Result<About, MediaError> {
        match &self.store {
            Store::Folder(folder) => folder.about(name).await,
            Store::Bucket(bucket) => bucket.about(name).await,
        }
    }

    /// Deletes an object.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn delete(&self, name: &ObjectName) -> Result<(), MediaError> {
        match &self.store {
            Store::Folder(folder) => folder.delete(name).await,
            Store::Bucket(bucket) => bucket.delete(name).await,
        }
    }

    /// Deletes everything that a user has uploaded, and says how many files that was. With `dry` nothing is deleted.
    ///
    /// # Errors
    /// When the store fails; doing it again goes on from there.
    pub async fn erase(&self, user: &Key, dry: bool) -> Result<u64, MediaError> {
        let names = match &self.store {
            Store::Folder(folder) => folder.names().await?,
            Store::Bucket(bucket) => bucket.names(),
        };
        let owned = async |name: Result<ObjectName, MediaError>| {
            let name = name?;
            match self.about(&name).await {
                Ok(about) => Ok((about.owner == Owner::of(user, &name)).then_some(name)),
                // What has no owner, or is gone meanwhile, is nobody's.
                Err(MediaError::NotFound) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let mut owned = names.map(owned).buffer_unordered(LOOKS);
        let mut count = 0;
        while let Some(name) = owned.next().await {
            let Some(name) = name? else { continue };
            count += 1;
            if !dry {
                match self.delete(&name).await {
                    Ok(()) | Err(MediaError::NotFound) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(count)
    }

    fn name(&self, now: u64, file_name: &str) -> Result<ObjectName, MediaError> {
        let step = |newest: u64| now.max(newest + 1);
        let newest =
            self.newest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |newest| Some(step(newest)));
        let time = step(newest.unwrap_or_else(|newest| newest));
        let random = match self.key_style {
            KeyStyle::Plain => None,
            KeyStyle::Random => Some(
                random_text::<16>()
                    .map_err(|error| MediaError::failed("the system has no randomness", &error))?,
            ),
        };
        Ok(ObjectName::new(time, random.as_deref(), file_name))
    }
}
