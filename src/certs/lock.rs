//! One process at a time orders with a state directory.
//!
//! Two that did would both believe that they alone use the CA's limits, and overwrite each other's
//! records. The lock is flock(2) on a file of its own: the kernel lets it go when its holder ends,
//! however that happens, so there is no stale lock to judge and no lease to renew. Serving needs no lock:
//! while one vestibule hands over to the next, both serve.

use super::store::StoreError;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::Duration;

/// The file's name in the state directory. It stays there; that it exists means nothing.
const NAME: &str = "lock";

/// How often [`StateLock::wait`] looks. Whoever waits has hours until a certificate is due.
const LOOK: Duration = Duration::from_secs(1);

/// The right to order with a state directory, until it is dropped.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateLock {
    /// Takes the lock of `directory`, or returns `None` when somebody else has it. Another
    /// [`StateLock`] of the same process is somebody else.
    pub fn try_take(directory: &Path) -> Result<Option<Self>, StoreError> {
        let path = directory.join(NAME);
        let failed = |source| StoreError { operation: "lock", path: path.display().to_string(), source };
        let file = open(directory, &path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Whether a process has the lock of `directory` now. Makes nothing, and of what cannot be read it
    /// says no.
    pub fn is_taken(directory: &Path) -> bool {
        let held = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        // Not by way of `open`: what root makes here would be closed to the service.
        File::open(directory.join(NAME)).is_ok_and(held)
    }

    /// Takes the lock as soon as nobody else has it.
    pub async fn wait(directory: &Path) -> Result<Self, StoreError> {
        loop {
            if let Some(lock) = Self::try_take(directory)? {
                return Ok(lock);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn open(directory: &Path, path: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::{Child, Command, Stdio};

    /// Another program with the lock, once it has it.
    fn holder(directory: &Path, patience: &str) -> Child {
        let mut flock = Command::new("flock");
        // It becomes `sleep` itself, so that no child of its own keeps the file open.
        flock.args(["--no-fork", "--timeout", patience]).arg(directory.join(NAME)).args(["sleep", "60"]);
        flock.stdout(Stdio::null()).spawn().expect("util-linux has flock")
    }

    #[tokio::test]
    async fn one_process_has_it_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        assert!(!StateLock::is_taken(&state) && !state.exists(), "a look makes nothing");
        let first = StateLock::try_take(&state).unwrap().unwrap();
        assert!(StateLock::is_taken(&state));
        assert_eq!(state.join(NAME).metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(StateLock::try_take(&state).unwrap().is_none());
        assert_eq!(holder(&state, "0").wait().unwrap().code(), Some(1), "another process does not get it either");
        drop(first);
        assert!(!StateLock::is_taken(&state));

        let mut other = holder(&state, "20");
        while StateLock::try_take(&state).unwrap().is_some() {
            assert_eq!(other.try_wait().unwrap(), None);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Killed, it cannot tidy up, and need not.
        let (waited, ()) = tokio::join!(StateLock::wait(&state), async { other.kill().unwrap() });
        waited.unwrap();
        other.wait().unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_locked_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(NAME)).unwrap();
        let error = StateLock::wait(folder.path()).await.unwrap_err();
        assert_eq!(error.operation, "lock");
    }
}
