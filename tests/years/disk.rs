//! A state directory in memory that fails when it is told to.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use vestibule::certs::store::Backend;

use super::random::Random;
use super::rim::Rim;

/// What fails, as a share of attempts in percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trouble {
    pub loads: u64,
    pub writes: u64,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Vec<u8>>,
    trouble: Trouble,
    errors: usize,
    /// Certificates whose entry was looked at since the last start, with success.
    read: Vec<String>,
}

/// Clones are handles to the same disk: it outlives the process.
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
    random: Arc<Random>,
    rim: Rim,
}

impl fmt::Debug for Disk {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Disk")
    }
}

impl Disk {
    pub fn new(random: Arc<Random>, rim: Rim) -> Self {
        Self { state: Arc::default(), random, rim }
    }

    pub fn trouble(&self, trouble: Trouble) {
        self.state().trouble = trouble;
    }

    pub fn errors(&self) -> usize {
        self.state().errors
    }

    /// The entries whose key contains `part`.
    pub fn keys(&self, part: &str) -> Vec<String> {
        self.state().entries.keys().filter(|key| key.contains(part)).cloned().collect()
    }

    /// A process begins, which has read nothing yet.
    pub fn restarted(&self) {
        self.state().read.clear();
    }

    /// Whether the process could read the certificate that begins with this name since it began.
    pub fn was_read(&self, first: &str) -> bool {
        let key = format!("certificates/{first}.pem");
        self.state().read.contains(&key)
    }

    fn fails(&self, share: u64, what: &str, key: &str) -> io::Result<()> {
        if share == 0 || !self.random.percent(share) {
            return Ok(());
        }
        self.state().errors += 1;
        self.rim.note(format!("{what} {key} fails"));
        Err(io::Error::other("the disk fails"))
    }

    /// A change: the process may die before it, and between it and its answer.
    fn change<'a>(
        &'a self,
        key: &'a str,
        change: impl FnOnce(&mut State) + Send + 'a,
    ) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            self.rim.pass().await;
            let share = self.state().trouble.writes;
            self.fails(share, "writing", key)?;
            change(&mut self.state());
            self.rim.whisper(|| format!("{key} changes"));
            self.rim.pass().await;
            Ok(())
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Backend for Disk {
    fn load(&self, key: &str) -> BoxFuture<'_, io::Result<Option<Vec<u8>>>> {
        let key = key.to_owned();
        Box::pin(async move {
            self.rim.pass().await;
            let share = self.state().trouble.loads;
            self.fails(share, "reading", &key)?;
            let mut state = self.state();
            let found = state.entries.get(&key).cloned();
            if key.starts_with("certificates/") && !state.read.contains(&key) {
                state.read.push(key);
            }
            Ok(found)
        })
    }

    fn store(&self, key: &str, content: Vec<u8>) -> BoxFuture<'_, io::Result<()>> {
        let key = key.to_owned();
        Box::pin(async move {
            let entry = key.clone();
            self.change(&key, move |state| drop(state.entries.insert(entry, content))).await
        })
    }

    fn remove(&self, key: &str) -> BoxFuture<'_, io::Result<()>> {
        let key = key.to_owned();
        Box::pin(async move { self.change(&key, |state| drop(state.entries.remove(&key))).await })
    }

    fn rename(&self, key: &str, to: &str) -> BoxFuture<'_, io::Result<()>> {
        let (key, to) = (key.to_owned(), to.to_owned());
        Box::pin(async move {
            let entry = key.clone();
            self.change(&key, move |state| {
                if let Some(content) = state.entries.remove(&entry) {
                    state.entries.insert(to, content);
                }
            })
            .await
        })
    }

    fn describe(&self, key: &str) -> String {
        format!("disk:{key}")
    }
}
