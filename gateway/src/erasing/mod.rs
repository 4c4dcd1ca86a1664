//! Erasing users while the server runs: what is asked for is noted on the disk first, so that a crash does not end it.
//!
//! ```text
//! DELETE /users/{id} ─► note in <data>/erasing ─► one after the other ─► course.rs: step by step through the shards
//!        ▲                                                                 │
//!        └── how far it is, or what was removed ◄──────────────────────────┘ the note goes when all of it is done
//! ```
//!
//! [`course`] is the way through one user's traces. Nothing but the note is kept: whoever is cut off begins anew, and finds
//! what is left.

mod course;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use schema::{Id, Key, Realm};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, watch};

use crate::carry::erase::Erased;
use crate::http::Front;

/// Users that may wait to be erased, and results that nobody has asked for yet.
const PLACES: usize = 1_000;
/// The ending of a note's name.
const NOTE: &str = "json";

/// How far it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// All of it is done.
    pub done: bool,
    /// What was removed so far.
    pub erased: Erased,
}

/// Why it was not begun.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Too many wait.
    #[error("too many users are being erased: try again later")]
    TooMany,
    /// It could not be noted.
    #[error("it could not be noted in the data directory: {0}")]
    Note(io::Error),
}

/// Users that are being erased.
#[derive(Debug)]
pub struct Erasures {
    folder: PathBuf,
    jobs: Mutex<BTreeMap<Key, watch::Sender<Report>>>,
    /// Held while a note is written: one at a time.
    noting: tokio::sync::Mutex<()>,
    queue: mpsc::Sender<Key>,
}

/// What is to be done, for [`Erasures::run`].
#[derive(Debug)]
pub struct Course(mpsc::Receiver<Key>);

/// What is on the disk of a user who is to be erased.
#[derive(Serialize, Deserialize)]
struct Note {
    realm: u16,
    user: String,
}

impl Erasures {
    /// With the notes that an earlier run has left in this data directory.
    #[must_use]
    pub fn open(data: &Path) -> (Arc<Self>, Course) {
        let folder = data.join("erasing");
        let (queue, to_do) = mpsc::channel(PLACES);
        let mut jobs = BTreeMap::new();
        for user in left(&folder).into_iter().take(PLACES) {
            if queue.try_send(user.clone()).is_ok() {
                jobs.insert(user, watch::channel(Report::default()).0);
            }
        }
        if !jobs.is_empty() {
            tracing::info!(users = jobs.len(), "going on with erasing users");
        }
        let noting = tokio::sync::Mutex::default();
        (Arc::new(Self { folder, jobs: Mutex::new(jobs), noting, queue }), Course(to_do))
    }

    fn jobs(&self) -> MutexGuard<'_, BTreeMap<Key, watch::Sender<Report>>> {
        // What a panicking holder left behind is still a map.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins, or finds what was begun before: its result is told until [`Erasures::told`] says that it was.
    ///
    /// # Errors
    /// When it cannot be begun; then nothing is.
    pub async fn begin(&self, user: Key) -> Result<watch::Receiver<Report>, Refused> {
        let _noting = self.noting.lock().await;
        let there = self.jobs().get(&user).map(watch::Sender::subscribe);
        if let Some(report) = there {
            return Ok(report);
        }
        let place = self.queue.try_reserve().map_err(|_| Refused::TooMany)?;
        let (folder, noted) = (self.folder.clone(), user.clone());
        let note = tokio::task::spawn_blocking(move || note(&folder, &noted));
        note.await.map_err(io::Error::other).flatten().map_err(Refused::Note)?;
        let mut jobs = self.jobs();
        // Results that nobody has come for make room.
        if jobs.len() >= 2 * PLACES {
            jobs.retain(|_, report| !report.borrow().done);
        }
        let (sender, report) = watch::channel(Report::default());
        jobs.insert(user.clone(), sender);
        place.send(user);
        Ok(report)
    }

    /// Somebody was told the result: whoever asks again begins anew.
    pub fn told(&self, user: &Key) {
        let mut jobs = self.jobs();
        if jobs.get(user).is_some_and(|report| report.borrow().done) {
            jobs.remove(user);
        }
    }

    /// Erases one user after the other, for as long as the server runs.
    pub async fn run(front: Arc<Front>, mut course: Course) {
        while let Some(user) = course.0.recv().await {
            let erasures = &front.erasures;
            let tell = |erased: Erased, done: bool| {
                if let Some(report) = erasures.jobs().get(&user) {
                    report.send_replace(Report { done, erased });
                }
            };
            let Some(erased) = course::run(&front, &user, &|erased| tell(erased, false)).await else {
                // The server ends; the note says what is left to do.
                return;
            };
            let note = file(&erasures.folder, &user);
            if let Err(error) = tokio::fs::remove_file(&note).await {
                tracing::warn!(%error, "a note of an erased user could not be removed: it is done again at the next start");
            }
            let Erased { conversations, memberships, messages, files, .. } = erased;
            tracing::info!(conversations, memberships, messages, files, "a user was erased");
            tell(erased, true);
        }
    }
}

/// Where it is noted. The name of the file says nothing of the user, so that a listing of the folder does not.
fn file(folder: &Path, user: &Key) -> PathBuf {
    let digest = Sha256::new()
        .chain_update(b"muster erasing 1\0")
        .chain_update(user.realm.0.to_le_bytes())
        .chain_update(user.id.to_string())
        .finalize();
    folder.join(URL_SAFE_NO_PAD.encode(digest)).with_extension(NOTE)
}

/// Notes that a user is to be erased; on the disk when it returns.
fn note(folder: &Path, user: &Key) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let path = file(folder, user);
    let part = path.with_extension("part");
    let note = Note { realm: user.realm.0, user: user.id.to_string() };
    let mut written =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    written.write_all(&serde_json::to_vec(&note)?)?;
    written.sync_all()?;
    fs::rename(&part, &path)?;
    fs::File::open(folder)?.sync_all()
}

/// Who is noted.
fn left(folder: &Path) -> Vec<Key> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let notes = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let notes = notes.filter(|path| path.extension().is_some_and(|ending| ending == NOTE));
    let user = |path: PathBuf| {
        let read = || -> Result<Key, String> {
            let text = fs::read(&path).map_err(|error| error.to_string())?;
            let note: Note = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
            let id = Id::new(&note.user).map_err(|error| error.to_string())?;
            Ok(Key::new(Realm(note.realm), id))
        };
        read()
            .inspect_err(|error| {
                tracing::error!(error, path = %path.display(), "who is to be erased cannot be read");
            })
            .ok()
    };
    notes.filter_map(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_noted_is_found_again() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("erasing");
        assert_eq!(left(&folder), []);
        let users = ["ann", "7b1d6c4e-2f3a-4c5b-9d8e-0a1b2c3d4e5f", "ä/../b"];
        let users = users.map(|user| Key::new(Realm(3), Id::new(user).unwrap()));
        for user in &users {
            note(&folder, user).unwrap();
            note(&folder, user).unwrap();
        }
        fs::write(folder.join("half.part"), "{").unwrap();
        fs::write(folder.join("broken.json"), "{").unwrap();
        let mut found = left(&folder);
        found.sort();
        let mut expected = users.to_vec();
        expected.sort();
        assert_eq!(found, expected);
        for user in &users {
            let name = file(&folder, user);
            assert!(!name.to_string_lossy().contains("ann"), "{name:?}");
        }
    }
}
