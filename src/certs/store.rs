//! The state directory: certificates, keys, accounts and ledgers, each a file of mode 0600.
//!
//! A write is a temporary file, fsync, rename, and fsync of the folder, so that a reader finds the
//! old content or the new, whatever happens in between. A certificate and its key share one file:
//! two files could be torn apart by a crash. A load that fails is never "not found": whoever took
//! it for that would order a second certificate or overwrite an account.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Where state is kept.
#[derive(Clone, Debug)]
pub enum Store {
    /// Files below a directory.
    Directory(PathBuf),
    /// Nowhere: gone with the process, as `demo` wants it.
    Memory(Arc<Mutex<BTreeMap<String, Vec<u8>>>>),
}

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
        Ok(Self::Directory(path.to_owned()))
    }

    /// A store in memory.
    pub fn memory() -> Self {
        Self::Memory(Arc::default())
    }

    /// The content of `key`, or `None` when there is none.
    pub async fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        match self {
            Self::Directory(root) => {
                let path = file(root, key);
                blocking("read", path, |path| match std::fs::read(path) {
                    Ok(content) => Ok(Some(content)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(error) => Err(error),
                })
                .await
            }
            Self::Memory(entries) => Ok(entries.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()),
        }
    }

    /// Replaces the content of `key`, atomically and durably.
    pub async fn store(&self, key: &str, content: &[u8]) -> Result<(), StoreError> {
        match self {
            Self::Directory(root) => {
                let content = content.to_vec();
                blocking("write", file(root, key), move |path| write_atomically(path, &content)).await
            }
            Self::Memory(entries) => {
                let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
                entries.insert(key.to_owned(), content.to_vec());
                Ok(())
            }
        }
    }

    /// Removes `key`. That it is not there is no error.
    pub async fn remove(&self, key: &str) -> Result<(), StoreError> {
        match self {
            Self::Directory(root) => {
                blocking("remove", file(root, key), |path| match std::fs::remove_file(path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    result => result,
                })
                .await
            }
            Self::Memory(entries) => {
                entries.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
                Ok(())
            }
        }
    }

    /// Sets `key` aside under another name, for a person to look at, so that it is made anew.
    pub async fn set_aside(&self, key: &str) -> Result<(), StoreError> {
        match self {
            Self::Directory(root) => {
                blocking("set aside", file(root, key), |path| {
                    let mut aside = path.as_os_str().to_owned();
                    aside.push(".damaged");
                    std::fs::rename(path, aside)
                })
                .await
            }
            Self::Memory(entries) => {
                entries.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
                Ok(())
            }
        }
    }

    /// Where `key` is, for messages.
    pub fn describe(&self, key: &str) -> String {
        match self {
            Self::Directory(root) => file(root, key).display().to_string(),
            Self::Memory(_) => format!("memory:{key}"),
        }
    }
}

fn file(root: &Path, key: &str) -> PathBuf {
    root.join(key)
}

async fn blocking<T: Send + 'static>(
    operation: &'static str,
    path: PathBuf,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let shown = path.display().to_string();
    let done = tokio::task::spawn_blocking(move || work(&path)).await;
    let result = done.unwrap_or_else(|error| Err(io::Error::other(error)));
    result.map_err(|source| StoreError { operation, path: shown, source })
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
