//! Nonces that are handed out to the check and come back, or do not, to a listener.

use super::arrival::Arrival;
use crate::probe::nonce::nonce;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What a proxy in front must pass on if it passes on federation at all: one that forwards only the
/// documented prefixes lets this through.
pub(super) const PREFIX: &str = "/_matrix/federation/v1/vestibule.loop/";

/// How a path of ours is known by a listener. A proxy may have taken a part of the prefix away, or
/// put one before it, and that is to be found too.
const MARK: &[u8] = b"/vestibule.loop/";

/// A nonce's length in hexadecimal digits: 128 bit.
const LENGTH: usize = 32;

/// How long a nonce is waited for, and so how long an answer may be on its way.
const LIFETIME: Duration = Duration::from_secs(60);

/// Nonces open at once: what is asked of sixteen addresses at the same time, several times over.
const MOST: usize = 512;

/// The open nonces. A request is one relaxed load while there are none; the lock is taken only by
/// requests whose path looks like one of ours.
#[derive(Clone, Debug, Default)]
pub struct Loopback(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// How many are open. May run behind the table for a moment, which only the owner of a nonce
    /// could notice, and he opens it before he asks.
    open: AtomicUsize,
    table: Mutex<HashMap<String, Open>>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    silence: Duration,
    arrived: oneshot::Sender<Arrival>,
}

/// Keeps one nonce open, and takes what arrives with it.
#[derive(Debug)]
pub(super) struct OpenNonce {
    loopback: Loopback,
    text: String,
    arrived: oneshot::Receiver<Arrival>,
}

/// A request that brought an open nonce, which is used up with that.
#[derive(Debug)]
pub struct Visit {
    silence: Duration,
    arrived: oneshot::Sender<Arrival>,
}

impl Visit {
    /// How long to be silent before the answer.
    pub fn silence(&self) -> Duration {
        self.silence
    }

    /// Hands over what arrived. Whoever asked may have given up by now.
    pub fn arrived(self, arrival: Arrival) {
        let _ = self.arrived.send(arrival);
    }
}

impl Loopback {
    /// A new nonce; its request is answered after `silence`. `None` where there are too many, or the
    /// machine gives no random numbers.
    pub(super) fn open(&self, silence: Duration) -> Option<OpenNonce> {
        let text = nonce().ok()?;
        let (sender, arrived) = oneshot::channel();
        let mut table = self.lock();
        if table.len() >= MOST {
            return None;
        }
        table.insert(text.clone(), Open { until: Instant::now() + LIFETIME, silence, arrived: sender });
        self.count(&table);
        drop(table);
        Some(OpenNonce { loopback: self.clone(), text, arrived })
    }

    /// The visit that a request for `path` is, if it brings a nonce that is open.
    pub fn visit(&self, path: &str) -> Option<Visit> {
        if self.0.open.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let text = nonce_in(path)?;
        let mut table = self.lock();
        let open = table.remove(text)?;
        self.count(&table);
        drop(table);
        (Instant::now() < open.until).then_some(Visit { silence: open.silence, arrived: open.arrived })
    }

    fn close(&self, text: &str) {
        let mut table = self.lock();
        table.remove(text);
        self.count(&table);
    }

    fn count(&self, table: &HashMap<String, Open>) {
        self.0.open.store(table.len(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        // A map stays usable whatever happened to the thread that held it.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenNonce {
    /// The path of its request, without what may follow.
    pub(super) fn path(&self) -> String {
        format!("{PREFIX}{}", self.text)
    }

    /// What has arrived with it, if something has. An answer comes after the arrival, so whoever has
    /// the answer need not wait.
    pub(super) fn arrival(mut self) -> Option<Arrival> {
        self.arrived.try_recv().ok()
    }

    /// Waits for what arrives. `None` when nothing can arrive any more.
    pub(super) async fn arrives(&mut self) -> Option<Arrival> {
        (&mut self.arrived).await.ok()
    }
}

impl Drop for OpenNonce {
    fn drop(&mut self) {
        self.loopback.close(&self.text);
    }
}

/// The text in the place of a nonce.
fn nonce_in(path: &str) -> Option<&str> {
    let at = memchr::memmem::find(path.as_bytes(), MARK)?;
    let text = path.get(at + MARK.len()..)?.get(..LENGTH)?;
    text.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_found_where_a_proxy_may_have_put_them() {
        let nonce = "0123456789abcdef0123456789abcdef";
        let short = "123456789abcdef0123456789abcdef";
        for (path, found) in [
            (format!("{PREFIX}{nonce}"), true),
            (format!("{PREFIX}{nonce}/a%2Fb"), true),
            (format!("/federation/v1/vestibule.loop/{nonce}"), true),
            (format!("/_matrix{PREFIX}{nonce}/x"), true),
            (format!("/_matrix/federation/v1/vestibule.loop{nonce}"), false),
            (format!("{PREFIX}{short}"), false),
            (format!("{PREFIX}{short}g"), false),
            (format!("{PREFIX}{short}é"), false),
            (PREFIX.to_owned(), false),
            ("/_matrix/client/versions".to_owned(), false),
        ] {
            assert_eq!(nonce_in(&path), found.then_some(nonce), "{path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_nonce_is_good_once_and_for_a_minute() {
        let desk = Loopback::default();
        assert!(desk.visit(&format!("{PREFIX}0123456789abcdef0123456789abcdef")).is_none());
        let open = desk.open(Duration::from_secs(3)).unwrap();
        let path = open.path();
        let visit = desk.visit(&path).unwrap();
        assert_eq!(visit.silence(), Duration::from_secs(3));
        assert!(desk.visit(&path).is_none(), "it is used");
        visit.arrived(Arrival::default());
        assert!(open.arrival().is_some());

        let open = desk.open(Duration::ZERO).unwrap();
        let path = open.path();
        tokio::time::advance(LIFETIME).await;
        assert!(desk.visit(&path).is_none(), "it is too late");
        assert!(open.arrival().is_none());

        let path = desk.open(Duration::ZERO).unwrap().path();
        assert!(desk.visit(&path).is_none(), "nobody waits for it");
        assert_eq!(desk.0.open.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn there_are_never_too_many() {
        let desk = Loopback::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _inside = runtime.enter();
        let open: Vec<_> = std::iter::from_fn(|| desk.open(Duration::ZERO)).collect();
        assert_eq!(open.len(), MOST);
        drop(open);
        assert!(desk.open(Duration::ZERO).is_some());
    }
}
