//! Files in a folder of this machine, served by Muster itself.
//!
//! ```text
//! incoming/<name>   an upload on its way
//! about/<name>      its type and its owner, JSON
//! messages/<name>   the file
//! ```
//!
//! The owner has a file of its own beside the object: attributes of the file system would be more elegant and are lost
//! by copies, archives and half of the file systems there are; in the name it would show in every address.
//! It is written first, so no file is ever without one.

use std::path::{Path, PathBuf};

use futures_util::stream::{self, BoxStream, StreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};
use tokio::sync::OnceCell;

use super::name::ObjectName;
use super::spool::Spool;
use super::{About, MediaError, PREFIX};

/// The folder of uploads on their way.
pub(super) const INCOMING: &str = "incoming";
/// The folder of what is kept beside the files.
pub(super) const ABOUT: &str = "about";

/// A folder of files.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    /// Opened at the first use: who uploads nothing needs no folder.
    store: OnceCell<LocalFileSystem>,
}

impl Folder {
    /// Below a directory that need not be there yet.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, store: OnceCell::new() }
    }

    /// The file of an object.
    #[must_use]
    pub fn file(&self, name: &ObjectName) -> PathBuf {
        self.root.join(PREFIX).join(name.as_str())
    }

    async fn store(&self) -> Result<&LocalFileSystem, MediaError> {
        let root: &Path = &self.root;
        let open = || async { LocalFileSystem::new_with_prefix(root).map(|store| store.with_fsync(true)) };
        self.store
            .get_or_try_init(open)
            .await
            .map_err(|error| of_store("cannot open the folder of files", error))
    }

    /// Moves an upload to its place.
    pub(super) async fn publish(&self, spool: &mut Spool, about: &About) -> Result<(), MediaError> {
        let store = self.store().await?;
        let name = spool.name().clone();
        let text = serde_json::to_vec(about)
            .map_err(|error| MediaError::failed("cannot describe a file", &error))?;
        let kept = at(ABOUT, &name)?;
        store
            .put_opts(&kept, text.into(), PutMode::Create.into())
            .await
            .map_err(|error| of_store("cannot write who owns a file", error))?;
        match store.rename_if_not_exists(&at(INCOMING, &name)?, &at(PREFIX, &name)?).await {
            Ok(()) => {
                spool.moved();
                Ok(())
            }
            Err(error) => {
                // Without its file it says nothing.
                let _ = store.delete(&kept).await;
                Err(of_store("cannot move a file to its place", error))
            }
        }
    }

    /// What is kept of an object.
    pub(super) async fn about(&self, name: &ObjectName) -> Result<About, MediaError> {
        // There is no folder before the first upload.
        let store = self.store().await.map_err(|_| MediaError::NotFound)?;
        let about = at(ABOUT, name)?;
        let read = async { store.get(&about).await?.bytes().await };
        let text = read.await.map_err(|error| of_store("cannot read who owns a file", error))?;
        serde_json::from_slice(&text)
            .map_err(|error| MediaError::failed("who owns a file cannot be read", &error))
    }

    /// All objects that have an owner.
    pub(super) async fn names(&self) -> Result<Names, MediaError> {
        if !self.root.join(ABOUT).exists() {
            return Ok(stream::empty().boxed());
        }
        Ok(names(self.store().await?, ABOUT))
    }

    /// Deletes an object. The file goes first: it is what must no longer be seen.
    pub(super) async fn delete(&self, name: &ObjectName) -> Result<(), MediaError> {
        let store = self.store().await.map_err(|_| MediaError::NotFound)?;
        let deleted = store.delete(&at(PREFIX, name)?).await;
        let _ = store.delete(&at(ABOUT, name)?).await;
        deleted.map_err(|error| of_store("cannot delete a file", error))
    }
}

/// Objects, as they are listed: there may be many.
pub(super) type Names = BoxStream<'static, Result<ObjectName, MediaError>>;

/// The objects below a folder of a store.
pub(super) fn names(store: &dyn ObjectStore, folder: &str) -> Names {
    let listed = store.list(Some(&ObjectPath::from(folder)));
    let name = |object: Result<ObjectMeta, Error>| match object {
        Ok(object) => object.location.filename().and_then(ObjectName::parse).map(Ok),
        Err(error) => Some(Err(of_store("cannot list the files", error))),
    };
    listed.filter_map(move |object| std::future::ready(name(object))).boxed()
}

/// As it is: what would have to be encoded is in no name.
fn at(folder: &str, name: &ObjectName) -> Result<ObjectPath, MediaError> {
    ObjectPath::parse(format!("{folder}/{name}")).map_err(|error| MediaError::failed("not a name", &error))
}

fn of_store(what: &str, error: Error) -> MediaError {
    match error {
        Error::AlreadyExists { .. } => MediaError::Taken,
        Error::NotFound { .. } => MediaError::NotFound,
        error => MediaError::failed(what, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::Owner;

    #[test]
    fn published_found_and_deleted() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path().join("media"));
        let about = About { kind: "image/png".into(), owner: Owner("someone".into()) };
        let name = ObjectName::new(17, None, "a b (ảnh) & 'c'.png");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            assert!(matches!(folder.about(&name).await, Err(MediaError::NotFound)));
            let incoming = root.path().join("media").join(INCOMING);
            let mut spool = Spool::create(incoming.clone(), name.clone(), false).await.unwrap();
            spool.write(b"bytes").await.unwrap();
            spool.finish().await.unwrap();
            folder.publish(&mut spool, &about).await.unwrap();
            drop(spool);
            assert_eq!(std::fs::read(folder.file(&name)).unwrap(), b"bytes");
            assert_eq!(std::fs::read_dir(&incoming).unwrap().count(), 0);
            assert_eq!(folder.about(&name).await.unwrap(), about);

            let mut second = Spool::create(incoming.clone(), name.clone(), false).await.unwrap();
            second.finish().await.unwrap();
            assert!(matches!(folder.publish(&mut second, &about).await, Err(MediaError::Taken)));
            drop(second);
            assert_eq!(std::fs::read(folder.file(&name)).unwrap(), b"bytes");

            folder.delete(&name).await.unwrap();
            assert!(matches!(folder.about(&name).await, Err(MediaError::NotFound)));
            assert!(matches!(folder.delete(&name).await, Err(MediaError::NotFound)));
        });
    }
}
