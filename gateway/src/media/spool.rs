//! The temporary file of an upload: written in pieces, and gone when the upload does not end well.
//!
//! It carries the name that the object will have, so that the sweep at the start knows what belongs to it, and it is
//! locked while its upload lives: what nobody holds was left by a crash, also where two processes share a folder.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use super::name::ObjectName;
use super::{MediaError, folder};

/// What is gathered before it is written; tokio's file holds as much again while it writes.
const PIECE: usize = 32 * 1024;

/// An upload on its way.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    name: ObjectName,
    file: File,
    gathered: Vec<u8>,
    size: u64,
    digest: Option<Sha256>,
    sum: [u8; 32],
    /// The file is elsewhere now; what is left here is only a name.
    moved: bool,
}

impl Spool {
    /// Makes the file in a folder, and the folder where there is none. `hashed`: whether the digest will be wanted.
    pub(super) async fn create(folder: PathBuf, name: ObjectName, hashed: bool) -> Result<Self, MediaError> {
        let path = folder.join(name.as_str());
        let at = folder.clone();
        let made = blocking(move || {
            let open = || OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
            let file = match open() {
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    DirBuilder::new().recursive(true).mode(0o700).create(&at)?;
                    open()?
                }
                result => result?,
            };
            // Where locks are not to be had, the sweep takes every file for held, and leaves it.
            let _ = file.lock();
            Ok(file)
        })
        .await;
        let mut file = match made {
            Ok(file) => File::from_std(file),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(MediaError::Taken),
            Err(error) => return Err(MediaError::failed("cannot make a temporary file", &error)),
        };
        file.set_max_buf_size(PIECE);
        Ok(Self {
            folder,
            name,
            file,
            gathered: Vec::with_capacity(PIECE),
            size: 0,
            digest: hashed.then(Sha256::new),
            sum: [0; 32],
            moved: false,
        })
    }

    /// The name that the object will have.
    #[must_use]
    pub fn name(&self) -> &ObjectName {
        &self.name
    }

    /// Bytes so far.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The SHA-256 of a finished upload, where it was wanted.
    pub(super) fn sum(&self) -> &[u8; 32] {
        &self.sum
    }

    /// The file.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(self.name.as_str())
    }

    /// Takes more bytes.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), MediaError> {
        self.size += bytes.len() as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(bytes);
        }
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.gathered.len()));
            self.gathered.extend_from_slice(now);
            bytes = later;
            if self.gathered.len() == PIECE {
                self.pass_on().await?;
            }
        }
        Ok(())
    }

    async fn pass_on(&mut self) -> Result<(), MediaError> {
        let written = self.file.write_all(&self.gathered).await;
        self.gathered.clear();
        written.map_err(|error| MediaError::failed("cannot write the temporary file", &error))
    }

    /// Writes the rest, down to the disk.
    pub(super) async fn finish(&mut self) -> Result<(), MediaError> {
        self.pass_on().await?;
        if let Some(digest) = self.digest.take() {
            self.sum = digest.finalize().into();
        }
        let failed = |error: io::Error| MediaError::failed("cannot write the temporary file", &error);
        self.file.flush().await.map_err(failed)?;
        self.file.sync_all().await.map_err(failed)
    }

    /// Gives it another name, for one that was taken.
    pub(super) async fn rename(&mut self, name: ObjectName) -> Result<(), MediaError> {
        let (from, to) = (self.path(), self.folder.join(name.as_str()));
        let renamed = blocking(move || fs::rename(from, to)).await;
        renamed.map_err(|error| MediaError::failed("cannot rename the temporary file", &error))?;
        self.name = name;
        Ok(())
    }

    /// The file has become the object.
    pub(super) fn moved(&mut self) {
        self.moved = true;
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if self.moved {
            return;
        }
        let path = self.path();
        let remove = move || {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(%error, path = %path.display(), "a temporary file could not be removed");
            }
        };
        // Removing a long file takes a while, and this may be the front door's thread.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// Runs what may wait for the disk where it holds up nobody.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Removes what uploads of a process that is gone have left below `root`, and says how many they were.
pub(super) fn sweep(root: &Path) -> io::Result<usize> {
    let entries = match fs::read_dir(root.join(folder::INCOMING)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut swept = 0;
    for entry in entries {
        let entry = entry?;
        // What has no such name was not made here.
        let ours = entry.file_name().to_str().is_some_and(|name| ObjectName::parse(name).is_some());
        if !ours || !entry.file_type()?.is_file() {
            continue;
        }
        let held = OpenOptions::new().read(true).write(true).open(entry.path())?.try_lock().is_err();
        if held {
            continue;
        }
        // What is kept beside an object is written just before the object appears; alone it is of no use.
        if !root.join(super::PREFIX).join(entry.file_name()).exists() {
            let about = root.join(folder::ABOUT).join(entry.file_name());
            match fs::remove_file(about) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::remove_file(entry.path())?;
        swept += 1;
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
    }

    #[test]
    fn the_sweep_takes_what_nobody_holds() {
        let root = tempfile::tempdir().unwrap();
        let incoming = root.path().join(folder::INCOMING);
        let about = root.path().join(folder::ABOUT);
        let messages = root.path().join(super::super::PREFIX);
        for folder in [&incoming, &about, &messages] {
            fs::create_dir_all(folder).unwrap();
        }
        // Left before it was published, left after it, and one under way.
        fs::write(incoming.join("1-left"), "x").unwrap();
        fs::write(about.join("1-left"), "{}").unwrap();
        fs::write(incoming.join("2-published"), "x").unwrap();
        fs::write(about.join("2-published"), "{}").unwrap();
        fs::write(messages.join("2-published"), "x").unwrap();
        fs::write(incoming.join("somebody's"), "x").unwrap();
        runtime().block_on(async {
            let name = ObjectName::new(3, None, "alive");
            let spool = Spool::create(incoming.clone(), name, false).await.unwrap();
            assert_eq!(sweep(root.path()).unwrap(), 2);
            assert!(spool.path().exists());
        });
        assert!(!about.join("1-left").exists() && incoming.join("somebody's").exists());
        assert!(about.join("2-published").exists() && messages.join("2-published").exists());
    }

    #[test]
    fn what_was_not_published_is_gone() {
        let root = tempfile::tempdir().unwrap();
        let incoming = root.path().join("a/incoming");
        runtime().block_on(async {
            let name = ObjectName::new(3, None, "x");
            let mut spool = Spool::create(incoming.clone(), name.clone(), true).await.unwrap();
            let again = Spool::create(incoming.clone(), name, true).await;
            assert!(matches!(again, Err(MediaError::Taken)));
            let bytes = vec![7; 100_000];
            spool.write(&bytes).await.unwrap();
            spool.finish().await.unwrap();
            assert_eq!((spool.size(), fs::read(spool.path()).unwrap()), (100_000, bytes.clone()));
            assert_eq!(spool.sum()[..], Sha256::digest(&bytes)[..]);
            drop(spool);
            // It goes on a thread of its own.
            while fs::read_dir(&incoming).unwrap().count() > 0 {
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        });
    }
}
