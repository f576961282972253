//! The state directory: certificates, keys, accounts and ledgers, each a file of mode 0600.
//!
//! A write is a temporary file, fsync, rename, and fsync of the folder, so that a reader finds the
//! old content or the new, whatever happens in between. A certificate and its key share one file:
//! two files could be torn apart by a crash. A load that fails is never "not found": whoever took
//! it for that would order a second certificate or overwrite an account.

use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What a kind of store does. Keys are relative paths with `/` between their parts.
///
/// A directory and the memory implement it here; a database for several machines would be another.
pub trait Backend: fmt::Debug + Send + Sync {
    /// The content of `key`, or `None` when there is certainly none.
    fn load(&self, key: &str) -> BoxFuture<'_, io::Result<Option<Vec<u8>>>>;
    /// Replaces the content of `key`, atomically and durably.
    fn store(&self, key: &str, content: Vec<u8>) -> BoxFuture<'_, io::Result<()>>;
    /// Removes `key`; one that is not there is no error.
    fn remove(&self, key: &str) -> BoxFuture<'_, io::Result<()>>;
    /// Gives `key` another name.
    fn rename(&self, key: &str, to: &str) -> BoxFuture<'_, io::Result<()>>;
    /// Where `key` is, for messages.
    fn describe(&self, key: &str) -> String;
}

/// Where state is kept.
#[derive(Clone, Debug)]
pub struct Store(Arc<dyn Backend>);

/// An operation on the store that failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {path}")]
pub struct StoreError {
    /// What was tried.
    pub operation: &'static str,
    /// On which file.
    pub path: String,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

impl Store {
    /// Opens the state directory, creating it with mode 0700 if it is not there.
    pub fn directory(path: &Path) -> Result<Self, StoreError> {
        let failed = |operation, source| StoreError { operation, path: path.display().to_string(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| failed("create", source))?;
        let mode = path.metadata().map_err(|source| failed("read", source))?.permissions().mode();
        if mode & 0o077 != 0 {
            // Its files are 0600 all the same; the names of the folder's files are no secret.
            tracing::debug!(path = %path.display(), mode = %format!("{:o}", mode & 0o7777), "the state directory is open to others");
        }
        Ok(Self::existing(path))
    }

    /// The state directory as it is, for a look: nothing is created.
    pub fn existing(path: &Path) -> Self {
        Self::new(Directory(path.to_owned()))
    }

    /// A store in memory, gone with the process, as `demo` wants it.
    pub fn memory() -> Self {
        Self::new(Memory::default())
    }

    /// A store of another kind.
    pub fn new(backend: impl Backend + 'static) -> Self {
        Self(Arc::new(backend))
    }

    /// The content of `key`, or `None` when there is none.
    pub async fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.load(key).await.map_err(|source| self.failed("read", key, source))
    }

    /// Replaces the content of `key`, atomically and durably.
    pub async fn store(&self, key: &str, content: &[u8]) -> Result<(), StoreError> {
        self.0.store(key, content.to_vec()).await.map_err(|source| self.failed("write", key, source))
    }

    /// Removes `key`; one that is not there is no error.
    pub async fn remove(&self, key: &str) -> Result<(), StoreError> {
        self.0.remove(key).await.map_err(|source| self.failed("remove", key, source))
    }

    /// Sets `key` aside under another name, for a person to look at, so that it is made anew.
    pub async fn set_aside(&self, key: &str) -> Result<(), StoreError> {
        let aside = format!("{key}.damaged");
        self.0.rename(key, &aside).await.map_err(|source| self.failed("set aside", key, source))
    }

    /// Leaves a copy of `key` there, for what is about to be replaced: at no moment is there none.
    pub async fn copy_aside(&self, key: &str) -> Result<(), StoreError> {
        match self.load(key).await? {
            Some(content) => self.store(&format!("{key}.damaged"), &content).await,
            None => Ok(()),
        }
    }

    /// Where `key` is, for messages.
    pub fn describe(&self, key: &str) -> String {
        self.0.describe(key)
    }

    fn failed(&self, operation: &'static str, key: &str, source: io::Error) -> StoreError {
        StoreError { operation, path: self.describe(key), source }
    }
}

/// Files below a directory.
#[derive(Debug)]
struct Directory(PathBuf);

impl Directory {
    fn file(&self, key: &str) -> PathBuf {
        self.0.join(key)
    }
}

impl Backend for Directory {
    fn load(&self, key: &str) -> BoxFuture<'_, io::Result<Option<Vec<u8>>>> {
        blocking(self.file(key), |path| match std::fs::read(path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
    }

    fn store(&self, key: &str, content: Vec<u8>) -> BoxFuture<'_, io::Result<()>> {
        blocking(self.file(key), move |path| write_atomically(path, &content))
    }

    fn remove(&self, key: &str) -> BoxFuture<'_, io::Result<()>> {
        blocking(self.file(key), |path| match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    }

    fn rename(&self, key: &str, to: &str) -> BoxFuture<'_, io::Result<()>> {
        let to = self.file(to);
        blocking(self.file(key), move |path| std::fs::rename(path, to))
    }

    fn describe(&self, key: &str) -> String {
        self.file(key).display().to_string()
    }
}

/// Entries of one process.
#[derive(Debug, Default)]
struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl Memory {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Memory {
    fn load(&self, key: &str) -> BoxFuture<'_, io::Result<Option<Vec<u8>>>> {
        let found = self.lock().get(key).cloned();
        Box::pin(async { Ok(found) })
    }

    fn store(&self, key: &str, content: Vec<u8>) -> BoxFuture<'_, io::Result<()>> {
        self.lock().insert(key.to_owned(), content);
        Box::pin(async { Ok(()) })
    }

    fn remove(&self, key: &str) -> BoxFuture<'_, io::Result<()>> {
        self.lock().remove(key);
        Box::pin(async { Ok(()) })
    }

    fn rename(&self, key: &str, to: &str) -> BoxFuture<'_, io::Result<()>> {
        let mut entries = self.lock();
        if let Some(content) = entries.remove(key) {
            entries.insert(to.to_owned(), content);
        }
        Box::pin(async { Ok(()) })
    }

    fn describe(&self, key: &str) -> String {
        format!("memory:{key}")
    }
}

fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> BoxFuture<'static, io::Result<T>> {
    Box::pin(async move {
        let done = tokio::task::spawn_blocking(move || work(&path)).await;
        done.unwrap_or_else(|error| Err(io::Error::other(error)))
    })
}

/// Replaces `path` with `content`: readers see the old or the new, never a part.
fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let written = write_temporary(Path::new(&temporary), content).and_then(|()| std::fs::rename(&temporary, path));
    if let Err(error) = written {
        // What is left of a failed write (a full disk) must not pile up.
        let _ = std::fs::remove_file(&temporary);
        return Err(error);
    }
    // The rename itself is durable only once the folder is.
    File::open(folder)?.sync_all()
}

fn write_temporary(path: &Path, content: &[u8]) -> io::Result<()> {
    // A leftover of a crash may have any mode: start from nothing.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests lay out files as operators and crashes leave them")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_are_private_and_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::directory(&folder.path().join("state")).unwrap();
        assert_eq!(store.load("a/b").await.unwrap(), None);
        store.store("a/b", b"one").await.unwrap();
        std::fs::write(folder.path().join("state/a/b.new"), b"left by a crash").unwrap();
        store.store("a/b", b"two").await.unwrap();
        assert_eq!(store.load("a/b").await.unwrap().as_deref(), Some(b"two".as_slice()));
        let path = folder.path().join("state/a/b");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left behind");
        store.copy_aside("a/b").await.unwrap();
        assert_eq!(store.load("a/b").await.unwrap(), store.load("a/b.damaged").await.unwrap());
        store.set_aside("a/b").await.unwrap();
        assert_eq!(store.load("a/b").await.unwrap(), None);
        for store in [store, Store::memory()] {
            store.store("a/b", b"three").await.unwrap();
            store.remove("a/b").await.unwrap();
            assert_eq!(store.load("a/b").await.unwrap(), None);
            store.remove("a/b").await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_unreadable_entry_is_an_error_and_not_absent() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::directory(folder.path()).unwrap();
        std::fs::create_dir(folder.path().join("account.json")).unwrap();
        assert!(store.load("account.json").await.is_err());
    }
}
