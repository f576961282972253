//! A store in memory that both clients can use, and that can fail to read.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use rustls_acme::{AccountCache, CertCache};
use vestibule::certs::store::Backend;

/// What is kept. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shelf(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<String, Vec<u8>>,
    fails_until: Option<Instant>,
}

impl Shelf {
    /// From now on nothing can be read for so long. Writing works: a database whose reads time out, a file system that
    /// is mounted late.
    pub fn fail_for(&self, time: Duration) {
        self.state().fails_until = Some(Instant::now() + time);
    }

    /// The entries whose key contains `part`.
    pub fn entries(&self, part: &str) -> Vec<Vec<u8>> {
        let state = self.state();
        state.entries.iter().filter(|(key, _)| key.contains(part)).map(|(_, content)| content.clone()).collect()
    }

    fn read(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        let state = self.state();
        if state.fails_until.is_some_and(|until| Instant::now() < until) {
            return Err(io::Error::other("the store does not answer"));
        }
        Ok(state.entries.get(key).cloned())
    }

    fn write(&self, key: &str, content: &[u8]) {
        self.state().entries.insert(key.to_owned(), content.to_vec());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

impl Backend for Shelf {
    fn load(&self, key: &str) -> BoxFuture<'_, io::Result<Option<Vec<u8>>>> {
        let content = self.read(key);
        Box::pin(async { content })
    }

    fn store(&self, key: &str, content: Vec<u8>) -> BoxFuture<'_, io::Result<()>> {
        self.write(key, &content);
        Box::pin(async { Ok(()) })
    }

    fn remove(&self, key: &str) -> BoxFuture<'_, io::Result<()>> {
        self.state().entries.remove(key);
        Box::pin(async { Ok(()) })
    }

    fn rename(&self, key: &str, to: &str) -> BoxFuture<'_, io::Result<()>> {
        let mut state = self.state();
        if let Some(content) = state.entries.remove(key) {
            state.entries.insert(to.to_owned(), content);
        }
        Box::pin(async { Ok(()) })
    }

    fn describe(&self, key: &str) -> String {
        key.to_owned()
    }
}

/// rustls-acme's keys for its two entries.
const CERTIFICATE: &str = "certificate";
const ACCOUNT: &str = "account";

#[async_trait]
impl CertCache for Shelf {
    type EC = io::Error;

    async fn load_cert(&self, _: &[String], _: &str) -> io::Result<Option<Vec<u8>>> {
        self.read(CERTIFICATE)
    }

    async fn store_cert(&self, _: &[String], _: &str, content: &[u8]) -> io::Result<()> {
        self.write(CERTIFICATE, content);
        Ok(())
    }
}

#[async_trait]
impl AccountCache for Shelf {
    type EA = io::Error;

    async fn load_account(&self, _: &[String], _: &str) -> io::Result<Option<Vec<u8>>> {
        self.read(ACCOUNT)
    }

    async fn store_account(&self, _: &[String], _: &str, content: &[u8]) -> io::Result<()> {
        self.write(ACCOUNT, content);
        Ok(())
    }
}
